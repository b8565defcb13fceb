//! The head of a record: 64 bytes, written and read.
//!
//! ```text
//!   at   bytes
//!    0   4      mark CA 7C 4E 52
//!    4   4      CRC-32C of the head from 8 on, begun with that of (log, segment, offset)
//!    8   4      bytes of the payload: believed only once the CRC fits, and only as far as the file goes
//!   12   1 1 2  kind, how the body is packed, shard
//!   16   8      sequence: one more each record, never used again
//!   24   8      points of all records before this one: what is missing is known to the point
//!   32   4 4 4  points, cut, number within (cut, shard)
//!   44   4      CRC-32C of the payload
//!   48   8 8    wall time in nanoseconds, epoch                                   all little endian
//! ```
//!
//! Then the payload: a byte that says how long the tenant is, the tenant, the body; then zeros to a multiple of 8.
//! *Open* is the first record of a segment, with sequence and points of what follows, and the version in place of the cut.
//! *Seal* is the last, with the same of what would follow. *Void* says that the records from the one whose sequence stands in
//! place of cut and number (8 bytes) up to itself never counted; its points are theirs. Neither *open* nor *seal* has a
//! sequence of its own.

use super::checksum::{BytesPlace, long, word};
use super::planted::{PlantedFault, is_planted};
use crate::limits::BUFFER_RECORD_BYTES_MAX;

/// Bytes of a head.
pub(super) const HEAD_BYTES: usize = 64;
/// What a head begins with.
pub(super) const MARK: [u8; 4] = [0xCA, 0x7C, 0x4E, 0x52];
/// Records begin at multiples of it.
pub(super) const ALIGNED: u64 = 8;
/// No sequence and no sum of points gets here: what says so is not ours, and sums need not be watched.
pub(super) const SEQUENCE_END: u64 = 1 << 62;
/// The version of segments that are written.
pub(super) const VERSION: u32 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Something that waits to be sent.
    Batch = 1,
    /// The end of a segment.
    Seal = 2,
    /// The beginning of one.
    Open = 3,
    /// Records before it never counted.
    Void = 4,
    /// Something that was refused for good.
    DeadLetter = 5,
}

impl RecordKind {
    const ALL: [RecordKind; 5] =
        [RecordKind::Batch, RecordKind::Seal, RecordKind::Open, RecordKind::Void, RecordKind::DeadLetter];

    /// Whether it has a sequence of its own and a payload.
    pub(super) const fn is_content(self) -> bool {
        matches!(self, RecordKind::Batch | RecordKind::DeadLetter)
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What it is.
    pub kind: RecordKind,
    /// How the body is packed; the room does not look at it.
    pub packed: u8,
    /// The shard it is from.
    pub shard: u16,
    /// One more each record.
    pub sequence: u64,
    /// Points of all records before it.
    pub points_before: u64,
    /// Its points.
    pub points: u32,
    /// The cut it is of; of an *open*, the version.
    pub cut: u32,
    /// Its number within cut and shard.
    pub number: u32,
    /// Bytes of its payload.
    pub payload_bytes: u32,
    /// The payload's checksum.
    pub payload_checksum: u32,
    /// Wall time at which it was written, nanoseconds.
    pub at_ns: u64,
    /// The start it is of: one more each.
    pub epoch: u64,
}

impl RecordHead {
    /// A head without a payload.
    pub(super) const fn bare(kind: RecordKind, sequence: u64, points_before: u64, epoch: u64) -> RecordHead {
        let version = if matches!(kind, RecordKind::Open) { VERSION } else { 0 };
        RecordHead {
            kind,
            packed: 0,
            shard: 0,
            sequence,
            points_before,
            points: 0,
            cut: version,
            number: 0,
            payload_bytes: 0,
            payload_checksum: 0,
            at_ns: 0,
            epoch,
        }
    }

    /// The *void* with this sequence, of all from `from` on, which have so many points.
    pub(super) const fn void(from: u64, sequence: u64, points: u32, points_before: u64, epoch: u64) -> RecordHead {
        let bare = RecordHead::bare(RecordKind::Void, sequence, points_before, epoch);
        RecordHead { points, cut: from as u32, number: (from >> 32) as u32, ..bare }
    }

    /// Of a *void*: the first that never counted.
    pub(super) const fn void_from(&self) -> u64 {
        self.cut as u64 | (self.number as u64) << 32
    }

    /// The head as it lies at its place.
    pub(super) fn encode(&self, place: BytesPlace) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&MARK);
        bytes[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        (bytes[12], bytes[13]) = (self.kind as u8, self.packed);
        bytes[14..16].copy_from_slice(&self.shard.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.points_before.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.points.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.cut.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.number.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.payload_checksum.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.at_ns.to_le_bytes());
        bytes[56..].copy_from_slice(&self.epoch.to_le_bytes());
        let checksum = place.checksum(checked(&bytes));
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The head that lies at a place; none where the bytes are no head of that place.
    pub(super) fn decode(bytes: &[u8; HEAD_BYTES], place: BytesPlace) -> Option<RecordHead> {
        if bytes[..4] != MARK || place.checksum(checked(bytes)) != word(bytes, 4) {
            return None;
        }
        let kind = RecordKind::ALL.into_iter().find(|kind| *kind as u8 == bytes[12])?;
        let head = RecordHead {
            kind,
            packed: bytes[13],
            shard: u16::from_le_bytes([bytes[14], bytes[15]]),
            sequence: long(bytes, 16),
            points_before: long(bytes, 24),
            points: word(bytes, 32),
            cut: word(bytes, 36),
            number: word(bytes, 40),
            payload_bytes: word(bytes, 8),
            payload_checksum: word(bytes, 44),
            at_ns: long(bytes, 48),
            epoch: long(bytes, 56),
        };
        let is_ours = head.payload_bytes as usize <= BUFFER_RECORD_BYTES_MAX
            && head.sequence < SEQUENCE_END
            && head.points_before < SEQUENCE_END
            && (head.kind != RecordKind::Void || head.void_from() <= head.sequence);
        is_ours.then_some(head)
    }

    /// Behind the payload of a record that lies at `at`.
    pub(super) const fn end(&self, at: u64) -> u64 {
        at + HEAD_BYTES as u64 + self.payload_bytes as u64
    }

    /// Where the next record is.
    pub(super) const fn next_at(&self, at: u64) -> u64 {
        self.end(at).next_multiple_of(ALIGNED)
    }
}

/// What the checksum is of.
fn checked(bytes: &[u8; HEAD_BYTES]) -> &[u8] {
    if is_planted(PlantedFault::LengthUnchecked) { &bytes[12..] } else { &bytes[8..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: BytesPlace = BytesPlace { stream: 3, file: 5, at: 64 };

    fn sample() -> RecordHead {
        RecordHead {
            kind: RecordKind::DeadLetter,
            packed: 2,
            shard: 0x0403,
            sequence: 0x1_0000_0007,
            points_before: (1 << 62) - 2,
            points: 12,
            cut: 13,
            number: 14,
            payload_bytes: 15,
            payload_checksum: 16,
            at_ns: 17,
            epoch: 18,
        }
    }

    /// The bytes stand in the table above: another build reads them.
    #[test]
    fn a_head_lies_as_the_table_says() {
        let bytes = sample().encode(PLACE);
        let checksum = PLACE.checksum(&bytes[8..]).to_le_bytes();
        let mut table = vec![0xCA, 0x7C, 0x4E, 0x52];
        table.extend(checksum);
        table.extend([15, 0, 0, 0, 5, 2, 3, 4, 7, 0, 0, 0, 1, 0, 0, 0]);
        table.extend([0xFE, 255, 255, 255, 255, 255, 255, 0x3F, 12, 0, 0, 0, 13, 0, 0, 0, 14, 0, 0, 0, 16, 0, 0, 0]);
        table.extend([17, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[..], table[..]);
        assert_eq!(RecordHead::decode(&bytes, PLACE), Some(sample()));
        assert_eq!((sample().end(64), sample().next_at(64)), (143, 144));
        let void = RecordHead::void(0x1_0000_0002, 0x1_0000_0009, 4, 5, 6);
        assert_eq!((void.void_from(), void.points, void.kind.is_content()), (0x1_0000_0002, 4, false));
        assert_eq!(RecordHead::bare(RecordKind::Open, 1, 0, 0).cut, 1);
    }

    #[test]
    fn a_head_with_any_bit_flipped_or_at_another_place_is_none() {
        let bytes = sample().encode(PLACE);
        for bit in 0..HEAD_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHead::decode(&flipped, PLACE), None, "bit {bit}");
        }
        assert_eq!(RecordHead::decode(&bytes, BytesPlace { at: 72, ..PLACE }), None);
        assert_eq!(RecordHead::decode(&bytes, BytesPlace { file: 6, ..PLACE }), None);
        assert_eq!(RecordHead::decode(&[0; HEAD_BYTES], PLACE), None, "a page of zeros");
        // a checksum that fits is not enough
        let long = RecordHead { payload_bytes: BUFFER_RECORD_BYTES_MAX as u32 + 1, ..sample() };
        assert_eq!(RecordHead::decode(&long.encode(PLACE), PLACE), None);
        let late = RecordHead { sequence: SEQUENCE_END, ..sample() };
        assert_eq!(RecordHead::decode(&late.encode(PLACE), PLACE), None);
        let mut unknown = bytes;
        unknown[12] = 6;
        let checksum = PLACE.checksum(&unknown[8..]).to_le_bytes();
        unknown[4..8].copy_from_slice(&checksum);
        assert_eq!(RecordHead::decode(&unknown, PLACE), None);
    }
}
