//! A server of its own for each test, and homes on it.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use godwit_base::{Handle, JoinLink};
use godwit_client::{Client, Error, HistoryItem, MessageState};
use tempfile::TempDir;

/// Longest that anything may take before a test fails; never waited for when things go well.
const PATIENCE: Duration = Duration::from_secs(90);

/// `godwitd` stands beside the folder of the test programs.
fn godwitd() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.parent().and_then(Path::parent).unwrap().join("godwitd");
    assert!(path.exists(), "build it first: cargo build -p godwit-server --bin godwitd");
    path
}

pub(crate) struct Stage {
    child: Child,
    pub(crate) link: JoinLink,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (child, link) = start(folder.path(), "127.0.0.1:0");
        Self { child, link, folder }
    }

    /// Kills the server as a power cut would, and starts it again in the same place.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        (self.child, self.link) = start(self.folder.path(), &self.link.address());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// An operator's command on the server's folder, to be run wherever there is time.
    pub(crate) fn orders(&self, arguments: &[&str]) -> impl FnOnce() -> Output + Send + use<> {
        let mut command = Command::new(godwitd());
        command.args(arguments).arg("--data").arg(self.home("server"));
        move || command.output().unwrap()
    }

    /// The server dies and its store with it; what its operator kept is put back: the backup and the keys.
    pub(crate) fn loses_its_disk_and_is_put_back(&mut self, backup: &Path) {
        self.kill();
        let (server, lost) = (self.home("server"), self.home("lost"));
        std::fs::rename(&server, &lost).unwrap();
        let restored = self.orders(&["restore", backup.to_str().unwrap()])();
        assert!(restored.status.success(), "{restored:?}");
        for key in ["server.key", "ticket.key"] {
            std::fs::copy(lost.join(key), server.join(key)).unwrap();
        }
        let verified = self.orders(&["verify"])();
        assert!(verified.status.success(), "{verified:?}");
        (self.child, self.link) = start(self.folder.path(), &self.link.address());
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn join(&self, name: &str) {
        Client::join(&self.home(name), &self.link, &handle(name), None).await.unwrap();
    }

    pub(crate) async fn open(&self, name: &str) -> Client {
        Client::open(&self.home(name)).await.unwrap()
    }

    pub(crate) async fn joined(&self, name: &str) -> Client {
        self.join(name).await;
        self.open(name).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: &Path, listen: &str) -> (Child, JoinLink) {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("server.log"));
    let mut child = Command::new(godwitd())
        .args(["serve", "--json", "--listen", listen, "--data"])
        .arg(folder.join("server"))
        .stdout(Stdio::piped())
        .stderr(log.unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let (_, rest) = line.split_once("\"join\":\"").expect("the server says where it is");
    let (link, _) = rest.split_once('"').unwrap();
    (child, link.parse().unwrap())
}

pub(crate) fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

/// The result, or the end of the test's patience.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it should have happened by now")
}

pub(crate) async fn delivered(client: &Client, id: godwit_base::MessageId) {
    let state = soon(client.wait_for(id, MessageState::Delivered)).await.unwrap();
    assert!(state.reached(MessageState::Delivered), "{state:?}");
}

/// The next `count` messages of the inbox, marked as shown.
pub(crate) async fn take(client: &Client, count: usize) -> Result<Vec<HistoryItem>, Error> {
    let mut inbox = client.inbox()?;
    let mut taken = Vec::new();
    while taken.len() < count {
        let item = soon(inbox.next()).await?;
        inbox.shown(&item)?;
        taken.extend(item.message().cloned());
    }
    Ok(taken)
}

pub(crate) fn texts(items: &[HistoryItem]) -> Vec<String> {
    items.iter().map(|item| item.text.clone().unwrap()).collect()
}
