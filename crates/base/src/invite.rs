//! The link to a group: which one, and the secret by which anybody may join it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::GroupId;

const PREFIX: &str = "godwit-group:";

/// `godwit-group:` and 64 characters: the id of a group and 32 secret bytes. Whoever has it can read
/// the group's name and join; as text it is meant to be given away, and it is not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupLink {
    /// The group.
    pub group: GroupId,
    /// The secret.
    pub secret: [u8; 32],
}

/// Why a text is not a link to a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a link to a group is godwit-group: and 64 characters; copy it whole")]
pub struct GroupLinkError;

impl FromStr for GroupLink {
    type Err = GroupLinkError;

    fn from_str(text: &str) -> Result<Self, GroupLinkError> {
        let code = text.trim().strip_prefix(PREFIX).ok_or(GroupLinkError)?;
        let bytes = URL_SAFE_NO_PAD.decode(code).map_err(|_| GroupLinkError)?;
        let (group, secret) = bytes.split_first_chunk::<16>().ok_or(GroupLinkError)?;
        let secret = secret.try_into().map_err(|_| GroupLinkError)?;
        Ok(Self { group: GroupId(*group), secret })
    }
}

impl fmt::Display for GroupLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.group.0.as_slice(), &self.secret].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl Serialize for GroupLink {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GroupLink {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for GroupLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupLink(secret of {})", self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_has_one_text() {
        let link = GroupLink { group: GroupId([0xfb; 16]), secret: [0x3e; 32] };
        let text = link.to_string();
        assert_eq!(text.len(), PREFIX.len() + 64);
        assert!(text.starts_with("godwit-group:-_v7"), "{text}");
        assert_eq!(format!(" {text}\n").parse(), Ok(link.clone()));
        assert!(!format!("{link:?}").contains("Pj4"));
    }

    #[test]
    fn what_is_cut_or_long_is_refused() {
        let text = GroupLink { group: GroupId([1; 16]), secret: [2; 32] }.to_string();
        for bad in ["", PREFIX, &text[1..], &text[..text.len() - 1], &format!("{text}A")] {
            assert_eq!(bad.parse::<GroupLink>(), Err(GroupLinkError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_round_trips(code in "[A-Za-z0-9_=-]{60,66}") {
            let text = format!("{PREFIX}{code}");
            if let Ok(link) = text.parse::<GroupLink>() {
                prop_assert_eq!(link.to_string(), text);
            }
        }
    }
}
