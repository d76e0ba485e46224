//! Who is restarted.

use godwit_actor::{Exit, Restart, Strategy};

use crate::stage::{Cue, Stage, failed, supervisor};

/// Three children; the one in the middle fails. What happens next?
async fn after_b_fails(strategy: Strategy) -> Vec<String> {
    let stage = Stage::default();
    let running = supervisor("root", strategy)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .child(stage.child("c"))
        .start();
    assert_eq!(stage.seen().await, ["a up", "b up", "c up"]);
    stage.tell("b", failed("lost its way")).await;
    let seen = stage.seen().await;
    running.stop().await;
    seen
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_the_one() {
    assert_eq!(after_b_fails(Strategy::OneForOne).await, ["b up"]);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_it_and_what_was_started_later() {
    assert_eq!(after_b_fails(Strategy::RestForOne).await, ["c down", "b up", "c up"]);
}

#[tokio::test(start_paused = true)]
async fn one_for_all_restarts_all_in_order() {
    assert_eq!(
        after_b_fails(Strategy::OneForAll).await,
        ["c down", "a down", "a up", "b up", "c up"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_during_the_back_off_takes_the_rest_along() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::RestForOne)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .start();
    stage.seen().await;
    stage.tell("b", failed("first")).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stage.tell("a", failed("then the one below")).await;
    assert_eq!(stage.seen().await, ["a up", "b up"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_restart_rule_decides_by_the_exit() {
    let cases = [
        (Restart::Permanent, Cue::End(Exit::Done), true),
        (Restart::Permanent, failed("x"), true),
        (Restart::Transient, Cue::End(Exit::Done), false),
        (Restart::Transient, Cue::End(Exit::Stopped), false),
        (Restart::Transient, failed("x"), true),
        (Restart::Transient, Cue::Panic("x"), true),
        (Restart::Transient, Cue::End(Exit::Killed), true),
        (Restart::Temporary, failed("x"), false),
        (Restart::Temporary, Cue::Panic("x"), false),
    ];
    for (restart, cue, again) in cases {
        let stage = Stage::default();
        let case = format!("{restart:?} after {cue:?}");
        let root = supervisor("root", Strategy::OneForOne).child(stage.child_that("a", restart));
        let running = root.start();
        stage.seen().await;
        stage.tell("a", cue).await;
        assert_eq!(stage.seen().await.len(), usize::from(again), "{case}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_sibling_goes_down_and_stays_down() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::OneForAll)
        .child(stage.child("a"))
        .child(stage.child_that("guest", Restart::Temporary))
        .start();
    stage.seen().await;
    stage.tell("a", failed("x")).await;
    assert_eq!(stage.seen().await, ["guest down", "a up"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_step_runs_again_when_what_it_stands_on_is_restarted() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::RestForOne)
        .child(stage.child("store"))
        .child(stage.child_that("migrate", Restart::Transient))
        .start();
    stage.seen().await;
    stage.tell("migrate", Cue::End(Exit::Done)).await;
    assert!(stage.seen().await.is_empty());
    stage.tell("store", failed("x")).await;
    assert_eq!(stage.seen().await, ["store up", "migrate up"]);
    running.stop().await;
}
