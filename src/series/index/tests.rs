//! Promises of the trie, over the real epoch.

use super::fuzz::fuzz_ops;
use super::node::order;
use super::{IndexCursor, IndexStats, Leaf, Lookup, Trie};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
struct Entry {
    key: u64,
    hash: u64,
    alive: Arc<AtomicUsize>,
}

impl Leaf for Entry {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

type Hash = fn(u64) -> u64;

const FULL: Hash = |key| {
    let mixed = (key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
};
const FOUR_BITS: Hash = |key| FULL(key) >> 60;
const ZERO: Hash = |_| 0;

struct Rig {
    trie: Trie<Entry>,
    hash: Hash,
    alive: Arc<AtomicUsize>,
}

impl Rig {
    fn new(hash: Hash) -> Self {
        Rig { trie: Trie::new(), hash, alive: Arc::default() }
    }

    fn make(&self, key: u64) -> Option<Arc<Entry>> {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Entry { key, hash: (self.hash)(key), alive: self.alive.clone() }))
    }

    fn insert(&self, key: u64) -> Lookup<Entry> {
        self.trie.get_or_insert((self.hash)(key), |leaf| leaf.key == key, || self.make(key))
    }

    fn get(&self, key: u64) -> Option<Arc<Entry>> {
        self.trie.get((self.hash)(key), |leaf| leaf.key == key)
    }

    fn keys(&self, limit: usize) -> Vec<u64> {
        let (mut cursor, mut keys) = (IndexCursor::default(), Vec::new());
        while !self.trie.walk(&mut cursor, limit, |leaf| keys.push(leaf.key)) {}
        keys
    }
}

const HASHES: [(&str, Hash, u64); 3] = [("full", FULL, 4_000), ("four bits", FOUR_BITS, 400), ("zero", ZERO, 64)];

#[test]
fn what_was_inserted_is_found_until_it_is_removed() {
    for (name, hash, keys) in HASHES {
        let rig = Rig::new(hash);
        for key in 0..keys {
            assert!(rig.get(key).is_none(), "{name}");
            assert!(matches!(rig.insert(key), Lookup::Inserted(_)), "{name}");
            assert!(matches!(rig.insert(key), Lookup::Found(leaf) if leaf.key == key), "{name}");
        }
        for limit in [1, 7, usize::MAX] {
            let mut seen = rig.keys(limit);
            assert!(seen.is_sorted_by_key(|key| order(hash(*key))), "{name}");
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..keys), "{name}");
        }
        for key in 0..keys {
            let leaf = rig.get(key).expect(name);
            assert!(rig.trie.remove(&leaf) && !rig.trie.remove(&leaf), "{name}");
            assert!(rig.get(key).is_none(), "{name}");
        }
        let IndexStats { entries, branches, depth_max, .. } = rig.trie.stats();
        assert_eq!((entries, branches), (0, 0), "{name}");
        assert!(depth_max <= 18, "{name}");
    }
}

#[test]
fn hashes_that_part_at_the_last_bit_go_18_levels_deep() {
    // The last bit of the path is the lowest of the shard's bits.
    let rig = Rig::new(|key| key << 56);
    rig.insert(0);
    rig.insert(1);
    assert_eq!(rig.trie.stats().depth_max, 18);
    assert_eq!(rig.trie.stats().branches, 17);
    assert_eq!(rig.keys(1), [0, 1]);
    assert!(rig.trie.remove(&rig.get(0).unwrap()));
    assert_eq!(rig.trie.stats().branches, 0, "the chain folds up to the one leaf left");
    assert!(rig.get(1).is_some());
}

/// A collision that makes room for a key of another hash stays where it is, below the new branch. Many tries, so that
/// what they retire is freed while they live: freed once too often, this test ends by a signal.
#[test]
fn a_collision_moves_down_whole() {
    // 0 and 1 share a hash; 2 parts from it further down
    let rigs: Vec<Rig> = (0..1_000).map(|_| Rig::new(|key| if key < 2 { 0 } else { 1 << 20 })).collect();
    for rig in &rigs {
        for key in 0..3 {
            assert!(matches!(rig.insert(key), Lookup::Inserted(_)));
        }
    }
    for rig in &rigs {
        for key in 0..3 {
            let leaf = rig.get(key).expect("inserted");
            assert_eq!(leaf.key, key);
            assert!(rig.trie.remove(&leaf));
        }
        assert_eq!((rig.trie.stats().entries, rig.trie.stats().branches), (0, 0));
    }
}

#[test]
fn a_refused_leaf_leaves_nothing_behind() {
    let rig = Rig::new(FULL);
    assert!(matches!(rig.trie.get_or_insert(5, |_| true, || None), Lookup::Refused));
    assert_eq!(rig.trie.stats(), IndexStats::default());
}

#[test]
#[should_panic(expected = "the leaf made has the hash it was made for")]
fn a_leaf_of_another_hash_is_a_bug() {
    let rig = Rig::new(FULL);
    rig.trie.get_or_insert(FULL(1), |_| true, || rig.make(2));
}

#[test]
fn dropping_the_trie_drops_every_leaf_once() {
    for (name, hash, keys) in HASHES {
        let rig = Rig::new(hash);
        (0..keys).for_each(|key| drop(rig.insert(key)));
        let held = rig.get(3).unwrap();
        let Rig { trie, alive, .. } = rig;
        assert_eq!(alive.load(Ordering::Relaxed), keys as usize, "{name}");
        drop(trie);
        assert_eq!(alive.load(Ordering::Relaxed), 1, "{name}");
        assert_eq!(held.key, 3);
    }
}

#[test]
fn random_hashes_cost_at_most_36_bytes_an_entry() {
    let rig = Rig::new(FULL);
    let mut worst = 0.0f64;
    for key in 0..1_000_000 {
        rig.insert(key);
        if key > 30_000 && key % 10_000 == 0 {
            worst = worst.max(rig.trie.stats().bytes() as f64 / rig.trie.len() as f64);
        }
    }
    println!(
        "{worst:.1} bytes an entry at worst, {:.1} at the end",
        rig.trie.stats().bytes() as f64 / rig.trie.len() as f64
    );
    assert!(worst < 36.0, "{worst}");
}

/// Threads insert and remove the same keys: each key is in at most one leaf, and the winners add up.
#[test]
fn threads_fight_over_the_same_keys() {
    for (name, hash, _) in HASHES {
        let rig = Rig::new(hash);
        let keys = 24;
        let (born, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (rig, born, gone) = (&rig, &born, &gone);
                scope.spawn(move || {
                    let mut random = FULL(thread);
                    for _ in 0..6_000 {
                        random = FULL(random);
                        let key = random % keys;
                        match random >> 32 & 3 {
                            0 | 1 => match rig.insert(key) {
                                Lookup::Inserted(leaf) | Lookup::Found(leaf) if leaf.key != key => panic!("{name}"),
                                Lookup::Inserted(_) => drop(born.fetch_add(1, Ordering::Relaxed)),
                                Lookup::Found(_) => {}
                                Lookup::Refused => panic!("{name}: nothing refuses"),
                            },
                            2 => {
                                if let Some(leaf) = rig.get(key)
                                    && rig.trie.remove(&leaf)
                                {
                                    gone.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            _ => {
                                let mut seen = [0u8; 24];
                                let mut cursor = IndexCursor::default();
                                while !rig.trie.walk(&mut cursor, 5, |leaf| seen[leaf.key as usize] += 1) {}
                            }
                        }
                    }
                });
            }
        });
        let left = rig.keys(3);
        assert_eq!(born.into_inner() - gone.into_inner(), left.len(), "{name}");
        assert_eq!(left.len(), rig.trie.len(), "{name}");
        let mut unique = left.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), left.len(), "{name}: a key in two leaves");
        for key in left {
            assert!(rig.trie.remove(&rig.get(key).expect(name)), "{name}");
        }
        assert_eq!(rig.trie.len(), 0, "{name}");
    }
}

/// Leaves that stay are found by every look-up and every walk while others come and go around them.
#[test]
fn what_stays_is_always_found() {
    for (name, hash, _) in HASHES {
        let rig = Rig::new(hash);
        let stay = 16u64;
        (0..stay).for_each(|key| drop(rig.insert(key)));
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..2u64 {
                let (rig, done) = (&rig, &done);
                scope.spawn(move || {
                    for turn in 0..3_000 {
                        let key = stay + thread * 100 + turn % 20;
                        match rig.get(key) {
                            Some(leaf) => assert!(rig.trie.remove(&leaf), "{name}"),
                            None => assert!(matches!(rig.insert(key), Lookup::Inserted(_)), "{name}"),
                        }
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            scope.spawn(|| {
                while done.load(Ordering::Acquire) < 2 {
                    // paths that come and go, more of them than are followed
                    let paths = (0..2 * super::WARM_MAX as u64).map(|key| (0, hash(key * 7 % (stay + 120))));
                    Trie::warm(std::slice::from_ref(&rig.trie), paths);
                    for key in 0..stay {
                        assert_eq!(rig.get(key).expect(name).key, key);
                    }
                    let mut seen = rig.keys(4);
                    seen.retain(|key| *key < stay);
                    seen.sort_unstable();
                    assert!(seen.into_iter().eq(0..stay), "{name}: each exactly once");
                }
            });
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_hash_map(mode in 0u8..4, operations in prop::collection::vec((any::<u8>(), 0u16..200), 0..600)) {
        let mut data = vec![mode];
        for (operation, key) in operations {
            data.push(operation);
            data.extend(key.to_le_bytes());
        }
        fuzz_ops(&data);
    }

    #[test]
    fn any_bytes_are_operations(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_ops(&data);
    }
}
