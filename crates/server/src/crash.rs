//! Named crash points for kill tests: `GODWIT_CRASH_AT="store::synced:3"` ends the process, without
//! any clean-up, at the third time that it passes there. Nothing of this is in a release.

/// The points where a crash could lose or double a message.
pub const POINTS: [&str; 5] =
    ["store::appended", "store::synced", "server::accepted", "server::delivered", "server::ack"];

/// The steps of a hand-over at which the new process may die. The first four cost nobody anything; after
/// them it has the sessions, and their clients dial again.
pub const HANDOVER_POINTS: [&str; 6] = [
    "handover::hello",
    "handover::taken",
    "handover::yours",
    "handover::ready",
    "handover::go",
    "handover::serving",
];

/// The steps of a hand-over at which the old process may die. Before it has said *go* the new one ends too and
/// a restart has everything; after it the new one serves.
pub const GIVING_POINTS: [&str; 7] = [
    "handover::heard",
    "handover::frozen",
    "handover::parcel",
    "handover::given",
    "handover::told",
    "handover::asked",
    "handover::gone",
];

/// Arms the crash point that the environment names.
///
/// # Errors
/// The variable is set and cannot be followed, with what to write instead.
#[cfg(feature = "fail-points")]
pub fn arm() -> Result<(), String> {
    use std::sync::atomic::{AtomicU64, Ordering};

    let Ok(wish) = std::env::var("GODWIT_CRASH_AT") else { return Ok(()) };
    let form = || {
        format!(
            "GODWIT_CRASH_AT={wish}: write name:n, the name one of {POINTS:?}, {HANDOVER_POINTS:?} or \
             {GIVING_POINTS:?}"
        )
    };
    let (name, count) = wish.rsplit_once(':').ok_or_else(form)?;
    let count: u64 = count.parse().map_err(|_| form())?;
    let mut known = POINTS.iter().chain(&HANDOVER_POINTS).chain(&GIVING_POINTS);
    if known.all(|point| *point != name) || count == 0 {
        return Err(form());
    }
    let passed = AtomicU64::new(0);
    fail::cfg_callback(name, move || {
        if passed.fetch_add(1, Ordering::Relaxed) + 1 == count {
            std::process::abort();
        }
    })
}

/// There are no crash points in this build.
///
/// # Errors
/// The variable is set: the test would prove nothing.
#[cfg(not(feature = "fail-points"))]
pub fn arm() -> Result<(), String> {
    match std::env::var_os("GODWIT_CRASH_AT") {
        None => Ok(()),
        Some(_) => Err("GODWIT_CRASH_AT is set, but this build has no crash points; \
                        build with --features fail-points"
            .to_owned()),
    }
}
