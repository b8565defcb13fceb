//! The `data` of a metric without its points.
//!
//! Knows Sum, Gauge, Histogram, ExponentialHistogram and Summary (OTLP 1.x, metrics.proto); does not know points: they are
//! counted, and skipped by their length.

use super::message::{OwnFields, check_messages};
use crate::limits::KIB;
use crate::model::Kind;
use crate::wire::{Fault, Reader, WireType};

/// What a Sum, Gauge, Histogram or ExponentialHistogram says beside its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataHead {
    /// `aggregation_temporality` (2), as it came
    pub temporality: i32,
    /// `is_monotonic` (3) of a Sum
    pub monotonic: bool,
    /// number of points
    pub points: usize,
}

/// Bytes of points that are skipped between two looks at their number.
const SKIP_BYTES: usize = 256 * KIB;

/// Skips a run of points whose lengths take one or two bytes, as nearly all do; `false` when there was none.
#[inline]
fn skip_points(reader: &mut Reader<'_>, points: &mut usize) -> bool {
    let whole = &reader.rest()[..reader.left().min(SKIP_BYTES)];
    let mut at = 0;
    while let Some([0x0a, a, b]) = whole[at..].first_chunk::<3>() {
        let end = match (*a, *b) {
            (a, _) if a < 0x80 => at + 2 + a as usize,
            (a, b) if b < 0x80 => at + 3 + (a as usize & 0x7f | (b as usize) << 7),
            _ => break,
        };
        if end > whole.len() {
            break;
        }
        *points += 1;
        at = end;
    }
    reader.advance(at);
    at > 0
}

/// Scans a data member; its points are skipped by their length.
#[inline]
pub fn data_head(kind: Kind, data: &[u8]) -> Result<DataHead, Fault> {
    let mut head = DataHead::default();
    let mut own = OwnFields::default();
    let mut reader = Reader::new(data);
    while !reader.is_empty() {
        if skip_points(&mut reader, &mut head.points) {
            check_messages(head.points as u64)?;
            continue;
        }
        let field = reader.field()?;
        match field.number {
            1 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                head.points += 1;
                continue;
            }
            2 if kind != Kind::Gauge && kind != Kind::Summary => {
                reader.expect(field, WireType::Varint)?;
                head.temporality = reader.varint()? as i32;
            }
            3 if kind == Kind::Sum => {
                reader.expect(field, WireType::Varint)?;
                head.monotonic = reader.varint()? != 0;
            }
            _ => reader.skip(field, 1)?,
        }
        own.field()?;
    }
    check_messages(head.points as u64)?;
    Ok(head)
}
