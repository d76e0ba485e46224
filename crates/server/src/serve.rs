//! Builds one server from its configuration and keeps it running as a supervised tree.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use godwit_actor::{ChildContext, ChildSpec, Exit, Restart, Strategy, Supervisor, Tree};
use godwit_base::{Clock, Invariant, SystemClock};
use godwit_link::{ServerKeys, TicketKeys};
use godwit_store::{Disk, Embedded, FileDisk, OpenError, Options, Quotas, Sink, Store};
use tokio::net::TcpListener;

use crate::announce::Ready;
use crate::config::Config;
use crate::keys::{self, KeyError, TicketTerm};
use crate::media::{Media, MediaError};
use crate::meters::Meters;
use crate::node::{self, Identity, Node, Parts};
use crate::registry::Registry;
use crate::router::Router;
use crate::{admin, door, drain, presence, sweeper};

/// What a server is made of, besides its configuration. Tests put a worse disk or another clock here.
#[derive(Clone)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the store writes.
    pub disk: Arc<dyn Disk>,
}

impl Setup {
    /// The machine's own clock and disk.
    pub fn new(config: Config) -> Self {
        Self { config, clock: Arc::new(SystemClock), disk: Arc::new(FileDisk) }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No data folder was named, and the user has no home.
    #[error("there is no home folder to keep the data in; name one with --data DIR")]
    NoData,
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used: {cause}; choose another with --data DIR", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The port cannot be had.
    #[error("cannot listen on {address}: {cause}; choose another with --listen ADDR:PORT")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Files.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A part failed again and again.
    #[error("the server ended while it started: {0}; its log says which part")]
    Ended(Exit),
}

/// A server that is up.
pub struct Server {
    ready: Ready,
    tree: godwit_actor::Running,
    /// For tests that need a hand inside.
    #[cfg(test)]
    pub(crate) node: Arc<Node>,
}

impl Server {
    /// Starts a server on the tokio runtime that the caller is in. When this returns, the port is
    /// listened on and the store is open.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// Dropped early it leaves at most an open store behind, until the process ends.
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let Setup { mut config, clock, disk } = setup;
        let data = config.data.clone().or_else(default_data).ok_or(StartError::NoData)?;
        prepare(&data).map_err(|cause| StartError::Data { path: data.clone(), cause })?;
        config.data = Some(data.clone());
        let listener = door::bind(&config)
            .map_err(|cause| StartError::Bind { address: config.listen, cause })?;
        let address = listener
            .local_addr()
            .map_err(|cause| StartError::Bind { address: config.listen, cause })?;
        let registry = Arc::new(Registry::default());
        let meters = Arc::new(Meters::default());
        let router = Router { registry: Arc::clone(&registry), meters: Arc::clone(&meters) };
        let store =
            open_store(&config, &data, Arc::clone(&clock), Arc::clone(&disk), Arc::new(router))
                .await?;
        // Not before the store's lock says that no other server lives on this folder: two first starts
        // at once would each make a key, and one would serve with what the other has replaced.
        let term = node::ticket_term(&config, &*clock);
        let rest = open_rest(&config, &data, disk, term).await;
        let Rest { server_keys, tickets, media } = match rest {
            Ok(rest) => rest,
            Err(error) => {
                let _ = tokio::task::spawn_blocking(move || store.close()).await;
                return Err(error);
            }
        };
        let identity = Identity::new(&config, server_keys, address);
        let ready = Ready::new(
            identity.join.to_string(),
            identity.http.clone(),
            identity.name.clone(),
            config.admission.policy,
            data.display().to_string(),
        );
        let node = Arc::new(Node::new(Parts {
            config,
            data,
            identity: RwLock::new(Arc::new(identity)),
            clock,
            tickets: tickets.into(),
            store,
            media,
            registry,
            meters,
        }));
        godwit_base::set_alarm(alarm);
        let mut tree = tree(&node, Arc::new(listener)).start();
        let _ = node.tree.set(tree.tree_handle());
        tokio::select! {
            () = node.up.notified() => {}
            exit = tree.wait() => return Err(StartError::Ended(exit)),
        }
        Ok(Self {
            ready,
            tree,
            #[cfg(test)]
            node,
        })
    }

    /// What to tell whoever started it.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The supervision tree as it stands.
    pub fn tree(&self) -> Tree {
        self.tree.tree()
    }

    /// Goes down in order: no new connections, a goodbye to every session, what is unsent, the
    /// store. Returns [`Exit::Stopped`], or why it could not.
    ///
    /// # Cancel safety
    /// The stop goes on when this is dropped.
    pub async fn stop(self) -> Exit {
        self.tree.stop().await
    }

    /// Waits until the server ends by itself: a part of it failed beyond its restart budget.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn ended(&mut self) -> Exit {
        self.tree.wait().await
    }
}

/// The tree of ARCHITECTURE.md, in start order; it stops in reverse. A part that fails takes those
/// after it along, because they lean on it.
fn tree(node: &Arc<Node>, listener: Arc<TcpListener>) -> Supervisor {
    let drain_time = Duration::from_millis(node.config.drain.timeout_ms);
    Supervisor::new("root", Strategy::RestForOne)
        .child(
            child("store", node, |child, node| async move { keep_store(child, node).await })
                .stop_within(Duration::from_secs(30)),
        )
        .child(
            child("sessions", node, |child, node| async move { drain::run(child, node).await })
                .stop_within(drain_time + Duration::from_secs(1)),
        )
        .child(child("sweeper", node, |child, node| async move { sweeper::run(child, node).await }))
        .child(child("door", node, move |child, node| {
            let listener = Arc::clone(&listener);
            async move { door::run(child, node, listener).await }
        }))
        .child(child("admin", node, |child, node| async move { admin::run(child, node).await }))
        // Last: what it does is missed least, and its end takes nobody along.
        .child(child(
            "presence",
            node,
            |child, node| async move { presence::run(child, node).await },
        ))
}

pub(crate) fn child<F>(
    name: &'static str,
    node: &Arc<Node>,
    run: impl Fn(ChildContext, Arc<Node>) -> F + Send + 'static,
) -> ChildSpec
where
    F: Future<Output = Exit> + Send + 'static,
{
    let node = Arc::clone(node);
    ChildSpec::new(name, Restart::Permanent, move |context| run(context, Arc::clone(&node)))
}

/// The store's writer is a thread of its own and outlives failures of the disk by itself. Here it is
/// started anew if it ends all the same, and closed last of all.
async fn keep_store(child: ChildContext, node: Arc<Node>) -> Exit {
    tokio::select! {
        biased;
        () = child.stopping() => {}
        _ = node.store.watch_writer() => {
            return Exit::failed("the store's writer ended; the log says where it panicked");
        }
    }
    // The book of files too: a transfer that still holds the node must not keep it from whoever comes next.
    let close = move || {
        node.media.close();
        node.store.close();
    };
    match tokio::task::spawn_blocking(close).await {
        Ok(()) => Exit::Stopped,
        Err(error) => Exit::failed(error),
    }
}

async fn open_store(
    config: &Config,
    data: &Path,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    sink: Arc<dyn Sink>,
) -> Result<Arc<dyn Store>, StartError> {
    let options = store_options(config, clock, disk);
    let folder = data.join(STORE_FOLDER);
    let open = move || Embedded::open(&folder, options, sink);
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => Ok(Arc::new(opened?)),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What is opened once the store's lock is held.
struct Rest {
    server_keys: ServerKeys,
    tickets: TicketKeys,
    media: Media,
}

async fn open_rest(
    config: &Config,
    data: &Path,
    disk: Arc<dyn Disk>,
    term: TicketTerm,
) -> Result<Rest, StartError> {
    let (config, data) = (config.clone(), data.to_owned());
    let open = move || -> Result<Rest, StartError> {
        Ok(Rest {
            server_keys: keys::server_keys(&data)?,
            tickets: keys::ticket_keys(&data, term)?,
            media: Media::open(&config, &data, disk)?,
        })
    };
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => opened,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Folder of the store inside the data folder.
pub(crate) const STORE_FOLDER: &str = "store";

/// The options of the store that the configuration asks for.
pub(crate) fn store_options(
    config: &Config,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
) -> Options {
    let mut options = Options::default();
    options.clock = clock;
    options.disk = disk;
    options.reserve_bytes = config.store.reserve_bytes;
    options.cache_bytes = config.store.cache_bytes;
    options.quotas = Quotas {
        records: config.mailbox.records_max,
        bytes: config.mailbox.bytes_max,
        expiry_days: config.mailbox.expiry_days,
        ..Quotas::default()
    };
    options
}

/// The data folder, for its owner alone.
pub(crate) fn prepare(data: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    if std::fs::metadata(data)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            data = %data.display(),
            "others can look into the data folder; chmod 700 keeps them out"
        );
    }
    Ok(())
}

/// `$XDG_DATA_HOME/godwit`, else `~/.local/share/godwit`.
pub fn default_data() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("godwit"))
}

fn alarm(invariant: Invariant, what: &str) {
    tracing::error!(?invariant, what, "invariant broken");
}
