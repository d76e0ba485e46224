//! What the rest of the server knows of a session: its two inboxes and when it was last heard.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use godwit_actor::{Inbox, Push, Weigh};
use godwit_base::invariant;
use godwit_store::{Entry, Outcome, Record, Token};
use godwit_wire::Refusal;

use crate::session::Asking;

/// Submissions of one session that the store has not settled. A client keeps at most 128 (the
/// de-duplication window); twice that leaves room for its resends after a refusal.
pub(crate) const IN_FLIGHT_MAX: u16 = 256;

/// Questions of the operator that sessions have not answered, in the whole server: as many as may be asked
/// over the admin socket at once. A session that is stuck keeps those that it was asked.
pub(crate) const QUESTIONS_MAX: usize = 16;

/// Words that wait for one session: every settled submission, one order to close from each of the few that
/// may give one, and all questions. 280 x 40 B is 11 KB, and only while they wait.
const WORDS_MAX: usize = IN_FLIGHT_MAX as usize + 8 + QUESTIONS_MAX;

/// Bytes of words: a mismatch of 1,024 recipients with lists of 8 KiB would be 8 MB; a session has
/// few of those at once, and the store has made them already.
const WORDS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A record that costs RAM while it waits: its place in the queue and what it shares.
const RECORD_BYTES: usize = size_of::<Record>();

/// What the store and the server tell a session.
#[derive(Debug)]
pub(crate) enum Word {
    /// A submission of this session is decided.
    Settled { counter: u64, outcome: Outcome },
    /// Say goodbye and close; come back after so many milliseconds.
    Close(Refusal, u32),
    /// Become data, for another process: read nothing more, and be packed as soon as nothing is under way.
    Freeze,
    /// Look for a keepalive, which by itself wakes nobody.
    Look,
    /// Tell the operator how you are.
    Tell(Box<Asking>),
    /// Panic in the next turn: how tests see that nobody else is touched.
    #[cfg(test)]
    Panic,
}

impl Weigh for Word {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Settled { outcome: Outcome::Mismatch(list), .. } => {
                list.iter().map(|m| m.signed.len() + size_of_val(m)).sum()
            }
            _ => 0,
        }
    }
}

/// A record handed over in RAM right after it became durable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handed(pub(crate) Record);

impl Weigh for Handed {
    fn weight_bytes(&self) -> usize {
        RECORD_BYTES
            + match &self.0.entry {
                Entry::Message { body, .. } => body.len(),
                // Shared by all who have it, but nobody knows for how long.
                Entry::Post(post) => post.body.len(),
                Entry::GroupReceipt { posts, .. } => size_of_val(posts.as_slice()),
                Entry::Receipt { .. } | Entry::GroupNews { .. } => 0,
            }
    }
}

/// Where a session is reached. The registry and the session share it; nothing else of a session is
/// seen from outside.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The session's key in the registry and, as a token, in the store.
    pub(crate) token: Token,
    /// Outcomes and orders. It does not overflow: outcomes are bounded by [`IN_FLIGHT_MAX`].
    pub(crate) words: Inbox<Word, WORDS_MAX, WORDS_BYTES_MAX>,
    /// Records: 64 or 64 KiB of them, then the mark "behind", and the session reads its mailbox.
    pub(crate) records: Inbox<Handed>,
    /// Seconds since the server started at which the session began,
    entered_s: u32,
    /// and at which the last byte came.
    heard_s: AtomicU32,
    /// Seconds for which its client is quiet at most, 0 until it has said so: the longest, an hour, fits.
    interval_s: AtomicU16,
    /// Another link has its device: what is still read here is not submitted any more.
    displaced: AtomicBool,
    /// One more with each link that is made, so that of two sessions of a device the newer is known.
    /// It wraps: the older of two would have to last four thousand million links to seem the newer.
    ordinal: u32,
    /// Open chats of which the session has something to look up, one bit each (`presence`).
    marks: AtomicU32,
}

impl Seat {
    pub(crate) fn new(token: Token, ordinal: u32, now_s: u32) -> Self {
        Self {
            token,
            words: Inbox::new(),
            records: Inbox::new(),
            entered_s: now_s,
            heard_s: AtomicU32::new(now_s),
            interval_s: AtomicU16::new(0),
            displaced: AtomicBool::new(false),
            ordinal,
            marks: AtomicU32::new(0),
        }
    }

    /// How many links were made before this one; it wraps.
    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// A newer link has its device.
    pub(crate) fn displace(&self) {
        self.displaced.store(true, Ordering::Release);
    }

    /// Whether a newer link has its device.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }

    /// Whether this link was made after the other.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        self.ordinal.wrapping_sub(other.ordinal).cast_signed() > 0
    }

    /// Tells the session something; it is woken.
    pub(crate) fn tell(&self, word: Word) {
        let push = self.words.push(word);
        invariant!(M8, push != Push::Overflowed, "a session's words overflowed");
    }

    /// Hands a durable record over; a full inbox drops it and marks the session behind.
    pub(crate) fn hand(&self, record: Record) -> Push {
        self.records.push(Handed(record))
    }

    /// Something happened to these open chats; the session is woken unless it was for an earlier mark.
    pub(crate) fn mark(&self, marks: u32) {
        if self.marks.fetch_or(marks, Ordering::AcqRel) == 0 {
            self.words.nudge();
        }
    }

    /// Takes all marks: what is marked from now on wakes the session again.
    pub(crate) fn take_marks(&self) -> u32 {
        self.marks.swap(0, Ordering::AcqRel)
    }

    pub(crate) fn has_marks(&self) -> bool {
        self.marks.load(Ordering::Acquire) != 0
    }

    pub(crate) fn heard(&self, now_s: u32) {
        self.heard_s.store(now_s, Ordering::Relaxed);
    }

    /// When the last byte came, in seconds since the server started.
    pub(crate) fn heard_s(&self) -> u32 {
        self.heard_s.load(Ordering::Relaxed)
    }

    /// Its client is quiet for so long at most, from now on.
    pub(crate) fn quiet_for(&self, interval_s: u32) {
        self.interval_s.store(u16::try_from(interval_s).unwrap_or(u16::MAX), Ordering::Relaxed);
    }

    /// Seconds for which its client is quiet at most, if it has said so.
    pub(crate) fn interval_s(&self) -> Option<u32> {
        let interval_s = self.interval_s.load(Ordering::Relaxed);
        (interval_s != 0).then_some(interval_s.into())
    }

    /// Seconds since the session began.
    pub(crate) fn age_s(&self, now_s: u32) -> u32 {
        now_s.saturating_sub(self.entered_s)
    }

    /// Seconds without a byte.
    pub(crate) fn silent_s(&self, now_s: u32) -> u32 {
        now_s.saturating_sub(self.heard_s.load(Ordering::Relaxed))
    }
}
