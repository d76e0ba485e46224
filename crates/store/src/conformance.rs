//! The suite that every engine must pass: what the traits promise, as stories.
//!
//! An engine implements [`Ground`] and calls [`conformance!`](crate::conformance!) in a test file; each
//! story becomes a test. Nothing here knows how an engine works inside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code: it stops at the first surprise"
)]

pub mod accounts;
pub mod groups;
pub mod mailboxes;
pub mod media;
pub mod model;
pub mod posts;
pub mod prekeys;
pub mod reach;
pub mod receipts;
pub mod refusals;
pub mod upkeep;
mod world;

use std::sync::Arc;

use godwit_base::ManualClock;

use crate::{Quotas, Sink, Store};

pub use world::{Event, Person, World, block_on, first_keys};

/// Where an engine under test keeps its data.
pub trait Ground {
    /// Opens the store; always over the same data. The one opened before is closed by then.
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store>;
}

/// How a story wants its store.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The store's clock.
    pub clock: ManualClock,
    /// The store's quotas.
    pub quotas: Quotas,
}

/// Makes one test of each story; `$ground` is evaluated for each and gives a fresh [`Ground`].
#[macro_export]
macro_rules! conformance {
    ($ground:expr) => {
        $crate::conformance!(@ $ground;
            mailboxes:
                an_accepted_message_is_told_then_handed_over_then_readable
                order_is_kept_in_every_mailbox
                a_page_is_bounded_by_records_and_by_bytes
                an_empty_or_unknown_mailbox_is_an_empty_page
                a_repeat_stores_nothing_and_is_told_so
                counters_out_of_order_are_accepted_once_each
                a_counter_below_the_window_cannot_be_told
                the_highest_counter_is_known_until_the_device_goes
                own_devices_get_copies_but_not_the_sender
                a_message_to_nobody_else_is_accepted
                places_grow_though_the_clock_goes_back
                everything_is_there_after_reopening;
            refusals:
                a_wrong_device_list_is_answered_with_the_right_one
                one_bad_recipient_keeps_the_message_from_all
                a_full_mailbox_refuses_and_takes_again_when_there_is_room
                bytes_fill_a_mailbox_too
                one_sender_cannot_fill_a_mailbox
                malformed_submissions_are_refused_at_each_bound
                a_removed_device_sends_nothing;
            receipts:
                acknowledging_deletes_and_tells_every_device_of_the_sender
                receipts_are_not_receipted
                receipts_become_one_watermark
                a_receipt_already_fetched_is_not_taken_back
                whoever_lets_receipts_pile_up_is_refused
                what_follows_on_piled_up_receipts_waits_for_it
                odd_acknowledgements_do_nothing
                a_long_acknowledgement_is_carried_through;
            accounts:
                a_registration_is_found_by_handle_account_and_link_key
                the_same_registration_again_is_no_error
                handle_account_and_link_key_are_unique
                an_invite_is_needed_valid_and_used_once
                an_invite_expires_at_its_moment
                invites_are_listed_replaced_and_bounded
                malformed_registrations_are_refused_at_each_bound
                a_new_list_revokes_those_who_left
                lists_go_forward_one_by_one
                a_list_comes_from_a_device_that_is_listed
                an_owner_brings_the_next_list_with_a_new_device
                a_device_comes_with_its_first_keys;
            prekeys:
                each_one_time_key_is_taken_once_oldest_first
                a_taken_key_never_comes_back
                two_takers_never_get_one_key
                without_asking_no_one_time_key_is_taken
                publishing_is_bounded_and_all_or_nothing
                the_fallback_key_is_kept_or_replaced
                an_unknown_device_has_no_keys;
            groups:
                a_group_is_made_changed_and_read_by_its_members
                news_of_a_change_waits_once_in_each_mailbox
                who_recovers_an_account_is_told_of_its_groups
                who_may_change_what
                changes_are_in_one_order_and_the_same_again_is_no_error
                who_left_reads_up_to_that_and_no_further
                a_link_lets_anybody_in_and_only_that
                malformed_changes_are_refused_at_each_bound
                a_group_holds_so_many_and_an_account_is_in_so_many
                a_full_log_lets_its_members_leave
                a_log_is_read_in_pages
                an_ended_group_is_swept;
            posts:
                a_post_is_stored_once_and_waits_for_every_device_but_the_sender
                a_body_goes_with_the_last_who_waits_for_it
                posts_keep_their_order_among_messages
                a_post_is_refused_unless_all_of_it_is_right
                only_a_change_of_the_set_of_devices_makes_a_post_stale
                copies_for_a_group_are_for_exactly_its_members
                a_full_mailbox_is_passed_by_and_told
                a_removed_device_lets_go_of_its_posts
                posts_expire
                a_page_of_posts_is_bounded_by_bytes
                many_posts_are_cut_into_batches;
            reach:
                receipts_of_a_post_become_one_record_that_counts_accounts
                the_next_receipt_follows_the_acknowledgement_of_the_last
                who_has_a_post_is_known_by_account
                what_is_read_is_counted_by_account_and_no_further_than_it_came
                only_who_has_a_post_can_have_read_it
                what_is_read_is_told_as_what_is_had
                rows_of_reach_are_swept_when_they_are_old;
            upkeep:
                old_records_expire_and_young_ones_stay
                a_sweep_is_bounded_and_says_there_is_more
                a_leap_of_the_clock_drops_nothing
                a_removed_devices_records_are_swept
                meta_values_are_kept_and_bounded
                counts_follow_what_happens
                verification_finds_nothing_wrong
                a_closed_store_takes_nothing;
            model:
                random_operations_agree_with_a_model;
        );
    };
    (@ $ground:expr; $($module:ident: $($story:ident)+;)+) => {
        $(mod $module {
            #[allow(unused_imports, reason = "whatever the ground needs")]
            use super::*;
            $(#[test]
            fn $story() {
                $crate::conformance::$module::$story(&mut $ground);
            })+
        })+
    };
}
