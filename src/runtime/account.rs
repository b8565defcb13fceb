//! How points stand: the ledgers of all shards and destinations together.
//!
//! Does not know: who asks. Progress: reads what others publish, and waits for nobody.

use super::gates::GateBoard;
use crate::deliver::{DestinationRow, Sender};
use crate::flush::{FoldShared, FoldsNoticed, LeavingConflict, RulesInForce};
use crate::ledger::{self, Tally};
use crate::model::Discard;
use crate::rules::{Action, Rule};
use crate::sync::row::CounterRow;
use crate::telemetry::ledger::LedgerPage;
use crate::telemetry::rules::{ListedRule, RuleConflict, RuleRow};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is needed to say how things stand.
#[derive(Clone)]
pub(super) struct Account {
    rows: Arc<[Arc<CounterRow<{ ledger::WORDS }>>]>,
    sender: Sender,
    gates: Arc<GateBoard>,
    folds: Arc<FoldShared>,
    /// The ledger has been told.
    told: Arc<AtomicBool>,
}

impl Account {
    pub(super) fn new(
        rows: impl IntoIterator<Item = Arc<CounterRow<{ ledger::WORDS }>>>,
        sender: Sender,
        (gates, folds): (Arc<GateBoard>, Arc<FoldShared>),
    ) -> Account {
        Account { rows: rows.into_iter().collect(), sender, gates, folds, told: Arc::default() }
    }

    /// By shard.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        self.rows.iter().map(|row| Tally::from_words(row.read())).collect()
    }

    pub(super) fn tally(&self) -> Tally {
        Tally::sum(self.tallies())
    }

    /// Name and row of each.
    pub(super) fn destinations(&self) -> Vec<(String, DestinationRow)> {
        self.sender.standings().into_iter().map(|one| (one.name, one.row)).collect()
    }

    /// The ledger's page.
    pub(super) fn json(&self, verified_open: Option<u64>) -> String {
        let standings = self.sender.standings();
        let breakers = standings.iter().filter_map(|one| Some((one.name.clone(), one.breaker?))).collect::<Vec<_>>();
        let destinations = standings.into_iter().map(|one| (one.name, one.row)).collect::<Vec<_>>();
        let (tally, destinations, drops) = (&self.tally(), &destinations, &self.drops());
        LedgerPage { tally, destinations, breakers: &breakers, drops, rules: &self.rules(), verified_open }.json()
    }

    /// Tells the ledger as it stands, unless that was done before.
    pub(super) fn tell_once(&self) {
        // ORDERING: a flag; publishes nothing
        if !self.told.load(Relaxed) {
            self.tell();
        }
    }

    /// Tells the ledger as it stands; whether it balances.
    pub(super) fn tell(&self) -> bool {
        let (tally, destinations, drops) = (&self.tally(), &self.destinations(), &self.drops());
        let (breakers, rules) = (&[], &self.rules());
        let ledger = LedgerPage { tally, destinations, breakers, drops, rules, verified_open: None };
        ledger.say();
        ledger.balanced()
    }

    /// By rule that drops and entry of `dedup`, what it is called and how many points it put aside.
    pub(super) fn drops(&self) -> Vec<(Discard, Arc<str>, u64)> {
        self.gates.drops()
    }

    /// Rules that aggregate.
    pub(super) fn rules(&self) -> Vec<RuleRow> {
        let (in_force, noticed, conflicts) = (self.folds.in_force(), self.folds.noticed(), self.folds.conflicts());
        let rules = in_force.plan().rules().iter().enumerate();
        rules.filter_map(|(at, rule)| self.row(&in_force, (&noticed, &conflicts), (at, rule))).collect()
    }

    /// All rules, in their order.
    pub(super) fn listed_rules(&self) -> Vec<ListedRule> {
        let (in_force, noticed, drops) = (self.folds.in_force(), self.folds.noticed(), self.drops());
        let conflicts = self.folds.conflicts();
        let by_rule = drops.iter().filter(|(why, ..)| *why == Discard::Rule);
        let put_aside: HashMap<&str, u64> = by_rule.map(|(_, name, points)| (&**name, *points)).collect();
        let listed = |(at, rule): (usize, &Rule)| match self.row(&in_force, (&noticed, &conflicts), (at, rule)) {
            Some(row) => ListedRule::Aggregates(Box::new(row)),
            None => ListedRule::Other {
                name: rule.name.clone(),
                action: rule.action.word(),
                fingerprint: rule.fingerprint(),
                discarded: (rule.action == Action::Drop).then(|| put_aside.get(&*rule.name).copied().unwrap_or(0)),
            },
        };
        in_force.plan().rules().iter().enumerate().map(listed).collect()
    }

    /// Of the rule at this place, if it aggregates.
    fn row(
        &self,
        in_force: &RulesInForce,
        (noticed, conflicts): (&[FoldsNoticed], &[LeavingConflict]),
        (at, rule): (usize, &Rule),
    ) -> Option<RuleRow> {
        let Action::Aggregate(aggregation) = &rule.action else { return None };
        let slot = in_force.slot(at as u32) as usize;
        let FoldsNoticed { members, notes } = noticed.get(slot).cloned().unwrap_or_default();
        let of_rule = conflicts.iter().filter(|one| one.of.iter().any(|side| side.is_of(&rule.name)));
        let conflicts = of_rule.map(|one| RuleConflict {
            of: one.of.each_ref().map(ToString::to_string),
            series: one.series.clone(),
            count: one.count,
        });
        Some(RuleRow {
            name: rule.name.clone(),
            fingerprint: rule.fingerprint(),
            members,
            outputs: in_force.rules()[slot].outputs(),
            series_limit: aggregation.series_limit,
            interval_ns: aggregation.interval_ns,
            notes,
            values_limited: in_force.plan().limits(at as u32).map(|limit| limit.refused).sum(),
            conflicts: conflicts.collect(),
            is_closed: self.folds.is_closed(),
        })
    }

    /// The names of the rules in force, by slot; of those that a list of outputs can be asked of.
    pub(super) fn rule_names(&self) -> Vec<(u32, Arc<str>)> {
        let in_force = self.folds.in_force();
        let all = in_force.plan().rules().iter().zip(0..);
        all.filter(|(rule, _)| matches!(rule.action, Action::Aggregate(_)))
            .map(|(rule, at)| (in_force.slot(at), rule.name.clone()))
            .collect()
    }

    /// Somebody told it.
    pub(super) fn mark_told(&self) {
        // ORDERING: a flag; publishes nothing
        self.told.store(true, Relaxed);
    }
}
