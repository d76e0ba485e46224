//! What a group may be called.

use super::GroupCommand;
use crate::Error;

/// Code points that show nothing, first and last of each range: `Default_Ignorable_Code_Point` of Unicode 16.
const UNSEEN: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether people can read this as the name of a group. How long it may be is checked when it is sealed.
///
/// # Errors
/// [`Error::BlankName`].
pub fn check_group_name(name: &str) -> Result<(), Error> {
    match name.chars().any(is_seen) {
        true => Ok(()),
        false => Err(Error::BlankName),
    }
}

fn is_seen(c: char) -> bool {
    let is_unseen = UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c));
    !c.is_whitespace() && !c.is_control() && !is_unseen
}

impl GroupCommand {
    /// The name that it gives a group.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Create { name, .. }
            | Self::CreateCommunity { name, .. }
            | Self::Rename(_, name) => Some(name),
            Self::Add(..)
            | Self::Remove(..)
            | Self::Promote(..)
            | Self::Demote(..)
            | Self::Leave(_)
            | Self::OnlyAdminsWrite(..)
            | Self::Picture(..)
            | Self::SetCommunity(..)
            | Self::Gather(..)
            | Self::Invite(_)
            | Self::RevokeInvite(_)
            | Self::Join(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_something_to_be_seen() {
        for blank in ["", "  ", "\t\n", "\u{200b}", " \u{3164}\u{fe0f} ", "\u{feff}\u{e0001}", "\0"]
        {
            assert_eq!(check_group_name(blank), Err(Error::BlankName), "{blank:?}");
        }
        for name in ["x", " Herons ", ".", "\u{200b}x", "鹭", "🐦", "e\u{301}"] {
            assert_eq!(check_group_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn the_ends_of_each_range_are_in_it() {
        for (first, last) in UNSEEN {
            assert!(first <= last && !is_seen(first) && !is_seen(last), "{first:?}");
            let (before, after) = (first as u32 - 1, last as u32 + 1);
            let is_out = |n| !UNSEEN.iter().any(|(a, b)| (*a as u32..=*b as u32).contains(&n));
            assert!(is_out(before) && is_out(after), "{first:?}: ranges do not touch");
        }
    }
}
