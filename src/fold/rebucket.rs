//! Histograms brought to other buckets (RULES S14).
//!
//! Knows buckets; does not know whose they are. Count, sum and extremes stay as they are. A bucket's values are spread over
//! the target buckets that it reaches into, evenly, or evenly over logarithms if it is exponential; so where the target
//! bounds are among the source's it is exact, and elsewhere no value moves further than its source bucket is wide. What does
//! not divide goes to the largest remainders. An unbounded bucket ends at the minimum or maximum, if it is known; else all
//! of it goes where its finite bound lies.

use super::quantile::buckets_of;
use super::sketch::index_of;
use crate::aggregate::explicit::{COUNT, ExplicitRegion, FLAGS, HEAD, MAX, MIN, SUM};
use crate::aggregate::exponential::{Exponential, SCALE_MAX, SCALE_MIN, upper_bound};

/// Memory for spreading one bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    /// Target, whole part taken already, what remains.
    shares: Vec<(usize, f64)>,
}

impl Spread {
    /// Spreads `count` over targets by their shares of it, which add up to 1 but for rounding.
    fn spread(&mut self, count: u64, mut put: impl FnMut(usize, u64)) {
        let mut left = count;
        for (target, share) in &mut self.shares {
            let wanted = *share * count as f64;
            let whole = (wanted.floor() as u64).min(left);
            left -= whole;
            if whole > 0 {
                put(*target, whole);
            }
            *share = wanted - whole as f64;
        }
        // of equal remainders the lower bucket's comes first; in place, as a stable sort takes memory
        self.shares.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let targets = self.shares.len() as u64;
        for (place, (target, _)) in self.shares.iter().enumerate() {
            // rounding may leave more than one for each
            let more = left / targets + u64::from((place as u64) < left % targets);
            if more > 0 {
                put(*target, more);
            }
        }
        self.shares.clear();
    }
}

/// The bucket of these bounds that a value lies in.
pub(super) fn bucket_of(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

/// An explicit region to other bounds. Returns how many values of an unbounded bucket were put at its finite bound.
pub(super) fn to_explicit(
    bounds: &[f64],
    words: &[u64],
    to: &[f64],
    region: &mut Vec<u64>,
    spread: &mut Spread,
) -> u64 {
    begin(region, &words[..HEAD], to);
    let buckets = &words[HEAD..];
    let ends = ends(words);
    let mut unbounded = 0;
    for (i, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        match edges_of(i, bounds, ends) {
            (Some(lower), Some(upper)) => spread_bucket((lower, upper, *count), to, false, region, spread),
            (None, Some(upper)) => {
                let target = bucket_of(to, upper);
                unbounded += if target > 0 { *count } else { 0 };
                region[HEAD + target] += count;
            }
            (lower, None) => {
                let target = lower.map_or(to.len(), |lower| to.partition_point(|bound| *bound <= lower));
                unbounded += if target < to.len() { *count } else { 0 };
                region[HEAD + target] += count;
            }
        }
    }
    unbounded
}

/// An exponential histogram to explicit bounds.
pub(super) fn exponential_to_explicit(value: &Exponential, to: &[f64], region: &mut Vec<u64>, spread: &mut Spread) {
    begin(region, &head_of(value), to);
    for bucket in buckets_of(value) {
        let is_exponential = bucket.0 > 0.0 || bucket.1 < 0.0;
        spread_bucket(bucket, to, is_exponential, region, spread);
    }
}

/// An explicit region as an exponential histogram of at most so many buckets a side; what lies close to 0 goes to the zero
/// bucket. Returns as `to_explicit` does.
pub(super) fn to_exponential(
    bounds: &[f64],
    words: &[u64],
    buckets_max: usize,
    value: &mut Exponential,
    spread: &mut Spread,
) -> u64 {
    value.clear();
    let head = |word: usize| f64::from_bits(words[word]);
    (value.count, value.sum, value.flags) = (words[COUNT], head(SUM), words[FLAGS]);
    (value.min, value.max) = (head(MIN), head(MAX));
    let (spans, unbounded) = spans_of(bounds, words);
    let edges = || spans.iter().flat_map(|(lower, upper, _)| [lower.abs(), upper.abs()]).filter(|edge| *edge > 0.0);
    let (nearest, furthest) = (edges().fold(f64::INFINITY, f64::min), edges().fold(0.0, f64::max));
    if furthest == 0.0 {
        (value.zero_count, value.scale) = (value.count, SCALE_MAX);
        return unbounded;
    }
    // what reaches from 0 to the nearest bound is told apart down to a sixteenth of that
    let reaches_zero = spans.iter().any(|(lower, upper, _)| *lower <= 0.0 && *upper >= 0.0 && lower != upper);
    let nearest = if reaches_zero { nearest / 16.0 } else { nearest };
    value.scale = scale_for(nearest, furthest, buckets_max);
    let first = index_of(nearest, value.scale);
    let length = (index_of(furthest, value.scale) - first + 1) as usize;
    // the zero bucket ends where the first bucket begins
    let floor = upper_bound(i64::from(first) - 1, value.scale);
    value.zero_threshold = if reaches_zero { floor } else { 0.0 };
    for side in [&mut value.positive, &mut value.negative] {
        side.offset = first;
        side.counts.resize(length, 0);
    }
    for span in spans {
        spread_span(span, floor, value, spread);
    }
    value.fit();
    unbounded
}

/// The populated buckets as what they reach from and to, and how many values of unbounded ones are put at a finite bound.
fn spans_of(bounds: &[f64], words: &[u64]) -> (Vec<(f64, f64, u64)>, u64) {
    let (ends, mut unbounded) = (ends(words), 0);
    let spans = words[HEAD..].iter().enumerate().filter(|(_, count)| **count > 0).map(|(i, count)| {
        let (lower, upper) = match edges_of(i, bounds, ends) {
            (Some(lower), Some(upper)) if lower <= upper => (lower, upper),
            (lower, upper) => {
                unbounded += count;
                let bound = finite(bounds, i).or(lower).or(upper).unwrap_or(0.0);
                (bound, bound)
            }
        };
        (lower, upper, *count)
    });
    (spans.collect(), unbounded)
}

/// Spreads one of them over the zero bucket, which ends at `floor`, and the sides, which begin there and hold what is
/// furthest.
fn spread_span((lower, upper, count): (f64, f64, u64), floor: f64, value: &mut Exponential, spread: &mut Spread) {
    let (scale, first, length) = (value.scale, value.positive.offset, value.positive.counts.len());
    let place_of = |edge: f64| (index_of(edge, scale) - first).clamp(0, length as i32 - 1) as usize;
    if lower == upper {
        match lower {
            0.0 => value.zero_count += count,
            _ if lower > 0.0 => value.positive.counts[place_of(lower)] += count,
            _ => value.negative.counts[place_of(-lower)] += count,
        }
        return;
    }
    let mut share = |target: usize, from: f64, to: f64| {
        let (from, to) = (from.max(lower), to.min(upper));
        if from < to {
            spread.shares.push((target, part_of((lower, upper), (from, to), false)));
        }
    };
    share(0, -floor, floor);
    let ends = |place: usize| {
        let at = i64::from(first) + place as i64;
        (upper_bound(at - 1, scale), upper_bound(at, scale))
    };
    if upper > floor {
        for place in place_of(lower.max(floor))..=place_of(upper) {
            let (from, to) = ends(place);
            share(1 + place, from, to);
        }
    }
    if lower < -floor {
        for place in place_of((-upper).max(floor))..=place_of(-lower) {
            let (from, to) = ends(place);
            share(1 + length + place, -to, -from);
        }
    }
    let (zero, positive, negative) = (&mut value.zero_count, &mut value.positive, &mut value.negative);
    spread.spread(count, |target, count| match target.checked_sub(1) {
        None => *zero += count,
        Some(place) if place < length => positive.counts[place] += count,
        Some(place) => negative.counts[place - length] += count,
    });
}

/// The finest scale at which both are within so many buckets.
fn scale_for(nearest: f64, furthest: f64, buckets_max: usize) -> i32 {
    let fits = |scale: &i32| ((index_of(furthest, *scale) - index_of(nearest, *scale)) as usize) < buckets_max.max(2);
    (SCALE_MIN..=SCALE_MAX).rev().find(fits).unwrap_or(SCALE_MIN)
}

/// Words of a region's head.
pub(super) const fn head_of(value: &Exponential) -> [u64; HEAD] {
    [value.count, value.sum.to_bits(), value.min.to_bits(), value.max.to_bits(), value.flags]
}

/// An empty region with this head.
fn begin(region: &mut Vec<u64>, head: &[u64], to: &[f64]) {
    region.clear();
    region.extend_from_slice(head);
    region.resize(HEAD + to.len() + 1, 0);
}

/// A bound; an infinite one says no more than none.
fn finite(bounds: &[f64], place: usize) -> Option<f64> {
    bounds.get(place).copied().filter(|bound| bound.is_finite())
}

/// Where a bucket begins and ends: at its bounds, or else at the region's minimum and maximum, where they are known.
fn edges_of(bucket: usize, bounds: &[f64], (low, high): (Option<f64>, Option<f64>)) -> (Option<f64>, Option<f64>) {
    let lower = bucket.checked_sub(1).and_then(|place| finite(bounds, place));
    (lower.or(low), finite(bounds, bucket).or(high))
}

/// Minimum and maximum of a region, where they are known.
fn ends(words: &[u64]) -> (Option<f64>, Option<f64>) {
    let region = ExplicitRegion::new(words);
    (region.min(), region.max())
}

/// Spreads a bucket over those of `to`.
fn spread_bucket(
    (lower, upper, count): (f64, f64, u64),
    to: &[f64],
    is_exponential: bool,
    region: &mut [u64],
    spread: &mut Spread,
) {
    let (first, last) = (to.partition_point(|bound| *bound <= lower), bucket_of(to, upper));
    if first >= last || lower >= upper {
        region[HEAD + last] += count;
        return;
    }
    for target in first..=last {
        let from = if target == first { lower } else { to[target - 1] };
        let until = if target == last { upper } else { to[target] };
        spread.shares.push((target, part_of((lower, upper), (from, until), is_exponential)));
    }
    spread.spread(count, |target, count| region[HEAD + target] += count);
}

/// Which part of a bucket lies there.
fn part_of((lower, upper): (f64, f64), (from, to): (f64, f64), is_exponential: bool) -> f64 {
    if is_exponential {
        let log = |value: f64| value.abs().log2();
        return (log(to) - log(from)) / (log(upper) - log(lower));
    }
    // in halves, as the width of a bucket may be more than a double holds
    (to / 2.0 - from / 2.0) / (upper / 2.0 - lower / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::explicit::{HAS_MAX, HAS_MIN, HAS_SUM};
    use crate::fold::quantile;
    use proptest::prelude::*;

    fn region(buckets: &[u64], ends: Option<(f64, f64)>) -> Vec<u64> {
        let (low, high) = ends.unwrap_or_default();
        let flags = HAS_SUM | if ends.is_some() { HAS_MIN | HAS_MAX } else { 0 };
        let mut words = vec![buckets.iter().sum(), 1.5f64.to_bits(), low.to_bits(), high.to_bits(), flags];
        words.extend(buckets);
        words
    }

    fn brought(bounds: &[f64], words: &[u64], to: &[f64]) -> (Vec<u64>, u64) {
        let mut out = Vec::new();
        let unbounded = to_explicit(bounds, words, to, &mut out, &mut Spread::default());
        assert_eq!(out[..HEAD], words[..HEAD]);
        (out[HEAD..].to_vec(), unbounded)
    }

    /// A bound that is infinite says no more than none: what lies beyond the last finite one goes to it, and nothing breaks.
    #[test]
    fn infinite_bounds_say_no_more_than_none() {
        let mut words = vec![0; HEAD + 4];
        (words[COUNT], words[HEAD + 2]) = (3, 3);
        let (mut value, mut spread, mut region) = (Exponential::default(), Spread::default(), Vec::new());
        let bounds = [5.0, 10.0, f64::INFINITY];
        assert_eq!(to_exponential(&bounds, &words, 160, &mut value, &mut spread), 3);
        assert_eq!(value.count, 3);
        assert_eq!(value.zero_count + value.positive.total() + value.negative.total(), 3);
        to_explicit(&bounds, &words, &[1.0, 100.0], &mut region, &mut spread);
        assert_eq!(region[HEAD..].iter().sum::<u64>(), 3);
        let bounds = [f64::NEG_INFINITY, -1.0, 1.0];
        let mut words = vec![0; HEAD + 4];
        (words[COUNT], words[HEAD + 1]) = (2, 2);
        to_exponential(&bounds, &words, 160, &mut value, &mut spread);
        assert_eq!(value.zero_count + value.positive.total() + value.negative.total(), 2);
        let of = crate::fold::quantile::of_explicit;
        assert_eq!(of(0.9, &[5.0, 10.0, f64::INFINITY], &[1, 0, 9, 0]), Some(10.0));
        assert_eq!(of(0.9, &bounds, &[0, 2, 0, 0]), Some(-1.0));
    }

    #[test]
    fn s14_a_subset_of_the_bounds_is_exact() {
        let words = region(&[4, 8, 7, 1], None);
        assert_eq!(brought(&[1.0, 2.0, 5.0], &words, &[1.0, 5.0]), (vec![4, 15, 1], 0));
        assert_eq!(brought(&[1.0, 2.0, 5.0], &words, &[]), (vec![20], 0));
        assert_eq!(brought(&[1.0, 2.0, 5.0], &words, &[1.0, 2.0, 5.0]), (vec![4, 8, 7, 1], 0));
    }

    #[test]
    fn s14_other_bounds_take_what_reaches_into_them() {
        let words = region(&[0, 8, 3, 0], None);
        assert_eq!(
            brought(&[0.0, 4.0, 5.0], &words, &[1.0, 2.0, 4.5]),
            (vec![2, 2, 6, 1], 0),
            "of a tie the lower one"
        );
        let words = region(&[0, 10, 0], None);
        assert_eq!(brought(&[0.0, 3.0], &words, &[1.0, 2.0]), (vec![4, 3, 3], 0));
    }

    #[test]
    fn s14_an_unbounded_bucket_ends_at_the_minimum_or_maximum_or_goes_to_its_finite_bound() {
        let (bounds, to) = ([10.0, 20.0], [5.0, 10.0, 20.0, 30.0]);
        assert_eq!(brought(&bounds, &region(&[4, 0, 6], Some((0.0, 40.0))), &to), (vec![2, 2, 0, 3, 3], 0));
        assert_eq!(brought(&bounds, &region(&[4, 0, 6], None), &to), (vec![0, 4, 0, 6, 0], 10));
        assert_eq!(brought(&[], &region(&[4], None), &to), (vec![0, 0, 0, 0, 4], 0));
    }

    #[test]
    fn s14_exponential_buckets_are_spread_over_logarithms() {
        let positive = crate::aggregate::exponential::Side { offset: 0, counts: vec![8, 4] };
        let value = Exponential { count: 13, zero_count: 1, positive, ..Exponential::default() };
        let mut out = Vec::new();
        exponential_to_explicit(&value, &[0.0, 2f64.sqrt(), 2.0, 8.0], &mut out, &mut Spread::default());
        assert_eq!(out[HEAD..], [1, 4, 4, 4, 0]);
    }

    proptest! {
        #[test]
        fn s14_counts_stay_whole_and_quantiles_move_by_one_source_bucket_at_most(
            steps in prop::collection::vec(1u32..50, 1..12), first in -40i32..40,
            counts in prop::collection::vec(0u64..1000, 13), to in prop::collection::btree_set(-60i32..400, 0..14),
            quantile in 0.0f64..1.0, buckets_max in 8usize..160,
        ) {
            let mut bounds = vec![f64::from(first)];
            for step in steps {
                bounds.push(bounds.last().unwrap() + f64::from(step));
            }
            let buckets = &counts[..bounds.len() + 1];
            let (low, high) = (bounds[0] - 5.0, bounds.last().unwrap() + 5.0);
            let words = region(buckets, Some((low, high)));
            let to: Vec<f64> = to.into_iter().map(f64::from).collect();
            let (out, unbounded) = brought(&bounds, &words, &to);
            let total: u64 = buckets.iter().sum();
            prop_assert_eq!((out.iter().sum::<u64>(), unbounded), (total, 0));
            let (mut value, mut spread) = (Exponential::default(), Spread::default());
            to_exponential(&bounds, &words, buckets_max, &mut value, &mut spread);
            prop_assert_eq!(value.positive.total() + value.negative.total() + value.zero_count, total);
            prop_assert!(value.positive.counts.len() <= buckets_max && value.negative.counts.len() <= buckets_max);
            if total > 0 {
                // in which source bucket each lies, ends included
                let edges: Vec<f64> = [low].into_iter().chain(bounds.iter().copied()).chain([high]).collect();
                let rank = quantile * total as f64;
                let mut until = 0;
                let place = buckets.iter().position(|count| { until += count; until as f64 >= rank }).unwrap();
                let (lower, upper) = (edges[place], edges[place + 1]);
                let got = quantile::of_exponential(quantile, &value).unwrap();
                let base = f64::from(-value.scale).exp2().exp2();
                let slack = |edge: f64| edge.abs() * (base - 1.0) + 2.0 * value.zero_threshold + (upper - lower);
                prop_assert!(lower - slack(lower) <= got && got <= upper + slack(upper), "{} {} {} {:?}", lower, got, upper, value);
            }
        }
    }
}
