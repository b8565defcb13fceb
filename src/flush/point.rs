//! What merging a series gives: one point in both views, small enough to be staged.
//!
//! Knows numbers, and where longer values are put; does not know how they came about, or how they are written.

use crate::aggregate::number::Value;

/// A staged point: both views of one series' value at a cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StagedPoint {
    /// Place in its group's list.
    pub series: u32,
    /// Where its histogram regions begin in the batch's words: cumulative, then delta.
    pub words: u32,
    /// Where its exemplars are (`exemplars::Gathering`); 0: nowhere.
    pub exemplars: u32,
    /// StagedPoint time.
    pub time: u64,
    /// Start of the cumulative view.
    pub start: u64,
    /// Bits of the cumulative value (or the gauge).
    pub value: u64,
    /// Bits of the delta value.
    pub delta: u64,
    /// `value` is a double.
    pub double: bool,
    /// `delta` is a double.
    pub delta_double: bool,
    /// There is a delta.
    pub has_delta: bool,
    /// No recorded value: the series ended (M7).
    pub ended: bool,
}

impl StagedPoint {
    /// A number.
    pub(super) fn number(value: Value, delta: Option<Value>) -> StagedPoint {
        StagedPoint {
            value: value.bits(),
            double: value.is_double(),
            delta: delta.map_or(0, Value::bits),
            delta_double: delta.is_some_and(Value::is_double),
            has_delta: delta.is_some(),
            ..StagedPoint::default()
        }
    }
}
