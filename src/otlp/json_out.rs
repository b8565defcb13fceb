//! Writes a protobuf `ExportMetricsServiceRequest` as OTLP/JSON, straight from bytes to text.
//!
//! Does not know: what the numbers mean, where the text goes. No message tree: the bytes are walked by a static table.
//!
//! Invariants:
//! 1. Same bytes, same text. The text is one JSON object without line breaks.
//! 2. On an error `out` is as long as before.
//! 3. Protobuf's rules hold: the last scalar and the last member of a oneof win, split singular messages merge, repeated
//!    fields may interleave, be packed or not, unknown fields are skipped.
//! 4. Fields that hold their default are omitted, as the protobuf JSON mapping has it, unless their presence is explicit.
//!
//! Two ways through a message, chosen by a look at its tags before anything is written: records in order (each field's
//! records together, each singular field once) are written as they come; anything else is gathered field by field. Choosing
//! first matters: to write, find disorder and begin again would double the work at every level of nesting.
//!
//! Bounds: depth `WIRE_DEPTH_MAX`; text at most a small multiple of the bytes; the second way costs fields × records.
//!
//! Sources: opentelemetry-proto 1.x metrics.proto, common.proto, resource.proto; OTLP specification "JSON Protobuf
//! Encoding"; protobuf "ProtoJSON Format" (J1, J3, J4, J5, J7).

use std::fmt;
use std::io::Write as _;

use super::json_schema::{EIGHT, FieldKind, FieldSchema, FieldShape, LENGTH, MessageSchema, REQUEST, VARINT};
use crate::limits::WIRE_DEPTH_MAX;

/// Why bytes are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonWriteFault {
    /// The bytes end inside a record.
    Truncated,
    /// A varint of more than ten bytes.
    LongVarint,
    /// A tag with field number 0, wire type 6 or 7, or an end of a group that was not begun.
    BadTag,
    /// A known field with a wire type that it cannot have.
    WrongWireType,
    /// A string that is not UTF-8.
    NotUtf8,
    /// Nested deeper than `WIRE_DEPTH_MAX`.
    TooDeep,
}

/// A fault and the field it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub fault: JsonWriteFault,
    /// The message that was walked, `AnyValue` say.
    pub message: &'static str,
    /// Byte in that message.
    pub offset: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {} at its byte {}", self.fault, self.message, self.offset)
    }
}

impl std::error::Error for Error {}

/// Appends the request as one JSON object (`{"resourceMetrics":[…]}`).
///
/// # Errors
/// The first fault met; `out` is then as it was.
pub fn write_json(request: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let result = write_message(&REQUEST, request, WIRE_DEPTH_MAX, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// A record's payload.
#[derive(Clone, Copy)]
enum Payload<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of no kind that a known field has here: four bytes or a group, skipped.
    Other,
}

struct Record<'a> {
    number: u32,
    wire: u8,
    payload: Payload<'a>,
    offset: usize,
}

/// Walks the records of one message.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    message: &'static str,
}

impl<'a> Walk<'a> {
    fn new(message: &'static MessageSchema, bytes: &'a [u8]) -> Self {
        Walk { bytes, at: 0, message: message.name }
    }

    fn fault(&self, fault: JsonWriteFault) -> Error {
        Error { fault, message: self.message, offset: self.at }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in 0..10 {
            let byte = *self.bytes.get(self.at).ok_or_else(|| self.fault(JsonWriteFault::Truncated))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fault(JsonWriteFault::LongVarint))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or_else(|| self.fault(JsonWriteFault::Truncated))?;
        self.at += length;
        Ok(&rest[..length])
    }

    fn tag(&mut self) -> Result<(u32, u8), Error> {
        let tag = u32::try_from(self.varint()?).map_err(|_| self.fault(JsonWriteFault::BadTag))?;
        let (number, wire) = (tag >> 3, (tag & 7) as u8);
        if number == 0 || wire > 5 {
            return Err(self.fault(JsonWriteFault::BadTag));
        }
        Ok((number, wire))
    }

    fn next(&mut self) -> Result<Option<Record<'a>>, Error> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let offset = self.at;
        let (number, wire) = self.tag()?;
        let payload = self.payload(number, wire)?;
        Ok(Some(Record { number, wire, payload, offset }))
    }

    fn payload(&mut self, number: u32, wire: u8) -> Result<Payload<'a>, Error> {
        Ok(match wire {
            VARINT => Payload::Number(self.varint()?),
            EIGHT => {
                let bytes = self.take(8)?;
                Payload::Number(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
            }
            LENGTH => {
                let length = self.varint()?;
                Payload::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number)?;
                Payload::Other
            }
            5 => {
                self.take(4)?;
                Payload::Other
            }
            _ => return Err(self.fault(JsonWriteFault::BadTag)),
        })
    }

    /// Skips to the end of the group `number`, whose begin was read; iterative.
    fn skip_group(&mut self, number: u32) -> Result<(), Error> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, wire) = self.tag()?;
            match wire {
                3 if open.len() >= WIRE_DEPTH_MAX => return Err(self.fault(JsonWriteFault::TooDeep)),
                3 => open.push(number),
                4 if number == innermost => {
                    open.pop();
                }
                _ => {
                    self.payload(number, wire)?;
                }
            }
        }
        Ok(())
    }
}

/// Where a field stands in the table; the tables are short and searched from where the last one stood.
fn find(message: &'static MessageSchema, number: u32, from: usize) -> Option<usize> {
    let fields = message.fields;
    let from = from.min(fields.len());
    (from..fields.len()).chain(0..from).find(|at| fields[*at].number == number)
}

fn check_wire(field: &FieldSchema, record: &Record<'_>, message: &'static MessageSchema) -> Result<(), Error> {
    let packed = field.shape == FieldShape::Repeated && record.wire == LENGTH && field.kind.wire() != LENGTH;
    if record.wire == field.kind.wire() || packed {
        return Ok(());
    }
    Err(Error { fault: JsonWriteFault::WrongWireType, message: message.name, offset: record.offset })
}

fn write_message(message: &'static MessageSchema, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error { fault: JsonWriteFault::TooDeep, message: message.name, offset: 0 });
    };
    if is_in_order(message, bytes)? {
        write_in_order(message, bytes, depth, out)
    } else {
        write_gathered(message, bytes, depth, out)
    }
}

/// Each field's records stand together, each singular field and the oneof at most once.
fn is_in_order(message: &'static MessageSchema, bytes: &[u8]) -> Result<bool, Error> {
    let mut walk = Walk::new(message, bytes);
    let (mut seen, mut one_of_seen, mut last) = (0u64, false, usize::MAX);
    while let Some(record) = walk.next()? {
        let Some(at) = find(message, record.number, last) else { continue };
        let field = &message.fields[at];
        check_wire(field, &record, message)?;
        if at == last && field.shape == FieldShape::Repeated {
            continue;
        }
        if seen & (1 << at) != 0 || (field.shape == FieldShape::OneOf && one_of_seen) {
            return Ok(false);
        }
        seen |= 1 << at;
        one_of_seen |= field.shape == FieldShape::OneOf;
        last = at;
    }
    Ok(true)
}

/// The first way.
fn write_in_order(message: &'static MessageSchema, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut walk = Walk::new(message, bytes);
    let mut open: Option<usize> = None;
    let mut last = 0;
    let mut first_key = true;
    out.push(b'{');
    while let Some(record) = walk.next()? {
        let Some(at) = find(message, record.number, last) else { continue };
        last = at;
        let field = &message.fields[at];
        let default = field.shape == FieldShape::Plain && is_default(&record.payload);
        if default || is_empty_pack(field, &record) || matches!(field.kind, FieldKind::Absent) {
            continue;
        }
        if open == Some(at) {
            out.push(b',');
        } else {
            if open.take().is_some() {
                out.push(b']');
            }
            write_key(field, &mut first_key, out);
            if field.shape == FieldShape::Repeated {
                out.push(b'[');
                open = Some(at);
            }
        }
        write_elements(field, &record, depth, message, out)?;
    }
    if open.is_some() {
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

/// The second way: one scan per field of the table.
fn write_gathered(message: &'static MessageSchema, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    // the oneof member that wins, and where its last unbroken run begins
    let mut winner: Option<(usize, usize)> = None;
    let mut walk = Walk::new(message, bytes);
    while let Some(record) = walk.next()? {
        let Some(at) = find(message, record.number, 0) else { continue };
        check_wire(&message.fields[at], &record, message)?;
        if message.fields[at].shape == FieldShape::OneOf && winner.is_none_or(|(member, _)| member != at) {
            winner = Some((at, record.offset));
        }
    }
    let mut first_key = true;
    out.push(b'{');
    for (at, field) in message.fields.iter().enumerate() {
        let from = match (field.shape, winner) {
            (FieldShape::OneOf, Some((member, from))) if member == at => from,
            (FieldShape::OneOf, _) => continue,
            _ => 0,
        };
        let mut walk = Walk::new(message, bytes);
        let mut open = false;
        let mut value: Option<Record<'_>> = None;
        let mut merged: Vec<u8> = Vec::new();
        while let Some(record) = walk.next()? {
            if record.number != field.number || record.offset < from {
                continue;
            }
            if field.shape == FieldShape::Repeated {
                if is_empty_pack(field, &record) {
                    continue;
                }
                if open {
                    out.push(b',');
                } else {
                    write_key(field, &mut first_key, out);
                    out.push(b'[');
                    open = true;
                }
                write_elements(field, &record, depth, message, out)?;
                continue;
            }
            if let (FieldKind::Message(_), Payload::Bytes(part)) = (field.kind, record.payload) {
                // messages one after the other are their merge
                merged.extend_from_slice(part);
            }
            value = Some(record);
        }
        if open {
            out.push(b']');
        }
        let Some(record) = value else { continue };
        let payload =
            if matches!(field.kind, FieldKind::Message(_)) { Payload::Bytes(&merged) } else { record.payload };
        if field.shape == FieldShape::Plain && is_default(&payload) || matches!(field.kind, FieldKind::Absent) {
            continue;
        }
        write_key(field, &mut first_key, out);
        write_value(field.kind, payload, depth, message, record.offset, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn is_default(payload: &Payload<'_>) -> bool {
    match payload {
        Payload::Number(number) => *number == 0,
        Payload::Bytes(bytes) => bytes.is_empty(),
        Payload::Other => true,
    }
}

fn is_empty_pack(field: &FieldSchema, record: &Record<'_>) -> bool {
    field.kind.wire() != LENGTH && matches!(record.payload, Payload::Bytes([]))
}

fn write_key(field: &FieldSchema, first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(field.name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// What one record holds: a value, or the elements of a packed repeated field with commas between them.
fn write_elements(
    field: &FieldSchema,
    record: &Record<'_>,
    depth: usize,
    message: &'static MessageSchema,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let packed = match record.payload {
        Payload::Bytes(packed) if field.kind.wire() != LENGTH => packed,
        payload => return write_value(field.kind, payload, depth, message, record.offset, out),
    };
    let mut walk = Walk::new(message, packed);
    let mut first = true;
    while walk.at < packed.len() {
        let payload = walk.payload(field.number, field.kind.wire())?;
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_value(field.kind, payload, depth, message, record.offset, out)?;
    }
    Ok(())
}

fn write_value(
    kind: FieldKind,
    payload: Payload<'_>,
    depth: usize,
    message: &'static MessageSchema,
    offset: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match (kind, payload) {
        (FieldKind::Message(inner), Payload::Bytes(bytes)) => return write_message(inner, bytes, depth, out),
        (FieldKind::Text, Payload::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => write_text(text, out),
            Err(_) => return Err(Error { fault: JsonWriteFault::NotUtf8, message: message.name, offset }),
        },
        (FieldKind::Base64, Payload::Bytes(bytes)) => write_base64(bytes, out),
        (FieldKind::Hex(_), Payload::Bytes(bytes)) => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push(b'"');
            out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
            out.push(b'"');
        }
        (FieldKind::Bool, Payload::Number(number)) => {
            out.extend_from_slice(if number != 0 { b"true" } else { b"false" })
        }
        (FieldKind::Double, Payload::Number(number)) => write_double(f64::from_bits(number), out),
        (FieldKind::Uint64 | FieldKind::Fixed64, Payload::Number(number)) => {
            write_display(format_args!("\"{number}\""), out)
        }
        (FieldKind::Int64 | FieldKind::Sfixed64, Payload::Number(number)) => {
            write_display(format_args!("\"{}\"", number as i64), out);
        }
        (FieldKind::Uint32, Payload::Number(number)) => write_display(format_args!("{}", number as u32), out),
        (FieldKind::Enum, Payload::Number(number)) => write_display(format_args!("{}", number as i32), out),
        (FieldKind::Sint32, Payload::Number(number)) => {
            let number = number as u32;
            write_display(format_args!("{}", (number >> 1) as i32 ^ -((number & 1) as i32)), out);
        }
        _ => return Err(Error { fault: JsonWriteFault::WrongWireType, message: message.name, offset }),
    }
    Ok(())
}

fn write_display(arguments: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.write_fmt(arguments).expect("a vector takes every byte");
}

/// Shortest digits that read back as the same double (Rust's own), exponent form where they are many (J7).
fn write_double(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        write_display(format_args!("{number:?}"), out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..at]);
        clean = at + 1;
        if escape.is_empty() {
            write_display(format_args!("\\u{byte:04x}"), out);
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            out.push(if digit <= chunk.len() { DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] } else { b'=' });
        }
    }
    out.push(b'"');
}
