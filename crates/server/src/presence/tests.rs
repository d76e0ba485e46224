//! The table's bounds, without sessions.

use godwit_store::Token;

use super::*;

const BOB: AccountId = AccountId(7);
const ALICE: AccountId = AccountId(8);

fn table() -> Presence {
    Presence::new(Counter::default())
}

fn seat(n: u64) -> Arc<Seat> {
    Arc::new(Seat::new(Token(n), 0, 0))
}

fn at(s: u32) -> Moment {
    Moment { s, unix_ms: 60_000_000 + u64::from(s) * 1_000 }
}

#[test]
fn so_many_have_one_chat_open_and_whoever_comes_later_sees_nothing() {
    let (table, bob) = (table(), seat(0));
    table.set(BOB, &bob, true, Rule::Everyone, at(0));
    let seats: Vec<_> = (0..WATCHERS_MAX as u64).map(seat).collect();
    for watcher in &seats {
        assert!(table.open(BOB, ALICE, watcher, 3));
    }
    let late = seat(0);
    assert!(!table.open(BOB, ALICE, &late, 3));
    assert!(table.look(BOB, &seats[0], None).online);
    assert_eq!(table.look(BOB, &late, None), Seen::UNKNOWN);
    table.set(BOB, &bob, false, Rule::Everyone, at(1));
    assert!(seats.iter().all(|watcher| watcher.take_marks() == 1 << 3), "each is told once");
    table.close(BOB, &seats[0]);
    assert!(table.open(BOB, ALICE, &late, 0));
}

#[test]
fn an_account_has_so_many_sessions_and_no_more() {
    let table = table();
    let seats: Vec<_> = (0..=SESSIONS_MAX as u64).map(seat).collect();
    let entered: Vec<bool> =
        seats.iter().map(|seat| table.set(BOB, seat, true, Rule::Everyone, at(0))).collect();
    assert_eq!(entered.iter().filter(|entered| **entered).count(), SESSIONS_MAX);
    assert_eq!(entered.last(), Some(&false));
    table.leave(BOB, &seats[0], at(0));
    assert!(table.set(BOB, &seats[SESSIONS_MAX], true, Rule::Everyone, at(0)));
}

#[test]
fn a_second_has_room_for_so_many_tellings_and_the_next_one_makes_up_for_it() {
    let table = table();
    let watcher = seat(1);
    let bobs: Vec<_> =
        (0..u64::from(TELLINGS_PER_S) + 1).map(|n| (AccountId(n), seat(n))).collect();
    for (account, own) in &bobs {
        table.open(*account, ALICE, &watcher, 0);
        table.set(*account, own, true, Rule::Everyone, at(0));
    }
    assert_eq!(table.held.get(), 1, "all but the last had room");
    assert!(!table.take_room(1));
    table.tick(at(1));
    assert_eq!(table.held.get(), 1);
    assert!(table.take_room(TELLINGS_PER_S - 1), "one was used for what had waited");
    assert!(!table.take_room(1));
    // Typing is not made up for: it is over by then.
    watcher.take_marks();
    table.types(bobs[0].0, ALICE, true);
    assert!(!watcher.has_marks());
    table.tick(at(2));
    assert!(!watcher.has_marks());
}

#[test]
fn a_full_shard_forgets_who_was_away_longest_and_nobody_who_is_here() {
    let mut shard = Shard::default();
    let present = seat(0);
    let fill = |shard: &mut Shard, n: u64, leaves_s: Option<u32>| {
        let fits = shard.has_room(AccountId(n));
        if fits {
            let entry = shard.accounts.entry(AccountId(n)).or_default();
            entry.enter(&present, true);
            entry.settle(true, at(0));
            if let Some(leaves_s) = leaves_s {
                entry.enter(&present, false);
                entry.settle(true, at(leaves_s));
                entry.leave(&present);
            }
        }
        fits
    };
    let half = ACCOUNTS_MAX as u64 / 2;
    for n in 0..half {
        assert!(fill(&mut shard, n, None));
        assert!(fill(&mut shard, half + n, Some(u32::try_from(n).unwrap() * 60)));
    }
    assert_eq!(shard.accounts.len(), ACCOUNTS_MAX);
    assert!(fill(&mut shard, 2 * half, None));
    let knows = |shard: &Shard, n: u64| shard.accounts.contains_key(&AccountId(n));
    assert!((0..half).all(|n| knows(&shard, n)), "who is here stays");
    assert!(!knows(&shard, half) && knows(&shard, 2 * half - 1), "the longest away go first");
    let mut n = 3 * half;
    while fill(&mut shard, n, None) {
        n += 1;
    }
    assert_eq!(shard.accounts.len(), ACCOUNTS_MAX, "full of those who are here");
    assert!(shard.has_room(AccountId(0)), "who is known is in it");
}

#[test]
fn nothing_is_kept_of_who_was_never_here_or_is_looked_at_no_more() {
    let (table, bob, alice) = (table(), seat(1), seat(2));
    table.set(BOB, &bob, false, Rule::Everyone, at(0));
    table.open(BOB, ALICE, &alice, 0);
    table.leave(BOB, &bob, at(1));
    table.close(BOB, &alice);
    for shard in 0..SHARDS {
        let shard = table.shard_at(shard);
        assert!(shard.accounts.is_empty() && shard.watchers.is_empty());
    }
}

#[test]
fn an_account_is_small() {
    // With its key, and a map that is at worst half empty: the 150 B of `ACCOUNTS_MAX`.
    let each = 2 * (size_of::<(AccountId, Account)>() + 1);
    assert!(each <= 180, "{each} bytes");
    assert!(size_of::<Watcher>() <= 24);
}

#[test]
fn a_pass_is_compared_whole() {
    let pass = [7; 16];
    let rule = Rule::Contacts(pass);
    assert!(rule.admits(Some(pass)) && !rule.admits(None));
    for at in 0..pass.len() {
        let mut other = pass;
        other[at] ^= 1;
        assert!(!rule.admits(Some(other)), "byte {at}");
    }
    assert!(!Rule::Nobody.admits(Some(pass)) && Rule::Everyone.admits(None));
}
