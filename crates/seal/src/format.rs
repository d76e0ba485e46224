//! The formats of `proto/godwit/seal/v1`, generated.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/godwit.seal.v1.rs"));
