//! Time as a value: rooms below `runtime` are given `Now`, they never ask the OS.
//!
//! Knows two numbers; does not know where they come from.

/// One reading of both clocks, taken by `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic nanoseconds since process start; drives timers.
    pub mono_ns: u64,
    /// Wall clock, nanoseconds since 1970; stamps points.
    pub wall_ns: u64,
}

impl Now {
    /// A reading with both clocks at `ns`, for tests.
    pub const fn at(ns: u64) -> Self {
        Now { mono_ns: ns, wall_ns: ns }
    }
}
