//! Standard input as batches of lines.

use std::io::{self, Read};

use crate::failure::Failure;

/// Bytes read at once. What is there is sent at once, so that slow input is not held back.
const CHUNK_BYTES: usize = 64 * 1024;

/// Lines in one commit of the outbox: a disk sync then costs each line little.
const BATCH_LINES: usize = 256;

/// Longest line, bytes. A message holds far less; this bounds what input without line ends makes
/// us keep.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Whole lines without their ends, or why there are no more.
pub(super) type Batch = Result<Vec<String>, Failure>;

/// Reads to the end, giving batches to `take` until it returns false. Only `\n` ends a line; a
/// last line without it counts. Lines before trouble are given before the trouble.
pub(super) fn read_lines(mut from: impl Read, mut take: impl FnMut(Batch) -> bool) {
    let mut lines = Splitter::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let (batch, is_end) = match from.read(&mut chunk) {
            Ok(0) => (lines.rest(), true),
            Ok(bytes) => (lines.split(chunk.get(..bytes).unwrap_or_default()), false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                take(Err(Failure::io("cannot read standard input", &error)));
                return;
            }
        };
        let (texts, trouble) = batch;
        for batch in texts.chunks(BATCH_LINES) {
            if !take(Ok(batch.to_vec())) {
                return;
            }
        }
        if let Some(trouble) = trouble {
            take(Err(trouble));
            return;
        }
        if is_end {
            return;
        }
    }
}

/// Cuts chunks into lines, keeping what has no end yet.
#[derive(Default)]
struct Splitter {
    unfinished: Vec<u8>,
    lines: u64,
}

impl Splitter {
    fn split(&mut self, chunk: &[u8]) -> (Vec<String>, Option<Failure>) {
        let mut texts = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if self.unfinished.len() > LINE_BYTES_MAX {
                let line = self.lines + 1;
                return (
                    texts,
                    Some(Failure::Other(format!(
                        "line {line} is longer than {LINE_BYTES_MAX} bytes: lines before it were sent; break it and send from there"
                    ))),
                );
            }
            if self.unfinished.last() == Some(&b'\n') {
                self.unfinished.pop();
                match self.line() {
                    Ok(text) => texts.push(text),
                    Err(trouble) => return (texts, Some(trouble)),
                }
            }
        }
        (texts, None)
    }

    fn rest(&mut self) -> (Vec<String>, Option<Failure>) {
        if self.unfinished.is_empty() {
            return (Vec::new(), None);
        }
        match self.line() {
            Ok(text) => (vec![text], None),
            Err(trouble) => (Vec::new(), Some(trouble)),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        self.lines += 1;
        String::from_utf8(std::mem::take(&mut self.unfinished)).map_err(|_| {
            Failure::Other(format!(
                "line {} is not UTF-8: lines before it were sent; convert the rest (iconv -t UTF-8) and send from there",
                self.lines
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Gives its pieces one read at a time, as a pipe does.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            to[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<Failure>) {
        let (mut texts, mut trouble) = (Vec::new(), None);
        read_lines(Pieces(pieces.iter().map(|p| p.to_vec()).collect()), |batch| {
            match batch {
                Ok(batch) => {
                    assert!(!batch.is_empty() && batch.len() <= BATCH_LINES);
                    texts.extend(batch);
                }
                Err(failure) => trouble = Some(failure),
            }
            true
        });
        (texts, trouble)
    }

    #[test]
    fn blank_lines_count_and_the_last_needs_no_end() {
        assert_eq!(read(&[b"one\n\nth", b"ree\r\nfour"]).0, ["one", "", "three\r", "four"]);
        assert_eq!(read(&[b"one\n"]).0, ["one"]);
        assert_eq!(read(&[]).0, [""; 0]);
        assert_eq!(read(&[b"\n"]).0, [""]);
    }

    #[test]
    fn a_character_may_be_cut_by_a_read() {
        let bytes = "å你\n".as_bytes();
        assert_eq!(read(&[&bytes[..1], &bytes[1..3], &bytes[3..]]).0, ["å你"]);
    }

    #[test]
    fn what_stands_before_trouble_is_sent() {
        let (texts, trouble) = read(&[b"one\ntwo\n\xff\nfour\n"]);
        assert_eq!(texts, ["one", "two"]);
        assert!(trouble.unwrap().to_string().starts_with("line 3 is not UTF-8"));
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let piece = vec![b'a'; 16 * 1024];
        let pieces: Vec<&[u8]> =
            std::iter::repeat_n(&piece[..], LINE_BYTES_MAX / piece.len()).collect();
        let (texts, trouble) = read(&pieces);
        assert_eq!((texts.len(), trouble), (1, None));
        let over: Vec<&[u8]> = pieces.into_iter().chain([&b"b"[..]]).collect();
        assert!(read(&over).1.unwrap().to_string().starts_with("line 1 is longer"));
    }

    #[test]
    fn reading_stops_when_nobody_takes() {
        let mut taken = 0;
        read_lines(Pieces(vec![b"a\n".to_vec(); 3].into()), |_| {
            taken += 1;
            false
        });
        assert_eq!(taken, 1);
    }

    proptest! {
        #[test]
        fn lines_joined_are_the_input(text in "[a你\n]{0,2000}") {
            let text = text + "\n";
            let (texts, trouble) = read(&text.as_bytes().chunks(7).collect::<Vec<_>>());
            prop_assert_eq!(trouble, None);
            prop_assert_eq!(texts.join("\n") + "\n", text);
        }
    }
}
