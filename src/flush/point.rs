//! What merging a series gives: one point in both views, small enough to be staged.
//!
//! Knows numbers, and where longer values are put; does not know how they came about, or how they are written.

use super::passing::EndsFor;
use crate::aggregate::number::Value;
use crate::aggregate::{exponential, summary};
use crate::model::Kind;

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
    /// An end for those that are not given the series any more, while it goes on.
    pub(super) const fn turned(self, ends: EndsFor) -> StagedPoint {
        // an end has no delta, and no value
        StagedPoint { delta_double: true, value: ends.word(), ..self }
    }

    /// Who is told of it.
    pub(super) const fn ends(&self) -> EndsFor {
        EndsFor::of(self.value)
    }

    /// It is one of these.
    pub(super) const fn is_turned(&self) -> bool {
        self.ended && self.delta_double
    }

    /// The total, of a number.
    pub(super) const fn total(&self) -> Value {
        Value::from_bits(self.value, self.double)
    }

    /// What was added, of a number that has it.
    pub(super) const fn step(&self) -> Option<Value> {
        if self.has_delta && !self.ended { Some(Value::from_bits(self.delta, self.delta_double)) } else { None }
    }

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

/// Bytes of a point beside its attributes: times, one value, and what frames them.
pub(super) const POINT_BYTES: usize = 40;

/// Bytes that a point of this kind takes beside its attributes and one value, about: counts and bounds, packed counts, which
/// are mostly few and small, quantiles.
pub(super) const fn more_bytes(kind: Kind, buckets: u32) -> usize {
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram => 40 + 16 * buckets as usize,
        Kind::ExponentialHistogram => 2 * exponential::REGION,
        Kind::Summary => 10 * (summary::REGION - summary::HEAD),
    }
}
