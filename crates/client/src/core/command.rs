//! Commands that were carried out, so that one asked for twice is done once: the process that owns
//! the home may die between the commit and its answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use godwit_seal::RowError;
use serde::{Deserialize, Serialize};

use super::output::{Row, Table, Write};
use super::vault::Vault;

/// Names one command; random.
pub type SendKey = [u8; 16];

/// Commands that are remembered. Only those asked for within the moment of a take-over matter, and
/// at most 64 processes wait with 256 calls each: 16,384 x about 100 B = 1.6 MB.
pub(crate) const COMMANDS_MAX: usize = 16_384;

/// The messages that a command made: consecutive counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// The newest commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    made: BTreeMap<SendKey, Made>,
    order: VecDeque<SendKey>,
    changed: BTreeSet<SendKey>,
}

impl Commands {
    pub(crate) fn get(&self, key: &SendKey) -> Option<Made> {
        self.made.get(key).copied()
    }

    pub(crate) fn add(&mut self, key: SendKey, made: Made) {
        self.made.insert(key, made);
        self.order.push_back(key);
        self.changed.insert(key);
        if self.order.len() > COMMANDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.made.remove(&oldest);
            self.changed.insert(oldest);
        }
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let changed = std::mem::take(&mut self.changed);
        let write = |key: SendKey| {
            Ok(match self.made.get(&key) {
                Some(made) => Write::Put {
                    table: Table::Command,
                    key: key.to_vec(),
                    value: vault.seal(Table::Command, &key, made)?,
                },
                None => Write::Delete { table: Table::Command, key: key.to_vec() },
            })
        };
        changed.into_iter().map(write).collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut found = Vec::new();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Command) {
            let key: SendKey = key.as_slice().try_into().map_err(|_| RowError::Damaged)?;
            found.push((key, vault.open::<Made>(Table::Command, &key, value)?));
        }
        found.sort_by_key(|(_, made)| made.first);
        Ok(Self {
            order: found.iter().map(|(key, _)| *key).collect(),
            made: found.into_iter().collect(),
            changed: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::output::rows_put;

    #[test]
    fn the_newest_are_remembered() {
        let mut commands = Commands::default();
        let key = |n: usize| (n as u128).to_be_bytes();
        for n in 0..=COMMANDS_MAX {
            commands.add(key(n), Made { first: n as u64, count: 1 });
        }
        assert_eq!(commands.get(&key(0)), None);
        assert_eq!(commands.get(&key(1)), Some(Made { first: 1, count: 1 }));
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[1; 32]));
        let rows = rows_put(commands.changes(&vault).unwrap());
        let restored = Commands::restore(&vault, &rows).unwrap();
        assert_eq!((restored.order, restored.made), (commands.order, commands.made));
    }
}
