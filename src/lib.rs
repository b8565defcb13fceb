//! Catchment: OpenTelemetry metrics in, exact aggregates out.
//!
//! Floors, top to bottom; imports go down only:
//!
//! ```text
//!  8  main.rs  cli                    words in, exit code out; one file per subcommand
//!  7  runtime                         shards, the loop, pinning, timers, signals, shutdown   | load, tune (stand alone)
//!  6  telemetry                       own metrics, admin door, log
//!  5  listen   deliver   capture      doors with sockets | queue, retry, exporters | recorded requests
//!  4  ingest        flush             staging, routes, commit        | cut, merge, batches
//!  3  net  series  otlp  prometheus   protocol glue | index, groups, slabs | one room per format
//!     cells                           what the words of a series' cells mean
//!  2  wire  aggregate                 varints, tags, readers, writers | arithmetic of every kind
//!  1  model  sync  clock  files       vocabulary | atomics behind a loom switch | time as a value | files, whole
//!     ledger  examples                points counted | one example of what is warned of
//!     units  nearest                  sizes, times and counts as people write them | the word that was meant
//!  0  limits                          every bound, in one place
//! ```
#![deny(unsafe_code, unsafe_op_in_unsafe_fn, unreachable_pub)]
#![warn(missing_docs)]
// With `--cfg loom` only the rooms that have models, and what they need, are built: cells lie in raw slabs of core's
// atomics, so the rooms that hand these to `lifecycle` are left out.
#![cfg_attr(loom, allow(dead_code, unused_imports, unreachable_pub))]

pub mod aggregate;
pub mod capture;
pub mod cells;
#[cfg(not(loom))]
pub mod cli;
pub mod clock;
pub mod deliver;
pub mod examples;
mod files;
#[cfg(not(loom))]
pub mod flush;
#[cfg(not(loom))]
pub mod ingest;
pub mod ledger;
pub mod limits;
#[cfg(not(loom))]
pub mod listen;
pub mod load;
pub mod model;
mod nearest;
pub mod net;
pub mod otlp;
pub mod prometheus;
#[cfg(not(loom))]
pub mod runtime;
pub mod series;
#[allow(unsafe_code)]
pub mod sync;
pub mod telemetry;
#[cfg(not(loom))]
pub mod tune;
mod units;
pub mod wire;

/// Version and commit, as `--version` shows them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CATCHMENT_COMMIT"), ")");

/// Exit code of bad usage: what is asked for cannot be meant.
pub const USAGE: u8 = 2;

/// A warning at the start, before the log runs or after, whatever `--log` says.
pub(crate) fn warn(line: std::fmt::Arguments) {
    let line = if telemetry::log::is_json() { format!("{line}") } else { format!("catchment: warning: {line}") };
    telemetry::log::say(tracing::Level::WARN, &line, "");
}

/// A line for people on standard error: something is wrong. See `telemetry::log::say`, which others use.
pub(crate) fn tell(line: std::fmt::Arguments) {
    telemetry::log::say(tracing::Level::ERROR, &line, "");
}
