//! Communities: everybody of the groups is in the one that announces for them, and nobody else.

use godwit_base::GroupId;
use godwit_client::Error;
use godwit_client::core::{COMMUNITY_GROUPS_MAX, GroupCommand};

use crate::groups::names;
use crate::world::{World, handle};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// Alice has two groups, with bob and with carol, and a community of both.
fn community(world: &mut World) -> (GroupId, [GroupId; 2]) {
    let groups = [world.creates(0, "Herons", &["bob"]), world.creates(0, "Egrets", &["carol"])];
    let create = GroupCommand::CreateCommunity { name: "Waders".to_owned(), of: groups.to_vec() };
    let community = world.commands(0, create).unwrap().group;
    for group in groups {
        world.commands(0, GroupCommand::SetCommunity(group, Some(community))).unwrap();
    }
    (community, groups)
}

#[test]
fn everybody_of_its_groups_is_in_it_and_only_admins_write() {
    let mut world = World::with(&PEOPLE);
    let (community, groups) = community(&mut world);
    for at in 0..3 {
        let expected = ("Waders".to_owned(), 1, names(&["alice*", "bob", "carol"]));
        assert_eq!(world.summary(at, community), expected, "device {at}");
        assert!(world.sees(at, community).only_admins_write);
    }
    assert_eq!(world.sees(1, groups[0]).community, Some(community));
    assert_eq!(world.devices[1].core().group(groups[1]), None, "bob sees his group only");
}

#[test]
fn who_comes_to_a_group_comes_to_the_community_and_goes_with_the_last_one() {
    let mut world = World::with(&PEOPLE);
    let (community, [herons, egrets]) = community(&mut world);
    world.commands(0, GroupCommand::Promote(herons, vec![handle("bob")])).unwrap();
    // Bob has no say in the community: alice's device sees to it.
    world.commands(1, GroupCommand::Add(herons, vec![handle("dave")])).unwrap();
    assert_eq!(world.summary(3, community).2, names(&["alice*", "bob", "carol", "dave"]));
    assert_eq!(world.summary(3, community).0, "Waders", "with its name");

    world.commands(0, GroupCommand::Add(egrets, vec![handle("dave")])).unwrap();
    world.commands(1, GroupCommand::Remove(herons, vec![handle("dave")])).unwrap();
    assert_eq!(world.summary(0, community).2, names(&["alice*", "bob", "carol", "dave"]));
    world.commands(3, GroupCommand::Leave(egrets)).unwrap();
    assert_eq!(world.summary(0, community).2, names(&["alice*", "bob", "carol"]));
    assert!(!world.sees(3, community).is_member);
}

#[test]
fn what_a_device_had_to_do_when_it_ended_is_done_later_and_once_by_several_admins() {
    let mut world = World::with(&PEOPLE);
    let (community, [herons, egrets]) = community(&mut world);
    for group in [community, herons, egrets] {
        let known = if group == egrets { "carol" } else { "bob" };
        world.commands(0, GroupCommand::Promote(group, vec![handle(known)])).unwrap();
    }
    let before = world.sees(0, community).epoch;
    world.devices[0].crash();
    world.commands(2, GroupCommand::Add(egrets, vec![handle("erin")])).unwrap();
    world.settle();
    world.commands(1, GroupCommand::Add(herons, vec![handle("dave")])).unwrap();
    world.settle();
    let members = names(&["alice*", "bob*", "carol", "dave", "erin"]);
    for at in 0..5 {
        assert_eq!(world.summary(at, community).2, members, "device {at}");
    }
    assert!(world.sees(0, community).epoch - before <= 2, "one entry for each who came");
}

#[test]
fn a_group_that_is_taken_out_takes_along_who_is_in_no_other() {
    let mut world = World::with(&PEOPLE);
    let (community, [herons, egrets]) = community(&mut world);
    world.commands(0, GroupCommand::Add(egrets, vec![handle("bob")])).unwrap();
    world.commands(0, GroupCommand::SetCommunity(egrets, None)).unwrap();
    assert_eq!(world.summary(0, community).2, names(&["alice*", "bob"]));
    assert_eq!(world.summary(0, egrets).2, names(&["alice*", "bob", "carol"]));
    assert_eq!(world.sees(0, herons).community, Some(community));
}

#[test]
fn a_community_is_made_by_who_may_of_groups_that_are_free() {
    let mut world = World::with(&PEOPLE);
    let (community, [herons, egrets]) = community(&mut world);
    let create = |of: Vec<GroupId>| GroupCommand::CreateCommunity { name: "x".to_owned(), of };
    let refused = |outcome| matches!(outcome, Err(Error::Group(_)));
    assert!(refused(world.commands(0, create(vec![herons]))), "in one already");
    assert!(refused(world.commands(0, create(Vec::new()))));
    let other = world.creates(0, "x", &["bob"]);
    assert!(refused(world.commands(1, create(vec![other]))), "bob is no admin");
    assert!(world.commands(0, create(vec![other; COMMUNITY_GROUPS_MAX])).is_ok());
    assert!(refused(world.commands(0, create(vec![other; COMMUNITY_GROUPS_MAX + 1]))));
    // Nothing comes under a group that is no community, or under another's.
    assert!(refused(world.commands(0, GroupCommand::SetCommunity(other, Some(egrets)))));
    let bobs = world.creates(1, "x", &[]);
    assert!(refused(world.commands(1, GroupCommand::SetCommunity(bobs, Some(community)))));
    assert!(refused(world.commands(1, GroupCommand::Leave(community))), "he is in a group of it");
    world.commands(1, GroupCommand::Leave(herons)).unwrap();
    assert_eq!(world.summary(0, community).2, names(&["alice*", "carol"]));
}
