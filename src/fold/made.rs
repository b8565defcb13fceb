//! Histograms that a rule makes: of samples, of histograms with other buckets.
//!
//! Knows buckets of both kinds; does not know when anything leaves.

use super::rebucket::bucket_of;
use super::regions::{ExplicitSum, exponential_bytes};
use super::sketch;
use crate::aggregate::explicit::COUNT;
use crate::aggregate::exponential::Exponential;
use crate::rules::Bucketing;
use std::sync::Arc;

/// A histogram of given buckets.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Explicit { bounds: Arc<[f64]>, sum: ExplicitSum },
    Exponential { buckets_max: usize, value: Box<Exponential> },
}

impl Made {
    pub(super) fn new(bucketing: &Bucketing) -> Made {
        match bucketing {
            Bucketing::Explicit(bounds) => {
                Made::Explicit { bounds: bounds.clone(), sum: ExplicitSum::of(bounds.len() + 1) }
            }
            Bucketing::Exponential(buckets) => {
                Made::Exponential { buckets_max: usize::from(*buckets).max(1), value: Box::default() }
            }
        }
    }

    /// How many values are in it.
    pub(super) fn count(&self) -> u64 {
        match self {
            Made::Explicit { sum, .. } => sum.words[COUNT],
            Made::Exponential { value, .. } => value.count,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Made::Explicit { sum, .. } => sum.clear(),
            Made::Exponential { value, .. } => value.clear(),
        }
    }

    /// Adds a finite value; `one` is memory for it.
    pub(super) fn observe(&mut self, value: f64, one: &mut Exponential) {
        match self {
            Made::Explicit { bounds, sum } => sum.observe(bucket_of(bounds, value), value),
            Made::Exponential { buckets_max, value: all } => {
                sketch::observe(all, value, one);
                all.fit_within(*buckets_max);
            }
        }
    }

    /// Adds what another one of the same buckets has; `true` if a count passed 64 bits, and it begins anew with that (M8).
    pub(super) fn absorb(&mut self, other: &mut Made) -> bool {
        match (self, other) {
            (Made::Explicit { sum, .. }, Made::Explicit { sum: other, .. }) => sum.absorb(other),
            (Made::Exponential { buckets_max, value }, Made::Exponential { value: other, .. }) => {
                let overflows = value.merge(other);
                if overflows {
                    value.copy_from(other);
                }
                value.fit_within(*buckets_max);
                overflows
            }
            _ => unreachable!("both are of one output, and made with its bucketing"),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Made::Explicit { sum, .. } => 8 * sum.words.len(),
            Made::Exponential { value, .. } => exponential_bytes(value),
        }
    }
}
