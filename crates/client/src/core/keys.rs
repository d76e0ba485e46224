//! One-time and fallback keys: made here, durable here, then given to the server.

use godwit_base::limits::ONE_TIME_KEYS_LOW;
use godwit_seal::KeyUpload;
use godwit_wire::{ToServer, v1};

use super::Core;
use super::asking::Request;
use super::now::Now;

impl Core {
    /// Makes keys if few are left, and offers the server all that it does not have yet. The secret
    /// parts are in the same batch as the offer, and so durable before it leaves.
    pub(super) fn top_up(&mut self, left_on_server: u32, now: Now) {
        let now_ms = self.wall_ms(now);
        self.one_time_left = left_on_server;
        let left = usize::try_from(left_on_server).unwrap_or(usize::MAX);
        let is_low = left < ONE_TIME_KEYS_LOW;
        let made = is_low && self.me.keys.top_up(left) > 0;
        let rotated = self.me.keys.rotate_fallback(now_ms);
        let tidied = self.me.keys.tidy(now_ms);
        self.keys_changed |= made || rotated || tidied;
        let is_offered = self.requests.values().any(|r| matches!(r, Request::Publish(_)));
        if self.me.keys.is_published() || is_offered {
            return;
        }
        let upload = self.me.keys.upload();
        let keys = to_wire(&upload);
        let request = self.next_request(Request::Publish(upload));
        let publish = v1::PublishKeys { request, keys: Some(keys) };
        self.staged.messages.push(ToServer::PublishKeys(publish));
    }

    /// Somebody opened a session with us: the server has one key less.
    pub(super) fn one_time_key_used(&mut self, now: Now) {
        self.one_time_left = self.one_time_left.saturating_sub(1);
        let left = usize::try_from(self.one_time_left).unwrap_or(usize::MAX);
        if self.link.is_caught_up() && left < ONE_TIME_KEYS_LOW {
            self.top_up(self.one_time_left, now);
        }
    }

    /// The server has them.
    pub(super) fn on_keys_published(&mut self, published: &v1::KeysPublished) {
        if let Some(Request::Publish(upload)) = self.requests.remove(&published.request) {
            self.one_time_left = published.one_time_left;
            self.me.keys.mark_published(&upload);
            self.keys_changed = true;
        }
    }
}

/// Keys as the wire carries them.
pub(crate) fn to_wire(upload: &KeyUpload) -> v1::KeyUpload {
    let one_time =
        |(id, signed): &(u64, Vec<u8>)| v1::OneTimeKey { id: *id, signed: signed.clone().into() };
    v1::KeyUpload {
        one_time: upload.one_time.iter().map(one_time).collect(),
        fallback: upload.fallback.clone().unwrap_or_default().into(),
    }
}
