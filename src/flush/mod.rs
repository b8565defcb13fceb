//! From cells to rows: what one shard owns, merged at a cut and handed out in batches.
//!
//! Knows closed banks and series values; does not know how a row is written, or who takes it.
//!
//! ```text
//!   cut n: every core closed a bank ─► owner walks resource ► scope ► group ► series
//!            cells' closed banks ─► value of cut n (for scrapes) + staged point ─► batch ─► rows, once per view
//!                                                   └► members of folds ─► packets ─► every core folded ─► outputs ─► batch …
//! ```
//!
//! | file | job |
//! |---|---|
//! | `owner` | the order of things, in slices |
//! | `tree`, `walk` | what is owned; where the walk over it is |
//! | `interval`, `merging` | what of a cut the arithmetic may look at |
//! | `merge`, `sums`, `histograms`, `newest` | the arithmetic: one series becomes one point in both views |
//! | `chain`, `ended` | what sums and histograms have in common; the end of a series |
//! | `exemplars` | those of the cut |
//! | `retire` | the death of series that nobody feeds |
//! | `point`, `batch`, `batch_rows` | points that are staged, and read as rows |
//! | `members`, `folded`, `rule_cuts` | what members of rules' folds give; what shards share of rules; rules' own intervals |
//! | `noticed` | what a shard noticed of rules, as others see it |
//! | `folding`, `in_force`, `turning` | what a shard needs of rules; those in force, and others behind them; series that they take or give back |
//! | `conflicts` | identities under which more than one thing leaves |
//! | `hand_over` | the way of that to the shard that owns the fold |
//! | `estimate` | what members and outputs take in memory |
//! | `seen` | a group as rules see it |
//! | `selecting`, `chosen` | which destinations are given what, where they choose; what of a batch that is |
//! | `passing` | for whom something ends that goes on for others |
//! | `known_sets` | resources and scopes of folds, found without reading them |
//! | `settling`, `outputs`, `fold_series` | the second half of a cut: what leaves of folds, and as which series |
//!
//! Invariants
//! 1. Each closed bank is read by exactly one owner at exactly one cut, so each applied point is emitted once.
//! 2. What rules took leaves as outputs, in the second half of the same cut; its members' values stay right all the same.
//! 3. A point in a batch refers to its series by place; lists are compacted only between cuts.
//!
//! Progress: wait-free; `step` returns when the caller's `more` says that the slice is over.
//!
//! Bounds: a batch holds `limits::BATCH_POINTS_MAX` points and about `limits::BATCH_BYTES_MAX` bytes.

mod batch;
mod batch_rows;
mod chain;
mod chosen;
mod conflicts;
mod ended;
mod estimate;
mod exemplars;
mod fold_series;
mod folded;
mod folding;
mod hand_over;
mod histograms;
mod in_force;
mod interval;
mod known_sets;
mod members;
mod merge;
mod merging;
mod newest;
mod noticed;
mod outputs;
mod owner;
mod passing;
mod point;
mod retire;
mod rule_cuts;
mod seen;
mod selecting;
mod series_list;
mod settling;
mod sums;
mod tree;
mod turning;
mod walk;

pub use conflicts::{ConflictSide, LeavingConflict};
pub use estimate::{GroupBytes, MEMBER_BYTES, point_bytes, series_bytes};
pub use folded::FoldShared;
pub use in_force::{RuleFolds, RulesInForce};
pub use noticed::FoldsNoticed;
pub use owner::{Directories, Options, Outlet, Owner, Taken, Work, Written};
pub use passing::Passed;
pub use series_list::{GroupSeries, SeriesReader};
pub use tree::{GroupDirectory, ListedGroup, ListedPlace};
