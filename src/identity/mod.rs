//! Who a series is: its attributes in their one encoding, the key of its group, and the identity of what the limits keep out.
//!
//! Knows canonical bytes, their order, comparison and hashes; does not know series, cells, limits of how many there may be, nor
//! how any format lays a request out.
//!
//! Invariants
//! 1. Equal hashes are never enough: keys and sets are compared by their bytes.
//! 2. Hashes are keyed per process and never leave it.

pub mod attributes;
mod key;
pub mod overflow;

pub use key::{MetricName, Parts, Set, same_bounds};
