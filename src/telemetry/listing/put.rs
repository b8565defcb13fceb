//! Lines of a list, written.
//!
//! Knows how each looks; does not know where series are kept.

use super::lines::{ListedOutput, ListedSeries, ListingEnd};
use crate::aggregate::number::Value as Number;
use crate::identity::attributes::Records;
use crate::log::put_quoted;
use crate::rows::RowValue;
use crate::rules::{MetricSeen, ScopeParts};
use crate::wire::Reader;
use std::fmt::Write;

/// Writes a resource and a scope.
pub fn put_place(out: &mut String, resource: &[u8], scope: &[u8]) {
    out.push_str("{\"resource\":");
    put_run(out, resource);
    put_scope(out, scope);
    out.push_str("}\n");
}

fn put_scope(out: &mut String, scope: &[u8]) {
    let ScopeParts { name, version, attributes } = ScopeParts::of(scope);
    out.push_str(",\"scope\":{\"name\":");
    put_quoted(out, name);
    out.push_str(",\"version\":");
    put_quoted(out, version);
    out.push_str(",\"attributes\":");
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
    out.push_str("\"metric\":");
    put_quoted(out, metric.name);
    out.push_str(",\"unit\":");
    put_quoted(out, metric.unit);
    let _ = write!(out, ",\"kind\":\"{}\"", metric.input().word());
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
        if at > 0 {
            out.push(',');
        }
        put_quoted(out, &String::from_utf8_lossy(record.key()));
        out.push(':');
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
            1 => put_quoted(out, std::str::from_utf8(reader.bytes().ok()?).ok()?),
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
        Number::Int(value) => drop(write!(out, "{value}")),
        Number::Double(value) if value.is_finite() => drop(write!(out, "{value:?}")),
        Number::Double(value) => drop(write!(out, "\"{value}\"")),
    }
}
