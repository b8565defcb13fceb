//! A tree held against the shape that it should have: every key that nobody knows and every value of another sort is told.
//!
//! Knows shapes and trees; does not know which setting it is, or what a value means beyond its sort. Recursion is bounded by
//! the depth of the tree (`limits::CONFIG_DEPTH_MAX`).

use super::shape::{KeyShape, ValueShape, names};
use super::trail::{Trail, cut};
use crate::config::tree::{TextPlace, TreeEntry, TreeNode, TreeValue};
use crate::limits::{ATTRIBUTE_KEY_BYTES_MAX, RULE_TEXT_BYTES_MAX};
use crate::nearest::nearest;
use crate::problem::{At, Flaw, Given, Problem};
use crate::units::{count, duration};
use std::sync::Arc;

/// Where problems of one structured setting of one file are put.
pub(crate) struct Telling<'a> {
    /// The file.
    pub(crate) file: &'a Arc<str>,
    /// The setting.
    pub(crate) key: &'static str,
    /// What is wrong so far.
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Telling<'_> {
    /// A place in the file.
    pub(crate) fn at(&self, TextPlace { line, column }: TextPlace) -> At {
        At::File { name: self.file.clone(), line, column }
    }

    /// One more problem.
    pub(crate) fn tell(&mut self, at: TextPlace, trail: &Trail<'_>, flaw: Flaw) {
        let (at, given) = (self.at(at), Given::Part(trail.to_string()));
        self.problems.push(Problem { at, key: self.key, given, flaw: flaw.into() });
    }
}

/// Tells all in which the node differs from the shape.
pub(crate) fn check(telling: &mut Telling<'_>, node: &TreeNode, shape: &ValueShape, trail: &Trail<'_>) {
    if !shape.is_like(node) {
        let what = match &node.value {
            TreeValue::Nothing => "there is nothing here",
            TreeValue::Text { .. } => "this is a text",
            TreeValue::List(_) => "this is a list",
            TreeValue::Map(_) => "this is a mapping",
        };
        return telling.tell(node.at, trail, Flaw::new(what).allowed(format!("give {}", shape.words())));
    }
    match (shape, &node.value) {
        (ValueShape::NotYet, _) => telling.tell(node.at, trail, Flaw::new("this is planned, and not there yet")),
        (ValueShape::Either(shapes), _) => {
            shapes
                .iter()
                .find(|shape| shape.is_like(node))
                .into_iter()
                .for_each(|one| check(telling, node, one, trail));
        }
        (ValueShape::List { of, most, .. }, TreeValue::List(items)) => list(telling, node, items, (of, *most), trail),
        (ValueShape::List { of, .. }, _) => check(telling, node, of, trail),
        (ValueShape::Mapping(fields), TreeValue::Map(_)) => mapping(telling, node, fields, trail),
        (ValueShape::OneOf(fields), TreeValue::Map(entries)) => {
            if entries.len() != 1 {
                let words = format!("give one key: {}", names(fields));
                telling.tell(node.at, trail, Flaw::new(format!("this has {} keys", entries.len())).allowed(words));
            }
            mapping(telling, node, fields, trail);
        }
        (ValueShape::AnyKeys(of, what, most), TreeValue::Map(entries)) => {
            if entries.len() > *most {
                telling.tell(node.at, trail, Flaw::new(format!("{} keys, at most {most} can be given", entries.len())));
            }
            for TreeEntry { key, key_at, value } in entries {
                let trail = Trail::Key(trail, key);
                if key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX || key.contains(char::is_control) {
                    let words = format!("{what} has 1 to {ATTRIBUTE_KEY_BYTES_MAX} bytes, and no control characters");
                    telling.tell(*key_at, &trail, Flaw::outside(words));
                }
                check(telling, value, of, &trail);
            }
        }
        (_, TreeValue::Text { text, .. }) => scalar(telling, node.at, text, shape, trail),
        _ => {}
    }
}

fn list(
    telling: &mut Telling<'_>,
    node: &TreeNode,
    items: &[TreeNode],
    (of, most): (&ValueShape, usize),
    trail: &Trail<'_>,
) {
    if items.len() > most {
        telling.tell(node.at, trail, Flaw::new(format!("{} values, at most {most} can be given", items.len())));
    }
    for (index, item) in items.iter().enumerate() {
        let trail = match trail {
            Trail::Start => Trail::Named { index, name: item.field("name").and_then(TreeNode::text) },
            trail => Trail::Item(trail, index),
        };
        check(telling, item, of, &trail);
    }
}

fn mapping(telling: &mut Telling<'_>, node: &TreeNode, fields: &[KeyShape], trail: &Trail<'_>) {
    for TreeEntry { key, key_at, value } in node.entries() {
        let Some(field) = fields.iter().find(|field| field.name == key) else {
            let shown = cut(key);
            let flaw = Flaw::new(format!("unknown key \"{}\"", shown.escape_debug()));
            let known = fields.iter().filter(|field| field.shape != ValueShape::NotYet).map(|field| field.name);
            let flaw = match nearest(&shown.replace('-', "_").to_lowercase(), known) {
                Some(meant) => flaw.remedy(format!("did you mean \"{meant}\"?")),
                None => flaw.remedy(format!("there are {}", names(fields))),
            };
            telling.tell(*key_at, trail, flaw);
            continue;
        };
        // a key without a value is as one that is not given
        if value.value != TreeValue::Nothing {
            check(telling, value, &field.shape, &Trail::Key(trail, key));
        }
    }
    for KeyShape { name, shape, .. } in
        fields.iter().filter(|field| field.is_needed && node.field(field.name).is_none())
    {
        let flaw = Flaw::new(format!("there is no \"{name}\"")).allowed(format!("give {}", shape.words()));
        telling.tell(node.at, trail, flaw);
    }
}

fn scalar(telling: &mut Telling<'_>, at: TextPlace, text: &str, shape: &ValueShape, trail: &Trail<'_>) {
    if text.len() > RULE_TEXT_BYTES_MAX {
        let flaw = Flaw::new(format!("{} bytes, at most {RULE_TEXT_BYTES_MAX} can be given", text.len()));
        return telling.tell(at, trail, flaw);
    }
    let mut meant = None;
    let is_right = match shape {
        ValueShape::Text(_) => !text.is_empty(),
        ValueShape::Words(words) => {
            meant = nearest(cut(text), words.iter().copied());
            words.contains(&text)
        }
        ValueShape::Truth => {
            meant = nearest(cut(text), ["true", "false"]);
            matches!(text, "true" | "false")
        }
        ValueShape::Time(word) => *word == Some(text) || duration(text).is_ok_and(|time| !time.is_zero()),
        ValueShape::Count(least, most) => count(text).is_ok_and(|n: u64| (*least..=*most).contains(&n)),
        ValueShape::Number => number(text).is_some(),
        _ => true,
    };
    if !is_right {
        let remedy = meant.map(|meant| format!("did you mean {meant}?")).unwrap_or_default();
        let flaw = Flaw { remedy, ..Flaw::outside(format!("give {}", shape.words())) };
        telling.tell(at, trail, flaw.of(format_args!("\"{}\"", cut(text).escape_debug())));
    }
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}
