//! Entries of a group's log, as they come and rightly signed; what members give each other of a
//! group; messages under a sender key.

#![no_main]

use std::cell::RefCell;

use godwit_fuzz::{Forger, NOW_MS};
use godwit_seal::{Group, GroupError, GroupShare, HeardKey, SenderKey, SenderKeyId};
use libfuzzer_sys::fuzz_target;

struct Stage {
    forger: Forger,
    first: Vec<u8>,
    group: Group,
    heard: HeardKey,
}

impl Stage {
    fn new() -> Self {
        let forger = Forger::new();
        let first = forger.entry_of(&forger.first_entry());
        let (group, _) = Group::found(&first).unwrap();
        let share = GroupShare::of_key(&SenderKey::create(&group.place(), NOW_MS), &group.place(), None);
        let share = GroupShare::decode(&share).unwrap();
        let peer = forger.list().peer(godwit_base::DeviceNumber(1)).unwrap();
        let heard = HeardKey::accept(&share, &peer, &group).unwrap();
        Self { forger, first, group, heard }
    }
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::new());
}

fuzz_target!(|bytes: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        let Stage { forger, first, group, heard } = stage;
        assert!(Group::found(bytes).is_err() && group.clone().apply(bytes).is_err());
        let signed = [
            forger.entry_of(bytes),
            forger.entry_of(&[&forger.first_entry(), bytes].concat()),
        ];
        for entry in &signed {
            if let Ok((mut found, _)) = Group::found(entry) {
                assert!(found.is_closed() || found.members().any(|(_, member)| member.is_admin()));
                let again = found.apply(entry);
                assert_eq!(again, Err(GroupError::Replayed { have: 1, got: 1 }));
            }
        }
        let next = forger.next_entry(first);
        let mut after = group.clone();
        if after.apply(&forger.entry_of(&[&next, bytes].concat())).is_ok() {
            assert!(after.is_closed() || after.members().any(|(_, member)| member.is_admin()));
            assert_eq!(after.epoch(), 2);
        }
        let peer = forger.list().peer(godwit_base::DeviceNumber(1)).unwrap();
        if let Ok(share) = GroupShare::decode(bytes) {
            assert!(HeardKey::accept(&share, &peer, group).is_err(), "no such head");
        }
        let _ = SenderKeyId::of_message(bytes);
        assert!(heard.open(&peer, &group.place(), 1, bytes).is_err(), "nobody sealed this");
    });
});
