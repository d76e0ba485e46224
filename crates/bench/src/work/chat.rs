//! Pairs that chat: one submits, the other receives and acknowledges. A message is done when its
//! sender holds the receipt, so each one counts with all its acknowledgements.

pub(super) mod pairs;
pub mod peer;
pub(super) mod recipient;
pub(super) mod sender;
pub(super) mod tally;

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::conn::Traffic;
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::Percentiles;
use crate::machine::{Conditions, Processes, Spent};
use crate::progress;
use crate::server::Site;
use crate::worker::standing::Keepers;
use pairs::{Pace, Pairs};
pub(super) use recipient::stamp_of;
use tally::Tally;

/// Connections that one process can hold, of 20,000 files that it may open.
pub const CONNECTIONS_MAX: u32 = 19_000;

/// Pairs alone: two connections each.
pub const PAIRS_MAX: u32 = CONNECTIONS_MAX / 2;

/// Connections beside 500 pairs.
pub const BESIDE_MAX: u32 = CONNECTIONS_MAX - 2 * 500;

/// Messages that one sender may have unresolved: below the server's window for repeats.
pub const WINDOW_MAX: u32 = 120;

/// A settled text of 20 characters, padded and sealed.
pub const BODY_BYTES: usize = 136;

/// Enough for windows to fill and the store to reach its pace.
pub const WARM_UP: Duration = Duration::from_secs(2);

/// Longer than anything that a working server lets a message wait.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Senders, each with one recipient of its own.
    pub pairs: u32,
    /// Connections that only stay meanwhile.
    pub beside: u32,
    /// Messages of one sender on their way at once, from submission to receipt.
    pub window: u32,
    /// How long each phase is measured.
    pub seconds: u64,
    /// Bytes of a sealed copy, at least the 8 that carry the time of its submission.
    pub body_bytes: usize,
    /// Messages a second in all, at even distances, instead of a full window.
    pub rate: Option<f64>,
    /// After the full windows measure again at half the rate that was reached: latency without
    /// queues.
    pub half: bool,
    /// Before a phase is measured.
    pub warm_up: Duration,
    /// Without progress for so long, what is still missing will not come.
    pub patience: Duration,
}

/// What a chat costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    pairs: u32,
    /// Those of the pairs, and those beside them.
    pub connections: u32,
    window: u32,
    seconds: u64,
    body_bytes: usize,
    #[serde(flatten)]
    /// At the load asked for.
    pub phase: Phase,
    /// The same at half the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_load: Option<Phase>,
    /// Ciphertext and framing of one message with all its acknowledgements, averages of the run.
    pub wire_bytes_per_message: WireBytes,
    /// Accepted, and never delivered.
    pub lost: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Delivered after a later one of the same sender.
    pub out_of_order: u64,
    /// Refused for good.
    pub failed: u64,
    /// Refused for now, and sent again.
    pub refused_for_now: u64,
    /// Connections that ended early.
    pub broken_connections: u64,
    conditions: Conditions,
}

/// One stretch at one load.
#[derive(Debug, Serialize)]
pub struct Phase {
    /// Messages that got all their ticks.
    pub messages_per_s: f64,
    server_cpu_us_per_message: Option<f64>,
    messages_per_server_cpu_s: Option<f64>,
    client_cpu_us_per_message: Option<f64>,
    others_cpus: Option<f64>,
    /// From submission to the recipient's hands.
    delivery_ms: Option<Percentiles>,
    /// From submission to the first tick.
    accepted_ms: Option<Percentiles>,
    /// From submission to the second tick.
    done_ms: Option<Percentiles>,
}

/// Bytes on the links, prefaces and framing included, TCP/IP not.
#[derive(Debug, Serialize)]
pub struct WireBytes {
    sender_up: f64,
    sender_down: f64,
    recipient_up: f64,
    recipient_down: f64,
    /// On both links.
    pub total: f64,
}

/// Runs the chat.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let pairs = Pairs::arrive(site.endpoint(), cast, 0, plan.pairs, plan.body_bytes).await?;
    let first = 2 * plan.pairs;
    let beside = crowd::arrive(site.endpoint(), cast, first..first + plan.beside).await?;
    let mut keepers = Keepers::of(&beside);
    keepers.keep_all(beside);
    let report = observe(site.processes(), plan, &pairs, conditions).await;
    let broken_connections = report.broken_connections + keepers.broken();
    Ok(Report { broken_connections, ..report })
}

/// Sets the pace, measures, and reports what came of it.
async fn observe(
    server: Option<&Processes>,
    plan: &Plan,
    pairs: &Pairs,
    conditions: Conditions,
) -> Report {
    let every = |per_s| Pace::Every(pairs.distance(per_s));
    let full = plan.rate.map_or(Pace::Window(plan.window), every);
    let phase = measure(server, plan, pairs, full, &conditions).await;
    let half_load = match plan.half {
        true => {
            let half = every((phase.messages_per_s / 2.0).max(1.0));
            Some(measure(server, plan, pairs, half, &conditions).await)
        }
        false => None,
    };
    let tally = &pairs.tally;
    let messages = tally.done() as f64;
    let (lost, duplicated, out_of_order) = tally.verdict();
    let (sender, recipient) = tally.traffic();
    Report {
        workload: "chat",
        pairs: plan.pairs,
        connections: 2 * plan.pairs + plan.beside,
        window: plan.window,
        seconds: plan.seconds,
        body_bytes: plan.body_bytes,
        phase,
        half_load,
        wire_bytes_per_message: WireBytes::of(sender, recipient, messages),
        lost,
        duplicated,
        out_of_order,
        failed: tally.failed.get(),
        refused_for_now: tally.refused_for_now.get(),
        broken_connections: tally.broken.get(),
        conditions,
    }
}

/// Runs one load, measures its middle, and waits until nothing is on its way.
async fn measure(
    server: Option<&Processes>,
    plan: &Plan,
    pairs: &Pairs,
    load: Pace,
    conditions: &Conditions,
) -> Phase {
    let tally = &pairs.tally;
    pairs.set(load);
    sleep(plan.warm_up).await;
    tally.start_recording();
    let stretch = conditions.stretch(server, &Processes::me());
    let before = tally.done();
    progress::seconds("chatting", plan.seconds).await;
    let (spent, messages) = (stretch.end(), tally.done() - before);
    let phase = Phase::of(spent, messages, tally);
    pairs.settle(plan.patience).await;
    phase
}

impl Phase {
    fn of(spent: Spent, messages: u64, tally: &Tally) -> Self {
        let [delivery_ms, accepted_ms, done_ms, _] = tally.stop_recording();
        let server_cpu_us_per_message = spent.server_us_each(messages);
        Self {
            messages_per_s: spent.per_s(messages),
            server_cpu_us_per_message,
            messages_per_server_cpu_s: server_cpu_us_per_message.map(|us| 1e6 / us),
            client_cpu_us_per_message: spent.client_us_each(messages),
            others_cpus: spent.others_cpus,
            delivery_ms,
            accepted_ms,
            done_ms,
        }
    }
}

impl WireBytes {
    fn of(sender: Traffic, recipient: Traffic, messages: f64) -> Self {
        let each = |bytes: u64| bytes as f64 / messages.max(1.0);
        let all = [sender.up_bytes, sender.down_bytes, recipient.up_bytes, recipient.down_bytes];
        Self {
            sender_up: each(sender.up_bytes),
            sender_down: each(sender.down_bytes),
            recipient_up: each(recipient.up_bytes),
            recipient_down: each(recipient.down_bytes),
            total: each(all.iter().sum()),
        }
    }
}
