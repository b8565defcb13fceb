//! What is known of the metric at hand while its points are walked.
//!
//! Knows which stream its points are of, and what came with it that is news; does not know points.

use super::check::check_metric;
use super::stage::Stage;
use crate::resolve::{About, EnvelopeKey, NONE, Prediction, Resolver, StreamKey};
use crate::wire::{Fault, check_utf8};

/// What is known of the metric at hand.
pub(super) struct MetricWalk<'a> {
    resource: EnvelopeKey<'a>,
    scope: EnvelopeKey<'a>,
    scope_id: Option<u32>,
    /// The resource is a replica that does not count: by which number its points are counted.
    standby: Option<u32>,
    last_stream: u32,
    /// A stream, what came with it that is news, and how many points were staged before it.
    news: Option<(u32, About<'a>, usize)>,
    /// The route of the last point, if the walk goes on in the midst of a metric.
    last_route: u32,
    /// The texts of the metric at hand are checked.
    is_checked: bool,
}

impl<'a> MetricWalk<'a> {
    /// Of the metrics of a scope; hints: the stream before, and the last point's route.
    pub(super) const fn new(
        resource: EnvelopeKey<'a>,
        scope: EnvelopeKey<'a>,
        last_stream: u32,
        last_route: u32,
    ) -> MetricWalk<'a> {
        MetricWalk {
            resource,
            scope,
            scope_id: None,
            standby: None,
            last_stream,
            news: None,
            last_route,
            is_checked: false,
        }
    }

    /// Resource and scope.
    pub(super) const fn envelope(&self) -> (&EnvelopeKey<'a>, &EnvelopeKey<'a>) {
        (&self.resource, &self.scope)
    }

    /// The scope, if it is known.
    pub(super) const fn scope_id(&self) -> Option<u32> {
        self.scope_id
    }

    /// The scope is known.
    pub(super) const fn found_scope(&mut self, id: Option<u32>) {
        self.scope_id = id;
    }

    /// If the resource is a replica that does not count, by which number its points are counted.
    pub(super) const fn standby(&self) -> Option<u32> {
        self.standby
    }

    /// The resource does not count.
    pub(super) const fn stands_by(&mut self, standby: Option<u32>) {
        self.standby = standby;
    }

    /// The stream before.
    pub(super) const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// The next metric begins.
    pub(super) const fn begin(&mut self) {
        self.last_route = NONE;
    }

    /// Whether the texts of the metric at hand are checked.
    pub(super) const fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// They are, or are not.
    pub(super) const fn set_checked(&mut self, is_checked: bool) {
        self.is_checked = is_checked;
    }

    /// Checks name, description and unit of the metric at hand, once.
    pub(super) fn check(&mut self, texts: (&[u8], &[u8], &[u8])) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_checked, true) { Ok(()) } else { check_metric(texts) }
    }

    /// The stream of `key`, if it is known; its texts are checked when it is not, the description always.
    pub(super) fn stream(
        &mut self,
        key: &StreamKey<'a>,
        resolver: &mut Resolver,
        stage: &mut Stage<'a>,
    ) -> Result<Option<u32>, Fault> {
        self.described(stage);
        let known = self.scope_id.and_then(|scope| resolver.stream(scope, self.last_stream, key));
        match known {
            Some(id) => {
                self.last_stream = id;
                if !std::mem::replace(&mut self.is_checked, true) {
                    check_utf8(key.about.description).map_err(|f| f.named("Metric.description"))?;
                }
                if resolver.is_news(id, &key.about) {
                    self.news = Some((id, key.about, stage.staged()));
                }
            }
            None => self.check((key.name, key.about.description, key.unit))?,
        }
        Ok(known)
    }

    /// If all points of the metric at hand are dropped, and that is known, the rule that does.
    pub(super) fn discarded(
        &mut self,
        key: &StreamKey<'a>,
        resolver: &mut Resolver,
        stage: &mut Stage<'a>,
    ) -> Result<Option<u32>, Fault> {
        let known = self.scope_id.and_then(|scope| resolver.stream(scope, self.last_stream, key));
        let Some((id, rule)) = known.and_then(|id| Some((id, resolver.discards(id)?))) else { return Ok(None) };
        self.described(stage);
        self.last_stream = id;
        if !std::mem::replace(&mut self.is_checked, true) {
            check_utf8(key.about.description).map_err(|f| f.named("Metric.description"))?;
        }
        Ok(Some(rule))
    }

    /// What was walked came with a longer description than any before, or says more of its type: it counts if a point
    /// of it was staged.
    #[inline]
    pub(super) fn described(&mut self, stage: &mut Stage<'a>) {
        if let Some((stream, about, before)) = self.news.take()
            && stage.staged() > before
        {
            stage.descriptions.push((stream, about));
        }
    }

    /// The order that a stream's points probably come in, from its beginning, or from where the walk was left.
    pub(super) fn predict(&mut self, stream: Option<u32>, resolver: &Resolver) -> Prediction {
        resolver.predict(stream, std::mem::replace(&mut self.last_route, NONE))
    }
}
