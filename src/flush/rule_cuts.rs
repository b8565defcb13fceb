//! The rules' own intervals on one shard, and what whoever folds has at hand for each rule: for both halves of a cut.
//!
//! Knows slots of rules and times of cuts; does not know members or outputs.

use super::folded::FoldsNoticed;
use super::in_force::{RuleFolds, RulesInForce};
use crate::fold::{FoldWork, RuleClock, RuleCut};
use crate::sync::cut::CutTimes;

/// What is kept of one rule, beside what all shards share.
struct RuleAtCut {
    clock: RuleClock,
    /// The cut is the rule's, too.
    is_due: bool,
    /// What the rule says ends with it: merges leave, evaluations do not.
    is_last: bool,
    work: FoldWork,
}

impl RuleAtCut {
    fn new(folds: &RuleFolds) -> RuleAtCut {
        RuleAtCut { clock: folds.clock(), is_due: false, is_last: false, work: FoldWork::default() }
    }
}

/// By slot of the rule.
pub(super) struct RuleCuts(Vec<RuleAtCut>);

impl RuleCuts {
    pub(super) fn new(in_force: &RulesInForce) -> RuleCuts {
        RuleCuts(in_force.rules().iter().map(RuleAtCut::new).collect())
    }

    /// A cut begins. If it is an exchange, `next` come into force behind it: intervals that do not go on end with it.
    pub(super) fn begin(&mut self, times: CutTimes, next: Option<&RulesInForce>) {
        for (slot, rule) in self.0.iter_mut().enumerate() {
            rule.is_due = rule.clock.at(times.from_ns, times.boundary_ns, times.is_last).is_some();
            rule.is_last = times.is_last;
            let closes = |next: &RulesInForce| next.rules().get(slot).is_some_and(RuleFolds::closes);
            if !rule.is_due && next.is_some_and(closes) {
                rule.clock.close();
                (rule.is_due, rule.is_last) = (true, true);
            }
        }
    }

    /// Other rules are in force from here on.
    pub(super) fn take_up(&mut self, before: &RulesInForce, next: &RulesInForce) {
        self.0.truncate(next.rules().len());
        if self.0.capacity() / 4 > next.rules().len() {
            self.0.shrink_to(next.rules().len());
        }
        for (slot, folds) in next.rules().iter().enumerate() {
            match (before.rules().get(slot), self.0.get_mut(slot)) {
                (Some(before), Some(rule)) if folds.follows(before) => {
                    if folds.is_restarted() {
                        rule.clock = folds.clock();
                    } else if folds.aggregation().is_some() {
                        rule.clock.keep(folds.steps());
                    }
                }
                (_, Some(rule)) => *rule = RuleAtCut::new(folds),
                (_, None) => self.0.push(RuleAtCut::new(folds)),
            }
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

    /// How many there were before this cut.
    pub(super) fn number_before(&self, rule: u32) -> u64 {
        let rule = &self.0[rule as usize];
        rule.clock.number() - u64::from(rule.is_due)
    }

    /// The rule's interval that the cut closes, if it is the rule's, too; and what is at hand.
    pub(super) fn closing(&mut self, rule: u32) -> (Option<RuleCut<'_>>, &mut FoldWork) {
        let RuleAtCut { clock, is_due, is_last, work } = &mut self.0[rule as usize];
        (clock.cut(*is_last).filter(|_| *is_due), work)
    }

    /// The rule's interval as far as it came with this cut, for what ends with it; and what is at hand.
    pub(super) fn ending(&mut self, rule: u32) -> (Option<RuleCut<'_>>, &mut FoldWork) {
        let RuleAtCut { clock, work, .. } = &mut self.0[rule as usize];
        (clock.early(), work)
    }

    /// What is at hand.
    #[inline]
    pub(super) fn work(&mut self, rule: u32) -> &mut FoldWork {
        &mut self.0[rule as usize].work
    }

    /// Adds what was noticed since this was asked last.
    pub(super) fn add_to(&mut self, noticed: &mut [FoldsNoticed]) {
        for (sum, rule) in noticed.iter_mut().zip(&mut self.0) {
            sum.notes.absorb(&std::mem::take(&mut rule.work.notes));
        }
    }
}
