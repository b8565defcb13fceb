//! One bank of a cell: its stamp, its flags, and the points counted in it.
//!
//! Knows what all shapes have in common; does not know what a shape's other words are. Who holds one may read it, and if it
//! is the cell's core, and the bank the open one, write it.

use super::shape::Shape;
use super::stamp::{ENDED, FLAGS, VALUE, interval_of, points_of};
use crate::ledger::{Effect, Note, Tally};
use crate::limits::BANK_POINTS_MAX;
use crate::model::Reject;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What became of a point: what of it is worth a warning, or why it was not added.
pub type Added = Result<Option<Loss>, Reject>;

/// What a point's series goes without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Points of it have no effect.
    WithoutEffect(Effect),
    /// What it gained does not fit 64 bits.
    CountOverflow,
}

/// A bank of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Bank<'a> {
    words: &'a [AtomicU64],
    shape: Shape,
}

/// ORDERING: a cell has one writer, its core; other threads read a bank of it after the cut that closed it (board: Release
/// and Acquire), so plain loads and stores do.
#[inline]
pub(super) fn get(words: &[AtomicU64], i: usize) -> u64 {
    words[i].load(Relaxed)
}

/// ORDERING: see `get`.
#[inline]
pub(super) fn put(words: &[AtomicU64], i: usize, value: u64) {
    words[i].store(value, Relaxed);
}

impl<'a> Bank<'a> {
    /// Bank `index` of the cell of this shape that these words are.
    #[inline(always)]
    pub fn new(cell: &'a [AtomicU64], shape: Shape, index: usize) -> Bank<'a> {
        Bank { words: &cell[shape.bank(index)], shape }
    }

    /// The cell's shape.
    #[inline]
    pub const fn shape(self) -> Shape {
        self.shape
    }

    /// The interval whose bank it is.
    #[inline]
    pub fn interval(self) -> u32 {
        interval_of(self.get(0))
    }

    /// Its points that are not settled yet.
    #[inline]
    pub fn points(self) -> u64 {
        points_of(self.get(0))
    }

    /// The points that are not settled yet, if it is the bank of this interval.
    #[inline]
    pub fn points_of(self, interval: u32) -> Option<u64> {
        let stamp = self.get(0);
        (interval_of(stamp) == interval).then_some(points_of(stamp))
    }

    /// Nothing was added since it was stamped, and nothing will be: it is no longer of its interval.
    pub fn take_stamp_back(self) {
        self.put(0, 0);
    }

    /// The stamp.
    #[inline]
    pub(super) fn stamp(self) -> &'a AtomicU64 {
        &self.words[0]
    }

    /// Word `i` of the bank.
    #[inline]
    pub(super) fn get(self, i: usize) -> u64 {
        get(self.words, i)
    }

    #[inline]
    pub(super) fn put(self, i: usize, value: u64) {
        put(self.words, i, value);
    }

    /// Some of its words.
    #[inline]
    pub(super) fn part(self, range: std::ops::Range<usize>) -> &'a [AtomicU64] {
        &self.words[range]
    }

    #[inline]
    pub(super) fn flags(self) -> u64 {
        self.get(0) & FLAGS
    }

    #[inline]
    pub(super) fn has(self, flag: u64) -> bool {
        self.flags() & flag != 0
    }

    #[inline]
    pub(super) fn put_flags(self, flags: u64) {
        self.put(0, self.get(0) & !FLAGS | flags);
    }

    /// Words `kept` hold the newest time or start that this core knows, wherever it stands.
    #[inline]
    pub(super) fn keep(self, other: Bank<'_>, kept: &[usize]) {
        kept.iter().for_each(|i| self.put(*i, self.get(*i).max(other.get(*i))));
    }

    /// Empties all words but the stamp.
    #[inline]
    pub(super) fn clear(self) {
        // ORDERING: see `get`
        self.words[1..].iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Counts a point.
    #[inline]
    pub(super) fn count(self) -> Result<(), Reject> {
        let stamp = self.get(0);
        if points_of(stamp) == BANK_POINTS_MAX {
            return Err(Reject::CellFull);
        }
        self.put(0, stamp + 1);
        Ok(())
    }

    /// Sets the number of its points.
    #[inline]
    pub(super) fn put_points(self, points: u64) {
        self.put(0, self.get(0) & !BANK_POINTS_MAX | points);
    }

    /// Counts a point of a delta, whose points have had their effect: of a full bank all but one are settled.
    #[inline]
    pub(super) fn count_delta(self, tally: &mut Tally) {
        if self.points() == BANK_POINTS_MAX {
            self.settle(BANK_POINTS_MAX - 1, Effect::WithEffect, tally);
        }
        self.put(0, self.get(0) + 1);
    }

    /// The point counted last was not added after all.
    #[inline]
    pub(super) fn take_back(self) {
        self.put(0, self.get(0) - 1);
    }

    /// Points counted here are settled as they come: they are open no more.
    pub(super) fn settle(self, points: u64, effect: Effect, tally: &mut Tally) {
        self.put(0, self.get(0) - points);
        tally.emit(points);
        tally.settle(effect, points);
    }

    /// Points counted here have no effect, and no cut will change that.
    #[cold]
    #[inline(never)]
    pub(super) fn without_effect(self, points: u64, effect: Effect, tally: &mut Tally) -> Option<Loss> {
        self.settle(points, effect, tally);
        Some(Loss::WithoutEffect(effect))
    }

    /// The point counted last, of a shape that keeps its newest point, had no recorded value (M7); word `time_at` holds the
    /// newest time.
    #[cold]
    #[inline(never)]
    pub(super) fn end_newest(self, time_at: usize, time: u64, tally: &mut Tally) -> Option<Loss> {
        tally.note(Note::NoRecordedValue, 1);
        if time <= self.get(time_at) {
            return self.without_effect(1, Effect::Superseded, tally);
        }
        self.settle(1, Effect::WithEffect, tally);
        self.put(time_at, time);
        self.put_flags(self.flags() & !VALUE | ENDED);
        None
    }

    /// The point counted last is the first of the chain: those before it are a second writer's, and add nothing.
    #[inline]
    pub(super) fn begin_chain(self, tally: &mut Tally) -> Option<Loss> {
        match self.points() - 1 {
            0 => None,
            seconds => self.without_effect(seconds, Effect::Overlapping, tally),
        }
    }
}
