//! One rule, from its tree to what it means.
//!
//! Knows which keys go together; does not know other rules (`all`).

use super::super::tree::{TreeEntry, TreeNode};
use super::changes::changes;
use super::check::Telling;
use super::outputs::{OfRule, outputs};
use super::selector::{selector, texts};
use super::trail::Trail;
use super::windows::{Windows, time};
use crate::limits::RULE_NAME_BYTES_MAX;
use crate::problem::Flaw;
use crate::rules::{Action, Aggregation, Grouping, InitialValue, KeyPattern, KeyPlace, Rule, Stale};
use crate::units::count;

/// What rules have that do not say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) interval_ns: Option<u64>,
    pub(super) stale: Option<Stale>,
    pub(super) initial_value: Option<InitialValue>,
    pub(super) series_limit: Option<u32>,
}

impl Defaults {
    /// Those of a mapping over these.
    pub(super) fn with(self, node: &TreeNode) -> Defaults {
        Defaults {
            interval_ns: node.field("interval").and_then(time).or(self.interval_ns),
            stale: node.field("stale").and_then(stale).or(self.stale),
            initial_value: node.field("initial_value").and_then(initial_value).or(self.initial_value),
            series_limit: node.field("limits").and_then(series_limit).or(self.series_limit),
        }
    }
}

fn stale(node: &TreeNode) -> Option<Stale> {
    if node.text()? == "auto" { Some(Stale::Auto) } else { time(node).map(Stale::After) }
}

fn initial_value(node: &TreeNode) -> Option<InitialValue> {
    match node.text()? {
        "auto" => Some(InitialValue::Auto),
        "keep" => Some(InitialValue::Keep),
        "drop" => Some(InitialValue::Drop),
        _ => None,
    }
}

fn series_limit(node: &TreeNode) -> Option<u32> {
    count(node.field("series")?.text()?).ok()
}

/// What a rule of which action may not have.
const OF_GROUPS: [&str; 12] = [
    "keep_input",
    "by",
    "without",
    "outputs",
    "interval",
    "window",
    "rename",
    "stale",
    "initial_value",
    "limits",
    "time",
    "was",
];

/// Whether the ledger can have it so.
pub(super) fn is_name(name: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= RULE_NAME_BYTES_MAX && name.bytes().all(is_of_one)
}

/// Reads one rule; nothing where it has no name. What is wrong is told, and the rest is read all the same.
pub(super) fn rule(
    telling: &mut Telling<'_>,
    node: &TreeNode,
    trail: &Trail<'_>,
    defaults: &Defaults,
    base_ns: Option<u64>,
) -> Option<Rule> {
    let name_node = node.field("name")?;
    let name = name_node.text().filter(|name| !name.is_empty())?;
    let was = node.field("was").and_then(|was| Some((was, was.text()?)));
    for (key, at, text) in
        [Some(("name", name_node.at, name)), was.map(|(node, text)| ("was", node.at, text))].into_iter().flatten()
    {
        if text.is_empty() || !is_name(text) {
            let words = format!("give 1 to {RULE_NAME_BYTES_MAX} letters, digits, - _ or .");
            telling.tell(at, &Trail::Key(trail, key), Flaw::outside(words));
        }
    }
    let selector_of = |key: &str| node.field(key).map(selector);
    let is_true = |key: &str| node.field(key).and_then(TreeNode::text) == Some("true");
    let word = node.field("action").and_then(TreeNode::text).unwrap_or("aggregate");
    tell_foreign(telling, node, trail, word);
    let selector = selector_of("match").unwrap_or_default();
    let changes_of = |telling: &mut Telling<'_>, relabels| {
        let node = node.field("attributes");
        node.map(|node| changes(telling, node, &Trail::Key(trail, "attributes"), relabels)).unwrap_or_default()
    };
    let action = match word {
        "drop" => Action::Drop,
        "keep" => Action::Keep,
        "relabel" => {
            if node.field("attributes").is_none() {
                let flaw =
                    Flaw::new("it changes nothing").remedy("give attributes, such as [{rename: {key: a, to: b}}]");
                telling.tell(node.at, trail, flaw);
            }
            Action::Relabel(changes_of(telling, true))
        }
        _ => {
            let windows = Windows::read(telling, base_ns, defaults.interval_ns, node, trail);
            let changes = changes_of(telling, false);
            let grouping = grouping(telling, node, trail);
            let of = OfRule { name, kinds: &selector.kind, windows };
            Action::Aggregate(Box::new(Aggregation {
                outputs: outputs(telling, node, trail, &of),
                changes,
                grouping,
                interval_ns: windows.interval_ns(),
                keeps_input: is_true("keep_input"),
                stale: node.field("stale").and_then(stale).or(defaults.stale).unwrap_or(Stale::Auto),
                initial_value: node
                    .field("initial_value")
                    .and_then(initial_value)
                    .or(defaults.initial_value)
                    .unwrap_or(InitialValue::Auto),
                series_limit: node.field("limits").and_then(series_limit).or(defaults.series_limit),
            }))
        }
    };
    let goes_on = word == "relabel" || is_true("continue");
    Some(Rule {
        name: name.into(),
        was: was.map(|(_, was)| was.into()),
        selector,
        except: selector_of("except"),
        action,
        goes_on,
    })
}

/// Keys that mean nothing beside the action.
fn tell_foreign(telling: &mut Telling<'_>, node: &TreeNode, trail: &Trail<'_>, action: &str) {
    for TreeEntry { key, key_at, value } in node.entries() {
        let is_foreign = match action {
            "drop" | "keep" => OF_GROUPS.contains(&key.as_str()) || key == "attributes",
            "relabel" => OF_GROUPS.contains(&key.as_str()),
            _ => false,
        };
        if is_foreign && node.field(key).is_some() {
            telling.tell(*key_at, trail, Flaw::new(format!("\"{key}\" means nothing with action: {action}")));
        }
        if key == "continue" && value.text() == Some(if action == "relabel" { "false" } else { "true" }) {
            match action {
                "relabel" => {
                    telling.tell(*key_at, trail, Flaw::new("what is relabelled always goes on to later rules"))
                }
                "drop" | "keep" => {
                    telling.tell(*key_at, trail, Flaw::new(format!("no later rule sees what action: {action} took")));
                }
                _ => {}
            }
        }
    }
}

/// Which attributes stay.
fn grouping(telling: &mut Telling<'_>, node: &TreeNode, trail: &Trail<'_>) -> Grouping {
    match (node.field("by"), node.field("without")) {
        (Some(by), Some(_)) => {
            let flaw = Flaw::new("there is \"without\" as well").remedy("say which attributes stay, or which go");
            telling.tell(by.at, &Trail::Key(trail, "by"), flaw);
            Grouping::All
        }
        (Some(by), None) => Grouping::By(keys(by)),
        (None, Some(without)) => Grouping::Without(keys(without)),
        (None, None) => Grouping::All,
    }
}

fn keys(node: &TreeNode) -> Vec<KeyPattern> {
    const PLACES: [(&str, KeyPlace); 3] =
        [("point", KeyPlace::Point), ("scope", KeyPlace::Scope), ("resource", KeyPlace::Resource)];
    if node.entries().is_empty() {
        return texts(Some(node)).map(|text| KeyPattern { text: text.into(), place: None }).collect();
    }
    let of = |(key, place): (&str, KeyPlace)| {
        let keys = texts(node.field(key)).map(move |text| KeyPattern { text: text.into(), place: Some(place) });
        keys.collect::<Vec<_>>()
    };
    PLACES.into_iter().flat_map(of).collect()
}
