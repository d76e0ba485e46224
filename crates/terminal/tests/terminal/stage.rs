//! A server and homes on it. Everything binds 127.0.0.1 and ends with its owner.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest that any one thing may take before the test fails: generous, since a machine that runs
/// many tests at once is slow, and never waited for when things go well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The program under test.
pub(crate) const GODWIT: &str = env!("CARGO_BIN_EXE_godwit");

/// `godwitd` stands beside `godwit`.
fn godwitd() -> PathBuf {
    let path = Path::new(GODWIT).with_file_name("godwitd");
    assert!(
        path.exists(),
        "{} is missing: build it first with `cargo build -p godwit-server --bin godwitd`",
        path.display()
    );
    path
}

/// A running server with its own data folder.
pub(crate) struct Server {
    child: Child,
    pub(crate) join: String,
    pub(crate) address: String,
    data: TempDir,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        Self::start_on(TempDir::new().unwrap(), "127.0.0.1:0", None)
    }

    /// Starts one that asks for invites.
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_on(TempDir::new().unwrap(), "127.0.0.1:0", Some(config))
    }

    fn start_on(data: TempDir, listen: &str, config: Option<&str>) -> Self {
        let mut command = Command::new(godwitd());
        command.args(["serve", "--json", "--listen", listen, "--data"]).arg(data.path());
        if let Some(config) = config {
            let file = data.path().join("test.toml");
            std::fs::write(&file, config).unwrap();
            command.arg("--config").arg(file);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        let ready = lines.next_json();
        assert_eq!(ready["event"], "ready");
        let address = ready["http"].as_str().unwrap().replace("http://", "");
        Self { child, join: ready["join"].as_str().unwrap().to_owned(), address, data }
    }

    /// Kills the server as a power cut would, and starts it again in the same place after `between`.
    pub(crate) fn restart(self, between: impl FnOnce()) -> Self {
        let address = self.address.clone();
        let data = self.stop();
        between();
        Self::start_on(data, &address, None)
    }

    /// Puts another process in its place, killed when dropped.
    pub(crate) fn upgrade(&self) -> Successor {
        let said = self.order(&["upgrade", "--json", "--data", self.data.path().to_str().unwrap()]);
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["ok"], true, "{report}");
        Successor(report["new_pid"].as_u64().unwrap())
    }

    /// Kills the server and keeps its data.
    pub(crate) fn stop(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.data, TempDir::new().unwrap())
    }

    /// The server's data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Runs a command of the server's own and returns what it printed.
    pub(crate) fn order(&self, arguments: &[&str]) -> String {
        let output = Command::new(godwitd()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new home that has joined as `handle`.
    pub(crate) fn joined(&self, handle: &str) -> Home {
        let home = Home::new();
        home.run(&["join", &self.join, "--as", handle]).succeeds();
        home
    }
}

/// A process that took over.
pub(crate) struct Successor(u64);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A home folder.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// A copy of the folder, as a backup makes it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for file in std::fs::read_dir(self.0.path()).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), copy.0.path().join(file.file_name())).unwrap();
            }
        }
        copy
    }

    /// A command on this home, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = godwit();
        command.arg("--home").arg(self.path()).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments), "")
    }

    /// Runs a command to its end with this on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        Ended::of(&mut self.command(arguments), input)
    }

    /// Starts a command whose output is read while it runs.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(&mut self.command(arguments))
    }
}

/// The program with nothing of the tester's own environment that could change it.
pub(crate) fn godwit() -> Command {
    let mut command = Command::new(GODWIT);
    command.env_remove("GODWIT_HOME").env_remove("NO_COLOR").env("TZ", "UTC");
    command
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command, input: &str) -> Self {
        let mut child = spawn(command);
        let mut to = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = thread::spawn(move || drop(to.write_all(input.as_bytes())));
        let errors = reader(child.stderr.take().unwrap());
        let output = reader(child.stdout.take().unwrap());
        let status = wait(&mut child);
        writer.join().unwrap();
        let (output, errors) = (output.join().unwrap(), errors.join().unwrap());
        Self { code: status.code(), output, errors }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Failed with this code, and one line on standard error that contains `says`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.errors.lines().count(), 1, "not one line: {self:?}");
        assert!(self.errors.starts_with("godwit: ") && self.errors.contains(says), "{self:?}");
        self
    }

    /// Each line of the output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.output.lines().map(parse).collect()
    }
}

/// A command that runs; killed if it still does when the test ends.
pub(crate) struct Running {
    child: Child,
    lines: Lines,
    errors: Option<Lines>,
    input: Option<ChildStdin>,
}

impl Running {
    fn of(command: &mut Command) -> Self {
        let mut child = spawn(command);
        drop(reader(child.stderr.take().unwrap()));
        let lines = Lines::of(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, lines, errors: None }
    }

    /// The same, and its standard error is read too.
    pub(crate) fn with_errors(command: &mut Command) -> Self {
        let mut child = spawn(command);
        let errors = Some(Lines::of(child.stderr.take().unwrap()));
        let lines = Lines::of(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, lines, errors }
    }

    /// The next line of its standard error.
    #[track_caller]
    pub(crate) fn next_error(&mut self) -> String {
        self.errors.as_mut().unwrap().next().expect("standard error has ended")
    }

    /// The next line of its output.
    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        self.lines.next().expect("the output has ended")
    }

    #[track_caller]
    pub(crate) fn next_json(&mut self) -> Value {
        self.lines.next_json()
    }

    /// The next line of its output that is this event; others are passed over.
    #[track_caller]
    pub(crate) fn next_event(&mut self, event: &str) -> Value {
        loop {
            let value = self.next_json();
            if value["event"] == event {
                return value;
            }
        }
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Kills it, as `kill -9` does, and returns what it had printed and nobody had read yet.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.lines.next()).collect()
    }

    /// Waits for its end.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.input = None;
        wait(&mut self.child).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The texts that `listen --json` printed, as the lines of a file.
pub(crate) fn texts(listened: &[Value]) -> String {
    let messages = listened.iter().filter(|line| line["event"] == "message");
    messages.map(|line| format!("{}\n", line["text"].as_str().unwrap())).collect()
}

/// Lines of an output, read by a thread so that waiting for one has an end.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    #[track_caller]
    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line came within {PATIENCE:?}"),
        }
    }

    #[track_caller]
    fn next_json(&mut self) -> Value {
        parse(&self.next().expect("the output has ended"))
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
}

fn spawn(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Waits for the end of a process, with patience but not for ever.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let (to, ended) = mpsc::channel::<()>();
    let id = child.id();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    });
    let started = Instant::now();
    let status = child.wait().unwrap();
    drop(to);
    watch.join().unwrap();
    assert!(started.elapsed() < PATIENCE, "the command did not end within {PATIENCE:?}");
    status
}
