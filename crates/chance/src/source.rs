//! The C library's function `getrandom`, in place of the C library's own.

use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;

use crate::fill;

/// Fills `length` bytes at `out` and returns how many it filled: all of them, whatever the flags ask.
///
/// # Safety
/// `out` is valid for writes of `length` bytes, or `length` is 0: what the C library demands as well.
#[allow(unsafe_code, reason = "the one way to be asked instead of the C library; in tests alone")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(out: *mut u8, length: usize, _flags: u32) -> isize {
    if length > 0 {
        // SAFETY: the caller's promise. The memory may not be initialised, so it is written first and read
        // never before: a byte of any value is a `u8`.
        let out = unsafe {
            out.write_bytes(0, length);
            std::slice::from_raw_parts_mut(out, length)
        };
        if !fill(out) {
            from_system(out);
        }
    }
    length.cast_signed()
}

/// Chance from the kernel. Without it nothing may go on, and nobody above could be told.
fn from_system(out: &mut [u8]) {
    static URANDOM: OnceLock<Option<File>> = OnceLock::new();
    let file = URANDOM.get_or_init(|| File::open("/dev/urandom").ok());
    let filled = file.as_ref().is_some_and(|mut file| file.read_exact(out).is_ok());
    if !filled {
        std::process::abort();
    }
}
