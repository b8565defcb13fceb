//! The walk over the points of one metric, of whatever kind: predicted, looked up in steps, or to be born; then staged.
//!
//! Knows the order in which points are tried; does not know how one is read (`kind`), nor how it is applied.
//!
//! Invariants
//! 1. A point whose bytes were predicted is as validated as the point that made the route: the bytes are equal.
//! 2. Points are staged in the order in which they came.

use super::encoding::Otlp;
use super::kind::PointKind;
use super::metric::MetricWalk;
use super::scaled::Scaled as _;
use super::stage::{Stage, Unrouted};
use crate::identity::attributes::{Limits, key_byte};
use crate::model::Discard;
use crate::otlp::attributes;
use crate::otlp::points::Attributes;
use crate::resolve::{Detour, Lags, PointTarget, Prediction, Resolver, RouteLookup, StreamKey, Waiting};
use crate::wire::Fault;
use bumpalo::Bump;

/// The points of one metric, on their way.
///
/// `ASKS`: routes may lead nowhere. It is part of the type, so that where nobody is asked a point costs nothing for it.
pub(super) struct Points<'r, 'a, K: PointKind, const ASKS: bool> {
    resolver: &'r mut Resolver,
    metric: &'r mut MetricWalk<'a>,
    arena: &'a Bump,
    latest: u64,
    kind: K,
    key: StreamKey<'a>,
    /// The stream of `key` was looked for.
    is_begun: bool,
    /// Where the stream stands in `Stage.pending`, once something is to be born in it.
    context: Option<u32>,
    prediction: Prediction,
    waiting: Waiting<'a, Unrouted<'a, K::Staged<'a>>>,
}

impl<'r, 'a, K: PointKind, const ASKS: bool> Points<'r, 'a, K, ASKS> {
    /// Of the metric at hand.
    pub(super) fn new(
        kind: K,
        key: StreamKey<'a>,
        metric: &'r mut MetricWalk<'a>,
        resolver: &'r mut Resolver,
        stage: &mut Stage<'a>,
        arena: &'a Bump,
        latest: u64,
    ) -> Result<Self, Fault> {
        let waiting = resolver.waiting(None, &mut []);
        let prediction = Prediction::none();
        let mut points =
            Points { resolver, metric, arena, latest, kind, key, is_begun: false, context: None, prediction, waiting };
        if !K::HAS_BOUNDS {
            points.begin(stage)?;
        }
        Ok(points)
    }

    /// Looks for the stream of the key.
    fn begin(&mut self, stage: &mut Stage<'a>) -> Result<(), Fault> {
        let stream = self.metric.stream(&self.key, self.resolver, stage)?;
        self.is_begun = true;
        self.context = None;
        self.prediction = self.metric.predict(stream, self.resolver);
        self.waiting = self.resolver.waiting(stream, std::mem::take(K::room(stage)));
        Ok(())
    }

    /// The last point has come: the route of the last one that was known.
    pub(super) fn end(mut self, stage: &mut Stage<'a>) -> Result<u32, Fault> {
        self.finish(stage)?;
        Ok(self.prediction.last())
    }

    /// The last point of the stream has come.
    fn finish(&mut self, stage: &mut Stage<'a>) -> Result<(), Fault> {
        self.resolver.remember(self.prediction.stream(), &self.waiting);
        self.resolve(Lags::NONE, stage)?;
        *K::room(stage) = self.waiting.take_room();
        Ok(())
    }

    /// The next point has come.
    #[inline]
    pub(super) fn one(&mut self, message: &'a [u8], stage: &mut Stage<'a>) -> Result<(), Fault> {
        let guessing = self.waiting.may_guess();
        // only what is known can be told by its layout
        if self.prediction.stream().is_some()
            && let Some((point, raw)) = self.kind.probe(message, self.latest)
        {
            if self.expected(guessing) == Some(raw) {
                self.came(point, message, stage);
                return Ok(());
            }
            if K::may_be_attributes(raw) {
                return self.look_up(
                    RouteLookup::new(Unrouted { point, message, walked: false }, raw),
                    guessing,
                    stage,
                );
            }
        }
        self.walk(message, guessing, stage)
    }

    #[inline]
    fn expected(&self, guessing: bool) -> Option<&[u8]> {
        if guessing { self.resolver.expected(&self.prediction) } else { None }
    }

    /// The point is what the order says.
    #[inline(always)]
    fn came(&mut self, point: K::Staged<'a>, message: &'a [u8], stage: &mut Stage<'a>) {
        stage.predicted += 1;
        self.put(self.prediction.guess(), point, message, stage);
        self.resolver.came(&mut self.prediction, K::expected_bytes(message));
        self.waiting.hit();
    }

    /// Stages a point whose route is known, or does what rules say of it.
    #[inline(always)]
    fn put(&mut self, route: u32, point: K::Staged<'a>, message: &'a [u8], stage: &mut Stage<'a>) {
        if ASKS && let Some(detour) = self.resolver.detour(route) {
            return self.take_detour(detour, point, message, stage);
        }
        K::stage(stage, PointTarget::Route(route), point, message);
    }

    /// Counts a point whose route leads nowhere, or stages it as it goes on.
    fn take_detour(&mut self, detour: Detour, point: K::Staged<'a>, message: &'a [u8], stage: &mut Stage<'a>) {
        let (kind, arena) = (self.key.kind, self.arena);
        match detour {
            Detour::Nowhere(rule) => {
                stage.pass();
                stage.discard(kind, Discard::Rule, rule, 1);
            }
            Detour::Scaled { to, by } => match point.scaled(by, arena) {
                Ok(point) => {
                    let message = K::scaled_message(&point, message, by, arena);
                    K::stage(stage, PointTarget::Route(to), point, message);
                }
                Err(reason) => stage.reject(kind, reason, 1),
            },
        }
    }

    /// Reads a point field by field.
    #[inline]
    fn walk(&mut self, message: &'a [u8], mut guessing: bool, stage: &mut Stage<'a>) -> Result<(), Fault> {
        let mut point =
            K::read(message, self.expected(guessing), self.arena).map_err(|fault| fault.named(K::MESSAGE))?;
        if K::HAS_BOUNDS && (!self.is_begun || K::bounds(&point) != self.key.bounds) {
            // another set of bounds is another stream (M21); the points of one metric nearly always share one
            if self.is_begun {
                self.finish(stage)?;
            }
            self.key.bounds = K::bounds(&point);
            self.begin(stage)?;
            guessing = self.waiting.may_guess();
            point = K::read(message, self.expected(guessing), self.arena)?;
        }
        let Some(checked) = self.check(&mut point, stage)? else { return Ok(()) };
        match K::attributes(&point) {
            Attributes::Expected => {
                self.came(K::staged(point, checked), message, stage);
                Ok(())
            }
            Attributes::Run(raw) => {
                let point = K::staged(point, checked);
                self.look_up(RouteLookup::new(Unrouted { point, message, walked: true }, raw), guessing, stage)
            }
        }
    }

    /// Checks a point that was walked; nothing if it is rejected.
    #[inline]
    fn check(&self, point: &mut K::Read<'a>, stage: &mut Stage<'a>) -> Result<Option<K::Checked>, Fault> {
        let known = self.prediction.stream().is_some();
        match self.kind.check(point, known, self.latest, &mut stage.sums_dropped) {
            Ok(checked) => Ok(Some(checked)),
            Err(reason) => {
                if let Attributes::Run(raw) = K::attributes(point) {
                    // a point that is rejected must be well-formed all the same
                    let key_byte = key_byte(self.key.kind);
                    let _ = attributes::normalise(raw, key_byte, Limits::DEFAULT, &mut Vec::new())?;
                }
                stage.reject(self.key.kind, reason, 1);
                Ok(None)
            }
        }
    }

    /// The point is not what the order says.
    #[inline]
    fn look_up(
        &mut self,
        lookup: RouteLookup<'a, Unrouted<'a, K::Staged<'a>>>,
        guessing: bool,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        stage.lookups += 1;
        if guessing && let Some(route) = self.resolver.skipped_to(&mut self.prediction, lookup.raw) {
            self.waiting.hit();
            self.put(route, lookup.point.point, lookup.point.message, stage);
            return Ok(());
        }
        let stream = self.prediction.stream();
        if let Some(behind) = self.resolver.begin_look_up(stream, lookup, &mut self.waiting, self.arena) {
            self.resolve(behind, stage)?;
            self.waiting.resolved();
        }
        Ok(())
    }

    /// Looks up points whose route was not predicted, in steps (`Resolver::advance`).
    fn resolve(&mut self, behind: Lags, stage: &mut Stage<'a>) -> Result<(), Fault> {
        self.resolver.advance(self.prediction.stream(), &mut self.waiting, behind);
        while let Some(lookup) = self.waiting.next(behind) {
            self.resolve_one(lookup, stage)?;
        }
        Ok(())
    }

    #[inline]
    fn resolve_one(
        &mut self,
        lookup: RouteLookup<'a, Unrouted<'a, K::Staged<'a>>>,
        stage: &mut Stage<'a>,
    ) -> Result<(), Fault> {
        let stream = self.prediction.stream();
        let mut found = self.resolver.known(stream, &lookup);
        let (Unrouted { mut point, message, walked }, mut raw) = (lookup.point, lookup.raw);
        if found.is_none() && !walked {
            // new, or of a layout that only looked fixed
            let mut read = K::read(message, None, self.arena).map_err(|fault| fault.named(K::MESSAGE))?;
            let (Some(checked), Attributes::Run(attributes)) = (self.check(&mut read, stage)?, K::attributes(&read))
            else {
                stage.lookups -= 1;
                return Ok(());
            };
            point = K::staged(read, checked);
            if let Some(stream) = stream.filter(|_| attributes != raw) {
                found = self.resolver.find(stream, attributes);
            }
            raw = attributes;
        }
        match found {
            Some(route) => {
                self.resolver.learn(&mut self.prediction, route);
                self.put(route, point, message, stage);
            }
            None => {
                if let Some(birth) = self.birth(raw, stage)? {
                    self.prediction.came_new();
                    K::stage(stage, PointTarget::Birth(birth), point, message);
                }
            }
        }
        Ok(())
    }

    /// Stages the birth of a route: its attributes are read here, so that commit cannot fault. Its place in `Stage.pending`;
    /// nothing if the attributes are not acceptable.
    #[cold]
    #[inline(never)]
    fn birth(&mut self, raw: &'a [u8], stage: &mut Stage<'a>) -> Result<Option<u32>, Fault> {
        if let Some(birth) = stage.pending.again(self.context, raw) {
            return Ok(Some(birth));
        }
        stage.coded += raw.len();
        let (resource, scope) = self.metric.envelope();
        let of = (resource, scope, &self.key);
        let to = (&mut stage.pending, &mut self.context);
        match self.resolver.expect_birth(raw, of, to, &Otlp(stage.limits), self.arena)? {
            Ok(birth) => Ok(Some(birth)),
            Err(bad) => {
                stage.reject(self.key.kind, bad.into(), 1);
                Ok(None)
            }
        }
    }
}
