//! The elections that there are, found by the hash of what is elected.
//!
//! Knows hashes and counts; does not know what tells replicas apart, or who counts (`elections`).
//!
//! An election is there as long as a core or a group has it; what is left of it here goes when its part of the index is full.
//!
//! Progress: blocks for as long as another core looks into the same part, when a resource is born that is one of several
//! replicas. Bounds: `limits::ELECTIONS_MAX`, in `PARTS` parts, so that nobody waits for a look at all of them.

use super::elections::Election;
use crate::limits::ELECTIONS_MAX;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Parts of the index, by the upper bits of the hash.
const PARTS: usize = 256;

/// Bytes of an election: itself, and its place in a table that may be half empty. Held by `tests/memory.rs`.
const ELECTION_BYTES: usize = size_of::<Election>() + 2 * size_of::<usize>() + 2 * (size_of::<(u64, usize)>() + 1) + 16;

type Part = Mutex<HashMap<u64, Weak<Election>>>;

/// See the file's head.
#[derive(Debug)]
pub(super) struct ElectionIndex {
    parts: Box<[Part]>,
    /// In all parts, those that nobody has any more included.
    count: AtomicUsize,
    limit: usize,
}

impl ElectionIndex {
    pub(super) fn new() -> ElectionIndex {
        ElectionIndex::with_limit(ELECTIONS_MAX)
    }

    fn with_limit(limit: usize) -> ElectionIndex {
        ElectionIndex { parts: (0..PARTS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0), limit }
    }

    fn part(&self, of: u64) -> &Part {
        &self.parts[(of >> (u64::BITS - PARTS.ilog2())) as usize]
    }

    /// The election under this hash, if somebody has it.
    pub(super) fn find(&self, of: u64) -> Option<Arc<Election>> {
        let all = self.part(of).lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&of).and_then(Weak::upgrade)
    }

    /// The same, or a new one; nothing if there is none, and no room for one more or `has_room` says so.
    pub(super) fn find_or_make(&self, of: u64, has_room: impl FnOnce() -> bool) -> Option<Arc<Election>> {
        let mut all = self.part(of).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(election) = all.get(&of).and_then(Weak::upgrade) {
            return Some(election);
        }
        if all.len() == all.capacity() || self.count() >= self.limit {
            let before = all.len();
            all.retain(|_, election| election.strong_count() > 0);
            // ORDERING: Relaxed: a count for a limit, publishes nothing
            self.count.fetch_sub(before - all.len(), Relaxed);
        }
        if self.count() >= self.limit || !has_room() {
            return None;
        }
        let election = Arc::new(Election::default());
        if all.insert(of, Arc::downgrade(&election)).is_none() {
            // ORDERING: as above; cores that race past the limit are a few
            self.count.fetch_add(1, Relaxed);
        }
        Some(election)
    }

    fn count(&self) -> usize {
        // ORDERING: as above
        self.count.load(Relaxed)
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.count() * ELECTION_BYTES
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn elections_are_found_by_whoever_asks_and_are_counted() {
        let index = ElectionIndex::new();
        assert!(index.find(7).is_none() && index.bytes() == 0);
        let first = index.find_or_make(7, || true).unwrap();
        let again = index.find_or_make(7, || unreachable!("it is there")).unwrap();
        assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &index.find(7).unwrap()));
        assert_eq!(index.bytes(), ELECTION_BYTES);
        assert!(index.find_or_make(8, || false).is_none(), "no memory");
        assert_eq!(index.bytes(), ELECTION_BYTES);
    }

    /// Those that nobody has any more make room, and count until then.
    #[test]
    fn there_are_no_more_than_the_limit() {
        let index = ElectionIndex::with_limit(3);
        let held: Vec<_> = (0..3).map(|of| index.find_or_make(of, || true).unwrap()).collect();
        assert!(index.find_or_make(3, || true).is_none());
        assert_eq!(index.bytes(), 3 * ELECTION_BYTES);
        drop(held);
        assert!(index.find(0).is_none());
        assert!(index.find_or_make(3, || true).is_some());
        assert_eq!(index.bytes(), ELECTION_BYTES);
    }

    /// Ever new ones that nobody keeps take no more than those of one part.
    #[test]
    fn elections_that_are_over_are_forgotten() {
        let index = ElectionIndex::new();
        for of in 0..100_000u64 {
            index.find_or_make(of.wrapping_mul(0x9e37_79b9_7f4a_7c15), || true).unwrap();
        }
        assert!(index.count() <= 16 * PARTS, "{}", index.count());
    }
}
