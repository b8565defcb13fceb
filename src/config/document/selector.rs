//! Which series a rule takes, from its tree.
//!
//! Does not know: whether a glob or an expression can be compiled; `rules` says so, and `all` puts the place to it.

use super::super::tree::TreeNode;
use super::table::KINDS;
use crate::rules::{InputKind, Pattern, Selector};
use std::sync::Arc;

/// Of a mapping that has the shape of a selector; what has not is as if it were not there.
pub(super) fn selector(node: &TreeNode) -> Selector {
    let patterns_of = |node: Option<&TreeNode>, key: &str| patterns(node.and_then(|node| node.field(key)));
    let attributes_of = |node: Option<&TreeNode>, key: &str| attributes(node.and_then(|node| node.field(key)));
    let scope = node.field("scope");
    Selector {
        metric: patterns_of(Some(node), "metric"),
        unit: patterns_of(Some(node), "unit"),
        kind: texts(node.field("kind")).filter_map(kind).collect(),
        attributes: attributes_of(Some(node), "attributes"),
        resource: attributes_of(Some(node), "resource"),
        scope_name: patterns_of(scope, "name"),
        scope_version: patterns_of(scope, "version"),
        scope_attributes: attributes_of(scope, "attributes"),
    }
}

/// The texts of a list, or the one there is.
pub(super) fn texts(node: Option<&TreeNode>) -> impl Iterator<Item = &str> {
    node.into_iter().flat_map(TreeNode::items).filter_map(TreeNode::text)
}

/// A kind of input by its word.
pub(super) fn kind(word: &str) -> Option<InputKind> {
    KINDS.iter().position(|known| *known == word).map(|place| InputKind::ALL[place])
}

fn patterns(node: Option<&TreeNode>) -> Vec<Pattern> {
    texts(node).map(Pattern::read).collect()
}

fn attributes(node: Option<&TreeNode>) -> Vec<(Arc<str>, Vec<Pattern>)> {
    let entries = node.map(TreeNode::entries).unwrap_or_default();
    entries.iter().map(|entry| (entry.key.as_str().into(), patterns(Some(&entry.value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::parse;
    use super::*;
    use crate::rules::PatternKind;

    #[test]
    fn patterns_are_globs_expressions_and_what_is_not_like_them() {
        let selector = selector(
            &parse("{metric: [a.*, '~b+'], unit: s, kind: gauge, attributes: {code: [500, '!~4..']}, scope: {name: '!x', version: 1}}")
                .unwrap(),
        );
        let pattern = |text: &str, kind, is_negated| Pattern { text: text.into(), kind, is_negated };
        let (glob, regex) = (PatternKind::Glob, PatternKind::Regex);
        let want = Selector {
            metric: vec![pattern("a.*", glob, false), pattern("b+", regex, false)],
            unit: vec![pattern("s", glob, false)],
            kind: vec![InputKind::Gauge],
            attributes: vec![("code".into(), vec![pattern("500", glob, false), pattern("4..", regex, true)])],
            scope_name: vec![pattern("x", glob, true)],
            scope_version: vec![pattern("1", glob, false)],
            ..Selector::default()
        };
        assert_eq!(selector, want);
    }

    #[test]
    fn every_word_of_a_kind_is_its_own() {
        assert!(InputKind::ALL.iter().all(|of| kind(of.word()) == Some(*of)));
    }
}
