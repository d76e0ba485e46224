//! The group's secret on its way between members, in pairwise messages.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, GroupId};
use godwit_seal::{GroupShare, Peer, RowError, ShareError};

use crate::core::contact::{device_key, device_of_key};
use crate::core::now::Now;
use crate::core::outbox::Kind;
use crate::core::output::{Row, Table, Write};
use crate::core::vault::{Blob, Vault};
use crate::core::{Body, Core};
use crate::{Event, WarningKind};

/// Most shares that came before the log they belong to, 1,024: one of each member of a large group.
/// 400 B each; one more is dropped, and what it would have shown stays unnamed until it comes again.
const EARLY_MAX: usize = 1_024;

/// Shares that wait for the log, the newest of each device and group.
#[derive(Default)]
pub(super) struct Early {
    waiting: BTreeMap<(GroupId, DeviceId), Blob>,
    changed: BTreeSet<(GroupId, DeviceId)>,
}

impl Early {
    fn keep(&mut self, group: GroupId, from: DeviceId, bytes: &[u8]) {
        let place = (group, from);
        if self.waiting.len() < EARLY_MAX || self.waiting.contains_key(&place) {
            self.waiting.insert(place, Blob(bytes.to_vec()));
            self.changed.insert(place);
        }
    }

    fn take(&mut self, group: GroupId) -> Vec<(DeviceId, Blob)> {
        let mut taken = Vec::new();
        for ((_, from), blob) in self.waiting.extract_if(.., |(of, _), _| *of == group) {
            self.changed.insert((group, from));
            taken.push((from, blob));
        }
        taken
    }

    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let table = Table::GroupEarly;
        let write = |(group, from): (GroupId, DeviceId)| {
            let key = [group.0.as_slice(), &device_key(from)].concat();
            Ok(match self.waiting.get(&(group, from)) {
                Some(blob) => Write::Put { table, value: vault.seal(table, &key, blob)?, key },
                None => Write::Delete { table, key },
            })
        };
        std::mem::take(&mut self.changed).into_iter().map(write).collect()
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut early = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::GroupEarly) {
            let (group, device) = key.split_first_chunk::<16>().ok_or(RowError::Damaged)?;
            let place = (GroupId(*group), device_of_key(device)?);
            early.waiting.insert(place, vault.open(Table::GroupEarly, key, value)?);
        }
        Ok(early)
    }
}

impl Core {
    /// Gives members the group's secret.
    pub(super) fn share_secret(&mut self, id: GroupId, with: &[AccountId], now: Now) {
        let Some(known) = self.groups.get(id) else { return };
        let Some(secret) = &known.secret else { return };
        let share = GroupShare::of_secret(secret, &known.group.place());
        let body = Body::group_key(&share);
        for account in with {
            self.say_to(*account, Kind::Share, body.clone(), now);
        }
    }

    /// A member gives us something of a group.
    pub(in crate::core) fn on_share(&mut self, from: DeviceId, bytes: &[u8]) {
        let Ok(share) = GroupShare::decode(bytes) else { return };
        let Some(peer) = self.peer_of(from) else { return };
        self.take_share(share, &peer, bytes);
    }

    /// The log has come: shares that came before it are looked at again.
    pub(super) fn take_early(&mut self, id: GroupId) {
        for (from, blob) in self.groups.early.take(id) {
            self.on_share(from, &blob.0);
        }
    }

    fn take_share(&mut self, share: GroupShare, from: &Peer, bytes: &[u8]) {
        let id = share.group();
        let Some(known) = self.groups.get(id) else {
            return self.groups.early.keep(id, from.id(), bytes);
        };
        match share.check(from, &known.group) {
            Ok(()) => {}
            Err(ShareError::Ahead(_)) => return self.groups.early.keep(id, from.id(), bytes),
            Err(ShareError::Fork(epoch)) => {
                let text = format!(
                    "a member sees another log of group {id}, at epoch {epoch}: the server shows \
                     members different groups"
                );
                return self.freeze_group(id, &text);
            }
            Err(_) => return,
        }
        let Some(secret) = share.secret() else { return };
        // Only the secret that the log's own name is sealed under: a member cannot rename the group
        // for one of us.
        let opens =
            known.group.profile().and_then(|profile| secret.open_profile(profile)).is_some();
        if !opens || known.profile().is_some() {
            return;
        }
        let secret = share.into_secret();
        if let Some(known) = self.groups.get_mut(id) {
            known.secret = secret;
        }
        self.say(Event::Group { group: id });
    }

    pub(super) fn freeze_group(&mut self, id: GroupId, text: &str) {
        if let Some(known) = self.groups.get_mut(id)
            && known.record.frozen.is_none()
        {
            known.record.frozen = Some(text.to_owned());
            let text = format!("{text}; nothing is sent to it until that is resolved");
            self.warn(WarningKind::Server, None, text);
            self.say(Event::Group { group: id });
        }
    }

    fn peer_of(&self, device: DeviceId) -> Option<Peer> {
        self.contacts.get(device.account)?.list.peer(device.number)
    }
}
