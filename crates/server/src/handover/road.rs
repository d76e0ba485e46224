//! Between the two processes: parcels of bytes and sockets over a pair of Unix sockets, of which the new
//! process has one end as its standard input. It has no name, so nobody else can come to it.
//!
//! Blocks; each step has a time of its own.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use prost::Message as _;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use zeroize::Zeroizing;

use super::{Damaged, Frozen, SessionRecord};

/// Sockets of one parcel: the system takes 253, and counts those that are under way as open files of the
/// user. Each parcel is waited for, so these are all.
pub(super) const SOCKETS_MAX: usize = 64;

/// Bytes of records after which a parcel is full: plain sessions have 64 x 0.1 KB, so only unsent bytes
/// come to it.
const PARCEL_BYTES_WANTED: usize = 256 * 1024;

/// Of one parcel. A session may have 256 MiB unsent if its server is configured so; the node's record comes
/// to 32 MiB of rendezvous, 60 MiB of presence and 4 MiB of quarantine at most.
const PARCEL_BYTES_MAX: usize = 320 << 20;

/// What a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// New to old: who it is.
    Hello,
    /// Old to new: the port, and what the node knows.
    Node,
    /// Old to new: some sessions.
    Sessions,
    /// New to old: they arrived.
    Taken,
    /// Old to new: all is said, and the store is closed.
    Yours,
    /// New to old: the store is open, all records are whole.
    Ready,
    /// Old to new: the sessions are yours. From here on the old one never uses them again.
    Go,
    /// New to old: they have their turns.
    Serving,
    /// New to old: it cannot, and why.
    Failed,
}

const STEPS: [Step; 9] = [
    Step::Hello,
    Step::Node,
    Step::Sessions,
    Step::Taken,
    Step::Yours,
    Step::Ready,
    Step::Go,
    Step::Serving,
    Step::Failed,
];

/// Before each parcel: a letter, the step, how many sockets, two bytes of nothing but zero, how many bytes.
const HEAD_BYTES: usize = 8;
const LETTER: u8 = b'G';

/// What came.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) step: Step,
    /// Wiped when dropped: there are keys in some.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) sockets: Vec<OwnedFd>,
}

/// One end.
#[derive(Debug)]
pub(super) struct Road(UnixStream);

impl Road {
    /// Both ends; the second is for the new process.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self(ours), theirs.into()))
    }

    /// The end that is this process's standard input.
    ///
    /// # Errors
    /// It is none: this process was not started to take over.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.peer_addr()?;
        Ok(Self(stream))
    }

    /// How long the next steps may take.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn within(&self, time: Duration) -> io::Result<&Self> {
        self.0.set_read_timeout(Some(time))?;
        self.0.set_write_timeout(Some(time))?;
        Ok(self)
    }

    /// Sends a parcel.
    ///
    /// # Errors
    /// The other end is gone, or takes nothing.
    pub(super) fn send(
        &self,
        step: Step,
        bytes: &[u8],
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let head = head(step, sockets.len(), bytes.len())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("more sockets than a parcel takes"));
        }
        // The sockets go with the first byte; a head of eight is sent whole or not at all.
        let head = [IoSlice::new(&head)];
        let sent = retry_on_intr(|| sendmsg(&self.0, &head, &mut control, SendFlags::NOSIGNAL))
            .map_err(|error| patient(error.into()))?;
        if sent != HEAD_BYTES {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (&self.0).write_all(bytes).map_err(patient)
    }

    /// The next parcel.
    ///
    /// # Errors
    /// The other end is gone, says nothing, or nothing right.
    pub(super) fn receive(&self) -> io::Result<Parcel> {
        let mut head = [0; HEAD_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let came = retry_on_intr(|| {
            let mut into = [IoSliceMut::new(&mut head)];
            recvmsg(&self.0, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
        })
        .map_err(|error| patient(error.into()))?;
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights);
            }
        }
        if came.bytes == 0 {
            return Err(patient(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(rest) = head.get_mut(came.bytes..) {
            (&self.0).read_exact(rest).map_err(patient)?;
        }
        let (step, count, length) = read_head(head)?;
        if count != sockets.len() {
            return Err(io::Error::other(
                "not all sockets arrived; raise the limit of open files (ulimit -n)",
            ));
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        (&self.0).read_exact(&mut bytes).map_err(patient)?;
        Ok(Parcel { step, bytes, sockets })
    }
}

/// A time that ran out or an end that is gone, as people read it.
fn patient(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "it took too long")
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the other process ended")
        }
        _ => error,
    }
}

fn head(step: Step, sockets: usize, bytes: usize) -> io::Result<[u8; HEAD_BYTES]> {
    let too_much = || io::Error::other("more than a parcel takes");
    let number = STEPS.iter().position(|one| *one == step).unwrap_or(STEPS.len());
    let number = u8::try_from(number).map_err(|_| too_much())?;
    let sockets = u8::try_from(sockets).map_err(|_| too_much())?;
    if usize::from(sockets) > SOCKETS_MAX || bytes > PARCEL_BYTES_MAX {
        return Err(too_much());
    }
    let [a, b, c, d] = u32::try_from(bytes).map_err(|_| too_much())?.to_le_bytes();
    Ok([LETTER, number, sockets, 0, a, b, c, d])
}

fn read_head(head: [u8; HEAD_BYTES]) -> io::Result<(Step, usize, usize)> {
    let wrong = || io::Error::other("the other process speaks another language");
    let [LETTER, step, sockets, 0, a, b, c, d] = head else { return Err(wrong()) };
    let step = *STEPS.get(usize::from(step)).ok_or_else(wrong)?;
    let bytes = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| wrong())?;
    if usize::from(sockets) > SOCKETS_MAX || bytes > PARCEL_BYTES_MAX {
        return Err(wrong());
    }
    Ok((step, sockets.into(), bytes))
}

/// The sessions at the front that make one parcel: their records, each behind its length.
pub(super) fn pack(sessions: &[Frozen]) -> (usize, Zeroizing<Vec<u8>>) {
    let mut count = 0;
    let mut length = 0;
    for one in sessions.iter().take(SOCKETS_MAX) {
        let more = LENGTH_BYTES + one.record.encoded_len();
        if count > 0 && length + more > PARCEL_BYTES_WANTED {
            break;
        }
        (count, length) = (count + 1, length + more);
    }
    // As long as it becomes, or growing would leave keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for one in sessions.iter().take(count) {
        let length = u32::try_from(one.record.encoded_len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        one.record.encode_raw(&mut *bytes);
    }
    (count, bytes)
}

/// The records in a parcel, whole.
///
/// # Errors
/// They are not what [`pack`] makes.
pub(super) fn unpack(mut bytes: &[u8]) -> Result<Vec<Zeroizing<SessionRecord>>, Damaged> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (first, rest) = split(bytes).ok_or(Damaged("it is cut off"))?;
        records.push(SessionRecord::read(first)?);
        bytes = rest;
    }
    Ok(records)
}

/// The first of several records, and the others.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::handover::WhoRecord;
    use crate::session::Carrier;

    /// Bytes of a record that says as little as a record can: two keys of 32, each behind a head of 2, and
    /// who it is in 2.
    const PLAIN: usize = 2 * (2 + 32) + 2;
    /// What stands before the first half of a frame in a record at most: its number in 2, its length in 3.
    const HALF_READ_HEAD_MAX: usize = 5;

    fn road() -> (Road, Road) {
        let (ours, theirs) = Road::pair().unwrap();
        (ours, Road(theirs.into()))
    }

    /// A record of so many bytes.
    fn record(length: usize) -> Zeroizing<SessionRecord> {
        let mut record = SessionRecord {
            seal_key: vec![1; 32],
            open_key: vec![2; 32],
            who: WhoRecord::Device.into(),
            ..SessionRecord::default()
        };
        while let more @ 1.. = length - record.encoded_len() {
            // Up to the last bytes, since the length of the length is not known before.
            let grown = record.half_read.len() + more.saturating_sub(HALF_READ_HEAD_MAX).max(1);
            record.half_read.resize(grown, 3);
        }
        Zeroizing::new(record)
    }

    fn frozen(length: usize) -> Frozen {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(port.local_addr().unwrap()).unwrap();
        Frozen { ordinal: 0, stream: Carrier::System(stream), record: Box::new(record(length)) }
    }

    #[test]
    fn a_parcel_arrives_with_its_sockets() {
        let (old, new) = road();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        old.send(Step::Node, b"what it knows", &[port.as_fd()]).unwrap();
        old.send(Step::Go, b"", &[]).unwrap();
        let parcel = new.receive().unwrap();
        assert_eq!(
            (parcel.step, parcel.bytes.as_slice()),
            (Step::Node, b"what it knows".as_slice())
        );
        let arrived = TcpListener::from(parcel.sockets.into_iter().next().unwrap());
        assert_eq!(arrived.local_addr().unwrap(), port.local_addr().unwrap());
        assert_eq!(new.receive().unwrap().step, Step::Go);
        drop(old);
        for gone in [new.receive().map(drop), new.send(Step::Ready, b"", &[])] {
            let gone = gone.unwrap_err();
            assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(gone.to_string(), "the other process ended");
        }
    }

    #[test]
    fn so_many_sockets_and_no_more() {
        let (old, new) = road();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = [port.as_fd(); SOCKETS_MAX + 1];
        old.send(Step::Sessions, b"", &sockets[..SOCKETS_MAX]).unwrap();
        assert_eq!(new.receive().unwrap().sockets.len(), SOCKETS_MAX);
        assert!(old.send(Step::Sessions, b"", &sockets).is_err());
    }

    #[test]
    fn every_step_has_its_number_and_what_is_no_head_is_refused() {
        for step in STEPS {
            let head = head(step, 3, 1 << 20).unwrap();
            assert_eq!(read_head(head).unwrap(), (step, 3, 1 << 20));
        }
        let good = head(Step::Go, 0, 0).unwrap();
        for (at, value) in [(0, b'H'), (1, 9), (2, 65), (3, 1), (7, 0xff)] {
            let mut wrong = good;
            wrong[at] = value;
            assert!(read_head(wrong).is_err(), "{at}");
        }
        assert!(head(Step::Node, 0, PARCEL_BYTES_MAX).is_ok());
        assert!(head(Step::Node, 0, PARCEL_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn records_come_apart_as_they_were_put_together_and_a_parcel_is_full_at_last() {
        let sessions = [frozen(PLAIN), frozen(PLAIN + 100), frozen(PLAIN + 300)];
        let (count, bytes) = pack(&sessions);
        let records = unpack(&bytes).unwrap();
        assert_eq!(count, 3);
        assert!(records.iter().zip(&sessions).all(|(record, one)| *record == *one.record));
        assert!(unpack(&bytes[..bytes.len() - 1]).is_err());
        let half = PARCEL_BYTES_WANTED / 2 - LENGTH_BYTES;
        let large = [frozen(half), frozen(half), frozen(PLAIN)];
        assert_eq!(pack(&large).0, 2, "two fill it");
        let larger = [frozen(half), frozen(half + 1), frozen(PLAIN)];
        assert_eq!(pack(&larger).0, 1, "a byte more does not fit");
        let alone = [frozen(PARCEL_BYTES_WANTED), frozen(PLAIN)];
        assert_eq!(pack(&alone).0, 1, "one that is larger goes alone");
        let many: Vec<_> = (0..=SOCKETS_MAX).map(|_| frozen(PLAIN)).collect();
        assert_eq!(pack(&many).0, SOCKETS_MAX);
    }

    #[test]
    fn what_is_no_row_of_records_is_refused() {
        let (_, good) = pack(&[frozen(PLAIN), frozen(PLAIN)]);
        let first = LENGTH_BYTES + PLAIN;
        assert_eq!(unpack(&[]).unwrap().len(), 0);
        for length in 1..good.len() {
            assert_eq!(unpack(&good[..length]).is_ok(), length == first, "{length}");
        }
        for length in [1, u32::MAX, u32::MAX >> 1] {
            assert!(unpack(&length.to_le_bytes()).is_err(), "{length} bytes that are not there");
        }
        let mut nobody = frozen(PLAIN);
        nobody.record.who = 0;
        let said = unpack(&pack(&[frozen(PLAIN), nobody]).1).unwrap_err();
        assert_eq!(said, Damaged("nobody speaks on it"), "what is no session is no row either");
    }

    #[test]
    fn more_sockets_than_a_parcel_says_or_fewer_are_refused() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        for (said, sent) in [(2, 1), (0, 1), (1, 0)] {
            let (old, new) = road();
            let head = head(Step::Sessions, said, 0).unwrap();
            let sockets = vec![port.as_fd(); sent];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(sent == 0 || control.push(SendAncillaryMessage::ScmRights(&sockets)));
            sendmsg(&old.0, &[IoSlice::new(&head)], &mut control, SendFlags::NOSIGNAL).unwrap();
            assert!(new.receive().is_err(), "{said} said, {sent} sent");
        }
    }

    #[test]
    fn who_says_nothing_is_waited_for_so_long() {
        let (old, _new) = road();
        let none = old.within(Duration::from_millis(1)).unwrap().receive();
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
