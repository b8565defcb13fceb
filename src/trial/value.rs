//! Series and values as tests speak of them, on their way in and on their way out.
//!
//! Does not know: how either is encoded, or written down.

use crate::aggregate::number::Value;
use std::collections::BTreeMap;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// The bits of a double.
    Double(u64),
    /// An `AnyValue` message that is none of these.
    Other(Vec<u8>),
}

/// Who a series is, as far as tests tell series apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesName {
    /// `Metric.name`
    pub metric: String,
    /// Attributes of its points.
    pub attributes: BTreeMap<String, Label>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, Label>,
}

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialValue {
    /// Of a gauge or a sum.
    Number(Value),
    /// Of a histogram of either sort.
    Buckets(Box<Bucketed>),
    /// Of a summary.
    Summary(Summarised),
    /// No recorded value: the series ended (M7).
    End,
}

/// Values counted in buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucketed {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Bounds, if it is explicit.
    pub bounds: Option<Vec<f64>>,
    /// Counts, of an exponential one those of positive values.
    pub counts: Vec<u64>,
    /// `scale`
    pub scale: i32,
    /// Index of the first bucket of positive values.
    pub offset: i32,
    /// Values in the zero bucket.
    pub zero_count: u64,
    /// How wide that is.
    pub zero_threshold: f64,
    /// Index of the first bucket of negative values.
    pub negative_offset: i32,
    /// Counts of negative values.
    pub negative: Vec<u64>,
}

/// A summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summarised {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles and their values.
    pub quantiles: Vec<(f64, f64)>,
}
