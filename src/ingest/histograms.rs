//! Points of histograms, explicit and exponential: from bytes to what is staged, and from there to a cell.
//!
//! Knows how both are read and added; does not know what makes one valid (`check`), how its route is found (`points`), nor
//! the words of a bank (`cells`).

use super::check::{check_exponential, check_histogram};
use super::kind::PointKind;
use super::listed::Listed;
use super::open::{Applying, OpenInterval};
use super::stage::{Room, Stage};
use crate::model::{Kind, Reject};
use crate::otlp::points::{self, Attributes, ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};
use crate::resolve::PointTarget;
use crate::wire::Fault;
use bumpalo::Bump;

/// Explicit histograms.
#[derive(Clone, Copy)]
pub(super) struct ExplicitHistograms;

impl PointKind for ExplicitHistograms {
    type Read<'a> = HistogramPoint<'a>;
    type Checked = ();
    type Staged<'a> = HistogramPoint<'a>;
    const MESSAGE: &'static str = "HistogramDataPoint";
    const HAS_BOUNDS: bool = true;

    #[inline]
    fn read<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<HistogramPoint<'a>, Fault> {
        points::histogram(message, expected, arena)
    }

    #[inline]
    fn attributes<'a>(point: &Self::Read<'a>) -> Attributes<'a> {
        point.attributes
    }

    #[inline]
    fn bounds<'a>(point: &Self::Read<'a>) -> &'a [u8] {
        point.bounds
    }

    #[inline]
    fn check(
        self,
        point: &mut HistogramPoint<'_>,
        known: bool,
        latest: u64,
        sums_dropped: &mut u64,
    ) -> Result<(), Reject> {
        check_histogram(point, known, latest, sums_dropped)
    }

    #[inline(always)]
    fn staged<'a>(point: Self::Read<'a>, (): ()) -> Self::Staged<'a> {
        point
    }

    #[inline]
    fn stage<'a>(stage: &mut Stage<'a>, target: PointTarget, point: HistogramPoint<'a>, _: &'a [u8]) {
        stage.add_histogram(target, point);
    }

    fn room<'s, 'a>(stage: &'s mut Stage<'a>) -> &'s mut Room<'a, HistogramPoint<'a>> {
        &mut stage.histogram_room
    }
}

impl<'a> Listed<'a> for HistogramPoint<'a> {
    const KIND: Kind = Kind::Histogram;
    const EXEMPLARS: u32 = 8;

    fn list<'s>(stage: &'s Stage<'a>) -> &'s [(PointTarget, HistogramPoint<'a>)] {
        &stage.histograms
    }

    fn has_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE == 0
    }

    fn exemplars(&self) -> &'a [u8] {
        self.exemplars
    }

    fn may_mean_one_with_bounds(&self) -> bool {
        !self.has_value() && self.bounds.is_empty()
    }

    #[inline]
    fn add(&self, open: &mut OpenInterval, to: &mut Applying<'_>, route: u32) -> Result<(), Reject> {
        open.add_histogram(to, route, self)
    }
}

/// Exponential histograms.
#[derive(Clone, Copy)]
pub(super) struct ExponentialHistograms;

impl PointKind for ExponentialHistograms {
    type Read<'a> = ExponentialPoint<'a>;
    type Checked = ();
    type Staged<'a> = ExponentialPoint<'a>;
    const MESSAGE: &'static str = "ExponentialHistogramDataPoint";

    #[inline]
    fn read<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<ExponentialPoint<'a>, Fault> {
        points::exponential(message, expected, arena)
    }

    #[inline]
    fn attributes<'a>(point: &Self::Read<'a>) -> Attributes<'a> {
        point.attributes
    }

    #[inline]
    fn check(
        self,
        point: &mut ExponentialPoint<'_>,
        _: bool,
        latest: u64,
        sums_dropped: &mut u64,
    ) -> Result<(), Reject> {
        check_exponential(point, latest, sums_dropped)
    }

    #[inline(always)]
    fn staged<'a>(point: Self::Read<'a>, (): ()) -> Self::Staged<'a> {
        point
    }

    #[inline]
    fn stage<'a>(stage: &mut Stage<'a>, target: PointTarget, point: ExponentialPoint<'a>, _: &'a [u8]) {
        stage.add_exponential(target, point);
    }

    fn room<'s, 'a>(stage: &'s mut Stage<'a>) -> &'s mut Room<'a, ExponentialPoint<'a>> {
        &mut stage.exponential_room
    }
}

impl<'a> Listed<'a> for ExponentialPoint<'a> {
    const KIND: Kind = Kind::ExponentialHistogram;
    const EXEMPLARS: u32 = 11;

    fn list<'s>(stage: &'s Stage<'a>) -> &'s [(PointTarget, ExponentialPoint<'a>)] {
        &stage.exponentials
    }

    fn has_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE == 0
    }

    fn exemplars(&self) -> &'a [u8] {
        self.exemplars
    }

    #[inline]
    fn add(&self, open: &mut OpenInterval, to: &mut Applying<'_>, route: u32) -> Result<(), Reject> {
        open.add_exponential(to, route, self)
    }
}
