//! Any valid message, for property tests.

use bytes::Bytes;
use godwit_base::limits::{DEVICES_MAX, GROUP_ID_BYTES, GROUP_READ_MARKS_MAX, HANDLE_BYTES_MAX};
use godwit_wire::{
    OPEN_CHATS_MAX, PASS_BYTES, REASON_BYTES_MAX, RELAY_MESSAGES_MAX, REPORTED_MESSAGES_MAX,
    REPORTED_TEXT_BYTES_MAX, ToClient, ToServer, WELCOME_TICKET_BYTES_MAX, v1,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn blob(bytes: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), bytes).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Bytes> {
    any::<[u8; 32]>().prop_map(|key| Bytes::copy_from_slice(&key))
}

fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[a-zæ0-9]{{1,{}}}", bytes_max / 2)).unwrap()
}

fn devices() -> impl Strategy<Value = Vec<u32>> {
    vec(1..=u32::MAX, 0..=DEVICES_MAX)
}

prop_compose! {
    fn copy()(device in 1..=u32::MAX, kind in 0..=255_i32, body in blob(1..300)) -> v1::SealedCopy {
        v1::SealedCopy { device, kind, body }
    }
}

prop_compose! {
    fn recipient()(account: u64, list_version: u64, copies in vec(copy(), 0..=DEVICES_MAX))
        -> v1::Recipient { v1::Recipient { account, list_version, copies } }
}

prop_compose! {
    fn submit()(
        counter in 1..=u64::MAX,
        recipients in vec(recipient(), 0..20),
        group in proptest::option::of(post()),
    ) -> v1::Submit { v1::Submit { counter, recipients, group } }
}

prop_compose! {
    fn one_time()(id: u64, signed in blob(1..200)) -> v1::OneTimeKey { v1::OneTimeKey { id, signed } }
}

prop_compose! {
    fn keys()(one_time in vec(one_time(), 0..=20), fallback in blob(0..200)) -> v1::KeyUpload {
        v1::KeyUpload { one_time, fallback }
    }
}

prop_compose! {
    fn row()(number in 1..=u32::MAX, link_key in key()) -> v1::DeviceRow {
        v1::DeviceRow { number, link_key }
    }
}

prop_compose! {
    fn list()(
        version in 1..=u64::MAX,
        devices in vec(row(), 1..=DEVICES_MAX),
        signed in blob(1..2_000),
    ) -> v1::DeviceListUpload { v1::DeviceListUpload { version, devices, signed } }
}

prop_compose! {
    fn first_keys()(device in 1..=u32::MAX, keys in keys()) -> v1::FirstKeys {
        v1::FirstKeys { device, keys: Some(keys) }
    }
}

prop_compose! {
    fn publish_list()(
        request in 1..=u32::MAX,
        list in list(),
        first_keys in vec(first_keys(), 0..=2),
    ) -> v1::PublishDeviceList {
        v1::PublishDeviceList { request, list: Some(list), first_keys }
    }
}

prop_compose! {
    fn register()(
        request in 1..=u32::MAX,
        handle in text(HANDLE_BYTES_MAX),
        invite in text(64),
        account_key in key(),
        list in list(),
        keys in keys(),
    ) -> v1::Register {
        v1::Register { request, handle, invite, account_key, list: Some(list), keys: Some(keys) }
    }
}

fn who() -> impl Strategy<Value = Option<v1::fetch::Who>> {
    prop_oneof![
        Just(None),
        text(HANDLE_BYTES_MAX).prop_map(|handle| Some(v1::fetch::Who::Handle(handle))),
        any::<u64>().prop_map(|account| Some(v1::fetch::Who::Account(account))),
    ]
}

prop_compose! {
    fn fetch()(request in 1..=u32::MAX, who in who(), keys: bool, devices in devices())
        -> v1::Fetch { v1::Fetch { request, keys, devices, who } }
}

prop_compose! {
    fn relay()(
        request in 1..=u32::MAX,
        rendezvous in blob(16..=16),
        side in 1..=2_i32,
        sequence in 1..=RELAY_MESSAGES_MAX,
        body in blob(0..300),
    ) -> v1::Relay { v1::Relay { request, rendezvous, side, sequence, body } }
}

prop_compose! {
    fn presence_set()(here: bool, visibility in 0..=255_i32, pass in blob(0..=PASS_BYTES))
        -> v1::PresenceSet { v1::PresenceSet { here, visibility, pass } }
}

prop_compose! {
    fn open_chat()(account: u64, pass in blob(0..=PASS_BYTES), typing: bool) -> v1::OpenChat {
        v1::OpenChat { account, pass, typing }
    }
}

prop_compose! {
    fn presence()(account: u64, state in 0..=255_i32, last_seen_ms: u64, typing: bool)
        -> v1::Presence { v1::Presence { account, state, last_seen_ms, typing } }
}

fn group() -> impl Strategy<Value = Bytes> {
    blob(GROUP_ID_BYTES..=GROUP_ID_BYTES)
}

prop_compose! {
    fn post()(group in group(), epoch in 1..=u64::MAX, devices_version: u64, body in blob(0..300))
        -> v1::GroupPost { v1::GroupPost { group, epoch, devices_version, body } }
}

prop_compose! {
    fn settings()(only_admins_write: bool, invite_hash in blob(0..=32)) -> v1::GroupSettings {
        v1::GroupSettings { only_admins_write, invite_hash }
    }
}

prop_compose! {
    fn member()(account: u64, role in 0..=255_i32) -> v1::GroupMember {
        v1::GroupMember { account, role }
    }
}

prop_compose! {
    fn group_change()(
        request in 1..=u32::MAX,
        group in group(),
        epoch in 1..=u64::MAX,
        signed in blob(1..300),
        members in vec(member(), 0..20),
        settings in proptest::option::of(settings()),
        invite_secret in blob(0..=32),
    ) -> v1::GroupChange {
        v1::GroupChange { request, group, epoch, signed, members, settings, invite_secret }
    }
}

prop_compose! {
    fn group_fetch()(
        request in 1..=u32::MAX, group in group(), after_epoch: u64, invite_secret in blob(0..=32),
    ) -> v1::GroupFetch { v1::GroupFetch { request, group, after_epoch, invite_secret } }
}

prop_compose! {
    fn group_progress()(
        request in 1..=u32::MAX, group in group(), origin in 1..=u32::MAX, counter: u64,
    ) -> v1::GroupProgress { v1::GroupProgress { request, group, origin, counter } }
}

prop_compose! {
    fn post_read()(account: u64, device in 1..=u32::MAX, up_to in 1..=u64::MAX) -> v1::PostRead {
        v1::PostRead { account, device, up_to }
    }
}

prop_compose! {
    fn group_read()(
        request in 1..=u32::MAX,
        group in group(),
        marks in vec(post_read(), 1..=GROUP_READ_MARKS_MAX),
    ) -> v1::GroupRead { v1::GroupRead { request, group, marks } }
}

prop_compose! {
    fn media_grant_request()(
        request in 1..=u32::MAX, direction in 0..=255_i32, blob in key(), bytes: u64, fetchers: u32,
    ) -> v1::MediaGrantRequest {
        v1::MediaGrantRequest { request, direction, blob, bytes, fetchers }
    }
}

prop_compose! {
    fn media_grant()(
        request in 1..=u32::MAX,
        ticket in blob(0..200),
        bytes: u64,
        offset: u64,
        already_there: bool,
        ticket_expires_ms: u64,
        blob_expires_ms: u64,
    ) -> v1::MediaGrant {
        v1::MediaGrant {
            request, ticket, bytes, offset, already_there, ticket_expires_ms, blob_expires_ms,
        }
    }
}

fn media_to_server() -> impl Strategy<Value = ToServer> {
    prop_oneof![
        media_grant_request().prop_map(ToServer::from),
        (1..=u32::MAX, key()).prop_map(|(request, blob)| v1::MediaFetched { request, blob }.into()),
    ]
}

fn media_to_client() -> impl Strategy<Value = ToClient> {
    prop_oneof![
        media_grant().prop_map(ToClient::from),
        (1..=u32::MAX).prop_map(|request| v1::MediaNoted { request }.into()),
    ]
}

prop_compose! {
    fn reported()(device: u32, counter: u64, sent_at_ms: u64, text in text(REPORTED_TEXT_BYTES_MAX))
        -> v1::ReportedMessage { v1::ReportedMessage { device, counter, sent_at_ms, text } }
}

prop_compose! {
    fn report()(
        request in 1..=u32::MAX,
        account: u64,
        reason in text(REASON_BYTES_MAX),
        messages in vec(reported(), 0..=REPORTED_MESSAGES_MAX),
    ) -> v1::Report { v1::Report { request, account, reason, messages } }
}

/// Any valid message of a device.
pub(crate) fn to_server() -> impl Strategy<Value = ToServer> {
    let request = 1..=u32::MAX;
    prop_oneof![
        Just(v1::Attach {}.into()),
        submit().prop_map(ToServer::from),
        media_to_server(),
        any::<u64>().prop_map(|up_to| v1::Ack { up_to }.into()),
        register().prop_map(ToServer::from),
        fetch().prop_map(ToServer::from),
        (request.clone(), keys()).prop_map(|(request, keys)| v1::PublishKeys {
            request,
            keys: Some(keys)
        }
        .into()),
        request.clone().prop_map(|request| v1::TermsRequest { request }.into()),
        publish_list().prop_map(ToServer::from),
        relay().prop_map(ToServer::from),
        (request.clone(), key(), blob(64..=64)).prop_map(|(request, account_key, signature)| {
            v1::Claim { request, account_key, signature }.into()
        }),
        presence_set().prop_map(ToServer::from),
        group_change().prop_map(ToServer::from),
        group_fetch().prop_map(ToServer::from),
        (request, group()).prop_map(|(request, group)| v1::GroupRoster { request, group }.into()),
        group_progress().prop_map(ToServer::from),
        group_read().prop_map(ToServer::from),
        vec(open_chat(), 0..=OPEN_CHATS_MAX).prop_map(|chats| v1::PresenceWatch { chats }.into()),
        report().prop_map(ToServer::from),
        (1..=u32::MAX).prop_map(|seconds| v1::KeepaliveInterval { seconds }.into()),
    ]
}

prop_compose! {
    fn mismatch()(
        account: u64,
        list_version: u64,
        signed_list in blob(0..500),
        missing in devices(),
        extra in devices(),
    ) -> v1::Mismatch { v1::Mismatch { account, list_version, signed_list, missing, extra } }
}

prop_compose! {
    fn refused()(
        counter: u64,
        request: u32,
        code in 1..=u32::MAX,
        retry_after_ms: u32,
        mismatches in vec(mismatch(), 0..10),
    ) -> v1::Refused { v1::Refused { counter, request, code, retry_after_ms, mismatches } }
}

prop_compose! {
    fn deliver()(
        seq: u64, account: u64, device: u32, counter: u64, kind in 0..=255_i32, body in blob(1..300),
        group in blob(0..=GROUP_ID_BYTES), epoch: u64,
    ) -> v1::Deliver { v1::Deliver { seq, account, device, counter, kind, body, group, epoch } }
}

prop_compose! {
    fn receipt()(seq: u64, account: u64, device: u32, up_to: u64, origin in 1..=u32::MAX)
        -> v1::Receipt { v1::Receipt { seq, account, device, up_to, origin } }
}

prop_compose! {
    fn bundle()(number in 1..=u32::MAX, one_time in blob(0..200), fallback in blob(0..200))
        -> v1::DeviceBundle { v1::DeviceBundle { number, one_time, fallback } }
}

prop_compose! {
    fn bundles()(
        request in 1..=u32::MAX,
        account: u64,
        handle in text(HANDLE_BYTES_MAX),
        account_key in key(),
        list_version: u64,
        signed_list in blob(1..2_000),
        devices in vec(bundle(), 0..=DEVICES_MAX),
        kt_proof in blob(0..100),
    ) -> v1::Bundles {
        v1::Bundles {
            request, account, handle, account_key, list_version, signed_list, devices, kt_proof,
        }
    }
}

prop_compose! {
    fn terms()(
        request in 1..=u32::MAX,
        admission in 0..=255_i32,
        frame_bytes_max: u32,
        mailbox_records_max: u32,
        mailbox_bytes_max: u64,
        expiry_days: u32,
    ) -> v1::Terms {
        v1::Terms {
            request, admission, frame_bytes_max, mailbox_records_max, mailbox_bytes_max, expiry_days,
        }
    }
}

prop_compose! {
    fn entry()(epoch in 1..=u64::MAX, signed in blob(1..300)) -> v1::GroupEntry {
        v1::GroupEntry { epoch, signed }
    }
}

prop_compose! {
    fn group_log()(
        request in 1..=u32::MAX,
        group in group(),
        epoch in 1..=u64::MAX,
        entries in vec(entry(), 0..20),
    ) -> v1::GroupLog { v1::GroupLog { request, group, epoch, entries } }
}

prop_compose! {
    fn roster_row()(account: u64, role in 0..=255_i32, list_version: u64) -> v1::RosterRow {
        v1::RosterRow { account, role, list_version }
    }
}

prop_compose! {
    fn roster()(
        request in 1..=u32::MAX,
        group in group(),
        epoch in 1..=u64::MAX,
        devices_version: u64,
        members in vec(roster_row(), 1..20),
        settings in settings(),
    ) -> v1::Roster {
        v1::Roster { request, group, epoch, devices_version, members, settings: Some(settings) }
    }
}

prop_compose! {
    fn news()(seq: u64, group in group(), epoch in 1..=u64::MAX, missed: bool) -> v1::GroupNews {
        v1::GroupNews { seq, group, epoch, missed }
    }
}

prop_compose! {
    fn reach()(counter in 1..=u64::MAX, accounts in 1..=u32::MAX, readers: u32) -> v1::PostReach {
        v1::PostReach { counter, accounts, readers }
    }
}

prop_compose! {
    fn group_receipt()(
        seq: u64, group in group(), origin in 1..=u32::MAX, posts in vec(reach(), 0..20),
    ) -> v1::GroupReceipt { v1::GroupReceipt { seq, group, origin, posts } }
}

prop_compose! {
    fn reached()(account: u64, up_to in 1..=u64::MAX, read_up_to: u64) -> v1::Reached {
        v1::Reached { account, up_to, read_up_to }
    }
}

/// Any valid message of the server about groups.
fn of_groups() -> impl Strategy<Value = ToClient> {
    let request = 1..=u32::MAX;
    prop_oneof![
        (request.clone(), group(), 1..=u64::MAX).prop_map(|(request, group, epoch)| {
            v1::GroupChanged { request, group, epoch }.into()
        }),
        news().prop_map(ToClient::from),
        group_log().prop_map(ToClient::from),
        roster().prop_map(ToClient::from),
        group_receipt().prop_map(ToClient::from),
        request.clone().prop_map(|request| v1::GroupReadTaken { request }.into()),
        (request, vec(reached(), 0..20)).prop_map(|(request, reached)| v1::Progress {
            request,
            reached
        }
        .into()),
    ]
}

/// Any valid message of the server.
pub(crate) fn to_client() -> impl Strategy<Value = ToClient> {
    let request = 1..=u32::MAX;
    prop_oneof![
        (1..=u64::MAX, any::<u64>()).prop_map(|(counter, time_ms)| v1::Accepted {
            counter,
            time_ms
        }
        .into()),
        refused().prop_map(ToClient::from),
        media_to_client(),
        deliver().prop_map(ToClient::from),
        receipt().prop_map(ToClient::from),
        any::<u32>().prop_map(|one_time_left| v1::CaughtUp { one_time_left }.into()),
        bundles().prop_map(ToClient::from),
        (request.clone(), any::<u64>(), 1..=u32::MAX).prop_map(|(request, account, device)| {
            v1::Registered { request, account, device }.into()
        }),
        (request.clone(), any::<u32>()).prop_map(|(request, one_time_left)| {
            v1::KeysPublished { request, one_time_left }.into()
        }),
        terms().prop_map(ToClient::from),
        (1..=u32::MAX, any::<u32>()).prop_map(|(code, reconnect_after_ms)| {
            v1::Goodbye { code, reconnect_after_ms }.into()
        }),
        (request.clone(), 1..=u64::MAX).prop_map(|(request, version)| v1::DeviceListPublished {
            request,
            version
        }
        .into()),
        (request.clone(), blob(0..300))
            .prop_map(|(request, body)| v1::Relayed { request, body }.into()),
        request.prop_map(|request| v1::ReportTaken { request }.into()),
        presence().prop_map(ToClient::from),
        of_groups(),
    ]
}

prop_compose! {
    /// Any valid hello.
    pub(crate) fn hello()(version: u32, features: u64, client in text(64)) -> v1::Hello {
        v1::Hello { version, features, client }
    }
}

prop_compose! {
    /// Any valid welcome.
    pub(crate) fn welcome()(
        version in 1..=u32::MAX,
        features: u64,
        standing in 0..=255_i32,
        account: u64,
        device: u32,
        time_ms: u64,
        keepalive_s: u32,
        ticket in blob(0..=WELCOME_TICKET_BYTES_MAX),
        ticket_expires_ms: u64,
        highest_counter: u64,
        keepalive_max_s: u32,
    ) -> v1::Welcome {
        v1::Welcome {
            version, features, standing, account, device, time_ms, keepalive_s, ticket,
            ticket_expires_ms, highest_counter, keepalive_max_s,
        }
    }
}
