//! When a destination is left in peace: a breaker opens after failures, and lets one request through at a time until one is
//! answered.
//!
//! Does not know: requests, protocols, how long a wait is (it is told until when), who is told of a change.
//!
//! ```text
//!  closed ─ many failures in a row, or half of the last ─► open ─ wait over: `probe` ─► half-open
//!    ▲                                                      ▲                            │    │
//!    └───────────────────────── answered ───────────────────┼────────────────────────────┘    │
//!                                                           └───────── failed: a longer wait ─┘
//! ```
//!
//! A failure is a try that is to be made again: no connection, no answer, or an answer that asks for it. Every other answer
//! says that somebody is there, whatever became of the request; but for one that does not take our credentials, with which it
//! opens at once.
//!
//! Invariants:
//! 1. Unless it is closed at most one try is begun at a time: the probe.
//! 2. What was under way when it opened neither closes it nor makes the wait longer.
//! 3. Failures of one moment, those of all that one connection carried, open no breaker: one more is needed, begun later.
//!
//! Progress: plain values of one thread; `BreakerSign` is one word with one writer, read whole by whoever likes.
//! Bounds: none of its own. Sources: THREATS, faults of backends.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{BREAKER_FAILURES, BREAKER_WINDOW};

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything goes.
    Closed = 1,
    /// Nothing goes.
    Open,
    /// One request is under way, to see whether others may go.
    HalfOpen,
}

impl BreakerState {
    /// All, in the order of their numbers, which begin with 1.
    pub const ALL: [BreakerState; 3] = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];

    /// As metrics and pages call it.
    pub const fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// How the breaker of a destination stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRow {
    /// How it stands.
    pub state: BreakerState,
    /// Wall clock at which that began, milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// Where a breaker is shown.
#[derive(Default)]
pub(super) struct BreakerSign(AtomicU64);

impl BreakerSign {
    /// It stands so from now on.
    pub(super) fn put(&self, state: BreakerState, wall_ns: u64) {
        // ORDERING: Relaxed: one word, which publishes nothing else
        self.0.store((wall_ns / 1_000_000) << 2 | state as u64, Ordering::Relaxed);
    }

    /// There is none any more.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How it stands; nothing where there is none.
    pub(super) fn read(&self) -> Option<BreakerRow> {
        let word = self.0.load(Ordering::Relaxed);
        let state = BreakerState::ALL.into_iter().find(|state| *state as u64 == word & 3)?;
        Some(BreakerRow { state, since_unix_ms: word >> 2 })
    }
}

/// What a breaker makes of the tries before.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        until_ns: u64,
    },
    /// The probe is in this slot.
    HalfOpen {
        slot: usize,
    },
}

/// The breaker of one destination.
pub(super) struct Breaker {
    phase: Phase,
    /// Failures since the last answer.
    in_a_row: usize,
    /// Tries of the window, which ends when they are as many as it takes.
    tries: usize,
    /// Of these, those that failed.
    failures: usize,
}

/// Tries that are judged together: of one moment can be a quarter of them at most.
fn window(in_flight: usize) -> usize {
    BREAKER_WINDOW.max(4 * in_flight)
}

impl Breaker {
    pub(super) const fn new() -> Breaker {
        Breaker { phase: Phase::Closed, in_a_row: 0, tries: 0, failures: 0 }
    }

    /// Everything may go.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// When the next probe may go, ns; nothing unless it is open.
    pub(super) const fn probe_at_ns(&self) -> Option<u64> {
        match self.phase {
            Phase::Open { until_ns } => Some(until_ns),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// What is in this slot is the probe.
    pub(super) const fn probe(&mut self, slot: usize) {
        self.phase = Phase::HalfOpen { slot };
    }

    /// One more try of the window; whether it is over, half of them failed, and this one did. One that would end with an answer
    /// so goes on to the next failure.
    fn count(&mut self, failed: bool, in_flight: usize) -> bool {
        (self.tries, self.failures) = (self.tries + 1, self.failures + usize::from(failed));
        if self.tries < window(in_flight) {
            return false;
        }
        let is_half = self.failures * 2 >= self.tries;
        if failed || !is_half {
            (self.tries, self.failures) = (0, 0);
        }
        failed && is_half
    }

    /// A try had credentials that are not taken, so that no other is better off; whether it opened.
    pub(super) fn refused(&mut self, slot: usize, until_ns: u64) -> bool {
        match self.phase {
            Phase::HalfOpen { slot: probe } if probe != slot => false,
            Phase::Open { .. } => false,
            Phase::Closed | Phase::HalfOpen { .. } => {
                self.phase = Phase::Open { until_ns };
                true
            }
        }
    }

    /// A try failed, and is made again not before `until_ns`; whether it opened. `in_flight` others may have been under way.
    pub(super) fn failed(&mut self, slot: usize, until_ns: u64, in_flight: usize) -> bool {
        match self.phase {
            Phase::Closed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                let is_half = self.count(true, in_flight);
                if self.in_a_row < BREAKER_FAILURES.max(in_flight + 1) && !is_half {
                    return false;
                }
            }
            Phase::HalfOpen { slot: probe } if probe == slot => {}
            Phase::HalfOpen { .. } | Phase::Open { .. } => return false,
        }
        self.phase = Phase::Open { until_ns };
        true
    }

    /// Somebody answered; whether it closed.
    pub(super) fn answered(&mut self, slot: usize, in_flight: usize) -> bool {
        match self.phase {
            Phase::Closed => {
                self.in_a_row = 0;
                self.count(false, in_flight)
            }
            Phase::HalfOpen { slot: probe } if probe == slot => self.close(),
            Phase::HalfOpen { .. } | Phase::Open { .. } => false,
        }
    }

    /// What was is no sign of what will be; whether it was not closed.
    pub(super) fn close(&mut self) -> bool {
        let was_closed = self.is_closed();
        *self = Breaker::new();
        !was_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures in a row open it, those of one moment do not; an answer between them begins the row anew.
    #[test]
    fn it_opens_after_failures_in_a_row_one_of_which_began_after_the_others() {
        for in_flight in [1, 4, 5, 64] {
            let needed = BREAKER_FAILURES.max(in_flight + 1);
            let mut breaker = Breaker::new();
            for round in 0..3 {
                let opened = (1..needed).any(|n| breaker.failed(n % in_flight, 7, in_flight));
                assert!(!opened && breaker.is_closed(), "{in_flight} {round}");
                // not half of them all
                (0..2 * needed).for_each(|_| assert!(!breaker.answered(0, in_flight)));
            }
            let opened = (1..=needed).filter(|n| breaker.failed(n % in_flight, 7, in_flight)).count();
            assert!(opened == 1 && breaker.probe_at_ns() == Some(7), "{in_flight}");
        }
    }

    /// Half of the last tries are enough, however they lie between the others; fewer are not, nor is half of a few.
    #[test]
    fn it_opens_when_half_of_the_last_tries_failed() {
        let tries = |count: usize, fails: fn(usize) -> bool| {
            let mut breaker = Breaker::new();
            (1..=count).find(|&n| match fails(n) {
                true => breaker.failed(0, 0, 1),
                false => breaker.answered(0, 1),
            })
        };
        assert_eq!(tries(1_000, |n| n % 2 == 0), Some(BREAKER_WINDOW));
        assert_eq!(tries(1_000, |n| n % 2 == 1), Some(BREAKER_WINDOW + 1), "the last of the window was answered");
        assert_eq!(tries(BREAKER_WINDOW - 1, |n| n % 2 == 0), None, "too few to tell");
        assert_eq!(tries(1_000, |n| n % 5 < 2), None, "two of five");
        assert_eq!(tries(1_000, |n| n > 500 && n % 2 == 0), Some(520), "what is long past is forgotten");
    }

    /// One probe at a time decides, and nothing else does; closed, it begins anew.
    #[test]
    fn the_probe_alone_closes_it_or_keeps_it_open() {
        let mut breaker = Breaker::new();
        assert_eq!((0..BREAKER_FAILURES).filter(|_| breaker.failed(0, 10, 1)).count(), 1);
        assert_eq!(breaker.probe_at_ns(), Some(10));
        assert!(!breaker.failed(1, 99, 1) && !breaker.answered(1, 1), "what was under way");
        assert_eq!(breaker.probe_at_ns(), Some(10));
        breaker.probe(2);
        assert_eq!((breaker.is_closed(), breaker.probe_at_ns()), (false, None));
        assert!(!breaker.failed(1, 99, 1) && !breaker.answered(1, 1));
        assert!(breaker.failed(2, 20, 1) && breaker.probe_at_ns() == Some(20));
        breaker.probe(0);
        assert!(breaker.answered(0, 1) && breaker.is_closed());
        assert!((1..BREAKER_FAILURES).all(|_| !breaker.failed(0, 0, 1)), "nothing is left of what was before");
        assert!(breaker.failed(0, 0, 1) && breaker.close() && !breaker.close());
        assert!(breaker.refused(3, 30) && !breaker.refused(1, 40), "one whose credentials are not taken is enough");
        assert_eq!(breaker.probe_at_ns(), Some(30));
        breaker.probe(1);
        assert!(!breaker.refused(3, 50) && breaker.refused(1, 60) && breaker.probe_at_ns() == Some(60));
    }

    #[test]
    fn a_sign_is_read_whole() {
        let sign = BreakerSign::default();
        assert_eq!(sign.read(), None);
        for state in BreakerState::ALL {
            sign.put(state, 1_764_489_600_123_456_789);
            assert_eq!(sign.read(), Some(BreakerRow { state, since_unix_ms: 1_764_489_600_123 }), "{}", state.word());
        }
        sign.clear();
        assert_eq!(sign.read(), None);
    }
}
