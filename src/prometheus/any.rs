//! Attributes as text: `KeyValue` and `AnyValue` messages (OTLP 1.x, common.proto) → label values.
//!
//! Knows the messages' bytes and the string form of every value; does not know labels.
//!
//! The bytes were validated before they came here. Where they are broken all the same, reading stops there and what was
//! read counts: no panic, no invented value.
//!
//! Bounds: nesting to `limits::WIRE_DEPTH_MAX`, `null` below.
//! Source: OpenTelemetry specification, "AnyValue representation for non-OTLP protocols".

use crate::limits::WIRE_DEPTH_MAX;
use crate::prometheus::text::{put_escaped, put_finite, put_number};
use crate::wire::{Reader, WireType, field_size, varint_size};

/// Which field of the oneof is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum AnyKind {
    /// None of them.
    Empty,
    String,
    Bool,
    Int,
    Double,
    Array,
    Map,
    Bytes,
}

/// An attribute taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub key: &'a [u8],
    pub kind: AnyKind,
    /// What is inside the oneof's field: text, bytes, the message, the varint or the eight bytes of the double.
    pub payload: &'a [u8],
    /// Encoded in the one way that encoders use. If not, other bytes may mean the same.
    pub canonical: bool,
}

impl Attribute<'_> {
    /// The value's text is empty, which to Prometheus is no label at all.
    pub(super) fn is_empty(&self) -> bool {
        match self.kind {
            AnyKind::Empty => true,
            AnyKind::String | AnyKind::Bytes => self.payload.is_empty(),
            _ => false,
        }
    }
}

/// Takes the next attribute from records of key byte, length and `KeyValue`.
#[inline]
pub(super) fn next_attribute<'a>(records: &mut Reader<'a>) -> Option<Attribute<'a>> {
    if records.is_empty() {
        return None;
    }
    let before = records.left();
    records.field().ok()?;
    let message = records.bytes().ok()?;
    let tight = before - records.left() == field_size(message.len());
    let mut attribute = key_value(message);
    attribute.canonical &= tight;
    Some(attribute)
}

/// Takes a `KeyValue` apart.
#[inline]
pub(super) fn key_value(message: &[u8]) -> Attribute<'_> {
    // key, then value, and nothing else: what every encoder writes
    if let [0x0a, key_length, rest @ ..] = message
        && *key_length < 0x80
        && let Some((key, rest)) = rest.split_at_checked(usize::from(*key_length))
        && let [0x12, value_length, value @ ..] = rest
        && usize::from(*value_length) == value.len()
        && *value_length < 0x80
    {
        let (kind, payload, canonical) = any_value(value);
        return Attribute { key, kind, payload, canonical };
    }
    key_value_slowly(message)
}

fn key_value_slowly(message: &[u8]) -> Attribute<'_> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Reader::new(message);
    while !fields.is_empty() {
        let Ok(field) = fields.field() else { break };
        match (field.number, field.wire) {
            (1, WireType::Bytes) => key = fields.bytes().unwrap_or_default(),
            (2, WireType::Bytes) => value = fields.bytes().unwrap_or_default(),
            _ if fields.skip(field, 0).is_err() => break,
            _ => {}
        }
    }
    let (kind, payload, canonical) = any_value(value);
    let tight = message.len() == field_size(key.len()) + field_size(value.len()) && message.first() == Some(&0x0a);
    Attribute { key, kind, payload, canonical: canonical && tight }
}

#[inline]
fn any_value(message: &[u8]) -> (AnyKind, &[u8], bool) {
    match message {
        [] => (AnyKind::Empty, message, true),
        [0x0a, length, text @ ..] if *length < 0x80 && usize::from(*length) == text.len() => {
            (AnyKind::String, text, true)
        }
        _ => any_value_slowly(message),
    }
}

fn any_value_slowly(message: &[u8]) -> (AnyKind, &[u8], bool) {
    let (mut kind, mut payload): (AnyKind, &[u8]) = (AnyKind::Empty, b"");
    let mut fields = Reader::new(message);
    while !fields.is_empty() {
        let Ok(field) = fields.field() else { break };
        let start = fields.rest();
        if fields.skip(field, 0).is_err() {
            break;
        }
        let whole = &start[..start.len() - fields.left()];
        let inside = || Reader::new(whole).bytes().unwrap_or_default();
        (kind, payload) = match (field.number, field.wire) {
            (1, WireType::Bytes) => (AnyKind::String, inside()),
            (2, WireType::Varint) => (AnyKind::Bool, whole),
            (3, WireType::Varint) => (AnyKind::Int, whole),
            (4, WireType::Fixed64) => (AnyKind::Double, whole),
            (5, WireType::Bytes) => (AnyKind::Array, inside()),
            (6, WireType::Bytes) => (AnyKind::Map, inside()),
            (7, WireType::Bytes) => (AnyKind::Bytes, inside()),
            _ => (kind, payload),
        };
    }
    let tight = match kind {
        AnyKind::Empty => message.is_empty(),
        AnyKind::Bool => message.len() == 2 && payload[0] < 2,
        AnyKind::Int => message.len() == 1 + varint_size(int(payload) as u64),
        AnyKind::Double => message.len() == 9,
        _ => message.len() == field_size(payload.len()),
    };
    (kind, payload, tight)
}

fn int(payload: &[u8]) -> i64 {
    Reader::new(payload).varint().unwrap_or_default() as i64
}

fn double(payload: &[u8]) -> f64 {
    f64::from_bits(Reader::new(payload).fixed64().unwrap_or_default())
}

/// Appends the value as the inside of a label value, escaped. `scratch` is emptied and used.
#[inline]
pub(super) fn put_label_value(out: &mut Vec<u8>, kind: AnyKind, payload: &[u8], scratch: &mut Vec<u8>) {
    match kind {
        AnyKind::String => put_escaped(out, payload),
        AnyKind::Array | AnyKind::Map => {
            scratch.clear();
            put_json(scratch, kind, payload, 0);
            put_escaped(out, scratch);
        }
        _ => put_plain(out, kind, payload),
    }
}

/// Appends the value as text, unescaped (X10).
pub(super) fn put_text(out: &mut Vec<u8>, kind: AnyKind, payload: &[u8]) {
    match kind {
        AnyKind::String => out.extend_from_slice(payload),
        AnyKind::Array | AnyKind::Map => put_json(out, kind, payload, 0),
        _ => put_plain(out, kind, payload),
    }
}

/// Kinds whose text needs neither quotes nor escapes.
fn put_plain(out: &mut Vec<u8>, kind: AnyKind, payload: &[u8]) {
    match kind {
        AnyKind::Bool => out.extend_from_slice(if int(payload) != 0 { b"true" } else { b"false" }),
        AnyKind::Int => put_number(out, int(payload).into()),
        AnyKind::Double => {
            let value = double(payload);
            if value.is_finite() {
                put_finite(out, value);
            } else {
                out.extend_from_slice(special(value).as_bytes());
            }
        }
        AnyKind::Bytes => put_base64(out, payload),
        AnyKind::Empty | AnyKind::String | AnyKind::Array | AnyKind::Map => {}
    }
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn put_json(out: &mut Vec<u8>, kind: AnyKind, payload: &[u8], depth: usize) {
    match kind {
        AnyKind::Empty => out.extend_from_slice(b"null"),
        AnyKind::String => put_json_string(out, payload),
        AnyKind::Double if !double(payload).is_finite() => put_json_string(out, special(double(payload)).as_bytes()),
        AnyKind::Bool | AnyKind::Int | AnyKind::Double => put_plain(out, kind, payload),
        AnyKind::Bytes => {
            out.push(b'"');
            put_base64(out, payload);
            out.push(b'"');
        }
        AnyKind::Array | AnyKind::Map if depth >= WIRE_DEPTH_MAX => out.extend_from_slice(b"null"),
        AnyKind::Array => {
            out.push(b'[');
            for (i, message) in messages(payload).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                let (kind, payload, _) = any_value(message);
                put_json(out, kind, payload, depth + 1);
            }
            out.push(b']');
        }
        AnyKind::Map => {
            // maps have no order: sorted, the same map is the same text
            let mut members: Vec<Attribute<'_>> = messages(payload).map(key_value).collect();
            members.sort_by_key(|member| member.key);
            out.push(b'{');
            for (i, member) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                put_json_string(out, member.key);
                out.push(b':');
                put_json(out, member.kind, member.payload, depth + 1);
            }
            out.push(b'}');
        }
    }
}

/// Field 1 of a message, repeated: `ArrayValue.values`, `KeyValueList.values`, `Resource.attributes`.
pub(super) fn messages(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut fields = Reader::new(message);
    std::iter::from_fn(move || {
        while !fields.is_empty() {
            let field = fields.field().ok()?;
            if field.number == 1 && field.wire == WireType::Bytes {
                return fields.bytes().ok();
            }
            fields.skip(field, 0).ok()?;
        }
        None
    })
}

fn put_json_string(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &b in text {
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
            }
            _ => out.push(b),
        }
    }
    out.push(b'"');
}

/// RFC 4648, section 4, with padding.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
    use prost::Message;

    fn any(value: Option<Value>) -> AnyValue {
        AnyValue { value }
    }

    fn text(value: Option<Value>) -> String {
        let pair = KeyValue { key: "k".into(), value: Some(any(value)), ..Default::default() };
        let bytes = pair.encode_to_vec();
        let attribute = key_value(&bytes);
        assert_eq!(attribute.key, b"k");
        assert!(attribute.canonical, "{pair:?}");
        let mut out = Vec::new();
        put_text(&mut out, attribute.kind, attribute.payload);
        assert_eq!(out.is_empty(), attribute.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn x10_values_are_stringified_per_the_common_specification() {
        let check = |value: Value, want: &str| assert_eq!(text(Some(value)), want);
        let long = "é".repeat(100);
        check(Value::StringValue("a\"b\n".into()), "a\"b\n");
        check(Value::StringValue(long.clone()), &long);
        check(Value::BoolValue(true), "true");
        check(Value::BoolValue(false), "false");
        check(Value::IntValue(-123), "-123");
        check(Value::IntValue(i64::MIN), &i64::MIN.to_string());
        check(Value::DoubleValue(3.125), "3.125");
        check(Value::DoubleValue(1.0), "1");
        check(Value::DoubleValue(f64::NAN), "NaN");
        check(Value::DoubleValue(f64::INFINITY), "Infinity");
        check(Value::DoubleValue(f64::NEG_INFINITY), "-Infinity");
        check(Value::BytesValue(b"hello world".to_vec()), "aGVsbG8gd29ybGQ=");
        check(Value::BytesValue(b"ab".to_vec()), "YWI=");
        check(Value::BytesValue(b"a".to_vec()), "YQ==");
        check(Value::BytesValue(b"abc".to_vec()), "YWJj");
        assert_eq!(text(None), "");
        let member = |key: &str, value: Option<Value>| KeyValue {
            key: key.into(),
            value: Some(any(value)),
            ..Default::default()
        };
        let map = Value::KvlistValue(KeyValueList {
            values: vec![
                member(
                    "c",
                    Some(Value::ArrayValue(ArrayValue { values: vec![any(Some(Value::IntValue(3))), any(None)] })),
                ),
                member("a", Some(Value::DoubleValue(f64::NEG_INFINITY))),
                member("b\"", Some(Value::BytesValue(b"hello world".to_vec()))),
            ],
        });
        check(map.clone(), r#"{"a":"-Infinity","b\"":"aGVsbG8gd29ybGQ=","c":[3,null]}"#);
        let array = Value::ArrayValue(ArrayValue {
            values: vec![
                any(Some(Value::StringValue("x\u{1}\t\\".into()))),
                any(Some(Value::BoolValue(true))),
                any(Some(map)),
            ],
        });
        let json: serde_json::Value = serde_json::from_str(&text(Some(array))).unwrap();
        assert_eq!(json[0], "x\u{1}\t\\");
        assert_eq!(json[1], true);
        assert_eq!(json[2]["c"][0], 3);
        check(Value::ArrayValue(ArrayValue { values: vec![] }), "[]");
    }

    #[test]
    fn other_encodings_are_read_and_known_as_such() {
        // value before key; an unknown field; a length of two bytes; an int of two bytes
        for bytes in [
            &b"\x12\x03\x0a\x01v\x0a\x01k"[..],
            b"\x0a\x01k\x12\x03\x0a\x01v\x18\x01",
            b"\x0a\x81\x00k\x12\x03\x0a\x01v",
            b"\x0a\x01k\x12\x04\x0a\x81\x00v",
            b"\x0a\x01k\x12\x05\x18\x00\x0a\x01v",
        ] {
            let attribute = key_value(bytes);
            assert_eq!((attribute.key, attribute.kind, attribute.payload), (&b"k"[..], AnyKind::String, &b"v"[..]));
            assert!(!attribute.canonical, "{bytes:x?}");
        }
        assert!(!key_value(b"\x0a\x01k\x12\x03\x18\x81\x00").canonical);
        assert!(!key_value(b"\x0a\x01k\x12\x02\x10\x02").canonical);
        assert!(!key_value(b"\x0a\x01k").canonical, "a value that is missing means what an empty one means");
    }
}
