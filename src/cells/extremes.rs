//! The smallest and the largest value of a gauge inside an interval, in a line beside its cell, where a rule asks for them.
//!
//! ```text
//!   0 1 2   bank 0: stamp (interval; flags), smallest, largest        3   intervals in which there was a value
//!   4 5 6   bank 1                                                    7   that number, when somebody asked last
//! ```
//!
//! Banks are those of the cell: its core adds to the open one, the owner of the series reads the closed one. A point without
//! effect adds nothing, and neither does what is no number.
//!
//! A cell has its line from its first point on, where some rule asks for the extremes of gauges and it is not known that none
//! asks for those of its group. Else the owner of the series asks the core for it, at the cut at which it misses it, and the
//! core begins with the value that its open interval has by then. So behind an exchange of rules there is the newest value
//! alone, until the owner has asked and one whole interval has passed: the third interval has all of them. A line goes once
//! nobody asked in `UNASKED_MAX` intervals with values: nobody has to say that a rule is gone, or which group it asked of.
//! What the core puts away so is used again two cuts later, as a dead cell is: its owner may be reading it.
//!
//! ORDERING: the banks' words as in `bank`. Words 3 and 7 are counts that publish nothing: 3 is written by the core, 7 by the
//! owner.

use super::bank::{get, put};
use super::stamp::{interval_of, stamp};
use crate::aggregate::number::{Value, below};
use std::sync::atomic::AtomicU64;

/// Words of the line.
pub const WORDS: usize = 8;

/// Intervals with values, in which nobody asked, after which it goes. The open one is among them, and the one being merged.
const UNASKED_MAX: u64 = 4;

const BANK: usize = 4;
const LOW: usize = 1;
const HIGH: usize = 2;
const TOUCHED: usize = 3;
const ASKED: usize = 7;

/// Flags of a bank: the smallest, the largest is a double.
const DOUBLES: [u64; 2] = [1, 2];

/// Whether somebody asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtremesAsked {
    /// Somebody did not long ago.
    Still,
    /// Nobody does: the line can go.
    NoMore,
}

/// Adds the value of a point to the bank of this interval. The cell's core only.
#[inline]
pub fn add(line: &[AtomicU64], bank: usize, interval: u32, value: Value) -> ExtremesAsked {
    let at = bank * BANK;
    if value.as_f64().is_nan() {
        return ExtremesAsked::Still;
    }
    let word = get(line, at);
    if interval_of(word) != interval {
        let touched = get(line, TOUCHED) + 1;
        put(line, TOUCHED, touched);
        put_value(line, at, 0, value, stamp(interval, 0));
        put_value(line, at, 1, value, get(line, at));
        return if touched - get(line, ASKED) > UNASKED_MAX { ExtremesAsked::NoMore } else { ExtremesAsked::Still };
    }
    if below(value, value_at(line, at, 0)) {
        put_value(line, at, 0, value, word);
    }
    if below(value_at(line, at, 1), value) {
        put_value(line, at, 1, value, get(line, at));
    }
    ExtremesAsked::Still
}

/// The smallest and the largest of a bank, if it has values of this interval.
pub fn of(line: &[AtomicU64], bank: usize, interval: u32) -> Option<(Value, Value)> {
    let at = bank * BANK;
    (interval_of(get(line, at)) == interval).then(|| (value_at(line, at, 0), value_at(line, at, 1)))
}

/// Somebody asks for them. The owner of the series only.
pub fn ask(line: &[AtomicU64]) {
    put(line, ASKED, get(line, TOUCHED));
}

fn value_at(line: &[AtomicU64], at: usize, side: usize) -> Value {
    Value::from_bits(get(line, at + [LOW, HIGH][side]), get(line, at) & DOUBLES[side] != 0)
}

fn put_value(line: &[AtomicU64], at: usize, side: usize, value: Value, word: u64) {
    let flag = if value.is_double() { DOUBLES[side] } else { 0 };
    put(line, at, word & !DOUBLES[side] | flag);
    put(line, at + [LOW, HIGH][side], value.bits());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> [AtomicU64; WORDS] {
        Default::default()
    }

    #[test]
    fn the_smallest_and_the_largest_of_an_interval_are_kept_as_they_came() {
        let line = line();
        let add = |bank, interval, value| assert_eq!(add(&line, bank, interval, value), ExtremesAsked::Still);
        for value in [Value::Int(3), Value::Double(9.5), Value::Double(f64::NAN), Value::Int(-2), Value::Int(4)] {
            add(0, 1, value);
        }
        assert_eq!(of(&line, 0, 1), Some((Value::Int(-2), Value::Double(9.5))));
        add(1, 2, Value::Double(f64::INFINITY));
        assert_eq!(of(&line, 1, 2), Some((Value::Double(f64::INFINITY), Value::Double(f64::INFINITY))));
        assert_eq!(of(&line, 0, 1), Some((Value::Int(-2), Value::Double(9.5))), "the other bank stays");
        assert_eq!((of(&line, 0, 3), of(&line, 1, 3)), (None, None));
        add(0, 3, Value::Double(f64::NAN));
        assert_eq!(of(&line, 0, 3), None, "no number");
        add(0, 3, Value::Int(7));
        assert_eq!(of(&line, 0, 3), Some((Value::Int(7), Value::Int(7))));
    }

    #[test]
    fn it_goes_once_nobody_asked_for_some_intervals_with_values() {
        let line = line();
        let add = |interval: u32| add(&line, interval as usize % 2, interval, Value::Int(1));
        // silent ones in between do not count
        for interval in [1, 7, 13, 19, 25, 31] {
            assert_eq!(add(interval), ExtremesAsked::Still);
            ask(&line);
        }
        let after: Vec<ExtremesAsked> = (40..46).map(add).collect();
        assert_eq!(after.iter().position(|asked| *asked == ExtremesAsked::NoMore), Some(UNASKED_MAX as usize));
    }
}
