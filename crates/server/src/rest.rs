//! A worker that always finds something to do keeps its CPU to the end of the kernel's slice, and with it
//! from the store's writer and from the kernel's own threads that carry a write to the disk. A message
//! waits for three of those one after another: at 250 ticks a second that were 12 ms of a storm, with no
//! session standing in line (decision 0144). So after half a millisecond of a storm's work a worker
//! sleeps, and whoever waits for the CPU has it at once.

use std::cell::Cell;
use std::time::Duration;

/// What a storm asks of a worker. The numbers are the costs in units of about 15 us.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Work {
    /// A session ended.
    End = 1,
    /// A handshake was answered, and its session attached.
    Handshake = 8,
}

/// Units between two rests: four handshakes, or the ends of 32 sessions.
const WORK_MAX: u32 = 32;

/// How long a rest is. With what the kernel adds it is a tenth of a millisecond, in which a writer that
/// waits writes its batch. A shorter one would hardly be shorter: timers of the kernel are 50 us late.
const REST: Duration = Duration::from_micros(50);

thread_local! {
    static WORKED: Cell<u32> = const { Cell::new(0) };
}

/// Notes work that this thread is about to do or has done, and rests if it was enough. True if it did.
pub(crate) fn after(work: Work) -> bool {
    let worked = WORKED.get() + work as u32;
    let rests = worked >= WORK_MAX;
    WORKED.set(if rests { 0 } else { worked });
    if rests {
        #[expect(clippy::disallowed_methods, reason = "nothing is waited for: the CPU is left")]
        std::thread::sleep(REST);
    }
    rests
}

/// A test's thread may have worked before.
#[cfg(test)]
pub(crate) fn forget() {
    WORKED.set(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_rests_after_so_much_work_and_not_before() {
        forget();
        for (work, times) in [(Work::Handshake, 4), (Work::End, 32)] {
            for _ in 0..3 {
                assert!((1..times).all(|_| !after(work)), "{work:?}: too early");
                assert!(after(work), "{work:?}: not at all");
            }
        }
    }

    #[test]
    fn work_of_both_kinds_is_added_up() {
        forget();
        assert!((0..3).all(|_| !after(Work::Handshake)));
        assert!((0..7).all(|_| !after(Work::End)));
        assert!(after(Work::End));
    }
}
