//! Births: a point that has no route gets one.
//!
//! Knows what is pending, and who may not be born: that is refused with its reason, or goes where `overflow` says. Does not
//! know a point's value, nor how what it needs is made (`making`).

use super::contexts::StreamFate;
use super::encoding::Encoding;
use super::gate::Refused;
use super::keys::{About, EnvelopeKey, StreamKey};
use super::making::Making;
use super::overflow::{self, Overflow};
use super::pending::{Context, Pending, PointTarget};
use super::routes::NONE;
use crate::examples::Cause;
use crate::ledger::Tally;
use crate::model::{Kind, Reject};
use crate::series::index::WARM_MAX;
use crate::sync::thin::ThinBytes;

/// The route of the birth at place `at`: makes stream, series, cell and route as needed.
#[cold]
#[inline(never)]
pub(super) fn born<E: Encoding>(
    making: &mut Making<'_, E>,
    overflow: &mut Overflow,
    at: u32,
    pending: &mut Pending<'_>,
    tally: &mut Tally,
) -> Result<u32, Refused> {
    let birth = pending.births[at as usize];
    if birth.route != NONE {
        return Ok(birth.route);
    }
    let context = pending.contexts[birth.context as usize];
    let (stream, overflows) = match context.stream {
        NONE => {
            let found = making.stream_of((&context.resource, &context.scope), &context.key, &mut pending.cut, tally);
            let overflows = found.is_err();
            let stream = match found {
                Ok(stream) => stream,
                Err(Refused::Rejected(reason)) => {
                    overflow.stream((making.here, making.contexts), &context.key, reason)?
                }
                Err(discarded) => return Err(discarded),
            };
            let context = &mut pending.contexts[birth.context as usize];
            (context.stream, context.overflows) = (stream, overflows);
            (stream, overflows)
        }
        known => (known, context.overflows),
    };
    making.contexts.at_mut(stream).used = making.here.interval();
    if overflows {
        return Ok(overflowed(making, stream, Reject::GroupLimit, &context, tally)?);
    }
    match making.contexts.at(stream).fate() {
        StreamFate::Pass => {}
        StreamFate::Discard(rule) => return Err(Refused::Discarded(rule)),
        StreamFate::Ask => match making.ask(stream, (birth.raw, birth.normal), &context.key, tally) {
            Ok(None) => {}
            Ok(Some(route)) => return Ok(route),
            Err(Refused::Rejected(reason)) => {
                let stream = overflow.stream((making.here, making.contexts), &context.key, reason)?;
                return Ok(overflowed(making, stream, Reject::GroupLimit, &context, tally)?);
            }
            Err(discarded) => return Err(discarded),
        },
    }
    let hash = birth.hash.unwrap_or_else(|| look_ahead(making, at as usize, stream, pending));
    match making.route_of(stream, (birth.raw, birth.normal), hash, tally) {
        Ok(route) => {
            pending.births[at as usize].route = route;
            Ok(route)
        }
        Err(reason) => Ok(overflowed(making, stream, reason, &context, tally)?),
    }
}

/// Where a point of this context goes that was refused for this reason.
fn overflowed<E: Encoding>(
    making: &mut Making<'_, E>,
    stream: u32,
    reason: Reject,
    context: &Context<'_>,
    tally: &mut Tally,
) -> Result<u32, Reject> {
    let found = overflow::route(making, stream, reason, tally)?;
    making.here.show(Cause::Overflowed, context.resource.bytes, context.key.name);
    Ok(found)
}

/// Hashes the births from `at` on that share its stream, up to `WARM_MAX`, and brings their places in the index into the
/// cache together. By profile, finding and making cells took 31 % of all time without it where every point is a birth; with
/// it, bringing them in and looking them up takes 9 %. Returns the first one's hash.
fn look_ahead<E>(making: &Making<'_, E>, at: usize, stream: u32, pending: &mut Pending<'_>) -> u64 {
    let registry = making.here.registry();
    let group = &making.contexts.at(stream).group;
    let context = pending.births[at].context;
    let mut hashes = [0; WARM_MAX];
    let mut count = 0;
    for birth in pending.births[at..].iter_mut().take_while(|birth| birth.context == context).take(WARM_MAX) {
        hashes[count] = registry.hash_of(group, birth.set);
        birth.hash = Some(hashes[count]);
        count += 1;
    }
    registry.warm(&hashes[..count]);
    hashes[0]
}

/// A histogram's point without a value and without bounds, bound for `target`: if there is a series of its attributes with
/// bounds, and none with a value without, it means that one (bounds are no part of a stream's identity in the data model). The
/// route to that one. A stream whose routes have to ask has none.
#[cold]
pub(super) fn with_bounds<E: Encoding>(
    making: &mut Making<'_, E>,
    target: PointTarget,
    pending: &mut Pending<'_>,
    tally: &mut Tally,
) -> Option<PointTarget> {
    let (raw, normal, set, scope, found, temporality);
    match target {
        PointTarget::Birth(at) => {
            let birth = pending.births[at as usize];
            let Context { resource, scope: scope_key, key, .. } = pending.contexts[birth.context as usize];
            let envelope: (&EnvelopeKey<'_>, &EnvelopeKey<'_>) = (&resource, &scope_key);
            // what is refused here is refused for the same reason where it is born
            let ids = making.enter(envelope, &key, &mut pending.cut, tally).ok()?;
            if !making.passes(ids, &key) {
                return None;
            }
            (raw, normal, set) = (ThinBytes::new(birth.raw), ThinBytes::new(birth.normal), birth.set);
            (scope, temporality) = (ids.1, key.temporality);
            let key = StreamKey { bounds: &[], ..key };
            found = making.with_parts(ids, &key, |registry, parts| registry.with_bounds(parts, set, &normal));
        }
        PointTarget::Route(route) => {
            let route = making.links.routes().at(route);
            let stream = making.contexts.at(route.stream);
            if stream.fate() != StreamFate::Pass {
                return None;
            }
            raw = route.bytes.clone();
            (normal, set) = making.run_of(stream, &raw).ok()?;
            (scope, temporality) = (stream.scope, stream.temporality);
            found = making.here.registry().with_bounds(&stream.group.parts_without_bounds(), set, &normal);
        }
    }
    let (registry, group) = (making.here.registry(), found?);
    let metric = group.metric.clone();
    let bounds: Vec<u8> = group.bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect();
    let key = StreamKey {
        name: metric.name.as_bytes(),
        unit: metric.unit.as_bytes(),
        kind: Kind::Histogram,
        temporality,
        monotonic: false,
        bounds: &bounds,
        about: About::NOTHING,
    };
    let hash = registry.hash_of(&group, set);
    let stream = match making.known_stream(scope, &key) {
        Some(stream) => stream,
        None if making.has_room() && registry.enter(&group) => making.contexts.add(scope, &key, group),
        None => return None,
    };
    making.contexts.at_mut(stream).used = making.here.interval();
    making.route_of(stream, (&raw, &normal), hash, tally).ok().map(PointTarget::Route)
}
