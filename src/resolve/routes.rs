//! Routes: from raw attribute bytes to a cell, or to what becomes of them without one (`detours`), one core's own memory of what
//! it has resolved before.
//!
//! Knows bytes and numbers; does not know series, values or time. A *stream* (see `contexts`) has routes in the order
//! they were first seen, linked by what came next, and a small open-addressing table of routes by hash for when the
//! prediction fails.
//!
//! Invariants
//! 1. A route's bytes have been validated whole before the route was made.
//! 2. The table of a stream holds exactly the live routes of that stream, each once.
//! 3. `next` is a hint: any value is safe, for the bytes are compared. It may lead into a chunk that is no more.
//! 4. A chunk without routes holds no memory. Routes go to the lowest chunk with room, so that the others empty themselves.
//!
//! Bounds: one route per distinct byte string that fed a live cell, `limits::ROUTES_PER_CELL_MAX` a cell; freed with the
//! cell; those to nowhere have bounds of their own (`detours`). Their bytes are counted.

use crate::sync::thin::ThinBytes;
use std::collections::BTreeSet;

/// No route.
pub(crate) const NONE: u32 = u32::MAX;

/// One way into a cell.
#[derive(Debug)]
pub(super) struct Route {
    /// Attribute bytes as they come (invariant 1).
    pub bytes: ThinBytes,
    /// First line of its cell; of a route to nowhere, see `detours`.
    pub cell: u32,
    /// Its stream.
    pub stream: u32,
    /// The next route into the same cell; of a free place, the next free one of its chunk.
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
    nexts: Vec<Option<Box<[u32; CHUNK]>>>,
    /// By chunk.
    rooms: Vec<Room>,
    /// Chunks with room, without the empty ones.
    open: BTreeSet<u32>,
    /// Chunks without routes.
    empty: BTreeSet<u32>,
    live: usize,
    bytes: usize,
}

/// The free places of a chunk.
#[derive(Clone, Copy, Debug)]
struct Room {
    live: u32,
    /// The first free place that was a route's, or `NONE`.
    free: u32,
}

const EMPTY_ROOM: Room = Room { live: 0, free: NONE };

/// Bytes of a route beside those it is compared with: itself, its `next`, its slot in a table, and what an allocation adds.
pub(crate) const ROUTE_BYTES: usize = 60;

/// Bytes of a route that is compared with these.
pub(super) fn bytes_of(bytes: &ThinBytes) -> usize {
    ROUTE_BYTES + bytes.len()
}

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
        match self.nexts.get(id as usize / CHUNK) {
            Some(Some(nexts)) => nexts[id as usize % CHUNK],
            _ => NONE,
        }
    }

    /// Remembers that `next` came after `id`, which exists.
    #[inline]
    pub(super) fn put_next(&mut self, id: u32, next: u32) {
        if let Some(nexts) = &mut self.nexts[id as usize / CHUNK] {
            nexts[id as usize % CHUNK] = next;
        }
    }

    /// Adds a route.
    pub(super) fn add(&mut self, route: Route) -> u32 {
        self.bytes += ROUTE_BYTES + route.bytes.len();
        self.live += 1;
        let at = self.open.first().copied().unwrap_or_else(|| self.begin());
        let (chunk, room) = (&mut self.chunks[at as usize], &mut self.rooms[at as usize]);
        room.live += 1;
        let place = match room.free {
            NONE => {
                chunk.push(route);
                chunk.len() - 1
            }
            place => {
                room.free = chunk[place as usize].sibling;
                chunk[place as usize] = route;
                place as usize
            }
        };
        if room.live as usize == CHUNK {
            self.open.remove(&at);
        }
        (at as usize * CHUNK + place) as u32
    }

    /// Gives memory to an empty chunk, or makes a new one.
    #[cold]
    fn begin(&mut self) -> u32 {
        let at = self.empty.pop_first().unwrap_or_else(|| {
            assert!((self.chunks.len() + 1) * CHUNK < NONE as usize, "2^32 routes");
            self.chunks.push(Vec::new());
            self.nexts.push(None);
            self.rooms.push(EMPTY_ROOM);
            (self.chunks.len() - 1) as u32
        });
        self.chunks[at as usize] = Vec::with_capacity(CHUNK);
        self.nexts[at as usize] = Some(Box::new([NONE; CHUNK]));
        self.open.insert(at);
        at
    }

    /// Frees a route: it matches nothing from now on.
    pub(super) fn remove(&mut self, id: u32) {
        let (at, place) = ((id as usize / CHUNK) as u32, id % CHUNK as u32);
        let room = self.rooms[at as usize];
        let route = self.at_mut(id);
        let bytes = std::mem::replace(&mut route.bytes, ThinBytes::new(&[])).len();
        route.stream = NONE;
        route.sibling = room.free;
        self.bytes -= ROUTE_BYTES + bytes;
        self.live -= 1;
        if room.live > 1 {
            self.put_next(id, NONE);
            self.rooms[at as usize] = Room { live: room.live - 1, free: place };
            self.open.insert(at);
            return;
        }
        (self.chunks[at as usize], self.nexts[at as usize]) = (Vec::new(), None);
        self.rooms[at as usize] = EMPTY_ROOM;
        self.open.remove(&at);
        self.empty.insert(at);
    }

    /// More than the caches of a core hold.
    #[inline]
    pub(super) fn are_many(&self) -> bool {
        self.chunks.len() > 1 && self.live > CHUNK / 2
    }

    /// Bytes of all routes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Live routes.
    pub(super) const fn len(&self) -> usize {
        self.live
    }
}

/// A stream's table: in each slot eight bits of hash and a route number, five bytes; open addressing, linear
/// probing, at most seven eighths full: what is there is found in four or five steps then, all in a cache line or two.
/// What is not stored of a hash here stands in the route, for when the table grows. The first one has two slots: each of a
/// million streams may have one route.
#[derive(Debug, Default)]
pub(super) struct Table {
    tags: Box<[u8]>,
    routes: Box<[u32]>,
    used: u32,
    /// Slots whose route was taken out: probing goes on behind them.
    removed: u32,
}

/// A table of so many slots becomes smaller when a sixteenth of them is in use.
const SHRINK_AT: usize = if cfg!(test) { 64 } else { 1024 };

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
        if (self.used as usize + self.removed as usize + 1) * 8 > self.tags.len() * 7 {
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
        self.removed -= u32::from(self.tags[at] == REMOVED);
        (self.tags[at], self.routes[at]) = (tag_of(hash), route);
    }

    /// Makes room for one more: twice the slots, or the same ones without those that were taken out.
    #[cold]
    fn rebuild(&mut self, hash_of: impl Fn(u32) -> u32) {
        let size = ((self.used as usize + 1) * 8 / 7 + 1).next_power_of_two();
        let tags = std::mem::replace(&mut self.tags, vec![EMPTY; size].into());
        let routes = std::mem::replace(&mut self.routes, vec![NONE; size].into());
        self.removed = 0;
        for (_, route) in tags.into_iter().zip(routes).filter(|(tag, _)| *tag > REMOVED) {
            self.place(hash_of(route), route);
        }
    }

    /// Takes a route out; `hash_of` as in `add`.
    pub(super) fn remove(&mut self, hash: u32, route: u32, hash_of: impl Fn(u32) -> u32) {
        let Some(at) = self.slot_of(hash, |other| other == route) else { return };
        self.used -= 1;
        if self.tags[(at + 1) & self.mask()] == EMPTY {
            self.tags[at] = EMPTY;
        } else {
            self.tags[at] = REMOVED;
            self.removed += 1;
        }
        if self.tags.len() >= SHRINK_AT && self.used as usize * 16 < self.tags.len() {
            self.rebuild(hash_of);
        }
    }

    /// All routes in it, and perhaps some that were, or `NONE`.
    pub(super) fn into_routes(self) -> Vec<u32> {
        self.routes.into_vec()
    }

    /// Routes in it.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.used as usize
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

    /// Routes come and go against a model: each is where it was put, and a chunk without routes has no memory.
    #[test]
    fn chunks_without_routes_are_given_back_and_used_again_from_below() {
        let make =
            |n: u32| Route { bytes: ThinBytes::new(&n.to_le_bytes()), cell: n, stream: 1, sibling: NONE, tag: n };
        let mut routes = Routes::default();
        let held = |routes: &Routes| {
            let chunks = routes.chunks.iter().map(Vec::capacity).sum::<usize>();
            assert_eq!(chunks, routes.nexts.iter().flatten().count() * CHUNK);
            chunks
        };
        let ids: Vec<u32> = (0..5 * CHUNK as u32).map(|n| routes.add(make(n))).collect();
        assert_eq!((held(&routes), routes.len()), (5 * CHUNK, 5 * CHUNK));
        ids.windows(2).for_each(|pair| routes.put_next(pair[0], pair[1]));
        // one of each ten stays
        let (stay, go): (Vec<u32>, Vec<u32>) = ids.iter().partition(|id| **id % 10 == 0);
        go.iter().for_each(|id| routes.remove(*id));
        assert_eq!(held(&routes), 5 * CHUNK, "each chunk has some");
        let second: Vec<u32> = (0..CHUNK as u32).map(|n| routes.add(make(n))).collect();
        assert!(second.iter().all(|id| *id < 2 * CHUNK as u32), "from below");
        for (n, id) in second.iter().enumerate() {
            assert_eq!((routes.at(*id).cell, *routes.at(*id).bytes == (n as u32).to_le_bytes()[..]), (n as u32, true));
        }
        stay.iter().for_each(|id| {
            assert_eq!(routes.at(*id).cell, *id);
            routes.remove(*id);
        });
        assert!(held(&routes) <= 2 * CHUNK && routes.len() == CHUNK, "{}", held(&routes));
        second.iter().for_each(|id| routes.remove(*id));
        assert_eq!((held(&routes), routes.len(), routes.bytes()), (0, 0, 0));
        // hints that lead where nothing is
        assert!(ids.iter().all(|id| routes.next(*id) == NONE && routes.get(*id).is_none()));
        assert_eq!(routes.add(make(7)), 0, "the lowest");
    }

    #[test]
    fn a_table_of_one_route_has_two_slots() {
        let mut table = Table::default();
        table.add(7, 3, |_| 7);
        assert_eq!((table.tags.len(), table.routes.len(), table.find(7, |route| route == 3)), (2, 2, Some(3)));
        table.add(8, 4, |route| route + 4);
        assert_eq!((table.find(7, |route| route == 3), table.find(8, |route| route == 4)), (Some(3), Some(4)));
        assert!(size_of::<Table>() <= 40, "a million streams have one each");
    }

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
                        model.remove(&route);
                        table.remove(hash, route, |other| model[&other]);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.tags.is_empty() || table.tags.contains(&EMPTY));
                prop_assert!(table.tags.len() <= 128, "it grows with what is in it, not with what was");
                prop_assert!(table.tags.len() < SHRINK_AT || table.len() * 16 + 16 >= table.tags.len(), "and shrinks");
                prop_assert_eq!(table.tags.iter().filter(|tag| **tag == REMOVED).count(), table.removed as usize);
                for (route, hash) in &model {
                    prop_assert_eq!(table.find(*hash, |r| r == *route), Some(*route));
                }
                prop_assert_eq!(table.find(7, |_| false), None);
            }
        }
    }
}
