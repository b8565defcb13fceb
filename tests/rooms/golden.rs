//! What leaves is the same, byte by byte, from one version to the next: a fixed mixture of all kinds over several cuts,
//! in both views, against `tests/golden/otlp_fingerprints.txt`. Where bytes change on purpose, the file changes with them:
//! run it with UPDATE_GOLDEN=1.

use crate::common::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, Exemplar, exemplar::Value};
use std::fmt::Write as _;

const CUTS: u64 = 9;
/// Cuts after which a series without a point is gone.
const EXPIRE_CUTS: u64 = 3;
const NO_RECORDED_VALUE: u32 = 1;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn exemplars(&mut self, time: u64) -> Vec<Exemplar> {
        let one = |random: &mut Random| Exemplar {
            filtered_attributes: if random.one_in(2) { attributes(&[("user", "u1")]) } else { vec![] },
            time_unix_nano: time + random.below(9),
            value: Some(if random.one_in(2) {
                Value::AsInt(7)
            } else {
                Value::AsDouble(random.below(99) as f64 / 4.0)
            }),
            span_id: vec![random.below(200) as u8; 8],
            trace_id: vec![random.below(200) as u8; 16],
        };
        let count = if self.one_in(4) { self.below(6) } else { 0 };
        (0..count).map(|_| one(self)).collect()
    }

    /// Points of one metric that this export has: each series comes in most of them.
    fn series<T>(&mut self, count: u64, mut point: impl FnMut(&mut Random, &[(&str, &str)]) -> T) -> Vec<T> {
        let mut points = Vec::new();
        for n in 0..count {
            if self.one_in(3) {
                continue;
            }
            let (route, long) = (format!("/{n}"), "x".repeat(n as usize * 40));
            let pairs = [("route", route.as_str()), ("zone", "eu"), ("long", long.as_str())];
            let from = self.below(3) as usize;
            points.push(point(self, &pairs[from.min(n as usize)..]));
        }
        points
    }
}

/// One export: every kind in every temporality. `start` is that of cumulative streams, `step` grows with each export.
fn metrics(random: &mut Random, (start, time): (u64, u64), step: u64) -> Vec<pb::Metric> {
    let mut all = Vec::new();
    for temporality in [1, 2] {
        let from = if temporality == 2 { start } else { time - 1 };
        let grown = if temporality == 2 { step } else { 1 };
        let flags = |random: &mut Random| if random.one_in(12) { NO_RECORDED_VALUE } else { 0 };
        for (name, monotonic, doubles) in [("ints", true, false), ("doubles", true, true), ("updown", false, false)] {
            let points = random.series(12, |random, pairs| {
                let value = grown * (1 + random.below(3)) + if monotonic { 0 } else { random.below(50) };
                let value = if doubles { double(value as f64 / 8.0) } else { int(value as i64) };
                let (flags, exemplars) = (flags(random), random.exemplars(time));
                pb::NumberDataPoint { flags, exemplars, ..number(pairs, from, time + random.below(3), value) }
            });
            all.push(sum(&format!("{name}.{temporality}"), temporality, monotonic, points));
        }
        for bounds in [vec![], vec![1.0], (1..15).map(f64::from).collect()] {
            let points = random.series(6, |random, pairs| {
                let counts: Vec<u64> = bounds.iter().chain([&0.0]).map(|_| grown * random.below(3)).collect();
                let point = histogram_point(pairs, time + random.below(3), &counts, &bounds, grown as f64 * 2.5);
                let start_time_unix_nano = from.min(point.time_unix_nano);
                let (flags, exemplars) = (flags(random), random.exemplars(time));
                pb::HistogramDataPoint { start_time_unix_nano, flags, exemplars, ..point }
            });
            all.push(histogram(&format!("histogram.{}.{temporality}", bounds.len()), temporality, points));
        }
        let points = random.series(8, |random, pairs| {
            let (scale, offset) = (random.below(6) as i32 - 1, random.below(40) as i32 - 20);
            let counts: Vec<u64> = (0..random.below(30)).map(|_| grown * random.below(300)).collect();
            let mut point = exponential_point(pairs, from, time + random.below(3), scale, offset, &counts);
            if random.one_in(2) {
                let (offset, bucket_counts) = (-3, vec![grown, 0, 2 * grown]);
                point.negative = Some(pb::exponential_histogram_data_point::Buckets { offset, bucket_counts });
                point.count += 3 * grown;
                point.sum = None;
            }
            (point.min, point.max) = if random.one_in(2) { (Some(-1.0), Some(8.0)) } else { (None, None) };
            point.zero_threshold = if random.one_in(4) { 0.125 } else { 0.0 };
            (point.flags, point.exemplars) = (flags(random), random.exemplars(time));
            point
        });
        all.push(exponential(&format!("exponential.{temporality}"), temporality, points));
    }
    let points = random.series(20, |random, pairs| {
        let value = if random.one_in(2) { int(random.below(99) as i64) } else { double(random.below(99) as f64 / 3.0) };
        let flags = if random.one_in(9) { NO_RECORDED_VALUE } else { 0 };
        let exemplars = random.exemplars(time);
        pb::NumberDataPoint { flags, exemplars, ..number(pairs, 0, time + random.below(3), value) }
    });
    all.push(gauge("gauge", points));
    let points = random.series(8, |random, pairs| {
        let quantiles: Vec<(f64, f64)> =
            (0..random.below(5)).map(|q| (q as f64 / 4.0, random.below(9) as f64)).collect();
        let flags = if random.one_in(9) { NO_RECORDED_VALUE } else { 0 };
        let point = summary_point(pairs, start, time + random.below(3), step, 0.5 * random.below(4) as f64, &quantiles);
        pb::SummaryDataPoint { flags, ..point }
    });
    all.push(summary("summary", points));
    all.retain(|_| !random.one_in(6));
    all.iter_mut().filter(|metric| metric.name.len() % 2 == 0).for_each(|metric| {
        metric.description = "what it counts".into();
        metric.unit = if metric.name.len() % 4 == 0 { String::new() } else { "By".into() };
    });
    all
}

/// Two resources with two scopes each, some with schema URLs, one without attributes.
fn export(random: &mut Random, time: u64, cut: u64) -> ExportMetricsServiceRequest {
    let start = START + 5;
    let mut whole = ExportMetricsServiceRequest::default();
    for service in ["one", "two"] {
        let mut request = request_of(service, metrics(random, (start, time), cut));
        let resource = &mut request.resource_metrics[0];
        let mut other = resource.scope_metrics[0].clone();
        other.metrics = metrics(random, (start, time), cut);
        other.scope = (service == "one").then(|| InstrumentationScope {
            name: "other".into(),
            attributes: attributes(&[("library.language", "rust")]),
            ..Default::default()
        });
        other.schema_url = "https://example.com/scope".into();
        resource.scope_metrics.push(other);
        if service == "two" {
            resource.resource = None;
            resource.schema_url = "https://example.com/resource".into();
        }
        whole.resource_metrics.extend(request.resource_metrics);
    }
    whole
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A line a cut: fingerprint, bytes, requests and points of the cumulative and the delta view.
fn fingerprints(seed: u64) -> String {
    let mut rig = Rig::with(1, 1_000_000, EXPIRE_CUTS * 10 * SECOND);
    let (mut random, mut lines) = (Random(seed), String::new());
    for cut in 1..=CUTS {
        // nothing in two of them, so that series retire; then they come back
        if !(4..6).contains(&cut) {
            for part in 0..2 {
                let request = export(&mut random, START + cut * 10 * SECOND - (9 - 4 * part) * SECOND, 2 * cut + part);
                rig.send(0, &request);
            }
        }
        // more than a batch holds
        if cut == 7 {
            let texts: Vec<String> = (0..2_500).map(|n| n.to_string()).collect();
            let time = START + cut * 10 * SECOND - SECOND;
            let points = texts.iter().map(|n| number(&[("n", n)], time - 1, time, int(1))).collect();
            rig.send(0, &request_of("many", vec![sum("many", 1, true, points)]));
        }
        let out = rig.cut(START + cut * 10 * SECOND);
        let count = |requests: &[ExportMetricsServiceRequest]| {
            format!("{}/{}", requests.len(), requests.iter().map(|request| each_point(request).len()).sum::<usize>())
        };
        let (hash, bytes) = (fnv(&out.bytes), out.bytes.len());
        writeln!(lines, "{hash:016x} {bytes} {} {}", count(&out.cumulative), count(&out.delta)).unwrap();
    }
    lines
}

#[test]
fn the_bytes_of_a_fixed_mixture_stay_as_they_are() {
    let got = fingerprints(1);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/otlp_fingerprints.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    assert_eq!(got, want, "{} differs", path.display());
    assert_ne!(fingerprints(2), want, "it depends on what is sent");
}
