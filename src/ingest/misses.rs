//! Points whose route was not predicted, on their way through the steps of a look-up.
//!
//! Knows which of them are through which step; does not know how a step is taken (`Ingest::resolve`). They leave in the
//! order they came, so that the points of a request are applied in its order.
//!
//! Bounds: `MISSES_MAX` points, in the request's arena.

use super::stage::Number;
use bumpalo::Bump;

/// A point whose route was not predicted.
#[derive(Clone, Copy)]
pub(super) struct Miss<'a> {
    pub(super) staged: Number,
    pub(super) run: &'a [u8],
    pub(super) message: &'a [u8],
    pub(super) tag: u32,
    pub(super) route: u32,
    /// `run` is the point's attributes, not only bytes that would be if they were known.
    pub(super) walked: bool,
}

/// How many of the last points each step of looking up leaves for later.
#[derive(Clone, Copy)]
pub(super) struct Lags {
    pub(super) look: usize,
    pub(super) fetch: usize,
    pub(super) compare: usize,
}

impl Lags {
    /// All of it now.
    pub(super) const NONE: Lags = Lags { look: 0, fetch: 0, compare: 0 };
    /// A stream of misses: each step waits until the memory has had time to answer the one before it.
    pub(super) const STEADY: Lags = Lags { look: 5, fetch: 10, compare: MISSES_MAX - 1 };
}

/// Points whose route was not predicted, on their way. A single miss is resolved at once; a run of them in blocks that
/// double up to `MISSES_MAX`, and from then on one behind the other, each step of one beside other steps of its
/// neighbours. A stream whose order was no use last time begins so, and its order is tried again now and then.
#[derive(Default)]
pub(super) struct Misses<'a> {
    pub(super) all: &'a mut [Miss<'a>],
    /// Points that came, and how many of them are through each step.
    pub(super) pushed: usize,
    pub(super) looked: usize,
    pub(super) fetched: usize,
    pub(super) done: usize,
    /// Points of a block, at least 1.
    pub(super) block: u32,
    /// Misses since the order was last tried.
    pub(super) untried: usize,
}

pub(super) const MISSES_MAX: usize = 16;
/// After so many misses in a row the order is tried again.
pub(super) const TRY_EVERY: usize = 256;

impl<'a> Misses<'a> {
    /// Whether the next point may be the one that the order says.
    #[inline]
    pub(super) const fn may_guess(&self) -> bool {
        self.done == self.pushed && (self.block < MISSES_MAX as u32 || self.untried == 0)
    }

    /// The order was right.
    #[inline]
    pub(super) const fn hit(&mut self) {
        (self.block, self.untried) = (1, 0);
    }

    /// Adds one; what is to be resolved now.
    #[inline]
    pub(super) fn push(&mut self, miss: Miss<'a>, arena: &'a Bump) -> Option<Lags> {
        if self.all.is_empty() {
            self.all = arena.alloc_slice_fill_copy(MISSES_MAX, miss);
        }
        self.all[self.pushed % MISSES_MAX] = miss;
        self.pushed += 1;
        self.untried += 1;
        if self.block < MISSES_MAX as u32 {
            return (self.pushed - self.done >= self.block as usize).then_some(Lags::NONE);
        }
        Some(if self.untried >= TRY_EVERY { Lags::NONE } else { Lags::STEADY })
    }

    /// What `push` asked for is done.
    #[inline]
    pub(super) const fn resolved(&mut self) {
        if self.block < MISSES_MAX as u32 {
            self.block *= 2;
        }
        if self.untried >= TRY_EVERY {
            self.untried = 0;
        }
    }
}

const _: () = assert!(MISSES_MAX.is_power_of_two(), "blocks double up to it");
