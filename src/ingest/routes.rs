//! Routes: from raw attribute bytes to a cell, one core's own memory of what it has resolved before.
//!
//! Knows bytes and numbers; does not know series, values or time. A *stream* (see `contexts`) has routes in the order
//! they were first seen, linked by what came next, and a small open-addressing table of (tag, route) for when the
//! prediction fails.
//!
//! Invariants
//! 1. A route's bytes have been validated whole before the route was made.
//! 2. The table of a stream holds exactly the live routes of that stream, each once.
//! 3. `next` is a hint: any value is safe, for the bytes are compared.
//!
//! Bounds: one route per distinct byte string that fed a live cell; freed with the cell.

use std::sync::Arc;

/// No route.
pub const NONE: u32 = u32::MAX;

/// One way into a cell.
#[derive(Debug)]
pub struct Route {
    /// Attribute bytes as they come (invariant 1).
    pub bytes: Arc<[u8]>,
    /// The route that came after this one last time.
    pub next: u32,
    /// First line of its cell.
    pub cell: u32,
    /// Its stream.
    pub stream: u32,
    /// The next route into the same cell.
    pub sibling: u32,
}

/// Routes of a chunk. Chunks never move: a million routes in one vector would be copied for milliseconds as it grows.
const CHUNK: usize = 4096;

/// All routes of a core.
#[derive(Debug, Default)]
pub struct Routes {
    chunks: Vec<Vec<Route>>,
    free: Vec<u32>,
}

impl Routes {
    /// Route `id`.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&Route> {
        self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)
    }

    /// Brings route `id` into the cache.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        if let Some(route) = self.get(id) {
            crate::sync::prefetch(route);
        }
    }

    /// Route `id`, which exists.
    #[inline]
    pub fn at(&self, id: u32) -> &Route {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Route `id`, which exists.
    #[inline]
    pub fn at_mut(&mut self, id: u32) -> &mut Route {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Adds a route.
    pub fn add(&mut self, route: Route) -> u32 {
        if let Some(id) = self.free.pop() {
            *self.at_mut(id) = route;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let id = (self.chunks.len() - 1) * CHUNK + self.chunks.last().map_or(0, Vec::len);
        assert!(id < NONE as usize, "2^32 routes");
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(route);
        }
        id as u32
    }

    /// Frees a route: it matches nothing from now on.
    pub fn remove(&mut self, id: u32) {
        let route = self.at_mut(id);
        route.bytes = Arc::new([]);
        route.next = NONE;
        route.stream = NONE;
        self.free.push(id);
    }

    /// Live routes.
    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, Vec::len) - self.free.len()
    }
}

/// A stream's table: 32 bits of hash and a route number in each slot.
#[derive(Debug, Default)]
pub struct Table {
    slots: Vec<u64>,
    used: usize,
}

const EMPTY: u64 = u64::MAX;

const fn slot(tag: u32, route: u32) -> u64 {
    (tag as u64) << 32 | route as u64
}

impl Table {
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// Brings the slot of `tag` into the cache.
    #[inline]
    pub fn prefetch(&self, tag: u32) {
        if !self.slots.is_empty() {
            crate::sync::prefetch(&self.slots[tag as usize & self.mask()]);
        }
    }

    /// The first route in the slots of `tag` that `same` accepts.
    #[inline]
    pub fn find(&self, tag: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.mask();
        let mut at = tag as usize & mask;
        loop {
            let entry = self.slots[at & mask];
            if entry == EMPTY {
                return None;
            }
            if (entry >> 32) as u32 == tag && same(entry as u32) {
                return Some(entry as u32);
            }
            at += 1;
        }
    }

    /// Adds a route that is not in it.
    pub fn add(&mut self, tag: u32, route: u32) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.place(slot(tag, route));
        self.used += 1;
    }

    fn place(&mut self, entry: u64) {
        let mask = self.mask();
        let mut at = (entry >> 32) as usize & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = entry;
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(8);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        old.into_iter().filter(|entry| *entry != EMPTY).for_each(|entry| self.place(entry));
    }

    /// Takes a route out; what stood behind it moves up, so that no tombstones gather.
    pub fn remove(&mut self, tag: u32, route: u32) {
        if self.slots.is_empty() {
            return;
        }
        let mask = self.mask();
        let mut at = tag as usize & mask;
        while self.slots[at] != slot(tag, route) {
            if self.slots[at] == EMPTY {
                return;
            }
            at = (at + 1) & mask;
        }
        self.used -= 1;
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let entry = self.slots[at];
            if entry == EMPTY {
                break;
            }
            let home = (entry >> 32) as usize & mask;
            // the entry may move into the hole unless its home lies behind the hole
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = entry;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
    }

    /// Routes in it.
    #[cfg(test)]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// No route in it.
    pub const fn is_empty(&self) -> bool {
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
            for (add, route, tag) in ops {
                match (add, model.get(&route).copied()) {
                    (true, None) => {
                        table.add(tag, route);
                        model.insert(route, tag);
                    }
                    (false, Some(tag)) => {
                        table.remove(tag, route);
                        model.remove(&route);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                for (route, tag) in &model {
                    prop_assert_eq!(table.find(*tag, |r| r == *route), Some(*route));
                }
            }
        }
    }
}
