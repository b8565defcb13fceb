//! Which metrics live groups have, whoever sends them: a point that the limits keep out may keep a name that is here.
//!
//! Knows hashes of name, unit, kind and monotonicity, how many groups have each, and the texts of name and unit, which they
//! share. Two metrics of one hash are taken for one: that costs a name that nobody knows a place among the bounded overflow
//! groups, or groups their own copies of the texts, and nothing else.
//!
//! Progress: lock-free, as the index. Touched at births and deaths of groups only.
//!
//! Bounds: `limits::OVERFLOW_GROUPS_MAX` names that overflow groups keep, and an entry for each group at most; what it takes is counted with the group.

use super::group::Group;
use super::index::{Leaf, Lookup, Trie};
use crate::identity::{MetricName, Parts};
use crate::limits::OVERFLOW_GROUPS_MAX;
use crate::model::Kind;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Tries to find an entry that is not just leaving; each means that another thread took one out.
const TRIES: usize = 64;
/// An entry that takes no group any more.
const GONE: u32 = u32::MAX;

/// Bytes of an entry beside its texts: itself, its counts, and its place in the index.
const NAME_BYTES: usize = size_of::<Name>() + 16 + 32;

pub(super) struct Name {
    hash: u64,
    metric: Arc<MetricName>,
    /// Groups that have it; `GONE` once none has and it is on its way out of the index.
    groups: AtomicU32,
}

impl Name {
    /// Name and unit of a metric, those that are here if they are these.
    pub(super) fn share(&self, name: &str, unit: &str) -> Arc<MetricName> {
        let is_here = self.metric.is(name.as_bytes(), unit.as_bytes());
        if is_here { self.metric.clone() } else { MetricName::new(name, unit) }
    }

    /// Bytes it takes, its place in the index included.
    pub(super) fn bytes(&self) -> usize {
        NAME_BYTES + self.metric.bytes()
    }
}

impl Leaf for Name {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// The names of all groups under the limits, and of overflow groups.
pub(super) struct GroupNames {
    all: Trie<Name>,
    /// Those that an overflow group keeps, once for each; 0 where there is room.
    kept: [AtomicU64; OVERFLOW_GROUPS_MAX],
}

impl GroupNames {
    /// None.
    pub(super) fn new() -> GroupNames {
        GroupNames { all: Trie::new(), kept: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// A group of this name and unit is on its way into the index; nothing when that cannot be said now. And the bytes of an
    /// entry that is new.
    pub(super) fn enter(&self, hash: u64, (name, unit): (&str, &str)) -> Option<(Arc<Name>, usize)> {
        let mut made = 0;
        for _ in 0..TRIES {
            let new = || Some(Arc::new(Name { hash, metric: MetricName::new(name, unit), groups: AtomicU32::new(0) }));
            let known = match self.all.get_or_insert(hash, |_| true, new) {
                Lookup::Found(known) => known,
                Lookup::Inserted(known) => {
                    made += known.bytes();
                    known
                }
                Lookup::Refused => return None,
            };
            // ORDERING: AcqRel: whoever finds it gone sees that it is leaving the index
            if known.groups.fetch_update(AcqRel, Acquire, |n| (n != GONE).then(|| n + 1)).is_ok() {
                return Some((known, made));
            }
            self.all.remove(&known);
        }
        None
    }

    /// A group that entered is gone; the bytes of the entry, if that is gone with it.
    pub(super) fn leave(&self, hash: u64) -> usize {
        let Some(name) = self.all.get(hash, |_| true) else { return 0 };
        // ORDERING: AcqRel as in `enter`
        if name.groups.fetch_sub(1, AcqRel) == 1 && name.groups.compare_exchange(0, GONE, AcqRel, Relaxed).is_ok() {
            self.all.remove(&name);
            return name.bytes();
        }
        0
    }

    /// Whether an overflow group may keep this name: one does, or there is room and a group under the limits has it. A few
    /// cache lines are all that is looked at once there is no room.
    pub(super) fn may_keep(&self, hash: u64) -> bool {
        let mut has_room = false;
        for kept in &self.kept {
            match kept.load(Relaxed) {
                0 => has_room = true,
                kept if kept == mark(hash) => return true,
                _ => {}
            }
        }
        has_room && self.knows(hash)
    }

    /// An overflow group of this name is on its way into the index; `false` when it may not be.
    pub(super) fn keep(&self, hash: u64) -> bool {
        // ORDERING: counts, publish nothing
        self.knows(hash) && self.kept.iter().any(|kept| kept.compare_exchange(0, mark(hash), Relaxed, Relaxed).is_ok())
    }

    /// An overflow group for which `keep` was true is gone.
    pub(super) fn drop_kept(&self, hash: u64) {
        // ORDERING: as above
        self.kept.iter().any(|kept| kept.compare_exchange(mark(hash), 0, Relaxed, Relaxed).is_ok());
    }

    /// Overflow groups that keep a name.
    pub(super) fn kept(&self) -> usize {
        self.kept.iter().filter(|kept| kept.load(Relaxed) != 0).count()
    }

    /// Whether some live group has it.
    fn knows(&self, hash: u64) -> bool {
        // ORDERING: an entry that is just leaving may be taken for known, which costs nothing
        self.all.get(hash, |_| true).is_some()
    }
}

/// A hash that is not 0.
const fn mark(hash: u64) -> u64 {
    hash | 1
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
    hash_of(group.name(), group.unit(), group.kind, group.monotonic, state)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_as_long_as_a_group_has_it() {
        let names = GroupNames::new();
        assert!(!names.knows(7));
        let enter = |hash| names.enter(hash, ("name", "unit")).is_some();
        assert!(enter(7) && enter(7) && enter(8));
        names.leave(7);
        assert!(names.knows(7));
        names.leave(7);
        assert!(!names.knows(7) && names.knows(8));
        assert!(enter(7) && names.knows(7));
    }

    #[test]
    fn groups_of_a_name_share_its_texts_and_others_have_their_own() {
        let names = GroupNames::new();
        let of = |(name, unit)| names.enter(7, (name, unit)).expect("there is room").0.share(name, unit);
        let (first, second) = (of(("latency", "s")), of(("latency", "s")));
        assert!(Arc::ptr_eq(&first, &second));
        // of the same hash by chance
        let other = of(("requests", "s"));
        assert_eq!((&*other.name, &*other.unit), ("requests", "s"));
        assert_eq!((&*first.name, &*first.unit), ("latency", "s"));
    }

    #[test]
    fn so_many_names_are_kept_and_only_known_ones() {
        let names = GroupNames::new();
        let hash = |i: usize| 2 * i as u64 + 2;
        assert!(!names.may_keep(hash(0)) && !names.keep(hash(0)));
        (0..=OVERFLOW_GROUPS_MAX)
            .for_each(|i| assert!(names.enter(hash(i), ("", "")).is_some() && names.may_keep(hash(i))));
        assert!((0..OVERFLOW_GROUPS_MAX).all(|i| names.keep(hash(i))));
        let more = hash(OVERFLOW_GROUPS_MAX);
        assert!(!names.may_keep(more) && !names.keep(more) && names.may_keep(hash(3)));
        assert_eq!(names.kept(), OVERFLOW_GROUPS_MAX);
        names.drop_kept(hash(3));
        assert!(names.may_keep(more) && names.keep(more));
        assert!(!names.may_keep(hash(3)));
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing() {
        let names = GroupNames::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..2_000 {
                        assert!(names.enter(i % 3, ("", "")).is_some());
                        assert!(names.knows(i % 3));
                        names.leave(i % 3);
                    }
                });
            }
        });
        assert!(names.all.is_empty());
    }
}
