//! Contexts: resources, scopes and streams as one core has seen them, found again by comparing bytes.
//!
//! Knows raw message parts and what usually follows what; does not know points. A *stream* is one metric of one scope
//! of one resource in one temporality (and, for explicit histograms, with one set of bounds): what a point needs
//! beside its attributes. Several streams may feed one group (another order of resource attributes, another
//! temporality).
//!
//! Invariants
//! 1. The parts of a context have been validated and found acceptable before it was made.
//! 2. `next` and `first` are hints: the bytes are compared.
//!
//! Bounds: `limits::STREAMS_PER_GROUP` streams a core for each group that there may be, and of streams without a group as many,
//! or what `limits::DISCARDED_PART` has room for; a context is freed when nothing lies under it any more. Their bytes are counted.

mod stream;

use super::gate::{AskElection, Replica};
use super::keys::{About, EnvelopeKey, StreamKey};
use super::routes::{NONE, Table};
use crate::cells::Shape;
use crate::identity::{MetricName, Set};
use crate::model::{Kind, Temporality};
use crate::places;
use crate::series::Group;
use crate::series::elections::{Election, Silence, Standing};
use crate::sync::thin::ThinBytes;
use hashbrown::HashTable;
use std::sync::Arc;
pub(super) use stream::{MetricStream, StreamFate};
use stream::{parts_of, spread};

/// A resource (parent none) or a scope (parent a resource).
#[derive(Debug)]
pub(super) struct Envelope {
    hash: u64,
    parent: u32,
    bytes: Arc<[u8]>,
    schema_url: Box<[u8]>,
    /// What it says, normalised.
    set: Arc<Set>,
    /// What came after it last time, among its siblings.
    next: u32,
    /// Its first child last time.
    first: u32,
    children: u32,
    encoding: u8,
    live: bool,
    /// It is found by its bytes.
    is_found: bool,
    /// Of a resource, who was asked about it last, in numbers (`Contexts::asked`).
    asked: u32,
    /// Of a resource, that it is one of several replicas.
    replica: Option<Box<Replica>>,
}

/// All contexts of a core.
pub(super) struct Contexts {
    state: ahash::RandomState,
    resources: Vec<Envelope>,
    resource_table: HashTable<u32>,
    resource_free: Vec<u32>,
    scopes: Vec<Envelope>,
    scope_table: HashTable<u32>,
    scope_free: Vec<u32>,
    streams: Vec<MetricStream>,
    stream_table: HashTable<u32>,
    stream_free: Vec<u32>,
    first_resource: u32,
    /// The resource and the scope entered last in this request, by where their bytes lie.
    entered: [Option<(Address, u32)>; 2],
    bytes: usize,
    /// Streams that are found and have no group: what all points of are dropped, as far as is known.
    apart: usize,
    /// Bytes of streams without a group.
    apart_bytes: usize,
    /// Who is asked about streams now, and about resources, in numbers: another one, another number.
    asked: (u32, u32),
    /// Streams that are found no more and not yet put away: how many, and those that nobody took up yet (`renewal`).
    dismissed: (usize, Vec<u32>),
    /// Resources that are found no more and not yet put away.
    resources_dismissed: usize,
    /// What freed places hold instead of what they held.
    nothing: Arc<Set>,
    nobody: Arc<Group>,
    /// What streams without bounds have.
    no_bounds: ThinBytes,
}

/// Where the bytes of a head lie, which stay where they are as long as their request: equal places have equal bytes.
type Address = (usize, usize, usize, usize);

fn address(head: &EnvelopeKey<'_>) -> Address {
    (head.bytes.as_ptr().addr(), head.bytes.len(), head.schema_url.as_ptr().addr(), head.schema_url.len())
}

impl Envelope {
    /// It is no more: its bytes are given back, and it matches nothing.
    fn bury(&mut self, nothing: &Arc<Set>) {
        (self.live, self.is_found) = (false, false);
        self.set = nothing.clone();
        self.bytes = Arc::default();
        self.schema_url = Box::default();
        self.replica = None;
    }

    fn bytes(&self) -> usize {
        let replica = self.replica.as_deref().map_or(0, size_of_val);
        size_of::<Envelope>() + self.bytes.len() + self.schema_url.len() + self.set.bytes() + replica
    }
}

fn envelope_is(all: &[Envelope], id: u32, parent: u32, head: &EnvelopeKey<'_>) -> bool {
    all.get(id as usize).is_some_and(|e| {
        e.is_found
            && e.encoding == head.encoding
            && e.parent == parent
            && (std::ptr::eq(&*e.bytes, head.bytes) || *e.bytes == *head.bytes)
            && *e.schema_url == *head.schema_url
    })
}

/// An envelope that was found by bytes that others share holds these from now on: they are not compared again.
fn share_bytes(envelope: &mut Envelope, head: &EnvelopeKey<'_>) {
    if let Some((shared, _)) = head.shared.filter(|(shared, _)| !Arc::ptr_eq(shared, &envelope.bytes)) {
        envelope.bytes = shared.clone();
    }
}

/// A table that is mostly empty becomes smaller.
fn fit(table: &mut HashTable<u32>, hash: impl Fn(&u32) -> u64) {
    if table.capacity() / 4 > table.len() {
        table.shrink_to(table.len() * 2, hash);
    }
}

impl Contexts {
    /// No contexts; `state` keys the tables.
    pub(super) fn new(state: ahash::RandomState) -> Contexts {
        let nothing = Set::new(&[], &[], "", &state);
        let nobody = Group::nobody(&state);
        Contexts {
            nothing,
            nobody,
            no_bounds: ThinBytes::new(&[]),
            state,
            resources: Vec::new(),
            resource_table: HashTable::new(),
            resource_free: Vec::new(),
            scopes: Vec::new(),
            scope_table: HashTable::new(),
            scope_free: Vec::new(),
            streams: Vec::new(),
            stream_table: HashTable::new(),
            stream_free: Vec::new(),
            first_resource: NONE,
            entered: [None; 2],
            bytes: 0,
            apart_bytes: 0,
            apart: 0,
            asked: (0, 0),
            dismissed: (0, Vec::new()),
            resources_dismissed: 0,
        }
    }

    /// Bytes of all contexts.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of streams without a group.
    pub(super) const fn apart_bytes(&self) -> usize {
        self.apart_bytes
    }

    fn head_hash(&self, parent: u32, head: &EnvelopeKey<'_>) -> u64 {
        match head.shared {
            None => self.state.hash_one((parent, head.encoding, head.bytes, head.schema_url)),
            Some((_, hash)) => self.state.hash_one((parent, head.encoding, hash, head.schema_url)),
        }
    }

    fn stream_hash(&self, scope: u32, key: &StreamKey<'_>) -> u32 {
        // all that `is` compares: what differs in nothing else must not share one hash
        let StreamKey { name, unit, .. } = *key;
        let kind = (key.kind as u8, key.temporality as u8, key.monotonic);
        self.state.hash_one((scope, name, unit, key.bounds, kind)) as u32
    }

    /// The resource with these bytes; `last` is the one before it in this request.
    #[inline]
    pub(super) fn resource(&mut self, last: u32, head: &EnvelopeKey<'_>) -> Option<u32> {
        let guess = self.resources.get(last as usize).map_or(self.first_resource, |r| r.next);
        if head.shared.is_none() && envelope_is(&self.resources, guess, NONE, head) {
            return Some(guess);
        }
        let hash = self.head_hash(NONE, head);
        let found = *self.resource_table.find(hash, |id| envelope_is(&self.resources, *id, NONE, head))?;
        share_bytes(&mut self.resources[found as usize], head);
        match self.resources.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.first_resource = found,
        }
        Some(found)
    }

    /// The scope with these bytes in `resource`; `last` is the one before it there.
    #[inline]
    pub(super) fn scope(&mut self, resource: u32, last: u32, head: &EnvelopeKey<'_>) -> Option<u32> {
        let guess = match self.scopes.get(last as usize) {
            Some(last) => last.next,
            None => self.resources[resource as usize].first,
        };
        if head.shared.is_none() && envelope_is(&self.scopes, guess, resource, head) {
            return Some(guess);
        }
        let hash = self.head_hash(resource, head);
        let found = *self.scope_table.find(hash, |id| envelope_is(&self.scopes, *id, resource, head))?;
        share_bytes(&mut self.scopes[found as usize], head);
        match self.scopes.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.resources[resource as usize].first = found,
        }
        Some(found)
    }

    /// The stream with this key in `scope`; `last` is the one before it there.
    #[inline]
    pub(super) fn stream(&mut self, scope: u32, last: u32, key: &StreamKey<'_>) -> Option<u32> {
        let guess = match self.streams.get(last as usize) {
            Some(last) => last.next,
            None => self.scopes[scope as usize].first,
        };
        if self.streams.get(guess as usize).is_some_and(|s| s.is(scope, key)) {
            return Some(guess);
        }
        let hash = self.stream_hash(scope, key);
        let found = *self.stream_table.find(spread(hash), |id| self.streams[*id as usize].is(scope, key))?;
        match self.streams.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.scopes[scope as usize].first = found,
        }
        Some(found)
    }

    /// MetricStream `id`, which exists.
    #[inline]
    pub(super) fn at(&self, id: u32) -> &MetricStream {
        &self.streams[id as usize]
    }

    /// MetricStream `id`, which exists.
    #[inline]
    pub(super) fn at_mut(&mut self, id: u32) -> &mut MetricStream {
        &mut self.streams[id as usize]
    }

    /// Streams that are found and have a group: what is dropped takes no room of what is kept.
    pub(super) fn grouped(&self) -> usize {
        self.len() - self.apart
    }

    /// Those that have none.
    pub(super) const fn apart(&self) -> usize {
        self.apart
    }

    /// Streams that are found.
    pub(super) fn len(&self) -> usize {
        self.streams.len() - self.stream_free.len() - self.dismissed.0
    }

    fn add_envelope(
        all: &mut Vec<Envelope>,
        free: &mut Vec<u32>,
        table: &mut HashTable<u32>,
        (hash, parent, asked): (u64, u32, u32),
        head: &EnvelopeKey<'_>,
        set: Arc<Set>,
    ) -> u32 {
        let new = Envelope {
            hash,
            parent,
            bytes: head.shared.map_or_else(|| head.bytes.into(), |(shared, _)| shared.clone()),
            schema_url: head.schema_url.into(),
            set,
            next: NONE,
            first: NONE,
            children: 0,
            encoding: head.encoding,
            live: true,
            is_found: true,
            asked,
            replica: None,
        };
        let id = places::put(all, free, new);
        table.insert_unique(hash, id, |id| all[*id as usize].hash);
        id
    }

    /// A request begins or ends: what was entered in the one before and has no stream goes.
    pub(super) fn begin(&mut self) {
        self.leave_scope();
        self.leave_resource();
    }

    fn leave_scope(&mut self) {
        if let Some((_, id)) = self.entered[1].take()
            && self.scopes[id as usize].children == 0
        {
            self.remove_scope(id);
        }
    }

    /// Its scope was left before.
    fn leave_resource(&mut self) {
        if let Some((_, id)) = self.entered[0].take()
            && self.resources[id as usize].children == 0
        {
            self.remove_resource(id);
        }
    }

    /// Schema URLs of resource and scope.
    pub(super) fn schema_urls(&self, (resource, scope): (u32, u32)) -> (&[u8], &[u8]) {
        (&self.resources[resource as usize].schema_url, &self.scopes[scope as usize].schema_url)
    }

    /// A resource that was entered is one of several replicas.
    pub(super) fn put_replica(&mut self, resource: u32, replica: Replica) {
        self.bytes += size_of_val(&**self.resources[resource as usize].replica.insert(Box::new(replica)));
    }

    /// Who of several replicas counts, if the resource is one.
    pub(super) fn election(&self, resource: u32) -> Option<&Arc<Election>> {
        self.resources[resource as usize].replica.as_ref().map(|replica| &replica.election)
    }

    /// A block of the resource came in this interval: if it does not count, by which number its points are counted. `ask`:
    /// `Election::seen` if it is taken, `would_be` if it is only read.
    #[inline]
    pub(super) fn standby(&mut self, resource: u32, interval: u32, ask: AskElection) -> Option<u32> {
        let replica = self.resources[resource as usize].replica.as_deref()?;
        if ask(&replica.election, replica.hash, interval, replica.silence) == Standing::Elected {
            return None;
        }
        // a number that is another stream's by now does no harm
        if let Some(placeholder) = self.streams.get_mut(replica.placeholder as usize) {
            placeholder.used = interval;
        }
        Some(replica.number)
    }

    /// Whether a stream holds a resource that does not count.
    pub(super) fn is_held(&self, resource: u32) -> bool {
        let placeholder =
            self.resources[resource as usize].replica.as_ref().map_or(NONE, |replica| replica.placeholder);
        self.streams.get(placeholder as usize).is_some_and(|stream| {
            stream.live && stream.name().is_empty() && self.scopes[stream.scope as usize].parent == resource
        })
    }

    /// A stream holds the resource, as long as its blocks come.
    pub(super) fn hold(&mut self, (resource, scope): (u32, u32), interval: u32) {
        let key = StreamKey {
            name: &[],
            unit: &[],
            kind: Kind::Gauge,
            temporality: Temporality::Cumulative,
            monotonic: false,
            bounds: &[],
            about: About::NOTHING,
        };
        let id = match self.stream(scope, NONE, &key) {
            Some(id) => id,
            None => self.add_apart(scope, &key, StreamFate::Discard(NONE)),
        };
        self.at_mut(id).used = interval;
        if let Some(replica) = &mut self.resources[resource as usize].replica {
            replica.placeholder = id;
        }
    }

    /// Resource and scope of a stream.
    pub(super) fn place_of(&self, stream: u32) -> (u32, u32) {
        let scope = self.at(stream).scope;
        (self.scopes[scope as usize].parent, scope)
    }

    /// Lets `enter` enter another resource and scope in between; then those that are entered now are so again. What `enter`
    /// left without a stream goes.
    pub(super) fn aside<T>(&mut self, enter: impl FnOnce(&mut Contexts) -> T) -> T {
        let before = std::mem::take(&mut self.entered);
        let entered = enter(self);
        for (now, before) in self.entered.iter_mut().zip(before) {
            // the same one may have been entered by other bytes in the same place of memory; it is not over for it yet
            *now = now.filter(|(_, id)| before.is_none_or(|(_, other)| other != *id));
        }
        self.begin();
        self.entered = before;
        entered
    }

    /// The resource of `head`, if it is known: its bytes are not read again for each birth under it.
    pub(super) fn known_resource(&mut self, head: &EnvelopeKey<'_>) -> Option<u32> {
        let entered = self.entered[0].filter(|(at, _)| *at == address(head));
        entered.map_or_else(|| self.resource(NONE, head), |(_, id)| Some(id))
    }

    /// The resource of `head`, made with `set` if it is new. What is entered and gets no stream goes again when another
    /// one is entered. Invariant 1 is the caller's.
    pub(super) fn enter_resource<E>(
        &mut self,
        head: &EnvelopeKey<'_>,
        set: impl FnOnce() -> Result<Arc<Set>, E>,
    ) -> Result<u32, E> {
        let place = address(head);
        if let Some((at, id)) = self.entered[0]
            && at == place
        {
            return Ok(id);
        }
        self.begin();
        let id = match self.resource(NONE, head) {
            Some(id) => id,
            None => {
                let set = set()?;
                let hash = self.head_hash(NONE, head);
                let (all, free) = (&mut self.resources, &mut self.resource_free);
                let id = Self::add_envelope(all, free, &mut self.resource_table, (hash, NONE, self.asked.1), head, set);
                self.bytes += self.resources[id as usize].bytes();
                id
            }
        };
        self.entered[0] = Some((place, id));
        Ok(id)
    }

    /// The scope of `head` in `resource`, which was entered last; else as `enter_resource`.
    pub(super) fn enter_scope<E>(
        &mut self,
        resource: u32,
        head: &EnvelopeKey<'_>,
        set: impl FnOnce() -> Result<Arc<Set>, E>,
    ) -> Result<u32, E> {
        let place = address(head);
        if let Some((at, id)) = self.entered[1]
            && at == place
            && self.scopes[id as usize].parent == resource
        {
            return Ok(id);
        }
        self.leave_scope();
        let id = match self.scope(resource, NONE, head) {
            Some(id) => id,
            None => {
                let set = set()?;
                let hash = self.head_hash(resource, head);
                self.resources[resource as usize].children += 1;
                let (all, free) = (&mut self.scopes, &mut self.scope_free);
                let id = Self::add_envelope(all, free, &mut self.scope_table, (hash, resource, 0), head, set);
                self.bytes += self.scopes[id as usize].bytes();
                id
            }
        };
        self.entered[1] = Some((place, id));
        Ok(id)
    }

    /// What resource and scope say.
    pub(super) fn sets(&self, resource: u32, scope: u32) -> (&Arc<Set>, &Arc<Set>) {
        (&self.resources[resource as usize].set, &self.scopes[scope as usize].set)
    }

    /// Adds a stream to a scope that was entered. Resource and scope are held together with the group.
    pub(super) fn add(&mut self, scope_id: u32, key: &StreamKey<'_>, group: Arc<Group>) -> u32 {
        self.share(scope_id, &group);
        self.put(scope_id, key, group, StreamFate::Pass)
    }

    /// Adds a stream without a group to a scope that was entered.
    pub(super) fn add_apart(&mut self, scope_id: u32, key: &StreamKey<'_>, fate: StreamFate) -> u32 {
        let id = self.put(scope_id, key, self.nobody.clone(), fate);
        self.apart += 1;
        self.apart_bytes += self.at(id).bytes();
        id
    }

    /// The group of a stream that was added without one. Resource and scope are held together with it.
    pub(super) fn join(&mut self, id: u32, group: Arc<Group>) {
        self.share(self.at(id).scope, &group);
        self.apart -= 1;
        let stream = &mut self.streams[id as usize];
        let before = stream.bytes();
        debug_assert!(group.metric.is(stream.name(), stream.unit()), "a group is called as its streams are");
        (stream.metric, stream.group) = (group.metric.clone(), group);
        self.apart_bytes -= before;
        self.bytes = self.bytes - before + stream.bytes();
    }

    /// Whether the stream has no group.
    pub(super) fn is_apart(&self, id: u32) -> bool {
        Arc::ptr_eq(&self.at(id).group, &self.nobody)
    }

    fn share(&mut self, scope_id: u32, group: &Group) {
        let resource_id = self.scopes[scope_id as usize].parent;
        let (resource, scope) = (&mut self.resources[resource_id as usize], &mut self.scopes[scope_id as usize]);
        self.bytes -= resource.set.bytes() + scope.set.bytes();
        (resource.set, scope.set) = (group.resource_set.clone(), group.scope_set.clone());
        self.bytes += resource.set.bytes() + scope.set.bytes();
    }

    fn put(&mut self, scope_id: u32, key: &StreamKey<'_>, group: Arc<Group>, fate: StreamFate) -> u32 {
        self.scopes[scope_id as usize].children += 1;
        let hash = self.stream_hash(scope_id, key);
        let is_named = group.metric.is(key.name, key.unit);
        debug_assert!(is_named || Arc::ptr_eq(&group, &self.nobody), "a group is called as its streams are");
        let metric = if is_named { group.metric.clone() } else { MetricName::new(text(key.name), text(key.unit)) };
        let new = MetricStream {
            hash,
            scope: scope_id,
            metric,
            bounds: if key.bounds.is_empty() { self.no_bounds.clone() } else { ThinBytes::new(key.bounds) },
            next: NONE,
            live: true,
            is_found: true,
            asked: self.asked.0,
            kind: key.kind,
            temporality: key.temporality,
            monotonic: key.monotonic,
            shape: Shape::of(key.kind, key.temporality, key.buckets()),
            fate: parts_of(fate).0,
            discarded_by: parts_of(fate).1,
            is_target: false,
            group,
            table: Table::default(),
            first: NONE,
            newest: NONE,
            block: 1,
            used: 0,
            described: key.about.description.len() as u32,
            hints: key.about.hints,
        };
        let id = places::put(&mut self.streams, &mut self.stream_free, new);
        let bytes = self.streams[id as usize].bytes();
        self.bytes += bytes;
        let streams = &self.streams;
        self.stream_table.insert_unique(spread(hash), id, |id| spread(streams[*id as usize].hash));
        id
    }

    /// Frees a stream without routes, and what is empty above it. Returns its group, if it has one.
    pub(super) fn remove(&mut self, id: u32) -> Option<Arc<Group>> {
        let stream = &mut self.streams[id as usize];
        let bytes = stream.bytes();
        self.bytes -= bytes;
        let was_found = stream.is_found;
        if !was_found {
            self.dismissed.0 -= 1;
        }
        (stream.live, stream.is_found) = (false, false);
        (stream.metric, stream.bounds) = (self.nobody.metric.clone(), self.no_bounds.clone());
        let group = std::mem::replace(&mut stream.group, self.nobody.clone());
        let (hash, scope) = (stream.hash, stream.scope);
        stream.table = Table::default();
        if let Ok(entry) = self.stream_table.find_entry(spread(hash), |other| *other == id) {
            entry.remove();
        }
        self.stream_free.push(id);
        let parent = &mut self.scopes[scope as usize];
        parent.children -= 1;
        if parent.children == 0 {
            let resource = parent.parent;
            self.remove_scope(scope);
            if self.resources[resource as usize].children == 0 {
                self.remove_resource(resource);
            }
        }
        let is_apart = Arc::ptr_eq(&group, &self.nobody);
        if is_apart {
            self.apart -= usize::from(was_found);
            self.apart_bytes -= bytes;
        }
        (!is_apart).then_some(group)
    }

    /// Frees an empty scope; its resource may be empty then.
    fn remove_scope(&mut self, id: u32) {
        let scope = &mut self.scopes[id as usize];
        self.bytes -= scope.bytes();
        let (hash, resource) = (scope.hash, scope.parent);
        scope.bury(&self.nothing);
        if let Ok(entry) = self.scope_table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.scope_free.push(id);
        self.resources[resource as usize].children -= 1;
    }

    fn remove_resource(&mut self, id: u32) {
        let resource = &mut self.resources[id as usize];
        self.bytes -= resource.bytes();
        self.resources_dismissed -= usize::from(!resource.is_found);
        let hash = resource.hash;
        resource.bury(&self.nothing);
        if let Ok(entry) = self.resource_table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.resource_free.push(id);
    }

    /// After many were removed: gives back what they took.
    pub(super) fn trim(&mut self) {
        places::trim(&mut self.streams, &mut self.stream_free, |stream| !stream.live);
        places::trim(&mut self.scopes, &mut self.scope_free, |scope| !scope.live);
        places::trim(&mut self.resources, &mut self.resource_free, |resource| !resource.live);
        let (streams, scopes, resources) = (&self.streams, &self.scopes, &self.resources);
        fit(&mut self.stream_table, |id| spread(streams[*id as usize].hash));
        fit(&mut self.scope_table, |id| scopes[*id as usize].hash);
        fit(&mut self.resource_table, |id| resources[*id as usize].hash);
    }

    /// Live streams that have no route and were not used since interval `before`.
    pub(super) fn idle(&self, before: u32) -> Vec<u32> {
        (0..self.streams.len() as u32).filter(|id| self.is_idle(*id, before)).collect()
    }

    /// Whether the stream is live, has no route and was not used since interval `before`.
    pub(super) fn is_idle(&self, id: u32, before: u32) -> bool {
        let s = self.at(id);
        s.is_found && s.table.is_empty() && s.used < before
    }

    // ---- asking again ------------------------------------------------------------------------------------------------

    /// Another one is asked about streams from now on, and about resources too, if `resources`.
    pub(super) fn ask_again(&mut self, resources: bool) {
        self.asked = (self.asked.0.wrapping_add(1), self.asked.1.wrapping_add(u32::from(resources)));
    }

    /// Whether who is asked now was asked about the stream.
    #[inline]
    pub(super) fn is_asked(&self, id: u32) -> bool {
        self.at(id).asked == self.asked.0
    }

    /// Who is asked now says of a stream what the one before said, but perhaps for a number.
    pub(super) fn confirm(&mut self, id: u32, fate: StreamFate) {
        let asked = self.asked.0;
        let stream = self.at_mut(id);
        debug_assert_eq!(matches!(stream.fate(), StreamFate::Discard(_)), matches!(fate, StreamFate::Discard(_)));
        stream.put_fate(fate);
        stream.asked = asked;
    }

    /// A stream is found no more: what comes for it makes another one. Its routes go bit by bit, and it with them.
    pub(super) fn dismiss(&mut self, id: u32) {
        let stream = &mut self.streams[id as usize];
        if !std::mem::replace(&mut stream.is_found, false) {
            return;
        }
        let hash = stream.hash;
        if let Ok(entry) = self.stream_table.find_entry(spread(hash), |other| *other == id) {
            entry.remove();
        }
        self.apart -= usize::from(self.is_apart(id));
        self.dismissed.0 += 1;
        self.dismissed.1.push(id);
    }

    /// Streams that were dismissed since this was last asked.
    pub(super) fn take_dismissed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dismissed.1)
    }

    /// Whether there are some of those.
    pub(super) const fn has_dismissed(&self) -> bool {
        !self.dismissed.1.is_empty()
    }

    /// Whether who is asked now was asked about the resource.
    #[inline]
    pub(super) fn is_resource_asked(&self, id: u32) -> bool {
        self.resources[id as usize].asked == self.asked.1
    }

    /// Which replica a resource is, if it is one.
    pub(super) fn replica(&self, resource: u32) -> Option<&Replica> {
        self.resources[resource as usize].replica.as_deref()
    }

    /// Who is asked now says of a resource what the one before said, but for what is no part of who it is.
    pub(super) fn confirm_resource(&mut self, id: u32, replica: Option<(Silence, u32)>) {
        let resource = &mut self.resources[id as usize];
        resource.asked = self.asked.1;
        if let (Some(known), Some((silence, number))) = (&mut resource.replica, replica) {
            (known.silence, known.number) = (silence, number);
        }
    }

    /// A resource is found no more: what comes for it makes another one. Its streams are to be dismissed (`is_left`).
    pub(super) fn dismiss_resource(&mut self, id: u32) {
        let resource = &mut self.resources[id as usize];
        resource.is_found = false;
        let hash = resource.hash;
        if let Ok(entry) = self.resource_table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.resources_dismissed += 1;
        if self.resources[id as usize].children == 0 {
            self.remove_resource(id);
        }
    }

    /// Whether a resource was dismissed whose streams are there.
    pub(super) const fn has_left(&self) -> bool {
        self.resources_dismissed > 0
    }

    /// Whether the stream is found, and its resource was dismissed.
    pub(super) fn is_left(&self, id: u32) -> bool {
        self.streams.get(id as usize).is_some_and(|stream| {
            stream.is_found && !self.resources[self.scopes[stream.scope as usize].parent as usize].is_found
        })
    }

    /// Places of streams.
    pub(super) fn places(&self) -> u32 {
        self.streams.len() as u32
    }
}

/// Text that has been checked.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}
