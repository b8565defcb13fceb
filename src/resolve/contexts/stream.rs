//! A stream as a core remembers it: what a point needs beside its attributes.
//!
//! Knows the parts of a stream; does not know its siblings, nor what it is found among (`contexts`).

use crate::cells::Shape;
use crate::model::{Kind, Temporality, TypeHints};
use crate::resolve::keys::StreamKey;
use crate::resolve::routes::Table;
use crate::series::Group;
use std::sync::Arc;

/// What becomes of the points of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resolve) enum StreamFate {
    /// They go to its group.
    Pass,
    /// Each route asks. The stream has a group once one of them passes.
    Ask,
    /// The rule of this number drops them. There is no group, and there are no routes.
    Discard(u32),
}

/// One metric of one scope in one temporality.
#[derive(Debug)]
pub(in crate::resolve) struct MetricStream {
    pub(super) hash: u64,
    /// The scope it is of.
    pub scope: u32,
    /// The metric's name.
    pub name: Box<[u8]>,
    /// Its unit.
    pub unit: Box<[u8]>,
    pub(super) bounds: Box<[u8]>,
    pub(super) next: u32,
    pub(super) live: bool,
    /// It is found by its key.
    pub(super) is_found: bool,
    /// Who was asked about it last, in numbers (`Contexts::asked`).
    pub(super) asked: u32,
    /// Data kind.
    pub kind: Kind,
    /// Input temporality.
    pub temporality: Temporality,
    /// Of a sum, that it only grows.
    pub monotonic: bool,
    /// Shape of its cells.
    pub shape: Shape,
    /// What becomes of its points.
    pub fate: StreamFate,
    /// It stands for what a rule calls series of other streams, and was made up: its bytes are in their one encoding.
    pub is_target: bool,
    /// Where its points go, if they go to one.
    pub group: Arc<Group>,
    /// Routes by hash.
    pub table: Table,
    /// The first route of the last export.
    pub first: u32,
    /// The route made last.
    pub newest: u32,
    /// Points to look up together when the next export begins: large if its order was no use last time.
    pub block: u32,
    /// The interval it was last used in.
    pub used: u32,
    /// Bytes of the longest description it came with, which identifies nothing (M6).
    pub described: u32,
    /// It came as a gauge whose type nobody knows.
    pub hints: TypeHints,
}

impl MetricStream {
    /// Whether it is found by its key.
    pub(in crate::resolve) const fn is_found(&self) -> bool {
        self.is_found
    }

    /// Bounds of an explicit histogram, as they are packed.
    pub(in crate::resolve) const fn bounds(&self) -> &[u8] {
        &self.bounds
    }

    /// The stream is this one.
    #[inline]
    pub(in crate::resolve) fn is(&self, scope: u32, key: &StreamKey<'_>) -> bool {
        self.is_found
            && self.scope == scope
            && self.kind == key.kind
            && self.temporality == key.temporality
            && self.monotonic == key.monotonic
            && *self.name == *key.name
            && *self.unit == *key.unit
            && *self.bounds == *key.bounds
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<MetricStream>() + self.name.len() + self.unit.len() + self.bounds.len()
    }
}
