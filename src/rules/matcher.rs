//! One thread's questions to the plan: which rules take a series, and what they make of it.
//!
//! Two ask. Ingest, when a stream or a route is made: is it dropped, is it called something else (`of_stream`, `of_route`).
//! The owner of a series, when it is born: which folds does it belong to (`of_metric`, `of_series`). Nothing is asked for a
//! point. Does not know streams, routes, series or folds.
//!
//! Invariants
//! 1. Rules are tried in their order. The first that takes a series ends it, unless it goes on; what relabels always goes on.
//! 2. A rule without an output for the kind of the input does not take it.
//! 3. Relabelling changes who a series *is*: rules that keep or aggregate see it as it is stored, wherever they stand, and so
//!    all senders of one series alike. What is dropped is no series at all. `RulePlan::new` refuses what drops or relabels
//!    below a rule that goes on, where that would matter.
//! 4. The input goes on if every rule that took it says so.
//!
//! A series that is renamed to what another sender calls so already is the same series from then on, with two writers (M14).

use super::bits::Bits;
use super::changes::{Changes, Changing};
use super::draft::Draft;
use super::groups::{MakingRule, RuleGroups};
use super::identity::{FoundValue, MetricSeen, OutputIdentity};
use super::plan::{CompiledAction, RulePlan};
use super::rule::{Action, InputKind, Output};
use super::runs::{MadeRun, Runs, Under};
use super::selectors::{Asking, Selectors};
use super::stays::Stays;
use crate::identity::attributes::key_byte;
use crate::limits::{NAME_BYTES_MAX, RULE_LISTS_REMEMBERED};
use crate::wire::put_bytes;
use hashbrown::HashMap;
use std::sync::Arc;

/// A rule that may take the series of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    rule: u32,
    /// It asks for attributes of each series.
    asks: bool,
    /// What it excepts does.
    except_asks: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct CandidateList {
    rules: Box<[Candidate]>,
    /// The fields that they ask of each series; those of what they except.
    asks: Box<[u32]>,
    except_asks: Box<[u32]>,
}

/// The rules that may take the series of a group, as far as that is known without their attributes.
#[derive(Clone, Debug, Default)]
pub struct Candidates(Option<Arc<CandidateList>>);

impl Candidates {
    /// No rule takes any of its series, nor keeps any from rules behind it: there is nothing to ask for each.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Their places in the plan, in its order.
    pub fn rules(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|list| list.rules.iter().map(|candidate| candidate.rule))
    }
}

/// The rules that may mean series of a metric, as far as that is known without their attributes.
#[derive(Debug)]
pub(super) struct MetricMeant(CandidateList);

/// What becomes of a series itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It leaves as if there were no rules.
    Passes,
    /// Outputs leave in its place.
    Hidden,
}

/// A fold that a series belongs to: one of a rule, a resulting identity and a kind of input, for all outputs of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedFold<'a> {
    /// The number of the rule.
    pub rule: u32,
    /// The kind of the series.
    pub input: InputKind,
    /// The group.
    pub identity: OutputIdentity<'a>,
    /// For each output `unique`, in their order, a hash of the values of its keys, never 0; 0 where it has none of them.
    pub distinct: &'a [u64],
    /// For each output `topk`, in their order, the records of its keys, in the order of the keys, with the key byte 0x0a.
    pub top: &'a [&'a [u8]],
}

/// What becomes of the points of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamVerdict {
    /// They are dropped by the rule of this number.
    Discard(u32),
    /// Each route has to ask.
    Ask,
    /// They go in as they are.
    Pass,
}

/// What becomes of the points of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RouteVerdict<'a> {
    /// They are dropped by the rule of this number.
    Discard(u32),
    /// They are called something else.
    Relabelled(Relabelled<'a>),
    /// They go in as they are.
    Pass,
}

/// What a series is called after relabelling. The sets are as their senders ordered them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relabelled<'a> {
    /// The attributes of the resource, with the key byte 0x0a.
    pub resource: &'a Arc<MadeRun>,
    /// The `InstrumentationScope` message.
    pub scope: &'a Arc<MadeRun>,
    /// The name of the metric.
    pub name: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// The attributes of the series, with the key byte of its kind.
    pub attributes: &'a [u8],
    /// What values and bounds are multiplied by; 1 where nothing says so.
    pub scale: f64,
}

/// What a series is called on its way through rules that relabel.
#[derive(Debug, Default)]
struct Called {
    /// Scope and resource; nothing before something was called so.
    elsewhere: Option<[Arc<MadeRun>; 2]>,
    name: String,
    unit: String,
    attributes: Vec<u8>,
}

impl Called {
    fn seen<'a>(&'a self, metric: &MetricSeen<'a>) -> MetricSeen<'a> {
        let Some([scope, resource]) = &self.elsewhere else { return *metric };
        MetricSeen {
            resource: resource.bytes(),
            scope: scope.bytes(),
            name: &self.name,
            unit: &self.unit,
            kind: metric.kind,
            monotonic: metric.monotonic,
            held: Some([resource.bytes(), scope.bytes()]),
        }
    }
}

/// Sets of rules while a series is looked at.
#[derive(Debug)]
struct Sets {
    taken: Bits,
    excepted: Bits,
}

/// One thread's way to ask.
#[derive(Debug)]
pub struct RuleMatcher {
    plan: Arc<RulePlan>,
    asking: Asking,
    sets: Sets,
    runs: Runs,
    groups: RuleGroups,
    lists: HashMap<Box<[Candidate]>, Arc<CandidateList>, ahash::RandomState>,
    numbers: Vec<u32>,
    made: String,
    /// Attributes of the point of an output.
    attributes: Vec<u8>,
    called: Called,
    next: Called,
    distinct: Vec<u64>,
    top: Vec<u8>,
    top_ends: Vec<usize>,
    skipped: u64,
}

impl RuleMatcher {
    /// Of this plan.
    pub fn new(plan: Arc<RulePlan>) -> RuleMatcher {
        let rules = plan.rules().len();
        let [taken, excepted] = std::array::from_fn(|_| Bits::none(rules));
        RuleMatcher {
            asking: Asking::new(plan.caches),
            plan,
            sets: Sets { taken, excepted },
            runs: Runs::new(),
            groups: RuleGroups::new(),
            lists: HashMap::default(),
            numbers: Vec::new(),
            made: String::new(),
            attributes: Vec::new(),
            called: Called::default(),
            next: Called::default(),
            distinct: Vec::new(),
            top: Vec::new(),
            top_ends: Vec::new(),
            skipped: 0,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<RulePlan> {
        &self.plan
    }

    /// Bytes of resources and scopes that are remembered, and of what was made of them.
    pub fn bytes(&self) -> usize {
        self.runs.bytes()
    }

    /// Resource and scope of a metric are asked about.
    #[inline]
    fn enter(&mut self, metric: &MetricSeen<'_>) -> Under {
        let under = self.runs.enter(metric);
        if self.runs.take_lost_large() {
            // they hold what was made of it
            self.groups.clear();
        }
        under
    }

    /// Changes of `relabel` that were not made because the series has such an attribute already, since this was last asked.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// The rules that may take series of this metric under its resource and scope.
    pub fn of_metric(&mut self, metric: &MetricSeen<'_>) -> Candidates {
        self.find_by_metric(metric);
        let input = metric.input();
        let mut rules: Vec<Candidate> = Vec::new();
        for rule in self.sets.taken.iter() {
            if !self.plan.concerns(rule, input) {
                continue;
            }
            let candidate = self.candidate(rule);
            rules.push(candidate);
            if !candidate.asks && !candidate.except_asks && self.plan.stops(rule) {
                break;
            }
        }
        self.candidates(rules)
    }

    /// `taken`: rules that mean the metric, but for what they ask each series; without those that except it for certain.
    fn find_by_metric(&mut self, metric: &MetricSeen<'_>) {
        let under = self.enter(metric);
        let Sets { taken, excepted, .. } = &mut self.sets;
        self.plan.matching.by_metric(metric, (under, &mut self.runs), &mut self.asking, taken);
        let Some(excepting) = &self.plan.excepting else { return };
        excepting.by_metric(metric, (under, &mut self.runs), &mut self.asking, excepted);
        for rule in excepted.iter().filter(|rule| excepting.asks(*rule).is_empty()) {
            taken.remove(rule);
        }
    }

    /// Of what `find_by_metric` found.
    fn candidate(&self, rule: u32) -> Candidate {
        Candidate {
            rule,
            asks: !self.plan.matching.asks(rule).is_empty(),
            except_asks: self.plan.excepting.is_some() && self.sets.excepted.has(rule),
        }
    }

    /// Of these; many groups have the same, and share them.
    fn candidates(&mut self, mut rules: Vec<Candidate>) -> Candidates {
        let aggregates =
            |candidate: &Candidate| matches!(self.plan.does[candidate.rule as usize], CompiledAction::Aggregate { .. });
        // what keeps at the end keeps from nobody
        let count = rules.iter().rposition(aggregates).map_or(0, |last| last + 1);
        rules.truncate(count);
        if rules.is_empty() {
            return Candidates(None);
        }
        if let Some(known) = self.lists.get(&*rules) {
            return Candidates(Some(known.clone()));
        }
        let list = Arc::new(self.list(rules));
        if self.lists.len() == RULE_LISTS_REMEMBERED {
            self.lists.clear();
        }
        self.lists.insert(list.rules.clone(), list.clone());
        Candidates(Some(list))
    }

    /// With the fields that these ask.
    fn list(&self, rules: Vec<Candidate>) -> CandidateList {
        let fields = |selectors: &Selectors, asks: &dyn Fn(&Candidate) -> bool| -> Box<[u32]> {
            let asking = rules.iter().filter(|candidate| asks(candidate));
            let mut fields: Vec<u32> = asking.flat_map(|candidate| selectors.asks(candidate.rule)).copied().collect();
            fields.sort_unstable();
            fields.dedup();
            fields.into()
        };
        let asks = fields(&self.plan.matching, &|candidate| candidate.asks);
        let excepting = self.plan.excepting.as_ref();
        let except_asks = excepting.map(|excepting| fields(excepting, &|candidate| candidate.except_asks));
        CandidateList { rules: rules.into(), asks, except_asks: except_asks.unwrap_or_default() }
    }

    /// What rules make of a series of this metric; `link` is told of each fold that it belongs to, in the order of the rules.
    /// `candidates` are those of the metric, `attributes` a normalised run. The hashes are keyed by `state`.
    pub fn of_series(
        &mut self,
        candidates: &Candidates,
        metric: &MetricSeen<'_>,
        attributes: &[u8],
        state: &ahash::RandomState,
        link: &mut impl FnMut(LinkedFold<'_>),
    ) -> Passage {
        let Some(list) = candidates.0.as_deref() else { return Passage::Passes };
        self.find_by_attributes(list, metric, attributes);
        let plan = self.plan.clone();
        let mut passage = Passage::Passes;
        for candidate in &list.rules {
            if !self.takes(*candidate) {
                continue;
            }
            let rule = candidate.rule;
            if let (CompiledAction::Aggregate { changes, stays }, Action::Aggregate(aggregation)) =
                (&plan.does[rule as usize], &plan.rules()[rule as usize].action)
            {
                let outputs = aggregation.outputs[metric.input() as usize].iter().map(|spec| &spec.output);
                self.fold((rule, changes, stays), outputs, metric, attributes, state, link);
                if !aggregation.keeps_input {
                    passage = Passage::Hidden;
                }
            }
            if plan.stops(rule) {
                break;
            }
        }
        passage
    }

    /// `taken` and `excepted`: of the candidates that ask, those that mean the series.
    fn find_by_attributes(&mut self, list: &CandidateList, metric: &MetricSeen<'_>, attributes: &[u8]) {
        if list.asks.is_empty() && list.except_asks.is_empty() {
            return;
        }
        let under = self.enter(metric);
        let (plan, runs) = (&*self.plan, &mut self.runs);
        if !list.asks.is_empty() {
            let taken = &mut self.sets.taken;
            taken.clear();
            list.rules.iter().filter(|candidate| candidate.asks).for_each(|candidate| taken.add(candidate.rule));
            plan.matching.by_attributes(&list.asks, (under, runs), attributes, &mut self.asking, taken);
        }
        let Some(excepting) = plan.excepting.as_ref().filter(|_| !list.except_asks.is_empty()) else { return };
        let excepted = &mut self.sets.excepted;
        excepted.clear();
        list.rules.iter().filter(|candidate| candidate.except_asks).for_each(|candidate| excepted.add(candidate.rule));
        excepting.by_attributes(&list.except_asks, (under, runs), attributes, &mut self.asking, excepted);
    }

    fn takes(&self, candidate: Candidate) -> bool {
        let Sets { taken, excepted, .. } = &self.sets;
        (!candidate.asks || taken.has(candidate.rule)) && !(candidate.except_asks && excepted.has(candidate.rule))
    }

    /// Tells `link` of the fold of a rule that takes the series.
    fn fold<'o>(
        &mut self,
        (rule, changes, stays): (u32, &Changes, &Stays),
        outputs: impl Iterator<Item = &'o Output>,
        metric: &MetricSeen<'_>,
        attributes: &[u8],
        state: &ahash::RandomState,
        link: &mut impl FnMut(LinkedFold<'_>),
    ) {
        let under = self.enter(metric);
        self.distinct.clear();
        self.top.clear();
        self.top_ends.clear();
        let (numbers, made) = (std::mem::take(&mut self.numbers), std::mem::take(&mut self.made));
        let mut changing = Changing { caches: &mut self.asking.caches, numbers, made };
        let mut draft = Draft::of_point(attributes);
        let maker = MakingRule { rule, changes, outputs: Some((stays, state)) };
        let shape = self.groups.of(maker, (under, &mut self.runs), draft.point(), &mut changing);
        changes.apply_to_point(&shape.trace, &mut draft, &mut changing, &mut 0);
        let changed = [shape.resource.changed.bytes(), shape.scope.changed.bytes()];
        let elsewhere = MetricSeen { resource: changed[0], scope: changed[1], held: Some(changed), ..*metric };
        for output in outputs {
            match output {
                Output::Unique(keys) => self.distinct.push(distinct(keys, &draft, &elsewhere, state)),
                Output::TopK { keys, .. } => {
                    for key in keys {
                        put_record(key, &draft, &elsewhere, &mut self.top);
                    }
                    self.top_ends.push(self.top.len());
                }
                _ => {}
            }
        }
        stays.apply(&mut draft, changing.caches, &mut changing.numbers, |_, _| {});
        (self.numbers, self.made) = (changing.numbers, changing.made);
        draft.put_attributes(0x0a, true, &mut self.attributes);
        let (Some(resource), Some(scope)) = (&shape.resource.out, &shape.scope.out) else {
            unreachable!("it was asked for")
        };
        let mut from = 0;
        let top: Vec<&[u8]> = (self.top_ends.iter())
            .map(|end| {
                let records = &self.top[from..*end];
                from = *end;
                records
            })
            .collect();
        link(LinkedFold {
            rule,
            input: metric.input(),
            identity: OutputIdentity {
                resource,
                scope,
                name: metric.name,
                unit: metric.unit,
                attributes: &self.attributes,
            },
            distinct: &self.distinct,
            top: &top,
        });
    }

    /// What becomes of the points of a stream of this metric, as far as that is known without their attributes.
    pub fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        if !self.plan.changes_streams() {
            return StreamVerdict::Pass;
        }
        self.find_by_metric(metric);
        let input = metric.input();
        let mut is_certain = true;
        for rule in self.sets.taken.iter() {
            let Candidate { asks, except_asks, .. } = self.candidate(rule);
            let asks = asks || except_asks;
            match self.plan.does[rule as usize] {
                CompiledAction::Drop if is_certain && !asks => return StreamVerdict::Discard(rule),
                CompiledAction::Drop | CompiledAction::Relabel(_) => return StreamVerdict::Ask,
                CompiledAction::Aggregate { .. } if self.plan.aggregation(rule, input).is_none() => {}
                CompiledAction::Aggregate { .. } | CompiledAction::Keep if !self.plan.stops(rule) => {}
                // what may take it takes it from what may drop it
                CompiledAction::Aggregate { .. } | CompiledAction::Keep if asks => is_certain = false,
                CompiledAction::Aggregate { .. } | CompiledAction::Keep => return StreamVerdict::Pass,
            }
        }
        StreamVerdict::Pass
    }

    /// What becomes of the points of a route: of this metric, with these attributes, a normalised run with the key byte of the
    /// kind.
    pub fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        let plan = self.plan.clone();
        let (mut from, mut scale, mut is_relabelled) = (0, 1.0, false);
        loop {
            let called = std::mem::take(&mut self.called);
            let (seen, run) =
                if is_relabelled { (called.seen(metric), &*called.attributes) } else { (*metric, attributes) };
            self.find(&seen, run);
            let found = self.first_that_matters(from, metric.input());
            let relabels = match found {
                None => None,
                Some(rule) => match &plan.does[rule as usize] {
                    CompiledAction::Drop => {
                        self.called = called;
                        return RouteVerdict::Discard(rule);
                    }
                    CompiledAction::Relabel(changes) => Some((rule, changes)),
                    CompiledAction::Aggregate { .. } | CompiledAction::Keep => None,
                },
            };
            let Some((rule, changes)) = relabels else {
                self.called = called;
                break;
            };
            if self.relabel((rule, changes), &seen, run) {
                is_relabelled = true;
                scale *= changes.scale.as_ref().map_or(1.0, |(by, _)| *by);
                std::mem::swap(&mut self.called, &mut self.next);
                self.next = called;
            } else {
                self.called = called;
            }
            from = rule + 1;
        }
        let Called { elsewhere, name, unit, attributes } = &self.called;
        let Some([scope, resource]) = elsewhere.as_ref().filter(|_| is_relabelled) else { return RouteVerdict::Pass };
        RouteVerdict::Relabelled(Relabelled { resource, scope, name, unit, attributes, scale })
    }

    /// Whether a rule means a series.
    pub(super) fn means(&mut self, rule: u32, metric: &MetricSeen<'_>, attributes: &[u8]) -> bool {
        self.find(metric, attributes);
        self.sets.taken.has(rule)
    }

    /// Tells `visit` of each rule that may mean series of a metric, and whether it means all of them.
    pub(super) fn may_mean(&mut self, metric: &MetricSeen<'_>, visit: &mut impl FnMut(u32, bool)) {
        self.find_by_metric(metric);
        for rule in self.sets.taken.iter() {
            let Candidate { asks, except_asks, .. } = self.candidate(rule);
            visit(rule, !asks && !except_asks);
        }
    }

    /// Rules that may mean series of a metric, whatever they do.
    pub(super) fn metric_meant(&mut self, metric: &MetricSeen<'_>) -> MetricMeant {
        self.find_by_metric(metric);
        let rules: Vec<Candidate> = self.sets.taken.iter().map(|rule| self.candidate(rule)).collect();
        MetricMeant(self.list(rules))
    }

    /// Those of them that mean a series of the metric, in their order.
    pub(super) fn meant_of(
        &mut self,
        MetricMeant(list): &MetricMeant,
        metric: &MetricSeen<'_>,
        attributes: &[u8],
        into: &mut Vec<u32>,
    ) {
        into.clear();
        self.find_by_attributes(list, metric, attributes);
        into.extend(list.rules.iter().filter(|candidate| self.takes(**candidate)).map(|candidate| candidate.rule));
    }

    /// All rules that mean a series, in their order.
    pub(super) fn meant(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> Vec<u32> {
        self.find(metric, attributes);
        self.sets.taken.iter().collect()
    }

    /// `taken`: all rules that mean the series.
    fn find(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) {
        self.find_by_metric(metric);
        let under = self.enter(metric);
        let (plan, runs) = (&*self.plan, &mut self.runs);
        let Sets { taken, excepted } = &mut self.sets;
        let fields = &mut self.numbers;
        let mut ask = |selectors: &Selectors, set: &mut Bits| {
            fields.clear();
            set.iter().for_each(|rule| fields.extend_from_slice(selectors.asks(rule)));
            fields.sort_unstable();
            fields.dedup();
            selectors.by_attributes(fields, (under, runs), attributes, &mut self.asking, set);
        };
        ask(&plan.matching, taken);
        if let Some(excepting) = &plan.excepting {
            ask(excepting, excepted);
            excepted.iter().for_each(|rule| taken.remove(rule));
        }
    }

    /// The first of the rules that mean the series, from `from` on, that drops it, relabels it, or takes it from those behind.
    fn first_that_matters(&self, from: u32, input: InputKind) -> Option<u32> {
        let mut rules = std::iter::successors(self.sets.taken.next(from), |rule| self.sets.taken.next(rule + 1));
        rules.find(|rule| match self.plan.does[*rule as usize] {
            CompiledAction::Drop | CompiledAction::Relabel(_) => true,
            CompiledAction::Aggregate { .. } => self.plan.aggregation(*rule, input).is_some() && self.plan.stops(*rule),
            CompiledAction::Keep => true,
        })
    }

    /// Writes into `next` what a series is called then; `false` if that is what it is called now.
    fn relabel(&mut self, (rule, changes): (u32, &Changes), metric: &MetricSeen<'_>, attributes: &[u8]) -> bool {
        let under = self.enter(metric);
        let (numbers, made) = (std::mem::take(&mut self.numbers), std::mem::take(&mut self.made));
        let mut changing = Changing { caches: &mut self.asking.caches, numbers, made };
        let mut draft = Draft::of_point(attributes);
        let maker = MakingRule { rule, changes, outputs: None };
        let shape = self.groups.of(maker, (under, &mut self.runs), draft.point(), &mut changing);
        changes.apply_to_point(&shape.trace, &mut draft, &mut changing, &mut self.skipped);
        (self.numbers, self.made) = (changing.numbers, changing.made);
        let next = &mut self.next;
        next.elsewhere = Some([&shape.scope, &shape.resource].map(|made| made.changed.clone()));
        let is_elsewhere_changed = shape.resource.is_changed || shape.scope.is_changed;
        draft.put_attributes(key_byte(metric.kind), false, &mut next.attributes);
        let name = changes
            .name(metric.name, &mut self.asking.caches)
            .filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let unit = changes.scale.as_ref().map(|(_, unit)| &**unit);
        next.name.clear();
        next.name.push_str(name.as_deref().unwrap_or(metric.name));
        next.unit.clear();
        next.unit.push_str(unit.unwrap_or(metric.unit));
        changes.scale.is_some() || is_elsewhere_changed || next.name != metric.name || next.attributes != attributes
    }
}

/// The value of `key` as AnyValue: in the draft, else in what is not part of it.
fn put_value(key: &str, draft: &Draft<'_>, elsewhere: &MetricSeen<'_>, out: &mut Vec<u8>) -> bool {
    out.clear();
    if let Some(value) = draft.value(key) {
        value.put(out);
        return true;
    }
    match FoundValue::of(elsewhere, &[], key, None) {
        FoundValue::Value(value) => out.extend_from_slice(value),
        FoundValue::Text(text) => put_bytes(out, 0x0a, text.as_bytes()),
        FoundValue::Nothing => return false,
    }
    true
}

/// A hash of the values of `keys`, which is not 0; 0 if there is none of them.
fn distinct(keys: &[Arc<str>], draft: &Draft<'_>, elsewhere: &MetricSeen<'_>, state: &ahash::RandomState) -> u64 {
    let (mut bytes, mut value) = (Vec::new(), Vec::new());
    let mut has_any = false;
    for key in keys {
        if put_value(key, draft, elsewhere, &mut value) {
            has_any = true;
            put_bytes(&mut bytes, 1, &value);
        } else {
            bytes.push(0);
        }
    }
    if has_any { state.hash_one(bytes).max(1) } else { 0 }
}

/// Appends the record of a key, if it is there.
fn put_record(key: &str, draft: &Draft<'_>, elsewhere: &MetricSeen<'_>, out: &mut Vec<u8>) {
    let (mut record, mut value) = (Vec::new(), Vec::new());
    if put_value(key, draft, elsewhere, &mut value) {
        put_bytes(&mut record, 0x0a, key.as_bytes());
        put_bytes(&mut record, 0x12, &value);
        put_bytes(out, 0x0a, &record);
    }
}
