//! What rules make of one series, rule by rule and step by step, for people.
//!
//! Knows everything that `matcher` does, and asks it; does not know where the series is from, nor what its numbers are. Slow:
//! each rule that does not take the series is compiled again, field by field, to see which one says no.
//!
//! `limit` is told as if the series were the first to come.

use super::changes::{Changes, ChangesOf, Changing};
use super::draft::{Draft, DraftAttribute, DraftValue};
use super::fault::Faults;
use super::identity::{FoundValue, MetricSeen, ScopeParts, text_of};
use super::matcher::{RouteVerdict, RuleMatcher};
use super::patterns::Caches;
use super::plan::{CompiledAction, RulePlan};
use super::rule::{
    Action, Aggregation, AttributeChange, Change, InputKind, KeyPlace, Pattern, PatternKind, Rule, Selector,
};
use super::selectors::Compiling;
use super::stays::Stays;
use crate::identity::attributes::Records;
use crate::units::show_duration;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The rules that saw it, in their order.
    pub rules: Vec<ExplainedRule>,
    /// The rule that took it from those behind, if there are any.
    pub ended_by: Option<Arc<str>>,
    /// What becomes of the series itself.
    pub outcome: ExplainedOutcome,
}

/// What becomes of the series itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainedOutcome {
    /// Its points are dropped at the door.
    Dropped,
    /// It leaves, besides what rules make of it.
    Passes,
    /// Only what rules make of it leaves.
    Hidden,
}

/// What a rule says to a series.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedRule {
    /// Its name.
    pub name: Arc<str>,
    /// What it says.
    pub answer: ExplainedAnswer,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ExplainedAnswer {
    /// It does not mean it.
    No(WhyNot),
    /// It drops it.
    Drops,
    /// It keeps it from later rules.
    Keeps,
    /// It calls it something else.
    Relabels {
        /// What each change did.
        changes: Vec<ExplainedChange>,
        /// What it is called from here on.
        to: ExplainedSeries,
    },
    /// It takes it.
    Takes {
        /// What each change did.
        changes: Vec<ExplainedChange>,
        /// Which attributes grouping takes away.
        gone: Vec<String>,
        /// The group; the name is that of the input.
        group: ExplainedSeries,
        /// What leaves.
        outputs: Vec<ExplainedOutput>,
        /// How often, nanoseconds.
        interval_ns: u64,
        /// The input goes on, as far as this rule is asked.
        keeps_input: bool,
    },
}

/// Why a rule does not take a series.
#[derive(Clone, Debug, PartialEq)]
pub enum WhyNot {
    /// A field of its `match` says no.
    Field {
        /// `metric`, `resource.service.name`
        field: String,
        /// What the series has there; nothing: it has nothing, or nothing with a text.
        has: Option<String>,
        /// What the rule wants, as rules write it.
        wants: Vec<String>,
    },
    /// Its `except` means the series.
    Excepted,
    /// It has no output for this kind.
    NoOutput(InputKind),
}

/// What a change did.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedChange {
    /// The change: `class http.response.status_code`.
    pub change: String,
    /// The value before; nothing: there was none.
    pub before: Option<String>,
    /// The value after; nothing: there is none.
    pub after: Option<String>,
    /// It was not made, as the series has such an attribute already.
    pub is_skipped: bool,
}

/// An output.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedOutput {
    /// As the rule writes it: `p99`.
    pub text: Arc<str>,
    /// The name that leaves.
    pub name: String,
    /// The kind that leaves.
    pub kind: InputKind,
    /// How far it looks back, nanoseconds, if it does.
    pub window_ns: Option<u64>,
}

/// Who a series is, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainedSeries {
    /// The name of the metric.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Attributes of its points.
    pub attributes: Vec<(String, String)>,
    /// Attributes of the scope, its name and version among them as `scope.name` and `scope.version`.
    pub scope: Vec<(String, String)>,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
}

/// What stands for a value that has no text.
const NO_TEXT: &str = "(no text)";

fn shown(value: &[u8]) -> String {
    text_of(value, &mut String::new()).unwrap_or(NO_TEXT).to_string()
}

fn shown_run(run: &[u8]) -> Vec<(String, String)> {
    let show = |key: &[u8], value: &[u8]| (String::from_utf8_lossy(key).into_owned(), shown(value));
    let mut all: Vec<_> = Records::new(run).map(|record| show(record.key(), record.value())).collect();
    all.sort_unstable();
    all
}

impl ExplainedSeries {
    /// Of runs.
    pub fn of(metric: &MetricSeen<'_>, attributes: &[u8]) -> ExplainedSeries {
        let parts = ScopeParts::of(metric.scope);
        let heads = [("scope.name", parts.name), ("scope.version", parts.version)];
        let heads = heads.into_iter().filter(|(_, text)| !text.is_empty());
        let heads = heads.map(|(key, text)| (key.to_string(), text.to_string()));
        ExplainedSeries {
            name: metric.name.into(),
            unit: metric.unit.into(),
            attributes: shown_run(attributes),
            scope: heads.chain(shown_run(parts.attributes)).collect(),
            resource: shown_run(metric.resource),
        }
    }
}

/// `name{a="x"} @ k=v`
impl fmt::Display for ExplainedSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.attributes.is_empty() {
            let pairs: Vec<String> = self.attributes.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
            write!(f, "{{{}}}", pairs.join(","))?;
        }
        let pairs: Vec<String> =
            self.scope.iter().chain(&self.resource).map(|(key, value)| format!("{key}={value}")).collect();
        if pairs.is_empty() { Ok(()) } else { write!(f, " @ {}", pairs.join(",")) }
    }
}

/// A pattern as rules write it.
fn written(pattern: &Pattern) -> String {
    let not = if pattern.is_negated { "!" } else { "" };
    let regex = if pattern.kind == PatternKind::Regex { "~" } else { "" };
    format!("{not}{regex}{}", pattern.text)
}

/// A field of a selector alone.
struct OneField<'s> {
    name: String,
    selector: Selector,
    list: &'s [Pattern],
    /// The key, and where it is looked for.
    key: Option<(&'s str, Option<KeyPlace>)>,
}

/// The fields of a selector that say something, but for its kinds.
fn fields(selector: &Selector) -> Vec<OneField<'_>> {
    let mut all = Vec::new();
    let texts: [(&str, &Vec<Pattern>, fn(Vec<Pattern>) -> Selector); 4] = [
        ("metric", &selector.metric, |metric| Selector { metric, ..Selector::default() }),
        ("unit", &selector.unit, |unit| Selector { unit, ..Selector::default() }),
        ("scope.name", &selector.scope_name, |scope_name| Selector { scope_name, ..Selector::default() }),
        ("scope.version", &selector.scope_version, |scope_version| Selector { scope_version, ..Selector::default() }),
    ];
    for (name, list, alone) in texts {
        all.push(OneField { name: name.into(), selector: alone(list.clone()), list, key: None });
    }
    type Entries = Vec<(Arc<str>, Vec<Pattern>)>;
    let keyed: [(&str, &Entries, Option<KeyPlace>, fn(Entries) -> Selector); 3] = [
        ("resource", &selector.resource, Some(KeyPlace::Resource), |resource| Selector {
            resource,
            ..Selector::default()
        }),
        ("scope.attributes", &selector.scope_attributes, Some(KeyPlace::Scope), |scope_attributes| Selector {
            scope_attributes,
            ..Selector::default()
        }),
        ("attributes", &selector.attributes, None, |attributes| Selector { attributes, ..Selector::default() }),
    ];
    for (name, entries, place, alone) in keyed {
        for entry in entries {
            let (key, list) = entry;
            let name = format!("{name}.{key}");
            all.push(OneField { name, selector: alone(vec![entry.clone()]), list, key: Some((key, place)) });
        }
    }
    all.retain(|field| !field.list.is_empty());
    all
}

/// Whether a rule of this selector alone means the series.
fn is_meant(selector: Selector, metric: &MetricSeen<'_>, attributes: &[u8]) -> bool {
    let rule = Rule { name: "".into(), was: None, selector, except: None, action: Action::Keep, goes_on: false };
    // it was compiled before
    let Ok(plan) = RulePlan::new(vec![rule]) else { return false };
    RuleMatcher::new(Arc::new(plan)).means(0, metric, attributes)
}

/// Why a rule does not mean a series that it does not mean.
fn why_not(rule: &Rule, metric: &MetricSeen<'_>, attributes: &[u8]) -> WhyNot {
    let kinds = &rule.selector.kind;
    if !kinds.is_empty() && !kinds.contains(&metric.input()) {
        let wants = kinds.iter().map(|kind| kind.word().to_string()).collect();
        return WhyNot::Field { field: "kind".into(), has: Some(metric.input().word().into()), wants };
    }
    for OneField { name, selector, list, key } in fields(&rule.selector) {
        if is_meant(selector, metric, attributes) {
            continue;
        }
        let scope = ScopeParts::of(metric.scope);
        let has = match (key, &*name) {
            (Some((key, place)), _) => match FoundValue::of(metric, attributes, key, place) {
                FoundValue::Value(value) => Some(shown(value)),
                FoundValue::Text(text) => Some(text.into()),
                FoundValue::Nothing => None,
            },
            (None, "metric") => Some(metric.name.into()),
            (None, "unit") => Some(metric.unit.into()),
            (None, "scope.name") => Some(scope.name.into()),
            (None, _) => Some(scope.version.into()),
        };
        return WhyNot::Field { field: name, has, wants: list.iter().map(written).collect() };
    }
    WhyNot::Excepted
}

/// The verb of a change, as rules write it, and what it is about.
fn change_words(change: &Change) -> String {
    match change {
        Change::Attribute { key, change, .. } => {
            let verb = match change {
                AttributeChange::Drop => "drop",
                AttributeChange::Keep(_) => return "keep".into(),
                AttributeChange::Set(_) => "set",
                AttributeChange::Default(_) => "default",
                AttributeChange::Rename(to) => return format!("rename {key} to {to}"),
                AttributeChange::Copy(to) => return format!("copy {key} to {to}"),
                AttributeChange::Hash => "hash",
                AttributeChange::Replace { .. } => "replace",
                AttributeChange::Map { .. } => "map",
                AttributeChange::Class => "class",
                AttributeChange::Bucket(_) => "bucket",
                AttributeChange::Truncate(_) => "truncate",
                AttributeChange::Lower => "lower",
                AttributeChange::Upper => "upper",
                AttributeChange::Limit { .. } => "limit",
            };
            format!("{verb} {key}")
        }
        Change::Name { .. } => "name".into(),
        Change::Scale { by, unit } => format!("scale {by} to {unit}"),
    }
}

/// One change by itself.
fn compiled(change: &Change, of: ChangesOf) -> (Changes, Caches) {
    let mut compiling = Compiling::new();
    let changes = Changes::new(std::slice::from_ref(change), of, &mut Faults::default(), &mut compiling);
    (changes, Caches::new(compiling.caches))
}

fn text_in(draft: &Draft<'_>, key: &str, place: Option<KeyPlace>) -> Option<String> {
    let (place, number) = draft.find(key, place)?;
    let value: &DraftValue<'_> = &draft.places[place as usize][number].value;
    Some(value.text(&mut String::new()).unwrap_or(NO_TEXT).to_string())
}

/// Makes the changes one by one; what each did.
fn change_by_change<'a>(
    changes: &[Change],
    compiled: &'a mut [(Changes, Caches)],
    metric: &MetricSeen<'_>,
    draft: &mut Draft<'a>,
) -> Vec<ExplainedChange> {
    let mut all = Vec::new();
    for (change, (made, caches)) in changes.iter().zip(compiled) {
        let (before, after, mut skipped);
        skipped = 0;
        match change {
            Change::Attribute { key, place, change: what } => {
                let target = match what {
                    AttributeChange::Rename(to) | AttributeChange::Copy(to) => to,
                    _ => key,
                };
                before = text_in(draft, key, *place);
                let mut changing = Changing { caches, numbers: Vec::new(), made: String::new() };
                made.apply(draft, &mut changing, &mut skipped);
                after = text_in(draft, target, if target == key { *place } else { None });
            }
            Change::Name { .. } => {
                before = Some(metric.name.to_string());
                after = made.name(metric.name, caches).or_else(|| before.clone());
            }
            Change::Scale { unit, .. } => {
                before = Some(metric.unit.to_string());
                after = Some(unit.to_string());
            }
        }
        all.push(ExplainedChange { change: change_words(change), before, after, is_skipped: skipped > 0 });
    }
    all
}

impl RulePlan {
    /// What becomes of the series of this metric with these attributes, a normalised run with the key byte of the kind.
    pub fn explain(self: &Arc<RulePlan>, metric: &MetricSeen<'_>, attributes: &[u8]) -> Explanation {
        let mut matcher = RuleMatcher::new(self.clone());
        let mut door = Vec::new();
        // as it came in: what drops and relabels sees it so far, up to the first that takes it
        let mut came = CameIn::of(metric, attributes);
        let mut is_dropped = false;
        for (number, rule) in self.rules().iter().enumerate() {
            let seen = came.seen(metric);
            let is_meant = matcher.means(number as u32, &seen, &came.attributes);
            match &self.does[number] {
                CompiledAction::Drop | CompiledAction::Relabel(_) if !is_meant => {
                    let answer = ExplainedAnswer::No(why_not(rule, &seen, &came.attributes));
                    door.push((number, answer));
                }
                CompiledAction::Drop => {
                    door.push((number, ExplainedAnswer::Drops));
                    is_dropped = true;
                    break;
                }
                CompiledAction::Relabel(_) => {
                    let (answer, next) = relabelled(self, number, &came, metric);
                    door.push((number, answer));
                    came = next;
                }
                _ if is_meant && self.stops(number as u32) && self.concerns(number as u32, metric.input()) => break,
                _ => {}
            }
        }
        // as it is stored: what keeps and aggregates sees it so
        let seen = came.seen(metric);
        let (mut rules, mut ended_by, mut outcome) = (Vec::new(), None, ExplainedOutcome::Passes);
        let mut door = door.into_iter().peekable();
        for (number, rule) in self.rules().iter().enumerate() {
            let name = rule.name.clone();
            if let Some((_, answer)) = door.next_if(|(at, _)| *at == number) {
                let ends = answer == ExplainedAnswer::Drops;
                rules.push(ExplainedRule { name: name.clone(), answer });
                if ends {
                    outcome = ExplainedOutcome::Dropped;
                    ended_by = (number + 1 < self.rules().len()).then_some(name);
                    break;
                }
                continue;
            }
            let answer = match &rule.action {
                Action::Drop | Action::Relabel(_) => continue,
                _ if !matcher.means(number as u32, &seen, &came.attributes) => {
                    ExplainedAnswer::No(why_not(rule, &seen, &came.attributes))
                }
                Action::Aggregate(made) if made.outputs[metric.input() as usize].is_empty() => {
                    ExplainedAnswer::No(WhyNot::NoOutput(metric.input()))
                }
                Action::Aggregate(made) => taken(made, &seen, &came.attributes),
                Action::Keep => ExplainedAnswer::Keeps,
            };
            if let ExplainedAnswer::Takes { keeps_input: false, .. } = answer {
                outcome = ExplainedOutcome::Hidden;
            }
            let ends = !matches!(answer, ExplainedAnswer::No(_)) && self.stops(number as u32) && !is_dropped;
            rules.push(ExplainedRule { name: name.clone(), answer });
            if ends {
                ended_by = (number + 1 < self.rules().len()).then_some(name);
                break;
            }
        }
        Explanation { rules, ended_by, outcome }
    }
}

/// A series as it is called at some point.
#[derive(Clone, Debug, Default)]
struct CameIn {
    resource: Vec<u8>,
    scope: Vec<u8>,
    name: String,
    unit: String,
    attributes: Vec<u8>,
}

impl CameIn {
    fn of(metric: &MetricSeen<'_>, attributes: &[u8]) -> CameIn {
        CameIn {
            resource: metric.resource.into(),
            scope: metric.scope.into(),
            name: metric.name.into(),
            unit: metric.unit.into(),
            attributes: attributes.into(),
        }
    }

    fn seen<'a>(&'a self, metric: &MetricSeen<'_>) -> MetricSeen<'a> {
        let CameIn { resource, scope, name, unit, .. } = self;
        MetricSeen { resource, scope, name, unit, kind: metric.kind, monotonic: metric.monotonic, held: None }
    }
}

/// What a rule that relabels makes of it.
fn relabelled(plan: &RulePlan, number: usize, came: &CameIn, metric: &MetricSeen<'_>) -> (ExplainedAnswer, CameIn) {
    let seen = came.seen(metric);
    let Action::Relabel(changes) = &plan.rules()[number].action else {
        return (ExplainedAnswer::Keeps, came.clone());
    };
    let mut each: Vec<(Changes, Caches)> = changes.iter().map(|change| compiled(change, ChangesOf::Relabel)).collect();
    let mut draft = Draft::of(&seen, &came.attributes);
    let told = change_by_change(changes, &mut each, &seen, &mut draft);
    // the rule by itself, as ingest asks it
    let alone = Rule { selector: Selector::default(), except: None, ..plan.rules()[number].clone() };
    let mut next = came.clone();
    if let Ok(alone) = RulePlan::new(vec![alone])
        && let RouteVerdict::Relabelled(to) = RuleMatcher::new(Arc::new(alone)).of_route(&seen, &came.attributes)
    {
        next = CameIn {
            resource: to.resource.bytes().to_vec(),
            scope: to.scope.bytes().to_vec(),
            name: to.name.into(),
            unit: to.unit.into(),
            attributes: to.attributes.into(),
        };
    }
    let to = ExplainedSeries::of(&next.seen(metric), &next.attributes);
    (ExplainedAnswer::Relabels { changes: told, to }, next)
}

/// What a rule that aggregates makes of it.
fn taken(made: &Aggregation, metric: &MetricSeen<'_>, attributes: &[u8]) -> ExplainedAnswer {
    let mut each: Vec<(Changes, Caches)> =
        made.changes.iter().map(|change| compiled(change, ChangesOf::Aggregate)).collect();
    let mut draft = Draft::of(metric, attributes);
    let changes = change_by_change(&made.changes, &mut each, metric, &mut draft);
    let mut compiling = Compiling::new();
    let stays = Stays::new(&made.grouping, &mut Faults::default(), &mut compiling);
    let mut gone = Vec::new();
    let key = |attribute: &DraftAttribute<'_>| String::from_utf8_lossy(attribute.key).into_owned();
    stays.apply(&mut draft, &mut Caches::new(compiling.caches), &mut Vec::new(), |_, attribute| {
        gone.push(key(attribute))
    });
    gone.sort_unstable();
    gone.dedup();
    let [mut resource, mut scope, mut point] = <[Vec<u8>; 3]>::default();
    draft.put_resource(true, &mut resource);
    draft.put_scope(true, &mut scope);
    draft.put_attributes(0x0a, true, &mut point);
    let input = metric.input();
    let outputs = made.outputs[input as usize].iter().map(|spec| ExplainedOutput {
        text: spec.text.clone(),
        name: spec.name.replace("{name}", metric.name),
        kind: spec.output.leaves_as(input),
        window_ns: spec.output.has_window(input).then_some(spec.window_ns),
    });
    ExplainedAnswer::Takes {
        changes,
        gone,
        group: ExplainedSeries::of(&MetricSeen { resource: &resource, scope: &scope, held: None, ..*metric }, &point),
        outputs: outputs.collect(),
        interval_ns: made.interval_ns,
        keeps_input: made.keeps_input,
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyNot::Field { field, has, wants } => {
                let wants = if let [only] = &wants[..] {
                    format!("not {only}")
                } else {
                    format!("none of {}", wants.join(", "))
                };
                match has {
                    // it stands in what was asked
                    Some(_) if field == "metric" => write!(f, "metric is {wants}"),
                    Some(has) => write!(f, "{field} is {has:?}, {wants}"),
                    None => write!(f, "{field} is not there, and so {wants}"),
                }
            }
            WhyNot::Excepted => f.write_str("its except means this series"),
            WhyNot::NoOutput(kind) => write!(f, "it has no output for a {}", kind.word()),
        }
    }
}

/// Words in a column.
const COLUMN: usize = 34;

fn put_change(change: &ExplainedChange, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ExplainedChange { change, before, after, is_skipped } = change;
    let show = |text: &Option<String>| text.clone().unwrap_or("–".into());
    if *is_skipped {
        writeln!(f, "  {change:COLUMN$}  not made: the series has that attribute already")
    } else if before == after && before.is_some() {
        writeln!(f, "  {change:COLUMN$}  {} stays", show(before))
    } else if before == after {
        writeln!(f, "  {change:COLUMN$}  is not there")
    } else {
        writeln!(f, "  {change:COLUMN$}  {:14} → {}", show(before), show(after))
    }
}

/// As `catchment explain` writes it.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rules.iter().map(|rule| rule.name.chars().count()).max().unwrap_or(0);
        for ExplainedRule { name, answer } in &self.rules {
            write!(f, "{name:width$}  ")?;
            match answer {
                ExplainedAnswer::No(why) => writeln!(f, "no: {why}")?,
                ExplainedAnswer::Drops => writeln!(f, "yes, drops it")?,
                ExplainedAnswer::Keeps => writeln!(f, "yes, keeps it as it is")?,
                ExplainedAnswer::Relabels { changes, to } => {
                    writeln!(f, "yes, relabels it")?;
                    changes.iter().try_for_each(|change| put_change(change, f))?;
                    writeln!(f, "  → {to}")?;
                }
                ExplainedAnswer::Takes { changes, gone, group, outputs, interval_ns, keeps_input } => {
                    writeln!(f, "yes, takes it")?;
                    changes.iter().try_for_each(|change| put_change(change, f))?;
                    if !gone.is_empty() {
                        writeln!(f, "  {:COLUMN$}  {}", "goes", gone.join(", "))?;
                    }
                    for ExplainedOutput { text, name, kind, window_ns } in outputs {
                        let leaves = ExplainedSeries { name: name.clone(), ..group.clone() };
                        let over = window_ns.map(|ns| format!(" over {}", show_duration(Duration::from_nanos(ns))));
                        writeln!(f, "  → {leaves}  {text}: {}{}", kind.word(), over.unwrap_or_default())?;
                    }
                    let every = show_duration(Duration::from_nanos(*interval_ns));
                    let input = if *keeps_input { "the input goes on" } else { "the input is not passed on" };
                    writeln!(f, "  every {every}; {input}")?;
                }
            }
        }
        if let Some(name) = &self.ended_by {
            writeln!(f, "rules behind {name} do not see it")?;
        }
        f.write_str(match self.outcome {
            ExplainedOutcome::Dropped => "its points are dropped\n",
            ExplainedOutcome::Passes => "it passes on\n",
            ExplainedOutcome::Hidden => "what leaves is what the rules make of it\n",
        })
    }
}
