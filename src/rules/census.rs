//! What rules make of many series: how many each takes, how many are left, which attributes vanish and how many values they had.
//!
//! Knows the identities it is given, one by one; does not know where they are from. What `catchment plan` shows, as numbers.
//!
//! Bounds: `RULE_CENSUS_ROWS_MAX` rows, and `RULE_CENSUS_HASHES_MAX` hashes of groups and values in all. What is past either
//! is counted in what is there, and `is_whole` says no.

use super::identity::{FoundValue, MetricSeen, OutputIdentity, ScopeParts};
use super::matcher::{Candidates, MetricMeant, Passage, RouteVerdict, RuleMatcher, StreamVerdict};
use super::plan::RulePlan;
use super::reach::{Leaver, LeavingNames, OutputConflict, RuleReach};
use super::rule::{Action, Aggregation, Change, InputKind, KeyPlace, Output};
use crate::identity::Set;
use crate::identity::attributes::{Records, hash as hash_of};
use crate::limits::{RULE_CENSUS_HASHES_MAX, RULE_CENSUS_ROWS_MAX};
use crate::model::Kind;
use hashbrown::{Equivalent, HashMap};
use std::collections::BTreeMap;
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
    /// How many values the attributes have in which groups differ.
    pub apart: BTreeMap<String, u64>,
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

/// Hashes that are told apart.
type HashSet = hashbrown::HashSet<u64, ahash::RandomState>;

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
    fn add(&mut self, set: &mut HashSet, hash: u64) -> bool {
        let is_new = !set.contains(&hash) && self.take();
        if is_new {
            set.insert(hash);
        }
        is_new
    }
}

/// An attribute that is counted.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountedKey {
    place: KeyPlace,
    key: Box<[u8]>,
}

/// The same, to be looked for.
#[derive(Hash)]
struct CountedKeyRef<'a> {
    place: KeyPlace,
    key: &'a [u8],
}

impl Equivalent<CountedKey> for CountedKeyRef<'_> {
    fn equivalent(&self, other: &CountedKey) -> bool {
        self.place == other.place && *self.key == *other.key
    }
}

#[derive(Debug, Default)]
struct Counting {
    series: u64,
    passing: u64,
    outputs: u64,
    group_bytes: u64,
    groups: HashSet,
    /// Values that it has, and those that groups have.
    attributes: HashMap<CountedKey, [HashSet; 2], ahash::RandomState>,
    /// Values of all attributes of groups.
    of_groups: HashMap<CountedKey, HashSet, ahash::RandomState>,
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

/// Rows by number, and by key.
#[derive(Debug, Default)]
struct Rows {
    all: Vec<Counting>,
    numbers: BTreeMap<RowKey, usize>,
    /// There was none for something.
    is_short: bool,
}

impl Rows {
    /// The number of a row, if there is one, or room for one.
    fn number(&mut self, rule: CensusRule, metric: &MetricSeen<'_>) -> Option<usize> {
        let key = (rule, Box::from(metric.name), metric.input());
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        if self.all.len() >= RULE_CENSUS_ROWS_MAX {
            self.is_short = true;
            return None;
        }
        self.all.push(Counting::default());
        self.numbers.insert(key, self.all.len() - 1);
        Some(self.all.len() - 1)
    }
}

/// A row that series of a metric are counted in.
#[derive(Debug)]
struct MetricRow {
    rule: CensusRule,
    /// None: there was no room for it.
    number: Option<usize>,
    /// Resource and scope of the group that those of the metric were compared with last.
    compared: Option<(Arc<Set>, Arc<Set>)>,
}

/// What is the same for all series of a metric under its resource and scope: they come one behind the other.
#[derive(Debug)]
struct AskedMetric {
    resource: Arc<[u8]>,
    scope: Arc<[u8]>,
    name: Box<str>,
    unit: Box<str>,
    kind: Kind,
    monotonic: bool,
    stream: StreamVerdict,
    candidates: Candidates,
    meant: MetricMeant,
    /// A hash of its name.
    hash: u64,
    rows: Vec<MetricRow>,
}

impl AskedMetric {
    fn of(metric: &MetricSeen<'_>, matcher: &mut RuleMatcher, state: &ahash::RandomState) -> AskedMetric {
        let MetricSeen { resource, scope, name, unit, kind, monotonic, held } = *metric;
        AskedMetric {
            resource: held.map_or_else(|| resource.into(), |[resource, _]| resource.clone()),
            scope: held.map_or_else(|| scope.into(), |[_, scope]| scope.clone()),
            name: name.into(),
            unit: unit.into(),
            kind,
            monotonic,
            stream: matcher.of_stream(metric),
            candidates: matcher.of_metric(metric),
            meant: matcher.metric_meant(metric),
            hash: state.hash_one(name),
            rows: Vec::new(),
        }
    }

    fn is(&self, metric: &MetricSeen<'_>) -> bool {
        (self.kind, self.monotonic) == (metric.kind, metric.monotonic)
            && *self.name == *metric.name
            && *self.unit == *metric.unit
            && is_run(&self.resource, metric.resource)
            && is_run(&self.scope, metric.scope)
    }
}

/// Whether they are the same bytes: most lie in one place, as series come metric by metric.
fn is_run(a: &[u8], b: &[u8]) -> bool {
    std::ptr::eq(a, b) || *a == *b
}

/// The row of a rule, and what it was compared with; of what was asked, `rows` are those of the metric.
fn row<'a>(
    rows: &'a mut Rows,
    of_metric: &'a mut Vec<MetricRow>,
    rule: CensusRule,
    metric: &MetricSeen<'_>,
) -> Option<(&'a mut Counting, &'a mut Option<(Arc<Set>, Arc<Set>)>)> {
    let place = of_metric.iter().position(|row| row.rule == rule).unwrap_or_else(|| {
        of_metric.push(MetricRow { rule, number: rows.number(rule, metric), compared: None });
        of_metric.len() - 1
    });
    let MetricRow { number, compared, .. } = &mut of_metric[place];
    Some((&mut rows.all[(*number)?], compared))
}

/// Counts what rules make of series.
#[derive(Debug)]
pub struct RuleCensus {
    plan: Arc<RulePlan>,
    matcher: RuleMatcher,
    state: ahash::RandomState,
    rows: Rows,
    /// The metric of the last series, as it came in, and as it was called then if that was something else.
    asked: [Option<Box<AskedMetric>>; 2],
    /// Rules that mean a series.
    meant: Vec<u32>,
    /// By number of the rule.
    reach: Vec<RuleReach>,
    leaving: LeavingNames,
    hashes: Hashes,
}

impl RuleCensus {
    /// Of this plan; nothing counted.
    pub fn new(plan: Arc<RulePlan>) -> RuleCensus {
        RuleCensus {
            reach: vec![RuleReach::default(); plan.rules().len()],
            leaving: LeavingNames::default(),
            matcher: RuleMatcher::new(plan.clone()),
            plan,
            state: ahash::RandomState::new(),
            rows: Rows::default(),
            asked: [None, None],
            meant: Vec::new(),
            hashes: Hashes { left: RULE_CENSUS_HASHES_MAX, is_whole: true },
        }
    }

    /// Counts a series: of this metric, with these attributes, a normalised run with the key byte of the kind. It is asked as
    /// ingest and its owner do. The same twice counts twice.
    pub fn add(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> CensusVerdict {
        let mut came_as = self.ask(0, metric);
        let verdict = self.count(&mut came_as, metric, attributes);
        // what relabels it knew it under its old name
        self.note_reach(&came_as, metric, attributes, verdict);
        self.asked[0] = Some(came_as);
        verdict
    }

    /// What there is to know of a metric; the place is given back by who asks.
    fn ask(&mut self, place: usize, metric: &MetricSeen<'_>) -> Box<AskedMetric> {
        let known = self.asked[place].take().filter(|asked| asked.is(metric));
        known.unwrap_or_else(|| Box::new(AskedMetric::of(metric, &mut self.matcher, &self.state)))
    }

    fn count(&mut self, came_as: &mut AskedMetric, metric: &MetricSeen<'_>, attributes: &[u8]) -> CensusVerdict {
        let verdict = match came_as.stream {
            StreamVerdict::Discard(rule) => RouteVerdict::Discard(rule),
            StreamVerdict::Pass => RouteVerdict::Pass,
            StreamVerdict::Ask => self.matcher.of_route(metric, attributes),
        };
        match verdict {
            RouteVerdict::Discard(rule) => {
                if let Some((row, _)) = row(&mut self.rows, &mut came_as.rows, CensusRule::Dropped(rule), metric) {
                    row.series += 1;
                }
                CensusVerdict { dropped: Some(rule), ..CensusVerdict::default() }
            }
            RouteVerdict::Relabelled(to) => {
                let [resource, scope] = [to.resource, to.scope].map(|made| made.bytes().clone());
                let (name, unit, attributes) = (to.name.to_owned(), to.unit.to_owned(), to.attributes.to_vec());
                let held = Some([&resource, &scope]);
                let called =
                    MetricSeen { resource: &resource, scope: &scope, name: &name, unit: &unit, held, ..*metric };
                let mut asked = self.ask(1, &called);
                let verdict = self.count_stored(&mut asked, &called, &attributes);
                self.asked[1] = Some(asked);
                verdict
            }
            RouteVerdict::Pass => self.count_stored(came_as, metric, attributes),
        }
    }

    /// Counts a series that is not dropped, as it is stored.
    fn count_stored(&mut self, asked: &mut AskedMetric, metric: &MetricSeen<'_>, attributes: &[u8]) -> CensusVerdict {
        let RuleCensus { plan, matcher, state, rows, hashes, leaving, .. } = self;
        let AskedMetric { candidates, rows: of_metric, .. } = asked;
        let mut taken = None;
        let passage = matcher.of_series(candidates, metric, attributes, state, &mut |fold| {
            taken = taken.or(Some(fold.rule));
            let rule = CensusRule::Taken(fold.rule);
            let Some((row, compared)) = row(rows, of_metric, rule, metric) else { return };
            row.series += 1;
            let Some(made) = plan.aggregation(fold.rule, fold.input) else { return };
            row.outputs = made.outputs[fold.input as usize].len() as u64;
            let OutputIdentity { resource, scope, name, unit, attributes: stay } = fold.identity;
            if hashes.add(&mut row.groups, state.hash_one((resource, scope, name, unit, stay))) {
                row.group_bytes += stay.len() as u64;
                leave(leaving, (fold.rule, made), metric, &fold.identity, state, hashes);
                row.note_group(&fold.identity, state, hashes);
            }
            let mut compare = Comparing { counting: row, made, state, hashes };
            compare.points(metric, attributes, &fold.identity);
            // those of the metric were compared with these before
            if compared.as_ref().is_none_or(|(r, s)| r != resource || s != scope) {
                compare.elsewhere(metric, &fold.identity);
                *compared = Some((resource.clone(), scope.clone()));
            }
        });
        if passage == Passage::Passes {
            // what passes counts once, with the first that took it
            let rule = taken.map_or(CensusRule::Untaken, CensusRule::Taken);
            if let Some((row, _)) = row(rows, of_metric, rule, metric) {
                row.passing += 1;
                row.series += u64::from(rule == CensusRule::Untaken);
            }
            let hash = leaving_hash(metric.name, metric.unit, metric.input(), metric, attributes, state);
            if leaving.has(hash) || hashes.take() {
                leaving.add(hash, Leaver::Input, || metric.name.to_owned());
            }
        }
        CensusVerdict { dropped: None, taken, passes: passage == Passage::Passes }
    }

    /// Notes what each rule that means the series has to do with it.
    fn note_reach(&mut self, asked: &AskedMetric, metric: &MetricSeen<'_>, attributes: &[u8], verdict: CensusVerdict) {
        let RuleCensus { plan, matcher, reach, meant, .. } = self;
        let input = metric.input();
        // the rule that those behind get nothing from
        let mut ends = verdict.dropped;
        matcher.meant_of(&asked.meant, metric, attributes, meant);
        for rule in meant.iter().copied() {
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
                of.leave(input, asked.hash);
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
        let Rows { all, numbers, .. } = &self.rows;
        numbers.iter().map(|((rule, name, kind), number)| (*rule, &**name, *kind, all[*number].row()))
    }

    /// Whether all of it was counted exactly; else groups and values are at least so many.
    pub fn is_whole(&self) -> bool {
        !self.rows.is_short && self.hashes.is_whole
    }
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
        let under = group.under(metric);
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

/// A series beside the group that a rule makes of it.
struct Comparing<'a> {
    counting: &'a mut Counting,
    made: &'a Aggregation,
    state: &'a ahash::RandomState,
    hashes: &'a mut Hashes,
}

impl Comparing<'_> {
    /// Notes the attributes of the point that the group does not have as the series does.
    fn points(&mut self, metric: &MetricSeen<'_>, attributes: &[u8], group: &OutputIdentity<'_>) {
        self.run(KeyPlace::Point, attributes, metric, group);
    }

    /// Notes those of its scope and its resource.
    fn elsewhere(&mut self, metric: &MetricSeen<'_>, group: &OutputIdentity<'_>) {
        let scope = ScopeParts::of(metric.scope);
        self.run(KeyPlace::Scope, scope.attributes, metric, group);
        self.run(KeyPlace::Resource, metric.resource, metric, group);
        let after = group.under(metric);
        for (key, text) in [("scope.name", scope.name), ("scope.version", scope.version)] {
            if !text.is_empty() {
                let now = FoundValue::of(&after, group.attributes, key, Some(KeyPlace::Scope));
                self.note(KeyPlace::Scope, key, false, [FoundValue::Text(text), now]);
            }
        }
    }

    fn run(&mut self, place: KeyPlace, run: &[u8], metric: &MetricSeen<'_>, group: &OutputIdentity<'_>) {
        let after = group.under(metric);
        for record in Records::new(run) {
            let Ok(key) = std::str::from_utf8(record.key()) else { continue };
            let now = FoundValue::of(&after, group.attributes, key, Some(place));
            let is_changed = self.made.changes.iter().any(|change| is_of(change, key));
            self.note(place, key, is_changed, [FoundValue::Value(record.value()), now]);
        }
    }

    fn note(&mut self, place: KeyPlace, key: &str, is_changed: bool, values: [FoundValue<'_>; 2]) {
        let all = &mut self.counting.attributes;
        let wanted = CountedKeyRef { place, key: key.as_bytes() };
        let sets = match all.get_mut(&wanted) {
            Some(sets) => sets,
            // what the rule changes for some series only is counted for all
            None if values[0] == values[1] && !is_changed => return,
            None => all.entry(CountedKey { place, key: key.as_bytes().into() }).or_default(),
        };
        for (set, value) in sets.iter_mut().zip(values) {
            let bytes = match value {
                FoundValue::Value(bytes) => bytes,
                FoundValue::Text(text) => text.as_bytes(),
                FoundValue::Nothing => continue,
            };
            self.hashes.add(set, self.state.hash_one(bytes));
        }
    }
}

impl Counting {
    /// Notes the attributes of a new group.
    fn note_group(&mut self, group: &OutputIdentity<'_>, state: &ahash::RandomState, hashes: &mut Hashes) {
        let scope = ScopeParts::of(&group.scope.run);
        let runs = [
            (KeyPlace::Point, group.attributes),
            (KeyPlace::Scope, scope.attributes),
            (KeyPlace::Resource, &*group.resource.run),
        ];
        for (place, run) in runs {
            for record in Records::new(run) {
                let key = record.key();
                let set = match self.of_groups.get_mut(&CountedKeyRef { place, key }) {
                    Some(set) => set,
                    None if hashes.left == 0 => continue,
                    None => self.of_groups.entry(CountedKey { place, key: key.into() }).or_default(),
                };
                hashes.add(set, state.hash_one(record.value()));
            }
        }
    }

    fn row(&self) -> CensusRow {
        let mut attributes: BTreeMap<String, CensusAttribute> = BTreeMap::new();
        for (CountedKey { key, .. }, [before, after]) in
            self.attributes.iter().filter(|(_, [before, after])| before != after)
        {
            // one key in several places is one line, of the place with the most values
            let line = attributes.entry(String::from_utf8_lossy(key).into_owned()).or_default();
            if (line.before, line.after) <= (before.len() as u64, after.len() as u64) {
                *line = CensusAttribute { before: before.len() as u64, after: after.len() as u64 };
            }
        }
        let mut apart: BTreeMap<String, u64> = BTreeMap::new();
        for (CountedKey { key, .. }, values) in self.of_groups.iter().filter(|(_, values)| values.len() > 1) {
            let line = apart.entry(String::from_utf8_lossy(key).into_owned()).or_default();
            *line = (*line).max(values.len() as u64);
        }
        CensusRow {
            series: self.series,
            passing: self.passing,
            groups: self.groups.len() as u64,
            outputs: self.outputs,
            group_bytes: self.group_bytes,
            attributes,
            apart,
        }
    }
}
