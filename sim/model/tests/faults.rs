//! For each way to build it wrong there is a promise that breaks; and the promise that breaks is the one that
//! is meant.

use godwit_model::check;
use godwit_model::delivery::{Delivery, promise};
use godwit_model::fault::Fault;
use godwit_model::scope::{Budget, Scope};

const NOTHING: Budget = Budget { crashes: 0, cuts: 0, refusals: 0, hand_overs: 0, finals: 0 };
const CRASH: Budget = Budget { crashes: 1, ..NOTHING };
const CUT: Budget = Budget { cuts: 1, ..NOTHING };
const REFUSAL: Budget = Budget { refusals: 1, ..NOTHING };
const HAND_OVER: Budget = Budget { hand_overs: 1, ..NOTHING };

/// The fault breaks the promise, and without the fault nothing of the same search breaks one. Messages of one
/// sender to one device are enough for all of them.
#[track_caller]
fn breaks(fault: Fault, messages: u8, budget: Budget, promise: &'static str) {
    let scope = Scope { name: "a fault", messages: [messages, 0], devices: 1, budget };
    let found = check::until_broken(Delivery::new(scope).with(fault), promise);
    found.broken.iter().for_each(|broken| println!("{broken}"));
    let is_found = found.broken.iter().any(|broken| broken.promise == promise);
    assert!(is_found, "the fault is not found among {} states", found.states);

    let found = check::all(Delivery::new(scope));
    found.broken.iter().for_each(|broken| println!("{broken}"));
    assert!(found.broken.is_empty(), "without the fault");
}

#[test]
fn a_tick_before_the_disk() {
    breaks(Fault::TickBeforeDisk, 1, NOTHING, promise::TICKED);
}

#[test]
fn an_acknowledgement_before_the_commit() {
    breaks(Fault::AckBeforeCommit, 1, NOTHING, promise::KEPT);
}

#[test]
fn a_record_deleted_when_it_was_said() {
    breaks(Fault::DeleteOnDelivery, 1, NOTHING, promise::KEPT);
}

#[test]
fn a_page_that_begins_with_the_newest() {
    breaks(Fault::PageNewestFirst, 2, NOTHING, promise::KEPT);
}

#[test]
fn a_store_without_a_window() {
    breaks(Fault::NoWindow, 1, CUT, promise::STORED_ONCE);
}

#[test]
fn a_window_in_memory() {
    breaks(Fault::WindowInMemory, 1, CRASH, promise::STORED_ONCE);
}

#[test]
fn a_client_that_shows_whatever_comes() {
    breaks(Fault::NoDedup, 1, CUT, promise::SHOWN_ONCE);
}

#[test]
fn a_session_that_takes_what_follows_a_refusal() {
    breaks(Fault::TakesAfterRefusal, 2, REFUSAL, promise::IN_ORDER);
}

#[test]
fn a_session_that_refuses_for_ever() {
    breaks(Fault::RefusesForEver, 2, REFUSAL, promise::AGREED);
}

#[test]
fn a_store_that_takes_what_was_handed_in_before_the_refusal_was_heard() {
    breaks(Fault::NoHolds, 2, REFUSAL, promise::IN_ORDER);
}

#[test]
fn a_client_that_sends_on_before_all_answers_have_come() {
    breaks(Fault::NoSettling, 3, REFUSAL, promise::IN_ORDER);
}

#[test]
fn a_receipt_before_the_acknowledgement() {
    breaks(Fault::ReceiptOnDelivery, 1, NOTHING, promise::RECEIPT);
}

#[test]
fn a_receipt_in_a_later_batch() {
    breaks(Fault::ReceiptInLaterBatch, 1, CRASH, promise::DONE);
}

#[test]
fn an_acknowledgement_that_a_failed_batch_forgets() {
    breaks(Fault::AckForgotten, 1, REFUSAL, promise::DONE);
}

#[test]
fn an_inbox_that_is_emptied_after_the_page() {
    breaks(Fault::InboxEmptiedLate, 1, NOTHING, promise::DONE);
}

#[test]
fn an_overflow_without_a_mark() {
    breaks(Fault::OverflowUnmarked, 2, NOTHING, promise::DONE);
}

#[test]
fn a_late_attach_that_takes_the_device() {
    breaks(Fault::LateAttachTakes, 1, CUT, promise::DONE);
}

#[test]
fn a_move_that_forgets_what_is_refused() {
    let both = Budget { refusals: 1, ..HAND_OVER };
    breaks(Fault::MoveForgetsRefusal, 2, both, promise::IN_ORDER);
}

#[test]
fn a_move_with_outcomes_on_their_way() {
    breaks(Fault::MoveLosesOutcomes, 1, HAND_OVER, promise::DONE);
}

#[test]
fn a_move_with_outcomes_not_yet_told() {
    let both = Budget { refusals: 1, ..HAND_OVER };
    breaks(Fault::MoveUnsettled, 2, both, promise::IN_ORDER);
}

#[test]
fn a_move_that_does_not_read_the_mailbox() {
    breaks(Fault::MoveGoesOnLive, 1, HAND_OVER, promise::DONE);
}

#[test]
fn a_displaced_session_that_submits() {
    breaks(Fault::DisplacedSubmits, 1, Budget { finals: 1, ..CUT }, promise::FAILED);
}
