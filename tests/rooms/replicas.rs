//! Several identical senders (RULES 8): one of them counts, another one takes over when it is silent, and totals go on through it.

use crate::common::*;
use catchment::ingest::{GatePlan, Slice};
use catchment::ledger::{Effect, Note};
use catchment::model::Discard;
use catchment::rules::{Dedup, DedupPlan, Failover, Pattern, PatternKind, RulePlan};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::sync::Arc;

const CUMULATIVE: i32 = 2;
const INTERVAL: u64 = 10 * SECOND;

fn rig(cores: usize) -> Rig {
    let any = Pattern { text: "*".into(), kind: PatternKind::Glob, is_negated: false };
    let entry = Dedup {
        name: "scrapers".into(),
        resource: vec![("k8s.cluster.name".into(), vec![any])],
        by: vec!["collector.replica".into()],
        per: vec!["k8s.cluster.name".into()],
        failover: Failover::Auto,
    };
    let dedup = Arc::new(DedupPlan::new(vec![entry]).expect("sound"));
    let rules = Arc::new(RulePlan::new(Vec::new()).expect("none"));
    let mut rig = Rig::new(cores);
    let plan = GatePlan { rules, dedup, interval_ns: INTERVAL };
    rig.cores.iter_mut().for_each(|core| drop(core.take_up(&plan)));
    rig
}

/// A block of what a replica in a cluster sends.
fn block(cluster: &str, replica: &str, metrics: Vec<pb::Metric>) -> pb::ResourceMetrics {
    let mut request = request_of("shop", metrics);
    let attributes = &mut request.resource_metrics[0].resource.as_mut().unwrap().attributes;
    attributes.push(attribute("k8s.cluster.name", cluster));
    attributes.push(attribute("collector.replica", replica));
    request.resource_metrics.remove(0)
}

fn from(replica: &str, metric: pb::Metric) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest { resource_metrics: vec![block("eu", replica, vec![metric])] }
}

/// RULES, vector 10: its totals, for sums and histograms, on one connection or on two cores.
#[test]
fn vector_10_totals_go_on_when_the_elected_one_dies() {
    // seconds, values
    let r1 = [(1, 100), (11, 105), (21, 110)];
    let r2 = [(2, 100), (12, 106), (22, 111), (32, 121), (42, 133), (52, 140), (62, 152)];
    let starts = [START - 1_000 * SECOND, START - 900 * SECOND];
    let count = |start, (at, value): (u64, i64)| {
        sum("scrapes", CUMULATIVE, true, vec![number(&[("k", "v")], start, START + at * SECOND, int(value))])
    };
    let observed = |start, (at, value): (u64, i64)| {
        let counts = [value as u64, 2 * value as u64];
        let point = histogram_point(&[("k", "v")], START + at * SECOND, &counts, &[1.0], 3.0 * value as f64);
        histogram("scrapes", CUMULATIVE, vec![pb::HistogramDataPoint { start_time_unix_nano: start, ..point }])
    };
    for (cores, is_sum) in [(1, true), (2, true), (1, false), (2, false)] {
        let metric = |start, point| if is_sum { count(start, point) } else { observed(start, point) };
        let mut rig = rig(cores);
        let mut total = 0.0;
        let mut totals = Vec::new();
        for cut in 1..=7u64 {
            let within = |at: &u64| (cut - 1) * 10 < *at && *at <= cut * 10;
            for point in r1.iter().filter(|(at, _)| within(at)) {
                rig.send(0, &from("r1", metric(starts[0], *point)));
            }
            for point in r2.iter().filter(|(at, _)| within(at)) {
                let receipt = rig.send(1, &from("r2", metric(starts[1], *point)));
                assert_eq!((receipt.points, receipt.rejected), (1, 0));
            }
            let out = rig.cut(START + cut * INTERVAL);
            let step: f64 = match is_sum {
                true => values(&out.delta).iter().sum(),
                false => histograms(&out.delta).iter().map(|point| point.bucket_counts[0] as f64).sum(),
            };
            total += step;
            totals.push(total);
        }
        assert_eq!(totals, [0.0, 5.0, 10.0, 10.0, 10.0, 10.0, 52.0], "{cores} cores, sums: {is_sum}");
        assert_eq!((rig.tally.discarded(Discard::Dedup), rig.tally.noted(Note::Reset)), (6, 0));
        assert_eq!(rig.tally.settled(Effect::Overlapping), 0);
        assert_eq!((rig.registry.live(), rig.registry.group_count()), (1, 1), "who sent it is no part of it");
    }
}

/// A request that is refused neither makes a replica the one that counts nor keeps it from losing that, in one go or in slices.
#[test]
fn what_is_refused_elects_nobody() {
    let deltas = |replica: &str, at: u64| {
        from(replica, sum("hits", 1, true, vec![number(&[], 0, START + at * SECOND, int(1))])).encode_to_vec()
    };
    // a good block, and then one that ends too early
    let broken = |replica: &str, at| [deltas(replica, at), vec![0x0a, 9, 0x12]].concat();
    for in_slices in [false, true] {
        for who_is_broken in ["r1", "r2"] {
            let mut rig = rig(1);
            if in_slices {
                rig.cores[0].slice_by(Slice { cost_ns: 1, chunk_bytes: 1 });
            }
            for cut in 1..=7 {
                if cut <= 3 {
                    rig.send_bytes(0, &deltas("r1", cut * 10 - 5)).unwrap();
                    rig.send_bytes(0, &deltas("r2", cut * 10 - 5)).unwrap();
                } else if who_is_broken == "r1" || cut == 7 {
                    assert!(rig.send_bytes(0, &broken(who_is_broken, cut * 10 - 5)).is_err());
                }
                if cut < 7 {
                    rig.cut(START + cut * INTERVAL);
                }
            }
            // after three silent intervals whoever is the first whose request is taken counts
            let (first, second) = if who_is_broken == "r2" { ("r1", "r2") } else { ("r2", "r1") };
            let context = format!("{who_is_broken} is broken, slices: {in_slices}");
            for (replica, discarded) in [(first, 3), (second, 4)] {
                rig.send_bytes(0, &deltas(replica, 66)).unwrap();
                assert_eq!(rig.tally.discarded(Discard::Dedup), discarded, "{context}");
            }
        }
    }
}

/// What falls at a change is a baseline, and no reset; from then on the new replica counts as any.
#[test]
fn a_fall_at_a_change_is_a_baseline() {
    let mut rig = rig(1);
    let send = |rig: &mut Rig, replica: &str, start: u64, at: u64, value| {
        let point = number(&[], START - start * SECOND, START + at * SECOND, int(value));
        rig.send(0, &from(replica, sum("scrapes", CUMULATIVE, true, vec![point])));
    };
    for cut in 1..=3 {
        send(&mut rig, "r1", 100, cut * 10 - 5, 1_000 + cut as i64);
        rig.cut(START + cut * INTERVAL);
    }
    let mut steps = Vec::new();
    for cut in 4..=10u64 {
        // the other one began a moment ago, and its start is older than that of the first
        send(&mut rig, "r2", 200, cut * 10 - 5, 10 * cut as i64);
        steps.push(values(&rig.cut(START + cut * INTERVAL).delta).iter().sum::<f64>());
    }
    assert_eq!(steps, [0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 10.0]);
    assert_eq!((rig.tally.noted(Note::Reset), rig.tally.settled(Effect::Overlapping)), (0, 0));
}

/// Blocks of several clusters and of other senders in one request are each told apart; what stands by is neither looked up
/// nor a series, of any kind; whoever does not say who he is counts.
#[test]
fn blocks_are_told_apart_and_what_stands_by_costs_nothing() {
    let mut rig = rig(1);
    let at = |round: u64| START + round * INTERVAL - SECOND;
    let metrics = |round| {
        let points = || vec![number(&[("k", "a")], 0, at(round), int(1)), number(&[("k", "b")], 0, at(round), int(1))];
        vec![gauge("level", points()), sum("count", 1, true, points())]
    };
    let mut lookups = 0;
    for round in 1..=4 {
        let plain = request_of("plain", metrics(round)).resource_metrics.remove(0);
        // of the second cluster the other one is first
        let order = [("eu", "r1"), ("us", "r2"), ("eu", "r2"), ("us", "r1")];
        let blocks = order.iter().map(|(cluster, replica)| block(cluster, replica, metrics(round)));
        let resource_metrics = blocks.chain([plain]).collect();
        let receipt = rig.send(0, &ExportMetricsServiceRequest { resource_metrics });
        assert_eq!((receipt.points, receipt.rejected), (20, 0));
        assert_eq!((rig.tally.discarded(Discard::Dedup), rig.tally.applied_total()), (8 * round, 12 * round));
        if round > 1 {
            assert_eq!(rig.tally.noted(Note::Lookups), lookups);
        }
        lookups = rig.tally.noted(Note::Lookups);
        let out = rig.cut(START + round * INTERVAL);
        assert_eq!(out.cumulative.iter().flat_map(each_point).count(), 12);
        let resources = out.cumulative.iter().flat_map(|request| &request.resource_metrics);
        let mut keys = resources.flat_map(|of| &of.resource.as_ref().unwrap().attributes).map(|pair| &pair.key);
        assert!(keys.all(|key| key != "collector.replica"));
        rig.sweep(2);
    }
    assert_eq!((rig.registry.live(), rig.registry.group_count()), (12, 6));
}

/// What elections take is in the memory budget: without room for one more, points of what would need it are rejected, and those
/// that there are go on.
#[test]
fn an_election_for_which_there_is_no_memory_refuses_what_needs_it() {
    let mut rig = rig(1);
    let count = |time, value| sum("scrapes", CUMULATIVE, true, vec![number(&[("k", "v")], START, time, int(value))]);
    let send = |rig: &mut Rig, cluster: &str, replica: &str, value| {
        let block = block(cluster, replica, vec![count(START + SECOND, value)]);
        let receipt = rig.send(0, &ExportMetricsServiceRequest { resource_metrics: vec![block] });
        (receipt.points, receipt.rejected)
    };
    assert_eq!(send(&mut rig, "eu", "r1", 1), (1, 0));
    let (bytes, limit) = (rig.registry.bytes(), rig.registry.memory_limit());
    rig.registry.set_memory_limit(bytes);
    assert_eq!(send(&mut rig, "us", "r1", 1), (1, 1), "no memory for who counts there");
    assert_eq!(rig.registry.bytes(), bytes);
    assert_eq!(send(&mut rig, "eu", "r2", 1), (1, 0), "another replica of what is known");
    rig.registry.set_memory_limit(limit);
    assert_eq!(send(&mut rig, "us", "r1", 1), (1, 0));
}
