//! Groups at random: people join, leave and are removed, devices are linked and revoked, links break,
//! processes die, and all the while people write. Afterwards every member device of a message's epoch has
//! it once, in its sender's order, and all agree on who is in the group.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{DeviceId, GroupId, Handle, MessageId};
use godwit_client::core::GroupCommand;
use godwit_client::{ChatId, MessageState};
use proptest::prelude::*;

use crate::chaos::config;
use crate::world::{World, handle};

/// One thing that happens; numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Say {
        at: usize,
    },
    /// An admin adds, or removes, somebody.
    Add {
        by: usize,
        who: usize,
    },
    Remove {
        by: usize,
        who: usize,
    },
    Leave {
        at: usize,
    },
    Promote {
        by: usize,
        who: usize,
    },
    /// The main device of somebody takes another one off the list.
    Revoke {
        at: usize,
    },
    Step {
        at: usize,
    },
    Flush {
        at: usize,
    },
    Commit {
        at: usize,
    },
    Up {
        at: usize,
        most: usize,
    },
    Down {
        at: usize,
        most: usize,
    },
    Cut {
        at: usize,
    },
    Crash {
        at: usize,
        after_commit: bool,
    },
    Restart {
        at: usize,
    },
    Busy,
    Pass {
        ms: u64,
    },
    /// Everybody takes a step.
    All,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let at = any::<usize>;
    prop_oneof![
        14 => at().prop_map(|at| H::Say { at }),
        2 => (at(), at()).prop_map(|(by, who)| H::Add { by, who }),
        2 => (at(), at()).prop_map(|(by, who)| H::Remove { by, who }),
        1 => at().prop_map(|at| H::Leave { at }),
        1 => (at(), at()).prop_map(|(by, who)| H::Promote { by, who }),
        1 => at().prop_map(|at| H::Revoke { at }),
        16 => at().prop_map(|at| H::Step { at }),
        5 => at().prop_map(|at| H::Flush { at }),
        5 => at().prop_map(|at| H::Commit { at }),
        5 => (at(), 1_usize..900).prop_map(|(at, most)| H::Up { at, most }),
        5 => (at(), 1_usize..900).prop_map(|(at, most)| H::Down { at, most }),
        3 => at().prop_map(|at| H::Cut { at }),
        4 => (at(), any::<bool>()).prop_map(|(at, after_commit)| H::Crash { at, after_commit }),
        6 => at().prop_map(|at| H::Restart { at }),
        1 => Just(H::Busy),
        6 => (1_u64..3_000).prop_map(|ms| H::Pass { ms }),
        4 => Just(H::All),
    ]
}

/// A world with one group, and what was said there.
struct Model {
    world: World,
    group: GroupId,
    people: Vec<Handle>,
    said: Vec<MessageId>,
    revoked: BTreeSet<usize>,
}

impl Model {
    /// So many people with so many devices each, of whom the first has made a group of all.
    fn new(people: usize, devices: usize) -> Self {
        let names: Vec<String> = (0..people).map(|n| format!("p{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut world = World::with(&names);
        for _ in 1..devices {
            for name in &names {
                world.add_device(name);
            }
        }
        let group = world.creates(0, "Herons", &names[1..]);
        let people = names.iter().map(|name| handle(name)).collect();
        Self { world, group, people, said: Vec::new(), revoked: BTreeSet::new() }
    }

    fn happen(&mut self, what: Happening) {
        use Happening as H;
        let count = self.world.devices.len();
        let at = |at: usize| at % count;
        let now = self.world.now();
        match what {
            H::Say { at: who } => self.say(at(who)),
            H::Add { by, who } => {
                let who = self.people[who % self.people.len()].clone();
                self.change(at(by), GroupCommand::Add(self.group, vec![who]));
            }
            H::Remove { by, who } => {
                let who = self.people[who % self.people.len()].clone();
                self.change(at(by), GroupCommand::Remove(self.group, vec![who]));
            }
            H::Promote { by, who } => {
                let who = self.people[who % self.people.len()].clone();
                self.change(at(by), GroupCommand::Promote(self.group, vec![who]));
            }
            H::Leave { at: who } => self.change(at(who), GroupCommand::Leave(self.group)),
            H::Revoke { at: who } => self.revoke(at(who)),
            H::Step { at: who } if self.world.devices[at(who)].core.is_some() => {
                self.world.step(at(who));
            }
            H::Flush { at: who } => self.world.devices[at(who)].flush(now),
            H::Commit { at: who } if self.world.devices[at(who)].core.is_some() => {
                self.world.devices[at(who)].commit(false);
                self.world.obey(at(who));
            }
            H::Up { at: who, most } => self.world.carry_up(at(who), most),
            H::Down { at: who, most } => self.world.carry_down(at(who), most),
            H::Cut { at: who } => self.world.cut(at(who)),
            H::Crash { at: who, after_commit } => {
                if after_commit {
                    self.world.devices[at(who)].commit(true);
                }
                self.world.devices[at(who)].crash();
                self.world.obey(at(who));
            }
            H::Restart { at: who } if self.world.devices[at(who)].core.is_none() => {
                self.world.devices[at(who)].restart(now);
            }
            H::Busy => self.world.server.mischief.busy += 1,
            H::Pass { ms } => self.world.pass(ms),
            H::All => {
                for at in 0..count {
                    if self.world.devices[at].core.is_some() {
                        self.world.step(at);
                    }
                }
            }
            _ => {}
        }
    }

    /// Says the next number, if this device is there and may.
    fn say(&mut self, at: usize) {
        let now = self.world.now();
        let text = format!("{}", self.said.len());
        let group = self.group;
        let device = &mut self.world.devices[at];
        if device.core.is_none() {
            return;
        }
        let key = device.key();
        if let Ok(ids) = device.core().send(key, &group.into(), &[text], now) {
            self.said.extend(ids);
        }
    }

    fn change(&mut self, by: usize, command: GroupCommand) {
        if self.world.devices[by].core.is_some() {
            let _refused_or_not = self.world.devices[by].core().change_group(command);
        }
    }

    fn revoke(&mut self, at: usize) {
        let Some(main) = (0..self.people.len())
            .find(|main| self.world.devices[*main].handle == self.world.devices[at].handle)
        else {
            return;
        };
        if main == at || self.world.devices[main].core.is_none() {
            return;
        }
        let (number, now) = (self.world.devices[at].id().number, self.world.now());
        if self.world.devices[main].core().remove_device(number, now).is_ok() {
            self.revoked.insert(at);
        }
    }

    /// Lets everything come to rest.
    fn rest(&mut self) {
        self.world.server.mischief = Default::default();
        for _ in 0..5 {
            self.world.settle();
            self.world.pass(60_000);
        }
        self.world.settle();
    }

    fn texts(&self, at: usize) -> BTreeMap<MessageId, Option<String>> {
        let items = self.world.devices[at].history.items.values();
        let items = items.filter(|item| item.with == ChatId::Group(self.group));
        items.map(|item| (item.id, item.text.clone())).collect()
    }

    /// Each message that the server took is on every device that it was for, on no other, and in order.
    fn check(&mut self) {
        let index: BTreeMap<DeviceId, usize> =
            self.world.devices.iter().enumerate().map(|(at, device)| (device.id(), at)).collect();
        let texts: Vec<_> = (0..self.world.devices.len()).map(|at| self.texts(at)).collect();
        for (from, counter, devices) in self.world.server.audience.clone() {
            let sender = index[&from];
            // What a device says while it is removed is lost for those who hear of that first: a known gap.
            let is_certain = !self.revoked.contains(&sender);
            let history = &self.world.devices[sender].history;
            let travels_as = |id: MessageId| self.world.devices[sender].travels_as(id.counter);
            let own = history.items.values().filter(|item| item.id.device == from);
            let shown = own.into_iter().find(|item| travels_as(item.id) == counter);
            let Some(id) = shown.map(|item| item.id) else { continue };
            for (at, there) in texts.iter().enumerate() {
                let device = self.world.devices[at].id();
                let is_for = devices.contains(&device) || device == from;
                let has = there.get(&id);
                if is_for && is_certain && !self.revoked.contains(&at) {
                    assert!(has.is_some_and(Option::is_some), "device {at} lacks {id}: {has:?}");
                } else if !is_for {
                    assert_eq!(has, None, "device {at} has {id}, which is not for it");
                }
            }
        }
        for at in 0..self.world.devices.len() {
            self.check_order(at);
        }
        self.check_membership();
    }

    /// What one device said is shown in the order in which it said it.
    fn check_order(&self, at: usize) {
        let mut last: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let of_revoked: BTreeSet<DeviceId> =
            self.revoked.iter().map(|at| self.world.devices[*at].id()).collect();
        for item in self.world.devices[at].history.items.values() {
            if of_revoked.contains(&item.id.device) {
                continue;
            }
            let before = last.insert(item.id.device, item.id.counter);
            assert!(before < Some(item.id.counter), "device {at}: {} after {before:?}", item.id);
            assert!(item.text.is_some(), "device {at}: {} is {:?}", item.id, item.note);
        }
    }

    fn check_membership(&mut self) {
        let group = self.group;
        let logged = &self.world.server.groups[group.0.as_slice()];
        let epoch = logged.log.len() as u64;
        let members: BTreeSet<_> = logged.members.keys().copied().collect();
        for at in (0..self.world.devices.len()).filter(|at| !self.revoked.contains(at)) {
            let account = self.world.devices[at].id().account;
            if !members.contains(&account) {
                continue;
            }
            let seen = self.world.devices[at].core().group(group).unwrap();
            assert_eq!(seen.epoch, epoch, "device {at}");
            let there: BTreeSet<_> = seen.members.iter().map(|member| member.account).collect();
            assert_eq!(there, members, "device {at}");
            assert_eq!(seen.frozen, None, "device {at}");
        }
        for at in (0..self.world.devices.len()).filter(|at| !self.revoked.contains(at)) {
            for item in self.world.devices[at].history.items.values() {
                let is_own = item.id.device == self.world.devices[at].id();
                assert!(!is_own || item.state != MessageState::Pending, "{} is pending", item.id);
            }
        }
    }
}

fn run(people: usize, devices: usize, happenings: Vec<Happening>) {
    let mut model = Model::new(people, devices);
    happenings.into_iter().for_each(|what| model.happen(what));
    model.rest();
    model.check();
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn three_accounts_of_three_devices_in_a_group(
        happenings in prop::collection::vec(happening(), 100..400)
    ) {
        run(3, 3, happenings);
    }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn twenty_people_with_two_devices_each(
        happenings in prop::collection::vec(happening(), 100..300)
    ) {
        run(20, 2, happenings);
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn two_hundred_people(happenings in prop::collection::vec(happening(), 60..120)) {
        run(200, 1, happenings);
    }
}
