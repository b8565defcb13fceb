//! What all shards share of rules: those in force, the index of folds, and the way between shards.
//!
//! Knows rules and counts; does not know members, or what leaves.
//!
//! Rules are exchanged between two cuts, on all shards between the same two:
//!
//! ```text
//!   control:  offer(plan) ─► publish(n, is_exchange) ──────────────────────► is_taken_up ─► the next one may be offered
//!   shard:                    └─► cut n under the old rules ─► the new ones are taken up ─► merge_done(n)
//! ```
//!
//! One thread offers rules and publishes cuts. What it offered is stored before the cut that says so is published, and
//! nothing else is offered until every shard has taken that up: so each shard that learns of an exchange finds these rules,
//! and no shard has those of cut n + 1 at cut n. The board orders all of it; there is no word of its own to be raced for.

use super::conflicts::{ConflictNews, LeavingConflict};
use super::hand_over::HandOver;
use super::in_force::RulesInForce;
use super::known_sets::KnownSets;
use super::noticed::{FoldsNoticed, NoticedHere, NoticedThere};
use super::passing::Passed;
use crate::identity::overflow;
use crate::rules::{CountedGroup, LinkedFold, OutputIdentity, RulePlan, Selections};
use crate::series::folds::{Entering, FoldIdentity, FoldIndex, FoldKey, FoldRefusal};
use crate::series::registry::owner_of;
use crate::sync::published::Published;
use crossbeam::queue::SegQueue;
use std::sync::Arc;

/// See the file's head.
#[derive(Debug)]
pub struct FoldShared {
    offered: Published<Offer>,
    folds: FoldIndex,
    hand_over: HandOver,
    /// Rules that shards have done with: whoever offers rules frees them, as ten thousand take milliseconds.
    gone: SegQueue<Arc<RulesInForce>>,
    /// What shards tell each other of identities that leave more than once.
    conflicts: Arc<ConflictNews>,
    /// By shard, what was noticed until its last cut.
    noticed: Box<[Published<Noticed>]>,
}

/// Rules that come into force behind others.
#[derive(Debug)]
struct Offer {
    before: Arc<RulesInForce>,
    next: Arc<RulesInForce>,
}

/// What a shard noticed.
#[derive(Debug, Default)]
struct Noticed {
    /// By slot of the rule.
    rules: NoticedThere,
    /// Number of the rules that it has taken up.
    in_force: u32,
    /// Its last cut was the last of the process.
    is_closed: bool,
}

impl FoldShared {
    /// For so many shards, with the rules of the start; `limit`: output series over all rules; hashes are keyed by `state`.
    pub fn new(plan: Arc<RulePlan>, shards: usize, limit: usize, state: ahash::RandomState) -> FoldShared {
        let first = Arc::new(RulesInForce::first(plan));
        let nothing = || Arc::new(Noticed { in_force: first.number(), ..Noticed::default() });
        FoldShared {
            noticed: (0..shards).map(|_| Published::new(nothing())).collect(),
            offered: Published::new(Arc::new(Offer { before: first.clone(), next: first })),
            folds: FoldIndex::new(limit, state),
            hand_over: HandOver::new(shards),
            gone: SegQueue::new(),
            conflicts: Arc::new(ConflictNews::new(shards)),
        }
    }

    /// The same, where destinations choose so from the start.
    #[must_use]
    pub fn choosing(self, selections: Option<Arc<Selections>>) -> FoldShared {
        let first = Arc::new(RulesInForce::first(self.offered.load().next.plan().clone()).choosing(selections));
        FoldShared { offered: Published::new(Arc::new(Offer { before: first.clone(), next: first })), ..self }
    }

    /// Whether these are other rules than those in force, or destinations choose otherwise by them.
    pub fn would_change(&self, plan: &RulePlan, selections: Option<&Arc<Selections>>) -> bool {
        let in_force = self.in_force();
        **in_force.plan() != *plan || in_force.selections() != selections
    }

    /// Offers rules, with what destinations choose by them: they come into force behind the next cut that is published as an
    /// exchange. `false`: others that were offered have not been taken up yet. The thread that publishes cuts only.
    #[must_use]
    pub fn offer(&self, plan: Arc<RulePlan>, selections: Option<Arc<Selections>>) -> bool {
        self.put(|before| before.next(plan, selections))
    }

    /// The same where this is what each destination had, and has. `closes`: one that was there chooses otherwise: the exchange
    /// ends the interval of each rule, because what it has gathered by then is for those who chose it before, and for nobody else.
    #[must_use]
    pub fn offer_passing(
        &self,
        (plan, selections): (Arc<RulePlan>, Option<Arc<Selections>>),
        passed: Box<[Passed]>,
        closes: bool,
    ) -> bool {
        self.put(|before| {
            let next = before.next(plan, selections).passing(passed);
            if closes { next.closing(before) } else { next }
        })
    }

    fn put(&self, next: impl FnOnce(&RulesInForce) -> RulesInForce) -> bool {
        if self.is_pending() {
            return false;
        }
        let before = self.offered.load().next.clone();
        let next = Arc::new(next(&before));
        self.offered.store(Arc::new(Offer { before, next }));
        true
    }

    /// Rules were offered that some shard has not taken up: the next cut is an exchange, or the last one was.
    pub fn is_pending(&self) -> bool {
        let number = self.offered.load().next.number();
        self.noticed.iter().any(|shard| shard.load().in_force != number)
    }

    /// Forgets the rules before, once those that were offered are taken up. The thread that publishes cuts only.
    pub fn settle(&self) {
        while self.gone.pop().is_some() {}
        let offer = self.offered.load();
        if !Arc::ptr_eq(&offer.before, &offer.next) && !self.is_pending() {
            let next = offer.next.clone();
            self.offered.store(Arc::new(Offer { before: next.clone(), next }));
        }
    }

    /// The rules in force: on all shards, where none are pending.
    pub fn in_force(&self) -> Arc<RulesInForce> {
        let offer = self.offered.load();
        if self.is_pending() { offer.before.clone() } else { offer.next.clone() }
    }

    /// The rules that come behind those of this number, if any were offered. While a cut is merged that is an exchange.
    pub(super) fn next(&self, number: u32) -> Option<Arc<RulesInForce>> {
        Some(self.offered.load().next.clone()).filter(|next| next.number() != number)
    }

    /// What was noticed until the last cut, by slot of the rule: over all shards.
    pub fn noticed(&self) -> Vec<FoldsNoticed> {
        let mut all: Vec<FoldsNoticed> = Vec::new();
        for shard in &self.noticed {
            let noticed = shard.load();
            all.resize(all.len().max(noticed.rules.iter().count()), FoldsNoticed::default());
            for (sum, noticed) in all.iter_mut().zip(noticed.rules.iter()) {
                sum.members += noticed.members;
                sum.notes.absorb(&noticed.notes);
            }
        }
        all
    }

    /// What leaves under one identity, as far as shards found it until now, of rules in force. The thread that publishes cuts
    /// only.
    pub fn gather_conflicts(&self) -> Arc<Vec<LeavingConflict>> {
        let in_force = self.in_force();
        self.conflicts.gather(|name| in_force.plan().rules().iter().any(|rule| *rule.name == *name))
    }

    /// The same, as it was gathered last.
    pub fn conflicts(&self) -> Arc<Vec<LeavingConflict>> {
        self.conflicts.told()
    }

    pub(super) fn conflict_news(&self) -> &Arc<ConflictNews> {
        &self.conflicts
    }

    /// The last cut of the process is merged, on all shards.
    pub fn is_closed(&self) -> bool {
        self.noticed.iter().all(|shard| shard.load().is_closed)
    }

    /// A shard needs these rules no more.
    pub(super) fn let_go(&self, rules: Arc<RulesInForce>) {
        self.gone.push(rules);
    }

    /// Publishes what a shard noticed since it began, and which rules it has taken up. That shard only.
    pub(super) fn notice(&self, shard: usize, rules: &NoticedHere, in_force: u32, is_closed: bool) {
        self.noticed[shard].store(Arc::new(Noticed { rules: rules.published(), in_force, is_closed }));
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

    /// The fold that a member belongs to, entered, and why that is the overflow of its rule, if it is.
    pub(super) fn enter(
        &self,
        in_force: &RulesInForce,
        linked: &LinkedFold<'_>,
        description: &str,
        known: &mut KnownSets,
    ) -> Result<(Arc<FoldKey>, Option<FoldRefusal>), FoldRefusal> {
        let &LinkedFold { rule, input, identity, .. } = linked;
        let (slot, plan) = (in_force.slot(rule), in_force.plan());
        let (folds, _) = in_force.at(slot);
        let limit = folds.limit(input);
        let count = |entering: Entering| {
            if entering == Entering::New {
                folds.counts().count_fold(true);
            }
        };
        let OutputIdentity { resource, scope, name, unit, attributes } = identity;
        let [resource, scope] = known.find([resource, scope], self.folds.sets());
        let fold = FoldIdentity { rule: slot, input, resource: &resource, scope: &scope, name, unit, attributes };
        match self.folds.enter(&fold, description, limit, false) {
            Ok((key, entering)) => {
                count(entering);
                plan.count_group(rule, &identity, CountedGroup::Asked { before: key.ask(in_force.number()) });
                Ok((key, None))
            }
            Err(why) => {
                // what `limit` let in for it makes room again
                plan.count_group(rule, &identity, CountedGroup::Asked { before: 0 });
                plan.count_group(rule, &identity, CountedGroup::Ended { last: in_force.number() });
                // of a metric, and nothing else
                let nothing = self.folds.nothing();
                let overflow =
                    FoldIdentity { resource: nothing, scope: nothing, attributes: overflow::BARE_RUN, ..fold };
                let (key, entering) = self.folds.enter(&overflow, description, limit, true)?;
                count(entering);
                Ok((key, Some(why)))
            }
        }
    }

    /// Its owner forgets a fold, if nobody else is in it.
    pub(super) fn end(&self, in_force: &RulesInForce, key: &Arc<FoldKey>) -> bool {
        let (folds, rule) = in_force.at(key.rule);
        let has_ended = self.folds.end(key, folds.limit(key.input));
        if has_ended {
            folds.counts().count_fold(false);
        }
        if has_ended
            && !key.is_overflow
            && let Some(rule) = rule
        {
            in_force.plan().count_group(rule, &key.identity(), CountedGroup::Ended { last: key.asked() });
        }
        has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleChoice, Selection};

    /// What destinations choose at the start is known: to choose so again is no change, and to choose nothing any more is one.
    #[test]
    fn what_is_chosen_at_the_start_is_in_force() {
        let input = Selection { rules: RuleChoice::None, ..Selection::default() };
        let chosen = || Selections::new([&input]).expect("sound").map(Arc::new);
        let plan = Arc::new(RulePlan::default());
        let shared = FoldShared::new(plan.clone(), 2, 10, ahash::RandomState::with_seeds(1, 2, 3, 4));
        assert!(!shared.would_change(&plan, None) && shared.would_change(&plan, chosen().as_ref()));
        let shared = shared.choosing(chosen());
        assert!(shared.would_change(&plan, None) && !shared.would_change(&plan, chosen().as_ref()));
        assert!(!shared.is_pending());
    }
}
