//! The frames of RFC 6455 as a server hears them, without a socket: what the client's messages carry is
//! unmasked and left where it was read, the rest is taken out. Nothing is gathered but a header, or a control
//! frame, that is not whole yet.

/// Bits of a frame's first byte: it ends its message; it uses an extension, of which none is agreed.
const LAST: u8 = 0x80;
const EXTENDED: u8 = 0x70;
/// Bit of the second byte.
const MASKED: u8 = 0x80;

/// Payload of a control frame: RFC 6455, 5.5. With its header it waits here until it is whole, 131 bytes.
const CONTROL_BYTES_MAX: u8 = 125;

/// A length field that says that the length follows in two bytes, or in eight.
const IN_TWO_BYTES: u8 = 126;
const IN_EIGHT_BYTES: u8 = 127;

/// The most that a length may be: its first bit is zero.
const LENGTH_MAX: u64 = u64::MAX >> 1;

/// What no right client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a frame of a client is not masked")]
    Unmasked,
    #[error("a frame of a kind or with an extension that there is not")]
    Unknown,
    #[error("a text message")]
    Text,
    #[error("a control frame in pieces, or of the wrong length")]
    Control,
    #[error("a message begins inside another, or goes on that has not begun")]
    Order,
    #[error("a length above all that there may be")]
    Length,
}

/// The state of both directions. All of it can be written down: see [`super::carried`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Frames {
    /// The front of a header, or of a control frame, of which the rest has not come.
    pub(super) begun: Vec<u8>,
    /// Bytes of the data frame in progress that have not come, and the mask of the next four of them.
    pub(super) left: u64,
    pub(super) mask: [u8; 4],
    /// The next data frame goes on with a message.
    pub(super) in_message: bool,
    /// The frame that answers the latest ping, or the last one of all. Only the latest ping has to be
    /// answered, so no more than one waits.
    pub(super) answer: Vec<u8>,
    /// A close frame was said, or is the answer: nothing follows it.
    pub(super) has_closed: bool,
    /// The client's close frame came: what follows it is nothing.
    pub(super) is_over: bool,
}

/// A header that is whole; with a control frame, all of that.
struct Head {
    kind: Kind,
    is_last: bool,
    header_bytes: usize,
    payload_bytes: u64,
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Continuation = 0,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Frames {
    /// Takes what was read; in front of `bytes` it leaves what messages carry, and says how much that is.
    ///
    /// # Errors
    /// The client breaks the protocol. Nothing more can be understood of it.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && !self.is_over {
            if self.left == 0 {
                from += self.begin(bytes.get(from..).unwrap_or_default())?;
                continue;
            }
            let there = bytes.len() - from;
            let n = usize::try_from(self.left).map_or(there, |left| left.min(there));
            bytes.copy_within(from..from + n, to);
            unmask(bytes.get_mut(to..to + n).unwrap_or_default(), self.mask);
            self.left -= n as u64;
            self.mask.rotate_left(n % 4);
            (from, to) = (from + n, to + n);
        }
        Ok(to)
    }

    /// Says the last frame, unless it was said.
    pub(super) fn close(&mut self) {
        self.answers_close(&[]);
    }

    /// Takes the front of a frame off `bytes`, which are not empty; says how much.
    fn begin(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        if self.begun.is_empty() {
            return match head(bytes)? {
                Some(head) => self.enter(&head, bytes),
                None => {
                    self.begun.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
            };
        }
        // Cut by the network: byte by byte, at most 130 of them, to the very end of the front.
        self.begun.extend(bytes.first());
        if let Some(head) = head(&self.begun)? {
            let whole = std::mem::take(&mut self.begun);
            self.enter(&head, &whole)?;
        }
        Ok(1)
    }

    /// Begins with a frame's data, or does what a control frame asks for; says how much of `bytes` that took.
    fn enter(&mut self, head: &Head, bytes: &[u8]) -> Result<usize, Violation> {
        match head.kind {
            Kind::Binary | Kind::Continuation => {
                if self.in_message != (head.kind == Kind::Continuation) {
                    return Err(Violation::Order);
                }
                (self.left, self.mask) = (head.payload_bytes, head.mask);
                self.in_message = !head.is_last;
                return Ok(head.header_bytes);
            }
            Kind::Pong => {}
            Kind::Ping if self.has_closed => {}
            Kind::Ping => self.answer = control(Kind::Pong, &head.payload(bytes)),
            Kind::Close => {
                let payload = head.payload(bytes);
                if payload.len() == 1 {
                    return Err(Violation::Control);
                }
                self.is_over = true;
                // The reason's number, not its words.
                self.answers_close(payload.get(..2).unwrap_or_default());
            }
        }
        Ok(head.end())
    }

    fn answers_close(&mut self, reason: &[u8]) {
        if !std::mem::replace(&mut self.has_closed, true) {
            self.answer = control(Kind::Close, reason);
        }
    }
}

impl Kind {
    fn of(byte: u8) -> Result<Self, Violation> {
        match byte {
            0 => Ok(Self::Continuation),
            1 => Err(Violation::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            _ => Err(Violation::Unknown),
        }
    }

    fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

impl Head {
    /// Where a control frame ends.
    fn end(&self) -> usize {
        self.header_bytes + usize::try_from(self.payload_bytes).unwrap_or_default()
    }

    /// What a control frame carries.
    fn payload(&self, bytes: &[u8]) -> Vec<u8> {
        let mut payload = bytes.get(self.header_bytes..self.end()).unwrap_or_default().to_vec();
        unmask(&mut payload, self.mask);
        payload
    }
}

/// The header in front of `bytes`; none if more of it is to come, or of the control frame that it begins.
fn head(bytes: &[u8]) -> Result<Option<Head>, Violation> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & EXTENDED != 0 {
        return Err(Violation::Unknown);
    }
    let (kind, is_last) = (Kind::of(first & 0x0f)?, first & LAST != 0);
    let short = second & !MASKED;
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    if kind.is_control() && !(is_last && short <= CONTROL_BYTES_MAX) {
        return Err(Violation::Control);
    }
    let (length_bytes, length) = match short {
        IN_TWO_BYTES => (2, rest.first_chunk().map(|length| u16::from_be_bytes(*length).into())),
        IN_EIGHT_BYTES => (8, rest.first_chunk().map(|length| u64::from_be_bytes(*length))),
        _ => (0, Some(short.into())),
    };
    let mask = rest.get(length_bytes..).and_then(|rest| rest.first_chunk());
    let (Some(payload_bytes), Some(mask)) = (length, mask) else { return Ok(None) };
    if payload_bytes > LENGTH_MAX {
        return Err(Violation::Length);
    }
    let header_bytes = 2 + length_bytes + mask.len();
    let head = Head { kind, is_last, header_bytes, payload_bytes, mask: *mask };
    Ok((!kind.is_control() || bytes.len() >= head.end()).then_some(head))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = bytes.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ twice).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(twice.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// The header of a binary message of the server, for so many bytes up to 65,535.
pub(super) fn header(bytes: usize) -> ([u8; 4], usize) {
    let [.., high, low] = bytes.to_be_bytes();
    let first = LAST | Kind::Binary as u8;
    if bytes <= CONTROL_BYTES_MAX.into() {
        ([first, low, 0, 0], 2)
    } else {
        ([first, IN_TWO_BYTES, high, low], 4)
    }
}

/// A control frame of the server: it carries what a client's did, so it is not too long either.
fn control(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let [.., length] = payload.len().to_be_bytes();
    [&[LAST | kind as u8, length], payload].concat()
}
