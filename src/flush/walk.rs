//! The walk over what is owned, resource by resource, scope by scope, group by group: where it is, and what comes next.
//!
//! Knows places; does not know what is done there. It can stop anywhere and go on later, as long as no place changes.

use super::tree::Tree;
use std::ops::Range;

/// Where the walk is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    resource: usize,
    scope: usize,
    group: usize,
    series: usize,
}

/// Some neighbours in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub resource: u32,
    pub scope: u32,
    /// Place of the group.
    pub group: u32,
    /// Places of the series.
    pub series: Range<usize>,
}

/// What the walk comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WalkStep {
    /// These series: `go_to` says how far they have been dealt with.
    Series(Stretch),
    /// Nothing within the steps that were given.
    Pause,
    /// The end.
    Over,
}

impl Walk {
    /// The next series, at most as many as steps are left. Each place that is left behind takes a step, too.
    pub(super) fn next(&mut self, tree: &Tree, steps: &mut usize) -> WalkStep {
        while *steps > 0 {
            let Some(scope) = tree.scope(self.resource, self.scope) else { return WalkStep::Over };
            let Some(groups) = scope else {
                *self = Walk { resource: self.resource + 1, ..Walk::default() };
                *steps -= 1;
                continue;
            };
            let Some(group) = groups.get(self.group).copied() else {
                *self = Walk { resource: self.resource, scope: self.scope + 1, ..Walk::default() };
                *steps -= 1;
                continue;
            };
            let length = tree.group(group).series().len();
            if self.series >= length {
                (self.group, self.series) = (self.group + 1, 0);
                *steps -= 1;
                continue;
            }
            let series = self.series..length.min(self.series + *steps);
            return WalkStep::Series(Stretch {
                resource: self.resource as u32,
                scope: self.scope as u32,
                group,
                series,
            });
        }
        WalkStep::Pause
    }

    /// The rest of this group is left as it is: one step.
    pub(super) fn leave_group(&mut self, steps: &mut usize) {
        *steps = steps.saturating_sub(1);
        self.series = usize::MAX;
    }

    /// The series of this group before `series` have been dealt with.
    pub(super) fn go_to(&mut self, series: usize, steps: &mut usize) {
        *steps = steps.saturating_sub(series - self.series);
        self.series = series;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::tree::tests::Nursery;
    use super::*;

    /// Every series is met once, in the order of scopes and groups, however few steps are given at a time and wherever
    /// the work stops.
    #[test]
    fn a_walk_that_stops_anywhere_meets_every_series_once() {
        let nursery = Nursery::new();
        let mut tree = nursery.tree();
        let mut want = Vec::new();
        for (scope, name, count) in [(1, 1, 3), (1, 2, 1), (2, 3, 40), (3, 4, 2)] {
            want.extend((0..count).map(|place| (nursery.add(&mut tree, scope, name), place)));
        }
        for given in [1, 2, 3, 7, 1_000] {
            for done_at_most in [1, 2, 1_000] {
                let (mut walk, mut met, mut slices) = (Walk::default(), Vec::new(), 0);
                'slices: loop {
                    let mut steps = given;
                    slices += 1;
                    assert!(slices < 1_000, "it comes to an end");
                    loop {
                        match walk.next(&tree, &mut steps) {
                            WalkStep::Series(stretch) => {
                                assert!(stretch.series.len() <= given);
                                let end = stretch.series.end.min(stretch.series.start + done_at_most);
                                met.extend((stretch.series.start..end).map(|place| (stretch.group, place)));
                                walk.go_to(end, &mut steps);
                            }
                            WalkStep::Pause => break,
                            WalkStep::Over => break 'slices,
                        }
                    }
                }
                assert_eq!(met, want, "{given} steps, {done_at_most} at a time");
            }
        }
    }
}
