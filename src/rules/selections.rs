//! Which destinations are given what: their selections, numbered and compiled.
//!
//! Knows what selections ask; does not know destinations, series, or what leaves when. Selections are compiled as rules that
//! do nothing, so that they mean a series as a rule's `match` and `except` do.
//!
//! Invariants
//! 1. Destinations that choose alike have one number.
//! 2. `match` and `except` hold for the identity with which something leaves: of a series that came in the one after
//!    relabelling, of an output that with its own name, kind and unit.
//! 3. A rule that does not keep its input replaces it for the destinations that take the rule's outputs, and for nobody
//!    else: who takes none of them is given the series as they came in. So raw series can go to one store and what rules
//!    make of them to another, and no destination loses what another one has folded.
//!
//! Bounds: as many selections as destinations; patterns as those of rules.

use super::fault::RuleFault;
use super::identity::MetricSeen;
use super::matcher::RuleMatcher;
use super::plan::RulePlan;
use super::rule::{Action, Rule};
use super::selection::{RuleChoice, Selection};
use crate::limits::DESTINATIONS_MAX;
use crate::model::SelectionNumber;
use std::sync::Arc;

/// A set of selections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectionSet(u16);

const _: () = assert!(DESTINATIONS_MAX <= u16::BITS as usize, "each destination may have a selection of its own");

impl SelectionSet {
    /// None.
    pub const NONE: SelectionSet = SelectionSet(0);

    /// Whether it is in it.
    #[inline]
    pub const fn has(self, number: SelectionNumber) -> bool {
        self.0 >> number.get() & 1 == 1
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either.
    pub const fn or(self, other: SelectionSet) -> SelectionSet {
        SelectionSet(self.0 | other.0)
    }

    /// What is in both.
    pub const fn and(self, other: SelectionSet) -> SelectionSet {
        SelectionSet(self.0 & other.0)
    }

    /// What is not in the other.
    pub const fn without(self, other: SelectionSet) -> SelectionSet {
        SelectionSet(self.0 & !other.0)
    }

    /// All that there may be.
    pub const ALL: SelectionSet = SelectionSet(u16::MAX);

    /// This one.
    pub const fn one(number: SelectionNumber) -> SelectionSet {
        SelectionSet(1 << number.get())
    }

    /// Those of `numbers`.
    fn of(numbers: impl Iterator<Item = u32>) -> SelectionSet {
        SelectionSet(numbers.fold(0, |set, number| set | 1 << number))
    }
}

/// The selections of all destinations; by their numbers.
#[derive(Debug)]
pub struct Selections {
    list: Vec<Selection>,
    /// Rules that do nothing, with what selections ask of a series.
    asked: Arc<RulePlan>,
    takes_input: SelectionSet,
}

/// The same selections compile to the same.
impl PartialEq for Selections {
    fn eq(&self, other: &Selections) -> bool {
        self.list == other.list
    }
}

impl Selections {
    /// Of destinations that choose so; nothing if all of them are given everything.
    ///
    /// # Errors
    /// Patterns that are too large together.
    pub fn new<'a>(chosen: impl IntoIterator<Item = &'a Selection>) -> Result<Option<Selections>, Vec<RuleFault>> {
        let mut list: Vec<Selection> = Vec::new();
        for selection in chosen {
            if !list.contains(selection) {
                list.push(selection.clone());
            }
        }
        if list.iter().all(|selection| *selection == Selection::default()) {
            return Ok(None);
        }
        let asked = |selection: &Selection| Rule {
            name: "".into(),
            was: None,
            selector: selection.selector.clone(),
            except: selection.except.clone(),
            action: Action::Keep,
            goes_on: false,
        };
        let asked = Arc::new(RulePlan::new(list.iter().map(asked).collect())?);
        let numbered = || list.iter().zip(0u32..);
        let takes_input = SelectionSet::of(numbered().filter(|(one, _)| one.takes_input).map(|(_, number)| number));
        Ok(Some(Selections { list, asked, takes_input }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The number of one; the first if it is none of them.
    pub fn number(&self, selection: &Selection) -> SelectionNumber {
        let at = self.list.iter().position(|one| one == selection);
        debug_assert!(at.is_some(), "selections are made of those of all destinations");
        SelectionNumber::new(at.unwrap_or(0) as u8)
    }

    /// Those that take series as they came in.
    pub fn takes_input(&self) -> SelectionSet {
        self.takes_input
    }

    /// Those that take the outputs of some rules.
    pub fn takes_outputs(&self) -> SelectionSet {
        let takes = self.list.iter().zip(0..).filter(|(one, _)| one.rules != RuleChoice::None);
        SelectionSet::of(takes.map(|(_, number)| number))
    }

    /// Those that take the outputs of the rule at this place in the plan.
    pub fn takes_rule(&self, rule: u32) -> SelectionSet {
        let takes = |one: &Selection| match &one.rules {
            RuleChoice::All => true,
            RuleChoice::None => false,
            RuleChoice::These(rules) => rules.binary_search(&rule).is_ok(),
        };
        SelectionSet::of(self.list.iter().zip(0..).filter(|(one, _)| takes(one)).map(|(_, number)| number))
    }
}

/// The selections that mean the series of a metric under its resource and scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricSelections {
    /// Whatever their attributes are.
    pub all: SelectionSet,
    /// Some of them: each has to be asked about.
    pub some: SelectionSet,
}

/// One thread's way to ask.
#[derive(Debug)]
pub struct SelectionMatcher {
    selections: Arc<Selections>,
    matcher: RuleMatcher,
}

impl SelectionMatcher {
    /// Of these.
    pub fn new(selections: Arc<Selections>) -> SelectionMatcher {
        SelectionMatcher { matcher: RuleMatcher::new(selections.asked.clone()), selections }
    }

    /// What is asked.
    pub fn selections(&self) -> &Selections {
        &self.selections
    }

    /// Which mean the metric.
    pub fn of_metric(&mut self, metric: &MetricSeen<'_>) -> MetricSelections {
        let mut of = MetricSelections::default();
        self.matcher.may_mean(metric, &mut |number, is_certain| {
            let one = SelectionSet::of(std::iter::once(number));
            if is_certain {
                of.all = of.all.or(one);
            } else {
                of.some = of.some.or(one);
            }
        });
        of
    }

    /// Which mean a series of the metric: with these attributes, a normalised run.
    pub fn of_series(&mut self, of: MetricSelections, metric: &MetricSeen<'_>, attributes: &[u8]) -> SelectionSet {
        if of.some.is_empty() {
            return of.all;
        }
        SelectionSet::of(self.matcher.meant(metric, attributes).into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Pattern, PatternKind, Selector};
    use super::*;
    use crate::identity::attributes::key_byte;
    use crate::model::Kind;
    use crate::wire::put_bytes;

    fn pattern(text: &str) -> Vec<Pattern> {
        vec![Pattern { text: text.into(), kind: PatternKind::Glob, is_negated: false }]
    }

    fn of_metric(text: &str) -> Selector {
        Selector { metric: pattern(text), ..Selector::default() }
    }

    fn of_attribute(key: &str, text: &str) -> Selector {
        Selector { attributes: vec![(key.into(), pattern(text))], ..Selector::default() }
    }

    /// One attribute as a run with this key byte.
    fn run(key_byte: u8, key: &str, value: &str) -> Vec<u8> {
        let (mut any, mut record, mut run) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut any, 0x0a, value.as_bytes());
        put_bytes(&mut record, 0x0a, key.as_bytes());
        put_bytes(&mut record, 0x12, &any);
        put_bytes(&mut run, key_byte, &record);
        run
    }

    fn numbers(set: SelectionSet) -> Vec<u8> {
        (0..16).filter(|number| set.has(SelectionNumber::new(*number))).collect()
    }

    #[test]
    fn nobody_who_chooses_is_no_selection_and_who_chooses_alike_has_one_number() {
        let all = Selection::default();
        assert_eq!(Selections::new([]), Ok(None));
        assert_eq!(Selections::new([&all, &all]), Ok(None));
        let raw = Selection { rules: RuleChoice::None, ..Selection::default() };
        let made = Selection { takes_input: false, rules: RuleChoice::These(vec![0, 2]), ..Selection::default() };
        let selections = Selections::new([&raw, &all, &made, &raw]).unwrap().unwrap();
        assert_eq!(selections.count(), 3);
        assert_eq!([&raw, &all, &made].map(|one| selections.number(one).get()), [0, 1, 2]);
        assert_eq!(numbers(selections.takes_input()), [0, 1]);
        assert_eq!([0, 1, 2].map(|rule| numbers(selections.takes_rule(rule))), [vec![1, 2], vec![1], vec![1, 2]]);
    }

    /// What needs no attribute of a point is known of the metric; a key is looked for on the point, the scope, the resource.
    #[test]
    fn series_are_meant_as_rules_mean_them() {
        let chosen = [
            Selection { selector: of_metric("http.*"), ..Selection::default() },
            Selection { selector: of_attribute("env", "prod"), ..Selection::default() },
            Selection { except: Some(of_attribute("code", "5*")), ..Selection::default() },
            Selection { except: Some(of_metric("http.*")), ..Selection::default() },
        ];
        let selections = Arc::new(Selections::new(&chosen).unwrap().unwrap());
        let mut matcher = SelectionMatcher::new(selections);
        let resource = run(0x0a, "env", "prod");
        let mut check = |name: &str, resource: &[u8], attributes: (&str, &str), want: (&[u8], &[u8], &[u8])| {
            let metric =
                MetricSeen { resource, scope: b"", name, unit: "", kind: Kind::Gauge, monotonic: false, held: None };
            let of = matcher.of_metric(&metric);
            let attributes = run(key_byte(Kind::Gauge), attributes.0, attributes.1);
            let series = matcher.of_series(of, &metric, &attributes);
            assert_eq!(
                (&*numbers(of.all), &*numbers(of.some), &*numbers(series)),
                want,
                "{name} {attributes:?} {}",
                resource.len()
            );
        };
        check("http.x", b"", ("code", "200"), (&[0], &[1, 2], &[0, 2]));
        check("http.x", b"", ("code", "503"), (&[0], &[1, 2], &[0]));
        check("db.x", b"", ("env", "prod"), (&[3], &[1, 2], &[1, 2, 3]));
        check("db.x", &resource, ("code", "503"), (&[3], &[1, 2], &[1, 3]));
        check("db.x", &resource, ("env", "test"), (&[3], &[1, 2], &[2, 3]));
    }
}
