//! What rules take in memory before there is anything: of a series, of a member, of an output and its window.
//!
//! Knows the sizes that the memory budget counts with; does not know how many there will be. An output is not looked up in a
//! table: its state is made, fed with one member over all of its window, and asked for its bytes.
//!
//! What is assumed: five attributes of a hundred and fifty bytes, histograms of `BOUNDS` bounds or `BUCKETS` buckets, summaries of `QUANTILES`,
//! one connection for each member.

use super::members::{ENTRY_BYTES, LANE_BYTES, Member};
use super::point::{POINT_BYTES, more_bytes};
use super::settling::{FOLD_BYTES, SERIES_BYTES};
use crate::aggregate::explicit;
use crate::aggregate::exponential::{self, Exponential, Side};
use crate::aggregate::number::Value;
use crate::aggregate::summary;
use crate::cells::{Shape, block, extremes};
use crate::fold::{
    ContributedRegion, Contribution, FoldPart, FoldSpec, FoldWork, OutputState, RuleClock, TOP_ENTRY_BYTES,
};
use crate::model::{Kind, Temporality};
use crate::resolve::ROUTE_BYTES;
use crate::rules::{Aggregation, InputKind, Output};
use crate::series::folds;
use crate::series::registry;
use crate::series::slab::{LINE_WORDS, SlabWriter};
use std::sync::Arc;

/// Bounds of a histogram: as many as SDKs have by default.
const BOUNDS: usize = 15;
/// Populated buckets of an exponential histogram.
const BUCKETS: usize = 40;
/// Quantiles of a summary.
const QUANTILES: usize = 5;
/// Bytes of a fold's attributes and description.
const FOLD_TEXT_BYTES: usize = 96;
/// The key of a group of `topk`.
const TOP_KEY_BYTES: usize = 48;

/// Bytes that a series takes, its cell and its route included; `buckets`: of an explicit histogram.
pub const fn series_bytes(kind: Kind, temporality: Temporality, buckets: u32) -> usize {
    let cell = SlabWriter::lines_of(Shape::of(kind, temporality, buckets).words());
    let owned = match block::words(kind, buckets) {
        0 => 0,
        words => SlabWriter::lines_of(words),
    };
    registry::SERIES_BYTES + (cell + owned) * LINE_WORDS * 8 + ROUTE_BYTES
}

/// Bytes that a point of this kind takes as it leaves, with attributes of so many bytes, about.
pub const fn point_bytes(kind: Kind, buckets: u32, attributes: usize) -> usize {
    POINT_BYTES + attributes + more_bytes(kind, buckets)
}

/// Bytes that a member of a rule takes beside its series.
pub const MEMBER_BYTES: usize = size_of::<Member>();

/// What an output group of a rule takes: all outputs of it for one kind of input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBytes {
    /// The group itself, and the series that leave of it, without windows.
    pub group: usize,
    /// Each of its members, beside what all have: what is kept of gauges inside an interval.
    pub member: usize,
    /// On each shard that has members in it.
    pub shard: usize,
    /// What windows longer than the rule's interval take beside that.
    pub window: usize,
    /// Intervals of the longest window.
    pub steps: usize,
    /// Each group that a `topk` tells apart, over its window; 0 without one.
    pub top: usize,
}

impl GroupBytes {
    /// Of what a rule makes of this kind of input; nothing if it does not take it.
    pub fn of(aggregation: &Aggregation, input: InputKind) -> Option<GroupBytes> {
        let outputs = &aggregation.outputs[input as usize];
        if outputs.is_empty() {
            return None;
        }
        let mut narrow = aggregation.clone();
        let specs = outputs.iter().cloned().map(|mut spec| {
            spec.window_ns = aggregation.interval_ns;
            spec
        });
        narrow.outputs[input as usize] = specs.collect();
        let (state, part) = fed(&narrow, input);
        let (with_windows, _) = fed(aggregation, input);
        let of_top = |output: &Output| matches!(output, Output::TopK { .. });
        let steps = FoldSpec::new(aggregation, input).steps();
        let top = outputs.iter().filter(|spec| of_top(&spec.output)).count();
        Some(GroupBytes {
            group: folds::KEY_BYTES + FOLD_TEXT_BYTES + FOLD_BYTES + state + part + outputs.len() * SERIES_BYTES,
            member: if FoldSpec::new(aggregation, input).asks_extremes() { extremes::WORDS * 8 } else { 0 },
            shard: part + LANE_BYTES + ENTRY_BYTES,
            window: with_windows.saturating_sub(state),
            steps,
            top: top * (steps * TOP_ENTRY_BYTES + TOP_KEY_BYTES),
        })
    }

    /// All of it, with members on so many shards.
    pub const fn on(&self, shards: usize) -> usize {
        self.group + self.window + self.shard * shards
    }
}

/// Bytes of the state and of a part, once every interval of the longest window has had a member.
fn fed(aggregation: &Aggregation, input: InputKind) -> (usize, usize) {
    let spec = FoldSpec::new(aggregation, input);
    let interval_ns = aggregation.interval_ns.max(1);
    let mut clock = RuleClock::new(interval_ns, spec.steps());
    let (mut state, mut part, mut work) = (OutputState::new(0), FoldPart::default(), FoldWork::default());
    let (bounds, words) = region(input);
    let is_summary = input == InputKind::Summary;
    let outputs = || aggregation.outputs[input as usize].iter().map(|spec| &spec.output);
    let distinct = vec![1; outputs().filter(|output| matches!(output, Output::Unique(_))).count()];
    let key: Arc<[u8]> = Arc::from([0; TOP_KEY_BYTES]);
    let top = vec![key; outputs().filter(|output| matches!(output, Output::TopK { .. })).count()];
    let mut part_bytes = 0;
    for step in 1..=spec.steps() as u64 + 1 {
        let (from_ns, boundary_ns) = ((step - 1) * interval_ns, step * interval_ns);
        let region = match input {
            InputKind::Histogram => Some(ContributedRegion::Explicit { bounds: &bounds, words: &words }),
            InputKind::ExponentialHistogram => Some(ContributedRegion::Exponential(&words)),
            _ => None,
        };
        let is_number = region.is_none() && !is_summary;
        let (distinct, top) = (&*distinct, &*top);
        let value = Some(Value::Int(step as i64));
        let given = Contribution {
            delta: value.filter(|_| is_number),
            level: value.filter(|_| is_number),
            summary: is_summary.then_some(&words),
            region,
            points: 1,
            time_ns: boundary_ns,
            is_touched: true,
            is_live: true,
            distinct,
            top,
            ..Contribution::default()
        };
        part.add(&spec, &given, &mut work);
        part_bytes = part.bytes();
        state.take(&spec, (from_ns, boundary_ns), Some(&mut part), &mut work);
        part.clear();
        if let Some(cut) = clock.at(from_ns, boundary_ns, false) {
            state.leave(&spec, &cut, &mut work, &mut |_| {});
        }
    }
    (state.bytes(), part_bytes)
}

/// Bounds, and the words of what a histogram or summary of this kind gives; neither of numbers.
fn region(input: InputKind) -> (Arc<[f64]>, Vec<u64>) {
    match input {
        InputKind::Histogram => {
            let bounds = (1..=BOUNDS).map(|bound| bound as f64).collect();
            let mut words = vec![0; explicit::HEAD];
            words[explicit::COUNT] = BOUNDS as u64 + 1;
            words.resize(explicit::HEAD + BOUNDS + 1, 1);
            (bounds, words)
        }
        InputKind::ExponentialHistogram => {
            let positive = Side { offset: 0, counts: vec![1; BUCKETS] };
            let mut words = vec![0; exponential::REGION];
            Exponential { count: BUCKETS as u64, positive, ..Exponential::default() }.store(&mut words.as_mut_slice());
            (Arc::default(), words)
        }
        InputKind::Summary => {
            let mut words = vec![0; summary::REGION];
            summary::put(&mut words.as_mut_slice(), 0, 0, 0.0, &[(0.0, 0.0); QUANTILES]);
            (Arc::default(), words)
        }
        InputKind::Counter | InputKind::UpDownCounter | InputKind::Gauge => (Arc::default(), Vec::new()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rules::{Grouping, InitialValue, OutputSpec, Stale};

    fn aggregation(outputs: &[(Output, u64)]) -> Aggregation {
        let spec = |(output, steps): &(Output, u64)| OutputSpec {
            output: output.clone(),
            window_ns: steps * 10_000_000_000,
            name: "{name}".into(),
            text: "x".into(),
        };
        Aggregation {
            changes: vec![],
            grouping: Grouping::All,
            outputs: InputKind::ALL.map(|_| outputs.iter().map(spec).collect()),
            interval_ns: 10_000_000_000,
            keeps_input: false,
            stale: Stale::Auto,
            initial_value: InitialValue::Auto,
            series_limit: None,
        }
    }

    /// What is kept longer takes more, what is not kept takes nothing, and a window is counted beside the group.
    #[test]
    fn windows_and_tables_are_counted_beside_the_group() {
        let of = |outputs: &[(Output, u64)], input| GroupBytes::of(&aggregation(outputs), input).unwrap();
        let same = of(&[(Output::Same, 1)], InputKind::Counter);
        assert_eq!((same.window, same.steps, same.top), (0, 1, 0));
        let [short, long] = [6, 30].map(|steps| of(&[(Output::Rate, steps)], InputKind::Counter));
        assert!(0 < short.window && short.window < long.window && long.window < 1_024, "{short:?} {long:?}");
        assert_eq!((long.steps, long.group), (30, short.group));
        let gauge = [Output::Avg, Output::Min, Output::Max, Output::Stddev].map(|output| (output, 30));
        let gauge = of(&gauge, InputKind::Gauge);
        assert!(long.window < gauge.window && gauge.window < 1_945, "{gauge:?}");
        let quantile = of(&[(Output::Quantile(0.99), 30)], InputKind::Histogram);
        assert!(quantile.window > 30 * 8 * BOUNDS, "{quantile:?}");
        let top = of(&[(Output::TopK { k: 10, keys: vec!["k".into()] }, 6)], InputKind::Counter);
        assert!(top.top >= 6 * 24 && top.on(2) == top.group + top.window + 2 * top.shard, "{top:?}");
        let none = Aggregation { outputs: InputKind::ALL.map(|_| Arc::default()), ..aggregation(&[]) };
        assert_eq!(GroupBytes::of(&none, InputKind::Gauge), None);
    }
}
