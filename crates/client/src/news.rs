//! What happens to groups, as an application tells it.

use godwit_base::{AccountId, GroupId, Handle};
use serde::{Deserialize, Serialize};

/// What a member did to a group: one entry of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupNews {
    /// What the group is called now, if that is known here.
    pub name: Option<String>,
    /// Which change of the group it was, from 1.
    pub epoch: u64,
    /// Who did it.
    pub by: GroupPerson,
    /// When, by their clock, unix milliseconds.
    pub at_ms: u64,
    /// What they did, in order; at least one.
    pub changes: Vec<GroupChange>,
}

/// Somebody who is or was in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPerson {
    /// The account.
    pub account: AccountId,
    /// Its handle, if this device knows it.
    pub handle: Option<Handle>,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupChange {
    /// The group was made.
    Made,
    /// Somebody was put into it.
    Added(GroupPerson),
    /// Somebody was removed.
    Removed(GroupPerson),
    /// Whoever did it left.
    Left,
    /// Whoever did it joined by the link.
    Joined,
    /// Somebody may change the group now.
    Promoted(GroupPerson),
    /// Somebody may not any more.
    Demoted(GroupPerson),
    /// It has this name now.
    Named(String),
    /// It has another picture; `false`: none any more.
    Picture(bool),
    /// Whether only admins write.
    OnlyAdminsWrite(bool),
    /// There is a new link to it; `false`: none any more.
    Link(bool),
    /// It is under this community now.
    Community(Option<GroupId>),
}
