//! The bytes before the link: one message each way, then frames.
//!
//! ```text
//! client   "GW"  version 01  mode  key hint (4)  length (u16)  handshake message 1
//! server   00  length (u16)  handshake message 2
//!     or   01  refusal number (u16)  retry after, ms (u32)     and closes
//! ```
//! Numbers are big endian. In mode `Resume` message 1 is: length of the ticket (u16), the ticket,
//! the message of the NNpsk0 handshake.

pub use godwit_base::limits::HANDSHAKE_BYTES_MAX;

/// First bytes of a client that speaks Godwit without TLS or HTTP around it.
pub const MAGIC: [u8; 2] = *b"GW";

/// Version of this preface; the messages' version is agreed in the hello.
pub const PREFACE_VERSION: u8 = 1;

/// Bytes of the client's preface before its handshake message.
pub const CLIENT_HEAD_BYTES: usize = 10;

const REPLY: u8 = 0;
const REFUSED: u8 = 1;

/// Which handshake the client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// The whole one, `Noise_IK_25519_ChaChaPoly_BLAKE2s`.
    Full = 1,
    /// By ticket, `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`.
    Resume = 2,
}

/// What a client sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPreface<'a> {
    /// Which handshake.
    pub mode: Mode,
    /// First 4 bytes of the server's public key that the client means.
    pub key_hint: [u8; 4],
    /// Handshake message 1, in mode `Resume` with its ticket before it.
    pub message: &'a [u8],
}

/// What a server answers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPreface<'a> {
    /// Handshake message 2; frames follow.
    Reply(&'a [u8]),
    /// No; the server closes.
    Refused {
        /// A number of the refusal table, maybe one that this version does not know.
        code: u16,
        /// When a retry may help; 0 if it does not help as it stands.
        retry_after_ms: u32,
    },
}

/// A preface parsed from a receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The preface.
    pub preface: T,
    /// Bytes of the buffer that it took; what follows is frames.
    pub consumed: usize,
}

/// A first message that no right peer sends: refuse and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefaceError {
    /// It does not begin as Godwit does.
    #[error("the peer does not speak godwit")]
    NotGodwit,
    /// A later preface.
    #[error("the peer speaks preface version {0}")]
    Version(u8),
    /// An unknown mode or kind of answer.
    #[error("unknown kind of first message: {0}")]
    Kind(u8),
    /// Above [`HANDSHAKE_BYTES_MAX`], or empty.
    #[error("a handshake message of {0} bytes; 1 to {HANDSHAKE_BYTES_MAX} are allowed")]
    Length(usize),
}

impl<'a> ClientPreface<'a> {
    /// Reads the preface at the start of `buf`; `None`: read more. At most [`CLIENT_HEAD_BYTES`] +
    /// [`HANDSHAKE_BYTES_MAX`] bytes are ever needed.
    ///
    /// # Errors
    /// [`PrefaceError`] at the first byte that is wrong.
    pub fn parse(buf: &'a [u8]) -> Result<Option<Parsed<Self>>, PrefaceError> {
        let mut cursor = Cursor(buf);
        for expected in MAGIC {
            match cursor.byte() {
                None => return Ok(None),
                Some(byte) if byte == expected => {}
                Some(_) => return Err(PrefaceError::NotGodwit),
            }
        }
        match cursor.byte() {
            None => return Ok(None),
            Some(PREFACE_VERSION) => {}
            Some(other) => return Err(PrefaceError::Version(other)),
        }
        let mode = match cursor.byte() {
            None => return Ok(None),
            Some(1) => Mode::Full,
            Some(2) => Mode::Resume,
            Some(other) => return Err(PrefaceError::Kind(other)),
        };
        let Some(key_hint) = cursor.array() else { return Ok(None) };
        let Some(message) = cursor.handshake()? else { return Ok(None) };
        let preface = Self { mode, key_hint, message };
        Ok(Some(Parsed { preface, consumed: buf.len() - cursor.0.len() }))
    }

    /// Appends the preface.
    ///
    /// # Errors
    /// [`PrefaceError::Length`] if the handshake message is empty or too long; nothing is appended.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), PrefaceError> {
        let length = handshake_length(self.message)?;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[PREFACE_VERSION, self.mode as u8]);
        out.extend_from_slice(&self.key_hint);
        out.extend_from_slice(&length);
        out.extend_from_slice(self.message);
        Ok(())
    }
}

impl<'a> ServerPreface<'a> {
    /// Reads the answer at the start of `buf`; `None`: read more.
    ///
    /// # Errors
    /// [`PrefaceError`] at the first byte that is wrong.
    pub fn parse(buf: &'a [u8]) -> Result<Option<Parsed<Self>>, PrefaceError> {
        let mut cursor = Cursor(buf);
        let preface = match cursor.byte() {
            None => None,
            Some(REPLY) => cursor.handshake()?.map(Self::Reply),
            Some(REFUSED) => cursor.refusal(),
            Some(other) => return Err(PrefaceError::Kind(other)),
        };
        Ok(preface.map(|preface| Parsed { preface, consumed: buf.len() - cursor.0.len() }))
    }

    /// Appends the answer.
    ///
    /// # Errors
    /// [`PrefaceError::Length`] if the handshake message is empty or too long; nothing is appended.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), PrefaceError> {
        match *self {
            Self::Reply(message) => {
                let length = handshake_length(message)?;
                out.push(REPLY);
                out.extend_from_slice(&length);
                out.extend_from_slice(message);
            }
            Self::Refused { code, retry_after_ms } => {
                out.push(REFUSED);
                out.extend_from_slice(&code.to_be_bytes());
                out.extend_from_slice(&retry_after_ms.to_be_bytes());
            }
        }
        Ok(())
    }
}

fn handshake_length(message: &[u8]) -> Result<[u8; 2], PrefaceError> {
    let length = message.len();
    match u16::try_from(length) {
        Ok(short) if (1..=HANDSHAKE_BYTES_MAX).contains(&length) => Ok(short.to_be_bytes()),
        _ => Err(PrefaceError::Length(length)),
    }
}

/// The unread rest of a buffer. `None` means that bytes are missing.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn handshake(&mut self) -> Result<Option<&'a [u8]>, PrefaceError> {
        let Some(length) = self.array().map(u16::from_be_bytes).map(usize::from) else {
            return Ok(None);
        };
        if !(1..=HANDSHAKE_BYTES_MAX).contains(&length) {
            return Err(PrefaceError::Length(length));
        }
        let Some((message, rest)) = self.0.split_at_checked(length) else { return Ok(None) };
        self.0 = rest;
        Ok(Some(message))
    }

    fn refusal(&mut self) -> Option<ServerPreface<'a>> {
        let code = u16::from_be_bytes(self.array()?);
        let retry_after_ms = u32::from_be_bytes(self.array()?);
        Some(ServerPreface::Refused { code, retry_after_ms })
    }
}
