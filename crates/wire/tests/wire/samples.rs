//! One telling example of every message, with fixed values. The golden file holds their bytes.

use bytes::Bytes;
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{Refusal, ToClient, ToServer, encode, v1};

const ALICE: u64 = 0x66687aadf862bd77;
const BOB: u64 = 0x1122334455667788;
const TIME_MS: u64 = 1_700_000_000_123;
const SEQ: u64 = TIME_MS << 20 | 5;

/// An example: its name, what it says, and its bytes.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) bytes: Vec<u8>,
}

fn sample(name: &'static str, says: &'static str, bytes: Vec<u8>) -> Sample {
    Sample { name, says, bytes }
}

/// `length` bytes that count up from `first`.
fn counting(first: u8, length: u8) -> Bytes {
    (0..length).map(|index| first.wrapping_add(index)).collect()
}

/// Everything, in the order of the schema.
pub(crate) fn all() -> Vec<Sample> {
    let mut all = before_the_link();
    all.extend(to_server().into_iter().map(|(says, message)| {
        let mut bytes = Vec::new();
        message.encode_into(&mut bytes);
        sample(message.name(), says, bytes)
    }));
    all.extend(to_client().into_iter().map(|(says, message)| {
        let mut bytes = Vec::new();
        message.encode_into(&mut bytes);
        sample(message.name(), says, bytes)
    }));
    all
}

fn before_the_link() -> Vec<Sample> {
    let written = |preface: ClientPreface<'_>| {
        let mut out = Vec::new();
        preface.encode_into(&mut out).unwrap();
        out
    };
    let answered = |preface: ServerPreface<'_>| {
        let mut out = Vec::new();
        preface.encode_into(&mut out).unwrap();
        out
    };
    let key_hint = [0xa1, 0xa2, 0xa3, 0xa4];
    vec![
        sample(
            "ClientPreface",
            "full handshake with the server whose key starts a1a2a3a4; message 1 is 01..08",
            written(ClientPreface { mode: Mode::Full, key_hint, message: &counting(1, 8) }),
        ),
        sample(
            "ClientPreface",
            "resumption; a ticket of 3 bytes (f1 f2 f3), then message 1 (01..04)",
            written(ClientPreface {
                mode: Mode::Resume,
                key_hint,
                message: &[0, 3, 0xf1, 0xf2, 0xf3, 1, 2, 3, 4],
            }),
        ),
        sample(
            "ServerPreface",
            "handshake message 2 is 01..08",
            answered(ServerPreface::Reply(&counting(1, 8))),
        ),
        sample(
            "ServerPreface",
            "refused: 17 BadTicket, no retry",
            answered(ServerPreface::Refused {
                code: Refusal::BadTicket.number(),
                retry_after_ms: 0,
            }),
        ),
        sample("Hello", "version 1, no features, client godwit/0.1.0", encode(&hello())),
        sample(
            "Welcome",
            "device 1 of account 66687aadf862bd77, keepalive 30 s, a ticket of 8 bytes (e0..e7)",
            encode(&welcome()),
        ),
        sample(
            "Welcome",
            "the same; messages up to counter 300 were accepted from this device",
            encode(&welcome_to_a_sender()),
        ),
        sample(
            "Welcome",
            "as the first; keepalives may be up to 240 s apart",
            encode(&welcome_that_lets_be_quiet()),
        ),
    ]
}

pub(crate) fn hello() -> v1::Hello {
    v1::Hello { version: 1, features: 0, client: "godwit/0.1.0".into() }
}

pub(crate) fn welcome() -> v1::Welcome {
    v1::Welcome {
        version: 1,
        features: 0,
        standing: v1::Standing::Device.into(),
        account: ALICE,
        device: 1,
        time_ms: TIME_MS,
        keepalive_s: 30,
        ticket: counting(0xe0, 8),
        ticket_expires_ms: TIME_MS + 86_400_000,
        highest_counter: 0,
        keepalive_max_s: 0,
    }
}

pub(crate) fn welcome_to_a_sender() -> v1::Welcome {
    v1::Welcome { highest_counter: 300, ..welcome() }
}

pub(crate) fn welcome_that_lets_be_quiet() -> v1::Welcome {
    v1::Welcome { keepalive_max_s: 240, ..welcome() }
}

/// One of each message that a device sends.
pub(crate) fn to_server() -> Vec<(&'static str, ToServer)> {
    vec![
        ("take the mailbox", v1::Attach {}.into()),
        (
            "counter 300; to account 1122334455667788, list version 3, device 2, body d0..d7",
            submit().into(),
        ),
        ("everything up to record 5 of 2023-11-14T22:13:20.123Z", v1::Ack { up_to: SEQ }.into()),
        ("request 7: alice, invite, one device, one one-time key, fallback", register().into()),
        (
            "request 8: who is bob, and keys for all devices",
            v1::Fetch {
                request: 8,
                who: Some(v1::fetch::Who::Handle("bob".into())),
                keys: true,
                devices: vec![],
            }
            .into(),
        ),
        (
            "request 9: who is 1122334455667788, and keys for devices 2 and 300",
            v1::Fetch {
                request: 9,
                who: Some(v1::fetch::Who::Account(BOB)),
                keys: true,
                devices: vec![2, 300],
            }
            .into(),
        ),
        (
            "request 10: one one-time key",
            v1::PublishKeys { request: 10, keys: Some(keys(Bytes::new())) }.into(),
        ),
        ("request 11", v1::TermsRequest { request: 11 }.into()),
        ("request 12: version 4 of the list, devices 1 and 3", publish_list().into()),
        (
            "request 12: the same, and keys of device 3, which is new on it",
            v1::PublishDeviceList { first_keys: vec![first_keys()], ..publish_list() }.into(),
        ),
        (
            "request 13: upload 65,584 bytes named 80..9f, for 3 devices",
            v1::MediaGrantRequest {
                request: 13,
                direction: v1::MediaDirection::Up.into(),
                blob: counting(0x80, 32),
                bytes: 65_584,
                fetchers: 3,
            }
            .into(),
        ),
        (
            "request 14: this device has the file named 80..9f",
            v1::MediaFetched { request: 14, blob: counting(0x80, 32) }.into(),
        ),
        (
            "request 13: the new device leaves message 2 at rendezvous 80..8f: d0..d7",
            relay(13, v1::RelaySide::New, 2, counting(0xd0, 8)).into(),
        ),
        (
            "request 14: the present device waits for message 2 of the new one",
            relay(14, v1::RelaySide::Present, 2, Bytes::new()).into(),
        ),
        (
            "request 15: for the account of key 00..1f, signature 20..5f",
            v1::Claim { request: 15, account_key: counting(0, 32), signature: counting(0x20, 64) }
                .into(),
        ),
        (
            "here; contacts may see it, by the pass e0..ef",
            v1::PresenceSet {
                here: true,
                visibility: v1::Visibility::Contacts.into(),
                pass: counting(0xe0, 16),
            }
            .into(),
        ),
        (
            "one chat is open, with 1122334455667788 by the pass d0..df, and typed in",
            v1::PresenceWatch {
                chats: vec![v1::OpenChat { account: BOB, pass: counting(0xd0, 16), typing: true }],
            }
            .into(),
        ),
        (
            "counter 301; group 70..7f at epoch 2, devices version 4, one ciphertext d0..d7",
            v1::Submit { counter: 301, recipients: vec![], group: Some(post()) }.into(),
        ),
        ("request 13: epoch 1 of group 70..7f, an admin and a member", group_change().into()),
        (
            "request 14: epoch 3 of group 70..7f, 1122334455667788 goes, settings change",
            second_change().into(),
        ),
        (
            "request 15: entries of group 70..7f after epoch 1, by the secret 20..3f",
            v1::GroupFetch {
                request: 15,
                group: group(),
                after_epoch: 1,
                invite_secret: counting(0x20, 32),
            }
            .into(),
        ),
        (
            "request 16: who is in group 70..7f",
            v1::GroupRoster { request: 16, group: group() }.into(),
        ),
        (
            "request 17: who has counter 301 of our device 1 in group 70..7f",
            v1::GroupProgress { request: 17, group: group(), origin: 1, counter: 301 }.into(),
        ),
        ("request 13: 1122334455667788 is reported, with one message", report().into()),
        (
            "request 18: read in group 70..7f what device 2 of 1122334455667788 posted up to 302",
            v1::GroupRead {
                request: 18,
                group: group(),
                marks: vec![v1::PostRead { account: BOB, device: 2, up_to: 302 }],
            }
            .into(),
        ),
        ("quiet for up to 240 seconds from now on", v1::KeepaliveInterval { seconds: 240 }.into()),
    ]
}

fn submit() -> v1::Submit {
    let copy =
        v1::SealedCopy { device: 2, kind: v1::CopyKind::Opening.into(), body: counting(0xd0, 8) };
    let recipient = v1::Recipient { account: BOB, list_version: 3, copies: vec![copy] };
    v1::Submit { counter: 300, recipients: vec![recipient], group: None }
}

fn group() -> Bytes {
    counting(0x70, 16)
}

fn post() -> v1::GroupPost {
    v1::GroupPost { group: group(), epoch: 2, devices_version: 4, body: counting(0xd0, 8) }
}

fn group_change() -> v1::GroupChange {
    let member = |account, role: v1::GroupRole| v1::GroupMember { account, role: i32::from(role) };
    v1::GroupChange {
        request: 13,
        group: group(),
        epoch: 1,
        signed: counting(0xc0, 6),
        members: vec![member(ALICE, v1::GroupRole::Admin), member(BOB, v1::GroupRole::Member)],
        settings: None,
        invite_secret: Bytes::new(),
    }
}

fn second_change() -> v1::GroupChange {
    let gone = v1::GroupMember { account: BOB, role: v1::GroupRole::None.into() };
    v1::GroupChange {
        request: 14,
        epoch: 3,
        members: vec![gone],
        settings: Some(settings()),
        ..group_change()
    }
}

fn settings() -> v1::GroupSettings {
    v1::GroupSettings { only_admins_write: true, invite_hash: counting(0x80, 32) }
}

fn keys(fallback: Bytes) -> v1::KeyUpload {
    let one_time = v1::OneTimeKey { id: 5, signed: counting(0xb0, 4) };
    v1::KeyUpload { one_time: vec![one_time], fallback }
}

fn publish_list() -> v1::PublishDeviceList {
    v1::PublishDeviceList { request: 12, list: Some(fourth_list()), first_keys: Vec::new() }
}

fn first_keys() -> v1::FirstKeys {
    v1::FirstKeys { device: 3, keys: Some(keys(counting(0xf0, 4))) }
}

fn fourth_list() -> v1::DeviceListUpload {
    let row = |number, first| v1::DeviceRow { number, link_key: counting(first, 32) };
    v1::DeviceListUpload {
        version: 4,
        devices: vec![row(1, 0x40), row(3, 0x60)],
        signed: counting(0xc0, 6),
    }
}

fn relay(request: u32, side: v1::RelaySide, sequence: u32, body: Bytes) -> v1::Relay {
    v1::Relay { request, rendezvous: counting(0x80, 16), side: side.into(), sequence, body }
}

fn register() -> v1::Register {
    let list = v1::DeviceListUpload {
        version: 1,
        devices: vec![v1::DeviceRow { number: 1, link_key: counting(0x40, 32) }],
        signed: counting(0xc0, 6),
    };
    v1::Register {
        request: 7,
        handle: "alice".into(),
        invite: "K7Q2-MZ4T".into(),
        account_key: counting(0, 32),
        list: Some(list),
        keys: Some(keys(counting(0xb8, 4))),
    }
}

/// One of each message that the server sends.
pub(crate) fn to_client() -> Vec<(&'static str, ToClient)> {
    vec![
        (
            "counter 300, durable at 2023-11-14T22:13:20.123Z",
            v1::Accepted { counter: 300, time_ms: TIME_MS }.into(),
        ),
        ("counter 300: 30 DeviceMismatch, with the list that is right", refused().into()),
        ("message 300 from device 1 of 66687aadf862bd77, body d0..d7", deliver().into()),
        (
            "device 2 of 1122334455667788 has everything of our device 1 up to counter 300",
            v1::Receipt { seq: SEQ + 1, account: BOB, device: 2, up_to: 300, origin: 1 }.into(),
        ),
        ("drained; 97 one-time keys left", v1::CaughtUp { one_time_left: 97 }.into()),
        ("request 8: bob, one device with a one-time key and a fallback key", bundles().into()),
        (
            "request 7: device 1 of 66687aadf862bd77",
            v1::Registered { request: 7, account: ALICE, device: 1 }.into(),
        ),
        (
            "request 10: 100 one-time keys now",
            v1::KeysPublished { request: 10, one_time_left: 100 }.into(),
        ),
        ("request 11: by invite; the default limits", terms().into()),
        (
            "50 Draining, come back after 1,500 ms",
            v1::Goodbye { code: Refusal::Draining.number().into(), reconnect_after_ms: 1_500 }
                .into(),
        ),
        (
            "request 12: version 4 is stored",
            v1::DeviceListPublished { request: 12, version: 4 }.into(),
        ),
        ("request 13: go on at 4,096 of 65,584 bytes, with the ticket f0..f7", grant().into()),
        ("request 14", v1::MediaNoted { request: 14 }.into()),
        ("request 13: left", v1::Relayed { request: 13, body: Bytes::new() }.into()),
        (
            "request 14: the other side said d0..d7",
            v1::Relayed { request: 14, body: counting(0xd0, 8) }.into(),
        ),
        (
            "1122334455667788 is online and types",
            v1::Presence {
                account: BOB,
                state: v1::PresenceState::Online.into(),
                last_seen_ms: 0,
                typing: true,
            }
            .into(),
        ),
        (
            "1122334455667788 is offline since 2023-11-14T22:13Z",
            v1::Presence {
                account: BOB,
                state: v1::PresenceState::Offline.into(),
                last_seen_ms: TIME_MS - TIME_MS % 60_000,
                typing: false,
            }
            .into(),
        ),
        ("message 301 to group 70..7f at epoch 2, ciphertext d0..d7", group_deliver().into()),
        (
            "request 14: epoch 3 of group 70..7f is stored",
            v1::GroupChanged { request: 14, group: group(), epoch: 3 }.into(),
        ),
        (
            "group 70..7f is at epoch 3",
            v1::GroupNews { seq: SEQ + 2, group: group(), epoch: 3, missed: false }.into(),
        ),
        (
            "group 70..7f is at epoch 3, and messages passed by",
            v1::GroupNews { seq: SEQ + 3, group: group(), epoch: 3, missed: true }.into(),
        ),
        ("request 15: group 70..7f is at epoch 3; entries 2 and 3", group_log().into()),
        ("request 16: group 70..7f at epoch 3, one admin, list version 4", roster().into()),
        (
            "of our device 1 in group 70..7f: 37 accounts have message 301, 2 have message 302",
            v1::GroupReceipt {
                seq: SEQ + 4,
                group: group(),
                origin: 1,
                posts: vec![
                    v1::PostReach { counter: 301, accounts: 37, readers: 0 },
                    v1::PostReach { counter: 302, accounts: 2, readers: 0 },
                ],
            }
            .into(),
        ),
        (
            "request 17: 1122334455667788 has everything up to counter 302",
            v1::Progress { request: 17, reached: vec![reached(0)] }.into(),
        ),
        ("request 13 is stored", v1::ReportTaken { request: 13 }.into()),
        ("request 18 is stored", v1::GroupReadTaken { request: 18 }.into()),
        (
            "of our device 1 in group 70..7f: 37 accounts have message 301, 20 have read it; 2 have 302",
            v1::GroupReceipt {
                seq: SEQ + 5,
                group: group(),
                origin: 1,
                posts: vec![
                    v1::PostReach { counter: 301, accounts: 37, readers: 20 },
                    v1::PostReach { counter: 302, accounts: 2, readers: 0 },
                ],
            }
            .into(),
        ),
        (
            "request 17: 1122334455667788 has everything up to counter 302, and has read up to 301",
            v1::Progress { request: 17, reached: vec![reached(301)] }.into(),
        ),
    ]
}

fn reached(read_up_to: u64) -> v1::Reached {
    v1::Reached { account: BOB, up_to: 302, read_up_to }
}

fn grant() -> v1::MediaGrant {
    v1::MediaGrant {
        request: 13,
        ticket: counting(0xf0, 8),
        bytes: 65_584,
        offset: 4_096,
        already_there: false,
        ticket_expires_ms: TIME_MS + 3_600_000,
        blob_expires_ms: TIME_MS + 30 * 86_400_000,
    }
}

fn report() -> v1::Report {
    let message = v1::ReportedMessage {
        device: 2,
        counter: 300,
        sent_at_ms: TIME_MS,
        text: "send money".into(),
    };
    v1::Report { request: 13, account: BOB, reason: "spam".into(), messages: vec![message] }
}

fn refused() -> v1::Refused {
    let mismatch = v1::Mismatch {
        account: BOB,
        list_version: 4,
        signed_list: counting(0xc0, 6),
        missing: vec![3],
        extra: vec![2],
    };
    v1::Refused {
        counter: 300,
        request: 0,
        code: Refusal::DeviceMismatch.number().into(),
        retry_after_ms: 0,
        mismatches: vec![mismatch],
    }
}

fn deliver() -> v1::Deliver {
    v1::Deliver {
        seq: SEQ,
        account: ALICE,
        device: 1,
        counter: 300,
        kind: v1::CopyKind::Message.into(),
        body: counting(0xd0, 8),
        group: Bytes::new(),
        epoch: 0,
    }
}

fn group_deliver() -> v1::Deliver {
    v1::Deliver {
        counter: 301,
        kind: v1::CopyKind::Group.into(),
        group: group(),
        epoch: 2,
        ..deliver()
    }
}

fn group_log() -> v1::GroupLog {
    let entry = |epoch, first| v1::GroupEntry { epoch, signed: counting(first, 6) };
    let entries = vec![entry(2, 0xc0), entry(3, 0xc8)];
    v1::GroupLog { request: 15, group: group(), epoch: 3, entries }
}

fn roster() -> v1::Roster {
    let row = v1::RosterRow { account: ALICE, role: v1::GroupRole::Admin.into(), list_version: 4 };
    v1::Roster {
        request: 16,
        group: group(),
        epoch: 3,
        devices_version: 4,
        members: vec![row],
        settings: Some(settings()),
    }
}

fn bundles() -> v1::Bundles {
    let device =
        v1::DeviceBundle { number: 2, one_time: counting(0xb0, 4), fallback: counting(0xb8, 4) };
    v1::Bundles {
        request: 8,
        account: BOB,
        handle: "bob".into(),
        account_key: counting(0, 32),
        list_version: 3,
        signed_list: counting(0xc0, 6),
        devices: vec![device],
        kt_proof: Bytes::new(),
    }
}

fn terms() -> v1::Terms {
    v1::Terms {
        request: 11,
        admission: v1::Admission::Invite.into(),
        frame_bytes_max: 65_535,
        mailbox_records_max: 10_000,
        mailbox_bytes_max: 32 * 1024 * 1024,
        expiry_days: 30,
    }
}
