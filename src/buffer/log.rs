//! A log: what one view cut, in order, and for each of its readers how far that one is.
//!
//! Does not know who the readers are or what they do with a record; nor when there is too much of it: that is told.
//!
//! Invariants
//! 1. A reader is given the records behind its cursor in order of their sequence, each once in a life, whole or said to be
//!    lost; at most `CURSOR_WINDOW` are out at once.
//! 2. A file is removed only when the cursors of all readers are past it *on the platter*: what is missing behind a cursor is
//!    lost, and said to be.
//! 3. A sequence is never used again, whatever a crash left of the records that had it and were given out: cursors keep the
//!    next one too.
//! 4. Nothing is dropped or lost that the reader's tallies do not have, in the same slot as the cursor that passes it.

use super::cursor::{CURSOR_WINDOW, CursorFile, CursorState, RecordTally};
use super::ground::LogGround;
use super::names::{NameFault, fnv1a, is_cursor_name, name_of_cursor};
use super::payload::LogRecord;
use super::planted::{PlantedFault, is_planted};
use super::reading::LogReading;
use super::record::HEAD_BYTES;
use super::segment::{SegmentInfo, SegmentName, SegmentRefusal, VoidRange, segment_name, survey};
use super::walk::twice;
use super::writer::{AppendError, LogWriter, NewRecord, WriterOptions};
use crate::disk::{DiskFolder, EntryKind};
use crate::limits::{BUFFER_DAMAGED_PART, BUFFER_FILE_BYTES_MAX};
use std::collections::BTreeMap;
use std::{fmt, io};

/// Foreign names of a log that are told.
const FOREIGN_TOLD_MAX: usize = 16;
/// Sequences that a file of the largest size can have, which the disk does not read.
const UNREAD_RECORDS: u64 = (BUFFER_FILE_BYTES_MAX / HEAD_BYTES) as u64;

/// Why a log, or the folder of all, is not opened.
#[derive(Debug)]
pub enum BufferError {
    /// The disk's, and what was asked of it.
    Disk(&'static str, io::Error),
    /// A newer catchment wrote it: nothing is touched.
    Newer(u32),
    /// Another process has it; what it says of itself.
    Locked(String),
    /// A name is empty, long, or one of too many with the same hash.
    Name(NameFault),
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BufferError::Disk(what, error) => write!(f, "{what}: {error}"),
            BufferError::Newer(version) => write!(
                f,
                "it was written by a newer catchment (format {version}); start that one, or give another folder: nothing in \
                 it was touched"
            ),
            BufferError::Locked(by) => write!(f, "another process uses it ({by}); give each its own folder"),
            BufferError::Name(fault) => write!(f, "{fault}"),
        }
    }
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// How it is written.
    pub writer: WriterOptions,
    /// Bytes that it is to take; a part of it may be taken by what was put aside.
    pub bytes_max: u64,
}

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Segments, and bytes of them.
    pub segments: u64,
    /// Bytes of all files that are kept, those put aside with them.
    pub bytes: u64,
    /// Segments without a seal, whose heads were read.
    pub unsealed: u64,
    /// Bytes behind the last whole record of those: torn by a crash, or damaged; whether records were in it nobody can tell.
    pub torn_bytes: u64,
    /// Segments in which something is damaged, as far as was looked.
    pub damaged: u64,
    /// Ends of the log that the disk did not read: records there are lost, and their number is unknown.
    pub unknown_ends: u64,
    /// Cursors of which neither slot could be read: all that is there is given out again.
    pub cursors_lost: u64,
    /// Names that are not ours, the first few; they are left alone.
    pub foreign: Vec<String>,
    /// The newest epoch.
    pub epoch: u64,
}

/// One who reads a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderNumber(pub(super) usize);

#[derive(Debug)]
struct LogReader {
    name: Option<String>,
    file_name: String,
    is_asked_for: bool,
    cursor: CursorFile,
    state: CursorState,
    /// One of its slots cannot be read, which may have been the newest: what is missing at the front may have been done.
    is_doubtful: bool,
    /// The last record that was given out.
    given: u64,
    /// Those that are out, with their points.
    out: BTreeMap<u64, u64>,
}

/// A reader as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedReader {
    /// Its name; none where the file that has it is damaged.
    pub name: Option<String>,
    /// Somebody asked for it in this life; the others are kept for whoever comes.
    pub is_asked_for: bool,
    /// All up to this sequence are done.
    pub done: u64,
    /// Bytes of the segments that it is not through with.
    pub bytes_behind: u64,
    /// Given up for want of room, over all lives.
    pub dropped: RecordTally,
    /// Not to be read, over all lives.
    pub lost: RecordTally,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTaken {
    /// The next record.
    Record(LogRecord),
    /// Records from the first of these sequences to the last are not to be read. It is noted already.
    Lost(LostRecords),
    /// Something that is out has to be settled first.
    Waiting,
    /// There is nothing more yet.
    End,
}

/// Records that are not to be read, or were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRecords {
    /// The first.
    pub from: u64,
    /// The last.
    pub through: u64,
    /// How many, those not counted that were done.
    pub records: u64,
    /// Their points; none where nobody can tell.
    pub points: Option<u64>,
}

/// A log.
#[derive(Debug)]
pub struct BufferLog {
    ground: LogGround,
    writer: LogWriter,
    reading: LogReading,
    readers: Vec<LogReader>,
    damaged_bytes_max: u64,
}

/// What the names in a folder are.
#[derive(Debug, Default)]
struct LogNames {
    segments: Vec<u64>,
    cursors: Vec<String>,
    damaged_bytes: u64,
    newest: u64,
}

impl BufferLog {
    /// Opens the log in a folder and looks at all that is in it. `stream` tells it from others.
    ///
    /// # Errors
    /// Where the disk does not list it or a newer catchment wrote it. What is damaged is no error: it is reported, or lost when
    /// its turn comes.
    pub fn open(
        folder: Box<dyn DiskFolder>,
        stream: u64,
        options: LogOptions,
    ) -> Result<(BufferLog, LogReport), BufferError> {
        let mut report = LogReport::default();
        let names = LogNames::read(&*folder, &mut report)?;
        let mut ground = LogGround {
            folder,
            stream,
            segments: Default::default(),
            voids: Vec::new(),
            damaged_bytes: names.damaged_bytes,
        };
        let (mut next, mut points) = (1, 0);
        let mut is_end_unknown = false;
        for number in &names.segments {
            let found = survey_segment(&ground, *number, &mut report)?;
            let Some((info, voids, is_this_end_unknown)) = found else { continue };
            if info.next > next {
                (next, points) = (info.next, info.next_points.unwrap_or(points));
            }
            // whoever wrote a later one knew where the one before ended
            is_end_unknown = is_this_end_unknown || (is_end_unknown && info.first == 0);
            voids.into_iter().for_each(|void| ground.add_void(void));
            ground.segments.push_back(info);
        }
        let mut found = Vec::new();
        for file_name in names.cursors {
            let opened = CursorFile::open(&*ground.folder, stream, fnv1a(file_name.as_bytes()), &file_name);
            let opened = opened.map_err(|error| BufferError::Disk("a cursor cannot be opened", error))?;
            let state = opened.state.as_ref().filter(|_| !is_planted(PlantedFault::NumbersAgain));
            if let Some(state) = state.filter(|state| state.next > next) {
                (next, points) = (state.next, state.next_points.unwrap_or(points));
            }
            found.push((file_name, opened));
        }
        let newest = found.iter().filter_map(|(_, found)| found.state.as_ref().map(|state| state.segment));
        let newest = newest.fold(names.newest, u64::max);
        let damaged_bytes_max = options.bytes_max / BUFFER_DAMAGED_PART;
        let writer = LogWriter::new(options.writer, next, points, newest + 1);
        let readers = Vec::with_capacity(found.len());
        let mut log = BufferLog { ground, writer, reading: LogReading::default(), readers, damaged_bytes_max };
        if is_end_unknown {
            // numbers that may be in use there are not used again
            report.unknown_ends = 1;
            log.writer.skip(&mut log.ground, UNREAD_RECORDS);
        }
        for (file_name, found) in found {
            report.cursors_lost += u64::from(found.state.is_none());
            let state = found.state.unwrap_or_else(|| log.state_of_oldest());
            log.add_reader(found.name, file_name, found.file, state);
            log.readers.last_mut().expect("it was added").is_doubtful = found.is_doubtful;
        }
        report.segments = log.ground.segments.len() as u64;
        report.bytes = log.ground.bytes();
        Ok((log, report))
    }

    /// The state of a reader that was given nothing that is there.
    fn state_of_oldest(&mut self) -> CursorState {
        let oldest = self.reading.locate(&mut self.ground, &self.writer, 0, 0);
        let (next, points) =
            oldest.map_or((self.writer.next(), self.writer.points()), |oldest| (oldest.sequence, oldest.points_before));
        CursorState { done: next.max(1) - 1, points: Some(points), ..CursorState::default() }
    }

    fn add_reader(&mut self, name: Option<String>, file_name: String, cursor: CursorFile, mut state: CursorState) {
        let ahead: Vec<u64> = state.ahead.keys().copied().collect();
        for sequence in ahead {
            let found = self.reading.locate(&mut self.ground, &self.writer, sequence, self.readers.len());
            let found = found.filter(|entry| entry.sequence == sequence);
            state.ahead.insert(sequence, found.map(|entry| u64::from(entry.points)));
        }
        let (given, out) = (state.done, BTreeMap::new());
        self.readers.push(LogReader {
            name,
            file_name,
            is_asked_for: false,
            cursor,
            state,
            is_doubtful: false,
            given,
            out,
        });
    }

    /// The reader of a name; a new one begins with what is appended from now on.
    ///
    /// # Errors
    /// The disk's, where a new one's cursor cannot be made durable; or the name's.
    pub fn reader(&mut self, name: &str) -> Result<ReaderNumber, BufferError> {
        let named = self.readers.iter().position(|reader| reader.name.as_deref() == Some(name));
        let number = match named {
            Some(number) => number,
            None => self.find_or_make(name)?,
        };
        self.readers[number].is_asked_for = true;
        Ok(ReaderNumber(number))
    }

    fn find_or_make(&mut self, name: &str) -> Result<usize, BufferError> {
        let mut taken = 0;
        loop {
            let file_name = name_of_cursor(name, taken).map_err(BufferError::Name)?;
            let there = self.readers.iter().position(|reader| reader.file_name == file_name);
            match there {
                // its name is damaged: the hash says who it is
                Some(number) if self.readers[number].name.is_none() => {
                    self.readers[number].name = Some(name.to_owned());
                    return Ok(number);
                }
                Some(_) => taken += 1,
                None => {
                    let state = CursorState {
                        done: self.writer.next() - 1,
                        points: Some(self.writer.points()),
                        next: self.writer.next(),
                        next_points: Some(self.writer.points()),
                        segment: self.writer.newest_number(),
                        ..CursorState::default()
                    };
                    let key = (self.ground.stream, fnv1a(file_name.as_bytes()));
                    let made = CursorFile::create(&*self.ground.folder, key, (&file_name, name), &state);
                    let file = made.map_err(|error| BufferError::Disk("a cursor cannot be made", error))?;
                    self.add_reader(Some(name.to_owned()), file_name, file, state);
                    return Ok(self.readers.len() - 1);
                }
            }
        }
    }

    /// All readers, those that nobody asked for with them.
    pub fn readers(&self) -> Vec<ListedReader> {
        let listed = |reader: &LogReader| ListedReader {
            name: reader.name.clone(),
            is_asked_for: reader.is_asked_for,
            done: reader.state.done,
            bytes_behind: self.bytes_behind(reader),
            dropped: reader.state.dropped,
            lost: reader.state.lost,
        };
        self.readers.iter().map(listed).collect()
    }

    fn bytes_behind(&self, reader: &LogReader) -> u64 {
        let is_behind = |info: &&SegmentInfo| info.next > reader.state.done + 1;
        self.ground.segments.iter().filter(is_behind).map(|info| info.bytes).sum()
    }

    /// Appends a record; its sequence.
    ///
    /// # Errors
    /// Why it is not; it may be tried again.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<u64, AppendError> {
        self.writer.append(&mut self.ground, record)
    }

    /// Makes all that was appended durable, where the options keep what is unsynced; the last sequence that is.
    ///
    /// # Errors
    /// The disk's. What is not durable is kept and written again by the next call.
    pub fn sync(&mut self) -> Result<u64, AppendError> {
        self.writer.sync(&mut self.ground)
    }

    /// Ends the segment being written, before an orderly stop: the next start need not read its heads.
    ///
    /// # Errors
    /// The disk's.
    pub fn seal(&mut self) -> Result<(), AppendError> {
        self.writer.seal(&mut self.ground)
    }

    /// The records behind a sequence never counted: they are of a cut that was never committed.
    ///
    /// # Errors
    /// The disk's. They are void all the same, and it is written before anything else.
    pub fn void_behind(&mut self, sequence: u64) -> Result<(), AppendError> {
        let from = self.ground.void_at(sequence + 1).map_or(sequence, |void| void.to) + 1;
        if from < self.writer.next() {
            let readers = self.readers.len();
            let first = self.reading.locate(&mut self.ground, &self.writer, from, readers);
            let first = first.filter(|entry| entry.sequence == from);
            let points = first.and_then(|entry| self.writer.points().checked_sub(entry.points_before));
            let points = points.and_then(|points| u32::try_from(points).ok()).unwrap_or(u32::MAX);
            self.writer.void(&mut self.ground, from, points);
        }
        self.writer.write_voids(&mut self.ground)
    }

    /// The sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.writer.next()
    }

    /// The last sequence that survives the loss of power, of those that were appended in this life.
    pub fn durable_sequence(&self) -> u64 {
        self.writer.durable()
    }

    /// Bytes that wait for a sync.
    pub fn unsynced_bytes(&self) -> usize {
        self.writer.unsynced_bytes()
    }

    /// Bytes of all its files but cursors.
    pub fn bytes(&self) -> u64 {
        self.ground.bytes()
    }

    /// The next record for a reader, of those up to `through`.
    pub fn take(&mut self, reader: ReaderNumber, through: u64) -> LogTaken {
        let reader = reader.0;
        let readers = self.readers.len();
        let one = &mut self.readers[reader];
        one.pass_voids(&self.ground);
        let done = one.state.done;
        let mut sequence = one.given.max(done) + 1;
        while one.state.ahead.contains_key(&sequence) {
            sequence += 1;
        }
        if sequence >= self.writer.next() || sequence > through {
            return LogTaken::End;
        }
        if sequence - done > CURSOR_WINDOW || self.ground.void_at(sequence).is_some() {
            return LogTaken::Waiting;
        }
        let found = self.reading.locate(&mut self.ground, &self.writer, sequence, readers);
        if let Some(entry) = found.filter(|entry| entry.sequence == sequence) {
            if let Some(record) = self.reading.read(&mut self.ground, &self.writer, sequence, readers) {
                let one = &mut self.readers[reader];
                if sequence == done + 1 {
                    one.state.points = Some(record.head.points_before);
                }
                one.give(sequence, u64::from(record.head.points));
                return LogTaken::Record(record);
            }
            // its head is whole
            let behind = entry.points_before + u64::from(entry.points);
            if sequence == done + 1 {
                self.readers[reader].state.points = Some(entry.points_before);
            }
            return self.lose(reader, sequence, Some(behind));
        }
        let end = (self.writer.next(), Some(self.writer.points()));
        let (mut to, mut points_to) = found.map_or(end, |found| (found.sequence, Some(found.points_before)));
        if let Some(void) = self.ground.voids.iter().find(|void| void.from > sequence && void.from < to) {
            (to, points_to) = (void.from, void.points_from);
        }
        self.lose(reader, to - 1, points_to)
    }

    /// All up to `through` is not to be read, but for what is done.
    fn lose(&mut self, reader: usize, through: u64, points_to: Option<u64>) -> LogTaken {
        let one = &mut self.readers[reader];
        if !one.out.is_empty() {
            return LogTaken::Waiting;
        }
        let from = one.state.done + 1;
        let is_front = |info: &SegmentInfo| info.first > from || (info.next == 0 && !info.is_damaged);
        let mut lost = one.left(&self.ground, through, points_to);
        if one.is_doubtful && self.ground.segments.iter().all(is_front) {
            // it may all have been done, and its segments removed
            lost.points = None;
        }
        one.state.lost.add(lost.records, lost.points);
        one.pass(through, points_to);
        // what this file has not is written with the next
        let _ = self.write_cursor(reader);
        LogTaken::Lost(lost)
    }

    /// A record is given out that is still in memory: it is the next one, and so many points are in it.
    pub fn give(&mut self, reader: ReaderNumber, sequence: u64, points: u32) {
        self.readers[reader.0].give(sequence, u64::from(points));
    }

    /// A reader is done with a record that was given out; `false` if that was given up meanwhile.
    ///
    /// # Errors
    /// The disk's. It is done all the same, and written with the next.
    pub fn settle(&mut self, reader: ReaderNumber, sequence: u64) -> io::Result<bool> {
        let one = &mut self.readers[reader.0];
        let Some(points) = one.out.remove(&sequence) else { return Ok(false) };
        let is_new = one.state.settle(sequence, Some(points));
        one.pass_voids(&self.ground);
        self.write_cursor(reader.0)?;
        Ok(is_new)
    }

    fn write_cursor(&mut self, number: usize) -> io::Result<()> {
        let one = &mut self.readers[number];
        one.note(&self.writer);
        one.cursor.write(&one.state)
    }

    /// Removes the segments that all readers are through with; what is damaged is put aside. Nothing is removed where there is
    /// no reader.
    ///
    /// # Errors
    /// The disk's; what is left is tried again by the next call.
    pub fn trim(&mut self) -> io::Result<()> {
        for number in 0..self.readers.len() {
            self.readers[number].pass_voids(&self.ground);
            if self.readers[number].cursor.is_unwritten() {
                self.write_cursor(number)?;
            }
        }
        let Some(floor) = self.readers.iter().map(|reader| reader.state.done).min() else { return Ok(()) };
        let current = self.writer.current().map(|(number, ..)| number);
        while let Some(oldest) = self.ground.segments.front().copied() {
            if current == Some(oldest.number) || oldest.next > floor + 1 {
                break;
            }
            if !is_planted(PlantedFault::UnlinkFirst) {
                for one in &mut self.readers {
                    one.note(&self.writer);
                    one.cursor.make_durable(&one.state, oldest.next.saturating_sub(1))?;
                }
            }
            self.ground.remove_oldest(self.damaged_bytes_max)?;
        }
        self.reading.forget(&self.ground);
        Ok(())
    }

    /// Gives the oldest segment up, whoever is not through with it; what each of those loses.
    ///
    /// # Errors
    /// The disk's, where it could not be removed. It is given up all the same, which the readers' tallies have.
    pub fn drop_oldest(&mut self) -> (Vec<(ReaderNumber, LostRecords)>, io::Result<()>) {
        let Some(oldest) = self.ground.segments.front().copied() else { return (Vec::new(), Ok(())) };
        self.writer.leave_if(oldest.number);
        let all = 0..self.readers.len();
        let dropped =
            all.filter_map(|number| Some((ReaderNumber(number), self.drop_segment(number, &oldest)?))).collect();
        (dropped, self.trim())
    }

    /// Gives up what a reader has behind more than so many bytes, oldest first, in whole segments; the one that is written stays.
    ///
    /// # Errors
    /// The disk's, as above.
    pub fn drop_behind(&mut self, reader: ReaderNumber, bytes_max: u64) -> (Vec<LostRecords>, io::Result<()>) {
        let mut dropped = Vec::new();
        let current = self.writer.current().map(|(number, ..)| number);
        while self.bytes_behind(&self.readers[reader.0]) > bytes_max {
            let done = self.readers[reader.0].state.done;
            let oldest = self.ground.segments.iter().find(|info| info.next > done + 1).copied();
            let Some(oldest) = oldest.filter(|oldest| Some(oldest.number) != current) else { break };
            dropped.extend(self.drop_segment(reader.0, &oldest));
        }
        (dropped, self.trim())
    }

    fn drop_segment(&mut self, number: usize, segment: &SegmentInfo) -> Option<LostRecords> {
        let one = &mut self.readers[number];
        one.pass_voids(&self.ground);
        let (mut through, mut points_to) = (segment.next.max(1) - 1, segment.next_points);
        if let Some(void) = self.ground.void_at(through) {
            (through, points_to) = (void.to, Some(void.points_behind));
        }
        if through <= one.state.done {
            return None;
        }
        let dropped = one.left(&self.ground, through, points_to);
        one.state.dropped.add(dropped.records, dropped.points);
        one.pass(through, points_to);
        // a cursor that could not be written keeps the segment
        let _ = self.write_cursor(number);
        Some(dropped)
    }
}

impl LogReader {
    /// What the slot says of the log.
    fn note(&mut self, writer: &LogWriter) {
        self.state.next = writer.next();
        self.state.next_points = Some(writer.points());
        self.state.segment = writer.newest_number();
    }

    fn pass_voids(&mut self, ground: &LogGround) {
        while let Some(void) = ground.void_at(self.state.done + 1) {
            self.state.jump(void.to, Some(void.points_behind));
        }
        self.given = self.given.max(self.state.done);
    }

    /// What is neither done nor void of all up to `through`, before which there are `points_to` and its own points.
    fn left(&self, ground: &LogGround, through: u64, points_to: Option<u64>) -> LostRecords {
        let from = self.state.done + 1;
        let less = |all: Option<u64>, part: Option<u64>| all.zip(part).and_then(|(all, part)| all.checked_sub(part));
        let (mut records, mut points) = (through + 1 - from, less(points_to, self.state.points));
        for void in ground.voids.iter().filter(|void| void.from >= from && void.to <= through) {
            records = records.saturating_sub(void.to - void.from + 1);
            points = less(points, less(Some(void.points_behind), void.points_from));
        }
        for (_, done) in self.state.ahead.range(..=through) {
            records = records.saturating_sub(1);
            points = less(points, *done);
        }
        LostRecords { from, through, records, points }
    }

    /// It is through with all up to `through`.
    fn pass(&mut self, through: u64, points_to: Option<u64>) {
        self.state.jump(through, points_to);
        self.given = self.given.max(self.state.done);
        self.out = self.out.split_off(&(self.state.done + 1));
    }

    fn give(&mut self, sequence: u64, points: u64) {
        self.given = sequence;
        self.out.insert(sequence, points);
    }
}

impl LogNames {
    fn read(folder: &dyn DiskFolder, report: &mut LogReport) -> Result<LogNames, BufferError> {
        let entries = twice(|| folder.list()).map_err(|error| BufferError::Disk("the log cannot be listed", error))?;
        let mut names = LogNames::default();
        for entry in entries {
            let is_file = entry.kind == EntryKind::File;
            match SegmentName::parse(&entry.name).filter(|_| is_file) {
                Some(SegmentName::Segment(number)) => {
                    names.segments.push(number);
                    names.newest = names.newest.max(number);
                }
                Some(SegmentName::Damaged(number)) => {
                    names.newest = names.newest.max(number);
                    names.damaged_bytes += folder.open(&entry.name).and_then(|file| file.bytes()).unwrap_or(0);
                }
                None if is_file && is_cursor_name(&entry.name) => names.cursors.push(entry.name),
                None if is_file && entry.name == super::names::ABOUT => {}
                // left from a crash while it was made
                None if is_file && entry.name.ends_with(".new") => drop(folder.unlink(&entry.name)),
                None if report.foreign.len() < FOREIGN_TOLD_MAX => report.foreign.push(entry.name),
                None => {}
            }
        }
        Ok(names)
    }
}

/// A segment's place in the list, its *voids*, and whether its end is unknown; none if it is gone.
fn survey_segment(
    ground: &LogGround,
    number: u64,
    report: &mut LogReport,
) -> Result<Option<(SegmentInfo, Vec<VoidRange>, bool)>, BufferError> {
    let file = match twice(|| ground.folder.open(&segment_name(number))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.ok(),
    };
    let unread = SegmentInfo { number, bytes: 0, first: 0, next: 0, next_points: None, is_damaged: true };
    let Some(file) = file else {
        report.damaged += 1;
        return Ok(Some((unread, Vec::new(), true)));
    };
    match survey(&*file, ground.stream, number) {
        Ok(found) => {
            report.unsealed += u64::from(!found.is_sealed);
            report.torn_bytes += found.torn_bytes;
            report.damaged += u64::from(found.info.is_damaged);
            report.epoch = report.epoch.max(found.epoch);
            Ok(Some((found.info, found.voids, found.is_end_unknown)))
        }
        Err(SegmentRefusal::Newer(version)) => Err(BufferError::Newer(version)),
        Err(SegmentRefusal::Unreadable) => {
            report.damaged += 1;
            Ok(Some((unread, Vec::new(), true)))
        }
    }
}
