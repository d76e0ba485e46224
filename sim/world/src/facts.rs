//! The history of a case: what people said, what they were shown, and how far their messages came, in the
//! order in which it was committed. What is checked afterwards is this, and nothing that server or client say
//! of themselves.

use godwit_base::MessageId;
use godwit_client::{Failure, MessageState};

use crate::replay::note;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Somebody asked their phone to send this. It may be gone with the phone's process.
    Asked {
        /// Which phone.
        phone: usize,
        /// Which message.
        id: MessageId,
        /// To which people.
        to: Vec<usize>,
        /// What.
        text: String,
    },
    /// The message is durable on the phone: from here on it must arrive.
    Sent {
        /// Which phone.
        phone: usize,
        /// Which message.
        id: MessageId,
    },
    /// A phone showed a message of another one.
    Shown {
        /// Which phone.
        phone: usize,
        /// Which message.
        id: MessageId,
        /// What; none if it could not be opened.
        text: Option<String>,
    },
    /// A phone said how far a message of it came.
    State {
        /// Which phone.
        phone: usize,
        /// Which message.
        id: MessageId,
        /// How far.
        state: MessageState,
    },
    /// The owner of a phone took it off the account. What it says, and what is said to it, is not promised to
    /// arrive, before or after.
    Removed {
        /// Which phone.
        phone: usize,
    },
    /// The store told of a batch while the disk had so many bytes that were not synced.
    Unsynced(usize),
    /// A session of the server ended by a panic.
    Panicked,
    /// A server does not start on what the one before left.
    NoStart(String),
    /// Another server goes on with so many sessions; or the one that was, since the other did not come up.
    HandedOver {
        /// How many.
        sessions: usize,
        /// To the one that was.
        back: bool,
    },
    /// What one server left could not be read by the next, as many sessions.
    NotWhole(usize),
    /// A connection on which nothing was wrong ended by a hand-over.
    Dropped {
        /// Whose.
        phone: usize,
    },
    /// Frames of which the counter had been used with their key already.
    SealedTwice(u64),
}

/// A fault in what is observed, planted to see that the checks see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plant {
    /// None.
    #[default]
    Nothing,
    /// Some of what was shown was not.
    Loses,
    /// Some was shown twice.
    Repeats,
    /// Some was shown before what was said earlier.
    Swaps,
    /// Something was shown that nobody said.
    Ghost,
    /// Two ticks came with the first.
    TicksEarly,
    /// The disk syncs nothing, and says that it did.
    LyingDisk,
    /// A task of the server panics, and nobody asks for it.
    Panics,
    /// What the server comes back to is no store.
    Ruins,
    /// One session is lost in each hand-over.
    MoveLoses,
    /// One session is damaged in each hand-over.
    MoveDamages,
    /// In a hand-over each link goes one frame back.
    MoveTurnsBack,
    /// A phone has no network for ever.
    Strands,
    /// A phone is never told how far its messages came.
    TicksLost,
    /// A message is said to have failed.
    Fails,
    /// Some that was shown had another text.
    Rewrites,
    /// Some that was shown was shown by somebody else's phone too.
    Strays,
}

/// Facts as they come.
#[derive(Debug, Default)]
pub struct Facts {
    all: Vec<Fact>,
    plant: Plant,
    shown: u32,
    held: Option<Fact>,
}

/// Every so many that are shown, a planted fault happens.
const PLANTED_EACH: u32 = 5;

impl Facts {
    /// No facts yet.
    pub fn new(plant: Plant) -> Self {
        Self { plant, ..Self::default() }
    }

    /// All facts.
    pub fn all(&self) -> &[Fact] {
        &self.all
    }

    /// The planted fault.
    pub fn plant(&self) -> Plant {
        self.plant
    }

    /// Adds a fact, unless something else is planted.
    pub fn add(&mut self, fact: Fact) {
        if let (Plant::TicksEarly, Fact::State { phone, id, state: MessageState::Accepted }) =
            (self.plant, &fact)
        {
            self.push(Fact::State { phone: *phone, id: *id, state: MessageState::Delivered });
        }
        if let Fact::State { phone, id, .. } = &fact {
            match self.plant {
                Plant::TicksLost => return,
                Plant::Fails => {
                    let state = MessageState::Failed(Failure::MailboxFull);
                    return self.push(Fact::State { phone: *phone, id: *id, state });
                }
                _ => {}
            }
        }
        let Fact::Shown { phone, id, text } = &fact else { return self.push(fact) };
        self.shown += 1;
        let is_due = self.shown.is_multiple_of(PLANTED_EACH);
        match self.plant {
            Plant::Loses if is_due => {}
            Plant::Repeats if is_due => {
                self.push(fact.clone());
                self.push(fact);
            }
            Plant::Swaps if is_due && self.held.is_none() => self.held = Some(fact),
            Plant::Swaps => {
                let is_later = matches!(&self.held, Some(Fact::Shown { phone: of, id: held, .. })
                    if of == phone && held.device == id.device);
                self.push(fact);
                if let (true, Some(held)) = (is_later, self.held.take_if(|_| is_later)) {
                    self.push(held);
                }
            }
            Plant::Rewrites if is_due => {
                let text = Some("something else".to_owned());
                self.push(Fact::Shown { phone: *phone, id: *id, text });
            }
            Plant::Strays if is_due => {
                // With three people or more there is somebody else; the first phones are theirs.
                for phone in 0..3 {
                    self.push(Fact::Shown { phone, id: *id, text: text.clone() });
                }
            }
            Plant::Ghost if is_due => {
                let id = MessageId { counter: id.counter + 1_000, ..*id };
                let ghost = Fact::Shown { phone: *phone, id, text: text.clone() };
                self.push(fact);
                self.push(ghost);
            }
            _ => self.push(fact),
        }
    }

    fn push(&mut self, fact: Fact) {
        note(format_args!("{fact:?}"), &[]);
        self.all.push(fact);
    }
}
