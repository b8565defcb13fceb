//! No allocation for a point, nor for a series at a cut, in steady state: the same points again and again, counted at
//! the allocator.
//!
//! One test, so that nothing else allocates beside it.

mod common;

use catchment::aggregate::exponential::{self, Exponential, Side};
use catchment::aggregate::number::Value;
use catchment::chance::Chance;
use catchment::flush::{Outlet, Work, Written};
use catchment::fold::{ContributedRegion, Contribution, FoldPart, FoldSpec, FoldWork};
use catchment::model::{Flushed, View};
use catchment::rows::Rows;
use catchment::rules::{Aggregation, Bucketing, Grouping, InputKind, Output, OutputSpec};
use catchment::sync::cut::{Closed, CutTimes, ShardView};
use common::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const T: u64 = START + 10 * SECOND;
const BOUNDS: [f64; 14] = [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1e3, 2.5e3, 5e3, 7.5e3];

type Make = fn(&[(usize, u64)]) -> pb::Metric;

fn numbers_of(points: &[(usize, u64)]) -> Vec<pb::NumberDataPoint> {
    points
        .iter()
        .map(|(k, round)| {
            let k = k.to_string();
            let pairs = [("route", k.as_str()), ("method", "GET"), ("code", "200"), ("zone", "eu"), ("host", "h1")];
            number(&pairs, START + 1, T + round, int(*round as i64))
        })
        .collect()
}

fn histograms_of(points: &[(usize, u64)]) -> Vec<pb::HistogramDataPoint> {
    let counts = |round: u64| [round; 15];
    points
        .iter()
        .map(|(k, round)| {
            let k = k.to_string();
            let mut point = histogram_point(&[("route", &k)], T + round, &counts(*round), &BOUNDS, 1.5);
            point.start_time_unix_nano = START + 1;
            point
        })
        .collect()
}

/// More buckets than fit a small buffer.
fn wide_histograms_of(points: &[(usize, u64)]) -> Vec<pb::HistogramDataPoint> {
    let bounds: Vec<f64> = (0..100).map(f64::from).collect();
    let mut all = histograms_of(points);
    for (point, (_, round)) in all.iter_mut().zip(points) {
        point.explicit_bounds.clone_from(&bounds);
        point.bucket_counts = vec![*round; 101];
        point.count = 101 * round;
    }
    all
}

/// In `scales` scales, by turns.
fn exponentials_of(points: &[(usize, u64)], scales: u64) -> Vec<pb::ExponentialHistogramDataPoint> {
    let point = |(k, round): &(usize, u64)| {
        let scale = 3 + (round % scales) as i32;
        exponential_point(&[("route", &k.to_string())], START + 1, T + round, scale, -4, &[*round; 20])
    };
    points.iter().map(point).collect()
}

const KINDS: [(&str, Make); 9] = [
    ("delta sums", |p| sum("d", 1, true, numbers_of(p))),
    ("gauges", |p| gauge("g", numbers_of(p))),
    ("cumulative sums", |p| sum("c", 2, true, numbers_of(p))),
    ("delta histograms", |p| histogram("hd", 1, histograms_of(p))),
    ("cumulative histograms", |p| histogram("hc", 2, histograms_of(p))),
    ("delta histograms of 101 buckets", |p| histogram("wd", 1, wide_histograms_of(p))),
    ("cumulative histograms of 101 buckets", |p| histogram("wc", 2, wide_histograms_of(p))),
    ("delta exponential histograms", |p| exponential("ed", 1, exponentials_of(p, 2))),
    ("cumulative exponential histograms", |p| exponential("ec", 2, exponentials_of(p, 1))),
];

/// Each number with an exemplar as SDKs write them.
fn with_exemplars(points: &[(usize, u64)]) -> pb::Metric {
    let mut numbers = numbers_of(points);
    for point in &mut numbers {
        point.exemplars = vec![pb::Exemplar {
            filtered_attributes: attributes(&[("user", "u1"), ("path", "/x")]),
            time_unix_nano: point.time_unix_nano,
            value: Some(pb::exemplar::Value::AsDouble(1.5)),
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
        }];
    }
    sum("x", 1, true, numbers)
}

/// Bodies of `n` points each, the rounds rising; every other one in the reverse order where `shuffled`.
fn bodies(make: Make, n: usize, rounds: std::ops::Range<u64>, shuffled: bool) -> Vec<Vec<u8>> {
    rounds
        .map(|round| {
            let mut points: Vec<(usize, u64)> = (0..n).map(|k| (k, round)).collect();
            if shuffled && round % 2 == 1 {
                points.reverse();
            }
            request(vec![make(&points)]).encode_to_vec()
        })
        .collect()
}

/// Allocations of requests of `n` known points, each in a new interval and then again in the same one.
fn steady(make: Make, n: usize, shuffled: bool) -> Vec<u64> {
    let mut rig = Rig::new(1);
    for body in bodies(make, 2000, 1..4, shuffled) {
        rig.send_bytes(0, &body).expect("accepted");
        rig.cut(T);
    }
    let mut counted = Vec::new();
    let rounds = bodies(make, n, 4..12, shuffled);
    for pair in rounds.chunks(2) {
        for body in pair {
            let before = ALLOCATIONS.load(Relaxed);
            let receipt = rig.send_bytes(0, body).expect("accepted");
            counted.push(ALLOCATIONS.load(Relaxed) - before);
            assert_eq!((receipt.points, receipt.rejected), (n as u64, 0));
        }
        rig.cut(T);
    }
    // the arena grows to its size once
    counted.split_off(4)
}

/// Takes nothing, so that merging is all there is.
struct Nowhere;

impl Outlet for Nowhere {
    fn wants(&self, _: View) -> bool {
        false
    }
    fn take(&mut self, _: Flushed, _: &impl Rows) -> Option<Written> {
        unreachable!("nobody wants it");
    }
}

/// Allocations of merging cuts of `n` series that two cores feed by turns, in steady state.
fn merging(make: Make, n: usize) -> Vec<u64> {
    let mut rig = Rig::new(2);
    let mut counted = Vec::new();
    for (i, pair) in bodies(make, n, 1..17, false).chunks(2).enumerate() {
        for (core, body) in pair.iter().enumerate() {
            rig.send_bytes(core, body).expect("accepted");
        }
        let mut cores = Vec::new();
        for core in &mut rig.cores {
            let (interval, bank) = core.open();
            core.switch(interval + 1);
            let closed = Some(Closed { bank, interval });
            cores.push(ShardView { number: interval, open_bank: 1 - bank, open_interval: interval + 1, closed });
        }
        let number = cores[0].number;
        for owner in &mut rig.owners {
            owner.begin(number, CutTimes::at(T + i as u64 * 10 * SECOND), cores.clone());
        }
        let before = ALLOCATIONS.load(Relaxed);
        for (owner, core) in rig.owners.iter_mut().zip(&mut rig.cores) {
            while owner.step(core.slab_mut(), &mut rig.tally, &mut Nowhere, || true) == Work::More {}
        }
        for (owner, core) in rig.owners.iter_mut().zip(&mut rig.cores) {
            owner.settle();
            while owner.step(core.slab_mut(), &mut rig.tally, &mut Nowhere, || true) == Work::More {}
        }
        counted.push(ALLOCATIONS.load(Relaxed) - before);
    }
    counted.split_off(4)
}

/// Members of a part: more than all of its bounds.
const MEMBERS: usize = 20_000;

/// Allocations of folding members into a part that has seen the like of them: as many groups, samples and different values
/// as before, beyond what it keeps one by one.
fn folding() -> Vec<(&'static str, u64)> {
    let bounds: Arc<[f64]> = BOUNDS.into();
    let words = [&[15, 0, 0, 0, 1], [1; 15].as_slice()].concat();
    let positive = Side { offset: 3, counts: vec![2; 40] };
    let value = Exponential { count: 80, scale: 3, positive, ..Exponential::default() };
    let mut region = vec![0; exponential::REGION];
    value.store(&mut region.as_mut_slice());
    let keys: Vec<Arc<[u8]>> = (0..MEMBERS).map(|key| key.to_be_bytes().into()).collect();
    let mut chance = Chance::new(1);
    let hashes: Vec<u64> = (0..1_000).map(|_| chance.any()).collect();
    let member = |i: usize| Contribution {
        delta: Some(Value::Int(3)),
        level: Some(Value::Double(i as f64)),
        points: 1,
        is_touched: true,
        is_live: true,
        distinct: &hashes[i % hashes.len()..][..1],
        top: &keys[i..][..1],
        ..Contribution::default()
    };
    let explicit = ContributedRegion::Explicit { bounds: &bounds, words: &words };
    let exponential = ContributedRegion::Exponential(&region);
    let key = || vec!["k".into()];
    let keyed = [Output::Same, Output::Unique(key()), Output::TopK { k: 3, keys: key() }];
    let of_samples = [
        Output::Avg,
        Output::Stddev,
        Output::Quantile(0.9),
        Output::Last,
        Output::Histogram(Bucketing::Explicit([1.0, 100.0, 1_000.0].into())),
        Output::Histogram(Bucketing::Exponential(160)),
    ];
    let of_buckets = [Output::Same, Output::Quantile(0.9)];
    let cases: [(&str, InputKind, &[Output], Option<ContributedRegion<'_>>); 4] = [
        ("counters", InputKind::Counter, &keyed, None),
        ("gauges", InputKind::Gauge, &of_samples, None),
        ("histograms", InputKind::Histogram, &of_buckets, Some(explicit)),
        ("exponential histograms", InputKind::ExponentialHistogram, &of_buckets, Some(exponential)),
    ];
    cases
        .into_iter()
        .map(|(what, input, outputs, region)| {
            let spec = fold_spec(input, outputs);
            let (mut part, mut work, mut before) = (FoldPart::default(), FoldWork::default(), 0);
            for _ in 0..3 {
                before = ALLOCATIONS.load(Relaxed);
                part.clear();
                for i in 0..MEMBERS {
                    part.add(&spec, &Contribution { region, ..member(i) }, &mut work);
                }
            }
            (what, ALLOCATIONS.load(Relaxed) - before)
        })
        .collect()
}

fn fold_spec(input: InputKind, outputs: &[Output]) -> FoldSpec {
    let of = |output: &Output| OutputSpec {
        output: output.clone(),
        window_ns: 10 * SECOND,
        name: "{name}".into(),
        text: "".into(),
    };
    let mut aggregation = Aggregation::new(Grouping::All, 10 * SECOND);
    aggregation.outputs[input as usize] = outputs.iter().map(of).collect();
    FoldSpec::new(&aggregation, input)
}

#[test]
fn no_allocation_for_an_additional_point_in_steady_state() {
    let mut failures = Vec::new();
    for shuffled in [false, true] {
        for (kind, make) in KINDS {
            let (one, two) = (steady(make, 1000, shuffled), steady(make, 2000, shuffled));
            println!("{kind}, shuffled {shuffled}: 1000 points {one:?}, 2000 points {two:?}");
            if one.iter().chain(&two).any(|n| *n > 0) {
                failures.push((kind, shuffled, one, two));
            }
        }
    }
    let (one, two) = (steady(with_exemplars, 1000, false), steady(with_exemplars, 2000, false));
    assert!(one.iter().chain(&two).all(|n| *n == 0), "with exemplars: {one:?}, {two:?}");
    // a cut hands its exemplars on, whole: so much, and nothing for a series
    let (one, two) = (merging(with_exemplars, 500), merging(with_exemplars, 1000));
    assert!(one.iter().chain(&two).all(|n| *n <= 2 * 8), "merging exemplars: {one:?}, {two:?}");
    for (kind, make) in KINDS {
        let merged = merging(make, 1000);
        println!("merging {kind}: {merged:?}");
        if merged.iter().any(|n| *n > 0) {
            failures.push((kind, false, merged, Vec::new()));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
    for (what, allocations) in folding() {
        assert_eq!(allocations, 0, "folding {MEMBERS} members: {what}");
    }
    for (kind, make) in KINDS {
        let (mut text, mut out) = (Vec::new(), Vec::with_capacity(4 << 20));
        catchment::otlp::json_out::write_json(&bodies(make, 2000, 1..2, false)[0], &mut text).expect("a request");
        // an escape in every attribute's value, as of a sender that escapes slashes
        let text = String::from_utf8(text).expect("JSON").replace("\"GET\"", "\"G\\u0045T\\/\"");
        let mut transcoder = catchment::otlp::json_in::Transcoder::default();
        let before = ALLOCATIONS.load(Relaxed);
        let read = transcoder.advance(text.as_bytes(), &mut out, 4 << 20, usize::MAX, &mut |_| true);
        read.expect("JSON");
        assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "2000 points of JSON, {kind}");
    }
}
