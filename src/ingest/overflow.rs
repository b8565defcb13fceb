//! Overflow (M30): what the limits keep out, and where the points of it go that have no state to keep.
//!
//! - A new series past the limits: to the overflow series of its group, which has the attribute `otel.metric.overflow`
//!   alone.
//! - A new group past the limits: to the overflow series of an overflow group. These stand under a resource and a scope
//!   of our own. One whose metric (name, unit, kind, bounds) some group has keeps its name, as long as there are no more
//!   than `limits::OVERFLOW_GROUPS_MAX` of them; all others share one group a kind, whose histogram has no bounds, so
//!   that count and sum stay true whatever their bounds are.
//!
//! Deltas only: a cumulative point adds what it has gained since the one before it, which is the very state that is
//! limited.

use super::Ingest;
use super::births::{bounds_of, refusal, text};
use super::contexts::{Contexts, StreamKey};
use super::routes::NONE;
use crate::examples::Cause;
use crate::identity::{self, Parts, Set};
use crate::ledger::{Note, Tally};
use crate::model::{Kind, Reject, Temporality, TypeHints};
use crate::otlp::request::{Head, MetricHead};
use crate::series::group::Entry;
use crate::series::peers::Maker;
use crate::series::registry::{Full, Registry};

/// Whether a point that is refused for this reason can be added elsewhere.
pub(super) fn can_overflow(reason: Reject, kind: Kind, temporality: Temporality) -> bool {
    matches!(reason, Reject::SeriesLimit | Reject::GroupLimit | Reject::MemoryLimit | Reject::PeerShare)
        && temporality == Temporality::Delta
        && matches!(kind, Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram)
}

/// The resource of overflow groups: `service.name` = `catchment.overflow`.
pub(super) const RESOURCE: Head<'static> =
    Head { bytes: b"\x0a\x24\x0a\x0cservice.name\x12\x14\x0a\x12catchment.overflow", schema_url: &[], is_cut: false };

/// The scope of overflow groups: its name is `catchment`.
pub(super) const SCOPE: Head<'static> = Head { bytes: b"\x0a\x09catchment", schema_url: &[], is_cut: false };

/// The group of a metric that keeps its name.
pub(super) const fn named<'a>(key: &StreamKey<'a>) -> StreamKey<'a> {
    StreamKey { metric: MetricHead { description: &[], hints: TypeHints::NONE, ..key.metric }, ..*key }
}

/// The group of all others of its kind.
pub(super) const fn last(key: &StreamKey<'_>) -> StreamKey<'static> {
    let name: &[u8] = match key.kind {
        Kind::Histogram => b"catchment.overflow.histogram",
        Kind::ExponentialHistogram => b"catchment.overflow.exponential_histogram",
        _ if key.monotonic => b"catchment.overflow.sum",
        _ => b"catchment.overflow.updown",
    };
    let metric = MetricHead { name, description: &[], unit: &[], hints: TypeHints::NONE, data: None };
    StreamKey { metric, kind: key.kind, temporality: key.temporality, monotonic: key.monotonic, bounds: &[] }
}

/// What a core has found of them. Most names of who sends ever new ones keep none: all that they cost is to find that out, as
/// by profile each look-up beside 100,000 groups takes a fifth of their time.
pub(super) struct Known {
    /// Resource and scope, which a stream holds.
    place: Option<(u32, u32)>,
    /// By kind, not monotonic sums in the place of gauges, the stream for what has no name of its own.
    last: [u32; 4],
}

impl Known {
    /// Nothing, which is right at any time, and once a stream was freed.
    pub(super) const NOTHING: Known = Known { place: None, last: [NONE; 4] };
}

impl Ingest {
    /// The route of a known series died, and its series may not come back: where a new one's point goes.
    #[cold]
    #[inline(never)]
    pub(super) fn instead(&mut self, route: u32, reason: Reject, tally: &mut Tally) -> Result<u32, Reject> {
        let found = self.overflow_route(self.routes.at(route).stream, reason, tally)?;
        self.show(Cause::Overflowed, route);
        Ok(found)
    }

    /// M30: the route of the stream's overflow series, if a point refused for this reason may go there.
    #[cold]
    pub(super) fn overflow_route(&mut self, stream: u32, reason: Reject, tally: &mut Tally) -> Result<u32, Reject> {
        let s = self.contexts.at(stream);
        if !can_overflow(reason, s.kind, s.temporality) {
            return Err(reason);
        }
        let run = identity::overflow::run(s.kind);
        let tag = self.registry.state().hash_one(run) as u32;
        let route = match self.find(stream, tag, run) {
            Some(route) => route,
            None => {
                let hash = self.registry.hash(&self.contexts.at(stream).group, run);
                self.route_of(stream, run, run, hash, tally)?
            }
        };
        tally.note(Note::Overflowed, 1);
        Ok(route)
    }

    /// The stream of the overflow group for points whose own group was refused for this reason, if they may go there.
    #[cold]
    pub(super) fn overflow_stream(&mut self, key: &StreamKey<'_>, reason: Reject) -> Result<u32, Reject> {
        if !can_overflow(reason, key.kind, key.temporality) {
            return Err(reason);
        }
        let maker = self.maker();
        let (contexts, registry) = (&mut self.contexts, &*self.registry);
        let last = match key.kind {
            Kind::Sum => usize::from(key.monotonic),
            kind => kind as usize,
        };
        let has_name = registry.may_keep_name(text(key.metric.name), text(key.metric.unit), key.kind, key.monotonic);
        if !has_name && self.overflow.last[last] != NONE {
            return Ok(self.overflow.last[last]);
        }
        let stream = if let Some(place) = self.overflow.place {
            stream_in(place, key, has_name, contexts, registry, maker)
        } else {
            contexts.aside(|contexts| {
                // both messages are in their normal form
                let resource = || Ok(Set::new(&[], RESOURCE.bytes, registry.state()));
                let scope = || Ok(Set::new(SCOPE.bytes, &[], registry.state()));
                let resource = contexts.enter_resource(&RESOURCE, resource)?;
                let place = (resource, contexts.enter_scope(resource, &SCOPE, scope)?);
                stream_in(place, key, has_name, contexts, registry, maker)
            })
        }?;
        self.overflow.place = Some(self.contexts.place_of(stream));
        if !has_name {
            self.overflow.last[last] = stream;
        }
        Ok(stream)
    }
}

/// The stream for points of `key` among those of overflow groups: that of its name, if it may have one, or of its kind.
fn stream_in(
    place: (u32, u32),
    key: &StreamKey<'_>,
    has_name: bool,
    contexts: &mut Contexts,
    registry: &Registry,
    maker: Maker,
) -> Result<u32, Reject> {
    let (named, last) = (named(key), last(key));
    let make = |contexts: &mut Contexts, key: &StreamKey<'_>, entry| {
        let (resource, scope) = contexts.sets(place.0, place.1);
        let parts = Parts {
            resource,
            resource_schema_url: "",
            scope,
            scope_schema_url: "",
            name: text(key.metric.name),
            unit: text(key.metric.unit),
            description: "",
            hints: TypeHints::NONE,
            kind: key.kind,
            monotonic: key.monotonic,
            bounds: &bounds_of(key),
        };
        let group = registry.group(&parts, entry, maker)?;
        Ok::<_, Full>(contexts.add(place.1, key, group))
    };
    if has_name {
        let known = contexts.stream(place.1, NONE, &named);
        if let Some(id) = known.or_else(|| make(contexts, &named, Entry::Named).ok()) {
            return Ok(id);
        }
    }
    match contexts.stream(place.1, NONE, &last) {
        Some(id) => Ok(id),
        None => make(contexts, &last, Entry::Last).map_err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::attributes::Limits;
    use crate::otlp::attributes;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use prost::Message;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
    }

    #[test]
    fn the_bytes_are_what_they_say() {
        let service = pair("service.name", Value::StringValue("catchment.overflow".into()));
        let resource = Resource { attributes: vec![service], ..Default::default() };
        assert_eq!(RESOURCE.bytes, resource.encode_to_vec());
        let scope = InstrumentationScope { name: "catchment".into(), ..Default::default() };
        assert_eq!(SCOPE.bytes, scope.encode_to_vec());
        for kind in [Kind::Sum, Kind::Histogram, Kind::ExponentialHistogram] {
            let run = identity::overflow::run(kind);
            assert!(attributes::is_normal(run, run[0], Limits::DEFAULT), "{kind:?}");
        }
        assert!(attributes::is_normal(RESOURCE.bytes, 0x0a, Limits::DEFAULT));
    }
}
