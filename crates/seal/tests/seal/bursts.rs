//! Bursts larger than a session: whatever the two sides have read so far, each message opens.

use std::collections::VecDeque;

use godwit_base::limits::MAILBOX_RECORDS_MAX;
use godwit_seal::BURST_MAX;
use proptest::prelude::*;

use crate::people::{Letter, Person};

/// Two people and the mail between them, which keeps its order.
struct Correspondence {
    people: [Person; 2],
    /// What is on its way to each.
    mail: [VecDeque<Letter>; 2],
    /// The last counter that each has read of the other.
    read_up_to: [u64; 2],
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Write {
        who: usize,
        messages: usize,
    },
    Read {
        who: usize,
        messages: usize,
    },
    /// The receipt for what `who` has read arrives at the other.
    Receipt {
        who: usize,
    },
    Restart {
        who: usize,
    },
}

impl Correspondence {
    fn new() -> Self {
        Self {
            people: [Person::new(), Person::new()],
            mail: [VecDeque::new(), VecDeque::new()],
            read_up_to: [0; 2],
        }
    }

    fn takes(&mut self, step: Step) {
        match step {
            Step::Write { who, messages } => (0..messages).for_each(|_| self.write(who)),
            Step::Read { who, messages } => (0..messages).for_each(|_| self.read(who)),
            Step::Receipt { who } => {
                let up_to = self.read_up_to[who];
                let [writer, reader] = self.pair(1 - who);
                writer.with_peer(reader).delivered(up_to);
            }
            Step::Restart { who } => self.people[who].restarts(),
        }
    }

    /// A full mailbox takes nothing more.
    fn write(&mut self, who: usize) {
        if self.mail[1 - who].len() >= MAILBOX_RECORDS_MAX {
            return;
        }
        let [writer, reader] = self.pair(who);
        if reader.one_time.is_empty() {
            reader.publishes();
        }
        let letter = writer.writes(reader, "text");
        self.mail[1 - who].push_back(letter);
    }

    fn read(&mut self, who: usize) {
        let Some(letter) = self.mail[who].pop_front() else { return };
        let [reader, writer] = self.pair(who);
        assert_eq!(reader.reads(writer, &letter), "text", "message {}", letter.counter);
        self.read_up_to[who] = letter.counter;
    }

    fn pair(&mut self, first: usize) -> [&mut Person; 2] {
        let [alice, bob] = &mut self.people;
        if first == 0 { [alice, bob] } else { [bob, alice] }
    }
}

/// Bob is as far behind as his mailbox allows; receipts then free Alice's sessions, and she comes
/// back to them. Three rounds: in the first both have the same by luck, whatever the rule.
#[test]
fn a_writer_goes_back_only_to_a_session_that_the_reader_still_has() {
    let messages = MAILBOX_RECORDS_MAX;
    let mut talk = Correspondence::new();
    for _ in 0..3 {
        talk.takes(Step::Write { who: 0, messages });
        talk.takes(Step::Read { who: 1, messages });
        talk.takes(Step::Receipt { who: 1 });
    }
    assert!(talk.mail[1].is_empty());
}

/// Bob begins to read a full mailbox and answers at once.
#[test]
fn an_answer_on_the_oldest_of_many_sessions_opens() {
    let mut talk = Correspondence::new();
    talk.takes(Step::Write { who: 0, messages: MAILBOX_RECORDS_MAX });
    talk.takes(Step::Read { who: 1, messages: 1 });
    talk.takes(Step::Write { who: 1, messages: 1 });
    talk.takes(Step::Write { who: 0, messages: 1 });
    talk.takes(Step::Read { who: 0, messages: 1 });
    talk.takes(Step::Write { who: 0, messages: 1 });
    talk.takes(Step::Read { who: 1, messages: MAILBOX_RECORDS_MAX });
}

fn step(people: usize) -> impl Strategy<Value = Step> {
    let many = BURST_MAX as usize;
    prop_oneof![
        4 => (0..people, 1..2 * many).prop_map(|(who, messages)| Step::Write { who, messages }),
        3 => (0..2_usize, 1..2 * many).prop_map(|(who, messages)| Step::Read { who, messages }),
        2 => (0..2_usize).prop_map(|who| Step::Receipt { who }),
        1 => (0..2_usize).prop_map(|who| Step::Restart { who }),
    ]
}

proptest! {
    // A case seals and opens about ten thousand messages.
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn any_bursts_of_one_writer_open(steps in proptest::collection::vec(step(1), 10..24)) {
        let mut talk = Correspondence::new();
        steps.into_iter().for_each(|step| talk.takes(step));
        talk.takes(Step::Read { who: 1, messages: usize::from(u16::MAX) });
    }

    #[test]
    fn any_bursts_of_two_writers_open(steps in proptest::collection::vec(step(2), 10..24)) {
        let mut talk = Correspondence::new();
        steps.into_iter().for_each(|step| talk.takes(step));
        for who in 0..2 {
            talk.takes(Step::Read { who, messages: usize::from(u16::MAX) });
        }
    }
}
