//! A worker that always finds something to do keeps its CPU to the end of the kernel's slice, and with it
//! from the store's writer and from the kernel's own threads that carry a write to the disk. A message
//! waits for three of those one after another: at 250 ticks a second that were 12 ms of a storm, with no
//! session standing in line (decision 0144). So between two pieces of a storm's work there is a rest: the
//! permit to go on comes back after it. The worker itself does not sleep (decision 0149): whoever has a
//! message has its turn at once, and if nobody has, the CPU is free.

use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long a rest is: with what the kernel adds, as long again as one handshake and a half. Of a hundred
/// messages of those who stay one then takes 0.9 to 1.7 ms in the server instead of 0.4; with a rest of 50 us
/// it is 1.6 to 2.8, with one of 200 us 0.7 to 1.3, and a storm takes a third longer. Timers of the runtime are
/// a millisecond coarse, so a thread sleeps.
const REST: Duration = Duration::from_micros(100);

/// Permits that rest at a time: the turns of 64 workers, at the door and at the end. More go on without.
const RESTING_MAX: usize = 128;

/// A permit, and when its rest is over.
type Resting = (Instant, Box<dyn Send>);

/// To the thread that rests for all. Not one of the runtime's: those may all wait for the disk. None if the
/// system gives no thread.
static RESTING: LazyLock<Option<SyncSender<Resting>>> = LazyLock::new(|| {
    let (rests, resting) = sync_channel::<Resting>(RESTING_MAX);
    let thread = Builder::new().name("godwitd-rest".into()).spawn(move || {
        // In the order in which they came, which is that of their ends: all rest as long.
        for (until, permit) in resting {
            #[expect(clippy::disallowed_methods, reason = "it is a rest that is wanted")]
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            drop(permit);
        }
    });
    thread.is_ok().then_some(rests)
});

/// Gives this back after a rest; at once if too many rest, or if the caller drives the server, whose time is
/// not real then.
pub(crate) fn before(permit: impl Send + 'static) {
    #[cfg(test)]
    RESTS.set(RESTS.get() + 1);
    if cfg!(feature = "driven") {
        return;
    }
    if let Some(rests) = RESTING.as_ref() {
        // Whoever has no place is dropped here, and that gives it back.
        drop(rests.try_send((Instant::now() + REST, Box::new(permit))));
    }
}

#[cfg(test)]
thread_local! {
    static RESTS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Rests that this thread asked for since it was asked last: they are over too soon to be seen.
#[cfg(test)]
pub(crate) fn taken() -> u32 {
    RESTS.take()
}
