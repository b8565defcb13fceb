//! Counters of one writer, as many as are asked for when they are made.
//!
//! Knows words; does not know what they count.
//!
//! Invariant: there is one `CountWriter` for them and `add` borrows it mutably, so that a load and a store are one step.
//!
//! Progress: wait-free, both sides. Ordering: each word stands for itself and publishes nothing; what must be read together
//! stands in a `row`.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The readers' side.
#[derive(Debug)]
pub struct Counts {
    words: Box<[AtomicU64]>,
}

/// The right to count.
#[derive(Debug)]
pub struct CountWriter {
    counts: Arc<Counts>,
}

impl Counts {
    /// So many counters at 0, and the only right to count.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(length: usize) -> (CountWriter, Arc<Counts>) {
        let counts = Arc::new(Counts { words: (0..length).map(|_| AtomicU64::new(0)).collect() });
        (CountWriter { counts: counts.clone() }, counts)
    }

    /// The counter at a place; 0 where there is none.
    pub fn read(&self, at: usize) -> u64 {
        // ORDERING: Relaxed, as the header says
        self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

impl CountWriter {
    /// So many more at a place; nothing where there is none.
    #[inline]
    pub fn add(&mut self, at: usize, n: u64) {
        if let Some(word) = self.counts.words.get(at) {
            // ORDERING: Relaxed: only this thread writes it
            word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let (mut writer, counts) = Counts::new(2);
        [(0, 3), (1, 4), (0, 5), (2, 6)].into_iter().for_each(|(at, n)| writer.add(at, n));
        assert_eq!([0, 1, 2].map(|at| counts.read(at)), [8, 4, 0]);
    }
}
