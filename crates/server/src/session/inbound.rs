//! Bytes from the socket become frames. Whole frames are opened where they were read; only what is
//! incomplete, or beyond a turn's budget, is kept, boxed, until the next read.

use godwit_wire::frame::{FrameError, Header, decode_header};

/// Frames and bytes of one turn. The rest waits until the other sessions of the worker had theirs:
/// 64 frames of 100 B are about 0.1 ms.
pub(super) const TURN_FRAMES_MAX: u32 = 64;
/// Reads of one turn.
pub(super) const TURN_READS_MAX: u32 = 4;
/// Bytes of one turn, and of the worker's read buffer.
pub(super) const TURN_BYTES_MAX: usize = 64 * 1024;

/// What was cut off the front of the bytes.
pub(super) enum Piece<'a> {
    Keepalive,
    /// Ciphertext of a whole frame, without its header.
    Frame(&'a mut [u8]),
}

/// Why the cutting ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop<E> {
    /// Whoever takes the pieces wants no more.
    Taker(E),
    /// No right peer sends this.
    Frame(FrameError),
}

/// Bytes that wait for their rest or for the next turn.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Bytes at the front that are done.
    done: usize,
}

impl Inbound {
    /// Bytes that came together with the handshake, or that another process had kept.
    pub(super) fn starting_with(bytes: &[u8]) -> Self {
        let mut inbound = Self::default();
        inbound.keep(bytes);
        inbound
    }

    /// Whether nothing is kept: no frame has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// What is kept.
    pub(super) fn rest(&self) -> &[u8] {
        self.kept.as_deref().map_or(&[], Kept::rest)
    }

    /// Whether something is kept that may be a whole frame.
    pub(super) fn has_more(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| {
            let rest = kept.rest();
            match decode_header(rest) {
                Ok(Header::Incomplete) => false,
                Ok(Header::Frame { header, body }) => rest.len() >= header + body,
                Ok(Header::Keepalive { .. }) | Err(_) => true,
            }
        })
    }

    /// Cuts frames off what was kept and then off `fresh`, at most `budget` of them, and keeps what
    /// is left. `taker` sees them in order.
    pub(super) fn feed<E>(
        &mut self,
        mut fresh: &mut [u8],
        budget: &mut u32,
        mut taker: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        if let Some(mut kept) = self.kept.take() {
            loop {
                let done = cut(kept.rest_mut(), budget, &mut taker)?;
                kept.done += done;
                if *budget == 0 || kept.rest().is_empty() || fresh.is_empty() {
                    break;
                }
                let missing = missing(kept.rest()).map_err(Stop::Frame)?.min(fresh.len());
                let (head, tail) = std::mem::take(&mut fresh).split_at_mut(missing);
                kept.append(head);
                fresh = tail;
            }
            if !kept.rest().is_empty() {
                self.kept = Some(kept);
            }
        }
        if self.kept.is_none() {
            let done = cut(fresh, budget, &mut taker)?;
            fresh = fresh.get_mut(done..).unwrap_or_default();
        }
        self.keep(fresh);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept.get_or_insert_default().append(bytes);
        }
    }
}

impl Kept {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn rest_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.done..).unwrap_or_default()
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Gives whole frames to the taker; returns the bytes that they took.
fn cut<E>(
    bytes: &mut [u8],
    budget: &mut u32,
    taker: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<usize, Stop<E>> {
    let mut done = 0;
    while *budget > 0 {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        match decode_header(rest).map_err(Stop::Frame)? {
            Header::Incomplete => break,
            Header::Keepalive { consumed } => {
                done += consumed;
                taker(Piece::Keepalive).map_err(Stop::Taker)?;
            }
            Header::Frame { header, body } => {
                let Some(frame) = rest.get_mut(header..header + body) else { break };
                done += header + body;
                taker(Piece::Frame(frame)).map_err(Stop::Taker)?;
            }
        }
        *budget -= 1;
    }
    Ok(done)
}

/// Bytes that the first frame of `rest` lacks, at least 1.
fn missing(rest: &[u8]) -> Result<usize, FrameError> {
    Ok(match decode_header(rest)? {
        Header::Frame { header, body } => (header + body).saturating_sub(rest.len()).max(1),
        Header::Incomplete | Header::Keepalive { .. } => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_base::limits::FRAME_BYTES_MAX;
    use godwit_wire::frame::encode_header;

    fn frame(length: usize, fill: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_header(length, &mut bytes).unwrap();
        bytes.resize(bytes.len() + length, fill);
        bytes
    }

    /// Length and filling of each frame; a keepalive is (0, 0).
    fn feed(inbound: &mut Inbound, bytes: &[u8], mut budget: u32) -> Vec<(usize, u8)> {
        let mut seen = Vec::new();
        inbound
            .feed(&mut bytes.to_vec(), &mut budget, |piece| {
                seen.push(match piece {
                    Piece::Keepalive => (0, 0),
                    Piece::Frame(frame) => (frame.len(), frame[0]),
                });
                Ok::<(), ()>(())
            })
            .unwrap();
        seen
    }

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let stream =
            [frame(20, 1), vec![0], frame(300, 2), frame(FRAME_BYTES_MAX, 3), frame(16, 4)]
                .concat();
        let expected = [(20, 1), (0, 0), (300, 2), (FRAME_BYTES_MAX, 3), (16, 4)];
        for size in [1, 2, 3, 19, 21, 22, 400, 65_536, stream.len()] {
            let mut inbound = Inbound::default();
            let seen: Vec<_> =
                stream.chunks(size).flat_map(|part| feed(&mut inbound, part, 64)).collect();
            assert_eq!(seen, expected, "cut into {size}");
            assert!(inbound.kept.is_none(), "nothing is kept while nothing waits");
        }
    }

    #[test]
    fn what_a_turn_leaves_is_taken_by_the_next() {
        let mut inbound = Inbound::default();
        let stream: Vec<u8> = (0..10).flat_map(|n| frame(16, n)).collect();
        assert_eq!(feed(&mut inbound, &stream, 4).len(), 4);
        assert!(inbound.has_more());
        assert_eq!(
            feed(&mut inbound, &frame(16, 10), 5),
            (4..9).map(|n| (16, n)).collect::<Vec<_>>()
        );
        assert_eq!(feed(&mut inbound, &[], 64), [(16, 9), (16, 10)]);
        assert!(!inbound.has_more());
    }

    #[test]
    fn a_wrong_length_stops_at_once() {
        let mut inbound = Inbound::default();
        let stop = inbound.feed(&mut [0xff; 3], &mut 9, |_| Ok::<(), ()>(()));
        assert_eq!(stop, Err(Stop::Frame(FrameError::TooLarge)));
        assert_eq!(feed(&mut Inbound::starting_with(&[0x10]), &[7; 16], 9), [(16, 7)]);
    }
}
