//! How a device comes to an account that exists: a rendezvous of two links, and a claim by the
//! account's key.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use godwit_base::claim_bytes;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::person::Person;
use super::world::World;

/// Rendezvous of one device in an hour, as the server has it.
const RENDEZVOUS_PER_HOUR: u8 = 60;

const NEW: v1::RelaySide = v1::RelaySide::New;
const PRESENT: v1::RelaySide = v1::RelaySide::Present;

fn relay(request: u32, place: u8, side: v1::RelaySide, sequence: u32, body: &str) -> ToServer {
    let rendezvous = Bytes::copy_from_slice(&[place; 16]);
    v1::Relay { request, rendezvous, side: side.into(), sequence, body: body.to_owned().into() }
        .into()
}

/// Leaves a message, or asks for one, and waits for the answer.
async fn relays(
    by: &mut Person,
    place: u8,
    side: v1::RelaySide,
    sequence: u32,
    body: &str,
) -> Result<Bytes, Refusal> {
    let request = by.request();
    by.link().says(&[relay(request, place, side, sequence, body)]).await;
    hears_relayed(by, request).await
}

async fn hears_relayed(by: &mut Person, request: u32) -> Result<Bytes, Refusal> {
    match by.link().hears().await {
        ToClient::Relayed(relayed) => {
            assert_eq!(relayed.request, request);
            Ok(relayed.body)
        }
        ToClient::Refused(refused) => {
            assert_eq!(refused.request, request);
            Err(Refusal::from_number(refused.code).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

async fn stranger(world: &World, handle: &str) -> Person {
    let mut person = Person::new(&world.join, handle);
    person.dials().await.unwrap();
    person
}

#[tokio::test]
async fn a_stranger_and_a_device_meet_and_a_broken_link_costs_nothing() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let mut tablet = stranger(&world, "tablet").await;
    let waits = tablet.request();
    tablet.link().says(&[relay(waits, 1, NEW, 1, "")]).await;
    assert_eq!(relays(&mut tablet, 1, NEW, 1, "mine").await, Ok(Bytes::new()), "while it waits");
    assert_eq!(relays(&mut alice, 1, PRESENT, 1, "").await, Ok("mine".into()));
    assert_eq!(relays(&mut alice, 1, PRESENT, 1, "yours").await, Ok(Bytes::new()));
    assert_eq!(hears_relayed(&mut tablet, waits).await, Ok("yours".into()));

    tablet.hangs_up();
    tablet.dials().await.unwrap();
    assert_eq!(relays(&mut tablet, 1, NEW, 1, "mine").await, Ok(Bytes::new()), "left again");
    assert_eq!(relays(&mut tablet, 1, NEW, 1, "").await, Ok("yours".into()), "asked again");
    assert_eq!(relays(&mut tablet, 1, NEW, 1, "other").await, Err(Refusal::RelayTaken));
    assert_eq!(relays(&mut alice, 1, PRESENT, 1, "").await, Ok("mine".into()));
}

#[tokio::test]
async fn so_many_rendezvous_a_device_and_no_more() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    for place in 0..RENDEZVOUS_PER_HOUR {
        assert_eq!(relays(&mut alice, place, PRESENT, 1, "x").await, Ok(Bytes::new()));
    }
    let one_more = RENDEZVOUS_PER_HOUR;
    assert_eq!(relays(&mut alice, one_more, PRESENT, 1, "x").await, Err(Refusal::RateLimited));
    assert_eq!(relays(&mut alice, one_more, PRESENT, 1, "").await, Err(Refusal::RateLimited));
    assert_eq!(relays(&mut alice, 0, PRESENT, 2, "x").await, Ok(Bytes::new()), "one that is open");
    assert_eq!(
        relays(&mut bob, one_more, PRESENT, 1, "x").await,
        Ok(Bytes::new()),
        "another's rate"
    );
    assert_eq!(relays(&mut alice, one_more, NEW, 1, "").await, Ok("x".into()));
}

/// An account whose key can sign.
struct Owner {
    key: Ed25519KeyPair,
    device: Person,
}

impl Owner {
    async fn joins(world: &World, handle: &str, seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let mut device = Person::new(&world.join, handle);
        device.account_key = key.public_key().as_ref().try_into().unwrap();
        device.dials().await.unwrap();
        device.registers().await.unwrap();
        device.attaches().await;
        Self { key, device }
    }

    /// The claim that this account's key signs for a link.
    fn claim(&self, by: &mut Person) -> v1::Claim {
        let signature = self.key.sign(&claim_bytes(&by.link_key.public().0));
        v1::Claim {
            request: by.request(),
            account_key: Bytes::copy_from_slice(&self.device.account_key),
            signature: Bytes::copy_from_slice(signature.as_ref()),
        }
    }
}

async fn claims(by: &mut Person, claim: v1::Claim) -> Result<v1::Bundles, Refusal> {
    let request = claim.request;
    by.link().says(&[claim.into()]).await;
    match by.link().hears().await {
        ToClient::Bundles(bundles) => {
            assert_eq!(bundles.request, request);
            Ok(bundles)
        }
        ToClient::Refused(refused) => {
            assert_eq!(refused.request, request);
            Err(Refusal::from_number(refused.code).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

async fn publishes(by: &mut Person, version: u64, rows: &[(u32, [u8; 32])]) -> Result<(), Refusal> {
    let row = |(number, key): &(u32, [u8; 32])| v1::DeviceRow {
        number: *number,
        link_key: Bytes::copy_from_slice(key),
    };
    let devices = rows.iter().map(row).collect();
    let list = v1::DeviceListUpload { version, devices, signed: "recovered".into() };
    let publication = by.publication(list);
    let request = publication.request;
    by.link().says(&[publication.into()]).await;
    match by.link().hears().await {
        ToClient::DeviceListPublished(published) => {
            assert_eq!((published.request, published.version), (request, version));
            Ok(())
        }
        ToClient::Refused(refused) => Err(Refusal::from_number(refused.code).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_has_the_accounts_key_puts_a_new_device_on_its_list() {
    let world = World::new().await;
    let mut alice = Owner::joins(&world, "alice", 7).await;
    let mut found = stranger(&world, "nobody yet").await;
    let key = found.link_key.public().0;
    assert_eq!(publishes(&mut found, 2, &[(2, key)]).await, Err(Refusal::NotRegistered));
    let claim = alice.claim(&mut found);
    let bundles = claims(&mut found, claim).await.unwrap();
    assert_eq!(bundles.account, alice.device.account().0);
    assert_eq!((bundles.handle.as_str(), bundles.list_version), ("alice", 1));
    assert_eq!((bundles.signed_list, bundles.devices), ("list of alice".into(), Vec::new()));

    assert_eq!(publishes(&mut found, 2, &[(2, [9; 32])]).await, Err(Refusal::ListInvalid));
    assert_eq!(publishes(&mut found, 1, &[(2, key)]).await, Err(Refusal::ListStale));
    assert_eq!(publishes(&mut found, 2, &[(2, key)]).await, Ok(()));
    assert_eq!(alice.device.link().hears_goodbye().await, (Refusal::DeviceRevoked, 0));
    assert!(found.attaches().await.is_empty(), "the link is the device's from now on");
    assert_eq!(publishes(&mut found, 2, &[(2, key)]).await, Ok(()), "the answer was lost");
    let welcome = found.dials().await.unwrap();
    assert_eq!((welcome.standing, welcome.device), (i32::from(v1::Standing::Device), 2));
}

#[tokio::test]
async fn a_claim_is_worth_nothing_in_other_hands() {
    let world = World::new().await;
    let alice = Owner::joins(&world, "alice", 7).await;
    let (mut found, mut eve) = (stranger(&world, "found").await, stranger(&world, "eve").await);
    let heard = alice.claim(&mut found);
    assert_eq!(claims(&mut eve, heard.clone()).await, Err(Refusal::ClaimInvalid), "another link");
    let mut forged = heard.clone();
    forged.account_key = Bytes::copy_from_slice(&[7; 32]);
    assert_eq!(claims(&mut found, forged).await, Err(Refusal::ClaimInvalid));
    let mut damaged = heard.to_owned();
    damaged.signature = Bytes::copy_from_slice(&[0; 64]);
    assert_eq!(claims(&mut found, damaged).await, Err(Refusal::ClaimInvalid));
    let unknown = Owner {
        key: Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap(),
        device: Person::new(&world.join, "unknown"),
    };
    let mut nobodys = unknown.claim(&mut found);
    nobodys.account_key = Bytes::copy_from_slice(unknown.key.public_key().as_ref());
    assert_eq!(claims(&mut found, nobodys).await, Err(Refusal::UnknownAccount));
    let mut bob = world.joins("bob").await;
    let claim = alice.claim(&mut bob);
    assert_eq!(claims(&mut bob, claim).await, Err(Refusal::AlreadyRegistered));
    let key = eve.link_key.public().0;
    assert_eq!(publishes(&mut eve, 2, &[(2, key)]).await, Err(Refusal::NotRegistered));
}
