//! Groups: resource, scope and metric, what a series has in common with its siblings, and who feeds it.
//!
//! Knows what a group says, and how many streams feed it; does not know its series, nor what tells it from others
//! (`identity`).

use super::elections::Election;
use crate::identity::{MetricName, Parts, Set, same_bounds};
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

/// Rules ask for the extremes of some of its series.
const ASKED: u8 = 1;
/// Of the series asked about so far, rules do of none.
const NOT_ASKED: u8 = 2;

/// Explicit histograms that differ in their bounds alone.
#[derive(Debug)]
pub struct Family {
    /// Hash of the key without bounds, keyed per process. It alone tells families apart: who finds one asks its group.
    pub hash: u64,
    /// The group with bounds that a stream fed last.
    pub newest: Published<Group>,
}

/// `Metric.description`.
#[derive(Debug)]
struct Description {
    text: Published<Box<str>>,
    /// Its bytes, as they are counted.
    bytes: AtomicU32,
}

/// A group, shared by all its series.
#[derive(Debug)]
pub struct Group {
    /// Hash of all that identifies it, keyed per process (`Parts::hash`).
    pub hash: u64,
    /// Attributes and schema URL of its resource.
    pub resource_set: Arc<Set>,
    /// Name, version, attributes and schema URL of its scope.
    pub scope_set: Arc<Set>,
    /// Its name and unit, which groups of other resources share.
    pub metric: Arc<MetricName>,
    /// A small number, unique while the process runs.
    pub id: u32,
    /// `Metric.description`: the longest seen (M6), once there was one.
    description: Once<Description>,
    /// What senders said of the type: bits of `TypeHints`.
    hints: AtomicU8,
    /// Whether rules ask for the extremes of its series inside an interval: `ASKED`, `NOT_ASKED`, or nobody knows yet.
    extremes: AtomicU8,
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
    /// Streams, over all cores, that feed it, and its series; ended once there are none and it has left the index.
    users: Users,
}

impl Group {
    /// A group of nothing, which freed places hold instead of theirs.
    pub fn nobody(state: &ahash::RandomState) -> Arc<Group> {
        let nothing = Set::new(&[], &[], "", state);
        let parts = Parts {
            resource: &nothing,
            scope: &nothing,
            name: "",
            unit: "",
            description: "",
            hints: TypeHints::NONE,
            kind: Kind::Gauge,
            monotonic: false,
            bounds: &[],
        };
        Arc::new(Group::new(parts.hash(state), 0, (Entry::Last, 0), &parts))
    }

    /// A group of these parts, of which this is the hash.
    pub fn new(hash: u64, id: u32, entered: (Entry, u16), parts: &Parts<'_>) -> Group {
        Group::named(hash, id, entered, parts, MetricName::new(parts.name, parts.unit))
    }

    /// The same with its name and unit, which other groups may have, too.
    pub(super) fn named(
        hash: u64,
        id: u32,
        (entry, maker): (Entry, u16),
        parts: &Parts<'_>,
        metric: Arc<MetricName>,
    ) -> Group {
        let group = Group {
            hash,
            resource_set: parts.resource.clone(),
            scope_set: parts.scope.clone(),
            metric,
            id,
            description: Once::new(),
            hints: AtomicU8::new(parts.hints.bits()),
            extremes: AtomicU8::new(0),
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

    /// Whether these parts are its own.
    pub fn is(&self, parts: &Parts<'_>) -> bool {
        self.is_but_for_bounds(parts) && same_bounds(&self.bounds, parts.bounds)
    }

    fn is_but_for_bounds(&self, parts: &Parts<'_>) -> bool {
        self.kind == parts.kind
            && self.monotonic == parts.monotonic
            && self.metric.is(parts.name.as_bytes(), parts.unit.as_bytes())
            && self.resource_set == *parts.resource
            && self.scope_set == *parts.scope
    }

    /// Whether both have one identity: a metric of an output of a rule may be called as one that came in.
    pub fn is_like(&self, other: &Group) -> bool {
        std::ptr::eq(self, other) || self.is(&Parts { bounds: &other.bounds, ..other.parts_without_bounds() })
    }

    /// What identifies it, but for bounds.
    pub fn parts_without_bounds(&self) -> Parts<'_> {
        Parts {
            resource: &self.resource_set,
            scope: &self.scope_set,
            name: self.name(),
            unit: self.unit(),
            description: "",
            hints: TypeHints::NONE,
            kind: self.kind,
            monotonic: self.monotonic,
            bounds: &[],
        }
    }

    /// The same, of which running totals leave whatever view is asked for.
    pub fn total(self) -> Group {
        Group { is_total: true, ..self }
    }

    /// The `Resource` message: attributes as a run.
    #[inline]
    pub fn resource(&self) -> &Arc<[u8]> {
        &self.resource_set.run
    }

    /// The `InstrumentationScope` message.
    #[inline]
    pub fn scope(&self) -> &Arc<[u8]> {
        &self.scope_set.run
    }

    /// `Metric.name`
    #[inline]
    pub fn name(&self) -> &Arc<str> {
        &self.metric.name
    }

    /// `Metric.unit`
    #[inline]
    pub fn unit(&self) -> &Arc<str> {
        &self.metric.unit
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
        if description.is_empty() {
            return 0;
        }
        let (next, bytes) = (|| Arc::new(Box::from(description)), description.len() as u32);
        let Some(slot) = self.description.get() else {
            let first = Box::new(Description { text: Published::new(next()), bytes: AtomicU32::new(bytes) });
            return match self.description.set(first) {
                Ok(()) => description.len(),
                // another one was first, and the longer one stays
                Err(_) => self.describe(description),
            };
        };
        // ORDERING: a length, publishes nothing
        let before = slot.bytes.fetch_max(bytes, Relaxed);
        if before < bytes {
            slot.text.store(next());
        }
        bytes.saturating_sub(before) as usize
    }

    /// `Metric.description`, if anybody gave one.
    pub fn description(&self) -> Option<Arc<Box<str>>> {
        self.description.get().map(|description| description.text.load())
    }

    /// Bytes of the description.
    pub fn described(&self) -> usize {
        // ORDERING: as in `describe`
        self.description.get().map_or(0, |description| description.bytes.load(Relaxed) as usize)
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

    /// It may be that rules ask for the extremes of its series inside an interval. Any thread: a hint.
    pub fn may_ask_extremes(&self) -> bool {
        // ORDERING: a hint; owners of several series say the same, or one of them asks (`Registry::ask_extremes`)
        self.extremes.load(Relaxed) != NOT_ASKED
    }

    /// Rules ask for them of one of its series, or not. That they do stays.
    pub fn ask_extremes(&self, asks: bool) {
        // ORDERING: as above
        match asks {
            true => self.extremes.store(ASKED, Relaxed),
            false => drop(self.extremes.compare_exchange(0, NOT_ASKED, Relaxed, Relaxed)),
        }
    }

    /// Counts a stream that feeds it, or a series of it; `false` when it is gone and must be looked up again.
    pub fn enter(&self) -> bool {
        self.users.enter()
    }

    /// A stream that fed it is gone, or a series of it; `true` when it was the last: the caller takes the group out of the index.
    pub fn leave(&self) -> bool {
        self.users.leave()
    }

    /// Of an explicit histogram with bounds, the hash of its family.
    pub fn family(&self, state: &ahash::RandomState) -> Option<u64> {
        let is_one = self.kind == Kind::Histogram && !self.bounds.is_empty();
        is_one.then(|| self.parts_without_bounds().hash(state))
    }

    /// Whether it is this metric with bounds, where the parts are those of a histogram without.
    pub fn is_with_bounds(&self, parts: &Parts<'_>) -> bool {
        self.kind == Kind::Histogram && parts.bounds.is_empty() && self.is_but_for_bounds(parts)
    }

    /// Bytes of all that identifies it, but for resource, scope, name and unit.
    pub fn bounds_bytes(&self) -> usize {
        size_of_val(&*self.bounds)
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

#[cfg(not(loom))]
const _: () = assert!(size_of::<Group>() + 2 * size_of::<usize>() <= 96, "each of a million series may have one");

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
