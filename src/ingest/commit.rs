//! Commit: staged points go into the cells of this core.
//!
//! Knows how each kind's bank is written; does not know bytes of requests beyond the points it is given, nor how a series
//! comes to be (`births`).
//!
//! A bank is reset at its first touch in an interval (`first_touch`), which is also where a series that was about to
//! expire is taken back, and where a dead one is found out and resolved anew.

use super::Ingest;
use super::births::TRIES;
use super::routes::NONE;
use super::stage::{self, List, Number, Stage, Target};
use crate::aggregate::number::{Value, older, step};
use crate::cells::lifecycle::{self, Touch};
use crate::cells::shape::{
    self as cell, FLAGS, STATE, Shape, bank_flags, chain_flag, cumulative as c, cumulative_region as cr, double_flag,
    ended_flag, reset_flag, value_flag,
};
use crate::cells::stamp::{interval_of, points_of, stamp};
use crate::examples::{Cause, example};
use crate::ledger::{Effect, Note, Tally};
use crate::model::{Input, Kind, Receipt, Reject};
use crate::otlp::points::NO_RECORDED_VALUE;
use crate::series::slab::Line;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Points whose cells are on their way into the cache before they are added to. By profile, adding to sums took 11 to 13 %
/// of all time at 100 k and 1 M series without it, nearly all of it waiting for the cell, and 3 to 5 % with it. Other
/// distances were not tried.
const CELLS_AHEAD: usize = 8;

/// ORDERING: a cell has one writer, this core; other threads read its closed bank after the cut (board: Release and
/// Acquire), so plain loads and stores do.
#[inline]
pub(super) fn get(words: &[AtomicU64], i: usize) -> u64 {
    words[i].load(Relaxed)
}

/// ORDERING: see `get`.
#[inline]
pub(super) fn put(words: &[AtomicU64], i: usize, value: u64) {
    words[i].store(value, Relaxed);
}

/// Points counted in the bank are settled as they come: they are open no more.
pub(super) fn settled(words: &[AtomicU64], at: usize, points: u64, effect: Effect, tally: &mut Tally) {
    put(words, at, get(words, at) - points);
    tally.emit(points);
    tally.settle(effect, points);
}

impl Ingest {
    /// Applies what was staged. Cannot fail: single points may still be rejected by limits.
    pub(super) fn commit(&mut self, input: Input, stage: &mut Stage<'_>, tally: &mut Tally) -> Receipt {
        let mut rejected = [0u64; 5];
        let mut gauges = 0;
        self.contexts.begin();
        for (stream, description, hints) in &stage.descriptions {
            self.describe(*stream, description, *hints);
        }
        let staged = std::mem::take(&mut self.staged);
        let (mut number, mut histogram, mut exponential, mut summary, mut exemplars) = (0, 0, 0, 0, 0);
        for run in 0..stage.runs.len() {
            let (list, to) = stage.runs[run];
            match list {
                List::Numbers => {
                    let mut before = NONE;
                    for (at, point) in staged[number..to].iter().enumerate() {
                        if let Some(later) = staged.get(number + at + CELLS_AHEAD) {
                            self.prefetch_cell(later);
                        }
                        gauges += u64::from(point.flags & stage::GAUGE != 0);
                        let done = match point.flags & (stage::BIRTH | stage::EXEMPLARS) {
                            0 => self.numbered(point, tally),
                            stage::EXEMPLARS => self.with_exemplars(point, number + at, stage, &mut exemplars, tally),
                            _ => self.born(point.route, stage, tally).and_then(|route| {
                                let after = staged[number..to].get(at + 1).filter(|p| p.flags & stage::BIRTH == 0);
                                before = self.link_between(before, route, after.map(|p| p.route));
                                let point = Number { route, flags: point.flags & !stage::BIRTH, ..*point };
                                self.with_exemplars(&point, number + at, stage, &mut exemplars, tally)
                            }),
                        };
                        before = if point.flags & stage::BIRTH == 0 { point.route } else { before };
                        if let Err(reason) = done {
                            let of = if point.flags & stage::BIRTH != 0 {
                                Target::Birth(point.route)
                            } else {
                                Target::Route(point.route)
                            };
                            self.refuse(kind_of(point), reason, of, stage, &mut rejected);
                        }
                    }
                    number = to;
                }
                List::Histograms => {
                    for i in std::mem::replace(&mut histogram, to)..to {
                        let (target, point) = stage.histograms[i];
                        let is_bare = point.flags & NO_RECORDED_VALUE != 0 && point.bounds.is_empty();
                        let to = if is_bare { self.with_bounds(target, stage, tally) } else { None }.unwrap_or(target);
                        let done = self.route_to(to, stage, tally).and_then(|route| {
                            self.histogram(route, &point, tally).map(|()| route).or_else(|reason| {
                                let route = self.instead(route, reason, tally)?;
                                self.histogram(route, &point, tally).map(|()| route)
                            })
                        });
                        match done {
                            Ok(route) => self.keep_exemplars(route, point.exemplars, 8, point.flags, tally),
                            Err(reason) => self.refuse(Kind::Histogram, reason, target, stage, &mut rejected),
                        }
                    }
                }
                List::Exponentials => {
                    for i in std::mem::replace(&mut exponential, to)..to {
                        let (target, point) = stage.exponentials[i];
                        let done = self.route_to(target, stage, tally).and_then(|route| {
                            self.exponential(route, &point, tally).map(|()| route).or_else(|reason| {
                                let route = self.instead(route, reason, tally)?;
                                self.exponential(route, &point, tally).map(|()| route)
                            })
                        });
                        match done {
                            Ok(route) => self.keep_exemplars(route, point.exemplars, 11, point.flags, tally),
                            Err(reason) => {
                                self.refuse(Kind::ExponentialHistogram, reason, target, stage, &mut rejected);
                            }
                        }
                    }
                }
                List::Summaries => {
                    for i in std::mem::replace(&mut summary, to)..to {
                        let (target, point) = stage.summaries[i];
                        let route = self.route_to(target, stage, tally);
                        if let Err(reason) = route.and_then(|route| self.summary(route, &point, tally)) {
                            self.refuse(Kind::Summary, reason, target, stage, &mut rejected);
                        }
                    }
                }
            }
        }
        let numbers = [gauges, staged.len() as u64 - gauges];
        self.staged = staged;
        self.contexts.begin();
        self.hold();
        for (_, reason, _, example) in &stage.rejected {
            self.registry.examples().put(Cause::Rejected(*reason), example, self.peer);
        }
        Self::settle(input, stage, numbers, rejected, tally)
    }

    /// What this core holds for finding series again counts towards the memory limit.
    pub(super) fn hold(&self) {
        self.registry.hold(self.core as usize, self.routes.bytes() + self.contexts.bytes());
    }

    /// Brings the cell of a staged point into the cache.
    #[inline]
    fn prefetch_cell(&self, point: &Number) {
        if self.routes.are_many()
            && point.flags & stage::BIRTH == 0
            && let Some(route) = self.routes.get(point.route)
        {
            self.slab.prefetch(route.cell);
        }
    }

    /// Counts a point that a limit refused.
    #[cold]
    fn refuse(&self, kind: Kind, reason: Reject, of: Target, stage: &mut Stage<'_>, rejected: &mut [u64; 5]) {
        rejected[kind as usize] += 1;
        match of {
            Target::Birth(at) => {
                let context = stage.contexts[stage.births[at as usize].context as usize];
                let of = || example(context.resource.bytes, context.key.metric.name);
                stage.reject_as(kind, reason, 1, of);
            }
            Target::Route(route) => {
                let group = &self.contexts.at(self.routes.at(route).stream).group;
                stage.reject_as(kind, reason, 1, || example(&group.resource, group.name.as_bytes()));
            }
        }
    }

    /// Puts a new route between the ones that stood beside its point, where they are of its stream, so that the next
    /// export finds it by its place. Returns it.
    #[cold]
    fn link_between(&mut self, before: u32, route: u32, after: Option<u32>) -> u32 {
        let stream = self.routes.at(route).stream;
        if let Some(after) = after
            && self.routes.get(after).is_some_and(|r| r.stream == stream)
        {
            self.routes.put_next(route, after);
        }
        if before != route && self.routes.get(before).is_some_and(|r| r.stream == stream) {
            self.routes.put_next(before, route);
        }
        route
    }

    fn route_to(&mut self, target: Target, stage: &mut Stage<'_>, tally: &mut Tally) -> Result<u32, Reject> {
        match target {
            Target::Route(route) => Ok(route),
            Target::Birth(at) => self.born(at, stage, tally),
        }
    }

    /// Writes the request's counts into the tally, and the receipt.
    fn settle(input: Input, stage: &Stage<'_>, numbers: [u64; 2], refused: [u64; 5], tally: &mut Tally) -> Receipt {
        let mut points = 0;
        for kind in Kind::ALL {
            let i = kind as usize;
            points += stage.points[i];
            tally.receive(input, kind, stage.points[i]);
            let listed = match kind {
                Kind::Gauge => numbers[0],
                Kind::Sum => numbers[1],
                Kind::Histogram => stage.histograms.len() as u64,
                Kind::ExponentialHistogram => stage.exponentials.len() as u64,
                Kind::Summary => stage.summaries.len() as u64,
            };
            tally.apply(input, kind, listed - refused[i]);
        }
        tally.note(Note::Lookups, stage.lookups);
        tally.note(Note::Predicted, stage.predicted);
        tally.note(Note::RouteHits, stage.lookups.saturating_sub(stage.births.len() as u64));
        tally.note(Note::RouteMisses, stage.births.len() as u64);
        tally.note(Note::SumDropped, stage.sums_dropped);
        let mut receipt = Receipt { points, rejected: 0, message: None };
        for (kind, reason, n, _) in &stage.rejected {
            tally.reject(input, *kind, *reason, *n);
            receipt.rejected += n;
        }
        if receipt.rejected > 0 || stage.cut.is_some() {
            receipt.message = Some(stage::message(&stage.rejected, stage.cut.as_deref()));
        }
        receipt
    }

    // ---- numbers -----------------------------------------------------------------------------------------------

    /// Applies it, or sends it where a new series' point goes.
    #[inline]
    fn numbered(&mut self, point: &Number, tally: &mut Tally) -> Result<(), Reject> {
        self.number(point, tally).or_else(|reason| {
            let route = self.instead(point.route, reason, tally)?;
            self.number(&Number { route, ..*point }, tally)
        })
    }

    #[inline]
    pub(super) fn number(&mut self, point: &Number, tally: &mut Tally) -> Result<(), Reject> {
        if point.flags & (stage::GAUGE | stage::CUMULATIVE | stage::NO_VALUE) == 0 {
            return self.delta_number(point, tally);
        }
        self.other_number(point, tally)
    }

    #[inline]
    fn delta_number(&mut self, point: &Number, tally: &mut Tally) -> Result<(), Reject> {
        // the compiler sees that it lies in the line
        let which = self.bank & 1;
        let bank = cell::HEAD + 3 * which;
        let mut words = self.slab.line(self.routes.at(point.route).cell);
        let mut word = get(words, bank);
        if interval_of(word) != self.interval {
            words = match open_delta(words, which, self.interval) {
                Touch::Live => words,
                Touch::Dead => {
                    let line = self.after_death(point.route, Shape::Number, false, tally)?;
                    self.slab.line(line)
                }
            };
            word = get(words, bank);
        }
        let double = point.flags & stage::DOUBLE != 0;
        let flags = get(words, FLAGS);
        if points_of(word) == u32::MAX {
            return Err(Reject::CellFull);
        }
        put(words, bank, word + 1);
        let was_double = flags & double_flag(which) != 0;
        if double && was_double {
            let sum = f64::from_bits(get(words, bank + 1)) + f64::from_bits(point.value);
            put(words, bank + 1, sum.to_bits());
            return Ok(());
        }
        if !double
            && !was_double
            && let Some(sum) = (get(words, bank + 1) as i64).checked_add(point.value as i64)
        {
            put(words, bank + 1, sum as u64);
            return Ok(());
        }
        Self::promote(words, bank, which, point, tally);
        Ok(())
    }

    /// An int meets a double, or leaves 64 bits: the bank is a double from now on.
    #[cold]
    #[inline(never)]
    fn promote(words: &Line, at: usize, bank: usize, point: &Number, tally: &mut Tally) {
        let flags = get(words, FLAGS);
        let old = Value::from_bits(get(words, at + 1), flags & double_flag(bank) != 0);
        let (sum, overflow) = old.add(Value::from_bits(point.value, point.flags & stage::DOUBLE != 0));
        tally.note(Note::IntOverflow, u64::from(overflow));
        put(words, at + 1, sum.as_f64().to_bits());
        put(words, FLAGS, flags | double_flag(bank));
    }

    /// Gauges, cumulative sums, and points without a recorded value.
    #[inline(never)]
    fn other_number(&mut self, point: &Number, tally: &mut Tally) -> Result<(), Reject> {
        let shape = if point.flags & stage::CUMULATIVE != 0 { Shape::CumulativeNumber } else { Shape::Number };
        let at = shape.bank(self.bank).start;
        let mut line = self.routes.at(point.route).cell;
        if interval_of(get(self.slab.run(line, shape.words()), at)) != self.interval {
            line = self.first_touch(point.route, shape, point.flags & stage::GAUGE != 0, tally)?;
        }
        let words = self.slab.run(line, shape.words());
        let word = get(words, at);
        if points_of(word) == u32::MAX {
            return Err(Reject::CellFull);
        }
        put(words, at, word + 1);
        if point.flags & stage::NO_VALUE != 0 {
            self.without_value(words, at, point, tally);
            return Ok(());
        }
        if shape == Shape::Number {
            self.gauge(words, at, point, tally)
        } else {
            self.cumulative(words, at, point, tally)
        }
        Ok(())
    }

    /// M7: what a point without a recorded value does to a bank (`cells::shape`, "ended").
    #[cold]
    fn without_value(&self, words: &[AtomicU64], at: usize, point: &Number, tally: &mut Tally) {
        tally.note(Note::NoRecordedValue, 1);
        let newest = match point.flags & (stage::GAUGE | stage::CUMULATIVE) {
            0 => {
                put(words, at + cell::NO_VALUES, get(words, at + cell::NO_VALUES) + 1);
                return;
            }
            stage::GAUGE => at + cell::GAUGE_TIME,
            _ => at + c::NEWEST_TIME,
        };
        let before = get(words, newest);
        if point.time <= before {
            self.without_effect(words, at, 1, Effect::Superseded, point.route, tally);
            return;
        }
        settled(words, at, 1, Effect::WithEffect, tally);
        put(words, newest, point.time);
        let mut flags = get(words, FLAGS);
        if point.flags & stage::GAUGE != 0 {
            flags &= !value_flag(self.bank);
        } else if flags & (ended_flag(self.bank) | chain_flag(self.bank)) == chain_flag(self.bank)
            && before != get(words, at + c::LAST_TIME)
        {
            // the newest value was a second writer's, and its time is no longer known
            put(words, at + c::NEWEST_START, get(words, at + c::LAST_START));
            put(words, at + c::NEWEST_VALUE, get(words, at + c::LAST_VALUE));
        }
        put(words, FLAGS, flags | ended_flag(self.bank));
    }

    /// M17: the newest time wins, ties go to the larger bits, and to a value before none.
    fn gauge(&self, words: &[AtomicU64], at: usize, point: &Number, tally: &mut Tally) {
        let flags = get(words, FLAGS);
        let time = get(words, at + cell::GAUGE_TIME);
        let has_value = flags & value_flag(self.bank) != 0;
        let wins_tie = flags & ended_flag(self.bank) != 0 || has_value && point.value > get(words, at + 1);
        if point.time < time || point.time == time && !wins_tie {
            self.without_effect(words, at, 1, Effect::Superseded, point.route, tally);
            return;
        }
        put(words, at + 1, point.value);
        put(words, at + cell::GAUGE_TIME, point.time);
        let double = if point.flags & stage::DOUBLE != 0 { double_flag(self.bank) } else { 0 };
        let before = flags & !(double_flag(self.bank) | ended_flag(self.bank));
        put(words, FLAGS, before | double | value_flag(self.bank));
    }

    /// M10, M14: a point of a writer with an older start is the newest one and nothing else. At equal times the first
    /// one stays, but a value goes before none (M7).
    fn cumulative(&self, words: &[AtomicU64], at: usize, point: &Number, tally: &mut Tally) {
        let flags = get(words, FLAGS);
        let value = Value::from_bits(point.value, point.flags & stage::DOUBLE != 0);
        let newest = get(words, at + c::NEWEST_TIME);
        if point.time < newest || point.time == newest && flags & ended_flag(self.bank) == 0 {
            self.without_effect(words, at, 1, Effect::Superseded, point.route, tally);
            return;
        }
        let was_double = flags & double_flag(self.bank) != 0;
        let chained = flags & chain_flag(self.bank) != 0;
        let read = |i: usize| if chained { Value::from_bits(get(words, at + i), was_double) } else { Value::Int(0) };
        let (mut first, mut last, mut gained) = (read(c::FIRST_VALUE), read(c::LAST_VALUE), read(c::GAINED));
        let mut new_flags = flags & !ended_flag(self.bank) | value_flag(self.bank);
        let known = get(words, at + c::LAST_START);
        if older(point.start, known) {
            if chained {
                self.without_effect(words, at, 1, Effect::Overlapping, point.route, tally);
            }
        } else {
            if chained {
                let (step, reset) = step(last, known, value, point.start, monotonic(point));
                if reset {
                    tally.note(Note::Reset, 1);
                    new_flags |= reset_flag(self.bank);
                }
                let (sum, overflow) = gained.add(step);
                tally.note(Note::IntOverflow, u64::from(overflow));
                gained = sum;
            } else {
                self.begin_chain(words, at, point.route, tally);
                put(words, at + c::FIRST_START, point.start);
                put(words, at + c::FIRST_TIME, point.time);
                first = value;
                new_flags |= chain_flag(self.bank);
            }
            last = value;
            put(words, at + c::LAST_START, known.max(point.start));
            put(words, at + c::LAST_TIME, point.time);
        }
        let double = [value, first, last, gained].into_iter().any(Value::is_double);
        let bits = |v: Value| if double { v.as_f64().to_bits() } else { v.bits() };
        put(words, at + c::FIRST_VALUE, bits(first));
        put(words, at + c::LAST_VALUE, bits(last));
        put(words, at + c::GAINED, bits(gained));
        put(words, at + c::NEWEST_START, point.start);
        put(words, at + c::NEWEST_TIME, point.time);
        put(words, at + c::NEWEST_VALUE, bits(value));
        let double = if double { double_flag(self.bank) } else { 0 };
        put(words, FLAGS, new_flags & !double_flag(self.bank) | double);
    }

    // ---- points that are settled as they come --------------------------------------------------------------------

    /// The point counted last is the first of the bank's chain: those before it are a second writer's, and add nothing.
    #[inline]
    pub(super) fn begin_chain(&self, words: &[AtomicU64], at: usize, route: u32, tally: &mut Tally) {
        let seconds = u64::from(points_of(get(words, at))) - 1;
        if seconds > 0 {
            self.without_effect(words, at, seconds, Effect::Overlapping, route, tally);
        }
    }

    /// Points of the bank have no effect, and no cut will change that: they are open no more.
    #[cold]
    #[inline(never)]
    pub(super) fn without_effect(
        &self,
        words: &[AtomicU64],
        at: usize,
        points: u64,
        effect: Effect,
        route: u32,
        tally: &mut Tally,
    ) {
        settled(words, at, points, effect, tally);
        self.show(Cause::Without(effect), route);
    }

    /// Keeps the route's series as an example, if one is wanted.
    #[cold]
    pub(super) fn show(&self, cause: Cause, route: u32) {
        let group = &self.contexts.at(self.routes.at(route).stream).group;
        self.registry.examples().show(cause, &group.resource, group.name.as_bytes(), self.peer);
    }

    // ---- banks, births and deaths ------------------------------------------------------------------------------

    /// The route's cell with its bank open for this interval.
    #[inline]
    pub(super) fn touched(&mut self, route: u32, shape: Shape, at: usize, tally: &mut Tally) -> Result<u32, Reject> {
        let line = self.routes.at(route).cell;
        if interval_of(get(self.slab.run(line, shape.words()), at)) == self.interval {
            return Ok(line);
        }
        self.first_touch(route, shape, false, tally)
    }

    /// Opens the bank of the route's cell for this interval. A cell whose series is dead is replaced.
    #[inline(never)]
    fn first_touch(&mut self, route: u32, shape: Shape, gauge: bool, tally: &mut Tally) -> Result<u32, Reject> {
        let line = self.routes.at(route).cell;
        match self.open_bank(line, shape, gauge) {
            Touch::Live => Ok(line),
            Touch::Dead => self.after_death(route, shape, gauge, tally),
        }
    }

    /// As `first_touch`, of a route whose cell was just found dead, with its bank stamped.
    #[cold]
    #[inline(never)]
    fn after_death(&mut self, route: u32, shape: Shape, gauge: bool, tally: &mut Tally) -> Result<u32, Reject> {
        let at = shape.bank(self.bank).start;
        let mut line = self.routes.at(route).cell;
        for _ in 0..TRIES {
            // the stamp is taken back, or the next point would take the bank for an open one
            put(self.slab.run(line, shape.words()), at, 0);
            line = self.resolve_again(route, shape, tally)?;
            if interval_of(get(self.slab.run(line, shape.words()), at)) == self.interval {
                // another route has opened it, and its points are in it
                return Ok(line);
            }
            if self.open_bank(line, shape, gauge) == Touch::Live {
                return Ok(line);
            }
        }
        put(self.slab.run(line, shape.words()), at, 0);
        Err(Reject::Contended)
    }

    /// Resets the bank: stamps it, fences, reads the state of the cell.
    fn open_bank(&self, line: u32, shape: Shape, gauge: bool) -> Touch {
        let words = self.slab.run(line, shape.words());
        let (open, other) = (&words[shape.bank(self.bank)], &words[shape.bank(1 - self.bank)]);
        // the newest time and start this core knows for the series stand in the newer of the two banks
        let keep = |kept: &[usize]| kept.iter().for_each(|i| put(open, *i, get(open, *i).max(get(other, *i))));
        match shape {
            Shape::Number if gauge => keep(&[cell::GAUGE_TIME]),
            Shape::Number | Shape::Explicit(_) | Shape::Exponential => {
                // ORDERING: see `get`
                open[1..].iter().for_each(|word| word.store(0, Relaxed));
            }
            // of these the first point writes everything else
            Shape::Summary => keep(&[cell::SUMMARY_TIME]),
            Shape::CumulativeNumber => keep(&[c::NEWEST_TIME, c::LAST_START]),
            Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => {
                keep(&[cr::LAST_TIME, cr::LAST_START, cr::ENDED]);
            }
        }
        put(words, FLAGS, get(words, FLAGS) & !bank_flags(self.bank));
        lifecycle::touch(&open[0], stamp(self.interval, 0), &words[STATE])
    }
}

/// `open_bank` of a delta sum's cell.
#[inline]
fn open_delta(words: &Line, bank: usize, interval: u32) -> Touch {
    let at = cell::HEAD + 3 * bank;
    put(words, at + 1, 0);
    put(words, at + cell::NO_VALUES, 0);
    put(words, FLAGS, get(words, FLAGS) & !bank_flags(bank));
    lifecycle::touch(&words[at], stamp(interval, 0), &words[STATE])
}

fn kind_of(point: &Number) -> Kind {
    if point.flags & stage::GAUGE != 0 { Kind::Gauge } else { Kind::Sum }
}

fn monotonic(point: &Number) -> bool {
    point.flags & stage::MONOTONIC != 0
}
