//! Two server keys are valid at once.

use godwit_link::StaticKey;
use godwit_server::keys::rotate_server_key;
use godwit_wire::Refusal;

use super::link::{Link, NoLink};
use super::world::World;

#[tokio::test]
async fn an_old_join_link_works_until_the_second_rotation() {
    let world = World::new().await;
    let key = StaticKey::generate().unwrap();
    let mut first = world.join.clone();
    let data = world.stops().await;
    rotate_server_key(data.path()).unwrap();
    let world = World::on(data, |_| {}).await;
    assert_ne!(world.join.server_key, first.server_key, "the link shows the present key");
    first.port = world.join.port;
    assert!(Link::dial(&first, &key).await.is_ok());
    assert!(Link::dial(&world.join, &key).await.is_ok());
    let data = world.stops().await;
    rotate_server_key(data.path()).unwrap();
    let world = World::on(data, |_| {}).await;
    first.port = world.join.port;
    let refused = Link::dial(&first, &key).await.err().unwrap();
    assert_eq!(refused, NoLink::Refused(Refusal::UnknownServerKey, 0));
}
