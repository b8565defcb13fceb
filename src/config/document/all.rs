//! All rules of all files and flags, in their order, compiled.
//!
//! Knows trees of `rules` and `defaults` as settings give them; does not know which files there are.

use super::super::settings::{Settings, TreeSetting};
use super::super::tree::TreeNode;
use super::check::Telling;
use super::rule::{Defaults, rule};
use super::trail::Trail;
use super::windows::Windows;
use super::{faults, flag};
use crate::limits::RULES_MAX;
use crate::problem::{At, Flaw, Heading, Problem};
use crate::rules::{Rule, RulePlan};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Where a rule stands.
enum RulePlace<'a> {
    File { file: &'a Arc<str>, index: usize, node: &'a TreeNode },
    Flag,
}

/// The rules of all files, and behind them that of `--without`; nothing where something is wrong, which is put to the problems.
pub(in crate::config) fn rules(
    settings: &Settings,
    base_ns: Option<u64>,
    problems: &mut Vec<Problem>,
) -> Option<RulePlan> {
    let before = problems.len();
    let mut defaults = Defaults::default();
    for TreeSetting { file, node, .. } in settings.trees().iter().filter(|tree| tree.key == "defaults") {
        let mut telling = Telling { file, key: "defaults", problems };
        Windows::read(&mut telling, base_ns, None, node, &Trail::Start);
        defaults = defaults.with(node);
    }
    let (mut rules, mut places) = read(settings, &defaults, base_ns, problems);
    if let Some(rule) = flag::rule_of(settings, &defaults, base_ns, problems) {
        if rules.iter().any(|other| other.name == rule.name) {
            let flaw = Flaw::new(format!("a file has a rule called \"{}\", too", flag::NAME));
            problems.push(Problem::bare("without", flaw.remedy("give that another name")).at(settings.at("without")));
        }
        rules.push(rule);
        places.push(RulePlace::Flag);
    }
    let plan = RulePlan::new(rules);
    for fault in plan.as_ref().err().into_iter().flatten() {
        match &places[fault.rule] {
            RulePlace::File { file, index, node } => {
                let trail = Trail::Named { index: *index, name: node.field("name").and_then(TreeNode::text) };
                faults::tell(&mut Telling { file, key: "rules", problems }, node, &trail, fault);
            }
            RulePlace::Flag => flag::tell(settings, fault, problems),
        }
    }
    plan.ok().filter(|_| problems.len() == before)
}

/// The rules of all files.
fn read<'a>(
    settings: &'a Settings,
    defaults: &Defaults,
    base_ns: Option<u64>,
    problems: &mut Vec<Problem>,
) -> (Vec<Rule>, Vec<RulePlace<'a>>) {
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    let mut names: HashMap<Arc<str>, At> = HashMap::new();
    for TreeSetting { file, node, .. } in settings.trees().iter().filter(|tree| tree.key == "rules") {
        let mut telling = Telling { file, key: "rules", problems };
        for (index, item) in node.items().iter().enumerate() {
            let name = item.field("name");
            let trail = Trail::Named { index, name: name.and_then(TreeNode::text) };
            let Some(rule) = rule(&mut telling, item, &trail, defaults, base_ns) else { continue };
            if rules.len() == RULES_MAX {
                telling.tell(item.at, &trail, Flaw::new(format!("{RULES_MAX} rules are the most, over all files")));
                return (rules, places);
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
            places.push(RulePlace::File { file, index, node: item });
        }
    }
    (rules, places)
}
