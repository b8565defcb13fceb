//! When memory that was freed goes back to the system.
//!
//! Knows bytes and turns; does not know what was freed.

use crate::limits::{GIVE_BACK_CUTS, GIVE_BACK_FALL_BYTES, GIVE_BACK_LOOK_BYTES};
use crate::sync::{allocator, reclaim};
use std::time::Duration;

/// Distance of two looks of a loop that has nothing to do.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// When memory that was freed is given back to the system: what leaves an index waits until nobody can read it any more,
/// which is looked at only as often as something enters or leaves.
#[derive(Default)]
pub(super) struct GiveBack {
    /// What series took at most since it last fell.
    high: usize,
    /// Looks at what waits to be freed that are still due.
    looks_left: usize,
    /// As many looks are due at each of so many cuts more: a reader that was in the way at the first ones is gone by then.
    again: (u32, usize),
    /// When what was due was given back last, nanoseconds.
    tidied_ns: u64,
}

impl GiveBack {
    /// After a merge, when series take so many bytes.
    pub(super) fn after_merge(&mut self, bytes: usize) {
        if bytes + GIVE_BACK_FALL_BYTES <= self.high {
            self.again = (GIVE_BACK_CUTS, (self.high - bytes) / GIVE_BACK_LOOK_BYTES);
            self.high = bytes;
        }
        if self.again.0 > 0 {
            self.again.0 -= 1;
            self.looks_left = self.looks_left.max(self.again.1);
        }
        self.high = self.high.max(bytes);
    }

    /// In each turn: some of what waits is freed, and in the end all that is free goes back. `true` when there is more.
    pub(super) fn turn(&mut self) -> bool {
        if self.looks_left == 0 {
            return false;
        }
        reclaim::collect();
        self.looks_left -= 1;
        if self.looks_left == 0 {
            allocator::give_back();
        }
        self.looks_left > 0
    }

    /// With nothing to do: what is due goes back; nobody else would look.
    pub(super) fn idle(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.tidied_ns) >= IDLE_LOOK.as_nanos() as u64 {
            self.tidied_ns = now_ns;
            reclaim::collect();
            allocator::tidy();
        }
    }
}
