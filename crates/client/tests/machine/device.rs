//! A device: the core and its driver, in memory. Only what was committed survives a crash.

use std::collections::BTreeMap;

use godwit_base::{DeviceId, GroupId, Handle, JoinLink, MessageId};
use godwit_client::core::{
    Annotation, Batch, Core, HISTORY_ROWS_MAX, LinkOrder, Now, PACK_BYTES_MAX, PACK_ROWS_MAX,
    PastItem, PastPage, PastSaid, PastWanted, Row, Seat, SendKey, Stamp, Table, Ticket, Vault,
    Write,
};
use godwit_client::{Act, Changed, ChatId, Error, Event, HistoryItem, MessageState, Note, Reach};
use godwit_seal::{AccountKey, RowKey};

use crate::replay::note;

/// The stored history: what `Write` says, done by the book.
#[derive(Default, Clone)]
pub(crate) struct History {
    pub(crate) items: BTreeMap<u64, HistoryItem>,
    /// The latest of each chat, message, kind (the first character of its name) and author.
    said: BTreeMap<(ChatId, MessageId, char, u64), (Stamp, Changed)>,
    /// The bodies of messages, and of what was said about them, by the id of what said it.
    bodies: BTreeMap<MessageId, Vec<u8>>,
}

/// The files of a home as they once were.
pub(crate) struct Copied {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    history: History,
}

pub(crate) struct Device {
    pub(crate) handle: Handle,
    key: [u8; 32],
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub(crate) history: History,
    /// None after a crash, until it is started again.
    pub(crate) core: Option<Core>,
    /// A batch that is flushed and not yet committed.
    uncommitted: Option<Batch>,
    /// Bytes that the link takes, once connected.
    pub(crate) to_server: Vec<u8>,
    /// The order that the driver was last given.
    pub(crate) order: Option<LinkOrder>,
    /// Everything the application was told, over all lives.
    pub(crate) told: Vec<Event>,
    pub(crate) commits: u32,
    /// What the list of chats says that the user must know.
    pub(crate) notices: BTreeMap<Handle, Option<String>>,
    /// Tickets for files that it was given.
    pub(crate) tickets: Vec<Ticket>,
    sends: u128,
    id: DeviceId,
    /// Under which counters its messages travel that are shown under others, as far as it ever said.
    moved: BTreeMap<u64, u64>,
}

impl Device {
    pub(crate) fn new(handle: &str, link: &JoinLink, now: Now) -> Self {
        let handle: Handle = handle.parse().unwrap();
        let key = [7; 32];
        let vault = Vault::new(RowKey::from_bytes(&key));
        let mut core = Core::create(vault, link, &handle, 1, now).unwrap();
        core.join(link, &handle, None);
        core.start(now);
        Self::of(core, handle, key)
    }

    /// A further device of an account, which its main device has put on the list.
    pub(crate) fn linked(handle: &Handle, link: &JoinLink, seat: Seat, now: Now) -> Self {
        let key = [8; 32];
        let vault = Vault::new(RowKey::from_bytes(&key));
        let mut core = Core::linked(vault, link, handle, seat, 1).unwrap();
        core.start(now);
        Self::of(core, handle.clone(), key)
    }

    /// The only device of an account that its owner recovered.
    pub(crate) fn recovered(
        handle: &Handle,
        link: &JoinLink,
        account: AccountKey,
        seat: Seat,
        now: Now,
    ) -> Self {
        let key = [9; 32];
        let vault = Vault::new(RowKey::from_bytes(&key));
        let mut core = Core::recovered(vault, link, handle, account, seat, 1).unwrap();
        core.start(now);
        Self::of(core, handle.clone(), key)
    }

    fn of(core: Core, handle: Handle, key: [u8; 32]) -> Self {
        let id = core.device();
        Self {
            id,
            handle,
            key,
            rows: BTreeMap::new(),
            history: History::default(),
            core: Some(core),
            uncommitted: None,
            to_server: Vec::new(),
            order: None,
            told: Vec::new(),
            commits: 0,
            notices: BTreeMap::new(),
            tickets: Vec::new(),
            sends: 0,
            moved: BTreeMap::new(),
        }
    }

    /// The counter under which a message of this device travels.
    pub(crate) fn travels_as(&self, counter: u64) -> u64 {
        self.moved.get(&counter).copied().unwrap_or(counter)
    }

    /// The core forgets that of a message that failed, which the server may have taken.
    fn note_moved(&mut self) {
        let Some(core) = &self.core else { return };
        for item in self.history.items.values().filter(|item| item.id.device == self.id) {
            let counter = item.id.counter;
            if core.travels_as(counter) != counter {
                self.moved.insert(counter, core.travels_as(counter));
            }
        }
    }

    pub(crate) fn core(&mut self) -> &mut Core {
        self.core.as_mut().unwrap()
    }

    /// A name for a command.
    pub(crate) fn key(&mut self) -> SendKey {
        self.sends += 1;
        self.sends.to_be_bytes()
    }

    /// Does something about a message as an application does.
    pub(crate) fn act(
        &mut self,
        with: &(impl Clone + Into<ChatId>),
        about: MessageId,
        act: &Act,
        now: Now,
    ) -> MessageId {
        self.try_act(with, about, act, now).unwrap()
    }

    pub(crate) fn try_act(
        &mut self,
        with: &(impl Clone + Into<ChatId>),
        about: MessageId,
        act: &Act,
        now: Now,
    ) -> Result<MessageId, Error> {
        let key = self.key();
        self.core().annotate(key, &with.clone().into(), about, act, now)
    }

    /// Says something in a group.
    pub(crate) fn say(&mut self, group: GroupId, text: &str, now: Now) -> MessageId {
        let key = self.key();
        self.core().send(key, &group.into(), &[text.to_owned()], now).unwrap()[0]
    }

    /// What is in a chat: who said it and what, in the order in which it was stored.
    pub(crate) fn said_in(&self, group: GroupId) -> Vec<(String, String)> {
        let items = self.history.items.values().filter(|item| item.with == ChatId::Group(group));
        items
            .map(|item| {
                let text = item.text.clone().unwrap_or_else(|| format!("{:?}", item.note));
                (item.from.to_string(), text)
            })
            .collect()
    }

    /// Sends as an application does.
    pub(crate) fn send(&mut self, to: &Handle, text: &str, now: Now) -> MessageId {
        self.try_send(to, text, now).unwrap()
    }

    pub(crate) fn try_send(
        &mut self,
        to: &Handle,
        text: &str,
        now: Now,
    ) -> Result<MessageId, Error> {
        let key = self.key();
        self.core().send(key, &to.into(), &[text.to_owned()], now).map(|ids| ids[0])
    }

    /// Takes the next batch from the core, unless one waits for its commit.
    pub(crate) fn flush(&mut self, now: Now) {
        self.has_batch(now);
    }

    /// The same. Whether one waits for its commit now.
    pub(crate) fn has_batch(&mut self, now: Now) -> bool {
        if self.uncommitted.is_some() {
            return true;
        }
        let Some(core) = &mut self.core else { return false };
        while let Some(wanted) = core.history_wanted() {
            core.give_history(self.history.past(wanted), now);
        }
        let batch = core.flush(now).unwrap();
        self.note_moved();
        if !batch.is_empty() {
            self.uncommitted = Some(batch);
        }
        self.uncommitted.is_some()
    }

    /// Commits the waiting batch, and does what follows it unless the device crashes in between.
    pub(crate) fn commit(&mut self, crashes: bool) {
        let Some(batch) = self.uncommitted.take() else { return };
        let mut events = Vec::new();
        self.commits += u32::from(!batch.writes.is_empty());
        for write in batch.writes {
            self.write(write, &mut events);
        }
        if crashes {
            return self.crash();
        }
        self.to_server.extend_from_slice(&batch.send);
        if batch.link.is_some() {
            self.order = batch.link;
        }
        events.extend(batch.events);
        if !events.is_empty() {
            note(format_args!("told {}", self.id), format!("{events:?}").as_bytes());
        }
        self.told.extend(events);
        self.tickets.extend(batch.tickets);
    }

    /// As kill -9: all that is not committed is gone.
    pub(crate) fn crash(&mut self) {
        self.core = None;
        self.uncommitted = None;
        self.to_server.clear();
        self.order = Some(LinkOrder::Close);
    }

    /// Starts again from what was committed.
    pub(crate) fn restart(&mut self, now: Now) {
        let vault = Vault::new(RowKey::from_bytes(&self.key));
        let rows: Vec<Row> = self
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()))
            .collect();
        let mut core = Core::restore(vault, rows, 1).unwrap().unwrap();
        core.start(now);
        self.core = Some(core);
    }

    /// A copy of the home's files.
    pub(crate) fn copy(&self) -> Copied {
        Copied { rows: self.rows.clone(), history: self.history.clone() }
    }

    /// Ends the device and puts a copy of its files back.
    pub(crate) fn put_back(&mut self, copied: Copied) {
        self.crash();
        (self.rows, self.history) = (copied.rows, copied.history);
    }

    /// Its address, also while it is crashed.
    pub(crate) const fn id(&self) -> DeviceId {
        self.id
    }

    /// How many rows there are about a device of somebody else: its record and its ratchets.
    pub(crate) fn rows_of(&self, device: DeviceId) -> usize {
        let key =
            [device.account.0.to_be_bytes().as_slice(), &device.number.0.to_be_bytes()].concat();
        let tables = [Table::Device, Table::Pairing];
        tables.into_iter().filter(|table| self.rows.contains_key(&(*table, key.clone()))).count()
    }

    /// Whether there is something durable to restart from.
    pub(crate) fn is_born(&self) -> bool {
        self.rows.contains_key(&(Table::Me, b"home".to_vec()))
    }

    /// Whether a next version of the own device list is committed and not yet taken.
    pub(crate) fn has_next_list(&self) -> bool {
        self.rows.contains_key(&(Table::Me, b"next_list".to_vec()))
    }

    fn write(&mut self, write: Write, events: &mut Vec<Event>) {
        let me = self.id;
        self.keep_bodies(&write);
        match write {
            Write::Put { table, key, value } => drop(self.rows.insert((table, key), value)),
            Write::Delete { table, key } => drop(self.rows.remove(&(table, key))),
            Write::Message { item, .. }
                if item.note == Some(Note::Lost) && self.history.has(item.id) => {}
            Write::Message { item, .. } => {
                assert!(!self.history.has(item.id), "message {} is shown twice (M3)", item.id);
                let ahead = self.history.ahead_of(&item);
                let former = self.history.items.insert(item.row, item.clone());
                assert!(former.is_none(), "row {} is used twice", item.row);
                events.push(Event::Message(item));
                ahead.into_iter().for_each(|changed| self.history.change(changed, events));
            }
            Write::Past { item, said, .. } => {
                if !self.history.has(item.id) && !self.history.items.contains_key(&item.row) {
                    let ahead = self.history.ahead_of(&item);
                    self.history.items.insert(item.row, item);
                    let untold = &mut Vec::new();
                    ahead.into_iter().for_each(|changed| self.history.change(changed, untold));
                    said.into_iter().for_each(|one| self.history.annotate(one, untold));
                }
            }
            Write::Forget { id } => self.history.items.retain(|_, item| item.id != id),
            Write::State { counter, with, state, at_ms } => {
                let item =
                    self.history.items.values_mut().find(|item| {
                        item.with == with && item.id == MessageId { device: me, counter }
                    });
                if let Some(item) = item.filter(|item| rank(item.state) < rank(state)) {
                    item.state = state;
                    if state == MessageState::Accepted {
                        item.received_at_ms.get_or_insert(at_ms);
                    }
                    let by = with.contact().unwrap_or(&self.handle).clone();
                    let id = item.id;
                    events.push(Event::State { id, with, by, state, at_ms });
                }
            }
            Write::Watermark { with, origin, up_to, state, at_ms } => {
                for item in self.history.items.values_mut() {
                    let is_open =
                        matches!(item.state, MessageState::Accepted | MessageState::Delivered);
                    if item.with == with
                        && item.is_outgoing()
                        && item.id.device.number == origin
                        && is_open
                        && item.id.counter <= up_to
                        && rank(item.state) < rank(state)
                    {
                        item.state = state;
                        let (id, with, by) = (item.id, (&with).into(), with.clone());
                        events.push(Event::State { id, with, by, state, at_ms });
                    }
                }
            }
            Write::Annotate(said) => self.history.annotate(said, events),
            Write::Expire { now_ms } => {
                let is_over = |_: &u64, item: &mut HistoryItem| {
                    item.details.expires_at_ms.is_some_and(|at| at <= now_ms)
                };
                let gone: Vec<_> = self.history.items.extract_if(.., is_over).collect();
                for (_, HistoryItem { id, with, .. }) in gone {
                    self.history.said.retain(|(_, about, ..), _| *about != id);
                    events.push(Event::Expired { id, with });
                }
            }
            Write::ReadHere { from, up_to, at_ms } => {
                for item in self.history.items.values_mut() {
                    let is_meant = item.with.contact().is_some()
                        && item.id.device == from
                        && item.id.counter <= up_to;
                    if is_meant {
                        was_read(item, at_ms);
                    }
                }
            }
            Write::ReadGroup { group, at_ms } => {
                for item in self.history.items.values_mut() {
                    if item.with == ChatId::Group(group) && !item.outgoing {
                        item.state = MessageState::Read;
                        let timer_ms = u64::from(item.details.timer_s) * 1_000;
                        if timer_ms > 0 && item.note != Some(Note::Timer) {
                            item.details.expires_at_ms.get_or_insert(at_ms + timer_ms);
                        }
                    }
                }
            }
            Write::ReadInGroup { group, from, up_to, at_ms } => {
                for item in self.history.items.values_mut() {
                    let is_meant = item.with == ChatId::Group(group)
                        && item.id.device == from
                        && item.id.counter <= up_to;
                    if is_meant {
                        was_read(item, at_ms);
                    }
                }
            }
            Write::Reach { id, with, reach, at_ms } => {
                let all = |count: u32| reach.of > 0 && count >= reach.of;
                let state = match reach {
                    Reach { read, .. } if all(read) => Some(MessageState::Read),
                    Reach { delivered, .. } if all(delivered) => Some(MessageState::Delivered),
                    _ => None,
                };
                let item = self.history.items.values_mut().find(|item| item.id == id);
                if let Some(item) = item {
                    assert!(item.outgoing, "a count of what another sent");
                    item.details.reach = Some(reach);
                    if let Some(state) = state.filter(|state| rank(item.state) < rank(*state)) {
                        item.state = state;
                        let (with, by) = (with.clone(), self.handle.clone());
                        events.push(Event::State { id, with, by, state, at_ms });
                    }
                }
                events.push(Event::Reach { id, with, reach });
            }
            Write::Chat { with, notice, .. } => {
                self.notices.insert(with.contact().unwrap().clone(), notice);
            }
        }
    }

    /// Opens what is sealed, as whoever reads the history does.
    fn keep_bodies(&mut self, write: &Write) {
        let vault = Vault::new(RowKey::from_bytes(&self.key));
        let mut keep = |id: MessageId, sealed: &[u8]| {
            self.history.bodies.insert(id, vault.open_body(id, sealed).unwrap().to_vec());
        };
        match write {
            Write::Message { item, sealed } => keep(item.id, sealed),
            Write::Annotate(said) => keep(said.stamp.id(), &said.sealed),
            Write::Past { item, sealed, said } => {
                keep(item.id, sealed);
                said.iter().for_each(|one| keep(one.stamp.id(), &one.sealed));
            }
            _ => {}
        }
    }

    /// The texts that came from a handle, in the order in which they were stored.
    pub(crate) fn texts_from(&self, from: &Handle) -> Vec<String> {
        let items = self.history.items.values().filter(|item| item.from == *from);
        items.filter_map(|item| item.text.clone()).collect()
    }

    pub(crate) fn state_of(&self, id: MessageId) -> MessageState {
        self.history.items.values().find(|item| item.id == id).unwrap().state
    }
}

/// It is read, if it was not; from then on its timer runs.
fn was_read(item: &mut HistoryItem, at_ms: u64) {
    if item.state == MessageState::Read {
        return;
    }
    item.state = MessageState::Read;
    let timer_ms = u64::from(item.details.timer_s) * 1_000;
    if timer_ms > 0 && item.note != Some(Note::Timer) {
        item.details.expires_at_ms = Some(at_ms + timer_ms);
    }
}

impl History {
    /// What a new device is to have next, as much as goes into one pack.
    fn past(&self, wanted: PastWanted) -> PastPage {
        let is_given = |item: &HistoryItem| {
            !matches!(item.state, MessageState::Pending | MessageState::Failed(_))
                && item.note != Some(Note::Waiting)
        };
        let rows = self.items.range(wanted.floor..wanted.before.max(wanted.floor)).rev();
        let rows = rows.filter(|(_, item)| is_given(item));
        let all = rows.clone().take(HISTORY_ROWS_MAX as usize).count();
        let count = wanted.counts.then(|| u32::try_from(all).unwrap());
        let mut bytes = 0;
        let mut pack: Vec<PastItem> = Vec::new();
        for (_, item) in rows.take(PACK_ROWS_MAX as usize) {
            let past = self.past_item(item);
            bytes += past.bytes();
            if bytes > PACK_BYTES_MAX && !pack.is_empty() {
                break;
            }
            pack.push(past);
        }
        PastPage { items: pack, count }
    }

    fn past_item(&self, item: &HistoryItem) -> PastItem {
        let body = |id: MessageId| self.bodies.get(&id).cloned().unwrap_or_default();
        let about =
            self.said.iter().filter(|((with, id, ..), _)| (with, *id) == (&item.with, item.id));
        let said = |(_, (stamp, changed)): (_, &(Stamp, Changed))| PastSaid {
            row: changed.row,
            from: changed.from.clone(),
            stamp: *stamp,
            body: body(stamp.id()),
        };
        PastItem {
            row: item.row,
            id: item.id,
            with: item.with.clone(),
            from: item.from.clone(),
            outgoing: item.outgoing,
            state: item.state,
            note: item.note,
            sent_at_ms: item.sent_at_ms,
            received_at_ms: item.received_at_ms,
            expires_at_ms: item.details.expires_at_ms,
            body: body(item.id),
            said: about.map(said).collect(),
        }
    }

    pub(crate) fn has(&self, id: MessageId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&HistoryItem> {
        self.items.values().find(|item| item.id == id)
    }

    fn annotate(&mut self, said: Annotation, events: &mut Vec<Event>) {
        let Annotation { row, with, about, from, stamp, act, .. } = said;
        let target = self.get(about);
        let is_for = |item: &HistoryItem| item.with == with && item.note != Some(Note::Deleted);
        if target.is_some_and(|item| !is_for(item)) {
            return;
        }
        let is_there = target.is_some();
        let kind = format!("{act:?}").chars().next().unwrap();
        let key = (with.clone(), about, kind, stamp.device.0);
        if self.said.get(&key).is_some_and(|(former, _)| *former >= stamp) {
            return;
        }
        let changed = Changed { row, id: about, with, from, at_ms: stamp.at_ms, act };
        self.said.insert(key, (stamp, changed.clone()));
        if is_there {
            self.change(changed, events);
        }
    }

    fn change(&mut self, changed: Changed, events: &mut Vec<Event>) {
        let item = self.items.values_mut().find(|item| item.id == changed.id).unwrap();
        item.apply(&changed);
        if changed.act == Act::Deletion {
            self.said.retain(|(_, about, ..), (_, said)| {
                *about != changed.id || said.act == Act::Deletion
            });
        }
        events.push(Event::Changed(changed));
    }

    /// What was said about a message before it came.
    fn ahead_of(&self, item: &HistoryItem) -> Vec<Changed> {
        let said = self.said.iter();
        said.filter(|((with, about, ..), _)| *with == item.with && *about == item.id)
            .map(|(_, (_, changed))| changed.clone())
            .collect()
    }
}

fn rank(state: MessageState) -> u8 {
    match state {
        MessageState::Pending => 0,
        MessageState::Accepted => 1,
        MessageState::Delivered => 2,
        MessageState::Read => 3,
        MessageState::Failed(_) => 4,
    }
}
