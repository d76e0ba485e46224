//! A server in memory: the real link and messages, nothing durable, and faults on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use godwit_base::{AccountId, JoinLink};
use godwit_link::{Arrival, PublicKey, Responder, ServerKeys, StaticKey, TicketKeys, Transport};
use godwit_wire::frame::{self, Header};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{Refusal, ToClient, ToServer, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Every so many accepted messages one is thrown away.
    LoseEvery(u64),
    /// ... one is delivered twice.
    RepeatEvery(u64),
    /// ... one is refused as busy, and all after it until it comes again.
    RefuseEvery(u64),
    /// Every so many resumptions one is turned away as too many, for a millisecond.
    BusyEvery(u64),
    /// ... one is never answered.
    SilentEvery(u64),
    /// No ticket is valid.
    ForgetTickets,
}

/// What becomes of somebody at the door.
enum Door {
    Open(Box<Arrival>),
    Refused(Refusal, u32),
    Silent,
}

pub(crate) struct Double {
    pub(crate) link: JoinLink,
    world: Arc<World>,
}

struct World {
    keys: ServerKeys,
    tickets: TicketKeys,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<PublicKey, u64>,
    mailboxes: HashMap<u64, Vec<ToClient>>,
    online: HashMap<u64, UnboundedSender<ToClient>>,
    /// Who has whose chats open.
    watching: HashMap<u64, Vec<u64>>,
    changes: u64,
    seq: u64,
    submitted: u64,
    full: u64,
    resumed: u64,
    intervals_s: Vec<u32>,
}

impl Double {
    pub(crate) async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = StaticKey::generate().unwrap();
        let link = JoinLink {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            server_key: key.public().0,
        };
        let world = Arc::new(World {
            keys: ServerKeys::new(key, None),
            tickets: TicketKeys::generate().unwrap(),
            fault,
            state: Mutex::default(),
        });
        let served = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&served), stream));
            }
        });
        Self { link, world }
    }

    /// Submissions that were accepted or lost.
    pub(crate) fn submitted(&self) -> u64 {
        self.world.state.lock().unwrap().submitted
    }

    /// Devices whose mailbox was taken.
    pub(crate) fn attached(&self) -> usize {
        self.world.state.lock().unwrap().online.len()
    }

    /// For how long connections said that they are quiet.
    pub(crate) fn intervals_s(&self) -> Vec<u32> {
        self.world.state.lock().unwrap().intervals_s.clone()
    }

    /// Full and resumed handshakes.
    pub(crate) fn handshakes(&self) -> (u64, u64) {
        let state = self.world.state.lock().unwrap();
        (state.full, state.resumed)
    }
}

/// One connection, until it ends in whatever way.
async fn serve(world: Arc<World>, mut stream: TcpStream) -> Option<()> {
    let mut buffer = Vec::new();
    let (door, consumed) = loop {
        if let Some(parsed) = ClientPreface::parse(&buffer).ok()? {
            break (world.door(parsed.preface)?, parsed.consumed);
        }
        (stream.read_buf(&mut buffer).await.ok()? > 0).then_some(())?;
    };
    let arrival = match door {
        Door::Open(arrival) => arrival,
        Door::Silent => return std::future::pending().await,
        Door::Refused(refusal, retry_after_ms) => {
            let mut out = Vec::new();
            let refused = ServerPreface::Refused { code: refusal.number(), retry_after_ms };
            refused.encode_into(&mut out).ok()?;
            return stream.write_all(&out).await.ok();
        }
    };
    buffer.drain(..consumed);
    let peer = arrival.peer;
    let ticket = world.tickets.issue(&peer, u64::MAX).ok()?.into();
    let (keepalive_s, keepalive_max_s) = (30, 240);
    let welcome =
        v1::Welcome { version: 1, keepalive_s, keepalive_max_s, ticket, ..Default::default() };
    let (reply, established) = arrival.responder.reply(&godwit_wire::encode(&welcome)).ok()?;
    let mut out = Vec::new();
    ServerPreface::Reply(&reply).encode_into(&mut out).ok()?;
    let mut transport = established.transport;
    let (to_me, mut mine) = mpsc::unbounded_channel();
    let mut held = None;
    loop {
        let mut answers = Vec::new();
        while let Some(message) = next_message(&mut transport, &mut buffer)? {
            for message in message {
                world.answer(peer, message, &to_me, &mut held, &mut answers);
            }
        }
        seal(&mut transport, &answers, &mut out)?;
        stream.write_all(&out).await.ok()?;
        out.clear();
        tokio::select! {
            read = stream.read_buf(&mut buffer) => (read.ok()? > 0).then_some(())?,
            message = mine.recv() => seal(&mut transport, &all(message?, &mut mine), &mut out)?,
        }
    }
}

fn all(first: ToClient, rest: &mut UnboundedReceiver<ToClient>) -> Vec<ToClient> {
    std::iter::once(first).chain(std::iter::from_fn(|| rest.try_recv().ok())).take(200).collect()
}

fn next_message(transport: &mut Transport, buffer: &mut Vec<u8>) -> Option<Option<Vec<ToServer>>> {
    match frame::decode_header(buffer).ok()? {
        Header::Frame { header, body } if buffer.len() >= header + body => {
            let length = transport.open_in_place(&mut buffer[header..header + body]).ok()?;
            let messages = ToServer::decode_all(&buffer[header..header + length]);
            let messages = messages.collect::<Result<_, _>>().ok()?;
            buffer.drain(..header + body);
            Some(Some(messages))
        }
        Header::Keepalive { consumed } => {
            buffer.drain(..consumed);
            Some(Some(Vec::new()))
        }
        _ => Some(None),
    }
}

fn seal(transport: &mut Transport, messages: &[ToClient], out: &mut Vec<u8>) -> Option<()> {
    for some in messages.chunks(64) {
        let mut plain = Vec::new();
        some.iter().for_each(|message| message.encode_into(&mut plain));
        frame::encode_header(plain.len() + frame::TAG_BYTES, out).ok()?;
        transport.seal_into(&plain, out).ok()?;
    }
    Some(())
}

impl State {
    /// Whom a change of `account` is told, unless it is one that is thrown away.
    fn tell(&mut self, fault: Fault, seen: &v1::Presence, wanted: impl Fn(u64) -> bool) {
        let watches = |(watcher, chats): &(&u64, &Vec<u64>)| {
            wanted(**watcher) && chats.contains(&seen.account)
        };
        for (watcher, _) in self.watching.iter().filter(watches) {
            self.changes += 1;
            if matches!(fault, Fault::LoseEvery(each) if self.changes.is_multiple_of(each)) {
                continue;
            }
            if let Some(connection) = self.online.get(watcher) {
                let _ = connection.send((*seen).into()); // who has gone hears nothing
            }
        }
    }
}

impl World {
    fn door(&self, preface: ClientPreface<'_>) -> Option<Door> {
        let mut state = self.state.lock().unwrap();
        if preface.mode == Mode::Full {
            state.full += 1;
            let arrival = Responder::ik(&self.keys, preface.key_hint, preface.message).ok()?;
            return Some(Door::Open(Box::new(arrival)));
        }
        state.resumed += 1;
        Some(match self.fault {
            Fault::BusyEvery(n) if state.resumed.is_multiple_of(n) => {
                Door::Refused(Refusal::Busy, 1)
            }
            Fault::SilentEvery(n) if state.resumed.is_multiple_of(n) => Door::Silent,
            Fault::ForgetTickets => Door::Refused(Refusal::BadTicket, 0),
            _ => {
                let arrival = Responder::resume(&self.tickets, 0, preface.message).ok()?;
                Door::Open(Box::new(arrival))
            }
        })
    }

    fn answer(
        &self,
        peer: PublicKey,
        message: ToServer,
        to_me: &UnboundedSender<ToClient>,
        held: &mut Option<u64>,
        answers: &mut Vec<ToClient>,
    ) {
        let mut state = self.state.lock().unwrap();
        let me = state.accounts.get(&peer).copied().unwrap_or(0);
        match message {
            ToServer::Register(register) => {
                let key = register.account_key.as_ref().try_into().unwrap();
                let (request, account) = (register.request, AccountId::of_key(&key).0);
                state.accounts.insert(peer, account);
                let registered = v1::Registered { request, account, device: 1 };
                answers.push(ToClient::Registered(registered));
            }
            ToServer::Attach(_) => {
                answers.extend(state.mailboxes.entry(me).or_default().iter().cloned());
                answers.push(ToClient::CaughtUp(v1::CaughtUp::default()));
                state.online.insert(me, to_me.clone());
            }
            ToServer::Submit(submit) => {
                answers.push(self.submit(&mut state, me, submit, held));
            }
            ToServer::Ack(ack) => state.acknowledge(me, ack.up_to),
            ToServer::KeepaliveInterval(interval) => state.intervals_s.push(interval.seconds),
            ToServer::PresenceSet(_) => {
                let seen = v1::Presence { account: me, ..v1::Presence::default() };
                state.tell(self.fault, &seen, |_| true);
            }
            ToServer::PresenceWatch(watch) => {
                let seen = v1::Presence { account: me, typing: true, ..v1::Presence::default() };
                for chat in watch.chats.iter().filter(|chat| chat.typing) {
                    state.tell(self.fault, &seen, |watcher| watcher == chat.account);
                }
                state.watching.insert(me, watch.chats.iter().map(|chat| chat.account).collect());
            }
            _ => {}
        }
    }

    fn submit(
        &self,
        state: &mut State,
        from: u64,
        submit: v1::Submit,
        held: &mut Option<u64>,
    ) -> ToClient {
        let counter = submit.counter;
        let refuse = |reason: Refusal| {
            let code = reason.number().into();
            let refused = v1::Refused { counter, code, retry_after_ms: 1, ..Default::default() };
            ToClient::Refused(refused)
        };
        match *held {
            Some(first) if counter == first => *held = None,
            Some(_) => return refuse(Refusal::AfterRefusal),
            None if matches!(self.fault, Fault::RefuseEvery(n) if counter.is_multiple_of(n)) => {
                *held = Some(counter);
                return refuse(Refusal::Busy);
            }
            None => {}
        }
        state.submitted += 1;
        let turn = state.submitted;
        let times = match self.fault {
            Fault::LoseEvery(n) if turn.is_multiple_of(n) => 0,
            Fault::RepeatEvery(n) if turn.is_multiple_of(n) => 2,
            _ => 1,
        };
        for recipient in submit.recipients {
            for _ in 0..times {
                let deliver = v1::Deliver {
                    account: from,
                    device: 1,
                    counter,
                    body: recipient.copies[0].body.clone(),
                    ..v1::Deliver::default()
                };
                state.append(recipient.account, |seq| {
                    ToClient::Deliver(v1::Deliver { seq, ..deliver })
                });
            }
        }
        ToClient::Accepted(v1::Accepted { counter, time_ms: 0 })
    }
}

impl State {
    fn append(&mut self, to: u64, record: impl FnOnce(u64) -> ToClient) {
        self.seq += 1;
        let record = record(self.seq);
        self.mailboxes.entry(to).or_default().push(record.clone());
        if let Some(online) = self.online.get(&to) {
            let _ = online.send(record);
        }
    }

    fn acknowledge(&mut self, me: u64, up_to: u64) {
        let mailbox = self.mailboxes.entry(me).or_default();
        let taken = mailbox.extract_if(.., |record| match record {
            ToClient::Deliver(deliver) => deliver.seq <= up_to,
            ToClient::Receipt(receipt) => receipt.seq <= up_to,
            _ => false,
        });
        let mut receipts = HashMap::new();
        for record in taken {
            if let ToClient::Deliver(deliver) = record {
                receipts.insert(deliver.account, deliver.counter);
            }
        }
        for (origin, up_to) in receipts {
            self.append(origin, |seq| {
                ToClient::Receipt(v1::Receipt { seq, account: me, device: 1, up_to, origin: 1 })
            });
        }
    }
}
