//! What happened to a group is told when those it is about are known by name, and in order.

use godwit_base::GroupId;
use godwit_client::core::GroupCommand;
use godwit_client::{Event, GroupChange, GroupNews};

use crate::world::{World, handle};

impl World {
    /// The server does not tell the device at `at` who this is, for now.
    fn hides(&mut self, at: usize, who: &str) {
        let account = self.account(who);
        self.server.mischief.hides.insert((at, account));
    }

    /// All that a device was told to have happened to a group.
    fn news(&self, at: usize, group: GroupId) -> Vec<GroupNews> {
        let told = self.devices[at].told.iter().filter_map(|event| match event {
            Event::Group { group: id, news: Some(news) } if *id == group => Some(news.clone()),
            _ => None,
        });
        told.collect()
    }
}

/// Carol does not know bob, who renames the group first; what alice does after it waits too.
#[test]
fn each_of_two_that_wait_is_told_with_the_name_it_gave() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.hides(2, "bob");
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    world.commands(0, GroupCommand::Promote(group, vec![handle("bob")])).unwrap();
    world.commands(1, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    world.commands(0, GroupCommand::Rename(group, "Storks".to_owned())).unwrap();
    assert!(world.news(2, group).is_empty(), "they wait");
    world.server.mischief.hides.clear();
    world.settle();
    let named = |news: Vec<GroupNews>| -> Vec<(String, String)> {
        let named = news.into_iter().filter_map(|news| match news.changes.as_slice() {
            [GroupChange::Named(name)] => Some((news.by.handle?.to_string(), name.clone())),
            _ => None,
        });
        named.collect()
    };
    let expected = [("bob", "Egrets"), ("alice", "Storks")];
    let expected = expected.map(|(by, name)| (by.to_owned(), name.to_owned()));
    for at in [2, 0] {
        assert_eq!(named(world.news(at, group)), expected, "device {at}");
    }
}

/// Carol knows neither dave, who was there before her, nor bob, who comes after her.
#[test]
fn news_waits_for_the_names_in_it_and_for_no_other() {
    let mut world = World::with(&["alice", "bob", "carol", "dave"]);
    world.hides(2, "dave");
    world.hides(2, "bob");
    let group = world.creates(0, "Herons", &["dave"]);
    world.commands(0, GroupCommand::Add(group, vec![handle("carol")])).unwrap();
    world.commands(0, GroupCommand::Add(group, vec![handle("bob")])).unwrap();
    let added = |world: &World| -> Vec<String> {
        let all = world.news(2, group).into_iter().flat_map(|news| news.changes);
        let added = all.filter_map(|change| match change {
            GroupChange::Added(who) => Some(who.handle?.to_string()),
            _ => None,
        });
        added.collect()
    };
    assert_eq!(added(&world), ["carol"]);
    let bob = world.account("bob");
    world.server.mischief.hides.remove(&(2, bob));
    world.settle();
    assert_eq!(added(&world), ["carol", "bob"], "dave is not known yet");
}
