//! Whether a member that says nothing still counts (RULES S4).
//!
//! Knows when a member was touched, at base cuts; does not know cuts, members or clocks: times are milliseconds that may
//! wrap around (every 49 days), as no silence is longer than `--expire`.

use crate::limits::{STALE_BEFORE_GAPS_MS, STALE_GAPS_HALVES};
use crate::rules::Stale;

/// When a member was touched last, and the two gaps before that. 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    touched_ms: u32,
    /// The newest first; 0: there was none yet. `UNTOUCHED` first: it was not touched yet.
    gaps_ms: [u32; 2],
}

const UNTOUCHED: u32 = u32::MAX;

impl Default for Liveness {
    /// Not touched yet: the first time has no gap before it.
    fn default() -> Liveness {
        Liveness { touched_ms: 0, gaps_ms: [UNTOUCHED, 0] }
    }
}

impl Liveness {
    /// Touched for the first time.
    pub const fn new(now_ms: u32) -> Liveness {
        Liveness { touched_ms: now_ms, gaps_ms: [0; 2] }
    }

    /// A time of a cut as milliseconds that wrap around.
    #[inline]
    pub const fn at(boundary_ns: u64) -> u32 {
        (boundary_ns / 1_000_000) as u32
    }

    /// Touched in the interval that a base cut at `now_ms` closes.
    #[inline]
    pub fn touch(&mut self, now_ms: u32) {
        if self.gaps_ms[0] == UNTOUCHED {
            *self = Liveness::new(now_ms);
            return;
        }
        let gap = self.silent_ms(now_ms);
        if gap > 0 {
            self.gaps_ms = [gap, self.gaps_ms[0]];
        }
        self.touched_ms = now_ms;
    }

    /// Whether it counts at a base cut at `now_ms`.
    #[inline]
    pub fn is_live(&self, now_ms: u32, stale: Stale, expire_ms: u64) -> bool {
        if self.gaps_ms[0] == UNTOUCHED {
            return false;
        }
        let longest = match stale {
            Stale::After(ns) => ns / 1_000_000,
            Stale::Auto if self.gaps_ms[1] == 0 => STALE_BEFORE_GAPS_MS,
            Stale::Auto => u64::from(self.gaps_ms[0].max(self.gaps_ms[1])) * STALE_GAPS_HALVES / 2,
        };
        u64::from(self.silent_ms(now_ms)) <= longest.min(expire_ms)
    }

    /// Where the wall clock was set back, it was touched just now.
    #[inline]
    const fn silent_ms(&self, now_ms: u32) -> u32 {
        let silent = now_ms.wrapping_sub(self.touched_ms);
        if silent > u32::MAX / 2 { 0 } else { silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRE: u64 = 300_000;

    /// The first of these cuts at which it is not live any more.
    fn gone(liveness: &Liveness, stale: Stale, from: u32) -> Option<u32> {
        (0..100).map(|i| from.wrapping_add(i * 10_000)).find(|now| !liveness.is_live(*now, stale, EXPIRE))
    }

    #[test]
    fn s4_a_member_is_live_for_two_and_a_half_of_its_longer_gap() {
        assert_eq!(size_of::<Liveness>(), 12);
        let mut b = Liveness::new(10_000);
        assert_eq!(gone(&b, Stale::Auto, 10_000), Some(170_000), "as if it reported every minute");
        b.touch(20_000);
        assert_eq!(gone(&b, Stale::Auto, 20_000), Some(180_000), "one gap is none");
        b.touch(30_000);
        assert_eq!(gone(&b, Stale::Auto, 30_000), Some(60_000), "three silent cuts");
        b.touch(90_000);
        assert_eq!(gone(&b, Stale::Auto, 90_000), Some(250_000), "the longer of the two");
        b.touch(100_000);
        b.touch(110_000);
        assert_eq!(gone(&b, Stale::Auto, 110_000), Some(140_000));
        assert_eq!(gone(&b, Stale::After(55_000_000_000), 110_000), Some(170_000));
    }

    #[test]
    fn s4_never_longer_than_expire_whatever_the_clock_does() {
        let mut slow = Liveness::new(0);
        slow.touch(200_000);
        slow.touch(400_000);
        assert_eq!(gone(&slow, Stale::Auto, 400_000), Some(710_000));
        assert_eq!(gone(&slow, Stale::After(u64::MAX), 400_000), Some(710_000));
        let wraps = Liveness::new(u32::MAX - 4_999);
        assert!(wraps.is_live(145_000, Stale::Auto, EXPIRE) && !wraps.is_live(145_001, Stale::Auto, EXPIRE));
        let mut back = Liveness::new(500_000);
        back.touch(100_000);
        assert_eq!(back, Liveness::new(100_000), "a clock that was set back makes no gap");
    }
}
