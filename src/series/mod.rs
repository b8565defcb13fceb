//! Series: the index that finds them.

pub mod index;
