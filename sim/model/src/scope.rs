//! How much is sent and what may go wrong: the size of a search.

/// The bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// What it is about.
    pub name: &'static str,
    /// Messages of each sender; one with none is not there.
    pub messages: [u8; 2],
    /// Devices of the recipient, 1 or 2.
    pub devices: u8,
    /// What may go wrong, at most so often.
    pub budget: Budget,
}

impl Scope {
    /// Whether nothing else goes wrong.
    pub const fn has_only_crashes(&self) -> bool {
        let Budget { crashes: _, cuts, refusals, hand_overs, finals } = self.budget;
        cuts == 0 && refusals == 0 && hand_overs == 0 && finals == 0
    }
}

/// How often each thing may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Budget {
    /// Crashes, of the server or of any client.
    pub crashes: u8,
    /// Links that are cut.
    pub cuts: u8,
    /// Submissions that the server cannot take now, and batches that fail.
    pub refusals: u8,
    /// Hand-overs to another process.
    pub hand_overs: u8,
    /// Messages refused for good: a mailbox has no room for them.
    pub finals: u8,
}

const NOTHING: Budget = Budget { crashes: 0, cuts: 0, refusals: 0, hand_overs: 0, finals: 0 };
const CRASH: Budget = Budget { crashes: 1, ..NOTHING };
const CRASHES: Budget = Budget { crashes: 2, ..NOTHING };
const CRASHES_THREE: Budget = Budget { crashes: 3, ..NOTHING };
const CUT: Budget = Budget { cuts: 1, ..NOTHING };
const REFUSAL: Budget = Budget { refusals: 1, ..NOTHING };
const REFUSALS: Budget = Budget { refusals: 2, ..NOTHING };

const ONE: [u8; 2] = [1, 0];
const TWO: [u8; 2] = [2, 0];
const THREE: [u8; 2] = [3, 0];
const EACH_ONE: [u8; 2] = [1, 1];
const EACH_TWO: [u8; 2] = [2, 2];

const fn scope(name: &'static str, messages: [u8; 2], devices: u8, budget: Budget) -> Scope {
    Scope { name, messages, devices, budget }
}

/// Small enough for every change.
pub const SMALL: &[Scope] = &[
    scope("one message, one device, two crashes", ONE, 1, CRASHES),
    scope("one message, two devices, a crash", ONE, 2, CRASH),
    scope("two messages in a row, a crash", TWO, 1, CRASH),
    scope("two messages in a row, a cut", TWO, 1, CUT),
    scope("two messages in a row, two refusals", TWO, 1, REFUSALS),
    scope(
        "two messages in a row, a refusal, a hand-over",
        TWO,
        1,
        Budget { hand_overs: 1, ..REFUSAL },
    ),
    scope("two messages in a row, two devices", TWO, 2, NOTHING),
    scope(
        "three messages in a row, one refused for good, a refusal",
        THREE,
        1,
        Budget { finals: 1, ..REFUSAL },
    ),
    scope(
        "two messages in a row, one refused for good, a cut",
        TWO,
        1,
        Budget { finals: 1, ..CUT },
    ),
    scope("two senders, one device, a crash", EACH_ONE, 1, CRASH),
];

/// For a night, after the small ones.
pub const DEEP: &[Scope] = &[
    scope("two senders, two devices", EACH_ONE, 2, NOTHING),
    scope("one message, two devices, a crash, a cut", ONE, 2, Budget { cuts: 1, ..CRASH }),
    scope("two messages in a row, a crash, a cut", TWO, 1, Budget { cuts: 1, ..CRASH }),
    scope("two messages in a row, a refusal, a cut", TWO, 1, Budget { cuts: 1, ..REFUSAL }),
    scope("two messages in a row, two crashes", TWO, 1, CRASHES),
];

/// With nothing but crashes, and without the moments that make no difference.
pub const MERGED: &[Scope] = &[
    scope("merged: two messages in a row, two devices, a crash", TWO, 2, CRASH),
    scope("merged: two senders, one device, two crashes", EACH_ONE, 1, CRASHES),
    scope("merged: two senders, two devices, a crash", EACH_ONE, 2, CRASH),
    scope("merged: two senders, two devices, two crashes", EACH_ONE, 2, CRASHES),
];

/// The same for a night.
pub const MERGED_DEEP: &[Scope] = &[
    scope("merged: two senders, two devices, three crashes", EACH_ONE, 2, CRASHES_THREE),
    scope("merged: two senders with two messages, one device, a crash", EACH_TWO, 1, CRASH),
    scope("merged: two senders with two messages, one device, two crashes", EACH_TWO, 1, CRASHES),
    scope("merged: two senders with two messages, two devices, a crash", EACH_TWO, 2, CRASH),
];
