//! More than the server can do: the load that it does best at is measured, then parts and multiples of it
//! are offered, and what comes through of each.

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
use crate::work::chat::pairs::{Pace, Pairs};

/// What is offered, as multiples of the most that the server did.
pub const STEPS: [f64; 7] = [0.5, 0.75, 1.0, 2.0, 4.0, 7.0, 10.0];

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Senders, each with one recipient of its own.
    pub pairs: u32,
    /// Messages of one sender on their way at once while the peak is measured.
    pub window: u32,
    /// How long the peak, and each step, is measured.
    pub seconds: u64,
    /// Bytes of a sealed copy.
    pub body_bytes: usize,
    /// Multiples of the peak, one after another.
    pub steps: Vec<f64>,
    /// Before each is measured.
    pub warm_up: Duration,
    /// Without progress for so long, what is still missing will not come.
    pub patience: Duration,
}

/// What came through. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    pairs: u32,
    window: u32,
    seconds: u64,
    body_bytes: usize,
    /// Whole messages a second with full windows: the peak that the steps are multiples of.
    pub peak_per_s: f64,
    /// One for each offered load.
    pub steps: Vec<Step>,
    /// What came through at the largest load, to the most that came through at any.
    pub goodput_ratio: f64,
    /// The most memory at any step, to that before the first.
    peak_rss_ratio: Option<f64>,
    rss_bytes_before: Option<u64>,
    /// Accepted, and never delivered.
    pub lost: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Delivered after a later one of the same sender.
    pub out_of_order: u64,
    /// Refused for good.
    pub failed: u64,
    /// Connections that ended early.
    pub broken_connections: u64,
    conditions: Conditions,
}

/// One load.
#[derive(Debug, Serialize)]
pub struct Step {
    /// As a multiple of the peak.
    pub factor: f64,
    /// What the senders would have sent.
    pub offered_per_s: f64,
    /// What they sent for the first time: a client has at most 120 unresolved, and offers no more
    /// than that.
    pub sent_per_s: f64,
    /// Messages that got all their ticks.
    pub goodput_per_s: f64,
    /// Refusals with a delay, after which the message was sent again.
    pub refused_for_now_per_s: f64,
    server_cpu_us_per_message: Option<f64>,
    /// From the first submission to the recipient's hands.
    delivery_ms: Option<Percentiles>,
    /// From the first submission to the first tick.
    accepted_ms: Option<Percentiles>,
    /// The most memory of the server.
    rss_bytes_peak: Option<u64>,
    others_cpus: Option<f64>,
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
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let pairs = Pairs::arrive(site.endpoint(), cast, 0, plan.pairs, plan.body_bytes).await?;
    let run = Run { site, plan, pairs, conditions };
    let peak = run.step(0.0, 0.0, Pace::Window(plan.window)).await;
    let rss_bytes_before = site.processes().and_then(Processes::rss_bytes);
    let mut steps = Vec::with_capacity(plan.steps.len());
    for factor in &plan.steps {
        let offered_per_s = (factor * peak.goodput_per_s).max(1.0);
        let pace = Pace::Offer(run.pairs.distance(offered_per_s));
        steps.push(run.step(*factor, offered_per_s, pace).await);
    }
    Ok(run.report(peak.goodput_per_s, steps, rss_bytes_before))
}

/// One run.
struct Run<'a> {
    site: &'a Site,
    plan: &'a Plan,
    pairs: Pairs,
    conditions: Conditions,
}

impl Run<'_> {
    /// Offers one load, measures its middle, and waits until nothing is on its way.
    async fn step(&self, factor: f64, offered_per_s: f64, pace: Pace) -> Step {
        let (plan, tally) = (self.plan, &self.pairs.tally);
        let peak = Peak::watch(self.site.processes());
        self.pairs.set(pace);
        sleep(plan.warm_up).await;
        tally.start_recording();
        let counts = || (tally.sent(), tally.done(), tally.refused_for_now.get());
        let (sent, done, refused) = counts();
        let stretch = self.conditions.stretch(self.site.processes(), &Processes::me());
        progress::seconds("offering", plan.seconds).await;
        let spent = stretch.end();
        let (sent_then, done_then, refused_then) = counts();
        let [delivery_ms, accepted_ms, ..] = tally.stop_recording();
        self.pairs.settle(plan.patience).await;
        Step {
            factor,
            offered_per_s,
            sent_per_s: spent.per_s(sent_then - sent),
            goodput_per_s: spent.per_s(done_then - done),
            refused_for_now_per_s: spent.per_s(refused_then - refused),
            server_cpu_us_per_message: spent.server_us_each(done_then - done),
            delivery_ms,
            accepted_ms,
            rss_bytes_peak: peak.bytes(),
            others_cpus: spent.others_cpus,
        }
    }

    fn report(self, peak_per_s: f64, steps: Vec<Step>, rss_bytes_before: Option<u64>) -> Report {
        let (plan, tally) = (self.plan, &self.pairs.tally);
        let (lost, duplicated, out_of_order) = tally.verdict();
        let best = steps.iter().map(|step| step.goodput_per_s).fold(peak_per_s, f64::max);
        let last = steps.last().map_or(0.0, |step| step.goodput_per_s);
        let rss_bytes_peak = steps.iter().filter_map(|step| step.rss_bytes_peak).max();
        Report {
            workload: "overload",
            pairs: plan.pairs,
            window: plan.window,
            seconds: plan.seconds,
            body_bytes: plan.body_bytes,
            peak_per_s,
            steps,
            goodput_ratio: last / best.max(1.0),
            peak_rss_ratio: rss_bytes_peak.zip(rss_bytes_before).map(|(p, b)| p as f64 / b as f64),
            rss_bytes_before,
            lost,
            duplicated,
            out_of_order,
            failed: tally.failed.get(),
            broken_connections: tally.broken.get(),
            conditions: self.conditions,
        }
    }
}
