//! One-time keys and fallback keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use godwit_base::DeviceId;
use godwit_base::limits::{ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX};

use super::Ground;
use super::world::{World, block_on};
use crate::{KeyUpload, KeysError, TakenKeys};

fn upload(ids: impl IntoIterator<Item = u64>) -> KeyUpload {
    let key = |id: u64| (id, Bytes::from(format!("key {id}")));
    KeyUpload { one_time: ids.into_iter().map(key).collect(), fallback: None }
}

fn fallback(key: &'static str) -> KeyUpload {
    KeyUpload { one_time: Vec::new(), fallback: Some(Bytes::from(key)) }
}

fn publish(world: &World<'_>, device: DeviceId, keys: KeyUpload) -> Result<u32, KeysError> {
    block_on(world.store().publish_keys(device, keys))
}

fn take(world: &World<'_>, device: DeviceId) -> Option<Bytes> {
    block_on(world.store().take_keys(device, true)).unwrap().one_time
}

/// M9, also across a restart.
pub fn each_one_time_key_is_taken_once_oldest_first(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (bob, carol) = (world.person(2, 2).device(1), world.person(3, 1).device(1));
    assert_eq!(publish(&world, bob, upload([1, 2, 3])), Ok(3));
    assert_eq!(publish(&world, carol, upload([7])), Ok(1));
    assert_eq!(take(&world, bob), Some(Bytes::from("key 1")));
    assert_eq!(world.store().one_time_left(bob), 2);
    world.reopen();
    assert_eq!(world.store().one_time_left(bob), 2);
    assert_eq!(take(&world, bob), Some(Bytes::from("key 2")));
    assert_eq!(take(&world, bob), Some(Bytes::from("key 3")));
    assert_eq!(take(&world, bob), None);
    assert_eq!(world.store().one_time_left(bob), 0);
    assert_eq!(take(&world, carol), Some(Bytes::from("key 7")));
}

/// The answer to the upload was lost, a key was taken meanwhile, the upload comes again.
pub fn a_taken_key_never_comes_back(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let bob = world.person(2, 1).device(1);
    assert_eq!(publish(&world, bob, upload([1, 2])), Ok(2));
    assert_eq!(take(&world, bob), Some(Bytes::from("key 1")));
    assert_eq!(publish(&world, bob, upload([1, 2])), Ok(1));
    world.reopen();
    assert_eq!(publish(&world, bob, upload([1, 2, 3])), Ok(2));
    assert_eq!(take(&world, bob), Some(Bytes::from("key 2")));
    assert_eq!(take(&world, bob), Some(Bytes::from("key 3")));
    assert_eq!(publish(&world, bob, upload([1, 2, 3])), Ok(0));
    assert_eq!(take(&world, bob), None);
}

/// M9 with takers on several threads at once.
pub fn two_takers_never_get_one_key(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let bob = world.person(2, 1).device(1);
    publish(&world, bob, upload(0..100)).unwrap();
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let store = world.store_arc();
            std::thread::spawn(move || {
                let take = || block_on(Arc::clone(&store).take_keys(bob, true)).unwrap().one_time;
                std::iter::from_fn(take).collect::<Vec<_>>()
            })
        })
        .collect();
    let taken: Vec<_> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
    assert_eq!(taken.len(), 100);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 100);
}

/// A look at the fallback key costs nothing.
pub fn without_asking_no_one_time_key_is_taken(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let bob = world.person(2, 1).device(1);
    publish(&world, bob, upload([1])).unwrap();
    publish(&world, bob, fallback("f")).unwrap();
    for _ in 0..2 {
        let taken = block_on(world.store().take_keys(bob, false)).unwrap();
        assert_eq!(taken, TakenKeys { one_time: None, fallback: Some(Bytes::from("f")) });
    }
    assert_eq!(world.store().one_time_left(bob), 1);
}

/// Both sides of both bounds.
pub fn publishing_is_bounded_and_all_or_nothing(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let bob = world.person(2, 1).device(1);
    let most = ONE_TIME_KEYS_MAX as u64;
    assert_eq!(publish(&world, bob, upload(0..most + 1)), Err(KeysError::KeyLimit));
    assert_eq!(world.store().one_time_left(bob), 0);
    assert_eq!(publish(&world, bob, upload(0..most)), Ok(100));
    assert_eq!(publish(&world, bob, upload([most])), Err(KeysError::KeyLimit));
    assert_eq!(publish(&world, bob, upload(0..most)), Ok(100), "a repeat needs no room");
    take(&world, bob);
    assert_eq!(publish(&world, bob, upload([most, most + 1])), Err(KeysError::KeyLimit));
    assert_eq!(publish(&world, bob, upload([most])), Ok(100));
    take(&world, bob);
    let sized = |bytes| KeyUpload {
        one_time: vec![(500, Bytes::from(vec![0; bytes]))],
        fallback: Some(Bytes::from(vec![0; bytes])),
    };
    let too_large = publish(&world, bob, sized(SIGNED_KEY_BYTES_MAX + 1));
    assert_eq!(too_large, Err(KeysError::KeyLimit));
    assert_eq!(publish(&world, bob, sized(SIGNED_KEY_BYTES_MAX)), Ok(100));
}

/// Nothing said: kept. Said: replaced.
pub fn the_fallback_key_is_kept_or_replaced(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let bob = world.person(2, 1).device(1);
    let look = |world: &World<'_>| block_on(world.store().take_keys(bob, true)).unwrap().fallback;
    assert_eq!(look(&world), None);
    publish(&world, bob, fallback("old")).unwrap();
    publish(&world, bob, upload([1])).unwrap();
    assert_eq!(look(&world), Some(Bytes::from("old")));
    publish(&world, bob, fallback("new")).unwrap();
    world.reopen();
    assert_eq!(look(&world), Some(Bytes::from("new")));
}

/// Neither to publish for nor to take from.
pub fn an_unknown_device_has_no_keys(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let bob = world.person(2, 1);
    for device in [bob.device(2), DeviceId::new(77, 1)] {
        assert_eq!(publish(&world, device, upload([1])), Err(KeysError::UnknownDevice));
        let taken = block_on(world.store().take_keys(device, true));
        assert_eq!(taken, Err(KeysError::UnknownDevice));
        assert_eq!(world.store().one_time_left(device), 0);
    }
}
