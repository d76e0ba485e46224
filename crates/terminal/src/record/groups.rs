//! What happens to groups, as JSON and as lines.

use godwit_base::{GroupId, Handle};
use godwit_client::{GroupChange, GroupNews, GroupPerson};
use serde::Serialize;

use crate::text::one_line;

/// A group that has changed, and how, if a member did it.
#[derive(Debug, Serialize)]
pub(crate) struct Happened<'a> {
    group: GroupId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Step<'a>>,
}

/// One thing that was done; what it was done to or came to stands beside.
#[derive(Debug, Default, Serialize)]
struct Step<'a> {
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    community: Option<GroupId>,
}

impl<'a> Happened<'a> {
    pub(crate) fn to(group: GroupId, news: Option<&'a GroupNews>) -> Self {
        Self {
            group,
            name: news.and_then(|news| news.name.as_deref()),
            epoch: news.map(|news| news.epoch),
            by: news.map(|news| named(&news.by)),
            at_ms: news.map(|news| news.at_ms),
            changes: news.map(steps).unwrap_or_default(),
        }
    }
}

fn steps(news: &GroupNews) -> Vec<Step<'_>> {
    news.changes.iter().map(step).collect()
}

fn step(change: &GroupChange) -> Step<'_> {
    let plain = |change| Step { change, ..Step::default() };
    let of = |change, who| Step { who: Some(named(who)), ..plain(change) };
    let switch = |change, on: &bool| Step { on: Some(*on), ..plain(change) };
    match change {
        GroupChange::Made => plain("made"),
        GroupChange::Added(who) => of("added", who),
        GroupChange::Removed(who) => of("removed", who),
        GroupChange::Left => plain("left"),
        GroupChange::Joined => plain("joined"),
        GroupChange::Promoted(who) => of("promoted", who),
        GroupChange::Demoted(who) => of("demoted", who),
        GroupChange::Named(name) => Step { name: Some(name), ..plain("renamed") },
        GroupChange::Picture(on) => switch("picture", on),
        GroupChange::OnlyAdminsWrite(on) => switch("only_admins_write", on),
        GroupChange::Link(on) => switch("link", on),
        GroupChange::Community(community) => {
            Step { community: *community, ..switch("community", &community.is_some()) }
        }
        _ => plain("other"), // of a later version of the client
    }
}

/// The same as a line for people.
pub(crate) fn happened_line(group: GroupId, news: Option<&GroupNews>) -> String {
    let Some(news) = news else {
        return format!("-- group {group} has changed: `godwit group show {group}`");
    };
    let name = news.name.as_deref().map(|name| format!(" ({})", one_line(name)));
    let done: Vec<String> = news.changes.iter().map(words).collect();
    let (name, by) = (name.unwrap_or_default(), named(&news.by));
    format!("-- group {group}{name}: {by} {}", done.join(", "))
}

fn words(change: &GroupChange) -> String {
    match change {
        GroupChange::Made => "made the group".to_owned(),
        GroupChange::Added(who) => format!("added {}", named(who)),
        GroupChange::Removed(who) => format!("removed {}", named(who)),
        GroupChange::Left => "left".to_owned(),
        GroupChange::Joined => "joined by the link".to_owned(),
        GroupChange::Promoted(who) => format!("made {} an admin", named(who)),
        GroupChange::Demoted(who) => format!("made {} an ordinary member", named(who)),
        GroupChange::Named(name) => format!("renamed it to {}", one_line(name)),
        GroupChange::Picture(true) => "gave it another picture".to_owned(),
        GroupChange::Picture(false) => "took its picture away".to_owned(),
        GroupChange::OnlyAdminsWrite(true) => "lets only admins write".to_owned(),
        GroupChange::OnlyAdminsWrite(false) => "lets everybody write".to_owned(),
        GroupChange::Link(true) => "made a link to it".to_owned(),
        GroupChange::Link(false) => "took its link back".to_owned(),
        GroupChange::Community(Some(id)) => format!("put it under community {id}"),
        GroupChange::Community(None) => "took it out of its community".to_owned(),
        _ => "did something that needs a newer godwit".to_owned(),
    }
}

/// The handle, or the account while the handle is not known.
fn named(person: &GroupPerson) -> String {
    person.handle.as_ref().map_or_else(|| person.account.to_string(), Handle::to_string)
}

#[cfg(test)]
mod tests {
    use godwit_base::AccountId;

    use super::*;

    fn person(account: u64, handle: Option<&str>) -> GroupPerson {
        let handle = handle.map(|handle| handle.parse().unwrap());
        GroupPerson { account: AccountId(account), handle }
    }

    fn news(changes: Vec<GroupChange>) -> GroupNews {
        let (name, by) = (Some("Her\nons".to_owned()), person(1, Some("alice")));
        GroupNews { name, epoch: 3, by, at_ms: 5, changes }
    }

    fn all() -> Vec<(GroupChange, &'static str, &'static str)> {
        let bob = || person(2, Some("bob"));
        vec![
            (GroupChange::Made, r#""made""#, "made the group"),
            (GroupChange::Added(bob()), r#""added","who":"bob""#, "added bob"),
            (GroupChange::Removed(bob()), r#""removed","who":"bob""#, "removed bob"),
            (GroupChange::Left, r#""left""#, "left"),
            (GroupChange::Joined, r#""joined""#, "joined by the link"),
            (GroupChange::Promoted(bob()), r#""promoted","who":"bob""#, "made bob an admin"),
            (
                GroupChange::Demoted(bob()),
                r#""demoted","who":"bob""#,
                "made bob an ordinary member",
            ),
            (GroupChange::Named("E".to_owned()), r#""renamed","name":"E""#, "renamed it to E"),
            (GroupChange::Picture(true), r#""picture","on":true"#, "gave it another picture"),
            (GroupChange::Picture(false), r#""picture","on":false"#, "took its picture away"),
            (
                GroupChange::OnlyAdminsWrite(true),
                r#""only_admins_write","on":true"#,
                "lets only admins write",
            ),
            (
                GroupChange::OnlyAdminsWrite(false),
                r#""only_admins_write","on":false"#,
                "lets everybody write",
            ),
            (GroupChange::Link(true), r#""link","on":true"#, "made a link to it"),
            (GroupChange::Link(false), r#""link","on":false"#, "took its link back"),
            (
                GroupChange::Community(Some(GroupId([2; 16]))),
                r#""community","on":true,"community":"02020202020202020202020202020202""#,
                "put it under community 02020202020202020202020202020202",
            ),
            (
                GroupChange::Community(None),
                r#""community","on":false"#,
                "took it out of its community",
            ),
        ]
    }

    #[test]
    fn each_change_has_its_fields_and_its_words() {
        let group = GroupId([1; 16]);
        let id = "01".repeat(16);
        for (change, fields, words) in all() {
            let news = news(vec![change]);
            let line = serde_json::to_string(&Happened::to(group, Some(&news))).unwrap();
            let expected = format!(
                r#"{{"group":"{id}","name":"Her\nons","epoch":3,"by":"alice","at_ms":5,"changes":[{{"change":{fields}}}]}}"#
            );
            assert_eq!(line, expected);
            let expected = format!("-- group {id} (Her ons): alice {words}");
            assert_eq!(happened_line(group, Some(&news)), expected);
        }
    }

    #[test]
    fn who_is_not_known_is_named_by_account() {
        let changes = vec![GroupChange::Made, GroupChange::Added(person(0xab, None))];
        let line = happened_line(GroupId([1; 16]), Some(&news(changes)));
        assert!(line.ends_with("alice made the group, added 00000000000000ab"), "{line}");
        let line = happened_line(GroupId([1; 16]), None);
        assert!(line.contains("has changed: `godwit group show 0101"), "{line}");
    }
}
