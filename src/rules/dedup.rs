//! Which of several identical senders counts: what a document says of it, and who a resource is in it.
//!
//! Knows attributes of resources; does not know who is elected.
//!
//! An election is known by a word of its entry and by values of `per`. The word is what the entry says, so that one which is
//! called otherwise, or stands elsewhere, has the elections that it had; where an entry of the same name, and of the same keys,
//! says something else (whom it means), it keeps the word that it had (`behind`). No two entries of a plan that differ have one.

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

impl Dedup {
    /// Whom it means, and what it elects.
    fn word(&self) -> Arc<str> {
        format!("{:?}", (&self.resource, &self.by, &self.per)).into()
    }
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
#[derive(Clone, Debug, Default)]
pub struct DedupPlan {
    entries: Vec<Dedup>,
    /// By entry, the word by which its elections are known.
    words: Vec<Arc<str>>,
    /// A rule for each entry that takes the resources that it means.
    means: Arc<RulePlan>,
}

/// What elections are known by makes no difference to what is said.
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
        let words = entries.iter().map(Dedup::word).collect();
        Ok(DedupPlan { entries, words, means })
    }

    /// The same, where it takes the place of another one: elections go on.
    #[must_use]
    pub fn behind(mut self, before: &DedupPlan) -> DedupPlan {
        let find = |is_it: &dyn Fn(&Dedup) -> bool| {
            let found = before.entries.iter().position(is_it)?;
            Some(before.words[found].clone())
        };
        let mut known: Vec<Option<Arc<str>>> =
            self.entries.iter().map(|entry| find(&|old| old.word() == entry.word())).collect();
        for (at, entry) in self.entries.iter().enumerate() {
            let is_it = |old: &Dedup| old.name == entry.name && old.by == entry.by && old.per == entry.per;
            let word = find(&is_it).filter(|word| known[at].is_none() && !known.contains(&Some(word.clone())));
            if word.is_some() {
                known[at] = word;
            }
        }
        for at in 0..self.words.len() {
            let mut word = known[at].clone().unwrap_or_else(|| self.words[at].clone());
            // one that is new says what another one said before, which has its word still
            while known[at].is_none() && known.contains(&Some(word.clone())) {
                word = format!("{word}'").into();
            }
            (self.words[at], known[at]) = (word.clone(), Some(word));
        }
        self
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
        let metric = MetricSeen {
            resource: run,
            scope: &[],
            name: "",
            unit: "",
            kind: Kind::Gauge,
            monotonic: false,
            held: None,
        };
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
        let (replica, of) =
            (state.hash_one(by).max(1), state.hash_one((&*self.plan.words[dedup as usize], values(&entry.per))));
        Some(ReplicaSeen { dedup, replica, of, run: rest })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::PatternKind;
    use super::*;

    /// Of a name, whom it means, and what tells groups apart.
    fn plan(entries: &[(&str, &str, &str)]) -> DedupPlan {
        let of = |(name, text, per): &(&str, &str, &str)| Dedup {
            name: (*name).into(),
            resource: vec![(
                "team".into(),
                vec![Pattern { text: (*text).into(), kind: PatternKind::Glob, is_negated: false }],
            )],
            by: vec!["replica".into()],
            per: vec![(*per).into()],
            failover: Failover::Auto,
        };
        DedupPlan::new(entries.iter().map(of).collect()).expect("sound entries")
    }

    /// Plans one after the other; by entry of the last one, the entry of the first that has its elections.
    fn check(plans: &[&[(&str, &str, &str)]], want: &[Option<usize>]) {
        let first = plan(plans[0]);
        let last = plans[1..].iter().fold(first.clone(), |before, next| plan(next).behind(&before));
        let of = |word: &Arc<str>| first.words.iter().position(|known| known == word);
        assert_eq!(last.words.iter().map(of).collect::<Vec<_>>(), want, "{plans:?}");
        let mut words = last.words.clone();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), last.entries.len(), "each has its own: {plans:?}");
    }

    #[test]
    fn elections_go_on_where_an_entry_says_the_same_or_is_called_the_same() {
        let (a, b) = (("a", "x*", "cluster"), ("b", "y*", "cluster"));
        check(&[&[a, b], &[b, a]], &[Some(1), Some(0)]);
        check(&[&[a, b], &[("b", a.1, a.2), ("a", b.1, b.2)]], &[Some(0), Some(1)]);
        check(&[&[a], &[("c", a.1, a.2)]], &[Some(0)]);
        // another match under the same name; other keys are other elections
        check(&[&[a], &[("a", "z*", a.2)]], &[Some(0)]);
        check(&[&[a], &[("a", a.1, "region")]], &[None]);
        check(&[&[a], &[], &[("a", "z*", a.2)]], &[None]);
        // what one said before, another one says now
        check(&[&[a], &[("a", "z*", a.2)], &[("a", "z*", a.2), ("n", a.1, a.2)]], &[Some(0), None]);
        check(&[&[a, b], &[("b", a.1, a.2), ("c", b.1, b.2), ("a", "z*", a.2)]], &[Some(0), Some(1), None]);
    }
}
