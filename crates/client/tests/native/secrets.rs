//! Secrets on disk: people talk over the real server, in a chat and in groups, and then every file of all
//! data folders is searched for every secret that there is. Each may lie in the files that are listed for
//! its kind and nowhere else; that it is found there shows that the search finds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ciborium::Value;
use godwit_base::AccountId;
use godwit_client::core::{GroupCommand, Table};
use godwit_seal::RowKey;
use rusqlite::Connection;

use crate::stage::{Stage, delivered, handle, soon, take};

/// Shorter leaves of rows are counters and ids.
const SECRET_BYTES_MIN: usize = 16;

/// Members that a group needs so that its messages go under sender keys: one more than go in copies.
const MEMBERS: usize = 34;

/// Fields of rows that are public: everybody sees them, in lists, bundles, headers of messages, join links.
const PUBLIC: &[&str] = &[
    "account",
    "account_key",
    "base_key",
    "dh_key",
    "identity_key",
    "one_time_key",
    "opened",
    "parent_ratchet_key",
    "public_keys",
    "ratchet_key",
    "remote_ratchet_key",
    "server_key",
    "session_keys",
    "signing_key",
    "unpublished",
    "fallbacks",
];

/// A secret: what it is, and its bytes.
type Secret = (String, Vec<u8>);

/// Of each kind of secret, the files in which it may be, by their path below the stage's folder.
fn allowed(home: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (format!("{home}: row key"), format!("{home}/key")),
        ("server: server.key".to_owned(), "server/server.key".to_owned()),
        ("server: ticket.key".to_owned(), "server/ticket.key".to_owned()),
    ])
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_below(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// Rows are sealed for a table's name and a key: the one of the database, none, or the account's id.
fn open(
    key: &RowKey,
    table: Table,
    row_key: &[u8],
    account: AccountId,
    row: &[u8],
) -> (String, Vec<u8>) {
    let of_seal = [
        "account_key",
        "device_keys",
        "device_list",
        "pairing",
        "group",
        "group_secret",
        "sender_key",
        "heard_key",
    ];
    let account = account.0.to_be_bytes();
    for name in Table::ALL.iter().map(|table| table.name()).chain(of_seal) {
        for key_bytes in [row_key, b"".as_slice(), &account] {
            if let Ok(plain) = key.open(name, key_bytes, row) {
                return (name.to_owned(), plain.to_vec());
            }
        }
    }
    panic!("a row of table {} opens under no name: tell this test of it", table.name());
}

/// All byte strings of a value that are not in a public field.
fn leaves(value: &Value, path: &str, found: &mut Vec<Secret>) {
    if PUBLIC.contains(&path.rsplit('.').next().unwrap_or_default()) {
        return;
    }
    let bytes = match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| u8::try_from(i128::from(item.as_integer()?)).ok())
            .collect::<Option<Vec<u8>>>(),
        _ => None,
    };
    match (bytes, value) {
        (Some(bytes), _) if bytes.len() >= SECRET_BYTES_MIN => found.push((path.to_owned(), bytes)),
        (Some(_), _) => {}
        (None, Value::Array(items)) => items.iter().for_each(|item| leaves(item, path, found)),
        (None, Value::Map(fields)) => {
            for (name, value) in fields {
                let name = name.as_text().unwrap_or("");
                leaves(value, &format!("{path}.{name}"), found);
            }
        }
        (None, Value::Tag(_, inner)) => leaves(inner, path, found),
        (None, _) => {}
    }
}

/// The secrets that the rows of a home hold.
fn secrets_of(stage: &Stage, home: &str, account: AccountId) -> Vec<Secret> {
    let folder = stage.home(home);
    let key: [u8; 32] = std::fs::read(folder.join("key")).unwrap().try_into().unwrap();
    let row_key = RowKey::from_bytes(&key);
    let db = Connection::open(folder.join("godwit.db")).unwrap();
    let mut rows = db.prepare("SELECT key, value FROM state WHERE tab = ?1").unwrap();
    let mut secrets = vec![(format!("{home}: row key"), key.to_vec())];
    for table in Table::ALL {
        let found: Vec<(Vec<u8>, Vec<u8>)> = rows
            .query_map([table as u8], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (row_key_bytes, row) in found {
            let (name, plain) = open(&row_key, table, &row_key_bytes, account, &row);
            let mut found = Vec::new();
            match name.as_str() {
                "account_key" => found.push((name, plain)),
                // A number, then the secret.
                "group_secret" => found.push((name, plain[plain.len() - 32..].to_vec())),
                // Only these hold keys; what else is sealed are people's affairs.
                "device_keys" | "pairing" | "sender_key" | "heard_key" => {
                    leaves(&ciborium::from_reader(plain.as_slice()).unwrap(), &name, &mut found);
                }
                "me" if row_key_bytes == b"home" => {
                    leaves(&ciborium::from_reader(plain.as_slice()).unwrap(), &name, &mut found);
                }
                _ => {}
            }
            secrets
                .extend(found.into_iter().map(|(what, bytes)| (format!("{home}: {what}"), bytes)));
        }
    }
    secrets
}

/// The keys in a file of the server.
fn secrets_in(stage: &Stage, file: &str) -> Vec<Secret> {
    let text = std::fs::read_to_string(stage.home("server").join(file)).unwrap();
    let keys = text.lines().filter_map(|line| {
        let (word, key) = line.split_once(' ')?;
        matches!(word, "current" | "previous").then(|| URL_SAFE_NO_PAD.decode(key).unwrap())
    });
    keys.map(|key| (format!("server: {file}"), key)).collect()
}

/// The forms in which somebody might write a secret.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    use std::fmt::Write;
    let mut hex = String::new();
    bytes.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    vec![
        bytes.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        STANDARD_NO_PAD.encode(bytes).into_bytes(),
        URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        numbers.join(", ").into_bytes(),
    ]
}

/// Which secrets lie in which files.
fn found(stage: &Stage, secrets: &[Secret]) -> BTreeSet<(String, String)> {
    const HEAD: usize = 8;
    let mut needles: HashMap<[u8; HEAD], Vec<(usize, Vec<u8>)>> = HashMap::new();
    for (at, (_, bytes)) in secrets.iter().enumerate() {
        for form in forms(bytes) {
            let head = *form.first_chunk().unwrap();
            needles.entry(head).or_default().push((at, form));
        }
    }
    let mut files = Vec::new();
    files_below(stage.folder.path(), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let content = std::fs::read(&file).unwrap();
        let name = file.strip_prefix(stage.folder.path()).unwrap().display().to_string();
        for (at, head) in content.windows(HEAD).enumerate() {
            let Some(candidates) = needles.get(head) else { continue };
            for (secret, form) in candidates {
                if content[at..].starts_with(form) {
                    found.insert((secrets[*secret].0.clone(), name.clone()));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn no_secret_and_no_text_lies_open_in_any_file() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let mut with = vec![handle("bob")];
    for n in 2..MEMBERS {
        let name = format!("p{n}");
        stage.join(&name).await;
        with.push(handle(&name));
    }
    let texts = [
        "the heron stands in the reeds",
        "the kite is over the field",
        "the owl is heard at night",
    ];
    let id = alice.send(&handle("bob"), texts[0].to_owned()).await.unwrap();
    delivered(&alice, id).await;
    let small =
        GroupCommand::Create { name: "the herons' own name".to_owned(), with: vec![handle("bob")] };
    let small = soon(alice.change_group(small)).await.unwrap().group;
    alice.send(small, texts[1].to_owned()).await.unwrap();
    let large = GroupCommand::Create { name: "the kites' own name".to_owned(), with };
    let large = soon(alice.change_group(large)).await.unwrap().group;
    alice.send(large, texts[2].to_owned()).await.unwrap();
    take(&bob, texts.len()).await.unwrap();
    let answer = bob.send(&handle("alice"), "the answer of the bittern".to_owned()).await.unwrap();
    delivered(&bob, answer).await;

    let (of_alice, of_bob) = (id.device.account, answer.device.account);
    // What lies in the files while all of them are in use: write-ahead logs and all.
    let mut secrets = secrets_of(&stage, "alice", of_alice);
    secrets.extend(secrets_of(&stage, "bob", of_bob));
    secrets.extend(["server.key", "ticket.key"].iter().flat_map(|file| secrets_in(&stage, file)));
    for kind in ["account_key", "device_keys", "pairing", "sender_key", "group_secret", "me"] {
        assert!(
            secrets.iter().any(|(what, _)| what.starts_with(&format!("alice: {kind}"))),
            "{kind}"
        );
    }
    assert!(secrets.iter().any(|(what, _)| what.starts_with("bob: heard_key")), "a sender's key");
    let words = texts.into_iter().chain([
        "the herons' own name",
        "the kites' own name",
        "the answer of the bittern",
    ]);
    secrets.extend(words.map(|text| (format!("text: {text}"), text.as_bytes().to_vec())));

    let expected: BTreeSet<_> = ["alice", "bob"].into_iter().flat_map(allowed).collect();
    assert_eq!(found(&stage, &secrets), expected, "while everybody is there");
    alice.close().await;
    bob.close().await;
    stage.kill();
    assert_eq!(found(&stage, &secrets), expected, "when everybody has gone");
    only_their_owner_reads_them(stage.folder.path());
}

/// No file of a home or of the server is for anybody but its owner.
fn only_their_owner_reads_them(folder: &Path) {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    assert!(files.len() > 5);
    let open: Vec<_> = files
        .into_iter()
        .filter(|file| std::fs::metadata(file).unwrap().permissions().mode() & 0o077 != 0)
        .collect();
    // What the test itself wrote there.
    assert!(open.iter().all(|file| file.ends_with("server.log")), "{open:?}");
}
