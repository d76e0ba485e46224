//! A bad network between a client and its server: a slow line, a long way, losses, and cuts. In user
//! space, because not every kernel has netem, and seeded, so that a run can be repeated.
//!
//! Each direction is one line that all connections share, as a telephone's are. A segment occupies it
//! for its length, then travels half a round trip. A lost one ([`loss`](crate::loss)) arrives when TCP would
//! have sent it again, and holds back everything behind it on its connection. At a cut every connection ends at once, and
//! what was under way is gone.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::LoadError;
use crate::loss::{Chance, Loss, SEGMENT_BYTES};

/// Segments of one direction of a connection that are under way; more are not read, and the sender feels
/// it. 64 x 1,448 B are 18 s at 40 kbit/s: the deep buffers of mobile networks.
const SEGMENTS_MAX: usize = 64;

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 256;

/// What the network is like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Profile {
    /// Each way.
    pub bits_per_s: u64,
    /// There and back, without the time that the bytes take.
    pub round_trip_ms: u64,
    /// Of a thousand segments so many are lost.
    pub lost_per_mille: u64,
    /// A lost segment arrives so much later, and twice that if it is lost again.
    pub retransmission_ms: u64,
    /// Everything is cut so often; 0: never.
    pub cut_every_ms: u64,
}

impl Profile {
    /// 2G at the edge of its cell: 40 kbit/s, 600 ms, 5 % loss, cut every 20 s. A retransmission
    /// timer is about two round trips on such a line.
    pub const EDGE_2G: Self = Self {
        bits_per_s: 40_000,
        round_trip_ms: 600,
        lost_per_mille: 50,
        retransmission_ms: 1_200,
        cut_every_ms: 20_000,
    };

    /// A line without any fault, to compare with.
    pub const CLEAN: Self = Self {
        bits_per_s: u64::MAX,
        round_trip_ms: 0,
        lost_per_mille: 0,
        retransmission_ms: 0,
        cut_every_ms: 0,
    };

    fn loss(self) -> Loss {
        let Self { lost_per_mille: per_mille, retransmission_ms, .. } = self;
        Loss { per_mille, retransmission_ms }
    }

    fn one_way(self) -> Duration {
        Duration::from_millis(self.round_trip_ms / 2)
    }

    /// How long so many bytes occupy the line.
    fn occupies(self, bytes: usize) -> Duration {
        let ns = (bytes as u128 * 8 * 1_000_000_000) / u128::from(self.bits_per_s.max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// What has gone over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// From clients, arrived.
    pub up_bytes: u64,
    /// To clients, arrived.
    pub down_bytes: u64,
    /// Connections made.
    pub connections: u64,
    /// Segments that were lost and sent again.
    pub lost: u64,
    /// Times that everything was cut.
    pub cuts: u64,
}

impl Counts {
    /// What has come since.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            up_bytes: self.up_bytes - before.up_bytes,
            down_bytes: self.down_bytes - before.down_bytes,
            connections: self.connections - before.connections,
            lost: self.lost - before.lost,
            cuts: self.cuts - before.cuts,
        }
    }
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    profile: Profile,
    to: SocketAddr,
    /// When each line is free again: up, down.
    free_at: [Mutex<Instant>; 2],
    chance: Mutex<Chance>,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    connections: AtomicU64,
    lost: AtomicU64,
    cuts: AtomicU64,
}

/// Which way.
#[derive(Debug, Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// Listens on a free port of this machine and passes on to `to`.
    ///
    /// # Errors
    /// [`LoadError::Io`] when no port can be had.
    pub async fn start(profile: Profile, to: SocketAddr, seed: u64) -> Result<Self, LoadError> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.map_err(LoadError::io("listening"))?;
        let address = listener.local_addr().map_err(LoadError::io("listening"))?;
        let shared = Arc::new(Shared::new(profile, to, seed));
        let task = tokio::spawn(run(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where clients go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has gone over it so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            up_bytes: read(&self.shared.up_bytes),
            down_bytes: read(&self.shared.down_bytes),
            connections: read(&self.shared.connections),
            lost: read(&self.shared.lost),
            cuts: read(&self.shared.cuts),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort(); // and with it the connections, which belong to it
    }
}

/// Accepts until aborted, and cuts everything when it is time.
async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let every = Duration::from_millis(shared.profile.cut_every_ms);
    let mut cut_at = Instant::now() + every;
    loop {
        tokio::select! {
            () = sleep_until(cut_at), if !every.is_zero() => {
                cut_at += every;
                connections.abort_all();
                shared.cut();
            }
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                if connections.len() < CONNECTIONS_MAX {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(carry(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side closes it or it is cut.
async fn carry(near: TcpStream, shared: Arc<Shared>) {
    // The handshake of TCP itself takes a round trip before the first byte can be sent.
    sleep(Duration::from_millis(shared.profile.round_trip_ms)).await;
    let Ok(far) = TcpStream::connect(shared.to).await else { return };
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(
        pass(near_read, far_write, Way::Up, &shared),
        pass(far_read, near_write, Way::Down, &shared),
    );
}

/// Segments of one direction that are under way.
#[derive(Default)]
struct Pipe {
    segments: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    changed: Notify,
}

/// One direction of a connection.
async fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, way: Way, shared: &Shared) {
    let pipe = Pipe::default();
    let (ended, end) = watch::channel(false);
    let sending = async {
        send(from, &pipe, way, shared).await;
        ended.send_replace(true);
        pipe.changed.notify_waiters();
    };
    tokio::join!(sending, deliver(to, &pipe, end, way, shared));
}

/// Puts what the sender says on the line.
async fn send(mut from: OwnedReadHalf, pipe: &Pipe, way: Way, shared: &Shared) {
    let mut arrives = Instant::now();
    loop {
        while pipe.locked().len() >= SEGMENTS_MAX {
            pipe.changed.notified().await;
        }
        let mut segment = vec![0; SEGMENT_BYTES];
        match from.read(&mut segment).await {
            Ok(length) if length > 0 => segment.truncate(length),
            _ => return,
        }
        arrives = arrives.max(shared.send(segment.len(), way));
        pipe.locked().push_back((arrives, segment));
        pipe.changed.notify_waiters();
    }
}

/// Hands over what has arrived, in order.
async fn deliver(
    mut to: OwnedWriteHalf,
    pipe: &Pipe,
    end: watch::Receiver<bool>,
    way: Way,
    shared: &Shared,
) {
    loop {
        let changed = pipe.changed.notified();
        let first = pipe.locked().front().map(|(arrives, _)| *arrives);
        let Some(arrives) = first else {
            if *end.borrow() {
                let _ = to.shutdown().await;
                return;
            }
            changed.await;
            continue;
        };
        sleep_until(arrives).await;
        let Some((_, segment)) = pipe.locked().pop_front() else { continue };
        pipe.changed.notify_waiters();
        if to.write_all(&segment).await.is_err() {
            return;
        }
        let counter = match way {
            Way::Up => &shared.up_bytes,
            Way::Down => &shared.down_bytes,
        };
        counter.fetch_add(segment.len() as u64, Ordering::Relaxed);
    }
}

impl Pipe {
    fn locked(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Vec<u8>)>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn new(profile: Profile, to: SocketAddr, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            profile,
            to,
            free_at: [Mutex::new(now), Mutex::new(now)],
            chance: Mutex::new(Chance::new(seed)),
            up_bytes: AtomicU64::new(0),
            down_bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        }
    }

    /// What is under way is gone, and both lines are free.
    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        for line in &self.free_at {
            *line.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// Sends a segment over the line; when it arrives.
    fn send(&self, bytes: usize, way: Way) -> Instant {
        let [up, down] = &self.free_at;
        let line = match way {
            Way::Up => up,
            Way::Down => down,
        };
        let sent = {
            let mut free_at = line.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + self.profile.occupies(bytes);
            *free_at
        };
        sent + self.profile.one_way() + self.delay()
    }

    /// What losses cost, if this one is lost.
    fn delay(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let stall = self.profile.loss().draw(&mut chance);
        self.lost.fetch_add(stall.times.into(), Ordering::Relaxed);
        stall.late
    }
}

/// Reads the name of a profile.
///
/// # Errors
/// What names there are.
pub fn profile(name: &str) -> Result<Profile, String> {
    match name {
        "2g" => Ok(Profile::EDGE_2G),
        "clean" => Ok(Profile::CLEAN),
        _ => Err("there are the profiles 2g and clean".to_owned()),
    }
}

/// The address that a name of host and port leads to first.
///
/// # Errors
/// [`LoadError::Io`] when it leads nowhere.
pub async fn lookup(name: &str) -> Result<SocketAddr, LoadError> {
    let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut found =
        tokio::net::lookup_host(name).await.map_err(LoadError::io("looking the server up"))?;
    found.next().ok_or_else(nowhere).map_err(LoadError::io("looking the server up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or the next connection would wait for bytes that nobody gets any more.
    #[test]
    fn after_a_cut_both_lines_are_free() {
        let profile = Profile { bits_per_s: 40_000, ..Profile::CLEAN };
        let shared = Shared::new(profile, ([127, 0, 0, 1], 1).into(), 1);
        for way in [Way::Up, Way::Down] {
            // 36 hours at 40 kbit/s.
            let late = shared.send(650_000_000, way);
            shared.cut();
            let next = shared.send(100, way);
            assert!(next < late, "{:?} earlier", late - next);
        }
    }
}
