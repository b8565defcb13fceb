//! What a member gives in a base interval.
//!
//! Knows values as words; does not know where they come from, or what becomes of them.

use crate::aggregate::explicit::COUNT;
use crate::aggregate::number::Value;
use std::sync::Arc;

/// What a member gave in a base interval, or that it is still there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contribution<'a> {
    /// What it contributed: deltas added, increments of cumulatives chained. Nothing of gauges and histograms.
    pub delta: Option<Value>,
    /// Its merged value at the cut, of sums that may fall and of gauges.
    pub level: Option<Value>,
    /// Of gauges, the smallest and the largest value inside the interval, where they are kept; else the level stands for
    /// both.
    pub extremes: Option<(Value, Value)>,
    /// It has delta input: what it contributed adds for ever, its level is not counted beside it (S5).
    pub is_delta: bool,
    /// The newest point of a summary at the cut, as words of `aggregate::summary`; only of one that is live.
    pub summary: Option<&'a [u64]>,
    /// What a histogram contributed.
    pub region: Option<ContributedRegion<'a>>,
    /// Points that were accepted.
    pub points: u64,
    /// Time of its newest point, nanoseconds.
    pub time_ns: u64,
    /// It had points in the interval.
    pub is_touched: bool,
    /// It has a value, is not ended and not stale (S4).
    pub is_live: bool,
    /// For each `unique` of the outputs, in their order: a hash of the values of its keys.
    pub distinct: &'a [u64],
    /// For each `topk`, likewise: the records of its keys.
    pub top: &'a [Arc<[u8]>],
}

/// Buckets that a histogram contributed, as words of `aggregate`.
#[derive(Clone, Copy, Debug)]
pub enum ContributedRegion<'a> {
    /// Of explicit bounds; equal bounds should be one `Arc`, but need not.
    Explicit {
        /// Ascending.
        bounds: &'a Arc<[f64]>,
        /// A region.
        words: &'a [u64],
    },
    /// Exponential: a region.
    Exponential(&'a [u64]),
}

impl ContributedRegion<'_> {
    /// Observations.
    #[inline]
    pub fn count(&self) -> u64 {
        let (ContributedRegion::Explicit { words, .. } | ContributedRegion::Exponential(words)) = self;
        words[COUNT]
    }
}
