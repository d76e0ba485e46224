//! Files on their way. What is to be uploaded is a row until its message enters the outbox, as any
//! other message does; the sealed file itself is the driver's affair, and so is HTTP. The core asks
//! for tickets and says what this device has.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, BlobId, Handle, MessageId};
use godwit_seal::RowError;
use godwit_wire::{Refusal, ToServer, v1};
use serde::{Deserialize, Serialize};

use super::asking::Request;
use super::command::SendKey;
use super::kinds::{check_context, check_media};
use super::lookup::{Keys, Who};
use super::now::Now;
use super::output::{Row, Table, Ticket, Write};
use super::vault::{Blob, Vault};
use super::{Body, Core, refusal_of};
use crate::{ChatId, Context, Error, Media};

/// Files that wait to be uploaded. Each is a row of about 6 KB, its thumbnail most of it: 1.5 MB.
pub const UPLOADS_MAX: usize = 256;

/// Files of which the server is still to be told that this device has them, 50 B each. Beyond it the
/// oldest of them stay on the server until they expire.
pub const FETCHED_MAX: usize = 1_024;

/// Pause before a ticket is asked for again, if the server names none, 1 s.
const ASK_AGAIN_MS: u64 = 1_000;

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// A file that is to be uploaded before its message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Upload {
    to: ChatId,
    body: Blob,
    blob: BlobId,
    bytes: u64,
}

/// An upload, as the driver needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The command that asked for it.
    pub key: SendKey,
    /// Name of the sealed file.
    pub blob: BlobId,
    /// Its length.
    pub bytes: u64,
}

/// Everything about files.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    uploads: BTreeMap<SendKey, Upload>,
    changed: BTreeSet<SendKey>,
    /// Tickets that the driver waits for. Bounded by its transfers.
    wanted: BTreeMap<(BlobId, Way), Want>,
    /// What this device has and the server does not know yet, and whether it was told on this link.
    fetched: BTreeMap<BlobId, bool>,
    fetched_changed: BTreeSet<BlobId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Want {
    /// On this link.
    is_asked: bool,
    not_before_ms: u64,
}

impl Transfers {
    /// The rows that changed since the last call.
    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            let row = self.uploads.get(&key);
            let row = row.map(|upload| vault.seal(Table::Upload, &key, upload)).transpose()?;
            writes.push(write(Table::Upload, &key, row));
        }
        for blob in std::mem::take(&mut self.fetched_changed) {
            let row = self.fetched.get(&blob);
            let row = row.map(|_| vault.seal(Table::Fetched, &blob.0, &())).transpose()?;
            writes.push(write(Table::Fetched, &blob.0, row));
        }
        Ok(writes)
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut transfers = Self::default();
        for (table, key, value) in rows {
            match table {
                Table::Upload => {
                    let key: SendKey = key.as_slice().try_into().map_err(|_| RowError::Damaged)?;
                    transfers.uploads.insert(key, vault.open(Table::Upload, &key, value)?);
                }
                Table::Fetched => {
                    vault.open::<()>(Table::Fetched, key, value)?;
                    let blob = key.as_slice().try_into().map_err(|_| RowError::Damaged)?;
                    transfers.fetched.insert(BlobId(blob), false);
                }
                _ => {}
            }
        }
        Ok(transfers)
    }

    /// What was asked on the link that ended is asked again on the next.
    pub(super) fn link_lost(&mut self) {
        self.wanted.values_mut().for_each(|want| *want = Want::default());
        self.fetched.values_mut().for_each(|is_told| *is_told = false);
    }

    /// Whether the server is still to confirm that this device has a file.
    pub(super) fn owes(&self) -> bool {
        !self.fetched.is_empty()
    }

    /// When a ticket may be asked for again, monotonic milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let waiting = self.wanted.values().filter(|want| !want.is_asked);
        waiting.map(|want| want.not_before_ms).filter(|at_ms| *at_ms > 0).min()
    }

    fn remove(&mut self, key: &SendKey) -> Option<Upload> {
        self.changed.insert(*key);
        self.uploads.remove(key)
    }

    fn has_told(&mut self, blob: BlobId) {
        self.fetched.remove(&blob);
        self.fetched_changed.insert(blob);
    }
}

fn write(table: Table, key: &[u8], row: Option<Vec<u8>>) -> Write {
    let key = key.to_vec();
    match row {
        Some(value) => Write::Put { table, key, value },
        None => Write::Delete { table, key },
    }
}

impl Core {
    /// Remembers that a file is to be uploaded and its message sent then. Asked again with the same
    /// key, it changes nothing.
    ///
    /// # Errors
    /// As [`send_with`](Self::send_with); [`Error::TooManyFiles`] if [`UPLOADS_MAX`] wait.
    pub fn upload(
        &mut self,
        key: SendKey,
        to: &ChatId,
        media: &Media,
        text: &str,
        context: &Context,
    ) -> Result<(), Error> {
        if self.sent(&key).is_some() || self.transfers.uploads.contains_key(&key) {
            return Ok(());
        }
        check_media(&media.info, text)?;
        check_context(context, text)?;
        let body = Body::media(media, text, context, self.timer(to));
        self.check_recipient(to, 1, body.len())?;
        if self.transfers.uploads.len() >= UPLOADS_MAX {
            return Err(Error::TooManyFiles { max: UPLOADS_MAX });
        }
        let (blob, bytes) = (media.blob, media.sealed_bytes);
        self.transfers
            .uploads
            .insert(key, Upload { to: to.clone(), body: Blob(body), blob, bytes });
        self.transfers.changed.insert(key);
        Ok(())
    }

    /// The message that a command made, if it has.
    pub fn sent(&self, key: &SendKey) -> Option<MessageId> {
        self.commands.get(key).map(|made| self.own_id(made.first))
    }

    /// Uploads that are not done.
    pub fn uploads(&self) -> Vec<Pending> {
        let pending = self.transfers.uploads.iter().map(|(key, upload)| Pending {
            key: *key,
            blob: upload.blob,
            bytes: upload.bytes,
        });
        pending.collect()
    }

    /// The server has the file: its message enters the outbox. Returns the message.
    ///
    /// # Errors
    /// As [`send`](Self::send); the upload is given up then.
    pub fn uploaded(&mut self, key: SendKey, now: Now) -> Result<MessageId, Error> {
        let upload = self.transfers.remove(&key);
        if let Some(id) = self.sent(&key) {
            return Ok(id);
        }
        let Upload { to, body, .. } = upload.ok_or(Error::Closed)?;
        let ids = self.say_in(key, &to, vec![body.0], self.wall_ms(now))?;
        ids.first().copied().ok_or(Error::NoChat(to))
    }

    /// The file will not be uploaded.
    pub fn give_up(&mut self, key: SendKey) {
        self.transfers.remove(&key);
    }

    /// Asks for a ticket; the answer comes in a batch. `again` after one that the server did not take.
    pub fn want_ticket(&mut self, blob: BlobId, way: Way, again: bool, now: Now) {
        let not_before_ms = if again { now.mono_ms + ASK_AGAIN_MS } else { 0 };
        self.transfers.wanted.insert((blob, way), Want { is_asked: false, not_before_ms });
        if self.is_revoked {
            self.fail_files(&Error::Revoked);
        }
    }

    /// This device has the file, verified and durable: the server is told.
    pub fn has_fetched(&mut self, blob: BlobId) {
        if self.transfers.fetched.len() < FETCHED_MAX {
            self.transfers.fetched.insert(blob, false);
            self.transfers.fetched_changed.insert(blob);
        }
    }

    /// Asks for the tickets that are wanted, and says which files this device has.
    pub(super) fn tend_files(&mut self, now: Now) {
        let wanted = self.transfers.wanted.iter();
        let due = wanted.filter(|(_, want)| !want.is_asked && now.mono_ms >= want.not_before_ms);
        for (blob, way) in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.ask_ticket(blob, way);
        }
        let untold = self.transfers.fetched.iter().filter(|(_, is_told)| !**is_told);
        for blob in untold.map(|(blob, _)| *blob).collect::<Vec<_>>() {
            self.transfers.fetched.insert(blob, true);
            let request = self.next_request(Request::Fetched(blob));
            let blob = blob.0.to_vec().into();
            self.staged.messages.push(ToServer::MediaFetched(v1::MediaFetched { request, blob }));
        }
    }

    fn ask_ticket(&mut self, blob: BlobId, way: Way) {
        let (direction, bytes, fetchers) = match way {
            Way::Down => (v1::MediaDirection::Down, 0, 0),
            Way::Up => {
                let mut uploads = self.transfers.uploads.values();
                let Some(upload) = uploads.find(|upload| upload.blob == blob) else {
                    self.transfers.wanted.remove(&(blob, way));
                    return;
                };
                let (to, bytes) = (upload.to.clone(), upload.bytes);
                let Some(fetchers) = self.fetchers(&to) else { return };
                (v1::MediaDirection::Up, bytes, fetchers)
            }
        };
        if let Some(want) = self.transfers.wanted.get_mut(&(blob, way)) {
            want.is_asked = true;
        }
        let request = self.next_request(Request::Ticket(blob, way));
        self.staged.messages.push(ToServer::MediaGrant(v1::MediaGrantRequest {
            request,
            direction: direction.into(),
            blob: blob.0.to_vec().into(),
            bytes,
            fetchers,
        }));
    }

    /// Devices that will fetch a file for that chat: the recipient's, and our own others. Only between
    /// two people, where nobody but these can say that they have it; 0 is not known. None: who the
    /// recipient is must be learned first, and nothing is uploaded for nobody.
    fn fetchers(&mut self, to: &ChatId) -> Option<u32> {
        let ChatId::Contact(handle) = to else { return Some(0) };
        let devices = |account: AccountId| self.contacts.get(account).map(|c| c.devices.len());
        match self.contacts.account_of(handle).and_then(devices) {
            Some(theirs) => {
                let ours = devices(self.me.device().account).unwrap_or(0);
                u32::try_from(theirs + ours).ok()
            }
            None => {
                self.lookups.want(Who::Handle(handle.clone()), Keys::All);
                None
            }
        }
    }

    /// The handle leads to nobody: what waits for it is not uploaded.
    pub(super) fn fail_files_for(&mut self, handle: &Handle, error: &Error) {
        let uploads = self.transfers.uploads.values();
        let lost = uploads.filter(|upload| upload.to.contact() == Some(handle));
        for blob in lost.map(|upload| upload.blob).collect::<Vec<_>>() {
            self.answer(blob, Way::Up, Err(error.clone()));
        }
    }

    /// The server gives no tickets any more.
    pub(super) fn fail_files(&mut self, error: &Error) {
        let wanted: Vec<_> = self.transfers.wanted.keys().copied().collect();
        wanted.into_iter().for_each(|(blob, way)| self.answer(blob, way, Err(error.clone())));
    }

    fn answer(&mut self, blob: BlobId, way: Way, answer: Result<v1::MediaGrant, Error>) {
        if self.transfers.wanted.remove(&(blob, way)).is_some() {
            self.staged.tickets.push(Ticket { blob, way, answer });
        }
    }

    pub(super) fn on_media_grant(&mut self, grant: v1::MediaGrant) {
        if let Some(Request::Ticket(blob, way)) = self.requests.remove(&grant.request) {
            self.answer(blob, way, Ok(grant));
        }
    }

    pub(super) fn on_media_noted(&mut self, noted: &v1::MediaNoted) {
        if let Some(Request::Fetched(blob)) = self.requests.remove(&noted.request) {
            self.transfers.has_told(blob);
        }
    }

    /// The server gives no ticket: not now, or never.
    pub(super) fn on_ticket_refused(
        &mut self,
        blob: BlobId,
        way: Way,
        refused: &v1::Refused,
        now: Now,
    ) {
        let refusal = refusal_of(refused);
        if refusal.map_or(refused.retry_after_ms > 0, Refusal::retryable) {
            let wait_ms = u64::from(refused.retry_after_ms).max(ASK_AGAIN_MS);
            let want = Want { is_asked: false, not_before_ms: now.mono_ms + wait_ms };
            self.transfers.wanted.insert((blob, way), want);
        } else {
            self.answer(blob, way, Err(Error::refused(refused.code)));
        }
    }

    /// The file is gone already, or the server will be told on the next link.
    pub(super) fn on_fetched_refused(&mut self, blob: BlobId, refused: &v1::Refused) {
        if !refusal_of(refused).map_or(refused.retry_after_ms > 0, Refusal::retryable) {
            self.transfers.has_told(blob);
        }
    }
}

#[cfg(test)]
mod tests {
    use godwit_seal::RowKey;

    use super::*;
    use crate::core::output::rows_put;

    #[test]
    fn what_waits_comes_back_after_a_restart() {
        let vault = Vault::new(RowKey::from_bytes(&[1; 32]));
        let to = ChatId::Contact("bob".parse().unwrap());
        let upload = Upload { to, body: Blob(vec![1, 2]), blob: BlobId([3; 32]), bytes: 1_052 };
        let mut transfers = Transfers::default();
        transfers.uploads.insert([7; 16], upload.clone());
        transfers.changed.insert([7; 16]);
        transfers.fetched.insert(BlobId([4; 32]), true);
        transfers.fetched_changed.insert(BlobId([4; 32]));
        let written = rows_put(transfers.changes(&vault).unwrap());
        let restored = Transfers::restore(&vault, &written).unwrap();
        assert_eq!(restored.uploads, BTreeMap::from([([7; 16], upload)]));
        assert_eq!(restored.fetched, BTreeMap::from([(BlobId([4; 32]), false)]), "not yet told");
        transfers.remove(&[7; 16]);
        transfers.has_told(BlobId([4; 32]));
        assert!(!transfers.owes());
        let deleted = transfers.changes(&vault).unwrap();
        assert_eq!(deleted.len(), 2);
        assert!(rows_put(deleted).is_empty(), "what is done leaves no row");
    }
}
