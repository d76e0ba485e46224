//! Bounds that only the wire knows; those that other crates share are in `godwit_base::limits`.

/// Bytes of an account identity key, Ed25519.
pub const ACCOUNT_KEY_BYTES: usize = 32;

/// Bytes of a device's link key, X25519.
pub const LINK_KEY_BYTES: usize = 32;

/// Bytes of an account key's signature, Ed25519.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a rendezvous: as random as a key, so that nobody finds the place who was not told.
pub const RENDEZVOUS_BYTES: usize = 16;

/// Messages that each side may leave at a rendezvous. Linking takes two.
pub const RELAY_MESSAGES_MAX: u32 = 4;

/// Largest message at a rendezvous: a device list of 8 KiB, and 4 for what is said and sealed
/// around it. All of both sides are 96 KiB.
pub const RELAY_BODY_BYTES_MAX: usize = 12 * 1024;

/// Longest name and version of a client program, for statistics only.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Longest invite code: 16 random bytes are 26 characters in base32, and room for groups and dashes.
pub const INVITE_BYTES_MAX: usize = 64;

/// Largest resumption ticket in a welcome: its key of 32 bytes and 512 for what the server sealed,
/// which has 112 bytes today. The welcome still fits in a handshake message.
pub const WELCOME_TICKET_BYTES_MAX: usize = 32 + 512;

/// Chats that one device may have open at once; one is the common case, and a wide screen shows a few.
/// 32 are one word of marks in a session.
pub const OPEN_CHATS_MAX: usize = 32;

/// Bytes of a pass, by which a contact shows that it is one: 128 random bits.
pub const PASS_BYTES: usize = 16;

/// Bytes of a file's name: the SHA-256 of its ciphertext.
pub const MEDIA_BLOB_BYTES: usize = 32;

/// Largest ticket for a file; this server's has 90 bytes. In base64 it is a short header.
pub const MEDIA_TICKET_BYTES_MAX: usize = 512;

/// Largest key transparency proof: 2 x 64 hashes of 32 bytes and their frame. Reserved, empty today.
pub const KT_PROOF_BYTES_MAX: usize = 8 * 1024;

/// Entries in one answer with a group's membership log. With 60 KB of them small ones come 120 at once.
pub const GROUP_LOG_PAGE_MAX: usize = 256;

/// Messages of one report: enough to show what happens in a chat.
pub const REPORTED_MESSAGES_MAX: usize = 20;

/// Longest text of a reported message; a longer one is cut. 20 of them, 40 KiB, go in one frame.
pub const REPORTED_TEXT_BYTES_MAX: usize = 2_048;

/// Longest reason of a report.
pub const REASON_BYTES_MAX: usize = 512;
