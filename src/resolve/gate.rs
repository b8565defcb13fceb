//! What becomes of what comes in before it is a series: asked when a stream or a route is made, and remembered there.
//!
//! Knows what is asked and what may be answered; does not know rules, nor who answers. Nothing is asked for a point: what was
//! answered stands in the stream, or in a route.
//!
//! ```text
//!   stream ─► of_stream ─► Discard: its points are counted at the metric's head, none is looked up
//!                      ├─► Pass:    as without rules
//!                      └─► Ask ─► route ─► of_route ─► Discard: a route to nowhere (`detours`)
//!                                                  └─► Pass
//! ```
//!
//! A stream whose points are discarded has no group, and a route to nowhere no cell: neither is under the limits of groups and
//! series. Where there is no room to remember them (`detours`), the question is asked again.

use crate::model::{Kind, Reject};

/// A metric under its resource and scope, as senders name it.
#[derive(Clone, Copy, Debug)]
pub struct MetricSeen<'a> {
    /// The attributes of the resource: a normalised run with the key byte 0x0a.
    pub resource: &'a [u8],
    /// The `InstrumentationScope` message: name, version, attributes as a normalised run with the key byte 0x1a.
    pub scope: &'a [u8],
    /// `Metric.name`
    pub name: &'a str,
    /// `Metric.unit`
    pub unit: &'a str,
    /// Data kind.
    pub kind: Kind,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
}

/// What becomes of the points of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamVerdict {
    /// They are dropped by the rule of this number.
    Discard(u32),
    /// Each route has to ask.
    Ask,
    /// They go in as they are.
    Pass,
}

/// What becomes of the points of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RouteVerdict {
    /// They are dropped by the rule of this number.
    Discard(u32),
    /// They go in as they are.
    Pass,
}

/// Who says what becomes of what comes in.
pub trait Doorkeeper: Send {
    /// What becomes of a stream of this metric, as far as that is known without the attributes of its points.
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict;

    /// What becomes of a route: of this metric, with these attributes, a normalised run with the key byte of its kind.
    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict;
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
