//! A stage for supervision stories: children that write down when they come and go, and do what
//! they are told. Time is paused: waiting costs nothing and everything due has happened after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_actor::{ChildContext, ChildSpec, Exit, Restart, Strategy, Supervisor};
use tokio::sync::mpsc;

/// What a child can be told.
#[derive(Debug)]
pub(crate) enum Cue {
    /// Return this.
    End(Exit),
    /// Panic with this text.
    Panic(&'static str),
    /// Say that you are ready.
    Ready,
    /// From now on do not hear the stop signal.
    GoDeaf,
}

#[derive(Clone, Default)]
pub(crate) struct Stage {
    seen: Arc<Mutex<Vec<String>>>,
    cues: Arc<Mutex<HashMap<String, mpsc::Sender<Cue>>>>,
}

impl Stage {
    /// A permanent child that says "name up" at its start and "name down" when it is stopped.
    pub(crate) fn child(&self, name: &'static str) -> ChildSpec {
        self.child_that(name, Restart::Permanent)
    }

    pub(crate) fn child_that(&self, name: &'static str, restart: Restart) -> ChildSpec {
        let stage = self.clone();
        ChildSpec::new(name, restart, move |context| stage.clone().play(name, context))
    }

    async fn play(self, name: &'static str, context: ChildContext) -> Exit {
        let (to_child, mut cues) = mpsc::channel(8);
        self.cues.lock().unwrap().insert(name.to_owned(), to_child);
        self.note(format!("{name} up"));
        let mut deaf = false;
        loop {
            tokio::select! {
                biased;
                () = context.stopping(), if !deaf => {
                    self.note(format!("{name} down"));
                    return Exit::Stopped;
                }
                cue = cues.recv() => match cue.unwrap() {
                    Cue::End(exit) => return exit,
                    Cue::Panic(text) => panic!("{text}"),
                    Cue::Ready => context.ready(),
                    Cue::GoDeaf => deaf = true,
                },
            }
        }
    }

    pub(crate) fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }

    /// Whether it was started and can be told something.
    pub(crate) fn is_up(&self, name: &str) -> bool {
        self.cues.lock().unwrap().contains_key(name)
    }

    /// Tells the running `name` something.
    pub(crate) async fn tell(&self, name: &str, cue: Cue) {
        let to_child = self.cues.lock().unwrap().get(name).unwrap().clone();
        to_child.send(cue).await.unwrap();
    }

    /// What was seen since the last look, once `wait` has passed and all is quiet.
    pub(crate) async fn seen_after(&self, wait: Duration) -> Vec<String> {
        tokio::time::sleep(wait).await;
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// What was seen since the last look; long enough for a restart.
    pub(crate) async fn seen(&self) -> Vec<String> {
        self.seen_after(Duration::from_secs(1)).await
    }
}

/// A supervisor without jitter: its first restart comes after 100 ms.
pub(crate) fn supervisor(name: &str, strategy: Strategy) -> Supervisor {
    Supervisor::new(name, strategy).chance(|_| 0)
}

pub(crate) fn failed(why: &str) -> Cue {
    Cue::End(Exit::Failed(why.to_owned()))
}
