//! What this machine is, and what a process on it has used: the only file of this room that asks the system.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What a tuning result was measured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Model of the processor, as /proc/cpuinfo has it.
    pub processor: String,
    /// Cores the process may use.
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Machine {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Machine { processor: processor(&text), cores }
    }
}

/// The model name; Arm has numbers instead of a name.
fn processor(cpuinfo: &str) -> String {
    let value = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let arm = || Some(format!("implementer {} part {}", value("CPU implementer")?, value("CPU part")?));
    value("model name").or_else(arm).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The cores this thread may use, in order.
pub(super) fn cores() -> Vec<usize> {
    let all: Vec<usize> = sched_getaffinity(None)
        .map(|set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
        .unwrap_or_default();
    let quota = std::thread::available_parallelism().map_or(1, usize::from);
    if all.is_empty() { (0..quota).collect() } else { all.into_iter().take(quota).collect() }
}

/// Lets this thread, and what it starts, use only these.
pub(super) fn confine(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        set.set(*core);
    }
    sched_setaffinity(None, &set).map_err(|error| format!("cores {cores:?}: {error}"))
}

/// User and system time of a process, seconds.
pub(super) fn cpu_seconds(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(ticks(&text)? as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// utime + stime of a /proc/PID/stat, whose name may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// CPU time of this thread, nanoseconds.
pub(super) fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Resident bytes of a process.
pub(super) fn resident(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        assert_eq!(processor("flags : model name\nmodel name\t: Some CPU @ 2: 3\n"), "Some CPU @ 2: 3");
        assert_eq!(processor("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"), "implementer 0x41 part 0xd0c");
        assert_eq!(processor(""), std::env::consts::ARCH);
        assert_eq!(ticks("7 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13"), Some(23));
        assert_eq!(ticks("7 (a) R 1"), None);
        let me = std::process::id();
        assert!(resident(me).unwrap() > 1 << 20 && cpu_seconds(me).is_some() && !cores().is_empty());
    }
}
