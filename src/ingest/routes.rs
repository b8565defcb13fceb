//! Routes: from raw attribute bytes to a cell, one core's own memory of what it has resolved before.
//!
//! Knows bytes and numbers; does not know series, values or time. A *stream* (see `contexts`) has routes in the order
//! they were first seen, linked by what came next, and a small open-addressing table of routes by hash for when the
//! prediction fails.
//!
//! Invariants
//! 1. A route's bytes have been validated whole before the route was made.
//! 2. The table of a stream holds exactly the live routes of that stream, each once.
//! 3. `next` is a hint: any value is safe, for the bytes are compared.
//!
//! Bounds: one route per distinct byte string that fed a live cell, `limits::ROUTES_PER_CELL_MAX` a cell; freed with the
//! cell. Their bytes are counted.

use crate::sync::thin::ThinBytes;

/// No route.
pub(super) const NONE: u32 = u32::MAX;

/// One way into a cell.
#[derive(Debug)]
pub(super) struct Route {
    /// Attribute bytes as they come (invariant 1).
    pub bytes: ThinBytes,
    /// First line of its cell.
    pub cell: u32,
    /// Its stream.
    pub stream: u32,
    /// The next route into the same cell.
    pub sibling: u32,
    /// The hash of `bytes` by which the stream's table has it.
    pub tag: u32,
}

const _: () = assert!(size_of::<Route>() == 24, "a million series have one each");

/// Routes of a chunk. Chunks never move: a million routes in one vector would be copied for milliseconds as it grows.
const CHUNK: usize = 4096;

/// All routes of a core, and beside them what came after each last time: four bytes a route that lie together, so that
/// the walk can look several routes ahead without waiting for memory.
#[derive(Debug, Default)]
pub(super) struct Routes {
    chunks: Vec<Vec<Route>>,
    nexts: Vec<Box<[u32; CHUNK]>>,
    free: Vec<u32>,
    bytes: usize,
}

/// Bytes of a route beside those it is compared with: itself, its `next`, its slot in a table, and what an allocation adds.
const ROUTE_BYTES: usize = 60;

impl Routes {
    /// Route `id`.
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Route> {
        self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)
    }

    /// Brings route `id` into the cache.
    #[inline]
    pub(super) fn prefetch(&self, id: u32) {
        if let Some(route) = self.get(id) {
            crate::sync::prefetch(route);
        }
    }

    /// Route `id`, which exists.
    #[inline]
    pub(super) fn at(&self, id: u32) -> &Route {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Route `id`, which exists.
    #[inline]
    pub(super) fn at_mut(&mut self, id: u32) -> &mut Route {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// The route that came after `id` last time; none behind no route.
    #[inline]
    pub(super) fn next(&self, id: u32) -> u32 {
        self.nexts.get(id as usize / CHUNK).map_or(NONE, |nexts| nexts[id as usize % CHUNK])
    }

    /// Remembers that `next` came after `id`, which exists.
    #[inline]
    pub(super) fn put_next(&mut self, id: u32, next: u32) {
        self.nexts[id as usize / CHUNK][id as usize % CHUNK] = next;
    }

    /// Adds a route.
    pub(super) fn add(&mut self, route: Route) -> u32 {
        self.bytes += ROUTE_BYTES + route.bytes.len();
        if let Some(id) = self.free.pop() {
            *self.at_mut(id) = route;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
            self.nexts.push(Box::new([NONE; CHUNK]));
        }
        let id = (self.chunks.len() - 1) * CHUNK + self.chunks.last().map_or(0, Vec::len);
        assert!(id < NONE as usize, "2^32 routes");
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(route);
        }
        id as u32
    }

    /// Frees a route: it matches nothing from now on.
    pub(super) fn remove(&mut self, id: u32) {
        let route = self.at_mut(id);
        let bytes = std::mem::replace(&mut route.bytes, ThinBytes::new(&[])).len();
        route.stream = NONE;
        self.bytes -= ROUTE_BYTES + bytes;
        self.put_next(id, NONE);
        self.free.push(id);
    }

    /// More than the caches of a core hold.
    #[inline]
    pub(super) fn are_many(&self) -> bool {
        self.chunks.len() > 1
    }

    /// Bytes of all routes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Live routes.
    pub(super) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, Vec::len) - self.free.len()
    }
}

/// A stream's table: in each slot eight bits of hash and a route number, five bytes; open addressing, linear
/// probing, at most seven eighths full: what is there is found in four or five steps then, all in a cache line or two.
/// What is not stored of a hash here stands in the route, for when the table grows.
#[derive(Debug, Default)]
pub(super) struct Table {
    tags: Vec<u8>,
    routes: Vec<u32>,
    used: usize,
    /// Slots whose route was taken out: probing goes on behind them.
    removed: usize,
}

const EMPTY: u8 = 0;
const REMOVED: u8 = 1;

/// The hash's high bits; its low ones choose the slot.
const fn tag_of(hash: u32) -> u8 {
    let tag = (hash >> 24) as u8;
    if tag <= REMOVED { tag + 2 } else { tag }
}

impl Table {
    const fn mask(&self) -> usize {
        self.tags.len().wrapping_sub(1)
    }

    /// Brings the slot of `hash` into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        let at = hash as usize & self.mask();
        if let (Some(tag), Some(route)) = (self.tags.get(at), self.routes.get(at)) {
            crate::sync::prefetch(tag);
            crate::sync::prefetch(route);
        }
    }

    /// The first route in the slots of `hash` that `same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u32, same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, same).map(|at| self.routes[at])
    }

    #[inline]
    fn slot_of(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<usize> {
        let (mask, tag) = (self.mask(), tag_of(hash));
        let mut at = hash as usize & mask;
        // an empty table has no slot; all others have an empty one
        while let Some(there) = self.tags.get(at) {
            if *there == tag && same(self.routes[at]) {
                return Some(at);
            }
            if *there == EMPTY {
                return None;
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Adds a route that is not in it; `hash_of` gives the hash of one that is.
    pub(super) fn add(&mut self, hash: u32, route: u32, hash_of: impl Fn(u32) -> u32) {
        if (self.used + self.removed + 1) * 8 > self.tags.len() * 7 {
            self.rebuild(hash_of);
        }
        self.place(hash, route);
        self.used += 1;
    }

    fn place(&mut self, hash: u32, route: u32) {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        while self.tags[at] > REMOVED {
            at = (at + 1) & mask;
        }
        self.removed -= usize::from(self.tags[at] == REMOVED);
        (self.tags[at], self.routes[at]) = (tag_of(hash), route);
    }

    /// Makes room for one more: twice the slots, or the same ones without those that were taken out.
    #[cold]
    fn rebuild(&mut self, hash_of: impl Fn(u32) -> u32) {
        let size = ((self.used + 1) * 8 / 7 + 1).next_power_of_two().max(8);
        let tags = std::mem::replace(&mut self.tags, vec![EMPTY; size]);
        let routes = std::mem::replace(&mut self.routes, vec![NONE; size]);
        self.removed = 0;
        for (_, route) in tags.into_iter().zip(routes).filter(|(tag, _)| *tag > REMOVED) {
            self.place(hash_of(route), route);
        }
    }

    /// Takes a route out.
    pub(super) fn remove(&mut self, hash: u32, route: u32) {
        let Some(at) = self.slot_of(hash, |other| other == route) else { return };
        self.used -= 1;
        if self.tags[(at + 1) & self.mask()] == EMPTY {
            self.tags[at] = EMPTY;
        } else {
            self.tags[at] = REMOVED;
            self.removed += 1;
        }
    }

    /// Routes in it.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.used
    }

    /// No route in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_table_is_a_map(ops in prop::collection::vec((any::<bool>(), 0u32..40, prop_oneof![Just(0u32), 0u32..8, any::<u32>()]), 0..400)) {
            let mut table = Table::default();
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for (add, route, hash) in ops {
                match (add, model.get(&route).copied()) {
                    (true, None) => {
                        table.add(hash, route, |other| model[&other]);
                        model.insert(route, hash);
                    }
                    (false, Some(hash)) => {
                        table.remove(hash, route);
                        model.remove(&route);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.tags.is_empty() || table.tags.contains(&EMPTY));
                prop_assert!(table.tags.len() <= 128, "it grows with what is in it, not with what was");
                prop_assert_eq!(table.tags.iter().filter(|tag| **tag == REMOVED).count(), table.removed);
                for (route, hash) in &model {
                    prop_assert_eq!(table.find(*hash, |r| r == *route), Some(*route));
                }
                prop_assert_eq!(table.find(7, |_| false), None);
            }
        }
    }
}
