//! A batch: the points of one outgoing request, staged, and read as rows.
//!
//! Knows which of a cut's points go together; does not know how rows are written, or where they go.

use super::exemplars::Gathering;
use super::point::StagedPoint;
use super::tree::Tree;
use crate::aggregate::number::Value;
use crate::aggregate::{explicit, exponential as exp, summary};
use crate::limits::{BATCH_BYTES_MAX, BATCH_POINTS_MAX};
use crate::model::{Kind, Temporality};
use crate::rows::{self, Metric, Row, Rows};

#[derive(Clone, Copy, Debug)]
struct Section {
    resource: u32,
    scope: u32,
    group: u32,
    from: u32,
    to: u32,
}

/// The staged points of one request.
#[derive(Default)]
pub(super) struct Batch {
    sections: Vec<Section>,
    points: Vec<StagedPoint>,
    /// Regions of values that are no numbers.
    words: Vec<u64>,
    bytes: usize,
}

impl Batch {
    /// Points from now on belong to this group.
    pub(super) fn enter(&mut self, resource: u32, scope: u32, group: u32) {
        let at = self.points.len() as u32;
        match self.sections.last_mut() {
            Some(last) if last.group == group => return,
            Some(last) if last.from == last.to => self.sections.truncate(self.sections.len() - 1),
            _ => {}
        }
        self.sections.push(Section { resource, scope, group, from: at, to: at });
    }

    /// Adds a point to the group entered last.
    pub(super) fn push(&mut self, point: StagedPoint, attributes: usize) {
        self.points.push(point);
        self.bytes += attributes + 40;
        if let Some(last) = self.sections.last_mut() {
            last.to += 1;
        }
    }

    /// The point added next has exemplars of so many bytes.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Where merging puts regions of points that are pushed next.
    pub(super) fn words(&mut self) -> &mut Vec<u64> {
        &mut self.words
    }

    /// No points.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// As large as a request may be.
    pub(super) fn is_full(&self) -> bool {
        self.points.len() >= BATCH_POINTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.sections.clear();
        self.points.clear();
        self.words.clear();
        self.bytes = 0;
    }
}

/// A batch and what its points refer to.
pub(super) struct BatchRows<'a> {
    batch: &'a Batch,
    tree: &'a Tree,
    exemplars: &'a Gathering,
    /// Start and time of what the cut added.
    window: (u64, u64),
}

impl<'a> BatchRows<'a> {
    pub(super) fn new(batch: &'a Batch, tree: &'a Tree, exemplars: &'a Gathering, window: (u64, u64)) -> BatchRows<'a> {
        BatchRows { batch, tree, exemplars, window }
    }

    /// A view of a point, of a metric whose regions have so many words.
    #[inline(always)]
    fn value(&self, kind: Kind, length: usize, is_delta: bool, point: &StagedPoint) -> rows::RowValue<'a> {
        let region = || {
            let from = point.words as usize + if is_delta { length } else { 0 };
            &self.batch.words[from..from + length]
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
        self.batch.sections.len()
    }

    fn metric(&self, number: usize) -> Metric<'_> {
        let Section { resource, scope, group, .. } = self.batch.sections[number];
        let owned = self.tree.group(group);
        let meta = owned.meta();
        Metric {
            resource_number: resource,
            resource: &meta.resource,
            resource_schema_url: &meta.resource_schema_url,
            scope_number: scope,
            scope: &meta.scope,
            scope_schema_url: &meta.scope_schema_url,
            name: &meta.name,
            unit: &meta.unit,
            description: owned.description(),
            kind: meta.kind,
            monotonic: meta.monotonic,
            bounds: &meta.bounds,
        }
    }

    #[inline(always)]
    fn each(&self, number: usize, view: Temporality, mut visit: impl FnMut(Row<'_>)) {
        let Section { group, from, to, .. } = self.batch.sections[number];
        let owned = self.tree.group(group);
        let meta = owned.meta();
        let (kind, length) = (meta.kind, region_words(meta.kind, meta.buckets()));
        let is_delta = self.metric(number).temporality(view) == Some(Temporality::Delta);
        for point in &self.batch.points[from as usize..to as usize] {
            if is_delta && !point.has_delta {
                continue;
            }
            let Some(series) = owned.series().get(point.series as usize) else { continue };
            let (start_ns, time_ns) = if is_delta { self.window } else { (point.start, point.time) };
            let value = self.value(kind, length, is_delta, point);
            let exemplars = if point.exemplars == 0 { &[] } else { self.exemplars.fields(point.exemplars) };
            visit(Row { attributes: &series.attributes, start_ns, time_ns, value, exemplars });
        }
    }
}

/// Words of a staged region.
const fn region_words(kind: Kind, buckets: u32) -> usize {
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram => explicit::HEAD + buckets as usize,
        Kind::ExponentialHistogram => exp::REGION,
        Kind::Summary => summary::REGION,
    }
}

/// Bytes that a point of this kind takes beside its attributes and one value, about: counts and bounds, packed counts, which
/// are mostly few and small, quantiles.
pub(super) const fn more_bytes(kind: Kind, buckets: u32) -> usize {
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram => 40 + 16 * buckets as usize,
        Kind::ExponentialHistogram => 2 * exp::REGION,
        Kind::Summary => 10 * (summary::REGION - summary::HEAD),
    }
}
