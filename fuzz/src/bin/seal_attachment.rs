//! A sealed file as a server may return it: any bytes, opened under a pointer that was believed.

#![no_main]

use godwit_seal::{AttachmentError, FileKey, Opener, Pointer, Sealer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, sealed)) = bytes.split_first_chunk::<3>() else { return };
    let key = FileKey::from_bytes(&[7; 32]);
    // Up to 512 KiB: eight chunks.
    let plain_bytes = u64::from(u32::from_be_bytes([0, length[0] & 7, length[1], length[2]]));
    let pointer = Pointer { digest: [0; 32], plain_bytes, key: key.clone() };
    let mut opener = Opener::new(&pointer).unwrap();
    let (mut rest, mut file) = (sealed, Vec::new());
    let verdict = loop {
        let Some(wanted) = opener.wants() else { break opener.finish() };
        let piece = rest.split_off(..wanted.min(rest.len())).unwrap();
        let before = file.len();
        if let Err(error) = opener.push(piece, &mut file) {
            assert_eq!(file.len(), before, "nothing comes out of a bad piece");
            break Err(error);
        }
    };
    assert!(verdict.is_err(), "nobody sealed this under the digest of zeros");
    assert!(file.len() as u64 <= plain_bytes);

    // A broken-off sealing is taken up only where its own key sealed it.
    if let Err(error) = Sealer::resume(key, plain_bytes, sealed) {
        assert_ne!(error, AttachmentError::WrongPiece);
    }
});
