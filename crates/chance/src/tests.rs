//! What a seed decides, and what it does not.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::seeded;

/// All chance that a thread can meet: the system's, that of a generator living in the thread, and the order
/// of hash maps.
fn drawn() -> ([u8; 40], u64, u64) {
    let mut bytes = [0; 40];
    assert!(getrandom::fill(&mut bytes).is_ok());
    (bytes, rand::random(), RandomState::new().hash_one(1))
}

#[test]
fn the_same_seed_gives_the_same() {
    assert_eq!(seeded(7, drawn).unwrap(), seeded(7, drawn).unwrap());
}

#[test]
fn another_seed_gives_others() {
    let (one, other) = (seeded(7, drawn).unwrap(), seeded(8, drawn).unwrap());
    assert_ne!(one.0, other.0);
    assert_ne!(one.1, other.1);
    assert_ne!(one.2, other.2);
}

#[test]
fn it_goes_on_and_on() {
    let (one, next) = seeded(7, || (drawn(), drawn())).unwrap();
    assert_ne!(one.0, next.0);
    assert_ne!(one.1, next.1);
}

#[test]
fn other_threads_have_the_systems() {
    let both = || seeded(7, || std::thread::scope(|scope| scope.spawn(drawn).join().unwrap()));
    assert_ne!(both().unwrap().0, both().unwrap().0);
    assert_ne!(drawn().0, drawn().0);
}

#[test]
fn a_panic_is_told() {
    let told = seeded(7, || panic!("told")).unwrap_err();
    assert_eq!(told.downcast_ref::<&str>(), Some(&"told"));
}
