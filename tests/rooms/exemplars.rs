//! M29: exemplars go out with their series' value, the newest four of an interval, and never change it; M2: one without
//! a value is dropped and counted, the point is not. T: memory for them is bounded.

use crate::common::*;
use catchment::ledger::Note;
use catchment::limits::{EXEMPLAR_BYTES_MAX, EXEMPLARS_BYTES_MAX};
use catchment::wire::Reader;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, Exemplar, exemplar::Value};
use prost::Message;

const T: u64 = START + 10 * SECOND;

fn exemplar(time: u64, value: f64) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(&[("user", "u1")]),
        time_unix_nano: time,
        value: Some(Value::AsDouble(value)),
        span_id: vec![time as u8; 8],
        trace_id: vec![value as u8; 16],
    }
}

/// One metric of one series, with these exemplars.
type Make = fn(u64, Vec<Exemplar>) -> pb::Metric;

fn number_of(time: u64, exemplars: Vec<Exemplar>) -> pb::NumberDataPoint {
    pb::NumberDataPoint { exemplars, ..number(&[("k", "v")], START + 5, time, int(time as i64)) }
}

const KINDS: [(&str, Make); 9] = [
    ("gauge", |t, e| gauge("m", vec![number_of(t, e)])),
    ("delta sum", |t, e| sum("m", 1, true, vec![number_of(t, e)])),
    ("cumulative sum", |t, e| sum("m", 2, true, vec![number_of(t, e)])),
    ("sum that may fall", |t, e| sum("m", 2, false, vec![number_of(t, e)])),
    ("sum of doubles", |t, e| {
        let point = number_of(t, e);
        sum("m", 1, true, vec![pb::NumberDataPoint { value: double(1.5), ..point }])
    }),
    ("delta histogram", |t, e| histogram("m", 1, vec![histogram_of(t, e)])),
    ("cumulative histogram", |t, e| histogram("m", 2, vec![histogram_of(t, e)])),
    ("delta exponential histogram", |t, e| exponential("m", 1, vec![exponential_of(t, e)])),
    ("cumulative exponential histogram", |t, e| exponential("m", 2, vec![exponential_of(t, e)])),
];

fn histogram_of(time: u64, exemplars: Vec<Exemplar>) -> pb::HistogramDataPoint {
    pb::HistogramDataPoint { exemplars, ..histogram_point(&[("k", "v")], time, &[time, 0], &[1.0], 0.5) }
}

fn exponential_of(time: u64, exemplars: Vec<Exemplar>) -> pb::ExponentialHistogramDataPoint {
    let point = exponential_point(&[("k", "v")], START + 5, time, 3, 0, &[time]);
    pb::ExponentialHistogramDataPoint { exemplars, ..point }
}

/// The points that left, each without its exemplars, and these.
fn left(requests: &[ExportMetricsServiceRequest]) -> Vec<(String, Vec<Exemplar>)> {
    let apart = |point: Any| match point {
        Any::Number(mut p) => (std::mem::take(&mut p.exemplars), format!("{p:?}")),
        Any::Histogram(mut p) => (std::mem::take(&mut p.exemplars), format!("{p:?}")),
        Any::Exponential(mut p) => (std::mem::take(&mut p.exemplars), format!("{p:?}")),
        Any::Summary(p) => (Vec::new(), format!("{p:?}")),
    };
    requests.iter().flat_map(each_point).map(|(_, _, point)| apart(point)).map(|(e, p)| (p, e)).collect()
}

#[test]
fn m29_exemplars_of_every_kind_leave_whole_in_both_views_and_change_nothing() {
    let mut bare = exemplar(T + 1, 0.25);
    (bare.filtered_attributes, bare.span_id, bare.trace_id) = (Vec::new(), Vec::new(), Vec::new());
    let int = Exemplar {
        value: Some(Value::AsInt(-7)),
        filtered_attributes: attributes(&[("b", ""), ("a", "x")]),
        ..bare.clone()
    };
    let all = vec![exemplar(T - 9, 3.0), exemplar(T, f64::INFINITY), int, bare];
    for (kind, make) in KINDS {
        let (mut rig, mut plain) = (Rig::new(1), Rig::new(1));
        for (i, round) in (0..3).map(|i| (i, T + i * 10 * SECOND)) {
            // known and new series alike; in the last round there are none
            let sent = if i < 2 { all.clone() } else { Vec::new() };
            assert_eq!(rig.send(0, &request(vec![make(round, sent.clone())])).rejected, 0, "{kind}");
            plain.send(0, &request(vec![make(round, Vec::new())]));
            let (out, without) = (rig.cut(round + SECOND), plain.cut(round + SECOND));
            for (view, without) in [(&out.cumulative, &without.cumulative), (&out.delta, &without.delta)] {
                let (view, without) = (left(view), left(without));
                assert_eq!((view.len(), &view[0].0), (1, &without[0].0), "{kind}: the value is as without");
                let mut expected = sent.clone();
                // by time, then by the bits of the value
                expected.sort_by_key(|e| {
                    (
                        e.time_unix_nano,
                        match e.value {
                            Some(Value::AsInt(v)) => v as u64,
                            Some(Value::AsDouble(v)) => v.to_bits(),
                            None => 0,
                        },
                    )
                });
                assert_eq!(view[0].1, expected, "{kind}");
            }
        }
        assert_eq!((rig.tally.noted(Note::Exemplars), rig.tally.noted(Note::ExemplarsDropped)), (8, 0), "{kind}");
        assert_eq!(rig.tally.open(), plain.tally.open());
    }
}

#[test]
fn m2_m5_m29_what_is_invalid_is_dropped_and_counted_and_its_point_is_not() {
    let good = exemplar(T, 1.0);
    for (what, bad) in [
        ("M2: no value", Exemplar { value: None, ..good.clone() }),
        ("a short trace id", Exemplar { trace_id: vec![1; 15], ..good.clone() }),
        ("a long span id", Exemplar { span_id: vec![1; 9], ..good.clone() }),
        ("ids the other way round", Exemplar { trace_id: vec![1; 8], span_id: vec![1; 16], ..good.clone() }),
        ("a key twice", Exemplar { filtered_attributes: attributes(&[("a", "1"), ("a", "1")]), ..good.clone() }),
        (
            "too long",
            Exemplar { filtered_attributes: attributes(&[("a", &"x".repeat(EXEMPLAR_BYTES_MAX))]), ..good.clone() },
        ),
    ] {
        for (kind, make) in KINDS {
            let mut rig = Rig::new(1);
            for round in [T, T + 10 * SECOND] {
                let receipt = rig.send(0, &request(vec![make(round, vec![bad.clone(), good.clone(), bad.clone()])]));
                assert_eq!((receipt.points, receipt.rejected), (1, 0), "{what}, {kind}");
                let out = left(&rig.cut(round + SECOND).cumulative);
                assert_eq!((out.len(), &out[0].1), (1, &vec![good.clone()]), "{what}, {kind}");
            }
            assert_eq!((rig.tally.noted(Note::Exemplars), rig.tally.noted(Note::ExemplarsDropped)), (6, 4), "{what}");
        }
    }
}

#[test]
fn m29_the_newest_four_stay_whoever_brings_them_in_whatever_order() {
    let all: Vec<Exemplar> = (0..40).map(|i| exemplar(T + i / 2, (i % 2) as f64)).collect();
    let expected = all[36..].to_vec();
    for (kind, make) in KINDS {
        for cores in [1, 3] {
            for step in [1, 7, 13, 39] {
                let mut rig = Rig::new(cores);
                for i in 0..40 {
                    let one = all[i * step % 40].clone();
                    // one that comes twice is there once
                    rig.send(i, &request(vec![make(T + i as u64, vec![one.clone(), one])]));
                }
                let out = left(&rig.cut(T + SECOND).cumulative);
                assert_eq!((out.len(), &out[0].1), (1, &expected), "{kind}, {cores} cores, step {step}");
                assert!(rig.cut(T + 2 * SECOND).cumulative.is_empty(), "{kind}: they do not leave alone, nor twice");
            }
        }
    }
}

#[test]
fn m7_a_point_without_a_value_has_no_exemplars_and_a_rejected_one_neither() {
    let mut rig = Rig::new(1);
    let with = |point| pb::NumberDataPoint { exemplars: vec![exemplar(T, 1.0)], ..point };
    rig.send(0, &request(vec![sum("m", 1, true, vec![number_of(T, Vec::new())])]));
    let flagged = pb::NumberDataPoint { flags: 1, ..with(number_of(T, Vec::new())) };
    let negative = with(number(&[("k", "v")], START + 5, T, int(-1)));
    let receipt = rig.send(0, &request(vec![sum("m", 1, true, vec![flagged, negative])]));
    assert_eq!((receipt.points, receipt.rejected), (2, 1));
    assert!(left(&rig.cut(T + SECOND).cumulative)[0].1.is_empty());
    assert_eq!(rig.tally.noted(Note::Exemplars), 0);
}

#[test]
fn m29_m30_each_series_has_its_own_even_where_others_cannot_be_born() {
    // one series fits: gauges beyond it are rejected, deltas go to the overflow series, each with what is theirs
    let mut rig = Rig::with(1, 1, 300 * SECOND);
    let of = |name: &str, i: u64| pb::NumberDataPoint {
        exemplars: vec![exemplar(T + i, i as f64)],
        ..number(&[("k", name)], START + 5, T, int(1))
    };
    let gauges = gauge("g", (0..4).map(|i| of(["a", "b", "a", "c"][i as usize], i)).collect());
    let sums = sum("s", 1, true, (10..14).map(|i| of(["a", "b", "c", "d"][i as usize - 10], i)).collect());
    for round in 0..2 {
        let receipt = rig.send(0, &request(vec![gauges.clone(), sums.clone()]));
        assert_eq!(receipt.rejected, 2, "round {round}");
        let out = left(&rig.cut(T + SECOND).cumulative);
        let times = |of: &(String, Vec<Exemplar>)| of.1.iter().map(|e| e.time_unix_nano - T).collect::<Vec<_>>();
        let mut all: Vec<Vec<u64>> = out.iter().map(times).collect();
        all.sort();
        let expected: &[&[u64]] = if round == 0 { &[&[0, 2], &[10, 11, 12, 13]] } else { &[&[10, 11, 12, 13]] };
        assert_eq!(all, expected, "round {round}: a gauge that is not newer does not leave");
    }
}

#[test]
fn m29_memory_for_exemplars_is_bounded_and_what_has_no_room_is_counted() {
    let mut rig = Rig::new(1);
    let long = "x".repeat(900);
    let of = |i: u64| pb::NumberDataPoint {
        exemplars: vec![Exemplar { filtered_attributes: attributes(&[("a", &long)]), ..exemplar(T, 1.0) }],
        ..number(&[("k", &i.to_string())], START + 5, T, int(1))
    };
    for round in 1..4u64 {
        for chunk in 0..20 {
            let points = (chunk * 200..(chunk + 1) * 200).map(of).collect();
            assert_eq!(rig.send(0, &request(vec![sum("m", 1, true, points)])).rejected, 0);
        }
        let out = rig.cut(T + round * 10 * SECOND);
        let points = left(&out.cumulative);
        let kept: usize = points.iter().map(|(_, e)| e.iter().map(Message::encoded_len).sum::<usize>()).sum();
        let count: u64 = points.iter().map(|(_, e)| e.len() as u64).sum();
        assert!(kept <= EXEMPLARS_BYTES_MAX && kept > EXEMPLARS_BYTES_MAX / 10 * 8, "{kept} bytes");
        assert_eq!((points.len(), values(&out.delta).iter().sum::<f64>()), (4_000, 4_000.0), "all points count");
        let (taken, dropped) = (rig.tally.noted(Note::Exemplars), rig.tally.noted(Note::ExemplarsDropped));
        assert_eq!((taken, dropped), (round * 4_000, round * (4_000 - count)), "what is missing is counted");
        // requests of exemplars are cut at their bytes
        assert!(out.cumulative.iter().all(|r| r.encoded_len() < 3 << 20));
    }
}

/// Times of the exemplars that a scrape of `cut` finds of all series.
fn shown(rig: &Rig, cut: u32) -> Vec<u64> {
    let mut times = Vec::new();
    for owner in 0..rig.registry.cores() {
        let last = rig.registry.shown_exemplars(owner);
        let Some(shown) = last.of(cut) else { continue };
        let mut cursor = Default::default();
        while !rig.registry.trie(owner).walk(&mut cursor, 64, |series| {
            let mut records = Reader::new(shown.of(series));
            while !records.is_empty() {
                records.field().unwrap();
                times.push(Exemplar::decode(records.bytes().unwrap()).unwrap().time_unix_nano - T);
            }
        }) {}
    }
    times.sort_unstable();
    times
}

#[test]
fn m29_a_scrape_finds_those_of_the_last_two_cuts() {
    let mut rig = Rig::new(2);
    let of = |i: u64| request(vec![sum("m", 1, true, vec![number_of(T, vec![exemplar(T + i, 1.0)])])]);
    rig.send(0, &of(1));
    rig.send(1, &of(2));
    rig.cut(T);
    assert_eq!((shown(&rig, 1), shown(&rig, 2)), (vec![1, 2], vec![]));
    rig.send(1, &of(3));
    rig.cut(T + 1);
    assert_eq!((shown(&rig, 1), shown(&rig, 2)), (vec![1, 2], vec![3]));
    // a cut without any: the page of the cut before is still being read
    rig.cut(T + 2);
    assert_eq!((shown(&rig, 2), shown(&rig, 3)), (vec![3], vec![]));
    rig.cut(T + 3);
    assert_eq!((shown(&rig, 2), shown(&rig, 3), shown(&rig, 4)), (vec![], vec![], vec![]));
}

#[test]
fn m29_a_core_that_is_skipped_keeps_its_exemplars_until_the_next_cut() {
    for others in [&[][..], &[9]] {
        let mut rig = Rig::new(1);
        let of = |i: u64| request(vec![sum("m", 1, true, vec![number_of(T, vec![exemplar(T + i, 1.0)])])]);
        // what an earlier interval left there is not taken back
        for i in others {
            rig.send(0, &of(*i));
            rig.cut(T);
        }
        rig.send(0, &of(1));
        rig.cores[0].hand_over();
        rig.cores[0].take_back();
        rig.send(0, &of(2));
        rig.cores[0].hand_over();
        rig.cores[0].take_back();
        let cut = rig.cut;
        let out = left(&rig.cut(T + 1).cumulative);
        let times: Vec<u64> = out[0].1.iter().map(|e| e.time_unix_nano - T).collect();
        assert_eq!((times, shown(&rig, cut)), (vec![1, 2], vec![1, 2]), "after {others:?}");
    }
}
