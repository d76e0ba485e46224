//! Sessions that stay, in processes of their own, and ask something after each upgrade: so each shows that
//! it is the same connection, and that both sides count its frames alike.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use godwit_wire::{ToClient, ToServer, v1};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::conn::{Conn, Endpoint};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::progress;
use crate::work::chat::tally::bump;
use crate::work::locally;
use crate::worker::standing::connect;
use crate::worker::{Duty, News, Order, PER_WORKER_MAX, Worker, shares, tell};

/// What came of asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Connections that have an answer.
    pub answered: u64,
    /// Connections that broke by a frame that did not open.
    pub unopened: u64,
}

/// Worker processes and their sessions.
pub(super) struct Held(Vec<Worker>);

impl Held {
    /// Registers these devices and has workers hold a connection of each.
    pub(super) async fn arrive(to: Endpoint, cast: Cast, count: u32) -> Result<Self, LoadError> {
        locally(crowd::register(to, cast, 0..count)).await?;
        let bar = progress::bar("connecting", count.into());
        let mut workers = Vec::new();
        for numbers in shares(count, PER_WORKER_MAX) {
            let worker = workers.len();
            let order = Order::new(to, cast, numbers, crowd::AT_ONCE, worker, Duty::Ask);
            let mut worker = Worker::start(&order)?;
            worker.stands(&bar).await?;
            workers.push(worker);
        }
        bar.finish_and_clear();
        Ok(Self(workers))
    }

    /// Has each session ask something.
    pub(super) async fn ask_all(&mut self) -> Result<Asked, LoadError> {
        let mut all = Asked::default();
        for worker in &mut self.0 {
            let Asked { answered, unopened } = worker.ask_all().await?;
            all = Asked { answered: all.answered + answered, unopened: all.unopened + unopened };
        }
        Ok(all)
    }

    /// Ends them; how many connections broke.
    pub(super) async fn finish(self) -> Result<u64, LoadError> {
        let mut broken = 0;
        for worker in self.0 {
            broken += worker.finish().await?;
        }
        Ok(broken)
    }
}

/// What a worker process does: connects, attaches, keeps alive; at each line of standard input has each
/// connection ask something; ends with standard input.
///
/// # Errors
/// [`LoadError`] when a connection cannot be made.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn hold_and_ask(order: &Order) -> Result<(), LoadError> {
    let conns = connect(order).await?;
    let count = conns.len();
    let ends = Rc::new(Ends::default());
    let (asks, _) = watch::channel(0);
    // One word of each connection at each time that it is asked, and one when it breaks.
    let (answers, mut answered) = mpsc::channel(count.max(1));
    let mut tasks = JoinSet::new();
    for (place, conn) in conns.into_iter().enumerate() {
        let (asked, answers, ends) = (asks.subscribe(), answers.clone(), Rc::clone(&ends));
        let part = place as f64 / count as f64;
        tasks.spawn_local(async move {
            let Err(error) = stay(conn, part, asked, answers).await;
            bump(&ends.broken, 1);
            bump(&ends.unopened, u64::from(matches!(error, LoadError::Link(_))));
            ends.changed.notify_one();
        });
    }
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_ask)) = orders.next_line().await {
        asks.send_modify(|turn| *turn += 1);
        let mut had = 0;
        while had + ends.broken.get() < count as u64 {
            tokio::select! {
                Some(()) = answered.recv() => had += 1,
                () = ends.changed.notified() => {}
            }
        }
        tell(&News::Asked(Asked { answered: had, unopened: ends.unopened.take() }));
    }
    tell(&News::Broken(ends.broken.get()));
    Ok(())
}

/// Connections that broke.
#[derive(Default)]
struct Ends {
    broken: Cell<u64>,
    /// Of these, by a frame that did not open and that nobody was told of.
    unopened: Cell<u64>,
    changed: tokio::sync::Notify,
}

/// Keeps one connection, and asks when it is told to.
async fn stay(
    mut conn: Conn,
    part: f64,
    mut asked: watch::Receiver<u32>,
    answers: mpsc::Sender<()>,
) -> Result<std::convert::Infallible, LoadError> {
    let gap = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
    let mut first = Instant::now() + gap.mul_f64(part);
    loop {
        tokio::select! {
            Ok(()) = asked.changed() => {}
            kept = conn.keep(first, gap) => return kept,
        }
        let request = *asked.borrow_and_update();
        let question = ToServer::from(v1::TermsRequest { request });
        let terms = |heard| matches!(heard, ToClient::Terms(_)).then_some(());
        conn.ask("terms", &question, terms).await?;
        let _ = answers.send(()).await; // nobody hears it at the end
        first = Instant::now() + gap.mul_f64(part);
    }
}
