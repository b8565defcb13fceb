//! Histograms at a cut: the closed banks of a series become its value, for both kinds alike.
//!
//! Knows which regions are added when (conformance M8 to M24, and `chain`); what adding means for a kind of histogram
//! lies behind `Arithmetic`.
//!
//! Counts that do not fit 64 bits are counted (`CountOverflow`). If a step of one core would take the sum of steps past
//! them, it is left out. If a step would take the total past them, the total starts again at the cut before, with that
//! step alone.
//!
//! No allocation for a series in steady state: memory for one of each kind is kept.

use super::chain::{CoreSpan, Stands, put_chain, settle, stands};
use super::ended::{Mark, ended};
use super::merging::Merging;
use super::point::StagedPoint;
use crate::aggregate::explicit::{self, RegionWords};
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::{Value, newer};
use crate::cells::cumulative_histogram::{self, Folded, Part, region};
use crate::cells::{Shape, block};
use crate::examples::Cause;
use crate::ledger::{Effect, Note, Tally};
use crate::model::Kind;
use crate::series::Series;
use crate::series::slab::SlabWriter;
use std::sync::atomic::AtomicU64;

/// The arithmetic of one kind of histogram: an interval's *step*, and the *total* it leads to. What adds returns `true`
/// where a count would leave 64 bits (M8); nothing is added then.
trait Arithmetic {
    /// Empties the step; regions have so many words.
    fn begin(&mut self, words: usize);
    /// Adds a delta's region to the step.
    fn add(&mut self, from: &[AtomicU64]) -> bool;
    /// Adds a region that a cumulative stream gained: without minimum and maximum (M22).
    fn add_gained(&mut self, from: &[AtomicU64]) -> bool;
    /// Whether `newer` can follow `older` without a reset; if so, remembers the difference.
    fn follows(&mut self, newer: &[AtomicU64], older: &[AtomicU64]) -> bool;
    /// Adds the difference remembered last to the step.
    fn add_difference(&mut self) -> bool;
    /// The total is that region.
    fn total_is(&mut self, region: &[AtomicU64]);
    /// The total is that region, or nothing, and the step; the step alone, and `true`, if the sum does not fit.
    fn total_after(&mut self, region: Option<&[AtomicU64]>) -> bool;
    /// Writes the total.
    fn put_total(&self, into: &mut impl RegionWords);
    /// Writes the step.
    fn put_step(&self, into: &mut impl RegionWords);
}

/// Explicit bounds: regions as they are.
#[derive(Default)]
struct Explicit {
    step: Vec<u64>,
    difference: Vec<u64>,
    total: Vec<u64>,
}

impl Arithmetic for Explicit {
    fn begin(&mut self, words: usize) {
        for region in [&mut self.step, &mut self.difference, &mut self.total] {
            region.clear();
            region.resize(words, 0);
        }
    }

    fn add(&mut self, from: &[AtomicU64]) -> bool {
        explicit::merge(&mut self.step.as_mut_slice(), &from)
    }

    fn add_gained(&mut self, from: &[AtomicU64]) -> bool {
        explicit::merge_gained(&mut self.step.as_mut_slice(), &from)
    }

    fn follows(&mut self, newer: &[AtomicU64], older: &[AtomicU64]) -> bool {
        if !explicit::follows(&newer, &older) {
            return false;
        }
        explicit::clear(&mut self.difference.as_mut_slice());
        explicit::merge_difference(&mut self.difference.as_mut_slice(), &newer, &older);
        true
    }

    fn add_difference(&mut self) -> bool {
        explicit::merge(&mut self.step.as_mut_slice(), &self.difference.as_slice())
    }

    fn total_is(&mut self, region: &[AtomicU64]) {
        explicit::copy(&mut self.total.as_mut_slice(), &region);
    }

    fn total_after(&mut self, region: Option<&[AtomicU64]>) -> bool {
        explicit::clear(&mut self.total.as_mut_slice());
        if let Some(region) = region {
            self.total_is(region);
        }
        let starts_over = explicit::merge(&mut self.total.as_mut_slice(), &self.step.as_slice());
        if starts_over {
            explicit::copy(&mut self.total.as_mut_slice(), &self.step.as_slice());
        }
        starts_over
    }

    fn put_total(&self, into: &mut impl RegionWords) {
        explicit::copy(into, &self.total.as_slice());
    }

    fn put_step(&self, into: &mut impl RegionWords) {
        explicit::copy(into, &self.step.as_slice());
    }
}

/// Exponential buckets: regions are read, added at one scale, and written.
#[derive(Default)]
struct Exponentials {
    step: Exponential,
    difference: Exponential,
    total: Exponential,
    other: Exponential,
}

impl Arithmetic for Exponentials {
    fn begin(&mut self, _: usize) {
        self.step.clear();
    }

    fn add(&mut self, from: &[AtomicU64]) -> bool {
        self.other.load(&from);
        self.step.absorb(&mut self.other)
    }

    fn add_gained(&mut self, from: &[AtomicU64]) -> bool {
        self.other.load(&from);
        self.other.forget_extremes();
        self.step.absorb(&mut self.other)
    }

    fn follows(&mut self, newer: &[AtomicU64], older: &[AtomicU64]) -> bool {
        self.difference.load(&newer);
        self.other.load(&older);
        self.difference.subtract(&mut self.other)
    }

    fn add_difference(&mut self) -> bool {
        self.step.absorb(&mut self.difference)
    }

    fn total_is(&mut self, region: &[AtomicU64]) {
        self.total.load(&region);
    }

    fn total_after(&mut self, region: Option<&[AtomicU64]>) -> bool {
        match region {
            Some(region) => self.total.load(&region),
            None => self.total.clear(),
        }
        self.other.copy_from(&self.step);
        let starts_over = self.total.absorb(&mut self.other);
        if starts_over {
            self.total.copy_from(&self.step);
        }
        starts_over
    }

    fn put_total(&self, into: &mut impl RegionWords) {
        self.total.store(into);
    }

    fn put_step(&self, into: &mut impl RegionWords) {
        self.step.store(into);
    }
}

/// What came of a series in an interval, besides the step.
struct Came<'a> {
    has_delta: bool,
    /// The newest whole point.
    newest: Option<(CoreSpan, &'a [AtomicU64])>,
}

/// Memory for merging histograms.
#[derive(Default)]
pub(super) struct HistogramMerge {
    explicit: Explicit,
    exponentials: Exponentials,
    /// What cores saw of cumulative streams of the series being merged.
    spans: Vec<CoreSpan>,
}

impl HistogramMerge {
    /// The merged point; `end`: a second one, if the series ended. Its regions are added to `words`.
    pub(super) fn merge(
        &mut self,
        merging: Merging<'_>,
        series: &Series,
        (slab, words): (&mut SlabWriter, &mut Vec<u64>),
        end: &mut Option<StagedPoint>,
        tally: &mut Tally,
    ) -> Option<StagedPoint> {
        let HistogramMerge { explicit, exponentials, spans } = self;
        spans.clear();
        if series.group.kind == Kind::Histogram {
            value_of(merging, series, explicit, spans, (slab, words), end, tally)
        } else {
            value_of(merging, series, exponentials, spans, (slab, words), end, tally)
        }
    }
}

fn value_of(
    merging: Merging<'_>,
    series: &Series,
    sums: &mut impl Arithmetic,
    spans: &mut Vec<CoreSpan>,
    (slab, staged): (&mut SlabWriter, &mut Vec<u64>),
    end: &mut Option<StagedPoint>,
    tally: &mut Tally,
) -> Option<StagedPoint> {
    let interval = merging.interval;
    let words = block::region_words(series.group.kind, series.group.buckets());
    sums.begin(words);
    let (mut has_delta, mut left_out, mut with_effect, mut mark) = (false, 0, 0, Mark::default());
    let points = merging.touched(
        series,
        |cumulative| series.shape(cumulative),
        |cell, bank, (index, points)| match cumulative_histogram::fold(bank) {
            Folded::Delta(region) => {
                with_effect += points;
                match region {
                    Some(region) => {
                        has_delta = true;
                        left_out += u64::from(sums.add(region));
                    }
                    None => mark.delta |= points > 0,
                }
            }
            Folded::Cumulative { span, ended } => {
                if let Some(time) = ended {
                    mark.at(time);
                }
                if let Some(span) = span {
                    CoreSpan::push(spans, merging, (cell, index), span);
                }
            }
        },
    );
    tally.emit(points);
    tally.settle(Effect::WithEffect, with_effect);
    leave_out(merging, series, left_out, tally);
    if !has_delta && spans.is_empty() && (!mark.is_set() || series.block() == 0) {
        return None;
    }
    merging.settle_block(series, slab);
    let block = slab.run(series.block() - 1, series.group.block_words());
    CoreSpan::sort(spans);
    let newest = chain(merging, series, (spans, has_delta), block::chain(block, words), sums, tally);
    let times = total_of(merging, series, sums, Came { has_delta, newest }, (block, words), tally);
    let point = times.map(|(start, time)| {
        let base = staged.len();
        staged.resize(base + 2 * words, 0);
        let (total, step) = staged[base..].split_at_mut(words);
        sums.put_total(&mut &mut *total);
        sums.put_step(&mut &mut *step);
        StagedPoint { time, start, words: base as u32, has_delta: true, ..StagedPoint::default() }
    });
    if mark.is_set() {
        let slot = |slot: usize| block::slot(block, words, slot);
        let put_end = |series: &Series| series.end(interval.cut, |from, to| explicit::copy(&mut slot(to), &slot(from)));
        mark.has_delta = has_delta;
        *end = ended(interval, series, mark, point.is_some(), put_end);
    }
    point
}

/// So many steps were left out, or totals started again.
#[inline]
fn leave_out(merging: Merging<'_>, series: &Series, steps: u64, tally: &mut Tally) {
    if steps > 0 {
        tally.note(Note::CountOverflow, steps);
        merging.show(series, Cause::CountOverflow);
    }
}

/// Writes the series' value after this cut's step into its block; its start and time, if anything had an effect.
fn total_of(
    merging: Merging<'_>,
    series: &Series,
    sums: &mut impl Arithmetic,
    came: Came<'_>,
    (block, words): (&[AtomicU64], usize),
    tally: &mut Tally,
) -> Option<(u64, u64)> {
    let interval = merging.interval;
    let value = |slot: usize| block::slot(block, words, slot);
    if !came.has_delta && came.newest.is_none() {
        return None;
    }
    if came.has_delta {
        series.put_has_delta();
    }
    if series.has_delta() && series.chain().is_some() {
        series.put_mixed();
    }
    let times = match came.newest {
        Some((seen, shown)) if !series.has_delta() => {
            sums.total_is(shown);
            series.put_start(seen.span.newest_start);
            (seen.span.newest_start, seen.span.newest_time)
        }
        _ => {
            if series.newest().is_none() {
                series.put_start(interval.from_ns);
            }
            if sums.total_after(series.newest().map(value)) {
                leave_out(merging, series, 1, tally);
                series.put_start(interval.from_ns);
            }
            (interval.start_of(series), interval.boundary_ns)
        }
    };
    series.with_slot(interval.cut, |_, slot| sums.put_total(&mut value(slot)));
    Some(times)
}

/// First and last point of a span, and what was gained between them.
fn regions<'a>(
    merging: Merging<'a>,
    seen: &CoreSpan,
    shape: Shape,
) -> Option<(&'a [AtomicU64], &'a [AtomicU64], Option<&'a [AtomicU64]>)> {
    if let Some(sequence) = seen.sequence(merging) {
        return Some((sequence.first, sequence.last(), sequence.more.map(|(_, gained)| gained)));
    }
    let bank = seen.bank(merging, shape)?;
    let newest = region(bank, Part::Last);
    let chained = |part: Part| seen.span.is_chained.then(|| region(bank, part));
    Some((chained(Part::First).unwrap_or(newest), newest, chained(Part::Gained)))
}

/// As `chain` of sums: adds what the spans contribute to the step; returns the newest whole point, if any seen
/// had an effect. `last` is the chain's last point.
fn chain<'a>(
    merging: Merging<'a>,
    series: &Series,
    (spans, has_delta): (&[CoreSpan], bool),
    mut last: &[AtomicU64],
    sums: &mut impl Arithmetic,
    tally: &mut Tally,
) -> Option<(CoreSpan, &'a [AtomicU64])> {
    let interval = merging.interval;
    let shape = series.shape(true);
    let mut newest_of_all: Option<(CoreSpan, &[AtomicU64])> = None;
    let known = series.time();
    for seen in spans {
        let Some((first, newest, gained)) = regions(merging, seen, shape) else { continue };
        let mut stands = stands(merging, series, seen, known);
        if stands == Stands::Replica && !sums.follows(first, last) {
            stands = Stands::Baseline;
        }
        let left_out = match (stands, series.chain()) {
            (Stands::Superseded, _) => None,
            (Stands::Whole, _) => Some(sums.add_gained(first)),
            (Stands::Baseline, _) => {
                // nothing more than itself
                sums.follows(first, first);
                Some(sums.add_difference())
            }
            (Stands::Within, _) if sums.follows(last, first) && sums.follows(newest, last) => {
                Some(sums.add_difference())
            }
            (Stands::Behind, Some(chain)) => {
                if !newer(seen.span.first_start, chain.start) && sums.follows(first, last) {
                    Some(sums.add_difference())
                } else {
                    tally.note(Note::Reset, 1);
                    Some(sums.add_gained(first))
                }
            }
            (Stands::Replica, _) => sums.follows(first, last).then(|| sums.add_difference()),
            (Stands::Second | Stands::Within | Stands::Behind, _) => None,
        };
        settle(merging, series, seen, stands, left_out.is_some(), tally);
        if stands == Stands::Superseded {
            continue;
        }
        let needs_steps = has_delta || series.has_delta() || interval.wants_deltas;
        if stands == Stands::Baseline && needs_steps && RegionWords::get(&first, explicit::COUNT) != 0 {
            merging.without_base(series, tally);
        }
        if let Some(left_out) = left_out {
            let too = stands != Stands::Within && gained.is_some_and(|gained| sums.add_gained(gained));
            leave_out(merging, series, u64::from(left_out) + u64::from(too), tally);
            explicit::copy(&mut last, &newest);
            put_chain(interval, series, seen, stands, Value::Int(0));
        }
        if newest_of_all.is_none_or(|(newest, _)| newest.span.newest_time < seen.span.newest_time) {
            series.put_time(seen.span.newest_time);
            newest_of_all = Some((*seen, newest));
        }
    }
    newest_of_all
}
