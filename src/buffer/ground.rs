//! What the parts of a log share: its folder, the list of its segments, and what is void.
//!
//! Does not know who writes or who reads.

use super::segment::{SegmentInfo, VoidRange, damaged_name, segment_name};
use crate::disk::DiskFolder;
use std::collections::VecDeque;
use std::io;

/// The folder of a log, and what is known of it.
#[derive(Debug)]
pub(super) struct LogGround {
    /// Where it lies.
    pub(super) folder: Box<dyn DiskFolder>,
    /// What tells it from others in checksums.
    pub(super) stream: u64,
    /// Its segments, oldest first: numbers rise; sequences do too, but of those that were written again.
    pub(super) segments: VecDeque<SegmentInfo>,
    /// What never counted, in rising order: none of them overlap.
    pub(super) voids: Vec<VoidRange>,
    /// Bytes of what was put aside.
    pub(super) damaged_bytes: u64,
}

impl LogGround {
    /// Bytes of all segments, those put aside with them.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.damaged_bytes
    }

    /// These never counted. A range that lies within another says nothing more.
    pub(super) fn add_void(&mut self, new: VoidRange) {
        if self.voids.iter().any(|void| void.from <= new.from && new.to <= void.to) {
            return;
        }
        self.voids.retain(|void| void.from < new.from || new.to < void.to);
        let at = self.voids.partition_point(|void| void.from < new.from);
        self.voids.insert(at, new);
    }

    /// The range of what is void that a sequence is in.
    pub(super) fn void_at(&self, sequence: u64) -> Option<&VoidRange> {
        self.voids.iter().find(|void| (void.from..=void.to).contains(&sequence))
    }

    /// The segment of this number as it stands in the list, from the newest on.
    pub(super) fn segment(&mut self, number: u64) -> Option<&mut SegmentInfo> {
        self.segments.iter_mut().rev().find(|segment| segment.number == number)
    }

    /// Takes the oldest segment away: its file is removed, or put aside if something in it is damaged and there is room for
    /// such.
    ///
    /// # Errors
    /// The disk's own; it stays in the list then.
    pub(super) fn remove_oldest(&mut self, damaged_bytes_max: u64) -> io::Result<()> {
        let Some(oldest) = self.segments.front().copied() else { return Ok(()) };
        let name = segment_name(oldest.number);
        let is_kept = oldest.is_damaged && self.damaged_bytes + oldest.bytes <= damaged_bytes_max;
        let removed = match is_kept {
            true => self.folder.rename(&name, &damaged_name(oldest.number)),
            false => self.folder.unlink(&name),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) if is_kept => self.damaged_bytes += oldest.bytes,
            // it is gone already: somebody took it away
            Ok(()) | Err(_) => {}
        }
        self.segments.pop_front();
        // nothing older is left that they hide
        let first = self.segments.iter().map(|segment| segment.first).min();
        self.voids.retain(|void| first.is_none_or(|first| void.to >= first));
        Ok(())
    }
}
