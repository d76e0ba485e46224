//! The bad network is as bad as it says, and no worse.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use godwit_bench::proxy::{Profile, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// Says `said` through the proxy and reads the echo to its end.
async fn says(proxy: &Proxy, said: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(proxy.address()).await.unwrap().into_split();
    let said = said.to_vec();
    let saying = tokio::spawn(async move {
        write.write_all(&said).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    read.read_to_end(&mut heard).await.unwrap();
    saying.await.unwrap();
    heard
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_clean_line_changes_nothing() {
    let proxy = Proxy::start(Profile::CLEAN, echo().await, 1).await.unwrap();
    let said = bytes(1_000_000);
    assert_eq!(says(&proxy, &said).await, said);
    let counts = proxy.counts();
    assert_eq!((counts.up_bytes, counts.down_bytes), (1_000_000, 1_000_000));
    assert_eq!((counts.connections, counts.lost, counts.cuts), (1, 0, 0));
}

#[tokio::test]
async fn a_slow_line_takes_the_time_of_its_bytes_and_its_way() {
    let profile = Profile { bits_per_s: 8_000_000, round_trip_ms: 40, ..Profile::CLEAN };
    let proxy = Proxy::start(profile, echo().await, 1).await.unwrap();
    let began = Instant::now();
    let said = bytes(100_000);
    assert_eq!(says(&proxy, &said).await, said);
    // 100 ms on the line, a round trip for the connection and one for the bytes.
    assert!(began.elapsed() >= Duration::from_millis(100 + 40 + 40), "{:?}", began.elapsed());
}

#[tokio::test]
async fn losses_delay_and_neither_drop_nor_reorder() {
    let profile = Profile { lost_per_mille: 200, retransmission_ms: 5, ..Profile::CLEAN };
    let mut lost = Vec::new();
    for seed in [1, 1, 2] {
        let proxy = Proxy::start(profile, echo().await, seed).await.unwrap();
        let said = bytes(200_000);
        assert_eq!(says(&proxy, &said).await, said);
        lost.push(proxy.counts().lost);
    }
    assert!(lost.iter().all(|lost| *lost > 0), "{lost:?}");
}

#[tokio::test]
async fn a_cut_ends_every_connection_and_another_can_be_made() {
    let profile = Profile { cut_every_ms: 30, ..Profile::CLEAN };
    let proxy = Proxy::start(profile, echo().await, 1).await.unwrap();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let mut heard = [0];
        // Nobody says anything: only the cut ends this.
        assert_eq!(stream.read(&mut heard).await.unwrap_or(0), 0);
    }
    assert!(proxy.counts().cuts >= 2);
}
