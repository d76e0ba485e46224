//! Making the account.

use godwit_base::{Handle, JoinLink};
use godwit_wire::{Refusal, ToServer, v1};

use super::asking::Request;
use super::keys::to_wire;
use super::link::SKEW_MS;
use super::now::Now;
use super::{Core, refusal_of};
use crate::Error;

impl Core {
    /// Asks for an account as soon as the link is up. Before one exists the handle and the server
    /// can be chosen anew.
    pub fn join(&mut self, link: &JoinLink, handle: &Handle, invite: Option<&str>) {
        if !self.me.home.joined {
            self.me.home.handle = handle.clone();
            self.me.home.host = link.host.clone();
            self.me.home.port = link.port;
            self.me.home.server_key = link.server_key;
            // A ticket shows that its issuer is there again, not that the owner of this key is.
            self.me.home.ticket = None;
            self.home_changed = true;
        }
        self.invite = invite.map(str::to_owned);
    }

    /// How the attempt to join ended, once it has.
    pub fn join_result(&self) -> Option<&Result<(), Error>> {
        self.join_result.as_ref()
    }

    /// Asks for the account. The same request again, after a lost answer, makes no second one.
    pub(super) fn register(&mut self, now: Now) {
        let now_ms = self.list_ms(now);
        if now_ms.abs_diff(self.me.list.issued_at_ms()) >= SKEW_MS && self.me.sign_first(now_ms) {
            // The keys are older than the wish to join, or were made by a clock that was wrong.
            self.list_changed = true;
        }
        let keys = to_wire(&self.me.keys.upload());
        let list = self.me.upload_of(&self.me.list);
        let register = v1::Register {
            request: self.next_request(Request::Register),
            handle: self.me.home.handle.as_str().to_owned(),
            invite: self.invite.clone().unwrap_or_default(),
            account_key: self.me.list.account_key().0.to_vec().into(),
            list,
            keys: Some(keys),
        };
        self.staged.messages.push(ToServer::Register(register));
    }

    /// The account exists.
    pub(super) fn on_registered(&mut self, registered: &v1::Registered) {
        if self.requests.remove(&registered.request).is_none() {
            return;
        }
        self.me.keys.mark_all_published(); // none is made between the request and this
        self.keys_changed = true;
        self.joined();
    }

    fn joined(&mut self) {
        self.me.home.joined = true;
        self.home_changed = true;
        self.join_result = Some(Ok(()));
        self.attach();
    }

    /// The link belongs to our account, but this home does not know that: the answer was lost.
    pub(super) fn ask_own_handle(&mut self) {
        let request = self.next_request(Request::OwnHandle);
        let who = Some(v1::fetch::Who::Account(self.me.device().account.0));
        let fetch = v1::Fetch { request, who, keys: false, devices: Vec::new() };
        self.staged.messages.push(ToServer::Fetch(fetch));
    }

    pub(super) fn on_own_handle(&mut self, bundles: &v1::Bundles) {
        match bundles.handle.parse::<Handle>() {
            Ok(handle) if handle == self.me.home.handle => self.joined(),
            Ok(handle) => {
                self.me.home.handle = handle.clone();
                self.joined();
                let (host, port) = self.server();
                let home = format!("the account at {host}:{port}");
                self.join_result = Some(Err(Error::AlreadyJoined { home, handle }));
            }
            Err(_) => self.stop_link("the server does not know this account's handle"),
        }
    }

    /// The server does not even take the link. Whoever asked to join is told and decides; the word of a
    /// refusal in the clear is worth no more than that.
    pub(super) fn link_refused_to_join(&mut self, code: u32, refusal: Option<Refusal>) {
        let (text, advice) = refusal.map_or(
            ("the server refused the link", "update this program, or ask the operator"),
            |refusal| (refusal.text(), refusal.advice()),
        );
        self.join_result = Some(Err(Error::Refused {
            code: u16::try_from(code).unwrap_or(u16::MAX),
            text: text.to_owned(),
            advice: advice.to_owned(),
        }));
    }

    /// The server does not make the account.
    pub(super) fn on_join_refused(&mut self, refused: &v1::Refused) {
        let refusal = refusal_of(refused).unwrap_or(Refusal::Internal);
        let error = Error::Refused {
            code: u16::try_from(refused.code).unwrap_or(u16::MAX),
            text: refusal.text().to_owned(),
            advice: refusal.advice().to_owned(),
        };
        self.join_result = Some(Err(error));
        self.stop_link(refusal.text());
    }
}
