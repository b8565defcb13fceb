//! The official messages of the protobuf format, written down a second time, and a strict reader of delimited ones.
//!
//! Source: prometheus/client_model, io/prometheus/client/metrics.proto.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::parse::Series;
use crate::prometheus::gather::base_of;
use crate::prometheus::text::MetricType;

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelPair {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Gauge {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Counter {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    pub created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Quantile {
    #[prost(double, optional, tag = "1")]
    pub quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(uint64, optional, tag = "1")]
    pub count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub quantile: Vec<Quantile>,
    #[prost(message, optional, tag = "4")]
    pub created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    pub cumulative: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "10")]
    pub negative_delta: Vec<i64>,
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    pub positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub created: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Counter>,
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Gauge>,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Family {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

/// Buckets by index: the bucket's upper bound is 2^(index · 2^-schema).
pub(super) fn buckets(spans: &[Span], deltas: &[i64]) -> Vec<(i32, i64)> {
    let (mut at, mut count, mut deltas, mut out) = (0, 0, deltas.iter(), Vec::new());
    for span in spans {
        at += span.offset.unwrap();
        for _ in 0..span.length.unwrap() {
            count += deltas.next().expect("as many deltas as buckets");
            out.push((at, count));
            at += 1;
        }
    }
    assert!(deltas.next().is_none(), "no more deltas than buckets");
    out
}

/// Reads a page; the messages of one name, which must follow each other, are made one.
pub(super) fn parse(mut page: &[u8]) -> Result<Vec<Family>, String> {
    let mut families: Vec<Family> = Vec::new();
    while !page.is_empty() {
        let family = Family::decode_length_delimited(&mut page).map_err(|error| error.to_string())?;
        if family.metric.is_empty() {
            return Err("a family without metrics".into());
        }
        let known = families.iter().rev().skip(1).any(|known| known.name == family.name);
        match families.last_mut() {
            Some(last) if last.name == family.name => {
                if (&last.help, last.kind, &last.unit) != (&family.help, family.kind, &family.unit) {
                    return Err("two messages of one family differ".into());
                }
                last.metric.extend(family.metric);
            }
            _ if known => return Err("interleaved".into()),
            _ => families.push(family),
        }
    }
    let mut seen: BTreeSet<Series> = BTreeSet::new();
    for family in &families {
        // Prometheus refuses the page otherwise
        let base = if family.kind == Some(0) { base_of(family.name(), MetricType::Counter) } else { family.name() };
        if family.unit.as_ref().is_some_and(|unit| unit.is_empty() || !base.ends_with(&format!("_{unit}"))) {
            return Err(format!("the unit of {:?} is {:?}", family.name, family.unit));
        }
        for metric in &family.metric {
            let present = [
                metric.counter.is_some(),
                metric.gauge.is_some(),
                metric.summary.is_some(),
                metric.untyped.is_some(),
                metric.histogram.is_some(),
            ];
            let kind = family.kind.ok_or("no type")? as usize;
            if present.iter().filter(|is| **is).count() != 1 || !present[kind] {
                return Err(format!("not one value of its type: {metric:?}"));
            }
            let mut identity = labels(metric).ok_or("a label twice")?;
            identity.retain(|_, value| !value.is_empty());
            if !seen.insert((family.name.clone().ok_or("no name")?, identity)) {
                return Err(format!("series twice: {metric:?}"));
            }
        }
    }
    Ok(families)
}

/// A metric's labels; none if a name comes twice.
pub(super) fn labels(metric: &Metric) -> Option<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for pair in &metric.label {
        if out.insert(pair.name.clone()?, pair.value.clone()?).is_some() {
            return None;
        }
    }
    Some(out)
}
