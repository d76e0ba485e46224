//! What happened in a case, as a number: equal if and only if everything was the same, in the same order.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transcript {
    hash: u64,
    entries: u64,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} of {} entries", self.hash, self.entries)
    }
}

thread_local! {
    static TRANSCRIPT: Cell<Transcript> = const { Cell::new(Transcript { hash: 0, entries: 0 }) };
    /// Set: each entry is printed.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
    static TIME_MS: Cell<u64> = const { Cell::new(0) };
}

/// Begins a case in this thread.
pub fn begin(shown: bool) {
    TRANSCRIPT.set(Transcript::default());
    SHOWN.set(shown);
    TIME_MS.set(0);
}

/// What happened so far in this thread's case.
pub fn transcript() -> Transcript {
    TRANSCRIPT.get()
}

/// The world's time, for what is printed and hashed.
pub fn at(now_ms: u64) {
    TIME_MS.set(now_ms);
}

/// Something happened: what and to whom, and its bytes.
pub fn note(what: fmt::Arguments<'_>, bytes: &[u8]) {
    let before = TRANSCRIPT.get();
    let text = what.to_string();
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(before.hash);
    hasher.write_u64(TIME_MS.get());
    hasher.write(text.as_bytes());
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
    let now = Transcript { hash: hasher.finish(), entries: before.entries + 1 };
    TRANSCRIPT.set(now);
    if SHOWN.get() {
        println!("{:>9} ms  {text}: {} bytes  {:016x}", TIME_MS.get(), bytes.len(), now.hash);
    }
}
