//! Summary points: from bytes to what is staged, and from there to a cell (M28).
//!
//! Knows how one is read and added; does not know what makes one valid (`check`), how its route is found (`points`), nor the
//! words of a bank (`cells`).

use super::check::check_summary;
use super::kind::PointKind;
use super::listed::Listed;
use super::open::{Applying, OpenInterval};
use super::stage::{Room, Stage};
use crate::model::{Kind, Reject};
use crate::otlp::points::{Attributes, NO_RECORDED_VALUE};
use crate::otlp::summaries::{SummaryPoint, summary};
use crate::resolve::PointTarget;
use crate::wire::Fault;
use bumpalo::Bump;

/// Summaries.
#[derive(Clone, Copy)]
pub(super) struct SummaryPoints;

impl PointKind for SummaryPoints {
    type Read<'a> = SummaryPoint<'a>;
    type Checked = ();
    type Staged<'a> = SummaryPoint<'a>;
    const MESSAGE: &'static str = "SummaryDataPoint";

    #[inline]
    fn read<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<SummaryPoint<'a>, Fault> {
        summary(message, expected, arena)
    }

    #[inline]
    fn attributes<'a>(point: &Self::Read<'a>) -> Attributes<'a> {
        point.attributes
    }

    #[inline]
    fn check(self, point: &mut SummaryPoint<'_>, _: bool, latest: u64, _: &mut u64) -> Result<(), Reject> {
        check_summary(point, latest)
    }

    #[inline(always)]
    fn staged<'a>(point: Self::Read<'a>, (): ()) -> Self::Staged<'a> {
        point
    }

    #[inline]
    fn stage<'a>(stage: &mut Stage<'a>, target: PointTarget, point: SummaryPoint<'a>, _: &'a [u8]) {
        stage.add_summary(target, point);
    }

    fn room<'s, 'a>(stage: &'s mut Stage<'a>) -> &'s mut Room<'a, SummaryPoint<'a>> {
        &mut stage.summary_room
    }
}

impl<'a> Listed<'a> for SummaryPoint<'a> {
    const KIND: Kind = Kind::Summary;
    /// A summary has none.
    const EXEMPLARS: u32 = 0;

    fn list<'s>(stage: &'s Stage<'a>) -> &'s [(PointTarget, SummaryPoint<'a>)] {
        &stage.summaries
    }

    fn has_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE == 0
    }

    fn exemplars(&self) -> &'a [u8] {
        &[]
    }

    #[inline]
    fn add(&self, open: &mut OpenInterval, to: &mut Applying<'_>, route: u32) -> Result<(), Reject> {
        open.add_summary(to, route, self)
    }
}
