//! A process that holds connections: one process may open 20,000 files, so a large crowd takes
//! several. It gets its order as a line of JSON, tells when connections stand, and ends when its
//! standard input does.

use std::cell::Cell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use godwit_link::PublicKey;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use crate::conn::{Conn, Endpoint, Via};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::progress;

/// Connections between two words about progress.
const NEWS_EVERY: u32 = 100;

/// Patience for a connection of the ramp, tries included.
const TRIES_MAX: u32 = 5;

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    address: SocketAddr,
    server_key: [u8; 32],
    seed: u64,
    first: u32,
    count: u32,
    at_once: usize,
    /// Where its connections come from: each source address has its own ports.
    source: Ipv4Addr,
}

/// What a worker tells, one a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum News {
    /// So many more connections stand.
    Up(u32),
    /// All stand; clients speak up after so many quiet seconds.
    AllUp { keepalive_s: u32 },
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
    ) -> Self {
        let [_, _, high, low] = u32::try_from(worker + 1).unwrap_or(1).to_be_bytes();
        // Only loopback answers to any address of 127/8.
        let loopback = to.address.ip().is_loopback();
        Self {
            address: to.address,
            server_key: to.key.0,
            seed: cast.seed(),
            first: numbers.start,
            count: numbers.end - numbers.start,
            at_once,
            source: if loopback { Ipv4Addr::new(127, 1, high, low) } else { Ipv4Addr::UNSPECIFIED },
        }
    }
}

/// A worker as its owner sees it. Dropped, it ends.
pub struct Worker {
    child: Child,
    /// Closed, it ends the worker.
    input: ChildStdin,
    news: Lines<BufReader<ChildStdout>>,
    keepalive_s: u32,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::Worker`].
    pub fn start(order: &Order) -> Result<Self, LoadError> {
        let me = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
        let order = serde_json::to_string(order).map_err(|_| LoadError::Worker)?;
        let mut command = Command::new(me);
        command.args(["worker", &order]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.kill_on_drop(true).spawn().map_err(LoadError::io("starting a worker"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or(LoadError::Worker)?;
        Ok(Self { child, input, news: BufReader::new(output).lines(), keepalive_s: 0 })
    }

    /// How many more connections stand; `None` when all do.
    ///
    /// # Errors
    /// [`LoadError::Worker`] when it ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn progress(&mut self) -> Result<Option<u32>, LoadError> {
        match self.next().await? {
            News::Up(more) => Ok(Some(more)),
            News::AllUp { keepalive_s } => {
                self.keepalive_s = keepalive_s;
                Ok(None)
            }
            News::Broken(_) => Err(LoadError::Worker),
        }
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The keepalive that the server asked for.
    pub fn keepalive_s(&self) -> u32 {
        self.keepalive_s
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
        let news = line.and_then(|line| serde_json::from_str(&line).ok());
        let Some(News::Broken(broken)) = news else { return Err(LoadError::Worker) };
        self.child.wait().await.map_err(LoadError::io("ending a worker"))?;
        Ok(broken)
    }

    async fn next(&mut self) -> Result<News, LoadError> {
        let line = self.news.next_line().await.map_err(LoadError::io("hearing a worker"))?;
        line.and_then(|line| serde_json::from_str(&line).ok()).ok_or(LoadError::Worker)
    }
}

/// What the process does: connects, attaches, keeps alive, until standard input ends.
///
/// # Errors
/// [`LoadError`] when a connection cannot be made.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn run(order: &Order) -> Result<(), LoadError> {
    LocalSet::new().run_until(hold(order)).await
}

async fn hold(order: &Order) -> Result<(), LoadError> {
    let to = Endpoint { address: order.address, key: PublicKey(order.server_key) };
    let (cast, source) = (Cast::new(order.seed), Some(order.source));
    let numbers = order.first..order.first + order.count;
    let (bar, standing) = (progress::hidden(), Rc::new(Cell::new(0)));
    let connect = move |number| {
        let standing = Rc::clone(&standing);
        async move {
            let conn = connect(to, cast, number, source).await?;
            standing.set(standing.get() + 1);
            if standing.get() % NEWS_EVERY == 0 {
                tell(&News::Up(NEWS_EVERY));
            }
            Ok(conn)
        }
    };
    let conns = crowd::each(numbers, order.at_once, &bar, connect).await?;
    tell(&News::Up(order.count % NEWS_EVERY));
    let keepalive_s = conns.first().map_or(30, |conn| conn.welcome.keepalive_s).max(1);
    tell(&News::AllUp { keepalive_s });
    let broken = Rc::new(Cell::new(0));
    let (now, gap) = (Instant::now(), Duration::from_secs(keepalive_s.into()));
    for (place, conn) in conns.into_iter().enumerate() {
        // Evenly over the interval, as devices that came at different times would be.
        let first = now + gap.mul_f64(place as f64 / f64::from(order.count));
        let broken = Rc::clone(&broken);
        tokio::task::spawn_local(async move {
            let Err(_) = keep(conn, first, gap).await;
            broken.set(broken.get() + 1);
        });
    }
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    tell(&News::Broken(broken.get()));
    Ok(())
}

/// A refused or cut connection is tried again, as a client would, a few times.
async fn connect(
    to: Endpoint,
    cast: Cast,
    number: u32,
    source: Option<Ipv4Addr>,
) -> Result<Conn, LoadError> {
    let mut tries = 1;
    loop {
        let made = async {
            let mut conn = Conn::open(to, &cast.device(number).link, source, Via::Full).await?;
            conn.attach().await.map(|()| conn)
        };
        match made.await {
            Err(_) if tries < TRIES_MAX => tries += 1,
            made => return made,
        }
    }
}

/// Keeps one connection until it breaks.
async fn keep(
    mut conn: Conn,
    first: Instant,
    gap: Duration,
) -> Result<std::convert::Infallible, LoadError> {
    let mut due = first;
    loop {
        let quiet = tokio::select! {
            heard = conn.hear(drop) => heard.map(|()| false)?,
            () = sleep_until(due) => true,
        };
        if quiet {
            conn.say_nothing();
            conn.flush().await?;
            due += gap;
        }
    }
}

fn tell(news: &News) {
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
        let to = Endpoint { address, key: PublicKey([7; 32]) };
        let order = |worker| Order::new(to, Cast::new(9), 3..8, 64, worker);
        let line = serde_json::to_string(&order(0)).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order(0));
        assert_eq!(order(0).source, Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(order(299).source, Ipv4Addr::new(127, 1, 1, 44));
        let far = Endpoint { address: ([192, 0, 2, 1], 7373).into(), ..to };
        assert_eq!(Order::new(far, Cast::new(9), 3..8, 64, 5).source, Ipv4Addr::UNSPECIFIED);
    }
}
