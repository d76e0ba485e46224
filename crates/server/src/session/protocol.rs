//! What a session answers to what it hears: the pure machine. No socket, no clock, no store: a
//! message goes in, one effect comes out.

mod carried;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Seq, invariant};
use godwit_store::{
    Entry, GroupPost, Mismatch, Outcome, PostReach, Recipient, Record, SealedCopy, Submission,
    Token,
};
use godwit_wire::frame::PLAINTEXT_BYTES_MAX;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::groups::group_id;
use super::refusals::Refusals;
use crate::appointments::Hours;
use crate::rate::{Meter, Rate};
use crate::seat::IN_FLIGHT_MAX;

/// Requests of one session that wait for the store. A group of 32 is fetched in one go.
pub(super) const REQUESTS_MAX: u8 = 32;

/// When to try again after a full queue: the store commits every few milliseconds.
pub(crate) const BUSY_MS: u32 = 100;
/// When sessions may submit again that found the store's queue full. Each comes with at most 128
/// submissions, so one a millisecond is 128,000 a second, about what the store does at best; were all told
/// 100 ms, a thousand of them would ask for ten times that and the server would be busy with refusals. At
/// five seconds 4,900 have times of their own, and a person looks at the clock.
pub(crate) const SUBMIT_AGAIN: Hours = Hours { first_ms: BUSY_MS, gap_us: 1_000, last_ms: 5_000 };
/// When to try again while a part restarts.
pub(crate) const UNAVAILABLE_MS: u32 = 1_000;
/// When to try again with receipts piled up: they are drained page by page meanwhile.
pub(super) const RECEIPTS_MS: u32 = 1_000;
/// When to try again after a full disk: a person has to act.
pub(crate) const DISK_FULL_MS: u32 = 5_000;

/// Mismatches of one refusal are cut here, so that it fits in a frame; the client mends those and
/// learns of the rest at its next try.
const MISMATCH_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX / 2;

/// Who speaks on this link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nobody known: may register. Boxed, because devices need not carry it.
    Stranger(Box<Stranger>),
    /// A device, by its link key.
    Device(DeviceId),
    /// A device that took its mailbox on this link.
    Attached(DeviceId),
    /// A device that was removed from its account.
    Revoked,
}

/// What a registration needs to know of a link that belongs to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stranger {
    /// The key that the handshake proved.
    pub(crate) link_key: [u8; 32],
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// The account whose key it showed to have on this link.
    pub(crate) claims: Option<AccountId>,
}

impl Stranger {
    /// Nobody that we know.
    pub(crate) fn new(link_key: [u8; 32], address: IpAddr) -> Self {
        Self { link_key, address, claims: None }
    }
}

/// What the session has to do next.
#[derive(Debug)]
pub(super) enum Effect {
    Nothing,
    Say(ToClient),
    /// Hand this to the store.
    Submit(Submission),
    /// Let the store delete up to here.
    Acknowledge(DeviceId, Seq),
    /// Take the device's mailbox.
    Attach(DeviceId),
    /// Let the store answer.
    Ask(Request),
    /// The device tells of itself, or which chats are open; nobody answers.
    Present(DeviceId, v1::PresenceSet),
    Watch(DeviceId, v1::PresenceWatch),
    /// The client is quiet for up to so many seconds.
    QuietFor(u32),
    /// Say goodbye and close.
    Close(Refusal),
}

/// What takes the store a while to answer.
#[derive(Debug)]
pub(super) enum Request {
    Register(Stranger, v1::Register),
    Fetch(DeviceId, v1::Fetch),
    PublishKeys(DeviceId, v1::PublishKeys),
    PublishList(DeviceId, v1::PublishDeviceList),
    /// The stranger claims that account.
    Recover(Stranger, AccountId, v1::PublishDeviceList),
    Relay(Asker, v1::Relay),
    Claim(Stranger, v1::Claim),
    GroupChange(DeviceId, v1::GroupChange),
    GroupFetch(DeviceId, v1::GroupFetch),
    GroupRoster(DeviceId, v1::GroupRoster),
    GroupProgress(DeviceId, v1::GroupProgress),
    GroupRead(DeviceId, v1::GroupRead),
    MediaGrant(DeviceId, v1::MediaGrantRequest),
    MediaFetched(DeviceId, v1::MediaFetched),
    Terms(v1::TermsRequest),
    Report(DeviceId, v1::Report),
}

/// Whose rate a request takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Device(DeviceId),
    Address(IpAddr),
}

/// State of the conversation.
#[derive(Debug)]
pub(super) struct Machine {
    peer: Peer,
    /// Newest record that was written to the device on this link.
    last_sent: Seq,
    refusals: Refusals,
    submitted: Meter,
    in_flight: u16,
    requests: u8,
    /// The device was told that its mailbox is drained.
    caught_up: bool,
}

impl Machine {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            last_sent: Seq::ZERO,
            refusals: Refusals::default(),
            submitted: Meter::default(),
            in_flight: 0,
            requests: 0,
            caught_up: false,
        }
    }

    /// The device, once the link is known to be one's.
    pub(super) fn device(&self) -> Option<DeviceId> {
        match self.peer {
            Peer::Device(device) | Peer::Attached(device) => Some(device),
            Peer::Stranger(_) | Peer::Revoked => None,
        }
    }

    pub(super) fn last_sent(&self) -> Seq {
        self.last_sent
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    pub(super) fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// The counter from which on everything is refused, and in how many milliseconds it may come again.
    pub(super) fn refused_from(&self, now_ns: u64) -> Option<(u64, u64)> {
        self.refusals.from(now_ns)
    }

    /// The device that is about to submit for the first time on this link, if it is.
    pub(super) fn begins_to_submit(&self, message: &ToServer) -> Option<DeviceId> {
        let is_first = self.submitted.is_new() && matches!(message, ToServer::Submit(_));
        self.device().filter(|_| is_first)
    }

    /// What its device may submit on this link, if it used some of it on another one.
    pub(super) fn goes_on_from(&mut self, submitted: Meter) {
        self.submitted = submitted;
    }

    /// A message from the device.
    pub(super) fn hears(
        &mut self,
        message: ToServer,
        token: Token,
        rate: Rate,
        now_ns: u64,
    ) -> Effect {
        match message {
            ToServer::Terms(terms) => self.ask(terms.request, Request::Terms(terms)),
            _ if self.peer == Peer::Revoked => Effect::Close(Refusal::DeviceRevoked),
            ToServer::Attach(v1::Attach {}) => self.attach(),
            ToServer::Submit(submit) => self.submit(&submit, token, rate, now_ns),
            ToServer::Ack(ack) => match self.peer {
                // No device has what was not sent to it: its sender would be told that it has (M2, M5).
                Peer::Attached(device) => {
                    Effect::Acknowledge(device, Seq(ack.up_to).min(self.last_sent))
                }
                _ => Effect::Close(Refusal::NotAttached),
            },
            ToServer::Register(register) => match &self.peer {
                Peer::Stranger(who) => {
                    let who = Stranger::clone(who);
                    self.ask(register.request, Request::Register(who, register))
                }
                _ => refuse_request(register.request, Refusal::AlreadyRegistered, 0),
            },
            ToServer::Fetch(fetch) => match self.device() {
                Some(device) => self.ask(fetch.request, Request::Fetch(device, fetch)),
                None => refuse_request(fetch.request, Refusal::NotRegistered, 0),
            },
            ToServer::PublishKeys(keys) => match self.device() {
                Some(device) => self.ask(keys.request, Request::PublishKeys(device, keys)),
                None => refuse_request(keys.request, Refusal::NotRegistered, 0),
            },
            ToServer::PublishDeviceList(list) => self.publish_list(list),
            ToServer::Relay(relay) => match self.asker() {
                Some(asker) => self.ask(relay.request, Request::Relay(asker, relay)),
                None => refuse_request(relay.request, Refusal::NotRegistered, 0),
            },
            ToServer::Claim(claim) => match &self.peer {
                Peer::Stranger(who) => {
                    let who = Stranger::clone(who);
                    self.ask(claim.request, Request::Claim(who, claim))
                }
                _ => refuse_request(claim.request, Refusal::AlreadyRegistered, 0),
            },
            ToServer::PresenceSet(set) => match self.peer {
                Peer::Attached(device) => Effect::Present(device, set),
                _ => Effect::Close(Refusal::NotAttached),
            },
            ToServer::PresenceWatch(watch) => match self.peer {
                Peer::Attached(device) => Effect::Watch(device, watch),
                _ => Effect::Close(Refusal::NotAttached),
            },
            ToServer::MediaGrant(media) => match self.device() {
                Some(device) => self.ask(media.request, Request::MediaGrant(device, media)),
                None => refuse_request(media.request, Refusal::NotRegistered, 0),
            },
            ToServer::MediaFetched(media) => match self.device() {
                Some(device) => self.ask(media.request, Request::MediaFetched(device, media)),
                None => refuse_request(media.request, Refusal::NotRegistered, 0),
            },
            ToServer::GroupChange(change) => {
                self.ask_as_device(change.request, |device| Request::GroupChange(device, change))
            }
            ToServer::GroupFetch(fetch) => {
                self.ask_as_device(fetch.request, |device| Request::GroupFetch(device, fetch))
            }
            ToServer::GroupRoster(ask) => {
                self.ask_as_device(ask.request, |device| Request::GroupRoster(device, ask))
            }
            ToServer::GroupProgress(ask) => {
                self.ask_as_device(ask.request, |device| Request::GroupProgress(device, ask))
            }
            ToServer::GroupRead(read) => {
                self.ask_as_device(read.request, |device| Request::GroupRead(device, read))
            }
            ToServer::KeepaliveInterval(interval) => Effect::QuietFor(interval.seconds),
            ToServer::Report(report) => match self.device() {
                Some(device) => self.ask(report.request, Request::Report(device, report)),
                None => refuse_request(report.request, Refusal::NotRegistered, 0),
            },
        }
    }

    fn attach(&mut self) -> Effect {
        match self.peer {
            Peer::Device(device) => {
                self.peer = Peer::Attached(device);
                Effect::Attach(device)
            }
            Peer::Attached(_) => Effect::Nothing,
            Peer::Stranger(_) | Peer::Revoked => Effect::Close(Refusal::NotRegistered),
        }
    }

    fn publish_list(&mut self, list: v1::PublishDeviceList) -> Effect {
        let number = list.request;
        let request = match &self.peer {
            Peer::Device(device) | Peer::Attached(device) => Request::PublishList(*device, list),
            Peer::Stranger(who) => match who.claims {
                Some(account) => Request::Recover(Stranger::clone(who), account, list),
                None => return refuse_request(number, Refusal::NotRegistered, 0),
            },
            Peer::Revoked => return refuse_request(number, Refusal::NotRegistered, 0),
        };
        self.ask(number, request)
    }

    /// A request that waited in another process goes on.
    pub(super) fn asks_again(&mut self, relay: v1::Relay) -> Option<Request> {
        let asker = self.asker().filter(|_| self.requests < REQUESTS_MAX)?;
        self.requests += 1;
        Some(Request::Relay(asker, relay))
    }

    /// Who asks, by what the server can tell it from others.
    fn asker(&self) -> Option<Asker> {
        match &self.peer {
            Peer::Device(device) | Peer::Attached(device) => Some(Asker::Device(*device)),
            Peer::Stranger(who) => Some(Asker::Address(who.address)),
            Peer::Revoked => None,
        }
    }

    fn ask(&mut self, number: u32, request: Request) -> Effect {
        if self.requests >= REQUESTS_MAX {
            return refuse_request(number, Refusal::Busy, BUSY_MS);
        }
        self.requests += 1;
        Effect::Ask(request)
    }

    /// Asks the store something that only a device may.
    fn ask_as_device(&mut self, number: u32, request: impl FnOnce(DeviceId) -> Request) -> Effect {
        match self.device() {
            Some(device) => self.ask(number, request(device)),
            None => refuse_request(number, Refusal::NotRegistered, 0),
        }
    }

    fn submit(&mut self, submit: &v1::Submit, token: Token, rate: Rate, now_ns: u64) -> Effect {
        let counter = submit.counter;
        if submit.recipients.is_empty() && submit.group.as_ref().is_none_or(|to| to.body.is_empty())
        {
            return Effect::Close(Refusal::Malformed); // for nobody
        }
        let origin = match self.peer {
            Peer::Attached(device) => device,
            Peer::Device(_) => return refuse(counter, Refusal::NotAttached, 0),
            Peer::Stranger(_) | Peer::Revoked => return refuse(counter, Refusal::NotRegistered, 0),
        };
        if let Some(wait_ms) = self.refusals.hold_up(counter, now_ns) {
            return refuse(counter, Refusal::AfterRefusal, wait_ms);
        }
        if self.in_flight >= IN_FLIGHT_MAX {
            return Effect::Say(self.refuse_for_now(counter, Refusal::Busy, BUSY_MS, now_ns));
        }
        let copies: usize = submit.recipients.iter().map(|to| to.copies.len()).sum();
        let cost = u32::try_from(copies).unwrap_or(u32::MAX).max(1);
        if let Err(wait_ms) = self.submitted.take_many(cost, rate, now_ns) {
            return Effect::Say(self.refuse_for_now(
                counter,
                Refusal::RateLimited,
                wait_ms,
                now_ns,
            ));
        }
        self.refusals.end(counter);
        self.in_flight += 1;
        let recipients = submit.recipients.iter().map(recipient).collect();
        let post = submit.group.as_ref().and_then(group_post);
        Effect::Submit(Submission { origin, counter, recipients, post, token })
    }

    /// A post to a group costs as much as copies for all its members would. The refusal of the submission
    /// that was just made, if that is beyond the rate.
    pub(super) fn pay_for(
        &mut self,
        submission: &Submission,
        members: u32,
        rate: Rate,
        now_ns: u64,
    ) -> Option<ToClient> {
        let more = members.saturating_sub(1); // one is paid
        let wait_ms = self.submitted.take_many(more, rate, now_ns).err()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(self.refuse_for_now(submission.counter, Refusal::RateLimited, wait_ms, now_ns))
    }

    /// The store's queue had no room for the submission just made.
    pub(super) fn not_taken(&mut self, counter: u64, retry_ms: u32, now_ns: u64) -> ToClient {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.refuse_for_now(counter, Refusal::Busy, retry_ms, now_ns)
    }

    /// The submission just made begins more conversations than its account may. Final, and nothing
    /// after it is held up.
    pub(super) fn begins_too_many(&mut self, counter: u64, wait_ms: u32) -> ToClient {
        self.in_flight = self.in_flight.saturating_sub(1);
        refused(counter, 0, Refusal::TooManyStrangers, wait_ms.max(1)).into()
    }

    /// The store decided a submission.
    pub(super) fn settled(&mut self, counter: u64, outcome: Outcome, now_ns: u64) -> ToClient {
        self.in_flight = self.in_flight.saturating_sub(1);
        let refusal = match outcome {
            Outcome::Accepted { at_ms } | Outcome::Repeated { at_ms } => {
                return v1::Accepted { counter, time_ms: at_ms }.into();
            }
            Outcome::Mismatch(list) => return mismatch(counter, list).into(),
            Outcome::DiskFull => {
                return self.refuse_for_now(counter, Refusal::DiskFull, DISK_FULL_MS, now_ns);
            }
            Outcome::ReceiptsWaiting => {
                return self.refuse_for_now(counter, Refusal::ReceiptsWaiting, RECEIPTS_MS, now_ns);
            }
            Outcome::UnknownAccount(_) => Refusal::UnknownAccount,
            Outcome::MailboxFull(_) => Refusal::MailboxFull,
            Outcome::CounterTooOld => Refusal::CounterTooOld,
            Outcome::Revoked => Refusal::DeviceRevoked,
            Outcome::GroupUnknown => Refusal::GroupUnknown,
            Outcome::NotMember => Refusal::NotMember,
            Outcome::GroupStale => Refusal::GroupEpochStale,
            Outcome::NotAdmin => Refusal::NotAdmin,
            Outcome::GroupListsStale => Refusal::GroupListsStale,
            Outcome::Malformed => Refusal::Malformed,
            // Unavailable, and what a later store may say: it may help to ask again.
            _ => return self.refuse_for_now(counter, Refusal::Unavailable, UNAVAILABLE_MS, now_ns),
        };
        refused(counter, 0, refusal, 0).into()
    }

    /// Refuses so that a retry helps, and with it everything after, until this counter comes again: in 100 ms
    /// at the earliest, or whole windows would come for each single one that a rate gives back.
    fn refuse_for_now(
        &mut self,
        counter: u64,
        refusal: Refusal,
        retry_ms: u32,
        now_ns: u64,
    ) -> ToClient {
        let retry_ms = retry_ms.max(BUSY_MS);
        self.refusals.begin(counter, retry_ms, now_ns);
        refused(counter, 0, refusal, retry_ms).into()
    }

    /// Something that cost the device nothing is refused. For how many milliseconds to read no more of it.
    pub(super) fn says_no(&mut self, retry_ms: u32, now_ns: u64) -> u32 {
        self.refusals.said(retry_ms, now_ns)
    }

    /// Requests that wait for an answer.
    pub(super) fn requests(&self) -> usize {
        self.requests.into()
    }

    /// All its submissions are settled.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight == 0
    }

    /// A request was answered.
    pub(super) fn answered(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// The link's key belongs to this device from now on.
    pub(super) fn registered(&mut self, device: DeviceId) {
        if matches!(self.peer, Peer::Stranger(_)) {
            self.peer = Peer::Device(device);
        }
    }

    /// The stranger has the key of this account.
    pub(super) fn claimed(&mut self, account: AccountId) {
        if let Peer::Stranger(who) = &mut self.peer {
            who.claims = Some(account);
        }
    }

    /// The mailbox was drained. The device, if it is to be told: the first time only.
    pub(super) fn caught_up(&mut self) -> Option<DeviceId> {
        let first = !std::mem::replace(&mut self.caught_up, true);
        self.device().filter(|_| first)
    }

    /// A record of the mailbox, from a page or handed over; none if it was sent already.
    pub(super) fn record(&mut self, record: Record) -> Option<ToClient> {
        if record.seq <= self.last_sent {
            return None;
        }
        invariant!(M4, record.seq > self.last_sent, "records out of order");
        self.last_sent = record.seq;
        Some(said(record))
    }
}

/// A record as the device is told of it.
fn said(record: Record) -> ToClient {
    let seq = record.seq.0;
    match record.entry {
        Entry::Message { from, counter, mut body } => {
            let kind = body.try_get_u8().unwrap_or(0);
            ToClient::Deliver(v1::Deliver {
                seq,
                account: from.account.0,
                device: from.number.0,
                counter,
                kind: i32::from(kind),
                body,
                ..v1::Deliver::default()
            })
        }
        Entry::Post(post) => ToClient::Deliver(v1::Deliver {
            seq,
            account: post.from.account.0,
            device: post.from.number.0,
            counter: post.counter,
            kind: v1::CopyKind::Group.into(),
            body: post.body.clone(),
            group: group_bytes(post.group),
            epoch: post.epoch,
        }),
        Entry::Receipt { origin, by, up_to } => ToClient::Receipt(v1::Receipt {
            seq,
            account: by.account.0,
            device: by.number.0,
            up_to,
            origin: origin.0,
        }),
        Entry::GroupNews { group, epoch, missed } => {
            ToClient::GroupNews(v1::GroupNews { seq, group: group_bytes(group), epoch, missed })
        }
        Entry::GroupReceipt { group, origin, posts } => {
            let reach = |PostReach { counter, accounts, readers }| v1::PostReach {
                counter,
                accounts,
                readers,
            };
            ToClient::GroupReceipt(v1::GroupReceipt {
                seq,
                group: group_bytes(group),
                origin: origin.0,
                posts: posts.into_iter().map(reach).collect(),
            })
        }
    }
}

fn group_bytes(group: GroupId) -> Bytes {
    Bytes::copy_from_slice(&group.0)
}

/// The group of a submission; the wire has counted the bytes of its id.
fn group_post(post: &v1::GroupPost) -> Option<GroupPost> {
    Some(GroupPost {
        group: group_id(&post.group).ok()?,
        epoch: post.epoch,
        devices_version: post.devices_version,
        body: post.body.clone(),
    })
}

fn recipient(recipient: &v1::Recipient) -> Recipient {
    Recipient {
        account: AccountId(recipient.account),
        list_version: recipient.list_version,
        copies: recipient.copies.iter().map(sealed_copy).collect(),
    }
}

/// The mailbox keeps one byte of kind before the ciphertext; its records have room for it.
fn sealed_copy(copy: &v1::SealedCopy) -> SealedCopy {
    let mut body = BytesMut::with_capacity(1 + copy.body.len());
    // The wire lets kinds of 0 to 255 through, unknown ones too: they are the recipient's to judge.
    body.put_u8(u8::try_from(copy.kind).unwrap_or(u8::MAX));
    body.extend_from_slice(&copy.body);
    SealedCopy { device: DeviceNumber(copy.device), body: body.freeze() }
}

fn mismatch(counter: u64, list: Vec<Mismatch>) -> v1::Refused {
    let mut room = MISMATCH_BYTES_MAX; // one list always fits: 8 KiB of 32
    let fits = move |one: &Mismatch| {
        let size = one.signed.len() + 8 * (one.missing.len() + one.extra.len()) + 32;
        let left = room.checked_sub(size);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let numbers = |list: Vec<DeviceNumber>| list.into_iter().map(|number| number.0).collect();
    let mismatches = list
        .into_iter()
        .take_while(fits)
        .map(|one| v1::Mismatch {
            account: one.account.0,
            list_version: one.list_version,
            signed_list: one.signed,
            missing: numbers(one.missing),
            extra: numbers(one.extra),
        })
        .collect();
    v1::Refused { mismatches, ..refused(counter, 0, Refusal::DeviceMismatch, 0) }
}

/// The answer to a message that is not stored.
pub(super) fn refused(
    counter: u64,
    request: u32,
    refusal: Refusal,
    retry_after_ms: u32,
) -> v1::Refused {
    v1::Refused {
        counter,
        request,
        code: refusal.number().into(),
        retry_after_ms,
        mismatches: Vec::new(),
    }
}

fn refuse(counter: u64, refusal: Refusal, retry_ms: u32) -> Effect {
    Effect::Say(refused(counter, 0, refusal, retry_ms).into())
}

fn refuse_request(request: u32, refusal: Refusal, retry_ms: u32) -> Effect {
    Effect::Say(refused(0, request, refusal, retry_ms).into())
}
