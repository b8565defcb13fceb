//! A vector that one thread appends to while any thread reads.
//!
//! Knows elements and their places; does not know what they mean or who waits for them.
//!
//! ```text
//!   Appender ──push──► chunk 0 [1] ► chunk 1 [2] ► chunk 2 [4] …         then  length.store(n + 1, Release)
//!                                                                               │
//!   readers  ──get(i)─ length.load(Acquire) > i ? ──────────────────────────────┘  chunk, offset
//! ```
//!
//! Invariants
//!  1. There is one `Appender` per vector and `push` borrows it mutably: one thread at a time writes.
//!  2. Elements `0..length` are initialised and are never written, moved or dropped before the vector is.
//!  3. Chunk `k` holds `FIRST << k` elements; it is allocated before the first of them is written and freed with the
//!     vector.
//!  4. Element `i` lies in chunk `log2(i + FIRST) - log2(FIRST)` at `i + FIRST - (FIRST << chunk)`.
//!  5. The first `FEW` chunks have their pointers in the vector, all others in `more`, which is allocated before the
//!     first of them is and freed with the vector.
//!
//! Progress: `get`, `len`, `iter` are wait-free; `push` is wait-free apart from the allocator.
//!
//! Ordering: `length` publishes everything. It is stored with Release after chunk pointer and element, and loaded with
//! Acquire before either is used, so the chunk pointers themselves, and the one to `more`, need no ordering.
//!
//! Bounds: `ITEMS_MAX` = 2^32 elements; at most one chunk is partly empty, so at most half of the memory is slack.
//! An empty vector allocates nothing for elements. One of a few elements takes 56 bytes beside them, since each of
//! a million groups may have one series; a longer one takes 240 more.
//!
//! Sources: the chunk arithmetic is that of `boxcar` and of Dechev et al., Lock-free dynamically resizable arrays
//! (2006).

use super::UnsafeCell;
use super::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Elements of the first chunk.
const FIRST: usize = 1;
/// Chunks whose pointers lie in the vector.
const FEW: usize = if cfg!(loom) { 1 } else { 3 };
/// Elements a vector can hold.
pub const ITEMS_MAX: usize = if cfg!(loom) { 15 } else { 1 << 32 };
/// Chunks it takes for that.
const CHUNKS: usize = ((ITEMS_MAX + FIRST).ilog2() - FIRST.ilog2() + 1) as usize;

const _: () = assert!(FIRST.is_power_of_two() && FEW < CHUNKS);
const _: () = assert!(FIRST * ((1 << CHUNKS) - 1) >= ITEMS_MAX, "the chunks hold every element");

type Cell<T> = UnsafeCell<MaybeUninit<T>>;
type Chunks<T, const N: usize> = [AtomicPtr<Cell<T>>; N];

/// The readers' side; see the file's head. Shared through `Arc`.
pub struct AppendVec<T> {
    few: Chunks<T, FEW>,
    /// Null as long as the few are enough.
    more: AtomicPtr<Chunks<T, { CHUNKS - FEW }>>,
    length: AtomicUsize,
}

/// The right to append to one vector; reads as the vector does.
pub struct Appender<T> {
    vector: Arc<AppendVec<T>>,
}

// SAFETY: invariant 2: readers get `&T` on any thread (T: Sync), and the last one drops the elements (T: Send).
unsafe impl<T: Send + Sync> Sync for AppendVec<T> {}
// SAFETY: as above; the vector owns its elements.
unsafe impl<T: Send> Send for AppendVec<T> {}

impl<T> AppendVec<T> {
    /// An empty vector and the only right to append to it.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (Appender<T>, Arc<AppendVec<T>>) {
        let vector = Arc::new(AppendVec {
            few: no_chunks(),
            more: AtomicPtr::new(std::ptr::null_mut()),
            length: AtomicUsize::new(0),
        });
        (Appender { vector: vector.clone() }, vector)
    }

    /// Elements appended so far.
    #[inline]
    pub fn len(&self) -> usize {
        // ORDERING: Acquire pairs with the Release in `push`: elements below what is seen, and their chunks, are
        // visible.
        self.length.load(Ordering::Acquire)
    }

    /// Whether nothing was appended yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`, if it was appended already.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len() {
            return None;
        }
        let (chunk, offset) = place(index);
        // ORDERING: Relaxed: the chunk was stored before the length that `len` acquired.
        let cells = self.chunk(chunk)?.load(Ordering::Relaxed);
        // SAFETY: invariants 2, 3 and 4: `index` is below the length, so chunk and element are there for good.
        Some(unsafe { (*cells.add(offset)).with(|cell| (*cell).assume_init_ref()) })
    }

    /// Element `index` and those behind it that lie beside it; nothing if there is no such element. Whoever walks over many
    /// looks for a chunk once and not for each.
    #[cfg(not(loom))]
    #[inline]
    pub fn beside(&self, index: usize) -> &[T] {
        let length = self.len();
        if index >= length {
            return &[];
        }
        let (chunk, offset) = place(index);
        let count = ((FIRST << chunk) - offset).min(length - index);
        // ORDERING: Relaxed: as in `get`.
        let cells = self.chunk(chunk).map_or(std::ptr::null_mut(), |cells| cells.load(Ordering::Relaxed));
        // SAFETY: invariants 2, 3 and 4: all of them are below the length, so the chunk and they are there for good and
        // nobody writes them; a cell is laid out as its element.
        unsafe { std::slice::from_raw_parts(cells.add(offset).cast::<T>().cast_const(), count) }
    }

    /// The same in a model, whose cells are not laid out as their elements: one at a time.
    #[cfg(loom)]
    pub fn beside(&self, index: usize) -> &[T] {
        self.get(index).map_or(&[], std::slice::from_ref)
    }

    /// Where the pointer to a chunk lies; nowhere yet if it is not one of the few, and all that were needed are.
    #[inline]
    fn chunk(&self, chunk: usize) -> Option<&AtomicPtr<Cell<T>>> {
        if let Some(place) = self.few.get(chunk) {
            return Some(place);
        }
        // ORDERING: Relaxed: stored before the length that shows an element there, which the caller acquired, or by
        // this thread.
        // SAFETY: invariant 5: null, or what the vector owns for as long as it lives.
        unsafe { self.more.load(Ordering::Relaxed).as_ref() }?.get(chunk - FEW)
    }

    /// The elements appended before this call, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator {
        (0..self.len()).map(|index| self.get(index).expect("below the length"))
    }
}

impl<T> Appender<T> {
    /// Appends `item` and returns its index.
    ///
    /// # Panics
    ///
    /// Past `ITEMS_MAX` elements: whoever appends holds a smaller limit of its own.
    pub fn push(&mut self, item: T) -> usize {
        let vector = &*self.vector;
        // ORDERING: Relaxed: only this thread writes it (invariant 1).
        let index = vector.length.load(Ordering::Relaxed);
        assert!(index < ITEMS_MAX, "an append vector holds at most {ITEMS_MAX} elements");
        let (chunk, offset) = place(index);
        if chunk == FEW && offset == 0 {
            // ORDERING: Relaxed: published by the Release of the length below.
            vector.more.store(Box::into_raw(Box::new(no_chunks())), Ordering::Relaxed);
        }
        let place = vector.chunk(chunk).expect("invariant 5");
        // ORDERING: Relaxed: only this thread writes it (invariant 1).
        let mut cells = place.load(Ordering::Relaxed);
        if cells.is_null() {
            cells = allocate(chunk);
            // ORDERING: Relaxed: published by the Release of the length below.
            place.store(cells, Ordering::Relaxed);
        }
        // SAFETY: invariants 1 and 2: at or above the length nobody reads, and nobody else writes; 3 and 4: in bounds.
        unsafe { (*cells.add(offset)).with_mut(|cell| (*cell).write(item)) };
        // ORDERING: Release publishes element and chunk to the Acquire in `len`; weaker would show them uninitialised.
        vector.length.store(index + 1, Ordering::Release);
        index
    }

    /// The vector, to hand to readers.
    pub fn reader(&self) -> Arc<AppendVec<T>> {
        self.vector.clone()
    }
}

impl<T> std::ops::Deref for Appender<T> {
    type Target = AppendVec<T>;

    fn deref(&self) -> &AppendVec<T> {
        &self.vector
    }
}

impl<T> Drop for AppendVec<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: `&mut self` says that all others are gone.
        let length = self.length.load(Ordering::Relaxed);
        for chunk in 0..CHUNKS {
            let cells = self.chunk(chunk).map_or(std::ptr::null_mut(), |cells| cells.load(Ordering::Relaxed));
            if cells.is_null() {
                break;
            }
            let before = FIRST * ((1 << chunk) - 1);
            for offset in 0..length.saturating_sub(before).min(FIRST << chunk) {
                // SAFETY: invariants 2 to 4: initialised, and dropped here only.
                unsafe { (*cells.add(offset)).with_mut(|cell| (*cell).assume_init_drop()) };
            }
            // SAFETY: invariant 3: made by `allocate(chunk)` with this length; nobody uses it after this.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(cells, FIRST << chunk)) });
        }
        let more = self.more.load(Ordering::Relaxed);
        if !more.is_null() {
            // SAFETY: invariant 5: made by `push` from a box; nobody uses it after this.
            drop(unsafe { Box::from_raw(more) });
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for AppendVec<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Pointers to chunks that are not there yet.
fn no_chunks<T, const N: usize>() -> Chunks<T, N> {
    std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut()))
}

/// Invariant 4.
#[inline]
fn place(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let chunk = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (chunk, shifted - (FIRST << chunk))
}

/// Room for the elements of one chunk.
fn allocate<T>(chunk: usize) -> *mut Cell<T> {
    let cells: Box<[Cell<T>]> = (0..FIRST << chunk).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    Box::into_raw(cells).cast()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn places_are_dense_and_in_order() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(place(index), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(ITEMS_MAX - 1).0, CHUNKS - 1);
    }

    #[test]
    fn what_was_pushed_is_found_and_dropped_once() {
        // none, one, as many as the few chunks hold, one more, and many
        for count in [0, 1, (1 << FEW) - 1, 1 << FEW, 1_000] {
            let counted = Arc::new(());
            let (mut appender, vector) = AppendVec::new();
            assert!(vector.is_empty() && vector.get(0).is_none());
            for index in 0..count {
                assert_eq!(appender.push((index, counted.clone())), index);
                assert_eq!(vector.get(index).map(|item| item.0), Some(index));
                assert!(vector.get(index + 1).is_none());
            }
            assert!(vector.iter().map(|item| item.0).eq(0..count));
            let mut walked = 0;
            while let beside @ [_, ..] = vector.beside(walked) {
                assert!(beside.iter().map(|item| item.0).eq(walked..walked + beside.len()));
                walked += beside.len();
            }
            assert_eq!(walked, count);
            assert_eq!(Arc::strong_count(&counted), count + 1);
            drop(appender);
            drop(vector);
            assert_eq!(Arc::strong_count(&counted), 1, "of {count}");
        }
    }

    #[test]
    fn one_of_a_few_elements_has_no_room_for_more_chunks() {
        let (mut appender, vector) = AppendVec::new();
        (0..(FIRST << FEW) - FIRST).for_each(|index| assert_eq!(appender.push(index), index));
        assert!(vector.more.load(Ordering::Relaxed).is_null());
        assert!(size_of::<AppendVec<usize>>() <= 40, "a million groups have one each");
        appender.push(0);
        assert!(!vector.more.load(Ordering::Relaxed).is_null());
    }

    #[test]
    fn readers_see_a_growing_prefix() {
        let (mut appender, vector) = AppendVec::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut seen = 0;
                    while seen < 20_000 {
                        let length = vector.len();
                        assert!(length >= seen);
                        for index in seen..length {
                            assert_eq!(vector.get(index), Some(&(index * 3)));
                        }
                        seen = length;
                    }
                });
            }
            for index in 0..20_000 {
                appender.push(index * 3);
            }
        });
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;

    #[test]
    fn loom_append_push_and_get() {
        crate::sync::explore(3, || {
            let (mut appender, vector) = AppendVec::<usize>::new();
            let reader = loom::thread::spawn(move || {
                let length = vector.len();
                for index in 0..length {
                    assert_eq!(vector.get(index), Some(&(index + 7)));
                }
                if let Some(item) = vector.get(length) {
                    assert_eq!(*item, length + 7);
                }
                length
            });
            for index in 0..3 {
                appender.push(index + 7);
            }
            assert!(reader.join().unwrap() <= 3);
            assert_eq!(appender.len(), 3);
        });
    }
}
