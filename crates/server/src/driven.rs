//! A server that somebody else drives, for simulation: sessions, handshake, router, registry, store, sweeper
//! and presence as they are, without port, admin socket, files, or a thread. Connections are given to it, and
//! whoever has it says when the store writes and reads.

mod moved;

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use godwit_actor::{ChildContext, Exit, Strategy, Supervisor};
use godwit_base::{AccountId, JoinLink};
use godwit_store::{Answer, Driver, Embedded, Profile, Who};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::media::Media;
use crate::meters::Meters;
use crate::node::{self, Identity, Node, Parts};
use crate::registry::Registry;
use crate::router::Router;
use crate::serve::{STORE_FOLDER, Setup, StartError, child, prepare, store_options};
use crate::session::Socket;
use crate::{door, drain, keys, presence, sweeper, upkeep};

pub use moved::Moved;

/// A server that is driven. Dropped without its runtime it goes on; a runtime that is dropped takes all its
/// sessions along where they stand, as the end of a process would.
pub struct Driven {
    node: Arc<Node>,
    driver: Driver,
    /// None once it goes down.
    tree: Option<godwit_actor::Running>,
}

impl Driven {
    /// Starts a server in the data folder of `setup`, on the tokio runtime that the caller is in. Blocks.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let mut driven = Self::open(setup, None)?;
        driven.serve(None);
        Ok(driven)
    }

    /// The same, up to where it serves: its store is open. What a server before it left is what it would go
    /// on with.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left open.
    pub fn open(setup: Setup, moved: Option<&Moved>) -> Result<Self, StartError> {
        let Setup { config, clock, disk, .. } = setup;
        let data = config.data.clone().ok_or(StartError::NoData)?;
        prepare(&data).map_err(|cause| StartError::Data { path: data.clone(), cause })?;
        let registry = Arc::new(Registry::default());
        let meters = Arc::new(Meters::default());
        let router = Router { registry: Arc::clone(&registry), meters: Arc::clone(&meters) };
        let options = store_options(&config, Arc::clone(&clock), Arc::clone(&disk));
        let folder = data.join(STORE_FOLDER);
        let (store, driver) = Embedded::open_driven(&folder, options, Arc::new(router))?;
        let identity = Identity::new(&config, keys::server_keys(&data)?, config.listen);
        let tickets = keys::ticket_keys(&data, node::ticket_term(&config, &*clock))?;
        let media_key = moved.and_then(Moved::media_key);
        let parts = Parts {
            media: Media::open(&config, &data, disk, media_key)?,
            identity: RwLock::new(Arc::new(identity)),
            config,
            data,
            clock,
            tickets: tickets.into(),
            store: Arc::new(store),
            registry,
            meters,
        };
        let node = Arc::new(Node::new(parts, moved.map_or(0, Moved::now_ns)));
        Ok(Self { node, driver, tree: None })
    }

    /// Serves, beginning with these sessions. Returns how many of them do not go on.
    ///
    /// # Panics
    /// Outside the tokio runtime.
    pub fn serve(&mut self, moved: Option<Moved>) -> usize {
        let lost = moved.map_or(0, |moved| moved.thaw(&self.node));
        let tree = tree(&self.node).start();
        let _ = self.node.tree.set(tree.tree_handle());
        self.tree = Some(tree);
        lost
    }

    /// A native client comes in by `stream`.
    ///
    /// # Panics
    /// Outside the tokio runtime.
    pub fn enter(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: IpAddr,
    ) {
        let socket = Socket::Pipe(Box::new(stream));
        tokio::spawn(door::enter_by(Arc::clone(&self.node), socket, address));
    }

    /// What a client has to know to come in.
    pub fn join(&self) -> JoinLink {
        self.node.identity().join.clone()
    }

    /// The threads of the store.
    pub fn store(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// What the store has of an account.
    pub fn profile(&self, account: AccountId) -> Answer<Option<Profile>> {
        self.node.store.profile(Who::Account(account))
    }

    /// Batches that the store has made durable since it was opened.
    pub fn batches(&self) -> u64 {
        self.node.store.stats().batches
    }

    /// Live sessions.
    pub fn live(&self) -> usize {
        self.node.registry.live()
    }

    /// Sessions that ended by a panic.
    pub fn session_panics(&self) -> u64 {
        self.node.meters.session_panics.get()
    }

    /// Begins to send everybody home and to end its parts; the store stays open. None if it has begun.
    ///
    /// # Panics
    /// Outside the tokio runtime.
    pub fn drain(&mut self) -> Option<JoinHandle<Exit>> {
        Some(tokio::spawn(self.tree.take()?.stop()))
    }

    /// Begins to freeze everybody, for another server; at its end [`Driven::pack`] has them. None if it goes
    /// down already, or could not write at present and so hands nothing over.
    ///
    /// # Panics
    /// Outside the tokio runtime.
    pub fn freeze(&mut self) -> Option<JoinHandle<Exit>> {
        if self.tree.is_none() || !self.node.store.stats().available {
            return None;
        }
        self.node.freezer.ask();
        self.drain()
    }

    /// Everybody who is frozen, and what the server knows beside them.
    pub fn pack(&self) -> Moved {
        Moved::of(&self.node)
    }

    /// Ends as a process does that has handed over: what the store has taken is written, and its file closed.
    pub fn close(self) {
        let Self { node, driver, .. } = self;
        node.media.close();
        node.store.close();
        driver.finish();
    }
}

/// As the tree of a whole server, without what needs a port or a thread.
fn tree(node: &Arc<Node>) -> Supervisor {
    let keep = |child: ChildContext, node| upkeep::keep(child, node, upkeep::Disk::Driven);
    Supervisor::new("root", Strategy::RestForOne)
        .child(child("sessions", node, drain::run))
        .child(child("sweeper", node, sweeper::run))
        .child(child("upkeep", node, keep))
        .child(child("presence", node, presence::run))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn who_enters_is_answered_and_the_patience_is_that_of_the_door() {
        let data = tempfile::TempDir::new().unwrap();
        let config = Config { data: Some(data.path().to_owned()), ..Config::default() };
        let patience = Duration::from_millis(config.session.handshake_timeout_ms);
        let mut driven = Driven::start(Setup::new(config)).unwrap();
        let address = IpAddr::from([127, 0, 0, 1]);
        let (mut silent, theirs) = duplex(1_024);
        driven.enter(theirs, address);
        let begun = tokio::time::Instant::now();
        assert_eq!(silent.read(&mut [0; 16]).await.unwrap(), 0, "closed");
        assert!(begun.elapsed() >= patience);
        let (mut wrong, theirs) = duplex(1_024);
        driven.enter(theirs, address);
        wrong.write_all(b"GX").await.unwrap();
        assert!(wrong.read(&mut [0; 16]).await.unwrap() > 0, "a refusal");
        assert_eq!((driven.live(), driven.session_panics()), (0, 0));
        assert_eq!(driven.drain().unwrap().await.unwrap(), Exit::Stopped);
        assert!(driven.drain().is_none());
        assert!(driven.freeze().is_none(), "it goes down already");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_at_the_door_when_all_freeze_is_let_go_and_the_next_server_opens() {
        let data = tempfile::TempDir::new().unwrap();
        let setup = Setup::new(Config { data: Some(data.path().to_owned()), ..Config::default() });
        let mut driven = Driven::start(setup.clone()).unwrap();
        let (mut silent, theirs) = duplex(1_024);
        driven.enter(theirs, IpAddr::from([127, 0, 0, 1]));
        tokio::task::yield_now().await;
        let begun = tokio::time::Instant::now();
        assert_eq!(driven.freeze().unwrap().await.unwrap(), Exit::Stopped);
        assert_eq!(silent.read(&mut [0; 16]).await.unwrap(), 0, "closed");
        assert!(begun.elapsed() < Duration::from_secs(10), "before its deadline");
        let moved = driven.pack();
        driven.close();
        assert!(moved.is_whole());
        assert_eq!((moved.sessions(), moved.dropped()), (0, 0));
        let mut next = Driven::open(setup, Some(&moved)).unwrap();
        assert_eq!(next.serve(Some(moved)), 0, "nobody is lost");
    }
}
