//! Groups at random: people join, leave and are removed, devices are linked and revoked, links break,
//! processes die, and all the while people write. Afterwards every member device of a message's epoch has
//! it once, in its sender's order, and all agree on who is in the group.

use std::collections::BTreeSet;
use std::ops::Range;

use godwit_base::{DeviceId, GroupId, Handle, Seq};
use godwit_client::core::GroupCommand;
use proptest::prelude::*;

use crate::replay::cases;
use crate::server::Entry;
use crate::world::{Newcomer, World, handle};

/// One thing that happens; numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    Say {
        at: usize,
    },
    /// Somebody looks at the chat.
    Read {
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
    /// An admin gives the group another name, or picture, or says who may write.
    Rename {
        by: usize,
        to: u16,
    },
    Picture {
        by: usize,
        to: u8,
    },
    OnlyAdmins {
        by: usize,
        on: bool,
    },
    /// The main device of somebody takes another one off the list.
    Revoke {
        at: usize,
    },
    /// The same, while so many bytes of what that says have come to the server.
    RevokeSpeaking {
        at: usize,
        most: usize,
    },
    /// Somebody links another device.
    Link {
        at: usize,
    },
    /// What waits in a mailbox changes places.
    Reorder {
        at: usize,
        chance: u64,
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
        4 => at().prop_map(|at| H::Read { at }),
        2 => (at(), at()).prop_map(|(by, who)| H::Add { by, who }),
        2 => (at(), at()).prop_map(|(by, who)| H::Remove { by, who }),
        1 => at().prop_map(|at| H::Leave { at }),
        1 => (at(), at()).prop_map(|(by, who)| H::Promote { by, who }),
        1 => (at(), any::<u16>()).prop_map(|(by, to)| H::Rename { by, to }),
        1 => (at(), any::<u8>()).prop_map(|(by, to)| H::Picture { by, to }),
        1 => (at(), prop::bool::weighted(0.3)).prop_map(|(by, on)| H::OnlyAdmins { by, on }),
        1 => at().prop_map(|at| H::Revoke { at }),
        1 => (at(), 0_usize..2_000).prop_map(|(at, most)| H::RevokeSpeaking { at, most }),
        1 => at().prop_map(|at| H::Link { at }),
        3 => (at(), any::<u64>()).prop_map(|(at, chance)| H::Reorder { at, chance }),
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

/// Devices of one person, with those that were removed. All of them together may have a list of eight.
const DEVICES_EACH_MAX: usize = 6;

/// A world with one group, and what was said there.
pub(crate) struct Model {
    pub(crate) world: World,
    pub(crate) group: GroupId,
    people: Vec<Handle>,
    said: usize,
    newcomers: Vec<Newcomer>,
    /// Devices that were there when the group was made.
    pub(crate) first_devices: usize,
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
        let first_devices = world.devices.len();
        Self { world, group, people, said: 0, newcomers: Vec::new(), first_devices }
    }

    fn happen(&mut self, what: Happening) {
        use Happening as H;
        let count = self.world.devices.len();
        let at = |at: usize| at % count;
        let now = self.world.now();
        match what {
            H::Say { at: who } => self.say(at(who)),
            H::Read { at: who } => self.read(at(who)),
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
            H::Rename { by, to } => {
                self.change(at(by), GroupCommand::Rename(self.group, format!("name {to}")));
            }
            H::Picture { by, to } => {
                self.change(at(by), GroupCommand::Picture(self.group, vec![to; 99]));
            }
            H::OnlyAdmins { by, on } => {
                self.change(at(by), GroupCommand::OnlyAdminsWrite(self.group, on));
            }
            H::Revoke { at: who } => self.revoke(at(who)),
            H::RevokeSpeaking { at: who, most } => self.revoke_speaking(at(who), most),
            H::Link { at: who } => self.link(at(who)),
            H::Reorder { at: who, chance } => self.reorder(at(who), chance),
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
        let text = format!("text {}", self.said);
        let group = self.group;
        let device = &mut self.world.devices[at];
        if device.core.is_none() {
            return;
        }
        let key = device.key();
        if let Ok(ids) = device.core().send(key, &group.into(), &[text], now) {
            self.said += ids.len();
        }
    }

    pub(crate) fn read(&mut self, at: usize) {
        let (now, group) = (self.world.now(), self.group);
        if let Some(core) = &mut self.world.devices[at].core {
            core.mark_read(&group.into(), now);
        }
    }

    fn change(&mut self, by: usize, command: GroupCommand) {
        if self.world.devices[by].core.is_some() {
            let _refused_or_not = self.world.devices[by].core().change_group(command);
        }
    }

    /// The device at `at` is taken off the list while what it says is on its way to the server.
    fn revoke_speaking(&mut self, at: usize, most: usize) {
        (0..3).for_each(|_| self.say(at));
        let now = self.world.now();
        if self.world.devices[at].core.is_some() {
            self.world.devices[at].flush(now);
            self.world.devices[at].commit(false);
            self.world.obey(at);
        }
        self.world.carry_up(at, most);
        self.revoke(at);
        let main = self.world.main_of(at);
        if self.world.devices[main].core.is_some() {
            self.world.step(main);
        }
    }

    fn revoke(&mut self, at: usize) {
        let main = self.world.main_of(at);
        if main == at || self.world.devices[main].core.is_none() {
            return;
        }
        let (number, now) = (self.world.devices[at].id().number, self.world.now());
        let _busy_or_gone = self.world.devices[main].core().remove_device(number, now);
    }

    /// The account of the device at `at` is about to have another one.
    fn link(&mut self, at: usize) {
        let main = self.world.main_of(at);
        let of = &self.world.devices[main].handle;
        let count = self.world.devices.iter().filter(|device| device.handle == *of).count();
        if count >= DEVICES_EACH_MAX || self.world.devices[main].core.is_none() {
            return;
        }
        if let Some(newcomer) = self.world.offers(main) {
            // One before it whose offer died with its process is not coming.
            self.newcomers.retain(|other| other.handle != newcomer.handle);
            self.newcomers.push(newcomer);
        }
    }

    fn let_in(&mut self) {
        let waiting = std::mem::take(&mut self.newcomers).into_iter();
        self.newcomers = waiting.filter_map(|newcomer| self.world.begins(newcomer)).collect();
    }

    /// The server mixes up what lies in a mailbox, and its device comes for it anew. What one device said
    /// keeps its order, but for sender keys: a post that comes before its key waits for it.
    fn reorder(&mut self, at: usize, chance: u64) {
        self.world.cut(at);
        let said: BTreeSet<(DeviceId, u64)> =
            self.world.server.said.iter().map(|said| (said.from, said.counter)).collect();
        let is_key = |entry: &Entry| matches!(entry, Entry::Message { from, counter, .. } if !said.contains(&(*from, *counter)));
        let is_post = |entry: &Entry| matches!(entry, Entry::Post { .. });
        let may_pass = |(_, first): &(Seq, Entry), (_, second): &(Seq, Entry)| {
            first.sender().is_none()
                || first.sender() != second.sender()
                || (is_key(first) && is_post(second))
                || (is_post(first) && is_key(second))
        };
        let of = self.world.devices[at].id();
        self.world.server.reorder(of, chance, may_pass);
    }

    /// Lets everything come to rest.
    pub(crate) fn rest(&mut self) {
        self.world.server.mischief = Default::default();
        for _ in 0..5 {
            self.world.settle();
            self.let_in();
            self.world.pass(60_000);
        }
        self.world.settle();
    }
}

/// So many things that happen.
pub(crate) fn happenings(count: Range<usize>) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(), count)
}

pub(crate) fn run(people: usize, devices: usize, happenings: Vec<Happening>) {
    let mut model = Model::new(people, devices);
    for what in happenings {
        model.happen(what);
        model.let_in();
    }
    model.rest();
    model.check();
    model.check_reads();
    model.give_away();
}

#[test]
fn three_accounts_of_three_devices_in_a_group() {
    cases(4, 4, &happenings(100..400), |all| run(3, 3, all));
}

#[test]
fn twenty_people_with_two_devices_each() {
    cases(1, 1, &happenings(100..300), |all| run(20, 2, all));
}

#[test]
fn two_hundred_people() {
    cases(1, 1, &happenings(60..120), |all| run(200, 1, all));
}
