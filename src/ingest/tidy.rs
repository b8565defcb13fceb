//! Between intervals: the banks are switched, and what died is put away, a part in each turn of the loop.
//!
//! Knows deaths, routes and streams; does not know points.
//!
//! Invariants
//! 1. A cell that died is used again two cuts after its routes went, at the earliest (`REST`).
//! 2. What is put away later than it might be is no harm: routes into dead cells are found out when a point comes for one
//!    (`commit`, first touch), and an idle stream that is used again is idle no more.
//!
//! Bounds: `limits::TIDY_PER_TURN` cells and streams in one go, however many end together.

use super::Ingest;
use super::overflow::Known;
use super::routes::NONE;
use crate::cells::head;
use crate::limits::TIDY_PER_TURN;
use std::collections::VecDeque;

/// Intervals a dead cell rests before it is used again: one for the cut in which it died, one for merges under way.
const REST: u32 = 2;

/// What is to be put away.
#[derive(Default)]
pub(super) struct Chores {
    /// Freed cells that must wait for a cut: (interval in which they may go, line, words).
    waiting: VecDeque<(u32, u32, u32)>,
    /// Streams that were idle when they were last looked for, and since when they should be.
    idle: Vec<u32>,
    idle_before: u32,
    /// There is more to do in this interval.
    is_due: bool,
}

impl Ingest {
    /// Switches to the other bank: the interval `number` is open from now on. Called between two requests, or two slices.
    /// Begins to put away what died.
    pub fn switch(&mut self, number: u32) {
        debug_assert!(number > self.interval, "intervals rise");
        self.close_exemplars();
        self.exemplars.begin(number);
        self.interval = number;
        self.bank = 1 - self.bank;
        self.thin_out();
        self.chores.is_due = true;
        self.put_away(number + REST);
    }

    /// Goes on putting away what died; `true` when there is more to do in this interval.
    pub fn tidy(&mut self) -> bool {
        if self.chores.is_due {
            // what died since the switch counts from the next one
            self.put_away(self.interval + 1 + REST);
        }
        self.chores.is_due
    }

    /// Forgets dead cells, which may be used again in the interval `rested`, frees those that have rested, then idle streams.
    fn put_away(&mut self, rested: u32) {
        let mut left = TIDY_PER_TURN;
        while left > 0
            && let Some(dead) = self.registry.next_death(self.core as usize)
        {
            self.forget(dead.line);
            self.chores.waiting.push_back((rested, dead.line, dead.words));
            left -= 1;
        }
        while left > 0
            && let Some((_, line, words)) = self.chores.waiting.pop_front_if(|(when, _, _)| *when <= self.interval)
        {
            self.slab.release(line, words as usize);
            left -= 1;
        }
        while left > 0
            && let Some(id) = self.chores.idle.pop()
        {
            if self.contexts.is_idle(id, self.chores.idle_before) {
                let group = self.contexts.remove(id);
                self.registry.leave(&group);
                self.overflow = Known::NOTHING;
            }
            left -= 1;
            if self.chores.idle.is_empty() {
                self.contexts.trim();
            }
        }
        if self.chores.waiting.is_empty() && self.chores.waiting.capacity() > TIDY_PER_TURN {
            self.chores.waiting = VecDeque::new();
        }
        self.chores.is_due = left == 0;
        self.hold();
    }

    /// Removes the routes that still lead into a dead cell.
    fn forget(&mut self, line: u32) {
        let mut route = head::handle(self.slab.run(line, head::WORDS));
        while let Some(next) = self.routes.get(route).map(|r| r.sibling) {
            self.drop_route(route);
            route = next;
        }
        head::put_handle(self.slab.run(line, head::WORDS), NONE);
    }

    /// Streams that have had no route for `intervals` intervals are freed from now on (`tidy`).
    pub fn sweep(&mut self, intervals: u32) {
        let before = self.interval.saturating_sub(intervals);
        (self.chores.idle, self.chores.idle_before) = (self.contexts.idle(before), before);
        self.chores.is_due = true;
    }
}
