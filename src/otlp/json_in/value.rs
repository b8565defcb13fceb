//! Single values: text to the bytes of one record.
//!
//! Does not know which message they are in.

use super::buffer::BoundedBuffer;
use super::fault::JsonFaultKind as K;
use super::number::{digits, double, integer};
use super::text::{Cursor, Raw, number_end, stretch, unescape};
use crate::otlp::json_schema::{EIGHT, FieldKind, FieldSchema, VARINT};
use crate::wire::{put_varint, varint_size, zigzag};

/// The bits of a number, enum or bool, as its record holds them.
pub(super) fn bits(kind: FieldKind, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<u64, K> {
    Ok(match kind {
        FieldKind::Bool => match from.peek() {
            Some(b't') if from.literal(b"true") => 1,
            Some(b'f') if from.literal(b"false") => 0,
            _ => return Err(K::Kind("true or false")),
        },
        FieldKind::Double => match from.peek() {
            Some(b'"') => text_number(from, to, text_double)?.to_bits(),
            Some(b'-' | b'0'..=b'9') => in_place(from, double)?.to_bits(),
            _ => return Err(K::Kind("a number")),
        },
        FieldKind::Uint64 | FieldKind::Fixed64 => match short_integer(from) {
            Some(bits) => bits,
            None => within(long_integer(from, to)?, 0, u64::MAX.into())? as u64,
        },
        FieldKind::Int64 | FieldKind::Sfixed64 => {
            within(any_integer(from, to)?, i64::MIN.into(), i64::MAX.into())? as i64 as u64
        }
        FieldKind::Uint32 => within(any_integer(from, to)?, 0, u32::MAX.into())? as u64,
        FieldKind::Sint32 => zigzag(within(any_integer(from, to)?, i32::MIN.into(), i32::MAX.into())? as i32),
        FieldKind::Enum if from.peek() == Some(b'"') => {
            return Err(K::Kind("the integer of the enum, not its name,"));
        }
        FieldKind::Enum | FieldKind::Absent => {
            within(any_integer(from, to)?, i32::MIN.into(), i32::MAX.into())? as i32 as i64 as u64
        }
        FieldKind::Message(_) | FieldKind::Text | FieldKind::Base64 | FieldKind::Hex(_) => {
            unreachable!("it has no bits")
        }
    })
}

fn within(number: i128, least: i128, most: i128) -> Result<i128, K> {
    if number < least || number > most { Err(K::OutOfRange) } else { Ok(number) }
}

/// Digits alone, quoted or not: nearly every integer there is.
#[inline]
fn short_integer(from: &mut Cursor<'_>) -> Option<u64> {
    let is_quoted = from.peek()? == b'"';
    let rest = from.rest().get(usize::from(is_quoted)..)?;
    let (value, count) = digits(rest);
    let is_whole = matches!((is_quoted, rest.get(count)?), (true, b'"') | (false, b',' | b'}' | b']'));
    if count == 0 || !is_whole || (rest[0] == b'0' && count > 1) {
        return None;
    }
    from.at += count + 2 * usize::from(is_quoted);
    Some(value)
}

#[inline]
fn any_integer(from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<i128, K> {
    match short_integer(from) {
        Some(value) => Ok(value.into()),
        None => long_integer(from, to),
    }
}

#[cold]
fn long_integer(from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<i128, K> {
    match from.peek() {
        Some(b'"') => text_number(from, to, |text| match number_end(text, 0) {
            Ok(end) if end == text.len() => integer(text),
            Err(K::LongNumber) => Err(K::LongNumber),
            _ => Err(K::Kind("an integer")),
        }),
        Some(b'-' | b'0'..=b'9') => in_place(from, integer),
        _ => Err(K::Kind("an integer")),
    }
}

/// A number that stands without quotes; the cursor stays before one that is refused.
fn in_place<T>(from: &mut Cursor<'_>, read: impl Fn(&[u8]) -> Result<T, K>) -> Result<T, K> {
    let begin = from.at;
    let value = from.number().and_then(read);
    if value.is_err() {
        from.at = begin;
    }
    value
}

/// A number in quotes; what its escapes stand for lies at the end of the bytes for a moment.
fn text_number<T>(
    from: &mut Cursor<'_>,
    to: &mut BoundedBuffer<'_>,
    read: impl Fn(&[u8]) -> Result<T, K>,
) -> Result<T, K> {
    let raw = from.string()?;
    if !raw.has_escapes {
        return read(raw.bytes);
    }
    let begin = to.out.len();
    to.need(raw.bytes.len())?;
    unescape(raw.bytes, |part| to.out.extend_from_slice(part))?;
    let value = read(&to.out[begin..]);
    to.out.truncate(begin);
    value
}

fn text_double(text: &[u8]) -> Result<f64, K> {
    match text {
        b"NaN" => Ok(f64::NAN),
        b"Infinity" => Ok(f64::INFINITY),
        b"-Infinity" => Ok(f64::NEG_INFINITY),
        _ => match number_end(text, 0) {
            Ok(end) if end == text.len() => double(text),
            Err(K::LongNumber) => Err(K::LongNumber),
            _ => Err(K::Kind("a number")),
        },
    }
}

/// One record of a singular scalar, or of a list of texts. A default value is left out where `may_omit` says so.
pub(super) fn put(
    field: &FieldSchema,
    may_omit: bool,
    from: &mut Cursor<'_>,
    to: &mut BoundedBuffer<'_>,
) -> Result<(), K> {
    if matches!(field.kind, FieldKind::Text | FieldKind::Base64 | FieldKind::Hex(_)) {
        if from.peek() != Some(b'"') {
            return Err(K::Kind("a string"));
        }
        let raw = from.string()?;
        return put_text(field, raw, may_omit, to);
    }
    let bits = bits(field.kind, from, to)?;
    if !(may_omit && bits == 0) {
        to.need(11)?;
        to.out.push(field.key());
        put_bits(field.kind, bits, to.out);
    }
    Ok(())
}

/// One element of a packed list.
#[inline]
pub(super) fn put_packed(kind: FieldKind, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<(), K> {
    let bits = bits(kind, from, to)?;
    to.need(10)?;
    put_bits(kind, bits, to.out);
    Ok(())
}

fn put_bits(kind: FieldKind, bits: u64, out: &mut Vec<u8>) {
    match kind.wire() {
        EIGHT => out.extend_from_slice(&bits.to_le_bytes()),
        VARINT => put_varint(out, bits),
        _ => unreachable!("numbers are varints or eight bytes"),
    }
}

fn put_text(field: &FieldSchema, raw: Raw<'_>, may_omit: bool, to: &mut BoundedBuffer<'_>) -> Result<(), K> {
    to.need(11 + raw.bytes.len())?;
    let begin = to.out.len();
    to.out.push(field.key());
    let width = varint_size(raw.bytes.len() as u64);
    to.leave(width);
    let start = to.out.len();
    if raw.has_escapes {
        unescape(raw.bytes, |part| to.out.extend_from_slice(part))?;
    } else {
        to.out.extend_from_slice(raw.bytes);
    }
    match field.kind {
        FieldKind::Hex(bytes) => from_hex(to.out, start, bytes)?,
        FieldKind::Base64 => from_base64(to.out, start)?,
        _ => {}
    }
    if may_omit && to.out.len() == start {
        to.out.truncate(begin);
    } else {
        to.close(start, width)?;
    }
    Ok(())
}

/// Hexadecimal digits from `start` on become bytes, `bytes` of them or none.
fn from_hex(out: &mut Vec<u8>, start: usize, bytes: usize) -> Result<(), K> {
    let count = out.len() - start;
    if count != 0 && count != 2 * bytes {
        return Err(K::NotHex(bytes));
    }
    for at in 0..count / 2 {
        let digit = |at: usize| char::from(out[at]).to_digit(16).ok_or(K::NotHex(bytes));
        out[start + at] = (digit(start + 2 * at)? << 4 | digit(start + 2 * at + 1)?) as u8;
    }
    out.truncate(start + count / 2);
    Ok(())
}

/// Base64 from `start` on becomes bytes: either alphabet, padded or not.
fn from_base64(out: &mut Vec<u8>, start: usize) -> Result<(), K> {
    let mut text = &out[start..];
    if text.len().is_multiple_of(4) {
        text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    }
    let count = text.len();
    if count % 4 == 1 {
        return Err(K::NotBase64);
    }
    let (mut bits, mut held, mut end) = (0u32, 0, start);
    for at in start..start + count {
        let six = match out[at] {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Err(K::NotBase64),
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            out[end] = (bits >> held) as u8;
            end += 1;
        }
    }
    out.truncate(end);
    Ok(())
}

/// An attribute of the usual spelling, `{"key":"…","value":{"stringValue":"…"}}` without escapes, as one record; `false`,
/// and nothing taken, for any other. Same bytes as by the long way.
#[inline]
pub(super) fn pair(record_key: u8, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<bool, K> {
    const KEY: &[u8] = b"{\"key\":\"";
    const VALUE: &[u8] = b"\",\"value\":{\"stringValue\":\"";
    const END: &[u8] = b"\"}}";
    let (bytes, begin) = (from.bytes, from.at);
    if !from.rest().starts_with(KEY) {
        return Ok(false);
    }
    let key_at = begin + KEY.len();
    let (key_end, key_wide) = stretch(bytes, key_at);
    if !bytes[key_end..].starts_with(VALUE) {
        return Ok(false);
    }
    let value_at = key_end + VALUE.len();
    let (value_end, value_wide) = stretch(bytes, value_at);
    if !bytes[value_end..].starts_with(END) {
        return Ok(false);
    }
    let (key, value) = (&bytes[key_at..key_end], &bytes[value_at..value_end]);
    if (key_wide && std::str::from_utf8(key).is_err()) || (value_wide && std::str::from_utf8(value).is_err()) {
        // the long way says where
        return Ok(false);
    }
    let any = 1 + varint_size(value.len() as u64) + value.len();
    let key_size = if key.is_empty() { 0 } else { 1 + varint_size(key.len() as u64) + key.len() };
    let record = key_size + 1 + varint_size(any as u64) + any;
    to.need(record + 11)?;
    let out = &mut *to.out;
    out.push(record_key);
    put_varint(out, record as u64);
    if !key.is_empty() {
        out.push(0x0a);
        put_varint(out, key.len() as u64);
        out.extend_from_slice(key);
    }
    out.push(0x12);
    put_varint(out, any as u64);
    out.push(0x0a);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
    from.at = value_end + END.len();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J3: both alphabets, padded or not; what is neither is refused.
    #[test]
    fn j3_base64() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zg", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            ("-_-_", Some(b"\xfb\xff\xbf")),
            ("Z", None),
            ("Zg=", None),
            ("Zm9vZ", None),
            ("Zm9=v", None),
            ("Zg===", None),
            ("====", None),
            ("Zm 8", None),
            ("é", None),
        ] {
            let mut out = [b"before", text.as_bytes()].concat();
            match (from_base64(&mut out, 6), expected) {
                (Ok(()), Some(bytes)) => assert_eq!(&out[6..], bytes, "{text}"),
                (Err(fault), None) => assert_eq!(fault, K::NotBase64, "{text}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
