//! One device of a fleet: it goes and comes back, writes to its neighbour, and takes what comes.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_link::Ticket;
use godwit_wire::{ToClient, ToServer, v1};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::Stage;
use crate::conn::Conn;
use crate::device::{Cast, Device, neighbour_of};
use crate::error::LoadError;
use crate::work::chat::BODY_BYTES;

/// Orders that wait for a device that is away. At the pace of a fleet that is an hour's: a device that has
/// not done them is stuck.
pub(super) const ORDERS_MAX: usize = 16;

/// What a device is to do.
pub(super) enum Order {
    /// Go and come back; this neighbour is asked to write meanwhile.
    Return(Option<mpsc::Sender<Order>>),
    /// Write to the neighbour, and say when it is accepted.
    Write(Option<oneshot::Sender<()>>),
}

pub(super) struct Member {
    number: u32,
    device: Device,
    neighbour: AccountId,
    stage: Rc<Stage>,
    newest: u64,
    ticket: Option<Ticket>,
    /// What is not accepted yet, and who wants to know.
    asked: Option<(u64, Instant, Option<oneshot::Sender<()>>)>,
}

/// What was heard at once.
#[derive(Default)]
struct Heard {
    /// Newest record of the mailbox.
    newest: Option<u64>,
    delivered: Vec<u64>,
    accepted: Option<u64>,
    refused: bool,
}

impl Member {
    pub(super) fn new(number: u32, cast: Cast, stage: Rc<Stage>) -> Self {
        Self {
            number,
            device: cast.device(number),
            neighbour: cast.device(neighbour_of(number)).account,
            stage,
            newest: 0,
            ticket: None,
            asked: None,
        }
    }

    /// Lives until nobody gives orders. `part` is the part of the interval before the first sign of life.
    pub(super) async fn run(mut self, conn: Conn, mut orders: mpsc::Receiver<Order>, part: f64) {
        let gap = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
        let mut due = Instant::now() + gap.mul_f64(part);
        self.ticket = Ticket::from_welcome(&conn.welcome.ticket).ok();
        let mut present = self.open_chat(conn).await.ok();
        loop {
            let Some(conn) = &mut present else { return };
            let done = tokio::select! {
                heard = self.hear(conn) => heard,
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Write(asker)) => self.write(conn, asker).await,
                    Some(Order::Return(neighbour)) => match self.settle(conn).await {
                        Ok(()) => {
                            if let Some(conn) = present.take() {
                                let _ = conn.hang_up(); // what it cannot set, it ends without
                            }
                            present = self.come_back(neighbour).await;
                            due = Instant::now() + gap;
                            Ok(())
                        }
                        broken => broken,
                    },
                },
                () = sleep_until(due) => {
                    due += gap;
                    conn.say_nothing();
                    conn.flush().await
                }
            };
            if let Err(error) = done {
                eprintln!("device {} broke: {error}", self.number);
                self.stage.broken.set(self.stage.broken.get() + 1);
                present = self.come_back(None).await;
            }
        }
    }

    /// Says that somebody is here and looks at the neighbour's chat, as people do who open the program.
    async fn open_chat(&self, mut conn: Conn) -> Result<Conn, LoadError> {
        let visibility = v1::Visibility::Everyone.into();
        let here = v1::PresenceSet { here: true, visibility, ..v1::PresenceSet::default() };
        let chat = v1::OpenChat { account: self.neighbour.0, ..v1::OpenChat::default() };
        conn.say(&ToServer::PresenceSet(here))?;
        conn.say(&ToServer::PresenceWatch(v1::PresenceWatch { chats: vec![chat] }))?;
        conn.flush().await?;
        Ok(conn)
    }

    /// Away, and back again; none if that takes too long.
    async fn come_back(&mut self, neighbour: Option<mpsc::Sender<Order>>) -> Option<Conn> {
        let (stage, from) = (Rc::clone(&self.stage), neighbour_of(self.number));
        if let Some(neighbour) = neighbour {
            let (accepted, told) = oneshot::channel();
            if neighbour.try_send(Order::Write(Some(accepted))).is_ok() {
                let _ = timeout(stage.patience, told).await; // without mail the mailbox is empty
            }
        }
        let (began, mut found) = (Instant::now(), 0);
        let back = stage.redial.come_back(&self.device, self.ticket.take(), |deliver| {
            // What was heard and whose acknowledgement went down with the connection comes again.
            found += u64::from(stage.finds(from, deliver.counter));
        });
        let Ok(conn) = timeout(stage.patience, back).await else {
            stage.fail();
            return None;
        };
        self.ticket = Ticket::from_welcome(&conn.welcome.ticket).ok();
        stage.logs_in(began.elapsed(), found == 0);
        self.go_on(conn).await.ok()
    }

    /// What was not accepted when the connection ended is said again, under its number.
    async fn go_on(&self, conn: Conn) -> Result<Conn, LoadError> {
        let mut conn = self.open_chat(conn).await?;
        if let Some((counter, ..)) = &self.asked {
            conn.say(&self.message(*counter))?;
            conn.flush().await?;
        }
        Ok(conn)
    }

    async fn write(
        &mut self,
        conn: &mut Conn,
        asker: Option<oneshot::Sender<()>>,
    ) -> Result<(), LoadError> {
        self.settle(conn).await?;
        self.newest += 1;
        self.stage.submits(self.number, self.newest);
        self.asked = Some((self.newest, Instant::now(), asker));
        conn.say(&self.message(self.newest))?;
        conn.flush().await
    }

    /// Until what was written is accepted: nobody goes, or writes the next, before.
    async fn settle(&mut self, conn: &mut Conn) -> Result<(), LoadError> {
        let patience = self.stage.patience;
        let late = LoadError::TimedOut { what: "tick", seconds: patience.as_secs() };
        let settled = async {
            while self.asked.is_some() {
                self.hear(conn).await?;
            }
            Ok(())
        };
        timeout(patience, settled).await.unwrap_or(Err(late))
    }

    fn message(&self, counter: u64) -> ToServer {
        let kind = v1::CopyKind::Message.into();
        let copy = v1::SealedCopy { device: 1, kind, body: Bytes::from(vec![0; BODY_BYTES]) };
        let recipient =
            v1::Recipient { account: self.neighbour.0, list_version: 1, copies: vec![copy] };
        ToServer::Submit(v1::Submit { counter, recipients: vec![recipient], group: None })
    }

    /// Waits for something to be said, and takes it.
    async fn hear(&mut self, conn: &mut Conn) -> Result<(), LoadError> {
        let mut heard = Heard::default();
        conn.hear(|message| heard.take(&message)).await?;
        let (stage, from) = (&self.stage, neighbour_of(self.number));
        for counter in heard.delivered {
            if let Some(took) = stage.delivers(from, counter) {
                stage.seen.borrow_mut().delivery.record(took);
            }
        }
        if heard.refused && self.asked.take().is_some() {
            stage.withdraws(self.number);
        }
        let asked = self.asked.take_if(|(counter, ..)| heard.accepted == Some(*counter));
        if let Some((_, at, asker)) = asked {
            let mut seen = stage.seen.borrow_mut();
            seen.accepted.record(at.elapsed());
            seen.messages += 1;
            if let Some(asker) = asker {
                let _ = asker.send(()); // the asker may have given up
            }
        }
        match heard.newest {
            None => Ok(()),
            Some(up_to) => {
                conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
                conn.flush().await
            }
        }
    }
}

impl Heard {
    fn take(&mut self, message: &ToClient) {
        match message {
            ToClient::Deliver(deliver) => {
                self.delivered.push(deliver.counter);
                self.newest = Some(deliver.seq);
            }
            ToClient::Receipt(receipt) => self.newest = Some(receipt.seq),
            ToClient::Accepted(accepted) => self.accepted = Some(accepted.counter),
            ToClient::Refused(_) => self.refused = true,
            _ => {}
        }
    }
}
