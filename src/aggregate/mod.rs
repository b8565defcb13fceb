//! The arithmetic of every kind: what two values of a kind add up to.
//!
//! Knows numbers and buckets; does not know series, cells, intervals or who asks. Pure.
//!
//! Invariants
//! 1. `merge` is associative and commutative on counts, exactly; on sums as far as `f64` is (exactly for integers and
//!    multiples of 2^-10 within 2^43).
//! 2. A histogram's count is the sum of its buckets before and after every operation.

pub mod explicit;
pub mod exponential;
pub mod number;
pub mod summary;
