//! Stamps: the word at the head of a bank, which says whose interval it holds and how many points of it.
//!
//! ```text
//!   interval number (high half)    points in the bank that are not settled yet (low half)
//! ```
//!
//! A bank belongs to the interval in its stamp. The writer writes it at its first touch in a new one (`lifecycle::touch`), and
//! counts each point there; so merge only reads, and which of the two banks is newer is a comparison of stamps.

/// A stamp: so many points in this interval.
#[inline]
pub const fn stamp(interval: u32, points: u32) -> u64 {
    (interval as u64) << 32 | points as u64
}

/// The interval of a stamp.
#[inline]
pub const fn interval_of(stamp: u64) -> u32 {
    (stamp >> 32) as u32
}

/// The points of a stamp.
#[inline]
pub const fn points_of(stamp: u64) -> u32 {
    stamp as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn stamps_hold_both_halves() {
        let word = stamp(u32::MAX, 3);
        assert_eq!((interval_of(word), points_of(word)), (u32::MAX, 3));
        assert_eq!(stamp(1, u32::MAX).wrapping_add(1), stamp(2, 0), "the writer stops counting before this");
    }
}
