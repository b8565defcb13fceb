//! Streams and rules from a seed: members that reset, repeat, come late, move to other cores, vanish, end, and have a second
//! writer.

use super::{SECOND_NS, ZERO_NS};
use crate::aggregate::number::Value;
use crate::chance::Chance;
use crate::model::Temporality;
use crate::rules::{
    Action, Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule, Selector,
    Stale,
};
use crate::trial::{Bucketed, InputPoint, InputStream, Label, SeriesName, Summarised, TrialValue};

pub(super) const METRIC: &str = "m";
const CUTS: u64 = 18;
const BASE_S: u64 = 10;

/// What comes in, and when it is cut.
pub(super) struct Scenario {
    pub(super) cores: usize,
    pub(super) cuts: Vec<u64>,
    pub(super) streams: Vec<InputStream>,
    /// Of each stream's points the core.
    pub(super) homes: Vec<Vec<usize>>,
}

impl Scenario {
    /// Arrival, core, stream and point, in the order in which they come.
    pub(super) fn arrivals(&self) -> Vec<(u64, usize, &InputStream, &InputPoint)> {
        let mut all = Vec::new();
        for (stream, homes) in self.streams.iter().zip(&self.homes) {
            all.extend(stream.points.iter().zip(homes).map(|(point, core)| (point.arrival_ns, *core, stream, point)));
        }
        all.sort_by_key(|(arrival_ns, ..)| *arrival_ns);
        all
    }
}

/// A scenario of one metric.
pub(super) fn scenario(kind: InputKind, chance: &mut Chance) -> Scenario {
    let cores = 1 + chance.place(4);
    let (mut streams, mut homes) = (Vec::new(), Vec::new());
    let doubles = chance.one_in(3);
    for pod in 0..1 + chance.up_to(6) {
        let zone = ["x", "y"][chance.place(2)];
        let is_delta = match kind {
            InputKind::Gauge | InputKind::Summary => false,
            _ => chance.one_in(2),
        };
        let writers = if chance.one_in(6) && !matches!(kind, InputKind::Gauge | InputKind::Summary) { 2 } else { 1 };
        // other bounds are another series
        let bounds = if chance.one_in(4) { vec![1.0, 3.0] } else { vec![1.0, 2.0, 5.0] };
        for _ in 0..writers {
            let series = SeriesName {
                metric: METRIC.into(),
                attributes: [("pod", format!("p{pod}")), ("zone", zone.to_owned())]
                    .map(|(key, text)| (key.to_owned(), Label::Text(text)))
                    .into(),
                ..SeriesName::default()
            };
            let mut stream = InputStream {
                series,
                scope: Default::default(),
                unit: "1".into(),
                kind,
                temporality: if is_delta { Temporality::Delta } else { Temporality::Cumulative },
                core: 0,
                points: Vec::new(),
            };
            let mut sender = Sender::new(kind, is_delta, doubles, bounds.clone(), chance);
            let mut cores_of = Vec::new();
            sender.send(&mut stream.points, &mut cores_of, cores, chance);
            streams.push(stream);
            homes.push(cores_of);
        }
    }
    // some are postponed
    let late = |chance: &mut Chance| if chance.one_in(6) { 1 + chance.up_to(BASE_S - 2) } else { 0 };
    let cuts = (1..=CUTS).map(|n| ZERO_NS + (n * BASE_S + late(chance)) * SECOND_NS).collect();
    Scenario { cores, cuts, streams, homes }
}

/// A client, as it goes along.
struct Sender {
    kind: InputKind,
    is_delta: bool,
    doubles: bool,
    bounds: Vec<f64>,
    /// Seconds.
    period: u64,
    born: u64,
    gone: u64,
    /// A running total, or a level.
    value: f64,
    total: Bucketed,
    start_ns: u64,
    core: usize,
}

impl Sender {
    fn new(kind: InputKind, is_delta: bool, doubles: bool, bounds: Vec<f64>, chance: &mut Chance) -> Sender {
        let end = CUTS * BASE_S;
        let born = if chance.one_in(2) { chance.up_to(8) } else { chance.up_to(end * 2 / 3) };
        let gone = if chance.one_in(2) { end } else { born + 1 + chance.up_to(end) };
        let start_ns = match chance.up_to(5) {
            0 => 0,
            1 => ZERO_NS - 1_000 * SECOND_NS,
            _ => ZERO_NS + born * SECOND_NS + SECOND_NS / 8,
        };
        let period = [2, 5, 10, 10, 20, 30][chance.place(6)];
        let total = Bucketed { scale: chance.up_to(3) as i32, ..Bucketed::default() };
        Sender { kind, is_delta, doubles, bounds, period, born, gone, value: 0.0, total, start_ns, core: 0 }
    }

    fn send(&mut self, points: &mut Vec<InputPoint>, homes: &mut Vec<usize>, cores: usize, chance: &mut Chance) {
        self.core = chance.place(cores);
        let mut at = self.born * SECOND_NS + SECOND_NS / 4 + chance.up_to(SECOND_NS / 4);
        while at < self.gone.min(CUTS * BASE_S) * SECOND_NS {
            let time_ns = ZERO_NS + at;
            if !self.is_delta && chance.one_in(14) && self.kind != InputKind::Gauge {
                // a reset; not every client says so
                if self.start_ns > 0 && !chance.one_in(4) {
                    self.start_ns = time_ns - SECOND_NS / 16;
                }
                (self.value, self.total) = (0.0, Bucketed { scale: self.total.scale, ..Bucketed::default() });
            }
            if chance.one_in(8) {
                self.core = chance.place(cores);
            }
            let late_ns = if chance.one_in(8) { chance.up_to(2 * self.period) * SECOND_NS } else { 0 };
            let value = if chance.one_in(25) { TrialValue::End } else { self.next(chance) };
            let start_ns = match () {
                () if self.kind == InputKind::Gauge => 0,
                () if self.is_delta => time_ns - SECOND_NS / 8,
                () => self.start_ns,
            };
            let point = InputPoint { arrival_ns: time_ns + late_ns, start_ns, time_ns, value };
            if chance.one_in(9) && !self.is_delta {
                // the same again, perhaps elsewhere
                points.push(InputPoint { arrival_ns: point.arrival_ns + chance.up_to(SECOND_NS), ..point.clone() });
                homes.push(chance.place(cores));
            }
            points.push(point);
            homes.push(self.core);
            at += self.period * SECOND_NS + chance.up_to(SECOND_NS / 8);
        }
    }

    /// A multiple of 2^-10, or a whole number.
    fn some(&self, most: u64, chance: &mut Chance) -> f64 {
        if self.doubles { chance.up_to(most << 10) as f64 / 1024.0 } else { chance.up_to(most) as f64 }
    }

    fn number(&self, value: f64) -> TrialValue {
        TrialValue::Number(if self.doubles { Value::Double(value) } else { Value::Int(value as i64) })
    }

    fn next(&mut self, chance: &mut Chance) -> TrialValue {
        let some = self.some(50, chance);
        match self.kind {
            InputKind::Gauge if self.doubles && chance.one_in(15) => TrialValue::Number(Value::Double(f64::NAN)),
            InputKind::Gauge => self.number(some - 20.0),
            InputKind::Counter if self.is_delta => self.number(some),
            InputKind::UpDownCounter if self.is_delta => self.number(some - 25.0),
            InputKind::Counter => {
                self.value += some;
                self.number(self.value)
            }
            InputKind::UpDownCounter => {
                self.value += some - 22.0;
                self.number(self.value)
            }
            InputKind::Summary => {
                self.value += 1.0 + some;
                let all = [(0.5, some), (0.9, 2.0 * some), (0.99, f64::NAN)];
                let quantiles = all[..chance.place(4)].to_vec();
                TrialValue::Summary(Summarised { count: self.value as u64, sum: some, quantiles })
            }
            _ => self.buckets(chance),
        }
    }

    fn buckets(&mut self, chance: &mut Chance) -> TrialValue {
        let is_explicit = self.kind == InputKind::Histogram;
        let length = if is_explicit { self.bounds.len() + 1 } else { 1 + chance.place(6) };
        let mut new = Bucketed { counts: (0..length).map(|_| chance.up_to(4)).collect(), ..Bucketed::default() };
        if !is_explicit {
            new.zero_count = chance.up_to(2);
            new.negative = (0..chance.place(3)).map(|_| chance.up_to(3)).collect();
        }
        new.count = new.counts.iter().chain(&new.negative).sum::<u64>() + new.zero_count;
        new.sum = Some(self.some(20, chance) * f64::from(u8::from(new.count > 0)));
        new.scale = self.total.scale;
        let sent = if self.is_delta {
            if is_explicit && new.count > 0 {
                (new.min, new.max) = (Some(0.5), Some(4.0 + self.some(3, chance)));
            }
            new
        } else {
            let add = |a: &mut Vec<u64>, b: &[u64]| {
                a.resize(a.len().max(b.len()), 0);
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            };
            add(&mut self.total.counts, &new.counts);
            add(&mut self.total.negative, &new.negative);
            self.total.zero_count += new.zero_count;
            self.total.count += new.count;
            self.total.sum = Some(self.total.sum.unwrap_or(0.0) + new.sum.unwrap_or(0.0));
            self.total.clone()
        };
        let bounds = is_explicit.then(|| self.bounds.clone());
        TrialValue::Buckets(Box::new(Bucketed { bounds, ..sent }))
    }
}

/// A rule that takes the pods away, with some outputs of the kind.
pub(super) fn rule(kind: InputKind, chance: &mut Chance) -> (Rule, Aggregation) {
    let all: Vec<Output> = match kind {
        InputKind::Counter => {
            let top = Output::TopK { k: 2, keys: vec!["pod".into()] };
            vec![Output::Same, Output::Total, Output::CountSeries, Output::Increase, Output::Rate, pods(), top]
        }
        InputKind::UpDownCounter => vec![Output::Same, Output::CountSeries, Output::Avg, Output::Max, pods()],
        InputKind::Gauge => vec![
            Output::Sum,
            Output::CountSeries,
            Output::Last,
            Output::First,
            Output::Min,
            Output::Max,
            Output::Avg,
            Output::Stddev,
            Output::Quantile(0.5),
            Output::Quantile(0.9),
            pods(),
        ],
        InputKind::Histogram | InputKind::ExponentialHistogram => vec![
            Output::Same,
            Output::Sum,
            Output::Count,
            Output::CountSeries,
            Output::Increase,
            Output::Rate,
            Output::Avg,
            Output::Quantile(0.25),
            Output::Quantile(0.5),
            Output::Quantile(0.9),
            Output::Quantile(0.99),
            pods(),
        ],
        InputKind::Summary => vec![Output::Last, Output::CountSeries, pods()],
    };
    let interval_ns = [1, 1, 2, 3][chance.place(4)] * BASE_S * SECOND_NS;
    let mut specs: Vec<OutputSpec> = Vec::new();
    for output in all {
        if output != Output::Same && chance.one_in(4) {
            continue;
        }
        let steps = if output.has_window(kind) { 1 + chance.up_to(3) } else { 1 };
        let suffix = output.suffix(kind);
        let name = if suffix.is_empty() { "{name}".to_owned() } else { format!("{{name}}.{suffix}") };
        let text = output.word().into();
        specs.push(OutputSpec { output, window_ns: steps * interval_ns, name: name.into(), text });
    }
    let mut aggregation = Aggregation {
        stale: if chance.one_in(4) { Stale::After(35 * SECOND_NS) } else { Stale::Auto },
        ..Aggregation::new(Grouping::Without(vec![KeyPattern { text: "pod".into(), place: None }]), interval_ns)
    };
    aggregation.outputs[kind as usize] = specs.into();
    let metric = vec![Pattern { text: METRIC.into(), kind: PatternKind::Glob, is_negated: false }];
    let rule = Rule {
        name: "pods".into(),
        was: None,
        selector: Selector { metric, ..Selector::default() },
        except: None,
        action: Action::Aggregate(Box::new(aggregation.clone())),
        goes_on: false,
    };
    (rule, aggregation)
}

fn pods() -> Output {
    Output::Unique(vec!["pod".into()])
}
