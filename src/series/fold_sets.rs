//! Resources and scopes of folds, each held once for all folds of all shards that have it: folds are told apart by which one
//! they have, however large it is.
//!
//! Knows sets and who uses them; does not know folds.
//!
//! Invariants
//! 1. A set is here exactly as long as somebody uses it, and equal sets are one as long as one of them is.
//! 2. `bytes` are those of the sets that are here.
//!
//! Progress: lock-free, as the index. Touched where a thread first meets a set, and where a fold is made or ends.
//!
//! Ordering: that of `sync::users`; the count of bytes publishes nothing.
//!
//! Bounds: two for each fold, and those that threads know, which `flush` bounds.

use super::index::{Leaf, Lookup, Trie};
use crate::identity::Set;
use crate::sync::users::Users;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of a set beside itself: its entry and its place in the index.
const ENTRY_BYTES: usize = size_of::<FoldSet>() + 16 + 32;

/// A resource or a scope of folds.
#[derive(Debug)]
pub struct FoldSet {
    hash: u64,
    set: Arc<Set>,
    users: Users,
}

impl FoldSet {
    /// What it says.
    pub fn set(&self) -> &Arc<Set> {
        &self.set
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.set.bytes()
    }
}

impl Leaf for FoldSet {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// All of them.
#[derive(Debug)]
pub struct FoldSets {
    all: Trie<FoldSet>,
    state: ahash::RandomState,
    bytes: AtomicUsize,
}

impl FoldSets {
    /// None.
    pub(super) fn new(state: ahash::RandomState) -> FoldSets {
        FoldSets { all: Trie::new(), state, bytes: AtomicUsize::new(0) }
    }

    /// Bytes of those that are here.
    pub fn bytes(&self) -> usize {
        // ORDERING: a count for limits, publishes nothing
        self.bytes.load(Relaxed)
    }

    /// The one that is equal to this, which has one user more.
    pub fn enter(&self, set: &Arc<Set>) -> Arc<FoldSet> {
        let hash = self.state.hash_one(&**set);
        loop {
            let make = || Some(Arc::new(FoldSet { hash, set: set.clone(), users: Users::new(1) }));
            match self.all.get_or_insert(hash, |known| known.set == *set, make) {
                Lookup::Inserted(new) => {
                    self.bytes.fetch_add(new.bytes(), Relaxed);
                    return new;
                }
                Lookup::Found(known) => {
                    if known.users.enter() {
                        return known;
                    }
                    // nobody uses it, and it is not yet out of the index: help, then look again
                    self.all.remove(&known);
                }
                Lookup::Refused => unreachable!("one is made"),
            }
        }
    }

    /// One user more of one that somebody uses.
    pub fn enter_known(&self, known: &Arc<FoldSet>) -> Arc<FoldSet> {
        let is_used = known.users.enter();
        assert!(is_used, "whoever has it uses it");
        known.clone()
    }

    /// One user less.
    pub fn leave(&self, known: &Arc<FoldSet>) {
        if known.users.leave() {
            self.all.remove(known);
            self.bytes.fetch_sub(known.bytes(), Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sets() -> (FoldSets, impl Fn(&[u8]) -> Arc<Set>) {
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        (FoldSets::new(state.clone()), move |run: &[u8]| Set::new(run, &[], "", &state))
    }

    #[test]
    fn equal_sets_are_one_as_long_as_one_is_used() {
        let (sets, set) = sets();
        let a = sets.enter(&set(b"a"));
        let again = sets.enter(&set(b"a"));
        assert!(Arc::ptr_eq(&a, &again) && !Arc::ptr_eq(&a, &sets.enter(&set(b"b"))));
        let bytes = sets.bytes();
        let third = sets.enter_known(&a);
        for user in [&a, &again] {
            sets.leave(user);
        }
        assert!(Arc::ptr_eq(&third, &sets.enter(&set(b"a"))) && sets.bytes() == bytes);
        sets.leave(&third);
        sets.leave(&third);
        assert!(sets.bytes() < bytes);
        assert!(!Arc::ptr_eq(&third, &sets.enter(&set(b"a"))), "it was gone");
        assert_eq!(sets.bytes(), bytes);
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing() {
        let (sets, set) = sets();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..2_000u32 {
                        let one = sets.enter(&set(&(i % 3).to_le_bytes()));
                        assert_eq!(*one.set().run, (i % 3).to_le_bytes());
                        let same = sets.enter_known(&one);
                        sets.leave(&one);
                        sets.leave(&same);
                    }
                });
            }
        });
        assert!(sets.all.is_empty() && sets.bytes() == 0);
    }
}
