//! A slot that holds the newest version of something.
//!
//! Knows one `Arc`; does not know when a version is out of date.
//!
//! ```text
//!   writer ── store(new) ── swap ──► slot ◄── load ── readers: a count of their own on what they found
//!                             └─ old: one count is dropped when no reader can be between load and counting
//! ```
//!
//! Invariants
//!  1. The slot always holds a pointer from `Arc::into_raw` and owns one count of it.
//!  2. A pointer taken out is retired with that count, so under a guard what was loaded has a count left.
//!
//! Progress: `load` is wait-free (see `reclaim` on pinning); `store` is lock-free, and wait-free with one writer.
//!
//! Ordering: the swap's Release pairs with the load's Acquire and publishes what the Arc points at.
//!
//! Bounds: one version in the slot; older ones live as long as somebody holds them, plus two epochs.

use super::atomic::{AtomicPtr, Ordering};
use super::reclaim::{Epoch, Reclaim};
use std::marker::PhantomData;
use std::sync::Arc;

/// A slot holding an `Arc` that is replaced whole; see the file's head.
pub struct Published<T: Send + Sync + 'static, R: Reclaim = Epoch> {
    slot: AtomicPtr<T>,
    reclaim: R,
    owns: PhantomData<Arc<T>>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Published<T, R> {
    /// A slot with its first version.
    pub fn new(first: Arc<T>) -> Self {
        Published { slot: AtomicPtr::new(Arc::into_raw(first).cast_mut()), reclaim: R::default(), owns: PhantomData }
    }

    /// The newest version.
    pub fn load(&self) -> Arc<T> {
        let _guard = self.reclaim.pin();
        // ORDERING: Acquire pairs with the swap in `store`: what the version holds is visible.
        let found = self.slot.load(Ordering::Acquire);
        // SAFETY: invariants 1 and 2, under the guard: the slot's count is not dropped yet, so we may add one and own
        // it.
        unsafe {
            Arc::increment_strong_count(found);
            Arc::from_raw(found)
        }
    }

    /// Replaces the version; readers that hold the old one keep it.
    pub fn store(&self, next: Arc<T>) {
        let guard = self.reclaim.pin();
        // ORDERING: Release publishes the version to `load`; Acquire, because the old one may be dropped here.
        let old = self.slot.swap(Arc::into_raw(next).cast_mut(), Ordering::AcqRel);
        // SAFETY: invariant 2, and reclaim's 1: the swap took it out, and only one swap can.
        unsafe { self.reclaim.retire(&guard, old.cast(), drop_count::<T>) };
    }
}

impl<T: Send + Sync + 'static, R: Reclaim> Drop for Published<T, R> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: `&mut self` says that all others are gone.
        let last = self.slot.load(Ordering::Relaxed);
        // SAFETY: invariant 1: the slot's own count.
        unsafe { drop_count::<T>(last.cast()) };
    }
}

impl<T: Send + Sync + std::fmt::Debug, R: Reclaim> std::fmt::Debug for Published<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Published").field(&self.load()).finish()
    }
}

/// # Safety
///
/// `pointer` comes from `Arc::<T>::into_raw`, and this count is nobody else's.
unsafe fn drop_count<T>(pointer: *mut u8) {
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(pointer.cast::<T>().cast_const()) });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(u64, u64, Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.2.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn readers_see_whole_versions_that_never_go_back() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let version = |n: u64| Arc::new(Counted(n, !n, dropped.clone()));
        let slot: Published<Counted> = Published::new(version(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut newest = 0;
                    while newest < 2_000 {
                        let seen = slot.load();
                        assert_eq!(seen.1, !seen.0);
                        assert!(seen.0 >= newest);
                        newest = seen.0;
                    }
                });
            }
            for n in 1..=2_000 {
                slot.store(version(n));
            }
        });
        assert!(dropped.load(Ordering::Relaxed) <= 2_000, "the newest version is held");
        assert_eq!(slot.load().0, 2_000);
    }

    #[test]
    fn a_version_outlives_its_replacement() {
        let slot: Published<String> = Published::new(Arc::new("first".to_owned()));
        let held = slot.load();
        slot.store(Arc::new("second".to_owned()));
        assert_eq!((held.as_str(), slot.load().as_str()), ("first", "second"));
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::UnsafeCell;
    use crate::sync::reclaim::Leak;

    /// Written before it is published; loom reports a reader that is not ordered after that.
    struct Version(UnsafeCell<usize>);

    // SAFETY: nobody writes after the version was shared.
    unsafe impl Sync for Version {}

    impl Version {
        fn made(value: usize) -> Arc<Self> {
            let version = Version(UnsafeCell::new(0));
            // SAFETY: not shared yet.
            version.0.with_mut(|cell| unsafe { *cell = value });
            Arc::new(version)
        }

        fn value(&self) -> usize {
            // SAFETY: nobody writes after the version was shared.
            self.0.with(|cell| unsafe { *cell })
        }
    }

    #[test]
    fn loom_published_load_and_store() {
        crate::sync::explore(3, || {
            let slot = Arc::new(Published::<Version, Leak>::new(Version::made(0)));
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let slot = slot.clone();
                    loom::thread::spawn(move || {
                        let first = slot.load().value();
                        let second = slot.load().value();
                        assert!(first <= second && second <= 2);
                    })
                })
                .collect();
            slot.store(Version::made(1));
            slot.store(Version::made(2));
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert_eq!(slot.load().value(), 2);
        });
    }
}
