//! One worked example: a configuration, points with times, and what must leave.
//!
//! Does not know: how it is written down, or how it is run.

use crate::aggregate::number::Value;
use crate::config::tree::{TextPlace, TreeNode};
use crate::fold::Notes;
use crate::ledger::Effect;
use crate::model::{Discard, Temporality};
use crate::rules::InputKind;
use crate::trial::point::InputStream;
use crate::trial::value::SeriesName;
use std::sync::Arc;

/// See the file's head. Times are nanoseconds since 1970.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The file it stands in.
    pub file: Arc<str>,
    /// Where it begins there.
    pub at: TextPlace,
    /// Settings and rules.
    pub configured: Configured,
    /// Other rules that come into force while it runs, one after the other.
    pub reloads: Vec<Reload>,
    /// When the process starts.
    pub started_ns: u64,
    /// Cores.
    pub cores: usize,
    /// The cuts, where they are not one at every interval's end.
    pub cuts: Option<Vec<u64>>,
    /// There are cuts up to this time at least.
    pub until_ns: u64,
    /// When the process ends, if it does: with a cut.
    pub ends_ns: Option<u64>,
    /// What comes in.
    pub streams: Vec<InputStream>,
    /// What must leave.
    pub(super) expected: Vec<ExpectedSeries>,
    /// What must have been counted in the end.
    pub(super) counters: Vec<ExpectedCounter>,
    /// Series that it does not speak of may leave, too.
    pub(super) ignores_others: bool,
}

/// What a case gives for settings.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// Files, each with its name, or what stands in the case itself.
    pub trees: Vec<(String, TreeNode)>,
    /// Flags that it sets, as `run` calls them, and where.
    pub flags: Vec<(&'static str, TextPlace, String)>,
}

/// Other rules.
#[derive(Clone, Debug)]
pub struct Reload {
    /// Where it says so.
    pub at: TextPlace,
    /// The last cut under the rules before.
    pub cut_ns: u64,
    /// Their settings; of those that are not of rules nothing changes.
    pub configured: Configured,
}

/// What must leave of a series in one view.
#[derive(Clone, Debug)]
pub(super) struct ExpectedSeries {
    pub view: Temporality,
    pub series: SeriesName,
    pub kind: Option<InputKind>,
    pub unit: Option<String>,
    pub scope: Option<(String, String)>,
    pub rows: Vec<ExpectedRow>,
}

/// At one cut.
#[derive(Clone, Debug)]
pub(super) struct ExpectedRow {
    pub at: TextPlace,
    pub cut_ns: u64,
    pub start_ns: Option<u64>,
    pub time_ns: Option<u64>,
    pub value: ExpectedValue,
}

/// What is said of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExpectedValue {
    /// The series ended.
    End,
    Number(ExpectedNumber),
    Parts(Box<ExpectedParts>),
}

/// A number, as exactly as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExpectedNumber {
    /// Just that: a whole number may leave as a double of the same value.
    Exact(Value),
    /// That, rounded to the digits that are written.
    Rounded { value: f64, half_unit: f64, text: String },
}

/// What is said of a histogram or summary; the rest may be anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ExpectedParts {
    pub count: Option<u64>,
    pub sum: Option<ExpectedNumber>,
    pub min: Option<ExpectedNumber>,
    pub max: Option<ExpectedNumber>,
    pub bounds: Option<Vec<f64>>,
    pub counts: Option<Vec<u64>>,
    pub scale: Option<i32>,
    pub offset: Option<i32>,
    pub zero: Option<u64>,
    pub zero_threshold: Option<f64>,
    pub negative_offset: Option<i32>,
    pub negative: Option<Vec<u64>>,
    pub quantiles: Option<Vec<(f64, f64)>>,
}

impl ExpectedParts {
    /// Names of the parts that are said.
    pub(super) fn said(&self) -> impl Iterator<Item = &'static str> + use<> {
        let all = [
            ("count", self.count.is_some()),
            ("sum", self.sum.is_some()),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("bounds", self.bounds.is_some()),
            ("counts", self.counts.is_some()),
            ("scale", self.scale.is_some()),
            ("offset", self.offset.is_some()),
            ("zero", self.zero.is_some()),
            ("zero_threshold", self.zero_threshold.is_some()),
            ("negative", self.negative.is_some() || self.negative_offset.is_some()),
            ("quantiles", self.quantiles.is_some()),
        ];
        all.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name)
    }

    /// The first of them that no point of this kind has.
    pub(super) fn foreign_to(&self, kind: InputKind) -> Option<&'static str> {
        let own: &[&str] = match kind {
            InputKind::Counter | InputKind::UpDownCounter | InputKind::Gauge => &[],
            InputKind::Histogram => &["count", "sum", "min", "max", "bounds", "counts"],
            InputKind::ExponentialHistogram => {
                &["count", "sum", "min", "max", "counts", "scale", "offset", "zero", "zero_threshold", "negative"]
            }
            InputKind::Summary => &["count", "sum", "quantiles"],
        };
        self.said().find(|part| !own.contains(part))
    }

    /// The first that is rounded.
    pub(super) fn rounded(&self) -> Option<&'static str> {
        let numbers = [("sum", &self.sum), ("min", &self.min), ("max", &self.max)];
        let is_rounded = |number: &Option<ExpectedNumber>| matches!(number, Some(ExpectedNumber::Rounded { .. }));
        numbers.into_iter().find(|(_, number)| is_rounded(number)).map(|(name, _)| name)
    }
}

/// Something counted.
#[derive(Clone, Debug)]
pub(super) struct ExpectedCounter {
    pub at: TextPlace,
    pub counter: Counted,
    pub value: u64,
}

/// What is counted of the points that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Received,
    Applied,
    Rejected,
    Discarded(Discard),
    Effect(Effect),
    /// By number, as in `Note::NAMES`; of ints and counts that overflow, those of rules are among them.
    Note(usize),
    /// By number, as in `NOTICED`.
    Noticed(usize),
}

/// What rules notice, over all of them.
pub(super) const NOTICED: [(&str, fn(&Notes) -> u64); 5] = [
    ("not_finite", |notes| notes.not_finite),
    ("no_sum", |notes| notes.no_sum),
    ("no_extremes", |notes| notes.no_extremes),
    ("mixed_bounds", |notes| notes.mixed_bounds),
    ("unbounded_rebucketed", |notes| notes.unbounded_rebucketed),
];
