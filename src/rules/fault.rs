//! What is wrong with a rule that reads well: a pattern that cannot be meant, an order that has no sense.
//!
//! Knows where in a rule it stands; does not know files or lines.

use std::fmt;
use std::sync::Arc;

/// A step of the way into a rule, as its document nests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePart {
    /// Under this key.
    Key(Arc<str>),
    /// The item of this number of a list; 0 also of a value that stands alone.
    Item(usize),
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The number of the rule, in the order that they were given in.
    pub rule: usize,
    /// The way to the part: `match.attributes.result[0]`, `attributes[2].replace.regex`.
    pub path: Vec<RulePart>,
    /// What is wrong, as the end of a sentence that begins with what was given: `is no regular expression: …`.
    pub words: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules[{}]", self.rule)?;
        for step in &self.path {
            match step {
                RulePart::Key(key) => write!(f, ".{key}")?,
                RulePart::Item(item) => write!(f, "[{item}]")?,
            }
        }
        write!(f, ": {}", self.words)
    }
}

/// Gathers faults while rules are compiled; knows where it is.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rule: usize,
    path: Vec<RulePart>,
    found: Vec<RuleFault>,
}

impl Faults {
    /// What follows is about this rule.
    pub(super) fn of_rule(&mut self, rule: usize) {
        self.rule = rule;
        self.path.clear();
    }

    /// What happens within `inside` is about what is under this key.
    pub(super) fn under<T>(&mut self, key: &str, inside: impl FnOnce(&mut Faults) -> T) -> T {
        self.within(RulePart::Key(key.into()), inside)
    }

    /// What happens within `inside` is about this item.
    pub(super) fn item<T>(&mut self, item: usize, inside: impl FnOnce(&mut Faults) -> T) -> T {
        self.within(RulePart::Item(item), inside)
    }

    fn within<T>(&mut self, step: RulePart, inside: impl FnOnce(&mut Faults) -> T) -> T {
        self.path.push(step);
        let made = inside(self);
        self.path.pop();
        made
    }

    /// Something is wrong here.
    pub(super) fn add(&mut self, words: impl Into<String>) {
        self.found.push(RuleFault { rule: self.rule, path: self.path.clone(), words: words.into() });
    }

    /// All that was found.
    pub(super) fn all(self) -> Vec<RuleFault> {
        self.found
    }
}
