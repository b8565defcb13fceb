//! Rows: what a cut gives of each series, for any format to write.
//!
//! Knows resources, scopes, metrics and points as they leave, in both views; does not know how a row is written, who
//! takes it, or where its words lie (series, cells).
//!
//! Invariants
//! 1. Metrics of one resource stand together, and of those the metrics of one scope: each is written once.
//! 2. Rows are the same, in the same order, however often they are asked for: a writer may measure first.

use crate::aggregate::{explicit, exponential, number, summary};
use crate::model::{Kind, Temporality};

/// What the points of a metric have in common.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    /// Tells the resources of some rows apart.
    pub resource_number: u32,
    /// The `Resource` message (OTLP 1.x, resource.proto), as it came; empty if there was none.
    pub resource: &'a [u8],
    /// `ResourceMetrics.schema_url`
    pub resource_schema_url: &'a str,
    /// Tells the scopes of a resource apart.
    pub scope_number: u32,
    /// The `InstrumentationScope` message (OTLP 1.x, common.proto), as it came; empty if there was none.
    pub scope: &'a [u8],
    /// `ScopeMetrics.schema_url`
    pub scope_schema_url: &'a str,
    /// `Metric.name`
    pub name: &'a str,
    /// `Metric.unit`
    pub unit: &'a str,
    /// `Metric.description`
    pub description: &'a str,
    /// Data kind.
    pub kind: Kind,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Bounds of an explicit histogram.
    pub bounds: &'a [f64],
    /// Its running totals leave, whatever view is asked for.
    pub is_total: bool,
}

impl Metric<'_> {
    /// The temporality with which it leaves in a view: gauges and summaries have none, and sums that may fall are always
    /// cumulative (metric exporters' specification), as are totals that a rule asks for.
    #[inline]
    pub fn temporality(&self, view: Temporality) -> Option<Temporality> {
        match self.kind {
            Kind::Gauge | Kind::Summary => None,
            Kind::Sum if !self.monotonic || self.is_total => Some(Temporality::Cumulative),
            Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram => Some(view),
        }
    }
}

/// A value of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowValue<'a> {
    /// Of a gauge or a sum.
    Number(number::Value),
    /// Of an explicit histogram.
    Histogram(explicit::ExplicitRegion<'a>),
    /// Of an exponential histogram.
    Exponential(exponential::ExponentialRegion<'a>),
    /// Of a summary.
    Summary(summary::SummaryRegion<'a>),
    /// No recorded value: the series ended (M7). A summary shows the quantiles that it had, with values of 0.
    Ended(Option<summary::SummaryRegion<'a>>),
}

/// One series at one cut, in one view.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Attributes as records one after the other: the key byte that points of this kind have for them in OTLP, a length, a
    /// `KeyValue` message.
    pub attributes: &'a [u8],
    /// Where the value begins: of a delta the cut's window, else the running total; 0: none, or not known.
    pub start_ns: u64,
    /// Point time.
    pub time_ns: u64,
    /// What the cut's window added, the running total, or the newest value where there is no total.
    pub value: RowValue<'a>,
    /// Exemplars of the window, oldest first, as records: the key byte that points of this kind have for them in OTLP, a
    /// length, an `Exemplar` message.
    pub exemplars: &'a [u8],
}

/// Some rows of one cut, metric by metric, in both views.
pub trait Rows {
    /// How many metrics there are.
    fn metrics(&self) -> usize;
    /// Metric `number`, counted from 0.
    fn metric(&self, number: usize) -> Metric<'_>;
    /// Calls `visit` with each of its rows that the view has; what it has depends on [`Metric::temporality`].
    fn each(&self, number: usize, view: Temporality, visit: impl FnMut(Row<'_>));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_leaves_with_the_views_temporality_where_it_may() {
        let metric = |kind, monotonic| Metric {
            resource_number: 0,
            resource: b"",
            resource_schema_url: "",
            scope_number: 0,
            scope: b"",
            scope_schema_url: "",
            name: "m",
            unit: "",
            description: "",
            kind,
            monotonic,
            bounds: &[],
            is_total: false,
        };
        use Temporality::{Cumulative, Delta};
        for (kind, monotonic, delta) in [
            (Kind::Gauge, false, None),
            (Kind::Summary, false, None),
            (Kind::Sum, true, Some(Delta)),
            (Kind::Sum, false, Some(Cumulative)),
            (Kind::Histogram, false, Some(Delta)),
            (Kind::ExponentialHistogram, false, Some(Delta)),
        ] {
            let metric = metric(kind, monotonic);
            assert_eq!(metric.temporality(Delta), delta, "{kind:?}");
            assert_eq!(metric.temporality(Cumulative), delta.map(|_| Cumulative), "{kind:?}");
            let total = Metric { is_total: true, ..metric };
            assert_eq!(total.temporality(Cumulative), delta.map(|_| Cumulative), "{kind:?}");
        }
    }
}
