//! A body for fuzzing: patterns of many rules at once, against each pattern by itself and another engine.
//!
//! Knows how patterns are compiled; does not know what becomes of what they mean.

use super::identity::MetricSeen;
use super::matcher::RuleMatcher;
use super::patterns::expression;
use super::plan::RulePlan;
use super::rule::{Action, Pattern, PatternKind, Rule, Selector};
use crate::model::Kind;
use crate::wire::put_bytes;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use std::sync::Arc;

/// Lines of a pattern each that are looked at.
const PATTERNS_MAX: usize = 16;

/// A glob as a regular expression, character by character.
fn as_expression(glob: &str) -> String {
    let (mut out, mut depth, mut characters) = (String::new(), 0, glob.chars());
    while let Some(c) = characters.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            c => {
                let c = if c == '\\' { characters.next().unwrap_or(c) } else { c };
                out.push_str(&format!("\\x{{{:x}}}", c as u32));
            }
        }
    }
    out
}

/// Whether a pattern is like a text, by the engine that follows all its branches; nothing where it is too large for that.
fn is_like(pattern: &Pattern, text: &str) -> Option<bool> {
    let written = match pattern.kind {
        PatternKind::Glob => as_expression(&pattern.text),
        PatternKind::Regex => pattern.text.to_string(),
    };
    let engine = PikeVM::new_from_nfa(expression(&written, true).ok()?).ok()?;
    Some(engine.is_match(&mut engine.create_cache(), text))
}

fn pattern(line: &str) -> Pattern {
    let (is_negated, text) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (kind, text) = text.strip_prefix('~').map_or((PatternKind::Glob, text), |rest| (PatternKind::Regex, rest));
    Pattern { text: text.into(), kind, is_negated }
}

/// The first line is a text, each other one a pattern as rules write it. For each there is a rule that asks for a metric of
/// that name, and one for an attribute of that value: they mean it if the pattern by itself does. What is refused is refused
/// with its place. For fuzzing and its corpus.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz_selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, lines) = text.split_once('\n').unwrap_or((text, ""));
    let patterns: Vec<Pattern> = lines.lines().take(PATTERNS_MAX).map(pattern).collect();
    let rule = |selector: Selector| Rule {
        name: "r".into(),
        was: None,
        selector,
        except: None,
        action: Action::Keep,
        goes_on: false,
    };
    let rules = |pattern: &Pattern| {
        let metric = Selector { metric: vec![pattern.clone()], ..Selector::default() };
        let attributes = vec![("k".into(), vec![pattern.clone()])];
        [rule(metric), rule(Selector { attributes, ..Selector::default() })]
    };
    let mut right: Vec<Pattern> = Vec::new();
    for pattern in patterns {
        match RulePlan::new(rules(&pattern).into()) {
            Ok(_) => right.push(pattern),
            Err(faults) => {
                assert!(faults.iter().all(|fault| !fault.words.is_empty() && !fault.path.is_empty()), "{faults:?}");
                assert_eq!(faults.len(), 2, "{faults:?}");
            }
        }
    }
    let Ok(plan) = RulePlan::new(right.iter().flat_map(rules).collect()) else { return };
    let mut matcher = RuleMatcher::new(Arc::new(plan));
    let (mut value, mut record, mut run) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut value, 0x0a, text.as_bytes());
    put_bytes(&mut record, 0x0a, b"k");
    put_bytes(&mut record, 0x12, &value);
    put_bytes(&mut run, 0x3a, &record);
    let metric =
        MetricSeen { resource: &[], scope: &[], name: text, unit: "", kind: Kind::Gauge, monotonic: false, held: None };
    for (number, pattern) in right.iter().enumerate() {
        let Some(is_like) = is_like(pattern, text) else { continue };
        let number = 2 * number as u32;
        for rule in [number, number + 1] {
            assert_eq!(matcher.means(rule, &metric, &run), is_like != pattern.is_negated, "{pattern:?} and {text:?}");
        }
        assert_eq!(matcher.means(number + 1, &metric, &[]), pattern.is_negated, "{pattern:?} and no value");
    }
}
