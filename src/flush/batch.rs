//! A batch: the points of one outgoing request, staged.
//!
//! Knows which of a cut's points go together; does not know what they refer to (`batch_rows`), or where they go.

use super::point::{POINT_BYTES, StagedPoint};
use crate::limits::{BATCH_BYTES_MAX, BATCH_POINTS_MAX};

/// The points of one group that stand together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub resource: u32,
    pub scope: u32,
    pub group: u32,
    /// Its points, by place.
    pub from: u32,
    pub to: u32,
}

/// The staged points of one request.
#[derive(Default)]
pub(super) struct Batch {
    sections: Vec<Section>,
    points: Vec<StagedPoint>,
    /// Regions of values that are no numbers.
    words: Vec<u64>,
    bytes: usize,
}

impl Batch {
    /// Points from now on belong to this group.
    pub(super) fn enter(&mut self, resource: u32, scope: u32, group: u32) {
        let at = self.points.len() as u32;
        match self.sections.last_mut() {
            Some(last) if last.group == group => return,
            Some(last) if last.from == last.to => self.sections.truncate(self.sections.len() - 1),
            _ => {}
        }
        self.sections.push(Section { resource, scope, group, from: at, to: at });
    }

    /// Adds a point to the group entered last.
    pub(super) fn push(&mut self, point: StagedPoint, attributes: usize) {
        self.points.push(point);
        self.bytes += attributes + POINT_BYTES;
        if let Some(last) = self.sections.last_mut() {
            last.to += 1;
        }
    }

    /// Adds points of another batch to the group entered last. Their bytes are counted there.
    pub(super) fn push_all(&mut self, points: &[StagedPoint]) {
        self.points.extend_from_slice(points);
        if let Some(last) = self.sections.last_mut() {
            last.to += points.len() as u32;
        }
    }

    /// The point added next has exemplars of so many bytes.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Where merging puts regions of points that are pushed next.
    pub(super) fn words(&mut self) -> &mut Vec<u64> {
        &mut self.words
    }

    /// No points.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// As large as a request may be.
    pub(super) fn is_full(&self) -> bool {
        self.points.len() >= BATCH_POINTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.sections.clear();
        self.points.clear();
        self.words.clear();
        self.bytes = 0;
    }

    /// How many groups stand together with their points.
    pub(super) const fn sections(&self) -> usize {
        self.sections.len()
    }

    /// One of them.
    #[inline]
    pub(super) fn section(&self, number: usize) -> Section {
        self.sections[number]
    }

    /// All points.
    #[inline]
    pub(super) fn points(&self) -> &[StagedPoint] {
        &self.points
    }

    /// Where merging has put regions.
    #[inline]
    pub(super) fn regions(&self) -> &[u64] {
        &self.words
    }
}
