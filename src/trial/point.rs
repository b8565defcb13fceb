//! A stream of points, as a sender has it, and one of its points as a request.
//!
//! Knows OTLP's messages (OTLP 1.x, metrics.proto); does not know who reads them: it shares no writer with what leaves.

use crate::aggregate::number::Value;
use crate::model::Temporality;
use crate::rules::InputKind;
use crate::trial::value::{Label, SeriesName, TrialValue};
use crate::wire::{put_bytes, put_fixed64, put_uint, put_varint, zigzag};
use std::collections::BTreeMap;

/// `DataPointFlags.NO_RECORDED_VALUE`
const NO_RECORDED_VALUE: u64 = 1;

/// What a sender says of one series, over time.
#[derive(Clone, Debug, PartialEq)]
pub struct InputStream {
    /// Who it is.
    pub series: SeriesName,
    /// Name and version of its scope.
    pub scope: (String, String),
    /// `Metric.unit`
    pub unit: String,
    /// Its kind.
    pub kind: InputKind,
    /// How it counts; gauges and summaries do not.
    pub temporality: Temporality,
    /// The core to which it is connected, from 0.
    pub core: usize,
    /// Its points.
    pub points: Vec<InputPoint>,
}

/// One of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct InputPoint {
    /// When it comes, nanoseconds.
    pub arrival_ns: u64,
    /// Where its value begins, nanoseconds; 0: the sender does not say.
    pub start_ns: u64,
    /// Its own time, nanoseconds.
    pub time_ns: u64,
    /// Its value.
    pub value: TrialValue,
}

impl InputStream {
    /// One of its points, as an `ExportMetricsServiceRequest`.
    pub fn request(&self, point: &InputPoint) -> Vec<u8> {
        let attributes = &self.series.attributes;
        let mut data = Vec::new();
        let (field, bytes) = match self.kind {
            InputKind::Gauge => (0x2a, number(attributes, point)),
            InputKind::Counter | InputKind::UpDownCounter => (0x3a, number(attributes, point)),
            InputKind::Histogram => (0x4a, explicit(attributes, point)),
            InputKind::ExponentialHistogram => (0x52, exponential(attributes, point)),
            InputKind::Summary => (0x5a, summary(attributes, point)),
        };
        put_bytes(&mut data, 0x0a, &bytes);
        if !matches!(self.kind, InputKind::Gauge | InputKind::Summary) {
            put_uint(&mut data, 0x10, self.temporality as u64);
        }
        if self.kind == InputKind::Counter {
            put_uint(&mut data, 0x18, 1);
        }
        let (mut metric, mut scope, mut resource) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut metric, 0x0a, self.series.metric.as_bytes());
        put_text(&mut metric, 0x1a, &self.unit);
        put_bytes(&mut metric, field, &data);
        put_text(&mut scope, 0x0a, &self.scope.0);
        put_text(&mut scope, 0x12, &self.scope.1);
        put_labels(&mut resource, 0x0a, &self.series.resource);
        let (mut scopes, mut resources, mut request) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut scopes, 0x0a, &scope);
        put_bytes(&mut scopes, 0x12, &metric);
        put_bytes(&mut resources, 0x0a, &resource);
        put_bytes(&mut resources, 0x12, &scopes);
        put_bytes(&mut request, 0x0a, &resources);
        request
    }
}

type Labels = BTreeMap<String, Label>;

/// `NumberDataPoint`
fn number(attributes: &Labels, point: &InputPoint) -> Vec<u8> {
    let mut out = Vec::new();
    put_times(&mut out, point);
    match point.value {
        TrialValue::Number(Value::Int(value)) => put_fixed64(&mut out, 0x31, value as u64),
        TrialValue::Number(Value::Double(value)) => put_fixed64(&mut out, 0x21, value.to_bits()),
        _ => {}
    }
    put_labels(&mut out, 0x3a, attributes);
    put_end(&mut out, 0x40, point);
    out
}

/// `HistogramDataPoint`
fn explicit(attributes: &Labels, point: &InputPoint) -> Vec<u8> {
    let mut out = Vec::new();
    put_times(&mut out, point);
    if let TrialValue::Buckets(value) = &point.value {
        put_fixed64(&mut out, 0x21, value.count);
        put_double(&mut out, 0x29, value.sum);
        put_packed(&mut out, 0x32, value.counts.iter().copied());
        put_packed(&mut out, 0x3a, value.bounds.iter().flatten().map(|bound| bound.to_bits()));
        put_double(&mut out, 0x59, value.min);
        put_double(&mut out, 0x61, value.max);
    }
    put_labels(&mut out, 0x4a, attributes);
    put_end(&mut out, 0x50, point);
    out
}

/// `ExponentialHistogramDataPoint`
fn exponential(attributes: &Labels, point: &InputPoint) -> Vec<u8> {
    let mut out = Vec::new();
    put_labels(&mut out, 0x0a, attributes);
    put_times(&mut out, point);
    if let TrialValue::Buckets(value) = &point.value {
        put_fixed64(&mut out, 0x21, value.count);
        put_double(&mut out, 0x29, value.sum);
        put_uint(&mut out, 0x30, zigzag(value.scale));
        put_fixed64(&mut out, 0x39, value.zero_count);
        put_side(&mut out, 0x42, value.offset, &value.counts);
        put_side(&mut out, 0x4a, value.negative_offset, &value.negative);
        put_double(&mut out, 0x61, value.min);
        put_double(&mut out, 0x69, value.max);
        put_fixed64(&mut out, 0x71, value.zero_threshold.to_bits());
    }
    put_end(&mut out, 0x50, point);
    out
}

/// `SummaryDataPoint`
fn summary(attributes: &Labels, point: &InputPoint) -> Vec<u8> {
    let mut out = Vec::new();
    put_times(&mut out, point);
    if let TrialValue::Summary(value) = &point.value {
        put_fixed64(&mut out, 0x21, value.count);
        put_fixed64(&mut out, 0x29, value.sum.to_bits());
        for (quantile, at) in &value.quantiles {
            let mut pair = Vec::new();
            put_fixed64(&mut pair, 0x09, quantile.to_bits());
            put_fixed64(&mut pair, 0x11, at.to_bits());
            put_bytes(&mut out, 0x32, &pair);
        }
    }
    put_labels(&mut out, 0x3a, attributes);
    put_end(&mut out, 0x40, point);
    out
}

fn put_times(out: &mut Vec<u8>, point: &InputPoint) {
    put_fixed64(out, 0x11, point.start_ns);
    put_fixed64(out, 0x19, point.time_ns);
}

fn put_end(out: &mut Vec<u8>, key: u8, point: &InputPoint) {
    if point.value == TrialValue::End {
        put_uint(out, key, NO_RECORDED_VALUE);
    }
}

fn put_double(out: &mut Vec<u8>, key: u8, value: Option<f64>) {
    if let Some(value) = value {
        put_fixed64(out, key, value.to_bits());
    }
}

fn put_text(out: &mut Vec<u8>, key: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, key, text.as_bytes());
    }
}

fn put_packed(out: &mut Vec<u8>, key: u8, words: impl Iterator<Item = u64>) {
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    put_bytes(out, key, &bytes);
}

fn put_side(out: &mut Vec<u8>, key: u8, offset: i32, counts: &[u64]) {
    if counts.is_empty() {
        return;
    }
    let (mut side, mut packed) = (Vec::new(), Vec::new());
    put_uint(&mut side, 0x08, zigzag(offset));
    counts.iter().for_each(|count| put_varint(&mut packed, *count));
    put_bytes(&mut side, 0x12, &packed);
    put_bytes(out, key, &side);
}

/// Attributes as records with this key byte, in the order of their keys.
pub fn attribute_run(labels: &BTreeMap<String, Label>, key: u8) -> Vec<u8> {
    let mut run = Vec::new();
    put_labels(&mut run, key, labels);
    run
}

fn put_labels(out: &mut Vec<u8>, key: u8, labels: &Labels) {
    for (name, label) in labels {
        let (mut any, mut pair) = (Vec::new(), Vec::new());
        match label {
            Label::Text(text) => put_bytes(&mut any, 0x0a, text.as_bytes()),
            Label::Bool(value) => put_uint(&mut any, 0x10, u64::from(*value)),
            Label::Int(value) => put_uint(&mut any, 0x18, *value as u64),
            Label::Double(bits) => put_fixed64(&mut any, 0x21, *bits),
            Label::Other(bytes) => any.extend_from_slice(bytes),
        }
        put_bytes(&mut pair, 0x0a, name.as_bytes());
        put_bytes(&mut pair, 0x12, &any);
        put_bytes(out, key, &pair);
    }
}
