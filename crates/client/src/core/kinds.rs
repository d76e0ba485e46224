//! The kinds of content and what stands beside it: bounds, and the way between bytes and values.

use godwit_base::{AccountId, BlobId, DeviceId, GroupId, MessageId};
use godwit_seal::{FileKey, sealed_bytes};
use zeroize::Zeroizing;

use super::blocking::ContactSetting;
use super::body::{SETTINGS_A_MESSAGE, format};
use super::past::Past;
use super::profile::Profile;
use super::vault::Blob;
use super::{Content, TEXT_BYTES_MAX};
use crate::{
    Act, CAPTION_BYTES_MAX, Context, Details, Error, MIME_BYTES_MAX, Media, MediaInfo, Mention,
    NAME_BYTES_MAX, Poll, PollOption, Quote, THUMBNAIL_BYTES_MAX, Visibility, WAVEFORM_STEPS_MAX,
};

/// Longest beginning of a quoted message, bytes: two lines of a terminal.
pub const QUOTE_BYTES_MAX: usize = 256;

/// Most people named in one text. With 32 x (a handle of 32, 14 of framing) = 1,472 B and a quote of
/// 256 + 40 B the longest text stays below 56 KiB when it is padded: 49,768 x 1.12 + 200 = 55,940.
pub const MENTIONS_MAX: usize = 32;

/// Longest reaction, bytes: the longest sequences of one visible sign (families, flags of regions)
/// take about 40.
pub const EMOJI_BYTES_MAX: usize = 64;

/// Longest question of a poll, bytes.
pub const QUESTION_BYTES_MAX: usize = 1_000;

/// Longest answer of a poll, bytes.
pub const OPTION_BYTES_MAX: usize = 200;

/// Fewest answers of a poll.
pub const OPTIONS_MIN: usize = 2;

/// Most answers of a poll: as many as a screen of a phone shows.
pub const OPTIONS_MAX: usize = 12;

/// Shortest timer, seconds: time to read a line.
pub const TIMER_S_MIN: u32 = 10;

/// Longest timer, seconds: a year.
pub const TIMER_S_MAX: u32 = 365 * 24 * 3600;

/// Devices of which one message says what was read, 256: with 33 B each at most 9 KB.
pub(crate) const READ_MARKS_MAX: usize = 256;

/// What of a group was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRead {
    pub(crate) group: GroupId,
    /// One for each device.
    pub(crate) marks: Vec<ReadMark>,
}

/// Up to where everything of one device was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadMark {
    pub(crate) device: DeviceId,
    /// By the counter under which a message travels.
    pub(crate) up_to: u64,
    /// The same by the counters of the messages' ids, by which they are shown.
    pub(crate) shown: u64,
}

/// What a device tells the other devices of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    Star { about: MessageId, on: bool },
    Receipts(bool),
}

impl Act {
    /// Whether it may be said.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] or [`Error::TextTooLong`], with what would be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Reaction(emoji) if !is_reaction(emoji) => {
                Err(out_of_bounds("this reaction", "one emoji".to_owned()))
            }
            Self::Edit(text) if text.len() > TEXT_BYTES_MAX => {
                Err(Error::TextTooLong { bytes: text.len(), max: TEXT_BYTES_MAX })
            }
            Self::Vote(options) if !is_vote(options) => {
                Err(out_of_bounds("this vote", format!("each of the {OPTIONS_MAX} answers once")))
            }
            _ => Ok(()),
        }
    }

    /// Whether only the author of a message may do it.
    pub(crate) const fn is_authors(&self) -> bool {
        matches!(self, Self::Edit(_) | Self::Deletion)
    }

    /// Number of its kind; that of its field in the body.
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            Self::Reaction(_) => 4,
            Self::Edit(_) => 5,
            Self::Deletion => 6,
            Self::Vote(_) => 22,
            Self::Star(_) => 23,
        }
    }

    pub(super) fn to_wire(&self, about: MessageId) -> format::body::Content {
        use format::body::Content as Wire;
        let about = Some(reference(about));
        match self.clone() {
            Self::Reaction(emoji) => Wire::Reaction(format::Reaction { about, emoji }),
            Self::Edit(text) => Wire::Edit(format::Edit { about, text }),
            Self::Deletion => Wire::Deletion(format::Deletion { about }),
            Self::Vote(options) => Wire::Vote(format::Vote { about, options }),
            Self::Star(on) => {
                let star = format::mark::Mark::Star(format::Star { about, on });
                Wire::Mark(format::Mark { mark: Some(star) })
            }
        }
    }
}

/// A checked poll of these words, with no votes yet.
///
/// # Errors
/// [`Error::OutOfBounds`], with what would be.
pub(crate) fn poll_of(question: &str, options: &[String], several: bool) -> Result<Poll, Error> {
    if question.is_empty() || question.len() > QUESTION_BYTES_MAX {
        let bound = format!("one of 1 to {QUESTION_BYTES_MAX} bytes");
        return Err(out_of_bounds("this question", bound));
    }
    if !(OPTIONS_MIN..=OPTIONS_MAX).contains(&options.len()) {
        let bound = format!("{OPTIONS_MIN} to {OPTIONS_MAX} answers");
        return Err(out_of_bounds("this poll", bound));
    }
    if options.iter().any(|option| option.is_empty() || option.len() > OPTION_BYTES_MAX) {
        let bound = format!("1 to {OPTION_BYTES_MAX} bytes each");
        return Err(out_of_bounds("an answer of this poll", bound));
    }
    let option = |text: &String| PollOption { text: text.clone(), voters: Vec::new() };
    let options = options.iter().map(option).collect();
    Ok(Poll { question: question.to_owned(), options, several })
}

/// The same timer if there may be such a one; 0 is none.
///
/// # Errors
/// [`Error::OutOfBounds`], with what would be.
pub(crate) fn check_timer(timer_s: u32) -> Result<(), Error> {
    if timer_s == 0 || (TIMER_S_MIN..=TIMER_S_MAX).contains(&timer_s) {
        return Ok(());
    }
    Err(out_of_bounds("this timer", format!("{TIMER_S_MIN} seconds to 365 days, or off")))
}

/// Whether it may stand beside this text.
///
/// # Errors
/// [`Error::OutOfBounds`], with what would be.
pub(crate) fn check_context(context: &Context, text: &str) -> Result<(), Error> {
    if context.mentions.len() > MENTIONS_MAX {
        return Err(out_of_bounds("naming so many", format!("at most {MENTIONS_MAX}")));
    }
    if !context.mentions.iter().all(|mention| is_in(mention, text)) {
        return Err(out_of_bounds("this mention", "a range of the text".to_owned()));
    }
    Ok(())
}

fn out_of_bounds(what: &str, bound: String) -> Error {
    Error::OutOfBounds { what: what.to_owned(), bound }
}

/// As much of a text as a quote holds.
pub fn quoted(text: &str) -> &str {
    let mut end = text.len().min(QUOTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn is_reaction(emoji: &str) -> bool {
    emoji.len() <= EMOJI_BYTES_MAX && !emoji.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn is_vote(options: &[u32]) -> bool {
    let is_first = |at: usize, option: &u32| !options.iter().take(at).any(|other| other == option);
    options.len() <= OPTIONS_MAX
        && options.iter().enumerate().all(|(at, option)| is_first(at, option))
}

fn is_in(mention: &Mention, text: &str) -> bool {
    let (Ok(start), Ok(bytes)) = (usize::try_from(mention.start), usize::try_from(mention.bytes))
    else {
        return false;
    };
    bytes > 0 && start.checked_add(bytes).is_some_and(|end| text.get(start..end).is_some())
}

/// What a content is; unknown if it is of a later version or beyond a bound.
pub(super) fn content_of(content: Option<format::body::Content>) -> Content {
    content.and_then(known).unwrap_or(Content::Unknown)
}

fn known(content: format::body::Content) -> Option<Content> {
    use format::body::Content as Wire;
    let about = |about: Option<format::MessageRef>, act: Act| {
        act.check().ok()?;
        Some(Content::About { about: referenced(about.as_ref())?, act })
    };
    match content {
        Wire::Text(text) => (text.len() <= TEXT_BYTES_MAX).then_some(Content::Text(text)),
        Wire::Read(read) => Some(Content::Read {
            device: godwit_base::DeviceNumber(read.device),
            up_to: read.up_to,
        }),
        Wire::GroupKey(share) => Some(Content::GroupKey(share)),
        Wire::Reaction(said) => about(said.about, Act::Reaction(said.emoji)),
        Wire::Edit(said) => about(said.about, Act::Edit(said.text)),
        Wire::Deletion(said) => about(said.about, Act::Deletion),
        Wire::Vote(said) => about(said.about, Act::Vote(said.options)),
        Wire::Setting(said) => Some(Content::Timer(said.timer_s.min(TIMER_S_MAX))),
        Wire::Poll(said) => {
            poll_of(&said.question, &said.options, said.several).ok().map(Content::Poll)
        }
        Wire::Media(said) => media_of(said),
        Wire::Mark(said) => match said.mark? {
            format::mark::Mark::Star(star) => {
                let about = referenced(star.about.as_ref())?;
                Some(Content::Mark(Mark::Star { about, on: star.on }))
            }
            format::mark::Mark::Receipts(on) => Some(Content::Mark(Mark::Receipts(on))),
        },
        Wire::GroupRead(read) => group_read_of(read).map(Content::GroupRead),
        Wire::History(pack) => Past::of_wire(pack).map(Content::Past),
        Wire::PresenceSetting(said) if said.pass.is_empty() => Some(Content::AskSettings),
        Wire::Profile(said) => Some(Content::Profile(read_profile(said))),
        Wire::ContactSettings(said) => Some(Content::ContactSettings(read_settings(said))),
        Wire::PresenceSetting(said) => Some(Content::PresenceSetting {
            visibility: Visibility::of_number(said.visibility),
            pass: said.pass.as_slice().try_into().ok()?,
            set_at_ms: said.set_at_ms,
        }),
    }
}

pub(super) fn group_read_to_wire(read: &GroupRead) -> format::GroupRead {
    let mark = |mark: &ReadMark| format::ReadMark {
        account: mark.device.account.0,
        device: mark.device.number.0,
        up_to: mark.up_to,
        shown_as: if mark.shown == mark.up_to { 0 } else { mark.shown },
    };
    format::GroupRead {
        group: read.group.0.to_vec(),
        marks: read.marks.iter().take(READ_MARKS_MAX).map(mark).collect(),
    }
}

fn group_read_of(read: format::GroupRead) -> Option<GroupRead> {
    let mark = |mark: format::ReadMark| ReadMark {
        device: DeviceId::new(mark.account, mark.device),
        up_to: mark.up_to,
        shown: if mark.shown_as == 0 { mark.up_to } else { mark.shown_as },
    };
    let group = GroupId(read.group.as_slice().try_into().ok()?);
    let marks = read.marks.into_iter().take(READ_MARKS_MAX).map(mark).collect();
    Some(GroupRead { group, marks })
}

pub(super) fn media_to_wire(media: &Media, text: &str) -> format::Media {
    let info = media.info.clone();
    format::Media {
        blob: media.blob.0.to_vec(),
        key: media.key.to_bytes().to_vec(),
        bytes: info.bytes,
        mime: info.mime,
        name: info.name,
        text: text.to_owned(),
        width: info.width,
        height: info.height,
        duration_ms: info.duration_ms,
        thumbnail: info.thumbnail,
        waveform: info.waveform,
        voice: info.voice,
    }
}

/// A file, if everything in it keeps its bounds.
fn media_of(said: format::Media) -> Option<Content> {
    let key = Zeroizing::new(said.key);
    let key = FileKey::from_bytes(&Zeroizing::new(key.as_slice().try_into().ok()?));
    let blob = BlobId(said.blob.try_into().ok()?);
    let info = MediaInfo {
        name: said.name,
        mime: said.mime,
        bytes: said.bytes,
        width: said.width,
        height: said.height,
        duration_ms: said.duration_ms,
        thumbnail: said.thumbnail,
        waveform: said.waveform,
        voice: said.voice,
    };
    check_media(&info, &said.text).ok()?;
    let sealed_bytes = sealed_bytes(info.bytes).ok()?;
    let text = Some(said.text).filter(|text| !text.is_empty());
    Some(Content::Media(Box::new(Media { blob, key, sealed_bytes, info }), text))
}

/// Whether a file may be shown so, and this text stand with it.
///
/// # Errors
/// [`Error::TextTooLong`], or [`Error::OutOfBounds`] with what would be.
pub(crate) fn check_media(info: &MediaInfo, text: &str) -> Result<(), Error> {
    if text.len() > CAPTION_BYTES_MAX {
        return Err(Error::TextTooLong { bytes: text.len(), max: CAPTION_BYTES_MAX });
    }
    let bounds = [
        ("this name of a file", info.name.len(), NAME_BYTES_MAX),
        ("this kind of a file", info.mime.len(), MIME_BYTES_MAX),
        ("so large a small picture", info.thumbnail.len(), THUMBNAIL_BYTES_MAX),
        ("so long a waveform", info.waveform.len(), WAVEFORM_STEPS_MAX),
    ];
    match bounds.into_iter().find(|(_, bytes, max)| bytes > max) {
        Some((what, _, max)) => Err(out_of_bounds(what, format!("at most {max} bytes"))),
        None => Ok(()),
    }
}

fn read_profile(profile: format::Profile) -> Option<Profile> {
    let format::Profile { name, about, picture, version } = profile;
    let profile = Profile { name, about, picture: Blob(picture), version };
    profile.check().is_ok().then_some(profile)
}

fn read_settings(settings: format::ContactSettings) -> Vec<(AccountId, ContactSetting)> {
    let one = |setting: format::ContactSetting| {
        let format::ContactSetting { account, handle, blocked, muted_until_ms, set_at_ms } =
            setting;
        let handle = handle.parse().ok()?;
        Some((AccountId(account), ContactSetting { handle, blocked, muted_until_ms, set_at_ms }))
    };
    settings.settings.into_iter().take(SETTINGS_A_MESSAGE).filter_map(one).collect()
}

pub(super) fn poll_to_wire(poll: &Poll) -> format::Poll {
    format::Poll {
        question: poll.question.clone(),
        options: poll.options.iter().map(|option| option.text.clone()).collect(),
        several: poll.several,
    }
}

/// Puts a context beside a content.
pub(super) fn put_context(body: &mut format::Body, context: &Context) {
    body.reply_to = context.reply_to.as_ref().map(|quote| format::Quote {
        id: Some(reference(quote.id)),
        text: quoted(&quote.text).to_owned(),
    });
    body.forwarded = context.forwarded;
    let mention = |mention: &Mention| format::Mention {
        handle: mention.handle.as_str().to_owned(),
        start: mention.start,
        bytes: mention.bytes,
    };
    body.mentions = context.mentions.iter().map(mention).collect();
}

/// What a body says beside its content. What is beyond a bound is passed over.
pub(super) fn details_of(body: &format::Body, content: &Content) -> Details {
    let text = match content {
        Content::Text(text) | Content::Media(_, Some(text)) => text.as_str(),
        _ => "",
    };
    let reply_to = body.reply_to.as_ref().and_then(|quote| {
        Some(Quote { id: referenced(quote.id.as_ref())?, text: quoted(&quote.text).to_owned() })
    });
    let mention = |mention: &format::Mention| {
        let handle = mention.handle.parse().ok()?;
        Some(Mention { handle, start: mention.start, bytes: mention.bytes })
    };
    let mentions = body.mentions.iter().filter_map(mention).filter(|mention| is_in(mention, text));
    Details {
        reply_to,
        forwarded: body.forwarded,
        mentions: mentions.take(MENTIONS_MAX).collect(),
        timer_s: match content {
            Content::Timer(timer_s) => *timer_s,
            _ => body.timer_s.min(TIMER_S_MAX),
        },
        poll: match content {
            Content::Poll(poll) => Some(poll.clone()),
            _ => None,
        },
        media: match content {
            Content::Media(media, _) => Some(Box::new(media.info.clone())),
            _ => None,
        },
        ..Details::default()
    }
}

pub(super) const fn reference(id: MessageId) -> format::MessageRef {
    let MessageId { device, counter } = id;
    format::MessageRef { account: device.account.0, device: device.number.0, counter }
}

pub(super) fn referenced(id: Option<&format::MessageRef>) -> Option<MessageId> {
    let format::MessageRef { account, device, counter } = *id?;
    let number = godwit_base::DeviceNumber(device);
    Some(MessageId { device: DeviceId { account: AccountId(account), number }, counter })
}

#[cfg(test)]
#[path = "kinds/tests.rs"]
mod tests;
