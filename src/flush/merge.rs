//! The arithmetic: what cores closed of one series, and what it held, become one point in both views.
//!
//! Knows which kind has which arithmetic; does not know where series stand, which come next, or what becomes of a point.

use super::histograms::HistogramMerge;
use super::merging::Merging;
use super::newest::{self, Inside, SummaryMerge};
use super::point::StagedPoint;
use super::sums::SumMerge;
use crate::ledger::Tally;
use crate::model::Kind;
use crate::series::Series;
use crate::series::slab::SlabWriter;

/// Merges series, one after the other; keeps the memory that takes.
#[derive(Default)]
pub(super) struct Merge {
    sums: SumMerge,
    histograms: HistogramMerge,
    summaries: SummaryMerge,
    /// The end of the series merged last, if it ended.
    end: Option<StagedPoint>,
    /// What it has inside the interval, if it is a gauge and a rule asks.
    inside: Inside,
}

impl Merge {
    /// Merges a series: its point, if it was touched to effect. Long values are added to `words`.
    #[inline(always)]
    pub(super) fn merge(
        &mut self,
        merging: Merging<'_>,
        series: &Series,
        (slab, words): (&mut SlabWriter, &mut Vec<u64>),
        tally: &mut Tally,
    ) -> Option<StagedPoint> {
        let Merge { sums, histograms, summaries, end, inside } = self;
        match series.group.kind {
            Kind::Gauge => newest::gauge(merging, series, (end, inside), tally),
            Kind::Summary => summaries.merge(merging, series, (slab, words), end, tally),
            Kind::Sum => sums.merge(merging, series, end, tally),
            Kind::Histogram | Kind::ExponentialHistogram => {
                histograms.merge(merging, series, (slab, words), end, tally)
            }
        }
    }

    /// What the gauge merged last has inside the interval, once.
    pub(super) fn take_inside(&mut self) -> Inside {
        std::mem::take(&mut self.inside)
    }

    /// The series merged last ended: `take_end` says how.
    pub(super) const fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// What says so, to be staged behind the point of its last values.
    pub(super) fn take_end(&mut self) -> Option<StagedPoint> {
        self.end.take()
    }
}
