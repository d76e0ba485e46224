//! One link that belongs to nobody yet: questions and answers, without an engine. The socket and the
//! channel are those of the engine; only who waits for what is said here.

use std::collections::VecDeque;
use std::time::Duration;

use godwit_base::limits::KEEPALIVE_S;
use godwit_base::{Clock, JoinLink, SystemClock};
use godwit_link::{PublicKey, StaticKey};
use godwit_wire::frame::KEEPALIVE;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::socket::{Happened, Socket};
use crate::Error;
use crate::core::{Arrived, Channel, Ends, judged_ms};

/// An answer that does not wait for a person and takes longer will not come, 20 s: on a 2G line it takes
/// five.
pub(super) const ANSWER: Duration = Duration::from_secs(20);

/// A link, welcomed by the server.
pub(super) struct Talk<'a> {
    link: &'a JoinLink,
    socket: Socket,
    channel: Channel,
    welcome: v1::Welcome,
    last_request: u32,
    /// What came in one read and was not asked for yet: less than the socket reads at once.
    heard: VecDeque<Arrived>,
}

impl<'a> Talk<'a> {
    /// Connects, shakes hands, and waits for the welcome.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Refused`] if the server does not take the handshake;
    /// [`Error::Linking`] if the link's key is none.
    ///
    /// # Cancel safety
    /// Safe: dropped, the connection is closed, and nothing was said that the server remembers.
    pub(super) async fn dial(link: &'a JoinLink, key: &StaticKey) -> Result<Self, Error> {
        let mut socket = Socket::default();
        socket.dial(&link.host, link.port);
        // The socket gives up by itself.
        if let Happened::Ended(reason) = socket.next(true).await {
            return Err(unreachable(link, &reason));
        }
        let ends = Ends { me: key, server: PublicKey(link.server_key), ticket: None };
        let (channel, first) = Channel::open(&ends).map_err(|error| Error::linking(&error))?;
        socket.send(&first);
        let welcome = v1::Welcome { keepalive_s: KEEPALIVE_S, ..v1::Welcome::default() };
        let heard = VecDeque::new();
        let mut talk = Self { link, socket, channel, welcome, last_request: 0, heard };
        match talk.next(ANSWER).await? {
            Arrived::Welcome(welcome) => talk.welcome = welcome,
            Arrived::Refused { code, .. } => return Err(Error::refused(code.into())),
            Arrived::Message(_) => return Err(odd_answer()),
        }
        Ok(talk)
    }

    /// What the server said of this link.
    pub(super) const fn welcome(&self) -> &v1::Welcome {
        &self.welcome
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`Error::Refused`], or [`Error::Unreachable`] if the link is of no use any more.
    ///
    /// # Cancel safety
    /// Dropped, the question may have been asked; its answer is passed over by the next `expect`.
    pub(super) async fn expect(
        &mut self,
        question: impl Fn(u32) -> ToServer,
        limit: Duration,
    ) -> Result<ToClient, Error> {
        self.last_request += 1;
        let request = self.last_request;
        let mut out = Vec::new();
        let sealed = self.channel.send(&[question(request)], &mut out);
        sealed.map_err(|error| unreachable(self.link, &error.to_string()))?;
        self.socket.send(&out);
        loop {
            match self.next(limit).await? {
                Arrived::Message(ToClient::Refused(no)) if no.request == request => {
                    return Err(Error::refused(no.code));
                }
                Arrived::Message(ToClient::Goodbye(goodbye)) => {
                    return Err(ended(&goodbye, self.link));
                }
                Arrived::Message(message) if request_of(&message) == request => return Ok(message),
                _ => {}
            }
        }
    }

    /// The account's list, once the link belongs to a device of it. Errors and cancel safety as of
    /// [`expect`](Self::expect).
    pub(super) async fn own_list(&mut self) -> Result<Vec<u8>, Error> {
        let account = self.welcome.account;
        let fetch = |request| {
            let who = Some(v1::fetch::Who::Account(account));
            ToServer::Fetch(v1::Fetch { request, who, keys: false, devices: Vec::new() })
        };
        match self.expect(fetch, ANSWER).await? {
            ToClient::Bundles(bundles) => Ok(bundles.signed_list.to_vec()),
            _ => Err(odd_answer()),
        }
    }

    /// The next that comes, in order; keepalives go out meanwhile.
    ///
    /// # Cancel safety
    /// Safe: what came stays in the channel, what is to go out in the socket.
    async fn next(&mut self, limit: Duration) -> Result<Arrived, Error> {
        let keepalive_s = self.welcome.keepalive_s.clamp(1, KEEPALIVE_S);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(next) = self.heard.pop_front() {
                return Ok(next);
            }
            let pause = Duration::from_secs(keepalive_s.into()).min(limit.saturating_sub(waited));
            match tokio::time::timeout(pause, self.socket.next(true)).await {
                Ok(Happened::Received(count)) => {
                    let (bytes, heard) = (self.socket.received(count), &mut self.heard);
                    let received = self.channel.receive(bytes, |one| heard.push_back(one));
                    received.map_err(|error| unreachable(self.link, &error.to_string()))?;
                }
                Ok(Happened::Ended(reason)) => return Err(unreachable(self.link, &reason)),
                Ok(Happened::Connected) => {}
                Err(_) => {
                    waited = waited.saturating_add(pause);
                    if waited >= limit {
                        return Err(unreachable(self.link, "no answer"));
                    }
                    self.socket.send(&[KEEPALIVE]);
                }
            }
        }
    }

    /// The time by which lists are judged.
    pub(super) fn now_ms(&self) -> u64 {
        judged_ms(SystemClock.unix_ms(), self.welcome.time_ms)
    }
}

fn request_of(message: &ToClient) -> u32 {
    match message {
        ToClient::Relayed(relayed) => relayed.request,
        ToClient::Bundles(bundles) => bundles.request,
        ToClient::DeviceListPublished(published) => published.request,
        _ => 0,
    }
}

pub(super) fn unreachable(link: &JoinLink, reason: &str) -> Error {
    Error::Unreachable { address: link.address(), reason: reason.to_owned() }
}

pub(super) fn odd_answer() -> Error {
    Error::Linking("the server answered something else than was asked".to_owned())
}

/// The server goes down: come back. Anything else is final.
fn ended(goodbye: &v1::Goodbye, link: &JoinLink) -> Error {
    let refusal = Refusal::from_number(goodbye.code);
    if goodbye.reconnect_after_ms > 0 || refusal.is_some_and(Refusal::retryable) {
        return unreachable(link, refusal.map_or("the server closed the link", Refusal::text));
    }
    Error::refused(goodbye.code)
}
