//! The way of a point in memory, for `tools/instructions`: WORKLOAD PASSES. Fixed seed, fixed hash key, one thread.
//!
//! `passes` exports of all series, each with a cut, a merge and one encoding; two runs that differ in passes alone differ
//! in instructions by what those passes take, whatever starting up took. Prints the points of one pass and a checksum.

#[path = "../tests/common/mod.rs"]
#[allow(unused_imports)]
mod common;

use catchment::flush::{Options as FlushOptions, Outlet, Owner, Work, Written};
use catchment::identity::attributes::Limits;
use catchment::ingest::{Doorkeeper, Ingest, Options as IngestOptions};
use catchment::ledger::Tally;
use catchment::model::{Door, EpochNumber, Flushed, PlanNumber, Temporality, View};
use catchment::otlp::encode::{Encoder, Request};
use catchment::rows::Rows;
use catchment::rules::{MetricSeen, RouteVerdict, StreamVerdict};
use catchment::series::registry::{Options as RegistryOptions, Registry};
use catchment::series::slab::SlabWriter;
use catchment::sync::counts::Counts;
use catchment::sync::cut::{Closed, CutTimes, ShardView};
use common::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::process::exit;
use std::sync::Arc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 5_000;
const OF_A_METRIC: usize = 50;
const T: u64 = START + 5 * SECOND;

#[derive(Default)]
struct Count {
    points: u64,
    bytes: u64,
    encoder: Encoder,
}

impl Outlet for Count {
    fn wants(&self, view: View) -> bool {
        view.temporality == Temporality::Delta
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        let Request { bytes, points } = self.encoder.encode(rows, flushed.view.temporality)?;
        let written = Written { points, bytes: bytes.len() as u64 };
        self.points += written.points;
        self.bytes += written.bytes;
        Some(written)
    }
}

/// Requests of 1000 points, in the order of `seed`; 0: as they are numbered.
fn requests(workload: &str, time: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % below as u64) as usize
    };
    let metrics: Vec<pb::Metric> = (0..SERIES / OF_A_METRIC)
        .map(|m| {
            let mut order: Vec<usize> = (m * OF_A_METRIC..(m + 1) * OF_A_METRIC).collect();
            if seed != 0 {
                (1..order.len()).rev().for_each(|i| order.swap(i, random(i + 1)));
            }
            let texts: Vec<_> =
                order.iter().map(|i| (format!("route-{i:08}"), format!("host-{:06}", i / 50))).collect();
            let pairs = |i: usize| {
                [
                    ("http.route", texts[i].0.as_str()),
                    ("host.name", texts[i].1.as_str()),
                    ("cloud.availability_zone", "eu-central-1a"),
                    ("http.request.method", "GET"),
                    ("deployment.environment", "production"),
                ]
            };
            let name = format!("metric.{}", m % 20);
            let numbers = || (0..order.len()).map(|i| number(&pairs(i), T - 1, time, int(3))).collect();
            match workload {
                "same" | "shuffled" | "dropped" | "nowhere" => sum(&name, 1, true, numbers()),
                "histogram" => {
                    let bounds: Vec<f64> = (1..15).map(f64::from).collect();
                    let point = |i| histogram_point(&pairs(i), time, &[2; 15], &bounds, 30.0);
                    histogram(&name, 1, (0..order.len()).map(point).collect())
                }
                "exponential" => {
                    let point = |i| exponential_point(&pairs(i), T - 1, time, 3, 0, &[1; 20]);
                    exponential(&name, 1, (0..order.len()).map(point).collect())
                }
                _ => exit(2),
            }
        })
        .collect();
    let of = |(i, metrics): (usize, &[pb::Metric])| request_of(&format!("svc-{i}"), metrics.to_vec()).encode_to_vec();
    metrics.chunks(20).enumerate().map(of).collect()
}

/// Drops everything: at the metric's head, or by the attributes of its points.
struct Gate {
    at_head: bool,
}

impl Doorkeeper for Gate {
    fn of_stream(&mut self, _: &MetricSeen<'_>) -> StreamVerdict {
        if self.at_head { StreamVerdict::Discard(0) } else { StreamVerdict::Ask }
    }

    fn of_route(&mut self, _: &MetricSeen<'_>, _: &[u8]) -> RouteVerdict<'_> {
        RouteVerdict::Discard(0)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, workload, passes] = &arguments[..] else {
        eprintln!("usage: instructions same|shuffled|histogram|exponential|dropped|nowhere PASSES");
        exit(2);
    };
    let passes: u64 = passes.parse().expect("a number of passes");
    let (writer, slab) = SlabWriter::new();
    let options = RegistryOptions { series_limit: 1_000_000, group_limit: 100_000, memory_limit: usize::MAX };
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let registry = Arc::new(Registry::with_state(options, vec![slab], state));
    let flush =
        FlushOptions { plan: PlanNumber::FIRST, epoch: EpochNumber::FIRST, started_ns: START, expire_ns: 300 * SECOND };
    let mut ingest =
        Ingest::new(0, IngestOptions { started_ns: START, limits: Limits::DEFAULT }, registry.clone(), writer);
    if ["dropped", "nowhere"].contains(&&**workload) {
        ingest = ingest.ask(Box::new(Gate { at_head: workload == "dropped" }), Counts::new(1).0);
    }
    let mut owner = Owner::new(0, flush, registry).0;
    let (mut tally, mut out) = (Tally::default(), Count::default());
    let shuffled = workload == "shuffled";
    // two orders by turns and a few times: made before the first is sent, however many passes there are
    let made: Vec<Vec<Vec<u8>>> = (0..4).map(|n| requests(workload, T + n, if shuffled { n + 1 } else { 0 })).collect();
    for pass in 0..passes {
        for request in &made[pass as usize % made.len()] {
            let receipt = ingest.export(Door::OtlpGrpc.into(), request, &mut tally).expect("well-formed");
            assert_eq!(receipt.rejected, 0);
        }
        let cut = pass as u32 + 1;
        let (interval, bank) = ingest.open();
        ingest.switch(cut + 1);
        let closed = Some(Closed { bank, interval });
        owner.begin(
            cut,
            CutTimes::at(T + u64::from(cut) * SECOND),
            vec![ShardView { number: cut, open_bank: 1 - bank, open_interval: cut + 1, closed }],
        );
        while owner.step(ingest.slab_mut(), &mut tally, &mut out, || true) == Work::More {}
        owner.settle();
        while owner.step(ingest.slab_mut(), &mut tally, &mut out, || true) == Work::More {}
    }
    assert!(tally.balanced());
    println!("{SERIES} {} {}", out.points, out.bytes);
}
