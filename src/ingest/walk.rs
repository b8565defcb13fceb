//! The walk over a request's envelope: resources, scopes, metrics, and the order to read their points. It stops where a
//! slice of work is done, and goes on there.
//!
//! Knows where it is and what is found again by its bytes; does not know what becomes of points, nor what a slice is for
//! (`slices`).
//!
//! Invariant: a walk that is taken up again counts no message twice, and checks no head twice.
//!
//! Bounds: between two looks at what was done lie at most `Slice::chunk_bytes` of points, or one metric's head.

use super::check::check_head;
use super::heads::{head_of, read_long};
use super::histograms::{ExplicitHistograms, ExponentialHistograms};
use super::kind::PointKind;
use super::metric::MetricWalk;
use super::numbers::Numbers;
use super::points::Points;
use super::position::{Position, Walked};
use super::stage::{Slice, Stage};
use super::summaries::SummaryPoints;
use crate::limits::{HEAD_BYTES_WHOLE, MESSAGE_BYTES_MAX, UNIT_BYTES_MAX};
use crate::model::{Discard, Kind, Reject, Temporality};
use crate::otlp::check::check_point;
use crate::otlp::cut::Root;
use crate::otlp::request::{self, DataHead, Each, MetricHead};
use crate::otlp::schema::Message;
use crate::resolve::{About, EnvelopeKey, NONE, Resolver, StreamKey};
use crate::wire::Fault;
use bumpalo::Bump;

/// A head that is not known is checked, and then written in its one encoding: so many times as much as attributes of a point.
const HEAD_CODED: usize = 2;

/// Levels of what is read in steps.
const RESOURCE: usize = 0;
const SCOPE: usize = 1;
const METRIC: usize = 2;

/// What is known of the resource at hand.
struct ResourceWalk<'a> {
    head: EnvelopeKey<'a>,
    /// It was looked for; what was found.
    found: Option<Option<u32>>,
    /// It is of a replica that does not count: by which number its points are counted.
    standby: Option<u32>,
}

/// A request, or a slice of it, that is being read.
pub(super) struct RequestWalk<'r, 'a> {
    resolver: &'r mut Resolver,
    stage: &'r mut Stage<'a>,
    arena: &'a Bump,
    /// The latest time that a point may have, nanoseconds.
    latest: u64,
    slice: Slice,
}

impl<'r, 'a> RequestWalk<'r, 'a> {
    /// What is found is staged in `stage`.
    pub(super) const fn new(
        resolver: &'r mut Resolver,
        stage: &'r mut Stage<'a>,
        arena: &'a Bump,
        latest: u64,
        slice: Slice,
    ) -> Self {
        RequestWalk { resolver, stage, arena, latest, slice }
    }

    /// Walks `body` from `at` on, until all of it or a slice is staged.
    pub(super) fn walk(&mut self, body: &'a [u8], at: &mut Position) -> Result<Walked, Fault> {
        let mut resources = Each::new(body, 1, at.resource);
        loop {
            at.resource = resources.at();
            if self.is_full() {
                return Ok(Walked::Part);
            }
            let Some(message) = resources.one()? else { return Ok(Walked::All) };
            if self.resource(message, at)? == Walked::Part {
                return Ok(Walked::Part);
            }
        }
    }

    fn resource(&mut self, message: &'a [u8], at: &mut Position) -> Result<Walked, Fault> {
        if at.depth == 0 {
            self.stage.count_head()?;
            *at = Position {
                depth: 1,
                scope: 0,
                resource_head: None,
                resource_checked: at.checked,
                resource_coded: false,
                last_scope: NONE,
                ..*at
            };
            self.stage.longs[RESOURCE] = None;
        }
        let (seen, room) = ((&mut at.resource_head, &mut at.resource_checked), (self.arena, self.room_ns()));
        let head = head_of(message, (RESOURCE, Root::Resource), seen, room, self.stage);
        let Some(head) = head.map_err(|f| f.named("ResourceMetrics"))? else { return Ok(Walked::Part) };
        // looked for only once there is a metric under it: a million empty ones are not worth a million look-ups
        let mut walk = ResourceWalk { head, found: None, standby: None };
        let mut scopes = Each::new(message, 2, at.scope);
        loop {
            at.scope = scopes.at();
            if self.is_full() {
                return Ok(Walked::Part);
            }
            let Some(message) = scopes.one()? else { break };
            if self.scope(message, &mut walk, at)? == Walked::Part {
                return Ok(Walked::Part);
            }
        }
        if !at.resource_checked {
            check_head(&head, Message::Resource, "Resource")?;
        }
        at.depth = 0;
        if let Some(Some(id)) = walk.found {
            at.last_resource = id;
        }
        Ok(Walked::All)
    }

    fn scope(
        &mut self,
        message: &'a [u8],
        resource: &mut ResourceWalk<'a>,
        at: &mut Position,
    ) -> Result<Walked, Fault> {
        if at.depth == 1 {
            self.stage.count_head()?;
            let (scope_checked, scope_coded) = (at.checked, false);
            *at = Position {
                depth: 2,
                metric: 0,
                scope_head: None,
                scope_checked,
                scope_coded,
                last_stream: NONE,
                ..*at
            };
            self.stage.longs[SCOPE] = None;
        }
        let (seen, room) = ((&mut at.scope_head, &mut at.scope_checked), (self.arena, self.room_ns()));
        let scope = head_of(message, (SCOPE, Root::Scope), seen, room, self.stage);
        let Some(scope) = scope.map_err(|f| f.named("ScopeMetrics"))? else { return Ok(Walked::Part) };
        let mut walk = MetricWalk::new(resource.head, scope, at.last_stream, at.last_route);
        let mut is_looked_for = false;
        let mut metrics = Each::new(message, 2, at.metric);
        loop {
            at.metric = metrics.at();
            if self.is_full() {
                at.last_stream = walk.last_stream();
                return Ok(Walked::Part);
            }
            let Some(message) = metrics.one()? else { break };
            if !is_looked_for {
                is_looked_for = true;
                self.look_for(resource, &mut walk, at)?;
            }
            if self.metric(message, &mut walk, at)? == Walked::Part {
                return Ok(Walked::Part);
            }
        }
        if !at.scope_checked {
            check_head(&scope, Message::Scope, "InstrumentationScope")?;
        }
        at.depth = 1;
        if let Some(id) = walk.scope_id() {
            at.last_scope = id;
        }
        Ok(Walked::All)
    }

    /// Finds resource and scope of the metrics that follow; what is not known is checked.
    fn look_for(
        &mut self,
        resource: &mut ResourceWalk<'_>,
        walk: &mut MetricWalk<'_>,
        at: &mut Position,
    ) -> Result<(), Fault> {
        let head = resource.head;
        let known = *resource.found.get_or_insert_with(|| {
            let found = self.resolver.resource(at.last_resource, &head);
            if self.resolver.asks() {
                resource.standby = found.and_then(|id| self.standby(id));
            }
            found
        });
        walk.stands_by(resource.standby);
        if known.is_none() && !std::mem::replace(&mut at.resource_coded, true) {
            self.stage.coded += HEAD_CODED * head.bytes.len();
        }
        if known.is_none() && !at.resource_checked {
            check_head(&head, Message::Resource, "Resource")?;
        }
        at.resource_checked = true;
        let scope = *walk.envelope().1;
        let found = known.and_then(|resource| self.resolver.scope(resource, at.last_scope, &scope));
        walk.found_scope(found);
        if found.is_none() && !std::mem::replace(&mut at.scope_coded, true) {
            self.stage.coded += HEAD_CODED * scope.bytes.len();
        }
        if found.is_none() && !at.scope_checked {
            check_head(&scope, Message::Scope, "InstrumentationScope")?;
        }
        at.scope_checked = true;
        Ok(())
    }

    /// If a resource does not count, by which number its points are counted. What may yet turn out malformed elects nobody.
    fn standby(&mut self, resource: u32) -> Option<u32> {
        if self.stage.is_sound {
            return self.resolver.standby(resource);
        }
        let standby = self.resolver.would_stand_by(resource);
        if standby.is_none() && !self.stage.is_dry && self.resolver.is_replica(resource) {
            self.stage.elects.push(resource);
        }
        standby
    }

    fn metric(&mut self, message: &'a [u8], walk: &mut MetricWalk<'a>, at: &mut Position) -> Result<Walked, Fault> {
        if at.depth < 3 {
            self.stage.count_head()?;
            if message.is_empty() {
                return Ok(Walked::All);
            }
            at.last_stream = walk.last_stream();
            walk.begin();
            (at.point, at.metric_checked) = (0, at.checked);
            self.stage.longs[METRIC] = None;
        }
        let before = self.arena.allocated_bytes();
        let Some(metric) = self.metric_head(message, at).map_err(|f| f.named("Metric"))? else {
            // it is read on in the next slice
            at.depth = 3;
            return Ok(Walked::Part);
        };
        self.stage.joined += self.arena.allocated_bytes() - before;
        walk.set_checked(at.metric_checked);
        self.stage.current = (walk.envelope().0.bytes, metric.name);
        let Some((kind, data)) = metric.data else {
            self.stage.walked += message.len().min(HEAD_BYTES_WHOLE);
            walk.check((metric.name, metric.description, metric.unit))?;
            at.depth = 2;
            return Ok(Walked::All);
        };
        if at.depth < 4 {
            at.data = request::data_head(kind, data).map_err(|f| f.named("Metric.data"))?;
            self.stage.count(at.data.points as u64)?;
            // what there is more was paid for as it was read
            self.stage.walked += message.len().saturating_sub(data.len()).min(HEAD_BYTES_WHOLE);
        }
        let head = at.data;
        at.depth = 4;
        let from = at.point;
        let walked = self.points((kind, data), (metric, head), walk, at)?;
        at.metric_checked = walk.is_checked();
        self.stage.points[kind as usize] += points_walked(kind, data, head, from..at.point, walked)?;
        walk.described(self.stage);
        if walked == Walked::All {
            at.depth = 2;
        }
        Ok(walked)
    }

    /// The head of a metric; nothing if it is read in steps, and is not at its end.
    #[inline]
    fn metric_head(&mut self, message: &'a [u8], at: &mut Position) -> Result<Option<MetricHead<'a>>, Fault> {
        if self.stage.longs[METRIC].is_none()
            && let Some(head) = request::metric(message, at.metric_checked, self.arena)?
        {
            return Ok(Some(head));
        }
        if !read_long(message, (METRIC, Root::Metric), self.room_ns(), self.stage)? {
            return Ok(None);
        }
        self.stage.longs[METRIC] = None;
        at.metric_checked = true;
        request::metric(message, true, self.arena)
    }

    /// Work that is left to this slice, nanoseconds.
    #[inline]
    fn room_ns(&self) -> u64 {
        self.slice.cost_ns.saturating_sub(self.stage.cost_ns())
    }

    fn points(
        &mut self,
        (kind, data): (Kind, &'a [u8]),
        (metric, head): (MetricHead<'a>, DataHead),
        walk: &mut MetricWalk<'a>,
        at: &mut Position,
    ) -> Result<Walked, Fault> {
        let temporality = match (kind, head.temporality) {
            (Kind::Gauge | Kind::Summary, _) | (_, 2) => Ok(Temporality::Cumulative),
            (_, 1) => Ok(Temporality::Delta),
            _ => Err(Reject::NoTemporality),
        };
        let refused = if metric.name.is_empty() {
            Some(Reject::EmptyName)
        } else if metric.name.len() > self.stage.limits.name_bytes {
            Some(Reject::LongName)
        } else if metric.unit.len() > UNIT_BYTES_MAX {
            Some(Reject::LongUnit)
        } else {
            temporality.err()
        };
        if head.points == 0 || refused.is_some() {
            walk.check((metric.name, metric.description, metric.unit))?;
            let from = at.point;
            let walked = self.pass_by((kind, data), at)?;
            if let Some(reason) = refused {
                self.stage.reject(kind, reason, points_walked(kind, data, head, from..at.point, walked)?);
            }
            return Ok(walked);
        }
        let key = StreamKey {
            name: metric.name,
            unit: metric.unit,
            about: About { description: metric.description, hints: metric.hints },
            kind,
            temporality: temporality.unwrap_or(Temporality::Cumulative),
            monotonic: head.monotonic,
            bounds: &[],
        };
        if !self.resolver.asks() {
            return self.points_by::<false>((kind, data), head, key, walk, at);
        }
        let discarded = match walk.standby() {
            Some(number) => {
                walk.check((metric.name, metric.description, metric.unit))?;
                Some((Discard::Dedup, number))
            }
            None => walk.discarded(&key, self.resolver, self.stage)?.map(|rule| (Discard::Rule, rule)),
        };
        if let Some((why, number)) = discarded {
            let from = at.point;
            let walked = self.pass_by((kind, data), at)?;
            let points = points_walked(kind, data, head, from..at.point, walked)?;
            self.stage.discard(kind, why, number, points);
            return Ok(walked);
        }
        self.points_by::<true>((kind, data), head, key, walk, at)
    }

    /// Walks points that are not used: they must be well-formed all the same.
    fn pass_by(&mut self, (kind, data): (Kind, &'a [u8]), at: &mut Position) -> Result<Walked, Fault> {
        let arena = self.arena;
        each_point(data, at, self.slice, arena, self.stage, |message, stage| {
            stage.pass();
            check_point(kind, message, arena)
        })
    }

    /// Walks the points of a stream of this key.
    fn points_by<const ASKS: bool>(
        &mut self,
        (kind, data): (Kind, &'a [u8]),
        head: DataHead,
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Position,
    ) -> Result<Walked, Fault> {
        let walked = match kind {
            Kind::Gauge | Kind::Sum => {
                self.stage.reserve_numbers(head.points);
                self.points_of::<_, ASKS>(Numbers::of(&key), data, key, walk, at)
            }
            Kind::Histogram => self.points_of::<_, ASKS>(ExplicitHistograms, data, key, walk, at),
            Kind::ExponentialHistogram => self.points_of::<_, ASKS>(ExponentialHistograms, data, key, walk, at),
            Kind::Summary => self.points_of::<_, ASKS>(SummaryPoints, data, key, walk, at),
        }?;
        self.stage.ran(kind);
        Ok(walked)
    }

    fn points_of<K: PointKind, const ASKS: bool>(
        &mut self,
        kind: K,
        data: &'a [u8],
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Position,
    ) -> Result<Walked, Fault> {
        let mut points = Points::<K, ASKS>::new(kind, key, walk, self.resolver, self.stage, self.arena, self.latest)?;
        let walked =
            each_point(data, at, self.slice, self.arena, self.stage, |message, stage| points.one(message, stage))?;
        at.last_route = points.end(self.stage)?;
        Ok(walked)
    }

    /// Whether enough is staged for one go.
    #[inline]
    fn is_full(&self) -> bool {
        self.stage.is_full(self.slice, self.arena)
    }
}

/// Calls `visit` with the points of `data` from `at` on, until a slice is done.
#[inline]
fn each_point<'a>(
    data: &'a [u8],
    at: &mut Position,
    slice: Slice,
    arena: &'a Bump,
    stage: &mut Stage<'a>,
    mut visit: impl FnMut(&'a [u8], &mut Stage<'a>) -> Result<(), Fault>,
) -> Result<Walked, Fault> {
    let mut points = Each::new(data, 1, at.point).up_to(MESSAGE_BYTES_MAX);
    loop {
        points.within(slice.chunk_bytes, |message| visit(message, stage))?;
        stage.walked += points.at() - at.point;
        at.point = points.at();
        if points.is_over() {
            return Ok(Walked::All);
        }
        if stage.is_full(slice, arena) {
            return Ok(Walked::Part);
        }
    }
}

/// Points of `data` in the `range` that was walked now: all of them, as they were counted, but where the walk stopped.
fn points_walked(
    kind: Kind,
    data: &[u8],
    all: DataHead,
    range: std::ops::Range<usize>,
    walked: Walked,
) -> Result<u64, Fault> {
    if range.start == 0 && walked == Walked::All {
        return Ok(all.points as u64);
    }
    Ok(request::data_head(kind, &data[range])?.points as u64)
}
