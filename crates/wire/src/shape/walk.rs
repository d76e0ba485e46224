//! The walk over a message's bytes.

use super::{FIELDS_MAX, Field, Rule, Shape};
use crate::malformed::{Fault, Malformed};

/// Largest field number, as protobuf has it: 29 bits.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// Bytes of the longest variable-length number: 7 bits each.
const VARINT_BYTES_MAX: usize = 10;

/// Checks that `bytes` are a message of this shape within its limits. Unknown fields are skipped.
///
/// Allocates nothing, goes as deep as the table (three levels), and looks at each byte once a level.
pub(crate) fn check(shape: &'static Shape, bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader(bytes);
    let mut counts = [0_usize; FIELDS_MAX];
    while !reader.is_empty() {
        let (number, value) =
            reader.field().map_err(|fault| Malformed::new(shape.name, "?", fault))?;
        let known = shape.fields.iter().zip(&mut counts).find(|(field, _)| field.number == number);
        if let Some((field, count)) = known {
            check_field(shape, field, value, count)?;
        }
    }
    let missing = shape.fields.iter().zip(counts).find(|(field, count)| *count < field.least());
    match missing {
        Some((field, _)) => Err(Malformed::new(shape.name, field.name, Fault::TooShort)),
        None => Ok(()),
    }
}

fn check_field(
    shape: &'static Shape,
    field: &Field,
    value: Value<'_>,
    count: &mut usize,
) -> Result<(), Malformed> {
    let checked = match (field.rule, value) {
        (Rule::Number { min, max }, Value::Varint(n)) => {
            *count += 1;
            within((min..=max).contains(&n), Fault::OutOfRange)
        }
        (Rule::Fixed64, Value::EightBytes) => Ok(()),
        (Rule::Bytes { min, max }, Value::Bytes(bytes)) => {
            *count += 1;
            within(bytes.len() >= min, Fault::TooShort)
                .and(within(bytes.len() <= max, Fault::TooLong))
        }
        (Rule::Numbers { count_max }, Value::Varint(n)) => check_number(n, count, count_max),
        (Rule::Numbers { count_max }, Value::Bytes(packed)) => {
            check_packed(packed, count, count_max)
        }
        (Rule::Messages { count_max, shape: inner, .. }, Value::Bytes(bytes)) => {
            *count += 1;
            if *count <= count_max {
                return check(inner, bytes);
            }
            Err(Fault::TooMany)
        }
        _ => Err(Fault::WrongType),
    };
    checked.map_err(|fault| Malformed::new(shape.name, field.name, fault))
}

fn check_packed(packed: &[u8], count: &mut usize, count_max: usize) -> Result<(), Fault> {
    let mut reader = Reader(packed);
    while !reader.is_empty() {
        check_number(reader.varint()?, count, count_max)?;
    }
    Ok(())
}

fn check_number(number: u64, count: &mut usize, count_max: usize) -> Result<(), Fault> {
    *count += 1;
    within(*count <= count_max, Fault::TooMany)?;
    within((1..=u64::from(u32::MAX)).contains(&number), Fault::OutOfRange)
}

const fn within(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault) }
}

impl Field {
    /// How often it must occur.
    pub(super) fn least(&self) -> usize {
        match self.rule {
            Rule::Number { min, .. } => usize::from(min > 0),
            Rule::Bytes { min, .. } => usize::from(min > 0),
            Rule::Messages { count_min, .. } => count_min,
            Rule::Fixed64 | Rule::Numbers { .. } => 0,
        }
    }
}

/// The value of a field, as its wire type tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    EightBytes,
    FourBytes,
    Bytes(&'a [u8]),
}

/// Reads protobuf's wire format from the rest of a buffer.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes left.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The next field: its number and value.
    pub(crate) fn field(&mut self) -> Result<(u32, Value<'a>), Fault> {
        let key = self.varint()?;
        let number = key >> 3;
        within((1..=FIELD_NUMBER_MAX).contains(&number), Fault::BadNumber)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::EightBytes)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::FourBytes)?,
            _ => return Err(Fault::WrongType),
        };
        let number = u32::try_from(number).map_err(|_| Fault::BadNumber)?;
        Ok((number, value))
    }

    /// A number of 7 bits a byte, lowest first.
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for index in 0..VARINT_BYTES_MAX {
            let (&byte, rest) = self.0.split_first().ok_or(Fault::Truncated)?;
            self.0 = rest;
            // The tenth byte has room for one bit only.
            within(index + 1 < VARINT_BYTES_MAX || byte <= 1, Fault::BadNumber)?;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Fault::BadNumber)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.0 = rest;
        Ok(head)
    }
}
