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

/// A stream's table: in each slot eight bits of hash and a route number, five bytes side by side; open addressing, linear
/// probing, at most seven eighths full: what is there is found in four or five steps then, all in a cache line or two.
/// What is not stored of a hash here stands in the route, for when the table grows. One route takes no slots: each of a
/// million streams may have one.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    /// The only route, while there are no slots.
    alone: u32,
    used: u32,
    /// Slots whose route was taken out: probing goes on behind them.
    removed: u32,
}

impl Default for Table {
    fn default() -> Table {
        Table { slots: Box::default(), alone: NONE, used: 0, removed: 0 }
    }
}

/// Tag and route, byte by byte, so that nothing lies between them.
type Slot = [u8; 5];

const fn slot(tag: u8, route: u32) -> Slot {
    let [a, b, c, d] = route.to_le_bytes();
    [tag, a, b, c, d]
}

const fn route_in([_, a, b, c, d]: Slot) -> u32 {
    u32::from_le_bytes([a, b, c, d])
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
        self.slots.len().wrapping_sub(1)
    }

    /// Brings the slot of `hash` into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        if let Some(slot) = self.slots.get(hash as usize & self.mask()) {
            crate::sync::prefetch(slot);
        }
    }

    /// The first route in the slots of `hash` that `same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return (self.alone != NONE && same(self.alone)).then_some(self.alone);
        }
        self.slot_of(hash, same).map(|at| route_in(self.slots[at]))
    }

    #[inline]
    fn slot_of(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<usize> {
        let (mask, tag) = (self.mask(), tag_of(hash));
        let mut at = hash as usize & mask;
        // where there are slots, one is empty
        while let Some(there) = self.slots.get(at) {
            if there[0] == tag && same(route_in(*there)) {
                return Some(at);
            }
            if there[0] == EMPTY {
                return None;
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Adds a route that is not in it; `hash_of` gives the hash of one that is.
    pub(super) fn add(&mut self, hash: u32, route: u32, hash_of: impl Fn(u32) -> u32) {
        if self.slots.is_empty() && self.used == 0 {
            (self.alone, self.used) = (route, 1);
            return;
        }
        if (self.used as usize + self.removed as usize + 1) * 8 > self.slots.len() * 7 {
            self.rebuild(hash_of);
        }
        self.place(hash, route);
        self.used += 1;
    }

    fn place(&mut self, hash: u32, route: u32) {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        while self.slots[at][0] > REMOVED {
            at = (at + 1) & mask;
        }
        self.removed -= u32::from(self.slots[at][0] == REMOVED);
        self.slots[at] = slot(tag_of(hash), route);
    }

    /// Makes room for one more: twice the slots, or the same ones without those that were taken out.
    #[cold]
    fn rebuild(&mut self, hash_of: impl Fn(u32) -> u32) {
        let size = ((self.used as usize + 1) * 8 / 7 + 1).next_power_of_two();
        let slots = std::mem::replace(&mut self.slots, vec![slot(EMPTY, NONE); size].into());
        self.removed = 0;
        for there in slots.into_iter().filter(|there| there[0] > REMOVED) {
            let route = route_in(there);
            self.place(hash_of(route), route);
        }
        let alone = std::mem::replace(&mut self.alone, NONE);
        if alone != NONE {
            self.place(hash_of(alone), alone);
        }
    }

    /// Takes a route out; `hash_of` as in `add`.
    pub(super) fn remove(&mut self, hash: u32, route: u32, hash_of: impl Fn(u32) -> u32) {
        if self.alone == route && self.slots.is_empty() {
            (self.alone, self.used) = (NONE, 0);
        }
        let Some(at) = self.slot_of(hash, |other| other == route) else { return };
        self.used -= 1;
        if self.slots[(at + 1) & self.mask()][0] == EMPTY {
            self.slots[at][0] = EMPTY;
        } else {
            self.slots[at][0] = REMOVED;
            self.removed += 1;
        }
        if self.slots.len() >= SHRINK_AT && self.used as usize * 16 < self.slots.len() {
            self.rebuild(hash_of);
        }
    }

    /// All routes in it, and perhaps some that were, or `NONE`.
    pub(super) fn into_routes(self) -> Vec<u32> {
        self.slots.into_iter().map(route_in).chain([self.alone]).collect()
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
    fn a_table_of_one_route_has_no_slots() {
        let mut table = Table::default();
        table.add(7, 3, |_| 7);
        assert_eq!((table.slots.len(), table.len(), table.find(7, |route| route == 3)), (0, 1, Some(3)));
        table.remove(7, 3, |_| 7);
        assert_eq!((table.is_empty(), table.find(7, |_| true)), (true, None));
        table.add(7, 3, |_| 7);
        table.add(8, 4, |route| route + 4);
        assert_eq!((table.find(7, |route| route == 3), table.find(8, |route| route == 4)), (Some(3), Some(4)));
        assert_eq!((table.len(), table.slots.len()), (2, 4));
        let mut routes = table.into_routes();
        routes.retain(|route| *route != NONE);
        routes.sort_unstable();
        assert_eq!(routes, [3, 4]);
        assert!(size_of::<Table>() <= 32, "a million streams have one each");
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
                prop_assert!(table.slots.is_empty() || table.slots.iter().any(|slot| slot[0] == EMPTY));
                prop_assert!(table.slots.len() <= 128, "it grows with what is in it, not with what was");
                prop_assert!(table.slots.len() < SHRINK_AT || table.len() * 16 + 16 >= table.slots.len(), "and shrinks");
                prop_assert_eq!(table.slots.iter().filter(|slot| slot[0] == REMOVED).count(), table.removed as usize);
                for (route, hash) in &model {
                    prop_assert_eq!(table.find(*hash, |r| r == *route), Some(*route));
                }
                prop_assert_eq!(table.find(7, |_| false), None);
            }
        }
    }
}
