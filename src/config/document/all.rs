//! All rules of all files, in their order, with what they have in common.
//!
//! Knows trees of `rules` and `defaults` as settings give them; does not know which files there are.

use super::super::settings::TreeSetting;
use super::super::tree::TreeNode;
use super::check::Telling;
use super::rule::{Defaults, rule};
use super::trail::Trail;
use super::windows::Windows;
use crate::limits::RULES_MAX;
use crate::problem::{At, Flaw, Heading, Problem};
use crate::rules::Rule;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The rules of all trees; what is wrong with them is put to the problems.
pub(in crate::config) fn rules(trees: &[TreeSetting], base_ns: Option<u64>, problems: &mut Vec<Problem>) -> Vec<Rule> {
    let mut defaults = Defaults::default();
    for TreeSetting { file, node, .. } in trees.iter().filter(|tree| tree.key == "defaults") {
        let mut telling = Telling { file, key: "defaults", problems };
        Windows::read(&mut telling, base_ns, None, node, &Trail::Start);
        defaults = defaults.with(node);
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut names: HashMap<Arc<str>, At> = HashMap::new();
    for TreeSetting { file, node, .. } in trees.iter().filter(|tree| tree.key == "rules") {
        let mut telling = Telling { file, key: "rules", problems };
        for (index, item) in node.items().iter().enumerate() {
            let name = item.field("name");
            let trail = Trail::Named { index, name: name.and_then(TreeNode::text) };
            let Some(rule) = rule(&mut telling, item, &trail, &defaults, base_ns) else { continue };
            if rules.len() == RULES_MAX {
                telling.tell(item.at, &trail, Flaw::new(format!("{RULES_MAX} rules are the most, over all files")));
                return rules;
            }
            let at = name.map_or(item.at, |name| name.at);
            match names.entry(rule.name.clone()) {
                Entry::Vacant(free) => drop(free.insert(telling.at(at))),
                Entry::Occupied(taken) => {
                    let fault = format!("another rule is called that: {}", Heading(taken.get(), "rules"));
                    telling.tell(at, &trail, Flaw::new(fault));
                }
            }
            rules.push(rule);
        }
    }
    rules
}
