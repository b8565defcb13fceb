//! Which metrics live groups have, whoever sends them: a point that the limits keep out may keep a name that is here.
//!
//! Knows hashes of name, unit, kind and monotonicity, and how many groups have each. Two metrics of one hash are taken
//! for one: that costs a name that nobody knows a place among the bounded overflow groups, and nothing else.
//!
//! Progress: lock-free, as the index. Touched at births and deaths of groups only.
//!
//! Bounds: an entry for each group at most; what it takes is counted with the group.

use super::group::{Group, Parts};
use super::index::{Leaf, Lookup, Trie};
use crate::model::Kind;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Tries to find an entry that is not just leaving; each means that another thread took one out.
const TRIES: usize = 64;
/// An entry that takes no group any more.
const GONE: u32 = u32::MAX;

struct Name {
    hash: u64,
    /// Groups that have it; `GONE` once none has and it is on its way out of the index.
    groups: AtomicU32,
}

impl Leaf for Name {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// The names of all groups.
pub(super) struct Names {
    all: Trie<Name>,
}

impl Names {
    /// None.
    pub(super) fn new() -> Names {
        Names { all: Trie::new() }
    }

    /// A group of these parts is on its way into the index; `false` when that cannot be said now.
    pub(super) fn enter(&self, hash: u64) -> bool {
        for _ in 0..TRIES {
            let new = || Some(Arc::new(Name { hash, groups: AtomicU32::new(0) }));
            let (Lookup::Found(name) | Lookup::Inserted(name)) = self.all.get_or_insert(hash, |_| true, new) else {
                return false;
            };
            // ORDERING: AcqRel: whoever finds it gone sees that it is leaving the index
            if name.groups.fetch_update(AcqRel, Acquire, |n| (n != GONE).then(|| n + 1)).is_ok() {
                return true;
            }
            self.all.remove(&name);
        }
        false
    }

    /// A group for which `enter` was true is gone.
    pub(super) fn leave(&self, hash: u64) {
        let Some(name) = self.all.get(hash, |_| true) else { return };
        // ORDERING: AcqRel as in `enter`
        if name.groups.fetch_sub(1, AcqRel) == 1 && name.groups.compare_exchange(0, GONE, AcqRel, Relaxed).is_ok() {
            self.all.remove(&name);
        }
    }

    /// Whether some live group has it.
    pub(super) fn knows(&self, hash: u64) -> bool {
        // ORDERING: an entry that is just leaving may be taken for known, which costs nothing
        self.all.get(hash, |_| true).is_some()
    }
}

/// What stands for such a metric.
pub(super) fn hash_of(name: &str, unit: &str, kind: Kind, monotonic: bool, state: &ahash::RandomState) -> u64 {
    state.hash_one((name, unit, kind as u8, monotonic))
}

/// The same of the metric of these parts.
pub(super) fn name_of(parts: &Parts<'_>, state: &ahash::RandomState) -> u64 {
    hash_of(parts.name, parts.unit, parts.kind, parts.monotonic, state)
}

/// The same of a group.
pub(super) fn name_of_group(group: &Group, state: &ahash::RandomState) -> u64 {
    hash_of(&group.name, &group.unit, group.kind, group.monotonic, state)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_as_long_as_a_group_has_it() {
        let names = Names::new();
        assert!(!names.knows(7));
        assert!(names.enter(7) && names.enter(7) && names.enter(8));
        names.leave(7);
        assert!(names.knows(7));
        names.leave(7);
        assert!(!names.knows(7) && names.knows(8));
        assert!(names.enter(7) && names.knows(7));
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing() {
        let names = Names::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..2_000 {
                        assert!(names.enter(i % 3));
                        assert!(names.knows(i % 3));
                        names.leave(i % 3);
                    }
                });
            }
        });
        assert!(names.all.is_empty());
    }
}
