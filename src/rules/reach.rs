//! Which rules series reach, and which would leave with one name: what a census warns of.
//!
//! Knows the numbers of rules and identities of what leaves, as hashes; does not know how either came about.
//!
//! Bounds: as many rules as there are, and as many hashes as their owner lets in; `CONFLICTS_MAX` pairs are told apart.

use super::rule::InputKind;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// Pairs that are told apart.
const CONFLICTS_MAX: usize = 100;
/// Metrics of a rule whose kinds are not taken, by hash.
const METRICS_MAX: usize = 10_000;

/// What leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaver {
    /// A series that passes on.
    Input,
    /// The output of this place of the rule of this number.
    Output(u32, u32),
}

/// What would leave with one name and the same attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConflict {
    /// Both.
    pub of: [Leaver; 2],
    /// The name of one of them.
    pub name: String,
    /// How many series there are of it.
    pub series: u64,
}

/// Series that a rule means, and what it has to do with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReach {
    /// Series that it means, whoever takes them.
    pub meant: u64,
    /// Those that it takes, drops, keeps or relabels.
    pub reached: u64,
    /// The first rule before it that took one of the others from it.
    pub shadowed_by: Option<u32>,
    /// Kinds of those that nobody takes and it has no output for; their series.
    pub untaken: BTreeMap<InputKind, u64>,
    /// Hashes of their metrics.
    pub untaken_metrics: BTreeSet<u64>,
}

impl RuleReach {
    /// Nobody takes a series that it means, as it has no output for this kind.
    pub(super) fn leave(&mut self, kind: InputKind, metric: u64) {
        *self.untaken.entry(kind).or_default() += 1;
        if self.untaken_metrics.len() < METRICS_MAX {
            self.untaken_metrics.insert(metric);
        }
    }
}

/// What leaves, by identity.
#[derive(Debug, Default)]
pub(super) struct LeavingNames {
    seen: HashMap<u64, Leaver, ahash::RandomState>,
    conflicts: BTreeMap<[Leaver; 2], (String, u64)>,
}

impl LeavingNames {
    /// Whether this identity is known.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.seen.contains_key(&hash)
    }

    /// Something leaves with the identity of this hash.
    pub(super) fn add(&mut self, hash: u64, leaver: Leaver, name: impl FnOnce() -> String) {
        let before = *self.seen.entry(hash).or_insert(leaver);
        // two inputs of one name differ in what a hash here does not tell
        if before == leaver {
            return;
        }
        let pair = if before < leaver { [before, leaver] } else { [leaver, before] };
        if let Some((_, series)) = self.conflicts.get_mut(&pair) {
            *series += 1;
        } else if self.conflicts.len() < CONFLICTS_MAX {
            self.conflicts.insert(pair, (name(), 1));
        }
    }

    /// What leaves with one name.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = OutputConflict> {
        let all = self.conflicts.iter();
        all.map(|(of, (name, series))| OutputConflict { of: *of, name: name.clone(), series: *series })
    }
}
