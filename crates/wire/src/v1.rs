//! The messages of `proto/godwit/v1/wire.proto`, where each field is described.

#![allow(missing_docs, reason = "generated; the schema carries the words")]
#![allow(
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]

use std::fmt;

include!(concat!(env!("OUT_DIR"), "/godwit.v1.rs"));

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("version", &self.version)
            .field("features", &self.features)
            .field("standing", &self.standing())
            .field("account", &self.account)
            .field("device", &self.device)
            .field("time_ms", &self.time_ms)
            .field("keepalive_s", &self.keepalive_s)
            .field("ticket_expires_ms", &self.ticket_expires_ms)
            .field("highest_counter", &self.highest_counter)
            .field("keepalive_max_s", &self.keepalive_max_s)
            .finish_non_exhaustive() // the ticket carries its key
    }
}

impl fmt::Debug for MediaGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaGrant")
            .field("request", &self.request)
            .field("bytes", &self.bytes)
            .field("offset", &self.offset)
            .field("already_there", &self.already_there)
            .field("ticket_expires_ms", &self.ticket_expires_ms)
            .field("blob_expires_ms", &self.blob_expires_ms)
            .finish_non_exhaustive() // who has the ticket may use it
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register")
            .field("request", &self.request)
            .field("handle", &self.handle)
            .field("account_key", &self.account_key)
            .field("list", &self.list)
            .field("keys", &self.keys)
            .finish_non_exhaustive() // the invite is worth an account
    }
}

impl fmt::Debug for GroupChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupChange")
            .field("request", &self.request)
            .field("group", &self.group)
            .field("epoch", &self.epoch)
            .field("signed", &self.signed)
            .field("members", &self.members)
            .field("settings", &self.settings)
            .finish_non_exhaustive() // the secret opens the group to whoever has it
    }
}

impl fmt::Debug for GroupFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupFetch")
            .field("request", &self.request)
            .field("group", &self.group)
            .field("after_epoch", &self.after_epoch)
            .finish_non_exhaustive() // as above
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("request", &self.request)
            .field("account", &self.account)
            .field("messages", &self.messages)
            .finish_non_exhaustive() // the reason is what a person wrote
    }
}

impl fmt::Debug for ReportedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportedMessage")
            .field("device", &self.device)
            .field("counter", &self.counter)
            .field("sent_at_ms", &self.sent_at_ms)
            .finish_non_exhaustive() // the text is what a person wrote
    }
}
