//! What merging a series may look at besides the series: the interval, and the banks that cores closed in it.
//!
//! Knows where a bank lies and whether it was touched; does not know what its words mean (`cells`), or what becomes of it.

use super::interval::Interval;
use crate::cells::sequences::Sequences;
use crate::cells::{Bank, Shape, extremes, head};
use crate::examples::Cause;
use crate::ledger::{Effect, Note, Tally};
use crate::model::Peer;
use crate::rules::InitialValue;
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Series};
use std::sync::atomic::AtomicU64;

/// A cut being merged.
#[derive(Clone, Copy)]
pub(super) struct Merging<'a> {
    pub interval: &'a Interval,
    registry: &'a Registry,
    initial: InitialValue,
    asks_extremes: bool,
}

impl<'a> Merging<'a> {
    pub(super) fn new(interval: &'a Interval, registry: &'a Registry) -> Merging<'a> {
        Merging { interval, registry, initial: InitialValue::Auto, asks_extremes: false }
    }

    /// The same for a series of which a rule says how its first point counts (S1).
    pub(super) const fn with(self, initial: InitialValue) -> Merging<'a> {
        Merging { initial, ..self }
    }

    /// The same for a gauge of which a rule asks, or none does, for the smallest and the largest value inside the interval.
    pub(super) const fn asking(self, asks_extremes: bool) -> Merging<'a> {
        Merging { asks_extremes, ..self }
    }

    /// Whether a rule asks for those.
    #[inline]
    pub(super) const fn asks_extremes(self) -> bool {
        self.asks_extremes
    }

    /// The line that has them beside a gauge's cell, if its core keeps them.
    pub(super) fn extremes(self, cell: CellRef) -> Option<&'a [AtomicU64]> {
        let slab = self.registry.slab(cell.core as usize);
        slab.run(head::extremes(slab.run(cell.line, head::WORDS)?)?, extremes::WORDS)
    }

    /// Whether a first cumulative point counts whole.
    pub(super) fn counts_whole(self, start: u64, time: u64) -> bool {
        match self.initial {
            InitialValue::Auto => self.interval.counts_whole(start, time),
            InitialValue::Keep => true,
            InitialValue::Drop => false,
        }
    }

    /// Calls `visit` with the closed bank of each touched cell, its number and its points; returns the points in all.
    #[inline]
    pub(super) fn touched(
        self,
        series: &Series,
        shape: impl Fn(bool) -> Shape,
        mut visit: impl FnMut(CellRef, Bank<'_>, (usize, u64)),
    ) -> u64 {
        let mut points = 0;
        series.each_cell(|cell| {
            let Some(closed) = self.interval.cores.get(cell.core as usize).and_then(|core| core.closed) else { return };
            let Some(bank) = self.bank(cell, shape(cell.cumulative), closed.bank) else { return };
            if let Some(open) = bank.points_of(closed.interval) {
                points += open;
                visit(cell, bank, (closed.bank, open));
            }
        });
        points
    }

    /// A bank of a cell.
    ///
    /// ORDERING: a closed bank is quiet; the cut board's Acquire ordered what is read of it after its last store.
    #[inline(always)]
    pub(super) fn bank(self, cell: CellRef, shape: Shape, bank: usize) -> Option<Bank<'a>> {
        let words = self.registry.slab(cell.core as usize).run(cell.line, shape.words())?;
        Some(Bank::new(words, shape, bank))
    }

    /// What the core of a cell kept of its stream, where that began again in the interval.
    #[inline(always)]
    pub(super) fn sequences(self, cell: CellRef) -> Option<&'a Sequences> {
        self.interval.sequences.get(cell.core as usize)?.as_deref()
    }

    /// Gives the series a block for its values in the owner's slab, if it has none yet.
    pub(super) fn settle_block(self, series: &Series, slab: &mut SlabWriter) {
        if series.block() == 0 {
            // line numbers are kept one higher, so that 0 is "none"
            series.put_block(slab.allocate(series.group.block_words()) + 1);
            self.registry.settle_block(&series.group);
        }
    }

    /// So many points had none.
    #[inline]
    pub(super) fn without_effect(self, series: &Series, effect: Effect, points: u64, tally: &mut Tally) {
        if points > 0 {
            tally.settle(effect, points);
            // of baselines those are worth one that lost something
            if effect != Effect::Baseline {
                self.show(series, Cause::Without(effect));
            }
        }
    }

    /// A baseline has a value of its own that somebody goes without.
    #[cold]
    pub(super) fn without_base(self, series: &Series, tally: &mut Tally) {
        tally.note(Note::BaselineLost, 1);
        self.show(series, Cause::Without(Effect::Baseline));
    }

    /// Keeps the series as an example, if one is wanted.
    pub(super) fn show(self, series: &Series, cause: Cause) {
        let group = &series.group;
        self.registry.examples().show(cause, group.resource(), group.name().as_bytes(), Peer::default());
    }
}
