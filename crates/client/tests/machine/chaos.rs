//! Everything that can go wrong on the way, at random: losses, cuts, crashes, refusals, partial
//! reads. Afterwards every message was shown once and in order.

use godwit_base::Seq;
use godwit_client::{Act, Error, Event, MessageState};
use proptest::prelude::*;

use crate::replay::cases;
use crate::server::Entry;
use crate::world::{World, handle};

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    /// A device sends a text to another.
    Send {
        from: usize,
        to: usize,
    },
    /// The driver takes a whole step.
    Step(usize),
    /// Only the batch is taken.
    Flush(usize),
    /// Only the commit is made.
    Commit(usize),
    /// Some bytes move.
    Up(usize, usize),
    Down(usize, usize),
    /// The connection breaks.
    Cut(usize),
    /// The process dies, between commit and what follows it if there is a commit.
    Crash {
        at: usize,
        after_commit: bool,
    },
    Restart(usize),
    /// Somebody reacts to one of the messages that they have.
    React {
        at: usize,
        which: usize,
        sign: u8,
    },
    Read {
        at: usize,
        from: usize,
    },
    /// The server mixes up what waits for a device, as far as one millisecond and no chat goes.
    Reorder {
        at: usize,
        chance: u64,
    },
    Busy,
    FetchLimited,
    Pass(u64),
}

impl Happening {
    /// To whom it happens.
    const fn at(self) -> usize {
        match self {
            Self::Send { from: at, .. }
            | Self::Step(at)
            | Self::Flush(at)
            | Self::Commit(at)
            | Self::Up(at, _)
            | Self::Down(at, _)
            | Self::Cut(at)
            | Self::Crash { at, .. }
            | Self::Restart(at)
            | Self::React { at, .. }
            | Self::Read { at, .. }
            | Self::Reorder { at, .. } => at,
            Self::Busy | Self::FetchLimited | Self::Pass(_) => 0,
        }
    }
}

pub(crate) const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// Something that happens to one of so many devices: device `n` belongs to person `n % 3`.
pub(crate) fn happening(devices: usize) -> impl Strategy<Value = Happening> {
    let who = 0..devices;
    prop_oneof![
        12 => (who.clone(), who.clone()).prop_map(|(from, to)| Happening::Send { from, to }),
        20 => who.clone().prop_map(Happening::Step),
        6 => who.clone().prop_map(Happening::Flush),
        6 => who.clone().prop_map(Happening::Commit),
        6 => (who.clone(), 1_usize..600).prop_map(|(at, most)| Happening::Up(at, most)),
        6 => (who.clone(), 1_usize..600).prop_map(|(at, most)| Happening::Down(at, most)),
        3 => who.clone().prop_map(Happening::Cut),
        4 => (who.clone(), any::<bool>())
            .prop_map(|(at, after_commit)| Happening::Crash { at, after_commit }),
        6 => who.clone().prop_map(Happening::Restart),
        6 => (who.clone(), any::<usize>(), 0_u8..4)
            .prop_map(|(at, which, sign)| Happening::React { at, which, sign }),
        2 => (who.clone(), who.clone()).prop_map(|(at, from)| Happening::Read { at, from }),
        3 => (who, any::<u64>()).prop_map(|(at, chance)| Happening::Reorder { at, chance }),
        1 => Just(Happening::Busy),
        1 => Just(Happening::FetchLimited),
        8 => (1_u64..3_000).prop_map(Happening::Pass),
    ]
}

/// The person to whom a device belongs.
pub(crate) const fn owner(device: usize) -> usize {
    device % PEOPLE.len()
}

/// Does one thing; adds the text that was sent, if one was.
pub(crate) fn happen(world: &mut World, what: Happening, sent: &mut Vec<(usize, usize, String)>) {
    let now = world.now();
    if what.at() >= world.devices.len() {
        return; // that device is not there yet
    }
    match what {
        Happening::Send { from, to }
            if owner(from) != owner(to) && world.devices[from].core.is_some() =>
        {
            let text = format!("{}", sent.len());
            match world.devices[from].try_send(&handle(PEOPLE[owner(to)]), &text, now) {
                Ok(_) => sent.push((from, to, text)),
                Err(error) => world.only_as_removed(from, &error),
            }
        }
        Happening::Step(at) if world.devices[at].core.is_some() => world.step(at),
        Happening::Flush(at) => world.devices[at].flush(now),
        Happening::Commit(at) if world.devices[at].core.is_some() => {
            world.devices[at].commit(false);
            world.obey(at);
        }
        Happening::Up(at, most) => world.carry_up(at, most),
        Happening::Down(at, most) => world.carry_down(at, most),
        Happening::Cut(at) => world.cut(at),
        Happening::Crash { at, after_commit } => {
            if after_commit {
                world.devices[at].commit(true);
            }
            world.devices[at].crash();
            world.obey(at);
        }
        Happening::Restart(at) if world.devices[at].core.is_none() => {
            world.devices[at].restart(now);
        }
        Happening::React { at, which, sign } if world.devices[at].core.is_some() => {
            let items = &world.devices[at].history.items;
            let Some(item) = items.values().nth(which % items.len().max(1)).cloned() else {
                return;
            };
            let emoji = ["", "a", "b", "c"][usize::from(sign)].to_owned();
            let with = item.with.contact().unwrap();
            let act = Act::Reaction(emoji);
            if let Err(error) = world.devices[at].try_act(with, item.id, &act, now) {
                world.only_as_removed(at, &error);
            }
        }
        Happening::Read { at, from }
            if owner(at) != owner(from) && world.devices[at].core.is_some() =>
        {
            world.devices[at].core().mark_read(&handle(PEOPLE[owner(from)]).into(), now);
        }
        Happening::Reorder { at, chance } => {
            world.cut(at);
            let of = world.devices[at].id();
            // Of one account, and of our own, the order is what a tick or an answer is about.
            let may_pass = |(at, first): &(Seq, Entry), (then, second): &(Seq, Entry)| {
                let accounts = [first.account(), second.account(), Some(of.account)];
                let [first, second, own] = accounts;
                let are_others = first != own && second != own;
                at.unix_ms() == then.unix_ms() && first != second && are_others
            };
            world.server.reorder(of, chance, may_pass);
        }
        Happening::Busy => world.server.mischief.busy += 1,
        Happening::FetchLimited => world.server.mischief.fetch_limited += 1,
        Happening::Pass(ms) => world.pass(ms),
        _ => {}
    }
}

impl World {
    /// A device may not say it because it was removed from its account, and knows that.
    fn only_as_removed(&self, at: usize, error: &Error) {
        assert_eq!((error, self.is_revoked(at)), (&Error::Revoked, true), "device {at}");
    }
}

fn check(world: &mut World, sent: &[(usize, usize, String)]) {
    for (from, sender) in PEOPLE.iter().enumerate() {
        for to in (0..PEOPLE.len()).filter(|to| *to != from) {
            let stored: Vec<String> = world.devices[from]
                .history
                .items
                .values()
                .filter(|item| item.is_outgoing() && item.to == handle(PEOPLE[to]))
                .map(|item| item.text.clone().unwrap())
                .collect();
            // What was not committed when its process died was never sent; the rest, in order.
            let all: Vec<&String> =
                sent.iter().filter(|(f, t, _)| (*f, *t) == (from, to)).map(|(.., x)| x).collect();
            assert!(is_subsequence(&stored, &all), "{stored:?} of {all:?}");
            let received = world.devices[to].texts_from(&handle(sender));
            assert_eq!(received, stored, "{sender} to {}", PEOPLE[to]);
        }
        for item in world.devices[from].history.items.values() {
            let with = PEOPLE.iter().position(|name| item.with == handle(name)).unwrap();
            let there = world.devices[with].history.get(item.id).unwrap();
            assert_eq!(there.details.reactions, item.details.reactions, "{}", item.id);
        }
        for item in world.devices[from].history.items.values().filter(|i| i.is_outgoing()) {
            let arrived = matches!(item.state, MessageState::Delivered | MessageState::Read);
            assert!(arrived, "{} is {}", item.id, item.state);
        }
        let warned = world.devices[from].told.iter().find(|e| matches!(e, Event::Warning { .. }));
        assert_eq!(warned, None);
    }
}

fn is_subsequence(part: &[String], whole: &[&String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|text| whole.any(|other| *other == text))
}

/// What happens to three people with one device each.
pub(crate) fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(PEOPLE.len()), 50..400)
}

pub(crate) fn run(happenings: Vec<Happening>) {
    let mut world = World::with(&PEOPLE);
    let mut sent = Vec::new();
    for what in happenings {
        happen(&mut world, what, &mut sent);
    }
    world.server.mischief = Default::default();
    for _ in 0..5 {
        world.settle();
        world.pass(60_000); // whatever back-off there is, it ends
    }
    world.settle();
    check(&mut world, &sent);
}

#[test]
#[allow(clippy::redundant_closure, reason = "its name says which test it is")]
fn every_message_is_shown_once_and_in_order() {
    cases(8, 40, &happenings(), |all| run(all));
}
