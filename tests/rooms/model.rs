//! The aggregation against a naive model (tests/oracle), over random lives of clients: every kind in both temporalities,
//! resets, new and old starts, points out of order and twice, attributes in either order, streams of both temporalities
//! in one series, connections on any core, cuts in between, a series limit, expiry.
//!
//! Compared after every cut: both views whole (values, times, starts), live series, the ledger. Values are multiples of
//! 2^-10, so that sums are exact. `CATCHMENT_CASES` sets the number of lives.

use crate::common::*;
use crate::oracle::check::Pair;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, number_data_point};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("CATCHMENT_CASES").map_or(default, |n| n.parse().expect("CATCHMENT_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

/// What happens to a stream between two of its points.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    Grow,
    /// The value falls, the start stays.
    Fall,
    /// The process was started again.
    NewStart,
    /// Somebody else with an older start.
    OldStart,
    NoStart,
    StartIsTime,
    Late,
    /// The last point again, perhaps on another core.
    Twice,
    NoValue,
    /// A value at the time of the point before, if that had none.
    AtMark,
    /// Less than nothing.
    Negative,
    /// A count of half of what 64 bits hold.
    Huge,
}

#[derive(Clone, Debug)]
struct Step {
    stream: usize,
    turn: Turn,
    amount: u64,
}

#[derive(Clone, Debug)]
enum Op {
    /// One request on one core, its attributes in this order or the other. (Within one request, points whose bytes are
    /// known go before points whose bytes are new, so one series must not come in both orders there.)
    Send(usize, bool, Vec<Step>),
    /// A cut so many seconds later.
    Cut(u64),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        20 => Just(Turn::Grow),
        2 => Just(Turn::Fall),
        2 => Just(Turn::NewStart),
        1 => Just(Turn::OldStart),
        1 => Just(Turn::NoStart),
        1 => Just(Turn::StartIsTime),
        2 => Just(Turn::Late),
        2 => Just(Turn::Twice),
        2 => Just(Turn::NoValue),
        2 => Just(Turn::AtMark),
        1 => Just(Turn::Negative),
        1 => Just(Turn::Huge),
    ]
}

fn step(streams: usize) -> impl Strategy<Value = Step> {
    (0..streams, turn(), any::<u64>()).prop_map(|(stream, turn, amount)| Step { stream, turn, amount })
}

fn ops(streams: usize, points: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0usize..4, any::<bool>(), prop::collection::vec(step(streams), 1..=points))
            .prop_map(|(core, swapped, steps)| Op::Send(core, swapped, steps)),
        1 => (1u64..40).prop_map(Op::Cut),
    ];
    prop::collection::vec(op, 1..40)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Delta { monotonic: bool },
    Cumulative { monotonic: bool },
    Gauge,
    Histogram(i32),
    Exponential(i32),
    Summary,
}

/// Name, what it is, whether its values are doubles (nothing: now and then). Two with one name meet in one series.
const KINDS: [(&str, What, Option<bool>); 18] = [
    ("d.int", What::Delta { monotonic: true }, Some(false)),
    ("d.double", What::Delta { monotonic: true }, Some(true)),
    ("d.both", What::Delta { monotonic: true }, None),
    ("d.updown", What::Delta { monotonic: false }, Some(false)),
    ("g.int", What::Gauge, Some(false)),
    ("g.both", What::Gauge, None),
    ("c.int", What::Cumulative { monotonic: true }, Some(false)),
    ("c.both", What::Cumulative { monotonic: true }, None),
    ("c.updown", What::Cumulative { monotonic: false }, Some(true)),
    ("h.delta", What::Histogram(1), None),
    ("h.cumulative", What::Histogram(2), None),
    ("e.delta", What::Exponential(1), None),
    ("e.cumulative", What::Exponential(2), None),
    ("c.int", What::Delta { monotonic: true }, Some(false)),
    ("c.updown", What::Delta { monotonic: false }, Some(true)),
    ("h.cumulative", What::Histogram(1), None),
    ("e.cumulative", What::Exponential(1), None),
    ("s", What::Summary, None),
];
/// Attribute sets of each.
const SETS: usize = 3;
const STREAMS: usize = KINDS.len() * SETS;

/// A client's side of a stream.
#[derive(Clone, Debug, Default)]
struct Source {
    start: u64,
    /// In units of 2^-10.
    value: i64,
    buckets: [u64; 3],
    scale: i32,
    zero: u64,
    sides: [BTreeMap<i32, u64>; 2],
    /// Time of the last point, if it had no value.
    mark: Option<u64>,
    last: Option<(bool, pb::Metric)>,
}

struct Life {
    now: u64,
    serial: u64,
    sources: Vec<Source>,
}

impl Life {
    fn new() -> Life {
        Life { now: START + 10 * SECOND, serial: 0, sources: vec![Source::default(); STREAMS] }
    }

    /// A time that no other point has, about `back` seconds ago.
    fn time(&mut self, back: u64) -> u64 {
        self.serial += 1;
        self.now += SECOND / 8;
        self.now / 1000 * 1000 - back * SECOND + self.serial % 1000
    }

    fn point(&mut self, swap: bool, step: &Step) -> pb::Metric {
        let (name, what, double) = KINDS[step.stream / SETS];
        let time = self.time(if step.turn == Turn::Late { 1 + step.amount % 20 } else { 0 });
        let source = &mut self.sources[step.stream];
        let mark = if step.turn == Turn::Twice { source.mark } else { source.mark.take() };
        let time = mark.filter(|_| step.turn == Turn::AtMark).unwrap_or(time);
        if let (Turn::Twice, Some((_, last))) =
            (step.turn, source.last.as_ref().filter(|(as_sent, _)| *as_sent == swap))
        {
            return last.clone();
        }
        let amount = step.amount;
        if source.start == 0 {
            // some clients are older than we are
            source.start = if amount.is_multiple_of(3) { START - SECOND } else { START + 1 + amount % 1000 };
        }
        source.mark = (step.turn == Turn::NoValue).then_some(time);
        match step.turn {
            Turn::NewStart => *source = Source { start: time - SECOND / 16, ..Source::default() },
            Turn::Fall => *source = Source { start: source.start, ..Source::default() },
            _ => {}
        }
        let start = match step.turn {
            Turn::OldStart => source.start.saturating_sub(SECOND),
            Turn::NoStart => 0,
            Turn::StartIsTime => time,
            _ => source.start,
        };
        let start = start.min(time);
        source.grow(amount, what);
        if step.turn == Turn::Huge {
            (source.buckets, source.zero, source.sides) = ([1 << 63, 0, 0], 1 << 63, Default::default());
        }
        let values = [("k", ["1", "2", "3"][step.stream % SETS]), ("l", "x")];
        let swapped = [values[1], values[0]];
        let attributes: &[(&str, &str)] = if swap { &swapped } else { &values };
        let flags = u32::from(step.turn == Turn::NoValue);
        let units = match what {
            What::Delta { .. } | What::Gauge => (amount % 5000) as i64,
            _ => source.value,
        };
        let units = if step.turn == Turn::Negative { -units } else { units };
        let value = match double.unwrap_or(amount.is_multiple_of(5)) {
            true => number_data_point::Value::AsDouble(units as f64 / 1024.0),
            false => number_data_point::Value::AsInt(units),
        };
        let value = (flags == 0).then_some(value);
        let exemplars = exemplars(amount, time);
        let point =
            pb::NumberDataPoint { flags, exemplars: exemplars.clone(), ..number(attributes, start, time, value) };
        let metric = match what {
            What::Delta { monotonic } => sum(name, 1, monotonic, vec![point]),
            What::Cumulative { monotonic } => sum(name, 2, monotonic, vec![point]),
            What::Gauge => gauge(name, vec![point]),
            What::Histogram(temporality) => {
                let point = source.histogram(amount, flags, attributes, start, time);
                let point = pb::HistogramDataPoint { exemplars, ..point };
                if temporality == 1 {
                    source.buckets = [0; 3];
                    source.value = 0;
                }
                histogram(name, temporality, vec![point])
            }
            What::Exponential(temporality) => {
                let point = source.exponential(amount, flags, attributes, start, time);
                let point = pb::ExponentialHistogramDataPoint { exemplars, ..point };
                if temporality == 1 {
                    *source = Source { start: source.start, scale: source.scale, ..Source::default() };
                }
                exponential(name, temporality, vec![point])
            }
            What::Summary => {
                let pairs: Vec<(f64, f64)> = (0..amount % 5).map(|i| (i as f64 / 4.0, (amount >> i) as f64)).collect();
                let point = summary_point(attributes, start, time, amount % 7, units.unsigned_abs() as f64, &pairs);
                summary(name, vec![pb::SummaryDataPoint { flags, ..point }])
            }
        };
        source.last = Some((swap, metric.clone()));
        metric
    }
}

/// None to five of them, some without a value or with an id of another length, some alike.
fn exemplars(amount: u64, time: u64) -> Vec<pb::Exemplar> {
    let count = if amount.is_multiple_of(3) { amount / 3 % 6 } else { 0 };
    let one = |i: u64| {
        let kind = amount / 7 + i;
        pb::Exemplar {
            filtered_attributes: attributes(&[("user", "u1"), ("path", "/x")][..(kind % 3) as usize]),
            time_unix_nano: if kind.is_multiple_of(11) { 0 } else { time - kind % 2 * SECOND - i % 3 },
            span_id: vec![i as u8; if kind.is_multiple_of(13) { 7 } else { 8 * (kind % 2) as usize }],
            trace_id: vec![kind as u8; if kind.is_multiple_of(17) { 8 } else { 16 * (kind % 2) as usize }],
            value: match kind % 9 {
                0 => None,
                n if n.is_multiple_of(2) => Some(pb::exemplar::Value::AsInt(n as i64 - 4)),
                n => Some(pb::exemplar::Value::AsDouble(n as f64 - 4.5)),
            },
        }
    };
    (0..count).map(one).collect()
}

impl Source {
    fn grow(&mut self, amount: u64, what: What) {
        self.value += match what {
            What::Cumulative { monotonic: false } => amount as i64 % 3000,
            _ => (amount % 3000) as i64,
        };
        if amount.is_multiple_of(7) {
            return;
        }
        self.buckets[(amount % 3) as usize] += amount % 11;
        self.zero += amount % 2;
        let side = &mut self.sides[usize::from(amount % 4 == 1)];
        *side.entry((amount >> 8) as i32 % 60).or_insert(0) += amount % 5;
        if amount.is_multiple_of(13) {
            // far away
            *side.entry((amount >> 8) as i32 % 1000).or_insert(0) += 1;
        }
        if amount.is_multiple_of(17) && self.scale > -8 {
            self.scale -= 1;
            self.sides = self.sides.clone().map(|side| {
                let mut out = BTreeMap::new();
                side.into_iter().for_each(|(index, count)| *out.entry(index >> 1).or_insert(0) += count);
                out
            });
        }
    }

    fn extremes(amount: u64) -> (Option<f64>, Option<f64>) {
        match amount % 10 {
            0 => (None, None),
            n => (Some(n as f64 / 8.0), Some(n as f64 * 8.0)),
        }
    }

    fn histogram(
        &self,
        amount: u64,
        flags: u32,
        with: &[(&str, &str)],
        start: u64,
        time: u64,
    ) -> pb::HistogramDataPoint {
        let (min, max) = Source::extremes(amount);
        let count: u64 = self.buckets.iter().sum();
        pb::HistogramDataPoint {
            start_time_unix_nano: start,
            flags,
            sum: (!amount.is_multiple_of(23)).then_some(if count == 0 { 0.0 } else { self.value as f64 / 1024.0 }),
            min: min.filter(|_| count > 0),
            max: max.filter(|_| count > 0),
            ..histogram_point(with, time, &self.buckets, &[1.0, 2.0], 0.0)
        }
    }

    fn exponential(
        &self,
        amount: u64,
        flags: u32,
        with: &[(&str, &str)],
        start: u64,
        time: u64,
    ) -> pb::ExponentialHistogramDataPoint {
        let (min, max) = Source::extremes(amount);
        let buckets = |side: &BTreeMap<i32, u64>| {
            let (low, high) = (*side.first_key_value()?.0, *side.last_key_value()?.0);
            let bucket_counts = (low..=high).map(|index| side.get(&index).copied().unwrap_or(0)).collect();
            Some(Buckets { offset: low, bucket_counts })
        };
        let count = self.zero + self.sides.iter().flat_map(BTreeMap::values).sum::<u64>();
        pb::ExponentialHistogramDataPoint {
            attributes: attributes(with),
            start_time_unix_nano: start,
            time_unix_nano: time,
            flags,
            count,
            sum: (!amount.is_multiple_of(23)).then_some(if count == 0 { 0.0 } else { self.value as f64 / 1024.0 }),
            scale: self.scale,
            zero_count: self.zero,
            positive: buckets(&self.sides[0]),
            negative: buckets(&self.sides[1]),
            min: min.filter(|_| count > 0),
            max: max.filter(|_| count > 0),
            ..Default::default()
        }
    }
}

/// Lives through it; nothing differs from the model.
fn live(ops: &[Op], cores: usize, series_limit: usize, expire_s: u64) -> Result<(), TestCaseError> {
    let mut pair = Pair::with(cores, series_limit, expire_s * SECOND);
    let mut life = Life::new();
    let fail = |why: String| TestCaseError::fail(why);
    for op in ops.iter().chain(&[Op::Cut(5)]) {
        match op {
            Op::Send(core, swap, steps) => {
                let core = core % cores;
                let metrics = steps.iter().map(|step| life.point(*swap, step)).collect();
                pair.send(core, &request(metrics)).map_err(fail)?;
            }
            Op::Cut(seconds) => {
                life.now += seconds * SECOND;
                pair.cut(life.now).map_err(fail)?;
            }
        }
    }
    if cores == 1 {
        pair.counters().map_err(fail)?;
    }
    Ok(())
}

const NEVER: u64 = 100_000;

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn m7_to_m31_any_life_of_clients_on_one_core(ops in ops(STREAMS, 12)) {
        live(&ops, 1, 1_000_000, NEVER)?;
    }

    #[test]
    fn m7_to_m31_any_life_of_few_streams_on_one_core(first in 0..STREAMS - 2, ops in ops(2, 4)) {
        let ops = moved(ops, first);
        live(&ops, 1, 1_000_000, NEVER)?;
    }

    #[test]
    fn m7_to_m31_any_life_of_clients_on_several_cores(cores in 2usize..5, ops in ops(STREAMS, 12)) {
        live(&ops, cores, 1_000_000, NEVER)?;
    }

    #[test]
    fn m7_to_m31_any_life_of_few_streams_on_several_cores(cores in 2usize..5, first in 0..STREAMS - 2, ops in ops(2, 4)) {
        live(&moved(ops, first), cores, 1_000_000, NEVER)?;
    }

    #[test]
    fn two_temporalities_of_one_series(cores in 1usize..5, which in 0usize..4, ops in ops(2, 4)) {
        let pairs = [(6, 13), (8, 14), (10, 15), (12, 16)];
        let (a, b) = pairs[which];
        let mut ops = ops;
        each_step(&mut ops, |step| step.stream = [a, b][step.stream] * SETS);
        live(&ops, cores, 1_000_000, NEVER)?;
    }

    #[test]
    fn m30_any_life_within_a_series_limit(cores in 1usize..5, limit in 0usize..12, ops in ops(STREAMS, 12)) {
        live(&ops, cores, limit, NEVER)?;
    }

    #[test]
    fn m12_m16_any_life_with_expiry(cores in 1usize..5, expire in 5u64..60, ops in ops(STREAMS / 3, 4)) {
        let mut ops = ops;
        each_step(&mut ops, |step| step.stream *= 3);
        live(&ops, cores, 1_000_000, expire)?;
    }

    /// One point a request: within a request the order in which new series and series come back is not promised.
    #[test]
    fn m30_any_life_with_a_limit_and_expiry(cores in 1usize..5, limit in 0usize..6, expire in 5u64..40, ops in ops(STREAMS / 3, 1)) {
        let mut ops = ops;
        each_step(&mut ops, |step| step.stream *= 3);
        live(&ops, cores, limit, expire)?;
    }
}

fn each_step(ops: &mut [Op], mut change: impl FnMut(&mut Step)) {
    for op in ops {
        if let Op::Send(_, _, steps) = op {
            steps.iter_mut().for_each(&mut change);
        }
    }
}

fn moved(mut ops: Vec<Op>, first: usize) -> Vec<Op> {
    each_step(&mut ops, |step| step.stream += first);
    ops
}
