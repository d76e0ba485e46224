//! What can be wrong with a configuration, told so that the next step is clear.

use std::path::PathBuf;

use super::keys;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {cause}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A key that does not exist.
    #[error("line {line}: there is no key `{key}`{}; `godwitd check-config --example` prints every key",
        nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// Line in the file, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The key that it resembles most.
        nearest: Option<&'static str>,
    },
    /// Not TOML, or a value of the wrong type.
    #[error("line {line}: {key}: {what}; `godwitd check-config --example` shows the right form")]
    Form {
        /// Line in the file, from 1.
        line: usize,
        /// The key that the line sets, or the text of the line.
        key: String,
        /// What the parser says.
        what: String,
    },
    /// A number out of its range.
    #[error("{key} = {value} is out of range; set it from {least} to {most}, or leave it out")]
    Range {
        /// The key with its section.
        key: &'static str,
        /// What was set.
        value: u64,
        /// Least allowed.
        least: u64,
        /// Most allowed.
        most: u64,
    },
    /// Two numbers that must be in order.
    #[error("{key} must be larger than {above}; raise the first or lower the second")]
    Order {
        /// The key that is too small.
        key: &'static str,
        /// The key that it must exceed.
        above: &'static str,
    },
    /// The public address is not `host:port`.
    #[error("public_address is not host:port; write for example \"chat.example:7373\"")]
    PublicAddress,
}

impl ConfigError {
    /// Finds line and key of what the parser met.
    pub(super) fn of_toml(text: &str, cause: &toml::de::Error) -> Self {
        let start = cause.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let here = text.lines().nth(line - 1).unwrap_or_default().trim();
        let name = here.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']']);
        let section = before
            .lines()
            .rev()
            .skip(usize::from(!before.ends_with('\n')))
            .find_map(|l| l.trim().strip_prefix('['));
        let key = match section.and_then(|s| s.split(']').next()) {
            Some(section) if !here.starts_with('[') => format!("{section}.{name}"),
            _ => name.to_owned(),
        };
        let what = cause.message();
        if what.starts_with("unknown field") {
            let nearest = keys::nearest(&key);
            Self::UnknownKey { line, key, nearest }
        } else {
            Self::Form { line, key, what: what.to_owned() }
        }
    }
}
