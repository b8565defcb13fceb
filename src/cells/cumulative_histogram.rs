//! Cumulative histograms of both kinds: the words beside their regions, and how a point comes to them (M10, M14).
//!
//! ```text
//!   1, 2   first start, first time
//!   3, 4   last start, last time
//!   5      start of the last point as it came
//!   6      time of the newest point without a recorded value
//!   7..    three regions: first, last, gained
//! ```
//!
//! Flags: `RESET`, `VALUE`, `CHAIN`, `ENDED`. There is no third point for the newest of any writer (`shape`): the last
//! region holds it until the first point of the chain comes. Last start, last time and ended go from bank to bank.

use super::bank::{Bank, Loss};
use super::sequences::{Earlier, begins_another};
use super::shape::Shape;
use super::span::{self, Span};
use super::stamp::{CHAIN, ENDED, RESET, VALUE};
use crate::aggregate::exponential;
use crate::aggregate::number::{newer, older};
use crate::ledger::{Effect, Note, Tally};
use std::sync::atomic::AtomicU64;

const FIRST_START: usize = 1;
const FIRST_TIME: usize = 2;
const LAST_START: usize = 3;
const LAST_TIME: usize = 4;
const NEWEST_START: usize = 5;
const ENDED_TIME: usize = 6;

/// Times of a point.
#[derive(Clone, Copy, Debug)]
pub struct PointTimes {
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
}

/// How a point comes to its bank.
pub(super) enum Comes {
    /// It has no effect: it is late, or from a writer with an older start, after points of the chain.
    WithoutEffect(Option<Loss>),
    /// From a writer with an older start, and there is nothing else.
    Second,
    /// The first point of the chain.
    First(Option<Loss>),
    /// After another point of the chain, of these times, its start being the newest so far; `has_newer_start`: the source began
    /// again between them.
    After { last: PointTimes, has_newer_start: bool },
}

#[inline]
pub(super) fn open(bank: Bank<'_>, other: Bank<'_>) {
    bank.keep(other, &[LAST_TIME, LAST_START, ENDED_TIME]);
}

/// Time of the newest point, with a value or without.
fn newest(bank: Bank<'_>) -> u64 {
    bank.get(LAST_TIME).max(bank.get(ENDED_TIME))
}

/// A point with a value was counted: how it comes, and the words beside the regions for it. At equal times the first one
/// stays, but a value goes before none (M7): while the flag stands, the newest point is one without.
pub(super) fn comes(bank: Bank<'_>, PointTimes { start, time }: PointTimes, tally: &mut Tally) -> Comes {
    let newest = newest(bank);
    if time < newest || time == newest && !bank.has(ENDED) {
        return Comes::WithoutEffect(bank.without_effect(1, Effect::Superseded, tally));
    }
    let flags = bank.flags() & !ENDED;
    let is_chained = flags & CHAIN != 0;
    let known = bank.get(LAST_START);
    let is_second = older(start, known);
    if is_second && is_chained {
        let cause = bank.without_effect(1, Effect::Overlapping, tally);
        // there is no third region, but it has a value
        bank.put_flags(flags);
        return Comes::WithoutEffect(cause);
    }
    let last = PointTimes { start: known, time: bank.get(LAST_TIME) };
    bank.put(NEWEST_START, start);
    bank.put(LAST_TIME, time);
    if !is_chained {
        bank.put(FIRST_START, start);
        bank.put(FIRST_TIME, time);
    }
    if is_second {
        bank.put_flags(flags | VALUE);
        return Comes::Second;
    }
    bank.put(LAST_START, known.max(start));
    bank.put_flags(flags | VALUE | CHAIN);
    if is_chained {
        return Comes::After { last, has_newer_start: newer(start, known) };
    }
    Comes::First(bank.begin_chain(tally))
}

/// The point counted last, of times `times`, is a reset after one of times `last`, whose regions the bank still has. `true`:
/// what was before it is kept, and it is the first of a sequence; else there is a reset between first and last.
#[cold]
#[inline(never)]
pub(super) fn reset(
    bank: Bank<'_>,
    (last, times): (PointTimes, PointTimes),
    mut earlier: Earlier<'_>,
    tally: &mut Tally,
) -> bool {
    let mut keep = || {
        let first = (bank.get(FIRST_START), bank.get(FIRST_TIME));
        let span = span::before_reset(first, (last.start, last.time), (bank.has(RESET), bank.points() - 1));
        let parts = [Part::First, Part::Last, Part::Gained].map(|part| {
            let words = region(bank, part);
            // the buckets that it does not have need not be kept
            if bank.shape() == Shape::CumulativeExponential { &words[..exponential::words_used(&words)] } else { words }
        });
        earlier.keep(span, false, parts, tally)
    };
    if begins_another(times.start, last.start) && keep() {
        bank.put(FIRST_START, times.start);
        bank.put(FIRST_TIME, times.time);
        bank.put_flags(bank.flags() & !RESET);
        return true;
    }
    tally.note(Note::Reset, 1);
    bank.put_flags(bank.flags() | RESET);
    false
}

/// What was gained does not fit 64 bits.
#[cold]
pub(super) fn left_out(tally: &mut Tally) -> Option<Loss> {
    tally.note(Note::CountOverflow, 1);
    Some(Loss::CountOverflow)
}

/// A histogram's point without a recorded value was counted (M7; `shape`, "ended"). A delta's bank only knows that.
#[cold]
pub(super) fn end(bank: Bank<'_>, time: u64, tally: &mut Tally) -> Option<Loss> {
    tally.note(Note::NoRecordedValue, 1);
    if !bank.shape().cumulative() {
        return None;
    }
    if time <= newest(bank) {
        return bank.without_effect(1, Effect::Superseded, tally);
    }
    bank.settle(1, Effect::WithEffect, tally);
    bank.put(ENDED_TIME, time);
    bank.put_flags(bank.flags() | ENDED);
    None
}

/// What a histogram's bank holds.
#[derive(Clone, Copy, Debug)]
pub enum Folded<'a> {
    /// Of a delta: its region; nothing if no point had a value.
    Delta(Option<&'a [AtomicU64]>),
    /// Of a cumulative stream.
    Cumulative {
        /// What this core saw; nothing where only points without a value are known.
        span: Option<Span>,
        /// The newest point has no recorded value; its time.
        ended: Option<u64>,
    },
}

/// What the bank holds.
#[inline]
pub fn fold(bank: Bank<'_>) -> Folded<'_> {
    if bank.shape().cumulative() {
        return fold_cumulative(bank);
    }
    Folded::Delta(bank.has(VALUE).then(|| region(bank, Part::First)))
}

#[inline(never)]
fn fold_cumulative(bank: Bank<'_>) -> Folded<'_> {
    let flags = bank.flags();
    let span = (flags & VALUE != 0).then(|| {
        Span {
            first_start: bank.get(FIRST_START),
            first_time: bank.get(FIRST_TIME),
            last_start: bank.get(LAST_START),
            last_time: bank.get(LAST_TIME),
            newest_start: bank.get(NEWEST_START),
            newest_time: bank.get(LAST_TIME),
            has_reset: flags & RESET != 0,
            is_chained: flags & CHAIN != 0,
            points: bank.points(),
        }
        .whole()
    });
    Folded::Cumulative { span, ended: (flags & ENDED != 0).then(|| bank.get(ENDED_TIME)) }
}

/// Which region of a histogram's bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first point of the chain; a delta's only region.
    First,
    /// The last point.
    Last,
    /// What was gained from first to last.
    Gained,
}

/// A region of a histogram's bank.
#[inline]
pub fn region(bank: Bank<'_>, part: Part) -> &[AtomicU64] {
    bank.part(bank.shape().region_in_bank(part as usize))
}
