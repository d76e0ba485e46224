//! Commands of the operator. A running server is asked over its admin socket; without one, what can
//! be done on the files alone is done there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use godwit_base::SystemClock;
use godwit_store::{
    Appended, CompactReport, Directory, Embedded, FileDisk, OpenError, Operations, Settled, Sink,
    StoreError,
};
use serde_json::{Value, json};

use super::{Backup, Invite, Look, Restore, SessionLook, Upgrade};
use crate::admin::{AskError, Question, ask, ask_and_hear, invite as new_invite};
use crate::config::{Config, ConfigError};
use crate::keys::{KeyError, rotate_server_key};
use crate::node::name_of;
use crate::reports::read as read_reports;
use crate::serve::{STORE_FOLDER, StartError, store_options};

/// Why a command failed. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No data folder.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The running server.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The store of a stopped server.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store of a stopped server.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The path of a file.
    #[error("{}: {cause}; name a file in a folder that exists", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// Shows how the running server is.
///
/// # Errors
/// No server runs, or it does not answer.
pub fn status(look: &Look) -> Result<String, CommandError> {
    let status = ask(&look.place.data()?, &Question::Status)?;
    if look.json {
        return Ok(format!("{status}\n"));
    }
    let mut out = String::new();
    for (name, value) in status.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(out, "{:<22}{value}", name.replace('_', " "));
    }
    Ok(out)
}

/// Shows the supervision tree of the running server.
///
/// # Errors
/// No server runs, or it does not answer.
pub fn tree(look: &Look) -> Result<String, CommandError> {
    let answer = ask(&look.place.data()?, &Question::Tree)?;
    Ok(match look.json {
        true => format!("{}\n", answer.get("tree").unwrap_or(&Value::Null)),
        false => answer.get("text").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// Puts a new program in the place of the running server's. Progress goes to standard error.
///
/// # Errors
/// No server runs, or the new program did not serve: the old one goes on then.
pub fn upgrade(wish: &Upgrade) -> Result<String, CommandError> {
    let data = wish.place.data()?;
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|cause| CommandError::Path { path: path.clone(), cause })
    };
    let binary = wish.binary.as_ref().map(absolute).transpose()?;
    let hears = |line: &str| eprintln!("{line}");
    let done = ask_and_hear(&data, &Question::Upgrade { binary }, hears);
    let mut report = match done {
        Ok(report) => report,
        Err(error) => {
            if wish.json {
                println!("{}", json!({ "ok": false, "error": error.to_string() }));
            }
            return Err(error.into());
        }
    };
    if let Some(report) = report.as_object_mut().filter(|_| wish.json) {
        report.insert("ok".to_owned(), true.into());
        return Ok(format!("{}\n", json!(report)));
    }
    let number = |name| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    Ok(format!(
        "process {} serves, version {}; {} sessions went on, {} had to dial again; {} ms of silence\n",
        number("new_pid"),
        report.get("new_version").and_then(Value::as_str).unwrap_or_default(),
        number("sessions"),
        number("dropped"),
        number("silence_ms"),
    ))
}

/// Shows the sessions of somebody on the running server.
///
/// # Errors
/// No server runs, it does not answer, or there is nobody of that name.
pub fn session(wish: &SessionLook) -> Result<String, CommandError> {
    let question = Question::Session { id: wish.id.clone() };
    let rows = ask(&wish.look.place.data()?, &question)?;
    if wish.look.json {
        return Ok(format!("{rows}\n"));
    }
    let mut out = String::new();
    for row in rows.as_array().into_iter().flatten() {
        let device = row.get("device").and_then(Value::as_str);
        let _ = writeln!(out, "device {}", device.unwrap_or("unknown"));
        match row.get("session").filter(|session| !session.is_null()) {
            Some(session) => lines(&mut out, session),
            None => out.push_str("  no session has its mailbox\n"),
        }
        if let Some(quarantine) = row.get("quarantine") {
            lines(&mut out, quarantine);
        }
    }
    Ok(out)
}

/// A line for each thing that is known.
fn lines(out: &mut String, values: &Value) {
    for (name, value) in values.as_object().into_iter().flatten().filter(|(_, it)| !it.is_null()) {
        if value.is_object() {
            lines(out, value);
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(out, "  {:<20}{value}", name.replace('_', " "));
    }
}

/// Lists what people reported, oldest first; the files are read, whether the server runs or not.
///
/// # Errors
/// No data folder, or its files cannot be read.
pub fn reports(look: &Look) -> Result<String, CommandError> {
    let data = look.place.data()?;
    let reports =
        read_reports(&data).map_err(|cause| CommandError::Path { path: data.clone(), cause })?;
    let mut out = String::new();
    for report in reports {
        if look.json {
            let _ = writeln!(out, "{}", json!(report));
            continue;
        }
        let shown = |text: &str| text.escape_debug().to_string();
        let _ = writeln!(
            out,
            "{} reported by {} at {}: {}",
            report.handle,
            report.by,
            time_of(report.at_ms),
            shown(&report.reason)
        );
        for message in &report.messages {
            let _ = writeln!(out, "    {}  {}", message.id, shown(&message.text));
        }
    }
    Ok(out)
}

/// A time as RFC 3339 has it, in UTC; one that no calendar has as the calendar's end.
fn time_of(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Makes an invite code.
///
/// # Errors
/// The server or the store says no.
pub fn invite(wish: &Invite) -> Result<String, CommandError> {
    let data = wish.place.data()?;
    let made = match ask(&data, &Question::Invite { uses: wish.uses, days: wish.days }) {
        Err(AskError::NotRunning(_)) => {
            let invite = new_invite(&SystemClock, wish.uses, wish.days);
            with_store(&wish.place.config()?, &data, |store| {
                Ok(wait(store.put_invite(invite.clone()))?)
            })?;
            json!({ "code": invite.code, "uses": wish.uses, "expires_ms": invite.expires_ms })
        }
        answer => answer?,
    };
    if wish.json {
        return Ok(format!("{made}\n"));
    }
    let text = |name| made.get(name).and_then(Value::as_str);
    let code = text("code").unwrap_or_default();
    let join = text("join").unwrap_or("LINK");
    Ok(format!(
        "{code}\n\nAccounts that may register with it: {}. Days that it is good for: {}.\n\n    godwit join '{join}' --as NAME --invite {code}\n",
        wish.uses, wish.days
    ))
}

/// Writes everything into a new file.
///
/// # Errors
/// The file exists or cannot be written; the server or the store says no.
pub fn backup(wish: &Backup) -> Result<String, CommandError> {
    let data = wish.place.data()?;
    let to = std::path::absolute(&wish.to)
        .map_err(|cause| CommandError::Path { path: wish.to.clone(), cause })?;
    let report = match ask(&data, &Question::Backup { to: to.clone() }) {
        Err(AskError::NotRunning(_)) => with_store(&wish.place.config()?, &data, |store| {
            let report = wait(store.backup(to.clone()))?;
            Ok(json!({ "to": to, "rows": report.rows, "file_bytes": report.file_bytes }))
        })?,
        answer => answer?,
    };
    Ok(match wish.json {
        true => format!("{report}\n"),
        false => format!(
            "{} rows, {} bytes in {}\nThe keys are not in it: copy server.key and ticket.key of {} too.\n",
            report.get("rows").unwrap_or(&Value::Null),
            report.get("file_bytes").unwrap_or(&Value::Null),
            to.display(),
            data.display(),
        ),
    })
}

/// Puts a backup back.
///
/// # Errors
/// There is a store already, or the backup is damaged.
pub fn restore(wish: &Restore) -> Result<String, CommandError> {
    let data = wish.place.data()?;
    let report = godwit_store::restore(&wish.from, &data.join(STORE_FOLDER))?;
    Ok(format!(
        "{} rows restored into {}\nPut the server's key back too: {}\n",
        report.rows,
        data.display(),
        data.join("server.key").display()
    ))
}

/// Checks every row of the store of a stopped server.
///
/// # Errors
/// The store is damaged, or in use.
pub fn verify(look: &Look) -> Result<String, CommandError> {
    let data = look.place.data()?;
    let report = with_store(&look.place.config()?, &data, |store| Ok(wait(store.verify())?))?;
    Ok(match look.json {
        true => format!("{}\n", json!({ "rows": report.rows, "records": report.records })),
        false => format!("{} rows are whole, {} of them records\n", report.rows, report.records),
    })
}

/// Makes the store of a stopped server as short as what lies in it.
///
/// # Errors
/// There is no store, it is damaged, or in use.
pub fn compact(look: &Look) -> Result<String, CommandError> {
    let data = look.place.data()?;
    let options = store_options(&look.place.config()?, Arc::new(SystemClock), Arc::new(FileDisk));
    let CompactReport { before_bytes, after_bytes } =
        godwit_store::compact(&data.join(STORE_FOLDER), &options)?;
    Ok(match look.json {
        true => {
            format!("{}\n", json!({ "before_bytes": before_bytes, "after_bytes": after_bytes }))
        }
        false => format!("{before_bytes} bytes before, {after_bytes} bytes now\n"),
    })
}

/// Makes a new server key; a running server uses it at once.
///
/// # Errors
/// The key file cannot be read or written.
pub fn rotate_key(look: &Look) -> Result<String, CommandError> {
    let data = look.place.data()?;
    let made = match ask(&data, &Question::RotateKey) {
        Err(AskError::NotRunning(_)) => json!({ "node": name_of(&rotate_server_key(&data)?) }),
        answer => answer?,
    };
    if look.json {
        return Ok(format!("{made}\n"));
    }
    let name = made.get("node").and_then(Value::as_str).unwrap_or_default();
    let news = match made.get("join").and_then(Value::as_str) {
        Some(join) => format!("in use now. The new join link:\n\n    {join}\n\n"),
        None => "used from the next start of the server on.\n".to_owned(),
    };
    Ok(format!(
        "The new key is {name}; it is {news}\
         Join links with the key before it stay valid until the key is rotated again.\n"
    ))
}

/// Opens the store of a stopped server for one operation.
fn with_store<T>(
    config: &Config,
    data: &Path,
    operation: impl FnOnce(&Embedded) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let options = store_options(config, Arc::new(SystemClock), Arc::new(FileDisk));
    let store = Embedded::open(&data.join(STORE_FOLDER), options, Arc::new(Nobody))?;
    let done = operation(&store);
    store.close();
    done
}

/// Waits without a runtime: the store answers from its own threads and wakes this one.
fn wait<T>(mut answer: impl Future<Output = T> + Unpin) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    loop {
        match Pin::new(&mut answer).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Nobody is connected to a stopped server.
struct Nobody;

impl Sink for Nobody {
    fn settled(&self, _: &[Settled]) {}

    fn appended(&self, _: &[Appended]) {}

    fn missed(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_tells_is_a_line_each_and_what_is_not_is_none() {
        let mut out = String::new();
        let session = json!({
            "token": "t:42", "turn_running_ms": null, "says": { "stage": "open", "in_flight": 3 },
        });
        lines(&mut out, &session);
        let mut told: Vec<&str> = out.lines().collect();
        told.sort_unstable();
        let expected =
            ["  in flight           3", "  stage               open", "  token               t:42"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_time_can_be_read_whatever_it_is() {
        assert_eq!(time_of(1_772_374_980_000), "2026-03-01T14:23:00Z");
        assert!(time_of(u64::MAX).starts_with("9999-12-30T"));
    }
}
