//! A panic, an error and a stall in every part of a running server, under a thousand sessions that chat: only
//! what its strategy names is started anew, and nobody else notices. How long each took to heal is printed:
//! `cargo nextest run -p godwit-server --features fail-points --success-output immediate faults`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use godwit_actor::{Exit, RestartBudget, State, Tree};
use godwit_base::JoinLink;
use godwit_server::admin::Question;
use godwit_wire::{ToClient, v1};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::link::{Heard, NoLink};
use super::operator::asks;
use super::person::Person;
use super::world::World;

/// Two sessions each.
const PAIRS: usize = 500;

/// Who are made at once: more would stand at the door for longer than it waits for them.
const AT_ONCE: usize = 64;

/// Longer than anything takes to heal; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at what is waited for: the sessions need the CPU too.
const LOOK: Duration = Duration::from_millis(5);

/// More than is used up here.
const RESTARTS: RestartBudget = RestartBudget { restarts: 1_000, window: Duration::from_secs(60) };

/// Parts that are started anew alone.
const SERVICES: [&str; 7] =
    ["watchdog", "sweeper", "upkeep", "scrubber", "presence", "door", "admin"];

async fn arrives(join: &JoinLink, handle: String) -> Person {
    let mut person = Person::new(join, &handle);
    person.dials().await.unwrap();
    person.registers().await.unwrap();
    person.attaches().await;
    person
}

/// A thousand people, two and two.
async fn people(join: &JoinLink) -> Vec<(Person, Person)> {
    let pair = async |n: usize| {
        (arrives(join, format!("from{n}")).await, arrives(join, format!("to{n}")).await)
    };
    stream::iter(0..PAIRS).map(pair).buffer_unordered(AT_ONCE).collect().await
}

/// Those who chat, until they are told to stop.
struct Crowd {
    pairs: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
}

impl Crowd {
    /// One message after the other: a tick, the text, and two ticks for each, or the test fails.
    async fn chats(join: &JoinLink) -> Self {
        let mut crowd = Self::nobody();
        for (mut from, mut to) in people(join).await {
            let (stop, said) = (Arc::clone(&crowd.stop), Arc::clone(&crowd.said));
            crowd.pairs.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let text = from.counter.to_string();
                    let counter = from.sends(&text).to(&to).await;
                    from.sees_tick(counter).await;
                    let deliver = to.receives(&text, &from).await;
                    assert_eq!(deliver.counter, counter);
                    to.acknowledges(&deliver).await;
                    from.sees_delivered(&to, counter).await;
                    said.fetch_add(1, Ordering::Relaxed);
                }
                from.counter
            });
        }
        crowd
    }

    /// As clients do: who is sent home comes back, and sends again what has no tick.
    async fn chats_patiently(join: &JoinLink) -> Self {
        let mut crowd = Self::nobody();
        for (from, to) in people(join).await {
            let (stop, said) = (Arc::clone(&crowd.stop), Arc::clone(&crowd.said));
            crowd.pairs.spawn(async move {
                let mut patient = Patient { from, to, had: 0 };
                while !stop.load(Ordering::Relaxed) {
                    patient.says_one().await;
                    said.fetch_add(1, Ordering::Relaxed);
                }
                patient.had
            });
        }
        crowd
    }

    fn nobody() -> Self {
        Self { pairs: JoinSet::new(), stop: Arc::default(), said: Arc::default() }
    }

    /// Waits until each pair may have said one thing more; they go on while something is wrong.
    async fn goes_on(&self) {
        let from = self.said.load(Ordering::Relaxed);
        until("the chats go on", || self.said.load(Ordering::Relaxed) >= from + PAIRS as u64).await;
    }

    /// Everybody stops; who noticed something has failed. Returns what was said.
    async fn ends(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut said = 0;
        while let Some(pair) = self.pairs.join_next().await {
            said += pair.expect("this pair noticed something");
        }
        said
    }
}

/// Two who chat whatever happens.
struct Patient {
    from: Person,
    to: Person,
    /// The last counter that arrived.
    had: u64,
}

impl Patient {
    async fn says_one(&mut self) {
        self.from.counter += 1;
        let counter = self.from.counter;
        while !self.is_ticked(counter).await {}
        while self.had < counter {
            match self.to.link().next().await {
                Heard::Message(message) => self.hears(&message).await,
                Heard::Keepalive => {}
                Heard::Closed => self.come_back().await,
            }
        }
    }

    /// Sends it; whether it has its tick.
    async fn is_ticked(&mut self, counter: u64) -> bool {
        let submit = self.to.sealed(counter, "whatever happens");
        let frame = self.from.link().frame(&[submit]);
        if !self.from.link().pipe.try_send(&frame).await {
            self.come_back().await;
            return false;
        }
        loop {
            match self.from.link().next().await {
                Heard::Message(ToClient::Accepted(it)) if it.counter == counter => return true,
                // Not now: it is sent again.
                Heard::Message(ToClient::Refused(it)) if it.counter == counter => {
                    assert_ne!(it.retry_after_ms, 0, "a refusal for good");
                    return false;
                }
                Heard::Closed => {
                    self.come_back().await;
                    return false;
                }
                Heard::Message(_) | Heard::Keepalive => {}
            }
        }
    }

    /// In order, none left out; what is known comes again only until it is acknowledged.
    async fn hears(&mut self, message: &ToClient) {
        if let ToClient::Deliver(deliver) = message {
            assert!(deliver.counter <= self.had + 1, "{} after {}", deliver.counter, self.had);
            self.had = self.had.max(deliver.counter);
            let ack = v1::Ack { up_to: deliver.seq };
            let frame = self.to.link().frame(&[ack.into()]);
            // Not sent, it comes again on the next link.
            self.to.link().pipe.try_send(&frame).await;
        }
    }

    async fn come_back(&mut self) {
        for person in [&mut self.from, &mut self.to] {
            person.hangs_up();
            // A server that goes down and up refuses for a while.
            while !comes_back(person).await {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Whether the link is there and the device has its mailbox; what waits in it comes on the link.
async fn comes_back(person: &mut Person) -> bool {
    if person.dials().await.is_err() {
        person.hangs_up();
        return false;
    }
    let frame = person.link().frame(&[v1::Attach {}.into()]);
    person.link().pipe.try_send(&frame).await
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(LOOK).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

/// Restarts of every part, by its path.
fn restarts(tree: &Tree) -> Vec<(String, u64)> {
    let below = |tree: &Tree| restarts(tree);
    let own = (tree.name.clone(), tree.restarts);
    std::iter::once(own).chain(tree.children.iter().flat_map(below)).collect()
}

/// Who was started anew between the two.
fn anew(before: &Tree, after: &Tree) -> Vec<String> {
    let (before, after) = (restarts(before), restarts(after));
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    changed.map(|(before, _)| before.0.clone()).collect()
}

/// Has it go wrong once, waits until that part was started anew and runs, and says how long that took.
async fn heals(world: &World, path: &[&str], action: &str) -> Exit {
    let name = *path.last().unwrap();
    let before = world.server.tree().find(path).unwrap().restarts;
    let begun = Instant::now();
    fail::cfg(format!("fault::{name}"), &format!("1*{action}")).unwrap();
    until(name, || {
        let tree = world.server.tree();
        let part = tree.find(path).unwrap();
        part.restarts == before + 1 && part.state == State::Running
    })
    .await;
    eprintln!("heal: {name:<10} {action:<14} {:>6} ms", begun.elapsed().as_millis());
    world.server.tree().find(path).unwrap().last_exit.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_started_anew_and_a_thousand_sessions_notice_nothing() {
    fail::cfg("fault::tidier", "1*panic").unwrap();
    let world = World::with(|setup| setup.restarts = RESTARTS).await;
    let crowd = Crowd::chats(&world.join).await;
    for part in SERVICES {
        for (action, is_so) in [
            ("panic", (|exit| matches!(exit, Exit::Panicked(_))) as fn(&Exit) -> bool),
            ("return", |exit| matches!(exit, Exit::Failed(_))),
        ] {
            let before = world.server.tree();
            let exit = heals(&world, &["services", part], action).await;
            assert!(is_so(&exit), "{part}: {exit}");
            assert_eq!(anew(&before, &world.server.tree()), [part], "and nobody else");
            crowd.goes_on().await;
        }
    }
    // What waits for something that does not come is ended by its supervisor. The upkeep and
    // the scrubber may wait for half an hour; the kernel's own tests have paused time.
    let before = world.server.tree();
    let stalls = SERVICES.iter().filter(|part| !["upkeep", "scrubber"].contains(*part));
    let all: Vec<_> = stalls.clone().map(|part| ["services", part]).collect();
    let exits =
        futures_util::future::join_all(all.iter().map(|path| heals(&world, path, "return(stall)")));
    for exit in exits.await {
        assert_eq!(exit, Exit::Failed("no sign of life in 10000 ms".into()));
    }
    let names: Vec<_> = stalls.copied().collect();
    assert_eq!(anew(&before, &world.server.tree()), names);
    crowd.goes_on().await;
    let tree = world.server.tree();
    let tidier = tree.find(&["services", "tidier"]).unwrap();
    assert_eq!((tidier.restarts, tidier.state), (0, State::Ended), "it is not needed again");
    assert!(matches!(tidier.last_exit, Some(Exit::Panicked(_))));
    // The sessions are nobody's children: what would send them home goes, and what leans on it, but not they.
    for action in ["panic", "return", "return(stall)"] {
        let before = world.server.tree();
        let exit = heals(&world, &["sessions"], action).await;
        let is_silent = exit == Exit::Failed("no sign of life in 10000 ms".into());
        assert_eq!(is_silent, action == "return(stall)", "{action}: {exit}");
        until("services", || {
            world.server.tree().find(&["services"]).unwrap().state == State::Running
        })
        .await;
        let changed = anew(&before, &world.server.tree());
        assert!(!changed.iter().any(|part| part == "root" || part == "store"), "{changed:?}");
        assert!(changed.iter().any(|part| part == "services"), "{changed:?}");
        crowd.goes_on().await;
    }
    let said = crowd.ends().await;
    assert!(said >= 15 * PAIRS as u64, "{said}");
    world.stops().await;
}

/// A request that the server answers at once.
async fn asks_for_the_terms(person: &mut Person) {
    let request = person.request();
    person.link().says(&[v1::TermsRequest { request }.into()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_or_a_connection_that_goes_wrong_takes_nobody_along() {
    let world = World::with(|setup| setup.config.session.handshake_timeout_ms = 1_000).await;
    let mut victim = world.joins("victim").await;
    let before = world.server.tree();
    let crowd = Crowd::chats(&world.join).await;
    for action in ["1*panic", "1*return"] {
        fail::cfg("fault::session", action).unwrap();
        asks_for_the_terms(&mut victim).await;
        assert_eq!(victim.link().next().await, Heard::Closed);
        victim.comes_back().await;
        fail::cfg("fault::connection", action).unwrap();
        let mut other = Person::new(&world.join, "other");
        assert_eq!(other.dials().await.err(), Some(NoLink::Closed));
        crowd.goes_on().await;
    }
    // A turn that does not end: the watchdog sees it while it lasts, and so does who asks for the session.
    fail::cfg("fault::session", "pause").unwrap();
    asks_for_the_terms(&mut victim).await;
    let shown = timeout(PATIENCE, async {
        loop {
            let tree = asks(&world, Question::Tree).await.unwrap();
            if tree["tree"]["children"][1]["counts"]["turns_stuck"] == 1 {
                break asks(&world, Question::Session { id: "victim".into() }).await.unwrap();
            }
        }
    });
    let session = shown.await.unwrap()[0]["session"].clone();
    assert_eq!(session["answers"], false, "{session}");
    assert!(session["turn_running_ms"].as_u64().unwrap() >= 1_000, "{session}");
    crowd.goes_on().await;
    fail::remove("fault::session");
    assert!(matches!(victim.link().hears().await, ToClient::Terms(_)), "it goes on");
    // A connection that stalls is closed by its deadline.
    fail::cfg("fault::connection", "1*return(stall)").unwrap();
    let mut other = Person::new(&world.join, "other");
    assert_eq!(other.dials().await.err(), Some(NoLink::Closed));
    crowd.goes_on().await;
    crowd.ends().await;
    assert_eq!(anew(&before, &world.server.tree()), <[&str; 0]>::default());
    let status = asks(&world, Question::Status).await.unwrap();
    assert_eq!(status["session_panics"], 1);
    world.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_wrong_loses_nothing_and_doubles_nothing() {
    let world = World::with(|setup| setup.restarts = RESTARTS).await;
    let crowd = Crowd::chats_patiently(&world.join).await;
    crowd.goes_on().await;
    // Inside a batch: nobody is sent home, the batch is sent again.
    let before = world.server.tree();
    let begun = Instant::now();
    fail::cfg("store::appended", "1*panic").unwrap();
    let reopened =
        || async { asks(&world, Question::Status).await.unwrap()["store_reopened"] == 1 };
    while !reopened().await {}
    crowd.goes_on().await;
    eprintln!("heal: batch      panic          {:>6} ms", begun.elapsed().as_millis());
    assert_eq!(anew(&before, &world.server.tree()), <[&str; 0]>::default());
    // Outside: the writer's thread ends, and everybody is sent home and comes back.
    // Nor may the one that watches it be silent: nobody would notice then that the writer ends.
    for (point, what, action) in [
        ("store::turn", "writer", "panic"),
        ("fault::store", "store", "panic"),
        ("fault::store", "store", "return(stall)"),
    ] {
        let restarts = world.server.tree().find(&["store"]).unwrap().restarts;
        let begun = Instant::now();
        fail::cfg(point, &format!("1*{action}")).unwrap();
        until(what, || {
            let tree = world.server.tree();
            let runs = |part| tree.find(&[part]).unwrap().state == State::Running;
            tree.find(&["store"]).unwrap().restarts == restarts + 1 && runs("services")
        })
        .await;
        eprintln!("heal: {what:<10} {action:<14} {:>6} ms", begun.elapsed().as_millis());
        crowd.goes_on().await;
        eprintln!("heal: {what:<10} all are back   {:>6} ms", begun.elapsed().as_millis());
    }
    crowd.ends().await;
    world.stops().await;
}
