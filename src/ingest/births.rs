//! Births: a point that has no route gets one, with stream, series and cell as they are needed; and what becomes of routes.
//!
//! Knows who a point is of; does not know its value, nor how a bank is written (`commit`).
//!
//! Invariants
//! 1. A route leads to a cell of this core, live or not yet put away (`tidy`); a dead one is found out at first touch.
//! 2. Who may not be born is refused with its reason, or goes where `overflow` says; nothing is half born: what was made on
//!    the way (a context, a group) is found again or swept.
//!
//! Bounds: `limits::ROUTES_PER_CELL_MAX` routes a cell, `STREAMS_MAX` streams; series, groups and memory are the registry's.

use super::check::{reject_of, word_at};
use super::contexts::StreamKey;
use super::routes::{NONE, Route};
use super::stage::{self, Stage, Target};
use super::{Ingest, STREAMS_MAX};
use crate::cells::lifecycle::{self, State};
use crate::cells::{Shape, head};
use crate::examples::{Cause, example};
use crate::identity::attributes::{Bad, Limits};
use crate::identity::overflow::is_overflow;
use crate::identity::{Parts, Set};
use crate::ledger::{Note, Tally};
use crate::limits::{CROWDED_CELLS_MAX, DESCRIPTION_BYTES_MAX, ROUTES_PER_CELL_MAX};
use crate::model::{Kind, Reject, TypeHints};
use crate::otlp::attributes;
use crate::otlp::cut;
use crate::otlp::request::MetricHead;
use crate::otlp::schema::Message;
use crate::series::group::{Entry, Group};
use crate::series::index::WARM_MAX;
use crate::series::registry::{Full, Registry};
use crate::series::{CellRef, Series};
use crate::sync::thin::ThinBytes;
use std::sync::Arc;

/// Tries to find a live series before the point is given up; each try means that another thread killed one.
pub(super) const TRIES: usize = 64;

impl Ingest {
    /// The stream came with this description, and with this said of its type.
    pub(super) fn describe(&mut self, stream: u32, description: &[u8], hints: TypeHints) {
        let stream = self.contexts.at_mut(stream);
        if !stream.hints.say(hints) {
            stream.hints = stream.hints.and(hints);
            stream.group.hint(hints);
        }
        if description.len() > stream.described {
            stream.described = description.len();
            self.registry.describe(&stream.group, description_of(description));
        }
    }

    /// The cell of a route is dead: finds or makes its series again and gives the route a live cell.
    #[cold]
    pub(super) fn resolve_again(&mut self, route: u32, shape: Shape, tally: &mut Tally) -> Result<u32, Reject> {
        let (stream, bytes, old) = {
            let r = self.routes.at(route);
            (r.stream, r.bytes.clone(), r.cell)
        };
        let group = self.contexts.at(stream).group.clone();
        let key_byte = bytes.first().copied().unwrap_or(0);
        let mut normal = Vec::with_capacity(bytes.len());
        match attributes::normalise(&bytes, key_byte, self.options.limits, &mut normal) {
            Ok(Ok(())) => {}
            Ok(Err(bad)) => return Err(reject_of(bad)),
            Err(_) => unreachable!("a route's bytes have been validated"),
        }
        let run = if normal == *bytes { bytes } else { ThinBytes::new(&normal) };
        let line = self.cell_for(&group, self.registry.hash(&group, &run), &run, shape, tally)?;
        self.unlink_route(route, old);
        if self.routes_of(line).nth(ROUTES_PER_CELL_MAX - 1).is_some() {
            self.note_crowded(line);
        }
        self.link_route(route, line);
        Ok(line)
    }

    /// The cell of this core for the series, made where it is missing. Its bank is not yet open.
    fn cell_for(
        &mut self,
        group: &Arc<Group>,
        hash: u64,
        run: &ThinBytes,
        shape: Shape,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        debug_assert_eq!(hash, self.registry.hash(group, run), "a series has one hash");
        let (limited, maker) = (!is_overflow(run), self.maker());
        for _ in 0..TRIES {
            let (series, is_new) = self.registry.series(group, hash, run, limited, maker).map_err(refusal)?;
            tally.note(Note::SeriesBorn, u64::from(is_new));
            if let Some(line) = self.cell_in(&series, shape) {
                return Ok(line);
            }
            // dead and not yet unlinked: help, then look again
            self.registry.remove(&series, limited);
            tally.note(Note::RouteMisses, 1);
        }
        Err(Reject::Contended)
    }

    /// This core's live cell in `series`; nothing if the series is dead.
    fn cell_in(&mut self, series: &Series, shape: Shape) -> Option<u32> {
        let cumulative = shape.cumulative();
        let there = series.cell_of(self.core, cumulative);
        if let Some(cell) = there
            && !cell.is_gone()
            && lifecycle::state(head::state(self.slab.run(cell.line, head::WORDS))) != State::Dead
        {
            return Some(cell.line);
        }
        let line = self.slab.allocate(shape.words());
        head::put_handle(self.slab.run(line, head::WORDS), NONE);
        let cell = CellRef { core: self.core, cumulative, line };
        // in the place of the dead one, which the owner saw and buries, or in one more
        match series.put_cell(cell) {
            Ok(()) => Some(line),
            Err(_) => {
                // never seen by anyone else
                self.slab.release(line, shape.words());
                None
            }
        }
    }

    fn link_route(&mut self, route: u32, line: u32) {
        let words = self.slab.run(line, head::WORDS);
        self.routes.at_mut(route).sibling = head::handle(words);
        self.routes.at_mut(route).cell = line;
        head::put_handle(words, route);
    }

    /// The routes into a cell, the newest first.
    fn routes_of(&mut self, line: u32) -> impl Iterator<Item = u32> {
        let first = head::handle(self.slab.run(line, head::WORDS));
        let routes = &self.routes;
        std::iter::successors(Some(first), |at| routes.get(*at).map(|r| r.sibling)).take_while(|at| *at != NONE)
    }

    /// At the next cut the oldest route of this cell goes. Not at once: points of this request may be on their way to it.
    #[cold]
    fn note_crowded(&mut self, line: u32) {
        if self.crowded.len() < CROWDED_CELLS_MAX && self.crowded.last() != Some(&line) {
            self.crowded.push(line);
        }
    }

    /// Makes room for one more route in the cells that have all they may have, so that a client's new encoding is
    /// remembered in the end.
    pub(super) fn thin_out(&mut self) {
        for line in std::mem::take(&mut self.crowded) {
            let too_many: Vec<u32> = self.routes_of(line).skip(ROUTES_PER_CELL_MAX - 1).collect();
            for route in too_many {
                self.unlink_route(route, line);
                self.drop_route(route);
            }
        }
    }

    pub(super) fn drop_route(&mut self, route: u32) {
        let (stream, tag) = (self.routes.at(route).stream, self.routes.at(route).tag);
        let routes = &self.routes;
        self.contexts.at_mut(stream).table.remove(tag, route, |other| routes.at(other).tag);
        self.routes.remove(route);
    }

    fn unlink_route(&mut self, route: u32, line: u32) {
        let words = self.slab.run(line, head::WORDS);
        let next = self.routes.at(route).sibling;
        let mut at = head::handle(words);
        if at == route {
            head::put_handle(words, next);
            return;
        }
        while let Some(sibling) = self.routes.get(at).map(|r| r.sibling) {
            if sibling == route {
                self.routes.at_mut(at).sibling = next;
                return;
            }
            at = sibling;
        }
    }

    /// The route of a point that had none: makes stream, series, cell and route as needed.
    #[cold]
    #[inline(never)]
    pub(super) fn born(&mut self, at: u32, stage: &mut Stage<'_>, tally: &mut Tally) -> Result<u32, Reject> {
        let birth = stage.births[at as usize];
        if birth.route != NONE {
            return Ok(birth.route);
        }
        let context = stage.contexts[birth.context as usize];
        let stream = match context.stream {
            NONE => {
                let found = self.stream_of(&context, stage, tally);
                let stream = found.or_else(|reason| self.overflow_stream(&context.key, reason))?;
                let context = &mut stage.contexts[birth.context as usize];
                (context.stream, context.overflows) = (stream, found.is_err());
                stream
            }
            known => known,
        };
        self.contexts.at_mut(stream).used = self.interval;
        if stage.contexts[birth.context as usize].overflows {
            return self.overflowed(stream, Reject::GroupLimit, &context, tally);
        }
        let hash = birth.hash.unwrap_or_else(|| self.look_ahead(at as usize, stream, stage));
        match self.route_of(stream, birth.raw, birth.normal, hash, tally) {
            Ok(route) => {
                stage.births[at as usize].route = route;
                Ok(route)
            }
            Err(reason) => self.overflowed(stream, reason, &context, tally),
        }
    }

    /// As `overflow_route`, of a point that came in this context.
    pub(super) fn overflowed(
        &mut self,
        stream: u32,
        reason: Reject,
        context: &stage::Context<'_>,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let found = self.overflow_route(stream, reason, tally)?;
        let (resource, name) = (context.resource.bytes, context.key.metric.name);
        self.registry.examples().show(Cause::Overflowed, resource, name, self.peer);
        Ok(found)
    }

    /// Hashes the births from `at` on that share its stream, up to `WARM_MAX`, and brings their places in the index into
    /// the cache together. By profile, finding and making cells took 31 % of all time without it where every point is a birth;
    /// with it, bringing them in and looking them up takes 9 %. Returns the first one's hash.
    fn look_ahead(&self, at: usize, stream: u32, stage: &mut Stage<'_>) -> u64 {
        let group = &self.contexts.at(stream).group;
        let context = stage.births[at].context;
        let mut hashes = [0; WARM_MAX];
        let mut count = 0;
        for birth in stage.births[at..].iter_mut().take_while(|birth| birth.context == context).take(WARM_MAX) {
            hashes[count] = self.registry.hash(group, birth.normal);
            birth.hash = Some(hashes[count]);
            count += 1;
        }
        self.registry.warm(&hashes[..count]);
        hashes[0]
    }

    /// The route of these bytes in the stream, made if it is new.
    pub(super) fn route_of(
        &mut self,
        stream: u32,
        raw: &[u8],
        normal: &[u8],
        hash: u64,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let tag = self.registry.state().hash_one(raw) as u32;
        let s = self.contexts.at(stream);
        if let Some(route) = s.table.find(tag, |id| *self.routes.at(id).bytes == *raw) {
            return Ok(route);
        }
        let (group, shape) = (s.group.clone(), s.shape);
        let run = ThinBytes::new(normal);
        let line = self.cell_for(&group, hash, &run, shape, tally)?;
        let full = self.routes_of(line).nth(ROUTES_PER_CELL_MAX - 1).is_some();
        let known = self.routes_of(line).next();
        if let Some(known) = known
            && (full || self.registry.is_spent())
        {
            // another encoding of the same series: it leads to the same cell, and is not remembered
            tally.note(Note::RoutesNotKept, 1);
            if full {
                self.note_crowded(line);
            }
            return Ok(known);
        }
        let bytes = if raw == normal { run } else { ThinBytes::new(raw) };
        let id = self.routes.add(Route { bytes, cell: line, stream, sibling: NONE, tag });
        self.link_route(id, line);
        self.hold();
        let s = self.contexts.at_mut(stream);
        s.table.add(tag, id, |other| self.routes.at(other).tag);
        // a new series is most often sent again where it was sent first: link it behind the one made before it
        match s.newest {
            NONE => s.first = id,
            newest => {
                if self.routes.get(newest).is_some_and(|r| r.stream == stream) && self.routes.next(newest) == NONE {
                    self.routes.put_next(newest, id);
                }
            }
        }
        self.contexts.at_mut(stream).newest = id;
        Ok(id)
    }

    /// The stream of a context, made if it is new and acceptable.
    pub(super) fn stream_of(
        &mut self,
        context: &stage::Context<'_>,
        stage: &mut Stage<'_>,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let (resource, scope) = self.enter(context, stage, tally)?;
        let key = &context.key;
        if let Some(id) = self.contexts.stream(scope, NONE, key) {
            self.describe(id, key.metric.description, key.metric.hints);
            return Ok(id);
        }
        if self.contexts.len() >= STREAMS_MAX {
            return Err(Reject::GroupLimit);
        }
        let maker = self.maker();
        let group = self
            .with_parts(context, (resource, scope), &bounds_of(key), |registry, parts| {
                registry.group(parts, Entry::Limited, maker)
            })
            .map_err(refusal)?;
        Ok(self.contexts.add(scope, key, group))
    }

    /// Resource and scope of a context, known from now on.
    fn enter(
        &mut self,
        context: &stage::Context<'_>,
        stage: &mut Stage<'_>,
        tally: &mut Tally,
    ) -> Result<(u32, u32), Reject> {
        let (state, limits) = (self.registry.state(), self.options.limits);
        let mut cut = 0;
        let resource_id = self.contexts.enter_resource(&context.resource, || {
            let run = collect(context.resource.bytes, (1, 0x0a), limits, &mut cut)?;
            cut += u64::from(context.resource.is_cut || context.resource.schema_url.len() > limits.name_bytes);
            Ok::<_, Reject>(Set::new(&[], &run, state))
        })?;
        let scope_id = self.contexts.enter_scope(resource_id, &context.scope, || {
            let run = collect(context.scope.bytes, (3, 0x1a), limits, &mut cut)?;
            cut += u64::from(context.scope.is_cut || context.scope.schema_url.len() > limits.name_bytes);
            Ok::<_, Reject>(Set::new(&scope_texts(context.scope.bytes, limits.name_bytes, &mut cut), &run, state))
        })?;
        tally.note(Note::TextsCut, cut);
        if cut > 0 && stage.cut.is_none() {
            stage.cut = Some(example(context.resource.bytes, context.key.metric.name));
        }
        Ok((resource_id, scope_id))
    }

    /// What `of` makes of the parts of a context's group with these bounds.
    fn with_parts<T>(
        &self,
        context: &stage::Context<'_>,
        (resource, scope): (u32, u32),
        bounds: &[f64],
        of: impl FnOnce(&Registry, &Parts<'_>) -> T,
    ) -> T {
        let (key, name_bytes) = (&context.key, self.options.limits.name_bytes);
        let (resource, scope) = self.contexts.sets(resource, scope);
        let parts = Parts {
            resource,
            resource_schema_url: &cut::cut_text(text(context.resource.schema_url), name_bytes),
            scope,
            scope_schema_url: &cut::cut_text(text(context.scope.schema_url), name_bytes),
            name: text(key.metric.name),
            unit: text(key.metric.unit),
            description: description_of(key.metric.description),
            hints: key.metric.hints,
            kind: key.kind,
            monotonic: key.monotonic,
            bounds,
        };
        of(&self.registry, &parts)
    }

    /// A histogram's point without a value and without bounds, bound for `target`: if there is a series of its attributes with
    /// bounds, and none with a value without, it means that one (bounds are no part of a stream's identity in the data
    /// model). The route to that one.
    #[cold]
    pub(super) fn with_bounds(&mut self, target: Target, stage: &mut Stage<'_>, tally: &mut Tally) -> Option<Target> {
        let (raw, scope, base, temporality);
        let (name, unit): (Box<[u8]>, Box<[u8]>);
        match target {
            Target::Birth(at) => {
                let birth = stage.births[at as usize];
                let context = stage.contexts[birth.context as usize];
                // what is refused here is refused for the same reason where it is born
                let envelope = self.enter(&context, stage, tally).ok()?;
                (raw, scope, temporality) = (ThinBytes::new(birth.raw), envelope.1, context.key.temporality);
                base = self.with_parts(&context, envelope, &[], |registry, parts| parts.key(registry.state()));
                (name, unit) = (context.key.metric.name.into(), context.key.metric.unit.into());
            }
            Target::Route(route) => {
                let route = self.routes.at(route);
                let stream = self.contexts.at(route.stream);
                (raw, scope, temporality) = (route.bytes.clone(), stream.scope, stream.temporality);
                base = stream.group.key.clone();
                (name, unit) = (stream.name.clone(), stream.unit.clone());
            }
        }
        let mut normal = Vec::with_capacity(raw.len());
        attributes::normalise(&raw, raw.first().copied().unwrap_or(0), self.options.limits, &mut normal).ok()?.ok()?;
        let group = self.registry.with_bounds(&base, &normal)?;
        let bounds: Vec<u8> = group.bounds.iter().flat_map(|bound| bound.to_bits().to_le_bytes()).collect();
        let metric = MetricHead { name: &name, unit: &unit, ..MetricHead::default() };
        let key = StreamKey { metric, kind: Kind::Histogram, temporality, monotonic: false, bounds: &bounds };
        let hash = self.registry.hash(&group, &normal);
        let stream = match self.contexts.stream(scope, NONE, &key) {
            Some(stream) => stream,
            None if self.contexts.len() < STREAMS_MAX && self.registry.enter(&group) => {
                self.contexts.add(scope, &key, group)
            }
            None => return None,
        };
        self.contexts.at_mut(stream).used = self.interval;
        self.route_of(stream, &raw, &normal, hash, tally).ok().map(Target::Route)
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

/// Gathers and normalises the attribute records (field `number`) of a validated message; what is over the limits is cut, and
/// counted: a long text of a resource or scope never costs its points.
fn collect(message: &[u8], (number, key_byte): (u32, u8), limits: Limits, cut: &mut u64) -> Result<Vec<u8>, Reject> {
    debug_assert!(
        crate::otlp::schema::validate(if number == 1 { Message::Resource } else { Message::Scope }, message, 1).is_ok()
    );
    let mut run = Vec::with_capacity(message.len());
    let mut reader = crate::wire::Reader::new(message);
    while let Ok(field) = reader.field() {
        if field.number == number {
            if let Ok(record) = reader.bytes() {
                crate::wire::put_bytes(&mut run, key_byte, record);
            }
        } else if reader.skip(field, 1).is_err() {
            break;
        }
    }
    let mut out = Vec::new();
    match attributes::normalise(&run, key_byte, limits, &mut out) {
        Ok(Ok(())) => return Ok(out),
        Ok(Err(bad @ Bad::DuplicateKey)) => return Err(reject_of(bad)),
        Ok(Err(Bad::TooMany | Bad::TooLong)) => *cut += 1,
        Err(_) => unreachable!("the message has been validated"),
    }
    match cut::cut_attributes(message, number as u8, limits) {
        Ok(cut) => Ok(cut),
        Err(_) => unreachable!("the message has been validated"),
    }
}

/// Name and version of a validated scope, as they stand at its head.
fn scope_texts(message: &[u8], name_bytes: usize, cut: &mut u64) -> Vec<u8> {
    let (mut name, mut version) = (&[][..], &[][..]);
    let mut reader = crate::wire::Reader::new(message);
    while let Ok(field) = reader.field() {
        match field.number {
            1 => name = reader.bytes().unwrap_or(&[]),
            2 => version = reader.bytes().unwrap_or(&[]),
            _ => {
                if reader.skip(field, 1).is_err() {
                    break;
                }
            }
        }
    }
    let mut head = Vec::with_capacity(name.len() + version.len() + 8);
    for (key, bytes) in [(0x0a, name), (0x12, version)] {
        if !bytes.is_empty() {
            let whole = text(bytes);
            *cut += u64::from(whole.len() > name_bytes);
            crate::wire::put_bytes(&mut head, key, cut::cut_text(whole, name_bytes).as_bytes());
        }
    }
    head
}

/// Bounds of an explicit histogram.
pub(super) fn bounds_of(key: &StreamKey<'_>) -> Vec<f64> {
    (0..key.bounds.len() / 8).map(|i| f64::from_bits(word_at(key.bounds, i))).collect()
}

/// Text that has been checked.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

/// A description that has been checked, as much of it as is kept.
fn description_of(bytes: &[u8]) -> &str {
    cut::head_of(bytes, DESCRIPTION_BYTES_MAX)
}
