//! Two server keys are valid at once.

use std::sync::Arc;

use godwit_base::JoinLink;
use godwit_link::StaticKey;
use godwit_server::admin::Question;
use godwit_server::keys::rotate_server_key;
use godwit_server::{Server, Setup, StartError};
use godwit_store::{Appended, Embedded, OpenError, Operations, Options, Settled, Sink};
use godwit_wire::Refusal;

use super::link::{Link, NoLink};
use super::operator::asks;
use super::world::{World, config};

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

/// Two first starts at once: the one that does not get the folder changes nothing in it.
#[tokio::test]
async fn no_key_is_made_in_a_folder_that_another_holds() {
    let data = tempfile::TempDir::new().unwrap();
    let sink = Arc::new(Deaf);
    let held = Embedded::open(&data.path().join("store"), Options::default(), sink).unwrap();
    let mut setup = Setup::new(config());
    setup.config.data = Some(data.path().to_owned());
    let refused = Server::start(setup).await.err().unwrap();
    assert!(matches!(refused, StartError::Store(OpenError::Locked(_))), "{refused}");
    let keys = ["server.key", "ticket.key"].map(|name| data.path().join(name).exists());
    assert_eq!(keys, [false, false]);
    held.close();
    let world = World::on(data, |_| {}).await;
    assert!(world.data.path().join("server.key").exists());
}

/// A start that fails at its keys lets go of the folder.
#[tokio::test]
async fn a_server_that_did_not_start_holds_nothing() {
    let data = World::new().await.stops().await;
    let file = data.path().join("server.key");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "damaged").unwrap();
    let mut setup = Setup::new(config());
    setup.config.data = Some(data.path().to_owned());
    let refused = Server::start(setup).await.err().unwrap();
    assert!(matches!(refused, StartError::Keys(_)), "{refused}");
    std::fs::write(&file, good).unwrap();
    World::on(data, |_| {}).await;
}

struct Deaf;

impl Sink for Deaf {
    fn settled(&self, _: &[Settled]) {}
    fn appended(&self, _: &[Appended]) {}
    fn missed(&self) {}
}

/// The operator rotates the key of the running server; the join link with the new one.
async fn rotates(world: &World) -> JoinLink {
    let made = asks(world, Question::RotateKey).await.unwrap();
    let join: JoinLink = made["join"].as_str().unwrap().parse().unwrap();
    let status = asks(world, Question::Status).await.unwrap();
    assert_eq!((&status["join"], &status["node"]), (&made["join"], &made["node"]));
    join
}

#[tokio::test]
async fn a_running_server_changes_its_key_and_nobody_is_dropped() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let first = world.join.clone();
    let second = rotates(&world).await;
    assert_ne!(second.server_key, first.server_key);
    assert!(Link::dial(&first, &alice.link_key).await.is_ok(), "the old link works on");
    assert!(Link::dial(&second, &alice.link_key).await.is_ok(), "and so does the new one");
    let third = rotates(&world).await;
    let refused = Link::dial(&first, &alice.link_key).await.err().unwrap();
    assert_eq!(refused, NoLink::Refused(Refusal::UnknownServerKey, 0), "retired");
    assert!(Link::dial(&second, &alice.link_key).await.is_ok());
    assert!(Link::dial(&third, &alice.link_key).await.is_ok());
    // The links that stood before any of this carry on.
    let counter = alice.sends("still here").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("still here", &alice).await;
    // And what is on disk is what was in use.
    let world = World::on(world.stops().await, |_| {}).await;
    assert_eq!(world.join.server_key, third.server_key);
}
