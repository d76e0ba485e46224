//! Builds one server from its configuration and keeps it running as a supervised tree.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use godwit_actor::{
    ChildContext, ChildSpec, Exit, Restart, RestartBudget, Strategy, Supervisor, Tree,
};
use godwit_base::{Clock, Invariant, SystemClock};
use godwit_link::{ServerKeys, TicketKeys};
use godwit_store::{Disk, Embedded, FileDisk, OpenError, Options, Quotas, Sink, Store};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::announce::Ready;
use crate::config::Config;
use crate::handover::freezer::{self, FREEZE_TIME};
use crate::handover::{Carried, Frozen, NodeRecord, Wish};
use crate::keys::{self, KeyError, TicketTerm};
use crate::media::{Media, MediaError, TicketBoxKey};
use crate::meters::Meters;
use crate::node::{self, Identity, Node, Parts};
use crate::pulse::{BEATS_WITHIN, DISK_WITHIN, Pulse};
use crate::registry::Registry;
use crate::router::Router;
use crate::{admin, door, drain, presence, scrubber, sweeper, upkeep, watchdog};

/// What a server is made of, besides its configuration. Tests put a worse disk or another clock here.
#[derive(Clone)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the store writes.
    pub disk: Arc<dyn Disk>,
    /// How often its services may be started anew before all of them are.
    pub restarts: RestartBudget,
}

impl Setup {
    /// The machine's own clock and disk.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            clock: Arc::new(SystemClock),
            disk: Arc::new(FileDisk),
            restarts: RestartBudget::default(),
        }
    }
}

/// Restarts of the root's own parts: each takes all services along, and the store's all sessions too. What
/// that has not healed three times in a minute, a new process may.
const ROOT_RESTARTS: RestartBudget = RestartBudget { restarts: 3, window: Duration::from_secs(60) };

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
    pub(crate) node: Arc<Node>,
    setup: Setup,
    /// The port, for whoever serves it next.
    listener: StdTcpListener,
    wishes: mpsc::Receiver<Wish>,
}

/// What happens to a server by itself.
#[derive(Debug)]
pub enum Event {
    /// It ended: a part of it failed beyond its restart budget.
    Ended(Exit),
    /// Its operator asks for an upgrade.
    Upgrade(Wish),
}

/// A server whose store is open and which serves nobody yet.
pub(crate) struct Opened {
    node: Arc<Node>,
    ready: Ready,
    setup: Setup,
    listener: StdTcpListener,
    accepts: TcpListener,
}

/// A server that serves nobody, all of its sessions as data. The port and their sockets stay open.
pub(crate) struct FrozenServer {
    pub(crate) setup: Setup,
    pub(crate) listener: StdTcpListener,
    pub(crate) record: Zeroizing<NodeRecord>,
    pub(crate) sessions: Vec<Frozen>,
    /// What they were in the midst of.
    pub(crate) carried: Carried,
    /// Sessions that could not be frozen.
    pub(crate) dropped: usize,
    /// Since when sessions are silent.
    pub(crate) since: Instant,
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
        Self::start_on(setup, None).await
    }

    /// The same, on a port that somebody else has bound.
    ///
    /// # Errors
    /// As [`Server::start`].
    ///
    /// # Cancel safety
    /// As [`Server::start`].
    pub async fn start_on(setup: Setup, port: Option<StdTcpListener>) -> Result<Self, StartError> {
        Opened::open(setup, port, None).await?.serve(None).await
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

    /// Waits for what happens by itself.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            biased;
            exit = self.tree.wait() => Event::Ended(exit),
            Some(wish) = self.wishes.recv() => Event::Upgrade(wish),
        }
    }

    /// Goes down in order, and keeps all sessions as data.
    pub(crate) async fn freeze(self) -> FrozenServer {
        let Self { tree, node, setup, listener, .. } = self;
        node.freezer.ask();
        let exit = tree.stop().await;
        if !exit.is_normal() {
            tracing::error!(%exit, "the server did not go down in order");
        }
        let sessions = node.freezer.take(node.registry.entered());
        let record = freezer::pack(&node, sessions.len());
        let (dropped, since) = (node.freezer.dropped(), node.freezer.since());
        let carried = node.freezer.carried();
        FrozenServer { setup, listener, record, sessions, carried, dropped, since }
    }

    /// Goes on where another one, in this process or another, was frozen.
    ///
    /// # Errors
    /// See [`StartError`]; the sessions are lost then.
    pub(crate) async fn thaw(frozen: FrozenServer) -> Result<Self, StartError> {
        let FrozenServer { setup, listener, record, sessions, .. } = frozen;
        let opened = Opened::open(setup, Some(listener), Some(&record)).await?;
        opened.serve(Some((record, sessions))).await
    }
}

impl Opened {
    /// Opens the store and all that is beside it, and binds the port unless somebody else did.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left open.
    pub(crate) async fn open(
        setup: Setup,
        listener: Option<StdTcpListener>,
        record: Option<&NodeRecord>,
    ) -> Result<Self, StartError> {
        let Setup { mut config, clock, disk, .. } = setup.clone();
        let data = config.data.clone().or_else(default_data).ok_or(StartError::NoData)?;
        prepare(&data).map_err(|cause| StartError::Data { path: data.clone(), cause })?;
        config.data = Some(data.clone());
        let asked = config.listen;
        let no_port = |cause| StartError::Bind { address: asked, cause };
        let accepts = match listener {
            Some(listener) => TcpListener::from_std(listener),
            None => door::bind(&config),
        };
        let accepts = accepts.map_err(no_port)?;
        let listener = accepts.as_fd().try_clone_to_owned().map_err(no_port)?.into();
        let address = accepts.local_addr().map_err(no_port)?;
        let registry = Arc::new(Registry::default());
        let meters = Arc::new(Meters::default());
        let router = Router { registry: Arc::clone(&registry), meters: Arc::clone(&meters) };
        let store =
            open_store(&config, &data, Arc::clone(&clock), Arc::clone(&disk), Arc::new(router))
                .await?;
        // Not before the store's lock says that no other server lives on this folder: two first starts
        // at once would each make a key, and one would serve with what the other has replaced.
        let term = node::ticket_term(&config, &*clock);
        let media_key = record.and_then(|record| record.media_key.as_slice().try_into().ok());
        let media_key = media_key.map(TicketBoxKey::new);
        let rest = open_rest(&config, &data, disk, term, media_key).await;
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
        let parts = Parts {
            config,
            data,
            identity: RwLock::new(Arc::new(identity)),
            clock,
            tickets: tickets.into(),
            store,
            media,
            registry,
            meters,
        };
        let began_ns = record.map_or(0, |record| record.now_ns);
        let node = Arc::new(Node::new(parts, began_ns));
        Ok(Self { node, ready, setup, listener, accepts })
    }

    /// Serves, beginning with these sessions.
    ///
    /// # Errors
    /// A part failed again and again.
    pub(crate) async fn serve(
        self,
        frozen: Option<(Zeroizing<NodeRecord>, Vec<Frozen>)>,
    ) -> Result<Server, StartError> {
        let Self { node, ready, setup, listener, accepts } = self;
        godwit_base::set_alarm(alarm);
        // Not before: the other parts of the tree lean on nothing that sessions do.
        if let Some((record, sessions)) = frozen {
            freezer::thaw(&node, &record, sessions);
        }
        let (wish, wishes) = mpsc::channel(1);
        let _ = node.upgrades.set(wish);
        let mut tree = tree(&node, Arc::new(accepts), setup.restarts).start();
        let _ = node.tree.set(tree.tree_handle());
        tokio::select! {
            () = node.up.notified() => {}
            exit = tree.wait() => return Err(StartError::Ended(exit)),
        }
        Ok(Server { ready, tree, node, setup, listener, wishes })
    }

    /// Ends without having served.
    pub(crate) async fn close(self) {
        close(self.node).await;
    }
}

/// Closes what is on the disk.
async fn close(node: Arc<Node>) -> Exit {
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

/// The tree of ARCHITECTURE.md, in start order; it stops in reverse. A part of the root that fails takes
/// those after it along, because they lean on it; a service takes nobody along.
fn tree(node: &Arc<Node>, listener: Arc<TcpListener>, restarts: RestartBudget) -> Supervisor {
    let drain_time = Duration::from_millis(node.config.drain.timeout_ms).max(FREEZE_TIME);
    let services = {
        let node = Arc::clone(node);
        move || services(&node, &listener).budget(restarts)
    };
    Supervisor::new("root", Strategy::RestForOne)
        .budget(ROOT_RESTARTS)
        .child(
            child("store", node, |child, node| async move { keep_store(child, node).await })
                .beats_within(BEATS_WITHIN)
                .stop_within(Duration::from_secs(30)),
        )
        .child(
            child("sessions", node, |child, node| async move { drain::run(child, node).await })
                .beats_within(BEATS_WITHIN)
                .stop_within(drain_time + Duration::from_secs(1)),
        )
        .child(ChildSpec::supervisor(Restart::Permanent, services))
}

/// What serves beside the sessions. None of them knows another, so each is started anew by itself; when that
/// does not help often enough, all of them are.
fn services(node: &Arc<Node>, listener: &Arc<TcpListener>) -> Supervisor {
    let listener = Arc::clone(listener);
    let tidy = Arc::clone(node);
    Supervisor::new("services", Strategy::OneForOne)
        .child(child("watchdog", node, watchdog::run).beats_within(BEATS_WITHIN))
        .child(child("sweeper", node, sweeper::run).beats_within(BEATS_WITHIN))
        .child(child("upkeep", node, upkeep::run).beats_within(DISK_WITHIN))
        .child(child("scrubber", node, scrubber::run).beats_within(DISK_WITHIN))
        .child(ChildSpec::new("tidier", Restart::Temporary, move |child| {
            upkeep::tidy(child, Arc::clone(&tidy))
        }))
        .child(child("presence", node, presence::run).beats_within(BEATS_WITHIN))
        .child(
            child("door", node, move |child, node| door::run(child, node, Arc::clone(&listener)))
                .beats_within(BEATS_WITHIN),
        )
        // Last: it says that the server is up.
        .child(child("admin", node, admin::run).beats_within(BEATS_WITHIN))
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
    let mut pulse = Pulse::new(&child, "fault::store");
    tokio::select! {
        biased;
        exit = pulse.until_stopped() => if exit != Exit::Stopped {
            return exit;
        },
        _ = node.store.watch_writer() => {
            return Exit::failed("the store's writer ended; the log says where it panicked");
        }
    }
    close(node).await
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
    media_key: Option<TicketBoxKey>,
) -> Result<Rest, StartError> {
    let (config, data) = (config.clone(), data.to_owned());
    let open = move || -> Result<Rest, StartError> {
        Ok(Rest {
            server_keys: keys::server_keys(&data)?,
            tickets: keys::ticket_keys(&data, term)?,
            media: Media::open(&config, &data, disk, media_key)?,
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
