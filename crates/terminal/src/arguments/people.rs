//! Commands about others, and about how this account is shown to them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use godwit_base::Handle;
use godwit_client::core::REASON_BYTES_MAX;

use super::Limit;

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Show your own
    Show,
    /// Change what is given; an empty text takes it away
    Set {
        #[command(flatten)]
        what: SetProfile,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetProfile {
    /// Your name, at most 64 bytes
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// A line about you, at most 256 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) about: Option<String>,

    /// A picture of at most 16 KiB, JPEG or PNG; an empty path takes yours away
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) picture: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Who
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Handle,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Mute {
    /// Who
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Handle,

    /// For how long: a number with m, h or d (30m, 8h, 7d), or forever
    #[arg(value_name = "TIME", default_value = "forever", value_parser = mute_span)]
    pub(crate) span: Span,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How long a mute lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Ms(u64),
    Forever,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Who
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Handle,

    /// Send so many of their last messages along, in clear; 0 for none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=20))]
    pub(crate) last: u16,

    /// What is wrong, at most 512 bytes
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = reason)]
    pub(crate) reason: String,

    /// Yes, the operator of the server may read these messages
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

fn reason(text: &str) -> Result<String, String> {
    match text.len() {
        0..=REASON_BYTES_MAX => Ok(text.to_owned()),
        bytes => {
            Err(format!("it has {bytes} bytes, a report takes {REASON_BYTES_MAX}: shorten it"))
        }
    }
}

/// Longest mute that is not for ever: ten years, in minutes.
const MUTE_MINUTES_MAX: u64 = 10 * 365 * 24 * 60;

fn mute_span(text: &str) -> Result<Span, String> {
    if text == "forever" {
        return Ok(Span::Forever);
    }
    let wrong = || "give a number with m, h or d, such as 30m, 8h or 7d, or forever".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(minutes) {
        Some(minutes @ 1..=MUTE_MINUTES_MAX) => Ok(Span::Ms(minutes * 60_000)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_so_many_bytes_and_no_more() {
        assert!(reason(&"x".repeat(REASON_BYTES_MAX)).is_ok() && reason("").is_ok());
        assert!(reason(&"x".repeat(REASON_BYTES_MAX + 1)).unwrap_err().contains("513 bytes"));
    }

    #[test]
    fn a_mute_lasts_minutes_hours_days_or_for_ever() {
        assert_eq!(mute_span("forever"), Ok(Span::Forever));
        assert_eq!(mute_span("30m"), Ok(Span::Ms(30 * 60_000)));
        assert_eq!(mute_span("8h"), Ok(Span::Ms(8 * 3_600_000)));
        assert!(mute_span("3650d").is_ok());
        for wrong in ["3651d", "0h", "", "h", "8", "-1h", "8 h", "8é", "99999999999999999999d"] {
            assert!(mute_span(wrong).is_err(), "{wrong}");
        }
    }
}
