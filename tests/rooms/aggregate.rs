//! The rules of sums and gauges (conformance M…), one by one, on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::{Effect, Note};
use catchment::model::Reject;

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
