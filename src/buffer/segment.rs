//! What is in a segment: from its seal in two reads, or from its heads.
//!
//! Does not know who reads it or what is done with it.

use super::checksum::BytesPlace;
use super::payload::{RecordRead, read_record};
use super::planted::{PlantedFault, is_planted};
use super::record::{ALIGNED, HEAD_BYTES, RecordHead, RecordKind, SEQUENCE_END, VERSION};
use super::walk::{SegmentWalk, twice};
use crate::disk::FolderFile;
use std::io;

/// What a segment's name ends with.
const SEGMENT_END: &str = ".seg";
/// What the name of one ends with that was put aside, because something in it was damaged.
const DAMAGED_END: &str = ".bad";

/// The name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}{SEGMENT_END}")
}

/// Its name once it is put aside.
pub(super) fn damaged_name(number: u64) -> String {
    format!("{number:016x}{DAMAGED_END}")
}

/// What a name in a log's folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentName {
    /// A segment.
    Segment(u64),
    /// One that was put aside.
    Damaged(u64),
}

impl SegmentName {
    /// None for what we do not write.
    pub(super) fn parse(name: &str) -> Option<SegmentName> {
        let digits = name.get(..16)?;
        let is_ours = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(digits, 16).ok().filter(|number| is_ours && *number < SEQUENCE_END)?;
        match &name[16..] {
            SEGMENT_END => Some(SegmentName::Segment(number)),
            DAMAGED_END => Some(SegmentName::Damaged(number)),
            _ => None,
        }
    }
}

/// Records that never counted: `from` to `to`, the *void* that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VoidRange {
    /// The first.
    pub(super) from: u64,
    /// The last: the *void* itself.
    pub(super) to: u64,
    /// Points before the first; none where nobody could tell.
    pub(super) points_from: Option<u64>,
    /// Points before what comes behind it.
    pub(super) points_behind: u64,
}

impl VoidRange {
    /// What a *void* says.
    pub(super) fn of(head: &RecordHead) -> VoidRange {
        let is_known = head.points != u32::MAX;
        let points_from = head.points_before.checked_sub(u64::from(head.points)).filter(|_| is_known);
        VoidRange { from: head.void_from(), to: head.sequence, points_from, points_behind: head.points_before }
    }
}

/// A segment as it stands in the list of a log. It holds the records from `first` to before `next`, or some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    /// Its number.
    pub(super) number: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// The first sequence in it; 0 where its front is damaged and nobody knows.
    pub(super) first: u64,
    /// The first that is not.
    pub(super) next: u64,
    /// Points before `next`; none where nothing in it tells.
    pub(super) next_points: Option<u64>,
    /// Something in it is damaged that was whole once: it is put aside and not removed.
    pub(super) is_damaged: bool,
}

/// A record in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Its sequence.
    pub(super) sequence: u64,
    /// Points before it.
    pub(super) points_before: u64,
    /// Its points.
    pub(super) points: u32,
    /// Where it lies: files are short enough.
    pub(super) at: u32,
    /// Where the next one does.
    pub(super) end: u64,
}

/// All records of a segment, by their heads: sequences rise.
#[derive(Debug, Default)]
pub(super) struct SegmentIndex {
    /// The records.
    pub(super) entries: Vec<IndexEntry>,
    voids: Vec<VoidRange>,
    open: Option<RecordHead>,
    seal: Option<RecordHead>,
    bytes: u64,
    damaged_at: Option<u64>,
    unreadable_at: Option<u64>,
    epoch: u64,
    /// The first sequence that is not in it, and the points before that.
    next: Option<(u64, u64)>,
}

impl SegmentIndex {
    /// Reads all heads.
    ///
    /// # Errors
    /// The disk's own, where nothing of the file can be read.
    pub(super) fn read(file: &dyn FolderFile, stream: u64, number: u64) -> io::Result<SegmentIndex> {
        let mut walk = SegmentWalk::new(file, stream, number)?;
        let mut index = SegmentIndex { bytes: walk.bytes(), ..SegmentIndex::default() };
        while let Some(found) = walk.next_head() {
            // what is damaged behind the last head is torn
            index.damaged_at = walk.damaged_at();
            index.add(found.at, &found.head);
        }
        index.unreadable_at = walk.unreadable_at();
        Ok(index)
    }

    fn add(&mut self, at: u64, head: &RecordHead) {
        self.epoch = self.epoch.max(head.epoch);
        let rises = self.next.is_none_or(|(next, _)| head.sequence >= next);
        match head.kind {
            RecordKind::Open if at == 0 => {
                self.open = Some(*head);
                self.next = Some((head.sequence, head.points_before));
            }
            RecordKind::Open => {}
            RecordKind::Seal if rises => {
                self.seal = Some(*head);
                self.next = Some((head.sequence, head.points_before));
            }
            // the second of two
            RecordKind::Void if self.voids.last() == Some(&VoidRange::of(head)) => {}
            RecordKind::Void if rises => {
                self.voids.push(VoidRange::of(head));
                self.next = Some((head.sequence + 1, head.points_before));
            }
            RecordKind::Batch | RecordKind::DeadLetter if rises => {
                let (sequence, points_before, points) = (head.sequence, head.points_before, head.points);
                self.entries.push(IndexEntry { sequence, points_before, points, at: at as u32, end: head.next_at(at) });
                self.next = Some((sequence + 1, points_before + u64::from(points)));
            }
            RecordKind::Seal | RecordKind::Void | RecordKind::Batch | RecordKind::DeadLetter => {}
        }
    }

    /// Takes away what was torn at the end: whose head is there and whose payload is not. It never counted.
    fn take_torn(&mut self, file: &dyn FolderFile, stream: u64, number: u64) {
        while let Some(last) = self.entries.last().copied() {
            let place = BytesPlace { stream, file: number, at: u64::from(last.at) };
            if !matches!(read_record(file, place), RecordRead::Damaged) || is_planted(PlantedFault::TornCounts) {
                break;
            }
            self.entries.pop();
            let before = self.entries.last().map(|entry| {
                let points = entry.points_before + u64::from(entry.points);
                (entry.sequence + 1, points)
            });
            let void = self.voids.last().map(|void| (void.to + 1, void.points_behind));
            self.next = before.max(void).or(self.open.map(|open| (open.sequence, open.points_before)));
        }
    }
}

/// What is learned of a segment at the start.
#[derive(Debug)]
pub(super) struct SegmentSurvey {
    /// How it stands in the list.
    pub(super) info: SegmentInfo,
    /// What it makes void.
    pub(super) voids: Vec<VoidRange>,
    /// The newest epoch in it.
    pub(super) epoch: u64,
    /// It says where it ends.
    pub(super) is_sealed: bool,
    /// Bytes behind what is whole, in one without a seal.
    pub(super) torn_bytes: u64,
    /// The disk would not read what may be its end: records may be there that nobody knows of.
    pub(super) is_end_unknown: bool,
}

/// Why a segment is not looked at any further.
#[derive(Debug)]
pub(super) enum SegmentRefusal {
    /// A newer catchment wrote it.
    Newer(u32),
    /// The disk does not read it.
    Unreadable,
}

/// Looks at a segment.
///
/// # Errors
/// Where that is not to be.
pub(super) fn survey(file: &dyn FolderFile, stream: u64, number: u64) -> Result<SegmentSurvey, SegmentRefusal> {
    let sealed = survey_sealed(file, stream, number).map_err(|_| SegmentRefusal::Unreadable)?;
    if let Some(found) = sealed {
        return Ok(found);
    }
    let mut index = SegmentIndex::read(file, stream, number).map_err(|_| SegmentRefusal::Unreadable)?;
    if let Some(open) = index.open.filter(|open| open.cut > VERSION) {
        return Err(SegmentRefusal::Newer(open.cut));
    }
    if index.seal.is_none() {
        index.take_torn(file, stream, number);
    }
    let last_at = index.entries.last().map_or(0, |entry| u64::from(entry.at));
    let is_behind = |at: Option<u64>| at.is_some_and(|at| at >= last_at && index.seal.is_none());
    let (next, next_points) = index.next.map_or((0, None), |(next, points)| (next, Some(points)));
    let heads = HEAD_BYTES as u64 * (u64::from(index.open.is_some()) + 2 * index.voids.len() as u64);
    let whole_to = index.entries.last().map_or(heads, |last| last.end);
    let info = SegmentInfo {
        number,
        bytes: index.bytes,
        first: index.open.map_or(0, |open| open.sequence),
        next,
        next_points,
        is_damaged: index.damaged_at.is_some_and(|at| at < last_at || index.seal.is_some())
            || (index.next.is_none() && index.bytes > 0 && is_written(file, index.bytes)),
    };
    Ok(SegmentSurvey {
        info,
        epoch: index.epoch,
        is_sealed: index.seal.is_some(),
        torn_bytes: if index.seal.is_some() { 0 } else { index.bytes.saturating_sub(whole_to) },
        is_end_unknown: is_behind(index.unreadable_at),
        voids: index.voids,
    })
}

/// Whether the file begins with anything but zeros: what a crash left of a file that was never written is no damage.
fn is_written(file: &dyn FolderFile, bytes: u64) -> bool {
    let mut front = [0; HEAD_BYTES];
    let read = twice(|| file.read_at(0, &mut front)).unwrap_or(0);
    bytes >= HEAD_BYTES as u64 && front[..read].iter().any(|b| *b != 0)
}

/// A segment that says itself what is in it; none where it does not.
fn survey_sealed(file: &dyn FolderFile, stream: u64, number: u64) -> io::Result<Option<SegmentSurvey>> {
    let bytes = twice(|| file.bytes())?;
    if bytes < 2 * HEAD_BYTES as u64 || bytes % ALIGNED != 0 {
        return Ok(None);
    }
    let head_at = |at: u64| {
        let mut head = [0; HEAD_BYTES];
        let read = twice(|| file.read_at(at, &mut head)).ok()?;
        RecordHead::decode(&head, BytesPlace { stream, file: number, at }).filter(|_| read == HEAD_BYTES)
    };
    let seal_at = bytes - HEAD_BYTES as u64;
    let open = head_at(0).filter(|head| head.kind == RecordKind::Open && head.cut <= VERSION);
    let seal = head_at(seal_at).filter(|head| head.kind == RecordKind::Seal);
    let (Some(open), Some(seal)) = (open, seal) else { return Ok(None) };
    // a void is first in its segment, twice
    let at_void = [HEAD_BYTES as u64, 2 * HEAD_BYTES as u64].into_iter().filter_map(head_at);
    let void = at_void.filter(|head| head.kind == RecordKind::Void && !is_planted(PlantedFault::VoidUnread)).last();
    let info = SegmentInfo {
        number,
        bytes,
        first: open.sequence,
        next: seal.sequence,
        next_points: Some(seal.points_before),
        is_damaged: false,
    };
    Ok(Some(SegmentSurvey {
        info,
        voids: void.iter().map(VoidRange::of).collect(),
        epoch: seal.epoch,
        is_sealed: true,
        torn_bytes: 0,
        is_end_unknown: false,
    }))
}
