//! Which of several identical senders counts: what a document says of it, and who a resource is in it.
//!
//! Knows attributes of resources; does not know who is elected.

use super::fault::RuleFault;
use super::identity::MetricSeen;
use super::matcher::{RuleMatcher, StreamVerdict};
use super::plan::RulePlan;
use super::rule::{Action, Pattern, Rule, Selector};
use crate::identity::attributes::Records;
use crate::model::Kind;
use crate::wire::put_bytes;
use std::sync::Arc;

/// When a standby takes the place of a silent replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// After two and a half times the replica's own reporting period.
    Auto,
    /// After so long, nanoseconds.
    After(u64),
}

/// One entry of `dedup`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dedup {
    /// Unique among them.
    pub name: Arc<str>,
    /// Attributes that a resource has to have.
    pub resource: Vec<(Arc<str>, Vec<Pattern>)>,
    /// Attributes of the resource that tell replicas apart; they are no part of who a series is.
    pub by: Vec<Arc<str>>,
    /// One replica is elected for each value of these.
    pub per: Vec<Arc<str>>,
    /// When another one is.
    pub failover: Failover,
}

/// A resource that is one of several replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSeen {
    /// The number of the entry.
    pub dedup: u32,
    /// A hash of who it is, not 0.
    pub replica: u64,
    /// A hash of what it is a replica of.
    pub of: u64,
    /// The attributes of the resource without what tells replicas apart.
    pub run: Vec<u8>,
}

/// All entries, compiled.
#[derive(Debug, Default)]
pub struct DedupPlan {
    entries: Vec<Dedup>,
    /// A rule for each entry that takes the resources that it means.
    means: Arc<RulePlan>,
}

impl PartialEq for DedupPlan {
    fn eq(&self, other: &DedupPlan) -> bool {
        self.entries == other.entries
    }
}

impl DedupPlan {
    /// Compiles them.
    ///
    /// # Errors
    /// All that is wrong with their patterns; the number of the rule is that of the entry.
    pub fn new(entries: Vec<Dedup>) -> Result<DedupPlan, Vec<RuleFault>> {
        let rule = |entry: &Dedup| Rule {
            name: entry.name.clone(),
            was: None,
            selector: Selector { resource: entry.resource.clone(), ..Selector::default() },
            except: None,
            action: Action::Drop,
            goes_on: false,
        };
        let means = Arc::new(RulePlan::new(entries.iter().map(rule).collect())?);
        Ok(DedupPlan { entries, means })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them.
    pub fn entries(&self) -> &[Dedup] {
        &self.entries
    }
}

/// One thread's way to ask.
#[derive(Debug)]
pub struct DedupMatcher {
    plan: Arc<DedupPlan>,
    means: RuleMatcher,
}

impl DedupMatcher {
    /// Of this plan.
    pub fn new(plan: Arc<DedupPlan>) -> DedupMatcher {
        let means = RuleMatcher::new(plan.means.clone());
        DedupMatcher { plan, means }
    }

    /// The plan.
    pub fn plan(&self) -> &DedupPlan {
        &self.plan
    }

    /// Who a resource is among replicas, of its attributes as a normalised run; nothing if no entry means it, or it has none
    /// of what tells replicas apart. Hashes are keyed by `state`.
    pub fn of_resource(&mut self, run: &[u8], state: &ahash::RandomState) -> Option<ReplicaSeen> {
        let metric = MetricSeen { resource: run, scope: &[], name: "", unit: "", kind: Kind::Gauge, monotonic: false };
        let StreamVerdict::Discard(dedup) = self.means.of_stream(&metric) else { return None };
        let entry = &self.plan.entries[dedup as usize];
        let values = |keys: &[Arc<str>]| -> Vec<Option<&[u8]>> {
            let value = |key: &Arc<str>| Records::new(run).find(|record| record.key() == key.as_bytes());
            keys.iter().map(|key| value(key).map(|record| record.value())).collect()
        };
        let by = values(&entry.by);
        if by.iter().all(Option::is_none) {
            return None;
        }
        let mut rest = Vec::with_capacity(run.len());
        for record in Records::new(run) {
            if !entry.by.iter().any(|key| key.as_bytes() == record.key()) {
                put_bytes(&mut rest, 0x0a, record.bytes);
            }
        }
        let (replica, of) = (state.hash_one(by).max(1), state.hash_one((&*entry.name, values(&entry.per))));
        Some(ReplicaSeen { dedup, replica, of, run: rest })
    }
}
