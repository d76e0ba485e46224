//! Handshakes: connect, shake hands, hang up, as fast as the server can. Full ones and resumed ones,
//! and beside them what the server's half costs without any socket.

use std::time::{Duration, Instant};

use godwit_link::{Initiator, LinkError, Responder, ServerKeys, StaticKey, Ticket, TicketKeys};
use serde::Serialize;

use crate::conn::{Conn, Endpoint, Via};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes, Spent};
use crate::progress;
use crate::server::Site;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long each kind is measured.
    pub seconds: u64,
    /// Handshakes on their way at once.
    pub at_once: u32,
}

/// What handshakes cost. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    seconds: u64,
    at_once: u32,
    /// Full handshakes for each second of server CPU time, accept and close included.
    full_per_cpu_s: Option<f64>,
    /// Resumed ones.
    resumed_per_cpu_s: Option<f64>,
    /// Full handshakes a second on the wall.
    pub full_per_s: f64,
    /// Resumed ones.
    pub resumed_per_s: f64,
    /// The responder's half of the link alone, in this process.
    link_full_per_cpu_s: f64,
    /// The same of a resumption.
    link_resumed_per_cpu_s: f64,
    /// Handshakes that failed.
    pub failed: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Runs the handshakes.
///
/// # Errors
/// [`LoadError`] when the devices cannot be registered.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    crowd::register(site.endpoint(), cast, 0..plan.at_once).await?;
    let (full, full_spent) = storm(site, plan, cast, false, &conditions).await?;
    let (resumed, resumed_spent) = storm(site, plan, cast, true, &conditions).await?;
    let per_cpu_s = |made: Made, spent: Spent| Some(1e6 / spent.server_us_each(made.good)?);
    Ok(Report {
        workload: "handshake",
        seconds: plan.seconds,
        at_once: plan.at_once,
        full_per_cpu_s: per_cpu_s(full, full_spent),
        resumed_per_cpu_s: per_cpu_s(resumed, resumed_spent),
        full_per_s: full_spent.per_s(full.good),
        resumed_per_s: resumed_spent.per_s(resumed.good),
        link_full_per_cpu_s: responders_full()?,
        link_resumed_per_cpu_s: responders_resumed()?,
        failed: full.failed + resumed.failed,
        others_cpus: full_spent.others_cpus,
        conditions,
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Made {
    good: u64,
    failed: u64,
}

/// Every device shakes hands again and again until the time is over.
async fn storm(
    site: &Site,
    plan: &Plan,
    cast: Cast,
    resume: bool,
    conditions: &Conditions,
) -> Result<(Made, Spent), LoadError> {
    let (to, seconds) = (site.endpoint(), plan.seconds);
    let bar = progress::bar(if resume { "resuming" } else { "shaking hands" }, plan.at_once.into());
    let stretch = conditions.stretch(site.processes(), &Processes::me());
    let until = Instant::now() + Duration::from_secs(seconds);
    let device = move |number| shake(to, cast, number, resume, until);
    let made =
        crowd::each(0..plan.at_once, crowd::AT_ONCE.max(plan.at_once as usize), &bar, device);
    let made = made.await?.into_iter().fold(Made::default(), |sum, made| Made {
        good: sum.good + made.good,
        failed: sum.failed + made.failed,
    });
    Ok((made, stretch.end()))
}

async fn shake(
    to: Endpoint,
    cast: Cast,
    number: u32,
    resume: bool,
    until: Instant,
) -> Result<Made, LoadError> {
    let device = cast.device(number);
    let first = Conn::open(to, &device.link, None, Via::Full).await?;
    let mut ticket = Ticket::from_welcome(&first.welcome.ticket)?;
    first.hang_up()?;
    let mut made = Made::default();
    while Instant::now() < until {
        let via = if resume { Via::Resume(&ticket) } else { Via::Full };
        match Conn::open(to, &device.link, None, via).await {
            Ok(conn) => {
                made.good += 1;
                ticket = Ticket::from_welcome(&conn.welcome.ticket)?;
                conn.hang_up()?;
            }
            Err(_) => made.failed += 1,
        }
    }
    Ok(made)
}

/// Messages prepared for one round of responders: about 0.1 s of work.
const ROUND: usize = 1_000;

/// CPU time that a measurement without sockets takes at least.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

fn responders_full() -> Result<f64, LinkError> {
    let (server, client) = (StaticKey::generate()?, StaticKey::generate()?);
    let messages = (0..ROUND)
        .map(|_| Initiator::ik(&client, &server.public(), b"hello").map(|(_, message)| message))
        .collect::<Result<Vec<_>, _>>()?;
    let hint = server.public().hint();
    let keys = ServerKeys::new(server, None);
    per_cpu_s(&messages, |message| Responder::ik(&keys, hint, message)?.responder.reply(b"welcome"))
}

fn responders_resumed() -> Result<f64, LinkError> {
    let (client, keys) = (StaticKey::generate()?, TicketKeys::generate()?);
    let issued = keys.issue(&client.public(), u64::MAX)?;
    let ticket = Ticket::from_welcome(&issued)?;
    let messages = (0..ROUND)
        .map(|_| Initiator::resume(&ticket, b"hello").map(|(_, message)| message))
        .collect::<Result<Vec<_>, _>>()?;
    per_cpu_s(&messages, |message| {
        Responder::resume(&keys, 0, message)?.responder.reply(b"welcome")
    })
}

/// How many messages `answer` handles in a second of CPU time; of wall time where the kernel does
/// not tell, which is the same while nothing else runs.
fn per_cpu_s<T>(
    messages: &[Vec<u8>],
    answer: impl Fn(&[u8]) -> Result<T, LinkError>,
) -> Result<f64, LinkError> {
    let me = Processes::me();
    let began = (me.cpu(), Instant::now());
    let mut answered = 0;
    loop {
        for message in messages {
            answer(message)?;
        }
        answered += messages.len();
        let cpu = me.cpu().zip(began.0).map(|(now, then)| now.saturating_sub(then));
        let spent = cpu.unwrap_or_else(|| began.1.elapsed());
        if spent >= LONG_ENOUGH {
            return Ok(answered as f64 / spent.as_secs_f64());
        }
    }
}
