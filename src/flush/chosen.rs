//! Of a batch, the points that a selection has.
//!
//! Knows where it is kept who is given what; does not know how that is found (`selecting`), or how rows are written.
//!
//! Bounds: one batch of points, without their regions.

use super::batch::Batch;
use super::outputs::Outputs;
use super::point::StagedPoint;
use super::tree::Tree;
use crate::model::SelectionNumber;

/// See the file's head.
#[derive(Default)]
pub(super) struct Chosen {
    points: Batch,
    /// Whose they are.
    number: Option<SelectionNumber>,
}

/// What tells points apart.
#[derive(Clone, Copy)]
pub(super) struct Choosing {
    /// Someone chooses; else all are given everything.
    pub chooses: bool,
    /// There may be ends that are for some.
    pub has_ends: bool,
}

impl Chosen {
    /// The batch is another.
    pub(super) fn forget(&mut self) {
        self.number = None;
    }

    /// Of a batch of outputs, or of series in the tree, the points that a selection has, or that one destination is told by
    /// itself: ends. Their regions stay in the batch.
    pub(super) fn of(
        &mut self,
        (batch, number): (&Batch, SelectionNumber),
        choosing: Choosing,
        (tree, outputs): (&Tree, Option<&Outputs>),
    ) -> &Batch {
        // both views of a selection are handed out one after the other
        if self.number != Some(number) {
            self.number = Some(number);
            self.points.clear();
            for section in (0..batch.sections()).map(|at| batch.section(at)) {
                let points = &batch.points()[section.from as usize..section.to as usize];
                self.points.enter(section.resource, section.scope, section.group);
                let is_alone = number.destination().is_some();
                let known = if is_alone || outputs.is_some() { None } else { tree.group(section.group).selection() };
                // of all of them, where that is the same
                let all = match (known, outputs) {
                    _ if is_alone => Some(false),
                    _ if !choosing.chooses => Some(true),
                    (Some(known), _) => known.of_all().map(|all| all.has(number)),
                    (None, Some(_)) => None,
                    (None, None) => Some(false),
                };
                let is_given = |point: &StagedPoint| match (all, known, outputs) {
                    (Some(all), ..) => all,
                    (None, Some(known), _) => known.of(point.series as usize).has(number),
                    (None, None, Some(outputs)) => outputs.selected(point.series).has(number),
                    (None, None, None) => false,
                };
                match all {
                    Some(true) if !choosing.has_ends => self.points.push_all(points),
                    Some(false) if !choosing.has_ends => {}
                    _ => {
                        let has = |point: &&StagedPoint| {
                            if point.is_turned() { point.ends().has(number) } else { is_given(point) }
                        };
                        points.iter().filter(has).for_each(|point| self.points.push_all(std::slice::from_ref(point)));
                    }
                }
            }
        }
        &self.points
    }
}
