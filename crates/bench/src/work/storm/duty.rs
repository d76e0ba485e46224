//! What a worker process of a storm does: holds its connections, drops all of them when it is told to,
//! and has each device come back by itself.

use std::rc::Rc;
use std::time::Duration;

use godwit_link::Ticket;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Returned;
use crate::conn::Conn;
use crate::error::LoadError;
use crate::redial::Redial;
use crate::worker::standing::{Keepers, NEWS_EVERY, connect};
use crate::worker::{News, Order, tell};

/// Connects, attaches and keeps alive; at each line of standard input drops all and has them come back
/// within so many seconds; ends with standard input.
///
/// # Errors
/// [`LoadError`] when a connection cannot be made at first.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn hold_and_return(order: &Order, seconds: u64) -> Result<(), LoadError> {
    let conns = connect(order).await?;
    let mut tickets = Vec::with_capacity(conns.len());
    for conn in &conns {
        // A network that is gone says nothing, and a port that waits for a minute is one less.
        conn.reset_when_dropped()?;
        tickets.push(Ticket::from_welcome(&conn.welcome.ticket).ok());
    }
    let mut keepers = Keepers::of(&conns);
    keepers.keep_all(conns);
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_drop)) = orders.next_line().await {
        keepers.drop_all().await;
        let tickets = std::mem::take(&mut tickets);
        tell(&News::Returned(come_back(order, tickets, seconds, &mut keepers).await));
    }
    tell(&News::Broken(keepers.broken()));
    Ok(())
}

/// All devices at once, each on its own.
async fn come_back(
    order: &Order,
    tickets: Vec<Option<Ticket>>,
    seconds: u64,
    keepers: &mut Keepers,
) -> Returned {
    let redial = Rc::new(Redial::new(order.endpoint(), Some(order.source)));
    let (cast, began) = (order.cast(), Instant::now());
    let deadline = began + Duration::from_secs(seconds);
    let mut devices = JoinSet::new();
    for (number, ticket) in
        order.numbers().zip(tickets.into_iter().chain(std::iter::repeat_with(|| None)))
    {
        let redial = Rc::clone(&redial);
        devices.spawn_local(async move {
            let device = cast.device(number);
            let back = timeout_at(deadline, redial.come_back(&device, ticket, |_| {})).await;
            back.ok().map(|conn| (conn, began.elapsed()))
        });
    }
    let mut returned = Returned::default();
    while let Some(joined) = devices.join_next().await {
        match joined.ok().flatten() {
            Some((conn, took)) => returned.note(conn, took, keepers),
            None => returned.failed += 1,
        }
    }
    returned.road = redial.road();
    returned
}

impl Returned {
    fn note(&mut self, conn: Conn, took: Duration, keepers: &mut Keepers) {
        // If the socket refuses, it ends in the usual way.
        let _ = conn.reset_when_dropped();
        keepers.keep(conn, rand::random());
        self.back_ms.push(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
        if self.back_ms.len().is_multiple_of(NEWS_EVERY as usize) {
            tell(&News::Up(NEWS_EVERY));
        }
    }
}
