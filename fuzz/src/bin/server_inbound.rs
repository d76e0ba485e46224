//! The server's reassembly: a stream of frames in pieces of any size, a few frames at a time. The first
//! eight bytes say how large the pieces are, the ninth how many frames a turn takes.

#![no_main]

use godwit_wire::frame::{Header, decode_header};
use inbound::{Inbound, Piece, Stop};
use libfuzzer_sys::fuzz_target;

// The file itself, not the crate: it needs nothing of the server, and the server shows it to nobody.
#[path = "../../../crates/server/src/session/inbound.rs"]
#[allow(dead_code, reason = "the bounds of a turn are the session's")]
mod inbound;

/// Keepalives are `None`.
type Heard = Vec<Option<Vec<u8>>>;

/// What is in the stream when it is read in one piece, and whether it ends in what nobody sends.
fn expected(mut rest: &[u8]) -> (Heard, bool) {
    let mut heard = Vec::new();
    loop {
        match decode_header(rest) {
            Err(_) => return (heard, true),
            Ok(Header::Incomplete) => return (heard, false),
            Ok(Header::Keepalive { consumed }) => {
                heard.push(None);
                rest = &rest[consumed..];
            }
            Ok(Header::Frame { header, body }) => {
                let Some(frame) = rest.get(header..header + body) else { return (heard, false) };
                heard.push(Some(frame.to_vec()));
                rest = &rest[header + body..];
            }
        }
    }
}

/// One turn.
fn turn(inbound: &mut Inbound, fresh: &mut [u8], frames: u32, heard: &mut Heard) -> bool {
    let before = heard.len();
    let mut budget = frames;
    let fed = inbound.feed(fresh, &mut budget, |piece| {
        heard.push(match piece {
            Piece::Keepalive => None,
            Piece::Frame(frame) => Some(frame.to_vec()),
        });
        Ok::<(), ()>(())
    });
    assert_eq!(u32::try_from(heard.len() - before).unwrap() + budget, frames);
    match fed {
        Ok(()) => false,
        Err(Stop::Frame(_)) => true,
        Err(Stop::Taker(())) => unreachable!("it takes everything"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([sizes @ .., frames], stream)) = data.split_first_chunk::<9>() else { return };
    let frames = u32::from(*frames).max(1);
    let mut sizes = sizes.iter().map(|size| usize::from(*size).max(1)).cycle();
    let (mut inbound, mut heard, mut wrong) = (Inbound::default(), Heard::new(), false);
    let mut rest = stream.to_vec();
    while !wrong && !rest.is_empty() {
        let later = rest.split_off(sizes.next().unwrap_or(1).min(rest.len()));
        wrong = turn(&mut inbound, &mut rest, frames, &mut heard);
        rest = later;
    }
    while !wrong && inbound.has_more() {
        wrong = turn(&mut inbound, &mut [], frames, &mut heard);
    }
    assert_eq!((heard, wrong), expected(stream));
});
