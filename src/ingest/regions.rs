//! Points of histograms as the regions and structs that cells hold.
//!
//! Knows both shapes; does not know cells. The points have been checked (`check_histogram`, `check_exponential`).

use super::check::word_at;
use crate::aggregate::explicit::{self, flags_of};
use crate::aggregate::exponential::{Exponential, Side};
use crate::otlp::points::{Buckets, ExponentialPoint, HistogramPoint};

pub(super) fn fill_region(region: &mut [u64], point: &HistogramPoint<'_>) {
    region[explicit::COUNT] = point.count;
    region[explicit::SUM] = point.sum.unwrap_or(0.0).to_bits();
    region[explicit::MIN] = point.min.unwrap_or(0.0).to_bits();
    region[explicit::MAX] = point.max.unwrap_or(0.0).to_bits();
    region[explicit::FLAGS] = flags_of(point.count, point.sum, point.min, point.max);
    // one bucket has them all, also those of a point with bounds that goes to an overflow group without
    if point.counts.is_empty() || region.len() == explicit::HEAD + 1 {
        region[explicit::HEAD] = point.count;
    } else {
        for (i, slot) in region[explicit::HEAD..].iter_mut().enumerate() {
            *slot = word_at(point.counts, i);
        }
    }
}

pub(super) fn fill_exponential(into: &mut Exponential, point: &ExponentialPoint<'_>) {
    into.clear();
    into.count = point.count;
    into.sum = point.sum.unwrap_or(0.0);
    into.min = point.min.unwrap_or(0.0);
    into.max = point.max.unwrap_or(0.0);
    into.flags = flags_of(point.count, point.sum, point.min, point.max);
    into.zero_count = point.zero_count;
    into.zero_threshold = point.zero_threshold;
    into.scale = point.scale;
    fill_side(&mut into.positive, &point.positive);
    fill_side(&mut into.negative, &point.negative);
    into.fit();
}

fn fill_side(into: &mut Side, from: &Buckets<'_>) {
    into.offset = from.offset;
    let mut reader = crate::wire::Reader::new(from.counts);
    while let Ok(count) = reader.varint() {
        into.counts.push(count);
    }
}
