//! Random histograms against a reference that keeps all of them: bounds by bounds, by interval and window, over shards and
//! in any order. Sums are multiples of 2^-10, so all is equal to the bit, but for quantiles of exponential buckets.

use crate::group::{Exponents, Group, Seen, explicit, explicit_left, numbers};
use catchment::fold::Contribution;
use catchment::rules::{InputKind, Output};
use proptest::prelude::*;
use std::collections::BTreeMap;

const BOUNDS: [&[f64]; 2] = [&[1.0, 2.0, 5.0, 10.0], &[-1.0, 3.0]];

/// One that a member gave: which bounds, its buckets, 1024ths of its sum.
type Gave = (usize, [u64; 5], u32);

fn cuts(sets: usize) -> impl Strategy<Value = Vec<Vec<Gave>>> {
    let gave = (0..sets, prop::array::uniform5(0u64..50), any::<u32>());
    prop::collection::vec(prop::collection::vec(gave, 0..6), 1..15)
}

/// Of each cut, how many values members gave, with a minimum, a maximum, both, or neither.
fn extremes() -> impl Strategy<Value = Vec<Vec<(u64, [Option<f64>; 2])>>> {
    let value = || prop_oneof![1 => Just(None), 5 => (-50i32..50).prop_map(|value| Some(f64::from(value)))];
    let gave = (prop_oneof![1 => Just(0u64), 6 => 1u64..9], value(), value());
    let gave = gave.prop_map(|(count, min, max)| (count, [min, max].map(|value| value.filter(|_| count > 0))));
    prop::collection::vec(prop::collection::vec(gave, 0..5), 1..12)
}

fn buckets_of((set, buckets, _): &Gave) -> &[u64] {
    &buckets[..=BOUNDS[*set].len()]
}

fn count_of(gave: &Gave) -> u64 {
    buckets_of(gave).iter().sum()
}

/// PromQL's quantile, from cumulative counts.
fn quantile(quantile: f64, bounds: &[f64], buckets: &[u64]) -> Option<f64> {
    let until = |i: usize| buckets[..=i].iter().sum::<u64>() as f64;
    let rank = quantile * until(bounds.len());
    if until(bounds.len()) == 0.0 {
        return None;
    }
    let Some(i) = (0..bounds.len()).find(|i| until(*i) >= rank) else { return bounds.last().copied() };
    let (lower, below) = if i == 0 { (0.0, 0.0) } else { (bounds[i - 1], until(i - 1)) };
    Some(lower + (bounds[i] - lower) * ((rank - below) / buckets[i] as f64))
}

/// What left of an output; an end mark is nothing.
fn one(seen: &[Seen], output: usize) -> Option<f64> {
    let all = numbers(seen, output);
    assert!(all.len() <= 1);
    all.first().copied().filter(|value| !value.is_nan())
}

proptest! {
    #[test]
    fn explicit_ones_are_what_the_reference_says(
        cuts in cuts(2), shards in 1usize..4, turn in 0usize..5, steps in 1usize..4,
    ) {
        let window = 10 * steps as u64;
        let outputs = [
            (Output::Same, 10), (Output::Count, 10), (Output::Sum, 10), (Output::Avg, window), (Output::Increase, window),
        ];
        let mut group = Group::new(InputKind::Histogram, 10, shards, &outputs);
        let (mut totals, mut all_count, mut all_sum) = ([[0u64; 5]; 2], 0, 0);
        for (i, cut) in cuts.iter().enumerate() {
            let regions: Vec<_> = cut.iter()
                .map(|gave| explicit(BOUNDS[gave.0], buckets_of(gave), f64::from(gave.2) / 1024.0))
                .collect();
            let mut given: Vec<Contribution<'_>> = regions.iter().map(|region| region.given()).collect();
            let turn = turn % given.len().max(1);
            given.rotate_left(turn);
            let seen = group.cut(10 * (i as u64 + 1), &given);
            let mut want: BTreeMap<usize, [u64; 5]> = BTreeMap::new();
            for gave in cut {
                let added = want.entry(gave.0).or_default();
                for (i, count) in buckets_of(gave).iter().enumerate() {
                    added[i] += count;
                    totals[gave.0][i] += count;
                }
            }
            let mut left = explicit_left(&seen, 0);
            left.sort_by_key(|(bounds, ..)| usize::from(bounds.as_slice() != BOUNDS[0]));
            let want: Vec<_> = want.iter().map(|(set, added)| {
                let length = BOUNDS[*set].len();
                (BOUNDS[*set].to_vec(), added[..=length].to_vec(), totals[*set][..=length].to_vec())
            }).collect();
            prop_assert_eq!(left, want);
            let count: u64 = cut.iter().map(count_of).sum();
            // without values a sum is none (M22)
            let sum: u64 = cut.iter().filter(|gave| count_of(gave) > 0).map(|gave| u64::from(gave.2)).sum();
            all_count += count;
            all_sum += sum;
            prop_assert_eq!(one(&seen, 1), (!cut.is_empty()).then_some(all_count as f64));
            prop_assert_eq!(one(&seen, 2), (!cut.is_empty()).then_some(all_sum as f64 / 1024.0));
            let Some(first) = (i + 1).checked_sub(steps) else { continue };
            let in_window = || cuts[first..=i].iter().flatten().filter(|gave| count_of(gave) > 0);
            let count: u64 = in_window().map(count_of).sum();
            let sum: u64 = in_window().map(|gave| u64::from(gave.2)).sum();
            let mean = (count > 0).then_some(sum as f64 / 1024.0 / count as f64);
            prop_assert_eq!(one(&seen, 3), mean);
            let is_touched = cuts[first..=i].iter().any(|cut| !cut.is_empty());
            let was_touched = first > 0 && !cuts[first - 1].is_empty();
            prop_assert_eq!(one(&seen, 4), (is_touched || was_touched).then_some(count as f64));
        }
    }

    /// The smallest of all leaves where each member of the window that has values said its own, whatever they said of the
    /// largest; and the other way round.
    #[test]
    fn the_smallest_and_the_largest_leave_each_by_itself(
        cuts in extremes(), is_exponential in any::<bool>(), shards in 1usize..4, turn in 0usize..5, steps in 1usize..4,
    ) {
        let window = 10 * steps as u64;
        let outputs = [(Output::Min, window), (Output::Max, window)];
        let input = if is_exponential { InputKind::ExponentialHistogram } else { InputKind::Histogram };
        let mut group = Group::new(input, 10, shards, &outputs);
        let mut missing = 0;
        for (i, cut) in cuts.iter().enumerate() {
            let explicits: Vec<_> = cut.iter()
                .map(|(count, ends)| explicit(BOUNDS[0], &[*count, 0, 0, 0, 0], 0.0).within(*ends))
                .collect();
            let exponents: Vec<_> = cut.iter().map(|(count, ends)| Exponents::within((0, 0, &[*count]), *ends)).collect();
            let mut given: Vec<Contribution<'_>> = match is_exponential {
                true => exponents.iter().map(Exponents::given).collect(),
                false => explicits.iter().map(|region| region.given()).collect(),
            };
            let turn = turn % given.len().max(1);
            given.rotate_left(turn);
            let seen = group.cut(10 * (i as u64 + 1), &given);
            let Some(first) = (i + 1).checked_sub(steps) else { continue };
            let in_window: Vec<_> = cuts[first..=i].iter().flatten().filter(|(count, _)| *count > 0).collect();
            let of = |side: usize, best: fn(f64, f64) -> f64| -> Option<f64> {
                let all: Option<Vec<f64>> = in_window.iter().map(|(_, ends)| ends[side]).collect();
                all?.into_iter().reduce(best)
            };
            let want = [of(0, f64::min), of(1, f64::max)];
            prop_assert_eq!([one(&seen, 0), one(&seen, 1)], want, "cut {}", i);
            let is_touched = |cut: &Vec<_>| !cut.is_empty();
            let differs = cuts[first..=i].iter().any(is_touched) || first > 0 && is_touched(&cuts[first - 1]);
            if differs && !in_window.is_empty() {
                missing += want.iter().filter(|value| value.is_none()).count() as u64;
            }
        }
        prop_assert_eq!(group.work.notes.no_extremes, missing);
    }

    #[test]
    fn quantiles_are_of_all_that_the_window_saw(
        cuts in cuts(1), shards in 1usize..4, steps in 1usize..4, wanted in 0.01f64..0.999,
    ) {
        let outputs = [(Output::Quantile(wanted), 10 * steps as u64)];
        let mut group = Group::new(InputKind::Histogram, 10, shards, &outputs);
        for (i, cut) in cuts.iter().enumerate() {
            let regions: Vec<_> = cut.iter().map(|gave| explicit(BOUNDS[0], buckets_of(gave), 0.0)).collect();
            let given: Vec<Contribution<'_>> = regions.iter().map(|region| region.given()).collect();
            let seen = group.cut(10 * (i as u64 + 1), &given);
            let Some(first) = (i + 1).checked_sub(steps) else { continue };
            let mut buckets = [0; 5];
            for gave in cuts[first..=i].iter().flatten() {
                buckets.iter_mut().zip(gave.1).for_each(|(sum, count)| *sum += count);
            }
            prop_assert_eq!(one(&seen, 0), quantile(wanted, BOUNDS[0], &buckets));
        }
    }

    #[test]
    fn exponential_ones_add_at_the_coarsest_scale(
        gave in prop::collection::vec((0i32..4, -8i32..8, prop::collection::vec(1u64..9, 1..12)), 1..12),
        shards in 1usize..4, turn in 0usize..5,
    ) {
        let mut group = Group::new(InputKind::ExponentialHistogram, 10, shards, &[(Output::Same, 10), (Output::Count, 10)]);
        let mut coarsest = i32::MAX;
        for (cut, gave) in gave.chunks(4).enumerate() {
            let regions: Vec<_> = gave.iter().map(|(scale, offset, counts)| Exponents::new(*scale, *offset, counts)).collect();
            let mut given: Vec<Contribution<'_>> = regions.iter().map(|region| region.given()).collect();
            let turn = turn % given.len();
            given.rotate_left(turn);
            let seen = group.cut(10 * (cut as u64 + 1), &given);
            let scale = gave.iter().map(|(scale, ..)| *scale).min().unwrap();
            coarsest = coarsest.min(scale);
            let mut want: BTreeMap<i32, u64> = BTreeMap::new();
            for (finer, offset, counts) in gave {
                for (i, count) in counts.iter().enumerate() {
                    *want.entry((offset + i as i32) >> (finer - scale)).or_default() += count;
                }
            }
            let Some((got_scale, offset, counts)) = Exponents::left(&seen, 0) else { panic!("{seen:?}") };
            let got: BTreeMap<i32, u64> = (offset..).zip(counts).filter(|(_, count)| *count > 0).collect();
            prop_assert_eq!((got_scale, got), (scale, want));
            prop_assert_eq!(Exponents::total_scale(&seen, 0), Some(coarsest));
        }
    }
}
