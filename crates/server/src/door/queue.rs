//! The listen queue: connections that the system holds for us until we accept them.

/// A storm of clients fits, and waits its turn there. At 2.5 KB of the kernel's each these are 40 MB. Who
/// finds no room says hello again a second later.
pub(super) const BACKLOG: i32 = 16_384;

/// What Linux grants of it: 4,096 unless somebody raised it. Each network namespace has its own.
const GRANTED: &str = "/proc/sys/net/core/somaxconn";

/// Warns the operator of a system that grants less than the whole; other systems do not tell.
pub(super) fn warn_if_short() {
    if let Some(granted) = std::fs::read_to_string(GRANTED).ok().and_then(|told| short(&told)) {
        tracing::warn!(
            granted,
            wanted = BACKLOG,
            "the system holds fewer new connections than a storm of clients brings; the others come \
             back seconds later: sysctl -w net.core.somaxconn={BACKLOG}, then start again"
        );
    }
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
}
