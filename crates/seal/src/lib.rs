//! End-to-end encryption: the only code of Godwit that can see plaintext.
//!
//! Sans-I/O: bytes and the time come as arguments, results are values, state is plain values that
//! turn into sealed rows. Randomness comes from the operating system.
//!
//! How a message travels: [`DeviceList::verify`] and [`Bundle::verify`] turn what the server says
//! into [`Verified`] values; [`Pairing::start`] opens a session with a [`Verified`] bundle;
//! [`Pairing::seal`] and [`Pairing::open`] carry [`Inner`] messages. Nothing unverified reaches a
//! session. [`RowKey`] seals what is stored; [`Sealer`] and [`Opener`] carry files. A [`Group`] is the
//! same for many: only entries of its log that were verified make one. [`LinkOffer`] and
//! [`LinkApproval`] bring a new device to an account; [`AccountKey::to_words`] is what brings the
//! account back when all devices are lost.

mod account;
mod attachment;
mod bundle;
mod device;
mod error;
mod format;
mod group;
mod inner;
mod linking;
mod list;
mod padding;
mod pairing;
mod recovery;
mod retry;
mod row;
mod safety;
mod suite;
mod verified;

pub use account::{AccountKey, AccountPublic};
pub use attachment::{
    ATTACHMENT_BYTES_MAX, AttachmentError, CHUNK_BYTES, DIGEST_BYTES, FileDigest, FileKey, Opener,
    PIECE_BYTES_MAX, Pointer, Sealer, sealed_bytes,
};
pub use bundle::{Bundle, BundleError};
pub use device::{DeviceKeys, FALLBACK_KEEP_MS, FALLBACK_ROTATE_MS, KeyUpload};
pub use error::{OpenError, SealError};
pub use group::{
    Applied, Change, Group, GroupError, GroupHint, GroupProfile, GroupSecret, GroupShare, HeardKey,
    InviteOffer, InviteSecret, Member, NAME_BYTES_MAX, PAST_EPOCHS_MAX, PICTURE_BYTES_MAX, Place,
    SENDER_KEY_AGE_MAX_MS, SENDER_KEY_INDEX_MAX, SENDER_KEY_MESSAGES_MAX, SENDER_KEY_WINDOW,
    SealedProfile, SenderKey, SenderKeyId, ShareError,
};
pub use inner::{INNER_BODY_BYTES_MAX, Inner};
pub use linking::{
    CheckDigits, LinkApproval, LinkCandidate, LinkCode, LinkError, LinkJoining, LinkOffer, Linked,
    Present, RENDEZVOUS_BYTES,
};
pub use list::{
    DeviceEntry, DeviceList, FORMER_KEEP_MS, FORMER_MAX, LIST_AGE_MAX_MS, LIST_AHEAD_MAX_MS,
    LIST_RENEW_MS, ListError, Peer, Trust,
};
pub use pairing::{
    BURST_MAX, Envelope, FALLBACK_SESSIONS_MAX, Opened, Pairing, SESSION_KEEP_MS, SESSIONS_MAX,
    Sealed, SessionId,
};
pub use recovery::{RECOVERY_WORDS, WordsError};
pub use retry::{
    REPAIR_INTERVAL_MS, RESEND_AGE_MAX_MS, RETRY_MAX, RetryDecision, RetryMalformed, RetryRefusal,
    RetryRequest, SentTo,
};
pub use row::{ROW_OVERHEAD_BYTES, RowError, RowKey};
pub use safety::{QrMatch, SafetyNumber, Side};
pub use suite::SUITE;
pub use verified::Verified;
