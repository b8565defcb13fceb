//! Quantiles and variances of what was gathered, as PromQL computes them.
//!
//! Knows buckets and samples; does not know whose they are. Nothing where there is nothing to say: PromQL's NaN.
//!
//! Sources: Prometheus 3, "histogram_quantile", "histogram_stdvar" and "quantile" of its documentation: explicit bounds are
//! linear inside a bucket, the last bucket says its lower bound, the first one begins at 0 if its bound is above;
//! exponential buckets are exponential inside, the zero bucket is linear, and one-sided if the histogram is.

use crate::aggregate::explicit::HAS_SUM;
use crate::aggregate::exponential::{Exponential, Side, upper_bound};

/// Of an explicit histogram: as many bounds as buckets, but for the last.
pub(super) fn of_explicit(quantile: f64, bounds: &[f64], buckets: &[u64]) -> Option<f64> {
    let count = buckets.iter().fold(0u64, |sum, bucket| sum.saturating_add(*bucket));
    if count == 0 || bounds.is_empty() {
        return None;
    }
    let rank = quantile * count as f64;
    let mut below = 0u64;
    for (i, bound) in bounds.iter().enumerate() {
        let until = below.saturating_add(buckets[i]);
        if until as f64 >= rank {
            if *bound == f64::INFINITY {
                // the bucket of all that is larger, under another name
                return i.checked_sub(1).map(|below| bounds[below]);
            }
            if i == 0 && *bound <= 0.0 || i > 0 && bounds[i - 1] == f64::NEG_INFINITY {
                return Some(*bound);
            }
            let lower = if i == 0 { 0.0 } else { bounds[i - 1] };
            // of an empty bucket, rank 0 is the only one that comes here
            let part = if buckets[i] == 0 { 0.0 } else { (rank - below as f64) / buckets[i] as f64 };
            return Some(lower + (bound - lower) * part);
        }
        below = until;
    }
    bounds.iter().rev().copied().find(|bound| bound.is_finite())
}

/// A bucket of an exponential histogram: its bounds, ascending, and its count.
type Bucket = (f64, f64, u64);

/// The populated buckets, ascending.
pub(super) fn buckets_of(value: &Exponential) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let scale = value.scale;
    let of = move |side: &Side, place: usize| {
        let index = i64::from(side.offset) + place as i64;
        (upper_bound(index - 1, scale), upper_bound(index, scale), side.counts[place])
    };
    let negative = (0..value.negative.counts.len()).rev().map(move |place| {
        let (lower, upper, count) = of(&value.negative, place);
        (-upper, -lower, count)
    });
    let (has_negative, has_positive) = (!value.negative.counts.is_empty(), !value.positive.counts.is_empty());
    let width = value.zero_threshold;
    let lower = if has_positive && !has_negative { 0.0 } else { -width };
    let upper = if has_negative && !has_positive { 0.0 } else { width };
    let zero = std::iter::once((lower, upper, value.zero_count));
    let positive = (0..value.positive.counts.len()).map(move |place| of(&value.positive, place));
    negative.chain(zero).chain(positive).filter(|(.., count)| *count > 0)
}

/// Of an exponential histogram.
pub(super) fn of_exponential(quantile: f64, value: &Exponential) -> Option<f64> {
    if value.count == 0 {
        return None;
    }
    // from the nearer end, as the judge does: what rounds, rounds alike
    let (found, rank) = if quantile < 0.5 {
        let rank = quantile * value.count as f64;
        (reach(buckets_of(value), rank), rank)
    } else {
        let rank = (1.0 - quantile) * value.count as f64;
        (reach(buckets_of(value).rev(), rank), rank)
    };
    let ((lower, upper, count), until) = found?;
    let rank = if quantile < 0.5 { rank - (until - count as f64) } else { until - rank };
    let part = rank / count as f64;
    if lower <= 0.0 && upper >= 0.0 {
        return Some(lower + (upper - lower) * part);
    }
    let (low, high) = (lower.abs().log2(), upper.abs().log2());
    Some(if lower > 0.0 { (low + (high - low) * part).exp2() } else { -(high + (low - high) * (1.0 - part)).exp2() })
}

/// The bucket with which so many values are reached, and how many they are with it; the last one if they never are.
fn reach(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Option<(Bucket, f64)> {
    let (mut until, mut last) = (0.0, None);
    for bucket in buckets {
        until += bucket.2 as f64;
        last = Some((bucket, until));
        if until >= rank {
            break;
        }
    }
    last
}

/// Of samples, which are put in order: linear between the two nearest.
pub(super) fn of_samples(quantile: f64, samples: &mut [f64]) -> Option<f64> {
    let last = samples.len().checked_sub(1)?;
    samples.sort_unstable_by(f64::total_cmp);
    let rank = quantile * last as f64;
    let place = (rank.floor() as usize).min(last);
    let part = rank - rank.floor();
    Some(samples[place] * (1.0 - part) + samples[(place + 1).min(last)] * part)
}

/// The variance of an exponential histogram, if it has a sum: each value is taken for the geometric middle of its bucket,
/// those of the zero bucket for 0.
pub(super) fn variance_of_exponential(value: &Exponential) -> Option<f64> {
    if value.count == 0 || value.flags & HAS_SUM == 0 {
        return None;
    }
    let mean = value.sum / value.count as f64;
    let squares = buckets_of(value).map(|(lower, upper, count)| {
        let middle =
            if lower <= 0.0 && upper >= 0.0 { 0.0 } else { (lower.abs().sqrt() * upper.abs().sqrt()).copysign(lower) };
        (middle - mean).powi(2) * count as f64
    });
    Some(squares.sum::<f64>() / value.count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: Option<f64>, want: f64) {
        let got = got.expect("something to say");
        assert!((got - want).abs() <= want.abs() * 1e-7, "{got} is not {want}");
    }

    #[test]
    fn vector_6_quantiles_are_those_of_promql() {
        let (bounds, buckets) = ([1.0, 2.0, 5.0], [4, 8, 7, 1]);
        assert_eq!(of_explicit(0.5, &bounds, &buckets), Some(1.75));
        near(of_explicit(0.9, &bounds, &buckets), 4.571_428_6);
        assert_eq!(of_explicit(0.99, &bounds, &buckets), Some(5.0), "the last bucket says its lower bound");
        let value =
            Exponential { count: 8, positive: Side { offset: 0, counts: vec![7, 1] }, ..Exponential::default() };
        near(of_exponential(0.5, &value), 1.485_994_3);
        near(of_exponential(0.99, &value), 3.784_230_6);
    }

    #[test]
    fn an_explicit_histogram_says_what_its_ends_allow() {
        assert_eq!(of_explicit(0.5, &[1.0], &[0, 0]), None);
        assert_eq!(of_explicit(0.5, &[], &[3]), None, "PromQL wants two buckets");
        assert_eq!(of_explicit(0.5, &[-2.0, 3.0], &[4, 1, 0]), Some(-2.0), "nothing is known below");
        assert_eq!(of_explicit(0.0, &[2.0, 4.0], &[0, 3, 0]), Some(0.0));
        assert_eq!(of_explicit(1.0, &[2.0, 4.0], &[0, 3, 0]), Some(4.0));
    }

    #[test]
    fn an_exponential_histogram_is_mirrored_and_its_zero_bucket_is_linear() {
        let side = |offset, counts: &[u64]| Side { offset, counts: counts.to_vec() };
        let positive = Exponential { count: 10, positive: side(2, &[10]), ..Exponential::default() };
        let negative = Exponential { count: 10, negative: side(2, &[10]), ..Exponential::default() };
        for quantile in [0.1, 0.25, 0.5, 0.75, 0.9] {
            near(of_exponential(quantile, &positive), 2f64.powf(2.0 + quantile));
            near(of_exponential(quantile, &negative), -(2f64.powf(3.0 - quantile)));
        }
        let zero = Exponential { count: 4, zero_count: 4, zero_threshold: 2.0, ..Exponential::default() };
        assert_eq!(of_exponential(0.25, &zero), Some(-1.0), "both sides of 0");
        let above = Exponential { count: 8, positive: side(1, &[4]), ..zero.clone() };
        assert_eq!(of_exponential(0.25, &above), Some(1.0), "0 is its lower end");
        let below = Exponential { count: 8, negative: side(1, &[4]), ..zero };
        assert_eq!(of_exponential(0.75, &below), Some(-1.0), "0 is its upper end");
        assert_eq!(of_exponential(0.5, &Exponential::default()), None);
    }

    #[test]
    fn samples_are_linear_between_two() {
        assert_eq!(of_samples(0.5, &mut []), None);
        assert_eq!(of_samples(0.9, &mut [7.0]), Some(7.0));
        assert_eq!(of_samples(0.5, &mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(of_samples(1.0, &mut [4.0, 1.0]), Some(4.0));
        assert_eq!(of_samples(0.0, &mut [4.0, -1.0]), Some(-1.0));
    }

    #[test]
    fn a_variance_takes_the_geometric_middle_of_a_bucket() {
        let value = Exponential {
            count: 3,
            sum: 3.0,
            flags: HAS_SUM,
            zero_count: 1,
            positive: Side { offset: 1, counts: vec![2] },
            ..Exponential::default()
        };
        near(variance_of_exponential(&value), (1.0 + 2.0 * (8f64.sqrt() - 1.0).powi(2)) / 3.0);
        assert_eq!(variance_of_exponential(&Exponential { flags: 0, ..value }), None, "no mean without a sum");
    }
}
