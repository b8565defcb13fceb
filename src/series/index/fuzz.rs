//! The trie against a `HashMap`: one body for property tests and fuzzing.

use super::{IndexCursor, Leaf, Lookup, Trie};
use std::collections::HashMap;
use std::sync::Arc;

/// A key with a hash that may be as bad as the test wants.
#[derive(Debug)]
struct Key {
    key: u16,
    hash: u64,
}

impl Leaf for Key {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Plays `data` as operations on a trie and on a `HashMap`; panics where they differ.
///
/// The first byte chooses the hash (all bits, four bits, the low bits only, zero), then each three bytes are one
/// operation.
#[doc(hidden)]
pub fn fuzz_ops(data: &[u8]) {
    let Some((mode, operations)) = data.split_first() else { return };
    let hash = |key: u16| match mode % 4 {
        0 => u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        1 => u64::from(key % 16).rotate_right(12),
        2 => u64::from(key),
        _ => 0,
    };
    let trie: Trie<Key> = Trie::new();
    let mut model: HashMap<u16, Arc<Key>> = HashMap::new();
    let mut removed: Option<Arc<Key>> = None;
    for operation in operations.as_chunks::<3>().0 {
        let key = u16::from_le_bytes([operation[1], operation[2]]);
        let fresh = || Arc::new(Key { key, hash: hash(key) });
        match operation[0] % 8 {
            0..=2 => match (trie.get_or_insert(hash(key), |leaf| leaf.key == key, || Some(fresh())), model.get(&key)) {
                (Lookup::Found(leaf), Some(known)) => assert!(Arc::ptr_eq(&leaf, known), "another leaf of key {key}"),
                (Lookup::Inserted(leaf), None) => drop(model.insert(key, leaf)),
                (got, known) => panic!("key {key}: {got:?}, where the model has {known:?}"),
            },
            3 => match (trie.get_or_insert(hash(key), |leaf| leaf.key == key, || None), model.get(&key)) {
                (Lookup::Found(leaf), Some(known)) => assert!(Arc::ptr_eq(&leaf, known)),
                (Lookup::Refused, None) => {}
                (got, known) => panic!("key {key}: {got:?}, where the model has {known:?}"),
            },
            4 => {
                let near = (0..u16::from(operation[0] / 8)).map(|more| (0, hash(key.wrapping_add(more))));
                Trie::warm(std::slice::from_ref(&trie), near);
                let got = trie.get(hash(key), |leaf| leaf.key == key);
                assert_eq!(got.as_ref().map(Arc::as_ptr), model.get(&key).map(Arc::as_ptr), "key {key}");
            }
            5 | 6 => {
                assert!(!trie.remove(&fresh()), "an equal key is not the same leaf");
                if let Some(leaf) = model.remove(&key) {
                    assert!(trie.remove(&leaf), "key {key}");
                    removed = Some(leaf);
                } else if let Some(leaf) = &removed {
                    assert!(!trie.remove(leaf), "removed twice");
                }
            }
            _ => check_walk(&trie, &model, usize::from(key % 7) + 1),
        }
        assert_eq!(trie.len(), model.len());
    }
    check_walk(&trie, &model, usize::MAX);
    for leaf in model.values() {
        assert!(trie.remove(leaf));
    }
    assert_eq!((trie.stats().entries, trie.stats().branches), (0, 0), "an emptied trie is pruned");
}

/// A walk in slices finds every leaf once, in the order of the hashes.
fn check_walk(trie: &Trie<Key>, model: &HashMap<u16, Arc<Key>>, limit: usize) {
    let (mut cursor, mut seen) = (IndexCursor::default(), Vec::new());
    loop {
        let before = seen.len();
        let done = trie.walk(&mut cursor, limit, |leaf| seen.push(leaf.clone()));
        assert!(seen.len() - before <= limit);
        if done {
            break;
        }
    }
    assert!(seen.is_sorted_by_key(|leaf| super::order(leaf.hash)));
    let mut keys: Vec<u16> = seen.iter().map(|leaf| leaf.key).collect();
    let mut known: Vec<u16> = model.keys().copied().collect();
    keys.sort_unstable();
    known.sort_unstable();
    assert_eq!(keys, known);
}
