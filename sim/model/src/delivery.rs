//! The model, and what must hold.

use stateright::{Model, Property};

use crate::action::Action;
use crate::fault::Fault;
use crate::scope::Scope;
use crate::state::{Client, Counter, Entry, Seq, Set, State, ToClient, ToServer, Word, Work};

/// The delivery protocol, in one scope, perhaps built wrong.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// How large.
    pub scope: Scope,
    /// What is done wrong; nothing, in the protocol as it is.
    pub fault: Option<Fault>,
    /// Steps that make no difference are one with what follows (`merge.rs`).
    pub(crate) merges: bool,
}

/// Names of what must hold, as the checker tells them.
pub mod promise {
    /// M1.
    pub const TICKED: &str =
        "M1: what is ticked lies in the mailbox or is committed, for every device";
    /// M2.
    pub const KEPT: &str =
        "M2: what has left a mailbox, or is acknowledged, was committed by its device";
    /// M3, at the server.
    pub const STORED_ONCE: &str = "M3: a message is stored once";
    /// M3, at the recipient.
    pub const SHOWN_ONCE: &str = "M3: a message is shown once";
    /// M4.
    pub const IN_ORDER: &str =
        "M4: messages of one sender are shown in the order in which they were written";
    /// M5.
    pub const RECEIPT: &str = "M5: a receipt covers only what its device committed, or was refused for good before it was taken";
    /// Decision 0006.
    pub const AGREED: &str = "client and server agree on what was refused";
    /// What the user was told.
    pub const FAILED: &str = "what failed is shown to nobody";
    /// Nothing is forgotten.
    pub const DONE: &str =
        "at rest all is answered, and what was accepted is shown on every device and told so";
}

impl Delivery {
    /// The protocol as it is.
    pub const fn new(scope: Scope) -> Self {
        Self { scope, fault: None, merges: false }
    }

    /// With this done wrong.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// Without the moments that make no difference, if nothing but crashes goes wrong in its scope.
    #[must_use]
    pub const fn merged(self) -> Self {
        Self { merges: self.scope.has_only_crashes(), ..self }
    }

    /// Whether this is done wrong.
    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Model for Delivery {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let first = State::first(&self.scope);
        vec![if self.merges { first.closed(self, &mut |_| ()) } else { first }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.steps(&mut |action| actions.push(action));
        if self.merges {
            state.steps_of_merged(&mut |action| actions.push(action));
        }
        state.troubles(self, &mut |action| actions.push(action));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = state.after(action, self);
        Some(if self.merges { next.closed(self, &mut |_| ()) } else { next })
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(promise::TICKED, |_, state: &State| state.ticked_is_kept()),
            Property::always(promise::KEPT, |_, state: &State| state.deleted_is_committed()),
            Property::always(promise::STORED_ONCE, |_, state: &State| state.is_stored_once()),
            Property::always(promise::SHOWN_ONCE, |_, state: &State| state.is_shown_once()),
            Property::always(promise::IN_ORDER, |_, state: &State| state.is_shown_in_order()),
            Property::always(promise::RECEIPT, |_, state: &State| state.receipts_are_true()),
            Property::always(promise::AGREED, |_, state: &State| !state.disagrees()),
            Property::always(promise::FAILED, |_, state: &State| state.failed_is_nowhere()),
            Property::always(promise::DONE, |_, state: &State| {
                !state.is_at_rest() || state.is_done()
            }),
        ]
    }
}

impl State {
    /// Whether nothing is broken, as far as that shows before everything rests.
    pub(crate) fn holds(&self) -> bool {
        self.ticked_is_kept()
            && self.deleted_is_committed()
            && self.is_stored_once()
            && self.is_shown_once()
            && self.is_shown_in_order()
            && self.receipts_are_true()
            && !self.disagrees()
            && self.failed_is_nowhere()
    }

    pub(crate) fn there(&self) -> impl Iterator<Item = usize> {
        (0..self.devices.len()).filter(|device| self.has_device(*device))
    }

    /// Whether the server, or the client, says or is about to say that a message is accepted.
    fn is_ticked(&self, sender: usize, counter: Counter) -> bool {
        let link = &self.links[sender];
        self.senders[sender].accepted.has(counter)
            || link.now.iter().chain(&link.before).any(|session| {
                session.down.contains(&ToClient::Accepted(counter))
                    || session.words.contains(&Word::Accepted(counter))
            })
    }

    fn ticked_is_kept(&self) -> bool {
        let said = |sender: usize| 1..=self.senders[sender].said;
        let ticked = (0..self.senders.len())
            .flat_map(|sender| said(sender).map(move |counter| (sender, counter)))
            .filter(|(sender, counter)| self.is_ticked(*sender, *counter));
        ticked.into_iter().all(|(sender, counter)| {
            self.there().all(|device| self.is_kept(device, sender, counter))
        })
    }

    fn is_kept(&self, device: usize, sender: usize, counter: Counter) -> bool {
        let deleted = usize::from(self.store.deleted[device]);
        let waits = self.store.log.iter().skip(deleted);
        self.devices[device].shown[sender].contains(&counter)
            || waits.into_iter().any(|(from, of)| (usize::from(*from), *of) == (sender, counter))
    }

    /// The newest record of a device's mailbox that has left it, or that the device says it has.
    fn acknowledged(&self, device: usize) -> Seq {
        let client = Client::of_device(device);
        let link = &self.links[client.index()];
        let said = link.now.iter().chain(&link.before).flat_map(|session| &session.up);
        let said = said.filter_map(|said| match said {
            ToServer::Ack(up_to) => Some(*up_to),
            ToServer::Attach | ToServer::Submit(_) => None,
        });
        let store = &self.store;
        let batch = match store.batch {
            Some(Work::Acknowledge(of, up_to)) if of == client => up_to,
            Some(Work::Acknowledge(..) | Work::Submit(_)) | None => 0,
        };
        said.fold(store.deleted[device].max(store.acks[client.index()]).max(batch), Seq::max)
    }

    fn deleted_is_committed(&self) -> bool {
        self.there().all(|device| {
            let deleted = self.store.log.iter().take(self.acknowledged(device).into());
            deleted.into_iter().all(|(from, counter)| {
                self.devices[device].shown[usize::from(*from)].contains(counter)
            })
        })
    }

    fn is_stored_once(&self) -> bool {
        let log = &self.store.log;
        log.iter().enumerate().all(|(index, one)| !log[..index].contains(one))
    }

    fn each_shown(&self) -> impl Iterator<Item = &[Counter]> {
        self.devices.iter().flat_map(|device| &device.shown).map(|shown| shown.as_slice())
    }

    fn is_shown_once(&self) -> bool {
        self.each_shown()
            .all(|shown| shown.iter().enumerate().all(|(at, one)| !shown[..at].contains(one)))
    }

    /// What was refused for good and taken after all comes when it comes.
    fn is_shown_in_order(&self) -> bool {
        self.devices
            .iter()
            .flat_map(|device| device.shown.iter().zip(&self.store.full))
            .all(|(shown, full)| shown.iter().filter(|counter| !full.has(**counter)).is_sorted())
    }

    fn failed_is_nowhere(&self) -> bool {
        let log = &self.store.log;
        log.iter().all(|(from, counter)| !self.senders[usize::from(*from)].failed.has(*counter))
    }

    /// Receipts in the mailbox come first of all: what is said and stored later came from there. What was refused
    /// for good and taken after all is stored after its successors, and a receipt for those names it too.
    fn receipts_are_true(&self) -> bool {
        (0..self.senders.len()).all(|sender| {
            let has = |device: usize, up_to: Counter| {
                let shown = &self.devices[device].shown[sender];
                let (taken, full) = (&self.store.windows[sender], &self.store.full[sender]);
                let taken = (1..=up_to).filter(|c| taken.has(*c) && !full.has(*c));
                taken.into_iter().all(|counter| shown.contains(&counter))
            };
            let waiting = self.store.receipts[sender].iter().all(|record| match record.entry {
                Entry::Receipt { by, up_to } => has(by.into(), up_to),
                Entry::Message { .. } => false,
            });
            let told = self.senders[sender].delivered.iter().enumerate();
            waiting && told.into_iter().all(|(device, up_to)| has(device, *up_to))
        })
    }

    fn disagrees(&self) -> bool {
        self.senders.iter().any(|sender| sender.disagrees)
    }

    /// Whether nothing happens any more unless something goes wrong.
    pub(crate) fn is_at_rest(&self) -> bool {
        let mut rests = true;
        self.steps(&mut |_| rests = false);
        rests
    }

    fn is_done(&self) -> bool {
        let all_is_told = self.senders.iter().zip(&self.store.windows).all(|(sender, taken)| {
            let mut answered = sender.accepted;
            sender.failed.iter().for_each(|counter| answered.add(counter));
            let newest = taken.iter().last().unwrap_or(0);
            answered == Set::up_to(sender.to_say)
                && sender.accepted == *taken
                && self.there().all(|device| sender.delivered[device] == newest)
        });
        let all_is_shown = self.there().all(|device| {
            let shown = self.devices[device].shown.iter();
            shown.zip(&self.store.windows).all(|(shown, taken)| shown.len() == taken.iter().count())
        });
        let newest = self.store.log.len();
        let all_has_left =
            self.there().all(|device| usize::from(self.store.deleted[device]) == newest);
        all_is_shown
            && all_is_told
            && all_has_left
            && self.store.receipts.iter().all(|receipts| receipts.is_empty())
    }
}
