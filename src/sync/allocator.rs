//! The allocator's own doors: what was freed goes back to the system.
//!
//! Knows `mimalloc` (version 3), which `main` makes the process's allocator; does not know what was freed. Left alone it
//! keeps what was freed for a second, and in an idle process for as long as it likes.
//!
//! Invariants
//!  1. These calls take no pointers, and may be made on any thread at any time, whether or not anything was allocated by
//!     `mimalloc` (tests use other allocators).

#[cfg(not(miri))]
mod c {
    unsafe extern "C" {
        pub(super) fn mi_collect(force: bool);
        pub(super) fn mi_option_set(option: core::ffi::c_int, value: core::ffi::c_long);
    }
}

/// `mi_option_purge_delay` of `mi_option_t` in mimalloc.h.
#[cfg(not(miri))]
const PURGE_DELAY: core::ffi::c_int = 15;

/// Gives back what this thread has freed, and what any thread gave back to the whole.
pub fn give_back() {
    #[cfg(not(miri))]
    // SAFETY: invariant 1.
    unsafe {
        c::mi_collect(true)
    };
}

/// Gives back what was freed a while ago, as far as that is due; cheap where nothing is.
pub fn tidy() {
    #[cfg(not(miri))]
    // SAFETY: invariant 1.
    unsafe {
        c::mi_collect(false)
    };
}

/// From now on what is freed goes back after so many milliseconds; at once if they are none.
pub fn give_back_after(ms: u32) {
    #[cfg(not(miri))]
    // SAFETY: invariant 1; `option` is one of `mi_option_t`.
    unsafe {
        c::mi_option_set(PURGE_DELAY, core::ffi::c_long::from(ms))
    };
    #[cfg(miri)]
    let _ = ms;
}
