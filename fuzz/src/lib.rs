//! A forger: a device whose keys this code holds, so that what stands behind a signature or inside
//! the encryption can be any bytes too. Its formats are written out here, apart from the code that
//! is tested.

use godwit_base::DeviceNumber;
use godwit_seal::{AccountKey, AccountPublic, DeviceKeys, DeviceList, Inner, Pairing};
use godwit_seal::{Bundle, RowKey, Trust, Verified};
use prost::Message as _;
use sha2::{Digest, Sha256};
use vodozemac::olm::{Account, OlmMessage, PreKeyMessage, Session, SessionConfig};
use vodozemac::{Curve25519PublicKey, Ed25519SecretKey};

/// The time in all targets.
pub const NOW_MS: u64 = 1_700_000_000_000;

const SUITE: u8 = 1;
const NUMBER: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct SignedList {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
    #[prost(uint64, tag = "2")]
    issued_at_ms: u64,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListContent {
    #[prost(bytes = "vec", tag = "1")]
    account_key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(uint32, tag = "4")]
    highest_number: u32,
    #[prost(message, repeated, tag = "5")]
    devices: Vec<Device>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Device {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(bytes = "vec", tag = "2")]
    signing_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    dh_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    suites: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    consent: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SignedEntry {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    group: Vec<u8>,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(bytes = "vec", tag = "3")]
    previous: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    author_list: Vec<u8>,
    #[prost(uint32, tag = "5")]
    author_device: u32,
    #[prost(bytes = "vec", tag = "7")]
    nonce: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SignedKey {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    signature: Vec<u8>,
}

/// An account of one device, both ours.
pub struct Forger {
    account: Ed25519SecretKey,
    device: Account,
}

impl Forger {
    /// New keys. Chance decides them; no target's verdict depends on which they are.
    pub fn new() -> Self {
        Self { account: Ed25519SecretKey::new(), device: Account::new() }
    }

    /// The account's public key.
    pub fn account(&self) -> AccountPublic {
        AccountPublic(*self.account.public_key().as_bytes())
    }

    /// Any bytes as the content of a device list with a right signature.
    pub fn list_of(&self, content: &[u8]) -> Vec<u8> {
        let signed = [b"godwit/devlist/1\0\x01", &NOW_MS.to_be_bytes()[..], content].concat();
        let signature = self.account.sign(&signed).to_bytes().to_vec();
        blob(&SignedList { content: content.to_vec(), issued_at_ms: NOW_MS, signature })
    }

    /// The content of the right device list.
    pub fn content(&self) -> Vec<u8> {
        let account_key = self.account().0.to_vec();
        let dh_key = self.device.curve25519_key().to_bytes();
        let consent = [b"godwit/device/1\0\x01", &account_key[..], &NUMBER.to_be_bytes(), &dh_key];
        let device = Device {
            number: NUMBER,
            signing_key: self.device.ed25519_key().as_bytes().to_vec(),
            dh_key: dh_key.to_vec(),
            suites: vec![SUITE],
            consent: self.device.sign(consent.concat()).to_bytes().to_vec(),
        };
        let content =
            ListContent { account_key, version: 1, highest_number: NUMBER, devices: vec![device] };
        content.encode_to_vec()
    }

    /// Any bytes as the content of an entry of a group's log with a right signature.
    pub fn entry_of(&self, content: &[u8]) -> Vec<u8> {
        let signed = [b"godwit/group-entry/1\0\x01", content].concat();
        let signature = self.device.sign(signed).to_bytes().to_vec();
        blob(&SignedEntry { content: content.to_vec(), signature })
    }

    /// The content of the first entry of a group of its own.
    pub fn first_entry(&self) -> Vec<u8> {
        let entry = Entry {
            epoch: 1,
            author_list: self.list_of(&self.content()),
            author_device: NUMBER,
            nonce: vec![7; 16],
            ..Entry::default()
        };
        entry.encode_to_vec()
    }

    /// The content of the entry after the first.
    pub fn next_entry(&self, first: &[u8]) -> Vec<u8> {
        let signed = SignedEntry::decode(&first[1..]).unwrap();
        let hash = |domain: &[u8]| Sha256::digest([domain, &signed.content].concat()).to_vec();
        let entry = Entry {
            group: hash(b"godwit/group/1\0\x01")[..16].to_vec(),
            epoch: 2,
            previous: hash(b"godwit/group-entry-content/1\0\x01"),
            author_list: self.list_of(&self.content()),
            author_device: NUMBER,
            ..Entry::default()
        };
        entry.encode_to_vec()
    }

    /// A signed one-time key.
    fn one_time(&mut self) -> Vec<u8> {
        let key = self.device.generate_one_time_keys(1).created[0].to_bytes();
        let id = 1_u64;
        let signed = [
            b"godwit/one-time/1\0\x01",
            &self.account().0[..],
            &NUMBER.to_be_bytes(),
            &id.to_be_bytes(),
            &0_u64.to_be_bytes(), // made at: for fallback keys only
            &key,
        ];
        let signature = self.device.sign(signed.concat()).to_bytes().to_vec();
        blob(&SignedKey { id, key: key.to_vec(), signature })
    }

    fn binding(&self, to_account: &AccountPublic, to: &Device) -> Vec<u8> {
        let content = ListContent::decode(&self.content()[..]).unwrap();
        let mut hash = Sha256::new_with_prefix(b"godwit/binding/1\0\x01");
        for (account, device) in [(&self.account(), &content.devices[0]), (to_account, to)] {
            hash.update(account.0);
            hash.update(device.number.to_be_bytes());
            hash.update(&device.signing_key);
            hash.update(&device.dh_key);
        }
        [&[0x0a, 16], &hash.finalize()[..16]].concat()
    }

    /// The right device list, verified.
    pub fn list(&self) -> Verified<DeviceList> {
        let list = self.list_of(&self.content());
        DeviceList::verify(&list, Trust::Pinned(&self.account()), None, NOW_MS).unwrap()
    }
}

impl Default for Forger {
    fn default() -> Self {
        Self::new()
    }
}

/// The device that receives what the forger makes, with one session that it began itself.
pub struct Victim {
    pub keys: DeviceKeys,
    pub pairing: Pairing,
    /// What binds a message to the forger and this device: the first field of a right plaintext.
    pub binding: Vec<u8>,
    /// What names both in a message that opens a session.
    pub parties: Vec<u8>,
    dh_key: Curve25519PublicKey,
    one_time_key: Curve25519PublicKey,
    /// The forger's end of that session.
    settled: Session,
    /// Both values as they were stored at the start.
    rows: (RowKey, Vec<u8>, Vec<u8>),
}

impl Victim {
    /// A new device that has begun a session with the forger.
    pub fn of(forger: &mut Forger) -> Self {
        let account = AccountKey::generate();
        let keys = DeviceKeys::create(&account.public(), DeviceNumber(NUMBER), NOW_MS);
        let list = DeviceList::sign(&account, None, &[keys.describe()], NOW_MS).unwrap();
        let signed = SignedList::decode(&list[1..]).unwrap();
        let mut content = ListContent::decode(&signed.content[..]).unwrap();
        let one_time = SignedKey::decode(&keys.upload().one_time[0].1[1..]).unwrap();

        let (theirs, key) = (forger.list(), forger.one_time());
        let bundle = Bundle::verify(&key, &[], &theirs, DeviceNumber(NUMBER), NOW_MS).unwrap();
        let mut pairing = Pairing::new(bundle.peer());
        pairing.start(&keys, &bundle, NOW_MS).unwrap();
        let hello = Inner { counter: 1, sent_at_ms: NOW_MS, resend_of: None, body: vec![].into() };
        let sealed = pairing.seal(&keys, &hello).unwrap();
        let message = PreKeyMessage::from_bytes(&sealed.bytes[1..]).unwrap();
        let public = content.devices.remove(0);
        let dh_key = Curve25519PublicKey::from_slice(&public.dh_key).unwrap();
        let config = SessionConfig::version_2();
        let settled = forger.device.create_inbound_session(config, dh_key, &message).unwrap();
        let row_key = RowKey::generate().unwrap();
        let rows = (keys.to_row(&row_key).unwrap(), pairing.to_row(&row_key).unwrap());
        Self {
            keys,
            pairing,
            binding: forger.binding(&account.public(), &public),
            parties: parties(&forger.account(), &account.public()),
            dh_key,
            one_time_key: Curve25519PublicKey::from_slice(&one_time.key).unwrap(),
            settled: settled.session,
            rows: (row_key, rows.0, rows.1),
        }
    }

    /// As it was at the start.
    pub fn restore(&mut self) {
        let (row_key, keys, pairing) = &self.rows;
        self.keys = DeviceKeys::from_row(row_key, keys).unwrap();
        self.pairing = Pairing::from_row(row_key, self.pairing.id(), pairing).unwrap();
    }

    /// Any plaintext in a message that opens a new session, as a sealed copy.
    pub fn opening(&self, forger: &Forger, plaintext: &[u8]) -> Vec<u8> {
        let (dh_key, one_time) = (self.dh_key, self.one_time_key);
        let config = SessionConfig::version_2();
        let mut session = forger.device.create_outbound_session(config, dh_key, one_time).unwrap();
        encrypt(&mut session, plaintext)
    }

    /// Any plaintext in a message of the session that is there, as a sealed copy. Always the first
    /// message of the forger: what the victim refuses moves nothing.
    pub fn settled(&self, plaintext: &[u8]) -> Vec<u8> {
        #[expect(clippy::disallowed_methods, reason = "a forger may use a ratchet's keys twice")]
        let mut session = Session::from_pickle(self.settled.pickle());
        encrypt(&mut session, plaintext)
    }
}

fn parties(sender: &AccountPublic, recipient: &AccountPublic) -> Vec<u8> {
    let number = [NUMBER as u8];
    let sender = [&[0x0a, 32], &sender.0[..], &[0x10], &number];
    let recipient = [&[0x1a, 32], &recipient.0[..], &[0x20], &number];
    [&[0x32, 72], &sender.concat()[..], &recipient.concat()].concat()
}

/// A text as it is padded before it is encrypted, if it is short.
pub fn padded(text: &[u8]) -> Option<Vec<u8>> {
    let length = (text.len() + 2).next_multiple_of(64) - 1;
    let mut padded = [text, &[0x80]].concat();
    padded.resize(length, 0);
    (length <= 255).then_some(padded)
}

fn encrypt(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
    let message = match session.encrypt(plaintext).unwrap() {
        OlmMessage::Normal(message) => message.to_bytes(),
        OlmMessage::PreKey(message) => message.to_bytes(),
    };
    [&[SUITE], &message[..]].concat()
}

fn blob(message: &impl prost::Message) -> Vec<u8> {
    [vec![SUITE], message.encode_to_vec()].concat()
}
