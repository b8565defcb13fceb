//! Which destinations are given what of a cut: found once for a group or a series, and kept beside it.
//!
//! Knows selections, and which rules replaced a series; does not know destinations, or how rows are written.
//!
//! What a group's selections are is asked when the walk comes to it, and again when the selections are others. Where it
//! depends on the series, because attributes of points are asked for or rules took some of them, it stands beside each: the
//! walk adds what is newborn. Where nobody chooses there is nothing of this, and nothing is asked.
//!
//! Invariant: who is given a point does not change between the walk that stages it and the view that is handed out.
//!
//! Bounds: two bytes a series in groups where it depends on the series.

use super::members::{Member, Membership};
use super::seen::seen;
use super::series_list::OwnedSeries;
use crate::rules::{MetricSelections, SelectionMatcher, SelectionSet, Selections};
use crate::series::Series;
use crate::series::group::Group;
use std::ops::Range;
use std::sync::Arc;

/// Who is given the series of a group.
pub(super) struct GroupSelection {
    /// Of the selections that were asked.
    generation: u32,
    of_metric: MetricSelections,
    /// By place, of each series that the walk has been at; empty where all are given to the same.
    each: Vec<SelectionSet>,
    /// It depends on the series.
    is_each: bool,
    /// The cut at which it was asked because something turns; 0: none.
    turned: u32,
    /// What it was before, while that cut lasts.
    before: Option<Box<GroupSelection>>,
}

impl GroupSelection {
    /// Of each of its series, where that is the same.
    pub(super) fn of_all(&self) -> Option<SelectionSet> {
        (!self.is_each).then_some(self.of_metric.all)
    }

    /// What it was before the cut at which something turns, if that was of these selections.
    pub(super) fn before(&self, generation: u32) -> Option<&GroupSelection> {
        self.before.as_deref().filter(|before| before.is_of(generation))
    }

    /// It is of these selections.
    pub(super) const fn is_of(&self, generation: u32) -> bool {
        self.generation == generation
    }

    /// Of the series at a place.
    #[inline]
    pub(super) fn of(&self, place: usize) -> SelectionSet {
        if self.is_each { self.each.get(place).copied().unwrap_or_default() } else { self.of_metric.all }
    }
}

/// See the file's head.
pub(super) struct Selecting {
    matcher: SelectionMatcher,
    /// Tells these selections from those before.
    generation: u32,
}

impl Selecting {
    /// Of these selections, not the first ones of their owner by `generation`, which is never 0.
    pub(super) fn new(selections: Arc<Selections>, generation: u32) -> Selecting {
        Selecting { matcher: SelectionMatcher::new(selections), generation }
    }

    /// Tells these selections from others; not 0.
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// How many selections there are.
    pub(super) fn count(&self) -> usize {
        self.matcher.selections().count()
    }

    /// Finds who is given these series of a group, as far as that is not known. `turning`: the cut, where something turns: then
    /// it is found anew, and what was known is kept as long.
    pub(super) fn settle(
        &mut self,
        (group, series, members): (&Group, &OwnedSeries, &[Member]),
        places: Range<usize>,
        (of_rules, turning): (Option<&Membership>, Option<u32>),
        known: &mut Option<Box<GroupSelection>>,
    ) {
        let takes_input = self.matcher.selections().takes_input();
        let is_current = known
            .as_ref()
            .is_some_and(|known| known.is_of(self.generation) && turning.is_none_or(|turning| known.turned == turning));
        if !is_current {
            let MetricSelections { all, some } = self.matcher.of_metric(&seen(group));
            let of_metric = MetricSelections { all: all.and(takes_input), some: some.and(takes_input) };
            let mut before = known.take().filter(|_| turning.is_some());
            if let Some(before) = &mut before {
                before.before = None;
            }
            *known = Some(Box::new(GroupSelection {
                generation: self.generation,
                of_metric,
                each: Vec::new(),
                is_each: !of_metric.some.is_empty(),
                turned: turning.unwrap_or(0),
                before,
            }));
        }
        let Some(known) = known else { return };
        if turning.is_none() {
            known.before = None;
        }
        if !known.is_each {
            let is_taken = |at: usize| members.get(at).is_some_and(|member| member.fold().is_some());
            if !places.clone().any(is_taken) {
                return;
            }
            // the first that rules take: all before it are given to the same
            known.is_each = true;
            known.each = vec![known.of_metric.all; places.start];
        }
        let reader = series.reader();
        for at in known.each.len()..places.end {
            let Some(one) = reader.get(at).filter(|one| !one.is_dead()) else {
                known.each.push(SelectionSet::NONE);
                continue;
            };
            let meant = self.matcher.of_series(known.of_metric, &seen(group), &one.attributes);
            let member = members.get(at).copied().unwrap_or_default();
            let replaced = member.fold().zip(of_rules).map_or(SelectionSet::NONE, |(entry, of_rules)| {
                if of_rules.is_dropped(member) {
                    return SelectionSet::ALL;
                }
                let takes = |rule| self.matcher.selections().takes_rule(rule);
                of_rules.replaced_by(entry).map(takes).fold(SelectionSet::NONE, SelectionSet::or)
            });
            known.each.push(meant.and(takes_input).without(replaced));
        }
    }

    /// Who is given an output of the rule at this place, or of one that is gone, if `known` is not of these selections.
    /// `carried`: who had it, where that is known: those are told of the end of one that is gone.
    pub(super) fn settle_output(
        &mut self,
        rule: Option<u32>,
        series: &Series,
        known: &mut OutputSelection,
        carried: Option<SelectionSet>,
    ) {
        if let Some(set) = carried.filter(|_| rule.is_none()) {
            *known = OutputSelection { generation: self.generation, set };
        } else if known.generation != self.generation {
            let metric = seen(&series.group);
            let of_metric = self.matcher.of_metric(&metric);
            let meant = self.matcher.of_series(of_metric, &metric, &series.attributes);
            let selections = self.matcher.selections();
            let set = meant.and(rule.map_or(selections.takes_outputs(), |rule| selections.takes_rule(rule)));
            *known = OutputSelection { generation: self.generation, set };
        }
    }
}

/// Who is given an output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OutputSelection {
    /// Of the selections that were asked; 0: none was.
    generation: u32,
    /// Who.
    pub set: SelectionSet,
}

impl OutputSelection {
    /// It is of these selections.
    pub(super) const fn is_of(&self, generation: u32) -> bool {
        self.generation == generation
    }
}
