//! placeholder, replaced by the modelled protocol
use std::sync::atomic::{AtomicU64, Ordering::*, fence};
/// Live.
pub const LIVE: u64 = 0;
/// Retiring.
pub const RETIRING: u64 = 1;
/// Dead.
pub const DEAD: u64 = 2;
/// What the first touch of an interval found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// go on
    Live,
    /// it was taken back
    Revived,
    /// resolve anew
    Dead,
}
/// Stamps, fences, reads the state.
#[inline]
pub fn touch(stamp: &AtomicU64, word: u64, state: &AtomicU64) -> Touch {
    stamp.store(word, Relaxed);
    fence(SeqCst);
    match state.load(Relaxed) {
        LIVE => Touch::Live,
        RETIRING => match state.compare_exchange(RETIRING, LIVE, AcqRel, Acquire) {
            Ok(_) | Err(LIVE) => Touch::Revived,
            Err(_) => Touch::Dead,
        },
        _ => Touch::Dead,
    }
}
