//! Devices whose every secret the test chooses, signed properly: somebody else's client, or a liar.

use godwit_seal::{AccountKey, DeviceList, SUITE, Trust};
use prost::Message;
use vodozemac::Ed25519SecretKey;

use crate::people::{NOW_MS, ONE, Person};

/// The formats, generated a second time from the schema, to write and read them with other code.
#[allow(missing_docs, dead_code, unreachable_pub, clippy::all, reason = "generated code")]
pub(crate) mod format {
    include!(concat!(env!("OUT_DIR"), "/godwit.seal.v1.rs"));
}

/// Suite byte and message.
pub(crate) fn blob(message: &impl Message) -> Vec<u8> {
    [&[SUITE], message.encode_to_vec().as_slice()].concat()
}

/// The blob with a field that nobody knows, `length` bytes in all.
pub(crate) fn grown_to(length: usize, mut blob: Vec<u8>) -> Vec<u8> {
    prost::encoding::encode_key(100, prost::encoding::WireType::LengthDelimited, &mut blob);
    let rest = (length - blob.len()) as u64;
    let length_bytes = if rest <= 1 << 14 { 2 } else { 3 };
    prost::encoding::encode_varint(rest - length_bytes, &mut blob);
    blob.resize(length, 0);
    blob
}

pub(crate) fn signature(key: &[u8; 32], domain: &str, parts: &[&[u8]]) -> Vec<u8> {
    let bytes = [domain.as_bytes(), &[0, SUITE], &parts.concat()].concat();
    Ed25519SecretKey::from_slice(key).sign(&bytes).to_bytes().to_vec()
}

/// Signs any list content with an account's key.
pub(crate) fn signed_list(account: &AccountKey, content: Vec<u8>, issued_at_ms: u64) -> Vec<u8> {
    let issued = issued_at_ms.to_be_bytes();
    let signature = signature(&account.to_seed(), "godwit/devlist/1", &[&issued, &content]);
    blob(&format::SignedList { content, issued_at_ms, signature })
}

/// A person whose only device has these public X25519 keys, and a signing key of [9; 32].
pub(crate) fn person(account_seed: [u8; 32], dh_key: [u8; 32], one_time: [u8; 32]) -> Person {
    let account = AccountKey::from_seed(&account_seed);
    let public = account.public();
    let (signing, number) = ([9; 32], 1_u32.to_be_bytes());
    let signing_key = Ed25519SecretKey::from_slice(&signing).public_key();
    let device = format::Device {
        number: 1,
        signing_key: signing_key.as_bytes().to_vec(),
        dh_key: dh_key.to_vec(),
        suites: vec![SUITE],
        consent: signature(&signing, "godwit/device/1", &[&public.0, &number, &dh_key]),
    };
    let content = format::ListContent {
        account_key: public.0.to_vec(),
        version: 1,
        previous: Vec::new(),
        highest_number: 1,
        devices: vec![device],
        former: Vec::new(),
    };
    let signed = signed_list(&account, content.encode_to_vec(), NOW_MS);
    let one_time_key = format::SignedKey {
        id: 0,
        key: one_time.to_vec(),
        created_at_ms: 0,
        signature: signature(
            &signing,
            "godwit/one-time/1",
            &[&public.0, &number, &[0; 8], &[0; 8], &one_time],
        ),
    };

    let mut person = Person::with(account, ONE);
    let trust = Trust::FirstUse(public.id());
    person.list = DeviceList::verify(&signed, trust, None, NOW_MS).unwrap();
    person.one_time = [blob(&one_time_key)].into();
    person
}

/// The public keys of a person's device, as its list says.
pub(crate) fn listed_device(person: &Person) -> format::Device {
    let signed = format::SignedList::decode(&person.list.signed()[1..]).unwrap();
    let content = format::ListContent::decode(&*signed.content).unwrap();
    content.devices[0].clone()
}
