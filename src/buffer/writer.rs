//! Appends to a log, over whatever fails.
//!
//! Knows records and segments; does not know who reads, or when there is room again.
//!
//! Invariants
//! 1. A record's sequence is its own: one that is tried again after an error has the number that it had, with the same
//!    bytes; one that is given up, and may be in a file all the same, is made void before anything is written behind it.
//! 2. Nothing is written behind an error. Where the disk was full the next try begins at the same byte; after any other error
//!    the segment is left and a new one is begun.
//! 3. `durable` moves only by a sync that succeeded, of the file and of the folder, after everything up to it was written.
//! 4. A segment whose sync failed is never written or synced again. What is not durable is kept in memory, and written again to
//!    a new segment before anything else is; while that fails, nothing else is written.
//!
//! Bounds: what is not durable is at most `unsynced_bytes_max` and one record; one segment is open.

use super::checksum::BytesPlace;
use super::ground::LogGround;
use super::payload::{payload_checksum, payload_front};
use super::planted::{PlantedFault, is_planted};
use super::record::{ALIGNED, HEAD_BYTES, RecordHead, RecordKind};
use super::segment::{IndexEntry, SegmentInfo, VoidRange, segment_name};
use crate::disk::FolderFile;
use crate::limits::{BUFFER_RECORD_BYTES_MAX, BUFFER_SEGMENT_BYTES_DEFAULT, BUFFER_TENANT_BYTES_MAX, MIB};
use bytes::Bytes;
use std::collections::VecDeque;
use std::{fmt, io};

/// Memory for one record being written that is kept for the next.
const SCRATCH_KEPT_BYTES: usize = 4 * MIB;
/// Tries of one record, the second in a new segment; of one sync, the second of a new segment.
const TRIES: usize = 2;

/// What is appended.
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    /// A batch or a dead letter.
    pub kind: RecordKind,
    /// How the body is packed.
    pub packed: u8,
    /// The shard it is from.
    pub shard: u16,
    /// Its points.
    pub points: u32,
    /// The cut it is of.
    pub cut: u32,
    /// Its number within cut and shard.
    pub number: u32,
    /// Wall time, nanoseconds.
    pub at_ns: u64,
    /// Whose it is; empty for the default.
    pub tenant: &'a str,
    /// What is sent.
    pub body: Bytes,
}

/// Why nothing was appended. The record may be tried again as it is; another one may be appended in its place.
#[derive(Debug)]
pub enum AppendError {
    /// The disk, or what this user may have of it, is full.
    Full(io::Error),
    /// The disk fails.
    Failed(io::Error),
    /// So many bytes wait for a sync that none may join them (`unsynced_bytes_max`): sync first.
    Unsynced(usize),
    /// The record is longer than `limits::BUFFER_RECORD_BYTES_MAX`, or its tenant than `limits::BUFFER_TENANT_BYTES_MAX`; it
    /// can never be appended.
    Long(usize),
}

impl AppendError {
    fn of(error: io::Error) -> AppendError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full(error),
            _ => AppendError::Failed(error),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full(error) => write!(f, "the disk is full: {error}"),
            AppendError::Failed(error) => write!(f, "the disk fails: {error}"),
            AppendError::Unsynced(bytes) => write!(f, "{bytes} bytes wait for a sync"),
            AppendError::Long(bytes) => {
                write!(f, "a record of {bytes} bytes is longer than {BUFFER_RECORD_BYTES_MAX}, or its tenant is long")
            }
        }
    }
}

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Bytes after which a segment ends.
    pub segment_bytes: u64,
    /// What is appended is kept in memory until a sync says that it is durable: level *disk*.
    pub keeps_unsynced: bool,
    /// Most bytes that wait for a sync.
    pub unsynced_bytes_max: usize,
    /// The start this is: one more each.
    pub epoch: u64,
}

/// The segment that is being written.
#[derive(Debug)]
struct OpenSegment {
    number: u64,
    file: Box<dyn FolderFile>,
    at: u64,
    entries: Vec<IndexEntry>,
}

/// A record that is not durable yet.
#[derive(Clone, Debug)]
struct UnsyncedRecord {
    head: RecordHead,
    front: Vec<u8>,
    body: Bytes,
}

/// What a record is known by when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RecordIdentity {
    kind: RecordKind,
    shard: u16,
    cut: u32,
    number: u32,
    points: u32,
    payload_bytes: u32,
    payload_checksum: u32,
}

impl RecordIdentity {
    const fn of(head: &RecordHead) -> RecordIdentity {
        RecordIdentity {
            kind: head.kind,
            shard: head.shard,
            cut: head.cut,
            number: head.number,
            points: head.points,
            payload_bytes: head.payload_bytes,
            payload_checksum: head.payload_checksum,
        }
    }
}

/// Who writes a log.
#[derive(Debug)]
pub(super) struct LogWriter {
    options: WriterOptions,
    next: u64,
    points: u64,
    next_number: u64,
    durable: u64,
    current: Option<OpenSegment>,
    unsynced: VecDeque<UnsyncedRecord>,
    unsynced_bytes: usize,
    /// What is not durable lies in a segment whose sync failed.
    is_suspect: bool,
    /// A file was made whose name is not durable.
    has_new_name: bool,
    /// The record whose append failed last: its number is in no other's use.
    failed: Option<RecordIdentity>,
    /// *Voids* that are to be written before anything else.
    voids_due: VecDeque<RecordHead>,
    scratch: Vec<u8>,
}

impl LogWriter {
    /// A writer that goes on at a sequence, with so many points before it, in a segment with a number of its own.
    pub(super) fn new(mut options: WriterOptions, next: u64, points: u64, next_number: u64) -> LogWriter {
        options.segment_bytes = options.segment_bytes.min(BUFFER_SEGMENT_BYTES_DEFAULT as u64);
        LogWriter {
            options,
            next,
            points,
            next_number,
            durable: next - 1,
            current: None,
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            is_suspect: false,
            has_new_name: false,
            failed: None,
            voids_due: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// The sequence of the next record.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Points of all records so far.
    pub(super) const fn points(&self) -> u64 {
        self.points
    }

    /// The newest segment's number.
    pub(super) const fn newest_number(&self) -> u64 {
        self.next_number - 1
    }

    /// The last sequence up to which all that this writer appended survives the loss of power.
    pub(super) const fn durable(&self) -> u64 {
        self.durable
    }

    /// Bytes that wait for a sync.
    pub(super) const fn unsynced_bytes(&self) -> usize {
        self.unsynced_bytes
    }

    /// The segment being written: its number, its file and its records.
    pub(super) fn current(&self) -> Option<(u64, &dyn FolderFile, &[IndexEntry])> {
        self.current.as_ref().map(|current| (current.number, &*current.file, &current.entries[..]))
    }

    /// Appends a record; its sequence.
    ///
    /// # Errors
    /// Why it is not. It may be there all the same until another one is appended in its place (invariant 1).
    pub(super) fn append(&mut self, ground: &mut LogGround, record: &NewRecord<'_>) -> Result<u64, AppendError> {
        assert!(record.kind.is_content(), "seals and the like are the writer's own");
        let payload_bytes = 1 + record.tenant.len() + record.body.len();
        if payload_bytes > BUFFER_RECORD_BYTES_MAX || record.tenant.len() > BUFFER_TENANT_BYTES_MAX {
            return Err(AppendError::Long(payload_bytes));
        }
        if self.options.keeps_unsynced && self.unsynced_bytes >= self.options.unsynced_bytes_max {
            return Err(AppendError::Unsynced(self.unsynced_bytes));
        }
        let front = payload_front(record.tenant);
        let mut head = RecordHead {
            packed: record.packed,
            shard: record.shard,
            points: record.points,
            cut: record.cut,
            number: record.number,
            payload_bytes: payload_bytes as u32,
            payload_checksum: payload_checksum(&front, &record.body),
            at_ns: record.at_ns,
            ..RecordHead::bare(record.kind, self.next, self.points, self.options.epoch)
        };
        self.give_up_another(ground, RecordIdentity::of(&head));
        (head.sequence, head.points_before) = (self.next, self.points);
        if let Err(error) = self.append_head(ground, &head, &front, &record.body) {
            // behind a void that is due it was not tried at all
            self.failed = self.voids_due.is_empty().then(|| RecordIdentity::of(&head));
            if is_planted(PlantedFault::RetryRenumbered) {
                self.next += 1;
            }
            return Err(error);
        }
        self.failed = None;
        self.next += 1;
        self.points += u64::from(head.points);
        self.keep(head, front, record.body.clone());
        Ok(head.sequence)
    }

    /// The record that failed is not tried again where another one comes: what may be there of it is void.
    fn give_up_another(&mut self, ground: &mut LogGround, identity: RecordIdentity) {
        if self.failed.take_if(|failed| *failed != identity).is_some() && !is_planted(PlantedFault::GivenUpStays) {
            let given_up = self.next;
            self.next += 1;
            self.void(ground, given_up, 0);
        }
    }

    fn append_head(
        &mut self,
        ground: &mut LogGround,
        head: &RecordHead,
        front: &[u8],
        body: &[u8],
    ) -> Result<(), AppendError> {
        self.write_voids(ground)?;
        let mut tries = 0;
        loop {
            if self.is_suspect {
                self.write_again(ground)?;
            }
            tries += 1;
            match self.put(ground, head, front, body) {
                // the segment that ended could not be synced, or was left
                Err(_) if self.is_suspect && tries < TRIES => {}
                other => return other,
            }
        }
    }

    /// Makes all records from `from` on void, which have so many points (`u32::MAX` where nobody can tell). Written before
    /// anything else is, and heeded from now on.
    pub(super) fn void(&mut self, ground: &mut LogGround, from: u64, points: u32) {
        let head = RecordHead::void(from, self.next, points, self.points, self.options.epoch);
        ground.add_void(VoidRange::of(&head));
        self.next += 1;
        self.voids_due.push_back(head);
    }

    /// Writes the *voids* that are due.
    ///
    /// # Errors
    /// The disk's; they stay due.
    pub(super) fn write_voids(&mut self, ground: &mut LogGround) -> Result<(), AppendError> {
        while let Some(head) = self.voids_due.front().copied() {
            if self.is_suspect {
                self.write_again(ground)?;
            }
            self.put_void(ground, &head)?;
            self.voids_due.pop_front();
            self.keep(head, Vec::new(), Bytes::new());
        }
        Ok(())
    }

    fn keep(&mut self, head: RecordHead, front: Vec<u8>, body: Bytes) {
        if self.options.keeps_unsynced {
            self.unsynced_bytes += HEAD_BYTES + front.len() + body.len();
            self.unsynced.push_back(UnsyncedRecord { head, front, body });
        }
    }

    /// Writes one record where the next one goes; once more in a new segment if that fails.
    fn put(&mut self, ground: &mut LogGround, head: &RecordHead, front: &[u8], body: &[u8]) -> Result<(), AppendError> {
        let record_bytes = head.next_at(0);
        let mut tries = 0;
        loop {
            tries += 1;
            let ends = |current: &OpenSegment| {
                let end = current.at + record_bytes + HEAD_BYTES as u64;
                end > self.options.segment_bytes && !current.entries.is_empty()
            };
            if self.current.as_ref().is_some_and(ends) {
                self.rotate(ground, head.sequence, head.points_before)?;
            }
            if self.current.is_none() {
                self.begin(ground, head.sequence, head.points_before, None)?;
            }
            let Err(error) = self.write_current(ground, head, front, body) else { return Ok(()) };
            match AppendError::of(error) {
                AppendError::Failed(error) => {
                    self.leave();
                    // what lies before it in that segment is not synced any more
                    self.is_suspect = self.unsynced_bytes > 0;
                    if self.is_suspect || tries == TRIES {
                        return Err(AppendError::Failed(error));
                    }
                }
                // the next try is written over it
                full => return Err(full),
            }
        }
    }

    fn write_current(
        &mut self,
        ground: &mut LogGround,
        head: &RecordHead,
        front: &[u8],
        body: &[u8],
    ) -> io::Result<()> {
        let current = self.current.as_mut().expect("a segment was begun");
        let at = current.at;
        let place = BytesPlace { stream: ground.stream, file: current.number, at };
        self.scratch.clear();
        self.scratch.extend_from_slice(&head.encode(place));
        self.scratch.extend_from_slice(front);
        self.scratch.extend_from_slice(body);
        self.scratch.resize(self.scratch.len().next_multiple_of(ALIGNED as usize), 0);
        let written = current.file.write_at(at, &self.scratch);
        let end = at + self.scratch.len() as u64;
        if self.scratch.capacity() > SCRATCH_KEPT_BYTES {
            self.scratch = Vec::new();
        }
        if let Some(info) = ground.segment(current.number) {
            // a part of it may be there
            info.bytes = info.bytes.max(end);
            if written.is_ok() {
                let points = head.points_before + u64::from(head.points);
                (info.next, info.next_points) = (head.sequence + 1, Some(points));
            }
        }
        written?;
        current.at = end;
        let (sequence, points_before, points) = (head.sequence, head.points_before, head.points);
        current.entries.push(IndexEntry { sequence, points_before, points, at: at as u32, end });
        Ok(())
    }

    /// Begins a segment with a *void*, which is always the first: a start reads no further.
    fn put_void(&mut self, ground: &mut LogGround, void: &RecordHead) -> Result<(), AppendError> {
        self.rotate(ground, void.sequence, void.points_before)?;
        self.begin(ground, void.sequence, void.points_before, Some(void))
    }

    /// Makes a segment whose first record has this sequence.
    fn begin(
        &mut self,
        ground: &mut LogGround,
        sequence: u64,
        points: u64,
        void: Option<&RecordHead>,
    ) -> Result<(), AppendError> {
        let number = self.next_number;
        // also where this fails: a number is never used again
        self.next_number += 1;
        let mut file = ground.folder.create(&segment_name(number)).map_err(AppendError::of)?;
        self.has_new_name |= !is_planted(PlantedFault::NoFolderSync);
        let open = RecordHead::bare(RecordKind::Open, sequence, points, self.options.epoch);
        let mut bytes = Vec::with_capacity(3 * HEAD_BYTES);
        // a void twice: a bit that is flipped in one of them must not bring back what it hides
        for head in [Some(&open), void, void].into_iter().flatten() {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&head.encode(BytesPlace { stream: ground.stream, file: number, at }));
        }
        let at = bytes.len() as u64;
        let next = sequence + u64::from(void.is_some());
        let next_points = Some(points);
        ground.segments.push_back(SegmentInfo {
            number,
            bytes: at,
            first: sequence,
            next,
            next_points,
            is_damaged: false,
        });
        file.write_at(0, &bytes).map_err(AppendError::of)?;
        self.current = Some(OpenSegment { number, file, at, entries: Vec::new() });
        Ok(())
    }

    /// Ends the segment: what follows has this sequence.
    fn rotate(&mut self, ground: &mut LogGround, sequence: u64, points: u64) -> Result<(), AppendError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let seal = RecordHead::bare(RecordKind::Seal, sequence, points, self.options.epoch);
        let place = BytesPlace { stream: ground.stream, file: current.number, at: current.at };
        // without one, a start reads all heads
        if current.file.write_at(current.at, &seal.encode(place)).is_ok()
            && let Some(info) = ground.segment(current.number)
        {
            info.bytes = info.bytes.max(current.at + HEAD_BYTES as u64);
        }
        // what is not durable is in it: it is synced before it is forgotten
        if self.unsynced_bytes > 0
            && let Err(error) = current.file.sync()
        {
            self.is_suspect = true;
            return Err(AppendError::Failed(error));
        }
        Ok(())
    }

    /// Ends the segment where it is.
    fn leave(&mut self) {
        self.current = None;
    }

    /// Ends the segment with this number, if that is the one being written.
    pub(super) fn leave_if(&mut self, number: u64) {
        if self.current.take_if(|current| current.number == number).is_some() {
            self.is_suspect = self.unsynced_bytes > 0;
        }
    }

    /// Uses up so many sequences: they may stand in what the disk does not read.
    pub(super) fn skip(&mut self, ground: &mut LogGround, records: u64) {
        let from = self.next;
        self.next += records;
        self.void(ground, from, 0);
    }

    /// Ends the segment as it should end, before an orderly stop.
    ///
    /// # Errors
    /// The disk's, where what is not durable could not be made so.
    pub(super) fn seal(&mut self, ground: &mut LogGround) -> Result<(), AppendError> {
        self.rotate(ground, self.next, self.points)
    }

    /// Makes all that was appended durable; the last sequence that is. It moves only where what is unsynced is kept.
    ///
    /// # Errors
    /// The disk's. What was not durable before is not now; the next call writes it again.
    pub(super) fn sync(&mut self, ground: &mut LogGround) -> Result<u64, AppendError> {
        self.write_voids(ground)?;
        let mut tries = 0;
        loop {
            tries += 1;
            if self.is_suspect {
                self.write_again(ground)?;
            }
            let Err(error) = self.sync_once(ground) else { break };
            if !is_planted(PlantedFault::SyncBelieved) {
                self.leave();
                self.is_suspect = self.unsynced_bytes > 0;
            }
            if tries == TRIES || !self.is_suspect {
                return Err(AppendError::of(error));
            }
        }
        if self.options.keeps_unsynced {
            self.durable = self.next - 1;
        }
        self.unsynced.clear();
        self.unsynced_bytes = 0;
        Ok(self.durable)
    }

    fn sync_once(&mut self, ground: &mut LogGround) -> io::Result<()> {
        if let Some(current) = &mut self.current {
            current.file.sync()?;
        }
        if self.has_new_name {
            ground.folder.sync()?;
            self.has_new_name = false;
        }
        Ok(())
    }

    /// Writes all that is not durable to new segments, with the sequences that it has.
    fn write_again(&mut self, ground: &mut LogGround) -> Result<(), AppendError> {
        self.leave();
        self.is_suspect = false;
        let unsynced = std::mem::take(&mut self.unsynced);
        let written = unsynced.iter().try_for_each(|record| match record.head.kind {
            RecordKind::Void => self.put_void(ground, &record.head),
            _ => self.put(ground, &record.head, &record.front, &record.body),
        });
        self.unsynced = unsynced;
        if written.is_err() {
            self.leave();
            self.is_suspect = !is_planted(PlantedFault::SuspectForgotten);
        }
        written
    }
}
