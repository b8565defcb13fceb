//! A place for one boxed value in one word: set at most once, or closed.
//!
//! Knows a value and that it is there for good; does not know what it means. `std::sync::OnceLock<Box<T>>` takes two
//! words, and a million series have two such places each.
//!
//! Invariants
//!  1. The word is null (open), `CLOSED`, or a pointer from `Box::into_raw` that the place owns.
//!  2. It leaves null by one successful compare-and-swap and never changes again.
//!
//! Progress: everything is wait-free.
//!
//! Ordering: the pointer is published with Release and followed after an Acquire load.

use super::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;

/// See the file's head.
pub struct Once<T> {
    word: AtomicPtr<T>,
    owns: PhantomData<Box<T>>,
}

// SAFETY: invariant 2: readers get `&T` on any thread (T: Sync), and whoever drops the place drops the value (T: Send).
unsafe impl<T: Send + Sync> Sync for Once<T> {}
// SAFETY: as above; the place owns its value.
unsafe impl<T: Send> Send for Once<T> {}

/// An address that no box has: boxes of what is not zero-sized are aligned, and lie above the first page.
fn closed<T>() -> *mut T {
    std::ptr::without_provenance_mut(1)
}

impl<T> Once<T> {
    const NOT_ZERO_SIZED: () = assert!(size_of::<T>() > 0 && align_of::<T>() > 1, "`CLOSED` is no address of a T");

    /// An open place.
    pub fn new() -> Once<T> {
        let () = Self::NOT_ZERO_SIZED;
        Once { word: AtomicPtr::new(std::ptr::null_mut()), owns: PhantomData }
    }

    /// The value, if it was set.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // ORDERING: Acquire pairs with the Release of `set`: the value is visible, whole.
        let pointer = self.word.load(Ordering::Acquire);
        if pointer == closed() {
            return None;
        }
        // SAFETY: invariants 1 and 2: null, or a box that lives as long as the place.
        unsafe { pointer.as_ref() }
    }

    /// Sets the value, unless the place was set or closed before; then it comes back.
    pub fn set(&self, value: Box<T>) -> Result<(), Box<T>> {
        let pointer = Box::into_raw(value);
        // ORDERING: Release publishes the value to `get`; Acquire sees what a racing `set` published.
        match self.word.compare_exchange(std::ptr::null_mut(), pointer, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: it was made above and never published.
            Err(_) => Err(unsafe { Box::from_raw(pointer) }),
        }
    }

    /// Closes the place; `false` if it was set or closed before.
    pub fn close(&self) -> bool {
        // ORDERING: as in `set`, for what the closer did before.
        self.word.compare_exchange(std::ptr::null_mut(), closed(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once::new()
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: `&mut self` says that all others are gone.
        let pointer = self.word.load(Ordering::Relaxed);
        if !pointer.is_null() && pointer != closed() {
            // SAFETY: invariant 1; dropped here only.
            drop(unsafe { Box::from_raw(pointer) });
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn it_is_set_once_or_closed() {
        let counted = Arc::new(0u64);
        let place = Once::new();
        assert!(place.get().is_none());
        assert!(place.set(Box::new(counted.clone())).is_ok());
        assert!(place.set(Box::new(counted.clone())).is_err());
        assert!(!place.close());
        assert_eq!(place.get(), Some(&counted));
        assert_eq!(Arc::strong_count(&counted), 2);
        drop(place);
        assert_eq!(Arc::strong_count(&counted), 1);

        let place = Once::new();
        assert!(place.close() && !place.close());
        assert!(place.set(Box::new(counted.clone())).is_err());
        assert!(place.get().is_none());
        drop(place);
        assert_eq!(Arc::strong_count(&counted), 1);
        assert_eq!(size_of::<Once<u64>>(), 8);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    /// Two set, one closes, one reads: exactly one of them wins, and what is read is whole.
    #[test]
    fn loom_once_has_one_winner() {
        crate::sync::explore(3, || {
            let place = Arc::new(Once::<[u64; 2]>::new());
            let setters: Vec<_> = [3u64, 5]
                .map(|n| {
                    let place = place.clone();
                    loom::thread::spawn(move || place.set(Box::new([n, n])).is_ok())
                })
                .into_iter()
                .collect();
            let closed = place.close();
            if let Some([a, b]) = place.get() {
                assert!(a == b && (*a == 3 || *a == 5));
            }
            let set = setters.into_iter().map(|t| t.join().unwrap()).filter(|set| *set).count();
            assert_eq!(set + usize::from(closed), 1);
            assert_eq!(place.get().is_some(), !closed);
        });
    }
}
