//! In a group an answer does not come before the question of somebody who had to be looked up.

use godwit_base::{GroupId, MessageId};
use godwit_client::MessageState;
use godwit_client::core::GroupCommand;

use crate::world::{World, handle};

/// A number that no refusal has.
const UNKNOWN_CODE: u32 = 999;

/// Pause before a question is asked again that the server refused.
const ASK_AGAIN_MS: u64 = 30_000;

/// More than a device holds of records whose senders it has to learn, 512.
const MORE_THAN_HELD: usize = 600;

const ALICE: usize = 0;
const CAROL: usize = 2;
const DAVE: usize = 3;

/// Dave knows alice and bob. Carol, whom he does not know, asks in a group of hers, alice and him, and alice
/// answers; bob is not in it.
struct Asked {
    world: World,
    group: GroupId,
    question: MessageId,
}

impl World {
    fn settle_only(&mut self, who: usize) {
        for _ in 0..20 {
            self.pass(50);
            self.step(who);
        }
    }

    /// The server refuses to say who anybody is.
    fn names_nobody(&mut self, on: bool) {
        self.server.mischief.fetch_refused = (if on { u32::MAX } else { 0 }, UNKNOWN_CODE);
    }
}

impl Asked {
    /// While dave is away; he has heard of the group before if he `knows` it.
    fn while_away(knows: bool, answers: usize) -> Self {
        let mut world = World::with(&["alice", "bob", "carol", "dave"]);
        for friend in ["alice", "bob"] {
            world.send("dave", friend, "hello");
            world.settle();
        }
        let with = vec![handle("carol"), handle("dave")];
        let create = GroupCommand::Create { name: "Herons".to_owned(), with };
        let number = world.devices[ALICE].core().change_group(create).unwrap();
        world.settle_without(DAVE);
        let group = world.devices[ALICE].core().take_group_outcome(number).unwrap().unwrap().group;
        if knows {
            world.names_nobody(true);
            world.settle_only(DAVE);
            world.names_nobody(false);
            assert!(world.devices[DAVE].core().group(group).is_some());
        }
        let now = world.now();
        let question = world.devices[CAROL].say(group, "who is there?", now);
        world.settle_without(DAVE);
        for answer in 0..answers {
            let now = world.now();
            world.devices[ALICE].say(group, &format!("answer {answer}"), now);
        }
        world.settle_without(DAVE);
        Self { world, group, question }
    }

    /// Dave hears what there is, and who carol is not.
    fn dave_hears(&mut self) {
        self.world.names_nobody(true);
        self.world.settle_only(DAVE);
        self.world.names_nobody(false);
    }

    fn said(&self) -> Vec<(String, String)> {
        self.world.devices[DAVE].said_in(self.group)
    }

    fn check_order(&self, answers: usize) {
        let question = ("carol".to_owned(), "who is there?".to_owned());
        let answers = (0..answers).map(|answer| ("alice".to_owned(), format!("answer {answer}")));
        assert_eq!(self.said(), [question].into_iter().chain(answers).collect::<Vec<_>>());
    }
}

#[test]
fn in_a_group_that_is_known_it_waits_for_the_question() {
    let mut asked = Asked::while_away(true, 2);
    asked.dave_hears();
    assert_eq!(asked.said(), []);
    asked.world.pass(ASK_AGAIN_MS);
    asked.world.settle();
    asked.check_order(2);
}

#[test]
fn in_a_group_that_is_new_it_waits_for_the_question_although_the_log_comes_first() {
    let mut asked = Asked::while_away(false, 2);
    asked.dave_hears();
    assert!(asked.world.devices[DAVE].core().group(asked.group).is_some(), "the log is there");
    assert_eq!(asked.said(), []);
    asked.world.pass(ASK_AGAIN_MS);
    asked.world.settle();
    asked.check_order(2);
}

#[test]
fn so_does_one_that_waited_for_the_log_before_a_crash() {
    let mut asked = Asked::while_away(false, 2);
    asked.dave_hears();
    asked.world.devices[DAVE].crash();
    asked.world.obey(DAVE);
    asked.world.settle();
    asked.check_order(2);
}

#[test]
fn more_than_is_held_waits_on_the_server() {
    for knows in [true, false] {
        let mut asked = Asked::while_away(knows, MORE_THAN_HELD);
        asked.dave_hears();
        assert_eq!(asked.said(), []);
        asked.world.pass(ASK_AGAIN_MS);
        asked.world.settle();
        asked.check_order(MORE_THAN_HELD);
    }
}

#[test]
fn who_is_not_in_the_group_is_not_held_up() {
    let mut asked = Asked::while_away(true, 1);
    asked.world.send("bob", "dave", "hi");
    asked.world.settle_without(DAVE);
    asked.dave_hears();
    assert_eq!(asked.said(), []);
    assert_eq!(asked.world.texts("dave", "bob"), ["hi"]);
}

#[test]
fn it_does_not_wait_for_ever() {
    let mut asked = Asked::while_away(true, 1);
    asked.world.names_nobody(true);
    for _ in 0..12 {
        asked.world.settle_only(DAVE);
        asked.world.pass(ASK_AGAIN_MS);
    }
    asked.world.settle_only(DAVE);
    assert_eq!(asked.said(), [("alice".to_owned(), "answer 0".to_owned())]);
}

/// The question is gone from the mailbox when dave comes again: its time was over.
#[test]
fn it_does_not_wait_for_a_question_that_comes_no_more() {
    let mut asked = Asked::while_away(false, 1);
    asked.dave_hears();
    assert_eq!(asked.said(), []);
    asked.world.cut(DAVE);
    let dave = asked.world.devices[DAVE].id();
    asked.world.server.withhold_of(dave, asked.question);
    asked.world.names_nobody(true);
    for _ in 0..4 {
        asked.world.settle_only(DAVE);
    }
    assert_eq!(asked.said(), [("alice".to_owned(), "answer 0".to_owned())]);
}

/// Alice says something to bob and carol, whose keys she has to fetch first; meanwhile she writes to bob alone.
/// His receipt for that says "up to here", and must not say it of what he has not got.
#[test]
fn what_overtook_a_message_brings_no_receipt_for_it() {
    const BOB: usize = 1;
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let with = vec![handle("alice"), handle("carol")];
    let create = GroupCommand::Create { name: "Herons".to_owned(), with };
    let number = world.devices[BOB].core().change_group(create).unwrap();
    world.settle_without(ALICE);
    let group = world.devices[BOB].core().take_group_outcome(number).unwrap().unwrap().group;
    world.names_nobody(true);
    world.settle_only(ALICE);
    world.names_nobody(false);
    world.cut(BOB);
    world.pass(ASK_AGAIN_MS);
    let now = world.now();
    let to_both = world.devices[ALICE].say(group, "to both", now);
    let to_bob = world.send("alice", "bob", "to bob");
    world.settle_without(BOB);
    assert_eq!(world.texts("carol", "alice"), ["to both"]);
    let bob = world.devices[BOB].id();
    let withheld = world.server.withhold(bob);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "to bob"]);
    assert_eq!(world.state("alice", to_bob), MessageState::Delivered);
    assert_eq!(world.state("alice", to_both), MessageState::Accepted, "bob has it not");
    world.server.append(bob, withheld);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "to bob", "to both"]);
    assert_eq!(world.state("alice", to_both), MessageState::Delivered);
}
