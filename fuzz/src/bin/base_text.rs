//! Texts that people and scripts give: join links, handles, message ids.

#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use godwit_base::{Handle, JoinLink, MessageId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    survives::<JoinLink>(text);
    survives::<Handle>(text);
    survives::<MessageId>(text);
});

fn survives<T: FromStr<Err: std::fmt::Debug> + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert!(value.to_string().parse::<T>().unwrap() == value);
    }
}
