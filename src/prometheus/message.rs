//! The protobuf format: one row as an `io.prometheus.client.Metric`.
//!
//! Knows metrics.proto's messages and native histograms; does not know families or chunks.
//!
//! Native histograms (X15): bucket `i` of OpenTelemetry is Prometheus' `i + 1`; a scale above 8 is lowered to it, one
//! below −4 has no schema and is not shown; a zero threshold of 0 is written as 1e-128, which also tells an empty native
//! histogram from a classic one; without a sum there is none. `sample_count` is what the buckets add up to, because
//! Prometheus refuses a whole scrape in which it is not.
//!
//! Source: prometheus/client_model, io/prometheus/client/metrics.proto; OpenTelemetry "Prometheus and OpenMetrics
//! Compatibility", "Exponential Histograms".

use std::sync::Arc;

use crate::aggregate::explicit::HAS_SUM;
use crate::aggregate::exponential::{Exponential, Side};
use crate::prometheus::exemplar::{Exemplar, by_bucket, newest, put_timestamp};
use crate::prometheus::name::Naming;
use crate::prometheus::report::WarningReason;
use crate::prometheus::text::MetricType;
use crate::wire::{put_bytes, put_fixed64, put_uint, put_varint, zigzag};

/// Highest and lowest schema of a native histogram.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// The zero bucket's width where the sender gave none.
const ZERO_THRESHOLD_DEFAULT: f64 = 1e-128;
/// Empty buckets between two others that are written as such; more of them begin a new span.
const GAP_MAX: usize = 2;

/// `MetricFamily.metric`.
pub(super) const METRIC: u8 = 0x22;

/// Appends `MetricFamily`'s fields before its metrics.
pub(super) fn put_family(out: &mut Vec<u8>, name: &str, help: &str, kind: MetricType, unit: Option<&str>) {
    put_bytes(out, 0x0a, name.as_bytes());
    if !help.is_empty() {
        put_bytes(out, 0x12, help.as_bytes());
    }
    let kind = match kind {
        MetricType::Counter => 0,
        MetricType::Gauge => 1,
        MetricType::Summary => 2,
        MetricType::Unknown => 3,
        MetricType::Histogram => 4,
    };
    put_uint(out, 0x18, kind);
    if let Some(unit) = unit {
        put_bytes(out, 0x2a, unit.as_bytes());
    }
}

/// What is shown beside a row's value.
#[derive(Clone, Copy)]
pub(super) struct Annotations<'a> {
    /// Start of the running total; 0 if not known.
    pub start_ns: u64,
    pub exemplars: &'a [Exemplar<'a>],
}

/// Writes the value fields of metrics. Keeps its memory.
#[derive(Default)]
pub(super) struct Messages {
    inside: Vec<u8>,
    part: Vec<u8>,
    scaled: Exponential,
}

impl Messages {
    /// Appends `gauge`, `untyped` or `counter`.
    pub(super) fn put_number(
        &mut self,
        out: &mut Vec<u8>,
        kind: MetricType,
        value: f64,
        annotations: Annotations<'_>,
        naming: Naming,
    ) {
        let inside = &mut self.inside;
        inside.clear();
        put_fixed64(inside, 0x09, value.to_bits());
        if kind != MetricType::Counter {
            return put_bytes(out, if kind == MetricType::Unknown { 0x2a } else { 0x12 }, inside);
        }
        if let Some(exemplar) = newest(annotations.exemplars) {
            self.part.clear();
            exemplar.put_message(&mut self.part, naming);
            put_bytes(inside, 0x12, &self.part);
        }
        if annotations.start_ns > 0 {
            put_timestamp(inside, 0x1a, annotations.start_ns);
        }
        put_bytes(out, 0x1a, inside);
    }

    /// Appends `summary`.
    pub(super) fn put_summary(
        &mut self,
        out: &mut Vec<u8>,
        (count, sum): (u64, f64),
        quantiles: &[(f64, f64)],
        annotations: Annotations<'_>,
    ) {
        let inside = &mut self.inside;
        inside.clear();
        put_uint(inside, 0x08, count);
        put_fixed64(inside, 0x11, sum.to_bits());
        for (quantile, value) in quantiles {
            self.part.clear();
            put_fixed64(&mut self.part, 0x09, quantile.to_bits());
            put_fixed64(&mut self.part, 0x11, value.to_bits());
            put_bytes(inside, 0x1a, &self.part);
        }
        if annotations.start_ns > 0 {
            put_timestamp(inside, 0x22, annotations.start_ns);
        }
        put_bytes(out, 0x22, inside);
    }

    /// Appends `histogram` with classic buckets.
    pub(super) fn put_histogram(
        &mut self,
        out: &mut Vec<u8>,
        (bounds, buckets): (Option<&Arc<[f64]>>, &[u64]),
        (count, sum): (u64, Option<f64>),
        annotations: Annotations<'_>,
        naming: Naming,
    ) {
        let Messages { inside, part, .. } = self;
        inside.clear();
        put_uint(inside, 0x08, count);
        if let Some(sum) = sum {
            put_fixed64(inside, 0x11, sum.to_bits());
        }
        let bounds: &[f64] = bounds.filter(|bounds| buckets.len() == bounds.len() + 1).map_or(&[], |bounds| &**bounds);
        let finite = &bounds[..bounds.partition_point(|bound| *bound < f64::INFINITY)];
        let exemplars = by_bucket(annotations.exemplars, finite);
        let mut cumulative: u64 = 0;
        for (at, bound) in finite.iter().copied().chain([f64::INFINITY]).enumerate() {
            cumulative = if at < finite.len() { cumulative.saturating_add(buckets[at]).min(count) } else { count };
            part.clear();
            put_uint(part, 0x08, cumulative);
            put_fixed64(part, 0x11, bound.to_bits());
            if let Ok(found) = exemplars.binary_search_by_key(&at, |(bucket, _)| *bucket) {
                let mut message = Vec::new();
                exemplars[found].1.put_message(&mut message, naming);
                put_bytes(part, 0x1a, &message);
            }
            put_bytes(inside, 0x1a, part);
        }
        if annotations.start_ns > 0 {
            put_timestamp(inside, 0x7a, annotations.start_ns);
        }
        put_bytes(out, 0x3a, inside);
    }

    /// Appends `histogram` with native buckets, or says why there can be none (nothing is appended then).
    pub(super) fn put_native(
        &mut self,
        out: &mut Vec<u8>,
        value: &Exponential,
        annotations: Annotations<'_>,
        naming: Naming,
    ) -> Result<(), WarningReason> {
        if value.flags & HAS_SUM == 0 {
            return Err(WarningReason::NativeSum);
        }
        if value.scale < SCHEMA_MIN {
            return Err(WarningReason::NativeScale);
        }
        let Messages { inside, part, scaled } = self;
        scaled.copy_from(value);
        scaled.downscale((value.scale - SCHEMA_MAX).max(0) as u32);
        // a bound of the finer scale may lie inside a wider bucket
        if scaled.scale < value.scale {
            scaled.raise_zero_threshold(value.zero_threshold);
        }
        let all = [&scaled.positive, &scaled.negative].into_iter().flat_map(|side| &side.counts);
        let count = all.chain([&scaled.zero_count]).try_fold(0u64, |sum, count| sum.checked_add(*count));
        let Some(count) = count.filter(|count| *count <= i64::MAX as u64) else {
            return Err(WarningReason::CountOverflow);
        };
        inside.clear();
        put_uint(inside, 0x08, count);
        put_fixed64(inside, 0x11, scaled.sum.to_bits());
        put_uint(inside, 0x28, zigzag(scaled.scale));
        let threshold = if scaled.zero_threshold > 0.0 { scaled.zero_threshold } else { ZERO_THRESHOLD_DEFAULT };
        put_fixed64(inside, 0x31, threshold.to_bits());
        put_uint(inside, 0x38, scaled.zero_count);
        put_side(inside, part, 0x4a, 0x50, &scaled.negative);
        put_side(inside, part, 0x62, 0x68, &scaled.positive);
        if annotations.start_ns > 0 {
            put_timestamp(inside, 0x7a, annotations.start_ns);
        }
        for exemplar in annotations.exemplars.iter().filter(|e| !e.double().is_nan() && e.time_ns > 0) {
            part.clear();
            exemplar.put_message(part, naming);
            // field 16 has a key of two bytes
            inside.push(0x82);
            put_bytes(inside, 0x01, part);
        }
        put_bytes(out, 0x3a, inside);
        Ok(())
    }
}

/// Spans, then deltas: each the difference from the bucket before. The counts add up to at most `i64::MAX`.
fn put_side(out: &mut Vec<u8>, part: &mut Vec<u8>, span_key: u8, delta_key: u8, side: &Side) {
    let mut end = 0i64;
    for (from, to) in spans(&side.counts) {
        let start = i64::from(side.offset) + from as i64 + 1;
        part.clear();
        put_uint(part, 0x08, zigzag((start - end) as i32));
        put_uint(part, 0x10, (to - from) as u64);
        put_bytes(out, span_key, part);
        end = i64::from(side.offset) + to as i64 + 1;
    }
    let mut before = 0i64;
    for (from, to) in spans(&side.counts) {
        for count in &side.counts[from..to] {
            let delta = *count as i64 - before;
            out.push(delta_key);
            put_varint(out, ((delta << 1) ^ (delta >> 63)) as u64);
            before = *count as i64;
        }
    }
}

/// Runs of buckets, without more than `GAP_MAX` empty ones in a row.
fn spans(counts: &[u64]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + counts[at..].iter().position(|count| *count > 0)?;
        let mut to = from + 1;
        while let Some(gap) = counts[to..].iter().position(|count| *count > 0).filter(|gap| *gap <= GAP_MAX) {
            to += gap + 1;
        }
        at = to;
        Some((from, to))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x15_spans_skip_long_gaps_only() {
        let check = |counts: &[u64], want: &[(usize, usize)]| assert_eq!(spans(counts).collect::<Vec<_>>(), want);
        check(&[], &[]);
        check(&[0, 0], &[]);
        check(&[1], &[(0, 1)]);
        check(&[0, 1, 0, 0, 2, 0], &[(1, 5)]);
        check(&[1, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4], &[(0, 1), (4, 6), (10, 11)]);
    }
}
