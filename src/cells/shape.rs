//! The layout of cells: how many words each shape has, and where its banks lie.
//!
//! ```text
//!  0      state (`lifecycle`), written by the cell's core and by the owner of the series
//!  1      handle, and the line of extremes (`head`), written by its core
//!  2..    bank 0, bank 1
//!
//!  bank   stamp, flags and count (`stamp`), then the words of its shape: one file each
//! ```
//!
//! *First* to *last* is what the bank saw of one writer of a cumulative stream, the one with the newest start that
//! this core knows, since it last began again, and *gained* is what it gained between the two (M10). What was before lies in
//! `sequences`; where there is no room, first to last and gained go over resets (flag `RESET`). *Newest* is the newest point of any writer,
//! whole (M14). Last start is the newest start so far: it goes from bank to bank, and a point without a start does not
//! change it. A bank with a value but without a chain saw only points of writers with older starts: it has their newest
//! point, and nothing else. A histogram keeps no third point for this: there the last region holds it until the first
//! point of the chain comes, and from then on writers with older starts leave no trace but a count.
//!
//! *Ended* (M7): the newest point of a gauge, a summary or a cumulative stream had no recorded value. A gauge or summary
//! then has no value; the time word is that point's. A cumulative sum keeps what it has, the newest time is that
//! point's, and last time is the value's; where the newest value was a second writer's, the last point of the chain
//! stands in its place, and there is none without a chain. A cumulative histogram has a word of its own for the time.
//! A value of no earlier time takes the flag back, also one that leaves no other
//! trace. A delta cell only knows that no point of the interval had a value.

use crate::aggregate::{explicit, exponential, summary};
use crate::model::{Kind, Temporality};
use std::ops::Range;

/// Word of the lifecycle state.
pub(super) const STATE: usize = 0;
/// Word of the handle.
pub(super) const HANDLE: usize = 1;
/// Words before the first bank.
pub(super) const HEAD: usize = 2;

/// What kind of cell: which words it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Delta sum.
    DeltaSum,
    /// Gauge.
    Gauge,
    /// Cumulative sum.
    CumulativeSum,
    /// Delta histogram with so many buckets.
    Explicit(u32),
    /// Cumulative histogram with so many buckets.
    CumulativeExplicit(u32),
    /// Delta exponential histogram.
    Exponential,
    /// Cumulative exponential histogram.
    CumulativeExponential,
    /// Summary.
    Summary,
}

impl Shape {
    /// The shape for an input; `buckets` matters to explicit histograms.
    pub const fn of(kind: Kind, temporality: Temporality, buckets: u32) -> Shape {
        match (kind, temporality) {
            (Kind::Gauge, _) => Shape::Gauge,
            (Kind::Sum, Temporality::Delta) => Shape::DeltaSum,
            (Kind::Summary, _) => Shape::Summary,
            (Kind::Sum, Temporality::Cumulative) => Shape::CumulativeSum,
            (Kind::Histogram, Temporality::Delta) => Shape::Explicit(buckets),
            (Kind::Histogram, Temporality::Cumulative) => Shape::CumulativeExplicit(buckets),
            (Kind::ExponentialHistogram, Temporality::Delta) => Shape::Exponential,
            (Kind::ExponentialHistogram, Temporality::Cumulative) => Shape::CumulativeExponential,
        }
    }

    /// Words of a histogram's or summary's region; 0 for numbers.
    pub const fn region_words(self) -> usize {
        match self {
            Shape::DeltaSum | Shape::Gauge | Shape::CumulativeSum => 0,
            Shape::Explicit(b) | Shape::CumulativeExplicit(b) => explicit::HEAD + b as usize,
            Shape::Exponential | Shape::CumulativeExponential => exponential::REGION,
            Shape::Summary => summary::REGION,
        }
    }

    /// Words of one bank.
    pub(super) const fn bank_words(self) -> usize {
        match self {
            Shape::DeltaSum | Shape::Gauge => 3,
            Shape::CumulativeSum => 11,
            Shape::Explicit(_) | Shape::Exponential => 1 + self.region_words(),
            Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => 7 + 3 * self.region_words(),
            Shape::Summary => 2 + self.region_words(),
        }
    }

    /// Words of the whole cell.
    pub const fn words(self) -> usize {
        HEAD + 2 * self.bank_words()
    }

    /// Where bank `b` lies.
    pub(super) const fn bank(self, bank: usize) -> Range<usize> {
        let words = self.bank_words();
        let start = if bank == 0 { HEAD } else { HEAD + words };
        start..start + words
    }

    /// Where region `i` (0 first, 1 last, 2 gained; delta and summary: 0) lies in a bank.
    pub(super) const fn region_in_bank(self, i: usize) -> Range<usize> {
        let start = match self {
            Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => 7 + i * self.region_words(),
            Shape::Summary => 2,
            _ => 1,
        };
        start..start + self.region_words()
    }

    /// Whether its input is cumulative.
    pub const fn cumulative(self) -> bool {
        matches!(self, Shape::CumulativeSum | Shape::CumulativeExplicit(_) | Shape::CumulativeExponential)
    }
}

const _: () = assert!(Shape::DeltaSum.words() == 8, "a cell of a delta sum or a gauge is one cache line");
const _: () = assert!(Shape::CumulativeSum.words() <= 24, "a cell of a cumulative sum is three cache lines");
