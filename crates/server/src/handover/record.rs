//! What goes to the new process, as records. Numbers are never reused and never mean something else; a
//! reader passes over what it does not know, so whatever a session cannot go on without is a new
//! [`VERSION`], and a server that takes over says first which ones it reads (decision 0156).
//!
//! Times are those of the node's own clock, which goes on in the new process from [`NodeRecord::now_ns`].

use std::fmt;
use std::net::IpAddr;

use prost::Message;
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

/// The version of these records.
pub(crate) const VERSION: u32 = 1;

/// The oldest that this server reads: with [`VERSION`], all that it takes and gives. The release before
/// this one must be among them, so that an upgrade can be taken back.
pub(crate) const OLDEST: u32 = 1;

/// What a record says that no session can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of a session is damaged: {0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// What the new process says first. It has no version: whatever comes is added to it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HelloRecord {
    /// Of the program.
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    /// The data folder that it serves.
    #[prost(string, tag = "2")]
    pub(crate) data: String,
    /// The versions of records that it reads.
    #[prost(uint32, tag = "3")]
    pub(crate) oldest: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) newest: u32,
}

/// One session.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct SessionRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) seal_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) open_key: Vec<u8>,
    /// Frames sealed and opened so far.
    #[prost(uint64, tag = "3")]
    pub(crate) sealed: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) opened: u64,
    #[prost(enumeration = "WhoRecord", tag = "5")]
    pub(crate) who: i32,
    /// Of a device.
    #[prost(fixed64, tag = "6")]
    pub(crate) account: u64,
    #[prost(uint32, tag = "7")]
    pub(crate) device: u32,
    #[prost(message, optional, boxed, tag = "8")]
    pub(crate) stranger: Option<Box<StrangerRecord>>,
    /// The newest record of the mailbox that was sent on this link.
    #[prost(uint64, tag = "9")]
    pub(crate) last_sent: u64,
    #[prost(bool, tag = "10")]
    pub(crate) caught_up: bool,
    /// The first counter refused for now, 0 for none, when it may come again, and how much was refused.
    #[prost(uint64, tag = "11")]
    pub(crate) refused_from: u64,
    #[prost(uint64, tag = "12")]
    pub(crate) refused_again_at_ns: u64,
    #[prost(uint64, tag = "13")]
    pub(crate) refusals_paid_at_ns: u64,
    #[prost(uint64, tag = "14")]
    pub(crate) submitted_paid_at_ns: u64,
    /// When a byte came last; later than now: it is not read until then.
    #[prost(uint32, tag = "15")]
    pub(crate) heard_s: u32,
    #[prost(uint32, tag = "16")]
    pub(crate) interval_s: u32,
    /// Where it comes from, hashed; 0 for this machine.
    #[prost(fixed32, tag = "17")]
    pub(crate) mark: u32,
    /// Its socket wakes nobody for a lone byte.
    #[prost(bool, tag = "18")]
    pub(crate) dozes: bool,
    /// The beginning of a frame, or frames that were read and not looked at yet.
    #[prost(bytes = "vec", tag = "19")]
    pub(crate) half_read: Vec<u8>,
    /// Sealed bytes that the socket has not taken.
    #[prost(bytes = "vec", tag = "20")]
    pub(crate) unsent: Vec<u8>,
    #[prost(message, optional, boxed, tag = "21")]
    pub(crate) looking: Option<Box<LookingRecord>>,
    /// Relay requests that wait for the other side, as they came (`godwit.v1.Relay`).
    #[prost(bytes = "vec", repeated, tag = "22")]
    pub(crate) waits: Vec<Vec<u8>>,
    /// What its WebSocket is beyond the connection, in a form of its own; empty on TCP.
    #[prost(bytes = "vec", tag = "23")]
    pub(crate) web_socket: Vec<u8>,
}

/// What sessions were in the midst of when they became data, one count each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Carried {
    /// Half of a frame had come, or frames that were not looked at yet.
    pub(crate) half_frames: usize,
    /// Their socket had not taken all that was sealed.
    pub(crate) unsent: usize,
    /// Their inbox was full.
    pub(crate) full_inboxes: usize,
    /// They are on WebSockets.
    pub(crate) websockets: usize,
}

impl Carried {
    pub(crate) fn count(&mut self, record: &SessionRecord, inbox_is_full: bool) {
        self.half_frames += usize::from(!record.half_read.is_empty());
        self.unsent += usize::from(!record.unsent.is_empty());
        self.full_inboxes += usize::from(inbox_is_full);
        self.websockets += usize::from(!record.web_socket.is_empty());
    }
}

/// Who speaks on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum WhoRecord {
    Unspecified = 0,
    Stranger = 1,
    Device = 2,
    Attached = 3,
    Revoked = 4,
}

/// A link that belongs to nobody.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StrangerRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) link_key: Vec<u8>,
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) address: Vec<u8>,
    #[prost(fixed64, optional, tag = "3")]
    pub(crate) claims: Option<u64>,
}

/// What a device said about presence on this link.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LookingRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) said_paid_at_ns: u64,
    /// Whether somebody is there; absent: it has not said.
    #[prost(bool, optional, tag = "2")]
    pub(crate) here: Option<bool>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) chats: Vec<ChatRecord>,
}

/// An open chat.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChatRecord {
    #[prost(fixed64, tag = "1")]
    pub(crate) account: u64,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) pass: Option<Vec<u8>>,
    #[prost(uint32, tag = "3")]
    pub(crate) bit: u32,
    #[prost(bool, tag = "4")]
    pub(crate) typing: bool,
    /// What it was told last.
    #[prost(message, optional, tag = "5")]
    pub(crate) told: Option<SeenRecord>,
}

/// What was told of somebody.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SeenRecord {
    #[prost(bool, tag = "1")]
    pub(crate) online: bool,
    #[prost(bool, tag = "2")]
    pub(crate) typing: bool,
    #[prost(uint32, tag = "3")]
    pub(crate) last_seen_min: u32,
}

/// What the sessions of a node share and only its memory knows.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct NodeRecord {
    /// The node's clock.
    #[prost(uint64, tag = "1")]
    pub(crate) now_ns: u64,
    /// Seals tickets for files.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) media_key: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) quarantined: Vec<QuarantineRecord>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) rendezvous: Vec<RendezvousRecord>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) present: Vec<PresentRecord>,
    /// Sessions that follow.
    #[prost(uint64, tag = "6")]
    pub(crate) sessions: u64,
}

/// A device whose sessions panicked.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct QuarantineRecord {
    #[prost(fixed64, tag = "1")]
    pub(crate) account: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) device: u32,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) panics_ms: Vec<u64>,
    #[prost(uint32, tag = "4")]
    pub(crate) times: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) until_ms: u64,
}

/// Where two links meet.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RendezvousRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) until_ns: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) left: Vec<LeftRecord>,
}

/// A message that one side left there.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeftRecord {
    /// It is of the device that is there already, not of the new one.
    #[prost(bool, tag = "1")]
    pub(crate) of_present: bool,
    #[prost(uint32, tag = "2")]
    pub(crate) sequence: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) body: Vec<u8>,
}

/// What is known of an account's presence, its sessions apart.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PresentRecord {
    #[prost(fixed64, tag = "1")]
    pub(crate) account: u64,
    /// Everybody may see it.
    #[prost(bool, tag = "2")]
    pub(crate) everyone: bool,
    /// Who shows this may.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) pass: Option<Vec<u8>>,
    #[prost(bool, tag = "4")]
    pub(crate) online: bool,
    /// Since when its last device is lost without a word.
    #[prost(uint32, optional, tag = "5")]
    pub(crate) lost_s: Option<u32>,
    #[prost(uint32, tag = "6")]
    pub(crate) seen_min: u32,
}

impl SessionRecord {
    /// Its bytes, which hold keys: wiped when dropped.
    pub(crate) fn sealed_bytes(&self) -> Zeroizing<Vec<u8>> {
        // As long as it becomes, or growing would leave copies behind.
        Zeroizing::new(self.encode_to_vec())
    }

    /// A record, checked as far as can be without a server.
    ///
    /// # Errors
    /// [`Damaged`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Zeroizing<Self>, Damaged> {
        let record = Self::decode(bytes).map_err(|_| Damaged("it is no record"))?;
        let record = Zeroizing::new(record);
        record.keys()?;
        match record.who() {
            WhoRecord::Unspecified => return Err(Damaged("nobody speaks on it")),
            WhoRecord::Stranger => {
                record.stranger.as_ref().ok_or(Damaged("no stranger"))?.parts()?;
            }
            WhoRecord::Device | WhoRecord::Attached | WhoRecord::Revoked => {}
        }
        Ok(record)
    }

    /// The link, to go on with.
    ///
    /// # Errors
    /// [`Damaged`].
    pub(crate) fn keys(&self) -> Result<godwit_link::Parted, Damaged> {
        let key = |bytes: &[u8]| bytes.try_into().map_err(|_| Damaged("a key has another length"));
        Ok(godwit_link::Parted {
            seal_key: key(&self.seal_key)?,
            open_key: key(&self.open_key)?,
            sealed: self.sealed,
            opened: self.opened,
        })
    }
}

impl Zeroize for SessionRecord {
    fn zeroize(&mut self) {
        self.seal_key.zeroize();
        self.open_key.zeroize();
    }
}

impl Zeroize for NodeRecord {
    fn zeroize(&mut self) {
        self.media_key.zeroize();
    }
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord").field("who", &self.who()).finish_non_exhaustive()
    }
}

impl fmt::Debug for NodeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRecord").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl StrangerRecord {
    pub(crate) fn new(link_key: [u8; 32], address: IpAddr, claims: Option<u64>) -> Self {
        let address = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        Self { link_key: link_key.to_vec(), address, claims }
    }

    /// Link key and address.
    ///
    /// # Errors
    /// [`Damaged`].
    pub(crate) fn parts(&self) -> Result<([u8; 32], IpAddr), Damaged> {
        let key = self.link_key.as_slice().try_into();
        let key = key.map_err(|_| Damaged("a link key has another length"))?;
        let four: Result<[u8; 4], _> = self.address.as_slice().try_into();
        let sixteen: Result<[u8; 16], _> = self.address.as_slice().try_into();
        match (four, sixteen) {
            (Ok(four), _) => Ok((key, four.into())),
            (_, Ok(sixteen)) => Ok((key, sixteen.into())),
            _ => Err(Damaged("an address has another length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of version 1 with everything in it. It never changes: a later version has one of its own.
    const FULL_1: &str = include_str!("golden/session-1-full.hex");
    /// Of a device that has its mailbox and does nothing.
    const IDLE_1: &str = include_str!("golden/session-1-idle.hex");
    const NODE_1: &str = include_str!("golden/node-1.hex");
    const HELLO: &str = include_str!("golden/hello.hex");

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn idle() -> SessionRecord {
        SessionRecord {
            seal_key: vec![1; 32],
            open_key: vec![2; 32],
            sealed: 300,
            opened: 200,
            who: WhoRecord::Attached.into(),
            account: 0x0123_4567_89ab_cdef,
            device: 1,
            last_sent: 70_000,
            caught_up: true,
            submitted_paid_at_ns: 3_600_000_000_000,
            heard_s: 3_600,
            interval_s: 240,
            mark: 0xdead_beef,
            dozes: true,
            ..SessionRecord::default()
        }
    }

    fn full() -> SessionRecord {
        let told = SeenRecord { online: true, typing: true, last_seen_min: 30_000_000 };
        let chat = ChatRecord {
            account: 9,
            pass: Some(vec![7; 16]),
            bit: 3,
            typing: true,
            told: Some(told),
        };
        let looking =
            LookingRecord { said_paid_at_ns: 5_000_000_000, here: Some(true), chats: vec![chat] };
        let stranger = StrangerRecord::new([4; 32], "192.0.2.1".parse().unwrap(), Some(11));
        SessionRecord {
            refused_from: 12,
            refused_again_at_ns: 3_601_000_000_000,
            refusals_paid_at_ns: 3_600_500_000_000,
            half_read: vec![0x41, 0x42],
            unsent: vec![0x51, 0x52, 0x53],
            stranger: Some(Box::new(stranger)),
            looking: Some(Box::new(looking)),
            waits: vec![vec![8, 1]],
            ..idle()
        }
    }

    fn node() -> NodeRecord {
        let left = LeftRecord { of_present: true, sequence: 2, body: b"sealed".to_vec() };
        NodeRecord {
            now_ns: 3_600_000_000_000,
            media_key: vec![6; 32],
            quarantined: vec![QuarantineRecord {
                account: 5,
                device: 1,
                panics_ms: vec![1_000, 2_000],
                times: 2,
                until_ms: 60_000,
            }],
            rendezvous: vec![RendezvousRecord {
                id: vec![7; 16],
                until_ns: 4_000_000_000_000,
                left: vec![left],
            }],
            present: vec![PresentRecord {
                account: 9,
                everyone: false,
                pass: Some(vec![7; 16]),
                online: true,
                lost_s: Some(3_590),
                seen_min: 30_000_000,
            }],
            sessions: 15_000,
        }
    }

    #[test]
    fn records_of_the_first_version_read_and_write_as_they_did() {
        for (golden, record) in [(IDLE_1, idle()), (FULL_1, full())] {
            assert_eq!(hex(&record.sealed_bytes()), golden.trim());
            assert_eq!(*SessionRecord::read(&bytes(golden)).unwrap(), record);
        }
        assert_eq!(hex(&node().encode_to_vec()), NODE_1.trim());
        assert_eq!(NodeRecord::decode(bytes(NODE_1).as_slice()).unwrap(), node());
    }

    #[test]
    fn hello_is_understood_by_every_version() {
        let hello = HelloRecord {
            version: "0.1.0".to_owned(),
            data: "/var/lib/godwit".to_owned(),
            oldest: 1,
            newest: 1,
        };
        assert_eq!(hex(&hello.encode_to_vec()), HELLO.trim());
        assert_eq!(HelloRecord::decode(bytes(HELLO).as_slice()).unwrap(), hello);
    }

    #[test]
    fn a_session_that_does_nothing_takes_128_bytes_at_most() {
        let bytes = idle().sealed_bytes().len();
        assert!(bytes <= 128, "{bytes}");
    }

    #[test]
    fn what_no_session_can_be_is_told() {
        let read = |change: fn(&mut SessionRecord)| {
            let mut record = full();
            change(&mut record);
            SessionRecord::read(&record.sealed_bytes()).map(drop).map_err(|damaged| damaged.0)
        };
        assert_eq!(read(|_| {}), Ok(()));
        assert_eq!(read(|record| record.who = 0), Err("nobody speaks on it"));
        assert_eq!(read(|record| record.who = 99), Err("nobody speaks on it"));
        assert!(read(|record| record.seal_key.push(0)).is_err());
        assert!(read(|record| record.open_key.clear()).is_err());
        let stranger = |record: &mut SessionRecord| record.set_who(WhoRecord::Stranger);
        assert_eq!(read(stranger), Ok(()));
        let nobody = |record: &mut SessionRecord| {
            record.set_who(WhoRecord::Stranger);
            record.stranger = None;
        };
        assert_eq!(read(nobody), Err("no stranger"));
        let nowhere = |record: &mut SessionRecord| {
            record.set_who(WhoRecord::Stranger);
            record.stranger.as_mut().unwrap().address.pop();
        };
        assert!(read(nowhere).is_err());
        assert!(SessionRecord::read(&[0xff]).is_err());
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?} {:?} {:?}", idle(), node(), idle().keys().unwrap());
        assert!(!shown.contains("1, 1") && !shown.contains("6, 6"), "{shown}");
    }
}
