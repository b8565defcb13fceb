//! Whole pages of memory: zeroed, and given back while their addresses stay good.
//!
//! Knows words, the allocator and the system's call; does not know what is kept in them or who reads. The addresses are the
//! allocator's: with mappings of its own beside, what either has free would be lost to the other where the system sets a wall
//! (`ulimit -v`).
//!
//! Invariants
//! 1. An allocation begins and ends at a page's edge and stays until the last `Pages` of it is gone: whoever has one may read
//!    and write its words on any thread, before and after `clear`.
//! 2. `clear` makes every word zero, as if it were stored; the words are atomics, and what races with it sees the word before
//!    or zero.
//!
//! Bounds: `LINES` lines, a multiple of a page (compile time). Where pages are larger than `PAGE_LINES` the system refuses
//! what is not a multiple of them, and zeroes are written instead.

use core::sync::atomic::AtomicU64;
use std::alloc::Layout;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Words of a line: 64 bytes.
pub const LINE_WORDS: usize = 8;
/// Lines of a page: 4 KiB.
pub const PAGE_LINES: usize = 64;

/// The words of a line.
pub type Line = [AtomicU64; LINE_WORDS];

/// `LINES` lines of words, shared. Words are found without a step over the count of its holders.
#[derive(Clone)]
pub struct Pages<const LINES: usize> {
    at: NonNull<[Line; LINES]>,
    _owner: Arc<Owner<LINES>>,
}

// SAFETY: invariant 1: the words are atomics, and the memory belongs to no thread.
unsafe impl<const LINES: usize> Send for Pages<LINES> {}
// SAFETY: as above.
unsafe impl<const LINES: usize> Sync for Pages<LINES> {}

struct Owner<const LINES: usize>(NonNull<[Line; LINES]>);

// SAFETY: invariant 1: it is only an address, which any thread may free once nobody has it.
unsafe impl<const LINES: usize> Send for Owner<LINES> {}
// SAFETY: as above.
unsafe impl<const LINES: usize> Sync for Owner<LINES> {}

impl<const LINES: usize> Pages<LINES> {
    const BYTES: usize = LINES * size_of::<Line>();

    /// All words zero; none of them takes memory before it is written.
    pub fn new() -> Pages<LINES> {
        const { assert!(LINES > 0 && LINES.is_multiple_of(PAGE_LINES)) };
        let layout = layout(Self::BYTES);
        // SAFETY: the size is not zero (above)
        let Some(at) = NonNull::new(unsafe { std::alloc::alloc(layout) }) else {
            std::alloc::handle_alloc_error(layout)
        };
        // what the system took is zero, and takes no memory yet
        if !give_back(at, Self::BYTES) {
            // SAFETY: it is of that size
            unsafe { at.write_bytes(0, Self::BYTES) };
        }
        let at = at.cast();
        Pages { at, _owner: Arc::new(Owner(at)) }
    }

    /// Makes every word zero and gives the memory back (invariant 2).
    pub fn clear(&self) {
        if !give_back(self.at.cast(), Self::BYTES) {
            // ORDERING: the caller says that nobody reads; whoever is told of the words next is told with Release
            self.as_flattened().iter().for_each(|word| word.store(0, core::sync::atomic::Ordering::Relaxed));
        }
    }
}

impl<const LINES: usize> Default for Pages<LINES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const LINES: usize> Deref for Pages<LINES> {
    type Target = [Line; LINES];

    #[inline(always)]
    fn deref(&self) -> &[Line; LINES] {
        // SAFETY: invariant 1; zeroed words are atomics, and a page's address is aligned for them
        unsafe { self.at.as_ref() }
    }
}

impl<const LINES: usize> Drop for Owner<LINES> {
    fn drop(&mut self) {
        // SAFETY: invariant 1: it comes from `Pages::new`, with this layout, and the last holder is gone
        unsafe { std::alloc::dealloc(self.0.as_ptr().cast(), layout(LINES * size_of::<Line>())) };
    }
}

fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, PAGE_LINES * size_of::<Line>()) {
        Ok(layout) => layout,
        Err(_) => unreachable!("a chunk's size"),
    }
}

/// Whether the system took it, and so made it zero.
fn give_back(at: NonNull<u8>, bytes: usize) -> bool {
    #[cfg(not(miri))]
    // SAFETY: invariant 1: these are the pages of one allocation, whole, and no more; what is private and of no file reads as
    // zero afterwards and stays where it is (madvise(2), MADV_DONTNEED), which is a change of atomics (invariant 2)
    return unsafe { libc::madvise(at.as_ptr().cast(), bytes, libc::MADV_DONTNEED) == 0 };
    #[cfg(miri)]
    {
        let _ = (at, bytes);
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_are_zero_at_first_and_after_clear_for_every_holder() {
        let pages: Pages<{ 2 * PAGE_LINES }> = Pages::new();
        let other = pages.clone();
        for round in 0..3 {
            assert!(pages.as_flattened().iter().all(|word| word.load(Relaxed) == 0), "round {round}");
            pages.as_flattened().iter().for_each(|word| word.store(7, Relaxed));
            assert_eq!(other[PAGE_LINES + 1][3].load(Relaxed), 7);
            pages.clear();
            assert!(other.as_flattened().iter().all(|word| word.load(Relaxed) == 0));
        }
        drop(pages);
        std::thread::spawn(move || other[3][3].store(9, Relaxed)).join().unwrap();
    }
}
