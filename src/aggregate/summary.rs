//! Summaries, as words: passed through whole, never merged (M28).
//!
//! A *region* is a slice of words: start, count, sum, number of quantiles, then a quantile and its value for each, and
//! room up to `limits::SUMMARY_QUANTILES_MAX`. The room is always the same: the number of quantiles is no part of a
//! series' identity, so a source may change them as it likes and the newest point still wins, and cells of one shape
//! suffice. It is what a bank of an exponential histogram takes, divided by five. Knows no attributes, no time.
//!
//! Source: OTLP 1.x, metrics.proto, `SummaryDataPoint`.

use super::explicit::RegionWords;
use crate::limits::SUMMARY_QUANTILES_MAX;

/// Word of `start_time_unix_nano`.
pub const START: usize = 0;
/// Word of `count`.
pub const COUNT: usize = 1;
/// Word of `sum`, bits of a double.
pub const SUM: usize = 2;
/// Word of the number of quantiles.
pub const QUANTILES: usize = 3;
/// Words before the quantiles.
pub const HEAD: usize = 4;
/// Words of a region.
pub const REGION: usize = HEAD + 2 * SUMMARY_QUANTILES_MAX;

/// Writes a point; of more quantiles than there is room for the first ones (they have been checked).
pub fn put(into: &mut impl RegionWords, start: u64, count: u64, sum: f64, quantiles: &[(f64, f64)]) {
    into.set(START, start);
    into.set(COUNT, count);
    into.set(SUM, sum.to_bits());
    let fit = quantiles.len().min(SUMMARY_QUANTILES_MAX);
    into.set(QUANTILES, fit as u64);
    for (i, (quantile, value)) in quantiles[..fit].iter().enumerate() {
        into.set(HEAD + 2 * i, quantile.to_bits());
        into.set(HEAD + 2 * i + 1, value.to_bits());
    }
}

/// Words that say something.
pub fn used(region: &impl RegionWords) -> usize {
    HEAD + 2 * (region.get(QUANTILES) as usize).min(SUMMARY_QUANTILES_MAX)
}

/// Copies what `from` says.
pub fn copy(into: &mut impl RegionWords, from: &impl RegionWords) {
    for i in 0..used(from) {
        into.set(i, from.get(i));
    }
}

/// Which of two points of one time wins: the one with the larger words, the first that differ deciding.
pub fn larger(a: &impl RegionWords, b: &impl RegionWords) -> bool {
    // the numbers of quantiles stand before what they number
    (0..used(a)).map(|i| (a.get(i), b.get(i))).find(|(a, b)| a != b).is_some_and(|(a, b)| a > b)
}

/// The quantiles alone, each with a value of 0: what a point without a recorded value shows (M7).
pub fn forget_values(region: &mut impl RegionWords) {
    region.set(COUNT, 0);
    region.set(SUM, 0);
    for i in (HEAD..used(region)).skip(1).step_by(2) {
        region.set(i, 0);
    }
}

/// A region that is only read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SummaryRegion<'a>(&'a [u64]);

impl<'a> SummaryRegion<'a> {
    /// Of these `REGION` words.
    #[inline]
    pub const fn new(words: &'a [u64]) -> SummaryRegion<'a> {
        SummaryRegion(words)
    }

    /// Number of values.
    #[inline]
    pub const fn count(self) -> u64 {
        self.0[COUNT]
    }

    /// Their sum.
    #[inline]
    pub const fn sum(self) -> f64 {
        f64::from_bits(self.0[SUM])
    }

    /// Each quantile and its value.
    #[inline]
    pub fn quantiles(self) -> impl Iterator<Item = (f64, f64)> + 'a {
        let pairs = self.0[HEAD..used(&self.0)].chunks_exact(2);
        pairs.map(|pair| (f64::from_bits(pair[0]), f64::from_bits(pair[1])))
    }
}

/// Quantile and value at place `i`.
pub fn quantile(region: &impl RegionWords, i: usize) -> (f64, f64) {
    (f64::from_bits(region.get(HEAD + 2 * i)), f64::from_bits(region.get(HEAD + 2 * i + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, count: u64, sum: f64, quantiles: &[(f64, f64)]) -> [u64; REGION] {
        let mut words = [u64::MAX; REGION];
        put(&mut words.as_mut_slice(), start, count, sum, quantiles);
        words
    }

    #[test]
    fn m28_of_two_points_the_larger_is_the_same_whichever_comes_first() {
        let all = [
            region(0, 1, 2.0, &[]),
            region(0, 1, 2.0, &[(0.5, 1.0)]),
            region(0, 1, 2.0, &[(0.5, 1.0), (0.9, 2.0)]),
            region(0, 1, 2.0, &[(0.5, 1.5)]),
            region(0, 1, f64::NAN, &[]),
            region(0, 2, 0.0, &[(0.0, f64::NAN)]),
            region(7, 0, 0.0, &[]),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                let (more, less) = (larger(&a.as_slice(), &b.as_slice()), larger(&b.as_slice(), &a.as_slice()));
                assert_eq!((more && less, more || less), (false, i != j), "{i} against {j}");
            }
        }
    }

    #[test]
    fn a_region_holds_as_many_quantiles_as_the_limit_says_and_a_copy_is_the_same() {
        let quantiles: Vec<(f64, f64)> = (0..SUMMARY_QUANTILES_MAX).map(|i| (i as f64 / 64.0, i as f64)).collect();
        let from = region(3, 4, 5.0, &quantiles);
        let mut into = [0; REGION];
        copy(&mut into.as_mut_slice(), &from.as_slice());
        assert_eq!((used(&into.as_slice()), into), (REGION, from));
        assert_eq!(quantile(&into.as_slice(), 31), quantiles[31]);
        forget_values(&mut into.as_mut_slice());
        assert_eq!((into[START], into[COUNT], into[SUM]), (3, 0, 0));
        assert_eq!(quantile(&into.as_slice(), 31), (31.0 / 64.0, 0.0));
    }
}
