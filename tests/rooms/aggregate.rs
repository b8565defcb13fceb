//! The rules of the data model (conformance M…), one by one, on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::{Effect, Note};
use catchment::model::Reject;
use catchment::sync::cut::Times;
use prost::Message;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

#[test]
fn m8_deltas_of_one_series_add_exactly_over_cores_orders_and_requests() {
    for cores in [1, 3] {
        let mut rig = Rig::new(cores);
        for i in 0..16u64 {
            let point = |pairs: &[(&str, &str)], v| number(pairs, T, T + i, int(v));
            let points = if i % 2 == 0 {
                vec![point(&[("a", "1"), ("b", "2")], 3), point(&[("a", "2"), ("b", "2")], 5)]
            } else {
                vec![point(&[("b", "2"), ("a", "2")], 5), point(&[("b", "2"), ("a", "1")], 3)]
            };
            let receipt = rig.send(i as usize, &request(vec![sum("m", DELTA, true, points)]));
            assert_eq!((receipt.points, receipt.rejected), (2, 0));
        }
        let out = rig.cut(T + 10 * SECOND);
        assert_eq!(values(&out.cumulative), [48.0, 80.0], "{cores} cores");
        assert_eq!(values(&out.delta), [48.0, 80.0]);
        assert_eq!(rig.registry.live(), 2, "order of attributes is not identity (M5)");
        rig.send(0, &request(vec![sum("m", DELTA, true, vec![number(&[("a", "1"), ("b", "2")], T, T, int(2))])]));
        let out = rig.cut(T + 20 * SECOND);
        assert_eq!(
            numbers(&out.cumulative),
            [("m".into(), label(&attributes(&[("a", "1"), ("b", "2")])), START, T + 20 * SECOND, 50.0)]
        );
        let delta = numbers(&out.delta);
        assert_eq!((delta[0].2, delta[0].3, delta[0].4), (T + 10 * SECOND, T + 20 * SECOND, 2.0), "M4, M13");
        assert!(rig.cut(T + 30 * SECOND).cumulative.is_empty(), "untouched series are not sent");
    }
}

#[test]
fn m5_key_order_inside_a_map_is_no_identity_of_points_resources_or_scopes() {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
    let any = |value| Some(AnyValue { value: Some(value) });
    let pair = |key: &str, value| KeyValue { key: key.into(), value, ..Default::default() };
    // a map in a map in an array
    let nested = |turned: bool| {
        let map = |mut values: Vec<KeyValue>| {
            if turned {
                values.reverse();
            }
            any(Value::KvlistValue(KeyValueList { values }))
        };
        let inner = map(vec![pair("x", any(Value::IntValue(1))), pair("y", map(vec![])), pair("long", None)]);
        let array = any(Value::ArrayValue(ArrayValue { values: vec![inner.clone().unwrap(), inner.unwrap()] }));
        pair("k", map(vec![pair("a", array), pair("b", any(Value::BoolValue(true)))]))
    };
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        for turns in 0..8 {
            let turned = |bit: u32| nested(turns & bit != 0);
            let mut point = number(&[("z", "1")], T, T + u64::from(turns), int(1));
            point.attributes.push(turned(1));
            let mut all = request(vec![sum("m", DELTA, true, vec![point])]);
            let one = &mut all.resource_metrics[0];
            one.resource.as_mut().unwrap().attributes.push(turned(2));
            one.scope_metrics[0].scope.as_mut().unwrap().attributes.push(turned(4));
            rig.send(turns as usize, &all);
        }
        let out = rig.cut(T + 10 * SECOND);
        assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![8.0], vec![8.0]), "{cores} cores");
        assert_eq!((rig.registry.live(), rig.registry.group_count()), (1, 1));
    }
}

/// As client_golang does, whose table of bounds is off by a unit in the last place.
#[test]
fn m24_a_zero_bucket_that_widens_to_a_bound_as_the_producer_rounds_it_is_no_reset() {
    const ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
    let point = |time, zero: u64, threshold: f64, offset, counts: &[u64]| {
        let mut point = exponential_point(&[], T, time, 1, offset, counts);
        (point.zero_count, point.zero_threshold, point.count) = (zero, threshold, counts.iter().sum::<u64>() + zero);
        request(vec![exponential("e", CUMULATIVE, vec![point])])
    };
    for bound in [f64::from_bits(ROOT.to_bits() - 1), ROOT, f64::from_bits(ROOT.to_bits() + 1)] {
        // in one interval and over two
        for cuts in [false, true] {
            let mut rig = Rig::new(1);
            let mut left = 0;
            let mut cut = |rig: &mut Rig, at| {
                left += exponentials(&rig.cut(at).delta).iter().map(|e| e.count).sum::<u64>();
                left
            };
            rig.send(0, &point(T + 1, 1, 0.0, -2, &[2, 3, 4]));
            if cuts {
                cut(&mut rig, T + 10);
            }
            rig.send(0, &point(T + 11, 4, bound, -1, &[3, 5]));
            assert_eq!(cut(&mut rig, T + 20), 12, "{bound:e}, {cuts}");
            assert_eq!(rig.tally.noted(Note::Reset), 0);
        }
    }
}

#[test]
fn m24_no_zero_bucket_that_leaves_overlaps_a_populated_one() {
    let point = |scale, zero, threshold, offset| {
        let mut point = exponential_point(&[], T, T + 1, scale, offset, &[1]);
        (point.zero_count, point.zero_threshold, point.count) = (zero, threshold, 1 + zero);
        point
    };
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        rig.send(0, &request(vec![exponential("e", DELTA, vec![point(1, 1, 2f64.sqrt(), 1)])]));
        rig.send(1, &request(vec![exponential("e", DELTA, vec![point(0, 0, 0.0, 3)])]));
        let out = rig.cut(T + 10);
        for e in [exponentials(&out.cumulative).remove(0), exponentials(&out.delta).remove(0)] {
            assert_eq!((e.count, e.scale, e.zero_count, e.zero_threshold), (3, 0, 2, 2.0), "{cores} cores");
            assert_eq!(e.positive.map(|side| (side.offset, side.bucket_counts)), Some((3, vec![1])));
        }
    }
}

#[test]
fn m8_counts_that_leave_64_bits_are_left_out_or_begin_anew_and_are_counted() {
    const HALF: u64 = 1 << 63;
    let both = |temporality, start, time, n: u64| {
        let mut h = histogram_point(&[], time, &[n, 0], &[1.0], 1.0);
        let mut e = exponential_point(&[], start, time, 0, 0, &[]);
        (h.start_time_unix_nano, e.count, e.zero_count, e.sum) = (start, n, n, Some(1.0));
        request(vec![histogram("h", temporality, vec![h]), exponential("e", temporality, vec![e])])
    };
    let mut rig = Rig::new(3);
    let mut notes = 0;
    let cut = |rig: &mut Rig, notes: &mut u64, at: u64, total: (u64, u64), step: u64, noted: u64| {
        let out = rig.cut(at);
        let (h, e) = (histograms(&out.cumulative).remove(0), exponentials(&out.cumulative).remove(0));
        assert_eq!((h.start_time_unix_nano, h.count, h.bucket_counts[0]), (total.0, total.1, total.1));
        assert_eq!((e.start_time_unix_nano, e.count, e.zero_count), (total.0, total.1, total.1));
        let (h, e) = (histograms(&out.delta).remove(0), exponentials(&out.delta).remove(0));
        assert_eq!((h.count, h.bucket_counts[0], e.count, e.zero_count), (step, step, step, step));
        *notes += 2 * noted;
        assert_eq!(rig.tally.noted(Note::CountOverflow), *notes);
    };
    // cores that do not fit together: the last one is left out
    for (core, n) in [HALF, HALF - 1, 5].into_iter().enumerate() {
        rig.send(core, &both(DELTA, T, T, n));
    }
    cut(&mut rig, &mut notes, T + 10, (START, u64::MAX), u64::MAX, 1);
    // the total does not fit: it begins anew
    rig.send(0, &both(DELTA, T, T, 7));
    cut(&mut rig, &mut notes, T + 20, (T + 10, 7), 7, 1);
    rig.send(0, &both(DELTA, T, T, 2));
    cut(&mut rig, &mut notes, T + 30, (T + 10, 9), 2, 0);
    // resets within an interval: what was gained does not fit, then not behind the first point; the stream goes on
    let mut rig = Rig::new(1);
    notes = 0;
    for (i, n) in [HALF, 3, HALF, 5, HALF + 1].into_iter().enumerate() {
        rig.send(0, &both(CUMULATIVE, START + 1, T + i as u64, n));
    }
    cut(&mut rig, &mut notes, T + 10, (START + 1, HALF + 1), HALF, 2);
    rig.send(0, &both(CUMULATIVE, START + 1, T + 15, HALF + 3));
    cut(&mut rig, &mut notes, T + 20, (START + 1, HALF + 3), 2, 0);
}

#[test]
fn m10_m11_m12_cumulative_first_points_follow_ups_and_resets() {
    let mut rig = Rig::new(1);
    let mut send = |start, time, value: i64, boundary| {
        rig.send(0, &request(vec![sum("m", CUMULATIVE, true, vec![number(&[], start, time, int(value))])]));
        let out = rig.cut(boundary);
        (numbers(&out.cumulative), values(&out.delta))
    };
    let old = START - SECOND;
    let (whole, delta) = send(old, T, 100, T + 1);
    assert_eq!((whole[0].2, whole[0].3, whole[0].4), (old, T, 100.0), "alone it leaves whole");
    assert_eq!(delta, [0.0], "a start before ours is a baseline");
    assert_eq!(send(old, T + 10, 130, T + 20).1, [30.0]);
    assert_eq!(send(old, T + 30, 20, T + 40).1, [20.0], "M10: a fall is a reset");
    let (whole, delta) = send(T + 41, T + 50, 25, T + 60);
    assert_eq!((whole[0].2, whole[0].4), (T + 41, 25.0));
    assert_eq!(delta, [25.0], "M10: a new start is a reset");
    let (_, none) = send(T + 41, T + 45, 1000, T + 70);
    assert!(none.is_empty(), "M15: not newer, no effect");
    assert_eq!(rig.tally.settled(Effect::Superseded), 1);
    assert_eq!(rig.tally.noted(Note::Reset), 2);
    assert_eq!(rig.tally.settled(Effect::Baseline), 1);
}

#[test]
fn m11_unknown_start_and_m12_young_starts() {
    let check = |start: u64, want: f64| {
        let mut rig = Rig::new(1);
        rig.send(0, &request(vec![sum("m", CUMULATIVE, true, vec![number(&[], start, T, int(7))])]));
        assert_eq!(values(&rig.cut(T + 1).delta), [want], "start {start}");
    };
    check(T, 0.0);
    check(0, 0.0);
    check(START - 1, 0.0);
    check(START + 1, 7.0);
}

#[test]
fn m17_the_newest_gauge_wins_and_ties_are_deterministic() {
    let mut rig = Rig::new(2);
    let point = |time, v| request(vec![gauge("g", vec![number(&[], 0, time, double(v))])]);
    rig.send(0, &point(T + 2, 1.0));
    rig.send(1, &point(T + 3, 5.0));
    rig.send(0, &point(T + 3, 6.0));
    rig.send(0, &point(T + 1, 9.0));
    let out = rig.cut(T + 10);
    assert_eq!(numbers(&out.cumulative), [("g".into(), String::new(), 0, T + 3, 6.0)]);
    assert_eq!(numbers(&out.delta), numbers(&out.cumulative));
    rig.send(0, &point(T + 3, 100.0));
    rig.send(1, &point(T + 2, 100.0));
    assert!(rig.cut(T + 20).cumulative.is_empty(), "nothing newer");
}

#[test]
fn m18_non_monotonic_sums_add_and_leave_cumulative() {
    let mut rig = Rig::new(1);
    rig.send(0, &request(vec![sum("u", DELTA, false, vec![number(&[], T, T, int(5)), number(&[], T, T, int(-7))])]));
    let out = rig.cut(T + 10);
    assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![-2.0], vec![-2.0]));
    rig.send(0, &request(vec![sum("u", DELTA, false, vec![number(&[], T, T, int(10))])]));
    assert_eq!(values(&rig.cut(T + 20).delta), [8.0], "cumulative in every view");
    let mut send = |v| {
        rig.send(0, &request(vec![sum("w", CUMULATIVE, false, vec![number(&[], START + 1, T + v as u64, int(v))])]));
        values(&rig.cut(T + 30 + v as u64).cumulative)
    };
    assert_eq!(send(30), [30.0]);
    assert_eq!(send(31), [31.0]);
}

#[test]
fn m1_to_m3_m9_m27_m32_single_points_are_rejected_with_a_reason() {
    let check = |metric, reason: Reject| {
        let mut rig = Rig::new(1);
        let good = sum("good", DELTA, true, vec![number(&[], T, T, int(1))]);
        let receipt = rig.send(0, &request(vec![good, metric]));
        assert_eq!((receipt.points, receipt.rejected), (2, 1), "{reason:?}");
        assert!(receipt.message.as_deref().unwrap_or("").contains(reason.help()), "{receipt:?}");
        assert_eq!(rig.tally.rejected(reason), 1, "{reason:?}");
        assert_eq!(values(&rig.cut(T + 1).cumulative), [1.0], "the rest is applied");
    };
    check(sum("m", DELTA, true, vec![number(&[], 0, 0, int(1))]), Reject::NoTime);
    check(sum("m", DELTA, true, vec![number(&[], T, T, None)]), Reject::NoValue);
    check(sum("m", 0, true, vec![number(&[], T, T, int(1))]), Reject::NoTemporality);
    check(sum("m", 7, true, vec![number(&[], T, T, int(1))]), Reject::NoTemporality);
    check(sum("m", DELTA, true, vec![number(&[], T, T, int(-1))]), Reject::NegativeDelta);
    check(sum("m", DELTA, true, vec![number(&[], T, T, double(f64::NAN))]), Reject::NotFinite);
    check(sum("m", DELTA, true, vec![number(&[], T + 1, T, int(1))]), Reject::StartAfterTime);
    check(sum("m", DELTA, true, vec![number(&[("k", "1"), ("k", "2")], T, T, int(1))]), Reject::DuplicateAttribute);
    check(sum("", DELTA, true, vec![number(&[], T, T, int(1))]), Reject::EmptyName);
    check(sum(&"x".repeat(256), DELTA, true, vec![number(&[], T, T, int(1))]), Reject::LongName);
    let many: Vec<String> = (0..129).map(|i| format!("k{i}")).collect();
    let pairs: Vec<(&str, &str)> = many.iter().map(|k| (k.as_str(), "v")).collect();
    check(sum("m", DELTA, true, vec![number(&pairs, T, T, int(1))]), Reject::TooManyAttributes);
    let long = |length: usize| "x".repeat(length);
    check(sum("m", DELTA, true, vec![number(&[(&long(256), "v")], T, T, int(1))]), Reject::LongAttribute);
    check(sum("m", DELTA, true, vec![number(&[("k", &long(4_097))], T, T, int(1))]), Reject::LongAttribute);
    let mut unit = sum("m", DELTA, true, vec![number(&[], T, T, int(1))]);
    unit.unit = long(65);
    check(unit, Reject::LongUnit);
}

/// A point of tomorrow is rejected, and those of today go on; without it they would be superseded until then.
#[test]
fn points_dated_far_ahead_are_rejected() {
    let mut rig = Rig::new(1);
    rig.cores[0].accept_until(T + 5 * SECOND);
    let year = 365 * 86_400 * SECOND;
    let one = |v: i64, time: u64| {
        let mut bucket = histogram_point(&[], time, &[1, 0], &[1.0], 0.5);
        bucket.start_time_unix_nano = START;
        vec![
            gauge("g", vec![number(&[], 0, time, int(v))]),
            sum("c", CUMULATIVE, true, vec![number(&[], START, time, int(v))]),
            sum("d", DELTA, true, vec![number(&[], START, time, int(v))]),
            histogram("h", DELTA, vec![bucket]),
            summary("s", vec![summary_point(&[], START, time, v as u64, 1.0, &[(0.5, 1.0)])]),
        ]
    };
    for (v, time, rejected) in
        [(1, T, 0), (2, T + year, 5), (3, T + 5 * SECOND, 0), (4, T + 5 * SECOND + 1, 5), (5, u64::MAX, 5)]
    {
        assert_eq!(rig.send(0, &request(one(v, time))).rejected, rejected, "{v}");
    }
    assert_eq!(rig.tally.rejected(Reject::FarFuture), 15);
    let out = rig.cut(T + 6 * SECOND);
    let shown = numbers(&out.cumulative);
    assert_eq!(shown.iter().find(|row| row.0 == "g").map(|row| row.4), Some(3.0), "{shown:?}");
    assert_eq!(shown.iter().find(|row| row.0 == "d").map(|row| row.4), Some(4.0), "{shown:?}");
}

/// An answer names the first point of each reason: its metric and service, escaped and of bounded length.
#[test]
fn what_is_rejected_is_named() {
    let mut rig = Rig::with(1, 1, 300 * SECOND);
    let point = |k: &str, time| vec![number(&[("k", k)], 0, time, int(1))];
    let name = format!("m\n{}", "y".repeat(200));
    let receipt =
        rig.send(0, &request_of("shop\u{1b}", vec![gauge(&name, point("a", T)), gauge(&name, point("b", 0))]));
    let words = receipt.message.unwrap();
    assert!(words.contains(r#"(first: metric "m\nyyyy"#) && words.contains(r#"of service "shop\u{1b}""#), "{words}");
    assert!(words.len() < 400, "{words}");
    // and where a limit refuses it, known or new
    let receipt = rig.send(0, &request_of("other", vec![gauge("second", point("b", T + 1))]));
    assert!(receipt.message.unwrap().contains(r#"(first: metric "second" of service "other")"#));
}

/// Long texts of a resource or scope are cut, end in their hash, and cost no point; what differs behind the cut stays apart.
#[test]
fn long_texts_of_a_resource_are_cut_and_stay_distinct() {
    let mut rig = Rig::new(1);
    let long = |end: &str| format!("{}{end}", "x".repeat(7_000));
    let send = |rig: &mut Rig, end: &str, more: usize| {
        let mut one = request_of(&long(end), vec![sum("m", DELTA, true, vec![number(&[], T, T, int(1))])]);
        let resource = one.resource_metrics[0].resource.as_mut().unwrap();
        resource.attributes.extend((0..more).map(|i| attribute(&format!("r{i:03}"), &long(end))));
        one.resource_metrics[0].schema_url = long(end);
        let receipt = rig.send(0, &one);
        assert_eq!(receipt.rejected, 0, "{receipt:?}");
        receipt.message
    };
    for (series, end, more) in [(1, "a", 0), (2, "b", 0), (3, "a", 200), (4, "b", 200)] {
        let words = send(&mut rig, end, more).expect("a word on what was cut");
        assert!(words.contains("were cut") && words.contains("\"m\""), "{words}");
        assert_eq!(send(&mut rig, end, more), None, "it is said once");
        assert_eq!(rig.registry.live(), series);
    }
    assert!(rig.tally.noted(Note::TextsCut) >= 4);
    let out = rig.cut(T + SECOND);
    for request in &out.cumulative {
        for resource in &request.resource_metrics {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            assert!(attributes.len() <= 128 && resource.schema_url.len() <= 255);
            assert!(attributes.iter().all(|a| a.encoded_len() <= 4_096 + 255 + 16));
        }
    }
    assert_eq!(values(&out.cumulative), [2.0; 4]);
}

/// M6: descriptions identify nothing, however many come; the longest stays, up to its limit.
#[test]
fn m6_descriptions_make_no_streams() {
    let mut rig = Rig::new(1);
    let metric = |i: usize| {
        let mut one = sum("m", DELTA, true, vec![number(&[], T, T, int(1))]);
        one.description = format!("{i:0>width$}", width = 1 + i * 3);
        one
    };
    rig.send(0, &request(vec![metric(0)]));
    let before = rig.registry.bytes();
    for _ in 0..2 {
        assert_eq!(rig.send(0, &request((0..3_000).map(metric).collect())).rejected, 0);
    }
    assert_eq!(rig.registry.bytes(), before + 4_095, "the longest counts, and only it");
    let out = rig.cut(T + SECOND);
    assert_eq!(values(&out.delta), [6_001.0]);
    let shown = &out.delta[0].resource_metrics[0].scope_metrics[0].metrics[0].description;
    assert_eq!(shown.len(), 4_096);
}

#[test]
fn m6_m32_a_name_and_as_many_attributes_as_the_limits_have_and_duplicate_blocks_are_taken() {
    let mut rig = Rig::new(1);
    let many: Vec<String> = (0..128).map(|i| format!("k{i}")).collect();
    let pairs: Vec<(&str, &str)> = many.iter().map(|k| (k.as_str(), "v")).collect();
    let mut all = request(vec![sum(&"x".repeat(255), DELTA, true, vec![number(&pairs, T, T, int(1))])]);
    all.resource_metrics.push(all.resource_metrics[0].clone());
    assert_eq!(rig.send(0, &all).rejected, 0);
    assert_eq!(values(&rig.cut(T + 1).cumulative), [2.0]);
    assert_eq!(rig.registry.live(), 1);
}

#[test]
fn m7_no_recorded_value_changes_no_value_and_is_counted() {
    let mut rig = Rig::new(1);
    let mut point = number(&[], T, T, None);
    point.flags = 1;
    let flagged = point.clone();
    rig.send(0, &request(vec![gauge("g", vec![point.clone()]), sum("c", CUMULATIVE, true, vec![point])]));
    assert!(rig.cut(T + 1).cumulative.is_empty());
    assert_eq!(rig.tally.noted(Note::NoRecordedValue), 2);
    assert_eq!(rig.tally.emitted(), 2);
    let delta = |points| request(vec![sum("d", DELTA, true, points)]);
    rig.send(0, &delta(vec![flagged.clone(), flagged.clone()]));
    assert!(rig.cut(T + 2).cumulative.is_empty(), "no value is not 0");
    rig.send(0, &delta(vec![flagged.clone(), number(&[], T, T, int(3)), flagged.clone()]));
    assert_eq!(values(&rig.cut(T + 3).delta), [3.0]);
    rig.send(0, &delta(vec![flagged.clone()]));
    let ended = numbers(&rig.cut(T + 4).cumulative);
    assert!(ended.len() == 1 && ended[0].4.is_nan(), "nor is it the last value: the series ends: {ended:?}");
    let late = opentelemetry_proto::tonic::metrics::v1::NumberDataPoint { start_time_unix_nano: T + 1, ..flagged };
    assert_eq!(rig.send(0, &delta(vec![late])).rejected, 1, "the times are judged all the same");
    assert_eq!(rig.tally.rejected(Reject::StartAfterTime), 1);
}

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
            // the process begins anew, and its clock was set back meanwhile
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

#[test]
fn m31_ints_meet_doubles_and_overflow() {
    let mut rig = Rig::new(2);
    let point = |v| request(vec![sum("m", DELTA, true, vec![number(&[], T, T, v)])]);
    rig.send(0, &point(int(i64::MAX)));
    assert_eq!(values(&rig.cut(T + 1).cumulative), [i64::MAX as f64]);
    rig.send(1, &point(int(1)));
    let out = rig.cut(T + 2);
    assert_eq!(values(&out.cumulative), [i64::MAX as f64 + 1.0]);
    assert_eq!(rig.tally.noted(Note::IntOverflow), 1);
    rig.send(0, &point(int(2)));
    rig.send(0, &point(double(0.5)));
    assert_eq!(values(&rig.cut(T + 3).delta), [2.5]);
}

#[test]
fn a_delta_and_a_cumulative_stream_of_one_identity_are_added() {
    let mut rig = Rig::new(2);
    rig.send(0, &request(vec![sum("m", CUMULATIVE, true, vec![number(&[], START + 1, T, int(10))])]));
    rig.send(1, &request(vec![sum("m", DELTA, true, vec![number(&[], T, T, int(3))])]));
    let out = rig.cut(T + 1);
    assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![13.0], vec![13.0]));
    rig.send(0, &request(vec![sum("m", CUMULATIVE, true, vec![number(&[], START + 1, T + 5, int(14))])]));
    let out = rig.cut(T + 10);
    assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![17.0], vec![4.0]));
}

#[test]
fn m30_over_the_limit_deltas_overflow_and_the_rest_is_rejected() {
    let mut rig = Rig::with(1, 10, 300 * SECOND);
    let names: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let points: Vec<_> = names.iter().map(|n| number(&[("k", n)], T, T, int(2))).collect();
    for _ in 0..2 {
        let receipt = rig.send(0, &request(vec![sum("m", DELTA, true, points.clone())]));
        assert_eq!(receipt.rejected, 0, "every point is in a series");
    }
    let out = rig.cut(T + 1);
    let all = numbers(&out.cumulative);
    assert_eq!(all.len(), 11);
    assert_eq!(all.iter().map(|n| n.4).sum::<f64>(), 200.0);
    let overflow = all.iter().find(|n| n.1.contains("otel.metric.overflow")).expect("overflow series");
    assert_eq!(overflow.4, 160.0);
    assert_eq!(rig.tally.noted(Note::Overflowed), 80);
    let receipt = rig.send(0, &request(vec![gauge("g", vec![number(&[], 0, T, int(1))])]));
    assert_eq!(receipt.rejected, 1);
    assert_eq!(rig.tally.rejected(Reject::SeriesLimit), 1);
}

#[test]
fn a_malformed_request_changes_nothing() {
    use prost::Message;
    let mut rig = Rig::new(1);
    let good = request(vec![sum("m", DELTA, true, vec![number(&[("a", "1")], T, T, int(1))])]);
    rig.send(0, &good);
    rig.cut(T + 1);
    let mut refused = 0;
    for i in 0..1000 {
        let name = format!("new.{i}");
        let bytes = request(vec![sum(&name, DELTA, true, vec![number(&[("a", &name)], T, T, int(1))])]).encode_to_vec();
        let cut = 1 + (i * 7919) % (bytes.len() - 1);
        refused += u64::from(rig.send_bytes(0, &bytes[..cut]).is_err());
    }
    assert_eq!(refused, 1000, "a truncated request is never a request");
    assert_eq!(rig.registry.live(), 1);
    assert_eq!(rig.registry.group_count(), 1);
    assert_eq!(rig.tally.noted(Note::Malformed), 1000);
    assert!(rig.cut(T + 2).cumulative.is_empty());
}

#[test]
fn an_idle_series_dies_in_two_cuts_and_comes_back_as_a_new_one() {
    for cores in [1, 2] {
        let mut rig = Rig::with(cores, 1_000_000, 60 * SECOND);
        let send = |rig: &mut Rig, v| {
            let hist = histogram("h", DELTA, vec![histogram_point(&[("a", "1")], T, &[1, 2], &[5.0], 3.5)]);
            let points = vec![number(&[("a", "1")], T, T, int(v)), number(&[("a", "2")], T, T, int(v))];
            rig.send(0, &request(vec![sum("m", DELTA, true, points.clone()), hist.clone()]));
            rig.send(1, &request(vec![sum("m", DELTA, true, points), hist]));
        };
        send(&mut rig, 3);
        rig.cut(T);
        assert_eq!(rig.registry.live(), 3);
        for i in 1..=8 {
            // touched now and then by points of one series only: it must stay
            rig.send(i, &request(vec![sum("m", DELTA, true, vec![number(&[("a", "1")], T, T, int(1))])]));
            rig.cut(T + i as u64 * 10 * SECOND);
        }
        assert_eq!(rig.registry.live(), 1, "{cores} cores: the others expired");
        assert_eq!(rig.tally.noted(Note::SeriesExpired), 2);
        send(&mut rig, 7);
        let out = rig.cut(T + 100 * SECOND);
        let twice = 2.0;
        assert_eq!(values(&out.cumulative), [6.0 + 8.0 + 7.0 * twice, 7.0 * twice], "a=1 goes on, a=2 began anew");
        assert_eq!(numbers(&out.cumulative)[1].2, T + 80 * SECOND, "with a new start (M16)");
        assert_eq!(rig.registry.live(), 3);
        // a long time of coming and going leaves nothing behind
        let routes = rig.cores[0].routes();
        for i in 0..40u64 {
            rig.cut(T + (110 + i * 70) * SECOND);
            send(&mut rig, 1);
        }
        assert!(rig.cores[0].routes() <= routes + 1, "routes are freed");
    }
}

/// Series `k`=… of a delta sum, alive at the cut before and dead after the last of these.
fn die(rig: &mut Rig, points: Vec<opentelemetry_proto::tonic::metrics::v1::NumberDataPoint>) {
    rig.send(0, &request(vec![sum("m", DELTA, true, points)]));
    for after in [0, 60, 61] {
        rig.cut(T + after * SECOND);
    }
    assert_eq!(rig.registry.live(), 0);
}

#[test]
fn a_dead_series_comes_back_by_two_routes_and_keeps_the_points_of_both() {
    let mut rig = Rig::with(1, 1_000_000, 60 * SECOND);
    let point = |pairs: &[(&str, &str)], v| number(pairs, T, T, int(v));
    die(&mut rig, vec![point(&[("a", "1"), ("b", "2")], 1)]);
    // bytes that are new make the series, then bytes that led into the dead one find it
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point(&[("b", "2"), ("a", "1")], 3)])]));
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point(&[("a", "1"), ("b", "2")], 5)])]));
    assert_eq!(values(&rig.cut(T + 70 * SECOND).delta), [8.0]);
}

#[test]
fn m30_a_dead_series_that_may_not_come_back_overflows_or_is_rejected_every_time() {
    let mut rig = Rig::with(1, 1, 60 * SECOND);
    let point = |k: &str, v| number(&[("k", k)], T, T, int(v));
    die(&mut rig, vec![point("old", 1)]);
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("new", 2)])]));
    for _ in 0..3 {
        assert_eq!(rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("old", 5)])])).rejected, 0);
    }
    let out = numbers(&rig.cut(T + 70 * SECOND).delta);
    assert_eq!(out.iter().map(|n| n.4).collect::<Vec<_>>(), [2.0, 15.0]);
    assert!(out[1].1.contains("otel.metric.overflow"));
    // what cannot overflow is rejected, the second time too
    let mut rig = Rig::with(1, 1, 60 * SECOND);
    let gauge_at = |time| request(vec![gauge("g", vec![number(&[], 0, time, int(1))])]);
    rig.send(0, &gauge_at(T));
    for after in [0, 60, 61] {
        rig.cut(T + after * SECOND);
    }
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("new", 2)])]));
    for i in 0..3 {
        assert_eq!(rig.send(0, &gauge_at(T + i)).rejected, 1);
    }
    assert_eq!(values(&rig.cut(T + 70 * SECOND).cumulative), [2.0]);
    assert_eq!(rig.tally.rejected(Reject::SeriesLimit), 3);
}

#[test]
fn groups_of_clients_that_come_and_go_are_forgotten() {
    let mut rig = Rig::with(2, 1_000_000, 60 * SECOND);
    let mut most = 0;
    for i in 0..200u64 {
        // each client lives for one export, as short-lived jobs do
        let service = format!("job-{i}");
        let now = T + i * 10 * SECOND;
        let points = vec![number(&[("a", "1")], now, now, int(1)), number(&[("a", "2")], now, now, int(1))];
        rig.send(i as usize, &request_of(&service, vec![sum("m", DELTA, true, points)]));
        assert_eq!(values(&rig.cut(now + 1).cumulative), [1.0, 1.0]);
        rig.sweep(6);
        most = most.max(rig.registry.group_count());
    }
    assert!(most <= 24, "{most} groups at once, of 200");
    assert_eq!(rig.tally.noted(Note::SeriesBorn), 400);
    assert!(rig.registry.live() <= 48);
    // and one that comes back is found again
    let now = T + 5000 * SECOND;
    let again = request_of("job-0", vec![sum("m", DELTA, true, vec![number(&[("a", "1")], now, now, int(5))])]);
    rig.send(0, &again);
    rig.send(1, &again);
    assert_eq!(values(&rig.cut(now + 1).cumulative), [10.0]);
}

#[test]
fn m19_to_m22_histograms_move_as_one() {
    let mut rig = Rig::new(2);
    let point = |counts: &[u64], sum| histogram("h", DELTA, vec![histogram_point(&[], T, counts, &[1.0, 2.0], sum)]);
    rig.send(0, &request(vec![point(&[1, 0, 2], 7.5)]));
    rig.send(1, &request(vec![point(&[0, 5, 0], 8.5)]));
    let out = rig.cut(T + 1);
    let first = histograms(&out.cumulative);
    assert_eq!((first[0].count, first[0].sum, &first[0].bucket_counts[..]), (8, Some(16.0), &[1, 5, 2][..]));
    assert_eq!((first[0].min, first[0].max), (Some(0.5), Some(9.0)));
    rig.send(0, &request(vec![point(&[1, 1, 1], 3.0)]));
    let out = rig.cut(T + 2);
    assert_eq!(histograms(&out.cumulative)[0].bucket_counts, [2, 6, 3]);
    assert_eq!((histograms(&out.delta)[0].count, histograms(&out.delta)[0].min), (3, Some(0.5)));
    // M21: other bounds are another stream
    rig.send(0, &request(vec![histogram("h", DELTA, vec![histogram_point(&[], T, &[1, 1], &[1.0], 3.0)])]));
    assert_eq!(histograms(&rig.cut(T + 3).cumulative)[0].bucket_counts, [1, 1]);
    let bad: [(&[u64], &[f64]); 4] =
        [(&[1, 2], &[1.0, 2.0]), (&[1, 2, 3], &[2.0, 1.0]), (&[1, 2, 3], &[1.0, f64::NAN]), (&[], &[1.0])];
    for (counts, bounds) in bad {
        let receipt =
            rig.send(0, &request(vec![histogram("h", DELTA, vec![histogram_point(&[], T, counts, bounds, 1.0)])]));
        assert_eq!(receipt.rejected, 1, "{counts:?} {bounds:?}");
    }
    let mut lies = histogram_point(&[], T, &[1, 1], &[1.0], 3.0);
    lies.count = 3;
    assert_eq!(rig.send(0, &request(vec![histogram("h", DELTA, vec![lies])])).rejected, 1);
    assert_eq!(rig.tally.rejected(Reject::BadHistogram), 5);
}

#[test]
fn m22_cumulative_histograms_leave_whole_and_as_increments_without_extremes() {
    let mut rig = Rig::new(1);
    let mut send = |start, time, counts: &[u64], sum| {
        let mut p = histogram_point(&[], time, counts, &[1.0], sum);
        p.start_time_unix_nano = start;
        rig.send(0, &request(vec![histogram("h", CUMULATIVE, vec![p])]));
        let out = rig.cut(time + 1);
        (histograms(&out.cumulative).remove(0), histograms(&out.delta).remove(0))
    };
    let (whole, step) = send(START - 5, T, &[4, 4], 10.0);
    assert_eq!((whole.count, whole.start_time_unix_nano, step.count), (8, START - 5, 0));
    let (whole, step) = send(START - 5, T + 10, &[5, 6], 14.0);
    assert_eq!((whole.count, &step.bucket_counts[..], step.sum), (11, &[1, 2][..], Some(4.0)));
    assert_eq!((whole.min, step.min, step.max), (Some(0.5), None, None));
    let (_, step) = send(START - 5, T + 20, &[1, 1], 2.0);
    assert_eq!(step.bucket_counts, [1, 1], "a fall is a reset");
}

#[test]
fn m22_points_of_a_cumulative_histogram_that_count_whole_lose_their_extremes() {
    let mut rig = Rig::new(1);
    // (start, time, count): a first point and a fall; a fall behind a cut; a new start behind a cut
    let intervals: [(&[(u64, u64, u64)], u64); 3] =
        [(&[(1, 1, 9), (1, 2, 3)], 12), (&[(1, 10, 2)], 2), (&[(11, 20, 5)], 5)];
    for (points, want) in intervals {
        for (start, time, n) in points {
            let mut h = histogram_point(&[], T + time, &[*n, 0], &[1.0], *n as f64);
            let mut e = exponential_point(&[], START + start, T + time, 0, 0, &[*n]);
            (h.start_time_unix_nano, e.min, e.max) = (START + start, Some(0.5), Some(9.0));
            rig.send(0, &request(vec![histogram("h", CUMULATIVE, vec![h]), exponential("e", CUMULATIVE, vec![e])]));
        }
        let out = rig.cut(T + points[0].1 + 5);
        let (h, e) = (histograms(&out.delta).remove(0), exponentials(&out.delta).remove(0));
        assert_eq!((h.count, h.sum, h.min, h.max), (want, Some(want as f64), None, None));
        assert_eq!((e.sum, e.min, e.max), (Some(want as f64), None, None));
        let (h, e) = (histograms(&out.cumulative).remove(0), exponentials(&out.cumulative).remove(0));
        assert_eq!((h.min, h.max, e.min, e.max), (Some(0.5), Some(9.0), Some(0.5), Some(9.0)), "whole they keep them");
    }
}

#[test]
fn m22_a_sum_of_no_values_is_there_if_every_point_had_one() {
    let check = |sums: [Option<f64>; 3], want: Option<f64>| {
        let mut rig = Rig::new(2);
        for (core, sum) in sums.into_iter().enumerate() {
            let mut h = histogram_point(&[], T, &[0, 0], &[1.0], 0.0);
            let mut e = exponential_point(&[], T, T, 0, 0, &[]);
            (h.sum, e.sum, e.count, e.zero_count) = (sum, sum, 0, 0);
            let receipt =
                rig.send(core, &request(vec![histogram("h", DELTA, vec![h]), exponential("e", DELTA, vec![e])]));
            assert_eq!(receipt.rejected, 0);
        }
        let out = rig.cut(T + 1);
        for view in [&out.cumulative, &out.delta] {
            assert_eq!((histograms(view)[0].count, histograms(view)[0].sum), (0, want), "{sums:?}");
            assert_eq!((exponentials(view)[0].count, exponentials(view)[0].sum), (0, want), "{sums:?}");
        }
        let (h, e) = (histogram_point(&[], T, &[1, 0], &[1.0], 0.5), exponential_point(&[], T, T, 0, 0, &[2]));
        rig.send(0, &request(vec![histogram("h", DELTA, vec![h]), exponential("e", DELTA, vec![e])]));
        let out = rig.cut(T + 2);
        for view in [&out.cumulative, &out.delta] {
            assert_eq!(histograms(view)[0].sum, Some(0.5), "values without a sum there were none");
            assert_eq!(exponentials(view)[0].sum, Some(2.0));
        }
    };
    check([Some(0.0); 3], Some(0.0));
    check([Some(0.0), None, Some(0.0)], None);
    check([None; 3], None);
}

#[test]
fn m23_exponential_histograms_merge_and_difference() {
    let mut rig = Rig::new(2);
    let point = |scale, offset, counts: &[u64], temporality, start, time| {
        exponential("e", temporality, vec![exponential_point(&[], start, time, scale, offset, counts)])
    };
    rig.send(0, &request(vec![point(3, 0, &[1, 2, 3], DELTA, T, T)]));
    rig.send(1, &request(vec![point(2, 0, &[4, 1], DELTA, T, T)]));
    let out = rig.cut(T + 1);
    let e = exponentials(&out.cumulative).remove(0);
    assert_eq!((e.count, e.scale), (11 + 2, 2));
    assert_eq!(e.positive.unwrap().bucket_counts, [1 + 2 + 4, 3 + 1]);
    let mut rig = Rig::new(1);
    rig.send(0, &request(vec![point(3, 0, &[1, 2], CUMULATIVE, START - 1, T)]));
    rig.cut(T + 1);
    rig.send(0, &request(vec![point(3, 0, &[1, 5], CUMULATIVE, START - 1, T + 5)]));
    let out = rig.cut(T + 10);
    assert_eq!(exponentials(&out.delta)[0].positive.as_ref().unwrap().bucket_counts, [3]);
    assert_eq!(exponentials(&out.cumulative)[0].positive.as_ref().unwrap().bucket_counts, [1, 5]);
}

/// Long attributes count towards the memory limit, and no longer once their series expired; so do resources.
#[test]
fn long_attributes_count_towards_the_memory_limit() {
    const LONG: usize = 100_000;
    let mut rig = Rig::within(1, 1_000_000, 8 << 20, 10 * SECOND);
    let before = rig.registry.bytes();
    let send = |rig: &mut Rig, from: usize, long_resource: bool| {
        let mut applied = 0;
        for i in from..from + 200 {
            let long = format!("{i}{}", "x".repeat(LONG));
            // as many attributes as are as long together
            let keys: Vec<String> = (0..LONG / 4_000).map(|k| format!("k{k}")).collect();
            let texts: Vec<(&str, &str)> = keys.iter().map(|k| (k.as_str(), &long[..4_000])).collect();
            let point = number(if long_resource { &[] } else { &texts }, START, START + SECOND, int(1));
            let mut one = request_of("svc", vec![gauge("m", vec![point])]);
            if long_resource {
                one.resource_metrics[0].resource.as_mut().unwrap().attributes.extend(attributes(&texts));
            }
            let receipt = rig.send(0, &one);
            applied += 1 - receipt.rejected;
        }
        applied
    };
    for (from, long_resource) in [(0, false), (1_000, true), (2_000, false)] {
        let applied = send(&mut rig, from, long_resource);
        assert!((20..=80).contains(&applied), "{applied} of 200 within 8 MiB, long_resource: {long_resource}");
        assert!(rig.registry.bytes() < (8 << 20) + 4 * LONG, "{}", rig.registry.bytes());
        for cut in 0..8 {
            rig.cut(START + (from as u64 + 20 * (cut + 1)) * SECOND);
        }
        rig.sweep(2);
        let left = rig.registry.bytes() - before;
        // slabs keep their chunks
        assert!(left < 2 << 20, "{left} bytes of {} series left after all expired", rig.registry.live());
    }
}

/// A batch ends behind a series with long attributes as it does behind many short ones.
#[test]
fn batches_of_long_attributes_stay_within_their_bytes() {
    let mut rig = Rig::new(1);
    let long = "x".repeat(4_000);
    let keys: Vec<String> = (0..25).map(|k| format!("k{k}")).collect();
    let point = |i: usize| {
        let texts: Vec<String> = keys.iter().map(|_| format!("{i}{long}")).collect();
        let pairs: Vec<(&str, &str)> = keys.iter().zip(&texts).map(|(k, text)| (k.as_str(), text.as_str())).collect();
        number(&pairs, START, START + SECOND, int(1))
    };
    rig.send(0, &request(vec![gauge("m", (0..100).map(point).collect())]));
    let out = rig.cut(START + 10 * SECOND);
    let sizes: Vec<usize> = out.cumulative.iter().map(Message::encoded_len).collect();
    assert!(
        sizes.len() >= 4 && sizes.iter().all(|size| *size <= catchment::limits::BATCH_BYTES_MAX + 200_000),
        "{sizes:?}"
    );
}

const INTERVAL: u64 = 10 * SECOND;
const HOUR: u64 = 3_600 * SECOND;

/// One cut of series fed at every other one, an interval after the last, while the wall clock is ahead by `ahead`. What
/// the delta sum and the cumulative one show.
fn at_every_other_cut(rig: &mut Rig, n: u64, ahead: u64, from: u64) -> Vec<(String, String, u64, u64, f64)> {
    if n.is_multiple_of(2) {
        let time = T + n * INTERVAL;
        let deltas = vec![number(&[], time, time, int(10))];
        let totals = vec![number(&[], START + SECOND, time, int(10 * (n as i64 / 2 + 1)))];
        let hist = histogram("h", DELTA, vec![histogram_point(&[], time, &[1, 2], &[5.0], 3.5)]);
        rig.send(n as usize, &request(vec![sum("d", DELTA, true, deltas), sum("c", CUMULATIVE, true, totals), hist]));
    }
    let mono_ns = T + (n + 1) * INTERVAL;
    let boundary_ns = mono_ns + ahead;
    let out = rig.cut_at(Times { from_ns: from, boundary_ns, mono_ns });
    for point in numbers(&out.delta) {
        assert_eq!((point.2, point.3), (from, boundary_ns), "cut {n}: the window");
    }
    for point in histograms(&out.cumulative) {
        assert!(point.start_time_unix_nano < point.time_unix_nano, "cut {n}: {point:?}");
        assert_eq!((point.count, point.time_unix_nano), (3 * (n / 2 + 1), boundary_ns), "cut {n}");
    }
    let shown = numbers(&out.cumulative);
    shown.iter().for_each(|point| assert!(point.2 < point.3, "cut {n}: {point:?}"));
    shown
}

/// A wall clock that steps expires nothing alive, loses and doubles nothing, and when it comes back so do the times.
#[test]
fn a_wall_clock_that_steps_forgets_nothing_and_pins_nothing() {
    for ahead in [HOUR, 8_760 * HOUR] {
        for first_ahead in [0, 4] {
            let mut rig = Rig::with(2, 1_000_000, 300 * SECOND);
            let mut from = START;
            for n in 0..24 {
                let now_ahead = if (first_ahead..14).contains(&n) { ahead } else { 0 };
                let boundary = T + (n + 1) * INTERVAL + now_ahead;
                // as the control makes windows
                from = if from < boundary { from.max(boundary - 2 * INTERVAL) } else { boundary - INTERVAL };
                let shown = at_every_other_cut(&mut rig, n, now_ahead, from);
                from = boundary;
                if n.is_multiple_of(2) {
                    let total = 10.0 * (n as f64 / 2.0 + 1.0);
                    assert_eq!(shown.iter().map(|point| point.4).collect::<Vec<_>>(), [total; 2], "cut {n}");
                    assert_eq!(shown[1].3, boundary, "the delta sum is stamped with the clock");
                }
            }
            assert_eq!(rig.registry.live(), 3);
            assert_eq!(rig.tally.noted(Note::SeriesExpired), 0);
            assert!(rig.tally.balanced());
            // and they do expire, by time that passes
            for n in 24..56 {
                let mono_ns = T + (n + 1) * INTERVAL;
                rig.cut_at(Times { from_ns: mono_ns - INTERVAL, boundary_ns: mono_ns, mono_ns });
            }
            assert_eq!(rig.tally.noted(Note::SeriesExpired), 3);
        }
    }
}
