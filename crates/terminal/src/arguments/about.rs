//! Commands about messages that are there, and about how a chat behaves.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use godwit_base::{GroupId, MessageId};
use godwit_client::core::EMOJI_BYTES_MAX;
use godwit_client::{ChatId, message_of_link};
use unicode_segmentation::UnicodeSegmentation;

use super::Limit;
use crate::text::{is_unsafe, width};

#[derive(Debug, Subcommand)]
pub(crate) enum About {
    /// React to a message with one emoji
    React {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
        /// The reaction; an empty one ("") takes yours back
        #[arg(value_parser = emoji)]
        emoji: String,
        #[command(flatten)]
        until: Until,
    },
    /// Give a message of yours another text
    Edit {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
        /// The new text; put -- before one that starts with a dash
        text: String,
        #[command(flatten)]
        until: Until,
    },
    /// Take a message of yours back, everywhere
    Delete {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
        #[command(flatten)]
        until: Until,
    },
    /// Send the text of a message to somebody else
    Forward {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
        /// Who gets it
        #[arg(value_name = "HANDLE")]
        to: ChatId,
        #[command(flatten)]
        until: Until,
    },
    /// Star a message; only your own devices know
    Star {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
    },
    /// Take the star of a message away
    Unstar {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
    },
    /// Ask a question with 2 to 12 answers to choose from
    Poll {
        /// Whom to ask
        #[arg(value_name = "HANDLE")]
        to: ChatId,
        /// The question
        question: String,
        /// The answers
        #[arg(required = true, num_args = 1.., value_name = "OPTION")]
        options: Vec<String>,
        /// A voter may choose more than one
        #[arg(long)]
        several: bool,
        #[command(flatten)]
        until: Until,
    },
    /// Vote in a poll; the last vote counts
    Vote {
        /// Which poll
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
        /// The answers, by number from 1; none takes your vote back
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        options: Vec<u32>,
        #[command(flatten)]
        until: Until,
    },
    /// Let messages of a chat disappear, on both sides
    ///
    /// The clock runs from sending at the sender's, from reading at the receiver's.
    Timer {
        /// The chat with whom
        #[arg(value_name = "HANDLE")]
        with: ChatId,
        /// How long they stay: 30s, 5m, 8h, 1d, 2w, or off
        #[arg(value_name = "TIME", value_parser = timer)]
        timer_s: u32,
        #[command(flatten)]
        until: Until,
    },
    /// Show or change what is set for this account
    Settings {
        /// Which; all of them without it
        #[command(subcommand)]
        setting: Option<Setting>,
    },
    /// Print one message
    Show {
        /// Which message: its id, or a link to it (godwit:message/ID)
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
    },
    /// Show how far a message came at each recipient
    Info {
        /// Which message
        #[arg(value_name = "MESSAGE_ID", value_parser = message_id)]
        id: MessageId,
    },
}

impl About {
    /// The message that it is about.
    pub(crate) fn message(&self) -> Option<MessageId> {
        match self {
            Self::React { id, .. }
            | Self::Edit { id, .. }
            | Self::Delete { id, .. }
            | Self::Forward { id, .. }
            | Self::Star { id }
            | Self::Unstar { id }
            | Self::Vote { id, .. }
            | Self::Show { id }
            | Self::Info { id } => Some(*id),
            Self::Poll { .. } | Self::Timer { .. } | Self::Settings { .. } => None,
        }
    }

    /// The group that it goes to.
    pub(crate) fn group(&self) -> Option<GroupId> {
        match self {
            Self::Forward { to, .. } | Self::Poll { to, .. } | Self::Timer { with: to, .. } => {
                to.group()
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Setting {
    /// Tell others what you have read, and be told what they have
    Receipts {
        /// Whether
        to: Switch,
    },
    /// Who may see when you are online, when you last were, and that you type
    ///
    /// Who lets nobody see sees nobody. Contacts are those to whom you have written.
    Presence {
        /// Who may see it [default: show the setting]
        #[arg(value_enum, value_name = "WHO")]
        who: Option<Who>,

        /// Start the contacts anew: those to whom you write from now on
        #[arg(long, requires = "who")]
        anew: bool,

        #[command(flatten)]
        limit: Limit,
    },
}

/// Who may see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// Everyone who opens your chat
    Everyone,
    /// Those to whom you have written
    Contacts,
    /// Nobody, and you see nobody
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// How long to wait for the server.
#[derive(Debug, Args)]
pub(crate) struct Until {
    /// Seconds to wait until the server has it [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// A message by its id or by a link to it.
pub(super) fn message_id(text: &str) -> Result<MessageId, String> {
    match message_of_link(text) {
        Some(id) => Ok(id),
        None => text.parse().map_err(|error: godwit_base::IdError| error.to_string()),
    }
}

/// Chooses the picture of a sign that is a letter or a digit too.
const AS_EMOJI: char = '\u{fe0f}';

/// Puts a digit on a key.
const KEYCAP: char = '\u{20e3}';

/// One sign that is no letter, digit or blank; nothing takes a reaction back.
fn emoji(text: &str) -> Result<String, String> {
    let is_one = text.graphemes(true).count() == 1 && text.len() <= EMOJI_BYTES_MAX;
    let is_shown = width(text) > 0 && !text.chars().any(|c| c.is_whitespace() || is_unsafe(c));
    let first = text.chars().next().unwrap_or_default();
    // Signs such as 🅰 are letters to Unicode.
    let is_plain = first.is_ascii() || first.is_alphanumeric() && !is_squared(first);
    let is_made = text.ends_with(KEYCAP) || !first.is_ascii() && text.contains(AS_EMOJI);
    let is_keycap = !text.ends_with(KEYCAP) || matches!(first, '0'..='9' | '#' | '*');
    if text.is_empty() || is_one && is_shown && is_keycap && (!is_plain || is_made) {
        return Ok(text.to_owned());
    }
    Err("give one emoji, such as 👍, or \"\" to take yours back".to_owned())
}

const fn is_squared(c: char) -> bool {
    matches!(c, '\u{1f100}'..='\u{1f1ff}')
}

/// Units of a timer, and how many seconds they are.
const UNITS: [(char, u32); 5] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];

fn timer(text: &str) -> Result<u32, String> {
    if text == "off" {
        return Ok(0);
    }
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number: u32 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds).filter(|seconds| *seconds > 0)
    });
    parsed.ok_or_else(|| "give a time such as 30s, 5m, 8h, 1d or 2w, or off".to_owned())
}

/// A span of time in the largest unit that fits: `1 d`, `90 s`.
pub(crate) fn span(seconds: u32) -> String {
    let fits = UNITS.iter().rev().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (unit, size) = fits.unwrap_or(&('s', 1));
    format!("{} {unit}", seconds / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_have_a_unit_or_are_off() {
        assert_eq!(timer("off"), Ok(0));
        assert_eq!(timer("30s"), Ok(30));
        assert_eq!(timer("1d"), Ok(86_400));
        assert_eq!(timer("2w"), Ok(1_209_600));
        for text in ["", "0s", "5", "d", "-1d", "1.5h", "9999999999s", "4294967295w", "1dd"] {
            assert!(timer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_shown_as_they_are_given() {
        for (seconds, text) in [(30, "30 s"), (90, "90 s"), (3_600, "1 h"), (172_800, "2 d")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_reaction_is_one_emoji_or_none() {
        let good = "👍 ❤️ ❤ 1️⃣ #️⃣ 🅰 🅰️ 🇩🇪 👩‍👩‍👧‍👦 👍🏽 ☕ ℹ️ ✔ 🏴󠁧󠁢󠁥󠁮󠁧󠁿";
        for text in good.split(' ').chain([""]) {
            assert_eq!(emoji(text).as_deref(), Ok(text));
        }
        let long = format!("👍{}", "\u{200d}👍".repeat(EMOJI_BYTES_MAX / 7));
        assert!(long.len() > EMOJI_BYTES_MAX && long.graphemes(true).count() == 1);
        let letters = ["a", "A", "ok", "1", "+", "é", "你", "a\u{fe0f}", "é\u{20e3}", "a\u{20e3}"];
        let others = ["👍👍", "👍 ", " ", "\n", "\u{200b}", "\u{202e}", "👍a", &long];
        for text in letters.into_iter().chain(others) {
            assert!(emoji(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn messages_are_named_by_id_or_link() {
        let id = "00000000000000aa.1.42";
        assert_eq!(message_id(id).unwrap().to_string(), id);
        assert_eq!(message_id(&format!("godwit:message/{id}")).unwrap().to_string(), id);
        assert!(message_id("godwit:message/x").is_err() && message_id("x").is_err());
    }
}
