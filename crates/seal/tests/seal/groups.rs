//! The membership log: what is believed, and every lie that is not.

use godwit_base::limits::{GROUP_ENTRY_BYTES_MAX, GROUP_MEMBERS_MAX};
use godwit_base::{AccountId, DeviceNumber, GroupId};
use godwit_seal::{
    AccountKey, AccountPublic, Change, DeviceKeys, DeviceList, Group, GroupError, GroupProfile,
    GroupSecret, InviteSecret, NAME_BYTES_MAX, PAST_EPOCHS_MAX, PICTURE_BYTES_MAX, RowError,
    RowKey, Trust, Verified,
};
use prost::Message;

use crate::forge::{self, blob, format};
use crate::people::{NOW_MS, Person};

impl Person {
    pub(crate) fn key(&self) -> AccountPublic {
        self.account.public()
    }

    pub(crate) fn id(&self) -> AccountId {
        self.key().id()
    }

    pub(crate) fn founds(&self, others: &[&Person]) -> (Vec<u8>, Group) {
        let changes: Vec<_> = others.iter().map(|other| Change::Add(other.key())).collect();
        Group::create(&self.device, &self.list, &changes, NOW_MS).unwrap()
    }

    pub(crate) fn signs(&self, group: &Group, changes: &[Change]) -> Result<Vec<u8>, GroupError> {
        group.sign(&self.device, &self.list, changes, NOW_MS)
    }

    /// Signs an entry and applies it to the group, as if the server had sent it back.
    pub(crate) fn changes(&self, group: &mut Group, changes: &[Change]) -> Vec<u8> {
        let entry = self.signs(group, changes).unwrap();
        group.apply(&entry).unwrap();
        entry
    }
}

fn three() -> (Person, Person, Person) {
    (Person::new(), Person::new(), Person::new())
}

/// A person whose entries the test makes by hand.
fn forger() -> Person {
    forge::person([77; 32], [66; 32], [55; 32])
}

fn sign(content: &format::Entry) -> Vec<u8> {
    let content = content.encode_to_vec();
    let signature = forge::signature(&[9; 32], "godwit/group-entry/1", &[&content]);
    blob(&format::SignedEntry { content, signature })
}

fn content_of(entry: &[u8]) -> format::Entry {
    let signed = format::SignedEntry::decode(&entry[1..]).unwrap();
    format::Entry::decode(&*signed.content).unwrap()
}

/// The forger's next entry in a group, whatever the group thinks of it.
fn forged(forger: &Person, last: &[u8], changes: Vec<format::Change>) -> format::Entry {
    let signed = format::SignedEntry::decode(&last[1..]).unwrap();
    let content = format::Entry::decode(&*signed.content).unwrap();
    let head = |domain: &[u8]| -> Vec<u8> {
        use sha2::Digest as _;
        sha2::Sha256::digest([domain, &[0, 1], &signed.content].concat()).to_vec()
    };
    let group = match content.group.is_empty() {
        true => head(b"godwit/group/1")[..16].to_vec(),
        false => content.group,
    };
    format::Entry {
        group,
        epoch: content.epoch + 1,
        previous: head(b"godwit/group-entry-content/1"),
        author_list: forger.list.signed().to_vec(),
        author_device: 1,
        made_at_ms: NOW_MS,
        nonce: Vec::new(),
        changes,
    }
}

fn add(key: AccountPublic) -> format::Change {
    format::Change { change: Some(format::change::Change::Add(key.0.to_vec())) }
}

#[test]
fn every_member_comes_to_the_same_group() {
    let (alice, bob, carol) = three();
    let (first, mut at_alice) = alice.founds(&[&bob]);
    let (mut at_bob, applied) = Group::found(&first).unwrap();
    assert_eq!((applied.epoch, applied.author), (1, alice.device.id()));
    assert_eq!(at_bob, at_alice);

    let entries = [
        alice.changes(&mut at_alice, &[Change::Add(carol.key()), Change::OnlyAdminsWrite(true)]),
        alice.changes(&mut at_alice, &[Change::Promote(bob.id())]),
        bob.changes(
            &mut at_alice,
            &[Change::Demote(alice.id()), Change::Community(Some(GroupId([3; 16])))],
        ),
        carol.changes(&mut at_alice, &[Change::Remove(carol.id())]),
        alice.changes(&mut at_alice, &[]),
    ];
    for entry in &entries {
        at_bob.apply(entry).unwrap();
    }
    assert_eq!(at_bob, at_alice);
    assert_eq!((at_bob.epoch(), at_bob.member_count()), (6, 2));
    assert!(at_bob.is_admin(bob.id()) && !at_bob.is_admin(alice.id()));
    assert!(at_bob.may_write(bob.id()) && !at_bob.may_write(alice.id()));
    assert!(!at_bob.may_write(carol.id()));
    assert_eq!((at_bob.departure_epoch(), at_bob.community()), (5, Some(GroupId([3; 16]))));
    assert!(at_bob.was_member(carol.id(), 4) && !at_bob.was_member(carol.id(), 5));
    assert!(!at_bob.was_member(carol.id(), 1) && at_bob.was_member(alice.id(), 1));

    // Somebody who joins late reads it all from the start.
    let (mut late, _) = Group::found(&first).unwrap();
    entries.iter().for_each(|entry| drop(late.apply(entry).unwrap()));
    assert_eq!(late, at_alice);
}

#[test]
fn every_changed_bit_of_an_entry_is_noticed() {
    let (alice, bob, _) = three();
    let (first, group) = alice.founds(&[]);
    let entry = alice.signs(&group, &[Change::Add(bob.key())]).unwrap();
    for (bytes, bits) in [(&first, first.len() * 8), (&entry, entry.len() * 8)] {
        for bit in 0..bits {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = Group::found(&changed).map(drop);
            let applied = group.clone().apply(&changed).map(drop);
            assert!(read.is_err() && applied.is_err(), "bit {bit}");
        }
    }
    for length in 0..entry.len() {
        assert!(group.clone().apply(&entry[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_ghost_cannot_add_itself_or_be_added_by_the_server() {
    let (alice, bob, _) = three();
    let mallory = forger();
    let (first, mut group) = alice.founds(&[&bob]);
    let before = group.clone();
    // Properly signed, by somebody who is no member.
    let ghost = sign(&forged(&mallory, &first, vec![add(mallory.key())]));
    assert_eq!(group.apply(&ghost), Err(GroupError::NotAMember(mallory.id())));
    // In alice's name: her list, another's signature.
    let mut content = forged(&alice, &first, vec![add(mallory.key())]);
    assert_eq!(group.apply(&sign(&content)), Err(GroupError::BadSignature));
    // A list that names her account but is not signed by it.
    let own = format::SignedList::decode(&mallory.list.signed()[1..]).unwrap();
    let mut list = format::ListContent::decode(&*own.content).unwrap();
    list.account_key = alice.key().0.to_vec();
    content.author_list = forge::signed_list(&mallory.account, list.encode_to_vec(), NOW_MS);
    assert!(matches!(group.apply(&sign(&content)), Err(GroupError::AuthorList(_))));
    // A device that the list does not name.
    let mut content = forged(&mallory, &first, vec![add(mallory.key())]);
    content.author_device = 2;
    assert_eq!(group.apply(&sign(&content)), Err(GroupError::UnknownDevice));
    assert_eq!(group, before);
}

#[test]
fn a_member_who_is_no_admin_changes_nothing() {
    let alice = Person::new();
    let (mallory, other) = (forger(), Person::new());
    let (first, group) = alice.founds(&[&mallory, &other]);
    let wanted = [
        Change::Add(Person::new().key()),
        Change::Remove(mallory.id()),
        Change::Remove(alice.id()),
        Change::Promote(mallory.id()),
        Change::OnlyAdminsWrite(true),
        Change::Invite(None),
        Change::Community(Some(GroupId([1; 16]))),
    ];
    for change in wanted {
        assert_eq!(other.signs(&group, &[change]), Err(GroupError::NotAdmin));
    }
    let mut at_bob = group.clone();
    let entry = sign(&forged(&mallory, &first, vec![add(Person::new().key())]));
    assert_eq!(at_bob.apply(&entry), Err(GroupError::NotAdmin));
    // Leaving with something else in the same entry is not leaving.
    let both = [Change::Remove(other.id()), Change::OnlyAdminsWrite(true)];
    assert_eq!(other.signs(&group, &both), Err(GroupError::NotAdmin));
    assert!(other.signs(&group, &[Change::Remove(other.id())]).is_ok());
}

#[test]
fn a_replay_a_gap_and_a_fork_are_told_apart() {
    let (alice, bob, carol) = three();
    let (first, mut group) = alice.founds(&[]);
    let base = group.clone();
    let second = alice.changes(&mut group, &[Change::Add(bob.key())]);
    let other_second = alice.signs(&base, &[Change::Add(carol.key())]).unwrap();
    let after_second = group.clone();
    let third = alice.changes(&mut group, &[Change::Promote(bob.id())]);
    assert_eq!(group.apply(&first), Err(GroupError::Replayed { have: 3, got: 1 }));
    assert_eq!(group.apply(&second), Err(GroupError::Replayed { have: 3, got: 2 }));
    assert_eq!(group.apply(&third), Err(GroupError::Replayed { have: 3, got: 3 }));
    assert_eq!(group.apply(&other_second), Err(GroupError::Fork(2)));
    assert_eq!(base.clone().apply(&third), Err(GroupError::Gap { have: 1, got: 3 }));
    // A dropped entry: the next does not follow.
    let mut forked = base.clone();
    forked.apply(&other_second).unwrap();
    assert_eq!(forked.apply(&third), Err(GroupError::Fork(3)));
    assert_eq!(group.epoch(), 3);

    let (_, mut elsewhere) = alice.founds(&[]);
    assert_eq!(elsewhere.apply(&second), Err(GroupError::WrongGroup));
    assert_eq!(elsewhere.apply(&first), Err(GroupError::WrongGroup));
    assert_eq!(Group::found(&second).map(drop), Err(GroupError::Gap { have: 0, got: 2 }));
    assert_eq!(after_second.place_at(1), Some(base.place()));
}

#[test]
fn an_epoch_is_remembered_for_so_many_more() {
    let alice = Person::new();
    let (first, mut group) = alice.founds(&[]);
    let place = group.place();
    for _ in 0..PAST_EPOCHS_MAX {
        alice.changes(&mut group, &[]);
    }
    assert_eq!(group.place_at(1), Some(place));
    alice.changes(&mut group, &[]);
    assert_eq!(group.place_at(1), None);
    let (have, got) = (group.epoch(), 1);
    assert_eq!(group.apply(&first), Err(GroupError::Replayed { have, got }));
}

#[test]
fn a_removed_device_signs_nothing_once_its_account_has_said_so() {
    let (mut alice, bob, carol) = three();
    let (first, mut group) = alice.founds(&[&bob]);
    let (old_device, old_list) = (
        std::mem::replace(
            &mut alice.device,
            DeviceKeys::create(&alice.account.public(), DeviceNumber(2), NOW_MS),
        ),
        alice.list.clone(),
    );
    let devices = [alice.device.describe()];
    let signed = DeviceList::sign(&alice.account, Some(&old_list), &devices, NOW_MS).unwrap();
    let trust = Trust::Pinned(&alice.account.public());
    alice.list = DeviceList::verify(&signed, trust, Some(&old_list), NOW_MS).unwrap();

    let by_old =
        |group: &Group| group.sign(&old_device, &old_list, &[Change::Add(carol.key())], NOW_MS);
    assert!(by_old(&group).is_ok(), "the log knows nothing yet");
    let touch = alice.changes(&mut group, &[]);
    assert_eq!(by_old(&group), Err(GroupError::OldAuthorList));
    assert_eq!(
        group.sign(&old_device, &alice.list, &[], NOW_MS),
        Err(GroupError::UnknownDevice),
        "nor under the new list"
    );
    // What it signed before stays true for whoever reads it later.
    let (mut late, _) = Group::found(&first).unwrap();
    late.apply(&touch).unwrap();
    assert_eq!(late, group);
}

#[test]
fn the_last_admin_is_followed_by_the_oldest_member() {
    let (alice, bob, carol) = three();
    let (_, mut group) = alice.founds(&[&carol, &bob]);
    let entry = alice.signs(&group, &[Change::Remove(alice.id())]).unwrap();
    let applied = group.apply(&entry).unwrap();
    assert_eq!(applied.successor, Some(carol.id()), "she was named first");
    assert!(group.is_admin(carol.id()) && !group.is_admin(bob.id()));
    // A successor may be named.
    let named = [Change::Promote(bob.id()), Change::Remove(carol.id())];
    let entry = carol.signs(&group, &named).unwrap();
    assert_eq!(group.apply(&entry).unwrap().successor, None);
    assert!(group.is_admin(bob.id()));
    bob.changes(&mut group, &[Change::Remove(bob.id())]);
    assert!(group.is_closed());
    assert_eq!(bob.signs(&group, &[]), Err(GroupError::Closed));
}

#[test]
fn who_has_the_link_joins_and_nobody_else() {
    let (alice, bob, carol) = three();
    let dave = Person::new();
    let (_, mut group) = alice.founds(&[]);
    let (link, secret) = (InviteSecret::generate().unwrap(), GroupSecret::generate(1).unwrap());
    let join = link.join(group.id(), &bob.device);
    assert_eq!(bob.signs(&group, std::slice::from_ref(&join)), Err(GroupError::NotInvited));
    let offer = link.offer(&secret).unwrap();
    alice.changes(&mut group, &[Change::Invite(Some(offer.clone()))]);

    let other = InviteSecret::generate().unwrap().join(group.id(), &bob.device);
    assert_eq!(bob.signs(&group, &[other]), Err(GroupError::NotInvited), "another link");
    let elsewhere = link.join(GroupId([9; 16]), &bob.device);
    assert_eq!(bob.signs(&group, &[elsewhere]), Err(GroupError::NotInvited), "another group");
    assert_eq!(carol.signs(&group, std::slice::from_ref(&join)), Err(GroupError::NotInvited));
    bob.changes(&mut group, std::slice::from_ref(&join));
    assert!(group.member(bob.id()).is_some() && !group.is_admin(bob.id()));
    assert_eq!(bob.signs(&group, &[join]), Err(GroupError::AlreadyMember(bob.id())), "once");

    // The link opens the group's secret, another does not.
    let name = GroupProfile { name: "Herons".to_owned(), picture: Vec::new() };
    let sealed = secret.seal_profile(&name).unwrap();
    let opened = link.open(group.invite().unwrap()).unwrap();
    assert_eq!(opened.open_profile(&sealed), Some(name));
    assert!(InviteSecret::generate().unwrap().open(&offer).is_none());
    let token = link.token();
    assert_eq!(
        *group.invite().unwrap().door(),
        <[u8; 32]>::from({
            use sha2::Digest as _;
            sha2::Sha256::digest(*token)
        })
    );
    assert_ne!(token, link.to_bytes(), "the server sees no secret");

    // Who is removed has the link: it holds no more. Leaving keeps it.
    let join = link.join(group.id(), &carol.device);
    carol.changes(&mut group, &[join]);
    carol.changes(&mut group, &[Change::Remove(carol.id())]);
    assert!(group.invite().is_some());
    alice.changes(&mut group, &[Change::Remove(bob.id())]);
    assert!(group.invite().is_none());
    let join = link.join(group.id(), &dave.device);
    assert_eq!(dave.signs(&group, &[join]), Err(GroupError::NotInvited));
    alice.changes(&mut group, &[Change::Invite(Some(offer))]);
    alice.changes(&mut group, &[Change::Invite(None)]);
    let join = link.join(group.id(), &dave.device);
    assert_eq!(dave.signs(&group, &[join]), Err(GroupError::NotInvited), "taken back");
}

#[test]
fn a_change_that_changes_nothing_is_refused() {
    let (alice, bob, carol) = three();
    let (_, group) = alice.founds(&[&bob]);
    let nothing = [
        (Change::Add(bob.key()), GroupError::AlreadyMember(bob.id())),
        (Change::Remove(carol.id()), GroupError::NotAMember(carol.id())),
        (Change::Promote(carol.id()), GroupError::NotAMember(carol.id())),
        (Change::Promote(alice.id()), GroupError::NothingChanges),
        (Change::Demote(bob.id()), GroupError::NothingChanges),
        (Change::OnlyAdminsWrite(false), GroupError::NothingChanges),
        (Change::Invite(None), GroupError::NothingChanges),
        (Change::Community(None), GroupError::NothingChanges),
    ];
    for (change, error) in nothing {
        assert_eq!(alice.signs(&group, &[change]), Err(error));
    }
}

#[test]
fn a_group_has_so_many_members_and_no_more_and_its_first_entry_fits() {
    let alice = Person::new();
    let keys: Vec<Change> = (0..GROUP_MEMBERS_MAX as u64)
        .map(|n| {
            let mut key = [5; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            Change::Add(AccountPublic(key))
        })
        .collect();
    let create = |changes: &[Change]| Group::create(&alice.device, &alice.list, changes, NOW_MS);
    let (entry, group) = create(&keys[..GROUP_MEMBERS_MAX - 1]).unwrap();
    assert_eq!(group.member_count(), GROUP_MEMBERS_MAX);
    assert_eq!(create(&keys).map(drop), Err(GroupError::Full));
    let largest_list = godwit_base::limits::SIGNED_LIST_BYTES_MAX;
    let room = GROUP_ENTRY_BYTES_MAX - entry.len() + alice.list.signed().len();
    assert!(room > largest_list, "{room}");
    assert_eq!(alice.signs(&group, &[keys[GROUP_MEMBERS_MAX - 1].clone()]), Err(GroupError::Full));
    let row_key = RowKey::generate().unwrap();
    let row = group.to_row(&row_key).unwrap();
    assert!(row.len() < 200_000, "{}", row.len());
    assert_eq!(Group::from_row(&row_key, group.id(), &row), Ok(group));
}

#[test]
fn an_entry_has_so_many_bytes_and_changes_and_no_more() {
    let mallory = forger();
    let (first, group) = founded_by(&mallory);
    let entry = |changes: Vec<format::Change>| sign(&forged(&mallory, &first, changes));
    let flips = |count: usize| {
        (0..count)
            .map(|n| format::Change {
                change: Some(format::change::Change::OnlyAdminsWrite(n % 2 == 0)),
            })
            .collect::<Vec<_>>()
    };
    assert!(group.clone().apply(&entry(flips(GROUP_MEMBERS_MAX + 16))).is_ok());
    let more = group.clone().apply(&entry(flips(GROUP_MEMBERS_MAX + 17)));
    assert_eq!(more, Err(GroupError::Malformed));
    // A field outside the signature changes nothing but the length.
    let padded = |length| group.clone().apply(&forge::grown_to(length, entry(flips(1)))).map(drop);
    assert_eq!(padded(GROUP_ENTRY_BYTES_MAX), Ok(()));
    assert_eq!(padded(GROUP_ENTRY_BYTES_MAX + 1), Err(GroupError::Malformed));
}

/// A group that the forger made.
fn founded_by(forger: &Person) -> (Vec<u8>, Group) {
    let content = format::Entry {
        group: Vec::new(),
        epoch: 1,
        previous: Vec::new(),
        author_list: forger.list.signed().to_vec(),
        author_device: 1,
        made_at_ms: NOW_MS,
        nonce: vec![4; 16],
        changes: Vec::new(),
    };
    let first = sign(&content);
    let (group, _) = Group::found(&first).unwrap();
    (first, group)
}

#[test]
fn what_this_version_does_not_know_stops_the_group_and_is_not_skipped() {
    let mallory = forger();
    let (first, group) = founded_by(&mallory);
    let unknown = sign(&forged(&mallory, &first, vec![format::Change { change: None }]));
    assert_eq!(group.clone().apply(&unknown), Err(GroupError::Newer));
    let mut content = forged(&mallory, &first, vec![]).encode_to_vec();
    assert!(group.clone().apply(&sign_bytes(content.clone())).is_ok());
    prost::encoding::encode_key(99, prost::encoding::WireType::Varint, &mut content);
    prost::encoding::encode_varint(1, &mut content);
    let mut group = group;
    assert_eq!(group.apply(&sign_bytes(content)), Err(GroupError::Newer));
    // Another suite says so before anything else.
    let mut other = first;
    other[0] = 2;
    assert_eq!(Group::found(&other).map(drop), Err(GroupError::UnknownSuite(2)));
}

fn sign_bytes(content: Vec<u8>) -> Vec<u8> {
    let signature = forge::signature(&[9; 32], "godwit/group-entry/1", &[&content]);
    blob(&format::SignedEntry { content, signature })
}

#[test]
fn fields_of_a_wrong_length_are_refused() {
    let mallory = forger();
    let (first, group) = founded_by(&mallory);
    type Spoil = fn(&mut format::Entry);
    let spoils: [Spoil; 6] = [
        |entry| entry.group.push(0),
        |entry| entry.previous.push(0),
        |entry| entry.nonce.push(0),
        |entry| entry.epoch = 0,
        |entry| {
            entry
                .changes
                .push(format::Change { change: Some(format::change::Change::Add(vec![1; 31])) });
        },
        |entry| {
            entry
                .changes
                .push(format::Change { change: Some(format::change::Change::Join(vec![1; 63])) });
        },
    ];
    for spoil in spoils {
        let mut content = forged(&mallory, &first, Vec::new());
        spoil(&mut content);
        assert_eq!(group.clone().apply(&sign(&content)), Err(GroupError::Malformed));
    }
    let mut content = content_of(&first);
    content.nonce.pop();
    assert_eq!(Group::found(&sign(&content)).map(drop), Err(GroupError::Malformed));
}

#[test]
fn the_name_is_sealed_and_gets_a_new_secret_after_somebody_left() {
    let (alice, bob, _) = three();
    let (_, mut group) = alice.founds(&[&bob]);
    let name = |name: &str| GroupProfile { name: name.to_owned(), picture: vec![1, 2, 3] };
    assert!(group.wants_new_secret());
    let secret = GroupSecret::generate(1).unwrap();
    let sealed = secret.seal_profile(&name("Herons")).unwrap();
    alice.changes(&mut group, &[Change::Profile(sealed)]);
    assert!(!group.wants_new_secret());
    assert_eq!(secret.open_profile(group.profile().unwrap()), Some(name("Herons")));
    assert_eq!(GroupSecret::generate(1).unwrap().open_profile(group.profile().unwrap()), None);

    alice.changes(&mut group, &[Change::Remove(bob.id())]);
    assert!(group.wants_new_secret());
    let next = GroupSecret::generate(2).unwrap();
    let sealed = next.seal_profile(&name("Egrets")).unwrap();
    alice.changes(&mut group, &[Change::Profile(sealed)]);
    assert!(!group.wants_new_secret());
    assert_eq!(secret.open_profile(group.profile().unwrap()), None, "bob's is of no use");
    for generation in [0, 1, 4] {
        let other = GroupSecret::generate(generation).unwrap();
        let sealed = other.seal_profile(&name("x")).unwrap();
        let refused = alice.signs(&group, &[Change::Profile(sealed)]);
        assert_eq!(refused, Err(GroupError::BadProfile), "{generation}");
    }
}

#[test]
fn name_and_picture_have_bounds() {
    let alice = Person::new();
    let (_, group) = alice.founds(&[]);
    let secret = GroupSecret::generate(1).unwrap();
    let of = |name: usize, picture: usize| {
        secret.seal_profile(&GroupProfile { name: "x".repeat(name), picture: vec![7; picture] })
    };
    let largest = of(NAME_BYTES_MAX, PICTURE_BYTES_MAX).unwrap();
    assert!(alice.signs(&group, &[Change::Profile(largest)]).is_ok());
    assert_eq!(of(NAME_BYTES_MAX + 1, 0), Err(GroupError::BadProfile));
    assert_eq!(of(0, PICTURE_BYTES_MAX + 1), Err(GroupError::BadProfile));
    let lengths: Vec<_> = [1, 20, 50].iter().map(|n| of(*n, 0).unwrap().sealed.len()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    let mut too_long = of(1, 0).unwrap();
    too_long.sealed.resize(5_000, 0);
    assert_eq!(alice.signs(&group, &[Change::Profile(too_long)]), Err(GroupError::BadProfile));
}

#[test]
fn a_stored_group_is_read_back_and_cannot_be_moved_or_changed() {
    let (alice, bob, carol) = three();
    let (_, mut group) = alice.founds(&[&bob, &carol]);
    alice.changes(&mut group, &[Change::Remove(bob.id())]);
    let row_key = RowKey::generate().unwrap();
    let row = group.to_row(&row_key).unwrap();
    assert_eq!(Group::from_row(&row_key, group.id(), &row).unwrap(), group);
    let elsewhere = Group::from_row(&row_key, GroupId([1; 16]), &row);
    assert_eq!(elsewhere, Err(RowError::Damaged));
    let secret = GroupSecret::generate(3).unwrap();
    let row = secret.to_row(&row_key, b"k").unwrap();
    let back = GroupSecret::from_row(&row_key, b"k", &row).unwrap();
    let sealed = secret.seal_profile(&GroupProfile::default()).unwrap();
    assert_eq!((back.generation(), back.open_profile(&sealed)), (3, Some(GroupProfile::default())));
    assert!(GroupSecret::from_row(&row_key, b"l", &row).is_err());
}

/// An account whose devices several entries name.
#[test]
fn any_device_of_an_admin_acts() {
    let account = AccountKey::generate();
    let devices: Vec<_> =
        [1, 2].map(|n| DeviceKeys::create(&account.public(), DeviceNumber(n), NOW_MS)).into();
    let entries: Vec<_> = devices.iter().map(DeviceKeys::describe).collect();
    let signed = DeviceList::sign(&account, None, &entries, NOW_MS).unwrap();
    let trust = Trust::Pinned(&account.public());
    let list: Verified<DeviceList> = DeviceList::verify(&signed, trust, None, NOW_MS).unwrap();
    let (_, mut group) = Group::create(&devices[0], &list, &[], NOW_MS).unwrap();
    let add = [Change::Add(Person::new().key())];
    let entry = group.sign(&devices[1], &list, &add, NOW_MS).unwrap();
    assert_eq!(group.apply(&entry).unwrap().author, devices[1].id());
}
