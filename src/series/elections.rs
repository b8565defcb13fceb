//! Elections: which of several senders of the same counts.
//!
//! Knows hashes of replicas, and in which intervals the elected one was seen; does not know what tells replicas apart, nor what
//! they send.
//!
//! ```text
//!   a block of a resource ─► seen(replica, interval) ─► Elected: its points go on
//!                                                  └──► Standby: they are discarded
//! ```
//!
//! The first replica that is seen is elected. A standby that is seen when the elected one has been silent for longer than the
//! failover takes its place, at once: what silence there was lies in intervals that are over. It keeps it (sticky). Of standbys
//! nothing is kept: one that is elected has no gaps yet, and is waited for as at the start until it has two.
//!
//! Invariants
//! 1. `word` says who is elected, and since when; it changes by compare-and-swap alone, so that of two standbys one wins. Whoever
//!    is elected was seen in that interval at least, whatever `times` still say of the one before.
//! 2. `since` is the interval of the last election but the first, written by whoever is told that the replica is elected, before
//!    its points are applied, and by nobody who lost: who merges a cut and finds that the last point of a chain is from before
//!    it, compares points of two replicas.
//!
//! Progress: wait-free but for `times`, where one repeats as another one sees the same replica. Ordering: that a core sees an
//! election late means that it discards points of the new replica, or takes some of the old one, for that long.
//!
//! Bounds: three words, whatever the number of replicas.
//!
//! Sources: Mimir's HA tracker (#3199: mixed batches; #12108: fixed timeouts flap; #12331: a start that is invented at the
//! change is no reset).

use crate::limits::STALE_GAPS_HALVES;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// How long the elected replica may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// `limits::STALE_GAPS_HALVES` of the longer of its last two gaps, in intervals; before it has two, so many.
    Auto {
        /// Intervals.
        first: u32,
    },
    /// So many intervals.
    After(u32),
}

/// What a replica is at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its points count.
    Elected,
    /// Another one's do.
    Standby,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct Election {
    /// The upper 47 bits of the elected one's hash, whether there was another one before it, and the lower 16 bits of the interval
    /// in which it was elected. 0: nobody yet.
    word: AtomicU64,
    /// The interval in which it was seen last (32 bits), and its last two gaps (16 each), the newer one higher.
    times: AtomicU64,
    since: AtomicU32,
}

const INTERVAL_BITS: u64 = 0xffff;
/// Intervals that one core may be behind another one.
const BEHIND_MAX: u64 = 16;
/// There was another one before it.
const TOOK_OVER: u64 = 1 << 16;
/// The lowest bit of the hash.
const HASH: u64 = 1 << 17;

/// Who is elected, by this word.
const fn hash_of(word: u64) -> u64 {
    word & !(HASH - 1)
}

/// That replica, elected in this interval after the one of `before`. A hash of 0 would be nobody.
const fn elect(hash: u64, interval: u32, before: u64) -> u64 {
    let hash = hash_of(hash);
    let hash = if hash == 0 { HASH } else { hash };
    let took_over = if before == 0 { 0 } else { TOOK_OVER };
    hash | took_over | interval as u64 & INTERVAL_BITS
}

/// `times` once it is seen in `interval`; nothing if that changes nothing.
fn seen_in(times: u64, interval: u32) -> Option<u64> {
    let last = times as u32;
    // interval 0 is none: it was never seen
    let gap = match interval.checked_sub(last)? {
        0 => return None,
        gap if last != 0 => u64::from(gap.min(0xffff)),
        _ => 0,
    };
    let older = if last == 0 { 0 } else { times >> 48 };
    Some(u64::from(interval) | older << 32 | gap << 48)
}

impl Election {
    /// The replica with this hash is seen in `interval`: what it is.
    pub fn seen(&self, hash: u64, interval: u32, silence: Silence) -> Standing {
        // ORDERING: Acquire pairs with the swap below; all three words stand for themselves
        let word = self.word.load(Acquire);
        let wanted = elect(hash, interval, word);
        if hash_of(word) == hash_of(wanted) {
            self.note_since(word, interval);
            let _ = self.times.fetch_update(Relaxed, Relaxed, |times| seen_in(times, interval));
            return Standing::Elected;
        }
        if word != 0 && !self.is_silent(word, interval, silence) {
            return Standing::Standby;
        }
        // ORDERING: AcqRel: one of several wins
        match self.word.compare_exchange(word, wanted, AcqRel, Acquire) {
            Ok(_) => {
                self.note_since(wanted, interval);
                // ORDERING: Relaxed; until then invariant 1 holds it
                self.times.store(u64::from(interval), Relaxed);
                Standing::Elected
            }
            Err(word) if hash_of(word) == hash_of(wanted) => {
                self.note_since(word, interval);
                Standing::Elected
            }
            Err(_) => Standing::Standby,
        }
    }

    /// What the replica with this hash would be, were it seen in `interval`: nothing changes.
    pub fn would_be(&self, hash: u64, interval: u32, silence: Silence) -> Standing {
        // ORDERING: as in `seen`
        let word = self.word.load(Acquire);
        let is_elected = word == 0 || hash_of(word) == hash_of(elect(hash, interval, word));
        if is_elected || self.is_silent(word, interval, silence) { Standing::Elected } else { Standing::Standby }
    }

    /// Whoever is told of an election sees to it that `since` has it: the one who won may have been stopped before.
    fn note_since(&self, word: u64, interval: u32) {
        // ORDERING: Relaxed: it is read at a cut, behind all points of the intervals before
        let since = self.since.load(Relaxed);
        if word & TOOK_OVER != 0 && u64::from(since) & INTERVAL_BITS != word & INTERVAL_BITS {
            // elected just now, as this core counts intervals or as another one does
            let ago = interval.wrapping_sub(word as u32) as u16 as i16;
            self.since.fetch_max(interval.wrapping_add_signed(-i32::from(ago)), Relaxed);
        }
    }

    /// Whether the elected one has been silent for longer than that, in whole intervals before `interval`.
    fn is_silent(&self, word: u64, interval: u32, silence: Silence) -> bool {
        // ORDERING: Relaxed, as above
        let times = self.times.load(Relaxed);
        // a core that is behind the one on which it was elected has no silence seen
        let since_election = (u64::from(interval) + BEHIND_MAX).wrapping_sub(word) & INTERVAL_BITS;
        let since_election = since_election.saturating_sub(BEHIND_MAX);
        let since_seen = u64::from(interval.saturating_sub(times as u32));
        let silent = since_election.min(since_seen).saturating_sub(1);
        let (older, newer) = (times >> 32 & 0xffff, times >> 48);
        match silence {
            Silence::After(most) => silent > u64::from(most),
            Silence::Auto { first } if older == 0 || newer == 0 => silent > u64::from(first),
            Silence::Auto { .. } => 2 * silent > STALE_GAPS_HALVES * older.max(newer),
        }
    }

    /// The interval from which on the elected replica counts in place of another one; 0 if there was no other.
    #[inline]
    pub fn since(&self) -> u32 {
        // ORDERING: Relaxed: it is read at a cut, behind all points of the intervals before
        self.since.load(Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use Standing::{Elected, Standby};

    const AUTO: Silence = Silence::Auto { first: 15 };
    const A: u64 = 11 << 20;
    const B: u64 = 22 << 20;

    /// RULES, vector 10: after three silent intervals of one who reported in each, the other one takes over, and keeps it.
    #[test]
    fn a_standby_takes_over_when_the_elected_one_is_silent_for_longer_than_its_period() {
        let election = Election::default();
        for interval in 1..=3 {
            assert_eq!(election.seen(A, interval, AUTO), Elected);
            assert_eq!(election.seen(B, interval, AUTO), Standby);
        }
        assert_eq!(election.since(), 0);
        assert_eq!([4, 5, 6].map(|interval| election.seen(B, interval, AUTO)), [Standby; 3]);
        assert_eq!(election.seen(B, 7, AUTO), Elected);
        assert_eq!(election.since(), 7);
        assert_eq!((election.seen(A, 7, AUTO), election.seen(B, 7, AUTO)), (Standby, Elected));
        assert_eq!((election.seen(A, 8, AUTO), election.seen(B, 9, AUTO)), (Standby, Elected));
    }

    #[test]
    fn whoever_asks_what_a_replica_would_be_changes_nothing() {
        let election = Election::default();
        assert_eq!((election.would_be(A, 1, AUTO), election.would_be(B, 1, AUTO)), (Elected, Elected));
        for interval in 1..=3 {
            assert_eq!(election.seen(A, interval, AUTO), Elected);
        }
        for interval in 3..=6 {
            assert_eq!(
                (election.would_be(A, interval, AUTO), election.would_be(B, interval, AUTO)),
                (Elected, Standby)
            );
        }
        // both may, until one does
        assert_eq!((election.would_be(B, 7, AUTO), election.would_be(A, 7, AUTO)), (Elected, Elected));
        assert_eq!((election.seen(B, 7, AUTO), election.would_be(A, 7, AUTO)), (Elected, Standby));
    }

    #[test]
    fn who_reports_seldom_is_waited_for_longer() {
        let election = Election::default();
        for interval in [1, 7, 13] {
            assert_eq!(election.seen(A, interval, AUTO), Elected);
        }
        // gaps of six: fifteen silent ones are not longer than 2.5 times that
        assert_eq!((election.seen(B, 29, AUTO), election.seen(B, 30, AUTO)), (Standby, Elected));
        // before there are two gaps, as long as is said
        let election = Election::default();
        assert_eq!(election.seen(A, 1, AUTO), Elected);
        assert_eq!((election.seen(B, 17, AUTO), election.seen(B, 18, AUTO)), (Standby, Elected));
        // and one that was just elected has none
        assert_eq!((election.seen(A, 34, AUTO), election.seen(A, 35, AUTO)), (Standby, Elected));
        let election = Election::default();
        election.seen(A, 1, Silence::After(2));
        assert_eq!([3, 4, 5].map(|at| election.seen(B, at, Silence::After(2))), [Standby, Standby, Elected]);
    }

    /// However many replicas come and go, and however long it goes on.
    #[test]
    fn the_elected_one_stays_beside_any_number_of_others() {
        let election = Election::default();
        for interval in (1..200_000u32).step_by(7) {
            assert_eq!(election.seen(A, interval, AUTO), Elected);
            assert_eq!(election.seen(u64::from(interval) << 20 | 1 << 62, interval, AUTO), Standby);
        }
        assert_eq!(election.since(), 0);
        assert_eq!(Election::default().seen(0, 1, AUTO), Elected, "a hash of 0 is somebody");
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::explore;
    use Standing::{Elected, Standby};
    use loom::thread;
    use std::sync::Arc;

    const A: u64 = 1 << 20;
    const B: u64 = 2 << 20;
    const C: u64 = 3 << 20;
    const AFTER: Silence = Silence::After(1);

    /// Two standbys see the silence of the elected one, in intervals that their cores count differently, while that comes back:
    /// one of the three counts from then on, who lost is not told that it won, and `since` is the winner's interval.
    fn takeover(seen: fn(&Election, u64, u32) -> Standing) {
        explore(3, move || {
            let election = Arc::new(Election::default());
            assert_eq!(election.seen(A, 1, AFTER), Elected);
            let standby = {
                let election = election.clone();
                thread::spawn(move || seen(&election, B, 4))
            };
            let back = {
                let election = election.clone();
                thread::spawn(move || election.seen(A, 4, AFTER))
            };
            let mine = seen(&election, C, 5);
            let (theirs, back) = (standby.join().unwrap(), back.join().unwrap());
            assert!((mine, theirs) != (Elected, Elected), "one of two standbys wins");
            let now = [A, B, C].map(|hash| election.seen(hash, 5, AFTER));
            assert_eq!(now.iter().filter(|standing| **standing == Elected).count(), 1, "one counts: {now:?}");
            assert_eq!((now[1], now[2]), (theirs, mine));
            let since = now.iter().position(|standing| *standing == Elected).map(|at| [0, 4, 5][at]);
            assert_eq!(Some(election.since()), since, "the winner's interval");
            assert!(now[0] == Standby || back == Elected, "who counts on was never told otherwise");
            // who was just elected is not silent, whatever was still written of the one before
            assert_eq!([A, B, C].map(|hash| election.seen(hash, 6, AFTER)), now);
        });
    }

    #[test]
    fn loom_elections_of_two_standbys_one_wins() {
        takeover(|election, hash, interval| election.seen(hash, interval, AFTER));
    }

    /// The rig can fail: a standby that looks and then takes the word wins beside another one.
    #[test]
    #[should_panic(expected = "one of two standbys wins")]
    fn loom_elections_taking_the_word_after_a_look_is_caught() {
        takeover(|election, hash, interval| {
            let word = election.word.load(Acquire);
            if !election.is_silent(word, interval, AFTER) {
                return Standby;
            }
            election.word.store(elect(hash, interval, word), Relaxed);
            Elected
        });
    }

    /// Two threads see one replica for the first time: it is elected for both.
    #[test]
    fn loom_elections_a_replica_on_two_cores_is_one() {
        explore(3, || {
            let election = Arc::new(Election::default());
            let other = {
                let election = election.clone();
                thread::spawn(move || election.seen(A, 1, AFTER))
            };
            assert_eq!((election.seen(A, 1, AFTER), other.join().unwrap()), (Elected, Elected));
        });
    }
}
