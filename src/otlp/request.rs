//! The envelope: requests, resources, scopes and metrics, split into their parts.
//!
//! Knows `ExportMetricsServiceRequest`, ResourceMetrics, ScopeMetrics and Metric. Fields may stand in any order and a
//! singular message may be split (protobuf merges it), so each part is scanned before its children are walked; the
//! scan skips children by their length. Split parts are joined in the caller's arena, which is how protobuf defines
//! their merging.

use super::schema::{Message, validate};
use crate::model::Kind;
use crate::wire::{Fault, Reader, WireType, check_utf8};
use bumpalo::Bump;

/// Joins two parts of a split message.
fn join<'a>(a: &'a [u8], b: &'a [u8], arena: &'a Bump) -> &'a [u8] {
    if a.is_empty() {
        return b;
    }
    if b.is_empty() {
        return a;
    }
    let mut all = bumpalo::collections::Vec::with_capacity_in(a.len() + b.len(), arena);
    all.extend_from_slice(a);
    all.extend_from_slice(b);
    all.into_bump_slice()
}

/// Calls `visit` with each length-delimited field 1 of `message`; skips the rest.
#[inline]
pub fn each<'a>(
    message: &'a [u8],
    number: u32,
    mut visit: impl FnMut(&'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut reader = Reader::new(message);
    let key = (number << 3 | 2) as u8;
    while !reader.is_empty() {
        if let Some(bytes) = reader.short(key) {
            visit(bytes)?;
            continue;
        }
        let field = reader.field()?;
        if field.number == number {
            reader.expect(field, WireType::Bytes)?;
            visit(reader.bytes()?)?;
        } else {
            // what the head scan has checked is not checked again
            reader.skip(field, 1)?;
        }
    }
    Ok(())
}

/// ResourceMetrics or ScopeMetrics without their children (field 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// `resource` (1) or `scope` (1), the message's bytes; not yet validated
    pub bytes: &'a [u8],
    /// `schema_url` (3); not yet validated
    pub schema_url: &'a [u8],
}

/// Scans a ResourceMetrics or ScopeMetrics.
pub fn head<'a>(message: &'a [u8], arena: &'a Bump) -> Result<Head<'a>, Fault> {
    let mut head = Head::default();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 => {
                reader.expect(field, WireType::Bytes)?;
                head.bytes = join(head.bytes, reader.bytes()?, arena);
            }
            2 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
            }
            3 => {
                reader.expect(field, WireType::Bytes)?;
                head.schema_url = reader.bytes()?;
                if reader_has_more(&reader) {
                    // an earlier value is overwritten but must be a string all the same
                    check_utf8(head.schema_url).map_err(|f| f.named("schema_url"))?;
                }
            }
            _ => reader.skip(field, 0)?,
        }
    }
    Ok(head)
}

fn reader_has_more(reader: &Reader<'_>) -> bool {
    !reader.is_empty()
}

/// A Metric without its points.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricHead<'a> {
    /// `name` (1); not yet validated
    pub name: &'a [u8],
    /// `description` (2); not yet validated
    pub description: &'a [u8],
    /// `unit` (3); not yet validated
    pub unit: &'a [u8],
    /// `data`: the member that was set last, its parts joined
    pub data: Option<(Kind, &'a [u8])>,
}

/// Scans a Metric.
pub fn metric<'a>(message: &'a [u8], arena: &'a Bump) -> Result<MetricHead<'a>, Fault> {
    let mut head = MetricHead::default();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        let kind = match field.number {
            1..=3 => {
                reader.expect(field, WireType::Bytes)?;
                let text = reader.bytes()?;
                let slot = match field.number {
                    1 => &mut head.name,
                    2 => &mut head.description,
                    _ => &mut head.unit,
                };
                if !slot.is_empty() {
                    check_utf8(slot).map_err(|f| f.named("Metric"))?;
                }
                *slot = text;
                continue;
            }
            5 => Kind::Gauge,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            11 => Kind::Summary,
            12 => {
                reader.expect(field, WireType::Bytes)?;
                validate(Message::KeyValue, reader.bytes()?, 1).map_err(|f| f.named("Metric.metadata"))?;
                continue;
            }
            _ => {
                reader.skip(field, 0)?;
                continue;
            }
        };
        reader.expect(field, WireType::Bytes)?;
        let bytes = reader.bytes()?;
        head.data = Some(match head.data {
            Some((before, parts)) if before == kind => (kind, join(parts, bytes, arena)),
            Some((before, parts)) => {
                // overwritten, but it must be well-formed all the same
                check_data(before, parts, arena)?;
                (kind, bytes)
            }
            None => (kind, bytes),
        });
    }
    Ok(head)
}

/// Faults unless the points of a `data` member that is not used are well-formed; changes nothing.
#[cold]
pub fn check_data(kind: Kind, data: &[u8], arena: &Bump) -> Result<(), Fault> {
    use super::points;
    if kind == Kind::Summary {
        return validate(Message::Summary, data, 1);
    }
    data_head(kind, data)?;
    each(data, 1, |message| {
        let (run, key) = match kind {
            Kind::Gauge | Kind::Sum => {
                (points::number(message, None, arena)?.attributes, points::NUMBER_ATTRIBUTES_KEY)
            }
            Kind::Histogram => (points::histogram(message, None, arena)?.attributes, points::HISTOGRAM_ATTRIBUTES_KEY),
            _ => (points::exponential(message, None, arena)?.attributes, points::EXPONENTIAL_ATTRIBUTES_KEY),
        };
        if let points::Attributes::Run(run) = run {
            let _ = super::attributes::normalise(run, key, &mut Vec::new())?;
        }
        Ok(())
    })
}

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

/// Skips a run of points whose lengths take one or two bytes, as nearly all do; `false` when there was none.
#[inline]
fn skip_points(reader: &mut Reader<'_>, points: &mut usize) -> bool {
    let whole = reader.rest();
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
    let mut reader = Reader::new(data);
    while !reader.is_empty() {
        if skip_points(&mut reader, &mut head.points) {
            continue;
        }
        let field = reader.field()?;
        match field.number {
            1 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                head.points += 1;
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
    }
    Ok(head)
}
