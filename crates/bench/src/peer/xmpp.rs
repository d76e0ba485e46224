//! XMPP as a load needs it: SASL PLAIN, one resource, stream management (XEP-0198) without
//! resumption, messages with delivery receipts (XEP-0184). Stanzas are written and cut by hand, which
//! relies on servers that escape `>` in text and attributes; ejabberd and prosody do.

use std::collections::VecDeque;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};

use super::{Event, Session, account, number, said};
use crate::error::LoadError;

const OPEN: &[u8] = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

const BIND: &[u8] = b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>r</resource></bind></iq>";

/// Turns acknowledgements on, becomes available, and asks for the first one: its answer says that
/// the presence was handled.
const BEGIN: &[u8] = b"<enable xmlns='urn:xmpp:sm:3'/><presence/><r xmlns='urn:xmpp:sm:3'/>";

/// One connection.
pub struct Xmpp {
    user: u32,
    step: Step,
    /// Stanzas received since stream management was turned on, which is what we acknowledge.
    received: u32,
    /// What the server acknowledged, and what it has not, oldest first; only messages have an id.
    acknowledged: u32,
    pending: VecDeque<Option<u64>>,
    logged_in: bool,
}

#[derive(PartialEq)]
enum Step {
    Authenticate,
    Bind,
    Ready,
}

impl Xmpp {
    /// The connection of account number `user`.
    pub fn new(user: u32) -> Self {
        let (step, pending) = (Step::Authenticate, VecDeque::new());
        Self { user, step, received: 0, acknowledged: 0, pending, logged_in: false }
    }

    fn take(
        &mut self,
        element: &[u8],
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError> {
        match name(element) {
            b"message" => {
                self.received = self.received.wrapping_add(1);
                events.extend(message(element)?);
            }
            b"r" => {
                let count = self.received;
                out.extend_from_slice(format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>").as_bytes());
            }
            b"a" => self.acknowledged(element, events)?,
            b"presence" => self.received = self.received.wrapping_add(1),
            b"iq" => self.query(element, out)?,
            b"stream:features" => self.features(out),
            b"success" => {
                self.step = Step::Bind;
                out.extend_from_slice(OPEN);
            }
            b"enabled" => self.received = 0,
            b"failure" | b"failed" | b"stream:error" => return Err(said("refused", element)),
            _ => {}
        }
        Ok(())
    }

    fn features(&self, out: &mut Vec<u8>) {
        if self.step == Step::Authenticate {
            let secret = BASE64_STANDARD.encode(format!("\0u{}\0pw", self.user));
            let plain = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
            out.extend_from_slice(format!("{plain}{secret}</auth>").as_bytes());
        } else {
            out.extend_from_slice(BIND);
        }
    }

    fn acknowledged(
        &mut self,
        element: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError> {
        let count = attribute(element, b" h=").ok_or_else(|| said("no count", element))?;
        let count = u32::try_from(number(count)).map_err(|_| said("not a count", element))?;
        while self.acknowledged != count {
            let more = || said("more acknowledged than was sent", element);
            if let Some(id) = self.pending.pop_front().ok_or_else(more)? {
                events.push_back(Event::Accepted { id });
            }
            self.acknowledged = self.acknowledged.wrapping_add(1);
        }
        if !self.logged_in {
            self.logged_in = true;
            events.push_back(Event::LoggedIn);
        }
        Ok(())
    }

    fn query(&mut self, element: &[u8], out: &mut Vec<u8>) -> Result<(), LoadError> {
        let kind = attribute(element, b" type=").unwrap_or_default();
        let id = attribute(element, b" id=").unwrap_or_default();
        if self.step == Step::Bind && id == b"bind" {
            if kind != b"result" {
                return Err(said("not bound", element));
            }
            self.step = Step::Ready;
            out.extend_from_slice(BEGIN);
            self.pending.push_back(None);
            return Ok(());
        }
        self.received = self.received.wrapping_add(1);
        if kind == b"get" {
            let to = attribute(element, b" from=").unwrap_or(b"localhost");
            for part in [b"<iq type='result' id='".as_slice(), id, b"' to='", to, b"'/>"] {
                out.extend_from_slice(part);
            }
            self.pending.push_back(None);
        }
        Ok(())
    }
}

/// What a message stanza tells, if anything.
fn message(element: &[u8]) -> Result<Option<Event>, LoadError> {
    let id = |element| attribute(element, b" id=").map(number);
    let nameless = || said("a message without id", element);
    let inner = |tag: &[u8]| element.get(memmem::find(element, tag)?..);
    if attribute(element, b" type=") == Some(b"error") {
        return Ok(Some(Event::Bounced { id: id(element).ok_or_else(nameless)? }));
    }
    if let Some(receipt) = inner(b"<received") {
        return Ok(Some(Event::Receipt { id: id(receipt).ok_or_else(nameless)? }));
    }
    let Some(body) = inner(b"<body>") else { return Ok(None) };
    let from = attribute(element, b" from=").and_then(account).ok_or_else(nameless)?;
    let stamp = number(body.get(b"<body>".len()..).unwrap_or_default());
    Ok(Some(Event::Message { from, id: id(element).ok_or_else(nameless)?, stamp }))
}

/// Length of the first whole piece at the top level: an element, or the stream's header or footer.
fn first_piece(input: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_i32);
    loop {
        let open = at + memchr(b'<', input.get(at..)?)?;
        let close = open + memchr(b'>', input.get(open..)?)?;
        at = close + 1;
        let tag = input.get(open + 1..close)?;
        if tag.starts_with(b"?") {
            continue;
        }
        let stream = tag.starts_with(b"stream:stream") || tag.starts_with(b"/stream:stream");
        if depth == 0 && stream {
            return Some(at);
        }
        if tag.starts_with(b"/") {
            depth -= 1;
        } else if !tag.ends_with(b"/") {
            depth += 1;
        }
        if depth <= 0 {
            return Some(at);
        }
    }
}

/// Name of the element that `piece` starts with.
fn name(piece: &[u8]) -> &[u8] {
    let tag = piece.strip_prefix(b"<").unwrap_or_default();
    let end = tag.iter().position(|byte| b" />\r\n\t".contains(byte));
    // The footer of a stream starts with a slash: its name is empty and nobody asks for it.
    tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
}

/// Value of an attribute (given as `b" id="`) of the tag that `piece` starts with.
fn attribute<'a>(piece: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let tag = piece.get(..memchr(b'>', piece)?)?;
    let value = tag.get(memmem::find(tag, name)? + name.len()..)?;
    let (quote, value) = value.split_first()?;
    value.get(..memchr(*quote, value)?)
}

impl Session for Xmpp {
    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(OPEN);
    }

    fn feed(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError> {
        while let Some(length) = first_piece(input) {
            let piece = input.split_to(length);
            let start = memchr(b'<', &piece).unwrap_or(0);
            self.take(piece.get(start..).unwrap_or_default(), out, events)?;
        }
        if input.iter().all(u8::is_ascii_whitespace) {
            input.advance(input.len()); // a keepalive between stanzas
        }
        Ok(())
    }

    fn send(&mut self, to: u32, id: u64, body: &[u8], out: &mut Vec<u8>) {
        let head = format!("<message to='u{to}@localhost' type='chat' id='{id}'><body>");
        let tail =
            "</body><request xmlns='urn:xmpp:receipts'/></message><r xmlns='urn:xmpp:sm:3'/>";
        for part in [head.as_bytes(), body, tail.as_bytes()] {
            out.extend_from_slice(part);
        }
        self.pending.push_back(Some(id));
    }

    fn receipt(&mut self, to: u32, id: u64, out: &mut Vec<u8>) {
        let head = format!("<message to='u{to}@localhost' type='chat' id='r{id}'>");
        let receipt = format!("<received xmlns='urn:xmpp:receipts' id='{id}'/></message>");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(receipt.as_bytes());
        self.pending.push_back(None);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"</stream:stream>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(session: &mut Xmpp, said: &[u8]) -> (Vec<u8>, Vec<Event>) {
        let (mut out, mut events) = (Vec::new(), VecDeque::new());
        session.feed(&mut BytesMut::from(said), &mut out, &mut events).unwrap();
        (out, events.into())
    }

    #[test]
    fn pieces_are_cut_at_the_top_level() {
        let nested = b"<a><b/><c>x</c></a><d/>";
        assert_eq!(first_piece(nested), Some(19));
        assert_eq!(first_piece(&nested[..15]), None);
        assert_eq!(first_piece(b"<?xml version='1.0'?><stream:stream id='1'><x>"), Some(43));
    }

    #[test]
    fn a_login_goes_through_its_steps() {
        let mut session = Xmpp::new(12);
        let (out, _) =
            hears(&mut session, b"<stream:stream id='1'><stream:features><x/></stream:features>");
        assert!(memmem::find(&out, b">AHUxMgBwdw==</auth>").is_some());
        let (out, _) = hears(&mut session, b"<success xmlns='x'/>");
        assert_eq!(out, OPEN);
        let (out, _) = hears(&mut session, b"<stream:features><bind/></stream:features>");
        assert_eq!(out, BIND);
        let (out, _) = hears(&mut session, b"<iq type='result' id='bind'><bind/></iq>");
        assert_eq!(out, BEGIN);
        let (_, events) = hears(&mut session, b"<enabled xmlns='x'/><a xmlns='x' h='1'/>");
        assert_eq!(events, [Event::LoggedIn]);
        let mut refused = BytesMut::from(&b"<failure><not-authorized/></failure>"[..]);
        let fed = Xmpp::new(1).feed(&mut refused, &mut Vec::new(), &mut VecDeque::new());
        assert!(fed.unwrap_err().to_string().contains("not-authorized"));
    }

    #[test]
    fn a_message_reaches_the_other_side_and_its_ticks_come_back() {
        let (mut near, mut far, mut sent) = (Xmpp::new(7), Xmpp::new(9), Vec::new());
        near.send(9, 42, &super::super::body(123, 200), &mut sent);
        let passed = String::from_utf8(sent).unwrap();
        let passed = passed.replace("<message to=", "<message from='u7@localhost/r' to=");
        let (out, events) = hears(&mut far, passed.as_bytes());
        assert_eq!(events, [Event::Message { from: 7, id: 42, stamp: 123 }]);
        assert_eq!(out, b"<a xmlns='urn:xmpp:sm:3' h='1'/>");
        let mut receipt = Vec::new();
        far.receipt(7, 42, &mut receipt);
        near.logged_in = true;
        let (_, events) = hears(&mut near, b"<a h='1'/>");
        assert_eq!(events, [Event::Accepted { id: 42 }]);
        assert_eq!(hears(&mut near, &receipt).1, [Event::Receipt { id: 42 }]);
        let bounced = b"<message from='u9@localhost' type='error' id='43'><error/></message>";
        assert_eq!(hears(&mut near, bounced).1, [Event::Bounced { id: 43 }]);
    }

    #[test]
    fn nothing_is_acknowledged_that_was_not_sent() {
        let mut input = BytesMut::from(&b"<a h='1'/>"[..]);
        assert!(Xmpp::new(1).feed(&mut input, &mut Vec::new(), &mut VecDeque::new()).is_err());
    }
}
