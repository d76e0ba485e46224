//! Time, as the driver tells it.

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, unix milliseconds. It may jump and be wrong by years.
    pub wall_ms: u64,
    /// Milliseconds since some fixed moment; never goes back. All waiting is measured by it.
    pub mono_ms: u64,
}
