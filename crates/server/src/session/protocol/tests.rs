//! The machine alone: order after a refusal, bounds, and what it says to each outcome.

use std::net::Ipv4Addr;

use bytes::Bytes;
use godwit_wire::frame::PLAINTEXT_BYTES_MAX;

use super::*;

const ALICE: DeviceId = DeviceId::new(1, 1);
const TOKEN: Token = Token(7);

fn attached() -> Machine {
    Machine::new(Peer::Attached(ALICE))
}

fn submit(counter: u64) -> ToServer {
    let copy = v1::SealedCopy { device: 1, kind: 2, body: Bytes::from_static(b"sealed") };
    let recipient = v1::Recipient { account: 2, list_version: 1, copies: vec![copy] };
    v1::Submit { counter, recipients: vec![recipient], group: None }.into()
}

/// No rate stands in the way.
fn hears(machine: &mut Machine, message: ToServer) -> Effect {
    machine.hears(message, TOKEN, Rate::per_second(1_000_000, 1_000_000), 1)
}

fn code(effect: &Effect) -> Option<Refusal> {
    match effect {
        Effect::Say(ToClient::Refused(refused)) => Refusal::from_number(refused.code),
        _ => None,
    }
}

fn is_taken(effect: &Effect) -> bool {
    matches!(effect, Effect::Submit(_))
}

#[test]
fn a_submission_carries_its_kind_before_the_ciphertext() {
    let effect = hears(&mut attached(), submit(1));
    let Effect::Submit(submission) = effect else { panic!("{effect:?}") };
    assert_eq!((submission.origin, submission.counter, submission.token), (ALICE, 1, TOKEN));
    let body = submission.recipients[0].copies[0].body.clone();
    assert_eq!(body, b"\x02sealed".as_slice());
    let from = DeviceId::new(3, 1);
    let entry = Entry::Message { from, counter: 9, body };
    let deliver = attached().record(Record { seq: Seq(5), entry });
    let Some(ToClient::Deliver(deliver)) = deliver else { panic!("{deliver:?}") };
    assert_eq!((deliver.seq, deliver.account, deliver.counter, deliver.kind), (5, 3, 9, 2));
    assert_eq!(deliver.body, b"sealed".as_slice());
}

#[test]
fn after_a_refusal_for_now_everything_later_waits_for_that_counter() {
    for (outcome, refusal) in [
        (Outcome::DiskFull, Refusal::DiskFull),
        (Outcome::Unavailable, Refusal::Unavailable),
        (Outcome::ReceiptsWaiting, Refusal::ReceiptsWaiting),
    ] {
        let mut machine = attached();
        for counter in 5..=7 {
            assert!(is_taken(&hears(&mut machine, submit(counter))));
        }
        let ToClient::Refused(refused) = machine.settled(5, outcome, 1) else { panic!() };
        assert_eq!(Refusal::from_number(refused.code), Some(refusal));
        assert!(refused.retry_after_ms > 0);
        assert_eq!(code(&hears(&mut machine, submit(8))), Some(Refusal::AfterRefusal));
        assert_eq!(code(&hears(&mut machine, submit(6))), Some(Refusal::AfterRefusal));
        assert!(is_taken(&hears(&mut machine, submit(4))), "an earlier one holds nobody up");
        assert!(is_taken(&hears(&mut machine, submit(5))), "the one that is waited for");
        assert!(is_taken(&hears(&mut machine, submit(6))));
    }
}

#[test]
fn the_earliest_refused_counter_is_the_one_waited_for() {
    let mut machine = attached();
    for counter in 5..=6 {
        assert!(is_taken(&hears(&mut machine, submit(counter))));
    }
    machine.settled(6, Outcome::Unavailable, 1);
    machine.settled(5, Outcome::Unavailable, 1);
    assert_eq!(code(&hears(&mut machine, submit(6))), Some(Refusal::AfterRefusal));
    assert!(is_taken(&hears(&mut machine, submit(5))));
}

#[test]
fn a_final_refusal_concerns_that_message_alone() {
    for (outcome, refusal) in [
        (Outcome::UnknownAccount(AccountId(2)), Refusal::UnknownAccount),
        (Outcome::MailboxFull(DeviceId::new(2, 1)), Refusal::MailboxFull),
        (Outcome::CounterTooOld, Refusal::CounterTooOld),
        (Outcome::Revoked, Refusal::DeviceRevoked),
        (Outcome::Malformed, Refusal::Malformed),
        (Outcome::Mismatch(Vec::new()), Refusal::DeviceMismatch),
    ] {
        let mut machine = attached();
        assert!(is_taken(&hears(&mut machine, submit(1))));
        let said = Effect::Say(machine.settled(1, outcome, 1));
        assert_eq!(code(&said), Some(refusal));
        assert!(is_taken(&hears(&mut machine, submit(2))), "{refusal:?}");
    }
}

#[test]
fn unsettled_submissions_and_requests_are_bounded_on_both_sides() {
    let mut machine = attached();
    let last = u64::from(IN_FLIGHT_MAX);
    for counter in 1..=last {
        assert!(is_taken(&hears(&mut machine, submit(counter))));
    }
    assert_eq!(code(&hears(&mut machine, submit(last + 1))), Some(Refusal::Busy));
    machine.settled(1, Outcome::Accepted { at_ms: 1 }, 1);
    assert!(is_taken(&hears(&mut machine, submit(last + 1))));

    let terms = |request| ToServer::Terms(v1::TermsRequest { request });
    for request in 1..=REQUESTS_MAX {
        assert!(matches!(hears(&mut machine, terms(request.into())), Effect::Ask(_)));
    }
    assert_eq!(code(&hears(&mut machine, terms(99))), Some(Refusal::Busy));
    machine.answered();
    assert!(matches!(hears(&mut machine, terms(100)), Effect::Ask(_)));
}

#[test]
fn a_mismatch_of_many_lists_still_fits_in_a_frame() {
    let one = |account| Mismatch {
        account: AccountId(account),
        list_version: 1,
        signed: Bytes::from(vec![1; godwit_base::limits::SIGNED_LIST_BYTES_MAX]),
        missing: (1..=8).map(DeviceNumber).collect(),
        extra: (1..=8).map(DeviceNumber).collect(),
    };
    let mut machine = attached();
    let said = machine.settled(1, Outcome::Mismatch((0..1_024).map(one).collect()), 1);
    assert!(said.encoded_len() <= PLAINTEXT_BYTES_MAX, "{}", said.encoded_len());
    let ToClient::Refused(refused) = said else { panic!("{said:?}") };
    assert!(refused.mismatches.len() > 1);
}

#[test]
fn a_record_is_sent_once_and_caught_up_is_said_once() {
    let mut machine = attached();
    let receipt = |seq| {
        let entry = Entry::Receipt { origin: DeviceNumber(1), by: ALICE, up_to: 1 };
        Record { seq: Seq(seq), entry }
    };
    assert!(machine.record(receipt(5)).is_some());
    assert!(machine.record(receipt(5)).is_none());
    assert!(machine.record(receipt(4)).is_none());
    assert!(machine.record(receipt(6)).is_some());
    assert_eq!(machine.last_sent(), Seq(6));
    assert_eq!(machine.caught_up(), Some(ALICE));
    assert_eq!(machine.caught_up(), None);
}

#[test]
fn nothing_is_acknowledged_that_was_not_sent() {
    let mut machine = attached();
    let acknowledges = |machine: &mut Machine, up_to| {
        let effect = hears(machine, v1::Ack { up_to }.into());
        let Effect::Acknowledge(ALICE, up_to) = effect else { panic!("{effect:?}") };
        up_to.0
    };
    assert_eq!(acknowledges(&mut machine, 5), 0, "sent on another link perhaps: it comes again");
    let entry = Entry::Receipt { origin: DeviceNumber(1), by: ALICE, up_to: 1 };
    assert!(machine.record(Record { seq: Seq(5), entry }).is_some());
    assert_eq!(acknowledges(&mut machine, 4), 4);
    assert_eq!(acknowledges(&mut machine, 5), 5);
    assert_eq!(acknowledges(&mut machine, 6), 5);
    assert_eq!(acknowledges(&mut machine, u64::MAX), 5);
}

#[test]
fn a_device_begins_once_a_link_and_strangers_never() {
    let mut machine = attached();
    assert_eq!(machine.begins_to_submit(&v1::Attach {}.into()), None);
    assert_eq!(machine.begins_to_submit(&submit(1)), Some(ALICE));
    assert!(is_taken(&hears(&mut machine, submit(1))));
    assert_eq!(machine.begins_to_submit(&submit(2)), None);
    let who = Stranger::new([1; 32], Ipv4Addr::LOCALHOST.into());
    let stranger = Machine::new(Peer::Stranger(Box::new(who)));
    assert_eq!(stranger.begins_to_submit(&submit(1)), None);
}

#[test]
fn a_stranger_becomes_a_device_once() {
    let address = Ipv4Addr::LOCALHOST.into();
    let who = Stranger::new([1; 32], address);
    let mut machine = Machine::new(Peer::Stranger(Box::new(who)));
    assert_eq!(machine.device(), None);
    machine.registered(ALICE);
    machine.registered(DeviceId::new(9, 9));
    assert_eq!(machine.device(), Some(ALICE));
    assert!(matches!(hears(&mut machine, v1::Attach {}.into()), Effect::Attach(ALICE)));
    assert!(matches!(hears(&mut machine, v1::Attach {}.into()), Effect::Nothing));
}

#[test]
fn presence_is_for_who_has_taken_its_mailbox() {
    let said = || [v1::PresenceSet::default().into(), v1::PresenceWatch::default().into()];
    let [set, watch] = said().map(|message| hears(&mut attached(), message));
    assert!(matches!(set, Effect::Present(ALICE, _)), "{set:?}");
    assert!(matches!(watch, Effect::Watch(ALICE, _)), "{watch:?}");
    for message in said() {
        let effect = hears(&mut Machine::new(Peer::Device(ALICE)), message.clone());
        assert!(matches!(effect, Effect::Close(Refusal::NotAttached)), "{effect:?}");
        let effect = hears(&mut Machine::new(Peer::Revoked), message);
        assert!(matches!(effect, Effect::Close(Refusal::DeviceRevoked)), "{effect:?}");
    }
}

#[test]
fn a_post_costs_as_many_as_the_group_has_members() {
    let (mut machine, rate) = (attached(), Rate::per_second(1, 1_024));
    let post = |counter| -> ToServer {
        let (group, body) = (Bytes::from_static(&[7; 16]), Bytes::from_static(b"sealed"));
        let group = Some(v1::GroupPost { group, epoch: 1, devices_version: 0, body });
        v1::Submit { counter, recipients: Vec::new(), group }.into()
    };
    let Effect::Submit(first) = machine.hears(post(1), TOKEN, rate, 1) else { panic!("taken") };
    assert!(first.post.as_ref().is_some_and(GroupPost::is_shared));
    assert!(machine.pay_for(&first, 1_023, rate, 1).is_none());
    let Effect::Submit(second) = machine.hears(post(2), TOKEN, rate, 1) else { panic!("taken") };
    let refused = machine.pay_for(&second, 2, rate, 1);
    assert_eq!(code(&Effect::Say(refused.unwrap())), Some(Refusal::RateLimited));
    let later = hears(&mut machine, post(3));
    assert_eq!(code(&later), Some(Refusal::AfterRefusal), "order is kept");
}
