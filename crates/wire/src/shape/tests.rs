//! The table against the schema, and both sides of every limit in it.

use prost::encoding::{WireType, encode_key, encode_varint};
use protox::prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};

use super::{Field, Rule, Shape, check};
use crate::checked::ALL;
use crate::malformed::Fault;

fn schema() -> DescriptorPool {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.open_file("godwit/v1/wire.proto").unwrap();
    compiler.descriptor_pool()
}

/// What the schema calls each field must be what the table checks.
fn fits(field: &FieldDescriptor, rule: Rule) -> bool {
    let repeated = field.cardinality() == Cardinality::Repeated;
    match (field.kind(), rule) {
        (Kind::Uint32, Rule::Numbers { .. }) => repeated,
        (Kind::Uint32, Rule::Number { max, .. }) => !repeated && max <= u64::from(u32::MAX),
        (Kind::Uint64, Rule::Number { max, .. }) => !repeated && max == u64::MAX,
        (Kind::Bool | Kind::Enum(_), Rule::Number { max, .. }) => max <= u64::from(u8::MAX),
        (Kind::Fixed64, Rule::Fixed64) => !repeated,
        (Kind::Bytes | Kind::String, Rule::Bytes { .. }) => !repeated,
        (Kind::Message(inner), Rule::Messages { count_max, shape, .. }) => {
            inner.name() == shape.name && repeated == (count_max > 1)
        }
        _ => false,
    }
}

#[test]
fn every_field_of_the_schema_is_in_the_table_with_its_type() {
    let mut fields = 0;
    for message in schema().all_messages() {
        if ["ToServer", "ToClient"].contains(&message.name()) {
            continue; // only their numbers are spoken; see the test of the messages
        }
        let (shape, _) = ALL.iter().find(|(shape, _)| shape.name == message.name()).unwrap();
        assert_eq!(shape.fields.len(), message.fields().len(), "{}", shape.name);
        for field in message.fields() {
            let found = shape.fields.iter().find(|f| f.number == field.number()).unwrap();
            assert_eq!(found.name, field.name(), "{}", shape.name);
            assert!(fits(&field, found.rule), "{}.{}: {:?}", shape.name, found.name, found.rule);
            fields += 1;
        }
    }
    assert!(fields > 80, "the schema was read: {fields} fields");
}

fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}

fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Appends the least that `field` accepts.
fn put_least(out: &mut Vec<u8>, field: &Field) {
    match field.rule {
        Rule::Number { min, .. } => put_number(out, field.number, min),
        Rule::Bytes { min, .. } => put_bytes(out, field.number, &vec![b'a'; min]),
        Rule::Messages { count_min, shape, .. } => {
            (0..count_min).for_each(|_| put_bytes(out, field.number, &least(shape, None)));
        }
        Rule::Fixed64 | Rule::Numbers { .. } => {}
    }
}

/// The smallest message of a shape, without one of its fields.
fn least(shape: &Shape, without: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    let kept = shape.fields.iter().filter(|field| Some(field.number) != without);
    kept.for_each(|field| put_least(&mut out, field));
    out
}

/// Values of a field with what the check must say of each: both sides of each of its limits.
fn edges(field: &Field) -> Vec<(Vec<u8>, Option<Fault>)> {
    let written = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out);
        out
    };
    let number = |n| written(&|out| put_number(out, field.number, n));
    let bytes = |n| written(&|out| put_bytes(out, field.number, &vec![b'a'; n]));
    let packed = |n| written(&|out| put_bytes(out, field.number, &vec![1; n]));
    let single = |n| written(&|out| (0..n).for_each(|_| put_number(out, field.number, 1)));
    match field.rule {
        Rule::Fixed64 => {
            vec![(written(&|out| put_number(out, field.number, 1)), Some(Fault::WrongType))]
        }
        Rule::Number { min, max } => {
            let mut edges = vec![(number(min), None), (number(max), None)];
            edges.extend(min.checked_sub(1).map(|n| (number(n), Some(Fault::OutOfRange))));
            edges.extend(max.checked_add(1).map(|n| (number(n), Some(Fault::OutOfRange))));
            edges
        }
        Rule::Bytes { min, max } => {
            let mut edges = vec![(bytes(min), None), (bytes(max), None)];
            edges.extend(min.checked_sub(1).map(|n| (bytes(n), Some(Fault::TooShort))));
            edges.push((bytes(max + 1), Some(Fault::TooLong)));
            edges
        }
        Rule::Numbers { count_max } => vec![
            (packed(count_max), None),
            (packed(count_max + 1), Some(Fault::TooMany)),
            (single(count_max), None),
            (single(count_max + 1), Some(Fault::TooMany)),
            ([packed(count_max), single(1)].concat(), Some(Fault::TooMany)),
            (number(0), Some(Fault::OutOfRange)),
            (number(u64::from(u32::MAX)), None),
            (number(u64::from(u32::MAX) + 1), Some(Fault::OutOfRange)),
        ],
        Rule::Messages { count_min, count_max, shape } => {
            let inner = least(shape, None);
            let times =
                |n| written(&|out| (0..n).for_each(|_| put_bytes(out, field.number, &inner)));
            let mut edges = vec![(times(count_min), None), (times(count_max), None)];
            edges.extend(count_min.checked_sub(1).map(|n| (times(n), Some(Fault::TooShort))));
            edges.push((times(count_max + 1), Some(Fault::TooMany)));
            edges
        }
    }
}

#[test]
fn both_sides_of_every_limit_of_every_field() {
    for (shape, decode) in ALL {
        assert_eq!(decode(&least(shape, None)), Ok(()), "{} at its least", shape.name);
        for field in shape.fields {
            for (value, expected) in edges(field) {
                let message = [least(shape, Some(field.number)), value].concat();
                let found = decode(&message).err();
                let said = found.map(|m| (m.message, m.field, m.fault));
                let wanted = expected.map(|fault| (shape.name, field.name, fault));
                assert_eq!(said, wanted, "{}.{}: {:?}", shape.name, field.name, field.rule);
            }
        }
    }
}

#[test]
fn what_is_required_may_not_be_left_out() {
    let mut required = 0;
    for (shape, decode) in ALL {
        for field in shape.fields.iter().filter(|field| field.least() > 0) {
            let found = decode(&least(shape, Some(field.number))).unwrap_err();
            assert_eq!((found.field, found.fault), (field.name, Fault::TooShort), "{}", shape.name);
            required += 1;
        }
    }
    assert!(required > 20, "{required} fields are required");
}

#[test]
fn unknown_fields_are_skipped_and_broken_ones_named() {
    let shape = &super::ACK;
    let fault = |bytes: &[u8]| check(shape, bytes).map_err(|m| m.fault);
    for skipped in [
        &[0x50, 0x96, 0x01][..],                                 // field 10, a number
        &[0x51, 1, 2, 3, 4, 5, 6, 7, 8],                         // eight bytes
        &[0x52, 3, 1, 2, 3],                                     // three bytes
        &[0x55, 1, 2, 3, 4],                                     // four bytes
        &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00],                   // the largest field number
        &[0x50, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // the largest number
    ] {
        assert_eq!(fault(skipped), Ok(()), "{skipped:02x?}");
    }
    for (bytes, expected) in [
        (&[0x50][..], Fault::Truncated),
        (&[0x51, 1, 2, 3, 4, 5, 6, 7], Fault::Truncated),
        (&[0x52, 3, 1, 2], Fault::Truncated),
        (&[0x52, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], Fault::Truncated),
        (&[0x55, 1, 2, 3], Fault::Truncated),
        (&[0x50, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Fault::BadNumber),
        (&[0x50, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], Fault::BadNumber),
        (&[0x02, 0x00], Fault::BadNumber), // field number 0
        (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], Fault::BadNumber), // field number 2^29
        (&[0x53], Fault::WrongType),       // groups are not spoken
        (&[0x54], Fault::WrongType),
        (&[0x56], Fault::WrongType),
        (&[0x57], Fault::WrongType),
    ] {
        assert_eq!(fault(bytes), Err(expected), "{bytes:02x?}");
    }
}
