//! Registration, device lists, invites.

use bytes::Bytes;
use godwit_base::limits::{
    DEVICES_MAX, ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX, SIGNED_LIST_BYTES_MAX,
};
use godwit_base::{AccountId, DeviceId, DeviceNumber};

use super::Ground;
use super::world::{NOW_MS, World, block_on, first_keys, handle, link_key, list, registration};
use crate::{
    DeviceList, FirstKeys, INVITES_MAX, Invite, KeyUpload, ListError, Profile, Publisher,
    RegisterError, Registration, Standing, StoreError, Who,
};

fn register(world: &World<'_>, registration: &Registration) -> Result<(), RegisterError> {
    block_on(world.store().register(registration.clone()))
}

fn profile(world: &World<'_>, who: Who) -> Option<Profile> {
    block_on(world.store().profile(who)).unwrap()
}

/// All three ways in, also after a restart.
pub fn a_registration_is_found_by_handle_account_and_link_key(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let alice = world.person(1, 2);
    let expected = Profile {
        account: alice.account,
        handle: handle(1),
        account_key: [1; 32],
        list: list(1, 1, 1..=2),
    };
    for _ in 0..2 {
        for who in [Who::Handle(handle(1)), Who::Account(alice.account)] {
            assert_eq!(profile(&world, who).as_ref(), Some(&expected));
        }
        for number in [1, 2] {
            let standing = world.store().standing(&link_key(1, number));
            assert_eq!(standing, Standing::Device(alice.device(number)));
        }
        assert_eq!(world.store().standing(&link_key(1, 3)), Standing::Stranger);
        assert_eq!(profile(&world, Who::Handle(handle(2))), None);
        assert_eq!(profile(&world, Who::Account(AccountId(2))), None);
        world.reopen();
    }
}

/// The answer was lost, the client asks again.
pub fn the_same_registration_again_is_no_error(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let mut asked = registration(1, 1);
    asked.keys.one_time = vec![(1, Bytes::from("key"))];
    let device = world.person(1, 1).device(1);
    assert_eq!(register(&world, &asked), Ok(()));
    assert_eq!(world.store().one_time_left(device), 0, "changes nothing");
    world.reopen();
    assert_eq!(register(&world, &asked), Ok(()));
}

/// Each is somebody's, and a refusal leaves nothing behind.
pub fn handle_account_and_link_key_are_unique(ground: &mut dyn Ground) {
    let world = World::new(ground);
    world.person(1, 1);
    let other_handle = Registration { handle: handle(2), ..registration(1, 1) };
    assert_eq!(register(&world, &other_handle), Err(RegisterError::AccountTaken));
    let other_list = Registration { list: list(1, 2, [1]), ..registration(1, 1) };
    assert_eq!(register(&world, &other_list), Err(RegisterError::AccountTaken));
    let same_handle = Registration { handle: handle(1), ..registration(2, 1) };
    assert_eq!(register(&world, &same_handle), Err(RegisterError::HandleTaken));
    let same_link = Registration { list: list(1, 1, [1]), ..registration(2, 1) };
    assert_eq!(register(&world, &same_link), Err(RegisterError::LinkKeyTaken));
    assert_eq!(profile(&world, Who::Handle(handle(2))), None);
    assert_eq!(world.store().stats().accounts, 1);
    assert_eq!(register(&world, &registration(2, 1)), Ok(()));
}

fn invite(code: &str, uses_left: u32) -> Invite {
    Invite { code: code.into(), uses_left, expires_ms: NOW_MS + 1 }
}

fn invited(n: u8, code: Option<&str>) -> Registration {
    Registration { invite: code.map(Into::into), require_invite: true, ..registration(n, 1) }
}

/// One use is one account; repeats and refusals cost none.
pub fn an_invite_is_needed_valid_and_used_once(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    world.person(1, 1);
    block_on(world.store().put_invite(invite("two", 2))).unwrap();
    assert_eq!(register(&world, &invited(2, None)), Err(RegisterError::InviteRequired));
    assert_eq!(register(&world, &invited(2, Some("no"))), Err(RegisterError::InviteInvalid));
    let taken = Registration { handle: handle(1), ..invited(2, Some("two")) };
    assert_eq!(register(&world, &taken), Err(RegisterError::HandleTaken));
    let taken_without = Registration { handle: handle(1), ..invited(2, Some("no")) };
    let refusal = register(&world, &taken_without);
    assert_eq!(refusal, Err(RegisterError::InviteInvalid), "a stranger does not learn who is here");
    assert_eq!(register(&world, &invited(2, Some("two"))), Ok(()));
    assert_eq!(register(&world, &invited(2, Some("two"))), Ok(()));
    world.reopen();
    assert_eq!(register(&world, &invited(3, Some("two"))), Ok(()));
    assert_eq!(register(&world, &invited(4, Some("two"))), Err(RegisterError::InviteInvalid));
    assert_eq!(register(&world, &invited(2, Some("two"))), Ok(()), "registered before");
    let open = Registration { require_invite: false, ..invited(4, Some("no")) };
    assert_eq!(register(&world, &open), Ok(()), "not asked for, not looked at");
}

/// Good until, void from.
pub fn an_invite_expires_at_its_moment(ground: &mut dyn Ground) {
    let world = World::new(ground);
    block_on(world.store().put_invite(invite("short", 9))).unwrap();
    assert_eq!(register(&world, &invited(1, Some("short"))), Ok(()));
    world.setting.clock.advance(1);
    assert_eq!(register(&world, &invited(2, Some("short"))), Err(RegisterError::InviteInvalid));
}

/// The list of invites and its bound.
pub fn invites_are_listed_replaced_and_bounded(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let put = |world: &World<'_>, invite| block_on(world.store().put_invite(invite));
    put(&world, invite("b", 2)).unwrap();
    put(&world, invite("a", 1)).unwrap();
    put(&world, invite("b", 3)).unwrap();
    world.reopen();
    let listed = block_on(world.store().invites()).unwrap();
    assert_eq!(listed, [invite("a", 1), invite("b", 3)]);
    assert!(matches!(put(&world, invite("", 1)), Err(StoreError::Limit(_))));
    assert!(matches!(put(&world, invite(&"x".repeat(65), 1)), Err(StoreError::Limit(_))));
    put(&world, invite(&"x".repeat(64), 1)).unwrap();
    let answers: Vec<_> = (3..INVITES_MAX)
        .map(|n| world.store().put_invite(invite(&format!("n{n}"), u32::from(n > 3))))
        .collect();
    answers.into_iter().for_each(|answer| block_on(answer).unwrap());
    assert_eq!(block_on(world.store().invites()).unwrap().len(), INVITES_MAX);
    put(&world, invite("one more takes the place of a void one", 1)).unwrap();
    let full = put(&world, invite("and this finds none", 1));
    assert_eq!(full, Err(StoreError::Limit("invites")));
    put(&world, invite("a", 5)).expect("replacing needs no place");
}

/// Each bound of a list and of an upload of keys, on both sides.
pub fn malformed_registrations_are_refused_at_each_bound(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let with_list = |list| Registration { list, ..registration(1, 1) };
    let most = u32::try_from(DEVICES_MAX).unwrap();
    let mut too_large = list(1, 1, [1]);
    too_large.signed = Bytes::from(vec![0; SIGNED_LIST_BYTES_MAX + 1]);
    let mut doubled = list(1, 1, [1, 2]);
    doubled.devices[1].1 = doubled.devices[0].1;
    let lists = [
        list(1, 1, []),
        list(1, 1, [0, 1]),
        list(1, 1, [2, 1]),
        list(1, 1, [1, 1]),
        list(1, 1, [2]),
    ];
    for bad in lists.into_iter().chain([list(1, 1, 1..=most + 1), too_large.clone(), doubled]) {
        let refused = register(&world, &with_list(bad.clone()));
        assert_eq!(refused, Err(RegisterError::ListMalformed), "{bad:?}");
    }
    let with_keys = |count: usize, bytes: usize| {
        let mut asked = registration(1, 1);
        let key = Bytes::from(vec![0; bytes]);
        asked.keys.one_time = (0..count as u64).map(|id| (id, key.clone())).collect();
        asked
    };
    for bad in [with_keys(ONE_TIME_KEYS_MAX + 1, 1), with_keys(1, SIGNED_KEY_BYTES_MAX + 1)] {
        assert_eq!(register(&world, &bad), Err(RegisterError::KeyLimit));
    }
    let mut largest = with_keys(ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX);
    too_large.signed.truncate(SIGNED_LIST_BYTES_MAX);
    largest.list = list(1, 1, 1..=most);
    largest.list.signed = too_large.signed;
    assert_eq!(register(&world, &largest), Ok(()));
}

/// Mailbox, keys and link of a removed device go; the link key is remembered.
pub fn a_new_list_revokes_those_who_left(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 3));
    world.text(alice.device(1), 1, &bob);
    let keys = KeyUpload { one_time: vec![(1, Bytes::from("k"))], fallback: None };
    block_on(world.store().publish_keys(bob.device(2), keys)).unwrap();
    assert!(!world.store().is_removed(bob.device(2)));
    for _ in 0..2 {
        assert_eq!(world.lists(2, bob.device(1), 2, [1, 3, 4]), Ok(()));
        let standing = |number| world.store().standing(&link_key(2, number));
        assert_eq!(standing(1), Standing::Device(bob.device(1)));
        assert_eq!(standing(2), Standing::Revoked(bob.device(2)));
        assert_eq!(standing(4), Standing::Device(bob.device(4)));
        let removed = [1, 2, 3, 4, 5].map(|number| world.store().is_removed(bob.device(number)));
        assert_eq!(removed, [false, true, false, false, false]);
        assert!(world.mailbox(bob.device(2)).is_empty());
        assert_eq!(world.mailbox(bob.device(3)).len(), 1);
        assert_eq!(world.store().one_time_left(bob.device(2)), 0);
        let stored = profile(&world, Who::Account(bob.account)).unwrap().list;
        assert_eq!(stored, list(2, 2, [1, 3, 4]));
        assert_eq!(world.store().stats().devices, 4);
        assert_eq!(world.removed(), [bob.device(2)], "told once, whoever repeats the list");
        world.reopen();
    }
    let mut reused = registration(3, 1);
    reused.list.devices[0].1 = link_key(2, 2);
    let refused = register(&world, &reused);
    assert_eq!(refused, Err(RegisterError::LinkKeyTaken), "a revoked key is never accepted again");
}

/// Each version after the one before it; numbers and keys are not used again.
pub fn lists_go_forward_one_by_one(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let bob = world.person(2, 2);
    world.person(3, 1);
    let by = bob.device(1);
    let replace = |world: &World<'_>, new: DeviceList| {
        let keys = first_keys(&new);
        block_on(world.store().replace_list(Publisher::Device(by), new, keys))
    };
    assert_eq!(world.lists(2, by, 1, [1]), Err(ListError::Stale));
    assert_eq!(world.lists(2, by, 3, [1]), Err(ListError::NotNext));
    assert_eq!(world.lists(2, by, u64::MAX, [1]), Err(ListError::NotNext));
    assert_eq!(world.lists(2, by, 2, []), Err(ListError::ListMalformed));
    assert_eq!(world.lists(2, by, 2, [1, 3]), Ok(()));
    world.reopen();
    assert_eq!(world.lists(2, by, 3, [1, 2]), Err(ListError::NumberReused));
    assert_eq!(world.lists(2, by, 1, [1, 2]), Err(ListError::Stale));
    let mut signed_anew = list(2, 2, [1, 3]);
    signed_anew.signed = Bytes::from("another second list");
    assert_eq!(replace(&world, signed_anew.clone()), Err(ListError::Stale));
    signed_anew.version = 3;
    let mut changed = list(2, 3, [1, 3]);
    changed.devices[0].1 = [9; 32];
    assert_eq!(replace(&world, changed), Err(ListError::LinkKeyTaken));
    let mut stolen = list(2, 3, [1, 4]);
    stolen.devices[1] = (DeviceNumber(4), link_key(3, 1));
    assert_eq!(replace(&world, stolen), Err(ListError::LinkKeyTaken));
    assert_eq!(profile(&world, Who::Account(bob.account)).unwrap().list, list(2, 2, [1, 3]));
    assert_eq!(replace(&world, signed_anew.clone()), Ok(()), "the same devices, signed anew");
    assert_eq!(profile(&world, Who::Account(bob.account)).unwrap().list, signed_anew);
    assert_eq!(world.lists(2, by, 2, [1, 3]), Err(ListError::Stale), "the one before it");
}

/// Any device of the account may bring a list, and nobody else.
pub fn a_list_comes_from_a_device_that_is_listed(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 3));
    assert_eq!(world.lists(2, bob.device(4), 2, [1, 3]), Err(ListError::NotListed));
    assert_eq!(world.lists(2, bob.device(3), 2, [1, 3]), Ok(()));
    let removed = bob.device(2);
    assert_eq!(world.lists(2, removed, 2, [1, 3]), Err(ListError::NotListed), "nor repeat it");
    assert_eq!(world.lists(2, removed, 3, [1, 2, 3]), Err(ListError::NotListed));
    let nobody = DeviceId::new(77, 1);
    assert_eq!(world.lists(7, nobody, 2, [1]), Err(ListError::UnknownAccount));
    // Whoever names its own account changes its own alone.
    assert_eq!(world.lists(1, alice.device(1), 2, [1, 2]), Ok(()));
    world.reopen();
    assert_eq!(profile(&world, Who::Account(bob.account)).unwrap().list, list(2, 2, [1, 3]));
    assert_eq!(profile(&world, Who::Account(alice.account)).unwrap().list, list(1, 2, [1, 2]));
}

/// Who has the account's key needs no device of it: the new list holds the one that brings it.
pub fn an_owner_brings_the_next_list_with_a_new_device(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let bob = world.person(2, 2);
    let owner = Publisher::Owner(bob.device(3));
    let replace = |world: &World<'_>, list: DeviceList| {
        let keys = first_keys(&list);
        block_on(world.store().replace_list(owner, list, keys))
    };
    assert_eq!(replace(&world, list(2, 2, [1, 4])), Err(ListError::NotListed), "it is not on it");
    assert_eq!(replace(&world, list(2, 3, [3])), Err(ListError::NotNext));
    assert_eq!(replace(&world, list(2, 1, [3])), Err(ListError::Stale));
    assert_eq!(replace(&world, list(2, 2, [3])), Ok(()));
    for _ in 0..2 {
        assert_eq!(replace(&world, list(2, 2, [3])), Ok(()), "the answer was lost");
        let standing = |number| world.store().standing(&link_key(2, number));
        assert_eq!(standing(3), Standing::Device(bob.device(3)));
        assert_eq!(standing(1), Standing::Revoked(bob.device(1)));
        assert_eq!(standing(2), Standing::Revoked(bob.device(2)));
        world.reopen();
    }
    let nobody = Publisher::Owner(DeviceId::new(77, 1));
    let refused = block_on(world.store().replace_list(nobody, list(7, 2, [1]), Vec::new()));
    assert_eq!(refused, Err(ListError::UnknownAccount));
}

/// A device can be written to as soon as it is listed, whether or not it ever speaks.
pub fn a_device_comes_with_its_first_keys(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let bob = world.person(2, 1);
    let keys = |one_time: usize, fallback: Option<&'static str>| KeyUpload {
        one_time: (1..=one_time as u64).map(|id| (id, Bytes::from(format!("k{id}")))).collect(),
        fallback: fallback.map(Bytes::from),
    };
    let brings = |world: &World<'_>, first_keys: Vec<FirstKeys>| {
        let by = Publisher::Device(bob.device(1));
        block_on(world.store().replace_list(by, list(2, 2, [1, 2, 3]), first_keys))
    };
    let right = (DeviceNumber(2), keys(2, Some("fallback of 2")));
    let too_large = Bytes::from(vec![0; SIGNED_KEY_BYTES_MAX + 1]);
    for wrong in [
        keys(1, None),
        keys(ONE_TIME_KEYS_MAX + 1, Some("f")),
        KeyUpload { one_time: Vec::new(), fallback: Some(too_large) },
    ] {
        let refused = brings(&world, vec![right.clone(), (DeviceNumber(3), wrong)]);
        assert_eq!(refused, Err(ListError::KeysMissing));
    }
    assert_eq!(brings(&world, vec![right.clone()]), Err(ListError::KeysMissing), "none for 3");
    assert_eq!(profile(&world, Who::Account(bob.account)).unwrap().list, list(2, 1, [1]));
    // Keys for a device that was there before, or is nobody's, change nothing.
    let all = [
        right,
        (DeviceNumber(3), keys(ONE_TIME_KEYS_MAX, Some("fallback of 3"))),
        (DeviceNumber(1), keys(7, Some("x"))),
        (DeviceNumber(4), keys(1, Some("x"))),
    ];
    assert_eq!(brings(&world, all.to_vec()), Ok(()));
    let take = |world: &World<'_>, number| {
        let taken = block_on(world.store().take_keys(bob.device(number), true)).unwrap();
        [taken.one_time, taken.fallback].map(|key| String::from_utf8(key.unwrap().into()).unwrap())
    };
    assert_eq!(take(&world, 2), ["k1", "fallback of 2"]);
    world.reopen();
    assert_eq!(brings(&world, all.to_vec()), Ok(()), "the answer was lost");
    assert_eq!(take(&world, 2), ["k2", "fallback of 2"], "what was taken stays so (M9)");
    assert_eq!(take(&world, 3), ["k1", "fallback of 3"]);
    assert_eq!([2, 3].map(|number| world.store().one_time_left(bob.device(number))), [0, 99]);
    assert!(world.store().one_time_left(bob.device(1)) < 7);
    // The device itself uploads the same again, and more of its own.
    let left = block_on(world.store().publish_keys(bob.device(2), keys(5, Some("fallback of 2"))));
    assert_eq!(left, Ok(3));
}
