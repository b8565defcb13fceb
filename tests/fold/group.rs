//! One group of members under one rule, over one or several shards.

use catchment::aggregate::explicit::{HAS_SUM, flags_of};
use catchment::aggregate::exponential::{Exponential, REGION, Side};
use catchment::aggregate::number::Value;
use catchment::fold::{
    ContributedRegion, Contribution, Departure, FoldPart, FoldSpec, FoldWork, Leaving, LeavingValue, OutputState,
    RuleClock, Variant,
};
use catchment::rules::{Aggregation, Grouping, InputKind, Output, OutputSpec};

use std::sync::Arc;

pub(crate) const S: u64 = 1_000_000_000;

/// What left, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Left {
    Number { delta: Option<Value>, value: Value },
    Explicit { bounds: Vec<f64>, delta: Vec<u64>, total: Vec<u64> },
    Exponential { delta: Vec<u64>, total: Vec<u64> },
    Summary(Vec<u64>),
    End,
}

/// A value that left, with its output and its start in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) output: usize,
    pub(crate) start_s: u64,
    pub(crate) left: Left,
    /// Of `topk`: records of the group's keys.
    pub(crate) group: Option<Vec<u8>>,
}

pub(crate) struct Group {
    pub(crate) spec: FoldSpec,
    pub(crate) clock: RuleClock,
    pub(crate) state: OutputState,
    pub(crate) parts: Vec<FoldPart>,
    pub(crate) work: FoldWork,
    /// Slices in which the last cut left.
    pub(crate) slices: usize,
    boundary_s: u64,
}

/// A rule of these outputs, each with its window in seconds.
pub(crate) fn spec(input: InputKind, interval_s: u64, outputs: &[(Output, u64)]) -> FoldSpec {
    let of = |(output, window_s): &(Output, u64)| OutputSpec {
        output: output.clone(),
        window_ns: window_s * S,
        name: "{name}".into(),
        text: "".into(),
    };
    let mut aggregation = Aggregation::new(Grouping::All, interval_s * S);
    aggregation.outputs[input as usize] = outputs.iter().map(of).collect();
    FoldSpec::new(&aggregation, input)
}

impl Group {
    /// A rule that began at 0, its members over so many shards.
    pub(crate) fn new(input: InputKind, interval_s: u64, shards: usize, outputs: &[(Output, u64)]) -> Group {
        let spec = spec(input, interval_s, outputs);
        let clock = RuleClock::new(interval_s * S, spec.steps());
        let (parts, state) = (vec![FoldPart::default(); shards], OutputState::new(0));
        Group { spec, clock, state, parts, work: FoldWork::default(), slices: 0, boundary_s: 0 }
    }

    /// A base cut at `to_s`.
    pub(crate) fn cut(&mut self, to_s: u64, given: &[Contribution<'_>]) -> Vec<Seen> {
        let from_s = std::mem::replace(&mut self.boundary_s, to_s);
        self.cut_as((from_s * S, to_s * S), false, given)
    }

    /// A base cut with this window.
    pub(crate) fn cut_as(&mut self, window: (u64, u64), is_last: bool, given: &[Contribution<'_>]) -> Vec<Seen> {
        let Group { spec, clock, state, parts, work, slices, .. } = self;
        for (i, given) in given.iter().enumerate() {
            let shard = i % parts.len();
            parts[shard].add(spec, given, work);
        }
        let (first, others) = parts.split_first_mut().expect("a shard");
        for other in others {
            first.absorb(spec, other, work);
            other.clear();
        }
        state.take(spec, window, (!first.is_empty()).then_some(first), work);
        parts[0].clear();
        let mut seen = Vec::new();
        if let Some(cut) = clock.at(window.0, window.1, is_last) {
            let (mut departure, mut is_more) = (Departure::default(), true);
            *slices = 0;
            while is_more {
                let visit = &mut |leaving: Leaving<'_>| seen.push(owned(&leaving, window.1));
                is_more = state.leave_some(spec, &cut, work, &mut departure, visit);
                *slices += 1;
            }
        }
        assert_balance(work, state);
        seen
    }
}

/// What was given is what left and what is open.
fn assert_balance(work: &FoldWork, state: &OutputState) {
    let mut left = work.notes.left;
    left.absorb(state.open());
    assert_eq!(work.notes.given.int(), left.int());
    assert_eq!(work.notes.given.as_f64(), left.as_f64());
}

fn owned(leaving: &Leaving<'_>, time_ns: u64) -> Seen {
    assert_eq!(leaving.time_ns, time_ns);
    assert!(leaving.start_ns < time_ns);
    let left = match leaving.value {
        LeavingValue::Number { delta, value } => Left::Number { delta, value },
        LeavingValue::Explicit { delta, total } => {
            let Variant::Bounds(bounds) = leaving.variant else { panic!("a histogram without bounds") };
            Left::Explicit { bounds: bounds.to_vec(), delta: delta.to_vec(), total: total.to_vec() }
        }
        LeavingValue::Exponential { delta, total } => {
            Left::Exponential { delta: delta.to_vec(), total: total.to_vec() }
        }
        LeavingValue::Summary(words) => Left::Summary(words.to_vec()),
        LeavingValue::End => Left::End,
    };
    let group = match leaving.variant {
        Variant::Top(records) => Some(records.to_vec()),
        _ => None,
    };
    Seen { output: leaving.output, start_s: leaving.start_ns / S, left, group }
}

/// The values of an output that is a number; ends are NaN.
pub(crate) fn numbers(seen: &[Seen], output: usize) -> Vec<f64> {
    let of = |seen: &Seen| match &seen.left {
        Left::Number { value, .. } => value.as_f64(),
        Left::End => f64::NAN,
        other => panic!("{other:?} is no number"),
    };
    seen.iter().filter(|seen| seen.output == output).map(of).collect()
}

/// A level that a touched member has.
pub(crate) fn level(value: Value, time_s: u64) -> Contribution<'static> {
    Contribution {
        level: Some(value),
        points: 1,
        time_ns: time_s * S,
        is_touched: true,
        is_live: true,
        ..Contribution::default()
    }
}

/// The same of one that was not touched.
pub(crate) fn silent(value: Value, time_s: u64) -> Contribution<'static> {
    Contribution { points: 0, is_touched: false, ..level(value, time_s) }
}

/// What a touched member of a counter added.
pub(crate) fn added(value: Value) -> Contribution<'static> {
    Contribution { delta: Some(value), points: 1, is_touched: true, is_live: true, ..Contribution::default() }
}

/// A member that is live, and nothing more.
pub(crate) fn live() -> Contribution<'static> {
    Contribution { is_live: true, ..Contribution::default() }
}

/// What a histogram contributed.
pub(crate) struct Explicit {
    bounds: Arc<[f64]>,
    words: Vec<u64>,
}

/// Of these buckets, with a sum.
pub(crate) fn explicit(bounds: &[f64], buckets: &[u64], sum: f64) -> Explicit {
    let mut words = vec![buckets.iter().sum(), sum.to_bits(), 0, 0, HAS_SUM];
    words.extend(buckets);
    Explicit { bounds: bounds.into(), words }
}

impl Explicit {
    pub(crate) fn given(&self) -> Contribution<'_> {
        touched(ContributedRegion::Explicit { bounds: &self.bounds, words: &self.words })
    }

    /// With a minimum, a maximum, both, or neither.
    pub(crate) fn within(mut self, [min, max]: [Option<f64>; 2]) -> Explicit {
        let sum = f64::from_bits(self.words[1]);
        self.words[2] = min.unwrap_or_default().to_bits();
        self.words[3] = max.unwrap_or_default().to_bits();
        self.words[4] = flags_of(self.words[0], Some(sum), min, max);
        self
    }

    pub(crate) fn forget_sum(&mut self) {
        self.words[4] = 0;
    }
}

fn touched(region: ContributedRegion<'_>) -> Contribution<'_> {
    Contribution { region: Some(region), points: 1, is_touched: true, is_live: true, ..Contribution::default() }
}

/// What left of an output that is a histogram: bounds, buckets added, buckets of the total.
pub(crate) fn explicit_left(seen: &[Seen], output: usize) -> Vec<(Vec<f64>, Vec<u64>, Vec<u64>)> {
    let of = |seen: &Seen| match &seen.left {
        Left::Explicit { bounds, delta, total } => (bounds.clone(), delta[5..].to_vec(), total[5..].to_vec()),
        other => panic!("{other:?} is no histogram"),
    };
    seen.iter().filter(|seen| seen.output == output).map(of).collect()
}

/// What an exponential histogram contributed.
pub(crate) struct Exponents {
    words: Vec<u64>,
}

impl Exponents {
    /// Of these positive buckets.
    pub(crate) fn new(scale: i32, offset: i32, counts: &[u64]) -> Exponents {
        Exponents::within((scale, offset, counts), [None; 2])
    }

    /// The same, with a minimum, a maximum, both, or neither.
    pub(crate) fn within((scale, offset, counts): (i32, i32, &[u64]), [min, max]: [Option<f64>; 2]) -> Exponents {
        let count = counts.iter().sum();
        let value = Exponential {
            min: min.unwrap_or_default(),
            max: max.unwrap_or_default(),
            flags: flags_of(count, None, min, max),
            count,
            scale,
            positive: Side { offset, counts: counts.to_vec() },
            ..Exponential::default()
        };
        let mut words = vec![0; REGION];
        value.store(&mut words.as_mut_slice());
        Exponents { words }
    }

    pub(crate) fn given(&self) -> Contribution<'_> {
        touched(ContributedRegion::Exponential(&self.words))
    }

    /// Scale, offset and positive buckets of a region.
    pub(crate) fn read(words: &[u64]) -> (i32, i32, Vec<u64>) {
        let mut value = Exponential::default();
        value.load(&words);
        (value.scale, value.positive.offset, value.positive.counts)
    }

    /// What was added of an output that is one.
    pub(crate) fn left(seen: &[Seen], output: usize) -> Option<(i32, i32, Vec<u64>)> {
        Exponents::words(seen, output).map(|(delta, _)| Exponents::read(delta))
    }

    /// The scale of its total.
    pub(crate) fn total_scale(seen: &[Seen], output: usize) -> Option<i32> {
        Exponents::words(seen, output).map(|(_, total)| Exponents::read(total).0)
    }

    fn words(seen: &[Seen], output: usize) -> Option<(&[u64], &[u64])> {
        seen.iter().filter(|seen| seen.output == output).find_map(|seen| match &seen.left {
            Left::Exponential { delta, total } => Some((delta.as_slice(), total.as_slice())),
            _ => None,
        })
    }
}
