//! The layout of cells.
//!
//! A cell is a run of words in its core's slab:
//!
//! ```text
//!  0        state (lifecycle), written by its core and by the owner of the series
//!  1        first route (high half) and flags (low half), written by its core
//!  2..      bank 0, bank 1
//!
//!  bank     stamp: interval number (high half), points in it (low half)
//!   number             value; time of a gauge, of a delta sum the points without a recorded value
//!   cumulative number  first start, first time, first value, last start, last time, last value, gained,
//!                      newest start, newest time, newest value
//!   explicit           region
//!   cumulative         first start, first time, last start, last time, newest start, ended, then three regions:
//!                      first, last, gained
//!   exponential        likewise with its own region
//!   summary            time, region
//! ```
//!
//! *First* to *last* is what the bank saw of one writer of a cumulative stream, the one with the newest start that
//! this core knows, and *gained* is what it gained between the two (M10). *Newest* is the newest point of any writer,
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
//!
//! A bank belongs to the interval in its stamp; the writer resets it at the first touch in a new one. So merge only
//! reads, and "which of the two banks is newer" is a comparison of stamps.

use crate::aggregate::{explicit, exponential, summary};
use crate::model::{Kind, Temporality};
use std::ops::Range;

/// Word of the lifecycle state.
pub const STATE: usize = 0;
/// Word of route head and flags.
pub const FLAGS: usize = 1;
/// Words before the first bank.
pub const HEAD: usize = 2;

/// Word of a delta sum's bank: how many of its points had no recorded value (M7). A bank of nothing else has no value.
pub const NO_VALUES: usize = 2;

/// Flag: bank `b`'s value is a double.
pub const fn double_flag(bank: usize) -> u64 {
    1 << bank
}
/// Flag: bank `b` saw a reset between first and last.
pub const fn reset_flag(bank: usize) -> u64 {
    4 << bank
}

/// What kind of cell: which words it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Delta sum, or gauge.
    Number,
    /// Cumulative sum.
    CumulativeNumber,
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
            (Kind::Gauge, _) | (Kind::Sum, Temporality::Delta) => Shape::Number,
            (Kind::Summary, _) => Shape::Summary,
            (Kind::Sum, Temporality::Cumulative) => Shape::CumulativeNumber,
            (Kind::Histogram, Temporality::Delta) => Shape::Explicit(buckets),
            (Kind::Histogram, Temporality::Cumulative) => Shape::CumulativeExplicit(buckets),
            (Kind::ExponentialHistogram, Temporality::Delta) => Shape::Exponential,
            (Kind::ExponentialHistogram, Temporality::Cumulative) => Shape::CumulativeExponential,
        }
    }

    /// Words of a histogram's or summary's region; 0 for numbers.
    pub const fn region(self) -> usize {
        match self {
            Shape::Number | Shape::CumulativeNumber => 0,
            Shape::Explicit(b) | Shape::CumulativeExplicit(b) => explicit::HEAD + b as usize,
            Shape::Exponential | Shape::CumulativeExponential => exponential::REGION,
            Shape::Summary => summary::REGION,
        }
    }

    /// Words of one bank.
    pub const fn bank_words(self) -> usize {
        match self {
            Shape::Number => 3,
            Shape::CumulativeNumber => 11,
            Shape::Explicit(_) | Shape::Exponential => 1 + self.region(),
            Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => 7 + 3 * self.region(),
            Shape::Summary => 2 + self.region(),
        }
    }

    /// Words of the whole cell.
    pub const fn words(self) -> usize {
        HEAD + 2 * self.bank_words()
    }

    /// Where bank `b` lies.
    pub const fn bank(self, bank: usize) -> Range<usize> {
        let start = HEAD + bank * self.bank_words();
        start..start + self.bank_words()
    }

    /// Where region `i` (0 first, 1 last, 2 gained; delta and summary: 0) lies in a bank.
    pub const fn region_in_bank(self, i: usize) -> Range<usize> {
        let start = match self {
            Shape::CumulativeExplicit(_) | Shape::CumulativeExponential => 7 + i * self.region(),
            Shape::Summary => 2,
            _ => 1,
        };
        start..start + self.region()
    }

    /// Whether its input is cumulative.
    pub const fn cumulative(self) -> bool {
        matches!(self, Shape::CumulativeNumber | Shape::CumulativeExplicit(_) | Shape::CumulativeExponential)
    }
}

/// Words of the block in which the owner keeps a series' value: two slots, and of a histogram the last point of the chain.
/// A number's value lies in the series itself.
pub const fn block_words(kind: Kind, buckets: u32) -> usize {
    let region = Shape::of(kind, Temporality::Delta, buckets).region();
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram | Kind::ExponentialHistogram => 3 * region,
        Kind::Summary => 2 * region,
    }
}

const _: () = assert!(Shape::Number.words() == 8, "a delta cell is one cache line");
const _: () = assert!(Shape::CumulativeNumber.words() <= 24, "a cell of a cumulative sum is three cache lines");

/// Flag: bank `b` holds a value, not only points without effect.
pub const fn value_flag(bank: usize) -> u64 {
    16 << bank
}

/// Flags that belong to bank `b`.
pub const fn bank_flags(bank: usize) -> u64 {
    double_flag(bank) | reset_flag(bank) | value_flag(bank) | chain_flag(bank) | ended_flag(bank)
}

/// Flag: bank `b` has first, last and gained.
pub const fn chain_flag(bank: usize) -> u64 {
    64 << bank
}

/// Flag: the newest point of bank `b` had no recorded value.
pub const fn ended_flag(bank: usize) -> u64 {
    256 << bank
}

/// Word of a gauge's bank: the time of its newest point.
pub const GAUGE_TIME: usize = 2;
/// Word of a summary's bank: the time of its newest point.
pub const SUMMARY_TIME: usize = 1;

/// Words inside the bank of a cumulative number, after the stamp.
pub mod cumulative {
    /// First start.
    pub const FIRST_START: usize = 1;
    /// First time.
    pub const FIRST_TIME: usize = 2;
    /// First value.
    pub const FIRST_VALUE: usize = 3;
    /// Last start.
    pub const LAST_START: usize = 4;
    /// Last time.
    pub const LAST_TIME: usize = 5;
    /// Last value.
    pub const LAST_VALUE: usize = 6;
    /// Gained from first to last.
    pub const GAINED: usize = 7;
    /// Newest start.
    pub const NEWEST_START: usize = 8;
    /// Newest time, also of a point without a recorded value.
    pub const NEWEST_TIME: usize = 9;
    /// Newest value.
    pub const NEWEST_VALUE: usize = 10;
}

/// Words inside the bank of a cumulative histogram, after the stamp.
pub mod cumulative_region {
    /// First start.
    pub const FIRST_START: usize = 1;
    /// First time.
    pub const FIRST_TIME: usize = 2;
    /// Last start.
    pub const LAST_START: usize = 3;
    /// Last time.
    pub const LAST_TIME: usize = 4;
    /// Start of the last point as it came.
    pub const NEWEST_START: usize = 5;
    /// Time of the newest point without a recorded value.
    pub const ENDED: usize = 6;
}
