//! Where a walk over a request is, kept between two of its slices.
//!
//! Knows bytes within messages; does not know what is read there.
//!
//! Invariant: a place is made of bytes within the messages that enclose it, so it holds for the same body only, and says
//! nothing of contexts or routes: those may have gone when the walk goes on. What it keeps of them are hints.

use super::encoding::Otlp;
use crate::otlp::request::DataHead;
use crate::resolve::{EnvelopeKey, NONE};

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end.
    All,
    /// A slice is done.
    Part,
}

/// Where a walk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// Levels that are begun: a resource, a scope of it, a metric of that, and its points.
    pub(super) depth: u8,
    /// All heads were checked before.
    pub(super) checked: bool,
    /// Where the resource at hand, or the next one, begins in the body; likewise the scope in it, the metric in that, and
    /// the next point in its data.
    pub(super) resource: usize,
    pub(super) scope: usize,
    pub(super) metric: usize,
    pub(super) point: usize,
    /// What heads of the resource and the scope at hand say, where in them; and what the data say: finding it takes a look
    /// at all that lies under them.
    pub(super) resource_head: Option<HeadPlace>,
    pub(super) scope_head: Option<HeadPlace>,
    pub(super) data: DataHead,
    /// The heads of the resource and of the scope at hand are checked or known.
    pub(super) resource_checked: bool,
    pub(super) scope_checked: bool,
    /// What it takes to write them in their one encoding, if they are not known, is in the account: once, and not in each
    /// slice, whose room it may be.
    pub(super) resource_coded: bool,
    pub(super) scope_coded: bool,
    /// The texts and metadata of the metric at hand are checked.
    pub(super) metric_checked: bool,
    /// Hints: the resource before the one at hand, the scope, the stream, and the last point's route.
    pub(super) last_resource: u32,
    pub(super) last_scope: u32,
    pub(super) last_stream: u32,
    pub(super) last_route: u32,
}

impl Position {
    /// Before everything.
    pub(super) const START: Position = Position {
        depth: 0,
        checked: false,
        resource: 0,
        scope: 0,
        metric: 0,
        point: 0,
        resource_head: None,
        scope_head: None,
        data: DataHead { temporality: 0, monotonic: false, points: 0 },
        resource_checked: false,
        scope_checked: false,
        resource_coded: false,
        scope_coded: false,
        metric_checked: false,
        last_resource: NONE,
        last_scope: NONE,
        last_stream: NONE,
        last_route: NONE,
    };

    /// Before everything, of a body that was walked to its end.
    pub(super) const AGAIN: Position = Position { checked: true, ..Position::START };
}

/// Where a head's parts lie in its message: first byte and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadPlace([(usize, usize); 2]);

impl HeadPlace {
    /// Nothing if they came in parts and were joined elsewhere.
    pub(super) fn of(head: &EnvelopeKey<'_>, message: &[u8]) -> Option<HeadPlace> {
        let place = |part: &[u8]| {
            let from = part.as_ptr().addr().wrapping_sub(message.as_ptr().addr());
            let is_inside = from <= message.len() && part.len() <= message.len() - from;
            (is_inside || part.is_empty()).then_some(if part.is_empty() { (0, 0) } else { (from, part.len()) })
        };
        Some(HeadPlace([place(head.bytes)?, place(head.schema_url)?]))
    }

    pub(super) fn head(self, message: &[u8]) -> EnvelopeKey<'_> {
        let [bytes, schema_url] = self.0.map(|(from, length)| &message[from..from + length]);
        Otlp::envelope(bytes, schema_url, false)
    }
}
