//! What is asked for, settled: the plan of a run, every value checked.
//!
//! Does not know: threads, sockets, how an address is looked up, or which words of a command line a setting comes from.

mod plan;

pub use plan::{Pin, Plan};
