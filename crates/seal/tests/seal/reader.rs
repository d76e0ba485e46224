//! A second reading of the Olm specification, for tests: written from its text, sharing no code
//! with the library, and only as much as a peer needs who reads in order.
//!
//! Configurations 1 and 2 differ in one version byte and in the length of the tag. What this code
//! opens and seals under 1 was checked with libolm, which speaks only that; under 2 it checks us.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

#[derive(Clone, Copy)]
pub(crate) struct Config {
    version: u8,
    tag_len: usize,
}

pub(crate) const CONFIG_1: Config = Config { version: 3, tag_len: 8 };
pub(crate) const CONFIG_2: Config = Config { version: 4, tag_len: 32 };

type Key = [u8; 32];

#[derive(Clone, PartialEq, prost::Message)]
struct Opening {
    #[prost(bytes = "vec", tag = "1")]
    one_time_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    base_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    identity_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    message: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Settled {
    #[prost(bytes = "vec", tag = "1")]
    ratchet_key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(bytes = "vec", tag = "4")]
    ciphertext: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Chain {
    key: Key,
    index: u64,
}

/// One end of a session that the other end opened.
pub(crate) struct Reader {
    config: Config,
    root: Key,
    their_ratchet: Key,
    receiving: Chain,
    sending: Option<(StaticSecret, Chain)>,
}

impl Reader {
    /// Opens the first message of a session.
    pub(crate) fn accept(
        config: Config,
        identity: &StaticSecret,
        one_time: &StaticSecret,
        bytes: &[u8],
    ) -> (Self, Vec<u8>) {
        let (version, rest) = bytes.split_first().unwrap();
        assert_eq!(*version, 3, "the version of an opening message is 3 under both");
        let opening = Opening::decode(rest).unwrap();
        assert_eq!(opening.one_time_key, PublicKey::from(one_time).as_bytes());
        let (their_identity, base) = (public(&opening.identity_key), public(&opening.base_key));

        let secret = [
            one_time.diffie_hellman(&their_identity).to_bytes(),
            identity.diffie_hellman(&base).to_bytes(),
            one_time.diffie_hellman(&base).to_bytes(),
        ];
        let keys = hkdf(&[0], &secret.concat(), b"OLM_ROOT", 64);
        let body = parse(config, &opening.message);
        let mut reader = Self {
            config,
            root: keys[..32].try_into().unwrap(),
            their_ratchet: body.ratchet_key.as_slice().try_into().unwrap(),
            receiving: Chain { key: keys[32..].try_into().unwrap(), index: 0 },
            sending: None,
        };
        let text = reader.open(&opening.message);
        (reader, text)
    }

    /// The message inside an opening message, for a session that was accepted before.
    pub(crate) fn open_again(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.open(&Opening::decode(&bytes[1..]).unwrap().message)
    }

    pub(crate) fn open(&mut self, bytes: &[u8]) -> Vec<u8> {
        let body = parse(self.config, bytes);
        let ratchet_key: Key = body.ratchet_key.as_slice().try_into().unwrap();
        if ratchet_key != self.their_ratchet {
            let (mine, _) = self.sending.take().expect("they turn the ratchet after we did");
            self.receiving = self.turn(&mine, &ratchet_key);
            self.their_ratchet = ratchet_key;
        }
        while self.receiving.index < body.index {
            self.receiving.step();
        }
        let message_key = self.receiving.step();
        let (aes_key, tag_key, iv) = message_keys(&message_key);

        let (signed, tag) = bytes.split_at(bytes.len() - self.config.tag_len);
        assert_eq!(mac(&tag_key, signed)[..self.config.tag_len], *tag, "tag");
        let mut text = body.ciphertext;
        let length = cbc::Decryptor::<Aes256>::new_from_slices(&aes_key, &iv)
            .unwrap()
            .decrypt_padded::<Pkcs7>(&mut text)
            .unwrap()
            .len();
        text.truncate(length);
        text
    }

    /// Seals; `ratchet` is the secret to use if the ratchet turns now.
    pub(crate) fn seal(&mut self, ratchet: &StaticSecret, text: &[u8]) -> Vec<u8> {
        if self.sending.is_none() {
            let theirs = self.their_ratchet;
            let chain = self.turn(ratchet, &theirs);
            self.sending = Some((ratchet.clone(), chain));
        }
        let (secret, chain) = self.sending.as_mut().unwrap();
        let index = chain.index;
        let (aes_key, tag_key, iv) = message_keys(&chain.step());
        let mut ciphertext = text.to_vec();
        ciphertext.resize(text.len() + 16, 0);
        let length = cbc::Encryptor::<Aes256>::new_from_slices(&aes_key, &iv)
            .unwrap()
            .encrypt_padded::<Pkcs7>(&mut ciphertext, text.len())
            .unwrap()
            .len();
        ciphertext.truncate(length);

        let mut bytes = vec![self.config.version, 0x0a, 32];
        bytes.extend_from_slice(PublicKey::from(&*secret).as_bytes());
        bytes.push(0x10); // written even when it is 0
        prost::encoding::encode_varint(index, &mut bytes);
        bytes.push(0x22);
        prost::encoding::encode_varint(ciphertext.len() as u64, &mut bytes);
        bytes.extend_from_slice(&ciphertext);
        let tag = mac(&tag_key, &bytes);
        bytes.extend_from_slice(&tag[..self.config.tag_len]);
        bytes
    }

    fn turn(&mut self, mine: &StaticSecret, theirs: &Key) -> Chain {
        let secret = mine.diffie_hellman(&PublicKey::from(*theirs));
        let keys = hkdf(&self.root, secret.as_bytes(), b"OLM_RATCHET", 64);
        self.root = keys[..32].try_into().unwrap();
        Chain { key: keys[32..].try_into().unwrap(), index: 0 }
    }
}

impl Chain {
    /// The message key of this place, and one step on.
    fn step(&mut self) -> Key {
        let message_key = mac(&self.key, &[1]);
        self.key = mac(&self.key, &[2]);
        self.index += 1;
        message_key
    }
}

fn parse(config: Config, bytes: &[u8]) -> Settled {
    assert_eq!(bytes[0], config.version);
    Settled::decode(&bytes[1..bytes.len() - config.tag_len]).unwrap()
}

fn message_keys(message_key: &Key) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let keys = hkdf(&[0], message_key, b"OLM_KEYS", 80);
    (keys[..32].to_vec(), keys[32..64].to_vec(), keys[64..].to_vec())
}

fn public(bytes: &[u8]) -> PublicKey {
    PublicKey::from(<Key>::try_from(bytes).unwrap())
}

fn mac(key: &[u8], bytes: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// RFC 5869 with SHA-256.
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let extracted = mac(salt, secret);
    let (mut output, mut block) = (Vec::new(), Vec::new());
    for number in 1..=u8::try_from(length.div_ceil(32)).unwrap() {
        block = mac(&extracted, &[block.as_slice(), info, &[number]].concat()).to_vec();
        output.extend_from_slice(&block);
    }
    output.truncate(length);
    output
}
