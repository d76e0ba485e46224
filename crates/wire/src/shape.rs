//! The limits of every field of every message as one table, and the walk that checks bytes against
//! it without allocating. Only what has passed is given to the protobuf decoder, so what that
//! allocates is bounded by the table: 64 KiB of empty recipients would otherwise become megabytes.

mod table;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use table::*;
pub(crate) use walk::{Reader, Value, check};

/// A message of the schema with the limits of its fields.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Name in the schema.
    pub(crate) name: &'static str,
    /// Every field of the schema.
    pub(crate) fields: &'static [Field],
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Number in the schema.
    pub(crate) number: u32,
    /// Name in the schema.
    pub(crate) name: &'static str,
    /// What it may hold.
    pub(crate) rule: Rule,
}

/// What a field may hold. An absent field counts as 0, empty, or no message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// A variable-length number.
    Number { min: u64, max: u64 },
    /// Eight bytes, any value.
    Fixed64,
    /// `bytes` or `string`, by length.
    Bytes { min: usize, max: usize },
    /// Repeated numbers, packed or not; each from 1 to the largest u32.
    Numbers { count_max: usize },
    /// A message; more than one only where the schema says `repeated`.
    Messages { count_min: usize, count_max: usize, shape: &'static Shape },
}

/// Most fields of one message: the size of the walk's counters on the stack.
pub(crate) const FIELDS_MAX: usize = 11;
