//! Bytes that never change, shared by counting, in one word.
//!
//! Knows bytes and who holds them; does not know what they mean. `Arc<[u8]>` takes two words where it is held and two
//! before the bytes; a million series hold their attributes twice each, and there are no weak references.
//!
//! Invariants
//!  1. `head` comes from `allocate` and lies before `length` initialised bytes of the same allocation.
//!  2. Neither length nor bytes are written after `new`.
//!  3. The count is that of the `ThinBytes` with this head; the one that takes it to zero frees the allocation.
//!
//! Progress: wait-free but for the allocator.
//!
//! Bounds: 2^32 - 1 bytes; 2^31 holders, past which the process ends, as with `Arc`.
//!
//! Sources: the orderings are those of `std::sync::Arc`.

use super::atomic::{AtomicU32, Ordering, fence};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// Holders past which something is badly wrong.
const HOLDERS_MAX: u32 = 1 << 31;

#[repr(C)]
struct Head {
    count: AtomicU32,
    length: u32,
}

/// See the file's head.
pub struct ThinBytes {
    head: NonNull<Head>,
    owns: PhantomData<Head>,
}

// SAFETY: invariant 2: readers on any thread get `&[u8]`; invariant 3: whoever is last frees it.
unsafe impl Send for ThinBytes {}
// SAFETY: as above.
unsafe impl Sync for ThinBytes {}

impl ThinBytes {
    /// A copy of `bytes`.
    ///
    /// # Panics
    ///
    /// If they are 4 GiB or more.
    pub fn new(bytes: &[u8]) -> ThinBytes {
        let length = u32::try_from(bytes.len()).expect("below 4 GiB");
        let layout = layout(bytes.len());
        // SAFETY: the layout is not of size zero: there is a head.
        let Some(head) = NonNull::new(unsafe { alloc(layout) }.cast::<Head>()) else { handle_alloc_error(layout) };
        // SAFETY: the allocation is as large and aligned as `layout` says: a head, then the bytes.
        unsafe {
            head.write(Head { count: AtomicU32::new(1), length });
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), head.add(1).cast::<u8>().as_ptr(), bytes.len());
        }
        ThinBytes { head, owns: PhantomData }
    }

    /// Starts loading it, up to four cache lines, as if it had `length` bytes: its own length lies with the bytes.
    #[inline]
    pub fn prefetch(&self, length: usize) {
        let start = self.head.as_ptr().cast::<u8>();
        for line in 0..(size_of::<Head>() + length).div_ceil(64).min(4) {
            super::prefetch_read(start.wrapping_add(line * 64));
        }
    }
}

fn layout(length: usize) -> Layout {
    let bytes = Layout::array::<u8>(length).expect("below 4 GiB");
    Layout::new::<Head>().extend(bytes).expect("below 4 GiB and a head").0
}

impl Deref for ThinBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: invariants 1 to 3: initialised, unchanging, and alive while `self` counts.
        unsafe {
            let length = self.head.as_ref().length as usize;
            std::slice::from_raw_parts(self.head.add(1).cast::<u8>().as_ptr(), length)
        }
    }
}

impl Clone for ThinBytes {
    #[inline]
    fn clone(&self) -> ThinBytes {
        // SAFETY: invariant 3: alive while `self` counts.
        // ORDERING: Relaxed: the new holder gets it from one that holds it.
        let before = unsafe { self.head.as_ref() }.count.fetch_add(1, Ordering::Relaxed);
        if before >= HOLDERS_MAX {
            std::process::abort();
        }
        ThinBytes { head: self.head, owns: PhantomData }
    }
}

impl Drop for ThinBytes {
    fn drop(&mut self) {
        // SAFETY: invariant 3: alive until the count below is given back.
        let head = unsafe { self.head.as_ref() };
        let layout = layout(head.length as usize);
        // ORDERING: Release: what this holder read was read before the last one frees it.
        if head.count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // ORDERING: Acquire pairs with the Release of all others.
        fence(Ordering::Acquire);
        // SAFETY: invariants 1 and 3: this was the last holder.
        unsafe {
            self.head.drop_in_place();
            dealloc(self.head.as_ptr().cast(), layout);
        }
    }
}

impl From<&[u8]> for ThinBytes {
    fn from(bytes: &[u8]) -> ThinBytes {
        ThinBytes::new(bytes)
    }
}

impl std::fmt::Debug for ThinBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ThinBytes").field(&&**self).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn holders_share_the_bytes_and_the_last_one_frees_them() {
        for length in [0, 1, 7, 8, 9, 165, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let thin = ThinBytes::new(&bytes);
            let other = thin.clone();
            assert_eq!(*thin, *bytes);
            assert_eq!(thin.as_ptr(), other.as_ptr(), "not copied");
            drop(thin);
            assert_eq!(*other, *bytes);
        }
        assert_eq!(size_of::<Option<ThinBytes>>(), size_of::<usize>());
    }

    #[test]
    fn threads_hold_and_drop_it() {
        let thin = ThinBytes::new(b"shared by all");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let mine = thin.clone();
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let another = mine.clone();
                        assert_eq!(*another, *b"shared by all");
                    }
                });
            }
        });
        // SAFETY: invariant 3.
        assert_eq!(unsafe { thin.head.as_ref() }.count.load(Ordering::Relaxed), 1);
    }
}

/// The last of two threads frees it, whichever that is, after the other's last look.
#[cfg(all(test, loom))]
mod models {
    use super::*;

    #[test]
    fn loom_the_last_holder_frees() {
        crate::sync::explore(3, || {
            let thin = ThinBytes::new(b"ab");
            let other = thin.clone();
            let thread = loom::thread::spawn(move || {
                assert_eq!(*other, *b"ab");
                drop(other.clone());
            });
            assert_eq!(*thin, *b"ab");
            drop(thin);
            thread.join().expect("no panic");
        });
    }
}
