//! Files as the core sees them: rows, tickets, who has what. Their bytes are the driver's affair.

use godwit_base::BlobId;
use godwit_client::core::{FETCHED_MAX, SendKey, UPLOADS_MAX, Way};
use godwit_client::{ChatId, Context, Error, HistoryItem, Media, MediaInfo};
use godwit_seal::FileKey;
use godwit_wire::Refusal;

use crate::world::{World, handle};

fn media(number: u16) -> Media {
    let mut blob = [9; 32];
    blob[..2].copy_from_slice(&number.to_be_bytes());
    let info = MediaInfo { name: "photo.jpg".into(), bytes: 1_000, ..MediaInfo::default() };
    let key = FileKey::from_bytes(&[8; 32]);
    Media { blob: BlobId(blob), key, sealed_bytes: 1_052, info }
}

impl World {
    /// The driver of a device has sealed a file and asks for its ticket.
    fn uploads(&mut self, at: usize, to: &str, file: &Media) -> Result<SendKey, Error> {
        let (now, to) = (self.now(), ChatId::from(handle(to)));
        let device = &mut self.devices[at];
        let key = device.key();
        device.core().upload(key, &to, file, "look", &Context::default())?;
        device.core().want_ticket(file.blob, Way::Up, false, now);
        Ok(key)
    }

    /// The driver of a device has uploaded a file.
    fn uploaded(&mut self, at: usize, key: SendKey) {
        let now = self.now();
        self.devices[at].core().uploaded(key, now).unwrap();
    }

    /// Why a device got no ticket for its newest wish, or how long the file is.
    fn ticket(&mut self, at: usize) -> Option<Result<u64, Error>> {
        let ticket = self.devices[at].tickets.pop()?;
        Some(ticket.answer.map(|grant| grant.bytes))
    }

    fn files_of(&self, at: usize) -> Vec<&HistoryItem> {
        let items = self.devices[at].history.items.values();
        items.filter(|item| item.details.media.is_some()).collect()
    }
}

#[test]
fn a_message_goes_once_its_file_is_up_and_every_device_that_gets_it_is_counted() {
    let mut world = World::with(&["alice", "bob"]);
    let (main, bob) = (world.index("alice"), world.index("bob"));
    let (tablet, laptop) = (world.add_device("alice"), world.add_device("bob"));
    // Bob is a stranger until then: how many devices he has is learned first.
    let file = media(1);
    let key = world.uploads(main, "bob", &file).unwrap();
    world.settle();
    assert_eq!(world.ticket(main), Some(Ok(1_052)));
    let blob = file.blob.0.to_vec();
    assert_eq!(world.server.files[&blob].fetchers, 3, "two of bob's, and alice's other one");
    assert!(world.files_of(bob).is_empty(), "the message waits for its file");
    world.uploaded(main, key);
    world.uploaded(main, key);
    world.settle();
    for at in [main, tablet, bob, laptop] {
        let shown = world.files_of(at);
        assert_eq!(shown.len(), 1, "device {at}");
        assert_eq!(shown[0].text.as_deref(), Some("look"));
        assert_eq!(shown[0].details.media.as_deref(), Some(&file.info));
    }
    for at in [tablet, bob, laptop] {
        world.devices[at].core().has_fetched(file.blob);
    }
    world.settle();
    let filed = &world.server.files[&blob];
    assert_eq!(u32::try_from(filed.had_by.len()), Ok(filed.fetchers), "so it can go");
}

#[test]
fn what_waits_for_its_upload_outlives_a_crash_and_so_does_what_the_server_must_hear() {
    let mut world = World::with(&["alice", "bob"]);
    let (alice, bob) = (world.index("alice"), world.index("bob"));
    let file = media(1);
    let key = world.uploads(alice, "bob", &file).unwrap();
    world.settle();
    world.devices[alice].crash();
    world.settle();
    let waiting = world.devices[alice].core().uploads();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].key, waiting[0].blob, waiting[0].bytes), (key, file.blob, 1_052));
    world.uploaded(alice, key);
    world.settle();
    assert_eq!(world.files_of(bob).len(), 1);
    assert!(world.devices[alice].core().uploads().is_empty());
    // The same command once more, as after a take-over of the home.
    let again = ChatId::from(handle("bob"));
    world.devices[alice].core().upload(key, &again, &file, "", &Context::default()).unwrap();
    assert!(world.devices[alice].core().uploads().is_empty(), "it was sent");

    world.devices[bob].core().has_fetched(file.blob);
    world.drive(bob); // committed, and no more
    world.devices[bob].crash();
    world.settle();
    assert_eq!(world.server.files[&file.blob.0.to_vec()].had_by.len(), 1);
    assert!(!world.devices[bob].core().has_unsent(), "and it was confirmed");
}

#[test]
fn a_ticket_is_asked_for_again_where_that_helps_and_a_no_is_told() {
    let mut world = World::with(&["alice", "bob"]);
    let alice = world.index("alice");
    world.server.mischief.media_refused = vec![(Refusal::MediaQuota, 0), (Refusal::Busy, 60_000)];
    let key = world.uploads(alice, "bob", &media(1)).unwrap();
    world.settle();
    assert_eq!(world.ticket(alice), None, "the server asked to wait");
    world.pass(60_000);
    world.settle();
    let Some(Err(Error::Refused { code, .. })) = world.ticket(alice) else { panic!("no answer") };
    assert_eq!(code, Refusal::MediaQuota.number());
    world.devices[alice].core().give_up(key);
    let now = world.now();
    world.devices[alice].core().want_ticket(media(2).blob, Way::Down, false, now);
    world.settle();
    let Some(Err(Error::Refused { advice, .. })) = world.ticket(alice) else { panic!("no answer") };
    assert!(advice.contains("ask the sender"), "{advice}");
}

#[test]
fn nothing_is_uploaded_for_nobody() {
    let mut world = World::with(&["alice"]);
    let alice = world.index("alice");
    world.uploads(alice, "nobody", &media(1)).unwrap();
    world.settle();
    let answer = world.ticket(alice);
    assert!(matches!(answer, Some(Err(Error::NoAccount { .. }))), "{answer:?}");
    assert!(world.server.files.is_empty());
    let itself = world.uploads(alice, "alice", &media(2));
    assert_eq!(itself, Err(Error::ToYourself));
}

#[test]
fn both_sides_of_what_may_wait() {
    let mut world = World::with(&["alice", "bob"]);
    let alice = world.index("alice");
    for number in 0..u16::try_from(UPLOADS_MAX).unwrap() {
        world.uploads(alice, "bob", &media(number)).unwrap();
    }
    let one_more = world.uploads(alice, "bob", &media(u16::MAX));
    assert_eq!(one_more, Err(Error::TooManyFiles { max: UPLOADS_MAX }));

    let mut world = World::with(&["alice"]);
    world.cut(alice);
    for number in 0..=u16::try_from(FETCHED_MAX).unwrap() {
        world.devices[alice].core().has_fetched(media(number).blob);
        let blob = media(number).blob.0.to_vec();
        world.server.files.insert(blob, crate::server::Filed::default());
    }
    world.settle();
    let told = world.server.files.values().filter(|file| !file.had_by.is_empty()).count();
    assert_eq!(told, FETCHED_MAX);
}

/// No file waits for ever for a ticket that the server no longer gives.
#[test]
fn a_removed_device_is_told_that_its_files_do_not_go() {
    let mut world = World::with(&["alice", "bob"]);
    let tablet = world.add_device("alice");
    world.cut(tablet);
    world.uploads(tablet, "bob", &media(1)).unwrap();
    let (number, now) = (world.devices[tablet].id().number, world.now());
    world.device("alice").core().remove_device(number, now).unwrap();
    world.settle_without(tablet);
    world.settle();
    assert_eq!(world.ticket(tablet), Some(Err(Error::Revoked)));
    assert_eq!(world.uploads(tablet, "bob", &media(2)), Err(Error::Revoked));
    let now = world.now();
    world.devices[tablet].core().want_ticket(media(3).blob, Way::Down, false, now);
    world.settle();
    assert_eq!(world.ticket(tablet), Some(Err(Error::Revoked)));
}
