//! What is dropped at the doors: every kind, at the metric's head or by the attributes of its points, is counted as discarded
//! and nothing else, whatever is sent beside it.

use crate::common::*;
use catchment::ingest::{Doorkeeper, Slice};
use catchment::ledger::Note;
use catchment::model::{Discard, Door, Kind};
use catchment::rules::{MetricSeen, RouteVerdict, StreamVerdict};
use catchment::series::registry::Options as RegistryOptions;
use catchment::sync::counts::Counts;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::sync::Arc;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + SECOND;

/// Rule 0 drops `noise.…` whole, rule 1 what has `drop` in its attributes.
struct Gate;

impl Doorkeeper for Gate {
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        match metric.name.split_once('.') {
            Some(("noise", _)) => StreamVerdict::Discard(0),
            Some(("mixed", _)) => StreamVerdict::Ask,
            _ => StreamVerdict::Pass,
        }
    }

    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        assert!(metric.name.starts_with("mixed."), "no other has to ask");
        let drops = attributes.windows(4).any(|part| part == b"drop");
        if drops { RouteVerdict::Discard(1) } else { RouteVerdict::Pass }
    }
}

fn rig(cores: usize) -> (Rig, Vec<Arc<Counts>>) {
    asking(Rig::new(cores))
}

fn asking(mut rig: Rig) -> (Rig, Vec<Arc<Counts>>) {
    let cores = rig.cores.len();
    let (writers, counts): (Vec<_>, Vec<_>) = (0..cores).map(|_| Counts::new(2)).unzip();
    let asking = std::mem::take(&mut rig.cores).into_iter().zip(writers);
    rig.cores = asking.map(|(core, writer)| core.ask(Box::new(Gate), writer)).collect();
    (rig, counts)
}

/// One metric of each kind, of two points each, `keep` and `drop`; of histograms they have other bounds.
fn all_kinds(stem: &str, at: u64) -> Vec<pb::Metric> {
    let pairs = ["keep", "drop"].map(|word| [("k", word)]);
    let numbers = |start| pairs.iter().map(|pair| number(pair, start, at, int(3))).collect::<Vec<_>>();
    let bounds = [&[1.0, 2.0][..], &[1.0]];
    let buckets = [&[1, 2, 3][..], &[1, 5]];
    let explicit = |i: usize| histogram_point(&pairs[i], at, buckets[i], bounds[i], 7.0);
    let exponentials = pairs.iter().map(|pair| exponential_point(pair, START, at, 2, 0, &[1, 2]));
    let summaries = pairs.iter().map(|pair| summary_point(pair, START, at, 4, 9.0, &[(0.5, 2.0)]));
    vec![
        sum(&format!("{stem}.delta"), DELTA, true, numbers(START)),
        sum(&format!("{stem}.cumulative"), CUMULATIVE, true, numbers(START)),
        gauge(&format!("{stem}.gauge"), numbers(0)),
        histogram(&format!("{stem}.histogram"), DELTA, (0..2).map(explicit).collect()),
        exponential(&format!("{stem}.exponential"), DELTA, exponentials.collect()),
        summary(&format!("{stem}.summary"), summaries.collect()),
    ]
}

fn body(at: u64) -> Vec<u8> {
    request(["noise", "mixed", "plain"].iter().flat_map(|stem| all_kinds(stem, at)).collect()).encode_to_vec()
}

/// Metric and attributes of what leaves.
fn seen(out: &Out) -> Vec<(String, String)> {
    let mut all: Vec<_> = out.cumulative.iter().flat_map(each_point).map(|(name, label, _)| (name, label)).collect();
    all.sort();
    all
}

#[test]
fn every_kind_is_dropped_at_its_head_or_by_its_attributes_and_the_rest_is_as_without() {
    for cores in [1, 3] {
        let (mut rig, counts) = rig(cores);
        let (mut rounds, mut lookups) = (0, 0);
        for round in 0..4 {
            for core in 0..cores {
                let receipt = rig.send_bytes(core, &body(T + round * SECOND + core as u64)).unwrap();
                assert_eq!((receipt.points, receipt.rejected, receipt.message), (36, 0, None));
                rounds += 1;
            }
            let tally = &rig.tally;
            assert_eq!((tally.applied_total(), tally.discarded(Discard::Rule)), (18 * rounds, 18 * rounds));
            assert_eq!(tally.discarded_total(), tally.discarded(Discard::Rule));
            for kind in Kind::ALL {
                let each = if kind == Kind::Sum { 6 } else { 3 };
                assert_eq!(tally.discarded_by(Door::OtlpGrpc, kind), each * rounds, "{kind:?}");
            }
            let by_rule = [0, 1].map(|rule| counts.iter().map(|counts| counts.read(rule)).sum::<u64>());
            assert_eq!(by_rule, [12 * rounds, 6 * rounds]);
            if round > 0 {
                assert_eq!(tally.noted(Note::Lookups), lookups, "what is dropped at its head is not looked up again");
            }
            lookups = tally.noted(Note::Lookups);
            let out = rig.cut(START + (round + 1) * 10 * SECOND);
            let plain = all_kinds("plain", T)
                .into_iter()
                .flat_map(|metric| ["drop", "keep"].map(|word| (metric.name.clone(), format!("k={word}"))));
            let mixed = all_kinds("mixed", T).into_iter().map(|metric| (metric.name, "k=keep".to_owned()));
            let mut want: Vec<_> = plain.chain(mixed).collect();
            want.sort();
            assert_eq!(seen(&out), want);
        }
        // of histograms bounds are part of a group, and the one that is dropped has none
        assert_eq!((rig.registry.live(), rig.registry.group_count()), (18, 13));
    }
}

/// A malformed point refuses its request also where it would be dropped, before and after the stream is known; an invalid one
/// is discarded like others once it is.
#[test]
fn what_is_dropped_must_be_well_formed() {
    let (mut rig, counts) = rig(1);
    let good = sum("noise.a", DELTA, true, vec![number(&[("k", "v")], START, T, int(1))]);
    let mut bad = request(vec![good.clone()]).encode_to_vec();
    let at = bad.windows(1).rposition(|byte| byte == b"v").expect("the value");
    bad[at] = 0xff;
    for round in 0..3 {
        assert!(rig.send_bytes(0, &bad).unwrap_err().contains("UTF-8"));
        assert_eq!((rig.tally.received_total(), counts[0].read(0)), (round, round));
        rig.send(0, &request(vec![good.clone()]));
    }
    let timeless = sum("noise.a", DELTA, true, vec![number(&[("k", "v")], 0, 0, int(1))]);
    assert_eq!(rig.send(0, &request(vec![timeless])).rejected, 0);
    assert_eq!((rig.tally.discarded_total(), rig.tally.rejected_total()), (4, 0));
}

/// Metrics that are dropped, at their heads or all of their points, take no room of those that are kept.
#[test]
fn what_is_dropped_takes_no_room_of_what_is_kept() {
    let limits = RegistryOptions { series_limit: 100, group_limit: 3, memory_limit: usize::MAX };
    let (mut rig, _) = asking(Rig::limited(1, limits, 300 * SECOND));
    let named = |name: &str, label| sum(name, DELTA, true, vec![number(&[("k", label)], START, T, int(1))]);
    for i in 0..50 {
        let dropped = [format!("noise.{i}"), format!("mixed.{i}")].map(|name| named(&name, "drop"));
        assert_eq!(rig.send(0, &request(dropped.into())).rejected, 0, "{i}");
    }
    let kept = ["plain.a", "mixed.b", "plain.c"].map(|name| named(name, "keep"));
    assert_eq!(rig.send(0, &request(kept.into())).rejected, 0);
    assert_eq!((rig.registry.live(), rig.tally.discarded(Discard::Rule)), (3, 100));
}

/// In slices of one point the counts are those of one go.
#[test]
fn a_request_in_slices_is_dropped_in_slices() {
    let (mut rig, counts) = rig(1);
    rig.cores[0].slice_by(Slice { cost_ns: 1, chunk_bytes: 1 });
    for round in 1..4 {
        let receipt = rig.send_bytes(0, &body(T + round)).unwrap();
        assert_eq!((receipt.points, receipt.rejected), (36, 0));
        assert_eq!([0, 1].map(|rule| counts[0].read(rule)), [12 * round, 6 * round]);
    }
    assert_eq!(rig.tally.discarded_total(), 54);
}
