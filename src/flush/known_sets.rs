//! Resources and scopes of folds as one shard has met them: found by where those lie that its rules make.
//!
//! Knows sets; does not know folds. A rule makes one for all series of a resource (`rules::groups`), so that nothing of it is
//! read for another series.
//!
//! Bounds: `KNOWN_MAX` of them, of `RULE_RUN_BYTES_MAX` in all; then all are forgotten, but for the two that are asked for.

use crate::identity::Set;
use crate::limits::{RULE_RUN_BYTES_MAX, RULE_RUNS_REMEMBERED};
use crate::series::fold_sets::{FoldSet, FoldSets};
use hashbrown::HashMap;
use std::sync::Arc;

/// As many as rules remember, a few for each.
const KNOWN_MAX: usize = 4 * RULE_RUNS_REMEMBERED;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct KnownSets {
    /// By address: the one that lies there, which so stays there, and the one that is equal to it, of which this is a user.
    all: HashMap<usize, (Arc<Set>, Arc<FoldSet>), ahash::RandomState>,
    bytes: usize,
}

impl KnownSets {
    /// A resource and a scope, as all folds have them.
    pub(super) fn find(&mut self, sets: [&Arc<Set>; 2], of_folds: &FoldSets) -> [Arc<FoldSet>; 2] {
        sets.map(|set| match self.all.get(&Arc::as_ptr(set).addr()) {
            Some((_, known)) => known.clone(),
            None => self.add(set, of_folds),
        })
    }

    #[cold]
    fn add(&mut self, set: &Arc<Set>, of_folds: &FoldSets) -> Arc<FoldSet> {
        let known = of_folds.enter(set);
        if self.all.len() >= KNOWN_MAX || self.bytes + set.bytes() > RULE_RUN_BYTES_MAX {
            self.clear(of_folds);
        }
        self.bytes += set.bytes();
        self.all.insert(Arc::as_ptr(set).addr(), (set.clone(), known.clone()));
        known
    }

    /// Forgets all.
    pub(super) fn clear(&mut self, of_folds: &FoldSets) {
        self.all.drain().for_each(|(_, (_, known))| of_folds.leave(&known));
        self.bytes = 0;
    }
}
