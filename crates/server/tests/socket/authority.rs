//! Who may what: every request of the protocol, said by every kind of caller to a real server. What must
//! come of it is the table of `docs/authority.md`, which is read here; a request without a row fails, and
//! so does a row or a caller that this file does not know.

mod acts;
mod scene;

use std::collections::BTreeMap;

use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::link::Heard;
use super::person::is_text;
use super::world::World;
use acts::ACTS;
use scene::{Caller, Scene, WAITS};

const TABLE: &str = include_str!("../../../../docs/authority.md");

/// The request behind each act, so that its answer shows that the act was heard.
const MARK: u32 = u32::MAX;

/// Rows of the table, by act: what comes of it, by caller.
fn table() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut rows = TABLE.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim);
    let callers: Vec<_> = cells(rows.next().unwrap()).skip(1).collect();
    assert!(rows.next().is_some_and(|line| line.starts_with("|---")), "the line below the head");
    let row = |line| {
        let mut cells = cells(line);
        let act = cells.next().unwrap();
        let cells: Vec<_> = cells.collect();
        assert_eq!(cells.len(), callers.len(), "cells of {act:?}");
        (act, callers.iter().copied().zip(cells).collect())
    };
    let rows: Vec<_> = rows.map(row).collect();
    let table: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(table.len(), rows.len(), "each act has one row");
    table
}

#[test]
fn every_request_has_a_row_and_every_row_a_request() {
    let table = table();
    let callers: Vec<_> = Caller::ALL.map(Caller::name).into();
    for (act, row) in &table {
        assert!(callers.iter().all(|caller| row.contains_key(caller)), "callers of {act:?}");
        assert!(ACTS.iter().any(|(known, _)| known == act), "nobody does {act:?}");
    }
    for (act, _) in ACTS {
        assert!(table.contains_key(act), "no row for {act:?}");
    }
    for request in ToServer::NAMES {
        let is_of_it = |act: &&str| act.split(':').next() == Some(*request);
        assert!(table.keys().any(is_of_it), "docs/authority.md says nothing of {request}");
    }
}

/// One test a caller, so that they run side by side.
macro_rules! callers {
    ($($test:ident = $caller:ident;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                does_what_the_table_says(Caller::$caller).await;
            }
        )*

        #[test]
        fn every_caller_is_tried() {
            assert_eq!(Caller::ALL, [$(Caller::$caller,)*]);
        }
    };
}

callers! {
    a_stranger = Stranger;
    a_claimant = Claimant;
    a_device_that_is_not_attached = Unattached;
    a_device_removed_after_its_welcome = Removed;
    a_revoked_device = Revoked;
    a_member_of_the_group = Member;
    the_second_device_of_a_member = Second;
    an_admin_of_the_group = Admin;
    somebody_outside_the_group = Outsider;
    who_was_removed_from_the_group = Ejected;
}

/// All acts by one kind of caller, each in a scene of its own.
async fn does_what_the_table_says(caller: Caller) {
    let world = World::new().await;
    let table = table();
    let mut wrong = Vec::new();
    for (number, (act, message)) in (0..).zip(ACTS) {
        let expected = table[act][caller.name()];
        let mut scene = Scene::set(&world, caller, number).await;
        let before = scene.looks().await;
        let message = message(&mut scene);
        assert_eq!(Some(message.name()), act.split(':').next(), "{act}");
        let outcome = attempt(&mut scene, message).await;
        if outcome != expected {
            wrong.push(format!("{act} by {}: {outcome}, not {expected}", caller.name()));
            continue;
        }
        if outcome != "yes" {
            assert_eq!(scene.looks().await, before, "{act} by {}", caller.name());
        }
        // Nobody took what waits for somebody else, or put something beside it without leave.
        let mut waiting = scene.bob_finds().await;
        let more = usize::from(outcome == "yes" && *act == acts::TO_BOB);
        assert_eq!(waiting.len(), 1 + more, "{act} by {}: {waiting:?}", caller.name());
        is_text(waiting.remove(0), WAITS, &scene.ada);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says it, and tells what came of it in the words of the table.
async fn attempt(scene: &mut Scene, message: ToServer) -> String {
    let is_silent = is_silent(&message);
    let (request, counter) = (scene.request, scene.caller.counter);
    let is_mark = matches!(message, ToServer::Terms(_));
    let mark = v1::TermsRequest { request: MARK };
    let link = scene.caller.link();
    let said = if is_mark { vec![message] } else { vec![message, mark.into()] };
    link.says(&said).await;
    loop {
        match link.next().await {
            Heard::Message(ToClient::Goodbye(goodbye)) => {
                return format!("end {}", name_of(goodbye.code));
            }
            Heard::Message(ToClient::Refused(refused)) => {
                let is_answer = (refused.request, refused.counter) == (request, 0)
                    || (refused.request, refused.counter) == (0, counter);
                assert!(is_answer, "{refused:?}");
                return format!("no {}", name_of(refused.code));
            }
            Heard::Message(ToClient::Terms(terms)) if terms.request == MARK => {
                if is_silent {
                    return "taken".to_owned();
                }
            }
            Heard::Message(heard) if answers(&heard, request, counter) => return "yes".to_owned(),
            Heard::Message(_) | Heard::Keepalive => {}
            Heard::Closed => return "closed".to_owned(),
        }
    }
}

fn name_of(code: u32) -> &'static str {
    Refusal::from_number(code).unwrap().name()
}

/// Whether the server says nothing to it if all is well.
fn is_silent(message: &ToServer) -> bool {
    match message {
        ToServer::Attach(_)
        | ToServer::Ack(_)
        | ToServer::PresenceSet(_)
        | ToServer::PresenceWatch(_)
        | ToServer::KeepaliveInterval(_) => true,
        ToServer::Submit(_)
        | ToServer::Register(_)
        | ToServer::Fetch(_)
        | ToServer::PublishKeys(_)
        | ToServer::Terms(_)
        | ToServer::PublishDeviceList(_)
        | ToServer::Relay(_)
        | ToServer::Claim(_)
        | ToServer::MediaGrant(_)
        | ToServer::MediaFetched(_)
        | ToServer::GroupChange(_)
        | ToServer::GroupFetch(_)
        | ToServer::GroupRoster(_)
        | ToServer::GroupProgress(_)
        | ToServer::Report(_)
        | ToServer::GroupRead(_) => false,
    }
}

/// Whether it is the good answer to that request, or to a submission under that counter.
fn answers(heard: &ToClient, request: u32, counter: u64) -> bool {
    let answered = match heard {
        ToClient::Accepted(accepted) => return accepted.counter == counter,
        ToClient::Bundles(bundles) => bundles.request,
        ToClient::Registered(registered) => registered.request,
        ToClient::KeysPublished(published) => published.request,
        ToClient::Terms(terms) => terms.request,
        ToClient::DeviceListPublished(published) => published.request,
        ToClient::Relayed(relayed) => relayed.request,
        ToClient::MediaGrant(grant) => grant.request,
        ToClient::MediaNoted(noted) => noted.request,
        ToClient::GroupChanged(changed) => changed.request,
        ToClient::GroupLog(log) => log.request,
        ToClient::Roster(roster) => roster.request,
        ToClient::Progress(progress) => progress.request,
        ToClient::ReportTaken(taken) => taken.request,
        ToClient::GroupReadTaken(taken) => taken.request,
        ToClient::Refused(_)
        | ToClient::Deliver(_)
        | ToClient::Receipt(_)
        | ToClient::CaughtUp(_)
        | ToClient::Goodbye(_)
        | ToClient::Presence(_)
        | ToClient::GroupNews(_)
        | ToClient::GroupReceipt(_) => return false,
    };
    answered == request
}
