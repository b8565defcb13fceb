//! What an output gathers, and what leaves of it at its rule's cuts.
//!
//! Knows the table of outputs (RULES 2) and when each leaves (S10, S11); does not know members, identities or formats.
//!
//! - A *merge* leaves if a member was touched in the interval; the last cut of the process is one for it, too.
//! - What *stands* at the cut (levels, numbers of series) leaves if a member was touched, or the live set changed.
//! - What is computed of a *window* leaves once the window lies whole behind the rule's start, and then where it may differ
//!   from what left before: something changed in it, or in the interval that it has just left. So a rate goes to 0 before
//!   it falls silent, and a mean does not stay at what half an interval said.
//! - When the last live member goes, one end mark leaves of levels and of what samples say. A rate ends only when nothing
//!   in its window is left, either: what a member gave stays (S3), and a counter that is fed now and then is not dead. So
//!   does an evaluation that has nothing to say, as a mean of nothing, until it has: its last value is not true any more.

mod departure;
mod histograms;
mod succeed;

use self::departure::{ClosedInterval, Departing, GATHERED_AT_A_TIME, LEAVES_AT_A_TIME};
use super::clock::RuleCut;
use super::distinct::DistinctState;
use super::exact::ExactSum;
use super::made::Made;
use super::needs;
use super::part::{FoldPart, made_bytes, made_for};
use super::ring::{FoldStep, Ring};
use super::samples::Samples;
use super::spec::{Class, FoldOutput, FoldSpec, is_histogram, is_of_samples};
use super::top::{TopLeaving, TopState};
use super::values::ValueState;
use super::windows::RegionState;
use super::work::FoldWork;
use crate::aggregate::number::Value;
use crate::aggregate::summary;
use crate::limits::RULE_OUTPUTS_MAX;
use crate::rules::{InputKind, Output};
use std::sync::Arc;

pub use self::departure::Departure;

/// What leaves of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaving<'a> {
    /// Its place among the outputs of the rule for this kind.
    pub output: usize,
    /// Which of its series.
    pub variant: Variant<'a>,
    /// Of totals where they begin, of evaluations where the window does, of a summary where its count and sum do.
    pub start_ns: u64,
    /// The cut's.
    pub time_ns: u64,
    /// The value.
    pub value: LeavingValue<'a>,
}

/// Which series of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variant<'a> {
    /// Its only one.
    Plain,
    /// Of a histogram: with these bounds.
    Bounds(&'a Arc<[f64]>),
    /// Of `topk`: the group with these records of keys.
    Top(&'a [u8]),
    /// Of `topk`: all other groups.
    TopOther,
}

/// A value that leaves. What was added has begun where the rule's interval did (`RuleCut::from_ns`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeavingValue<'a> {
    /// A number.
    Number {
        /// What was added in the interval, of merges.
        delta: Option<Value>,
        /// The total, or what was computed.
        value: Value,
    },
    /// A histogram of explicit bounds, as regions.
    Explicit {
        /// What was added.
        delta: &'a [u64],
        /// The total.
        total: &'a [u64],
    },
    /// An exponential one, as regions.
    Exponential {
        /// What was added.
        delta: &'a [u64],
        /// The total.
        total: &'a [u64],
    },
    /// A summary, whole: as words of `aggregate::summary`, those that say something.
    Summary(&'a [u64]),
    /// No recorded value: it ended (M7).
    End,
}

// each output has a bit in `OutputState::shown`
const _: () = assert!(RULE_OUTPUTS_MAX <= u32::BITS as usize);

/// What an output has gathered.
#[derive(Clone, Debug)]
pub struct OutputState {
    /// Σ Δ of the interval.
    open: ExactSum,
    /// Of all intervals before.
    total: ExactSum,
    open_points: u64,
    total_points: u64,
    /// Where totals begin; after every cut: none left yet.
    start_ns: u64,
    /// The rule cut behind which the outputs began to be computed.
    since: u32,
    /// By output, where an exchange made them differ.
    sinces: Option<Box<Sinces>>,
    live: u32,
    /// Live members at the rule cut before.
    live_before: u32,
    /// A bit for each output: it shows a value that did not end.
    shown: u32,
    /// Base cuts of the interval.
    cuts: u32,
    is_touched: bool,
    /// It was, after its first base cut.
    is_touched_late: bool,
    /// The interval before it was so, as far as it matters (`FoldStep::is_trailing`).
    was_trailing: bool,
    /// Likewise its extremes (`FoldStep::is_wide`).
    was_wide: bool,
    ring: Option<Box<Ring>>,
    levels: Option<Box<LevelState>>,
    regions: Option<Box<RegionState>>,
    sums: Option<Box<SumState>>,
    made: Option<Box<MadeState>>,
    values: Option<Box<ValueState>>,
    tables: Option<Box<TableState>>,
}

/// By output, the rule cut behind which it began to be computed. Behind a pointer of one word, as few
/// folds have it.
#[derive(Clone, Debug)]
struct Sinces(Box<[u64]>);

/// Values of keys, for each `unique` and `topk`.
#[derive(Clone, Debug, Default)]
struct TableState {
    unique: Vec<DistinctState>,
    /// How many there are in its window.
    counts: Vec<u64>,
    top: Vec<TopState>,
}

/// Histograms that are made.
#[derive(Clone, Debug, Default)]
struct MadeState {
    /// Of the interval.
    open: Vec<Made>,
    /// Of all intervals before.
    total: Vec<Made>,
    /// Where each total begins; nothing before it left.
    starts_ns: Vec<Option<u64>>,
}

/// Levels.
#[derive(Clone, Debug, Default)]
struct LevelState {
    /// Σ V at the newest base cut, of those without delta input; of gauges, of all.
    standing: ExactSum,
    /// Of the interval.
    samples: Samples,
}

/// Σ of histograms' sums.
#[derive(Clone, Debug, Default)]
struct SumState {
    total: ExactSum,
    /// Where it begins, if that is not where totals do: behind an exchange, `u64::MAX` until it has left.
    start_ns: Option<u64>,
}

/// What happened in the interval that a cut closes.
struct Closing<'a> {
    cut: &'a RuleCut<'a>,
    interval: ClosedInterval,
}

impl OutputState {
    /// Nothing gathered yet. `since`: the number of the rule cut behind which the rule computes these outputs, 0 if it did
    /// from its start (S10).
    pub fn new(since: u64) -> OutputState {
        OutputState {
            open: ExactSum::default(),
            total: ExactSum::default(),
            open_points: 0,
            total_points: 0,
            start_ns: u64::MAX,
            // at one a second it is enough for a century
            since: u32::try_from(since).unwrap_or(u32::MAX),
            sinces: None,
            live: 0,
            live_before: 0,
            shown: 0,
            cuts: 0,
            is_touched: false,
            is_touched_late: false,
            was_trailing: false,
            was_wide: false,
            ring: None,
            levels: None,
            regions: None,
            sums: None,
            made: None,
            values: None,
            tables: None,
        }
    }

    /// Takes what all members gave in a base interval. To be called at each base cut, with every shard's part; where there
    /// are several, they are absorbed into one before.
    pub fn take(
        &mut self,
        spec: &FoldSpec,
        (from_ns, boundary_ns): (u64, u64),
        part: Option<&mut FoldPart>,
        work: &mut FoldWork,
    ) {
        self.cuts += 1;
        let Some(part) = part.filter(|part| !part.is_empty()) else {
            self.live = 0;
            if let Some(levels) = &mut self.levels {
                levels.standing = ExactSum::default();
            }
            if is_of_samples(spec.input)
                && let Some(tables) = &mut self.tables
            {
                tables.top.iter_mut().for_each(|top| top.open.clear());
            }
            return;
        };
        self.live = part.live;
        if part.touched > 0 {
            self.is_touched = true;
            self.is_touched_late |= self.cuts > 1;
        }
        self.open.absorb(&part.delta);
        self.open_points += part.points;
        if spec.needs(needs::LEVELS) {
            let levels = self.levels.get_or_insert_default();
            levels.standing = ExactSum::default();
            if let Some(part) = &part.levels {
                levels.standing = if spec.input == InputKind::Gauge { part.samples.sum } else { part.standing };
                levels.samples.absorb(&part.samples, weight(from_ns, boundary_ns));
            }
            if let Some(part) = &mut part.levels
                && spec.needs(needs::VALUES)
            {
                let open = &mut self.values.get_or_insert_default().open;
                open.absorb(&mut part.values, &mut work.exponential);
            }
            if let Some(part) = &mut part.levels
                && !part.made.is_empty()
            {
                let open = &mut self.made.get_or_insert_default().open;
                for (into, from) in made_for(open, spec).iter_mut().zip(&mut part.made) {
                    work.notes.count_overflows += u64::from(into.absorb(from));
                }
            }
        }
        if let Some(part) = &part.tables {
            let tables = self.tables.get_or_insert_default();
            tables.unique.resize_with(spec.unique.len(), DistinctState::default);
            tables.top.resize_with(spec.top.len(), TopState::default);
            tables.unique.iter_mut().zip(&part.unique).for_each(|(into, from)| into.open.absorb(from));
            for (i, into) in tables.top.iter_mut().enumerate() {
                if is_of_samples(spec.input) {
                    into.open.clear();
                }
                work.notes.table_full += part.top.get(i).map_or(0, |from| into.open.absorb(from));
            }
        }
        if let Some(part) = &mut part.regions {
            self.regions.get_or_insert_with(|| Box::new(RegionState::new(spec.region_steps))).take(part, work);
        }
    }

    /// Calls `visit` with what leaves at a cut of the rule, and closes its interval.
    pub fn leave(
        &mut self,
        spec: &FoldSpec,
        cut: &RuleCut<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        let mut departure = Departure::default();
        while self.leave_some(spec, cut, work, &mut departure, visit) {}
    }

    /// The same in slices, from a new `departure` on, with nothing else between them; `true` when there is more.
    pub fn leave_some(
        &mut self,
        spec: &FoldSpec,
        cut: &RuleCut<'_>,
        work: &mut FoldWork,
        departure: &mut Departure,
        visit: &mut impl FnMut(Leaving<'_>),
    ) -> bool {
        let (interval, mut next) = match departure.0.take() {
            Some(Departing { interval, next }) => (interval, next),
            None => (self.close(spec, cut, work), 0),
        };
        let mut closing = Closing { cut, interval };
        let mut left = LEAVES_AT_A_TIME;
        while left > 0 && next < spec.outputs.len() {
            let output = &spec.outputs[next];
            left = left.saturating_sub(output.weight());
            let of_groups = output.class.filter(|_| matches!(output.output, Output::TopK { .. }));
            if let Some(class) = of_groups {
                if self.leave_top(spec, next, class, &mut closing, work, visit) {
                    departure.0 = Some(Departing { interval: closing.interval, next });
                    return true;
                }
            } else {
                match output.class {
                    Some(Class::Merge) if closing.interval.is_touched => {
                        self.leave_merge(spec, next, output, &closing, work, visit);
                    }
                    Some(Class::Level) => self.leave_level(spec, next, output, &closing, work, visit),
                    Some(Class::Window) if !cut.is_last => {
                        self.leave_window(spec, next, output, &mut closing, work, visit);
                    }
                    _ => {}
                }
            }
            next += 1;
        }
        if left == 0 {
            departure.0 = Some(Departing { interval: closing.interval, next });
            return true;
        }
        if !spec.made.is_empty() {
            self.leave_made(spec, &closing, work, visit);
        }
        self.leave_regions(spec, &closing, work, visit);
        if let Some(values) = &mut self.values {
            values.open.clear();
        }
        self.live_before = self.live;
        false
    }

    /// Closes the interval: what was gathered is in totals and rings from here on, but for regions.
    fn close(&mut self, spec: &FoldSpec, cut: &RuleCut<'_>, work: &mut FoldWork) -> ClosedInterval {
        let is_changed = self.is_touched || self.live != self.live_before;
        let samples = self.levels.as_mut().map(|levels| std::mem::take(&mut levels.samples)).unwrap_or_default();
        let (differs, is_trailing) = if !spec.unique.is_empty() {
            (is_changed, self.is_touched || is_changed && self.cuts > 1)
        } else if is_of_samples(spec.input) {
            (is_changed, self.is_touched_late || is_changed && !self.is_touched && self.cuts > 1)
        } else {
            (self.is_touched, self.is_touched)
        };
        let is_wide = samples.extremes.is_some_and(|all| all.is_wide);
        let step = FoldStep { is_changed: differs, is_trailing, is_wide, delta: self.open, samples };
        if spec.layout.steps > 0 {
            let ring = self.ring.get_or_insert_with(|| Box::new(Ring::new(&spec.layout)));
            ring.push(&spec.layout, cut.number, &step);
        }
        if let Some(regions) = &mut self.regions {
            regions.close(cut.number);
        }
        if let Some(values) = &mut self.values {
            values.close(spec.value_steps, cut.number, &mut work.exponential);
        }
        if let Some(tables) = &mut self.tables {
            let steps = spec.unique.iter().map(|place| spec.outputs[*place].steps);
            let counts = tables.unique.iter_mut().zip(steps).map(|(unique, steps)| unique.close(steps, cut.number));
            tables.counts.clear();
            tables.counts.extend(counts);
        }
        work.notes.left.absorb(&self.open);
        self.total.absorb(&self.open);
        self.total_points = self.total_points.checked_add(self.open_points).unwrap_or_else(|| {
            work.notes.count_overflows += 1;
            self.open_points
        });
        if self.is_touched && self.start_ns >= cut.boundary_ns {
            self.start_ns = cut.from_ns();
        }
        let closing = ClosedInterval {
            step,
            delta: std::mem::take(&mut self.open),
            points: std::mem::take(&mut self.open_points),
            is_touched: std::mem::take(&mut self.is_touched),
            is_changed,
            was_trailing: std::mem::replace(&mut self.was_trailing, is_trailing),
            was_wide: std::mem::replace(&mut self.was_wide, is_wide),
            window: None,
        };
        (self.cuts, self.is_touched_late) = (0, false);
        closing
    }

    fn leave_merge(
        &mut self,
        spec: &FoldSpec,
        place: usize,
        output: &FoldOutput,
        closing: &Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        let mut start_ns = self.start_ns;
        let (delta, total) = match output.output {
            Output::Histogram(_) => return,
            Output::Same if is_histogram(spec.input) => return,
            Output::Sum if is_histogram(spec.input) => {
                let Some(head) = self.regions.as_ref().map(|regions| regions.head(1)) else { return };
                let Some(sum) = head.sum else {
                    work.notes.no_sum += 1;
                    return;
                };
                let SumState { total, start_ns: own } = &mut **self.sums.get_or_insert_default();
                if let Some(own) = own {
                    *own = (*own).min(closing.cut.from_ns());
                    start_ns = *own;
                }
                total.add(Value::Double(sum));
                (Value::Double(sum), total.value().0)
            }
            Output::Count if !is_histogram(spec.input) => (count(closing.interval.points), count(self.total_points)),
            _ => {
                let ((delta, _), (total, overflows)) = (closing.interval.delta.value(), self.total.value());
                work.notes.int_overflows += u64::from(overflows);
                (delta, total)
            }
        };
        self.show(place);
        visit(Leaving {
            output: place,
            variant: Variant::Plain,
            start_ns,
            time_ns: closing.cut.boundary_ns,
            value: LeavingValue::Number { delta: Some(delta), value: total },
        });
    }

    fn leave_level(
        &mut self,
        spec: &FoldSpec,
        place: usize,
        output: &FoldOutput,
        closing: &Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        if !closing.interval.is_changed {
            return;
        }
        let is_total = matches!(output.output, Output::Same) || spec.input == InputKind::UpDownCounter;
        let is_total = is_total && !matches!(output.output, Output::CountSeries);
        // what deltas added stays when their members are gone (S5)
        let stays = is_total && !self.total.is_zero();
        let start_ns = if is_total { self.start_ns } else { closing.cut.covered(1).start_ns };
        let value = if self.live == 0 && !stays {
            self.end(place)
        } else {
            let (value, overflows) = match output.output {
                Output::CountSeries => (Value::Int(i64::from(self.live)), false),
                _ => {
                    let mut sum = self.levels.as_ref().map(|levels| levels.standing).unwrap_or_default();
                    sum.absorb(&self.total);
                    sum.value()
                }
            };
            work.notes.int_overflows += u64::from(overflows);
            self.show(place);
            Some(LeavingValue::Number { delta: None, value })
        };
        if let Some(value) = value {
            let time_ns = closing.cut.boundary_ns;
            visit(Leaving { output: place, variant: Variant::Plain, start_ns, time_ns, value });
        }
    }

    fn leave_window(
        &mut self,
        spec: &FoldSpec,
        place: usize,
        output: &FoldOutput,
        closing: &mut Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        let mut window = self.window(spec, output, closing);
        if matches!(output.output, Output::Min | Output::Max) {
            // of those of the interval before it some were inside that, and are no level
            window.is_changed |= window.is_wide;
        }
        let covered = closing.cut.covered(output.steps);
        let of_live = is_of_samples(spec.input) || matches!(output.output, Output::Unique(_));
        let value = if self.live == 0 && (of_live || !window.is_changed) {
            self.end(place)
        } else if window.is_changed && closing.cut.is_whole(output.steps, self.since(place)) {
            let number = |value| LeavingValue::Number { delta: None, value };
            let value = match output.output {
                Output::Unique(_) => self.unique_of(spec, place).map(number),
                _ if spec.input == InputKind::Summary => self.newest_summary(output, &mut work.regions[0]),
                _ => self.computed(spec, output, &window, covered.length_ns, work).map(number),
            };
            if value.is_some() {
                self.show(place);
                value
            } else {
                self.end(place)
            }
        } else {
            None
        };
        if let Some(value) = value {
            let time_ns = closing.cut.boundary_ns;
            let start_ns = match value {
                // what it counts began with its own start, by a clock that may be ahead
                LeavingValue::Summary(words) => words[summary::START].min(time_ns),
                _ => covered.start_ns,
            };
            visit(Leaving { output: place, variant: Variant::Plain, start_ns, time_ns, value });
        }
    }

    /// The newest summary of an output's window, whole; `words` is memory for it.
    fn newest_summary<'a>(&self, output: &FoldOutput, words: &'a mut Vec<u64>) -> Option<LeavingValue<'a>> {
        let newest = self.regions.as_ref()?.newest(output.steps)?;
        words.clear();
        words.extend_from_slice(newest);
        Some(LeavingValue::Summary(words))
    }

    /// The window of an output.
    fn window(&self, spec: &FoldSpec, output: &FoldOutput, closing: &mut Closing<'_>) -> FoldStep {
        let Some(ring) = self.ring.as_ref().filter(|_| output.steps > 1) else {
            let ClosedInterval { step, was_trailing, was_wide, .. } = &closing.interval;
            let mut window = *step;
            window.is_changed |= *was_trailing;
            window.is_wide = *was_wide;
            return window;
        };
        match closing.interval.window {
            Some((steps, window)) if steps == output.steps => window,
            _ => closing.interval.window.insert((output.steps, ring.window(&spec.layout, output.steps))).1,
        }
    }

    fn unique_of(&self, spec: &FoldSpec, place: usize) -> Option<Value> {
        let at = spec.unique.iter().position(|unique| *unique == place)?;
        self.tables.as_ref()?.counts.get(at).map(|unique| count(*unique))
    }

    /// The largest groups of a window, or of what stands at the cut; `true` when the window is not yet gathered.
    fn leave_top(
        &mut self,
        spec: &FoldSpec,
        place: usize,
        class: Class,
        closing: &mut Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) -> bool {
        let output = &spec.outputs[place];
        let Output::TopK { k, .. } = &output.output else { return false };
        let window = self.window(spec, output, closing);
        let Some(at) = spec.top.iter().position(|top| *top == place) else { return false };
        let (live, since) = (self.live, self.since(place));
        let Some(top) = self.tables.as_mut().and_then(|tables| tables.top.get_mut(at)) else { return false };
        let of_levels = class == Class::Level;
        let leaves = if of_levels {
            closing.interval.is_changed
        } else {
            let is_over = live == 0 && !window.is_changed;
            !closing.cut.is_last && (is_over || window.is_changed && closing.cut.is_whole(output.steps, since))
        };
        let (covered, number) = (closing.cut.covered(output.steps), closing.cut.number);
        if !leaves {
            if !of_levels {
                top.close(output.steps, number);
            }
            return false;
        }
        if !of_levels && top.gather_some(output.steps, number, GATHERED_AT_A_TIME, &mut work.notes.table_full) {
            return true;
        }
        {
            let mut table = if of_levels { std::mem::take(&mut top.open) } else { top.gathered() };
            let mut overflows = 0;
            let mut number = |sum: &ExactSum| {
                let (value, overflow) = sum.value();
                overflows += u64::from(overflow);
                LeavingValue::Number { delta: None, value }
            };
            let (start_ns, time_ns) = (covered.start_ns, closing.cut.boundary_ns);
            let full = top.leave(*k as usize, &mut table, |what| {
                let (variant, value) = match what {
                    TopLeaving::Group(key, sum) => (Variant::Top(key), number(sum)),
                    TopLeaving::Rest(sum) => (Variant::TopOther, number(sum)),
                    TopLeaving::GroupEnds(key) => (Variant::Top(key), LeavingValue::End),
                    TopLeaving::RestEnds => (Variant::TopOther, LeavingValue::End),
                };
                visit(Leaving { output: place, variant, start_ns, time_ns, value });
            });
            work.notes.table_full += full;
            work.notes.int_overflows += overflows;
            if of_levels {
                top.open = table;
            } else {
                top.give_back(table);
            }
        }
        false
    }

    /// What an output says of its window; nothing if there is nothing to say.
    fn computed(
        &self,
        spec: &FoldSpec,
        output: &FoldOutput,
        window: &FoldStep,
        length_ns: u64,
        work: &mut FoldWork,
    ) -> Option<Value> {
        let samples = &window.samples;
        match output.output {
            Output::Increase => {
                let (value, overflows) = window.delta.value();
                work.notes.int_overflows += u64::from(overflows);
                Some(value)
            }
            // in this order: nanoseconds are whole numbers, seconds are not
            Output::Rate => Some(Value::Double(window.delta.as_f64() * 1e9 / length_ns as f64)),
            Output::Last => samples.newest.map(|(_, value)| value),
            Output::First => samples.oldest.map(|(_, value)| value),
            Output::Quantile(quantile) if is_of_samples(spec.input) => {
                self.values.as_ref()?.quantile(quantile, output.steps, work).map(Value::Double)
            }
            _ if is_histogram(spec.input) => self.computed_of_regions(output, work),
            Output::Min => samples.extremes.map(|all| all.low()),
            Output::Max => samples.extremes.map(|all| all.high()),
            Output::Avg => samples.mean().map(Value::Double),
            Output::Stddev => samples.variance().map(|variance| Value::Double(variance.sqrt())),
            Output::Stdvar => samples.variance().map(Value::Double),
            _ => None,
        }
    }

    fn computed_of_regions(&self, output: &FoldOutput, work: &mut FoldWork) -> Option<Value> {
        let regions = self.regions.as_ref()?;
        let head = regions.head(output.steps);
        if head.count == 0 {
            return None;
        }
        let value = match output.output {
            Output::Quantile(quantile) => regions.quantile(quantile, output.steps, work)?,
            Output::Stddev | Output::Stdvar => {
                work.notes.no_sum += u64::from(head.sum.is_none());
                let variance = regions.variance(output.steps, work)?;
                if matches!(output.output, Output::Stddev) { variance.sqrt() } else { variance }
            }
            Output::Avg => {
                work.notes.no_sum += u64::from(head.sum.is_none());
                head.sum? / head.count as f64
            }
            Output::Min | Output::Max => {
                let extreme = if matches!(output.output, Output::Min) { head.min } else { head.max };
                work.notes.no_extremes += u64::from(extreme.is_none());
                extreme?
            }
            _ => return None,
        };
        Some(Value::Double(value))
    }

    const fn show(&mut self, place: usize) {
        self.shown |= 1 << place;
    }

    /// An end mark, if it shows a value.
    fn end(&mut self, place: usize) -> Option<LeavingValue<'static>> {
        let bit = 1 << place;
        let was_shown = self.shown & bit != 0;
        self.shown &= !bit;
        was_shown.then_some(LeavingValue::End)
    }

    /// The rule cut behind which an output is computed.
    fn since(&self, place: usize) -> u64 {
        self.sinces.as_ref().and_then(|sinces| sinces.0.get(place)).copied().unwrap_or(self.since.into())
    }

    /// All that it showed has ended.
    pub const fn forget_shown(&mut self) {
        self.shown = 0;
    }

    /// Members that counted at the last base cut: of what adds up those that were touched.
    pub const fn live(&self) -> u32 {
        self.live
    }

    /// Nobody is live, and nothing was gathered since the last rule cut: it can go when it is idle for long enough.
    pub const fn is_idle(&self) -> bool {
        self.live == 0 && !self.is_touched
    }

    /// Σ Δ that has not left: what was given is what left, and this.
    pub const fn open(&self) -> &ExactSum {
        &self.open
    }

    /// No base cut since its rule's last one: nothing of it has still to leave.
    pub const fn is_closed(&self) -> bool {
        self.cuts == 0
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<OutputState>()
            + self.sinces.as_ref().map_or(0, |sinces| size_of::<Sinces>() + size_of_val(&*sinces.0))
            + self.ring.as_ref().map_or(0, |ring| size_of::<Ring>() + ring.bytes())
            + self.levels.as_ref().map_or(0, |_| size_of::<LevelState>())
            + self.regions.as_ref().map_or(0, |regions| regions.bytes())
            + self.sums.as_ref().map_or(0, |_| size_of::<SumState>())
            + self.values.as_ref().map_or(0, |values| values.bytes())
            + self.tables.as_ref().map_or(0, |tables| {
                let unique: usize = tables.unique.iter().map(DistinctState::bytes).sum();
                size_of::<TableState>() + unique + tables.top.iter().map(TopState::bytes).sum::<usize>()
            })
            + self.made.as_ref().map_or(0, |made| {
                size_of::<MadeState>() + made_bytes(&made.open) + made_bytes(&made.total) + 16 * made.starts_ns.len()
            })
    }
}

/// The weight of samples: milliseconds of a base window.
fn weight(from_ns: u64, boundary_ns: u64) -> u32 {
    u32::try_from(boundary_ns.saturating_sub(from_ns) / 1_000_000).unwrap_or(u32::MAX).max(1)
}

fn count(points: u64) -> Value {
    i64::try_from(points).map_or(Value::Double(points as f64), Value::Int)
}
