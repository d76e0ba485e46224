//! The join link: where a server is and the key that proves it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `godwit://host:port#key`: all that a client needs to reach a server and to know it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinLink {
    /// Host name or address; IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The server's X25519 public key.
    pub server_key: [u8; 32],
}

/// Why a text is not a join link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The form is wrong.
    #[error(
        "a join link looks like godwit://host:port#key; copy it whole, with the part after '#'"
    )]
    Form,
    /// The key is damaged.
    #[error("the key after '#' is damaged: it has 43 characters; copy the link again")]
    Key,
}

impl JoinLink {
    /// `host:port`, as sockets take it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for JoinLink {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let rest = text.trim().strip_prefix("godwit://").ok_or(JoinError::Form)?;
        let (address, key) = rest.split_once('#').ok_or(JoinError::Form)?;
        let (host, port) = address.rsplit_once(':').ok_or(JoinError::Form)?;
        if host.is_empty() || host.contains(['/', '@', ' ', '#']) {
            return Err(JoinError::Form);
        }
        let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| JoinError::Key)?;
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| JoinError::Form)?,
            server_key: key.try_into().map_err(|_| JoinError::Key)?,
        })
    }
}

impl fmt::Display for JoinLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = URL_SAFE_NO_PAD.encode(self.server_key);
        write!(f, "godwit://{}:{}#{key}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_survives_text() {
        for host in ["127.0.0.1", "chat.example", "[::1]"] {
            let link = JoinLink { host: host.into(), port: 7373, server_key: [7; 32] };
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn damage_is_named() {
        let good = JoinLink { host: "h".into(), port: 1, server_key: [7; 32] }.to_string();
        assert_eq!(good[..good.len() - 1].parse::<JoinLink>(), Err(JoinError::Key));
        for bad in
            ["", "http://h:1#k", "godwit://h:1", "godwit://h#k", "godwit://:1#k", "godwit://h:x#k"]
        {
            assert!(bad.parse::<JoinLink>().is_err(), "{bad}");
        }
    }
}
