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

#[tokio::test]
async fn a_text_of_20_characters_fits_its_budget_on_both_links() {
    // What seal makes of 20 characters in a settled session: padded to 63, encrypted 136 bytes.
    const SEALED_BYTES: usize = 136;
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let at_the_end = |person: &mut super::person::Person| {
        let link = person.link();
        (link.bytes_sent, link.bytes_received)
    };
    let (alice_before, bob_before) = (at_the_end(&mut alice), at_the_end(&mut bob));
    let counter = alice.sends(&"x".repeat(SEALED_BYTES)).to(&bob).await;
    let (submitted, _) = at_the_end(&mut alice);
    alice.sees_tick(counter).await;
    let deliver = bob.receives(&"x".repeat(SEALED_BYTES), &alice).await;
    bob.acknowledges(&deliver).await;
    let receipt = alice.sees_delivered(&bob, counter).await;
    alice.link().says(&[godwit_wire::v1::Ack { up_to: receipt.seq }.into()]).await;
    let (alice_after, bob_after) = (at_the_end(&mut alice), at_the_end(&mut bob));
    let submit = submitted - alice_before.0;
    assert!(submit <= 220, "{submit} bytes to submit");
    let all = alice_after.0 - alice_before.0 + alice_after.1 - alice_before.1 + bob_after.0
        - bob_before.0
        + bob_after.1
        - bob_before.1;
    assert!(all <= 520, "{all} bytes on both links");
    println!("submit {submit} B, all on both links {all} B");
}
