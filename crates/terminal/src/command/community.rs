//! `godwit community`: groups that have announcements in common.

use std::collections::BTreeSet;

use godwit_base::{AccountId, GroupId};
use godwit_client::core::GroupCommand;
use godwit_client::{Client, Error, GroupInfo};
use serde::Serialize;

use super::group::{carry_out, title_of};
use super::{Time, fresh};
use crate::arguments::{Community, OfCommunity, Under};
use crate::failure::Failure;
use crate::output::Output;

/// A community, as `show` and `list` print it.
#[derive(Serialize)]
struct Shown<'a> {
    community: GroupId,
    name: Option<&'a str>,
    members: usize,
    groups: Vec<GroupId>,
}

/// What a change prints.
#[derive(Serialize)]
struct Changed {
    community: GroupId,
}

impl Changed {
    fn print(self, output: &mut Output) -> Result<(), Failure> {
        output.record(&self, |changed| changed.community.to_string())
    }
}

pub(super) async fn community(
    client: &Client,
    community: Community,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    match community {
        Community::Create { name, groups } => {
            let create = GroupCommand::CreateCommunity { name, of: groups.clone() };
            let community = carry_out(client, create, time).await?.group;
            // Printed before its groups come under it: what fails from here on is done again by its id.
            Changed { community }.print(output)?;
            put(client, &groups, Some(community), time).await
        }
        Community::Add(Under { community, groups }) => {
            put(client, &groups, Some(community), time).await?;
            gather(client, community, Vec::new(), time).await?;
            Changed { community }.print(output)
        }
        Community::Remove(Under { community, groups }) => {
            let gone = members_of(client, community, &groups, time).await?;
            put(client, &groups, None, time).await?;
            gather(client, community, gone, time).await?;
            Changed { community }.print(output)
        }
        Community::Show(OfCommunity { community: id }) => {
            fresh(client, time).await?;
            let all = client.groups().await?;
            let community = all.iter().find(|group| group.id == id).ok_or(Error::NoGroup(id))?;
            print(&all, community, output)
        }
        Community::List => {
            fresh(client, time).await?;
            let all = client.groups().await?;
            let ids: BTreeSet<GroupId> = all.iter().filter_map(|group| group.community).collect();
            for community in all.iter().filter(|group| group.is_member && ids.contains(&group.id)) {
                print(&all, community, output)?;
            }
            Ok(())
        }
        Community::Leave(OfCommunity { community }) => {
            fresh(client, time).await?;
            let all = client.groups().await?;
            let ours = all.iter().filter(|group| group.is_member);
            for group in ours.filter(|group| group.community == Some(community)) {
                carry_out(client, GroupCommand::Leave(group.id), time).await?;
            }
            carry_out(client, GroupCommand::Leave(community), time).await?;
            Changed { community }.print(output)
        }
    }
}

/// Everybody of these groups, each of which is one of the community.
async fn members_of(
    client: &Client,
    community: GroupId,
    groups: &[GroupId],
    time: Time,
) -> Result<Vec<AccountId>, Failure> {
    fresh(client, time).await?;
    let all = client.groups().await?;
    let mut members = BTreeSet::new();
    for id in groups {
        let group = all.iter().find(|group| group.id == *id).ok_or(Error::NoGroup(*id))?;
        if group.community != Some(community) {
            let text = format!("group {id} is not in community {community}");
            return Err(Error::Group(text).into());
        }
        members.extend(group.members.iter().map(|member| member.account));
    }
    Ok(members.into_iter().collect())
}

async fn put(
    client: &Client,
    groups: &[GroupId],
    community: Option<GroupId>,
    time: Time,
) -> Result<(), Failure> {
    for group in groups {
        carry_out(client, GroupCommand::SetCommunity(*group, community), time).await?;
    }
    Ok(())
}

/// The client would do it by itself, but maybe not before this command has ended.
async fn gather(
    client: &Client,
    community: GroupId,
    gone: Vec<AccountId>,
    time: Time,
) -> Result<(), Failure> {
    carry_out(client, GroupCommand::Gather(community, gone), time).await.map(drop)
}

fn print(all: &[GroupInfo], community: &GroupInfo, output: &mut Output) -> Result<(), Failure> {
    let groups = all.iter().filter(|group| group.community == Some(community.id));
    let shown = Shown {
        community: community.id,
        name: community.name.as_deref(),
        members: community.members.len(),
        groups: groups.clone().map(|group| group.id).collect(),
    };
    output.record(&shown, |shown| {
        let title = title_of(community.name.as_deref());
        let first = format!("{}  {:>4}  {title}", shown.community, shown.members);
        let of = groups.map(|group| format!("  {}  {}", group.id, title_of(group.name.as_deref())));
        [first].into_iter().chain(of).collect::<Vec<_>>().join("\n")
    })
}
