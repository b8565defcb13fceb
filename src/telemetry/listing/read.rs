//! Lines of a list, read.
//!
//! Knows what `super` writes; does not know who asks.

use super::lines::{ListedLine, ListedMetric, ListedSeries, ListingEnd, SCOPE};
use crate::aggregate::number::Value as Number;
use crate::identity::attributes::key_byte;
use crate::rules::{ExplainedSeries, InputKind, MetricSeen};
use crate::wire::{put_bytes, put_fixed64, put_uint};
use serde_json::{Map, Value};

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
