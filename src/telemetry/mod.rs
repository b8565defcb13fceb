//! What Catchment says of itself: metrics, ledger, health, banner, log.
//!
//! Knows counters and their names; does not know who counts or which door shows it. Pure but for `log`.

pub mod ledger;
pub mod log;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
pub mod watch;
