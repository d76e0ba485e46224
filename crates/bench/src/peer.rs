//! Other people's servers, under the same loads: what stands beside our own figures in one table.
//!
//! A [`Session`] is one connection's half of a protocol: bytes in, bytes and [`Event`]s out, no
//! socket and no clock. [`conn`] carries it over TCP or TLS, and the loads `chat`, `idle` and
//! `offline` drive it as they drive ours. To add a server that speaks something else: one module
//! with a session, one line in [`Protocol`].
//!
//! Accounts are `u0`, `u1`, ... with the password `pw`; who starts the server has made them.

pub mod conn;
pub mod mqtt;
pub mod xmpp;

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::error::LoadError;

/// Digits of a stamp at the start of a body: every `u64` fits.
pub const STAMP_DIGITS: usize = 20;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// MQTT 3.1.1 with QoS 1 on both hops
    Mqtt,
    /// XMPP with stream management and delivery receipts
    Xmpp,
}

impl Protocol {
    /// A new connection of account number `user`.
    pub fn session(self, user: u32) -> Box<dyn Session> {
        match self {
            Self::Mqtt => Box::new(mqtt::Mqtt::new(user)),
            Self::Xmpp => Box::new(xmpp::Xmpp::new(user)),
        }
    }
}

/// What a session tells its load. Ids are the load's own, unique for one sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Logged in and able to receive; stored messages may follow.
    LoggedIn,
    /// A message for this account. What acknowledges it to the server is already queued; the receipt
    /// for its sender is the load's to send.
    Message {
        /// Number of the sender's account.
        from: u32,
        /// Its id.
        id: u64,
        /// The number at the start of its body.
        stamp: u64,
    },
    /// The server has taken the message upon itself: the first tick.
    Accepted {
        /// Its id.
        id: u64,
    },
    /// The recipient's own receipt: the second tick.
    Receipt {
        /// Id of the message.
        id: u64,
    },
    /// The server gives the message back.
    Bounced {
        /// Its id.
        id: u64,
    },
}

/// One connection's state of a protocol.
pub trait Session {
    /// The first bytes of the connection.
    fn start(&mut self, out: &mut Vec<u8>);

    /// Takes the whole frames at the front of `input`, leaves an unfinished one; may queue answers.
    ///
    /// # Errors
    /// [`LoadError::Peer`] when the server refuses the connection or is not understood.
    fn feed(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError>;

    /// Queues a message, and whatever makes the server say that it accepted it.
    fn send(&mut self, to: u32, id: u64, body: &[u8], out: &mut Vec<u8>);

    /// Queues the receipt for a message.
    fn receipt(&mut self, to: u32, id: u64, out: &mut Vec<u8>);

    /// Queues a goodbye.
    fn close(&mut self, out: &mut Vec<u8>);
}

/// A body of so many bytes that starts with a stamp, as text: XML carries nothing else as it is.
pub fn body(stamp: u64, bytes: usize) -> Vec<u8> {
    let mut body = format!("{stamp:0STAMP_DIGITS$} ").into_bytes();
    body.resize(bytes.max(STAMP_DIGITS), b'x');
    body
}

/// The decimal number at the start of `text`; 0 if there is none.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: u64, digit| {
        sum.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

/// The number of the account that `text` starts with: `u17`.
fn account(text: &[u8]) -> Option<u32> {
    u32::try_from(number(text.strip_prefix(b"u")?)).ok()
}

/// What a server said that ends the connection.
fn said(what: &str, text: &[u8]) -> LoadError {
    const SHOWN_BYTES: usize = 300;
    let shown = text.get(..SHOWN_BYTES).unwrap_or(text);
    LoadError::Peer(format!("{what}: {}", String::from_utf8_lossy(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_body() {
        for stamp in [0, 7, u64::MAX] {
            let body = body(stamp, 200);
            assert_eq!((number(&body), body.len()), (stamp, 200));
        }
        assert_eq!(body(u64::MAX, 0).len(), STAMP_DIGITS);
        assert_eq!((number(b"x1"), account(b"u17@here/r"), account(b"17")), (0, Some(17), None));
    }

    /// Whatever a server says, and wherever a read ends, a session answers or fails: it never
    /// panics, and never keeps what it has already taken.
    #[test]
    fn no_bytes_make_a_session_panic() {
        let samples: [&[u8]; 4] = [
            b"<message from='u7@localhost/r' id='4'><body>00 x</body></message><a h='9'/>",
            b"<iq id='bind' type='result'/><r xmlns='urn:xmpp:sm:3'/></stream:stream>",
            &[0x20, 2, 0, 0, 0x32, 14, 0, 3, b'u', b'/', b'1', 0, 1, b'm', b' ', b'7', b' ', b'4'],
            &[0x40, 2, 0, 1, 0x90, 3, 0, 1, 1, 0x32, 0xff, 0xff, 0xff, 0x7f],
        ];
        let bytes = [0, b' ', b'/', b'<', b'>', b'\'', 0x20, 0x7f, 0x80, 0xff];
        for sample in samples {
            for (cut, place) in (0..=sample.len()).flat_map(|cut| (0..cut).map(move |at| (cut, at)))
            {
                for (byte, protocol) in
                    bytes.iter().flat_map(|byte| [(byte, Protocol::Mqtt), (byte, Protocol::Xmpp)])
                {
                    let mut input = BytesMut::from(&sample[..cut]);
                    input[place] = *byte;
                    let mut session = protocol.session(1);
                    let _ = session.feed(&mut input, &mut Vec::new(), &mut VecDeque::new());
                    assert!(input.len() <= cut);
                }
            }
        }
    }
}
