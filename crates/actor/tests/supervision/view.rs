//! What can be seen of a tree from outside.

use std::time::Duration;

use godwit_actor::{ChildSpec, Exit, Kind, Restart, Strategy, Tree};

use crate::stage::{Cue, Stage, failed, supervisor};

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_counted_and_told() {
    let stage = Stage::default();
    let running = supervisor("root", Strategy::OneForOne)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .start();
    stage.seen().await;
    stage.tell("a", Cue::Panic("index out of thin air")).await;
    assert_eq!(stage.seen().await, ["a up"]);
    let a = running.tree().children.remove(0);
    assert_eq!((a.panics, a.restarts), (1, 1));
    assert_eq!(a.last_exit, Some(Exit::Panicked("index out of thin air".to_owned())));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tree_reads_well_and_survives_json() {
    let stage = Stage::default();
    let inner = {
        let stage = stage.clone();
        move || supervisor("sessions", Strategy::OneForOne).child(stage.child("worker 0"))
    };
    let queue = ChildSpec::new("queue", Restart::Permanent, |context| async move {
        context.report_inbox(12);
        context.stopping().await;
        Exit::Stopped
    });
    let running = supervisor("root", Strategy::RestForOne)
        .child(queue)
        .child(ChildSpec::supervisor(Restart::Permanent, inner))
        .child(stage.child("doors"))
        .start();
    stage.seen_after(Duration::from_millis(800)).await;
    stage.tell("doors", failed("address in use")).await;
    stage.seen_after(Duration::from_millis(200)).await;

    let mut tree = running.tree();
    tree.count(&["queue"], "batches", 7);
    tree.count(&["nobody"], "batches", 7);
    let expected = "\
root (rest-for-one)  running 1 s
├─ queue  running 1 s, inbox 12, batches 7
├─ sessions (one-for-one)  running 1 s
│  └─ worker 0  running 1 s
└─ doors  running 100 ms, 1 restarts, last failed: address in use
";
    assert_eq!(tree.to_string(), expected);
    let json = serde_json::to_string(&tree).unwrap();
    assert_eq!(serde_json::from_str::<Tree>(&json).unwrap(), tree);
    assert_eq!(tree.find(&["sessions", "worker 0"]).unwrap().kind, Kind::Worker);
    assert!(tree.find(&["sessions", "nobody"]).is_none());

    let worker = serde_json::to_value(tree.find(&["queue"]).unwrap()).unwrap();
    let expected = serde_json::json!({
        "name": "queue", "kind": "worker", "state": "running", "age_ms": 1000,
        "restarts": 0, "panics": 0, "inbox": 12, "counts": {"batches": 7},
    });
    assert_eq!(worker, expected, "scripts read these names");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_is_cancel_safe() {
    let stage = Stage::default();
    let mut running = supervisor("root", Strategy::OneForOne).child(stage.child("a")).start();
    for _ in 0..100 {
        let waited = tokio::time::timeout(Duration::from_millis(1), running.wait()).await;
        assert!(waited.is_err(), "nobody asked it to stop");
    }
    running.stop_signal().cancel();
    assert_eq!(running.wait().await, Exit::Stopped);
}
