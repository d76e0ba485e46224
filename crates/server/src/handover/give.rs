//! The old server's side: it starts the new one, freezes, hands over, and ends; or goes on as it was.
//! Blocking work is done where it holds up nobody.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fail::fail_point;
use prost::Message as _;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::road::{self, Parcel, Road, Step};
use super::wish::{Report, Wish};
use super::{HelloRecord, OLDEST, TAKE_OVER, VERSION};
use crate::serve::{FrozenServer, Server, StartError};

/// How long the new program may take to say its version, and then to start and say hello. All goes on
/// meanwhile; a busy machine takes a second.
const START_TIME: Duration = Duration::from_secs(10);

/// How long one parcel may take: 64 sessions, or the node's record. It takes a millisecond; a client waits
/// for an answer for 20 s.
const PARCEL_TIME: Duration = Duration::from_secs(5);

/// How long the new process may take to open the store. Who awaits an answer gives its link up after 20 s,
/// and with it goes what the upgrade was to keep.
const OPEN_TIME: Duration = Duration::from_secs(15);

/// How long it may take until it serves, once it has all.
const SERVE_TIME: Duration = Duration::from_secs(10);

/// From what this process was started, and how: another one is started so too.
#[derive(Debug, Clone)]
pub struct Origin {
    binary: PathBuf,
    arguments: Vec<OsString>,
}

/// What came of a wish.
pub enum Upgraded {
    /// Another process serves: this one ends.
    Gone,
    /// It goes on here.
    Back(Box<Server>),
}

/// Why the new process does not serve.
struct Lost {
    why: String,
    /// It had the sessions already: they are lost.
    after_go: bool,
}

/// The new process.
struct Successor {
    child: Child,
    road: Road,
    hello: HelloRecord,
    /// It has the sessions: it is not to be killed any more.
    serves: bool,
}

impl Origin {
    /// Of this process. To be called when it starts: a program that is replaced later keeps its name.
    ///
    /// # Errors
    /// The system does not say where the program lies.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        // By the name that it was called by, which a link may lead to another program tomorrow.
        let called =
            arguments.next().map(PathBuf::from).filter(|name| name.components().count() > 1);
        let binary = match called {
            Some(name) => std::path::absolute(name)?,
            None => std::env::current_exe()?,
        };
        let mut arguments: Vec<_> = arguments.filter(|one| one != TAKE_OVER).collect();
        if arguments.is_empty() {
            arguments.push("serve".into());
        }
        Ok(Self { binary, arguments })
    }
}

/// Hands everything over to a process of the program that is wished for. If that one does not come up, all
/// goes on here.
///
/// # Errors
/// It did not come up, and this server does not start again either.
///
/// # Cancel safety
/// None: dropped midway, the sessions are lost.
pub async fn upgrade(server: Server, wish: Wish, origin: &Origin) -> Result<Upgraded, StartError> {
    let asked = Instant::now();
    let (successor, not_copied) = match prepare(&server, &wish, origin).await {
        Ok(prepared) => prepared,
        Err(why) => {
            wish.failed(format!("{why}; the server goes on as it was")).await;
            return Ok(Upgraded::Back(Box::new(server)));
        }
    };
    fail_point!("handover::heard");
    wish.progress(format!("freezing {} sessions", server.node.registry.live()));
    let frozen = server.freeze().await;
    drop(not_copied);
    wish.progress(format!("{} sessions are frozen, the store is closed", frozen.sessions.len()));
    fail_point!("handover::frozen");
    let (given, frozen) = give(successor, frozen).await;
    match given {
        Ok((new_pid, new_version)) => {
            let (sessions, dropped) = (frozen.count, frozen.server.dropped);
            let report = Report {
                old_pid: std::process::id(),
                new_pid,
                old_version: env!("CARGO_PKG_VERSION"),
                new_version,
                sessions,
                dropped,
                carried: frozen.server.carried,
                silence_ms: ms(frozen.server.since),
                took_ms: ms(asked),
            };
            wish.done(report).await;
            Ok(Upgraded::Gone)
        }
        Err(lost) => {
            let back = Server::thaw(frozen.server).await?;
            let state = match lost.after_go {
                false => "all sessions go on in the old server",
                true => {
                    "it had the sessions already: their clients dial the old server again, nothing is lost"
                }
            };
            wish.failed(format!("the new program did not serve: {}; {state}", lost.why)).await;
            Ok(Upgraded::Back(Box::new(back)))
        }
    }
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// All that can fail before anybody is frozen. As long as the second is there, no backup begins.
async fn prepare(
    server: &Server,
    wish: &Wish,
    origin: &Origin,
) -> Result<(Successor, OwnedMutexGuard<()>), String> {
    let Ok(not_copied) = Arc::clone(&server.node.copying).try_lock_owned() else {
        return Err("a backup is under way, and everybody would wait for it; \
                    upgrade when it is done"
            .to_owned());
    };
    if !server.node.store.stats().available {
        return Err("the store cannot write at present (`godwitd status` says more); \
                    upgrade when it can"
            .to_owned());
    }
    let binary = wish.binary().unwrap_or(&origin.binary).to_owned();
    check(&binary).await?;
    let (arguments, data) = (origin.arguments.clone(), server.node.data.clone());
    let start = move || Successor::start(&binary, &arguments, &data);
    let successor =
        tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())??;
    let (pid, version) = (successor.child.id(), &successor.hello.version);
    wish.progress(format!("godwitd {version} started, process {pid}"));
    Ok((successor, not_copied))
}

/// Whether this is a program, and one of ours.
async fn check(binary: &Path) -> Result<(), String> {
    let shown = binary.display();
    let no = |why: String| format!("{shown}: {why}; name a godwitd with --binary PATH");
    let found = std::fs::metadata(binary).map_err(|error| no(error.to_string()))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(no("it is no program".to_owned()));
    }
    let asked = tokio::process::Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = match timeout(START_TIME, asked).await {
        Ok(said) => said.map_err(|error| no(error.to_string()))?,
        Err(_) => return Err(no("it does not say its version".to_owned())),
    };
    match said.status.success() && said.stdout.starts_with(b"godwitd ") {
        true => Ok(()),
        false => Err(no("it is not godwitd".to_owned())),
    }
}

/// What is given, for as long as it is not the other's.
struct Giving {
    server: FrozenServer,
    /// Sessions that there were.
    count: usize,
}

async fn give(
    mut successor: Successor,
    server: FrozenServer,
) -> (Result<(u32, String), Lost>, Giving) {
    let count = server.sessions.len();
    let giving = tokio::task::spawn_blocking(move || {
        let mut server = server;
        let given = successor.hand_over(&mut server);
        let told = given.map(|()| (successor.child.id(), successor.hello.version.clone()));
        // It is over before the store is opened here again.
        drop(successor);
        (told, Giving { server, count })
    });
    match giving.await {
        Ok(given) => given,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

impl Successor {
    /// Starts the program, and hears who it is.
    fn start(binary: &Path, arguments: &[OsString], data: &Path) -> Result<Self, String> {
        let shown = binary.display();
        let no = |why: String| {
            format!(
                "{shown} did not start: {why}; the log of the server has its last words, --binary PATH names \
                 another"
            )
        };
        let (road, theirs) = Road::pair().map_err(|error| no(error.to_string()))?;
        let child = Command::new(binary)
            .args(arguments)
            .arg(TAKE_OVER)
            .stdin(Stdio::from(theirs))
            .spawn()
            .map_err(|error| no(error.to_string()))?;
        let mut successor = Self { child, road, hello: HelloRecord::default(), serves: false };
        let parcel = successor.hears(Step::Hello, START_TIME).map_err(no)?;
        let hello = HelloRecord::decode(parcel.bytes.as_slice());
        let hello = hello.map_err(|_| no("it speaks another language".to_owned()))?;
        hello.admits(data).map_err(|why| format!("{shown}: {why}"))?;
        successor.hello = hello;
        Ok(successor)
    }

    /// Gives all away. What the server still has afterwards is what it may go on with.
    fn hand_over(&mut self, server: &mut FrozenServer) -> Result<(), Lost> {
        let before = |why| Lost { why, after_go: false };
        self.give(server).map_err(before)?;
        self.says(Step::Go, &[], &[], PARCEL_TIME).map_err(before)?;
        // Keys and sockets are the other's: whatever happens, they are not used here again (M11).
        server.sessions = Vec::new();
        fail_point!("handover::gone");
        self.hears(Step::Serving, SERVE_TIME).map_err(|why| Lost { why, after_go: true })?;
        self.serves = true;
        Ok(())
    }

    /// Everything up to where nothing can be taken back.
    fn give(&self, server: &FrozenServer) -> Result<(), String> {
        let record = Zeroizing::new(server.record.encode_to_vec());
        self.says(Step::Node, &record, &[server.listener.as_fd()], PARCEL_TIME)?;
        let mut rest = server.sessions.as_slice();
        while !rest.is_empty() {
            let (count, bytes) = road::pack(rest);
            let (some, others) = rest.split_at(count);
            let sockets: Result<Vec<_>, _> = some.iter().map(|one| one.stream.fd()).collect();
            let sockets = sockets.map_err(|error| error.to_string())?;
            self.says(Step::Sessions, &bytes, &sockets, PARCEL_TIME)?;
            fail_point!("handover::parcel");
            self.hears(Step::Taken, PARCEL_TIME)?;
            rest = others;
        }
        fail_point!("handover::given");
        self.says(Step::Yours, &[], &[], PARCEL_TIME)?;
        fail_point!("handover::told");
        self.hears(Step::Ready, OPEN_TIME)?;
        fail_point!("handover::asked");
        Ok(())
    }

    fn says(
        &self,
        step: Step,
        bytes: &[u8],
        sockets: &[std::os::fd::BorrowedFd<'_>],
        time: Duration,
    ) -> Result<(), String> {
        let sent = self.road.within(time).and_then(|road| road.send(step, bytes, sockets));
        sent.map_err(|error| format!("{step:?}: {error}"))
    }

    /// The next parcel, which is to be this one.
    fn hears(&self, step: Step, time: Duration) -> Result<Parcel, String> {
        let came = self.road.within(time).and_then(Road::receive);
        let parcel = came.map_err(|error| format!("{step:?}: {error}"))?;
        match parcel.step {
            Step::Failed => Err(String::from_utf8_lossy(&parcel.bytes).into_owned()),
            came if came == step => Ok(parcel),
            came => Err(format!("{came:?} instead of {step:?}")),
        }
    }
}

impl Drop for Successor {
    /// A new process that does not serve ends before the old one goes on: it may have the store open.
    fn drop(&mut self) {
        if !self.serves {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl HelloRecord {
    /// Whether all can go to whoever says this.
    fn admits(&self, data: &Path) -> Result<(), String> {
        let version = &self.version;
        if self.oldest > VERSION || self.newest < OLDEST {
            return Err(format!(
                "godwitd {version} takes records of version {} to {}, and this one gives {OLDEST} to \
                 {VERSION}; go by a release between the two, or restart",
                self.oldest, self.newest
            ));
        }
        // As it is said: a name that is no text is not whole in it.
        let same =
            std::fs::canonicalize(data).is_ok_and(|ours| ours.to_string_lossy() == self.data);
        if !same {
            return Err(format!(
                "it would serve {} and not {}; start the server with --data DIR",
                self.data,
                data.display()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn who_reads_no_record_of_ours_or_serves_another_folder_is_told_what_to_do() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hello = |oldest, newest, at: &Path| {
            let data = std::fs::canonicalize(at).unwrap().to_string_lossy().into_owned();
            HelloRecord { version: "9.0.0".to_owned(), data, oldest, newest }
        };
        let admits = |oldest, newest| hello(oldest, newest, data.path()).admits(data.path());
        // The edges on both sides: one version in common is enough.
        assert_eq!(admits(VERSION, VERSION + 9), Ok(()));
        assert_eq!(admits(0, OLDEST), Ok(()));
        for (oldest, newest) in [(VERSION + 1, VERSION + 2), (0, OLDEST - 1)] {
            let why = admits(oldest, newest).unwrap_err();
            let says = format!("godwitd 9.0.0 takes records of version {oldest} to {newest}");
            assert!(why.contains(&says) && why.contains("or restart"), "{why}");
        }
        let nowhere = HelloRecord { data: String::new(), ..hello(OLDEST, VERSION, data.path()) };
        for elsewhere in [hello(OLDEST, VERSION, other.path()), nowhere] {
            let why = elsewhere.admits(data.path()).unwrap_err();
            assert!(why.contains("start the server with --data DIR"), "{why}");
        }
        // The folder under another name is the same folder, whatever its name is.
        let link = other.path().join("link");
        std::os::unix::fs::symlink(data.path(), &link).unwrap();
        assert_eq!(hello(OLDEST, VERSION, data.path()).admits(&link), Ok(()));
        let no_text = other.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        std::fs::create_dir(&no_text).unwrap();
        assert_eq!(hello(OLDEST, VERSION, &no_text).admits(&no_text), Ok(()));
    }
}
