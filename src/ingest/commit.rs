//! Commit: staged points go into the cells of this core.
//!
//! Knows the order of staged points, and what becomes of those that a limit refuses; does not know how a point is added
//! (`open`), bytes of requests beyond the points it is given, nor how a series comes to be (`resolve`).

use super::exemplars::OpenExemplars;
use super::listed::Listed;
use super::open::{Applying, OpenInterval};
use super::scaled::{Scaled, scaled_exemplars};
use super::stage::{BIRTH, EXEMPLARS, GAUGE, List, NUMBER_EXEMPLARS, Stage, StagedNumber, message};
use crate::examples::{Cause, example};
use crate::ledger::Note;
use crate::model::{Discard, Kind, Origin, Receipt};
use crate::otlp::points::{ExponentialPoint, HistogramPoint};
use crate::otlp::summaries::SummaryPoint;
use crate::resolve::{Detour, NONE, PointTarget, Refused};
use crate::sync::counts::CountWriter;
use std::ops::Range;

/// Points whose cells are on their way into the cache before they are added to. By profile, adding to sums took 11 to 13 %
/// of all time at 100 k and 1 M series without it, nearly all of it waiting for the cell, and 3 to 5 % with it. Other
/// distances were not tried.
const CELLS_AHEAD: usize = 8;

/// A request, or a slice of it, that is being applied.
pub(super) struct Commit<'r> {
    open: &'r mut OpenInterval,
    /// By rule, points that it drops.
    dropped: &'r mut CountWriter,
    exemplars: &'r mut OpenExemplars,
    to: Applying<'r>,
    /// Points that were staged and not applied, by kind: a limit refused them, or a rule drops them.
    refused: [u64; 5],
    /// Gauges among the numbers.
    gauges: u64,
    /// Where to look for the next number's message in `Stage.exemplars`.
    next_exemplars: usize,
}

impl<'r> Commit<'r> {
    /// Into the open interval.
    pub(super) const fn new(
        open: &'r mut OpenInterval,
        exemplars: &'r mut OpenExemplars,
        dropped: &'r mut CountWriter,
        to: Applying<'r>,
    ) -> Self {
        Commit { open, dropped, exemplars, to, refused: [0; 5], gauges: 0, next_exemplars: 0 }
    }

    /// Applies what was staged. Cannot fail: single points may still be rejected by limits.
    pub(super) fn apply(mut self, origin: Origin, stage: &mut Stage<'_>) -> Receipt {
        self.to.resolver.begin();
        for (stream, about) in &stage.descriptions {
            self.to.resolver.describe(*stream, about, &self.to.encoding);
        }
        let numbers = std::mem::take(&mut stage.numbers);
        let mut done = [0; List::COUNT];
        for run in 0..stage.runs.len() {
            let (list, to) = stage.runs[run];
            let range = std::mem::replace(&mut done[list as usize], to)..to;
            match list {
                List::Numbers => self.numbers(&numbers, range, stage),
                List::Histograms => self.listed::<HistogramPoint<'_>>(range, stage),
                List::Exponentials => self.listed::<ExponentialPoint<'_>>(range, stage),
                List::Summaries => self.listed::<SummaryPoint<'_>>(range, stage),
            }
        }
        stage.numbers = numbers;
        let resolver = &mut *self.to.resolver;
        resolver.end();
        for (_, reason, _, example) in &stage.rejected {
            resolver.registry().examples().put(Cause::Rejected(*reason), example, resolver.peer());
        }
        self.settle(origin, stage)
    }

    fn numbers(&mut self, all: &[StagedNumber], range: Range<usize>, stage: &mut Stage<'_>) {
        let (from, to) = (range.start, range.end);
        let mut before = NONE;
        for (at, point) in all[range].iter().enumerate() {
            if let Some(later) = all.get(from + at + CELLS_AHEAD) {
                self.prefetch_cell(later);
            }
            self.gauges += u64::from(point.flags & GAUGE != 0);
            let done = match point.flags & (BIRTH | EXEMPLARS) {
                0 => self.number(point),
                EXEMPLARS => self.number_with_exemplars(point, from + at, stage),
                _ => {
                    let after = all[from..to].get(at + 1).filter(|p| p.flags & BIRTH == 0);
                    self.born_number(point, from + at, (&mut before, after.map(|p| p.route)), stage)
                }
            };
            before = if point.flags & BIRTH == 0 { point.route } else { before };
            if let Err(reason) = done {
                let is_birth = point.flags & BIRTH != 0;
                let of = if is_birth { PointTarget::Birth(point.route) } else { PointTarget::Route(point.route) };
                let kind = if point.flags & GAUGE != 0 { Kind::Gauge } else { Kind::Sum };
                self.refuse(kind, reason, of, stage);
            }
        }
    }

    /// Applies it, or sends it where a new series' point goes.
    #[inline]
    fn number(&mut self, point: &StagedNumber) -> Result<(), Refused> {
        let added = self.open.add_number(&mut self.to, point).or_else(|reason| {
            let route = self.to.instead(point.route, reason)?;
            self.open.add_number(&mut self.to, &StagedNumber { route, ..*point })
        });
        added.map_err(Refused::from)
    }

    /// Applies the number at place `at`, whose route is to be made; it stands between these routes.
    #[cold]
    #[inline(never)]
    fn born_number(
        &mut self,
        point: &StagedNumber,
        at: usize,
        (before, after): (&mut u32, Option<u32>),
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        let route = self.to.resolver.born(point.route, &mut stage.pending, &self.to.encoding, self.to.tally)?;
        *before = self.to.resolver.link_between(*before, route, after);
        let point = StagedNumber { route, flags: point.flags & !BIRTH, ..*point };
        match self.to.resolver.detour(route) {
            Some(Detour::Scaled { to, by }) => {
                let arena = stage.exemplars.bump();
                let scaled = StagedNumber { route: to, ..point }.scaled(by, arena)?;
                if point.flags & EXEMPLARS != 0
                    && let Ok(place) = stage.exemplars.binary_search_by_key(&(at as u32), |(place, _)| *place)
                {
                    let message = &mut stage.exemplars[place].1;
                    *message = scaled_exemplars(message, NUMBER_EXEMPLARS, by, arena);
                }
                self.number_with_exemplars(&scaled, at, stage)
            }
            Some(Detour::Nowhere(rule)) => Err(Refused::Discarded(rule)),
            None => self.number_with_exemplars(&point, at, stage),
        }
    }

    /// Applies the number at place `at`, which may have exemplars.
    #[cold]
    fn number_with_exemplars(&mut self, point: &StagedNumber, at: usize, stage: &Stage<'_>) -> Result<(), Refused> {
        let mut plain = StagedNumber { flags: point.flags & !EXEMPLARS, ..*point };
        if let Err(reason) = self.open.add_number(&mut self.to, &plain) {
            plain.route = self.to.instead(point.route, reason)?;
            self.open.add_number(&mut self.to, &plain)?;
        }
        if point.flags & EXEMPLARS != 0 {
            // those of points whose series could not be born are passed over
            let rest = &stage.exemplars[self.next_exemplars..];
            self.next_exemplars += rest.iter().take_while(|(place, _)| (*place as usize) < at).count();
            let (place, message) = stage.exemplars[self.next_exemplars];
            debug_assert_eq!(place as usize, at, "each flagged point has a message");
            self.exemplars.keep(self.to.resolver.cell(plain.route), message, NUMBER_EXEMPLARS, self.to.tally);
        }
        Ok(())
    }

    /// Brings the cell of a staged point into the cache.
    #[inline]
    fn prefetch_cell(&self, point: &StagedNumber) {
        if point.flags & BIRTH == 0 {
            self.to.resolver.prefetch_cell(point.route);
        }
    }

    fn listed<'a, P: Listed<'a>>(&mut self, range: Range<usize>, stage: &mut Stage<'a>) {
        for at in range {
            let (target, point) = P::list(stage)[at];
            match self.listed_one(target, point, stage) {
                Ok((route, point)) => {
                    if !point.exemplars().is_empty() && point.has_value() {
                        let line = self.to.resolver.cell(route);
                        self.exemplars.keep(line, point.exemplars(), P::EXEMPLARS, self.to.tally);
                    }
                }
                Err(reason) => self.refuse(P::KIND, reason, target, stage),
            }
        }
    }

    /// Applies a point; the route that it took, and the point as it was applied.
    #[inline]
    fn listed_one<'a, P: Listed<'a>>(
        &mut self,
        target: PointTarget,
        mut point: P,
        stage: &mut Stage<'a>,
    ) -> Result<(u32, P), Refused> {
        let Applying { resolver, encoding, tally, .. } = &mut self.to;
        let mut target = target;
        if point.may_mean_one_with_bounds() {
            target = resolver.with_bounds(target, &mut stage.pending, encoding, tally).unwrap_or(target);
        }
        let mut route = match target {
            PointTarget::Route(route) => route,
            PointTarget::Birth(at) => {
                let route = resolver.born(at, &mut stage.pending, encoding, tally)?;
                match resolver.detour(route) {
                    Some(Detour::Scaled { to, by }) => {
                        point = point.scaled(by, stage.exemplars.bump())?;
                        to
                    }
                    Some(Detour::Nowhere(rule)) => return Err(Refused::Discarded(rule)),
                    None => route,
                }
            }
        };
        if let Err(reason) = point.add(self.open, &mut self.to, route) {
            route = self.to.instead(route, reason)?;
            point.add(self.open, &mut self.to, route)?;
        }
        Ok((route, point))
    }

    /// Counts a point that a limit refused, or that a rule drops.
    #[cold]
    fn refuse(&mut self, kind: Kind, why: Refused, of: PointTarget, stage: &mut Stage<'_>) {
        self.refused[kind as usize] += 1;
        let reason = match why {
            Refused::Rejected(reason) => reason,
            Refused::Discarded(rule) => return stage.discard(kind, Discard::Rule, rule, 1),
            Refused::Standby(number) => return stage.discard(kind, Discard::Dedup, number, 1),
        };
        match of {
            PointTarget::Birth(at) => {
                let (resource, name) = stage.pending.metric_of(at);
                stage.reject_as(kind, reason, 1, || example(resource, name));
            }
            PointTarget::Route(route) => {
                let group = self.to.resolver.group(route);
                stage.reject_as(kind, reason, 1, || example(group.resource(), group.name().as_bytes()));
            }
        }
    }

    /// Writes the request's counts into the tally, and the receipt.
    fn settle(self, origin: Origin, stage: &Stage<'_>) -> Receipt {
        let tally = self.to.tally;
        let mut points = 0;
        for kind in Kind::ALL {
            let i = kind as usize;
            points += stage.points[i];
            tally.receive(origin, kind, stage.points[i]);
            let listed = match kind {
                Kind::Gauge => self.gauges,
                Kind::Sum => stage.numbers.len() as u64 - self.gauges,
                Kind::Histogram => stage.histograms.len() as u64,
                Kind::ExponentialHistogram => stage.exponentials.len() as u64,
                Kind::Summary => stage.summaries.len() as u64,
            };
            tally.apply(origin, kind, listed - self.refused[i]);
        }
        for (kind, why, rule, n) in &stage.discarded {
            tally.discard(origin, *kind, *why, *n);
            self.dropped.add(*rule as usize, *n);
        }
        let births = stage.pending.births() as u64;
        tally.note(Note::Lookups, stage.lookups);
        tally.note(Note::Predicted, stage.predicted);
        tally.note(Note::RouteHits, stage.lookups.saturating_sub(births));
        tally.note(Note::RouteMisses, births);
        tally.note(Note::SumDropped, stage.sums_dropped);
        let mut receipt = Receipt { points, rejected: 0, message: None };
        for (kind, reason, n, _) in &stage.rejected {
            tally.reject(origin, *kind, *reason, *n);
            receipt.rejected += n;
        }
        if receipt.rejected > 0 || stage.pending.cut().is_some() {
            receipt.message = Some(message(&stage.rejected, stage.pending.cut().map(String::as_str)));
        }
        receipt
    }
}
