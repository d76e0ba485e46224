//! What can go wrong on a link, and whose fault it is.

/// Whose fault an error is; it decides what to log and whether dialling again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The peer, or somebody between, sent bytes that an honest peer does not send.
    Peer,
    /// The peer is honest but holds an outdated key or ticket.
    Outdated,
    /// The caller, or a link that is used up, met a bound of ours.
    Limit,
    /// The machine: no randomness to be had.
    Environment,
    /// A defect in this crate.
    Bug,
}

/// Why a handshake or a frame failed. After any of them the link is over: close it.
///
/// A failure says nothing of which byte was wrong, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Too short or too long to be what it should be.
    #[error("not a message of the link: {bytes} bytes")]
    Malformed {
        /// Length of what came.
        bytes: usize,
    },
    /// It did not come from who it should, or was changed, repeated or reordered on the way.
    #[error("the message is not authentic")]
    NotAuthentic,
    /// A public key that makes every secret agreed with it known to all.
    #[error("the peer's public key is of low order")]
    WeakKey,
    /// No valid server key starts with the hint. The join link is outdated, or of another server.
    #[error("no such server key; ask for a new join link")]
    UnknownServerKey,
    /// The ticket was sealed under a key that is no longer valid, or is damaged.
    #[error("the ticket is not valid; make the full handshake")]
    TicketInvalid,
    /// The ticket is genuine and too old.
    #[error("the ticket has expired; make the full handshake")]
    TicketExpired,
    /// What the caller wants to send does not fit.
    #[error("{bytes} bytes do not fit into a message of at most {bytes_max}")]
    TooLarge {
        /// Length of what it would become.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// 2^64 - 1 frames went one way; a new handshake gives new keys.
    #[error("the link has carried all the frames it may; make a new one")]
    Exhausted,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Entropy,
    /// A defect in this crate.
    #[error("defect in the link: {what}")]
    Bug {
        /// What was expected to be impossible.
        what: &'static str,
    },
}

impl LinkError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed { .. } | Self::NotAuthentic | Self::WeakKey => Fault::Peer,
            Self::UnknownServerKey | Self::TicketInvalid | Self::TicketExpired => Fault::Outdated,
            Self::TooLarge { .. } | Self::Exhausted => Fault::Limit,
            Self::Entropy => Fault::Environment,
            Self::Bug { .. } => Fault::Bug,
        }
    }
}
