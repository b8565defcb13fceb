//! Exponential histograms: merging by downscaling, zero thresholds, and the words they are kept in.
//!
//! Source: OpenTelemetry metrics data model, "ExponentialHistogram": bucket `i` at `scale` covers
//! (base^i, base^(i+1)], base = 2^(2^-scale); lowering the scale by one halves the index (floor). Knows no
//! attributes, no time.
//!
//! Bounds: `limits::EXPONENTIAL_BUCKETS_MAX` buckets a side; what does not fit is downscaled until it does, so a
//! huge gap between offsets never allocates. Scales lie in -11..=20 (M25: below -11 every double is in one of two
//! buckets; SDKs start at 20).

use super::explicit::{
    self, COUNT, FLAGS, GAINED_FLAGS, HAS_MAX, HAS_MIN, HAS_SUM, MAX, MIN, RegionWords, SUM, settled, without_values,
};
use crate::limits::EXPONENTIAL_BUCKETS_MAX;

/// Lowest scale.
pub const SCALE_MIN: i32 = -11;
/// Highest scale.
pub const SCALE_MAX: i32 = 20;
/// Word of the zero bucket's count, behind those that an explicit region has too.
pub const ZERO_COUNT: usize = 5;
/// Word of the zero bucket's width, bits of a double.
pub const ZERO_THRESHOLD: usize = 6;
/// Word of the scale.
pub const SCALE: usize = 7;
/// Words of the two sides: offset (high half), number of buckets (low half).
const SIDES: usize = 8;
/// Words before the buckets.
pub const HEAD: usize = 10;
/// Words of a region.
pub const REGION: usize = HEAD + 2 * EXPONENTIAL_BUCKETS_MAX;

/// So many words of a region are read.
pub fn words_used(region: &impl RegionWords) -> usize {
    let buckets = |side: usize| (region.get(side) as u32 as usize).min(EXPONENTIAL_BUCKETS_MAX);
    match buckets(SIDES + 1) {
        0 => HEAD + buckets(SIDES),
        negative => HEAD + EXPONENTIAL_BUCKETS_MAX + negative,
    }
}

/// One side's buckets: counts from index `offset` on; no leading or trailing zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Index of the first bucket.
    pub offset: i32,
    /// Counts.
    pub counts: Vec<u64>,
}

impl Side {
    fn end(&self) -> i64 {
        i64::from(self.offset) + self.counts.len() as i64
    }

    /// The count of bucket `index`.
    fn at(&self, index: i64) -> u64 {
        let place = usize::try_from(index - i64::from(self.offset)).ok();
        place.and_then(|place| self.counts.get(place)).copied().unwrap_or(0)
    }

    fn trim(&mut self) {
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        let zeros = self.counts.iter().take_while(|c| **c == 0).count();
        if zeros > 0 {
            self.counts.drain(..zeros);
            self.offset += zeros as i32;
        }
        if self.counts.is_empty() {
            self.offset = 0;
        }
    }

    /// Sum of the counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0u64, |sum, c| sum.saturating_add(*c))
    }

    fn downscale(&mut self, by: u32) {
        if by == 0 || self.counts.is_empty() {
            return;
        }
        let first = self.offset >> by.min(31);
        let mut length = 0;
        for i in 0..self.counts.len() {
            let at = (((i64::from(self.offset) + i as i64) >> by.min(62)) - i64::from(first)) as usize;
            let count = self.counts[i];
            if at >= length {
                // `at` never passes `i`: halving an index moves it towards the first
                self.counts[at] = count;
                length = at + 1;
            } else {
                self.counts[at] = self.counts[at].saturating_add(count);
            }
        }
        self.counts.truncate(length);
        self.offset = first;
    }

    fn add(&mut self, other: &Side) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.offset = other.offset;
            self.counts.clear();
            self.counts.extend_from_slice(&other.counts);
            return;
        }
        let low = self.offset.min(other.offset);
        let high = self.end().max(other.end());
        let length = (high - i64::from(low)) as usize;
        let shift = (self.offset - low) as usize;
        let before = self.counts.len();
        self.counts.resize(length, 0);
        self.counts.copy_within(0..before, shift);
        self.counts[..shift].fill(0);
        self.offset = low;
        let at = (other.offset - low) as usize;
        for (slot, count) in self.counts[at..].iter_mut().zip(&other.counts) {
            *slot = slot.saturating_add(*count);
        }
    }

    /// Halvings until buckets `a` and `b` together fit into the limit.
    fn excess(a: &Side, b: &Side) -> u32 {
        Side::excess_over(a, b, EXPONENTIAL_BUCKETS_MAX)
    }

    /// Halvings until they are within so many buckets, at least 2.
    fn excess_over(a: &Side, b: &Side, buckets_max: usize) -> u32 {
        let (low, high) = match (a.counts.is_empty(), b.counts.is_empty()) {
            (true, true) => return 0,
            (false, true) => (i64::from(a.offset), a.end() - 1),
            (true, false) => (i64::from(b.offset), b.end() - 1),
            (false, false) => (i64::from(a.offset.min(b.offset)), a.end().max(b.end()) - 1),
        };
        let mut by = 0;
        while (high >> by) - (low >> by) >= buckets_max.max(2) as i64 {
            by += 1;
        }
        by
    }
}

/// An exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    /// Number of values.
    pub count: u64,
    /// Sum of values, valid with `explicit::HAS_SUM`.
    pub sum: f64,
    /// Minimum, valid with `explicit::HAS_MIN`.
    pub min: f64,
    /// Maximum, valid with `explicit::HAS_MAX`.
    pub max: f64,
    /// Which of the three are there.
    pub flags: u64,
    /// Values in the zero bucket.
    pub zero_count: u64,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Resolution.
    pub scale: i32,
    /// Positive values.
    pub positive: Side,
    /// Negative values.
    pub negative: Side,
}

/// The upper bound of bucket `index` at `scale`; the last bucket ends with the doubles.
pub fn upper_bound(index: i64, scale: i32) -> f64 {
    ((index + 1) as f64 * f64::from(-scale).exp2()).exp2().min(f64::MAX)
}

/// How far apart, in parts of themselves, two doubles are that may be the same bound. Bounds have no exact double, and
/// producers work them out in their own ways (data model, "Producer Expectations"); the worst of these, an exponential of
/// a rounded logarithm, is off by some 2^-43. The narrowest bucket is wider by far: 2^-20 and a half.
const ROUNDING: f64 = 1.0 / (1u64 << 38) as f64;

/// Whether a threshold is that bound, but for rounding.
fn is_bound(threshold: f64, bound: f64) -> bool {
    (threshold - bound).abs() <= bound * ROUNDING
}

/// The last bucket that lies within `threshold`, which is above 0, and whether the threshold is inside the next one.
fn place(threshold: f64, scale: i32) -> (i64, bool) {
    let within = |index| upper_bound(index, scale) <= threshold || is_bound(threshold, upper_bound(index, scale));
    // the logarithm is right to a small part of a bucket, so one before is surely within
    let mut last = (threshold.log2() * f64::from(scale).exp2()).floor() as i64 - 2;
    for _ in 0..3 {
        if !within(last + 1) {
            break;
        }
        last += 1;
    }
    (last, !is_bound(threshold, upper_bound(last, scale)))
}

impl Exponential {
    /// Makes it empty, keeping its memory.
    pub fn clear(&mut self) {
        let (mut positive, mut negative) =
            (std::mem::take(&mut self.positive.counts), std::mem::take(&mut self.negative.counts));
        positive.clear();
        negative.clear();
        *self = Exponential {
            positive: Side { offset: 0, counts: positive },
            negative: Side { offset: 0, counts: negative },
            ..Exponential::default()
        };
    }

    /// Becomes a copy of `other`, keeping its memory.
    pub fn copy_from(&mut self, other: &Exponential) {
        self.clear();
        let (mut positive, mut negative) =
            (std::mem::take(&mut self.positive.counts), std::mem::take(&mut self.negative.counts));
        positive.extend_from_slice(&other.positive.counts);
        negative.extend_from_slice(&other.negative.counts);
        *self = Exponential {
            positive: Side { offset: other.positive.offset, counts: positive },
            negative: Side { offset: other.negative.offset, counts: negative },
            ..Exponential { positive: Side::default(), negative: Side::default(), ..*other }
        };
    }

    /// Lowers the scale by `by`.
    pub fn downscale(&mut self, by: u32) {
        self.positive.downscale(by);
        self.negative.downscale(by);
        self.scale -= by as i32;
    }

    /// Trims and downscales until both sides fit; a point as it comes from the wire must pass here first.
    pub fn fit(&mut self) {
        self.fit_within(EXPONENTIAL_BUCKETS_MAX);
    }

    /// The same for so many buckets a side, at least 2: two neighbours may never come into one.
    pub fn fit_within(&mut self, buckets_max: usize) {
        self.positive.trim();
        self.negative.trim();
        let none = Side::default();
        let excess = |side| Side::excess_over(side, &none, buckets_max);
        let by = excess(&self.positive).max(excess(&self.negative));
        if by > 0 {
            self.downscale(by);
            self.raise_zero_threshold(self.zero_threshold);
        }
    }

    /// Raises the zero threshold to at least `to`, absorbing buckets that lie within it; where it would split a
    /// populated bucket it rises to that bucket's upper bound (M24). A threshold that is a bound but for rounding splits
    /// nothing.
    pub fn raise_zero_threshold(&mut self, to: f64) {
        let mut threshold = to.max(self.zero_threshold);
        if threshold <= 0.0 {
            return;
        }
        let (mut last, inside) = place(threshold, self.scale);
        if inside && (self.positive.at(last + 1) > 0 || self.negative.at(last + 1) > 0) {
            last += 1;
            threshold = upper_bound(last, self.scale);
        }
        for side in [&mut self.positive, &mut self.negative] {
            let within = (last + 1 - i64::from(side.offset)).clamp(0, side.counts.len() as i64) as usize;
            if within > 0 {
                let absorbed = side.counts[..within].iter_mut().map(std::mem::take);
                self.zero_count = absorbed.fold(self.zero_count, u64::saturating_add);
                side.trim();
            }
        }
        self.zero_threshold = threshold;
    }

    /// Whether the zero bucket ends inside a populated one.
    fn is_split(&self) -> bool {
        if self.zero_threshold <= 0.0 {
            return false;
        }
        let (last, inside) = place(self.zero_threshold, self.scale);
        inside && (self.positive.at(last + 1) > 0 || self.negative.at(last + 1) > 0)
    }

    /// Adds `other`. Returns `true` if a count overflowed; nothing is added then. Allocates only where `other` must be
    /// brought to another scale or threshold.
    pub fn merge(&mut self, other: &Exponential) -> bool {
        if other.count == 0 {
            if self.count == 0 {
                self.flags = without_values(self.flags, other.flags);
            }
            return false;
        }
        if self.count == 0 {
            self.copy_from(other);
            return false;
        }
        if !self.is_like(other) {
            return self.absorb(&mut other.clone());
        }
        let Some(count) = self.count.checked_add(other.count) else { return true };
        self.add(count, other);
        false
    }

    /// As `merge`, but `other` may be changed on the way: never allocates for a copy.
    pub fn absorb(&mut self, other: &mut Exponential) -> bool {
        if other.count == 0 || self.count == 0 || self.is_like(other) {
            return self.merge(other);
        }
        let Some(count) = self.count.checked_add(other.count) else { return true };
        self.align(other);
        let by = self.excess(other);
        if by > 0 {
            self.downscale(by);
            other.downscale(by);
            // what was a bound may lie inside a wider bucket now
            self.level(other);
        }
        self.add(count, other);
        false
    }

    /// The buckets of both can be added one by one.
    fn is_like(&self, other: &Exponential) -> bool {
        self.zero_threshold == other.zero_threshold
            && self.scale == other.scale
            && self.excess(other) == 0
            && !self.is_split()
            && !other.is_split()
    }

    /// Brings both to one scale, then to one zero threshold.
    fn align(&mut self, other: &mut Exponential) {
        let scale = self.scale.min(other.scale);
        self.downscale((self.scale - scale) as u32);
        other.downscale((other.scale - scale) as u32);
        self.level(other);
    }

    /// Brings both to one zero threshold, which is inside no populated bucket of either; scales are equal.
    fn level(&mut self, other: &mut Exponential) {
        // the second turn is for one that rose to a bound on account of its own bucket
        for _ in 0..2 {
            let threshold = self.zero_threshold.max(other.zero_threshold);
            self.raise_zero_threshold(threshold);
            other.raise_zero_threshold(threshold);
        }
        debug_assert!(self.zero_threshold == other.zero_threshold, "both rose to the bound of one bucket");
    }

    /// Halvings until both together fit; scales are equal.
    fn excess(&self, other: &Exponential) -> u32 {
        Side::excess(&self.positive, &other.positive).max(Side::excess(&self.negative, &other.negative))
    }

    /// Scales and thresholds are equal, and both together fit.
    fn add(&mut self, count: u64, other: &Exponential) {
        self.count = count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.flags &= other.flags;
        self.positive.add(&other.positive);
        self.negative.add(&other.negative);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
    }

    /// What this has more than `older`, if it follows it in one cumulative stream without a reset. Minimum and
    /// maximum of a difference are unknown.
    pub fn difference(&self, older: &Exponential) -> Option<Exponential> {
        let mut out = self.clone();
        out.subtract(&mut older.clone()).then_some(out)
    }

    /// Becomes what it has more than `older`; `false` if it cannot follow it without a reset, which is where a count
    /// falls once both have one scale and one zero bucket. Both are used up: after `false`, neither means anything.
    pub fn subtract(&mut self, older: &mut Exponential) -> bool {
        if self.count < older.count {
            return false;
        }
        if older.count == 0 {
            self.flags = settled(self.count, self.flags & HAS_SUM);
            return true;
        }
        if self.scale != older.scale || self.zero_threshold != older.zero_threshold {
            self.align(older);
        }
        let Some(zero_count) = self.zero_count.checked_sub(older.zero_count) else { return false };
        self.zero_count = zero_count;
        self.count -= older.count;
        self.sum -= older.sum;
        self.flags = settled(self.count, self.flags & older.flags & HAS_SUM);
        for (side, less) in [(&mut self.positive, &older.positive), (&mut self.negative, &older.negative)] {
            for (i, count) in less.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let at = i64::from(less.offset) + i as i64 - i64::from(side.offset);
                let slot = usize::try_from(at).ok().and_then(|at| side.counts.get_mut(at));
                match slot {
                    Some(slot) if *slot >= *count => *slot -= count,
                    _ => return false,
                }
            }
            side.trim();
        }
        true
    }

    /// Becomes something that a cumulative stream gained: its minimum and maximum are not those of an interval (M22).
    pub fn forget_extremes(&mut self) {
        self.flags &= GAINED_FLAGS;
    }

    /// Reads a region.
    pub fn load(&mut self, region: &impl RegionWords) {
        self.clear();
        self.count = region.get(COUNT);
        self.sum = f64::from_bits(region.get(SUM));
        self.min = f64::from_bits(region.get(MIN));
        self.max = f64::from_bits(region.get(MAX));
        self.flags = region.get(FLAGS);
        self.zero_count = region.get(ZERO_COUNT);
        self.zero_threshold = f64::from_bits(region.get(ZERO_THRESHOLD));
        self.scale = region.get(SCALE) as i32;
        for (side, head, from) in
            [(&mut self.positive, SIDES, HEAD), (&mut self.negative, SIDES + 1, HEAD + EXPONENTIAL_BUCKETS_MAX)]
        {
            let word = region.get(head);
            side.offset = (word >> 32) as i32;
            let length = (word as u32 as usize).min(EXPONENTIAL_BUCKETS_MAX);
            side.counts.extend((0..length).map(|i| region.get(from + i)));
        }
    }

    /// Writes a region. Both sides fit (`fit`, `merge`).
    pub fn store(&self, region: &mut impl RegionWords) {
        region.set(COUNT, self.count);
        region.set(SUM, self.sum.to_bits());
        region.set(MIN, self.min.to_bits());
        region.set(MAX, self.max.to_bits());
        region.set(FLAGS, self.flags);
        region.set(ZERO_COUNT, self.zero_count);
        region.set(ZERO_THRESHOLD, self.zero_threshold.to_bits());
        region.set(SCALE, self.scale as u32 as u64);
        for (side, head, from) in
            [(&self.positive, SIDES, HEAD), (&self.negative, SIDES + 1, HEAD + EXPONENTIAL_BUCKETS_MAX)]
        {
            assert!(side.counts.len() <= EXPONENTIAL_BUCKETS_MAX, "a side that was not fitted");
            region.set(head, (side.offset as u32 as u64) << 32 | side.counts.len() as u64);
            for (i, count) in side.counts.iter().enumerate() {
                region.set(from + i, *count);
            }
        }
    }
}

/// A region that is only read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialRegion<'a>(&'a [u64]);

impl<'a> ExponentialRegion<'a> {
    /// Of these `REGION` words, or of as many as are in use.
    #[inline]
    pub const fn new(words: &'a [u64]) -> ExponentialRegion<'a> {
        ExponentialRegion(words)
    }

    /// Reads it into `value`, whose memory is used again.
    pub fn load_into(self, value: &mut Exponential) {
        value.load(&self.0);
    }

    /// Number of values.
    #[inline]
    pub const fn count(self) -> u64 {
        self.0[COUNT]
    }

    /// Their sum, where every merged point had one.
    #[inline]
    pub const fn sum(self) -> Option<f64> {
        explicit::value(self.0, HAS_SUM, SUM)
    }

    /// Their minimum, likewise.
    #[inline]
    pub const fn min(self) -> Option<f64> {
        explicit::value(self.0, HAS_MIN, MIN)
    }

    /// Their maximum, likewise.
    #[inline]
    pub const fn max(self) -> Option<f64> {
        explicit::value(self.0, HAS_MAX, MAX)
    }

    /// Scale.
    #[inline]
    pub const fn scale(self) -> i32 {
        self.0[SCALE] as i32
    }

    /// Values in the zero bucket.
    #[inline]
    pub const fn zero_count(self) -> u64 {
        self.0[ZERO_COUNT]
    }

    /// Width of the zero bucket.
    #[inline]
    pub const fn zero_threshold(self) -> f64 {
        f64::from_bits(self.0[ZERO_THRESHOLD])
    }

    /// Offset and counts of the positive buckets.
    #[inline]
    pub fn positive(self) -> (i32, &'a [u64]) {
        self.side(0)
    }

    /// Offset and counts of the negative buckets.
    #[inline]
    pub fn negative(self) -> (i32, &'a [u64]) {
        self.side(1)
    }

    #[inline]
    fn side(self, which: usize) -> (i32, &'a [u64]) {
        let head = self.0[SIDES + which];
        let from = HEAD + which * EXPONENTIAL_BUCKETS_MAX;
        ((head >> 32) as i32, &self.0[from..from + head as u32 as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_side() -> impl Strategy<Value = Side> {
        (
            prop_oneof![-300i32..300, Just(i32::MIN + 500), Just(i32::MAX - 500)],
            prop::collection::vec(0u64..1000, 0..200),
        )
            .prop_map(|(offset, counts)| Side { offset, counts })
    }

    fn any_exponential() -> impl Strategy<Value = Exponential> {
        (SCALE_MIN..SCALE_MAX, any_side(), any_side(), 0u64..9, prop_oneof![Just(0.0), Just(1.0), Just(1e-3)]).prop_map(
            |(scale, positive, negative, zero_count, zero_threshold)| {
                let count = positive.total() + negative.total() + zero_count;
                let mut e = Exponential {
                    count,
                    sum: count as f64,
                    flags: 7,
                    zero_count,
                    zero_threshold: 0.0,
                    scale,
                    positive,
                    negative,
                    ..Exponential::default()
                };
                e.fit();
                e.raise_zero_threshold(zero_threshold);
                e
            },
        )
    }

    fn merged(a: &Exponential, b: &Exponential) -> Exponential {
        let mut out = a.clone();
        out.merge(b);
        out.fit();
        out
    }

    fn balanced(e: &Exponential) -> bool {
        e.count == e.zero_count + e.positive.total() + e.negative.total()
    }

    proptest! {
        #[test]
        fn m23_m26_merge_commutes_and_keeps_every_count(a in any_exponential(), b in any_exponential()) {
            let (ab, ba) = (merged(&a, &b), merged(&b, &a));
            prop_assert!(balanced(&ab));
            prop_assert_eq!(ab, ba);
        }

        #[test]
        fn m26_merge_associates_where_thresholds_agree(
            a in any_exponential(), b in any_exponential(), c in any_exponential()
        ) {
            let level = |e: &Exponential| Exponential { zero_threshold: 0.0, ..e.clone() };
            let (a, b, c) = (level(&a), level(&b), level(&c));
            let (left, right) = (merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert!(balanced(&left));
            prop_assert_eq!(left, right);
        }

        #[test]
        fn m24_what_is_merged_has_no_bucket_across_the_threshold(
            a in any_exponential(), b in any_exponential(), thresholds in prop::array::uniform2(0.0f64..70.0)
        ) {
            let wide = |e: &Exponential, zero_threshold: f64| Exponential { zero_threshold, ..e.clone() };
            let (a, b) = (wide(&a, thresholds[0]), wide(&b, thresholds[1]));
            let both = merged(&a, &b);
            prop_assert!(balanced(&both) && (a.count == 0 || b.count == 0 || !both.is_split()), "{both:?}");
        }

        /// As producers do that keep the number of buckets down, with whatever rounding of the bound.
        #[test]
        fn m24_a_zero_bucket_that_widens_to_a_bound_is_no_reset(
            scale in -4i32..=SCALE_MAX, at in -1000i64..1000, units in -8i64..=8, other in -8i64..=8, more in 0u64..3
        ) {
            let bound = |units: i64| {
                f64::from_bits(upper_bound(at, scale).to_bits().saturating_add_signed(units))
            };
            let of = |zero_count, zero_threshold, offset: i64, counts: &[u64]| {
                let positive = Side { offset: offset as i32, counts: counts.to_vec() };
                let count = positive.total() + zero_count;
                Exponential { count, zero_count, zero_threshold, scale, positive, ..Exponential::default() }
            };
            prop_assume!(bound(0) < f64::MAX / 2.0 && bound(0) > f64::MIN_POSITIVE);
            let older = of(1, 0.0, at, &[2, 3, 4]);
            let newer = of(3 + more, bound(units), at + 1, &[3, 5]);
            let step = newer.difference(&older).expect("no count falls");
            prop_assert_eq!((step.count, step.zero_count, step.positive.total()), (1 + more, more, 1));
            let again = of(3 + more, bound(other), at + 1, &[3, 6]);
            prop_assert_eq!(again.difference(&newer).map(|step| step.count), Some(1), "the bound worked out again");
            prop_assert_eq!(merged(&older, &newer).positive, Side { offset: at as i32 + 1, counts: vec![6, 9] });
            let fell = of(2, bound(units), at + 1, &[3, 5]);
            prop_assert_eq!(fell.difference(&older), None);
        }

        #[test]
        fn words_hold_what_was_stored(a in any_exponential()) {
            let mut words = vec![0u64; REGION];
            a.store(&mut words.as_mut_slice());
            let mut back = Exponential::default();
            back.load(&words.as_slice());
            prop_assert_eq!(back, a);
        }

        #[test]
        fn a_difference_added_to_the_older_gives_the_newer(a in any_exponential(), b in any_exponential()) {
            let newer = merged(&a, &b);
            let difference = newer.difference(&a).expect("no count falls, so there is no reset");
            prop_assert!(balanced(&difference));
            let back = merged(&a, &difference);
            prop_assert_eq!(back.count, newer.count);
            prop_assert!(balanced(&back));
        }
    }

    #[test]
    fn m25_a_huge_gap_downscales_and_never_allocates() {
        let at = |offset| Exponential {
            count: 1,
            scale: 20,
            positive: Side { offset, counts: vec![1] },
            ..Exponential::default()
        };
        let mut e = at(i32::MIN);
        assert!(!e.merge(&at(i32::MAX)));
        assert!(e.positive.counts.len() <= EXPONENTIAL_BUCKETS_MAX);
        assert_eq!(e.positive.total(), 2);
    }

    #[test]
    fn m24_a_threshold_inside_a_populated_bucket_rises_to_its_bound() {
        let mut e = Exponential {
            count: 2,
            scale: 0,
            positive: Side { offset: 0, counts: vec![1, 1] },
            ..Exponential::default()
        };
        e.raise_zero_threshold(1.5);
        assert_eq!((e.zero_threshold, e.zero_count, e.positive.total()), (2.0, 1, 1));
        // a bound of the finer scale is inside a bucket of the coarser one
        let of = |scale, zero_count, zero_threshold, offset| {
            let positive = Side { offset, counts: vec![1] };
            Exponential { count: 1 + zero_count, zero_count, zero_threshold, scale, positive, ..Exponential::default() }
        };
        let both = merged(&of(1, 1, 2f64.sqrt(), 1), &of(0, 0, 0.0, 3));
        assert_eq!((both.count, both.scale, both.zero_threshold, both.zero_count), (3, 0, 2.0, 2));
        assert_eq!(both.positive, Side { offset: 3, counts: vec![1] });
        // so is one where what is merged does not fit its scale
        let far = Side { offset: 1, counts: vec![1] };
        let wide = Exponential { positive: far, ..of(3, 0, 0.0, 0) };
        let both = merged(
            &Exponential { count: 2, zero_threshold: upper_bound(0, 3), zero_count: 1, ..wide },
            &of(3, 0, 0.0, 400),
        );
        assert!(both.scale < 3 && !both.is_split() && balanced(&both), "{both:?}");
    }
}
