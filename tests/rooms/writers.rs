//! Several writers of one cumulative series (conformance M14), on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::{Effect, Note};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

#[test]
fn m14_two_writers_of_one_cumulative_series_are_reported_and_not_counted_twice() {
    let mut rig = Rig::new(2);
    let point = |start, time, v| request(vec![sum("m", CUMULATIVE, true, vec![number(&[], start, time, int(v))])]);
    rig.send(0, &point(START + 5, T, 100));
    rig.send(1, &point(START + 2, T + 1, 500));
    let out = rig.cut(T + 10);
    assert_eq!(values(&out.cumulative), [500.0], "the newest whole point wins");
    assert_eq!(values(&out.delta), [100.0], "the second writer's history is not added");
    assert_eq!(rig.tally.settled(Effect::Overlapping), 1);
}

/// A delta that is sent again is not told from that of another writer with the same window: many writers are normal (M13).
#[test]
fn m13_deltas_of_equal_times_count_each_on_one_core_and_on_two_and_cumulatives_once() {
    for cores in [[0, 0], [0, 1]] {
        for (temporality, step) in [(DELTA, 20.0), (CUMULATIVE, 10.0)] {
            let mut rig = Rig::new(2);
            let again = request(vec![sum("m", temporality, true, vec![number(&[], T, T + 10, int(10))])]);
            cores.into_iter().for_each(|core| _ = rig.send(core, &again));
            assert_eq!(values(&rig.cut(T + 100).delta), [step], "temporality {temporality}, cores {cores:?}");
            assert_eq!(rig.tally.settled(Effect::Superseded), u64::from(temporality == CUMULATIVE));
        }
    }
}

/// Cumulative kinds, each with its points in the same words: (start, time, how much it has counted).
const CUMULATIVES: [fn(u64, u64, u64) -> opentelemetry_proto::tonic::metrics::v1::Metric; 3] = [
    |start, time, n| sum("m", CUMULATIVE, true, vec![number(&[], start, time, int(n as i64))]),
    |start, time, n| {
        let mut point = histogram_point(&[], time, &[n, 0], &[1.0], n as f64);
        point.start_time_unix_nano = start;
        histogram("m", CUMULATIVE, vec![point])
    },
    |start, time, n| exponential("m", CUMULATIVE, vec![exponential_point(&[], start, time, 0, 0, &[n])]),
];

/// (start, time, value or count) of all points.
fn counted(
    requests: &[opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest],
) -> Vec<(u64, u64, u64)> {
    let all = requests.iter().flat_map(each_point).map(|(_, _, point)| match point {
        Any::Number(p) => (p.start_time_unix_nano, p.time_unix_nano, values(requests)[0] as u64),
        Any::Histogram(p) => (p.start_time_unix_nano, p.time_unix_nano, p.count),
        // one value more lies in the zero bucket
        Any::Exponential(p) => (p.start_time_unix_nano, p.time_unix_nano, p.count - p.zero_count),
        Any::Summary(_) => unreachable!("none leaves"),
    });
    all.collect()
}

#[test]
fn m14_two_writers_by_turns_are_not_resets() {
    for (kind, point) in CUMULATIVES.into_iter().enumerate() {
        for (core_a, core_b) in [(0, 0), (0, 1)] {
            let mut rig = Rig::new(2);
            let (mut delta, mut now, mut a, mut b) = (0, T, 100, 5000);
            for interval in 0..10 {
                // every third interval one of them is silent, and who comes first changes
                for turn in 0..4 {
                    now += SECOND;
                    let is_a = (turn + interval) % 2 == 0;
                    if interval % 3 == 1 && is_a != (interval % 2 == 0) {
                        continue;
                    }
                    if is_a {
                        a += 7;
                        rig.send(core_a, &request(vec![point(START + 10, now, a)]));
                    } else {
                        b += 11;
                        rig.send(core_b, &request(vec![point(START + 5, now, b)]));
                    }
                }
                now += SECOND;
                let out = rig.cut(now);
                delta += counted(&out.delta)[0].2;
                let (start, time, shown) = counted(&out.cumulative)[0];
                let newest_is_b = shown > 4000;
                assert_eq!(start, START + if newest_is_b { 5 } else { 10 });
                assert_eq!(shown, if newest_is_b { b } else { a }, "whole, whoever it is from");
                // a core shows of two writers of a histogram the one with the newer start (cells::shape)
                assert!(time == now - SECOND || kind > 0 && core_a == core_b || interval % 3 == 1);
            }
            assert_eq!(delta, a, "kind {kind}, cores {core_a} and {core_b}: A's increments and nothing else");
            assert_eq!(rig.tally.noted(Note::Reset), 0);
            assert!(rig.tally.settled(Effect::Overlapping) > 0);
        }
    }
}

#[test]
fn m14_a_writer_silent_for_expire_gives_way_to_one_with_an_older_start() {
    for point in CUMULATIVES {
        let mut rig = Rig::with(1, 1_000_000, 60 * SECOND);
        let mut deltas = Vec::new();
        for i in 0..10u64 {
            // the process is started again, and its clock was set back meanwhile
            let (start, n) = if i == 0 { (START + 10, 100) } else { (START + 5, 10 * i) };
            rig.send(0, &request(vec![point(start, T + i * 10 * SECOND, n)]));
            deltas.push(counted(&rig.cut(T + (i * 10 + 1) * SECOND).delta)[0].2);
        }
        assert_eq!(deltas, [100, 0, 0, 0, 0, 0, 0, 10, 10, 10], "a second writer, a baseline, the only writer");
        assert_eq!(rig.tally.settled(Effect::Baseline), 1);
    }
}

#[test]
fn m14_one_writer_on_two_connections_counts_once() {
    // (core, time, value)
    let check = |points: &[(usize, u64, u64)], want: u64, overlapping: u64| {
        for (kind, point) in CUMULATIVES.into_iter().enumerate() {
            let mut rig = Rig::new(2);
            for (core, time, n) in points {
                rig.send(*core, &request(vec![point(START + 10, T + time, *n)]));
            }
            let out = rig.cut(T + 100);
            assert_eq!(counted(&out.delta)[0].2, want, "kind {kind}: {points:?}");
            let newest = points.iter().max_by_key(|(_, time, _)| *time).map(|(_, time, n)| (START + 10, T + time, *n));
            assert_eq!(counted(&out.cumulative).first().copied(), newest, "the newest whole point");
            assert_eq!(rig.tally.settled(Effect::Overlapping), overlapping, "kind {kind}: {points:?}");
            // whatever it was, what comes behind is counted
            rig.send(0, &request(vec![point(START + 10, T + 200, 1000)]));
            assert_eq!(counted(&rig.cut(T + 300).delta)[0].2, 1000 - want);
        }
    };
    // an export is sent again on another connection, which the writer keeps
    check(&[(0, 1, 5), (1, 1, 5), (1, 2, 8), (1, 3, 12)], 12, 0);
    check(&[(1, 1, 5), (0, 1, 5), (0, 2, 8), (0, 3, 12)], 12, 0);
    // by turns
    check(&[(0, 1, 5), (1, 2, 8), (0, 3, 12), (1, 4, 20)], 20, 0);
    check(&[(0, 1, 5), (1, 2, 8), (1, 3, 12), (0, 4, 20)], 20, 0);
    // values between which the chain's cannot lie: another writer
    check(&[(0, 1, 5), (0, 3, 12), (1, 2, 30), (1, 4, 40)], 12, 2);
}

#[test]
fn m14_a_reset_between_is_another_writer_and_a_sum_that_may_fall_is_told_by_its_first_point() {
    let point = |monotonic, time, v| {
        request(vec![sum("m", CUMULATIVE, monotonic, vec![number(&[], START + 10, T + time, int(v))])])
    };
    let check = |monotonic, points: &[(usize, u64, i64)], want: f64, overlapping: u64| {
        let mut rig = Rig::new(2);
        // deltas join it, so that increments show in a sum that may fall, too
        rig.send(0, &request(vec![sum("m", DELTA, monotonic, vec![number(&[], T, T, int(0))])]));
        for (core, time, v) in points {
            rig.send(*core, &point(monotonic, *time, *v));
        }
        assert_eq!(values(&rig.cut(T + 100).cumulative), [want], "{points:?}");
        assert_eq!(rig.tally.settled(Effect::Overlapping), overlapping, "{points:?}");
    };
    check(true, &[(0, 1, 5), (0, 3, 12), (1, 2, 8), (1, 4, 3), (1, 5, 40)], 12.0, 3);
    check(false, &[(0, 1, 5), (1, 1, 5), (1, 2, 3), (1, 3, 12)], 12.0, 0);
    check(false, &[(0, 1, 5), (0, 3, 8), (1, 2, 6), (1, 4, 12)], 8.0, 2);
}

/// One step of a stream: the core that takes its point, and how the stream goes on.
#[derive(Clone, Copy, Debug)]
struct Step {
    core: usize,
    goes: Goes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    On,
    /// It begins again, and has counted less than before.
    AgainAtLess,
    /// It begins again, and has counted more already.
    AgainAtMore,
}

/// All streams of so many steps on two cores.
fn streams(steps: u32) -> Vec<Vec<Step>> {
    let step = |digit: u32| {
        let goes = [Goes::On, Goes::AgainAtLess, Goes::AgainAtMore][digit as usize % 3];
        Step { core: digit as usize / 3, goes }
    };
    (0..6u32.pow(steps)).map(|number| (0..steps).map(|at| step(number / 6u32.pow(at) % 6)).collect()).collect()
}

/// (start, time, value) of each step, and what it adds to those before it, as one after the other they tell it.
fn points_of(stream: &[Step], has_starts: bool) -> Vec<([u64; 3], u64)> {
    let (mut start, mut value) = (T, 0);
    let point = |(step, at): (&Step, u64)| {
        let (time, before) = (T + (1 + at) * SECOND, value);
        (start, value) = match step.goes {
            Goes::On => (start, before + 3),
            Goes::AgainAtLess => (time - 1, 1),
            Goes::AgainAtMore => (time - 1, before + 2),
        };
        let is_reset = value < before || has_starts && step.goes != Goes::On;
        ([if has_starts { start } else { 0 }, time, value], if is_reset { value } else { value - before })
    };
    stream.iter().zip(0..).map(point).collect()
}

/// What leaves as increments of each of these streams, of this kind, on two cores; a cut comes after `cut_after` steps, too.
fn increments(streams: &[Vec<Step>], has_starts: bool, kind: usize, cut_after: Option<usize>) -> Vec<u64> {
    let (mut rig, mut all) = (Rig::new(2), vec![0; streams.len()]);
    let points: Vec<_> = streams.iter().map(|stream| points_of(stream, has_starts)).collect();
    for at in 0..=streams[0].len() {
        let is_last = at == streams[0].len();
        if is_last || cut_after == Some(at) {
            let out = rig.cut(T + (at as u64) * SECOND + SECOND / 2);
            for (name, _, point) in out.delta.iter().flat_map(each_point) {
                all[name.parse::<usize>().unwrap()] += match point {
                    Any::Number(p) => match p.value {
                        Some(Number::AsInt(value)) => value as u64,
                        other => panic!("{other:?} is no int"),
                    },
                    Any::Histogram(p) => p.count,
                    Any::Exponential(p) => p.count - p.zero_count,
                    Any::Summary(_) => unreachable!("none leaves"),
                };
            }
        }
        if !is_last {
            let mut metrics = [Vec::new(), Vec::new()];
            for (number, stream) in streams.iter().enumerate() {
                let ([start, time, value], _) = points[number][at];
                let mut metric = CUMULATIVES[kind](start, time, value);
                metric.name = number.to_string();
                metrics[stream[at].core].push(metric);
            }
            metrics.into_iter().enumerate().for_each(|(core, metrics)| {
                rig.send(core, &request(metrics));
            });
        }
    }
    assert_eq!(rig.tally.noted(Note::ResetNotKept), 0);
    all
}

#[test]
fn m10_m14_one_writer_that_begins_again_counts_once_whichever_core_takes_which_point() {
    let check = |steps: u32, kind: usize, cut_after: Option<usize>| {
        for some in streams(steps).chunks(216) {
            for (stream, counted) in some.iter().zip(increments(some, true, kind, cut_after)) {
                let points = points_of(stream, true);
                let told: u64 = points.iter().map(|(_, added)| added).sum();
                assert_eq!(counted, told, "kind {kind}, cut after {cut_after:?}: {stream:?} {points:?}");
            }
        }
    };
    for kind in 0..CUMULATIVES.len() {
        for cut_after in [None, Some(2)] {
            check(4, kind, cut_after);
        }
    }
    check(5, 0, None);
}

#[test]
fn m10_m14_one_that_begins_again_beside_an_older_writer_with_newer_points_counts_at_once() {
    for point in CUMULATIVES {
        let mut rig = Rig::new(2);
        rig.send(0, &request(vec![point(T, T + SECOND, 100)]));
        rig.send(0, &request(vec![point(T + 3 * SECOND - 1, T + 3 * SECOND, 40)]));
        rig.send(1, &request(vec![point(T - SECOND, T + 2 * SECOND, 500)]));
        rig.send(1, &request(vec![point(T - SECOND, T + 4 * SECOND, 510)]));
        let out = rig.cut(T + 5 * SECOND);
        assert_eq!(counted(&out.delta)[0].2, 140);
        // once more: nothing of it is new
        rig.send(0, &request(vec![point(T + 3 * SECOND - 1, T + 3 * SECOND, 40)]));
        assert!(counted(&rig.cut(T + 6 * SECOND).delta).iter().all(|one| one.2 == 0));
    }
}

#[test]
fn m14_without_starts_only_a_fall_that_no_core_saw_is_not_told_from_a_second_writer() {
    for kind in 0..CUMULATIVES.len() {
        let (mut hidden, mut wrong, all) = (0, 0, streams(4));
        for some in all.chunks(216) {
            for (stream, counted) in some.iter().zip(increments(some, false, kind, None)) {
                let points = points_of(stream, false);
                let values: Vec<u64> = points.iter().map(|([.., value], _)| *value).collect();
                // the first one is a baseline
                let told: u64 = points[1..].iter().map(|(_, added)| added).sum();
                // a core's own points around a fall do not fall
                let is_hidden = (0..2).any(|core| {
                    let own: Vec<usize> = (0..stream.len()).filter(|at| stream[*at].core == core).collect();
                    own.windows(2).any(|two| {
                        let between = &values[two[0]..=two[1]];
                        between.first() <= between.last() && !between.is_sorted()
                    })
                });
                assert!(
                    counted == told || is_hidden && counted < told,
                    "kind {kind}: {stream:?} {values:?}: {counted}"
                );
                hidden += u32::from(is_hidden);
                wrong += u32::from(counted != told);
            }
        }
        assert_eq!((wrong, hidden, all.len()), (162, 162, 1296), "kind {kind}");
    }
}

#[test]
fn more_resets_than_a_core_keeps_apart_are_counted_and_added_up() {
    for point in CUMULATIVES {
        // on one core they count all the same
        let mut rig = Rig::new(2);
        (1..=12).for_each(|i| _ = rig.send(0, &request(vec![point(T + i * SECOND - 1, T + i * SECOND, 10)])));
        assert_eq!(counted(&rig.cut(T + 20 * SECOND).delta)[0].2, 120);
        assert_eq!((rig.tally.noted(Note::ResetNotKept), rig.tally.noted(Note::Reset)), (3, 11));
        assert_eq!(rig.tally.settled(Effect::WithEffect), 12);
        // the next interval has room again
        rig.send(0, &request(vec![point(T + 21 * SECOND - 1, T + 21 * SECOND, 10)]));
        rig.send(0, &request(vec![point(T + 22 * SECOND - 1, T + 22 * SECOND, 10)]));
        assert_eq!(counted(&rig.cut(T + 30 * SECOND).delta)[0].2, 20);
        assert_eq!(rig.tally.noted(Note::ResetNotKept), 3);
    }
}

#[test]
fn a_core_that_was_late_for_a_cut_takes_back_what_resets_ended() {
    for point in CUMULATIVES {
        let mut rig = Rig::new(2);
        rig.send(0, &request(vec![point(T, T + SECOND, 10)]));
        rig.send(0, &request(vec![point(T + 3 * SECOND - 1, T + 3 * SECOND, 4)]));
        rig.cores[0].hand_over();
        rig.cores[0].take_back();
        rig.send(1, &request(vec![point(T, T + 2 * SECOND, 15)]));
        rig.send(1, &request(vec![point(T + 3 * SECOND - 1, T + 4 * SECOND, 6)]));
        assert_eq!(counted(&rig.cut(T + 5 * SECOND).delta)[0].2, 21);
        assert_eq!((rig.tally.noted(Note::Reset), rig.tally.settled(Effect::Overlapping)), (1, 0));
    }
}
