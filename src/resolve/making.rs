//! Making streams and routes, and giving routes live cells.
//!
//! Knows what a stream, a series and a route are made of; does not know why one is made, nor what the limits do to a point
//! (`births`, `overflow`).
//!
//! Invariant: nothing is half made. What was made on the way (a context, a group) is found again or swept.

use super::birthplace::Birthplace;
use super::contexts::{Contexts, MetricStream, StreamFate, text};
use super::detours::{DETOUR_BYTES, Detour};
use super::encoding::{Encoding, OWN, Said};
use super::gate::{Doorkeeper, Refused, Replica, ReplicaOf};
use super::keys::{About, EnvelopeKey, StreamKey};
use super::links::{Links, refusal};
use super::renewal::{self, metric};
use super::routes::NONE;
use crate::cells::Shape;
use crate::examples::example;
use crate::identity::{Parts, Set, attributes};
use crate::ledger::{Note, Tally};
use crate::limits::{DISCARDED_PART, STREAMS_PER_GROUP};
use crate::model::Reject;
use crate::rules::{MadeRun, Relabelled, RouteVerdict, StreamVerdict};
use crate::series::Group;
use crate::series::elections::Election;
use crate::series::group::Entry;
use crate::series::registry::Registry;
use crate::sync::thin::ThinBytes;
use crate::wire::Reader;
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
        if about.description.len() > stream.described as usize {
            stream.described = about.description.len() as u32;
            self.here.registry().describe(&stream.group, self.encoding.description(about.description));
        }
    }

    /// The normalised run of attributes that a route has, and the hash of their set.
    pub(super) fn run_of(&self, stream: &MetricStream, raw: &ThinBytes) -> Result<(ThinBytes, u64), Reject> {
        if stream.is_target {
            return Ok((raw.clone(), attributes::hash(raw, self.here.registry().state())));
        }
        let kind = stream.kind;
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
        let (id, raw) = {
            let route = self.links.routes().at(route);
            (route.stream, route.bytes.clone())
        };
        let stream = self.contexts.at(id);
        let (run, set) = self.run_of(stream, &raw)?;
        if stream.fate() == StreamFate::Ask
            && let Some(target) = self.asked_again(id, &run)
        {
            // both lead there, and the target's own route holds its group
            let to = self.route_to(id, &target, tally)?;
            let line = self.resolve_again(to, shape, tally)?;
            self.links.lead_to(route, line);
            return Ok(line);
        }
        let group = self.contexts.at(id).group.clone();
        let hash = self.here.registry().hash_of(&group, set);
        let line = self.links.cell_for(self.here, (&group, hash, &run), shape, tally)?;
        self.links.lead_to(route, line);
        Ok(line)
    }

    /// What a rule calls a series of this stream, which it was asked before.
    fn asked_again(&mut self, stream: u32, run: &[u8]) -> Option<Target> {
        let ids = self.contexts.place_of(stream);
        let gate = self.gate.as_mut()?;
        let s = self.contexts.at(stream);
        match gate.of_route(&metric(self.contexts, ids, (s.name(), s.unit(), s.kind, s.monotonic)), run) {
            RouteVerdict::Relabelled(to) => Some(Target::of(&to)),
            RouteVerdict::Pass | RouteVerdict::Discard(_) => None,
        }
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
        // whoever takes it for another encoding must not be scaled by it
        // and one of a stream that is found no more is on its way out
        let stays = |route: &u32| {
            !self.links.is_detour(*route) && self.contexts.at(self.links.routes().at(*route).stream).is_found()
        };
        let known = self.links.routes_of(line).find(stays);
        if let Some(known) = known
            && !self.contexts.at(stream).is_target
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
        let interval = self.here.interval();
        if let Some(number) = self.contexts.standby(ids.0, interval, Election::seen) {
            if !self.contexts.is_held(ids.0) && self.remembers() {
                self.contexts.hold(ids, interval);
            }
            return Err(Refused::Standby(number));
        }
        if let Some(id) = self.known_stream(ids.1, key) {
            self.describe(id, &key.about);
            return Ok(id);
        }
        let verdict = self.verdict(ids, key);
        if let StreamVerdict::Discard(rule) = verdict {
            return self.discarded(ids.1, key, rule);
        }
        let is_asking = verdict == StreamVerdict::Ask;
        // one that asks has no group that would be refused: all of its points may be dropped
        let has_room =
            self.has_room() && (!is_asking || self.contexts.apart() < self.most_streams() || self.remembers());
        if !has_room {
            return Err(Reject::GroupLimit.into());
        }
        if is_asking {
            return Ok(self.contexts.add_apart(ids.1, key, StreamFate::Ask));
        }
        let group = self.group(ids, key)?;
        Ok(self.contexts.add(ids.1, key, group))
    }

    /// The stream with this key in `scope`, if there is one, and what was said of it holds.
    pub(super) fn known_stream(&mut self, scope: u32, key: &StreamKey<'_>) -> Option<u32> {
        let id = self.contexts.stream(scope, NONE, key)?;
        renewal::of_stream(self.contexts, self.gate.as_deref_mut(), id)
    }

    fn verdict(&mut self, ids: (u32, u32), key: &StreamKey<'_>) -> StreamVerdict {
        match &mut self.gate {
            None => StreamVerdict::Pass,
            Some(gate) => gate.of_stream(&metric(self.contexts, ids, (key.name, key.unit, key.kind, key.monotonic))),
        }
    }

    /// Whether all points of a key go in as they are.
    pub(super) fn passes(&mut self, ids: (u32, u32), key: &StreamKey<'_>) -> bool {
        self.verdict(ids, key) == StreamVerdict::Pass
    }

    /// The group of a key, for one stream more.
    fn group(&self, ids: (u32, u32), key: &StreamKey<'_>) -> Result<Arc<Group>, Reject> {
        let maker = self.here.maker();
        let group = self.with_parts(ids, key, |registry, parts| registry.group(parts, Entry::Limited, maker));
        let group = group.map_err(refusal)?;
        if let Some(election) = self.contexts.election(ids.0) {
            group.elects(election);
        }
        Ok(group)
    }

    /// The stream of a key whose points a rule drops, whatever their bounds; nothing is made if there is no room to remember it.
    fn discarded(&mut self, scope: u32, key: &StreamKey<'_>, rule: u32) -> Result<u32, Refused> {
        let key = StreamKey { bounds: &[], ..*key };
        match self.known_stream(scope, &key) {
            Some(id) => Ok(id),
            None if self.remembers() => Ok(self.contexts.add_apart(scope, &key, StreamFate::Discard(rule))),
            None => Err(Refused::Discarded(rule)),
        }
    }

    /// There is room to remember one more of what is dropped.
    fn remembers(&self) -> bool {
        let registry = self.here.registry();
        let most = registry.memory_limit() / DISCARDED_PART / registry.cores();
        self.links.detour_bytes() + self.contexts.apart_bytes() < most && !registry.is_spent()
    }

    /// What becomes of the route of these bytes, in a stream whose routes have to ask: the route, if there is one; nothing if
    /// its points go to the stream's group, which the stream has then.
    pub(super) fn ask(
        &mut self,
        stream: u32,
        (raw, normal): (&[u8], &[u8]),
        key: &StreamKey<'_>,
        tally: &mut Tally,
    ) -> Result<Option<u32>, Refused> {
        let (known, tag) = self.known_route(stream, raw);
        let interval = self.here.interval();
        if let Some(route) = known {
            return match self.links.take_detour(route, interval) {
                Some(Detour::Nowhere(rule)) => Err(Refused::Discarded(rule)),
                Some(Detour::Scaled { .. }) | None => Ok(Some(route)),
            };
        }
        let ids = self.contexts.place_of(stream);
        let mut verdict = Ok(None);
        if let Some(gate) = &mut self.gate {
            let seen = metric(self.contexts, ids, (key.name, key.unit, key.kind, key.monotonic));
            verdict = match gate.of_route(&seen, normal) {
                RouteVerdict::Pass => Ok(None),
                RouteVerdict::Discard(rule) => Err(rule),
                RouteVerdict::Relabelled(to) => Ok(Some(Target::of(&to))),
            };
            tally.note(Note::RelabelSkipped, gate.take_skipped());
        }
        match verdict {
            Ok(None) => {}
            Err(rule) => {
                if self.remembers() {
                    let route = self.links.add_nowhere(ThinBytes::new(raw), (stream, tag), (rule, interval));
                    self.hold();
                    self.enlist(stream, route, tag);
                }
                return Err(Refused::Discarded(rule));
            }
            Ok(Some(target)) => {
                let to = self.route_to(stream, &target, tally)?;
                return Ok(Some(self.lead_on((stream, tag), raw, (to, target.scale), tally)));
            }
        }
        if self.contexts.is_apart(stream) {
            let group = self.group(ids, key)?;
            self.contexts.join(stream, group);
        }
        Ok(None)
    }

    /// The route of what a rule calls a series of `stream`: of a stream of its own, which holds its group.
    fn route_to(&mut self, stream: u32, target: &Target, tally: &mut Tally) -> Result<u32, Reject> {
        let ids = self.contexts.place_of(stream);
        let (resource_url, scope_url) = self.contexts.schema_urls(ids);
        let (resource_url, scope_url): (Box<[u8]>, Box<[u8]>) = (resource_url.into(), scope_url.into());
        let state = self.here.registry().state().clone();
        let resource = made_key(&target.resource, &resource_url, &state);
        let scope = made_key(&target.scope, &scope_url, &state);
        let s = self.contexts.at(stream);
        let (kind, temporality, monotonic) = (s.kind, s.temporality, s.monotonic);
        let bounds = target.bounds(s.bounds()).ok_or(Reject::BadHistogram)?;
        let (name, unit) = (target.name.as_bytes(), target.unit.as_bytes());
        let about = About { description: &[], hints: s.hints };
        let key = StreamKey { name, unit, kind, temporality, monotonic, bounds: &bounds, about };
        let has_room = self.has_room();
        let (here, encoding) = (self.here, self.encoding);
        let found = self.contexts.aside(|contexts| {
            let set = || Ok::<_, Reject>(Set::new(&[], resource.bytes, &encoding.schema_url(&resource_url), &state));
            let resource_id = contexts.enter_resource(&resource, set)?;
            let (head, run) = split_head(scope.bytes);
            let set = || Ok::<_, Reject>(Set::new(head, run, &encoding.schema_url(&scope_url), &state));
            let scope_id = contexts.enter_scope(resource_id, &scope, set)?;
            if let Some(known) = contexts.stream(scope_id, NONE, &key) {
                return Ok(known);
            }
            if !has_room {
                return Err(Reject::GroupLimit);
            }
            let ids = (resource_id, scope_id);
            let group = with_parts((contexts, here, encoding), ids, &key, |registry, parts| {
                registry.group(parts, Entry::Limited, here.maker())
            });
            let id = contexts.add(scope_id, &key, group.map_err(refusal)?);
            contexts.at_mut(id).is_target = true;
            Ok(id)
        })?;
        self.contexts.at_mut(found).used = here.interval();
        let group = &self.contexts.at(found).group;
        if let Some(election) = self.contexts.election(ids.0) {
            group.elects(election);
        }
        let hash = here.registry().hash(group, &target.attributes);
        self.route_of(found, (&target.attributes, &target.attributes), hash, tally)
    }

    /// A new route of a stream that leads where `to` does, with values scaled.
    fn lead_on(&mut self, of: (u32, u32), raw: &[u8], (to, by): (u32, f64), tally: &mut Tally) -> u32 {
        let line = self.links.routes().at(to).cell;
        if self.links.is_full(line) {
            self.links.note_crowded(line);
            if by == 1.0 {
                tally.note(Note::RoutesNotKept, 1);
                return to;
            }
        }
        let bytes = ThinBytes::new(raw);
        let route = if by == 1.0 {
            self.links.add(bytes, of, line)
        } else {
            self.links.add_scaled(bytes, of, (to, by), self.here.interval())
        };
        self.hold();
        self.enlist(of.0, route, of.1);
        route
    }

    /// One stream more that is kept may be made.
    pub(super) fn has_room(&self) -> bool {
        self.contexts.grouped() < self.most_streams()
    }

    fn most_streams(&self) -> usize {
        self.here.registry().group_limit().saturating_mul(STREAMS_PER_GROUP)
    }

    /// Resource and scope of a key, known from now on.
    pub(super) fn enter(
        &mut self,
        (resource, scope): (&EnvelopeKey<'_>, &EnvelopeKey<'_>),
        key: &StreamKey<'_>,
        cut: &mut Option<String>,
        tally: &mut Tally,
    ) -> Result<(u32, u32), Reject> {
        let (registry, encoding, gate) = (self.here.registry(), self.encoding, &mut self.gate);
        let state = registry.state();
        let (mut texts, mut replica) = (0, None);
        let mut set = |said: Said, schema_url: &[u8]| {
            texts += said.cut;
            Set::new(&said.head, &said.run, &encoding.schema_url(schema_url), state)
        };
        if let Some(id) = self.contexts.known_resource(resource)
            && !self.contexts.is_resource_asked(id)
        {
            let run = encoding.resource(resource)?.run;
            let replica = gate.as_mut().and_then(|gate| gate.of_resource(&run, state));
            renewal::of_resource(self.contexts, registry, id, replica);
        }
        let resource_id = self.contexts.enter_resource(resource, || {
            let mut said = encoding.resource(resource)?;
            if let Some(gate) = gate {
                replica = match gate.of_resource(&said.run, state) {
                    Some(ReplicaOf { seen, silence, number }) => {
                        let election = registry.election(seen.of).map_err(refusal)?;
                        said.run = seen.run;
                        Some(Replica { election, hash: seen.replica, silence, number, placeholder: NONE })
                    }
                    None => None,
                };
            }
            Ok::<_, Reject>(set(said, resource.schema_url))
        })?;
        if let Some(replica) = replica {
            self.contexts.put_replica(resource_id, replica);
        }
        let scope_id = self
            .contexts
            .enter_scope(resource_id, scope, || encoding.scope(scope).map(|said| set(said, scope.schema_url)))?;
        tally.note(Note::TextsCut, texts);
        if texts > 0 && cut.is_none() {
            *cut = Some(example(resource.bytes, key.name));
        }
        Ok((resource_id, scope_id))
    }

    /// What `of` makes of the parts of a key's group.
    pub(super) fn with_parts<T>(
        &self,
        ids: (u32, u32),
        key: &StreamKey<'_>,
        of: impl FnOnce(&Registry, &Parts<'_>) -> T,
    ) -> T {
        with_parts((self.contexts, self.here, self.encoding), ids, key, of)
    }
}

/// What `of` makes of the parts of a key's group.
fn with_parts<E: Encoding, T>(
    (contexts, here, encoding): (&Contexts, &Birthplace, &E),
    ids: (u32, u32),
    key: &StreamKey<'_>,
    of: impl FnOnce(&Registry, &Parts<'_>) -> T,
) -> T {
    let sets = contexts.sets(ids.0, ids.1);
    let parts = Parts {
        resource: sets.0,
        scope: sets.1,
        name: text(key.name),
        unit: text(key.unit),
        description: encoding.description(key.about.description),
        hints: key.about.hints,
        kind: key.kind,
        monotonic: key.monotonic,
        bounds: &key.bounds(),
    };
    of(here.registry(), &parts)
}

/// What a rule calls a series, held while it is found or made.
struct Target {
    resource: Arc<MadeRun>,
    scope: Arc<MadeRun>,
    name: Box<str>,
    unit: Box<str>,
    attributes: Box<[u8]>,
    scale: f64,
}

impl Target {
    fn of(to: &Relabelled<'_>) -> Target {
        Target {
            resource: to.resource.clone(),
            scope: to.scope.clone(),
            name: to.name.into(),
            unit: to.unit.into(),
            attributes: to.attributes.into(),
            scale: to.scale,
        }
    }

    /// Bounds of an explicit histogram, scaled; nothing if they are no bounds any more.
    fn bounds(&self, packed: &[u8]) -> Option<Vec<u8>> {
        let (bounds, _) = packed.as_chunks::<8>();
        let scaled: Vec<f64> = bounds.iter().map(|bound| f64::from_le_bytes(*bound) * self.scale).collect();
        let rise = scaled.windows(2).all(|two| two[0] < two[1]) && scaled.iter().all(|bound| !bound.is_nan());
        (rise || self.scale == 1.0).then(|| scaled.iter().flat_map(|bound| bound.to_le_bytes()).collect())
    }
}

/// A resource or a scope that a rule made.
fn made_key<'a>(made: &'a MadeRun, schema_url: &'a [u8], state: &ahash::RandomState) -> EnvelopeKey<'a> {
    let (bytes, hash) = (made.bytes(), made.hash(state));
    EnvelopeKey { encoding: OWN, bytes, schema_url, is_cut: false, shared: Some((bytes, hash)) }
}

/// Name and version of a scope, and the run of its attributes.
fn split_head(scope: &[u8]) -> (&[u8], &[u8]) {
    let mut reader = Reader::new(scope);
    let mut head = 0;
    while let Ok(field) = reader.field() {
        if field.number > 2 || reader.skip(field, 1).is_err() {
            break;
        }
        head = scope.len() - reader.left();
    }
    scope.split_at(head)
}

/// What a core holds for finding series again counts towards the memory limit.
pub(super) fn hold(here: &Birthplace, links: &Links, contexts: &Contexts) {
    let routes = links.routes().bytes() + links.detour_count() * DETOUR_BYTES;
    here.registry().hold(here.core().into(), routes + contexts.bytes());
}
