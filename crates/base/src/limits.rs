//! Every bound that two crates must agree on, with its arithmetic. Bounds of one crate live there.

/// Longest handle, bytes: a display column, and short enough to index.
pub const HANDLE_BYTES_MAX: usize = 32;

/// Largest frame on the link, ciphertext bytes after the length prefix, tag included. 65,535 is the
/// largest Noise message, so any Noise library can speak to us; a worker's one read buffer holds a
/// whole frame; larger things (media) go by reference.
pub const FRAME_BYTES_MAX: usize = 65_535;

/// Largest handshake message, either way: 96 B of Noise, a ticket of at most 512 B and a small hello
/// or welcome. Nothing larger is buffered for somebody who has proven nothing.
pub const HANDSHAKE_BYTES_MAX: usize = 1_024;

/// Largest sealed copy in a submission. Leaves room in a frame for the routing header of its
/// recipient (64 B is ample) and the tag; a text of 48,000 bytes still fits after padding.
pub const BODY_BYTES_MAX: usize = 56 * 1024;

/// Largest body of a record in a mailbox: a sealed copy and, before it, the byte that says its kind.
pub const RECORD_BODY_BYTES_MAX: usize = 1 + BODY_BYTES_MAX;

/// Most recipients of one submission: the largest group.
pub const RECIPIENTS_MAX: usize = 1_024;

/// Most members of a group, the same number, since one submission reaches them all.
pub const GROUP_MEMBERS_MAX: usize = RECIPIENTS_MAX;

/// Largest signed entry of a group's membership log, 48 KiB: 1,024 account keys of 38 B in the first
/// one (38,912 B), the author's device list of at most 8 KiB, header and signature of 200 B. It goes
/// in one frame.
pub const GROUP_ENTRY_BYTES_MAX: usize = 48 * 1024;

/// Most devices an account.
pub const DEVICES_MAX: usize = 8;

/// Counters that a sending device may have unresolved at once: the server's de-duplication window
/// in bits. A client never submits a counter more than this above its oldest unresolved one.
pub const DEDUP_WINDOW: u64 = 128;

/// Records a mailbox holds: a month of a busy person's messages.
pub const MAILBOX_RECORDS_MAX: usize = 10_000;

/// Bytes of bodies a mailbox holds, 32 MB.
pub const MAILBOX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Days after which an undelivered record is dropped and the sender's tick stays single.
pub const EXPIRY_DAYS: u64 = 30;

/// One-time keys a device keeps on the server; it tops up below [`ONE_TIME_KEYS_LOW`].
pub const ONE_TIME_KEYS_MAX: usize = 100;

/// The client tops up when fewer than this many one-time keys are left.
pub const ONE_TIME_KEYS_LOW: usize = 30;

/// Largest signed key blob, bytes: 32 key + 64 signature + header, with room for a suite that adds
/// a 1,184-byte post-quantum key.
pub const SIGNED_KEY_BYTES_MAX: usize = 2_048;

/// Largest signed device list, bytes: 8 devices of under 256 B each, header and signature, and room.
pub const SIGNED_LIST_BYTES_MAX: usize = 8_192;

/// Seconds of quiet after which each side sends a keepalive, to start with. Most NATs drop a
/// mapping after 60 s or more.
pub const KEEPALIVE_S: u32 = 30;

/// Bytes of a group's id.
pub const GROUP_ID_BYTES: usize = 16;

/// Most groups an account is in: 1,000 records of group news are a tenth of a mailbox.
pub const GROUPS_PER_ACCOUNT_MAX: usize = 1_000;

/// Most entries of a membership log; members may leave beyond it. Thirty changes a day for a year.
pub const GROUP_LOG_ENTRIES_MAX: u64 = 10_000;

/// Most bytes of the entries of a membership log; members may leave beyond it. 10,000 entries of 800 B.
pub const GROUP_LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of the secret in a group's invite link, and of the hash of it that the server keeps.
pub const GROUP_SECRET_BYTES: usize = 32;

/// Posts that a group's receipt tells of: the newest ones.
pub const GROUP_RECEIPT_POSTS_MAX: usize = 32;

/// Authors of whom one request says what was read: as many as a long screen shows after a day away. 64
/// marks are 1.8 KB on the wire (28 B each), and 64 rows of reach of at most 29 KB to write.
pub const GROUP_READ_MARKS_MAX: usize = 64;
