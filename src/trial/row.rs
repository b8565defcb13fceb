//! One series at one cut, as it left: owned and readable, whatever words it came in.
//!
//! Knows rows and the messages of attributes; does not know what was expected.

use crate::model::Temporality;
use crate::rows::{Metric, Row, RowValue, Rows};
use crate::rules::InputKind;
use crate::trial::value::{Bucketed, Label, SeriesName, Summarised, TrialValue};
use crate::wire::Reader;
use std::collections::BTreeMap;

/// One series at one cut, in one view.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRow {
    /// The view that it left in.
    pub view: Temporality,
    /// Who it is.
    pub series: SeriesName,
    /// Name and version of its scope.
    pub scope: (String, String),
    /// `Metric.unit`
    pub unit: String,
    /// Its kind.
    pub kind: InputKind,
    /// Where its value begins, nanoseconds; 0: not known, or none.
    pub start_ns: u64,
    /// The point's time, nanoseconds.
    pub time_ns: u64,
    /// Its value.
    pub value: TrialValue,
}

/// Appends all rows of a view.
pub(super) fn take_rows(rows: &impl Rows, view: Temporality, into: &mut Vec<TrialRow>) {
    for number in 0..rows.metrics() {
        let metric = rows.metric(number);
        rows.each(number, view, |row| into.push(taken(&metric, view, row)));
    }
}

fn taken(metric: &Metric<'_>, view: Temporality, row: Row<'_>) -> TrialRow {
    let series = SeriesName {
        metric: metric.name.to_owned(),
        attributes: labels(row.attributes),
        resource: labels(&fields(metric.resource, 1)),
    };
    let scope_text = |number| texts(metric.scope, number).next_back().unwrap_or_default();
    let value = match row.value {
        RowValue::Number(value) => TrialValue::Number(value),
        RowValue::Histogram(region) => TrialValue::Buckets(Box::new(Bucketed {
            count: region.count(),
            sum: region.sum(),
            min: region.min(),
            max: region.max(),
            bounds: Some(metric.bounds.to_vec()),
            counts: region.buckets().to_vec(),
            ..Bucketed::default()
        })),
        RowValue::Exponential(region) => {
            let ((offset, counts), (negative_offset, negative)) = (region.positive(), region.negative());
            TrialValue::Buckets(Box::new(Bucketed {
                count: region.count(),
                sum: region.sum(),
                min: region.min(),
                max: region.max(),
                bounds: None,
                counts: counts.to_vec(),
                scale: region.scale(),
                offset,
                zero_count: region.zero_count(),
                zero_threshold: region.zero_threshold(),
                negative_offset,
                negative: negative.to_vec(),
            }))
        }
        RowValue::Summary(region) => TrialValue::Summary(Summarised {
            count: region.count(),
            sum: region.sum(),
            quantiles: region.quantiles().collect(),
        }),
        RowValue::Ended(_) => TrialValue::End,
    };
    TrialRow {
        view,
        series,
        scope: (scope_text(1), scope_text(2)),
        unit: metric.unit.to_owned(),
        kind: InputKind::of(metric.kind, metric.monotonic),
        start_ns: row.start_ns,
        time_ns: row.time_ns,
        value,
    }
}

/// The attributes of a run of `KeyValue` records, each with its key byte and length. What was written here is read here:
/// reading stops where it is broken.
fn labels(run: &[u8]) -> BTreeMap<String, Label> {
    let (mut all, mut reader) = (BTreeMap::new(), Reader::new(run));
    while !reader.is_empty() {
        let Some(message) = reader.field().ok().and_then(|_| reader.bytes().ok()) else { break };
        let key = texts(message, 1).next_back().unwrap_or_default();
        let value = members(message, 2).next_back().unwrap_or_default();
        all.insert(key, label(value));
    }
    all
}

/// An `AnyValue` message.
fn label(any: &[u8]) -> Label {
    let mut reader = Reader::new(any);
    let read = reader.field().ok().and_then(|field| {
        Some(match field.number {
            1 => Label::Text(String::from_utf8_lossy(reader.bytes().ok()?).into_owned()),
            2 => Label::Bool(reader.varint().ok()? != 0),
            3 => Label::Int(reader.varint().ok()? as i64),
            4 => Label::Double(reader.fixed64().ok()?),
            _ => return None,
        })
    });
    read.filter(|_| reader.is_empty()).unwrap_or_else(|| Label::Other(any.to_vec()))
}

/// The members of a message that have this number and a length.
fn members(message: &[u8], number: u32) -> impl DoubleEndedIterator<Item = &[u8]> {
    let (mut all, mut reader) = (Vec::new(), Reader::new(message));
    while !reader.is_empty() {
        let Ok(field) = reader.field() else { break };
        if field.number == number
            && let Ok(bytes) = reader.bytes()
        {
            all.push(bytes);
        } else if reader.skip(field, 0).is_err() {
            break;
        }
    }
    all.into_iter()
}

fn texts(message: &[u8], number: u32) -> impl DoubleEndedIterator<Item = String> {
    members(message, number).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The members of this number, as records again.
fn fields(message: &[u8], number: u32) -> Vec<u8> {
    let mut run = Vec::new();
    members(message, number).for_each(|bytes| crate::wire::put_bytes(&mut run, 0x0a, bytes));
    run
}
