//! The rules' document: structured settings of files, from trees to what they mean.
//!
//! Knows which keys rules have and what each means; does not know how files are found or read (`source`, `tree`, `keys`), nor
//! what a rule does to a series (the room `rules`).
//!
//! ```text
//!   tree ─► check (every key and sort, by table) ─► all ─► rule ─► Rule
//!                                                          ├─ selector   which series
//!                                                          ├─ changes    of attributes
//!                                                          ├─ windows    intervals, and how far outputs look back
//!                                                          └─ outputs ◄─ written
//! ```
//!
//! | file | job |
//! |---|---|
//! | `shape` | what a value may be |
//! | `table`, `example` | which keys there are, and a document that has most of them |
//! | `check` | a tree held against the table |
//! | `trail` | how a part is named in problems |
//! | `all`, `rule` | all rules, and each of them |
//! | `flag` | the rule that flags say |
//! | `dedup` | which of several identical senders counts |
//! | `faults` | where something stands that compiling found |
//! | `choice` | what a destination chooses |
//! | `selector`, `changes`, `windows`, `outputs`, `written` | their parts |
//!
//! Invariants
//! 1. A tree is checked against the table once, and what reads it then takes what has not the shape as if it were not there:
//!    nothing is told twice.
//! 2. All problems of all rules are told, each with its place.
//!
//! Bounds: `limits::RULES_MAX` rules; of each `RULE_CHANGES_MAX` changes, `RULE_OUTPUTS_MAX` outputs, and lists of
//! `RULE_LIST_MAX`; texts of `RULE_TEXT_BYTES_MAX`.

mod all;
mod changes;
mod check;
mod choice;
mod dedup;
mod example;
mod faults;
mod flag;
mod outputs;
mod rule;
mod selector;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod trail;
mod windows;
mod written;

pub(super) use all::rules;
pub(super) use check::{Telling, check};
pub(super) use choice::choice;
pub(super) use dedup::dedup;
pub(super) use example::EXAMPLE;
pub use shape::{KeyShape, ValueShape};
pub(super) use table::{CHOICE, CHOICE_SHAPE, STRUCTURED};
pub(super) use trail::Trail;
