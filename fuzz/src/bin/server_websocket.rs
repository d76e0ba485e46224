//! The server's WebSocket frames: a stream of them in pieces of any size, and between two pieces it is what
//! another process was given of it. The first eight bytes say how large the pieces are.

#![no_main]

use frames::{Frames, Violation};
use libfuzzer_sys::fuzz_target;

// The file itself, not the crate: it needs nothing of the server, and the server shows it to nobody.
#[path = "../../../crates/server/src/websocket/frames.rs"]
#[allow(dead_code, reason = "the server says messages of its own")]
mod frames;

/// What messages carry when the stream is read in one piece, and what stops it.
fn expected(mut rest: &[u8]) -> (Vec<u8>, bool, bool) {
    let (mut heard, mut in_message) = (Vec::new(), false);
    loop {
        let &[first, second, ref after @ ..] = rest else { return (heard, false, false) };
        let (kind, is_last, short) = (first & 15, first & 128 != 0, usize::from(second & 127));
        let is_control = kind >= 8;
        let is_known = matches!(kind, 0 | 2 | 8 | 9 | 10) && first & 0x70 == 0 && second & 128 != 0;
        if !is_known || is_control && (short > 125 || !is_last) {
            return (heard, true, false);
        }
        let length_bytes = [0, 2, 8][short.saturating_sub(125)];
        let length = after.get(..length_bytes).map(|length| match length_bytes {
            0 => short as u64,
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        });
        let mask = after.get(length_bytes..).and_then(|after| after.first_chunk::<4>());
        let (Some(length), Some(mask)) = (length, mask) else { return (heard, false, false) };
        if length >> 63 == 1 || !is_control && in_message != (kind == 0) {
            return (heard, true, false);
        }
        let there = &after[length_bytes + 4..];
        let n = usize::try_from(length).unwrap_or(usize::MAX).min(there.len());
        let payload = there[..n].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key);
        let is_whole = n as u64 == length;
        if !is_control {
            heard.extend(payload);
            in_message = !is_last;
        } else if is_whole && kind == 8 {
            return (heard, n == 1, n != 1);
        }
        if !is_whole {
            return (heard, false, false);
        }
        rest = &there[n..];
    }
}

/// As another process goes on with it.
fn moved(frames: Frames, stream: &mut Vec<u8>) -> Frames {
    stream.splice(0..0, frames.begun);
    Frames { begun: Vec::new(), ..frames }
}

fuzz_target!(|data: &[u8]| {
    let Some((sizes, stream)) = data.split_first_chunk::<8>() else { return };
    let (mut rest, mut frames, mut heard) = (stream.to_vec(), Frames::default(), Vec::new());
    let mut wrong: Option<Violation> = None;
    for size in sizes.iter().cycle() {
        if rest.is_empty() || wrong.is_some() {
            break;
        }
        let mut piece = rest;
        rest = piece.split_off(usize::from(*size).max(1).min(piece.len()));
        match frames.take(&mut piece) {
            Ok(n) => heard.extend_from_slice(&piece[..n]),
            Err(violation) => wrong = Some(violation),
        }
        assert!(frames.begun.len() <= 131 && frames.answer.len() <= 127);
        // A piece of more than what is begun goes on elsewhere: smaller ones would never end.
        if piece.len() > 131 {
            frames = moved(frames, &mut rest);
        }
    }
    let (whole, is_wrong, is_over) = expected(stream);
    assert_eq!((wrong.is_some(), frames.is_over), (is_wrong, is_over));
    // What stands before a violation in its own piece is not given.
    assert!(if is_wrong { whole.starts_with(&heard) } else { whole == heard });
});
