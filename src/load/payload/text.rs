//! A request as OTLP/JSON of fixed widths: numbers are followed by as many spaces as their widest value needs, so that a
//! send only writes over them.
//!
//! Deliberately knows nothing of values: it shows what the protobuf bytes of the same request say.
//! Invariants: 1. all points of one shape have the same length and offsets; 2. what is written over is a JSON token and
//! the spaces behind it, so the text is whole JSON at any moment between two renderings.
//! Format: OTLP 1.x, JSON mapping: lowerCamelCase, 64-bit integers as strings, enums as numbers.

use super::run::{GRPC_PREFIX_BYTES, Run};
use super::shape::{
    Attribute, EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, HISTOGRAM_BOUNDS, Layout, SUMMARY_QUANTILES, Shape, get_varint4,
};
use crate::load::bytes::get;
use crate::load::messages::{Data, ExportMetricsServiceRequest, KeyValue, Value};
use crate::load::words::quoted;
use prost::Message;

/// Widths of tokens: a 64-bit integer in quotes, a double that is a multiple of 2^-10, a bucket's count in quotes.
const INTEGER_BYTES: usize = 22;
const DOUBLE_BYTES: usize = 26;
const BUCKET_BYTES: usize = 12;

/// How a number lies in the protobuf point.
#[derive(Clone, Copy)]
enum Source {
    Unsigned(usize),
    Signed(usize),
    Double(usize),
    Byte(usize),
    Varint4(usize),
}

/// A number's place in the text.
struct Slot {
    source: Source,
    at: usize,
    width: usize,
}

/// The points of one shape as text.
pub(crate) struct TextLayout {
    template: Vec<u8>,
    slots: Vec<Slot>,
    /// Offset in the protobuf point, offset in the text, length.
    digits: Vec<(usize, usize, usize)>,
}

impl TextLayout {
    /// The text of a point that `layout` describes.
    pub(crate) fn new(shape: Shape, layout: &Layout, attributes: &[Attribute]) -> Self {
        let mut out = TextLayout { template: b"{\"attributes\":[".to_vec(), slots: Vec::new(), digits: Vec::new() };
        for (index, (attribute, (offset, digits))) in attributes.iter().zip(layout.digits()).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let value = attribute.value(index, 0);
            out.word(&format!("{comma}{{\"key\":{},\"value\":{{\"stringValue\":\"{value}", quoted(&attribute.key)));
            out.digits.push((offset, out.template.len() - digits, digits));
            out.word("\"}}");
        }
        out.word("]");
        if let Some(start) = layout.start {
            out.number(",\"startTimeUnixNano\":", Source::Unsigned(start), INTEGER_BYTES);
        }
        out.number(",\"timeUnixNano\":", Source::Unsigned(layout.time), INTEGER_BYTES);
        match shape {
            Shape::DeltaSum | Shape::CumulativeSum | Shape::Gauge => {
                out.number(",\"asInt\":", Source::Signed(layout.value), INTEGER_BYTES);
            }
            Shape::DeltaSumDouble | Shape::CumulativeSumDouble | Shape::GaugeDouble => {
                out.number(",\"asDouble\":", Source::Double(layout.value), DOUBLE_BYTES);
            }
            _ => {
                out.number(",\"count\":", Source::Unsigned(layout.count), INTEGER_BYTES);
                out.number(",\"sum\":", Source::Double(layout.value), DOUBLE_BYTES);
            }
        }
        let buckets = layout.buckets;
        match shape {
            Shape::DeltaHistogram | Shape::CumulativeHistogram => {
                out.buckets((0..=HISTOGRAM_BOUNDS.len()).map(|index| Source::Unsigned(buckets + index * 8)));
                let bounds = HISTOGRAM_BOUNDS.map(|bound| format!("{bound:?}"));
                out.word(&format!(",\"explicitBounds\":[{}]", bounds.join(",")));
            }
            Shape::DeltaExponential | Shape::CumulativeExponential => {
                out.word(&format!(",\"scale\":{EXPONENTIAL_SCALE}"));
                out.number(",\"zeroCount\":", Source::Unsigned(layout.zero), INTEGER_BYTES);
                out.word(",\"positive\":{\"offset\":0");
                let source = |index| match shape {
                    Shape::DeltaExponential => Source::Byte(buckets + index),
                    _ => Source::Varint4(buckets + index * 4),
                };
                out.buckets((0..EXPONENTIAL_BUCKETS).map(source));
                out.word("}");
            }
            Shape::Summary => {
                let pairs = SUMMARY_QUANTILES.map(|(q, value)| format!("{{\"quantile\":{q:?},\"value\":{value:?}}}"));
                out.word(&format!(",\"quantileValues\":[{}]", pairs.join(",")));
            }
            _ => {}
        }
        out.word("},");
        out
    }

    /// Writes `points`, of `stride` bytes each, over their text.
    pub(crate) fn render(&self, points: &[u8], stride: usize, text: &mut [u8]) {
        for (point, out) in points.chunks_exact(stride).zip(text.chunks_exact_mut(self.template.len())) {
            for &(from, to, length) in &self.digits {
                out[to..to + length].copy_from_slice(&point[from..from + length]);
            }
            for slot in &self.slots {
                let out = &mut out[slot.at..slot.at + slot.width];
                match slot.source {
                    Source::Unsigned(at) => quoted_number(out, false, get(point, at)),
                    Source::Byte(at) => quoted_number(out, false, point[at].into()),
                    Source::Varint4(at) => quoted_number(out, false, get_varint4(&point[at..])),
                    Source::Signed(at) => {
                        let value = get(point, at) as i64;
                        quoted_number(out, value < 0, value.unsigned_abs());
                    }
                    Source::Double(at) => double(out, f64::from_bits(get(point, at))),
                }
            }
        }
    }

    fn word(&mut self, text: &str) {
        self.template.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, before: &str, source: Source, width: usize) {
        self.word(before);
        self.slots.push(Slot { source, at: self.template.len(), width });
        self.template.resize(self.template.len() + width, b' ');
    }

    fn buckets(&mut self, sources: impl Iterator<Item = Source>) {
        for (index, source) in sources.enumerate() {
            self.number(if index > 0 { "," } else { ",\"bucketCounts\":[" }, source, BUCKET_BYTES);
        }
        self.word("]");
    }
}

/// A request's text.
pub(crate) struct Text {
    /// Room for a frame, then the JSON.
    pub bytes: Vec<u8>,
    /// Where the points of each run begin.
    runs: Vec<usize>,
}

impl Text {
    /// The text around the points of `request`, which are left to the first rendering.
    pub(crate) fn new(request: &[u8], runs: &[Run], layouts: &[Option<TextLayout>]) -> Self {
        let request = ExportMetricsServiceRequest::decode(&request[GRPC_PREFIX_BYTES..]).expect("what was just built");
        let mut text = Text { bytes: vec![0; GRPC_PREFIX_BYTES], runs: Vec::new() };
        text.word("{\"resourceMetrics\":[");
        for (index, resource) in request.resource_metrics.iter().enumerate() {
            let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            text.word(if index > 0 { "," } else { "" });
            text.word(&format!("{{\"resource\":{{\"attributes\":[{}]}},\"scopeMetrics\":[", pairs(attributes)));
            for (index, scope) in resource.scope_metrics.iter().enumerate() {
                let of = scope.scope.clone().unwrap_or_default();
                text.word(if index > 0 { "," } else { "" });
                let (name, version) = (quoted(&of.name), quoted(&of.version));
                text.word(&format!("{{\"scope\":{{\"name\":{name},\"version\":{version}}},\"metrics\":["));
                for (index, metric) in scope.metrics.iter().enumerate() {
                    let run = &runs[text.runs.len()];
                    let layout = layouts[run.shape as usize].as_ref().expect("every shape in use has one");
                    let (word, more) = match metric.data.as_ref().expect("every metric has data") {
                        Data::Gauge(_) => ("gauge", String::new()),
                        Data::Summary(_) => ("summary", String::new()),
                        Data::Sum(sum) => ("sum", temporality(sum.aggregation_temporality) + ",\"isMonotonic\":true"),
                        Data::Histogram(of) => ("histogram", temporality(of.aggregation_temporality)),
                        Data::ExponentialHistogram(of) => {
                            ("exponentialHistogram", temporality(of.aggregation_temporality))
                        }
                    };
                    text.word(if index > 0 { "," } else { "" });
                    let (name, unit) = (quoted(&metric.name), quoted(&metric.unit));
                    text.word(&format!("{{\"name\":{name},\"unit\":{unit},\"{word}\":{{\"dataPoints\":["));
                    text.runs.push(text.bytes.len());
                    for _ in 0..run.count {
                        text.bytes.extend_from_slice(&layout.template);
                    }
                    // The comma behind the last point.
                    *text.bytes.last_mut().expect("a run has points") = b' ';
                    text.word(&format!("]{more}}}}}"));
                }
                text.word("]}");
            }
            text.word("]}");
        }
        text.word("]}");
        text
    }

    /// The points of run `number`.
    pub(crate) fn run(&mut self, number: usize, layout: &TextLayout, count: usize) -> &mut [u8] {
        &mut self.bytes[self.runs[number]..][..count * layout.template.len()]
    }

    fn word(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

fn temporality(number: i32) -> String {
    format!(",\"aggregationTemporality\":{number}")
}

fn pairs(attributes: &[KeyValue]) -> String {
    let pair = |pair: &KeyValue| {
        let Some(Value::String(value)) = pair.value.as_ref().and_then(|value| value.value.as_ref()) else {
            unreachable!("resources have string attributes")
        };
        format!("{{\"key\":{},\"value\":{{\"stringValue\":{}}}}}", quoted(&pair.key), quoted(value))
    };
    attributes.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// `"123"` and spaces.
fn quoted_number(out: &mut [u8], negative: bool, number: u64) {
    let mut digits = [0; 20];
    let from = decimal(&mut digits, number);
    let sign = usize::from(negative);
    let end = 1 + sign + digits.len() - from;
    assert!(end < out.len(), "a number is wider than its place");
    out[0] = b'"';
    out[1] = b'-';
    out[1 + sign..end].copy_from_slice(&digits[from..]);
    out[end] = b'"';
    out[end + 1..].fill(b' ');
}

/// A multiple of 2^-10, exactly, and spaces.
fn double(out: &mut [u8], value: f64) {
    let units = (value * 1024.0) as i64;
    let mut digits = [0; 20];
    let from = decimal(&mut digits, units.unsigned_abs() >> 10);
    let sign = usize::from(units < 0);
    out[0] = b'-';
    let mut end = sign + digits.len() - from;
    out[sign..end].copy_from_slice(&digits[from..]);
    let rest = units.unsigned_abs() & 1023;
    if rest > 0 {
        // 2^-10 is 0.0009765625: ten decimals, the leading ones may be 0.
        out[end] = b'.';
        let from = decimal(&mut digits, rest * 9_765_625);
        digits[10..from].fill(b'0');
        out[end + 1..end + 11].copy_from_slice(&digits[10..]);
        end += 11;
    }
    out[end..].fill(b' ');
}

/// Digits at the end of `out`; where they begin.
fn decimal(out: &mut [u8; 20], mut number: u64) -> usize {
    let mut at = out.len();
    loop {
        at -= 1;
        out[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_exactly_and_padded() {
        let check = |value: f64, text: &str| {
            let mut out = [b'x'; DOUBLE_BYTES];
            double(&mut out, value);
            assert_eq!(std::str::from_utf8(&out).unwrap().trim_end(), text);
            assert_eq!(serde_json::from_slice::<f64>(&out).unwrap(), value);
        };
        check(0.0, "0");
        check(-3.5, "-3.5000000000");
        check(1.0 / 1024.0, "0.0009765625");
        check(1023.0 / 1024.0, "0.9990234375");
        check((1_u64 << 43) as f64 - 1.0 / 1024.0, "8796093022207.9990234375");
        for (negative, number, text) in [(false, 0, "\"0\""), (true, 1 << 63, "\"-9223372036854775808\"")] {
            let mut out = [b'x'; INTEGER_BYTES];
            quoted_number(&mut out, negative, number);
            assert_eq!(std::str::from_utf8(&out).unwrap().trim_end(), text);
        }
        let mut out = [b'x'; INTEGER_BYTES];
        quoted_number(&mut out, false, u64::MAX);
        assert_eq!(std::str::from_utf8(&out).unwrap(), "\"18446744073709551615\"");
    }
}
