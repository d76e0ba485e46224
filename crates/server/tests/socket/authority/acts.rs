//! What callers try: one row of the table each. The name begins with the message's name in the schema.

use bytes::Bytes;
use godwit_link::StaticKey;
use godwit_wire::{ToServer, v1};

use super::scene::{SECRET, Scene, claim, list};

/// The act that puts something into Bob's mailbox, if it may.
pub(super) const TO_BOB: &str = "Submit: to somebody";

type Act = (&'static str, fn(&mut Scene) -> ToServer);

const NONE: v1::GroupRole = v1::GroupRole::None;
const MEMBER: v1::GroupRole = v1::GroupRole::Member;
const ADMIN: v1::GroupRole = v1::GroupRole::Admin;

pub(super) const ACTS: &[Act] = &[
    ("TermsRequest", |scene| v1::TermsRequest { request: scene.request }.into()),
    ("KeepaliveInterval", |_| v1::KeepaliveInterval { seconds: 60 }.into()),
    ("Attach", |_| v1::Attach {}.into()),
    ("Ack: of everything there is", |_| v1::Ack { up_to: u64::MAX }.into()),
    ("PresenceSet", |_| {
        let visibility = v1::Visibility::Everyone.into();
        v1::PresenceSet { here: true, visibility, pass: Bytes::new() }.into()
    }),
    ("PresenceWatch", |scene| {
        let (account, pass) = (scene.ada.account().0, Bytes::new());
        v1::PresenceWatch { chats: vec![v1::OpenChat { account, pass, typing: true }] }.into()
    }),
    ("Register: a new account", |scene| register(scene, StaticKey::generate().unwrap().public().0)),
    ("Register: an account that exists", |scene| {
        let key = scene.ada.account_key;
        register(scene, key)
    }),
    ("Register: with another's link key", |scene| {
        let theirs = Bytes::copy_from_slice(&scene.bob.link_key.public().0);
        let mut register = scene.caller.registration();
        register.request = scene.request;
        register.handle = format!("another-{}", scene.caller.handle);
        register.account_key = StaticKey::generate().unwrap().public().0.to_vec().into();
        register.list.as_mut().unwrap().devices[0].link_key = theirs;
        register.into()
    }),
    ("Claim: signed by the account's key", |scene| {
        claim(&scene.ada_key, &scene.caller, scene.request).into()
    }),
    ("Claim: signed for another link", |scene| {
        claim(&scene.ada_key, &scene.bob, scene.request).into()
    }),
    ("Fetch: who an account is", |scene| fetch(scene, false)),
    ("Fetch: with keys", |scene| fetch(scene, true)),
    ("Fetch: by handle", |scene| {
        let who = Some(v1::fetch::Who::Handle(scene.bob.handle.clone()));
        v1::Fetch { request: scene.request, who, keys: false, devices: Vec::new() }.into()
    }),
    ("PublishKeys", |scene| {
        let one_time = vec![v1::OneTimeKey { id: 9, signed: Bytes::from_static(b"key 9") }];
        let keys = Some(v1::KeyUpload { one_time, fallback: Bytes::new() });
        v1::PublishKeys { request: scene.request, keys }.into()
    }),
    ("PublishDeviceList: the next one", |scene| {
        let list = list(scene.list_version + 1, scene.devices());
        let publication = scene.caller.publication(list);
        v1::PublishDeviceList { request: scene.request, ..publication }.into()
    }),
    ("Relay: leaves a message", |scene| {
        let mut rendezvous = scene.group.to_vec();
        rendezvous[15] = 1;
        let (side, body) = (v1::RelaySide::New.into(), Bytes::from_static(b"sealed"));
        let request = scene.request;
        v1::Relay { request, rendezvous: rendezvous.into(), side, sequence: 1, body }.into()
    }),
    ("MediaGrantRequest: to upload", |scene| {
        let direction = v1::MediaDirection::Up.into();
        let (request, blob) = (scene.request, Bytes::from_static(&[3; 32]));
        v1::MediaGrantRequest { request, direction, blob, bytes: 10, fetchers: 1 }.into()
    }),
    ("MediaGrantRequest: to download what is not there", |scene| {
        let direction = v1::MediaDirection::Down.into();
        let (request, blob) = (scene.request, Bytes::from_static(&[4; 32]));
        v1::MediaGrantRequest { request, direction, blob, bytes: 0, fetchers: 0 }.into()
    }),
    ("MediaFetched: what is not there", |scene| {
        v1::MediaFetched { request: scene.request, blob: Bytes::from_static(&[4; 32]) }.into()
    }),
    ("Report", |scene| {
        let (request, account) = (scene.request, scene.ada.account().0);
        v1::Report { request, account, reason: "a test".into(), messages: Vec::new() }.into()
    }),
    (TO_BOB, |scene| scene.bob.sealed(scene.caller.counter, "to bob")),
    ("Submit: copies for all of the group", |scene| {
        let post = post(scene, Bytes::new());
        let submit = scene.ada.sealed(scene.caller.counter, "to the group");
        let ToServer::Submit(mut submit) = submit else { panic!("{submit:?}") };
        if scene.list_version > 1 {
            // Its own other device is a member's too.
            let own = v1::SealedCopy { device: 1, kind: 0, body: Bytes::from_static(b"own") };
            let (account, list_version) = (scene.caller.account().0, scene.list_version);
            submit.recipients.push(v1::Recipient { account, list_version, copies: vec![own] });
        }
        v1::Submit { group: Some(post), ..submit }.into()
    }),
    ("Submit: one body for all of the group", |scene| {
        let group = Some(post(scene, Bytes::from_static(b"sealed once")));
        v1::Submit { counter: scene.caller.counter, recipients: Vec::new(), group }.into()
    }),
    ("GroupChange: makes another group", |scene| {
        let mut group = scene.group.to_vec();
        group[15] = 2;
        let change = scene.change(vec![(scene.caller.account().0, ADMIN)]);
        v1::GroupChange { group: group.into(), epoch: 1, ..change }.into()
    }),
    ("GroupChange: makes this group anew", |scene| {
        let change = scene.change(vec![(scene.caller.account().0, ADMIN)]);
        v1::GroupChange { epoch: 1, ..change }.into()
    }),
    ("GroupChange: adds somebody", |scene| {
        scene.change(vec![(scene.bob.account().0, MEMBER)]).into()
    }),
    ("GroupChange: removes an admin", |scene| {
        scene.change(vec![(scene.ada.account().0, NONE)]).into()
    }),
    ("GroupChange: makes itself an admin", |scene| {
        scene.change(vec![(scene.caller.account().0, ADMIN)]).into()
    }),
    ("GroupChange: lets only admins write", |scene| {
        let settings = v1::GroupSettings { only_admins_write: true, invite_hash: Bytes::new() };
        v1::GroupChange { settings: Some(settings), ..scene.change(Vec::new()) }.into()
    }),
    ("GroupChange: leaves", |scene| scene.change(vec![(scene.caller.account().0, NONE)]).into()),
    ("GroupChange: comes in without the link", |scene| joins(scene, Bytes::new())),
    ("GroupChange: comes in by a wrong link", |scene| joins(scene, Bytes::from_static(&[8; 32]))),
    ("GroupChange: comes in by the link", |scene| joins(scene, Bytes::from_static(&SECRET))),
    ("GroupFetch: the log", |scene| log(scene, Bytes::new())),
    ("GroupFetch: the log, by a wrong link", |scene| log(scene, Bytes::from_static(&[8; 32]))),
    ("GroupFetch: the log, by the link", |scene| log(scene, Bytes::from_static(&SECRET))),
    ("GroupRoster", |scene| {
        v1::GroupRoster { request: scene.request, group: scene.group.clone() }.into()
    }),
    ("GroupProgress", |scene| {
        let (request, group) = (scene.request, scene.group.clone());
        v1::GroupProgress { request, group, origin: 1, counter: 1 }.into()
    }),
    ("GroupRead", |scene| {
        let marks = vec![v1::PostRead { account: scene.ada.account().0, device: 1, up_to: 1 }];
        v1::GroupRead { request: scene.request, group: scene.group.clone(), marks }.into()
    }),
];

fn register(scene: &mut Scene, account_key: [u8; 32]) -> ToServer {
    let register = scene.caller.registration();
    let (request, handle) = (scene.request, format!("new-{}", scene.caller.handle));
    let account_key = Bytes::copy_from_slice(&account_key);
    v1::Register { request, handle, account_key, ..register }.into()
}

fn fetch(scene: &Scene, keys: bool) -> ToServer {
    let who = Some(v1::fetch::Who::Account(scene.bob.account().0));
    v1::Fetch { request: scene.request, who, keys, devices: Vec::new() }.into()
}

fn post(scene: &Scene, body: Bytes) -> v1::GroupPost {
    let devices_version = scene.roster.devices_version;
    v1::GroupPost { group: scene.group.clone(), epoch: scene.epoch, devices_version, body }
}

fn joins(scene: &Scene, invite_secret: Bytes) -> ToServer {
    let change = scene.change(vec![(scene.caller.account().0, MEMBER)]);
    v1::GroupChange { invite_secret, ..change }.into()
}

fn log(scene: &Scene, invite_secret: Bytes) -> ToServer {
    let (request, group) = (scene.request, scene.group.clone());
    v1::GroupFetch { request, group, after_epoch: 0, invite_secret }.into()
}
