//! Which routes lead into which cell of this core.
//!
//! Knows routes, and the cells of this core's slab by their lines, and which lead to none of their own; does not know what a cell holds but for its head, nor
//! how a series comes to be.
//!
//! The head of a cell has the newest route into it; each route has the one before it.
//!
//! Bounds: `limits::ROUTES_PER_CELL_MAX` routes a cell, but for a request that makes one more: the oldest goes at the next cut.

use super::birthplace::Birthplace;
use super::contexts::Contexts;
use super::detours::{self, DETOUR_BYTES, Detour, Detours};
use super::routes::{self, NONE, Route, Routes};
use crate::cells::lifecycle::{self, State};
use crate::cells::{Bank, Shape, extremes, gauge, head};
use crate::identity::overflow::is_overflow;
use crate::ledger::{Note, Tally};
use crate::limits::{CROWDED_CELLS_MAX, ROUTES_PER_CELL_MAX};
use crate::model::Reject;
use crate::series::registry::Full;
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Group, Series};
use crate::sync::thin::ThinBytes;
use std::sync::Arc;

/// Tries to find a live series before the point is given up; each try means that another thread killed one.
pub(super) const TRIES: usize = 64;

/// Routes, and the cells they lead to.
pub(super) struct Links {
    routes: Routes,
    detours: Detours,
    /// Bytes of routes to nowhere.
    detour_bytes: usize,
    slab: SlabWriter,
    /// Cells that have as many routes as they may have, and were asked for one more.
    crowded: Vec<u32>,
}

impl Links {
    /// None; cells lie in `slab`.
    pub(super) fn new(slab: SlabWriter) -> Links {
        Links { routes: Routes::default(), detours: Detours::default(), detour_bytes: 0, slab, crowded: Vec::new() }
    }

    /// All routes.
    #[inline]
    pub(super) const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// All routes, for their order: what a route leads to is changed here alone.
    #[inline]
    pub(super) const fn routes_mut(&mut self) -> &mut Routes {
        &mut self.routes
    }

    /// The cells.
    #[inline]
    pub(super) const fn slab(&self) -> &SlabWriter {
        &self.slab
    }

    /// The cells.
    pub(super) const fn slab_mut(&mut self) -> &mut SlabWriter {
        &mut self.slab
    }

    /// The cell of this core for the series, made where it is missing. Its bank is not yet open.
    pub(super) fn cell_for(
        &mut self,
        here: &Birthplace,
        (group, hash, run): (&Arc<Group>, u64, &ThinBytes),
        shape: Shape,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let registry = here.registry();
        debug_assert_eq!(hash, registry.hash(group, run), "a series has one hash");
        let limited = !is_overflow(run);
        for _ in 0..TRIES {
            let (series, is_new) = registry.series(group, hash, run, limited, here.maker()).map_err(refusal)?;
            tally.note(Note::SeriesBorn, u64::from(is_new));
            if let Some(line) = self.cell_in(here, &series, shape) {
                return Ok(line);
            }
            // dead and not yet unlinked: help, then look again
            registry.remove(&series, limited);
            tally.note(Note::RouteMisses, 1);
        }
        Err(Reject::Contended)
    }

    /// This core's live cell in `series`; nothing if the series is dead.
    fn cell_in(&mut self, here: &Birthplace, series: &Series, shape: Shape) -> Option<u32> {
        let cumulative = shape.cumulative();
        let there = series.cell_of(here.core(), cumulative);
        if let Some(cell) = there
            && !cell.is_gone()
            && lifecycle::state(head::state(self.head(cell.line))) != State::Dead
        {
            return Some(cell.line);
        }
        let line = self.slab.allocate(shape.words());
        head::put_handle(self.head(line), NONE);
        let cell = CellRef { core: here.core(), cumulative, line };
        // in the place of the dead one, which the owner saw and buries, or in one more
        match series.put_cell(cell) {
            Ok(()) => {
                if shape == Shape::Gauge && here.registry().keeps_extremes() && series.group.may_ask_extremes() {
                    self.keep_extremes(line, here.interval());
                }
                Some(line)
            }
            Err(_) => {
                // never seen by anyone else
                self.slab.release(line, shape.words());
                None
            }
        }
    }

    /// A gauge whose owner asks for its extremes: kept from now on, if its cell here lives.
    pub(super) fn ask_extremes(&mut self, here: &Birthplace, series: &Series) {
        if let Some(cell) = series.cell_of(here.core(), false)
            && !cell.is_gone()
            && lifecycle::state(head::state(self.head(cell.line))) != State::Dead
        {
            self.keep_extremes(cell.line, here.interval());
        }
    }

    /// The extremes of a gauge's cell are kept from now on; what its open interval has is the first of them.
    fn keep_extremes(&mut self, line: u32, interval: u32) {
        if head::extremes(self.head(line)).is_some() {
            return;
        }
        let beside = self.slab.allocate(extremes::WORDS);
        let (cell, words) = (self.slab.run(line, Shape::Gauge.words()), self.slab.run(beside, extremes::WORDS));
        for index in 0..2 {
            let bank = Bank::new(cell, Shape::Gauge, index);
            if bank.interval() == interval
                && let Some(value) = gauge::fold(bank).value
            {
                extremes::add(words, index, interval, value);
            }
        }
        head::put_extremes(cell, Some(beside));
    }

    /// The extremes of a cell are kept no more; where they were, if they were.
    pub(super) fn take_extremes(&mut self, line: u32) -> Option<u32> {
        let beside = head::extremes(self.head(line));
        if beside.is_some() {
            head::put_extremes(self.head(line), None);
        }
        beside
    }

    fn head(&self, line: u32) -> &[std::sync::atomic::AtomicU64] {
        self.slab.run(line, head::WORDS)
    }

    /// The routes into a cell, the newest first.
    pub(super) fn routes_of(&self, line: u32) -> impl Iterator<Item = u32> {
        let first = head::handle(self.head(line));
        let routes = &self.routes;
        std::iter::successors(Some(first), |at| routes.get(*at).map(|r| r.sibling)).take_while(|at| *at != NONE)
    }

    /// The cell has all the routes that it may have.
    pub(super) fn is_full(&self, line: u32) -> bool {
        self.routes_of(line).nth(ROUTES_PER_CELL_MAX - 1).is_some()
    }

    /// Adds a route into the cell at `line`.
    pub(super) fn add(&mut self, bytes: ThinBytes, (stream, tag): (u32, u32), line: u32) -> u32 {
        let route = self.routes.add(Route { bytes, cell: line, stream, sibling: NONE, tag });
        self.link(route, line);
        route
    }

    /// Adds a route to nowhere, of what the rule of this number drops.
    pub(super) fn add_nowhere(
        &mut self,
        bytes: ThinBytes,
        (stream, tag): (u32, u32),
        (rule, interval): (u32, u32),
    ) -> u32 {
        self.detour_bytes += routes::bytes_of(&bytes) + DETOUR_BYTES;
        let cell = self.detours.add(Detour::Nowhere(rule), interval);
        let route = self.routes.add(Route { bytes, cell, stream, sibling: NONE, tag });
        self.detours.lead(cell, route);
        route
    }

    /// Adds a route that goes on by another one, with values scaled: it is among those into that one's cell.
    pub(super) fn add_scaled(&mut self, bytes: ThinBytes, of: (u32, u32), (to, by): (u32, f64), interval: u32) -> u32 {
        let route = self.add(bytes, of, self.routes.at(to).cell);
        let cell = self.detours.add(Detour::Scaled { to, by }, interval);
        self.routes.at_mut(route).cell = cell;
        self.detours.lead(cell, route);
        route
    }

    /// Whether a route leads into no cell of its own.
    pub(super) fn is_detour(&self, route: u32) -> bool {
        detours::number_of(self.routes.at(route).cell).is_some()
    }

    /// What becomes of what a route brings that leads into no cell of its own; it is used now.
    #[inline]
    pub(super) fn take_detour(&mut self, route: u32, interval: u32) -> Option<Detour> {
        let number = detours::number_of(self.routes.at(route).cell)?;
        Some(self.detours.take(number, interval))
    }

    /// Places of detours.
    pub(super) fn detours(&self) -> u32 {
        self.detours.places()
    }

    /// Detours.
    pub(super) fn detour_count(&self) -> usize {
        self.detours.len()
    }

    /// Bytes of routes to nowhere.
    pub(super) const fn detour_bytes(&self) -> usize {
        self.detour_bytes
    }

    /// Removes the route to nowhere of this number, if it was not used since the interval `before`.
    pub(super) fn forget_detour(&mut self, number: u32, before: u32, contexts: &mut Contexts) {
        if let Some(route) = self.detours.idle(number, before) {
            self.drop_route(route, contexts);
        }
    }

    /// After many detours have gone.
    pub(super) fn trim_detours(&mut self) {
        self.detours.trim();
    }

    fn link(&mut self, route: u32, line: u32) {
        let words = self.slab.run(line, head::WORDS);
        self.routes.at_mut(route).sibling = head::handle(words);
        self.routes.at_mut(route).cell = line;
        head::put_handle(words, route);
    }

    /// Whether it was among the routes into the cell at `line`, and is not any more.
    fn unlink(&mut self, route: u32, line: u32) -> bool {
        let words = self.slab.run(line, head::WORDS);
        let next = self.routes.at(route).sibling;
        let mut at = head::handle(words);
        if at == route {
            head::put_handle(words, next);
            return true;
        }
        while let Some(sibling) = self.routes.get(at).map(|r| r.sibling) {
            if sibling == route {
                self.routes.at_mut(at).sibling = next;
                return true;
            }
            at = sibling;
        }
        false
    }

    /// Removes a route of a stream that is found no more; whether that could be: one that goes on by another, whose cell died,
    /// goes with that cell.
    pub(super) fn dismiss(&mut self, route: u32, contexts: &mut Contexts) -> bool {
        let line = match detours::number_of(self.routes.at(route).cell) {
            None => Some(self.routes.at(route).cell),
            Some(number) => match self.detours.at(number) {
                Detour::Nowhere(_) => None,
                Detour::Scaled { to, .. } => match self.routes.get(to).map(|to| to.cell) {
                    Some(cell) if detours::number_of(cell).is_none() => Some(cell),
                    _ => return false,
                },
            },
        };
        let may_go = line.is_none_or(|line| self.unlink(route, line));
        if may_go {
            self.drop_route(route, contexts);
        }
        may_go
    }

    /// The route leads into the cell at `line` from now on.
    pub(super) fn lead_to(&mut self, route: u32, line: u32) {
        self.unlink(route, self.routes.at(route).cell);
        if self.is_full(line) {
            self.note_crowded(line);
        }
        self.link(route, line);
    }

    /// At the next cut the oldest route of this cell goes. Not at once: points of this request may be on their way to it.
    #[cold]
    pub(super) fn note_crowded(&mut self, line: u32) {
        if self.crowded.len() < CROWDED_CELLS_MAX && self.crowded.last() != Some(&line) {
            self.crowded.push(line);
        }
    }

    /// Makes room for one more route in the cells that have all they may have, so that a client's new encoding is
    /// remembered in the end.
    pub(super) fn thin_out(&mut self, contexts: &mut Contexts) {
        for line in std::mem::take(&mut self.crowded) {
            // the one that holds a series' group stays as long as the cell
            let may_go = |route: &u32| !contexts.at(self.routes.at(*route).stream).is_target;
            let too_many: Vec<u32> = self.routes_of(line).skip(ROUTES_PER_CELL_MAX - 1).filter(may_go).collect();
            for route in too_many {
                self.unlink(route, line);
                self.drop_route(route, contexts);
            }
        }
    }

    /// Removes the routes that still lead into a dead cell.
    pub(super) fn forget(&mut self, line: u32, contexts: &mut Contexts) {
        let mut route = head::handle(self.head(line));
        while let Some(next) = self.routes.get(route).map(|r| r.sibling) {
            self.drop_route(route, contexts);
            route = next;
        }
        head::put_handle(self.head(line), NONE);
    }

    fn drop_route(&mut self, route: u32, contexts: &mut Contexts) {
        let (stream, tag) = (self.routes.at(route).stream, self.routes.at(route).tag);
        if let Some(number) = detours::number_of(self.routes.at(route).cell)
            && self.detours.remove(number)
        {
            self.detour_bytes -= routes::bytes_of(&self.routes.at(route).bytes) + DETOUR_BYTES;
        }
        let routes = &self.routes;
        contexts.at_mut(stream).table.remove(tag, route, |other| routes.at(other).tag);
        self.routes.remove(route);
    }
}

/// What a full registry means to a point.
pub(super) const fn refusal(full: Full) -> Reject {
    match full {
        Full::Series => Reject::SeriesLimit,
        Full::Groups => Reject::GroupLimit,
        Full::Memory => Reject::MemoryLimit,
        Full::Share => Reject::PeerShare,
    }
}
