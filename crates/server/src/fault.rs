//! Named points at which a test has a part of the server go wrong: `fail::cfg("fault::door", "panic")` panics
//! there, `"return(stall)"` waits without end, `"return"` ends the part with an error, `"sleep(ms)"` blocks its
//! thread. Nothing of this is in a release.

use godwit_actor::Exit;

#[cfg(all(feature = "fail-points", not(debug_assertions)))]
compile_error!("`fail-points` lets the environment end a server: build a release without it");

/// What a test wants to go wrong, besides a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "without points nobody makes one")]
pub(crate) enum Fault {
    Error,
    Stall,
}

/// What is to go wrong at this point now.
#[cfg_attr(not(feature = "fail-points"), allow(unused_variables, reason = "there are no points"))]
pub(crate) fn at(point: &str) -> Option<Fault> {
    fail::fail_point!(point, |wish: Option<String>| Some(match wish.as_deref() {
        Some("stall") => Fault::Stall,
        _ => Fault::Error,
    }));
    None
}

/// Goes wrong at this point, if it is to.
///
/// # Errors
/// It is to end with one.
///
/// # Cancel safety
/// Safe: it only waits, and that without end.
pub(crate) async fn meet(point: &str) -> Result<(), Exit> {
    match at(point) {
        None => Ok(()),
        Some(Fault::Error) => Err(Exit::failed("a test asked for it")),
        Some(Fault::Stall) => std::future::pending().await,
    }
}
