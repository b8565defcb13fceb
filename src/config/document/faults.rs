//! Where in a document a fault of a compiled rule stands.
//!
//! Knows the ways into a rule that `rules` names, and trees; does not know what is wrong.

use super::super::tree::{TextPlace, TreeNode, TreeValue};
use super::check::Telling;
use super::trail::{Trail, cut};
use crate::problem::Flaw;
use crate::rules::{RuleFault, RulePart};

/// Tells a fault of the rule that stands at this node.
pub(super) fn tell(telling: &mut Telling<'_>, rule: &TreeNode, trail: &Trail<'_>, fault: &RuleFault) {
    let mut way = Way { node: rule, at: rule.at, text: None, trail: trail.to_string() };
    for (step, part) in fault.path.iter().enumerate() {
        if !way.go(part, &fault.path[..step]) {
            break;
        }
    }
    let flaw = Flaw::predicate(&*fault.words);
    let flaw = match way.text {
        Some(text) => flaw.of(format_args!("\"{}\"", cut(text).escape_debug())),
        None => Flaw::new(&*fault.words),
    };
    telling.tell(way.at, &Trail::Told(&way.trail), flaw);
}

/// How far a way was gone.
struct Way<'a> {
    node: &'a TreeNode,
    at: TextPlace,
    /// What stands there, if it is a text.
    text: Option<&'a str>,
    trail: String,
}

impl Way<'_> {
    /// One step more, if it leads anywhere; what was gone before says what a number counts.
    fn go(&mut self, part: &RulePart, before: &[RulePart]) -> bool {
        match part {
            RulePart::Key(key) => {
                let Some(entry) = self.node.entries().iter().find(|entry| *entry.key == **key) else { return false };
                self.trail += &format!("{}{}", if before.is_empty() { ": " } else { "." }, cut(key).escape_debug());
                let is_glob = matches!(before.last(), Some(RulePart::Key(key)) if &**key == "values");
                (self.node, self.at) = (&entry.value, entry.value.at);
                self.text = entry.value.text();
                if is_glob {
                    // the glob is what is wrong, not what it becomes
                    (self.at, self.text) = (entry.key_at, Some(entry.key.as_str()));
                }
                true
            }
            RulePart::Item(number) => {
                let top = match before {
                    [RulePart::Key(key)] => &**key,
                    _ => "",
                };
                let found = match (top, &self.node.value) {
                    ("attributes", _) => of_change(self.node, *number),
                    ("by" | "without", TreeValue::Map(_)) => of_places(self.node, *number),
                    _ => self.node.items().get(*number).map(|item| (format!("[{number}]"), item)),
                };
                let Some((step, node)) = found else { return false };
                let is_alone = std::ptr::eq(node, self.node);
                (self.node, self.at, self.text) = (node, node.at, node.text());
                if !is_alone {
                    self.trail += &step;
                }
                true
            }
        }
    }
}

/// The item of a list of changes that the change of this number came from: one item may change several keys.
fn of_change(node: &TreeNode, number: usize) -> Option<(String, &TreeNode)> {
    let mut left = number;
    for (index, item) in node.items().iter().enumerate() {
        let made = item.entries().iter().map(|entry| match entry.key.as_str() {
            "drop" | "hash" | "class" | "lower" | "upper" => entry.value.items().len(),
            _ => 1,
        });
        let made = made.sum();
        if left < made {
            return Some((format!("[{index}]"), item));
        }
        left -= made;
    }
    None
}

/// The key of this number among those of all places.
fn of_places(node: &TreeNode, number: usize) -> Option<(String, &TreeNode)> {
    let all = ["point", "scope", "resource"].into_iter().filter_map(|place| Some((place, node.field(place)?)));
    let mut keys = all.flat_map(|(place, list)| {
        list.items().iter().enumerate().map(move |(index, item)| (format!(".{place}[{index}]"), item))
    });
    keys.nth(number)
}
