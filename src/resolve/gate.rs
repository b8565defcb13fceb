//! What becomes of what comes in before it is a series: asked when a stream or a route is made, and remembered there.
//!
//! Knows what is asked and what may be answered; does not know what rules say. Nothing is asked for a point: what was
//! answered stands in the stream, or in a route.
//!
//! ```text
//!   resource ─► of_resource ─► one of several replicas: each of its blocks asks the election whether it counts
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

use crate::limits::FAILOVER_FIRST_NS;
use crate::model::Reject;
use crate::rules::{DedupMatcher, Failover, MetricSeen, ReplicaSeen, RouteVerdict, RuleMatcher, StreamVerdict};
use crate::series::elections::Silence;

/// Who says what becomes of what comes in.
pub trait Doorkeeper: Send {
    /// Who a resource is, if it is one of several replicas: asked when it is first seen, of its attributes as a normalised run.
    fn of_resource(&mut self, _run: &[u8], _state: &ahash::RandomState) -> Option<ReplicaOf> {
        None
    }

    /// What becomes of a stream of this metric, as far as that is known without the attributes of its points.
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict;

    /// What becomes of a route: of this metric, with these attributes, a normalised run with the key byte of its kind.
    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_>;

    /// Changes that were not made because a series has such an attribute already, since this was last asked.
    fn take_skipped(&mut self) -> u64 {
        0
    }
}

/// A resource that is one of several replicas.
#[derive(Clone, Debug)]
pub struct ReplicaOf {
    /// Who it is, and its attributes without what says so.
    pub seen: ReplicaSeen,
    /// How long the one that counts may be silent before it takes its place.
    pub silence: Silence,
    /// By which its points are counted while they do not count.
    pub number: u32,
}

/// Rules, and which of several identical senders counts.
pub(crate) struct RulesAndDedup {
    pub(crate) rules: RuleMatcher,
    pub(crate) dedup: DedupMatcher,
    pub(crate) interval_ns: u64,
}

impl Doorkeeper for RulesAndDedup {
    fn of_resource(&mut self, run: &[u8], state: &ahash::RandomState) -> Option<ReplicaOf> {
        let seen = self.dedup.of_resource(run, state)?;
        let intervals = |ns: u64| u32::try_from(ns / self.interval_ns.max(1)).unwrap_or(u32::MAX);
        let silence = match self.dedup.plan().entries()[seen.dedup as usize].failover {
            // as long as who reports every minute, before more is known
            Failover::Auto => Silence::Auto { first: intervals(FAILOVER_FIRST_NS) },
            Failover::After(ns) => Silence::After(intervals(ns)),
        };
        let number = self.rules.plan().rules().len() as u32 + seen.dedup;
        Some(ReplicaOf { seen, silence, number })
    }

    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        self.rules.of_stream(metric)
    }

    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        self.rules.of_route(metric, attributes)
    }

    fn take_skipped(&mut self) -> u64 {
        self.rules.take_skipped()
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
    /// It is of a replica that does not count at the time; it is counted by this number.
    Standby(u32),
}

impl From<Reject> for Refused {
    fn from(reason: Reject) -> Refused {
        Refused::Rejected(reason)
    }
}
