//! How a device comes to an account that exists: it meets another of its devices at a rendezvous, or
//! it shows that its owner has the account's key.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, claim_bytes};
use godwit_store::{Publisher, Who};
use godwit_wire::{Refusal, v1};

use super::super::protocol::{Asker, Stranger};
use super::{Made, No, Reply, answer, publish_list};
use crate::node::Node;
use crate::relay::{NotRelayed, RELAY_BUSY_MS, Rendezvous, Side};

impl From<NotRelayed> for No {
    fn from(no: NotRelayed) -> Self {
        match no {
            NotRelayed::Busy => Self { refusal: Refusal::Busy, retry_after_ms: RELAY_BUSY_MS },
            NotRelayed::Taken => Refusal::RelayTaken.into(),
            NotRelayed::Expired => Refusal::RelayExpired.into(),
            NotRelayed::RateLimited(retry_after_ms) => {
                Self { refusal: Refusal::RateLimited, retry_after_ms }
            }
        }
    }
}

pub(super) async fn run_relay(node: Arc<Node>, asker: Asker, relay: v1::Relay) -> Reply {
    let request = relay.request;
    match relayed(&node, asker, relay).await {
        Ok(body) => Reply::say(v1::Relayed { request, body }),
        Err(no) => Reply::refuse(request, no),
    }
}

/// Leaves a message, which is answered by nothing, or waits for one.
async fn relayed(node: &Node, asker: Asker, relay: v1::Relay) -> Result<Bytes, No> {
    let id = Rendezvous::try_from(relay.rendezvous.as_ref()).map_err(|_| Refusal::Malformed)?;
    let side = match relay.side() {
        v1::RelaySide::New => Side::New,
        v1::RelaySide::Present => Side::Present,
        v1::RelaySide::Unspecified => return Err(Refusal::Malformed.into()),
    };
    let at = (side, relay.sequence);
    let may_open = || node.allow_rendezvous(asker);
    if relay.body.is_empty() {
        return Ok(node.relay.hear(id, at, node.now_ns(), may_open).await?);
    }
    node.relay.leave(id, at, &relay.body, node.now_ns(), may_open)?;
    node.meters.relayed.inc();
    Ok(Bytes::new())
}

pub(super) async fn run_claim(node: Arc<Node>, who: Stranger, claim: v1::Claim) -> Reply {
    let request = claim.request;
    let bundles = claimed(&node, &who, claim).await;
    let account = bundles.as_ref().map(|bundles| AccountId(bundles.account));
    node.claimed(account.map_err(|no| no.refusal));
    match bundles {
        Err(no) => Reply::refuse(request, no),
        Ok(bundles) => {
            let made = Some(Made::Claimant(AccountId(bundles.account)));
            Reply { message: bundles.into(), made }
        }
    }
}

/// Who has the key may ask; so that nobody learns by it who is here, the signature comes first.
async fn claimed(node: &Node, who: &Stranger, claim: v1::Claim) -> Result<v1::Bundles, No> {
    node.allow_claim(who.address)
        .map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })?;
    let key: [u8; 32] = claim.account_key.as_ref().try_into().map_err(|_| Refusal::Malformed)?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&claim_bytes(&who.link_key), &claim.signature)
        .map_err(|_| Refusal::ClaimInvalid)?;
    let account = Who::Account(AccountId::of_key(&key));
    let profile = node.store.profile(account).await?.ok_or(Refusal::UnknownAccount)?;
    // The id is 8 bytes of a hash: another key may have it, one day.
    if profile.account_key != key {
        return Err(Refusal::UnknownAccount.into());
    }
    Ok(answer(claim.request, profile, Vec::new()))
}

/// A claimant's list, which must hold the device that speaks: its link key was proven.
pub(super) async fn run_recover(
    node: Arc<Node>,
    who: Stranger,
    account: AccountId,
    publish: v1::PublishDeviceList,
) -> Reply {
    let request = publish.request;
    let mut rows = publish.list.iter().flat_map(|list| &list.devices);
    let row = rows.find(|row| row.link_key == who.link_key.as_slice());
    let Some(number) = row.map(|row| DeviceNumber(row.number)) else {
        return Reply::refuse(request, Refusal::ListInvalid.into());
    };
    let device = DeviceId { account, number };
    match publish_list(&node, Publisher::Owner(device), publish).await {
        Err(no) => Reply::refuse(request, no),
        Ok(version) => {
            let message = v1::DeviceListPublished { request, version }.into();
            Reply { message, made: Some(Made::Device(device)) }
        }
    }
}
