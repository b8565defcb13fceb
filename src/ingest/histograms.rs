//! How a histogram's point goes into a bank of its cell.
//!
//! Knows the layout of the banks of both kinds of histogram, and what a cumulative point is to the one before it (M10,
//! M14); does not know routes beyond the cell they lead to.

use super::Ingest;
use super::commit::{get, put, settled};
use super::regions::{fill_exponential, fill_region};
use crate::aggregate::explicit;
use crate::aggregate::number::{newer, older};
use crate::cells::shape::{FLAGS, Shape, chain_flag, cumulative_region as cr, ended_flag, reset_flag, value_flag};
use crate::cells::stamp::points_of;
use crate::examples::Cause;
use crate::ledger::{Effect, Note, Tally};
use crate::model::Reject;
use crate::otlp::points::{ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};
use std::sync::atomic::AtomicU64;

impl Ingest {
    pub(super) fn histogram(
        &mut self,
        route: u32,
        point: &HistogramPoint<'_>,
        tally: &mut Tally,
    ) -> Result<(), Reject> {
        let shape = self.contexts.at(self.routes.at(route).stream).shape;
        let at = shape.bank(self.bank).start;
        let line = self.touched(route, shape, at, tally)?;
        let words = self.slab.run(line, shape.words());
        count_point(words, at)?;
        if point.flags & NO_RECORDED_VALUE != 0 {
            self.histogram_without_value(words, at, shape, point.time, route, tally);
            return Ok(());
        }
        let mut region = std::mem::take(&mut self.region);
        region.resize(shape.region(), 0);
        fill_region(&mut region, point);
        let applied = if shape.cumulative() {
            self.cumulative_histogram(words, at, shape, (route, point), &region, tally);
            Ok(())
        } else {
            self.delta_histogram(words, at, &region)
        };
        self.region = region;
        applied
    }

    fn delta_histogram(&self, words: &[AtomicU64], at: usize, region: &[u64]) -> Result<(), Reject> {
        let mut into = &words[at + 1..at + 1 + region.len()];
        if explicit::merge(&mut into, &region) {
            // nothing was added; the point was counted in the stamp: take it back
            put(words, at, get(words, at) - 1);
            return Err(Reject::CountOverflow);
        }
        put(words, FLAGS, get(words, FLAGS) | value_flag(self.bank));
        Ok(())
    }

    fn cumulative_histogram(
        &self,
        words: &[AtomicU64],
        at: usize,
        shape: Shape,
        (route, point): (u32, &HistogramPoint<'_>),
        region: &[u64],
        tally: &mut Tally,
    ) {
        if is_superseded(words, at, self.bank, point.time) {
            self.without_effect(words, at, 1, Effect::Superseded, route, tally);
            return;
        }
        let part = |i: usize| {
            let range = shape.region_in_bank(i);
            &words[at + range.start..at + range.end]
        };
        let (mut first, mut last, mut gained) = (part(0), part(1), part(2));
        match self.comes(words, at, point.start, point.time, route, tally) {
            Comes::WithoutEffect => return,
            Comes::Second => {}
            Comes::First => {
                explicit::copy(&mut first, &region);
                explicit::clear(&mut gained);
            }
            Comes::After { anew } => {
                let left_out = if anew || !explicit::follows(&region, &last) {
                    tally.note(Note::Reset, 1);
                    put(words, FLAGS, get(words, FLAGS) | reset_flag(self.bank));
                    explicit::merge(&mut gained, &region)
                } else {
                    explicit::merge_difference(&mut gained, &region, &last)
                };
                if left_out {
                    tally.note(Note::CountOverflow, 1);
                    self.show(Cause::CountOverflow, route);
                }
            }
        }
        explicit::copy(&mut last, &region);
    }

    pub(super) fn exponential(
        &mut self,
        route: u32,
        point: &ExponentialPoint<'_>,
        tally: &mut Tally,
    ) -> Result<(), Reject> {
        let shape = self.contexts.at(self.routes.at(route).stream).shape;
        let at = shape.bank(self.bank).start;
        let line = self.touched(route, shape, at, tally)?;
        let words = self.slab.run(line, shape.words());
        count_point(words, at)?;
        if point.flags & NO_RECORDED_VALUE != 0 {
            self.histogram_without_value(words, at, shape, point.time, route, tally);
            return Ok(());
        }
        let part = |i: usize| {
            let range = shape.region_in_bank(i);
            &words[at + range.start..at + range.end]
        };
        if !shape.cumulative() {
            let [new, last, ..] = &mut self.scratch;
            fill_exponential(new, point);
            let mut region = part(0);
            last.load(&region);
            if last.absorb(new) {
                put(words, at, get(words, at) - 1);
                return Err(Reject::CountOverflow);
            }
            last.store(&mut region);
            put(words, FLAGS, get(words, FLAGS) | value_flag(self.bank));
            return Ok(());
        }
        if is_superseded(words, at, self.bank, point.time) {
            self.without_effect(words, at, 1, Effect::Superseded, route, tally);
            return Ok(());
        }
        let comes = self.comes(words, at, point.start, point.time, route, tally);
        let [new, last, gained, step] = &mut self.scratch;
        fill_exponential(new, point);
        let (mut first_words, mut last_words, mut gained_words) = (part(0), part(1), part(2));
        let mut left_out = false;
        match comes {
            Comes::WithoutEffect => return Ok(()),
            Comes::Second => {}
            Comes::First => {
                new.store(&mut first_words);
                gained.clear();
                gained.store(&mut gained_words);
            }
            Comes::After { anew } => {
                last.load(&last_words);
                gained.load(&gained_words);
                step.copy_from(new);
                if anew || !step.subtract(last) {
                    tally.note(Note::Reset, 1);
                    put(words, FLAGS, get(words, FLAGS) | reset_flag(self.bank));
                    step.copy_from(new);
                }
                left_out = gained.absorb(step);
                gained.store(&mut gained_words);
            }
        }
        new.store(&mut last_words);
        if left_out {
            tally.note(Note::CountOverflow, 1);
            self.show(Cause::CountOverflow, route);
        }
        Ok(())
    }

    /// M7: what a point without a recorded value does to a bank (`cells::shape`, "ended").
    #[cold]
    fn histogram_without_value(
        &self,
        words: &[AtomicU64],
        at: usize,
        shape: Shape,
        time: u64,
        route: u32,
        tally: &mut Tally,
    ) {
        tally.note(Note::NoRecordedValue, 1);
        if !shape.cumulative() {
            return;
        }
        if time <= newest(words, at) {
            self.without_effect(words, at, 1, Effect::Superseded, route, tally);
            return;
        }
        settled(words, at, 1, Effect::WithEffect, tally);
        put(words, at + cr::ENDED, time);
        put(words, FLAGS, get(words, FLAGS) | ended_flag(self.bank));
    }

    /// How a point of a cumulative histogram comes to its bank, and the words beside the regions for it (M10, M14).
    fn comes(&self, words: &[AtomicU64], at: usize, start: u64, time: u64, route: u32, tally: &mut Tally) -> Comes {
        let flags = get(words, FLAGS) & !ended_flag(self.bank);
        let chained = flags & chain_flag(self.bank) != 0;
        let known = get(words, at + cr::LAST_START);
        let second = older(start, known);
        if second && chained {
            self.without_effect(words, at, 1, Effect::Overlapping, route, tally);
            // there is no third region (see `cells::shape`), but it has a value
            put(words, FLAGS, flags);
            return Comes::WithoutEffect;
        }
        put(words, at + cr::NEWEST_START, start);
        put(words, at + cr::LAST_TIME, time);
        if !chained {
            put(words, at + cr::FIRST_START, start);
            put(words, at + cr::FIRST_TIME, time);
        }
        if second {
            put(words, FLAGS, flags | value_flag(self.bank));
            return Comes::Second;
        }
        put(words, at + cr::LAST_START, known.max(start));
        put(words, FLAGS, flags | value_flag(self.bank) | chain_flag(self.bank));
        if chained {
            return Comes::After { anew: newer(start, known) };
        }
        self.begin_chain(words, at, route, tally);
        Comes::First
    }
}

/// Time of the newest point of a cumulative histogram, with a value or without.
fn newest(words: &[AtomicU64], at: usize) -> u64 {
    get(words, at + cr::LAST_TIME).max(get(words, at + cr::ENDED))
}

/// A value of this time comes too late. At equal times the first one stays, but a value goes before none (M7): while the
/// flag stands, the newest point is one without.
fn is_superseded(words: &[AtomicU64], at: usize, bank: usize, time: u64) -> bool {
    let newest = newest(words, at);
    time < newest || time == newest && get(words, FLAGS) & ended_flag(bank) == 0
}

/// How a point of a cumulative histogram comes to its bank.
enum Comes {
    /// From a writer with an older start, after points of the chain.
    WithoutEffect,
    /// From a writer with an older start, and there is nothing else.
    Second,
    /// The first point of the chain.
    First,
    /// After another point of the chain; `anew`: with a newer start.
    After { anew: bool },
}

/// Counts the point in its bank.
pub(super) fn count_point(words: &[AtomicU64], at: usize) -> Result<(), Reject> {
    let word = get(words, at);
    if points_of(word) == u32::MAX {
        return Err(Reject::CellFull);
    }
    put(words, at, word + 1);
    Ok(())
}
