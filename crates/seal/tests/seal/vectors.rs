//! Frozen bytes. What one version publishes every other must verify, and what one version stored
//! the next must read: a failure here means that the format changed, and that needs a new suite or
//! row format number, not a new vector.

use godwit_base::{DeviceId, DeviceNumber};
use godwit_seal::{
    AccountKey, Bundle, Change, DeviceKeys, DeviceList, Envelope, Group, GroupProfile, GroupSecret,
    GroupShare, HeardKey, InviteSecret, KeyUpload, Pairing, RowKey, SenderKey, SenderKeyId, Trust,
    Verified,
};
use vodozemac::{base64_decode, base64_encode};

use crate::people::{NOW_MS, ONE, inner, text_of};

/// The id of the group among the vectors.
const GROUP: &str = "c1e6b235c97d59d5da0153d890a2a4c5";

/// Made by `freeze` and `freeze_groups` below: name, then base64.
const FROZEN: &str = include_str!("frozen.txt");

fn frozen(name: &str) -> Vec<u8> {
    let line = FROZEN.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    base64_decode(line.unwrap_or_else(|| panic!("no vector {name}"))).unwrap()
}

fn row_key() -> RowKey {
    RowKey::from_bytes(&[7; 32])
}

fn alice() -> AccountKey {
    AccountKey::from_seed(&[1; 32])
}

fn bob() -> AccountKey {
    AccountKey::from_seed(&[2; 32])
}

fn device(name: &str) -> DeviceKeys {
    DeviceKeys::from_row(&row_key(), &frozen(name)).unwrap()
}

fn list(name: &str, owner: &AccountKey) -> Verified<DeviceList> {
    DeviceList::verify(&frozen(name), Trust::Pinned(&owner.public()), None, NOW_MS).unwrap()
}

fn id(owner: &AccountKey) -> DeviceId {
    DeviceId { account: owner.public().id(), number: ONE }
}

fn open(
    pairing: &mut Pairing,
    me: &mut DeviceKeys,
    counter: u64,
    name: &str,
    opening: bool,
) -> String {
    let (bytes, peer) = (frozen(name), pairing.peer().clone());
    let envelope = Envelope { counter, opening, bytes: &bytes };
    text_of(&pairing.open(me, &peer, envelope, NOW_MS).unwrap())
}

#[test]
fn published_bytes_are_made_the_same_for_ever() {
    let bob_device = device("bob device row");
    let signed = DeviceList::sign(&bob(), None, &[bob_device.describe()], NOW_MS).unwrap();
    assert_eq!(signed, frozen("bob list"));
    let upload = bob_device.upload();
    assert_eq!(upload.one_time[0].1, frozen("bob one-time key"));
    assert_eq!(upload.fallback.unwrap(), frozen("bob fallback key"));
}

#[test]
fn published_bytes_are_believed_for_ever() {
    let bob_list = list("bob list", &bob());
    let verify = |one_time: &[u8], fallback: &[u8]| {
        Bundle::verify(one_time, fallback, &bob_list, ONE, NOW_MS).unwrap().is_fallback()
    };
    assert!(!verify(&frozen("bob one-time key"), &[]));
    assert!(verify(&[], &frozen("bob fallback key")));
    let second = frozen("bob list 2");
    let pin = bob().public();
    let second = DeviceList::verify(&second, Trust::Pinned(&pin), Some(&bob_list), NOW_MS);
    assert_eq!(second.unwrap().numbers().collect::<Vec<_>>(), [ONE, DeviceNumber(2)]);
}

#[test]
fn sealed_messages_open_for_ever() {
    let mut bob_device = device("bob device row");
    let mut bobs = Pairing::new(&list("alice list", &alice()).peer(ONE).unwrap());
    assert_eq!(open(&mut bobs, &mut bob_device, 1, "opening by one-time key", true), "hello");
    assert_eq!(open(&mut bobs, &mut bob_device, 2, "opening by fallback key", true), "hello again");
}

#[test]
fn stored_rows_are_read_for_ever() {
    let row_key = row_key();
    let key = AccountKey::from_row(&row_key, &frozen("bob account row")).unwrap();
    assert_eq!(key.public(), bob().public());
    let stored =
        Verified::<DeviceList>::from_row(&row_key, bob().public().id(), &frozen("bob list row"));
    assert_eq!(stored.unwrap(), list("bob list", &bob()));

    let mut alice_device = device("alice device row");
    let row = frozen("alice pairing row");
    let mut alices = Pairing::from_row(&row_key, id(&bob()), &row).unwrap();
    assert_eq!(open(&mut alices, &mut alice_device, 3, "settled to alice", false), "first answer");
    let mut bob_device = device("bob device row");
    let mut bobs = Pairing::from_row(&row_key, id(&alice()), &frozen("bob pairing row")).unwrap();
    assert_eq!(open(&mut bobs, &mut bob_device, 9, "settled to bob", false), "second turn");
}

#[test]
fn groups_are_believed_and_read_for_ever() {
    let (mut group, _) = Group::found(&frozen("group first entry")).unwrap();
    group.apply(&frozen("group second entry")).unwrap();
    assert_eq!(group.id().to_string(), GROUP);
    assert!(group.is_admin(bob().public().id()) && group.only_admins_write());
    let row_key = row_key();
    let stored = Group::from_row(&row_key, group.id(), &frozen("group row")).unwrap();
    assert_eq!(stored, group);
    let share = GroupShare::decode(&frozen("group share")).unwrap();
    let secret = share.secret().unwrap();
    assert_eq!(secret.open_profile(group.profile().unwrap()).unwrap().name, "Herons");

    let alice_peer = list("alice list", &alice()).peer(ONE).unwrap();
    let mut heard = HeardKey::accept(&share, &alice_peer, &group).unwrap();
    let message = frozen("group message");
    let inner = heard.open(&alice_peer, &group.place(), 12, &message).unwrap();
    assert_eq!(inner.body.as_slice(), b"to all");
    let row = frozen("heard key row");
    let (from, id) = (heard.from(), heard.id());
    let stored = HeardKey::from_row(&row_key, group.id(), from, id, &row).unwrap();
    assert_eq!(stored.id(), SenderKeyId::of_message(&message).unwrap());
    let key = SenderKey::from_row(&row_key, group.id(), &frozen("sender key row")).unwrap();
    assert_eq!((key.id(), key.message_count()), (id, 1));

    let link = InviteSecret::from_bytes(&[6; 32]);
    assert_eq!(link.open(group.invite().unwrap()).unwrap().generation(), 1);
    let joins = link.join(group.id(), &device("carol device row"));
    let carol = AccountKey::from_seed(&[3; 32]);
    let carols = frozen("carol list");
    let carols = DeviceList::verify(&carols, Trust::Pinned(&carol.public()), None, NOW_MS).unwrap();
    let entry = group.sign(&device("carol device row"), &carols, &[joins], NOW_MS).unwrap();
    assert_eq!(entry, frozen("group join entry"), "made the same for ever");
}

/// Plays the group behind the vectors and prints them.
#[test]
#[ignore = "prints new vectors; only for a new suite or row format"]
fn freeze_groups() {
    let row_key = row_key();
    let print = |name: &str, bytes: &[u8]| println!("{name}: {}", base64_encode(bytes));
    let (alice_device, alices) = (device("alice device row"), list("alice list", &alice()));
    let secret = GroupSecret::generate(1).unwrap();
    let link = InviteSecret::from_bytes(&[6; 32]);
    let name = GroupProfile { name: "Herons".to_owned(), picture: vec![1] };
    let changes = [
        Change::Add(bob().public()),
        Change::Profile(secret.seal_profile(&name).unwrap()),
        Change::Invite(Some(link.offer(&secret).unwrap())),
    ];
    let (first, mut group) = Group::create(&alice_device, &alices, &changes, NOW_MS).unwrap();
    println!("group id: {}", group.id());
    print("group first entry", &first);
    let changes = [Change::Promote(bob().public().id()), Change::OnlyAdminsWrite(true)];
    let second = group.sign(&alice_device, &alices, &changes, NOW_MS).unwrap();
    group.apply(&second).unwrap();
    print("group second entry", &second);
    print("group row", &group.to_row(&row_key).unwrap());

    let mut key = SenderKey::create(&group.place(), NOW_MS);
    let share = GroupShare::of_key(&key, &group.place(), Some(&secret));
    print("group share", &share);
    let message = key.seal(&alice_device, &group.place(), &inner(12, "to all")).unwrap();
    print("group message", &message);
    print("sender key row", &key.to_row(&row_key).unwrap());
    let share = GroupShare::decode(&share).unwrap();
    let heard = HeardKey::accept(&share, &alices.peer(ONE).unwrap(), &group).unwrap();
    print("heard key row", &heard.to_row(&row_key).unwrap());

    let carol = AccountKey::from_seed(&[3; 32]);
    let (carol_device, carols) = settler(&carol);
    print("carol device row", &carol_device.to_row(&row_key).unwrap());
    print("carol list", carols.signed());
    let join = group.sign(&carol_device, &carols, &[link.join(group.id(), &carol_device)], NOW_MS);
    print("group join entry", &join.unwrap());
}

/// Plays the conversation behind the vectors and prints them.
#[test]
#[ignore = "prints new vectors; only for a new suite or row format"]
fn freeze() {
    let row_key = row_key();
    let print = |name: &str, bytes: &[u8]| println!("{name}: {}", base64_encode(bytes));
    let (mut alice_device, alice_list) = settler(&alice());
    let (mut bob_device, bob_list) = settler(&bob());
    print("alice list", alice_list.signed());
    print("bob list", bob_list.signed());
    print("bob account row", &bob().to_row(&row_key).unwrap());
    print("bob list row", &bob_list.to_row(&row_key).unwrap());
    print("bob device row", &bob_device.to_row(&row_key).unwrap());
    let second = DeviceKeys::create(&bob().public(), DeviceNumber(2), NOW_MS).describe();
    let both = [bob_device.describe(), second];
    print("bob list 2", &DeviceList::sign(&bob(), Some(&bob_list), &both, NOW_MS).unwrap());
    let upload = bob_device.upload();
    let (one_time, fallback) = (&upload.one_time[0].1, upload.fallback.as_ref().unwrap());
    print("bob one-time key", one_time);
    print("bob fallback key", fallback);

    let (alice_peer, bob_peer) = (alice_list.peer(ONE).unwrap(), bob_list.peer(ONE).unwrap());
    let mut alices = Pairing::new(&bob_peer);
    let mut by_fallback = Pairing::new(&bob_peer);
    let bundle =
        |one: &[u8], fall: &[u8]| Bundle::verify(one, fall, &bob_list, ONE, NOW_MS).unwrap();
    alices.start(&alice_device, &bundle(one_time, &[]), NOW_MS).unwrap();
    by_fallback.start(&alice_device, &bundle(&[], fallback), NOW_MS).unwrap();
    let opening = alices.seal(&alice_device, &inner(1, "hello")).unwrap();
    print("opening by one-time key", &opening.bytes);
    let again = by_fallback.seal(&alice_device, &inner(2, "hello again")).unwrap();
    print("opening by fallback key", &again.bytes);

    let mut bobs = Pairing::new(&alice_peer);
    let arrived = Envelope { counter: 1, opening: true, bytes: &opening.bytes };
    bobs.open(&mut bob_device, &alice_peer, arrived, NOW_MS).unwrap();
    print("alice device row", &alice_device.to_row(&row_key).unwrap());
    print("alice pairing row", &alices.to_row(&row_key).unwrap());
    let answer = bobs.seal(&bob_device, &inner(3, "first answer")).unwrap();
    print("settled to alice", &answer.bytes);
    print("bob pairing row", &bobs.to_row(&row_key).unwrap());
    let arrived = Envelope { counter: 3, opening: false, bytes: &answer.bytes };
    alices.open(&mut alice_device, &bob_peer, arrived, NOW_MS).unwrap();
    let turn = alices.seal(&alice_device, &inner(9, "second turn")).unwrap();
    print("settled to bob", &turn.bytes);
}

/// A device with its fallback key and two one-time keys unpublished.
fn settler(account: &AccountKey) -> (DeviceKeys, Verified<DeviceList>) {
    let mut device = DeviceKeys::create(&account.public(), ONE, NOW_MS);
    let mut upload = device.upload();
    upload.one_time.drain(..2);
    device.mark_published(&KeyUpload { fallback: None, ..upload });
    let signed = DeviceList::sign(account, None, &[device.describe()], NOW_MS).unwrap();
    let trust = Trust::Pinned(&account.public());
    let list = DeviceList::verify(&signed, trust, None, NOW_MS).unwrap();
    (device, list)
}
