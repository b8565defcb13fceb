//! Series: the index that finds them, and their life.

pub mod index;
pub mod lifecycle;
