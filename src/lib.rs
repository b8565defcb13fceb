//! Catchment: OpenTelemetry metrics in, exact aggregates out.
//!
//! Floors, top to bottom. Imports go down only; `tests/house.rs` reads this table and holds it.
//!
//! | floor | rooms | what they are |
//! |---|---|---|
//! | 13 | main cli | words in, exit code out; one file per subcommand |
//! | 12 | tune | measures the two below it |
//! | 11 | runtime load trial | shards, the loop, pinning, timers, signals, shutdown; the generator and the sink, which stand alone; worked examples, run without either |
//! | 10 | config telemetry | what is asked for, settled; own metrics, ledger pages |
//! | 9 | listen deliver capture | doors with sockets; queue, retry, exporters; recorded requests |
//! | 8 | ingest flush | staging, commit; cut, merge, batches |
//! | 7 | resolve | raw bytes to routes to cells, one core's |
//! | 6 | series | who exists, who owns: index, groups, slabs |
//! | 5 | cells examples fold | what the words of a series' cells mean; one example of what is warned of; the arithmetic of rules |
//! | 4 | net otlp prometheus rules | protocol glue; one room per format; which series are made fewer, and what becomes of each |
//! | 3 | identity rows | attribute sets, group keys, what says who a series is; what a cut gives of each series, for any format to write |
//! | 2 | wire aggregate ledger log problem buffer | varints, tags, readers, writers; arithmetic of every kind; points counted; lines for people; what is wrong with a setting; what waits, on disk |
//! | 1 | model sync clock chance files units nearest places | vocabulary; atomics behind a loom switch; time as a value; numbers from a seed; files, whole; sizes, times and counts as people write them; the word that was meant; numbers used again |
//! | 0 | limits disk | every bound, in one place; files of the system, or in memory |
#![deny(unsafe_code, unsafe_op_in_unsafe_fn, unreachable_pub)]
#![warn(missing_docs)]
// With `--cfg loom` only the rooms that have models, and what they need, are built: cells lie in raw slabs of core's
// atomics, so the rooms that hand these to `lifecycle` are left out.
#![cfg_attr(loom, allow(dead_code, unused_imports, unreachable_pub))]

// tests within the crate use what those beside it use, too
#[cfg(test)]
extern crate self as catchment;
// what `sync::allocator` calls is linked by those who name it
#[cfg(test)]
extern crate mimalloc as _;

pub mod aggregate;
pub mod buffer;
pub mod capture;
pub mod cells;
pub mod chance;
#[cfg(not(loom))]
pub mod cli;
pub mod clock;
#[cfg(not(loom))]
pub mod config;
pub mod deliver;
pub mod disk;
pub mod examples;
mod files;
#[cfg(not(loom))]
pub mod flush;
pub mod fold;
pub mod identity;
#[cfg(not(loom))]
pub mod ingest;
pub mod ledger;
pub mod limits;
#[cfg(not(loom))]
pub mod listen;
pub mod load;
pub mod log;
pub mod model;
mod nearest;
pub mod net;
pub mod otlp;
mod places;
pub mod problem;
pub mod prometheus;
#[cfg(not(loom))]
mod resolve;
pub mod rows;
pub mod rules;
#[cfg(not(loom))]
pub mod runtime;
pub mod series;
#[allow(unsafe_code)]
pub mod sync;
pub mod telemetry;
#[cfg(not(loom))]
pub mod trial;
#[cfg(not(loom))]
pub mod tune;
mod units;
pub mod wire;

/// Version and commit, as `--version` shows them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CATCHMENT_COMMIT"), ")");

// The exit codes of every command; they stand here because `load` uses them, and it imports no room of the server's.

/// Exit code where all went well.
pub const SUCCESS: u8 = 0;

/// Exit code of a failure at run time.
pub const FAILURE: u8 = 1;

/// Exit code of bad usage: what is asked for cannot be meant.
pub const USAGE: u8 = 2;

/// Exit code where some points did not arrive: dropped, not delivered, or not acknowledged.
pub const INCOMPLETE: u8 = 3;
