//! Alice and Bob, each with one device, and what the server keeps for them.

use std::collections::{BTreeMap, VecDeque};

use godwit_base::{DeviceId, DeviceNumber};
use godwit_seal::{
    AccountKey, Bundle, DeviceKeys, DeviceList, Envelope, Inner, OpenError, Opened, Pairing, Peer,
    RowKey, SealError, Sealed, Trust, Verified,
};
use zeroize::Zeroizing;

pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
pub(crate) const ONE: DeviceNumber = DeviceNumber(1);

/// A person with one device, and the keys that the server hands out for it.
pub(crate) struct Person {
    pub(crate) account: AccountKey,
    pub(crate) device: DeviceKeys,
    pub(crate) list: Verified<DeviceList>,
    pub(crate) pairings: BTreeMap<DeviceId, Pairing>,
    pub(crate) one_time: VecDeque<Vec<u8>>,
    pub(crate) fallback: Vec<u8>,
    pub(crate) now_ms: u64,
    counter: u64,
}

/// A sealed message on its way.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) counter: u64,
    pub(crate) sealed: Sealed,
}

impl Letter {
    pub(crate) fn envelope(&self) -> Envelope<'_> {
        Envelope { counter: self.counter, opening: self.sealed.opening, bytes: &self.sealed.bytes }
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self::with(AccountKey::generate(), ONE)
    }

    pub(crate) fn with(account: AccountKey, number: DeviceNumber) -> Self {
        let device = DeviceKeys::create(&account.public(), number, NOW_MS);
        let signed = DeviceList::sign(&account, None, &[device.describe()], NOW_MS).unwrap();
        let trust = Trust::FirstUse(account.public().id());
        let list = DeviceList::verify(&signed, trust, None, NOW_MS).unwrap();
        let mut person = Self {
            account,
            device,
            list,
            pairings: BTreeMap::new(),
            one_time: VecDeque::new(),
            fallback: Vec::new(),
            now_ms: NOW_MS,
            counter: 0,
        };
        person.publishes();
        person
    }

    pub(crate) fn publishes(&mut self) {
        let upload = self.device.upload();
        self.one_time.extend(upload.one_time.iter().map(|(_, blob)| blob.clone()));
        if let Some(fallback) = &upload.fallback {
            self.fallback.clone_from(fallback);
        }
        self.device.mark_published(&upload);
    }

    pub(crate) fn peer(&self) -> Peer {
        self.list.peer(self.device.id().number).unwrap()
    }

    /// What the server gives to somebody who wants to write: one key of each queue.
    pub(crate) fn bundle(&mut self) -> Verified<Bundle> {
        let one_time = self.one_time.pop_front().unwrap_or_default();
        let number = self.device.id().number;
        Bundle::verify(&one_time, &self.fallback, &self.list, number, self.now_ms).unwrap()
    }

    pub(crate) fn runs_out_of_one_time_keys(&mut self) {
        self.one_time.clear();
    }

    pub(crate) fn with_peer(&mut self, peer: &Person) -> &mut Pairing {
        self.pairings.entry(peer.device.id()).or_insert_with(|| Pairing::new(&peer.peer()))
    }

    pub(crate) fn starts_with(&mut self, peer: &mut Person) {
        let bundle = peer.bundle();
        let now_ms = self.now_ms;
        self.with_peer(peer);
        let pairing = self.pairings.get_mut(&peer.device.id()).unwrap();
        pairing.start(&self.device, &bundle, now_ms).unwrap();
    }

    pub(crate) fn repairs_with(&mut self, peer: &mut Person) {
        let bundle = peer.bundle();
        let pairing = self.pairings.get_mut(&peer.device.id()).unwrap();
        pairing.repair(&self.device, &bundle, self.now_ms).unwrap();
    }

    /// Seals, after fetching a bundle if there is no session to send on.
    pub(crate) fn writes(&mut self, peer: &mut Person, text: &str) -> Letter {
        if !self.with_peer(peer).is_ready() {
            self.starts_with(peer);
        }
        self.seals(peer, text).unwrap()
    }

    pub(crate) fn seals(&mut self, peer: &Person, text: &str) -> Result<Letter, SealError> {
        self.counter += 1;
        let inner = inner(self.counter, text);
        let pairing = self.pairings.get_mut(&peer.device.id()).unwrap();
        let sealed = pairing.seal(&self.device, &inner)?;
        Ok(Letter { counter: self.counter, sealed })
    }

    pub(crate) fn opens(&mut self, from: &Person, letter: &Letter) -> Result<Opened, OpenError> {
        self.opens_envelope(from, letter.envelope())
    }

    pub(crate) fn opens_envelope(
        &mut self,
        from: &Person,
        envelope: Envelope<'_>,
    ) -> Result<Opened, OpenError> {
        let peer = from.peer();
        let pairing = self.pairings.entry(peer.id()).or_insert_with(|| Pairing::new(&peer));
        pairing.open(&mut self.device, &peer, envelope, self.now_ms)
    }

    pub(crate) fn reads(&mut self, from: &Person, letter: &Letter) -> String {
        text_of(&self.opens(from, letter).unwrap())
    }

    /// Everything this person has stored, in clear enough to compare: a row sealed twice differs,
    /// so the rows are opened again.
    pub(crate) fn state(&self) -> Vec<Vec<u8>> {
        let row_key = RowKey::from_bytes(&[7; 32]);
        let open =
            |table: &str, key: &[u8], row: &[u8]| row_key.open(table, key, row).unwrap().to_vec();
        let mut state = vec![open("device_keys", b"", &self.device.to_row(&row_key).unwrap())];
        for (id, pairing) in &self.pairings {
            let mut key = id.account.0.to_be_bytes().to_vec();
            key.extend_from_slice(&id.number.0.to_be_bytes());
            state.push(open("pairing", &key, &pairing.to_row(&row_key).unwrap()));
        }
        state
    }

    /// Stores everything, forgets it, and reads it back, as a restart does.
    pub(crate) fn restarts(&mut self) {
        let row_key = RowKey::generate().unwrap();
        let row = self.device.to_row(&row_key).unwrap();
        self.device = DeviceKeys::from_row(&row_key, &row).unwrap();
        for (id, pairing) in &mut self.pairings {
            let row = pairing.to_row(&row_key).unwrap();
            *pairing = Pairing::from_row(&row_key, *id, &row).unwrap();
        }
    }
}

/// Alice has written once and Bob has answered: one session that both have.
pub(crate) fn settled() -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let hello = alice.writes(&mut bob, "hello");
    bob.reads(&alice, &hello);
    let answer = bob.writes(&mut alice, "hello yourself");
    alice.reads(&bob, &answer);
    (alice, bob)
}

pub(crate) fn inner(counter: u64, text: &str) -> Inner {
    Inner {
        counter,
        sent_at_ms: NOW_MS,
        resend_of: None,
        body: Zeroizing::new(text.as_bytes().to_vec()),
    }
}

pub(crate) fn text_of(opened: &Opened) -> String {
    String::from_utf8(opened.inner.body.to_vec()).unwrap()
}
