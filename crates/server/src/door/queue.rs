//! The listen queue: connections that the system holds for us until we accept them.

use crate::config::SessionLimits;

/// A storm of clients fits, and waits its turn there. At 2.5 KB of the kernel's each these are 40 MB. Who
/// finds no room says hello again a second later.
pub(super) const BACKLOG: i32 = 16_384;

/// What Linux grants of it: 4,096 unless somebody raised it. Each network namespace has its own.
const GRANTED: &str = "/proc/sys/net/core/somaxconn";

/// Tells the operator of a system that grants less than the whole; other systems do not tell. Nearly every
/// machine does, and most have few clients: it is a warning where more of them were configured than find room.
pub(super) fn tell_if_short(connections_max: usize) {
    let Some(granted) = std::fs::read_to_string(GRANTED).ok().and_then(|told| short(&told)) else {
        return;
    };
    let advice = format!(
        "the system holds fewer new connections than a storm of clients brings; the others come \
         back seconds later: sysctl -w net.core.somaxconn={BACKLOG}, then start again"
    );
    if matters(granted, connections_max) {
        tracing::warn!(granted, wanted = BACKLOG, "{advice}");
    } else {
        tracing::info!(granted, wanted = BACKLOG, "{advice}");
    }
}

/// Whether the operator expects more clients than are granted: who left the number alone expects nothing.
fn matters(granted: i32, connections_max: usize) -> bool {
    let is_configured = connections_max != SessionLimits::default().connections_max;
    is_configured && usize::try_from(granted).is_ok_and(|granted| connections_max > granted)
}

/// What is granted, if that is too little.
fn short(told: &str) -> Option<i32> {
    told.trim().parse().ok().filter(|granted| *granted < BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_whole_queue_is_told_and_no_more() {
        assert_eq!(short("4096\n"), Some(4_096));
        assert_eq!(short("16383\n"), Some(16_383));
        assert_eq!(short("16384\n"), None);
        assert_eq!(short("2147483647\n"), None);
        assert_eq!(short("unlimited"), None, "nobody knows");
    }

    #[test]
    fn it_matters_to_who_configured_more_connections_than_find_room() {
        assert!(!matters(4_096, SessionLimits::default().connections_max), "as it came");
        assert!(!matters(4_096, 4_096));
        assert!(matters(4_096, 4_097));
    }
}
