//! The rules in force from one exchange to the next, and what goes on in them of those before.
//!
//! Knows rules, and what is kept for each; does not know folds, members, shards or cuts.
//!
//! A rule has a *slot*: a number that it keeps, by its name, from one plan to the next, wherever it stands in them. What is
//! known of folds goes by slots. The slot of a rule that is gone is used again once no fold of it is left.
//!
//! Invariants
//! 1. A slot belongs to one rule at a time; of rules that are gone it is free only without folds.
//! 2. What is counted of a slot is counted in one place, whichever plan is in force on a shard.
//!
//! Bounds: slots of the rules, and of those that went before and whose folds have not ended yet.

use super::passing::Passed;
use crate::fold::{FoldSpec, RuleClock, Succession};
use crate::model::SelectionNumber;
use crate::rules::{
    Action, Aggregation, InitialValue, InputKind, Output, OutputSpec, Rule, RulePlan, Selections, Stale, places_before,
};
use crate::series::folds::FoldLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Cuts behind that of an exchange's questions until outputs that ended with it are forgotten on all shards: their last values
/// leave with it or the next one, their end marks one later, and then they are forgotten.
pub(super) const FORGOTTEN_AFTER: u32 = 3;
/// No rule.
const NOBODY: u32 = u32::MAX;

/// What is counted of a rule, over all shards.
#[derive(Debug, Default)]
pub(super) struct SlotCounts {
    /// Output series of the folds that were let in.
    outputs: AtomicUsize,
    /// Folds.
    folds: AtomicUsize,
}

impl SlotCounts {
    /// A fold began, or ended.
    pub(super) fn count_fold(&self, begins: bool) {
        // ORDERING: a count: that a slot is free is asked where all shards have taken up rules without it (`FoldShared`),
        // and the end of each fold came before that
        let _ = if begins { self.folds.fetch_add(1, Relaxed) } else { self.folds.fetch_sub(1, Relaxed) };
    }
}

/// What becomes of the folds of a rule and a kind of input at the exchange.
#[derive(Debug)]
pub(super) enum Heritage {
    /// Nothing that they keep has changed, or there are none.
    Same,
    /// Other outputs are kept of the same members: what both have goes on.
    Changed(Box<Succession>),
    /// Nothing is computed of them any more.
    Ends(Box<(FoldSpec, Arc<[OutputSpec]>)>),
    /// Nothing was computed of them before the exchange: what is left of those of an earlier one begins anew, and only its
    /// series go on.
    Returns(Box<Succession>),
}

/// What is kept for one rule.
#[derive(Debug)]
pub struct RuleFolds {
    /// Its place in the plan; `NOBODY`: it is gone.
    rule: u32,
    /// By number of the kind of input.
    specs: [Option<FoldSpec>; InputKind::COUNT],
    heritage: [Heritage; InputKind::COUNT],
    aggregation: Option<Box<Aggregation>>,
    counts: Arc<SlotCounts>,
    /// Who its members are is said as before.
    has_same_members: bool,
    /// The exchange ends the interval of the rule that had the slot before.
    closes: bool,
    /// Its intervals begin anew.
    is_restarted: bool,
}

impl RuleFolds {
    fn new(place: usize, action: &Action) -> RuleFolds {
        let aggregation = aggregation_of(action);
        let specs = InputKind::ALL.map(|input| spec_of(aggregation, input));
        RuleFolds {
            rule: place as u32,
            specs,
            heritage: InputKind::ALL.map(|_| Heritage::Same),
            aggregation: aggregation.cloned().map(Box::new),
            counts: Arc::default(),
            has_same_members: false,
            closes: false,
            is_restarted: true,
        }
    }

    /// A rule that had the slot is no more.
    fn gone(before: &RuleFolds) -> RuleFolds {
        RuleFolds {
            rule: NOBODY,
            specs: InputKind::ALL.map(|_| None),
            heritage: InputKind::ALL.map(|input| before.heir(None, input)),
            aggregation: None,
            counts: before.counts.clone(),
            has_same_members: false,
            closes: before.aggregation.is_some(),
            is_restarted: false,
        }
    }

    /// The rule that had the slot says something else, or the same.
    fn next(before: &RuleFolds, old: &Rule, place: usize, new: &Rule) -> RuleFolds {
        let aggregation = aggregation_of(&new.action);
        let is_restarted = match (before.aggregation(), aggregation) {
            (Some(old), Some(new)) => old.interval_ns != new.interval_ns,
            (_, new) => new.is_some(),
        };
        let closes = match (before.aggregation(), aggregation) {
            (Some(old), Some(new)) => is_restarted || old.grouping != new.grouping || old.changes != new.changes,
            (old, new) => old.is_some() && new.is_none(),
        };
        let heritage = InputKind::ALL.map(|input| before.heir(aggregation, input));
        let loses =
            |heritage: &Heritage| matches!(heritage, Heritage::Changed(succession) if succession.ends_a_merge());
        let closes = closes || heritage.iter().any(loses);
        RuleFolds {
            rule: place as u32,
            specs: InputKind::ALL.map(|input| spec_of(aggregation, input)),
            heritage,
            aggregation: aggregation.cloned().map(Box::new),
            counts: before.counts.clone(),
            has_same_members: means_the_same(old, new),
            closes,
            is_restarted,
        }
    }

    /// What becomes of the folds of this kind, where the rule says this from now on.
    fn heir(&self, next: Option<&Aggregation>, input: InputKind) -> Heritage {
        let next = next.filter(|next| !next.outputs[input as usize].is_empty());
        // how an output is written does not matter
        let is_alike = |a: &OutputSpec, b: &OutputSpec| a.output == b.output && a.name == b.name;
        let succession = |spec: &FoldSpec, old: &[OutputSpec], new: &[OutputSpec], is_anew: bool| {
            let places = old.iter().map(|old| new.iter().position(|new| is_alike(old, new)));
            Box::new(Succession::new(spec, places.collect(), is_anew))
        };
        let (Some(spec), Some(before)) = (self.spec(input), self.aggregation()) else {
            // folds that ended may still be there
            let Heritage::Ends(ended) = self.heritage(input) else { return Heritage::Same };
            let (spec, old) = &**ended;
            return match next {
                Some(next) => Heritage::Returns(succession(spec, old, &next.outputs[input as usize], true)),
                None => Heritage::Ends(ended.clone()),
            };
        };
        let old = &before.outputs[input as usize];
        let Some(next) = next else { return Heritage::Ends(Box::new((spec.clone(), old.clone()))) };
        let new = &next.outputs[input as usize];
        let is_anew = before.interval_ns != next.interval_ns;
        let is_same = |(a, b): (&OutputSpec, &OutputSpec)| is_alike(a, b) && a.window_ns == b.window_ns;
        if !is_anew && old.len() == new.len() && old.iter().zip(new.iter()).all(is_same) {
            return Heritage::Same;
        }
        Heritage::Changed(succession(spec, old, new, is_anew))
    }

    /// What is kept of this kind; nothing where the rule does not take it.
    pub(super) fn spec(&self, input: InputKind) -> Option<&FoldSpec> {
        self.specs[input as usize].as_ref()
    }

    /// An output asks for the smallest or the largest value of gauges inside an interval.
    pub(super) fn asks_extremes(&self, input: InputKind) -> bool {
        self.spec(input).is_some_and(FoldSpec::asks_extremes)
    }

    /// What became of the folds of this kind at the exchange.
    pub(super) fn heritage(&self, input: InputKind) -> &Heritage {
        &self.heritage[input as usize]
    }

    /// What it says.
    pub(super) fn aggregation(&self) -> Option<&Aggregation> {
        self.aggregation.as_deref()
    }

    /// When its members stop counting.
    pub(super) fn stale(&self) -> Stale {
        self.aggregation().map_or(Stale::Auto, |aggregation| aggregation.stale)
    }

    /// How the first point of a cumulative member counts.
    pub(super) fn initial_value(&self) -> InitialValue {
        self.aggregation().map_or(InitialValue::Auto, |aggregation| aggregation.initial_value)
    }

    /// Intervals of its longest window.
    pub(super) fn steps(&self) -> usize {
        self.specs.iter().flatten().map(FoldSpec::steps).max().unwrap_or(1)
    }

    /// How its intervals go on from those of the slot before.
    fn turn_from(&self, before: Option<&RuleFolds>) -> Option<SlotTurn> {
        match before.filter(|before| self.follows(before)) {
            None => Some(SlotTurn::Begins),
            Some(_) if self.is_restarted() => Some(SlotTurn::Restarts),
            Some(before) if self.aggregation().is_some() && self.steps() != before.steps() => Some(SlotTurn::Keeps),
            Some(_) => None,
        }
    }

    /// How long its intervals are, nanoseconds.
    pub(super) fn interval_ns(&self) -> u64 {
        self.aggregation().map_or(1, |aggregation| aggregation.interval_ns)
    }

    /// Its intervals.
    pub(super) fn clock(&self) -> RuleClock {
        RuleClock::new(self.interval_ns(), self.steps())
    }

    /// Its intervals begin anew.
    const fn is_restarted(&self) -> bool {
        self.is_restarted
    }

    /// Who its members are is said as before.
    pub(super) const fn has_same_members(&self) -> bool {
        self.has_same_members
    }

    /// It has the slot of the other one, and what is counted of it goes on.
    pub(super) fn follows(&self, other: &RuleFolds) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts)
    }

    /// What is counted of it.
    pub(super) fn counts(&self) -> &SlotCounts {
        &self.counts
    }

    /// Output series over all shards.
    pub fn outputs(&self) -> usize {
        // ORDERING: a count for reports, publishes nothing
        self.counts.outputs.load(Relaxed)
    }

    /// What a fold of this kind takes of the rule's limit.
    pub(super) fn limit(&self, input: InputKind) -> FoldLimit<'_> {
        let series = |spec: &OutputSpec| match spec.output {
            Output::TopK { k, .. } => k as usize + 1,
            _ => 1,
        };
        let aggregation = self.aggregation();
        let outputs = aggregation.map_or(0, |says| says.outputs[input as usize].iter().map(series).sum());
        let limit = aggregation.and_then(|says| says.series_limit);
        FoldLimit { outputs, limit: limit.map_or(usize::MAX, |limit| limit as usize), count: &self.counts.outputs }
    }
}

fn aggregation_of(action: &Action) -> Option<&Aggregation> {
    if let Action::Aggregate(aggregation) = action { Some(aggregation) } else { None }
}

fn spec_of(aggregation: Option<&Aggregation>, input: InputKind) -> Option<FoldSpec> {
    let aggregation = aggregation.filter(|says| !says.outputs[input as usize].is_empty())?;
    Some(FoldSpec::new(aggregation, input))
}

/// Both take the same series, and make the same groups of them, and of what outputs ask of attributes.
fn means_the_same(old: &Rule, new: &Rule) -> bool {
    let says = |rule: &Rule| {
        let mut action = rule.action.clone();
        if let Action::Aggregate(aggregation) = &mut action {
            aggregation.series_limit = None;
            aggregation.stale = Stale::Auto;
            aggregation.interval_ns = 0;
            for specs in &mut aggregation.outputs {
                let asks = |spec: &&OutputSpec| matches!(spec.output, Output::Unique(_) | Output::TopK { .. });
                let plain =
                    |spec: &OutputSpec| OutputSpec { window_ns: 0, name: "".into(), text: "".into(), ..spec.clone() };
                let is_taken = !specs.is_empty();
                // of the others it matters only whether there are any
                let some = OutputSpec { output: Output::Same, window_ns: 0, name: "".into(), text: "".into() };
                *specs = specs.iter().filter(asks).map(plain).chain(is_taken.then_some(some)).collect();
            }
        }
        action
    };
    old.selector == new.selector && old.except == new.except && old.goes_on == new.goes_on && says(old) == says(new)
}

/// What an exchange does to a slot, where it does anything on each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotTurn {
    /// It is another rule's.
    Begins,
    /// Its intervals begin anew.
    Restarts,
    /// Its longest window is another one.
    Keeps,
}

/// See the file's head.
#[derive(Debug)]
pub struct RulesInForce {
    /// 1 for those of the start.
    number: u32,
    plan: Arc<RulePlan>,
    /// By place in the plan.
    slots: Box<[u32]>,
    /// By slot.
    rules: Box<[RuleFolds]>,
    /// Slots that differ from those before for intervals, so that shards need not look at all.
    turns: Box<[(u32, SlotTurn)]>,
    /// Slots whose interval the exchange ends.
    closing: Box<[u32]>,
    /// Some rule aggregates.
    folds: bool,
    /// Some rule asks for extremes of gauges.
    extremes: bool,
    /// What is dropped is what was dropped before.
    drops_the_same: bool,
    /// What destinations choose, where that came with the rules: it names rules by their places in the plan.
    selections: Option<Arc<Selections>>,
    /// What each destination had before these, and has with them.
    passed: Box<[Passed]>,
}

impl RulesInForce {
    /// Of the start.
    pub(super) fn first(plan: Arc<RulePlan>) -> RulesInForce {
        let rules: Box<[RuleFolds]> =
            plan.rules().iter().enumerate().map(|(at, rule)| RuleFolds::new(at, &rule.action)).collect();
        let slots = (0..rules.len() as u32).collect();
        let (turns, closing) = (turns(&[], &rules), closing(&rules));
        RulesInForce {
            number: 1,
            folds: folds(&plan),
            extremes: asks_extremes(&rules),
            plan,
            slots,
            rules,
            turns,
            closing,
            drops_the_same: true,
            selections: None,
            passed: Box::default(),
        }
    }

    /// The same, where destinations choose so.
    pub(super) fn choosing(self, selections: Option<Arc<Selections>>) -> RulesInForce {
        RulesInForce { selections, ..self }
    }

    /// The same, where the exchange ends the intervals of all rules that there were `before`.
    pub(super) fn closing(mut self, before: &RulesInForce) -> RulesInForce {
        for (folds, before) in self.rules.iter_mut().zip(&before.rules) {
            folds.closes |= folds.follows(before) && before.aggregation.is_some();
        }
        self.closing = closing(&self.rules);
        self
    }

    /// Of another plan, behind these. Where no shard has older rules than these.
    pub(super) fn next(&self, plan: Arc<RulePlan>, selections: Option<Arc<Selections>>) -> RulesInForce {
        let mut rules: Vec<RuleFolds> = self.rules.iter().map(RuleFolds::gone).collect();
        let mut slots = vec![NOBODY; plan.rules().len()];
        for ((at, rule), old) in plan.rules().iter().enumerate().zip(places_before(self.plan.rules(), plan.rules())) {
            let Some(old) = old else { continue };
            let slot = self.slots[old] as usize;
            rules[slot] = RuleFolds::next(&self.rules[slot], &self.plan.rules()[old], at, rule);
            plan.take_over_limits(at as u32, (&self.plan, old as u32), self.number + 1);
            slots[at] = slot as u32;
        }
        let is_free = |(slot, folds): &(usize, &RuleFolds)| {
            // ORDERING: see `SlotCounts::count_fold`
            self.rules[*slot].rule == NOBODY && folds.counts.folds.load(Relaxed) == 0
        };
        let free: Vec<u32> = rules.iter().enumerate().filter(is_free).map(|(slot, _)| slot as u32).collect();
        let (mut is_free, mut free) = (vec![false; rules.len()], free.into_iter());
        free.clone().for_each(|slot| is_free[slot as usize] = true);
        for (at, rule) in plan.rules().iter().enumerate().filter(|(at, _)| slots[*at] == NOBODY).collect::<Vec<_>>() {
            let new = RuleFolds::new(at, &rule.action);
            slots[at] = match free.next() {
                Some(slot) => {
                    rules[slot as usize] = new;
                    slot
                }
                None => {
                    rules.push(new);
                    rules.len() as u32 - 1
                }
            };
        }
        // free ones at the end are not kept; nothing knows of them
        let is_used = |(slot, folds): (usize, &RuleFolds)| folds.rule != NOBODY || !is_free[slot];
        let used = rules.iter().enumerate().map(is_used).collect::<Vec<_>>().iter().rposition(|is_used| *is_used);
        rules.truncate(used.map_or(0, |last| last + 1));
        let (slots, rules): (Box<[u32]>, Box<[RuleFolds]>) = (slots.into(), rules.into());
        let drops_the_same = self.drops() == drops(&plan, &slots)
            && drops(&plan, &slots).iter().all(|slot| rules[*slot as usize].has_same_members);
        let (turns, closing) = (turns(&self.rules, &rules), closing(&rules));
        let passed = passed_by_number(self.selections.as_deref(), selections.as_deref());
        RulesInForce {
            number: self.number + 1,
            folds: folds(&plan),
            extremes: asks_extremes(&rules),
            plan,
            slots,
            rules,
            turns,
            closing,
            drops_the_same,
            selections,
            passed,
        }
    }

    /// The same, where this is what destinations had and have.
    pub(super) fn passing(self, passed: Box<[Passed]>) -> RulesInForce {
        RulesInForce { passed, ..self }
    }

    /// What each destination had before these, and has with them.
    pub(super) fn passed(&self) -> &[Passed] {
        &self.passed
    }

    fn drops(&self) -> Vec<u32> {
        drops(&self.plan, &self.slots)
    }

    /// Which of those that there were.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The rules.
    pub fn plan(&self) -> &Arc<RulePlan> {
        &self.plan
    }

    /// What destinations choose with these.
    pub fn selections(&self) -> Option<&Arc<Selections>> {
        self.selections.as_ref()
    }

    /// The slot of the rule at this place in the plan.
    pub fn slot(&self, rule: u32) -> u32 {
        self.slots[rule as usize]
    }

    /// What is kept, by slot.
    pub fn rules(&self) -> &[RuleFolds] {
        &self.rules
    }

    /// What is kept of the rule at a slot, and where it stands in the plan, if it is not gone.
    pub(super) fn at(&self, slot: u32) -> (&RuleFolds, Option<u32>) {
        let folds = &self.rules[slot as usize];
        (folds, Some(folds.rule).filter(|rule| *rule != NOBODY))
    }

    /// Slots that differ from those before, each with what shards have to do.
    pub(super) fn turns(&self) -> &[(u32, SlotTurn)] {
        &self.turns
    }

    /// Slots whose interval ends with the cut behind which these rules come.
    pub(super) fn closing_slots(&self) -> &[u32] {
        &self.closing
    }

    /// Some rule aggregates.
    pub(super) const fn folds(&self) -> bool {
        self.folds
    }

    /// Some rule asks for the smallest or the largest value of gauges inside an interval.
    pub(super) const fn asks_extremes(&self) -> bool {
        self.extremes
    }

    /// What is dropped is what was dropped before.
    pub(super) const fn drops_the_same(&self) -> bool {
        self.drops_the_same
    }
}

/// What destinations had and have, where there is one for each selection, of one number before and now.
fn passed_by_number(before: Option<&Selections>, now: Option<&Selections>) -> Box<[Passed]> {
    let number = |of: Option<&Selections>, at: usize| match of {
        None => Some(SelectionNumber::FIRST),
        Some(of) => (at < of.count()).then(|| SelectionNumber::new(at as u8)),
    };
    let count = [before, now].map(|of| of.map_or(1, Selections::count)).into_iter().max().unwrap_or(1);
    (0..count).filter_map(|at| Some(Passed { before: number(before, at), now: number(now, at)? })).collect()
}

/// Slots that differ between two sets of rules for intervals.
fn turns(before: &[RuleFolds], now: &[RuleFolds]) -> Box<[(u32, SlotTurn)]> {
    let turn = |(folds, slot): (&RuleFolds, u32)| Some((slot, folds.turn_from(before.get(slot as usize))?));
    now.iter().zip(0u32..).filter_map(turn).collect()
}

/// Slots whose interval ends before these rules.
fn closing(rules: &[RuleFolds]) -> Box<[u32]> {
    rules.iter().zip(0u32..).filter(|(folds, _)| folds.closes).map(|(_, slot)| slot).collect()
}

fn asks_extremes(rules: &[RuleFolds]) -> bool {
    rules.iter().any(|folds| folds.asks_extremes(InputKind::Gauge))
}

fn folds(plan: &RulePlan) -> bool {
    plan.rules().iter().any(|rule| matches!(rule.action, Action::Aggregate(_)))
}

/// Slots of the rules that have to do with what is dropped: all up to the last that drops.
fn drops(plan: &RulePlan, slots: &[u32]) -> Vec<u32> {
    let last = plan.rules().iter().rposition(|rule| rule.action == Action::Drop);
    last.map_or(&[][..], |last| &slots[..=last]).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Selector;

    /// Rules, each with what it was.
    fn plan(rules: &[(&str, Option<&str>)]) -> Arc<RulePlan> {
        let of = |(name, was): &(&str, Option<&str>)| Rule {
            name: (*name).into(),
            was: was.map(Into::into),
            selector: Selector::default(),
            except: None,
            action: Action::Keep,
            goes_on: false,
        };
        Arc::new(RulePlan::new(rules.iter().map(of).collect()).expect("rules that can be meant"))
    }

    fn slots(in_force: &RulesInForce) -> Vec<u32> {
        (0..in_force.plan.rules().len() as u32).map(|place| in_force.slot(place)).collect()
    }

    /// Rules named a, b, c … have the slots 0, 1, 2 … before.
    fn check(before: &[(&str, Option<&str>)], after: &[(&str, Option<&str>)], want: &[u32]) {
        let next = RulesInForce::first(plan(before)).next(plan(after), None);
        assert_eq!(slots(&next), want, "{before:?} to {after:?}");
        assert_eq!(slots(&next.next(plan(after), None)), want, "the same once more");
    }

    #[test]
    fn rules_may_take_each_others_names() {
        let two = [("a", None), ("b", None)];
        check(&two, &[("b", Some("a")), ("c", Some("b"))], &[0, 1]);
        check(&two, &[("c", Some("b")), ("b", Some("a"))], &[1, 0]);
        check(&two, &[("a", Some("b")), ("b", Some("a"))], &[1, 0]);
        check(
            &[("a", None), ("b", None), ("c", None)],
            &[("b", Some("a")), ("c", Some("b")), ("a", Some("c"))],
            &[0, 1, 2],
        );
    }

    #[test]
    fn a_name_that_is_there_still_is_nobody_elses() {
        let two = [("a", None), ("b", None)];
        check(&two, &[("a", None), ("c", Some("a"))], &[0, 2]);
        check(&two, &[("b", Some("a")), ("a", None)], &[1, 0]);
        check(&two, &[("c", Some("a")), ("d", Some("a"))], &[0, 2]);
        // the words stayed from a change before
        check(&[("a", None), ("b", Some("a"))], &[("b", Some("a"))], &[1]);
        check(&[("b", Some("a"))], &[("b", Some("a")), ("a", None)], &[0, 1]);
    }

    #[test]
    fn slots_of_rules_that_are_gone_are_given_back() {
        let names: Vec<String> = (0..100).map(|n| format!("r{n}")).collect();
        let many: Vec<(&str, Option<&str>)> = names.iter().map(|name| (&**name, None)).collect();
        let first = RulesInForce::first(plan(&many));
        let gone = first.next(plan(&many[..3]), None);
        assert_eq!(gone.rules().len(), 100, "their folds may be there still");
        assert_eq!(gone.next(plan(&many[..3]), None).rules().len(), 3);
        first.rules()[50].counts().count_fold(true);
        assert_eq!(gone.next(plan(&many[..3]), None).rules().len(), 51, "one has a fold");
    }
}
