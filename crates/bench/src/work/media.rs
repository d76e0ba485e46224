//! A file, up and down again, with cuts: how fast it goes, what it costs, and whether the server's
//! memory stays flat. The "sealed file" is noise: the server cannot tell, and this program may not seal.

mod http;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_wire::{ToClient, ToServer, v1};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::conn::{Conn, Via};
use crate::device::Cast;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes};
use crate::progress;
use crate::server::Site;
use http::Http;

/// Bytes made, sent, or taken at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes between two looks at the server's memory.
const LOOK_BYTES: u64 = 16 * 1024 * 1024;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes of the file.
    pub bytes: u64,
    /// Cuts in each direction, evenly.
    pub cuts: u64,
}

/// What a file costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    bytes: u64,
    /// Connections that were cut on the way up, and on the way down.
    pub cuts_up: u64,
    /// See above.
    pub cuts_down: u64,
    up_seconds: f64,
    down_seconds: f64,
    up_mb_per_s: f64,
    down_mb_per_s: f64,
    /// CPU time of the server for both ways.
    server_cpu_s_per_gib: Option<f64>,
    server_memory_before_bytes: Option<u64>,
    /// The most that was seen, once each 16 MiB.
    server_memory_most_bytes: Option<u64>,
    server_memory_after_bytes: Option<u64>,
    /// What came down is what went up.
    pub same_digest: bool,
    conditions: Conditions,
}

/// Sends and fetches a file.
///
/// # Errors
/// [`LoadError`] when the server refuses.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let to = site.endpoint();
    let device = Cast::new(rand::random()).device(0);
    let mut conn = Conn::open(to, &device.link, None, Via::Full).await?;
    conn.register(&device).await?;
    conn.attach().await?;
    let noise = Noise(rand::random::<u64>() | 1);
    let digest = noise.digest(plan.bytes);
    let mut watch = Watch::new(site.processes());
    let before = watch.memory();
    let cpu_before = site.processes().and_then(Processes::cpu);
    let mut transfer =
        Transfer { conn, address: to.address, plan, noise, digest, watch: &mut watch };
    let began = Instant::now();
    let cuts_up = transfer.up().await?;
    let up = began.elapsed();
    let began = Instant::now();
    let (cuts_down, same_digest) = transfer.down().await?;
    let down = began.elapsed();
    transfer.conn.hang_up()?;
    let cpu = site.processes().and_then(Processes::cpu).zip(cpu_before);
    let cpu = cpu.map(|(after, before)| after.saturating_sub(before));
    let per_s = |took: Duration| plan.bytes as f64 / 1e6 / took.as_secs_f64();
    Ok(Report {
        workload: "media",
        bytes: plan.bytes,
        cuts_up,
        cuts_down,
        up_seconds: up.as_secs_f64(),
        down_seconds: down.as_secs_f64(),
        up_mb_per_s: per_s(up),
        down_mb_per_s: per_s(down),
        server_cpu_s_per_gib: cpu
            .map(|cpu| cpu.as_secs_f64() * (1_u64 << 30) as f64 / plan.bytes as f64),
        server_memory_before_bytes: before,
        server_memory_most_bytes: watch.most,
        server_memory_after_bytes: watch.memory(),
        same_digest,
        conditions,
    })
}

/// One file and the two ways that it goes.
struct Transfer<'a> {
    conn: Conn,
    address: SocketAddr,
    plan: &'a Plan,
    noise: Noise,
    digest: Bytes,
    watch: &'a mut Watch,
}

impl Transfer<'_> {
    async fn grant(&mut self, direction: v1::MediaDirection) -> Result<v1::MediaGrant, LoadError> {
        let ask = v1::MediaGrantRequest {
            request: 1,
            direction: direction.into(),
            blob: self.digest.clone(),
            bytes: if direction == v1::MediaDirection::Up { self.plan.bytes } else { 0 },
            fetchers: 0,
        };
        let grant = |message| match message {
            ToClient::MediaGrant(grant) => Some(grant),
            _ => None,
        };
        self.conn.ask("a ticket", &ToServer::MediaGrant(ask), grant).await
    }

    /// Where the part ends that is the `cuts`th to be cut; the whole after the last cut.
    fn part_end(&self, cuts: u64) -> u64 {
        match cuts < self.plan.cuts {
            true => self.plan.bytes / (self.plan.cuts + 1) * (cuts + 1),
            false => self.plan.bytes,
        }
    }

    /// Returns how often it was cut.
    async fn up(&mut self) -> Result<u64, LoadError> {
        let bar = progress::bar("uploading", self.plan.bytes);
        let mut cuts = 0;
        loop {
            let grant = self.grant(v1::MediaDirection::Up).await?;
            let ask = "HEAD /media HTTP/1.1\r\nHost: godwit\r\n";
            let there = Http::begin(self.address, ask, &grant.ticket).await?.head().await?.offset;
            let left = self.plan.bytes - there;
            let head = format!(
                "PATCH /media HTTP/1.1\r\nHost: godwit\r\nUpload-Offset: {there}\r\n\
                 Content-Length: {left}\r\n"
            );
            let mut http = Http::begin(self.address, &head, &grant.ticket).await?;
            let (mut at, end) = (there, self.part_end(cuts));
            while at < end {
                let piece = self.noise.piece(at, end);
                http.write(&piece).await?;
                at += piece.len() as u64;
                bar.set_position(at);
                self.watch.at(at);
            }
            if cuts < self.plan.cuts {
                cuts += 1;
                continue; // the connection is dropped: a cut
            }
            let head = http.head().await?;
            bar.finish_and_clear();
            return match head.status {
                204 => Ok(cuts),
                _ => Err(refused(head.refusal)),
            };
        }
    }

    /// Returns how often it was cut, and whether it is the same.
    async fn down(&mut self) -> Result<(u64, bool), LoadError> {
        let bar = progress::bar("downloading", self.plan.bytes);
        let grant = self.grant(v1::MediaDirection::Down).await?;
        let (mut at, mut cuts, mut seen) = (0, 0, Sha256::new());
        while at < self.plan.bytes {
            let end = self.part_end(cuts);
            let head = format!("GET /media HTTP/1.1\r\nHost: godwit\r\nRange: bytes={at}-\r\n");
            let mut http = Http::begin(self.address, &head, &grant.ticket).await?;
            let head = http.head().await?;
            if head.status != 206 && head.status != 200 {
                return Err(refused(head.refusal));
            }
            while at < end {
                let piece = http.read(end - at).await?;
                seen.update(&piece);
                at += piece.len() as u64;
                bar.set_position(at);
                self.watch.at(at);
            }
            cuts += u64::from(at < self.plan.bytes);
        }
        bar.finish_and_clear();
        Ok((cuts, seen.finalize().as_slice() == self.digest))
    }
}

/// A file that is made where it is needed, the same each time.
#[derive(Clone, Copy)]
struct Noise(u64);

impl Noise {
    /// The piece at `at`, a multiple of nothing in particular; no further than `end`.
    fn piece(self, at: u64, end: u64) -> Vec<u8> {
        let wanted = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let (first, skip) = (at / 8, usize::try_from(at % 8).unwrap_or(0));
        let words = (wanted + skip).div_ceil(8) as u64;
        let bytes = (first..first + words).flat_map(|word| self.word(word).to_be_bytes());
        bytes.skip(skip).take(wanted).collect()
    }

    /// A mixer of 64 bits (splitmix64).
    fn word(self, index: u64) -> u64 {
        let mut word = self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn digest(self, bytes: u64) -> Bytes {
        let mut digest = Sha256::new();
        let mut at = 0;
        while at < bytes {
            let piece = self.piece(at, bytes);
            digest.update(&piece);
            at += piece.len() as u64;
        }
        Bytes::copy_from_slice(&digest.finalize())
    }
}

/// The server's memory from time to time.
struct Watch {
    processes: Option<Processes>,
    next: u64,
    most: Option<u64>,
}

impl Watch {
    fn new(processes: Option<&Processes>) -> Self {
        Self { processes: processes.cloned(), next: 0, most: None }
    }

    fn memory(&self) -> Option<u64> {
        self.processes.as_ref().and_then(Processes::pss_bytes)
    }

    fn at(&mut self, bytes: u64) {
        if bytes / LOOK_BYTES != self.next {
            self.next = bytes / LOOK_BYTES;
            self.most = self.most.max(self.memory());
        }
    }
}

fn refused(code: u32) -> LoadError {
    LoadError::Refused { what: "a file", code, retry_after_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_wherever_a_piece_begins() {
        let noise = Noise(7);
        let whole = noise.piece(0, 10_000);
        assert_eq!(whole.len(), 10_000);
        for at in [1, 7, 8, 9, 4_096, 9_999] {
            let start = usize::try_from(at).unwrap();
            assert_eq!(noise.piece(at, 10_000), whole[start..], "{at}");
        }
        assert_ne!(Noise(8).piece(0, 10_000), whole);
    }
}
