//! The words before a cell's banks: its state, and what its core keeps there for itself.

use super::bank::{get, put};
use super::shape::{HANDLE, STATE};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Words that hold the head.
pub const WORDS: usize = super::shape::HEAD;

/// The state (`lifecycle`).
#[inline]
pub fn state(cell: &[AtomicU64]) -> &AtomicU64 {
    &cell[STATE]
}

/// Bits of the handle.
const HANDLE_BITS: u64 = u32::MAX as u64;

/// A number that the cell's core finds something of its own by; 0 in a new cell.
#[inline]
pub fn handle(cell: &[AtomicU64]) -> u32 {
    get(cell, HANDLE) as u32
}

/// Sets the number. The cell's core only.
#[inline]
pub fn put_handle(cell: &[AtomicU64], handle: u32) {
    put(cell, HANDLE, get(cell, HANDLE) & !HANDLE_BITS | u64::from(handle));
}

/// The line in the same slab that has the extremes of a gauge (`extremes`), if there is one.
///
/// ORDERING: Acquire pairs with the Release in `put_extremes`: who finds a line finds it zeroed.
#[inline]
pub fn extremes(cell: &[AtomicU64]) -> Option<u32> {
    ((cell[HANDLE].load(Acquire) >> 32) as u32).checked_sub(1)
}

/// Sets the line, or that there is none. The cell's core only.
pub fn put_extremes(cell: &[AtomicU64], line: Option<u32>) {
    // lines are kept one higher, so that 0 is "none"
    let line = line.map_or(0, |line| u64::from(line) + 1);
    // ORDERING: see `extremes`
    cell[HANDLE].store(get(cell, HANDLE) & HANDLE_BITS | line << 32, Release);
}
