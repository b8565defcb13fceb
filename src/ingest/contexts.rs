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
//! Bounds: `limits::GROUPS_MAX` streams a core, twice; a context is freed when nothing lies under it any more.

use super::routes::{NONE, Table};
use crate::model::{Kind, Temporality};
use crate::otlp::request::{Head, MetricHead};
use crate::series::Group;
use crate::series::cell::Shape;
use hashbrown::HashTable;
use std::sync::Arc;

/// A resource (parent none) or a scope (parent a resource).
#[derive(Debug)]
pub struct Envelope {
    hash: u64,
    parent: u32,
    bytes: Box<[u8]>,
    schema_url: Box<[u8]>,
    /// What came after it last time, among its siblings.
    next: u32,
    /// Its first child last time.
    first: u32,
    children: u32,
    live: bool,
}

/// How a stream is told from its siblings.
#[derive(Clone, Copy, Debug)]
pub struct StreamKey<'a> {
    /// Name, description, unit.
    pub metric: MetricHead<'a>,
    /// Data kind.
    pub kind: Kind,
    /// Input temporality; gauges have `Cumulative`.
    pub temporality: Temporality,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Bounds of an explicit histogram, packed.
    pub bounds: &'a [u8],
}

/// One metric of one scope in one temporality.
#[derive(Debug)]
pub struct Stream {
    hash: u64,
    scope: u32,
    name: Box<[u8]>,
    description: Box<[u8]>,
    unit: Box<[u8]>,
    bounds: Box<[u8]>,
    next: u32,
    live: bool,
    /// Data kind.
    pub kind: Kind,
    /// Input temporality.
    pub temporality: Temporality,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Shape of its cells.
    pub shape: Shape,
    /// Where its points go.
    pub group: Arc<Group>,
    /// Routes by hash.
    pub table: Table,
    /// The first route of the last export.
    pub first: u32,
    /// The route made last.
    pub newest: u32,
    /// Points to look up together when the next export begins: large if its order was no use last time.
    pub block: u32,
    /// The interval it was last used in.
    pub used: u32,
}

impl Stream {
    /// The stream is this one.
    #[inline]
    pub fn is(&self, scope: u32, key: &StreamKey<'_>) -> bool {
        self.live
            && self.scope == scope
            && self.kind == key.kind
            && self.temporality == key.temporality
            && self.monotonic == key.monotonic
            && *self.name == *key.metric.name
            && *self.unit == *key.metric.unit
            && *self.description == *key.metric.description
            && *self.bounds == *key.bounds
    }
}

/// All contexts of a core.
pub struct Contexts {
    state: ahash::RandomState,
    resources: Vec<Envelope>,
    resource_table: HashTable<u32>,
    resource_free: Vec<u32>,
    scopes: Vec<Envelope>,
    scope_table: HashTable<u32>,
    scope_free: Vec<u32>,
    streams: Vec<Stream>,
    stream_table: HashTable<u32>,
    stream_free: Vec<u32>,
    first_resource: u32,
}

fn envelope_is(all: &[Envelope], id: u32, parent: u32, head: &Head<'_>) -> bool {
    all.get(id as usize)
        .is_some_and(|e| e.live && e.parent == parent && *e.bytes == *head.bytes && *e.schema_url == *head.schema_url)
}

impl Contexts {
    /// No contexts; `state` keys the tables.
    pub fn new(state: ahash::RandomState) -> Contexts {
        Contexts {
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
        }
    }

    fn head_hash(&self, parent: u32, head: &Head<'_>) -> u64 {
        self.state.hash_one((parent, head.bytes, head.schema_url))
    }

    fn stream_hash(&self, scope: u32, key: &StreamKey<'_>) -> u64 {
        // all that `is` compares: what differs in nothing else must not share one hash
        let MetricHead { name, description, unit, .. } = key.metric;
        let kind = (key.kind as u8, key.temporality as u8, key.monotonic);
        self.state.hash_one((scope, name, description, unit, key.bounds, kind))
    }

    /// The resource with these bytes; `last` is the one before it in this request.
    #[inline]
    pub fn resource(&mut self, last: u32, head: &Head<'_>) -> Option<u32> {
        let guess = self.resources.get(last as usize).map_or(self.first_resource, |r| r.next);
        if envelope_is(&self.resources, guess, NONE, head) {
            return Some(guess);
        }
        let hash = self.head_hash(NONE, head);
        let found = *self.resource_table.find(hash, |id| envelope_is(&self.resources, *id, NONE, head))?;
        match self.resources.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.first_resource = found,
        }
        Some(found)
    }

    /// The scope with these bytes in `resource`; `last` is the one before it there.
    #[inline]
    pub fn scope(&mut self, resource: u32, last: u32, head: &Head<'_>) -> Option<u32> {
        let guess = match self.scopes.get(last as usize) {
            Some(last) => last.next,
            None => self.resources[resource as usize].first,
        };
        if envelope_is(&self.scopes, guess, resource, head) {
            return Some(guess);
        }
        let hash = self.head_hash(resource, head);
        let found = *self.scope_table.find(hash, |id| envelope_is(&self.scopes, *id, resource, head))?;
        match self.scopes.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.resources[resource as usize].first = found,
        }
        Some(found)
    }

    /// The stream with this key in `scope`; `last` is the one before it there.
    #[inline]
    pub fn stream(&mut self, scope: u32, last: u32, key: &StreamKey<'_>) -> Option<u32> {
        let guess = match self.streams.get(last as usize) {
            Some(last) => last.next,
            None => self.scopes[scope as usize].first,
        };
        if self.streams.get(guess as usize).is_some_and(|s| s.is(scope, key)) {
            return Some(guess);
        }
        let hash = self.stream_hash(scope, key);
        let found = *self.stream_table.find(hash, |id| self.streams[*id as usize].is(scope, key))?;
        match self.streams.get_mut(last as usize) {
            Some(last) => last.next = found,
            None => self.scopes[scope as usize].first = found,
        }
        Some(found)
    }

    /// Stream `id`, which exists.
    #[inline]
    pub fn at(&self, id: u32) -> &Stream {
        &self.streams[id as usize]
    }

    /// Stream `id`, which exists.
    #[inline]
    pub fn at_mut(&mut self, id: u32) -> &mut Stream {
        &mut self.streams[id as usize]
    }

    /// Live streams.
    pub fn len(&self) -> usize {
        self.streams.len() - self.stream_free.len()
    }

    fn add_envelope(
        all: &mut Vec<Envelope>,
        free: &mut Vec<u32>,
        table: &mut HashTable<u32>,
        hash: u64,
        parent: u32,
        head: &Head<'_>,
    ) -> u32 {
        let new = Envelope {
            hash,
            parent,
            bytes: head.bytes.into(),
            schema_url: head.schema_url.into(),
            next: NONE,
            first: NONE,
            children: 0,
            live: true,
        };
        let id = match free.pop() {
            Some(id) => {
                all[id as usize] = new;
                id
            }
            None => {
                all.push(new);
                all.len() as u32 - 1
            }
        };
        table.insert_unique(hash, id, |id| all[*id as usize].hash);
        id
    }

    /// Adds a stream with its resource and scope where they are new. Invariant 1 is the caller's.
    pub fn add(&mut self, resource: &Head<'_>, scope: &Head<'_>, key: &StreamKey<'_>, group: Arc<Group>) -> u32 {
        let resource_id = self.resource(NONE, resource).unwrap_or_else(|| {
            let hash = self.head_hash(NONE, resource);
            let (all, free) = (&mut self.resources, &mut self.resource_free);
            Self::add_envelope(all, free, &mut self.resource_table, hash, NONE, resource)
        });
        let scope_id = self.scope(resource_id, NONE, scope).unwrap_or_else(|| {
            let hash = self.head_hash(resource_id, scope);
            self.resources[resource_id as usize].children += 1;
            let (all, free) = (&mut self.scopes, &mut self.scope_free);
            Self::add_envelope(all, free, &mut self.scope_table, hash, resource_id, scope)
        });
        self.scopes[scope_id as usize].children += 1;
        let hash = self.stream_hash(scope_id, key);
        let shape = Shape::of(key.kind, key.temporality, group.buckets());
        let new = Stream {
            hash,
            scope: scope_id,
            name: key.metric.name.into(),
            description: key.metric.description.into(),
            unit: key.metric.unit.into(),
            bounds: key.bounds.into(),
            next: NONE,
            live: true,
            kind: key.kind,
            temporality: key.temporality,
            monotonic: key.monotonic,
            shape,
            group,
            table: Table::default(),
            first: NONE,
            newest: NONE,
            block: 1,
            used: 0,
        };
        let id = match self.stream_free.pop() {
            Some(id) => {
                self.streams[id as usize] = new;
                id
            }
            None => {
                self.streams.push(new);
                self.streams.len() as u32 - 1
            }
        };
        let streams = &self.streams;
        self.stream_table.insert_unique(hash, id, |id| streams[*id as usize].hash);
        id
    }

    /// Finds a stream by all its parts, without any order.
    pub fn find(&mut self, resource: &Head<'_>, scope: &Head<'_>, key: &StreamKey<'_>) -> Option<u32> {
        let resource = self.resource(NONE, resource)?;
        let scope = self.scope(resource, NONE, scope)?;
        self.stream(scope, NONE, key)
    }

    /// Frees a stream without routes, and what is empty above it. Returns its group.
    pub fn remove(&mut self, id: u32) -> Arc<Group> {
        let stream = &mut self.streams[id as usize];
        stream.live = false;
        let group = stream.group.clone();
        let (hash, scope) = (stream.hash, stream.scope);
        stream.table = Table::default();
        if let Ok(entry) = self.stream_table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.stream_free.push(id);
        let parent = &mut self.scopes[scope as usize];
        parent.children -= 1;
        if parent.children > 0 {
            return group;
        }
        parent.live = false;
        let (hash, resource) = (parent.hash, parent.parent);
        if let Ok(entry) = self.scope_table.find_entry(hash, |other| *other == scope) {
            entry.remove();
        }
        self.scope_free.push(scope);
        let parent = &mut self.resources[resource as usize];
        parent.children -= 1;
        if parent.children > 0 {
            return group;
        }
        parent.live = false;
        let hash = parent.hash;
        if let Ok(entry) = self.resource_table.find_entry(hash, |other| *other == resource) {
            entry.remove();
        }
        self.resource_free.push(resource);
        group
    }

    /// Live streams that have no route and were not used since interval `before`.
    pub fn idle(&self, before: u32) -> Vec<u32> {
        (0..self.streams.len() as u32)
            .filter(|id| {
                let s = self.at(*id);
                s.live && s.table.is_empty() && s.used < before
            })
            .collect()
    }
}
