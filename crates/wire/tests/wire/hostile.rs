//! Bytes that no right peer sends: a typed error, never a panic, never memory beyond the limits.

use bytes::Bytes;
use godwit_base::limits::{
    BODY_BYTES_MAX, DEVICES_MAX, GROUP_ENTRY_BYTES_MAX, GROUP_ID_BYTES, GROUP_MEMBERS_MAX,
    GROUP_READ_MARKS_MAX, HANDLE_BYTES_MAX, ONE_TIME_KEYS_MAX, RECIPIENTS_MAX,
};
use godwit_wire::frame::{self, PLAINTEXT_BYTES_MAX};
use godwit_wire::preface::{ClientPreface, ServerPreface};
use godwit_wire::{
    CLIENT_NAME_BYTES_MAX, Checked, Fault, Malformed, Refusal, ToClient, ToServer, decode, v1,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::any;

fn read(message: impl Into<ToServer>) -> Result<ToServer, Malformed> {
    let mut plaintext = Vec::new();
    message.into().encode_into(&mut plaintext);
    ToServer::decode_all(&plaintext[..]).next().unwrap()
}

fn refusal(message: impl Into<ToServer>) -> Option<Refusal> {
    read(message).err().map(|malformed| malformed.refusal())
}

fn submit(recipients: usize, copies: usize, body: usize) -> v1::Submit {
    let copy = v1::SealedCopy { device: 1, kind: 0, body: Bytes::from(vec![7; body]) };
    let recipient = v1::Recipient { account: 1, list_version: 1, copies: vec![copy; copies] };
    v1::Submit { counter: 1, recipients: vec![recipient; recipients], group: None }
}

fn post(id: usize, body: usize) -> v1::Submit {
    let (group, body) = (Bytes::from(vec![7; id]), Bytes::from(vec![7; body]));
    let group = v1::GroupPost { group, epoch: 1, devices_version: 1, body };
    v1::Submit { counter: 1, recipients: vec![], group: Some(group) }
}

fn change(members: usize, signed: usize) -> v1::GroupChange {
    let member = v1::GroupMember { account: u64::MAX, role: 2 };
    let settings =
        v1::GroupSettings { only_admins_write: true, invite_hash: Bytes::from(vec![7; 32]) };
    v1::GroupChange {
        request: u32::MAX,
        group: Bytes::from(vec![7; GROUP_ID_BYTES]),
        epoch: u64::MAX,
        signed: Bytes::from(vec![7; signed]),
        members: vec![member; members],
        settings: Some(settings),
        invite_secret: Bytes::from(vec![7; 32]),
    }
}

fn publish(one_time: usize) -> v1::PublishKeys {
    let key = v1::OneTimeKey { id: 1, signed: Bytes::from_static(b"k") };
    let keys = v1::KeyUpload { one_time: vec![key; one_time], fallback: Bytes::new() };
    v1::PublishKeys { request: 1, keys: Some(keys) }
}

fn fetch(handle: usize) -> v1::Fetch {
    let who = Some(v1::fetch::Who::Handle("a".repeat(handle)));
    v1::Fetch { request: 1, who, keys: false, devices: vec![] }
}

#[test]
fn a_submission_at_its_limits_and_one_beyond() {
    assert_eq!(refusal(submit(RECIPIENTS_MAX, 1, 1)), None);
    assert_eq!(refusal(submit(RECIPIENTS_MAX + 1, 1, 1)), Some(Refusal::TooManyRecipients));
    assert_eq!(refusal(submit(1, DEVICES_MAX, 1)), None);
    assert_eq!(refusal(submit(1, DEVICES_MAX + 1, 1)), Some(Refusal::Malformed));
    assert_eq!(refusal(submit(1, 1, BODY_BYTES_MAX)), None);
    assert_eq!(refusal(submit(1, 1, BODY_BYTES_MAX + 1)), Some(Refusal::BodyTooLarge));
    assert_eq!(refusal(submit(1, 1, 0)), Some(Refusal::Malformed));
}

#[test]
fn a_post_to_a_group_at_its_limits_and_one_beyond() {
    assert_eq!(refusal(post(GROUP_ID_BYTES, BODY_BYTES_MAX)), None);
    assert_eq!(refusal(post(GROUP_ID_BYTES, BODY_BYTES_MAX + 1)), Some(Refusal::BodyTooLarge));
    assert_eq!(refusal(post(GROUP_ID_BYTES - 1, 1)), Some(Refusal::Malformed));
    assert_eq!(refusal(post(GROUP_ID_BYTES + 1, 1)), Some(Refusal::Malformed));
    assert_eq!(refusal(change(GROUP_MEMBERS_MAX, 1)), None);
    assert_eq!(refusal(change(GROUP_MEMBERS_MAX + 1, 1)), Some(Refusal::Malformed));
}

/// Whoever makes a group of everybody says so in one frame, and whoever joins reads it in one.
#[test]
fn the_largest_change_of_a_group_fits_in_a_frame_and_so_do_the_answers() {
    let largest = ToServer::from(change(GROUP_MEMBERS_MAX, GROUP_ENTRY_BYTES_MAX));
    assert!(largest.encoded_len() <= PLAINTEXT_BYTES_MAX, "{}", largest.encoded_len());
    let group = Bytes::from(vec![7; GROUP_ID_BYTES]);
    let (request, account) = (u32::MAX, u64::MAX);
    let row = v1::RosterRow { account, role: 2, list_version: u64::MAX };
    let roster = v1::Roster {
        request,
        group,
        epoch: u64::MAX,
        devices_version: u64::MAX,
        members: vec![row; GROUP_MEMBERS_MAX],
        settings: Some(v1::GroupSettings::default()),
    };
    assert!(ToClient::from(roster).encoded_len() <= PLAINTEXT_BYTES_MAX);
    let reached =
        vec![v1::Reached { account, up_to: u64::MAX, read_up_to: u64::MAX }; GROUP_MEMBERS_MAX];
    let progress = ToClient::from(v1::Progress { request, reached });
    assert!(progress.encoded_len() <= PLAINTEXT_BYTES_MAX);
}

#[test]
fn what_was_read_at_its_limits_and_one_beyond() {
    let group = Bytes::from(vec![7; GROUP_ID_BYTES]);
    let mark = v1::PostRead { account: u64::MAX, device: u32::MAX, up_to: u64::MAX };
    let read =
        |marks| v1::GroupRead { request: u32::MAX, group: group.clone(), marks: vec![mark; marks] };
    assert_eq!(refusal(read(0)), Some(Refusal::Malformed));
    assert_eq!(refusal(read(GROUP_READ_MARKS_MAX)), None);
    assert_eq!(refusal(read(GROUP_READ_MARKS_MAX + 1)), Some(Refusal::Malformed));
    let whole = ToServer::from(read(GROUP_READ_MARKS_MAX)).encoded_len();
    assert_eq!(whole, 1_820, "1.8 KB, as the bound says");
}

#[test]
fn keys_and_texts_at_their_limits_and_one_beyond() {
    assert_eq!(refusal(publish(ONE_TIME_KEYS_MAX)), None);
    assert_eq!(refusal(publish(ONE_TIME_KEYS_MAX + 1)), Some(Refusal::KeyLimit));
    assert_eq!(refusal(fetch(HANDLE_BYTES_MAX)), None);
    assert_eq!(refusal(fetch(HANDLE_BYTES_MAX + 1)), Some(Refusal::Malformed));
    let hello = |length| v1::Hello { version: 1, features: 0, client: "a".repeat(length) };
    let read = |length| decode::<v1::Hello>(&godwit_wire::encode(&hello(length))[..]).is_ok();
    assert!(read(CLIENT_NAME_BYTES_MAX));
    assert!(!read(CLIENT_NAME_BYTES_MAX + 1));
}

#[test]
fn the_largest_body_fits_in_a_frame_with_its_routing() {
    assert!(ToServer::from(submit(1, 1, BODY_BYTES_MAX)).encoded_len() <= PLAINTEXT_BYTES_MAX);
}

/// 30,000 empty recipients in one frame would be megabytes once decoded.
#[test]
fn a_frame_full_of_empty_recipients_is_refused_by_count() {
    let empty = [0x12, 0x00].repeat(RECIPIENTS_MAX + 1);
    let error = decode::<v1::Submit>(&[&[0x08, 0x01], &empty[..]].concat()[..]).unwrap_err();
    assert_eq!((error.field, error.fault), ("recipients", Fault::TooMany));
}

/// Protobuf would merge the two lists into one of twice the size.
#[test]
fn a_message_that_may_be_there_once_is_not_merged() {
    let keys = godwit_wire::encode(&publish(ONE_TIME_KEYS_MAX));
    let twice = [&keys[..], &keys[..]].concat();
    let error = decode::<v1::PublishKeys>(&twice[..]).unwrap_err();
    assert_eq!((error.message, error.field, error.fault), ("PublishKeys", "keys", Fault::TooMany));
}

#[test]
fn text_is_utf8() {
    let hello = [&[0x08, 0x01, 0x1a, 0x02][..], &[0xc3, 0x28]].concat();
    assert_eq!(decode::<v1::Hello>(&hello[..]).unwrap_err().fault, Fault::Undecodable);
}

#[test]
fn unknown_messages_are_skipped_and_the_rest_is_read() {
    let mut plaintext = vec![0xa2, 0x7f, 0x03, 1, 2, 3]; // number 2,036
    ToServer::from(v1::Ack { up_to: 9 }).encode_into(&mut plaintext);
    plaintext.extend_from_slice(&[0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00]); // the largest number
    let read: Vec<_> = ToServer::decode_all(&plaintext[..]).collect();
    assert_eq!(read, [Ok(ToServer::Ack(v1::Ack { up_to: 9 }))]);
}

#[test]
fn nothing_is_read_after_a_broken_message() {
    let mut plaintext = Vec::new();
    ToServer::from(v1::Ack { up_to: 9 }).encode_into(&mut plaintext);
    ToServer::from(v1::Submit::default()).encode_into(&mut plaintext);
    ToServer::from(v1::Attach {}).encode_into(&mut plaintext);
    let read: Vec<_> = ToServer::decode_all(&plaintext[..]).collect();
    assert_eq!(read.len(), 2);
    assert!(read[0].is_ok() && read[1].is_err());
}

#[test]
fn a_message_is_a_length_and_so_many_bytes() {
    for (plaintext, fault) in [
        (&[0x08, 0x01][..], Fault::WrongType), // a number where a message belongs
        (&[0x0a], Fault::Truncated),
        (&[0x0a, 0x02, 0x00], Fault::Truncated),
        (&[0x02, 0x00], Fault::BadNumber),
    ] {
        let read: Vec<_> = ToServer::decode_all(plaintext).collect();
        assert_eq!(read, [Err(Malformed { message: "frame", field: "?", fault })]);
    }
}

#[test]
fn nothing_is_an_empty_frame() {
    assert!(ToServer::decode_all(&[][..]).next().is_none());
    assert!(ToClient::decode_all(Bytes::new()).next().is_none());
}

/// Reads `bytes` as everything that comes from a peer.
fn read_as_everything(bytes: &[u8]) {
    fn one<M: Checked>(bytes: &[u8]) {
        let _ = decode::<M>(bytes);
    }
    let shared = Bytes::copy_from_slice(bytes);
    assert_eq!(
        ToServer::decode_all(bytes).collect::<Vec<_>>(),
        ToServer::decode_all(shared.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        ToClient::decode_all(bytes).collect::<Vec<_>>(),
        ToClient::decode_all(shared).collect::<Vec<_>>()
    );
    one::<v1::Hello>(bytes);
    one::<v1::Welcome>(bytes);
    let _ = frame::decode_header(bytes);
    let _ = ClientPreface::parse(bytes);
    let _ = ServerPreface::parse(bytes);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic(
        message in any::to_server(),
        answer in any::to_client(),
        at: prop::sample::Index,
        flip in 1..=255_u8,
        cut: prop::sample::Index,
    ) {
        let mut plaintext = Vec::new();
        message.encode_into(&mut plaintext);
        answer.encode_into(&mut plaintext);
        let at = at.index(plaintext.len());
        plaintext[at] ^= flip;
        read_as_everything(&plaintext);
        plaintext.truncate(cut.index(plaintext.len()));
        read_as_everything(&plaintext);
    }

    #[test]
    fn what_is_read_is_read_again(bytes in vec(any::<u8>(), 0..60)) {
        for message in ToServer::decode_all(&bytes[..]).flatten() {
            prop_assert_eq!(read(message.clone()), Ok(message));
        }
    }
}
