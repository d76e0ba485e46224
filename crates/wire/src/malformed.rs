//! Why a plaintext is not made of messages.

use crate::Refusal;

/// A message that breaks the schema or a limit: the peer's fault, and no retry helps.
///
/// The link ends after it, with a `Goodbye` that carries [`Malformed::refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field}: {fault}")]
pub struct Malformed {
    /// Name of the message in the schema; `frame` if no message was reached.
    pub message: &'static str,
    /// Name of the field in the schema; `?` if the bytes do not tell.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end inside it.
    #[error("ends early")]
    Truncated,
    /// A variable-length number of more than 64 bits, or field number 0.
    #[error("is not a number")]
    BadNumber,
    /// Written in another way than the schema says.
    #[error("has the wrong wire type")]
    WrongType,
    /// More bytes than the limit.
    #[error("is too long")]
    TooLong,
    /// Fewer bytes than the limit, or none where some are required.
    #[error("is missing or too short")]
    TooShort,
    /// More repetitions than the limit.
    #[error("is repeated too often")]
    TooMany,
    /// A number outside its range.
    #[error("is out of range")]
    OutOfRange,
    /// Not UTF-8, or otherwise refused by the protobuf decoder.
    #[error("does not decode")]
    Undecodable,
}

impl Malformed {
    pub(crate) const fn new(message: &'static str, field: &'static str, fault: Fault) -> Self {
        Self { message, field, fault }
    }

    /// The number that tells the peer.
    pub fn refusal(&self) -> Refusal {
        match (self.message, self.field, self.fault) {
            ("Submit", "recipients", Fault::TooMany) => Refusal::TooManyRecipients,
            ("SealedCopy" | "GroupPost", "body", Fault::TooLong) => Refusal::BodyTooLarge,
            ("KeyUpload", _, Fault::TooMany | Fault::TooLong) => Refusal::KeyLimit,
            _ => Refusal::Malformed,
        }
    }
}
