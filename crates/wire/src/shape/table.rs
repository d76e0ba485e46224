//! The table. A test reads the schema and demands that each of its fields is here, with its type.

use godwit_base::limits::{
    BODY_BYTES_MAX, DEVICES_MAX, GROUP_ENTRY_BYTES_MAX, GROUP_ID_BYTES, GROUP_MEMBERS_MAX,
    GROUP_READ_MARKS_MAX, GROUP_RECEIPT_POSTS_MAX, GROUP_SECRET_BYTES, HANDLE_BYTES_MAX,
    ONE_TIME_KEYS_MAX, RECIPIENTS_MAX, SIGNED_KEY_BYTES_MAX, SIGNED_LIST_BYTES_MAX,
};

use super::{Field, Rule, Shape};
use crate::limits::{
    ACCOUNT_KEY_BYTES, CLIENT_NAME_BYTES_MAX, GROUP_LOG_PAGE_MAX, INVITE_BYTES_MAX,
    KT_PROOF_BYTES_MAX, LINK_KEY_BYTES, MEDIA_BLOB_BYTES, MEDIA_TICKET_BYTES_MAX, OPEN_CHATS_MAX,
    PASS_BYTES, REASON_BYTES_MAX, RELAY_BODY_BYTES_MAX, RELAY_MESSAGES_MAX, RENDEZVOUS_BYTES,
    REPORTED_MESSAGES_MAX, REPORTED_TEXT_BYTES_MAX, SIGNATURE_BYTES, WELCOME_TICKET_BYTES_MAX,
};

const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    assert!(fields.len() <= super::FIELDS_MAX, "the walk counts so many fields at most");
    Shape { name, fields }
}

const fn number(number: u32, name: &'static str, min: u64, max: u64) -> Field {
    Field { number, name, rule: Rule::Number { min, max } }
}

/// A u32, any value.
const fn n32(at: u32, name: &'static str) -> Field {
    number(at, name, 0, u32::MAX as u64)
}

/// A u32 that counts from 1: device and request numbers.
const fn from_one(at: u32, name: &'static str) -> Field {
    number(at, name, 1, u32::MAX as u64)
}

/// A u64, any value.
const fn n64(at: u32, name: &'static str) -> Field {
    number(at, name, 0, u64::MAX)
}

/// A u64 that counts from 1: message counters and list versions.
const fn from_one_64(at: u32, name: &'static str) -> Field {
    number(at, name, 1, u64::MAX)
}

/// An enum or a bool that has to fit in a byte; values unknown today are carried.
const fn n8(at: u32, name: &'static str) -> Field {
    number(at, name, 0, u8::MAX as u64)
}

const fn fixed64(number: u32, name: &'static str) -> Field {
    Field { number, name, rule: Rule::Fixed64 }
}

const fn bytes(number: u32, name: &'static str, min: usize, max: usize) -> Field {
    Field { number, name, rule: Rule::Bytes { min, max } }
}

const fn numbers(number: u32, name: &'static str, count_max: usize) -> Field {
    Field { number, name, rule: Rule::Numbers { count_max } }
}

const fn one(number: u32, name: &'static str, shape: &'static Shape) -> Field {
    many(number, name, 1, 1, shape)
}

const fn optional(number: u32, name: &'static str, shape: &'static Shape) -> Field {
    many(number, name, 0, 1, shape)
}

/// The id of a group.
const fn group(at: u32) -> Field {
    bytes(at, "group", GROUP_ID_BYTES, GROUP_ID_BYTES)
}

const fn many(
    number: u32,
    name: &'static str,
    count_min: usize,
    count_max: usize,
    shape: &'static Shape,
) -> Field {
    Field { number, name, rule: Rule::Messages { count_min, count_max, shape } }
}

pub(crate) static HELLO: Shape = shape(
    "Hello",
    &[n32(1, "version"), n64(2, "features"), bytes(3, "client", 0, CLIENT_NAME_BYTES_MAX)],
);

pub(crate) static WELCOME: Shape = shape(
    "Welcome",
    &[
        from_one(1, "version"),
        n64(2, "features"),
        n8(3, "standing"),
        fixed64(4, "account"),
        n32(5, "device"),
        n64(6, "time_ms"),
        n32(7, "keepalive_s"),
        bytes(8, "ticket", 0, WELCOME_TICKET_BYTES_MAX),
        n64(9, "ticket_expires_ms"),
        n64(10, "highest_counter"),
        n32(11, "keepalive_max_s"),
    ],
);

pub(crate) static ATTACH: Shape = shape("Attach", &[]);

pub(crate) static KEEPALIVE_INTERVAL: Shape = shape("KeepaliveInterval", &[from_one(1, "seconds")]);

pub(crate) static SUBMIT: Shape = shape(
    "Submit",
    &[
        from_one_64(1, "counter"),
        many(2, "recipients", 0, RECIPIENTS_MAX, &RECIPIENT),
        optional(3, "group", &GROUP_POST),
    ],
);

pub(crate) static GROUP_POST: Shape = shape(
    "GroupPost",
    &[
        group(1),
        from_one_64(2, "epoch"),
        n64(3, "devices_version"),
        bytes(4, "body", 0, BODY_BYTES_MAX),
    ],
);

pub(crate) static RECIPIENT: Shape = shape(
    "Recipient",
    &[
        fixed64(1, "account"),
        n64(2, "list_version"),
        many(3, "copies", 0, DEVICES_MAX, &SEALED_COPY),
    ],
);

pub(crate) static SEALED_COPY: Shape = shape(
    "SealedCopy",
    &[from_one(1, "device"), n8(2, "kind"), bytes(3, "body", 1, BODY_BYTES_MAX)],
);

pub(crate) static ACK: Shape = shape("Ack", &[fixed64(1, "up_to")]);

pub(crate) static REGISTER: Shape = shape(
    "Register",
    &[
        from_one(1, "request"),
        bytes(2, "handle", 1, HANDLE_BYTES_MAX),
        bytes(3, "invite", 0, INVITE_BYTES_MAX),
        bytes(4, "account_key", ACCOUNT_KEY_BYTES, ACCOUNT_KEY_BYTES),
        one(5, "list", &DEVICE_LIST_UPLOAD),
        one(6, "keys", &KEY_UPLOAD),
    ],
);

pub(crate) static DEVICE_LIST_UPLOAD: Shape = shape(
    "DeviceListUpload",
    &[
        from_one_64(1, "version"),
        many(2, "devices", 1, DEVICES_MAX, &DEVICE_ROW),
        bytes(3, "signed", 1, SIGNED_LIST_BYTES_MAX),
    ],
);

pub(crate) static DEVICE_ROW: Shape = shape(
    "DeviceRow",
    &[from_one(1, "number"), bytes(2, "link_key", LINK_KEY_BYTES, LINK_KEY_BYTES)],
);

pub(crate) static KEY_UPLOAD: Shape = shape(
    "KeyUpload",
    &[
        many(1, "one_time", 0, ONE_TIME_KEYS_MAX, &ONE_TIME_KEY),
        bytes(2, "fallback", 0, SIGNED_KEY_BYTES_MAX),
    ],
);

pub(crate) static ONE_TIME_KEY: Shape =
    shape("OneTimeKey", &[n64(1, "id"), bytes(2, "signed", 1, SIGNED_KEY_BYTES_MAX)]);

pub(crate) static REGISTERED: Shape =
    shape("Registered", &[from_one(1, "request"), fixed64(2, "account"), from_one(3, "device")]);

pub(crate) static FETCH: Shape = shape(
    "Fetch",
    &[
        from_one(1, "request"),
        bytes(2, "handle", 0, HANDLE_BYTES_MAX),
        fixed64(3, "account"),
        n8(4, "keys"),
        numbers(5, "devices", DEVICES_MAX),
    ],
);

pub(crate) static BUNDLES: Shape = shape(
    "Bundles",
    &[
        from_one(1, "request"),
        fixed64(2, "account"),
        bytes(3, "handle", 0, HANDLE_BYTES_MAX),
        bytes(4, "account_key", ACCOUNT_KEY_BYTES, ACCOUNT_KEY_BYTES),
        n64(5, "list_version"),
        bytes(6, "signed_list", 1, SIGNED_LIST_BYTES_MAX),
        many(7, "devices", 0, DEVICES_MAX, &DEVICE_BUNDLE),
        bytes(8, "kt_proof", 0, KT_PROOF_BYTES_MAX),
    ],
);

pub(crate) static DEVICE_BUNDLE: Shape = shape(
    "DeviceBundle",
    &[
        from_one(1, "number"),
        bytes(2, "one_time", 0, SIGNED_KEY_BYTES_MAX),
        bytes(3, "fallback", 0, SIGNED_KEY_BYTES_MAX),
    ],
);

pub(crate) static PUBLISH_KEYS: Shape =
    shape("PublishKeys", &[from_one(1, "request"), one(2, "keys", &KEY_UPLOAD)]);

pub(crate) static KEYS_PUBLISHED: Shape =
    shape("KeysPublished", &[from_one(1, "request"), n32(2, "one_time_left")]);

pub(crate) static PUBLISH_DEVICE_LIST: Shape = shape(
    "PublishDeviceList",
    &[
        from_one(1, "request"),
        one(2, "list", &DEVICE_LIST_UPLOAD),
        many(3, "first_keys", 0, DEVICES_MAX, &FIRST_KEYS),
    ],
);

pub(crate) static FIRST_KEYS: Shape =
    shape("FirstKeys", &[from_one(1, "device"), one(2, "keys", &KEY_UPLOAD)]);

pub(crate) static DEVICE_LIST_PUBLISHED: Shape =
    shape("DeviceListPublished", &[from_one(1, "request"), from_one_64(2, "version")]);

pub(crate) static RELAY: Shape = shape(
    "Relay",
    &[
        from_one(1, "request"),
        bytes(2, "rendezvous", RENDEZVOUS_BYTES, RENDEZVOUS_BYTES),
        number(3, "side", 1, 2),
        number(4, "sequence", 1, RELAY_MESSAGES_MAX as u64),
        bytes(5, "body", 0, RELAY_BODY_BYTES_MAX),
    ],
);

pub(crate) static RELAYED: Shape =
    shape("Relayed", &[from_one(1, "request"), bytes(2, "body", 0, RELAY_BODY_BYTES_MAX)]);

pub(crate) static CLAIM: Shape = shape(
    "Claim",
    &[
        from_one(1, "request"),
        bytes(2, "account_key", ACCOUNT_KEY_BYTES, ACCOUNT_KEY_BYTES),
        bytes(3, "signature", SIGNATURE_BYTES, SIGNATURE_BYTES),
    ],
);

pub(crate) static MEDIA_GRANT_REQUEST: Shape = shape(
    "MediaGrantRequest",
    &[
        from_one(1, "request"),
        n8(2, "direction"),
        bytes(3, "blob", MEDIA_BLOB_BYTES, MEDIA_BLOB_BYTES),
        n64(4, "bytes"),
        n32(5, "fetchers"),
    ],
);

pub(crate) static MEDIA_GRANT: Shape = shape(
    "MediaGrant",
    &[
        from_one(1, "request"),
        bytes(2, "ticket", 0, MEDIA_TICKET_BYTES_MAX),
        n64(3, "bytes"),
        n64(4, "offset"),
        n8(5, "already_there"),
        n64(6, "ticket_expires_ms"),
        n64(7, "blob_expires_ms"),
    ],
);

pub(crate) static MEDIA_FETCHED: Shape = shape(
    "MediaFetched",
    &[from_one(1, "request"), bytes(2, "blob", MEDIA_BLOB_BYTES, MEDIA_BLOB_BYTES)],
);

pub(crate) static MEDIA_NOTED: Shape = shape("MediaNoted", &[from_one(1, "request")]);

pub(crate) static TERMS_REQUEST: Shape = shape("TermsRequest", &[from_one(1, "request")]);

pub(crate) static TERMS: Shape = shape(
    "Terms",
    &[
        from_one(1, "request"),
        n8(2, "admission"),
        n32(3, "frame_bytes_max"),
        n32(4, "mailbox_records_max"),
        n64(5, "mailbox_bytes_max"),
        n32(6, "expiry_days"),
    ],
);

pub(crate) static ACCEPTED: Shape =
    shape("Accepted", &[from_one_64(1, "counter"), n64(2, "time_ms")]);

pub(crate) static REFUSED: Shape = shape(
    "Refused",
    &[
        n64(1, "counter"),
        n32(2, "request"),
        from_one(3, "code"),
        n32(4, "retry_after_ms"),
        many(5, "mismatches", 0, RECIPIENTS_MAX, &MISMATCH),
    ],
);

pub(crate) static MISMATCH: Shape = shape(
    "Mismatch",
    &[
        fixed64(1, "account"),
        n64(2, "list_version"),
        bytes(3, "signed_list", 0, SIGNED_LIST_BYTES_MAX),
        numbers(4, "missing", DEVICES_MAX),
        numbers(5, "extra", DEVICES_MAX),
    ],
);

pub(crate) static DELIVER: Shape = shape(
    "Deliver",
    &[
        fixed64(1, "seq"),
        fixed64(2, "account"),
        n32(3, "device"),
        n64(4, "counter"),
        n8(5, "kind"),
        bytes(6, "body", 1, BODY_BYTES_MAX),
        bytes(7, "group", 0, GROUP_ID_BYTES),
        n64(8, "epoch"),
    ],
);

pub(crate) static RECEIPT: Shape = shape(
    "Receipt",
    &[
        fixed64(1, "seq"),
        fixed64(2, "account"),
        n32(3, "device"),
        n64(4, "up_to"),
        from_one(5, "origin"),
    ],
);

pub(crate) static CAUGHT_UP: Shape = shape("CaughtUp", &[n32(1, "one_time_left")]);

pub(crate) static GOODBYE: Shape =
    shape("Goodbye", &[from_one(1, "code"), n32(2, "reconnect_after_ms")]);

pub(crate) static PRESENCE_SET: Shape =
    shape("PresenceSet", &[n8(1, "here"), n8(2, "visibility"), bytes(3, "pass", 0, PASS_BYTES)]);

pub(crate) static PRESENCE_WATCH: Shape =
    shape("PresenceWatch", &[many(1, "chats", 0, OPEN_CHATS_MAX, &OPEN_CHAT)]);

pub(crate) static OPEN_CHAT: Shape =
    shape("OpenChat", &[fixed64(1, "account"), bytes(2, "pass", 0, PASS_BYTES), n8(3, "typing")]);

pub(crate) static PRESENCE: Shape = shape(
    "Presence",
    &[fixed64(1, "account"), n8(2, "state"), n64(3, "last_seen_ms"), n8(4, "typing")],
);

pub(crate) static GROUP_CHANGE: Shape = shape(
    "GroupChange",
    &[
        from_one(1, "request"),
        group(2),
        from_one_64(3, "epoch"),
        bytes(4, "signed", 1, GROUP_ENTRY_BYTES_MAX),
        many(5, "members", 0, GROUP_MEMBERS_MAX, &GROUP_MEMBER),
        optional(6, "settings", &GROUP_SETTINGS),
        bytes(7, "invite_secret", 0, GROUP_SECRET_BYTES),
    ],
);

pub(crate) static GROUP_MEMBER: Shape =
    shape("GroupMember", &[fixed64(1, "account"), n8(2, "role")]);

pub(crate) static GROUP_SETTINGS: Shape = shape(
    "GroupSettings",
    &[n8(1, "only_admins_write"), bytes(2, "invite_hash", 0, GROUP_SECRET_BYTES)],
);

pub(crate) static GROUP_CHANGED: Shape =
    shape("GroupChanged", &[from_one(1, "request"), group(2), from_one_64(3, "epoch")]);

pub(crate) static GROUP_NEWS: Shape =
    shape("GroupNews", &[fixed64(1, "seq"), group(2), from_one_64(3, "epoch"), n8(4, "missed")]);

pub(crate) static GROUP_FETCH: Shape = shape(
    "GroupFetch",
    &[
        from_one(1, "request"),
        group(2),
        n64(3, "after_epoch"),
        bytes(4, "invite_secret", 0, GROUP_SECRET_BYTES),
    ],
);

pub(crate) static GROUP_LOG: Shape = shape(
    "GroupLog",
    &[
        from_one(1, "request"),
        group(2),
        from_one_64(3, "epoch"),
        many(4, "entries", 0, GROUP_LOG_PAGE_MAX, &GROUP_ENTRY),
    ],
);

pub(crate) static GROUP_ENTRY: Shape =
    shape("GroupEntry", &[from_one_64(1, "epoch"), bytes(2, "signed", 1, GROUP_ENTRY_BYTES_MAX)]);

pub(crate) static GROUP_ROSTER: Shape = shape("GroupRoster", &[from_one(1, "request"), group(2)]);

pub(crate) static ROSTER: Shape = shape(
    "Roster",
    &[
        from_one(1, "request"),
        group(2),
        from_one_64(3, "epoch"),
        n64(4, "devices_version"),
        many(5, "members", 1, GROUP_MEMBERS_MAX, &ROSTER_ROW),
        one(6, "settings", &GROUP_SETTINGS),
    ],
);

pub(crate) static ROSTER_ROW: Shape =
    shape("RosterRow", &[fixed64(1, "account"), n8(2, "role"), n64(3, "list_version")]);

pub(crate) static GROUP_RECEIPT: Shape = shape(
    "GroupReceipt",
    &[
        fixed64(1, "seq"),
        group(2),
        from_one(3, "origin"),
        many(4, "posts", 0, GROUP_RECEIPT_POSTS_MAX, &POST_REACH),
    ],
);

pub(crate) static POST_REACH: Shape =
    shape("PostReach", &[from_one_64(1, "counter"), from_one(2, "accounts"), n32(3, "readers")]);

pub(crate) static GROUP_PROGRESS: Shape = shape(
    "GroupProgress",
    &[from_one(1, "request"), group(2), from_one(3, "origin"), n64(4, "counter")],
);

pub(crate) static PROGRESS: Shape = shape(
    "Progress",
    &[from_one(1, "request"), many(2, "reached", 0, GROUP_MEMBERS_MAX, &REACHED)],
);

pub(crate) static REACHED: Shape =
    shape("Reached", &[fixed64(1, "account"), from_one_64(2, "up_to"), n64(3, "read_up_to")]);

pub(crate) static GROUP_READ: Shape = shape(
    "GroupRead",
    &[from_one(1, "request"), group(2), many(3, "marks", 1, GROUP_READ_MARKS_MAX, &POST_READ)],
);

pub(crate) static POST_READ: Shape =
    shape("PostRead", &[fixed64(1, "account"), from_one(2, "device"), from_one_64(3, "up_to")]);

pub(crate) static GROUP_READ_TAKEN: Shape = shape("GroupReadTaken", &[from_one(1, "request")]);

pub(crate) static REPORT: Shape = shape(
    "Report",
    &[
        from_one(1, "request"),
        fixed64(2, "account"),
        bytes(3, "reason", 0, REASON_BYTES_MAX),
        many(4, "messages", 0, REPORTED_MESSAGES_MAX, &REPORTED_MESSAGE),
    ],
);

pub(crate) static REPORTED_MESSAGE: Shape = shape(
    "ReportedMessage",
    &[
        n32(1, "device"),
        n64(2, "counter"),
        n64(3, "sent_at_ms"),
        bytes(4, "text", 0, REPORTED_TEXT_BYTES_MAX),
    ],
);

pub(crate) static REPORT_TAKEN: Shape = shape("ReportTaken", &[from_one(1, "request")]);
