//! The walk over a request's envelope: resources, scopes, metrics, and the order to read their points. It stops where a
//! slice of work is done, and goes on there.
//!
//! Knows where it is and what is found again by its bytes; does not know what becomes of points, nor what a slice is for
//! (`slices`).
//!
//! Invariants
//! 1. A place is made of bytes within the messages that enclose it, so it holds for the same body only, and says nothing of
//!    contexts or routes: those may have gone when the walk goes on. What it keeps of them are hints.
//! 2. A walk that is taken up again counts no message twice, and checks no head twice.
//!
//! Bounds: between two looks at what was done lie at most `Slice::chunk_bytes` of points, or one metric's head.

use super::Ingest;
use super::check::{check_head, check_metric};
use super::stage::{List, Long, Stage};
use crate::limits::{EXPORT_SLICE_NS, HEAD_BYTES_WHOLE, MESSAGE_BYTES_MAX, STAGE_SLICE_BYTES, UNIT_BYTES_MAX};
use crate::model::{Kind, Reject, Temporality};
use crate::otlp::check::check_point;
use crate::otlp::cut::{Cutter, Root};
use crate::otlp::request::{self, DataHead, Each, Head, MetricHead};
use crate::otlp::schema::Message;
use crate::resolve::{About, EnvelopeKey, NONE, Prediction, StreamKey};
use crate::wire::{Fault, check_utf8};
use bumpalo::Bump;

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end.
    All,
    /// A slice is done.
    Part,
}

/// Where a walk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Levels that are begun: a resource, a scope of it, a metric of that, and its points.
    depth: u8,
    /// All heads were checked before.
    checked: bool,
    /// Where the resource at hand, or the next one, begins in the body; likewise the scope in it, the metric in that, and
    /// the next point in its data.
    resource: usize,
    scope: usize,
    metric: usize,
    point: usize,
    /// What heads of the resource and the scope at hand say, where in them; and what the data say: finding it takes a look
    /// at all that lies under them.
    resource_head: Option<HeadPlace>,
    scope_head: Option<HeadPlace>,
    data: DataHead,
    /// The heads of the resource and of the scope at hand are checked or known.
    resource_checked: bool,
    scope_checked: bool,
    /// What it takes to write them in their one encoding, if they are not known, is in the account: once, and not in each
    /// slice, whose room it may be.
    resource_coded: bool,
    scope_coded: bool,
    /// The texts and metadata of the metric at hand are checked.
    metric_checked: bool,
    /// Hints: the resource before the one at hand, the scope, the stream, and the last point's route.
    last_resource: u32,
    last_scope: u32,
    last_stream: u32,
    pub(super) last_route: u32,
}

impl Place {
    /// Before everything.
    pub(super) const START: Place = Place {
        depth: 0,
        checked: false,
        resource: 0,
        scope: 0,
        metric: 0,
        point: 0,
        resource_head: None,
        scope_head: None,
        data: DataHead { temporality: 0, monotonic: false, points: 0 },
        resource_checked: false,
        scope_checked: false,
        resource_coded: false,
        scope_coded: false,
        metric_checked: false,
        last_resource: NONE,
        last_scope: NONE,
        last_stream: NONE,
        last_route: NONE,
    };

    /// Before everything, of a body that was walked to its end.
    pub(super) const AGAIN: Place = Place { checked: true, ..Place::START };
}

/// Where a head's parts lie in its message: first byte and length.
#[derive(Clone, Copy, Debug)]
struct HeadPlace([(usize, usize); 2]);

impl HeadPlace {
    /// Nothing if they came in parts and were joined elsewhere.
    fn of(head: &EnvelopeKey<'_>, message: &[u8]) -> Option<HeadPlace> {
        let place = |part: &[u8]| {
            let from = part.as_ptr().addr().wrapping_sub(message.as_ptr().addr());
            let is_inside = from <= message.len() && part.len() <= message.len() - from;
            (is_inside || part.is_empty()).then_some(if part.is_empty() { (0, 0) } else { (from, part.len()) })
        };
        Some(HeadPlace([place(head.bytes)?, place(head.schema_url)?]))
    }

    fn head(self, message: &[u8]) -> EnvelopeKey<'_> {
        let [bytes, schema_url] = self.0.map(|(from, length)| &message[from..from + length]);
        EnvelopeKey { bytes, schema_url, is_cut: false }
    }
}

/// A head that is not known is checked, and then written in its one encoding: so many times as much as attributes of a point.
const HEAD_CODED: usize = 2;

/// Levels of what is read in steps.
const RESOURCE: usize = 0;
const SCOPE: usize = 1;
const METRIC: usize = 2;

/// The head of a resource or a scope, found again where it was; nothing if it is read in steps, and is not at its end.
fn head_of<'a>(
    message: &'a [u8],
    (level, root): (usize, Root),
    (place, checked): (&mut Option<HeadPlace>, &mut bool),
    (arena, room_ns): (&'a Bump, u64),
    stage: &mut Stage<'a>,
) -> Result<Option<EnvelopeKey<'a>>, Fault> {
    if let Some(place) = place {
        return Ok(Some(place.head(message)));
    }
    let before = arena.allocated_bytes();
    let mut head = None;
    if stage.longs[level].is_none() {
        head = request::head(message, arena)?.map(|head| {
            let Head { bytes, schema_url, is_cut } = head;
            EnvelopeKey { bytes, schema_url, is_cut }
        });
        *place = head.as_ref().and_then(|head| HeadPlace::of(head, message));
    }
    if head.is_none() {
        head = long_head(message, (level, root), (arena, room_ns), stage)?;
        *checked |= head.is_some();
    }
    stage.joined += arena.allocated_bytes() - before;
    Ok(head)
}

/// As `head_of`, of one that is read in steps.
#[cold]
#[inline(never)]
fn long_head<'a>(
    message: &'a [u8],
    (level, root): (usize, Root),
    (arena, room_ns): (&'a Bump, u64),
    stage: &mut Stage<'a>,
) -> Result<Option<EnvelopeKey<'a>>, Fault> {
    if !read_long(message, (level, root), room_ns, stage)? {
        return Ok(None);
    }
    let Some(Long::Read(cut)) = &stage.longs[level] else { return Ok(None) };
    Ok(Some(EnvelopeKey {
        bytes: arena.alloc_slice_copy(&cut.bytes),
        schema_url: arena.alloc_slice_copy(&cut.schema_url),
        is_cut: cut.is_cut,
    }))
}

/// Reads on in what is long; whether it is at its end.
fn read_long(message: &[u8], (level, root): (usize, Root), room_ns: u64, stage: &mut Stage<'_>) -> Result<bool, Fault> {
    let begin = || Long::Reading(Box::new(Cutter::new(root, message.len(), stage.limits)));
    let mut long = stage.longs[level].take().unwrap_or_else(begin);
    let mut left_ns = room_ns.max(1);
    if let Long::Reading(cutter) = &mut long {
        let is_over = cutter.advance(message, &mut left_ns)?;
        stage.work(room_ns.max(1) - left_ns);
        if !is_over {
            stage.longs[level] = Some(long);
            return Ok(false);
        }
    }
    if let Long::Reading(cutter) = long {
        long = Long::Read(cutter.end(message)?);
    }
    stage.longs[level] = Some(long);
    Ok(true)
}

/// What is known of the resource at hand.
struct ResourceWalk<'a> {
    head: EnvelopeKey<'a>,
    /// It was looked for; what was found.
    found: Option<Option<u32>>,
}

/// What is known of the metric at hand.
pub(super) struct MetricWalk<'a> {
    pub(super) resource: EnvelopeKey<'a>,
    pub(super) scope: EnvelopeKey<'a>,
    scope_id: Option<u32>,
    last_stream: u32,
    /// A stream, what came with it that is news, and how many points were staged before it.
    news: Option<(u32, About<'a>, usize)>,
    /// The route of the last point, if the walk goes on in the midst of a metric.
    last_route: u32,
    /// The texts of the metric at hand are checked.
    is_checked: bool,
}

impl MetricWalk<'_> {
    /// Checks name, description and unit of the metric at hand, once.
    fn check(&mut self, texts: (&[u8], &[u8], &[u8])) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_checked, true) { Ok(()) } else { check_metric(texts) }
    }
}

impl Ingest {
    /// Walks `body` from `at` on, until all of it or a slice is staged.
    pub(super) fn walk<'a>(
        &mut self,
        body: &'a [u8],
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let mut resources = Each::new(body, 1, at.resource);
        loop {
            at.resource = resources.at();
            if self.is_full(stage, arena) {
                return Ok(Walked::Part);
            }
            let Some(message) = resources.one()? else { return Ok(Walked::All) };
            if self.resource(message, at, arena, stage)? == Walked::Part {
                return Ok(Walked::Part);
            }
        }
    }

    fn resource<'a>(
        &mut self,
        message: &'a [u8],
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        if at.depth == 0 {
            stage.count_head()?;
            *at = Place {
                depth: 1,
                scope: 0,
                resource_head: None,
                resource_checked: at.checked,
                resource_coded: false,
                last_scope: NONE,
                ..*at
            };
            stage.longs[RESOURCE] = None;
        }
        let (seen, room) = ((&mut at.resource_head, &mut at.resource_checked), (arena, self.room_ns(stage)));
        let head = head_of(message, (RESOURCE, Root::Resource), seen, room, stage);
        let Some(head) = head.map_err(|f| f.named("ResourceMetrics"))? else { return Ok(Walked::Part) };
        // looked for only once there is a metric under it: a million empty ones are not worth a million look-ups
        let mut walk = ResourceWalk { head, found: None };
        let mut scopes = Each::new(message, 2, at.scope);
        loop {
            at.scope = scopes.at();
            if self.is_full(stage, arena) {
                return Ok(Walked::Part);
            }
            let Some(message) = scopes.one()? else { break };
            if self.scope(message, &mut walk, at, arena, stage)? == Walked::Part {
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

    fn scope<'a>(
        &mut self,
        message: &'a [u8],
        resource: &mut ResourceWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        if at.depth == 1 {
            stage.count_head()?;
            let (scope_checked, scope_coded) = (at.checked, false);
            *at = Place { depth: 2, metric: 0, scope_head: None, scope_checked, scope_coded, last_stream: NONE, ..*at };
            stage.longs[SCOPE] = None;
        }
        let (seen, room) = ((&mut at.scope_head, &mut at.scope_checked), (arena, self.room_ns(stage)));
        let scope = head_of(message, (SCOPE, Root::Scope), seen, room, stage);
        let Some(scope) = scope.map_err(|f| f.named("ScopeMetrics"))? else { return Ok(Walked::Part) };
        let mut walk = MetricWalk {
            resource: resource.head,
            scope,
            scope_id: None,
            last_stream: at.last_stream,
            news: None,
            last_route: at.last_route,
            is_checked: false,
        };
        let mut is_looked_for = false;
        let mut metrics = Each::new(message, 2, at.metric);
        loop {
            at.metric = metrics.at();
            if self.is_full(stage, arena) {
                at.last_stream = walk.last_stream;
                return Ok(Walked::Part);
            }
            let Some(message) = metrics.one()? else { break };
            if !is_looked_for {
                is_looked_for = true;
                self.look_for(resource, &mut walk, at, stage)?;
            }
            if self.metric(message, &mut walk, at, arena, stage)? == Walked::Part {
                return Ok(Walked::Part);
            }
        }
        if !at.scope_checked {
            check_head(&scope, Message::Scope, "InstrumentationScope")?;
        }
        at.depth = 1;
        if let Some(id) = walk.scope_id {
            at.last_scope = id;
        }
        Ok(Walked::All)
    }

    /// Finds resource and scope of the metrics that follow; what is not known is checked.
    fn look_for(
        &mut self,
        resource: &mut ResourceWalk<'_>,
        walk: &mut MetricWalk<'_>,
        at: &mut Place,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let head = resource.head;
        let known = *resource.found.get_or_insert_with(|| self.resolver.resource(at.last_resource, &head));
        if known.is_none() && !std::mem::replace(&mut at.resource_coded, true) {
            stage.coded += HEAD_CODED * head.bytes.len();
        }
        if known.is_none() && !at.resource_checked {
            check_head(&head, Message::Resource, "Resource")?;
        }
        at.resource_checked = true;
        walk.scope_id = known.and_then(|resource| self.resolver.scope(resource, at.last_scope, &walk.scope));
        if walk.scope_id.is_none() && !std::mem::replace(&mut at.scope_coded, true) {
            stage.coded += HEAD_CODED * walk.scope.bytes.len();
        }
        if walk.scope_id.is_none() && !at.scope_checked {
            check_head(&walk.scope, Message::Scope, "InstrumentationScope")?;
        }
        at.scope_checked = true;
        Ok(())
    }

    fn metric<'a>(
        &mut self,
        message: &'a [u8],
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        if at.depth < 3 {
            stage.count_head()?;
            if message.is_empty() {
                return Ok(Walked::All);
            }
            (at.last_stream, walk.last_route) = (walk.last_stream, NONE);
            (at.point, at.metric_checked) = (0, at.checked);
            stage.longs[METRIC] = None;
        }
        let before = arena.allocated_bytes();
        let Some(metric) = self.metric_head(message, at, arena, stage).map_err(|f| f.named("Metric"))? else {
            // it is read on in the next slice
            at.depth = 3;
            return Ok(Walked::Part);
        };
        stage.joined += arena.allocated_bytes() - before;
        walk.is_checked = at.metric_checked;
        stage.current = (walk.resource.bytes, metric.name);
        let Some((kind, data)) = metric.data else {
            stage.walked += message.len().min(HEAD_BYTES_WHOLE);
            walk.check((metric.name, metric.description, metric.unit))?;
            at.depth = 2;
            return Ok(Walked::All);
        };
        if at.depth < 4 {
            at.data = request::data_head(kind, data).map_err(|f| f.named("Metric.data"))?;
            stage.count(at.data.points as u64)?;
            // what there is more was paid for as it was read
            stage.walked += message.len().saturating_sub(data.len()).min(HEAD_BYTES_WHOLE);
        }
        let head = at.data;
        at.depth = 4;
        let from = at.point;
        let walked = self.points((kind, data), (metric, head), walk, at, arena, stage)?;
        at.metric_checked = walk.is_checked;
        stage.points[kind as usize] += points_walked(kind, data, head, from..at.point, walked)?;
        self.described(walk, stage);
        if walked == Walked::All {
            at.depth = 2;
        }
        Ok(walked)
    }

    /// The head of a metric; nothing if it is read in steps, and is not at its end.
    #[inline]
    fn metric_head<'a>(
        &self,
        message: &'a [u8],
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Option<MetricHead<'a>>, Fault> {
        if stage.longs[METRIC].is_none()
            && let Some(head) = request::metric(message, at.metric_checked, arena)?
        {
            return Ok(Some(head));
        }
        if !read_long(message, (METRIC, Root::Metric), self.room_ns(stage), stage)? {
            return Ok(None);
        }
        stage.longs[METRIC] = None;
        at.metric_checked = true;
        request::metric(message, true, arena)
    }

    /// Work that is left to this slice, nanoseconds.
    #[inline]
    fn room_ns(&self, stage: &Stage<'_>) -> u64 {
        self.slice.cost_ns.saturating_sub(stage.cost_ns(self.staged.len()))
    }

    fn points<'a>(
        &mut self,
        (kind, data): (Kind, &'a [u8]),
        (metric, head): (MetricHead<'a>, DataHead),
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let temporality = match (kind, head.temporality) {
            (Kind::Gauge | Kind::Summary, _) | (_, 2) => Ok(Temporality::Cumulative),
            (_, 1) => Ok(Temporality::Delta),
            _ => Err(Reject::NoTemporality),
        };
        let refused = if metric.name.is_empty() {
            Some(Reject::EmptyName)
        } else if metric.name.len() > stage.limits.name_bytes {
            Some(Reject::LongName)
        } else if metric.unit.len() > UNIT_BYTES_MAX {
            Some(Reject::LongUnit)
        } else {
            temporality.err()
        };
        if head.points == 0 || refused.is_some() {
            walk.check((metric.name, metric.description, metric.unit))?;
            let from = at.point;
            let walked = self.each_point(data, at, arena, stage, |_, message, stage| {
                stage.pass();
                check_point(kind, message, arena)
            })?;
            if let Some(reason) = refused {
                stage.reject(kind, reason, points_walked(kind, data, head, from..at.point, walked)?);
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
        let (list, walked) = match kind {
            Kind::Gauge | Kind::Sum => {
                // once, and not by doubling: clearing pages twice would cost more than the points. Counted, not claimed
                self.staged.reserve(head.points.min((EXPORT_SLICE_NS / super::stage::NUMBER_NS) as usize));
                (List::Numbers, self.numbers(data, key, walk, at, arena, stage)?)
            }
            Kind::Histogram => (List::Histograms, self.histograms(data, key, walk, at, arena, stage)?),
            Kind::ExponentialHistogram => (List::Exponentials, self.exponentials(data, key, walk, at, arena, stage)?),
            Kind::Summary => (List::Summaries, self.summaries(data, key, walk, at, arena, stage)?),
        };
        let to = match list {
            List::Numbers => self.staged.len(),
            List::Histograms => stage.histograms.len(),
            List::Exponentials => stage.exponentials.len(),
            List::Summaries => stage.summaries.len(),
        };
        stage.ran(list, to);
        Ok(walked)
    }

    /// Calls `visit` with the points of `data` from `at` on, until a slice is done.
    #[inline]
    pub(super) fn each_point<'a>(
        &mut self,
        data: &'a [u8],
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
        mut visit: impl FnMut(&mut Self, &'a [u8], &mut Stage<'a>) -> Result<(), Fault>,
    ) -> Result<Walked, Fault> {
        let mut points = Each::new(data, 1, at.point).up_to(MESSAGE_BYTES_MAX);
        loop {
            points.within(self.slice.chunk_bytes, |message| visit(self, message, stage))?;
            stage.walked += points.at() - at.point;
            at.point = points.at();
            if points.is_over() {
                return Ok(Walked::All);
            }
            if self.is_full(stage, arena) {
                return Ok(Walked::Part);
            }
        }
    }

    /// The order that a stream's points probably come in, from its beginning, or from where the walk was left.
    pub(super) fn predict(&self, stream: Option<u32>, walk: &mut MetricWalk<'_>) -> Prediction {
        self.resolver.predict(stream, std::mem::replace(&mut walk.last_route, NONE))
    }

    /// Whether enough is staged for one go.
    #[inline]
    fn is_full(&self, stage: &Stage<'_>, arena: &Bump) -> bool {
        let cost_ns = stage.cost_ns(self.staged.len());
        // never before something was done: each slice comes further
        cost_ns >= self.slice.cost_ns || cost_ns > 0 && arena.allocated_bytes() > stage.joined + STAGE_SLICE_BYTES
    }

    /// The stream of `key`, if it is known; its texts are checked when it is not, the description always.
    pub(super) fn stream<'a>(
        &mut self,
        walk: &mut MetricWalk<'a>,
        key: &StreamKey<'a>,
        stage: &mut Stage<'a>,
    ) -> Result<Option<u32>, Fault> {
        self.described(walk, stage);
        let known = walk.scope_id.and_then(|scope| self.resolver.stream(scope, walk.last_stream, key));
        match known {
            Some(id) => {
                walk.last_stream = id;
                if !std::mem::replace(&mut walk.is_checked, true) {
                    check_utf8(key.about.description).map_err(|f| f.named("Metric.description"))?;
                }
                if self.resolver.is_news(id, &key.about) {
                    walk.news = Some((id, key.about, self.staged.len() + stage.staged()));
                }
            }
            None => walk.check((key.name, key.about.description, key.unit))?,
        }
        Ok(known)
    }

    /// What was walked came with a longer description than any before, or says more of its type: it counts if a point
    /// of it was staged.
    #[inline]
    fn described<'a>(&self, walk: &mut MetricWalk<'a>, stage: &mut Stage<'a>) {
        if let Some((stream, about, before)) = walk.news.take()
            && self.staged.len() + stage.staged() > before
        {
            stage.descriptions.push((stream, about));
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
