//! `godwit group`: making, changing and showing groups.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use godwit_base::{GroupId, GroupLink, Handle};
use godwit_client::core::{GroupCommand, GroupOutcome, PICTURE_BYTES_MAX};
use godwit_client::{Client, GroupInfo, GroupMemberInfo};
use serde::Serialize;

use super::send::while_asking;
use super::{CHANGE_MAX, Time, answered, fresh, meet};
use crate::arguments::Group;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::one_line;

/// What a change prints.
#[derive(Serialize)]
struct Changed {
    group: GroupId,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<GroupLink>,
}

/// A group, as `show` and `list` print it.
#[derive(Serialize)]
struct Shown<'a> {
    group: GroupId,
    name: Option<&'a str>,
    epoch: u64,
    members: Vec<String>,
    admins: Vec<String>,
    only_admins_write: bool,
    is_member: bool,
    has_link: bool,
    picture_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    community: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<&'a str>,
}

pub(super) async fn group(
    client: &Client,
    group: Group,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    let command = match group {
        Group::List => return list(client, time, output).await,
        Group::Show(which) => return show(client, which.group, time, output).await,
        Group::Create { name, who } => GroupCommand::Create { name, with: who },
        Group::Add(members) => GroupCommand::Add(members.group, members.who),
        Group::Remove(members) => GroupCommand::Remove(members.group, members.who),
        Group::Admin { members, remove: false } => {
            GroupCommand::Promote(members.group, members.who)
        }
        Group::Admin { members, remove: true } => GroupCommand::Demote(members.group, members.who),
        Group::Leave(which) => GroupCommand::Leave(which.group),
        Group::Rename { which, name } => GroupCommand::Rename(which.group, name),
        Group::Picture { which, out: Some(path), .. } => {
            return save_picture(client, which.group, time, &path).await;
        }
        Group::Picture { which, file, .. } => {
            let picture = file.as_deref().map(picture).transpose()?.unwrap_or_default();
            GroupCommand::Picture(which.group, picture)
        }
        Group::OnlyAdminsWrite { which, off } => GroupCommand::OnlyAdminsWrite(which.group, !off),
        Group::Invite { which, revoke: false } => GroupCommand::Invite(which.group),
        Group::Invite { which, revoke: true } => GroupCommand::RevokeInvite(which.group),
        Group::Join { link } => GroupCommand::Join(link),
    };
    let GroupOutcome { group, link } = carry_out(client, command, time).await?;
    output.record(&Changed { group, link }, |changed| match &changed.link {
        Some(link) => link.to_string(),
        None => changed.group.to_string(),
    })
}

/// Has the server put a change into the group's log.
pub(super) async fn carry_out(
    client: &Client,
    command: GroupCommand,
    time: Time,
) -> Result<GroupOutcome, Failure> {
    let is_join = matches!(command, GroupCommand::Join(_));
    meet(client, command.group().filter(|_| !is_join), time).await?;
    let change = async { Ok(client.change_group(command).await?) };
    let outcome = answered(time, CHANGE_MAX, while_asking(client, change), |seconds| {
        Failure::TimedOut(format!(
            "the server did not take the change within {seconds} s: look at `godwit group list`, then try again"
        ))
    });
    outcome.await?
}

/// A picture for a group, from a file.
fn picture(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = PICTURE_BYTES_MAX as u64 + 1;
    let file = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    file.map_err(|error| Failure::io(&path.display().to_string(), &error))?;
    if bytes.is_empty() || bytes.len() > PICTURE_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "{}: the picture of a group has 1 to {PICTURE_BYTES_MAX} bytes; make it smaller",
            path.display()
        )));
    }
    Ok(bytes)
}

async fn save_picture(
    client: &Client,
    id: GroupId,
    time: Time,
    path: &Path,
) -> Result<(), Failure> {
    fresh(client, time).await?;
    let groups = client.groups().await?;
    let group = groups.iter().find(|group| group.id == id);
    let group = group.ok_or(godwit_client::Error::NoGroup(id))?;
    if group.picture.is_empty() {
        return Err(Failure::Other(format!("group {id} has no picture")));
    }
    let file = File::options().write(true).create_new(true).open(path);
    let saved = file.and_then(|mut file| file.write_all(&group.picture));
    saved.map_err(|error| Failure::io(&path.display().to_string(), &error))
}

async fn show(
    client: &Client,
    id: GroupId,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    fresh(client, time).await?;
    let groups = client.groups().await?;
    let group = groups.iter().find(|group| group.id == id);
    let group = group.ok_or(godwit_client::Error::NoGroup(id))?;
    output.record(&shown(group), |group| {
        let mut lines = vec![
            format!("{}  {}", group.group, title(group)),
            format!("epoch    {}", group.epoch),
            format!("members  {}", group.members.join(" ")),
            format!("admins   {}", group.admins.join(" ")),
        ];
        lines.extend(group.only_admins_write.then(|| "only admins write".to_owned()));
        lines.extend(group.community.map(|id| format!("group of community {id}")));
        lines.extend(
            (group.picture_bytes > 0).then(|| format!("picture of {} bytes", group.picture_bytes)),
        );
        lines.extend(group.has_link.then(|| "people may join by a link".to_owned()));
        lines.extend((!group.is_member).then(|| "you are not in it any more".to_owned()));
        lines.extend(group.frozen.map(|why| one_line(why).into_owned()));
        lines.join("\n")
    })
}

async fn list(client: &Client, time: Time, output: &mut Output) -> Result<(), Failure> {
    fresh(client, time).await?;
    for group in client.groups().await?.iter().filter(|group| group.is_member) {
        output.record(&shown(group), |group| {
            format!("{}  {:>4}  {}", group.group, group.members.len(), title(group))
        })?;
    }
    Ok(())
}

fn shown(group: &GroupInfo) -> Shown<'_> {
    let named = |admins_only: bool| {
        let members = group.members.iter().filter(|member| member.admin || !admins_only);
        let mut names: Vec<String> = members.map(name_of).collect();
        names.sort();
        names
    };
    Shown {
        group: group.id,
        name: group.name.as_deref(),
        epoch: group.epoch,
        members: named(false),
        admins: named(true),
        only_admins_write: group.only_admins_write,
        is_member: group.is_member,
        has_link: group.has_link,
        picture_bytes: group.picture.len(),
        community: group.community,
        frozen: group.frozen.as_deref(),
    }
}

/// The handle, or the account while the handle is not known.
fn name_of(member: &GroupMemberInfo) -> String {
    member.handle.as_ref().map_or_else(|| member.account.to_string(), Handle::to_string)
}

fn title(group: &Shown<'_>) -> String {
    title_of(group.name)
}

pub(super) fn title_of(name: Option<&str>) -> String {
    name.map_or_else(
        || "(its name has not come yet)".to_owned(),
        |name| one_line(name).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use godwit_base::AccountId;

    use super::*;

    fn member(account: u64, handle: Option<&str>, admin: bool) -> GroupMemberInfo {
        let handle = handle.map(|handle| handle.parse().unwrap());
        GroupMemberInfo { account: AccountId(account), handle, admin }
    }

    #[test]
    fn a_group_is_one_object_with_sorted_names() {
        let info = GroupInfo {
            id: GroupId([1; 16]),
            name: Some("Herons".to_owned()),
            epoch: 3,
            members: vec![
                member(1, Some("bob"), false),
                member(2, Some("alice"), true),
                member(3, None, false),
            ],
            only_admins_write: false,
            is_member: true,
            has_link: false,
            frozen: None,
            picture: vec![1, 2, 3],
            community: None,
        };
        let json = serde_json::to_value(shown(&info)).unwrap();
        assert_eq!(json["group"], "01".repeat(16));
        assert_eq!(json["members"], serde_json::json!(["0000000000000003", "alice", "bob"]));
        assert_eq!((&json["admins"], &json["epoch"]), (&serde_json::json!(["alice"]), &3.into()));
        assert!(json.get("frozen").is_none());
    }
}
