//! Cell memory: words addressed by `u32` lines, one slab per core.
//!
//! Knows lines of eight words and runs of lines; does not know what a cell holds. The slab's core allocates, frees
//! and writes; any thread reads. Chunks are never given back while the process runs; freed runs are used again.
//!
//! Invariants
//! 1. A run never crosses a chunk.
//! 2. A run handed out is zeroed and belongs to nobody else.
//! 3. Nothing stored is a pointer, so that the same layout can live in a memory-mapped file: only `new_chunk` would
//!    change.
//!
//! Bounds: 2^32 lines (256 GiB) a slab; one run fits a chunk (4096 lines, 256 KiB).
//! Evidence: chunks of 256 KiB come from the allocator page-aligned, so a line is a cache line; smaller chunks cost
//! a look-up table that leaves the first-level cache at a million series. Their length is part of their type: where it was
//! a number in memory, each look at a cell compared with it, which took some ten instructions a point.

use crate::sync::append::{AppendVec, Appender};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Words of a line: 64 bytes.
pub const LINE_WORDS: usize = 8;
/// Lines of a chunk.
pub const CHUNK_LINES: usize = 4096;

/// The words of a line.
pub type Line = [AtomicU64; LINE_WORDS];

type Chunk = Arc<[Line; CHUNK_LINES]>;

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
}

impl Slab {
    /// The `words` words that begin at `line`, if they have been allocated.
    #[inline]
    pub fn run(&self, line: u32, words: usize) -> Option<&[AtomicU64]> {
        self.chunks.get(line as usize / CHUNK_LINES).map(|chunk| run_in(chunk, line, words))
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LINES * LINE_WORDS * 8
    }
}

/// The right to allocate, free and write; held by the slab's core.
pub struct SlabWriter {
    chunks: Appender<Chunk>,
    local: Vec<Chunk>,
    /// Lines used of the last chunk.
    used: usize,
    /// Free runs by their number of lines.
    free: Vec<Vec<u32>>,
}

impl SlabWriter {
    /// An empty slab: its writer, and what others read through.
    pub fn new() -> (SlabWriter, Slab) {
        let (appender, reader) = AppendVec::new();
        (
            SlabWriter { chunks: appender, local: Vec::new(), used: CHUNK_LINES, free: Vec::new() },
            Slab { chunks: reader },
        )
    }

    /// Lines that `words` words take.
    #[inline]
    pub const fn lines_of(words: usize) -> usize {
        words.div_ceil(LINE_WORDS)
    }

    /// A zeroed run of at least `words` words.
    pub fn allocate(&mut self, words: usize) -> u32 {
        let lines = Self::lines_of(words);
        assert!(lines <= CHUNK_LINES, "a cell of {words} words does not fit a chunk");
        if let Some(line) = self.free.get_mut(lines).and_then(Vec::pop) {
            let run = self.run(line, lines * LINE_WORDS);
            // ORDERING: the run was freed a cut after its last reader; whoever is told of it next is told with Release
            run.iter().for_each(|word| word.store(0, std::sync::atomic::Ordering::Relaxed));
            return line;
        }
        if self.used + lines > CHUNK_LINES {
            self.new_chunk();
        }
        let line = (self.local.len() - 1) * CHUNK_LINES + self.used;
        self.used += lines;
        line as u32
    }

    fn new_chunk(&mut self) {
        let left = CHUNK_LINES - self.used;
        if left > 0 && !self.local.is_empty() {
            let line = (self.local.len() - 1) * CHUNK_LINES + self.used;
            self.put_free(line as u32, left);
        }
        assert!((self.local.len() + 1) * CHUNK_LINES <= u32::MAX as usize, "a slab holds at most 2^32 lines");
        let lines: Arc<[Line]> = (0..CHUNK_LINES).map(|_| Line::default()).collect();
        let Ok(chunk) = Chunk::try_from(lines) else { unreachable!("a chunk has so many lines") };
        self.local.push(chunk.clone());
        self.chunks.push(chunk);
        self.used = 0;
    }

    fn put_free(&mut self, line: u32, lines: usize) {
        if self.free.len() <= lines {
            self.free.resize_with(lines + 1, Vec::new);
        }
        self.free[lines].push(line);
    }

    /// Gives a run back. The caller knows that no other thread will read it.
    pub fn release(&mut self, line: u32, words: usize) {
        self.put_free(line, Self::lines_of(words));
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
    use std::sync::atomic::Ordering::Relaxed;

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
        slab.run(line, 18)[17].store(9, Relaxed);
        slab.release(line, 18);
        assert_eq!(slab.allocate(18), line);
        assert_eq!(reader.run(line, 18).unwrap()[17].load(Relaxed), 0);
        assert!(reader.run(u32::MAX, 8).is_none());
    }
}
