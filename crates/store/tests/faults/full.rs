//! A disk that fills up: submissions wait outside, everything that frees room goes on.

use bytes::Bytes;
use godwit_base::{DeviceNumber, GroupId};
use godwit_store::conformance::{World, block_on};
use godwit_store::{
    DeviceList, KeyUpload, KeysError, Outcome, PostRead, RegisterError, Registration, StoreError,
    Token,
};

use crate::Bench;

const GROUP: GroupId = GroupId([7; 16]);

/// Both sides of the reserve, and what goes on below it.
#[test]
fn below_the_reserve_only_what_frees_room_goes_on() {
    let mut bench = Bench::new();
    let (disk, reserve) = (bench.disk.clone(), bench.options.reserve_bytes);
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    disk.set(|faults| faults.available_bytes = reserve);
    world.text(from, 1, &bob);
    assert!(!world.store().stats().disk_full);

    disk.set(|faults| faults.available_bytes = reserve - 1);
    assert_eq!(world.send(from, 2, vec![bob.copies(from, "x")]), Outcome::DiskFull);
    let repeat = world.send(from, 1, vec![bob.copies(from, "x")]);
    assert!(matches!(repeat, Outcome::Repeated { .. }), "a repeat needs no room");
    let keys = KeyUpload { one_time: vec![(1, Bytes::from("k"))], fallback: None };
    let published = block_on(world.store().publish_keys(from, keys.clone()));
    assert_eq!(published, Err(KeysError::Store(StoreError::DiskFull)));
    let registered = block_on(world.store().register(carol()));
    assert_eq!(registered, Err(RegisterError::Store(StoreError::DiskFull)));
    let mark = PostRead { author: from, up_to: 1 };
    let reads =
        |world: &World<'_>| block_on(world.store().note_read(bob.account, GROUP, vec![mark]));
    assert_eq!(reads(&world), Err(StoreError::DiskFull));

    world.acknowledge_all(bob.device(1));
    assert_eq!(world.mailbox(from).len(), 1, "the receipt is filed");
    assert!(world.store().stats().disk_full);
    assert!(block_on(world.store().sweep()).is_ok());
    block_on(world.store().put_meta("key", Bytes::new())).unwrap();

    disk.heal();
    world.text(from, 2, &bob);
    assert_eq!(block_on(world.store().publish_keys(from, keys)), Ok(1));
    assert_eq!(block_on(world.store().register(carol())), Ok(()));
    assert_eq!(reads(&world), Ok(()));
    let stats = world.store().stats();
    assert!(!stats.disk_full);
    assert_eq!(stats.reopened, 0, "it never stopped");
}

fn carol() -> Registration {
    let devices = vec![(DeviceNumber(1), [33; 32])];
    Registration {
        account_key: [33; 32],
        handle: "carol".parse().unwrap(),
        invite: None,
        require_invite: false,
        list: DeviceList { version: 1, signed: Bytes::new(), devices },
        device: DeviceNumber(1),
        keys: KeyUpload::default(),
    }
}

/// The disk is full although there seemed to be room: the sender is told so, and it works again when
/// there is.
#[test]
fn a_write_that_finds_no_space_is_told_as_a_full_disk() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    disk.set(|faults| faults.no_space = true);
    for _ in 0..4 {
        assert_eq!(world.send(from, 2, vec![bob.copies(from, "x")]), Outcome::DiskFull);
        assert!(world.store().stats().disk_full, "although the free bytes say otherwise");
        assert_eq!(world.mailbox(bob.device(1)).len(), 1, "reads go on, also while writing pauses");
    }
    disk.heal();
    let outcome = loop {
        match world.send(from, 2, vec![bob.copies(from, "x")]) {
            Outcome::DiskFull => {}
            outcome => break outcome,
        }
    };
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    assert!(!world.store().stats().disk_full);
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
}

/// What a link had handed in behind a refused message does not slip past it when there is room again.
#[test]
fn order_is_kept_across_a_full_disk() {
    const LINK: Token = Token(u64::MAX);
    let mut bench = Bench::new();
    let (disk, reserve) = (bench.disk.clone(), bench.options.reserve_bytes);
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let mut decide = |counter| world.send_on(LINK, from, counter, vec![bob.copies(from, "x")]);
    disk.set(|faults| faults.available_bytes = reserve - 1);
    assert_eq!(decide(1), Outcome::DiskFull);
    disk.heal();
    assert_eq!(decide(2), Outcome::Unavailable, "1 has not come again");
    assert!(matches!(decide(1), Outcome::Accepted { .. }));
    assert!(matches!(decide(2), Outcome::Accepted { .. }));
}
