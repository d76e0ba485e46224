//! MQTT 3.1.1, QoS 1 on both hops, sessions that outlive their connections, so that the broker keeps
//! what comes for an absent account. Account N reads topic `u/N`. A payload is `m FROM ID BODY`, or
//! `r ID` for the receipt: MQTT's own acknowledgements end at the broker, so the recipient's receipt
//! is a message of its own.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{Event, Session, number, said};
use crate::error::LoadError;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

/// First bytes of what is sent: PUBLISH and SUBSCRIBE carry their flags.
const CONNECT_BYTE: u8 = 0x10;
const PUBLISH_QOS1_BYTE: u8 = 0x32;
const PUBACK_BYTE: u8 = 0x40;
const SUBSCRIBE_BYTE: u8 = 0x82;
const DISCONNECT_BYTES: [u8; 2] = [0xe0, 0];

/// Version 4 of the protocol (3.1.1), a name and a password, an old session goes on.
const CONNECT_FLAGS: [u8; 2] = [4, 0b1100_0000];

/// An hour: no load lasts so long, so no keepalive is ever due.
const KEEPALIVE_S: u16 = 3_600;

/// A length has at most four bytes of seven bits.
const LENGTH_BYTES_MAX: usize = 4;

/// One connection.
pub struct Mqtt {
    user: u32,
    newest_packet: u16,
    /// Published and not acknowledged, oldest first; a receipt has no id.
    pending: VecDeque<(u16, Option<u64>)>,
}

impl Mqtt {
    /// The connection of account number `user`.
    pub fn new(user: u32) -> Self {
        Self { user, newest_packet: 0, pending: VecDeque::new() }
    }

    /// Packet identifiers go round; 0 is none.
    fn next_packet(&mut self) -> u16 {
        self.newest_packet = self.newest_packet.checked_add(1).unwrap_or(1);
        self.newest_packet
    }

    fn publish(&mut self, to: u32, parts: [&[u8]; 2], id: Option<u64>, out: &mut Vec<u8>) {
        let packet = self.next_packet();
        self.pending.push_back((packet, id));
        let topic = format!("u/{to}");
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        out.push(PUBLISH_QOS1_BYTE);
        put_length(out, 2 + topic.len() + 2 + payload);
        put_text(out, topic.as_bytes());
        out.extend_from_slice(&packet.to_be_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }

    fn take(
        &mut self,
        first: u8,
        frame: &[u8],
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError> {
        let short = || said("a short frame", &[first]);
        match first >> 4 {
            CONNACK => match frame {
                [1, 0] => events.push_back(Event::LoggedIn), // its subscription is still there
                [_, 0] => self.subscribe(out),
                _ => return Err(said("connection refused", format!("{frame:?}").as_bytes())),
            },
            SUBACK => events.push_back(Event::LoggedIn),
            PUBLISH => {
                let payload = acknowledge(first, frame, out).ok_or_else(short)?;
                events.push_back(read(payload).ok_or_else(|| said("not a payload", payload))?);
            }
            PUBACK => {
                let packet = frame.first_chunk().copied().map(u16::from_be_bytes);
                let packet = packet.ok_or_else(short)?;
                let place = self.pending.iter().position(|(pending, _)| *pending == packet);
                if let Some((_, Some(id))) = place.and_then(|place| self.pending.remove(place)) {
                    events.push_back(Event::Accepted { id });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, out: &mut Vec<u8>) {
        let (packet, topic) = (self.next_packet(), format!("u/{}", self.user));
        out.push(SUBSCRIBE_BYTE);
        put_length(out, 2 + 2 + topic.len() + 1);
        out.extend_from_slice(&packet.to_be_bytes());
        put_text(out, topic.as_bytes());
        out.push(1); // QoS
    }
}

/// Queues the acknowledgement of a message if its QoS wants one; its payload.
fn acknowledge<'a>(first: u8, frame: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let topic = frame.first_chunk().copied().map(u16::from_be_bytes)?;
    let rest = frame.get(2 + usize::from(topic)..)?;
    if (first >> 1) & 3 == 0 {
        return Some(rest);
    }
    let (packet, payload) = rest.split_at_checked(2)?;
    out.extend_from_slice(&[PUBACK_BYTE, 2]);
    out.extend_from_slice(packet);
    Some(payload)
}

fn read(payload: &[u8]) -> Option<Event> {
    let mut words = payload.splitn(4, |byte| *byte == b' ');
    match words.next()? {
        b"m" => {
            let from = u32::try_from(number(words.next()?)).ok()?;
            let id = number(words.next()?);
            Some(Event::Message { from, id, stamp: number(words.next()?) })
        }
        b"r" => Some(Event::Receipt { id: number(words.next()?) }),
        _ => None,
    }
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = length.to_le_bytes().first().map_or(0, |byte| byte & 0x7f);
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

/// Bytes of the fixed header and of what follows it; `None` while they are not all here.
fn lengths(input: &[u8]) -> Result<Option<(usize, usize)>, LoadError> {
    let mut length = 0;
    for place in 1..=LENGTH_BYTES_MAX {
        let Some(byte) = input.get(place) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (place - 1));
        if byte & 0x80 == 0 {
            let whole = input.len() > place + length;
            return Ok(whole.then_some((place + 1, length)));
        }
    }
    Err(said("a length of five bytes", &[]))
}

impl Session for Mqtt {
    fn start(&mut self, out: &mut Vec<u8>) {
        let name = format!("u{}", self.user);
        out.push(CONNECT_BYTE);
        put_length(out, 10 + 2 * (2 + name.len()) + 4);
        put_text(out, b"MQTT");
        out.extend_from_slice(&CONNECT_FLAGS);
        out.extend_from_slice(&KEEPALIVE_S.to_be_bytes());
        for text in [name.as_bytes(), name.as_bytes(), b"pw"] {
            put_text(out, text);
        }
    }

    fn feed(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), LoadError> {
        while let Some((header, length)) = lengths(input)? {
            let frame = input.split_to(header + length);
            let first = frame.first().copied().unwrap_or(0);
            self.take(first, frame.get(header..).unwrap_or_default(), out, events)?;
        }
        Ok(())
    }

    fn send(&mut self, to: u32, id: u64, body: &[u8], out: &mut Vec<u8>) {
        let head = format!("m {} {id} ", self.user);
        self.publish(to, [head.as_bytes(), body], Some(id), out);
    }

    fn receipt(&mut self, to: u32, id: u64, out: &mut Vec<u8>) {
        self.publish(to, [format!("r {id}").as_bytes(), &[]], None, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&DISCONNECT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a broker would pass on is what was published, so both ends can be tested on each other.
    #[test]
    fn a_message_and_a_receipt_reach_the_other_side() {
        let (mut near, mut far) = (Mqtt::new(7), Mqtt::new(9));
        let (mut up, mut down, mut events) = (Vec::new(), Vec::new(), VecDeque::new());
        near.send(9, 42, &super::super::body(123, 200), &mut up);
        near.receipt(9, 43, &mut up);
        far.feed(&mut BytesMut::from(&*up), &mut down, &mut events).unwrap();
        let message = Event::Message { from: 7, id: 42, stamp: 123 };
        assert_eq!(events, [message, Event::Receipt { id: 43 }]);
        events.clear();
        near.feed(&mut BytesMut::from(&*down), &mut up, &mut events).unwrap();
        assert_eq!(events, [Event::Accepted { id: 42 }], "a receipt's acknowledgement is no news");
    }

    #[test]
    fn a_frame_may_come_in_any_pieces() {
        let mut published = Vec::new();
        Mqtt::new(7).send(9, 1, &super::super::body(5, 300), &mut published);
        let (mut far, mut input, mut events) = (Mqtt::new(9), BytesMut::new(), VecDeque::new());
        for byte in &published {
            assert!(events.is_empty());
            input.extend_from_slice(&[*byte]);
            far.feed(&mut input, &mut Vec::new(), &mut events).unwrap();
        }
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn the_login_follows_what_the_broker_still_knows() {
        let mut out = Vec::new();
        let mut answer = |said: &[u8]| {
            let mut events = VecDeque::new();
            let fed = Mqtt::new(3).feed(&mut BytesMut::from(said), &mut out, &mut events);
            fed.map(|()| events.len())
        };
        assert_eq!(answer(&[0x20, 2, 1, 0]).unwrap(), 1, "the session is there");
        assert_eq!(answer(&[0x20, 2, 0, 0]).unwrap(), 0, "it subscribes first");
        assert!(answer(&[0x20, 2, 0, 5]).is_err(), "refused");
        assert_eq!(out, [0x82, 8, 0, 1, 0, 3, b'u', b'/', b'3', 1]);
    }

    #[test]
    fn both_sides_of_the_longest_length() {
        assert!(lengths(&[0x30, 0xff, 0xff, 0xff, 0x7f]).unwrap().is_none());
        assert!(lengths(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
