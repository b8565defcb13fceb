//! The block in which the owner of a series keeps its value, where that is no number: regions, one after the other.
//!
//! ```text
//!   slot 0, slot 1: the last two cut values          of a histogram behind them: the last point of the chain
//! ```

use super::shape::Shape;
use crate::model::{Kind, Temporality};
use std::sync::atomic::AtomicU64;

/// Words of a region of this kind; 0 for numbers, whose value lies in the series itself.
pub const fn region_words(kind: Kind, buckets: u32) -> usize {
    Shape::of(kind, Temporality::Delta, buckets).region_words()
}

/// Words of the block.
pub const fn words(kind: Kind, buckets: u32) -> usize {
    let region = region_words(kind, buckets);
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram | Kind::ExponentialHistogram => 3 * region,
        Kind::Summary => 2 * region,
    }
}

/// The value in a slot; `region` is that of `region_words`.
#[inline]
pub fn slot(block: &[AtomicU64], region: usize, slot: usize) -> &[AtomicU64] {
    &block[slot * region..(slot + 1) * region]
}

/// The last point of a histogram's chain.
#[inline]
pub fn chain(block: &[AtomicU64], region: usize) -> &[AtomicU64] {
    &block[2 * region..3 * region]
}
