//! The book of files: who holds what, when it goes, and that it is all there after reopening.

use std::sync::Arc;

use godwit_base::{AccountId, BlobId, DeviceId, DeviceNumber};

use crate::{
    Hold, HoldError, MEDIA_FETCHERS_MAX, MEDIA_HOLDERS_MAX, MEDIA_HOLDS_MAX, MediaBook, MediaStats,
    StoreError,
};

/// Where a book under test is kept.
pub trait Shelf {
    /// Opens the book; always over the same data. The one opened before is dropped or closed by then.
    fn open(&mut self) -> Arc<dyn MediaBook>;
}

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;
const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const QUOTA: u64 = 1_000;

fn blob(number: u64) -> BlobId {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    BlobId(id)
}

fn device(account: AccountId, number: u32) -> DeviceId {
    DeviceId { account, number: DeviceNumber(number) }
}

fn hold(account: AccountId, number: u64, bytes: u64) -> Hold {
    Hold {
        account,
        blob: blob(number),
        bytes,
        fetchers: 0,
        until_ms: NOW + DAY,
        keep_until_ms: NOW + 30 * DAY,
        quota_bytes: QUOTA,
    }
}

/// Holds a file and says that it is there.
fn store(book: &dyn MediaBook, hold: &Hold) {
    assert!(!book.hold(hold).unwrap().is_stored);
    assert!(book.stored(hold.account, hold.blob, hold.keep_until_ms).unwrap());
}

/// From the hold to the last word, over reopenings.
pub fn a_file_is_held_then_stored_and_known_after_reopening(shelf: &mut impl Shelf) {
    let book = shelf.open();
    let held = book.hold(&hold(ALICE, 1, 400)).unwrap();
    assert_eq!((held.bytes, held.is_stored, held.until_ms), (400, false, NOW + DAY));
    assert_eq!(book.blob(blob(1)).unwrap(), None, "not yet");
    assert!(!book.fetched(blob(1), device(BOB, 1)).unwrap(), "nothing to have");
    drop(book);
    let book = shelf.open();
    assert_eq!(book.held(ALICE, blob(1)).unwrap(), Some(held));
    assert!(book.stored(ALICE, blob(1), NOW + 30 * DAY).unwrap());
    assert!(!book.stored(BOB, blob(1), NOW + 60 * DAY).unwrap(), "he does not hold it");
    drop(book);
    let book = shelf.open();
    let found = book.blob(blob(1)).unwrap().unwrap();
    assert_eq!((found.bytes, found.until_ms), (400, NOW + 30 * DAY));
    assert_eq!(book.held(BOB, blob(1)).unwrap(), None);
    assert_eq!(book.media_stats(), MediaStats { blobs: 1, bytes: 400 });
}

/// Both sides of the bytes and of the number of files.
pub fn quotas_hold_on_both_sides(shelf: &mut impl Shelf) {
    let book = shelf.open();
    book.hold(&hold(ALICE, 1, 600)).unwrap();
    book.hold(&hold(ALICE, 2, 400)).unwrap();
    assert_eq!(book.hold(&hold(ALICE, 3, 1)), Err(HoldError::Quota));
    book.hold(&hold(ALICE, 3, 0)).unwrap();
    book.hold(&hold(ALICE, 1, 600)).unwrap();
    assert_eq!(book.hold(&hold(ALICE, 1, 601)), Err(HoldError::Quota), "it counts once, as it is");
    book.hold(&hold(BOB, 1, 600)).unwrap();
    let zero = |number| Hold { bytes: 0, ..hold(BOB, number, 0) };
    for number in 2..=MEDIA_HOLDS_MAX as u64 {
        book.hold(&zero(number)).unwrap();
    }
    assert_eq!(book.hold(&zero(1_000_000)), Err(HoldError::Quota));
    book.hold(&zero(5)).unwrap();
}

/// A file that is there is given to the next who uploads it, counted for both.
pub fn a_file_is_stored_once_for_several_holders(shelf: &mut impl Shelf) {
    let book = shelf.open();
    store(&*book, &hold(ALICE, 1, 400));
    let held = book.hold(&hold(BOB, 1, 400)).unwrap();
    assert!(held.is_stored);
    assert_eq!(held.until_ms, NOW + 30 * DAY);
    assert_eq!(book.hold(&hold(BOB, 1, 401)), Err(HoldError::Length));
    assert_eq!(book.hold(&hold(BOB, 2, 601)), Err(HoldError::Quota), "it counts for him too");
    assert_eq!(book.media_stats(), MediaStats { blobs: 1, bytes: 400 });
    for number in 3..=MEDIA_HOLDERS_MAX as u64 {
        book.hold(&hold(AccountId(number), 1, 400)).unwrap();
    }
    assert_eq!(book.hold(&hold(AccountId(999), 1, 400)), Err(HoldError::Holders));
}

/// The last of those who were named takes it away; nobody else does.
pub fn a_file_goes_when_all_who_were_named_have_it(shelf: &mut impl Shelf) {
    let book = shelf.open();
    let for_two = |account, number| Hold { fetchers: 2, ..hold(account, number, 400) };
    store(&*book, &for_two(ALICE, 1));
    assert!(!book.fetched(blob(1), device(BOB, 1)).unwrap());
    assert!(!book.fetched(blob(1), device(BOB, 1)).unwrap(), "the same one counts once");
    drop(book);
    let book = shelf.open();
    assert!(book.fetched(blob(1), device(BOB, 2)).unwrap());
    assert_eq!(book.blob(blob(1)).unwrap(), None);
    assert_eq!(book.held(ALICE, blob(1)).unwrap(), None, "and her quota is free");
    assert_eq!(book.media_stats(), MediaStats::default());
    book.hold(&hold(ALICE, 9, QUOTA)).unwrap();

    // Two holders: the numbers add up; a holder that named nobody keeps it.
    store(&*book, &for_two(BOB, 2));
    assert!(book.hold(&for_two(AccountId(3), 2)).unwrap().is_stored);
    assert!((1..=3).all(|number| !book.fetched(blob(2), device(BOB, number)).unwrap()));
    book.hold(&hold(AccountId(4), 2, 400)).unwrap();
    assert!((1..=9).all(|number| !book.fetched(blob(2), device(BOB, number)).unwrap()));
}

/// Both sides of the number that can be named, and what a second number means.
pub fn numbers_of_fetchers_are_bounded_and_only_grow(shelf: &mut impl Shelf) {
    let book = shelf.open();
    let named = |number, fetchers| Hold { fetchers, ..hold(ALICE, number, 1) };
    let all_fetch =
        |number, count| (1..=count).any(|n| book.fetched(blob(number), device(BOB, n)).unwrap());
    store(&*book, &named(1, MEDIA_FETCHERS_MAX));
    assert!(!all_fetch(1, MEDIA_FETCHERS_MAX - 1));
    assert!(all_fetch(1, MEDIA_FETCHERS_MAX));
    store(&*book, &named(2, MEDIA_FETCHERS_MAX + 1));
    assert!(!all_fetch(2, MEDIA_FETCHERS_MAX + 2), "as good as not known");
    store(&*book, &named(3, 1));
    book.hold(&named(3, 3)).unwrap();
    book.hold(&named(3, 2)).unwrap();
    assert!(!all_fetch(3, 2));
    assert!(all_fetch(3, 3));
    store(&*book, &named(4, 1));
    book.hold(&named(4, 0)).unwrap();
    book.hold(&named(4, 1)).unwrap();
    assert!(!all_fetch(4, 9), "not known stays not known");
}

/// Expiry at its moment, of uploads and of files, and the clock's leap.
pub fn what_is_over_is_swept_and_told(shelf: &mut impl Shelf) {
    let book = shelf.open();
    assert!(!book.sweep_media(NOW).unwrap().more);
    book.hold(&hold(ALICE, 1, 100)).unwrap();
    store(&*book, &hold(ALICE, 2, 100));
    let swept = book.sweep_media(NOW + DAY - 1).unwrap();
    assert!(swept.lapsed.is_empty() && swept.gone.is_empty());
    let swept = book.sweep_media(NOW + DAY).unwrap();
    assert_eq!((swept.lapsed, swept.gone), (vec![(ALICE, blob(1))], vec![]));
    assert_eq!(book.held(ALICE, blob(1)).unwrap(), None);
    assert!(book.sweep_media(NOW + 30 * DAY).unwrap().clock_leapt, "29 days at once");
    assert!(book.blob(blob(2)).unwrap().is_some());
    for day in 2..30 {
        assert!(book.sweep_media(NOW + day * DAY).unwrap().gone.is_empty());
    }
    // A second holder keeps it on.
    book.hold(&Hold { keep_until_ms: NOW + 31 * DAY, ..hold(BOB, 2, 100) }).unwrap();
    drop(book);
    let book = shelf.open();
    assert!(book.sweep_media(NOW + 30 * DAY).unwrap().gone.is_empty());
    assert_eq!(book.held(ALICE, blob(2)).unwrap(), None, "hers is over");
    assert_eq!(book.sweep_media(NOW + 31 * DAY).unwrap().gone, [blob(2)]);
    assert_eq!(book.blob(blob(2)).unwrap(), None);
    assert_eq!(book.media_stats(), MediaStats::default());
}

/// A server that is started again in the same process must find the book free, whoever still holds it.
pub fn a_closed_book_lets_go_and_answers_nothing(shelf: &mut impl Shelf) {
    let book = shelf.open();
    store(&*book, &hold(ALICE, 1, 400));
    book.close_media();
    let again = shelf.open();
    assert!(again.blob(blob(1)).unwrap().is_some());
    assert_eq!(book.blob(blob(1)), Err(StoreError::Unavailable));
    assert_eq!(book.hold(&hold(ALICE, 2, 1)), Err(HoldError::Store(StoreError::Unavailable)));
    assert!(again.hold(&hold(ALICE, 2, 1)).is_ok(), "and what is closed stays away from it");
}

/// Makes one test of each story; `$shelf` is evaluated for each and gives a fresh [`Shelf`].
#[macro_export]
macro_rules! media_conformance {
    ($shelf:expr) => {
        $crate::media_conformance!(@ $shelf;
            a_file_is_held_then_stored_and_known_after_reopening
            quotas_hold_on_both_sides
            a_file_is_stored_once_for_several_holders
            a_file_goes_when_all_who_were_named_have_it
            numbers_of_fetchers_are_bounded_and_only_grow
            what_is_over_is_swept_and_told
            a_closed_book_lets_go_and_answers_nothing
        );
    };
    (@ $shelf:expr; $($story:ident)+) => {
        $(#[test]
        fn $story() {
            $crate::conformance::media::$story(&mut $shelf);
        })+
    };
}
