//! For tests alone: a case whose keys, ids and nonces come from its seed, so that it runs again exactly.
//!
//! All chance of the client comes from the crate `getrandom`, called by us or by vodozemac's thread-local
//! generator, and that asks the C library's function of the same name, as the standard library does for the
//! order of its hash maps. A test binary that links this crate has that function from here (module `source`): in a
//! thread that [`seeded`] has started it answers from the seed, in all others from the operating system.
//!
//! No program may be built from this crate; `xtask/src/edges.rs` holds every crate to that. On other systems
//! than Linux chance has other names, and seeds have no effect: see [`IS_EXACT`].

#[cfg(target_os = "linux")]
mod source;

use std::cell::RefCell;
use std::thread;

use fastrand::Rng;

/// Whether a seed decides on this system.
pub const IS_EXACT: bool = cfg!(target_os = "linux");

thread_local! {
    /// Where this thread's chance comes from, if not from the operating system.
    static SEEDED: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// Runs `case` in a thread of its own, whose chance is that of `seed`, and waits for it. It is a new thread
/// because generators that live in a thread take their seed once.
///
/// The thread has the name of the one that asks. What the case starts in further threads is not seeded.
///
/// # Errors
/// What the case panicked with.
pub fn seeded<T: Send>(seed: u64, case: impl FnOnce() -> T + Send) -> thread::Result<T> {
    let name = thread::current().name().unwrap_or("seeded").to_owned();
    thread::scope(|scope| {
        let run = move || {
            SEEDED.set(Some(Rng::with_seed(seed)));
            case()
        };
        match thread::Builder::new().name(name).spawn_scoped(scope, run) {
            Ok(thread) => thread.join(),
            Err(error) => Err(Box::new(error.to_string()) as _),
        }
    })
}

/// Fills `out` if this thread is a seeded one.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody asks"))]
fn fill(out: &mut [u8]) -> bool {
    let fill = |seeded: &RefCell<Option<Rng>>| {
        let mut seeded = seeded.borrow_mut();
        seeded.as_mut().map(|rng| rng.fill(out)).is_some()
    };
    SEEDED.try_with(fill).unwrap_or(false)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
