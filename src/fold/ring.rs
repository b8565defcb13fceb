//! The intervals of a window, one behind the other.
//!
//! Knows which words are kept of an interval; does not know outputs. What a window says is made anew from its intervals
//! at each cut: nothing is subtracted, so nothing drifts.
//!
//! Bounds: as many intervals as the longest window has, and one; for each what is asked for, 8 to 72 bytes, and 2.

use super::exact::ExactSum;
use super::needs;
use super::samples::{Extremes, Samples};
use crate::aggregate::number::Value;

/// An interval of a rule, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FoldStep {
    /// A member was touched, or, where levels are sampled, the live set changed.
    pub(super) is_changed: bool,
    /// So much happened after the interval began that the one behind it may differ, too, though nothing happens then.
    pub(super) is_trailing: bool,
    /// Likewise the smallest and the largest (`Extremes::is_wide`).
    pub(super) is_wide: bool,
    /// Σ Δ.
    pub(super) delta: ExactSum,
    /// Levels at its base cuts.
    pub(super) samples: Samples,
}

/// Which words of an interval are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Intervals of the longest window that has several; 0: there is none.
    pub(super) steps: usize,
    needs: u16,
    has_delta: bool,
    stride: usize,
}

impl Layout {
    /// For these windows: intervals, what is needed, whether Σ Δ is.
    pub(super) fn new(windows: &[(usize, u16, bool)]) -> Layout {
        let mut layout = Layout::default();
        for (steps, needs, is_delta) in windows {
            layout.steps = layout.steps.max(*steps);
            layout.needs |= needs & (needs::MEAN | needs::MOMENTS | needs::EXTREMES | needs::TIMES);
            layout.has_delta |= is_delta;
        }
        let words = |what, words| if layout.needs & what != 0 { words } else { 0 };
        layout.stride = usize::from(layout.has_delta)
            + words(needs::MEAN, 2)
            + words(needs::MOMENTS, 1)
            + words(needs::EXTREMES, 2)
            + words(needs::TIMES, 4);
        layout
    }

    const fn has(&self, what: u16) -> bool {
        self.needs & what != 0
    }
}

const CHANGED: u16 = 1;
const TRAILING: u16 = 2;
const DELTA_DOUBLE: u16 = 4;
const EXTREMES: u16 = 8;
const LOW_DOUBLE: u16 = 16;
const HIGH_DOUBLE: u16 = 32;
const TIMES: u16 = 64;
const NEWEST_DOUBLE: u16 = 128;
const OLDEST_DOUBLE: u16 = 256;
const WIDE: u16 = 512;

/// The last intervals.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    words: Box<[u64]>,
    flags: Box<[u16]>,
    /// Number of the newest; 0 before the first.
    newest: u64,
}

impl Ring {
    /// With nothing in it.
    pub(super) fn new(layout: &Layout) -> Ring {
        let steps = layout.steps + 1;
        let words = vec![0; steps * layout.stride].into_boxed_slice();
        Ring { words, flags: vec![0; steps].into_boxed_slice(), newest: 0 }
    }

    /// The same intervals under another layout: what that asks for and was not kept is not there.
    pub(super) fn refit(&self, before: &Layout, layout: &Layout) -> Ring {
        let mut ring = Ring::new(layout);
        for back in (0..=before.steps.min(layout.steps)).rev() {
            if let Some(number) = self.newest.checked_sub(back as u64) {
                ring.push(layout, number, &self.get(before, back));
            }
        }
        ring
    }

    /// Bytes beside its own.
    pub(super) const fn bytes(&self) -> usize {
        self.words.len() * 8 + self.flags.len() * 2
    }

    /// Puts the interval that rule cut `number` closes; those that were left out are empty.
    pub(super) fn push(&mut self, layout: &Layout, number: u64, step: &FoldStep) {
        let left_out = number.saturating_sub(self.newest + 1).min(self.flags.len() as u64);
        for number in number - left_out..number {
            self.put(layout, number, &FoldStep::default());
        }
        self.put(layout, number, step);
        self.newest = number;
    }

    fn put(&mut self, layout: &Layout, number: u64, step: &FoldStep) {
        let place = (number % self.flags.len() as u64) as usize;
        let flag = |is: bool, flag: u16| if is { flag } else { 0 };
        let mut flags = flag(step.is_changed, CHANGED) | flag(step.is_trailing, TRAILING);
        let words = &mut self.words[place * layout.stride..][..layout.stride];
        let mut at = 0;
        let mut put = |word: u64| {
            words[at] = word;
            at += 1;
        };
        if layout.has_delta {
            let (delta, _) = step.delta.value();
            flags |= flag(delta.is_double(), DELTA_DOUBLE);
            put(delta.bits());
        }
        let [sum, weight, squares] = step.samples.moments();
        if layout.has(needs::MEAN) {
            put(sum);
            put(weight);
        }
        if layout.has(needs::MOMENTS) {
            put(squares);
        }
        if layout.has(needs::EXTREMES) {
            let none = (Value::Int(0), Value::Int(0));
            let (low, high) = step.samples.extremes.map_or(none, |all| (all.low(), all.high()));
            flags |= flag(step.samples.extremes.is_some(), EXTREMES);
            flags |= flag(low.is_double(), LOW_DOUBLE) | flag(high.is_double(), HIGH_DOUBLE);
            flags |= flag(step.is_wide, WIDE);
            put(low.bits());
            put(high.bits());
        }
        if layout.has(needs::TIMES) {
            let none = (0, Value::Int(0));
            let (newest, oldest) = (step.samples.newest.unwrap_or(none), step.samples.oldest.unwrap_or(none));
            flags |= flag(step.samples.newest.is_some(), TIMES);
            flags |= flag(newest.1.is_double(), NEWEST_DOUBLE) | flag(oldest.1.is_double(), OLDEST_DOUBLE);
            for (time, value) in [newest, oldest] {
                put(time);
                put(value.bits());
            }
        }
        self.flags[place] = flags;
    }

    /// The interval `back` before the newest.
    fn get(&self, layout: &Layout, back: usize) -> FoldStep {
        let Some(number) = self.newest.checked_sub(back as u64) else { return FoldStep::default() };
        let place = (number % self.flags.len() as u64) as usize;
        let flags = self.flags[place];
        let mut words = self.words[place * layout.stride..][..layout.stride].iter().copied();
        let mut get = || words.next().unwrap_or(0);
        let mut step =
            FoldStep { is_changed: flags & CHANGED != 0, is_trailing: flags & TRAILING != 0, ..FoldStep::default() };
        let value = |bits, double: u16| Value::from_bits(bits, flags & double != 0);
        if layout.has_delta {
            step.delta.add(value(get(), DELTA_DOUBLE));
        }
        if layout.has(needs::MEAN) {
            let (sum, weight) = (get(), get());
            let squares = if layout.has(needs::MOMENTS) { get() } else { 0 };
            step.samples.put_moments([sum, weight, squares]);
        }
        if layout.has(needs::EXTREMES) {
            let (low, high) = (value(get(), LOW_DOUBLE), value(get(), HIGH_DOUBLE));
            step.is_wide = flags & WIDE != 0;
            let all = || Extremes::new((low, high), flags & WIDE != 0);
            step.samples.extremes = (flags & EXTREMES != 0).then(all);
        }
        if layout.has(needs::TIMES) {
            let newest = (get(), value(get(), NEWEST_DOUBLE));
            let oldest = (get(), value(get(), OLDEST_DOUBLE));
            step.samples.newest = (flags & TIMES != 0).then_some(newest);
            step.samples.oldest = (flags & TIMES != 0).then_some(oldest);
        }
        step
    }

    /// The last intervals together. Of the one before them it is known whether what it left may differ from this, and whether
    /// its extremes may.
    pub(super) fn window(&self, layout: &Layout, steps: usize) -> FoldStep {
        let mut all = FoldStep::default();
        for back in 0..steps.min(layout.steps) {
            let step = self.get(layout, back);
            all.is_changed |= step.is_changed;
            if layout.has_delta {
                all.delta.absorb(&step.delta);
            }
            if layout.needs != 0 {
                all.samples.absorb(&step.samples, 1);
            }
        }
        let before = self.get(layout, steps);
        all.is_changed |= before.is_trailing;
        all.is_wide = before.is_wide;
        all
    }
}
