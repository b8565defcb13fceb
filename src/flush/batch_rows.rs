//! A batch read as rows.
//!
//! Knows what a staged point refers to: a series in a tree, or an output; does not know how rows are written, or where they
//! go.

use super::batch::{Batch, Section};
use super::exemplars::Gathering;
use super::outputs::Outputs;
use super::point::StagedPoint;
use super::tree::Tree;
use crate::aggregate::number::Value;
use crate::aggregate::{explicit, exponential as exp, summary};
use crate::cells::block::region_words;
use crate::model::{Kind, Temporality};
use crate::rows::{self, Metric, Row, Rows};
use crate::series::Series;
use std::sync::Arc;

/// A batch and what its points refer to.
pub(super) struct BatchRows<'a> {
    batch: &'a Batch,
    /// Where its points' regions are.
    regions: &'a [u64],
    tree: &'a Tree,
    exemplars: &'a Gathering,
    /// Whose places points of outputs have.
    outputs: Option<&'a Outputs>,
    /// Start and time of what the cut added.
    window: (u64, u64),
}

impl<'a> BatchRows<'a> {
    /// Of series in a tree. The points are some of a batch that has their `regions`.
    pub(super) fn new(
        (batch, regions): (&'a Batch, &'a [u64]),
        tree: &'a Tree,
        exemplars: &'a Gathering,
        window: (u64, u64),
    ) -> BatchRows<'a> {
        BatchRows { batch, regions, tree, exemplars, outputs: None, window }
    }

    /// Of outputs.
    pub(super) fn of_outputs(
        (batch, regions): (&'a Batch, &'a [u64]),
        outputs: &'a Outputs,
        exemplars: &'a Gathering,
        window: (u64, u64),
    ) -> BatchRows<'a> {
        BatchRows { batch, regions, tree: outputs.tree(), exemplars, outputs: Some(outputs), window }
    }

    /// A view of a point, of a metric whose regions have so many words.
    #[inline(always)]
    fn value(&self, kind: Kind, length: usize, is_delta: bool, point: &StagedPoint) -> rows::RowValue<'a> {
        let region = || {
            let from = point.words as usize + if is_delta { length } else { 0 };
            &self.regions[from..from + length]
        };
        match kind {
            Kind::Summary if point.ended => rows::RowValue::Ended(Some(summary::SummaryRegion::new(region()))),
            _ if point.ended => rows::RowValue::Ended(None),
            Kind::Gauge | Kind::Sum => {
                let (bits, double) =
                    if is_delta { (point.delta, point.delta_double) } else { (point.value, point.double) };
                rows::RowValue::Number(Value::from_bits(bits, double))
            }
            Kind::Histogram => rows::RowValue::Histogram(explicit::ExplicitRegion::new(region())),
            Kind::ExponentialHistogram => rows::RowValue::Exponential(exp::ExponentialRegion::new(region())),
            Kind::Summary => rows::RowValue::Summary(summary::SummaryRegion::new(region())),
        }
    }
}

impl Rows for BatchRows<'_> {
    fn metrics(&self) -> usize {
        self.batch.sections()
    }

    fn metric(&self, number: usize) -> Metric<'_> {
        let Section { resource, scope, group, .. } = self.batch.section(number);
        let owned = self.tree.group(group);
        let meta = owned.meta();
        Metric {
            resource_number: resource,
            resource: meta.resource(),
            resource_schema_url: &meta.resource_set.schema_url,
            scope_number: scope,
            scope: meta.scope(),
            scope_schema_url: &meta.scope_set.schema_url,
            name: meta.name(),
            unit: meta.unit(),
            description: owned.description(),
            kind: meta.kind,
            monotonic: meta.monotonic,
            bounds: &meta.bounds,
            is_total: meta.is_total,
        }
    }

    #[inline(always)]
    fn each(&self, number: usize, view: Temporality, mut visit: impl FnMut(Row<'_>)) {
        let Section { group, from, to, .. } = self.batch.section(number);
        let owned = self.tree.group(group);
        let meta = owned.meta();
        let (kind, length) = (meta.kind, region_words(meta.kind, meta.buckets()));
        let is_delta = self.metric(number).temporality(view) == Some(Temporality::Delta);
        // series that lie together, and the place of the first; of outputs there are none
        let (mut together, mut first): (&[Arc<Series>], usize) = (&[], 0);
        for point in &self.batch.points()[from as usize..to as usize] {
            if is_delta && !point.has_delta {
                continue;
            }
            let at = point.series as usize;
            let (attributes, from_ns) = match (together.get(at.wrapping_sub(first)), self.outputs) {
                (Some(series), _) => (&*series.attributes, self.window.0),
                (None, None) => {
                    (together, first) = (owned.series().beside(at), at);
                    let Some(series) = together.first() else { continue };
                    (&*series.attributes, self.window.0)
                }
                (None, Some(outputs)) => match outputs.at(point.series) {
                    Some(at) => at,
                    None => continue,
                },
            };
            // what a rule gave may be from before the window, and an end that other rules bring has its own time
            let (start_ns, time_ns) = match is_delta {
                true if self.outputs.is_some() || point.is_turned() => (from_ns, point.time),
                true => (from_ns, self.window.1),
                false => (point.start, point.time),
            };
            let value = self.value(kind, length, is_delta, point);
            let exemplars = if point.exemplars == 0 { &[] } else { self.exemplars.fields(point.exemplars) };
            visit(Row { attributes, start_ns, time_ns, value, exemplars });
        }
    }
}
