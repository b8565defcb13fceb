//! What waits, on disk: logs of records that outlive the process, or the loss of power, and for each reader how far it is.
//!
//! Knows records, segments and cursors; does not know OTLP, nor who reads, nor which thread it is on: it does what it is
//! asked, at once, and whoever must not wait for a disk asks from a thread that may. Nothing of the running program asks yet:
//! the thread that owns it, and the way from the queues of `deliver`, come next.
//!
//! ```text
//!   DIR/lock, format                    one process; "catchment buffer 1\n", a newer one is refused (folder)
//!   DIR/out/H/about, *.cur, *.seg       a log: the hash of its name; a cursor a reader; segments by number (log)
//!   DIR/out/H/*.bad                     segments in which something was damaged, kept when all was done with them
//!   DIR/dead/H/                         the same, for dead letters (dead)
//!
//!   segment   open | void void | record … | seal       64 bytes of head, payload, zeros to 8 (record)
//!   append ─► writer ─► segments ─► walk, segment ─► reading ─► take ─► settle ─► cursor ─► trim
//! ```
//!
//! Invariants
//! 1. What was appended is there after the process was killed; what `sync` said to be durable, after power was lost.
//! 2. Nothing is given out twice in a life, or again after a kill once its settling was written; after the loss of power what
//!    was settled since the last cursor on the platter may be.
//! 3. No payload is given out but one that was appended, whole, in its place: each head's checksum begins with log, segment and
//!    offset, and covers how long the payload is, and the payload's own.
//! 4. What is lost is said, by records and to the point: each head has the points of all records before it. Where nothing tells
//!    (no head behind it, a cursor that cannot be read) it is said to be unknown, never none. A torn end is no loss: it never
//!    counted.
//! 5. A bit that is flipped costs one record at most; a start reads on behind what is damaged.
//! 6. A write that failed is tried at the same place or in a new segment, with the same number; after a sync that failed its
//!    segment is not trusted again, and what was not durable is written to another.
//! 7. A file is removed only when the cursors that are past it are on the platter.
//!
//! Bounds: a log takes what it is given until `drop_oldest` or `drop_behind` is asked; `limits::BUFFER_*` bound a record, a
//! segment, names and what is put aside. Memory: the heads of one segment for each reader and two more (24 bytes a record), one
//! record, what waits for a sync, one chunk of 64 KiB at the start. A start reads two places of each sealed segment, all heads of
//! the others.
//!
//! *Progress*: blocks on the disk. Each reader's records are settled in any order within 64; all calls are from one thread.
//!
//! Sources: CRC-32C, RFC 3720 (12.1); FNV-1a, draft-eastlake-fnv. What may be on a disk after a crash is the seam's
//! (`disk::SimulatedDisk`); the proof is in `tests`: `CRASH_IMAGES=1000000` and `DAMAGED_FOLDERS=300000` make it long.

mod checksum;
mod cursor;
mod dead;
mod folder;
mod fuzz;
mod ground;
mod log;
mod names;
mod payload;
mod planted;
mod reading;
mod record;
mod segment;
mod walk;
mod writer;

pub use cursor::{CURSOR_WINDOW, RecordTally};
pub use dead::DeadLetter;
pub use folder::{BufferFolder, ListedLog, LogKind};
#[doc(hidden)]
pub use fuzz::fuzz_recovery;
pub use log::{BufferError, BufferLog, ListedReader, LogOptions, LogReport, LogTaken, LostRecords, ReaderNumber};
pub use names::NameFault;
pub use payload::LogRecord;
pub use record::{RecordHead, RecordKind};
pub use writer::{AppendError, NewRecord, WriterOptions};

#[cfg(test)]
mod tests;
