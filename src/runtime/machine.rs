//! How much memory this process may use: the machine's, its groups', its own limit.
//!
//! A group bounds all groups below it, so the whole way up counts, in both versions; the files of a group that a container
//! does not see are left out, and what the kernel has added up for it (`hierarchical_memory_limit`) is read instead.
//!
//! Sources: cgroups(7), proc_pid_limits(5), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.

use crate::limits::MIB;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// What is left to the kernel and to what no budget counts, where a group ends who goes past it.
const GROUP_SPARE_BYTES: usize = 24 * MIB;
/// A machine that tells nothing is taken for a small one.
const UNKNOWN_BYTES: usize = 1024 * MIB;

/// Memory there is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Available {
    /// Bytes.
    pub bytes: usize,
    /// Whose limit that is.
    pub source: MemorySource,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemorySource {
    /// All the memory of the machine.
    Machine,
    /// A control group: the file that says so.
    Group(PathBuf),
    /// A limit of this process (`ulimit`): its name.
    Process(&'static str),
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemorySource::Machine => f.write_str("the machine's memory"),
            MemorySource::Group(file) => write!(f, "the control group's limit in {}", file.display()),
            MemorySource::Process(name) => write!(f, "this process's limit, {name}"),
        }
    }
}

impl Available {
    /// What `--memory-limit auto` takes of it.
    pub(super) fn share(&self) -> usize {
        let most = self.bytes / 4 * 3;
        match self.source {
            MemorySource::Machine => most,
            MemorySource::Group(_) | MemorySource::Process(_) => most.min(self.bytes.saturating_sub(GROUP_SPARE_BYTES)),
        }
    }
}

/// The smallest of all limits; `root` is `/` but in tests.
pub(super) fn available(root: &Path) -> Available {
    let machine = read(root, "proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(1024)
    });
    let machine = Available { bytes: machine.unwrap_or(UNKNOWN_BYTES), source: MemorySource::Machine };
    // the first of equals: one who has set no limit often reads as the machine
    groups(root)
        .into_iter()
        .chain(own(root))
        .fold(machine, |least, other| if other.bytes < least.bytes { other } else { least })
}

fn read(root: &Path, path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

/// Limits of this process's groups and of all above them.
fn groups(root: &Path) -> Vec<Available> {
    let mut found = Vec::new();
    for line in read(root, "proc/self/cgroup").unwrap_or_default().lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if number == "0" && controllers.is_empty() {
            for mount in ["sys/fs/cgroup", "sys/fs/cgroup/unified"] {
                climb(root, mount, path, &["memory.max", "memory.high"], &mut found);
            }
        } else if controllers.split(',').any(|controller| controller == "memory") {
            climb(root, "sys/fs/cgroup/memory", path, &["memory.limit_in_bytes", "memory.stat"], &mut found);
        }
    }
    found
}

/// Reads these files of the group at `path` and of all above it, up to where the groups are mounted.
fn climb(root: &Path, mount: &str, path: &str, files: &[&str], found: &mut Vec<Available>) {
    let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    let below = names.collect::<PathBuf>();
    for group in below.ancestors() {
        for file in files {
            let file = Path::new(mount).join(group).join(file);
            if let Some(bytes) = read(root, &file).and_then(|text| limit(&text)) {
                found.push(Available { bytes, source: MemorySource::Group(Path::new("/").join(file)) });
            }
        }
    }
}

/// A number alone, or the one that the kernel has added up in `memory.stat`; `max` and what no machine has are none.
fn limit(text: &str) -> Option<usize> {
    let hierarchical = text.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "));
    hierarchical.unwrap_or(text).trim().parse().ok()
}

/// Limits of address space and data of this process.
fn own(root: &Path) -> Vec<Available> {
    let text = read(root, "proc/self/limits").unwrap_or_default();
    let soft = |name: &'static str, title: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(title))?;
        let bytes = line.split_whitespace().next()?.parse().ok()?;
        Some(Available { bytes, source: MemorySource::Process(name) })
    };
    [soft("RLIMIT_AS (ulimit -v)", "Max address space"), soft("RLIMIT_DATA (ulimit -d)", "Max data size")]
        .into_iter()
        .flatten()
        .collect()
}

/// Whether the system limits the addresses of this process: then it may have no memory although its limit is not reached.
pub(super) fn has_wall() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::As).current.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const GIB: usize = 1024 * MIB;

    /// A machine of 16 GiB with these files.
    fn machine(files: &[(&str, &str)]) -> Available {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("catchment-machine-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let root = std::env::temp_dir().join(name);
        for (path, text) in [("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n")].iter().chain(files) {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = available(&root);
        std::fs::remove_dir_all(&root).unwrap();
        found
    }

    fn group(bytes: usize, file: &str) -> Available {
        Available { bytes, source: MemorySource::Group(file.into()) }
    }

    #[test]
    fn a_machine_without_limits_is_its_memory() {
        let whole = Available { bytes: 16 * GIB, source: MemorySource::Machine };
        assert_eq!(machine(&[]), whole);
        let unlimited = [
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            ("proc/self/limits", "Max address space         unlimited            unlimited            bytes     \n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.stat", "cache 7\nhierarchical_memory_limit 9223372036854771712\n"),
        ];
        assert_eq!(machine(&unlimited), whole);
        assert_eq!(whole.share(), 12 * GIB);
        let nothing = available(Path::new("/proc/no-such-place"));
        assert_eq!(nothing, Available { bytes: GIB, source: MemorySource::Machine });
    }

    #[test]
    fn every_group_above_counts_in_both_versions() {
        let v2 = |files: &[(&str, &str)]| machine(&[&[("proc/self/cgroup", "0::/a.slice/b/c\n")], files].concat());
        let (a, b, c) = (
            "sys/fs/cgroup/a.slice/memory.max",
            "sys/fs/cgroup/a.slice/b/memory.max",
            "sys/fs/cgroup/a.slice/b/c/memory.max",
        );
        assert_eq!(
            v2(&[(a, "1073741824\n"), (b, "max\n"), (c, "max\n")]),
            group(GIB, "/sys/fs/cgroup/a.slice/memory.max")
        );
        assert_eq!(v2(&[(a, "1073741824"), (b, "536870912"), (c, "max")]).bytes, 512 * MIB);
        assert_eq!(v2(&[(a, "1073741824"), (c, "67108864")]).bytes, 64 * MIB);
        assert_eq!(v2(&[(c, "1073741824"), ("sys/fs/cgroup/a.slice/b/memory.high", "268435456")]).bytes, 256 * MIB);
        // as a container sees it, with and without a name space of its own
        assert_eq!(v2(&[("sys/fs/cgroup/memory.max", "268435456\n")]).bytes, 256 * MIB);
        let outside = [("proc/self/cgroup", "0::/../x\n"), ("sys/fs/cgroup/x/memory.max", "268435456\n")];
        assert_eq!(machine(&outside).bytes, 256 * MIB);

        let v1 = |files: &[(&str, &str)]| {
            machine(
                &[&[("proc/self/cgroup", "9:name=systemd:/x\n4:hugetlb,memory:/outer/inner\n0::/\n")], files].concat(),
            )
        };
        let (outer, inner) = (
            "sys/fs/cgroup/memory/outer/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes",
        );
        let unlimited = "9223372036854771712\n";
        assert_eq!(v1(&[(outer, unlimited), (inner, "209715200\n")]).bytes, 200 * MIB);
        assert_eq!(
            v1(&[(outer, "209715200\n"), (inner, unlimited)]),
            group(200 * MIB, "/sys/fs/cgroup/memory/outer/memory.limit_in_bytes")
        );
        assert_eq!(v1(&[("sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n")]).bytes, 200 * MIB);
        // above what is mounted: only the kernel knows
        let stat = "cache 7\nhierarchical_memory_limit 104857600\nhierarchical_memsw_limit 1\n";
        assert_eq!(v1(&[("sys/fs/cgroup/memory/memory.stat", stat)]).bytes, 100 * MIB);
        // both, as systemd has it in between
        let hybrid = [
            ("proc/self/cgroup", "4:memory:/a\n0::/b\n"),
            ("sys/fs/cgroup/unified/b/memory.max", "104857600\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "209715200\n"),
        ];
        assert_eq!(machine(&hybrid).bytes, 100 * MIB);
    }

    #[test]
    fn limits_of_the_process_count() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         629145600            unlimited            bytes     \n";
        let found = machine(&[("proc/self/limits", limits)]);
        assert_eq!(found, Available { bytes: 600 * MIB, source: MemorySource::Process("RLIMIT_AS (ulimit -v)") });
        assert!(found.source.to_string().contains("ulimit -v"));
    }

    #[test]
    fn auto_leaves_a_group_at_least_its_spare() {
        for (has, takes) in [(64, 40), (80, 56), (96, 72), (128, 96), (1024, 768), (16, 0)] {
            assert_eq!(group(has * MIB, "/f").share(), takes * MIB, "{has} MiB");
        }
    }
}
