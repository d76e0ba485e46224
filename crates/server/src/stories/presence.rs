//! Who is online, who types, and who may know. The clock is a hand, so that graces end when told to.

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::{DeviceNumber, ManualClock};
use godwit_store::{DeviceList, Publisher};
use godwit_wire::{OPEN_CHATS_MAX, PASS_BYTES, Refusal, ToClient, ToServer, v1};

use super::person::Person;
use super::world::World;
use super::{device, first_keys, is_cut_off};
use crate::presence::GRACE_S;

const NOON_MS: u64 = 1_800_000_000_000;
const PASS: [u8; PASS_BYTES] = [7; PASS_BYTES];

/// What is told of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Unknown,
    Online,
    Typing,
    /// Since so many milliseconds after 1970.
    Offline(u64),
}

fn told(presence: &v1::Presence) -> Told {
    match (presence.state(), presence.typing) {
        (v1::PresenceState::Unknown, false) => Told::Unknown,
        (v1::PresenceState::Online, false) => Told::Online,
        (v1::PresenceState::Online, true) => Told::Typing,
        (v1::PresenceState::Offline, false) => Told::Offline(presence.last_seen_ms),
        _ => panic!("{presence:?}"),
    }
}

struct Stage {
    world: World,
    clock: ManualClock,
}

impl Stage {
    async fn new() -> Self {
        let clock = ManualClock::at(NOON_MS);
        let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
        Self { world, clock }
    }

    /// Somebody who is online and may be seen by everyone.
    async fn shows(&self, handle: &str) -> Person {
        let mut person = self.world.joins(handle).await;
        person.sets(true, v1::Visibility::Everyone).await;
        self.passes(1);
        person
    }

    fn passes(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(1_000);
            let node = &self.world.server.node;
            node.presence.tick(node.moment());
        }
    }
}

fn set(here: bool, visibility: v1::Visibility, pass: &[u8]) -> ToServer {
    let pass = Bytes::copy_from_slice(pass);
    v1::PresenceSet { here, visibility: visibility.into(), pass }.into()
}

fn open(with: &Person, pass: &[u8], typing: bool) -> v1::OpenChat {
    v1::OpenChat { account: with.account().0, pass: Bytes::copy_from_slice(pass), typing }
}

impl Person {
    async fn tells(&mut self, message: impl Into<ToServer>) {
        self.link().says(&[message.into()]).await;
        let nothing = self.hears_presence().await;
        assert_eq!(nothing, [], "{} was told more than was asked", self.handle);
    }

    async fn sets(&mut self, here: bool, visibility: v1::Visibility) {
        self.tells(set(here, visibility, &PASS)).await;
    }

    /// These chats are open now; what is told right away.
    async fn opens(&mut self, chats: &[v1::OpenChat]) -> Vec<Told> {
        self.link().says(&[v1::PresenceWatch { chats: chats.to_vec() }.into()]).await;
        self.hears_presence().await.into_iter().map(|(_, told)| told).collect()
    }

    /// Everything about presence that the server has to tell by now. A turn answers first and tells of
    /// presence then, so after the second answer all of the first turn was heard.
    async fn hears_presence(&mut self) -> Vec<(u64, Told)> {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let request = self.request();
            self.link().says(&[v1::TermsRequest { request }.into()]).await;
            loop {
                match self.link().hears().await {
                    ToClient::Terms(_) => break,
                    ToClient::Presence(presence) => heard.push((presence.account, told(&presence))),
                    other => panic!("{other:?}"),
                }
            }
        }
        heard
    }

    async fn sees(&mut self, of: &Person, expected: &[Told]) {
        let heard = self.hears_presence().await;
        let expected: Vec<_> = expected.iter().map(|told| (of.account().0, *told)).collect();
        assert_eq!(heard, expected, "what {} hears of {}", self.handle, of.handle);
    }
}

#[tokio::test]
async fn who_has_the_chat_open_is_told_and_nobody_else() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    let mut carol = stage.shows("carol").await;
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Online]);
    bob.sets(false, v1::Visibility::Everyone).await;
    alice.sees(&bob, &[Told::Offline(NOON_MS)]).await;
    carol.sees(&bob, &[]).await;
    stage.passes(1);
    bob.sets(true, v1::Visibility::Everyone).await;
    alice.sees(&bob, &[Told::Online]).await;
    assert_eq!(
        alice.opens(&[open(&carol, &[], false)]).await,
        [Told::Online],
        "and Bob's is closed"
    );
    stage.passes(1);
    bob.sets(false, v1::Visibility::Everyone).await;
    alice.sees(&bob, &[]).await;
}

#[tokio::test]
async fn contacts_are_those_who_show_the_pass() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    bob.sets(true, v1::Visibility::Contacts).await;
    for (pass, expected) in [
        (&PASS[..], Told::Online),
        (&[8; PASS_BYTES][..], Told::Unknown),
        (&PASS[..PASS_BYTES - 1], Told::Unknown),
        (&[], Told::Unknown),
    ] {
        assert_eq!(alice.opens(&[open(&bob, pass, false)]).await, [expected], "{pass:?}");
        alice.opens(&[]).await;
        stage.passes(1);
    }
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Unknown]);
    assert_eq!(alice.opens(&[open(&bob, &PASS, false)]).await, [Told::Online], "it has come since");
    stage.passes(1);
    bob.tells(set(true, v1::Visibility::Contacts, &[9; PASS_BYTES])).await;
    alice.sees(&bob, &[Told::Unknown]).await;
    stage.passes(1);
    // A pass of another length is none, and then there are no contacts.
    bob.tells(set(true, v1::Visibility::Contacts, &[])).await;
    assert_eq!(alice.opens(&[]).await, []);
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Unknown]);
}

#[tokio::test]
async fn who_hides_is_not_seen_and_sees_nothing() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Online]);
    assert_eq!(bob.opens(&[open(&alice, &[], false)]).await, [Told::Online]);
    bob.sets_and_sees(v1::Visibility::Nobody, &alice, Told::Unknown).await;
    alice.sees(&bob, &[Told::Unknown]).await;
    // Whatever he does, nothing moves: that something happened would be news already.
    for here in [false, true] {
        stage.passes(1);
        bob.sets(here, v1::Visibility::Nobody).await;
        bob.opens(&[open(&alice, &[], here)]).await;
    }
    alice.sees(&bob, &[]).await;
    stage.passes(1);
    bob.sets_and_sees(v1::Visibility::Everyone, &alice, Told::Online).await;
    alice.sees(&bob, &[Told::Typing]).await;
}

impl Person {
    async fn sets_and_sees(&mut self, visibility: v1::Visibility, of: &Person, told: Told) {
        self.link().says(&[set(true, visibility, &PASS)]).await;
        self.sees(of, &[told]).await;
    }
}

#[tokio::test]
async fn who_has_said_nothing_sees_nothing_and_a_stranger_cannot_tell_hidden_from_absent() {
    let stage = Stage::new().await;
    let (mut alice, bob) = (stage.world.joins("alice").await, stage.shows("bob").await);
    let mut carol = stage.world.joins("carol").await;
    carol.sets(true, v1::Visibility::Nobody).await;
    let nobody = Person::new(&stage.world.join, "nobody");
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Unknown]);
    alice.link().says(&[set(true, v1::Visibility::Everyone, &[])]).await;
    alice.sees(&bob, &[Told::Online]).await;
    let chats = [open(&carol, &[], false), open(&nobody, &[], false)];
    assert_eq!(alice.opens(&chats).await, [Told::Unknown, Told::Unknown]);
}

#[tokio::test]
async fn typing_is_shown_where_the_chat_is_open_and_forgotten() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    let mut carol = stage.shows("carol").await;
    carol.opens(&[open(&bob, &[], false)]).await;
    assert_eq!(bob.opens(&[open(&alice, &[], true)]).await, [Told::Online]);
    alice.sees(&bob, &[]).await; // she has not opened his chat
    assert_eq!(alice.opens(&[open(&bob, &[], false)]).await, [Told::Online], "and it is not kept");
    assert_eq!(bob.opens(&[open(&alice, &[], true)]).await, []);
    alice.sees(&bob, &[Told::Typing]).await;
    assert_eq!(bob.opens(&[open(&alice, &[], true)]).await, []);
    alice.sees(&bob, &[Told::Typing]).await; // said anew, so that it lasts
    assert_eq!(bob.opens(&[open(&alice, &[], false)]).await, []);
    alice.sees(&bob, &[Told::Online]).await;
    bob.opens(&[open(&alice, &[], true)]).await;
    alice.sees(&bob, &[Told::Typing]).await;
    bob.opens(&[]).await;
    alice.sees(&bob, &[Told::Online]).await;
    bob.opens(&[open(&alice, &[], true)]).await;
    alice.sees(&bob, &[Told::Typing]).await;
    stage.world.panics(&bob);
    is_cut_off(&mut bob).await;
    alice.sees(&bob, &[Told::Online]).await; // his grace runs, but nobody types
    carol.sees(&bob, &[]).await;
}

#[tokio::test]
async fn a_lost_device_is_offline_after_its_grace_and_not_before() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    alice.opens(&[open(&bob, &[], false)]).await;
    let comes_back = async |bob: &mut Person| {
        bob.comes_back().await;
        bob.sets(true, v1::Visibility::Everyone).await;
    };
    stage.world.panics(&bob);
    is_cut_off(&mut bob).await;
    stage.passes(GRACE_S - 1);
    comes_back(&mut bob).await;
    stage.passes(GRACE_S);
    alice.sees(&bob, &[]).await; // as if nothing had been
    stage.clock.advance(20_000);
    let lost_ms =
        NOON_MS + 60_000 * ((stage.world.server.node.moment().unix_ms - NOON_MS) / 60_000);
    stage.world.panics(&bob);
    is_cut_off(&mut bob).await;
    stage.passes(GRACE_S - 1);
    alice.sees(&bob, &[]).await;
    stage.passes(1);
    alice.sees(&bob, &[Told::Offline(lost_ms)]).await;
    stage.passes(1);
    comes_back(&mut bob).await;
    alice.sees(&bob, &[Told::Online]).await;
}

/// A second device of the same account, by a hand inside.
async fn second_device(stage: &Stage, of: &Person) -> Person {
    let mut second = Person::new(&of.join, &of.handle);
    second.account_key = of.account_key;
    let key = |person: &Person| person.link_key.public().0;
    let list = DeviceList {
        version: 2,
        signed: "both".into(),
        devices: vec![(DeviceNumber(1), key(of)), (DeviceNumber(2), key(&second))],
    };
    let by = Publisher::Device(device(of));
    stage.world.server.node.store.replace_list(by, list, first_keys(2)).await.unwrap();
    second.comes_back().await;
    second
}

#[tokio::test]
async fn an_account_is_online_while_any_of_its_devices_is() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    let mut second = second_device(&stage, &bob).await;
    alice.opens(&[open(&bob, &[], false)]).await;
    second.sets(true, v1::Visibility::Everyone).await;
    stage.passes(1);
    bob.sets(false, v1::Visibility::Everyone).await;
    stage.world.panics(&bob);
    is_cut_off(&mut bob).await;
    stage.passes(GRACE_S + 1);
    alice.sees(&bob, &[]).await;
    // What any device said last holds for all of them, and a chat that one of them has open closes too.
    bob.comes_back().await;
    bob.sets(true, v1::Visibility::Everyone).await;
    assert_eq!(bob.opens(&[open(&alice, &[], false)]).await, [Told::Online]);
    stage.passes(1);
    second.sets(true, v1::Visibility::Nobody).await;
    bob.sees(&alice, &[Told::Unknown]).await;
    alice.sees(&bob, &[Told::Unknown]).await;
}

#[tokio::test]
async fn of_many_changes_in_one_second_the_newest_is_told() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    alice.opens(&[open(&bob, &[], false)]).await;
    for here in [false, true, false, true, false] {
        bob.sets(here, v1::Visibility::Everyone).await;
    }
    alice.sees(&bob, &[Told::Offline(NOON_MS)]).await; // the first, whose second it was
    let held = stage.world.server.node.meters.presences_held.get();
    assert_eq!(held, 1, "for all that follow");
    bob.sets(true, v1::Visibility::Everyone).await;
    stage.passes(1);
    alice.sees(&bob, &[Told::Online]).await; // of all the others the last
    stage.passes(3);
    alice.sees(&bob, &[]).await;
}

#[tokio::test]
async fn so_much_may_be_said_at_once_and_the_rest_is_passed_over() {
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.world.joins("alice").await, stage.shows("bob").await);
    bob.opens(&[open(&alice, &[], false)]).await;
    stage.passes(60);
    let passed_over = || stage.world.server.node.meters.presences_passed_over.get();
    for n in 1..=20 {
        alice.sets(n % 2 == 0, v1::Visibility::Everyone).await;
    }
    assert_eq!(passed_over(), 0);
    alice.sets(false, v1::Visibility::Everyone).await;
    assert_eq!(passed_over(), 1);
    stage.passes(1);
    let mut heard = bob.hears_presence().await;
    assert_eq!(heard.pop(), Some((alice.account().0, Told::Online)), "what was said last in time");
    alice.sets(false, v1::Visibility::Everyone).await;
    assert_eq!(passed_over(), 1, "a second gives some back");
}

#[tokio::test]
async fn so_many_chats_may_be_open_and_one_more_ends_the_link() {
    let stage = Stage::new().await;
    let mut alice = stage.shows("alice").await;
    let chat = |n: usize| v1::OpenChat { account: n as u64, pass: Bytes::new(), typing: false };
    let most: Vec<_> = (0..OPEN_CHATS_MAX).map(chat).collect();
    assert_eq!(alice.opens(&most).await, [Told::Unknown; OPEN_CHATS_MAX]);
    // Other chats in place of half of them, one of them named twice.
    let mut others: Vec<_> =
        (0..OPEN_CHATS_MAX - 1).map(|n| chat(n + OPEN_CHATS_MAX / 2)).collect();
    others.push(chat(OPEN_CHATS_MAX));
    assert_eq!(alice.opens(&others).await.len(), OPEN_CHATS_MAX / 2 - 1);
    let more = (0..=OPEN_CHATS_MAX).map(chat).collect();
    alice.link().says(&[v1::PresenceWatch { chats: more }.into()]).await;
    assert_eq!(alice.link().hears_goodbye().await, (Refusal::Malformed, 0));
}

#[tokio::test]
async fn before_the_mailbox_is_taken_nothing_is_said_of_presence() {
    let stage = Stage::new().await;
    let mut bob = stage.world.joins("bob").await;
    let mut stranger = Person::new(&stage.world.join, "stranger");
    for who in [&mut bob, &mut stranger] {
        for message in
            [set(true, v1::Visibility::Everyone, &[]), v1::PresenceWatch::default().into()]
        {
            who.dials().await.unwrap();
            who.link().says(&[message]).await;
            assert_eq!(who.link().hears_goodbye().await, (Refusal::NotAttached, 0));
        }
    }
}

/// Whether a file under `folder` holds these bytes.
fn is_on_disk(folder: &std::path::Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => is_on_disk(&path, wanted),
            kind if kind.is_file() => {
                std::fs::read(&path).unwrap().windows(wanted.len()).any(|bytes| bytes == wanted)
            }
            _ => false,
        }
    })
}

#[tokio::test]
async fn nothing_of_it_reaches_a_mailbox_or_the_disk_and_a_restart_forgets_it() {
    let pass = *b"a pass of sixtee";
    let stage = Stage::new().await;
    let (mut alice, mut bob) = (stage.shows("alice").await, stage.shows("bob").await);
    bob.tells(set(true, v1::Visibility::Contacts, &pass)).await;
    assert_eq!(alice.opens(&[open(&bob, &pass, true)]).await, [Told::Online]);
    bob.opens(&[open(&alice, &pass, true)]).await;
    bob.hangs_up();
    stage.passes(GRACE_S + 1);
    assert_eq!(bob.comes_back().await, [], "nothing waits in his mailbox");
    assert_eq!(stage.world.server.node.store.stats().records, 0);
    let data = stage.world.stops().await;
    assert!(is_on_disk(data.path(), b"bob"), "the search finds what is there");
    assert!(!is_on_disk(data.path(), &pass));
    let world = World::on(data, |_| {}).await;
    alice.join = world.join.clone();
    alice.comes_back().await;
    alice.sets(true, v1::Visibility::Everyone).await;
    assert_eq!(alice.opens(&[open(&bob, &pass, false)]).await, [Told::Unknown]);
}
