//! Sender keys: sealed once, opened by each member, and by each once.

use godwit_base::GroupId;
use godwit_seal::{
    Change, Group, GroupHint, GroupSecret, GroupShare, HeardKey, OpenError, Peer, Place, RowError,
    RowKey, SENDER_KEY_AGE_MAX_MS, SENDER_KEY_INDEX_MAX, SENDER_KEY_MESSAGES_MAX,
    SENDER_KEY_WINDOW, SealError, SenderKey, SenderKeyId, ShareError,
};
use prost::Message;
use vodozemac::megolm::{GroupSession, SessionConfig};

use crate::forge::{blob, format};
use crate::people::{Letter, NOW_MS, Person, inner, settled, text_of};

/// Alice's and Bob's group, Alice's key and what Bob heard of it.
struct Stage {
    alice: Person,
    bob: Person,
    group: Group,
    key: SenderKey,
    heard: HeardKey,
}

impl Stage {
    fn new() -> Self {
        let (alice, bob) = (Person::new(), Person::new());
        let (_, group) = alice.founds(&[&bob]);
        let key = SenderKey::create(&group.place(), NOW_MS);
        let heard = hear(&key, &alice, &group).unwrap();
        Self { alice, bob, group, key, heard }
    }

    fn says(&mut self, counter: u64, text: &str) -> Vec<u8> {
        self.key.seal(&self.alice.device, &self.group.place(), &inner(counter, text)).unwrap()
    }

    fn reads(&mut self, counter: u64, bytes: &[u8]) -> Result<String, OpenError> {
        let place = self.group.place();
        let inner = self.heard.open(&self.alice.peer(), &place, counter, bytes)?;
        Ok(String::from_utf8(inner.body.to_vec()).unwrap())
    }

    fn state(&self) -> Vec<u8> {
        let row_key = RowKey::from_bytes(&[7; 32]);
        let name = HeardKey::row_name(self.group.id(), self.heard.from(), self.heard.id());
        let row = self.heard.to_row(&row_key).unwrap();
        row_key.open("heard_key", &name, &row).unwrap().to_vec()
    }
}

fn hear(key: &SenderKey, from: &Person, group: &Group) -> Result<HeardKey, ShareError> {
    let share = GroupShare::of_key(key, &group.place(), None);
    HeardKey::accept(&GroupShare::decode(&share).unwrap(), &from.peer(), group)
}

#[test]
fn each_member_opens_each_message_once() {
    let mut stage = Stage::new();
    let said: Vec<_> = (1..=5).map(|n| stage.says(n, &format!("text {n}"))).collect();
    for (n, bytes) in (1..).zip(&said) {
        assert_eq!(stage.reads(n, bytes), Ok(format!("text {n}")));
    }
    for (n, bytes) in (1..).zip(&said) {
        assert_eq!(stage.reads(n, bytes), Err(OpenError::Replayed));
    }
    assert!(!OpenError::Replayed.wants_retry());
}

#[test]
fn a_message_cannot_be_moved_to_another_sender_group_epoch_or_counter() {
    let mut stage = Stage::new();
    let bytes = stage.says(1, "here");
    let before = stage.state();
    let (place, from) = (stage.group.place(), stage.alice.peer());
    let open = |stage: &mut Stage, from: &Peer, place: &Place, counter| {
        stage.heard.open(from, place, counter, &bytes).map(drop)
    };
    let bob = stage.bob.peer();
    assert_eq!(open(&mut stage, &bob, &place, 1), Err(OpenError::PeerChanged));
    let (_, elsewhere) = stage.alice.founds(&[&stage.bob]);
    assert_eq!(open(&mut stage, &from, &elsewhere.place(), 1), Err(OpenError::WrongIdentity));
    let mut later = stage.group.clone();
    stage.alice.changes(&mut later, &[Change::OnlyAdminsWrite(true)]);
    assert_eq!(open(&mut stage, &from, &later.place(), 1), Err(OpenError::WrongIdentity));
    assert_eq!(open(&mut stage, &from, &place, 2), Err(OpenError::WrongCounter));
    assert_eq!(stage.state(), before);
    assert_eq!(open(&mut stage, &from, &place, 1), Ok(()));
}

#[test]
fn another_log_at_the_same_epoch_is_another_place() {
    let mut stage = Stage::new();
    let mut forked = stage.group.clone();
    stage.alice.changes(&mut stage.group, &[Change::OnlyAdminsWrite(true)]);
    stage.alice.changes(&mut forked, &[Change::Community(Some(GroupId([1; 16])))]);
    let bytes = stage.says(1, "on one side");
    let from = stage.alice.peer();
    let opened = stage.heard.open(&from, &forked.place(), 1, &bytes);
    assert_eq!(opened.map(drop), Err(OpenError::WrongIdentity));
    let share = GroupShare::of_key(&stage.key, &stage.group.place(), None);
    let share = GroupShare::decode(&share).unwrap();
    assert_eq!(share.check(&from, &forked), Err(ShareError::Fork(2)));
}

#[test]
fn every_changed_bit_of_a_message_is_noticed_and_changes_nothing() {
    let mut stage = Stage::new();
    let bytes = stage.says(1, "whole");
    let before = stage.state();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(stage.reads(1, &changed).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(stage.reads(1, &bytes[..length]).is_err(), "{length}");
    }
    assert_eq!(stage.state(), before);
    assert_eq!(stage.reads(1, &bytes), Ok("whole".to_owned()));
}

#[test]
fn a_late_message_opens_within_the_window_and_not_behind_it() {
    let last = u64::from(SENDER_KEY_WINDOW);
    // More messages than one key of ours carries: a session that the test holds itself.
    let (alice, bob) = (Person::new(), Person::new());
    let (_, group) = alice.founds(&[&bob]);
    let mut long = Long::new();
    let mut heard = long.heard(&alice, &group);
    let said: Vec<_> = (0..=last).map(|n| long.says(&alice, &group, n)).collect();
    let mut open = |n: u64| {
        let bytes = &said[usize::try_from(n).unwrap()];
        heard.open(&alice.peer(), &group.place(), n, bytes).map(drop)
    };
    assert_eq!(open(last - 1), Ok(()));
    assert_eq!(open(0), Ok(()), "{SENDER_KEY_WINDOW} numbers, the newest among them");
    assert_eq!(open(0), Err(OpenError::Replayed));
    assert_eq!(open(last), Ok(()));
    assert_eq!(open(1), Ok(()));
    assert_eq!(open(0), Err(OpenError::KeyGone));
    assert_eq!(
        (open(last), open(last - 1), open(1)),
        (Err(OpenError::Replayed), Err(OpenError::Replayed), Err(OpenError::Replayed),)
    );
}

/// A sender of the test's own, who keeps to no rule.
struct Long {
    session: GroupSession,
    id: Vec<u8>,
}

impl Long {
    fn new() -> Self {
        Self::with(SessionConfig::version_2())
    }

    fn with(config: SessionConfig) -> Self {
        let session = GroupSession::new(config);
        let id = session.session_key().to_bytes()[133..141].to_vec();
        Self { session, id }
    }

    fn share(&self, group: &Group) -> GroupShare {
        let model = SenderKey::create(&group.place(), NOW_MS);
        let bytes = GroupShare::of_key(&model, &group.place(), None);
        let mut share = format::GroupShare::decode(&bytes[1..]).unwrap();
        share.session_key = self.session.session_key().to_bytes();
        GroupShare::decode(&blob(&share)).unwrap()
    }

    fn heard(&self, from: &Person, group: &Group) -> HeardKey {
        HeardKey::accept(&self.share(group), &from.peer(), group).unwrap()
    }

    fn says(&mut self, from: &Person, group: &Group, counter: u64) -> Vec<u8> {
        let text = plaintext(from, group, counter);
        let message = self.session.encrypt(text).to_bytes();
        blob(&format::GroupMessage { key: self.id.clone(), message })
    }
}

/// What the format says of the plaintext, written a second time.
fn plaintext(from: &Person, group: &Group, counter: u64) -> Vec<u8> {
    use sha2::Digest as _;
    let device = crate::forge::listed_device(from);
    let mut share = GroupShare::of_key(&SenderKey::create(&group.place(), 0), &group.place(), None);
    let head = format::GroupShare::decode(&share[1..]).unwrap().head;
    zeroize::Zeroize::zeroize(&mut *share);
    let hash = sha2::Sha256::digest(
        [
            b"godwit/group-binding/1\0\x01".as_slice(),
            &from.key().0,
            &device.number.to_be_bytes(),
            &device.signing_key,
            &device.dh_key,
            &group.id().0,
            &group.epoch().to_be_bytes(),
            &head,
        ]
        .concat(),
    );
    let mut text = format::Inner {
        binding: hash[..16].to_vec(),
        counter,
        sent_at_ms: NOW_MS,
        body: b"x".to_vec(),
        resend_of: 0,
        parties: None,
        group: Vec::new(),
        epoch: 0,
    }
    .encode_to_vec();
    text.push(0x80);
    text.resize(63, 0);
    text
}

#[test]
fn numbers_have_an_end() {
    let (alice, bob) = (Person::new(), Person::new());
    let (_, group) = alice.founds(&[&bob]);
    let mut long = Long::new();
    let mut heard = long.heard(&alice, &group);
    let mut late = None;
    for n in 0..SENDER_KEY_INDEX_MAX {
        if n + 1 == SENDER_KEY_INDEX_MAX {
            late = Some(long.share(&group));
        }
        let bytes = long.says(&alice, &group, n.into());
        if n + 1 == SENDER_KEY_INDEX_MAX {
            assert!(heard.open(&alice.peer(), &group.place(), n.into(), &bytes).is_ok());
        }
    }
    let beyond = long.says(&alice, &group, u64::from(SENDER_KEY_INDEX_MAX));
    let opened =
        heard.open(&alice.peer(), &group.place(), u64::from(SENDER_KEY_INDEX_MAX), &beyond);
    assert_eq!(opened.map(drop), Err(OpenError::GapTooBig));
    assert!(HeardKey::accept(&late.unwrap(), &alice.peer(), &group).is_ok());
    let spent = HeardKey::accept(&long.share(&group), &alice.peer(), &group);
    assert_eq!(spent.map(drop), Err(ShareError::Malformed));
}

#[test]
fn session_configuration_1_is_refused() {
    let (alice, bob) = (Person::new(), Person::new());
    let (_, group) = alice.founds(&[&bob]);
    #[allow(clippy::disallowed_methods, reason = "to see it refused")]
    let mut old = Long::with(SessionConfig::version_1());
    let mut heard = old.heard(&alice, &group);
    let bytes = old.says(&alice, &group, 1);
    let opened = heard.open(&alice.peer(), &group.place(), 1, &bytes);
    assert_eq!(opened.map(drop), Err(OpenError::Malformed));
}

#[test]
fn who_joins_reads_from_then_on_only() {
    let mut stage = Stage::new();
    let carol = Person::new();
    let early = stage.says(1, "before carol");
    stage.alice.changes(&mut stage.group, &[Change::Add(carol.key())]);
    assert!(!stage.key.is_due(&stage.group, NOW_MS), "the same key goes on");
    let mut at_carol = hear(&stage.key, &stage.alice, &stage.group).unwrap();
    let now = stage.says(2, "hello carol");
    let (from, place) = (stage.alice.peer(), stage.group.place());
    assert!(at_carol.open(&from, &place, 2, &now).is_ok());
    assert_eq!(stage.reads(2, &now), Ok("hello carol".to_owned()), "bob's key goes on too");
    let earlier = stage.group.place_at(1).unwrap();
    let opened = at_carol.open(&from, &earlier, 1, &early).map(drop);
    assert_eq!(opened, Err(OpenError::WrongIdentity), "the key is of a later epoch");
    // Nor does a later place help.
    assert_eq!(at_carol.open(&from, &place, 1, &early).map(drop), Err(OpenError::KeyGone));
}

#[test]
fn a_new_key_is_due_when_somebody_left_and_not_when_somebody_came() {
    let (mut stage, carol) = (Stage::new(), Person::new());
    stage.alice.changes(&mut stage.group, &[Change::Add(carol.key())]);
    assert!(!stage.key.is_due(&stage.group, NOW_MS));
    carol.changes(&mut stage.group, &[Change::Remove(carol.id())]);
    assert!(stage.key.is_due(&stage.group, NOW_MS));
    let next = SenderKey::create(&stage.group.place(), NOW_MS);
    assert!(!next.is_due(&stage.group, NOW_MS) && next.id() != stage.key.id());
    stage.alice.changes(&mut stage.group, &[Change::Remove(stage.bob.id())]);
    assert!(next.is_due(&stage.group, NOW_MS));
}

#[test]
fn a_key_carries_a_hundred_messages_and_lives_seven_days() {
    let mut stage = Stage::new();
    for n in 0..SENDER_KEY_MESSAGES_MAX {
        assert!(!stage.key.is_due(&stage.group, NOW_MS), "{n}");
        stage.says(n.into(), "x");
    }
    assert!(stage.key.is_due(&stage.group, NOW_MS));
    let more = stage.key.seal(&stage.alice.device, &stage.group.place(), &inner(1, "x"));
    assert_eq!(more, Err(SealError::NeedsSession));

    let young = SenderKey::create(&stage.group.place(), NOW_MS);
    assert!(!young.is_due(&stage.group, NOW_MS + SENDER_KEY_AGE_MAX_MS - 1));
    assert!(young.is_due(&stage.group, NOW_MS + SENDER_KEY_AGE_MAX_MS));
    assert!(young.is_due(&stage.group, NOW_MS - SENDER_KEY_AGE_MAX_MS), "made tomorrow week");
    let (_, other) = stage.alice.founds(&[]);
    assert!(young.is_due(&other, NOW_MS));
}

#[test]
fn a_key_seals_for_its_group_from_its_epoch_on() {
    let mut stage = Stage::new();
    let first = stage.group.place();
    let (_, other) = stage.alice.founds(&[]);
    let refused = stage.key.seal(&stage.alice.device, &other.place(), &inner(1, "x"));
    assert_eq!(refused, Err(SealError::NeedsSession));
    stage.alice.changes(&mut stage.group, &[Change::OnlyAdminsWrite(true)]);
    let mut later = SenderKey::create(&stage.group.place(), NOW_MS);
    let refused = later.seal(&stage.alice.device, &first, &inner(1, "x"));
    assert_eq!(refused, Err(SealError::NeedsSession));
    let too_long = "x".repeat(godwit_seal::INNER_BODY_BYTES_MAX + 1);
    let refused = later.seal(&stage.alice.device, &stage.group.place(), &inner(1, &too_long));
    assert_eq!((refused, later.message_count()), (Err(SealError::BodyTooLarge), 0));
    assert!(
        later.seal(&stage.alice.device, &stage.group.place(), &inner(1, &too_long[1..])).is_ok()
    );
}

#[test]
fn a_key_is_taken_from_a_member_who_sees_the_same_log() {
    let (stage, carol) = (Stage::new(), Person::new());
    let group = &stage.group;
    assert_eq!(hear(&stage.key, &carol, group).map(drop), Err(ShareError::NotAMember));
    let mut ahead = group.clone();
    stage.alice.changes(&mut ahead, &[Change::Remove(stage.bob.id())]);
    let share = |group: &Group| {
        GroupShare::decode(&GroupShare::of_key(&stage.key, &group.place(), None)).unwrap()
    };
    let from = stage.alice.peer();
    assert_eq!(share(&ahead).check(&from, group), Err(ShareError::Ahead(2)));
    let bob = stage.bob.peer();
    assert_eq!(share(group).check(&bob, &ahead), Ok(()), "he was one then");
    assert_eq!(share(&ahead).check(&bob, &ahead), Err(ShareError::NotAMember));
    let (_, other) = stage.alice.founds(&[&stage.bob]);
    assert_eq!(share(&other).check(&from, group), Err(ShareError::WrongGroup));
    let secret = GroupSecret::generate(1).unwrap();
    let only = GroupShare::decode(&GroupShare::of_secret(&secret, &group.place())).unwrap();
    assert!(!only.has_key() && only.secret().is_some_and(|secret| secret.generation() == 1));
    assert_eq!(HeardKey::accept(&only, &from, group).map(drop), Err(ShareError::NoKey));
}

#[test]
fn shares_cut_or_too_long_are_refused() {
    let stage = Stage::new();
    let secret = GroupSecret::generate(u32::MAX).unwrap();
    let bytes = GroupShare::of_key(&stage.key, &stage.group.place(), Some(&secret));
    assert!(GroupShare::decode(&bytes).is_ok());
    let key_alone = GroupShare::of_key(&stage.key, &stage.group.place(), None);
    for length in 0..bytes.len() {
        let is_whole = length == key_alone.len();
        assert_eq!(GroupShare::decode(&bytes[..length]).is_ok(), is_whole, "{length}");
    }
    assert!(GroupShare::decode(&[&bytes, [0; 100].as_slice()].concat()).is_err());
    let mut changed = format::GroupShare::decode(&bytes[1..]).unwrap();
    changed.session_key[150] ^= 1;
    let share = GroupShare::decode(&blob(&changed)).unwrap();
    let heard = HeardKey::accept(&share, &stage.alice.peer(), &stage.group);
    assert_eq!(heard.map(drop), Err(ShareError::Malformed), "the session key is signed");
    let printed = format!("{share:?} {:?} {:?} {secret:?}", stage.key, stage.heard);
    assert!(!printed.contains('['), "{printed}");
}

#[test]
fn keys_survive_a_restart_and_their_rows_cannot_be_moved() {
    let mut stage = Stage::new();
    let row_key = RowKey::generate().unwrap();
    let first = stage.says(1, "one");
    assert!(stage.reads(1, &first).is_ok());
    let (group, from, id) = (stage.group.id(), stage.heard.from(), stage.heard.id());
    let row = stage.key.to_row(&row_key).unwrap();
    assert_eq!(
        SenderKey::from_row(&row_key, GroupId([1; 16]), &row).map(drop),
        Err(RowError::Damaged)
    );
    stage.key = SenderKey::from_row(&row_key, group, &row).unwrap();
    let row = stage.heard.to_row(&row_key).unwrap();
    let moved = HeardKey::from_row(&row_key, group, stage.bob.device.id(), id, &row);
    assert_eq!(moved.map(drop), Err(RowError::Damaged));
    stage.heard = HeardKey::from_row(&row_key, group, from, id, &row).unwrap();
    assert_eq!(stage.reads(1, &first), Err(OpenError::Replayed));
    let second = stage.says(2, "two");
    assert_eq!(stage.reads(2, &second), Ok("two".to_owned()));
    assert_eq!(SenderKeyId::of_message(&second), Some(id));
    assert_eq!(SenderKeyId::of_message(b"\x01\x0a"), None);
}

#[test]
fn under_another_key_a_message_has_no_session() {
    let mut stage = Stage::new();
    let mut other = SenderKey::create(&stage.group.place(), NOW_MS);
    let bytes = other.seal(&stage.alice.device, &stage.group.place(), &inner(1, "x")).unwrap();
    assert_eq!(stage.reads(1, &bytes), Err(OpenError::NoSession));
    assert!(OpenError::NoSession.wants_retry());
    // With the right name on it, its signature is another's.
    let mut message = format::GroupMessage::decode(&bytes[1..]).unwrap();
    message.key = stage.key.id().0.to_vec();
    assert_eq!(stage.reads(1, &blob(&message)), Err(OpenError::Forged));
}

#[test]
fn a_pairwise_message_of_a_group_opens_at_its_place_only() {
    let (mut alice, mut bob) = settled();
    let (_, group) = alice.founds(&[&bob]);
    let mut later = group.clone();
    alice.changes(&mut later, &[]);
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    let sealed = pairing.seal_in(&alice.device, &group.place(), &inner(9, "to all")).unwrap();
    let letter = Letter { counter: 9, sealed };
    let before = bob.state();
    let unknown = OpenError::UnknownPlace { group: GroupHint::of(group.id()), epoch: 1 };
    assert_eq!(bob.opens(&alice, &letter).map(drop), Err(unknown), "no place");
    let opens = |bob: &mut Person, groups: &[&Group]| {
        let pairing = bob.pairings.get_mut(&alice.device.id()).unwrap();
        let places = |hint: GroupHint, epoch: u64| -> Vec<Place> {
            assert_eq!((hint, epoch), (GroupHint::of(group.id()), 1));
            groups.iter().map(|group| group.place()).collect()
        };
        pairing.open_among(&mut bob.device, &alice.peer(), letter.envelope(), &places, NOW_MS)
    };
    // Another epoch, another group: the binding is another's.
    let (_, other) = alice.founds(&[&bob]);
    assert_eq!(opens(&mut bob, &[&later, &other]).map(drop), Err(OpenError::WrongIdentity));
    assert_eq!(bob.state(), before);
    let opened = opens(&mut bob, &[&other, &group]).unwrap();
    assert_eq!((text_of(&opened), opened.place), ("to all".to_owned(), Some(group.place())));
}

#[test]
fn a_message_for_one_is_not_shown_in_a_group() {
    let (mut alice, mut bob) = settled();
    let letter = alice.writes(&mut bob, "for bob alone");
    let pairing = bob.pairings.get_mut(&alice.device.id()).unwrap();
    let places = |_: GroupHint, _: u64| -> Vec<Place> { panic!("it names no group") };
    let opened =
        pairing.open_among(&mut bob.device, &alice.peer(), letter.envelope(), &places, NOW_MS);
    assert_eq!(opened.unwrap().place, None);
}
