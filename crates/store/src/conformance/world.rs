//! What the stories are told with: people, messages, and a sink that writes down what it hears.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Handle, ManualClock, Seq};

use super::{Ground, Setting};
use crate::{
    Appended, DeviceList, Entry, FirstKeys, GroupPost, KeyUpload, ListError, Outcome, PostRead,
    Publisher, Quotas, Recipient, Record, Registration, SealedCopy, Settled, Sink, Store,
    Submission, Token,
};

/// When the stories play, unix milliseconds.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// How long a story waits for something that must come before it fails. Not a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

/// Everything the store told, in order.
#[derive(Default)]
struct Told {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    outcomes: HashMap<Token, Outcome>,
    events: Vec<Event>,
}

/// One thing that the store told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A submission was decided.
    Settled(Settled),
    /// A record is new.
    Appended(Appended),
    /// Mailboxes may hold more than was told.
    Missed,
    /// A device left its account's list.
    Removed(DeviceId),
}

impl Sink for Told {
    fn settled(&self, settled: &[Settled]) {
        let mut heard = self.heard.lock().unwrap();
        for settled in settled {
            let before = heard.outcomes.insert(settled.token, settled.outcome.clone());
            assert_eq!(before, None, "settled twice");
            heard.events.push(Event::Settled(settled.clone()));
        }
        self.more.notify_all();
    }

    fn appended(&self, appended: &[Appended]) {
        let mut heard = self.heard.lock().unwrap();
        heard.events.extend(appended.iter().cloned().map(Event::Appended));
        self.more.notify_all();
    }

    fn missed(&self) {
        self.heard.lock().unwrap().events.push(Event::Missed);
    }

    fn removed(&self, devices: &[DeviceId]) {
        let mut heard = self.heard.lock().unwrap();
        heard.events.extend(devices.iter().copied().map(Event::Removed));
    }
}

/// A store, its clock, and what it told.
pub struct World<'g> {
    ground: &'g mut dyn Ground,
    /// How the store is opened the next time.
    pub setting: Setting,
    told: Arc<Told>,
    store: Option<Arc<dyn Store>>,
    tokens: u64,
}

impl<'g> World<'g> {
    /// A store with generous quotas.
    pub fn new(ground: &'g mut dyn Ground) -> Self {
        Self::with(ground, Quotas::default())
    }

    /// A store with these quotas.
    pub fn with(ground: &'g mut dyn Ground, quotas: Quotas) -> Self {
        let setting = Setting { clock: ManualClock::at(NOW_MS), quotas };
        let mut world = Self { ground, setting, told: Arc::default(), store: None, tokens: 0 };
        world.reopen();
        world
    }

    /// The open store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    /// Another handle on it, for other threads.
    pub fn store_arc(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    /// Closes the store and opens it over the same data.
    pub fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
        }
        let sink = Arc::clone(&self.told);
        self.store = Some(self.ground.open(&self.setting, sink));
    }

    /// Registers account number `n` with devices 1 to `devices`.
    pub fn person(&self, n: u8, devices: u32) -> Person {
        let registration = registration(n, devices);
        block_on(self.store().register(registration.clone())).unwrap();
        Person { account: AccountId::of_key(&registration.account_key), list: registration.list }
    }

    /// Hands in a submission without waiting; gives the token to wait for.
    pub fn submit(&mut self, from: DeviceId, counter: u64, to: Vec<Recipient>) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let submission = Submission { origin: from, counter, recipients: to, post: None, token };
        self.store().submit(submission).expect("the queue has room");
        token
    }

    /// Hands in a submission and waits for what becomes of it.
    pub fn send(&mut self, from: DeviceId, counter: u64, to: Vec<Recipient>) -> Outcome {
        let token = self.submit(from, counter, to);
        self.outcome(token)
    }

    /// Hands in a message to a group, with copies or with one body, and waits for what becomes of it.
    pub fn post(
        &mut self,
        from: DeviceId,
        counter: u64,
        to: Vec<Recipient>,
        post: GroupPost,
    ) -> Outcome {
        let token = self.post_later(from, counter, to, post);
        self.outcome(token)
    }

    /// Hands in a message to a group without waiting; gives the token to wait for.
    pub fn post_later(
        &mut self,
        origin: DeviceId,
        counter: u64,
        recipients: Vec<Recipient>,
        post: GroupPost,
    ) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let submission = Submission { origin, counter, recipients, post: Some(post), token };
        self.store().submit(submission).expect("the queue has room");
        token
    }

    /// As [`send`](Self::send), on a link whose earlier submissions are all decided.
    pub fn send_on(
        &mut self,
        token: Token,
        from: DeviceId,
        counter: u64,
        to: Vec<Recipient>,
    ) -> Outcome {
        self.told.heard.lock().unwrap().outcomes.remove(&token);
        let submission = Submission { origin: from, counter, recipients: to, post: None, token };
        self.store().submit(submission).expect("the queue has room");
        self.outcome(token)
    }

    /// Sends a short text that must be accepted.
    pub fn text(&mut self, from: DeviceId, counter: u64, to: &Person) {
        let text = format!("{from} {counter}");
        let outcome = self.send(from, counter, vec![to.copies(from, &text)]);
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }

    /// Waits for what becomes of a submission.
    pub fn outcome(&self, token: Token) -> Outcome {
        let heard = self.told.heard.lock().unwrap();
        let waiting = |heard: &mut Heard| !heard.outcomes.contains_key(&token);
        let (heard, timeout) = self.told.more.wait_timeout_while(heard, PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "no outcome came for {token:?}");
        heard.outcomes[&token].clone()
    }

    /// Whether a submission is decided by now.
    pub fn is_settled(&self, token: Token) -> bool {
        self.told.heard.lock().unwrap().outcomes.contains_key(&token)
    }

    /// Waits until everything that is durable by now has been told.
    pub fn settle_down(&self) {
        // Goes through whoever writes and changes nothing; it has been there, whatever it answers.
        let (nobody, nowhere) = (AccountId(u64::MAX), GroupId([0; 16]));
        let nothing = PostRead { author: DeviceId::new(u64::MAX, u32::MAX), up_to: 0 };
        let _ = block_on(self.store().note_read(nobody, nowhere, vec![nothing]));
    }

    /// What the store told since this was last asked.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.told.heard.lock().unwrap().events)
    }

    /// The records that the store told are new, since events were last asked for, per device.
    pub fn appended(&self, device: DeviceId) -> Vec<Record> {
        self.settle_down();
        let event = |event: &Event| match event {
            Event::Appended(appended) if appended.device == device => Some(appended.record.clone()),
            _ => None,
        };
        self.told.heard.lock().unwrap().events.iter().filter_map(event).collect()
    }

    /// The devices that the store told have left their lists, since events were last asked for.
    pub fn removed(&self) -> Vec<DeviceId> {
        let event = |event: &Event| match event {
            Event::Removed(device) => Some(*device),
            _ => None,
        };
        self.told.heard.lock().unwrap().events.iter().filter_map(event).collect()
    }

    /// Device `by` brings version `version` of the list of account number `n`, with devices
    /// `numbers`.
    ///
    /// # Errors
    /// As the store answers.
    pub fn lists(
        &self,
        n: u8,
        by: DeviceId,
        version: u64,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<(), ListError> {
        let list = list(n, version, numbers);
        let keys = first_keys(&list);
        block_on(self.store().replace_list(Publisher::Device(by), list, keys))
    }

    /// The list that [`lists`](Self::lists) brings.
    pub fn list_of(
        &self,
        n: u8,
        version: u64,
        numbers: impl IntoIterator<Item = u32>,
    ) -> DeviceList {
        list(n, version, numbers)
    }

    /// All records of a mailbox.
    pub fn mailbox(&self, device: DeviceId) -> Vec<Record> {
        let page = block_on(self.store().read(device, Seq::ZERO, usize::MAX, usize::MAX)).unwrap();
        assert!(!page.more);
        page.records
    }

    /// Acknowledges and waits until it took effect.
    pub fn acknowledge(&self, device: DeviceId, up_to: Seq) {
        self.store().acknowledge(device, up_to).expect("the queue has room");
        while self.mailbox(device).first().is_some_and(|record| record.seq <= up_to) {}
    }

    /// Acknowledges all that is in a mailbox.
    pub fn acknowledge_all(&self, device: DeviceId) {
        let last = self.mailbox(device).last().map_or(Seq::ZERO, |record| record.seq);
        self.acknowledge(device, last);
    }
}

/// A registered account.
#[derive(Debug, Clone)]
pub struct Person {
    /// Its id.
    pub account: AccountId,
    /// Its device list.
    pub list: DeviceList,
}

impl Person {
    /// One of its devices.
    pub fn device(&self, number: u32) -> DeviceId {
        DeviceId { account: self.account, number: DeviceNumber(number) }
    }

    /// A copy of `text` for each of its devices but `from`.
    pub fn copies(&self, from: DeviceId, text: &str) -> Recipient {
        let numbers = self.list.devices.iter().map(|(number, _)| *number);
        let numbers = numbers.filter(|n| DeviceId { account: self.account, number: *n } != from);
        let body = Bytes::copy_from_slice(text.as_bytes());
        let copies = numbers.map(|device| SealedCopy { device, body: body.clone() }).collect();
        Recipient { account: self.account, list_version: self.list.version, copies }
    }
}

/// The registration of account number `n`.
pub(super) fn registration(n: u8, devices: u32) -> Registration {
    Registration {
        account_key: [n; 32],
        handle: handle(n),
        invite: None,
        require_invite: false,
        list: list(n, 1, 1..=devices),
        device: DeviceNumber(1),
        keys: KeyUpload::default(),
    }
}

/// The handle of account number `n`.
pub(super) fn handle(n: u8) -> Handle {
    format!("person{n}").parse().unwrap()
}

/// A list of account number `n`.
pub(super) fn list(n: u8, version: u64, numbers: impl IntoIterator<Item = u32>) -> DeviceList {
    let numbers = numbers.into_iter();
    let devices: Vec<_> = numbers.map(|at| (DeviceNumber(at), link_key(n, at))).collect();
    DeviceList { version, signed: Bytes::from(format!("signed {n} {version}")), devices }
}

/// Keys for whichever devices of a list are new.
pub fn first_keys(list: &DeviceList) -> Vec<FirstKeys> {
    let keys = KeyUpload { one_time: Vec::new(), fallback: Some(Bytes::from("first fallback")) };
    list.devices.iter().map(|(number, _)| (*number, keys.clone())).collect()
}

/// The link key of a device of account number `n`.
pub(super) fn link_key(n: u8, number: u32) -> [u8; 32] {
    let mut key = [n; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key
}

/// Body of a message, or nothing for a receipt.
pub(super) fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| match &record.entry {
        Entry::Message { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        Entry::Receipt { origin, by, up_to } => format!("{by} has {up_to} of {}", origin.0),
        Entry::Post(post) => String::from_utf8(post.body.to_vec()).unwrap(),
        Entry::GroupNews { group, epoch, missed } => {
            format!("{group} is at {epoch}{}", if *missed { ", posts missed" } else { "" })
        }
        Entry::GroupReceipt { origin, posts, .. } => format!("of {}: {posts:?}", origin.0),
    };
    records.iter().map(text).collect()
}
