//! Number points: gauges and sums, from bytes to what is staged.
//!
//! Knows how a number is read and what the mode of its stream is; does not know how its route is found (`points`), nor its
//! cell.

use super::check::check_number;
use super::kind::PointKind;
use super::scaled::scaled_exemplars;
use super::stage::{CUMULATIVE, EXEMPLARS, GAUGE, MONOTONIC, NO_VALUE, NUMBER_EXEMPLARS, Room, Stage, StagedNumber};
use crate::model::{Kind, Reject, Temporality};
use crate::otlp::points::{self, Attributes, EXEMPLARS_KEY, NumberPoint};
use crate::resolve::{PointTarget, StreamKey};
use crate::wire::Fault;
use bumpalo::Bump;

/// Numbers of one stream.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// Flags that all its points have.
    mode: u32,
}

impl Numbers {
    /// Of this stream.
    pub(super) const fn of(key: &StreamKey<'_>) -> Numbers {
        let mode = match (key.kind, key.temporality) {
            (Kind::Gauge, _) => GAUGE,
            (_, Temporality::Cumulative) => CUMULATIVE,
            _ => 0,
        };
        Numbers { mode: if key.monotonic { mode | MONOTONIC } else { mode } }
    }
}

impl PointKind for Numbers {
    type Read<'a> = NumberPoint<'a>;
    type Checked = StagedNumber;
    type Staged<'a> = StagedNumber;
    const MESSAGE: &'static str = "NumberDataPoint";

    #[inline(always)]
    fn probe(self, message: &[u8], latest: u64) -> Option<(StagedNumber, &[u8])> {
        let (point, raw) = points::fixed_layout(message)?;
        check_number(&point, self.mode, latest).ok().map(|staged| (staged, raw))
    }

    #[inline(always)]
    fn may_be_attributes(raw: &[u8]) -> bool {
        raw.first() != Some(&EXEMPLARS_KEY)
    }

    #[inline]
    fn read<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<NumberPoint<'a>, Fault> {
        points::number(message, expected, arena)
    }

    #[inline]
    fn attributes<'a>(point: &Self::Read<'a>) -> Attributes<'a> {
        point.attributes
    }

    #[inline]
    fn check(self, point: &mut NumberPoint<'_>, _: bool, latest: u64, _: &mut u64) -> Result<StagedNumber, Reject> {
        let mut staged = check_number(point, self.mode, latest)?;
        // M7 spares nothing but attributes and times
        if point.exemplars && staged.flags & NO_VALUE == 0 {
            staged.flags |= EXEMPLARS;
        }
        Ok(staged)
    }

    #[inline]
    fn staged<'a>(_: Self::Read<'a>, checked: StagedNumber) -> Self::Staged<'a> {
        checked
    }

    #[inline(always)]
    fn expected_bytes(message: &[u8]) -> usize {
        message.len().saturating_sub(points::FIXED)
    }

    fn scaled_message<'a>(point: &StagedNumber, message: &'a [u8], by: f64, arena: &'a Bump) -> &'a [u8] {
        if point.flags & EXEMPLARS == 0 {
            return message;
        }
        scaled_exemplars(message, NUMBER_EXEMPLARS, by, arena)
    }

    #[inline(always)]
    fn stage<'a>(stage: &mut Stage<'a>, target: PointTarget, point: StagedNumber, message: &'a [u8]) {
        stage.add_number(target, point, message);
    }

    fn room<'s, 'a>(stage: &'s mut Stage<'a>) -> &'s mut Room<'a, StagedNumber> {
        &mut stage.number_room
    }
}
