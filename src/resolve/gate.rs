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
use crate::model::{Discard, Reject};
use crate::rules::{
    Action, DedupMatcher, DedupPlan, Failover, MetricSeen, ReplicaSeen, RouteVerdict, Rule, RuleMatcher, RulePlan,
    StreamVerdict,
};
use crate::series::elections::{Election, Silence, Standing};
use std::sync::Arc;

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

/// What of a plan concerns what comes in.
#[derive(Clone, Debug, Default)]
pub struct GatePlan {
    /// Which of them drop and relabel, and which take what others would.
    pub rules: Arc<RulePlan>,
    /// Which of several identical senders counts.
    pub dedup: Arc<DedupPlan>,
    /// How long an interval is, nanoseconds.
    pub interval_ns: u64,
}

/// What differs between two plans, for what comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateChange {
    /// What becomes of streams.
    pub streams: bool,
    /// Which replicas there are.
    pub resources: bool,
}

impl GateChange {
    /// Whether anything differs.
    pub const fn is_any(self) -> bool {
        self.streams || self.resources
    }
}

impl GatePlan {
    /// Who is asked; nobody where all passes.
    pub(crate) fn doorkeeper(&self) -> Option<Box<dyn Doorkeeper>> {
        if self.dedup.is_empty() && !self.rules.changes_streams() {
            return None;
        }
        let (rules, dedup) = (RuleMatcher::new(self.rules.clone()), DedupMatcher::new(self.dedup.clone()));
        Some(Box::new(RulesAndDedup { rules, dedup, interval_ns: self.interval_ns }))
    }

    /// The same, where it takes the place of another one: what was elected goes on.
    #[must_use]
    pub fn behind(mut self, before: &GatePlan) -> GatePlan {
        if !self.dedup.is_empty() {
            self.dedup = Arc::new((*self.dedup).clone().behind(&before.dedup));
        }
        self
    }

    /// Numbers by which points are counted: those of the entries of `dedup`, and behind them those of the rules.
    pub fn numbers(&self) -> usize {
        self.dedup.entries().len() + self.rules.rules().len()
    }

    /// By number, what puts points aside: why, and its name.
    pub fn named(&self) -> impl Iterator<Item = (usize, Discard, &Arc<str>)> {
        let entries = self.dedup.entries().iter().enumerate();
        let entries = entries.map(|(number, entry)| (number, Discard::Dedup, &entry.name));
        let behind = self.dedup.entries().len();
        let rules = self.rules.rules().iter().enumerate().filter(|(_, rule)| rule.action == Action::Drop);
        rules.map(move |(number, rule)| (behind + number, Discard::Rule, &rule.name)).chain(entries)
    }

    /// What differs from the plan `before` for what comes in: rules behind the last one that drops or relabels make no
    /// difference there.
    pub fn change_from(&self, before: &GatePlan) -> GateChange {
        let resources =
            *self.dedup != *before.dedup || self.interval_ns != before.interval_ns && !self.dedup.is_empty();
        // the numbers of rules come behind those of entries
        let is_moved = self.dedup.entries().len() != before.dedup.entries().len();
        let asked = |plan: &GatePlan| -> usize {
            let is_asked = |rule: &Rule| matches!(rule.action, Action::Drop | Action::Relabel(_));
            plan.rules.rules().iter().rposition(is_asked).map_or(0, |last| last + 1)
        };
        let (now, then) = (asked(self), asked(before));
        let streams = self.rules.rules()[..now] != before.rules.rules()[..then] || is_moved && now > 0;
        GateChange { streams, resources }
    }
}

/// A resource that is one of several replicas.
#[derive(Debug)]
pub(super) struct Replica {
    /// Who of them counts.
    pub election: Arc<Election>,
    /// Which one it is.
    pub hash: u64,
    pub silence: Silence,
    /// By which its points are counted while they do not count.
    pub number: u32,
    /// A stream that holds the resource while it has no other.
    pub placeholder: u32,
}

/// What an election is asked: of a replica's hash, in an interval, after how long a silence another one takes its place.
pub(super) type AskElection = fn(&Election, u64, u32, Silence) -> Standing;

/// Rules, and which of several identical senders counts.
struct RulesAndDedup {
    rules: RuleMatcher,
    dedup: DedupMatcher,
    interval_ns: u64,
}

impl RulesAndDedup {
    /// The number by which points that the rule of this number drops are counted.
    fn number_of(&self, rule: u32) -> u32 {
        self.dedup.plan().entries().len() as u32 + rule
    }
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
        let number = seen.dedup;
        Some(ReplicaOf { seen, silence, number })
    }

    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        match self.rules.of_stream(metric) {
            StreamVerdict::Discard(rule) => StreamVerdict::Discard(self.number_of(rule)),
            passes => passes,
        }
    }

    fn of_route(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        let behind = self.number_of(0);
        match self.rules.of_route(metric, attributes) {
            RouteVerdict::Discard(rule) => RouteVerdict::Discard(behind + rule),
            passes => passes,
        }
    }

    fn take_skipped(&mut self) -> u64 {
        self.rules.take_skipped()
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
