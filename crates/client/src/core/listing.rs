//! Our own device list: signed anew every week, published, and compared with what the server shows.
//!
//! The next version is durable before it is offered, the same bytes are offered until the server has
//! them, and only then is it ours. What the server shows instead is believed as little as a contact's
//! list: the account's signature counts, versions go up.

use godwit_seal::{DeviceList, ListError, Trust, Verified};
use godwit_wire::{Refusal, ToServer, v1};

use super::asking::Request;
use super::now::Now;
use super::{Core, refusal_of};
use crate::WarningKind;

/// Pause before a list is offered again that the server holds to be out of order, 1 hour: by then it
/// was asked what it has.
const OFFER_AGAIN_MS: u64 = 3_600_000;

/// When a running client first asks which list the server has of it, 10 minutes: a command that sends
/// one message does not pay for it.
const CHECK_FIRST_MS: u64 = 600_000;

/// How often it asks then, and how long a list rests that the server refused for good: 1 day. A
/// server that was restored from a backup, or shows an old list, is found out within that time.
const CHECK_EVERY_MS: u64 = 24 * 3_600_000;

/// When to act, by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Listing {
    offer_at_ms: u64,
    check_at_ms: Option<u64>,
}

impl Listing {
    /// What waits is offered with the next batch.
    pub(super) fn offer_now(&mut self) {
        self.offer_at_ms = 0;
    }
}

impl Core {
    /// Signs, offers and compares what is due; nothing while an answer is awaited.
    pub(super) fn tend_list(&mut self, now: Now) {
        let is_awaited =
            |request: &Request| matches!(request, Request::PublishList(_) | Request::OwnList);
        if !self.link.is_caught_up() || self.requests.values().any(is_awaited) {
            return;
        }
        let check_at_ms = *self.listing.check_at_ms.get_or_insert(now.mono_ms + CHECK_FIRST_MS);
        if check_at_ms <= now.mono_ms {
            return self.ask_own_list(now);
        }
        if now.mono_ms < self.listing.offer_at_ms {
            return;
        }
        let now_ms = self.list_ms(now);
        let is_due = self.me.is_main() && self.me.list.is_renewal_due(now_ms);
        if self.me.next.is_none() && is_due {
            match self.me.sign_next(now_ms) {
                Ok(()) => self.list_changed = true,
                Err(error) => {
                    self.listing.offer_at_ms = now.mono_ms + CHECK_EVERY_MS;
                    self.warn_of_list(&format!("it cannot be signed anew: {error}"));
                }
            }
        }
        if let Some(next) = self.me.next.clone() {
            self.publish_list(&next);
        }
    }

    fn publish_list(&mut self, list: &DeviceList) {
        let Some(upload) = self.me.upload_of(list) else { return };
        let request = self.next_request(Request::PublishList(list.version()));
        let first_keys = self.me.first_keys_of(list);
        let publish = v1::PublishDeviceList { request, list: Some(upload), first_keys };
        self.staged.messages.push(ToServer::PublishDeviceList(publish));
    }

    /// The server has it.
    pub(super) fn on_list_published(&mut self, published: &v1::DeviceListPublished) {
        let request = self.requests.remove(&published.request);
        let Some(Request::PublishList(version)) = request else { return };
        if published.version == version
            && let Some(next) = self.me.next.take_if(|next| next.version() == version)
        {
            self.adopt(next);
        }
    }

    /// This is the account's list now; the other devices on it get copies.
    fn adopt(&mut self, list: Verified<DeviceList>) {
        self.home_changed |= self.me.adopt(list);
        self.list_changed = true;
        self.know_own_devices();
    }

    /// The server does not take it.
    pub(super) fn on_list_refused(&mut self, refused: &v1::Refused, now: Now) {
        let refusal = refusal_of(refused);
        match refusal {
            Some(Refusal::ListStale | Refusal::ListNotNext) => {
                self.listing.offer_at_ms = now.mono_ms + OFFER_AGAIN_MS;
                self.ask_own_list(now);
            }
            _ if refused.retry_after_ms > 0 => {
                self.listing.offer_at_ms = now.mono_ms + u64::from(refused.retry_after_ms);
            }
            _ => {
                self.listing.offer_at_ms = now.mono_ms + CHECK_EVERY_MS;
                let text =
                    refusal.map_or("a refusal that this version does not know", Refusal::text);
                self.warn_of_list(&format!("the server does not take it: {text}"));
            }
        }
    }

    fn ask_own_list(&mut self, now: Now) {
        self.listing.check_at_ms = Some(now.mono_ms + CHECK_EVERY_MS);
        let request = self.next_request(Request::OwnList);
        let who = Some(v1::fetch::Who::Account(self.me.device().account.0));
        let fetch = v1::Fetch { request, who, keys: false, devices: Vec::new() };
        self.staged.messages.push(ToServer::Fetch(fetch));
    }

    /// What the server has of us.
    pub(super) fn on_own_list(&mut self, signed: &[u8], now: Now) {
        if signed == self.me.list.signed() {
            return;
        }
        if let Some(next) = self.me.next.take_if(|next| signed == next.signed()) {
            return self.adopt(next); // it was taken, and the answer was lost
        }
        let trust = Trust::Pinned(self.me.list.account_key());
        match self.verify_list(signed, trust, Some(&self.me.list), now) {
            Ok(newer) => self.on_changed_elsewhere(newer),
            Err(ListError::Rollback { .. }) => self.on_old_own_list(signed, now),
            Err(error) => self.warn_of_list(&format!("the server shows another one: {error}")),
        }
    }

    /// Whoever signed it has the account's key, and the server knows no later one: go on from it.
    /// On a device without that key this is how it learns of its siblings.
    fn on_changed_elsewhere(&mut self, newer: Verified<DeviceList>) {
        let (version, devices) = (newer.version(), newer.numbers().count());
        let is_same = newer.numbers().eq(self.me.list.numbers());
        self.adopt(newer);
        self.listing.offer_at_ms = 0;
        if !self.me.is_main() {
            if !is_same {
                self.warn_of_list(&format!(
                    "the main device changed it to {devices} devices: `godwit devices` shows them"
                ));
            }
            return;
        }
        self.warn_of_list(&format!(
            "it was changed by another holder of the account key and has {devices} devices now, \
             version {version}: if that was not you, make a new account"
        ));
    }

    /// The server went back, by a backup or by intent. Our own is the next one if it missed just
    /// that; then what waits comes after it.
    fn on_old_own_list(&mut self, signed: &[u8], now: Now) {
        let mine = self.me.list.clone();
        let trust = Trust::Pinned(mine.account_key());
        match self.verify_list(signed, trust, None, now) {
            Ok(old)
                if old.version().checked_add(1) == Some(mine.version())
                    && self.me.upload_of(&mine).is_some() =>
            {
                self.listing.offer_at_ms = 0;
                self.publish_list(&mine);
            }
            Ok(old) => self.warn_of_list(&format!(
                "the server went back to version {} of it, from {}: tell its operator",
                old.version(),
                mine.version()
            )),
            Err(error) => self.warn_of_list(&format!("the server shows another one: {error}")),
        }
    }

    fn warn_of_list(&mut self, what: &str) {
        let text = format!("the device list of this account: {what}");
        self.warn(WarningKind::DeviceList, None, text);
    }
}
