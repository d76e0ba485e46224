//! The receiving half of a pair: takes what comes and acknowledges it, once a read.

use std::rc::Rc;
use std::time::Duration;

use godwit_wire::{ToClient, ToServer, v1};
use tokio::sync::watch;
use tokio::time::sleep;

use super::tally::Tally;
use crate::conn::Conn;
use crate::error::LoadError;

/// Runs until the connection ends.
pub(in crate::work) async fn run(
    mut conn: Conn,
    pair: u32,
    tally: Rc<Tally>,
) -> Result<(), LoadError> {
    take_all(&mut conn, pair, &tally).await
}

/// The same while it is told to. Meanwhile it does not look at its socket, but says that it is there. Ends
/// when nobody tells it anything any more, too.
pub(in crate::work) async fn run_while(
    mut conn: Conn,
    pair: u32,
    tally: Rc<Tally>,
    mut reads: watch::Receiver<bool>,
) -> Result<(), LoadError> {
    let gap = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
    loop {
        let now = *reads.borrow_and_update();
        let gone = tokio::select! {
            end = take_all(&mut conn, pair, &tally), if now => return end,
            () = sleep(gap), if !now => false,
            changed = reads.changed() => changed.is_err(),
        };
        if gone {
            return Ok(());
        }
        if !now {
            conn.say_nothing();
            conn.flush().await?;
        }
    }
}

/// What was heard is acknowledged with the next flush if this is dropped before it.
async fn take_all(conn: &mut Conn, pair: u32, tally: &Tally) -> Result<(), LoadError> {
    loop {
        let before = conn.traffic();
        let (mut newest, mut heard) = (None, Vec::new());
        conn.hear(|message| {
            if let ToClient::Deliver(deliver) = message {
                tally.delivered(pair, deliver.counter, stamp_of(&deliver.body));
                newest = Some(deliver.seq);
                heard.push(deliver.counter);
            }
        })
        .await?;
        tally.arrived(pair, &heard, conn.arrived());
        if let Some(up_to) = newest {
            conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
            conn.flush().await?;
        }
        tally.count_recipient(before, conn.traffic());
    }
}

/// The time of submission, which the sender put at the start of the body.
pub(crate) fn stamp_of(body: &[u8]) -> u64 {
    body.first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp))
}
