//! Files over HTTP: up in pieces, down in ranges, and every no. Nothing is sealed here: the "sealed
//! file" is any bytes.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use godwit_wire::{Refusal, ToClient, v1};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::disk::TestDisk;
use super::person::Person;
use super::world::World;

/// A file of so many bytes, each another.
fn file(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at * at + at / 251) % 256).unwrap()).collect()
}

fn name_of(file: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(file))
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn offset(&self) -> u64 {
        self.header("upload-offset").expect("an offset").parse().unwrap()
    }

    fn refusal(&self) -> Option<Refusal> {
        Refusal::from_number(self.header("godwit-refusal")?.parse().unwrap())
    }
}

/// One request on a connection of its own.
async fn request(world: &World, head: &str, ticket: &[u8], body: &[u8]) -> Answer {
    let mut socket = begin(world, head, ticket, body).await;
    let mut raw = Vec::new();
    // A reset after the answer is as good as its end.
    while matches!(socket.read_buf(&mut raw).await, Ok(n) if n > 0) {}
    let end = raw.windows(4).position(|at| at == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: raw[end + 4..].to_vec() }
}

/// Sends a request and leaves it there.
async fn begin(world: &World, head: &str, ticket: &[u8], body: &[u8]) -> TcpStream {
    let address = (world.join.host.as_str(), world.join.port);
    let mut socket = TcpStream::connect(address).await.unwrap();
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut text = format!("{line} /media HTTP/1.1\r\nHost: godwit\r\n");
    let ticket = URL_SAFE_NO_PAD.encode(ticket);
    write!(text, "Authorization: Bearer {ticket}\r\n").unwrap();
    headers.lines().for_each(|header| write!(text, "{header}\r\n").unwrap());
    let says_its_length = ["Content-Length", "Transfer-Encoding"];
    if !body.is_empty() && !says_its_length.iter().any(|name| headers.contains(name)) {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    socket.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
    // The server may have said no and closed before it read all of it.
    let _ = socket.write_all(body).await;
    socket
}

async fn patch(world: &World, ticket: &[u8], offset: u64, body: &[u8]) -> Answer {
    request(world, &format!("PATCH\nUpload-Offset: {offset}"), ticket, body).await
}

async fn get(world: &World, ticket: &[u8], range: &str) -> Answer {
    let head = if range.is_empty() { "GET".to_owned() } else { format!("GET\nRange: {range}") };
    request(world, &head, ticket, &[]).await
}

impl Person {
    async fn asks(&mut self, ask: v1::MediaGrantRequest) -> Result<v1::MediaGrant, Refusal> {
        let request = self.request();
        self.link().says(&[v1::MediaGrantRequest { request, ..ask }.into()]).await;
        match self.link().hears().await {
            ToClient::MediaGrant(grant) => {
                assert_eq!(grant.request, request);
                Ok(grant)
            }
            ToClient::Refused(refused) => {
                assert_eq!(refused.request, request);
                let refusal = Refusal::from_number(refused.code).unwrap();
                assert_eq!(refused.retry_after_ms > 0, refusal.retryable());
                Err(refusal)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asks to upload a file of that name and length, which so many devices will fetch.
    async fn asks_up(
        &mut self,
        blob: Bytes,
        bytes: u64,
        fetchers: u32,
    ) -> Result<v1::MediaGrant, Refusal> {
        let direction = v1::MediaDirection::Up.into();
        self.asks(v1::MediaGrantRequest { request: 0, direction, blob, bytes, fetchers }).await
    }

    async fn asks_down(&mut self, blob: Bytes) -> Result<v1::MediaGrant, Refusal> {
        let direction = v1::MediaDirection::Down.into();
        let ask = v1::MediaGrantRequest { request: 0, direction, blob, bytes: 0, fetchers: 0 };
        self.asks(ask).await
    }

    async fn has_fetched(&mut self, blob: Bytes) {
        let request = self.request();
        self.link().says(&[v1::MediaFetched { request, blob }.into()]).await;
        match self.link().hears().await {
            ToClient::MediaNoted(noted) => assert_eq!(noted.request, request),
            other => panic!("{other:?}"),
        }
    }

    /// Uploads a whole file.
    async fn uploads(&mut self, world: &World, file: &[u8], fetchers: u32) {
        let grant = self.asks_up(name_of(file), file.len() as u64, fetchers).await.unwrap();
        let answer = patch(world, &grant.ticket, grant.offset, file).await;
        assert_eq!((answer.status, answer.offset()), (204, file.len() as u64), "{answer:?}");
    }
}

/// Files of the data folder that hold bytes of somebody's file.
fn kept(world: &World) -> usize {
    let mut folders = vec![world.data.path().join("media")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => count += usize::from(path.extension().is_none()),
            }
        }
    }
    count
}

#[tokio::test]
async fn a_file_goes_up_in_pieces_and_comes_down_in_ranges_until_all_have_it() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let file = file(300_000);
    let blob = name_of(&file);
    let grant = alice.asks_up(blob.clone(), 300_000, 1).await.unwrap();
    assert_eq!((grant.bytes, grant.offset, grant.already_there), (300_000, 0, false));
    assert!(grant.blob_expires_ms > grant.ticket_expires_ms);
    assert_eq!(bob.asks_down(blob.clone()).await, Err(Refusal::MediaGone), "not yet");

    let answer = patch(&world, &grant.ticket, 0, &file[..100_000]).await;
    assert_eq!((answer.status, answer.offset()), (204, 100_000));
    let head = request(&world, "HEAD", &grant.ticket, &[]).await;
    assert_eq!((head.status, head.offset()), (200, 100_000));
    assert_eq!(head.header("upload-length"), Some("300000"));
    let wrong = patch(&world, &grant.ticket, 0, &file).await;
    assert_eq!((wrong.status, wrong.offset()), (409, 100_000), "not from there");
    let again = alice.asks_up(blob.clone(), 300_000, 1).await.unwrap();
    assert_eq!(again.offset, 100_000);
    let answer = patch(&world, &again.ticket, 100_000, &file[100_000..]).await;
    assert_eq!((answer.status, answer.offset()), (204, 300_000));
    assert!(alice.asks_up(blob.clone(), 300_000, 1).await.unwrap().already_there);
    assert!(bob.asks_up(blob.clone(), 300_000, 1).await.unwrap().already_there, "once for all");

    let grant = bob.asks_down(blob.clone()).await.unwrap();
    assert_eq!(grant.bytes, 300_000);
    let whole = get(&world, &grant.ticket, "").await;
    assert_eq!((whole.status, whole.body == file), (200, true));
    assert_eq!(whole.header("cache-control"), Some("no-store"));
    let rest = get(&world, &grant.ticket, "bytes=250001-").await;
    assert_eq!((rest.status, rest.body == file[250_001..]), (206, true));
    assert_eq!(rest.header("content-range"), Some("bytes 250001-299999/300000"));
    assert_eq!(get(&world, &grant.ticket, "bytes=300000-").await.status, 416);

    assert_eq!(kept(&world), 1);
    bob.has_fetched(blob.clone()).await;
    assert!(bob.asks_down(blob.clone()).await.is_ok(), "two were named: one by each holder");
    alice.has_fetched(blob.clone()).await;
    assert_eq!(bob.asks_down(blob).await, Err(Refusal::MediaGone));
    assert_eq!(get(&world, &grant.ticket, "").await.refusal(), Some(Refusal::MediaGone));
    assert_eq!(kept(&world), 0);
}

#[tokio::test]
async fn a_cut_upload_goes_on_where_it_stopped_over_a_restart_too() {
    let mut world = World::new().await;
    let mut alice = world.joins("alice").await;
    let file = file(2_000_000);
    let mut offset = 0;
    for cut in [700_000_usize, 1_500_000] {
        let grant = alice.asks_up(name_of(&file), 2_000_000, 0).await.unwrap();
        assert_eq!(grant.offset, offset);
        let head = format!("PATCH\nUpload-Offset: {offset}\nContent-Length: 2000000");
        let head = head.replace("2000000", &(2_000_000 - offset).to_string());
        let start = usize::try_from(offset).unwrap();
        drop(begin(&world, &head, &grant.ticket, &file[start..cut]).await);
        // Whoever asks ends the upload that was cut, and is told how far it came.
        offset = request(&world, "HEAD", &grant.ticket, &[]).await.offset();
        assert!(offset <= cut as u64, "{offset}");
        // What it had not yet read of the cut one is lost; the next piece brings it.
        let start = usize::try_from(offset).unwrap();
        offset = patch(&world, &grant.ticket, offset, &file[start..cut]).await.offset();
        assert_eq!(offset, cut as u64);
        alice.hangs_up();
        world = World::on(world.stops().await, |_| {}).await;
        let stale = patch(&world, &grant.ticket, offset, &file[cut..]).await;
        assert_eq!(stale.refusal(), Some(Refusal::MediaTicket), "tickets end with the process");
        alice.join = world.join.clone();
        alice.comes_back().await;
    }
    let grant = alice.asks_up(name_of(&file), 2_000_000, 0).await.unwrap();
    assert_eq!(grant.offset, 1_500_000);
    let answer = patch(&world, &grant.ticket, 1_500_000, &file[1_500_000..]).await;
    assert_eq!((answer.status, answer.offset()), (204, 2_000_000));
    let grant = alice.asks_down(name_of(&file)).await.unwrap();
    assert!(get(&world, &grant.ticket, "").await.body == file);
}

#[tokio::test]
async fn a_ticket_opens_what_it_says_and_nothing_else() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let file = file(10_000);
    let blob = name_of(&file);
    let of_alice = alice.asks_up(blob.clone(), 10_000, 0).await.unwrap();
    let of_bob = bob.asks_up(blob.clone(), 10_000, 0).await.unwrap();
    // Each uploads for himself: rubbish of one does not spoil the other's.
    assert_eq!(
        patch(&world, &of_bob.ticket, 0, &[0; 10_000]).await.refusal(),
        Some(Refusal::MediaDamaged)
    );
    assert_eq!(patch(&world, &of_bob.ticket, 0, &[0; 5_000]).await.offset(), 5_000);
    assert_eq!(request(&world, "HEAD", &of_alice.ticket, &[]).await.offset(), 0);
    assert_eq!(patch(&world, &of_alice.ticket, 0, &file).await.offset(), 10_000);
    assert_eq!(request(&world, "HEAD", &of_bob.ticket, &[]).await.offset(), 10_000, "it is there");

    let down = bob.asks_down(blob).await.unwrap();
    let mut changed = down.ticket.to_vec();
    changed[40] ^= 1;
    for (head, ticket) in [
        ("GET", &of_alice.ticket[..]),
        ("PATCH\nUpload-Offset: 0", &down.ticket),
        ("HEAD", &down.ticket),
        ("GET", &changed),
        ("GET", b"no ticket at all"),
        ("GET", b""),
    ] {
        let answer = request(&world, head, ticket, &[]).await;
        assert_eq!((answer.status, answer.refusal()), (401, Some(Refusal::MediaTicket)), "{head}");
    }
    assert_eq!(request(&world, "DELETE", &down.ticket, &[]).await.status, 400);
}

/// Whoever saw a ticket on its way can show it again.
#[tokio::test]
async fn an_upload_that_is_replayed_changes_nothing() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let file = file(50_000);
    let mut other = file.clone();
    other[0] ^= 1;
    let grant = alice.asks_up(name_of(&file), 50_000, 1).await.unwrap();
    assert_eq!(patch(&world, &grant.ticket, 0, &file).await.status, 204);
    for body in [&file, &other] {
        let answer = patch(&world, &grant.ticket, 0, body).await;
        assert_eq!((answer.status, answer.offset()), (409, 50_000), "it is there");
    }
    let down = alice.asks_down(name_of(&file)).await.unwrap();
    assert!(get(&world, &down.ticket, "").await.body == file);
    alice.has_fetched(name_of(&file)).await;
    let answer = patch(&world, &grant.ticket, 0, &file).await;
    assert_eq!((answer.status, answer.refusal()), (404, Some(Refusal::MediaGone)));
    assert_eq!(kept(&world), 0, "nor does it come back");
}

#[tokio::test]
async fn damaged_and_overlong_uploads_are_thrown_away() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let (file, mut other) = (file(50_000), file(50_000));
    other[49_999] ^= 1;
    let grant = alice.asks_up(name_of(&file), 50_000, 0).await.unwrap();
    let answer = patch(&world, &grant.ticket, 0, &[file.as_slice(), &[0]].concat()).await;
    assert_eq!((answer.status, answer.refusal()), (400, Some(Refusal::Malformed)), "one too many");
    let damaged = patch(&world, &grant.ticket, 0, &other).await;
    assert_eq!((damaged.status, damaged.refusal()), (422, Some(Refusal::MediaDamaged)));
    assert_eq!(
        (alice.asks_up(name_of(&file), 50_000, 0).await.unwrap().offset, kept(&world)),
        (0, 0)
    );
    assert_eq!(patch(&world, &grant.ticket, 0, &file).await.status, 204);
    // One too many, and nobody was told how many there are: what fits is kept.
    let grant = alice.asks_up(name_of(&other), 50_000, 0).await.unwrap();
    let chunks = [b"c351\r\n".as_slice(), &other, b"\0\r\n0\r\n\r\n"].concat();
    let head = "PATCH\nUpload-Offset: 0\nTransfer-Encoding: chunked";
    let answer = request(&world, head, &grant.ticket, &chunks).await;
    assert_eq!((answer.status, answer.refusal()), (400, Some(Refusal::Malformed)));
    let there = request(&world, "HEAD", &grant.ticket, &[]).await.offset();
    let rest = &other[usize::try_from(there).unwrap()..];
    assert_eq!(patch(&world, &grant.ticket, there, rest).await.status, 204);
}

#[tokio::test]
async fn both_sides_of_what_an_account_may_keep() {
    let world = World::with(|setup| {
        setup.config.media.blob_bytes_max = 60_000;
        setup.config.media.account_bytes_max = 100_000;
    })
    .await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let (first, second) = (file(60_000), file(40_000));
    assert_eq!(alice.asks_up(name_of(&first), 60_001, 1).await, Err(Refusal::MediaTooLarge));
    assert_eq!(alice.asks_up(name_of(&first), 0, 1).await, Err(Refusal::Malformed));
    alice.uploads(&world, &first, 1).await;
    let third = name_of(b"third");
    assert_eq!(alice.asks_up(third.clone(), 40_001, 1).await, Err(Refusal::MediaQuota));
    alice.uploads(&world, &second, 1).await;
    assert_eq!(alice.asks_up(third.clone(), 1, 1).await, Err(Refusal::MediaQuota));
    assert!(bob.asks_up(third.clone(), 60_000, 1).await.is_ok(), "another account");
    bob.has_fetched(name_of(&first)).await;
    assert!(alice.asks_up(third, 60_000, 1).await.is_ok(), "there is room again");
}

#[tokio::test]
async fn a_full_disk_is_told_and_heals() {
    let disk = TestDisk::default();
    let world = World::with(|setup| setup.disk = std::sync::Arc::new(disk.clone())).await;
    let mut alice = world.joins("alice").await;
    let file = file(200_000);
    let reserve = 64 * 1024 * 1024;
    disk.has_free(reserve + 199_999);
    assert_eq!(alice.asks_up(name_of(&file), 200_000, 0).await, Err(Refusal::DiskFull));
    disk.has_free(reserve + 200_000);
    let grant = alice.asks_up(name_of(&file), 200_000, 0).await.unwrap();
    disk.has_free(reserve);
    let full = patch(&world, &grant.ticket, 0, &file).await;
    assert_eq!((full.status, full.refusal()), (507, Some(Refusal::DiskFull)));
    assert!(full.header("retry-after").is_some());
    disk.has_free(u64::MAX);
    let there = request(&world, "HEAD", &grant.ticket, &[]).await.offset();
    let rest = &file[usize::try_from(there).unwrap()..];
    assert_eq!(patch(&world, &grant.ticket, there, rest).await.offset(), 200_000);
}

#[tokio::test]
async fn strangers_get_no_tickets() {
    let world = World::new().await;
    let mut stranger = Person::new(&world.join, "stranger");
    stranger.dials().await.unwrap();
    let blob = name_of(b"any");
    assert_eq!(stranger.asks_up(blob.clone(), 1, 0).await, Err(Refusal::NotRegistered));
    let request = stranger.request();
    stranger.link().says(&[v1::MediaFetched { request, blob }.into()]).await;
    let ToClient::Refused(refused) = stranger.link().hears().await else { panic!() };
    assert_eq!(refused.code, u32::from(Refusal::NotRegistered.number()));
}

/// Makes a bucket. Keys come from the environment, as the server's own do.
#[cfg(feature = "s3")]
async fn makes_bucket(endpoint: &str, name: &str) {
    use object_store::signer::Signer;

    let bucket = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(name);
    let bucket = bucket.with_endpoint(endpoint).with_allow_http(true).build().unwrap();
    let (method, a_minute) = (hyper::Method::PUT, std::time::Duration::from_secs(60));
    let signed = bucket.signed_url(method, &"".into(), a_minute).await.unwrap();
    let address = endpoint.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let ask = format!(
        "PUT {}?{} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        signed.path(),
        signed.query().unwrap()
    );
    socket.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[cfg(feature = "s3")]
#[tokio::test]
#[ignore = "needs something that speaks S3: cargo xtask test --only s3"]
async fn files_lie_in_a_bucket_if_the_operator_says_so() {
    let endpoint = std::env::var("GODWIT_TEST_S3").expect("its web address");
    makes_bucket(&endpoint, "godwit").await;
    let world = World::with(|setup| {
        setup.config.media.bucket = Some("godwit".to_owned());
        setup.config.media.endpoint = Some(endpoint);
        setup.config.media.region = Some("us-east-1".to_owned());
    })
    .await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    // Three parts of 8 MiB, and one small enough for a single one.
    for file in [file(20_000_000), file(1_000)] {
        alice.uploads(&world, &file, 1).await;
        assert_eq!(kept(&world), 0, "nothing stays in the data folder");
        let grant = bob.asks_down(name_of(&file)).await.unwrap();
        assert!(get(&world, &grant.ticket, "").await.body == file);
        let rest = get(&world, &grant.ticket, "bytes=500-").await;
        assert!((rest.status, rest.body == file[500..]) == (206, true));
        bob.has_fetched(name_of(&file)).await;
        assert_eq!(bob.asks_down(name_of(&file)).await, Err(Refusal::MediaGone));
    }
}
