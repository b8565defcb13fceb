//! Exact totals of every single series: what `--verify` compares with the sink, so that errors of opposite sign in two
//! series of one metric cannot cancel.
//!
//! Deliberately does not know how points are patched: it reads the bytes that are about to leave, so it vouches for
//! them and not for the patcher. Series are numbered densely, and every point of a plan carries its series' number.
//! Invariants: 1. of a delta every point adds, of all other kinds the point with the newest time counts (equal times: the
//! later one); 2. sums are kept in units of 2^-10 in 128 bits, so nothing rounds.
//! Bounds: `limits::VERIFY_SERIES_MAX` series; what is born past it is counted in `untracked` and makes a run unverifiable.

use super::shape::{Attribute, EXPONENTIAL_BUCKETS, HISTOGRAM_BOUNDS, Layout, Shape};
use crate::limits::VERIFY_SERIES_MAX;
use crate::load::bytes::get;

/// The number of a point whose series is not tracked.
pub(crate) const UNTRACKED: u32 = u32::MAX;

pub(crate) struct Series {
    pub(crate) resource: u32,
    pub(crate) metric: u32,
    pub(crate) id: u32,
    /// Its buckets' place in `SeriesTotals::buckets`.
    pub(crate) buckets: u32,
    /// The newest time; 0: no point was sent.
    pub(crate) time_ns: u64,
    pub(crate) units: i128,
    pub(crate) count: u64,
}

/// See the module.
pub struct SeriesTotals {
    pub(crate) metrics: Vec<(String, Shape)>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) series: Vec<Series>,
    pub(crate) buckets: Vec<u64>,
    /// Series past the limit.
    pub untracked: u64,
}

impl SeriesTotals {
    pub(crate) fn new(metrics: Vec<(String, Shape)>, attributes: Vec<Attribute>) -> Self {
        SeriesTotals { metrics, attributes, series: Vec::new(), buckets: Vec::new(), untracked: 0 }
    }

    /// A new series; its number, or [`UNTRACKED`].
    pub(crate) fn birth(&mut self, resource: u32, metric: u32, id: u32) -> u32 {
        if self.series.len() >= VERIFY_SERIES_MAX {
            self.untracked += 1;
            return UNTRACKED;
        }
        let buckets = self.buckets.len() as u32;
        self.buckets.resize(self.buckets.len() + self.metrics[metric as usize].1.buckets(), 0);
        self.series.push(Series { resource, metric, id, buckets, time_ns: 0, units: 0, count: 0 });
        (self.series.len() - 1) as u32
    }

    /// A point of a series as it leaves.
    pub(crate) fn sent(&mut self, number: u32, shape: Shape, layout: &Layout, point: &[u8]) {
        let Some(series) = self.series.get_mut(number as usize) else { return };
        let time_ns = get(point, layout.time);
        if !shape.is_delta() && time_ns < series.time_ns {
            return;
        }
        series.time_ns = series.time_ns.max(time_ns);
        if !shape.is_delta() {
            (series.units, series.count) = (0, 0);
        }
        let value = get(point, layout.value);
        series.units += match shape {
            Shape::DeltaSum | Shape::CumulativeSum | Shape::Gauge => i128::from(value as i64) << 10,
            _ => (f64::from_bits(value) * 1024.0) as i128,
        };
        if shape.is_distribution() {
            series.count += get(point, layout.count);
        }
        let buckets = &mut self.buckets[series.buckets as usize..][..shape.buckets()];
        for (index, bucket) in buckets.iter_mut().enumerate() {
            let count = layout.bucket(shape, point, index);
            *bucket = if shape.is_delta() { *bucket + count } else { count };
        }
    }

    /// What the series of each metric come to together, in the metrics' order: units, count.
    #[cfg(test)]
    pub(crate) fn by_metric(&self) -> Vec<(i128, i128)> {
        let mut out = vec![(0, 0); self.metrics.len()];
        for series in &self.series {
            let of = &mut out[series.metric as usize];
            *of = (of.0 + series.units, of.1 + i128::from(series.count));
        }
        out
    }
}

// An exponential histogram has the most buckets.
const _: () = assert!(HISTOGRAM_BOUNDS.len() < EXPONENTIAL_BUCKETS);
const _: () = assert!(VERIFY_SERIES_MAX * (EXPONENTIAL_BUCKETS + 1) < UNTRACKED as usize);
