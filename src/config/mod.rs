//! What is asked for, settled: from settings as texts to the plan of a run, every value checked, and everything that is
//! wrong told at once.
//!
//! ```text
//!   flags, variables ──────────────────────────► Settings ─► settle ─► Plan
//!   --config ─► source ─► tree ─► keys (by table) ──┘   └───────┴─────► Problem, each with where its setting was given
//!                                    └─ what has parts, as a tree ─► document ─► rules::Rule
//! ```
//!
//! Does not know: threads, sockets, or which words of a command line a setting comes from. What depends on the machine is
//! asked of `Surroundings`; files of destinations (certificates, keys, headers) are read by `deliver`.
//!
//! | file | job |
//! |---|---|
//! | `settings` | texts, and where they were given |
//! | `reading` | one setting after the other, and what is wrong with it |
//! | `surroundings` | what the machine is asked |
//! | `doors`, `outs` | where points come in, and where they go |
//! | `features` | what can be turned on and off by name |
//! | `settle` | the one step |
//! | `plan` | what it comes to |
//! | `differences` | what changes when settings are read again, and what needs a restart |
//! | `source` | what `--config` names, as texts; variables in values |
//! | `tree` | a text as YAML with places |
//! | `keys` | the table of settings, and what files say for them |
//! | `document` | settings with parts: rules, from their tree to what they mean |
//! | `describe` | the example and the schema |
//! | `printed` | settings with parts, printed |
//! | `fuzz` | a body for fuzzing |
//!
//! Sizes, times and counts are read by `units` and problems are made of `problem`, both below: `deliver` reads them in
//! destinations, and the generator shares the first.

pub mod describe;
mod differences;
pub mod document;
mod doors;
mod features;
mod fuzz;
pub mod keys;
mod outs;
mod plan;
pub mod printed;
mod reading;
mod settings;
mod settle;
pub mod source;
mod surroundings;
pub mod tree;

pub use differences::{SettingDifference, SettingDifferences, Settled, reloadable};
pub use features::{FEATURES, Feature, FeatureStage, Gates, RULES};
#[doc(hidden)]
pub use fuzz::fuzz_document;
pub use plan::{Pin, Plan};
pub use settings::{Setting, Settings, TreeSetting};
pub use settle::settle;
pub use surroundings::{DoorAddresses, Surroundings};
