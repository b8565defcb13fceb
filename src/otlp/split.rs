//! One request as two, with half of the points each, for destinations that say a request is too large.
//!
//! Does not know: destinations, queues, what a point holds. Fields are copied as they are, in their order; what stands
//! above a point (resource, scope, name, temporality, unknown fields) is copied to both halves that need it.
//!
//! Invariants
//! 1. The points of the halves are the points of the request, in its order, each once and byte for byte.
//! 2. A half has no envelope without a point in it.
//!
//! Bounds: five levels; each half is no larger than the request.
//!
//! Source: opentelemetry/proto/metrics/v1/metrics.proto.

use crate::wire::{Fault, FaultKind, Reader, WireType, put_header};

/// What a field of a message leads to.
#[derive(Clone, Copy)]
enum Level {
    Request,
    Resource,
    Scope,
    Metric,
    Data,
    Point,
}

impl Level {
    /// The level below this one in field `number`; `None`: the field is a part of the envelope.
    fn below(self, number: u32) -> Option<Level> {
        match (self, number) {
            (Level::Request, 1) => Some(Level::Resource),
            (Level::Resource, 2) => Some(Level::Scope),
            (Level::Scope, 2) => Some(Level::Metric),
            // gauge, sum, histogram, exponential histogram, summary
            (Level::Metric, 5 | 7 | 9 | 10 | 11) => Some(Level::Data),
            (Level::Data, 1) => Some(Level::Point),
            _ => None,
        }
    }
}

/// The points `from..until` of a request, counted as they are met.
struct Part {
    from: u64,
    until: u64,
    met: u64,
}

/// A half and the number of its points.
pub type Half = (Vec<u8>, u64);

/// Two requests with half of the points each; `None` when there are fewer than two points, or the bytes are no request.
pub fn halves(request: &[u8]) -> Option<[Half; 2]> {
    let mut all = Part { from: 0, until: 0, met: 0 };
    all.take(Level::Request, request, &mut Vec::new()).ok()?;
    let points = all.met;
    if points < 2 {
        return None;
    }
    let middle = points / 2;
    let half = |from, until| {
        let mut out = Vec::with_capacity(request.len() / 2 + 256);
        Part { from, until, met: 0 }.take(Level::Request, request, &mut out).ok()?;
        Some((out, until - from))
    };
    Some([half(0, middle)?, half(middle, points)?])
}

impl Part {
    /// Appends what this part takes of a message; true if a point is in it.
    fn take(&mut self, level: Level, message: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        let mut reader = Reader::new(message);
        let mut taken = false;
        while !reader.is_empty() {
            let before = reader.rest();
            let field = reader.field()?;
            let Some(below) = level.below(field.number) else {
                reader.skip(field, 0)?;
                out.extend_from_slice(&before[..before.len() - reader.left()]);
                continue;
            };
            if field.wire != WireType::Bytes {
                return Err(Fault { kind: FaultKind::WrongWireType, field: "", left: reader.left() });
            }
            let inner = reader.bytes()?;
            let whole = &before[..before.len() - reader.left()];
            if matches!(below, Level::Point) {
                if (self.from..self.until).contains(&self.met) {
                    out.extend_from_slice(whole);
                    taken = true;
                }
                self.met += 1;
                continue;
            }
            let mut kept = Vec::new();
            if self.take(below, inner, &mut kept)? {
                put_header(out, (field.number as u8) << 3 | WireType::Bytes as u8, kept.len());
                out.extend_from_slice(&kept);
                taken = true;
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
    };
    use prost::Message;

    /// A request with a metric of each kind of so many points, in two resources.
    fn request(points: u64) -> ExportMetricsServiceRequest {
        let times = 0..points;
        let number = |n| NumberDataPoint { time_unix_nano: n, flags: 7, ..Default::default() };
        let numbers: Vec<_> = times.clone().map(number).collect();
        let explicit = |n| HistogramDataPoint { time_unix_nano: n, bucket_counts: vec![1, n], ..Default::default() };
        let exponential = |n| ExponentialHistogramDataPoint { time_unix_nano: n, scale: -3, ..Default::default() };
        let summary = |n| SummaryDataPoint { time_unix_nano: n, count: 3, ..Default::default() };
        let kinds = [
            Data::Gauge(Gauge { data_points: numbers.clone() }),
            Data::Sum(Sum { data_points: numbers, aggregation_temporality: 2, is_monotonic: true }),
            Data::Histogram(Histogram {
                data_points: times.clone().map(explicit).collect(),
                aggregation_temporality: 1,
            }),
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: times.clone().map(exponential).collect(),
                aggregation_temporality: 2,
            }),
            Data::Summary(Summary { data_points: times.clone().map(summary).collect() }),
        ];
        let metrics: Vec<_> = (0..)
            .zip(kinds)
            .map(|(n, data)| Metric {
                name: format!("m{n}"),
                unit: "By".into(),
                data: Some(data),
                ..Default::default()
            })
            .collect();
        let scope = InstrumentationScope { name: "s".into(), ..Default::default() };
        let scope = ScopeMetrics { scope: Some(scope), metrics, schema_url: "url".into() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![resource.clone(), resource] }
    }

    /// Each point with everything above it, in order; panics at an envelope without a point.
    fn flat(request: &ExportMetricsServiceRequest) -> Vec<String> {
        let mut out = Vec::new();
        for resource in &request.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    let before = out.len();
                    let above =
                        format!("{:?} {:?} {} {}", resource.resource, scope.scope, scope.schema_url, metric.unit);
                    let mut add =
                        |what: &str, point: String| out.push(format!("{above} {} {what} {point}", metric.name));
                    match metric.data.as_ref().unwrap() {
                        Data::Gauge(data) => data.data_points.iter().for_each(|p| add("g", format!("{p:?}"))),
                        Data::Sum(data) => data.data_points.iter().for_each(|p| {
                            add(&format!("{}{}", data.aggregation_temporality, data.is_monotonic), format!("{p:?}"))
                        }),
                        Data::Histogram(data) => {
                            data.data_points
                                .iter()
                                .for_each(|p| add(&format!("h{}", data.aggregation_temporality), format!("{p:?}")));
                        }
                        Data::ExponentialHistogram(data) => {
                            data.data_points
                                .iter()
                                .for_each(|p| add(&format!("e{}", data.aggregation_temporality), format!("{p:?}")));
                        }
                        Data::Summary(data) => data.data_points.iter().for_each(|p| add("s", format!("{p:?}"))),
                    }
                    assert!(out.len() > before, "no envelope without a point");
                }
                assert!(!scope.metrics.is_empty());
            }
            assert!(!resource.scope_metrics.is_empty());
        }
        out
    }

    /// E9: splitting again and again leaves every point once, in order, under the envelopes it had.
    #[test]
    fn e9_halves_hold_all_points_once_in_order() {
        for points in [1, 2, 3, 10] {
            let whole = request(points);
            let bytes = whole.encode_to_vec();
            let mut open = vec![(bytes, points * 10)];
            let mut seen = Vec::new();
            while let Some((part, count)) = open.pop() {
                match halves(&part) {
                    Some([a, b]) => {
                        assert_eq!(a.1 + b.1, count);
                        assert!(a.1.abs_diff(b.1) <= 1 && a.0.len() <= part.len() && b.0.len() <= part.len());
                        open.extend([b, a]);
                    }
                    None => {
                        assert_eq!(count, 1);
                        seen.extend(flat(&ExportMetricsServiceRequest::decode(&*part).unwrap()));
                    }
                }
            }
            assert_eq!(seen, flat(&whole));
        }
    }

    #[test]
    fn what_is_no_request_is_not_split() {
        for bytes in
            [b"".as_slice(), b"\x0a", b"\x08\x01", b"\x0a\x03\x12\x05", &[0xff; 20], &request(0).encode_to_vec()]
        {
            assert!(halves(bytes).is_none(), "{bytes:?}");
        }
    }
}
