//! Rows of one Prometheus identity made one.
//!
//! Knows how values of each type come together and how many rows it may hold; does not know where rows come from.
//! Sums, histograms of equal bounds and exponential histograms add; gauges and summaries keep the newest. Integers add exactly (128 bits), a
//! double among them promotes the whole. Where a gauge and a sum meet in one identity, the newest wins.
//!
//! Rows arrive with the 64-bit fingerprint of their labels. A merger takes new fingerprints until it holds its bytes
//! and refuses further ones, which the page brings again in another pass; rows of fingerprints it has are always taken.
//! Labels are compared in full: fingerprints that are equal by chance cost nothing but a place here.
//!
//! Bounds: the bytes given to `new`, and what rows of fingerprints already held add: `limits::PAGE_BOUNDS_MAX` histograms each, and
//! labels of equal fingerprints, which nobody can aim at because the hash is keyed.

use crate::limits;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::aggregate::explicit::ExplicitRegion;
use crate::aggregate::exponential::{Exponential, ExponentialRegion};
use crate::model::Kind;
use crate::prometheus::source::PageRow;
use crate::prometheus::text::Number;
use crate::rows::RowValue;

/// Bytes counted for a row besides its labels, buckets and quantiles.
pub(super) const MERGED_ROW_BYTES: usize = 192;

/// A row made of one or more.
pub(super) struct MergedRow {
    fingerprint: u64,
    /// Attribute labels.
    pub labels: Box<[u8]>,
    /// Start of the longest part; 0 if one is not known.
    pub start_ns: u64,
    parts: Parts,
}

enum Parts {
    Number(NumberParts),
    Histogram(Vec<HistogramParts>),
    Summary { time_ns: u64, count: u64, sum: f64, quantiles: Box<[(f64, f64)]> },
}

struct NumberParts {
    int: i128,
    double: f64,
    any_double: bool,
    any_gauge: bool,
    newest_ns: u64,
    newest: Number,
}

struct HistogramParts {
    bounds: Option<Arc<[f64]>>,
    buckets: Vec<u64>,
    exponential: Option<Box<Exponential>>,
    count: u64,
    sum: Option<f64>,
    /// Cut and time of what changed it last.
    newest: (u32, u64),
    rows: u64,
    overflowed: u64,
}

/// What a merged row shows.
pub(super) enum MergedValue<'a> {
    Number(Number),
    Histogram { bounds: Option<&'a Arc<[f64]>>, buckets: &'a [u64], count: u64, sum: Option<f64> },
    Exponential(&'a Exponential),
    Summary { quantiles: &'a [(f64, f64)], count: u64, sum: f64 },
}

/// What became of the rows given to a merger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MergeLosses {
    /// Rows that vanished into another.
    pub merged: u64,
    /// Rows left out for their bounds.
    pub bounds: u64,
    /// Rows left out because counts would overflow.
    pub overflow: u64,
}

/// Gathers the rows of some fingerprints.
pub(super) struct Merger {
    index: HashTable<u32>,
    pub rows: Vec<MergedRow>,
    bytes: usize,
    bytes_max: usize,
    pub losses: MergeLosses,
}

impl Merger {
    pub(super) fn new(bytes_max: usize) -> Self {
        Merger { index: HashTable::new(), rows: Vec::new(), bytes: 0, bytes_max, losses: MergeLosses::default() }
    }

    /// Whether rows of this fingerprint were taken.
    pub(super) fn holds(&self, fingerprint: u64) -> bool {
        self.index.find(fingerprint, |&i| self.rows[i as usize].fingerprint == fingerprint).is_some()
    }

    /// Takes a row, unless it is full and the fingerprint is new. `kind` and `bounds` are the row's metric's.
    pub(super) fn take(
        &mut self,
        fingerprint: u64,
        labels: &[u8],
        kind: Kind,
        bounds: Option<&Arc<[f64]>>,
        row: &PageRow<'_>,
    ) {
        let Merger { index, rows, .. } = self;
        let known = index
            .find(fingerprint, |&i| rows[i as usize].fingerprint == fingerprint && *rows[i as usize].labels == *labels)
            .copied();
        if let Some(i) = known {
            let before = rows[i as usize].bytes();
            rows[i as usize].add(kind, bounds, row, &mut self.losses);
            // a row may shrink: exponential histograms by downscaling
            self.bytes = self.bytes + rows[i as usize].bytes() - before;
            return;
        }
        if self.bytes >= self.bytes_max && !self.holds(fingerprint) {
            return;
        }
        let merged = MergedRow::new(fingerprint, labels, kind, bounds, row);
        self.bytes += merged.bytes();
        let Merger { index, rows, .. } = self;
        let place = u32::try_from(rows.len()).expect("fewer rows than bytes");
        rows.push(merged);
        index.insert_unique(fingerprint, place, |&i| rows[i as usize].fingerprint);
    }
}

impl MergedRow {
    fn new(fingerprint: u64, labels: &[u8], kind: Kind, bounds: Option<&Arc<[f64]>>, row: &PageRow<'_>) -> Self {
        let (time_ns, newest) = (row.time_ns, (row.cut, row.time_ns));
        let parts = match row.value {
            RowValue::Number(value) => Parts::Number(NumberParts::new(value.into(), kind, time_ns)),
            RowValue::Histogram(region) => Parts::Histogram(vec![HistogramParts::explicit(bounds, region, newest)]),
            RowValue::Exponential(region) => Parts::Histogram(vec![HistogramParts::exponential(region, newest)]),
            RowValue::Summary(region) => Parts::Summary {
                time_ns,
                count: region.count(),
                sum: region.sum(),
                quantiles: region.quantiles().collect(),
            },
            RowValue::Ended(_) => unreachable!("the page lets only values of the family's type through"),
        };
        MergedRow { fingerprint, labels: labels.into(), start_ns: row.start_ns, parts }
    }

    fn bytes(&self) -> usize {
        let inside = match &self.parts {
            Parts::Number(_) => 0,
            Parts::Histogram(parts) => parts.iter().map(HistogramParts::bytes).sum(),
            Parts::Summary { quantiles, .. } => quantiles.len() * 16,
        };
        MERGED_ROW_BYTES + self.labels.len() + inside
    }

    fn add(&mut self, kind: Kind, bounds: Option<&Arc<[f64]>>, row: &PageRow<'_>, losses: &mut MergeLosses) {
        let (time, newest) = (row.time_ns, (row.cut, row.time_ns));
        self.start_ns = self.start_ns.min(row.start_ns);
        match (&mut self.parts, row.value) {
            (Parts::Number(parts), RowValue::Number(value)) => parts.add(value.into(), kind, time),
            (Parts::Histogram(parts), RowValue::Histogram(region)) => {
                return add_histogram(parts, HistogramParts::explicit(bounds, region, newest), losses);
            }
            (Parts::Histogram(parts), RowValue::Exponential(region)) => {
                return add_histogram(parts, HistogramParts::exponential(region, newest), losses);
            }
            (Parts::Summary { time_ns, count, sum, quantiles }, RowValue::Summary(region)) => {
                if (time, region.count(), region.sum().to_bits()) > (*time_ns, *count, sum.to_bits()) {
                    (*time_ns, *count, *sum) = (time, region.count(), region.sum());
                    *quantiles = region.quantiles().collect();
                }
            }
            _ => unreachable!("the page lets only values of the family's type through"),
        }
        losses.merged += 1;
    }

    /// What to write; settles what is lost to other bounds.
    pub(super) fn shown(&self, losses: &mut MergeLosses) -> MergedValue<'_> {
        match &self.parts {
            Parts::Number(parts) => MergedValue::Number(parts.total()),
            Parts::Histogram(parts) => {
                // a delta has no time but its cut; ties: more counts, then more buckets, so that the order of rows does not matter
                let newest = |part: &&HistogramParts| (part.newest, part.count, part.buckets.len());
                let shown = parts.iter().max_by_key(newest).expect("a row has at least one part");
                losses.merged += shown.rows - 1;
                losses.overflow += parts.iter().map(|part| part.overflowed).sum::<u64>();
                losses.bounds += parts.iter().map(|part| part.rows).sum::<u64>() - shown.rows;
                if let Some(value) = &shown.exponential {
                    return MergedValue::Exponential(value);
                }
                let HistogramParts { bounds, buckets, count, sum, .. } = shown;
                MergedValue::Histogram { bounds: bounds.as_ref(), buckets, count: *count, sum: *sum }
            }
            Parts::Summary { count, sum, quantiles, .. } => {
                MergedValue::Summary { quantiles, count: *count, sum: *sum }
            }
        }
    }
}

impl NumberParts {
    fn new(value: Number, kind: Kind, time_ns: u64) -> Self {
        let mut parts = NumberParts {
            int: 0,
            // minus zero is what adding starts from: 0 would turn a lone -0 into 0
            double: -0.0,
            any_double: false,
            any_gauge: false,
            newest_ns: 0,
            newest: value,
        };
        parts.add(value, kind, time_ns);
        parts
    }

    fn add(&mut self, value: Number, kind: Kind, time_ns: u64) {
        match value {
            Number::Int(value) => self.int += i128::from(value),
            Number::Double(value) => {
                self.double += value;
                self.any_double = true;
            }
            Number::Uint(_) | Number::Wide(_) => unreachable!("rows are Int or Double"),
        }
        self.any_gauge |= kind == Kind::Gauge;
        if (time_ns, bits(value)) >= (self.newest_ns, bits(self.newest)) {
            (self.newest_ns, self.newest) = (time_ns, value);
        }
    }

    fn total(&self) -> Number {
        if self.any_gauge {
            self.newest
        } else if !self.any_double {
            Number::Wide(self.int)
        } else if self.int == 0 {
            Number::Double(self.double)
        } else {
            Number::Double(self.int as f64 + self.double)
        }
    }
}

fn bits(value: Number) -> u64 {
    match value {
        Number::Int(value) => (value as f64).to_bits(),
        Number::Double(value) => value.to_bits(),
        Number::Uint(_) | Number::Wide(_) => unreachable!("rows are Int or Double"),
    }
}

impl HistogramParts {
    fn new(bounds: Option<&Arc<[f64]>>, buckets: &[u64], count: u64, sum: Option<f64>, newest: (u32, u64)) -> Self {
        // without buckets to show, all bounds are the same
        let bounds = bounds.filter(|bounds| !bounds.is_empty() && buckets.len() == bounds.len() + 1).cloned();
        let buckets = if bounds.is_some() { buckets.to_vec() } else { Vec::new() };
        HistogramParts { bounds, buckets, exponential: None, count, sum, newest, rows: 1, overflowed: 0 }
    }

    fn explicit(bounds: Option<&Arc<[f64]>>, region: ExplicitRegion<'_>, newest: (u32, u64)) -> Self {
        HistogramParts::new(bounds, region.buckets(), region.count(), region.sum(), newest)
    }

    fn exponential(region: ExponentialRegion<'_>, newest: (u32, u64)) -> Self {
        let mut value = Exponential::default();
        region.load_into(&mut value);
        HistogramParts {
            exponential: Some(Box::new(value)),
            ..HistogramParts::new(None, &[], region.count(), None, newest)
        }
    }

    fn bytes(&self) -> usize {
        let exponential = self.exponential.as_ref();
        let sides = exponential
            .map_or(0, |e| size_of::<Exponential>() + 8 * (e.positive.counts.len() + e.negative.counts.len()));
        MERGED_ROW_BYTES + self.buckets.len() * 8 + sides
    }

    fn same_bounds(&self, other: &Self) -> bool {
        if self.exponential.is_some() || other.exponential.is_some() {
            return self.exponential.is_some() && other.exponential.is_some();
        }
        match (&self.bounds, &other.bounds) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.iter().eq(b.iter()),
            (None, None) => true,
            _ => false,
        }
    }
}

fn add_histogram(parts: &mut Vec<HistogramParts>, row: HistogramParts, losses: &mut MergeLosses) {
    let Some(part) = parts.iter_mut().find(|part| part.same_bounds(&row)) else {
        parts.push(row);
        if parts.len() > limits::PAGE_BOUNDS_MAX {
            let oldest = (0..parts.len()).min_by_key(|&i| parts[i].newest).expect("there are parts");
            losses.bounds += parts.swap_remove(oldest).rows;
        }
        return;
    };
    if let (Some(mine), Some(more)) = (&mut part.exponential, row.exponential) {
        if mine.merge(&more) {
            part.overflowed += 1;
            return;
        }
        part.newest = part.newest.max(row.newest);
        (part.count, part.rows) = (mine.count, part.rows + 1);
        return;
    }
    // the count is the sum of the buckets: while it fits, they do
    let Some(count) = part.count.checked_add(row.count) else {
        part.overflowed += 1;
        return;
    };
    part.count = count;
    for (bucket, more) in part.buckets.iter_mut().zip(&row.buckets) {
        *bucket = bucket.saturating_add(*more);
    }
    part.sum = part.sum.zip(row.sum).map(|(a, b)| a + b);
    part.newest = part.newest.max(row.newest);
    part.rows += 1;
}
