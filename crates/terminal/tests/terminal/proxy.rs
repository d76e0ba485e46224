//! A network between people and their server that cuts transfers of files as a test says. The link
//! passes untouched.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::stage::PATIENCE;

/// What is done to transfers.
#[derive(Default)]
struct Plan {
    /// So many of the next transfers of a way (0 up, 1 down) end after so many bytes.
    cuts: [(u32, u64); 2],
    /// The next upload stands still after so many bytes, until it is let go.
    stands_after: Option<u64>,
    stands: bool,
    /// Bytes of files that passed, each way.
    passed: [u64; 2],
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    changed: Condvar,
}

pub(crate) struct Proxy {
    pub(crate) join: String,
    shared: Arc<Shared>,
}

/// Which way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Up = 0,
    Down = 1,
}

impl Proxy {
    /// Stands before the server of this join link.
    pub(crate) fn before(join: &str) -> Self {
        let (address, key) = join.trim_start_matches("godwit://").split_once('#').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let join = format!("godwit://{}#{key}", listener.local_addr().unwrap());
        let (shared, server) = (Arc::<Shared>::default(), address.to_owned());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (shared, server) = (Arc::clone(&serving), TcpStream::connect(&server));
                if let Ok(server) = server {
                    thread::spawn(move || carry(&client, &server, &shared));
                }
            }
        });
        Self { join, shared }
    }

    /// The next `count` transfers of a way are cut after so many bytes.
    pub(crate) fn cuts(&self, way: Way, count: u32, after: u64) {
        self.shared.plan.lock().unwrap().cuts[way as usize] = (count, after);
    }

    pub(crate) fn cuts_left(&self, way: Way) -> u32 {
        self.shared.plan.lock().unwrap().cuts[way as usize].0
    }

    /// The next upload stands still after so many bytes.
    pub(crate) fn stands_after(&self, bytes: u64) {
        self.shared.plan.lock().unwrap().stands_after = Some(bytes);
    }

    /// Waits until an upload stands still.
    pub(crate) fn wait_until_it_stands(&self) {
        let plan = self.shared.plan.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(plan, PATIENCE, |plan| !plan.stands);
        assert!(waited.unwrap().0.stands, "no upload came so far");
    }

    /// What stands still is let go.
    pub(crate) fn goes_on(&self) {
        self.shared.plan.lock().unwrap().stands = false;
        self.shared.changed.notify_all();
    }

    /// Bytes that passed in transfers, with their heads.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.shared.plan.lock().unwrap().passed[way as usize]
    }
}

/// Carries one connection both ways.
fn carry(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) {
    let mut first = [0; 5];
    let mut from_client = client.try_clone().unwrap();
    if from_client.read_exact(&mut first).is_err() {
        return;
    }
    let way = match &first {
        b"PATCH" => Some(Way::Up),
        b"GET /" => Some(Way::Down),
        _ => None,
    };
    let cut_after = way.and_then(|way| shared.takes_cut(way));
    let mut to_server = server.try_clone().unwrap();
    if to_server.write_all(&first).is_err() {
        return;
    }
    let (up, down) = match way {
        Some(Way::Up) => (cut_after, None),
        _ => (None, cut_after),
    };
    let back = {
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (counts, shared) = (way.filter(|way| matches!(way, Way::Down)), Arc::clone(shared));
        thread::spawn(move || pour(from, to, counts, down, &shared))
    };
    let counts = way.filter(|way| matches!(way, Way::Up));
    pour(from_client, to_server, counts, up, shared);
    let _ = back.join();
}

impl Shared {
    fn takes_cut(&self, way: Way) -> Option<u64> {
        let mut plan = self.plan.lock().unwrap();
        let (count, after) = &mut plan.cuts[way as usize];
        *count = count.checked_sub(1)?;
        Some(*after)
    }

    /// Counts what passed, and stands still if it is time.
    fn saw(&self, way: Way, bytes: usize, so_far: u64) {
        let mut plan = self.plan.lock().unwrap();
        plan.passed[way as usize] += bytes as u64;
        if matches!(way, Way::Up) && plan.stands_after.is_some_and(|after| so_far >= after) {
            plan.stands_after = None;
            plan.stands = true;
            self.changed.notify_all();
            drop(self.changed.wait_while(plan, |plan| plan.stands));
        }
    }
}

/// Passes bytes on until an end, or a cut of both sockets.
fn pour(
    mut from: TcpStream,
    mut to: TcpStream,
    counts: Option<Way>,
    cut_after: Option<u64>,
    shared: &Shared,
) {
    let mut piece = vec![0; 16 * 1024];
    let mut so_far = 0;
    loop {
        let read = from.read(&mut piece).unwrap_or(0);
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        so_far += read as u64;
        if let Some(way) = counts {
            shared.saw(way, read, so_far);
        }
        if cut_after.is_some_and(|after| so_far >= after) {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
