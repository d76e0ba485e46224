//! What is said about messages, as rows.

use godwit_base::{DeviceId, MessageId};
use rusqlite::{OptionalExtension, Row, params};

use super::convert::{signed, unsigned};
use super::write::Step;
use crate::core::{AHEAD_MAX, Annotation, Body, Content, Mark, Vault};
use crate::{Act, Changed, ChatId, Event, HistoryItem, Note};

/// Number of a deletion, as `Act::kind` has it.
const DELETION: u8 = 6;

/// Of which chat a message is, and whether it was deleted.
struct Target {
    chat: i64,
    is_deleted: bool,
}

impl Step<'_> {
    pub(super) fn annotate(&mut self, said: Annotation) -> rusqlite::Result<()> {
        let chat = self.chat(&said.with)?;
        let target = self.target(said.about)?;
        if target.as_ref().is_some_and(|target| target.chat != chat || target.is_deleted) {
            return Ok(());
        }
        if !self.keep(chat, &said, target.is_none())? {
            return Ok(());
        }
        if target.is_none() {
            return self.bound_ahead(chat);
        }
        if said.act == Act::Deletion {
            self.erase(chat, said.about)?;
        }
        let Annotation { row, with, about, from, stamp, act, .. } = said;
        let changed = Changed { row, id: about, with, from, at_ms: stamp.at_ms, act };
        self.events.push(Event::Changed(changed));
        Ok(())
    }

    fn target(&self, id: MessageId) -> rusqlite::Result<Option<Target>> {
        let sql = "SELECT chat, note FROM message
                   WHERE account = ?1 AND device = ?2 AND counter = ?3";
        let found = |row: &Row<'_>| {
            let is_deleted =
                row.get::<_, i64>(1)? == super::convert::note_number(Some(Note::Deleted));
            Ok(Target { chat: row.get(0)?, is_deleted })
        };
        self.tx.prepare_cached(sql)?.query_row(key(id), found).optional()
    }

    /// Whether it is news: there was nothing, or something of a lower stamp.
    fn keep(&self, chat: i64, said: &Annotation, waits: bool) -> rusqlite::Result<bool> {
        let about = said.about.device;
        let (author, device) = said.stamp.device;
        let kept = self
            .tx
            .prepare_cached(
                "INSERT INTO annotation (chat, account, device, counter, kind, author, row, sender,
                                         by_device, by_counter, at, waits, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (chat, account, device, counter, kind, author) DO UPDATE SET
                     row = excluded.row, sender = excluded.sender, by_device = excluded.by_device,
                     by_counter = excluded.by_counter, at = excluded.at, waits = excluded.waits,
                     body = excluded.body
                 WHERE (excluded.at, excluded.by_device, excluded.by_counter)
                     > (at, by_device, by_counter)",
            )?
            .execute(params![
                chat,
                signed(about.account.0),
                about.number.0,
                signed(said.about.counter),
                said.act.kind(),
                signed(author),
                signed(said.row),
                said.from.as_str(),
                device,
                signed(said.stamp.counter),
                signed(said.stamp.at_ms),
                waits,
                said.sealed,
            ])?;
        Ok(kept == 1)
    }

    /// Drops the oldest of those whose message did not come.
    fn bound_ahead(&self, chat: i64) -> rusqlite::Result<()> {
        self.run(
            "DELETE FROM annotation WHERE rowid IN
                 (SELECT rowid FROM annotation WHERE chat = ?1 AND waits = 1
                  ORDER BY row DESC LIMIT -1 OFFSET ?2)",
            params![chat, AHEAD_MAX],
        )
    }

    /// Nothing is left of a message but that it was there.
    fn erase(&self, chat: i64, id: MessageId) -> rusqlite::Result<()> {
        let [account, device, counter] = key(id);
        self.run(
            "UPDATE message SET body = x'', note = ?5
             WHERE account = ?1 AND device = ?2 AND counter = ?3 AND chat = ?4",
            params![
                account,
                device,
                counter,
                chat,
                super::convert::note_number(Some(Note::Deleted))
            ],
        )?;
        self.run(
            "DELETE FROM annotation
             WHERE account = ?1 AND device = ?2 AND counter = ?3 AND chat = ?4 AND kind <> ?5",
            params![account, device, counter, chat, DELETION],
        )
    }

    /// A message was added: what was said about it before is told after it.
    pub(super) fn apply_ahead(&mut self, chat: i64, item: HistoryItem) -> rusqlite::Result<()> {
        let [account, device, counter] = key(item.id);
        let ahead = self
            .tx
            .prepare_cached(&format!(
                "UPDATE annotation SET waits = 0, row = max(row, ?5)
                 WHERE account = ?1 AND device = ?2 AND counter = ?3 AND chat = ?4
                 RETURNING {COLUMNS}"
            ))?
            .query_map(params![account, device, counter, chat, signed(item.row)], |row| {
                changed(self.vault, row, &item.with)
            })?
            .collect::<rusqlite::Result<Vec<Option<Changed>>>>()?;
        let mut ahead: Vec<Changed> = ahead.into_iter().flatten().collect();
        ahead.sort_by_key(|changed| changed.at_ms);
        let mut item = item;
        if ahead.iter().any(|changed| changed.act == Act::Deletion) {
            self.erase(chat, item.id)?;
            (item.text, item.note, item.details) = (None, Some(Note::Deleted), <_>::default());
            ahead.clear();
        }
        self.events.push(Event::Message(item));
        self.events.extend(ahead.into_iter().map(Event::Changed));
        Ok(())
    }

    /// Removes what has disappeared.
    pub(super) fn expire(&mut self, now_ms: u64) -> rusqlite::Result<()> {
        let gone = self
            .tx
            .prepare_cached(
                "DELETE FROM message WHERE expires_at <= ?1
                 RETURNING account, device, counter, chat,
                           (SELECT name FROM chat c WHERE c.id = message.chat)",
            )?
            .query_map([signed(now_ms)], |row| {
                let device = DeviceId::new(unsigned(row.get(0)?), row.get(1)?);
                let id = MessageId { device, counter: unsigned(row.get(2)?) };
                Ok((
                    id,
                    row.get::<_, i64>(3)?,
                    super::read::parsed::<ChatId>(&row.get::<_, String>(4)?, "name")?,
                ))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (id, chat, with) in gone {
            let [account, device, counter] = key(id);
            self.run(
                "DELETE FROM annotation
                 WHERE account = ?1 AND device = ?2 AND counter = ?3 AND chat = ?4",
                params![account, device, counter, chat],
            )?;
            self.run(
                "DELETE FROM reach WHERE account = ?1 AND device = ?2 AND counter = ?3",
                params![account, device, counter],
            )?;
            self.events.push(Event::Expired { id, with });
        }
        Ok(())
    }
}

const fn key(id: MessageId) -> [i64; 3] {
    [signed(id.device.account.0), id.device.number.0 as i64, signed(id.counter)]
}

/// What [`changed`] reads.
pub(super) const COLUMNS: &str =
    "row, account, device, counter, author, by_device, by_counter, sender, at, body";

/// An annotation as a row says it; nothing if it does not open.
pub(super) fn changed(
    vault: &Vault,
    row: &Row<'_>,
    with: &ChatId,
) -> rusqlite::Result<Option<Changed>> {
    let device = DeviceId::new(unsigned(row.get(1)?), row.get(2)?);
    let about = MessageId { device, counter: unsigned(row.get(3)?) };
    let device = DeviceId::new(unsigned(row.get(4)?), row.get(5)?);
    let by = MessageId { device, counter: unsigned(row.get(6)?) };
    let from = super::read::parsed(&row.get::<_, String>(7)?, "sender")?;
    let opened = vault.open_body(by, row.get_ref(9)?.as_blob()?);
    let act = opened.ok().and_then(|body| match Body::decode(&body).content {
        Content::About { act, .. } => Some(act),
        Content::Mark(Mark::Star { on, .. }) => Some(Act::Star(on)),
        _ => None,
    });
    let (row, at_ms) = (unsigned(row.get(0)?), unsigned(row.get(8)?));
    let with = with.clone();
    Ok(act.map(|act| Changed { row, id: about, with, from, at_ms, act }))
}
