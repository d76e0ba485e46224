//! A process that holds connections: one process may open 20,000 files, so a large crowd takes
//! several. It gets its order as JSON, tells how it fares, a line each, and ends when its standard
//! input does.

pub(crate) mod standing;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::process::Stdio;

use godwit_link::PublicKey;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::conn::Endpoint;
use crate::device::Cast;
use crate::error::LoadError;
use crate::work::{idle, locally, storm, upgrade};

/// Connections that one worker process holds, of 20,000 files that a process may open and 28,000
/// ports that one source address has.
pub const PER_WORKER_MAX: u32 = 9_500;

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    address: SocketAddr,
    server_key: [u8; 32],
    seed: u64,
    first: u32,
    count: u32,
    /// Connections being made at once.
    pub at_once: usize,
    /// Where its connections come from: each source address has its own ports.
    pub source: Ipv4Addr,
    /// Quiet seconds that its connections ask for, instead of what the server says.
    pub keepalive_s: Option<u32>,
    duty: Duty,
}

/// What it does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Keeps them.
    Hold,
    /// Keeps them until it is told to drop all; then they come back, within so many seconds.
    Return {
        /// How long.
        seconds: u64,
    },
    /// Keeps them, and has each ask something when it is told to.
    Ask,
}

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// So many more connections stand, at first or again.
    Up(u32),
    /// All stand; clients speak up after so many quiet seconds.
    AllUp {
        /// As the server said, or was told.
        keepalive_s: u32,
    },
    /// All are back, or the time is over.
    Returned(storm::Returned),
    /// Each of its connections has an answer, or is broken.
    Asked(upgrade::Asked),
    /// The end: so many connections broke.
    Broken(u64),
}

impl Order {
    /// Worker number `worker` holds the connections of these devices.
    pub fn new(
        to: Endpoint,
        cast: Cast,
        numbers: Range<u32>,
        at_once: usize,
        worker: usize,
        duty: Duty,
    ) -> Self {
        Self {
            address: to.address,
            server_key: to.key.0,
            seed: cast.seed(),
            first: numbers.start,
            count: numbers.end - numbers.start,
            at_once,
            source: source_of(to, u32::try_from(worker + 1).unwrap_or(1)),
            keepalive_s: None,
            duty,
        }
    }

    /// Where its connections go.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.address, PublicKey(self.server_key))
    }

    /// Whose they are.
    pub fn cast(&self) -> Cast {
        Cast::new(self.seed)
    }

    /// The numbers of its devices.
    pub fn numbers(&self) -> Range<u32> {
        self.first..self.first + self.count
    }
}

/// An address to connect from, another one for each number below 65,536: only loopback answers to any
/// address of 127/8.
pub fn source_of(to: Endpoint, number: u32) -> Ipv4Addr {
    let [_, _, high, low] = number.to_be_bytes();
    match to.address.ip().is_loopback() {
        true => Ipv4Addr::new(127, 1, high, low),
        false => Ipv4Addr::UNSPECIFIED,
    }
}

/// `total` cut into ranges of at most `most`, as even as they can be.
pub fn shares(total: u32, most: u32) -> impl Iterator<Item = Range<u32>> {
    let parts = total.div_ceil(most.max(1));
    let cut = move |part: u32| {
        u32::try_from(u64::from(total) * u64::from(part) / u64::from(parts.max(1))).unwrap_or(total)
    };
    (0..parts).map(move |part| cut(part)..cut(part + 1))
}

/// A worker as its owner sees it. Dropped, it ends.
pub struct Worker {
    child: Child,
    /// Closed, it ends the worker.
    input: ChildStdin,
    news: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts one. Those that stand for other machines run at the least priority, so that they do not
    /// take the CPU from the server and from who measures.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::Worker`].
    pub fn start(order: &Order) -> Result<Self, LoadError> {
        let me = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
        let mut command = match order.duty {
            Duty::Hold | Duty::Ask => Command::new(me),
            Duty::Return { .. } => {
                let mut command = Command::new("nice");
                command.args(["-n", "19"]).arg(me);
                command
            }
        };
        let order = serde_json::to_string(order).map_err(|_| LoadError::Worker)?;
        command.args(["worker", &order]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.kill_on_drop(true).spawn().map_err(LoadError::io("starting a worker"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or(LoadError::Worker)?;
        Ok(Self { child, input, news: BufReader::new(output).lines() })
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until all its connections stand; the keepalive that the server asked for.
    ///
    /// # Errors
    /// [`LoadError::Worker`] when it ended.
    ///
    /// # Cancel safety
    /// What it told meanwhile is not told again.
    pub async fn stands(&mut self, bar: &ProgressBar) -> Result<u32, LoadError> {
        loop {
            match self.next().await? {
                News::Up(more) => bar.inc(more.into()),
                News::AllUp { keepalive_s } => return Ok(keepalive_s),
                News::Returned(_) | News::Asked(_) | News::Broken(_) => {
                    return Err(LoadError::Worker);
                }
            }
        }
    }

    /// Has it drop all its connections, which then come back.
    ///
    /// # Errors
    /// [`LoadError::Io`] when it ended.
    ///
    /// # Cancel safety
    /// It may have been told.
    pub async fn drop_all(&mut self) -> Result<(), LoadError> {
        self.input.write_all(b"drop\n").await.map_err(LoadError::io("telling a worker"))
    }

    /// Waits until its devices are back.
    ///
    /// # Errors
    /// As [`Self::stands`].
    ///
    /// # Cancel safety
    /// As [`Self::stands`].
    pub async fn returns(&mut self, bar: &ProgressBar) -> Result<storm::Returned, LoadError> {
        loop {
            match self.next().await? {
                News::Up(more) => bar.inc(more.into()),
                News::Returned(returned) => return Ok(returned),
                News::AllUp { .. } | News::Asked(_) | News::Broken(_) => {
                    return Err(LoadError::Worker);
                }
            }
        }
    }

    /// Has each of its connections ask something, and waits until all have an answer or are broken.
    ///
    /// # Errors
    /// As [`Self::stands`].
    ///
    /// # Cancel safety
    /// As [`Self::stands`].
    pub async fn ask_all(&mut self) -> Result<upgrade::Asked, LoadError> {
        self.input.write_all(b"ask\n").await.map_err(LoadError::io("telling a worker"))?;
        match self.next().await? {
            News::Asked(asked) => Ok(asked),
            News::Up(_) | News::AllUp { .. } | News::Returned(_) | News::Broken(_) => {
                Err(LoadError::Worker)
            }
        }
    }

    /// Ends it; how many of its connections broke.
    ///
    /// # Errors
    /// [`LoadError::Worker`] when it had ended before.
    ///
    /// # Cancel safety
    /// Dropping the future kills it.
    pub async fn finish(mut self) -> Result<u64, LoadError> {
        drop(self.input);
        let line = self.news.next_line().await.map_err(LoadError::io("hearing a worker"))?;
        let Some(News::Broken(broken)) = line.as_deref().and_then(news_of) else {
            return Err(LoadError::Worker);
        };
        self.child.wait().await.map_err(LoadError::io("ending a worker"))?;
        Ok(broken)
    }

    async fn next(&mut self) -> Result<News, LoadError> {
        let line = self.news.next_line().await.map_err(LoadError::io("hearing a worker"))?;
        line.as_deref().and_then(news_of).ok_or(LoadError::Worker)
    }
}

fn news_of(line: &str) -> Option<News> {
    serde_json::from_str(line).ok()
}

/// What the process does until its standard input ends.
///
/// # Errors
/// [`LoadError`] when a connection cannot be made.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn run(order: &Order) -> Result<(), LoadError> {
    let work = async {
        match order.duty {
            Duty::Hold => idle::hold(order).await,
            Duty::Return { seconds } => storm::hold_and_return(order, seconds).await,
            Duty::Ask => upgrade::hold_and_ask(order).await,
        }
    };
    locally(work).await
}

/// Says something to the owner.
pub(crate) fn tell(news: &News) {
    if let Ok(line) = serde_json::to_string(news) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_command_line_and_workers_have_addresses_of_their_own() {
        let address = ([127, 0, 0, 1], 7373).into();
        let to = Endpoint::new(address, PublicKey([7; 32]));
        let order =
            |worker| Order::new(to, Cast::new(9), 3..8, 64, worker, Duty::Return { seconds: 4 });
        let line = serde_json::to_string(&order(0)).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order(0));
        assert_eq!(order(0).source, Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(order(299).source, Ipv4Addr::new(127, 1, 1, 44));
        let far = Endpoint { address: ([192, 0, 2, 1], 7373).into(), ..to };
        assert_eq!(source_of(far, 5), Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn shares_are_even_and_miss_nobody() {
        let lengths = |total, most| -> Vec<u32> {
            let mut end = 0;
            let ranges = shares(total, most);
            let length = |range: Range<u32>| {
                assert_eq!(range.start, end, "no gap");
                end = range.end;
                range.end - range.start
            };
            let lengths = ranges.map(length).collect();
            assert_eq!(end, total);
            lengths
        };
        assert_eq!(lengths(19_000, 19_000), [19_000]);
        assert_eq!(lengths(19_001, 19_000), [9_500, 9_501]);
        assert_eq!(lengths(0, 19_000), [] as [u32; 0]);
        assert_eq!(lengths(1_000_000, idle::PER_SERVER_MAX).len(), 53);
    }
}
