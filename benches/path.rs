//! The path in memory, part by part: decode; resolve (same order, new order, cold); accumulate by kind; cut, merge and
//! encode for each destination; the whole of it, bytes in to bytes out; JSON in.
//!
//! Each bench reports points and bytes per second and checks a checksum of its result. `cargo bench` measures; `cargo test`
//! runs each body once in a tiny size. One thread, no sockets: what is compared is this path with itself. (With sockets,
//! beside a server that discards: `tools/figures.py`.)

#[path = "../tests/common/mod.rs"]
#[allow(unused_imports)]
mod common;

use bumpalo::Bump;
use catchment::flush::{Options as FlushOptions, Outlet, Owner, Work, Written};
use catchment::identity::attributes::Limits;
use catchment::ingest::{Ingest, Options as IngestOptions};
use catchment::ledger::Tally;
use catchment::model::{Door, EpochNumber, Flushed, PlanNumber, Temporality, View};
use catchment::otlp::encode::{Encoder, Request};
use catchment::otlp::{points, request};
use catchment::rows::Rows;
use catchment::series::registry::{Options as RegistryOptions, Registry};
use catchment::series::slab::SlabWriter;
use catchment::sync::cut::{Closed, CutTimes, ShardView};
use common::*;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const T: u64 = START + 5 * SECOND;

/// One core that owns everything.
struct Core {
    ingest: Ingest,
    owner: Owner,
    tally: Tally,
    cut: u32,
}

impl Core {
    fn new() -> Core {
        let (writer, slab) = SlabWriter::new();
        let options = RegistryOptions { series_limit: 4_000_000, group_limit: 100_000, memory_limit: usize::MAX };
        let registry = Arc::new(Registry::new(options, vec![slab]));
        let flush = FlushOptions {
            plan: PlanNumber::FIRST,
            epoch: EpochNumber::FIRST,
            started_ns: START,
            expire_ns: 300 * SECOND,
        };
        Core {
            ingest: Ingest::new(
                0,
                IngestOptions { started_ns: START, limits: Limits::DEFAULT },
                registry.clone(),
                writer,
            ),
            owner: Owner::new(0, flush, registry).0,
            tally: Tally::default(),
            cut: 0,
        }
    }

    fn send(&mut self, requests: &[Vec<u8>]) {
        for request in requests {
            let receipt = self.ingest.export(Door::OtlpGrpc.into(), request, &mut self.tally).expect("well-formed");
            assert_eq!(receipt.rejected, 0);
        }
    }

    /// Cuts and merges; returns what is given out, counted.
    fn flush(&mut self, view: Option<Temporality>) -> Count {
        self.flush_into(Count { view, ..Count::default() })
    }

    fn flush_into(&mut self, mut out: Count) -> Count {
        self.cut += 1;
        let (interval, bank) = self.ingest.open();
        self.ingest.switch(self.cut + 1);
        let closed = Some(Closed { bank, interval });
        let shard = ShardView { number: self.cut, open_bank: 1 - bank, open_interval: self.cut + 1, closed };
        self.owner.begin(self.cut, CutTimes::at(T + u64::from(self.cut) * SECOND), vec![shard]);
        while self.owner.step(self.ingest.slab_mut(), &mut self.tally, &mut out, || true) == Work::More {}
        self.owner.settle();
        while self.owner.step(self.ingest.slab_mut(), &mut self.tally, &mut out, || true) == Work::More {}
        assert!(self.tally.balanced());
        out
    }
}

#[derive(Default)]
struct Count {
    encoder: Encoder,
    view: Option<Temporality>,
    points: u64,
    bytes: usize,
    /// The requests themselves, where they are asked for: a measurement that kept them would be one of fresh memory.
    kept: Option<Vec<Vec<u8>>>,
}

impl Outlet for Count {
    fn wants(&self, view: View) -> bool {
        self.view == Some(view.temporality)
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        let Request { bytes: request, points } = self.encoder.encode(rows, flushed.view.temporality)?;
        let written = Written { points, bytes: request.len() as u64 };
        self.points += points;
        self.bytes += request.len();
        if let Some(kept) = &mut self.kept {
            kept.push(request);
        }
        Some(written)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Delta,
    Cumulative,
    Gauge,
    Histogram,
    Exponential,
}

/// Requests of 1000 points, 50 points a metric, five attributes; some 200 bytes a number point.
fn requests(shape: Shape, series: usize, time: u64) -> Vec<Vec<u8>> {
    let point = |i: usize| {
        let texts = [format!("route-{:08}", i), format!("host-{:06}", i / 50), "eu-central-1a".into()];
        let pairs = [
            ("http.route", texts[0].as_str()),
            ("host.name", texts[1].as_str()),
            ("cloud.availability_zone", texts[2].as_str()),
            ("http.request.method", "GET"),
            ("deployment.environment", "production"),
        ];
        attributes(&pairs)
    };
    let metric = |m: usize| {
        let range = m * 50..((m + 1) * 50).min(series);
        let name = format!("metric.{}", m % 20);
        let numbers =
            || range.clone().map(|i| pb::NumberDataPoint { attributes: point(i), ..number(&[], T - 1, time, int(3)) });
        match shape {
            Shape::Delta => sum(&name, 1, true, numbers().collect()),
            Shape::Cumulative => sum(&name, 2, true, numbers().collect()),
            Shape::Gauge => gauge(&name, numbers().collect()),
            Shape::Histogram => {
                let bounds: Vec<f64> = (1..15).map(f64::from).collect();
                let points = range.clone().map(|i| pb::HistogramDataPoint {
                    attributes: point(i),
                    ..histogram_point(&[], time, &[2; 15], &bounds, 30.0)
                });
                histogram(&name, 1, points.collect())
            }
            Shape::Exponential => {
                let points = range.clone().map(|i| pb::ExponentialHistogramDataPoint {
                    attributes: point(i),
                    ..exponential_point(&[], T - 1, time, 3, 0, &[1; 20])
                });
                exponential(&name, 1, points.collect())
            }
        }
    };
    let metrics: Vec<_> = (0..series.div_ceil(50)).map(metric).collect();
    metrics
        .chunks(20)
        .enumerate()
        .map(|(i, metrics)| request_of(&format!("svc-{i}"), metrics.to_vec()).encode_to_vec())
        .collect()
}

/// The points of each metric in another order.
fn shuffled(requests: &[Vec<u8>], seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    requests
        .iter()
        .map(|bytes| {
            let mut request = ExportMetricsServiceRequest::decode(&**bytes).expect("ours");
            for metric in
                request.resource_metrics.iter_mut().flat_map(|r| &mut r.scope_metrics).flat_map(|s| &mut s.metrics)
            {
                if let Some(pb::metric::Data::Sum(sum)) = &mut metric.data {
                    for i in (1..sum.data_points.len()).rev() {
                        sum.data_points.swap(i, (next() % (i as u64 + 1)) as usize);
                    }
                }
            }
            request.encode_to_vec()
        })
        .collect()
}

/// Whether this is a measurement, and not a run under `cargo test`.
fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

fn sizes() -> Vec<usize> {
    if measuring() { vec![1_000, 100_000, 1_000_000] } else { vec![1_000] }
}

fn throughput(points: usize, requests: &[Vec<u8>]) -> Throughput {
    rate(points, requests.iter().map(Vec::len).sum())
}

const fn rate(points: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: points as u64, bytes: bytes as u64 }
}

/// The walk alone: every point read, no series looked for. The sum of the values is the checksum.
fn walk(requests: &[Vec<u8>], arena: &mut Bump) -> u64 {
    let mut sum = 0;
    for bytes in requests {
        let read = request::each(bytes, 1, |resource| {
            black_box(request::head(resource, arena)?);
            request::each(resource, 2, |scope| {
                black_box(request::head(scope, arena)?);
                request::each(scope, 2, |metric| {
                    let Some((_, data)) = request::metric(metric, false, arena)?.and_then(|head| head.data) else {
                        return Ok(());
                    };
                    request::each(data, 1, |point| {
                        if let points::PointValue::Int(value) = points::number(point, None, arena)?.value {
                            sum += value as u64;
                        }
                        Ok(())
                    })
                })
            })
        });
        read.expect("well-formed");
        arena.reset();
    }
    sum
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.sample_size(10);
    let series = if measuring() { 100_000 } else { 1_000 };
    let same = requests(Shape::Delta, series, T);
    group.throughput(throughput(series, &same));
    let mut arena = Bump::new();
    group.bench_function("walk, delta sums", |b| {
        b.iter(|| assert_eq!(walk(&same, &mut arena), 3 * series as u64, "checksum"));
    });
    group.bench_function("prost into structs, delta sums", |b| {
        b.iter(|| {
            for bytes in &same {
                let read = ExportMetricsServiceRequest::decode(&**bytes).expect("ours");
                assert_eq!(black_box(read).resource_metrics.len(), 1, "checksum");
            }
        });
    });
    group.finish();
}

fn resolve(c: &mut Criterion) {
    let mut group = c.benchmark_group("bytes to cells, delta sums");
    group.sample_size(10);
    for series in sizes() {
        let same = requests(Shape::Delta, series, T);
        group.throughput(throughput(series, &same));
        // each series is born: names, groups, index, cells
        group.bench_function(format!("cold/{series}"), |b| {
            b.iter_batched_ref(Core::new, |core| core.send(&same), BatchSize::PerIteration);
        });
        let mut core = Core::new();
        core.send(&same);
        group.bench_function(format!("same order/{series}"), |b| b.iter(|| core.send(&same)));
        assert_eq!(core.flush(Some(Temporality::Delta)).points, series as u64, "checksum");
        // eight orders in turn, none of them that of the export before
        let orders: Vec<_> =
            (1..=if series > 100_000 { 2 } else { 8 }).map(|seed| shuffled(&same, seed * 7919)).collect();
        let mut at = 0;
        group.bench_function(format!("new order/{series}"), |b| {
            b.iter(|| {
                at = (at + 1) % orders.len();
                core.send(&orders[at]);
            });
        });
        // also where a filter left the measurement out
        core.send(&same);
        assert_eq!(core.flush(Some(Temporality::Delta)).points, series as u64, "checksum");
    }
    group.finish();
}

fn accumulate(c: &mut Criterion) {
    let mut group = c.benchmark_group("bytes to cells, by kind");
    group.sample_size(10);
    let series = if measuring() { 10_000 } else { 1_000 };
    for (name, shape) in [
        ("delta sum", Shape::Delta),
        ("cumulative sum", Shape::Cumulative),
        ("gauge", Shape::Gauge),
        ("histogram of 14 bounds", Shape::Histogram),
        ("exponential histogram of 20 buckets", Shape::Exponential),
    ] {
        let mut core = Core::new();
        let mut time = T;
        let first = requests(shape, series, time);
        core.send(&first);
        group.throughput(throughput(series, &first));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    time += 1;
                    requests(shape, series, time)
                },
                |requests| core.send(&requests),
                BatchSize::PerIteration,
            );
        });
        assert_eq!(core.flush(Some(Temporality::Cumulative)).points, series as u64, "checksum");
    }
    group.finish();
}

fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("cut and merge");
    group.sample_size(10);
    for series in sizes() {
        let same = requests(Shape::Delta, series, T);
        for (name, view) in [
            ("without destination", None),
            ("encoded cumulative", Some(Temporality::Cumulative)),
            ("encoded delta", Some(Temporality::Delta)),
        ] {
            let mut core = Core::new();
            core.send(&same);
            let bytes = core.flush(view).bytes;
            let expected = if view.is_some() { series as u64 } else { 0 };
            group.throughput(rate(series, bytes));
            group.bench_function(format!("{name}/{series}"), |b| {
                b.iter_custom(|times| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        core.send(&same);
                        let begun = Instant::now();
                        let out = core.flush(view);
                        spent += begun.elapsed();
                        assert_eq!(out.points, expected, "checksum");
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}

/// What a destination's form adds to the encoded requests, once for all destinations that share it.
fn forms(c: &mut Criterion) {
    let mut group = c.benchmark_group("forms of destinations");
    group.sample_size(10);
    let series = if measuring() { 100_000 } else { 1_000 };
    let mut core = Core::new();
    core.send(&requests(Shape::Delta, series, T));
    let view = Some(Temporality::Cumulative);
    let out = core.flush_into(Count { view, kept: Some(Vec::new()), ..Count::default() });
    assert_eq!(out.points, series as u64, "checksum");
    let encoded = out.kept.unwrap_or_default();
    group.throughput(throughput(series, &encoded));
    let mut text = Vec::new();
    group.bench_function("JSON lines", |b| {
        b.iter(|| {
            for request in &encoded {
                text.clear();
                catchment::otlp::json_out::write_json(request, &mut text).expect("ours");
                black_box(text.len());
            }
        });
    });
    // at the levels that destinations take
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
    };
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory");
    let codings: [(&str, &dyn Fn(&[u8]) -> Vec<u8>); 2] = [("gzip", &gzip), ("zstd", &zstd)];
    for (name, pack) in codings {
        group.bench_function(name, |b| {
            b.iter(|| {
                for request in &encoded {
                    assert!(black_box(pack(request)).len() < request.len() / 2, "checksum");
                }
            });
        });
    }
    group.finish();
}

/// Bytes in to bytes out: an export of every series, a cut, and its requests encoded.
fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole");
    group.sample_size(10);
    for series in sizes() {
        let same = requests(Shape::Delta, series, T);
        let mut core = Core::new();
        core.send(&same);
        core.flush(Some(Temporality::Delta));
        group.throughput(throughput(series, &same));
        group.bench_function(format!("delta sums in, delta out/{series}"), |b| {
            b.iter(|| {
                core.send(&same);
                assert_eq!(core.flush(Some(Temporality::Delta)).points, series as u64, "checksum");
            });
        });
    }
    group.finish();
}

/// OTLP/JSON to protobuf, and the yardstick: `serde_json` into the official structs. Goal: a third of its time at most.
fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("JSON");
    group.sample_size(10);
    for (name, shape) in [("delta sums", Shape::Delta), ("histograms of 14 bounds", Shape::Histogram)] {
        let series = 1_000;
        let wire = requests(shape, series, T).concat();
        let mut text = Vec::new();
        catchment::otlp::json_out::write_json(&wire, &mut text).expect("ours");
        group.throughput(Throughput::ElementsAndBytes { elements: series as u64, bytes: text.len() as u64 });
        let mut out = Vec::new();
        group.bench_function(format!("to protobuf/{name}"), |b| {
            let mut transcoder = catchment::otlp::json_in::Transcoder::default();
            b.iter(|| {
                out.clear();
                transcoder.begin();
                transcoder.advance(&text, &mut out, usize::MAX, usize::MAX, &mut |_| true).expect("ours");
                black_box(out.len())
            });
        });
        let mut core = Core::new();
        group.bench_function(format!("to cells/{name}"), |b| {
            let mut transcoder = catchment::otlp::json_in::Transcoder::default();
            b.iter(|| {
                out.clear();
                transcoder.begin();
                transcoder.advance(&text, &mut out, usize::MAX, usize::MAX, &mut |_| true).expect("ours");
                core.send(std::slice::from_ref(&out));
            });
        });
        assert_eq!(core.flush(Some(Temporality::Delta)).points, series as u64, "checksum");
        let read = ExportMetricsServiceRequest::decode(&out[..]).expect("well-formed");
        group.bench_function(format!("serde_json into structs/{name}"), |b| {
            b.iter(|| black_box(serde_json::from_slice::<ExportMetricsServiceRequest>(&text).expect("ours")));
        });
        let theirs: ExportMetricsServiceRequest = serde_json::from_slice(&text).expect("ours");
        assert_eq!(read.resource_metrics.len(), theirs.resource_metrics.len(), "checksum");
        assert_eq!(read, theirs, "checksum");
    }
    group.finish();
}

criterion_group!(benches, decode, resolve, accumulate, merge, forms, whole, json);
criterion_main!(benches);
