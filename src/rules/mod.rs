//! Rules: which series are made fewer, dropped or named anew, and what leaves in their place.
//!
//! Knows what a rule says, and what it makes of the identity of a series; does not know where rules were written (`config`),
//! series, cells, cuts, or the arithmetic of what leaves (`fold`). Pure: the same rules and the same series, the same answer.
//!
//! | file | job |
//! |---|---|
//! | `rule` | what a rule says, settled |
//! | `outputs` | which output is there for which kind, and what leaves as it |

mod outputs;
mod rule;

pub use outputs::{OUTPUTS, OutputWord, Support, words_for};
pub use rule::{
    Action, Aggregation, AttributeChange, Bucketing, Change, Grouping, InitialValue, InputKind, KeyPattern, KeyPlace,
    Output, OutputSpec, Pattern, PatternKind, Rule, Selector, Stale,
};
