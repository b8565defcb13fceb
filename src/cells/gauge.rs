//! Gauges: of the points of an interval the newest stays (M17).
//!
//! ```text
//!   1   value
//!   2   time of the newest point, also of one without a recorded value
//! ```
//!
//! Where a rule asks for the smallest and the largest inside an interval, those are beside the cell (`extremes`).
//!
//! Flags: `DOUBLE`, `VALUE`, `ENDED`. The time goes from bank to bank: a point that is not newer than all this core saw
//! changes nothing.

use super::bank::{Added, Bank};
use super::stamp::{DOUBLE, ENDED, VALUE};
use crate::aggregate::number::Value;
use crate::ledger::{Effect, Tally};

const BITS: usize = 1;
const TIME: usize = 2;

#[inline]
pub(super) fn open(bank: Bank<'_>, other: Bank<'_>) {
    bank.keep(other, &[TIME]);
}

/// Adds a point, or one without a recorded value. The newest time wins, ties go to the larger bits, and to a value before
/// none.
pub fn add(bank: Bank<'_>, time: u64, value: Option<Value>, tally: &mut Tally) -> Added {
    bank.count()?;
    let (flags, before) = (bank.flags(), bank.get(TIME));
    let Some(value) = value else {
        return Ok(bank.end_newest(TIME, time, tally));
    };
    let wins_tie = flags & ENDED != 0 || flags & VALUE != 0 && value.bits() > bank.get(BITS);
    if time < before || time == before && !wins_tie {
        return Ok(bank.without_effect(1, Effect::Superseded, tally));
    }
    bank.put(BITS, value.bits());
    bank.put(TIME, time);
    let double = if value.is_double() { DOUBLE } else { 0 };
    bank.put_flags(flags & !(DOUBLE | ENDED) | double | VALUE);
    Ok(None)
}

/// The newest point of a bank.
#[derive(Clone, Copy, Debug)]
pub struct NewestNumber {
    /// Its time; if there is no value, that of the newest point this core knows.
    pub time: u64,
    /// Nothing: no point had an effect, or the newest has no value.
    pub value: Option<Value>,
    /// The newest has no recorded value.
    pub is_ended: bool,
}

/// What the bank holds.
#[inline]
pub fn fold(bank: Bank<'_>) -> NewestNumber {
    let value = bank.has(VALUE).then(|| Value::from_bits(bank.get(BITS), bank.has(DOUBLE)));
    NewestNumber { time: bank.get(TIME), value, is_ended: bank.has(ENDED) }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;
    use crate::limits::BANK_POINTS_MAX;
    use crate::model::Reject;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_full_bank_of_a_gauge_takes_no_more_and_keeps_what_it_has() {
        let (cell, mut tally): ([AtomicU64; Shape::Gauge.words()], _) = (Default::default(), Tally::default());
        crate::cells::open(&cell, Shape::Gauge, 0, 7);
        let bank = Bank::new(&cell, Shape::Gauge, 0);
        assert_eq!(add(bank, 5, Some(Value::Double(1.5)), &mut tally), Ok(None));
        bank.put_points(BANK_POINTS_MAX);
        assert_eq!(add(bank, 6, Some(Value::Int(2)), &mut tally), Err(Reject::CellFull));
        let NewestNumber { time, value, is_ended } = fold(bank);
        assert_eq!((time, value, is_ended), (5, Some(Value::Double(1.5)), false));
        assert_eq!((bank.interval(), bank.points(), tally.emitted()), (7, BANK_POINTS_MAX, 0));
    }
}
