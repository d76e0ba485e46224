//! A gate between clients and server, which can let go of everybody without telling anybody: what they send
//! from then on is taken and goes nowhere, as behind a router that forgot them. New ones pass.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// What one read takes.
const PIECE_BYTES: usize = 16 * 1024;

pub(super) struct Gate {
    pub(super) port: u16,
    /// Connections older than this are held.
    generation: Arc<AtomicU64>,
}

impl Gate {
    /// Opens one in front of a server; it stands until the process ends.
    pub(super) fn open(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let generation = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&generation);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let born = theirs.load(Ordering::Acquire);
                let Ok(server) = TcpStream::connect(server) else { continue };
                let pairs = (client.try_clone(), server.try_clone());
                let (Ok(client_too), Ok(server_too)) = pairs else { continue };
                pass(client, server, born, Arc::clone(&theirs));
                pass(server_too, client_too, born, Arc::clone(&theirs));
            }
        });
        Ok(Self { port, generation })
    }

    /// Lets go of all that there are.
    pub(super) fn lets_go(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, born: u64, generation: Arc<AtomicU64>) {
    thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = from.read(&mut piece).unwrap_or(0);
            if generation.load(Ordering::Acquire) > born {
                match read {
                    0 => return, // and the other side never hears of it
                    _ => continue,
                }
            }
            if read == 0 || to.write_all(&piece[..read]).is_err() {
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
        }
    });
}
