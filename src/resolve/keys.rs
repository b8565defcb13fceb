//! How a front end names resources, scopes and streams: by bytes as it has them.
//!
//! Knows bytes; does not know what is remembered of them (`contexts`).

use crate::model::{Kind, Temporality, TypeHints};
use std::sync::Arc;

/// A resource or a scope as its front end has it: bytes by which it is found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvelopeKey<'a> {
    /// Number of the encoding (`Encoding::NUMBER`): equal bytes of two mean two things.
    pub encoding: u8,
    /// Its message.
    pub bytes: &'a [u8],
    /// Its schema URL.
    pub schema_url: &'a [u8],
    /// It was longer, and was cut to the limits.
    pub is_cut: bool,
    /// Where others share these bytes, which a rule made: these, and a hash of them, keyed by the process.
    pub shared: Option<(&'a Arc<[u8]>, u64)>,
}

impl EnvelopeKey<'_> {
    /// Whether both are the same bytes of one request: they lie in the same place.
    pub(super) fn is_in_place_of(&self, other: &EnvelopeKey<'_>) -> bool {
        std::ptr::eq(self.bytes, other.bytes) && std::ptr::eq(self.schema_url, other.schema_url)
    }
}

/// How a stream is told from its siblings, and what comes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamKey<'a> {
    /// The metric's name.
    pub name: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
    /// Data kind.
    pub kind: Kind,
    /// Input temporality; gauges have `Cumulative`.
    pub temporality: Temporality,
    /// Of a sum, that it only grows.
    pub monotonic: bool,
    /// Bounds of an explicit histogram: doubles, little-endian, one behind the other.
    pub bounds: &'a [u8],
    /// What identifies nothing.
    pub about: About<'a>,
}

/// What comes with a metric and identifies nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// Its description.
    pub description: &'a [u8],
    /// What is said of its type.
    pub hints: TypeHints,
}

impl About<'_> {
    /// Nothing is said.
    pub(crate) const NOTHING: About<'static> = About { description: &[], hints: TypeHints::NONE };
}

impl StreamKey<'_> {
    /// Whether both name one stream of a scope.
    pub(super) fn is_same_stream(&self, other: &StreamKey<'_>) -> bool {
        self.kind == other.kind
            && self.temporality == other.temporality
            && self.monotonic == other.monotonic
            && self.name == other.name
            && self.unit == other.unit
            && self.bounds == other.bounds
    }

    /// Buckets of an explicit histogram.
    pub(super) fn buckets(&self) -> u32 {
        if self.kind == Kind::Histogram { (self.bounds.len() / 8) as u32 + 1 } else { 0 }
    }

    /// The bounds as numbers.
    pub(super) fn bounds(&self) -> Vec<f64> {
        let (bounds, _) = self.bounds.as_chunks::<8>();
        bounds.iter().map(|bound| f64::from_le_bytes(*bound)).collect()
    }
}
