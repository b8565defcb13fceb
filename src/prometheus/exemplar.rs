//! Exemplars, as a row offers them.
//!
//! Knows `Exemplar` (OTLP 1.x, metrics.proto); does not know how a page shows it: text format 0.0.4 has no place for them.

use crate::aggregate::number::Value;

/// A measurement that went into a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// What was measured.
    pub value: Value,
    /// When, since the epoch.
    pub time_ns: u64,
    /// `filtered_attributes`, as records one after the other: a one-byte key, a varint length, a `KeyValue` message.
    pub attributes: &'a [u8],
    /// 16 bytes, or none.
    pub trace_id: &'a [u8],
    /// 8 bytes, or none.
    pub span_id: &'a [u8],
}
