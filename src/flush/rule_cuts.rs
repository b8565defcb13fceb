//! The rules' own intervals on one shard, and what whoever folds has at hand for each rule: for both halves of a cut.
//!
//! Knows slots of rules and times of cuts; does not know members or outputs.
//!
//! Rules of one interval that came into force together have one clock: a cut looks at clocks, and not at ten thousand rules.
//! An exchange that ends the intervals of some of them gives these a clock of their own.
//!
//! Bounds: as many clocks as rules.

use super::in_force::{RuleFolds, RulesInForce, SlotTurn};
use super::noticed::NoticedHere;
use crate::fold::{FoldWork, RuleClock, RuleCut};
use crate::places::put;
use crate::sync::cut::CutTimes;
use hashbrown::HashMap;

/// The intervals of some rules.
struct ClockAtCut {
    clock: RuleClock,
    /// The cut is theirs, too.
    is_due: bool,
    /// What the rules say ends with it: merges leave, evaluations do not.
    is_last: bool,
    /// Rules that have it; nobody: the place is free.
    rules: u32,
}

/// What is kept of one rule, beside what all shards share.
#[derive(Default)]
struct RuleAtCut {
    /// Place of its clock.
    clock: u32,
    /// Something may be noticed in `work`.
    is_noted: bool,
    /// Nothing as long as nobody asked.
    work: Option<Box<FoldWork>>,
}

/// See the file's head.
pub(super) struct RuleCuts {
    clocks: Vec<ClockAtCut>,
    clock_free: Vec<u32>,
    /// By slot.
    rules: Vec<RuleAtCut>,
    /// Slots of which something may be noticed.
    noted: Vec<u32>,
    /// Of the rules that begin behind one cut, by their interval, the place of their clock.
    begun: HashMap<u64, u32, ahash::RandomState>,
}

impl RuleCuts {
    pub(super) fn new(in_force: &RulesInForce, state: &ahash::RandomState) -> RuleCuts {
        let mut cuts = RuleCuts {
            clocks: Vec::new(),
            clock_free: Vec::new(),
            rules: Vec::new(),
            noted: Vec::new(),
            begun: HashMap::with_hasher(state.clone()),
        };
        cuts.resize(in_force);
        in_force.rules().iter().zip(0..).for_each(|(folds, slot)| cuts.start(slot, folds));
        cuts.settle();
        cuts
    }

    /// A cut begins. If it is an exchange, `next` come into force behind it: intervals that do not go on end with it.
    pub(super) fn begin(&mut self, times: CutTimes, next: Option<&RulesInForce>) {
        for at in self.clocks.iter_mut().filter(|at| at.rules > 0) {
            at.is_due = at.clock.at(times.from_ns, times.boundary_ns, times.is_last).is_some();
            at.is_last = times.is_last;
        }
        let Some(next) = next else { return };
        // by the place of a clock, that of the same one, closed
        let mut closed = vec![None; self.clocks.len()];
        for slot in next.closing_slots() {
            let Some(rule) = self.rules.get(*slot as usize) else { continue };
            let (before, at) = (rule.clock, &self.clocks[rule.clock as usize]);
            if at.is_due {
                continue;
            }
            let new = match closed[before as usize] {
                Some(new) => new,
                None => {
                    let mut clock = at.clock.clone();
                    clock.close();
                    let new = ClockAtCut { clock, is_due: true, is_last: true, rules: 0 };
                    let new = put(&mut self.clocks, &mut self.clock_free, new);
                    closed[before as usize] = Some(new);
                    new
                }
            };
            self.follow(*slot, Some(new));
        }
    }

    /// Slots that there are from here on, before they are taken up.
    pub(super) fn resize(&mut self, next: &RulesInForce) {
        let count = next.rules().len();
        for slot in count..self.rules.len() {
            self.follow(slot as u32, None);
        }
        self.rules.truncate(count);
        self.noted.retain(|slot| (*slot as usize) < count);
        if self.rules.capacity() / 4 > count {
            self.rules.shrink_to(count);
        }
        self.rules.resize_with(count, || RuleAtCut { clock: NOWHERE, ..RuleAtCut::default() });
    }

    /// A slot is another one from here on.
    pub(super) fn turn(&mut self, slot: u32, turn: SlotTurn, folds: &RuleFolds) {
        match turn {
            SlotTurn::Begins => {
                self.rules[slot as usize].work = None;
                self.start(slot, folds);
            }
            SlotTurn::Restarts => self.start(slot, folds),
            SlotTurn::Keeps => self.keep(slot, folds),
        }
    }

    /// All slots are what they are from here on.
    pub(super) fn settle(&mut self) {
        self.begun.clear();
        self.clock_free.clear();
        let free = self.clocks.iter().zip(0..).filter(|(at, _)| at.rules == 0);
        self.clock_free.extend(free.map(|(_, place)| place));
    }

    /// The intervals of a slot begin.
    fn start(&mut self, slot: u32, folds: &RuleFolds) {
        let new = match self.begun.get(&folds.interval_ns()) {
            Some(new) => *new,
            None => {
                let new = ClockAtCut { clock: folds.clock(), is_due: false, is_last: false, rules: 0 };
                let new = put(&mut self.clocks, &mut self.clock_free, new);
                self.begun.insert(folds.interval_ns(), new);
                new
            }
        };
        self.follow(slot, Some(new));
        self.keep(slot, folds);
    }

    /// As many intervals are kept as the longest window needs of those that have the clock.
    fn keep(&mut self, slot: u32, folds: &RuleFolds) {
        let clock = &mut self.clocks[self.rules[slot as usize].clock as usize].clock;
        clock.keep(folds.steps().max(clock.steps()));
    }

    /// A slot has this clock from here on.
    fn follow(&mut self, slot: u32, clock: Option<u32>) {
        if let Some(new) = clock {
            self.clocks[new as usize].rules += 1;
        }
        let before = std::mem::replace(&mut self.rules[slot as usize].clock, clock.unwrap_or(NOWHERE));
        if let Some(at) = self.clocks.get_mut(before as usize) {
            at.rules -= 1;
        }
    }

    fn at(&self, rule: u32) -> &ClockAtCut {
        &self.clocks[self.rules[rule as usize].clock as usize]
    }

    /// Whether the cut is this rule's, too.
    #[inline]
    pub(super) fn is_due(&self, rule: u32) -> bool {
        self.at(rule).is_due
    }

    /// How many cuts of the rule there were.
    pub(super) fn number(&self, rule: u32) -> u64 {
        self.at(rule).clock.number()
    }

    /// How many there were before this cut.
    pub(super) fn number_before(&self, rule: u32) -> u64 {
        let at = self.at(rule);
        at.clock.number() - u64::from(at.is_due)
    }

    /// The rule's interval that the cut closes, if it is the rule's, too; and what is at hand.
    pub(super) fn closing(&mut self, rule: u32) -> (Option<RuleCut<'_>>, &mut FoldWork) {
        self.note(rule);
        let rule = &mut self.rules[rule as usize];
        let ClockAtCut { clock, is_due, is_last, .. } = &self.clocks[rule.clock as usize];
        (clock.cut(*is_last).filter(|_| *is_due), rule.work.get_or_insert_default())
    }

    /// The rule's interval as far as it came with this cut, for what ends with it; and what is at hand.
    pub(super) fn ending(&mut self, rule: u32) -> (Option<RuleCut<'_>>, &mut FoldWork) {
        self.note(rule);
        let rule = &mut self.rules[rule as usize];
        (self.clocks[rule.clock as usize].clock.early(), rule.work.get_or_insert_default())
    }

    /// What is at hand.
    #[inline]
    pub(super) fn work(&mut self, rule: u32) -> &mut FoldWork {
        self.note(rule);
        self.rules[rule as usize].work.get_or_insert_default()
    }

    #[inline]
    fn note(&mut self, rule: u32) {
        let at = &mut self.rules[rule as usize];
        if !at.is_noted {
            at.is_noted = true;
            self.noted.push(rule);
        }
    }

    /// Adds what was noticed of up to `n` rules since this was asked last; `false` when that is all.
    pub(super) fn add_some(&mut self, n: usize, noticed: &mut NoticedHere) -> bool {
        for _ in 0..n {
            let Some(slot) = self.noted.pop() else { return false };
            let rule = &mut self.rules[slot as usize];
            rule.is_noted = false;
            if let Some(work) = &mut rule.work {
                noticed.of(slot).notes.absorb(&std::mem::take(&mut work.notes));
            }
        }
        true
    }
}

/// No clock yet.
const NOWHERE: u32 = u32::MAX;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rules::{
        Action, Aggregation, Grouping, InitialValue, InputKind, Output, OutputSpec, Rule, RulePlan, Selector, Stale,
    };
    use std::sync::Arc;

    const S: u64 = 1_000_000_000;

    /// So many rules of each interval, in turn; the first `others` of them group otherwise.
    fn plan(count: usize, intervals: &[u64], others: usize) -> Arc<RulePlan> {
        let of = |at: usize| Rule {
            name: format!("r{at}").into(),
            was: None,
            selector: Selector::default(),
            except: None,
            action: Action::Aggregate(Box::new(Aggregation {
                grouping: if at < others { Grouping::All } else { Grouping::Without(Vec::new()) },
                changes: Vec::new(),
                outputs: std::array::from_fn(|input| {
                    let same =
                        OutputSpec { output: Output::Same, window_ns: 0, name: "{name}".into(), text: "same".into() };
                    if input == InputKind::Counter as usize { Arc::from([same]) } else { Arc::from([]) }
                }),
                interval_ns: intervals[at % intervals.len()] * S,
                keeps_input: false,
                stale: Stale::Auto,
                initial_value: InitialValue::Auto,
                series_limit: None,
            })),
            goes_on: false,
        };
        Arc::new(RulePlan::new((0..count).map(of).collect()).expect("sound rules"))
    }

    fn times(from: u64, to: u64) -> CutTimes {
        CutTimes { from_ns: from * S, boundary_ns: to * S, mono_ns: to * S, is_last: false, is_exchange: false }
    }

    fn take_up(cuts: &mut RuleCuts, next: &RulesInForce) {
        cuts.resize(next);
        next.turns().iter().for_each(|(slot, turn)| cuts.turn(*slot, *turn, &next.rules()[*slot as usize]));
        cuts.settle();
    }

    fn used(cuts: &RuleCuts) -> usize {
        cuts.clocks.iter().filter(|at| at.rules > 0).count()
    }

    /// A cut looks at as many clocks as there are intervals, and rules that an exchange closes go on by themselves.
    #[test]
    fn rules_of_one_interval_have_one_clock_until_an_exchange_tells_them_apart() {
        let first = RulesInForce::first(plan(9_000, &[10, 30, 60], 0));
        let mut cuts = RuleCuts::new(&first, &ahash::RandomState::new());
        assert_eq!(used(&cuts), 3);
        cuts.begin(times(0, 10), None);
        assert_eq!([0, 1, 2].map(|rule| cuts.is_due(rule)), [true, false, false]);
        // three of each group otherwise, and one is gone
        let next = first.next(plan(8_999, &[10, 30, 60], 9), None);
        cuts.begin(times(10, 20), Some(&next));
        assert_eq!([1, 2, 10, 11, 8_999].map(|rule| cuts.is_due(rule)), [true, true, false, false, true]);
        assert_eq!([1, 10].map(|rule| (cuts.number(rule), cuts.number_before(rule))), [(1, 0), (0, 0)]);
        take_up(&mut cuts, &next);
        cuts.begin(times(20, 30), None);
        assert_eq!([0, 1, 2, 10, 11].map(|rule| cuts.is_due(rule)), [true, true, false, true, false]);
        let from = |cuts: &mut RuleCuts, rule| cuts.closing(rule).0.map(|cut| cut.from_ns() / S);
        assert_eq!([1, 10].map(|rule| from(&mut cuts, rule)), [Some(20), Some(0)]);
        // intervals that begin anew: clocks that nobody has are used again
        for round in 0..10 {
            let before = if round == 0 { &next } else { &first };
            let next = before.next(plan(9_000, &[[20, 40], [10, 30]][round % 2], 0), None);
            take_up(&mut cuts, &next);
            assert!(cuts.clocks.len() <= 20, "{round}: {}", cuts.clocks.len());
        }
    }

    /// What was noticed of few of many rules is found without a look at the others.
    #[test]
    fn what_is_noticed_is_told_once() {
        let first = RulesInForce::first(plan(1_000, &[10], 0));
        let mut cuts = RuleCuts::new(&first, &ahash::RandomState::new());
        let mut noticed = NoticedHere::default();
        noticed.resize(1_000);
        for _ in 0..2 {
            for slot in [7, 999, 7] {
                cuts.work(slot).notes.not_finite += 1;
            }
            assert_eq!(cuts.noted.len(), 2);
            assert!(cuts.add_some(1, &mut noticed) && !cuts.add_some(10, &mut noticed));
        }
        assert_eq!([7, 8, 999].map(|slot| noticed.of(slot).notes.not_finite), [4, 0, 2]);
    }
}
