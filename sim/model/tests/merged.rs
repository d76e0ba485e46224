//! What is left out of a merged search makes no difference: what a killed server leaves, and what is at rest, is the
//! same as in the search of every step; and faults that it can meet are found.

use godwit_model::check::{all, outcomes};
use godwit_model::delivery::{Delivery, promise};
use godwit_model::fault::Fault;
use godwit_model::scope::{Budget, MERGED, MERGED_DEEP, Scope};

fn scope(messages: [u8; 2], devices: u8, crashes: u8) -> Scope {
    let budget = Budget { crashes, ..Budget::default() };
    Scope { name: "merged", messages, devices, budget }
}

#[track_caller]
fn same(messages: [u8; 2], devices: u8, crashes: u8) {
    let model = Delivery::new(scope(messages, devices, crashes));
    let (whole, merged) = (outcomes(&model), outcomes(&model.merged()));
    println!("{} after each step, {} merged", whole.len(), merged.len());
    assert!(!whole.is_empty());
    let missing: Vec<_> = whole.difference(&merged).take(1).collect();
    assert!(missing.is_empty(), "left out: {missing:#?}");
    let invented: Vec<_> = merged.difference(&whole).take(1).collect();
    assert!(invented.is_empty(), "invented: {invented:#?}");
}

#[test]
fn one_message_to_one_device_with_two_crashes() {
    same([1, 0], 1, 2);
}

#[test]
fn one_message_to_two_devices_with_a_crash() {
    same([1, 0], 2, 1);
}

#[test]
fn two_messages_in_a_row_with_a_crash() {
    same([2, 0], 1, 1);
}

#[test]
fn two_senders_to_one_device_with_a_crash() {
    same([1, 1], 1, 1);
}

#[test]
fn only_searches_with_crashes_alone_are_merged() {
    MERGED
        .iter()
        .chain(MERGED_DEEP)
        .for_each(|scope| assert!(scope.has_only_crashes(), "{}", scope.name));
    let cut = Budget { cuts: 1, ..Budget::default() };
    let cut = Scope { budget: cut, ..scope([1, 0], 1, 0) };
    let steps = |model| all(model).steps;
    assert_eq!(steps(Delivery::new(cut).merged()), steps(Delivery::new(cut)));
}

#[track_caller]
fn breaks(fault: Fault, messages: u8, crashes: u8, promise: &'static str) {
    let model = Delivery::new(scope([messages, 0], 1, crashes)).merged();
    let found = all(model.with(fault));
    found.broken.iter().for_each(|broken| println!("{broken}"));
    let is_found = found.broken.iter().any(|broken| broken.promise == promise);
    assert!(is_found, "the fault is not found among {} states", found.states);
    assert!(all(model).broken.is_empty(), "without the fault");
}

#[test]
fn a_tick_before_the_disk() {
    breaks(Fault::TickBeforeDisk, 1, 0, promise::TICKED);
}

#[test]
fn an_acknowledgement_before_the_commit() {
    breaks(Fault::AckBeforeCommit, 1, 0, promise::KEPT);
}

#[test]
fn a_record_deleted_when_it_was_said() {
    breaks(Fault::DeleteOnDelivery, 1, 0, promise::KEPT);
}

#[test]
fn a_page_that_begins_with_the_newest() {
    breaks(Fault::PageNewestFirst, 2, 1, promise::KEPT);
}

#[test]
fn a_store_without_a_window() {
    breaks(Fault::NoWindow, 1, 1, promise::STORED_ONCE);
}

#[test]
fn a_window_in_memory() {
    breaks(Fault::WindowInMemory, 1, 1, promise::STORED_ONCE);
}

#[test]
fn a_client_that_shows_whatever_comes() {
    breaks(Fault::NoDedup, 1, 1, promise::SHOWN_ONCE);
}

#[test]
fn a_receipt_before_the_acknowledgement() {
    breaks(Fault::ReceiptOnDelivery, 1, 0, promise::RECEIPT);
}

#[test]
fn a_receipt_in_a_later_batch() {
    breaks(Fault::ReceiptInLaterBatch, 1, 1, promise::DONE);
}
