//! An upload: what comes is written behind what is there, synced from time to time; once it is whole
//! its digest is compared, and it moves to the depot.

use std::io;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::http::Moved;
use super::line::Turn;
use super::{No, Pass, spool};
use crate::meters::Meters;
use crate::node::Node;
use godwit_wire::Refusal;

/// Bytes after which an upload is synced and the disk looked at: what a crash costs at most.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// How much of a file is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many bytes: go on from there.
    UpTo(u64),
    /// The upload does not go on where the caller said, but here.
    Elsewhere(u64),
}

/// Takes a piece of an upload that begins at `offset`.
pub(super) async fn take(
    node: &Arc<Node>,
    pass: Pass,
    offset: u64,
    body: &mut Incoming,
    moved: &Moved,
) -> Result<Taken, No> {
    let media = &node.media;
    let account = pass.device.account;
    let turn = media.lines.take(account, pass.blob).await.ok_or(No::of(Refusal::Busy))?;
    let held = media.book(move |book| book.held(account, pass.blob)).await??;
    let held = held.ok_or(No::of(Refusal::MediaGone))?;
    if held.is_stored {
        return Ok(if offset == pass.bytes {
            Taken::UpTo(offset)
        } else {
            Taken::Elsewhere(pass.bytes)
        });
    }
    let there = media.spool.bytes_of(account, pass.blob).await?;
    if there > pass.bytes {
        // Of another length that the account once named: no upload of this file.
        media.spool.remove(account, pass.blob).await?;
        return Ok(Taken::Elsewhere(0));
    }
    if there != offset {
        return Ok(Taken::Elsewhere(there));
    }
    let mut writing = Writing { node, pass, turn, there };
    let written = writing.write(body, moved).await;
    let Writing { turn, there, .. } = writing;
    if there < pass.bytes {
        return written.map(|()| Taken::UpTo(there));
    }
    moved.set_busy();
    // In a task of its own: a file that is whole gets to its place though its sender is gone.
    let node = Arc::clone(node);
    let kept = tokio::spawn(async move { keep(&node, pass, turn).await }).await;
    kept.map_err(|_| No::of(Refusal::Internal))??;
    Ok(Taken::UpTo(pass.bytes))
}

struct Writing<'a> {
    node: &'a Arc<Node>,
    pass: Pass,
    turn: Turn,
    there: u64,
}

impl Writing<'_> {
    /// Until the body ends, is cut, or must not go on; what came is synced either way.
    async fn write(&mut self, body: &mut Incoming, moved: &Moved) -> Result<(), No> {
        let file = self.node.media.spool.append(self.pass.device.account, self.pass.blob).await?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
        let outcome = self.pour(body, &mut file, moved).await;
        file.flush().await?;
        file.get_ref().sync_data().await?;
        outcome
    }

    async fn pour(
        &mut self,
        body: &mut Incoming,
        file: &mut BufWriter<tokio::fs::File>,
        moved: &Moved,
    ) -> Result<(), No> {
        let mut unsynced = SYNC_BYTES;
        loop {
            if unsynced >= SYNC_BYTES {
                let next = self.pass.bytes.saturating_sub(self.there).min(SYNC_BYTES);
                if !self.node.media.has_room_for(next) {
                    return Err(No::of(Refusal::DiskFull));
                }
                file.flush().await?;
                file.get_ref().sync_data().await?;
                unsynced = 0;
            }
            let frame = tokio::select! {
                biased;
                () = self.turn.displaced() => return Err(No::of(Refusal::Busy)),
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else { return Ok(()) };
            // A cut is no fault: the next request goes on behind what came.
            let Ok(frame) = frame else { return Ok(()) };
            let Ok(bytes) = frame.into_data() else { continue };
            let count = bytes.len() as u64;
            if count > self.pass.bytes.saturating_sub(self.there) {
                return Err(No::of(Refusal::Malformed));
            }
            file.write_all(&bytes).await?;
            self.there += count;
            unsynced += count;
            moved.add(count);
            self.node.meters.media_in.inc_by(count);
        }
    }
}

/// A whole upload becomes a file, or nothing.
async fn keep(node: &Arc<Node>, pass: Pass, _turn: Turn) -> Result<(), No> {
    let media = &node.media;
    let (account, blob) = (pass.device.account, pass.blob);
    let path = media.spool.path(account, blob);
    let digested = path.clone();
    let digest = tokio::task::spawn_blocking(move || spool::digest(&digested)).await;
    if digest.map_err(io::Error::other)?? != blob {
        media.spool.remove(account, blob).await?;
        Meters::count(&node.meters.uploads, "damaged");
        return Err(No::of(Refusal::MediaDamaged));
    }
    let _shelf = media.shelf(blob).lock().await;
    if media.book(move |book| book.blob(blob)).await??.is_none() {
        media.depot.put(blob, path).await?;
    }
    let until_ms = media.keep_until_ms(node.clock.unix_ms());
    let is_held = media.book(move |book| book.stored(account, blob, until_ms)).await??;
    media.spool.remove(account, blob).await?;
    if !is_held {
        // It lapsed while it was put away.
        if media.book(move |book| book.blob(blob)).await??.is_none() {
            media.depot.delete(blob).await?;
        }
        return Err(No::of(Refusal::MediaGone));
    }
    Meters::count(&node.meters.uploads, "stored");
    tracing::debug!(bytes = pass.bytes, "file stored");
    Ok(())
}
