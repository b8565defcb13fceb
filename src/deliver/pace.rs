//! How delivery shares a core with a shard: it works in short pieces and rests between them.
//!
//! Knows durations; does not know batches or sockets.
//!
//! Where every core has a shard, the deliver thread runs on the core of one of them. A kernel that preempts only at its
//! tick (4 ms) lets a thread run until then, and the shard does nothing meanwhile. A thread that sleeps gives the core back
//! at once.
//!
//! Evidence: one core for everything, a million series, 99.9 % of the loop's turns during a flush. They took up to 4 ms
//! before and up to 1 ms after three changes that came together: these rests, requests of `limits::BATCH_POINTS_MAX`, and
//! writes of `limits::WRITE_TURN_BYTES`. How much each of them does was not measured.
//!
//! Bounds: a piece is `limits::DELIVER_PIECE` and one write more; a rest at most `limits::DELIVER_REST_MAX`.

use crate::limits::{DELIVER_PIECE, DELIVER_REST_MAX, DELIVER_RESTS};
use std::time::Duration;

/// The work since the last rest.
#[derive(Debug)]
pub(super) struct Pace {
    rests: bool,
    worked_ns: u64,
}

impl Pace {
    /// `shared`: the thread's core is a shard's too.
    pub(super) const fn new(shared: bool) -> Pace {
        Pace { rests: shared, worked_ns: 0 }
    }

    /// Whether a turn that has taken so long must end.
    pub(super) fn is_over(&self, spent_ns: u64) -> bool {
        self.rests && spent_ns >= DELIVER_PIECE.as_nanos() as u64
    }

    /// The rest that is due after a turn of `spent_ns`; none while the queue is nearly full (`pressed`).
    pub(super) fn rest(&mut self, spent_ns: u64, pressed: bool) -> Option<Duration> {
        if !self.rests || pressed {
            self.worked_ns = 0;
            return None;
        }
        self.worked_ns += spent_ns;
        if self.worked_ns < DELIVER_PIECE.as_nanos() as u64 {
            return None;
        }
        let rest = std::mem::take(&mut self.worked_ns).saturating_mul(DELIVER_RESTS);
        Some(Duration::from_nanos(rest).min(DELIVER_REST_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_follow_work_where_the_core_is_shared_and_nothing_presses() {
        let piece = DELIVER_PIECE.as_nanos() as u64;
        let mut alone = Pace::new(false);
        assert!(!alone.is_over(u64::MAX) && alone.rest(u64::MAX, false).is_none());
        let mut pace = Pace::new(true);
        assert!(!pace.is_over(piece - 1) && pace.is_over(piece));
        assert_eq!(pace.rest(piece - 1, false), None, "small turns add up");
        assert_eq!(pace.rest(1, false), Some(DELIVER_PIECE * DELIVER_RESTS as u32));
        assert_eq!(pace.rest(piece - 1, false), None, "and start again from nothing");
        assert_eq!(pace.rest(u64::MAX - piece, false), Some(DELIVER_REST_MAX));
        assert_eq!(pace.rest(piece * 2, true), None, "a queue that fills has no time for rests");
    }
}
