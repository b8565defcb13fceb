//! What the words of cells mean: layout, first touch, and `add` and `fold` of each shape.
//!
//! Knows the words of every shape, banks and stamps, and what banks have no room for (`sequences`); must not know series,
//! routes, cuts or formats. Words come in as slices, wherever they lie; who may write them, and when a closed bank may be
//! read, is the caller's to know.
//!
//! ```text
//!   open  ─► add, add, …        the cell's core, in the open bank of an interval
//!   fold                        the owner of the series, in the bank that a cut closed
//! ```
//!
//! Invariants
//! 1. A bank takes points only after `open` said `Live` in this interval (`lifecycle`, invariant 1).
//! 2. `add` counts a point in the stamp exactly if it is applied; what is settled as it comes is taken out again.
//! 3. `fold` only reads.
//!
//! Progress: wait-free but for `lifecycle::touch`. No allocation but for what a reset ends, in memory of the size that the
//! interval before took; an exponential histogram is added in its caller's scratch.

#[cfg(not(loom))]
mod bank;
pub mod block;
#[cfg(not(loom))]
pub mod cumulative_histogram;
#[cfg(not(loom))]
pub mod cumulative_sum;
#[cfg(not(loom))]
pub mod delta_sum;
#[cfg(not(loom))]
pub mod explicit_histogram;
#[cfg(not(loom))]
pub mod exponential_histogram;
#[cfg(not(loom))]
pub mod extremes;
#[cfg(not(loom))]
pub mod gauge;
#[cfg(not(loom))]
pub mod head;
pub mod lifecycle;
pub mod sequences;
mod shape;
mod span;
pub mod stamp;
#[cfg(not(loom))]
pub mod summary;

#[cfg(not(loom))]
pub use bank::{Added, Bank, Loss};
pub use shape::Shape;
pub use span::Span;

#[cfg(not(loom))]
use {lifecycle::Touch, std::sync::atomic::AtomicU64};

/// Opens bank `index` of a cell for an interval: empties it, but for what goes from bank to bank, stamps it, which clears
/// its flags, fences, and reads the cell's state. A bank of a dead cell must have its stamp taken back.
#[cfg(not(loom))]
pub fn open(cell: &[AtomicU64], shape: Shape, index: usize, interval: u32) -> Touch {
    let (bank, other) = (Bank::new(cell, shape, index), Bank::new(cell, shape, 1 - index));
    match shape {
        Shape::DeltaSum | Shape::Explicit(_) | Shape::Exponential => bank.clear(),
        // of these the first point writes everything else
        Shape::Gauge => gauge::open(bank, other),
        Shape::Summary => summary::open(bank, other),
        Shape::CumulativeSum => cumulative_sum::open(bank, other),
        Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => cumulative_histogram::open(bank, other),
    }
    lifecycle::touch(bank.stamp(), stamp::stamp(interval, 0), head::state(cell))
}
