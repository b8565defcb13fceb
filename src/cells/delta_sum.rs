//! Delta sums: the points of an interval are added.
//!
//! ```text
//!   1   sum
//!   2   points without a recorded value (M7): a bank of nothing else has no value
//! ```
//!
//! Its cell is one line; the functions that a point passes take it as that, so that no word of it is looked for twice.
//! Flags: `DOUBLE`.

use super::bank::{ALL, Bank, DOUBLE, get, put};
use super::lifecycle::{self, Touch};
use super::shape::{FLAGS, HEAD, STATE, Shape};
use super::stamp::{interval_of, points_of, stamp};
use crate::aggregate::number::Value;
use crate::ledger::{Note, Tally};
use crate::model::Reject;
use std::sync::atomic::AtomicU64;

const SUM: usize = 1;
const NO_VALUES: usize = 2;

/// A cell.
pub type Words = [AtomicU64; Shape::DeltaSum.words()];

/// Where a bank begins; the compiler sees that it lies in the line.
#[inline]
const fn place(bank: usize) -> usize {
    HEAD + Shape::DeltaSum.bank_words() * (bank & 1)
}

/// Whether the bank is open for this interval.
#[inline]
pub fn is_open(cell: &Words, bank: usize, interval: u32) -> bool {
    interval_of(get(cell, place(bank))) == interval
}

/// Opens a bank for an interval.
#[inline]
pub fn open(cell: &Words, bank: usize, interval: u32) -> Touch {
    let at = place(bank);
    put(cell, at + SUM, 0);
    put(cell, at + NO_VALUES, 0);
    put(cell, FLAGS, get(cell, FLAGS) & !(ALL << (bank & 1)));
    lifecycle::touch(&cell[at], stamp(interval, 0), &cell[STATE])
}

/// Adds a point.
#[inline]
pub fn add(cell: &Words, bank: usize, bits: u64, is_double: bool, tally: &mut Tally) -> Result<(), Reject> {
    let at = place(bank);
    let word = get(cell, at);
    if points_of(word) == u32::MAX {
        return Err(Reject::CellFull);
    }
    put(cell, at, word + 1);
    let was_double = get(cell, FLAGS) & (DOUBLE << (bank & 1)) != 0;
    if is_double && was_double {
        let sum = f64::from_bits(get(cell, at + SUM)) + f64::from_bits(bits);
        put(cell, at + SUM, sum.to_bits());
        return Ok(());
    }
    if !is_double
        && !was_double
        && let Some(sum) = (get(cell, at + SUM) as i64).checked_add(bits as i64)
    {
        put(cell, at + SUM, sum as u64);
        return Ok(());
    }
    promote(Bank::new(cell, Shape::DeltaSum, bank), Value::from_bits(bits, is_double), tally);
    Ok(())
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

/// Adds a point without a recorded value.
#[cold]
pub fn add_without_value(bank: Bank<'_>, tally: &mut Tally) -> Result<(), Reject> {
    bank.count()?;
    tally.note(Note::NoRecordedValue, 1);
    bank.put(NO_VALUES, bank.get(NO_VALUES) + 1);
    Ok(())
}

/// The sum; nothing if no point had a value.
#[inline]
pub fn fold(bank: Bank<'_>) -> Option<Value> {
    (bank.points() != bank.get(NO_VALUES)).then(|| Value::from_bits(bank.get(SUM), bank.has(DOUBLE)))
}
