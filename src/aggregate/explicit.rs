//! Explicit-bucket histograms of one set of bounds, as words.
//!
//! A *region* is a slice of words: count, sum, min, max, flags, then one word a bucket. It lies in a cell (atomics
//! with one writer) or in scratch memory; the trait `RegionWords` covers both. Knows no attributes, no time.
//!
//! Flags: a sum (min, max) is there only if every merged point with a count had one; absent is not 0 (M22). A region
//! of count 0 is either empty, all words 0, or holds points without values: then it knows whether all had a sum.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Word of the number of values.
pub const COUNT: usize = 0;
/// Word of their sum, bits of a double.
pub const SUM: usize = 1;
/// Word of the minimum, bits of a double.
pub const MIN: usize = 2;
/// Word of the maximum, bits of a double.
pub const MAX: usize = 3;
/// Word of the flags.
pub const FLAGS: usize = 4;
/// Words before the buckets.
pub const HEAD: usize = 5;
/// The region has a sum.
pub const HAS_SUM: u64 = 1;
/// The region has a minimum.
pub const HAS_MIN: u64 = 2;
/// The region has a maximum.
pub const HAS_MAX: u64 = 4;
/// The region holds nothing but points without values, and one of them had no sum.
pub const NO_SUM: u64 = 8;
/// What is left where a cumulative becomes increments (M22).
pub(super) const GAINED_FLAGS: u64 = HAS_SUM | NO_SUM;

/// The flags of a point.
pub fn flags_of(count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>) -> u64 {
    let bit = |value: Option<f64>, bit| if value.is_some_and(f64::is_finite) { bit } else { 0 };
    settled(count, bit(sum, HAS_SUM) | bit(min, HAS_MIN) | bit(max, HAS_MAX))
}

/// Flags of a region that is not empty: of count 0, it says when it has no sum.
pub(super) const fn settled(count: u64, flags: u64) -> u64 {
    if count == 0 && flags & HAS_SUM == 0 { flags | NO_SUM } else { flags }
}

/// Flags of two regions of count 0 together.
pub const fn without_values(a: u64, b: u64) -> u64 {
    let all = a | b;
    if all & NO_SUM != 0 { NO_SUM } else { all & HAS_SUM }
}

/// A region that is only read: what it counted, and its buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplicitRegion<'a>(&'a [u64]);

impl<'a> ExplicitRegion<'a> {
    /// Of these words: `HEAD`, and one a bucket.
    #[inline]
    pub const fn new(words: &'a [u64]) -> ExplicitRegion<'a> {
        ExplicitRegion(words)
    }

    /// Number of values.
    #[inline]
    pub const fn count(self) -> u64 {
        self.0[COUNT]
    }

    /// Their sum, where every merged point had one.
    #[inline]
    pub const fn sum(self) -> Option<f64> {
        value(self.0, HAS_SUM, SUM)
    }

    /// Their minimum, likewise.
    #[inline]
    pub const fn min(self) -> Option<f64> {
        value(self.0, HAS_MIN, MIN)
    }

    /// Their maximum, likewise.
    #[inline]
    pub const fn max(self) -> Option<f64> {
        value(self.0, HAS_MAX, MAX)
    }

    /// Values in each bucket.
    #[inline]
    pub fn buckets(self) -> &'a [u64] {
        &self.0[HEAD..]
    }
}

/// The double in a word of a region, if the flag is set.
#[inline]
pub(super) const fn value(words: &[u64], flag: u64, word: usize) -> Option<f64> {
    if words[FLAGS] & flag == 0 { None } else { Some(f64::from_bits(words[word])) }
}

/// Memory of words with one writer at a time.
pub trait RegionWords {
    /// Number of words.
    fn len(&self) -> usize;
    /// No words.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads word `i`.
    fn get(&self, i: usize) -> u64;
    /// Writes word `i`.
    fn set(&mut self, i: usize, value: u64);
}

impl RegionWords for &[AtomicU64] {
    #[inline]
    fn len(&self) -> usize {
        <[AtomicU64]>::len(self)
    }
    #[inline]
    fn get(&self, i: usize) -> u64 {
        // ORDERING: one writer; readers on other threads are ordered by the cut (series room)
        self[i].load(Relaxed)
    }
    #[inline]
    fn set(&mut self, i: usize, value: u64) {
        // ORDERING: as above
        self[i].store(value, Relaxed);
    }
}

impl RegionWords for &mut [u64] {
    #[inline]
    fn len(&self) -> usize {
        <[u64]>::len(self)
    }
    #[inline]
    fn get(&self, i: usize) -> u64 {
        self[i]
    }
    #[inline]
    fn set(&mut self, i: usize, value: u64) {
        self[i] = value;
    }
}

impl RegionWords for &[u64] {
    #[inline]
    fn len(&self) -> usize {
        <[u64]>::len(self)
    }
    #[inline]
    fn get(&self, i: usize) -> u64 {
        self[i]
    }
    fn set(&mut self, _: usize, _: u64) {
        unreachable!("a region that is only read is never written");
    }
}

/// Makes the region empty.
pub fn clear(region: &mut impl RegionWords) {
    for i in 0..region.len() {
        region.set(i, 0);
    }
}

/// Adds `from` to `into`. Both have the same number of buckets. Returns `true` if a count would overflow (M8); nothing
/// is added then.
pub fn merge(into: &mut impl RegionWords, from: &impl RegionWords) -> bool {
    merge_keeping(into, from, u64::MAX)
}

/// As `merge`, for what a cumulative stream gained: its minimum and maximum are not those of an interval (M22).
pub fn merge_gained(into: &mut impl RegionWords, from: &impl RegionWords) -> bool {
    merge_keeping(into, from, GAINED_FLAGS)
}

fn merge_keeping(into: &mut impl RegionWords, from: &impl RegionWords, flags: u64) -> bool {
    let count = from.get(COUNT);
    let before = into.get(COUNT);
    if count == 0 {
        if before == 0 {
            into.set(FLAGS, without_values(into.get(FLAGS), from.get(FLAGS)));
        }
        return false;
    }
    if before == 0 {
        for i in 0..from.len() {
            into.set(i, from.get(i));
        }
        into.set(FLAGS, from.get(FLAGS) & flags);
        return false;
    }
    let (total, overflow) = before.overflowing_add(count);
    if overflow {
        return true;
    }
    into.set(COUNT, total);
    into.set(SUM, (f64::from_bits(into.get(SUM)) + f64::from_bits(from.get(SUM))).to_bits());
    into.set(MIN, f64::from_bits(into.get(MIN)).min(f64::from_bits(from.get(MIN))).to_bits());
    into.set(MAX, f64::from_bits(into.get(MAX)).max(f64::from_bits(from.get(MAX))).to_bits());
    into.set(FLAGS, into.get(FLAGS) & from.get(FLAGS) & flags);
    for i in HEAD..from.len() {
        // no bucket overflows where their sum, the count, does not
        into.set(i, into.get(i) + from.get(i));
    }
    false
}

/// Whether `newer` can follow `older` in one cumulative stream without a reset: no bucket fell.
pub fn follows(newer: &impl RegionWords, older: &impl RegionWords) -> bool {
    newer.get(COUNT) >= older.get(COUNT) && (HEAD..newer.len()).all(|i| newer.get(i) >= older.get(i))
}

/// Adds to `into` what `newer` has more than `older` (which it follows). Minimum and maximum of a difference are
/// unknown (M22). Returns `true` if a count would overflow; nothing is added then.
pub fn merge_difference(into: &mut impl RegionWords, newer: &impl RegionWords, older: &impl RegionWords) -> bool {
    let count = newer.get(COUNT) - older.get(COUNT);
    let both = newer.get(FLAGS) & older.get(FLAGS) | if older.get(COUNT) == 0 { newer.get(FLAGS) } else { 0 };
    let flags = settled(count, both & HAS_SUM);
    if count == 0 {
        if into.get(COUNT) == 0 {
            into.set(FLAGS, without_values(into.get(FLAGS), flags));
        }
        return false;
    }
    let Some(total) = into.get(COUNT).checked_add(count) else { return true };
    into.set(FLAGS, if into.get(COUNT) == 0 { flags } else { into.get(FLAGS) & flags });
    into.set(COUNT, total);
    let difference = f64::from_bits(newer.get(SUM)) - f64::from_bits(older.get(SUM));
    into.set(SUM, (f64::from_bits(into.get(SUM)) + difference).to_bits());
    for i in HEAD..newer.len() {
        // as in `merge`
        into.set(i, into.get(i) + (newer.get(i) - older.get(i)));
    }
    false
}

/// Copies a region.
pub fn copy(into: &mut impl RegionWords, from: &impl RegionWords) {
    for i in 0..from.len() {
        into.set(i, from.get(i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(buckets: Vec<u64>) -> Vec<u64> {
        let count: u64 = buckets.iter().sum();
        let mut words = vec![count, (count as f64 * 0.5).to_bits(), 1f64.to_bits(), 9f64.to_bits(), 7];
        words.extend(buckets);
        if count == 0 {
            words.fill(0);
        }
        words
    }

    /// Empty, a point without values, or values; sum and extremes there or not.
    fn any_region() -> impl Strategy<Value = Vec<u64>> {
        let buckets = prop_oneof![Just(vec![0; 4]), prop::collection::vec(0u64..1 << 40, 4)];
        (buckets, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(buckets, empty, sum, extremes)| {
            let mut words = region(buckets);
            if words[0] > 0 || !empty {
                let extreme = (extremes && words[0] > 0).then_some(1.0);
                words[4] = flags_of(words[0], sum.then_some(1.0), extreme, extreme);
            }
            words
        })
    }

    fn merged(a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut out = a.to_vec();
        merge(&mut out.as_mut_slice(), &b);
        out
    }

    proptest! {
        #[test]
        fn m26_merge_is_associative_and_commutative(
            a in any_region(), b in any_region(), c in any_region()
        ) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            let total = merged(&a, &b);
            prop_assert_eq!(total[0], total[HEAD..].iter().sum::<u64>());
        }

        #[test]
        fn m22_a_sum_is_there_where_every_point_that_counts_had_one(
            points in prop::collection::vec((0u64..2, any::<bool>()), 1..8)
        ) {
            let mut total = vec![0; HEAD + 1];
            for (count, sum) in &points {
                let from = [*count, 0, 0, 0, flags_of(*count, sum.then_some(0.0), None, None), *count];
                merge(&mut total.as_mut_slice(), &from.as_slice());
            }
            let values = points.iter().any(|(count, _)| *count > 0);
            let want = points.iter().all(|(count, sum)| *sum || values && *count == 0);
            prop_assert_eq!(total[4] & HAS_SUM != 0, want);
        }

        #[test]
        fn a_difference_added_to_the_older_gives_the_newer(
            a in prop::collection::vec(0u64..1 << 40, 4), b in prop::collection::vec(0u64..1 << 40, 4)
        ) {
            let older = region(a);
            let newer = merged(&older, &region(b));
            prop_assert!(follows(&newer.as_slice(), &older.as_slice()));
            let mut difference = vec![0; newer.len()];
            merge_difference(&mut difference.as_mut_slice(), &newer.as_slice(), &older.as_slice());
            let back = merged(&older, &difference);
            prop_assert_eq!(back[0], newer[0]);
            prop_assert_eq!(&back[HEAD..], &newer[HEAD..]);
        }
    }
}
