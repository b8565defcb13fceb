//! Delta sums: the points of an interval are added.
//!
//! ```text
//!   1   sum
//!   2   points without a recorded value (M7): a bank of nothing else has no value
//! ```
//!
//! Its cell is one line; the functions that a point passes take it as that, so that no word of it is looked for twice.
//! Flags: `DOUBLE`. A full bank settles its points, which have had their effect, and goes on.

use super::bank::{Bank, get, put};
use super::lifecycle::{self, Touch};
use super::shape::{HEAD, STATE, Shape};
use super::stamp::{DOUBLE, interval_of, points_of, stamp};
use crate::aggregate::number::Value;
use crate::ledger::{Effect, Note, Tally};
use crate::limits::BANK_POINTS_MAX;
use std::sync::atomic::AtomicU64;

const SUM: usize = 1;
const NO_VALUES: usize = 2;

/// A cell.
pub type DeltaSumCell = [AtomicU64; Shape::DeltaSum.words()];

/// Where a bank begins; the compiler sees that it lies in the line.
#[inline]
const fn place(bank: usize) -> usize {
    HEAD + Shape::DeltaSum.bank_words() * (bank & 1)
}

/// Whether the bank is open for this interval.
#[inline]
pub fn is_open(cell: &DeltaSumCell, bank: usize, interval: u32) -> bool {
    interval_of(get(cell, place(bank))) == interval
}

/// Opens a bank for an interval.
#[inline]
pub fn open(cell: &DeltaSumCell, bank: usize, interval: u32) -> Touch {
    let at = place(bank);
    put(cell, at + SUM, 0);
    put(cell, at + NO_VALUES, 0);
    lifecycle::touch(&cell[at], stamp(interval, 0), &cell[STATE])
}

/// Adds a point.
#[inline]
pub fn add(cell: &DeltaSumCell, bank: usize, bits: u64, is_double: bool, tally: &mut Tally) {
    let at = place(bank);
    let mut word = get(cell, at);
    if points_of(word) == BANK_POINTS_MAX {
        make_room(Bank::new(cell, Shape::DeltaSum, bank), tally);
        word = get(cell, at);
    }
    put(cell, at, word + 1);
    let was_double = word & DOUBLE != 0;
    if is_double && was_double {
        let sum = f64::from_bits(get(cell, at + SUM)) + f64::from_bits(bits);
        put(cell, at + SUM, sum.to_bits());
        return;
    }
    if !is_double
        && !was_double
        && let Some(sum) = (get(cell, at + SUM) as i64).checked_add(bits as i64)
    {
        put(cell, at + SUM, sum as u64);
        return;
    }
    promote(Bank::new(cell, Shape::DeltaSum, bank), Value::from_bits(bits, is_double), tally);
}

/// An int meets a double, or leaves 64 bits: the bank is a double from now on.
#[cold]
#[inline(never)]
fn promote(bank: Bank<'_>, value: Value, tally: &mut Tally) {
    let (sum, overflow) = Value::from_bits(bank.get(SUM), bank.has(DOUBLE)).add(value);
    tally.note(Note::IntOverflow, u64::from(overflow));
    bank.put(SUM, sum.as_f64().to_bits());
    bank.put_flags(bank.flags() | DOUBLE);
}

/// The bank is full: settles all but one point with a value, if there is any, and one without.
#[cold]
#[inline(never)]
fn make_room(bank: Bank<'_>, tally: &mut Tally) {
    let none = bank.get(NO_VALUES);
    let kept = none.min(1) + (bank.points() - none).min(1);
    bank.settle(bank.points() - kept, Effect::WithEffect, tally);
    bank.put(NO_VALUES, none.min(1));
}

/// Adds a point without a recorded value.
#[cold]
pub fn add_without_value(bank: Bank<'_>, tally: &mut Tally) {
    if bank.points() == BANK_POINTS_MAX {
        make_room(bank, tally);
    }
    bank.put_points(bank.points() + 1);
    tally.note(Note::NoRecordedValue, 1);
    bank.put(NO_VALUES, bank.get(NO_VALUES) + 1);
}

/// The sum; nothing if no point had a value.
#[inline]
pub fn fold(bank: Bank<'_>) -> Option<Value> {
    let stamp = bank.get(0);
    (points_of(stamp) != bank.get(NO_VALUES)).then(|| Value::from_bits(bank.get(SUM), stamp & DOUBLE != 0))
}

#[cfg(test)]
mod tests {
    use super::super::stamp::stamp;
    use super::*;

    /// A full bank goes on: what was counted is emitted with effect, and the sum, and whether there is one, stay.
    #[test]
    fn a_full_bank_of_a_delta_settles_its_points_and_goes_on() {
        for (values, is_double) in [(true, false), (true, true), (false, false)] {
            let (cell, mut tally) = (DeltaSumCell::default(), Tally::default());
            assert_eq!(open(&cell, 1, 7), Touch::Live);
            let bank = Bank::new(&cell, Shape::DeltaSum, 1);
            let add = |tally: &mut Tally| match values {
                true => add(&cell, 1, if is_double { 0.5f64.to_bits() } else { 1 }, is_double, tally),
                false => add_without_value(bank, tally),
            };
            add(&mut tally);
            // as if the others had come before
            put(&cell, place(1), stamp(7, BANK_POINTS_MAX as u32) | bank.flags());
            if !values {
                bank.put(NO_VALUES, BANK_POINTS_MAX);
            }
            add(&mut tally);
            add(&mut tally);
            let sum = if is_double { Value::Double(1.5) } else { Value::Int(3) };
            assert_eq!(fold(bank), values.then_some(sum));
            assert_eq!((bank.interval(), bank.points()), (7, 3));
            assert_eq!(tally.settled(Effect::WithEffect), BANK_POINTS_MAX - 1);
            // a point of the other kind comes after the bank was full
            add_without_value(bank, &mut tally);
            assert_eq!((fold(bank), bank.points()), (values.then_some(sum), 4));
        }
    }
}
