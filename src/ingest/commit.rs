//! Commit: staged points go into the cells of this core.
//!
//! Knows which cell a point goes to; does not know its words (`cells`), bytes of requests beyond the points it is given, nor
//! how a series comes to be (`births`).
//!
//! A bank is opened at its first touch in an interval, which is also where a series that was about to
//! expire is taken back, and where a dead one is found out and resolved anew.

use super::Ingest;
use super::stage::{self, List, Number, Stage};
use crate::aggregate::number::Value;
use crate::cells::lifecycle::Touch;
use crate::cells::{self, Bank, Loss, Shape, cumulative_sum, delta_sum, gauge};
use crate::examples::{Cause, example};
use crate::ledger::{Note, Tally};
use crate::model::{Kind, Origin, Receipt, Reject};
use crate::otlp::points::NO_RECORDED_VALUE;
use crate::resolve::{NONE, Target};
use crate::series::slab::SlabWriter;

/// Points whose cells are on their way into the cache before they are added to. By profile, adding to sums took 11 to 13 %
/// of all time at 100 k and 1 M series without it, nearly all of it waiting for the cell, and 3 to 5 % with it. Other
/// distances were not tried.
const CELLS_AHEAD: usize = 8;

impl Ingest {
    /// Applies what was staged. Cannot fail: single points may still be rejected by limits.
    pub(super) fn commit(&mut self, origin: Origin, stage: &mut Stage<'_>, tally: &mut Tally) -> Receipt {
        let mut rejected = [0u64; 5];
        let mut gauges = 0;
        self.resolver.begin();
        let encoding = self.encoding();
        for (stream, about) in &stage.descriptions {
            self.resolver.describe(*stream, about, &encoding);
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
                            _ => self.resolver.born(point.route, &mut stage.pending, &encoding, tally).and_then(
                                |route| {
                                    let after = staged[number..to].get(at + 1).filter(|p| p.flags & stage::BIRTH == 0);
                                    before = self.resolver.link_between(before, route, after.map(|p| p.route));
                                    let point = Number { route, flags: point.flags & !stage::BIRTH, ..*point };
                                    self.with_exemplars(&point, number + at, stage, &mut exemplars, tally)
                                },
                            ),
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
                        let to = if is_bare {
                            self.resolver.with_bounds(target, &mut stage.pending, &encoding, tally)
                        } else {
                            None
                        }
                        .unwrap_or(target);
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
        self.resolver.end();
        for (_, reason, _, example) in &stage.rejected {
            self.resolver.registry().examples().put(Cause::Rejected(*reason), example, self.resolver.peer());
        }
        Self::settle(origin, stage, numbers, rejected, tally)
    }

    /// Brings the cell of a staged point into the cache.
    #[inline]
    fn prefetch_cell(&self, point: &Number) {
        if point.flags & stage::BIRTH == 0 {
            self.resolver.prefetch_cell(point.route);
        }
    }

    /// Counts a point that a limit refused.
    #[cold]
    fn refuse(&self, kind: Kind, reason: Reject, of: Target, stage: &mut Stage<'_>, rejected: &mut [u64; 5]) {
        rejected[kind as usize] += 1;
        match of {
            Target::Birth(at) => {
                let (resource, name) = stage.pending.metric_of(at);
                stage.reject_as(kind, reason, 1, || example(resource, name));
            }
            Target::Route(route) => {
                let group = self.resolver.group(route);
                stage.reject_as(kind, reason, 1, || example(&group.resource, group.name.as_bytes()));
            }
        }
    }

    fn route_to(&mut self, target: Target, stage: &mut Stage<'_>, tally: &mut Tally) -> Result<u32, Reject> {
        match target {
            Target::Route(route) => Ok(route),
            Target::Birth(at) => self.resolver.born(at, &mut stage.pending, &self.encoding(), tally),
        }
    }

    /// Writes the request's counts into the tally, and the receipt.
    fn settle(origin: Origin, stage: &Stage<'_>, numbers: [u64; 2], refused: [u64; 5], tally: &mut Tally) -> Receipt {
        let mut points = 0;
        for kind in Kind::ALL {
            let i = kind as usize;
            points += stage.points[i];
            tally.receive(origin, kind, stage.points[i]);
            let listed = match kind {
                Kind::Gauge => numbers[0],
                Kind::Sum => numbers[1],
                Kind::Histogram => stage.histograms.len() as u64,
                Kind::ExponentialHistogram => stage.exponentials.len() as u64,
                Kind::Summary => stage.summaries.len() as u64,
            };
            tally.apply(origin, kind, listed - refused[i]);
        }
        tally.note(Note::Lookups, stage.lookups);
        tally.note(Note::Predicted, stage.predicted);
        tally.note(Note::RouteHits, stage.lookups.saturating_sub(stage.pending.births() as u64));
        tally.note(Note::RouteMisses, stage.pending.births() as u64);
        tally.note(Note::SumDropped, stage.sums_dropped);
        let mut receipt = Receipt { points, rejected: 0, message: None };
        for (kind, reason, n, _) in &stage.rejected {
            tally.reject(origin, *kind, *reason, *n);
            receipt.rejected += n;
        }
        if receipt.rejected > 0 || stage.pending.cut().is_some() {
            receipt.message = Some(stage::message(&stage.rejected, stage.pending.cut().map(String::as_str)));
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
        let mut words = self.resolver.slab().line(self.resolver.cell(point.route));
        if !delta_sum::is_open(words, self.bank, self.interval) {
            words = match delta_sum::open(words, self.bank, self.interval) {
                Touch::Live => words,
                Touch::Dead => {
                    let line = self.after_death(point.route, Shape::DeltaSum, tally)?;
                    self.resolver.slab().line(line)
                }
            };
        }
        delta_sum::add(words, self.bank, point.value, point.flags & stage::DOUBLE != 0, tally);
        Ok(())
    }

    /// Gauges, cumulative sums, and points without a recorded value.
    #[inline(never)]
    fn other_number(&mut self, point: &Number, tally: &mut Tally) -> Result<(), Reject> {
        let shape = match point.flags & (stage::GAUGE | stage::CUMULATIVE) {
            0 => Shape::DeltaSum,
            stage::GAUGE => Shape::Gauge,
            _ => Shape::CumulativeSum,
        };
        let line = self.touched(point.route, shape, tally)?;
        let bank = self.bank_at(line, shape);
        let has_value = point.flags & stage::NO_VALUE == 0;
        let value = has_value.then(|| Value::from_bits(point.value, point.flags & stage::DOUBLE != 0));
        let loss = match shape {
            Shape::DeltaSum => {
                delta_sum::add_without_value(bank, tally);
                None
            }
            Shape::Gauge => gauge::add(bank, point.time, value, tally)?,
            _ => {
                let is_monotonic = point.flags & stage::MONOTONIC != 0;
                let point = cumulative_sum::Point { value, start: point.start, time: point.time, is_monotonic };
                cumulative_sum::add(bank, &point, tally)?
            }
        };
        self.show_loss(loss, point.route);
        Ok(())
    }

    /// Keeps the route's series as an example of what it goes without, if it does.
    #[inline]
    pub(super) fn show_loss(&self, loss: Option<Loss>, route: u32) {
        match loss {
            None => {}
            Some(Loss::WithoutEffect(effect)) => self.resolver.show(Cause::Without(effect), route),
            Some(Loss::CountOverflow) => self.resolver.show(Cause::CountOverflow, route),
        }
    }

    // ---- banks, births and deaths ------------------------------------------------------------------------------

    /// The open bank of the cell at `line`.
    #[inline(always)]
    pub(super) fn bank_at(&self, line: u32, shape: Shape) -> Bank<'_> {
        Bank::new(self.resolver.slab().run(line, shape.words()), shape, self.bank)
    }

    /// The line of the route's cell, with its bank open for this interval. A cell whose series is dead is replaced.
    #[inline]
    pub(super) fn touched(&mut self, route: u32, shape: Shape, tally: &mut Tally) -> Result<u32, Reject> {
        let line = self.resolver.cell(route);
        if self.bank_at(line, shape).interval() == self.interval || self.opens(line, shape) {
            return Ok(line);
        }
        self.after_death(route, shape, tally)
    }

    /// Opens the bank of a cell for this interval, if it lives.
    #[inline(never)]
    fn opens(&self, line: u32, shape: Shape) -> bool {
        cells::open(self.resolver.slab().run(line, shape.words()), shape, self.bank, self.interval) == Touch::Live
    }

    /// As `touched`, of a route whose cell was just found dead, with its bank stamped.
    #[cold]
    #[inline(never)]
    fn after_death(&mut self, route: u32, shape: Shape, tally: &mut Tally) -> Result<u32, Reject> {
        // or the next point would take the bank for an open one
        self.bank_at(self.resolver.cell(route), shape).take_stamp_back();
        let (encoding, index, interval) = (self.encoding(), self.bank, self.interval);
        self.resolver.after_death(route, &encoding, tally, |slab: &SlabWriter, line| {
            let cell = slab.run(line, shape.words());
            let bank = Bank::new(cell, shape, index);
            // another route may have opened it, and its points are in it
            let is_open = bank.interval() == interval || cells::open(cell, shape, index, interval) == Touch::Live;
            if !is_open {
                bank.take_stamp_back();
            }
            is_open
        })
    }

    /// The route of a known series died, and its series may not come back: where a new one's point goes.
    #[cold]
    #[inline(never)]
    pub(super) fn instead(&mut self, route: u32, reason: Reject, tally: &mut Tally) -> Result<u32, Reject> {
        let encoding = self.encoding();
        self.resolver.instead(route, reason, &encoding, tally)
    }
}

fn kind_of(point: &Number) -> Kind {
    if point.flags & stage::GAUGE != 0 { Kind::Gauge } else { Kind::Sum }
}
