//! What whoever folds has at hand: memory that is used again, and what was noticed on the way.
//!
//! One for each thread and rule, or for each thread where notes are taken out after each rule.

use super::exact::ExactSum;
use super::rebucket::Spread;
use crate::aggregate::exponential::Exponential;

/// What was noticed: counters, to be taken and added to a rule's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Values that were left out because they are not finite (S7); once a value and base cut.
    pub not_finite: u64,
    /// Sums of ints that left as doubles (S8).
    pub int_overflows: u64,
    /// Counts that passed 64 bits: the total began anew (S9).
    pub count_overflows: u64,
    /// Sums and means of histograms that did not leave, because a member had no sum.
    pub no_sum: u64,
    /// Minima and maxima of histograms that did not leave, because a member had none (M22).
    pub no_extremes: u64,
    /// Histograms with bounds that differ, brought to one set of bounds for what joins them.
    pub mixed_bounds: u64,
    /// Values of an unbounded bucket that were put at its finite bound (S14).
    pub unbounded_rebucketed: u64,
    /// Values that went to a table's rest, as it was full.
    pub table_full: u64,
    /// Outputs found to leave with the identity of another, or of a series that passes on; once a pair, for each of its rules.
    pub output_conflicts: u64,
    /// Members in the overflow series, because the rule has as many outputs as it may have.
    pub over_series_limit: u64,
    /// Members in the overflow series, because all rules together have.
    pub over_all_outputs: u64,
    /// Σ Δ of the members: what was added to parts.
    pub given: ExactSum,
    /// Σ Δ of the outputs: what intervals closed with. `given` is that and what outputs and parts have open.
    pub left: ExactSum,
}

impl Notes {
    /// Adds what another one noticed.
    pub fn absorb(&mut self, other: &Notes) {
        self.not_finite += other.not_finite;
        self.int_overflows += other.int_overflows;
        self.count_overflows += other.count_overflows;
        self.no_sum += other.no_sum;
        self.no_extremes += other.no_extremes;
        self.mixed_bounds += other.mixed_bounds;
        self.unbounded_rebucketed += other.unbounded_rebucketed;
        self.table_full += other.table_full;
        self.output_conflicts += other.output_conflicts;
        self.over_series_limit += other.over_series_limit;
        self.over_all_outputs += other.over_all_outputs;
        self.given.absorb(&other.given);
        self.left.absorb(&other.left);
    }
}

/// Notes, and memory for the work.
#[derive(Default)]
pub struct FoldWork {
    /// What was noticed.
    pub notes: Notes,
    pub(super) exponential: Exponential,
    pub(super) gathered: Exponential,
    pub(super) regions: [Vec<u64>; 2],
    pub(super) spread: Spread,
    pub(super) bounds: Vec<f64>,
    pub(super) samples: Vec<f64>,
}
