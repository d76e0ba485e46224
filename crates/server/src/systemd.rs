//! What systemd and the server say to each other: the port that it bound for us, that we are up, and who we
//! are after an upgrade, and that our workers still get to do something. Without systemd nothing of this does anything.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::{NotifyState, notify};

/// The port that systemd bound (`godwitd.socket`), if it did. To be called first of all: other threads must
/// not look at the environment meanwhile.
///
/// # Errors
/// What it passed is no TCP port, or more than one.
pub fn port() -> io::Result<Option<TcpListener>> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(io::Error::other("godwitd serves one port: name one in godwitd.socket"));
    }
    let Some(port) = passed.take_tcp_listener(0)? else { return Ok(None) };
    port.set_nonblocking(true)?;
    // A copy that no program inherits which this one starts.
    port.try_clone().map(Some)
}

/// It serves; and it is the main process, which it may have become just now.
pub fn serves() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// A worker had time for it; said once a second, if the unit has a `WatchdogSec`. When no worker has for as
/// long as that says, systemd ends the process and starts it anew: nothing in it could. The process that is named
/// in `WATCHDOG_PID` is the one before the first upgrade, so it is not looked at.
pub(crate) fn lives() {
    if std::env::var_os("WATCHDOG_USEC").is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

/// It goes down.
pub fn stops() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        tracing::warn!(%error, "systemd was not told");
    }
}
