//! Requests about groups: the next entry of a membership log, the log, the roster, and who has what.

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::limits::GROUP_SECRET_BYTES;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use godwit_store::{
    GroupChange, GroupError, GroupLog, GroupRoster, GroupSettings, LogRead, PostRead, Reached, Role,
};
use godwit_wire::frame::PLAINTEXT_BYTES_MAX;
use godwit_wire::{GROUP_LOG_PAGE_MAX, Refusal, v1};
use sha2::{Digest, Sha256};

use super::requests::{No, Reply};
use crate::node::Node;

/// Bytes of the entries in one answer: the rest of its frame is for 256 numbers and lengths.
const LOG_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX - GROUP_LOG_PAGE_MAX * 24 - 64;

impl From<GroupError> for No {
    fn from(error: GroupError) -> Self {
        Self::from(match error {
            GroupError::Unknown => Refusal::GroupUnknown,
            GroupError::Stale => Refusal::GroupEpochStale,
            GroupError::NotMember => Refusal::NotMember,
            GroupError::NotAdmin => Refusal::NotAdmin,
            GroupError::Full => Refusal::GroupFull,
            GroupError::LinkInvalid => Refusal::InviteLinkInvalid,
            GroupError::LogFull => Refusal::GroupLogFull,
            GroupError::TooManyGroups => Refusal::TooManyGroups,
            GroupError::NotListed => Refusal::DeviceRevoked,
            GroupError::Store(error) => return Self::from(error),
            _ => Refusal::GroupChangeInvalid,
        })
    }
}

pub(super) async fn run_change(
    node: Arc<Node>,
    device: DeviceId,
    change: v1::GroupChange,
) -> Reply {
    let (request, group, epoch) = (change.request, change.group.clone(), change.epoch);
    match change_group(&node, device, change).await {
        Ok(()) => Reply::say(v1::GroupChanged { request, group, epoch }),
        Err(no) => Reply::refuse(request, no),
    }
}

async fn change_group(node: &Node, device: DeviceId, change: v1::GroupChange) -> Result<(), No> {
    node.allow_group_change(device.account)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let change = GroupChange {
        group: group_id(&change.group)?,
        epoch: change.epoch,
        signed: change.signed,
        members: change.members.iter().map(member).collect::<Result<_, _>>()?,
        settings: change.settings.map(settings).transpose()?,
        shows: hash_of(&change.invite_secret)?,
    };
    Ok(node.store.change_group(device, change).await?)
}

pub(super) async fn run_fetch(node: Arc<Node>, device: DeviceId, fetch: v1::GroupFetch) -> Reply {
    let (request, group) = (fetch.request, fetch.group.clone());
    match log(&node, device, fetch).await {
        Ok(GroupLog { epoch, entries }) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(epoch, signed)| v1::GroupEntry { epoch, signed }).collect();
            Reply::say(v1::GroupLog { request, group, epoch, entries })
        }
        Err(no) => Reply::refuse(request, no),
    }
}

async fn log(node: &Node, device: DeviceId, fetch: v1::GroupFetch) -> Result<GroupLog, No> {
    allow_lookup(node, device)?;
    let read = LogRead {
        by: device.account,
        group: group_id(&fetch.group)?,
        after: fetch.after_epoch,
        shows: hash_of(&fetch.invite_secret)?,
        max_entries: GROUP_LOG_PAGE_MAX,
        max_bytes: LOG_BYTES_MAX,
    };
    Ok(node.store.group_log(read).await?)
}

pub(super) async fn run_roster(node: Arc<Node>, device: DeviceId, ask: v1::GroupRoster) -> Reply {
    let request = ask.request;
    match roster(&node, device, &ask).await {
        Ok(roster) => Reply::say(roster),
        Err(no) => Reply::refuse(request, no),
    }
}

async fn roster(node: &Node, device: DeviceId, ask: &v1::GroupRoster) -> Result<v1::Roster, No> {
    allow_lookup(node, device)?;
    let id = group_id(&ask.group)?;
    let GroupRoster { epoch, devices_version, members, settings } =
        node.store.group_roster(device.account, id).await?;
    let row = |(account, role, list_version): (AccountId, Role, u64)| {
        let role = match role {
            Role::Member => v1::GroupRole::Member,
            Role::Admin => v1::GroupRole::Admin,
        };
        v1::RosterRow { account: account.0, role: role.into(), list_version }
    };
    let invite_hash = settings.invite_hash.map(|hash| Bytes::copy_from_slice(&hash));
    Ok(v1::Roster {
        request: ask.request,
        group: ask.group.clone(),
        epoch,
        devices_version,
        members: members.into_iter().map(row).collect(),
        settings: Some(v1::GroupSettings {
            only_admins_write: settings.only_admins_write,
            invite_hash: invite_hash.unwrap_or_default(),
        }),
    })
}

pub(super) async fn run_progress(
    node: Arc<Node>,
    device: DeviceId,
    ask: v1::GroupProgress,
) -> Reply {
    let request = ask.request;
    match progress(&node, device, &ask).await {
        Ok(reached) => Reply::say(v1::Progress { request, reached }),
        Err(no) => Reply::refuse(request, no),
    }
}

async fn progress(
    node: &Node,
    device: DeviceId,
    ask: &v1::GroupProgress,
) -> Result<Vec<v1::Reached>, No> {
    allow_lookup(node, device)?;
    let (group, origin) = (group_id(&ask.group)?, DeviceNumber(ask.origin));
    let reached = node.store.group_progress(device.account, group, origin, ask.counter).await?;
    let row = |Reached { account, up_to, read_up_to }| v1::Reached {
        account: account.0,
        up_to,
        read_up_to,
    };
    Ok(reached.into_iter().map(row).collect())
}

pub(super) async fn run_read(node: Arc<Node>, device: DeviceId, read: v1::GroupRead) -> Reply {
    let request = read.request;
    match note_read(&node, device, &read).await {
        Ok(()) => Reply::say(v1::GroupReadTaken { request }),
        Err(no) => Reply::refuse(request, no),
    }
}

/// Whoever is not in the group, or has nothing there, is answered alike: the answer tells nothing.
async fn note_read(node: &Node, device: DeviceId, read: &v1::GroupRead) -> Result<(), No> {
    node.allow_group_read(device.account)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let mark = |mark: &v1::PostRead| PostRead {
        author: DeviceId::new(mark.account, mark.device),
        up_to: mark.up_to,
    };
    let marks = read.marks.iter().map(mark).collect();
    Ok(node.store.note_read(device.account, group_id(&read.group)?, marks).await?)
}

fn allow_lookup(node: &Node, device: DeviceId) -> Result<(), No> {
    node.allow_lookup(device)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })
}

/// The id of a group; the wire has counted its bytes.
pub(super) fn group_id(bytes: &Bytes) -> Result<GroupId, Refusal> {
    bytes.as_ref().try_into().map(GroupId).map_err(|_| Refusal::Malformed)
}

fn member(member: &v1::GroupMember) -> Result<(AccountId, Option<Role>), Refusal> {
    let role = match v1::GroupRole::try_from(member.role) {
        Ok(v1::GroupRole::None) => None,
        Ok(v1::GroupRole::Member) => Some(Role::Member),
        Ok(v1::GroupRole::Admin) => Some(Role::Admin),
        Err(_) => return Err(Refusal::GroupChangeInvalid),
    };
    Ok((AccountId(member.account), role))
}

fn settings(settings: v1::GroupSettings) -> Result<GroupSettings, Refusal> {
    let hash = settings.invite_hash;
    let invite_hash = match hash.len() {
        0 => None,
        _ => Some(hash.as_ref().try_into().map_err(|_| Refusal::GroupChangeInvalid)?),
    };
    Ok(GroupSettings { only_admins_write: settings.only_admins_write, invite_hash })
}

/// What the store compares: it never learns the secret.
fn hash_of(secret: &Bytes) -> Result<Option<[u8; 32]>, Refusal> {
    match secret.len() {
        0 => Ok(None),
        GROUP_SECRET_BYTES => Ok(Some(Sha256::digest(secret).into())),
        _ => Err(Refusal::InviteLinkInvalid),
    }
}
