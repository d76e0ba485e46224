//! What the store takes a while to answer: pages of the mailbox, registrations, key fetches. They
//! run inside the session's own future, so that they end with it.

mod linking;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle};
use godwit_store::{
    Answer, DeviceList, KeyUpload, KeysError, ListError, Page, Profile, Publisher, RegisterError,
    Registration, StoreError, TakenKeys, Who,
};
use godwit_wire::{Refusal, ToClient, v1};

use super::groups;
use super::protocol::{BUSY_MS, DISK_FULL_MS, Request, Stranger, UNAVAILABLE_MS, refused};
use crate::media;
use crate::node::{Mark, Node};
use crate::reports::Report;

/// Something the session waits for.
pub(super) enum Job {
    Page(Answer<Page>),
    Request(Asked),
    /// Waits for another device, for minutes perhaps; the question, so that it can be asked again.
    Wait(Box<v1::Relay>, Asked),
}

/// A request under way.
pub(super) type Asked = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What it gave.
pub(super) enum Done {
    Page(Result<Page, StoreError>),
    Reply(Reply),
}

/// The answer to a request, and what it made of the link.
pub(super) struct Reply {
    pub(super) message: ToClient,
    pub(super) made: Option<Made>,
}

/// What a request made of a stranger's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It belongs to this device.
    Device(DeviceId),
    /// It acts for this account.
    Claimant(AccountId),
}

/// Everything the session waits for: one page, and at most `REQUESTS_MAX` requests.
#[derive(Default)]
pub(super) struct Jobs(Vec<Job>);

impl Jobs {
    pub(super) fn push(&mut self, job: Job) {
        self.0.push(job);
    }

    /// What waits for another device.
    pub(super) fn waits(&self) -> impl Iterator<Item = &v1::Relay> {
        self.0.iter().filter_map(|job| match job {
            Job::Wait(relay, _) => Some(&**relay),
            Job::Page(_) | Job::Request(_) => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next that is done; if none, the task is registered with all.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Option<Done> {
        let done = self.0.iter_mut().enumerate().find_map(|(index, job)| {
            let done = match job {
                Job::Page(answer) => answer.as_mut().poll(cx).map(Done::Page),
                Job::Request(answer) | Job::Wait(_, answer) => {
                    answer.as_mut().poll(cx).map(Done::Reply)
                }
            };
            match done {
                Poll::Ready(done) => Some((index, done)),
                Poll::Pending => None,
            }
        });
        let (index, done) = done?;
        drop(self.0.swap_remove(index));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(done)
    }
}

/// Starts a request.
pub(super) fn start(node: &Arc<Node>, from: Option<Mark>, request: Request) -> Job {
    let node = Arc::clone(node);
    if let Request::Relay(asker, relay) = &request
        && relay.body.is_empty()
    {
        let question = Box::new(relay.clone());
        return Job::Wait(question, Box::pin(linking::run_relay(node, *asker, relay.clone())));
    }
    Job::Request(match request {
        Request::Register(who, register) => Box::pin(run_register(node, who, register)),
        Request::Fetch(device, fetch) => Box::pin(run_fetch(node, device, from, fetch)),
        Request::PublishKeys(device, keys) => Box::pin(run_publish(node, device, keys)),
        Request::PublishList(device, list) => Box::pin(run_publish_list(node, device, list)),
        Request::Recover(who, account, list) => {
            Box::pin(linking::run_recover(node, who, account, list))
        }
        Request::Relay(asker, relay) => Box::pin(linking::run_relay(node, asker, relay)),
        Request::Claim(who, claim) => Box::pin(linking::run_claim(node, who, claim)),
        Request::GroupChange(device, change) => Box::pin(groups::run_change(node, device, change)),
        Request::GroupFetch(device, fetch) => Box::pin(groups::run_fetch(node, device, fetch)),
        Request::GroupRoster(device, ask) => Box::pin(groups::run_roster(node, device, ask)),
        Request::GroupProgress(device, ask) => Box::pin(groups::run_progress(node, device, ask)),
        Request::GroupRead(device, read) => Box::pin(groups::run_read(node, device, read)),
        Request::MediaGrant(device, ask) => Box::pin(run_media_grant(node, device, ask)),
        Request::MediaFetched(device, fetched) => {
            Box::pin(run_media_fetched(node, device, fetched))
        }
        Request::Report(device, report) => Box::pin(run_report(node, device, report)),
        Request::Terms(terms) => {
            Box::pin(std::future::ready(Reply::say(node.terms(terms.request))))
        }
    })
}

impl Reply {
    pub(super) fn say(message: impl Into<ToClient>) -> Self {
        Self { message: message.into(), made: None }
    }

    pub(super) fn refuse(request: u32, no: No) -> Self {
        Self::say(refused(0, request, no.refusal, no.retry_after_ms))
    }
}

/// A no to a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct No {
    pub(super) refusal: Refusal,
    pub(super) retry_after_ms: u32,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        let retry_after_ms = if refusal.retryable() { BUSY_MS } else { 0 };
        Self { refusal, retry_after_ms }
    }
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::from(Refusal::Busy),
            StoreError::DiskFull => {
                Self { refusal: Refusal::DiskFull, retry_after_ms: DISK_FULL_MS }
            }
            _ => Self { refusal: Refusal::Unavailable, retry_after_ms: UNAVAILABLE_MS },
        }
    }
}

impl From<media::No> for No {
    fn from(no: media::No) -> Self {
        Self { refusal: no.refusal, retry_after_ms: no.retry_after_ms }
    }
}

impl From<KeysError> for No {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::KeyLimit => Self::from(Refusal::KeyLimit),
            KeysError::Store(error) => Self::from(error),
            _ => Self::from(Refusal::UnknownAccount),
        }
    }
}

impl From<RegisterError> for No {
    fn from(error: RegisterError) -> Self {
        Self::from(match error {
            RegisterError::HandleTaken => Refusal::HandleTaken,
            RegisterError::AccountTaken => Refusal::AccountTaken,
            RegisterError::LinkKeyTaken => Refusal::AlreadyRegistered,
            RegisterError::InviteRequired => Refusal::InviteRequired,
            RegisterError::InviteInvalid => Refusal::InviteInvalid,
            RegisterError::KeyLimit => Refusal::KeyLimit,
            RegisterError::Store(error) => return Self::from(error),
            _ => Refusal::Malformed,
        })
    }
}

impl From<ListError> for No {
    fn from(error: ListError) -> Self {
        Self::from(match error {
            ListError::NotListed => Refusal::DeviceRevoked,
            ListError::Stale => Refusal::ListStale,
            ListError::NotNext => Refusal::ListNotNext,
            ListError::NumberReused
            | ListError::LinkKeyTaken
            | ListError::ListMalformed
            | ListError::KeysMissing => Refusal::ListInvalid,
            ListError::Store(error) => return Self::from(error),
            _ => Refusal::UnknownAccount,
        })
    }
}

async fn run_register(node: Arc<Node>, who: Stranger, register: v1::Register) -> Reply {
    let request = register.request;
    match registration(&node, &who, register) {
        Err(no) => {
            node.registered(Err(no.refusal));
            Reply::refuse(request, no)
        }
        Ok(registration) => {
            let account = AccountId::of_key(&registration.account_key);
            let device = DeviceId { account, number: registration.device };
            match node.store.register(registration).await.map_err(No::from) {
                Err(no) => {
                    node.registered(Err(no.refusal));
                    Reply::refuse(request, no)
                }
                Ok(()) => {
                    node.registered(Ok(device));
                    let (account, device_number) = (account.0, device.number.0);
                    let message = v1::Registered { request, account, device: device_number }.into();
                    Reply { message, made: Some(Made::Device(device)) }
                }
            }
        }
    }
}

/// Checks what a stranger sent. The one device of the list must be the one that speaks: its key was
/// proven by the handshake, any other's was not.
fn registration(node: &Node, who: &Stranger, register: v1::Register) -> Result<Registration, No> {
    let handle: Handle = register.handle.parse().map_err(|_| Refusal::HandleInvalid)?;
    node.allow_registration(who.address)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let (list, keys) = register.list.zip(register.keys).ok_or(Refusal::Malformed)?;
    let [row] = list.devices.as_slice() else { return Err(Refusal::Malformed.into()) };
    if row.link_key != who.link_key.as_slice() || keys.fallback.is_empty() {
        return Err(Refusal::Malformed.into());
    }
    let device = DeviceNumber(row.number);
    Ok(Registration {
        account_key: register.account_key.as_ref().try_into().map_err(|_| Refusal::Malformed)?,
        handle,
        invite: Some(register.invite).filter(|code| !code.is_empty()),
        require_invite: node.invite_only(),
        list: DeviceList {
            version: list.version,
            signed: list.signed,
            devices: vec![(device, who.link_key)],
        },
        device,
        keys: upload(keys),
    })
}

fn upload(keys: v1::KeyUpload) -> KeyUpload {
    KeyUpload {
        one_time: keys.one_time.into_iter().map(|key| (key.id, key.signed)).collect(),
        fallback: Some(keys.fallback).filter(|key| !key.is_empty()),
    }
}

async fn run_publish(node: Arc<Node>, device: DeviceId, publish: v1::PublishKeys) -> Reply {
    let request = publish.request;
    let keys = upload(publish.keys.unwrap_or_default());
    match node.store.publish_keys(device, keys).await {
        Ok(one_time_left) => Reply::say(v1::KeysPublished { request, one_time_left }),
        Err(error) => Reply::refuse(request, error.into()),
    }
}

async fn run_publish_list(
    node: Arc<Node>,
    device: DeviceId,
    publish: v1::PublishDeviceList,
) -> Reply {
    let request = publish.request;
    match publish_list(&node, Publisher::Device(device), publish).await {
        Ok(version) => Reply::say(v1::DeviceListPublished { request, version }),
        Err(no) => Reply::refuse(request, no),
    }
}

/// Who leaves the list is told by the store, once that is durable: this session may be gone by then.
async fn publish_list(
    node: &Node,
    by: Publisher,
    publish: v1::PublishDeviceList,
) -> Result<u64, No> {
    let device = by.device();
    let list = publish.list.unwrap_or_default();
    node.allow_list(device.account)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let row = |row: &v1::DeviceRow| {
        let link_key = row.link_key.as_ref().try_into().map_err(|_| Refusal::Malformed)?;
        Ok((DeviceNumber(row.number), link_key))
    };
    let devices = list.devices.iter().map(row).collect::<Result<Vec<_>, Refusal>>()?;
    let keys_of =
        |first: v1::FirstKeys| (DeviceNumber(first.device), upload(first.keys.unwrap_or_default()));
    let first_keys = publish.first_keys.into_iter().map(keys_of).collect();
    let version = list.version;
    let list = DeviceList { version, signed: list.signed, devices };
    let outcome = node.store.replace_list(by, list, first_keys).await;
    node.list_replaced(device, version, outcome.as_ref().err());
    outcome?;
    Ok(version)
}

async fn run_media_grant(node: Arc<Node>, device: DeviceId, ask: v1::MediaGrantRequest) -> Reply {
    let request = ask.request;
    match media::grant(&node, device, ask).await {
        Ok(grant) => Reply::say(grant),
        Err(no) => Reply::refuse(request, no.into()),
    }
}

async fn run_media_fetched(node: Arc<Node>, device: DeviceId, fetched: v1::MediaFetched) -> Reply {
    let request = fetched.request;
    match media::fetched(&node, device, fetched).await {
        Ok(noted) => Reply::say(noted),
        Err(no) => Reply::refuse(request, no.into()),
    }
}

async fn run_report(node: Arc<Node>, by: DeviceId, report: v1::Report) -> Reply {
    let request = report.request;
    match take_report(&node, by, report).await {
        Ok(()) => {
            node.reported(by, None);
            Reply::say(v1::ReportTaken { request })
        }
        Err(no) => {
            node.reported(by, Some(no.refusal));
            Reply::refuse(request, no)
        }
    }
}

async fn take_report(node: &Arc<Node>, by: DeviceId, report: v1::Report) -> Result<(), No> {
    node.allow_report(by.account)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let account = Who::Account(AccountId(report.account));
    let profile = node.store.profile(account).await?.ok_or(Refusal::UnknownAccount)?;
    let at_ms = node.clock.unix_ms();
    let report = Report::new(at_ms, by, profile.handle.into(), report);
    let node = Arc::clone(node);
    // It waits for the disk, which a worker of sessions may not.
    let written = tokio::task::spawn_blocking(move || node.reports.add(&report)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a report could not be written");
            Err(No { refusal: Refusal::DiskFull, retry_after_ms: DISK_FULL_MS })
        }
        Err(_) => Err(Refusal::Internal.into()),
    }
}

async fn run_fetch(
    node: Arc<Node>,
    device: DeviceId,
    from: Option<Mark>,
    fetch: v1::Fetch,
) -> Reply {
    let request = fetch.request;
    match bundles(&node, device, from, fetch).await {
        Ok(bundles) => Reply::say(bundles),
        Err(no) => Reply::refuse(request, no),
    }
}

async fn bundles(
    node: &Node,
    asker: DeviceId,
    from: Option<Mark>,
    fetch: v1::Fetch,
) -> Result<v1::Bundles, No> {
    node.allow_lookup(asker)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let who = match fetch.who {
        // A handle that breaks the rules is nobody's, and tells nothing.
        Some(v1::fetch::Who::Handle(handle)) => {
            Who::Handle(handle.parse().map_err(|_| Refusal::UnknownAccount)?)
        }
        Some(v1::fetch::Who::Account(account)) => Who::Account(AccountId(account)),
        None => return Err(Refusal::Malformed.into()),
    };
    let is_handle = matches!(who, Who::Handle(_));
    if is_handle {
        node.allow_handles(from)
            .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    }
    let Some(profile) = node.store.profile(who).await? else {
        // Ids are hashes of keys: nobody tries those out.
        if is_handle {
            node.lookup_failed(asker, from);
        }
        return Err(Refusal::UnknownAccount.into());
    };
    let wanted = |number: &DeviceNumber| {
        let device = DeviceId { account: profile.account, number: *number };
        device != asker && (fetch.devices.is_empty() || fetch.devices.contains(&number.0))
    };
    let mut devices = Vec::new();
    if fetch.keys {
        let one_time = node.allow_key_fetch(asker, profile.account);
        let numbers = profile.list.devices.iter().map(|(number, _)| *number);
        for number in numbers.filter(wanted) {
            let device = DeviceId { account: profile.account, number };
            match node.store.take_keys(device, one_time).await {
                Ok(keys) => devices.push(bundle(number, keys)),
                Err(KeysError::UnknownDevice) => {} // removed a moment ago; the list will tell
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(answer(fetch.request, profile, devices))
}

fn bundle(number: DeviceNumber, keys: TakenKeys) -> v1::DeviceBundle {
    v1::DeviceBundle {
        number: number.0,
        one_time: keys.one_time.unwrap_or_default(),
        fallback: keys.fallback.unwrap_or_default(),
    }
}

fn answer(request: u32, profile: Profile, devices: Vec<v1::DeviceBundle>) -> v1::Bundles {
    v1::Bundles {
        request,
        account: profile.account.0,
        handle: profile.handle.into(),
        account_key: Bytes::copy_from_slice(&profile.account_key),
        list_version: profile.list.version,
        signed_list: profile.list.signed,
        devices,
        kt_proof: Bytes::new(),
    }
}
