//! The index: a hash trie in which every thread looks series up, walks, inserts and removes at the same time.
//!
//! Knows hashes and leaves; does not know keys (the caller's `same` compares them), series, shards or clocks.
//!
//! ```text
//!   order = hash.rotate_left(8)      the 8 bits that choose the shard come last, the rest from the top down
//!
//!   root [8192] ── 13 bits ─┬─► leaf                    tag 0   Arc<T>, one count held by the trie
//!                           ├─► branch [8] ── 3 bits ─► tag 1   64 bytes, a cache line
//!                           ├─► collision               tag 2   leaves of one and the same hash, never changed
//!                           └─► (nothing)               null
//!
//!   insert:  nothing → leaf           leaf → branch → both leaves      leaf → collision of both
//!   remove:  leaf → nothing; a branch left with one leaf or none is frozen slot by slot, then replaced from above
//! ```
//!
//! Invariants
//!  1. The tag of a link says what it points at: 0 a leaf from `Arc::into_raw`, whose count the trie owns, or nothing;
//!     1 a boxed `Branch`; 2 a boxed `Collision`. What touches a count or frees uses that very pointer (`LeafRef`, `Link`),
//!     never one made of a reference. All are aligned to 8, so that tag and frozen bit find room.
//!  2. What is reached under a guard stays allocated until the guard is dropped: a part is unlinked by one successful
//!     compare-and-swap, and the thread that made it retires, once, exactly what the replacement no longer holds.
//!  3. A frozen link never changes again. A branch is replaced only when all its links are frozen, and by what they
//!     hold: no insertion or removal can be lost in a branch that was taken out. Links of the root are never frozen.
//!  4. A key has one place, given by the path of its hash, and every change is a compare-and-swap of the link in which
//!     the key was looked for. So two threads cannot insert the same key twice, and a removal cannot miss its leaf.
//!  5. A collision holds two or more leaves of one hash, sorted by address, and is never written after it is published.
//!  6. Hash and key of a leaf never change, and a leaf is in the trie at most once.
//!
//! Progress: `get` and `walk` are wait-free: at most 18 levels, and no step is repeated. `get_or_insert` and `remove` are
//! lock-free: a failed compare-and-swap means that another one succeeded; a thread that meets a frozen link finishes the
//! replacement of that branch and starts over. See `reclaim` on pinning.
//!
//! Ordering: a link is published by a Release compare-and-swap and followed after an Acquire load; the structure needs
//! nothing more. The fence before pruning only makes it unlikely that two removers both leave a sparse branch in place.
//!
//! Linearization: an insertion at its swap; a look-up at its last load, or, where it came through a branch that was
//! already taken out, at the moment that branch was frozen or entered, whichever was later.
//!
//! Bounds: depth 18, whatever the keys. The root has 8192 links: 64 KiB, 1 MiB for 16 shards and not touched before
//! they are used, while a shard of 64 Ki series finds nearly all of them two steps down. A walk visits as many leaves
//! as it is allowed and holds its guard no longer. Leaves of one full hash cost a copy of their array per insertion:
//! hashes are keyed per process, so a client cannot cause that.
//!
//! Memory beside the leaves: random hashes need 0.48 branches of 64 bytes per entry, as 1 / ln 8 says. Measured at 1 M random
//! entries: 31.5 bytes an entry, the root included. Sixteen ways took 46 bytes an entry, for a step less at a million series; a branch of eight is one cache line, and
//! only the birth of a series on a core takes that step.
//!
//! Sources: Bagwell, Ideal hash trees (2001); Prokopec et al., Ctries (2012) and Cache-tries (2018), for freezing; Go's
//! `internal/sync.HashTrieMap`, for the tests.

#[doc(hidden)]
pub mod fuzz;
#[cfg(all(test, loom))]
mod models;
mod node;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::sync::atomic::{Ordering, fence};
use crate::sync::reclaim::{Epoch, Reclaim};
use core::sync::atomic::AtomicUsize;
use node::{
    BRANCHES_DEEP_MAX, Branch, Collision, FROZEN, Insertion, LeafRef, Link, Node, Place, ROOT_BITS, Slot, TAG,
    TAG_BRANCH, TAG_COLLISION, WAYS, drop_box, drop_count, index, order,
};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;

const _: () = assert!(
    16 * (size_of::<Slot>() << ROOT_BITS) <= crate::limits::MIB || cfg!(loom),
    "an empty index of 16 shards stays at 1 MiB"
);

/// Hashes whose paths are brought into the cache together: as many lines as a core has on their way at once, about.
pub const WARM_MAX: usize = 16;

/// What the trie holds, in an `Arc`.
pub trait Leaf: Send + Sync + 'static {
    /// The hash of its key; always the same (invariant 6).
    fn hash(&self) -> u64;
}

/// The index of one shard; see the file's head.
pub struct Trie<T: Leaf, R: Reclaim = Epoch> {
    root: Box<[Slot]>,
    counters: crate::sync::CachePadded<Counters>,
    reclaim: R,
    owns: PhantomData<Arc<T>>,
}

/// What became of `get_or_insert`.
#[derive(Debug)]
pub enum Lookup<T> {
    /// The key was there, or another thread was faster.
    Found(Arc<T>),
    /// The leaf that `make` made is in the trie now.
    Inserted(Arc<T>),
    /// `make` made nothing.
    Refused,
}

/// Where a walk is; `default()` is its beginning. Ordered by hash (as the trie orders it), then address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexCursor {
    order: u64,
    address: usize,
}

/// The trie's view of itself. Look-ups, hits and misses are counted by the caller, in counters of its own core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Leaves.
    pub entries: usize,
    /// Branches below the root.
    pub branches: usize,
    /// Times a leaf's place was taken by a branch.
    pub splits: usize,
    /// Times a branch was taken out.
    pub prunes: usize,
    /// Insertions that met a leaf of the same hash and another key.
    pub collisions: usize,
    /// The deepest that a leaf was ever put, in levels; the root is the first.
    pub depth_max: usize,
}

impl IndexStats {
    /// Bytes of root and branches, as asked of the allocator.
    pub const fn bytes(&self) -> usize {
        (size_of::<Slot>() << ROOT_BITS) + self.branches * size_of::<Branch>()
    }
}

/// Statistics publish nothing: `core`'s atomics, all relaxed, so that models need not follow them.
#[derive(Default)]
struct Counters {
    entries: AtomicUsize,
    branches: AtomicUsize,
    splits: AtomicUsize,
    prunes: AtomicUsize,
    collisions: AtomicUsize,
    depth_max: AtomicUsize,
}

impl<T: Leaf> Trie<T, Epoch> {
    /// Brings the paths of hashes that are about to be looked for, each in the trie of the given place, into the cache, all
    /// of them a step at a time: what one look-up waits for step after step is fetched for all of them at once. A hint;
    /// those past `WARM_MAX` are left out.
    pub fn warm(tries: &[Self], hashes: impl Iterator<Item = (usize, u64)>) {
        // one guard does for all: epochs are the process's, a pinned thread holds back what any trie frees
        let Some(guard) = tries.first().map(|trie| trie.reclaim.pin()) else { return };
        let mut paths = [(0, None::<(&Self, &[Slot])>); WARM_MAX];
        for (path, (at, hash)) in paths.iter_mut().zip(hashes) {
            let trie = &tries[at];
            *path = (order(hash), Some((trie, &trie.root)));
            crate::sync::prefetch(&trie.root[index(path.0, 0)]);
        }
        for depth in 0..=BRANCHES_DEEP_MAX {
            let mut ended = true;
            for (order, slots) in &mut paths {
                let Some((trie, here)) = slots.take() else { continue };
                match trie.follow(Link::of(&here[index(*order, depth)]), &guard) {
                    Node::Branch(branch) => {
                        crate::sync::prefetch(branch);
                        *slots = Some((trie, &branch.slots));
                        ended = false;
                    }
                    Node::Leaf(leaf) => crate::sync::prefetch(&*leaf),
                    Node::Nothing | Node::Collision(_) => {}
                }
            }
            if ended {
                return;
            }
        }
    }
}

impl<T: Leaf, R: Reclaim> Default for Trie<T, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Leaf, R: Reclaim> Trie<T, R> {
    /// An empty trie.
    pub fn new() -> Self {
        const { assert!(align_of::<T>() > TAG | FROZEN, "invariant 1: a leaf's address leaves room for the tag") };
        Trie { root: empty_root(), counters: Default::default(), reclaim: R::default(), owns: PhantomData }
    }

    /// The leaf of this hash for which `same` holds.
    pub fn get(&self, hash: u64, mut same: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        let guard = self.reclaim.pin();
        let mut slots = &self.root[..];
        for depth in 0.. {
            match self.follow(Link::of(&slots[index(order(hash), depth)]), &guard) {
                Node::Nothing => return None,
                Node::Branch(branch) => slots = &branch.slots,
                Node::Leaf(leaf) => return (leaf.hash() == hash && same(&leaf)).then(|| self.share(leaf, &guard)),
                Node::Collision(found) => {
                    return self.find(found, hash, &mut same, &guard).map(|leaf| self.share(leaf, &guard));
                }
            }
        }
        unreachable!("a path ends before the hash does")
    }

    /// The leaf of this hash for which `same` holds, or else the one that `make` makes, inserted.
    ///
    /// `make` is called at most once, while the thread is pinned: it should be short. What it made is dropped unused
    /// when another thread inserts an equal key first; so whatever must happen once per entry belongs after `Inserted`.
    pub fn get_or_insert(
        &self,
        hash: u64,
        mut same: impl FnMut(&T) -> bool,
        make: impl FnOnce() -> Option<Arc<T>>,
    ) -> Lookup<T> {
        let guard = self.reclaim.pin();
        let mut make = Some(make);
        let mut fresh: Option<Arc<T>> = None;
        let mut at = Place::root(&self.root, hash);
        loop {
            let seen = Link::of(at.slot());
            if seen.is_frozen() {
                at = self.help(&at, &guard);
                continue;
            }
            let target = self.follow(seen, &guard);
            match target {
                Node::Branch(branch) => {
                    at.descend(seen, branch);
                    continue;
                }
                Node::Leaf(leaf) if leaf.hash() == hash && same(&leaf) => {
                    return Lookup::Found(self.share(leaf, &guard));
                }
                Node::Collision(found) => {
                    if let Some(leaf) = self.find(found, hash, &mut same, &guard) {
                        return Lookup::Found(self.share(leaf, &guard));
                    }
                }
                _ => {}
            }
            if let Some(make) = make.take() {
                fresh = make();
            }
            let Some(leaf) = &fresh else { return Lookup::Refused };
            assert_eq!(leaf.hash(), hash, "the leaf made has the hash it was made for");
            let plan = self.plan(&at, seen, target, Arc::into_raw(leaf.clone()));
            // ORDERING: Release publishes leaf, branches and collision to the Acquire in `Link::of`; weaker would show
            // them before they are written. Relaxed on failure: the link is loaded again.
            if seen.swap(at.slot(), plan.link) {
                self.inserted(&plan, &at);
                if let Node::Collision(_) = target
                    && plan.collided
                {
                    // SAFETY: invariant 2: this swap unlinked it, the new array holds its leaves. (One of another hash
                    // was not replaced: it lies in the new branch.)
                    unsafe { self.retire_collision(seen, &guard) };
                }
                return Lookup::Inserted(fresh.expect("made above"));
            }
            // SAFETY: it was never published, and the count was given above.
            unsafe { plan.discard::<T>(&at) };
        }
    }

    /// Takes out this very leaf; `false` if it is not (or no longer) in the trie.
    pub fn remove(&self, leaf: &Arc<T>) -> bool {
        let guard = self.reclaim.pin();
        let wanted = Arc::as_ptr(leaf);
        let mut at = Place::root(&self.root, leaf.hash());
        loop {
            let seen = Link::of(at.slot());
            if seen.is_frozen() {
                at = self.help(&at, &guard);
                continue;
            }
            match self.follow(seen, &guard) {
                Node::Nothing => return false,
                Node::Branch(branch) => {
                    at.descend(seen, branch);
                    continue;
                }
                Node::Leaf(found) if !std::ptr::eq(found.pointer(), wanted) => return false,
                Node::Leaf(_) => {
                    if !seen.swap(at.slot(), Link::NOTHING) {
                        continue;
                    }
                }
                Node::Collision(old) => {
                    let Some(rest) = old.without(wanted.cast_mut().cast()) else { return false };
                    if !seen.swap(at.slot(), rest) {
                        // SAFETY: never published; its leaves belong to `old`.
                        unsafe { rest.discard_shell() };
                        continue;
                    }
                    // SAFETY: invariant 2: this swap unlinked it; the leaves left are held by `rest`.
                    unsafe { self.retire_collision(seen, &guard) };
                }
            }
            // SAFETY: invariant 2: this swap took the leaf out (invariant 6: from its only place), with the trie's
            // count.
            unsafe { self.reclaim.retire(&guard, wanted.cast_mut().cast(), drop_count::<T>) };
            self.counters.entries.fetch_sub(1, Ordering::Relaxed);
            self.prune(&at, &guard);
            return true;
        }
    }

    /// Visits up to `limit` leaves from `cursor` on, in the order of their hashes; `true` when the end is reached.
    ///
    /// A leaf that is in the trie from the first slice of a walk to its last is visited exactly once, whatever others
    /// do; one that comes or goes meanwhile is visited at most once for each time it came.
    pub fn walk(&self, cursor: &mut IndexCursor, limit: usize, mut visit: impl FnMut(&Arc<T>)) -> bool {
        let guard = self.reclaim.pin();
        let mut left = limit;
        self.walk_slots(
            &self.root,
            0,
            true,
            cursor,
            &mut |cursor, found| {
                // (order, address) rises strictly along a walk, and no address is 0.
                let next = IndexCursor { order: order(found.hash()), address: found.pointer().addr() };
                if (next.order, next.address) <= (cursor.order, cursor.address) {
                    return true;
                }
                if left == 0 {
                    return false;
                }
                left -= 1;
                *cursor = next;
                // SAFETY: invariants 1 and 2: the trie's count is lent for the length of the call, and never dropped
                // here.
                visit(&ManuallyDrop::new(unsafe { Arc::from_raw(found.pointer()) }));
                true
            },
            &guard,
        )
    }

    /// Leaves.
    pub fn len(&self) -> usize {
        self.counters.entries.load(Ordering::Relaxed)
    }

    /// Whether there are no leaves.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts loading the root's link for `hash`, for a look-up that follows soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        crate::sync::prefetch(&self.root[index(order(hash), 0)]);
    }

    /// The trie's view of itself; each number is exact when nobody changes the trie.
    pub fn stats(&self) -> IndexStats {
        let c = &self.counters;
        IndexStats {
            entries: c.entries.load(Ordering::Relaxed),
            branches: c.branches.load(Ordering::Relaxed),
            splits: c.splits.load(Ordering::Relaxed),
            prunes: c.prunes.load(Ordering::Relaxed),
            collisions: c.collisions.load(Ordering::Relaxed),
            depth_max: c.depth_max.load(Ordering::Relaxed),
        }
    }

    /// What `link` points at, for as long as the guard lives.
    #[inline]
    fn follow<'g>(&'g self, link: Link, _guard: &'g R::Guard) -> Node<'g, T> {
        let pointer = link.pointer();
        match link.0.addr() & TAG {
            _ if pointer.is_null() => Node::Nothing,
            // SAFETY: invariants 1 and 2: what the tag says, alive under the guard.
            TAG_BRANCH => Node::Branch(unsafe { &*pointer.cast::<Branch>() }),
            // SAFETY: as above.
            TAG_COLLISION => Node::Collision(unsafe { &*pointer.cast::<Collision>() }),
            // SAFETY: as above.
            _ => Node::Leaf(unsafe { LeafRef::new(pointer) }),
        }
    }

    /// The leaf of a collision that the caller looks for.
    fn find<'g>(
        &'g self,
        collision: &'g Collision,
        hash: u64,
        same: &mut impl FnMut(&T) -> bool,
        _guard: &'g R::Guard,
    ) -> Option<LeafRef<'g, T>> {
        if collision.hash != hash {
            return None;
        }
        // SAFETY: invariants 1, 2 and 5: leaves held by the trie, alive under the guard.
        collision.leaves.iter().map(|leaf| unsafe { LeafRef::new(*leaf) }).find(|leaf| same(leaf))
    }

    /// A count of the caller's own on a leaf found under its guard.
    #[inline]
    fn share(&self, leaf: LeafRef<'_, T>, _guard: &R::Guard) -> Arc<T> {
        let pointer = leaf.pointer();
        // SAFETY: invariants 1 and 2: it came from `Arc::into_raw`, and the trie's count is not dropped under the
        // guard.
        unsafe {
            Arc::increment_strong_count(pointer);
            Arc::from_raw(pointer)
        }
    }

    /// What shall stand where `at` is, so that `fresh` is there beside what stands there now. Publishes nothing.
    fn plan(&self, at: &Place<'_>, seen: Link, target: Node<'_, T>, fresh: *const T) -> Insertion {
        let leaf = Link::leaf(fresh);
        let hash = at.hash;
        let (occupant_hash, collision) = match target {
            Node::Nothing => return Insertion { link: leaf, leaf, branches: 0, collided: false },
            Node::Leaf(other) if other.hash() == hash => {
                let link = Link::collision(hash, vec![seen.pointer(), leaf.pointer()]);
                return Insertion { link, leaf, branches: 0, collided: true };
            }
            Node::Leaf(other) => (other.hash(), None),
            Node::Collision(others) => (others.hash, Some(others)),
            Node::Branch(_) => unreachable!("descended into"),
        };
        if let Some(others) = collision
            && occupant_hash == hash
        {
            let leaves = others.leaves.iter().copied().chain([leaf.pointer()]).collect();
            return Insertion { link: Link::collision(hash, leaves), leaf, branches: 0, collided: true };
        }
        let (mine, theirs) = (order(hash), order(occupant_hash));
        let fork = (at.depth + 1..)
            .find(|depth| index(mine, *depth) != index(theirs, *depth))
            .expect("different hashes part somewhere");
        let mut link = Link::branch([(index(mine, fork), leaf), (index(theirs, fork), seen)]);
        for depth in (at.depth + 1..fork).rev() {
            link = Link::branch([(index(mine, depth), link)]);
        }
        Insertion { link, leaf, branches: fork - at.depth, collided: false }
    }

    /// Counts an insertion.
    fn inserted(&self, plan: &Insertion, at: &Place<'_>) {
        let c = &self.counters;
        c.entries.fetch_add(1, Ordering::Relaxed);
        let depth = at.depth + plan.branches + 1;
        if depth > c.depth_max.load(Ordering::Relaxed) {
            c.depth_max.fetch_max(depth, Ordering::Relaxed);
        }
        if plan.branches > 0 {
            c.branches.fetch_add(plan.branches, Ordering::Relaxed);
            c.splits.fetch_add(1, Ordering::Relaxed);
        }
        if plan.collided {
            c.collisions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Finishes the replacement of the branch in which a frozen link was met; the place to start over from.
    #[cold]
    fn help<'g>(&'g self, at: &Place<'g>, guard: &'g R::Guard) -> Place<'g> {
        let (holder, held, branch) = at.path().next_back().expect("invariant 3: the root is never frozen");
        self.replace(holder, held, branch, guard);
        Place::root(&self.root, at.hash)
    }

    /// Takes out the branches along a path that hold one leaf or none, from below.
    fn prune<'g>(&'g self, at: &Place<'g>, guard: &'g R::Guard) {
        // ORDERING: SeqCst between our removal and the counting below: of two removers that empty a branch together at
        // least one sees both removals. Without it the branch could stay, which costs memory and nothing else.
        fence(Ordering::SeqCst);
        for (holder, held, branch) in at.path().rev() {
            if !branch.is_sparse() || !self.replace(holder, held, branch, guard) {
                break;
            }
        }
    }

    /// Freezes `branch` and puts what it holds where its holder pointed at it: nothing, its one leaf, or a copy.
    /// `false` when another thread did, or when the holder itself is frozen and has to go first.
    fn replace(&self, holder: &Slot, held: Link, branch: &Branch, guard: &R::Guard) -> bool {
        let links: [Link; WAYS] = std::array::from_fn(|way| Link::freeze(&branch.slots[way]));
        let mut live = links.iter().enumerate().filter(|(_, link)| !link.is_nothing()).map(|(way, link)| (way, *link));
        let next = match (live.next(), live.next()) {
            (None, _) => Link::NOTHING,
            (Some((_, only)), None) if !only.is_branch() => only,
            (Some(first), second) => Link::branch([first].into_iter().chain(second).chain(live)),
        };
        let copied = next.is_branch();
        if !held.swap(holder, next) {
            if copied {
                // SAFETY: never published; what it holds belongs to `branch`.
                unsafe { next.discard_shell() };
            }
            return false;
        }
        if !copied {
            self.counters.branches.fetch_sub(1, Ordering::Relaxed);
            self.counters.prunes.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: invariants 2 and 3: this swap unlinked it; all that it held is held by `next`.
        unsafe { self.reclaim.retire(guard, held.pointer(), drop_box::<Branch>) };
        !copied
    }

    /// # Safety
    ///
    /// `old` is a collision; the caller's swap unlinked it, and what replaced it holds the leaves that stay.
    unsafe fn retire_collision(&self, old: Link, guard: &R::Guard) {
        // SAFETY: the caller's promise; the very pointer that `Link::collision` made of the box (invariant 1).
        unsafe { self.reclaim.retire(guard, old.pointer(), drop_box::<Collision>) };
    }

    /// Walks the slots of one node; on the cursor's path from its link on, else from the first.
    fn walk_slots(
        &self,
        slots: &[Slot],
        depth: usize,
        on_path: bool,
        cursor: &mut IndexCursor,
        step: &mut impl FnMut(&mut IndexCursor, LeafRef<'_, T>) -> bool,
        guard: &R::Guard,
    ) -> bool {
        let first = if on_path { index(cursor.order, depth) } else { 0 };
        slots.iter().enumerate().skip(first).all(|(at, slot)| match self.follow(Link::of(slot), guard) {
            Node::Nothing => true,
            Node::Leaf(leaf) => step(cursor, leaf),
            Node::Branch(branch) => {
                self.walk_slots(&branch.slots, depth + 1, on_path && at == first, cursor, step, guard)
            }
            // SAFETY: invariants 1, 2 and 5: leaves held by the trie, alive under the guard, in the order of a cursor.
            Node::Collision(found) => found.leaves.iter().all(|leaf| step(cursor, unsafe { LeafRef::new(*leaf) })),
        })
    }
}

impl<T: Leaf, R: Reclaim> Drop for Trie<T, R> {
    fn drop(&mut self) {
        for slot in &self.root {
            // SAFETY: `&mut self` says that all others are gone; each part is linked once (invariant 4).
            unsafe { Link::of(slot).drop_all::<T>() };
        }
    }
}

impl<T: Leaf, R: Reclaim> std::fmt::Debug for Trie<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trie").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
fn empty_root() -> Box<[Slot]> {
    // SAFETY: an AtomicPtr of zeros is a null pointer (invariant 1: nothing). Zeroed by the allocator, so that pages
    // are not touched before they are used.
    unsafe { Box::<[Slot]>::new_zeroed_slice(1 << ROOT_BITS).assume_init() }
}

#[cfg(loom)]
fn empty_root() -> Box<[Slot]> {
    (0..1 << ROOT_BITS).map(|_| Slot::new(std::ptr::null_mut())).collect()
}
