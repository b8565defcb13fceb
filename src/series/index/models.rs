//! Loom models of the trie: two-way nodes, a root of two links, reclamation that adds no ordering.

use super::node::{BRANCH_BITS, ROOT_BITS, SHARD_BITS};
use super::{IndexCursor, Leaf, Lookup, Trie};
use crate::sync::UnsafeCell;
use crate::sync::explore;
use crate::sync::reclaim::Leak;
use loom::thread;
use std::sync::Arc;

const _: () = assert!(ROOT_BITS == 1 && BRANCH_BITS == 1);

/// Written before it is published; loom reports every reader that is not ordered after that.
struct Entry {
    key: u64,
    hash: u64,
    payload: UnsafeCell<u64>,
}

// SAFETY: the payload is written before the entry is shared, and only read after.
unsafe impl Sync for Entry {}

impl Leaf for Entry {
    fn hash(&self) -> u64 {
        // SAFETY: as above.
        assert_eq!(self.payload.with(|payload| unsafe { *payload }), self.key);
        self.hash
    }
}

/// The hash whose path begins with these bits.
const fn path(bits: u64, count: u32) -> u64 {
    (bits << (64 - count)).rotate_right(SHARD_BITS)
}

type Model = Arc<Trie<Entry, Leak>>;

fn make(key: u64, hash: u64) -> Arc<Entry> {
    let entry = Entry { key, hash, payload: UnsafeCell::new(0) };
    // SAFETY: not shared yet.
    entry.payload.with_mut(|payload| unsafe { *payload = key });
    Arc::new(entry)
}

/// Inserts; whether this thread's leaf went in, and the leaf of the key.
fn insert(trie: &Model, key: u64, hash: u64) -> (bool, Arc<Entry>) {
    match trie.get_or_insert(hash, |leaf| leaf.key == key, || Some(make(key, hash))) {
        Lookup::Inserted(leaf) => (true, leaf),
        Lookup::Found(leaf) => (false, leaf),
        Lookup::Refused => unreachable!("nothing refuses"),
    }
}

fn find(trie: &Model, key: u64, hash: u64) -> Option<Arc<Entry>> {
    let leaf = trie.get(hash, |leaf| leaf.key == key)?;
    assert_eq!((leaf.key, leaf.hash()), (key, hash));
    Some(leaf)
}

fn keys(trie: &Model, limit: usize) -> Vec<u64> {
    let (mut cursor, mut keys) = (IndexCursor::default(), Vec::new());
    while !trie.walk(&mut cursor, limit, |leaf| {
        leaf.hash();
        keys.push(leaf.key);
    }) {}
    keys
}

fn share(trie: &Model) -> Model {
    trie.clone()
}

#[test]
fn loom_two_inserts_of_one_key_make_one_leaf() {
    explore(5, || {
        let trie = Model::default();
        let other = {
            let trie = share(&trie);
            thread::spawn(move || insert(&trie, 1, path(0, 1)))
        };
        let (mine, here) = insert(&trie, 1, path(0, 1));
        let (theirs, there) = other.join().unwrap();
        assert!(mine != theirs && Arc::ptr_eq(&here, &there));
        assert_eq!(keys(&trie, 1), [1]);
    });
}

#[test]
fn loom_inserts_that_split_lose_nothing() {
    // All three begin with 0: the first leaf is pushed down by whoever is first, the second split meets the first's.
    explore(5, || {
        let trie = Model::default();
        insert(&trie, 1, path(0b000, 3));
        let other = {
            let trie = share(&trie);
            thread::spawn(move || assert!(insert(&trie, 2, path(0b001, 3)).0))
        };
        assert!(insert(&trie, 3, path(0b010, 3)).0);
        other.join().unwrap();
        assert_eq!(keys(&trie, 2), [1, 2, 3]);
        assert_eq!(trie.stats().entries, 3);
    });
}

#[test]
fn loom_equal_hashes_lose_nothing() {
    explore(5, || {
        let trie = Model::default();
        let other = {
            let trie = share(&trie);
            thread::spawn(move || assert!(insert(&trie, 2, 0).0))
        };
        let (_, first) = insert(&trie, 1, 0);
        assert!(insert(&trie, 3, 0).0);
        assert!(trie.remove(&first));
        other.join().unwrap();
        let mut left = keys(&trie, 1);
        left.sort_unstable();
        assert_eq!(left, [2, 3]);
    });
}

#[test]
fn loom_a_lookup_during_inserts_finds_what_was_there() {
    explore(5, || {
        let trie = Model::default();
        insert(&trie, 1, path(0b00, 2));
        let reader = {
            let trie = share(&trie);
            thread::spawn(move || {
                assert!(find(&trie, 1, path(0b00, 2)).is_some());
                let early = find(&trie, 2, path(0b01, 2)).is_some();
                let late = find(&trie, 2, path(0b01, 2)).is_some();
                assert!(late || !early);
            })
        };
        insert(&trie, 2, path(0b01, 2));
        insert(&trie, 3, path(0b00, 2));
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_removal_during_an_insert_folds_and_loses_nothing() {
    // Removing 1 leaves a sparse branch that is frozen and folded while 3 goes into it.
    explore(5, || {
        let trie = Model::default();
        let (_, first) = insert(&trie, 1, path(0b000, 3));
        insert(&trie, 2, path(0b001, 3));
        let other = {
            let trie = share(&trie);
            thread::spawn(move || {
                assert!(insert(&trie, 3, path(0b010, 3)).0);
                assert!(find(&trie, 2, path(0b001, 3)).is_some());
            })
        };
        assert!(trie.remove(&first));
        assert!(find(&trie, 1, path(0b000, 3)).is_none());
        other.join().unwrap();
        assert_eq!(keys(&trie, 1), [2, 3]);
        assert_eq!(trie.stats().entries, 2);
    });
}

#[test]
fn loom_a_removal_against_an_insert_of_the_same_key() {
    // Either the insertion found the old leaf, or it came after the removal and made a new one.
    explore(5, || {
        let trie = Model::default();
        let (_, old) = insert(&trie, 1, path(0b00, 2));
        insert(&trie, 2, path(0b01, 2));
        let other = {
            let (trie, old) = (share(&trie), old.clone());
            thread::spawn(move || {
                let (inserted, leaf) = insert(&trie, 1, path(0b00, 2));
                assert_eq!(inserted, !Arc::ptr_eq(&leaf, &old));
                inserted
            })
        };
        assert!(trie.remove(&old));
        let inserted = other.join().unwrap();
        assert_eq!(keys(&trie, 1), if inserted { vec![1, 2] } else { vec![2] });
        assert!(!trie.remove(&old));
    });
}

#[test]
fn loom_two_removers_take_a_leaf_once() {
    explore(5, || {
        let trie = Model::default();
        let (_, first) = insert(&trie, 1, path(0b00, 2));
        let (_, second) = insert(&trie, 2, path(0b01, 2));
        let other = {
            let (trie, first, second) = (share(&trie), first.clone(), second.clone());
            thread::spawn(move || usize::from(trie.remove(&first)) + usize::from(trie.remove(&second)))
        };
        let mine = usize::from(trie.remove(&first)) + usize::from(trie.remove(&second));
        assert_eq!(mine + other.join().unwrap(), 2);
        assert!(keys(&trie, 1).is_empty());
        assert_eq!(trie.stats().entries, 0);
    });
}

#[test]
fn loom_a_walk_during_changes_sees_what_stays_once() {
    explore(5, || {
        let trie = Model::default();
        let (_, first) = insert(&trie, 1, path(0b000, 3));
        insert(&trie, 2, path(0b001, 3));
        insert(&trie, 4, path(0b100, 3));
        let walker = {
            let trie = share(&trie);
            thread::spawn(move || {
                let seen = keys(&trie, 1);
                assert!(seen.is_sorted());
                for stays in [2, 4] {
                    assert_eq!(seen.iter().filter(|key| **key == stays).count(), 1, "{seen:?}");
                }
            })
        };
        insert(&trie, 3, path(0b010, 3));
        trie.remove(&first);
        walker.join().unwrap();
    });
}

#[test]
fn loom_three_threads_around_one_key_agree() {
    // Two insert it, one removes whichever leaf it finds; the branch folds when it does.
    let removed = Arc::new(core::sync::atomic::AtomicU64::new(0));
    let counted = removed.clone();
    explore(4, move || {
        let trie = Model::default();
        insert(&trie, 2, path(0b01, 2));
        let inserters: Vec<_> = (0..2)
            .map(|_| {
                let trie = share(&trie);
                thread::spawn(move || usize::from(insert(&trie, 1, path(0b00, 2)).0))
            })
            .collect();
        thread::yield_now();
        let gone = find(&trie, 1, path(0b00, 2)).is_some_and(|leaf| trie.remove(&leaf));
        counted.fetch_add(u64::from(gone), core::sync::atomic::Ordering::Relaxed);
        let born: usize = inserters.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(born == 1 || born == 2 && gone);
        assert_eq!(trie.stats().entries, 1 + born - usize::from(gone));
        let left = keys(&trie, 1);
        assert_eq!(left, if born == usize::from(gone) { vec![2] } else { vec![1, 2] });
    });
    assert!(removed.load(core::sync::atomic::Ordering::Relaxed) > 0, "some removal found the leaf");
}

/// The rig can fail: looking first and inserting blindly after makes two leaves of one key.
#[test]
#[should_panic(expected = "a key in two leaves")]
fn loom_a_blind_insert_is_caught() {
    explore(5, || {
        let trie = Model::default();
        let blind = |trie: &Model| {
            if find(trie, 1, 0).is_none() {
                trie.get_or_insert(0, |_| false, || Some(make(1, 0)));
            }
        };
        let other = {
            let trie = share(&trie);
            thread::spawn(move || blind(&trie))
        };
        blind(&trie);
        other.join().unwrap();
        assert_eq!(keys(&trie, 1).len(), 1, "a key in two leaves");
    });
}
