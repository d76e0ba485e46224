//! Pairs that chat at an even pace while others misbehave, one kind after another: what the pairs notice.

mod crew;
mod talker;

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::Percentiles;
use crate::machine::{Conditions, Processes};
use crate::peak::Peak;
use crate::progress;
use crate::server::Site;
use crate::work::chat::BODY_BYTES;
use crate::work::chat::pairs::{Pace, Pairs};
use crew::{Crew, Deed};

pub use crew::Done;

/// Readers: one message goes to all of them, and may have 1,024 recipients.
pub const READERS_MAX: u32 = 1_000;

/// Records of the large mailbox: they are of one sender, who may hold half of what [`CONFIG`] allows.
pub const RECORDS_MAX: u32 = 100_000;

/// What our own server is told: a mailbox of the default size is not large.
pub const CONFIG: &str = "[mailbox]\nrecords_max = 200000\nbytes_max = 268435456\n";

/// Between two messages to all readers: with 200 of them 10,000 copies a second, half of what one device
/// may submit.
pub const FEED_EVERY: Duration = Duration::from_millis(20);

/// Bytes of each of them: in ten seconds 2 MB a reader, more than its socket and the server hold for it.
pub const FEED_BYTES: usize = 4_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Pairs that chat.
    pub pairs: u32,
    /// Messages a second of all pairs together.
    pub rate: f64,
    /// Devices that are sent to and then stop reading.
    pub readers: u32,
    /// Between two messages to all of them.
    pub feed_every: Duration,
    /// Bytes of each copy of these.
    pub feed_bytes: usize,
    /// Records of the large mailbox.
    pub records: u32,
    /// How long each is measured; the large mailbox for as long as it drains.
    pub seconds: u64,
    /// Before each is measured.
    pub warm_up: Duration,
    /// Without progress for so long, what is still missing will not come.
    pub patience: Duration,
}

/// What the pairs notice. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    pairs: u32,
    rate_per_s: f64,
    readers: u32,
    records: u32,
    seconds: u64,
    /// Nobody else is there.
    pub calm: Stretch,
    /// The readers are sent to, and read: what the sending alone costs.
    pub quick_readers: Disturbed,
    /// They are sent the same and read nothing until it is over.
    pub slow_readers: Disturbed,
    /// One device sends as fast as it can, and takes no delay for an answer.
    pub noisy_account: Disturbed,
    /// One device comes back to a large mailbox.
    pub large_mailbox: Disturbed,
    /// Of the pairs' messages: accepted, and never delivered.
    pub lost: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Refused, for good or for now.
    pub refused: u64,
    /// Connections of pairs that ended early.
    pub broken_connections: u64,
    conditions: Conditions,
}

/// The pairs in one stretch.
#[derive(Debug, Serialize)]
pub struct Stretch {
    wall_s: f64,
    messages_per_s: f64,
    /// From submission to the recipient's hands.
    pub delivery_ms: Option<Percentiles>,
    /// From submission to the first tick.
    accepted_ms: Option<Percentiles>,
    /// CPUs that the server kept busy.
    server_cpus: Option<f64>,
    /// The most memory of the server.
    rss_bytes_peak: Option<u64>,
    others_cpus: Option<f64>,
}

/// The same while others misbehave.
#[derive(Debug, Serialize)]
pub struct Disturbed {
    #[serde(flatten)]
    stretch: Stretch,
    /// The 99th of a hundred deliveries to that in the calm.
    p99_ratio: Option<f64>,
    /// What the others did.
    #[serde(flatten)]
    pub others: Done,
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops the pairs; who misbehaves ends with the process.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let pairs = Pairs::arrive(site.endpoint(), cast, 0, plan.pairs, BODY_BYTES).await?;
    pairs.set(Pace::Every(pairs.distance(plan.rate)));
    let run = Run { site, plan, pairs, conditions };
    sleep(plan.warm_up).await;
    let (calm, ()) = run.watch(progress::seconds("calm", plan.seconds)).await;
    let quick_readers = run.while_others(Deed::Readers { read: true }, &calm).await?;
    let slow_readers = run.while_others(Deed::Readers { read: false }, &calm).await?;
    let noisy_account = run.while_others(Deed::Noise, &calm).await?;
    let large_mailbox = run.while_others(Deed::Mailbox, &calm).await?;
    run.pairs.settle(plan.patience).await;
    let tally = &run.pairs.tally;
    let (lost, duplicated, _) = tally.verdict();
    Ok(Report {
        workload: "bystanders",
        pairs: plan.pairs,
        rate_per_s: plan.rate,
        readers: plan.readers,
        records: plan.records,
        seconds: plan.seconds,
        calm,
        quick_readers,
        slow_readers,
        noisy_account,
        large_mailbox,
        lost,
        duplicated,
        refused: tally.failed.get() + tally.refused_for_now.get(),
        broken_connections: tally.broken.get(),
        conditions: run.conditions,
    })
}

/// One run.
struct Run<'a> {
    site: &'a Site,
    plan: &'a Plan,
    pairs: Pairs,
    conditions: Conditions,
}

impl Run<'_> {
    /// What the pairs notice while others do something, from its begin to its end.
    async fn while_others(&self, deed: Deed, calm: &Stretch) -> Result<Disturbed, LoadError> {
        let mut crew = Crew::start(deed, self.site.endpoint(), self.plan).await?;
        sleep(self.plan.warm_up).await;
        let (stretch, ()) = self.watch(crew.acts()).await;
        let others = crew.ends().await?;
        let p99 = |stretch: &Stretch| stretch.delivery_ms.map(|ms| ms.p99);
        let p99_ratio = p99(&stretch).zip(p99(calm)).map(|(now, calm)| now / calm);
        Ok(Disturbed { stretch, p99_ratio, others })
    }

    async fn watch<T>(&self, meanwhile: impl Future<Output = T>) -> (Stretch, T) {
        let tally = &self.pairs.tally;
        let peak = Peak::watch(self.site.processes());
        let before = tally.done();
        tally.start_recording();
        let stretch = self.conditions.stretch(self.site.processes(), &Processes::me());
        let result = meanwhile.await;
        let spent = stretch.end();
        let [delivery_ms, accepted_ms, ..] = tally.stop_recording();
        let wall_s = spent.wall.as_secs_f64();
        let stretch = Stretch {
            wall_s,
            messages_per_s: spent.per_s(tally.done() - before),
            delivery_ms,
            accepted_ms,
            server_cpus: spent.server_cpu.map(|cpu| cpu.as_secs_f64() / wall_s),
            rss_bytes_peak: peak.bytes(),
            others_cpus: spent.others_cpus,
        };
        (stretch, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of that mailbox, half of them of one sender, are enough for so many as well.
    #[test]
    fn our_own_server_takes_the_largest_mailbox_of_one_sender() {
        let told = |name: &str| -> u64 {
            let line = CONFIG.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(" = ").parse().unwrap()
        };
        assert_eq!(told("records_max"), 2 * u64::from(RECORDS_MAX));
        assert!(told("bytes_max") / 2 >= u64::from(RECORDS_MAX) * BODY_BYTES as u64);
    }
}
