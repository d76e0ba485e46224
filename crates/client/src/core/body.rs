//! What people say to each other: `proto/godwit/body/v1`.

use godwit_base::{AccountId, DeviceNumber, GroupId, Handle, MessageId};
use prost::Message;

use self::format::body::Content as Wire;
use super::blocking::ContactSetting;
use super::kinds::{self, GroupRead, Mark};
use super::past::Past;
use super::presence::Pass;
use super::profile::Profile;
use crate::{Act, Context, Details, Media, Note, Poll, Visibility};

#[allow(
    missing_docs,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated; the schema carries the words"
)]
pub(super) mod format {
    include!(concat!(env!("OUT_DIR"), "/godwit.body.v1.rs"));
}

/// Longest text, bytes of UTF-8. Padded (at most 12 %) and sealed it stays under the 56 KiB that a
/// sealed copy may have: 48,000 x 1.12 + 200 = 53,960.
pub const TEXT_BYTES_MAX: usize = 48_000;

/// Earlier attempts that a resend may name: a message is asked for three times at most.
const REPEATS_MAX: usize = 8;

/// Settings that one message between own devices holds, 128 x under 70 B = 9 KB; of more the first.
pub(crate) const SETTINGS_A_MESSAGE: usize = 128;

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A text to show.
    Text(String),
    /// Everything from this device of ours up to this counter was read.
    Read { device: DeviceNumber, up_to: u64 },
    /// What a member gives us of a group.
    GroupKey(Vec<u8>),
    /// Something about another message.
    About { about: MessageId, act: Act },
    /// The chat's timer from now on, seconds; 0 is none.
    Timer(u32),
    /// A question to vote on.
    Poll(Poll),
    /// A file, and the text with it.
    Media(Box<Media>, Option<String>),
    /// Another device of our own account has set something.
    Mark(Mark),
    /// Another device of ours is new, and asks for what the user has chosen.
    AskSettings,
    /// Another device of ours says who may see the account's presence.
    PresenceSetting { visibility: Visibility, pass: Pass, set_at_ms: u64 },
    /// How somebody wants to be shown; none if it breaks its bounds.
    Profile(Option<Profile>),
    /// What another device of ours was told about others.
    ContactSettings(Vec<(AccountId, ContactSetting)>),
    /// Messages from before a device of our own account was linked.
    Past(Past),
    /// What was read in a group.
    GroupRead(GroupRead),
    /// A kind that a later version knows.
    Unknown,
}

impl Content {
    /// Whether it is a row of the history.
    pub(crate) const fn is_shown(&self) -> bool {
        matches!(
            self,
            Self::Text(_) | Self::Poll(_) | Self::Media(..) | Self::Timer(_) | Self::Unknown
        )
    }
}

/// A body as its receiver reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) content: Content,
    /// Counters of failed attempts whose placeholders this body removes.
    pub(crate) repeats: Vec<u64>,
    /// The group whose chat it belongs to. Worth something only between devices of our own account:
    /// elsewhere it is where it was sealed for.
    pub(crate) group: Option<GroupId>,
    /// To whom another device of the sender's account sent it. Worth something only if the sender is
    /// of our own account.
    pub(crate) sent_to: Option<SentTo>,
    /// The counter of the message's id, if it travels under a later one.
    pub(crate) shown_as: Option<u64>,
    /// What is said beside the content.
    pub(crate) details: Details,
    /// By which we may see the sender's presence.
    pub(crate) presence_pass: Option<Pass>,
}

/// A body as the history shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: Option<String>,
    pub(crate) note: Option<Note>,
    pub(crate) details: Details,
}

impl Shown {
    /// Something that has no text.
    pub(crate) fn note(note: Note) -> Self {
        Self { note: Some(note), ..Self::default() }
    }

    /// Seconds until it disappears; what sets a timer stays.
    pub(crate) fn timer_s(&self) -> u32 {
        if self.note == Some(Note::Timer) { 0 } else { self.details.timer_s }
    }

    /// Its clock starts.
    pub(crate) fn starts(&mut self, at_ms: u64) {
        let timer_ms = u64::from(self.timer_s()) * 1_000;
        if timer_ms > 0 {
            self.details.expires_at_ms = Some(at_ms.saturating_add(timer_ms));
        }
    }
}

/// The other side of a chat, as another device of our account knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentTo {
    pub(crate) account: AccountId,
    pub(crate) handle: Handle,
}

impl Body {
    /// The body of a text.
    #[cfg(test)]
    pub(crate) fn text(text: &str) -> Vec<u8> {
        Self::said(text, &Context::default(), 0)
    }

    /// The body of a text with what belongs to it.
    pub(crate) fn said(text: &str, context: &Context, timer_s: u32) -> Vec<u8> {
        let content = Some(Wire::Text(text.to_owned()));
        let mut body = format::Body { content, timer_s, ..format::Body::default() };
        kinds::put_context(&mut body, context);
        body.encode_to_vec()
    }

    /// The body of a poll.
    pub(crate) fn poll(poll: &Poll, timer_s: u32) -> Vec<u8> {
        let content = Some(Wire::Poll(kinds::poll_to_wire(poll)));
        format::Body { content, timer_s, ..format::Body::default() }.encode_to_vec()
    }

    /// The body of a file with a text, which may be empty, and what belongs to it.
    pub(crate) fn media(media: &Media, text: &str, context: &Context, timer_s: u32) -> Vec<u8> {
        let content = Some(Wire::Media(kinds::media_to_wire(media, text)));
        let mut body = format::Body { content, timer_s, ..format::Body::default() };
        kinds::put_context(&mut body, context);
        body.encode_to_vec()
    }

    /// The body of something about another message.
    pub(crate) fn about(about: MessageId, act: &Act) -> Vec<u8> {
        encode(act.to_wire(about))
    }

    /// The body of a timer for a chat.
    pub(crate) fn timer(timer_s: u32) -> Vec<u8> {
        encode(Wire::Setting(format::Setting { timer_s }))
    }

    /// Tells our own devices whether read receipts are sent.
    pub(crate) fn receipts(on: bool) -> Vec<u8> {
        let mark = Some(format::mark::Mark::Receipts(on));
        encode(Wire::Mark(format::Mark { mark }))
    }

    /// The body of a pack of history.
    pub(crate) fn past(past: &Past) -> Vec<u8> {
        encode(Wire::History(past.to_wire()))
    }

    /// The body of a read receipt.
    pub(crate) fn read(device: DeviceNumber, up_to: u64) -> Vec<u8> {
        encode(Wire::Read(format::Read { device: device.0, up_to }))
    }

    /// The body of what was read in a group.
    pub(crate) fn group_read(read: &GroupRead) -> Vec<u8> {
        encode(Wire::GroupRead(kinds::group_read_to_wire(read)))
    }

    /// The body of what a member gives another of a group.
    pub(crate) fn group_key(share: &[u8]) -> Vec<u8> {
        encode(Wire::GroupKey(share.to_vec()))
    }

    /// The body by which a new device asks our others for what the user has chosen.
    pub(crate) fn ask_settings() -> Vec<u8> {
        encode(Wire::PresenceSetting(format::PresenceSetting::default()))
    }

    /// The body that tells our other devices who may see the account's presence.
    pub(crate) fn presence_setting(visibility: Visibility, pass: Pass, set_at_ms: u64) -> Vec<u8> {
        let (visibility, pass) = (visibility.number(), pass.to_vec());
        encode(Wire::PresenceSetting(format::PresenceSetting { visibility, pass, set_at_ms }))
    }

    /// The same body with our pass for its receiver.
    pub(crate) fn with_pass(bytes: &[u8], pass: Pass) -> Vec<u8> {
        let mut body = format::Body::decode(bytes).unwrap_or_default();
        body.presence_pass = pass.to_vec();
        body.encode_to_vec()
    }

    /// The body of a profile.
    pub(crate) fn profile(profile: &Profile) -> Vec<u8> {
        encode(Wire::Profile(format::Profile {
            name: profile.name.clone(),
            about: profile.about.clone(),
            picture: profile.picture.0.clone(),
            version: profile.version,
        }))
    }

    /// The body of settings; the first [`SETTINGS_A_MESSAGE`] of them.
    pub(crate) fn contact_settings(settings: &[(AccountId, ContactSetting)]) -> Vec<u8> {
        let one = |(account, setting): &(AccountId, ContactSetting)| format::ContactSetting {
            account: account.0,
            handle: setting.handle.as_str().to_owned(),
            blocked: setting.blocked,
            muted_until_ms: setting.muted_until_ms,
            set_at_ms: setting.set_at_ms,
        };
        let settings = settings.iter().take(SETTINGS_A_MESSAGE).map(one).collect();
        encode(Wire::ContactSettings(format::ContactSettings { settings }))
    }

    /// Reads a body. What does not decode, and a text beyond its limit, is unknown: the sender is a
    /// contact, and a person should see that something came.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let Ok(mut body) = format::Body::decode(bytes) else { return Self::of(Content::Unknown) };
        let content = kinds::content_of(body.content.take());
        let details = kinds::details_of(&body, &content);
        let sent_to = body.sent_to.and_then(|to| {
            let handle = to.handle.parse().ok()?;
            Some(SentTo { account: AccountId(to.account), handle })
        });
        Self {
            content,
            repeats: body.repeats.into_iter().take(REPEATS_MAX).collect(),
            group: <[u8; 16]>::try_from(body.group.as_slice()).ok().map(GroupId),
            sent_to,
            shown_as: (body.shown_as != 0).then_some(body.shown_as),
            details,
            presence_pass: body.presence_pass.as_slice().try_into().ok(),
        }
    }

    fn of(content: Content) -> Self {
        let details = Details::default();
        let (repeats, presence_pass) = (Vec::new(), None);
        let (group, sent_to, shown_as) = (None, None, None);
        Self { content, repeats, group, sent_to, shown_as, details, presence_pass }
    }

    /// How a row of the history shows it; nothing for what is no row of its own.
    pub(crate) fn shown(self) -> Option<Shown> {
        let (text, note) = match self.content {
            Content::Text(text) => (Some(text), None),
            Content::Poll(poll) => (Some(poll.question), None),
            Content::Media(_, text) => (text, None),
            Content::Timer(_) => (None, Some(Note::Timer)),
            Content::Unknown => (None, Some(Note::UpdateNeeded)),
            Content::Read { .. }
            | Content::About { .. }
            | Content::GroupKey(_)
            | Content::Mark(_)
            | Content::Past(_)
            | Content::GroupRead(_)
            | Content::AskSettings
            | Content::PresenceSetting { .. }
            | Content::Profile(_)
            | Content::ContactSettings(_) => return None,
        };
        Some(Shown { text, note, details: self.details })
    }

    /// The same body as a copy for our own other devices.
    pub(crate) fn for_own_devices(bytes: &[u8], to: &SentTo) -> Vec<u8> {
        let mut body = format::Body::decode(bytes).unwrap_or_default();
        body.sent_to =
            Some(format::SentTo { account: to.account.0, handle: to.handle.as_str().to_owned() });
        body.encode_to_vec()
    }

    /// The same body about the chat of a group, for our own other devices.
    pub(crate) fn in_group(bytes: &[u8], group: GroupId) -> Vec<u8> {
        let mut body = format::Body::decode(bytes).unwrap_or_default();
        body.group = group.0.to_vec();
        body.encode_to_vec()
    }

    /// The same body, under a counter that is not its envelope's.
    pub(crate) fn shown_as(bytes: &[u8], counter: u64) -> Vec<u8> {
        let mut body = format::Body::decode(bytes).unwrap_or_default();
        body.shown_as = counter;
        body.encode_to_vec()
    }

    /// The same body, naming failed attempts to deliver it.
    pub(crate) fn repeating(bytes: &[u8], repeats: &[u64]) -> Vec<u8> {
        let mut body = format::Body::decode(bytes).unwrap_or_default();
        body.repeats = repeats.iter().copied().take(REPEATS_MAX).collect();
        body.encode_to_vec()
    }
}

/// The text of a body, if it is one that this version shows. For the fuzzer: what a contact may say.
#[doc(hidden)]
pub fn text_of_body(bytes: &[u8]) -> Option<String> {
    match Body::decode(bytes).content {
        Content::Text(text) => Some(text),
        _ => None,
    }
}

fn encode(content: Wire) -> Vec<u8> {
    format::Body { content: Some(content), ..format::Body::default() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceId;

    use super::super::kinds::{READ_MARKS_MAX, ReadMark};
    use super::super::vault::Blob;
    use super::*;
    use crate::core::profile::{
        ABOUT_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, PROFILE_PICTURE_BYTES_MAX,
    };

    #[test]
    fn bytes_are_frozen() {
        assert_eq!(Body::text("hi"), [0x0a, 0x02, b'h', b'i']);
        assert_eq!(Body::read(DeviceNumber(1), 300), [0x12, 0x05, 0x08, 0x01, 0x10, 0xac, 0x02]);
        let again = Body::repeating(&Body::text("hi"), &[7]);
        assert_eq!(again, [0x0a, 0x02, b'h', b'i', 0x7a, 0x01, 0x07]);
        assert_eq!(Body::decode(&again).repeats, [7]);
    }

    #[test]
    fn what_was_read_in_a_group_has_its_bytes_and_its_bound() {
        let mark = |counter: u64| ReadMark {
            device: DeviceId::new(3, 2),
            up_to: counter,
            shown: counter.min(300),
        };
        let read = GroupRead { group: GroupId([7; 16]), marks: vec![mark(5), mark(301)] };
        let bytes = Body::group_read(&read);
        let mut frozen = vec![0xc2, 0x02, 52, 0x0a, 16];
        frozen.extend([7; 16]);
        frozen.extend([0x12, 13, 0x09, 3, 0, 0, 0, 0, 0, 0, 0, 0x10, 2, 0x18, 5]);
        frozen.extend([0x12, 17, 0x09, 3, 0, 0, 0, 0, 0, 0, 0, 0x10, 2, 0x18, 0xad, 2]);
        frozen.extend([0x20, 0xac, 2]);
        assert_eq!(bytes, frozen);
        assert_eq!(Body::decode(&bytes).content, Content::GroupRead(read));
        for count in [READ_MARKS_MAX, READ_MARKS_MAX + 1] {
            let marks = (1..=count as u64).map(mark).collect();
            let read = GroupRead { group: GroupId([7; 16]), marks };
            let Content::GroupRead(back) = Body::decode(&Body::group_read(&read)).content else {
                panic!("a read");
            };
            assert_eq!(back.marks, read.marks[..READ_MARKS_MAX], "{count}");
        }
        let nowhere = Wire::GroupRead(format::GroupRead::default());
        assert_eq!(Body::decode(&encode(nowhere)).content, Content::Unknown);
    }

    #[test]
    fn a_pass_rides_beside_a_content_and_has_its_length() {
        let pass = [7; 16];
        let body = Body::decode(&Body::with_pass(&Body::text("hi"), pass));
        assert_eq!(body.content, Content::Text("hi".to_owned()));
        assert_eq!(body.presence_pass, Some(pass));
        assert_eq!(Body::decode(&Body::text("hi")).presence_pass, None);
        // Field 31 of 15 bytes.
        let mut short = Body::text("hi");
        short.extend([0xfa, 0x01, 15]);
        short.extend([7; 15]);
        assert_eq!(Body::decode(&short).presence_pass, None);
        let setting = Body::presence_setting(Visibility::Contacts, pass, 300);
        let content =
            Content::PresenceSetting { visibility: Visibility::Contacts, pass, set_at_ms: 300 };
        assert_eq!(Body::decode(&setting).content, content);
        assert_eq!(Body::decode(&Body::ask_settings()).content, Content::AskSettings);
    }

    #[test]
    fn a_text_of_20_characters_leaves_room_in_the_first_padding_step() {
        // 63 bytes less the mark; binding 18, counter 4 and time 7 bytes come beside the body.
        assert!(Body::text(&"x".repeat(20)).len() + 2 + 18 + 4 + 7 <= 62);
    }

    #[test]
    fn texts_survive_up_to_their_limit() {
        // A blank line of a file is a message.
        assert_eq!(Body::decode(&Body::text("")).content, Content::Text(String::new()));
        let longest = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(Body::decode(&Body::text(&longest)).content, Content::Text(longest.clone()));
        assert_eq!(Body::decode(&Body::text(&(longest + "x"))).content, Content::Unknown);
    }

    #[test]
    fn so_many_failed_attempts_are_named_and_no_more() {
        let attempts: Vec<u64> = (1..=REPEATS_MAX as u64 + 1).collect();
        let most = &attempts[..REPEATS_MAX];
        for named in [most, &attempts] {
            let body = Body::repeating(&Body::text("hi"), named);
            assert_eq!(Body::decode(&body).repeats, most);
        }
        // What another client says beyond the bound is not heard either.
        let content = Some(Wire::Text("hi".to_owned()));
        let body = format::Body { content, repeats: attempts.clone(), ..format::Body::default() }
            .encode_to_vec();
        assert_eq!(Body::decode(&body).repeats, most);
    }

    fn profile(name: usize, about: usize, picture: usize) -> Profile {
        let mut bytes = vec![0xff; picture];
        bytes.splice(..3.min(picture), [0xff, 0xd8, 0xff].into_iter().take(picture));
        Profile {
            name: "n".repeat(name),
            about: "a".repeat(about),
            picture: Blob(bytes),
            version: 7,
        }
    }

    #[test]
    fn a_profile_is_read_within_its_bounds_and_not_beyond() {
        let largest = profile(DISPLAY_NAME_BYTES_MAX, ABOUT_BYTES_MAX, PROFILE_PICTURE_BYTES_MAX);
        for good in [profile(0, 0, 0), profile(5, 0, 0), largest] {
            let read = Body::decode(&Body::profile(&good)).content;
            assert_eq!(read, Content::Profile(Some(good)));
        }
        let gif = Profile { picture: Blob(b"GIF89a".to_vec()), ..profile(1, 0, 0) };
        let two_lines = Profile { name: "bob\nalice".to_owned(), ..profile(1, 0, 0) };
        for bad in [
            profile(DISPLAY_NAME_BYTES_MAX + 1, 0, 0),
            profile(1, ABOUT_BYTES_MAX + 1, 0),
            profile(1, 0, PROFILE_PICTURE_BYTES_MAX + 1),
            gif,
            two_lines,
        ] {
            assert_eq!(Body::decode(&Body::profile(&bad)).content, Content::Profile(None));
        }
    }

    #[test]
    fn so_many_settings_are_in_one_message_and_no_more() {
        let setting = |n: usize| {
            let handle = format!("h{n}").parse().unwrap();
            let setting =
                ContactSetting { handle, blocked: true, muted_until_ms: u64::MAX, set_at_ms: 5 };
            (AccountId(n as u64), setting)
        };
        let all: Vec<_> = (0..=SETTINGS_A_MESSAGE).map(setting).collect();
        let most = &all[..SETTINGS_A_MESSAGE];
        for said in [most, &all] {
            let read = Body::decode(&Body::contact_settings(said)).content;
            assert_eq!(read, Content::ContactSettings(most.to_vec()));
        }
        assert!(Body::contact_settings(&all).len() <= TEXT_BYTES_MAX, "as long as a text may be");
    }

    #[test]
    fn what_a_later_version_says_is_unknown_not_lost() {
        // Field 99 with two bytes; a reaction to nothing; garbage.
        assert_eq!(Body::decode(&[0x9a, 0x06, 0x02, 1, 2]).content, Content::Unknown);
        assert_eq!(Body::decode(&[0x22, 0x03, 0x12, 1, b'x']).content, Content::Unknown);
        assert_eq!(Body::decode(&[0xff]).content, Content::Unknown);
        assert_eq!(Body::decode(&[]).content, Content::Unknown);
    }
}
