//! The deliver thread: one `mio` loop over all network destinations.
//!
//! Does not know: protocols (see `exporter`), retries (see `lane`), how many shards produce, files (see `writer`).
//!
//! ```text
//!  run: poll until next_ns ─► on_event … ─► turn: each lane as far as it goes ─► rest
//! ```
//!
//! `turn` and `next_ns` read no clock but the one they were given and wait for nothing: whoever calls them may be this
//! thread, or a run that simulates it.
//!
//! Progress: `run` blocks only in `poll`, never longer than the next timer, and in the rests of `pace`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::lane::Lane;
use super::options::Options;
use super::pace::Pace;
use super::queue::PollBell;
use super::state::DeliveryState;
use crate::clock::Now;

/// Token of the bell.
pub(super) const BELL: Token = Token(0);
/// Events taken from the system at once.
const EVENTS: usize = 256;

/// The points still held at exit, by number of the destination.
pub(super) type Left = Vec<(usize, u64)>;

/// All network destinations.
pub(super) struct Worker {
    lanes: Vec<Lane>,
    shared: Arc<DeliveryState>,
    pace: Pace,
    options: Options,
}

impl Worker {
    pub(super) fn new(lanes: Vec<Lane>, shared: Arc<DeliveryState>, options: Options) -> Worker {
        Worker { lanes, shared, pace: Pace::new(options.cores_are_shared), options }
    }

    /// Whether delivery was stopped and has nothing left, or its deadline is over.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.shared.stop_at().is_some_and(|at| now.mono_ns >= at || self.lanes.iter().all(Lane::is_empty))
    }

    /// When a turn is due without an event or a ring, ns; `None` when nothing is.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.lanes.iter().filter_map(Lane::next_ns).chain(self.shared.stop_at()).min()
    }

    fn on_event(&mut self, event: &mio::event::Event) {
        // false for the bell, which is nobody's
        self.lanes.iter_mut().any(|lane| lane.on_event(event.token().0, event));
    }

    /// Moves every destination as far as it goes now; says how long to rest after it.
    pub(super) fn turn(&mut self, registry: &mio::Registry) -> Option<Duration> {
        let begun = self.options.clock.mono_ns();
        for lane in &mut self.lanes {
            lane.turn(registry, &self.options, &self.pace);
        }
        let spent = self.options.clock.mono_ns() - begun;
        let is_pressed = self.shared.stop_at().is_some() || self.lanes.iter().any(Lane::is_pressed);
        self.pace.rest(spent, is_pressed)
    }

    /// What is left at the end.
    pub(super) fn count_left(self) -> Left {
        self.lanes.into_iter().map(|lane| (lane.number(), lane.count_left())).collect()
    }

    /// The loop; returns when stopped and empty, or at the deadline, with the points left per destination.
    pub(super) fn run(mut self, mut poll: Poll, bell: &PollBell) -> io::Result<Left> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = self.options.clock.now();
            if self.is_over(now) {
                return Ok(self.count_left());
            }
            // rounded up: waking a moment too early would spin until the timer is due
            let timeout = self.next_ns().map(|at| match at.saturating_sub(now.mono_ns) {
                0 => Duration::ZERO,
                ns => Duration::from_nanos(ns.saturating_add(999_999) / 1_000_000 * 1_000_000),
            });
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            // ORDERING: AcqRel pairs with `PollBell::ring`: what was pushed before a ring is popped below.
            bell.rung.swap(false, Ordering::AcqRel);
            events.iter().for_each(|event| self.on_event(event));
            if let Some(rest) = self.turn(poll.registry()) {
                std::thread::sleep(rest);
            }
        }
    }
}
