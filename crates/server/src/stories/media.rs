//! Files that are over, and what a crash left behind.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use godwit_base::ManualClock;
use godwit_wire::{ToClient, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::person::Person;
use super::world::World;
use crate::media::{sweep, tidy};

const DAY_MS: u64 = 86_400_000;

fn name_of(file: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest(&SHA256, file).as_ref())
}

async fn asks(person: &mut Person, ask: v1::MediaGrantRequest) -> Option<v1::MediaGrant> {
    person.link().says(&[ask.into()]).await;
    match person.link().hears().await {
        ToClient::MediaGrant(grant) => Some(grant),
        ToClient::Refused(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn asks_up(person: &mut Person, file: &[u8]) -> v1::MediaGrant {
    let ask = v1::MediaGrantRequest {
        request: person.request(),
        direction: v1::MediaDirection::Up.into(),
        blob: name_of(file),
        bytes: file.len() as u64,
        fetchers: 0,
    };
    asks(person, ask).await.unwrap()
}

async fn is_there(person: &mut Person, file: &[u8]) -> bool {
    let ask = v1::MediaGrantRequest {
        request: person.request(),
        direction: v1::MediaDirection::Down.into(),
        blob: name_of(file),
        ..v1::MediaGrantRequest::default()
    };
    asks(person, ask).await.is_some()
}

/// Status of the answer to an upload.
async fn uploads(world: &World, ticket: &[u8], file: &[u8]) -> String {
    let mut socket = TcpStream::connect(world.join.address()).await.unwrap();
    let head = format!(
        "PATCH /media HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {}\r\nUpload-Offset: 0\r\n\
         Content-Length: {}\r\n\r\n",
        URL_SAFE_NO_PAD.encode(ticket),
        file.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(file).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// Every file that holds bytes of somebody's file.
fn kept(world: &World) -> Vec<PathBuf> {
    let mut folders = vec![world.data.path().join("media")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_none() => found.push(path),
                false => {}
            }
        }
    }
    found
}

const START_MS: u64 = 1_800_000_000_000;

/// A server whose wall clock a test sets; no time passes by that, so that nobody seems silent.
async fn with_clock() -> (World, ManualClock) {
    let clock = ManualClock::at(START_MS);
    let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
    (world, clock)
}

#[tokio::test]
async fn a_file_expires_at_its_moment_and_an_unfinished_upload_earlier() {
    let (world, clock) = with_clock().await;
    let mut alice = world.joins("alice").await;
    let node = &world.server.node;
    sweep(node).await;
    let (whole, begun) = (vec![1; 5_000], vec![2; 5_000]);
    let grant = asks_up(&mut alice, &whole).await;
    assert_eq!(uploads(&world, &grant.ticket, &whole).await, "204");
    let grant = asks_up(&mut alice, &begun).await;
    assert_eq!(uploads(&world, &grant.ticket, &begun[..100]).await, "204");
    let at = |days: u64, less_ms: u64| clock.set(START_MS + days * DAY_MS - less_ms);
    for days in 1..=2 {
        at(days, 0);
        sweep(node).await;
    }
    at(3, 1);
    sweep(node).await;
    assert_eq!(kept(&world).len(), 2);
    at(3, 0);
    sweep(node).await;
    assert_eq!(kept(&world).len(), 1, "the upload lapsed after three days");
    for days in 4..=29 {
        at(days, 0);
        sweep(node).await;
    }
    at(30, 1);
    sweep(node).await;
    assert!(is_there(&mut alice, &whole).await);
    at(30, 0);
    sweep(node).await;
    assert!(!is_there(&mut alice, &whole).await, "after thirty");
    assert!(kept(&world).is_empty());
}

#[tokio::test]
async fn an_old_ticket_is_over() {
    let (world, clock) = with_clock().await;
    let mut alice = world.joins("alice").await;
    let grant = asks_up(&mut alice, &[1; 5_000]).await;
    assert_eq!(grant.ticket_expires_ms, START_MS + 3_600_000);
    clock.set(START_MS + 3_600_000 - 1);
    assert_eq!(uploads(&world, &grant.ticket, &[1; 100]).await, "204");
    clock.set(START_MS + 3_600_000);
    assert_eq!(uploads(&world, &grant.ticket, &[1; 100]).await, "401");
}

#[tokio::test]
async fn what_no_row_speaks_of_is_tidied_away_and_the_rest_is_not() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let (whole, begun) = (vec![1; 5_000], vec![2; 5_000]);
    let grant = asks_up(&mut alice, &whole).await;
    assert_eq!(uploads(&world, &grant.ticket, &whole).await, "204");
    let grant = asks_up(&mut alice, &begun).await;
    assert_eq!(uploads(&world, &grant.ticket, &begun[..100]).await, "204");
    let media = world.data.path().join("media");
    let orphan = "ab".repeat(32);
    std::fs::create_dir_all(media.join("blobs/ab")).unwrap();
    std::fs::write(media.join("blobs/ab").join(&orphan), "left behind").unwrap();
    std::fs::write(media.join("spool").join(format!("{}-{orphan}", alice.account())), "x").unwrap();
    tidy(Arc::clone(&world.server.node)).await;
    let left: Vec<PathBuf> = kept(&world);
    assert!(left.len() == 2 && left.iter().all(|path| !path.ends_with(&orphan)), "{left:?}");
    assert!(is_there(&mut alice, &whole).await);
}

#[tokio::test]
async fn a_ticket_of_a_removed_device_is_void() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let grant = asks_up(&mut alice, &[1; 5_000]).await;
    let successor = godwit_store::DeviceList {
        version: 2,
        signed: "another".into(),
        devices: vec![(godwit_base::DeviceNumber(2), [9; 32])],
    };
    world
        .server
        .node
        .store
        .replace_list(
            godwit_store::Publisher::Device(super::device(&alice)),
            successor,
            super::first_keys(2),
        )
        .await
        .unwrap();
    assert_eq!(uploads(&world, &grant.ticket, &[1; 100]).await, "403");
}
