//! What a line of a list may say.
//!
//! Does not know: how it is written.

use crate::aggregate::number::Value as Number;
use crate::rows::RowValue;
use crate::rules::{InputKind, MetricSeen};

/// What is told of a series that came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedSeries {
    /// Its attributes: a run with the key byte of its kind.
    pub attributes: Vec<u8>,
    /// It takes delta input.
    pub has_delta: bool,
    /// It takes cumulative input.
    pub has_cumulative: bool,
    /// The two newest cuts at which it had points, the newer first; 0: there was none.
    pub cuts: [u32; 2],
    /// Time of its newest point, nanoseconds; 0: not known.
    pub time_ns: u64,
    /// Its value, of numbers.
    pub value: Option<Number>,
    /// What rules make of it leaves in its place.
    pub is_hidden: bool,
}

/// What is told of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMetric {
    /// `Metric.name`
    pub name: String,
    /// `Metric.unit`
    pub unit: String,
    /// Its kind.
    pub kind: InputKind,
    /// Bounds of an explicit histogram.
    pub bounds: Vec<f64>,
}

/// How a listing ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ListingEnd {
    /// Series that were told.
    pub series: u64,
    /// The last cut.
    pub cut: u32,
    /// Seconds between cuts.
    pub interval_s: f64,
    /// There were more, and the limit was reached.
    pub has_more: bool,
}

/// What an output of a rule is made of, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct ListedOutput<'a> {
    /// Its metric, under its resource and scope.
    pub metric: MetricSeen<'a>,
    /// Its attributes.
    pub attributes: &'a [u8],
    /// Members that it had when it left last.
    pub members: u32,
    /// Those of them that counted then.
    pub live: u32,
    /// Where its value begins, nanoseconds; 0: nowhere.
    pub start_ns: u64,
    /// Its time, nanoseconds.
    pub time_ns: u64,
    /// Its value.
    pub value: RowValue<'a>,
}

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum ListedLine {
    /// A resource, as a run with the key byte 0x0a, and an `InstrumentationScope` message.
    Place(Vec<u8>, Vec<u8>),
    /// A metric.
    Metric(ListedMetric),
    /// The attributes of a series, as a run with the key byte of its metric's kind, and what is known of it.
    Series(ListedSeries),
    /// The last one.
    End(ListingEnd),
}

/// Key bytes of an `InstrumentationScope`.
pub(super) const SCOPE: [u8; 3] = [0x0a, 0x12, 0x1a];
