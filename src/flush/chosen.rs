//! Of a batch, the points that a selection has.
//!
//! Knows where it is kept who is given what; does not know how that is found (`selecting`), or how rows are written.
//!
//! Bounds: one batch of points, without their regions.

use super::batch::Batch;
use super::outputs::Outputs;
use super::point::StagedPoint;
use super::selecting::Selecting;
use super::tree::{OwnedGroup, Tree};
use crate::model::SelectionNumber;

/// See the file's head.
#[derive(Default)]
pub(super) struct Chosen {
    points: Batch,
    /// Whose they are.
    number: Option<SelectionNumber>,
}

impl Chosen {
    /// The batch is another.
    pub(super) fn forget(&mut self) {
        self.number = None;
    }

    /// Of a batch of outputs, or of series in the tree, the points that a selection has. Their regions stay in the batch.
    pub(super) fn of(
        &mut self,
        selecting: &mut Selecting,
        batch: &Batch,
        number: SelectionNumber,
        (tree, outputs): (&Tree, Option<&Outputs>),
    ) -> &Batch {
        // both views of a selection are handed out one after the other
        if self.number != Some(number) {
            self.number = Some(number);
            self.points.clear();
            for section in (0..batch.sections()).map(|at| batch.section(at)) {
                let points = &batch.points()[section.from as usize..section.to as usize];
                self.points.enter(section.resource, section.scope, section.group);
                match outputs {
                    Some(outputs) => self.push(points, |point| outputs.selected(point.series).has(number)),
                    None => self.push_series(points, number, selecting, tree.group(section.group)),
                }
            }
        }
        &self.points
    }

    fn push(&mut self, points: &[StagedPoint], mut has: impl FnMut(&StagedPoint) -> bool) {
        points.iter().filter(|point| has(point)).for_each(|point| self.points.push_all(std::slice::from_ref(point)));
    }

    fn push_series(
        &mut self,
        points: &[StagedPoint],
        number: SelectionNumber,
        selecting: &mut Selecting,
        group: &OwnedGroup,
    ) {
        let Some(known) = group.selection() else { return };
        match known.of_all() {
            Some(all) if all.has(number) => self.points.push_all(points),
            Some(_) => {}
            None => self.push(points, |point| {
                let given = known.of(point.series as usize);
                if !point.is_turned() {
                    return given.has(number);
                }
                // for those that are not given the series any more
                let series = group.series().get(point.series as usize);
                series.is_some_and(|series| selecting.meant(known, group.meta(), series).without(given).has(number))
            }),
        }
    }
}
