//! What folding costs a member: a counter, a gauge of four outputs, a histogram of 14 bounds, an exponential one; and what
//! an output costs at its cut. Each result is checked. `cargo bench` measures; `cargo test` runs each body once.
//!
//! Members of one group stand together, as those of one metric do in an owner's walk; there are as many groups as fit into
//! no first-level cache.

use catchment::aggregate::explicit::{HAS_MAX, HAS_MIN, HAS_SUM};
use catchment::aggregate::exponential::{Exponential, REGION, Side};
use catchment::aggregate::number::Value;
use catchment::fold::{
    ContributedRegion, Contribution, FoldPart, FoldSpec, FoldWork, LeavingValue, OutputState, RuleClock,
};
use catchment::rules::{Aggregation, Grouping, InputKind, Output, OutputSpec};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;

const S: u64 = 1_000_000_000;
const GROUPS: usize = 1_000;
const MEMBERS: usize = 20;

fn spec(input: InputKind, outputs: &[Output], window_s: u64) -> FoldSpec {
    let of = |output: &Output| OutputSpec {
        output: output.clone(),
        window_ns: window_s * S,
        name: "{name}".into(),
        text: "".into(),
    };
    let mut aggregation = Aggregation::new(Grouping::All, 10 * S);
    aggregation.outputs[input as usize] = outputs.iter().map(of).collect();
    FoldSpec::new(&aggregation, input)
}

/// Adds all members of all groups to their parts, and empties these.
fn fold(c: &mut Criterion, name: &str, spec: &FoldSpec, given: &Contribution<'_>) {
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements((GROUPS * MEMBERS) as u64));
    let (mut parts, mut work) = (vec![FoldPart::default(); GROUPS], FoldWork::default());
    group.bench_function(name, |b| {
        b.iter(|| {
            for part in &mut parts {
                for _ in 0..MEMBERS {
                    part.add(spec, black_box(given), &mut work);
                }
            }
            let full = parts.iter().filter(|part| !part.is_empty()).count();
            parts.iter_mut().for_each(FoldPart::clear);
            assert_eq!(full, GROUPS);
        });
    });
    group.finish();
}

/// Takes a part into each output, and lets it leave.
fn leave(c: &mut Criterion, name: &str, spec: &FoldSpec, given: &Contribution<'_>) {
    let mut group = c.benchmark_group("leave");
    group.throughput(Throughput::Elements(GROUPS as u64));
    let (mut work, mut part) = (FoldWork::default(), FoldPart::default());
    let mut states: Vec<OutputState> = (0..GROUPS).map(|_| OutputState::new(0)).collect();
    let (mut clock, mut now) = (RuleClock::new(10 * S, spec.steps()), 0);
    group.bench_function(name, |b| {
        b.iter(|| {
            let from = now;
            now += 10 * S;
            let cut = clock.at(from, now, false).expect("each base cut is the rule's");
            let mut left = 0;
            for state in &mut states {
                part.add(spec, given, &mut work);
                state.take(spec, (from, now), Some(&mut part), &mut work);
                part.clear();
                state.leave(spec, &cut, &mut work, &mut |leaving| {
                    left += usize::from(leaving.value != LeavingValue::End)
                });
            }
            black_box(left)
        });
    });
    group.finish();
}

fn folds(c: &mut Criterion) {
    let touched = Contribution { points: 1, time_ns: 1, is_touched: true, is_live: true, ..Contribution::default() };
    let number = Contribution { delta: Some(Value::Int(3)), level: Some(Value::Int(3)), ..touched };
    let double = Contribution { delta: Some(Value::Double(0.5)), level: Some(Value::Double(0.5)), ..touched };
    let counter = spec(InputKind::Counter, &[Output::Same], 10);
    fold(c, "counter_int", &counter, &number);
    fold(c, "counter_double", &counter, &double);
    fold(c, "gauge_sum", &spec(InputKind::Gauge, &[Output::Sum], 10), &double);
    let four = [Output::Avg, Output::Min, Output::Max, Output::Stddev];
    fold(c, "gauge_avg_min_max_stddev", &spec(InputKind::Gauge, &four, 10), &double);

    let bounds: Arc<[f64]> = (0..14).map(|i| f64::from(1 << i)).collect();
    let mut words = vec![15, 99f64.to_bits(), 1f64.to_bits(), 9f64.to_bits(), HAS_SUM | HAS_MIN | HAS_MAX];
    words.resize(words.len() + 15, 1);
    let histogram =
        Contribution { region: Some(ContributedRegion::Explicit { bounds: &bounds, words: &words }), ..touched };
    let same = spec(InputKind::Histogram, &[Output::Same], 10);
    fold(c, "histogram_14_bounds", &same, &histogram);

    let positive = Side { offset: 3, counts: vec![2; 40] };
    let value = Exponential { count: 80, sum: 99.0, flags: HAS_SUM, scale: 3, positive, ..Exponential::default() };
    let mut region = vec![0; REGION];
    value.store(&mut region.as_mut_slice());
    let exponential = Contribution { region: Some(ContributedRegion::Exponential(&region)), ..touched };
    fold(c, "exponential_40_buckets", &spec(InputKind::ExponentialHistogram, &[Output::Same], 10), &exponential);

    leave(c, "counter", &counter, &number);
    leave(c, "counter_rate_30_steps", &spec(InputKind::Counter, &[Output::Rate], 300), &number);
    leave(c, "gauge_4_of_30_steps", &spec(InputKind::Gauge, &four, 300), &double);
    leave(c, "histogram_14_bounds", &same, &histogram);
    let quantile = spec(InputKind::Histogram, &[Output::Same, Output::Quantile(0.99)], 10);
    leave(c, "histogram_14_bounds_p99", &quantile, &histogram);
}

criterion_group!(benches, folds);
criterion_main!(benches);
