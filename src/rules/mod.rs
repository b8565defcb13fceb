//! Rules: which series are made fewer, dropped or named anew, and what leaves in their place.
//!
//! Knows what a rule says, and what it makes of the identity of a series; does not know where rules were written (`config`),
//! series, cells, cuts, or the arithmetic of what leaves (`fold`). Pure: the same rules and the same series, the same answer;
//! but for `limit`, which lets in the values that come first.
//!
//! | file | job |
//! |---|---|
//! | `rule` | what a rule says, settled |
//! | `selection`, `selections` | what a destination wants of what leaves; of all of them, compiled |
//! | `outputs` | which output is there for which kind, and what leaves as it |
//! | `plan` | all rules compiled, or what is wrong with them (`fault`) |
//! | `matcher` | one thread's questions: what becomes of a stream, a route, a series |
//! | `selectors` | which rules mean a series, over `patterns` and sets of rules (`bits`) |
//! | `changes`, `stays` | what becomes of its attributes, on a `draft` of its identity |
//! | `groups`, `traces`, `runs` | the same of a resource and scope, remembered; where changes act on them |
//! | `explain` | the same for people, rule by rule |
//! | `census`, `reach` | what becomes of many series, in numbers; which rules they reach, and what would leave twice |
//! | `filter` | which of many series somebody asks for |
//! | `identity` | identities as rules see them, and the texts of values |
//! | `fingerprint` | whether two rules mean the same |
//! | `renames` | which rule each was before |
//! | `dedup` | which of several identical senders a resource is |

mod bits;
mod census;
mod changes;
mod dedup;
mod draft;
mod explain;
mod fault;
mod filter;
mod fingerprint;
mod fuzz;
mod groups;
mod identity;
mod matcher;
mod outputs;
mod patterns;
mod plan;
mod reach;
mod renames;
mod rule;
mod runs;
mod selection;
mod selections;
mod selectors;
mod stays;
#[cfg(test)]
mod tests;
mod traces;

pub use census::{CensusAttribute, CensusRow, CensusRule, CensusVerdict, RuleCensus};
pub use changes::{CountedGroup, LimitedKey};
pub use dedup::{Dedup, DedupMatcher, DedupPlan, Failover, ReplicaSeen};
pub use explain::{
    ExplainedAnswer, ExplainedChange, ExplainedOutcome, ExplainedOutput, ExplainedRule, ExplainedSeries, Explanation,
    WhyNot,
};
pub use fault::{RuleFault, RulePart};
pub use filter::SeriesFilter;
#[doc(hidden)]
pub use fuzz::fuzz_selectors;
pub use identity::{MetricSeen, OutputIdentity, ScopeParts, text_of};
pub use matcher::{Candidates, LinkedFold, Passage, Relabelled, RouteVerdict, RuleMatcher, StreamVerdict};
pub use outputs::{OUTPUTS, OutputWord, Support, words_for};
pub use plan::RulePlan;
pub use reach::{Leaver, OutputConflict, RuleReach};
pub use renames::{IdleWas, idle_was, idle_was_after, places_before};
pub use rule::{
    Action, Aggregation, AttributeChange, Bucketing, Change, Grouping, InitialValue, InputKind, KeyPattern, KeyPlace,
    Output, OutputSpec, Pattern, PatternKind, Rule, Selector, Stale,
};
pub use runs::MadeRun;
pub use selection::{RuleChoice, Selection};
pub use selections::{MetricSelections, SelectionMatcher, SelectionSet, Selections};
