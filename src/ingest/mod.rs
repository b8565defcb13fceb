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

mod check;
mod commit;
mod encoding;
mod exemplars;
mod histograms;
mod regions;
mod slices;
mod stage;
mod summaries;
mod walk;

use crate::cells::exponential_histogram;
use crate::identity::attributes::Limits;
use crate::model::{Kind, Temporality};
use crate::otlp::attributes;
use crate::otlp::points::{
    self, Attributes, EXEMPLARS_KEY, EXPONENTIAL_ATTRIBUTES_KEY, HISTOGRAM_ATTRIBUTES_KEY, NUMBER_ATTRIBUTES_KEY,
};
use crate::resolve::{EXPECTED_BYTES, Lags, Lookup, Prediction, Resolver, StreamKey, Target, Waiting};
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use crate::wire::{Fault, FaultKind};
use bumpalo::Bump;

use check::{check_exponential, check_histogram, check_number, reject_of};
use encoding::Otlp;
use exemplars::Open;
pub use slices::{Slice, Sliced};
use stage::{Number, Stage, Staged};
use std::sync::Arc;
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
    options: Options,
    /// The latest time that a point may have, nanoseconds.
    latest: u64,
    /// From bytes to cells.
    resolver: Resolver,
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
    /// A request that came in slices is being applied.
    applying: bool,
    /// How large these are.
    slice: Slice,
}

impl Ingest {
    /// For `core`, whose slab this is. The first interval is number 1, bank 0.
    pub fn new(core: usize, options: Options, registry: Arc<Registry>, slab: SlabWriter) -> Ingest {
        Ingest {
            options,
            latest: u64::MAX,
            resolver: Resolver::new(core, registry, slab),
            arena: Bump::new(),
            staged: Vec::new(),
            interval: 1,
            bank: 0,
            scratch: Default::default(),
            region: Vec::new(),
            exemplars: Open::new(),
            applying: false,
            slice: Slice::default(),
        }
    }

    /// Points may be dated up to `latest`, nanoseconds of the wall clock, from now on; before the first call whenever they
    /// like.
    pub const fn accept_until(&mut self, latest: u64) {
        self.latest = latest;
    }

    /// Requests are taken in slices of this size from now on.
    pub const fn slice_by(&mut self, slice: Slice) {
        self.slice = slice;
    }

    /// The slab, for the owner's own blocks (the owner of a shard runs on the same thread).
    pub fn slab_mut(&mut self) -> &mut SlabWriter {
        self.resolver.slab_mut()
    }

    /// The slab.
    pub fn slab(&self) -> &SlabWriter {
        self.resolver.slab()
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
        self.resolver.routes()
    }

    /// How the resolver reads what comes.
    const fn encoding(&self) -> Otlp {
        Otlp(self.options.limits)
    }

    /// Switches to the other bank: the interval `number` is open from now on. Called between two requests, or two slices.
    /// Begins to put away what died.
    pub fn switch(&mut self, number: u32) {
        debug_assert!(number > self.interval, "intervals rise");
        self.close_exemplars();
        self.exemplars.begin(number);
        self.interval = number;
        self.bank = 1 - self.bank;
        self.resolver.switch(number);
    }

    /// Goes on putting away what died; `true` when there is more to do in this interval.
    pub fn tidy(&mut self) -> bool {
        self.resolver.tidy()
    }

    /// Streams that have had no route for `intervals` intervals are freed from now on (`tidy`).
    pub fn sweep(&mut self, intervals: u32) {
        self.resolver.sweep(intervals);
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
            prediction: self.predict(stream, walk),
            waiting: self.resolver.waiting(stream, std::mem::take(&mut stage.ring)),
        };
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            ingest.one_number(message, &mut numbers, walk, arena, stage)
        })?;
        self.resolver.remember(stream, &numbers.waiting);
        self.resolve(Lags::NONE, &mut numbers, walk, arena, stage)?;
        at.last_route = numbers.prediction.last();
        stage.ring = numbers.waiting.into_room();
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
        let Numbers { key, mode, prediction, waiting, .. } = numbers;
        let stream = prediction.stream();
        let guessing = waiting.may_guess();
        let expected = if guessing { self.resolver.expected(prediction) } else { None };
        let by_bytes = match points::fixed_layout(message) {
            Some((point, rest)) if stream.is_some() => {
                check_number(&point, *mode, self.latest).ok().map(|staged| (staged, rest))
            }
            _ => None,
        };
        let found = match by_bytes {
            Some((number, rest)) if expected == Some(rest) => Found::Expected(number),
            Some((number, raw)) if raw.first() != Some(&EXEMPLARS_KEY) => {
                Found::Other(Lookup::new(Staged { number, message, walked: false }, raw))
            }
            _ => match walk_number(message, expected, (key.kind, *mode, self.latest), arena, stage)? {
                None => return Ok(()),
                Some((number, Attributes::Expected)) => {
                    stage.with_exemplars(&number, self.staged.len(), message);
                    Found::Expected(number)
                }
                Some((number, Attributes::Run(raw))) => {
                    Found::Other(Lookup::new(Staged { number, message, walked: true }, raw))
                }
            },
        };
        let lookup = match found {
            Found::Expected(number) => {
                stage.predicted += 1;
                self.staged.push(Number { route: prediction.guess(), ..number });
                self.resolver.came(prediction, message.len().saturating_sub(points::FIXED));
                waiting.hit();
                return Ok(());
            }
            Found::Other(lookup) => lookup,
        };
        stage.lookups += 1;
        if guessing && let Some(route) = self.resolver.skipped_to(prediction, lookup.raw) {
            waiting.hit();
            stage.with_exemplars(&lookup.point.number, self.staged.len(), message);
            self.staged.push(Number { route, ..lookup.point.number });
            return Ok(());
        }
        if let Some(behind) = self.resolver.begin_look_up(stream, lookup, waiting, arena) {
            self.resolve(behind, numbers, walk, arena, stage)?;
            numbers.waiting.resolved();
        }
        Ok(())
    }

    /// Looks up points whose route was not predicted, in steps (`Resolver::advance`).
    fn resolve<'a>(
        &mut self,
        behind: Lags,
        numbers: &mut Numbers<'a>,
        walk: &mut MetricWalk<'a>,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        self.resolver.advance(numbers.prediction.stream(), &mut numbers.waiting, behind);
        while let Some(lookup) = numbers.waiting.next(behind) {
            self.resolve_one(lookup, numbers, walk, arena, stage)?;
        }
        Ok(())
    }

    #[inline]
    fn resolve_one<'a>(
        &mut self,
        lookup: Lookup<'a, Staged<'a>>,
        numbers: &mut Numbers<'a>,
        walk: &mut MetricWalk<'a>,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        let Numbers { key, mode, prediction, pending, .. } = numbers;
        let stream = prediction.stream();
        let mut found = self.resolver.known(stream, &lookup);
        let (Staged { mut number, message, walked }, mut raw) = (lookup.point, lookup.raw);
        if found.is_none() && !walked {
            // new, or of a layout that only looked fixed
            let Some((point, Attributes::Run(attributes))) =
                walk_number(message, None, (key.kind, *mode, self.latest), arena, stage)?
            else {
                stage.lookups -= 1;
                return Ok(());
            };
            number = point;
            if let Some(stream) = stream.filter(|_| attributes != raw) {
                found = self.resolver.find(stream, attributes);
            }
            raw = attributes;
        }
        match found {
            Some(route) => {
                self.resolver.learn(prediction, route);
                stage.with_exemplars(&number, self.staged.len(), message);
                self.staged.push(Number { route, ..number });
            }
            None => {
                if let Some(route) = stage_birth(raw, key, walk, pending, arena, stage)? {
                    prediction.came_new();
                    stage.with_exemplars(&number, self.staged.len(), message);
                    let flags = number.flags | stage::BIRTH;
                    self.staged.push(Number { route, flags, ..number });
                }
            }
        }
        Ok(())
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
        let mut prediction = Prediction::none();
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let mut point = points::histogram(message, ingest.resolver.expected(&prediction), arena)
                .map_err(|f| f.named("HistogramDataPoint"))?;
            if first || point.bounds != key.bounds {
                // another set of bounds is another stream (M21); the points of one metric nearly always share one
                first = false;
                key.bounds = point.bounds;
                pending = None;
                stream = ingest.stream(walk, &key, stage)?;
                prediction = ingest.predict(stream, walk);
                point = points::histogram(message, ingest.resolver.expected(&prediction), arena)?;
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
                    stage.add_histogram(Target::Route(prediction.guess()), point);
                    ingest.resolver.came(&mut prediction, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.resolver.look_up(&mut prediction, run) {
                stage.add_histogram(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, &key, walk, &mut pending, arena, stage)? {
                stage.add_histogram(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = prediction.last();
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
        let mut prediction = self.predict(stream, walk);
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let mut point = points::exponential(message, ingest.resolver.expected(&prediction), arena)
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
                    stage.add_exponential(Target::Route(prediction.guess()), point);
                    ingest.resolver.came(&mut prediction, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.resolver.look_up(&mut prediction, run) {
                stage.add_exponential(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, &key, walk, &mut pending, arena, stage)? {
                stage.add_exponential(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = prediction.last();
        Ok(walked)
    }
}

/// Stages the birth of a route: its attributes are validated here, so that commit cannot fault. Its place in
/// `Stage.pending`; nothing if the attributes are not acceptable.
#[cold]
#[inline(never)]
fn stage_birth<'a>(
    raw: &'a [u8],
    key: &StreamKey<'a>,
    walk: &MetricWalk<'a>,
    context: &mut Option<u32>,
    arena: &'a Bump,
    stage: &mut Stage<'a>,
) -> Result<Option<u32>, Fault> {
    if let Some(birth) = stage.pending.again(*context, raw) {
        return Ok(Some(birth));
    }
    stage.coded += raw.len();
    let of = (&walk.resource, &walk.scope, key);
    match stage.pending.add(raw, of, context, &Otlp(stage.limits), arena)? {
        Ok(birth) => Ok(Some(birth)),
        Err(bad) => {
            stage.reject(key.kind, reject_of(bad), 1);
            Ok(None)
        }
    }
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
    /// Where the stream stands in `Stage.pending`, once something is to be born in it.
    pending: Option<u32>,
    prediction: Prediction,
    waiting: Waiting<'a, Staged<'a>>,
}

enum Found<'a> {
    Expected(Number),
    Other(Lookup<'a, Staged<'a>>),
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
