//! What is known of one account.

use std::sync::Arc;

use godwit_base::AccountId;
use subtle::ConstantTimeEq;

use super::{GRACE_S, Moment, Pass, SESSIONS_MAX, pass};
use crate::handover::PresentRecord;
use crate::seat::Seat;

/// Who may see an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nobody; and it sees nobody.
    #[default]
    Nobody,
    Everyone,
    /// Who shows this.
    Contacts(Pass),
}

/// What somebody may see of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// False too when nothing may be seen, or is known.
    pub(crate) online: bool,
    pub(crate) typing: bool,
    /// Minutes since 1970; 0: not known, or online.
    pub(crate) last_seen_min: u32,
}

/// One account that has said something about its presence since the server started.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) rule: Rule,
    /// The second in which its watchers were last told.
    pub(super) told_s: Option<u32>,
    /// They were not told of the last change yet.
    pub(super) untold: bool,
    /// It waits for the next tick.
    pub(super) due: bool,
    online: bool,
    /// The second in which the last device that was here was lost without a word.
    lost_s: Option<u32>,
    /// When somebody was last here, minutes since 1970; 0: never.
    seen_min: u32,
    /// Its sessions that said something, and whether somebody is there.
    sessions: Vec<(Arc<Seat>, bool)>,
}

impl Rule {
    /// Whether somebody who shows this may see.
    pub(super) fn admits(self, shown: Option<Pass>) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everyone => true,
            Self::Contacts(pass) => shown.is_some_and(|shown| shown.ct_eq(&pass).into()),
        }
    }
}

impl Seen {
    /// Nothing: it is not to be seen, or not known.
    pub(crate) const UNKNOWN: Self = Self { online: false, typing: false, last_seen_min: 0 };
}

impl Account {
    /// One of its sessions says whether somebody is there. False if it has too many.
    pub(super) fn enter(&mut self, seat: &Arc<Seat>, here: bool) -> bool {
        let known = self.sessions.iter_mut().find(|(present, _)| Arc::ptr_eq(present, seat));
        if let Some((_, was)) = known {
            *was = here;
            return true;
        }
        let has_room = self.sessions.len() < SESSIONS_MAX;
        if has_room {
            self.sessions.reserve_exact(1); // one is the common case: 16 B and not four times that
            self.sessions.push((Arc::clone(seat), here));
        }
        has_room
    }

    /// Whether somebody is at this session, if it has said so.
    pub(super) fn is_here(&self, seat: &Arc<Seat>) -> Option<bool> {
        self.sessions.iter().find(|(present, _)| Arc::ptr_eq(present, seat)).map(|(_, here)| *here)
    }

    pub(super) fn pack(&self, account: AccountId) -> PresentRecord {
        let (everyone, pass) = match self.rule {
            Rule::Nobody => (false, None),
            Rule::Everyone => (true, None),
            Rule::Contacts(pass) => (false, Some(pass.to_vec())),
        };
        PresentRecord {
            account: account.0,
            everyone,
            pass,
            online: self.online,
            lost_s: self.lost_s,
            seen_min: self.seen_min,
        }
    }

    pub(super) fn unpack(row: &PresentRecord) -> Self {
        let rule = match row.pass.as_deref().and_then(pass) {
            Some(pass) => Rule::Contacts(pass),
            None if row.everyone => Rule::Everyone,
            None => Rule::Nobody,
        };
        Self {
            rule,
            online: row.online,
            lost_s: row.lost_s,
            seen_min: row.seen_min,
            ..Self::default()
        }
    }

    pub(super) fn leave(&mut self, seat: &Arc<Seat>) {
        self.sessions.retain(|(present, _)| !Arc::ptr_eq(present, seat));
        self.sessions.shrink_to_fit();
    }

    /// Sets who may see it; whether that is another than before. Its own sessions look anew then: what
    /// they may see of others hangs on it.
    pub(super) fn rules(&mut self, rule: Rule) -> bool {
        let changed = std::mem::replace(&mut self.rule, rule) != rule;
        if changed {
            self.sessions.iter().for_each(|(seat, _)| seat.mark(u32::MAX));
        }
        changed
    }

    /// Draws the conclusion after its sessions changed. Online while somebody is at any of them; when
    /// that ends, at once if the device said so, else after a grace. True when a grace begins.
    pub(super) fn settle(&mut self, said: bool, now: Moment) -> bool {
        if self.sessions.iter().any(|(_, here)| *here) {
            (self.online, self.lost_s) = (true, None);
            return false;
        }
        if !self.online || self.lost_s.is_some() {
            return false;
        }
        self.seen_min = u32::try_from(now.unix_ms / 60_000).unwrap_or(u32::MAX).max(1);
        if said {
            self.online = false;
        } else {
            self.lost_s = Some(now.s);
        }
        !said
    }

    /// Whether its grace is over; it is offline then.
    pub(super) fn gives_up(&mut self, now_s: u32) -> bool {
        let over = self.lost_s.is_some_and(|lost_s| now_s.saturating_sub(lost_s) >= GRACE_S);
        if over {
            (self.online, self.lost_s) = (false, None);
        }
        over
    }

    /// It has something for a later tick.
    pub(super) fn waits(&self) -> bool {
        self.lost_s.is_some()
    }

    pub(super) fn is_online(&self) -> bool {
        self.online
    }

    /// Nothing would be missed without it.
    pub(super) fn is_worthless(&self) -> bool {
        self.sessions.is_empty() && !self.online && self.seen_min == 0
    }

    /// When it was last here, if it has no session.
    pub(super) fn away_since_min(&self) -> Option<u32> {
        (self.sessions.is_empty() && !self.online).then_some(self.seen_min)
    }

    pub(super) fn seen(&self, typing: bool) -> Seen {
        let last_seen_min = if self.online { 0 } else { self.seen_min };
        Seen { online: self.online, typing: typing && self.online, last_seen_min }
    }
}
