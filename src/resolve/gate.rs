//! What becomes of what comes in before it is a series: asked when a stream or a route is made, and remembered there.
//!
//! Knows what is asked and what may be answered; does not know what rules say. Nothing is asked for a point: what was
//! answered stands in the stream, or in a route.
//!
//! ```text
//!   stream ─► of_stream ─► Discard: its points are counted at the metric's head, none is looked up
//!                      ├─► Pass:    as without rules
//!                      └─► Ask ─► route ─► of_route ─► Discard: a route to nowhere (`detours`)
//!                                                  ├─► Relabelled: a stream that was made up holds the group, and its route
//!                                                  │               leads to the cell; this one leads there, too
//!                                                  └─► Pass
//! ```
//!
//! A stream whose points are discarded has no group, and a route to nowhere no cell: neither is under the limits of groups and
//! series. Where there is no room to remember them (`detours`), the question is asked again.

use crate::model::Reject;
use crate::rules::{MetricSeen, RouteVerdict, RuleMatcher, StreamVerdict};

/// Who says what becomes of what comes in.
pub trait Doorkeeper: Send {
    /// What becomes of a stream of this metric, as far as that is known without the attributes of its points.
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict;

    /// What becomes of a route: of this metric, with these attributes, a normalised run with the key byte of its kind.
    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_>;

    /// Changes that were not made because a series has such an attribute already, since this was last asked.
    fn take_skipped(&mut self) -> u64 {
        0
    }
}

impl Doorkeeper for RuleMatcher {
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        RuleMatcher::of_stream(self, metric)
    }

    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        RuleMatcher::of_route(self, metric, attributes)
    }

    fn take_skipped(&mut self) -> u64 {
        RuleMatcher::take_skipped(self)
    }
}

/// Why a point is not added to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is rejected.
    Rejected(Reject),
    /// The rule of this number drops it.
    Discarded(u32),
}

impl From<Reject> for Refused {
    fn from(reason: Reject) -> Refused {
        Refused::Rejected(reason)
    }
}
