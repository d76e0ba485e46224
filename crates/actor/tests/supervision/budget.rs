//! When a supervisor gives up, and what that does to the one above.

use std::time::Duration;

use godwit_actor::{Backoff, ChildSpec, Exit, Restart, RestartBudget, State, Strategy, Supervisor};
use tokio::time::Instant;

use crate::stage::{Cue, Stage, failed, supervisor};

const BUDGET: RestartBudget = RestartBudget { restarts: 3, window: Duration::from_secs(60) };

#[tokio::test(start_paused = true)]
async fn the_last_restart_of_the_budget_is_made_and_one_more_is_not() {
    let stage = Stage::default();
    let root = supervisor("root", Strategy::OneForOne).budget(BUDGET);
    let mut running = root.child(stage.child("other")).child(stage.child("a")).start();
    assert_eq!(stage.seen().await, ["other up", "a up"]);
    for _ in 0..BUDGET.restarts {
        stage.tell("a", failed("tired")).await;
        assert_eq!(stage.seen().await, ["a up"]);
    }
    stage.tell("a", failed("very tired")).await;
    let why = "a failed: very tired, and 3 restarts in 60 s were not enough";
    assert_eq!(running.wait().await, Exit::Failed(why.to_owned()));
    assert_eq!(stage.seen().await, ["other down"], "what still ran is stopped");
    assert_eq!(running.tree().last_exit, Some(Exit::Failed(why.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn restarts_older_than_the_window_no_longer_count() {
    let stage = Stage::default();
    let budget = RestartBudget { restarts: 1, window: Duration::from_secs(60) };
    let root = supervisor("root", Strategy::OneForOne).budget(budget);
    let running = root.child(stage.child("a")).start();
    for _ in 0..10 {
        stage.seen_after(budget.window + Duration::from_secs(1)).await;
        stage.tell("a", failed("once a minute")).await;
    }
    assert_eq!(stage.seen().await, ["a up"]);
    assert_eq!(running.tree().children[0].restarts, 10);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_climbs_and_the_branch_is_built_anew() {
    let stage = Stage::default();
    let inner = {
        let stage = stage.clone();
        move || {
            supervisor("branch", Strategy::OneForOne)
                .budget(RestartBudget { restarts: 0, ..BUDGET })
                .child(stage.child("twig"))
                .child(stage.child("leaf"))
        }
    };
    let running = supervisor("root", Strategy::OneForOne)
        .child(stage.child("apart"))
        .child(ChildSpec::supervisor(Restart::Permanent, inner))
        .start();
    assert_eq!(stage.seen().await, ["apart up", "twig up", "leaf up"]);
    stage.tell("leaf", Cue::Panic("wind")).await;
    assert_eq!(stage.seen().await, ["twig down", "twig up", "leaf up"]);

    let tree = running.tree();
    let branch = tree.find(&["branch"]).unwrap();
    assert_eq!((branch.restarts, branch.state), (1, State::Running));
    let why = "leaf panicked: wind, and 0 restarts in 60 s were not enough";
    assert_eq!(branch.last_exit, Some(Exit::Failed(why.to_owned())));
    assert_eq!(tree.find(&["apart"]).unwrap().restarts, 0);
    assert_eq!(running.stop().await, Exit::Stopped);
    assert_eq!(stage.seen().await, ["leaf down", "twig down", "apart down"]);
}

/// Milliseconds from the end of a child to its next start, for failures one after another.
async fn delays(supervisor: Supervisor, failures: usize, ran: Duration) -> Vec<u128> {
    let stage = Stage::default();
    let (to_test, mut starts) = tokio::sync::mpsc::channel(1);
    let child = ChildSpec::new("a", Restart::Permanent, move |_| {
        let to_test = to_test.clone();
        async move {
            to_test.send(Instant::now()).await.unwrap();
            tokio::time::sleep(ran).await;
            Exit::Failed("again".to_owned())
        }
    });
    let running = supervisor.child(child).child(stage.child("b")).start();
    let mut previous = starts.recv().await.unwrap();
    let mut delays = Vec::new();
    for _ in 0..failures {
        let start = starts.recv().await.unwrap();
        delays.push((start - previous - ran).as_millis());
        previous = start;
    }
    running.stop().await;
    delays
}

#[tokio::test(start_paused = true)]
async fn the_back_off_doubles_up_to_its_limit_and_forgives_a_good_run() {
    let ms = Duration::from_millis;
    let new = || {
        supervisor("root", Strategy::OneForOne)
            .backoff(Backoff { first: ms(100), max: ms(1_000) })
            .budget(RestartBudget { restarts: 100, window: Duration::from_secs(60) })
    };
    let short = delays(new(), 6, ms(10)).await;
    assert_eq!(short, [100, 200, 400, 800, 1_000, 1_000]);
    let long = delays(new(), 3, Duration::from_secs(60)).await;
    assert_eq!(long, [100, 100, 100]);
    let jittered = delays(new().chance(|most| most / 2), 3, ms(10)).await;
    assert_eq!(jittered, [75, 150, 300]);
}
