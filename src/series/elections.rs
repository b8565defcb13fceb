//! Elections: which of several senders of the same counts.
//!
//! Knows hashes of replicas, and in which intervals each was seen; does not know what tells replicas apart, nor what they send.
//!
//! ```text
//!   a block of a resource ─► seen(replica, interval) ─► Elected: its points go on
//!                                                  └──► Standby: they are discarded
//! ```
//!
//! The first replica that is seen is elected. A standby that is seen when the elected one has been silent for longer than the
//! failover takes its place, at once: what silence there was lies in intervals that are over. It keeps it (sticky).
//!
//! Invariants
//! 1. `word` is the place of the elected replica and the number of the election; it changes by compare-and-swap alone, so that
//!    of two standbys one wins.
//! 2. `since` is the interval of the last election but the first: who merges a cut and finds that the last point of a chain is
//!    from before it, compares points of two replicas.
//!
//! Progress: `seen` is wait-free but for a replica that is new. Ordering: each word stands for itself; that a core sees an
//! election late means that it discards points of the new replica, or takes some of the old one, for that long.
//!
//! Bounds: `REPLICAS_MAX` replicas of an election; one more takes the place of the one that was seen the longest ago.
//!
//! Sources: Mimir's HA tracker (#3199: mixed batches; #12108: fixed timeouts flap; #12331: a start that is invented at the
//! change is no reset).

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Replicas that an election tells apart.
pub const REPLICAS_MAX: usize = 8;

/// How long the elected replica may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Two and a half times the longer of its last two gaps, in intervals; before it has two, so many.
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

/// One replica. A place whose hash is 0 is free.
#[derive(Debug, Default)]
struct Replica {
    hash: AtomicU64,
    /// The interval in which it was seen last (32 bits), and its last two gaps (16 each), the newer one higher.
    times: AtomicU64,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct Election {
    /// The place of the elected one and 1 (8 bits), under the number of the election. 0: none yet.
    word: AtomicU64,
    since: AtomicU32,
    replicas: [Replica; REPLICAS_MAX],
}

const PLACE_BITS: u32 = 8;

fn place_of(word: u64) -> Option<usize> {
    (word & ((1 << PLACE_BITS) - 1)).checked_sub(1).map(|place| place as usize)
}

impl Replica {
    /// It is seen in `interval`.
    fn see(&self, interval: u32) {
        let moved = |times: u64| {
            let last = times as u32;
            // interval 0 is none: it was never seen
            let gap = match interval.checked_sub(last)? {
                0 => return None,
                gap if last != 0 => u64::from(gap.min(0xffff)),
                _ => 0,
            };
            let older = if last == 0 { 0 } else { times >> 48 };
            Some(u64::from(interval) | older << 32 | gap << 48)
        };
        // ORDERING: Relaxed: a word that stands for itself
        let _ = self.times.fetch_update(Relaxed, Relaxed, moved);
    }

    /// Whether it has been silent for longer than that, in whole intervals before `interval`.
    fn is_silent(&self, interval: u32, silence: Silence) -> bool {
        // ORDERING: Relaxed, as above
        let times = self.times.load(Relaxed);
        let silent = u64::from(interval.saturating_sub(times as u32).saturating_sub(1));
        let (older, newer) = (times >> 32 & 0xffff, times >> 48);
        match silence {
            Silence::After(most) => silent > u64::from(most),
            Silence::Auto { first } if older == 0 || newer == 0 => silent > u64::from(first),
            Silence::Auto { .. } => 2 * silent > 5 * older.max(newer),
        }
    }
}

impl Election {
    /// The replica with this hash, which is not 0, is seen in `interval`: what it is.
    pub fn seen(&self, hash: u64, interval: u32, silence: Silence) -> Standing {
        let place = self.place(hash, interval);
        // ORDERING: Acquire pairs with the swap below: who sees an election sees `since`
        let word = self.word.load(Acquire);
        let elected = place_of(word);
        if elected == Some(place) {
            self.replicas[place].see(interval);
            return Standing::Elected;
        }
        let may = elected.is_none_or(|elected| self.replicas[elected].is_silent(interval, silence));
        self.replicas[place].see(interval);
        if !may {
            return Standing::Standby;
        }
        let number = (word >> PLACE_BITS) + 1;
        if elected.is_some() {
            // before the election can be seen
            self.since.fetch_max(interval, Relaxed);
        }
        let next = number << PLACE_BITS | (place as u64 + 1);
        // ORDERING: AcqRel: one of several wins, and whoever sees it sees `since`
        match self.word.compare_exchange(word, next, AcqRel, Acquire) {
            Ok(_) => Standing::Elected,
            Err(word) if place_of(word) == Some(place) => Standing::Elected,
            Err(_) => Standing::Standby,
        }
    }

    /// The number of the election; 0 if nobody was elected.
    pub fn number(&self) -> u64 {
        // ORDERING: as in `seen`
        self.word.load(Acquire) >> PLACE_BITS
    }

    /// The interval from which on the elected replica counts in place of another one; 0 if there was no other.
    #[inline]
    pub fn since(&self) -> u32 {
        // ORDERING: Relaxed: it is read at a cut, behind all points of the intervals before
        self.since.load(Relaxed)
    }

    /// The place of a replica: its own, a free one, or that of the one that was seen the longest ago and is not elected.
    fn place(&self, hash: u64, interval: u32) -> usize {
        loop {
            // ORDERING: Relaxed: hashes stand for themselves
            if let Some(place) = self.replicas.iter().position(|replica| replica.hash.load(Relaxed) == hash) {
                return place;
            }
            let elected = place_of(self.word.load(Acquire));
            let age = |place: usize| {
                let replica = &self.replicas[place];
                match replica.hash.load(Relaxed) {
                    0 => u32::MAX,
                    _ => interval.saturating_sub(replica.times.load(Relaxed) as u32),
                }
            };
            let places = (0..REPLICAS_MAX).filter(|place| Some(*place) != elected);
            let place = places.max_by_key(|place| age(*place)).unwrap_or(0);
            let replica = &self.replicas[place];
            let before = replica.hash.load(Relaxed);
            if replica.hash.compare_exchange(before, hash, Relaxed, Relaxed).is_ok() {
                replica.times.store(0, Relaxed);
                return place;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use Standing::{Elected, Standby};

    const AUTO: Silence = Silence::Auto { first: 15 };

    /// RULES, vector 10: after three silent intervals of one who reported in each, the other one takes over, and keeps it.
    #[test]
    fn a_standby_takes_over_when_the_elected_one_is_silent_for_longer_than_its_period() {
        let election = Election::default();
        for interval in 1..=3 {
            assert_eq!(election.seen(11, interval, AUTO), Elected);
            assert_eq!(election.seen(22, interval, AUTO), Standby);
        }
        assert_eq!((election.number(), election.since()), (1, 0));
        assert_eq!([4, 5, 6].map(|interval| election.seen(22, interval, AUTO)), [Standby; 3]);
        assert_eq!(election.seen(22, 7, AUTO), Elected);
        assert_eq!((election.number(), election.since()), (2, 7));
        assert_eq!((election.seen(11, 7, AUTO), election.seen(22, 7, AUTO)), (Standby, Elected));
        assert_eq!((election.seen(11, 8, AUTO), election.seen(22, 9, AUTO)), (Standby, Elected));
    }

    #[test]
    fn who_reports_seldom_is_waited_for_longer() {
        let election = Election::default();
        for interval in [1, 7, 13] {
            assert_eq!(election.seen(11, interval, AUTO), Elected);
        }
        // gaps of six: fifteen silent ones are not longer than 2.5 times that
        assert_eq!((election.seen(22, 29, AUTO), election.seen(22, 30, AUTO)), (Standby, Elected));
        // before there are two gaps, as long as is said
        let election = Election::default();
        assert_eq!(election.seen(11, 1, AUTO), Elected);
        assert_eq!((election.seen(22, 17, AUTO), election.seen(22, 18, AUTO)), (Standby, Elected));
        let election = Election::default();
        election.seen(11, 1, Silence::After(2));
        assert_eq!([3, 4, 5].map(|at| election.seen(22, at, Silence::After(2))), [Standby, Standby, Elected]);
    }

    /// Ever new replicas take the places of the oldest; the elected one keeps its own.
    #[test]
    fn there_are_so_many_places() {
        let election = Election::default();
        for interval in 1..100u32 {
            assert_eq!(election.seen(1, interval, AUTO), Elected);
            assert_eq!(election.seen(1_000 + u64::from(interval), interval, AUTO), Standby);
        }
        assert_eq!(election.number(), 1);
    }

    /// Of many threads that see a silence, one wins.
    #[test]
    fn one_of_several_wins() {
        let election = Election::default();
        election.seen(100, 1, Silence::After(1));
        let elected: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=7u64)
                .map(|hash| {
                    scope.spawn({
                        let election = &election;
                        move || usize::from(election.seen(hash, 9, Silence::After(1)) == Elected)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((elected, election.number(), election.since()), (1, 2, 9));
    }
}
