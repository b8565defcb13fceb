//! M7: a point without a recorded value ends its series, once for each destination, until a value comes.

use crate::common::*;
use catchment::ledger::{Effect, Note};
use catchment::series::ReadValue;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, Metric};

const T: u64 = START + 10 * SECOND;
const BOUNDS: [f64; 1] = [1.0];

/// One metric with one point of this time; a value, or the flag with a value beside it that must be ignored.
type Make = fn(u64, Option<u64>) -> Metric;

fn start() -> u64 {
    START + 5
}

fn flags(value: Option<u64>) -> u32 {
    // reserved bits are ignored
    if value.is_none() { 0x101 } else { 0x100 }
}

fn number_of(time: u64, value: Option<u64>) -> pb::NumberDataPoint {
    pb::NumberDataPoint { flags: flags(value), ..number(&[], start(), time, int(value.unwrap_or(77) as i64)) }
}

fn histogram_of(time: u64, value: Option<u64>) -> pb::HistogramDataPoint {
    // what contradicts itself would be rejected, were it looked at
    let counts = if value.is_some() { vec![value.unwrap_or(0), 0] } else { vec![7; 9] };
    let point = histogram_point(&[], time, &counts, &BOUNDS, 0.5);
    pb::HistogramDataPoint { start_time_unix_nano: start(), flags: flags(value), ..point }
}

fn exponential_of(time: u64, value: Option<u64>) -> pb::ExponentialHistogramDataPoint {
    let mut point = exponential_point(&[], start(), time, 3, 0, &[value.unwrap_or(7)]);
    point.flags = flags(value);
    point.scale = if value.is_some() { 3 } else { 1000 };
    point
}

/// As older Collectors send it: an end without buckets.
fn bare_histogram_of(time: u64, value: Option<u64>) -> pb::HistogramDataPoint {
    let point = histogram_of(time, value);
    if value.is_some() {
        return point;
    }
    pb::HistogramDataPoint { bucket_counts: vec![], explicit_bounds: vec![], ..point }
}

const KINDS: [(&str, Make); 11] = [
    ("gauge", |t, v| gauge("m", vec![number_of(t, v)])),
    ("delta sum", |t, v| sum("m", 1, true, vec![number_of(t, v)])),
    ("cumulative sum", |t, v| sum("m", 2, true, vec![number_of(t, v)])),
    ("cumulative sum that may fall", |t, v| sum("m", 2, false, vec![number_of(t, v)])),
    ("delta histogram", |t, v| histogram("m", 1, vec![histogram_of(t, v)])),
    ("cumulative histogram", |t, v| histogram("m", 2, vec![histogram_of(t, v)])),
    ("delta histogram that ends without buckets", |t, v| histogram("m", 1, vec![bare_histogram_of(t, v)])),
    ("cumulative histogram that ends without buckets", |t, v| histogram("m", 2, vec![bare_histogram_of(t, v)])),
    ("delta exponential histogram", |t, v| exponential("m", 1, vec![exponential_of(t, v)])),
    ("cumulative exponential histogram", |t, v| exponential("m", 2, vec![exponential_of(t, v)])),
    ("summary", |t, v| {
        let quantiles = if v.is_some() { [(0.5, 1.0), (0.9, 2.0)] } else { [(0.9, -1.0), (0.5, 2.0)] };
        let point = summary_point(&[], start(), t, v.unwrap_or(7), 1.0, &quantiles);
        summary("m", vec![pb::SummaryDataPoint { flags: flags(v), ..point }])
    }),
];

fn is_delta(kind: &str) -> bool {
    kind.starts_with("delta")
}

/// (has a value, flags, start, time) of each point.
fn points(requests: &[ExportMetricsServiceRequest]) -> Vec<(bool, u32, u64, u64)> {
    let of = |point: Any| match point {
        Any::Number(p) => (p.value.is_some(), p.flags, p.start_time_unix_nano, p.time_unix_nano),
        Any::Histogram(p) => {
            assert_eq!((p.explicit_bounds.len(), p.bucket_counts.len()), (1, 2), "it names its parts");
            (p.count > 0 || p.sum.is_some(), p.flags, p.start_time_unix_nano, p.time_unix_nano)
        }
        Any::Exponential(p) => (p.count > 0 || p.sum.is_some(), p.flags, p.start_time_unix_nano, p.time_unix_nano),
        Any::Summary(p) => {
            assert_eq!(p.quantile_values.iter().map(|q| q.quantile).collect::<Vec<_>>(), [0.5, 0.9], "likewise");
            let any = p.count > 0 || p.sum != 0.0 || p.quantile_values.iter().any(|q| q.value != 0.0);
            (any, p.flags, p.start_time_unix_nano, p.time_unix_nano)
        }
    };
    requests.iter().flat_map(each_point).map(|(_, _, point)| of(point)).collect()
}

/// What a scrape of the last cut finds of the one series.
fn shown(rig: &Rig) -> &'static str {
    let mut seen = Vec::new();
    for owner in 0..rig.registry.cores() {
        let mut cursor = Default::default();
        while !rig.registry.trie(owner).walk(&mut cursor, 64, |series| {
            seen.push(match series.read(rig.cut - 1) {
                ReadValue::Found { .. } => "value",
                ReadValue::Ended => "ended",
                ReadValue::Hidden => "hidden",
                ReadValue::NotYet => "not yet",
                ReadValue::Overtaken => "overtaken",
            });
        }) {}
    }
    // what ended before there was a series with buckets is a series of its own, which shows nothing
    if seen.len() > 1 {
        seen.retain(|seen| *seen != "not yet");
    }
    assert!(seen.len() <= 1, "one series: {seen:?}");
    seen.pop().unwrap_or("no series")
}

#[test]
fn m7_a_series_ends_once_and_a_value_revives_it() {
    for (kind, make) in KINDS {
        for cores in [1, 2] {
            let context = format!("{kind} on {cores} cores");
            let mut rig = Rig::new(cores);
            let send = |rig: &mut Rig, core: usize, time: u64, value: Option<u64>| {
                let receipt = rig.send(core, &request(vec![make(time, value)]));
                assert_eq!((receipt.points, receipt.rejected), (1, 0), "{context}");
            };
            // without a value before there is nothing to end
            send(&mut rig, 0, T - 9, None);
            assert!(rig.cut(T).cumulative.is_empty(), "{context}");
            assert_eq!(shown(&rig), "not yet", "{context}");

            send(&mut rig, 0, T, Some(3));
            let out = rig.cut(T + 10);
            assert_eq!(points(&out.cumulative).len(), 1, "{context}");
            assert_eq!(shown(&rig), "value", "{context}");

            // the other core says that it ended: any core may
            send(&mut rig, 1, T + 15, None);
            let out = rig.cut(T + 20);
            let (cumulative, delta) = (points(&out.cumulative), points(&out.delta));
            let time = if is_delta(kind) { T + 20 } else { T + 15 };
            assert_eq!((cumulative.len(), delta.len()), (1, 1), "{context}");
            assert_eq!((cumulative[0].0, cumulative[0].1, cumulative[0].3), (false, 1, time), "{context}");
            assert_eq!((delta[0].0, delta[0].1), (false, 1), "{context}");
            assert_eq!(shown(&rig), "ended", "{context}");

            // and again: it left once
            send(&mut rig, 1, T + 25, None);
            let out = rig.cut(T + 30);
            assert!(out.cumulative.is_empty() && out.delta.is_empty(), "{context}");
            assert_eq!(shown(&rig), "ended", "{context}");

            send(&mut rig, 0, T + 35, Some(5));
            let out = rig.cut(T + 40);
            assert_eq!(
                points(&out.cumulative).iter().map(|p| (p.0, p.1)).collect::<Vec<_>>(),
                [(true, 0)],
                "{context}"
            );
            assert_eq!(points(&out.delta).len(), 1, "{context}");
            assert_eq!(shown(&rig), "value", "{context}");
            assert_eq!(rig.tally.noted(Note::NoRecordedValue), 3, "{context}");
        }
    }
}

/// Bounds are no part of a stream's identity in the data model: an end that has none means the series with bounds, if there is
/// one and none without that has a value; of several the one whose bounds came last.
#[test]
fn m7_an_end_without_buckets_means_the_series_of_its_attributes() {
    let of = |attribute: &str, bounds: &[f64], value: bool, time: u64| {
        let counts = vec![1; if bounds.is_empty() { 0 } else { bounds.len() + 1 }];
        let count = if value { counts.len().max(1) as u64 } else { 0 };
        let attributes = [("a", attribute)];
        let mut point = histogram_point(&attributes, time, if value { &counts } else { &[] }, bounds, 0.5);
        (point.count, point.start_time_unix_nano, point.flags) = (count, start(), u32::from(!value));
        request(vec![histogram("m", 2, vec![point])])
    };
    // what leaves in a cut, by attribute, number of bounds, and whether it is a value
    let left = |rig: &mut Rig, time: u64| {
        let out = rig.cut(time).cumulative;
        let of = |point: Any| match point {
            Any::Histogram(p) => (p.attributes[0].clone(), p.explicit_bounds.len(), p.flags == 0),
            other => panic!("{other:?}"),
        };
        let mut left: Vec<(String, usize, bool)> = out
            .iter()
            .flat_map(each_point)
            .map(|(_, _, p)| of(p))
            .map(|(a, n, is)| (format!("{a:?}"), n, is))
            .collect();
        left.sort();
        left.iter().map(|(a, n, is)| (a.contains("\"x\""), *n, *is)).collect::<Vec<_>>()
    };
    for core in [0, 1] {
        let mut rig = Rig::new(2);
        rig.send(0, &of("x", &[1.0], true, T));
        rig.send(0, &of("y", &[1.0], true, T));
        rig.send(0, &of("y", &[1.0, 2.0], true, T));
        assert_eq!(left(&mut rig, T + 1).len(), 3);
        // x has no series with the bounds that came last, so this ends nothing
        rig.send(core, &of("z", &[], false, T + 2));
        assert_eq!(left(&mut rig, T + 3), []);
        rig.send(core, &of("y", &[], false, T + 4));
        assert_eq!(left(&mut rig, T + 5), [(false, 2, false)]);
        // one without bounds that has a value is meant itself
        rig.send(0, &of("y", &[], true, T + 6));
        assert_eq!(left(&mut rig, T + 7), [(false, 0, true)]);
        rig.send(core, &of("y", &[], false, T + 8));
        assert_eq!(left(&mut rig, T + 9), [(false, 0, false)]);
        // a value beside the end in one request goes where it belongs
        let mut both = of("y", &[], false, T + 10);
        both.resource_metrics.extend(of("y", &[], true, T + 10).resource_metrics);
        let receipt = rig.send(core, &both);
        assert_eq!((receipt.points, receipt.rejected), (2, 0));
        assert_eq!(rig.tally.applied_total(), 9);
        rig.cut(T + 11);
        assert_eq!(rig.tally.emitted(), 9);
    }
}

#[test]
fn m7_a_revived_total_goes_on_from_where_it_was() {
    let mut rig = Rig::new(2);
    let delta = |v| request(vec![sum("m", 1, true, vec![number_of(T, v)])]);
    rig.send(0, &delta(Some(3)));
    let before = numbers(&rig.cut(T + 10).cumulative);
    rig.send(1, &delta(None));
    rig.cut(T + 20);
    rig.send(1, &delta(Some(4)));
    let after = numbers(&rig.cut(T + 30).cumulative);
    assert_eq!((after[0].2, after[0].4), (before[0].2, 7.0), "the same start, both values");
    // cumulative: increments count from the value before the end
    let mut rig = Rig::new(1);
    let cumulative = |time, v| request(vec![sum("m", 2, true, vec![number_of(time, v)])]);
    rig.send(0, &cumulative(T, Some(3)));
    rig.cut(T + 10);
    rig.send(0, &cumulative(T + 11, None));
    rig.cut(T + 20);
    rig.send(0, &cumulative(T + 21, Some(10)));
    let out = rig.cut(T + 30);
    assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![10.0], vec![7.0]));
}

#[test]
fn m7_one_interval_with_values_and_without() {
    // (kind, values and none in the order of their arrival by core, what leaves: values and ends)
    type Case = (&'static str, &'static [(usize, u64, Option<u64>)], &'static [(bool, u64)]);
    let cases: [Case; 14] = [
        ("gauge", &[(0, 1, Some(3)), (0, 2, None)], &[(false, 2)]),
        ("gauge", &[(0, 2, None), (1, 1, Some(3))], &[(false, 2)]),
        ("gauge", &[(0, 2, None), (0, 3, Some(3))], &[(true, 3)]),
        ("gauge", &[(0, 2, None), (1, 2, Some(3))], &[(true, 2)]),
        ("gauge", &[(0, 2, Some(3)), (0, 2, None)], &[(true, 2)]),
        ("gauge", &[(0, 2, None), (0, 2, Some(3))], &[(true, 2)]),
        ("summary", &[(0, 2, None), (0, 2, Some(3))], &[(true, 2)]),
        ("summary", &[(0, 1, Some(3)), (1, 2, None)], &[(false, 2)]),
        // increments count: both leave
        ("cumulative sum", &[(0, 1, Some(3)), (0, 2, None)], &[(true, 1), (false, 2)]),
        ("cumulative sum", &[(0, 2, None), (1, 1, Some(3))], &[(true, 1), (false, 2)]),
        ("cumulative histogram", &[(1, 1, Some(3)), (0, 2, None)], &[(true, 1), (false, 2)]),
        ("cumulative exponential histogram", &[(0, 1, None), (0, 2, Some(3))], &[(true, 2)]),
        // whoever has a delta keeps the series alive, whatever the times say
        ("delta sum", &[(0, 9, None), (1, 1, Some(3)), (0, 9, None)], &[(true, 10)]),
        ("delta histogram", &[(0, 1, Some(3)), (0, 9, None)], &[(true, 10)]),
    ];
    for (kind, sent, left) in cases {
        let make = KINDS.iter().find(|(name, _)| *name == kind).expect("a kind").1;
        let mut rig = Rig::new(2);
        rig.send(0, &request(vec![make(T, Some(1))]));
        rig.cut(T);
        for (core, time, value) in sent {
            rig.send(*core, &request(vec![make(T + time, *value)]));
        }
        let out = rig.cut(T + 10);
        let found: Vec<(bool, u64)> = points(&out.cumulative).iter().map(|p| (p.0, p.3 - T)).collect();
        assert_eq!(found, left, "{kind} {sent:?}");
        assert_eq!(points(&out.delta).len(), left.len(), "{kind} {sent:?}: the same in the other view");
        assert_eq!(shown(&rig), if left.last().is_some_and(|p| p.0) { "value" } else { "ended" }, "{kind} {sent:?}");
    }
}

#[test]
fn m7_of_equal_times_in_one_interval_the_value_wins_and_an_end_that_left_stands() {
    for (kind, make) in KINDS.into_iter().filter(|(kind, _)| !is_delta(kind)) {
        for (value_core, mark_core) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for value_first in [true, false] {
                let context = format!("{kind}, value on {value_core}, mark on {mark_core}, value first: {value_first}");
                let mut rig = Rig::new(2);
                rig.send(0, &request(vec![make(T, Some(1))]));
                rig.cut(T + 1);
                let mut sent = [(value_core, Some(3)), (mark_core, None)];
                if !value_first {
                    sent.reverse();
                }
                for (core, value) in sent {
                    rig.send(core, &request(vec![make(T + 2, value)]));
                }
                let out = rig.cut(T + 10);
                let left: Vec<(bool, u64)> = points(&out.cumulative).iter().map(|p| (p.0, p.3)).collect();
                assert_eq!(left, [(true, T + 2)], "{context}");
                assert_eq!(points(&out.delta).len(), 1, "{context}");
                assert_eq!(shown(&rig), "value", "{context}");
                // a mark again: the value has that time already
                rig.send(mark_core, &request(vec![make(T + 2, None)]));
                assert!(rig.cut(T + 20).cumulative.is_empty(), "{context}");
                assert_eq!(shown(&rig), "value", "{context}");
            }
            let context = format!("{kind}, value on {value_core}, mark on {mark_core}, a cut between");
            let mut rig = Rig::new(2);
            rig.send(0, &request(vec![make(T, Some(1))]));
            rig.cut(T + 1);
            rig.send(mark_core, &request(vec![make(T + 2, None)]));
            rig.cut(T + 10);
            rig.send(value_core, &request(vec![make(T + 2, Some(3))]));
            assert!(rig.cut(T + 20).cumulative.is_empty(), "{context}");
            assert_eq!(shown(&rig), "ended", "{context}");
            rig.send(value_core, &request(vec![make(T + 21, Some(3))]));
            assert_eq!(points(&rig.cut(T + 30).cumulative).len(), 1, "{context}");
            assert_eq!(shown(&rig), "value", "{context}");
        }
    }
}

/// Also where all that its core can say of it is that it came.
#[test]
fn m7_a_second_writers_value_keeps_the_series_alive() {
    for (kind, make) in KINDS.into_iter().filter(|(kind, _)| kind.starts_with("cumulative")) {
        for time in [T + 3, T + 4] {
            let mut rig = Rig::new(1);
            rig.send(0, &request(vec![make(T, Some(1))]));
            rig.cut(T + 1);
            rig.send(0, &request(vec![make(T + 2, Some(3))]));
            rig.send(0, &request(vec![make(T + 3, None)]));
            rig.send(0, &request(vec![with_start(make(time, Some(2)), start() - 1)]));
            let context = format!("{kind} at {}", time - T);
            assert_eq!(rig.tally.settled(Effect::Overlapping), 1, "{context}");
            let left: Vec<bool> = points(&rig.cut(T + 10).cumulative).iter().map(|p| p.0).collect();
            assert_eq!((left, shown(&rig)), (vec![true], "value"), "{context}");
            // what is newer than it ends the series
            rig.send(0, &request(vec![make(T + 12, None)]));
            let left: Vec<bool> = points(&rig.cut(T + 20).cumulative).iter().map(|p| p.0).collect();
            assert_eq!((left, shown(&rig)), (vec![false], "ended"), "{context}");
        }
    }
}

fn with_start(mut metric: Metric, start: u64) -> Metric {
    match metric.data.as_mut() {
        Some(Data::Sum(of)) => of.data_points.iter_mut().for_each(|p| p.start_time_unix_nano = start),
        Some(Data::Histogram(of)) => of.data_points.iter_mut().for_each(|p| p.start_time_unix_nano = start),
        Some(Data::ExponentialHistogram(of)) => of.data_points.iter_mut().for_each(|p| p.start_time_unix_nano = start),
        other => panic!("not cumulative: {other:?}"),
    }
    metric
}

#[test]
fn m7_what_is_older_than_the_end_does_not_revive() {
    for (kind, make) in KINDS.into_iter().filter(|(kind, _)| !is_delta(kind)) {
        for core in [0, 1] {
            let mut rig = Rig::new(2);
            rig.send(0, &request(vec![make(T, Some(1))]));
            rig.cut(T + 10);
            rig.send(0, &request(vec![make(T + 12, None)]));
            rig.cut(T + 20);
            rig.send(core, &request(vec![make(T + 11, Some(2))]));
            assert!(rig.cut(T + 30).cumulative.is_empty(), "{kind}, late on core {core}");
            if core == 0 {
                // its core knows better already
                assert_eq!(rig.tally.settled(Effect::Superseded), 1, "{kind}");
            }
            assert_eq!(shown(&rig), "ended", "{kind}");
        }
    }
}

#[test]
fn m7_an_ended_series_expires() {
    for (kind, make) in KINDS {
        let mut rig = Rig::with(1, 10, 20 * SECOND);
        rig.send(0, &request(vec![make(T, Some(1))]));
        rig.cut(T + 1);
        rig.send(0, &request(vec![make(T + 2, None)]));
        for i in 1..6 {
            rig.cut(T + i * 10 * SECOND);
        }
        assert_eq!((shown(&rig), rig.registry.live()), ("no series", 0), "{kind}");
        let out_of_nothing = rig.send(0, &request(vec![make(T + 60 * SECOND, Some(2))]));
        assert_eq!(out_of_nothing.rejected, 0);
        assert_eq!(points(&rig.cut(T + 70 * SECOND).cumulative).len(), 1, "{kind}");
    }
}
