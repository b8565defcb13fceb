//! What must be kept of members, for some output to be computed: bits.
//!
//! Knows nothing else.

/// Σ of the samples, and how many.
pub(super) const MEAN: u16 = 1;
/// How far they lie from their mean.
pub(super) const MOMENTS: u16 = 2;
/// The smallest and the largest.
pub(super) const EXTREMES: u16 = 4;
/// The newest and the oldest.
pub(super) const TIMES: u16 = 8;
/// Σ of the levels of live members fed by cumulatives.
pub(super) const STANDING: u16 = 16;
/// Histograms' buckets.
pub(super) const REGIONS: u16 = 32;
/// Histograms of levels.
pub(super) const MADE: u16 = 64;
/// Levels one by one.
pub(super) const VALUES: u16 = 128;
/// The newest summary, whole.
pub(super) const NEWEST: u16 = 256;
/// Anything of members' levels.
pub(super) const LEVELS: u16 = MEAN | MOMENTS | EXTREMES | TIMES | STANDING | MADE | VALUES;
