//! The route of a message: submitted, ticked, delivered, acknowledged, ticked again.

use godwit_wire::ToClient;

use super::person::is_text;
use super::world::World;

#[tokio::test]
async fn a_message_is_ticked_delivered_and_ticked_again() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let counter = alice.sends("hi").to(&bob).await;
    alice.sees_tick(counter).await;
    let deliver = bob.receives("hi", &alice).await;
    assert_eq!(deliver.counter, counter);
    bob.acknowledges(&deliver).await;
    alice.sees_delivered(&bob, counter).await;
}

#[tokio::test]
async fn what_comes_for_somebody_away_waits_in_order_also_over_a_restart() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    for n in 1..=100 {
        let counter = alice.sends(&format!("line {n}")).to(&bob).await;
        alice.sees_tick(counter).await;
    }
    let data = world.stops().await;
    let world = World::on(data, |_| {}).await;
    (alice.join, bob.join) = (world.join.clone(), world.join.clone());
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), 100);
    let mut last = None;
    for (n, message) in (1..).zip(waiting) {
        last = Some(is_text(message, &format!("line {n}"), &alice));
    }
    bob.acknowledges(&last.unwrap()).await;
    // Waiting or live, as the acknowledgement was quicker or slower.
    let mut receipts = alice.comes_back().await;
    if receipts.is_empty() {
        receipts.push(alice.link().hears().await);
    }
    let [ToClient::Receipt(receipt)] = receipts.as_slice() else { panic!("{receipts:?}") };
    assert_eq!((receipt.account, receipt.up_to, receipt.origin), (bob.account().0, 100, 1));
}
