//! The worked vectors of the specification (RULES 9), and a few like them.

use crate::group::{Group, Left, S, Seen, added, level, live, numbers, silent};
use catchment::aggregate::number::Value;
use catchment::fold::Contribution;
use catchment::rules::{InputKind, Output};

fn int(value: i64) -> Value {
    Value::Int(value)
}

#[test]
fn vector_1_gauges_of_mixed_periods_count_once_a_base_cut() {
    let outputs = [(Output::Sum, 10), (Output::Avg, 10), (Output::Max, 10), (Output::CountSeries, 10)];
    for shards in 1..4 {
        let mut group = Group::new(InputKind::Gauge, 10, shards, &outputs);
        let mut check = |to, given: &[Contribution<'_>], want: [f64; 4]| {
            let seen = group.cut(to, given);
            let got: Vec<f64> = (0..4).flat_map(|output| numbers(&seen, output)).collect();
            assert_eq!(got, want, "cut {to}");
        };
        check(10, &[level(int(4), 6), level(int(10), 2), level(int(7), 3)], [21.0, 7.0, 10.0, 3.0]);
        check(20, &[level(int(5), 16), level(int(12), 12), silent(int(7), 3)], [24.0, 8.0, 12.0, 3.0]);
        check(30, &[level(int(6), 26), level(int(9), 22), silent(int(7), 3)], [22.0, 22.0 / 3.0, 9.0, 3.0]);
    }
}

#[test]
fn vector_2_a_level_leaves_with_its_member() {
    let mut group = Group::new(InputKind::UpDownCounter, 10, 2, &[(Output::Same, 10)]);
    let mut sums = Vec::new();
    for (cut, a, b) in [
        (10, 5, Some(level(int(7), 2))),
        (20, 5, Some(level(int(7), 12))),
        (30, 6, Some(level(int(7), 22))),
        (40, 6, Some(silent(int(7), 22))),
        (50, 6, Some(silent(int(7), 22))),
        (60, 6, None),
        (70, 6, None),
    ] {
        let given: Vec<Contribution<'_>> = [Some(level(int(a), cut - 9)), b].into_iter().flatten().collect();
        let seen = group.cut(cut, &given);
        assert_eq!(seen[0].start_s, 0, "cumulative for everybody");
        sums.extend(numbers(&seen, 0));
    }
    assert_eq!(sums, [12.0, 12.0, 13.0, 13.0, 13.0, 6.0, 6.0]);
}

#[test]
fn vector_3_a_counter_keeps_what_its_members_gave() {
    let mut group = Group::new(InputKind::Counter, 10, 2, &[(Output::Same, 10)]);
    let seen: Vec<Seen> = [(10, vec![30, 5]), (20, vec![13, 4]), (30, vec![5]), (40, vec![0])]
        .into_iter()
        .flat_map(|(cut, given)| {
            let given: Vec<Contribution<'_>> = given.into_iter().map(|delta| added(int(delta))).collect();
            group.cut(cut, &given)
        })
        .collect();
    let want = |delta, value| Seen {
        output: 0,
        start_s: 0,
        left: Left::Number { delta: Some(int(delta)), value: int(value) },
        group: None,
    };
    assert_eq!(seen, [want(35, 35), want(17, 52), want(5, 57), want(0, 57)]);
    assert!(group.cut(50, &[]).is_empty(), "a counter just idles");
    assert_eq!(group.cut(60, &[added(int(1))]), [want(1, 58)], "its start does not move");
}

#[test]
fn vector_7_a_rate_slides_over_a_minute() {
    let mut group = Group::new(InputKind::Counter, 10, 2, &[(Output::Rate, 60), (Output::Increase, 60)]);
    let mut rates = Vec::new();
    for cut in (10..=170).step_by(10) {
        let gave = [(5, 600), (65, 660), (29, 120), (89, 120)]
            .into_iter()
            .filter(|(at, _)| (cut - 10..cut).contains(at))
            .map(|(_, delta)| added(int(delta)));
        let given: Vec<Contribution<'_>> = gave.chain([live()]).collect();
        let seen = group.cut(cut, &given);
        for seen in &seen {
            assert_eq!(seen.start_s, cut - 60);
        }
        rates.extend(numbers(&seen, 0).iter().map(|rate| (cut, *rate)));
        assert_eq!(numbers(&seen, 1), numbers(&seen, 0).iter().map(|rate| rate * 60.0).collect::<Vec<_>>());
    }
    let want = [(60, 12.0), (70, 13.0), (80, 13.0), (90, 13.0), (100, 13.0), (110, 13.0), (120, 13.0)];
    let after = [(130, 2.0), (140, 2.0), (150, 0.0)];
    assert_eq!(rates, [want.as_slice(), &after].concat(), "0 once, then silence");
    let ends = group.cut(180, &[]);
    assert_eq!(ends.iter().map(|seen| &seen.left).collect::<Vec<_>>(), [&Left::End, &Left::End]);
    assert!(group.cut(190, &[]).is_empty(), "one end mark");
}

#[test]
fn vector_8_ints_are_exact_and_nan_is_left_out() {
    let outputs = [(Output::Sum, 10), (Output::CountSeries, 10)];
    let mut group = Group::new(InputKind::Gauge, 10, 2, &outputs);
    let (a, b, c) = (level(int(i64::MAX), 1), level(int(10), 1), level(int(-20), 1));
    let value = |seen: &[Seen]| match seen[0].left {
        Left::Number { value, .. } => value,
        _ => panic!("{seen:?}"),
    };
    for (i, order) in [[a, b, c], [c, a, b], [b, c, a]].into_iter().enumerate() {
        assert_eq!(value(&group.cut(10 * (i as u64 + 1), &order)), int(9_223_372_036_854_775_797));
    }
    let c = level(int(0), 31);
    assert_eq!(value(&group.cut(40, &[a, b, c])), Value::Double(9.223_372_036_854_776e18));
    assert_eq!(group.work.notes.int_overflows, 1);
    let seen = group.cut(50, &[level(int(1), 41), level(int(2), 41), c, level(Value::Double(f64::NAN), 41)]);
    assert_eq!((value(&seen), numbers(&seen, 1), group.work.notes.not_finite), (int(3), vec![4.0], 1));
}

#[test]
fn s5_deltas_of_a_level_add_for_ever_beside_the_levels_of_others() {
    let mut group = Group::new(InputKind::UpDownCounter, 10, 1, &[(Output::Same, 10)]);
    let event = |delta| Contribution { is_delta: true, level: Some(int(99)), ..added(int(delta)) };
    assert_eq!(numbers(&group.cut(10, &[event(3), level(int(5), 1)]), 0), [8.0]);
    assert_eq!(numbers(&group.cut(20, &[event(-1), level(int(5), 11)]), 0), [7.0]);
    assert_eq!(numbers(&group.cut(30, &[level(int(5), 21)]), 0), [7.0], "its member is gone");
    assert_eq!(numbers(&group.cut(40, &[]), 0), [2.0], "no end: this stays");
    assert!(group.cut(50, &[]).is_empty());
}

#[test]
fn s11_one_end_mark_when_the_last_live_member_goes() {
    let outputs = [(Output::Sum, 10), (Output::Avg, 30), (Output::CountSeries, 10), (Output::Count, 10)];
    let mut group = Group::new(InputKind::Gauge, 10, 1, &outputs);
    for cut in [10, 20, 30] {
        group.cut(cut, &[level(int(4), cut - 1), level(int(6), cut - 1)]);
    }
    assert!(group.cut(40, &[silent(int(4), 29), silent(int(6), 29)]).iter().all(|seen| seen.output == 1));
    let fewer = group.cut(50, &[silent(int(6), 29)]);
    assert_eq!((numbers(&fewer, 0), numbers(&fewer, 2)), (vec![6.0], vec![1.0]), "the live set changed");
    let ends = group.cut(60, &[]);
    assert_eq!(ends.iter().map(|seen| seen.output).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(ends.iter().all(|seen| seen.left == Left::End));
    assert!(group.cut(70, &[]).is_empty());
    let back = group.cut(80, &[level(int(1), 71)]);
    assert_eq!((numbers(&back, 0), numbers(&back, 2), numbers(&back, 3)), (vec![1.0], vec![1.0], vec![7.0]));
}

#[test]
fn s10_merges_leave_from_the_first_interval_evaluations_once_their_window_is_whole() {
    let outputs = [(Output::Same, 30), (Output::Increase, 60)];
    let mut group = Group::new(InputKind::Counter, 30, 1, &outputs);
    let give = |group: &mut Group, from, to, is_last| group.cut_as((from * S, to * S), is_last, &[added(int(1))]);
    let of = |seen: &[Seen]| seen.iter().map(|seen| (seen.output, seen.start_s)).collect::<Vec<_>>();
    assert_eq!(of(&give(&mut group, 7, 20, false)), []);
    assert_eq!(of(&give(&mut group, 20, 30, false)), [(0, 7)]);
    assert_eq!(of(&give(&mut group, 30, 63, false)), [(0, 7)], "postponed; a minute is not whole behind 7");
    assert_eq!(of(&give(&mut group, 63, 89, false)), []);
    let early = give(&mut group, 89, 90, false);
    assert_eq!((of(&early), numbers(&early, 1)), (vec![(0, 7), (1, 30)], vec![3.0]), "from 30 on it is");
    assert_eq!(of(&give(&mut group, 3_590, 3_600, false)), [(0, 7), (1, 3_563)], "the clock stepped: what is covered");
    let last = give(&mut group, 3_600, 3_604, true);
    assert_eq!((of(&last), numbers(&last, 0)), (vec![(0, 7)], vec![7.0]), "merges leave at the last cut");
}

#[test]
fn r5_samples_are_weighed_by_the_length_of_their_base_window() {
    let outputs = [(Output::Avg, 30), (Output::Stdvar, 30), (Output::First, 30), (Output::Last, 30)];
    let mut group = Group::new(InputKind::Gauge, 30, 1, &outputs);
    group.cut(5, &[level(int(100), 4)]);
    group.cut(20, &[level(int(10), 19)]);
    let seen = group.cut(30, &[level(int(10), 29)]);
    let got: Vec<f64> = (0..4).flat_map(|output| numbers(&seen, output)).collect();
    // 100 for 5 s, 10 for 25 s
    let variance = (75.0f64.powi(2) * 5.0 + 15.0f64.powi(2) * 25.0) / 30.0;
    assert_eq!(got, [25.0, variance, 100.0, 10.0]);
}

mod histograms {
    use super::*;
    use crate::group::{Exponents, explicit, explicit_left};
    use catchment::rules::Bucketing;

    fn near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len(), "{got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= want.abs() * 1e-7, "{got} is not {want}");
        }
    }

    #[test]
    fn vector_6_histograms_of_one_set_of_bounds_add_bucket_by_bucket() {
        let quantiles = [0.5, 0.9, 0.99].map(|quantile| (Output::Quantile(quantile), 10));
        let others = [Output::Avg, Output::Count, Output::Sum, Output::Max].map(|output| (output, 10));
        let outputs: Vec<(Output, u64)> = [(Output::Same, 10)].into_iter().chain(others).chain(quantiles).collect();
        for shards in 1..4 {
            let mut group = Group::new(InputKind::Histogram, 10, shards, &outputs);
            let a = explicit(&[1.0, 2.0, 5.0], &[4, 3, 2, 1], 18.0);
            let b = explicit(&[1.0, 2.0, 5.0], &[0, 5, 5, 0], 22.0);
            let seen = group.cut(10, &[a.given(), b.given()]);
            let same = (vec![1.0, 2.0, 5.0], vec![4, 8, 7, 1], vec![4, 8, 7, 1]);
            assert_eq!(explicit_left(&seen, 0), [same]);
            let of: Vec<Vec<f64>> = (1..8).map(|output| numbers(&seen, output)).collect();
            assert_eq!(of[..4], [vec![2.0], vec![20.0], vec![40.0], vec![]]);
            assert_eq!(group.work.notes.no_extremes, 1);
            near(&of[4..].concat(), &[1.75, 4.571_428_6, 5.0]);
            // bounds that differ: two outputs, and what joins them is computed on the union
            let c = explicit(&[1.0, 3.0], &[1, 1, 0], 2.0);
            let seen = group.cut(20, &[a.given(), c.given()]);
            let first = (vec![1.0, 2.0, 5.0], vec![4, 3, 2, 1], vec![8, 11, 9, 2]);
            assert_eq!(explicit_left(&seen, 0), [first, (vec![1.0, 3.0], vec![1, 1, 0], vec![1, 1, 0])]);
            assert_eq!((numbers(&seen, 2), numbers(&seen, 3)), (vec![32.0], vec![60.0]));
            // [5, 4, 1, 1, 1] on [1, 2, 3, 5]: of c's middle bucket half is a whole value for the lower one
            near(&numbers(&seen, 5), &[1.25]);
            assert_eq!(group.work.notes.mixed_bounds, 3);
        }
    }

    #[test]
    fn vector_6_with_other_bounds_all_are_one() {
        for shards in 1..4 {
            let to = Output::Histogram(Bucketing::Explicit([1.0, 5.0].into()));
            let mut group = Group::new(InputKind::Histogram, 10, shards, &[(to, 10)]);
            let a = explicit(&[1.0, 2.0, 5.0], &[4, 3, 2, 1], 18.0);
            let b = explicit(&[1.0, 2.0, 5.0], &[0, 5, 5, 0], 22.0);
            let c = explicit(&[1.0, 3.0], &[1, 1, 0], 2.0);
            let seen = group.cut(10, &[a.given(), b.given(), c.given()]);
            assert_eq!(explicit_left(&seen, 0), [(vec![1.0, 5.0], vec![5, 16, 1], vec![5, 16, 1])]);
            assert_eq!(group.work.notes.unbounded_rebucketed, 0, "exact");
            let seen = group.cut(20, &[b.given()]);
            assert_eq!(explicit_left(&seen, 0), [(vec![1.0, 5.0], vec![0, 10, 0], vec![5, 26, 1])]);
        }
    }

    #[test]
    fn vector_6_exponential_histograms_come_to_the_coarser_scale() {
        let outputs = [(Output::Same, 10), (Output::Quantile(0.5), 10), (Output::Quantile(0.99), 30)];
        for shards in 1..3 {
            let mut group = Group::new(InputKind::ExponentialHistogram, 10, shards, &outputs);
            let (a, b) = (Exponents::new(1, 0, &[1, 2]), Exponents::new(0, 0, &[4, 1]));
            let seen = group.cut(10, &[a.given(), b.given()]);
            let Left::Exponential { delta, .. } = &seen[1].left else { panic!("{seen:?}") };
            assert_eq!(Exponents::read(delta), (0, 0, vec![7, 1]));
            near(&numbers(&seen, 1), &[1.485_994_3]);
            group.cut(20, &[]);
            let seen = group.cut(30, &[]);
            near(&numbers(&seen, 2), &[3.784_230_6]);
        }
    }

    #[test]
    fn samples_of_gauges_become_histograms_each_once_a_base_cut() {
        let bounds = Output::Histogram(Bucketing::Explicit([1.0, 5.0].into()));
        let outputs = [(bounds, 20), (Output::Histogram(Bucketing::Exponential(4)), 20), (Output::Quantile(0.5), 20)];
        for shards in 1..4 {
            let mut group = Group::new(InputKind::Gauge, 20, shards, &outputs);
            group.cut(10, &[level(int(1), 1), level(int(3), 1), level(Value::Double(f64::NAN), 1)]);
            let seen = group.cut(20, &[silent(int(1), 1), level(int(9), 11)]);
            assert_eq!(explicit_left(&seen, 0), [(vec![1.0, 5.0], vec![2, 1, 1], vec![2, 1, 1])]);
            let Some(Left::Exponential { delta, total }) =
                seen.iter().find(|seen| seen.output == 1).map(|seen| &seen.left)
            else {
                panic!("{seen:?}")
            };
            assert_eq!((Exponents::read(delta), delta), ((-1, -1, vec![2, 1, 1]), total), "{shards}");
            assert_eq!((numbers(&seen, 2), group.work.notes.not_finite), (vec![2.0], 1));
            group.cut(30, &[silent(int(1), 1)]);
            let seen = group.cut(40, &[silent(int(1), 1)]);
            assert_eq!(explicit_left(&seen, 0), [(vec![1.0, 5.0], vec![2, 0, 0], vec![4, 1, 1])], "live, not touched");
            assert!(group.cut(50, &[]).is_empty() && explicit_left(&group.cut(60, &[]), 0).is_empty());
        }
    }

    #[test]
    fn a_histogram_without_a_sum_leaves_none_and_says_so() {
        let outputs = [(Output::Sum, 10), (Output::Avg, 10), (Output::Rate, 20)];
        let mut group = Group::new(InputKind::Histogram, 10, 1, &outputs);
        let (with, mut without) = (explicit(&[1.0], &[2, 2], 6.0), explicit(&[1.0], &[1, 0], 0.0));
        without.forget_sum();
        assert!(group.cut(10, &[with.given(), without.given()]).is_empty());
        assert_eq!(group.work.notes.no_sum, 2);
        let seen = group.cut(20, &[with.given()]);
        assert_eq!((numbers(&seen, 0), numbers(&seen, 1), numbers(&seen, 2)), (vec![6.0], vec![1.5], vec![9.0 / 20.0]));
    }
}

mod keys {
    use super::*;
    use std::sync::Arc;

    fn top(k: u32) -> Output {
        Output::TopK { k, keys: vec!["path".into()] }
    }

    fn records(keys: &[&str]) -> Vec<[Arc<[u8]>; 1]> {
        keys.iter().map(|key| [Arc::from(key.as_bytes())]).collect()
    }

    /// What left, with its group; `other` has none, ends are NaN.
    fn groups(seen: &[Seen]) -> Vec<(String, f64)> {
        let of = |seen: &Seen| {
            let group = String::from_utf8(seen.group.clone().unwrap_or_default()).unwrap();
            (group, numbers(std::slice::from_ref(seen), seen.output)[0])
        };
        seen.iter().map(of).collect()
    }

    fn want(groups: &[(&str, f64)]) -> Vec<(String, f64)> {
        groups.iter().map(|(group, value)| ((*group).to_owned(), *value)).collect()
    }

    #[test]
    fn vector_9_the_largest_leave_and_all_others_as_one() {
        let keys = records(&["/a", "/b", "/c", "/d"]);
        for shards in 1..4 {
            let mut group = Group::new(InputKind::Counter, 10, shards, &[(top(2), 10)]);
            let mut cut = |to, gave: &[(usize, i64)]| {
                let given: Vec<Contribution<'_>> =
                    gave.iter().map(|(key, delta)| Contribution { top: &keys[*key], ..added(int(*delta)) }).collect();
                groups(&group.cut(to, &given))
            };
            // /a has two members
            let seen = cut(10, &[(0, 20), (1, 30), (2, 15), (3, 5), (0, 30)]);
            assert_eq!(seen, want(&[("/a", 50.0), ("/b", 30.0), ("", 20.0)]));
            let seen = cut(20, &[(2, 40), (0, 10), (3, 10)]);
            assert_eq!(seen[1..], want(&[("/c", 40.0), ("/a", 10.0), ("", 10.0)]), "of a tie the smaller bytes");
            assert!(seen[0].0 == "/b" && seen[0].1.is_nan(), "it left the top: {seen:?}");
            let seen = cut(30, &[(2, 1)]);
            assert_eq!((seen.len(), &seen[1]), (3, &want(&[("/c", 1.0)])[0]), "one, and two ends: {seen:?}");
        }
    }

    /// However long the window and however many the outputs: what is done in one go is bounded, and the same leaves.
    #[test]
    fn many_groups_and_outputs_leave_in_slices() {
        let names: Vec<String> = (0..3_000).map(|n| format!("/{n:04}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let keys: Vec<[Arc<[u8]>; 3]> =
            records(&names).into_iter().map(|[key]| [key.clone(), key.clone(), key]).collect();
        let mut group = Group::new(InputKind::Counter, 10, 2, &[(top(2), 50), (top(1), 10), (top(1), 20)]);
        for cut in 1..=6 {
            let gave = |key: usize| Contribution { top: &keys[key], ..added(int(key as i64)) };
            let seen = groups(&group.cut(10 * cut, &(0..names.len()).map(gave).collect::<Vec<_>>()));
            assert!(group.slices >= 3, "{cut}: {} slices", group.slices);
            if cut < 5 {
                continue;
            }
            assert!(group.slices >= 10, "{cut}: 15,000 groups of intervals in {} slices", group.slices);
            let all = (names.len() * (names.len() - 1) / 2) as f64;
            let largest = [("/2999", 5.0 * 2_999.0), ("/2998", 5.0 * 2_998.0), ("", 5.0 * (all - 5_997.0))];
            assert_eq!(seen[..3], want(&largest));
            assert_eq!(
                seen[3..],
                want(&[("/2999", 2_999.0), ("", all - 2_999.0), ("/2999", 5_998.0), ("", 2.0 * all - 5_998.0)])
            );
        }
    }

    #[test]
    fn the_largest_over_a_window_and_of_levels() {
        let keys = records(&["x", "y", "z"]);
        let mut group = Group::new(InputKind::Counter, 10, 2, &[(top(1), 20)]);
        let gave = |key: usize, delta| Contribution { top: &keys[key], ..added(int(delta)) };
        assert!(group.cut(10, &[gave(0, 5), gave(1, 3)]).is_empty(), "the window is not whole");
        let seen = groups(&group.cut(20, &[gave(1, 4)]));
        assert_eq!(seen, want(&[("y", 7.0), ("", 5.0)]));
        let seen = groups(&group.cut(30, &[live()]));
        assert_eq!(seen[0], want(&[("y", 4.0)])[0]);
        let stands = |key: usize, value| Contribution { top: &keys[key], ..level(int(value), 1) };
        let mut group = Group::new(InputKind::Gauge, 10, 2, &[(top(1), 10)]);
        let seen = groups(&group.cut(10, &[stands(0, 3), stands(1, 4), stands(2, -1), stands(0, 3)]));
        assert_eq!(seen, want(&[("x", 6.0), ("", 3.0)]));
        let seen = groups(&group.cut(20, &[stands(1, 4)]));
        assert_eq!((seen.len(), &seen[1]), (3, &want(&[("y", 4.0)])[0]), "levels do not add over time: {seen:?}");
        let seen = groups(&group.cut(30, &[]));
        assert!(seen.len() == 1 && seen[0].1.is_nan(), "{seen:?}");
        assert!(group.cut(40, &[]).is_empty());
    }

    #[test]
    fn different_values_of_members_that_lived_in_the_window() {
        let unique = || Output::Unique(vec!["user".into()]);
        for (input, shards) in [(InputKind::Counter, 1), (InputKind::Counter, 3), (InputKind::Gauge, 2)] {
            let mut group = Group::new(input, 10, shards, &[(unique(), 20), (unique(), 10)]);
            let hashes: Vec<[u64; 2]> = (0..500).map(|i: u64| [(i % 100) << 40, 7]).collect();
            let member = |i: usize| Contribution { distinct: &hashes[i], ..level(int(1), 1) };
            let idle = |i: usize| Contribution { is_touched: false, ..member(i) };
            let gone = |i: usize| Contribution { is_live: false, ..member(i) };
            let all: Vec<Contribution<'_>> = (0..500).map(member).collect();
            let of = |seen: Vec<Seen>| (numbers(&seen, 0), numbers(&seen, 1));
            assert_eq!(of(group.cut(10, &all)), (vec![], vec![1.0]));
            assert_eq!(of(group.cut(20, &[member(1), idle(2), idle(102), gone(3)])), (vec![100.0], vec![1.0]));
            assert_eq!(of(group.cut(30, &[idle(2)])), (vec![2.0], vec![1.0]), "the live set changed");
            let (window, interval) = of(group.cut(40, &[]));
            assert!(window[0].is_nan() && interval[0].is_nan());
            assert!(group.cut(50, &[]).is_empty());
        }
    }
}

/// Issue 13: 30 intervals of a counter in at most 1.0 KiB, with mean, extremes and deviation of a gauge in at most 1.9 KiB.
#[test]
fn an_output_takes_as_little_memory_as_was_said() {
    let bytes = |input, window_s, outputs: &[Output], given: &Contribution<'_>| {
        let outputs: Vec<(Output, u64)> = outputs.iter().map(|output| (output.clone(), window_s)).collect();
        let mut group = Group::new(input, 10, 1, &outputs);
        for cut in (10..=400).step_by(10) {
            group.cut(cut, &[*given]);
        }
        (group.parts[0].bytes(), group.state.bytes())
    };
    let gave = added(int(1));
    let (part, plain) = bytes(InputKind::Counter, 10, &[Output::Same], &gave);
    assert!(part <= 80 && plain <= 192, "{part} {plain}");
    let (_, window) = bytes(InputKind::Counter, 300, &[Output::Rate, Output::Increase], &gave);
    assert!(window <= 1_024, "{window}");
    let all = [Output::Avg, Output::Min, Output::Max, Output::Stddev];
    let (part, window) = bytes(InputKind::Gauge, 300, &all, &level(int(1), 1));
    assert!(part <= 320 && window <= 1_945, "{part} {window}");
}
