//! What became of each point: `emitted = with effect + superseded + baseline + overlapping`, counted in points, exactly, for
//! every kind, on one core and on two. (Random lives of clients are in tests/rooms/model.rs.)

use crate::common::*;
use catchment::examples::Cause;
use catchment::ledger::{Effect, Note};
use opentelemetry_proto::tonic::metrics::v1 as pb;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
/// Of the points.
const T: u64 = START + 10 * SECOND;

/// One point of a metric: (start, time, how much it counted).
type Make = fn(u64, u64, u64) -> pb::Metric;

const CUMULATIVES: [Make; 3] = [
    |start, time, n| sum("m", CUMULATIVE, true, vec![number(&[], start, time, int(n as i64))]),
    |start, time, n| {
        let point = histogram_point(&[], time, &[n, 0], &[1.0], n as f64);
        histogram("m", CUMULATIVE, vec![pb::HistogramDataPoint { start_time_unix_nano: start, ..point }])
    },
    |start, time, n| exponential("m", CUMULATIVE, vec![exponential_point(&[], start, time, 0, 0, &[n])]),
];

const NEWEST: [Make; 2] = [
    |_, time, n| gauge("m", vec![number(&[], 0, time, int(n as i64))]),
    |start, time, n| summary("m", vec![summary_point(&[], start, time, n, 1.0, &[(0.5, 1.0)])]),
];

const DELTAS: [Make; 3] = [
    |start, time, n| sum("m", DELTA, true, vec![number(&[], start, time, int(n as i64))]),
    |start, time, n| {
        let point = histogram_point(&[], time, &[n, 0], &[1.0], n as f64);
        histogram("m", DELTA, vec![pb::HistogramDataPoint { start_time_unix_nano: start, ..point }])
    },
    |start, time, n| exponential("m", DELTA, vec![exponential_point(&[], start, time, 0, 0, &[n])]),
];

/// The same point without a recorded value.
fn without_value(mut metric: pb::Metric) -> pb::Metric {
    use pb::metric::Data;
    match metric.data.as_mut().unwrap() {
        Data::Gauge(data) => data.data_points.iter_mut().for_each(|point| point.flags = 1),
        Data::Sum(data) => data.data_points.iter_mut().for_each(|point| point.flags = 1),
        Data::Histogram(data) => data.data_points.iter_mut().for_each(|point| point.flags = 1),
        Data::ExponentialHistogram(data) => data.data_points.iter_mut().for_each(|point| point.flags = 1),
        Data::Summary(data) => data.data_points.iter_mut().for_each(|point| point.flags = 1),
    }
    metric
}

/// With effect, superseded, baseline, overlapping.
fn effects(rig: &Rig) -> [u64; 4] {
    assert_eq!(rig.tally.emitted(), rig.tally.applied_total(), "all is settled");
    Effect::ALL.map(|effect| rig.tally.settled(effect))
}

/// What is there to do: a point (core, start, time, count), one without a value, a cut.
#[derive(Clone, Copy, Debug)]
enum Do {
    Send(usize, u64, u64, u64),
    NoValue(usize, u64),
    Cut,
}
use Do::{Cut, NoValue, Send};

fn check(make: &[Make], steps: &[Do], want: [u64; 4]) {
    for (kind, make) in make.iter().enumerate() {
        let mut rig = Rig::new(2);
        let mut cuts = 0;
        for step in steps.iter().chain(&[Cut]) {
            match *step {
                Send(core, start, time, n) => drop(rig.send(core, &request(vec![make(start, T + time, n)]))),
                NoValue(core, time) => drop(rig.send(core, &request(vec![without_value(make(0, T + time, 1))]))),
                Cut => {
                    cuts += 1;
                    rig.cut(T + cuts * SECOND);
                }
            }
        }
        assert_eq!(effects(&rig), want, "kind {kind}: {steps:?}");
    }
}

/// 600 points of two writers in 30 intervals.
fn two_writers(core_of_b: usize, start_of_b: u64, later: u64) -> Vec<Do> {
    let mut steps = Vec::new();
    for i in 0..300 {
        steps.push(Send(0, START + 5, 10 * i, 10 + i));
        steps.push(Send(core_of_b, start_of_b, 10 * i + later, 1_000 + i));
        if i % 10 == 9 {
            steps.push(Cut);
        }
    }
    steps
}

#[test]
fn a_second_writer_with_the_same_times_is_superseded_point_by_point() {
    for core in [0, 1] {
        check(&CUMULATIVES, &two_writers(core, START + 5, 0), [300, 300, 0, 0]);
    }
}

#[test]
fn a_second_writer_with_an_older_start_overlaps_point_by_point() {
    for core in [0, 1] {
        check(&CUMULATIVES, &two_writers(core, START + 2, 5), [300, 0, 0, 300]);
    }
    // also where it comes first in its interval, or where it is alone in one
    let seconds = [Send(0, START + 2, 20, 7), Send(0, START + 2, 30, 8)];
    for middle in [vec![Send(0, START + 5, 40, 3)], vec![Cut, Send(0, START + 5, 40, 3)]] {
        let steps = [&[Send(0, START + 5, 10, 1), Cut], &seconds[..], &middle].concat();
        check(&CUMULATIVES, &steps, [2, 0, 0, 2]);
    }
}

#[test]
fn of_a_stream_that_began_before_us_the_first_point_is_a_baseline_and_the_others_count() {
    let points = |start| [Send(0, start, 0, 20), Send(0, start, 10, 21), Cut, Send(0, start, 20, 25)];
    check(&CUMULATIVES, &points(START - 5), [2, 0, 1, 0]);
    check(&CUMULATIVES, &points(0), [2, 0, 1, 0]);
    check(&CUMULATIVES, &points(START + 5), [3, 0, 0, 0]);
}

#[test]
fn a_repeat_late_points_and_all_of_a_late_bank_are_superseded() {
    let s = START + 5;
    let send = |core, time, n| Send(core, s, time, n);
    check(&CUMULATIVES, &[send(0, 10, 1), send(0, 10, 1), send(0, 5, 0), send(0, 20, 2)], [2, 2, 0, 0]);
    check(&NEWEST, &[send(0, 10, 1), send(0, 10, 1), send(0, 5, 0), send(0, 20, 2)], [2, 2, 0, 0]);
    // the other core has no idea: its bank is late as a whole
    let late = [send(0, 50, 9), Cut, send(1, 10, 1), send(1, 20, 2), send(1, 30, 3)];
    check(&CUMULATIVES, &late, [1, 3, 0, 0]);
    check(&NEWEST, &late, [1, 3, 0, 0]);
    // one writer goes on on another connection, and sends its last export again
    check(&CUMULATIVES, &[send(0, 10, 1), send(0, 20, 2), send(1, 20, 2), send(1, 30, 3)], [3, 1, 0, 0]);
    // or by turns
    check(&CUMULATIVES, &[send(0, 10, 1), send(1, 20, 2), send(0, 30, 3), send(1, 40, 4)], [4, 0, 0, 0]);
}

#[test]
fn the_newest_point_of_a_gauge_has_an_effect_whatever_comes_after_it() {
    let send = |core, time, n| Send(core, 0, time, n);
    check(&NEWEST, &[send(0, 10, 1), send(0, 20, 2), send(0, 30, 3)], [3, 0, 0, 0]);
    check(&NEWEST, &[send(0, 10, 1), send(0, 20, 2), send(1, 15, 7), send(1, 40, 8)], [4, 0, 0, 0]);
    // at one time the larger wins, and what loses has none
    check(&NEWEST, &[send(0, 5, 9), send(0, 10, 1), send(1, 10, 2)], [1, 2, 0, 0]);
    check(&NEWEST, &[send(0, 5, 9), send(0, 10, 2), send(1, 10, 1)], [2, 1, 0, 0]);
    check(&NEWEST, &[send(0, 10, 1), send(1, 10, 1)], [1, 1, 0, 0]);
}

#[test]
fn each_delta_counts_and_points_without_a_value_are_settled_like_others() {
    let send = |time, n| Send(0, START + 5, time, n);
    check(&DELTAS, &[send(10, 1), send(5, 1), send(5, 1), NoValue(0, 7), Cut, NoValue(1, 1)], [5, 0, 0, 0]);
    for make in [&CUMULATIVES[..], &NEWEST] {
        check(make, &[send(10, 1), NoValue(0, 20), NoValue(0, 15), Cut, send(30, 2), NoValue(0, 30)], [3, 2, 0, 0]);
    }
}

/// What a warning shows: one example of each effect, and of baselines only what somebody goes without.
#[test]
fn an_example_is_kept_of_what_had_no_effect() {
    let mut rig = Rig::new(2);
    let shown = |rig: &Rig, effect| rig.registry.examples().take(Cause::Without(effect));
    let of = |name: &str, start, time| sum(name, CUMULATIVE, true, vec![number(&[], start, time, int(7))]);
    rig.peer = "192.0.2.7".parse::<std::net::IpAddr>().unwrap().into();
    rig.send(0, &request_of("shop", vec![of("a", START + 5, T), of("a", START + 5, T)]));
    rig.send(0, &request_of("shop", vec![of("b\n", START + 5, T), of("b\n", START + 2, T + 1)]));
    assert_eq!(shown(&rig, Effect::Superseded), "metric \"a\" of service \"shop\" from 192.0.2.7");
    assert_eq!(shown(&rig, Effect::Overlapping), "metric \"b\\n\" of service \"shop\" from 192.0.2.7");
    rig.cut(T + SECOND);
    // only a cut sees that another core took the same, and whose it was is not known there
    rig.send(1, &request_of("shop", vec![of("a", START + 5, T)]));
    rig.send(0, &request_of("shop", vec![of("old", START - 5, T)]));
    assert_eq!(shown(&rig, Effect::Baseline), "");
    rig.cut(T + 2 * SECOND);
    assert_eq!(shown(&rig, Effect::Superseded), "metric \"a\" of service \"shop\"");
    assert_eq!(shown(&rig, Effect::Baseline), "metric \"old\" of service \"shop\"");
    assert_eq!(rig.tally.noted(Note::BaselineLost), 1);
}

/// Attributes that are gone, and counts that do not fit.
#[test]
fn an_example_is_kept_of_what_overflowed() {
    let mut rig = Rig::with(2, 1, 300 * SECOND);
    rig.peer = "192.0.2.7".parse::<std::net::IpAddr>().unwrap().into();
    for n in ["1", "2"] {
        let point = number(&[("n", n)], START, T, int(1));
        rig.send(0, &request_of("shop", vec![sum("orders", DELTA, true, vec![point])]));
    }
    assert_eq!(rig.tally.noted(Note::Overflowed), 1);
    let shown = |rig: &Rig, cause| rig.registry.examples().take(cause);
    assert_eq!(shown(&rig, Cause::Overflowed), "metric \"orders\" of service \"shop\" from 192.0.2.7");

    let half = |temporality, time, n: u64| {
        let point = histogram_point(&[], time, &[n, 0], &[1.0], 1.0);
        let point = pb::HistogramDataPoint { start_time_unix_nano: START + 5, ..point };
        request_of("shop", vec![histogram("sizes", temporality, vec![point])])
    };
    let want = "metric \"sizes\" of service \"shop\"";
    // one core alone: a reset adds what does not fit
    let mut rig = Rig::new(2);
    for (time, n) in [(T, 1), (T + 1, u64::MAX), (T + 2, u64::MAX - 1)] {
        rig.send(0, &half(CUMULATIVE, time, n));
    }
    assert_eq!((rig.tally.noted(Note::CountOverflow), shown(&rig, Cause::CountOverflow)), (1, want.to_owned()));
    // two that do not fit together
    let mut rig = Rig::new(2);
    rig.send(0, &half(DELTA, T, 1 << 63));
    rig.send(1, &half(DELTA, T, 1 << 63));
    rig.cut(T + SECOND);
    assert_eq!((rig.tally.noted(Note::CountOverflow), shown(&rig, Cause::CountOverflow)), (1, want.to_owned()));
}

/// Nothing of it is lost where it is 0, or leaves whole.
#[test]
fn a_baseline_that_nobody_misses_is_none_to_warn_of() {
    let lost = |make: Make, n| {
        let mut rig = Rig::new(1);
        rig.send(0, &request(vec![make(START - 5, T, n)]));
        rig.cut(T + SECOND);
        assert_eq!(effects(&rig), [0, 0, 1, 0]);
        rig.tally.noted(Note::BaselineLost)
    };
    for make in CUMULATIVES {
        assert_eq!(lost(make, 7), 1);
    }
    // an exponential point of ours always has something in its zero bucket
    for make in &CUMULATIVES[..2] {
        assert_eq!(lost(*make, 0), 0);
    }
    let updown: Make = |start, time, n| sum("m", CUMULATIVE, false, vec![number(&[], start, time, int(n as i64))]);
    assert_eq!(lost(updown, 7), 0, "it always leaves whole");
}
