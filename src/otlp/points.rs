//! Data points: one walk over each, values out, attribute bytes left where they lie.
//!
//! Knows `metrics.proto` NumberDataPoint, HistogramDataPoint, ExponentialHistogramDataPoint; does not know series or
//! what makes a point valid beyond its wire format. The attribute run of a point is returned as it came; when its
//! records do not lie together they are gathered in the caller's arena.
//!
//! Bounds: no allocation where the records of the point lie together and repeated scalars are packed, as every
//! serialiser writes them.

use super::message::join;
use super::schema::{Message, validate};
use crate::identity::attributes::key_byte;
use crate::model::Kind;
use crate::wire::{Fault, FaultKind, Field, Reader, WireType, unzigzag};
use bumpalo::Bump;

/// `DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
pub const NO_RECORDED_VALUE: u32 = 1;

/// The value of a NumberDataPoint's oneof.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointValue {
    /// Neither member was set.
    Absent,
    /// `as_int`
    Int(i64),
    /// `as_double`
    Double(f64),
}

/// Attributes of a point: the expected bytes, or a run to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// The bytes are those that were expected.
    Expected,
    /// Other bytes: not yet validated unless they turn out to be known.
    Run(&'a [u8]),
}

/// A NumberDataPoint.
#[derive(Clone, Copy, Debug)]
pub struct NumberPoint<'a> {
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
    /// `value`
    pub value: PointValue,
    /// `flags`
    pub flags: u32,
    /// It has exemplars (5), which are well-formed.
    pub exemplars: bool,
    /// `attributes`
    pub attributes: Attributes<'a>,
}

/// Gathers a run that began at `from` and is interrupted: every record with `number` from the whole message.
#[cold]
#[inline(never)]
fn gather<'a>(message: &'a [u8], number: u32, key_byte: u8, arena: &'a Bump) -> Result<&'a [u8], Fault> {
    let mut all = bumpalo::collections::Vec::new_in(arena);
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        if field.number == number && field.wire == WireType::Bytes {
            let record = reader.bytes()?;
            let mut header = Vec::with_capacity(11);
            crate::wire::put_header(&mut header, key_byte, record.len());
            all.extend_from_slice(&header);
            all.extend_from_slice(record);
        } else {
            reader.skip(field, 1)?;
        }
    }
    Ok(all.into_bump_slice())
}

/// The run of records that starts here (key not yet read). Returns what follows in `reader`.
#[inline]
fn take_run<'a>(reader: &mut Reader<'a>, key_byte: u8) -> Result<&'a [u8], Fault> {
    let whole = reader.rest();
    while let [key, ..] = reader.rest() {
        if *key != key_byte {
            break;
        }
        reader.advance(1);
        reader.bytes().map_err(|f| f.named("attributes"))?;
    }
    Ok(&whole[..whole.len() - reader.left()])
}

/// Tracks where a point's attributes were found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    No,
    Once,
    Scattered,
}

/// At an attribute key: takes the expected bytes, or the run.
#[inline]
pub(super) fn attributes_here<'a>(
    reader: &mut Reader<'a>,
    expected: Option<&[u8]>,
    key_byte: u8,
    seen: &mut Seen,
) -> Result<Attributes<'a>, Fault> {
    let first = *seen == Seen::No;
    *seen = if first { Seen::Once } else { Seen::Scattered };
    if first
        && let Some(expected) = expected.filter(|bytes| !bytes.is_empty())
        && let Some(after) = reader.rest().strip_prefix(expected)
        && after.first() != Some(&key_byte)
    {
        reader.advance(expected.len());
        return Ok(Attributes::Expected);
    }
    take_run(reader, key_byte).map(Attributes::Run)
}

#[inline]
pub(super) fn finish_attributes<'a>(
    found: Attributes<'a>,
    seen: Seen,
    expected: Option<&[u8]>,
    message: &'a [u8],
    number: u32,
    key_byte: u8,
    arena: &'a Bump,
) -> Result<Attributes<'a>, Fault> {
    match seen {
        Seen::Once => Ok(found),
        Seen::No if expected == Some(&[]) => Ok(Attributes::Expected),
        Seen::No => Ok(Attributes::Run(&[])),
        Seen::Scattered => gather(message, number, key_byte, arena).map(Attributes::Run),
    }
}

/// Key byte of `NumberDataPoint.attributes` (7), also of a summary point's and of an exemplar's filtered attributes.
pub const NUMBER_ATTRIBUTES_KEY: u8 = key_byte(Kind::Sum);
/// Key byte of `HistogramDataPoint.attributes` (9).
pub const HISTOGRAM_ATTRIBUTES_KEY: u8 = key_byte(Kind::Histogram);
/// Key byte of `ExponentialHistogramDataPoint.attributes` (1).
pub const EXPONENTIAL_ATTRIBUTES_KEY: u8 = key_byte(Kind::ExponentialHistogram);

/// Key byte of `NumberDataPoint.exemplars` (5).
pub const EXEMPLARS_KEY: u8 = 0x2a;

/// Bytes of start, time and value with their keys.
pub const FIXED: usize = 27;

/// Start, time and value where serialisers put them, one after the other: keys 2, 3 and 4 or 6.
#[inline]
fn fixed_part(bytes: &[u8; FIXED]) -> Option<(u64, u64, PointValue)> {
    let word = |at: usize| match bytes[at..].first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => 0,
    };
    if bytes[0] != 0x11 || bytes[9] != 0x19 {
        return None;
    }
    match bytes[18] {
        0x31 => Some((word(1), word(10), PointValue::Int(word(19) as i64))),
        0x21 => Some((word(1), word(10), PointValue::Double(f64::from_bits(word(19))))),
        _ => None,
    }
}

/// A NumberDataPoint that has start, time and value where serialisers put them, with what lies behind (or before)
/// them as its attributes, unread: if that equals a run of attributes that has been validated, the point is
/// well-formed and means what it seems to. Otherwise it must be walked (`number`).
#[inline]
pub fn fixed_layout<'a>(message: &'a [u8]) -> Option<(NumberPoint<'a>, &'a [u8])> {
    let (fixed, rest) = match message.first()? {
        0x11 => message.split_first_chunk::<FIXED>()?,
        _ => message.split_last_chunk::<FIXED>().map(|(rest, fixed)| (fixed, rest))?,
    };
    let (start, time, value) = fixed_part(fixed)?;
    let attributes = Attributes::Run(rest);
    Some((NumberPoint { start, time, value, flags: 0, exemplars: false, attributes }, rest))
}

/// Reads one NumberDataPoint; `expected` are the attribute bytes that probably come.
pub fn number<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<NumberPoint<'a>, Fault> {
    let mut point = NumberPoint {
        start: 0,
        time: 0,
        value: PointValue::Absent,
        flags: 0,
        exemplars: false,
        attributes: Attributes::Run(&[]),
    };
    let mut seen = Seen::No;
    let mut reader = Reader::new(message);
    while let [key, ..] = reader.rest() {
        match *key {
            0x11 => {
                reader.advance(1);
                point.start = reader.fixed64()?;
            }
            0x19 => {
                reader.advance(1);
                point.time = reader.fixed64()?;
            }
            0x21 => {
                reader.advance(1);
                point.value = PointValue::Double(f64::from_bits(reader.fixed64()?));
            }
            0x31 => {
                reader.advance(1);
                point.value = PointValue::Int(reader.fixed64()? as i64);
            }
            NUMBER_ATTRIBUTES_KEY => {
                point.attributes = attributes_here(&mut reader, expected, NUMBER_ATTRIBUTES_KEY, &mut seen)?;
            }
            0x40 => {
                reader.advance(1);
                point.flags = reader.varint()? as u32;
            }
            0x2a => {
                reader.advance(1);
                validate(Message::Exemplar, reader.bytes()?, 1).map_err(|f| f.named("exemplars"))?;
                point.exemplars = true;
            }
            _ => number_odd(&mut reader, &mut point, &mut seen)?,
        }
    }
    point.attributes = finish_attributes(point.attributes, seen, expected, message, 7, NUMBER_ATTRIBUTES_KEY, arena)?;
    Ok(point)
}

/// A field of a number point that is unknown, has an over-long key, or the wrong wire type.
#[cold]
#[inline(never)]
fn number_odd<'a>(reader: &mut Reader<'a>, point: &mut NumberPoint<'a>, seen: &mut Seen) -> Result<(), Fault> {
    let field = reader.field()?;
    match field.number {
        2 => point.start = fixed(reader, field)?,
        3 => point.time = fixed(reader, field)?,
        4 => point.value = PointValue::Double(f64::from_bits(fixed(reader, field)?)),
        6 => point.value = PointValue::Int(fixed(reader, field)? as i64),
        8 => {
            reader.expect(field, WireType::Varint)?;
            point.flags = reader.varint()? as u32;
        }
        5 => {
            reader.expect(field, WireType::Bytes)?;
            validate(Message::Exemplar, reader.bytes()?, 1).map_err(|f| f.named("exemplars"))?;
            point.exemplars = true;
        }
        7 => {
            reader.expect(field, WireType::Bytes)?;
            reader.bytes()?;
            *seen = Seen::Scattered;
        }
        _ => reader.skip(field, 1)?,
    }
    Ok(())
}

pub(super) fn fixed(reader: &mut Reader<'_>, field: Field) -> Result<u64, Fault> {
    reader.expect(field, WireType::Fixed64)?;
    reader.fixed64()
}

/// A HistogramDataPoint. `counts` and `bounds` are little-endian 8-byte elements as in the packed encoding.
#[derive(Clone, Copy, Debug)]
pub struct HistogramPoint<'a> {
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
    /// `count`
    pub count: u64,
    /// `sum`
    pub sum: Option<f64>,
    /// `min`
    pub min: Option<f64>,
    /// `max`
    pub max: Option<f64>,
    /// `bucket_counts`, packed
    pub counts: &'a [u8],
    /// `explicit_bounds`, packed
    pub bounds: &'a [u8],
    /// `flags`
    pub flags: u32,
    /// The whole message if it has exemplars (8), which are well-formed; else nothing.
    pub exemplars: &'a [u8],
    /// `attributes`
    pub attributes: Attributes<'a>,
}

/// One record of a repeated fixed64 or double: a packed one, or a single element.
fn fixed_record<'a>(reader: &mut Reader<'a>, field: Field) -> Result<&'a [u8], Fault> {
    if field.wire == WireType::Bytes {
        let packed = reader.bytes()?;
        if packed.len() % 8 != 0 {
            return Err(Fault { kind: FaultKind::BadPacked, field: "", left: reader.left() });
        }
        return Ok(packed);
    }
    reader.expect(field, WireType::Fixed64)?;
    let rest = reader.rest();
    reader.fixed64()?;
    Ok(&rest[..8])
}

/// One record of a repeated varint: a packed one, or a single element.
fn varint_record<'a>(reader: &mut Reader<'a>, field: Field) -> Result<&'a [u8], Fault> {
    if field.wire == WireType::Bytes {
        return reader.bytes();
    }
    let rest = reader.rest();
    reader.varint()?;
    Ok(&rest[..rest.len() - reader.left()])
}

/// All records of the repeated scalar `number`, one after the other: copied once, whatever their number.
#[cold]
#[inline(never)]
fn gather_scalars<'a>(
    message: &'a [u8],
    number: u32,
    record: fn(&mut Reader<'a>, Field) -> Result<&'a [u8], Fault>,
    arena: &'a Bump,
) -> Result<&'a [u8], Fault> {
    let each = |visit: &mut dyn FnMut(&[u8])| {
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            let field = reader.field()?;
            if field.number == number {
                visit(record(&mut reader, field)?);
            } else {
                reader.skip(field, 1)?;
            }
        }
        Ok(())
    };
    let mut bytes = 0;
    each(&mut |record| bytes += record.len())?;
    let mut all = bumpalo::collections::Vec::with_capacity_in(bytes, arena);
    each(&mut |record| all.extend_from_slice(record))?;
    Ok(all.into_bump_slice())
}

/// Reads one HistogramDataPoint; `expected` are the attribute bytes that probably come.
pub fn histogram<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<HistogramPoint<'a>, Fault> {
    let mut point = HistogramPoint {
        start: 0,
        time: 0,
        count: 0,
        sum: None,
        min: None,
        max: None,
        counts: &[],
        bounds: &[],
        flags: 0,
        exemplars: &[],
        attributes: Attributes::Run(&[]),
    };
    let (mut counts, mut bounds) = (0, 0);
    let mut seen = Seen::No;
    let mut reader = Reader::new(message);
    while let [key, ..] = reader.rest() {
        if *key == HISTOGRAM_ATTRIBUTES_KEY {
            point.attributes = attributes_here(&mut reader, expected, HISTOGRAM_ATTRIBUTES_KEY, &mut seen)?;
            continue;
        }
        let field = reader.field()?;
        match field.number {
            2 => point.start = fixed(&mut reader, field)?,
            3 => point.time = fixed(&mut reader, field)?,
            4 => point.count = fixed(&mut reader, field)?,
            5 => point.sum = Some(f64::from_bits(fixed(&mut reader, field)?)),
            6 => {
                point.counts = fixed_record(&mut reader, field)?;
                counts += 1;
            }
            7 => {
                point.bounds = fixed_record(&mut reader, field)?;
                bounds += 1;
            }
            8 => {
                reader.expect(field, WireType::Bytes)?;
                validate(Message::Exemplar, reader.bytes()?, 1).map_err(|f| f.named("exemplars"))?;
                point.exemplars = message;
            }
            9 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                seen = Seen::Scattered;
            }
            10 => {
                reader.expect(field, WireType::Varint)?;
                point.flags = reader.varint()? as u32;
            }
            11 => point.min = Some(f64::from_bits(fixed(&mut reader, field)?)),
            12 => point.max = Some(f64::from_bits(fixed(&mut reader, field)?)),
            _ => reader.skip(field, 1)?,
        }
    }
    if counts > 1 {
        point.counts = gather_scalars(message, 6, fixed_record, arena)?;
    }
    if bounds > 1 {
        point.bounds = gather_scalars(message, 7, fixed_record, arena)?;
    }
    point.attributes =
        finish_attributes(point.attributes, seen, expected, message, 9, HISTOGRAM_ATTRIBUTES_KEY, arena)?;
    Ok(point)
}

/// `ExponentialHistogramDataPoint.Buckets`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buckets<'a> {
    /// `offset`
    pub offset: i32,
    /// `bucket_counts`, packed varints
    pub counts: &'a [u8],
}

/// An ExponentialHistogramDataPoint.
#[derive(Clone, Copy, Debug)]
pub struct ExponentialPoint<'a> {
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
    /// `count`
    pub count: u64,
    /// `sum`
    pub sum: Option<f64>,
    /// `scale`
    pub scale: i32,
    /// `zero_count`
    pub zero_count: u64,
    /// `zero_threshold`
    pub zero_threshold: f64,
    /// `positive`
    pub positive: Buckets<'a>,
    /// `negative`
    pub negative: Buckets<'a>,
    /// `min`
    pub min: Option<f64>,
    /// `max`
    pub max: Option<f64>,
    /// `flags`
    pub flags: u32,
    /// The whole message if it has exemplars (11), which are well-formed; else nothing.
    pub exemplars: &'a [u8],
    /// `attributes`
    pub attributes: Attributes<'a>,
}

fn buckets<'a>(message: &'a [u8], arena: &'a Bump) -> Result<Buckets<'a>, Fault> {
    validate(Message::ExponentialBuckets, message, 1)?;
    let mut all = Buckets::default();
    let mut records = 0;
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 => all.offset = unzigzag(reader.varint()?),
            2 => {
                all.counts = varint_record(&mut reader, field)?;
                records += 1;
            }
            _ => reader.skip(field, 1)?,
        }
    }
    if records > 1 {
        all.counts = gather_scalars(message, 2, varint_record, arena)?;
    }
    Ok(all)
}

/// Reads one ExponentialHistogramDataPoint; `expected` are the attribute bytes that probably come.
pub fn exponential<'a>(
    message: &'a [u8],
    expected: Option<&[u8]>,
    arena: &'a Bump,
) -> Result<ExponentialPoint<'a>, Fault> {
    let mut point = ExponentialPoint {
        start: 0,
        time: 0,
        count: 0,
        sum: None,
        scale: 0,
        zero_count: 0,
        zero_threshold: 0.0,
        positive: Buckets::default(),
        negative: Buckets::default(),
        min: None,
        max: None,
        flags: 0,
        exemplars: &[],
        attributes: Attributes::Run(&[]),
    };
    // by sign: the message, and in how many parts it came
    let mut sides = [(&[][..], 0); 2];
    let mut seen = Seen::No;
    let mut reader = Reader::new(message);
    while let [key, ..] = reader.rest() {
        if *key == EXPONENTIAL_ATTRIBUTES_KEY {
            point.attributes = attributes_here(&mut reader, expected, EXPONENTIAL_ATTRIBUTES_KEY, &mut seen)?;
            continue;
        }
        let field = reader.field()?;
        match field.number {
            1 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                seen = Seen::Scattered;
            }
            2 => point.start = fixed(&mut reader, field)?,
            3 => point.time = fixed(&mut reader, field)?,
            4 => point.count = fixed(&mut reader, field)?,
            5 => point.sum = Some(f64::from_bits(fixed(&mut reader, field)?)),
            6 => {
                reader.expect(field, WireType::Varint)?;
                point.scale = unzigzag(reader.varint()?);
            }
            7 => point.zero_count = fixed(&mut reader, field)?,
            8 | 9 => {
                reader.expect(field, WireType::Bytes)?;
                let (part, parts) = &mut sides[field.number as usize - 8];
                *part = reader.bytes()?;
                *parts += 1;
            }
            10 => {
                reader.expect(field, WireType::Varint)?;
                point.flags = reader.varint()? as u32;
            }
            11 => {
                reader.expect(field, WireType::Bytes)?;
                validate(Message::Exemplar, reader.bytes()?, 1).map_err(|f| f.named("exemplars"))?;
                point.exemplars = message;
            }
            12 => point.min = Some(f64::from_bits(fixed(&mut reader, field)?)),
            13 => point.max = Some(f64::from_bits(fixed(&mut reader, field)?)),
            14 => point.zero_threshold = f64::from_bits(fixed(&mut reader, field)?),
            _ => reader.skip(field, 1)?,
        }
    }
    for (number, side, (part, parts)) in [(8, &mut point.positive, sides[0]), (9, &mut point.negative, sides[1])] {
        if parts > 0 {
            *side = buckets(if parts > 1 { join(message, number, arena)? } else { part }, arena)?;
        }
    }
    point.attributes =
        finish_attributes(point.attributes, seen, expected, message, 1, EXPONENTIAL_ATTRIBUTES_KEY, arena)?;
    Ok(point)
}
