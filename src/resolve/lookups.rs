//! Points whose route was not predicted, on their way through the steps of a look-up.
//!
//! Knows which of them are through which step; does not know what a point is (`P`), nor how a step is taken (`resolver`).
//! They leave in the order they came, so that the points of a request are applied in its order.
//!
//! Bounds: `LOOKUPS_MAX` points, in the request's arena.

use super::routes::NONE;
use bumpalo::Bump;

/// A point whose route was not predicted.
#[derive(Clone, Copy)]
pub(crate) struct RouteLookup<'a, P> {
    /// The point.
    pub point: P,
    /// Its raw attributes, or what would be them if it is known.
    pub raw: &'a [u8],
    pub(super) tag: u32,
    pub(super) route: u32,
}

impl<'a, P> RouteLookup<'a, P> {
    /// Not begun.
    #[inline]
    pub(crate) const fn new(point: P, raw: &'a [u8]) -> Self {
        RouteLookup { point, raw, tag: 0, route: NONE }
    }
}

/// How many of the last points each step of looking up leaves for later.
#[derive(Clone, Copy)]
pub(crate) struct Lags {
    pub(super) look: usize,
    pub(super) fetch: usize,
    compare: usize,
}

impl Lags {
    /// All of it now.
    pub(crate) const NONE: Lags = Lags { look: 0, fetch: 0, compare: 0 };
    /// Where look-ups follow on each other: each step waits until the memory has had time to answer the one before it.
    const STEADY: Lags = Lags { look: 5, fetch: 10, compare: LOOKUPS_MAX - 1 };
}

/// Points on their way. A single one is looked up at once; a run of them in blocks that double up to `LOOKUPS_MAX`, and from
/// then on one behind the other, each step of one beside other steps of its neighbours. A stream whose order was no use last
/// time begins so, and its order is tried again now and then.
pub(crate) struct Waiting<'a, P> {
    pub(super) all: &'a mut [RouteLookup<'a, P>],
    /// Points that came, and how many of them are through each step.
    pub(super) pushed: usize,
    pub(super) looked: usize,
    pub(super) fetched: usize,
    done: usize,
    /// Points of a block, at least 1.
    block: u32,
    /// Points since the order was last tried.
    untried: usize,
}

pub(super) const LOOKUPS_MAX: usize = 16;
/// After so many points in a row the order is tried again.
const TRY_EVERY: usize = 256;

impl<'a, P: Copy> Waiting<'a, P> {
    /// None, beginning with blocks of `block`, in `room` that another one left.
    pub(super) fn new(room: &'a mut [RouteLookup<'a, P>], block: u32) -> Self {
        Waiting { all: room, pushed: 0, looked: 0, fetched: 0, done: 0, block: block.max(1), untried: 0 }
    }

    /// Points to look up together when the next export begins.
    pub(super) const fn block(&self) -> u32 {
        self.block
    }

    /// The room, for the next one.
    pub(crate) fn take_room(&mut self) -> &'a mut [RouteLookup<'a, P>] {
        std::mem::take(&mut self.all)
    }

    /// Whether the next point may be the one that the order says.
    #[inline]
    pub(crate) const fn may_guess(&self) -> bool {
        self.done == self.pushed && (self.block < LOOKUPS_MAX as u32 || self.untried == 0)
    }

    /// The order was right.
    #[inline]
    pub(crate) const fn hit(&mut self) {
        (self.block, self.untried) = (1, 0);
    }

    /// Adds one; what is to be done now.
    #[inline]
    pub(super) fn push(&mut self, lookup: RouteLookup<'a, P>, arena: &'a Bump) -> Option<Lags> {
        if self.all.is_empty() {
            self.all = arena.alloc_slice_fill_copy(LOOKUPS_MAX, lookup);
        }
        self.all[self.pushed % LOOKUPS_MAX] = lookup;
        self.pushed += 1;
        self.untried += 1;
        if self.block < LOOKUPS_MAX as u32 {
            return (self.pushed - self.done >= self.block as usize).then_some(Lags::NONE);
        }
        Some(if self.untried >= TRY_EVERY { Lags::NONE } else { Lags::STEADY })
    }

    /// The next one to be compared, if the steps before were taken with these lags.
    #[inline]
    pub(crate) fn next(&mut self, behind: Lags) -> Option<RouteLookup<'a, P>> {
        if self.done + behind.compare >= self.pushed {
            return None;
        }
        let next = self.all[self.done % LOOKUPS_MAX];
        self.done += 1;
        Some(next)
    }

    /// What `push` asked for is done.
    #[inline]
    pub(crate) const fn resolved(&mut self) {
        if self.block < LOOKUPS_MAX as u32 {
            self.block *= 2;
        }
        if self.untried >= TRY_EVERY {
            self.untried = 0;
        }
    }
}

const _: () = assert!(LOOKUPS_MAX.is_power_of_two(), "blocks double up to it");
