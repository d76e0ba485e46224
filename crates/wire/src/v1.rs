//! The messages of `proto/godwit/v1/wire.proto`, where each field is described.

#![allow(missing_docs, reason = "generated; the schema carries the words")]
#![allow(
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/godwit.v1.rs"));
