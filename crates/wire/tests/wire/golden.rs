//! The bytes of every message, as `tests/golden.txt` froze them. They never change: a client of
//! last year must still be understood. A new message adds an entry.

use std::fmt::Write;

use godwit_wire::preface::{ClientPreface, ServerPreface};
use godwit_wire::{ToClient, ToServer, decode, encode, v1};

use crate::samples::{self, Sample};

const GOLDEN: &str = include_str!("../golden.txt");
const BYTES_A_LINE: usize = 24;

fn printed(sample: &Sample) -> String {
    let mut text = format!("{}: {}\n", sample.name, sample.says);
    for line in sample.bytes.chunks(BYTES_A_LINE) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "    {}", hex.join(" ")).unwrap();
    }
    text
}

/// The entries of the file: name and bytes.
fn frozen() -> Vec<(&'static str, Vec<u8>)> {
    let mut entries: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            None => entries.push((line.split_once(':').unwrap().0, Vec::new())),
            Some(hex) => {
                let bytes = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap());
                entries.last_mut().unwrap().1.extend(bytes);
            }
        }
    }
    entries
}

#[test]
fn every_message_has_the_bytes_that_were_frozen() {
    let (_, frozen) = GOLDEN.split_once("\n\n").unwrap(); // what the file says about itself
    let written = samples::all().iter().map(printed).collect::<Vec<_>>().join("\n");
    assert!(frozen == written, "the samples are written as:\n\n{written}");
}

#[test]
fn the_frozen_bytes_say_what_they_said() {
    let mut frozen = frozen().into_iter();
    let prefaces = 4;
    let welcomes =
        [samples::welcome(), samples::welcome_to_a_sender(), samples::welcome_that_lets_be_quiet()];
    for (name, bytes) in frozen.by_ref().take(prefaces) {
        let consumed = match name {
            "ClientPreface" => ClientPreface::parse(&bytes).unwrap().unwrap().consumed,
            _ => ServerPreface::parse(&bytes).unwrap().unwrap().consumed,
        };
        assert_eq!(consumed, bytes.len(), "{name}");
    }
    assert_eq!(decode::<v1::Hello>(&frozen.next().unwrap().1[..]), Ok(samples::hello()));
    for welcome in welcomes {
        assert_eq!(decode::<v1::Welcome>(&frozen.next().unwrap().1[..]), Ok(welcome));
    }
    for (_, message) in samples::to_server() {
        let (name, bytes) = frozen.next().unwrap();
        let read: Vec<_> = ToServer::decode_all(&bytes[..]).collect();
        assert_eq!(read, [Ok(message)], "{name}");
    }
    for (_, message) in samples::to_client() {
        let (name, bytes) = frozen.next().unwrap();
        let read: Vec<_> = ToClient::decode_all(&bytes[..]).collect();
        assert_eq!(read, [Ok(message)], "{name}");
    }
    assert!(frozen.next().is_none());
}

#[test]
fn no_message_of_the_schema_lacks_an_entry() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.open_file("godwit/v1/wire.proto").unwrap();
    let schema = compiler.descriptor_pool();
    let names: Vec<&str> = frozen().into_iter().map(|(name, _)| name).collect();
    let mut spoken = 0;
    for direction in ["godwit.v1.ToServer", "godwit.v1.ToClient"] {
        for field in schema.get_message_by_name(direction).unwrap().fields() {
            let message = field.kind().as_message().unwrap().name().to_owned();
            assert!(names.contains(&message.as_str()), "{message}");
            spoken += 1;
        }
    }
    assert!(spoken >= 32, "{spoken} messages in both directions");
}

/// What the code writes by number is what protobuf itself writes for the schema's `oneof`.
#[test]
fn a_message_in_a_frame_is_a_field_of_the_schemas_oneof() {
    use prost::Message;
    use v1::{to_client, to_server};

    let written = |message: &ToServer| {
        let mut out = Vec::new();
        message.encode_into(&mut out);
        out
    };
    for (_, message) in samples::to_server() {
        let oneof = match message.clone() {
            ToServer::Attach(m) => to_server::Message::Attach(m),
            ToServer::Submit(m) => to_server::Message::Submit(m),
            ToServer::Ack(m) => to_server::Message::Ack(m),
            ToServer::Register(m) => to_server::Message::Register(m),
            ToServer::Fetch(m) => to_server::Message::Fetch(m),
            ToServer::PublishKeys(m) => to_server::Message::PublishKeys(m),
            ToServer::Terms(m) => to_server::Message::Terms(m),
            ToServer::PublishDeviceList(m) => to_server::Message::PublishDeviceList(m),
            ToServer::MediaGrant(m) => to_server::Message::MediaGrant(m),
            ToServer::MediaFetched(m) => to_server::Message::MediaFetched(m),
            ToServer::Relay(m) => to_server::Message::Relay(m),
            ToServer::Claim(m) => to_server::Message::Claim(m),
            ToServer::PresenceSet(m) => to_server::Message::PresenceSet(m),
            ToServer::PresenceWatch(m) => to_server::Message::PresenceWatch(m),
            ToServer::GroupChange(m) => to_server::Message::GroupChange(m),
            ToServer::GroupFetch(m) => to_server::Message::GroupFetch(m),
            ToServer::GroupRoster(m) => to_server::Message::GroupRoster(m),
            ToServer::GroupProgress(m) => to_server::Message::GroupProgress(m),
            ToServer::Report(m) => to_server::Message::Report(m),
            ToServer::GroupRead(m) => to_server::Message::GroupRead(m),
            ToServer::KeepaliveInterval(m) => to_server::Message::KeepaliveInterval(m),
        };
        let whole = v1::ToServer { message: Some(oneof) };
        assert_eq!(written(&message), whole.encode_to_vec(), "{}", message.name());
    }
    for (_, message) in samples::to_client() {
        let oneof = match message.clone() {
            ToClient::Accepted(m) => to_client::Message::Accepted(m),
            ToClient::Refused(m) => to_client::Message::Refused(m),
            ToClient::Deliver(m) => to_client::Message::Deliver(m),
            ToClient::Receipt(m) => to_client::Message::Receipt(m),
            ToClient::CaughtUp(m) => to_client::Message::CaughtUp(m),
            ToClient::Bundles(m) => to_client::Message::Bundles(m),
            ToClient::Registered(m) => to_client::Message::Registered(m),
            ToClient::KeysPublished(m) => to_client::Message::KeysPublished(m),
            ToClient::Terms(m) => to_client::Message::Terms(m),
            ToClient::Goodbye(m) => to_client::Message::Goodbye(m),
            ToClient::DeviceListPublished(m) => to_client::Message::DeviceListPublished(m),
            ToClient::MediaGrant(m) => to_client::Message::MediaGrant(m),
            ToClient::MediaNoted(m) => to_client::Message::MediaNoted(m),
            ToClient::Relayed(m) => to_client::Message::Relayed(m),
            ToClient::Presence(m) => to_client::Message::Presence(m),
            ToClient::GroupChanged(m) => to_client::Message::GroupChanged(m),
            ToClient::GroupNews(m) => to_client::Message::GroupNews(m),
            ToClient::GroupLog(m) => to_client::Message::GroupLog(m),
            ToClient::Roster(m) => to_client::Message::Roster(m),
            ToClient::GroupReceipt(m) => to_client::Message::GroupReceipt(m),
            ToClient::Progress(m) => to_client::Message::Progress(m),
            ToClient::ReportTaken(m) => to_client::Message::ReportTaken(m),
            ToClient::GroupReadTaken(m) => to_client::Message::GroupReadTaken(m),
        };
        let mut out = Vec::new();
        message.encode_into(&mut out);
        let whole = v1::ToClient { message: Some(oneof) };
        assert_eq!(out, whole.encode_to_vec(), "{}", message.name());
    }
    assert_eq!(encode(&samples::hello()), samples::hello().encode_to_vec());
}
