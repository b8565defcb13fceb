//! Series: the index that finds them, and their life.

#[cfg(all(test, loom))]
mod expiry_model;
pub mod index;
pub mod lifecycle;
