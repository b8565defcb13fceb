//! Shares of peers: who made what the limits count, and whom the limits refuse.
//!
//! Knows peers as slots of a table, series and groups as numbers; does not know addresses or what a limit is.
//!
//! The rule
//! 1. A live series, or group, under the limits counts for the peer whose point made it, until it is gone.
//! 2. A peer *wants* when a limit (of series, of groups, of memory) keeps one out that it would make, while it has no more
//!    than its share (`--peer-share`) of those that are live. The memory limit counts for series and groups both.
//! 3. A peer that has more than its share makes no more as long as another one wants or has wanted in the intervals that
//!    `Shares::binds` says: what frees up goes to the others. Series and groups are told apart.
//!
//! So alone a peer may have all, and two that are within their shares never bind each other. What a peer has is not taken
//! from it: places free up as series expire.
//!
//! Progress: wait-free; touched at births and deaths, never by a point of a known series.
//!
//! Ordering: counts and hints, which publish nothing: a birth that races past them is one birth.
//!
//! Bounds: `limits::PEERS_MAX` slots. Peers of one slot share it; which do, nobody can know from outside: the hash is keyed
//! per process.

use crate::limits::{PEER_SHARE_DEFAULT, PEERS_MAX};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How peers share.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// What a peer may have of what is live while others want, in hundredths of a percent; 10,000 binds nobody.
    pub share: u32,
    /// Intervals, beside the open one, for which a peer that wanted binds the others.
    pub binds: u32,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares { share: PEER_SHARE_DEFAULT * WHOLE / 100, binds: 2 }
    }
}

/// `Shares::share` of all.
pub const WHOLE: u32 = 10_000;

/// Who makes a series or a group, and in which interval.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// Of `Peers::slot_of`.
    pub slot: u16,
    /// The one that is open.
    pub interval: u32,
}

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedKind {
    /// Series under the limits.
    Series = 0,
    /// Groups under the limits.
    Groups = 1,
}

/// Of one kind of things.
struct ByPeer {
    /// By slot, what is live.
    live: Box<[AtomicU32]>,
    /// Slot and interval of the peer that wanted last, packed; 0: nobody.
    wants: AtomicU64,
    /// The same of the last one in another slot.
    wanted: AtomicU64,
}

impl ByPeer {
    fn new() -> ByPeer {
        let live = (0..PEERS_MAX).map(|_| AtomicU32::new(0)).collect();
        ByPeer { live, wants: AtomicU64::new(0), wanted: AtomicU64::new(0) }
    }
}

fn pack(maker: Maker) -> u64 {
    1 << 63 | u64::from(maker.slot) << 32 | u64::from(maker.interval)
}

fn slot_in(word: u64) -> u16 {
    (word >> 32) as u16 & 0x7fff
}

const _: () = assert!(PEERS_MAX < 1 << 15, "a slot is packed beside a mark");

/// What is known of all peers.
pub struct Peers {
    shares: Shares,
    kept: [ByPeer; 2],
}

impl Peers {
    /// Nobody has anything.
    pub fn new(shares: Shares) -> Peers {
        Peers { shares, kept: [ByPeer::new(), ByPeer::new()] }
    }

    /// The slot of a peer of this hash.
    pub fn slot_of(hash: u64) -> u16 {
        (hash % PEERS_MAX as u64) as u16
    }

    /// Whether it may make one more of those of which `all` are live, as far as others are concerned.
    pub fn may(&self, shared: SharedKind, maker: Maker, all: usize) -> bool {
        !self.other_wants(shared, maker) || !self.has_more(shared, maker, all)
    }

    /// A limit keeps out what it would make.
    pub fn refuse(&self, shared: SharedKind, maker: Maker, all: usize) {
        if self.has_more(shared, maker, all) {
            return;
        }
        let kept = &self.kept[shared as usize];
        let before = kept.wants.load(Relaxed);
        if before != 0 && slot_in(before) != maker.slot {
            kept.wanted.store(before, Relaxed);
        }
        kept.wants.store(pack(maker), Relaxed);
    }

    /// It has made one.
    pub fn add(&self, shared: SharedKind, slot: u16) {
        self.kept[shared as usize].live[usize::from(slot)].fetch_add(1, Relaxed);
    }

    /// One that it made is gone.
    pub fn remove(&self, shared: SharedKind, slot: u16) {
        self.kept[shared as usize].live[usize::from(slot)].fetch_sub(1, Relaxed);
    }

    fn has_more(&self, shared: SharedKind, maker: Maker, all: usize) -> bool {
        let own = self.kept[shared as usize].live[usize::from(maker.slot)].load(Relaxed);
        u64::from(own) * u64::from(WHOLE) > all as u64 * u64::from(self.shares.share)
    }

    fn other_wants(&self, shared: SharedKind, maker: Maker) -> bool {
        let kept = &self.kept[shared as usize];
        [&kept.wants, &kept.wanted].into_iter().any(|word| {
            let word = word.load(Relaxed);
            let (slot, interval) = (slot_in(word), word as u32);
            word != 0 && slot != maker.slot && interval.saturating_add(self.shares.binds) >= maker.interval
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use SharedKind::{Groups, Series};

    fn of(slot: u16, interval: u32) -> Maker {
        Maker { slot, interval }
    }

    fn peers(counts: &[(u16, usize)]) -> Peers {
        let peers = Peers::new(Shares { share: 5_000, binds: 2 });
        for (slot, count) in counts {
            (0..*count).for_each(|_| peers.add(Series, *slot));
        }
        peers
    }

    #[test]
    fn alone_a_peer_may_have_all() {
        let peers = peers(&[(1, 10)]);
        peers.refuse(Series, of(1, 5), 10);
        assert!(peers.may(Series, of(1, 5), 10));
    }

    #[test]
    fn who_has_more_than_its_share_is_bound_while_another_wants_and_a_little_longer() {
        let peers = peers(&[(1, 8), (2, 2)]);
        assert!(peers.may(Series, of(1, 5), 10), "nobody wants");
        peers.refuse(Series, of(2, 5), 10);
        for (interval, may) in [(5, false), (6, false), (7, false), (8, true)] {
            assert_eq!(peers.may(Series, of(1, interval), 10), may, "{interval}");
            assert!(peers.may(Series, of(2, interval), 10) && peers.may(Series, of(3, interval), 10));
        }
        assert!(peers.may(Groups, of(1, 5), 10), "groups are told apart");
        // its own wanting, later, does not hide the other's
        peers.refuse(Series, of(1, 6), 10);
        assert!(!peers.may(Series, of(1, 6), 10));
        // at its share it is free again
        (0..3).for_each(|_| peers.remove(Series, 1));
        assert!(peers.may(Series, of(1, 6), 10));
    }

    #[test]
    fn who_has_more_than_its_share_binds_nobody_and_equals_do_not_bind_each_other() {
        let greedy = peers(&[(1, 7), (2, 3)]);
        greedy.refuse(Series, of(1, 5), 10);
        assert!(greedy.may(Series, of(2, 5), 10));
        let equal = peers(&[(1, 5), (2, 5)]);
        equal.refuse(Series, of(1, 5), 10);
        equal.refuse(Series, of(2, 5), 10);
        assert!(equal.may(Series, of(1, 5), 10) && equal.may(Series, of(2, 5), 10));
    }

    #[test]
    fn two_that_want_are_both_remembered() {
        let peers = peers(&[(1, 8), (2, 1), (3, 1)]);
        peers.refuse(Series, of(1, 5), 15);
        peers.refuse(Series, of(2, 5), 15);
        peers.refuse(Series, of(1, 6), 15);
        assert!(!peers.may(Series, of(1, 6), 10));
        peers.refuse(Series, of(3, 6), 10);
        assert!(!peers.may(Series, of(1, 8), 10));
    }

    #[test]
    fn the_whole_binds_nobody() {
        let peers = Peers::new(Shares { share: WHOLE, binds: 2 });
        (0..10).for_each(|_| peers.add(Series, 1));
        peers.refuse(Series, of(2, 5), 10);
        assert!(peers.may(Series, of(1, 5), 10));
    }
}
