//! A dead letter: what was refused for good, with the reason, as the body of a record of its own kind.
//!
//! ```text
//!   body   version u8 = 1 | status u16 | made at u64 | epoch u64 | bytes u16, destination | bytes u16, reason | what was sent
//! ```
//!
//! All little endian. The record's head has the rest: tenant, points, how the body is packed, shard, cut and number, and when it
//! was refused. Does not know what a status means, nor who refused.

use super::payload::LogRecord;
use super::record::RecordKind;
use crate::limits::{BUFFER_NAME_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX};
use bytes::Bytes;

const VERSION: u8 = 1;

/// What was refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Who refused it: at most `limits::BUFFER_NAME_BYTES_MAX` bytes are kept.
    pub destination: String,
    /// Why: at most `limits::ERROR_MESSAGE_BYTES_MAX` bytes are kept.
    pub reason: String,
    /// The status of the answer; 0 where there was none.
    pub status: u16,
    /// Wall time of the record that was refused, nanoseconds.
    pub made_at_ns: u64,
    /// Its epoch.
    pub epoch: u64,
    /// What was sent.
    pub body: Bytes,
}

impl DeadLetter {
    /// The body of its record.
    pub fn encode(&self) -> Bytes {
        let (destination, reason) =
            (cut(&self.destination, BUFFER_NAME_BYTES_MAX), cut(&self.reason, ERROR_MESSAGE_BYTES_MAX));
        let mut bytes = Vec::with_capacity(23 + destination.len() + reason.len() + self.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.status.to_le_bytes());
        bytes.extend_from_slice(&self.made_at_ns.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for text in [destination, reason] {
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.body);
        Bytes::from(bytes)
    }

    /// The letter of a record; none where that is no dead letter that this version reads.
    pub fn of(record: &LogRecord) -> Option<DeadLetter> {
        let (version, rest) = record.body.split_first()?;
        if record.head.kind != RecordKind::DeadLetter || *version != VERSION {
            return None;
        }
        let (status, rest) = rest.split_first_chunk()?;
        let (made_at, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (destination, rest) = text(rest)?;
        let (reason, rest) = text(rest)?;
        Some(DeadLetter {
            destination,
            reason,
            status: u16::from_le_bytes(*status),
            made_at_ns: u64::from_le_bytes(*made_at),
            epoch: u64::from_le_bytes(*epoch),
            body: record.body.slice(record.body.len() - rest.len()..),
        })
    }
}

/// A text behind its length, and what follows.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), rest))
}

/// So many bytes of a text, or fewer: whole letters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

const _: () = assert!(BUFFER_NAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(ERROR_MESSAGE_BYTES_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{BufferFolder, LogKind, LogOptions, LogTaken, NewRecord, WriterOptions};
    use crate::disk::SimulatedDisk;

    fn letter() -> DeadLetter {
        DeadLetter {
            destination: "http://backend:4318".into(),
            reason: "no such tenant".into(),
            status: 400,
            made_at_ns: 7,
            epoch: 8,
            body: Bytes::from_static(b"what was sent"),
        }
    }

    #[test]
    fn a_letter_is_found_in_the_next_life_with_its_reason() {
        let disk = SimulatedDisk::new(Box::new(|_| 0));
        let writer =
            WriterOptions { segment_bytes: 10_000, keeps_unsynced: true, unsynced_bytes_max: 10_000, epoch: 1 };
        let options = LogOptions { writer, bytes_max: 100_000 };
        let (kind, tenant, body) = (RecordKind::DeadLetter, "t", letter().encode());
        let folder = BufferFolder::open(disk.root(), "").unwrap();
        let (mut log, _) = folder.log(LogKind::Dead, "view", options).unwrap();
        log.reader("purged").unwrap();
        let new = NewRecord { kind, packed: 2, shard: 3, points: 4, cut: 5, number: 6, at_ns: 9, tenant, body };
        log.append(&new).unwrap();
        log.sync().unwrap();
        drop((log, folder));
        let folder = BufferFolder::open(disk.root(), "").unwrap();
        let (mut log, _) = folder.log(LogKind::Dead, "view", options).unwrap();
        let reader = log.reader("purged").unwrap();
        let LogTaken::Record(record) = log.take(reader, u64::MAX) else { panic!("it is there") };
        assert_eq!(DeadLetter::of(&record), Some(letter()));
        let head = record.head;
        assert_eq!((head.packed, head.shard, head.points, head.cut, head.number, head.at_ns), (2, 3, 4, 5, 6, 9));
        // cut anywhere it is no letter, or one whose body is shorter
        for end in 0..record.body.len() {
            let short = LogRecord { body: record.body.slice(..end), ..record.clone() };
            let whole = 23 + letter().destination.len() + letter().reason.len();
            assert_eq!(DeadLetter::of(&short).is_some(), end >= whole, "{end}");
        }
        let mut newer = record.body.to_vec();
        newer[0] = 2;
        assert_eq!(DeadLetter::of(&LogRecord { body: newer.into(), ..record.clone() }), None);
        let batch = crate::buffer::RecordHead { kind: RecordKind::Batch, ..record.head };
        assert_eq!(DeadLetter::of(&LogRecord { head: batch, ..record }), None);
    }

    #[test]
    fn what_is_long_is_cut_at_a_letter() {
        let long = DeadLetter { destination: "é".repeat(5_000), reason: "x".repeat(100_000), ..letter() };
        let body = long.encode();
        assert_eq!(body.len(), 23 + BUFFER_NAME_BYTES_MAX + ERROR_MESSAGE_BYTES_MAX + letter().body.len());
        assert_eq!(cut("éé", 3), "é");
        assert_eq!((cut("", 3), cut("abc", 0), cut("abc", 9)), ("", "", "abc"));
    }
}
