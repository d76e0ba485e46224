//! What the server answers to its operator.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use godwit_actor::Tree;
use godwit_base::Clock;
use godwit_store::Invite;
use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Question;
use crate::handover::{Line, Wish};
use crate::node::Node;
use crate::registry::SHARDS;
use crate::turns::AtWork;
use crate::watchdog::TURN_MS;

/// 32 letters and digits without those that look alike: 5 bits each.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// 20 characters are 100 bits: nobody guesses one, and the rate of registrations is limited.
const CODE_CHARACTERS: usize = 20;
/// A dash after so many, for reading it aloud.
const GROUP: usize = 5;

const DAY_MS: u64 = 24 * 3_600_000;

pub(super) async fn answer(node: &Arc<Node>, question: Question) -> Result<Value, String> {
    match question {
        Question::Status => Ok(status(node)),
        Question::Tree => {
            let tree = node.tree.get().ok_or("the tree is not up yet; try again")?.snapshot();
            let tree = counted(node, tree);
            serde_json::to_value(&tree)
                .map(|value| json!({ "tree": value, "text": tree.to_string() }))
                .map_err(|error| error.to_string())
        }
        Question::Session { id } => super::session::look(node, &id).await,
        Question::Invite { uses, days } => {
            let invite = invite(node.clock.as_ref(), uses, days);
            node.store.put_invite(invite.clone()).await.map_err(|error| error.to_string())?;
            Ok(json!({
                "code": invite.code,
                "uses": uses,
                "expires_ms": invite.expires_ms,
                "join": node.identity().join.to_string(),
            }))
        }
        Question::RotateKey => rotate_key(node).await,
        Question::Upgrade { .. } => Err("it is answered line by line".to_owned()),
        Question::Backup { to } => {
            let Ok(_copying) = node.copying.try_lock() else {
                return Err("another backup or an upgrade is under way; wait for it".to_owned());
            };
            let report = node.store.backup(to.clone()).await.map_err(|error| error.to_string())?;
            Ok(json!({ "to": to, "rows": report.rows, "file_bytes": report.file_bytes }))
        }
    }
}

/// Passes the wish on, and says what comes of it line by line.
pub(super) async fn upgrade(
    node: &Node,
    binary: Option<PathBuf>,
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let (wish, mut lines) = Wish::by_operator(binary);
    let asked = node.upgrades.get().is_some_and(|upgrades| upgrades.try_send(wish).is_ok());
    let mut answer = match asked {
        true => Err("the server went down".to_owned()),
        false => Err("another upgrade is under way; wait for it".to_owned()),
    };
    while let Some(line) = lines.recv().await {
        answer = match line {
            Line::Progress(text) => {
                write.write_all(format!("{}\n", json!({ "progress": text })).as_bytes()).await?;
                continue;
            }
            Line::Done(report) => serde_json::to_value(&report).map_err(|error| error.to_string()),
            Line::Failed(why) => Err(why),
        };
        break;
    }
    // The process may end as soon as nobody hears any more: `lines` lasts until this is written.
    write.write_all(said(answer).as_bytes()).await
}

/// An answer as the line that goes out.
pub(super) fn said(answer: Result<Value, String>) -> String {
    let answer = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error }),
    };
    format!("{answer}\n")
}

/// The tree with what waits in each part, and how many sessions there are.
fn counted(node: &Node, mut tree: Tree) -> Tree {
    let stats = node.store.stats();
    tree.count(&["store"], "waiting", stats.waiting);
    tree.count(&["store"], "in_batch_ms", node.store.busy_ms());
    tree.count(&["store"], "reopened", stats.reopened);
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let (mut words, mut records) = (0, 0);
    for seat in (0..SHARDS).flat_map(|shard| node.registry.seats_of(shard)) {
        words += seat.words.depth();
        records += seat.records.depth();
    }
    let now_ns = node.now_ns();
    let is_stuck = |turn: &AtWork| now_ns.saturating_sub(turn.began_ns) / 1_000_000 >= TURN_MS;
    for (name, value) in [
        ("live", node.registry.live()),
        ("attached", node.registry.attached()),
        ("lingering", node.registry.lingering()),
        ("words_waiting", words),
        ("records_waiting", records),
        ("turns_stuck", node.turns.at_work().filter(is_stuck).count()),
        ("devices_held_back", node.quarantine.held(node.now_ms())),
    ] {
        tree.count(&["sessions"], name, number(value));
    }
    tree.count(&["sessions"], "panics_caught", node.meters.session_panics.get());
    tree.count(&["services", "door"], "in_line", number(node.line.waiting()));
    tree
}

async fn rotate_key(node: &Arc<Node>) -> Result<Value, String> {
    let rotating = Arc::clone(node);
    let identity = tokio::task::spawn_blocking(move || rotating.rotate_server_key())
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    tracing::info!(node = identity.name, "server key rotated");
    Ok(json!({ "node": identity.name, "join": identity.join.to_string() }))
}

fn status(node: &Node) -> Value {
    let (stats, identity) = (node.store.stats(), node.identity());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": identity.name,
        "join": identity.join.to_string(),
        "uptime_ms": node.now_ms(),
        "draining": node.is_draining(),
        "sessions": node.registry.live(),
        "session_panics": node.meters.session_panics.get(),
        "accounts": stats.accounts,
        "devices": stats.devices,
        "mailbox_records": stats.records,
        "mailbox_bytes": stats.bytes,
        "mailboxes_nonempty": stats.mailboxes,
        "store_file_bytes": stats.file_bytes,
        "store_available": stats.available,
        "store_disk_full": stats.disk_full,
        "store_reopened": stats.reopened,
        "store_scrubbed_rows": stats.scrubbed,
        "store_scrubs": stats.scrubs,
        "store_damaged_rows": stats.scrub_damaged,
        "accepted": stats.accepted,
        "invariant_violations":
            godwit_base::violations().map(|(_, count)| count).sum::<u64>(),
    })
}

/// An invite with a fresh code.
pub(crate) fn invite(clock: &dyn Clock, uses: u32, days: u32) -> Invite {
    Invite {
        code: invite_code(),
        uses_left: uses,
        expires_ms: clock.unix_ms() + u64::from(days) * DAY_MS,
    }
}

/// A code that nobody guesses.
pub(crate) fn invite_code() -> String {
    let mut code = String::with_capacity(CODE_CHARACTERS + CODE_CHARACTERS / GROUP);
    for place in 0..CODE_CHARACTERS {
        if place > 0 && place % GROUP == 0 {
            code.push('-');
        }
        let letter: u8 = rand::random_range(0..32);
        code.push(ALPHABET.get(usize::from(letter)).copied().map_or('2', char::from));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_readable_and_never_the_same() {
        let code = invite_code();
        assert_eq!(code.len(), 23);
        assert_eq!(code.split('-').count(), 4);
        assert!(code.bytes().all(|b| b == b'-' || ALPHABET.contains(&b)), "{code}");
        assert_ne!(code, invite_code());
    }
}
