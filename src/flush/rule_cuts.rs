//! The rules' own intervals on one shard, and what whoever folds has at hand for each rule: for both halves of a cut.
//!
//! Knows numbers of rules and times of cuts; does not know members or outputs.

use super::folded::{FoldShared, FoldsNoticed};
use crate::fold::{FoldWork, RuleClock};
use crate::sync::cut::CutTimes;

/// What is kept of one rule, beside what all shards share.
struct RuleAtCut {
    clock: RuleClock,
    /// The cut is the rule's, too.
    is_due: bool,
    work: FoldWork,
}

/// By number of the rule.
pub(super) struct RuleCuts(Vec<RuleAtCut>);

impl RuleCuts {
    pub(super) fn new(shared: &FoldShared) -> RuleCuts {
        let of = |clock| RuleAtCut { clock, is_due: false, work: FoldWork::default() };
        RuleCuts(shared.rules().iter().map(|rule| of(rule.clock())).collect())
    }

    /// A cut begins.
    pub(super) fn begin(&mut self, times: CutTimes) {
        for rule in &mut self.0 {
            rule.is_due = rule.clock.at(times.from_ns, times.boundary_ns, times.is_last).is_some();
        }
    }

    /// Whether the cut is this rule's, too.
    #[inline]
    pub(super) fn is_due(&self, rule: u32) -> bool {
        self.0[rule as usize].is_due
    }

    /// How many cuts of the rule there were.
    pub(super) fn number(&self, rule: u32) -> u64 {
        self.0[rule as usize].clock.number()
    }

    /// The rule's intervals, and what is at hand.
    #[inline]
    pub(super) fn at(&mut self, rule: u32) -> (&RuleClock, &mut FoldWork) {
        let RuleAtCut { clock, work, .. } = &mut self.0[rule as usize];
        (clock, work)
    }

    /// Adds what was noticed since this was asked last.
    pub(super) fn add_to(&mut self, noticed: &mut [FoldsNoticed]) {
        for (sum, rule) in noticed.iter_mut().zip(&mut self.0) {
            sum.notes.absorb(&std::mem::take(&mut rule.work.notes));
        }
    }
}
