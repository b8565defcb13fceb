//! What the words of cells mean.
//!
//! Knows the layout of each shape, banks and their stamps, and a cell's life; must not know series, routes, cuts or formats.
//! Words come in as slices, wherever they lie.

pub mod lifecycle;
pub mod shape;
pub mod stamp;

pub use shape::Shape;
