//! The resolver of a core: what front ends ask, in the order in which they ask it.
//!
//! Knows which part answers; does not know what a front end does with the answer.

use super::birthplace::Birthplace;
use super::births;
use super::contexts::{Contexts, StreamFate};
use super::deaths::Deaths;
use super::detours::Detour;
use super::encoding::Encoding;
use super::gate::{Doorkeeper, Refused};
use super::keys::{About, EnvelopeKey, StreamKey};
use super::links::{Links, TRIES};
use super::lookups::{LOOKUPS_MAX, Lags, RouteLookup, Waiting};
use super::making::{Making, hold};
use super::overflow::{self, Overflow};
use super::pending::{Pending, PointTarget};
use super::prediction::Prediction;
use super::renewal;
use super::routes::{NONE, Route};
use crate::cells::Shape;
use crate::examples::Cause;
use crate::identity::attributes::Bad;
use crate::ledger::Tally;
use crate::model::{Peer, Reject};
use crate::series::Group;
use crate::series::elections::Election;
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use bumpalo::Bump;
use std::sync::Arc;

/// One core's way from bytes to cells.
pub(crate) struct Resolver {
    here: Birthplace,
    links: Links,
    contexts: Contexts,
    overflow: Overflow,
    deaths: Deaths,
    /// Who says what becomes of what comes in; nobody: all of it passes.
    gate: Option<Box<dyn Doorkeeper>>,
}

impl Resolver {
    /// For `core`, whose slab this is. The first interval is number 1.
    pub(crate) fn new(core: usize, registry: Arc<Registry>, slab: SlabWriter) -> Resolver {
        let contexts = Contexts::new(registry.state().clone());
        Resolver {
            here: Birthplace::new(core, registry),
            links: Links::new(slab),
            contexts,
            overflow: Overflow::NOTHING,
            deaths: Deaths::default(),
            gate: None,
        }
    }

    /// This one is asked what becomes of streams and routes from now on, or nobody: between two requests, or two slices of one.
    /// Those that are there ask again when they next come, and resources too, if `resources`.
    pub(crate) fn ask(&mut self, gate: Option<Box<dyn Doorkeeper>>, resources: bool) {
        self.gate = gate;
        self.contexts.ask_again(resources);
    }

    /// Whether anybody is asked.
    #[inline]
    pub(crate) const fn asks(&self) -> bool {
        self.gate.is_some()
    }

    /// What all cores share.
    pub(crate) fn registry(&self) -> &Registry {
        self.here.registry()
    }

    /// This core.
    pub(crate) fn core(&self) -> usize {
        self.here.core().into()
    }

    /// Who sends.
    pub(crate) const fn peer(&self) -> Peer {
        self.here.peer()
    }

    /// What comes from now on comes from this peer.
    pub(crate) fn comes_from(&mut self, peer: Peer) {
        self.here.comes_from(peer);
    }

    /// The cells of this core.
    #[inline]
    pub(crate) const fn slab(&self) -> &SlabWriter {
        self.links.slab()
    }

    /// The cells of this core.
    pub(crate) const fn slab_mut(&mut self) -> &mut SlabWriter {
        self.links.slab_mut()
    }

    /// Routes held.
    pub(crate) const fn routes(&self) -> usize {
        self.links.routes().len()
    }

    // ---- intervals ---------------------------------------------------------------------------------------------------

    /// The interval `number` is open from now on. Begins to put away what died.
    pub(crate) fn switch(&mut self, number: u32) {
        self.here.open(number);
        self.links.thin_out(&mut self.contexts);
        self.deaths.begin(&self.here, &mut self.links, &mut self.contexts, &mut self.overflow);
    }

    /// Nobody asks for the extremes of the cell at `line` any more.
    #[cold]
    pub(crate) fn drop_extremes(&mut self, line: u32) {
        self.deaths.drop_extremes(&self.here, &mut self.links, line);
    }

    /// Goes on putting away what died; `true` when there is more to do in this interval.
    pub(crate) fn tidy(&mut self) -> bool {
        self.deaths.go_on(&self.here, &mut self.links, &mut self.contexts, &mut self.overflow)
    }

    /// Streams that have had no route for `intervals` intervals are freed from now on (`tidy`).
    pub(crate) fn sweep(&mut self, intervals: u32) {
        self.deaths.sweep(&self.contexts, &self.links, self.here.interval().saturating_sub(intervals));
    }

    /// A request, or a slice of it, is applied from now on.
    pub(crate) fn begin(&mut self) {
        self.contexts.begin();
    }

    /// It is applied.
    pub(crate) fn end(&mut self) {
        self.contexts.begin();
        hold(&self.here, &self.links, &self.contexts);
    }

    // ---- streams -----------------------------------------------------------------------------------------------------

    /// The resource with these bytes; `last` is the one before it in this request.
    #[inline]
    pub(crate) fn resource(&mut self, last: u32, key: &EnvelopeKey<'_>) -> Option<u32> {
        self.contexts.resource(last, key).filter(|id| self.contexts.is_resource_asked(*id))
    }

    /// The scope with these bytes in `resource`; `last` is the one before it there.
    #[inline]
    pub(crate) fn scope(&mut self, resource: u32, last: u32, key: &EnvelopeKey<'_>) -> Option<u32> {
        self.contexts.scope(resource, last, key)
    }

    /// The stream with this key in `scope`, which is used now; `last` is the one before it there.
    #[inline]
    pub(crate) fn stream(&mut self, scope: u32, last: u32, key: &StreamKey<'_>) -> Option<u32> {
        let id = self.contexts.stream(scope, last, key)?;
        let id = renewal::of_stream(&mut self.contexts, self.gate.as_deref_mut(), id)?;
        self.contexts.at_mut(id).used = self.here.interval();
        Some(id)
    }

    /// A block of a resource is read: if it is of a replica that does not count, by which number its points are counted.
    #[inline]
    pub(crate) fn would_stand_by(&mut self, resource: u32) -> Option<u32> {
        self.contexts.standby(resource, self.here.interval(), Election::would_be)
    }

    /// Whether a resource is one of several replicas.
    #[inline]
    pub(crate) fn is_replica(&self, resource: u32) -> bool {
        self.contexts.election(resource).is_some()
    }

    /// A block of a resource is taken: if it is of a replica that does not count, by which number its points are counted.
    pub(crate) fn standby(&mut self, resource: u32) -> Option<u32> {
        self.contexts.standby(resource, self.here.interval(), Election::seen)
    }

    /// If all points of a stream are dropped, the rule that does.
    #[inline]
    pub(crate) fn discards(&self, stream: u32) -> Option<u32> {
        match self.contexts.at(stream).fate() {
            StreamFate::Discard(rule) => Some(rule),
            _ => None,
        }
    }

    /// What becomes of what a route brings that leads into no cell of its own; the route is used now.
    #[inline]
    pub(crate) fn detour(&mut self, route: u32) -> Option<Detour> {
        self.links.take_detour(route, self.here.interval())
    }

    /// Whether what comes with a metric says more than what came with its stream before.
    #[inline]
    pub(crate) fn is_news(&self, stream: u32, about: &About<'_>) -> bool {
        let stream = self.contexts.at(stream);
        about.description.len() > stream.described as usize || !stream.hints.say(about.hints)
    }

    /// The stream came with this description, and with this said of its type.
    pub(crate) fn describe<E: Encoding>(&mut self, stream: u32, about: &About<'_>, encoding: &E) {
        self.making(encoding).0.describe(stream, about);
    }

    // ---- routes ------------------------------------------------------------------------------------------------------

    /// The order that a stream's points probably come in, from its beginning, or behind the route `last` if it is one of it.
    pub(crate) fn predict(&self, stream: Option<u32>, last: u32) -> Prediction {
        let mut prediction = Prediction::new(stream, stream.map_or(NONE, |id| self.contexts.at(id).first));
        let routes = self.links.routes();
        if routes.get(last).is_some_and(|route| Some(route.stream) == stream) {
            prediction.turn(last, routes.next(last));
        }
        prediction
    }

    /// The bytes that probably come next.
    #[inline]
    pub(crate) fn expected(&self, prediction: &Prediction) -> Option<&[u8]> {
        let route = self.links.routes().get(prediction.guess())?;
        (Some(route.stream) == prediction.stream()).then_some(&*route.bytes)
    }

    /// The bytes that were expected came; about `length` of them are compared.
    #[inline]
    pub(crate) fn came(&self, prediction: &mut Prediction, length: usize) {
        prediction.step(self.links.routes(), length);
    }

    /// The route after the predicted one, if it is that: a point that left its place is most often followed by what followed
    /// it before.
    #[inline]
    pub(crate) fn skipped_to(&mut self, prediction: &mut Prediction, raw: &[u8]) -> Option<u32> {
        if !prediction.takes_skip() {
            return None;
        }
        let stream = prediction.stream()?;
        let routes = self.links.routes();
        let skipped = routes.next(prediction.guess());
        match routes.get(skipped) {
            Some(route) if route.stream == stream && *route.bytes == *raw => {
                self.put_after(prediction, skipped);
                prediction.skip(skipped, self.links.routes());
                Some(skipped)
            }
            _ => None,
        }
    }

    /// The route of `raw` in the stream.
    #[inline]
    pub(crate) fn find(&self, stream: u32, raw: &[u8]) -> Option<u32> {
        self.find_by(stream, self.here.tag(raw), raw)
    }

    #[inline]
    fn find_by(&self, stream: u32, tag: u32, raw: &[u8]) -> Option<u32> {
        let routes = self.links.routes();
        self.contexts.at(stream).table.find(tag, |id| *routes.at(id).bytes == *raw)
    }

    /// Remembers that `found` came here, and goes on behind it.
    #[inline]
    pub(crate) fn learn(&mut self, prediction: &mut Prediction, found: u32) {
        self.put_after(prediction, found);
        prediction.turn(found, self.links.routes().next(found));
    }

    /// Remembers that `found` came after the last route.
    #[inline]
    fn put_after(&mut self, prediction: &Prediction, found: u32) {
        match (prediction.last(), prediction.stream()) {
            (NONE, Some(stream)) => self.contexts.at_mut(stream).first = found,
            (NONE, None) => {}
            (last, _) => self.links.routes_mut().put_next(last, found),
        }
    }

    // ---- look-ups in steps -------------------------------------------------------------------------------------------

    /// Points of a stream that are looked up in steps: none yet, in `room` that another stream's left.
    pub(crate) fn waiting<'a, P: Copy>(
        &self,
        stream: Option<u32>,
        room: &'a mut [RouteLookup<'a, P>],
    ) -> Waiting<'a, P> {
        Waiting::new(room, stream.map_or(1, |id| self.contexts.at(id).block))
    }

    /// The last point of the stream has come: remembers for the next export whether its order was of use.
    pub(crate) fn remember<P: Copy>(&mut self, stream: Option<u32>, waiting: &Waiting<'_, P>) {
        if let Some(stream) = stream {
            self.contexts.at_mut(stream).block = waiting.block();
        }
    }

    /// Begins to look a point up; which steps are to be taken now.
    // always inlined, as `advance`, or a point that is looked up takes 4 % more instructions
    #[inline(always)]
    pub(crate) fn begin_look_up<'a, P: Copy>(
        &self,
        stream: Option<u32>,
        mut lookup: RouteLookup<'a, P>,
        waiting: &mut Waiting<'a, P>,
        arena: &'a Bump,
    ) -> Option<Lags> {
        lookup.tag = self.here.tag(lookup.raw);
        if let Some(stream) = stream {
            self.contexts.at(stream).table.prefetch(lookup.tag);
        }
        waiting.push(lookup, arena)
    }

    /// Takes all steps but the last with points that wait, so that their cache misses overlap with each other and with the
    /// work on the points behind them: the table's slot, the route, then its bytes and cell; the comparison (`known`) is the
    /// caller's, with `Waiting::next`. `behind` says how many of the last points each step leaves for later.
    #[inline(always)]
    pub(crate) fn advance<P: Copy>(&self, stream: Option<u32>, waiting: &mut Waiting<'_, P>, behind: Lags) {
        let Some(stream) = stream else { return };
        let (table, routes) = (&self.contexts.at(stream).table, self.links.routes());
        while waiting.looked + behind.look < waiting.pushed {
            let lookup = &mut waiting.all[waiting.looked % LOOKUPS_MAX];
            lookup.route = table.find(lookup.tag, |_| true).unwrap_or(NONE);
            routes.prefetch(lookup.route);
            waiting.looked += 1;
        }
        while waiting.fetched + behind.fetch < waiting.pushed {
            let lookup = &waiting.all[waiting.fetched % LOOKUPS_MAX];
            if let Some(route) = routes.get(lookup.route) {
                self.links.slab().prefetch(route.cell);
                route.bytes.prefetch(lookup.raw.len());
            }
            waiting.fetched += 1;
        }
    }

    /// The last step of a look-up: its route, if it is known.
    #[inline]
    pub(crate) fn known<P>(&self, stream: Option<u32>, lookup: &RouteLookup<'_, P>) -> Option<u32> {
        match (stream, self.links.routes().get(lookup.route)) {
            (Some(_), Some(known)) if *known.bytes == *lookup.raw => Some(lookup.route),
            // another route with the same tag
            (Some(stream), Some(_)) => self.find_by(stream, lookup.tag, lookup.raw),
            _ => None,
        }
    }

    // ---- cells -------------------------------------------------------------------------------------------------------

    #[inline]
    fn route(&self, id: u32) -> &Route {
        self.links.routes().at(id)
    }

    /// The first line of a route's cell.
    #[inline]
    pub(crate) fn cell(&self, route: u32) -> u32 {
        self.route(route).cell
    }

    /// The shape of a route's cell.
    #[inline]
    pub(crate) fn shape(&self, route: u32) -> Shape {
        self.contexts.at(self.route(route).stream).shape
    }

    /// The group that a route's series is of.
    pub(crate) fn group(&self, route: u32) -> &Group {
        let of = |route: u32| self.route(route).stream;
        let stream = of(route);
        if self.contexts.is_apart(stream) && !self.links.is_detour(route) {
            // it leads to a series that a rule calls something else
            let beside = self.links.routes_of(self.cell(route)).find(|beside| !self.contexts.is_apart(of(*beside)));
            return &self.contexts.at(beside.map_or(stream, of)).group;
        }
        &self.contexts.at(stream).group
    }

    /// Brings the cell of a route into the cache, unless most of them are there anyway.
    #[inline]
    pub(crate) fn prefetch_cell(&self, route: u32) {
        let routes = self.links.routes();
        if routes.are_many()
            && let Some(route) = routes.get(route)
        {
            self.links.slab().prefetch(route.cell);
        }
    }

    /// Keeps the route's series as an example, if one is wanted.
    #[cold]
    pub(crate) fn show(&self, cause: Cause, route: u32) {
        let group = self.group(route);
        self.here.show(cause, group.resource(), group.name().as_bytes());
    }

    // ---- births and deaths -------------------------------------------------------------------------------------------

    fn making<'r, E: Encoding>(&'r mut self, encoding: &'r E) -> (Making<'r, E>, &'r mut Overflow) {
        let Resolver { here, links, contexts, overflow, gate, .. } = self;
        (Making { here, links, contexts, encoding, gate: gate.as_deref_mut() }, overflow)
    }

    /// Adds a birth to those that a request asks for: see [`Pending::add`].
    pub(crate) fn expect_birth<'a, E: Encoding>(
        &self,
        raw: &'a [u8],
        of: (&EnvelopeKey<'a>, &EnvelopeKey<'a>, &StreamKey<'a>),
        (pending, context): (&mut Pending<'a>, &mut Option<u32>),
        encoding: &E,
        arena: &'a Bump,
    ) -> Result<Result<u32, Bad>, E::Fault> {
        pending.add(raw, of, context, (encoding, self.here.registry().state()), arena)
    }

    /// The route of a birth, made with all that it needs; it leads to a cell, perhaps by another one (`detour`).
    pub(crate) fn born<E: Encoding>(
        &mut self,
        birth: u32,
        pending: &mut Pending<'_>,
        encoding: &E,
        tally: &mut Tally,
    ) -> Result<u32, Refused> {
        let (mut making, overflow) = self.making(encoding);
        births::born(&mut making, overflow, birth, pending, tally)
    }

    /// A histogram's point without a value and without bounds, bound for `target`, may mean a series with bounds: the route to
    /// that.
    #[cold]
    pub(crate) fn with_bounds<E: Encoding>(
        &mut self,
        target: PointTarget,
        pending: &mut Pending<'_>,
        encoding: &E,
        tally: &mut Tally,
    ) -> Option<PointTarget> {
        births::with_bounds(&mut self.making(encoding).0, target, pending, tally)
    }

    /// Puts a new route between the ones that stood beside its point, where they are of its stream, so that the next
    /// export finds it by its place. Returns it.
    #[cold]
    pub(crate) fn link_between(&mut self, before: u32, route: u32, after: Option<u32>) -> u32 {
        let routes = self.links.routes_mut();
        let stream = routes.at(route).stream;
        if let Some(after) = after
            && routes.get(after).is_some_and(|r| r.stream == stream)
        {
            routes.put_next(route, after);
        }
        if before != route && routes.get(before).is_some_and(|r| r.stream == stream) {
            routes.put_next(before, route);
        }
        route
    }

    /// The cell of a route is dead: the line of a live one, of its series found or made again. `opens` opens the cell at a
    /// line, or takes back what it did there if it is not `Live`.
    #[cold]
    #[inline(never)]
    pub(crate) fn after_death<E: Encoding>(
        &mut self,
        route: u32,
        encoding: &E,
        tally: &mut Tally,
        opens: impl Fn(&SlabWriter, u32) -> bool,
    ) -> Result<u32, Reject> {
        let shape = self.shape(route);
        for _ in 0..TRIES {
            let line = self.making(encoding).0.resolve_again(route, shape, tally)?;
            if opens(self.slab(), line) {
                return Ok(line);
            }
        }
        Err(Reject::Contended)
    }

    /// The route of a known series died, and its series may not come back: where a new one's point goes.
    #[cold]
    #[inline(never)]
    pub(crate) fn instead<E: Encoding>(
        &mut self,
        route: u32,
        reason: Reject,
        encoding: &E,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let stream = self.route(route).stream;
        let found = overflow::route(&mut self.making(encoding).0, stream, reason, tally)?;
        self.show(Cause::Overflowed, route);
        Ok(found)
    }
}
