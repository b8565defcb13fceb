//! The budget for bodies of requests, and what of it a peer may have.
//!
//! Knows peers as slots of a table (`series::peers`) and bytes; does not know connections.
//!
//! The rule
//! 1. A peer *wants* when the budget keeps it from what it asks for while it has no more than its share (`--peer-share`).
//! 2. A peer that has more than its share gets nothing more as long as another one wants, or has wanted in the last
//!    `limits::PEER_WANTS_FOR`, and gives way: its bodies that are not whole are ended, the one that comes slowest first,
//!    until it has no more than its share.
//!
//! Calls in progress have no share of their own: each HTTP/2 call whose body is waited for holds `limits::CALL_BYTES` here, so
//! a peer with very many of them holds more than its share of bytes, and gives way (`tests/run/shares.rs`). A request over
//! HTTP/1.1 is a connection, of which a peer has a share anyway (`listen::connections`).
//!
//! So alone a peer may have all, and two that are within their shares never bind each other.
//!
//! Progress: wait-free. Ordering: counts and hints, which publish nothing.
//!
//! Bounds: `limits::PEERS_MAX` slots; peers of one slot share it.

use crate::limits::{PEER_WANTS_FOR, PEERS_MAX};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// See the file's head.
pub(super) struct Bodies {
    max: usize,
    /// What a peer may have while others want.
    share: usize,
    taken: AtomicUsize,
    /// By slot.
    held: Box<[AtomicUsize]>,
    /// Slots that have more than their share.
    over: AtomicUsize,
    /// Slot of the peer that wanted last, and when in milliseconds, packed; 0: nobody.
    wants: AtomicU64,
}

/// What asking for room led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is granted.
    Granted,
    /// There is none.
    Refused,
    /// There is none, and others have to give way who were not told yet.
    Wanted,
}

const TIME_BITS: u32 = 48;
const NS_PER_MS: u64 = 1_000_000;

impl Bodies {
    /// Of `max` bytes, of which a peer may have `share` hundredths of a percent while others want.
    pub(super) fn new(max: usize, share: u32) -> Bodies {
        let share = (max as u128 * u128::from(share) / u128::from(crate::series::peers::WHOLE)) as usize;
        let held = (0..PEERS_MAX).map(|_| AtomicUsize::new(0)).collect();
        Bodies { max, share, taken: 0.into(), held, over: 0.into(), wants: 0.into() }
    }

    /// Bytes that may be held.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Bytes held.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Takes `bytes` for the peer of `slot`, if it may.
    pub(super) fn reserve(&self, slot: u16, bytes: usize, now_ns: u64) -> Asked {
        let held = &self.held[usize::from(slot)];
        let own = held.load(Relaxed);
        let is_bound = own + bytes > self.share && self.other_wants(slot, now_ns);
        // ORDERING: a budget; publishes nothing
        let before = self.taken.fetch_add(bytes, Relaxed);
        if is_bound || before + bytes > self.max {
            self.taken.fetch_sub(bytes, Relaxed);
            if own > self.share || is_bound {
                return Asked::Refused;
            }
            let news = !self.is_wanted(now_ns);
            self.wants.store(u64::from(slot) << TIME_BITS | (now_ns / NS_PER_MS + 1), Relaxed);
            return if news || self.over.load(Relaxed) > 0 { Asked::Wanted } else { Asked::Refused };
        }
        let own = held.fetch_add(bytes, Relaxed);
        if own <= self.share && own + bytes > self.share {
            self.over.fetch_add(1, Relaxed);
        }
        Asked::Granted
    }

    /// Gives back what `reserve` granted.
    pub(super) fn release(&self, slot: u16, bytes: usize) {
        // ORDERING: as in `reserve`
        let own = self.held[usize::from(slot)].fetch_sub(bytes, Relaxed);
        if own > self.share && own - bytes <= self.share {
            self.over.fetch_sub(1, Relaxed);
        }
        self.taken.fetch_sub(bytes, Relaxed);
    }

    /// Whether somebody wants, and somebody has more than his share.
    pub(super) fn is_wanted(&self, now_ns: u64) -> bool {
        self.over.load(Relaxed) > 0 && self.wants_since(now_ns).is_some()
    }

    /// Whether the peer of `slot` has to give way.
    pub(super) fn gives_way(&self, slot: u16, now_ns: u64) -> bool {
        self.held[usize::from(slot)].load(Relaxed) > self.share && self.other_wants(slot, now_ns)
    }

    fn other_wants(&self, slot: u16, now_ns: u64) -> bool {
        self.wants_since(now_ns).is_some_and(|other| other != slot)
    }

    /// The slot of who wants.
    fn wants_since(&self, now_ns: u64) -> Option<u16> {
        let word = self.wants.load(Relaxed);
        let at_ms = word & ((1 << TIME_BITS) - 1);
        let is_fresh = now_ns / NS_PER_MS <= at_ms + PEER_WANTS_FOR.as_millis() as u64;
        (word != 0 && is_fresh).then_some((word >> TIME_BITS) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alone a peer has all; who has more than his share gives way while another wants, and for a time after it.
    #[test]
    fn a_share_binds_while_another_wants() {
        let bodies = Bodies::new(100, 5_000);
        assert_eq!(bodies.reserve(1, 100, 0), Asked::Granted);
        assert_eq!(bodies.reserve(1, 1, 0), Asked::Refused);
        assert!(!bodies.is_wanted(0) && !bodies.gives_way(1, 0), "nobody else wants");
        assert_eq!(bodies.reserve(2, 10, 0), Asked::Wanted);
        assert!(bodies.is_wanted(0) && bodies.gives_way(1, 0) && !bodies.gives_way(2, 0));
        bodies.release(1, 40);
        assert!(bodies.gives_way(1, 0), "60 of 50");
        assert_eq!(bodies.reserve(1, 1, 0), Asked::Refused);
        assert_eq!(bodies.reserve(2, 10, 0), Asked::Granted);
        bodies.release(1, 10);
        assert!(!bodies.is_wanted(0) && !bodies.gives_way(1, 0));
        assert_eq!(bodies.reserve(1, 1, 0), Asked::Refused, "no more than its share");
        let later = PEER_WANTS_FOR.as_nanos() as u64 + 2 * NS_PER_MS;
        assert_eq!(bodies.reserve(1, 40, later), Asked::Granted);
        bodies.release(1, 90);
        bodies.release(2, 10);
        assert_eq!((bodies.taken(), bodies.over.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_share_of_all_binds_nobody() {
        let bodies = Bodies::new(100, 10_000);
        assert_eq!(bodies.reserve(1, 100, 0), Asked::Granted);
        bodies.reserve(2, 10, 0);
        assert!(!bodies.is_wanted(0) && !bodies.gives_way(1, 0));
    }
}
