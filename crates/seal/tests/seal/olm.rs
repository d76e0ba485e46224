//! Other implementations at the other end.
//!
//! No published test vectors of Olm exist, and libolm speaks configuration 1 only while we speak 2
//! only. So the chain has two links: a second reading of the specification ([`crate::reader`])
//! agrees with libolm under 1, and with us under 2. The first link is frozen here, and is played
//! live by `libolm_live` wherever node and the npm package are at hand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vodozemac::olm::{Account, OlmMessage, SessionConfig};
use vodozemac::{Curve25519PublicKey, base64_decode, base64_encode};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::forge::{self, format};
use crate::people::{Letter, NOW_MS, Person};
use crate::reader::{CONFIG_1, CONFIG_2, Reader};

/// Recorded with libolm 3.2.15 by `libolm_live`: name, then base64.
const RECORDED: &str = include_str!("libolm.txt");

const IDENTITY: [u8; 32] = [0xb0; 32];
const SIGNING: [u8; 32] = [9; 32];
const ONE_TIME: [u8; 32] = [0xb1; 32];
const RATCHET: [u8; 32] = [0xb2; 32];

fn secret(bytes: [u8; 32]) -> StaticSecret {
    StaticSecret::from(bytes)
}

fn public(bytes: [u8; 32]) -> [u8; 32] {
    PublicKey::from(&secret(bytes)).to_bytes()
}

/// Somebody else's client reads what we seal and answers, at every layer with other code.
#[test]
fn another_implementation_understands_us_and_we_understand_it() {
    let mut alice = Person::new();
    let mut bob = forge::person([77; 32], public(IDENTITY), public(ONE_TIME));
    let (identity, one_time) = (secret(IDENTITY), secret(ONE_TIME));

    let letter = alice.writes(&mut bob, "hello");
    let (mut olm, text) = Reader::accept(CONFIG_2, &identity, &one_time, &letter.sealed.bytes[1..]);
    let inner = read_inner(&text);
    assert_eq!((inner.counter, inner.sent_at_ms, inner.body), (1, NOW_MS, b"hello".to_vec()));
    assert_eq!(inner.binding, binding(&alice, &bob));
    let parties = inner.parties.unwrap();
    assert_eq!(parties.sender_account, alice.account.public().0);
    assert_eq!(parties.recipient_account, bob.account.public().0);
    assert_eq!((parties.sender_device, parties.recipient_device), (1, 1));

    let second = alice.writes(&mut bob, "still opening");
    assert!(second.sealed.opening);
    let text = olm.open_again(&second.sealed.bytes[1..]);
    assert_eq!(read_inner(&text).body, b"still opening");

    for turn in 0..3_u8 {
        let answer = format::Inner {
            binding: binding(&bob, &alice),
            counter: u64::from(turn) + 1,
            sent_at_ms: NOW_MS,
            body: b"hi".to_vec(),
            resend_of: 0,
            parties: None,
            group: Vec::new(),
            epoch: 0,
        };
        let mut text = answer.encode_to_vec();
        text.push(0x80);
        text.resize(63, 0);
        let sealed = olm.seal(&secret([turn + 1; 32]), &text);
        let bytes = [&[1], sealed.as_slice()].concat();
        let sealed = godwit_seal::Sealed { opening: false, bytes };
        let letter = Letter { counter: answer.counter, sealed };
        assert_eq!(alice.reads(&bob, &letter), "hi", "{turn}");

        let letter = alice.writes(&mut bob, "and back");
        assert!(!letter.sealed.opening);
        let text = olm.open(&letter.sealed.bytes[1..]);
        assert_eq!(read_inner(&text).body, b"and back", "{turn}");
    }
}

/// The frozen half of the first link: libolm opened exactly the bytes that the reader still makes.
#[test]
fn the_second_reading_of_olm_agrees_with_libolm() {
    let opening = recorded("opening");
    let (identity, one_time) = (secret(IDENTITY), secret(ONE_TIME));
    let (mut olm, text) = Reader::accept(CONFIG_1, &identity, &one_time, &opening);
    assert_eq!(text, b"libolm opens");
    assert_eq!(olm.open_again(&recorded("opening again")), b"libolm goes on");
    let answer = olm.seal(&secret(RATCHET), b"the reader answers");
    assert_eq!(answer, recorded("answer"), "these bytes libolm opened");
    assert_eq!(olm.open(&recorded("settled")), b"libolm turned the ratchet");
}

/// The library under us opens libolm's messages too.
#[test]
fn vodozemac_opens_what_libolm_sealed() {
    let mut account = account_of_bob();
    let (opening, weak) = (opening_message("opening"), config_1());
    let created = account.create_inbound_session(weak, opening.identity_key(), &opening).unwrap();
    assert_eq!(created.plaintext, b"libolm opens");
    let mut session = created.session;
    let again = OlmMessage::PreKey(opening_message("opening again"));
    assert_eq!(session.decrypt(&again).unwrap(), b"libolm goes on");
}

/// Plays both links with the real libolm: `npm install @matrix-org/olm`, then
/// `GODWIT_LIBOLM=/path/to/node_modules/@matrix-org/olm cargo test -p godwit-seal -- --ignored`.
/// Prints the conversation for `libolm.txt`.
#[test]
#[ignore = "needs node and the npm package @matrix-org/olm"]
fn libolm_live() {
    // libolm opens a session with the reader, which answers.
    let mut libolm = Libolm::launch();
    libolm.starts(public(IDENTITY), public(ONE_TIME));
    let opening = libolm.seals("libolm opens", 0);
    let again = libolm.seals("libolm goes on", 0);
    let (identity, one_time) = (secret(IDENTITY), secret(ONE_TIME));
    let (mut olm, text) = Reader::accept(CONFIG_1, &identity, &one_time, &opening);
    assert_eq!(text, b"libolm opens");
    assert_eq!(olm.open_again(&again), b"libolm goes on");
    let answer = olm.seal(&secret(RATCHET), b"the reader answers");
    assert_eq!(libolm.opens(1, &answer), "the reader answers");
    let settled = libolm.seals("libolm turned the ratchet", 1);
    assert_eq!(olm.open(&settled), b"libolm turned the ratchet");
    for (name, bytes) in
        [("opening", opening), ("opening again", again), ("answer", answer), ("settled", settled)]
    {
        println!("{name}: {}", base64_encode(bytes));
    }

    // The library opens a session with libolm, and they talk.
    let mut libolm = Libolm::launch();
    let (their_identity, their_one_time) = libolm.keys();
    let account = Account::new();
    let mut session =
        account.create_outbound_session(config_1(), their_identity, their_one_time).unwrap();
    for turn in 0..5 {
        let text = format!("from the library {turn}");
        let (kind, bytes) = session.encrypt(&text).unwrap().to_parts();
        assert_eq!(libolm.opens(kind, &bytes), text);
        let bytes = libolm.seals("from libolm", 1);
        let message = OlmMessage::from_parts(1, &bytes).unwrap();
        assert_eq!(session.decrypt(&message).unwrap(), b"from libolm");
    }
}

struct Libolm {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Libolm {
    fn launch() -> Self {
        let package = std::env::var("GODWIT_LIBOLM").expect("GODWIT_LIBOLM names the package");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seal/libolm.mjs");
        let mut process = Command::new("node")
            .args([script, &package])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, to, from: BufReader::new(from) }
    }

    fn does(&mut self, command: &Value) -> Value {
        writeln!(self.to, "{command}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn keys(&mut self) -> (Curve25519PublicKey, Curve25519PublicKey) {
        let keys = self.does(&json!({ "do": "keys" }));
        let key = |name: &str| {
            let bytes = base64_decode(keys[name].as_str().unwrap()).unwrap();
            Curve25519PublicKey::from_slice(&bytes).unwrap()
        };
        (key("identity"), key("one_time"))
    }

    fn starts(&mut self, identity: [u8; 32], one_time: [u8; 32]) {
        let (identity, one_time) = (base64_encode(identity), base64_encode(one_time));
        self.does(&json!({ "do": "start", "identity": identity, "one_time": one_time }));
    }

    fn seals(&mut self, text: &str, expected_type: u64) -> Vec<u8> {
        let sealed = self.does(&json!({ "do": "seal", "text": text }));
        assert_eq!(sealed["type"], expected_type);
        base64_decode(sealed["body"].as_str().unwrap()).unwrap()
    }

    fn opens(&mut self, kind: usize, bytes: &[u8]) -> String {
        let body = base64_encode(bytes);
        let opened = self.does(&json!({ "do": "open", "type": kind, "body": body }));
        opened["text"].as_str().unwrap().to_owned()
    }
}

impl Drop for Libolm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn recorded(name: &str) -> Vec<u8> {
    let line = RECORDED.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    base64_decode(line.unwrap()).unwrap()
}

fn opening_message(name: &str) -> vodozemac::olm::PreKeyMessage {
    vodozemac::olm::PreKeyMessage::from_bytes(&recorded(name)).unwrap()
}

fn config_1() -> SessionConfig {
    #[allow(clippy::disallowed_methods, reason = "libolm speaks no other; nothing of ours does")]
    SessionConfig::version_1()
}

/// A library account with the secrets above.
fn account_of_bob() -> Account {
    let pickle = json!({
        "signing_key": { "Normal": SIGNING },
        "diffie_hellman_key": IDENTITY,
        "one_time_keys": { "next_key_id": 1, "public_keys": {}, "private_keys": { "0": ONE_TIME } },
        "fallback_keys": { "key_id": 0, "fallback_key": null, "previous_fallback_key": null },
    });
    Account::from_pickle(serde_json::from_value(pickle).unwrap())
}

/// Undoes the padding and reads the schema's message.
fn read_inner(text: &[u8]) -> format::Inner {
    let mark = text.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(text[mark], 0x80);
    assert_eq!(text.len() % 64, 63, "these are short");
    format::Inner::decode(&text[..mark]).unwrap()
}

/// The binding, from the words of the schema.
fn binding(sender: &Person, recipient: &Person) -> Vec<u8> {
    let mut hash = Sha256::new().chain_update(b"godwit/binding/1\0").chain_update([1]);
    for end in [sender, recipient] {
        let device = forge::listed_device(end);
        hash.update(end.account.public().0);
        hash.update(device.number.to_be_bytes());
        hash.update(&device.signing_key);
        hash.update(&device.dh_key);
    }
    hash.finalize()[..16].to_vec()
}
