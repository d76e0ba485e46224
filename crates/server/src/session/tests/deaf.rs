//! Who goes on sending what is refused is read no sooner than it was told; who listens always is.

use super::super::refusals::AT_ONCE;
use super::*;

/// Named by the first refusal: the first submission owes so many copies, one a second.
const OWED: u32 = 4;

/// A server whose clock stands a millisecond after its start, with a rate of one copy a second and a keepalive of one second.
async fn strict_lab() -> (Server, TempDir) {
    let clock = ManualClock::at(1_700_000_000_000);
    let lab = lab(|setup| {
        setup.clock = Arc::new(clock.clone());
        setup.config.rate.submissions_per_s = 1;
        setup.config.rate.submissions_burst = 1;
        setup.config.link.keepalive_s = 1;
    })
    .await;
    clock.advance(1);
    lab
}

/// Has the device submit one message that is taken and so many that are refused, all of them at once.
async fn is_refused(
    count: u32,
    session: &mut Session,
    far: &mut DuplexStream,
    client: &mut Transport,
) {
    for counter in 1..=u64::from(count) + 1 {
        let copies = if counter == 1 { OWED } else { 1 };
        far.write_all(&frame(client, submission(counter, copies))).await.unwrap();
    }
    for _ in 0..=(count + 1).div_ceil(TURN_FRAMES_MAX) {
        turn(session);
    }
}

#[tokio::test]
async fn two_windows_of_refusals_are_read_and_after_one_more_nothing() {
    for (count, holds) in [(AT_ONCE, 0), (AT_ONCE + 1, 1)] {
        let (server, _data) = strict_lab().await;
        let (mut session, mut far, mut client) = session(&server.node, 1 << 20);
        attach(&mut session, &mut far, &mut client).await;
        is_refused(count, &mut session, &mut far, &mut client).await;
        assert_eq!(refused(&server.node, Refusal::RateLimited), 1);
        assert_eq!(refused(&server.node, Refusal::AfterRefusal), u64::from(count) - 1);
        assert_eq!(server.node.meters.holds.get(), holds, "{count} refusals");
    }
}

#[tokio::test]
async fn a_deaf_device_is_told_what_comes_and_read_again_when_it_may_come_again() {
    let (server, _data) = strict_lab().await;
    let (node, meters) = (&server.node, &server.node.meters);
    let (mut session, mut far, mut client) = session(node, 1 << 20);
    attach(&mut session, &mut far, &mut client).await;
    tokio::time::pause();
    is_refused(4 * AT_ONCE, &mut session, &mut far, &mut client).await;
    let heard = || refused(node, Refusal::AfterRefusal);
    let before = heard();
    assert_eq!(meters.holds.get(), 1);
    assert!(before < u64::from(AT_ONCE + TURN_FRAMES_MAX));

    assert_eq!(session.seat.hand(record(1)), Push::Pushed);
    session.seat.tell(Word::Settled { counter: 9, outcome: Outcome::Accepted { at_ms: 1 } });
    turn(&mut session);
    assert_eq!((meters.delivered.get(), meters.accepted.get()), (1, 1));

    tokio::time::advance(Duration::from_millis(u64::from(OWED) * 1_000 - 1)).await;
    turn(&mut session);
    assert_eq!(heard(), before, "not a millisecond early");
    tokio::time::advance(Duration::from_millis(2)).await;
    turn(&mut session);
    assert!(heard() > before);
}

#[tokio::test]
async fn a_deaf_device_is_not_taken_for_silent_while_nobody_listens_to_it() {
    let (server, _data) = strict_lab().await;
    let node = &server.node;
    let (mut held, mut far, mut client) = session(node, 1 << 20);
    attach(&mut held, &mut far, &mut client).await;
    let (silent, _silent_far, _) = session(node, 64);
    is_refused(AT_ONCE + 1, &mut held, &mut far, &mut client).await;
    assert_eq!(sweep(node, 0, node.now_s() + OWED), 1, "the other one");
    turn(&mut held);
    assert_eq!(held.stage, Stage::Held);
    assert_eq!(sweep(node, 0, node.now_s() + 2 * OWED), 2);
    turn(&mut held);
    assert_eq!(held.stage, Stage::Lingering, "a goodbye is no input");
    drop(silent);
}

#[tokio::test]
async fn that_a_deaf_device_has_gone_is_seen_when_it_is_read_again() {
    let (server, _data) = strict_lab().await;
    let (mut session, mut far, mut client) = session(&server.node, 1 << 20);
    attach(&mut session, &mut far, &mut client).await;
    tokio::time::pause();
    is_refused(AT_ONCE + 1, &mut session, &mut far, &mut client).await;
    drop(far);
    turn(&mut session);
    tokio::time::advance(Duration::from_secs(u64::from(OWED) + 1)).await;
    turn(&mut session);
    assert_eq!(session.stage, Stage::Over);
    session.await;
}

/// Requests, and submissions of who is not attached: whatever no rate has counted.
#[tokio::test]
async fn who_is_refused_for_good_again_and_again_is_held_as_well() {
    let (server, _data) = strict_lab().await;
    let (mut session, mut far, mut client) = session(&server.node, 1 << 20);
    for _ in 0..=AT_ONCE {
        far.write_all(&frame(&mut client, submission(1, 1))).await.unwrap();
    }
    turns_until(&mut session, |session| session.stage == Stage::Held).await;
    assert_eq!(refused(&server.node, Refusal::NotAttached), u64::from(AT_ONCE) + 1);
}
