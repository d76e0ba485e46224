//! Device lists over weeks: signed anew, and questioned when they are not.

use godwit_base::AccountId;
use godwit_client::{MessageState, WarningKind};
use godwit_seal::{
    AccountPublic, DeviceList, LIST_AGE_MAX_MS, LIST_AHEAD_MAX_MS, LIST_RENEW_MS, Trust, Verified,
};
use godwit_wire::Refusal;

use crate::world::{BEGIN_MS, World, handle};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What [`World::settle`] takes.
const SETTLE_MS: u64 = 3_000;

impl World {
    pub(crate) fn account(&mut self, of: &str) -> AccountId {
        self.device(of).core().device().account
    }

    /// Lets time pass so that everybody is settled `ms` after the world began.
    fn settle_at(&mut self, ms: u64) {
        self.pass(ms - SETTLE_MS - self.mono_ms);
        self.settle();
        assert_eq!(self.mono_ms, ms);
        let online = self.devices.iter().enumerate().filter(|(_, device)| device.core.is_some());
        let online: Vec<usize> = online.map(|(at, _)| at).collect();
        assert!(online.iter().all(|at| self.server.connections.contains_key(at)));
    }

    fn freezes(&mut self, of: &str) {
        let account = self.account(of);
        self.server.mischief.freezes.insert(account);
    }

    fn thaws(&mut self, of: &str) {
        let account = self.account(of);
        self.server.mischief.freezes.clear();
        self.server.accounts.get_mut(&account).unwrap().thaw();
    }

    fn notice(&mut self, of: &str, with: &str) -> Option<String> {
        self.device(of).notices.get(&handle(with)).cloned().flatten()
    }

    /// The lists that the server was offered, read as contacts do at that time.
    fn offered(&self) -> Vec<Verified<DeviceList>> {
        let id = *self.server.accounts.keys().next().unwrap();
        let read = |(version, signed): &(u64, Vec<u8>)| {
            let now_ms = BEGIN_MS + self.mono_ms;
            let list = DeviceList::verify(signed, Trust::FirstUse(id), None, now_ms).unwrap();
            assert_eq!(list.version(), *version, "the version beside the list");
            list
        };
        self.server.lists.iter().map(read).collect()
    }
}

#[test]
fn a_list_is_signed_anew_after_seven_days_and_not_before() {
    let mut world = World::with(&["alice"]);
    world.settle_at(LIST_RENEW_MS - 1);
    assert!(world.server.lists.is_empty());
    world.settle();
    let offered = world.offered();
    let [list] = offered.as_slice() else { panic!("{} were offered", offered.len()) };
    assert_eq!(list.version(), 2);
    assert!(list.issued_at_ms() >= BEGIN_MS + LIST_RENEW_MS);
    assert!(!world.device("alice").has_next_list(), "it was adopted");
    for week in 2..=4 {
        world.settle_at(week * (LIST_RENEW_MS + SETTLE_MS));
    }
    let versions: Vec<u64> = world.server.lists.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [2, 3, 4, 5]);
    let all = world.offered();
    for pair in all.windows(2) {
        let pin = Trust::Pinned(pair[0].account_key());
        DeviceList::verify(pair[1].signed(), pin, Some(&pair[0]), pair[1].issued_at_ms()).unwrap();
    }
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 0);
}

#[test]
fn contacts_learn_the_list_signed_anew_from_the_next_message() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "one");
    world.settle_at(LIST_RENEW_MS + 2 * SETTLE_MS);
    assert_eq!(world.server.lists.len(), 2, "alice's and bob's");
    for text in ["two", "three", "four"] {
        world.send("alice", "bob", text);
        world.send("bob", "alice", text);
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two", "three", "four"]);
    assert_eq!(world.texts("alice", "bob"), ["two", "three", "four"]);
}

/// The next version is committed, and the process dies before it leaves; then again when the server has
/// it and the answer is on its way.
#[test]
fn the_same_bytes_are_offered_until_the_server_has_them() {
    let mut world = World::with(&["alice"]);
    world.pass(LIST_RENEW_MS);
    for crash in 1..=2 {
        let mut steps = 0;
        while !(world.device("alice").has_next_list() && world.server.lists.len() + 1 == crash) {
            steps += 1;
            assert!(steps < 200, "crash {crash} does not come");
            if world.devices[0].core.is_none() {
                let now = world.now();
                world.devices[0].restart(now);
            }
            world.pass(50);
            world.carry_down(0, usize::MAX);
            world.drive(0);
            world.obey(0);
            if !(crash == 1 && world.device("alice").has_next_list()) {
                world.carry_up(0, usize::MAX);
            }
        }
        world.device("alice").crash();
        world.obey(0);
    }
    let signed_at_ms = world.offered()[0].issued_at_ms();
    world.settle_at(LIST_RENEW_MS + DAY_MS);
    assert_eq!(world.server.lists.len(), 2, "once for each crash");
    assert_eq!(world.server.lists[0], world.server.lists[1], "the same bytes");
    assert!(signed_at_ms < BEGIN_MS + LIST_RENEW_MS + HOUR_MS);
    assert!(!world.device("alice").has_next_list(), "it was adopted");
}

#[test]
fn a_list_refused_for_now_is_offered_again_and_one_refused_for_good_rests_a_day() {
    for (refusal, retry_after_ms, pause_ms) in
        [(Refusal::Busy, 100, HOUR_MS), (Refusal::ListInvalid, 0, DAY_MS)]
    {
        let mut world = World::with(&["alice"]);
        world.server.mischief.list_refused = Some((1, refusal, retry_after_ms));
        world.settle_at(LIST_RENEW_MS + SETTLE_MS);
        world.settle_at(LIST_RENEW_MS + pause_ms - SETTLE_MS);
        let offered = 1 + usize::from(refusal == Refusal::Busy);
        assert_eq!(world.server.lists.len(), offered, "{refusal:?}");
        world.settle_at(LIST_RENEW_MS + pause_ms + HOUR_MS);
        assert_eq!(world.server.lists.len(), 2, "{refusal:?}");
        assert_eq!(world.server.lists[0], world.server.lists[1]);
        let warnings = usize::from(!refusal.retryable());
        assert_eq!(world.warnings("alice", WarningKind::DeviceList), warnings);
    }
}

#[test]
fn a_server_that_went_back_is_given_the_list_again() {
    let mut world = World::with(&["alice", "bob"]);
    let account = world.account("alice");
    let of = |world: &World| {
        let account = &world.server.accounts[&account];
        (account.list_version, account.signed_list.clone())
    };
    let first = of(&world);
    world.settle_at(LIST_RENEW_MS + SETTLE_MS);
    world.send("bob", "alice", "by the second list");
    world.settle();
    let second = of(&world);
    assert_eq!(second.0, 2);
    // Restored from a backup of the day before.
    let restored = world.server.accounts.get_mut(&account).unwrap();
    (restored.list_version, restored.signed_list) = first;
    world.settle_at(LIST_RENEW_MS + 2 * DAY_MS);
    assert_eq!(of(&world), second);
    world.send("bob", "alice", "and again");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["by the second list", "and again"]);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 0);
    // Two versions back there is nothing to give, and it is told.
    world.settle_at(2 * LIST_RENEW_MS + DAY_MS);
    let back = world.server.lists.iter().find(|(version, _)| *version == 2).unwrap().clone();
    world.settle_at(3 * LIST_RENEW_MS + 3 * DAY_MS);
    let restored = world.server.accounts.get_mut(&account).unwrap();
    assert_eq!(restored.list_version, 4);
    (restored.list_version, restored.signed_list) = back;
    world.settle_at(3 * LIST_RENEW_MS + 5 * DAY_MS);
    assert!(world.warnings("alice", WarningKind::DeviceList) >= 1);
}

/// Two homes with one account key: the second finds that the first was quicker.
#[test]
fn a_list_by_another_holder_of_the_key_is_adopted_and_told() {
    let mut world = World::with(&["alice"]);
    let copy = world.device("alice").copy();
    world.settle_at(LIST_RENEW_MS + SETTLE_MS);
    assert_eq!(world.server.lists.len(), 1);
    world.device("alice").put_back(copy);
    world.obey(0);
    world.settle_at(LIST_RENEW_MS + HOUR_MS);
    assert_eq!(world.server.lists.len(), 2, "its own version 2, which is not taken");
    assert_ne!(world.server.lists[0], world.server.lists[1]);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    assert!(!world.device("alice").has_next_list());
    world.settle_at(2 * LIST_RENEW_MS + DAY_MS);
    assert_eq!(world.server.lists.last().unwrap().0, 3, "it goes on from the other's");
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
}

#[test]
fn an_own_list_that_nobody_signed_is_told_and_not_adopted() {
    let mut world = World::with(&["alice"]);
    let account = world.account("alice");
    let shown = &mut world.server.accounts.get_mut(&account).unwrap().signed_list;
    *shown.last_mut().unwrap() ^= 1;
    world.settle_at(HOUR_MS);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    *world.server.accounts.get_mut(&account).unwrap().signed_list.last_mut().unwrap() ^= 1;
    world.settle_at(LIST_RENEW_MS + DAY_MS);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    assert_eq!(world.server.accounts[&account].list_version, 2);
}

#[test]
fn a_list_of_thirty_five_days_is_used_and_an_older_one_questioned() {
    for (beyond_ms, questions) in [(0, 0), (1, 1)] {
        let mut world = World::with(&["alice", "bob"]);
        world.send("alice", "bob", "hello");
        world.settle();
        world.freezes("bob");
        world.settle_at(LIST_AGE_MAX_MS + beyond_ms);
        let fetches = world.server.fetches;
        let id = world.send("alice", "bob", "still there?");
        world.step(0);
        assert_eq!(world.server.fetches - fetches, questions);
        world.settle();
        assert_eq!(world.state("alice", id), MessageState::Delivered);
    }
}

/// Bob signs every week; a server that lies shows the list of the first day.
#[test]
fn a_frozen_list_is_noticed_and_the_chat_is_marked_until_it_thaws() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    world.freezes("bob");
    world.settle_at(LIST_AGE_MAX_MS + DAY_MS);
    let id = world.send("alice", "bob", "still there?");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered, "not verified: told, and sent");
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    assert!(world.notice("alice", "bob").unwrap().contains("36 days old"));
    let fetches = world.server.fetches;
    world.send("alice", "bob", "once more");
    world.settle();
    assert_eq!(world.server.fetches, fetches, "asked once an hour at most");
    // That survives a restart: told once, marked still.
    world.device("alice").crash();
    world.obey(0);
    world.settle();
    world.send("alice", "bob", "and after a restart");
    world.settle();
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    assert!(world.notice("alice", "bob").is_some());
    world.thaws("bob");
    world.send("alice", "bob", "at last");
    world.settle();
    assert_eq!(world.notice("alice", "bob"), None);
    assert_eq!(world.texts("bob", "alice").len(), 5);
}

#[test]
fn to_a_verified_contact_nothing_new_is_sealed_by_a_frozen_list() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    world.device("alice").core().set_verified(&handle("bob"), true).unwrap();
    world.freezes("bob");
    world.settle_at(LIST_AGE_MAX_MS + DAY_MS);
    world.server.submitted.clear();
    let held = world.send("alice", "bob", "secret");
    world.settle();
    assert_eq!(world.state("alice", held), MessageState::Pending);
    assert!(world.server.submitted.is_empty(), "nothing was sealed");
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    world.settle_at(LIST_AGE_MAX_MS + 2 * DAY_MS);
    assert_eq!(world.state("alice", held), MessageState::Pending);
    // The server shows the list again: the message goes by itself.
    world.thaws("bob");
    world.settle_at(LIST_AGE_MAX_MS + 2 * DAY_MS + 2 * HOUR_MS);
    assert_eq!(world.state("alice", held), MessageState::Delivered);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    assert_eq!(world.notice("alice", "bob"), None);
}

#[test]
fn the_user_may_accept_an_old_list_and_the_next_is_judged_anew() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    world.freezes("bob");
    // Before it is old nothing is accepted.
    world.device("alice").core().set_verified(&handle("bob"), true).unwrap();
    world.settle_at(LIST_AGE_MAX_MS + DAY_MS);
    let held = world.send("alice", "bob", "secret");
    world.settle();
    assert_eq!(world.state("alice", held), MessageState::Pending);
    world.device("alice").core().set_verified(&handle("bob"), true).unwrap();
    world.settle();
    assert_eq!(world.state("alice", held), MessageState::Delivered);
    // A younger list that grows old in its turn is another one.
    world.thaws("bob");
    world.send("alice", "bob", "by the new list");
    world.settle();
    world.freezes("bob");
    world.settle_at(2 * LIST_AGE_MAX_MS + 3 * DAY_MS);
    let held = world.send("alice", "bob", "held again");
    world.settle();
    assert_eq!(world.state("alice", held), MessageState::Pending);
}

/// The honest case: bob was away for six weeks.
#[test]
fn who_was_away_for_six_weeks_gets_what_was_sent_and_signs_anew_on_return() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let bob = world.index("bob");
    let home = world.device("bob").copy();
    world.cut(bob);
    let core = world.devices[bob].core.take();
    drop(core);
    world.server.connections.remove(&bob);
    world.pass(42 * DAY_MS);
    for _ in 0..60 {
        world.pass(50);
        world.step(0);
    }
    let id = world.send("alice", "bob", "are you well?");
    for _ in 0..60 {
        world.pass(50);
        world.step(0);
    }
    assert_eq!(world.state("alice", id), MessageState::Accepted);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
    world.devices[bob].put_back(home);
    world.obey(bob);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "are you well?"]);
    world.send("alice", "bob", "good");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "good");
    assert_eq!(world.notice("alice", "bob"), None);
}

#[test]
fn what_comes_by_an_old_list_is_questioned_too() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("bob", "alice", "hello");
    world.settle();
    world.freezes("bob");
    world.settle_at(LIST_AGE_MAX_MS + DAY_MS);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 0);
    world.send("bob", "alice", "it is me");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["hello", "it is me"]);
    assert_eq!(world.warnings("alice", WarningKind::DeviceList), 1);
}

#[test]
fn a_clock_wrong_by_a_year_signs_and_judges_by_the_servers() {
    let year_ms = i64::try_from(365 * DAY_MS).unwrap();
    for skew_ms in [year_ms, -year_ms] {
        let mut world = World::new();
        world.skew_ms = skew_ms;
        world.add("alice");
        world.add("bob");
        world.settle();
        let id = world.account("alice");
        let signed = world.server.accounts[&id].signed_list.clone();
        let now_ms = BEGIN_MS + world.mono_ms;
        let list = DeviceList::verify(&signed, Trust::FirstUse(id), None, now_ms).unwrap();
        assert!(list.issued_at_ms().abs_diff(now_ms) < LIST_AHEAD_MAX_MS);
        let key: AccountPublic = *list.account_key();
        world.send("alice", "bob", "one");
        world.settle_at(LIST_RENEW_MS + 2 * SETTLE_MS);
        world.send("alice", "bob", "two");
        world.settle();
        // Somebody sets the clock right while the link is up.
        world.skew_ms = 0;
        world.send("alice", "bob", "three");
        world.settle();
        assert_eq!(world.texts("bob", "alice"), ["one", "two", "three"]);
        assert_eq!(world.warnings("alice", WarningKind::DeviceList), 0);
        assert_eq!(world.server.lists.len(), 2, "each signed anew once");
        let renewed = world.server.accounts[&id].signed_list.clone();
        let now_ms = BEGIN_MS + world.mono_ms;
        DeviceList::verify(&renewed, Trust::Pinned(&key), Some(&list), now_ms).unwrap();
    }
}
