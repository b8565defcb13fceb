//! The heads of a segment, one after the other, over whatever is damaged.
//!
//! Does not know what records mean, and reads no payload. Each byte of the file is looked at once at most; memory is one
//! chunk, whatever the file says.

use super::checksum::BytesPlace;
use super::planted::{PlantedFault, is_planted};
use super::record::{ALIGNED, HEAD_BYTES, MARK, RecordHead};
use crate::disk::FolderFile;
use crate::limits::{BUFFER_FILE_BYTES_MAX, KIB};
use std::io;

/// Read at once where heads follow each other: payloads are passed over.
const CHUNK_BYTES: usize = 4 * KIB;
/// Read at once where a head is searched for.
const SEARCH_BYTES: usize = 64 * KIB;
/// What cannot be read is passed over in pieces of so much.
const PAGE_BYTES: u64 = 4 * KIB as u64;

/// A head that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalkedHead {
    /// Where it lies.
    pub(super) at: u64,
    /// What it says.
    pub(super) head: RecordHead,
}

/// A way through one segment.
#[derive(Debug)]
pub(super) struct SegmentWalk<'a> {
    file: &'a dyn FolderFile,
    stream: u64,
    number: u64,
    bytes: u64,
    at: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
    /// Where the last head was no head, or could not be read.
    damaged_at: Option<u64>,
    /// Where the disk would not read, last.
    unreadable_at: Option<u64>,
}

impl<'a> SegmentWalk<'a> {
    /// A walk from the beginning.
    ///
    /// # Errors
    /// The disk's own, where it does not say how long the file is.
    pub(super) fn new(file: &'a dyn FolderFile, stream: u64, number: u64) -> io::Result<SegmentWalk<'a>> {
        let bytes = twice(|| file.bytes())?.min(BUFFER_FILE_BYTES_MAX as u64);
        let (chunk, chunk_at) = (Vec::new(), 0);
        Ok(SegmentWalk { file, stream, number, bytes, at: 0, chunk, chunk_at, damaged_at: None, unreadable_at: None })
    }

    /// Bytes of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where something before the newest head was damaged, last.
    pub(super) const fn damaged_at(&self) -> Option<u64> {
        self.damaged_at
    }

    /// Where the disk would not read, last.
    pub(super) const fn unreadable_at(&self) -> Option<u64> {
        self.unreadable_at
    }

    /// The next head whose record lies within the file.
    pub(super) fn next_head(&mut self) -> Option<WalkedHead> {
        while self.at + HEAD_BYTES as u64 <= self.bytes {
            let at = self.at;
            let is_searching = self.damaged_at.is_some_and(|damaged| damaged + ALIGNED == at);
            if self.fill(if is_searching { SEARCH_BYTES } else { CHUNK_BYTES }).is_err() {
                self.unreadable_at = Some(at);
                self.at = (at / PAGE_BYTES + 1) * PAGE_BYTES;
                // the next place is searched on from, like that behind a head that was none
                self.damaged_at = Some(self.at - ALIGNED);
                continue;
            }
            let from = (at - self.chunk_at) as usize;
            // a file that became shorter ends here
            let Some(bytes) = self.chunk.get(from..).and_then(|bytes| bytes.first_chunk::<HEAD_BYTES>()) else { break };
            let place = BytesPlace { stream: self.stream, file: self.number, at };
            let head = if bytes[..4] == MARK { RecordHead::decode(bytes, place) } else { None };
            match head {
                // torn: a record is believed only as far as the file goes, and nothing was written behind it
                Some(head) if head.end(at) > self.bytes => break,
                Some(head) => {
                    self.at = head.next_at(at);
                    return Some(WalkedHead { at, head });
                }
                None if is_planted(PlantedFault::NoResync) => break,
                None => {
                    self.damaged_at = Some(at);
                    self.at = at + ALIGNED;
                }
            }
        }
        None
    }

    /// Has a head at `self.at` in the chunk.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        let (end, chunk_end) = (self.at + HEAD_BYTES as u64, self.chunk_at + self.chunk.len() as u64);
        if self.chunk_at <= self.at && end <= chunk_end {
            return Ok(());
        }
        let wanted = (bytes as u64).min(self.bytes - self.at) as usize;
        self.chunk_at = self.at;
        for wanted in [wanted, HEAD_BYTES] {
            // where a whole chunk is not to be had, the head alone may be
            self.chunk.resize(wanted, 0);
            match twice(|| self.file.read_at(self.at, &mut self.chunk)) {
                Ok(read) => {
                    self.chunk.truncate(read);
                    return Ok(());
                }
                Err(error) if wanted == HEAD_BYTES => {
                    self.chunk.clear();
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// What fails is tried once more.
pub(super) fn twice<T>(mut what: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    what().or_else(|_| what())
}
