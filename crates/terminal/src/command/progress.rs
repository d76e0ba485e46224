//! How far something is, on standard error: a bar for people, nothing if nobody looks.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// What a bar says beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Bytes,
    Messages,
}

/// A bar; it is drawn on a terminal only. Clear it at the end.
pub(super) fn bar(what: &'static str, counts: Counts) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = match counts {
        Counts::Bytes => {
            "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}"
        }
        Counts::Messages => "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
    };
    let bar = ProgressBar::new(0).with_message(what);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
