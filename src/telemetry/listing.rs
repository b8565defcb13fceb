//! Series as lines of JSON: who they are, and what is known of each. What `/series` and `/rules/NAME/series` of the admin door
//! say, and how `catchment plan` and `explain` read it.
//!
//! Knows identities as runs, and how they are written; does not know where series are kept, sockets, or what anybody makes of
//! them. Pure. What is written is read back as it was.
//!
//! ```text
//!   {"resource":{…},"scope":{…}}                              what the lines below have in common, until it comes again
//!   {"metric":"http.requests","unit":"1","kind":"counter"}    the same
//!   {"attributes":{…},"input":"cumulative","cuts":[7,1],…}    a series
//!   {"end":{"series":3,"cut":7,"interval_s":10,"more":false}}
//! ```
//!
//! Texts, booleans and numbers are those of JSON, a double with a point or an exponent; any other value is
//! `{"any":"…"}`, its `AnyValue` message in hexadecimal.

use crate::aggregate::number::Value as Number;
use crate::identity::attributes::{Records, key_byte};
use crate::log::quoted;
use crate::rows::RowValue;
use crate::rules::{ExplainedSeries, InputKind, MetricSeen, ScopeParts};
use crate::wire::{Reader, put_bytes, put_fixed64, put_uint};
use serde_json::{Map, Value};
use std::fmt::Write;

/// What is told of a series that came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedSeries {
    /// Its attributes: a run with the key byte of its kind.
    pub attributes: Vec<u8>,
    /// It takes delta input.
    pub has_delta: bool,
    /// It takes cumulative input.
    pub has_cumulative: bool,
    /// The two newest cuts at which it had points, the newer first; 0: there was none.
    pub cuts: [u32; 2],
    /// Time of its newest point, nanoseconds; 0: not known.
    pub time_ns: u64,
    /// Its value, of numbers.
    pub value: Option<Number>,
    /// What rules make of it leaves in its place.
    pub is_hidden: bool,
}

/// What is told of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMetric {
    /// `Metric.name`
    pub name: String,
    /// `Metric.unit`
    pub unit: String,
    /// Its kind.
    pub kind: InputKind,
    /// Bounds of an explicit histogram.
    pub bounds: Vec<f64>,
}

/// How a listing ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ListingEnd {
    /// Series that were told.
    pub series: u64,
    /// The last cut.
    pub cut: u32,
    /// Seconds between cuts.
    pub interval_s: f64,
    /// There were more, and the limit was reached.
    pub has_more: bool,
}

/// What an output of a rule is made of, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct ListedOutput<'a> {
    /// Its metric, under its resource and scope.
    pub metric: MetricSeen<'a>,
    /// Its attributes.
    pub attributes: &'a [u8],
    /// Members that it had when it left last.
    pub members: u32,
    /// Those of them that counted then.
    pub live: u32,
    /// Where its value begins, nanoseconds; 0: nowhere.
    pub start_ns: u64,
    /// Its time, nanoseconds.
    pub time_ns: u64,
    /// Its value.
    pub value: RowValue<'a>,
}

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum ListedLine {
    /// A resource, as a run with the key byte 0x0a, and an `InstrumentationScope` message.
    Place(Vec<u8>, Vec<u8>),
    /// A metric.
    Metric(ListedMetric),
    /// The attributes of a series, as a run with the key byte of its metric's kind, and what is known of it.
    Series(ListedSeries),
    /// The last one.
    End(ListingEnd),
}

/// Key bytes of an `InstrumentationScope`.
const SCOPE: [u8; 3] = [0x0a, 0x12, 0x1a];

/// Writes a resource and a scope.
pub fn put_place(out: &mut String, resource: &[u8], scope: &[u8]) {
    out.push_str("{\"resource\":");
    put_run(out, resource);
    put_scope(out, scope);
    out.push_str("}\n");
}

fn put_scope(out: &mut String, scope: &[u8]) {
    let ScopeParts { name, version, attributes } = ScopeParts::of(scope);
    let _ = write!(out, ",\"scope\":{{\"name\":{},\"version\":{},\"attributes\":", quoted(name), quoted(version));
    put_run(out, attributes);
    out.push('}');
}

/// Writes a metric.
pub fn put_metric(out: &mut String, metric: &MetricSeen<'_>, bounds: &[f64]) {
    out.push('{');
    put_metric_fields(out, metric);
    if !bounds.is_empty() {
        let bounds: Vec<String> = bounds.iter().map(|bound| shown_double(*bound)).collect();
        let _ = write!(out, ",\"bounds\":[{}]", bounds.join(","));
    }
    out.push_str("}\n");
}

fn put_metric_fields(out: &mut String, metric: &MetricSeen<'_>) {
    let (name, unit, kind) = (quoted(metric.name), quoted(metric.unit), metric.input().word());
    let _ = write!(out, "\"metric\":{name},\"unit\":{unit},\"kind\":\"{kind}\"");
}

/// Writes a series of the metric above.
pub fn put_series(out: &mut String, series: &ListedSeries) {
    out.push_str("{\"attributes\":");
    put_run(out, &series.attributes);
    let input = match (series.has_delta, series.has_cumulative) {
        (true, true) => "\"both\"",
        (true, false) => "\"delta\"",
        (false, true) => "\"cumulative\"",
        (false, false) => "null",
    };
    let _ = write!(out, ",\"input\":{input},\"cuts\":[{},{}]", series.cuts[0], series.cuts[1]);
    if series.time_ns > 0 {
        let _ = write!(out, ",\"time_ns\":{}", series.time_ns);
    }
    if let Some(value) = series.value {
        out.push_str(",\"value\":");
        put_number(out, value);
    }
    if series.is_hidden {
        out.push_str(",\"hidden\":true");
    }
    out.push_str("}\n");
}

/// Writes an output, with all that it has in common with others.
pub fn put_output(out: &mut String, output: &ListedOutput<'_>) {
    out.push('{');
    put_metric_fields(out, &output.metric);
    out.push_str(",\"attributes\":");
    put_run(out, output.attributes);
    out.push_str(",\"resource\":");
    put_run(out, output.metric.resource);
    put_scope(out, output.metric.scope);
    let _ = write!(out, ",\"members\":{},\"live\":{}", output.members, output.live);
    if output.start_ns > 0 {
        let _ = write!(out, ",\"start_ns\":{}", output.start_ns);
    }
    let _ = write!(out, ",\"time_ns\":{},\"value\":", output.time_ns);
    let mut put_buckets = |count: u64, sum: Option<f64>| {
        let sum = sum.filter(|sum| sum.is_finite()).map_or("null".to_owned(), |sum| format!("{sum:?}"));
        let _ = write!(out, "{{\"count\":{count},\"sum\":{sum}}}");
    };
    match output.value {
        RowValue::Number(value) => put_number(out, value),
        RowValue::Histogram(region) => put_buckets(region.count(), region.sum()),
        RowValue::Exponential(region) => put_buckets(region.count(), region.sum()),
        RowValue::Summary(region) => put_buckets(region.count(), Some(region.sum())),
        RowValue::Ended(_) => out.push_str("null"),
    }
    out.push_str("}\n");
}

/// Writes the end.
pub fn put_end(out: &mut String, end: &ListingEnd) {
    let ListingEnd { series, cut, interval_s, has_more } = end;
    let _ = writeln!(
        out,
        "{{\"end\":{{\"series\":{series},\"cut\":{cut},\"interval_s\":{interval_s:?},\"more\":{has_more}}}}}"
    );
}

/// A run as an object, by key.
fn put_run(out: &mut String, run: &[u8]) {
    out.push('{');
    for (at, record) in Records::new(run).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}:", quoted(&String::from_utf8_lossy(record.key())));
        put_value(out, record.value());
    }
    out.push('}');
}

/// An `AnyValue` message.
fn put_value(out: &mut String, any: &[u8]) {
    let start = out.len();
    let mut reader = Reader::new(any);
    let is_written = (|| {
        match reader.field().ok()?.number {
            1 => out.push_str(&quoted(std::str::from_utf8(reader.bytes().ok()?).ok()?)),
            2 => out.push_str(if reader.varint().ok()? != 0 { "true" } else { "false" }),
            3 => write!(out, "{}", reader.varint().ok()? as i64).ok()?,
            4 => {
                let value = f64::from_bits(reader.fixed64().ok()?);
                out.push_str(&Some(value).filter(|value| value.is_finite()).map(shown_double)?);
            }
            _ => return None,
        }
        reader.is_empty().then_some(())
    })();
    if is_written.is_none() {
        out.truncate(start);
        out.push_str("{\"any\":\"");
        for byte in any {
            let _ = write!(out, "{byte:02x}");
        }
        out.push_str("\"}");
    }
}

/// So that it is read as a double.
fn shown_double(value: f64) -> String {
    format!("{value:?}")
}

fn put_number(out: &mut String, value: Number) {
    match value {
        Number::Int(value) => out.push_str(&value.to_string()),
        Number::Double(value) if value.is_finite() => out.push_str(&shown_double(value)),
        Number::Double(value) => out.push_str(&format!("\"{value}\"")),
    }
}

/// Reads a line; `kind` is that of the metric above it.
///
/// # Errors
/// Words: it is no such line.
pub fn read_line(line: &str, kind: Option<InputKind>) -> Result<ListedLine, String> {
    let wrong = |why: &str| format!("a line of the list is no such thing ({why})");
    let Ok(Value::Object(line)) = serde_json::from_str(line) else { return Err(wrong("it is no JSON object")) };
    let object = |key: &str| line.get(key).and_then(Value::as_object);
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    if let (Some(resource), Some(scope)) = (object("resource"), object("scope")) {
        let message = scope_of(scope).ok_or_else(|| wrong("scope"))?;
        return Ok(ListedLine::Place(run_of(resource, 0x0a).ok_or_else(|| wrong("resource"))?, message));
    }
    if let (Some(name), Some(word)) = (text("metric"), text("kind")) {
        let kind = InputKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| wrong("kind"))?;
        let bounds = line.get("bounds").and_then(Value::as_array);
        let bounds = bounds.into_iter().flatten().filter_map(Value::as_f64).collect();
        let unit = text("unit").unwrap_or_default().to_owned();
        return Ok(ListedLine::Metric(ListedMetric { name: name.to_owned(), unit, kind, bounds }));
    }
    if let Some(end) = object("end") {
        let number = |key: &str| end.get(key).and_then(Value::as_u64).unwrap_or(0);
        return Ok(ListedLine::End(ListingEnd {
            series: number("series"),
            cut: number("cut") as u32,
            interval_s: end.get("interval_s").and_then(Value::as_f64).unwrap_or(0.0),
            has_more: end.get("more").and_then(Value::as_bool).unwrap_or(false),
        }));
    }
    let (Some(attributes), Some(kind)) = (object("attributes"), kind) else {
        return Err(wrong("it is neither place, metric, series nor end"));
    };
    let cut = |at: usize| line.get("cuts").and_then(|cuts| cuts.get(at)).and_then(Value::as_u64).unwrap_or(0) as u32;
    let value = line.get("value").and_then(|value| match (value.as_i64(), value.as_f64()) {
        (Some(int), _) => Some(Number::Int(int)),
        (None, Some(double)) => Some(Number::Double(double)),
        (None, None) => value.as_str()?.parse().ok().map(Number::Double),
    });
    Ok(ListedLine::Series(ListedSeries {
        attributes: run_of(attributes, key_byte(kind.kind())).ok_or_else(|| wrong("attributes"))?,
        has_delta: matches!(text("input"), Some("delta" | "both")),
        has_cumulative: matches!(text("input"), Some("cumulative" | "both")),
        cuts: [cut(0), cut(1)],
        time_ns: line.get("time_ns").and_then(Value::as_u64).unwrap_or(0),
        value,
        is_hidden: line.get("hidden").and_then(Value::as_bool).unwrap_or(false),
    }))
}

/// An object as a run with this key byte.
fn run_of(object: &Map<String, Value>, key: u8) -> Option<Vec<u8>> {
    let (mut run, mut any, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in object {
        any.clear();
        pair.clear();
        match value {
            Value::String(text) => put_bytes(&mut any, 0x0a, text.as_bytes()),
            Value::Bool(value) => put_uint(&mut any, 0x10, u64::from(*value)),
            Value::Number(number) => match number.as_i64() {
                Some(int) => put_uint(&mut any, 0x18, int as u64),
                None => put_fixed64(&mut any, 0x21, number.as_f64()?.to_bits()),
            },
            Value::Object(other) => {
                let digits = other.get("any")?.as_str()?;
                let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
                any = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
            }
            Value::Array(_) | Value::Null => return None,
        }
        put_bytes(&mut pair, 0x0a, name.as_bytes());
        put_bytes(&mut pair, 0x12, &any);
        put_bytes(&mut run, key, &pair);
    }
    Some(run)
}

/// Who an output is, of its line.
///
/// # Errors
/// Words: it is no such line.
pub fn read_output(line: &Value) -> Result<ExplainedSeries, String> {
    let wrong = || "a line of the list is no output".to_owned();
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let run = |object: Option<&Value>, key: u8| run_of(object.and_then(Value::as_object)?, key);
    let kind = InputKind::ALL.into_iter().find(|kind| kind.word() == text("kind")).ok_or_else(wrong)?;
    let resource = run(line.get("resource"), 0x0a).ok_or_else(wrong)?;
    let attributes = run(line.get("attributes"), key_byte(kind.kind())).ok_or_else(wrong)?;
    let scope = line.get("scope").and_then(Value::as_object).and_then(scope_of).ok_or_else(wrong)?;
    let metric = MetricSeen {
        resource: &resource,
        scope: &scope,
        name: text("metric"),
        unit: text("unit"),
        kind: kind.kind(),
        monotonic: kind == InputKind::Counter,
    };
    Ok(ExplainedSeries::of(&metric, &attributes))
}

/// A scope as an `InstrumentationScope` message.
fn scope_of(scope: &Map<String, Value>) -> Option<Vec<u8>> {
    let part = |key: &str| scope.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut message = Vec::new();
    for (field, text) in SCOPE.iter().zip([part("name"), part("version")]).filter(|(_, text)| !text.is_empty()) {
        put_bytes(&mut message, *field, text.as_bytes());
    }
    if let Some(attributes) = scope.get("attributes").and_then(Value::as_object) {
        message.extend(run_of(attributes, SCOPE[2])?);
    }
    Some(message)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::identity::attributes;
    use crate::model::Kind;

    fn run(values: &[(&str, &[u8])], key: u8) -> Vec<u8> {
        let mut run = Vec::new();
        for (name, any) in values {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 0x0a, name.as_bytes());
            put_bytes(&mut pair, 0x12, any);
            put_bytes(&mut run, key, &pair);
        }
        run
    }

    /// Whatever values attributes have, they are read as they were written: their bytes are the identity.
    #[test]
    fn what_is_written_is_read_back() {
        let mut double = Vec::new();
        put_fixed64(&mut double, 0x21, 3.0f64.to_bits());
        let mut nan = Vec::new();
        put_fixed64(&mut nan, 0x21, f64::NAN.to_bits());
        let values: Vec<(&str, &[u8])> = vec![
            ("a", b"\x0a\x05x\"\n\xc3\xa4"),
            ("b", b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ("c", b"\x10\x01"),
            ("d", &double),
            ("e", &nan),
            ("f", b"\x2a\x04\x0a\x02\x18\x01"),
            ("g", b""),
            ("h", b"\x3a\x01\xff"),
            ("i", b"\x0a\x00"),
        ];
        let (resource, key) = (run(&values, 0x0a), key_byte(Kind::Sum));
        let mut scope = Vec::new();
        put_bytes(&mut scope, 0x0a, b"lib");
        scope.extend(run(&values[..2], 0x1a));
        let metric =
            MetricSeen { resource: &resource, scope: &scope, name: "m\"", unit: "s", kind: Kind::Sum, monotonic: true };
        let series = ListedSeries {
            attributes: run(&values, key),
            has_cumulative: true,
            cuts: [7, 3],
            time_ns: 5,
            value: Some(Number::Double(1e300)),
            is_hidden: true,
            ..ListedSeries::default()
        };
        let end = ListingEnd { series: 1, cut: 7, interval_s: 0.25, has_more: true };
        let mut out = String::new();
        put_place(&mut out, &resource, &scope);
        put_metric(&mut out, &metric, &[0.5, 1.0]);
        put_series(&mut out, &series);
        put_end(&mut out, &end);
        let lines: Vec<_> = out.lines().map(|line| read_line(line, Some(InputKind::Counter)).unwrap()).collect();
        let ListedLine::Place(read_resource, read_scope) = &lines[0] else { panic!("{lines:?}") };
        assert!(attributes::same(read_resource, &resource), "{out}");
        assert_eq!(read_scope, &scope);
        let told =
            ListedMetric { name: "m\"".into(), unit: "s".into(), kind: InputKind::Counter, bounds: vec![0.5, 1.0] };
        assert_eq!(lines[1], ListedLine::Metric(told));
        assert_eq!(lines[2..], [ListedLine::Series(series), ListedLine::End(end)]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for line in
            ["", "[]", "{}", "{\"attributes\":{\"a\":[]}}", "{\"metric\":\"m\",\"kind\":\"x\"}", "{\"attributes\":1}"]
        {
            assert!(read_line(line, Some(InputKind::Gauge)).is_err(), "{line}");
        }
        for any in ["0", "zz", "ä"] {
            let line = format!("{{\"attributes\":{{\"a\":{{\"any\":\"{any}\"}}}}}}");
            assert!(read_line(&line, Some(InputKind::Gauge)).is_err(), "{line}");
        }
        assert!(read_line("{\"attributes\":{}}", None).is_err(), "of which metric");
    }
}
