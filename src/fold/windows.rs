//! Histograms of an output, or summaries: what leaves of them, and what its windows cover.
//!
//! Knows regions, interval by interval; does not know when anything leaves.
//!
//! Bounds: for each set of bounds two regions, and one for each interval of the longest window that asks for them;
//! of exponential histograms only the populated buckets.

use super::made::Made;
use super::quantile;
use super::rebucket::{self, head_of};
use super::regions::{ExplicitSum, RegionPart, SUM_FLAG, add_as, exponential_bytes, has_all, place};
use super::summaries::SummaryState;
use super::work::FoldWork;
use crate::aggregate::explicit::{COUNT, FLAGS, HAS_MAX, HAS_MIN, HEAD, MAX, MIN, SUM};
use crate::aggregate::exponential::{Exponential, REGION};
use std::sync::Arc;

/// One set of bounds.
#[derive(Clone, Debug)]
pub(super) struct BoundsState {
    pub(super) bounds: Arc<[f64]>,
    /// Where the total begins; nothing before it left.
    start_ns: Option<u64>,
    is_touched: bool,
    /// Of the interval.
    open: ExplicitSum,
    /// Of all intervals before.
    total: ExplicitSum,
    /// Of the intervals of the window, by their numbers.
    ring: Box<[u64]>,
}

/// The exponential histogram.
#[derive(Clone, Debug, Default)]
struct ExponentialState {
    start_ns: Option<u64>,
    is_touched: bool,
    open: Exponential,
    total: Exponential,
    /// Of the intervals of the window, by their numbers, as packed words.
    ring: Box<[Box<[u64]>]>,
}

/// What was gathered of histograms.
#[derive(Clone, Debug, Default)]
pub(super) struct RegionState {
    explicit: Vec<BoundsState>,
    exponential: Option<Box<ExponentialState>>,
    summary: Option<Box<SummaryState>>,
    /// Number of the newest interval in the rings; 0 before the first.
    newest: u64,
    /// Intervals in the rings; 0: there are none.
    steps: usize,
}

/// What leaves of a histogram.
pub(super) enum RegionLeaving<'a> {
    Explicit { bounds: &'a Arc<[f64]>, delta: &'a [u64], total: &'a [u64] },
    Exponential { delta: &'a [u64], total: &'a [u64] },
}

/// Count, sum and extremes of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RegionHead {
    pub(super) count: u64,
    /// If every member had one.
    pub(super) sum: Option<f64>,
    /// The smallest value, if there was one, and every member that had values said its own.
    pub(super) min: Option<f64>,
    /// The largest, likewise: a member may know one and not the other.
    pub(super) max: Option<f64>,
}

impl RegionState {
    /// For windows of so many intervals.
    pub(super) fn new(steps: usize) -> RegionState {
        RegionState { steps: if steps > 1 { steps } else { 0 }, ..RegionState::default() }
    }

    /// From now on windows have `steps` intervals; they begin anew, or go on with those that are kept.
    pub(super) fn refit(&mut self, steps: usize, is_anew: bool) {
        let (before, steps) = (self.steps, if steps > 1 { steps } else { 0 });
        if before == steps && !is_anew {
            return;
        }
        let kept = if is_anew { 0 } else { before.min(steps) as u64 };
        let numbers = || (0..kept).filter_map(|back| self.newest.checked_sub(back));
        let places = |number: u64| ((number % before as u64) as usize, (number % steps as u64) as usize);
        for state in &mut self.explicit {
            let words = state.open.words.len();
            let mut ring = vec![0; words * steps].into_boxed_slice();
            for (from, to) in numbers().map(places) {
                ring[to * words..][..words].copy_from_slice(&state.ring[from * words..][..words]);
            }
            state.ring = ring;
        }
        if let Some(state) = &mut self.exponential {
            let mut ring = vec![Box::default(); steps].into_boxed_slice();
            for (from, to) in numbers().map(places) {
                ring[to] = std::mem::take(&mut state.ring[from]);
            }
            state.ring = ring;
        }
        if let Some(summary) = self.summary.as_mut().filter(|_| kept == 0) {
            summary.begin_anew();
        }
        self.steps = steps;
        if kept == 0 {
            self.newest = 0;
        }
    }

    /// Takes what a part has.
    pub(super) fn take(&mut self, part: &mut RegionPart, work: &mut FoldWork) {
        let mut overflows = false;
        for part in part.explicit.iter_mut().filter(|part| part.is_touched) {
            part.sum.settle();
            let steps = self.steps;
            let found = place(
                &mut self.explicit,
                &part.bounds,
                |state| &state.bounds,
                |bounds| {
                    let words = HEAD + bounds.len() + 1;
                    BoundsState {
                        bounds: bounds.clone(),
                        start_ns: None,
                        is_touched: false,
                        open: ExplicitSum::of(bounds.len() + 1),
                        total: ExplicitSum::of(bounds.len() + 1),
                        ring: vec![0; words * steps].into_boxed_slice(),
                    }
                },
            );
            let state = &mut self.explicit[found.unwrap_or(0)];
            state.is_touched = true;
            if found.is_some() {
                overflows |= state.open.add(&part.sum.words);
            } else {
                overflows |= add_as(&mut state.open, &state.bounds, (&part.bounds, &part.sum.words), work);
            }
        }
        if let Some(from) = &mut part.exponential
            && part.is_touched
        {
            let steps = self.steps;
            let state = self.exponential.get_or_insert_with(|| {
                let ring = vec![Box::default(); steps].into_boxed_slice();
                Box::new(ExponentialState { ring, ..ExponentialState::default() })
            });
            state.is_touched = true;
            overflows |= state.open.absorb(from);
        }
        if let Some((time_ns, words)) = part.summary.as_ref().and_then(|summary| summary.get()) {
            self.summary.get_or_insert_default().open.offer(time_ns, words);
        }
        work.notes.count_overflows += u64::from(overflows);
    }

    /// Closes the interval that rule cut `number` ends: from here on its regions are those of the newest interval.
    pub(super) fn close(&mut self, number: u64) {
        for state in &mut self.explicit {
            state.open.settle();
        }
        if self.steps == 0 {
            return;
        }
        let left_out = number.saturating_sub(self.newest + 1).min(self.steps as u64);
        for number in number - left_out..=number {
            let at = (number % self.steps as u64) as usize;
            for state in &mut self.explicit {
                let words = state.open.words.len();
                state.ring[at * words..][..words].fill(0);
            }
            if let Some(state) = &mut self.exponential {
                state.ring[at] = Box::default();
            }
        }
        self.newest = number;
        let at = (number % self.steps as u64) as usize;
        for state in self.explicit.iter_mut().filter(|state| state.is_touched) {
            let words = state.open.words.len();
            state.ring[at * words..][..words].copy_from_slice(&state.open.words);
        }
        if let Some(state) = &mut self.exponential
            && state.is_touched
        {
            state.ring[at] = packed(&state.open);
        }
        if let Some(summary) = &mut self.summary {
            summary.close(self.steps, number);
        }
    }

    /// Calls `visit` with what the interval added and the new totals, of those that were touched, each with where it begins;
    /// then the interval is empty.
    pub(super) fn settle(&mut self, from_ns: u64, work: &mut FoldWork, mut visit: impl FnMut(u64, RegionLeaving<'_>)) {
        let (mut overflows, [delta, total]) = (0, &mut work.regions);
        for state in self.explicit.iter_mut().filter(|state| state.is_touched) {
            if state.total.absorb(&state.open) {
                overflows += 1;
                state.start_ns = None;
            }
            let start_ns = *state.start_ns.get_or_insert(from_ns);
            state.total.copy_to(total);
            visit(start_ns, RegionLeaving::Explicit { bounds: &state.bounds, delta: &state.open.words, total });
            state.open.clear();
            state.is_touched = false;
        }
        if let Some(state) = &mut self.exponential
            && state.is_touched
        {
            if state.total.merge(&state.open) {
                overflows += 1;
                state.start_ns = None;
                state.total.copy_from(&state.open);
            }
            let start_ns = *state.start_ns.get_or_insert(from_ns);
            store(&state.open, delta);
            store(&state.total, total);
            visit(start_ns, RegionLeaving::Exponential { delta, total });
            state.open.clear();
            state.is_touched = false;
        }
        if let Some(summary) = &mut self.summary {
            summary.open.clear();
        }
        work.notes.count_overflows += overflows;
    }

    /// The newest summary of the last `steps` intervals.
    pub(super) fn newest(&self, steps: usize) -> Option<&[u64]> {
        let first = self.newest.saturating_sub(steps as u64 - 1);
        self.summary.as_ref()?.newest((steps > 1 && self.steps > 0).then_some(first))
    }

    /// Count, sum and extremes of the last `steps` intervals.
    pub(super) fn head(&self, steps: usize) -> RegionHead {
        let mut all = ExplicitSum::of(0);
        let mut add = |words: &[u64]| {
            if words.len() >= HEAD {
                all.add(&words[..HEAD]);
            }
        };
        for state in &self.explicit {
            let words = state.open.words.len();
            self.each(steps, state.is_touched, &mut |at| match at {
                None => add(&state.open.words),
                Some(at) => add(&state.ring[at * words..][..words]),
            });
        }
        if let Some(state) = &self.exponential {
            self.each(steps, state.is_touched, &mut |at| match at {
                None => add(&head_of(&state.open)),
                Some(at) => add(&state.ring[at]),
            });
        }
        all.settle();
        let (count, flags) = (all.words[COUNT], all.words[FLAGS]);
        let word = |at: usize| f64::from_bits(all.words[at]);
        RegionHead {
            count,
            sum: has_all(count, flags, SUM_FLAG).then(|| word(SUM)),
            min: (count > 0 && has_all(count, flags, HAS_MIN)).then(|| word(MIN)),
            max: (count > 0 && has_all(count, flags, HAS_MAX)).then(|| word(MAX)),
        }
    }

    /// Calls `visit` with each set of bounds that has values in the last `steps` intervals, and their region.
    fn each_explicit(&self, steps: usize, mut visit: impl FnMut(&Arc<[f64]>, &[u64])) {
        for state in &self.explicit {
            let words = state.open.words.len();
            let mut sum = ExplicitSum::of(words - HEAD);
            self.each(steps, state.is_touched, &mut |at| {
                sum.add(at.map_or(&state.open.words, |at| &state.ring[at * words..][..words]));
            });
            sum.settle();
            if sum.words[COUNT] > 0 {
                visit(&state.bounds, &sum.words);
            }
        }
    }

    /// The exponential histogram of the last `steps` intervals; `one` is memory for one of them.
    fn exponential_window(&self, steps: usize, all: &mut Exponential, one: &mut Exponential) {
        all.clear();
        let Some(state) = &self.exponential else { return };
        self.each(steps, state.is_touched, &mut |at| match at {
            None => all.copy_from(&state.open),
            Some(at) => {
                if unpack(&state.ring[at], one) {
                    all.absorb(one);
                }
            }
        });
    }

    /// A quantile of the last `steps` intervals; where bounds differ, on the union of them.
    pub(super) fn quantile(&self, quantile: f64, steps: usize, work: &mut FoldWork) -> Option<f64> {
        if self.exponential.is_some() {
            let FoldWork { exponential, gathered, .. } = work;
            self.exponential_window(steps, gathered, exponential);
            return quantile::of_exponential(quantile, gathered);
        }
        let FoldWork { notes, regions: [region, _], spread, bounds: union, .. } = work;
        union.clear();
        let mut sets = 0;
        self.each_explicit(steps, |bounds, _| {
            sets += 1;
            union.extend_from_slice(bounds);
        });
        if sets > 1 {
            notes.mixed_bounds += 1;
            union.sort_unstable_by(f64::total_cmp);
            union.dedup();
        }
        let mut sum = ExplicitSum::of(union.len() + 1);
        self.each_explicit(steps, |bounds, words| {
            if sets == 1 {
                sum.add(words);
            } else {
                notes.unbounded_rebucketed += rebucket::to_explicit(bounds, words, union, region, spread);
                sum.add(region);
            }
        });
        quantile::of_explicit(quantile, union, &sum.words[HEAD..])
    }

    /// The variance of the last `steps` intervals, of exponential histograms.
    pub(super) fn variance(&self, steps: usize, work: &mut FoldWork) -> Option<f64> {
        let FoldWork { exponential, gathered, .. } = work;
        self.exponential_window(steps, gathered, exponential);
        quantile::variance_of_exponential(gathered)
    }

    /// Adds what the closed interval has to a histogram of other buckets.
    pub(super) fn make(&self, made: &mut Made, work: &mut FoldWork) {
        let FoldWork { notes, regions: [region, _], spread, exponential, .. } = work;
        let mut overflows = false;
        match made {
            Made::Explicit { bounds: to, sum } => {
                self.each_explicit(1, |bounds, words| {
                    notes.unbounded_rebucketed += rebucket::to_explicit(bounds, words, to, region, spread);
                    overflows |= sum.add(region);
                });
                if let Some(state) = &self.exponential
                    && state.is_touched
                {
                    rebucket::exponential_to_explicit(&state.open, to, region, spread);
                    overflows |= sum.add(region);
                }
            }
            Made::Exponential { buckets_max, value } => {
                self.each_explicit(1, |bounds, words| {
                    let unbounded = rebucket::to_exponential(bounds, words, *buckets_max, exponential, spread);
                    notes.unbounded_rebucketed += unbounded;
                    overflows |= value.absorb(exponential);
                });
                if let Some(state) = &self.exponential
                    && state.is_touched
                {
                    exponential.copy_from(&state.open);
                    overflows |= value.absorb(exponential);
                }
                value.fit_within(*buckets_max);
            }
        }
        notes.count_overflows += u64::from(overflows);
    }

    /// Calls `visit` with the places in a ring of the last `steps` intervals; of one, with none: it is the open one.
    fn each(&self, steps: usize, is_touched: bool, visit: &mut impl FnMut(Option<usize>)) {
        if steps > 1 && self.steps > 0 {
            let first = self.newest.saturating_sub(steps.min(self.steps) as u64 - 1);
            (first..=self.newest).for_each(|number| visit(Some((number % self.steps as u64) as usize)));
        } else if is_touched {
            visit(None);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let explicit: usize = self
            .explicit
            .iter()
            .map(|state| size_of::<BoundsState>() + 8 * (2 * state.open.words.len() + state.ring.len()))
            .sum();
        let exponential = self.exponential.as_ref().map_or(0, |state| {
            let ring: usize = state.ring.iter().map(|words| size_of::<Box<[u64]>>() + 8 * words.len()).sum();
            exponential_bytes(&state.open) + exponential_bytes(&state.total) + ring
        });
        let summary = self.summary.as_ref().map_or(0, |summary| summary.bytes());
        size_of::<RegionState>() + explicit + exponential + summary
    }
}

/// Writes a region.
pub(super) fn store(value: &Exponential, words: &mut Vec<u64>) {
    words.resize(REGION, 0);
    value.store(&mut words.as_mut_slice());
}

/// An exponential histogram in as few words as it takes: its head, zero bucket, scale, and populated buckets.
fn packed(value: &Exponential) -> Box<[u64]> {
    let (positive, negative) = (&value.positive, &value.negative);
    let mut words = Vec::with_capacity(HEAD + 5 + positive.counts.len() + negative.counts.len());
    words.extend(head_of(value));
    words.extend([value.zero_count, value.zero_threshold.to_bits(), value.scale as u32 as u64]);
    for side in [positive, negative] {
        words.push((side.offset as u32 as u64) << 32 | side.counts.len() as u64);
        words.extend(&side.counts);
    }
    words.into_boxed_slice()
}

/// Reads what `packed` wrote; `false` if nothing was.
fn unpack(words: &[u64], value: &mut Exponential) -> bool {
    value.clear();
    let [count, sum, min, max, flags, zero_count, zero_threshold, scale, sides @ ..] = words else { return false };
    (value.count, value.flags, value.zero_count, value.scale) = (*count, *flags, *zero_count, *scale as i32);
    (value.sum, value.min, value.max) = (f64::from_bits(*sum), f64::from_bits(*min), f64::from_bits(*max));
    value.zero_threshold = f64::from_bits(*zero_threshold);
    let mut rest = sides;
    for side in [&mut value.positive, &mut value.negative] {
        let Some((head, counts)) = rest.split_first() else { return false };
        let (here, behind) = counts.split_at((*head as u32 as usize).min(counts.len()));
        side.offset = (head >> 32) as i32;
        side.counts.extend_from_slice(here);
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::sketch;

    #[test]
    fn an_exponential_histogram_is_packed_and_unpacked() {
        let (mut value, mut one) = (Exponential::default(), Exponential::default());
        assert!(!unpack(&[], &mut one));
        assert!(unpack(&packed(&value), &mut one) && one == value);
        for i in [-3.0, 0.0, 0.5, 7.0, 1e9] {
            sketch::observe(&mut value, i, &mut one);
            let words = packed(&value);
            assert!(unpack(&words, &mut one) && one == value, "{value:?}");
        }
        assert!(packed(&value).len() < REGION);
    }
}
