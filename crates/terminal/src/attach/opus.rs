//! Opus recordings in Ogg (RFC 3533, RFC 7845), without decoding: how long they are from the positions
//! of their pages, how loud from the size of their packets. Opus spends more bytes where more is to be
//! heard; that is no measurement of loudness, and good enough to see where somebody speaks.

use std::io::{self, Read};

use godwit_client::WAVEFORM_STEPS_MAX;

/// Positions of an Opus stream count samples at this rate, whatever was recorded.
const SAMPLES_PER_S: u64 = 48_000;

/// Bytes of a page's head before its table of segments.
const PAGE_HEAD_BYTES: usize = 27;

/// Packets that are looked at: 20 ms each, an hour and a half. What is longer has a waveform of its
/// beginning. 512 KB.
const PACKETS_MAX: usize = 262_144;

/// What a recording tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Recording {
    pub(super) duration_ms: u32,
    /// 64 steps, or fewer of a recording with fewer packets.
    pub(super) waveform: Vec<u8>,
}

/// Whether a file that begins so is Opus in Ogg.
pub(super) fn is_opus(head: &[u8]) -> bool {
    head.starts_with(b"OggS") && head.get(28..36) == Some(b"OpusHead")
}

/// Reads a recording page by page.
///
/// # Errors
/// It cannot be read, or is not made of whole pages.
pub(super) fn read(from: &mut impl Read) -> io::Result<Recording> {
    let (mut packets, mut packet) = (Vec::new(), 0_usize);
    let (mut stream, mut skipped, mut last) = (None, 0, 0);
    let mut body = Vec::new();
    while let Some(page) = next_page(from, &mut body)? {
        if stream.is_none() {
            stream = Some(page.stream);
            let pre_skip = body.get(10..12).and_then(|bytes| bytes.try_into().ok());
            skipped = u64::from(u16::from_le_bytes(pre_skip.unwrap_or_default()));
        }
        if stream != Some(page.stream) {
            continue; // of something else in the same file
        }
        // A page on which no packet ends has no position.
        if page.position != u64::MAX {
            last = page.position;
        }
        for segment in page.segments {
            packet += usize::from(segment);
            if segment < u8::MAX {
                if packets.len() < PACKETS_MAX {
                    packets.push(u16::try_from(packet).unwrap_or(u16::MAX));
                }
                packet = 0;
            }
        }
    }
    let duration_ms = last.saturating_sub(skipped).saturating_mul(1_000) / SAMPLES_PER_S;
    // The first two packets are the head and the tags.
    let sound = packets.get(2..).unwrap_or_default();
    Ok(Recording {
        duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        waveform: waveform(sound),
    })
}

struct Page {
    position: u64,
    stream: u32,
    segments: Vec<u8>,
}

/// The next page, its packets in `body`, at most 65,025 bytes; none at the end.
fn next_page(from: &mut impl Read, body: &mut Vec<u8>) -> io::Result<Option<Page>> {
    let mut head = [0; PAGE_HEAD_BYTES];
    match from.read(&mut head)? {
        0 => return Ok(None),
        read => from.read_exact(head.get_mut(read..).unwrap_or_default())?,
    }
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is not a whole Ogg file");
    let field = |range: std::ops::Range<usize>| head.get(range).unwrap_or_default();
    if field(0..4) != b"OggS" {
        return Err(broken());
    }
    let position = u64::from_le_bytes(field(6..14).try_into().map_err(|_| broken())?);
    let stream = u32::from_le_bytes(field(14..18).try_into().map_err(|_| broken())?);
    let mut segments = vec![0; usize::from(head.last().copied().unwrap_or(0))];
    from.read_exact(&mut segments)?;
    body.resize(segments.iter().map(|segment| usize::from(*segment)).sum(), 0);
    from.read_exact(body)?;
    Ok(Some(Page { position, stream, segments }))
}

/// The mean packet of each of 64 stretches, the largest as 255.
fn waveform(packets: &[u16]) -> Vec<u8> {
    let steps = packets.len().min(WAVEFORM_STEPS_MAX);
    let means: Vec<u64> = (0..steps)
        .map(|step| {
            let at = |step: usize| step * packets.len() / steps;
            let stretch = packets.get(at(step)..at(step + 1));
            let stretch = stretch.unwrap_or_default();
            let sum: u64 = stretch.iter().map(|size| u64::from(*size)).sum();
            sum / (stretch.len() as u64).max(1)
        })
        .collect();
    let most = means.iter().copied().max().unwrap_or(0).max(1);
    means.iter().map(|mean| u8::try_from(mean * 255 / most).unwrap_or(u8::MAX)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A page that ends at a position; each packet of so many bytes of `fill`.
    fn page(position: u64, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut segments = Vec::new();
        for packet in packets {
            segments.extend(std::iter::repeat_n(255, packet.len() / 255));
            segments.push(u8::try_from(packet.len() % 255).unwrap());
        }
        let mut page = b"OggS\0\0".to_vec();
        page.extend_from_slice(&position.to_le_bytes());
        page.extend_from_slice(&[0; 12]);
        page.push(u8::try_from(segments.len()).unwrap());
        page.extend_from_slice(&segments);
        packets.iter().for_each(|packet| page.extend_from_slice(packet));
        page
    }

    /// One second, quiet first and loud then.
    pub(in super::super) fn recording() -> Vec<u8> {
        let mut head = b"OpusHead\x01\x01".to_vec();
        head.extend_from_slice(&312_u16.to_le_bytes());
        head.extend_from_slice(&[0x80, 0xbb, 0, 0, 0, 0, 0]);
        let mut file = page(0, &[head]);
        file.extend(page(0, &[b"OpusTags".to_vec()]));
        file.extend(page(24_312, &vec![vec![1; 10]; 25]));
        file.extend(page(48_312, &vec![vec![1; 300]; 25]));
        file
    }

    #[test]
    fn a_recording_tells_its_length_and_where_it_is_loud() {
        let file = recording();
        assert!(is_opus(&file));
        let read = read(&mut file.as_slice()).unwrap();
        assert_eq!(read.duration_ms, 1_000);
        assert_eq!(read.waveform.len(), 50);
        assert!(read.waveform[..25].iter().all(|step| *step == 8));
        assert!(read.waveform[25..].iter().all(|step| *step == 255));
    }

    #[test]
    fn a_long_one_has_64_steps() {
        let packets: Vec<u16> = (0..1_000).collect();
        let wave = waveform(&packets);
        assert_eq!(wave.len(), WAVEFORM_STEPS_MAX);
        assert!(wave.is_sorted() && wave.last() == Some(&255));
        assert!(waveform(&[]).is_empty());
    }

    #[test]
    fn another_stream_in_the_same_file_is_passed_over() {
        let mut file = recording();
        let mut other = page(960_000, &[vec![1; 100]]);
        other[14] = 9;
        file.extend(other);
        assert_eq!(read(&mut file.as_slice()).unwrap().duration_ms, 1_000);
    }

    #[test]
    fn so_many_packets_are_looked_at_and_no_more() {
        for (more, is_heard) in [(0, true), (255, false)] {
            let mut file = page(0, &[b"OpusHead".to_vec()]);
            file.extend(page(0, &[b"OpusTags".to_vec()]));
            let mut quiet = PACKETS_MAX - 2 - 255 + more;
            while quiet > 0 {
                let packets = quiet.min(255);
                file.extend(page(48_000, &vec![vec![1; 1]; packets]));
                quiet -= packets;
            }
            file.extend(page(48_000, &vec![vec![1; 200]; 255]));
            let wave = read(&mut file.as_slice()).unwrap().waveform;
            assert_eq!(wave.len(), WAVEFORM_STEPS_MAX);
            assert_eq!(wave[0] < wave[WAVEFORM_STEPS_MAX - 1], is_heard);
        }
    }

    #[test]
    fn what_is_cut_or_no_ogg_does_not_panic() {
        let file = recording();
        for end in 0..file.len() {
            let _ = read(&mut &file[..end]);
        }
        assert!(read(&mut [b'x'; 100].as_slice()).is_err());
        assert!(!is_opus(b"OggS"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_pages_are_read_or_refused(
            at in 0_usize..200,
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ) {
            let mut file = recording();
            let at = at.min(file.len());
            file.splice(at..(at + bytes.len()).min(file.len()), bytes);
            if let Ok(recording) = read(&mut file.as_slice()) {
                proptest::prop_assert!(recording.waveform.len() <= WAVEFORM_STEPS_MAX);
            }
        }
    }
}
