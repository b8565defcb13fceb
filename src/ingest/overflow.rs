//! Overflow series (M30): which points may go there, and how one is told.
//!
//! Source: OpenTelemetry metrics SDK specification, "Overflow attribute".

use crate::model::{Kind, Temporality};
use crate::otlp::attributes;

/// M30: what has no state to keep can be summed in the overflow series of its group.
pub(super) fn can_overflow(kind: Kind, temporality: Temporality) -> bool {
    temporality == Temporality::Delta && matches!(kind, Kind::Sum | Kind::Histogram)
}

/// `otel.metric.overflow` = true, as a run of this kind's attributes.
pub(super) fn overflow_run(kind: Kind) -> Vec<u8> {
    let key_byte = if kind == Kind::Histogram { 0x4a } else { 0x3a };
    let mut inner = Vec::new();
    crate::wire::put_bytes(&mut inner, 0x0a, OVERFLOW_KEY);
    crate::wire::put_bytes(&mut inner, 0x12, &[0x10, 1]);
    let mut run = Vec::new();
    crate::wire::put_bytes(&mut run, key_byte, &inner);
    run
}

const OVERFLOW_KEY: &[u8] = b"otel.metric.overflow";

/// Whether the run is that of an overflow series, which is outside the limit.
pub(crate) fn is_overflow(run: &[u8]) -> bool {
    run.len() < 40 && attributes::Records::new(run).next().is_some_and(|record| record.key() == OVERFLOW_KEY)
}
