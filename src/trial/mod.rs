//! Trials: points with times go through the real aggregation, and what leaves is held against what somebody wrote down.
//!
//! Knows the plan of a run, and how shards, cuts and owners are put together where nobody has threads; does not know
//! sockets, the system's clock, where settings come from, or what a rule does. Time is what a file of tests says it is.
//!
//! ```text
//!   file ─► cases ─► points, by arrival ─► Engine: ingest ─► cells ─► cut ─► owners ─► rows ─┐
//!              └──── what is expected ───────────────────────────────────────────────────────┴─► differences ─► words
//! ```
//!
//! | file | job |
//! |---|---|
//! | `value` | series and values, in and out |
//! | `row` | one series at one cut, as it left |
//! | `point` | a stream of points, and one of them as a request |
//! | `engine` | a process without threads: cores, owners, and cuts by hand |
//! | `notation` | series, points and values as people write them |
//! | `case` | one worked example |
//! | `document` | a file of them, read with all that is wrong with it |
//! | `judge` | runs one, and compares |
//! | `report` | what came of it, for people and for programs |
//!
//! Invariants
//! 1. The same case gives the same differences, whatever the order in which rows leave.
//! 2. In a view that a case speaks of (the cumulative one, where it speaks of none), what it does not speak of must not be
//!    there: another cut of a series, and, unless it says `others: ignore`, another series. No point is rejected unless it
//!    says so. Other views and other counters are not looked at.
//!
//! Bounds: a file is a bounded tree (`config::tree`); a case has `limits::TRIAL_CORES_MAX` cores and
//! `limits::TRIAL_CUTS_MAX` cuts.

mod case;
mod document;
mod engine;
mod judge;
mod notation;
mod point;
mod report;
mod row;
mod value;

#[cfg(test)]
mod tests;

pub use case::{Case, Configured, Reload};
pub use document::read;
pub use engine::Engine;
pub use judge::{Difference, Verdict, judge};
pub use notation::series as read_series;
pub use point::{InputPoint, InputStream, attribute_run};
pub use report::{json, text};
pub use row::TrialRow;
pub use value::{Bucketed, Label, SeriesName, Summarised, TrialValue};
