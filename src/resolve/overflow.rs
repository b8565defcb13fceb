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
//!
//! Knows which streams overflow series have on this core; does not know why a point was refused, beyond the reason's name.

use super::birthplace::Birthplace;
use super::contexts::{Contexts, text};
use super::encoding::{Encoding, OWN};
use super::keys::{About, EnvelopeKey, StreamKey};
use super::links::refusal;
use super::making::Making;
use super::routes::NONE;
use crate::identity::overflow::run;
use crate::identity::{Parts, Set};
use crate::ledger::{Note, Tally};
use crate::model::{Kind, Reject, Temporality, TypeHints};
use crate::series::group::Entry;
use crate::series::registry::Full;

/// Whether a point that is refused for this reason can be added elsewhere.
fn can_overflow(reason: Reject, kind: Kind, temporality: Temporality) -> bool {
    matches!(reason, Reject::SeriesLimit | Reject::GroupLimit | Reject::MemoryLimit | Reject::PeerShare)
        && temporality == Temporality::Delta
        && matches!(kind, Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram)
}

/// The resource of overflow groups: `service.name` = `catchment.overflow`.
const RESOURCE: EnvelopeKey<'static> = EnvelopeKey {
    encoding: OWN,
    bytes: b"\x0a\x24\x0a\x0cservice.name\x12\x14\x0a\x12catchment.overflow",
    schema_url: &[],
    is_cut: false,
    shared: None,
};

/// The scope of overflow groups: its name is `catchment`.
const SCOPE: EnvelopeKey<'static> =
    EnvelopeKey { encoding: OWN, bytes: b"\x0a\x09catchment", schema_url: &[], is_cut: false, shared: None };

/// The group of a metric that keeps its name.
const fn named<'a>(key: &StreamKey<'a>) -> StreamKey<'a> {
    StreamKey { about: About::NOTHING, ..*key }
}

/// The group of all others of its kind.
const fn last(key: &StreamKey<'_>) -> StreamKey<'static> {
    let name: &[u8] = match key.kind {
        Kind::Histogram => b"catchment.overflow.histogram",
        Kind::ExponentialHistogram => b"catchment.overflow.exponential_histogram",
        _ if key.monotonic => b"catchment.overflow.sum",
        _ => b"catchment.overflow.updown",
    };
    let (kind, temporality, monotonic) = (key.kind, key.temporality, key.monotonic);
    StreamKey { name, unit: &[], kind, temporality, monotonic, bounds: &[], about: About::NOTHING }
}

/// What a core has found of overflow groups. Most names of who sends ever new ones keep none: all that they cost is to find
/// that out, as by profile each look-up beside 100,000 groups takes a fifth of their time.
pub(super) struct Overflow {
    /// Resource and scope, which a stream holds.
    place: Option<(u32, u32)>,
    /// By kind, not monotonic sums in the place of gauges, the stream for what has no name of its own.
    last: [u32; 4],
}

impl Overflow {
    /// Nothing, which is right at any time, and once a stream was freed.
    pub(super) const NOTHING: Overflow = Overflow { place: None, last: [NONE; 4] };

    /// The stream of the overflow group for points whose own group was refused for this reason, if they may go there.
    #[cold]
    pub(super) fn stream(
        &mut self,
        (here, contexts): (&Birthplace, &mut Contexts),
        key: &StreamKey<'_>,
        reason: Reject,
    ) -> Result<u32, Reject> {
        if !can_overflow(reason, key.kind, key.temporality) {
            return Err(reason);
        }
        let registry = here.registry();
        let last = match key.kind {
            Kind::Sum => usize::from(key.monotonic),
            kind => kind as usize,
        };
        let has_name = registry.may_keep_name(text(key.name), text(key.unit), key.kind, key.monotonic);
        if !has_name && self.last[last] != NONE {
            return Ok(self.last[last]);
        }
        let stream = if let Some(place) = self.place {
            stream_in(place, key, has_name, contexts, here)
        } else {
            contexts.aside(|contexts| {
                // both messages are in their normal form
                let resource = || Ok::<_, Reject>(Set::new(&[], RESOURCE.bytes, "", registry.state()));
                let scope = || Ok::<_, Reject>(Set::new(SCOPE.bytes, &[], "", registry.state()));
                let resource = contexts.enter_resource(&RESOURCE, resource)?;
                let place = (resource, contexts.enter_scope(resource, &SCOPE, scope)?);
                stream_in(place, key, has_name, contexts, here)
            })
        }?;
        self.place = Some(contexts.place_of(stream));
        if !has_name {
            self.last[last] = stream;
        }
        Ok(stream)
    }
}

/// The route of the stream's overflow series, if a point refused for this reason may go there.
#[cold]
pub(super) fn route<E: Encoding>(
    making: &mut Making<'_, E>,
    stream: u32,
    reason: Reject,
    tally: &mut Tally,
) -> Result<u32, Reject> {
    let s = making.contexts.at(stream);
    if !can_overflow(reason, s.kind, s.temporality) {
        return Err(reason);
    }
    let run = run(s.kind);
    let route = match making.known_route(stream, run) {
        (Some(route), _) => route,
        (None, _) => {
            let hash = making.here.registry().hash(&s.group, run);
            making.route_of(stream, (run, run), hash, tally)?
        }
    };
    tally.note(Note::Overflowed, 1);
    Ok(route)
}

/// The stream for points of `key` among those of overflow groups: that of its name, if it may have one, or of its kind.
fn stream_in(
    place: (u32, u32),
    key: &StreamKey<'_>,
    has_name: bool,
    contexts: &mut Contexts,
    here: &Birthplace,
) -> Result<u32, Reject> {
    let (named, last) = (named(key), last(key));
    let make = |contexts: &mut Contexts, key: &StreamKey<'_>, entry| {
        let (resource, scope) = contexts.sets(place.0, place.1);
        let parts = Parts {
            resource,
            scope,
            name: text(key.name),
            unit: text(key.unit),
            description: "",
            hints: TypeHints::NONE,
            kind: key.kind,
            monotonic: key.monotonic,
            bounds: &key.bounds(),
        };
        let group = here.registry().group(&parts, entry, here.maker())?;
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

    #[test]
    fn the_bytes_are_what_they_say() {
        let value = Some(AnyValue { value: Some(Value::StringValue("catchment.overflow".into())) });
        let service = KeyValue { key: "service.name".into(), value, ..Default::default() };
        let resource = Resource { attributes: vec![service], ..Default::default() };
        assert_eq!(RESOURCE.bytes, resource.encode_to_vec());
        let scope = InstrumentationScope { name: "catchment".into(), ..Default::default() };
        assert_eq!(SCOPE.bytes, scope.encode_to_vec());
        for kind in [Kind::Sum, Kind::Histogram, Kind::ExponentialHistogram] {
            assert!(attributes::is_normal(run(kind), run(kind)[0], Limits::DEFAULT), "{kind:?}");
        }
        assert!(attributes::is_normal(RESOURCE.bytes, 0x0a, Limits::DEFAULT));
    }
}
