//! A server that was put back from a backup has lost what it accepted since: devices send it again, and
//! nobody is shown anything twice.

use godwit_client::{MessageState, WarningKind};

use crate::posts::{group_of, texts};
use crate::server::Backup;
use crate::world::World;

impl World {
    /// The server dies, and another begins in its place from a backup.
    fn puts_back(&mut self, backup: Backup) {
        self.server.is_put_back(backup);
        (0..self.devices.len()).for_each(|at| self.cut(at));
    }
}

#[test]
fn what_was_accepted_since_the_backup_is_sent_again_and_shown_once() {
    let mut world = World::with(&["alice", "bob"]);
    let bob = world.index("bob");
    world.send("alice", "bob", "before");
    world.settle();
    let backup = world.server.backs_up();
    world.send("alice", "bob", "had");
    world.settle();
    world.cut(bob);
    let lost = world.send("alice", "bob", "lost");
    world.settle_without(bob);
    assert_eq!(world.state("alice", lost), MessageState::Accepted, "one tick, and nobody has it");
    world.puts_back(backup);
    world.send("alice", "bob", "after");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["before", "had", "lost", "after"]);
    assert_eq!(world.state("alice", lost), MessageState::Delivered);
    assert_eq!(world.warnings("alice", WarningKind::Server), 1);
    assert_eq!(world.warnings("bob", WarningKind::Undecryptable), 0);
    world.send("bob", "alice", "thanks");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["thanks"]);
}

#[test]
fn a_second_device_gets_what_only_the_first_had() {
    let mut world = World::with(&["alice", "bob"]);
    let tablet = world.add_device("bob");
    world.send("alice", "bob", "before");
    world.settle();
    let backup = world.server.backs_up();
    world.cut(tablet);
    let id = world.send("alice", "bob", "two ticks by the first device");
    world.settle_without(tablet);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    world.puts_back(backup);
    world.settle();
    let expected = ["before", "two ticks by the first device"];
    assert_eq!(world.texts("bob", "alice"), expected);
    assert_eq!(world.devices[tablet].texts_from(&crate::world::handle("alice")), expected);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn posts_to_a_large_group_come_again_to_who_lacks_them() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "before");
    world.settle();
    let backup = world.server.backs_up();
    world.cut(33);
    world.says(0, group, "lost to one");
    world.settle_without(33);
    world.puts_back(backup);
    world.settle();
    for at in 1..34 {
        assert_eq!(world.texts_in(at, group), texts(&["before", "lost to one"]), "device {at}");
    }
}

/// The client itself dies before it has sent it again.
#[test]
fn a_crash_between_the_finding_and_the_sending_loses_nothing() {
    let mut world = World::with(&["alice", "bob"]);
    let (alice, bob) = (world.index("alice"), world.index("bob"));
    let backup = world.server.backs_up();
    world.cut(bob);
    world.send("alice", "bob", "lost");
    world.settle_without(bob);
    world.puts_back(backup);
    // Until Alice has heard the welcome and has written what she makes of it.
    for _ in 0..40 {
        world.pass(50);
        world.drive(alice);
        world.obey(alice);
        world.carry_up(alice, usize::MAX);
        world.carry_down(alice, usize::MAX);
        if world.server.connections.contains_key(&alice) {
            break;
        }
    }
    world.carry_down(alice, usize::MAX);
    world.drive(alice);
    world.device("alice").crash();
    world.obey(alice);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["lost"]);
}

#[test]
fn a_server_that_has_lost_nothing_is_sent_nothing_again() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let submitted = world.server.submitted.len();
    for _ in 0..3 {
        world.cut(0);
        world.settle();
    }
    assert_eq!(world.server.submitted.len(), submitted);
    assert_eq!(world.warnings("alice", WarningKind::Server), 0);
}
