//! What Catchment says of itself: metrics, ledger, health.
//!
//! Knows counters and their names; does not know who counts or which door shows it. Pure.

pub mod ledger;
#[cfg(not(loom))]
pub mod listing;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
pub mod reloads;
pub mod rules;
#[cfg(not(loom))]
pub mod shard_stats;
