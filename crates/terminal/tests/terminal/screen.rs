//! tmux: a terminal that can be typed into and read. Waiting is woken by tmux itself, which says
//! when a pane's content changes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use crate::stage::{GODWIT, Home, PATIENCE};

/// Whether tmux is there. Says so loudly if it is not: the tests then show nothing.
pub(crate) fn is_here() -> bool {
    let is_here =
        Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success());
    if !is_here {
        eprintln!(
            "\n!!! SKIPPED: tmux is not installed, the messenger was NOT tested (apt-get install tmux) !!!\n"
        );
    }
    is_here
}

/// One terminal with one program in it, on a tmux server of its own.
pub(crate) struct Screen {
    socket: String,
    changes: Receiver<()>,
    control: Child,
    _control_input: ChildStdin,
}

impl Screen {
    /// `godwit chat` on a home, in a terminal of this size.
    pub(crate) fn open(home: &Home, columns: u16, rows: u16, environment: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("godwit-test-{}-{number}", std::process::id());
        let program = format!(
            "env -u NO_COLOR -u GODWIT_HOME TZ=UTC {} {GODWIT} --home {} chat; echo left with $?; cat",
            environment.join(" "),
            home.path()
        );
        let (columns, rows) = (columns.to_string(), rows.to_string());
        tmux(
            &socket,
            &["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, &program],
        );
        tmux(&socket, &["set-option", "-g", "window-size", "manual"]);
        tmux(&socket, &["set-option", "-sg", "escape-time", "0"]);
        let mut control = Command::new("tmux")
            .args(["-L", &socket, "-C", "attach-session", "-f", "ignore-size"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = control.stdout.take().unwrap();
        let (to, changes) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if line.starts_with(b"%output") || line.starts_with(b"%layout") {
                    let _ = to.try_send(()); // one that waits already wakes as well
                }
            }
        });
        let input = control.stdin.take().unwrap();
        Self { socket, changes, control, _control_input: input }
    }

    /// Presses keys, named as tmux names them.
    pub(crate) fn keys(&self, keys: &[&str]) {
        let all = [&["send-keys"], keys].concat();
        tmux(&self.socket, &all);
    }

    /// Types text.
    pub(crate) fn types(&self, text: &str) {
        tmux(&self.socket, &["send-keys", "-l", text]);
    }

    /// Pastes text, as a terminal does that knows bracketed paste.
    pub(crate) fn pastes(&self, text: &str) {
        tmux(&self.socket, &["set-buffer", text]);
        tmux(&self.socket, &["paste-buffer", "-p", "-r"]);
    }

    /// Clicks with the left button on a cell, counted from 0.
    pub(crate) fn clicks(&self, column: usize, row: usize) {
        self.types(&format!("\u{1b}[<0;{};{}M", column + 1, row + 1));
    }

    pub(crate) fn wheel_up(&self, column: usize, row: usize) {
        self.types(&format!("\u{1b}[<64;{};{}M", column + 1, row + 1));
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        tmux(&self.socket, &["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What the terminal shows.
    pub(crate) fn text(&self) -> String {
        tmux(&self.socket, &["capture-pane", "-p"])
    }

    /// What the terminal shows, with the escape sequences of its colours.
    pub(crate) fn colours(&self) -> String {
        tmux(&self.socket, &["capture-pane", "-p", "-e"])
    }

    /// Waits until the terminal shows a text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.wait(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Waits until the terminal shows something.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, is_shown: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.text();
            if is_shown(&screen) {
                return screen;
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.changes.recv_timeout(left).is_err() && !is_shown(&self.text()) {
                panic!("did not show {what} within {PATIENCE:?}, but:\n{screen}");
            }
        }
    }

    /// Waits until a line that contains `text` ends with these ticks.
    #[track_caller]
    pub(crate) fn ticks(&self, text: &str, ticks: &str) {
        let end = format!("{ticks} ▐");
        self.wait(&format!("{ticks} behind {text:?}"), |screen| {
            screen.lines().any(|line| line.contains(text) && line.trim_end().ends_with(&end))
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
        let _ = self.control.wait();
    }
}

#[track_caller]
fn tmux(socket: &str, arguments: &[&str]) -> String {
    let output = Command::new("tmux").args(["-L", socket]).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tmux {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
