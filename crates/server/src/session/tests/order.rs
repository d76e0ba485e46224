//! What a turn says first and what it says last, what waits when the device does not read, and what the end
//! of a session leaves to the others.

use super::*;
use crate::seat::IN_FLIGHT_MAX;

const BOB: AccountId = AccountId(2);

fn tick(counter: u64) -> Word {
    Word::Settled { counter, outcome: Outcome::Accepted { at_ms: 1 } }
}

/// Bob is here from now on: the session has something to tell.
fn bob_comes(node: &Arc<Node>) -> Arc<Seat> {
    let bob = node.registry.enter(0);
    node.presence.set(BOB, &bob, true, Rule::Everyone, Moment { s: 1, unix_ms: 60_000 });
    bob
}

#[tokio::test]
async fn a_turn_says_ticks_then_answers_then_records_then_presence() {
    let (server, _data) = lab(|_| {}).await;
    let node = &server.node;
    let (mut session, mut far, mut client) = session(node, 1 << 16);
    attach(&mut session, &mut far, &mut client).await;
    watch(BOB, &mut session, &mut far, &mut client).await;
    hears(&mut far, &mut client).await;
    // The least important comes first.
    let _bob = bob_comes(node);
    assert_eq!(session.seat.hand(record(1)), Push::Pushed);
    let question = frame(&mut client, v1::TermsRequest { request: 1 });
    far.write_all(&question).await.unwrap();
    session.seat.tell(tick(1));
    turn(&mut session);
    let heard = hears(&mut far, &mut client).await;
    assert_eq!(heard, ["Accepted", "Terms", "Deliver", "Presence"]);
}

#[tokio::test]
async fn an_order_to_close_comes_before_all_else() {
    let (server, _data) = lab(|_| {}).await;
    let (mut session, mut far, mut client) = session(&server.node, 1 << 16);
    attach(&mut session, &mut far, &mut client).await;
    hears(&mut far, &mut client).await;
    assert_eq!(session.seat.hand(record(1)), Push::Pushed);
    let question = frame(&mut client, v1::TermsRequest { request: 1 });
    far.write_all(&question).await.unwrap();
    session.seat.tell(Word::Close(Refusal::Draining, 5));
    turn(&mut session);
    assert_eq!(hears(&mut far, &mut client).await, ["Goodbye"]);
}

/// Two marks: above the first byte unsent presence waits, above `unsent_behind_bytes` records do too; ticks
/// and answers never.
#[tokio::test]
async fn with_a_full_outbound_presence_waits_first_then_records_and_nothing_else() {
    const RECORDS: u64 = 40;
    let (server, _data) = lab(|setup| setup.config.session.unsent_behind_bytes = 2_000).await;
    let (node, meters) = (&server.node, &server.node.meters);
    let (mut session, mut far, mut client) = session(node, 256);
    attach(&mut session, &mut far, &mut client).await;
    watch(BOB, &mut session, &mut far, &mut client).await;
    let presences = meters.presences.get();
    (1..=RECORDS).for_each(|n| assert_eq!(session.seat.hand(record(n)), Push::Pushed));
    turns_until(&mut session, |session| session.outbound.unsent_bytes() >= 2_000).await;
    let delivered = meters.delivered.get();
    assert!(delivered < RECORDS, "not all found room");
    let _bob = bob_comes(node);
    far.write_all(&frame(&mut client, v1::TermsRequest { request: 1 })).await.unwrap();
    session.seat.tell(tick(1));
    turn(&mut session);
    assert_eq!(meters.accepted.get(), 1);
    assert_eq!((meters.delivered.get(), meters.presences.get()), (delivered, presences));

    let mut received = Vec::new();
    while meters.delivered.get() == delivered {
        far.read_buf(&mut received).await.unwrap();
        turn(&mut session);
    }
    assert!(session.outbound.unsent_bytes() > 0);
    assert_eq!(meters.presences.get(), presences, "records first");
    while session.outbound.unsent_bytes() > 0 || session.seat.has_marks() {
        far.read_buf(&mut received).await.unwrap();
        turn(&mut session);
        let is_told = meters.presences.get() > presences;
        assert!(!is_told || session.outbound.unsent_bytes() < 100, "nothing else is unsent");
    }
    drop(session);
    far.read_to_end(&mut received).await.unwrap();
    let said = said(&received, &mut client);
    let names: Vec<_> = said.iter().map(ToClient::name).collect();
    let at = |wanted| names.iter().position(|name| *name == wanted).unwrap();
    assert_eq!(at("Terms"), at("Accepted") + 1);
    assert_eq!(names.get(at("Terms") + 1), Some(&"Deliver"), "what had waited");
    assert_eq!(names.last(), Some(&"Presence"));
    assert_eq!(meters.delivered.get(), RECORDS);
}

#[tokio::test]
async fn as_many_submissions_as_may_be_in_flight_are_taken_and_one_more_is_busy() {
    let limit = u64::from(IN_FLIGHT_MAX);
    for (count, busy) in [(limit, 0), (limit + 1, 1)] {
        let (server, _data) = lab(|_| {}).await;
        let (node, meters) = (&server.node, &server.node.meters);
        let (mut session, mut far, mut client) = session(node, 1 << 16);
        attach(&mut session, &mut far, &mut client).await;
        // In one frame: they are all heard before the first can be settled.
        let messages: Vec<_> = (1..=count).map(|counter| submission(counter, 1)).collect();
        far.write_all(&frame_of(&mut client, &messages)).await.unwrap();
        turns_until(&mut session, |_| meters.submissions.get() >= limit).await;
        assert_eq!((meters.submissions.get(), refused(node, Refusal::Busy)), (limit, busy));
        turns_until(&mut session, |_| refused(node, Refusal::DeviceRevoked) == limit).await;
        far.write_all(&frame(&mut client, submission(limit + 1, 1))).await.unwrap();
        turn(&mut session);
        assert_eq!((meters.submissions.get(), refused(node, Refusal::Busy)), (limit + 1, busy));
    }
}

/// A storm ends thousands of sessions; whoever has a message does not wait for all of them.
#[tokio::test]
async fn a_session_whose_link_is_over_ends_when_it_is_its_turn() {
    let (server, _data) = lab(|_| {}).await;
    let node = &server.node;
    let stopped = node.ends.stop().await;
    let (mut session, far, _client) = session(node, 64);
    assert_eq!(node.registry.live(), 1);
    drop(far);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut session).poll(&mut cx), Poll::Pending);
    assert_eq!(node.registry.live(), 0, "nobody reaches it any more");
    drop(stopped);
    session.await;
}
