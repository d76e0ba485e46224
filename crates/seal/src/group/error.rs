//! Why an entry of a membership log, or a key of a group, is not believed.

use godwit_base::AccountId;

use crate::list::ListError;

/// Why an entry is not believed, or not made. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Not an entry: cut, too long, a field of the wrong length.
    #[error("the entry of the group is malformed")]
    Malformed,
    /// Signed in a way that this version does not know.
    #[error("the entry uses suite {0}, which this version does not know: update the program")]
    UnknownSuite(u8),
    /// It holds a change, or a field, that this version does not know. Who is in the group cannot be
    /// said from here on.
    #[error("the group was changed in a way that this version does not know: update the program")]
    Newer,
    /// It belongs to another group.
    #[error("the entry belongs to another group")]
    WrongGroup,
    /// An entry that was applied before, or is older than what is remembered.
    #[error("the entry of epoch {got} came again: the group is at epoch {have}")]
    Replayed {
        /// The epoch that we have.
        have: u64,
        /// What came.
        got: u64,
    },
    /// Entries between are missing.
    #[error("entries are missing between epoch {have} and {got}")]
    Gap {
        /// The epoch that we have.
        have: u64,
        /// What came.
        got: u64,
    },
    /// Two different entries of one epoch, or one that does not follow ours: members were shown
    /// different logs.
    #[error("the log of the group contradicts what was seen before, at epoch {0}")]
    Fork(u64),
    /// The author's device list in it is not signed by the author's account.
    #[error("the author of the entry: {0}")]
    AuthorList(ListError),
    /// The author's list is older than the one that the author's account used before: the device may
    /// have been removed since.
    #[error("the author's device list is older than one used before")]
    OldAuthorList,
    /// The list does not name the device that says it signed.
    #[error("the device that signed the entry is not one of its account")]
    UnknownDevice,
    /// The device did not sign these bytes.
    #[error("the signature of the entry is wrong")]
    BadSignature,
    /// The author is not in the group.
    #[error("account {0} is not in the group")]
    NotAMember(AccountId),
    /// Only an admin may do that.
    #[error("only an admin of the group may do that")]
    NotAdmin,
    /// There is no link now, or it was not this one.
    #[error("the invite link does not hold any more: ask for a new one")]
    NotInvited,
    /// Who is to be added is a member already.
    #[error("account {0} is in the group already")]
    AlreadyMember(AccountId),
    /// The group has all the members it may have.
    #[error("the group is full: at most 1,024 members")]
    Full,
    /// A change that changes nothing, such as promoting an admin.
    #[error("that is so already")]
    NothingChanges,
    /// The profile is longer than its bounds, or its generation is not the present or the next one.
    #[error("the name or picture of the group does not fit")]
    BadProfile,
    /// Everybody has left.
    #[error("the group has no members any more")]
    Closed,
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: try again")]
    Entropy,
}

/// Why what a member gave us of a group is not taken. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Not a share.
    #[error("the group's key is malformed")]
    Malformed,
    /// It is of another group.
    #[error("the key belongs to another group")]
    WrongGroup,
    /// It is of an epoch that we do not have yet: fetch the log, then try again.
    #[error("the key is of epoch {0}, which is not here yet")]
    Ahead(u64),
    /// It is of an epoch long gone.
    #[error("the key is of an epoch long gone")]
    TooOld,
    /// The sender sees another log than we do.
    #[error("the sender sees another log of the group, at epoch {0}")]
    Fork(u64),
    /// The sender was not in the group at that epoch.
    #[error("the sender of the key is not in the group")]
    NotAMember,
    /// It holds no sender key.
    #[error("there is no key in it")]
    NoKey,
}
