//! The connections of one worker: how they come to stand, and who keeps them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{News, Order, tell};
use crate::conn::{Conn, Via};
use crate::crowd;
use crate::error::LoadError;
use crate::progress;

/// Connections between two words about progress.
pub(crate) const NEWS_EVERY: u32 = 100;

/// Patience for a connection of the ramp, tries included.
const TRIES_MAX: u32 = 5;

/// Makes the connections of an order and tells of each hundred, and when all stand.
///
/// # Errors
/// The first that cannot be made.
///
/// # Panics
/// Outside a [`tokio::task::LocalSet`].
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub(crate) async fn connect(order: &Order) -> Result<Vec<Conn>, LoadError> {
    let standing = Rc::new(Cell::new(0));
    let shared = Rc::new(order.clone());
    let one = move |number| {
        let (standing, order) = (Rc::clone(&standing), Rc::clone(&shared));
        async move {
            let conn = patiently(&order, number).await?;
            standing.set(standing.get() + 1);
            if standing.get() % NEWS_EVERY == 0 {
                tell(&News::Up(NEWS_EVERY));
            }
            Ok(conn)
        }
    };
    let numbers = order.numbers();
    let rest = (numbers.end - numbers.start) % NEWS_EVERY;
    let conns = crowd::each(numbers, order.at_once, &progress::hidden(), one).await?;
    tell(&News::Up(rest));
    tell(&News::AllUp { keepalive_s: keepalive_s(&conns) });
    Ok(conns)
}

/// A refused or cut connection is tried again, as a client would, a few times.
async fn patiently(order: &Order, number: u32) -> Result<Conn, LoadError> {
    let (to, source) = (order.endpoint(), Some(order.source));
    let device = order.cast().device(number);
    let mut tries = 1;
    loop {
        let made = async {
            let mut conn = Conn::open(to, &device.link, source, Via::Full).await?;
            conn.attach().await?;
            if let Some(seconds) = order.keepalive_s {
                conn.quiet_for(seconds).await?;
            }
            Ok(conn)
        };
        match made.await {
            Err(_) if tries < TRIES_MAX => tries += 1,
            made => return made,
        }
    }
}

fn keepalive_s(conns: &[Conn]) -> u32 {
    conns.first().map_or(30, |conn| conn.welcome.keepalive_s).max(1)
}

/// One task a connection, which says that it is there when it has to.
pub(crate) struct Keepers {
    gap: Duration,
    broken: Rc<Cell<u64>>,
    tasks: JoinSet<()>,
}

impl Keepers {
    /// Nobody yet; they will speak as often as the server asked these.
    pub(crate) fn of(conns: &[Conn]) -> Self {
        let gap = Duration::from_secs(keepalive_s(conns).into());
        Self { gap, broken: Rc::default(), tasks: JoinSet::new() }
    }

    /// Keeps these, their signs of life evenly over the interval, as devices that came at different
    /// times would be.
    pub(crate) fn keep_all(&mut self, conns: Vec<Conn>) {
        let count = conns.len();
        for (place, conn) in conns.into_iter().enumerate() {
            self.keep(conn, place as f64 / count as f64);
        }
    }

    /// Keeps one; its first sign of life comes after such a part of the interval.
    pub(crate) fn keep(&mut self, mut conn: Conn, part: f64) {
        let first = Instant::now() + self.gap.mul_f64(part);
        let (gap, broken) = (self.gap, Rc::clone(&self.broken));
        self.tasks.spawn_local(async move {
            let Err(_) = conn.keep(first, gap).await;
            broken.set(broken.get() + 1);
        });
    }

    /// How many broke by themselves.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.get()
    }

    /// Drops all and forgets how many broke.
    ///
    /// # Cancel safety
    /// Those that are left are dropped with `self`.
    pub(crate) async fn drop_all(&mut self) {
        self.tasks.shutdown().await;
        self.broken.set(0);
    }
}
