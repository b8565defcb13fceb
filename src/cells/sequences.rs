//! Sequences: what a core saw of cumulative streams before they began again within one interval.
//!
//! A *sequence of points is unbroken* (OTLP's words) while no reset lies in it. A bank has the words of one, the newest of
//! the interval. What the core saw of its stream before the reset is kept here, by what the caller finds the cell by, and
//! handed over whole when the interval closes, as a bank is. So the owner of a series may put together what several cores
//! saw of each sequence: the sum of several says nothing of where another core's points lie between them.
//!
//! Knows words of regions and spans; does not know what a region's words mean, nor whose cells they are of.
//!
//! Only a reset ever comes here; other points cost nothing, and a stream that never begins again takes no memory. A fall
//! under the very start that the points before it had is left to the bank: who gives starts gives a new one when it begins
//! again, so this speaks for two writers of one start (M14).
//!
//! Bounds: `SEQUENCES_PER_CELL_MAX` of one cell, `SEQUENCES_BYTES_MAX` bytes in all. Where there is no room, the bank
//! adds up what it gains, and says that there was a reset (`shape`); counted.

use super::span::Span;
use crate::ledger::{Note, Tally};
use crate::limits::{SEQUENCES_BYTES_MAX, SEQUENCES_PER_CELL_MAX};
use hashbrown::HashTable;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A sequence that a reset ended.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Its times and starts, and its points; there is no other writer's in it.
    pub span: Span,
    /// A sum's words are those of doubles.
    pub is_double: bool,
    /// The first point.
    pub first: &'a [AtomicU64],
    /// The last point, and what was gained between the two; nothing: there is one point.
    pub more: Option<(&'a [AtomicU64], &'a [AtomicU64])>,
}

impl<'a> Sequence<'a> {
    /// The last point.
    pub fn last(&self) -> &'a [AtomicU64] {
        self.more.map_or(self.first, |(last, _)| last)
    }
}

/// Where sequences of the cell at hand are kept.
#[derive(Debug)]
pub struct Earlier<'a> {
    /// Of the open interval.
    pub sequences: &'a mut Sequences,
    /// What the cell is found by.
    pub line: u32,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    line: u32,
    newest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    span: Span,
    is_double: bool,
    /// Where the words of its parts begin, and where the last of them ends.
    at: [u32; 4],
    before: u32,
}

const NONE: u32 = u32::MAX;

/// Whether a reset to a point of this start, after points of which `known` is the newest, begins another sequence.
pub(super) const fn begins_another(start: u64, known: u64) -> bool {
    start == 0 || start != known
}

/// Those of one core and interval.
#[derive(Debug, Default)]
pub struct Sequences {
    interval: u32,
    heads: HashTable<Head>,
    entries: Vec<Entry>,
    words: Vec<AtomicU64>,
}

/// Lines are ours, not a client's: any spread will do.
const fn hash(line: u32) -> u64 {
    (line as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Clone for Sequences {
    fn clone(&self) -> Sequences {
        let Sequences { interval, heads, entries, words } = self;
        // ORDERING: who holds it whole reads what nobody writes any more
        let words = words.iter().map(|word| word.load(Relaxed).into()).collect();
        Sequences { interval: *interval, heads: heads.clone(), entries: entries.clone(), words }
    }
}

impl Sequences {
    /// None, for interval `interval`, with as much memory as `like` uses.
    pub fn begin(interval: u32, like: &Sequences) -> Sequences {
        Sequences {
            interval,
            heads: HashTable::with_capacity(like.heads.len()),
            entries: Vec::with_capacity(like.entries.len()),
            words: Vec::with_capacity(like.words.len()),
        }
    }

    /// The interval they are of.
    pub const fn interval(&self) -> u32 {
        self.interval
    }

    /// They are of interval `interval` from now on; there must be none.
    pub fn set_interval(&mut self, interval: u32) {
        debug_assert!(self.is_empty(), "what it holds is of another interval");
        self.interval = interval;
    }

    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn bytes(&self) -> usize {
        self.words.len() * 8 + self.entries.len() * size_of::<Entry>() + self.heads.len() * (size_of::<Head>() + 1)
    }

    fn newest(&self, line: u32) -> u32 {
        self.heads.find(hash(line), |head| head.line == line).map_or(NONE, |head| head.newest)
    }

    /// Those of a cell, the newest first.
    pub fn of(&self, line: u32) -> impl Iterator<Item = (u32, Sequence<'_>)> {
        let mut place = self.newest(line);
        std::iter::from_fn(move || {
            let at = place;
            place = self.entries.get(at as usize)?.before;
            Some((at, self.at(at)))
        })
    }

    /// The one at a place that `of` gave.
    pub fn at(&self, place: u32) -> Sequence<'_> {
        let Entry { span, is_double, at, .. } = self.entries[place as usize];
        let [first, last, gained] = [0, 1, 2].map(|i| &self.words[at[i] as usize..at[i + 1] as usize]);
        Sequence { span, is_double, first, more: (!last.is_empty()).then_some((last, gained)) }
    }

    fn keep(&mut self, line: u32, mut entry: Entry, parts: [&[AtomicU64]; 3]) -> bool {
        entry.before = self.newest(line);
        let mut count = 0;
        for (_, before) in self.of(line) {
            entry.span.points -= before.span.points;
            count += 1;
        }
        let has_more = entry.span.first_time != entry.span.last_time;
        let parts = if has_more { parts } else { [parts[0], &[], &[]] };
        let new_bytes =
            parts.iter().map(|part| part.len() * 8).sum::<usize>() + size_of::<Entry>() + size_of::<Head>() + 1;
        if count == SEQUENCES_PER_CELL_MAX || self.bytes() + new_bytes > SEQUENCES_BYTES_MAX {
            return false;
        }
        entry.at[0] = self.words.len() as u32;
        for (i, part) in parts.into_iter().enumerate() {
            // ORDERING: the cell's core reads what it wrote
            self.words.extend(part.iter().map(|word| AtomicU64::new(word.load(Relaxed))));
            entry.at[i + 1] = self.words.len() as u32;
        }
        let newest = self.entries.len() as u32;
        self.entries.push(entry);
        match self.heads.find_mut(hash(line), |head| head.line == line) {
            Some(head) => head.newest = newest,
            None => {
                self.heads.insert_unique(hash(line), Head { line, newest }, |head| hash(head.line));
            }
        }
        true
    }
}

impl Earlier<'_> {
    /// A reset ended the sequence of the cell's open bank: keeps it, with its first point, its last one, and what was gained
    /// between the two. `span.points` are all that are open in the bank, of sequences kept before, too. The owner finds the
    /// reset, and counts it. `false`: there is no room, and nobody will.
    pub(super) fn keep(&mut self, span: Span, is_double: bool, parts: [&[AtomicU64]; 3], tally: &mut Tally) -> bool {
        let kept = self.sequences.keep(self.line, Entry { span, is_double, at: [0; 4], before: NONE }, parts);
        tally.note(Note::ResetNotKept, u64::from(!kept));
        kept
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn span(times: [u64; 2], points: u64) -> Span {
        Span {
            first_start: 1,
            first_time: times[0],
            last_start: 1,
            last_time: times[1],
            newest_start: 1,
            newest_time: times[1],
            has_reset: false,
            is_chained: true,
            points,
        }
    }

    fn keep(sequences: &mut Sequences, line: u32, times: [u64; 2], points: u64, words: &[u64]) -> bool {
        let words: Vec<AtomicU64> = words.iter().map(|word| AtomicU64::new(*word)).collect();
        let third = words.len() / 3;
        let parts = [&words[..third], &words[third..2 * third], &words[2 * third..]];
        Earlier { sequences, line }.keep(span(times, points), false, parts, &mut Tally::default())
    }

    fn read(words: &[AtomicU64]) -> Vec<u64> {
        words.iter().map(|word| word.load(Relaxed)).collect()
    }

    #[test]
    fn sequences_of_a_cell_share_its_points_and_one_of_one_point_has_no_other() {
        let mut sequences = Sequences::default();
        sequences.set_interval(7);
        assert!(keep(&mut sequences, 3, [1, 1], 1, &[10, 10, 0]));
        assert!(keep(&mut sequences, 4, [1, 5], 9, &[1, 2, 3, 4, 5, 6]));
        assert!(keep(&mut sequences, 3, [2, 4], 4, &[5, 9, 4]));
        for sequences in [sequences.clone(), sequences] {
            let of: Vec<_> = sequences.of(3).map(|(_, one)| (one.span.first_time, one.span.points)).collect();
            assert_eq!(of, [(2, 3), (1, 1)], "the newest first; four points in all");
            let (place, oldest) = sequences.of(3).last().unwrap();
            assert_eq!((read(oldest.first), read(oldest.last()), oldest.more.is_some()), (vec![10], vec![10], false));
            assert_eq!(sequences.at(place).span.first_time, 1);
            let (_, other) = sequences.of(4).next().unwrap();
            assert_eq!((read(other.first), read(other.last())), (vec![1, 2], vec![3, 4]));
            assert_eq!(other.more.map(|(_, gained)| read(gained)), Some(vec![5, 6]));
            assert_eq!((sequences.of(5).count(), sequences.interval()), (0, 7));
        }
    }

    #[test]
    fn there_are_so_many_of_a_cell_and_so_many_bytes_in_all() {
        let mut sequences = Sequences::default();
        for i in 0..SEQUENCES_PER_CELL_MAX as u64 {
            assert!(keep(&mut sequences, 1, [i, i], i + 1, &[i; 3]));
        }
        assert!(!keep(&mut sequences, 1, [99, 99], 99, &[1; 3]));
        let words = vec![1; 3 * 1000];
        let more = (2..).take_while(|line| keep(&mut sequences, *line, [1, 2], 2, &words)).count();
        assert!(sequences.bytes() <= SEQUENCES_BYTES_MAX && sequences.bytes() + 25_000 > SEQUENCES_BYTES_MAX);
        assert_eq!((sequences.of(1).count(), more), (SEQUENCES_PER_CELL_MAX, sequences.entries.len() - 8));
        let next = Sequences::begin(2, &sequences);
        assert!(next.is_empty() && next.interval() == 2);
    }
}
