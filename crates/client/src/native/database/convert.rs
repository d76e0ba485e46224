//! Values of the history as numbers of the database, and back.

use crate::{Failure, MessageState, Note};

/// SQLite's integers are signed: the same 64 bits, seen the other way.
pub(super) const fn signed(bits: u64) -> i64 {
    bits.cast_signed()
}

/// The other way round.
pub(super) const fn unsigned(bits: i64) -> u64 {
    bits.cast_unsigned()
}

/// `Failure::Refused(n)` is this and n.
const REFUSED: i64 = 1_000;

pub(super) const fn state_number(state: MessageState) -> i64 {
    match state {
        MessageState::Pending => 0,
        MessageState::Accepted => 1,
        MessageState::Delivered => 2,
        MessageState::Read => 3,
        MessageState::Failed(_) => 4,
    }
}

pub(super) fn failure_number(state: MessageState) -> i64 {
    match state {
        MessageState::Failed(failure) => match failure {
            Failure::UnknownAccount => 1,
            Failure::MailboxFull => 2,
            Failure::KeyChanged => 3,
            Failure::BadKeys => 4,
            Failure::DevicesChanging => 5,
            Failure::NotMember => 6,
            Failure::GroupFrozen => 7,
            Failure::OnlyAdmins => 8,
            Failure::Blocked => 30,
            Failure::TooManyStrangers => 31,
            Failure::Revoked => 32,
            Failure::Unanswered => 33,
            Failure::Refused(code) => REFUSED + i64::from(code),
        },
        _ => 0,
    }
}

pub(super) fn state_of(state: i64, failure: i64) -> MessageState {
    match state {
        0 => MessageState::Pending,
        1 => MessageState::Accepted,
        2 => MessageState::Delivered,
        3 => MessageState::Read,
        _ => MessageState::Failed(match failure {
            1 => Failure::UnknownAccount,
            2 => Failure::MailboxFull,
            3 => Failure::KeyChanged,
            4 => Failure::BadKeys,
            5 => Failure::DevicesChanging,
            6 => Failure::NotMember,
            7 => Failure::GroupFrozen,
            8 => Failure::OnlyAdmins,
            30 => Failure::Blocked,
            31 => Failure::TooManyStrangers,
            32 => Failure::Revoked,
            33 => Failure::Unanswered,
            code => Failure::Refused(u16::try_from(code - REFUSED).unwrap_or(u16::MAX)),
        }),
    }
}

pub(super) const fn note_number(note: Option<Note>) -> i64 {
    match note {
        None => 0,
        Some(Note::Waiting) => 1,
        Some(Note::Lost) => 2,
        Some(Note::UpdateNeeded) => 3,
        Some(Note::Deleted) => 4,
        Some(Note::Timer) => 5,
    }
}

pub(super) const fn note_of(note: i64) -> Option<Note> {
    match note {
        0 => None,
        1 => Some(Note::Waiting),
        2 => Some(Note::Lost),
        4 => Some(Note::Deleted),
        5 => Some(Note::Timer),
        _ => Some(Note::UpdateNeeded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back() {
        let failures = [
            Failure::UnknownAccount,
            Failure::MailboxFull,
            Failure::KeyChanged,
            Failure::BadKeys,
            Failure::DevicesChanging,
            Failure::NotMember,
            Failure::GroupFrozen,
            Failure::OnlyAdmins,
            Failure::Blocked,
            Failure::TooManyStrangers,
            Failure::Revoked,
            Failure::Unanswered,
            Failure::Refused(0),
            Failure::Refused(u16::MAX),
        ];
        let states = [
            MessageState::Pending,
            MessageState::Accepted,
            MessageState::Delivered,
            MessageState::Read,
        ];
        for state in states.into_iter().chain(failures.map(MessageState::Failed)) {
            assert_eq!(state_of(state_number(state), failure_number(state)), state);
        }
        let notes =
            [Note::Waiting, Note::Lost, Note::UpdateNeeded, Note::Deleted, Note::Timer].map(Some);
        for note in notes.into_iter().chain([None]) {
            assert_eq!(note_of(note_number(note)), note);
        }
        assert_eq!(unsigned(signed(u64::MAX)), u64::MAX);
    }
}
