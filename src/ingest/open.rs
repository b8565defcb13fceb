//! The interval that is open on this core: points are added to the open banks of its cells.
//!
//! Knows which bank is open, and how a point becomes what a cell takes; does not know the words of a bank (`cells`), nor which
//! points there are (`commit`).
//!
//! A bank is opened at its first touch in an interval, which is also where a series that was about to expire is taken back,
//! and where a dead one is found out and resolved again.

use super::encoding::Otlp;
use super::regions::{fill_exponential, fill_region};
use super::stage::{CUMULATIVE, DOUBLE, GAUGE, MONOTONIC, NO_VALUE, StagedNumber};
use crate::aggregate::number::Value;
use crate::aggregate::summary::{self, REGION};
use crate::cells::cumulative_histogram::PointTimes;
use crate::cells::extremes::{self, ExtremesAsked};
use crate::cells::lifecycle::Touch;
use crate::cells::sequences::{Earlier, Sequences};
use crate::cells::{
    self, Bank, Loss, Shape, cumulative_sum, delta_sum, explicit_histogram, exponential_histogram, gauge, head,
};
use crate::examples::Cause;
use crate::ledger::Tally;
use crate::model::Reject;
use crate::otlp::points::{ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};
use crate::otlp::summaries::SummaryPoint;
use crate::resolve::Resolver;
use crate::series::slab::SlabWriter;

/// What points are applied with.
pub(super) struct Applying<'r> {
    pub resolver: &'r mut Resolver,
    pub encoding: Otlp,
    /// Of the open interval.
    pub sequences: &'r mut Sequences,
    pub tally: &'r mut Tally,
}

impl Applying<'_> {
    /// The route of a known series died, and its series may not come back: where a new one's point goes.
    #[cold]
    #[inline(never)]
    pub(super) fn instead(&mut self, route: u32, reason: Reject) -> Result<u32, Reject> {
        self.resolver.instead(route, reason, &self.encoding, self.tally)
    }

    /// Keeps the route's series as an example of what it goes without, if it does.
    #[inline]
    fn show_loss(&self, loss: Option<Loss>, route: u32) {
        match loss {
            None => {}
            Some(Loss::WithoutEffect(effect)) => self.resolver.show(Cause::Without(effect), route),
            Some(Loss::CountOverflow) => self.resolver.show(Cause::CountOverflow, route),
        }
    }
}

/// The open interval.
pub(super) struct OpenInterval {
    number: u32,
    /// The bank that is written.
    bank: usize,
    scratch: exponential_histogram::Scratch,
    /// An explicit histogram's point, as it goes into a cell.
    region: Vec<u64>,
}

impl OpenInterval {
    /// The first one is number 1, bank 0.
    pub(super) fn first() -> OpenInterval {
        OpenInterval { number: 1, bank: 0, scratch: Default::default(), region: Vec::new() }
    }

    /// Its number.
    #[inline]
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The bank that is written.
    pub(super) const fn bank(&self) -> usize {
        self.bank
    }

    /// Switches to the other bank: the interval `number` is open from now on.
    pub(super) fn switch(&mut self, number: u32) {
        debug_assert!(number > self.number, "intervals rise");
        self.number = number;
        self.bank = 1 - self.bank;
    }

    /// Adds a number to the cell of its route.
    #[inline]
    pub(super) fn add_number(&self, to: &mut Applying<'_>, point: &StagedNumber) -> Result<(), Reject> {
        if point.flags & (GAUGE | CUMULATIVE | NO_VALUE) == 0 {
            return self.add_delta(to, point);
        }
        self.add_other_number(to, point)
    }

    #[inline]
    fn add_delta(&self, to: &mut Applying<'_>, point: &StagedNumber) -> Result<(), Reject> {
        let mut words = to.resolver.slab().line(to.resolver.cell(point.route));
        if !delta_sum::is_open(words, self.bank, self.number) {
            words = match delta_sum::open(words, self.bank, self.number) {
                Touch::Live => words,
                Touch::Dead => {
                    let line = self.after_death(to, point.route, Shape::DeltaSum)?;
                    to.resolver.slab().line(line)
                }
            };
        }
        delta_sum::add(words, self.bank, point.value, point.flags & DOUBLE != 0, to.tally);
        Ok(())
    }

    /// Gauges, cumulative sums, and points without a recorded value.
    #[inline(never)]
    fn add_other_number(&self, to: &mut Applying<'_>, point: &StagedNumber) -> Result<(), Reject> {
        let shape = match point.flags & (GAUGE | CUMULATIVE) {
            0 => Shape::DeltaSum,
            GAUGE => Shape::Gauge,
            _ => Shape::CumulativeSum,
        };
        let line = self.touched(to, point.route, shape)?;
        let bank = self.bank_at(to.resolver.slab(), line, shape);
        let has_value = point.flags & NO_VALUE == 0;
        let value = has_value.then(|| Value::from_bits(point.value, point.flags & DOUBLE != 0));
        let loss = match shape {
            Shape::DeltaSum => {
                delta_sum::add_without_value(bank, to.tally);
                None
            }
            Shape::Gauge => {
                let loss = gauge::add(bank, point.time, value, to.tally)?;
                if let (Some(value), None) = (value, loss)
                    && let Some(beside) = head::extremes(to.resolver.slab().line(line))
                {
                    self.add_extremes(to, (line, beside), value);
                }
                loss
            }
            _ => {
                let is_monotonic = point.flags & MONOTONIC != 0;
                let point = cumulative_sum::Point { value, start: point.start, time: point.time, is_monotonic };
                cumulative_sum::add(bank, &point, Earlier { sequences: to.sequences, line }, to.tally)?
            }
        };
        to.show_loss(loss, point.route);
        Ok(())
    }

    /// Adds a gauge's value to what is kept beside its cell.
    #[inline(never)]
    fn add_extremes(&self, to: &mut Applying<'_>, (line, beside): (u32, u32), value: Value) {
        if extremes::add(to.resolver.slab().line(beside), self.bank, self.number, value) == ExtremesAsked::NoMore {
            to.resolver.drop_extremes(line);
        }
    }

    /// Adds an explicit histogram to the cell of a route.
    pub(super) fn add_histogram(
        &mut self,
        to: &mut Applying<'_>,
        route: u32,
        point: &HistogramPoint<'_>,
    ) -> Result<(), Reject> {
        let shape = to.resolver.shape(route);
        let line = self.touched(to, route, shape)?;
        let times = PointTimes { start: point.start, time: point.time };
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            self.region.resize(shape.region_words(), 0);
            fill_region(&mut self.region, point);
        }
        let bank = self.bank_at(to.resolver.slab(), line, shape);
        let earlier = Earlier { sequences: to.sequences, line };
        let loss = explicit_histogram::add(bank, times, has_value.then_some(&self.region), earlier, to.tally)?;
        to.show_loss(loss, route);
        Ok(())
    }

    /// Adds an exponential histogram to the cell of a route.
    pub(super) fn add_exponential(
        &mut self,
        to: &mut Applying<'_>,
        route: u32,
        point: &ExponentialPoint<'_>,
    ) -> Result<(), Reject> {
        let shape = to.resolver.shape(route);
        let line = self.touched(to, route, shape)?;
        let times = PointTimes { start: point.start, time: point.time };
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            fill_exponential(&mut self.scratch.point, point);
        }
        let bank = Bank::new(to.resolver.slab().run(line, shape.words()), shape, self.bank);
        let earlier = Earlier { sequences: to.sequences, line };
        let loss = exponential_histogram::add(bank, times, has_value, (&mut self.scratch, earlier), to.tally)?;
        to.show_loss(loss, route);
        Ok(())
    }

    /// Adds a summary to the cell of a route.
    pub(super) fn add_summary(
        &self,
        to: &mut Applying<'_>,
        route: u32,
        point: &SummaryPoint<'_>,
    ) -> Result<(), Reject> {
        let line = self.touched(to, route, Shape::Summary)?;
        let mut region = [0; REGION];
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            summary::put(&mut region.as_mut_slice(), point.start, point.count, point.sum, point.quantiles);
        }
        let bank = self.bank_at(to.resolver.slab(), line, Shape::Summary);
        let loss = cells::summary::add(bank, point.time, has_value.then_some(&region), to.tally)?;
        to.show_loss(loss, route);
        Ok(())
    }

    /// The open bank of the cell at `line`.
    #[inline(always)]
    fn bank_at<'s>(&self, slab: &'s SlabWriter, line: u32, shape: Shape) -> Bank<'s> {
        Bank::new(slab.run(line, shape.words()), shape, self.bank)
    }

    /// The line of the route's cell, with its bank open for this interval. A cell whose series is dead is replaced.
    #[inline]
    fn touched(&self, to: &mut Applying<'_>, route: u32, shape: Shape) -> Result<u32, Reject> {
        let line = to.resolver.cell(route);
        let slab = to.resolver.slab();
        if self.bank_at(slab, line, shape).interval() == self.number || self.opens(slab, line, shape) {
            return Ok(line);
        }
        self.after_death(to, route, shape)
    }

    /// Opens the bank of a cell for this interval, if it lives.
    #[inline(never)]
    fn opens(&self, slab: &SlabWriter, line: u32, shape: Shape) -> bool {
        cells::open(slab.run(line, shape.words()), shape, self.bank, self.number) == Touch::Live
    }

    /// As `touched`, of a route whose cell was just found dead, with its bank stamped.
    #[cold]
    #[inline(never)]
    fn after_death(&self, to: &mut Applying<'_>, route: u32, shape: Shape) -> Result<u32, Reject> {
        // or the next point would take the bank for an open one
        self.bank_at(to.resolver.slab(), to.resolver.cell(route), shape).take_stamp_back();
        to.resolver.after_death(route, &to.encoding, to.tally, |slab, line| {
            let bank = self.bank_at(slab, line, shape);
            // another route may have opened it, and its points are in it
            let is_open = bank.interval() == self.number || self.opens(slab, line, shape);
            if !is_open {
                bank.take_stamp_back();
            }
            is_open
        })
    }
}
