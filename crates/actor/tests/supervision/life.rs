//! Signs of life: who shows none is ended, and who cannot be ended is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_actor::{ChildSpec, Exit, Restart, Running, State, Strategy};

use crate::stage::{Stage, failed, supervisor};

const WITHIN: Duration = Duration::from_secs(5);

/// A child that shows that it is alive each time after so long, `times` times, and then waits for ever.
fn beats(every: Duration, times: u32) -> ChildSpec {
    ChildSpec::new("a", Restart::Permanent, move |context| async move {
        for _ in 0..times {
            tokio::time::sleep(every).await;
            context.beat();
        }
        context.stopping().await;
        Exit::Stopped
    })
    .beats_within(WITHIN)
}

fn restarts(running: &Running) -> u64 {
    running.tree().children[0].restarts
}

#[tokio::test(start_paused = true)]
async fn who_shows_no_sign_of_life_is_ended_and_started_anew() {
    let running = supervisor("root", Strategy::OneForOne).child(beats(WITHIN, 0)).start();
    tokio::time::sleep(2 * WITHIN - Duration::from_millis(1)).await;
    assert_eq!(restarts(&running), 0, "the second sign is not late yet");
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(restarts(&running), 1);
    let silent = Exit::Failed("no sign of life in 10000 ms".to_owned());
    assert_eq!(running.tree().children[0].last_exit, Some(silent));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_misses_one_sign_at_a_time_stays() {
    let late = 2 * WITHIN - Duration::from_millis(2);
    let running = supervisor("root", Strategy::OneForOne).child(beats(late, 10)).start();
    tokio::time::sleep(10 * late).await;
    assert_eq!(restarts(&running), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_need_not_show_any_is_left_alone() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::OneForOne).child(stage.child("a")).start();
    tokio::time::sleep(100 * WITHIN).await;
    assert_eq!(restarts(&running), 0);
    running.stop().await;
}

/// A child that blocks its thread at each start until it is told to go on; it counts its starts.
fn blocks(starts: &Arc<AtomicU64>) -> (ChildSpec, Sender<()>) {
    let (go_on, told) = channel();
    let (told, starts) = (Arc::new(Mutex::new(told)), Arc::clone(starts));
    let wait = |told: &Mutex<Receiver<()>>| {
        // It may also be let go of.
        let _ = told.lock().unwrap().recv();
    };
    let child = ChildSpec::new("blocks", Restart::Permanent, move |_| {
        starts.fetch_add(1, Ordering::Relaxed);
        let told = Arc::clone(&told);
        async move {
            wait(&told);
            Exit::Done
        }
    });
    (child, go_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocks_its_thread_is_shown_and_not_started_a_second_time() {
    let starts = Arc::new(AtomicU64::new(0));
    let (child, go_on) = blocks(&starts);
    let running = supervisor("root", Strategy::OneForOne)
        .child(child.beats_within(Duration::from_millis(20)))
        .start();
    while running.tree().find(&["blocks"]).is_none_or(|it| it.state != State::Stuck) {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.load(Ordering::Relaxed), 1);
    go_on.send(()).unwrap();
    while restarts(&running) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.tree().children[0].last_exit, Some(Exit::Done), "it came to its end");
    drop(go_on);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_in_which_somebody_does_not_end_is_not_started_again() {
    let (stage, starts) = (Stage::default(), Arc::new(AtomicU64::new(0)));
    let (child, go_on) = blocks(&starts);
    let mut child = Some(child.stop_within(Duration::ZERO));
    let inner = ChildSpec::supervisor(Restart::Permanent, move || {
        supervisor("inner", Strategy::OneForOne).child(child.take().unwrap())
    });
    let mut running =
        supervisor("root", Strategy::RestForOne).child(stage.child("first")).child(inner).start();
    while starts.load(Ordering::Relaxed) == 0 || !stage.is_up("first") {
        tokio::task::yield_now().await;
    }
    stage.tell("first", failed("disk")).await;
    assert_eq!(running.wait().await, Exit::Failed("blocks does not end".to_owned()));
    assert_eq!(starts.load(Ordering::Relaxed), 1);
    let tree = running.tree();
    assert_eq!(tree.find(&["inner", "blocks"]).unwrap().state, State::Stuck);
    drop(go_on);
}
