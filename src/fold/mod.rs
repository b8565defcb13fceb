//! Folds: the arithmetic of rules. What the members of a group gave becomes what its outputs say.
//!
//! Knows values of members at base cuts, outputs of rules and intervals of rules; does not know series, cells, identities,
//! cuts' protocol, threads or formats. Pure: the same values in any order and in any parts, the same bits (where S8
//! promises it).
//!
//! ```text
//!   member ─► Contribution ─► FoldPart (its shard's) ─┐  absorb, any order     at each base cut        at the rule's cuts
//!   member ─► Contribution ─► FoldPart (another's)   ─┴────────────────────► OutputState::take ─► … ─► OutputState::leave ─► Leaving
//! ```
//!
//! | file | job |
//! |---|---|
//! | `exact`, `samples` | sums without an order; levels gathered with their weights |
//! | `spec`, `needs` | what a rule's outputs need to be kept |
//! | `contribution` | what a member gives |
//! | `part`, `regions`, `summaries` | what the members of a shard gave; their histograms; the newest of their summaries |
//! | `state`, `ring`, `windows` | what an output gathered, and what leaves; intervals of windows, of numbers and of histograms (`intervals`: of others) |
//! | `succession` | how outputs go on where a rule says something else of them |
//! | `quantile`, `rebucket`, `sketch`, `made` | quantiles as PromQL's; histograms with other buckets, of values, and both as outputs |
//! | `values`, `distinct`, `top` | samples one by one; how many values keys have; the largest groups |
//! | `clock`, `liveness` | when a rule's interval ends; whether a silent member counts |
//! | `work` | memory that is used again, and what was noticed |
//!
//! Invariants
//! 1. What was given is what left and what is open (`Notes::given`, `Notes::left`, `OutputState::open`): ints exactly.
//! 2. Levels are summed anew at each cut, windows anew at each rule cut: nothing is subtracted, so nothing drifts.
//! 3. Nothing is allocated for a member that a part has seen the like of.
//!
//! Costs (`benches/fold.rs`, 20 members of each of 1,000 groups): a member of a counter 5 to 7 ns, of a gauge with mean,
//! extremes and deviation 15, of a histogram of 14 bounds 15 to 20, of an exponential one of 40 buckets 60; an output's cut
//! 50 to 130 ns, with a window of 30 intervals 0.5 µs for a rate and 1.5 µs for those four of a gauge.

mod clock;
mod contribution;
mod distinct;
mod exact;
mod intervals;
mod liveness;
mod made;
mod needs;
mod part;
mod quantile;
mod rebucket;
mod regions;
mod ring;
mod samples;
mod sketch;
mod spec;
mod state;
mod succession;
mod summaries;
mod top;
mod values;
mod windows;
mod work;

pub use clock::{Covered, RuleClock, RuleCut};
pub use contribution::{ContributedRegion, Contribution};
pub use exact::ExactSum;
pub use liveness::Liveness;
pub use part::FoldPart;
pub use spec::{FoldSpec, LiveNeed};
pub use state::{Departure, Leaving, LeavingValue, OutputState, Variant};
pub use succession::Succession;
pub use top::{TOP_ENTRY_BYTES, TOP_OTHER};
pub use work::{FoldWork, Notes};
