//! Every reason for a no, with its number, whether a retry helps, and what to do.

use std::fmt;

/// Makes the enum and its table from one list, so that they cannot disagree.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retry:ident, $text:literal, $advice:literal;)*) => {
        /// Why the server says no. Numbers are stable and never reused.
        ///
        /// A new server may send a number that this list lacks: treat it as [`Refusal::Internal`]
        /// if `retry_after_ms` is not 0, else as final.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum Refusal {
            $($(#[$doc])* $name = $number,)*
        }

        impl Refusal {
            /// All of them, in order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The refusal with that number, if this version knows it.
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its number on the wire.
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// Its name in the table of `docs/protocol.md`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Whether the very same request may succeed later, unchanged.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => refusals!(@$retry),)* }
            }

            /// What happened, for a person.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the client should do.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

refusals! {
    /// A queue is full.
    Busy = 1, retry, "the server is busy",
        "send it again, unchanged, after the delay";
    /// This device or address asks too often.
    RateLimited = 2, retry, "too many requests",
        "send it again, unchanged, after the delay";
    /// The disk has no room left for messages.
    DiskFull = 3, retry, "the server's disk is full",
        "send it again, unchanged, after the delay";
    /// A part of the server is being restarted.
    Unavailable = 4, retry, "a part of the server is not available",
        "send it again, unchanged, after the delay";
    /// An earlier message of this device was refused for now; order is kept.
    AfterRefusal = 5, retry, "an earlier message was refused",
        "after the earlier one's delay send from it onwards, in order";

    /// A message breaks the schema or a limit.
    Malformed = 10, final, "the bytes are not a valid message",
        "a bug in the client: report it, do not repeat";
    /// No version in common.
    UnsupportedVersion = 11, final, "the server does not speak this version",
        "update the client";
    /// A frame above the limit.
    FrameTooLarge = 12, final, "the frame is too large",
        "a bug in the client: split into smaller frames";
    /// A stranger asked for what only a device may.
    NotRegistered = 13, final, "this link belongs to no device",
        "register first";
    /// A device sent messages before it took its mailbox.
    NotAttached = 14, final, "the mailbox is not attached",
        "send Attach first";
    /// The handshake message does not decrypt.
    HandshakeFailed = 15, final, "the handshake failed",
        "check the join link; a bug if it is right";
    /// The key hint names no present key of the server.
    UnknownServerKey = 16, final, "the server has another key",
        "ask for a fresh join link and compare it; never accept the new key silently";
    /// The ticket is unknown, damaged or expired.
    BadTicket = 17, final, "the resumption ticket is not valid",
        "forget it and do the full handshake at once";

    /// No such account or handle.
    UnknownAccount = 20, final, "there is no such account",
        "check the handle; mark the message as failed";
    /// Another account has the handle.
    HandleTaken = 21, final, "the handle is taken",
        "choose another handle";
    /// The handle breaks the rules.
    HandleInvalid = 22, final, "the handle is not valid",
        "2 to 32 characters: a-z first, then a-z, 0-9, '.', '_' or '-'; or '+' and 7 to 15 digits";
    /// This server registers by invite only.
    InviteRequired = 23, final, "an invite code is required",
        "ask the operator for an invite code";
    /// The code is unknown, used up or expired.
    InviteInvalid = 24, final, "the invite code is not valid",
        "ask the operator for a new invite code";
    /// The account id exists with another key or list.
    AccountTaken = 25, final, "the account exists already",
        "make a new account key and register with it";
    /// The server takes no new accounts.
    RegistrationClosed = 26, final, "registration is closed",
        "ask the operator";
    /// The link key belongs to a device already.
    AlreadyRegistered = 27, final, "this device is registered already",
        "go on with the account that Welcome names, or register with a new link key";

    /// The copies do not fit the recipient's present device list.
    DeviceMismatch = 30, final, "the recipient's devices have changed",
        "verify the signed lists, seal for them, send under the same counter; at most 3 times";
    /// A recipient's mailbox holds its maximum.
    MailboxFull = 31, final, "the recipient's mailbox is full",
        "mark the message as failed; a new try is a new message";
    /// More recipients than the limit.
    TooManyRecipients = 32, final, "too many recipients",
        "a bug in the client: at most 1,024 recipients a message";
    /// A sealed copy above the limit.
    BodyTooLarge = 33, final, "the message is too large",
        "shorten the text, or send it as media";
    /// The counter is below the de-duplication window.
    CounterTooOld = 34, final, "the message counter is too old",
        "mark the message as failed; never submit 128 or more above the oldest unresolved counter";
    /// Receipts pile up in the sender's own mailbox.
    ReceiptsWaiting = 35, retry, "too many receipts wait for this device",
        "acknowledge what the mailbox holds; send it again, unchanged, after the delay";

    /// The device was removed from its account.
    DeviceRevoked = 40, final, "this device was removed from its account",
        "stop, tell the person, keep the history; link the device anew";
    /// The same device attached on another link.
    Displaced = 41, final, "this device is connected elsewhere",
        "do not reconnect by yourself; two copies of one home are running";
    /// This device's sessions failed too often.
    Quarantined = 42, retry, "this device is held back for a while",
        "reconnect after the delay";
    /// The device read so slowly that the unsent bytes reached their limit.
    TooSlow = 43, retry, "the connection could not keep up",
        "reconnect after the delay; nothing is lost";
    /// More one-time keys, or larger ones, than a device may keep.
    KeyLimit = 44, final, "too many or too large keys",
        "publish only what is missing up to 100";
    /// Another list with this version, or a later one, is stored.
    ListStale = 45, final, "this device list is older than the stored one",
        "fetch your own list, verify that it follows yours, sign the version after it";
    /// The version before this one is not stored.
    ListNotNext = 46, final, "a version is missing before this device list",
        "fetch your own list, verify that it follows yours, sign the version after it";
    /// The rows beside the signed list cannot stand: a number or a link key is used again, or the
    /// rows are empty or out of order.
    ListInvalid = 47, final, "the devices of this list cannot stand",
        "a bug in the client: numbers ascend and are never used again, each link key stands once, each new device has its keys";

    /// The server goes down or hands over.
    Draining = 50, retry, "the server is going down",
        "reconnect after the delay";
    /// A fault of the server.
    Internal = 51, retry, "a fault inside the server",
        "try again after the delay, backing off";
    /// Another message lies at that place of the rendezvous.
    RelayTaken = 52, final, "this code was used already",
        "by you, or by somebody else who knows it: make a new one with `godwit link start`";
    /// The rendezvous was closed, ten minutes after it was opened.
    RelayExpired = 53, final, "the rendezvous is over",
        "begin again with a new code";
    /// The account's key did not sign the claim.
    ClaimInvalid = 54, final, "the account's key did not sign this",
        "check the recovery words; a bug if they are right";

    /// A file above the server's limit.
    MediaTooLarge = 55, final, "the file is too large for this server",
        "send a smaller one, or in parts";
    /// The account's files take all the room it has.
    MediaQuota = 56, final, "the account's files take all the room that it has here",
        "wait until earlier files were fetched by all or have expired";
    /// Nobody uploaded it, it expired, or all have fetched it.
    MediaGone = 57, final, "the file is not on the server, or no longer",
        "ask the sender to send it again";
    /// What was uploaded has another digest than its name; it was thrown away.
    MediaDamaged = 58, retry, "the bytes of the file are not those that were announced",
        "upload the file again from its beginning";
    /// The ticket is unknown, expired, or for the other direction.
    MediaTicket = 59, final, "the ticket for the file is not valid",
        "ask for another over the link";

    /// No group has this id, or it has no members left.
    GroupUnknown = 65, final, "there is no such group",
        "show the group as ended; a link to it is void";
    /// The epoch is not the present one, or for a change not the one after it.
    GroupEpochStale = 66, final, "the group has changed",
        "fetch and verify the log, then change, or seal and send under the same counter, anew";
    /// The account is not in the group.
    NotMember = 67, final, "this account is not in the group",
        "fetch the log up to your removal, show it, and stop sending there";
    /// Only an admin may do this.
    NotAdmin = 68, final, "only admins may do this",
        "fetch and verify the log, and show that only admins may";
    /// The group holds its maximum.
    GroupFull = 69, final, "the group is full",
        "at most 1,024 members; somebody has to leave first";
    /// Devices of members have changed since the sender key was given out.
    GroupListsStale = 70, final, "devices of members have changed",
        "fetch roster and lists, give out a new sender key, send under the same counter; at most 3 times";
    /// The secret is not that of the group's present link.
    InviteLinkInvalid = 71, final, "the link to the group is not valid",
        "ask an admin for a new link";
    /// The membership log holds its maximum.
    GroupLogFull = 72, final, "the group has been changed too often",
        "make a new group; leaving is still possible";
    /// The rows beside the signed entry cannot stand.
    GroupChangeInvalid = 73, final, "this change of a group cannot stand",
        "a bug in the client: each account once, one admin at least, an unknown account or role never";
    /// The account is in as many groups as it may be.
    TooManyGroups = 74, final, "one of the accounts is in too many groups",
        "leave a group first";

    /// The account begins more conversations than it may in a day. Final, so that what goes to
    /// people it has written with is not held up; the delay says when another may be begun.
    TooManyStrangers = 75, final, "too many new conversations in one day",
        "mark the message as failed; begin another conversation after the delay";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_and_only_known_ones_do() {
        let known: Vec<u32> = Refusal::ALL.iter().map(|r| u32::from(r.number())).collect();
        for number in 0..=u32::from(u16::MAX) + 1 {
            let found = Refusal::from_number(number).map(|r| u32::from(r.number()));
            assert_eq!(found, known.contains(&number).then_some(number));
        }
        assert!(known.is_sorted_by(|a, b| a < b), "the table is in order");
    }

    #[test]
    fn what_helps_after_a_while_is_what_the_contract_says() {
        let retryable: Vec<u16> =
            Refusal::ALL.iter().filter(|r| r.retryable()).map(|r| r.number()).collect();
        assert_eq!(retryable, [1, 2, 3, 4, 5, 35, 42, 43, 50, 51, 58]);
    }
}
