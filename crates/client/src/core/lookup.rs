//! Questions to the server about who somebody is and for keys.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, Handle};

/// Questions on their way at once; more wait their turn.
const ASKED_MAX: usize = 16;

/// Most open questions. Each has a contact to whom something is to be sent or of whom something
/// came, and those are bounded: 10,000 in the outbox, 512 held in the inbox.
const LOOKUPS_MAX: usize = 12_600;

/// About whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Handle(Handle),
    Account(AccountId),
}

/// Whose keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    All,
    Of(BTreeSet<u32>),
}

#[derive(Debug)]
struct Lookup {
    keys: Keys,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Wanted,
    Asked,
    /// The server asked us to wait until then.
    Later(u64),
}

/// All open questions, one for each contact.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    open: BTreeMap<Who, Lookup>,
}

impl Lookups {
    /// Asks, unless the same is asked already.
    pub(crate) fn want(&mut self, who: Who, keys: Keys) {
        if self.open.len() >= LOOKUPS_MAX {
            return;
        }
        let lookup =
            self.open.entry(who).or_insert(Lookup { keys: Keys::None, state: State::Wanted });
        // What is asked already is answered first; who needs more will want again.
        if lookup.state != State::Asked {
            lookup.keys = wider(std::mem::replace(&mut lookup.keys, Keys::None), keys);
        }
    }

    /// Takes a question to be sent now.
    pub(crate) fn next_to_ask(&mut self, mono_ms: u64) -> Option<(Who, Keys)> {
        let asked = self.open.values().filter(|lookup| lookup.state == State::Asked).count();
        if asked >= ASKED_MAX {
            return None;
        }
        let (who, lookup) = self.open.iter_mut().find(|(_, lookup)| match lookup.state {
            State::Wanted => true,
            State::Asked => false,
            State::Later(at_ms) => at_ms <= mono_ms,
        })?;
        lookup.state = State::Asked;
        Some((who.clone(), lookup.keys.clone()))
    }

    /// Whether an answer is still to come.
    pub(crate) fn is_open(&self, who: &Who) -> bool {
        self.open.contains_key(who)
    }

    /// It was answered, either way.
    pub(crate) fn close(&mut self, who: &Who) {
        self.open.remove(who);
    }

    /// The server asks to wait.
    pub(crate) fn postpone(&mut self, who: &Who, until_ms: u64) {
        if let Some(lookup) = self.open.get_mut(who) {
            lookup.state = State::Later(until_ms);
        }
    }

    /// When the next postponed question is due.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.open
            .values()
            .filter_map(|lookup| match lookup.state {
                State::Later(at_ms) => Some(at_ms),
                _ => None,
            })
            .min()
    }

    pub(crate) fn awaits_answers(&self) -> bool {
        self.open.values().any(|lookup| lookup.state == State::Asked)
    }

    /// The link is gone, and with it every answer. Who still needs one will want again.
    pub(crate) fn link_lost(&mut self) {
        self.open.clear();
    }
}

fn wider(a: Keys, b: Keys) -> Keys {
    match (a, b) {
        (Keys::All, _) | (_, Keys::All) => Keys::All,
        (Keys::None, other) | (other, Keys::None) => other,
        (Keys::Of(mut a), Keys::Of(b)) => {
            a.extend(b);
            Keys::Of(a)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> Who {
        Who::Account(AccountId(number))
    }

    #[test]
    fn one_question_a_contact_and_a_bound_on_those_asked() {
        let mut lookups = Lookups::default();
        for number in 0..ASKED_MAX as u64 + 1 {
            lookups.want(account(number), Keys::None);
            lookups.want(account(number), Keys::Of(BTreeSet::from([1])));
        }
        let asked: Vec<_> = std::iter::from_fn(|| lookups.next_to_ask(0)).collect();
        assert_eq!(asked.len(), ASKED_MAX);
        assert!(asked.iter().all(|(_, keys)| *keys == Keys::Of(BTreeSet::from([1]))));
        lookups.close(&account(0));
        assert_eq!(lookups.next_to_ask(0).map(|(who, _)| who), Some(account(ASKED_MAX as u64)));
    }

    #[test]
    fn what_was_postponed_waits() {
        let mut lookups = Lookups::default();
        lookups.want(account(1), Keys::All);
        assert!(lookups.next_to_ask(0).is_some() && lookups.awaits_answers());
        lookups.postpone(&account(1), 500);
        lookups.want(account(1), Keys::None);
        assert_eq!((lookups.next_to_ask(499), lookups.due_ms()), (None, Some(500)));
        assert_eq!(lookups.next_to_ask(500), Some((account(1), Keys::All)));
    }

    #[test]
    fn open_questions_are_bounded() {
        let mut lookups = Lookups::default();
        (0..=LOOKUPS_MAX as u64).for_each(|number| lookups.want(account(number), Keys::None));
        assert_eq!(lookups.open.len(), LOOKUPS_MAX);
    }
}
