//! Cell memory: words addressed by `u32` lines, one slab per core.
//!
//! Knows lines of eight words and runs of lines; does not know what a cell holds. The slab's core allocates, frees
//! and writes; any thread reads. A chunk in which every run was freed gives its memory back to the system; its addresses
//! stay, and read as zero.
//!
//! Invariants
//! 1. A run never crosses a chunk, and a chunk that is not empty has runs of one class (`class_lines`).
//! 2. A run handed out is zeroed and belongs to nobody else.
//! 3. Nothing stored is a pointer, so that the same layout can live in a memory-mapped file: only `sync::pages` would
//!    change.
//! 4. A run is released when nobody reads it any more; who does all the same reads words, whatever they are.
//!
//! Runs come from the lowest chunk with room, so that what is left after many have gone gathers there and the chunks above
//! empty themselves.
//!
//! Bounds: 2^31 lines (128 GiB) a slab, so that a bit of a line's number is free; one run fits a chunk (4096 lines, 256 KiB); an eighth of a run longer than 16 lines
//! may be lost to its class. Two bytes are kept for each free run of a chunk in use.
//! Evidence: smaller chunks cost a look-up table that leaves the first-level cache at a million series. Their length is part
//! of their type: where it was a number in memory, each look at a cell compared with it, which took some ten instructions a
//! point.

use crate::sync::append::{AppendVec, Appender};
pub use crate::sync::pages::{LINE_WORDS, Line};
use crate::sync::pages::{PAGE_LINES, Pages};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Lines of a chunk.
pub const CHUNK_LINES: usize = 4096;

/// Lines of a slab.
const LINES_MAX: usize = 1 << 31;

type Chunk = Pages<CHUNK_LINES>;

/// The words from `line` of a chunk on, `words` of them (invariant 1).
#[inline]
fn run_in(chunk: &Chunk, line: u32, words: usize) -> &[AtomicU64] {
    let at = line as usize % CHUNK_LINES * LINE_WORDS;
    &chunk.as_flattened()[at..at + words]
}

/// What other threads see of a slab.
#[derive(Clone)]
pub struct Slab {
    chunks: Arc<AppendVec<Chunk>>,
    bytes: Arc<AtomicUsize>,
}

impl Slab {
    /// The `words` words that begin at `line`, if they have been allocated.
    #[inline]
    pub fn run(&self, line: u32, words: usize) -> Option<&[AtomicU64]> {
        self.chunks.get(line as usize / CHUNK_LINES).map(|chunk| run_in(chunk, line, words))
    }

    /// Bytes that runs take or have taken, of all chunks that are not empty.
    pub fn bytes(&self) -> usize {
        // ORDERING: a count for reports and limits, publishes nothing
        self.bytes.load(Relaxed)
    }
}

/// Lines that the longest runs of one class may have: up to 16 each number is a class, above there are eight up to its
/// double.
const fn class_lines(lines: usize) -> usize {
    if lines <= 16 {
        return lines;
    }
    let step = 1 << ((lines - 1).ilog2() - 3);
    lines.div_ceil(step) * step
}

/// One chunk's runs. All of them are free, or it belongs to a class.
#[derive(Default)]
struct Room {
    /// Of each run; 0: it is empty.
    lines: u16,
    /// Runs in use.
    live: u16,
    /// Runs that were handed out since it was empty: those behind them were never written.
    fresh: u16,
    /// Runs among them that came back.
    free: Vec<u16>,
}

impl Room {
    fn is_full(&self) -> bool {
        self.free.is_empty() && (self.fresh as usize + 1) * self.lines as usize > CHUNK_LINES
    }

    /// Of the pages that were written.
    fn bytes(&self) -> usize {
        (self.fresh as usize * self.lines as usize).next_multiple_of(PAGE_LINES) * LINE_WORDS * 8
    }
}

/// The right to allocate, free and write; held by the slab's core.
pub struct SlabWriter {
    chunks: Appender<Chunk>,
    local: Vec<Chunk>,
    /// By chunk.
    rooms: Vec<Room>,
    /// By lines of a run: chunks of that class with room.
    open: Vec<BTreeSet<u32>>,
    /// Chunks that are empty.
    empty: BTreeSet<u32>,
    bytes: Arc<AtomicUsize>,
}

impl SlabWriter {
    /// An empty slab: its writer, and what others read through.
    pub fn new() -> (SlabWriter, Slab) {
        let (appender, reader) = AppendVec::new();
        let bytes = Arc::new(AtomicUsize::new(0));
        let writer = SlabWriter {
            chunks: appender,
            local: Vec::new(),
            rooms: Vec::new(),
            open: Vec::new(),
            empty: BTreeSet::new(),
            bytes: bytes.clone(),
        };
        (writer, Slab { chunks: reader, bytes })
    }

    /// Lines that `words` words take.
    #[inline]
    pub const fn lines_of(words: usize) -> usize {
        class_lines(words.div_ceil(LINE_WORDS))
    }

    /// A zeroed run of at least `words` words.
    pub fn allocate(&mut self, words: usize) -> u32 {
        let lines = Self::lines_of(words);
        assert!(0 < lines && lines <= CHUNK_LINES, "a cell of {words} words does not fit a chunk");
        let chunk = match self.open.get(lines).and_then(BTreeSet::first) {
            Some(chunk) => *chunk,
            None => self.begin(lines),
        };
        let room = &mut self.rooms[chunk as usize];
        let before = room.bytes();
        let (slot, used) = match room.free.pop() {
            Some(slot) => (slot, true),
            None => (room.fresh, false),
        };
        room.fresh += u16::from(!used);
        room.live += 1;
        let grown = room.bytes() - before;
        if room.is_full() {
            self.open[lines].remove(&chunk);
        }
        // ORDERING: as in `Slab::bytes`
        self.bytes.fetch_add(grown, Relaxed);
        let line = (chunk as usize * CHUNK_LINES + slot as usize * lines) as u32;
        if used {
            // ORDERING: the run was freed a cut after its last reader; whoever is told of it next is told with Release
            self.run(line, lines * LINE_WORDS).iter().for_each(|word| word.store(0, Relaxed));
        }
        line
    }

    /// Gives an empty chunk, or a new one, to a class.
    #[cold]
    fn begin(&mut self, lines: usize) -> u32 {
        let chunk = self.empty.pop_first().unwrap_or_else(|| {
            assert!((self.local.len() + 1) * CHUNK_LINES <= LINES_MAX, "a slab holds at most 2^31 lines");
            let chunk = Chunk::new();
            self.local.push(chunk.clone());
            self.rooms.push(Room::default());
            self.chunks.push(chunk) as u32
        });
        self.rooms[chunk as usize].lines = lines as u16;
        if self.open.len() <= lines {
            self.open.resize_with(lines + 1, BTreeSet::new);
        }
        self.open[lines].insert(chunk);
        chunk
    }

    /// Gives a run back. The caller knows that no other thread will read it.
    pub fn release(&mut self, line: u32, words: usize) {
        let (chunk, lines) = ((line as usize / CHUNK_LINES) as u32, Self::lines_of(words));
        let room = &mut self.rooms[chunk as usize];
        assert!(room.live > 0 && room.lines as usize == lines, "invariant 1: a run of {lines} lines at {line}");
        room.live -= 1;
        if room.live > 0 {
            room.free.push((line as usize % CHUNK_LINES / lines) as u16);
            self.open[lines].insert(chunk);
            return;
        }
        let bytes = std::mem::take(room).bytes();
        self.open[lines].remove(&chunk);
        self.empty.insert(chunk);
        self.local[chunk as usize].clear();
        // ORDERING: as in `Slab::bytes`
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// The `words` words that begin at `line`.
    #[inline]
    pub fn run(&self, line: u32, words: usize) -> &[AtomicU64] {
        run_in(&self.local[line as usize / CHUNK_LINES], line, words)
    }

    /// Brings a line into the cache.
    #[inline]
    pub fn prefetch(&self, line: u32) {
        if let Some(chunk) = self.local.get(line as usize / CHUNK_LINES) {
            crate::sync::prefetch(&chunk[line as usize % CHUNK_LINES]);
        }
    }

    /// The one line at `line`.
    #[inline]
    pub fn line(&self, line: u32) -> &Line {
        &self.local[line as usize / CHUNK_LINES][line as usize % CHUNK_LINES]
    }
}

const _: () = assert!(
    crate::cells::Shape::CumulativeExplicit(crate::limits::HISTOGRAM_BOUNDS_MAX as u32 + 1).words()
        <= CHUNK_LINES * LINE_WORDS
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_do_not_overlap_and_come_back_zeroed() {
        let (mut slab, reader) = SlabWriter::new();
        let mut seen = std::collections::BTreeSet::new();
        for words in [8, 18, 8, 8 * 4000, 8, 18, 200] {
            let line = slab.allocate(words);
            slab.run(line, words).iter().for_each(|w| {
                assert_eq!(w.load(Relaxed), 0);
                w.store(7, Relaxed);
            });
            for l in 0..SlabWriter::lines_of(words) as u32 {
                assert!(seen.insert(line + l), "line {} twice", line + l);
            }
        }
        let line = slab.allocate(18);
        let beside = slab.allocate(18);
        slab.run(line, 18)[17].store(9, Relaxed);
        slab.release(line, 18);
        assert_eq!(slab.allocate(18), line);
        assert_eq!(reader.run(line, 18).unwrap()[17].load(Relaxed), 0);
        assert!(reader.run(u32::MAX, 8).is_none());
        slab.release(beside, 18);
    }

    /// All shapes come and go at random against a model: no two overlap, each is zeroed, and when all are gone nothing is
    /// kept and the next ones come from the lowest chunk.
    #[test]
    fn chunks_whose_runs_are_all_free_are_given_back_and_used_for_any_shape() {
        let (mut slab, reader) = SlabWriter::new();
        let (mut live, mut random) = (Vec::<(u32, usize)>::new(), 1u64);
        let mut taken = vec![false; 0];
        for round in 0..3 {
            for step in 0..6_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) as usize;
                if step % 3 == 2 {
                    let (line, words) = live.swap_remove(at % live.len());
                    slab.run(line, words).iter().for_each(|word| word.store(u64::MAX, Relaxed));
                    taken[line as usize..line as usize + words.div_ceil(8)].fill(false);
                    slab.release(line, words);
                    continue;
                }
                let words = [8, 8, 8, 18, 130, 200, 2_066][at % 7];
                let line = slab.allocate(words);
                assert!(reader.run(line, words).unwrap().iter().all(|word| word.load(Relaxed) == 0));
                slab.run(line, words).iter().for_each(|word| word.store(7, Relaxed));
                let end = line as usize + words.div_ceil(8);
                taken.resize(taken.len().max(end), false);
                assert!(taken[line as usize..end].iter().all(|taken| !taken), "{line} twice");
                taken[line as usize..end].fill(true);
                live.push((line, words));
            }
            let (bytes, most) = (reader.bytes(), slab.local.len());
            assert!(bytes >= live.iter().map(|(_, words)| words * 8).sum() && bytes <= most * CHUNK_LINES * 64);
            for (line, words) in live.drain(..) {
                slab.release(line, words);
            }
            taken.fill(false);
            assert_eq!(reader.bytes(), 0, "round {round}");
            assert!(slab.local.iter().all(|chunk| chunk.as_flattened().iter().all(|word| word.load(Relaxed) == 0)));
            assert_eq!((slab.empty.len(), slab.open.iter().map(BTreeSet::len).sum::<usize>()), (most, 0));
            assert_eq!(slab.allocate(2_066), 0, "the lowest");
            slab.release(0, 2_066);
        }
    }

    /// What was left spread over all chunks gathers in the low ones once others come.
    #[test]
    fn runs_are_used_again_from_below() {
        let (mut slab, reader) = SlabWriter::new();
        let lines: Vec<u32> = (0..10 * CHUNK_LINES).map(|_| slab.allocate(8)).collect();
        let whole = reader.bytes();
        assert_eq!(whole, 10 * CHUNK_LINES * 64);
        let (stay, go): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line % 10 == 0);
        go.iter().for_each(|line| slab.release(*line, 8));
        assert_eq!(reader.bytes(), whole, "each chunk has some");
        (0..stay.len()).for_each(|_| assert!(slab.allocate(8) < 2 * CHUNK_LINES as u32));
        stay.iter().for_each(|line| slab.release(*line, 8));
        assert_eq!(reader.bytes(), whole / 5);
    }

    #[test]
    fn classes_waste_an_eighth_at_most() {
        for lines in 1..=CHUNK_LINES {
            let class = class_lines(lines);
            assert!(class >= lines && (class - lines) * 8 < lines && class_lines(class) == class, "{lines}: {class}");
            assert!(class <= CHUNK_LINES);
        }
        assert_eq!([1, 16, 17, 32, 33, 258].map(class_lines), [1, 16, 18, 32, 36, 288]);
    }
}
