//! A stream as a core remembers it: what a point needs beside its attributes.
//!
//! Knows the parts of a stream; does not know its siblings, nor what it is found among (`contexts`).

use crate::cells::Shape;
use crate::identity::MetricName;
use crate::model::{Kind, Temporality, TypeHints};
use crate::resolve::keys::StreamKey;
use crate::resolve::routes::{NONE, Table};
use crate::series::Group;
use crate::sync::thin::ThinBytes;
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

/// The same without the rule's number, which would take its part of each of a million streams twice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Pass,
    Ask,
    Discard,
}

pub(super) const fn parts_of(fate: StreamFate) -> (Fate, u32) {
    match fate {
        StreamFate::Pass => (Fate::Pass, NONE),
        StreamFate::Ask => (Fate::Ask, NONE),
        StreamFate::Discard(rule) => (Fate::Discard, rule),
    }
}

/// The low half of a hash, for tables: half is enough to grow one.
pub(super) const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

const _: () = assert!(size_of::<MetricStream>() <= 112, "each of a million series may have one of its own");

/// One metric of one scope in one temporality.
#[derive(Debug)]
pub(in crate::resolve) struct MetricStream {
    /// By which the table has it.
    pub(super) hash: u32,
    /// The scope it is of.
    pub scope: u32,
    /// The metric's name and unit: its group's, if it has one.
    pub(super) metric: Arc<MetricName>,
    pub(super) bounds: ThinBytes,
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
    pub(super) fate: Fate,
    pub(super) discarded_by: u32,
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

    /// The metric's name.
    #[inline]
    pub(in crate::resolve) fn name(&self) -> &[u8] {
        self.metric.name.as_bytes()
    }

    /// Its unit.
    #[inline]
    pub(in crate::resolve) fn unit(&self) -> &[u8] {
        self.metric.unit.as_bytes()
    }

    /// Bounds of an explicit histogram, as they are packed.
    pub(in crate::resolve) fn bounds(&self) -> &[u8] {
        &self.bounds
    }

    /// What becomes of its points.
    #[inline]
    pub(in crate::resolve) const fn fate(&self) -> StreamFate {
        match self.fate {
            Fate::Pass => StreamFate::Pass,
            Fate::Ask => StreamFate::Ask,
            Fate::Discard => StreamFate::Discard(self.discarded_by),
        }
    }

    pub(super) const fn put_fate(&mut self, fate: StreamFate) {
        (self.fate, self.discarded_by) = parts_of(fate);
    }

    /// The stream is this one.
    #[inline]
    pub(in crate::resolve) fn is(&self, scope: u32, key: &StreamKey<'_>) -> bool {
        self.is_found
            && self.scope == scope
            && self.kind == key.kind
            && self.temporality == key.temporality
            && self.monotonic == key.monotonic
            && self.metric.is(key.name, key.unit)
            && *self.bounds == *key.bounds
    }

    /// What it takes, and its name where that is not its group's.
    pub(super) fn bytes(&self) -> usize {
        let is_shared = Arc::ptr_eq(&self.metric, &self.group.metric);
        size_of::<MetricStream>() + if is_shared { 0 } else { self.metric.bytes() } + self.bounds.len()
    }
}
