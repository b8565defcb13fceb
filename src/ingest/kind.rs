//! What the walk asks of a kind of points: how one is read, checked, looked up and staged.
//!
//! Knows what kinds have in common; does not know one.

use super::scaled::Scaled;
use super::stage::{Room, Stage};
use crate::model::Reject;
use crate::otlp::points::Attributes;
use crate::resolve::{EXPECTED_BYTES, PointTarget};
use crate::wire::Fault;
use bumpalo::Bump;

/// A kind of points.
pub(super) trait PointKind: Copy + 'static {
    /// A point as it is read.
    type Read<'a>;
    /// What a check finds that is staged beside, or in place of, what was read.
    type Checked;
    /// A point as it is staged.
    type Staged<'a>: Copy + Scaled<'a>;
    /// Its message.
    const MESSAGE: &'static str;
    /// Points of one metric may be of several streams, by their bounds.
    const HAS_BOUNDS: bool = false;

    /// A point whose layout is fixed, and what would be its attributes if that is known; nothing if it must be walked.
    #[inline(always)]
    fn probe<'a>(self, _message: &'a [u8], _latest: u64) -> Option<(Self::Staged<'a>, &'a [u8])> {
        None
    }

    /// Whether what `probe` took for attributes may be looked up as such before it is walked.
    #[inline(always)]
    fn may_be_attributes(_raw: &[u8]) -> bool {
        true
    }

    /// Walks a point; `expected` are the attribute bytes that probably come.
    fn read<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<Self::Read<'a>, Fault>;

    /// Its attributes.
    fn attributes<'a>(point: &Self::Read<'a>) -> Attributes<'a>;

    /// Its bounds, as they are packed.
    #[inline(always)]
    fn bounds<'a>(_point: &Self::Read<'a>) -> &'a [u8] {
        &[]
    }

    /// Whether a point is valid; `known` says that its stream is. A sum that cannot be kept is dropped, and counted.
    fn check(
        self,
        point: &mut Self::Read<'_>,
        known: bool,
        latest: u64,
        sums_dropped: &mut u64,
    ) -> Result<Self::Checked, Reject>;

    /// A point that was checked, as it is staged.
    fn staged<'a>(point: Self::Read<'a>, checked: Self::Checked) -> Self::Staged<'a>;

    /// About how many bytes of attributes a predicted point has.
    #[inline(always)]
    fn expected_bytes(_message: &[u8]) -> usize {
        EXPECTED_BYTES
    }

    /// The message that is staged with a point whose values were multiplied.
    #[inline(always)]
    fn scaled_message<'a>(_point: &Self::Staged<'a>, message: &'a [u8], _by: f64, _arena: &'a Bump) -> &'a [u8] {
        message
    }

    /// Stages a point that goes to `target`.
    fn stage<'a>(stage: &mut Stage<'a>, target: PointTarget, point: Self::Staged<'a>, message: &'a [u8]);

    /// Where the room for look-ups is kept from one metric to the next.
    fn room<'s, 'a>(stage: &'s mut Stage<'a>) -> &'s mut Room<'a, Self::Staged<'a>>;
}
