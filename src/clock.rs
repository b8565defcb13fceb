//! Time as a value, and the seam to where it comes from: rooms below `runtime` are given `Now` or a `Clock`, and never
//! ask the OS.
//!
//! Knows two numbers and a clock that is moved by hand; does not know the system's clocks (`runtime::clock`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One reading of both clocks.
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

/// What can be asked for the time: the system in the product, a `ManualClock` in tests and simulated runs.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Both clocks.
    fn now(&self) -> Now;

    /// The monotonic clock alone, nanoseconds.
    fn mono_ns(&self) -> u64 {
        self.now().mono_ns
    }
}

/// A clock that goes only when it is moved, and by a fixed time with each reading: so work takes time, the same at every
/// run.
#[derive(Debug)]
pub struct ManualClock {
    mono_ns: AtomicU64,
    wall_ns: AtomicU64,
    reading_ns: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`, and goes on by `reading_ns` behind each reading.
    pub const fn new(now: Now, reading_ns: u64) -> Self {
        ManualClock {
            mono_ns: AtomicU64::new(now.mono_ns),
            wall_ns: AtomicU64::new(now.wall_ns),
            reading_ns: AtomicU64::new(reading_ns),
        }
    }

    /// Time passes, on both clocks.
    pub fn advance(&self, ns: u64) {
        // ORDERING: numbers; they publish nothing
        self.mono_ns.fetch_add(ns, Relaxed);
        self.wall_ns.fetch_add(ns, Relaxed);
    }

    /// The wall clock is set to another time; the monotonic one does not know.
    pub fn set_wall(&self, wall_ns: u64) {
        self.wall_ns.store(wall_ns, Relaxed);
    }

    /// From now on each reading takes so long.
    pub fn set_reading(&self, reading_ns: u64) {
        self.reading_ns.store(reading_ns, Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let reading_ns = self.reading_ns.load(Relaxed);
        Now {
            mono_ns: self.mono_ns.fetch_add(reading_ns, Relaxed),
            wall_ns: self.wall_ns.fetch_add(reading_ns, Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_goes_only_as_it_is_told() {
        let clock = ManualClock::new(Now { mono_ns: 5, wall_ns: 1_000 }, 0);
        assert_eq!((clock.now(), clock.mono_ns()), (Now { mono_ns: 5, wall_ns: 1_000 }, 5));
        clock.advance(10);
        assert_eq!(clock.now(), Now { mono_ns: 15, wall_ns: 1_010 });
        clock.set_wall(3);
        assert_eq!(clock.now(), Now { mono_ns: 15, wall_ns: 3 }, "timers do not see it");
        clock.set_reading(2);
        assert_eq!([clock.mono_ns(), clock.mono_ns()], [15, 17], "each reading takes time");
        assert_eq!(clock.now(), Now { mono_ns: 19, wall_ns: 7 });
    }
}
