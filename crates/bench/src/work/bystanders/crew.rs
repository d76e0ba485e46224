//! Those who misbehave, in a thread of their own: what they do shall not make the pairs' clocks late.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use super::Plan;
use super::talker::Talker;
use crate::conn::{Conn, Endpoint};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::work::chat::pairs::until_none;
use crate::work::chat::tally::Tally;
use crate::work::chat::{BODY_BYTES, WINDOW_MAX, recipient};
use crate::work::locally;
use crate::work::offline::{self, drain, enqueue};

/// What they do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Deed {
    /// One device sends to many at an even pace, who read or do not.
    Readers { read: bool },
    /// One device sends to another as fast as it can.
    Noise,
    /// One device takes a large mailbox.
    Mailbox,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Done {
    /// Messages of theirs that were accepted, or taken out of the mailbox; each once, however many it
    /// was for.
    pub messages: u64,
    /// Messages of theirs that were refused, each time.
    pub refused: u64,
    /// Copies of the accepted that did not come in the end.
    pub lost_by_others: u64,
}

/// Their thread.
pub(super) struct Crew {
    act: Option<oneshot::Sender<()>>,
    acted: Option<oneshot::Receiver<()>>,
    thread: JoinHandle<Result<Done, LoadError>>,
}

/// How their thread hears when to begin, and tells that it is ready and when it is over.
struct Cues {
    ready: oneshot::Sender<()>,
    act: oneshot::Receiver<()>,
    acted: oneshot::Sender<()>,
}

impl Crew {
    /// Starts them; they are connected and wait.
    ///
    /// # Errors
    /// Why they are not.
    ///
    /// # Cancel safety
    /// The thread goes on until it finds nobody who waits for it.
    pub(super) async fn start(deed: Deed, to: Endpoint, plan: &Plan) -> Result<Self, LoadError> {
        let ((ready, is_ready), (act, acts), (acted, has_acted)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let (cues, plan) = (Cues { ready, act: acts, acted }, plan.clone());
        let mut thread = spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(LoadError::io("starting a runtime"))?;
            runtime.block_on(locally(perform(deed, to, &plan, cues)))
        });
        if is_ready.await.is_err() {
            let end = (&mut thread).await.map_err(|_| LoadError::Worker)?;
            return Err(end.err().unwrap_or(LoadError::Worker));
        }
        Ok(Self { act: Some(act), acted: Some(has_acted), thread })
    }

    /// Lets them begin, and waits until it is over.
    pub(super) async fn acts(&mut self) {
        if let (Some(act), Some(acted)) = (self.act.take(), self.acted.take()) {
            let _ = act.send(()); // whose end is told by `ends`
            let _ = acted.await;
        }
    }

    /// Waits until what they were sent has come, or does not.
    ///
    /// # Errors
    /// What broke.
    pub(super) async fn ends(self) -> Result<Done, LoadError> {
        self.thread.await.map_err(|_| LoadError::Worker)?
    }
}

async fn perform(deed: Deed, to: Endpoint, plan: &Plan, cues: Cues) -> Result<Done, LoadError> {
    let cast = Cast::new(rand::random());
    match deed {
        Deed::Readers { read } => readers(to, cast, read, plan, cues).await,
        Deed::Noise => noise(to, cast, plan, cues).await,
        Deed::Mailbox => mailbox(to, cast, plan, cues).await,
    }
}

impl Cues {
    /// Says that all is ready, and waits until it begins. By what it is said that it is over then.
    async fn begin(self) -> Result<oneshot::Sender<()>, LoadError> {
        let _ = self.ready.send(()); // if nobody waits for it, the next line says so
        self.act.await.map_err(|_| LoadError::Interrupted)?;
        Ok(self.acted)
    }
}

/// Device 0 sends to all others.
async fn readers(
    to: Endpoint,
    cast: Cast,
    read: bool,
    plan: &Plan,
    cues: Cues,
) -> Result<Done, LoadError> {
    let mut conns = crowd::arrive(to, cast, 0..plan.readers + 1).await?.into_iter();
    let sender = conns.next().ok_or(LoadError::Closed)?;
    let accounts = (1..=plan.readers).map(|number| cast.device(number).account).collect();
    let tally = Rc::new(Tally::new(plan.readers));
    let (reads, _) = watch::channel(read);
    let mut reading = JoinSet::new();
    for (number, conn) in (0..).zip(conns) {
        reading.spawn_local(reader(conn, number, Rc::clone(&tally), reads.subscribe()));
    }
    let mut talker = Talker::new(sender, accounts, plan.feed_bytes, Rc::clone(&tally));
    let acted = cues.begin().await?;
    talker.talks_evenly(plan.feed_every, Duration::from_secs(plan.seconds)).await?;
    let _ = acted.send(());
    reads.send_replace(true);
    settle(&mut talker, &tally, plan.patience).await?;
    Ok(talker.done())
}

/// A device that takes what comes while it is told to, and does not look at its socket else.
async fn reader(conn: Conn, number: u32, tally: Rc<Tally>, reads: watch::Receiver<bool>) {
    let end = recipient::run_while(conn, number, Rc::clone(&tally), reads).await;
    if end.is_err() {
        tally.note_end(end);
    }
}

/// Device 0 sends to device 1.
async fn noise(to: Endpoint, cast: Cast, plan: &Plan, cues: Cues) -> Result<Done, LoadError> {
    let mut conns = crowd::arrive(to, cast, 0..2).await?.into_iter();
    let (Some(near), Some(far)) = (conns.next(), conns.next()) else {
        return Err(LoadError::Closed);
    };
    let tally = Rc::new(Tally::new(1));
    let mut reading = JoinSet::new();
    reading.spawn_local(recipient::run(far, 0, Rc::clone(&tally)));
    let account = cast.device(1).account;
    let mut talker = Talker::new(near, vec![account], BODY_BYTES, Rc::clone(&tally));
    let acted = cues.begin().await?;
    talker.talks(Duration::from_secs(plan.seconds)).await?;
    let _ = acted.send(());
    settle(&mut talker, &tally, plan.patience).await?;
    Ok(talker.done())
}

/// Waits until all is answered and what was accepted has come, or nothing has come for a while.
async fn settle(talker: &mut Talker, tally: &Tally, patience: Duration) -> Result<(), LoadError> {
    talker.falls_silent(patience).await?;
    until_none(|| tally.verdict().0, patience).await;
    Ok(())
}

/// Device 1 fills the mailbox of device 0, which then takes it.
async fn mailbox(to: Endpoint, cast: Cast, plan: &Plan, cues: Cues) -> Result<Done, LoadError> {
    crowd::register(to, cast, 0..1).await?;
    let mut filler = crowd::arrive(to, cast, 1..2).await?;
    let filling = offline::Plan {
        users: 1,
        each: plan.records,
        senders: 1,
        window: WINDOW_MAX,
        body_bytes: BODY_BYTES,
        meanwhile: offline::Meanwhile::Stays,
    };
    let filler = filler.pop().ok_or(LoadError::Closed)?;
    let sent = enqueue::Enqueue::new(filler, 0, cast, &filling).run().await?;
    let acted = cues.begin().await?;
    let drained = drain::drain(to, cast, 0, plan.records as usize).await?;
    let _ = acted.send(());
    let came = |place: u32| drained.copies.get(place as usize).is_some_and(|copies| *copies > 0);
    let lost_by_others = sent.accepted.iter().filter(|(_, place)| !came(*place)).count() as u64;
    let messages = sent.accepted.len() as u64 - lost_by_others;
    Ok(Done { messages, refused: sent.failed, lost_by_others })
}
