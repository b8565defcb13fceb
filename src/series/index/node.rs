//! What the trie is made of: tagged links, branches, collisions, and a place on a path.
//!
//! Knows pointers, tags and which link a hash takes; does not know when anything may be freed: `index` does. The invariants are those of
//! `index`.

use crate::sync::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bits of the hash that choose the shard; the trie looks at them last.
pub(super) const SHARD_BITS: u32 = 8;
/// Bits that choose the link of the root.
pub(super) const ROOT_BITS: u32 = if cfg!(loom) { 1 } else { 13 };
/// Bits that choose the link of a branch.
pub(super) const BRANCH_BITS: u32 = if cfg!(loom) { 1 } else { 3 };
/// Links of a branch.
pub(super) const WAYS: usize = 1 << BRANCH_BITS;
/// Branches below one another, at most.
pub(super) const BRANCHES_DEEP_MAX: usize = ((64 - ROOT_BITS) / BRANCH_BITS) as usize;

const _: () = assert!((64 - ROOT_BITS).is_multiple_of(BRANCH_BITS), "the path uses the hash up exactly");
pub(super) const TAG: usize = 3;
pub(super) const TAG_BRANCH: usize = 1;
pub(super) const TAG_COLLISION: usize = 2;
pub(super) const FROZEN: usize = 4;

/// A place for a link, changed by compare-and-swap only.
pub(super) type Slot = AtomicPtr<u8>;

/// A tagged pointer (invariant 1), perhaps frozen (invariant 3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(pub(super) *mut u8);

/// `WAYS` links.
pub(super) struct Branch {
    pub(super) slots: [Slot; WAYS],
}

/// Leaves of one and the same hash (invariant 5).
pub(super) struct Collision {
    pub(super) hash: u64,
    pub(super) leaves: Vec<*mut u8>,
}

/// What a link points at.
pub(super) enum Node<'g, T> {
    Nothing,
    Leaf(LeafRef<'g, T>),
    Branch(&'g Branch),
    Collision(&'g Collision),
}

/// A leaf that stays allocated for `'g`, by its pointer from `Arc::into_raw`: a reference may touch the leaf alone, not
/// the counts before it.
pub(super) struct LeafRef<'g, T> {
    pointer: NonNull<T>,
    lent: PhantomData<&'g T>,
}

impl<T> LeafRef<'_, T> {
    /// # Safety
    ///
    /// `pointer` comes from `Arc::<T>::into_raw`, and a count of it stays for the lifetime that the caller chooses.
    #[inline]
    pub(super) unsafe fn new(pointer: *mut u8) -> Self {
        // SAFETY: the caller's promise: no leaf lies at null.
        LeafRef { pointer: unsafe { NonNull::new_unchecked(pointer.cast()) }, lent: PhantomData }
    }

    #[inline]
    pub(super) fn pointer(self) -> *const T {
        self.pointer.as_ptr().cast_const()
    }
}

impl<T> std::ops::Deref for LeafRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the promise given to `new`.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T> Clone for LeafRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for LeafRef<'_, T> {}

impl<T> Clone for Node<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Node<'_, T> {}

/// A link made ready for one insertion, with what it would count.
pub(super) struct Insertion {
    pub(super) link: Link,
    pub(super) leaf: Link,
    pub(super) branches: usize,
    pub(super) collided: bool,
}

/// A branch on a path: the slot that held it, the link seen there, the branch.
pub(super) type PathStep<'g> = (&'g Slot, Link, &'g Branch);

/// Where a thread is on the path of one hash.
pub(super) struct Place<'g> {
    pub(super) hash: u64,
    pub(super) depth: usize,
    slots: &'g [Slot],
    path: [Option<PathStep<'g>>; BRANCHES_DEEP_MAX],
}

impl<'g> Place<'g> {
    pub(super) fn root(slots: &'g [Slot], hash: u64) -> Self {
        Place { hash, depth: 0, slots, path: [None; BRANCHES_DEEP_MAX] }
    }

    pub(super) fn slot(&self) -> &'g Slot {
        &self.slots[index(order(self.hash), self.depth)]
    }

    /// Enters the branch that `seen`, loaded from this place's slot, points at.
    pub(super) fn descend(&mut self, seen: Link, branch: &'g Branch) {
        self.path[self.depth] = Some((self.slot(), seen, branch));
        self.depth += 1;
        self.slots = &branch.slots;
    }

    /// The branches entered, from the root down.
    pub(super) fn path(&self) -> impl DoubleEndedIterator<Item = PathStep<'g>> + '_ {
        self.path[..self.depth].iter().flatten().copied()
    }
}

impl Link {
    pub(super) const NOTHING: Link = Link(std::ptr::null_mut());

    /// The link in a slot now.
    #[inline]
    pub(super) fn of(slot: &Slot) -> Link {
        // ORDERING: Acquire pairs with the Release of `swap`: what the link points at is visible, whole.
        Link(slot.load(Ordering::Acquire))
    }

    /// A leaf whose count passes to the trie with the link.
    pub(super) fn leaf<T>(pointer: *const T) -> Link {
        Link(pointer.cast_mut().cast())
    }

    /// A new branch with links at the given ways.
    pub(super) fn branch(links: impl IntoIterator<Item = (usize, Link)>) -> Link {
        let mut held = [std::ptr::null_mut(); WAYS];
        for (way, link) in links {
            held[way] = link.0;
        }
        let branch = Box::into_raw(Box::new(Branch { slots: held.map(Slot::new) }));
        Link(branch.cast::<u8>().map_addr(|address| address | TAG_BRANCH))
    }

    /// A new array of leaves of one hash.
    pub(super) fn collision(hash: u64, mut leaves: Vec<*mut u8>) -> Link {
        leaves.sort_unstable_by_key(|leaf| leaf.addr());
        let collision = Box::into_raw(Box::new(Collision { hash, leaves }));
        Link(collision.cast::<u8>().map_addr(|address| address | TAG_COLLISION))
    }

    #[inline]
    pub(super) fn pointer(self) -> *mut u8 {
        self.0.map_addr(|address| address & !(TAG | FROZEN))
    }

    #[inline]
    pub(super) fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    pub(super) fn is_nothing(self) -> bool {
        self.pointer().is_null()
    }

    pub(super) fn is_branch(self) -> bool {
        self.0.addr() & TAG == TAG_BRANCH
    }

    /// Puts `next` where this link is, if it is still there.
    #[inline]
    pub(super) fn swap(self, slot: &Slot, next: Link) -> bool {
        // ORDERING: Release publishes what `next` points at to `of`; Acquire, because the winner may free what this
        // link pointed at. Relaxed on failure: the caller loads again.
        slot.compare_exchange(self.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Freezes a slot (invariant 3); what it holds from now on, without the mark.
    pub(super) fn freeze(slot: &Slot) -> Link {
        loop {
            let seen = Link::of(slot);
            let frozen = Link(seen.0.map_addr(|address| address | FROZEN));
            if seen.is_frozen() || seen.swap(slot, frozen) {
                return Link(seen.0.map_addr(|address| address & !FROZEN));
            }
        }
    }

    /// Frees a branch or collision that was never published, not what it holds. Does nothing for a leaf.
    ///
    /// # Safety
    ///
    /// Nobody else has this link.
    pub(super) unsafe fn discard_shell(self) {
        // SAFETY: invariant 1 for the type, the caller's promise for the rest.
        unsafe {
            match self.0.addr() & TAG {
                TAG_BRANCH => drop_box::<Branch>(self.pointer()),
                TAG_COLLISION => drop_box::<Collision>(self.pointer()),
                _ => {}
            }
        }
    }

    /// Frees everything below this link, and drops the trie's counts of its leaves.
    ///
    /// # Safety
    ///
    /// Nobody else can reach it any more.
    pub(super) unsafe fn drop_all<T>(self) {
        let pointer = self.pointer();
        if pointer.is_null() {
            return;
        }
        // SAFETY: invariant 1 for the types, the caller's promise for the rest.
        unsafe {
            match self.0.addr() & TAG {
                TAG_BRANCH => {
                    let branch = Box::from_raw(pointer.cast::<Branch>());
                    branch.slots.iter().for_each(|slot| Link::of(slot).drop_all::<T>());
                }
                TAG_COLLISION => {
                    let collision = Box::from_raw(pointer.cast::<Collision>());
                    collision.leaves.iter().for_each(|leaf| drop_count::<T>(*leaf));
                }
                _ => drop_count::<T>(pointer),
            }
        }
    }
}

impl Insertion {
    /// Frees what was made for an insertion that did not happen.
    ///
    /// # Safety
    ///
    /// The plan's link was never published, and `at` is where it was made for.
    pub(super) unsafe fn discard<T>(self, at: &Place<'_>) {
        let mut link = self.link;
        for depth in at.depth + 1..=at.depth + self.branches {
            // SAFETY: `plan` made that many branches, each below the last on the path of the hash.
            let branch = unsafe { Box::from_raw(link.pointer().cast::<Branch>()) };
            link = Link::of(&branch.slots[index(order(at.hash), depth)]);
        }
        // SAFETY: never published; now a leaf, or the collision that `plan` made.
        unsafe { link.discard_shell() };
        // SAFETY: the count that was given to the plan.
        unsafe { drop_count::<T>(self.leaf.pointer()) };
    }
}

impl Branch {
    /// Whether nothing is left but one leaf or collision, at most.
    pub(super) fn is_sparse(&self) -> bool {
        let mut live = self.slots.iter().map(Link::of).filter(|link| !link.is_nothing());
        live.next().is_none_or(|first| !first.is_branch()) && live.next().is_none()
    }
}

impl Collision {
    /// What is left without this leaf: another array or the last leaf. `None` if the leaf is not here.
    pub(super) fn without(&self, leaf: *mut u8) -> Option<Link> {
        let at = self.leaves.iter().position(|other| *other == leaf)?;
        let mut rest = self.leaves.clone();
        rest.remove(at);
        Some(match rest[..] {
            [last] => Link(last),
            _ => Link::collision(self.hash, rest),
        })
    }
}

/// The hash as the trie reads it: ascending in a walk, the shard's bits last.
#[inline]
pub(super) const fn order(hash: u64) -> u64 {
    hash.rotate_left(SHARD_BITS)
}

/// The link that an order takes at a depth; the root is depth 0.
#[inline]
pub(super) const fn index(order: u64, depth: usize) -> usize {
    if depth == 0 {
        return (order >> (64 - ROOT_BITS)) as usize;
    }
    (order >> (64 - ROOT_BITS - depth as u32 * BRANCH_BITS)) as usize & (WAYS - 1)
}

/// # Safety
///
/// `pointer` comes from `Box::<B>::into_raw`, and nobody else uses it.
pub(super) unsafe fn drop_box<B>(pointer: *mut u8) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(pointer.cast::<B>()) });
}

/// # Safety
///
/// `pointer` comes from `Arc::<T>::into_raw`, and this count is nobody else's.
pub(super) unsafe fn drop_count<T>(pointer: *mut u8) {
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(pointer.cast::<T>().cast_const()) });
}
