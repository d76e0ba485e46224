//! Device lists: as they come, and as the content of a list that is rightly signed.

#![no_main]

use std::sync::LazyLock;

use godwit_base::DeviceNumber;
use godwit_fuzz::{Forger, NOW_MS};
use godwit_seal::{DeviceList, ListError, Trust, Verified};
use libfuzzer_sys::fuzz_target;

static FORGER: LazyLock<Forger> = LazyLock::new(Forger::new);

fuzz_target!(|bytes: &[u8]| {
    assert!(verify(bytes).is_err(), "nobody signed these");
    let _ = verify(&FORGER.list_of(bytes));
    // Protobuf merges what is appended: this changes one field or another of a right list.
    if let Ok(list) = verify(&FORGER.list_of(&[&FORGER.content(), bytes].concat())) {
        let numbers: Vec<DeviceNumber> = list.numbers().collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && list.version() > 0);
        assert!(numbers.last() <= Some(&list.highest_number()));
        assert!(verify(list.signed()).is_ok());
    }
});

fn verify(bytes: &[u8]) -> Result<Verified<DeviceList>, ListError> {
    DeviceList::verify(bytes, Trust::Pinned(&FORGER.account()), None, NOW_MS)
}
