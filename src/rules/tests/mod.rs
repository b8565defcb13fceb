//! Promises of rules, and the same by a slow and obvious reference.

mod counted;
mod doors;
mod explained;
mod model;
mod promises;
mod random;
mod reference;
