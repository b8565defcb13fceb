//! The envelope: requests, resources, scopes and metrics, split into their parts.
//!
//! Knows `ExportMetricsServiceRequest`, ResourceMetrics, ScopeMetrics and Metric. Fields may stand in any order and a
//! singular message may be split (protobuf merges it), so each part is scanned before its children are walked; the
//! scan skips children by their length. Split parts are joined in the caller's arena, which is how protobuf defines
//! their merging.

use super::check::check_data;
use super::message::{OwnFields, check_bytes, join};
use super::schema::{Message, validate};
use crate::limits::{HEAD_BYTES_WHOLE, NAME_BYTES_LIMIT};
use crate::model::{Kind, TypeHints};
use crate::wire::{Fault, Reader, WireType, check_utf8};
use bumpalo::Bump;

pub use super::data::{DataHead, data_head};
pub use super::message::{Each, each};

/// ResourceMetrics or ScopeMetrics without their children (field 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// `resource` (1) or `scope` (1), the message's bytes; not yet validated
    pub bytes: &'a [u8],
    /// `schema_url` (3); not yet validated
    pub schema_url: &'a [u8],
    /// It was longer, and was cut to the limits
    pub is_cut: bool,
}

impl Head<'_> {
    /// Whether both are the same bytes of one request: they lie in the same place.
    pub fn is_in_place_of(&self, other: &Head<'_>) -> bool {
        std::ptr::eq(self.bytes, other.bytes) && std::ptr::eq(self.schema_url, other.schema_url)
    }
}

/// Scans a ResourceMetrics or ScopeMetrics; nothing if it says too much to be read in one go (`cut` reads it).
pub fn head<'a>(message: &'a [u8], arena: &'a Bump) -> Result<Option<Head<'a>>, Fault> {
    let mut head = Head::default();
    let (mut parts, mut bytes) = (0, 0);
    let mut own = OwnFields::default();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let before = reader.left();
        let field = reader.field()?;
        match field.number {
            1 => {
                reader.expect(field, WireType::Bytes)?;
                head.bytes = reader.bytes()?;
                parts += 1;
            }
            2 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                own.child()?;
                continue;
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
        own.field()?;
        bytes += before - reader.left();
        if bytes > HEAD_BYTES_WHOLE || head.schema_url.len() > NAME_BYTES_LIMIT {
            return Ok(None);
        }
    }
    if parts > 1 {
        head.bytes = join(message, 1, arena)?;
    }
    Ok(Some(head))
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
    /// What the `metadata` (12) of a gauge or sum says of its Prometheus type
    pub hints: TypeHints,
    /// `data`: the member that was set last, its parts joined
    pub data: Option<(Kind, &'a [u8])>,
}

/// Scans a Metric; nothing if it says too much to be checked in one go, unless it is `checked` (`cut` does that).
pub fn metric<'a>(message: &'a [u8], checked: bool, arena: &'a Bump) -> Result<Option<MetricHead<'a>>, Fault> {
    let mut head = MetricHead::default();
    let room = if checked { usize::MAX } else { HEAD_BYTES_WHOLE };
    // the member of `data` that was set last: where its first part stands, its field, and the number of its parts
    let (mut from, mut number, mut parts) = (0, 0, 0);
    let (mut own, mut own_bytes, mut data_bytes) = (OwnFields::default(), 0, 0);
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let at = message.len() - reader.left();
        let field = reader.field()?;
        let kind = match field.number {
            1..=3 => {
                reader.expect(field, WireType::Bytes)?;
                let text = reader.bytes()?;
                own.field()?;
                own_bytes += text.len();
                if own_bytes > room {
                    return Ok(None);
                }
                let slot = match field.number {
                    1 => &mut head.name,
                    2 => &mut head.description,
                    _ => &mut head.unit,
                };
                if !slot.is_empty() && !checked {
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
                let pair = reader.bytes()?;
                own.field()?;
                own_bytes += pair.len();
                if own_bytes > room {
                    return Ok(None);
                }
                if !checked {
                    validate(Message::KeyValue, pair, 1).map_err(|f| f.named("Metric.metadata"))?;
                }
                if pair.len() <= NAME_BYTES_LIMIT {
                    head.hints = head.hints.and(type_hint(pair));
                }
                continue;
            }
            _ => {
                reader.skip(field, 0)?;
                own.field()?;
                continue;
            }
        };
        reader.expect(field, WireType::Bytes)?;
        let bytes = reader.bytes()?;
        data_bytes += message.len() - reader.left() - at;
        if head.data.is_some() {
            // what comes in parts, or is set again, is read in one go
            check_bytes(data_bytes)?;
        }
        if let Some((before, data)) = head.data
            && before != kind
        {
            // overwritten, but it must be well-formed all the same
            let data = if parts > 1 { join(&message[from..at], number, arena)? } else { data };
            check_data(before, data, arena)?;
            parts = 0;
        }
        if parts == 0 {
            (from, number) = (at, field.number);
        }
        parts += 1;
        head.data = Some((kind, bytes));
    }
    if let Some((_, data)) = &mut head.data
        && parts > 1
    {
        *data = join(&message[from..], number, arena)?;
    }
    if !matches!(head.data, Some((Kind::Gauge | Kind::Sum, _))) {
        head.hints = TypeHints::NONE;
    }
    Ok(Some(head))
}

/// What a validated KeyValue says if it is `prometheus.type`. Its parts may stand in any order, and more than once.
#[cold]
fn type_hint(pair: &[u8]) -> TypeHints {
    let (mut key, mut value) = (&[][..], &[][..]);
    let _ = fields(pair, |number, bytes| match number {
        1 => key = bytes,
        2 => {
            // the member of the oneof that was set last
            let _ = fields(bytes, |number, bytes| match number {
                1 => value = bytes,
                2..=8 => value = &[],
                _ => {}
            });
        }
        _ => {}
    });
    match value {
        _ if key != b"prometheus.type" => TypeHints::NONE,
        b"unknown" => TypeHints::UNKNOWN,
        b"info" => TypeHints::INFO,
        b"stateset" => TypeHints::STATE_SET,
        _ => TypeHints::NONE,
    }
}

/// Calls `visit` with each field of a validated message; what is not length-delimited comes empty.
fn fields<'a>(message: &'a [u8], mut visit: impl FnMut(u32, &'a [u8])) -> Result<(), Fault> {
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        if field.wire == WireType::Bytes {
            visit(field.number, reader.bytes()?);
        } else {
            reader.skip(field, 1)?;
            visit(field.number, &[]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::points;
    use crate::wire::put_bytes;

    const PARTS: usize = 15_000;

    /// What `read` takes of the arena for each byte of a message of `PARTS` equal records.
    fn arena_per_byte(record: &[u8], read: impl FnOnce(&'static [u8], &'static Bump)) -> usize {
        let message: &'static [u8] = Vec::leak(record.repeat(PARTS));
        let arena: &'static Bump = Box::leak(Box::default());
        read(message, arena);
        arena.allocated_bytes() / message.len()
    }

    /// A message or a repeated scalar that comes in very many parts is copied once, not once for each part.
    #[test]
    fn many_parts_cost_as_much_memory_as_their_bytes() {
        let mut part = Vec::new();
        put_bytes(&mut part, 0x0a, &[0x10, 1]);
        let taken = arena_per_byte(&part, |message, arena| {
            assert_eq!(head(message, arena).unwrap().unwrap().bytes.len(), 2 * PARTS);
        });
        assert!(taken <= 8, "resource or scope: {taken}");
        for (key, kind) in [
            (0x2a, Kind::Gauge),
            (0x3a, Kind::Sum),
            (0x4a, Kind::Histogram),
            (0x52, Kind::ExponentialHistogram),
            (0x5a, Kind::Summary),
        ] {
            let mut part = Vec::new();
            put_bytes(&mut part, key, &[0x10, 1]);
            let taken = arena_per_byte(&part, |message, arena| {
                let (got, data) = metric(message, true, arena).unwrap().unwrap().data.unwrap();
                assert_eq!((got, data.len()), (kind, 2 * PARTS));
            });
            assert!(taken <= 8, "{kind:?}: {taken}");
        }
        for key in [0x31, 0x39] {
            let taken = arena_per_byte(&[key, 1, 2, 3, 4, 5, 6, 7, 8], |message, arena| {
                let point = points::histogram(message, None, arena).unwrap();
                assert_eq!(point.counts.len() + point.bounds.len(), 8 * PARTS);
            });
            assert!(taken <= 8, "histogram, key {key}: {taken}");
        }
        for key in [0x42, 0x4a] {
            let taken = arena_per_byte(&[key, 4, 0x10, 3, 0x10, 5], |message, arena| {
                let point = points::exponential(message, None, arena).unwrap();
                let (some, none) =
                    if key == 0x42 { (point.positive, point.negative) } else { (point.negative, point.positive) };
                assert_eq!((some.counts.len(), none.counts.len()), (2 * PARTS, 0));
                assert!(some.counts.starts_with(&[3, 5, 3, 5]));
            });
            assert!(taken <= 8, "exponential, key {key}: {taken}");
        }
    }

    /// Only gauges and sums have hints, and only if their metadata says so; fields may stand in any order and twice.
    #[test]
    fn p03_metadata_says_what_a_type_is() {
        let field = |key: u8, bytes: &[u8]| {
            let mut out = Vec::new();
            put_bytes(&mut out, key, bytes);
            out
        };
        let key = field(0x0a, b"prometheus.type");
        let value = field(0x12, &field(0x0a, b"unknown"));
        let says = |pairs: &[&[&[u8]]], data: u8| {
            let pairs: Vec<u8> = pairs.iter().flat_map(|pair| field(0x62, &pair.concat())).collect();
            let arena = Bump::new();
            let of = |parts: [&[u8]; 2]| metric(&parts.concat(), false, &arena).unwrap().unwrap().hints;
            let data = field(data, &[]);
            let (before, after) = (of([&pairs, &data]), of([&data, &pairs]));
            assert_eq!(before, after);
            before
        };
        let (gauge, sum, histogram) = (0x2a, 0x3a, 0x4a);
        let named = |name: &[u8]| field(0x12, &field(0x0a, name));
        let (none, unknown) = (TypeHints::NONE, TypeHints::UNKNOWN);
        let int = field(0x12, &[0x18, 1]);
        let other = field(0x12, &field(0x0a, b"gauge"));
        for (name, hint) in [
            (&b"unknown"[..], unknown),
            (b"info", TypeHints::INFO),
            (b"stateset", TypeHints::STATE_SET),
            (b"gauge", none),
            (b"Info", none),
            (b"", none),
        ] {
            let value = named(name);
            for (data, hint) in [(gauge, hint), (sum, hint), (histogram, none)] {
                assert_eq!(says(&[&[&key, &value]], data), hint, "{name:?}");
                assert_eq!(says(&[&[&value, &key]], data), hint, "{name:?}");
            }
        }
        assert_eq!(says(&[&[&key, &named(b"info")], &[&key, &value]], gauge), unknown.and(TypeHints::INFO));
        assert_eq!(says(&[&[&field(0x0a, b"a"), &int], &[&key, &other, &int, &value]], gauge), unknown);
        assert_eq!(says(&[&[&key, &value], &[&field(0x0a, b"b")]], gauge), unknown);
        assert_eq!(
            says(&[&[&key, &field(0x12, &[&field(0x0a, b"unknown")[..], &[0x78, 1]].concat())]], gauge),
            unknown
        );
        for pairs in [&[][..], &[&[&key[..]][..]], &[&[&value[..]]]] {
            assert_eq!(says(pairs, gauge), none);
        }
        assert_eq!(says(&[&[&key, &value, &int]], gauge), none);
        assert_eq!(says(&[&[&key, &value, &other]], gauge), none);
    }

    /// The member set last counts; the parts of the one before it are checked and left out.
    #[test]
    fn a_member_of_data_that_is_set_again_loses_its_parts() {
        let mut message = Vec::new();
        for (key, data) in [(0x2a, [0x10, 1]), (0x2a, [0x10, 2]), (0x3a, [0x10, 3]), (0x3a, [0x18, 1])] {
            put_bytes(&mut message, key, &data);
        }
        let arena = Bump::new();
        let (kind, data) = metric(&message, false, &arena).unwrap().unwrap().data.unwrap();
        assert_eq!((kind, data), (Kind::Sum, &[0x10, 3, 0x18, 1][..]));
    }
}
