//! The same questions, answered slowly and obviously, from RULES' table alone: every rule, every field, every pattern by itself.
//!
//! Knows no automaton, no sets of rules, no bytes.

use super::model::{Attributes, Link, Series, Value};
use crate::rules::*;

const OVERFLOW: &str = "otel.metric.overflow";

/// Whether a glob is like a text, by trying.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        ['?', rest @ ..] => !text.is_empty() && glob(rest, &text[1..]),
        ['\\', c, rest @ ..] => text.first() == Some(c) && glob(rest, &text[1..]),
        ['{', rest @ ..] => {
            let (mut depth, mut starts, mut end) = (0, vec![0], rest.len());
            for (at, c) in rest.iter().enumerate() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        end = at;
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => starts.push(at + 1),
                    _ => {}
                }
            }
            let ends = starts.iter().skip(1).map(|start| start - 1).chain([end]);
            starts.iter().zip(ends).any(|(start, stop)| glob(&[&rest[*start..stop], &rest[end + 1..]].concat(), text))
        }
        [c, rest @ ..] => text.first() == Some(c) && glob(rest, &text[1..]),
    }
}

/// Whether a pattern is like a text.
pub(super) fn is_like(text: &str, kind: PatternKind, given: &str) -> bool {
    match kind {
        PatternKind::Glob => {
            let [pattern, given] = [text, given].map(|text| text.chars().collect::<Vec<_>>());
            glob(&pattern, &given)
        }
        PatternKind::Regex => {
            use regex_automata::nfa::thompson::pikevm::PikeVM;
            let whole = PikeVM::new(&format!("(?s)^(?:{text})$")).unwrap();
            whole.is_match(&mut whole.create_cache(), given)
        }
    }
}

enum Has<'a> {
    Value(&'a Value),
    Nothing,
    Unknown,
}

fn holds(list: &[Pattern], has: Has<'_>, unknown: bool) -> bool {
    list.is_empty()
        || match has {
            Has::Unknown => unknown,
            Has::Nothing => list.iter().any(|pattern| pattern.is_negated),
            Has::Value(value) => value.text().is_some_and(|text| {
                list.iter().any(|pattern| is_like(&pattern.text, pattern.kind, &text) != pattern.is_negated)
            }),
        }
}

/// What is found under a key, in one place; the scope's name and version are found there under theirs.
fn in_place(series: &Series, key: &str, place: usize) -> Option<Value> {
    let head = |text: &str| (!text.is_empty()).then(|| Value::Text(text.into()));
    series.places[place].get(key).cloned().or_else(|| match (place, key) {
        (1, "scope.name") => head(&series.scope_name),
        (1, "scope.version") => head(&series.scope_version),
        _ => None,
    })
}

fn means(selector: &Selector, series: &Series, unknown: bool) -> bool {
    let text = |list: &[Pattern], text: &str| holds(list, Has::Value(&Value::Text(text.into())), unknown);
    let is_overflow = series.places[0] == Attributes::from([(OVERFLOW.into(), Value::Bool(true))]);
    let keyed = |(key, list): &(std::sync::Arc<str>, Vec<Pattern>), places: &[usize]| {
        let found = places.iter().find_map(|place| in_place(series, key, *place));
        let has = match &found {
            Some(value) => Has::Value(value),
            None if is_overflow && places.len() == 3 => Has::Unknown,
            None => Has::Nothing,
        };
        holds(list, has, unknown)
    };
    text(&selector.metric, &series.name)
        && text(&selector.unit, &series.unit)
        && (selector.kind.is_empty() || selector.kind.contains(&series.kind))
        && text(&selector.scope_name, &series.scope_name)
        && text(&selector.scope_version, &series.scope_version)
        && selector.attributes.iter().all(|entry| keyed(entry, &[0, 1, 2]))
        && selector.resource.iter().all(|entry| keyed(entry, &[2]))
        && selector.scope_attributes.iter().all(|entry| keyed(entry, &[1]))
}

/// Whether a rule means a series.
pub(super) fn takes(rule: &Rule, series: &Series) -> bool {
    means(&rule.selector, series, true) && !rule.except.as_ref().is_some_and(|except| means(except, series, false))
}

/// Name and version of a scope as attributes, and back.
fn with_head(mut series: Series) -> Series {
    for (key, text) in [("scope.name", &mut series.scope_name), ("scope.version", &mut series.scope_version)] {
        if !text.is_empty() {
            series.places[1].insert(key.into(), Value::Text(std::mem::take(text)));
        }
    }
    series
}

fn without_head(mut series: Series) -> Series {
    let mut take = |key: &str| series.places[1].remove(key).and_then(|value| value.text()).unwrap_or_default();
    (series.scope_name, series.scope_version) = (take("scope.name"), take("scope.version"));
    series
}

fn changed(change: &Change, series: &mut Series) {
    let Change::Attribute { key, place, change } = change else { return };
    let places: Vec<usize> = place.map_or(vec![0, 1, 2], |place| vec![place as usize]);
    let found = places.iter().copied().find(|place| series.places[*place].contains_key(&**key));
    let is_name_of_scope = |key: &str, place: usize| ["scope.name", "scope.version"].contains(&key) && place == 1;
    let has = |series: &Series, key: &str, place: usize| {
        series.places.iter().any(|place| place.contains_key(key)) || is_name_of_scope(key, place)
    };
    let text = |text: &str| Value::Text(text.into());
    let new = place.map_or(0, |place| place as usize);
    if let AttributeChange::Keep(keys) = change {
        for place in places {
            series.places[place].retain(|key, _| key == OVERFLOW || keys.iter().any(|kept| **kept == **key));
        }
        return;
    }
    let Some(place) = found else {
        if let AttributeChange::Set(value) | AttributeChange::Default(value) = change {
            series.places[new].insert(key.to_string(), text(value));
        }
        return;
    };
    let value = series.places[place][&**key].clone();
    let is_head = is_name_of_scope(key, place);
    let becomes = match change {
        AttributeChange::Set(value) => Some(text(value)),
        AttributeChange::Drop if **key == *OVERFLOW => None,
        AttributeChange::Drop => {
            series.places[place].remove(&**key);
            None
        }
        AttributeChange::Rename(to) if !has(series, to, place) && !is_head && **key != *OVERFLOW => {
            series.places[place].remove(&**key);
            series.places[place].insert(to.to_string(), value);
            None
        }
        AttributeChange::Copy(to) if !has(series, to, place) && **key != *OVERFLOW => {
            series.places[place].insert(to.to_string(), value);
            None
        }
        AttributeChange::Class => value.text().and_then(|text| {
            let is_class = text.len() == 3
                && text.chars().all(|c| c.is_ascii_digit())
                && ('1'..='5').contains(&text.chars().next()?);
            is_class.then(|| Value::Text(format!("{}xx", &text[..1])))
        }),
        AttributeChange::Upper => value.text().map(|text| Value::Text(text.to_uppercase())),
        AttributeChange::Truncate(count) => value
            .text()
            .filter(|text| text.chars().count() > *count)
            .map(|text| Value::Text(text.chars().take(*count).collect())),
        AttributeChange::Map { values, other } => value.text().and_then(|given| {
            let first =
                values.iter().find(|(glob, _)| is_like(glob, PatternKind::Glob, &given)).map(|(_, becomes)| becomes);
            first.or(other.as_ref()).map(|becomes| text(becomes))
        }),
        _ => None,
    };
    if let Some(becomes) = becomes.filter(|_| **key != *OVERFLOW) {
        series.places[place].insert(key.to_string(), becomes);
    }
}

/// What a rule makes of a series.
fn link(rule: u32, aggregation: &Aggregation, series: &Series) -> Link {
    let mut series = with_head(series.clone());
    for change in &aggregation.changes {
        changed(change, &mut series);
        // an empty name or version of a scope is none
        let is_none = |key: &str, value: &Value| key.starts_with("scope.") && *value == Value::Text("".into());
        series.places[1].retain(|key, value| !is_none(key, value));
    }
    let value = |key: &str| series.places.iter().find_map(|place| place.get(key)).cloned();
    let (mut top, mut distinct) = (Vec::new(), Vec::new());
    for output in aggregation.outputs[series.kind as usize].iter() {
        match &output.output {
            Output::Unique(keys) => {
                let values: Vec<_> = keys.iter().map(|key| value(key)).collect();
                distinct.push(values.iter().any(Option::is_some).then_some(values));
            }
            Output::TopK { keys, .. } => {
                top.push(keys.iter().filter_map(|key| Some((key.to_string(), value(key)?))).collect());
            }
            _ => {}
        }
    }
    let named = |keys: &[KeyPattern], key: &str, place: usize| {
        let is_there = |at: Option<KeyPlace>| at.is_none_or(|at| at as usize == place);
        keys.iter().any(|named| is_there(named.place) && is_like(&named.text, PatternKind::Glob, key))
    };
    for place in 0..3 {
        series.places[place].retain(|key, _| {
            key == OVERFLOW
                || match &aggregation.grouping {
                    Grouping::All => true,
                    Grouping::By(keys) => named(keys, key, place),
                    Grouping::Without(keys) => !named(keys, key, place),
                }
        });
    }
    Link { rule, identity: without_head(series), top, distinct }
}

/// What a rule that relabels calls a series, and how many of its changes are not made as the series has such an attribute.
pub(super) fn relabelled(changes: &[Change], series: &Series) -> (Series, u64) {
    let (mut series, mut skipped) = (with_head(series.clone()), 0);
    for change in changes {
        let Change::Attribute { key, place, change: what } = change else { continue };
        let has = |key: &str| series.places.iter().any(|attributes| attributes.contains_key(key));
        let found = (0..3)
            .filter(|at| place.is_none_or(|place| place as usize == *at))
            .find(|at| series.places[*at].contains_key(&**key));
        let head = |key: &str| ["scope.name", "scope.version"].contains(&key);
        let is_skipped = match (what, found) {
            (AttributeChange::Set(_), _) => has(key),
            (AttributeChange::Rename(_) | AttributeChange::Copy(_), _) if **key == *OVERFLOW => false,
            (AttributeChange::Rename(to), Some(at)) => has(to) || at == 1 && (head(key) || head(to)),
            (AttributeChange::Copy(to), Some(at)) => has(to) || at == 1 && head(to),
            _ => false,
        };
        skipped += u64::from(is_skipped);
        if !is_skipped {
            changed(change, &mut series);
        }
    }
    (without_head(series), skipped)
}

/// What becomes of a series that is there.
pub(super) fn ask(rules: &[Rule], series: &Series) -> (Passage, Vec<Link>) {
    let (mut passage, mut linked) = (Passage::Passes, Vec::new());
    for (number, rule) in rules.iter().enumerate() {
        if !takes(rule, series) {
            continue;
        }
        match &rule.action {
            Action::Keep => break,
            Action::Aggregate(made) if !made.outputs[series.kind as usize].is_empty() => {
                linked.push(link(number as u32, made, series));
                if !made.keeps_input {
                    passage = Passage::Hidden;
                }
                if !rule.goes_on {
                    break;
                }
            }
            _ => {}
        }
    }
    (passage, linked)
}

/// The rule that drops the points of a route, where none relabels.
pub(super) fn dropped_by(rules: &[Rule], series: &Series) -> Option<u32> {
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| takes(rule, series)) {
        match &rule.action {
            Action::Drop => return Some(number as u32),
            Action::Keep => return None,
            Action::Aggregate(made) if !made.outputs[series.kind as usize].is_empty() && !rule.goes_on => return None,
            _ => {}
        }
    }
    None
}
