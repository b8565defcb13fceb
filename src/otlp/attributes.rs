//! Attribute sets: checked, brought to one encoding, compared and hashed regardless of order.
//!
//! Knows `common.proto` KeyValue and AnyValue; does not know where a set belongs. A *run* is the concatenation of the
//! `repeated KeyValue attributes` records of one message, each with its key byte (which differs by message) and length.
//!
//! Invariants
//! 1. A normalised run has minimal varints, known fields only, one value each, and no key twice.
//! 2. `hash` does not depend on the order of the records; `same` compares contents, never hashes.

use super::schema::{Message, validate};
use crate::limits::ATTRIBUTES_MAX;
use crate::wire::{Fault, Reader, put_header, put_varint, varint_size};

/// What is wrong with a well-formed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The same key twice (M5).
    DuplicateKey,
    /// More than `limits::ATTRIBUTES_MAX`.
    TooMany,
}

/// Validates the run (wire faults) and appends its normalised form to `out`.
pub fn normalise(run: &[u8], key_byte: u8, out: &mut Vec<u8>) -> Result<Result<(), Bad>, Fault> {
    let start = out.len();
    let mut reader = Reader::new(run);
    let mut count = 0;
    while !reader.is_empty() {
        reader.field()?;
        let record = reader.bytes()?;
        validate(Message::KeyValue, record, 1).map_err(|f| f.named("attributes"))?;
        put_key_value(record, key_byte, out)?;
        count += 1;
    }
    if count > ATTRIBUTES_MAX {
        out.truncate(start);
        return Ok(Err(Bad::TooMany));
    }
    if count > 1 && has_duplicate_keys(&out[start..], count) {
        out.truncate(start);
        return Ok(Err(Bad::DuplicateKey));
    }
    Ok(Ok(()))
}

fn has_duplicate_keys(run: &[u8], count: usize) -> bool {
    if count <= 16 {
        // a handful: compare each with each, nothing allocated
        let mut outer = Records::new(run);
        while let Some(a) = outer.next() {
            let mut inner = Records { reader: outer.reader };
            if inner.any(|b| b.key() == a.key()) {
                return true;
            }
        }
        return false;
    }
    let mut keys: Vec<&[u8]> = Records::new(run).map(|r| r.key()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether `count` records, normalised, are not too many and have no key twice.
pub(super) fn are_acceptable(run: &[u8], count: usize) -> bool {
    count <= ATTRIBUTES_MAX && !(count > 1 && has_duplicate_keys(run, count))
}

/// Writes one validated KeyValue with minimal encoding; nothing is allocated where it has it already and is plain.
pub(super) fn put_record(record: &[u8], key_byte: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !is_plain(record) {
        return put_key_value(record, key_byte, out);
    }
    out.push(key_byte);
    put_varint(out, record.len() as u64);
    out.extend_from_slice(record);
    Ok(())
}

/// A key and a text, a bool, a minimal int or a double, in their minimal encoding and nothing else. `false` says nothing.
fn is_plain(record: &[u8]) -> bool {
    fn minimal(reader: &mut Reader<'_>) -> Option<u64> {
        let left = reader.left();
        let value = reader.varint().ok()?;
        (left - reader.left() == varint_size(value)).then_some(value)
    }
    fn plain(record: &[u8]) -> Option<bool> {
        let mut reader = Reader::new(record.strip_prefix(&[0x0a])?);
        let length = minimal(&mut reader)? as usize;
        let rest = reader.rest().get(length..)?;
        let mut reader = Reader::new(rest.strip_prefix(&[0x12])?);
        let any = minimal(&mut reader).filter(|n| *n == reader.left() as u64).map(|_| reader.rest())?;
        let (kind, value) = any.split_first()?;
        let mut reader = Reader::new(value);
        Some(
            length > 0
                && match *kind {
                    0x0a => minimal(&mut reader)? == reader.left() as u64,
                    0x10 => matches!(value, [0 | 1]),
                    0x18 => minimal(&mut reader).is_some() && reader.is_empty(),
                    0x21 => value.len() == 8,
                    _ => false,
                },
        )
    }
    plain(record) == Some(true)
}

/// Writes one KeyValue with minimal encoding: key (1), then value (2) when present.
fn put_key_value(record: &[u8], key_byte: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut key, mut value, mut value_parts) = (&[][..], None::<&[u8]>, 0);
    let mut reader = Reader::new(record);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 => key = reader.bytes()?,
            2 => {
                value = Some(reader.bytes()?);
                value_parts += 1;
            }
            _ => reader.skip(field, 1)?,
        }
    }
    let mut inner = Vec::with_capacity(record.len());
    if !key.is_empty() {
        put_header(&mut inner, 0x0a, key.len());
        inner.extend_from_slice(key);
    }
    if let Some(value) = value {
        let mut any = Vec::with_capacity(value.len());
        if value_parts == 1 {
            put_any_value(value, &mut any)?;
        } else {
            put_any_value(&concat(record, 2)?, &mut any)?;
        }
        put_header(&mut inner, 0x12, any.len());
        inner.extend_from_slice(&any);
    }
    out.push(key_byte);
    put_varint(out, inner.len() as u64);
    out.extend_from_slice(&inner);
    Ok(())
}

/// All length-delimited values of field `number`, one after the other: how protobuf merges a split message.
fn concat(message: &[u8], number: u32) -> Result<Vec<u8>, Fault> {
    let mut all = Vec::new();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        if field.number == number { all.extend_from_slice(reader.bytes()?) } else { reader.skip(field, 1)? }
    }
    Ok(all)
}

/// Writes one AnyValue with minimal encoding; of a oneof the last member wins, a split member is merged.
/// Depth is bounded: the bytes have been validated.
fn put_any_value(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut last: u32 = 0;
    let mut scalar = 0u64;
    let mut body: &[u8] = &[];
    let mut merged: Vec<u8> = Vec::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 | 7 => body = reader.bytes()?,
            2 | 3 | 8 => scalar = reader.varint()?,
            4 => scalar = reader.fixed64()?,
            5 | 6 => {
                if last != field.number {
                    merged.clear();
                }
                merged.extend_from_slice(reader.bytes()?);
            }
            _ => {
                reader.skip(field, 1)?;
                continue;
            }
        }
        last = field.number;
    }
    match last {
        1 => {
            put_header(out, 0x0a, body.len());
            out.extend_from_slice(body);
        }
        2 => out.extend_from_slice(&[0x10, u8::from(scalar != 0)]),
        3 => {
            out.push(0x18);
            put_varint(out, scalar);
        }
        4 => {
            out.push(0x21);
            out.extend_from_slice(&scalar.to_le_bytes());
        }
        7 => {
            put_header(out, 0x3a, body.len());
            out.extend_from_slice(body);
        }
        5 | 6 => {
            let mut list = Vec::with_capacity(merged.len());
            let mut reader = Reader::new(&merged);
            while !reader.is_empty() {
                let field = reader.field()?;
                if field.number != 1 {
                    reader.skip(field, 1)?;
                    continue;
                }
                let item = reader.bytes()?;
                if last == 5 {
                    let mut any = Vec::with_capacity(item.len());
                    put_any_value(item, &mut any)?;
                    put_header(&mut list, 0x0a, any.len());
                    list.extend_from_slice(&any);
                } else {
                    put_key_value(item, 0x0a, &mut list)?;
                }
            }
            put_header(out, if last == 5 { 0x2a } else { 0x32 }, list.len());
            out.extend_from_slice(&list);
        }
        // an index into a table that only profiles have (R21), or no value at all: an empty AnyValue
        _ => {}
    }
    Ok(())
}

/// One KeyValue of a normalised run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record<'a> {
    /// The KeyValue message's bytes.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        let mut reader = Reader::new(self.bytes);
        match reader.field() {
            Ok(field) if field.number == 1 => reader.bytes().unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// Iterates the records of a normalised run.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// Over `run`.
    pub const fn new(run: &'a [u8]) -> Self {
        Records { reader: Reader::new(run) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        self.reader.field().ok()?;
        Some(Record { bytes: self.reader.bytes().ok()? })
    }
}

/// A hash of the set that does not depend on the order of its records.
pub fn hash(run: &[u8], state: &ahash::RandomState) -> u64 {
    Records::new(run).fold(0u64, |sum, record| sum.wrapping_add(state.hash_one(record.bytes)))
}

/// The same set, in whatever order.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    if a.len() != b.len() {
        return false;
    }
    sorted(a) == sorted(b)
}

fn sorted(run: &[u8]) -> Vec<Record<'_>> {
    let mut records: Vec<_> = Records::new(run).collect();
    records.sort_unstable();
    records
}

/// Appends the records of `run` in the order of their bytes: the set's one canonical form.
pub fn put_sorted(run: &[u8], out: &mut Vec<u8>) {
    for record in sorted(run) {
        put_varint(out, record.bytes.len() as u64);
        out.extend_from_slice(record.bytes);
    }
}
