//! What identifies a group: what a series has in common with its siblings.
//!
//! Knows the identity of a metric (metrics data model, "identity of a stream", without temporality, which belongs to the
//! input, and with the bounds of explicit histograms, which may not be mixed). Does not know groups.

use super::attributes::put_sorted;
use crate::model::{Kind, TypeHints};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A resource or a scope: attributes checked and normalised, and its schema URL, held once for all its groups.
#[derive(Debug)]
pub struct Set {
    /// The message as it leaves: a normalised run; in a scope name and version go before it.
    pub run: Arc<[u8]>,
    /// `ResourceMetrics.schema_url` or `ScopeMetrics.schema_url`
    pub schema_url: Arc<str>,
    /// The run with the records sorted, where that is another order.
    sorted: Option<Box<[u8]>>,
    hash: u64,
    /// Those that were found to be equal have one number, and are not compared again; `NO_NUMBER`: it was found so with none.
    alike: AtomicU64,
}

const NO_NUMBER: u64 = u64::MAX;
/// Shorter ones are as soon compared.
const ALIKE_BYTES_MIN: usize = 1 << 10;

impl Set {
    /// Of a normalised run, behind `head` (a scope's name and version, or nothing).
    pub fn new(head: &[u8], run: &[u8], schema_url: &str, state: &ahash::RandomState) -> Arc<Set> {
        let mut sorted = Vec::with_capacity(head.len() + run.len());
        sorted.extend_from_slice(head);
        put_sorted(run, &mut sorted);
        let whole: Arc<[u8]> = [head, run].concat().into();
        let hash = state.hash_one((&*sorted, schema_url));
        let sorted = (*sorted != *whole).then(|| sorted.into());
        Arc::new(Set { sorted, run: whole, schema_url: text(schema_url), hash, alike: AtomicU64::new(NO_NUMBER) })
    }

    fn canonical(&self) -> &[u8] {
        self.sorted.as_deref().unwrap_or(&self.run)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let texts = self.run.len() + self.schema_url.len();
        size_of::<Set>() + texts + self.sorted.as_ref().map_or(0, |sorted| sorted.len())
    }
}

impl PartialEq for Set {
    /// Many groups compare the same two: large ones are read once.
    fn eq(&self, other: &Set) -> bool {
        if std::ptr::eq(self, other) {
            return true;
        }
        if self.hash != other.hash {
            return false;
        }
        // ORDERING: whoever has a number was found equal to one that had it, and neither changes: publishes nothing
        let [own, others] = [self, other].map(|set| set.alike.load(Relaxed));
        if own == others && own != NO_NUMBER {
            return true;
        }
        let is_equal = self.canonical() == other.canonical() && self.schema_url == other.schema_url;
        if is_equal && self.run.len() >= ALIKE_BYTES_MIN {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let least = own.min(others);
            let number = if least == NO_NUMBER { NEXT.fetch_add(1, Relaxed) } else { least };
            // of two numbers the least stays: in the end all have it
            for set in [self, other] {
                set.alike.fetch_min(number, Relaxed);
            }
        }
        is_equal
    }
}

impl Eq for Set {}

impl Hash for Set {
    /// By the hash that it has: its bytes are not read again.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// What a metric is called, held once for all groups and streams that share it.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricName {
    /// `Metric.name`
    pub name: Arc<str>,
    /// `Metric.unit`
    pub unit: Arc<str>,
}

impl MetricName {
    /// Bytes it takes beside its texts, what an allocation adds to each included.
    pub const BYTES: usize = 6 * size_of::<usize>() + size_of::<MetricName>();

    /// Of these texts.
    pub fn new(name: &str, unit: &str) -> Arc<MetricName> {
        Arc::new(MetricName { name: text(name), unit: text(unit) })
    }

    /// It says this.
    #[inline]
    pub fn is(&self, name: &[u8], unit: &[u8]) -> bool {
        *self.name.as_bytes() == *name && *self.unit.as_bytes() == *unit
    }

    /// Bytes it takes, texts included.
    pub fn bytes(&self) -> usize {
        MetricName::BYTES + self.name.len() + self.unit.len()
    }
}

/// A text to share; the empty one takes nothing.
fn text(text: &str) -> Arc<str> {
    if text.is_empty() { Arc::default() } else { text.into() }
}

/// The parts of a group, checked and normalised.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Resource.
    pub resource: &'a Arc<Set>,
    /// Scope.
    pub scope: &'a Arc<Set>,
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
    /// A hash of all that identifies a group, keyed per process.
    pub fn hash(&self, state: &ahash::RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        (self.resource.hash, self.scope.hash, self.name, self.unit, self.kind as u8, self.monotonic).hash(&mut hasher);
        self.bounds.iter().for_each(|bound| hasher.write_u64(bound.to_bits()));
        hasher.finish()
    }

    /// Bytes of all that identifies a group, but for resource and scope.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.unit.len() + size_of_val(self.bounds)
    }
}

/// The same bounds, to the bit.
pub fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what was found equal the numbers come together, and of nothing else.
    #[test]
    fn large_sets_that_are_equal_are_compared_once() {
        let state = ahash::RandomState::new();
        let record = |n: u8| [&[0x0a, 0xfc, 0x0f][..], &[n; 2_044]].concat();
        let set = |records: [u8; 2]| Set::new(&[], &records.map(record).concat(), "", &state);
        let number = |set: &Set| set.alike.load(Relaxed);
        let [a, b, c, d] = [[1, 2], [2, 1], [1, 2], [2, 1]].map(set);
        assert!(a == b && number(&a) == number(&b) && number(&a) != NO_NUMBER);
        assert!(c == d && number(&c) == number(&d) && number(&c) != number(&a));
        assert!(a == c && number(&c) == number(&a));
        assert!(d == c && number(&d) == number(&a));
        let other = set([1, 3]);
        assert!(other != a && number(&other) == NO_NUMBER);
        let url = Set::new(&[], &[1, 2].map(record).concat(), "u", &state);
        assert!(url != a && number(&url) == NO_NUMBER);
        assert!(Set::new(&[], b"\x0a\x01k", "", &state) == Set::new(&[], b"\x0a\x01k", "", &state));
    }
}
