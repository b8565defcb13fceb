//! Making streams and routes, and giving routes live cells.
//!
//! Knows what a stream, a series and a route are made of; does not know why one is made, nor what the limits do to a point
//! (`births`, `overflow`).
//!
//! Invariant: nothing is half made. What was made on the way (a context, a group) is found again or swept.

use super::birthplace::Birthplace;
use super::contexts::{About, Contexts, EnvelopeKey, StreamKey};
use super::encoding::{Encoding, Said};
use super::links::{Links, refusal};
use super::routes::NONE;
use crate::cells::Shape;
use crate::examples::example;
use crate::identity::{GroupKey, Parts, Set};
use crate::ledger::{Note, Tally};
use crate::limits::STREAMS_PER_GROUP;
use crate::model::{Kind, Reject};
use crate::series::group::Entry;
use crate::series::registry::Registry;
use crate::sync::thin::ThinBytes;

/// What making takes.
pub(super) struct Making<'r, E> {
    pub(super) here: &'r Birthplace,
    pub(super) links: &'r mut Links,
    pub(super) contexts: &'r mut Contexts,
    pub(super) encoding: &'r E,
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
        Ok(id)
    }

    /// What this core holds for finding series again counts towards the memory limit.
    fn hold(&self) {
        hold(self.here, self.links, self.contexts);
    }

    /// The stream of a key in an envelope, made if it is new and acceptable. What is cut on the way is noted in `cut`.
    pub(super) fn stream_of(
        &mut self,
        (resource, scope): (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        key: &StreamKey<'_>,
        cut: &mut Option<String>,
        tally: &mut Tally,
    ) -> Result<u32, Reject> {
        let ids = self.enter((resource, scope), key, cut, tally)?;
        if let Some(id) = self.contexts.stream(ids.1, NONE, key) {
            self.describe(id, &key.about);
            return Ok(id);
        }
        if !self.has_room() {
            return Err(Reject::GroupLimit);
        }
        let maker = self.here.maker();
        let group = self
            .with_parts((resource, scope), ids, key, |registry, parts| registry.group(parts, Entry::Limited, maker))
            .map_err(refusal)?;
        Ok(self.contexts.add(ids.1, key, group))
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

/// What a core holds for finding series again counts towards the memory limit.
pub(super) fn hold(here: &Birthplace, links: &Links, contexts: &Contexts) {
    here.registry().hold(here.core().into(), links.routes().bytes() + contexts.bytes());
}

/// Text that has been checked.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}
