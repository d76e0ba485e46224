//! The one connection that writes.

use godwit_base::{DeviceId, DeviceNumber, Handle, MessageId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::convert::{failure_number, note_number, signed, state_number, unsigned};
use super::{Owner, storage};
use crate::core::{Annotation, Vault, Write};
use crate::{ChatId, Error, Event, HistoryItem, MessageState, Note, Reach};

/// Commits what the core has staged.
pub(crate) struct Writer {
    db: Connection,
    vault: Vault,
    owner: Owner,
}

impl Writer {
    pub(crate) fn new(db: Connection, vault: Vault, owner: Owner) -> Self {
        Self { db, vault, owner }
    }

    /// Everything in one transaction, on the disk when it returns. Gives the events that the
    /// changes make, in order.
    pub(crate) fn commit(&mut self, writes: Vec<Write>) -> Result<Vec<Event>, Error> {
        self.try_commit(writes).map_err(|error| storage(&error))
    }

    fn try_commit(&mut self, writes: Vec<Write>) -> rusqlite::Result<Vec<Event>> {
        let mut events = Vec::new();
        // At once, so that whoever holds the file for a moment (a backup) is waited for.
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let (owner, vault) = (&self.owner, &self.vault);
            Step { tx: &tx, vault, owner, events: &mut events }.apply(write)?;
        }
        tx.commit()?;
        Ok(events)
    }
}

/// One write within a transaction.
pub(super) struct Step<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) vault: &'a Vault,
    owner: &'a Owner,
    pub(super) events: &'a mut Vec<Event>,
}

impl Step<'_> {
    fn apply(&mut self, write: Write) -> rusqlite::Result<()> {
        match write {
            Write::Put { table, key, value } => self.run(
                "INSERT INTO state (tab, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (tab, key) DO UPDATE SET value = excluded.value",
                params![table as u8, key, value],
            ),
            Write::Delete { table, key } => {
                self.run("DELETE FROM state WHERE tab = ?1 AND key = ?2", params![table as u8, key])
            }
            Write::Message { item, sealed } => self.message(item, &sealed),
            Write::Past { item, sealed, said } => self.past(item, &sealed, said),
            Write::Forget { id } => self.run(
                "DELETE FROM message WHERE account = ?1 AND device = ?2 AND counter = ?3",
                params![signed(id.device.account.0), id.device.number.0, signed(id.counter)],
            ),
            Write::State { counter, with, state, at_ms } => self.state(counter, with, state, at_ms),
            Write::Watermark { with, origin, up_to, state, at_ms } => {
                self.watermark(&with, origin, up_to, state, at_ms)
            }
            Write::Annotate(annotation) => self.annotate(annotation),
            Write::Expire { now_ms } => self.expire(now_ms),
            Write::ReadHere { from, up_to, at_ms } => self.read_here(from, up_to, at_ms),
            Write::ReadGroup { group, at_ms } => {
                let chat = self.chat(&group.into())?;
                self.run(
                    "UPDATE message SET state = 3,
                         expires_at = CASE WHEN timer > 0 THEN ?2 + timer * 1000 ELSE expires_at END
                     WHERE chat = ?1 AND outgoing = 0 AND state = 2",
                    params![chat, signed(at_ms)],
                )
            }
            Write::ReadInGroup { group, from, up_to, at_ms } => self.run(
                "UPDATE message SET state = 3,
                     expires_at = CASE WHEN timer > 0 THEN ?5 + timer * 1000 ELSE expires_at END
                 WHERE account = ?1 AND device = ?2 AND counter <= ?3 AND outgoing = 0 AND state = 2
                       AND chat = (SELECT id FROM chat WHERE name = ?4)",
                params![
                    signed(from.account.0),
                    from.number.0,
                    signed(up_to),
                    ChatId::Group(group).to_string(),
                    signed(at_ms)
                ],
            ),
            Write::Reach { id, with, reach, at_ms } => self.reach(id, with, reach, at_ms),
            Write::Chat { with, verified, notice } => {
                let chat = self.chat(&with)?;
                self.run(
                    "UPDATE chat SET verified = ?2, notice = ?3 WHERE id = ?1",
                    params![chat, verified, notice],
                )
            }
        }
    }

    pub(super) fn run(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.tx.prepare_cached(sql)?.execute(values).map(drop)
    }

    pub(super) fn chat(&self, with: &ChatId) -> rusqlite::Result<i64> {
        let name = with.to_string();
        let found = self
            .tx
            .prepare_cached("SELECT id FROM chat WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))
            .optional()?;
        match found {
            Some(chat) => Ok(chat),
            None => {
                self.run("INSERT INTO chat (name) VALUES (?1)", [&name])?;
                Ok(self.tx.last_insert_rowid())
            }
        }
    }

    fn message(&mut self, item: HistoryItem, sealed: &[u8]) -> rusqlite::Result<()> {
        let chat = self.chat(&item.with)?;
        let device = item.id.device;
        // In a chat with one contact the sender is known by the chat.
        let sender = item.with.group().map(|_| item.from.as_str().to_owned());
        // What sets a timer stays.
        let timer_s = if item.note == Some(Note::Timer) { 0 } else { item.details.timer_s };
        // A message that is there already is not told of again (M3).
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO message (row, chat, account, device, counter, outgoing, state, failure,
                                      note, sent_at, received_at, body, sender, timer,
                                      expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                         ?15)
                 ON CONFLICT (account, device, counter) DO NOTHING",
            )?
            .execute(params![
                signed(item.row),
                chat,
                signed(device.account.0),
                device.number.0,
                signed(item.id.counter),
                item.outgoing,
                state_number(item.state),
                failure_number(item.state),
                note_number(item.note),
                signed(item.sent_at_ms),
                item.received_at_ms.map(signed),
                sealed,
                sender,
                timer_s,
                item.details.expires_at_ms.map(signed),
            ])?;
        if added == 1 { self.apply_ahead(chat, item) } else { Ok(()) }
    }

    /// A message from before this device was linked. Nobody is told: it is no news.
    fn past(
        &mut self,
        item: HistoryItem,
        sealed: &[u8],
        said: Vec<Annotation>,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT 1 FROM message WHERE row = ?1";
        let row = signed(item.row);
        let is_taken = self.tx.prepare_cached(sql)?.query_row([row], |_| Ok(())).optional()?;
        if is_taken.is_some() {
            return Ok(());
        }
        let told = self.events.len();
        self.message(item, sealed)?;
        for annotation in said {
            self.annotate(annotation)?;
        }
        self.events.truncate(told);
        Ok(())
    }

    fn state(
        &mut self,
        counter: u64,
        with: ChatId,
        state: MessageState,
        at_ms: u64,
    ) -> rusqlite::Result<()> {
        let accepted_at = matches!(state, MessageState::Accepted).then_some(signed(at_ms));
        let device = self.owner.device;
        let changed = self
            .tx
            .prepare_cached(
                "UPDATE message SET state = ?4, failure = ?5,
                                    received_at = coalesce(received_at, ?6)
                 WHERE account = ?1 AND device = ?2 AND counter = ?3 AND state < ?4",
            )?
            .execute(params![
                signed(device.account.0),
                device.number.0,
                signed(counter),
                state_number(state),
                failure_number(state),
                accepted_at,
            ])?;
        if changed == 1 {
            let by = match (state, &with) {
                (MessageState::Delivered | MessageState::Read, ChatId::Contact(by)) => by.clone(),
                _ => self.owner.handle.clone(),
            };
            let id = MessageId { device, counter };
            self.events.push(Event::State { id, with, by, state, at_ms });
        }
        Ok(())
    }

    /// How many members have a message, and what that makes of its state.
    fn reach(
        &mut self,
        id: MessageId,
        with: ChatId,
        reach: Reach,
        at_ms: u64,
    ) -> rusqlite::Result<()> {
        let (account, device, counter) =
            (signed(id.device.account.0), id.device.number.0, signed(id.counter));
        let Reach { delivered, read, of } = reach;
        self.run(
            "INSERT INTO reach (account, device, counter, delivered, read, members)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (account, device, counter) DO UPDATE
             SET delivered = excluded.delivered, read = excluded.read",
            params![account, device, counter, delivered, read, of],
        )?;
        if let Some(state) = reach.state() {
            let changed = self
                .tx
                .prepare_cached(
                    "UPDATE message SET state = ?4
                     WHERE account = ?1 AND device = ?2 AND counter = ?3 AND state < ?4",
                )?
                .execute(params![account, device, counter, state_number(state)])?;
            if changed == 1 {
                let by = self.owner.handle.clone();
                self.events.push(Event::State { id, with: with.clone(), by, state, at_ms });
            }
        }
        self.events.push(Event::Reach { id, with, reach });
        Ok(())
    }

    fn watermark(
        &mut self,
        with: &Handle,
        origin: DeviceNumber,
        up_to: u64,
        state: MessageState,
        at_ms: u64,
    ) -> rusqlite::Result<()> {
        let chat = self.chat(&with.into())?;
        let mut update = self.tx.prepare_cached(
            "UPDATE message SET state = ?2
             WHERE chat = ?1 AND outgoing = 1 AND state IN (1, 2) AND state < ?2 AND counter <= ?3
                   AND device = ?4
             RETURNING counter",
        )?;
        let changed = update
            .query_map(params![chat, state_number(state), signed(up_to), origin.0], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut changed: Vec<u64> = changed.into_iter().map(unsigned).collect();
        changed.sort_unstable();
        let device = DeviceId { account: self.owner.device.account, number: origin };
        self.events.extend(changed.into_iter().map(|counter| Event::State {
            id: MessageId { device, counter },
            with: with.into(),
            by: with.clone(),
            state,
            at_ms,
        }));
        Ok(())
    }

    fn read_here(&self, from: DeviceId, up_to: u64, at_ms: u64) -> rusqlite::Result<()> {
        self.run(
            "UPDATE message SET state = 3,
                 expires_at = CASE WHEN timer > 0 THEN ?4 + timer * 1000 ELSE expires_at END
             WHERE account = ?1 AND device = ?2 AND counter <= ?3 AND outgoing = 0 AND state = 2
                   AND sender IS NULL",
            params![signed(from.account.0), from.number.0, signed(up_to), signed(at_ms)],
        )
    }
}
