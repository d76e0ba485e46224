//! A device that comes back to a full mailbox.

use std::time::{Duration, Instant};

use godwit_wire::{ToClient, ToServer, v1};
use tokio::time::timeout;

use super::enqueue::place_in;
use crate::conn::{Conn, Endpoint, Via};
use crate::device::Cast;
use crate::error::LoadError;

/// Without any message for so long, a drain is over.
const QUIET: Duration = Duration::from_secs(15);

/// What it found.
pub(in crate::work) struct Drained {
    /// How often each message came.
    pub(in crate::work) copies: Vec<u32>,
    /// From dialling to the last message.
    pub(in crate::work) took: Duration,
}

/// Takes everything, acknowledging once a read, until the server says that it has caught up, or
/// nothing comes any more.
pub(in crate::work) async fn drain(
    to: Endpoint,
    cast: Cast,
    user: u32,
    each: usize,
) -> Result<Drained, LoadError> {
    let began = Instant::now();
    let mut conn = Conn::open(to, &cast.device(user).link, None, Via::Full).await?;
    let mut drained = Drained { copies: vec![0; each], took: Duration::ZERO };
    conn.say(&ToServer::Attach(v1::Attach {}))?;
    conn.flush().await?;
    let mut caught_up = false;
    while !caught_up {
        let mut newest = None;
        let heard = conn.hear(|message| match message {
            ToClient::Deliver(deliver) => {
                newest = Some(deliver.seq);
                let copies = drained.copies.get_mut(place_in(&deliver.body));
                copies.into_iter().for_each(|copies| *copies += 1);
            }
            ToClient::CaughtUp(_) => caught_up = true,
            _ => {}
        });
        let Ok(read) = timeout(QUIET, heard).await else { break };
        read?;
        if let Some(up_to) = newest {
            drained.took = began.elapsed();
            conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
            conn.flush().await?;
        }
    }
    Ok(drained)
}
