//! How old a contact's device list may be before it is questioned.
//!
//! A list is signed anew every week. One that was signed more than 35 days ago, or is dated ahead, is
//! asked for again before anything new is sealed for it. If the server has no younger one, either the
//! contact's main device was off for weeks, or the server hides that a device was removed: the two
//! look alike from here, so the user is told, and decides if it matters (decision 0051).

use godwit_base::{AccountId, Handle};
use godwit_seal::{DeviceList, ListError, Trust, Verified};

use super::Core;
use super::contact::Contact;
use super::lookup::{Keys, Who};
use super::now::Now;
use super::output::Write;
use crate::WarningKind;

/// An old list is asked for at most once an hour: one question and its answer are half a kilobyte.
const ASK_AGAIN_MS: u64 = 3_600_000;

const DAY_MS: u64 = 24 * 3_600_000;

/// What the age of a list means for a message that is to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Young enough.
    Fresh,
    /// Too old, and the server was not asked for a younger one lately.
    Unasked,
    /// The server has no younger one. The chat is marked, and messages go out.
    Marked,
    /// The same for a verified contact: nothing goes out until a younger list comes or the user
    /// accepts this one.
    Held,
}

impl Core {
    pub(super) fn age_of(&self, contact: &Contact, now: Now) -> Age {
        let record = &contact.record;
        if contact.list.is_fresh(self.list_ms(now)) {
            Age::Fresh
        } else if !was_asked(contact, now) {
            Age::Unasked
        } else if record.verified
            && record.old_list_accepted_ms != Some(contact.list.issued_at_ms())
        {
            Age::Held
        } else {
            Age::Marked
        }
    }

    /// Something came by an old list: asks whether there is a younger one.
    pub(super) fn question_age(&mut self, account: AccountId, now: Now) {
        let contact = self.contacts.get(account);
        if contact.is_some_and(|contact| self.age_of(contact, now) == Age::Unasked) {
            self.lookups.want(Who::Account(account), Keys::None);
        }
    }

    /// A list was learned: the user is told once if it is too old, and the mark goes when it is not.
    pub(super) fn mark_age(&mut self, account: AccountId, now: Now) {
        let now_ms = self.list_ms(now);
        let Some(contact) = self.contacts.get(account) else { return };
        let old_ms = Some(contact.list.issued_at_ms()).filter(|_| !contact.list.is_fresh(now_ms));
        if contact.record.old_list_told_ms == old_ms {
            return;
        }
        let Some(contact) = self.contacts.get_mut(account) else { return };
        let record = &mut contact.record;
        record.old_list_told_ms = old_ms;
        let (with, verified, notice) =
            (record.handle.clone(), record.verified, record.notice.clone());
        let told = old_ms.map(|issued_at_ms| told(&with, issued_at_ms, now_ms, verified));
        // A key that changed is the graver news.
        let notice = notice.or_else(|| told.clone());
        self.staged.writes.push(Write::Chat { with: (&with).into(), verified, notice });
        if let Some(text) = told {
            self.warn(WarningKind::DeviceList, Some(with), text);
        }
    }
}

/// Checks a device list whatever its age, or a date ahead: the age is judged apart.
pub(crate) fn verify_of_any_age(
    signed: &[u8],
    trust: Trust<'_>,
    previous: Option<&Verified<DeviceList>>,
    now_ms: u64,
) -> Result<Verified<DeviceList>, ListError> {
    match DeviceList::verify(signed, trust, previous, now_ms) {
        Err(ListError::TooOld { issued_at_ms } | ListError::FromTheFuture { issued_at_ms }) => {
            DeviceList::verify(signed, trust, previous, issued_at_ms)
        }
        result => result,
    }
}

fn was_asked(contact: &Contact, now: Now) -> bool {
    contact.looked_up_at_ms.is_some_and(|at_ms| now.mono_ms < at_ms.saturating_add(ASK_AGAIN_MS))
}

/// What the user must know of an old list.
fn told(with: &Handle, issued_at_ms: u64, now_ms: u64, verified: bool) -> String {
    let days = now_ms.abs_diff(issued_at_ms) / DAY_MS;
    let what = if issued_at_ms > now_ms {
        format!(
            "{with}'s device list is dated {days} days ahead: a clock was wrong when it was signed"
        )
    } else {
        format!(
            "{with}'s device list is {days} days old: their main device was not online for weeks, \
             or the server hides a newer list and a device they removed may read along"
        )
    };
    let advice = if verified {
        "nothing is sent until they have been online with it or you verify them again"
    } else {
        "ask them to go online with it"
    };
    format!("{what}; {advice}")
}
