//! Making streams and routes, and giving routes live cells.
//!
//! Knows what a stream, a series and a route are made of; does not know why one is made, nor what the limits do to a point
//! (`births`, `overflow`).
//!
//! Invariant: nothing is half made. What was made on the way (a context, a group) is found again or swept.

use super::birthplace::Birthplace;
use super::contexts::{About, Contexts, EnvelopeKey, StreamFate, StreamKey};
use super::detours::DETOUR_BYTES;
use super::encoding::{Encoding, Said};
use super::gate::{Doorkeeper, Refused};
use super::links::{Links, refusal};
use super::routes::NONE;
use crate::cells::Shape;
use crate::examples::example;
use crate::identity::{GroupKey, Parts, Set};
use crate::ledger::{Note, Tally};
use crate::limits::{DISCARDED_PART, STREAMS_PER_GROUP};
use crate::model::{Kind, Reject};
use crate::rules::{MetricSeen, RouteVerdict, StreamVerdict};
use crate::series::Group;
use crate::series::group::Entry;
use crate::series::registry::Registry;
use crate::sync::thin::ThinBytes;
use std::sync::Arc;

/// What making takes.
pub(super) struct Making<'r, E> {
    pub(super) here: &'r Birthplace,
    pub(super) links: &'r mut Links,
    pub(super) contexts: &'r mut Contexts,
    pub(super) encoding: &'r E,
    pub(super) gate: Option<&'r mut (dyn Doorkeeper + 'static)>,
}

impl<E: Encoding> Making<'_, E> {
    /// The stream came with this description, and with this said of its type.
    pub(super) fn describe(&mut self, stream: u32, about: &About<'_>) {
        let stream = self.contexts.at_mut(stream);
        if !stream.hints.say(about.hints) {
            stream.hints = stream.hints.and(about.hints);
            stream.group.hint(about.hints);
        }
        if about.description.len() > stream.described {
            stream.described = about.description.len();
            self.here.registry().describe(&stream.group, self.encoding.description(about.description));
        }
    }

    /// The normalised run of attributes that a route of this kind has, and the hash of their set.
    pub(super) fn run_of(&self, kind: Kind, raw: &ThinBytes) -> Result<(ThinBytes, u64), Reject> {
        let mut written = Vec::with_capacity(raw.len());
        match self.encoding.attributes(kind, raw, self.here.registry().state(), &mut written) {
            Ok(Ok(read)) if read.is_written => Ok((ThinBytes::new(&written), read.hash)),
            Ok(Ok(read)) => Ok((raw.clone(), read.hash)),
            Ok(Err(bad)) => Err(bad.into()),
            Err(fault) => unreachable!("a route's bytes have been validated: {fault:?}"),
        }
    }

    /// The cell of a route is dead: finds or makes its series again and gives the route a live cell.
    pub(super) fn resolve_again(&mut self, route: u32, shape: Shape, tally: &mut Tally) -> Result<u32, Reject> {
        let (stream, raw) = {
            let route = self.links.routes().at(route);
            (self.contexts.at(route.stream), route.bytes.clone())
        };
        let group = stream.group.clone();
        let (run, set) = self.run_of(stream.kind, &raw)?;
        let hash = self.here.registry().hash_of(&group, set);
        let line = self.links.cell_for(self.here, (&group, hash, &run), shape, tally)?;
        self.links.lead_to(route, line);
        Ok(line)
    }

    /// The route of these bytes in the stream, if there is one, and their tag.
    pub(super) fn known_route(&self, stream: u32, raw: &[u8]) -> (Option<u32>, u32) {
        let (tag, routes) = (self.here.tag(raw), self.links.routes());
        (self.contexts.at(stream).table.find(tag, |id| *routes.at(id).bytes == *raw), tag)
    }

    /// The route of these bytes in the stream, made if it is new; `hash` is that of their series.
    pub(super) fn route_of(
        &mut self,
        stream: u32,
        (raw, normal): (&[u8], &[u8]),
        hash: u64,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let (known, tag) = self.known_route(stream, raw);
        if let Some(route) = known {
            return Ok(route);
        }
        let s = self.contexts.at(stream);
        let (group, shape) = (s.group.clone(), s.shape);
        let run = ThinBytes::new(normal);
        let line = self.links.cell_for(self.here, (&group, hash, &run), shape, tally)?;
        let full = self.links.is_full(line);
        let known = self.links.routes_of(line).next();
        if let Some(known) = known
            && (full || self.here.registry().is_spent())
        {
            // another encoding of the same series: it leads to the same cell, and is not remembered
            tally.note(Note::RoutesNotKept, 1);
            if full {
                self.links.note_crowded(line);
            }
            return Ok(known);
        }
        let bytes = if raw == normal { run } else { ThinBytes::new(raw) };
        let id = self.links.add(bytes, (stream, tag), line);
        self.hold();
        self.enlist(stream, id, tag);
        Ok(id)
    }

    /// A new route is one of its stream from now on.
    fn enlist(&mut self, stream: u32, id: u32, tag: u32) {
        let routes = self.links.routes_mut();
        let s = self.contexts.at_mut(stream);
        s.table.add(tag, id, |other| routes.at(other).tag);
        // a new series is most often sent again where it was sent first: link it behind the one made before it
        match s.newest {
            NONE => s.first = id,
            newest => {
                if routes.get(newest).is_some_and(|r| r.stream == stream) && routes.next(newest) == NONE {
                    routes.put_next(newest, id);
                }
            }
        }
        s.newest = id;
    }

    /// What this core holds for finding series again counts towards the memory limit.
    fn hold(&self) {
        hold(self.here, self.links, self.contexts);
    }

    /// The stream of a key in an envelope, made if it is new and acceptable. What is cut on the way is noted in `cut`. Its points
    /// may be dropped, or its routes may have to ask.
    pub(super) fn stream_of(
        &mut self,
        (resource, scope): (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        key: &StreamKey<'_>,
        cut: &mut Option<String>,
        tally: &mut Tally,
    ) -> Result<u32, Refused> {
        let ids = self.enter((resource, scope), key, cut, tally)?;
        if let Some(id) = self.contexts.stream(ids.1, NONE, key) {
            self.describe(id, &key.about);
            return Ok(id);
        }
        let verdict = self.verdict(ids, key);
        if let StreamVerdict::Discard(rule) = verdict {
            return self.discarded(ids.1, key, rule);
        }
        if !self.has_room() {
            return Err(Reject::GroupLimit.into());
        }
        if verdict == StreamVerdict::Ask {
            return Ok(self.contexts.add_apart(ids.1, key, StreamFate::Ask));
        }
        let group = self.group((resource, scope), ids, key)?;
        Ok(self.contexts.add(ids.1, key, group))
    }

    fn verdict(&mut self, ids: (u32, u32), key: &StreamKey<'_>) -> StreamVerdict {
        match &mut self.gate {
            None => StreamVerdict::Pass,
            Some(gate) => gate.of_stream(&metric(self.contexts, ids, key)),
        }
    }

    /// Whether all points of a key go in as they are.
    pub(super) fn passes(&mut self, ids: (u32, u32), key: &StreamKey<'_>) -> bool {
        self.verdict(ids, key) == StreamVerdict::Pass
    }

    /// The group of a key, for one stream more.
    fn group(
        &self,
        envelope: (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        ids: (u32, u32),
        key: &StreamKey<'_>,
    ) -> Result<Arc<Group>, Reject> {
        let maker = self.here.maker();
        self.with_parts(envelope, ids, key, |registry, parts| registry.group(parts, Entry::Limited, maker))
            .map_err(refusal)
    }

    /// The stream of a key whose points a rule drops, whatever their bounds; nothing is made if there is no room to remember it.
    fn discarded(&mut self, scope: u32, key: &StreamKey<'_>, rule: u32) -> Result<u32, Refused> {
        let key = StreamKey { bounds: &[], ..*key };
        match self.contexts.stream(scope, NONE, &key) {
            Some(id) => Ok(id),
            None if self.remembers() => Ok(self.contexts.add_apart(scope, &key, StreamFate::Discard(rule))),
            None => Err(Refused::Discarded(rule)),
        }
    }

    /// There is room to remember one more of what is dropped.
    fn remembers(&self) -> bool {
        let registry = self.here.registry();
        let most = registry.memory_limit() / DISCARDED_PART / registry.cores();
        self.links.detour_bytes() + self.contexts.discarded_bytes() < most && !registry.is_spent()
    }

    /// What becomes of the route of these bytes, in a stream whose routes have to ask: the route, if there is one; nothing if
    /// its points go to the stream's group, which the stream has then.
    pub(super) fn ask(
        &mut self,
        stream: u32,
        (raw, normal): (&[u8], &[u8]),
        envelope: (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        key: &StreamKey<'_>,
    ) -> Result<Option<u32>, Refused> {
        let (known, tag) = self.known_route(stream, raw);
        let interval = self.here.interval();
        if let Some(route) = known {
            return match self.links.take_detour(route, interval) {
                Some(rule) => Err(Refused::Discarded(rule)),
                None => Ok(Some(route)),
            };
        }
        let ids = self.contexts.place_of(stream);
        let verdict = match &mut self.gate {
            None => RouteVerdict::Pass,
            Some(gate) => gate.of_route(&metric(self.contexts, ids, key), normal),
        };
        if let RouteVerdict::Discard(rule) = verdict {
            if self.remembers() {
                let route = self.links.add_detour(ThinBytes::new(raw), (stream, tag), (rule, interval));
                self.hold();
                self.enlist(stream, route, tag);
            }
            return Err(Refused::Discarded(rule));
        }
        if self.contexts.is_apart(stream) {
            let group = self.group(envelope, ids, key)?;
            self.contexts.join(stream, group);
        }
        Ok(None)
    }

    /// One stream more may be made.
    pub(super) fn has_room(&self) -> bool {
        self.contexts.len() < self.here.registry().group_limit().saturating_mul(STREAMS_PER_GROUP)
    }

    /// Resource and scope of a key, known from now on.
    pub(super) fn enter(
        &mut self,
        (resource, scope): (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        key: &StreamKey<'_>,
        cut: &mut Option<String>,
        tally: &mut Tally,
    ) -> Result<(u32, u32), Reject> {
        let (state, encoding) = (self.here.registry().state(), self.encoding);
        let mut texts = 0;
        let mut set = |said: Said| {
            texts += said.cut;
            Set::new(&said.head, &said.run, state)
        };
        let resource_id = self.contexts.enter_resource(resource, || encoding.resource(resource).map(&mut set))?;
        let scope_id = self.contexts.enter_scope(resource_id, scope, || encoding.scope(scope).map(&mut set))?;
        tally.note(Note::TextsCut, texts);
        if texts > 0 && cut.is_none() {
            *cut = Some(example(resource.bytes, key.name));
        }
        Ok((resource_id, scope_id))
    }

    /// The key of the group that this would be without bounds.
    pub(super) fn key_without_bounds(
        &self,
        envelope: (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        ids: (u32, u32),
        key: &StreamKey<'_>,
    ) -> GroupKey {
        let key = StreamKey { bounds: &[], ..*key };
        self.with_parts(envelope, ids, &key, |registry, parts| parts.key(registry.state()))
    }

    /// What `of` makes of the parts of a key's group.
    fn with_parts<T>(
        &self,
        (resource, scope): (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        ids: (u32, u32),
        key: &StreamKey<'_>,
        of: impl FnOnce(&Registry, &Parts<'_>) -> T,
    ) -> T {
        let sets = self.contexts.sets(ids.0, ids.1);
        let parts = Parts {
            resource: sets.0,
            resource_schema_url: &self.encoding.schema_url(resource.schema_url),
            scope: sets.1,
            scope_schema_url: &self.encoding.schema_url(scope.schema_url),
            name: text(key.name),
            unit: text(key.unit),
            description: self.encoding.description(key.about.description),
            hints: key.about.hints,
            kind: key.kind,
            monotonic: key.monotonic,
            bounds: &key.bounds(),
        };
        of(self.here.registry(), &parts)
    }
}

/// A metric of a stream, as rules see it.
fn metric<'a>(contexts: &'a Contexts, (resource, scope): (u32, u32), key: &StreamKey<'a>) -> MetricSeen<'a> {
    let (resource, scope) = contexts.sets(resource, scope);
    let (name, unit) = (text(key.name), text(key.unit));
    MetricSeen { resource: &resource.run, scope: &scope.run, name, unit, kind: key.kind, monotonic: key.monotonic }
}

/// What a core holds for finding series again counts towards the memory limit.
pub(super) fn hold(here: &Birthplace, links: &Links, contexts: &Contexts) {
    let routes = links.routes().bytes() + links.detour_count() * DETOUR_BYTES;
    here.registry().hold(here.core().into(), routes + contexts.bytes());
}

/// Text that has been checked.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}
