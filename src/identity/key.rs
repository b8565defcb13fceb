//! Group keys: what a series has in common with its siblings.
//!
//! Knows the identity of a metric (metrics data model, "identity of a stream", without temporality, which belongs to the
//! input, and with the bounds of explicit histograms, which may not be mixed). Does not know groups.

use super::attributes::put_sorted;
use crate::model::{Kind, TypeHints};
use crate::wire::put_varint;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A resource or a scope: attributes checked and normalised, held once for all its groups.
#[derive(Debug)]
pub struct Set {
    /// The message as it leaves: a normalised run; in a scope name and version go before it.
    pub run: Arc<[u8]>,
    /// The same with the records sorted, where that is another order.
    sorted: Option<Box<[u8]>>,
    hash: u64,
}

impl Set {
    /// Of a normalised run, behind `head` (a scope's name and version, or nothing).
    pub fn new(head: &[u8], run: &[u8], state: &ahash::RandomState) -> Arc<Set> {
        let mut sorted = Vec::with_capacity(head.len() + run.len());
        sorted.extend_from_slice(head);
        put_sorted(run, &mut sorted);
        let whole: Arc<[u8]> = [head, run].concat().into();
        let hash = state.hash_one(&*sorted);
        Arc::new(Set { sorted: (*sorted != *whole).then(|| sorted.into()), run: whole, hash })
    }

    fn canonical(&self) -> &[u8] {
        self.sorted.as_deref().unwrap_or(&self.run)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Set>() + self.run.len() + self.sorted.as_ref().map_or(0, |sorted| sorted.len())
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Set) -> bool {
        std::ptr::eq(self, other) || self.hash == other.hash && self.canonical() == other.canonical()
    }
}

impl Eq for Set {}

impl Hash for Set {
    /// By the hash that it has: its bytes are not read again.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// Everything that identifies a group: two are the same exactly if these are.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupKey {
    /// Its hash, keyed per process.
    pub hash: u64,
    /// All but resource and scope, in a canonical encoding.
    pub rest: Box<[u8]>,
    /// Resource.
    pub resource: Arc<Set>,
    /// Scope.
    pub scope: Arc<Set>,
}

impl GroupKey {
    /// The hash of the key without its last so many bounds, all that there are.
    pub(crate) fn hash_without(&self, bounds: usize, state: &ahash::RandomState) -> u64 {
        let rest = &self.rest[..self.rest.len() - BOUND_BYTES * bounds];
        state.hash_one((self.resource.hash, self.scope.hash, rest))
    }

    /// Whether it is `other` with so many bounds more.
    pub(crate) fn is_with_bounds(&self, bounds: usize, other: &GroupKey) -> bool {
        self.rest.len() == other.rest.len() + BOUND_BYTES * bounds
            && self.rest.starts_with(&other.rest)
            && self.resource == other.resource
            && self.scope == other.scope
    }
}

/// Bytes that a bound takes at the end of `GroupKey::rest`.
const BOUND_BYTES: usize = 8;

/// The parts of a group, checked and normalised.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Resource attributes.
    pub resource: &'a Arc<Set>,
    /// `ResourceMetrics.schema_url`
    pub resource_schema_url: &'a str,
    /// `InstrumentationScope.name`, `.version` and attributes
    pub scope: &'a Arc<Set>,
    /// `ScopeMetrics.schema_url`
    pub scope_schema_url: &'a str,
    /// `Metric.name`
    pub name: &'a str,
    /// `Metric.unit`
    pub unit: &'a str,
    /// `Metric.description`, not identifying
    pub description: &'a str,
    /// What the sender says of the type, not identifying
    pub hints: TypeHints,
    /// Data kind.
    pub kind: Kind,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Bounds of an explicit histogram.
    pub bounds: &'a [f64],
}

impl Parts<'_> {
    /// The canonical key.
    pub fn key(&self, state: &ahash::RandomState) -> GroupKey {
        let mut out = Vec::with_capacity(256);
        let text = |out: &mut Vec<u8>, s: &str| {
            put_varint(out, s.len() as u64);
            out.extend_from_slice(s.as_bytes());
        };
        text(&mut out, self.resource_schema_url);
        text(&mut out, self.scope_schema_url);
        text(&mut out, self.name);
        text(&mut out, self.unit);
        out.push(self.kind as u8);
        out.push(u8::from(self.monotonic));
        self.bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
        let hash = state.hash_one((self.resource.hash, self.scope.hash, &*out));
        GroupKey { hash, rest: out.into(), resource: self.resource.clone(), scope: self.scope.clone() }
    }
}
