//! Files that are over, and what crashes left behind.

use std::sync::Arc;

use futures_util::StreamExt;

use super::No;
use crate::node::Node;

/// Drops what is over, slice by slice.
pub(crate) async fn sweep(node: &Node) {
    while let Ok(true) = sweep_once(node).await.inspect_err(|no| {
        tracing::warn!(refusal = no.refusal.name(), "no sweep of files");
    }) {}
}

/// Whether there is more.
async fn sweep_once(node: &Node) -> Result<bool, No> {
    let media = &node.media;
    let now_ms = node.clock.unix_ms();
    let swept = media.book(move |book| book.sweep_media(now_ms)).await??;
    for (account, blob) in &swept.lapsed {
        media.spool.remove(*account, *blob).await?;
    }
    for blob in &swept.gone {
        media.remove(*blob).await?;
    }
    if !swept.gone.is_empty() || !swept.lapsed.is_empty() {
        tracing::info!(gone = swept.gone.len(), lapsed = swept.lapsed.len(), "files dropped");
    }
    Ok(swept.more)
}

/// Once after a start: deletes what no row of the book speaks of. A crash between the two steps of a
/// deletion leaves that.
pub(crate) async fn tidy(node: Arc<Node>) {
    match tidy_all(&node).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "files without a row deleted"),
        Err(no) => tracing::warn!(refusal = no.refusal.name(), "files not tidied"),
    }
}

async fn tidy_all(node: &Arc<Node>) -> Result<u64, No> {
    let media = &node.media;
    let mut count = 0;
    let lister = Arc::clone(node);
    let begun = tokio::task::spawn_blocking(move || lister.media.spool.list()).await;
    for (account, blob) in begun.map_err(std::io::Error::other)?? {
        let held = media.book(move |book| book.held(account, blob)).await??;
        if held.is_none_or(|held| held.is_stored) {
            media.spool.remove(account, blob).await?;
            count += 1;
        }
    }
    let mut files = media.depot.list();
    while let Some(blob) = files.next().await {
        let _shelf = media.shelf(blob).lock().await;
        if media.book(move |book| book.blob(blob)).await??.is_none() {
            media.depot.delete(blob).await?;
            count += 1;
        }
    }
    Ok(count)
}
