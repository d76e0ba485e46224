//! What a program says first that is to take over, and which are refused. Nothing happens to anybody then.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message as _;
use tempfile::TempDir;

use super::life::joins;
use super::program::{Program, text};
use super::upgrade::{Last, report, upgrades};

/// A hello, as whoever writes another server would define it.
#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    data: String,
    #[prost(uint32, tag = "3")]
    oldest: u32,
    #[prost(uint32, tag = "4")]
    newest: u32,
}

const HELLO: u8 = 0;
const READY: u8 = 5;
const FAILED: u8 = 8;

/// As it goes over the road: a head of eight bytes, and what it carries.
fn parcel(step: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[b'G', step, 0, 0], &length[..], bytes].concat()
}

fn hello(data: &Path, oldest: u32, newest: u32) -> Vec<u8> {
    let data = fs::canonicalize(data).unwrap().to_str().unwrap().to_owned();
    parcel(HELLO, &Hello { version: "9.9.9".to_owned(), data, oldest, newest }.encode_to_vec())
}

/// A program that calls itself godwitd, says these bytes where a new process says hello, and then stays
/// or ends.
struct Stranger {
    folder: TempDir,
}

impl Stranger {
    fn that_says(bytes: &[u8], then: &str) -> Self {
        let stranger = Self { folder: TempDir::new().unwrap() };
        let at = stranger.folder.path();
        fs::write(at.join("first"), bytes).unwrap();
        let script = format!(
            "#!/bin/sh\n\
             [ \"$1\" = --version ] && {{ echo godwitd 9.9.9; exit; }}\n\
             echo $$ > {at}/number\n\
             cat {at}/first >&0\n\
             {then}\n",
            at = at.display()
        );
        fs::write(stranger.binary(), script).unwrap();
        fs::set_permissions(stranger.binary(), fs::Permissions::from_mode(0o700)).unwrap();
        stranger
    }

    fn binary(&self) -> PathBuf {
        self.folder.path().join("stranger")
    }

    /// Whether its process is still there.
    fn is_there(&self) -> bool {
        let number = fs::read_to_string(self.folder.path().join("number")).unwrap();
        Command::new("kill").args(["-0", number.trim()]).output().unwrap().status.success()
    }
}

const STAYS: &str = "exec sleep 600";
const ENDS: &str = "exit 1";

#[tokio::test]
async fn who_says_a_wrong_hello_is_ended_and_the_server_goes_on_and_says_what_to_do() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = Program::serve(data.path());
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    let newest = u32::MAX;
    let another = "--binary PATH";
    for (says, then, why, what_to_do) in [
        (hello(data.path(), newest, newest), STAYS, "takes records of version", "or restart"),
        (hello(data.path(), 0, 0), STAYS, "takes records of version 0 to 0", "or restart"),
        (hello(elsewhere.path(), 1, newest), STAYS, "it would serve", "with --data DIR"),
        (parcel(HELLO, b"\xff"), STAYS, "it speaks another language", another),
        (b"HTTP/1.1 200 OK".to_vec(), STAYS, "speaks another language", another),
        (parcel(READY, b""), STAYS, "Ready instead of Hello", another),
        (parcel(FAILED, b"no room here"), STAYS, "no room here", another),
        (Vec::new(), ENDS, "the other process ended", "log of the server"),
    ] {
        let stranger = Stranger::that_says(&says, then);
        let done = upgrades(&data, &["--binary", stranger.binary().to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1), "{why}");
        let (error, report) = (text(&done.stderr), report(&done));
        let said = report["error"].as_str().unwrap();
        assert_eq!(report["ok"], false, "{why}");
        for told in [error.as_str(), said] {
            assert!(told.contains(why) && told.contains(what_to_do), "{why}: {told}");
            assert!(told.contains("the server goes on as it was"), "{why}: {told}");
        }
        assert!(!error.contains("freezing"), "{why}: {error}");
        assert!(!stranger.is_there(), "{why}: nobody needs it any more");
        alice.writes_to(&mut bob, why).await;
    }
    // The same with nothing wrong is let in: sessions come to it, and back.
    let stranger = Stranger::that_says(&hello(data.path(), 1, newest), ENDS);
    let done = upgrades(&data, &["--binary", stranger.binary().to_str().unwrap()]);
    let error = text(&done.stderr);
    assert!(error.contains("2 sessions are frozen"), "{error}");
    assert!(error.contains("all sessions go on in the old server"), "{error}");
    alice.writes_to(&mut bob, "back again").await;
    let report = report(&upgrades(&data, &[]));
    assert_eq!(report["ok"], true, "{report}");
    drop(Last(report["new_pid"].as_u64().unwrap()));
}
