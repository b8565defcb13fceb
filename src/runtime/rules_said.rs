//! Log lines about rules: outputs that leave under one identity, and what limits of a rule kept out.
//!
//! Does not know: how either is found. Bounds: a pair of outputs, a limit of a rule, is spoken of as a loss is (`losses`): at
//! once, and then with what came since, at most once per `WARN_EVERY_NS`. Pairs are as many as are told apart
//! (`flush::conflicts`), limits as many as rules have, and only of those that did something is anything kept.

use super::losses::Spoken;
use crate::flush::{ConflictSide, FoldShared, RulesInForce};
use crate::ledger::{Note, Tally};
use crate::rules::Action;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What to do about outputs that leave under one identity.
const APART: &str = "give one of them `rename`, or keep an attribute that tells them apart; catchment plan finds these \
     beforehand";
/// About outputs past a rule's limit.
const MORE_SERIES: &str = "raise limits.series of the rule, or group by fewer attributes: catchment plan says which tell its \
     outputs apart";
/// About outputs past what there is room for.
const MORE_OUTPUTS: &str = "raise --series-limit, a tenth of which is for outputs, or group by fewer attributes";
/// About values past a `limit`.
const MORE_VALUES: &str = "raise `values`, or make fewer of them before it, as with `class` or `replace`";

/// Cuts until what was noticed at one is published for sure.
const NEWS_CUTS: u32 = 2;

/// What was said of rules.
#[derive(Default)]
pub(super) struct RulesSaid {
    conflicts: BTreeMap<[ConflictSide; 2], Spoken>,
    /// By rule: of its own limit, and of that of all outputs.
    outputs: BTreeMap<Arc<str>, [Spoken; 2]>,
    /// By rule, and by place of its `limit`.
    values: BTreeMap<(Arc<str>, usize), Spoken>,
    /// Members that had no room, and the cut at which there were so many for the first time.
    over: (u64, u32),
    /// Some line waits for its time.
    owes: bool,
}

impl RulesSaid {
    /// `cut`: the newest that was published.
    pub(super) fn look(&mut self, folds: &FoldShared, (tally, cut): (&Tally, u32), now_ns: u64, ending: bool) {
        self.say_conflicts(folds, now_ns, ending);
        let in_force = folds.in_force();
        self.say_values(&in_force, now_ns, ending);
        let over = tally.noted(Note::RuleOverflowed);
        if over != self.over.0 {
            self.over = (over, cut);
        }
        // what was noticed of ten thousand rules is not put together each second for nothing: it comes with the next cut
        let is_news = over > 0 && (ending || cut <= self.over.1 + NEWS_CUTS);
        if is_news || self.owes {
            self.say_outputs(folds, &in_force, now_ns, ending);
        }
    }

    fn say_conflicts(&mut self, folds: &FoldShared, now_ns: u64, ending: bool) {
        let told = folds.gather_conflicts();
        self.conflicts.retain(|of, _| told.iter().any(|one| one.of == *of));
        for one in told.iter() {
            let said = self.conflicts.entry(one.of.clone()).or_default();
            if let Some(series) = said.due(one.count, now_ns, ending) {
                let [first, second] = one.of.each_ref().map(ToString::to_string);
                let (total, example) = (one.count, &one.series);
                tracing::warn!(
                    first,
                    second,
                    series,
                    total,
                    example,
                    remedy = APART,
                    "two leave under one identity: whoever reads them takes them for one"
                );
            }
        }
    }

    fn say_values(&mut self, in_force: &RulesInForce, now_ns: u64, ending: bool) {
        let rules = in_force.plan().rules();
        self.values.retain(|(name, _), _| rules.iter().any(|rule| rule.name == *name));
        for (rule, place) in rules.iter().zip(0..) {
            let limits = in_force.plan().limits(place).enumerate();
            for (at, limit) in limits.filter(|(_, limit)| limit.refused > 0) {
                let said = self.values.entry((rule.name.clone(), at)).or_default();
                if let Some(series) = said.due(limit.refused, now_ns, ending) {
                    let (rule, key, values, total) = (&*rule.name, limit.key, limit.values_max, limit.refused);
                    tracing::warn!(
                        rule,
                        key,
                        values,
                        series,
                        total,
                        remedy = MORE_VALUES,
                        "a rule let in as many values of an attribute as `limit` says: others became one"
                    );
                }
            }
        }
    }

    fn say_outputs(&mut self, folds: &FoldShared, in_force: &RulesInForce, now_ns: u64, ending: bool) {
        self.owes = false;
        let noticed = folds.noticed();
        let rules = in_force.plan().rules();
        self.outputs.retain(|name, _| rules.iter().any(|rule| rule.name == *name));
        for (rule, place) in rules.iter().zip(0..) {
            let Action::Aggregate(says) = &rule.action else { continue };
            let Some(noticed) = noticed.get(in_force.slot(place) as usize) else { continue };
            let totals = [noticed.notes.over_series_limit, noticed.notes.over_all_outputs];
            if totals == [0; 2] {
                continue;
            }
            let said = self.outputs.entry(rule.name.clone()).or_default();
            let due = [0, 1].map(|at| said[at].due(totals[at], now_ns, ending));
            self.owes |= [0, 1].iter().any(|at| said[*at].owes(totals[*at]));
            let rule = &*rule.name;
            if let Some(series) = due[0] {
                let (limit, total) = (says.series_limit.unwrap_or(0), totals[0]);
                tracing::warn!(
                    rule,
                    limit,
                    series,
                    total,
                    remedy = MORE_SERIES,
                    "a rule has as many outputs as limits.series allows: what comes now is added to its overflow series"
                );
            }
            if let Some(series) = due[1] {
                tracing::warn!(
                    rule,
                    series,
                    total = totals[1],
                    remedy = MORE_OUTPUTS,
                    "rules have as many outputs as there is room for: what comes now is added to the rule's overflow series"
                );
            }
        }
    }
}
