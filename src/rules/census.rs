//! What rules make of many series: how many each takes, how many are left, which attributes vanish and how many values they had.
//!
//! Knows the identities it is given, one by one; does not know where they are from. What `catchment plan` shows, as numbers.
//!
//! Bounds: `RULE_CENSUS_ROWS_MAX` rows, and `RULE_CENSUS_HASHES_MAX` hashes of groups and values in all. What is past either
//! is counted in what is there, and `is_whole` says no.

use super::identity::{FoundValue, MetricSeen, OutputIdentity, ScopeParts};
use super::matcher::{Passage, RouteVerdict, RuleMatcher};
use super::plan::RulePlan;
use super::reach::{Leaver, LeavingNames, OutputConflict, RuleReach};
use super::rule::{Action, Aggregation, Change, InputKind, KeyPlace, Output};
use crate::identity::attributes::{Records, hash as hash_of};
use crate::limits::{RULE_CENSUS_HASHES_MAX, RULE_CENSUS_ROWS_MAX};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Which rule does what is in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CensusRule {
    /// The rule of this number drops it.
    Dropped(u32),
    /// The rule of this number takes it.
    Taken(u32),
    /// No rule takes it.
    Untaken,
}

/// What became of the series of one metric under one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CensusRow {
    /// Series of it.
    pub series: u64,
    /// Those of them that leave as well, whatever is made of them.
    pub passing: u64,
    /// Groups that they become.
    pub groups: u64,
    /// Outputs of each group.
    pub outputs: u64,
    /// Bytes of the points' attributes of all groups.
    pub group_bytes: u64,
    /// Attributes that groups do not have, or have with other values.
    pub attributes: BTreeMap<String, CensusAttribute>,
}

impl CensusRow {
    /// Series that leave in place of these.
    pub fn after(&self) -> u64 {
        self.groups * self.outputs + self.passing
    }
}

/// Values of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusAttribute {
    /// How many it had.
    pub before: u64,
    /// How many it has in groups; 0: it is gone.
    pub after: u64,
}

/// Counts hashes that were not there before, as far as there is room.
#[derive(Debug)]
struct Hashes {
    left: usize,
    is_whole: bool,
}

impl Hashes {
    /// Room for one more.
    fn take(&mut self) -> bool {
        let has_room = self.left > 0;
        self.left -= usize::from(has_room);
        self.is_whole &= has_room;
        has_room
    }

    /// One more, if it is new: whether it is, and was let in.
    fn add(&mut self, set: &mut HashSet<u64>, hash: u64) -> bool {
        let is_new = !set.contains(&hash) && self.take();
        if is_new {
            set.insert(hash);
        }
        is_new
    }
}

#[derive(Debug, Default)]
struct Counting {
    series: u64,
    passing: u64,
    outputs: u64,
    group_bytes: u64,
    groups: HashSet<u64>,
    attributes: BTreeMap<(KeyPlace, Box<[u8]>), [HashSet<u64>; 2]>,
}

/// A key of rows: what happens, the metric, its kind.
type RowKey = (CensusRule, Box<str>, InputKind);

/// What became of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusVerdict {
    /// The rule that drops it.
    pub dropped: Option<u32>,
    /// The first rule that takes it.
    pub taken: Option<u32>,
    /// It leaves itself, whatever is made of it.
    pub passes: bool,
}

/// Counts what rules make of series.
#[derive(Debug)]
pub struct RuleCensus {
    matcher: RuleMatcher,
    state: ahash::RandomState,
    rows: BTreeMap<RowKey, Counting>,
    /// By number of the rule.
    reach: Vec<RuleReach>,
    leaving: LeavingNames,
    hashes: Hashes,
    is_whole: bool,
}

impl RuleCensus {
    /// Of this plan; nothing counted.
    pub fn new(plan: Arc<RulePlan>) -> RuleCensus {
        RuleCensus {
            reach: vec![RuleReach::default(); plan.rules().len()],
            leaving: LeavingNames::default(),
            matcher: RuleMatcher::new(plan),
            state: ahash::RandomState::new(),
            rows: BTreeMap::new(),
            hashes: Hashes { left: RULE_CENSUS_HASHES_MAX, is_whole: true },
            is_whole: true,
        }
    }

    /// Counts a series: of this metric, with these attributes, a normalised run with the key byte of the kind. It is asked as
    /// ingest and its owner do. The same twice counts twice.
    pub fn add(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> CensusVerdict {
        let relabelled = match self.matcher.of_route(metric, attributes) {
            RouteVerdict::Discard(rule) => {
                if let Some(row) = row(&mut self.rows, &mut self.is_whole, CensusRule::Dropped(rule), metric) {
                    row.series += 1;
                }
                let verdict = CensusVerdict { dropped: Some(rule), ..CensusVerdict::default() };
                self.note_reach(metric, attributes, verdict);
                return verdict;
            }
            RouteVerdict::Relabelled(to) => {
                let [resource, scope, attributes] = [to.resource, to.scope, to.attributes].map(<[u8]>::to_vec);
                Some((resource, scope, to.name.to_string(), to.unit.to_string(), attributes))
            }
            RouteVerdict::Pass => None,
        };
        let (came_as, came_with) = (metric, attributes);
        let (metric, attributes) = match &relabelled {
            Some((resource, scope, name, unit, attributes)) => {
                (&MetricSeen { resource, scope, name, unit, ..*metric }, &**attributes)
            }
            None => (metric, attributes),
        };
        let RuleCensus { matcher, state, rows, hashes, is_whole, leaving, .. } = self;
        let candidates = matcher.of_metric(metric);
        let mut taken = Vec::new();
        let plan = matcher.plan().clone();
        let passage = matcher.of_series(&candidates, metric, attributes, state, &mut |fold| {
            taken.push(fold.rule);
            let Some(row) = row(rows, is_whole, CensusRule::Taken(fold.rule), metric) else { return };
            row.series += 1;
            let Some(made) = plan.aggregation(fold.rule, fold.input) else { return };
            row.outputs = made.outputs[fold.input as usize].len() as u64;
            let OutputIdentity { resource, scope, name, unit, attributes: stay } = fold.identity;
            if hashes.add(&mut row.groups, state.hash_one((resource, scope, name, unit, stay))) {
                row.group_bytes += stay.len() as u64;
                leave(leaving, (fold.rule, made), metric, &fold.identity, state, hashes);
            }
            row.compare((metric, attributes), &fold.identity, &made.changes, state, hashes);
        });
        if passage == Passage::Passes {
            // what passes counts once, with the first that took it
            let rule = taken.first().map_or(CensusRule::Untaken, |rule| CensusRule::Taken(*rule));
            if let Some(row) = row(rows, is_whole, rule, metric) {
                row.passing += 1;
                row.series += u64::from(rule == CensusRule::Untaken);
            }
            let hash = leaving_hash(metric.name, metric.unit, metric.input(), metric, attributes, state);
            if leaving.has(hash) || hashes.take() {
                leaving.add(hash, Leaver::Input, || metric.name.to_owned());
            }
        }
        let verdict =
            CensusVerdict { dropped: None, taken: taken.first().copied(), passes: passage == Passage::Passes };
        match relabelled.is_some() {
            // what relabels it knew it under its old name
            true => self.note_reach(came_as, came_with, verdict),
            false => self.note_reach(metric, attributes, verdict),
        }
        verdict
    }

    /// Notes what each rule that means the series has to do with it.
    fn note_reach(&mut self, metric: &MetricSeen<'_>, attributes: &[u8], verdict: CensusVerdict) {
        let RuleCensus { matcher, reach, state, .. } = self;
        let plan = matcher.plan().clone();
        let input = metric.input();
        // the rule that those behind get nothing from
        let mut ends = verdict.dropped;
        for rule in matcher.meant(metric, attributes) {
            let of = &mut reach[rule as usize];
            of.meant += 1;
            if let Some(before) = ends.filter(|before| *before != rule) {
                of.shadowed_by = of.shadowed_by.or(Some(before));
                continue;
            }
            let is_taken = match &plan.rules()[rule as usize].action {
                Action::Aggregate(_) => plan.aggregation(rule, input).is_some(),
                Action::Drop => verdict.dropped == Some(rule),
                Action::Keep | Action::Relabel(_) => true,
            };
            of.reached += u64::from(is_taken);
            if !is_taken && verdict.dropped.is_none() && verdict.taken.is_none() {
                of.leave(input, state.hash_one(metric.name));
            }
            if is_taken && plan.stops(rule) {
                ends = Some(rule);
            }
        }
    }

    /// By number of the rule, which series it means and reaches.
    pub fn reach(&self) -> &[RuleReach] {
        &self.reach
    }

    /// What would leave with one name and the same attributes, but from different rules or outputs.
    pub fn conflicts(&self) -> impl Iterator<Item = OutputConflict> {
        self.leaving.conflicts()
    }

    /// What was counted, by what happens, metric and kind.
    pub fn rows(&self) -> impl Iterator<Item = (CensusRule, &str, InputKind, CensusRow)> {
        self.rows.iter().map(|((rule, name, kind), counting)| (*rule, &**name, *kind, counting.row()))
    }

    /// Whether all of it was counted exactly; else groups and values are at least so many.
    pub fn is_whole(&self) -> bool {
        self.is_whole && self.hashes.is_whole
    }
}

/// The row, if there is one, or room for one.
fn row<'a>(
    rows: &'a mut BTreeMap<RowKey, Counting>,
    is_whole: &mut bool,
    rule: CensusRule,
    metric: &MetricSeen<'_>,
) -> Option<&'a mut Counting> {
    let key = (rule, Box::from(metric.name), metric.input());
    if rows.len() >= RULE_CENSUS_ROWS_MAX && !rows.contains_key(&key) {
        *is_whole = false;
        return None;
    }
    Some(rows.entry(key).or_default())
}

/// Notes the names and attributes with which a new group leaves.
fn leave(
    leaving: &mut LeavingNames,
    (rule, made): (u32, &Aggregation),
    metric: &MetricSeen<'_>,
    group: &OutputIdentity<'_>,
    state: &ahash::RandomState,
    hashes: &mut Hashes,
) {
    let input = metric.input();
    for (place, spec) in made.outputs[input as usize].iter().enumerate() {
        // its series have keys that the group has not
        if matches!(spec.output, Output::TopK { .. }) {
            continue;
        }
        let name = spec.name.replace("{name}", group.name);
        let unit = spec.output.unit(input, group.unit);
        let under = MetricSeen { resource: group.resource, scope: group.scope, ..*metric };
        let hash = leaving_hash(&name, &unit, spec.output.leaves_as(input), &under, group.attributes, state);
        if leaving.has(hash) || hashes.take() {
            leaving.add(hash, Leaver::Output(rule, place as u32), || name);
        }
    }
}

/// The identity of what leaves, whatever the order of its attributes.
fn leaving_hash(
    name: &str,
    unit: &str,
    kind: InputKind,
    under: &MetricSeen<'_>,
    attributes: &[u8],
    state: &ahash::RandomState,
) -> u64 {
    let scope = ScopeParts::of(under.scope);
    let sets = [under.resource, scope.attributes, attributes].map(|run| hash_of(run, state));
    state.hash_one((name, unit, kind as u8, scope.name, scope.version, sets))
}

/// Whether a change names the key as the one that it is about.
fn is_of(change: &Change, key: &str) -> bool {
    matches!(change, Change::Attribute { key: about, .. } if **about == *key)
}

impl Counting {
    /// Notes the attributes that the group does not have as the series does.
    fn compare(
        &mut self,
        (metric, attributes): (&MetricSeen<'_>, &[u8]),
        group: &OutputIdentity<'_>,
        changes: &[Change],
        state: &ahash::RandomState,
        hashes: &mut Hashes,
    ) {
        let after = MetricSeen { resource: group.resource, scope: group.scope, ..*metric };
        let scope = ScopeParts::of(metric.scope);
        let runs =
            [(KeyPlace::Point, attributes), (KeyPlace::Scope, scope.attributes), (KeyPlace::Resource, metric.resource)];
        for (place, run) in runs {
            for record in Records::new(run) {
                let Ok(key) = std::str::from_utf8(record.key()) else { continue };
                let now = FoundValue::of(&after, group.attributes, key, Some(place));
                let is_changed = changes.iter().any(|change| is_of(change, key));
                self.note((place, key), is_changed, [FoundValue::Value(record.value()), now], state, hashes);
            }
        }
        for (key, text) in [("scope.name", scope.name), ("scope.version", scope.version)] {
            if !text.is_empty() {
                let now = FoundValue::of(&after, group.attributes, key, Some(KeyPlace::Scope));
                self.note((KeyPlace::Scope, key), false, [FoundValue::Text(text), now], state, hashes);
            }
        }
    }

    fn note(
        &mut self,
        (place, key): (KeyPlace, &str),
        is_changed: bool,
        values: [FoundValue<'_>; 2],
        state: &ahash::RandomState,
        hashes: &mut Hashes,
    ) {
        let key = (place, Box::from(key.as_bytes()));
        // what the rule changes for some series only is counted for all
        if values[0] == values[1] && !is_changed && !self.attributes.contains_key(&key) {
            return;
        }
        let sets = self.attributes.entry(key).or_default();
        for (set, value) in sets.iter_mut().zip(values) {
            let bytes = match value {
                FoundValue::Value(bytes) => bytes,
                FoundValue::Text(text) => text.as_bytes(),
                FoundValue::Nothing => continue,
            };
            hashes.add(set, state.hash_one(bytes));
        }
    }

    fn row(&self) -> CensusRow {
        let mut attributes: BTreeMap<String, CensusAttribute> = BTreeMap::new();
        for ((_, key), [before, after]) in self.attributes.iter().filter(|(_, [before, after])| before != after) {
            // one key in several places is one line, of the place with the most values
            let line = attributes.entry(String::from_utf8_lossy(key).into_owned()).or_default();
            if line.before <= before.len() as u64 {
                *line = CensusAttribute { before: before.len() as u64, after: after.len() as u64 };
            }
        }
        CensusRow {
            series: self.series,
            passing: self.passing,
            groups: self.groups.len() as u64,
            outputs: self.outputs,
            group_bytes: self.group_bytes,
            attributes,
        }
    }
}
