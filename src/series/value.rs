//! A series: its identity, the list of its cells, and its merged value.
//!
//! Knows who may write what; does not know arithmetic. Three parties: any core finds the series and adds its own
//! cell; the owner shard merges and writes the value; a scrape reads the value of one cut.
//!
//! Invariants
//! 1. The list of places only grows at its end, until it is closed; once closed it never grows again.
//! 2. A place holds a cell, or is empty, or is buried. Its core puts a cell where a dead one or none is, by
//!    compare-and-swap; the owner alone takes a dead cell away, buries a place, and unburies it. A core never
//!    changes a buried place: it adds one more at the end. Of one core and input temporality there is at most one cell
//!    that is not dead, whatever the number of places.
//! 3. The closing of the list is the death of the series. The owner closes it only while all its places are buried, and
//!    gives it up where a place has another cell than the dead ones it saw, or the list has grown. So a series that is
//!    dead has no cell that takes points, and gets none; and it is dead for good exactly if `put_cell` says so.
//! 4. The value words are written by the owner alone. Two slots hold the last two cut values; the slot's cut number is
//!    0 while it is being written.
//!
//! Progress: everything here is lock-free.
//!
//! Ordering: a cell's line is published by the place's Release compare-and-swap, or with its node, and read with
//! Acquire, so that its zeroed words are seen. A place changes by compare-and-swap alone, so of a core that puts a cell
//! there and the owner that buries it one fails, whatever each saw before; and the end of the list decides in the same
//! way between the owner and a core that adds a place. The value slots are a seqlock by cut number: number 0, Release fence, words, number with Release; the
//! reader checks the number with Acquire before and after an Acquire fence.

use super::group::Group;
use crate::aggregate::number::Value;
use crate::cells::Shape;
use crate::model::Temporality;
use crate::sync::atomic::{
    AtomicU64, Ordering,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};
use crate::sync::once::Once;
use crate::sync::thin::ThinBytes;
use std::sync::Arc;

/// Where a cell lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellRef {
    /// The core whose slab it is in.
    pub core: u16,
    /// Whether it takes cumulative input.
    pub cumulative: bool,
    /// First line in the slab.
    pub line: u32,
}

impl CellRef {
    fn pack(self) -> u64 {
        1 << 63 | u64::from(self.cumulative) << 62 | u64::from(self.core) << 32 | u64::from(self.line)
    }

    fn unpack(word: u64) -> Option<CellRef> {
        (word >> 63 == 1 && word != CLOSED).then_some(CellRef {
            core: (word >> 32) as u16,
            cumulative: word >> 62 & 1 == 1,
            line: word as u32,
        })
    }

    /// No cell any more: the owner took it away.
    pub fn is_gone(self) -> bool {
        self.line >= BURIED
    }

    fn is_buried(self) -> bool {
        self.line == BURIED
    }

    fn same_place(self, other: CellRef) -> bool {
        self.core == other.core && self.cumulative == other.cumulative
    }
}

const CLOSED: u64 = u64::MAX;
/// The line of an empty place; its core may put a cell there.
const GONE: u32 = u32::MAX;
/// The line of a place whose series the owner is about to end, or has: nobody puts a cell there.
const BURIED: u32 = u32::MAX - 1;

#[derive(Debug)]
struct Node {
    cell: AtomicU64,
    next: Once<Node>,
}

/// Bits of the meta word.
mod meta {
    pub(super) const DOUBLE: [u64; 2] = [1, 2];
    pub(super) const DELTA: u64 = 4;
    pub(super) const CHAIN_DOUBLE: u64 = 8;
    pub(super) const MIXED: u64 = 16;
    /// Both slots have held a value.
    pub(super) const USED_TWICE: u64 = 32;
    /// Expired: no longer shown.
    pub(super) const DEAD: u64 = 64;
    /// The slot's cut ended the series (M7): it is not shown until a value comes.
    pub(super) const ENDED: [u64; 2] = [128, 256];
    /// Rules took the series: what is written from now on is not shown.
    pub(super) const HIDE: u64 = 1 << 9;
    /// The slot's value is not shown.
    pub(super) const HIDDEN: [u64; 2] = [1 << 10, 1 << 11];
    /// Rules took the series since its newest value, or gave it back.
    pub(super) const TURNS: u64 = 1 << 12;
    /// The start belongs to a value that is about to be written.
    pub(super) const START_AHEAD: u64 = 1 << 16;
    /// The start belongs to this slot's value alone.
    pub(super) const STARTED: [u64; 2] = [1 << 17, 1 << 18];
    /// From this bit on: the slot of the peer that made it, which never changes.
    pub(super) const MAKER: u32 = 48;
}

/// Words of the owner.
const META: usize = 0;
const START: usize = 1;
const VALUE: usize = 2;
const CUTS: usize = 4;
const TIME: usize = 5;
const OWNED: usize = 6;

/// Words of the chain.
const CHAIN_START: usize = 0;
const CHAIN_VALUE: usize = 1;
const CHAIN_TIME: usize = 2;
const CHAIN_CUT: usize = 3;

/// One output identity.
#[derive(Debug)]
pub struct Series {
    /// Hash of the identity, keyed per process; its high bits choose the owner.
    pub hash: u64,
    /// What it shares with its siblings.
    pub group: Arc<Group>,
    /// Attributes: a normalised run, in the order first seen.
    pub attributes: ThinBytes,
    first: AtomicU64,
    more: Once<Node>,
    /// The owner's, once a cumulative stream has fed it.
    chain: Once<[AtomicU64; 4]>,
    owned: [AtomicU64; OWNED],
}

#[cfg(not(loom))]
const _: () =
    assert!(size_of::<Series>() + 2 * size_of::<usize>() <= 112, "with its counts it is a size of the allocator");

/// The last point of the writer of a cumulative stream whose increments count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chain {
    /// The newest start it gave.
    pub start: u64,
    /// Its time.
    pub time: u64,
    /// Its value; of a histogram, the third region of the owner's block has it.
    pub value: Value,
    /// The cut at which it was merged.
    pub cut: u32,
}

/// What an output of a rule is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeOf {
    /// The slot of the rule.
    pub rule: u32,
    /// Series in its group.
    pub members: u32,
    /// Those of them that counted.
    pub live: u32,
}

/// The series is dead: it must be looked up, or made, again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

/// A number as one cut left it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadValue {
    /// The value at the newest cut not after the one asked for. `block_slot` is the slot it came from.
    Found {
        /// The value (numbers), or the line of the owner's block (histograms, summaries).
        value: Value,
        /// Slot 0 or 1.
        slot: usize,
        /// The cut whose value it is.
        cut: u32,
    },
    /// Not yet merged at that cut.
    NotYet,
    /// It had ended at that cut: its newest point had no recorded value (M7).
    Ended,
    /// It has a value that is not shown: outputs of rules are, in its place.
    Hidden,
    /// Both slots are newer: the reader was overtaken.
    Overtaken,
}

impl Series {
    /// A series without cells or value, made by the peer of this slot.
    pub fn new(hash: u64, group: Arc<Group>, attributes: ThinBytes, maker: u16) -> Series {
        let word = |i| if i == META { u64::from(maker) << meta::MAKER } else { 0 };
        Series {
            hash,
            group,
            attributes,
            first: AtomicU64::new(0),
            more: Once::new(),
            chain: Once::new(),
            owned: std::array::from_fn(|i| AtomicU64::new(word(i))),
        }
    }

    /// Shape of its cells that take input of this temporality.
    #[inline]
    pub fn shape(&self, cumulative: bool) -> Shape {
        let temporality = if cumulative { Temporality::Cumulative } else { Temporality::Delta };
        Shape::of(self.group.kind, temporality, self.group.buckets())
    }

    /// The places, in the order they were added.
    fn places(&self) -> impl Iterator<Item = &AtomicU64> {
        let more = std::iter::successors(self.more.get(), |node| node.next.get());
        std::iter::once(&self.first).chain(more.map(|node| &node.cell))
    }

    /// The place of the core's cell for this input temporality, and what is there: its cell, else an empty place, else a
    /// buried one. Wait-free.
    fn place_of(&self, wanted: CellRef) -> Option<(&AtomicU64, CellRef)> {
        let mut best: Option<(&AtomicU64, CellRef)> = None;
        for place in self.places() {
            // ORDERING: pairs with the Release of `add_cell` and `put_cell`; publishes the cell's zeroed words
            let Some(there) = CellRef::unpack(place.load(Acquire)).filter(|there| there.same_place(wanted)) else {
                continue;
            };
            if !there.is_gone() {
                return Some((place, there));
            }
            if best.is_none_or(|(_, other)| other.is_buried()) {
                best = Some((place, there));
            }
        }
        best
    }

    /// The cell of `core`, if any; one that `is_gone` stands for a place without a cell.
    pub fn cell_of(&self, core: u16, cumulative: bool) -> Option<CellRef> {
        self.place_of(CellRef { core, cumulative, line: 0 }).map(|(_, there)| there)
    }

    /// Gives the series a cell; called by the cell's core, which has none here but a dead one. Lock-free: it looks again
    /// only where the owner has changed the place.
    pub fn put_cell(&self, cell: CellRef) -> Result<(), Dead> {
        while let Some((place, there)) = self.place_of(cell).filter(|(_, there)| !there.is_buried()) {
            // ORDERING: Release publishes the cell's words; Acquire: it follows what the owner did there
            if place.compare_exchange(there.pack(), cell.pack(), AcqRel, Relaxed).is_ok() {
                return Ok(());
            }
        }
        // A buried place does not say that the series is dead: the end of the list does.
        self.add_cell(cell)
    }

    /// Adds a place with a cell.
    pub(super) fn add_cell(&self, cell: CellRef) -> Result<(), Dead> {
        // ORDERING: Release publishes the cell's zeroed words; Acquire sees a racing addition
        match self.first.compare_exchange(0, cell.pack(), AcqRel, Acquire) {
            Ok(_) => return Ok(()),
            Err(CLOSED) => return Err(Dead),
            Err(_) => {}
        }
        let mut node = Box::new(Node { cell: AtomicU64::new(cell.pack()), next: Once::new() });
        let mut link = &self.more;
        loop {
            match link.set(node) {
                Ok(()) => return Ok(()),
                Err(back) => node = back,
            }
            match link.get() {
                Some(next) => link = &next.next,
                None => return Err(Dead),
            }
        }
    }

    /// Ends the series if it still has the `seen` places that the caller saw, and in them none but the `dead` cells.
    /// `false`: another cell came in between, the series lives and its places are empty where they were buried. Owner only.
    pub fn die(&self, dead: &[CellRef], seen: usize) -> bool {
        if self.bury(dead, seen) && self.close(seen) {
            return true;
        }
        self.unbury(seen);
        false
    }

    /// Buries the first `seen` places, up to one that has a cell which is not among the `dead`: `false` then.
    pub(super) fn bury(&self, dead: &[CellRef], seen: usize) -> bool {
        self.places().take(seen).all(|place| {
            // ORDERING: Relaxed: only the line is compared, and the swap fails if it is another meanwhile
            let Some(there) = CellRef::unpack(place.load(Relaxed)) else { return false };
            let buried = CellRef { line: BURIED, ..there };
            // ORDERING: Release: the core that finds it buried finds all that came before; Relaxed on failure, the
            // new cell is not looked at
            (there.is_gone() || dead.contains(&there))
                && place.compare_exchange(there.pack(), buried.pack(), Release, Relaxed).is_ok()
        })
    }

    /// Whether the core has nothing here but buried places.
    #[cfg(all(test, loom))]
    pub(super) fn is_buried_for(&self, cell: CellRef) -> bool {
        self.place_of(cell).is_some_and(|(_, there)| there.is_buried())
    }

    /// What `mark_gone` must not do.
    #[cfg(all(test, loom))]
    pub(super) fn take_blindly(&self, cell: CellRef) {
        if let Some((place, there)) = self.place_of(cell) {
            place.swap(CellRef { line: GONE, ..there }.pack(), AcqRel);
        }
    }

    /// Makes buried places empty.
    fn unbury(&self, seen: usize) {
        for place in self.places().take(seen) {
            // ORDERING: as in `bury`; nobody else changes a buried place
            if let Some(there) = CellRef::unpack(place.load(Relaxed)).filter(|there| there.is_buried()) {
                let _ = place.compare_exchange(there.pack(), CellRef { line: GONE, ..there }.pack(), Release, Relaxed);
            }
        }
    }

    /// Closes the list if it still has the `seen` places that the caller saw. `false`: another
    /// cell came in between, the series lives.
    pub(super) fn close(&self, seen: usize) -> bool {
        if seen == 0 {
            // ORDERING: AcqRel as in `add_cell`
            return self.first.compare_exchange(0, CLOSED, AcqRel, Acquire).is_ok();
        }
        let mut link = &self.more;
        for _ in 1..seen {
            match link.get() {
                Some(node) => link = &node.next,
                None => return false,
            }
        }
        link.close()
    }

    /// Marks the cell's place as empty, unless its core has put another there already. Owner only, once it is dead.
    pub fn mark_gone(&self, cell: CellRef) {
        if let Some((place, there)) = self.place_of(cell)
            && there == cell
        {
            let gone = CellRef { line: GONE, ..cell };
            // ORDERING: only the line is taken away; Relaxed on failure, the new cell is not looked at
            let _ = place.compare_exchange(cell.pack(), gone.pack(), Release, Relaxed);
        }
    }

    /// Calls `visit` with each cell, in the order they were added; returns the number of places, empty ones counted.
    #[inline]
    pub fn each_cell(&self, mut visit: impl FnMut(CellRef)) -> usize {
        // ORDERING: Acquire, see `place_of`
        let Some(first) = CellRef::unpack(self.first.load(Acquire)) else { return 0 };
        if !first.is_gone() {
            visit(first);
        }
        let mut places = 1;
        let mut link = &self.more;
        while let Some(node) = link.get() {
            // ORDERING: Acquire, see `place_of`
            if let Some(cell) = CellRef::unpack(node.cell.load(Acquire)).filter(|cell| !cell.is_gone()) {
                visit(cell);
            }
            places += 1;
            link = &node.next;
        }
        places
    }

    /// The slot of the peer that made it. Any thread.
    pub fn maker(&self) -> u16 {
        (self.word(META) >> meta::MAKER) as u16
    }

    // ---- the owner's words -------------------------------------------------------------------------------------

    #[inline]
    fn word(&self, i: usize) -> u64 {
        // ORDERING: the owner reads what it wrote; a scrape is ordered by the slot's cut number
        self.owned[i].load(Relaxed)
    }

    #[inline]
    fn put(&self, i: usize, value: u64) {
        // ORDERING: as above
        self.owned[i].store(value, Relaxed);
    }

    fn flag(&self, bit: u64) -> bool {
        self.word(META) & bit != 0
    }

    fn put_flag(&self, bit: u64, on: bool) {
        let word = self.word(META);
        self.put(META, if on { word | bit } else { word & !bit });
    }

    fn cut_of(&self, slot: usize, order: Ordering) -> u32 {
        (self.owned[CUTS].load(order) >> (32 * slot)) as u32
    }

    fn put_cut(&self, slot: usize, cut: u32) {
        let word = self.word(CUTS);
        let cleared = word & !(u64::from(u32::MAX) << (32 * slot));
        // ORDERING: Release publishes the slot's words to a scrape's Acquire
        self.owned[CUTS].store(cleared | u64::from(cut) << (32 * slot), Release);
    }

    /// The newest slot, if there is a value. Owner only.
    #[inline]
    pub fn newest(&self) -> Option<usize> {
        let (a, b) = (self.cut_of(0, Relaxed), self.cut_of(1, Relaxed));
        if a == 0 && b == 0 { None } else { Some(usize::from(b > a)) }
    }

    /// The newest cut with a value; 0 when there is none. Owner only.
    pub fn newest_cut(&self) -> u32 {
        self.cut_of(0, Relaxed).max(self.cut_of(1, Relaxed))
    }

    /// The newest value. Owner only.
    #[inline]
    pub fn value(&self) -> Option<Value> {
        let slot = self.newest()?;
        Some(Value::from_bits(self.word(VALUE + slot), self.flag(meta::DOUBLE[slot])))
    }

    /// Writes the value of `cut` over the older slot. Owner only.
    #[inline]
    pub fn put_value(&self, cut: u32, value: Value) {
        self.with_slot(cut, |series, slot| {
            series.put_flag(meta::DOUBLE[slot], value.is_double());
            series.put(VALUE + slot, value.bits());
        });
    }

    /// Runs `write` on the older slot between the two halves of the seqlock. Owner only.
    #[inline]
    pub fn with_slot(&self, cut: u32, write: impl FnOnce(&Series, usize)) {
        let newest = self.newest();
        let slot = newest.map_or(0, |newest| 1 - newest);
        self.put_cut(slot, 0);
        // ORDERING: number 0 before the words; pairs with the reader's Acquire fence
        fence(Release);
        let word = self.word(META);
        let mut next = word & !(meta::ENDED[slot] | meta::HIDDEN[slot]);
        if newest.is_some() {
            next |= meta::USED_TWICE;
        }
        if word & meta::HIDE != 0 {
            next |= meta::HIDDEN[slot];
        }
        if word & (meta::START_AHEAD | meta::STARTED[0] | meta::STARTED[1]) != 0 {
            next &= !(meta::START_AHEAD | meta::STARTED[0] | meta::STARTED[1]);
            if word & meta::START_AHEAD != 0 {
                next |= meta::STARTED[slot];
            }
        }
        if next != word {
            self.put(META, next);
        }
        write(self, slot);
        self.put_cut(slot, cut);
    }

    /// Marks a series with a value as ended from `cut` on (M7); `copy(from, to)` copies the value of a slot. Owner only.
    pub fn end(&self, cut: u32, copy: impl FnOnce(usize, usize)) {
        let Some(newest) = self.newest() else { return };
        // nobody reads the cut before all of it is merged: a slot that has its value already is only marked
        if self.cut_of(newest, Relaxed) == cut {
            self.put_flag(meta::ENDED[newest], true);
            return;
        }
        self.with_slot(cut, |series, slot| {
            copy(newest, slot);
            series.put_flag(meta::ENDED[slot], true);
        });
    }

    /// Marks a series of numbers as ended from `cut` on; its value stays. Owner only.
    pub fn end_number(&self, cut: u32) {
        self.end(cut, |from, to| self.copy_number(from, to));
    }

    /// Whether what is written from now on is hidden from scrapes: rules took the series. Owner only.
    pub fn put_hide(&self, hide: bool) {
        self.put_flag(meta::HIDE, hide);
    }

    /// As `put_hide`, where it has a value already: what shows of it has to turn. Owner only.
    pub fn turn(&self, hide: bool) {
        self.put_flag(meta::HIDE, hide);
        self.put_flag(meta::TURNS, self.newest().is_some() && !self.is_ended());
    }

    /// Whether what shows of it has to turn, once. Owner only.
    pub fn take_turn(&self) -> bool {
        let turns = self.flag(meta::TURNS);
        if turns {
            self.put_flag(meta::TURNS, false);
        }
        turns
    }

    /// Writes the newest value again, as of `cut`, hidden or not as it is now; `copy` as in `end`. Owner only.
    pub fn restate(&self, cut: u32, copy: impl FnOnce(usize, usize)) {
        let Some(newest) = self.newest().filter(|newest| self.cut_of(*newest, Relaxed) != cut) else { return };
        self.with_slot(cut, |_, slot| copy(newest, slot));
    }

    /// The same, of numbers. Owner only.
    pub fn restate_number(&self, cut: u32) {
        self.restate(cut, |from, to| self.copy_number(from, to));
    }

    fn copy_number(&self, from: usize, to: usize) {
        self.put(VALUE + to, self.word(VALUE + from));
        self.put_flag(meta::DOUBLE[to], self.flag(meta::DOUBLE[from]));
    }

    /// Whether what is written is hidden from scrapes. Owner; for others a hint.
    #[inline]
    pub fn hides(&self) -> bool {
        self.flag(meta::HIDE)
    }

    /// Whether it ended and no value came since. Owner only.
    pub fn is_ended(&self) -> bool {
        self.newest().is_some_and(|slot| self.flag(meta::ENDED[slot]))
    }

    /// The value at the newest cut not after `cut`. Any thread.
    pub fn read(&self, cut: u32) -> ReadValue {
        match self.look(cut) {
            (ReadValue::Found { .. }, true) => ReadValue::Hidden,
            (read, _) => read,
        }
    }

    /// The same, whether it is hidden or not. Any thread.
    pub fn read_hidden(&self, cut: u32) -> ReadValue {
        self.look(cut).0
    }

    /// The value, and whether it is hidden.
    fn look(&self, cut: u32) -> (ReadValue, bool) {
        // ORDERING: Acquire pairs with `put_cut`
        let word = self.owned[CUTS].load(Acquire);
        let cuts = [word as u32, (word >> 32) as u32];
        let fits = |slot: usize| cuts[slot] != 0 && cuts[slot] <= cut;
        let slot = match (fits(0), fits(1)) {
            (false, false) if cuts == [0, 0] => return (ReadValue::NotYet, false),
            // one slot is being written and the other is newer, or both are newer: the value asked for is gone, or
            // the series was born after the cut, which a second slot that was never used tells
            (false, false) => {
                let is_young = cuts.contains(&0) && !self.both_used();
                return (if is_young { ReadValue::NotYet } else { ReadValue::Overtaken }, false);
            }
            (true, false) => 0,
            (false, true) => 1,
            (true, true) => usize::from(cuts[1] > cuts[0]),
        };
        let (bits, meta) = (self.word(VALUE + slot), self.word(META));
        // ORDERING: the words above are read before the number is checked again
        fence(Acquire);
        if self.cut_of(slot, Relaxed) != cuts[slot] {
            return (ReadValue::Overtaken, false);
        }
        if meta & meta::ENDED[slot] != 0 {
            return (ReadValue::Ended, false);
        }
        let value = Value::from_bits(bits, meta & meta::DOUBLE[slot] != 0);
        (ReadValue::Found { value, slot, cut: cuts[slot] }, meta & meta::HIDDEN[slot] != 0)
    }

    /// The two newest cuts that gave it a value, the newer first; 0: there was none. Any thread: of a moment.
    pub fn cuts(&self) -> [u32; 2] {
        // ORDERING: for reports, publishes nothing
        let (a, b) = (self.cut_of(0, Relaxed), self.cut_of(1, Relaxed));
        [a.max(b), a.min(b)]
    }

    /// Whether both have one identity, where at least one is an output of a rule: those are in no index that tells.
    pub fn is_like(&self, other: &Series) -> bool {
        self.hash == other.hash
            && self.group.is_like(&other.group)
            && crate::identity::attributes::same(&self.attributes, &other.attributes)
    }

    /// Of an output: what it is made of as it leaves, in the words of a chain, which no output has. Owner only.
    pub fn put_made_of(&self, MadeOf { rule, members, live }: MadeOf) {
        if self.chain.get().is_none() {
            let _ = self.chain.set(Box::default());
        }
        // ORDERING: for reports; each word is true by itself
        let words = [u64::from(rule) + 1, u64::from(members) << 32 | u64::from(live)];
        let all = self.chain.get().into_iter().flatten();
        all.zip(words).for_each(|(word, value)| word.store(value, Relaxed));
    }

    /// Of an output: what it was made of when it left last. Any thread.
    pub fn made_of(&self) -> Option<MadeOf> {
        // ORDERING: as in `put_made_of`
        let [rule, counts] = [0, 1].map(|at| self.chain.get().map_or(0, |words| words[at].load(Relaxed)));
        let rule = u32::try_from(rule.checked_sub(1)?).ok()?;
        Some(MadeOf { rule, members: (counts >> 32) as u32, live: counts as u32 })
    }

    /// After words of a slot's block were read: whether they were those of `cut`. Any thread.
    pub fn still(&self, slot: usize, cut: u32) -> bool {
        // ORDERING: see `read`
        fence(Acquire);
        self.cut_of(slot, Relaxed) == cut
    }

    fn both_used(&self) -> bool {
        self.word(META) & meta::USED_TWICE != 0
    }

    /// The line of the owner's block (histograms, summaries), once there is one. Any thread, after `read` found a value.
    pub fn block(&self) -> u32 {
        self.word(VALUE) as u32
    }

    /// Sets the block. Owner only, before the first value.
    pub fn put_block(&self, line: u32) {
        self.put(VALUE, u64::from(line));
    }

    /// Start of the cumulative output. Owner only.
    pub fn start(&self) -> u64 {
        self.word(START)
    }

    /// Sets the start of the cumulative output, from the next value on. Owner only.
    pub fn put_start(&self, start: u64) {
        if start != self.word(START) {
            self.put_flag(meta::START_AHEAD, true);
            // ORDERING: the flag before the start; pairs with the Acquire fence of `start_of`
            fence(Release);
            self.put(START, start);
        }
    }

    /// Start of the value in a slot, 0 if it is no longer known. Any thread, between `read` and `still`.
    pub fn start_of(&self, slot: usize) -> u64 {
        let start = self.word(START);
        // ORDERING: the start is read before the flags that say whose it is
        fence(Acquire);
        let others = meta::START_AHEAD | meta::STARTED[1 - slot];
        if self.word(META) & others == 0 { start } else { 0 }
    }

    /// Time of the newest gauge, summary or cumulative point, one without a recorded value too. Owner only.
    pub fn time(&self) -> u64 {
        self.word(TIME)
    }

    /// Sets the time of the newest gauge or cumulative point. Owner only.
    pub fn put_time(&self, time: u64) {
        self.put(TIME, time);
    }

    /// The last point of the writer whose increments count. Owner only.
    pub fn chain(&self) -> Option<Chain> {
        let words = self.chain.get()?;
        // ORDERING: the owner reads what it wrote
        let word = |i: usize| words[i].load(Relaxed);
        Some(Chain {
            start: word(CHAIN_START),
            time: word(CHAIN_TIME),
            value: Value::from_bits(word(CHAIN_VALUE), self.flag(meta::CHAIN_DOUBLE)),
            cut: word(CHAIN_CUT) as u32,
        })
    }

    /// Sets the last point of the writer whose increments count. Owner only.
    pub fn put_chain(&self, chain: Chain) {
        self.put_flag(meta::CHAIN_DOUBLE, chain.value.is_double());
        if self.chain.get().is_none() {
            // nobody else sets it
            let _ = self.chain.set(Box::default());
        }
        let Some(words) = self.chain.get() else { return };
        // ORDERING: as above
        let put = |i: usize, value| words[i].store(value, Relaxed);
        put(CHAIN_START, chain.start);
        put(CHAIN_TIME, chain.time);
        put(CHAIN_VALUE, chain.value.bits());
        put(CHAIN_CUT, u64::from(chain.cut));
    }

    /// Whether delta input ever reached it. Owner only.
    pub fn has_delta(&self) -> bool {
        self.flag(meta::DELTA)
    }

    /// Marks that delta input reached it. Owner only.
    pub fn put_has_delta(&self) {
        self.put_flag(meta::DELTA, true);
    }

    /// Whether its output is a sum of several streams rather than one cumulative stream passed on. Owner only.
    pub fn is_mixed(&self) -> bool {
        self.flag(meta::MIXED)
    }

    /// Marks it as a sum of several streams. Owner only.
    pub fn put_mixed(&self) {
        self.put_flag(meta::MIXED, true);
    }

    /// Marks it expired; a scrape that is reading its block finds out. Owner only.
    pub fn put_dead(&self) {
        self.put_flag(meta::DEAD, true);
        // ORDERING: as in `with_slot`: the numbers are gone before the block's words are used again
        self.owned[CUTS].store(0, Release);
        fence(Release);
    }

    /// Whether it is expired. Any thread.
    pub fn is_dead(&self) -> bool {
        self.flag(meta::DEAD)
    }
}

/// A series of its own group, for tests and models.
#[cfg(test)]
pub(super) fn lone() -> Series {
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let none = crate::identity::Set::new(&[], &[], "", &state);
    let parts = crate::identity::Parts {
        resource: &none,
        scope: &none,
        name: "requests",
        unit: "",
        description: "",
        hints: crate::model::TypeHints::NONE,
        kind: crate::model::Kind::Sum,
        monotonic: true,
        bounds: &[],
    };
    let group = Arc::new(Group::new(parts.hash(&state), 0, (super::group::Entry::Last, 0), &parts));
    Series::new(1, group, ThinBytes::new(b""), 0)
}

#[cfg(all(test, not(loom)))]
mod tests;
