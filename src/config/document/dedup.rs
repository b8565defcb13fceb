//! Which of several identical senders counts, from the trees of `dedup`.
//!
//! Knows what an entry says; does not know who is elected.

use super::super::settings::{Settings, TreeSetting};
use super::super::tree::TreeNode;
use super::check::Telling;
use super::faults;
use super::rule::is_name;
use super::selector::{selector, texts};
use super::trail::Trail;
use super::windows::time;
use crate::limits::{DEDUPS_MAX, RULE_NAME_BYTES_MAX};
use crate::problem::{Flaw, Problem};
use crate::rules::{Dedup, DedupPlan, Failover};
use std::sync::Arc;

/// The entries of all files, in their order; nothing where something is wrong, which is put to the problems.
pub(in crate::config) fn dedup(settings: &Settings, problems: &mut Vec<Problem>) -> Option<DedupPlan> {
    let before = problems.len();
    let (mut entries, mut places) = (Vec::<Dedup>::new(), Vec::<(&Arc<str>, usize, &TreeNode)>::new());
    for TreeSetting { file, node, .. } in settings.trees().iter().filter(|tree| tree.key == "dedup") {
        let mut telling = Telling { file, key: "dedup", problems };
        for (index, item) in node.items().iter().enumerate() {
            let trail = Trail::Named { index, name: item.field("name").and_then(TreeNode::text) };
            let Some(entry) = entry(&mut telling, item, &trail) else { continue };
            if entries.len() == DEDUPS_MAX {
                telling.tell(item.at, &trail, Flaw::new(format!("{DEDUPS_MAX} are the most, over all files")));
                return None;
            }
            if entries.iter().any(|other| other.name == entry.name) {
                telling.tell(item.at, &trail, Flaw::new("another one is called that"));
            }
            entries.push(entry);
            places.push((file, index, item));
        }
    }
    let plan = DedupPlan::new(entries);
    for fault in plan.as_ref().err().into_iter().flatten() {
        let (file, index, node) = places[fault.rule];
        let trail = Trail::Named { index, name: node.field("name").and_then(TreeNode::text) };
        faults::tell(&mut Telling { file, key: "dedup", problems }, node, &trail, fault);
    }
    plan.ok().filter(|_| problems.len() == before)
}

fn entry(telling: &mut Telling<'_>, node: &TreeNode, trail: &Trail<'_>) -> Option<Dedup> {
    let name_node = node.field("name")?;
    let name = name_node.text().filter(|name| !name.is_empty())?;
    if !is_name(name) {
        let words = format!("give 1 to {RULE_NAME_BYTES_MAX} letters, digits, - _ or .");
        telling.tell(name_node.at, &Trail::Key(trail, "name"), Flaw::outside(words));
    }
    let keys = |key: &str| -> Vec<Arc<str>> { texts(node.field(key)).map(Arc::from).collect() };
    let (by, per) = (keys("by"), keys("per"));
    if let Some(both) = by.iter().find(|key| per.contains(key)) {
        let flaw = Flaw::new(format!("\"{both}\" stands under \"by\" as well"))
            .remedy("replicas differ in one and share the other");
        telling.tell(node.at, &Trail::Key(trail, "per"), flaw);
    }
    let failover = node.field("failover").and_then(time).map_or(Failover::Auto, Failover::After);
    let resource = node.field("match").map(selector).unwrap_or_default().resource;
    Some(Dedup { name: name.into(), resource, by, per, failover })
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::parse;
    use super::*;
    use crate::problem::At;

    fn read(text: &str) -> Result<Vec<Dedup>, Vec<String>> {
        let mut settings = Settings::default();
        settings.add_tree(TreeSetting { key: "dedup", file: "f.yaml".into(), node: parse(text).unwrap() });
        let mut problems: Vec<Problem> = Vec::new();
        match dedup(&settings, &mut problems) {
            Some(plan) => Ok(plan.entries().to_vec()),
            None => {
                assert!(problems.iter().all(|problem| matches!(problem.at, At::File { .. })));
                Err(problems.iter().map(ToString::to_string).collect())
            }
        }
    }

    #[test]
    fn entries_are_read_with_their_defaults() {
        let all = read(
            "[{name: a, match: {resource: {cluster: [eu, '~us.*']}}, by: replica, per: [cluster], failover: 30s}, {name: b, by: [x, y]}]",
        )
        .unwrap();
        assert_eq!((all.len(), all[0].by.len(), all[0].per.len(), all[0].resource[0].1.len()), (2, 1, 1, 2));
        assert_eq!((all[0].failover, all[1].failover), (Failover::After(30_000_000_000), Failover::Auto));
        assert!(all[1].resource.is_empty() && all[1].per.is_empty() && all[1].by.len() == 2);
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |text: &str, words: &str| {
            let told = read(text).unwrap_err();
            assert!(told.len() == 1 && told[0].contains(words), "{words} in {told:?}");
        };
        check("[{name: a, by: x}, {name: a, by: x}]", "another one is called that");
        check("[{name: 'a b', by: x}]", "letters, digits");
        check("[{name: a, by: x, per: x}]", "\"x\" stands under \"by\" as well");
        check("[{name: a, by: x, match: {resource: {k: '~('}}}]", "dedup[0] \"a\": match.resource.k");
    }
}
