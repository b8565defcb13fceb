//! What a part of a structured setting may be: the table of keys that files are checked with, and that the schema and the
//! help of these keys are made of.
//!
//! Does not know: which keys there are (`table`), or what they mean.

use super::super::tree::{TreeNode, TreeValue};

/// A key of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub shape: ValueShape,
    /// What it is if nobody gives it; empty: nothing.
    pub default: &'static str,
    /// It must be given.
    pub is_needed: bool,
    /// What it is for.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueShape {
    /// A text of at least one character; what it is.
    Text(&'static str),
    /// A text that may be empty; what it is.
    AnyText(&'static str),
    /// One of these.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// More than nothing, such as `30s`; or this word.
    Time(Option<&'static str>),
    /// A whole number in this range.
    Count(u64, u64),
    /// A finite number.
    Number,
    /// Any number of them, up to a bound.
    List {
        /// Each of them.
        of: &'static ValueShape,
        /// How many at most.
        most: usize,
        /// One may stand without a list.
        or_one: bool,
    },
    /// These keys, each at most once.
    Mapping(&'static [KeyShape]),
    /// A mapping of one of these keys.
    OneOf(&'static [KeyShape]),
    /// Any keys, each with such a value; what a key is, and how many at most.
    AnyKeys(&'static ValueShape, &'static str, usize),
    /// One of these, which are told apart by whether they are texts, lists or mappings.
    Either(&'static [ValueShape]),
    /// Known, and not there yet.
    NotYet,
}

impl ValueShape {
    /// What it is, in words that follow `give`.
    pub fn words(&self) -> String {
        match self {
            ValueShape::Text(what) | ValueShape::AnyText(what) => (*what).to_owned(),
            ValueShape::Words(words) => words.join(", "),
            ValueShape::Truth => "true or false".to_owned(),
            ValueShape::Time(None) => "a duration, such as 30s".to_owned(),
            ValueShape::Time(Some(word)) => format!("a duration, such as 30s, or {word}"),
            ValueShape::Count(least, most) => format!("a number from {least} to {most}"),
            ValueShape::Number => "a number".to_owned(),
            ValueShape::List { of, or_one: true, .. } => format!("{}, or a list of them", of.words()),
            ValueShape::List { of, .. } => format!("a list: {}", of.words()),
            ValueShape::Mapping(fields) => format!("a mapping of {}", names(fields)),
            ValueShape::OneOf(fields) => format!("a mapping with one of {}", names(fields)),
            ValueShape::AnyKeys(of, key, _) => format!("a mapping: {key}, and for each {}", of.words()),
            ValueShape::Either(shapes) => shapes.iter().map(ValueShape::words).collect::<Vec<_>>().join("; or "),
            ValueShape::NotYet => "nothing".to_owned(),
        }
    }

    /// Whether it is a text, a list or a mapping where the node is one.
    pub(super) fn is_like(&self, node: &TreeNode) -> bool {
        match (self, &node.value) {
            (ValueShape::Either(shapes), _) => shapes.iter().any(|shape| shape.is_like(node)),
            (ValueShape::List { of, or_one: true, .. }, TreeValue::Text { .. } | TreeValue::Map(_)) => of.is_like(node),
            (ValueShape::List { .. }, value) => matches!(value, TreeValue::List(_)),
            (ValueShape::Mapping(_) | ValueShape::OneOf(_) | ValueShape::AnyKeys(..), value) => {
                matches!(value, TreeValue::Map(_))
            }
            (ValueShape::NotYet, _) => true,
            (_, value) => matches!(value, TreeValue::Text { .. }),
        }
    }
}

/// The names of fields that can be given, with commas.
pub(super) fn names(fields: &[KeyShape]) -> String {
    let there = fields.iter().filter(|field| field.shape != ValueShape::NotYet);
    there.map(|field| field.name).collect::<Vec<_>>().join(", ")
}
