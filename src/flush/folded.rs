//! What all shards share of rules: the plan, what is kept for each rule, the index of folds, and the way between shards.
//!
//! Knows rules and counts; does not know members, or what leaves.

use super::hand_over::HandOver;
use crate::fold::{FoldSpec, Notes, RuleClock};
use crate::identity::overflow;
use crate::rules::{
    Action, Aggregation, InitialValue, InputKind, LinkedFold, Output, OutputIdentity, OutputSpec, RulePlan, Stale,
};
use crate::series::folds::{Entering, FoldIndex, FoldKey, FoldLimit, FoldRefusal};
use crate::series::registry::owner_of;
use crate::sync::published::Published;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is kept for one rule.
#[derive(Debug, Default)]
pub struct RuleFolds {
    /// By number of the kind of input.
    specs: [Option<FoldSpec>; InputKind::COUNT],
    aggregation: Option<Box<Aggregation>>,
    /// Output series of the folds that were let in, over all shards.
    outputs: AtomicUsize,
}

impl RuleFolds {
    fn new(action: &Action) -> RuleFolds {
        let Action::Aggregate(aggregation) = action else { return RuleFolds::default() };
        let specs = InputKind::ALL.map(|input| {
            let is_taken = !aggregation.outputs[input as usize].is_empty();
            is_taken.then(|| FoldSpec::new(aggregation, input))
        });
        RuleFolds { specs, aggregation: Some(aggregation.clone()), outputs: AtomicUsize::new(0) }
    }

    /// What is kept of this kind; nothing where the rule does not take it.
    pub(super) fn spec(&self, input: InputKind) -> Option<&FoldSpec> {
        self.specs[input as usize].as_ref()
    }

    /// What it says.
    pub(super) fn aggregation(&self) -> Option<&Aggregation> {
        self.aggregation.as_deref()
    }

    /// When its members stop counting.
    pub(super) fn stale(&self) -> Stale {
        self.aggregation().map_or(Stale::Auto, |aggregation| aggregation.stale)
    }

    /// How the first point of a cumulative member counts.
    pub(super) fn initial_value(&self) -> InitialValue {
        self.aggregation().map_or(InitialValue::Auto, |aggregation| aggregation.initial_value)
    }

    /// Its intervals.
    pub(super) fn clock(&self) -> RuleClock {
        let steps = self.specs.iter().flatten().map(FoldSpec::steps).max().unwrap_or(1);
        RuleClock::new(self.aggregation().map_or(1, |aggregation| aggregation.interval_ns), steps)
    }

    /// Output series over all shards.
    pub fn outputs(&self) -> usize {
        // ORDERING: a count for reports, publishes nothing
        self.outputs.load(Relaxed)
    }

    /// What a fold of this kind takes of the rule's limit.
    pub(super) fn limit(&self, input: InputKind) -> FoldLimit<'_> {
        let (outputs, limit) = match self.aggregation() {
            Some(aggregation) => {
                let series = |spec: &OutputSpec| match spec.output {
                    Output::TopK { k, .. } => k as usize + 1,
                    _ => 1,
                };
                (aggregation.outputs[input as usize].iter().map(series).sum(), aggregation.series_limit)
            }
            None => (0, None),
        };
        FoldLimit { outputs, limit: limit.map_or(usize::MAX, |limit| limit as usize), count: &self.outputs }
    }
}

/// See the file's head.
#[derive(Debug)]
pub struct FoldShared {
    plan: Arc<RulePlan>,
    rules: Box<[RuleFolds]>,
    folds: FoldIndex,
    hand_over: HandOver,
    /// By shard, by rule, what was noticed until its last cut.
    noticed: Box<[Published<Noticed>]>,
}

/// What a shard noticed.
#[derive(Debug, Default)]
struct Noticed {
    /// By number of the rule.
    rules: Box<[FoldsNoticed]>,
    /// Its last cut was the last of the process.
    is_closed: bool,
}

/// What was noticed of a rule.
#[derive(Clone, Debug, Default)]
pub struct FoldsNoticed {
    /// Live series that it takes.
    pub members: u64,
    /// What its folds noticed.
    pub notes: Notes,
}

impl FoldShared {
    /// For so many shards; `limit`: output series over all rules; hashes are keyed by `state`.
    pub fn new(plan: Arc<RulePlan>, shards: usize, limit: usize, state: ahash::RandomState) -> FoldShared {
        FoldShared {
            rules: plan.rules().iter().map(|rule| RuleFolds::new(&rule.action)).collect(),
            plan,
            folds: FoldIndex::new(limit, state),
            hand_over: HandOver::new(shards),
            noticed: (0..shards).map(|_| Published::new(Arc::default())).collect(),
        }
    }

    /// The same, where any rule folds.
    pub fn of(
        plan: &Arc<RulePlan>,
        shards: usize,
        limit: usize,
        state: &ahash::RandomState,
    ) -> Option<Arc<FoldShared>> {
        let folds = plan.rules().iter().any(|rule| matches!(rule.action, Action::Aggregate(_)));
        folds.then(|| Arc::new(FoldShared::new(plan.clone(), shards, limit, state.clone())))
    }

    /// What was noticed until the last cut, by number of the rule: over all shards.
    pub fn noticed(&self) -> Vec<FoldsNoticed> {
        let mut all = vec![FoldsNoticed::default(); self.rules.len()];
        for shard in &self.noticed {
            for (sum, noticed) in all.iter_mut().zip(&shard.load().rules) {
                sum.members += noticed.members;
                sum.notes.absorb(&noticed.notes);
            }
        }
        all
    }

    /// The last cut of the process is merged, on all shards.
    pub fn is_closed(&self) -> bool {
        self.noticed.iter().all(|shard| shard.load().is_closed)
    }

    /// Publishes what a shard noticed since it began. That shard only.
    pub(super) fn notice(&self, shard: usize, rules: &[FoldsNoticed], is_closed: bool) {
        self.noticed[shard].store(Arc::new(Noticed { rules: rules.into(), is_closed }));
    }

    /// The rules.
    pub fn plan(&self) -> &Arc<RulePlan> {
        &self.plan
    }

    /// What is kept, by number of the rule.
    pub fn rules(&self) -> &[RuleFolds] {
        &self.rules
    }

    /// All folds.
    pub fn folds(&self) -> &FoldIndex {
        &self.folds
    }

    pub(super) fn hand_over(&self) -> &HandOver {
        &self.hand_over
    }

    /// The shard that owns a fold of this hash: its high bits choose.
    pub(super) fn owner(&self, hash: u64) -> usize {
        owner_of(hash, self.hand_over.shards())
    }

    /// The fold that a member belongs to, entered, and whether it is the overflow of its rule.
    pub(super) fn enter(
        &self,
        linked: &LinkedFold<'_>,
        description: &str,
        texts: &mut Option<(Arc<[u8]>, Arc<[u8]>)>,
    ) -> Result<(Arc<FoldKey>, bool), FoldRefusal> {
        let &LinkedFold { rule, input, identity, .. } = linked;
        let limit = self.rules[rule as usize].limit(input);
        match self.folds.enter((rule, input, &identity), description, texts, limit, false) {
            Ok((key, entering)) => {
                if entering == Entering::New {
                    self.plan.group_began(rule, &identity);
                }
                Ok((key, false))
            }
            Err(_) => {
                // what `limit` let in for it makes room again
                self.plan.group_began(rule, &identity);
                self.plan.group_ended(rule, &identity);
                let identity = overflow_identity(&identity);
                self.folds.enter((rule, input, &identity), description, texts, limit, true).map(|(key, _)| (key, true))
            }
        }
    }

    /// Its owner forgets a fold, if nobody else is in it.
    pub(super) fn end(&self, key: &Arc<FoldKey>) -> bool {
        let has_ended = self.folds.end(key, self.rules[key.rule as usize].limit(key.input));
        if has_ended && !key.is_overflow {
            let FoldKey { resource, scope, name, unit, attributes, .. } = &**key;
            self.plan.group_ended(key.rule, &OutputIdentity { resource, scope, name, unit, attributes });
        }
        has_ended
    }
}

/// The identity of what a rule has no room for: of a metric, and nothing else.
fn overflow_identity<'a>(identity: &OutputIdentity<'a>) -> OutputIdentity<'a> {
    OutputIdentity { resource: b"", scope: b"", attributes: overflow::BARE_RUN, ..*identity }
}
