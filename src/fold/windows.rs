//! Histograms of an output: what leaves of them, and what its windows cover.
//!
//! Knows regions, interval by interval; does not know when anything leaves.
//!
//! Bounds: for each set of bounds two regions, and one for each interval of the longest window that asks for them;
//! of exponential histograms only the populated buckets.

use super::regions::{ExplicitSum, HAS_EXTREMES, RegionPart, SUM_FLAG, exponential_bytes, has_all, place};
use super::work::FoldWork;
use crate::aggregate::explicit::{COUNT, FLAGS, HEAD, MAX, MIN, SUM};
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
    /// Likewise.
    pub(super) extremes: Option<(f64, f64)>,
}

impl RegionState {
    /// For windows of so many intervals.
    pub(super) fn new(steps: usize) -> RegionState {
        RegionState { steps: if steps > 1 { steps } else { 0 }, ..RegionState::default() }
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
                work.notes.mixed_bounds += 1;
                let [region, _] = &mut work.regions;
                super::regions::coarsen(&part.bounds, &part.sum.words, &state.bounds, region);
                overflows |= state.open.add(region);
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
            total.clear();
            total.extend_from_slice(&state.total.words);
            total[SUM] = state.total.sum().to_bits();
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
            for (words, value) in [(&mut *delta, &state.open), (&mut *total, &state.total)] {
                words.resize(REGION, 0);
                value.store(&mut words.as_mut_slice());
            }
            visit(start_ns, RegionLeaving::Exponential { delta, total });
            state.open.clear();
            state.is_touched = false;
        }
        work.notes.count_overflows += overflows;
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
            extremes: (count > 0 && has_all(count, flags, HAS_EXTREMES)).then(|| (word(MIN), word(MAX))),
        }
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
        size_of::<RegionState>() + explicit + exponential
    }
}

/// Words of a region's head.
fn head_of(value: &Exponential) -> [u64; HEAD] {
    [value.count, value.sum.to_bits(), value.min.to_bits(), value.max.to_bits(), value.flags]
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
