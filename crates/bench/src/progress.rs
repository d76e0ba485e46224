//! What a person sees while a load runs: one bar on standard error, nothing if that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts to `length`.
pub fn bar(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:22} {bar:32} {human_pos}/{human_len} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

/// A bar that fills by itself in so many seconds; cancel safe to drop, which clears it.
pub async fn seconds(what: &'static str, seconds: u64) {
    let bar = bar(what, seconds);
    for _ in 0..seconds {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// A bar that nobody sees.
pub fn hidden() -> ProgressBar {
    ProgressBar::hidden()
}
