//! The table of outputs (RULES 2), as slow as it is obvious: every output anew from the whole history, at each rule cut.

use super::history::{BaseCut, Given, History, zone};
use crate::aggregate::number::Value;
use crate::rules::{InputKind, Output, OutputSpec};
use crate::trial::{Bucketed, Label, SeriesName, Summarised};
use std::collections::{BTreeMap, BTreeSet};

/// What an output must say.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// Just that; a whole number may be a double of the same value.
    Exact(Value),
    /// That, but for the last bits.
    Near(f64),
    /// One of these.
    Either(Value, Value),
    /// Whatever it is: the table leaves it open.
    Anything,
    /// A summary, whole, and where it begins.
    Summary(Summarised, u64),
    /// Counts: what was added, the total and where that begins, for each set of bounds.
    Buckets(Vec<(Bucketed, Bucketed, u64)>),
}

/// What an output must say at a rule cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// Nothing: there is nothing to say.
    pub(super) want: Option<Want>,
    /// Of merges, what was added.
    pub(super) delta: Option<Value>,
    /// It leaves for sure.
    pub(super) is_due: bool,
    /// It may leave.
    pub(super) may_leave: bool,
    /// Nobody lives: what was shown ends.
    pub(super) ends: bool,
    /// It may end.
    pub(super) may_end: bool,
    pub(super) start_ns: Option<u64>,
}

/// A rule's interval.
pub(super) struct Step {
    pub(super) from_ns: u64,
    /// Places of its base cuts, the last one is the rule cut.
    pub(super) cuts: std::ops::RangeInclusive<usize>,
}

/// The first base cut at or after each multiple of the interval ends one.
pub(super) fn steps(history: &History, interval_ns: u64) -> Vec<Step> {
    let (mut all, mut first) = (Vec::new(), 0);
    for (place, cut) in history.cuts.iter().enumerate() {
        if cut.boundary_ns / interval_ns > cut.from_ns / interval_ns {
            all.push(Step { from_ns: history.cuts[first].from_ns, cuts: first..=place });
            first = place + 1;
        }
    }
    all
}

/// Everything that is asked of a group at a rule cut.
pub(super) struct Group<'a> {
    pub(super) history: &'a History,
    pub(super) steps: &'a [Step],
    pub(super) kind: InputKind,
    pub(super) zone: &'a str,
}

impl<'a> Group<'a> {
    fn cuts(&self, steps: std::ops::RangeInclusive<usize>) -> &'a [BaseCut] {
        &self.history.cuts[*self.steps[*steps.start()].cuts.start()..=*self.steps[*steps.end()].cuts.end()]
    }

    /// What members of the group gave at these steps.
    fn given(
        &self,
        steps: std::ops::RangeInclusive<usize>,
    ) -> impl Iterator<Item = (&'a SeriesName, &'a Given)> + use<'a> {
        let own = self.zone;
        self.cuts(steps).iter().flat_map(|cut| &cut.given).filter(move |(series, _)| zone(series) == own)
    }

    fn live(&self, step: usize) -> BTreeSet<&'a SeriesName> {
        let last = &self.history.cuts[*self.steps[step].cuts.end()];
        let own = last.given.iter().filter(|(series, given)| zone(series) == self.zone && given.is_live);
        own.map(|(series, _)| series).collect()
    }

    /// Samples: each live member once a base cut; value, time, and the length of the base interval.
    fn samples(&self, steps: std::ops::RangeInclusive<usize>) -> Vec<(Value, u64, f64)> {
        let mut all = Vec::new();
        for cut in self.cuts(steps) {
            let weight = (cut.boundary_ns - cut.from_ns) as f64;
            let own = cut.given.iter().filter(|(series, given)| zone(series) == self.zone && given.is_live);
            all.extend(own.filter_map(|(_, given)| given.level).map(|(value, time_ns)| (value, time_ns, weight)));
        }
        all
    }

    /// The newest of them, whole; of those of one time the one whose words are larger.
    fn newest_summary(&self, steps: std::ops::RangeInclusive<usize>) -> Option<Want> {
        let live = self.given(steps).filter(|(_, given)| given.is_live);
        let words = |(summary, time_ns, start_ns): &(Summarised, u64, u64)| {
            let mut words =
                vec![*time_ns, *start_ns, summary.count, summary.sum.to_bits(), summary.quantiles.len() as u64];
            words.extend(summary.quantiles.iter().flat_map(|(q, value)| [q.to_bits(), value.to_bits()]));
            words
        };
        let (summary, _, start_ns) = live.filter_map(|(_, given)| given.summary.clone()).max_by_key(words)?;
        Some(Want::Summary(summary, start_ns))
    }

    fn added(&self, steps: std::ops::RangeInclusive<usize>) -> Exact {
        Exact::of(self.given(steps).filter_map(|(_, given)| given.delta))
    }

    /// What an output must say at rule cut `step`.
    pub(super) fn expected(&self, spec: &OutputSpec, interval_ns: u64, step: usize) -> Expected {
        let is_touched = self.given(step..=step).any(|(_, given)| given.is_touched);
        let is_touched_somehow = self.given(step..=step).any(|(_, given)| given.is_touched_somehow);
        let live = self.live(step);
        let before = step.checked_sub(1).map(|step| self.live(step)).unwrap_or_default();
        let first_touched = (0..=step).find(|step| self.given(*step..=*step).any(|(_, given)| given.is_touched));
        let since_ns = first_touched.map(|step| self.steps[step].from_ns);
        let is_merge = matches!(spec.output, Output::Same | Output::Sum | Output::Total | Output::Count)
            && !matches!(self.kind, InputKind::UpDownCounter | InputKind::Gauge);
        if is_merge {
            let (want, delta) = self.merged(&spec.output, step);
            let is_due = is_touched && want.is_some();
            return Expected {
                want,
                delta,
                is_due,
                may_leave: is_touched_somehow,
                start_ns: since_ns,
                ..Expected::default()
            };
        }
        let is_changed = is_touched || live != before;
        let may_be_changed = is_touched_somehow || live != before;
        if !spec.output.has_window(self.kind) {
            let want = self.level(&spec.output, step, live.len());
            let stays = spec.output == Output::Same && !matches!(want, Some(Want::Exact(Value::Int(0))));
            let ends = live.is_empty();
            return Expected {
                is_due: is_changed && !ends && want.is_some(),
                may_leave: may_be_changed && (!ends || stays),
                ends: is_changed && ends && !stays,
                may_end: may_be_changed && ends,
                want,
                ..Expected::default()
            };
        }
        let width = (spec.window_ns / interval_ns) as usize;
        let Some(first) = (step + 1).checked_sub(width) else { return Expected::default() };
        // whole behind the start of the rule
        let covered_ns = self.cuts(first..=step).last().map_or(0, |cut| cut.boundary_ns) - self.steps[first].from_ns;
        if first == 0 && covered_ns < spec.window_ns {
            return Expected::default();
        }
        let want = self.windowed(&spec.output, first..=step);
        // where something may be different from what left before: it was touched in the interval that the window has just
        // left, or somebody lived before that and did no more in it
        let from = first.saturating_sub(2);
        let may = self.given(from..=step).any(|(_, given)| given.is_touched_somehow || given.is_live);
        let ends = live.is_empty();
        let of_samples = matches!(self.kind, InputKind::UpDownCounter | InputKind::Gauge | InputKind::Summary);
        let of_live = of_samples || matches!(spec.output, Output::Unique(_));
        Expected {
            // what was added is no other for whoever lives
            is_due: if of_live { is_changed && !ends } else { is_touched } && want.is_some(),
            may_leave: may && !(ends && of_samples && !matches!(spec.output, Output::Unique(_))),
            ends: is_changed && ends && of_samples,
            // what has nothing to say any more ends until it has
            may_end: ends || want.is_none(),
            start_ns: match want {
                Some(Want::Summary(_, start_ns)) => Some(start_ns),
                _ => Some(self.steps[first].from_ns),
            },
            want,
            delta: None,
        }
    }

    /// Of the pods that were touched in the window the two that added most, ties by their names, and the rest together; and
    /// whether somebody was touched in the step.
    pub(super) fn top(
        &self,
        spec: &OutputSpec,
        interval_ns: u64,
        step: usize,
    ) -> Option<(bool, BTreeMap<String, Value>)> {
        let first = (step + 1).checked_sub((spec.window_ns / interval_ns) as usize)?;
        let covered_ns = self.cuts(first..=step).last()?.boundary_ns - self.steps[first].from_ns;
        if first == 0 && covered_ns < spec.window_ns {
            return None;
        }
        let mut pods: BTreeMap<String, Exact> = BTreeMap::new();
        for (series, given) in self.given(first..=step) {
            let Some(delta) = given.delta else { continue };
            let Label::Text(pod) = &series.attributes["pod"] else { unreachable!("pods are texts") };
            pods.entry(pod.clone()).or_default().add(&Exact::of([delta].into_iter()));
        }
        let mut pods: Vec<(String, Exact)> = pods.into_iter().collect();
        // a stable sort: ties stay in the order of their names
        pods.sort_by(|one, other| other.1.value().as_f64().total_cmp(&one.1.value().as_f64()));
        let mut top: BTreeMap<String, Value> =
            pods.iter().take(2).map(|(pod, sum)| (pod.clone(), sum.value())).collect();
        let mut rest = Exact::default();
        pods.iter().skip(2).for_each(|(_, sum)| rest.add(sum));
        if pods.len() > 2 {
            top.insert("other".to_owned(), rest.value());
        }
        Some((self.given(step..=step).any(|(_, given)| given.is_touched), top))
    }

    /// The total up to a step, and what the step added.
    fn merged(&self, output: &Output, step: usize) -> (Option<Want>, Option<Value>) {
        match (output, self.kind) {
            (Output::Count, InputKind::Histogram | InputKind::ExponentialHistogram) => {
                let count = |steps| self.buckets(steps).map(|buckets| buckets.count as i64).sum();
                (Some(Want::Exact(Value::Int(count(0..=step)))), Some(Value::Int(count(step..=step))))
            }
            (Output::Count, _) => {
                let count = |steps| self.given(steps).map(|(_, given)| given.points as i64).sum();
                (Some(Want::Exact(Value::Int(count(0..=step)))), Some(Value::Int(count(step..=step))))
            }
            (Output::Sum, InputKind::Histogram | InputKind::ExponentialHistogram) => {
                let sum = |steps| self.buckets(steps).map(|buckets| buckets.sum.unwrap_or(0.0)).sum::<f64>();
                (Some(Want::Near(sum(0..=step))), Some(Value::Double(sum(step..=step))))
            }
            (Output::Same, InputKind::Histogram | InputKind::ExponentialHistogram) => {
                (Some(Want::Buckets(self.merged_buckets(step))), None)
            }
            (_, _) => (Some(Want::Exact(self.added(0..=step).value())), Some(self.added(step..=step).value())),
        }
    }

    fn buckets(&self, steps: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = &'a Bucketed> + use<'a> {
        self.given(steps).flat_map(|(_, given)| &given.buckets)
    }

    /// Of each set of bounds that this step touched, what it added, the total, and where that begins.
    fn merged_buckets(&self, step: usize) -> Vec<(Bucketed, Bucketed, u64)> {
        let mut all: Vec<(Bucketed, Bucketed, u64)> = Vec::new();
        for new in self.buckets(step..=step) {
            if all.iter().any(|(known, ..)| known.bounds == new.bounds) {
                continue;
            }
            let has = |step: &usize| self.buckets(*step..=*step).any(|buckets| buckets.bounds == new.bounds);
            let since = (0..=step).find(has).unwrap_or(step);
            let of = |steps| {
                let own: Vec<_> = self.buckets(steps).filter(|buckets| buckets.bounds == new.bounds).collect();
                merge(&own)
            };
            all.push((of(step..=step), of(0..=step), self.steps[since].from_ns));
        }
        all
    }

    /// What stands at a cut.
    fn level(&self, output: &Output, step: usize, live: usize) -> Option<Want> {
        if *output == Output::CountSeries {
            return Some(Want::Exact(Value::Int(live as i64)));
        }
        let last = &self.history.cuts[*self.steps[step].cuts.end()];
        let members = last.given.iter().filter(|(series, given)| zone(series) == self.zone && given.is_live);
        let standing = members.filter(|(series, _)| !self.history.deltas.contains(*series));
        let mut sum = Exact::of(standing.filter_map(|(_, given)| given.level).map(|(value, _)| value).filter(finite));
        if self.kind == InputKind::UpDownCounter {
            sum.add(&self.added(0..=step));
        }
        Some(Want::Exact(sum.value()))
    }

    fn windowed(&self, output: &Output, steps: std::ops::RangeInclusive<usize>) -> Option<Want> {
        let seconds = (self.cuts(steps.clone()).last()?.boundary_ns - self.steps[*steps.start()].from_ns) as f64 / 1e9;
        let is_histogram = matches!(self.kind, InputKind::Histogram | InputKind::ExponentialHistogram);
        let count = || self.buckets(steps.clone()).map(|buckets| buckets.count).sum::<u64>();
        match output {
            Output::Increase if is_histogram => return Some(Want::Exact(Value::Int(count() as i64))),
            Output::Increase => return Some(Want::Exact(self.added(steps).value())),
            Output::Rate if is_histogram => return Some(Want::Near(count() as f64 / seconds)),
            Output::Rate => return Some(Want::Near(self.added(steps).value().as_f64() / seconds)),
            Output::Avg if is_histogram => {
                let sum: f64 = self.buckets(steps.clone()).map(|buckets| buckets.sum.unwrap_or(0.0)).sum();
                return (count() > 0).then(|| Want::Near(sum / count() as f64));
            }
            Output::Quantile(q) if is_histogram => {
                let all: Vec<&Bucketed> = self.buckets(steps.clone()).filter(|buckets| buckets.count > 0).collect();
                let first = all.first()?;
                let is_mixed = all.iter().any(|buckets| buckets.bounds != first.bounds);
                return Some(if is_mixed { Want::Anything } else { Want::Near(quantile(&merge(&all), *q)) });
            }
            Output::Unique(_) => {
                let live = self.given(steps).filter(|(_, given)| given.is_live);
                let pods: BTreeSet<_> = live.map(|(series, _)| &series.attributes["pod"]).collect();
                return Some(Want::Exact(Value::Int(pods.len() as i64)));
            }
            _ => {}
        }
        if self.kind == InputKind::Summary {
            return self.newest_summary(steps);
        }
        let samples = self.samples(steps.clone());
        // the newest, of those of one time the one of the larger bits
        let newest = |sample: &&(Value, u64, f64)| (sample.1, sample.0.bits());
        let oldest = |sample: &&(Value, u64, f64)| (sample.1, u64::MAX - sample.0.bits());
        match output {
            Output::Last => return samples.iter().max_by_key(newest).map(|sample| Want::Exact(sample.0)),
            Output::First => {
                let numbers: Vec<_> = samples.iter().filter(|sample| finite(&sample.0)).copied().collect();
                let all = samples.iter().min_by_key(oldest)?.0;
                return Some(Want::Either(all, numbers.iter().min_by_key(oldest).map_or(all, |sample| sample.0)));
            }
            _ => {}
        }
        if matches!(output, Output::Min | Output::Max) {
            // what was inside the intervals counts, too
            let live = self.given(steps).filter(|(_, given)| given.is_live && self.kind == InputKind::Gauge);
            let inside = live.filter_map(|(_, given)| given.inside).flat_map(|(low, high)| [low, high]);
            let levels = samples.iter().map(|(value, ..)| value.as_f64()).filter(|value| value.is_finite());
            let best = if *output == Output::Min { f64::min } else { f64::max };
            return levels.chain(inside).reduce(best).map(Want::Near);
        }
        let mut numbers: Vec<(f64, f64)> = samples
            .iter()
            .filter(|sample| finite(&sample.0))
            .map(|(value, _, weight)| (value.as_f64(), *weight))
            .collect();
        if numbers.is_empty() {
            return None;
        }
        numbers.sort_by(|one, other| one.0.total_cmp(&other.0));
        let n = numbers.len() as f64;
        let mean_of = |of: &dyn Fn(f64) -> f64| {
            numbers.iter().map(|(value, weight)| of(*value) * weight).sum::<f64>()
                / numbers.iter().map(|(_, weight)| weight).sum::<f64>()
        };
        let mean = mean_of(&|value| value);
        Some(match output {
            Output::Avg => Want::Near(mean),
            Output::Stddev => Want::Near(mean_of(&|value| (value - mean) * (value - mean)).sqrt()),
            // how intervals of other lengths weigh is not said
            Output::Quantile(_) if numbers.iter().any(|(_, weight)| *weight != numbers[0].1) => Want::Anything,
            Output::Quantile(q) => {
                let rank = q * (n - 1.0);
                let (low, high) = (numbers[rank.floor() as usize].0, numbers[rank.ceil() as usize].0);
                Want::Near(low + (high - low) * (rank - rank.floor()))
            }
            other => unreachable!("{other:?}"),
        })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn finite(value: &Value) -> bool {
    value.as_f64().is_finite()
}

/// A sum in which ints stay ints.
#[derive(Clone, Copy, Debug, Default)]
struct Exact {
    ints: i128,
    doubles: f64,
    has_double: bool,
}

impl Exact {
    fn of(values: impl Iterator<Item = Value>) -> Exact {
        let mut sum = Exact::default();
        for value in values {
            match value {
                Value::Int(value) => sum.ints += i128::from(value),
                Value::Double(value) => (sum.doubles, sum.has_double) = (sum.doubles + value, true),
            }
        }
        sum
    }

    fn add(&mut self, other: &Exact) {
        self.ints += other.ints;
        self.doubles += other.doubles;
        self.has_double |= other.has_double;
    }

    fn value(self) -> Value {
        if self.has_double { Value::Double(self.ints as f64 + self.doubles) } else { Value::Int(self.ints as i64) }
    }
}

/// Histograms of equal bounds, or exponential ones at the lowest scale among them.
fn merge(all: &[&Bucketed]) -> Bucketed {
    let scale = all.iter().filter(|buckets| buckets.count > 0).map(|buckets| buckets.scale).min().unwrap_or(0);
    let mut merged = Bucketed { scale, ..Bucketed::default() };
    for buckets in all {
        merged.bounds = buckets.bounds.clone();
        merged.count += buckets.count;
        merged.zero_count += buckets.zero_count;
        merged.sum = Some(merged.sum.unwrap_or(0.0) + buckets.sum.unwrap_or(0.0));
        let is_kept = buckets.count > 0 || buckets.bounds.is_some();
        let other = if is_kept { lowered(buckets, scale) } else { Bucketed::default() };
        (merged.offset, merged.counts) = side((merged.offset, &merged.counts), (other.offset, &other.counts));
        (merged.negative_offset, merged.negative) =
            side((merged.negative_offset, &merged.negative), (other.negative_offset, &other.negative));
    }
    merged
}

/// A quantile as PromQL has it: linear inside a bucket of given bounds, exponential inside one of an exponential histogram.
fn quantile(merged: &Bucketed, q: f64) -> f64 {
    if let Some(bounds) = &merged.bounds {
        let rank = q * merged.count as f64;
        let mut below = 0.0;
        for (place, count) in merged.counts.iter().enumerate() {
            let count = *count as f64;
            if below + count >= rank || place == bounds.len() {
                let Some(upper) = bounds.get(place) else { return bounds[bounds.len() - 1] };
                if place == 0 && *upper <= 0.0 {
                    return *upper;
                }
                let lower = if place == 0 { 0.0 } else { bounds[place - 1] };
                return lower + (upper - lower) * ((rank - below) / count);
            }
            below += count;
        }
        unreachable!("the last bucket has no bound");
    }
    let base = 2f64.powf(2f64.powi(-merged.scale));
    let side = |offset: i32, counts: &[u64]| -> Vec<(f64, f64, f64)> {
        let bound = |place: usize| base.powi(offset + place as i32);
        counts.iter().enumerate().map(|(at, count)| (bound(at), bound(at + 1), *count as f64)).collect()
    };
    let mut all: Vec<(f64, f64, f64)> = side(merged.negative_offset, &merged.negative);
    all = all.into_iter().rev().map(|(lower, upper, count)| (-upper, -lower, count)).collect();
    all.push((0.0, 0.0, merged.zero_count as f64));
    all.extend(side(merged.offset, &merged.counts));
    all.retain(|(.., count)| *count > 0.0);
    let (rank, mut below) = (q * merged.count as f64, 0.0);
    let last = all.len() - 1;
    for (place, (lower, upper, count)) in all.into_iter().enumerate() {
        // from above, a rank between two buckets is in the upper one
        let is_here = if q < 0.5 { below + count >= rank } else { below + count > rank || place == last };
        if !is_here {
            below += count;
            continue;
        }
        let fraction = (rank - below) / count;
        return match () {
            () if lower <= 0.0 && upper >= 0.0 => lower + (upper - lower) * fraction,
            () if lower > 0.0 => (lower.log2() + (upper.log2() - lower.log2()) * fraction).exp2(),
            () => -((-upper).log2() + ((-lower).log2() - (-upper).log2()) * (1.0 - fraction)).exp2(),
        };
    }
    unreachable!("every rank lies in a bucket")
}

/// The same at a lower scale.
pub(super) fn lowered(buckets: &Bucketed, scale: i32) -> Bucketed {
    let by = buckets.scale - scale;
    let side = |offset: i32, counts: &[u64]| {
        let mut lower = std::collections::BTreeMap::<i32, u64>::new();
        for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            *lower.entry((offset + place as i32) >> by).or_default() += count;
        }
        let first = lower.keys().next().copied().unwrap_or(0);
        let length = lower.keys().next_back().map_or(0, |last| last - first + 1);
        (first, (0..length).map(|place| lower.get(&(first + place)).copied().unwrap_or(0)).collect::<Vec<u64>>())
    };
    if buckets.bounds.is_some() {
        return buckets.clone();
    }
    let ((offset, counts), (negative_offset, negative)) =
        (side(buckets.offset, &buckets.counts), side(buckets.negative_offset, &buckets.negative));
    Bucketed { scale, offset, counts, negative_offset, negative, ..buckets.clone() }
}

fn side((one, ones): (i32, &[u64]), (other, others): (i32, &[u64])) -> (i32, Vec<u64>) {
    if ones.is_empty() || others.is_empty() {
        return if ones.is_empty() { (other, others.to_vec()) } else { (one, ones.to_vec()) };
    }
    let first = one.min(other);
    let end = (one + ones.len() as i32).max(other + others.len() as i32);
    let at = |from: i32, counts: &[u64], place: i32| {
        usize::try_from(place - from).ok().and_then(|at| counts.get(at).copied())
    };
    let both = |place| at(one, ones, place).unwrap_or(0) + at(other, others, place).unwrap_or(0);
    (first, (first..end).map(both).collect())
}
