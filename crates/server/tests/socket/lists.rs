//! Device lists: published, refused, and what becomes of a device that is on them no more.

use bytes::Bytes;
use godwit_wire::{Refusal, ToClient, v1};

use super::person::Person;
use super::world::World;

/// Lists of one account an hour, as the server has it.
const LISTS_PER_HOUR: u64 = 20;

/// A second device of the same account: other link key, everything else the same.
fn another_device(of: &Person) -> Person {
    let mut device = Person::new(&of.join, &of.handle);
    device.account_key = of.account_key;
    device
}

fn key(of: &Person) -> [u8; 32] {
    of.link_key.public().0
}

fn list(version: u64, devices: &[(u32, [u8; 32])]) -> v1::DeviceListUpload {
    let row = |(number, key): &(u32, [u8; 32])| v1::DeviceRow {
        number: *number,
        link_key: Bytes::copy_from_slice(key),
    };
    let signed = Bytes::from(format!("signed list {version}"));
    v1::DeviceListUpload { version, devices: devices.iter().map(row).collect(), signed }
}

async fn publishes(by: &mut Person, list: v1::DeviceListUpload) -> Result<u64, Refusal> {
    let publication = by.publication(list);
    says_list(by, publication).await
}

async fn says_list(by: &mut Person, publication: v1::PublishDeviceList) -> Result<u64, Refusal> {
    let request = publication.request;
    by.link().says(&[publication.into()]).await;
    match by.link().hears().await {
        ToClient::DeviceListPublished(published) => {
            assert_eq!(published.request, request);
            Ok(published.version)
        }
        ToClient::Refused(refused) => {
            assert_eq!((refused.request, refused.counter), (request, 0));
            let refusal = Refusal::from_number(refused.code).unwrap();
            assert_eq!(refused.retry_after_ms > 0, refusal.retryable());
            Err(refusal)
        }
        other => panic!("{other:?}"),
    }
}

/// Sends for these devices of a list of that version; the refusal's list if it does not fit.
async fn sends_for(
    from: &mut Person,
    to: &Person,
    list_version: u64,
    devices: &[u32],
) -> Option<v1::Mismatch> {
    from.counter += 1;
    let copy = |device: &u32| v1::SealedCopy { device: *device, kind: 0, body: "hi".into() };
    let copies = devices.iter().map(copy).collect();
    let recipient = v1::Recipient { account: to.account().0, list_version, copies };
    let submit = v1::Submit { counter: from.counter, recipients: vec![recipient], group: None };
    from.link().says(&[submit.into()]).await;
    match from.link().hears().await {
        ToClient::Accepted(_) => None,
        ToClient::Refused(mut refused) => {
            assert_eq!(refused.code, u32::from(Refusal::DeviceMismatch.number()));
            assert_eq!(refused.mismatches.len(), 1);
            refused.mismatches.pop()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_device_is_added_by_a_list_and_removed_by_the_next() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut tablet = another_device(&bob);
    let (phone_key, tablet_key) = (key(&bob), key(&tablet));
    let both = list(2, &[(1, phone_key), (2, tablet_key)]);
    assert_eq!(publishes(&mut bob, both).await, Ok(2));
    let welcome = tablet.dials().await.unwrap();
    assert_eq!((welcome.standing, welcome.device), (i32::from(v1::Standing::Device), 2));
    tablet.attaches().await;

    // Alice sealed for the list that was; she is given the new one and sends to both.
    let mismatch = sends_for(&mut alice, &bob, 1, &[1]).await.unwrap();
    assert_eq!((mismatch.list_version, mismatch.missing), (2, vec![2]));
    assert_eq!(mismatch.signed_list, "signed list 2");
    assert_eq!(sends_for(&mut alice, &bob, 2, &[1, 2]).await, None);
    let deliver = bob.receives("hi", &alice).await;
    bob.acknowledges(&deliver).await;
    tablet.receives("hi", &alice).await;
    alice.sees_delivered(&bob, alice.counter).await;

    // The tablet did not acknowledge. Removed, its session ends and its mailbox goes.
    assert_eq!(publishes(&mut bob, list(3, &[(1, phone_key)])).await, Ok(3));
    assert_eq!(tablet.link().hears_goodbye().await, (Refusal::DeviceRevoked, 0));
    let welcome = tablet.dials().await.unwrap();
    assert_eq!(welcome.standing, i32::from(v1::Standing::Revoked));
    tablet.link().says(&[v1::Attach {}.into()]).await;
    assert_eq!(tablet.link().hears_goodbye().await, (Refusal::DeviceRevoked, 0));
    let mismatch = sends_for(&mut alice, &bob, 2, &[1, 2]).await.unwrap();
    assert_eq!((mismatch.list_version, mismatch.extra), (3, vec![2]));
    assert_eq!(sends_for(&mut alice, &bob, 3, &[1]).await, None);
    bob.receives("hi", &alice).await;
}

/// The tablet dies before it has said a word.
#[tokio::test]
async fn a_device_can_be_written_to_as_soon_as_it_is_listed() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let tablet = another_device(&bob);
    let both = list(2, &[(1, key(&bob)), (2, key(&tablet))]);
    let without = v1::PublishDeviceList { first_keys: Vec::new(), ..bob.publication(both.clone()) };
    assert_eq!(says_list(&mut bob, without).await, Err(Refusal::ListInvalid));
    let mut without_fallback = bob.publication(both.clone());
    without_fallback.first_keys[1].keys.as_mut().unwrap().fallback = Bytes::new();
    assert_eq!(says_list(&mut bob, without_fallback).await, Err(Refusal::ListInvalid));
    assert_eq!(publishes(&mut bob, both).await, Ok(2));
    for one_time in ["first key", ""] {
        let request = alice.request();
        let who = Some(v1::fetch::Who::Account(bob.account().0));
        let fetch = v1::Fetch { request, who, keys: true, devices: vec![2] };
        alice.link().says(&[fetch.into()]).await;
        let message = alice.link().hears().await;
        let ToClient::Bundles(bundles) = message else { panic!("{message:?}") };
        let [bundle] = bundles.devices.as_slice() else { panic!("{bundles:?}") };
        assert_eq!((bundle.number, &bundle.one_time[..]), (2, one_time.as_bytes()));
        assert_eq!(bundle.fallback, "first fallback");
    }
}

#[tokio::test]
async fn the_same_list_again_is_no_error_and_outlives_a_restart() {
    let world = World::new().await;
    let mut bob = world.joins("bob").await;
    let second = list(2, &[(1, key(&bob))]);
    assert_eq!(publishes(&mut bob, second.clone()).await, Ok(2));
    assert_eq!(publishes(&mut bob, second.clone()).await, Ok(2), "the answer was lost");
    bob.hangs_up();
    let data = world.stops().await;
    let world = World::on(data, |_| {}).await;
    bob.join = world.join.clone();
    bob.comes_back().await;
    assert_eq!(publishes(&mut bob, second).await, Ok(2));
    let request = bob.request();
    let who = Some(v1::fetch::Who::Account(bob.account().0));
    let fetch = v1::Fetch { request, who, keys: false, devices: Vec::new() };
    bob.link().says(&[fetch.into()]).await;
    let message = bob.link().hears().await;
    let ToClient::Bundles(bundles) = message else { panic!("{message:?}") };
    assert_eq!((bundles.list_version, bundles.signed_list), (2, "signed list 2".into()));
}

#[tokio::test]
async fn a_list_that_does_not_follow_is_refused_by_its_number() {
    let world = World::new().await;
    let (alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut eve = Person::new(&world.join, "eve");
    let stranger = key(&another_device(&bob));
    let (alices, mine, eves) = (key(&alice), key(&bob), key(&eve));
    eve.dials().await.unwrap();
    assert_eq!(publishes(&mut eve, list(2, &[(1, mine)])).await, Err(Refusal::NotRegistered));
    assert_eq!(publishes(&mut bob, list(3, &[(1, mine)])).await, Err(Refusal::ListNotNext));
    assert_eq!(publishes(&mut bob, list(1, &[(1, mine)])).await, Err(Refusal::ListStale));
    for devices in [
        vec![(1, stranger)],                // another key under the old number
        vec![(2, stranger), (3, stranger)], // one key twice
        vec![(2, alices)],                  // somebody else's key
        vec![(3, stranger), (2, eves)],     // out of order
    ] {
        let list = list(2, &devices);
        assert_eq!(publishes(&mut bob, list).await, Err(Refusal::ListInvalid));
    }
    assert_eq!(publishes(&mut bob, list(2, &[(1, mine)])).await, Ok(2), "nothing was changed");
    let mut signed_anew = list(2, &[(1, mine)]);
    signed_anew.signed = "another second list".into();
    assert_eq!(publishes(&mut bob, signed_anew).await, Err(Refusal::ListStale));
}

#[tokio::test]
async fn so_many_lists_an_hour_and_no_more() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let (alices, bobs) = (key(&alice), key(&bob));
    let last = LISTS_PER_HOUR + 1;
    for version in 2..=last {
        assert_eq!(publishes(&mut bob, list(version, &[(1, bobs)])).await, Ok(version));
    }
    let one_more = list(last + 1, &[(1, bobs)]);
    assert_eq!(publishes(&mut bob, one_more).await, Err(Refusal::RateLimited));
    assert_eq!(publishes(&mut alice, list(2, &[(1, alices)])).await, Ok(2), "another's rate");
}
