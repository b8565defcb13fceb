//! Expiry: a series that had no point for `--expire` dies, in two cuts (protocol and its model: `cells::lifecycle`).
//!
//! Knows when a series was touched last, by the stamps of its cells; does not know its value. What is idle is marked
//! while a cut is merged; what is still untouched when the next cut is merged dies.
//!
//! Ages are told on the monotonic clock: what is alive stays so, wherever the wall clock steps.
//!
//! Bounds: times of at most `AGES_MAX` cuts are remembered, evenly over `--expire`; both steps are taken in slices.

use super::interval::Interval;
use super::tree::Tree;
use crate::cells::lifecycle::{self, RetireOutcome};
use crate::cells::{Bank, head};
use crate::identity::overflow::is_overflow;
use crate::ledger::{Note, Tally};
use crate::series::registry::{DeadCell, Registry};
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Series};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Times remembered.
const AGES_MAX: u64 = 1024;
/// Room that is kept for what is about to die, when much more is no longer needed.
const RETIRING_KEPT: usize = 1024;

/// Which cut lies `--expire` back.
struct Ages {
    expire_ns: u64,
    cuts: VecDeque<(u32, u64)>,
    /// Series not touched after this cut are idle; 0: none can be.
    idle_since: u32,
}

impl Ages {
    fn new(expire_ns: u64) -> Ages {
        Ages { expire_ns, cuts: VecDeque::new(), idle_since: 0 }
    }

    fn note(&mut self, number: u32, mono: u64) {
        while let Some((old, _)) = self.cuts.front().filter(|(_, at)| at.saturating_add(self.expire_ns) <= mono) {
            self.idle_since = *old;
            self.cuts.pop_front();
        }
        let step = self.expire_ns / AGES_MAX;
        if self.cuts.back().is_none_or(|(_, last)| mono >= last.saturating_add(step)) {
            self.cuts.push_back((number, mono));
        }
    }
}

/// What is about to die.
pub(super) struct Retirement {
    ages: Ages,
    /// Marked at the cut before, with their groups.
    retiring: Vec<(u32, Arc<Series>)>,
}

impl Retirement {
    pub(super) fn new(expire_ns: u64) -> Retirement {
        Retirement { ages: Ages::new(expire_ns), retiring: Vec::new() }
    }

    /// A cut was made at this time, monotonic clock.
    pub(super) fn note_cut(&mut self, number: u32, mono_ns: u64) {
        self.ages.note(number, mono_ns);
    }

    /// What was not touched after this cut is idle; 0: nothing can be.
    pub(super) fn idle_since(&self) -> u32 {
        self.ages.idle_since
    }

    /// When a cut was made, or one shortly before it, monotonic clock; nothing: that is longer ago than `--expire`.
    pub(super) fn time_of(&self, cut: u32) -> Option<u64> {
        let cuts = &self.ages.cuts;
        let behind = cuts.partition_point(|(number, _)| *number <= cut);
        behind.checked_sub(1).and_then(|at| cuts.get(at)).map(|(_, mono)| *mono)
    }

    /// Marks the series if nobody touched it for `--expire`. An interval `n + 1` is open after cut `n`.
    pub(super) fn mark_if_idle(&mut self, registry: &Registry, group: u32, series: &Arc<Series>) {
        if self.ages.idle_since == 0 {
            return;
        }
        let mut idle = true;
        series.each_cell(|cell| {
            stamps(registry, series, cell, |stamps, _| idle &= stamps[0].max(stamps[1]) <= self.ages.idle_since);
        });
        if !idle {
            return;
        }
        let mut begun = false;
        series.each_cell(|cell| stamps(registry, series, cell, |_, state| begun |= lifecycle::begin_retire(state)));
        if begun {
            self.retiring.push((group, series.clone()));
        }
    }

    /// Decides about what was marked at the cut before; `false` when nothing is left to decide.
    pub(super) fn decide_some(
        &mut self,
        interval: &Interval,
        (registry, tree): (&Registry, &mut Tree),
        slab: &mut SlabWriter,
        tally: &mut Tally,
        n: usize,
    ) -> bool {
        for _ in 0..n {
            let Some((group, series)) = self.retiring.pop() else {
                self.retiring.shrink_to(RETIRING_KEPT);
                tree.trim();
                return false;
            };
            let mut touched = false;
            series.each_cell(|cell| {
                let Some(core) = interval.cores.get(cell.core as usize) else { return };
                let now =
                    |stamp| stamp == core.open_interval || core.closed.is_some_and(|closed| stamp == closed.interval);
                stamps(registry, &series, cell, |stamps, _| touched |= stamps.into_iter().any(now));
            });
            let (mut dead, mut live) = (Vec::new(), 0);
            let places = series.each_cell(|cell| {
                stamps(registry, &series, cell, |_, state| match lifecycle::finish_retire(state, touched) {
                    RetireOutcome::Dead => dead.push(cell),
                    RetireOutcome::BackToLive => live += 1,
                });
            });
            if live > 0 {
                tally.note(Note::SeriesRevived, 1);
            }
            let dies = live == 0 && series.die(&dead, places);
            for cell in dead {
                if !dies {
                    series.mark_gone(cell);
                }
                let words = series.shape(cell.cumulative).words() as u32;
                registry.bury(cell.core as usize, DeadCell { line: cell.line, words });
            }
            if dies {
                bury(&series, registry, slab);
                tree.bury(group);
                tally.note(Note::SeriesExpired, 1);
            }
        }
        true
    }
}

/// The intervals in the stamps of both banks, and the state word, of a cell.
///
/// ORDERING: the stamps are read Relaxed: the fence in `begin_retire` stands between mark and stamps.
fn stamps(registry: &Registry, series: &Series, cell: CellRef, with: impl FnOnce([u32; 2], &AtomicU64)) {
    let shape = series.shape(cell.cumulative);
    if let Some(words) = registry.slab(cell.core as usize).run(cell.line, shape.words()) {
        with([0, 1].map(|bank| Bank::new(words, shape, bank).interval()), head::state(words));
    }
}

/// Takes a dead series out of the index, and gives its block back.
fn bury(series: &Arc<Series>, registry: &Registry, slab: &mut SlabWriter) {
    let block = series.block();
    series.put_dead();
    match (series.group.block_words(), block) {
        (0, _) => {}
        (_, 0) => registry.settle_block(&series.group),
        (words, line) => slab.release(line - 1, words),
    }
    registry.remove(series, !is_overflow(&series.attributes));
}
