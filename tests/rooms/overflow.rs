//! What the limits keep out (M30): a delta's total stays true in an overflow series or an overflow group, everything else
//! is rejected with its reason.

use crate::common::*;
use catchment::ledger::Note;
use catchment::limits::OVERFLOW_GROUPS_MAX;
use catchment::model::Reject;
use catchment::series::registry::Options;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, metric::Data};
use std::collections::BTreeMap;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 100 * SECOND;

fn rig(cores: usize, group_limit: usize) -> Rig {
    let limits = Options { series_limit: 1_000_000, group_limit, memory_limit: usize::MAX };
    Rig::limited(cores, limits, 60 * SECOND)
}

fn exponential(name: &str, temporality: i32, counts: &[u64]) -> pb::Metric {
    let point = pb::ExponentialHistogramDataPoint {
        attributes: attributes(&[("k", "v")]),
        time_unix_nano: T,
        count: counts.iter().sum(),
        sum: Some(counts.iter().sum::<u64>() as f64),
        positive: Some(pb::exponential_histogram_data_point::Buckets { offset: 0, bucket_counts: counts.to_vec() }),
        ..Default::default()
    };
    let data = pb::ExponentialHistogram { data_points: vec![point], aggregation_temporality: temporality };
    metric(name, Data::ExponentialHistogram(data))
}

/// A delta sum with one point.
fn count(name: &str, value: i64) -> pb::Metric {
    sum(name, DELTA, true, vec![number(&[("k", "v")], T, T, int(value))])
}

/// Takes as many groups as there are.
fn fill(rig: &mut Rig, groups: usize) {
    let names: Vec<_> = (0..groups).map(|i| count(&format!("known.{i}"), 1)).collect();
    assert_eq!(rig.send(0, &request_of("first", names)).rejected, 0);
    assert_eq!(rig.registry.group_count(), groups);
}

/// By service and metric: all values or counts that came out, added.
fn totals(requests: &[ExportMetricsServiceRequest]) -> BTreeMap<(String, String), f64> {
    let mut totals = BTreeMap::new();
    for request in requests {
        for resource in &request.resource_metrics {
            let service = format!("{:?}", resource.resource.as_ref().map(|r| &r.attributes));
            let service = service.split('"').nth(3).unwrap_or("").to_owned();
            let alone = ExportMetricsServiceRequest { resource_metrics: vec![resource.clone()] };
            for (name, attributes, point) in each_point(&alone) {
                assert!(service != "catchment.overflow" || attributes.contains("otel.metric.overflow"), "{attributes}");
                *totals.entry((service.clone(), name)).or_default() += match point {
                    Any::Number(n) => match n.value.expect("a value") {
                        pb::number_data_point::Value::AsInt(i) => i as f64,
                        pb::number_data_point::Value::AsDouble(d) => d,
                    },
                    Any::Histogram(h) => {
                        assert_eq!(h.bucket_counts.iter().sum::<u64>(), h.count);
                        h.count as f64
                    }
                    Any::Exponential(e) => e.count as f64,
                    Any::Summary(s) => s.count as f64,
                };
            }
        }
    }
    totals
}

fn overflowed(totals: &BTreeMap<(String, String), f64>) -> Vec<(&str, f64)> {
    let own = totals.iter().filter(|((service, _), _)| service == "catchment.overflow");
    own.map(|((_, name), total)| (name.as_str(), *total)).collect()
}

#[test]
fn past_the_limit_of_groups_deltas_go_to_overflow_groups_and_the_rest_is_rejected() {
    for cores in [1, 2] {
        let mut rig = rig(cores, 5);
        fill(&mut rig, 5);
        let bounds = histogram_point(&[("k", "v")], T, &[1, 2, 3], &[1.0, 2.0], 8.0);
        let other = histogram_point(&[("k", "v")], T, &[4, 5], &[7.0], 60.0);
        for core in 0..cores {
            let newcomer = request_of(
                "newcomer",
                vec![
                    count("known.0", 10),
                    count("new", 20),
                    sum("new.level", DELTA, false, vec![number(&[], T, T, int(-3))]),
                    histogram("new.time", DELTA, vec![bounds.clone(), other.clone()]),
                    exponential("new.size", DELTA, &[3, 4]),
                    exponential("new.other", DELTA, &[5]),
                    gauge("level", vec![number(&[], 0, T, int(1))]),
                    sum("new", CUMULATIVE, true, vec![number(&[], START, T, int(1))]),
                    histogram("new.time", CUMULATIVE, vec![bounds.clone()]),
                    exponential("new.size", CUMULATIVE, &[1]),
                ],
            );
            assert_eq!(rig.send(core, &newcomer).rejected, 4);
        }
        let n = cores as u64;
        assert_eq!(rig.tally.rejected(Reject::GroupLimit), 4 * n);
        assert_eq!(rig.tally.noted(Note::Overflowed), 7 * n);
        assert_eq!(rig.registry.group_count(), 5, "overflow groups are outside the limit");
        let out = rig.cut(T + 1);
        for view in [&out.cumulative, &out.delta] {
            let totals = totals(view);
            let n = n as f64;
            assert_eq!(
                overflowed(&totals),
                [
                    ("catchment.overflow.exponential_histogram", 12.0 * n),
                    ("catchment.overflow.histogram", 15.0 * n),
                    ("catchment.overflow.sum", 20.0 * n),
                    ("catchment.overflow.updown", -3.0 * n),
                    ("known.0", 10.0 * n),
                ]
            );
            assert_eq!(totals[&("first".into(), "known.0".into())], 1.0, "another's total is not touched");
        }
        let sums: Vec<_> = histograms(&out.delta).iter().map(|h| (h.explicit_bounds.len(), h.sum)).collect();
        assert_eq!(sums, [(0, Some(68.0 * n as f64))]);
    }
}

#[test]
fn a_name_that_is_known_keeps_name_unit_and_bounds() {
    let mut rig = rig(1, 2);
    let point = |counts: &[u64], bounds: &[f64]| histogram_point(&[("k", "v")], T, counts, bounds, 4.0);
    let of = |service, point| request_of(service, vec![histogram("time", DELTA, vec![point])]);
    rig.send(0, &of("first", point(&[1, 1], &[1.0])));
    rig.send(0, &of("second", point(&[1, 1], &[1.0])));
    rig.send(0, &of("third", point(&[2, 3], &[1.0])));
    rig.send(0, &of("fourth", point(&[4, 5], &[1.0])));
    rig.send(0, &of("fifth", point(&[1, 2, 3], &[1.0, 2.0])));
    // the same name of another kind is not known
    rig.send(0, &request_of("sixth", vec![count("time", 7)]));
    let out = rig.cut(T + 1).delta;
    let mut buckets: Vec<_> = histograms(&out).into_iter().map(|h| h.bucket_counts).collect();
    buckets.sort();
    assert_eq!(buckets, [vec![1, 1], vec![1, 1], vec![1, 2, 3], vec![6, 8]]);
    assert_eq!(overflowed(&totals(&out)), [("catchment.overflow.sum", 7.0), ("time", 20.0)]);
    assert_eq!(rig.tally.rejected(Reject::GroupLimit), 0);
}

#[test]
fn names_of_overflow_groups_are_bounded_and_nothing_is_lost_past_them() {
    let mut rig = rig(1, 2 * OVERFLOW_GROUPS_MAX);
    fill(&mut rig, 2 * OVERFLOW_GROUPS_MAX);
    let all: Vec<_> = (0..2 * OVERFLOW_GROUPS_MAX).map(|i| count(&format!("known.{i}"), 10)).collect();
    for _ in 0..2 {
        assert_eq!(rig.send(0, &request_of("newcomer", all.clone())).rejected, 0);
    }
    let totals = totals(&rig.cut(T + 1).delta);
    let own = overflowed(&totals);
    assert_eq!(own.len(), OVERFLOW_GROUPS_MAX + 1);
    assert_eq!(own[0], ("catchment.overflow.sum", 20.0 * OVERFLOW_GROUPS_MAX as f64));
    assert!(own[1..].iter().all(|(_, total)| *total == 20.0));
}

#[test]
fn past_the_memory_limit_deltas_of_new_groups_are_kept_too() {
    let limits = Options { series_limit: 1_000_000, group_limit: 100_000, memory_limit: 1 << 20 };
    let mut rig = Rig::limited(1, limits, 60 * SECOND);
    let (mut sent, mut full) = (0.0, 0);
    for i in 0..40 {
        // long resources, for which there is no room beyond the limit
        let service = format!("{i:03}{}", "x".repeat(3000));
        let metrics = (0..50).map(|m| count(&format!("m.{m}"), 1)).chain([count(&format!("only.{i}"), 1)]).collect();
        assert_eq!(rig.send(0, &request_of(&service, metrics)).rejected, 0);
        sent += 51.0;
        full += u64::from(rig.registry.is_spent());
    }
    assert!(full > 10, "the memory limit was reached");
    let totals = totals(&rig.cut(T + 1).delta);
    assert_eq!(totals.values().sum::<f64>(), sent);
    assert!(overflowed(&totals).len() > 40, "names that are known are kept: {:?}", overflowed(&totals));
}

#[test]
fn overflow_groups_go_when_nobody_needs_them_and_places_that_free_up_are_taken() {
    let mut rig = rig(1, 3);
    fill(&mut rig, 3);
    let newcomer = request_of("newcomer", vec![count("known.0", 10), count("new", 20)]);
    let mut seen = Vec::new();
    for i in 0..20 {
        assert_eq!(rig.send(0, &newcomer).rejected, 0);
        let totals = totals(&rig.cut(T + i * 10 * SECOND).delta);
        rig.sweep(6);
        let sum: f64 = totals.iter().filter(|((service, _), _)| service != "first").map(|(_, total)| total).sum();
        assert_eq!(sum, 30.0, "round {i}");
        seen.push(overflowed(&totals).len());
    }
    assert_eq!((seen[0], seen[19]), (2, 0), "in groups of its own once the others are gone: {seen:?}");
    assert_eq!(rig.registry.group_count(), 2);
    assert_eq!(rig.registry.overflow_group_count(), 0);
    // and the name of a group that is gone is not known any more
    fill_up(&mut rig);
    rig.send(0, &request_of("third", vec![count("known.1", 5)]));
    assert_eq!(overflowed(&totals(&rig.cut(T + 300 * SECOND).delta)), [("catchment.overflow.sum", 5.0)]);
}

fn fill_up(rig: &mut Rig) {
    rig.send(0, &request_of("second", vec![count("last", 1)]));
    assert_eq!(rig.registry.group_count(), 3);
}

#[test]
fn a_client_that_sends_what_looks_like_an_overflow_series_is_under_the_limit() {
    let mut rig = Rig::with(1, 10, 300 * SECOND);
    let names: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let points = names.iter().map(|n| number(&[("otel.metric.overflow", n)], 0, T, int(2))).collect();
    let receipt = rig.send(0, &request(vec![gauge("g", points)]));
    assert_eq!((receipt.rejected, rig.registry.live()), (40, 10));
}
