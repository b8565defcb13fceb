//! Samples of levels, one by one, for their quantiles: exact while they are few, a sketch then.
//!
//! Knows values; does not know whose they are. Each sample counts once, whatever the length of its base window: a quantile is
//! one of the values that were there, or lies between two.
//!
//! Bounds: `limits::FOLD_VALUES_MAX` values of a group and window; more are an exponential histogram of 160 buckets a side
//! (`sketch`), in a window for each interval.

use super::intervals::Intervals;
use super::quantile;
use super::regions::exponential_bytes;
use super::sketch;
use super::work::FoldWork;
use crate::aggregate::exponential::Exponential;
use crate::limits::FOLD_VALUES_MAX;

/// Samples of a base cut, of an interval.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleValues {
    exact: Vec<f64>,
    /// All of them, once they are too many.
    sketch: Option<Box<Exponential>>,
}

impl SampleValues {
    fn is_exact(&self) -> bool {
        self.sketch.as_ref().is_none_or(|sketch| sketch.count == 0)
    }

    /// Adds a finite value; `one` is memory for it.
    pub(super) fn add(&mut self, value: f64, one: &mut Exponential) {
        if self.is_exact() {
            if self.exact.len() < FOLD_VALUES_MAX {
                self.exact.push(value);
                return;
            }
            self.blur(one);
        }
        sketch::observe(self.sketch.get_or_insert_default(), value, one);
    }

    /// Makes them a sketch.
    fn blur(&mut self, one: &mut Exponential) {
        let sketch = self.sketch.get_or_insert_default();
        for value in self.exact.drain(..) {
            sketch::observe(sketch, value, one);
        }
    }

    /// Adds what others have.
    pub(super) fn absorb(&mut self, other: &mut SampleValues, one: &mut Exponential) {
        if !other.is_exact()
            && let Some(other) = &mut other.sketch
        {
            self.blur(one);
            self.sketch.get_or_insert_default().absorb(other);
            return;
        }
        for value in &other.exact {
            self.add(*value, one);
        }
    }

    pub(super) fn clear(&mut self) {
        self.exact.clear();
        if let Some(sketch) = &mut self.sketch {
            sketch.clear();
        }
    }

    /// How many are kept one by one.
    pub(super) const fn len(&self) -> usize {
        self.exact.len()
    }

    pub(super) fn bytes(&self) -> usize {
        8 * self.exact.capacity() + self.sketch.as_ref().map_or(0, |sketch| exponential_bytes(sketch))
    }
}

/// Samples of the intervals of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueState {
    /// Of the interval.
    pub(super) open: SampleValues,
    /// Some window is longer than an interval: the one that is closed is in the ring, too.
    has_ring: bool,
    /// Of those before; none where all windows are one interval.
    ring: Intervals<SampleValues>,
}

impl ValueState {
    /// Closes the interval that rule cut `number` ends; `steps`: of the longest window.
    pub(super) fn close(&mut self, steps: usize, number: u64, one: &mut Exponential) {
        self.has_ring = steps > 1;
        if steps <= 1 {
            return;
        }
        self.ring.open(steps, number);
        let kept: usize = self.ring.all().map(|values| values.exact.len()).sum();
        if self.open.is_exact() && kept + self.open.exact.len() > FOLD_VALUES_MAX {
            self.open.blur(one);
        }
        let SampleValues { exact, sketch } = &mut self.open;
        let sketch = sketch.take().filter(|sketch| sketch.count > 0);
        *self.ring.open(steps, number) = SampleValues { exact: exact.as_slice().to_vec(), sketch };
    }

    /// From now on the longest window has so many intervals.
    pub(super) fn refit(&mut self, steps: usize) {
        self.has_ring = steps > 1;
        if self.has_ring {
            self.ring.refit(steps);
        } else {
            self.ring = Intervals::default();
        }
    }

    /// A quantile of the last `steps` intervals, the closed one included.
    pub(super) fn quantile(&self, quantile: f64, steps: usize, work: &mut FoldWork) -> Option<f64> {
        let FoldWork { samples, exponential, gathered, .. } = work;
        let (in_ring, open) = if self.has_ring { (steps.max(1), None) } else { (0, Some(&self.open)) };
        let all = || self.ring.last(in_ring).chain(open);
        samples.clear();
        samples.extend(all().flat_map(|values| &values.exact));
        if all().all(SampleValues::is_exact) {
            return quantile::of_samples(quantile, samples);
        }
        gathered.clear();
        for value in samples.drain(..) {
            sketch::observe(gathered, value, exponential);
        }
        for sketch in all().filter_map(|values| values.sketch.as_ref()) {
            exponential.copy_from(sketch);
            gathered.absorb(exponential);
        }
        quantile::of_exponential(quantile, gathered)
    }

    pub(super) fn bytes(&self) -> usize {
        let ring: usize = self.ring.all().map(|values| size_of::<SampleValues>() + values.bytes()).sum();
        size_of::<ValueState>() + self.open.bytes() + ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(values: impl Iterator<Item = f64>, parts: usize) -> SampleValues {
        let (mut all, mut one) = (vec![SampleValues::default(); parts], Exponential::default());
        for (i, value) in values.enumerate() {
            all[i % parts].add(value, &mut one);
        }
        let mut out = SampleValues::default();
        for part in &mut all {
            out.absorb(part, &mut one);
        }
        out
    }

    #[test]
    fn a_quantile_is_exact_until_there_are_too_many_samples_and_near_then() {
        let mut work = FoldWork::default();
        for (count, is_exact) in [(4_096u32, true), (4_097, false), (100_000, false)] {
            for parts in [1, 3] {
                let mut state =
                    ValueState { open: gather((1..=count).rev().map(f64::from), parts), ..ValueState::default() };
                state.close(1, 1, &mut work.exponential);
                for quantile in [0.01, 0.5, 0.9, 0.999] {
                    let want = 1.0 + quantile * f64::from(count - 1);
                    let got = state.quantile(quantile, 1, &mut work).unwrap();
                    let error = (got - want).abs() / want;
                    assert!(
                        if is_exact { error < 1e-12 } else { error < 0.09 },
                        "{count} {quantile}: {got}, not {want}"
                    );
                }
                assert_eq!(state.open.is_exact(), is_exact);
            }
        }
    }

    #[test]
    fn a_window_is_exact_while_all_of_it_is_and_again_when_it_is_small_again() {
        let (mut state, mut work) = (ValueState::default(), FoldWork::default());
        let mut cut = |number: u64, count: u32| {
            state.open = gather((0..count).map(|_| number as f64), 1);
            state.close(3, number, &mut work.exponential);
            let median = state.quantile(0.5, 3, &mut work);
            (
                median,
                state.ring.all().all(SampleValues::is_exact),
                state.ring.all().map(|values| values.exact.len()).sum::<usize>(),
            )
        };
        assert_eq!(cut(1, 2_000), (Some(1.0), true, 2_000));
        assert_eq!(cut(2, 2_000), (Some(1.5), true, 4_000));
        let (median, is_exact, kept) = cut(3, 97);
        assert!(median.is_some_and(|median| (median - 2.0).abs() < 0.03) && !is_exact && kept == 4_000);
        let (median, is_exact, kept) = cut(4, 96);
        assert!(median.is_some_and(|median| (median - 2.0).abs() < 0.03) && !is_exact && kept == 2_096);
        assert_eq!(cut(7, 5), (Some(7.0), true, 5), "two intervals without samples");
    }
}
