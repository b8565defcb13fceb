//! What a rule changes of attributes, from its tree.
//!
//! Does not know: what a change does to a value (`rules`).

use super::super::tree::{TreeEntry, TreeNode};
use super::check::{Telling, number};
use super::selector::texts;
use super::trail::Trail;
use crate::problem::Flaw;
use crate::rules::{AttributeChange, Change, KeyPlace};
use crate::units::count;
use std::sync::Arc;

/// What may stand in a rule that makes no groups: two series that differ still do.
const ONE_TO_ONE: [&str; 5] = ["set", "rename", "copy", "name", "scale"];
/// What makes sense there alone.
const RELABEL_ONLY: [&str; 2] = ["name", "scale"];

/// The changes of a rule that aggregates, or of one that relabels; what has no such shape is left out.
pub(super) fn changes(telling: &mut Telling<'_>, node: &TreeNode, trail: &Trail<'_>, relabels: bool) -> Vec<Change> {
    let mut all = Vec::new();
    for (index, item) in node.items().iter().enumerate() {
        let trail = Trail::Item(trail, index);
        for TreeEntry { key, key_at, value } in item.entries() {
            let word = key.as_str();
            if relabels && !ONE_TO_ONE.contains(&word) {
                let fault = format!("\"{word}\" makes one series of several, whose totals would be wrong");
                let remedy =
                    "a rule with action: aggregate may have it; relabel takes set, rename, copy, name and scale";
                telling.tell(*key_at, &trail, Flaw::new(fault).remedy(remedy));
            } else if !relabels && RELABEL_ONLY.contains(&word) {
                let flaw = Flaw::new(format!("\"{word}\" stands in a rule with action: relabel alone"));
                telling.tell(*key_at, &trail, flaw.remedy("outputs are called what rename says"));
            }
            change(telling, word, value, &Trail::Key(&trail, key), &mut all);
        }
    }
    all
}

fn change(telling: &mut Telling<'_>, word: &str, node: &TreeNode, trail: &Trail<'_>, all: &mut Vec<Change>) {
    let text = |key: &str| node.field(key).and_then(TreeNode::text);
    let shared = |key: &str| text(key).map(Arc::<str>::from);
    let place = place_of(node);
    let simple = match word {
        "drop" => Some(AttributeChange::Drop),
        "hash" => Some(AttributeChange::Hash),
        "class" => Some(AttributeChange::Class),
        "lower" => Some(AttributeChange::Lower),
        "upper" => Some(AttributeChange::Upper),
        _ => None,
    };
    if let Some(change) = simple {
        let keys = if node.entries().is_empty() { texts(Some(node)) } else { texts(node.field("key")) };
        for key in keys {
            no_glob(telling, node, key, word, trail);
            all.push(Change::Attribute { key: key.into(), place, change: change.clone() });
        }
        return;
    }
    let change = || {
        Some(match word {
            "set" => AttributeChange::Set(shared("value")?),
            "default" => AttributeChange::Default(shared("value")?),
            "rename" => AttributeChange::Rename(shared("to")?),
            "copy" => AttributeChange::Copy(shared("to")?),
            "replace" => AttributeChange::Replace { regex: shared("regex")?, with: shared("with")? },
            "map" => {
                let values = node.field("values")?.entries().iter();
                let values = values.filter_map(|entry| Some((entry.key.as_str().into(), entry.value.text()?.into())));
                AttributeChange::Map { values: values.collect(), other: shared("other") }
            }
            "bucket" => {
                AttributeChange::Bucket(texts(node.field("bounds")).filter_map(number).collect::<Vec<_>>().into())
            }
            "truncate" => AttributeChange::Truncate(count(text("length")?).ok()?),
            "limit" => AttributeChange::Limit {
                values: count(text("values")?).ok()?,
                other: shared("other").unwrap_or_else(|| "other".into()),
            },
            _ => return None,
        })
    };
    match word {
        "keep" => {
            let keys: Vec<Arc<str>> = texts(Some(node)).map(Arc::from).collect();
            keys.iter().for_each(|key| no_glob(telling, node, key, word, trail));
            all.push(Change::Attribute { key: "".into(), place: None, change: AttributeChange::Keep(keys) });
        }
        "name" => {
            if let (Some(regex), Some(with)) = (shared("regex"), shared("with")) {
                all.push(Change::Name { regex, with });
            }
        }
        "scale" => {
            let by = text("by").and_then(number);
            if by.is_some_and(|by| by <= 0.0) {
                let flaw = Flaw::outside("give a number above 0: others would turn a total round");
                telling.tell(node.at, &Trail::Key(trail, "by"), flaw);
            }
            if let (Some(by), Some(unit)) = (by, shared("unit")) {
                all.push(Change::Scale { by, unit });
            }
        }
        _ => {
            if let (Some(key), Some(change)) = (shared("key"), change()) {
                if let AttributeChange::Bucket(bounds) = &change
                    && (bounds.is_empty() || bounds.windows(2).any(|pair| pair[0] >= pair[1]))
                {
                    let at = node.field("bounds").map_or(node.at, |bounds| bounds.at);
                    telling.tell(at, &Trail::Key(trail, "bounds"), Flaw::outside("give ascending numbers"));
                }
                all.push(Change::Attribute { key, place, change });
            }
        }
    }
}

/// Where the attribute of a change stands.
fn place_of(node: &TreeNode) -> Option<KeyPlace> {
    match node.field("at")?.text()? {
        "point" => Some(KeyPlace::Point),
        "scope" => Some(KeyPlace::Scope),
        "resource" => Some(KeyPlace::Resource),
        _ => None,
    }
}

/// A change is of one key: who writes a glob there would wonder that nothing happens.
fn no_glob(telling: &mut Telling<'_>, node: &TreeNode, key: &str, word: &str, trail: &Trail<'_>) {
    if key.contains(['*', '?', '{']) {
        let flaw =
            Flaw::new(format!("\"{}\" is a glob, and {word} takes a key", super::trail::cut(key).escape_debug()));
        telling.tell(node.at, trail, flaw.remedy("by and without take globs"));
    }
}
