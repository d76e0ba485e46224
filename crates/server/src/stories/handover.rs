//! Sessions become data and go on, in one process: nobody hears of it.

mod held;

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::{DeviceNumber, ManualClock};
use godwit_store::{DeviceList, Publisher};
use godwit_wire::{PASS_BYTES, Refusal, ToClient, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::device;
use super::disk::TestDisk;
use super::link::{Heard, Link, NoLink, Pipe};
use super::person::Person;
use super::world::World;
use crate::Server;
use crate::handover::{Frozen, Line, Origin, SessionRecord, Upgraded, Wish, upgrade};
use crate::presence::GRACE_S;
use crate::serve::FrozenServer;
use crate::session::{Asker, Carrier};

const NOON_MS: u64 = 1_800_000_000_000;

impl World {
    async fn freezes(self) -> (FrozenServer, Thawing) {
        let Self { server, join, data } = self;
        (server.freeze().await, Thawing { join, data })
    }

    /// Everybody goes over.
    async fn goes_over(self) -> Self {
        let (frozen, thawing) = self.freezes().await;
        assert_eq!(frozen.dropped, 0);
        thawing.thaws(frozen).await
    }

    /// Waits until so many bytes came in.
    async fn has_heard(&self, bytes: u64) {
        while self.server.node.meters.bytes_in.get() < bytes {
            tokio::task::yield_now().await;
        }
    }
}

/// What is left of a world while nobody serves it.
struct Thawing {
    join: godwit_base::JoinLink,
    data: tempfile::TempDir,
}

impl Thawing {
    async fn thaws(self, frozen: FrozenServer) -> World {
        let mut frozen = frozen;
        for one in &mut frozen.sessions {
            // As between two processes.
            *one.record = SessionRecord::read(&one.record.sealed_bytes()).unwrap();
        }
        let server = Server::thaw(frozen).await.unwrap();
        assert_eq!(server.ready().join, self.join.to_string(), "the same port and key");
        World { server, join: self.join, data: self.data }
    }
}

fn records(frozen: &FrozenServer) -> impl Iterator<Item = &SessionRecord> {
    frozen.sessions.iter().map(|one| &**one.record)
}

/// The connection under a link.
fn raw(person: &mut Person) -> &mut TcpStream {
    match &mut person.link().pipe {
        Pipe::Tcp(stream) => stream,
        Pipe::WebSocket(socket) => socket.get_mut(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_goes_over_ten_times_and_back() {
    let mut world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    for round in 0..10 {
        alice.writes_to(&mut bob, &format!("before {round}")).await;
        let (frozen, thawing) = world.freezes().await;
        assert_eq!((frozen.sessions.len(), frozen.dropped), (2, 0));
        // It lies in the socket until somebody serves it.
        let counter = alice.sends("meanwhile").to(&bob).await;
        world = thawing.thaws(frozen).await;
        alice.sees_tick(counter).await;
        let deliver = bob.receives("meanwhile", &alice).await;
        bob.acknowledges(&deliver).await;
        alice.sees_delivered(&bob, counter).await;
    }
    assert_eq!(world.server.node.registry.live(), 2);
    world.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_half_of_a_frame_is_carried() {
    let world = World::new().await;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    let before = world.server.node.meters.bytes_in.get();
    let whole = bob.sealed(1, "in two halves");
    let whole = alice.link().frame(&[whole]);
    let (first, second) = whole.split_at(whole.len() / 2);
    alice.link().pipe.send(first).await;
    world.has_heard(before + first.len() as u64).await;
    let (frozen, thawing) = world.freezes().await;
    assert!(records(&frozen).any(|record| record.half_read == first));
    let world = thawing.thaws(frozen).await;
    // And once more, with one byte more of it.
    alice.link().pipe.send(&second[..1]).await;
    let world = world.goes_over().await;
    alice.link().pipe.send(&second[1..]).await;
    alice.sees_tick(1).await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_goes_over_in_the_middle_of_a_message() {
    let mut world = World::new().await;
    let mut bob = world.joins("bob").await;
    let mut alice = Person::new(&world.join, "alice");
    let pipe = Pipe::web_socket(&world.join).await;
    alice.link = Some(Link::over(pipe, &world.join, &alice.link_key).await.unwrap());
    alice.registers().await.unwrap();
    alice.attaches().await;
    alice.writes_to(&mut bob, "whole").await;
    // Inside the header of the message, behind it, and inside what it carries.
    for (counter, cut) in [(2, 1), (3, 7), (4, 8), (5, 20)] {
        let frame = alice.link().frame(&[bob.sealed(counter, "in two halves")]);
        let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
        let message = [&[0x82, 0x80 | 126], &length[..], &[0; 4], &frame].concat();
        let (first, second) = message.split_at(cut);
        let before = world.server.node.meters.bytes_in.get();
        raw(&mut alice).write_all(first).await.unwrap();
        let carries = cut.saturating_sub(8);
        world.has_heard(before + carries as u64).await;
        let (frozen, thawing) = world.freezes().await;
        assert_eq!((frozen.sessions.len(), frozen.dropped), (2, 0));
        let hers = records(&frozen).find(|record| !record.web_socket.is_empty());
        assert_eq!(hers.unwrap().half_read, frame[..carries]);
        world = thawing.thaws(frozen).await;
        raw(&mut alice).write_all(second).await.unwrap();
        alice.sees_tick(counter).await;
        let deliver = bob.receives("in two halves", &alice).await;
        bob.acknowledges(&deliver).await;
        alice.sees_delivered(&bob, counter).await;
    }
    let counter = bob.sends("and back").to(&alice).await;
    bob.sees_tick(counter).await;
    alice.receives("and back", &bob).await;
    assert_eq!(world.server.node.registry.live(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsent_bytes_and_a_full_inbox_arrive_once_and_in_order() {
    let mut world = World::with(|setup| setup.config.session.unsent_behind_bytes = 65_536).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    // Bob reads nothing: the system takes some megabytes, then his session, then his inbox, and the rest
    // waits in the mailbox.
    let body = "x".repeat(30_000);
    let mut sent = 0_u64;
    let enough = |world: &World| {
        let seat = world.server.node.registry.by_device(device(&bob)).unwrap();
        seat.records.depth() > 1
    };
    while !enough(&world) {
        sent += 1;
        let text = format!("{sent} {body}");
        let counter = alice.sends(&text).to(&bob).await;
        alice.sees_tick(counter).await;
    }
    for _ in 0..2 {
        let (frozen, thawing) = world.freezes().await;
        assert!(records(&frozen).any(|record| !record.unsent.is_empty()));
        let carried = frozen.carried;
        assert_eq!((carried.unsent, carried.half_frames, carried.websockets), (1, 0, 0));
        world = thawing.thaws(frozen).await;
    }
    for number in 1..=sent {
        bob.receives(&format!("{number} {body}"), &alice).await;
    }
    let counter = alice.sends("the last").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("the last", &alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_settled_and_told_before() {
    let disk = TestDisk::default();
    let world = World::with(|setup| setup.disk = Arc::new(disk.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    disk.stalls();
    let counter = alice.sends("on its way").to(&bob).await;
    disk.is_waited_for().await;
    let freezing = tokio::spawn(world.freezes());
    // Bob has nothing under way; Alice is waited for.
    disk.goes_on();
    let (frozen, thawing) = freezing.await.unwrap();
    assert_eq!((frozen.sessions.len(), frozen.dropped), (2, 0));
    let _world = thawing.thaws(frozen).await;
    alice.sees_tick(counter).await;
    bob.receives("on its way", &alice).await;
    // The server settled it once: the next is answered next.
    bob.writes_to(&mut alice, "an answer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_settle_is_sent_home_and_the_others_go_on() {
    let disk = TestDisk::default();
    let world = World::with(|setup| setup.disk = Arc::new(disk.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    disk.stalls();
    alice.sends("stuck").to(&bob).await;
    disk.is_waited_for().await;
    let freezing = tokio::spawn(world.freezes());
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::Draining);
    alice.hangs_up();
    disk.goes_on();
    let (frozen, thawing) = freezing.await.unwrap();
    assert_eq!((frozen.sessions.len(), frozen.dropped), (1, 1));
    let _world = thawing.thaws(frozen).await;
    bob.receives("stuck", &alice).await;
    alice.comes_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_at_the_door_goes_and_who_dials_meanwhile_is_served() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let mut half = TcpStream::connect(world.join.address()).await.unwrap();
    half.write_all(b"G").await.unwrap();
    let (frozen, thawing) = world.freezes().await;
    assert_eq!(frozen.sessions.len(), 1);
    assert_eq!(half.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed");
    let join = thawing.join.clone();
    let dials = tokio::spawn(async move {
        let mut bob = Person::new(&join, "bob");
        bob.dials().await.unwrap();
        bob.registers().await.unwrap();
        bob.attaches().await;
        bob
    });
    let _world = thawing.thaws(frozen).await;
    let mut bob = dials.await.unwrap();
    alice.writes_to(&mut bob, "hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_goes_over_and_registers() {
    let world = World::new().await;
    let mut alice = Person::new(&world.join, "alice");
    alice.dials().await.unwrap();
    let world = world.goes_over().await;
    alice.registers().await.unwrap();
    let world = world.goes_over().await;
    alice.attaches().await;
    drop(world.goes_over().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_flickers_and_who_goes_later_is_told() {
    let clock = ManualClock::at(NOON_MS);
    let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let pass = Bytes::from_static(&[7; PASS_BYTES]);
    let here = || v1::PresenceSet {
        here: true,
        visibility: v1::Visibility::Contacts.into(),
        pass: pass.clone(),
    };
    alice.link().says(&[here().into()]).await;
    bob.link().says(&[here().into(), v1::TermsRequest { request: 1 }.into()]).await;
    assert!(matches!(bob.link().hears().await, ToClient::Terms(_)), "he is there by now");
    let chat = v1::OpenChat { account: bob.account().0, pass: pass.clone(), typing: false };
    alice.link().says(&[v1::PresenceWatch { chats: vec![chat] }.into()]).await;
    let state = |heard: ToClient| match heard {
        ToClient::Presence(presence) => presence.state(),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(alice.link().hears().await), v1::PresenceState::Online);
    let world = world.goes_over().await;
    let world = world.goes_over().await;
    // Had anything been told of Bob, it would come before this.
    for request in [1, 2] {
        alice.link().says(&[v1::TermsRequest { request }.into()]).await;
        assert!(matches!(alice.link().hears().await, ToClient::Terms(_)));
    }
    bob.hangs_up();
    let node = Arc::clone(&world.server.node);
    while node.registry.live() > 1 {
        tokio::task::yield_now().await;
    }
    // Within his grace he goes over once more; it is not forgotten.
    let world = world.goes_over().await;
    let node = Arc::clone(&world.server.node);
    clock.advance(u64::from(GRACE_S + 1) * 1_000);
    node.presence.tick(node.moment());
    assert_eq!(state(alice.link().hears().await), v1::PresenceState::Offline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_a_rendezvous_goes_on_waiting() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let relay = |request, side: v1::RelaySide, body: &'static [u8]| v1::Relay {
        request,
        rendezvous: Bytes::from_static(&[7; 16]),
        side: side.into(),
        sequence: 1,
        body: Bytes::from_static(body),
    };
    alice.link().says(&[relay(1, v1::RelaySide::New, b"mine").into()]).await;
    assert!(matches!(alice.link().hears().await, ToClient::Relayed(_)));
    alice.link().says(&[relay(2, v1::RelaySide::New, b"").into()]).await;
    alice.link().says(&[v1::TermsRequest { request: 3 }.into()]).await;
    assert!(matches!(alice.link().hears().await, ToClient::Terms(_)));
    let _world = world.goes_over().await;
    bob.link().says(&[relay(1, v1::RelaySide::Present, b"").into()]).await;
    let ToClient::Relayed(relayed) = bob.link().hears().await else { panic!() };
    assert_eq!(relayed.body, "mine");
    bob.link().says(&[relay(2, v1::RelaySide::Present, b"yours").into()]).await;
    assert!(matches!(bob.link().hears().await, ToClient::Relayed(_)));
    let ToClient::Relayed(relayed) = alice.link().hears().await else { panic!() };
    assert_eq!((relayed.request, relayed.body), (2, Bytes::from_static(b"yours")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_back_stays_so_and_the_clock_goes_on() {
    let clock = ManualClock::at(NOON_MS);
    clock.advance(5_000);
    let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
    let mut alice = world.joins("alice").await;
    clock.advance(90_000);
    for _ in 0..3 {
        world.panics(&alice);
        while alice.link().next().await != Heard::Closed {}
        if alice.dials().await.is_err() {
            break;
        }
        alice.attaches().await;
    }
    let before_ns = world.server.node.now_ns();
    let world = world.goes_over().await;
    assert_eq!(world.server.node.now_ns(), before_ns);
    let refused = Link::dial(&world.join, &alice.link_key).await.map(drop).unwrap_err();
    assert!(matches!(refused, NoLink::Refused(Refusal::Quarantined, _)), "{refused:?}");
    let account = alice.account();
    assert!(world.server.node.allow_list(account).is_ok());
    assert!(world.server.node.allow_rendezvous(Asker::Device(device(&alice))).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_during_a_backup() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let copying = Arc::clone(&world.server.node.copying).try_lock_owned().unwrap();
    let (wish, mut lines) = Wish::by_operator(None);
    let hears = async move { lines.recv().await };
    let origin = Origin::of_process().unwrap();
    let (upgraded, line) = tokio::join!(upgrade(world.server, wish, &origin), hears);
    let Some(Line::Failed(why)) = line else { panic!("{line:?}") };
    assert!(why.contains("a backup is under way") && why.contains("goes on as it was"), "{why}");
    drop(copying);
    let Ok(Upgraded::Back(server)) = upgraded else { panic!("nobody else serves") };
    alice.writes_to(&mut bob, "nothing happened").await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_links_of_a_device_the_newer_has_its_mailbox() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let (mut frozen, thawing) = world.freezes().await;
    // As if a second link had taken the mailbox while the first was data already.
    let record = frozen.sessions[0].record.clone();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(port.local_addr().unwrap()), port.accept());
    let (_far, stream) = (far.unwrap(), near.unwrap().0.into_std().unwrap());
    frozen.sessions.push(Frozen { ordinal: 9, stream: Carrier::System(stream), record });
    let world = thawing.thaws(frozen).await;
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::Displaced);
    let node = &world.server.node;
    while node.registry.live() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(node.registry.by_device(device(&alice)).is_some(), "the newer stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_while_it_was_data_is_told() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let (frozen, thawing) = world.freezes().await;
    // A server without sessions is here meanwhile, and Alice publishes a list without this device.
    let setup = frozen.setup.clone();
    let mut listen = setup.clone();
    listen.config.listen.set_port(0);
    let meanwhile = Server::start(listen).await.unwrap();
    let list = DeviceList {
        version: 2,
        signed: "another".into(),
        devices: vec![(DeviceNumber(2), [2; 32])],
    };
    let by = Publisher::Device(device(&alice));
    meanwhile.node.store.replace_list(by, list, super::first_keys(2)).await.unwrap();
    assert!(meanwhile.stop().await.is_normal());
    let _world = thawing.thaws(frozen).await;
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::DeviceRevoked);
}
