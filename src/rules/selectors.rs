//! Which rules mean a series: all selectors of all rules, compiled by field.
//!
//! Knows what a selector asks and what a series has; does not know what rules do with what they mean.
//!
//! A field (the name of the metric, the resource's `service.name`, …) is looked at once for all rules: its text is compared
//! with the patterns of all rules in one pass, and the rules whose list it does not satisfy leave the set. What needs no
//! attribute of the point is asked once a group (`by_metric`), the rest once a series (`by_attributes`).
//!
//! Invariants
//! 1. Of a list one pattern must hold, of fields all. What is not there satisfies `!…` alone; what has no text, nothing.
//! 2. Of an overflow series, which stands for points whose attributes nobody knows, a field that is neither on its scope
//!    nor its resource keeps no rule from taking it: of `match` it holds, of `except` it does not.

use super::bits::Bits;
use super::fault::Faults;
use super::identity::{FoundValue, MetricSeen, ScopeParts, is_overflow, text_of};
use super::patterns::{Caches, Patterns, PatternsBuilder};
use super::rule::{InputKind, Pattern, Selector};
use super::runs::{FieldFound, Runs, SelectorSide, Under};
use crate::limits::RULES_NFA_BYTES_MAX;
use hashbrown::HashMap;
use std::sync::Arc;

/// Where a document has its selectors.
const fn key_of(side: SelectorSide) -> &'static str {
    match side {
        SelectorSide::Match => "match",
        SelectorSide::Except => "except",
    }
}

/// What a thread needs to ask.
#[derive(Debug)]
pub(super) struct Asking {
    pub caches: Caches,
    numbers: Vec<u32>,
    pass: Vec<u32>,
    text: String,
}

impl Asking {
    pub(super) fn new(caches: usize) -> Asking {
        Asking { caches: Caches::new(caches), numbers: Vec::new(), pass: Vec::new(), text: String::new() }
    }
}

/// The rules that mention a field.
#[derive(Debug)]
enum Mentions {
    /// Few: they are taken away one by one.
    Few(Box<[u32]>),
    /// All rules that do not.
    Others(Bits),
}

/// A list of patterns with `!` in it.
#[derive(Debug)]
struct NegatedList {
    rule: u32,
    /// Numbers, and whether they are negated.
    patterns: Box<[(u32, bool)]>,
}

/// One field of all selectors.
#[derive(Debug)]
struct Field {
    patterns: Patterns,
    mentions: Mentions,
    /// By number of a pattern, the rules that it satisfies; those with `!` in their list not among them.
    satisfied: Box<[Box<[u32]>]>,
    negated: Box<[NegatedList]>,
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Holds<'a> {
    Text(&'a str),
    /// A value that has no text.
    NoText,
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl Field {
    /// Takes out of `set` the rules whose list is not satisfied.
    fn narrow(&self, holds: Holds<'_>, side: SelectorSide, asking: &mut Asking, set: &mut Bits) {
        if matches!(holds, Holds::Unknown) && side == SelectorSide::Match {
            return;
        }
        self.satisfied(holds, asking, |rule| set.has(rule));
        self.keep(&asking.pass, set);
    }

    /// `pass`: of the rules that are in, those whose list is satisfied.
    fn satisfied(&self, holds: Holds<'_>, asking: &mut Asking, is_in: impl Fn(u32) -> bool) {
        let Asking { caches, numbers, pass, .. } = asking;
        pass.clear();
        match holds {
            Holds::Text(text) => {
                numbers.clear();
                self.patterns.like(text, caches, numbers);
                let satisfied = numbers.iter().flat_map(|number| &self.satisfied[*number as usize]);
                pass.extend(satisfied.filter(|rule| is_in(**rule)));
                let is_satisfied = |list: &&NegatedList| {
                    is_in(list.rule) && list.patterns.iter().any(|(number, not)| numbers.contains(number) != *not)
                };
                pass.extend(self.negated.iter().filter(is_satisfied).map(|list| list.rule));
            }
            Holds::Nothing => pass.extend(self.negated.iter().map(|list| list.rule).filter(|rule| is_in(*rule))),
            Holds::NoText | Holds::Unknown => {}
        }
    }

    /// Of the rules that mention it these stay, which are in `set`.
    fn keep(&self, pass: &[u32], set: &mut Bits) {
        match &self.mentions {
            Mentions::Few(rules) => rules.iter().for_each(|rule| set.remove(*rule)),
            Mentions::Others(others) => set.keep(others),
        }
        pass.iter().for_each(|rule| set.add(*rule));
    }

    fn narrow_by(&self, found: FoundValue<'_>, side: SelectorSide, asking: &mut Asking, set: &mut Bits) {
        let mut made = std::mem::take(&mut asking.text);
        self.narrow(holds(found, &mut made), side, asking, set);
        asking.text = made;
    }

    /// What was found, for all rules.
    fn found(&self, found: FoundValue<'_>, asking: &mut Asking) -> FieldFound {
        if found == FoundValue::Nothing {
            return FieldFound::Nothing;
        }
        let mut made = std::mem::take(&mut asking.text);
        self.satisfied(holds(found, &mut made), asking, |_| true);
        asking.text = made;
        FieldFound::Satisfies(Box::from(&*asking.pass))
    }
}

/// What is compared of what was found; `made` holds what has to be made.
fn holds<'a>(found: FoundValue<'a>, made: &'a mut String) -> Holds<'a> {
    match found {
        FoundValue::Value(value) => text_of(value, made).map_or(Holds::NoText, Holds::Text),
        FoundValue::Text(text) => Holds::Text(text),
        FoundValue::Nothing => Holds::Nothing,
    }
}

/// A field while selectors are gathered.
#[derive(Default)]
struct FieldBuilder {
    patterns: PatternsBuilder,
    lists: Vec<(u32, Vec<(u32, bool)>)>,
}

impl FieldBuilder {
    fn add(&mut self, rule: u32, list: &[Pattern], faults: &mut Faults) {
        let mut numbers = Vec::with_capacity(list.len());
        for (at, pattern) in list.iter().enumerate() {
            match self.patterns.add(pattern) {
                Ok(number) => numbers.push((number, pattern.is_negated)),
                Err(words) => faults.item(at, |faults| faults.add(words)),
            }
        }
        if !numbers.is_empty() {
            self.lists.push((rule, numbers));
        }
    }

    fn build(self, rules: usize, compiling: &mut Compiling) -> Option<Field> {
        if self.lists.is_empty() {
            return None;
        }
        let mut satisfied = vec![Vec::new(); self.patterns.len()];
        let mut negated = Vec::new();
        let mut mentioning: Vec<u32> = Vec::with_capacity(self.lists.len());
        for (rule, list) in self.lists {
            mentioning.push(rule);
            if list.iter().any(|(_, not)| *not) {
                negated.push(NegatedList { rule, patterns: list.into() });
            } else {
                list.iter().for_each(|(number, _)| satisfied[*number as usize].push(rule));
            }
        }
        let mut others = Bits::none(rules);
        let mentions = if mentioning.len() <= others.words() {
            Mentions::Few(mentioning.into())
        } else {
            (0..rules as u32).for_each(|rule| others.add(rule));
            mentioning.iter().for_each(|rule| others.remove(*rule));
            Mentions::Others(others)
        };
        Some(Field {
            patterns: compiling.build(self.patterns),
            mentions,
            satisfied: satisfied.into_iter().map(Vec::into_boxed_slice).collect(),
            negated: negated.into(),
        })
    }
}

/// What a plan counts while it is compiled.
#[derive(Debug)]
pub(super) struct Compiling {
    /// Caches that its patterns need.
    pub caches: usize,
    /// Bytes that patterns may still take.
    pub nfa_bytes: usize,
    /// All patterns of a field together were too large.
    pub too_large: Option<String>,
}

impl Compiling {
    /// Nothing yet.
    pub(super) const fn new() -> Compiling {
        Compiling { caches: 0, nfa_bytes: RULES_NFA_BYTES_MAX, too_large: None }
    }

    /// A pattern that is compiled by itself takes so many bytes.
    pub(super) fn take(&mut self, nfa_bytes: usize) {
        match self.nfa_bytes.checked_sub(nfa_bytes) {
            Some(left) => self.nfa_bytes = left,
            None => {
                let words = format!("one takes {} KiB, {} are left", nfa_bytes >> 10, self.nfa_bytes >> 10);
                self.too_large.get_or_insert(words);
            }
        }
    }

    /// The patterns compiled; none of them if all together are too large.
    pub(super) fn build(&mut self, patterns: PatternsBuilder) -> Patterns {
        patterns.build(&mut self.caches, &mut self.nfa_bytes).unwrap_or_else(|words| {
            self.too_large.get_or_insert(words);
            Patterns::default()
        })
    }
}

/// Fields of one place, by key.
#[derive(Default)]
struct KeyedBuilder {
    numbers: HashMap<Arc<str>, usize, ahash::RandomState>,
    fields: Vec<(Arc<str>, FieldBuilder)>,
}

impl KeyedBuilder {
    /// The number of the field.
    fn add(&mut self, rule: u32, (key, list): &(Arc<str>, Vec<Pattern>), faults: &mut Faults) -> u32 {
        let number = *self.numbers.entry(key.clone()).or_insert_with(|| {
            self.fields.push((key.clone(), FieldBuilder::default()));
            self.fields.len() - 1
        });
        faults.under(key, |faults| self.fields[number].1.add(rule, list, faults));
        number as u32
    }

    fn build(self, rules: usize, compiling: &mut Compiling) -> Box<[(Arc<str>, Option<Field>)]> {
        self.fields.into_iter().map(|(key, field)| (key, field.build(rules, compiling))).collect()
    }
}

/// The selectors of one side of all rules.
#[derive(Debug)]
pub(super) struct Selectors {
    side: SelectorSide,
    /// By kind of input, the rules that have a selector and take it.
    kinds: [Bits; InputKind::COUNT],
    metric: Option<Field>,
    unit: Option<Field>,
    scope_name: Option<Field>,
    scope_version: Option<Field>,
    resource: Box<[(Arc<str>, Option<Field>)]>,
    scope: Box<[(Arc<str>, Option<Field>)]>,
    anywhere: Box<[(Arc<str>, Option<Field>)]>,
    /// By rule, the fields of `anywhere` that it mentions.
    asks: Box<[Box<[u32]>]>,
}

impl Selectors {
    /// Compiles the selectors of `side`: one a rule, or none.
    pub(super) fn new<'a>(
        side: SelectorSide,
        selectors: impl ExactSizeIterator<Item = Option<&'a Selector>>,
        faults: &mut Faults,
        compiling: &mut Compiling,
    ) -> Selectors {
        let count = selectors.len();
        let mut kinds = std::array::from_fn(|_| Bits::none(count));
        let [mut metric, mut unit, mut scope_name, mut scope_version] =
            std::array::from_fn(|_| FieldBuilder::default());
        let [mut resource, mut scope, mut anywhere] = std::array::from_fn(|_| KeyedBuilder::default());
        let mut asks = vec![Box::default(); count];
        for (rule, selector) in selectors.enumerate() {
            let Some(selector) = selector else { continue };
            let number = rule as u32;
            for kind in InputKind::ALL {
                if selector.kind.is_empty() || selector.kind.contains(&kind) {
                    kinds[kind as usize].add(number);
                }
            }
            faults.of_rule(rule);
            faults.under(key_of(side), |faults| {
                faults.under("metric", |faults| metric.add(number, &selector.metric, faults));
                faults.under("unit", |faults| unit.add(number, &selector.unit, faults));
                faults.under("resource", |faults| {
                    for entry in &selector.resource {
                        resource.add(number, entry, faults);
                    }
                });
                faults.under("scope", |faults| {
                    faults.under("name", |faults| scope_name.add(number, &selector.scope_name, faults));
                    faults.under("version", |faults| scope_version.add(number, &selector.scope_version, faults));
                    faults.under("attributes", |faults| {
                        for entry in &selector.scope_attributes {
                            scope.add(number, entry, faults);
                        }
                    });
                });
                asks[rule] = faults.under("attributes", |faults| {
                    let entries = selector.attributes.iter().filter(|(_, list)| !list.is_empty());
                    entries.map(|entry| anywhere.add(number, entry, faults)).collect()
                });
            });
        }
        Selectors {
            side,
            kinds,
            metric: metric.build(count, compiling),
            unit: unit.build(count, compiling),
            scope_name: scope_name.build(count, compiling),
            scope_version: scope_version.build(count, compiling),
            resource: resource.build(count, compiling),
            scope: scope.build(count, compiling),
            anywhere: anywhere.build(count, compiling),
            asks: asks.into(),
        }
    }

    /// The rules that mean the metric, but for what attributes of its points can say. What its scope and its resource say is
    /// looked at once for each of these.
    pub(super) fn by_metric(
        &self,
        metric: &MetricSeen<'_>,
        (under, runs): (Under, &mut Runs),
        asking: &mut Asking,
        set: &mut Bits,
    ) {
        set.copy(&self.kinds[metric.input() as usize]);
        if set.is_empty() {
            return;
        }
        for (field, text) in [(&self.metric, metric.name), (&self.unit, metric.unit)] {
            if let Some(field) = field {
                field.narrow(Holds::Text(text), self.side, asking, set);
            }
        }
        if self.scope_name.is_some() || self.scope_version.is_some() || !self.scope.is_empty() {
            set.keep(runs.left(under.scope, self.side, |scope| self.left_by_scope(scope, asking)));
        }
        if !self.resource.is_empty() {
            set.keep(runs.left(under.resource, self.side, |resource| self.left_by_resource(resource, asking)));
        }
    }

    fn left_by_scope(&self, scope: &[u8], asking: &mut Asking) -> Bits {
        let (mut left, parts) = (Bits::all(self.asks.len()), ScopeParts::of(scope));
        for (field, text) in [(&self.scope_name, parts.name), (&self.scope_version, parts.version)] {
            if let Some(field) = field {
                field.narrow(Holds::Text(text), self.side, asking, &mut left);
            }
        }
        for (key, field) in &self.scope {
            if let Some(field) = field {
                field.narrow_by(FoundValue::in_scope(scope, key), self.side, asking, &mut left);
            }
        }
        left
    }

    fn left_by_resource(&self, resource: &[u8], asking: &mut Asking) -> Bits {
        let mut left = Bits::all(self.asks.len());
        for (key, field) in &self.resource {
            if let Some(field) = field {
                field.narrow_by(FoundValue::in_run(resource, key), self.side, asking, &mut left);
            }
        }
        left
    }

    /// The fields that a rule asks of each series.
    pub(super) fn asks(&self, rule: u32) -> &[u32] {
        &self.asks[rule as usize]
    }

    /// Of the rules of `set`, those that mean the series by these fields of those that they ask of each.
    pub(super) fn by_attributes(
        &self,
        fields: &[u32],
        (under, runs): (Under, &mut Runs),
        attributes: &[u8],
        asking: &mut Asking,
        set: &mut Bits,
    ) {
        for number in fields {
            let (key, Some(field)) = &self.anywhere[*number as usize] else { continue };
            let on_point = FoundValue::in_run(attributes, key);
            if on_point != FoundValue::Nothing {
                field.narrow_by(on_point, self.side, asking, set);
                continue;
            }
            let of = (self.side, *number);
            let in_scope = runs.found(under.scope, of, |run| field.found(FoundValue::in_scope(run, key), asking));
            let found = match in_scope {
                FieldFound::Satisfies(_) => in_scope,
                FieldFound::Nothing => {
                    runs.found(under.resource, of, |run| field.found(FoundValue::in_run(run, key), asking))
                }
            };
            match found {
                FieldFound::Satisfies(rules) => {
                    asking.pass.clear();
                    asking.pass.extend(rules.iter().filter(|rule| set.has(**rule)));
                    field.keep(&asking.pass, set);
                }
                FieldFound::Nothing if is_overflow(attributes) => field.narrow(Holds::Unknown, self.side, asking, set),
                FieldFound::Nothing => field.narrow(Holds::Nothing, self.side, asking, set),
            }
        }
    }
}
