//! The OS clock and what the machine has: the only place that asks, with `machine`.

use crate::clock::{Clock, Now};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

static START: OnceLock<Instant> = OnceLock::new();

/// The system's clocks, for rooms that are given a `Clock`.
pub static SYSTEM: System = System;

/// See `SYSTEM`.
#[derive(Debug)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Now {
        now()
    }

    fn mono_ns(&self) -> u64 {
        mono()
    }
}

/// Both clocks.
pub fn now() -> Now {
    let wall_ns = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    Now { mono_ns: mono(), wall_ns }
}

/// The monotonic clock alone, nanoseconds since the first call.
pub fn mono() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Bytes of memory this process may use.
pub fn memory_of_machine() -> usize {
    super::machine::available(std::path::Path::new("/")).bytes
}

/// Resident bytes of this process.
pub fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}
