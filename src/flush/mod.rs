//! From cells to batches: what one shard owns, merged at a cut and encoded for its destinations.
//!
//! Knows closed banks, series values and OTLP's output; does not know sockets, queues or who takes a batch.
//!
//! ```text
//!   cut n: every core closed a bank ─► owner walks resource ► scope ► group ► series
//!            cells' closed banks ─► value of cut n (for scrapes) + staged point ─► batch ─► encode once per view
//! ```
//!
//! Invariants
//! 1. Each closed bank is read by exactly one owner at exactly one cut, so each applied point is emitted once.
//! 2. A batch is encoded when its sizes are all known: nothing is patched afterwards, lengths are minimal.
//! 3. A point in a batch refers to its series by place; lists are compacted only between cuts.
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

pub use batch::View;
pub use directory::{Directory, Group as ListedGroup, Owner};
pub use merge::{Outlet, Work};

/// Options of one owner.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Wall time at which the process started, nanoseconds.
    pub started_ns: u64,
    /// `--expire`, nanoseconds.
    pub expire_ns: u64,
    /// `--interval`, nanoseconds.
    pub interval_ns: u64,
}
