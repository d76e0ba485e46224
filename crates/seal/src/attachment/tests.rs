//! A file sealed and opened again, and everything that may happen to it in between.

use sha2::{Digest, Sha256};

use super::layout::Layout;
use super::*;

/// A file that is no run of one byte.
fn file(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn key(byte: u8) -> FileKey {
    FileKey::from_bytes(&[byte; 32])
}

/// The pieces that a sealer gives for the rest of a file, and what opens it.
fn seal_rest(mut sealer: Sealer, file: &[u8]) -> (Vec<Vec<u8>>, Pointer) {
    let mut rest = &file[usize::try_from(sealer.resumes_at()).unwrap()..];
    let mut pieces = Vec::new();
    while let Some(wanted) = sealer.wants() {
        let mut piece = Vec::new();
        sealer.push(rest.split_off(..wanted).unwrap(), &mut piece).unwrap();
        assert!(piece.len() <= HEADER_BYTES + PIECE_BYTES_MAX);
        pieces.push(piece);
    }
    assert!(rest.is_empty());
    (pieces, sealer.finish().unwrap())
}

fn seal(file: &[u8]) -> (Vec<u8>, Pointer) {
    let sealer = Sealer::with_prefix(key(7), file.len() as u64, [9; PREFIX_BYTES]).unwrap();
    let (pieces, pointer) = seal_rest(sealer, file);
    (pieces.concat(), pointer)
}

fn open(mut opener: Opener, mut sealed: &[u8]) -> Result<Vec<u8>, AttachmentError> {
    let mut file = Vec::new();
    while let Some(wanted) = opener.wants() {
        let piece = sealed.split_off(..wanted.min(sealed.len())).unwrap();
        opener.push(piece, &mut file)?;
    }
    opener.finish().map(|()| file)
}

fn open_all(pointer: &Pointer, sealed: &[u8]) -> Result<Vec<u8>, AttachmentError> {
    open(Opener::new(pointer).unwrap(), sealed)
}

/// Sizes around everything that steps: empty, the least padding, a chunk, and two of them padded.
const SIZES: [usize; 10] = [
    0,
    1,
    1_023,
    1_024,
    1_025,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    5 * CHUNK_BYTES + 3,
];

#[test]
fn every_size_round_trips_and_its_length_is_known_before() {
    for size in SIZES {
        let file = file(size);
        let (sealed, pointer) = seal(&file);
        assert_eq!(sealed.len() as u64, pointer.sealed_bytes().unwrap(), "{size}");
        assert_eq!(pointer.digest, *Sha256::digest(&sealed), "{size}");
        let mut digest = FileDigest::default();
        sealed.chunks(1_000).for_each(|piece| digest.update(piece));
        assert_eq!(digest.finish(), pointer.digest, "{size}");
        assert_eq!(open_all(&pointer, &sealed), Ok(file), "{size}");
    }
}

#[test]
fn lengths_tell_little() {
    assert_eq!(sealed_bytes(0), sealed_bytes(1_024), "the least");
    assert_ne!(sealed_bytes(1_024), sealed_bytes(1_025));
    assert_eq!(sealed_bytes(300_000_000), sealed_bytes(300_100_000));
    for size in [1_024, 70_000, 1 << 20, 300_000_000, 1 << 40] {
        let sealed = sealed_bytes(size).unwrap();
        assert!(sealed >= size && sealed <= size * 112 / 100 + 64, "{size} -> {sealed}");
    }
}

#[test]
fn both_sides_of_the_largest_file() {
    assert!(Layout::new(ATTACHMENT_BYTES_MAX).unwrap().chunks() < u32::MAX / 2);
    assert_eq!(sealed_bytes(ATTACHMENT_BYTES_MAX + 1), Err(AttachmentError::TooLong));
    assert!(Sealer::new(key(1), ATTACHMENT_BYTES_MAX).is_ok());
    assert_eq!(
        Sealer::new(key(1), ATTACHMENT_BYTES_MAX + 1).unwrap_err(),
        AttachmentError::TooLong
    );
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let (sealed, pointer) = seal(&file(2 * CHUNK_BYTES + 5));
    let chunk = |n| usize::try_from(Opener::offset_of(n)).unwrap();
    for length in [0, 5, HEADER_BYTES, chunk(1) - 1, chunk(1), chunk(2), sealed.len() - 1] {
        let cut = open_all(&pointer, &sealed[..length]);
        assert_eq!(cut, Err(AttachmentError::Truncated), "{length}");
    }
    // Cut between two chunks, by a server that also lies about the length: the end has a mark.
    let shorter = Pointer { plain_bytes: CHUNK_BYTES as u64, ..pointer };
    assert_eq!(open_all(&shorter, &sealed[..chunk(1)]), Err(AttachmentError::Forged));
}

#[test]
fn swapped_repeated_and_foreign_chunks_are_refused() {
    let (sealed, pointer) = seal(&file(4 * CHUNK_BYTES));
    let chunk = |n: u32| {
        let start = usize::try_from(Opener::offset_of(n)).unwrap();
        start..start + PIECE_BYTES_MAX
    };
    let (first, second) = (sealed[chunk(1)].to_vec(), sealed[chunk(2)].to_vec());
    let mut swapped = sealed.clone();
    swapped[chunk(1)].copy_from_slice(&second);
    swapped[chunk(2)].copy_from_slice(&first);
    assert_eq!(open_all(&pointer, &swapped), Err(AttachmentError::Forged), "swapped");
    let mut repeated = sealed.clone();
    repeated[chunk(2)].copy_from_slice(&first);
    assert_eq!(open_all(&pointer, &repeated), Err(AttachmentError::Forged), "repeated");
    let sealer = Sealer::with_prefix(key(8), pointer.plain_bytes, [9; PREFIX_BYTES]).unwrap();
    let (pieces, _) = seal_rest(sealer, &file(4 * CHUNK_BYTES));
    let mut foreign = sealed;
    foreign[chunk(2)].copy_from_slice(&pieces[2]);
    assert_eq!(open_all(&pointer, &foreign), Err(AttachmentError::Forged), "of another file");
}

#[test]
fn any_changed_bit_is_noticed_before_anything_of_its_chunk_is_given_out() {
    let (sealed, pointer) = seal(&file(CHUNK_BYTES + 100));
    for at in (0..sealed.len()).step_by(997).chain([0, 1, 5, 11, 12, sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let expected = if at == 0 { AttachmentError::Newer } else { AttachmentError::Forged };
        assert_eq!(open_all(&pointer, &changed), Err(expected), "{at}");
    }
    let mut opener = Opener::new(&pointer).unwrap();
    let mut out = b"before".to_vec();
    opener.push(&sealed[..HEADER_BYTES], &mut out).unwrap();
    let mut piece = sealed[HEADER_BYTES..][..PIECE_BYTES_MAX].to_vec();
    piece[0] ^= 1;
    assert_eq!(opener.push(&piece, &mut out), Err(AttachmentError::Forged));
    assert_eq!(out, b"before");
}

#[test]
fn another_file_of_the_same_key_and_length_is_refused_by_the_digest() {
    let (_, pointer) = seal(&file(2_000));
    let mut other = file(2_000);
    other[77] ^= 1;
    let (sealed, _) = seal(&other);
    assert_eq!(open_all(&pointer, &sealed), Err(AttachmentError::WrongDigest));
}

#[test]
fn padding_holds_nothing() {
    // A file of 1,024 bytes that ends in something, told to be one byte shorter.
    let (sealed, pointer) = seal(&[1; 1_024]);
    let shorter = Pointer { plain_bytes: 1_023, ..pointer };
    assert_eq!(open_all(&shorter, &sealed), Err(AttachmentError::Forged));
}

#[test]
fn a_piece_of_another_length_is_the_callers_mistake() {
    let (sealed, pointer) = seal(&file(10));
    let mut sealer = Sealer::new(key(7), 10).unwrap();
    assert_eq!(sealer.push(&[0; 9], &mut Vec::new()), Err(AttachmentError::WrongPiece));
    assert_eq!(sealer.push(&[0; 11], &mut Vec::new()), Err(AttachmentError::WrongPiece));
    assert!(matches!(sealer.finish(), Err(AttachmentError::Truncated)));
    let mut opener = Opener::new(&pointer).unwrap();
    assert_eq!(opener.push(&sealed, &mut Vec::new()), Err(AttachmentError::WrongPiece));
    opener.push(&sealed[..HEADER_BYTES], &mut Vec::new()).unwrap();
    assert_eq!(opener.finish(), Err(AttachmentError::Truncated), "before its end");
}

#[test]
fn sealing_resumes_at_any_chunk_and_gives_the_same_bytes() {
    let file = file(3 * CHUNK_BYTES + 17);
    let sealer = Sealer::with_prefix(key(7), file.len() as u64, [9; PREFIX_BYTES]).unwrap();
    let (whole, pointer) = seal_rest(sealer, &file);
    for there in 1..=whole.len() {
        let mut sealer = Sealer::resume(key(7), file.len() as u64, &whole[0]).unwrap();
        whole[1..there].iter().for_each(|piece| sealer.absorb(piece).unwrap());
        let (rest, resumed) = seal_rest(sealer, &file);
        assert_eq!(rest, whole[there..], "{there}");
        assert_eq!(resumed, pointer, "{there}");
    }
    let mut sealer = Sealer::resume(key(7), file.len() as u64, &whole[0]).unwrap();
    assert_eq!(sealer.absorb(&whole[2]), Err(AttachmentError::Forged), "not the next");
    assert_eq!(sealer.absorb(&whole[1][1..]), Err(AttachmentError::Truncated));
    assert_eq!(sealer.absorb(&whole[1]), Ok(()), "a refused piece was not taken");
    let other = Sealer::resume(key(8), file.len() as u64, &whole[0]);
    assert_eq!(other.unwrap_err(), AttachmentError::Forged, "another key");
}

#[test]
fn opening_resumes_at_any_chunk() {
    let file = file(3 * CHUNK_BYTES + 17);
    let (sealed, pointer) = seal(&file);
    let chunks = Layout::new(file.len() as u64).unwrap().chunks();
    for chunk in 0..chunks {
        let at = usize::try_from(Opener::offset_of(chunk)).unwrap();
        let there = [&sealed[..HEADER_BYTES], &sealed[at..]].concat();
        let rest = open(Opener::at_chunk(&pointer, chunk).unwrap(), &there).unwrap();
        assert_eq!(rest, file[(chunk as usize * CHUNK_BYTES).min(file.len())..], "{chunk}");
        let cut = open(Opener::at_chunk(&pointer, chunk).unwrap(), &there[..there.len() - 1]);
        assert_eq!(cut, Err(AttachmentError::Truncated), "{chunk}");
    }
    assert_eq!(Opener::at_chunk(&pointer, chunks).unwrap_err(), AttachmentError::WrongPiece);
}

#[test]
fn nothing_secret_is_printed() {
    let (_, pointer) = seal(&file(10));
    assert!(format!("{pointer:?}").contains("FileKey(..)"));
    assert_ne!(FileKey::generate().unwrap(), FileKey::generate().unwrap());
}

/// Frozen, and computed apart from this code: `tests/interop/make_attachment.py`.
#[test]
fn the_bytes_are_those_of_another_implementation() {
    let digest_of = |size| {
        let hex = seal(&file(size)).1.digest;
        hex.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    for (size, digest) in FROZEN {
        assert_eq!(digest_of(size), digest, "{size}");
    }
}

/// Length of the file, SHA-256 of its sealed form under key 07.., prefix 09...
const FROZEN: [(usize, &str); 3] = [
    (0, "1da310ebb36b8f488df2c0f5184b7b6bf9a54c08299e56ce5b52b0c42d684f16"),
    (70_000, "98291a1bb19c3c58e8de85a32b44b9daf2a7e2d53c44c9c1e3fb060c26cda6cf"),
    (327_683, "9f660991cf0784e634c81d2419d08e6adad998063a766e83bf31f43fbc76d626"),
];
