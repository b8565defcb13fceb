//! The words before a cell's banks: its state, and what its core keeps there for itself.

use super::bank::{get, put};
use super::shape::{HANDLE, STATE};
use std::sync::atomic::AtomicU64;

/// Words that hold the head.
pub const WORDS: usize = super::shape::HEAD;

/// The state (`lifecycle`).
#[inline]
pub fn state(cell: &[AtomicU64]) -> &AtomicU64 {
    &cell[STATE]
}

/// A number that the cell's core finds something of its own by; 0 in a new cell.
#[inline]
pub fn handle(cell: &[AtomicU64]) -> u32 {
    get(cell, HANDLE) as u32
}

/// Sets the number. The cell's core only.
#[inline]
pub fn put_handle(cell: &[AtomicU64], handle: u32) {
    put(cell, HANDLE, handle.into());
}
