//! Secrets in the data folder: the server's key and the key of its resumption tickets. Text files
//! that only their owner may read, each with the current key and the one before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_link::{LinkError, ServerKeys, StaticKey, TicketKeys};
use zeroize::Zeroizing;

/// The server's key: who has it is this server.
const SERVER_KEY_FILE: &str = "server.key";
/// The key that seals resumption tickets.
const TICKET_KEY_FILE: &str = "ticket.key";

const HEAD: &str = "# Secret of a godwit server. Never copy it anywhere but into a backup.";

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {cause}; check that the data folder belongs to the user that runs godwitd", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others can read it.
    #[error("{} can be read by others; run `chmod 600 {}`, and rotate the key if somebody may have read it",
        .0.display(), .0.display())]
    Open(PathBuf),
    /// It is not what was written.
    #[error("{} is damaged; restore it from a backup: with another key every join link changes", .0.display())]
    Damaged(PathBuf),
    /// The machine gives no randomness.
    #[error("no key could be made: {0}")]
    Link(#[from] LinkError),
}

/// The server's keys; made on the first call.
///
/// # Errors
/// See [`KeyError`].
pub fn server_keys(data: &Path) -> Result<ServerKeys, KeyError> {
    let path = data.join(SERVER_KEY_FILE);
    let pair = read(&path)?.map_or_else(|| create(&path), Ok)?;
    let previous = pair.previous.as_deref().copied().map(StaticKey::from_bytes);
    Ok(ServerKeys::new(StaticKey::from_bytes(*pair.current), previous))
}

/// Makes a new server key on disk; the present one becomes the previous one and stays valid, the one
/// before that does not. A running server is asked instead, and uses the new one at once.
///
/// # Errors
/// See [`KeyError`].
pub fn rotate_server_key(data: &Path) -> Result<ServerKeys, KeyError> {
    rotate(&data.join(SERVER_KEY_FILE))?;
    server_keys(data)
}

/// How old the key of resumption tickets may become, on the clock of the wall: a server that is often
/// restarted changes it as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TicketTerm {
    pub(crate) now_ms: u64,
    /// A key seals tickets for so long and opens them for as long again.
    pub(crate) key_ms: u64,
}

/// The keys of resumption tickets; made on the first call, and anew if they are due.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn ticket_keys(data: &Path, term: TicketTerm) -> Result<TicketKeys, KeyError> {
    if let Some(renewed) = renew_ticket_keys(data, term)? {
        return Ok(renewed);
    }
    let path = data.join(TICKET_KEY_FILE);
    let pair = read(&path)?.ok_or(KeyError::Damaged(path))?;
    Ok(tickets(&pair))
}

/// Makes a new key for tickets if the present one is as old as it may become or of no known age. Those
/// under the present one stay good, unless it should have gone already; older ones do not.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn renew_ticket_keys(
    data: &Path,
    term: TicketTerm,
) -> Result<Option<TicketKeys>, KeyError> {
    let path = data.join(TICKET_KEY_FILE);
    let present = read(&path)?;
    // A clock that was set back makes no key live longer: far from now is due, either way.
    let age_ms = |pair: &Pair| pair.made_ms.map(|made_ms| made_ms.abs_diff(term.now_ms));
    let is_due = |age_ms: Option<u64>| age_ms.is_none_or(|age_ms| age_ms >= term.key_ms);
    if present.as_ref().is_some_and(|pair| !is_due(age_ms(pair))) {
        return Ok(None);
    }
    let still_good =
        |pair: &Pair| age_ms(pair).is_none_or(|age_ms| age_ms < term.key_ms.saturating_mul(2));
    let previous = present.filter(still_good).map(|pair| pair.current);
    let pair = Pair { current: random()?, previous, made_ms: Some(term.now_ms) };
    write(&path, &pair)?;
    Ok(Some(tickets(&pair)))
}

fn tickets(pair: &Pair) -> TicketKeys {
    match &pair.previous {
        None => TicketKeys::new(*pair.current),
        Some(previous) => {
            let mut keys = TicketKeys::new(**previous);
            keys.rotate(*pair.current);
            keys
        }
    }
}

/// A secret and the one before it.
struct Pair {
    current: Zeroizing<[u8; 32]>,
    previous: Option<Zeroizing<[u8; 32]>>,
    /// When the current one was made, unix milliseconds, if it is to be replaced with age.
    made_ms: Option<u64>,
}

fn rotate(path: &Path) -> Result<Pair, KeyError> {
    let previous = read(path)?.map(|pair| pair.current);
    let pair = Pair { current: random()?, previous, made_ms: None };
    write(path, &pair)?;
    Ok(pair)
}

fn create(path: &Path) -> Result<Pair, KeyError> {
    let pair = Pair { current: random()?, previous: None, made_ms: None };
    write(path, &pair)?;
    Ok(pair)
}

fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    Ok(StaticKey::generate()?.to_bytes())
}

fn read(path: &Path) -> Result<Option<Pair>, KeyError> {
    let io = |cause| KeyError::Io { path: path.to_owned(), cause };
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    let word = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim)
    };
    let key = |name: &str| {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(word(name)?).ok()?);
        bytes.as_slice().try_into().ok().map(Zeroizing::new)
    };
    let damaged = || KeyError::Damaged(path.to_owned());
    let previous = match text.contains("\nprevious ") {
        true => Some(key("previous").ok_or_else(damaged)?),
        false => None,
    };
    let made_ms = word("made").map(str::parse).transpose().map_err(|_| damaged())?;
    Ok(Some(Pair { current: key("current").ok_or_else(damaged)?, previous, made_ms }))
}

/// A key as its file has it.
fn text_of(key: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(key))
}

/// Whole or not at all: a new file, synced, takes the old one's name.
fn write(path: &Path, pair: &Pair) -> Result<(), KeyError> {
    let next = path.with_extension("key.new");
    let replace = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        writeln!(file, "{HEAD}\ncurrent {}", *text_of(&pair.current))?;
        if let Some(previous) = &pair.previous {
            writeln!(file, "previous {}", *text_of(previous))?;
        }
        if let Some(made_ms) = pair.made_ms {
            writeln!(file, "made {made_ms}")?;
        }
        file.sync_all()?;
        fs::rename(&next, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    replace().map_err(|cause| KeyError::Io { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_and_nobody_else_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let made = server_keys(data.path()).unwrap().current().public();
        assert_eq!(server_keys(data.path()).unwrap().current().public(), made);
        let file = data.path().join(SERVER_KEY_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(server_keys(data.path()), Err(KeyError::Open(_))));
    }

    #[test]
    fn two_keys_are_valid_after_a_rotation_and_the_third_is_not() {
        let data = tempfile::tempdir().unwrap();
        let first = server_keys(data.path()).unwrap().current().public();
        let second = rotate_server_key(data.path()).unwrap();
        assert!(second.by_hint(first.hint()).is_some());
        assert_ne!(second.current().public(), first);
        let third = rotate_server_key(data.path()).unwrap();
        assert!(third.by_hint(second.current().public().hint()).is_some());
        assert!(third.by_hint(first.hint()).is_none());
    }

    #[test]
    fn damage_is_told_and_never_replaced() {
        let data = tempfile::tempdir().unwrap();
        rotate_server_key(data.path()).unwrap();
        rotate_server_key(data.path()).unwrap();
        let file = data.path().join(SERVER_KEY_FILE);
        let good = fs::read_to_string(&file).unwrap();
        for line in ["current ", "previous "] {
            let bad = good.replace(line, &format!("{line}!"));
            fs::write(&file, &bad).unwrap();
            assert!(matches!(server_keys(data.path()), Err(KeyError::Damaged(_))), "{line}");
            assert_eq!(fs::read_to_string(&file).unwrap(), bad);
        }
    }

    /// The lines of the ticket keys' file with these names.
    fn ticket_lines(data: &Path) -> [Option<String>; 2] {
        let text = fs::read_to_string(data.join(TICKET_KEY_FILE)).unwrap();
        ["current ", "previous "]
            .map(|name| text.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned())))
    }

    #[test]
    fn the_ticket_key_goes_by_its_age_however_often_the_server_starts() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let at = |now_ms| TicketTerm { now_ms, key_ms: 1_000 };
        ticket_keys(data, at(50_000)).unwrap();
        let [first, none] = ticket_lines(data);
        assert_eq!(none, None);
        for now_ms in [50_000, 50_999, 49_001] {
            ticket_keys(data, at(now_ms)).unwrap();
            assert!(renew_ticket_keys(data, at(now_ms)).unwrap().is_none(), "{now_ms}");
            assert_eq!(ticket_lines(data)[0], first, "{now_ms}");
        }
        ticket_keys(data, at(51_000)).unwrap();
        let [second, before] = ticket_lines(data);
        assert_eq!((before, second != first), (first, true));
        assert!(renew_ticket_keys(data, at(52_000)).unwrap().is_some(), "while it runs");
        let [third, before] = ticket_lines(data);
        assert_eq!(before, second);
        // A clock that was set back.
        assert!(renew_ticket_keys(data, at(51_000)).unwrap().is_some());
        let [fourth, before] = ticket_lines(data);
        assert_eq!(before, third);
        // A server that was down for so long that tickets under its key have all gone.
        assert!(renew_ticket_keys(data, at(53_000)).unwrap().is_some());
        let [fifth, before] = ticket_lines(data);
        assert_eq!((before, fifth != fourth), (None, true));
    }

    #[test]
    fn a_ticket_key_of_no_known_age_is_replaced_and_opens_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        create(&data.join(TICKET_KEY_FILE)).unwrap();
        let [old, _] = ticket_lines(data);
        ticket_keys(data, TicketTerm { now_ms: 5, key_ms: 1_000 }).unwrap();
        assert_eq!(ticket_lines(data)[1], old);
    }
}
