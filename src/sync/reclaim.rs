//! Who frees what other threads may still be reading.
//!
//! Knows pointers and guards; does not know what they point at.
//!
//! Invariants
//!  1. What is retired was unlinked before: no load that starts after the retirement can find it.
//!  2. What is retired is freed after every guard that was live at that moment is gone, and once.
//!  3. A pointer loaded under a guard is used under that guard only.
//!
//! The caller holds 1 and 3, an implementation of `Reclaim` holds 2.
//!
//! Progress: pinning an epoch is wait-free apart from the collection that every 128th pin of a thread tries: it frees
//! at most eight bags of 64 things and looks once at each registered thread. `retire` is lock-free.
//!
//! Ordering: `Epoch` orders an unlinking before the freeing through its own fences. `Leak` adds no ordering at all, so
//! a model that runs on it shows the orderings of the structure itself and nothing borrowed.
//!
//! Bounds: garbage lives until two epochs have passed; a thread that stays pinned stops that, so whoever holds a guard
//! must bound its work. Garbage that a thread has not yet handed on (below 64 things) waits for its next pins.
//!
//! Sources: Fraser, Practical lock-freedom (2004); crossbeam-epoch 0.9 `internal.rs`.

use crossbeam::epoch;

/// Frees what nobody can see any more, at most eight bags of 64 things; without it that happens only as readers come.
pub fn collect() {
    epoch::pin().flush();
}

/// A way to free things late enough.
///
/// # Safety
///
/// An implementation must keep invariant 2 of this file.
pub unsafe trait Reclaim: Default + Send + Sync + 'static {
    /// While one lives, nothing retired after its making is freed.
    type Guard;

    /// Makes a guard.
    fn pin(&self) -> Self::Guard;

    /// Calls `free(pointer)` once nobody can hold `pointer` any more, on whatever thread.
    ///
    /// # Safety
    ///
    /// Invariant 1: `pointer` is unlinked and is retired once. `free(pointer)` must be sound then, on any thread.
    unsafe fn retire(&self, guard: &Self::Guard, pointer: *mut u8, free: unsafe fn(*mut u8));
}

/// Epoch-based reclamation: the product's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch;

// SAFETY: crossbeam-epoch keeps invariant 2: a deferred function runs after all guards pinned at its time are gone.
unsafe impl Reclaim for Epoch {
    type Guard = epoch::Guard;

    #[inline]
    fn pin(&self) -> epoch::Guard {
        epoch::pin()
    }

    unsafe fn retire(&self, guard: &epoch::Guard, pointer: *mut u8, free: unsafe fn(*mut u8)) {
        // SAFETY: invariant 1, held by the caller: sound after all guards are gone, which is when this runs.
        unsafe { guard.defer_unchecked(move || free(pointer)) };
    }
}

/// Never frees anything. For models: it adds no ordering that could hide a missing one.
#[cfg(any(test, loom))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Leak;

// SAFETY: invariant 2 holds emptily: nothing is freed.
#[cfg(any(test, loom))]
unsafe impl Reclaim for Leak {
    type Guard = ();

    fn pin(&self) {}

    unsafe fn retire(&self, _: &(), _: *mut u8, _: unsafe fn(*mut u8)) {}
}
