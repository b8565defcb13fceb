//! Groups: resource, scope and metric, what a series has in common with its siblings, and who feeds it.
//!
//! Knows what a group says, and how many streams feed it; does not know its series, nor what tells it from others
//! (`identity`).

use super::elections::Election;
use crate::identity::{GroupKey, Parts, Set};
use crate::model::{Kind, TypeHints};
use crate::sync::once::Once;
use crate::sync::published::Published;
use crate::sync::users::Users;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

/// How a group is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Under the limits of groups and memory.
    Limited,
    /// An overflow group of a metric that some group under the limits has too: outside them, so many at once.
    Named,
    /// An overflow group for everything else: outside all limits, and one a kind.
    Last,
}

/// Explicit histograms that differ in their bounds alone.
#[derive(Debug)]
pub struct Family {
    /// Hash of the key without bounds, keyed per process. It alone tells families apart: who finds one asks its group.
    pub hash: u64,
    /// The group with bounds that a stream fed last.
    pub newest: Published<Group>,
}

/// A group, shared by all its series.
#[derive(Debug)]
pub struct Group {
    /// Identity.
    pub key: GroupKey,
    /// A small number, unique while the process runs.
    pub id: u32,
    /// `ResourceMetrics.schema_url`
    pub resource_schema_url: Arc<str>,
    /// `ScopeMetrics.schema_url`
    pub scope_schema_url: Arc<str>,
    /// `Metric.name`
    pub name: Arc<str>,
    /// `Metric.unit`
    pub unit: Arc<str>,
    /// `Metric.description`: the longest seen (M6), once there was one.
    description: Once<Published<Box<str>>>,
    /// Its bytes, as they are counted.
    described: AtomicU32,
    /// What senders said of the type: bits of `TypeHints`.
    hints: AtomicU8,
    /// Data kind.
    pub kind: Kind,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Bounds of an explicit histogram.
    pub bounds: Arc<[f64]>,
    /// Its running totals leave, whatever view is asked for: a rule says so.
    pub is_total: bool,
    /// How it was let in.
    pub entry: Entry,
    /// Who of several senders of the same counts, if there are several.
    election: Once<Arc<Election>>,
    /// The slot of the peer that made it.
    pub maker: u16,
    /// Streams, over all cores, that feed it; ended once nobody does and it has left the index.
    users: Users,
}

impl Group {
    /// A group of nothing, which freed places hold instead of theirs.
    pub fn nobody(state: &ahash::RandomState) -> Arc<Group> {
        let nothing = Set::new(&[], &[], state);
        let parts = Parts {
            resource: &nothing,
            resource_schema_url: "",
            scope: &nothing,
            scope_schema_url: "",
            name: "",
            unit: "",
            description: "",
            hints: TypeHints::NONE,
            kind: Kind::Gauge,
            monotonic: false,
            bounds: &[],
        };
        Arc::new(Group::new(parts.key(state), 0, (Entry::Last, 0), &parts))
    }

    /// A group of these parts.
    pub fn new(key: GroupKey, id: u32, entered: (Entry, u16), parts: &Parts<'_>) -> Group {
        Group::named(key, id, entered, parts, (text(parts.name), text(parts.unit)))
    }

    /// The same with the texts of its name and unit, which other groups may have, too.
    pub(super) fn named(
        key: GroupKey,
        id: u32,
        (entry, maker): (Entry, u16),
        parts: &Parts<'_>,
        (name, unit): (Arc<str>, Arc<str>),
    ) -> Group {
        let group = Group {
            key,
            id,
            resource_schema_url: text(parts.resource_schema_url),
            scope_schema_url: text(parts.scope_schema_url),
            name,
            unit,
            description: Once::new(),
            described: AtomicU32::new(0),
            hints: AtomicU8::new(parts.hints.bits()),
            kind: parts.kind,
            monotonic: parts.monotonic,
            bounds: if parts.bounds.is_empty() { Arc::default() } else { parts.bounds.into() },
            is_total: false,
            entry,
            election: Once::new(),
            maker,
            users: Users::new(0),
        };
        group.describe(parts.description);
        group
    }

    /// The same, of which running totals leave whatever view is asked for.
    pub fn total(self) -> Group {
        Group { is_total: true, ..self }
    }

    /// The `Resource` message: attributes as a run.
    #[inline]
    pub fn resource(&self) -> &Arc<[u8]> {
        &self.key.resource.run
    }

    /// The `InstrumentationScope` message.
    #[inline]
    pub fn scope(&self) -> &Arc<[u8]> {
        &self.key.scope.run
    }

    /// It is sent by several, of whom this says who counts.
    pub fn elects(&self, election: &Arc<Election>) {
        // whoever said so before is not contradicted
        let _ = self.election.set(Box::new(election.clone()));
    }

    /// The interval from which on another sender counts than before; 0 if there is none.
    #[inline]
    pub fn elected_since(&self) -> u32 {
        self.election.get().map_or(0, |election| election.since())
    }

    /// Keeps the longest description (M6); by how many bytes it grew.
    pub fn describe(&self, description: &str) -> usize {
        // ORDERING: a length, publishes nothing
        let before = self.described.fetch_max(description.len() as u32, Relaxed) as usize;
        if before < description.len() {
            let next = || Arc::new(Box::from(description));
            let is_first =
                self.description.get().is_none() && self.description.set(Box::new(Published::new(next()))).is_ok();
            if let Some(slot) = self.description.get().filter(|_| !is_first) {
                slot.store(next());
            }
        }
        description.len().saturating_sub(before)
    }

    /// `Metric.description`, if anybody gave one.
    pub fn description(&self) -> Option<Arc<Box<str>>> {
        self.description.get().map(Published::load)
    }

    /// Bytes of the description.
    pub fn described(&self) -> usize {
        // ORDERING: as in `describe`
        self.described.load(Relaxed) as usize
    }

    /// What senders said of its type.
    pub fn hints(&self) -> TypeHints {
        // ORDERING: a word of its own, publishes nothing
        TypeHints::from_bits(self.hints.load(Relaxed))
    }

    /// A sender says this of its type: once said, it stays.
    pub fn hint(&self, hints: TypeHints) {
        if !self.hints().say(hints) {
            // ORDERING: as in `hints`
            self.hints.fetch_or(hints.bits(), Relaxed);
        }
    }

    /// Counts a stream that feeds it; `false` when it is gone and must be looked up again.
    pub fn enter(&self) -> bool {
        self.users.enter()
    }

    /// A stream that fed it is gone; `true` when it was the last: the caller takes the group out of the index. No
    /// series of it can be alive then: a live cell has a route, a route has a stream.
    pub fn leave(&self) -> bool {
        self.users.leave()
    }

    /// Of an explicit histogram with bounds, the hash of its family.
    pub fn family(&self, state: &ahash::RandomState) -> Option<u64> {
        let is_one = self.kind == Kind::Histogram && !self.bounds.is_empty();
        is_one.then(|| self.key.hash_without(self.bounds.len(), state))
    }

    /// Whether it is this metric with bounds, where `key` is one of a histogram without.
    pub fn is_with_bounds(&self, key: &GroupKey) -> bool {
        self.kind == Kind::Histogram && self.key.is_with_bounds(self.bounds.len(), key)
    }

    /// Words of the owner's block of each of its series.
    pub fn block_words(&self) -> usize {
        crate::cells::block::words(self.kind, self.buckets())
    }

    /// Buckets of an explicit histogram.
    pub fn buckets(&self) -> u32 {
        if self.kind == Kind::Histogram { self.bounds.len() as u32 + 1 } else { 0 }
    }
}

/// A text to share; the empty one takes nothing.
pub(super) fn text(text: &str) -> Arc<str> {
    if text.is_empty() { Arc::default() } else { text.into() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    /// The longest counts, whoever gave it first, and one that nobody gave takes nothing.
    #[test]
    fn of_several_descriptions_the_longest_stays() {
        let group = crate::series::value::lone().group;
        assert_eq!((group.description(), group.described()), (None, 0));
        assert_eq!(group.describe("some words"), 10);
        assert_eq!((group.describe("few"), group.describe("words of more")), (0, 3));
        assert_eq!((&**group.description().expect("given"), group.described()), ("words of more", 13));
    }

    #[test]
    fn a_group_that_is_gone_takes_nobody() {
        let group = crate::series::value::lone().group;
        assert!(group.enter() && group.enter());
        assert!(!group.leave() && group.leave());
        assert!(!group.enter() && !group.enter());
    }
}
