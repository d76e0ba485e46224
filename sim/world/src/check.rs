//! What must hold of every history. Each check is a pure function of the facts, and sees a planted fault: the
//! tests are in `tests/world.rs`.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{DeviceId, MessageId};
use godwit_client::MessageState;

use crate::facts::Fact;

/// Who has which phones; fixed for a case.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// Of each person, their phones.
    pub phones: Vec<Vec<usize>>,
}

impl People {
    /// All phones of these people, and those of whoever has the phone `from`, but for that one.
    fn reached(&self, to: &[usize], from: usize) -> impl Iterator<Item = usize> {
        let theirs = to.iter().filter_map(|person| self.phones.get(*person));
        let own = self.phones.iter().filter(move |phones| phones.contains(&from));
        theirs.chain(own).flatten().copied().filter(move |phone| *phone != from)
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub check: &'static str,
    /// What was seen.
    pub what: String,
}

type Check = fn(&[Fact], &People) -> Result<(), String>;

/// All checks.
pub const CHECKS: [(&str, Check); 11] = [
    ("sent arrives", arrives),
    ("shown once", shown_once),
    ("in order", in_order),
    ("no ghost", no_ghost),
    ("one tick after durable", durable),
    ("two ticks after shown", ticks),
    ("no panic", no_panic),
    ("starts again", starts),
    ("a hand-over is whole", whole),
    ("no counter twice", sealed_once),
    ("nobody is dropped", nobody_dropped),
];

/// The first promise that does not hold.
///
/// # Errors
/// That promise.
pub fn all(facts: &[Fact], people: &People) -> Result<(), Broken> {
    CHECKS
        .iter()
        .try_for_each(|(check, holds)| holds(facts, people).map_err(|what| Broken { check, what }))
}

fn is_on_its_way(state: MessageState) -> bool {
    matches!(state, MessageState::Pending | MessageState::Accepted)
}

/// What is durable on the sender's phone comes to all phones of the recipients, and to the sender's other ones,
/// with its text, and the sender is told. What was accepted is thereby shown.
fn arrives(facts: &[Fact], people: &People) -> Result<(), String> {
    let mut asked: BTreeMap<MessageId, (&[usize], &str)> = BTreeMap::new();
    let mut shown: BTreeSet<(usize, MessageId, Option<&str>)> = BTreeSet::new();
    let mut states: BTreeMap<MessageId, MessageState> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Asked { id, to, text, .. } => drop(asked.insert(*id, (to, text))),
            Fact::Shown { phone, id, text } => drop(shown.insert((*phone, *id, text.as_deref()))),
            Fact::State { id, state, .. } => drop(states.insert(*id, *state)),
            _ => {}
        }
    }
    let is_removed = |phone: usize| facts.contains(&Fact::Removed { phone });
    for fact in facts {
        let Fact::Sent { phone: from, id } = fact else { continue };
        if is_removed(*from) {
            continue;
        }
        let (to, text) = *asked.get(id).ok_or(format!("{id} was sent and nobody asked for it"))?;
        let state = states.get(id).copied().unwrap_or(MessageState::Pending);
        if let MessageState::Failed(why) = state {
            return Err(format!("{id} failed: {why}"));
        }
        for phone in people.reached(to, *from).filter(|phone| !is_removed(*phone)) {
            if !shown.contains(&(phone, *id, Some(text))) {
                return Err(format!("{id} is {state} and was not shown on phone {phone}"));
            }
        }
        if is_on_its_way(state) {
            return Err(format!("{id} was shown and is still {state}"));
        }
    }
    Ok(())
}

/// No phone shows a message twice (M3).
fn shown_once(facts: &[Fact], _: &People) -> Result<(), String> {
    let mut shown = BTreeSet::new();
    for fact in facts {
        if let Fact::Shown { phone, id, .. } = fact
            && !shown.insert((*phone, *id))
        {
            return Err(format!("{id} was shown twice on phone {phone}"));
        }
    }
    Ok(())
}

/// A phone shows what another one said in a chat in the order in which it was said (M4). Between chats there is
/// none: what a group's log or key is awaited for holds up nobody's words to one person.
fn in_order(facts: &[Fact], _: &People) -> Result<(), String> {
    let mut chats: BTreeMap<MessageId, &[usize]> = BTreeMap::new();
    let mut last: BTreeMap<(usize, DeviceId, &[usize]), u64> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Asked { id, to, .. } => drop(chats.insert(*id, to)),
            Fact::Shown { phone, id, .. } => {
                let chat = chats.get(id).copied().unwrap_or_default();
                let last = last.entry((*phone, id.device, chat)).or_default();
                if id.counter < *last {
                    return Err(format!("{id} was shown on phone {phone} after counter {last}"));
                }
                *last = id.counter;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Nothing is shown that was not sent before, with another text, or to somebody else.
fn no_ghost(facts: &[Fact], people: &People) -> Result<(), String> {
    let mut asked: BTreeMap<MessageId, (usize, &[usize], &str)> = BTreeMap::new();
    let mut sent = BTreeSet::new();
    for fact in facts {
        match fact {
            Fact::Asked { phone, id, to, text } => drop(asked.insert(*id, (*phone, to, text))),
            Fact::Sent { id, .. } => drop(sent.insert(*id)),
            Fact::Shown { phone, id, text } => {
                let Some((from, to, said)) = asked.get(id).filter(|_| sent.contains(id)) else {
                    return Err(format!("{id} was shown on phone {phone} and never sent"));
                };
                if !people.reached(to, *from).any(|reached| reached == *phone) {
                    return Err(format!("{id} was shown on phone {phone}, to whom nobody sent it"));
                }
                if text.as_deref() != Some(*said) {
                    return Err(format!("{id} says {text:?} on phone {phone} and not {said:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// When the store tells of a batch, nothing of it waits for a sync (M1).
fn durable(facts: &[Fact], _: &People) -> Result<(), String> {
    let unsynced = facts.iter().find_map(|fact| match fact {
        Fact::Unsynced(bytes) => Some(*bytes),
        _ => None,
    });
    match unsynced {
        None => Ok(()),
        Some(bytes) => Err(format!("the store told of a batch with {bytes} bytes unsynced")),
    }
}

/// Two ticks only after a phone of each recipient has the message (M5).
fn ticks(facts: &[Fact], people: &People) -> Result<(), String> {
    let mut asked: BTreeMap<MessageId, &[usize]> = BTreeMap::new();
    let mut shown: BTreeSet<(usize, MessageId)> = BTreeSet::new();
    for fact in facts {
        match fact {
            Fact::Asked { id, to, .. } => drop(asked.insert(*id, to)),
            Fact::Shown { phone, id, .. } => drop(shown.insert((*phone, *id))),
            Fact::State { id, state: MessageState::Delivered | MessageState::Read, .. } => {
                let to = asked.get(id).copied().unwrap_or_default();
                let has_it = |person: &usize| {
                    let mut phones = people.phones.get(*person).into_iter().flatten();
                    phones.any(|phone| shown.contains(&(*phone, *id)))
                };
                if to.is_empty() || !to.iter().all(has_it) {
                    return Err(format!("{id} had two ticks before everybody had it"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// No session of the server panics, whatever comes.
fn no_panic(facts: &[Fact], _: &People) -> Result<(), String> {
    match facts.contains(&Fact::Panicked) {
        true => Err("a session panicked".to_owned()),
        false => Ok(()),
    }
}

/// A server starts on whatever the one before left.
fn starts(facts: &[Fact], _: &People) -> Result<(), String> {
    let failed = facts.iter().find_map(|fact| match fact {
        Fact::NoStart(why) => Some(why.clone()),
        _ => None,
    });
    failed.map_or(Ok(()), Err)
}

/// What one server leaves, the next one can read.
fn whole(facts: &[Fact], _: &People) -> Result<(), String> {
    let broken = facts.iter().find_map(|fact| match fact {
        Fact::NotWhole(count) => Some(*count),
        _ => None,
    });
    broken.map_or(Ok(()), |count| Err(format!("{count} sessions did not arrive whole")))
}

/// No key seals two frames with one counter, whoever has it (M11).
fn sealed_once(facts: &[Fact], _: &People) -> Result<(), String> {
    let twice = facts.iter().find_map(|fact| match fact {
        Fact::SealedTwice(count) => Some(*count),
        _ => None,
    });
    twice.map_or(Ok(()), |count| Err(format!("{count} frames with a counter that was used")))
}

/// A connection on which nothing is wrong outlives a hand-over.
fn nobody_dropped(facts: &[Fact], _: &People) -> Result<(), String> {
    let dropped = facts.iter().find_map(|fact| match fact {
        Fact::Dropped { phone } => Some(*phone),
        _ => None,
    });
    dropped.map_or(Ok(()), |phone| Err(format!("a hand-over ended the connection of {phone}")))
}
