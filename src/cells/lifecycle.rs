//! The life of a cell, and so of its series: live, retiring, dead. A retiring cell is live again if a point comes in time.
//!
//! Knows one state word and the stamps of cells; does not know what a cell holds, who owns it, or when a series is
//! idle.
//!
//! ```text
//!               begin_retire (owner, at cut n)          finish_retire(untouched) (owner, at cut n + 1 or later)
//!      live ────────────────────────────► retiring ────────────────────────────────► dead: unlink, look up again
//!        ▲                                   │
//!        └── touch (any writer) ─────────────┤
//!        └── finish_retire(touched) (owner) ─┘
//! ```
//!
//! The cell's only writer stamps the open bank (`stamp`) before the first point of an interval goes in.
//!
//! Invariants
//!  1. A writer adds a point to a cell only if in this interval it stamped the open bank and `touch` then said `Live`.
//!  2. The owner reads the stamps of all cells of a series, open banks and closed, after `begin_retire` and before
//!     `finish_retire`, during a merge, when no shard changes banks. One that carries its shard's open or just closed
//!     interval counts as touched.
//!  3. A dead cell stays dead. The core that finds its cell dead looks the key up again. A series dies when the owner
//!     has found all its cells dead and closes their list (`series::Series::die`); closing fails if a core has added a
//!     new cell in the meantime. Both the owner and a core that finds the list closed may take the leaf out of the
//!     index. A dead cell alone is no reason to take it out.
//!  4. Between `begin_retire` and `finish_retire` lies one cut at least.
//!
//! Why no point is lost: the writer stores the stamp, fences, and reads the state; the owner stores the state, fences,
//! and reads the stamps. At least one of them sees the other's store. If the writer sees `retiring`, it sets the state
//! back to live and the owner's last step fails. If the owner sees the stamp, it does not take the last step. In the
//! remaining case the writer sees `dead`, and by invariant 1 adds nothing. So the cells of a dead series hold no point
//! that was not merged, and by invariant 3 each key has one series that takes points: the one in the index, whose cells
//! the owner visits.
//!
//! A dead cell may still be stamped (with a count of 0) by a writer that holds an old route. So a cell is reused one
//! cut later at the earliest, and only by its own core, after that core has dropped its routes to it.
//!
//! Progress: all wait-free but `touch`, which is lock-free: it tries again only after the owner or another writer
//! moved.
//!
//! Ordering: the two SeqCst fences are the protocol; with anything weaker both sides could miss each other's store.
//!
//! Sources: Dekker's handshake; the models are `series::expiry_model`, and with replaced cells and the index `series::death_model`.

use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// Where a series is in its life, as its state word holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Takes points. A word of zero.
    Live = 0,
    /// Idle; dies at the next cut unless it is touched.
    Retiring = 1,
    /// Takes no points any more.
    Dead = 2,
}

/// What a writer's first touch of a cell in an interval found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Points may be added until the next switch.
    Live,
    /// Nothing may be added: drop the route and look the key up again.
    Dead,
}

/// What became of a retiring series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetireOutcome {
    /// Somebody touched it.
    BackToLive,
    /// Unlink it now; its cells may be reused one cut later.
    Dead,
}

/// The state in a word.
///
/// # Panics
///
/// If the word holds none.
#[inline]
pub fn state(word: &AtomicU64) -> State {
    // ORDERING: Acquire pairs with the writes below: who sees `Dead` sees all that led to it.
    match word.load(Ordering::Acquire) {
        0 => State::Live,
        1 => State::Retiring,
        2 => State::Dead,
        other => panic!("{other} is no state of a series"),
    }
}

/// A writer's first touch of a cell in an interval: stamps the open bank, then asks whether the series lives (invariant
/// 1).
///
/// `new_stamp_word` is `stamp(open interval, 0)`; the writer resets the bank's values before or after, as it
/// likes.
#[inline]
pub fn touch(stamp: &AtomicU64, new_stamp_word: u64, word: &AtomicU64) -> Touch {
    // ORDERING: Relaxed: ordered by the fence for the owner, by the cut for whoever merges.
    stamp.store(new_stamp_word, Ordering::Relaxed);
    // ORDERING: SeqCst pairs with the fence in `begin_retire`: either we see `Retiring` below or the owner sees our
    // stamp.
    fence(Ordering::SeqCst);
    loop {
        match state(word) {
            State::Live => return Touch::Live,
            State::Dead => return Touch::Dead,
            State::Retiring => {
                // ORDERING: AcqRel: one link in the chain of states; on failure the loop looks again.
                if swap(word, State::Retiring, State::Live) {
                    return Touch::Live;
                }
            }
        }
    }
}

/// The owner marks an idle series; `false` if it was not live. The stamps are read after this, one cut later.
#[inline]
pub fn begin_retire(word: &AtomicU64) -> bool {
    let begun = swap(word, State::Live, State::Retiring);
    // ORDERING: SeqCst pairs with the fence in `touch`: a writer that missed the mark has stamped before we read
    // stamps.
    fence(Ordering::SeqCst);
    begun
}

/// The owner decides about a series it marked: `touched` says what the stamps said (invariant 2).
#[inline]
pub fn finish_retire(word: &AtomicU64, touched: bool) -> RetireOutcome {
    if touched {
        // Fails when a writer was faster: live all the same.
        swap(word, State::Retiring, State::Live);
        return RetireOutcome::BackToLive;
    }
    // A writer that took the series back makes this fail; one that comes later finds `Dead`.
    match swap(word, State::Retiring, State::Dead) {
        true => RetireOutcome::Dead,
        false => RetireOutcome::BackToLive,
    }
}

#[inline]
fn swap(word: &AtomicU64, from: State, to: State) -> bool {
    // ORDERING: AcqRel: the states form one chain; whoever takes a step sees what was done before the last one.
    word.compare_exchange(from as u64, to as u64, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::stamp::{interval_of, stamp};
    use super::*;

    fn word(state: State) -> AtomicU64 {
        AtomicU64::new(state as u64)
    }

    #[test]
    fn every_step_from_every_state() {
        use State::{Dead, Live, Retiring};
        for (before, answer, after) in
            [(Live, Touch::Live, Live), (Retiring, Touch::Live, Live), (Dead, Touch::Dead, Dead)]
        {
            let (bank, word) = (AtomicU64::new(0), word(before));
            assert_eq!(touch(&bank, stamp(7, 0), &word), answer);
            assert_eq!(state(&word), after, "touch of {before:?}");
            assert_eq!(interval_of(bank.into_inner()), 7, "stamped whatever the answer");
        }
        for (before, answer, after) in [(Live, true, Retiring), (Retiring, false, Retiring), (Dead, false, Dead)] {
            let word = word(before);
            assert_eq!(begin_retire(&word), answer);
            assert_eq!(state(&word), after, "begin_retire of {before:?}");
        }
        for (before, touched, answer, after) in [
            (Live, false, RetireOutcome::BackToLive, Live),
            (Live, true, RetireOutcome::BackToLive, Live),
            (Retiring, true, RetireOutcome::BackToLive, Live),
            (Retiring, false, RetireOutcome::Dead, Dead),
        ] {
            let word = word(before);
            assert_eq!(finish_retire(&word, touched), answer);
            assert_eq!(state(&word), after, "finish_retire of {before:?}, touched {touched}");
        }
    }

    #[test]
    #[should_panic(expected = "3 is no state of a series")]
    fn a_broken_state_is_a_bug() {
        state(&AtomicU64::new(3));
    }
}
