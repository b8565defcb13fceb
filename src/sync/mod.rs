//! Atomics behind a loom switch, and the few shared shapes that are built on them.
//!
//! Knows threads and words; does not know series, points, intervals' contents, sockets or clocks.
//!
//! ```text
//!  append::AppendVec     one appender, any readers    grows, never moves an element
//!  once::Once            many setters, any readers  one boxed value or closed, in a word
//!  published::Published  one writer, any readers      the newest Arc of something
//!  row::CounterRow              one writer, any readers      N words, read whole (seqlock)
//!  counts::Counts        one writer, any readers      counters that stand for themselves
//!  thin::ThinBytes      any holders               bytes that never change, in a word
//!  cut::CutBoard         coordinator and shards       who has closed which interval
//!  reclaim::Reclaim      who frees what readers may still see: epochs, or what a model can follow
//!  allocator             what was freed goes back to the system
//!  users::Users            any holders               a count that ends once
//!  pages::Pages          any holders               zeroed words, given back while their addresses stay good
//! ```
//!
//! With `--cfg loom` every atomic, fence and cell below is loom's, so that its models run the very code the product
//! runs. Statistics use `core`'s atomics everywhere: they publish nothing, and a model need not branch on them.
//!
//! `unsafe` lives in this room and in `series::index` only, the compiler refuses it elsewhere. Each file opens with numbered invariants; each `SAFETY` line cites
//! one, each `ORDERING` line says what the access pairs with.

pub mod allocator;
pub mod append;
pub mod counts;
pub mod cut;
pub mod once;
pub mod pages;
pub mod published;
pub mod reclaim;
pub mod row;
pub mod spare;
pub mod thin;
pub mod users;

/// The atomics of the program: `core`'s, or loom's under `cfg(loom)`.
#[cfg(not(loom))]
pub mod atomic {
    pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}
/// The atomics of the program: loom's.
#[cfg(loom)]
pub mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

pub use crossbeam::utils::CachePadded;

/// `UnsafeCell` with loom's shape: under `cfg(loom)` each access is checked against all others.
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(not(loom))]
pub(crate) use plain::UnsafeCell;

#[cfg(not(loom))]
mod plain {
    /// `core`'s cell with the two methods of loom's that we use.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// A pointer to read through.
        #[inline]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// A pointer to write through.
        #[inline]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

/// Tells the processor that this thread waits for another.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Gives the rest of the time slice to whoever this thread waits for.
#[inline]
pub(crate) fn yield_hint() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Starts loading the cache line at the head of `value` for a read that follows soon.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    prefetch_read((value as *const T).cast::<u8>());
}

/// Starts loading the cache line at `pointer`, whatever it is: a prefetch never faults, so any address is allowed.
/// Does nothing on processors other than x86-64.
#[inline(always)]
pub fn prefetch_read<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: PREFETCHT0 is a hint. It reads no value and raises no fault on any address (Intel SDM, volume 2B,
        // PREFETCHh), and SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast::<i8>()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}

/// Explores a model with at most so many preemptions of a thread, and says how many executions that took.
#[cfg(all(test, loom))]
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let executions = std::sync::Arc::new(core::sync::atomic::AtomicU64::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let begun = std::time::Instant::now();
    builder.check(move || {
        counted.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or("model").to_owned();
    let executions = executions.load(core::sync::atomic::Ordering::Relaxed);
    println!("{name}: {executions} executions, {preemptions} preemptions, {:?}", begun.elapsed());
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn any_address_can_be_prefetched() {
        prefetch(&[1u64, 2, 3][..]);
        prefetch(&7u8);
        prefetch_read(core::ptr::null::<u64>());
        prefetch_read(core::ptr::without_provenance::<u8>(usize::MAX));
    }
}
