//! Start order, and children that must be ready first.

use std::time::Duration;

use godwit_actor::{ChildSpec, Exit, Restart, State, Strategy};

use crate::stage::{Cue, Stage, failed, supervisor};

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn the_next_starts_when_the_one_before_is_ready() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::RestForOne)
        .child(stage.child("store").ready_within(DEADLINE))
        .child(stage.child("doors"))
        .start();
    assert_eq!(stage.seen().await, ["store up"]);
    assert_eq!(running.tree().state, State::Starting);
    assert_eq!(running.tree().find(&["store"]).unwrap().state, State::Starting);
    assert_eq!(running.tree().find(&["doors"]).unwrap().state, State::Waiting);
    stage.tell("store", Cue::Ready).await;
    assert_eq!(stage.seen().await, ["doors up"]);
    assert_eq!(running.tree().state, State::Running);

    stage.tell("store", failed("disk")).await;
    assert_eq!(stage.seen().await, ["doors down", "store up"], "a restart waits likewise");
    stage.tell("store", Cue::Ready).await;
    assert_eq!(stage.seen().await, ["doors up"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ready_at_the_last_moment_is_in_time_and_not_by_then_is_a_failure() {
    for in_time in [true, false] {
        let stage = Stage::default();
        let root = supervisor("root", Strategy::OneForOne);
        let running = root.child(stage.child("a").ready_within(DEADLINE)).start();
        tokio::time::sleep(DEADLINE - Duration::from_millis(1)).await;
        assert_eq!(running.tree().children[0].state, State::Starting);
        if in_time {
            stage.tell("a", Cue::Ready).await;
        }
        stage.seen().await;
        let tree = running.tree();
        let late = Exit::Failed("not ready within 10000 ms".to_owned());
        assert_eq!(tree.children[0].last_exit, (!in_time).then_some(late));
        assert_eq!(tree.children[0].restarts, u64::from(!in_time));
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_is_ready_when_its_children_are() {
    let stage = Stage::default();
    let inner = {
        let stage = stage.clone();
        move || {
            supervisor("inner", Strategy::OneForOne)
                .child(stage.child("deep").ready_within(DEADLINE))
        }
    };
    let running = supervisor("root", Strategy::RestForOne)
        .child(ChildSpec::supervisor(Restart::Permanent, inner).ready_within(DEADLINE))
        .child(stage.child("doors"))
        .start();
    assert_eq!(stage.seen().await, ["deep up"]);
    stage.tell("deep", Cue::Ready).await;
    assert_eq!(stage.seen().await, ["doors up"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_ready_is_retried_before_anything_later_starts() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::RestForOne)
        .child(stage.child("store").ready_within(DEADLINE))
        .child(stage.child("doors"))
        .start();
    stage.seen().await;
    stage.tell("store", failed("port taken")).await;
    assert_eq!(stage.seen().await, ["store up"]);
    stage.tell("store", Cue::Ready).await;
    assert_eq!(stage.seen().await, ["doors up"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_is_a_child_that_panics() {
    let mut starts = 0;
    let child = ChildSpec::new("a", Restart::Transient, move |_| {
        starts += 1;
        assert!(starts > 1, "not the first time");
        std::future::ready(Exit::Done)
    });
    let running = supervisor("root", Strategy::OneForOne).child(child).start();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let tree = running.tree();
    assert_eq!(tree.children[0].last_exit, Some(Exit::Panicked("not the first time".into())));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(running.tree().children[0].last_exit, Some(Exit::Done));
    running.stop().await;
}
