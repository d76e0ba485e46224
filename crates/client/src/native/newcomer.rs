//! A device that comes to an account which exists: by another device that links it, or by the
//! account key. Until then it has no account and no mailbox, and so no engine: questions and answers
//! on a link that belongs to nobody.

use std::time::Duration;

use godwit_base::{Clock, DeviceNumber, Handle, JoinLink, SystemClock};
use godwit_link::StaticKey;
use godwit_seal::{AccountKey, DeviceKeys, DeviceList, LinkJoining, LinkOffer, Linked, Trust};
use godwit_wire::{ToClient, ToServer, v1};
use tokio::sync::{broadcast, mpsc, watch};

use super::client::Joined;
use super::database;
use super::engine::{Engine, Parts, Stage, Voice};
use super::home::{Home, Ownership};
use super::host::{EVENTS_MAX, seed};
use super::join::happened;
use super::talk::{ANSWER, Talk, odd_answer, unreachable};
use crate::core::{Core, Seat, Vault, to_wire, verify_of_any_age};
use crate::{ConnectionState, Error, Event, NewcomerEvent};

/// Pauses between two attempts to come back to a rendezvous: doubled from the first to the last.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Attempts after a broken link, 10 minutes of them: then the rendezvous is over anyway.
const ATTEMPTS_MAX: usize = 80;

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
    place.settle(home, core, tell).await
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
    let ToClient::Bundles(bundles) = talk.expect(claim, ANSWER).await? else {
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
    talk.expect(publish, ANSWER).await?;
    drop(talk);
    let seat = Seat { keys, link_key, list };
    let core = Core::recovered(place.vault.clone(), link, &handle, account, seat, seed()?)?;
    place.settle(home, core, |_| {}).await
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
    async fn settle(
        self,
        home: &Home,
        core: Core,
        mut tell: impl FnMut(NewcomerEvent),
    ) -> Result<Joined, Error> {
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
            if told(&mut happens, &mut tell) || engine.core().is_settled() {
                break;
            }
        }
        stop.send_replace(true);
        engine.run(&mut no_calls, &mut stopped).await?;
        told(&mut happens, &mut tell);
        drop(calls);
        let device = engine.core().device();
        Ok(Joined { account: device.account, device })
    }
}

/// Passes on what has happened. Returns whether the network failed meanwhile.
fn told(happens: &mut broadcast::Receiver<Event>, tell: &mut impl FnMut(NewcomerEvent)) -> bool {
    let mut is_offline = false;
    for event in happened(happens) {
        match event {
            Event::History(progress) => tell(NewcomerEvent::History(progress)),
            Event::Connection(ConnectionState::Offline { .. }) => is_offline = true,
            _ => {}
        }
    }
    is_offline
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
    talk: Option<Talk<'a>>,
}

impl Meeting<'_> {
    /// Message `sequence` of the other side.
    async fn hear(&mut self, sequence: u32) -> Result<Heard, Error> {
        for pause in pauses() {
            match self.try_hear(sequence).await {
                Err(Error::Unreachable { .. }) => {
                    self.talk = None;
                    tokio::time::sleep(pause).await;
                }
                heard => return heard,
            }
        }
        Err(unreachable(self.link, "the link broke too often"))
    }

    async fn try_hear(&mut self, sequence: u32) -> Result<Heard, Error> {
        let rendezvous = self.rendezvous;
        let talk = match &mut self.talk {
            Some(talk) => talk,
            None => self.talk.insert(Talk::dial(self.link, self.link_key).await?),
        };
        if talk.welcome().standing() == v1::Standing::Device {
            return talk.own_list().await.map(Heard::Listed);
        }
        let relay = |request, sequence, body: &[u8]| {
            let (rendezvous, side) = (rendezvous.to_vec().into(), v1::RelaySide::New.into());
            let body = body.to_vec().into();
            ToServer::Relay(v1::Relay { request, rendezvous, side, sequence, body })
        };
        for (number, body) in &self.said {
            talk.expect(|request| relay(request, *number, body), ANSWER).await?;
        }
        // As long as the person takes; the server ends it when the rendezvous is over.
        match talk.expect(|request| relay(request, sequence, &[]), Duration::MAX).await? {
            ToClient::Relayed(relayed) => Ok(Heard::Message(relayed.body.to_vec())),
            _ => Err(odd_answer()),
        }
    }

    fn now_ms(&self) -> u64 {
        self.talk.as_ref().map_or_else(|| SystemClock.unix_ms(), Talk::now_ms)
    }
}

/// How long to wait after each attempt.
fn pauses() -> impl Iterator<Item = Duration> {
    let doubled = |pause: &Duration| Some((2 * *pause).min(PAUSE_MAX));
    std::iter::successors(Some(PAUSE), doubled).take(ATTEMPTS_MAX)
}

fn new_key() -> Result<StaticKey, Error> {
    StaticKey::generate().map_err(|error| Error::Storage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_slower_to_a_bound_and_for_ten_minutes() {
        let pauses: Vec<Duration> = pauses().collect();
        assert_eq!(pauses.len(), ATTEMPTS_MAX);
        assert_eq!(pauses[..3], [PAUSE, 2 * PAUSE, 4 * PAUSE]);
        assert_eq!((pauses[4], pauses[5], pauses[6]), (PAUSE_MAX / 2, PAUSE_MAX, PAUSE_MAX));
        assert_eq!(pauses.iter().max(), Some(&PAUSE_MAX));
        let all: Duration = pauses.iter().sum();
        let ten_minutes = Duration::from_secs(600);
        assert!((ten_minutes..ten_minutes + 4 * PAUSE_MAX).contains(&all), "{all:?}");
    }

    /// Nobody listens at that address: no link lasts, and no attempt is one too many.
    #[tokio::test(start_paused = true)]
    async fn a_meeting_ends_after_its_last_attempt() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let link_key = new_key().unwrap();
        let server_key = StaticKey::generate().unwrap().public().0;
        let link = JoinLink { host: "127.0.0.1".to_owned(), port, server_key };
        let (link, link_key) = (&link, &link_key);
        let rendezvous = [0; 16];
        let mut meeting = Meeting { link, link_key, rendezvous, said: Vec::new(), talk: None };
        let before = tokio::time::Instant::now();
        let Err(Error::Unreachable { reason, .. }) = meeting.hear(1).await else { panic!("met") };
        assert_eq!(reason, "the link broke too often");
        assert!(before.elapsed() >= pauses().sum());
    }
}
