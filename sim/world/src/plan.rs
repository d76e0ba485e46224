//! What happens in a case: scenarios, and how a seed draws from them.

use fastrand::Rng;

use crate::disk::{End, Full};

/// A kind of case.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// How many people there are, at least and at most.
    pub people: (usize, usize),
    /// How many phones each has.
    pub phones: usize,
    /// How often, of a hundred, something is said to the group of all.
    pub group_percent: u8,
    /// How long it lasts until everything heals, seconds.
    pub seconds: u64,
    /// Messages that are sent in this time, at most, but for bursts.
    pub says: usize,
    /// Messages that are sent in one moment now and then, at most.
    pub burst: usize,
    /// Faults in this time, at most.
    pub faults: usize,
    /// Which faults, and how often beside each other.
    pub kinds: &'static [(Kind, u32)],
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection ends, for one side or both.
    Cut,
    /// Bytes of a connection vanish from now on, one way or both.
    Silence,
    /// A phone has no network for a while.
    Away,
    /// Bytes arrive changed, twice, or out of order.
    Garble,
    /// All connections end at once.
    Storm,
    /// A phone's process dies.
    PhoneDies,
    /// The server dies: now, or with one of the next steps of its disk.
    HouseDies,
    /// The server goes down in order, and another one comes.
    Drain,
    /// Another process takes the server's place.
    HandOver,
    /// A further phone is taken off its account.
    Remove,
    /// The disk is slow for a while.
    Slow,
    /// The disk is full for a while.
    FullDisk,
    /// A sync fails.
    BadSync,
    /// A wall clock jumps.
    Leap,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A phone sends a text to a person.
    Say {
        /// Which phone.
        phone: usize,
        /// To whom; none: to the group.
        to: Option<usize>,
    },
    /// A phone's user has read a chat.
    Read {
        /// Which phone.
        phone: usize,
        /// With whom.
        with: usize,
    },
    /// The connection of a phone ends.
    Cut {
        /// Which phone.
        phone: usize,
        /// It is told.
        phone_knows: bool,
        /// The server is told.
        house_knows: bool,
        /// What was under way to the server still arrives.
        rest_arrives: bool,
    },
    /// Bytes vanish.
    Silence {
        /// Of which phone.
        phone: usize,
        /// To the server.
        up: bool,
        /// To the phone.
        down: bool,
    },
    /// No network.
    Away {
        /// Which phone.
        phone: usize,
        /// For so long.
        ms: u64,
    },
    /// The next bytes arrive wrong.
    Garble {
        /// Of which phone.
        phone: usize,
        /// To the server, else to the phone.
        up: bool,
    },
    /// Everybody is cut.
    Storm,
    /// A phone's process ends and comes back.
    PhoneDies {
        /// Which.
        phone: usize,
        /// What was about to be committed is, and nothing that follows it happens.
        after_commit: bool,
        /// The server learns that the connection is gone.
        house_knows: bool,
        /// Comes back after.
        ms: u64,
    },
    /// The server ends and comes back.
    HouseDies {
        /// How.
        end: End,
        /// With so many steps of the disk; none: now.
        steps: Option<u32>,
        /// Comes back after.
        ms: u64,
    },
    /// The server sends everybody home, ends, and comes back.
    Drain {
        /// Comes back after.
        ms: u64,
    },
    /// Another process takes over all sessions, and dies midway or not.
    HandOver {
        /// When it dies.
        dies: Option<Midway>,
        /// How long each step takes, at most.
        by_ms: u64,
    },
    /// The owner of a phone takes it off the account, if it is not the main one.
    Remove {
        /// Which.
        phone: usize,
    },
    /// Each turn of the writer, and each read, takes up to this much longer.
    Slow {
        /// How much.
        by_ms: u64,
        /// For so long.
        ms: u64,
    },
    /// The disk is full.
    FullDisk {
        /// How it is learned.
        full: Full,
        /// For so long.
        ms: u64,
    },
    /// Syncs fail.
    BadSync {
        /// So many.
        count: u32,
    },
    /// The server's wall clock, or a phone's, is off by so much from now on.
    Leap {
        /// Which phone; none: the server.
        phone: Option<usize>,
        /// By how much.
        off_ms: i64,
    },
}

/// Where a process dies that takes over: behind which word of the road (decision 0156).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Midway {
    /// It has all sessions, and no store.
    Yours,
    /// Its store is open.
    Ready,
    /// It was told that the sessions are its own, and has done nothing yet.
    Go,
    /// They have their turns, and the old one has not heard of it.
    Serving,
}

const NETWORK: [(Kind, u32); 4] =
    [(Kind::Cut, 6), (Kind::Silence, 3), (Kind::Away, 2), (Kind::Garble, 1)];

const FAULTS: [(Kind, u32); 11] = [
    (Kind::Cut, 5),
    (Kind::Silence, 3),
    (Kind::Away, 2),
    (Kind::Garble, 1),
    (Kind::Storm, 1),
    (Kind::PhoneDies, 3),
    (Kind::HouseDies, 4),
    (Kind::Slow, 2),
    (Kind::FullDisk, 2),
    (Kind::BadSync, 1),
    (Kind::Leap, 1),
];

const HAND_OVERS: [(Kind, u32); 10] = [
    (Kind::HandOver, 20),
    (Kind::Cut, 5),
    (Kind::Silence, 2),
    (Kind::Away, 2),
    (Kind::Storm, 1),
    (Kind::PhoneDies, 2),
    (Kind::HouseDies, 2),
    (Kind::Slow, 2),
    (Kind::FullDisk, 1),
    (Kind::BadSync, 1),
];

/// All scenarios, in the order in which seeds take them. What one draws from stays as it is once a line of
/// `regressions.txt` names it: its seeds would be other cases.
pub const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "calm",
        about: "nothing goes wrong",
        people: (2, 3),
        phones: 1,
        group_percent: 0,
        seconds: 10,
        says: 20,
        burst: 5,
        faults: 0,
        kinds: &[],
    },
    Scenario {
        name: "network",
        about: "cuts, silence, no network, wrong bytes",
        people: (2, 4),
        phones: 1,
        group_percent: 0,
        seconds: 40,
        says: 40,
        burst: 5,
        faults: 16,
        kinds: &NETWORK,
    },
    Scenario {
        name: "crash",
        about: "server and phones die between any two steps",
        people: (2, 4),
        phones: 1,
        group_percent: 0,
        seconds: 40,
        says: 40,
        burst: 5,
        faults: 12,
        kinds: &[(Kind::HouseDies, 4), (Kind::PhoneDies, 3), (Kind::Cut, 1)],
    },
    Scenario {
        name: "disk",
        about: "slow disk, full disk, syncs that fail, power cuts",
        people: (2, 4),
        phones: 1,
        group_percent: 0,
        seconds: 40,
        says: 40,
        burst: 5,
        faults: 10,
        kinds: &[(Kind::Slow, 3), (Kind::FullDisk, 3), (Kind::BadSync, 2), (Kind::HouseDies, 2)],
    },
    Scenario {
        name: "clock",
        about: "wall clocks jump, with crashes and cuts",
        people: (2, 4),
        phones: 1,
        group_percent: 0,
        seconds: 40,
        says: 30,
        burst: 5,
        faults: 12,
        kinds: &[(Kind::Leap, 5), (Kind::HouseDies, 2), (Kind::PhoneDies, 1), (Kind::Cut, 2)],
    },
    Scenario {
        name: "storm",
        about: "everybody comes back at once, again and again",
        people: (6, 10),
        phones: 1,
        group_percent: 0,
        seconds: 30,
        says: 60,
        burst: 5,
        faults: 8,
        kinds: &[(Kind::Storm, 6), (Kind::HouseDies, 2), (Kind::Silence, 1), (Kind::Slow, 2)],
    },
    Scenario {
        name: "phones",
        about: "two phones each, with cuts and crashes",
        people: (2, 3),
        phones: 2,
        group_percent: 0,
        seconds: 40,
        says: 40,
        burst: 5,
        faults: 14,
        kinds: &FAULTS,
    },
    Scenario {
        name: "group",
        about: "a group of all, with cuts and crashes",
        people: (3, 4),
        phones: 1,
        group_percent: 70,
        seconds: 40,
        says: 40,
        burst: 5,
        faults: 14,
        kinds: &FAULTS,
    },
    Scenario {
        name: "backlog",
        about: "more than a session's inbox or a page holds, for phones that come and go",
        people: (2, 3),
        phones: 1,
        group_percent: 0,
        seconds: 60,
        says: 30,
        burst: 150,
        faults: 10,
        kinds: &[
            (Kind::Away, 5),
            (Kind::Silence, 2),
            (Kind::PhoneDies, 2),
            (Kind::HouseDies, 2),
            (Kind::Slow, 3),
        ],
    },
    Scenario {
        name: "upgrade",
        about: "the server goes down in order, again and again, with cuts and crashes",
        people: (3, 6),
        phones: 1,
        group_percent: 0,
        seconds: 60,
        says: 50,
        burst: 20,
        faults: 10,
        kinds: &[
            (Kind::Drain, 6),
            (Kind::HouseDies, 1),
            (Kind::Cut, 2),
            (Kind::Silence, 1),
            (Kind::Slow, 2),
        ],
    },
    Scenario {
        name: "removed",
        about: "phones that are taken off their account while people write, with cuts and crashes",
        people: (2, 3),
        phones: 2,
        group_percent: 0,
        seconds: 40,
        says: 50,
        burst: 5,
        faults: 12,
        kinds: &[
            (Kind::Remove, 3),
            (Kind::Cut, 3),
            (Kind::Silence, 1),
            (Kind::Away, 1),
            (Kind::PhoneDies, 2),
            (Kind::HouseDies, 3),
            (Kind::Slow, 2),
        ],
    },
    Scenario {
        name: "all",
        about: "everything",
        people: (3, 5),
        phones: 1,
        group_percent: 0,
        seconds: 60,
        says: 60,
        burst: 5,
        faults: 24,
        kinds: &FAULTS,
    },
    Scenario {
        name: "handover",
        about: "another process takes the server's place, again and again, and dies midway; with everything else",
        people: (3, 5),
        phones: 1,
        group_percent: 10,
        seconds: 60,
        says: 60,
        burst: 20,
        faults: 24,
        kinds: &HAND_OVERS,
    },
];

/// The scenario of a name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// The scenario that a seed plays when none is named.
pub fn of_seed(seed: u64) -> &'static Scenario {
    let [first, ..] = &SCENARIOS;
    let count = SCENARIOS.len() as u64;
    usize::try_from(seed % count).ok().and_then(|at| SCENARIOS.get(at)).unwrap_or(first)
}

/// What happens, and when, in milliseconds from the beginning. Phone `n` is one of person `n % people`.
pub fn draw(scenario: &Scenario, people: usize, rng: &mut Rng) -> Vec<(u64, Act)> {
    let span_ms = scenario.seconds * 1_000;
    let mut plan = Vec::new();
    if scenario.says > 0 {
        for _ in 0..rng.usize(scenario.says / 2..=scenario.says) {
            let act = say(scenario, people, rng);
            // Now and then several at once: what a batch is made of.
            let at_ms = rng.u64(0..span_ms);
            for _ in 0..if rng.u8(0..6) == 0 { rng.usize(2..=scenario.burst) } else { 1 } {
                plan.push((at_ms, act));
            }
        }
    }
    let weights: u32 = scenario.kinds.iter().map(|(_, weight)| weight).sum();
    if weights > 0 {
        for _ in 0..rng.usize(1..=scenario.faults.max(1)) {
            let mut drawn = rng.u32(0..weights);
            let kind = scenario.kinds.iter().find(|(_, weight)| {
                let is_it = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                is_it
            });
            if let Some((kind, _)) = kind {
                plan.push((rng.u64(0..span_ms), fault(*kind, people * scenario.phones, rng)));
            }
        }
    }
    plan.sort_by_key(|(at_ms, _)| *at_ms);
    plan
}

fn say(scenario: &Scenario, people: usize, rng: &mut Rng) -> Act {
    let phone = rng.usize(0..people * scenario.phones);
    let other = (phone + rng.usize(1..people)) % people;
    if rng.u8(0..8) == 0 {
        return Act::Read { phone, with: other };
    }
    let is_for_all = scenario.group_percent > 0 && rng.u8(0..100) < scenario.group_percent;
    Act::Say { phone, to: (!is_for_all).then_some(other) }
}

/// How long something is gone: mostly moments, now and then longer than any patience.
fn while_ms(rng: &mut Rng) -> u64 {
    match rng.u8(0..8) {
        0 => rng.u64(0..20),
        1 => rng.u64(10_000..60_000),
        _ => rng.u64(20..3_000),
    }
}

fn fault(kind: Kind, phones: usize, rng: &mut Rng) -> Act {
    let phone = rng.usize(0..phones);
    match kind {
        Kind::Cut => {
            let who = rng.u8(0..4);
            Act::Cut {
                phone,
                phone_knows: who != 0,
                house_knows: who != 1,
                rest_arrives: rng.bool(),
            }
        }
        Kind::Silence => {
            let who = rng.u8(0..3);
            Act::Silence { phone, up: who != 0, down: who != 1 }
        }
        Kind::Away => Act::Away { phone, ms: while_ms(rng) },
        Kind::Garble => Act::Garble { phone, up: rng.bool() },
        Kind::Storm => Act::Storm,
        Kind::PhoneDies => Act::PhoneDies {
            phone,
            after_commit: rng.bool(),
            house_knows: rng.bool(),
            ms: while_ms(rng),
        },
        Kind::HouseDies => Act::HouseDies {
            end: if rng.bool() { End::Kill } else { End::Power },
            steps: (rng.u8(0..4) > 0).then(|| rng.u32(0..40)),
            ms: while_ms(rng),
        },
        Kind::Drain => Act::Drain { ms: rng.u64(1..2_000) },
        Kind::HandOver => {
            let midway = [Midway::Yours, Midway::Ready, Midway::Go, Midway::Serving];
            let dies = (rng.u8(0..3) == 0).then(|| rng.choice(midway)).flatten();
            Act::HandOver { dies, by_ms: rng.choice([3, 100, 2_000]).unwrap_or(3) }
        }
        Kind::Remove => Act::Remove { phone },
        Kind::Slow => Act::Slow { by_ms: rng.u64(10..5_000), ms: while_ms(rng) },
        Kind::FullDisk => Act::FullDisk {
            full: if rng.bool() { Full::Told } else { Full::Felt },
            ms: while_ms(rng),
        },
        Kind::BadSync => Act::BadSync { count: rng.u32(1..4) },
        Kind::Leap => {
            Act::Leap { phone: rng.bool().then_some(phone), off_ms: rng.i64(-7_200_000..7_200_000) }
        }
    }
}
