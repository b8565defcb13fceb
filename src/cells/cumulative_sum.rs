//! Cumulative sums: what was gained between the first and the last point of one writer, and the newest point of any.
//!
//! ```text
//!   1 to 3    first start, first time, first value
//!   4 to 6    last start, last time, last value
//!   7         gained
//!   8 to 10   newest start, newest time, newest value
//! ```
//!
//! Flags: all five. Last start and newest time go from bank to bank. What first, last and newest are: `shape`.

use super::bank::{Added, Bank, Loss, get};
use super::sequences::{Earlier, Sequence, begins_another};
use super::span::{self, Span};
use super::stamp::{CHAIN, DOUBLE, ENDED, RESET, VALUE};
use crate::aggregate::number::{Value, older, step};
use crate::ledger::{Effect, Note, Tally};
use std::sync::atomic::AtomicU64;

const FIRST_START: usize = 1;
const FIRST_TIME: usize = 2;
const FIRST_VALUE: usize = 3;
const LAST_START: usize = 4;
const LAST_TIME: usize = 5;
const LAST_VALUE: usize = 6;
const GAINED: usize = 7;
const NEWEST_START: usize = 8;
/// Also of a point without a recorded value.
const NEWEST_TIME: usize = 9;
const NEWEST_VALUE: usize = 10;

/// A point of a cumulative sum.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Nothing: it has no recorded value.
    pub value: Option<Value>,
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
    /// The sum is monotonic.
    pub is_monotonic: bool,
}

#[inline]
pub(super) fn open(bank: Bank<'_>, other: Bank<'_>) {
    bank.keep(other, &[NEWEST_TIME, LAST_START]);
}

/// Adds a point. M10, M14: one of a writer with an older start is the newest one and nothing else. At equal times the first
/// one stays, but a value goes before none (M7). What a reset ends goes to `earlier`.
pub fn add(bank: Bank<'_>, point: &Point, earlier: Earlier<'_>, tally: &mut Tally) -> Added {
    bank.count()?;
    let flags = bank.flags();
    let newest = bank.get(NEWEST_TIME);
    let Some(value) = point.value else {
        return Ok(end(bank, point.time, tally));
    };
    if point.time < newest || point.time == newest && flags & ENDED == 0 {
        return Ok(bank.without_effect(1, Effect::Superseded, tally));
    }
    let was_double = flags & DOUBLE != 0;
    let chained = flags & CHAIN != 0;
    let read = |i: usize| if chained { Value::from_bits(bank.get(i), was_double) } else { Value::Int(0) };
    let (mut first, mut last, mut gained) = (read(FIRST_VALUE), read(LAST_VALUE), read(GAINED));
    let mut new_flags = flags & !(ENDED | DOUBLE) | VALUE;
    let known = bank.get(LAST_START);
    let mut cause = None;
    if older(point.start, known) {
        if chained {
            cause = bank.without_effect(1, Effect::Overlapping, tally);
        }
    } else {
        if chained {
            let (step, reset) = step(last, known, value, point.start, point.is_monotonic);
            if reset && begins_another(point.start, known) && ends(bank, earlier, tally) {
                bank.put(FIRST_START, point.start);
                bank.put(FIRST_TIME, point.time);
                (first, gained) = (value, Value::Int(0));
                new_flags &= !RESET;
            } else {
                if reset {
                    tally.note(Note::Reset, 1);
                    new_flags |= RESET;
                }
                let (sum, overflow) = gained.add(step);
                tally.note(Note::IntOverflow, u64::from(overflow));
                gained = sum;
            }
        } else {
            cause = bank.begin_chain(tally);
            bank.put(FIRST_START, point.start);
            bank.put(FIRST_TIME, point.time);
            first = value;
            new_flags |= CHAIN;
        }
        last = value;
        bank.put(LAST_START, known.max(point.start));
        bank.put(LAST_TIME, point.time);
    }
    let double = [value, first, last, gained].into_iter().any(Value::is_double);
    let bits = |v: Value| if double { v.as_f64().to_bits() } else { v.bits() };
    bank.put(FIRST_VALUE, bits(first));
    bank.put(LAST_VALUE, bits(last));
    bank.put(GAINED, bits(gained));
    bank.put(NEWEST_START, point.start);
    bank.put(NEWEST_TIME, point.time);
    bank.put(NEWEST_VALUE, bits(value));
    bank.put_flags(new_flags | if double { DOUBLE } else { 0 });
    Ok(cause)
}

/// The point counted last is a reset: whether the sequence before it is kept.
#[cold]
#[inline(never)]
fn ends(bank: Bank<'_>, mut earlier: Earlier<'_>, tally: &mut Tally) -> bool {
    let span = span::before_reset(
        (bank.get(FIRST_START), bank.get(FIRST_TIME)),
        (bank.get(LAST_START), bank.get(LAST_TIME)),
        (bank.has(RESET), bank.points() - 1),
    );
    let parts = [FIRST_VALUE, LAST_VALUE, GAINED].map(|word| bank.part(word..word + 1));
    earlier.keep(span, bank.has(DOUBLE), parts, tally)
}

/// A point without a recorded value was counted (M7; `shape`, "ended").
#[cold]
fn end(bank: Bank<'_>, time: u64, tally: &mut Tally) -> Option<Loss> {
    tally.note(Note::NoRecordedValue, 1);
    let (flags, before) = (bank.flags(), bank.get(NEWEST_TIME));
    if time <= before {
        return bank.without_effect(1, Effect::Superseded, tally);
    }
    bank.settle(1, Effect::WithEffect, tally);
    bank.put(NEWEST_TIME, time);
    if flags & (ENDED | CHAIN) == CHAIN && before != bank.get(LAST_TIME) {
        // the newest value was a second writer's, and its time is no longer known
        bank.put(NEWEST_START, bank.get(LAST_START));
        bank.put(NEWEST_VALUE, bank.get(LAST_VALUE));
    }
    bank.put_flags(flags | ENDED);
    None
}

/// What the bank holds.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    /// What this core saw; nothing where only points without a value are known, or a second writer's whose newest value is
    /// not known any more.
    pub span: Option<Span>,
    /// The newest point has no recorded value; its time.
    pub ended: Option<u64>,
}

/// What the bank holds, but the values.
#[inline]
pub fn fold(bank: Bank<'_>) -> Folded {
    let flags = bank.flags();
    let is_ended = flags & ENDED != 0;
    let is_known = flags & VALUE != 0 && (flags & CHAIN != 0 || !is_ended);
    let span = is_known.then(|| {
        let last_time = bank.get(LAST_TIME);
        Span {
            first_start: bank.get(FIRST_START),
            first_time: bank.get(FIRST_TIME),
            last_start: bank.get(LAST_START),
            last_time,
            newest_start: bank.get(NEWEST_START),
            // if it ended, the newest time is that of a point without a value
            newest_time: if is_ended { last_time } else { bank.get(NEWEST_TIME) },
            has_reset: flags & RESET != 0,
            is_chained: flags & CHAIN != 0,
            points: bank.points(),
        }
        .whole()
    });
    Folded { span, ended: is_ended.then(|| bank.get(NEWEST_TIME)) }
}

/// The values of a bank that has a span.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    /// Of the first point.
    pub first: Value,
    /// Of the last one.
    pub last: Value,
    /// Gained from first to last.
    pub gained: Value,
    /// Of the newest point of any writer.
    pub newest: Value,
}

/// Its values.
#[inline]
pub fn values(bank: Bank<'_>) -> Values {
    let is_double = bank.has(DOUBLE);
    let value = |i: usize| Value::from_bits(bank.get(i), is_double);
    let newest = value(NEWEST_VALUE);
    if bank.has(CHAIN) {
        return Values { first: value(FIRST_VALUE), last: value(LAST_VALUE), gained: value(GAINED), newest };
    }
    Values { first: newest, last: newest, gained: Value::from_bits(0, is_double), newest }
}

/// Those of a sequence.
pub fn values_of(sequence: &Sequence<'_>) -> Values {
    let value = |words: &[AtomicU64]| Value::from_bits(get(words, 0), sequence.is_double);
    let (first, last) = (value(sequence.first), value(sequence.last()));
    let gained = sequence.more.map_or(Value::from_bits(0, sequence.is_double), |(_, gained)| value(gained));
    Values { first, last, gained, newest: last }
}
