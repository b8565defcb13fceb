//! Writes rows as an `ExportMetricsServiceRequest` (OTLP 1.x, metrics.proto): measured, then written once.
//!
//! Knows the messages' fields; does not know where rows come from or where the request goes. Attributes and exemplars are
//! copied as they are, already encoded.
//!
//! Invariants
//! 1. The size of every message is known before its first byte is written, so lengths are minimal and right, and a
//!    request is one allocation.
//! 2. No empty resource, scope or metric is written (E12).
//! 3. Between two calls for one request the rows are the same, and so is the view.
//!
//! Bounds: between two questions whether to go on, `LOOK` points and metrics and one metric more.

use super::points::NO_RECORDED_VALUE;
use crate::aggregate::{explicit, exponential, number, summary};
use crate::model::{Kind, Temporality};
use crate::rows::{Metric, Row, RowValue, Rows};
use crate::wire::{field_size, put_bytes, put_fixed64, put_header, put_uint, put_varint, varint_size, zigzag};
use std::ops::Range;

/// An encoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `ExportMetricsServiceRequest`
    pub bytes: Vec<u8>,
    /// Data points in it.
    pub points: u64,
}

/// How far a request is.
#[derive(Debug)]
pub enum EncodeStep {
    /// It is not whole.
    More,
    /// It is whole; nothing if the view has no points.
    Over(Option<Request>),
}

/// Encodes requests; keeps the memory for sizes.
#[derive(Debug, Default)]
pub struct Encoder {
    metrics: Vec<Sizes>,
    /// Bytes of each row's message, in the order of the rows.
    points: Vec<u32>,
    /// What is written of a request that is not whole.
    making: Option<Making>,
}

/// Metrics and their points that are measured or written between two questions whether to go on: some 20 µs.
const LOOK: usize = 256;

/// A request in the making.
#[derive(Debug, Default)]
struct Making {
    /// All metrics are measured.
    is_measured: bool,
    /// The metric that is written next.
    next: usize,
    /// Bytes of all of it.
    total: usize,
    bytes: Vec<u8>,
    /// Points in it.
    points: u64,
    resource: Open,
    scope: Open,
}

/// A resource or a scope whose metrics are being written.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Its first metric.
    first: usize,
    /// Bytes of its message; 0 if nothing is in it.
    size: usize,
}

/// Of one metric.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    resource: u32,
    scope: u32,
    /// Bytes of its points with their keys and lengths.
    points: usize,
    /// Bytes of the metric message.
    metric: usize,
    /// Place of its first row in `Encoder::points`.
    first: usize,
}

impl Encoder {
    /// The request in a view; nothing if the view has no points.
    pub fn encode(&mut self, rows: &impl Rows, view: Temporality) -> Option<Request> {
        match self.encode_some(rows, view, || true) {
            EncodeStep::Over(request) => request,
            EncodeStep::More => unreachable!("nobody said no"),
        }
    }

    /// Goes on with the request in a view, as long as `more` says so.
    pub fn encode_some(&mut self, rows: &impl Rows, view: Temporality, mut more: impl FnMut() -> bool) -> EncodeStep {
        let mut making = self.making.take().unwrap_or_else(|| {
            self.metrics.clear();
            self.points.clear();
            Making::default()
        });
        if !making.is_measured {
            if !self.measure(rows, view, &mut more) {
                self.making = Some(making);
                return EncodeStep::More;
            }
            making.is_measured = true;
            // first the sizes of all resources, so that the whole is written into one allocation
            making.total = self.resources().map(|range| self.resource_size(rows, range)).map(optional).sum();
            making.bytes.reserve_exact(making.total);
        }
        if !self.put_some(&mut making, rows, view, &mut more) {
            self.making = Some(making);
            return EncodeStep::More;
        }
        let Making { total, bytes, points, .. } = making;
        debug_assert_eq!(bytes.len(), total, "invariant 1");
        EncodeStep::Over((points > 0).then_some(Request { bytes, points }))
    }

    /// Whether a request is not whole.
    pub const fn is_making(&self) -> bool {
        self.making.is_some()
    }

    /// Sizes of points and metrics; `false` if some are left.
    #[inline(never)]
    fn measure(&mut self, rows: &impl Rows, view: Temporality, more: &mut impl FnMut() -> bool) -> bool {
        let (count, mut since) = (rows.metrics(), 0);
        for number in self.metrics.len()..count {
            let metric = rows.metric(number);
            let (first, mut points) = (self.points.len(), 0);
            let sizes = &mut self.points;
            rows.each(number, view, |row| {
                let size = point_size(row, &metric);
                sizes.push(size as u32);
                points += field_size(size);
            });
            self.metrics.push(Sizes {
                resource: metric.resource_number,
                scope: metric.scope_number,
                points,
                metric: if points == 0 { 0 } else { metric_size(&metric, points) },
                first,
            });
            since += 1 + self.points.len() - first;
            if since >= LOOK {
                since = 0;
                if !more() {
                    return number + 1 == count;
                }
            }
        }
        true
    }

    /// The metrics of each resource.
    fn resources(&self) -> impl Iterator<Item = Range<usize>> {
        runs(&self.metrics, 0..self.metrics.len(), |sizes| sizes.resource)
    }

    /// The metrics of each scope of a resource.
    fn scopes(&self, resource: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        runs(&self.metrics, resource, |sizes| sizes.scope)
    }

    /// 0 if nothing is in it, as of scopes and metrics.
    fn resource_size(&self, rows: &impl Rows, range: Range<usize>) -> usize {
        let scopes: usize = self.scopes(range.clone()).map(|scope| optional(self.scope_size(rows, scope))).sum();
        if scopes == 0 {
            return 0;
        }
        let metric = rows.metric(range.start);
        optional(metric.resource.len()) + scopes + optional(metric.resource_schema_url.len())
    }

    fn scope_size(&self, rows: &impl Rows, range: Range<usize>) -> usize {
        let metrics: usize = self.metrics[range.clone()].iter().map(|sizes| optional(sizes.metric)).sum();
        if metrics == 0 {
            return 0;
        }
        let metric = rows.metric(range.start);
        optional(metric.scope.len()) + metrics + optional(metric.scope_schema_url.len())
    }

    /// Writes metrics, each resource and scope around its own; `false` if some are left.
    fn put_some(
        &self,
        making: &mut Making,
        rows: &impl Rows,
        view: Temporality,
        more: &mut impl FnMut() -> bool,
    ) -> bool {
        let (all, mut since) = (&self.metrics[..], 0);
        let is_other = |a: usize, b: usize| match (all.get(a), all.get(b)) {
            (Some(a), Some(b)) => (a.resource != b.resource, a.resource != b.resource || a.scope != b.scope),
            _ => (true, true),
        };
        while let Some(sizes) = all.get(making.next) {
            let number = making.next;
            let (begins_resource, begins_scope) = is_other(number.wrapping_sub(1), number);
            if begins_resource {
                self.open_resource(making, rows);
            }
            if begins_scope {
                self.open_scope(making, rows);
            }
            if sizes.metric > 0 {
                let points = self.put_metric(&mut making.bytes, rows, number, view);
                making.points += points;
                since += points as usize;
            }
            let (ends_resource, ends_scope) = is_other(number, number + 1);
            if ends_scope && making.scope.size > 0 {
                put_optional(&mut making.bytes, 0x1a, rows.metric(making.scope.first).scope_schema_url.as_bytes());
            }
            if ends_resource && making.resource.size > 0 {
                let metric = rows.metric(making.resource.first);
                put_optional(&mut making.bytes, 0x1a, metric.resource_schema_url.as_bytes());
            }
            making.next += 1;
            since += 1;
            if since >= LOOK {
                since = 0;
                if !more() {
                    return making.next == all.len();
                }
            }
        }
        true
    }

    /// Where nothing is in it nothing is written.
    fn open_resource(&self, making: &mut Making, rows: &impl Rows) {
        let range = runs(&self.metrics, making.next..self.metrics.len(), |sizes| sizes.resource).next();
        let size = range.map_or(0, |range| self.resource_size(rows, range));
        making.resource = Open { first: making.next, size };
        if size > 0 {
            put_header(&mut making.bytes, 0x0a, size);
            put_optional(&mut making.bytes, 0x0a, rows.metric(making.next).resource);
        }
    }

    fn open_scope(&self, making: &mut Making, rows: &impl Rows) {
        let key = |sizes: &Sizes| (sizes.resource, sizes.scope);
        let range = runs(&self.metrics, making.next..self.metrics.len(), key).next();
        let size = range.map_or(0, |range| self.scope_size(rows, range));
        making.scope = Open { first: making.next, size };
        if size > 0 {
            put_header(&mut making.bytes, 0x12, size);
            put_optional(&mut making.bytes, 0x0a, rows.metric(making.next).scope);
        }
    }

    #[inline(never)]
    fn put_metric(&self, out: &mut Vec<u8>, rows: &impl Rows, number: usize, view: Temporality) -> u64 {
        let (metric, sizes) = (rows.metric(number), self.metrics[number]);
        put_header(out, 0x12, sizes.metric);
        put_bytes(out, 0x0a, metric.name.as_bytes());
        put_optional(out, 0x12, metric.description.as_bytes());
        put_optional(out, 0x1a, metric.unit.as_bytes());
        put_header(out, data_key(metric.kind), data_size(&metric, sizes.points));
        let (mut points, mut sizes) = (0, self.points[sizes.first..].iter());
        rows.each(number, view, |row| {
            // the same rows as when they were measured
            let size = sizes.next().map_or(0, |size| *size as usize);
            put_header(out, 0x0a, size);
            put_point(out, row, &metric);
            points += 1;
        });
        if let Some(temporality) = metric.temporality(view) {
            put_uint(out, 0x10, temporality as u64);
        }
        if metric.kind == Kind::Sum && metric.monotonic {
            put_uint(out, 0x18, 1);
        }
        points
    }
}

/// Ranges of neighbours with the same key.
fn runs<T, K: PartialEq>(all: &[T], within: Range<usize>, key: impl Fn(&T) -> K) -> impl Iterator<Item = Range<usize>> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        let run = at..within.end;
        let first = key(all[run.clone()].first()?);
        at = run.clone().find(|place| key(&all[*place]) != first).unwrap_or(run.end);
        Some(run.start..at)
    })
}

/// Of a field that is left out where nothing is in it.
const fn optional(length: usize) -> usize {
    if length == 0 { 0 } else { field_size(length) }
}

fn put_optional(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, key, bytes);
    }
}

const fn data_key(kind: Kind) -> u8 {
    match kind {
        Kind::Gauge => 0x2a,
        Kind::Sum => 0x3a,
        Kind::Histogram => 0x4a,
        Kind::ExponentialHistogram => 0x52,
        Kind::Summary => 0x5a,
    }
}

/// Key byte of `exemplars` in a point of this kind.
pub const fn exemplars_key(kind: Kind) -> u8 {
    match kind {
        Kind::Gauge | Kind::Sum | Kind::Summary => 0x2a,
        Kind::Histogram => 0x42,
        Kind::ExponentialHistogram => 0x5a,
    }
}

fn data_size(metric: &Metric<'_>, points: usize) -> usize {
    points
        + if metric.temporality(Temporality::Delta).is_some() { 2 } else { 0 }
        + if metric.kind == Kind::Sum && metric.monotonic { 2 } else { 0 }
}

fn metric_size(metric: &Metric<'_>, points: usize) -> usize {
    field_size(metric.name.len())
        + optional(metric.description.len())
        + optional(metric.unit.len())
        + field_size(data_size(metric, points))
}

/// Regions are handed on, and not the row: a row that lies in registers costs a number nothing.
#[inline]
fn point_size(row: Row<'_>, metric: &Metric<'_>) -> usize {
    let value = match row.value {
        RowValue::Number(_) => 9,
        RowValue::Histogram(region) => histogram_size(region),
        RowValue::Exponential(region) => exponential_size(region),
        RowValue::Summary(region) => summary_size(region),
        RowValue::Ended(quantiles) => ended_size(quantiles, metric),
    };
    fixed_size(row.start_ns) + 9 + value + row.attributes.len() + row.exemplars.len()
}

/// Attributes stand behind the values, but of an exponential histogram, which has them first.
#[inline]
fn put_point(out: &mut Vec<u8>, row: Row<'_>, metric: &Metric<'_>) {
    if metric.kind == Kind::ExponentialHistogram {
        out.extend_from_slice(row.attributes);
    }
    put_nonzero(out, 0x11, row.start_ns);
    put_fixed64(out, 0x19, row.time_ns);
    match row.value {
        RowValue::Number(value) => {
            put_fixed64(out, if let number::Value::Double(_) = value { 0x21 } else { 0x31 }, value.bits());
            out.extend_from_slice(row.attributes);
        }
        RowValue::Histogram(region) => put_histogram(out, region, metric.bounds, row.attributes),
        RowValue::Exponential(region) => put_exponential(out, region),
        RowValue::Summary(region) => put_summary(out, region, row.attributes),
        RowValue::Ended(quantiles) => put_ended(out, quantiles, metric, row.attributes),
    }
    if !row.exemplars.is_empty() {
        out.extend_from_slice(row.exemplars);
    }
}

const fn fixed_size(bits: u64) -> usize {
    if bits == 0 { 0 } else { 9 }
}

fn present(values: [Option<f64>; 3]) -> usize {
    values.iter().map(|value| if value.is_some() { 9 } else { 0 }).sum()
}

#[inline]
fn put_nonzero(out: &mut Vec<u8>, key: u8, bits: u64) {
    if bits != 0 {
        put_fixed64(out, key, bits);
    }
}

fn put_present(out: &mut Vec<u8>, key: u8, value: Option<f64>) {
    if let Some(value) = value {
        put_fixed64(out, key, value.to_bits());
    }
}

#[inline(never)]
fn histogram_size(region: explicit::ExplicitRegion<'_>) -> usize {
    let buckets = region.buckets().len();
    fixed_size(region.count())
        + present([region.sum(), region.min(), region.max()])
        + field_size(8 * buckets)
        + optional(8 * (buckets - 1))
}

#[inline(never)]
fn put_histogram(out: &mut Vec<u8>, region: explicit::ExplicitRegion<'_>, bounds: &[f64], attributes: &[u8]) {
    put_nonzero(out, 0x21, region.count());
    put_present(out, 0x29, region.sum());
    put_header(out, 0x32, 8 * region.buckets().len());
    region.buckets().iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    put_bounds(out, bounds);
    out.extend_from_slice(attributes);
    put_present(out, 0x59, region.min());
    put_present(out, 0x61, region.max());
}

fn put_bounds(out: &mut Vec<u8>, bounds: &[f64]) {
    if !bounds.is_empty() {
        put_header(out, 0x3a, 8 * bounds.len());
        bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
    }
}

#[inline(never)]
fn exponential_size(region: exponential::ExponentialRegion<'_>) -> usize {
    let scale = zigzag(region.scale());
    fixed_size(region.count())
        + present([region.sum(), region.min(), region.max()])
        + if scale == 0 { 0 } else { 1 + varint_size(scale) }
        + fixed_size(region.zero_count())
        + optional(side_size(region.positive()))
        + optional(side_size(region.negative()))
        + fixed_size(region.zero_threshold().to_bits())
}

#[inline(never)]
fn put_exponential(out: &mut Vec<u8>, region: exponential::ExponentialRegion<'_>) {
    put_nonzero(out, 0x21, region.count());
    put_present(out, 0x29, region.sum());
    let scale = zigzag(region.scale());
    if scale != 0 {
        put_uint(out, 0x30, scale);
    }
    put_nonzero(out, 0x39, region.zero_count());
    put_side(out, 0x42, region.positive());
    put_side(out, 0x4a, region.negative());
    put_present(out, 0x61, region.min());
    put_present(out, 0x69, region.max());
    put_nonzero(out, 0x71, region.zero_threshold().to_bits());
}

/// Bytes of `Buckets`; 0 if it is left out.
fn side_size((offset, counts): (i32, &[u64])) -> usize {
    if counts.is_empty() {
        return 0;
    }
    let packed: usize = counts.iter().map(|count| varint_size(*count)).sum();
    let offset = zigzag(offset);
    (if offset == 0 { 0 } else { 1 + varint_size(offset) }) + field_size(packed)
}

fn put_side(out: &mut Vec<u8>, key: u8, (offset, counts): (i32, &[u64])) {
    if counts.is_empty() {
        return;
    }
    put_header(out, key, side_size((offset, counts)));
    let zigzagged = zigzag(offset);
    if zigzagged != 0 {
        put_uint(out, 0x08, zigzagged);
    }
    let packed: usize = counts.iter().map(|count| varint_size(*count)).sum();
    put_header(out, 0x12, packed);
    counts.iter().for_each(|count| put_varint(out, *count));
}

#[inline(never)]
fn summary_size(region: summary::SummaryRegion<'_>) -> usize {
    fixed_size(region.count())
        + fixed_size(region.sum().to_bits())
        + region.quantiles().map(|pair| field_size(quantile_size(pair))).sum::<usize>()
}

fn quantile_size((quantile, value): (f64, f64)) -> usize {
    fixed_size(quantile.to_bits()) + fixed_size(value.to_bits())
}

#[inline(never)]
fn put_summary(out: &mut Vec<u8>, region: summary::SummaryRegion<'_>, attributes: &[u8]) {
    put_nonzero(out, 0x21, region.count());
    put_nonzero(out, 0x29, region.sum().to_bits());
    for (quantile, value) in region.quantiles() {
        put_header(out, 0x32, quantile_size((quantile, value)));
        put_nonzero(out, 0x09, quantile.to_bits());
        put_nonzero(out, 0x11, value.to_bits());
    }
    out.extend_from_slice(attributes);
}

/// What follows start and time in a point without a recorded value: the flag; of a summary its quantiles, and of an
/// explicit histogram its bounds, with empty buckets.
#[inline(never)]
fn ended_size(quantiles: Option<summary::SummaryRegion<'_>>, metric: &Metric<'_>) -> usize {
    2 + match (quantiles, metric.bounds.len()) {
        (Some(quantiles), _) => summary_size(quantiles),
        (None, 0) => 0,
        (None, bounds) => field_size(8 * bounds) + field_size(8 * (bounds + 1)),
    }
}

#[inline(never)]
fn put_ended(out: &mut Vec<u8>, quantiles: Option<summary::SummaryRegion<'_>>, metric: &Metric<'_>, attributes: &[u8]) {
    let flags_key = match metric.kind {
        Kind::Gauge | Kind::Sum | Kind::Summary => 0x40,
        Kind::Histogram | Kind::ExponentialHistogram => 0x50,
    };
    if let Some(quantiles) = quantiles {
        put_summary(out, quantiles, attributes);
    } else {
        if !metric.bounds.is_empty() {
            let bytes = 8 * (metric.bounds.len() + 1);
            put_header(out, 0x32, bytes);
            out.resize(out.len() + bytes, 0);
            put_bounds(out, metric.bounds);
        }
        // those of an exponential histogram stand before its start
        if metric.kind != Kind::ExponentialHistogram {
            out.extend_from_slice(attributes);
        }
    }
    put_uint(out, flags_key, NO_RECORDED_VALUE.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
    use prost::Message;

    /// Gauges and sums of ints: (resource, scope, name, kind, values with what they gained).
    struct ByHand(Vec<(u32, u32, &'static str, Kind, Vec<(i64, Option<i64>)>)>);

    impl Rows for ByHand {
        fn metrics(&self) -> usize {
            self.0.len()
        }

        fn metric(&self, number: usize) -> Metric<'_> {
            let (resource_number, scope_number, name, kind, _) = self.0[number];
            Metric {
                is_total: false,
                resource_number,
                resource: b"",
                resource_schema_url: ["", "one", "two"][resource_number as usize],
                scope_number,
                scope: b"",
                scope_schema_url: ["", "a", "b"][scope_number as usize],
                name,
                unit: "",
                description: "",
                kind,
                monotonic: true,
                bounds: &[],
            }
        }

        fn each(&self, number: usize, view: Temporality, mut visit: impl FnMut(Row<'_>)) {
            for (total, gained) in &self.0[number].4 {
                let in_view = match self.metric(number).temporality(view) {
                    Some(Temporality::Delta) => gained.map(|gained| (100, 200, gained)),
                    _ => Some((50, 190, *total)),
                };
                if let Some((start_ns, time_ns, int)) = in_view {
                    let value = RowValue::Number(number::Value::Int(int));
                    visit(Row { attributes: b"", start_ns, time_ns, value, exemplars: b"" });
                }
            }
        }
    }

    /// (resource, scope, metric, (start, time, value) of each point) as the official library reads it.
    fn read(request: &Request) -> Vec<(String, String, String, Vec<(u64, u64, i64)>)> {
        let decoded = ExportMetricsServiceRequest::decode(&*request.bytes).unwrap();
        assert_eq!(decoded.encode_to_vec().len(), request.bytes.len(), "minimal");
        let mut all = Vec::new();
        for resource in &decoded.resource_metrics {
            assert!(!resource.scope_metrics.is_empty(), "E12");
            for scope in &resource.scope_metrics {
                assert!(!scope.metrics.is_empty(), "E12");
                for metric in &scope.metrics {
                    let points = match metric.data.as_ref().unwrap() {
                        Data::Gauge(gauge) => &gauge.data_points,
                        Data::Sum(sum) => &sum.data_points,
                        other => panic!("{other:?}"),
                    };
                    let points = points.iter().map(|point| match point.value {
                        Some(number_data_point::Value::AsInt(int)) => {
                            (point.start_time_unix_nano, point.time_unix_nano, int)
                        }
                        other => panic!("{other:?}"),
                    });
                    let (resource, scope) = (resource.schema_url.clone(), scope.schema_url.clone());
                    all.push((resource, scope, metric.name.clone(), points.collect()));
                }
            }
        }
        all
    }

    #[test]
    fn each_resource_and_scope_is_written_once_and_none_that_has_nothing_in_the_view() {
        let rows = ByHand(vec![
            (1, 1, "a", Kind::Sum, vec![(7, Some(2)), (8, None)]),
            (1, 1, "b", Kind::Sum, vec![(9, None)]),
            (1, 2, "c", Kind::Sum, vec![]),
            (2, 1, "d", Kind::Sum, vec![(1, None)]),
            (2, 2, "e", Kind::Gauge, vec![(3, None)]),
        ]);
        let mut encoder = Encoder::default();
        let cumulative = encoder.encode(&rows, Temporality::Cumulative).unwrap();
        let line = |resource: &str, scope: &str, name: &str, points: &[(u64, u64, i64)]| {
            (resource.to_string(), scope.to_string(), name.to_string(), points.to_vec())
        };
        assert_eq!(cumulative.points, 5);
        assert_eq!(
            read(&cumulative),
            [
                line("one", "a", "a", &[(50, 190, 7), (50, 190, 8)]),
                line("one", "a", "b", &[(50, 190, 9)]),
                line("two", "a", "d", &[(50, 190, 1)]),
                line("two", "b", "e", &[(50, 190, 3)]),
            ]
        );
        // what gained nothing is not in it; gauges have no temporality
        let delta = encoder.encode(&rows, Temporality::Delta).unwrap();
        assert_eq!(delta.points, 2);
        assert_eq!(read(&delta), [line("one", "a", "a", &[(100, 200, 2)]), line("two", "b", "e", &[(50, 190, 3)])]);
        assert_eq!(encoder.encode(&ByHand(vec![(1, 1, "a", Kind::Sum, vec![(7, None)])]), Temporality::Delta), None);
        assert_eq!(encoder.encode(&ByHand(vec![]), Temporality::Cumulative), None);
    }

    /// A request that is made in slices, with an end after each `LOOK` metrics and points, is the same as one that is made
    /// in one go: resources and scopes may go on over slices, and be empty.
    #[test]
    fn slices_make_the_same_request() {
        let sums = |number: usize, points: usize| {
            let values = (0..points as i64).map(|n| (n, (!number.is_multiple_of(3)).then_some(n))).collect();
            ((number / 400) as u32 % 3, (number / 150) as u32 % 3, "m", Kind::Sum, values)
        };
        for points in [0, 1, 3, LOOK + 1] {
            let rows = ByHand((0..1_000).map(|number| sums(number, points)).collect());
            for view in [Temporality::Delta, Temporality::Cumulative] {
                let whole = Encoder::default().encode(&rows, view);
                assert_eq!(whole.is_some(), points > 0);
                let (mut encoder, mut slices) = (Encoder::default(), 1);
                let request = loop {
                    match encoder.encode_some(&rows, view, || false) {
                        EncodeStep::More => slices += 1,
                        EncodeStep::Over(request) => break request,
                    }
                    assert!(encoder.is_making());
                };
                assert!(!encoder.is_making() && request == whole, "{points} {view:?}");
                assert!(slices >= 2 * (1_000 * (1 + points * 2 / 3) / (2 * LOOK)), "{points} {view:?}: {slices}");
                // and the memory for sizes is used again
                assert_eq!(encoder.encode(&rows, view), whole);
            }
        }
    }
}
