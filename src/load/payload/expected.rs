//! Exact totals per metric: what a correct backend must hold when everything that was patched was also delivered.
//!
//! Deliberately does not know how points are made or sent.
//! Invariants: 1. sums are kept in units of 2^-10 in 128 bits, so nothing rounds and nothing wraps; 2. a total is what
//! the series of a metric hold in the end, added up: deltas all they were sent, cumulatives, gauges and summaries
//! their last value (also of series that were dropped).

use super::shape::Shape;
use crate::load::words::decimal;
use std::fmt::Write;

/// The total of one metric over all resources and series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricTotal {
    /// The metric's name.
    pub name: String,
    /// Its kind.
    pub shape: Shape,
    /// Points patched.
    pub points: u64,
    /// Value, or sum of a distribution, in units of 2^-10.
    pub units: i128,
    /// Count of a distribution.
    pub count: i128,
    /// Every bucket; of an exponential histogram the zero bucket first.
    pub buckets: Vec<i128>,
}

impl MetricTotal {
    /// Nothing yet.
    pub fn new(name: &str, shape: Shape) -> Self {
        let buckets = vec![0; shape.buckets()];
        MetricTotal { name: name.to_owned(), shape, points: 0, units: 0, count: 0, buckets }
    }

    /// Adds another total of the same metric.
    pub(crate) fn add(&mut self, other: &MetricTotal) {
        self.points += other.points;
        self.units += other.units;
        self.count += other.count;
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The total as JSON: a number, or an object with count, sum and buckets.
    fn json(&self) -> String {
        if !self.shape.is_distribution() {
            return decimal(self.units);
        }
        let buckets: Vec<String> = self.buckets.iter().map(i128::to_string).collect();
        format!("{{\"count\":{},\"sum\":{},\"buckets\":[{}]}}", self.count, decimal(self.units), buckets.join(","))
    }
}

/// The totals of all metrics of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    metrics: Vec<MetricTotal>,
}

impl Expected {
    /// Totals of these metrics, by number.
    pub fn new(metrics: Vec<MetricTotal>) -> Self {
        Expected { metrics }
    }

    /// All metrics, by number.
    pub fn metrics(&self) -> &[MetricTotal] {
        &self.metrics
    }

    #[inline]
    pub(crate) fn metric_mut(&mut self, index: usize) -> &mut MetricTotal {
        &mut self.metrics[index]
    }

    /// `{metric: total}`.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        for (index, metric) in self.metrics.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}\"{}\":{}", metric.name, metric.json()).expect("strings take everything");
        }
        out + "}"
    }
}
