//! Groups: made, changed, joined by link, posted to, left; and what each of the refusals is for.

use bytes::Bytes;
use godwit_wire::{Refusal, ToClient, v1};
use sha2::{Digest, Sha256};

use super::person::Person;
use super::world::World;

const ADMIN: v1::GroupRole = v1::GroupRole::Admin;
const MEMBER: v1::GroupRole = v1::GroupRole::Member;
const GONE: v1::GroupRole = v1::GroupRole::None;
const SECRET: &[u8] = &[7; 32];

fn group() -> Bytes {
    Bytes::from_static(&[9; 16])
}

fn entry(epoch: u64, members: &[(&Person, v1::GroupRole)]) -> v1::GroupChange {
    let member = |(person, role): &(&Person, v1::GroupRole)| v1::GroupMember {
        account: person.account().0,
        role: i32::from(*role),
    };
    v1::GroupChange {
        request: 0,
        group: group(),
        epoch,
        signed: Bytes::from(format!("entry {epoch}")),
        members: members.iter().map(member).collect(),
        settings: None,
        invite_secret: Bytes::new(),
    }
}

/// The refusal of a request.
fn refusal(refused: &v1::Refused, request: u32) -> Refusal {
    assert_eq!((refused.request, refused.counter), (request, 0));
    Refusal::from_number(refused.code).unwrap()
}

async fn changes(by: &mut Person, change: v1::GroupChange) -> Result<u64, Refusal> {
    let request = by.request();
    by.link().says(&[v1::GroupChange { request, ..change }.into()]).await;
    match by.link().hears().await {
        ToClient::GroupChanged(changed) => {
            assert_eq!((changed.request, changed.group), (request, group()));
            Ok(changed.epoch)
        }
        ToClient::Refused(refused) => Err(refusal(&refused, request)),
        other => panic!("{other:?}"),
    }
}

async fn fetches(
    by: &mut Person,
    after_epoch: u64,
    secret: &[u8],
) -> Result<v1::GroupLog, Refusal> {
    let request = by.request();
    let invite_secret = Bytes::copy_from_slice(secret);
    by.link()
        .says(&[v1::GroupFetch { request, group: group(), after_epoch, invite_secret }.into()])
        .await;
    match by.link().hears().await {
        ToClient::GroupLog(log) => Ok(log),
        ToClient::Refused(refused) => Err(refusal(&refused, request)),
        other => panic!("{other:?}"),
    }
}

async fn roster(by: &mut Person) -> Result<v1::Roster, Refusal> {
    let request = by.request();
    by.link().says(&[v1::GroupRoster { request, group: group() }.into()]).await;
    match by.link().hears().await {
        ToClient::Roster(roster) => Ok(roster),
        ToClient::Refused(refused) => Err(refusal(&refused, request)),
        other => panic!("{other:?}"),
    }
}

/// Accounts with the newest counter that they have, and that they have read.
async fn progress(by: &mut Person, counter: u64) -> Vec<(u64, u64, u64)> {
    let request = by.request();
    let ask = v1::GroupProgress { request, group: group(), origin: 1, counter };
    by.link().says(&[ask.into()]).await;
    match by.link().hears().await {
        ToClient::Progress(progress) => {
            let reached = progress.reached.iter();
            reached.map(|one| (one.account, one.up_to, one.read_up_to)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Says that it has read what the author's first device posted, and hears that this is stored.
async fn reads(by: &mut Person, author: &Person, up_to: u64) {
    let request = by.request();
    let marks = vec![v1::PostRead { account: author.account().0, device: 1, up_to }];
    by.link().says(&[v1::GroupRead { request, group: group(), marks }.into()]).await;
    assert_eq!(by.link().hears().await, v1::GroupReadTaken { request }.into());
}

/// Posts a text; one tick, or the refusal.
async fn posts(
    by: &mut Person,
    epoch: u64,
    devices_version: u64,
    text: &str,
) -> Result<u64, Refusal> {
    by.counter += 1;
    let counter = by.counter;
    let body = Bytes::copy_from_slice(text.as_bytes());
    let post = v1::GroupPost { group: group(), epoch, devices_version, body };
    let submit = v1::Submit { counter, recipients: vec![], group: Some(post) };
    by.link().says(&[submit.into()]).await;
    match by.link().hears().await {
        ToClient::Accepted(accepted) => {
            assert_eq!(accepted.counter, counter);
            Ok(counter)
        }
        ToClient::Refused(refused) => {
            assert_eq!((refused.request, refused.counter), (0, counter));
            Err(Refusal::from_number(refused.code).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

async fn hears_news(person: &mut Person, epoch: u64) -> v1::GroupNews {
    match person.link().hears().await {
        ToClient::GroupNews(news) => {
            assert_eq!((&news.group, news.epoch), (&group(), epoch), "{}", person.handle);
            person.link().says(&[v1::Ack { up_to: news.seq }.into()]).await;
            news
        }
        other => panic!("{} expected news, not {other:?}", person.handle),
    }
}

async fn hears_post(person: &mut Person, text: &str, from: &Person, epoch: u64) -> v1::Deliver {
    match person.link().hears().await {
        ToClient::Deliver(deliver) => {
            assert_eq!(String::from_utf8_lossy(&deliver.body), text, "{}", person.handle);
            assert_eq!((deliver.account, deliver.device), (from.account().0, 1));
            assert_eq!((&deliver.group, deliver.epoch), (&group(), epoch));
            assert_eq!(deliver.kind, i32::from(v1::CopyKind::Group));
            deliver
        }
        other => panic!("{} expected {text:?}, not {other:?}", person.handle),
    }
}

/// Counter, accounts, readers.
async fn hears_reach(person: &mut Person, posts: &[(u64, u32, u32)]) -> v1::GroupReceipt {
    match person.link().hears().await {
        ToClient::GroupReceipt(receipt) => {
            assert_eq!((&receipt.group, receipt.origin), (&group(), 1));
            let told = receipt.posts.iter();
            let told: Vec<_> =
                told.map(|post| (post.counter, post.accounts, post.readers)).collect();
            assert_eq!(told, posts);
            receipt
        }
        other => panic!("{} expected a receipt, not {other:?}", person.handle),
    }
}

/// Alice is the admin of a group with the others, who have heard of it.
async fn group_of(alice: &mut Person, others: &mut [&mut Person]) {
    let mut first = entry(1, &[(alice, ADMIN)]);
    first
        .members
        .extend(entry(1, &others.iter().map(|it| (&**it, MEMBER)).collect::<Vec<_>>()).members);
    assert_eq!(changes(alice, first).await, Ok(1));
    for person in others {
        hears_news(person, 1).await;
    }
}

#[tokio::test]
async fn a_group_is_made_posted_to_and_its_receipts_are_counted() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let (mut carol, mut dave) = (world.joins("carol").await, world.joins("dave").await);
    group_of(&mut alice, &mut [&mut bob, &mut carol]).await;
    let who = roster(&mut bob).await.unwrap();
    assert_eq!((who.epoch, who.devices_version, who.members.len()), (1, 0, 3));
    assert_eq!(roster(&mut dave).await, Err(Refusal::NotMember));
    let log = fetches(&mut carol, 0, &[]).await.unwrap();
    assert_eq!((log.epoch, log.entries.len()), (1, 1));
    assert_eq!(log.entries[0].signed, "entry 1");

    carol.hangs_up();
    let counter = posts(&mut alice, 1, 0, "hello all").await.unwrap();
    let deliver = hears_post(&mut bob, "hello all", &alice, 1).await;
    bob.acknowledges(&deliver).await;
    let receipt = hears_reach(&mut alice, &[(counter, 1, 0)]).await;
    let waiting = carol.comes_back().await;
    let [ToClient::Deliver(deliver)] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((&deliver.body[..], &deliver.group), (&b"hello all"[..], &group()));
    carol.acknowledges(deliver).await;
    // What she sends after her acknowledgement is decided after it.
    let after = carol.sends("got it").to(&alice).await;
    carol.sees_tick(after).await;
    alice.receives("got it", &carol).await;
    // The next receipt follows the acknowledgement of the last.
    alice.link().says(&[v1::Ack { up_to: receipt.seq }.into()]).await;
    hears_reach(&mut alice, &[(counter, 2, 0)]).await;
    let mut both = [(bob.account().0, counter, 0), (carol.account().0, counter, 0)];
    both.sort_unstable();
    assert_eq!(progress(&mut alice, counter).await, both);
    assert_eq!(progress(&mut alice, counter + 1).await, []);
    let counter = dave.sends("nothing of the group came before this").to(&carol).await;
    dave.sees_tick(counter).await;
    carol.receives("nothing of the group came before this", &dave).await;
}

/// A stranger is answered as a member is, and learns and changes nothing.
#[tokio::test]
async fn what_is_read_of_a_group_is_counted_for_its_author() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let (mut carol, mut dave) = (world.joins("carol").await, world.joins("dave").await);
    group_of(&mut alice, &mut [&mut bob, &mut carol]).await;
    let first = posts(&mut alice, 1, 0, "one").await.unwrap();
    let last = posts(&mut alice, 1, 0, "two").await.unwrap();
    hears_post(&mut bob, "one", &alice, 1).await;
    let deliver = hears_post(&mut bob, "two", &alice, 1).await;
    reads(&mut bob, &alice, last).await; // not acknowledged: it counts for nothing
    reads(&mut dave, &alice, last).await;
    bob.acknowledges(&deliver).await;
    let receipt = hears_reach(&mut alice, &[(first, 1, 0), (last, 1, 0)]).await;
    alice.link().says(&[v1::Ack { up_to: receipt.seq }.into()]).await;
    hears_post(&mut carol, "one", &alice, 1).await;
    hears_post(&mut carol, "two", &alice, 1).await;
    reads(&mut carol, &alice, last).await; // nothing of it was acknowledged either
    reads(&mut dave, &alice, last).await;
    reads(&mut alice, &bob, last).await;
    reads(&mut bob, &alice, first).await;
    let receipt = hears_reach(&mut alice, &[(first, 1, 1), (last, 1, 0)]).await;
    reads(&mut bob, &alice, u64::MAX).await;
    alice.link().says(&[v1::Ack { up_to: receipt.seq }.into()]).await;
    hears_reach(&mut alice, &[(first, 1, 1), (last, 1, 1)]).await;
    assert_eq!(progress(&mut alice, last).await, [(bob.account().0, last, last)]);
    assert_eq!(progress(&mut dave, 0).await, []);
}

/// Each mark of a request counts, for the device that it names and no other.
#[tokio::test]
async fn one_request_tells_what_is_read_of_several_authors() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut carol = world.joins("carol").await;
    group_of(&mut alice, &mut [&mut bob, &mut carol]).await;
    let one = posts(&mut alice, 1, 0, "one").await.unwrap();
    hears_post(&mut bob, "one", &alice, 1).await;
    hears_post(&mut carol, "one", &alice, 1).await;
    let two = posts(&mut carol, 1, 0, "two").await.unwrap();
    hears_post(&mut alice, "two", &carol, 1).await;
    let deliver = hears_post(&mut bob, "two", &carol, 1).await;
    bob.acknowledges(&deliver).await;
    hears_reach(&mut alice, &[(one, 1, 0)]).await;
    hears_reach(&mut carol, &[(two, 1, 0)]).await;
    let mark = |author: &Person, device, up_to| {
        let account = author.account().0;
        v1::PostRead { account, device, up_to }
    };
    let other_device = vec![mark(&alice, 2, one)];
    let both = vec![mark(&carol, 1, two), mark(&alice, 1, one)];
    for (marks, of_alice, of_carol) in [(other_device, 0, 0), (both, one, two)] {
        let request = bob.request();
        bob.link().says(&[v1::GroupRead { request, group: group(), marks }.into()]).await;
        assert_eq!(bob.link().hears().await, v1::GroupReadTaken { request }.into());
        assert_eq!(progress(&mut alice, one).await, [(bob.account().0, one, of_alice)]);
        assert_eq!(progress(&mut carol, two).await, [(bob.account().0, two, of_carol)]);
    }
}

#[tokio::test]
async fn who_was_removed_gets_nothing_after_it_and_who_leaves_likewise() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut carol = world.joins("carol").await;
    group_of(&mut alice, &mut [&mut bob, &mut carol]).await;
    assert_eq!(changes(&mut alice, entry(2, &[(&bob, GONE)])).await, Ok(2));
    hears_news(&mut bob, 2).await;
    hears_news(&mut carol, 2).await;
    assert_eq!(posts(&mut alice, 1, 0, "late").await, Err(Refusal::GroupEpochStale));
    posts(&mut alice, 2, 0, "without bob").await.unwrap();
    hears_post(&mut carol, "without bob", &alice, 2).await;
    assert_eq!(posts(&mut bob, 2, 0, "hey").await, Err(Refusal::NotMember));
    assert_eq!(roster(&mut bob).await, Err(Refusal::NotMember));
    let leaves = entry(3, &[(&carol, GONE)]);
    assert_eq!(changes(&mut carol, leaves.clone()).await, Ok(3));
    assert_eq!(changes(&mut carol, leaves).await, Ok(3), "the answer was lost");
    hears_news(&mut alice, 3).await;
    posts(&mut alice, 3, 0, "alone").await.unwrap();
    let log = fetches(&mut bob, 1, &[]).await.unwrap();
    assert_eq!((log.epoch, log.entries.len(), log.entries[0].epoch), (2, 1, 2));
    for person in [&mut bob, &mut carol] {
        let counter = alice.sends("only this").to(person).await;
        alice.sees_tick(counter).await;
        person.receives("only this", &alice).await;
    }
    let last = entry(4, &[(&alice, GONE)]);
    assert_eq!(changes(&mut alice, last).await, Ok(4));
    assert_eq!(posts(&mut alice, 4, 0, "x").await, Err(Refusal::GroupUnknown));
    assert_eq!(roster(&mut alice).await, Err(Refusal::GroupUnknown));
}

#[tokio::test]
async fn a_link_lets_in_whoever_has_its_secret() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut carol = world.joins("carol").await;
    group_of(&mut alice, &mut []).await;
    let joins = |person: &Person, secret: &[u8], epoch| v1::GroupChange {
        invite_secret: Bytes::copy_from_slice(secret),
        ..entry(epoch, &[(person, MEMBER)])
    };
    let opened = |hash: &[u8]| v1::GroupSettings {
        only_admins_write: false,
        invite_hash: Bytes::copy_from_slice(hash),
    };
    let with =
        |epoch, hash: &[u8]| v1::GroupChange { settings: Some(opened(hash)), ..entry(epoch, &[]) };
    let short = changes(&mut alice, with(2, &[1; 31])).await;
    assert_eq!(short, Err(Refusal::GroupChangeInvalid));
    assert_eq!(changes(&mut alice, with(2, &Sha256::digest(SECRET))).await, Ok(2));
    assert_eq!(fetches(&mut bob, 0, &[]).await, Err(Refusal::NotMember));
    assert_eq!(fetches(&mut bob, 0, &[8; 32]).await, Err(Refusal::InviteLinkInvalid));
    assert_eq!(fetches(&mut bob, 0, &[7; 31]).await, Err(Refusal::InviteLinkInvalid));
    assert_eq!(fetches(&mut bob, 0, SECRET).await.unwrap().entries.len(), 2);
    let by_bob = joins(&bob, &[8; 32], 3);
    assert_eq!(changes(&mut bob, by_bob).await, Err(Refusal::InviteLinkInvalid));
    let by_bob = joins(&bob, &[], 3);
    assert_eq!(changes(&mut bob, by_bob).await, Err(Refusal::NotMember));
    let of_carol = joins(&carol, SECRET, 3);
    assert_eq!(changes(&mut bob, of_carol).await, Err(Refusal::NotAdmin));
    let by_bob = joins(&bob, SECRET, 3);
    assert_eq!(changes(&mut bob, by_bob).await, Ok(3));
    hears_news(&mut alice, 3).await;
    posts(&mut bob, 3, 0, "here I am").await.unwrap();
    hears_post(&mut alice, "here I am", &bob, 3).await;
    assert_eq!(changes(&mut alice, with(4, &[])).await, Ok(4));
    let late = joins(&carol, SECRET, 5);
    assert_eq!(changes(&mut carol, late).await, Err(Refusal::InviteLinkInvalid));
}

#[tokio::test]
async fn only_admins_write_where_they_say_so_and_only_they_change() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let carol = world.joins("carol").await;
    group_of(&mut alice, &mut [&mut bob]).await;
    assert_eq!(changes(&mut bob, entry(2, &[(&carol, MEMBER)])).await, Err(Refusal::NotAdmin));
    let quiet = v1::GroupSettings { only_admins_write: true, invite_hash: Bytes::new() };
    let quiet = v1::GroupChange { settings: Some(quiet), ..entry(2, &[]) };
    assert_eq!(changes(&mut alice, quiet).await, Ok(2));
    hears_news(&mut bob, 2).await;
    assert_eq!(posts(&mut bob, 2, 0, "but").await, Err(Refusal::NotAdmin));
    posts(&mut alice, 2, 0, "announced").await.unwrap();
    hears_post(&mut bob, "announced", &alice, 2).await;
    assert_eq!(changes(&mut alice, entry(3, &[(&bob, ADMIN)])).await, Ok(3));
    hears_news(&mut bob, 3).await; // he acknowledges up to it, and so what was announced
    hears_reach(&mut alice, &[(1, 1, 0)]).await;
    posts(&mut bob, 3, 0, "now").await.unwrap();
    hears_post(&mut alice, "now", &bob, 3).await;
    let mut odd = entry(4, &[]);
    odd.members = vec![v1::GroupMember { account: bob.account().0, role: 9 }];
    assert_eq!(changes(&mut alice, odd).await, Err(Refusal::GroupChangeInvalid));
}

#[tokio::test]
async fn a_device_that_comes_makes_posts_stale_until_the_roster_is_looked_at() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    group_of(&mut alice, &mut [&mut bob]).await;
    let mut tablet = Person::new(&bob.join, "bob");
    tablet.account_key = bob.account_key;
    let row = |number, of: &Person| v1::DeviceRow {
        number,
        link_key: Bytes::copy_from_slice(&of.link_key.public().0),
    };
    let list = v1::DeviceListUpload {
        version: 2,
        devices: vec![row(1, &bob), row(2, &tablet)],
        signed: "signed list 2".into(),
    };
    let publication = bob.publication(list);
    bob.link().says(&[publication.into()]).await;
    let published = bob.link().hears().await;
    assert!(matches!(published, ToClient::DeviceListPublished(_)), "{published:?}");
    tablet.comes_back().await;
    assert_eq!(posts(&mut alice, 1, 0, "old").await, Err(Refusal::GroupListsStale));
    let who = roster(&mut alice).await.unwrap();
    let versions: Vec<_> = who.members.iter().map(|row| (row.account, row.list_version)).collect();
    assert!(versions.contains(&(bob.account().0, 2)), "{versions:?}");
    alice.counter -= 1; // under the same counter
    let counter = posts(&mut alice, 1, who.devices_version, "new").await.unwrap();
    assert_eq!(counter, 1);
    for device in [&mut bob, &mut tablet] {
        let deliver = hears_post(device, "new", &alice, 1).await;
        device.acknowledges(&deliver).await;
    }
    hears_reach(&mut alice, &[(1, 1, 0)]).await;
    posts(&mut bob, 1, who.devices_version, "to my own too").await.unwrap();
    hears_post(&mut tablet, "to my own too", &bob, 1).await;
}

#[tokio::test]
async fn to_a_small_group_copies_go_and_for_nobody_else() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut carol = world.joins("carol").await;
    group_of(&mut alice, &mut [&mut bob, &mut carol]).await;
    let to = |people: &[&Person]| -> Vec<v1::Recipient> {
        let copy = v1::SealedCopy { device: 1, kind: 0, body: "copy".into() };
        let of = |person: &&Person| v1::Recipient {
            account: person.account().0,
            list_version: 1,
            copies: vec![copy.clone()],
        };
        people.iter().map(of).collect()
    };
    let submit = |counter, epoch, recipients| v1::Submit {
        counter,
        recipients,
        group: Some(v1::GroupPost {
            group: group(),
            epoch,
            devices_version: 0,
            body: Bytes::new(),
        }),
    };
    for (epoch, recipients, refusal) in
        [(2, to(&[&bob, &carol]), Refusal::GroupEpochStale), (1, to(&[&bob]), Refusal::Malformed)]
    {
        alice.link().says(&[submit(1, epoch, recipients).into()]).await;
        assert_eq!(alice.is_refused(1).await, (refusal, 0));
    }
    alice.link().says(&[submit(1, 1, to(&[&bob, &carol])).into()]).await;
    alice.sees_tick(1).await;
    for person in [&mut bob, &mut carol] {
        let deliver = person.receives("copy", &alice).await;
        assert_eq!((deliver.kind, deliver.group.len()), (0, 0), "as anybody's");
    }
}

#[tokio::test]
async fn a_group_outlives_the_server_and_strangers_have_none() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    group_of(&mut alice, &mut [&mut bob]).await;
    bob.hangs_up();
    posts(&mut alice, 1, 0, "kept").await.unwrap();
    alice.hangs_up();
    let data = world.stops().await;
    let world = World::on(data, |_| {}).await;
    (alice.join, bob.join) = (world.join.clone(), world.join.clone());
    let waiting = bob.comes_back().await;
    let [ToClient::Deliver(deliver)] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!(deliver.body, "kept");
    alice.comes_back().await;
    assert_eq!(roster(&mut alice).await.unwrap().members.len(), 2);
    let mut eve = Person::new(&world.join, "eve");
    eve.dials().await.unwrap();
    let by_eve = entry(1, &[(&eve, ADMIN)]);
    assert_eq!(changes(&mut eve, by_eve).await, Err(Refusal::NotRegistered));
    assert_eq!(fetches(&mut eve, 0, SECRET).await, Err(Refusal::NotRegistered));
    assert_eq!(roster(&mut eve).await, Err(Refusal::NotRegistered));
}
