//! Groups: what this device has verified of each, and what it is about to change.
//!
//! A group here is the result of its log and of nothing else. The server says that there is something
//! new (`following`) and orders what members change (`changing`); whatever it says of members beside
//! the signed entries is not looked at.

mod changing;
mod community;
mod early;
mod following;
mod hearing;
mod naming;
mod news;
mod offered;
mod posting;
mod progress;
mod reach;
mod rows;
mod saying;
mod sharing;
mod showing;
mod unread;

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceNumber, GroupId};
use godwit_seal::{Group, GroupProfile, GroupSecret, InviteSecret, RowError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::output::{Row, Table, Write};
use super::timer::Timer;
use super::vault::{Secret, Vault};

use changing::Wishes;
pub use changing::{GroupCommand, GroupOutcome};
pub use community::COMMUNITY_GROUPS_MAX;
use early::Waiting;
use following::Behind;
use hearing::Heard;
pub use naming::check_group_name;
use news::Untold;
use posting::Postings;
pub use progress::Asked;
use progress::Questions;
use reach::Reaches;
pub(in crate::core) use unread::Came;
use unread::Unreads;

/// Shortest pause after the server could not take a change, if it names none, 1 s.
const PAUSE_MS: u64 = 1_000;

/// What this device keeps of a group beside its log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    /// Why nothing is sent to the group and nothing changed in it: the server shows a log that
    /// contradicts ours.
    pub(crate) frozen: Option<String>,
    /// The link that this device made, if it is the present one.
    link: Option<Secret>,
    /// The community that it is a group of, as of the last entry.
    #[serde(default)]
    community: Option<GroupId>,
    /// Of the group's chat.
    #[serde(default)]
    pub(crate) timer: Timer,
    /// Who is to be given the secret when it comes: it was their turn, and it was not here.
    #[serde(default)]
    owed: BTreeSet<AccountId>,
    /// The device of ours that gave the group its present name.
    #[serde(default)]
    named_by: Option<DeviceNumber>,
}

/// A group.
pub(crate) struct Known {
    pub(crate) group: Group,
    pub(crate) record: GroupRecord,
    pub(crate) secret: Option<GroupSecret>,
}

impl Known {
    fn new(group: Group) -> Self {
        Self { group, record: GroupRecord::default(), secret: None }
    }

    /// Name and picture, if the secret they are sealed under has come.
    pub(crate) fn profile(&self) -> Option<GroupProfile> {
        self.secret.as_ref()?.open_profile(self.group.profile()?)
    }

    /// The present link, if this device made it. One that was taken back and followed by another's must not
    /// come into the log again: who was put out may have it.
    fn link(&self) -> Option<InviteSecret> {
        let link = self.record.link.as_ref()?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(link.bytes()).ok()?);
        let (link, offer) = (InviteSecret::from_bytes(&bytes), self.group.invite()?);
        link.is_offered(offer).then_some(link)
    }
}

/// All groups, and which rows changed since they were written.
#[derive(Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<GroupId, Known>,
    behind: BTreeMap<GroupId, Behind>,
    early: Waiting,
    heard: Heard,
    postings: Postings,
    wishes: Wishes,
    unreads: Unreads,
    reaches: Reaches,
    questions: Questions,
    untold: Untold,
    /// Communities to look at, and who left one of their groups.
    astir: BTreeMap<GroupId, BTreeSet<AccountId>>,
    /// On this link it was asked who the members are that are not known.
    asked_members: bool,
    /// Of these a new device of ours was told.
    pub(crate) told_own: BTreeSet<GroupId>,
    /// Version of our list for which it was looked who has given groups their names.
    looked_at: u64,
    /// Members were given a key that is not on its way yet.
    pub(crate) gave_key: bool,
    /// The server asked to wait until then, by the monotonic clock.
    paused_until_ms: Option<u64>,
    changed: BTreeSet<GroupId>,
    changed_behind: BTreeSet<GroupId>,
}

impl Groups {
    pub(crate) fn get(&self, id: GroupId) -> Option<&Known> {
        self.by_id.get(&id)
    }

    /// For changing; its rows are written with the next batch.
    pub(crate) fn get_mut(&mut self, id: GroupId) -> Option<&mut Known> {
        let known = self.by_id.get_mut(&id)?;
        self.changed.insert(id);
        Some(known)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (GroupId, &Known)> {
        self.by_id.iter().map(|(id, known)| (*id, known))
    }

    fn insert(&mut self, group: Group) {
        let id = group.id();
        self.by_id.insert(id, Known::new(group));
        self.changed.insert(id);
    }

    /// The server cannot take a change, or give a log, now.
    fn pause(&mut self, retry_after_ms: u32, mono_ms: u64) {
        self.paused_until_ms = Some(mono_ms + u64::from(retry_after_ms).max(PAUSE_MS));
    }

    /// Whether the server is still to be told what was read.
    pub(crate) fn owe_reads(&self) -> bool {
        self.unreads.owe()
    }

    /// When what was paused goes on.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// The link is gone, and with it every answer.
    pub(crate) fn link_lost(&mut self) {
        self.behind.values_mut().for_each(|behind| behind.is_asked = false);
        self.wishes.link_lost();
        self.postings.link_lost();
        self.unreads.link_lost();
        self.questions.link_lost();
        self.asked_members = false;
        self.paused_until_ms = None;
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let Some(known) = self.by_id.get(&id) else { continue };
            let put = |table, value| Write::Put { table, key: id.0.to_vec(), value };
            writes.push(put(Table::Group, known.group.to_row(vault.key())?));
            let record = vault.seal(Table::GroupRecord, &id.0, &known.record)?;
            writes.push(put(Table::GroupRecord, record));
            if let Some(secret) = &known.secret {
                writes.push(put(Table::GroupSecret, secret.to_row(vault.key(), &id.0)?));
            }
        }
        for id in std::mem::take(&mut self.changed_behind) {
            let (table, key) = (Table::GroupBehind, id.0.to_vec());
            writes.push(match self.behind.get(&id) {
                Some(behind) => {
                    Write::Put { table, value: vault.seal(table, &key, &behind.epoch)?, key }
                }
                None => Write::Delete { table, key },
            });
        }
        writes.extend(self.early.changes(vault)?);
        writes.extend(self.heard.changes(vault)?);
        writes.extend(self.postings.changes(vault)?);
        writes.extend(self.wishes.changes(vault)?);
        writes.extend(self.unreads.changes(vault)?);
        writes.extend(self.reaches.changes(vault)?);
        Ok(writes)
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut groups = Self {
            early: Waiting::restore(vault, rows)?,
            heard: Heard::restore(vault, rows)?,
            postings: Postings::restore(vault, rows)?,
            unreads: Unreads::restore(vault, rows)?,
            reaches: Reaches::restore(vault, rows)?,
            ..Self::default()
        };
        for (table, key, value) in rows {
            let id = || <[u8; 16]>::try_from(key.as_slice()).map(GroupId);
            match table {
                Table::Group => {
                    let id = id().map_err(|_| RowError::Damaged)?;
                    let group = Group::from_row(vault.key(), id, value)?;
                    groups.by_id.insert(id, Known::new(group));
                }
                Table::GroupBehind => {
                    let id = id().map_err(|_| RowError::Damaged)?;
                    let epoch = vault.open(Table::GroupBehind, key, value)?;
                    groups.behind.insert(id, Behind { epoch, ..Behind::default() });
                }
                _ => {}
            }
        }
        // After the groups themselves, in whatever order the rows come.
        for (table, key, value) in rows {
            let id = <[u8; 16]>::try_from(key.as_slice()).map(GroupId);
            let Some(known) = id.ok().and_then(|id| groups.by_id.get_mut(&id)) else { continue };
            match table {
                Table::GroupRecord => known.record = vault.open(*table, key, value)?,
                Table::GroupSecret => {
                    known.secret = Some(GroupSecret::from_row(vault.key(), key, value)?);
                }
                _ => {}
            }
        }
        groups.wishes = Wishes::restore(vault, rows, &groups.by_id)?;
        Ok(groups)
    }
}
