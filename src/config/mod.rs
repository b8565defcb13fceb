//! What is asked for, settled: from settings as texts to the plan of a run, every value checked, and everything that is
//! wrong told at once.
//!
//! ```text
//!   flags, variables ─► Settings ─► settle ─► Plan
//!                                     └─────► Problem, each with where its setting was given
//! ```
//!
//! Does not know: threads, sockets, or which words of a command line a setting comes from. What depends on the machine is
//! asked of `Surroundings`; files of destinations (certificates, keys, headers) are read by `deliver`.
//!
//! | file | job |
//! |---|---|
//! | `settings` | texts, and where they were given |
//! | `reading` | one setting after the other, and what is wrong with it |
//! | `surroundings` | what the machine is asked |
//! | `doors`, `outs` | where points come in, and where they go |
//! | `settle` | the one step |
//! | `plan` | what it comes to |
//!
//! A file of settings, the table of their names and the differences of two plans will be files here: whoever reads one
//! adds to `Settings`, with a place of its own in `problem::At`.
//!
//! Sizes, times and counts are read by `units` and problems are made of `problem`, both below: `deliver` reads them in
//! destinations, and the generator shares the first.

mod doors;
mod outs;
mod plan;
mod reading;
mod settings;
mod settle;
mod surroundings;

pub use plan::{Pin, Plan};
pub use settings::{Setting, Settings};
pub use settle::settle;
pub use surroundings::Surroundings;
