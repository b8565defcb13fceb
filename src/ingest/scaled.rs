//! Points of streams whose values a rule multiplies.
//!
//! Knows what of a point is a value; does not know rules, nor bounds of histograms, which are part of who a series is
//! (`resolve`).
//!
//! - A number, a sum, an extreme, a summary's quantile, an exemplar: multiplied. A whole number stays one where the factor is
//!   one and the product fits, else it becomes a double.
//! - Buckets of an explicit histogram stay: their bounds are multiplied.
//! - Buckets of an exponential histogram are moved by whole buckets of scale `limits::SCALED_BUCKET_SCALE`, whatever their own
//!   scale, so that points of one stream stay comparable when their scale falls: exact for powers of two, else quantiles are
//!   off by half such a bucket at most (4.4 %). Below that scale they are moved by whole buckets of their own.
//! - Counts and times stay.

use super::stage::{DOUBLE, GAUGE, NO_VALUE, StagedNumber};
use crate::limits::SCALED_BUCKET_SCALE;
use crate::model::Reject;
use crate::otlp::exemplars;
use crate::otlp::points::{Buckets, ExponentialPoint, HistogramPoint};
use crate::otlp::summaries::SummaryPoint;
use crate::wire::{Reader, put_bytes};
use bumpalo::Bump;

/// A point whose values can be multiplied.
pub(super) trait Scaled<'a>: Sized {
    /// The point with its values multiplied.
    ///
    /// # Errors
    /// What is no such point any more: a sum that is not finite, buckets beyond all indexes.
    fn scaled(self, by: f64, arena: &'a Bump) -> Result<Self, Reject>;
}

impl<'a> Scaled<'a> for StagedNumber {
    fn scaled(mut self, by: f64, _: &'a Bump) -> Result<Self, Reject> {
        if self.flags & NO_VALUE != 0 {
            return Ok(self);
        }
        let whole = by.fract() == 0.0 && by.abs() < 9e15;
        let product = match self.flags & DOUBLE {
            0 if whole => (self.value as i64).checked_mul(by as i64),
            _ => None,
        };
        if let Some(product) = product {
            self.value = product as u64;
            return Ok(self);
        }
        let value = if self.flags & DOUBLE != 0 { f64::from_bits(self.value) } else { self.value as i64 as f64 };
        let product = value * by;
        if !product.is_finite() && self.flags & GAUGE == 0 {
            return Err(Reject::NotFinite);
        }
        (self.value, self.flags) = (product.to_bits(), self.flags | DOUBLE);
        Ok(self)
    }
}

impl<'a> Scaled<'a> for HistogramPoint<'a> {
    fn scaled(mut self, by: f64, arena: &'a Bump) -> Result<Self, Reject> {
        for value in [&mut self.sum, &mut self.min, &mut self.max].into_iter().flatten() {
            *value *= by;
        }
        if self.sum.is_some_and(|sum| !sum.is_finite()) {
            return Err(Reject::NotFinite);
        }
        self.exemplars = scaled_exemplars(self.exemplars, 8, by, arena);
        Ok(self)
    }
}

impl<'a> Scaled<'a> for ExponentialPoint<'a> {
    fn scaled(mut self, by: f64, arena: &'a Bump) -> Result<Self, Reject> {
        for value in [&mut self.sum, &mut self.min, &mut self.max].into_iter().flatten() {
            *value *= by;
        }
        self.zero_threshold *= by;
        if !self.sum.is_none_or(f64::is_finite) || !self.zero_threshold.is_finite() {
            return Err(Reject::NotFinite);
        }
        let distance = buckets_between(by, self.scale);
        let moved = |buckets: Buckets<'a>| {
            let offset = i64::from(buckets.offset) + distance;
            // the buckets behind it have room, as they had before
            let room = offset + buckets.counts.len() as i64 <= i64::from(i32::MAX);
            let offset = i32::try_from(offset).ok().filter(|_| room);
            offset.map(|offset| Buckets { offset, ..buckets }).ok_or(Reject::BadExponential)
        };
        (self.positive, self.negative) = (moved(self.positive)?, moved(self.negative)?);
        self.exemplars = scaled_exemplars(self.exemplars, 11, by, arena);
        Ok(self)
    }
}

impl<'a> Scaled<'a> for SummaryPoint<'a> {
    fn scaled(mut self, by: f64, arena: &'a Bump) -> Result<Self, Reject> {
        self.sum *= by;
        self.quantiles =
            arena.alloc_slice_fill_iter(self.quantiles.iter().map(|(quantile, value)| (*quantile, value * by)));
        Ok(self)
    }
}

/// How many buckets of this scale lie between a value and `by` times it, about.
fn buckets_between(by: f64, scale: i32) -> i64 {
    let steps = (by.log2() * f64::from(1u32 << SCALED_BUCKET_SCALE)).round() as i64;
    match scale - SCALED_BUCKET_SCALE {
        up @ 0.. => steps << up,
        down => steps >> down.unsigned_abs().min(63),
    }
}

/// The exemplars (field `number`) of a message, which are well-formed, with their values multiplied, and nothing else of it.
pub(super) fn scaled_exemplars<'a>(message: &'a [u8], number: u32, by: f64, arena: &'a Bump) -> &'a [u8] {
    if message.is_empty() {
        return message;
    }
    let mut out = Vec::with_capacity(message.len());
    let mut one = Vec::new();
    exemplars::each(message, number, |exemplar| {
        one.clear();
        put_scaled(exemplar, by, &mut one);
        // one byte: no message has its exemplars under a higher number than 15
        put_bytes(&mut out, (number << 3 | 2) as u8, &one);
    });
    arena.alloc_slice_copy(&out)
}

/// Appends an exemplar with its value multiplied, as a double.
fn put_scaled(exemplar: &[u8], by: f64, out: &mut Vec<u8>) {
    let mut reader = Reader::new(exemplar);
    loop {
        let before = reader.rest();
        let Ok(field) = reader.field() else { return };
        let value = match field.number {
            3 => reader.fixed64().ok().map(f64::from_bits),
            6 => reader.fixed64().ok().map(|bits| bits as i64 as f64),
            _ => {
                if reader.skip(field, 1).is_err() {
                    return;
                }
                out.extend_from_slice(&before[..before.len() - reader.left()]);
                continue;
            }
        };
        let Some(value) = value else { return };
        out.push(0x19);
        out.extend_from_slice(&(value * by).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::CUMULATIVE;
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::{Exemplar, exemplar::Value};
    use prost::Message;

    #[test]
    fn numbers_stay_whole_where_they_can() {
        let arena = Bump::new();
        let number = |value: u64, flags| StagedNumber { route: 0, flags, value, start: 0, time: 1 };
        let check = |value, flags, by, want: (u64, u32)| {
            let scaled = number(value, flags).scaled(by, &arena).unwrap();
            assert_eq!((scaled.value, scaled.flags), want, "{value} {flags} by {by}");
        };
        check(7, CUMULATIVE, 1_000.0, (7_000, CUMULATIVE));
        check(-7i64 as u64, 0, 1_000.0, (-7_000i64 as u64, 0));
        check(7, 0, 0.5, (3.5f64.to_bits(), DOUBLE));
        check(i64::MAX as u64, 0, 4.0, ((i64::MAX as f64 * 4.0).to_bits(), DOUBLE));
        check(0.25f64.to_bits(), DOUBLE, 4.0, (1f64.to_bits(), DOUBLE));
        check(0, NO_VALUE, 4.0, (0, NO_VALUE));
        assert_eq!(number(f64::MAX.to_bits(), DOUBLE).scaled(4.0, &arena).unwrap_err(), Reject::NotFinite);
        assert!(number(f64::MAX.to_bits(), DOUBLE | GAUGE).scaled(4.0, &arena).is_ok());
    }

    /// Powers of two exactly; what is moved and then made coarser is what is made coarser and then moved.
    #[test]
    fn buckets_of_exponential_histograms_move_alike_at_all_scales() {
        assert_eq!([0, 1, 5, 20].map(|scale| buckets_between(4.0, scale)), [2, 4, 64, 2 << 20]);
        assert_eq!(buckets_between(0.001, 3), -80);
        assert_eq!(buckets_between(0.25, -2), -1);
        for scale in SCALED_BUCKET_SCALE + 1..=20 {
            for index in [-1_000_000i64, -7, 0, 1, 12_345] {
                let (fine, coarse) = (buckets_between(0.001, scale), buckets_between(0.001, scale - 1));
                assert_eq!((index + fine) >> 1, (index >> 1) + coarse, "{index} at {scale}");
            }
        }
        let error = |by: f64| (buckets_between(by, 3) as f64 / 8.0).exp2() / by - 1.0;
        assert!([0.001, 1e-6, 60.0, 3.6, 1e9].iter().all(|by| error(*by).abs() < 0.0443));
    }

    #[test]
    fn exemplars_keep_all_but_their_value() {
        let arena = Bump::new();
        let exemplar = |value| Exemplar {
            time_unix_nano: 5,
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
            value: Some(value),
            ..Default::default()
        };
        let mut message = Vec::new();
        for one in [exemplar(Value::AsInt(3)), exemplar(Value::AsDouble(0.5))] {
            put_bytes(&mut message, 0x42, &one.encode_to_vec());
        }
        let scaled = scaled_exemplars(&message, 8, 0.5, &arena);
        let mut seen = Vec::new();
        exemplars::each(scaled, 8, |one| seen.push(Exemplar::decode(one).unwrap()));
        assert_eq!(seen, [exemplar(Value::AsDouble(1.5)), exemplar(Value::AsDouble(0.25))]);
    }
}
