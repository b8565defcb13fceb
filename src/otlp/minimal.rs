//! KeyValue and AnyValue in their one minimal encoding: fields in order, lengths and varints as short as they can be, maps
//! sorted, what nobody knows left out.
//!
//! Knows `common.proto`; does not know limits, sets or whose attributes these are (`attributes` and `cut` do). What comes in
//! has been validated.

use crate::identity::attributes::sort_by_key;
use crate::wire::{Fault, Field, Reader, put_header, put_varint, varint_size};

/// Writes one validated KeyValue with minimal encoding; nothing is allocated where it has it already and is plain.
pub(super) fn put_record(record: &[u8], key_byte: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    if plain(record).is_none() {
        return put_key_value(record, key_byte, out);
    }
    out.push(key_byte);
    put_varint(out, record.len() as u64);
    out.extend_from_slice(record);
    Ok(())
}

/// A varint that takes no more bytes than it needs.
pub(super) fn minimal_varint(reader: &mut Reader<'_>) -> Option<u64> {
    let left = reader.left();
    let value = reader.varint().ok()?;
    (left - reader.left() == varint_size(value)).then_some(value)
}

/// The key of a record, and its text if it has one: a key and a text, a bool, a minimal int or a double, in their
/// minimal encoding and nothing else. That texts are UTF-8 is not looked at.
pub(super) fn plain(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(record.strip_prefix(&[0x0a])?);
    let length = usize::try_from(minimal_varint(&mut reader)?).ok()?;
    let (key, rest) = reader.rest().split_at_checked(length)?;
    let mut reader = Reader::new(rest.strip_prefix(&[0x12])?);
    let any = minimal_varint(&mut reader).filter(|n| *n == reader.left() as u64).map(|_| reader.rest())?;
    let (kind, value) = any.split_first()?;
    let mut reader = Reader::new(value);
    let mut text = &[][..];
    let is_plain = length > 0
        && match *kind {
            0x0a => {
                let length = minimal_varint(&mut reader)?;
                text = reader.rest();
                length == text.len() as u64
            }
            0x10 => matches!(value, [0 | 1]),
            0x18 => minimal_varint(&mut reader).is_some() && reader.is_empty(),
            0x21 => value.len() == 8,
            _ => false,
        };
    is_plain.then_some((key, text))
}

/// A message as it came: whole, or in the parts of a field that came more than once, which protobuf merges.
#[derive(Clone, Copy)]
enum Body<'a> {
    Whole(&'a [u8]),
    /// All fields `.1` of message `.0`.
    Parts(&'a [u8], u32),
}

impl<'a> Body<'a> {
    /// Calls `visit` with each field of the message, numbered through; `visit` takes or skips its value.
    fn each_field(
        self,
        visit: &mut dyn FnMut(usize, Field, &mut Reader<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut place = 0;
        let mut fields = |part: &'a [u8]| {
            let mut reader = Reader::new(part);
            while !reader.is_empty() {
                let field = reader.field()?;
                visit(place, field, &mut reader)?;
                place += 1;
            }
            Ok(())
        };
        match self {
            Body::Whole(bytes) => fields(bytes),
            Body::Parts(message, number) => {
                let mut reader = Reader::new(message);
                while !reader.is_empty() {
                    let field = reader.field()?;
                    if field.number == number { fields(reader.bytes()?)? } else { reader.skip(field, 1)? }
                }
                Ok(())
            }
        }
    }

    /// Bytes of all parts.
    fn len(self) -> Result<usize, Fault> {
        let Body::Parts(message, number) = self else {
            let Body::Whole(bytes) = self else { return Ok(0) };
            return Ok(bytes.len());
        };
        let (mut length, mut reader) = (0, Reader::new(message));
        while !reader.is_empty() {
            let field = reader.field()?;
            if field.number == number { length += reader.bytes()?.len() } else { reader.skip(field, 1)? }
        }
        Ok(length)
    }
}

/// Writes a length-delimited field whose inside `put` writes. The inside is not longer than the `at_most` bytes that it is
/// made of, so the length has its place beforehand; where it then needs fewer bytes, the inside is moved once: that is
/// under 2 MiB, since a length of 3 bytes or fewer is the only one that can become shorter within the limit of a body.
fn put_field(
    out: &mut Vec<u8>,
    key_byte: u8,
    at_most: usize,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    out.push(key_byte);
    let (place, width) = (out.len(), varint_size(at_most as u64));
    out.resize(place + width, 0);
    put(out)?;
    let length = out.len() - place - width;
    debug_assert!(length <= at_most, "a normalised message is not longer");
    let needed = varint_size(length as u64);
    if needed < width {
        out.copy_within(place + width.., place + needed);
        out.truncate(out.len() - (width - needed));
    }
    let mut rest = length as u64;
    for (i, byte) in out[place..place + needed].iter_mut().enumerate() {
        *byte = (rest & 0x7f) as u8 | if i + 1 < needed { 0x80 } else { 0 };
        rest >>= 7;
    }
    Ok(())
}

/// Writes one KeyValue with minimal encoding: key (1), then value (2) when present. Nothing is kept beside `out`, however
/// deep the value, but for a copy of the map being put in order.
pub(super) fn put_key_value(record: &[u8], key_byte: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut key, mut value, mut value_parts) = (&[][..], &[][..], 0);
    let mut reader = Reader::new(record);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 => key = reader.bytes()?,
            2 => {
                value = reader.bytes()?;
                value_parts += 1;
            }
            _ => reader.skip(field, 1)?,
        }
    }
    let body = if value_parts == 1 { Body::Whole(value) } else { Body::Parts(record, 2) };
    put_field(out, key_byte, record.len(), |out| {
        if !key.is_empty() {
            put_header(out, 0x0a, key.len());
            out.extend_from_slice(key);
        }
        if value_parts > 0 { put_field(out, 0x12, body.len()?, |out| put_any_value(body, out)) } else { Ok(()) }
    })
}

/// Writes one AnyValue with minimal encoding; of a oneof the last member wins, a split member is merged.
/// Depth is bounded: the bytes have been validated.
fn put_any_value(body: Body<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut last, mut run_from, mut run_bytes) = (0u32, 0, 0);
    let mut scalar = 0u64;
    let mut text: &[u8] = &[];
    body.each_field(&mut |place, field, reader| {
        match field.number {
            1 | 7 => text = reader.bytes()?,
            2 | 3 | 8 => scalar = reader.varint()?,
            4 => scalar = reader.fixed64()?,
            5 | 6 => {
                if last != field.number {
                    (run_from, run_bytes) = (place, 0);
                }
                run_bytes += reader.bytes()?.len();
            }
            _ => return reader.skip(field, 1),
        }
        last = field.number;
        Ok(())
    })?;
    match last {
        1 => {
            put_header(out, 0x0a, text.len());
            out.extend_from_slice(text);
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
            put_header(out, 0x3a, text.len());
            out.extend_from_slice(text);
        }
        5 | 6 => {
            let key_byte = if last == 5 { 0x2a } else { 0x32 };
            return put_field(out, key_byte, run_bytes, |out| {
                let start = out.len();
                body.each_field(&mut |place, field, reader| {
                    if place < run_from || field.number != last {
                        return reader.skip(field, 1);
                    }
                    put_items(reader.bytes()?, last == 5, out)
                })?;
                if last == 6 {
                    sort_by_key(out, start);
                }
                Ok(())
            });
        }
        // an index into a table that only profiles have (R21), or no value at all: an empty AnyValue
        _ => {}
    }
    Ok(())
}

/// Writes the values of an ArrayValue, or the records of a KeyValueList.
fn put_items(list: &[u8], is_array: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut reader = Reader::new(list);
    while !reader.is_empty() {
        let field = reader.field()?;
        if field.number != 1 {
            reader.skip(field, 1)?;
            continue;
        }
        let item = reader.bytes()?;
        if is_array {
            put_field(out, 0x0a, item.len(), |out| put_any_value(Body::Whole(item), out))?;
        } else {
            put_key_value(item, 0x0a, out)?;
        }
    }
    Ok(())
}
