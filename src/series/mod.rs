//! Which series exist, and where their numbers lie.
//!
//! Knows identities, and where cells lie and whose they are; does not know what their words mean (`cells`), formats, sockets or
//! destinations. Time comes in as arguments.
//!
//! ```text
//!   core 0 ── writes ──► cells of core 0 (slab 0) ─┐
//!   core 1 ── writes ──► cells of core 1 (slab 1) ─┼─ closed banks, after a cut ─► owner shard merges ─► series value
//!   index (hash tries, one per shard): identity ─► series ─► its cells, at most one live per core and input temporality
//! ```
//!
//! Invariants
//! 1. A cell's banks are written by its core alone. Another thread reads a bank only after the cut that closed it.
//! 2. A series is in exactly one trie, that of the shard which owns its hash; its value words are written by that
//!    shard alone.
//! 3. Nothing in a slab is a pointer.

#[cfg(all(test, loom))]
mod death_model;
mod election_index;
pub mod elections;
pub mod exemplars;
#[cfg(all(test, loom))]
mod expiry_model;
pub mod fold_sets;
pub mod folds;
pub mod group;
#[allow(unsafe_code)]
pub mod index;
mod names;
pub mod peers;
pub mod registry;
pub mod slab;
mod value;
#[cfg(all(test, loom))]
mod value_models;

pub use group::Group;
pub use value::{CellRef, Chain, Dead, MadeOf, ReadValue, Series};
