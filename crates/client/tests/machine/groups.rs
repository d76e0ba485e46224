//! Groups: who is in one, agreed by all devices, against a server that lies.

use godwit_base::{DeviceId, GroupId, GroupLink};
use godwit_client::core::{GroupCommand, GroupOutcome, PICTURE_BYTES_MAX};
use godwit_client::{Error, GroupInfo, WarningKind};

use crate::world::{World, handle};

impl World {
    /// Gives a command to the device at `at` and lets the world settle.
    pub(crate) fn commands(
        &mut self,
        at: usize,
        command: GroupCommand,
    ) -> Result<GroupOutcome, Error> {
        let number = self.devices[at].core().change_group(command)?;
        self.settle();
        self.devices[at].core().take_group_outcome(number).expect("an outcome")
    }

    pub(crate) fn creates(&mut self, at: usize, name: &str, with: &[&str]) -> GroupId {
        let with = with.iter().map(|name| handle(name)).collect();
        let command = GroupCommand::Create { name: name.to_owned(), with };
        self.commands(at, command).unwrap().group
    }

    pub(crate) fn sees(&mut self, at: usize, group: GroupId) -> GroupInfo {
        self.devices[at].core().group(group).expect("the group")
    }

    /// Name, epoch, and the members with a star behind admins, as a device sees them.
    pub(crate) fn summary(&mut self, at: usize, group: GroupId) -> (String, u64, Vec<String>) {
        let info = self.sees(at, group);
        let mut members: Vec<String> = info
            .members
            .iter()
            .map(|member| {
                let star = if member.admin { "*" } else { "" };
                format!("{}{star}", member.handle.as_ref().unwrap())
            })
            .collect();
        members.sort();
        (info.name.unwrap_or_default(), info.epoch, members)
    }
}

pub(crate) fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_member_sees_the_group_its_name_and_every_change() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    for at in 0..3 {
        let expected = ("Herons".to_owned(), 1, names(&["alice*", "bob", "carol"]));
        assert_eq!(world.summary(at, group), expected, "device {at}");
    }
    assert_eq!(world.devices[3].core().group(group), None);

    world.commands(0, GroupCommand::Add(group, vec![handle("dave")])).unwrap();
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    world.commands(1, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    for at in [0, 1, 3] {
        let expected = ("Herons".to_owned(), 4, names(&["alice*", "bob*", "dave"]));
        assert_eq!(world.summary(at, group), expected, "device {at}");
    }
    let carols = world.sees(2, group);
    assert!(!carols.is_member && carols.epoch == 4, "she was told");

    // The next name is sealed under a secret that carol never gets.
    world.commands(1, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    for at in [0, 1, 3] {
        assert_eq!(world.sees(at, group).name.as_deref(), Some("Egrets"), "device {at}");
    }
    assert_eq!(world.sees(2, group).name.as_deref(), Some("Herons"));
    for at in 0..4 {
        assert_eq!(world.sees(at, group).frozen, None, "device {at}");
    }
}

#[test]
fn a_picture_is_shown_to_members_and_bounded() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "Herons", &["bob"]);
    let largest = vec![7; PICTURE_BYTES_MAX];
    world.commands(0, GroupCommand::Picture(group, largest.clone())).unwrap();
    let seen = world.sees(1, group);
    assert_eq!((seen.name.as_deref(), seen.picture), (Some("Herons"), largest.clone()));
    let larger = GroupCommand::Picture(group, vec![7; PICTURE_BYTES_MAX + 1]);
    assert!(matches!(world.commands(0, larger), Err(Error::Group(_))));
    world.commands(0, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    assert_eq!(world.sees(1, group).picture, largest, "the name changes alone");
    world.commands(0, GroupCommand::Picture(group, Vec::new())).unwrap();
    let seen = world.sees(1, group);
    assert_eq!((seen.name.as_deref(), seen.picture), (Some("Egrets"), Vec::new()));
}

#[test]
fn the_last_admin_leaves_and_all_agree_on_the_next() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "x", &["bob", "carol"]);
    world.commands(0, GroupCommand::Leave(group)).unwrap();
    let (_, _, at_bob) = world.summary(1, group);
    assert_eq!(world.summary(2, group).2, at_bob);
    assert_eq!(at_bob.iter().filter(|name| name.ends_with('*')).count(), 1);
    assert!(!world.sees(0, group).is_member);
}

#[test]
fn a_link_lets_in_who_has_it() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "Herons", &["bob"]);
    let link = world.commands(0, GroupCommand::Invite(group)).unwrap().link.unwrap();
    assert_eq!(link.group, group);
    let mut wrong = link.clone();
    wrong.secret[0] ^= 1;
    assert!(world.commands(2, GroupCommand::Join(wrong)).is_err());
    world.commands(2, GroupCommand::Join(link.clone())).unwrap();
    for at in 0..3 {
        let expected = ("Herons".to_owned(), 3, names(&["alice*", "bob", "carol"]));
        assert_eq!(world.summary(at, group), expected, "device {at}");
    }
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    assert!(world.commands(2, GroupCommand::Join(link)).is_err(), "removed, and the link with her");
}

/// Alice put carol out, and her device still has the link by which carol came. Bob's is another one.
#[test]
fn who_was_put_out_comes_back_by_no_link_from_before() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    let group = world.creates(0, "Herons", &["bob"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    let invites = |world: &mut World, at| {
        world.commands(at, GroupCommand::Invite(group)).unwrap().link.unwrap()
    };
    let first = invites(&mut world, 0);
    world.commands(2, GroupCommand::Join(first.clone())).unwrap();
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    assert!(!world.sees(1, group).has_link, "nobody comes in by a link now");
    let stays_out = |world: &mut World, link: &GroupLink, when: &str| {
        let refused = world.commands(2, GroupCommand::Join(link.clone()));
        assert!(refused.is_err(), "{when}");
        assert_eq!(world.summary(0, group).2, names(&["alice*", "bob*"]), "{when}");
    };
    stays_out(&mut world, &first, "removed");
    // The name is sealed anew, because carol knows the secret: with a link of that device, if it is the present one.
    invites(&mut world, 1);
    world.commands(0, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    stays_out(&mut world, &first, "another's link, and another name");
    let own = invites(&mut world, 0);
    world.commands(3, GroupCommand::Join(own.clone())).unwrap();
    world.commands(3, GroupCommand::Leave(group)).unwrap();
    world.commands(0, GroupCommand::Rename(group, "Ibises".to_owned())).unwrap();
    stays_out(&mut world, &first, "a link of alice's again");
    world.commands(3, GroupCommand::Join(own)).unwrap();
    assert_eq!(world.summary(3, group), world.summary(0, group), "who left has the present link");
    assert_eq!(world.sees(3, group).name.as_deref(), Some("Ibises"));
    // Whom an admin wants back is added.
    world.commands(1, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
    assert_eq!(world.summary(2, group).2, names(&["alice*", "bob*", "carol", "dave"]));
}

#[test]
fn a_name_of_which_nothing_is_seen_is_refused_before_anything_is_asked() {
    let mut world = World::with(&["alice"]);
    let group = world.creates(0, "Herons", &[]);
    let requests = world.server.group_requests;
    for name in ["", " \t", "\u{200b}"].map(str::to_owned) {
        for command in [
            GroupCommand::Create { name: name.clone(), with: Vec::new() },
            GroupCommand::CreateCommunity { name: name.clone(), of: vec![group] },
            GroupCommand::Rename(group, name.clone()),
        ] {
            assert_eq!(world.devices[0].core().change_group(command), Err(Error::BlankName));
        }
    }
    world.settle();
    assert_eq!(world.server.group_requests, requests);
    assert_eq!(world.sees(0, group).name.as_deref(), Some("Herons"));
}

#[test]
fn so_many_changes_wait_and_the_next_is_refused_until_an_outcome_is_taken() {
    let mut world = World::with(&["alice"]);
    let create = || GroupCommand::Create { name: "x".to_owned(), with: Vec::new() };
    let core = world.devices[0].core();
    let numbers: Vec<u64> = (0..64).map(|_| core.change_group(create()).unwrap()).collect();
    assert_eq!(core.change_group(create()), Err(Error::GroupsBusy));
    world.settle();
    let core = world.devices[0].core();
    assert_eq!(core.change_group(create()), Err(Error::GroupsBusy), "nobody took an outcome");
    assert!(core.take_group_outcome(numbers[0]).is_some());
    assert!(core.change_group(create()).is_ok());
    assert_eq!(core.change_group(create()), Err(Error::GroupsBusy));
}

#[test]
fn who_may_not_is_told_so() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "x", &["bob"]);
    let adds = GroupCommand::Add(group, vec![handle("carol")]);
    assert!(matches!(world.commands(1, adds), Err(Error::Group(_))));
    let nobody = GroupCommand::Add(group, vec![handle("nobody")]);
    assert!(matches!(world.commands(0, nobody), Err(Error::NoAccount { .. })));
    let no_group = GroupCommand::Leave(GroupId([1; 16]));
    assert_eq!(world.commands(0, no_group), Err(Error::NoGroup(GroupId([1; 16]))));
    assert_eq!(world.summary(1, group).1, 1);
}

#[test]
fn two_admins_at_once_and_a_lost_answer_end_alike() {
    let mut world = World::with(&["alice", "bob", "carol", "dave", "erin"]);
    let group = world.creates(0, "x", &["bob"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    let by_alice = GroupCommand::Add(group, vec![handle("carol")]);
    let by_bob = GroupCommand::Add(group, vec![handle("dave")]);
    let first = world.devices[0].core().change_group(by_alice).unwrap();
    let second = world.devices[1].core().change_group(by_bob).unwrap();
    world.settle();
    assert!(world.devices[0].core().take_group_outcome(first).unwrap().is_ok());
    assert!(world.devices[1].core().take_group_outcome(second).unwrap().is_ok());
    let expected = names(&["alice*", "bob*", "carol", "dave"]);
    for at in 0..4 {
        assert_eq!(world.summary(at, group).2, expected, "device {at}");
    }

    // Stored, and the answer lost with the link: the same entry is offered again.
    world.server.mischief.unconfirmed = 1;
    let add = GroupCommand::Add(group, vec![handle("erin")]);
    let number = world.devices[0].core().change_group(add).unwrap();
    (0..3).for_each(|_| world.step(0));
    world.cut(0);
    world.settle();
    assert!(world.devices[0].core().take_group_outcome(number).unwrap().is_ok());
    assert_eq!(world.summary(4, group), world.summary(0, group));
}

#[test]
fn a_server_that_asks_to_wait_is_not_pressed() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "x", &[]);
    let before = world.server.group_requests;
    world.server.mischief.groups_limited = 2;
    world.commands(0, GroupCommand::Add(group, vec![handle("bob")])).unwrap();
    // Two refusals; then the change, and bob's question for the log.
    assert_eq!(world.server.group_requests - before, 4);
    assert_eq!(world.summary(1, group), world.summary(0, group));
}

#[test]
fn an_entry_that_keeps_being_overtaken_fails_in_the_end() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "x", &[]);
    world.server.mischief.stale = 3;
    let add = GroupCommand::Add(group, vec![handle("bob")]);
    assert!(world.commands(0, add).is_ok(), "three rounds");
    world.server.mischief.stale = 4;
    let remove = GroupCommand::Remove(group, vec![handle("bob")]);
    assert!(matches!(world.commands(0, remove), Err(Error::Refused { code: 66, .. })));
}

#[test]
fn a_device_that_was_away_or_killed_reads_the_log_and_agrees() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "x", &["bob"]);
    world.devices[1].crash();
    for _ in 0..5 {
        world.commands(0, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
        world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    }
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    world.settle();
    assert_eq!(world.summary(1, group), world.summary(0, group));
    assert_eq!(world.sees(1, group).epoch, 12);
    assert!(world.sees(1, group).only_admins_write);
    world.devices[1].crash();
    world.settle();
    assert_eq!(world.summary(1, group), world.summary(0, group), "from what was committed");
}

#[test]
fn another_device_of_a_member_has_the_group_too() {
    let mut world = World::with(&["alice", "bob"]);
    let other = world.add_device("alice");
    let group = world.creates(0, "Herons", &["bob"]);
    assert_eq!(world.summary(other, group), world.summary(0, group));
    world.commands(other, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    assert_eq!(world.summary(1, group).0, "Egrets");
}

/// What a server may show in place of the log.
fn shows(world: &mut World, group: GroupId, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut shown = world.server.groups[&group.0.to_vec()].clone();
    change(&mut shown.log);
    world.server.mischief.shows_log.insert(group.0.to_vec(), shown);
}

#[test]
fn a_ghost_in_the_servers_rows_is_nobody() {
    let mut world = World::with(&["alice", "bob", "mallory"]);
    let group = world.creates(0, "x", &["bob"]);
    let mallory = world.devices[2].core().device().account;
    let logged = world.server.groups.get_mut(group.0.as_slice()).unwrap();
    logged.members.insert(mallory, godwit_wire::v1::GroupRole::Admin);
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    for at in [0, 1] {
        assert_eq!(world.summary(at, group).2, names(&["alice*", "bob"]));
    }
}

#[test]
fn a_forked_log_freezes_the_group_and_its_healing_thaws_it() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "x", &["bob"]);
    // Another entry by alice for the same epoch, made in a copy of her home.
    let copied = world.devices[0].copy();
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    let other = world.server.groups[&group.0.to_vec()].log[1].clone();
    world.server.groups.get_mut(group.0.as_slice()).unwrap().log.pop();
    world.devices[0].put_back(copied);
    world.settle();
    world.commands(0, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
    // Bob has the first; the server goes on from the second.
    world.commands(0, GroupCommand::Promote(group, vec![handle("carol")])).unwrap();
    let frozen = world.sees(1, group).frozen;
    assert!(frozen.is_some());
    assert!(world.warnings("bob", WarningKind::Server) >= 1);
    let leaves = world.commands(1, GroupCommand::Leave(group));
    assert!(matches!(leaves, Err(Error::Group(_))), "{leaves:?}");
    let (key, now) = (world.devices[1].key(), world.now());
    let says = world.devices[1].core().send(key, &group.into(), &["hi".to_owned()], now);
    assert_eq!(says, Err(Error::Group(frozen.unwrap())));
    assert_ne!(other, world.server.groups[&group.0.to_vec()].log[1]);
}

#[test]
fn a_replayed_a_dropped_or_a_changed_entry_is_not_believed() {
    type Lie = fn(&mut Vec<Vec<u8>>);
    let lies: [Lie; 3] = [
        |log| log.insert(2, log[1].clone()),
        |log| drop(log.remove(1)),
        |log| *log[1].last_mut().unwrap() ^= 1,
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let mut world = World::with(&["alice", "bob", "carol"]);
        let group = world.creates(0, "x", &["bob"]);
        let before = world.summary(1, group);
        world.devices[1].crash();
        let at = world.index("alice");
        let number =
            world.devices[at].core().change_group(GroupCommand::OnlyAdminsWrite(group, true));
        (0..6).for_each(|_| world.step(at));
        assert!(world.devices[at].core().take_group_outcome(number.unwrap()).unwrap().is_ok());
        let number =
            world.devices[at].core().change_group(GroupCommand::OnlyAdminsWrite(group, false));
        (0..6).for_each(|_| world.step(at));
        assert!(world.devices[at].core().take_group_outcome(number.unwrap()).unwrap().is_ok());
        shows(&mut world, group, lie);
        world.settle();
        assert!(world.sees(1, group).frozen.is_some(), "lie {n}");
        assert!(world.warnings("bob", WarningKind::Server) >= 1, "lie {n}");
        assert_eq!(world.summary(1, group).2, before.2);

        // The right log again: bob goes on.
        world.server.mischief.shows_log.clear();
        world.commands(0, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
        assert_eq!(world.sees(1, group).frozen, None, "lie {n}");
        assert_eq!(world.summary(1, group), world.summary(0, group), "lie {n}");
    }
}

#[test]
fn a_log_that_ends_early_is_noticed() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "x", &["bob"]);
    shows(&mut world, group, |_| {});
    world.server.mischief.claims_epoch = Some(2);
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    assert!(world.sees(1, group).frozen.is_some());
    assert_eq!(world.sees(1, group).epoch, 1);
}

#[test]
fn a_first_entry_of_another_group_is_not_taken_for_this_one() {
    let mut world = World::with(&["alice", "bob"]);
    let other = world.creates(0, "other", &[]);
    let shown = world.server.groups[&other.0.to_vec()].clone();
    world.devices[1].crash();
    let create = GroupCommand::Create { name: "x".to_owned(), with: vec![handle("bob")] };
    let number = world.devices[0].core().change_group(create).unwrap();
    (0..6).for_each(|_| world.step(0));
    let group = world.devices[0].core().take_group_outcome(number).unwrap().unwrap().group;
    world.server.mischief.shows_log.insert(group.0.to_vec(), shown);
    world.settle();
    assert_eq!(world.devices[1].core().group(group), None);
    assert_eq!(world.devices[1].core().group(other), None);
    assert!(world.warnings("bob", WarningKind::Server) >= 1);
}

/// The server stores the entry, and its author is killed before it hears of that.
#[test]
fn an_entry_outlives_its_author() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let killed_after = |world: &mut World, command: GroupCommand| {
        world.server.mischief.unconfirmed = 1;
        world.devices[0].core().change_group(command).unwrap();
        (0..3).for_each(|_| world.step(0));
        assert_eq!(world.server.mischief.unconfirmed, 0, "the server has it");
        world.devices[0].crash();
        world.obey(0);
        world.settle();
    };
    let create = GroupCommand::Create { name: "Herons".to_owned(), with: vec![handle("bob")] };
    killed_after(&mut world, create);
    let group = GroupId(world.server.groups.keys().next().unwrap().as_slice().try_into().unwrap());
    let expected = ("Herons".to_owned(), 1, names(&["alice*", "bob"]));
    for at in [0, 1] {
        assert_eq!(world.summary(at, group), expected, "device {at}");
    }
    killed_after(&mut world, GroupCommand::Add(group, vec![handle("carol")]));
    let expected = ("Herons".to_owned(), 2, names(&["alice*", "bob", "carol"]));
    for at in 0..3 {
        assert_eq!(world.summary(at, group), expected, "device {at}");
    }
    // Sealed under a secret that nobody had but who was killed.
    killed_after(&mut world, GroupCommand::Remove(group, vec![handle("carol")]));
    killed_after(&mut world, GroupCommand::Rename(group, "Egrets".to_owned()));
    for at in [0, 1] {
        assert_eq!(world.sees(at, group).name.as_deref(), Some("Egrets"), "device {at}");
    }
    let link = world.commands(0, GroupCommand::Invite(group)).unwrap().link.unwrap();
    world.commands(2, GroupCommand::Join(link)).unwrap();
    assert_eq!(world.summary(2, group), world.summary(0, group));
    killed_after(&mut world, GroupCommand::Promote(group, vec![handle("bob")]));
    killed_after(&mut world, GroupCommand::Leave(group));
    assert!(!world.sees(0, group).is_member, "who left knows it");
    let requests = world.server.group_requests;
    world.devices[0].crash();
    world.settle();
    assert_eq!(world.server.group_requests, requests, "and nothing is offered any more");
}

/// Another's entry is first: what was offered is not made anew for somebody who is not there any more.
#[test]
fn an_entry_of_who_was_killed_gives_way_to_another() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    let group = world.creates(0, "x", &["bob"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    let add = GroupCommand::Add(group, vec![handle("carol")]);
    world.commands(0, add.clone()).unwrap();
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    world.devices[0].core().change_group(add).unwrap();
    world.drive(0);
    world.devices[0].crash();
    world.obey(0);
    let add = GroupCommand::Add(group, vec![handle("dave")]);
    let number = world.devices[1].core().change_group(add).unwrap();
    for _ in 0..6 {
        world.step(1);
    }
    assert!(world.devices[1].core().take_group_outcome(number).unwrap().is_ok());
    world.settle();
    for at in [0, 1, 3] {
        assert_eq!(world.summary(at, group).2, names(&["alice*", "bob*", "dave"]), "device {at}");
        assert_eq!(world.sees(at, group).frozen, None, "device {at}");
    }
    world.commands(0, GroupCommand::Rename(group, "y".to_owned())).unwrap();
    assert_eq!(world.summary(3, group), world.summary(0, group), "and alice goes on");
}

/// Alice renames the group while bob, device 1, is away; the server keeps the new secret from him.
fn renames_and_withholds(world: &mut World, group: GroupId, bob: DeviceId) -> crate::server::Entry {
    world.devices[1].crash();
    world.cut(1);
    world.devices[0].core().change_group(GroupCommand::Rename(group, "Egrets".into())).unwrap();
    for _ in 0..20 {
        world.pass(50);
        world.step(0);
    }
    world.server.withhold(bob)
}

/// Bob adds dave while the secret that the name is sealed under is still on its way to bob.
#[test]
fn who_adds_somebody_before_the_secret_comes_passes_it_on() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    let bob = world.devices[1].id();
    let share = renames_and_withholds(&mut world, group, bob);
    assert!(matches!(share, crate::server::Entry::Message { .. }), "news, and then the secret");
    world.settle();
    world.commands(1, GroupCommand::Add(group, vec![handle("dave")])).unwrap();
    assert_eq!((world.sees(1, group).name, world.sees(3, group).name), (None, None));
    world.devices[1].crash(); // what it owes is a row
    world.settle();
    world.commands(1, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    world.server.append(bob, share);
    world.settle();
    for at in [0, 1, 3] {
        assert_eq!(world.sees(at, group).name.as_deref(), Some("Egrets"), "device {at}");
    }
    assert_ne!(world.sees(2, group).name.as_deref(), Some("Egrets"), "who is gone again gets none");
}

/// The secret never comes: whoever names the group anew makes another.
#[test]
fn a_lost_secret_does_not_leave_a_group_without_a_name() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    let group = world.creates(0, "Herons", &["bob", "carol", "dave"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    let bob = world.devices[1].id();
    renames_and_withholds(&mut world, group, bob);
    world.settle();
    assert_eq!(world.sees(1, group).name, None);
    world.commands(1, GroupCommand::Rename(group, "Terns".to_owned())).unwrap();
    for at in [0, 1, 3] {
        assert_eq!(world.sees(at, group).name.as_deref(), Some("Terns"), "device {at}");
    }
}

/// Alice names the group by her other device, and that is gone before it has told bob of the secret.
#[test]
fn the_name_that_a_removed_device_gave_comes_from_who_removed_it() {
    let mut world = World::with(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    let other = world.add_device("alice");
    let group = world.creates(0, "Herons", &["bob", "carol", "dave", "erin", "frank"]);
    world.commands(0, GroupCommand::Remove(group, vec![handle("carol")])).unwrap();
    let others = [1, 3, 4, 5];
    for at in others.into_iter().chain([0]) {
        world.devices[at].crash();
        world.cut(at);
    }
    let number = world.devices[other].id().number;
    let rename = GroupCommand::Rename(group, "Egrets".to_owned());
    world.devices[other].core().change_group(rename).unwrap();
    for _ in 0..20 {
        world.pass(50);
        world.step(other);
    }
    let share = |world: &mut World, at: usize| {
        let to = world.devices[at].id();
        let entry = world.server.withhold(to);
        let crate::server::Entry::Message { counter, .. } = entry else { panic!("the secret") };
        (to, entry, counter)
    };
    let (to, entry, first) = share(&mut world, 0);
    for at in others {
        assert!(share(&mut world, at).2 > first, "our own devices are told first");
    }
    world.server.append(to, entry);
    world.settle();
    assert_eq!(world.sees(1, group).name, None);
    let now = world.now();
    world.devices[0].core().remove_device(number, now).unwrap();
    world.settle();
    for at in others.into_iter().chain([0]) {
        assert_eq!(world.sees(at, group).name.as_deref(), Some("Egrets"), "device {at}");
    }
    let sent = world.devices[0].core().next_message();
    world.devices[0].crash();
    world.settle();
    assert_eq!(world.devices[0].core().next_message(), sent, "once");
}

/// The list with the new device is adopted, and before the groups are told of, the link breaks and the main
/// device is killed.
#[test]
fn a_new_device_hears_of_the_groups_whatever_happens_to_the_main_one() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "Herons", &["bob"]);
    let newcomer = world.offers(0).unwrap();
    for _ in 0..6 {
        if world.server.lists.is_empty() {
            world.step(0);
        }
    }
    assert!(world.begins(newcomer).is_none());
    world.carry_down(0, usize::MAX);
    world.cut(0);
    world.drive(0);
    assert!(!world.devices[0].has_next_list(), "it is adopted, and nobody was told");
    world.devices[0].crash();
    world.obey(0);
    world.settle();
    assert_eq!(world.summary(2, group), world.summary(0, group));
}

/// Its main device does not have the secret of the group itself.
#[test]
fn a_new_device_hears_of_a_group_without_a_name() {
    let mut world = World::with(&["alice", "bob"]);
    let alice = world.devices[0].id();
    world.devices[0].crash();
    world.cut(0);
    let create = GroupCommand::Create { name: "Herons".to_owned(), with: vec![handle("alice")] };
    let number = world.devices[1].core().change_group(create).unwrap();
    for _ in 0..40 {
        world.pass(50);
        world.step(1);
    }
    let group = world.devices[1].core().take_group_outcome(number).unwrap().unwrap().group;
    let share = world.server.withhold(alice);
    world.settle();
    assert_eq!(world.sees(0, group).name, None);
    let other = world.add_device("alice");
    assert_eq!((world.sees(other, group).name, world.sees(other, group).epoch), (None, 1));
    world.server.append(alice, share);
    world.settle();
    assert_eq!(world.summary(other, group), world.summary(1, group), "its turn comes");
}

/// Somebody adds alice, and before she has read of that in the log she links another device, which the
/// server has told nothing.
#[test]
fn a_new_device_hears_of_a_group_that_its_main_device_is_about_to_learn_of() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(1, "Herons", &[]);
    let newcomer = world.offers(0).unwrap();
    world.drive(0);
    let add = GroupCommand::Add(group, vec![handle("alice")]);
    world.devices[1].core().change_group(add).unwrap();
    for _ in 0..40 {
        world.pass(50);
        world.step(1);
    }
    world.server.mischief.groups_limited = 2; // the log comes later than the list
    for _ in 0..6 {
        if world.server.lists.is_empty() {
            world.step(0);
        }
    }
    assert!(world.begins(newcomer).is_none());
    world.settle();
    assert_eq!(world.summary(2, group), world.summary(1, group));
}
