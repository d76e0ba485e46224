//! What stands beside a message, and what people do about one, as JSON and as lines.

use std::borrow::Cow;

use godwit_base::{DeviceId, GroupId, Handle, MessageId};
use godwit_client::{
    Act, Changed, ChatId, HistoryItem, Info, MediaInfo, Mention, MessageState, Note, Poll, Reach,
    Reaction, Settings, links_in,
};
use serde::Serialize;

use super::Heard;
use crate::arguments::span;
use crate::text::{one_line, printable};
use crate::time::LocalTime;

/// What most messages do not have.
#[derive(Debug, Serialize)]
pub(crate) struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<MessageId>,
    /// How the message begins that is answered, as its answerer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    forwarded: bool,
    #[serde(skip_serializing_if = "is_false")]
    edited: bool,
    #[serde(skip_serializing_if = "is_false")]
    deleted: bool,
    #[serde(skip_serializing_if = "is_false")]
    starred: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mentions: &'a [Mention],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reactions: &'a [Reaction],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<File<'a>>,
    /// Of a message of ours to a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<Reach>,
}

/// How many have a message and have read it, of how many, for people.
pub(crate) fn reach_line(reach: Reach) -> String {
    let Reach { delivered, read, of } = reach;
    match read {
        0 => format!("delivered to {delivered} of {of}"),
        read if delivered >= of => format!("read by {read} of {of}"),
        read => format!("delivered to {delivered} of {of}, read by {read}"),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl<'a> About<'a> {
    pub(super) fn of(item: &'a HistoryItem) -> Self {
        let details = &item.details;
        let is_timer = item.note == Some(Note::Timer);
        Self {
            reply_to: details.reply_to.as_ref().map(|quote| quote.id),
            quote: details.reply_to.as_ref().map(|quote| quote.text.as_str()),
            forwarded: details.forwarded,
            edited: details.edited,
            deleted: item.note == Some(Note::Deleted),
            starred: details.starred,
            mentions: &details.mentions,
            reactions: &details.reactions,
            links: item.text.as_deref().map(links_in).unwrap_or_default(),
            timer_s: (is_timer || details.timer_s > 0).then_some(details.timer_s),
            expires_at_ms: details.expires_at_ms,
            poll: details.poll.as_ref().map(Asked::of),
            media: details.media.as_deref().map(File::of),
            reach: details.reach,
        }
    }
}

/// The file of a message; `godwit save` brings it.
#[derive(Debug, Serialize)]
struct File<'a> {
    name: &'a str,
    mime: &'a str,
    bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    width: u32,
    #[serde(skip_serializing_if = "is_zero")]
    height: u32,
    #[serde(skip_serializing_if = "is_zero")]
    duration_ms: u32,
    #[serde(skip_serializing_if = "is_false")]
    voice: bool,
}

impl<'a> File<'a> {
    fn of(info: &'a MediaInfo) -> Self {
        Self {
            name: &info.name,
            mime: &info.mime,
            bytes: info.bytes,
            width: info.width,
            height: info.height,
            duration_ms: info.duration_ms,
            voice: info.voice,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A poll with its tallies.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    question: &'a str,
    several: bool,
    options: Vec<Tally<'a>>,
}

#[derive(Debug, Serialize)]
struct Tally<'a> {
    text: &'a str,
    votes: usize,
    voters: &'a [Handle],
}

impl<'a> Asked<'a> {
    fn of(poll: &'a Poll) -> Self {
        let options = poll.options.iter().map(|option| Tally {
            text: &option.text,
            votes: option.voters.len(),
            voters: &option.voters,
        });
        Self { question: &poll.question, several: poll.several, options: options.collect() }
    }
}

/// What somebody did about a message.
#[derive(Debug, Serialize)]
pub(crate) struct Change<'a> {
    id: MessageId,
    from: &'a Handle,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Of a poll, by number from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starred: Option<bool>,
    at_ms: u64,
}

impl<'a> Heard<'a> {
    /// Nothing for what a later version of the client adds.
    pub(crate) fn change(changed: &'a Changed) -> Option<Self> {
        let Changed { id, from, with, at_ms, act, .. } = changed;
        let plain = Change {
            id: *id,
            from,
            group: with.group(),
            emoji: None,
            text: None,
            options: None,
            starred: None,
            at_ms: *at_ms,
        };
        Some(match act {
            Act::Reaction(emoji) => Self::Reaction(Change { emoji: Some(emoji), ..plain }),
            Act::Edit(text) => Self::Edit(Change { text: Some(text), ..plain }),
            Act::Deletion => Self::Deletion(plain),
            Act::Vote(options) => {
                let options = options.iter().map(|option| option.saturating_add(1)).collect();
                Self::Vote(Change { options: Some(options), ..plain })
            }
            Act::Star(on) => Self::Star(Change { starred: Some(*on), ..plain }),
            _ => return None,
        })
    }
}

/// What somebody did about a message, as a line for people.
pub(crate) fn change_line(changed: &Changed, time: &LocalTime) -> String {
    let Changed { id, from, at_ms, act, .. } = changed;
    let what = match act {
        Act::Reaction(emoji) if emoji.is_empty() => format!("took the reaction to {id} back"),
        Act::Reaction(emoji) => format!("reacted to {id} with {}", one_line(emoji)),
        Act::Edit(text) => format!("edited {id}: {}", printable(text).replace('\n', "\n    ")),
        Act::Deletion => format!("deleted {id}"),
        Act::Vote(options) if options.is_empty() => format!("took the vote in {id} back"),
        Act::Vote(options) => {
            let numbers = options.iter().map(|option| option.saturating_add(1).to_string());
            format!("voted in {id} for {}", numbers.collect::<Vec<_>>().join(", "))
        }
        Act::Star(true) => format!("starred {id}"),
        Act::Star(false) => format!("took the star of {id} away"),
        _ => format!("did something about {id} that needs a newer godwit"),
    };
    format!("{}  {from} {what}", time.full(*at_ms))
}

/// Signs of a waveform, from silence to the loudest.
const LOUDNESS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A file in one line.
fn file_line(info: &MediaInfo) -> String {
    let (name, size) = (one_line(&info.name), amount(info.bytes));
    let length = length(info.duration_ms);
    if info.voice {
        let step = |level: &u8| LOUDNESS.get(usize::from(*level) / 32).copied().unwrap_or(' ');
        let wave: String = info.waveform.iter().map(step).collect();
        return format!("🎤 {length} {wave}").trim_end().to_owned();
    }
    let mut parts = vec![one_line(&info.mime).into_owned(), size];
    if info.width > 0 && info.height > 0 {
        parts.push(format!("{}×{}", info.width, info.height));
    }
    if info.duration_ms > 0 {
        parts.push(length);
    }
    format!("📎 {name} ({})", parts.join(", "))
}

/// A length as players show it, to the nearest second; what can be heard is a second long at least.
fn length(duration_ms: u32) -> String {
    let seconds = (duration_ms / 1_000) + u32::from(duration_ms % 1_000 >= 500);
    let seconds = seconds.max(u32::from(duration_ms > 0));
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A number of bytes as people read it.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit < UNITS.len() - 1 {
        (tenths, unit) = (tenths / 1_000, unit + 1);
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// What stands in the place of a text: the file, or why nothing can be shown.
pub(crate) fn note_text(item: &HistoryItem) -> Cow<'static, str> {
    if let (None, Some(media)) = (item.note, &item.details.media) {
        return file_line(media).into();
    }
    let text = match item.note {
        Some(Note::Waiting) => "waiting for this message: its sender was asked to send it again",
        Some(Note::Lost) => "this message could not be opened; ask for it to be sent again",
        Some(Note::UpdateNeeded) => "this message needs a newer godwit: update to see it",
        Some(Note::Deleted) => "this message was deleted",
        Some(Note::Timer) if item.details.timer_s == 0 => "messages no longer disappear",
        Some(Note::Timer) => {
            return format!("messages disappear after {}", span(item.details.timer_s)).into();
        }
        _ => "this message cannot be shown: update godwit",
    };
    text.into()
}

/// Lines above and below the text of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) above: Vec<String>,
    pub(crate) below: Vec<String>,
}

/// What people are shown beside the text of a message.
pub(crate) fn beside(item: &HistoryItem) -> Beside {
    let details = &item.details;
    let mut beside = Beside::default();
    if details.forwarded {
        beside.above.push("↪ forwarded".to_owned());
    }
    if let Some(quote) = &details.reply_to {
        beside.above.push(format!("> {}", one_line(&quote.text)));
    }
    if let (Some(_), Some(media)) = (&item.text, &details.media) {
        beside.above.push(file_line(media));
    }
    for (number, option) in (1..).zip(details.poll.iter().flat_map(|poll| &poll.options)) {
        let voters: Vec<&str> = option.voters.iter().map(Handle::as_str).collect();
        let voters = match voters.as_slice() {
            [] => String::new(),
            voters => format!("  {} ({})", voters.len(), voters.join(", ")),
        };
        beside.below.push(format!("{number}. {}{voters}", one_line(&option.text)));
    }
    let reactions = details.reactions.iter();
    let mut signs: Vec<String> =
        reactions.map(|reaction| format!("{} {}", reaction.emoji, reaction.from)).collect();
    signs.extend(details.edited.then(|| "edited".to_owned()));
    signs.extend(details.starred.then(|| "★".to_owned()));
    if details.timer_s > 0 && item.note != Some(Note::Timer) {
        signs.push(format!("disappears after {}", span(details.timer_s)));
    }
    // Once all have read it the ticks say so.
    let reach = details.reach.filter(|reach| reach.read < reach.of);
    signs.extend(reach.map(reach_line));
    if !signs.is_empty() {
        beside.below.push(signs.join(" · "));
    }
    beside
}

/// A message and how far it came at each recipient.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery<'a> {
    id: MessageId,
    with: &'a ChatId,
    state: &'static str,
    sent_at_ms: u64,
    received_at_ms: Option<u64>,
    /// In a group: how many, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<Reach>,
    recipients: Vec<At<'a>>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct At<'a> {
    handle: &'a Handle,
    state: &'static str,
    devices: Vec<On>,
}

#[derive(Debug, Serialize)]
struct On {
    device: u32,
    delivered: bool,
}

impl<'a> Delivery<'a> {
    pub(crate) fn of(info: &'a Info) -> Self {
        let Info { message, recipients, unknown } = info;
        let on = |(device, delivered): &(DeviceId, bool)| On {
            device: device.number.0,
            delivered: *delivered,
        };
        let at = recipients.iter().map(|recipient| At {
            handle: &recipient.handle,
            state: recipient.state.as_str(),
            devices: recipient.devices.iter().map(on).collect(),
        });
        Self {
            id: message.id,
            with: &message.with,
            state: message.state.as_str(),
            sent_at_ms: message.sent_at_ms,
            received_at_ms: message.received_at_ms,
            reach: reach_of(info),
            recipients: at.collect(),
            unknown: unknown.as_deref(),
        }
    }
}

/// How many have a message to a group: counted now if they are known by name, else as it was told last.
pub(crate) fn reach_of(info: &Info) -> Option<Reach> {
    let Info { message, recipients, .. } = info;
    message.with.group().filter(|_| message.outgoing)?;
    if recipients.is_empty() {
        return message.details.reach;
    }
    let count = |goal: MessageState| {
        let reached = recipients.iter().filter(|to| to.state.reached(goal)).count();
        u32::try_from(reached).unwrap_or(u32::MAX)
    };
    Some(Reach {
        delivered: count(MessageState::Delivered),
        read: count(MessageState::Read),
        of: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
    })
}

/// What is set for the account.
#[derive(Debug, Serialize)]
pub(crate) struct Set<'a> {
    receipts: &'static str,
    presence: &'static str,
    timers: Vec<SetTimer<'a>>,
}

#[derive(Debug, Serialize)]
struct SetTimer<'a> {
    with: &'a ChatId,
    timer_s: u32,
}

impl<'a> Set<'a> {
    pub(crate) fn of(settings: &'a Settings) -> Self {
        let timers = settings.timers.iter();
        let timers = timers.map(|(with, timer_s)| SetTimer { with, timer_s: *timer_s }).collect();
        let receipts = if settings.receipts { "on" } else { "off" };
        Self { receipts, presence: settings.presence.as_str(), timers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_the_nearest_second_and_never_none() {
        for (ms, text) in [
            (0, "0:00"),
            (1, "0:01"),
            (993, "0:01"),
            (1_499, "0:01"),
            (1_500, "0:02"),
            (59_500, "1:00"),
            (u32::MAX, "71582:47"),
        ] {
            assert_eq!(length(ms), text, "{ms}");
        }
    }
}
