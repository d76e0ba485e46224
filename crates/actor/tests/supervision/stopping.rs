//! Going down in order, within a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use godwit_actor::{ChildSpec, Exit, Restart, State, Strategy};
use tokio::time::Instant;

use crate::stage::{Cue, Stage, supervisor};

#[tokio::test(start_paused = true)]
async fn children_stop_in_reverse_start_order() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let stage = Stage::default();
        let running = supervisor("root", strategy)
            .child(stage.child("a"))
            .child(stage.child("b"))
            .child(stage.child("c"))
            .start();
        stage.seen().await;
        assert_eq!(running.stop().await, Exit::Stopped);
        assert_eq!(stage.seen().await, ["c down", "b down", "a down"]);
    }
}

/// A child that takes `needs` to stop and has 5 s for it.
async fn stops_after(needs: Duration) -> (Exit, Duration) {
    let child = ChildSpec::new("slow", Restart::Permanent, move |context| async move {
        context.stopping().await;
        tokio::time::sleep(needs).await;
        Exit::Stopped
    })
    .stop_within(Duration::from_secs(5));
    let running = supervisor("root", Strategy::OneForOne).child(child).start();
    let tree = running.tree_handle();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    running.stop().await;
    let child = tree.snapshot().children.remove(0);
    assert_eq!(child.state, State::Ended);
    (child.last_exit.unwrap(), asked.elapsed())
}

#[tokio::test(start_paused = true)]
async fn within_the_deadline_it_stops_and_after_it_is_killed() {
    let (exit, _) = stops_after(Duration::from_millis(4_990)).await;
    assert_eq!(exit, Exit::Stopped);
    let (exit, took) = stops_after(Duration::from_secs(3_600)).await;
    assert_eq!(exit, Exit::Killed);
    assert_eq!(took.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_child_does_not_keep_the_others_up() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::OneForOne)
        .child(stage.child("a"))
        .child(stage.child("deaf"))
        .start();
    stage.seen().await;
    stage.tell("deaf", Cue::GoDeaf).await;
    assert_eq!(running.stop().await, Exit::Stopped);
    assert_eq!(stage.seen().await, ["a down"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_back_off_starts_nothing_again() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::OneForOne).child(stage.child("a")).start();
    stage.seen().await;
    stage.tell("a", crate::stage::failed("x")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(running.tree().children[0].state, State::BackingOff);
    assert_eq!(running.stop().await, Exit::Stopped);
    assert!(stage.seen().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_child_outlives_a_supervisor_that_is_killed() {
    struct Alive(Arc<AtomicUsize>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&alive);
    let inner = move || {
        let counted = Arc::clone(&counted);
        let deaf = ChildSpec::new("deaf", Restart::Permanent, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let alive = Alive(Arc::clone(&counted));
            async move {
                std::future::pending::<()>().await;
                drop(alive);
                Exit::Done
            }
        });
        supervisor("inner", Strategy::OneForOne).child(deaf.stop_within(Duration::from_secs(3_600)))
    };
    let inner = ChildSpec::supervisor(Restart::Permanent, inner);
    let running = supervisor("root", Strategy::OneForOne)
        .child(inner.stop_within(Duration::from_secs(1)))
        .start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    running.stop().await;
    tokio::task::yield_now().await;
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
