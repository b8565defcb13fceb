//! Finds records of a log by their sequence.
//!
//! Knows segments and their heads, of which it keeps those of a few segments; does not know who reads, or in which order.

use super::checksum::BytesPlace;
use super::ground::LogGround;
use super::payload::{LogRecord, RecordRead, read_record};
use super::segment::{IndexEntry, SegmentIndex, SegmentInfo, segment_name};
use super::walk::twice;
use super::writer::LogWriter;
use crate::disk::FolderFile;
use std::collections::VecDeque;

/// Segments whose heads are kept beside one for each reader: of a segment that was written again there are two.
const INDEXES_SPARE: usize = 2;

/// A segment whose heads were read. Without a file it could not be read at all.
#[derive(Debug)]
struct KnownSegment {
    number: u64,
    file: Option<Box<dyn FolderFile>>,
    index: SegmentIndex,
}

/// Who finds records.
#[derive(Debug, Default)]
pub(super) struct LogReading {
    known: VecDeque<KnownSegment>,
}

impl LogReading {
    /// The first record that is there from a sequence on.
    pub(super) fn locate(
        &mut self,
        ground: &mut LogGround,
        writer: &LogWriter,
        from: u64,
        readers: usize,
    ) -> Option<IndexEntry> {
        let mut best: Option<IndexEntry> = None;
        let segments = ground.segments.iter();
        let may_have: Vec<_> = segments.filter(|info| info.next > from).copied().collect();
        for SegmentInfo { number, first, next, .. } in may_have {
            // one that was written again lies behind later ones
            if best.is_some_and(|best| best.sequence <= first.max(from)) {
                continue;
            }
            let found = self.with(ground, writer, number, readers, |entries, _| {
                // what was torn behind its end is in the file still
                let entry = entries.get(entries.partition_point(|entry| entry.sequence < from)).copied();
                entry.filter(|entry| entry.sequence < next)
            });
            let is_better = |entry: &IndexEntry| best.is_none_or(|best| entry.sequence < best.sequence);
            best = found.flatten().filter(is_better).or(best);
        }
        best
    }

    /// The record with a sequence, from the first segment in which it is whole.
    pub(super) fn read(
        &mut self,
        ground: &mut LogGround,
        writer: &LogWriter,
        sequence: u64,
        readers: usize,
    ) -> Option<LogRecord> {
        let segments = ground.segments.iter();
        let may_have: Vec<u64> =
            segments.filter(|info| (info.first..info.next).contains(&sequence)).map(|info| info.number).collect();
        let stream = ground.stream;
        for number in may_have {
            let read = self.with(ground, writer, number, readers, |entries, file| {
                let entry = entries.get(entries.partition_point(|entry| entry.sequence < sequence))?;
                let place = BytesPlace { stream, file: number, at: u64::from(entry.at) };
                (entry.sequence == sequence).then(|| read_record(file, place))
            });
            match read.flatten() {
                Some(RecordRead::Whole(record)) if record.head.sequence == sequence => return Some(record),
                Some(_) => mark_damaged(ground, number),
                None => {}
            }
        }
        None
    }

    /// Forgets what is known of segments that are gone.
    pub(super) fn forget(&mut self, ground: &LogGround) {
        self.known.retain(|known| ground.segments.iter().any(|info| info.number == known.number));
    }

    /// Asks a segment's records; none where its file cannot be read.
    fn with<T>(
        &mut self,
        ground: &mut LogGround,
        writer: &LogWriter,
        number: u64,
        readers: usize,
        ask: impl FnOnce(&[IndexEntry], &dyn FolderFile) -> T,
    ) -> Option<T> {
        if let Some((current, file, entries)) = writer.current()
            && current == number
        {
            return Some(ask(entries, file));
        }
        if !self.known.iter().any(|known| known.number == number) {
            let known = KnownSegment::read(ground, number);
            if known.file.is_none() {
                mark_damaged(ground, number);
            }
            self.known.push_back(known);
            while self.known.len() > readers + INDEXES_SPARE {
                self.known.pop_front();
            }
        }
        let known = self.known.iter().find(|known| known.number == number)?;
        known.file.as_ref().map(|file| ask(&known.index.entries, &**file))
    }
}

impl KnownSegment {
    fn read(ground: &LogGround, number: u64) -> KnownSegment {
        let read = twice(|| ground.folder.open(&segment_name(number)))
            .and_then(|file| SegmentIndex::read(&*file, ground.stream, number).map(|index| (file, index)));
        match read {
            Ok((file, index)) => KnownSegment { number, file: Some(file), index },
            Err(_) => KnownSegment { number, file: None, index: SegmentIndex::default() },
        }
    }
}

fn mark_damaged(ground: &mut LogGround, number: u64) {
    if let Some(info) = ground.segment(number) {
        info.is_damaged = true;
    }
}
