//! Membership logs: who may change them, in which order, and who reads them.

use bytes::Bytes;
use godwit_base::limits::{
    GROUP_ENTRY_BYTES_MAX, GROUP_LOG_BYTES_MAX, GROUP_LOG_ENTRIES_MAX, GROUP_MEMBERS_MAX,
    GROUPS_PER_ACCOUNT_MAX,
};
use godwit_base::{AccountId, DeviceId, GroupId};

use super::Ground;
use super::world::{Person, World, block_on, first_keys, texts};
use crate::{
    GroupChange, GroupError, GroupLog, GroupRoster, GroupSettings, LogRead, Publisher,
    Registration, Role,
};

pub(super) const GROUP: GroupId = GroupId([7; 16]);
pub(super) const ADMIN: Option<Role> = Some(Role::Admin);
pub(super) const MEMBER: Option<Role> = Some(Role::Member);
const HASH: [u8; 32] = [5; 32];

/// An entry that gives these people these roles.
pub(super) fn entry(epoch: u64, members: &[(&Person, Option<Role>)]) -> GroupChange {
    GroupChange {
        group: GROUP,
        epoch,
        signed: Bytes::from(format!("entry {epoch}")),
        members: members.iter().map(|(person, role)| (person.account, *role)).collect(),
        settings: None,
        shows: None,
    }
}

pub(super) fn change(
    world: &World<'_>,
    by: DeviceId,
    change: &GroupChange,
) -> Result<(), GroupError> {
    block_on(world.store().change_group(by, change.clone()))
}

/// A group of these people, the first of them its admin.
pub(super) fn group_of(world: &World<'_>, people: &[&Person]) {
    let roles: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(at, person)| (*person, if at == 0 { ADMIN } else { MEMBER }))
        .collect();
    change(world, people[0].device(1), &entry(1, &roles)).unwrap();
}

pub(super) fn roster(world: &World<'_>, by: &Person) -> Result<GroupRoster, GroupError> {
    block_on(world.store().group_roster(by.account, GROUP))
}

fn read(by: &Person, after: u64) -> LogRead {
    LogRead {
        by: by.account,
        group: GROUP,
        after,
        shows: None,
        max_entries: usize::MAX,
        max_bytes: usize::MAX,
    }
}

fn log(world: &World<'_>, by: &Person, after: u64) -> Result<GroupLog, GroupError> {
    block_on(world.store().group_log(read(by, after)))
}

fn entries(of: &[u64]) -> Vec<(u64, Bytes)> {
    of.iter().map(|epoch| (*epoch, Bytes::from(format!("entry {epoch}")))).collect()
}

fn link() -> Option<GroupSettings> {
    Some(GroupSettings { only_admins_write: false, invite_hash: Some(HASH) })
}

/// Also after a restart.
pub fn a_group_is_made_changed_and_read_by_its_members(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 2), world.person(3, 1));
    let stranger = world.person(4, 1);
    group_of(&world, &[&alice, &bob]);
    let settings = GroupSettings { only_admins_write: true, invite_hash: Some(HASH) };
    let second = GroupChange { settings: Some(settings), ..entry(2, &[(&carol, MEMBER)]) };
    change(&world, alice.device(1), &second).unwrap();
    change(&world, alice.device(1), &entry(3, &[(&bob, ADMIN)])).unwrap();
    for _ in 0..2 {
        let mut members = vec![
            (alice.account, Role::Admin, 1),
            (bob.account, Role::Admin, 1),
            (carol.account, Role::Member, 1),
        ];
        members.sort_by_key(|(account, _, _)| *account);
        let expected = GroupRoster { epoch: 3, devices_version: 0, members, settings };
        assert_eq!(roster(&world, &carol), Ok(expected));
        assert_eq!(roster(&world, &stranger), Err(GroupError::NotMember));
        let all = GroupLog { epoch: 3, entries: entries(&[1, 2, 3]) };
        assert_eq!(log(&world, &carol, 0), Ok(all));
        assert_eq!(log(&world, &bob, 2).unwrap().entries, entries(&[3]));
        assert_eq!(log(&world, &bob, 3).unwrap().entries, []);
        assert_eq!(log(&world, &bob, u64::MAX).unwrap().entries, []);
        assert_eq!(log(&world, &stranger, 0), Err(GroupError::NotMember));
        assert_eq!(world.store().group_size(GROUP), 3);
        assert_eq!(world.store().stats().groups, 1);
        block_on(world.store().verify()).unwrap();
        world.reopen();
    }
    assert_eq!(world.store().group_size(GroupId([8; 16])), 0);
}

/// The newest stands for all of them; who made the change knows it.
pub fn news_of_a_change_waits_once_in_each_mailbox(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 2), world.person(3, 1));
    group_of(&world, &[&alice, &bob]);
    let waiting = |device| texts(&world.mailbox(device));
    let at = |epoch: u64| vec![format!("{GROUP} is at {epoch}")];
    assert_eq!(waiting(alice.device(1)), Vec::<String>::new());
    for device in [alice.device(2), bob.device(1), bob.device(2)] {
        assert_eq!(waiting(device), at(1));
    }
    world.acknowledge_all(bob.device(1));
    change(&world, bob.device(1), &entry(2, &[(&bob, None)])).unwrap();
    assert_eq!(waiting(bob.device(1)), Vec::<String>::new());
    assert_eq!(waiting(bob.device(2)), at(2), "who leaves is told too");
    assert_eq!(waiting(alice.device(1)), at(2));
    change(&world, alice.device(2), &entry(3, &[(&carol, MEMBER)])).unwrap();
    assert_eq!(waiting(bob.device(2)), at(2), "what comes after is nothing of theirs");
    assert_eq!(waiting(carol.device(1)), at(3));
    assert_eq!(world.appended(alice.device(1)).len(), 2, "each is handed over");
}

/// Of those that it is in; and nobody is told whom another device of the account can tell.
pub fn who_recovers_an_account_is_told_of_its_groups(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (left, other) = (GroupId([8; 16]), GroupId([9; 16]));
    group_of(&world, &[&alice, &bob]);
    for group in [left, other] {
        let made = GroupChange { group, ..entry(1, &[(&alice, ADMIN), (&bob, MEMBER)]) };
        change(&world, alice.device(1), &made).unwrap();
    }
    let leaves = GroupChange { group: left, ..entry(2, &[(&bob, None)]) };
    change(&world, bob.device(1), &leaves).unwrap();
    assert_eq!(world.lists(2, bob.device(1), 2, [1, 2]), Ok(()));
    assert_eq!(texts(&world.mailbox(bob.device(2))), Vec::<String>::new());

    let next = world.list_of(2, 3, [3]);
    let keys = first_keys(&next);
    let owner = Publisher::Owner(bob.device(3));
    block_on(world.store().replace_list(owner, next, keys)).unwrap();
    let expected = vec![format!("{GROUP} is at 1"), format!("{other} is at 1")];
    for _ in 0..2 {
        assert_eq!(texts(&world.mailbox(bob.device(3))), expected);
        world.reopen();
    }
    change(&world, alice.device(1), &entry(2, &[])).unwrap();
    let expected = vec![format!("{other} is at 1"), format!("{GROUP} is at 2")];
    assert_eq!(texts(&world.mailbox(bob.device(3))), expected, "as any other news");
    block_on(world.store().verify()).unwrap();
}

/// Admins everything, members that they leave, and nobody else anything.
pub fn who_may_change_what(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let not_admin = entry(1, &[(&alice, MEMBER), (&bob, ADMIN)]);
    assert_eq!(change(&world, alice.device(1), &not_admin), Err(GroupError::Invalid));
    let without = entry(1, &[(&bob, ADMIN)]);
    assert_eq!(change(&world, alice.device(1), &without), Err(GroupError::Invalid));
    group_of(&world, &[&alice, &bob]);
    let by_bob = |it: &GroupChange| change(&world, bob.device(1), it);
    for (it, error) in [
        (entry(2, &[(&carol, MEMBER)]), GroupError::NotAdmin),
        (entry(2, &[(&alice, None)]), GroupError::NotAdmin),
        (entry(2, &[(&bob, ADMIN)]), GroupError::NotAdmin),
        (entry(2, &[]), GroupError::NotAdmin),
        (entry(2, &[(&bob, None), (&alice, None)]), GroupError::NotAdmin),
        (GroupChange { settings: link(), ..entry(2, &[(&bob, None)]) }, GroupError::NotAdmin),
    ] {
        assert_eq!(by_bob(&it), Err(error), "{it:?}");
    }
    let by_carol = entry(2, &[(&carol, MEMBER)]);
    assert_eq!(change(&world, carol.device(1), &by_carol), Err(GroupError::NotMember));
    let nobody = DeviceId::new(9, 9);
    assert_eq!(change(&world, nobody, &by_carol), Err(GroupError::NotListed));
    let alone = entry(2, &[(&alice, None)]);
    assert_eq!(
        change(&world, alice.device(1), &alone),
        Err(GroupError::Invalid),
        "the last admin names another first"
    );
    let heir = entry(2, &[(&alice, None), (&bob, ADMIN)]);
    assert_eq!(change(&world, alice.device(1), &heir), Ok(()));
    assert_eq!(by_bob(&entry(3, &[])), Ok(()), "another name, say");
    assert_eq!(by_bob(&entry(4, &[(&bob, None)])), Ok(()), "the last one may go");
}

/// Two admins at once: the store's one writer decides, and the other has to look.
pub fn changes_are_in_one_order_and_the_same_again_is_no_error(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let first = entry(1, &[(&alice, ADMIN), (&bob, ADMIN)]);
    let unborn = entry(2, &[(&alice, ADMIN)]);
    assert_eq!(change(&world, alice.device(1), &unborn), Err(GroupError::Unknown));
    assert_eq!(change(&world, alice.device(1), &first), Ok(()));
    assert_eq!(change(&world, alice.device(1), &first), Ok(()));
    let alices = entry(2, &[(&carol, MEMBER)]);
    let bobs = GroupChange { signed: "of bob".into(), ..entry(2, &[(&carol, ADMIN)]) };
    assert_eq!(change(&world, alice.device(1), &alices), Ok(()));
    assert_eq!(change(&world, bob.device(1), &bobs), Err(GroupError::Stale));
    assert_eq!(change(&world, bob.device(1), &alices), Err(GroupError::Stale), "not its author");
    let ahead = entry(4, &[(&carol, ADMIN)]);
    assert_eq!(change(&world, bob.device(1), &ahead), Err(GroupError::Stale));
    let last = entry(3, &[(&alice, None)]);
    assert_eq!(change(&world, alice.device(1), &last), Ok(()));
    world.reopen();
    for again in [&first, &alices, &last] {
        assert_eq!(change(&world, alice.device(1), again), Ok(()), "though she is gone");
    }
    assert_eq!(roster(&world, &bob).unwrap().epoch, 3);
    assert_eq!(roster(&world, &bob).unwrap().members.len(), 2);
}

/// Up to the entry that did it; all of it again once they are back.
pub fn who_left_reads_up_to_that_and_no_further(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    change(&world, alice.device(1), &entry(2, &[(&bob, None)])).unwrap();
    change(&world, alice.device(1), &entry(3, &[])).unwrap();
    world.reopen();
    let until = GroupLog { epoch: 2, entries: entries(&[1, 2]) };
    assert_eq!(log(&world, &bob, 0), Ok(until));
    assert_eq!(log(&world, &bob, 2), Ok(GroupLog { epoch: 2, entries: vec![] }));
    assert_eq!(roster(&world, &bob), Err(GroupError::NotMember));
    change(&world, alice.device(1), &entry(4, &[(&bob, MEMBER)])).unwrap();
    assert_eq!(log(&world, &bob, 2).unwrap().entries, entries(&[3, 4]));
    let nobody = entry(5, &[(&world.person(3, 1), None)]);
    assert_eq!(change(&world, alice.device(1), &nobody), Err(GroupError::Invalid));
}

/// Who shows the secret reads the log and comes in as a plain member; no more, and not by an old one.
pub fn a_link_lets_anybody_in_and_only_that(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice]);
    let shows = |hash, it: GroupChange| GroupChange { shows: Some(hash), ..it };
    let joins = |epoch| entry(epoch, &[(&bob, MEMBER)]);
    let by_bob = |it: &GroupChange| change(&world, bob.device(1), it);
    assert_eq!(by_bob(&shows(HASH, joins(2))), Err(GroupError::LinkInvalid), "there is none");
    let opened = GroupChange { settings: link(), ..entry(2, &[]) };
    change(&world, alice.device(1), &opened).unwrap();
    let reads = |hash| LogRead { shows: Some(hash), ..read(&bob, 0) };
    let seen = block_on(world.store().group_log(reads(HASH)));
    assert_eq!(seen, Ok(GroupLog { epoch: 2, entries: entries(&[1, 2]) }));
    let wrong = block_on(world.store().group_log(reads([6; 32])));
    assert_eq!(wrong, Err(GroupError::LinkInvalid));
    for (it, error) in [
        (joins(3), GroupError::NotMember),
        (shows([6; 32], joins(3)), GroupError::LinkInvalid),
        (shows(HASH, entry(3, &[(&bob, ADMIN)])), GroupError::NotAdmin),
        (shows(HASH, entry(3, &[(&bob, MEMBER), (&carol, MEMBER)])), GroupError::NotAdmin),
        (shows(HASH, entry(3, &[(&carol, MEMBER)])), GroupError::NotAdmin),
        (shows(HASH, GroupChange { settings: link(), ..joins(3) }), GroupError::NotAdmin),
    ] {
        assert_eq!(by_bob(&it), Err(error), "{it:?}");
    }
    assert_eq!(by_bob(&shows(HASH, joins(3))), Ok(()));
    let closed = GroupChange { settings: Some(GroupSettings::default()), ..entry(4, &[]) };
    change(&world, alice.device(1), &closed).unwrap();
    let late = shows(HASH, entry(5, &[(&carol, MEMBER)]));
    assert_eq!(change(&world, carol.device(1), &late), Err(GroupError::LinkInvalid));
}

/// Both sides of each bound of one change.
pub fn malformed_changes_are_refused_at_each_bound(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let by_alice = |it: &GroupChange| change(&world, alice.device(1), it);
    let signed = |bytes: usize| GroupChange {
        signed: Bytes::from(vec![1; bytes]),
        ..entry(1, &[(&alice, ADMIN)])
    };
    assert_eq!(by_alice(&signed(0)), Err(GroupError::Invalid));
    assert_eq!(by_alice(&signed(GROUP_ENTRY_BYTES_MAX + 1)), Err(GroupError::Invalid));
    assert_eq!(by_alice(&entry(0, &[(&alice, ADMIN)])), Err(GroupError::Invalid));
    let twice = entry(1, &[(&alice, ADMIN), (&bob, MEMBER), (&alice, MEMBER)]);
    assert_eq!(by_alice(&twice), Err(GroupError::Invalid));
    let mut unknown = entry(1, &[(&alice, ADMIN)]);
    unknown.members.push((AccountId(9), MEMBER));
    assert_eq!(by_alice(&unknown), Err(GroupError::Invalid));
    assert_eq!(by_alice(&signed(GROUP_ENTRY_BYTES_MAX)), Ok(()));
}

/// Both sides: members of a group, and groups of an account.
pub fn a_group_holds_so_many_and_an_account_is_in_so_many(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let people = crowd(&world, 0, GROUP_MEMBERS_MAX);
    let late = world.person(9, 1);
    let mut all = entry(1, &[(&people[0], ADMIN)]);
    all.members.extend(people[1..].iter().map(|person| (person.account, MEMBER)));
    change(&world, people[0].device(1), &all).unwrap();
    assert_eq!(world.store().group_size(GROUP) as usize, GROUP_MEMBERS_MAX);
    let one_more = entry(2, &[(&late, MEMBER)]);
    assert_eq!(change(&world, people[0].device(1), &one_more), Err(GroupError::Full));
    let instead = entry(2, &[(&late, MEMBER), (&people[1], None)]);
    assert_eq!(change(&world, people[0].device(1), &instead), Ok(()));

    let another = |n: usize| {
        let mut group = [1; 16];
        group[..8].copy_from_slice(&(n as u64).to_be_bytes());
        GroupChange { group: GroupId(group), ..entry(1, &[(&late, ADMIN)]) }
    };
    let made: Vec<_> = (1..GROUPS_PER_ACCOUNT_MAX)
        .map(|n| world.store().change_group(late.device(1), another(n)))
        .collect();
    made.into_iter().for_each(|made| block_on(made).unwrap());
    let over = another(GROUPS_PER_ACCOUNT_MAX);
    assert_eq!(change(&world, late.device(1), &over), Err(GroupError::TooManyGroups));
    let leaves = GroupChange { epoch: 2, ..another(1) };
    let leaves = GroupChange { members: vec![(late.account, None)], ..leaves };
    assert_eq!(change(&world, late.device(1), &leaves), Ok(()));
    assert_eq!(change(&world, late.device(1), &over), Ok(()));
}

/// So many people at once.
pub(super) fn crowd(world: &World<'_>, from: usize, count: usize) -> Vec<Person> {
    let one = |n: usize| {
        let mut registration: Registration = super::world::registration(1, 1);
        registration.account_key[..8].copy_from_slice(&(n as u64 + 1_000).to_be_bytes());
        registration.handle = format!("crowd{n}").parse().unwrap();
        registration.list.devices[0].1[..8].copy_from_slice(&(n as u64 + 1_000).to_be_bytes());
        let account = AccountId::of_key(&registration.account_key);
        (world.store().register(registration.clone()), account, registration.list)
    };
    let asked: Vec<_> = (from..from + count).map(one).collect();
    let person = |(answer, account, list): (crate::Answer<(), crate::RegisterError>, _, _)| {
        block_on(answer).unwrap();
        Person { account, list }
    };
    asked.into_iter().map(person).collect()
}

/// By entries, and by bytes.
pub fn a_full_log_lets_its_members_leave(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice, &bob]);
    let mut waiting = Vec::new();
    for epoch in 2..=GROUP_LOG_ENTRIES_MAX {
        waiting.push(world.store().change_group(alice.device(1), entry(epoch, &[])));
        if waiting.len() == 512 {
            waiting.drain(..).for_each(|answer| block_on(answer).unwrap());
        }
    }
    waiting.drain(..).for_each(|answer| block_on(answer).unwrap());
    let next = GROUP_LOG_ENTRIES_MAX + 1;
    let refused = change(&world, alice.device(1), &entry(next, &[(&carol, MEMBER)]));
    assert_eq!(refused, Err(GroupError::LogFull));
    assert_eq!(change(&world, bob.device(1), &entry(next, &[(&bob, None)])), Ok(()));

    let big = Bytes::from(vec![1; GROUP_ENTRY_BYTES_MAX]);
    let mut large = GroupChange { group: GroupId([9; 16]), signed: big, ..entry(1, &[]) };
    large.members = vec![(alice.account, ADMIN), (bob.account, MEMBER)];
    let whole = GROUP_LOG_BYTES_MAX / GROUP_ENTRY_BYTES_MAX as u64;
    for epoch in 1..=whole {
        large.epoch = epoch;
        change(&world, alice.device(1), &large).unwrap();
        large.members.clear();
    }
    large.epoch = whole + 1;
    assert_eq!(change(&world, alice.device(1), &large), Err(GroupError::LogFull));
    let room = GROUP_LOG_BYTES_MAX - whole * GROUP_ENTRY_BYTES_MAX as u64;
    large.signed = Bytes::from(vec![1; usize::try_from(room).unwrap()]);
    assert_eq!(change(&world, alice.device(1), &large), Ok(()));
    let leaves = |bytes: usize| GroupChange {
        group: GroupId([9; 16]),
        signed: Bytes::from(vec![1; bytes]),
        ..entry(whole + 2, &[(&bob, None)])
    };
    assert_eq!(change(&world, bob.device(1), &leaves(16 * 1024 + 1)), Err(GroupError::LogFull));
    assert_eq!(change(&world, bob.device(1), &leaves(16 * 1024)), Ok(()));
}

/// By entries and by bytes, and always one.
pub fn a_log_is_read_in_pages(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let alice = world.person(1, 1);
    group_of(&world, &[&alice]);
    (2..=5).for_each(|epoch| change(&world, alice.device(1), &entry(epoch, &[])).unwrap());
    let page = |after, max_entries, max_bytes| {
        let read = LogRead { max_entries, max_bytes, ..read(&alice, after) };
        let log = block_on(world.store().group_log(read)).unwrap();
        assert_eq!(log.epoch, 5);
        log.entries
    };
    assert_eq!(page(0, 2, 1_000), entries(&[1, 2]));
    assert_eq!(page(2, 0, 1_000), entries(&[3]));
    assert_eq!(page(2, 9, 14), entries(&[3, 4]), "7 bytes each");
    assert_eq!(page(2, 9, 13), entries(&[3]));
    assert_eq!(page(2, 9, 0), entries(&[3]));
}

/// Nothing is left of it, and nobody gets its id before.
pub fn an_ended_group_is_swept(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    change(&world, bob.device(1), &entry(2, &[(&bob, None)])).unwrap();
    change(&world, alice.device(1), &entry(3, &[(&alice, None)])).unwrap();
    for person in [&alice, &bob] {
        world.acknowledge_all(person.device(1));
    }
    world.reopen();
    assert_eq!(world.store().group_size(GROUP), 0);
    assert_eq!(log(&world, &bob, 0).unwrap().entries, entries(&[1, 2]), "until it is swept");
    let again = entry(1, &[(&bob, ADMIN)]);
    assert_eq!(change(&world, bob.device(1), &again), Err(GroupError::Unknown));
    block_on(world.store().sweep()).unwrap();
    assert_eq!(log(&world, &bob, 0), Err(GroupError::Unknown));
    block_on(world.store().verify()).unwrap();
    assert_eq!(change(&world, bob.device(1), &again), Ok(()));
}
