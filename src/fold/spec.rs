//! What a rule's outputs need to be kept, for one kind of input.
//!
//! Knows the table of outputs (RULES 2); does not know values.

use super::needs;
use super::ring::Layout;
use crate::limits::{RULE_OUTPUTS_MAX, RULE_STEPS_MAX};
use crate::rules::{Aggregation, Bucketing, InputKind, Output, Support};

/// When an output leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// What was added: if a member was touched in the interval.
    Merge,
    /// What stands at the cut: if a member was touched, or the live set changed.
    Level,
    /// Over a window: if something in it may differ from what left before.
    Window,
}

/// Which members have to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LiveNeed {
    /// Those that were touched.
    Touched,
    /// Those, and at the rule's own cuts all that live.
    AtRuleCuts,
    /// Those, and at each base cut all that live.
    AtBaseCuts,
}

/// An output of the rule.
#[derive(Clone, Debug)]
pub(super) struct FoldOutput {
    pub(super) output: Output,
    /// Its window, in intervals of the rule.
    pub(super) steps: usize,
    /// Nothing: it is not computed of this kind of input.
    pub(super) class: Option<Class>,
}

impl FoldOutput {
    /// How many that are computed of one interval take as long, about.
    pub(super) const fn weight(&self) -> usize {
        match self.output {
            Output::TopK { .. } => 64,
            Output::Quantile(_) => 16 + self.steps / 4,
            _ => 1 + self.steps / 4,
        }
    }
}

/// What is kept for the outputs of a rule that takes one kind of input.
#[derive(Clone, Debug)]
pub struct FoldSpec {
    pub(super) input: InputKind,
    pub(super) outputs: Box<[FoldOutput]>,
    pub(super) needs: u16,
    /// What is kept of each interval for windows of several.
    pub(super) layout: Layout,
    /// Histograms that are made: their places among the outputs, and their buckets.
    pub(super) made: Box<[(usize, Bucketing)]>,
    /// Places of `unique` and of `topk` among the outputs, each in their order.
    pub(super) unique: Box<[usize]>,
    pub(super) top: Box<[usize]>,
    /// Intervals of the longest window over histograms' buckets, or summaries.
    pub(super) region_steps: usize,
    /// The same over samples one by one.
    pub(super) value_steps: usize,
    steps: usize,
    live: LiveNeed,
}

impl FoldSpec {
    /// For what a rule makes of this kind: `limits::RULE_OUTPUTS_MAX` outputs at most.
    pub fn new(aggregation: &Aggregation, input: InputKind) -> FoldSpec {
        let specs = &aggregation.outputs[input as usize];
        assert!(
            specs.len() <= RULE_OUTPUTS_MAX,
            "{} outputs of one kind: documents have {RULE_OUTPUTS_MAX}",
            specs.len()
        );
        let interval_ns = aggregation.interval_ns.max(1);
        let outputs: Box<[FoldOutput]> = specs
            .iter()
            .map(|spec| {
                let class = class_of(&spec.output, input);
                let steps = spec.window_ns.div_ceil(interval_ns).clamp(1, RULE_STEPS_MAX as u64) as usize;
                let steps = if class == Some(Class::Window) { steps } else { 1 };
                FoldOutput { output: spec.output.clone(), steps, class }
            })
            .collect();
        let (mut needs, mut windows, mut region_steps, mut value_steps) = (0, Vec::new(), 1, 1);
        for output in outputs.iter().filter(|output| output.class.is_some()) {
            let need = need_of(&output.output, input);
            needs |= need;
            if need & (needs::REGIONS | needs::NEWEST) != 0 {
                region_steps = region_steps.max(output.steps);
            }
            if need & needs::VALUES != 0 {
                value_steps = value_steps.max(output.steps);
            }
            if output.steps > 1 {
                let is_delta = matches!(output.output, Output::Increase | Output::Rate);
                windows.push((output.steps, need, is_delta));
            }
        }
        let layout = Layout::new(&windows);
        let steps = outputs.iter().map(|output| output.steps).max().unwrap_or(1);
        let of_made = |(place, output): (usize, &FoldOutput)| match &output.output {
            Output::Histogram(bucketing) if output.class.is_some() => Some((place, bucketing.clone())),
            _ => None,
        };
        let made: Box<[(usize, Bucketing)]> = outputs.iter().enumerate().filter_map(of_made).collect();
        let places = |is_it: fn(&Output) -> bool| -> Box<[usize]> {
            outputs.iter().enumerate().filter(|(_, output)| is_it(&output.output)).map(|(place, _)| place).collect()
        };
        let unique = places(|output| matches!(output, Output::Unique(_)));
        let top = places(|output| matches!(output, Output::TopK { .. }));
        let has = |class| outputs.iter().any(|output| output.class == Some(class));
        let live = if (has(Class::Window) || !made.is_empty()) && is_of_samples(input) || !unique.is_empty() {
            LiveNeed::AtBaseCuts
        } else if has(Class::Window) || has(Class::Level) {
            LiveNeed::AtRuleCuts
        } else {
            LiveNeed::Touched
        };
        FoldSpec { input, outputs, needs, layout, made, unique, top, region_steps, value_steps, steps, live }
    }

    /// Intervals of the longest window.
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// How long what leaves takes to compute, in outputs that are computed of one interval.
    pub fn weight(&self) -> usize {
        self.outputs.iter().map(FoldOutput::weight).sum::<usize>() + 4 * self.made.len() + 16 * self.unique.len()
    }

    /// Which members have to be added.
    pub const fn live(&self) -> LiveNeed {
        self.live
    }

    /// An output asks for the smallest or the largest value of gauges inside an interval.
    pub fn asks_extremes(&self) -> bool {
        self.input == InputKind::Gauge && self.needs & needs::EXTREMES != 0
    }

    /// An output shows a summary whole.
    pub const fn asks_summaries(&self) -> bool {
        self.needs & needs::NEWEST != 0
    }

    pub(super) const fn needs(&self, what: u16) -> bool {
        self.needs & what != 0
    }
}

/// Windows are over what members' levels (or newest points) were at base cuts, not over what was added.
pub(super) const fn is_of_samples(input: InputKind) -> bool {
    matches!(input, InputKind::UpDownCounter | InputKind::Gauge | InputKind::Summary)
}

/// Histograms of both kinds.
pub(super) const fn is_histogram(input: InputKind) -> bool {
    matches!(input, InputKind::Histogram | InputKind::ExponentialHistogram)
}

/// When it leaves, if it is computed of this kind.
fn class_of(output: &Output, input: InputKind) -> Option<Class> {
    if output.support(input) != Support::Defined {
        return None;
    }
    match output {
        Output::Same | Output::Sum if is_of_samples(input) => Some(Class::Level),
        Output::Same | Output::Sum | Output::Total | Output::Count => Some(Class::Merge),
        Output::CountSeries => Some(Class::Level),
        Output::Last | Output::First | Output::Min | Output::Max | Output::Avg | Output::Increase | Output::Rate => {
            Some(Class::Window)
        }
        Output::Stddev | Output::Stdvar => Some(Class::Window),
        Output::Quantile(_) => Some(Class::Window),
        Output::Histogram(_) => Some(Class::Merge),
        Output::Unique(_) => Some(Class::Window),
        Output::TopK { .. } if is_of_samples(input) => Some(Class::Level),
        Output::TopK { .. } => Some(Class::Window),
    }
}

/// What it needs.
fn need_of(output: &Output, input: InputKind) -> u16 {
    let of_samples = is_of_samples(input);
    match output {
        Output::Same | Output::Sum if input == InputKind::UpDownCounter => needs::STANDING,
        Output::Same if is_histogram(input) => needs::REGIONS,
        Output::Sum if input == InputKind::Gauge => needs::MEAN,
        Output::Sum if is_histogram(input) => needs::REGIONS,
        Output::Avg if of_samples => needs::MEAN,
        Output::Stddev | Output::Stdvar if of_samples => needs::MEAN | needs::MOMENTS,
        Output::Min | Output::Max if of_samples => needs::EXTREMES,
        Output::Last if input == InputKind::Summary => needs::NEWEST,
        Output::Last | Output::First => needs::TIMES,
        Output::Histogram(_) if of_samples => needs::MADE,
        Output::Quantile(_) if of_samples => needs::VALUES,
        Output::Quantile(_) | Output::Histogram(_) => needs::REGIONS,
        Output::Avg | Output::Min | Output::Max | Output::Stddev | Output::Stdvar => needs::REGIONS,
        _ => 0,
    }
}
