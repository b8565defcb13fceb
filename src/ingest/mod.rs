//! From bytes to cells: one core's call chain for a request, staged first, committed only when all of it is sound.
//!
//! Knows OTLP's points, routes, births and cells; does not know sockets, cuts of other cores, or destinations.
//!
//! ```text
//!   body ─► walk ─► prediction ─► staged points ─┐                      (nothing changed yet but hints)
//!                └► unknown bytes ─► births ─────┴─► commit ─► cells of this core, current bank
//! ```
//!
//! Invariants
//! 1. A malformed request changes no cell, no context, no index: only hints (`next`, `first`), which are compared
//!    before use.
//! 2. A point whose bytes were predicted is as validated as the point that made the route: the bytes are equal.
//! 3. Every point of a request ends in exactly one of applied and rejected.
//!
//! Progress: wait-free but for births, which are lock-free. No allocation for a point with a route.
//!
//! Bounds: a large request comes in slices (`slices`); what one stages lies in an arena that dies with it. A request has at
//! most `limits::REQUEST_MESSAGES_MAX` messages.

mod births;
mod check;
mod commit;
mod contexts;
mod exemplars;
mod follow;
mod histograms;
mod misses;
mod overflow;
mod regions;
mod routes;
mod slices;
mod stage;
mod summaries;
mod tidy;
mod walk;

use crate::cells::exponential_histogram;
use crate::identity::attributes::Limits;
use crate::limits::GROUPS_MAX;
use crate::model::{Kind, Peer, Temporality};
use crate::otlp::attributes;
use crate::otlp::points::{
    self, Attributes, EXEMPLARS_KEY, EXPONENTIAL_ATTRIBUTES_KEY, HISTOGRAM_ATTRIBUTES_KEY, NUMBER_ATTRIBUTES_KEY,
};
use crate::series::peers::{Maker, Peers};
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use crate::wire::{Fault, FaultKind};
use bumpalo::Bump;

use check::{check_exponential, check_histogram, check_number, reject_of};
use contexts::{Contexts, StreamKey};
use exemplars::Open;
use follow::{EXPECTED_BYTES, Follow};
use misses::{Lags, MISSES_MAX, Miss, Misses};
use routes::{NONE, Routes};
pub use slices::{Slice, Sliced};
use stage::{Birth, Context, Number, Stage, Target};
use std::sync::Arc;
use tidy::Chores;
use walk::{MetricWalk, Place, Walked};

/// Options of one core's ingest.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Wall time at which the process started, nanoseconds.
    pub started_ns: u64,
    /// What texts and attributes may be.
    pub limits: Limits,
}

/// One core's side of the aggregation.
pub struct Ingest {
    core: u16,
    options: Options,
    /// The latest time that a point may have, nanoseconds.
    latest: u64,
    /// Who sends, and the slot of that peer.
    peer: Peer,
    maker_slot: u16,
    /// Streams of overflow groups.
    overflow: overflow::Known,
    registry: Arc<Registry>,
    slab: SlabWriter,
    contexts: Contexts,
    routes: Routes,
    arena: Bump,
    staged: Vec<Number>,
    /// Number of the interval that is open on this core.
    interval: u32,
    /// The bank that is written.
    bank: usize,
    scratch: exponential_histogram::Scratch,
    /// An explicit histogram's point, as it goes into a cell.
    region: Vec<u64>,
    /// Exemplars of the open interval.
    exemplars: Open,
    /// What is to be put away.
    chores: Chores,
    /// Cells that have as many routes as they may have, and were asked for one more.
    crowded: Vec<u32>,
    /// A request that came in slices is being applied.
    applying: bool,
    /// How large these are.
    slice: Slice,
}

impl Ingest {
    /// For `core`, whose slab this is. The first interval is number 1, bank 0.
    pub fn new(core: usize, options: Options, registry: Arc<Registry>, slab: SlabWriter) -> Ingest {
        let state = registry.state().clone();
        Ingest {
            core: core as u16,
            options,
            latest: u64::MAX,
            peer: Peer::default(),
            overflow: overflow::Known::NOTHING,
            maker_slot: Peers::slot_of(state.hash_one(Peer::default())),
            registry,
            slab,
            contexts: Contexts::new(state),
            routes: Routes::default(),
            arena: Bump::new(),
            staged: Vec::new(),
            interval: 1,
            bank: 0,
            scratch: Default::default(),
            region: Vec::new(),
            exemplars: Open::new(),
            chores: Chores::default(),
            crowded: Vec::new(),
            applying: false,
            slice: Slice::default(),
        }
    }

    /// Points may be dated up to `latest`, nanoseconds of the wall clock, from now on; before the first call whenever they
    /// like.
    pub const fn accept_until(&mut self, latest: u64) {
        self.latest = latest;
    }

    /// What is exported now comes from this peer.
    fn comes_from(&mut self, peer: Peer) {
        if peer != self.peer {
            self.peer = peer;
            self.maker_slot = Peers::slot_of(self.registry.state().hash_one(peer));
        }
    }

    /// Who makes what is born now.
    fn maker(&self) -> Maker {
        Maker { slot: self.maker_slot, interval: self.interval }
    }

    /// Requests are taken in slices of this size from now on.
    pub const fn slice_by(&mut self, slice: Slice) {
        self.slice = slice;
    }

    /// The slab, for the owner's own blocks (the owner of a shard runs on the same thread).
    pub fn slab_mut(&mut self) -> &mut SlabWriter {
        &mut self.slab
    }

    /// The slab.
    pub fn slab(&self) -> &SlabWriter {
        &self.slab
    }

    /// Wall time at which the process started, nanoseconds.
    pub fn started_ns(&self) -> u64 {
        self.options.started_ns
    }

    /// Number and bank of the open interval.
    pub fn open(&self) -> (u32, usize) {
        (self.interval, self.bank)
    }

    /// Routes held.
    pub fn routes(&self) -> usize {
        self.routes.len()
    }

    /// The bytes that probably come next.
    #[inline]
    fn expected(&self, stream: Option<u32>, guess: u32) -> Option<&[u8]> {
        let route = self.routes.get(guess)?;
        (Some(route.stream) == stream).then_some(&*route.bytes)
    }

    fn numbers<'a>(
        &mut self,
        data: &'a [u8],
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let stream = self.stream(walk, &key, stage)?;
        let mode = match (key.kind, key.temporality) {
            (Kind::Gauge, _) => stage::GAUGE,
            (_, Temporality::Cumulative) => stage::CUMULATIVE,
            _ => 0,
        } | if key.monotonic { stage::MONOTONIC } else { 0 };
        let mut numbers = Numbers {
            key,
            mode,
            pending: None,
            follow: self.follow(stream, walk),
            misses: Misses {
                all: std::mem::take(&mut stage.ring),
                block: stream.map_or(1, |id| self.contexts.at(id).block.max(1)),
                ..Misses::default()
            },
        };
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            ingest.one_number(message, &mut numbers, walk, arena, stage)
        })?;
        if let Some(stream) = stream {
            self.contexts.at_mut(stream).block = numbers.misses.block;
        }
        self.resolve(Lags::NONE, &mut numbers, walk, arena, stage)?;
        stage.ring = numbers.misses.all;
        at.last_route = numbers.follow.last;
        Ok(walked)
    }

    #[inline]
    fn one_number<'a>(
        &mut self,
        message: &'a [u8],
        numbers: &mut Numbers<'a>,
        walk: &mut MetricWalk<'a>,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        let Numbers { key, mode, follow, misses, .. } = numbers;
        let stream = follow.stream;
        let guessing = misses.may_guess();
        let expected = if guessing { self.expected(stream, follow.guess) } else { None };
        let by_bytes = match points::fixed_layout(message) {
            Some((point, rest)) if stream.is_some() => {
                check_number(&point, *mode, self.latest).ok().map(|staged| (staged, rest))
            }
            _ => None,
        };
        let miss = match by_bytes {
            Some((staged, rest)) if expected == Some(rest) => Found::Expected(staged),
            Some((staged, run)) if run.first() != Some(&EXEMPLARS_KEY) => {
                Found::Miss(Miss { staged, run, message, tag: 0, route: NONE, walked: false })
            }
            _ => match walk_number(message, expected, (key.kind, *mode, self.latest), arena, stage)? {
                None => return Ok(()),
                Some((staged, Attributes::Expected)) => {
                    stage.with_exemplars(&staged, self.staged.len(), message);
                    Found::Expected(staged)
                }
                Some((staged, Attributes::Run(run))) => {
                    Found::Miss(Miss { staged, run, message, tag: 0, route: NONE, walked: true })
                }
            },
        };
        let mut miss = match miss {
            Found::Expected(staged) => {
                stage.predicted += 1;
                self.staged.push(Number { route: follow.guess, ..staged });
                follow.step(follow.guess, &self.routes, message.len().saturating_sub(points::FIXED));
                misses.hit();
                return Ok(());
            }
            Found::Miss(miss) => miss,
        };
        stage.lookups += 1;
        if guessing && let Some(route) = self.skipped_to(follow, miss.run) {
            misses.hit();
            stage.with_exemplars(&miss.staged, self.staged.len(), message);
            self.staged.push(Number { route, ..miss.staged });
            return Ok(());
        }
        miss.tag = self.registry.state().hash_one(miss.run) as u32;
        if let Some(stream) = stream {
            self.contexts.at(stream).table.prefetch(miss.tag);
        }
        if let Some(behind) = misses.push(miss, arena) {
            self.resolve(behind, numbers, walk, arena, stage)?;
            numbers.misses.resolved();
        }
        Ok(())
    }

    /// Looks up points whose route was not predicted, in steps, so that their cache misses overlap with each other and
    /// with the work on the points behind them: the table's slot, the route, then its bytes and cell, then the
    /// comparison. `behind` says how many of the last points each step leaves for later.
    fn resolve<'a>(
        &mut self,
        behind: Lags,
        numbers: &mut Numbers<'a>,
        walk: &mut MetricWalk<'a>,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        let misses = &mut numbers.misses;
        if let Some(stream) = numbers.follow.stream {
            let table = &self.contexts.at(stream).table;
            while misses.looked + behind.look < misses.pushed {
                let miss = &mut misses.all[misses.looked % MISSES_MAX];
                miss.route = table.find(miss.tag, |_| true).unwrap_or(NONE);
                self.routes.prefetch(miss.route);
                misses.looked += 1;
            }
            while misses.fetched + behind.fetch < misses.pushed {
                let miss = &misses.all[misses.fetched % MISSES_MAX];
                if let Some(route) = self.routes.get(miss.route) {
                    self.slab.prefetch(route.cell);
                    route.bytes.prefetch(miss.run.len());
                }
                misses.fetched += 1;
            }
        }
        while numbers.misses.done + behind.compare < numbers.misses.pushed {
            let miss = numbers.misses.all[numbers.misses.done % MISSES_MAX];
            numbers.misses.done += 1;
            self.resolve_one(miss, numbers, walk, arena, stage)?;
        }
        Ok(())
    }

    #[inline]
    fn resolve_one<'a>(
        &mut self,
        miss: Miss<'a>,
        numbers: &mut Numbers<'a>,
        walk: &mut MetricWalk<'a>,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        let Numbers { key, mode, follow, pending, .. } = numbers;
        let Miss { mut staged, mut run, message, tag, route, walked } = miss;
        let stream = follow.stream;
        let mut found = match (stream, self.routes.get(route)) {
            (Some(_), Some(known)) if *known.bytes == *run => Some(route),
            // another route with the same tag
            (Some(stream), Some(_)) => self.find(stream, tag, run),
            _ => None,
        };
        if found.is_none() && !walked {
            // new, or of a layout that only looked fixed
            let Some((point, Attributes::Run(attributes))) =
                walk_number(message, None, (key.kind, *mode, self.latest), arena, stage)?
            else {
                stage.lookups -= 1;
                return Ok(());
            };
            staged = point;
            if let Some(stream) = stream.filter(|_| attributes != run) {
                found = self.find(stream, self.registry.state().hash_one(attributes) as u32, attributes);
            }
            run = attributes;
        }
        match found {
            Some(route) => {
                self.learn(follow, route);
                stage.with_exemplars(&staged, self.staged.len(), message);
                self.staged.push(Number { route, ..staged });
            }
            None => {
                if let Some(route) = stage_birth(run, NUMBER_ATTRIBUTES_KEY, key, walk, pending, arena, stage)? {
                    // what follows it most often came in its place, or before
                    follow.may_skip = true;
                    stage.with_exemplars(&staged, self.staged.len(), message);
                    let flags = staged.flags | stage::BIRTH;
                    self.staged.push(Number { route, flags, ..staged });
                }
            }
        }
        Ok(())
    }

    /// The route of `run` in the stream.
    #[inline]
    fn find(&self, stream: u32, tag: u32, run: &[u8]) -> Option<u32> {
        self.contexts.at(stream).table.find(tag, |id| *self.routes.at(id).bytes == *run)
    }

    fn histograms<'a>(
        &mut self,
        data: &'a [u8],
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let mut key = key;
        let mut first = true;
        let mut stream = None;
        let mut pending = None;
        let mut follow = Follow::new(None, NONE);
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let mut point = points::histogram(message, ingest.expected(stream, follow.guess), arena)
                .map_err(|f| f.named("HistogramDataPoint"))?;
            if first || point.bounds != key.bounds {
                // another set of bounds is another stream (M21); the points of one metric nearly always share one
                first = false;
                key.bounds = point.bounds;
                pending = None;
                stream = ingest.stream(walk, &key, stage)?;
                follow = ingest.follow(stream, walk);
                point = points::histogram(message, ingest.expected(stream, follow.guess), arena)?;
            }
            if let Err(reason) = check_histogram(&mut point, stream.is_some(), ingest.latest, &mut stage.sums_dropped) {
                if let Attributes::Run(run) = point.attributes {
                    let _ = attributes::normalise(run, HISTOGRAM_ATTRIBUTES_KEY, Limits::DEFAULT, &mut Vec::new())?;
                }
                stage.reject(key.kind, reason, 1);
                return Ok(());
            }
            let run = match point.attributes {
                Attributes::Expected => {
                    stage.predicted += 1;
                    stage.add_histogram(Target::Route(follow.guess), point);
                    follow.step(follow.guess, &ingest.routes, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.look_up(&mut follow, run) {
                stage.add_histogram(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, HISTOGRAM_ATTRIBUTES_KEY, &key, walk, &mut pending, arena, stage)? {
                stage.add_histogram(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = follow.last;
        Ok(walked)
    }

    fn exponentials<'a>(
        &mut self,
        data: &'a [u8],
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let stream = self.stream(walk, &key, stage)?;
        let mut pending = None;
        let mut follow = self.follow(stream, walk);
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let mut point = points::exponential(message, ingest.expected(stream, follow.guess), arena)
                .map_err(|f| f.named("ExponentialHistogramDataPoint"))?;
            if let Err(reason) = check_exponential(&mut point, ingest.latest, &mut stage.sums_dropped) {
                if let Attributes::Run(run) = point.attributes {
                    let _ = attributes::normalise(run, EXPONENTIAL_ATTRIBUTES_KEY, Limits::DEFAULT, &mut Vec::new())?;
                }
                stage.reject(key.kind, reason, 1);
                return Ok(());
            }
            let run = match point.attributes {
                Attributes::Expected => {
                    stage.predicted += 1;
                    stage.add_exponential(Target::Route(follow.guess), point);
                    follow.step(follow.guess, &ingest.routes, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.look_up(&mut follow, run) {
                stage.add_exponential(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, EXPONENTIAL_ATTRIBUTES_KEY, &key, walk, &mut pending, arena, stage)? {
                stage.add_exponential(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = follow.last;
        Ok(walked)
    }

    /// The route after the predicted one, if it is that: a point that left its place is most often followed by what
    /// followed it before. Tried once between two right predictions, and behind a point that is new.
    #[inline]
    fn skipped_to(&mut self, follow: &mut Follow, run: &[u8]) -> Option<u32> {
        if !std::mem::replace(&mut follow.may_skip, false) {
            return None;
        }
        let stream = follow.stream?;
        let skipped = self.routes.next(follow.guess);
        match self.routes.get(skipped) {
            Some(route) if route.stream == stream && *route.bytes == *run => {
                self.put_after(follow, skipped);
                follow.skip(skipped, &self.routes);
                Some(skipped)
            }
            _ => None,
        }
    }

    /// Finds the route of `run` in the stream when it is not the predicted one.
    #[inline]
    fn look_up(&mut self, follow: &mut Follow, run: &[u8]) -> Option<u32> {
        let stream = follow.stream?;
        if let Some(route) = self.skipped_to(follow, run) {
            return Some(route);
        }
        let tag = self.registry.state().hash_one(run) as u32;
        let found = self.find(stream, tag, run)?;
        self.learn(follow, found);
        Some(found)
    }

    /// Remembers that `found` came here, and goes on behind it.
    #[inline]
    fn learn(&mut self, follow: &mut Follow, found: u32) {
        self.put_after(follow, found);
        follow.last = found;
        follow.turn(self.routes.next(found));
    }

    /// Remembers that `found` came after the last route.
    #[inline]
    fn put_after(&mut self, follow: &Follow, found: u32) {
        match (follow.last, follow.stream) {
            (NONE, Some(stream)) => self.contexts.at_mut(stream).first = found,
            (NONE, None) => {}
            (last, _) => self.routes.put_next(last, found),
        }
    }
}

/// Stages the birth of a route: its attributes are validated here, so that commit cannot fault. Its place in
/// `Stage.births`; nothing if the attributes are not acceptable.
#[cold]
#[inline(never)]
fn stage_birth<'a>(
    run: &'a [u8],
    key_byte: u8,
    key: &StreamKey<'a>,
    walk: &MetricWalk<'a>,
    pending: &mut Option<u32>,
    arena: &'a Bump,
    stage: &mut Stage<'a>,
) -> Result<Option<u32>, Fault> {
    // the same series again, one behind the other: it is born once
    if let (Some(context), Some(last)) = (*pending, stage.births.last())
        && last.context == context
        && last.raw == run
    {
        return Ok(Some(stage.births.len() as u32 - 1));
    }
    stage.coded += run.len();
    let mut normal = run;
    if !attributes::is_normal(run, key_byte, stage.limits) {
        let mut other = Vec::with_capacity(run.len());
        if let Err(bad) = attributes::normalise(run, key_byte, stage.limits, &mut other)? {
            stage.reject(key.kind, reject_of(bad), 1);
            return Ok(None);
        }
        if other != run {
            normal = arena.alloc_slice_copy(&other);
        }
    }
    let context = match *pending {
        Some(context) => context,
        None => {
            // a metric that comes again, one behind the other, is one stream, and keeps its longest description
            let is_again = stage.contexts.last_mut().is_some_and(|last| {
                let again = last.resource.is_in_place_of(&walk.resource)
                    && last.scope.is_in_place_of(&walk.scope)
                    && last.key.is_same_stream(key);
                if again && last.key.metric.description.len() < key.metric.description.len() {
                    last.key.metric.description = key.metric.description;
                }
                again
            });
            if !is_again {
                let (resource, scope) = (walk.resource, walk.scope);
                stage.contexts.push(Context { resource, scope, key: *key, stream: NONE, overflows: false });
            }
            *pending.insert(stage.contexts.len() as u32 - 1)
        }
    };
    stage.births.push(Birth { context, raw: run, normal, hash: None, route: NONE });
    Ok(Some(stage.births.len() as u32 - 1))
}

/// Walks a number point; nothing if it is rejected.
fn walk_number<'a>(
    message: &'a [u8],
    expected: Option<&[u8]>,
    (kind, mode, latest): (Kind, u32, u64),
    arena: &'a Bump,
    stage: &mut Stage<'a>,
) -> Result<Option<(Number, Attributes<'a>)>, Fault> {
    let point = points::number(message, expected, arena).map_err(|f| f.named("NumberDataPoint"))?;
    match check_number(&point, mode, latest) {
        Ok(mut staged) => {
            // M7 spares nothing but attributes and times
            if point.exemplars && staged.flags & stage::NO_VALUE == 0 {
                staged.flags |= stage::EXEMPLARS;
            }
            Ok(Some((staged, point.attributes)))
        }
        Err(reason) => {
            if let Attributes::Run(run) = point.attributes {
                let _ = attributes::normalise(run, NUMBER_ATTRIBUTES_KEY, Limits::DEFAULT, &mut Vec::new())?;
            }
            stage.reject(kind, reason, 1);
            Ok(None)
        }
    }
}

/// The number points of one metric, on their way.
struct Numbers<'a> {
    key: StreamKey<'a>,
    mode: u32,
    /// Where the stream stands in `Stage.contexts`, once something is to be born in it.
    pending: Option<u32>,
    follow: Follow,
    misses: Misses<'a>,
}

enum Found<'a> {
    Expected(Number),
    Miss(Miss<'a>),
}

/// Turns a fault into words for the client: what, in which field, near which byte.
pub fn explain(fault: &Fault, body: &[u8]) -> String {
    let left = fault.left.min(body.len());
    match fault.kind {
        FaultKind::TooManyMessages | FaultKind::TooManyFields | FaultKind::TooLarge => {
            format!("{fault} (of {} bytes)", body.len())
        }
        FaultKind::Truncated => format!("malformed ExportMetricsServiceRequest ({} bytes): {fault}", body.len()),
        _ => format!("malformed ExportMetricsServiceRequest ({} bytes, {left} left there): {fault}", body.len()),
    }
}

/// Streams one core may hold: each group in both temporalities.
const STREAMS_MAX: usize = 2 * GROUPS_MAX;
