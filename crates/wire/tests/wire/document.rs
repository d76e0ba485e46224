//! `docs/protocol.md` against the code: tables that a stranger builds a client from must be right.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits;
use godwit_wire::Refusal;
use protox::prost_reflect::DescriptorPool;

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

/// The rows of the first table under a heading, without its head, as trimmed cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    PROTOCOL
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn the_table_of_refusals_is_the_enum() {
    let expected: Vec<Vec<String>> = Refusal::ALL
        .iter()
        .map(|refusal| {
            let retry = if refusal.retryable() { "yes" } else { "no" };
            let number = refusal.number().to_string();
            [&number, refusal.name(), retry, refusal.text(), refusal.advice()]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    let lines: Vec<String> =
        expected.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    assert!(rows("## Refusals") == expected, "the table should be:\n{}", lines.join("\n"));
}

#[test]
fn the_table_of_messages_is_the_schema() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.open_file("godwit/v1/wire.proto").unwrap();
    let schema = compiler.descriptor_pool();
    let (to_server, to_client) = (spoken(&schema, "ToServer"), spoken(&schema, "ToClient"));
    let numbers: BTreeSet<u32> = to_server.keys().chain(to_client.keys()).copied().collect();
    let expected: Vec<Vec<String>> = numbers
        .iter()
        .map(|number| {
            let name = |names: &BTreeMap<u32, String>| {
                names.get(number).map_or("-", String::as_str).to_owned()
            };
            vec![number.to_string(), name(&to_server), name(&to_client)]
        })
        .collect();
    assert_eq!(rows("## Messages"), expected);
}

/// Names of the messages of one direction by their numbers; a number may belong to one direction alone.
fn spoken(schema: &DescriptorPool, direction: &str) -> BTreeMap<u32, String> {
    let direction = schema.get_message_by_name(&format!("godwit.v1.{direction}")).unwrap();
    let fields = direction
        .fields()
        .map(|field| (field.number(), field.kind().as_message().unwrap().name().to_owned()));
    fields.collect()
}

#[test]
fn the_table_of_limits_is_the_constants() {
    let expected = [
        ("handshake message, bytes", limits::HANDSHAKE_BYTES_MAX),
        ("frame: ciphertext with tag, bytes", limits::FRAME_BYTES_MAX),
        ("recipients of a submission", limits::RECIPIENTS_MAX),
        ("devices of an account, copies for one recipient", limits::DEVICES_MAX),
        ("sealed copy, bytes", limits::BODY_BYTES_MAX),
        ("signed key, bytes", limits::SIGNED_KEY_BYTES_MAX),
        ("signed device list, bytes", limits::SIGNED_LIST_BYTES_MAX),
        ("one-time keys of a device, and of one upload", limits::ONE_TIME_KEYS_MAX),
        ("members of a group", limits::GROUP_MEMBERS_MAX),
        ("groups of an account", limits::GROUPS_PER_ACCOUNT_MAX),
        ("signed entry of a group's log, bytes", limits::GROUP_ENTRY_BYTES_MAX),
        (
            "entries of a group's log, leaving apart",
            usize::try_from(limits::GROUP_LOG_ENTRIES_MAX).unwrap(),
        ),
        ("bytes of a group's log", usize::try_from(limits::GROUP_LOG_BYTES_MAX).unwrap()),
        ("authors of one GroupRead", limits::GROUP_READ_MARKS_MAX),
        ("handle, bytes", limits::HANDLE_BYTES_MAX),
        ("invite code, bytes", godwit_wire::INVITE_BYTES_MAX),
        ("client name in Hello, bytes", godwit_wire::CLIENT_NAME_BYTES_MAX),
        ("ticket with its key, bytes", godwit_wire::WELCOME_TICKET_BYTES_MAX),
        ("key transparency proof, bytes", godwit_wire::KT_PROOF_BYTES_MAX),
        ("ticket for a file, bytes", godwit_wire::MEDIA_TICKET_BYTES_MAX),
        ("message at a rendezvous, bytes", godwit_wire::RELAY_BODY_BYTES_MAX),
        (
            "messages of one side at a rendezvous",
            usize::try_from(godwit_wire::RELAY_MESSAGES_MAX).unwrap(),
        ),
        ("chats open at once", godwit_wire::OPEN_CHATS_MAX),
        ("pass of a contact, bytes", godwit_wire::PASS_BYTES),
        ("messages of a report", godwit_wire::REPORTED_MESSAGES_MAX),
        ("text of a reported message, bytes", godwit_wire::REPORTED_TEXT_BYTES_MAX),
        ("reason of a report, bytes", godwit_wire::REASON_BYTES_MAX),
        ("counters open at once", usize::try_from(limits::DEDUP_WINDOW).unwrap()),
        ("records of a mailbox", limits::MAILBOX_RECORDS_MAX),
        ("bytes of a mailbox", limits::MAILBOX_BYTES_MAX),
        (
            "days until an undelivered record is dropped",
            usize::try_from(limits::EXPIRY_DAYS).unwrap(),
        ),
    ]
    .map(|(name, value)| vec![name.to_owned(), value.to_string()]);
    assert_eq!(rows("## Limits"), expected);
}

/// The bytes that the table of costs says.
pub(crate) fn costs() -> Vec<usize> {
    rows("## What a text costs").iter().map(|row| row[1].parse().unwrap()).collect()
}
