//! Who writes to devices that are away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_wire::{Refusal, ToClient, ToServer, v1};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::conn::Conn;
use crate::error::LoadError;
use crate::work::chat::{BODY_BYTES, WINDOW_MAX};

/// Messages that wait for the feeder; whoever finds no room waits.
const ORDERS_MAX: usize = 1_024;

/// What is wanted: one message for this account, and a word when it is accepted.
type Wanted = (AccountId, oneshot::Sender<()>);

/// A device that writes a message to whoever asks for one. Clones are the same device.
#[derive(Clone)]
pub(super) struct Feeder(mpsc::Sender<Wanted>);

impl Feeder {
    /// Starts on this connection.
    ///
    /// # Panics
    /// Outside a [`tokio::task::LocalSet`].
    pub(super) fn start(conn: Conn) -> Self {
        let (wanting, wanted) = mpsc::channel(ORDERS_MAX);
        tokio::task::spawn_local(async move {
            if let Err(error) = feed(conn, wanted).await {
                eprintln!("who writes to the absent broke: {error}");
            }
        });
        Self(wanting)
    }

    /// Whether a message for this account's first device was accepted.
    ///
    /// # Cancel safety
    /// It may be written all the same.
    pub(super) async fn write_to(&self, account: AccountId) -> bool {
        let (accepted, told) = oneshot::channel();
        self.0.send((account, accepted)).await.is_ok() && told.await.is_ok()
    }
}

/// What was submitted and is not decided.
#[derive(Default)]
struct Feeding {
    newest: u64,
    waiting: BTreeMap<u64, Wanted>,
    /// Refused for now: to be sent again from the first of them on, then.
    held: Option<Instant>,
    again: BTreeSet<u64>,
    receipts: Option<u64>,
}

/// Writes as long as somebody may ask. A refusal for good is told by dropping the asker's channel.
async fn feed(mut conn: Conn, mut wanted: mpsc::Receiver<Wanted>) -> Result<(), LoadError> {
    let mut feeding = Feeding::default();
    let room = usize::try_from(WINDOW_MAX).unwrap_or(0);
    loop {
        let (held, has_room) = (feeding.held, feeding.waiting.len() < room);
        let mut heard = Vec::new();
        tokio::select! {
            read = conn.hear(|message| heard.push(message)) => read?,
            () = sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => {
                feeding.send_again(&mut conn)?;
            }
            order = wanted.recv(), if held.is_none() && has_room => {
                let Some(order) = order else { return Ok(()) };
                feeding.submit(order, &mut conn)?;
            }
        }
        heard.into_iter().for_each(|message| feeding.take(message));
        if let Some(up_to) = feeding.receipts.take() {
            conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
        }
        conn.flush().await?;
    }
}

impl Feeding {
    fn submit(&mut self, wanted: Wanted, conn: &mut Conn) -> Result<(), LoadError> {
        self.newest += 1;
        conn.say(&message(self.newest, wanted.0))?;
        self.waiting.insert(self.newest, wanted);
        Ok(())
    }

    fn send_again(&mut self, conn: &mut Conn) -> Result<(), LoadError> {
        self.held = None;
        for counter in std::mem::take(&mut self.again) {
            if let Some((account, _)) = self.waiting.get(&counter) {
                conn.say(&message(counter, *account))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, message: ToClient) {
        match message {
            ToClient::Receipt(receipt) => self.receipts = Some(receipt.seq),
            ToClient::Accepted(accepted) => {
                if let Some((_, asker)) = self.waiting.remove(&accepted.counter) {
                    let _ = asker.send(()); // the asker may have gone
                }
            }
            ToClient::Refused(refused)
                if Refusal::from_number(refused.code).is_some_and(Refusal::retryable) =>
            {
                let at = Instant::now() + Duration::from_millis(refused.retry_after_ms.into());
                self.held = Some(self.held.map_or(at, |held| held.max(at)));
                self.again.insert(refused.counter);
            }
            ToClient::Refused(refused) => drop(self.waiting.remove(&refused.counter)),
            _ => {}
        }
    }
}

fn message(counter: u64, to: AccountId) -> ToServer {
    let kind = v1::CopyKind::Message.into();
    let copy = v1::SealedCopy { device: 1, kind, body: Bytes::from(vec![0; BODY_BYTES]) };
    let recipient = v1::Recipient { account: to.0, list_version: 1, copies: vec![copy] };
    ToServer::Submit(v1::Submit { counter, recipients: vec![recipient], group: None })
}
