//! From cells to rows: what one shard owns, merged at a cut and handed out in batches.
//!
//! Knows closed banks and series values; does not know how a row is written, or who takes it.
//!
//! ```text
//!   cut n: every core closed a bank ─► owner walks resource ► scope ► group ► series
//!            cells' closed banks ─► value of cut n (for scrapes) + staged point ─► batch ─► rows, once per view
//! ```
//!
//! Invariants
//! 1. Each closed bank is read by exactly one owner at exactly one cut, so each applied point is emitted once.
//! 2. A point in a batch refers to its series by place; lists are compacted only between cuts.
//!
//! Progress: wait-free; `step` returns when the caller's `more` says that the slice is over.
//!
//! Bounds: a batch holds `limits::BATCH_POINTS_MAX` points and about `limits::BATCH_BYTES_MAX` bytes.

mod batch;
mod directory;
mod ended;
mod exemplars;
mod expire;
mod histograms;
mod merge;
mod newest;

pub use directory::{Directory, Group as ListedGroup, Owner};
pub use merge::{Outlet, Work, Written};

use crate::model::{Epoch, PlanNumber};

/// Options of one owner.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The settled plan.
    pub plan: PlanNumber,
    /// This start of the process.
    pub epoch: Epoch,
    /// Wall time at which the process started, nanoseconds.
    pub started_ns: u64,
    /// `--expire`, nanoseconds.
    pub expire_ns: u64,
    /// `--interval`, nanoseconds.
    pub interval_ns: u64,
}
