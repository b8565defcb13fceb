//! The cut: every shard closes its interval once, when it gets to it. A shard that is late is skipped; the others do not
//! wait for it.
//!
//! Knows numbers of cuts, shards and banks; does not know what a bank holds, clocks, or how threads are woken.
//!
//! ```text
//!   coordinator:  publish(n) ─► … 1 s … ─► skip_late(n)           publish(n + 1) only after the last merge_done,
//!                     │                                               ▲          else postponed
//!   shard:            └─► due: Switch ─► try_switch(n): bank ⇄        │
//!                                            │ the last wakes all     │
//!                                            └─► due: Merge … fold_done(n)
//!                                                     the last wakes all │        the last wakes the coordinator
//!                                                                        └─► due: Settle … merge_done(n)
//! ```
//!
//! A merge has two halves, because what the members of a group gave on one shard belongs to an output that another shard
//! owns: in the first each shard merges the series that it owns and hands over what they gave, in the second it takes what
//! all shards handed over for the outputs that it owns.
//!
//! Each shard has two banks, 0 and 1. The *interval* a shard has open is numbered by the cut that opened it plus one,
//! and 1 in the beginning: never 0, so that a stamp of zeros is always an old one. A skipped shard keeps bank and
//! interval. A skipped shard still merges: it owns series that the others' cells fed.
//!
//! Invariants
//!  1. Numbers of cuts rise strictly; a cut is published only when every shard has merged the one before.
//!  2. A shard's slot changes once per cut, by compare-and-swap: to *switched* by the shard or to *skipped* by the
//!     coordinator. So every point is in exactly one interval of its shard.
//!  3. From the time cut n is closed by all until a shard's own `merge_done(n)`, no slot changes: that shard may read
//!     every bank closed at n, and nobody writes one, because the next switch needs the next cut.
//!  4. Exactly one call per cut is told that it was the last to close, one that it was the last to fold, and one that it
//!     was the last to merge.
//!  5. The times belong to the published number for everyone who has not merged that cut yet.
//!  6. `Settle` is due only when every shard has folded; what each handed over before its `fold_done(n)` is seen then, and
//!     nobody hands over more until every `merge_done(n)`.
//!
//! Progress: all calls are wait-free (`skip_late` tries one swap per shard: it fails only against that shard's own
//! switch).
//!
//! Ordering: the slot's Release/Acquire carries a closed bank from its writer to those who merge; `unclosed`, `unfolded` and
//! `unmerged` are counted down with AcqRel, so that the last one has seen all others, and `number` carries all merges
//! of the cut before to the writers that go on to reuse the bank.
//!
//! Bounds: `NUMBER_MAX` cuts: 680 years at 10 s, 6.8 at 100 ms. One padded slot per shard.
//!
//! Sources: DESIGN section 4, "Cut protocol"; the models are below and in `series::expiry_model`.

use super::CachePadded;
use super::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The last cut there can be.
pub const NUMBER_MAX: u32 = (1 << 31) - 2;

/// One cut, as published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Rises strictly; the first is 1 or later.
    pub number: u32,
    /// When it was made.
    pub times: CutTimes,
}

/// Words of the times. In a model one stands for all: they are written together and read together, and each would
/// multiply what there is to explore.
const TIMES: usize = if cfg!(loom) { 1 } else { 4 };

/// When a cut was made, on both clocks: the wall clock stamps, the monotonic one tells ages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutTimes {
    /// Where the window of the cut begins: the boundary before, unless the wall clock stepped. Nanoseconds since 1970.
    pub from_ns: u64,
    /// Wall clock, nanoseconds since 1970.
    pub boundary_ns: u64,
    /// Monotonic clock, nanoseconds.
    pub mono_ns: u64,
    /// It is made at the end of the process: intervals that are longer end with it, too.
    pub is_last: bool,
    /// It is the last one of the rules in force: behind it others that were offered take their place.
    pub is_exchange: bool,
}

/// Flags of a cut.
const LAST: u64 = 1;
const EXCHANGE: u64 = 2;

impl CutTimes {
    const fn flags(self) -> u64 {
        (if self.is_last { LAST } else { 0 }) | (if self.is_exchange { EXCHANGE } else { 0 })
    }

    /// All of them `ns`: for tests and models.
    pub const fn at(ns: u64) -> CutTimes {
        CutTimes { from_ns: ns, boundary_ns: ns, mono_ns: ns, is_last: false, is_exchange: false }
    }
}

/// Where one shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// The last cut it switched at or was skipped for; 0 before the first.
    pub number: u32,
    /// The bank that takes points.
    pub open_bank: usize,
    /// The number that stamps points.
    pub open_interval: u32,
    /// What it closed at `number`; nothing if it was skipped.
    pub closed: Option<Closed>,
}

/// A bank that is read by merges and written by nobody until the next switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which of the two.
    pub bank: usize,
    /// What its stamps carry, if they were touched in the interval closed.
    pub interval: u32,
}

/// What `publish` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Wake all shards.
    Published,
    /// A merge still runs: try again when it is done; the cut will cover the longer span.
    Postponed,
}

/// What a shard has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing, or others have to close first.
    Nothing,
    /// Call `try_switch`.
    Switch(Cut),
    /// All have closed: merge the series it owns and hand over what they gave, in slices, then `fold_done`.
    Merge(Cut),
    /// All have folded: take what was handed over for the outputs it owns, in slices, then `merge_done`.
    Settle(Cut),
}

/// What `try_switch` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The bank is closed, the other one is open.
    Switched {
        /// This shard was the last: wake all shards to merge.
        last: bool,
    },
    /// The coordinator was faster; bank and interval go on.
    AlreadySkipped,
}

/// What `skip_late` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The shards that were skipped, each to be counted as `cut_late_shard`.
    pub shards: Vec<usize>,
    /// The last open slot was among them: wake all shards to merge.
    pub last: bool,
}

/// The board on which coordinator and shards say how far they are; see the file's head.
#[derive(Debug)]
pub struct CutBoard {
    number: AtomicU32,
    /// The boundary, where its window begins, the monotonic clock, and the flags (`CutTimes::flags`).
    times: [AtomicU64; TIMES],
    unclosed: AtomicUsize,
    unfolded: AtomicUsize,
    unmerged: AtomicUsize,
    slots: Box<[CachePadded<Slot>]>,
}

#[derive(Debug)]
struct Slot {
    /// A packed `ShardView`: number 31 bits, interval 31, skipped 1, open bank 1. The interval is the closed one if
    /// switched, the open one if skipped.
    view: AtomicU64,
    /// The last cut this shard folded; written by the shard alone.
    folded: AtomicU32,
    /// The last cut this shard merged; written by the shard alone.
    merged: AtomicU32,
}

impl CutBoard {
    /// A board on which every shard has interval 1 open in bank 0.
    pub fn new(shards: usize) -> Self {
        assert!(shards > 0, "a cut needs a shard");
        let first = ShardView { number: 0, open_bank: 0, open_interval: 1, closed: None };
        let slot = || Slot { view: AtomicU64::new(first.pack()), folded: AtomicU32::new(0), merged: AtomicU32::new(0) };
        CutBoard {
            number: AtomicU32::new(0),
            times: std::array::from_fn(|_| AtomicU64::new(0)),
            unclosed: AtomicUsize::new(0),
            unfolded: AtomicUsize::new(0),
            unmerged: AtomicUsize::new(0),
            slots: (0..shards).map(|_| CachePadded::new(slot())).collect(),
        }
    }

    /// Shards on the board.
    pub fn shards(&self) -> usize {
        self.slots.len()
    }

    /// The newest cut's number; 0 before the first.
    #[inline]
    pub fn published(&self) -> u32 {
        // ORDERING: Acquire pairs with the Release in `publish`: times and counters are those of this cut or newer ones.
        self.number.load(Ordering::Acquire)
    }

    /// The times of the cut that `published` told, for those of invariant 5.
    pub fn times(&self) -> CutTimes {
        // ORDERING: Relaxed: published with the number.
        let at = |i: usize| self.times.get(i).map_or(0, |time| time.load(Ordering::Relaxed));
        CutTimes {
            boundary_ns: at(0),
            from_ns: at(1),
            mono_ns: at(2),
            is_last: at(3) & LAST != 0,
            is_exchange: at(3) & EXCHANGE != 0,
        }
    }

    /// Announces a cut. Called by the coordinator only.
    ///
    /// # Panics
    ///
    /// If `number` does not rise or lies beyond `NUMBER_MAX`.
    pub fn publish(&self, number: u32, times: CutTimes) -> Publish {
        // ORDERING: Relaxed: only the coordinator writes it.
        let before = self.number.load(Ordering::Relaxed);
        assert!(before < number && number <= NUMBER_MAX, "cut {number} after cut {before}: numbers rise strictly");
        if !self.all_merged(before) {
            return Publish::Postponed;
        }
        // ORDERING: Relaxed: published by the Release below; a shard counts down only after it has seen the number.
        for (word, ns) in self.times.iter().zip([times.boundary_ns, times.from_ns, times.mono_ns, times.flags()]) {
            word.store(ns, Ordering::Relaxed);
        }
        self.unclosed.store(self.slots.len(), Ordering::Relaxed);
        self.unfolded.store(self.slots.len(), Ordering::Relaxed);
        self.unmerged.store(self.slots.len(), Ordering::Relaxed);
        // ORDERING: Release publishes all these, and hands on all merges that `all_merged` acquired: a shard that
        // switches after it saw this number writes into the bank that those merges read.
        self.number.store(number, Ordering::Release);
        Publish::Published
    }

    /// Marks all shards that have not switched at `number` as skipped. Called by the coordinator only.
    pub fn skip_late(&self, number: u32) -> Skipped {
        let mut skipped = Skipped { shards: Vec::new(), last: false };
        for shard in 0..self.slots.len() {
            let view = self.view(shard);
            if view.number < number && self.close(shard, view, ShardView { number, closed: None, ..view }) {
                skipped.shards.push(shard);
                skipped.last |= self.count_closed();
            }
        }
        skipped
    }

    /// What `shard` has to do now. Called by the shard between two requests: two loads while there is nothing to do.
    #[inline]
    pub fn due(&self, shard: usize) -> Due {
        let number = self.published();
        let cut = || Cut { number, times: self.times() };
        // ORDERING: Relaxed: only this shard writes it.
        let slot = &self.slots[shard];
        if slot.merged.load(Ordering::Relaxed) == number {
            Due::Nothing
        } else if self.view(shard).number < number {
            Due::Switch(cut())
        } else if slot.folded.load(Ordering::Relaxed) == number {
            if self.all_folded(number) { Due::Settle(cut()) } else { Due::Nothing }
        } else if self.all_closed(number) {
            Due::Merge(cut())
        } else {
            Due::Nothing
        }
    }

    /// Closes the open bank of `shard` and opens the other. Called by the shard only, for the published cut.
    ///
    /// # Panics
    ///
    /// If the shard switched at this cut already.
    pub fn try_switch(&self, shard: usize, number: u32) -> Switch {
        let view = self.view(shard);
        if view.number < number {
            let closed = Closed { bank: view.open_bank, interval: view.open_interval };
            let next =
                ShardView { number, open_bank: view.open_bank ^ 1, open_interval: number + 1, closed: Some(closed) };
            if self.close(shard, view, next) {
                return Switch::Switched { last: self.count_closed() };
            }
        } else {
            assert!(view.closed.is_none(), "shard {shard} switches once at cut {number}");
        }
        Switch::AlreadySkipped
    }

    /// Where `shard` stands. For its own thread always exact; for others while a merge of theirs runs (invariant 3).
    #[inline]
    pub fn view(&self, shard: usize) -> ShardView {
        // ORDERING: Acquire pairs with the swap in `close`: the bank that was closed is visible, whole.
        ShardView::unpack(self.slots[shard].view.load(Ordering::Acquire))
    }

    /// What `shard` closed at cut `number`; nothing if it was skipped.
    pub fn closed(&self, shard: usize, number: u32) -> Option<Closed> {
        let view = self.view(shard);
        debug_assert_eq!(view.number, number, "asked during the merge of this cut (invariant 3)");
        view.closed
    }

    /// Whether every shard has switched at `number` or was skipped for it.
    #[inline]
    pub fn all_closed(&self, number: u32) -> bool {
        // ORDERING: Acquire pairs with `publish`, then with every `count_closed`.
        let published = self.number.load(Ordering::Acquire);
        number < published || number == published && self.unclosed.load(Ordering::Acquire) == 0
    }

    /// Says that `shard` has merged its series and handed over what they gave; `true` for the last one (wake all shards).
    /// Called by the shard only.
    ///
    /// # Panics
    ///
    /// If not all have closed, or the shard folded this cut already.
    pub fn fold_done(&self, shard: usize, number: u32) -> bool {
        assert!(self.all_closed(number), "shard {shard} folds cut {number} when all have closed it");
        // ORDERING: Relaxed: only this shard reads it.
        let before = self.slots[shard].folded.swap(number, Ordering::Relaxed);
        assert!(before < number, "shard {shard} folds cut {number} once");
        // ORDERING: AcqRel: hands what this shard handed over, and those counted before, to `all_folded`.
        self.unfolded.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every shard has folded `number`: then outputs may be settled.
    #[inline]
    pub fn all_folded(&self, number: u32) -> bool {
        // ORDERING: Acquire pairs with `publish`, then with every `fold_done`.
        let published = self.number.load(Ordering::Acquire);
        number < published || number == published && self.unfolded.load(Ordering::Acquire) == 0
    }

    /// Says that `shard` has settled the outputs it owns, and so is done; `true` for the last one (wake the coordinator).
    /// Called by the shard only.
    ///
    /// # Panics
    ///
    /// If not all have folded, or the shard merged this cut already.
    pub fn merge_done(&self, shard: usize, number: u32) -> bool {
        assert!(self.all_folded(number), "shard {shard} settles cut {number} when all have folded it");
        // ORDERING: Relaxed: only this shard acts on it; others read it for diagnosis.
        let before = self.slots[shard].merged.swap(number, Ordering::Relaxed);
        assert!(before < number, "shard {shard} merges cut {number} once");
        // ORDERING: AcqRel: hands this shard's reads of closed banks, and those counted before, to `all_merged`.
        self.unmerged.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every shard has merged `number`: then the next cut may be published.
    #[inline]
    pub fn all_merged(&self, number: u32) -> bool {
        // ORDERING: Acquire pairs with `publish`, then with every `merge_done`.
        let published = self.number.load(Ordering::Acquire);
        number < published || number == published && self.unmerged.load(Ordering::Acquire) == 0
    }

    /// The last cut that `shard` merged: names the one that holds the next cut up.
    pub fn merged(&self, shard: usize) -> u32 {
        // ORDERING: Relaxed: for messages only.
        self.slots[shard].merged.load(Ordering::Relaxed)
    }

    fn close(&self, shard: usize, from: ShardView, to: ShardView) -> bool {
        // ORDERING: Release publishes the closed bank to `view`; Acquire on success and failure, as both go on from
        // there.
        self.slots[shard].view.compare_exchange(from.pack(), to.pack(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// `true` for the last (invariant 4).
    fn count_closed(&self) -> bool {
        // ORDERING: AcqRel: who reads 0 with Acquire has all closed banks; the last one has them here.
        self.unclosed.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl ShardView {
    const fn pack(self) -> u64 {
        let (interval, skipped) = match self.closed {
            Some(closed) => (closed.interval, 0),
            None => (self.open_interval, 1),
        };
        (self.number as u64) << 33 | (interval as u64) << 2 | skipped << 1 | self.open_bank as u64
    }

    const fn unpack(word: u64) -> ShardView {
        let (number, interval) = ((word >> 33) as u32, (word >> 2 & 0x7FFF_FFFF) as u32);
        let open_bank = (word & 1) as usize;
        if word & 2 != 0 {
            return ShardView { number, open_bank, open_interval: interval, closed: None };
        }
        let closed = Some(Closed { bank: open_bank ^ 1, interval });
        ShardView { number, open_bank, open_interval: number + 1, closed }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn merge_all(board: &CutBoard, number: u32) {
        let last = board.shards() - 1;
        for shard in 0..=last {
            assert!(matches!(board.due(shard), Due::Merge(cut) if cut.number == number));
            assert_eq!(board.fold_done(shard, number), shard == last);
            assert_eq!(board.all_folded(number), shard == last);
        }
        for shard in 0..=last {
            assert!(matches!(board.due(shard), Due::Settle(cut) if cut.number == number));
            assert_eq!(board.merge_done(shard, number), shard == last);
            assert_eq!(board.due(shard), Due::Nothing);
        }
    }

    #[test]
    fn views_survive_packing() {
        for number in [1, 77, NUMBER_MAX] {
            for open_bank in [0, 1] {
                let closed = Some(Closed { bank: open_bank ^ 1, interval: number });
                let switched = ShardView { number, open_bank, open_interval: number + 1, closed };
                let skipped = ShardView { number, open_bank, open_interval: number - 1, closed: None };
                assert_eq!(ShardView::unpack(switched.pack()), switched);
                assert_eq!(ShardView::unpack(skipped.pack()), skipped);
            }
        }
    }

    #[test]
    fn switched_skipped_and_switched_again() {
        let board = CutBoard::new(2);
        assert_eq!(board.due(0), Due::Nothing);
        assert_eq!(board.publish(1, CutTimes::at(100)), Publish::Published);
        assert_eq!(board.due(0), Due::Switch(Cut { number: 1, times: CutTimes::at(100) }));
        assert_eq!(board.try_switch(0, 1), Switch::Switched { last: false });
        assert_eq!(board.due(0), Due::Nothing, "shard 1 has not closed");
        assert_eq!(board.skip_late(1), Skipped { shards: vec![1], last: true });
        assert_eq!(board.try_switch(1, 1), Switch::AlreadySkipped);
        assert_eq!(board.closed(0, 1), Some(Closed { bank: 0, interval: 1 }));
        assert_eq!(board.closed(1, 1), None);
        assert_eq!(board.publish(2, CutTimes::at(200)), Publish::Postponed);
        merge_all(&board, 1);

        assert_eq!(board.publish(5, CutTimes::at(500)), Publish::Published, "numbers rise, not by one");
        assert_eq!(board.try_switch(1, 5), Switch::Switched { last: false });
        assert_eq!(board.try_switch(0, 5), Switch::Switched { last: true });
        assert_eq!(board.skip_late(5), Skipped { shards: vec![], last: false });
        assert_eq!(board.closed(0, 5), Some(Closed { bank: 1, interval: 2 }));
        assert_eq!(board.closed(1, 5), Some(Closed { bank: 0, interval: 1 }), "the skipped interval went on");
        assert_eq!((board.view(0).open_bank, board.view(1).open_bank), (0, 1));
        assert_eq!(board.view(1).open_interval, 6);
        merge_all(&board, 5);
    }

    #[test]
    #[should_panic(expected = "numbers rise strictly")]
    fn a_number_that_does_not_rise_is_a_bug() {
        CutBoard::new(1).publish(0, CutTimes::at(1));
    }

    #[test]
    #[should_panic(expected = "shard 0 switches once at cut 1")]
    fn switching_twice_is_a_bug() {
        let board = CutBoard::new(1);
        board.publish(1, CutTimes::at(1));
        board.try_switch(0, 1);
        board.try_switch(0, 1);
    }

    #[test]
    fn a_shard_settles_when_all_have_folded() {
        let board = CutBoard::new(2);
        board.publish(1, CutTimes::at(1));
        board.skip_late(1);
        assert!(!board.fold_done(0, 1));
        assert_eq!(board.due(0), Due::Nothing, "shard 1 has not folded");
        assert!(board.fold_done(1, 1));
        assert!(matches!(board.due(0), Due::Settle(_)) && matches!(board.due(1), Due::Settle(_)));
    }

    #[test]
    #[should_panic(expected = "when all have closed it")]
    fn folding_early_is_a_bug() {
        let board = CutBoard::new(2);
        board.publish(1, CutTimes::at(1));
        board.fold_done(0, 1);
    }

    #[test]
    #[should_panic(expected = "when all have folded it")]
    fn settling_early_is_a_bug() {
        let board = CutBoard::new(2);
        board.publish(1, CutTimes::at(1));
        board.skip_late(1);
        board.fold_done(0, 1);
        board.merge_done(0, 1);
    }
}

#[cfg(all(test, loom))]
mod models;
