//! Stamps: the word at the head of a bank, which says whose interval it holds, what kind of words, and how many points.
//!
//! ```text
//!   63      32 31   27 26                               0
//!   interval   flags   points that are not settled yet
//! ```
//!
//! A bank belongs to the interval in its stamp. The writer writes it at its first touch in a new one (`lifecycle::touch`),
//! which clears the flags, and counts each point there; so merge only reads, and which of the two banks is newer is a
//! comparison of stamps. Flags lie here and not in the head, so that a bank is read whole from its own words.

use crate::limits::BANK_POINTS_MAX;

/// Flag: the value is a double.
pub(super) const DOUBLE: u64 = 1 << 27;
/// Flag: there was a reset between first and last.
pub(super) const RESET: u64 = 1 << 28;
/// Flag: there is a value, not only points without effect.
pub(super) const VALUE: u64 = 1 << 29;
/// Flag: there are first, last and gained.
pub(super) const CHAIN: u64 = 1 << 30;
/// Flag: the newest point had no recorded value.
pub(super) const ENDED: u64 = 1 << 31;
/// All of them.
pub(super) const FLAGS: u64 = DOUBLE | RESET | VALUE | CHAIN | ENDED;

const _: () = assert!(BANK_POINTS_MAX == DOUBLE - 1, "points lie below the flags");

/// A stamp without flags: so many points in this interval.
#[inline]
pub const fn stamp(interval: u32, points: u32) -> u64 {
    assert!(points as u64 <= BANK_POINTS_MAX, "the writer stops counting before this");
    (interval as u64) << 32 | points as u64
}

/// The interval of a stamp.
#[inline]
pub const fn interval_of(stamp: u64) -> u32 {
    (stamp >> 32) as u32
}

/// The points of a stamp.
#[inline]
pub const fn points_of(stamp: u64) -> u64 {
    stamp & BANK_POINTS_MAX
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn stamps_hold_interval_flags_and_points() {
        for flags in [0, DOUBLE, ENDED, FLAGS] {
            let word = stamp(u32::MAX, 3) | flags;
            assert_eq!((interval_of(word), word & FLAGS, points_of(word)), (u32::MAX, flags, 3));
        }
        let full = stamp(1, BANK_POINTS_MAX as u32) | DOUBLE;
        assert_eq!((interval_of(full), points_of(full)), (1, BANK_POINTS_MAX));
    }
}
