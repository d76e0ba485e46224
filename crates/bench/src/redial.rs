//! A device that lost its connection and comes back as the protocol says: at once with its ticket,
//! then with growing waits, and never before the time that the server named.

use std::cell::Cell;
use std::net::Ipv4Addr;

use godwit_link::Ticket;
use godwit_wire::{Refusal, v1};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::conn::{Conn, Endpoint, Via};
use crate::device::Device;
use crate::error::LoadError;

/// What devices met on their way back. Names are stable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Road {
    /// Connections that were begun.
    pub attempts: u64,
    /// Turned away because too many came at once, and told when to come again.
    pub refused_busy: u64,
    /// Refused for another reason, a ticket that is not valid aside.
    pub refused_otherwise: u64,
    /// Ended without a word: no listener, a reset, a time-out.
    pub broken: u64,
    /// Tickets that the server did not take; a full handshake followed at once.
    pub tickets_refused: u64,
    /// Handshakes that stood: with a ticket.
    pub resumed: u64,
    /// With both keys.
    pub full: u64,
}

impl Road {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            attempts: self.attempts + other.attempts,
            refused_busy: self.refused_busy + other.refused_busy,
            refused_otherwise: self.refused_otherwise + other.refused_otherwise,
            broken: self.broken + other.broken,
            tickets_refused: self.tickets_refused + other.tickets_refused,
            resumed: self.resumed + other.resumed,
            full: self.full + other.full,
        }
    }
}

/// Where devices come back to, and how they fare. One thread, so a cell and no lock.
#[derive(Debug)]
pub struct Redial {
    to: Endpoint,
    source: Option<Ipv4Addr>,
    road: Cell<Road>,
}

impl Redial {
    /// To this server, from this address.
    pub fn new(to: Endpoint, source: Option<Ipv4Addr>) -> Self {
        Self { to, source, road: Cell::default() }
    }

    /// What they met so far.
    pub fn road(&self) -> Road {
        self.road.get()
    }

    /// Dials until the device has its mailbox; `each` sees the messages that were in it, some twice if
    /// the connection broke before they were acknowledged. The caller sets the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn come_back(
        &self,
        device: &Device,
        mut ticket: Option<Ticket>,
        mut each: impl FnMut(&v1::Deliver),
    ) -> Conn {
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(device, &mut ticket, &mut each).await {
                Ok(conn) => return conn,
                Err(error) => {
                    // Not after a ticket that is not valid: the full handshake follows at once.
                    if let Some(asked_ms) = self.judge(&error) {
                        sleep(backoff.next(asked_ms)).await;
                    }
                }
            }
        }
    }

    /// One attempt; each ticket is used once.
    ///
    /// # Errors
    /// Why it failed.
    ///
    /// # Cancel safety
    /// As [`Self::come_back`].
    pub async fn attempt(
        &self,
        device: &Device,
        ticket: &mut Option<Ticket>,
        each: impl FnMut(&v1::Deliver),
    ) -> Result<Conn, LoadError> {
        self.count(|road| road.attempts += 1);
        let used = ticket.take();
        let via = used.as_ref().map_or(Via::Full, Via::Resume);
        let mut conn = Conn::open(self.to, &device.link, self.source, via).await?;
        self.count(|road| match used {
            Some(_) => road.resumed += 1,
            None => road.full += 1,
        });
        *ticket = Ticket::from_welcome(&conn.welcome.ticket).ok();
        conn.take_mailbox(each).await?;
        Ok(conn)
    }

    /// Counts a failure. What the server asked to wait, 0 if nothing; `None`: do not wait.
    pub fn judge(&self, error: &LoadError) -> Option<u32> {
        let LoadError::Refused { code, retry_after_ms, .. } = error else {
            self.count(|road| road.broken += 1);
            return Some(0);
        };
        match Refusal::from_number(*code) {
            Some(Refusal::BadTicket) => {
                self.count(|road| road.tickets_refused += 1);
                return None;
            }
            Some(Refusal::Busy) => self.count(|road| road.refused_busy += 1),
            _ => self.count(|road| road.refused_otherwise += 1),
        }
        Some(*retry_after_ms)
    }

    fn count(&self, change: impl FnOnce(&mut Road)) {
        let mut road = self.road.get();
        change(&mut road);
        self.road.set(road);
    }
}
