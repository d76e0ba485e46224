//! The small things that come from outside: signed keys, retry requests, scanned safety codes.

#![no_main]

use std::sync::LazyLock;

use godwit_base::DeviceNumber;
use godwit_fuzz::{Forger, NOW_MS};
use godwit_seal::{Bundle, DeviceList, QrMatch, RetryRequest, SafetyNumber, Side, Verified};
use libfuzzer_sys::fuzz_target;

static LIST: LazyLock<Verified<DeviceList>> = LazyLock::new(|| Forger::new().list());

fuzz_target!(|bytes: &[u8]| {
    let bundle =
        |one_time, fallback| Bundle::verify(one_time, fallback, &LIST, DeviceNumber(1), NOW_MS);
    assert!(bundle(bytes, &[]).is_err(), "the device did not sign this");
    assert!(bundle(&[], bytes).is_err(), "nor this");

    if let Ok(request) = RetryRequest::decode(bytes) {
        assert_eq!(RetryRequest::decode(&request.encode()), Ok(request));
    }

    let side = |list_version| Side { account_key: *LIST.account_key(), list_version };
    let scanned = SafetyNumber::compare(&side(1), &side(2), bytes);
    assert_eq!(scanned == QrMatch::Unreadable, bytes.len() != 81 || bytes[0] != 1);
});
