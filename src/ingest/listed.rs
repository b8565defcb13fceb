//! What commit asks of points that stand on a list of their kind, each with where it goes.
//!
//! Knows what such kinds have in common; does not know one. Numbers have a list of their own (`stage::StagedNumber`).

use super::open::{Applying, OpenInterval};
use super::scaled::Scaled;
use super::stage::Stage;
use crate::model::{Kind, Reject};
use crate::resolve::PointTarget;

/// A point on a list.
pub(super) trait Listed<'a>: Copy + Scaled<'a> {
    /// Its kind.
    const KIND: Kind;
    /// Field number of its exemplars.
    const EXEMPLARS: u32;

    /// The list.
    fn list<'s>(stage: &'s Stage<'a>) -> &'s [(PointTarget, Self)];

    /// It has a recorded value.
    fn has_value(&self) -> bool;

    /// The message, if it has exemplars; else nothing.
    fn exemplars(&self) -> &'a [u8];

    /// It says nothing of its bounds, and may mean a series that has some.
    #[inline(always)]
    fn may_mean_one_with_bounds(&self) -> bool {
        false
    }

    /// Adds it to the cell of a route.
    fn add(&self, open: &mut OpenInterval, to: &mut Applying<'_>, route: u32) -> Result<(), Reject>;
}
