//! All rules of a run, compiled once.
//!
//! Knows rules; does not know series. What is asked of it is asked by a `RuleMatcher`, each thread its own.

use super::changes::{Changes, ChangesOf, CountedGroup, LimitedKey};
use super::fault::{Faults, RuleFault};
use super::identity::OutputIdentity;
use super::rule::{Action, Aggregation, Grouping, InputKind, Rule};
use super::runs::SelectorSide;
use super::selectors::{Compiling, Selectors};
use super::stays::Stays;
use crate::limits::RULES_NFA_BYTES_MAX;
use hashbrown::HashMap;

/// What a rule does, compiled.
#[derive(Debug)]
pub(super) enum CompiledAction {
    Aggregate { changes: Changes, stays: Stays },
    Drop,
    Keep,
    Relabel(Changes),
}

/// Rules, compiled.
#[derive(Debug)]
pub struct RulePlan {
    rules: Vec<Rule>,
    pub(super) does: Box<[CompiledAction]>,
    pub(super) matching: Selectors,
    /// What rules do not take all the same; nothing if no rule says so.
    pub(super) excepting: Option<Selectors>,
    /// Caches that patterns need.
    pub(super) caches: usize,
    /// Some rule drops or relabels: streams have to ask.
    changes_streams: bool,
}

/// The same rules compile to the same plan.
impl PartialEq for RulePlan {
    fn eq(&self, other: &RulePlan) -> bool {
        self.rules == other.rules
    }
}

/// No rules.
impl Default for RulePlan {
    fn default() -> RulePlan {
        RulePlan::new(Vec::new()).unwrap_or_else(|faults| panic!("{faults:?}"))
    }
}

impl RulePlan {
    /// Compiles rules, in their order; or all that is wrong with them.
    pub fn new(rules: Vec<Rule>) -> Result<RulePlan, Vec<RuleFault>> {
        let mut faults = Faults::default();
        let mut compiling = Compiling::new();
        let matched = rules.iter().map(|rule| Some(&rule.selector));
        let matching = Selectors::new(SelectorSide::Match, matched, &mut faults, &mut compiling);
        let excepted = rules.iter().map(|rule| rule.except.as_ref());
        let excepting = rules
            .iter()
            .any(|rule| rule.except.is_some())
            .then(|| Selectors::new(SelectorSide::Except, excepted, &mut faults, &mut compiling));
        let mut does = Vec::with_capacity(rules.len());
        let mut goes_on = None;
        let mut groupings: HashMap<&Grouping, u32, ahash::RandomState> = HashMap::default();
        for (number, rule) in rules.iter().enumerate() {
            faults.of_rule(number);
            does.push(match &rule.action {
                Action::Aggregate(aggregation) => {
                    goes_on = goes_on.or(rule.goes_on.then_some(&rule.name));
                    let changes = Changes::new(&aggregation.changes, ChangesOf::Aggregate, &mut faults, &mut compiling);
                    let stays = Stays::new(&aggregation.grouping, &mut faults, &mut compiling);
                    let known = groupings.len() as u32;
                    let stays = stays.numbered(*groupings.entry(&aggregation.grouping).or_insert(known));
                    CompiledAction::Aggregate { changes, stays }
                }
                Action::Drop => {
                    if let Some(name) = goes_on {
                        let words = format!(
                            "stands below \"{name}\", which aggregates and goes on, and would get nothing of what is dropped at \
                             the door: put what drops above it"
                        );
                        faults.under("action", |faults| faults.add(words));
                    }
                    CompiledAction::Drop
                }
                Action::Keep => CompiledAction::Keep,
                Action::Relabel(changes) => {
                    if let Some(name) = goes_on {
                        let words = format!(
                            "stands below \"{name}\", which aggregates and goes on, and whose series would have another \
                             name by then: put what relabels above it"
                        );
                        faults.under("action", |faults| faults.add(words));
                    }
                    CompiledAction::Relabel(Changes::new(changes, ChangesOf::Relabel, &mut faults, &mut compiling))
                }
            });
        }
        if let Some(words) = compiling.too_large {
            faults.of_rule(rules.len().saturating_sub(1));
            let mib = RULES_NFA_BYTES_MAX >> 20;
            faults.add(format!(
                "is one more than patterns have room for: all together may take {mib} MiB compiled ({words})"
            ));
        }
        drop(groupings);
        let faults = faults.all();
        if !faults.is_empty() {
            return Err(faults);
        }
        let changes_streams = does.iter().any(|does| matches!(does, CompiledAction::Drop | CompiledAction::Relabel(_)));
        let (does, caches) = (does.into(), compiling.caches);
        Ok(RulePlan { rules, does, matching, excepting, caches, changes_streams })
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether some rule drops or relabels, so that ingest has to ask.
    pub fn changes_streams(&self) -> bool {
        self.changes_streams
    }

    /// Whether some rule drops, and none relabels: only then it can be told of a series that is there already whether it
    /// would be dropped, as it is called what it came in as.
    pub fn drops_by_name(&self) -> bool {
        let has = |is: fn(&CompiledAction) -> bool| self.does.iter().any(is);
        has(|does| matches!(does, CompiledAction::Drop)) && !has(|does| matches!(does, CompiledAction::Relabel(_)))
    }

    /// The values that each `limit` of a rule let in are those that the rule at this place of another plan let in, where that
    /// has the same `limit`; one that is new there begins with this plan, which has this number. Before anybody asks.
    pub fn take_over_limits(&self, rule: u32, (from, other): (&RulePlan, u32), number: u32) {
        if let Some(changes) = self.changes_of(rule) {
            changes.take_over_limits(from.changes_of(other), number);
        }
    }

    /// All of them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What a rule says, if it aggregates this kind of input.
    pub fn aggregation(&self, rule: u32, input: InputKind) -> Option<&Aggregation> {
        match &self.rules.get(rule as usize)?.action {
            Action::Aggregate(aggregation) if !aggregation.outputs[input as usize].is_empty() => Some(aggregation),
            _ => None,
        }
    }

    /// A group of a rule has a member, or ended: nothing is linked to it, and nothing leaves of it any more. For `limit`, whose
    /// values are those of groups.
    pub fn count_group(&self, rule: u32, identity: &OutputIdentity<'_>, counted: CountedGroup) {
        if let Some(changes) = self.changes_of(rule) {
            changes.count_group(identity, counted);
        }
    }

    /// What each `limit` of a rule that aggregates let in, and what not.
    pub fn limits(&self, rule: u32) -> impl Iterator<Item = LimitedKey<'_>> {
        self.changes_of(rule).into_iter().flat_map(Changes::limits)
    }

    /// What a rule that aggregates changes.
    fn changes_of(&self, rule: u32) -> Option<&Changes> {
        match &self.does[rule as usize] {
            CompiledAction::Aggregate { changes, .. } => Some(changes),
            _ => None,
        }
    }

    /// Whether the owner of a series of this kind has to do with the rule.
    pub(super) fn concerns(&self, rule: u32, input: InputKind) -> bool {
        match self.does[rule as usize] {
            CompiledAction::Aggregate { .. } => self.aggregation(rule, input).is_some(),
            CompiledAction::Keep => true,
            CompiledAction::Drop | CompiledAction::Relabel(_) => false,
        }
    }

    /// Whether no rule behind it sees what this one takes: it keeps, or aggregates and does not go on.
    pub(super) fn stops(&self, rule: u32) -> bool {
        let goes_on = self.rules[rule as usize].goes_on;
        match self.does[rule as usize] {
            CompiledAction::Aggregate { .. } => !goes_on,
            CompiledAction::Keep => true,
            CompiledAction::Drop | CompiledAction::Relabel(_) => false,
        }
    }
}
