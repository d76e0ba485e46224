//! The task behind every clone of a [`Client`](super::Client): owner of the home, or attached to
//! the process that is, and the next owner when that one ends.

use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::attached::{Attached, Ended};
use super::database;
use super::engine::{Engine, Parts, Voice};
use super::home::{Home, Ownership};
use super::owner::{self, Offer};
use super::request::{Answer, Request};
use crate::core::Core;
use crate::{ConnectionState, Error, Event, Me};

/// Calls that may wait for the task; more make the callers wait. 256 small requests.
pub(crate) const CALLS_MAX: usize = 256;

/// Events that a slow stream may be behind before it is told [`Event::Lagged`]; a drain of a full
/// mailbox can bring more, the history has them.
pub(crate) const EVENTS_MAX: usize = 1_024;

/// Pause before asking again who owns the home, while a process starts or ends.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How often to look before a caller is told that the owner does not answer: 10 s.
const LOOKS_MAX: u32 = 500;

/// Pause after the home's files failed, such as on a full disk.
const FILES_FAILED: Duration = Duration::from_secs(2);

/// One call on its way to the task.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Cheap handle on the task, which ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    calls: mpsc::Sender<Call>,
    events: broadcast::Sender<Event>,
    connection: watch::Receiver<ConnectionState>,
    trouble: watch::Receiver<Option<Error>>,
    stop: watch::Sender<bool>,
}

impl Host {
    /// Starts the task and waits until it owns the home or is attached to its owner.
    pub(crate) async fn start(home: Home) -> Result<(Self, Me), Error> {
        let (calls, to_answer) = mpsc::channel(CALLS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (connection, watched) = watch::channel(ConnectionState::Connecting);
        let (trouble, troubles) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let task = Task {
            home,
            calls: to_answer,
            local: calls.downgrade(),
            voice: Voice { events: events.clone(), connection },
            trouble,
            stop: stopped,
            ready: Some(ready),
            unanswered: Vec::new(),
        };
        let host = Self { calls, events, connection: watched, trouble: troubles, stop };
        tokio::spawn(task.run());
        let me = is_ready.await.map_err(|_| Error::Closed)??;
        Ok((host, me))
    }

    /// Asks and waits for the answer.
    ///
    /// # Cancel safety
    /// Dropped before it was taken, the request never happens; dropped later, it still does.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        self.begin(request).await?.await.map_err(|_| Error::Closed)?
    }

    /// Asks; the answer comes through what is returned.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the request never happens.
    pub(crate) async fn begin(&self, request: Request) -> Result<oneshot::Receiver<Answer>, Error> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { request, answer }).await.map_err(|_| Error::Closed)?;
        Ok(answered)
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// Each failure of the home's files, from now on.
    pub(crate) fn trouble(&self) -> Trouble {
        let mut failures = self.trouble.clone();
        failures.mark_unchanged();
        Trouble(failures)
    }

    /// Ends the task for all handles and waits until it has.
    pub(crate) async fn close(&self) {
        self.stop.send_replace(true);
        self.calls.closed().await;
    }
}

/// Watches the home's files.
pub(crate) struct Trouble(watch::Receiver<Option<Error>>);

impl Trouble {
    /// The next failure.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub(crate) async fn next(&mut self) -> Error {
        // The task is gone: whoever waits hears it by the end of the events.
        if self.0.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.0.borrow_and_update().clone().unwrap_or(Error::Closed)
    }
}

struct Task {
    home: Home,
    calls: mpsc::Receiver<Call>,
    /// For those who are served over the socket; weak, so that the last client's end is noticed.
    local: mpsc::WeakSender<Call>,
    voice: Voice,
    trouble: watch::Sender<Option<Error>>,
    stop: watch::Receiver<bool>,
    ready: Option<oneshot::Sender<Result<Me, Error>>>,
    unanswered: Vec<Call>,
}

/// What to do after one turn as owner or attached.
enum Next {
    End,
    LookAgain,
    /// The home's files failed.
    Failed(Error),
}

impl Task {
    async fn run(mut self) {
        let mut looks = 0;
        loop {
            let next = match self.home.try_own() {
                Ok(Some(ownership)) => self.own(ownership).await,
                Ok(None) => self.attach(&mut looks).await,
                Err(error) => Next::Failed(error),
            };
            match next {
                Next::End => return,
                Next::LookAgain => self.pause(LOOK_AGAIN).await,
                Next::Failed(error) => {
                    if self.ready.is_some() {
                        return self.tell_ready(Err(error));
                    }
                    self.fail_calls(&error);
                    self.trouble.send_replace(Some(error.clone()));
                    let (retry_in_ms, reason) = (Some(2_000), error.to_string());
                    let offline = ConnectionState::Offline { retry_in_ms, reason };
                    self.voice.say(Event::Connection(offline));
                    self.pause(FILES_FAILED).await;
                }
            }
            if *self.stop.borrow() {
                return;
            }
        }
    }

    async fn own(&mut self, ownership: Ownership) -> Next {
        match self.try_own(ownership).await {
            Ok(()) => Next::End,
            Err(error) => Next::Failed(error),
        }
    }

    /// Owns the home until the clients end or its files fail.
    async fn try_own(&mut self, ownership: Ownership) -> Result<(), Error> {
        let mut engine = open(&self.home, ownership, self.voice.clone())?;
        let me = engine.me().ok_or_else(|| Error::NotJoined { home: self.home.name() })?;
        let listener = owner::listen(&self.home)?;
        let Some(calls) = self.local.upgrade() else { return Ok(()) };
        self.tell_ready(Ok(me.clone()));
        // Attached clients of a former owner may have missed something.
        self.voice.say(Event::Lagged(0));
        for call in self.unanswered.drain(..) {
            engine.on_call(call);
        }
        let weak = calls.downgrade();
        drop(calls);
        let offer = Offer {
            me: Some(me),
            calls: weak,
            events: self.voice.events.clone(),
            connection: self.voice.connection.subscribe(),
        };
        let result = tokio::select! {
            result = engine.run(&mut self.calls, &mut self.stop) => result,
            () = owner::serve(listener, offer) => Ok(()),
        };
        // Nobody is to find a socket that does not answer.
        let _ = std::fs::remove_file(self.home.socket());
        if let Err(error) = &result {
            engine.fail(error);
        }
        result
    }

    async fn attach(&mut self, looks: &mut u32) -> Next {
        match Attached::to(&self.home, &self.voice).await {
            Ok(Some(attached)) => {
                *looks = 0;
                self.tell_ready(Ok(attached.me.clone()));
                let unanswered = std::mem::take(&mut self.unanswered);
                match attached.run(unanswered, &mut self.calls, &mut self.stop, &self.voice).await {
                    Ended::Stopped => Next::End,
                    Ended::OwnerGone(unanswered) => {
                        self.unanswered = unanswered;
                        self.voice.say(Event::Lagged(0));
                        Next::LookAgain
                    }
                }
            }
            Ok(None) if *looks < LOOKS_MAX => {
                *looks += 1;
                Next::LookAgain
            }
            Ok(None) => {
                *looks = 0;
                Next::Failed(Error::HomeBusy { home: self.home.name() })
            }
            Err(error) => Next::Failed(error),
        }
    }

    fn tell_ready(&mut self, me: Result<Me, Error>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(me);
        }
    }

    fn fail_calls(&mut self, error: &Error) {
        for call in self.unanswered.drain(..) {
            let _ = call.answer.send(Err(error.clone()));
        }
    }

    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// Opens the home's files as its owner.
fn open(home: &Home, ownership: Ownership, voice: Voice) -> Result<Engine, Error> {
    let not_joined = || Error::NotJoined { home: home.name() };
    if !home.exists() {
        return Err(not_joined());
    }
    let vault = home.vault()?;
    let (db, rows) = database::open(&home.database())?;
    let core = Core::restore(vault.clone(), rows, seed()?)?.ok_or_else(not_joined)?;
    Engine::start(Parts { core, vault, db, ownership }, home, voice)
}

/// A random number that spreads delays.
pub(crate) fn seed() -> Result<u64, Error> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| Error::Storage(error.to_string()))?;
    Ok(u64::from_le_bytes(seed))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;
    use crate::native::stream::{EventStream, Since};

    fn home() -> (TempDir, Home) {
        let folder = TempDir::new().expect("a folder");
        let home = Home::at(folder.path());
        home.create().expect("a home");
        (folder, home)
    }

    /// Somebody owns the home and does not answer: that is said after [`LOOKS_MAX`] looks, not one earlier.
    #[tokio::test(start_paused = true)]
    async fn an_owner_who_does_not_answer_is_waited_for_so_often() {
        let (_folder, home) = home();
        let _owner = home.try_own().expect("a lock").expect("it is free");
        let start = Instant::now();
        let failed = Host::start(home).await.expect_err("it has an owner");
        assert!(matches!(failed, Error::HomeBusy { .. }), "{failed}");
        // A timer of the paused clock ends with a whole millisecond: at most one more a look.
        let looks = start.elapsed().as_millis() / LOOK_AGAIN.as_millis();
        let late = u128::from(LOOKS_MAX) / LOOK_AGAIN.as_millis();
        assert!((u128::from(LOOKS_MAX)..=u128::from(LOOKS_MAX) + late).contains(&looks), "{looks}");
    }

    /// What a slow stream hears when so many events happened meanwhile.
    async fn first_after(happened: usize) -> Event {
        let (calls, _taken) = mpsc::channel(1);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (_, connection) = watch::channel(ConnectionState::Connecting);
        let (_, trouble) = watch::channel(None);
        let (stop, _) = watch::channel(false);
        let host = Host { calls, events: events.clone(), connection, trouble, stop };
        let mut slow = EventStream::new(&host, Since::Now);
        for _ in 0..happened {
            events.send(Event::CaughtUp).expect("the stream listens");
        }
        slow.next().await.expect("an event")
    }

    #[tokio::test]
    async fn a_slow_stream_is_told_that_it_missed_something() {
        assert_eq!(first_after(EVENTS_MAX).await, Event::CaughtUp);
        assert_eq!(first_after(EVENTS_MAX + 1).await, Event::Lagged(1));
    }
}
