//! Exponential histograms: merging by downscaling, zero thresholds, and the words they are kept in.
//!
//! Source: OpenTelemetry metrics data model, "ExponentialHistogram": bucket `i` at `scale` covers
//! (base^i, base^(i+1)], base = 2^(2^-scale); lowering the scale by one halves the index (floor). Knows no
//! attributes, no time.
//!
//! Bounds: `limits::EXPONENTIAL_BUCKETS_MAX` buckets a side; what does not fit is downscaled until it does, so a
//! huge gap between offsets never allocates. Scales lie in -11..=20 (M25: below -11 every double is in one of two
//! buckets; SDKs start at 20).

use super::explicit::{GAINED_FLAGS, HAS_SUM, Words, settled, without_values};
use crate::limits::EXPONENTIAL_BUCKETS_MAX;

/// Lowest scale.
pub const SCALE_MIN: i32 = -11;
/// Highest scale.
pub const SCALE_MAX: i32 = 20;
/// Words before the buckets: count, sum, min, max, flags, zero count, zero threshold, scale, two offset/length pairs.
pub const HEAD: usize = 10;
/// Words of a region.
pub const REGION: usize = HEAD + 2 * EXPONENTIAL_BUCKETS_MAX;

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
        let (low, high) = match (a.counts.is_empty(), b.counts.is_empty()) {
            (true, true) => return 0,
            (false, true) => (i64::from(a.offset), a.end() - 1),
            (true, false) => (i64::from(b.offset), b.end() - 1),
            (false, false) => (i64::from(a.offset.min(b.offset)), a.end().max(b.end()) - 1),
        };
        let mut by = 0;
        while (high >> by) - (low >> by) >= EXPONENTIAL_BUCKETS_MAX as i64 {
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

/// The upper bound of bucket `index` at `scale`.
pub fn upper_bound(index: i64, scale: i32) -> f64 {
    ((index + 1) as f64 * f64::from(-scale).exp2()).exp2()
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
        self.positive.trim();
        self.negative.trim();
        let none = Side::default();
        let by = Side::excess(&self.positive, &none).max(Side::excess(&self.negative, &none));
        self.downscale(by);
    }

    /// Raises the zero threshold to at least `to`, absorbing buckets that lie within it; where it would split a
    /// populated bucket it rises to that bucket's upper bound (M24).
    pub fn raise_zero_threshold(&mut self, to: f64) {
        if to <= self.zero_threshold {
            return;
        }
        let mut threshold = to;
        // a bucket of the other side may raise the threshold again: at most one turn a bucket
        for _ in 0..2 * EXPONENTIAL_BUCKETS_MAX + 1 {
            let before = threshold;
            for side in [&self.positive, &self.negative] {
                for (i, count) in side.counts.iter().enumerate() {
                    let index = i64::from(side.offset) + i as i64;
                    let (low, high) = (upper_bound(index - 1, self.scale), upper_bound(index, self.scale));
                    if *count > 0 && low < threshold && threshold < high {
                        threshold = high;
                    }
                }
            }
            if threshold == before {
                break;
            }
        }
        for side in [&mut self.positive, &mut self.negative] {
            for (i, count) in side.counts.iter_mut().enumerate() {
                if upper_bound(i64::from(side.offset) + i as i64, self.scale) <= threshold {
                    self.zero_count = self.zero_count.saturating_add(*count);
                    *count = 0;
                }
            }
            side.trim();
        }
        self.zero_threshold = threshold;
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
        // both thresholds may end above the larger one, where it falls inside a populated bucket
        for _ in 0..4 * EXPONENTIAL_BUCKETS_MAX {
            if self.zero_threshold == other.zero_threshold {
                break;
            }
            let threshold = self.zero_threshold.max(other.zero_threshold);
            self.raise_zero_threshold(threshold);
            other.raise_zero_threshold(threshold);
        }
        let scale = self.scale.min(other.scale);
        self.downscale((self.scale - scale) as u32);
        other.downscale((other.scale - scale) as u32);
        let by = self.excess(other);
        self.downscale(by);
        other.downscale(by);
        self.add(count, other);
        false
    }

    /// The buckets of both can be added one by one.
    fn is_like(&self, other: &Exponential) -> bool {
        self.zero_threshold == other.zero_threshold && self.scale == other.scale && self.excess(other) == 0
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

    /// Becomes what it has more than `older`; `false` if it cannot follow it without a reset. Both are used up: after
    /// `false`, neither means anything.
    pub fn subtract(&mut self, older: &mut Exponential) -> bool {
        if self.count < older.count || self.zero_count < older.zero_count && self.zero_threshold <= older.zero_threshold
        {
            return false;
        }
        if older.count == 0 {
            self.flags = settled(self.count, self.flags & HAS_SUM);
            return true;
        }
        if self.scale > older.scale || self.zero_threshold < older.zero_threshold {
            return false;
        }
        older.raise_zero_threshold(self.zero_threshold);
        older.downscale((older.scale - self.scale) as u32);
        if older.zero_threshold != self.zero_threshold {
            return false;
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
    pub fn load(&mut self, region: &impl Words) {
        self.clear();
        self.count = region.get(0);
        self.sum = f64::from_bits(region.get(1));
        self.min = f64::from_bits(region.get(2));
        self.max = f64::from_bits(region.get(3));
        self.flags = region.get(4);
        self.zero_count = region.get(5);
        self.zero_threshold = f64::from_bits(region.get(6));
        self.scale = region.get(7) as i32;
        for (side, head, from) in
            [(&mut self.positive, 8, HEAD), (&mut self.negative, 9, HEAD + EXPONENTIAL_BUCKETS_MAX)]
        {
            let word = region.get(head);
            side.offset = (word >> 32) as i32;
            let length = (word as u32 as usize).min(EXPONENTIAL_BUCKETS_MAX);
            side.counts.extend((0..length).map(|i| region.get(from + i)));
        }
    }

    /// Writes a region. Both sides fit (`fit`, `merge`).
    pub fn store(&self, region: &mut impl Words) {
        region.set(0, self.count);
        region.set(1, self.sum.to_bits());
        region.set(2, self.min.to_bits());
        region.set(3, self.max.to_bits());
        region.set(4, self.flags);
        region.set(5, self.zero_count);
        region.set(6, self.zero_threshold.to_bits());
        region.set(7, self.scale as u32 as u64);
        for (side, head, from) in [(&self.positive, 8, HEAD), (&self.negative, 9, HEAD + EXPONENTIAL_BUCKETS_MAX)] {
            assert!(side.counts.len() <= EXPONENTIAL_BUCKETS_MAX, "a side that was not fitted");
            region.set(head, (side.offset as u32 as u64) << 32 | side.counts.len() as u64);
            for (i, count) in side.counts.iter().enumerate() {
                region.set(from + i, *count);
            }
        }
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
            if let Some(difference) = newer.difference(&a) {
                prop_assert!(balanced(&difference));
                let back = merged(&a, &difference);
                prop_assert_eq!(back.count, newer.count);
                prop_assert!(balanced(&back));
            } else {
                // only where thresholds had to rise between the two
                prop_assert!(a.zero_threshold != newer.zero_threshold);
            }
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
    }
}
