//! The connection that reads: history, chats, search.

use std::str::FromStr;

use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle, MessageId};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::convert::{note_of, signed, state_of, unsigned};
use super::{Owner, annotate, storage};
use crate::core::{
    Body, Content, HISTORY_ROWS_MAX, PACK_BYTES_MAX, PACK_ROWS_MAX, PastItem, PastPage, PastSaid,
    PastWanted, Shown, Stamp, Vault,
};
use crate::{
    Arrived, Changed, ChatId, ChatSummary, Error, HistoryItem, Media, MessageState, Note, Reach,
};

/// Most messages of a page.
pub(crate) const PAGE_ROWS_MAX: u32 = 500;

/// A page ends with the message that brings its texts above this, 512 KiB: with the longest text
/// after it a page stays under 600 KB, far below a frame between processes.
pub(crate) const PAGE_BYTES_MAX: usize = 512 * 1024;

/// How far back a search looks, newest first. Texts are sealed, so that each is opened: about 3 us
/// and 200 bytes each, a fifth of a second in all.
pub(crate) const SEARCH_ROWS_MAX: u32 = 50_000;

/// Most chats of the list, the newest: as many as a person scrolls through.
pub(crate) const CHATS_MAX: u32 = 1_000;

const COLUMNS: &str = "m.row, m.account, m.device, m.counter, m.outgoing, m.state, m.failure, \
                       m.note, m.sent_at, m.received_at, m.body, c.name, m.sender, \
                       m.expires_at, m.chat";

/// Answers questions about what is stored.
pub(crate) struct Reader {
    db: Connection,
    vault: Vault,
    owner: Owner,
    /// What time it is to whoever asks, unix milliseconds.
    now_ms: u64,
}

impl Reader {
    pub(super) fn new(db: Connection, vault: Vault, owner: Owner) -> Self {
        Self { db, vault, owner, now_ms: 0 }
    }

    /// Messages whose time is up by then are not given out, though nobody has removed them yet: they are
    /// looked for every few seconds, and not while no program runs.
    pub(crate) const fn is_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The state of a message of this device or of one that it received.
    pub(crate) fn state(&self, id: MessageId) -> Result<Option<MessageState>, Error> {
        let sql = "SELECT state, failure FROM message
                   WHERE account = ?1 AND device = ?2 AND counter = ?3";
        let key = params![signed(id.device.account.0), id.device.number.0, signed(id.counter)];
        let found = self
            .db
            .prepare_cached(sql)
            .and_then(|mut query| {
                query.query_row(key, |row| Ok(state_of(row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(|error| storage(&error))?;
        Ok(found)
    }

    /// The file that a message names.
    pub(crate) fn file_of(&self, id: MessageId) -> Result<Media, Error> {
        let sql = format!(
            "SELECT body, note FROM message m
             WHERE m.account = ?1 AND m.device = ?2 AND m.counter = ?3 AND {}",
            lasts("m", 4)
        );
        let DeviceId { account, number } = id.device;
        let key = params![signed(account.0), number.0, signed(id.counter), signed(self.now_ms)];
        let found: Option<(Vec<u8>, i64)> = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut query| {
                query.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(|error| storage(&error))?;
        let (sealed, note) = found.ok_or(Error::NoMessage(id))?;
        let is_there = note_of(note) != Some(Note::Deleted);
        let body = self.vault.open_body(id, &sealed).ok().filter(|_| is_there);
        match body.map(|body| Body::decode(&body).content) {
            Some(Content::Media(media, _)) => Ok(*media),
            _ => Err(Error::NoFile(id)),
        }
    }

    /// The newest messages of a chat before a row, oldest first.
    pub(crate) fn history(
        &self,
        with: &ChatId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<HistoryItem>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE m.chat = (SELECT id FROM chat WHERE name = ?1) AND m.row < ?2 AND {}
             ORDER BY m.row DESC LIMIT ?3",
            lasts("m", 4)
        );
        let before = before.map_or(i64::MAX, signed);
        let (name, most) = (with.to_string(), limit.min(PAGE_ROWS_MAX));
        let values = params![name, before, most, signed(self.now_ms)];
        let mut page = self.page(&sql, values, limit, |_| true)?;
        page.reverse();
        Ok(page)
    }

    /// The oldest messages of a chat after a row, oldest first.
    pub(crate) fn history_after(
        &self,
        with: &ChatId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryItem>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE m.chat = (SELECT id FROM chat WHERE name = ?1) AND m.row > ?2 AND {}
             ORDER BY m.row LIMIT ?3",
            lasts("m", 4)
        );
        // Rows are below 2^63: nothing is stored after one above.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let (name, most) = (with.to_string(), limit.min(PAGE_ROWS_MAX));
        self.page(&sql, params![name, after, most, signed(self.now_ms)], limit, |_| true)
    }

    /// Messages that came after a row, oldest first: what others sent, and what other devices of this
    /// account sent. Placeholders that may still be filled are left out, since what fills them is a
    /// row of its own.
    fn incoming_after(&self, row: u64, limit: u32) -> Result<Vec<HistoryItem>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE (m.outgoing = 0 OR m.device <> ?3) AND m.row > ?1 AND m.note <> 1
                 AND {}
             ORDER BY m.row LIMIT ?2",
            lasts("m", 4)
        );
        let (own, most) = (self.owner.device.number.0, limit.min(PAGE_ROWS_MAX));
        self.page(&sql, params![signed(row), most, own, signed(self.now_ms)], limit, |_| true)
    }

    /// Messages that contain a text, newest first, without regard to case.
    pub(crate) fn search(&self, text: &str, limit: u32) -> Result<Vec<HistoryItem>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE {} ORDER BY m.row DESC LIMIT {SEARCH_ROWS_MAX}",
            lasts("m", 1)
        );
        let wanted = text.to_lowercase();
        self.page(&sql, [signed(self.now_ms)], limit, |item| {
            let file = item.details.media.as_ref().map(|media| &media.name);
            item.text.iter().chain(file).any(|text| text.to_lowercase().contains(&wanted))
        })
    }

    /// All chats, newest first.
    pub(crate) fn chats(&self) -> Result<Vec<ChatSummary>, Error> {
        let sql = format!(
            "SELECT {COLUMNS}, c.verified, c.notice,
                    (SELECT count(*) FROM message u
                     WHERE u.chat = c.id AND u.outgoing = 0 AND u.state = 2 AND {})
             FROM chat c JOIN message m
               ON m.row = (SELECT row FROM message l WHERE l.chat = c.id AND {}
                           ORDER BY row DESC LIMIT 1)
             ORDER BY m.row DESC LIMIT {CHATS_MAX}",
            lasts("u", 1),
            lasts("l", 1)
        );
        let read = || -> rusqlite::Result<Vec<ChatSummary>> {
            let mut query = self.db.prepare_cached(&sql)?;
            let rows = query.query_map([signed(self.now_ms)], |row| {
                let item = self.item(row)?;
                Ok(ChatSummary {
                    with: item.with.clone(),
                    last_text: item.preview().map(str::to_owned),
                    last_at_ms: item.sent_at_ms,
                    verified: row.get(15)?,
                    notice: row.get(16)?,
                    unread: row.get(17)?,
                    // The core knows; `Client::chats` asks it.
                    name: None,
                    blocked: false,
                    muted_until_ms: 0,
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| storage(&error))
    }

    /// The rows that pass, until the page is full.
    fn page(
        &self,
        sql: &str,
        values: impl Params,
        limit: u32,
        passes: impl Fn(&HistoryItem) -> bool,
    ) -> Result<Vec<HistoryItem>, Error> {
        let limit = usize::try_from(limit.min(PAGE_ROWS_MAX)).unwrap_or(usize::MAX);
        let read = || -> rusqlite::Result<Vec<HistoryItem>> {
            let mut query = self.db.prepare_cached(sql)?;
            let mut rows = query.query(values)?;
            let mut page = Vec::new();
            let mut bytes = 0;
            while page.len() < limit && bytes <= PAGE_BYTES_MAX {
                let Some(row) = rows.next()? else { break };
                let item = self.item(row)?;
                if passes(&item) {
                    bytes += size(&item);
                    page.push(item);
                }
            }
            Ok(page)
        };
        read().map_err(|error| storage(&error))
    }

    fn item(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<HistoryItem> {
        let account = AccountId(unsigned(row.get(1)?));
        let device = DeviceId { account, number: DeviceNumber(row.get(2)?) };
        let id = MessageId { device, counter: unsigned(row.get(3)?) };
        let with: ChatId = parsed(&row.get::<_, String>(11)?, "name")?;
        let sender: Option<String> = row.get(12)?;
        let sender: Option<Handle> = sender.map(|sender| parsed(&sender, "sender")).transpose()?;
        let me = self.owner.handle.clone();
        let outgoing = row.get(4)?;
        let (from, to) = match (&with, outgoing) {
            (_, true) => (me, with.clone()),
            (ChatId::Contact(from), false) => (from.clone(), ChatId::Contact(me)),
            (ChatId::Group(_), false) => (sender.unwrap_or(me), with.clone()),
        };
        let shown = self.content(id, row.get_ref(10)?.as_blob()?, note_of(row.get(7)?));
        let Shown { text, note, mut details } = shown;
        details.expires_at_ms = row.get::<_, Option<i64>>(13)?.map(unsigned);
        let mut item = HistoryItem {
            row: unsigned(row.get(0)?),
            id,
            with,
            from,
            to,
            outgoing,
            text,
            note,
            sent_at_ms: unsigned(row.get(8)?),
            received_at_ms: row.get::<_, Option<i64>>(9)?.map(unsigned),
            state: state_of(row.get(5)?, row.get(6)?),
            details,
        };
        self.annotated(&mut item, row.get(14)?)?;
        if item.outgoing && item.with.group().is_some() {
            item.details.reach = self.reach(id)?;
        }
        Ok(item)
    }

    fn reach(&self, id: MessageId) -> rusqlite::Result<Option<Reach>> {
        let sql = "SELECT delivered, read, members FROM reach
                   WHERE account = ?1 AND device = ?2 AND counter = ?3";
        let key = params![signed(id.device.account.0), id.device.number.0, signed(id.counter)];
        let mut query = self.db.prepare_cached(sql)?;
        let reach = |row: &rusqlite::Row<'_>| {
            Ok(Reach { delivered: row.get(0)?, read: row.get(1)?, of: row.get(2)? })
        };
        query.query_row(key, reach).optional()
    }

    /// What a row says. The body decides: what an older version did not understand, this one may.
    fn content(&self, id: MessageId, sealed: &[u8], note: Option<Note>) -> Shown {
        if note == Some(Note::Deleted) {
            return Shown::note(Note::Deleted);
        }
        let Ok(body) = self.vault.open_body(id, sealed) else { return Shown::note(Note::Lost) };
        let shown = Body::decode(&body).shown();
        let mut shown = shown.unwrap_or_else(|| Shown::note(Note::UpdateNeeded));
        if shown.note == Some(Note::UpdateNeeded) {
            shown.note = note.or(shown.note);
        }
        shown
    }

    /// Adds what people say about a message.
    fn annotated(&self, item: &mut HistoryItem, chat: i64) -> rusqlite::Result<()> {
        let MessageId { device, counter } = item.id;
        let sql = format!(
            "SELECT {} FROM annotation
             WHERE chat = ?1 AND account = ?2 AND device = ?3 AND counter = ?4 ORDER BY sender",
            annotate::COLUMNS
        );
        let mut query = self.db.prepare_cached(&sql)?;
        let key = params![chat, signed(device.account.0), device.number.0, signed(counter)];
        let mut rows = query.query(key)?;
        while let Some(row) = rows.next()? {
            if let Some(changed) = annotate::changed(&self.vault, row, &item.with)? {
                item.apply(&changed);
            }
        }
        Ok(())
    }

    /// Both, oldest first. What was said about a message before it came has the message's row, and
    /// follows it.
    pub(crate) fn arrived_after(&self, row: u64, limit: u32) -> Result<Vec<Arrived>, Error> {
        let (row, limit) = (row.max(self.owner.given_up_to), limit.min(PAGE_ROWS_MAX));
        let mut messages = self.incoming_after(row, limit)?;
        let mut changes = self.changes_after(row, limit)?;
        let is_full = |count: usize| u32::try_from(count).is_ok_and(|count| count >= limit);
        let bytes: usize = messages.iter().map(size).sum();
        // Beyond the end of a page that was cut nothing is known of its kind.
        let is_cut = is_full(messages.len()) || bytes > PAGE_BYTES_MAX;
        let end = messages.last().filter(|_| is_cut).map(|item| item.row);
        let changes_end = changes.last().filter(|_| is_full(changes.len())).map(|c| c.row);
        changes.retain(|changed| end.is_none_or(|end| changed.row <= end));
        messages.retain(|item| changes_end.is_none_or(|end| item.row <= end));
        let mut arrived: Vec<Arrived> = messages.into_iter().map(Arrived::Message).collect();
        arrived.extend(changes.into_iter().map(Arrived::Changed));
        arrived.sort_by_key(Arrived::row);
        Ok(arrived)
    }

    /// One message.
    pub(crate) fn message(&self, id: MessageId) -> Result<Option<HistoryItem>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE m.account = ?1 AND m.device = ?2 AND m.counter = ?3 AND {}",
            lasts("m", 4)
        );
        let DeviceId { account, number } = id.device;
        let key = params![signed(account.0), number.0, signed(id.counter), signed(self.now_ms)];
        Ok(self.page(&sql, key, 1, |_| true)?.pop())
    }

    /// Messages of all chats for a device that has none of them, newest first, until a pack is full.
    /// What waits, has failed or may still come is not among them.
    pub(crate) fn past(&self, wanted: PastWanted) -> Result<PastPage, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM message m JOIN chat c ON c.id = m.chat
             WHERE {IS_PAST} AND {} ORDER BY m.row DESC LIMIT ?3",
            lasts("m", 4)
        );
        let read = || -> rusqlite::Result<PastPage> {
            let mut query = self.db.prepare_cached(&sql)?;
            let before = i64::try_from(wanted.before).unwrap_or(i64::MAX);
            let floor = signed(wanted.floor);
            let mut rows =
                query.query(params![before, floor, PACK_ROWS_MAX, signed(self.now_ms)])?;
            let (mut items, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let item = self.past_item(row)?;
                bytes += item.bytes();
                if bytes > PACK_BYTES_MAX && !items.is_empty() {
                    break;
                }
                items.push(item);
            }
            let count = wanted.counts.then(|| self.past_count(before, floor)).transpose()?;
            Ok(PastPage { items, count })
        };
        read().map_err(|error| storage(&error))
    }

    /// How many there are in all, no further than may be given.
    fn past_count(&self, before: i64, floor: i64) -> rusqlite::Result<u32> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM message m WHERE {IS_PAST} AND {} LIMIT ?3)",
            lasts("m", 4)
        );
        let mut query = self.db.prepare_cached(&sql)?;
        let values = params![before, floor, HISTORY_ROWS_MAX, signed(self.now_ms)];
        query.query_row(values, |row| row.get(0))
    }

    fn past_item(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<PastItem> {
        let item = self.item(row)?;
        let opened = self.vault.open_body(item.id, row.get_ref(10)?.as_blob()?);
        Ok(PastItem {
            row: item.row,
            id: item.id,
            from: item.from,
            outgoing: item.outgoing,
            state: item.state,
            note: note_of(row.get(7)?),
            sent_at_ms: item.sent_at_ms,
            received_at_ms: item.received_at_ms,
            expires_at_ms: item.details.expires_at_ms,
            body: opened.map(|body| body.to_vec()).unwrap_or_default(),
            said: self.past_said(item.id, row.get(14)?)?,
            with: item.with,
        })
    }

    fn past_said(&self, about: MessageId, chat: i64) -> rusqlite::Result<Vec<PastSaid>> {
        let MessageId { device, counter } = about;
        let mut query = self.db.prepare_cached(
            "SELECT row, author, by_device, by_counter, sender, at, body FROM annotation
             WHERE chat = ?1 AND account = ?2 AND device = ?3 AND counter = ?4",
        )?;
        let key = params![chat, signed(device.account.0), device.number.0, signed(counter)];
        let said = query.query_map(key, |row| {
            let by = DeviceId::new(unsigned(row.get(1)?), row.get(2)?);
            let id = MessageId { device: by, counter: unsigned(row.get(3)?) };
            let stamp = Stamp {
                at_ms: unsigned(row.get(5)?),
                device: (by.account.0, by.number.0),
                counter: id.counter,
            };
            let opened = self.vault.open_body(id, row.get_ref(6)?.as_blob()?);
            let from = parsed(&row.get::<_, String>(4)?, "sender")?;
            let row = unsigned(row.get(0)?);
            Ok(opened.ok().map(|body| PastSaid { row, from, stamp, body: body.to_vec() }))
        })?;
        Ok(said.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// What others, and other devices of this account, said about messages after a row, oldest first.
    /// Not about placeholders that may still be filled: it is told after the message.
    fn changes_after(&self, row: u64, limit: u32) -> Result<Vec<Changed>, Error> {
        let columns = annotate::COLUMNS.split(", ").map(|name| format!("a.{name}"));
        let columns: Vec<String> = columns.collect();
        let sql = format!(
            "SELECT {}, c.name FROM annotation a JOIN chat c ON c.id = a.chat
             JOIN message m ON m.chat = a.chat AND m.account = a.account AND m.device = a.device
                 AND m.counter = a.counter AND m.note <> 1 AND {}
             WHERE a.row > ?1 AND (a.author <> ?3 OR a.by_device <> ?4)
             ORDER BY a.row LIMIT ?2",
            columns.join(", "),
            lasts("m", 5)
        );
        let DeviceId { account, number } = self.owner.device;
        let read = || -> rusqlite::Result<Vec<Changed>> {
            let mut query = self.db.prepare_cached(&sql)?;
            let (most, now_ms) = (limit.min(PAGE_ROWS_MAX), signed(self.now_ms));
            let values = params![signed(row), most, signed(account.0), number.0, now_ms];
            let rows = query.query_map(values, |row| {
                annotate::changed(&self.vault, row, &parsed(&row.get::<_, String>(10)?, "name")?)
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        read().map_err(|error| storage(&error))
    }
}

/// What is given to a new device, of the rows below ?1 and not below ?2.
const IS_PAST: &str = "m.row < ?1 AND m.row >= ?2 AND m.state IN (1, 2, 3) AND m.note <> 1";

/// That the time of a message of this table is not up at the time in this parameter.
fn lasts(table: &str, parameter: u8) -> String {
    format!("coalesce({table}.expires_at > ?{parameter}, 1)")
}

/// Bytes of a message that count in a page.
fn size(item: &HistoryItem) -> usize {
    let picture = item.details.media.as_ref().map_or(0, |media| media.thumbnail.len());
    item.text.as_ref().map_or(0, String::len) + picture
}

pub(super) fn parsed<T: FromStr>(text: &str, column: &str) -> rusqlite::Result<T> {
    text.parse().map_err(|_| rusqlite::Error::InvalidColumnName(column.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Details;
    use crate::core::Write;
    use crate::native::database::{Writer, open, open_reader};

    /// A database in a folder of its own.
    struct Stage {
        folder: tempfile::TempDir,
        vault: Vault,
        writer: Writer,
        reader: Reader,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::TempDir::new().unwrap();
            let path = folder.path().join("godwit.db");
            let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
            let owner = Owner {
                handle: "alice".parse().unwrap(),
                device: DeviceId::new(1, 1),
                given_up_to: 0,
            };
            let writer = Writer::new(open(&path).unwrap().0, vault.clone(), owner.clone());
            let reader = open_reader(&path, vault.clone(), owner).unwrap();
            Self { folder, vault, writer, reader }
        }

        /// Stores messages from somebody, one for each row: `row` from `with(row)`.
        fn store(
            &mut self,
            rows: std::ops::RangeInclusive<u64>,
            with: impl Fn(u64) -> String,
            text: &str,
        ) {
            let messages = rows.map(|row| {
                let with: Handle = with(row).parse().unwrap();
                let id = MessageId { device: DeviceId::new(2, 1), counter: row };
                let item = HistoryItem {
                    row,
                    id,
                    from: with.clone(),
                    with: with.into(),
                    to: "alice".parse().unwrap(),
                    outgoing: false,
                    text: Some(text.to_owned()),
                    note: None,
                    sent_at_ms: 1,
                    received_at_ms: Some(1),
                    state: MessageState::Delivered,
                    details: Details::default(),
                };
                let sealed = self.vault.seal_body(id, &Body::text(text)).unwrap();
                Write::Message { item, sealed }
            });
            self.writer.commit(messages.collect()).unwrap();
        }

        /// Rows that say nothing, in one statement: nothing is sealed, and nothing opens.
        fn fill(&self, rows: std::ops::RangeInclusive<u64>) {
            let path = self.folder.path().join("godwit.db");
            let sql = "WITH RECURSIVE filled(row) AS
                           (SELECT ?1 UNION ALL SELECT row + 1 FROM filled WHERE row < ?2)
                       INSERT INTO message
                           (row, chat, account, device, counter, outgoing, state, sent_at, body)
                       SELECT row, 1, 2, 1, row, 0, 2, 1, x'' FROM filled";
            let db = Connection::open(path).unwrap();
            db.execute(sql, params![signed(*rows.start()), signed(*rows.end())]).unwrap();
        }
    }

    #[test]
    fn the_list_holds_so_many_chats_and_then_the_newest() {
        let mut stage = Stage::new();
        let most = u64::from(CHATS_MAX);
        let name = |row| format!("h{row}");
        stage.store(1..=most, name, "hi");
        let chats = stage.reader.chats().unwrap();
        assert_eq!(
            (chats.len() as u64, chats.last().unwrap().with.to_string()),
            (most, "h1".to_owned())
        );
        stage.store(most + 1..=most + 1, name, "hi");
        let chats = stage.reader.chats().unwrap();
        assert_eq!(
            (chats.len() as u64, chats.last().unwrap().with.to_string()),
            (most, "h2".to_owned())
        );
    }

    #[test]
    fn a_page_has_so_many_messages_whatever_is_asked_for() {
        let mut stage = Stage::new();
        let with = ChatId::from("bob".parse::<Handle>().unwrap());
        let pages = |stage: &Stage| {
            let reader = &stage.reader;
            let ends = |rows: Vec<u64>| (rows.len(), rows.first().copied(), rows.last().copied());
            let rows = |items: Vec<HistoryItem>| ends(items.iter().map(|item| item.row).collect());
            let arrived = reader.arrived_after(0, u32::MAX).unwrap();
            [
                rows(reader.history(&with, None, u32::MAX).unwrap()),
                rows(reader.history_after(&with, 0, u32::MAX).unwrap()),
                ends(arrived.iter().map(Arrived::row).collect()),
                rows(reader.search("hi", u32::MAX).unwrap()),
            ]
        };
        let most = u64::from(PAGE_ROWS_MAX);
        let page = |first, last| (PAGE_ROWS_MAX as usize, Some(first), Some(last));
        stage.store(1..=most, |_| "bob".to_owned(), "hi");
        assert_eq!(pages(&stage), [page(1, most), page(1, most), page(1, most), page(most, 1)]);
        stage.store(most + 1..=most + 1, |_| "bob".to_owned(), "hi");
        let newest = [page(2, most + 1), page(1, most), page(1, most), page(most + 1, 2)];
        assert_eq!(pages(&stage), newest);
    }

    #[test]
    fn a_search_looks_so_far_back_and_no_further() {
        let mut stage = Stage::new();
        stage.store(1..=1, |_| "bob".to_owned(), "needle");
        let most = u64::from(SEARCH_ROWS_MAX);
        stage.fill(2..=most);
        assert_eq!(stage.reader.search("NEEDLE", 9).unwrap().len(), 1);
        stage.fill(most + 1..=most + 1);
        assert!(stage.reader.search("NEEDLE", 9).unwrap().is_empty());
    }
}
