//! What rules need on one shard, and how one set of rules gives way to another there.
//!
//! Knows the parts and in which order they change over; does not know what any of them does.
//!
//! ```text
//!   cut n under the old rules ─► take_up ─► newborn series are asked under the new ones … cut n + 1:
//!      deaths decided ─► relink: lanes, then groups and their series, in slices ─► walk: what is hidden or shown turns
//! ```
//!
//! Only what may have changed is asked again: the series of a group of which the same rules may take some, unchanged in who
//! their members are, and of which the same is dropped, are left as they are. So a rule that did not change takes no time,
//! and nothing of it differs from a run without the exchange.
//!
//! A shard may be late for the cut with which rules come: what it took in before is merged at a later one, under them. So what
//! they drop is hidden only after a cut that no shard missed: until then it passes as if nothing dropped it.
//!
//! Outputs that end count under the limits until they are forgotten, which is after all series were asked. So those that found no
//! room are asked once more then.

use super::conflicts::Conflicts;
use super::folded::FoldShared;
use super::in_force::{FORGOTTEN_AFTER, RulesInForce, SlotTurn};
use super::members::Membership;
use super::noticed::{FoldsNoticed, NoticedHere};
use super::retire::Retirement;
use super::rule_cuts::RuleCuts;
use super::settling::Settling;
use super::tree::{GroupDirectory, Tree};
use super::walk::{Walk, WalkStep};
use crate::ledger::Tally;
use crate::rules::Candidates;
use crate::series::registry::Registry;
use crate::sync::cut::CutTimes;
use std::sync::Arc;

/// Series that are asked again between two looks at the clock: rules take some microseconds each.
const ASKED_AT_A_TIME: usize = 32;
/// Slots of rules.
const SLOTS_AT_A_TIME: usize = 256;
/// Lanes.
const LANES_AT_A_TIME: usize = 1024;

/// How far the change to other rules is.
enum Relinking {
    /// All is done.
    Done,
    /// From this lane on.
    Lanes(usize),
    /// What rules know of groups and series.
    Series(Walk),
    /// Series have been asked: what shows of them turns in this cut's walk.
    Turning,
    /// Some found no room. They are asked once more behind so many cuts.
    Waiting(u32),
    /// From this place on, those that found no room.
    Again(Walk),
    /// As `Turning`, behind `Again`.
    TurningAgain,
}

/// See the file's head.
pub(super) struct Folding {
    shard: usize,
    shared: Arc<FoldShared>,
    in_force: Arc<RulesInForce>,
    /// Those before, until all series have been asked.
    before: Option<Arc<RulesInForce>>,
    /// Those that come into force behind the cut being merged.
    next: Option<Arc<RulesInForce>>,
    relinking: Relinking,
    /// A shard was late for the cut that is merged.
    is_missed: bool,
    /// One was for the cut with which the rules came, and for all since: points from before them are still to be merged.
    has_late: bool,
    /// Series that are dropped behind the door are not hidden yet, because of such points.
    owes_drops: bool,
    pub(super) cuts: RuleCuts,
    pub(super) members: Membership,
    pub(super) settling: Settling,
    pub(super) conflicts: Conflicts,
    /// By slot of the rule, what was noticed.
    noticed: NoticedHere,
    /// At the end of a cut, how many slots are taken up that the rules behind it turn.
    turned: Option<usize>,
}

impl Folding {
    pub(super) fn new(
        shard: usize,
        shared: Arc<FoldShared>,
        state: &ahash::RandomState,
        expire_ns: u64,
    ) -> (Folding, GroupDirectory) {
        let in_force = shared.in_force();
        let both = || (shared.clone(), in_force.clone());
        let members = Membership::new(shard, both(), state, expire_ns);
        let mut noticed = NoticedHere::default();
        noticed.resize(in_force.rules().len());
        let (settling, directory) = Settling::new(shard, both(), state);
        let conflicts = Conflicts::new(shard, shared.conflict_news().clone());
        let folding = Folding {
            shard,
            cuts: RuleCuts::new(&in_force, state),
            noticed,
            turned: None,
            shared,
            in_force,
            before: None,
            next: None,
            relinking: Relinking::Done,
            is_missed: false,
            has_late: false,
            owes_drops: false,
            members,
            settling,
            conflicts,
        };
        (folding, directory)
    }

    /// Some rule in force asks for the smallest or the largest value of gauges inside an interval.
    pub(super) fn asks_extremes(&self) -> bool {
        self.in_force.asks_extremes()
    }

    /// Number of the rules in force.
    pub(super) fn number(&self) -> u32 {
        self.in_force.number()
    }

    /// There is something to do at cuts: rules fold, or something of others is left.
    pub(super) fn is_needed(&self) -> bool {
        let is_left = !self.members.is_empty() || !self.settling.is_empty();
        self.in_force.folds() || is_left || !matches!(self.relinking, Relinking::Done)
    }

    /// A cut begins, for which a shard was late, or none.
    pub(super) fn begin(&mut self, times: CutTimes, is_missed: bool) {
        self.is_missed = is_missed;
        self.next = if times.is_exchange { self.shared.next(self.in_force.number()) } else { None };
        if matches!(self.relinking, Relinking::Waiting(0)) && !self.has_late {
            self.relinking = Relinking::Again(Walk::default());
        }
        self.cuts.begin(times, self.next.as_deref());
        self.members.begin(times);
    }

    /// Goes on with the end of a cut: what was noticed is put together, and slots are made what the rules behind it say.
    /// `false` when that is done.
    pub(super) fn end_some(&mut self, registry: &Registry) -> bool {
        let Folding { members, cuts, noticed, conflicts, in_force, .. } = self;
        if members.add_some(SLOTS_AT_A_TIME, noticed) || cuts.add_some(SLOTS_AT_A_TIME, noticed) {
            return true;
        }
        if self.turned.is_none() && conflicts.ask_some(ASKED_AT_A_TIME, (in_force, registry), noticed) {
            return true;
        }
        let Some(next) = &self.next else { return false };
        let from = self.turned.unwrap_or_else(|| {
            cuts.resize(next);
            noticed.resize(next.rules().len());
            0
        });
        let turns = next.turns();
        let to = turns.len().min(from + SLOTS_AT_A_TIME);
        for (slot, turn) in &turns[from..to] {
            cuts.turn(*slot, *turn, &next.rules()[*slot as usize]);
            if *turn == SlotTurn::Begins {
                // another rule's
                *noticed.of(*slot) = FoldsNoticed::default();
            }
        }
        self.turned = Some(to);
        to < turns.len()
    }

    /// A cut is over, and so is `end_some`: rules that were offered come into force with it, and what was noticed is published.
    /// The rules, if they are others.
    pub(super) fn end(&mut self, times: CutTimes, registry: &Registry) -> Option<Arc<RulesInForce>> {
        self.has_late &= self.is_missed;
        self.relinking = match std::mem::replace(&mut self.relinking, Relinking::Done) {
            Relinking::Turning => {
                self.before.take().into_iter().for_each(|before| self.shared.let_go(before));
                let asks_again = self.members.is_short() || self.owes_drops;
                if asks_again { Relinking::Waiting(FORGOTTEN_AFTER) } else { Relinking::Done }
            }
            Relinking::TurningAgain => {
                self.owes_drops = false;
                Relinking::Done
            }
            Relinking::Waiting(cuts) => Relinking::Waiting(cuts.saturating_sub(1)),
            other => other,
        };
        let sets = self.shared.folds().sets().bytes() / self.shared.hand_over().shards();
        let bytes = self.members.bytes() + self.settling.bytes() + self.conflicts.bytes() + sets;
        registry.hold_rules(self.shard, bytes);
        let next = self.next.take();
        self.conflicts.end_cut(next.is_some());
        if let Some(next) = &next {
            self.take_up(next.clone());
            registry.keep_extremes(next.asks_extremes());
        }
        self.shared.notice(self.shard, &self.noticed, self.in_force.number(), times.is_last);
        next
    }

    fn take_up(&mut self, next: Arc<RulesInForce>) {
        let is_asked = matches!(self.relinking, Relinking::Done | Relinking::Waiting(_));
        assert!(is_asked, "series are asked at the first cut of their rules");
        assert_eq!(self.turned.take(), Some(next.turns().len()), "its slots are taken up");
        let before = std::mem::replace(&mut self.in_force, next);
        self.cuts.settle();
        self.members.take_up(self.in_force.clone());
        self.settling.take_up(self.in_force.clone());
        self.before = Some(before);
        self.has_late = self.is_missed;
        self.relinking = Relinking::Lanes(0);
    }

    /// Series have to be asked again before the cut is merged.
    pub(super) fn is_relinking(&self) -> bool {
        matches!(self.relinking, Relinking::Lanes(_) | Relinking::Series(_) | Relinking::Again(_))
    }

    /// What shows of series turns at this cut.
    pub(super) fn is_turning(&self) -> bool {
        matches!(self.relinking, Relinking::Turning | Relinking::TurningAgain)
    }

    /// Asks some series again. Where places in the tree stay as they are.
    pub(super) fn relink_some(
        &mut self,
        tree: &mut Tree,
        retirement: &Retirement,
        state: &ahash::RandomState,
        tally: &mut Tally,
    ) {
        match &mut self.relinking {
            Relinking::Done | Relinking::Turning | Relinking::Waiting(_) | Relinking::TurningAgain => {}
            Relinking::Lanes(from) => {
                let to = self.members.lanes().min(*from + LANES_AT_A_TIME);
                (*from..to).for_each(|lane| self.members.refit_lane(lane));
                *from = to;
                if to == self.members.lanes() {
                    self.relinking = Relinking::Series(Walk::default());
                }
            }
            Relinking::Series(walk) | Relinking::Again(walk) => {
                let mut walk = *walk;
                let is_again = matches!(self.relinking, Relinking::Again(_));
                let mut steps = ASKED_AT_A_TIME;
                self.relinking = loop {
                    match walk.next(tree, &mut steps) {
                        WalkStep::Series(stretch) => {
                            let what = (stretch.group, stretch.series, is_again);
                            match self.relink_stretch(tree, what, retirement, state, tally) {
                                Some(end) => walk.go_to(end, &mut steps),
                                None => walk.leave_group(&mut steps),
                            }
                        }
                        WalkStep::Pause if is_again => break Relinking::Again(walk),
                        WalkStep::Pause => break Relinking::Series(walk),
                        WalkStep::Over if is_again => break Relinking::TurningAgain,
                        WalkStep::Over => break Relinking::Turning,
                    }
                };
            }
        }
    }

    /// Asks some neighbours in a group; where it stopped, or nothing if all of them stay as they are.
    fn relink_stretch(
        &mut self,
        tree: &mut Tree,
        (group, places, is_again): (u32, std::ops::Range<usize>, bool),
        retirement: &Retirement,
        state: &ahash::RandomState,
        tally: &mut Tally,
    ) -> Option<usize> {
        let meta = tree.group(group).meta().clone();
        let number = self.in_force.number();
        let drops = self.members.drops(&meta);
        // those that should be hidden, and are not
        let owes = self.owes_drops && drops;
        if is_again {
            if tree.asked(group).is_none_or(|(candidates, asked)| asked != number || candidates.is_empty() && !owes) {
                return None;
            }
        } else if places.start == 0 {
            let asked = tree.asked(group);
            if asked.is_some_and(|(_, asked)| asked == number) {
                // it was born under these rules
                return None;
            }
            let candidates = self.members.candidates(&meta);
            let before = asked.filter(|(_, asked)| *asked + 1 == number).map(|(before, _)| before);
            let is_left = match before {
                Some(before) => !owes && self.in_force.drops_the_same() && self.is_same(before, &candidates),
                None => asked.is_none() && candidates.is_empty() && !drops,
            };
            if is_left && asked.is_none() {
                return None;
            }
            tree.put_candidates(group, candidates, number);
            if is_left {
                return None;
            }
        }
        let candidates = tree.asked(group).map(|(candidates, _)| candidates.clone()).unwrap_or_default();
        let reader = tree.group(group).series().reader();
        let mut is_shown = false;
        for at in places.clone() {
            let (Some(series), Some(member)) = (reader.get(at), tree.group_mut(group).beside().0.get_mut(at)) else {
                break;
            };
            if series.is_dead() || is_again && !owes && !self.members.has_no_room(*member) {
                continue;
            }
            let touched = || retirement.time_of(series.newest_cut());
            let is_put_off = drops && self.has_late && !self.members.is_dropped(*member);
            self.owes_drops |= is_put_off;
            self.members.relink((&candidates, drops && !is_put_off), (series, member), touched, state, tally);
            let hides = member.fold().is_some_and(|entry| self.members.hides(entry));
            if hides != series.hides() {
                series.turn(hides);
                is_shown |= !hides;
                if !hides {
                    self.conflicts.passes(series);
                }
            }
        }
        if is_shown {
            tree.show(group);
        }
        Some(places.end)
    }

    /// The same rules may take series of a group as before, in the same order, and say of all of them the same.
    fn is_same(&self, before: &Candidates, now: &Candidates) -> bool {
        let Some(rules) = &self.before else { return false };
        let slots = || now.rules().map(|rule| self.in_force.slot(rule));
        let same = |slot: u32| self.in_force.at(slot).0.has_same_members();
        before.rules().map(|rule| rules.slot(rule)).eq(slots()) && slots().all(same)
    }
}
