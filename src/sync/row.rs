//! A row of words that is read whole or not at all.
//!
//! Knows N words; does not know what they count.
//!
//! ```text
//!   RowWriter ── turn: even → odd ── words ── turn: odd → even (Release)
//!   readers   ── turn even? ── words ── fence ── the same turn? else once more
//! ```
//!
//! Invariants
//!  1. There is one `RowWriter` per row and `publish` borrows it mutably: one thread at a time writes.
//!  2. While the turn is odd the words are being written; a reader that saw the same even turn before and after its
//!     loads has the words of one `publish`.
//!
//! Progress: `publish` is wait-free. `read` is not: it tries again while a write is under way, which lasts some
//! nanoseconds unless the writer is taken off its core; after `TRIES` it gives its time slice away between tries.
//! `try_read` is wait-free.
//!
//! Ordering: Boehm's seqlock. The words are atomics, so a torn read is a lost try and not undefined behaviour. The
//! writer's Release fence keeps the words after the odd turn, its Release store keeps them before the even one; the
//! reader's Acquire load and Acquire fence are the other halves.
//!
//! Bounds: N words and one; aligned to 128 bytes, so that two rows never share a line or a prefetched pair of lines.
//!
//! Sources: Boehm, Can seqlocks get along with programming language memory models? (2012).

use super::atomic::{AtomicU64, Ordering, fence};
use std::sync::Arc;

/// Tries before `read` gives its time slice away.
const TRIES: u32 = if cfg!(loom) { 1 } else { 64 };

/// The readers' side; see the file's head.
#[derive(Debug)]
#[repr(align(128))]
pub struct CounterRow<const N: usize> {
    turn: AtomicU64,
    words: [AtomicU64; N],
}

/// The right to write one row.
#[derive(Debug)]
pub struct RowWriter<const N: usize> {
    row: Arc<CounterRow<N>>,
}

impl<const N: usize> CounterRow<N> {
    /// A row of zeros and the only right to write it.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (RowWriter<N>, Arc<CounterRow<N>>) {
        let row = Arc::new(CounterRow { turn: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) });
        (RowWriter { row: row.clone() }, row)
    }

    /// The words of one `publish`, the newest or nearly so.
    pub fn read(&self) -> [u64; N] {
        loop {
            for _ in 0..TRIES {
                if let Some(words) = self.try_read() {
                    return words;
                }
                super::spin_hint();
            }
            super::yield_hint();
        }
    }

    /// The words of one `publish`, or nothing if one was under way.
    #[inline]
    pub fn try_read(&self) -> Option<[u64; N]> {
        // ORDERING: Acquire pairs with the last store of `publish`: its words are visible.
        let before = self.turn.load(Ordering::Acquire);
        if before % 2 == 1 {
            return None;
        }
        // ORDERING: Relaxed, between the load above and the fence below.
        let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
        // ORDERING: Acquire pairs with the Release fence of `publish`: if a word of a newer write was seen, so is its
        // odd turn. Without it the second load of the turn could be taken before the words.
        fence(Ordering::Acquire);
        (self.turn.load(Ordering::Relaxed) == before).then_some(words)
    }
}

impl<const N: usize> RowWriter<N> {
    /// Writes all words at once.
    #[inline]
    pub fn publish(&mut self, words: &[u64; N]) {
        let row = &*self.row;
        // ORDERING: Relaxed: only this thread writes it (invariant 1).
        let turn = row.turn.load(Ordering::Relaxed);
        row.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        // ORDERING: Release: whoever sees one of the words below and fences, sees the odd turn above.
        fence(Ordering::Release);
        for (cell, word) in row.words.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        // ORDERING: Release publishes the words to the Acquire load in `try_read`.
        row.turn.store(turn.wrapping_add(2), Ordering::Release);
    }

    /// The row, to hand to readers.
    pub fn reader(&self) -> Arc<CounterRow<N>> {
        self.row.clone()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_whole_and_never_go_back() {
        let (mut writer, row) = CounterRow::<8>::new();
        assert_eq!(row.read(), [0; 8]);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut newest = 0;
                    while newest < 20_000 {
                        let words = row.read();
                        assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                        assert!(words[0] >= newest);
                        newest = words[0];
                    }
                });
            }
            for n in 1..=20_000 {
                writer.publish(&[n; 8]);
            }
        });
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;

    #[test]
    fn loom_row_publish_and_read() {
        crate::sync::explore(3, || {
            let (mut writer, row) = CounterRow::<2>::new();
            let reader = loom::thread::spawn(move || {
                if let Some([first, second]) = row.try_read() {
                    assert_eq!(first, second, "a torn row");
                }
            });
            writer.publish(&[1, 1]);
            writer.publish(&[2, 2]);
            reader.join().unwrap();
            assert_eq!(writer.reader().read(), [2, 2]);
        });
    }

    /// The rig can fail: a row without its fences is caught torn.
    #[test]
    #[should_panic(expected = "a torn row")]
    fn loom_row_without_turns_is_caught() {
        crate::sync::explore(3, || {
            let (writer, row) = CounterRow::<2>::new();
            let reader = loom::thread::spawn(move || {
                let words = row.try_read();
                assert!(words.is_none_or(|words| words[0] == words[1]), "a torn row");
            });
            for cell in &writer.row.words {
                cell.store(1, Ordering::Relaxed);
            }
            writer.row.turn.store(2, Ordering::Release);
            reader.join().unwrap();
        });
    }
}
