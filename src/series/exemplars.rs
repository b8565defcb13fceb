//! Exemplars: the newest few of each series and interval (M29), and where a scrape finds those of the last cuts.
//!
//! Knows which of them are kept, and their bytes in their one encoding (`otlp::exemplars`); does not know points or
//! pages. An exemplar has no fixed size, so it does not lie in a cell: each core keeps a `Reservoir` beside its slab,
//! by the first line of the cell, and only points that carry some ever look at it. A closed reservoir is handed over
//! whole, as a bank is; the owner of a series takes the newest over all of its cells.
//!
//! ```text
//!   core 0 ── reservoir of the open interval ─ close ─► registry, by core ─┐
//!   core 1 ── …                                                           ─┼─► owner: `Shown` of the cut ─► batches
//!                                                                          └──► registry, by owner ─► scrapes
//! ```
//!
//! Invariants
//! 1. Of a cell the `EXEMPLARS_PER_SERIES_MAX` largest are kept: by time, then by the bits of the value, then by all
//!    bytes; equal ones once. So what is kept of two cells together is what is kept of both sets.
//! 2. A reservoir that was handed over never changes.
//!
//! Progress: no other thread ever sees what is written to. Handing over is `sync::published`.
//!
//! Bounds: `EXEMPLARS_BYTES_MAX` bytes a reservoir and a `Shown`; what has no room is left out, and counted by the
//! caller. The room of an exemplar that a longer one replaces is lost until the next interval; the new room is a power of
//! two, so that all that one place loses is less than it has.

use super::Series;
use crate::limits::{EXEMPLARS_BYTES_MAX, EXEMPLARS_PER_SERIES_MAX};
use crate::wire::{field_size, put_bytes};
use hashbrown::HashTable;
use std::sync::Arc;

/// An exemplar that is kept; the order is that of invariant 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptExemplar<'a> {
    /// `time_unix_nano`
    pub time: u64,
    /// Bits of the value.
    pub bits: u64,
    /// The message in its one encoding.
    pub message: &'a [u8],
}

/// The newest of some exemplars, in a fixed place.
#[derive(Debug, Default)]
pub struct NewestExemplars<'a> {
    all: [KeptExemplar<'a>; EXEMPLARS_PER_SERIES_MAX],
    count: usize,
}

impl<'a> NewestExemplars<'a> {
    /// Keeps it if it is one of them.
    pub fn offer(&mut self, kept: KeptExemplar<'a>) {
        if self.all[..self.count].contains(&kept) {
            return;
        }
        if self.count < EXEMPLARS_PER_SERIES_MAX {
            self.all[self.count] = kept;
            self.count += 1;
        } else if let Some(least) = self.all.iter_mut().min().filter(|least| **least < kept) {
            *least = kept;
        }
    }

    /// In their order, oldest first.
    pub fn sorted(&mut self) -> &[KeptExemplar<'a>] {
        self.all[..self.count].sort_unstable();
        &self.all[..self.count]
    }
}

#[derive(Clone, Copy, Debug)]
struct Head {
    line: u32,
    first: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: u64,
    bits: u64,
    at: u32,
    length: u32,
    room: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

/// What one core keeps of one interval.
#[derive(Clone, Debug, Default)]
pub struct Reservoir {
    interval: u32,
    heads: HashTable<Head>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Lines are ours, not a client's: any spread will do.
const fn hash(line: u32) -> u64 {
    (line as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Reservoir {
    /// Empty, for interval `interval`, with as much memory as `like` uses.
    pub fn begin(interval: u32, like: &Reservoir) -> Reservoir {
        Reservoir {
            interval,
            heads: HashTable::with_capacity(like.heads.len()),
            entries: Vec::with_capacity(like.entries.len()),
            bytes: Vec::with_capacity(like.bytes.len()),
        }
    }

    /// The interval it is of.
    pub const fn interval(&self) -> u32 {
        self.interval
    }

    /// It is of interval `interval` from now on; it must be empty.
    pub fn set_interval(&mut self, interval: u32) {
        debug_assert!(self.is_empty(), "what it holds is of another interval");
        self.interval = interval;
    }

    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>() + self.heads.len() * (size_of::<Head>() + 1)
    }

    fn at(&self, entry: &Entry) -> KeptExemplar<'_> {
        let (from, to) = (entry.at as usize, (entry.at + entry.length) as usize);
        KeptExemplar { time: entry.time, bits: entry.bits, message: &self.bytes[from..to] }
    }

    fn first(&self, line: u32) -> u32 {
        self.heads.find(hash(line), |head| head.line == line).map_or(NONE, |head| head.first)
    }

    /// Keeps it for the cell at `line` if it is one of the newest there; `false` if there is no room for it.
    pub fn offer(&mut self, line: u32, new: KeptExemplar<'_>) -> bool {
        let (first, mut count, mut least) = (self.first(line), 0, NONE);
        let mut place = first;
        while let Some(entry) = self.entries.get(place as usize) {
            let kept = self.at(entry);
            if kept == new {
                return true;
            }
            if self.entries.get(least as usize).is_none_or(|entry| kept < self.at(entry)) {
                least = place;
            }
            count += 1;
            place = entry.next;
        }
        if count < EXEMPLARS_PER_SERIES_MAX {
            return self.add(line, first, new);
        }
        if self.at(&self.entries[least as usize]) < new { self.replace(least, new) } else { true }
    }

    fn add(&mut self, line: u32, first: u32, new: KeptExemplar<'_>) -> bool {
        if self.size() + new.message.len() + size_of::<Entry>() + size_of::<Head>() > EXEMPLARS_BYTES_MAX {
            return false;
        }
        let place = self.entries.len() as u32;
        let (at, length) = (self.bytes.len() as u32, new.message.len() as u32);
        self.bytes.extend_from_slice(new.message);
        self.entries.push(Entry { time: new.time, bits: new.bits, at, length, room: length, next: first });
        match self.heads.find_mut(hash(line), |head| head.line == line) {
            Some(head) => head.first = place,
            None => {
                self.heads.insert_unique(hash(line), Head { line, first: place }, |head| hash(head.line));
            }
        }
        true
    }

    fn replace(&mut self, place: u32, new: KeptExemplar<'_>) -> bool {
        let length = new.message.len();
        if length > self.entries[place as usize].room as usize {
            let room = length.next_power_of_two();
            if self.size() + room > EXEMPLARS_BYTES_MAX {
                return false;
            }
            let entry = &mut self.entries[place as usize];
            (entry.at, entry.room) = (self.bytes.len() as u32, room as u32);
            self.bytes.extend_from_slice(new.message);
            self.bytes.resize(entry.at as usize + room, 0);
        } else {
            let at = self.entries[place as usize].at as usize;
            self.bytes[at..at + length].copy_from_slice(new.message);
        }
        let entry = &mut self.entries[place as usize];
        (entry.time, entry.bits, entry.length) = (new.time, new.bits, length as u32);
        true
    }

    /// What is kept of the cell at `line`, in no order.
    pub fn of(&self, line: u32) -> impl Iterator<Item = KeptExemplar<'_>> {
        let mut place = self.first(line);
        std::iter::from_fn(move || {
            let entry = self.entries.get(place as usize)?;
            place = entry.next;
            Some(self.at(entry))
        })
    }
}

/// The exemplars of one owner's series at one cut.
#[derive(Debug, Default)]
pub struct Shown {
    cut: u32,
    places: HashTable<u32>,
    series: Vec<(Arc<Series>, u32, u32)>,
    bytes: Vec<u8>,
}

impl Shown {
    /// Empty, for cut `cut`, with as much memory as `like` uses.
    pub fn begin(cut: u32, like: &Shown) -> Shown {
        Shown {
            cut,
            places: HashTable::with_capacity(like.places.len()),
            series: Vec::with_capacity(like.series.len()),
            bytes: Vec::with_capacity(like.bytes.len()),
        }
    }

    /// The cut it is of.
    pub const fn cut(&self) -> u32 {
        self.cut
    }

    /// No series has any.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Adds those of a series, which has none yet, as fields with this one-byte key; their place, or nothing if there is
    /// no room.
    pub fn add(&mut self, series: &Arc<Series>, key: u8, all: &[KeptExemplar<'_>]) -> Option<u32> {
        let length: usize = all.iter().map(|kept| field_size(kept.message.len())).sum();
        let table = self.series.len() * (size_of::<(Arc<Series>, u32, u32)>() + size_of::<u32>() + 1);
        if self.bytes.len() + length + table > EXEMPLARS_BYTES_MAX {
            return None;
        }
        let (place, at) = (self.series.len() as u32, self.bytes.len() as u32);
        all.iter().for_each(|kept| put_bytes(&mut self.bytes, key, kept.message));
        self.series.push((series.clone(), at, length as u32));
        let known = &self.series;
        self.places.insert_unique(series.hash, place, |place| known[*place as usize].0.hash);
        Some(place)
    }

    /// The fields at a place, one after the other.
    pub fn fields(&self, place: u32) -> &[u8] {
        let (_, at, length) = &self.series[place as usize];
        &self.bytes[*at as usize..(at + length) as usize]
    }

    /// The exemplars of a series, oldest first, as records: the key byte that points of its kind have for them in OTLP, a
    /// length, an `Exemplar` message.
    pub fn of(&self, series: &Arc<Series>) -> &[u8] {
        let place = self.places.find(series.hash, |place| Arc::ptr_eq(&self.series[*place as usize].0, series));
        place.map_or(&[], |place| self.fields(*place))
    }
}

/// Those of the last two cuts, as values are kept of two: a scrape may read the one before the newest.
#[derive(Clone, Debug, Default)]
pub struct LastShown {
    /// Of the newest cut that had any, or had some before it.
    pub newest: Arc<Shown>,
    /// Of the one before.
    pub before: Arc<Shown>,
}

impl LastShown {
    /// Those of `cut`, if there are any.
    pub fn of(&self, cut: u32) -> Option<&Arc<Shown>> {
        [&self.newest, &self.before].into_iter().find(|shown| shown.cut == cut && !shown.is_empty())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn largest(all: &BTreeSet<(u64, u64, Vec<u8>)>) -> Vec<(u64, u64, Vec<u8>)> {
        let skip = all.len().saturating_sub(EXEMPLARS_PER_SERIES_MAX);
        all.iter().skip(skip).cloned().collect()
    }

    proptest! {
        #[test]
        fn m29_a_reservoir_keeps_the_newest_of_each_cell(
            offers in prop::collection::vec((0u32..5, 0u64..6, 0u64..3, prop::collection::vec(0u8..2, 0..4)), 0..200)
        ) {
            let mut reservoir = Reservoir::default();
            let mut model: BTreeMap<u32, BTreeSet<(u64, u64, Vec<u8>)>> = BTreeMap::new();
            for (line, time, bits, message) in offers {
                let kept = KeptExemplar { time, bits, message: &message };
                prop_assert!(reservoir.offer(line, kept), "there is room");
                model.entry(line).or_default().insert((time, bits, message));
            }
            let mut both = NewestExemplars::default();
            for line in 0..6 {
                let mut one = NewestExemplars::default();
                reservoir.of(line).for_each(|kept| one.offer(kept));
                reservoir.of(line).for_each(|kept| both.offer(kept));
                let found: Vec<_> = one.sorted().iter().map(|k| (k.time, k.bits, k.message.to_vec())).collect();
                prop_assert_eq!(found, model.get(&line).map(largest).unwrap_or_default());
            }
            let union: BTreeSet<_> = model.values().flatten().cloned().collect();
            let found: Vec<_> = both.sorted().iter().map(|k| (k.time, k.bits, k.message.to_vec())).collect();
            prop_assert_eq!(found, largest(&union), "the newest of two cells are the newest of their newest");
        }
    }

    #[test]
    fn a_full_reservoir_says_so_and_keeps_what_it_has() {
        let mut reservoir = Reservoir::default();
        let message = vec![1; 1000];
        let kept = |time| KeptExemplar { time, bits: 0, message: &message };
        let fits = (0..).take_while(|line| reservoir.offer(*line, kept(1))).count() as u32;
        assert!(reservoir.size() <= EXEMPLARS_BYTES_MAX && reservoir.size() + 1100 > EXEMPLARS_BYTES_MAX);
        assert_eq!(reservoir.of(0).collect::<Vec<_>>(), [kept(1)]);
        assert_eq!(reservoir.of(fits).count(), 0);
        assert!(reservoir.offer(0, kept(1)), "the same again takes no room");
        assert!(!reservoir.offer(0, kept(2)));
        let like = Reservoir::begin(2, &reservoir);
        assert!(like.is_empty() && like.interval() == 2);
    }
}
