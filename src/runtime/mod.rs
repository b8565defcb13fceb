//! The running process: threads, the loop of each shard, cuts, signals, start and end.
//!
//! Knows every room below and wires them; the room that spawns, pins, and reads the OS clock (`tests/house.rs` has the
//! few threads of others). Does not know bytes of requests, cells, or how a page is written.
//!
//! ```text
//!   shard 0 … n-1   one thread each, pinned: doors ─► ingest ─► cells; switch at a cut; merge and encode in slices
//!   control         the main thread: cuts, signals, scrape page, admin door, readiness
//!   deliver         queues ─► backends (its own room)
//! ```
//!
//! Invariants
//! 1. A shard switches banks only between two requests, and merges only what the board says is closed.
//! 2. At the end: doors close, a last cut is merged, queues are delivered until the deadline, the ledger is printed.
//!
//! Bounds: `--shards` + 1 threads, one for delivery, one per file; a shard looks at its board at least twice a second.

mod account;
mod asks;
mod banner;
mod bind;
mod bodies;
pub mod clock;
mod closing;
mod control;
mod count;
mod descriptors;
mod destinations;
mod doubts;
mod gates;
mod give_back;
mod intake;
mod losses;
mod machine;
mod margin;
mod memory;
mod merge_share;
mod outlet;
mod rules_said;
mod scrape;
mod shard;
mod shard_thread;
mod shared;
mod signals;
#[cfg(test)]
mod simulation;
mod start;

pub(crate) use banner::show_size;
pub use bind::remove_ports;
pub use control::Sources;
pub use memory::{Memory, budget};
pub use start::run;
