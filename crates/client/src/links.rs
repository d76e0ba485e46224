//! What a text names: messages by link, people by `@handle`.

use godwit_base::{Handle, MessageId};

use crate::Mention;
use crate::core::MENTIONS_MAX;

/// What a link to a message begins with; its id follows.
const PREFIX: &str = "godwit:message/";

/// Most links of one text that are looked at: as many as anybody follows.
const LINKS_MAX: usize = 32;

/// The link to a message. Whoever has the message can open it; to others it says nothing.
pub fn link_to(id: MessageId) -> String {
    format!("{PREFIX}{id}")
}

/// The message that a link leads to, if it is one.
pub fn message_of_link(link: &str) -> Option<MessageId> {
    link.strip_prefix(PREFIX)?.parse().ok()
}

/// The messages to which a text links, in order.
pub fn links_in(text: &str) -> Vec<MessageId> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.';
    let mut parts = text.split(PREFIX);
    parts.next();
    let ids = parts.filter_map(|part| {
        let end = part.find(|c| !is_part(c)).unwrap_or(part.len());
        // A full stop may end the sentence.
        part.get(..end)?.trim_end_matches('.').parse().ok()
    });
    ids.take(LINKS_MAX).collect()
}

/// The people whom a text names as `@handle`, at most as many as a message may name.
pub fn mentions_in(text: &str) -> Vec<Mention> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-+".contains(c);
    let mut mentions = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let is_start = c == '@' && !before.is_alphanumeric(); // not in an address of mail
        before = c;
        let Some(rest) = is_start.then(|| text.get(at + 1..)).flatten() else { continue };
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().trim_end_matches(['.', '-', '_']);
        let Ok(handle) = name.parse::<Handle>() else { continue };
        let (Ok(start), Ok(bytes)) = (u32::try_from(at), u32::try_from(name.len() + 1)) else {
            continue;
        };
        mentions.push(Mention { handle, start, bytes });
        if mentions.len() == MENTIONS_MAX {
            break;
        }
    }
    mentions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_where_they_end() {
        let id = "00000000000000aa.1.42";
        let link = link_to(id.parse().unwrap());
        assert_eq!(link, format!("godwit:message/{id}"));
        let found = |text: &str| {
            links_in(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&format!("see {link}.")), id);
        assert_eq!(found(&format!("({link}){link} godwit:message/x")), format!("{id} {id}"));
        assert_eq!(found(&format!("{link} ").repeat(LINKS_MAX)).split(' ').count(), LINKS_MAX);
        assert_eq!(found(&format!("{link} ").repeat(LINKS_MAX + 1)).split(' ').count(), LINKS_MAX);
        assert_eq!(message_of_link(&link).map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(message_of_link(id), None);
    }

    #[test]
    fn people_are_named_with_their_range() {
        let named = |text: &str| -> Vec<String> {
            let mentions = mentions_in(text);
            let part = |m: &Mention| {
                let (start, bytes) = (m.start as usize, m.bytes as usize);
                assert_eq!(text[start + 1..start + bytes], *m.handle.as_str());
                m.handle.to_string()
            };
            mentions.iter().map(part).collect()
        };
        assert_eq!(named("@bob and é @carol.x. @Bob bob@mail.org @"), ["bob", "carol.x"]);
        assert_eq!(named(&"@bob ".repeat(MENTIONS_MAX)).len(), MENTIONS_MAX);
        assert_eq!(named(&"@bob ".repeat(MENTIONS_MAX + 1)).len(), MENTIONS_MAX);
    }
}
