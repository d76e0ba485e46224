//! `godwit community`: groups that have announcements in common.

use std::collections::BTreeSet;

use godwit_base::{AccountId, GroupId};
use godwit_client::core::GroupCommand;
use godwit_client::{Client, Error, GroupInfo};
use serde::Serialize;

use super::fresh;
use super::group::{Changed, carry_out, title_of};
use crate::arguments::Community;
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

pub(super) async fn community(
    client: &Client,
    community: Community,
    output: &mut Output,
) -> Result<(), Failure> {
    match community {
        Community::Create { name, groups } => {
            let create = GroupCommand::CreateCommunity { name, of: groups.clone() };
            let group = carry_out(client, create).await?.group;
            // Printed before its groups come under it: what fails from here on is done again by its id.
            output.record(&Changed { group, link: None }, |changed| changed.group.to_string())?;
            put(client, &groups, Some(group)).await
        }
        Community::Add(under) => {
            put(client, &under.groups, Some(under.community)).await?;
            gather(client, under.community, Vec::new()).await
        }
        Community::Remove(under) => {
            fresh(client).await?;
            let all = client.groups().await?;
            let mut gone = BTreeSet::new();
            for id in &under.groups {
                let group = all.iter().find(|group| group.id == *id).ok_or(Error::NoGroup(*id))?;
                if group.community != Some(under.community) {
                    let text = format!("group {id} is not in community {}", under.community);
                    return Err(Error::Group(text).into());
                }
                gone.extend(group.members.iter().map(|member| member.account));
            }
            put(client, &under.groups, None).await?;
            gather(client, under.community, gone.into_iter().collect()).await
        }
        Community::Show(which) => {
            fresh(client).await?;
            let all = client.groups().await?;
            let id = which.community;
            let community = all.iter().find(|group| group.id == id).ok_or(Error::NoGroup(id))?;
            print(&all, community, output)
        }
        Community::List => {
            fresh(client).await?;
            let all = client.groups().await?;
            let ids: BTreeSet<GroupId> = all.iter().filter_map(|group| group.community).collect();
            for community in all.iter().filter(|group| group.is_member && ids.contains(&group.id)) {
                print(&all, community, output)?;
            }
            Ok(())
        }
        Community::Leave(which) => {
            fresh(client).await?;
            let all = client.groups().await?;
            let ours = all.iter().filter(|group| group.is_member);
            let of = ours.filter(|group| group.community == Some(which.community));
            for group in of {
                carry_out(client, GroupCommand::Leave(group.id)).await?;
            }
            carry_out(client, GroupCommand::Leave(which.community)).await.map(drop)
        }
    }
}

async fn put(
    client: &Client,
    groups: &[GroupId],
    community: Option<GroupId>,
) -> Result<(), Failure> {
    for group in groups {
        carry_out(client, GroupCommand::SetCommunity(*group, community)).await?;
    }
    Ok(())
}

/// The client would do it by itself, but maybe not before this command has ended.
async fn gather(client: &Client, community: GroupId, gone: Vec<AccountId>) -> Result<(), Failure> {
    carry_out(client, GroupCommand::Gather(community, gone)).await.map(drop)
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
