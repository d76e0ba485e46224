//! Who exactly has a message to a group: of copies it is known here, of what the server gave to all it is
//! asked when somebody wants to know.

use std::collections::BTreeMap;

use godwit_base::{AccountId, MessageId};
use godwit_wire::{Refusal, ToServer, v1};

use super::reach::{Counted, SentId};
use crate::core::asking::Request;
use crate::core::{Core, refusal_of};
use crate::{MessageState, Recipient, Recipients};

/// Questions at once, 8: people look at one message at a time.
const QUESTIONS_MAX: usize = 8;

/// An answer, or the number under which it will come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Known here, or not known.
    Now(Recipients),
    /// Ask [`Core::take_recipients`] under this number.
    Later(u64),
}

/// Questions that wait, by number.
#[derive(Default)]
pub(super) struct Questions {
    by_number: BTreeMap<u64, (SentId, Option<Recipients>)>,
    last: u64,
}

impl Questions {
    fn ask(&mut self, id: SentId) -> Option<u64> {
        if self.by_number.len() >= QUESTIONS_MAX {
            return None;
        }
        self.last += 1;
        self.by_number.insert(self.last, (id, None));
        Some(self.last)
    }

    /// The link is gone, and with it every answer.
    pub(super) fn link_lost(&mut self) {
        let unanswered = self.by_number.values_mut().filter(|(_, answer)| answer.is_none());
        unanswered.for_each(|(_, answer)| *answer = Some(unknown(OFFLINE)));
    }
}

const OFFLINE: &str = "the server, which knows, is not reachable just now";

fn unknown(why: &str) -> Recipients {
    Recipients { list: Vec::new(), unknown: Some(why.to_owned()) }
}

impl Core {
    /// Asks which members have a message to a group that this account sent, and which have read it. Nobody is
    /// named for what another sent.
    pub fn ask_recipients(&mut self, id: MessageId) -> Asked {
        if !self.is_own(id.device.account) {
            return Asked::Now(Recipients::default());
        }
        let Some((sent_id, sent)) = self.groups.reaches.find(id) else {
            return Asked::Now(unknown("that is not kept so long"));
        };
        if let Some(list) = self.members_reached(sent_id, sent) {
            return Asked::Now(Recipients { list, unknown: None });
        }
        let group = sent.group.0.to_vec().into();
        if !self.link.is_attached() {
            return Asked::Now(unknown(OFFLINE));
        }
        let Some(number) = self.groups.questions.ask(sent_id) else {
            return Asked::Now(unknown("too many questions wait for the server"));
        };
        let request = self.next_request(Request::GroupProgress(number));
        let (origin, counter) = sent_id;
        let progress = v1::GroupProgress { request, group, origin, counter };
        self.staged.messages.push(ToServer::GroupProgress(progress));
        Asked::Later(number)
    }

    /// The answer, once; `None` until it is known.
    pub fn take_recipients(&mut self, number: u64) -> Option<Recipients> {
        self.groups.questions.by_number.get(&number)?.1.as_ref()?;
        self.groups.questions.by_number.remove(&number)?.1
    }

    /// Nobody takes the answer.
    pub fn forget_recipients(&mut self, number: u64) {
        self.groups.questions.by_number.remove(&number);
    }

    /// The server says who has it. Who was a member it does not say: the log does.
    pub(in crate::core) fn on_progress(&mut self, progress: &v1::Progress) {
        let Some(Request::GroupProgress(number)) = self.requests.remove(&progress.request) else {
            return;
        };
        let Some((id, _)) = self.groups.questions.by_number.get(&number) else { return };
        let id = *id;
        let rows: BTreeMap<u64, (u64, u64)> =
            progress.reached.iter().map(|row| (row.account, (row.up_to, row.read_up_to))).collect();
        let answer = match self.groups.reaches.get(id) {
            Some(sent) if matches!(sent.counted, Counted::There { .. }) => {
                let recipient = |account: AccountId| {
                    let marks = rows.get(&account.0).copied().unwrap_or_default();
                    Recipient { state: self.state_by(id, marks), ..self.recipient_of(id, account) }
                };
                let list = self.others_in(sent).map(recipient).collect();
                Recipients { list, unknown: None }
            }
            _ => unknown("that is not kept so long"),
        };
        self.answer_question(number, answer);
    }

    fn state_by(&self, (_, counter): SentId, (has, read): (u64, u64)) -> MessageState {
        // Who does not tell is not told.
        if read >= counter && self.sends_receipts() {
            MessageState::Read
        } else if has.max(read) >= counter {
            MessageState::Delivered
        } else {
            MessageState::Accepted
        }
    }

    /// The server does not say.
    pub(in crate::core) fn on_progress_refused(&mut self, number: u64, refused: &v1::Refused) {
        let why = refusal_of(refused).map_or("the server does not say", Refusal::text);
        self.answer_question(number, unknown(why));
    }

    fn answer_question(&mut self, number: u64, answer: Recipients) {
        if let Some((_, waits)) = self.groups.questions.by_number.get_mut(&number) {
            *waits = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_questions_at_once_and_none_outlives_the_link() {
        let mut questions = Questions::default();
        let numbers: Vec<u64> =
            (0..QUESTIONS_MAX as u64).filter_map(|n| questions.ask((1, n))).collect();
        assert_eq!((numbers.len(), questions.ask((1, 99))), (QUESTIONS_MAX, None));
        questions.by_number.remove(&numbers[0]);
        assert!(questions.ask((1, 99)).is_some());
        questions.link_lost();
        assert!(questions.by_number.values().all(|(_, answer)| *answer == Some(unknown(OFFLINE))));
    }
}
