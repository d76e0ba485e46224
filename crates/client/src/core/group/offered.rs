//! An entry that was offered to the server and is not answered is a row: the server may have it already, and
//! with it the only copy of the secret that the group's name is sealed under is here. After a restart the
//! same bytes are offered again. A command that made none yet dies with its process.

use std::collections::BTreeMap;

use godwit_base::GroupId;
use godwit_seal::{Group, GroupSecret, InviteSecret, RowError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Known;
use super::changing::{GroupCommand, Made, ROUNDS_MAX, Wish, Wishes};
use crate::core::output::{Row, Table, Write};
use crate::core::vault::{Blob, Secret, Vault};

const TABLE: Table = Table::GroupOffered;

#[derive(Serialize, Deserialize)]
struct Offered {
    command: GroupCommand,
    group: GroupId,
    signed: Blob,
    /// Sealed, as the row of a group's secret is.
    secret: Option<Blob>,
    link: Option<Secret>,
}

impl Wishes {
    /// The rows that changed since the last call.
    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::new();
        for number in std::mem::take(&mut self.changed) {
            let key = number.to_be_bytes().to_vec();
            let wish = self.by_number.get(&number);
            let offered = wish.and_then(|wish| Some((wish, wish.made.as_ref()?)));
            writes.push(match offered {
                Some((wish, made)) => {
                    let offered = Offered::of(&wish.command, made, vault, &key)?;
                    let value = vault.seal(TABLE, &key, &offered)?;
                    Write::Put { table: TABLE, key, value }
                }
                None => Write::Delete { table: TABLE, key },
            });
        }
        Ok(writes)
    }

    /// Reads what [`changes`](Self::changes) wrote over time, on top of the groups as they are.
    pub(super) fn restore(
        vault: &Vault,
        rows: &[Row],
        groups: &BTreeMap<GroupId, Known>,
    ) -> Result<Self, RowError> {
        let mut wishes = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == TABLE) {
            let number = <[u8; 8]>::try_from(key.as_slice()).map_err(|_| RowError::Damaged)?;
            let number = u64::from_be_bytes(number);
            let offered: Offered = vault.open(TABLE, key, value)?;
            wishes.last = wishes.last.max(number);
            match offered.made(vault, key, groups)? {
                // Whoever waited is gone, and what another entry overtook is not made anew.
                Some((command, made)) => {
                    let wish = Wish {
                        command,
                        is_awaited: false,
                        rounds: ROUNDS_MAX,
                        has_log: true,
                        made: Some(made),
                        outcome: None,
                    };
                    wishes.by_number.insert(number, wish);
                }
                None => {
                    wishes.changed.insert(number);
                }
            }
        }
        Ok(wishes)
    }
}

impl Offered {
    fn of(
        command: &GroupCommand,
        made: &Made,
        vault: &Vault,
        key: &[u8],
    ) -> Result<Self, RowError> {
        let secret =
            made.secret.as_ref().map(|secret| secret.to_row(vault.key(), key)).transpose()?;
        Ok(Self {
            command: command.clone(),
            group: made.group,
            signed: Blob(made.signed.clone()),
            secret: secret.map(Blob),
            link: made.link.as_ref().map(|link| Secret::of(link.to_bytes().as_slice())),
        })
    }

    /// The entry as it was made; nothing if the log has gone on without it.
    fn made(
        self,
        vault: &Vault,
        key: &[u8],
        groups: &BTreeMap<GroupId, Known>,
    ) -> Result<Option<(GroupCommand, Made)>, RowError> {
        let Self { command, group, signed, secret, link } = self;
        let after = match groups.get(&group) {
            Some(known) => {
                let mut after = known.group.clone();
                after.apply(&signed.0).ok().map(|_| after)
            }
            None => Group::found(&signed.0).ok().map(|(after, _)| after),
        };
        let Some(after) = after else { return Ok(None) };
        let secret =
            secret.map(|row| GroupSecret::from_row(vault.key(), key, &row.0)).transpose()?;
        let link = match link {
            Some(bytes) => {
                let bytes = <[u8; 32]>::try_from(bytes.bytes());
                let bytes = Zeroizing::new(bytes.map_err(|_| RowError::Damaged)?);
                Some(InviteSecret::from_bytes(&bytes))
            }
            None => None,
        };
        let made = Made { group, signed: signed.0, after, request: None, secret, link };
        Ok(Some((command, made)))
    }
}
