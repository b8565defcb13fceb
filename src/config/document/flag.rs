//! `--without` and `--gauges`: a rule without a document.
//!
//! Knows settings as texts; makes the document that says the same, so that there is one reader.

use super::super::settings::Settings;
use super::super::tree::{TextPlace, TreeEntry, TreeNode, TreeValue};
use super::check::{Telling, check};
use super::rule::{Defaults, rule};
use super::table::RULE_SHAPE;
use super::trail::Trail;
use crate::problem::{Flaw, Given, Problem};
use crate::rules::{InputKind, Output, Rule, RuleFault, RulePart, Support};

/// What the rule is called.
pub(super) const NAME: &str = "without";

/// The rule that the flags say, if they do.
pub(super) fn rule_of(
    settings: &Settings,
    defaults: &Defaults,
    base_ns: Option<u64>,
    problems: &mut Vec<Problem>,
) -> Option<Rule> {
    let (keys, gauges) = (words(settings, "without"), words(settings, "gauges"));
    if keys.is_empty() {
        if !gauges.is_empty() {
            let flaw = Flaw::new("this says what becomes of gauges under --without").remedy("give that as well");
            problems.push(Problem::new("gauges", gauges.join(","), flaw).at(settings.at("gauges")));
        }
        return None;
    }
    let mut outputs = Vec::new();
    for input in InputKind::ALL.iter().filter(|input| Output::Same.support(**input) == Support::Defined) {
        outputs.push((input.word(), list(&["same".to_owned()])));
    }
    outputs.push((InputKind::Gauge.word(), list(&gauges)));
    let node = mapping(vec![("name", text(NAME)), ("without", list(&keys)), ("outputs", mapping(outputs))]);
    let mut found = Vec::new();
    let mut telling = Telling { file: &"".into(), key: "without", problems: &mut found };
    check(&mut telling, &node, &RULE_SHAPE, &Trail::Start);
    let made = rule(&mut telling, &node, &Trail::Start, defaults, base_ns);
    for Problem { given, flaw, .. } in found {
        let is_of_gauges = matches!(&given, Given::Part(part) if part.starts_with(": outputs"));
        let key = if is_of_gauges { "gauges" } else { "without" };
        problems.push(Problem { at: settings.at(key), key, given: Given::Nothing, flaw });
    }
    made
}

/// Tells a fault of that rule, which can only be of a key.
pub(super) fn tell(settings: &Settings, fault: &RuleFault, problems: &mut Vec<Problem>) {
    let keys = words(settings, "without");
    let key = fault.path.iter().find_map(|part| if let RulePart::Item(item) = part { keys.get(*item) } else { None });
    let given = key.cloned().unwrap_or_default();
    problems.push(Problem::new("without", given, Flaw::predicate(&*fault.words)).at(settings.at("without")));
}

/// What stands between commas, in all values of a setting.
fn words(settings: &Settings, key: &str) -> Vec<String> {
    let mut words = Vec::new();
    for setting in settings.all(key) {
        // a comma in brackets or braces is one of the word
        let (text, mut depth) = (setting.text(), 0usize);
        let mut word = String::new();
        for c in text.chars() {
            match c {
                '(' | '{' => depth += 1,
                ')' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if c == ',' && depth == 0 { words.push(std::mem::take(&mut word)) } else { word.push(c) }
        }
        words.push(word);
    }
    words.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

const NOWHERE: TextPlace = TextPlace { line: 0, column: 0 };

fn text(text: &str) -> TreeNode {
    TreeNode { at: NOWHERE, value: TreeValue::Text { text: text.to_owned(), quoted: true } }
}

fn list(texts: &[String]) -> TreeNode {
    TreeNode { at: NOWHERE, value: TreeValue::List(texts.iter().map(|one| text(one)).collect()) }
}

fn mapping(entries: Vec<(&str, TreeNode)>) -> TreeNode {
    let entry = |(key, value): (&str, TreeNode)| TreeEntry { key: key.to_owned(), key_at: NOWHERE, value };
    TreeNode { at: NOWHERE, value: TreeValue::Map(entries.into_iter().map(entry).collect()) }
}
