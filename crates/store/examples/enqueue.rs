//! How fast the embedded store takes messages durably, over an empty store and over a backlog.
//!
//! `cargo run --release -p godwit-store --example enqueue -- [--backlog N] [--in-flight N] [--seconds N]
//! [--people N] [--dir DIR]`
//!
//! Bodies are 200 bytes. Each message is submitted, settled after its sync, acknowledged by its
//! recipient 5 ms later (which files a receipt), and the receipt is acknowledged 5 ms after that: the
//! whole life of a message in the store. The backlog waits for the half of the people that is away, the
//! traffic goes among the other half; at last mailboxes of the backlog are drained in pages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring program: it stops at the first surprise and prints"
)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, Seq};
use godwit_store::{
    Appended, DeviceList, Directory, Embedded, KeyUpload, Mailboxes, Operations, Options, Outcome,
    Recipient, Registration, SealedCopy, Settled, Sink, Submission, Token,
};

const BODY_BYTES: usize = 200;
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(5);

struct Plan {
    backlog: u64,
    in_flight: usize,
    seconds: u64,
    people: u64,
    dir: PathBuf,
}

fn plan() -> Plan {
    let mut plan = Plan {
        backlog: 0,
        in_flight: 512,
        seconds: 10,
        people: 10_000,
        dir: std::env::temp_dir().join("godwit-enqueue"),
    };
    let mut words = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let number = || value.parse::<u64>().expect("a number");
        match name.as_str() {
            "--backlog" => plan.backlog = number(),
            "--in-flight" => plan.in_flight = usize::try_from(number()).unwrap(),
            "--seconds" => plan.seconds = number(),
            "--people" => plan.people = number(),
            "--dir" => plan.dir = value.into(),
            other => panic!("unknown option {other}"),
        }
    }
    plan
}

/// What the store told and the driver has not looked at yet.
#[derive(Default)]
struct Told {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    settled: Vec<(Token, Instant)>,
    appended: Vec<(Instant, DeviceId, Seq)>,
}

impl Sink for Told {
    fn settled(&self, settled: &[Settled]) {
        let now = Instant::now();
        let mut heard = self.heard.lock().unwrap();
        for settled in settled {
            assert!(matches!(settled.outcome, Outcome::Accepted { .. }), "{settled:?}");
            heard.settled.push((settled.token, now));
        }
        self.more.notify_one();
    }

    fn appended(&self, appended: &[Appended]) {
        let now = Instant::now();
        let records = appended.iter().map(|new| (now, new.device, new.record.seq));
        self.heard.lock().unwrap().appended.extend(records);
    }

    fn missed(&self) {
        panic!("the disk failed: a measurement would say nothing");
    }
}

struct Driver {
    store: Embedded,
    told: Arc<Told>,
    people: Vec<AccountId>,
    counters: Vec<u64>,
    body: Bytes,
    /// By token: when it was submitted.
    started: Vec<Instant>,
    next: usize,
}

fn main() {
    let plan = plan();
    assert!(!plan.dir.exists(), "{} exists, remove it first", plan.dir.display());
    let told = Arc::new(Told::default());
    let mut options = Options::default();
    options.cache_bytes = 64 * 1024 * 1024;
    let store = Embedded::open(&plan.dir, options.clone(), Arc::clone(&told) as _).unwrap();
    let people = register(&store, plan.people);
    let counters = vec![0; people.len()];
    let body = Bytes::from(vec![7; BODY_BYTES]);
    let mut driver = Driver { store, told, people, counters, body, started: Vec::new(), next: 0 };
    let ram = resident_bytes();
    driver.fill(plan.backlog);
    if plan.backlog > 0 {
        let taken = resident_bytes().saturating_sub(ram);
        println!(
            "backlog of {} over {} mailboxes: {} MB more RAM (page cache included)",
            plan.backlog,
            driver.people.len(),
            taken / 1_000_000
        );
    }
    driver.measure(plan.in_flight, Duration::from_secs(plan.seconds));
    driver.drain(plan.backlog.min(100_000));
    println!("{:?}", driver.store.stats());
    let Driver { store, told, .. } = driver;
    drop(store);
    let start = Instant::now();
    let store = Embedded::open(&plan.dir, options, told).unwrap();
    println!(
        "opened again in {} ms with {} records",
        start.elapsed().as_millis(),
        store.stats().records
    );
    drop(store);
    std::fs::remove_dir_all(&plan.dir).unwrap();
}

fn register(store: &Embedded, people: u64) -> Vec<AccountId> {
    let mut ids = Vec::new();
    for chunk in (0..people).collect::<Vec<_>>().chunks(1_000) {
        let answers: Vec<_> = chunk.iter().map(|n| store.register(registration(*n))).collect();
        answers.into_iter().for_each(|answer| block_on(answer).unwrap());
        ids.extend(chunk.iter().map(|n| AccountId::of_key(&key(*n))));
    }
    ids
}

fn key(n: u64) -> [u8; 32] {
    let mut key = [9; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    key
}

fn registration(n: u64) -> Registration {
    Registration {
        account_key: key(n),
        handle: format!("person{n}").parse().unwrap(),
        invite: None,
        require_invite: false,
        list: DeviceList {
            version: 1,
            signed: Bytes::from(vec![1; 200]),
            devices: vec![(DeviceNumber(1), key(n))],
        },
        device: DeviceNumber(1),
        keys: KeyUpload::default(),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Driver {
    fn device(&self, person: usize) -> DeviceId {
        DeviceId { account: self.people[person % self.people.len()], number: DeviceNumber(1) }
    }

    fn submit(&mut self, to_away: bool) {
        // Sender and recipient wander over everybody, so that rows are as scattered as in life.
        let half = self.people.len() / 2;
        let sender = self.next.wrapping_mul(7_919) % half;
        let at = self.next.wrapping_mul(104_729) % half;
        let to = match to_away {
            true => half + at,
            false if at == sender => (at + 1) % half,
            false => at,
        };
        let to = self.device(to).account;
        self.counters[sender] += 1;
        let copy = SealedCopy { device: DeviceNumber(1), body: self.body.clone() };
        let recipients = vec![Recipient { account: to, list_version: 1, copies: vec![copy] }];
        let submission = Submission {
            origin: self.device(sender),
            counter: self.counters[sender],
            recipients,
            post: None,
            token: Token(self.next as u64),
        };
        self.started.push(Instant::now());
        self.next += 1;
        self.store.submit(submission).expect("fewer in flight than the queue takes");
    }

    /// Waits for outcomes; gives them and the new records.
    fn hear(&self) -> Heard {
        let heard = self.told.heard.lock().unwrap();
        let nothing = |heard: &mut Heard| heard.settled.is_empty();
        std::mem::take(&mut *self.told.more.wait_while(heard, nothing).unwrap())
    }

    fn fill(&mut self, records: u64) {
        let (mut submitted, mut settled) = (0, 0);
        while settled < records {
            while submitted < records && submitted - settled < 4_096 {
                self.submit(true);
                submitted += 1;
            }
            settled += self.hear().settled.len() as u64;
        }
    }

    fn measure(&mut self, in_flight: usize, time: Duration) {
        let before = (cpu_us(), written_bytes(), self.store.stats().batches);
        let start = Instant::now();
        let (mut latencies, mut due) = (Vec::with_capacity(4_000_000), VecDeque::new());
        (0..in_flight).for_each(|_| self.submit(false));
        let mut flying = in_flight;
        while flying > 0 {
            let heard = self.hear();
            flying -= heard.settled.len();
            let started = &self.started;
            latencies.extend(heard.settled.iter().map(|(token, settled)| {
                settled.duration_since(started[usize::try_from(token.0).unwrap()]).as_micros()
            }));
            due.extend(heard.appended);
            while let Some((at, device, seq)) = due.front()
                && at.elapsed() >= ACKNOWLEDGED_AFTER
            {
                self.store.acknowledge(*device, *seq).expect("room for acknowledgements");
                due.pop_front();
            }
            if start.elapsed() < time {
                heard.settled.iter().for_each(|_| self.submit(false));
                flying += heard.settled.len();
            }
        }
        let (taken, messages) = (start.elapsed(), latencies.len());
        latencies.sort_unstable();
        let at = |part: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an index"
            )]
            let index = (messages as f64 * part) as usize;
            latencies[index.min(messages - 1)] as f64 / 1_000.0
        };
        let batches = self.store.stats().batches - before.2;
        println!(
            "{in_flight} in flight: {:.0} messages/s, to durable p50 {:.2} p99 {:.2} p99.9 {:.2} ms, \
             CPU {:.1} us and {:.0} B written a message, {:.0} messages a batch",
            messages as f64 / taken.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            (cpu_us() - before.0) as f64 / messages as f64,
            (written_bytes() - before.1) as f64 / messages as f64,
            messages as f64 / batches as f64,
        );
    }

    /// Reads and acknowledges mailboxes in pages of 100, 16 at a time.
    fn drain(&mut self, at_least: u64) {
        let before = cpu_us();
        let (start, mut read, mut person) = (Instant::now(), 0, self.people.len() / 2);
        while read < at_least && person < self.people.len() {
            let devices: Vec<_> = (person..person + 16).map(|at| self.device(at)).collect();
            person += 16;
            let page = |device: &DeviceId| self.store.read(*device, Seq::ZERO, 100, usize::MAX);
            let pages: Vec<_> = devices.iter().map(page).collect();
            for (device, page) in devices.iter().zip(pages) {
                let page = block_on(page).unwrap();
                read += page.records.len() as u64;
                if let Some(last) = page.records.last() {
                    self.store.acknowledge(*device, last.seq).unwrap();
                }
            }
        }
        if read > 0 {
            println!(
                "drained {read} records at {:.0} records/s, CPU {:.1} us a record",
                read as f64 / start.elapsed().as_secs_f64(),
                (cpu_us() - before) as f64 / read as f64,
            );
        }
    }
}

/// CPU time of this process so far, from the kernel's clock of 100 ticks a second.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000
}

fn written_bytes() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

fn resident_bytes() -> u64 {
    field("/proc/self/status", "VmRSS:") * 1_024
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
