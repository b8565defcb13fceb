//! The OS clock and what the machine has: the only place that asks.

use crate::clock::Now;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

static START: OnceLock<Instant> = OnceLock::new();

/// Both clocks.
pub fn now() -> Now {
    let wall_ns = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    Now { mono_ns: mono(), wall_ns }
}

/// The monotonic clock alone, nanoseconds since the first call.
pub fn mono() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Bytes of memory this process may use: its cgroup's limit, else the machine's.
pub fn memory_of_machine() -> usize {
    let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let cgroup = [own_cgroup(), Some("/sys/fs/cgroup/memory.max".into())]
        .into_iter()
        .flatten()
        .chain(["/sys/fs/cgroup/memory/memory.limit_in_bytes".into()])
        .filter_map(|path: String| number(&path))
        .min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
    });
    // a machine that tells nothing is taken for a small one
    cgroup.unwrap_or(usize::MAX).min(machine.unwrap_or(1 << 30))
}

fn own_cgroup() -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(format!("/sys/fs/cgroup{path}/memory.max"))
}

/// Resident bytes of this process.
pub fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}
