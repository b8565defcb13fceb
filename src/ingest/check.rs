//! What makes a point valid, beyond its wire format (M1 to M3, M9, M19, M25, M28, M31, M32).
//!
//! Knows the rules and which reason a point is rejected for; does not know routes or cells.

use super::stage::{self, StagedNumber};
use crate::limits::{HISTOGRAM_BOUNDS_MAX, SUMMARY_QUANTILES_MAX};
use crate::model::Reject;
use crate::otlp::points::{self, ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE, NumberPoint};
use crate::otlp::schema::{Message, validate};
use crate::otlp::summaries::SummaryPoint;
use crate::resolve::{EnvelopeKey, NONE};
use crate::wire::{Fault, check_utf8};

pub(super) fn check_head(head: &EnvelopeKey<'_>, message: Message, name: &'static str) -> Result<(), Fault> {
    validate(message, head.bytes, 1).map_err(|f| f.named(name))?;
    check_utf8(head.schema_url).map_err(|f| f.named("schema_url")).map(drop)
}

pub(super) fn check_metric((name, description, unit): (&[u8], &[u8], &[u8])) -> Result<(), Fault> {
    for (text, field) in [(name, "Metric.name"), (description, "Metric.description"), (unit, "Metric.unit")] {
        check_utf8(text).map_err(|f| f.named(field))?;
    }
    Ok(())
}

/// Most buckets that one exponential point may have on the wire, a side.
const WIRE_BUCKETS_MAX: usize = 65_536;

#[inline]
pub(super) fn check_number(point: &NumberPoint<'_>, mode: u32, latest: u64) -> Result<StagedNumber, Reject> {
    let mut staged = StagedNumber { route: NONE, flags: mode, value: 0, start: point.start, time: point.time };
    check_time(point.time, latest)?;
    // M7 spares the value, not the times
    if point.start > point.time && mode & stage::GAUGE == 0 {
        return Err(Reject::StartAfterTime);
    }
    if point.flags & NO_RECORDED_VALUE != 0 {
        staged.flags |= stage::NO_VALUE;
        return Ok(staged);
    }
    match point.value {
        points::PointValue::Int(v) => {
            staged.value = v as u64;
            if v < 0 && mode & (stage::MONOTONIC | stage::CUMULATIVE | stage::GAUGE) == stage::MONOTONIC {
                return Err(Reject::NegativeDelta);
            }
        }
        points::PointValue::Double(v) => {
            staged.value = v.to_bits();
            staged.flags |= stage::DOUBLE;
            if mode & stage::GAUGE == 0 && !v.is_finite() {
                return Err(Reject::NotFinite);
            }
            if v < 0.0 && mode & (stage::MONOTONIC | stage::CUMULATIVE) == stage::MONOTONIC {
                return Err(Reject::NegativeDelta);
            }
        }
        points::PointValue::Absent => return Err(Reject::NoValue),
    }
    Ok(staged)
}

pub(super) fn word_at(packed: &[u8], i: usize) -> u64 {
    packed[i * 8..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The sum of packed fixed64 counts, if it fits.
fn sum_of(packed: &[u8]) -> Option<u64> {
    (0..packed.len() / 8).try_fold(0u64, |sum, i| sum.checked_add(word_at(packed, i)))
}

/// M1, and no time after `latest`: a gauge or cumulative point of tomorrow would keep those of today out.
#[inline]
fn check_time(time: u64, latest: u64) -> Result<(), Reject> {
    // one comparison: 0 is past everything
    if time.wrapping_sub(1) < latest {
        return Ok(());
    }
    Err(if time == 0 { Reject::NoTime } else { Reject::FarFuture })
}

/// As `check_time`, and a start that is no later.
fn check_times(start: u64, time: u64, latest: u64) -> Result<(), Reject> {
    check_time(time, latest)?;
    if start > time {
        return Err(Reject::StartAfterTime);
    }
    Ok(())
}

pub(super) fn check_histogram(
    point: &mut HistogramPoint<'_>,
    known: bool,
    latest: u64,
    dropped: &mut u64,
) -> Result<(), Reject> {
    check_times(point.start, point.time, latest)?;
    if !known {
        let n = point.bounds.len() / 8;
        let bound = |i| f64::from_bits(word_at(point.bounds, i));
        if n > HISTOGRAM_BOUNDS_MAX || (0..n).any(|i| bound(i).is_nan() || i > 0 && bound(i) <= bound(i - 1)) {
            return Err(Reject::BadHistogram);
        }
    }
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(());
    }
    let counts_fit = if point.counts.is_empty() {
        point.bounds.is_empty()
    } else {
        point.counts.len() == point.bounds.len() + 8 && sum_of(point.counts) == Some(point.count)
    };
    if !counts_fit {
        return Err(Reject::BadHistogram);
    }
    if let Some(sum) = point.sum {
        if point.count == 0 && sum != 0.0 {
            return Err(Reject::BadHistogram);
        }
        if !sum.is_finite() {
            point.sum = None;
            *dropped += 1;
        }
    }
    Ok(())
}

pub(super) fn check_exponential(
    point: &mut ExponentialPoint<'_>,
    latest: u64,
    dropped: &mut u64,
) -> Result<(), Reject> {
    use crate::aggregate::exponential::{SCALE_MAX, SCALE_MIN};
    check_times(point.start, point.time, latest)?;
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(());
    }
    if !(SCALE_MIN..=SCALE_MAX).contains(&point.scale)
        || !point.zero_threshold.is_finite()
        || point.zero_threshold < 0.0
    {
        return Err(Reject::BadExponential);
    }
    let mut total = Some(point.zero_count);
    for side in [&point.positive, &point.negative] {
        let mut reader = crate::wire::Reader::new(side.counts);
        let mut buckets = 0usize;
        while !reader.is_empty() {
            // the varints have been validated with the message
            let Ok(count) = reader.varint() else { return Err(Reject::BadExponential) };
            total = total.and_then(|sum| sum.checked_add(count));
            buckets += 1;
        }
        if buckets > WIRE_BUCKETS_MAX || i64::from(side.offset) + buckets as i64 > i64::from(i32::MAX) {
            return Err(Reject::BadExponential);
        }
    }
    if total != Some(point.count) {
        return Err(Reject::BadExponential);
    }
    if let Some(sum) = point.sum {
        if point.count == 0 && sum != 0.0 {
            return Err(Reject::BadExponential);
        }
        if !sum.is_finite() {
            point.sum = None;
            *dropped += 1;
        }
    }
    Ok(())
}

/// M28. A value that is NaN is no negative value: a source without observations in its window sends it. Count and sum
/// are taken as they are.
pub(super) fn check_summary(point: &SummaryPoint<'_>, latest: u64) -> Result<(), Reject> {
    check_times(point.start, point.time, latest)?;
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(());
    }
    let all = point.quantiles;
    let in_range = |(quantile, value): &(f64, f64)| (0.0..=1.0).contains(quantile) && (value.is_nan() || *value >= 0.0);
    if all.len() > SUMMARY_QUANTILES_MAX || !all.iter().all(in_range) || all.windows(2).any(|two| two[0].0 >= two[1].0)
    {
        return Err(Reject::BadSummary);
    }
    Ok(())
}
