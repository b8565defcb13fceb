//! `catchment tune`: how many shards this machine and this traffic want, measured.
//!
//! Knows how to start the real server and the generator as children, and how to drive `Ingest` without sockets; does not
//! know how either works inside.
//!
//! ```text
//!   options ─► counts ─► for each round, for each count:          ─► report: table, why ─► chart, JSON, --save
//!                          sockets: server on cores 0…s-1,             (rounds in, text out: no clock, no machine)
//!                                   generator on the others
//!                          memory:  a child replays recorded requests into `Ingest` on s threads, real cuts and merges
//! ```
//!
//! Invariants
//! 1. Rounds of different counts are interleaved, so that what drifts hits all of them.
//! 2. The recommendation is a function of the rounds alone (`report::recommend`), and so is all that is shown.
//! 3. No child outlives this process, unless it is killed by SIGKILL; Ctrl-C ends the children first.
//! 4. What was measured without sockets, or with a generator that was the limit, says so.
//!
//! Bounds: `limits::TUNE_*`, `--max`.

mod chart;
mod child;
mod command;
mod machine;
mod memory;
mod options;
mod png;
mod replay;
pub mod report;
mod scaling;
mod seen;
mod server;
mod sockets;
mod stdout;
mod stop;
mod stored;
#[cfg(test)]
mod tests;
mod times;
mod worker;

pub use command::command;
pub use options::Options;
pub use stored::stored_count;
