//! Exponential histograms of values that come one by one.
//!
//! Knows one value and where it belongs; merging is `aggregate`'s. Begins with the finest scale and halves the buckets as
//! the values' spread asks for it, so that any quantile is off by at most a bucket: 2.2 % of itself where the largest is
//! 32 times the smallest, 9.1 % at a million times (UDDSketch's idea: arXiv 2004.08604).

use crate::aggregate::explicit::{HAS_MAX, HAS_MIN, HAS_SUM};
use crate::aggregate::exponential::{Exponential, SCALE_MAX};

/// The bucket of a value above 0. Where its bound is a power of two it is exact; else as exact as logarithms are.
pub(super) fn index_of(value: f64, scale: i32) -> i32 {
    if scale > 0 {
        return (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1;
    }
    let value = if value.is_normal() { value } else { f64::MIN_POSITIVE };
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1_023;
    let is_power = value.to_bits() & ((1 << 52) - 1) == 0;
    (exponent - i32::from(is_power)) >> -scale
}

/// Adds a finite value; `one` is memory for it.
pub(super) fn observe(into: &mut Exponential, value: f64, one: &mut Exponential) {
    one.clear();
    (one.count, one.sum, one.min, one.max) = (1, value, value, value);
    one.flags = HAS_SUM | HAS_MIN | HAS_MAX;
    one.scale = if into.count == 0 { SCALE_MAX } else { into.scale };
    if value == 0.0 {
        one.zero_count = 1;
    } else {
        let side = if value > 0.0 { &mut one.positive } else { &mut one.negative };
        side.offset = index_of(value.abs(), one.scale);
        side.counts.push(1);
    }
    // of 2^64 values a count would overflow
    into.absorb(one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::exponential::{SCALE_MIN, upper_bound};

    #[test]
    fn a_value_lies_in_its_bucket() {
        for scale in SCALE_MIN..=SCALE_MAX {
            for value in [f64::MIN_POSITIVE, 1e-300, 0.3, 1.0, 1.0 + f64::EPSILON, 2.0, 3.0, 1e9, 1e300, f64::MAX] {
                let index = i64::from(index_of(value, scale));
                let (lower, upper) = (upper_bound(index - 1, scale), upper_bound(index, scale));
                let fits = lower * (1.0 - 1e-12) <= value && value <= upper * (1.0 + 1e-12);
                assert!(fits, "{value} at {scale}: {lower} to {upper}");
            }
        }
        assert_eq!([0.5, 1.0, 2.0, 2.5, 4.0].map(|value| index_of(value, 0)), [-2, -1, 0, 1, 1]);
        assert_eq!([1.0, 2.0, 4.0].map(|value| index_of(value, 1)), [-1, 1, 3]);
        assert_eq!(index_of(f64::from_bits(1), 0), -1_023, "the smallest of all lie together");
    }

    #[test]
    fn values_of_both_signs_and_zeros_are_counted() {
        let (mut all, mut one) = (Exponential::default(), Exponential::default());
        for i in -500..=500 {
            observe(&mut all, f64::from(i), &mut one);
        }
        assert_eq!((all.count, all.zero_count, all.sum, all.min, all.max), (1_001, 1, 0.0, -500.0, 500.0));
        assert_eq!((all.positive.total(), all.negative.total()), (500, 500));
        assert!(all.positive.counts.len() <= 160 && all.scale == 4, "{}", all.scale);
    }
}
