//! A device that comes to an account which exists: by another device that links it, or by the
//! account key. Until then it has no account and no mailbox, and so no engine: questions and answers
//! on a link that belongs to nobody.

use std::time::Duration;

use godwit_base::limits::KEEPALIVE_S;
use godwit_base::{Clock, DeviceNumber, Handle, JoinLink, SystemClock};
use godwit_link::{PublicKey, StaticKey};
use godwit_seal::{AccountKey, DeviceKeys, DeviceList, LinkJoining, LinkOffer, Linked, Trust};
use godwit_wire::frame::KEEPALIVE;
use godwit_wire::{FEATURES, Refusal, ToClient, ToServer, VERSION, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, watch};

use super::client::Joined;
use super::database;
use super::engine::{Engine, Parts, Stage, Voice};
use super::home::{Home, Ownership};
use super::host::{EVENTS_MAX, seed};
use crate::core::{Arrived, Channel, Core, Ends, SKEW_MS, Seat, Vault, to_wire, verify_of_any_age};
use crate::{ConnectionState, Error, Event, NewcomerEvent};

/// A dial that takes longer has failed, and an answer that does not wait for a person, 20 s: on a 2G
/// line it takes five.
const ANSWER: Duration = Duration::from_secs(20);

/// Pauses between two attempts to come back to a rendezvous: doubled from the first to the last.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Attempts after a broken link, 10 minutes of them: then the rendezvous is over anyway.
const ATTEMPTS_MAX: u32 = 80;

const CLIENT_NAME: &str = concat!("godwit-client/", env!("CARGO_PKG_VERSION"));

/// Shows a code and waits until a device of an account has linked this one.
pub(super) async fn link(
    home: &Home,
    link: &JoinLink,
    mut tell: impl FnMut(NewcomerEvent),
) -> Result<Joined, Error> {
    let place = Place::take(home)?;
    let link_key = new_key()?;
    let offer = LinkOffer::new().map_err(|error| Error::linking(&error))?;
    let mut meeting = Meeting {
        link,
        link_key: &link_key,
        rendezvous: *offer.code().rendezvous(),
        said: Vec::new(),
        talk: Some(Talk::dial(link, &link_key).await?),
    };
    tell(NewcomerEvent::Code(offer.code().text()));
    let Heard::Message(card) = meeting.hear(1).await? else {
        return Err(Error::Linking("the server knows this new key already".to_owned()));
    };
    let (server_key, now_ms) = (&link.server_key, meeting.now_ms());
    let heard = offer.hear_card(&card, server_key, &link_key.public().0, now_ms);
    let (joining, answer) = heard.map_err(|error| Error::linking(&error))?;
    let (digits, handle) = (joining.digits().to_string(), joining.handle().clone());
    tell(NewcomerEvent::Check { digits, handle });
    meeting.said.push((1, answer));
    let linked = wait_for_list(&mut meeting, joining).await?;
    drop(meeting);
    let Linked { device, handle, list } = linked;
    let seat = Seat { keys: device, link_key, list };
    let core = Core::linked(place.vault.clone(), link, &handle, seat, seed()?)?;
    place.settle(home, core).await
}

async fn wait_for_list(meeting: &mut Meeting<'_>, joining: LinkJoining) -> Result<Linked, Error> {
    let heard = meeting.hear(2).await?;
    let now_ms = meeting.now_ms();
    match heard {
        Heard::Message(message) => joining.hear_result(&message, now_ms),
        Heard::Listed(list) => joining.believe(&list, now_ms),
    }
    .map_err(|error| Error::linking(&error))
}

/// Makes this home the account's main and only device, by its key.
pub(super) async fn recover(home: &Home, link: &JoinLink, words: &str) -> Result<Joined, Error> {
    let account = AccountKey::from_words(words).map_err(|error| Error::Words(error.to_string()))?;
    let place = Place::take(home)?;
    let link_key = new_key()?;
    let mut talk = Talk::dial(link, &link_key).await?;
    let public = link_key.public().0;
    let claim = |request| {
        let (account_key, signature) = (account.public().0, account.claim(&public));
        let (account_key, signature) = (account_key.to_vec().into(), signature.to_vec().into());
        ToServer::Claim(v1::Claim { request, account_key, signature })
    };
    let ToClient::Bundles(bundles) = talk.expect(claim, ANSWER, link).await? else {
        return Err(odd_answer());
    };
    let handle: Handle = bundles.handle.parse().map_err(|_| odd_answer())?;
    let now_ms = talk.now_ms();
    // It may be older than contacts believe: its owner has lost the device that signed it.
    let (signed, owner) = (&bundles.signed_list, account.public());
    let before = verify_of_any_age(signed, Trust::Pinned(&owner), None, now_ms)
        .map_err(|error| Error::linking(&error))?;
    let next = before.highest_number().0.checked_add(1).ok_or_else(odd_answer)?;
    let keys = DeviceKeys::create(&account.public(), DeviceNumber(next), now_ms);
    let signed = DeviceList::sign(&account, Some(&before), &[keys.describe()], now_ms);
    let signed = signed.map_err(|error| Error::linking(&error))?;
    let trust = Trust::Pinned(before.account_key());
    let list = DeviceList::verify(&signed, trust, Some(&before), now_ms)
        .map_err(|error| Error::linking(&error))?;
    let publish = |request| {
        let row = v1::DeviceRow { number: next, link_key: public.to_vec().into() };
        let (version, signed) = (list.version(), signed.clone().into());
        let list = Some(v1::DeviceListUpload { version, devices: vec![row], signed });
        let first_keys = vec![v1::FirstKeys { device: next, keys: Some(to_wire(&keys.upload())) }];
        ToServer::PublishDeviceList(v1::PublishDeviceList { request, list, first_keys })
    };
    talk.expect(publish, ANSWER, link).await?;
    drop(talk);
    let seat = Seat { keys, link_key, list };
    let core = Core::recovered(place.vault.clone(), link, &handle, account, seat, seed()?)?;
    place.settle(home, core).await
}

/// An empty home that this process owns.
struct Place {
    ownership: Ownership,
    vault: Vault,
    db: rusqlite::Connection,
}

impl Place {
    fn take(home: &Home) -> Result<Self, Error> {
        home.create()?;
        let busy = || Error::HomeBusy { home: home.name() };
        let ownership = home.try_own()?.ok_or_else(busy)?;
        let vault = home.vault()?;
        let (db, rows) = database::open(&home.database())?;
        if let Some(core) = Core::restore(vault.clone(), rows, seed()?)? {
            let handle = core.handle().clone();
            return Err(Error::AlreadyJoined { home: home.name(), handle });
        }
        Ok(Self { ownership, vault, db })
    }

    /// Stores the new device and lets it publish its keys, so that others can write to it. If the
    /// network fails meanwhile, it does that when it is opened next.
    async fn settle(self, home: &Home, core: Core) -> Result<Joined, Error> {
        let Self { ownership, vault, db } = self;
        let (events, mut happens) = broadcast::channel(EVENTS_MAX);
        let (connection, _) = watch::channel(ConnectionState::Connecting);
        let voice = Voice { events, connection };
        let mut engine = Engine::start(Parts { core, vault, db, ownership }, home, voice)?;
        let (calls, mut no_calls) = mpsc::channel(1);
        let (stop, mut stopped) = watch::channel(false);
        loop {
            engine.turn(&mut no_calls, &mut stopped, Stage::Serving).await?;
            engine.flush().await?;
            if engine.core().is_settled() || is_offline(&mut happens) {
                break;
            }
        }
        stop.send_replace(true);
        engine.run(&mut no_calls, &mut stopped).await?;
        drop(calls);
        let device = engine.core().device();
        Ok(Joined { account: device.account, device })
    }
}

fn is_offline(happens: &mut broadcast::Receiver<Event>) -> bool {
    loop {
        match happens.try_recv() {
            Ok(Event::Connection(ConnectionState::Offline { .. })) => return true,
            Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return false,
        }
    }
}

/// What came at the rendezvous.
enum Heard {
    Message(Vec<u8>),
    /// This link is a device's now; the account's signed list.
    Listed(Vec<u8>),
}

/// The new device's side of a rendezvous, over as many links as it takes.
struct Meeting<'a> {
    link: &'a JoinLink,
    link_key: &'a StaticKey,
    rendezvous: [u8; 16],
    /// Everything that we have said, to be said again on another link.
    said: Vec<(u32, Vec<u8>)>,
    talk: Option<Talk>,
}

impl Meeting<'_> {
    /// Message `sequence` of the other side.
    async fn hear(&mut self, sequence: u32) -> Result<Heard, Error> {
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS_MAX {
            match self.try_hear(sequence).await {
                Err(Error::Unreachable { .. }) => {
                    self.talk = None;
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(PAUSE_MAX);
                }
                heard => return heard,
            }
        }
        Err(unreachable(self.link, "the link broke too often"))
    }

    async fn try_hear(&mut self, sequence: u32) -> Result<Heard, Error> {
        let (link, rendezvous) = (self.link, self.rendezvous);
        let talk = match &mut self.talk {
            Some(talk) => talk,
            None => self.talk.insert(Talk::dial(link, self.link_key).await?),
        };
        if talk.welcome.standing() == v1::Standing::Device {
            return talk.own_list(link).await.map(Heard::Listed);
        }
        let relay = |request, sequence, body: &[u8]| {
            let (rendezvous, side) = (rendezvous.to_vec().into(), v1::RelaySide::New.into());
            let body = body.to_vec().into();
            ToServer::Relay(v1::Relay { request, rendezvous, side, sequence, body })
        };
        for (number, body) in &self.said {
            talk.expect(|request| relay(request, *number, body), ANSWER, link).await?;
        }
        // As long as the person takes; the server ends it when the rendezvous is over.
        match talk.expect(|request| relay(request, sequence, &[]), Duration::MAX, link).await? {
            ToClient::Relayed(relayed) => Ok(Heard::Message(relayed.body.to_vec())),
            _ => Err(odd_answer()),
        }
    }

    fn now_ms(&self) -> u64 {
        self.talk.as_ref().map_or_else(|| SystemClock.unix_ms(), Talk::now_ms)
    }
}

/// One link that belongs to nobody yet.
struct Talk {
    stream: TcpStream,
    channel: Channel,
    welcome: v1::Welcome,
    last_request: u32,
    heard: Vec<Arrived>,
}

impl Talk {
    async fn dial(link: &JoinLink, key: &StaticKey) -> Result<Self, Error> {
        let host = link.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let dial = async {
            let stream = TcpStream::connect((host, link.port)).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        let mut stream = tokio::time::timeout(ANSWER, dial)
            .await
            .map_err(|_| unreachable(link, "no answer"))?
            .map_err(|error| unreachable(link, &error.to_string()))?;
        let hello =
            v1::Hello { version: VERSION, features: FEATURES, client: CLIENT_NAME.to_owned() };
        let ends = Ends { me: key, server: PublicKey(link.server_key), ticket: None };
        let (channel, first) = Channel::open(&ends, &hello)
            .map_err(|error| Error::Linking(format!("the join link's key is unusable: {error}")))?;
        stream.write_all(&first).await.map_err(|error| unreachable(link, &error.to_string()))?;
        let (welcome, heard) = (v1::Welcome::default(), Vec::new());
        let mut talk = Self { stream, channel, welcome, last_request: 0, heard };
        match talk.next(ANSWER, link).await? {
            Arrived::Welcome(welcome) => talk.welcome = welcome,
            Arrived::Refused { code, .. } => return Err(refused(code.into())),
            Arrived::Message(_) => return Err(odd_answer()),
        }
        Ok(talk)
    }

    /// Asks and waits for the answer.
    async fn expect(
        &mut self,
        question: impl Fn(u32) -> ToServer,
        limit: Duration,
        link: &JoinLink,
    ) -> Result<ToClient, Error> {
        self.last_request += 1;
        let request = self.last_request;
        let mut out = Vec::new();
        let sealed = self.channel.send(&[question(request)], &mut out);
        sealed.map_err(|error| unreachable(link, &error.to_string()))?;
        self.write(&out, link).await?;
        loop {
            match self.next(limit, link).await? {
                Arrived::Message(ToClient::Refused(no)) if no.request == request => {
                    return Err(refused(no.code));
                }
                Arrived::Message(ToClient::Goodbye(goodbye)) => return Err(ended(goodbye, link)),
                Arrived::Message(message) if request_of(&message) == request => return Ok(message),
                _ => {}
            }
        }
    }

    /// The account's list, once the link belongs to a device of it.
    async fn own_list(&mut self, link: &JoinLink) -> Result<Vec<u8>, Error> {
        let account = self.welcome.account;
        let fetch = |request| {
            let who = Some(v1::fetch::Who::Account(account));
            ToServer::Fetch(v1::Fetch { request, who, keys: false, devices: Vec::new() })
        };
        match self.expect(fetch, ANSWER, link).await? {
            ToClient::Bundles(bundles) => Ok(bundles.signed_list.to_vec()),
            _ => Err(odd_answer()),
        }
    }

    /// The next that comes, in order; keepalives go out meanwhile.
    async fn next(&mut self, limit: Duration, link: &JoinLink) -> Result<Arrived, Error> {
        let keepalive_s = self.welcome.keepalive_s.clamp(1, KEEPALIVE_S);
        let mut waited = Duration::ZERO;
        let mut bytes = vec![0; 64 * 1024];
        while self.heard.is_empty() {
            let pause = Duration::from_secs(keepalive_s.into()).min(limit.saturating_sub(waited));
            let Ok(read) = tokio::time::timeout(pause, self.stream.read(&mut bytes)).await else {
                waited = waited.saturating_add(pause);
                if waited >= limit {
                    return Err(unreachable(link, "no answer"));
                }
                self.write(&[KEEPALIVE], link).await?;
                continue;
            };
            let count = read.map_err(|error| unreachable(link, &error.to_string()))?;
            if count == 0 {
                return Err(unreachable(link, "the server closed the link"));
            }
            let fresh = bytes.get(..count).unwrap_or_default();
            let heard = &mut self.heard;
            let received = self.channel.receive(fresh, |one| heard.push(one));
            received.map_err(|error| unreachable(link, &error.to_string()))?;
        }
        Ok(self.heard.remove(0))
    }

    async fn write(&mut self, bytes: &[u8], link: &JoinLink) -> Result<(), Error> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| unreachable(link, &error.to_string()))
    }

    /// The time by which lists are judged: the server's, if this machine's is far from it.
    fn now_ms(&self) -> u64 {
        let (mine, servers) = (SystemClock.unix_ms(), self.welcome.time_ms);
        if mine.abs_diff(servers) < SKEW_MS { mine } else { servers }
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

fn new_key() -> Result<StaticKey, Error> {
    StaticKey::generate().map_err(|error| Error::Storage(error.to_string()))
}

fn unreachable(link: &JoinLink, reason: &str) -> Error {
    Error::Unreachable { address: link.address(), reason: reason.to_owned() }
}

fn odd_answer() -> Error {
    Error::Linking("the server answered something else than was asked".to_owned())
}

/// The server goes down: come back. Anything else is final.
fn ended(goodbye: v1::Goodbye, link: &JoinLink) -> Error {
    let refusal = Refusal::from_number(goodbye.code);
    if goodbye.reconnect_after_ms > 0 || refusal.is_some_and(Refusal::retryable) {
        return unreachable(link, refusal.map_or("the server closed the link", Refusal::text));
    }
    refused(goodbye.code)
}

fn refused(code: u32) -> Error {
    let refusal = Refusal::from_number(code);
    let (text, advice) = refusal
        .map_or(("the server refused", "update this program, or ask the operator"), |refusal| {
            (refusal.text(), refusal.advice())
        });
    Error::Refused {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        text: text.to_owned(),
        advice: advice.to_owned(),
    }
}
