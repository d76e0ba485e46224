//! The program, run as an operator runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use godwit_base::JoinLink;
use serde_json::Value;

/// `godwitd` with these arguments, in an environment without a home.
pub(crate) fn godwitd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwitd"));
    command.args(arguments).env_remove("HOME").env_remove("XDG_DATA_HOME");
    command
}

/// What a command that ends by itself did.
pub(crate) fn run(arguments: &[&str]) -> Output {
    godwitd(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server that runs; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) out: BufReader<ChildStdout>,
    pub(crate) ready: Value,
    pub(crate) join: JoinLink,
}

impl Program {
    /// Serves from `data` on any free port; returns when it says that it is ready.
    pub(crate) fn serve(data: &Path) -> Self {
        let data = data.to_str().unwrap();
        let listen = "127.0.0.1:0";
        Self::spawn(godwitd(&["serve", "--data", data, "--listen", listen, "--json"]))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the first line is a JSON object");
        let join = ready["join"].as_str().unwrap().parse().unwrap();
        Self { child, out, ready, join }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u64 {
        self.child.id().into()
    }

    /// A signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; the exit code, or none if a signal ended it.
    pub(crate) fn ends(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
