//! What died is put away, a part in each turn of the loop.
//!
//! Knows deaths, cells, streams, and routes, those to nowhere included; does not know points.
//!
//! Invariants
//! 1. A cell that died is used again two cuts after its routes went, at the earliest (`REST`).
//! 2. What is put away later than it might be is no harm: routes into dead cells are found out when a point comes for one
//!    (first touch), and an idle stream that is used again is idle no more.
//!
//! Bounds: `limits::TIDY_PER_TURN` cells, streams and routes to nowhere in one go, however many end together.

use super::birthplace::Birthplace;
use super::contexts::Contexts;
use super::links::Links;
use super::making::hold;
use super::overflow::Overflow;
use super::renewal::Dismissed;
use crate::cells::extremes;
use crate::limits::TIDY_PER_TURN;
use std::collections::VecDeque;

/// Intervals a dead cell rests before it is used again: one for the cut in which it died, one for merges under way.
const REST: u32 = 2;

/// What is to be put away.
#[derive(Default)]
pub(super) struct Deaths {
    /// Freed cells that must wait for a cut: (interval in which they may go, line, words).
    waiting: VecDeque<(u32, u32, u32)>,
    /// Streams that were idle when they were last looked for, and since when they should be.
    idle: Vec<u32>,
    idle_before: u32,
    /// How many numbers of routes to nowhere are still to be looked at.
    detours: u32,
    dismissed: Dismissed,
    /// There is more to do in this interval.
    is_due: bool,
}

impl Deaths {
    /// The interval at hand has begun: what died before it is put away first.
    pub(super) fn begin(
        &mut self,
        here: &Birthplace,
        links: &mut Links,
        contexts: &mut Contexts,
        overflow: &mut Overflow,
    ) {
        self.dismissed.begin(contexts);
        self.put_away(here.interval() + REST, here, links, contexts, overflow);
    }

    /// Goes on; `true` when there is more to do in this interval.
    pub(super) fn go_on(
        &mut self,
        here: &Birthplace,
        links: &mut Links,
        contexts: &mut Contexts,
        overflow: &mut Overflow,
    ) -> bool {
        if self.is_due || contexts.has_dismissed() || here.registry().is_asking(here.core().into()) {
            // what died since the interval began counts from the next one
            self.put_away(here.interval() + 1 + REST, here, links, contexts, overflow);
        }
        self.is_due
    }

    /// Forgets dead cells, which may be used again in the interval `rested`, frees those that have rested, then idle streams.
    fn put_away(
        &mut self,
        rested: u32,
        here: &Birthplace,
        links: &mut Links,
        contexts: &mut Contexts,
        overflow: &mut Overflow,
    ) {
        let (registry, interval) = (here.registry(), here.interval());
        let mut left = TIDY_PER_TURN;
        while left > 0
            && let Some(dead) = registry.next_death(here.core().into())
        {
            links.forget(dead.line, contexts);
            self.waiting.push_back((rested, dead.line, dead.words));
            if let Some(beside) = links.take_extremes(dead.line) {
                self.waiting.push_back((rested, beside, extremes::WORDS as u32));
            }
            left -= 1;
        }
        while left > 0
            && let Some(series) = registry.next_asking(here.core().into())
        {
            links.ask_extremes(here, &series);
            left -= 1;
        }
        while left > 0
            && let Some((_, line, words)) = self.waiting.pop_front_if(|(when, _, _)| *when <= interval)
        {
            links.slab_mut().release(line, words as usize);
            left -= 1;
        }
        while left > 0
            && let Some(id) = self.idle.pop()
        {
            if contexts.is_idle(id, self.idle_before) {
                if let Some(group) = contexts.remove(id) {
                    registry.leave(&group);
                }
                *overflow = Overflow::NOTHING;
            }
            left -= 1;
            if self.idle.is_empty() {
                contexts.trim();
            }
        }
        while left > 0 && self.detours > 0 {
            self.detours -= 1;
            links.forget_detour(self.detours, self.idle_before, contexts);
            left -= 1;
            if self.detours == 0 {
                links.trim_detours();
            }
        }
        for group in self.dismissed.go_on(links, contexts, &mut left) {
            registry.leave(&group);
            *overflow = Overflow::NOTHING;
        }
        if self.waiting.is_empty() && self.waiting.capacity() > TIDY_PER_TURN {
            self.waiting = VecDeque::new();
        }
        self.is_due = left == 0 || self.dismissed.is_due(contexts);
        hold(here, links, contexts);
    }

    /// Nobody asks for the extremes of a cell any more.
    pub(super) fn drop_extremes(&mut self, here: &Birthplace, links: &mut Links, line: u32) {
        if let Some(beside) = links.take_extremes(line) {
            // its owner may read it until the next cut
            self.waiting.push_back((here.interval() + 1 + REST, beside, extremes::WORDS as u32));
        }
    }

    /// Streams that have had no route and no use since interval `before` are freed from now on, and routes to nowhere that
    /// were not used since.
    pub(super) fn sweep(&mut self, contexts: &Contexts, links: &Links, before: u32) {
        (self.idle, self.idle_before) = (contexts.idle(before), before);
        self.detours = links.detours();
        self.is_due = true;
    }
}
