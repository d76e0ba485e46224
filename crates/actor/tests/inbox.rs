//! An inbox: bounds on both sides, order without gaps, wake-ups that are never lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{Inbox, Next, Push, Weigh};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    id: usize,
    bytes: usize,
}

impl Weigh for Item {
    fn weight_bytes(&self) -> usize {
        self.bytes
    }
}

fn item(id: usize) -> Item {
    Item { id, bytes: 1 }
}

type Small = Inbox<Item, 4, 100>;

#[test]
fn an_idle_inbox_is_forty_bytes_and_owns_nothing() {
    // Lock 8, queue pointer 8, waker 16, two marks padded to 8. Each idle session pays this.
    assert_eq!(size_of::<Inbox<Item>>(), 40);
}

#[test]
fn the_last_item_fits_and_one_more_does_not() {
    let inbox = Small::new();
    for id in 0..4 {
        assert_eq!(inbox.push(item(id)), Push::Pushed);
    }
    assert_eq!(inbox.depth(), 4);
    assert_eq!(inbox.push(item(4)), Push::Overflowed);
    assert_eq!(inbox.depth(), 4);
}

#[test]
fn the_last_byte_fits_and_one_more_does_not() {
    for (bytes, push) in [(40, Push::Pushed), (41, Push::Overflowed)] {
        let inbox = Small::new();
        assert_eq!(inbox.push(Item { id: 0, bytes: 60 }), Push::Pushed);
        assert_eq!(inbox.push(Item { id: 1, bytes }), push);
    }
    assert_eq!(Small::new().push(Item { id: 0, bytes: 100 }), Push::Pushed);
    assert_eq!(Small::new().push(Item { id: 0, bytes: 101 }), Push::Overflowed);
}

#[test]
fn after_an_overflow_nothing_enters_until_the_owner_has_seen_the_mark() {
    let inbox = Small::new();
    for id in 0..5 {
        let _ = inbox.push(item(id));
    }
    assert_eq!(inbox.try_next(), Some(Next::Item(item(0))));
    assert_eq!(inbox.push(item(5)), Push::Overflowed, "there is room, but 4 is missing before it");
    for id in 1..4 {
        assert_eq!(inbox.try_next(), Some(Next::Item(item(id))));
    }
    assert_eq!(inbox.push(item(6)), Push::Overflowed, "empty, but not seen");
    assert_eq!(inbox.try_next(), Some(Next::Behind));
    assert_eq!(inbox.push(item(7)), Push::Pushed);
    assert_eq!(inbox.try_next(), Some(Next::Item(item(7))));
    assert_eq!(inbox.try_next(), None);
    assert_eq!(inbox.weight_bytes(), 0);
}

#[test]
fn a_closed_inbox_gives_what_it_has_and_takes_no_more() {
    let inbox = Small::new();
    let _ = inbox.push(item(0));
    inbox.close();
    assert_eq!(inbox.push(item(1)), Push::Closed);
    assert_eq!(inbox.try_next(), Some(Next::Item(item(0))));
    assert_eq!(inbox.try_next(), Some(Next::Closed));
    assert_eq!(inbox.try_next(), Some(Next::Closed), "for ever");
}

#[tokio::test]
async fn whoever_waits_is_woken_by_each_kind_of_news() {
    type Wake = fn(&Small);
    let cases: [(Wake, Next<Item>); 3] = [
        (|inbox| assert_eq!(inbox.push(item(7)), Push::Pushed), Next::Item(item(7))),
        (Small::mark_behind, Next::Behind),
        (Small::close, Next::Closed),
    ];
    for (wake, expected) in cases {
        let inbox = Arc::new(Small::new());
        let owner = Arc::clone(&inbox);
        let waiting = tokio::spawn(async move { owner.next().await });
        tokio::task::yield_now().await;
        wake(&inbox);
        assert_eq!(waiting.await.unwrap(), expected);
    }
}

/// Four threads push while the owner takes and keeps giving up waiting: every item pushed is taken
/// once, each thread's in order, and no wake-up is lost (the test would hang).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_is_cancel_safe_while_many_push() {
    const PRODUCERS: usize = 4;
    const ITEMS: usize = 20_000;
    let inbox = Arc::new(Inbox::<Item, 64, 65_536>::new());
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || {
                let push = |n| inbox.push(item(producer * ITEMS + n)) == Push::Pushed;
                (0..ITEMS).filter(|n| push(*n)).count()
            })
        })
        .collect();
    let owner = Arc::clone(&inbox);
    let taking = tokio::spawn(async move {
        let mut last = [None; PRODUCERS];
        let mut taken = 0;
        loop {
            let next = tokio::select! {
                biased;
                next = owner.next() => next,
                () = tokio::task::yield_now() => continue,
            };
            match next {
                Next::Item(Item { id, .. }) => {
                    let last = &mut last[id / ITEMS];
                    assert!(*last < Some(id), "order of one producer is kept");
                    *last = Some(id);
                    taken += 1;
                }
                Next::Behind => {}
                Next::Closed => return taken,
            }
        }
    });
    let pushed: usize = producers.into_iter().map(|thread| thread.join().unwrap()).sum();
    inbox.close();
    let taken = tokio::time::timeout(Duration::from_secs(60), taking).await.unwrap().unwrap();
    assert_eq!(taken, pushed);
}

proptest! {
    /// Against the plainest model: a list, a mark, and the two bounds.
    #[test]
    fn it_behaves_like_a_list_with_two_bounds_and_a_mark(
        steps in prop::collection::vec(prop::option::of(0_usize..120), 0..200),
    ) {
        let inbox = Small::new();
        let (mut list, mut behind) = (Vec::<Item>::new(), false);
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Some(bytes) => {
                    let item = Item { id, bytes };
                    let weight: usize = list.iter().map(|item| item.bytes).sum();
                    behind |= list.len() == 4 || weight + bytes > 100;
                    if !behind {
                        list.push(item);
                    }
                    let expected = if behind { Push::Overflowed } else { Push::Pushed };
                    prop_assert_eq!(inbox.push(item), expected);
                }
                None => {
                    let expected = if !list.is_empty() {
                        Some(Next::Item(list.remove(0)))
                    } else {
                        std::mem::take(&mut behind).then_some(Next::Behind)
                    };
                    prop_assert_eq!(inbox.try_next(), expected);
                }
            }
            prop_assert_eq!(inbox.depth(), list.len());
        }
    }
}
