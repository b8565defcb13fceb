//! Exemplars of points: found again in a message that has been validated, checked, and brought to one encoding.
//!
//! Knows `metrics.proto` Exemplar; does not know which of them are kept (`series::exemplars`).
//!
//! The one encoding: filtered attributes as a normalised run, time, value, span id, trace id, each only where it is
//! there. No allocation for an exemplar whose filtered attributes are few, plain and minimal, as every SDK writes them.

use super::attributes;
use super::minimal::put_record;
use crate::aggregate::number::Value;
use crate::wire::{Reader, put_bytes, put_fixed64};

/// Key byte of `Exemplar.filtered_attributes` (7).
const ATTRIBUTES_KEY: u8 = 0x3a;
/// Bytes of a trace id.
pub const TRACE_ID_BYTES: usize = 16;
/// Bytes of a span id.
pub const SPAN_ID_BYTES: usize = 8;

/// Calls `visit` with each exemplar (field `number`) of a point's message, which has been validated.
pub fn each<'a>(message: &'a [u8], number: u32, mut visit: impl FnMut(&'a [u8])) {
    let mut reader = Reader::new(message);
    while let Ok(field) = reader.field() {
        if field.number == number {
            let Ok(exemplar) = reader.bytes() else { return };
            visit(exemplar);
        } else if reader.skip(field, 1).is_err() {
            return;
        }
    }
}

/// Appends a validated exemplar to `out` in its one encoding; its time and value. Nothing if it is not acceptable: no
/// value (M2), an id of another length (M29), an attribute key twice or too many (M5); then `out` is as it was.
pub fn normalise(message: &[u8], out: &mut Vec<u8>) -> Option<(u64, Value)> {
    let start = out.len();
    let found = normalise_into(message, out);
    if found.is_none() {
        out.truncate(start);
    }
    found
}

fn normalise_into(message: &[u8], out: &mut Vec<u8>) -> Option<(u64, Value)> {
    let start = out.len();
    let (mut time, mut value, mut trace_id, mut span_id) = (0, None, &[][..], &[][..]);
    let mut reader = Reader::new(message);
    let mut attributes = 0;
    while !reader.is_empty() {
        let field = reader.field().ok()?;
        match field.number {
            2 => time = reader.fixed64().ok()?,
            3 => value = Some(Value::Double(f64::from_bits(reader.fixed64().ok()?))),
            4 => span_id = reader.bytes().ok()?,
            5 => trace_id = reader.bytes().ok()?,
            6 => value = Some(Value::Int(reader.fixed64().ok()? as i64)),
            7 => {
                put_record(reader.bytes().ok()?, ATTRIBUTES_KEY, out).ok()?;
                attributes += 1;
            }
            _ => reader.skip(field, 1).ok()?,
        }
    }
    let value = value?;
    let ids_fit = [0, TRACE_ID_BYTES].contains(&trace_id.len()) && [0, SPAN_ID_BYTES].contains(&span_id.len());
    if !ids_fit || !attributes::are_acceptable(&out[start..], attributes) {
        return None;
    }
    if time != 0 {
        put_fixed64(out, 0x11, time);
    }
    put_fixed64(out, if value.is_double() { 0x19 } else { 0x31 }, value.bits());
    if !span_id.is_empty() {
        put_bytes(out, 0x22, span_id);
    }
    if !trace_id.is_empty() {
        put_bytes(out, 0x2a, trace_id);
    }
    Some((time, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_uint;

    fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
        let (mut any, mut record) = (Vec::new(), Vec::new());
        put_bytes(&mut any, 0x0a, value);
        put_bytes(&mut record, 0x0a, key);
        put_bytes(&mut record, 0x12, &any);
        record
    }

    /// Field numbers of the parts of an exemplar, in their order.
    fn message(parts: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            match part {
                2 => put_fixed64(&mut out, 0x11, 77),
                3 => put_fixed64(&mut out, 0x19, 1.5f64.to_bits()),
                4 => put_bytes(&mut out, 0x22, &[4; 8]),
                5 => put_bytes(&mut out, 0x2a, &[5; 16]),
                6 => put_fixed64(&mut out, 0x31, 9),
                7 => put_bytes(&mut out, 0x3a, &pair(b"k", b"v")),
                8 => put_bytes(&mut out, 0x3a, &pair(b"l", b"w")),
                40 => put_bytes(&mut out, 0x22, &[4; 7]),
                50 => put_bytes(&mut out, 0x2a, &[5; 8]),
                _ => put_uint(&mut out, 0x78, 1),
            }
        }
        out
    }

    #[test]
    fn m29_an_exemplar_keeps_what_it_says_in_one_encoding() {
        let whole = message(&[7, 8, 2, 3, 4, 5]);
        for parts in [[7, 8, 2, 3, 4, 5, 99], [5, 7, 4, 3, 99, 8, 2], [2, 6, 3, 7, 8, 5, 4]] {
            let mut out = b"before".to_vec();
            assert_eq!(normalise(&message(&parts), &mut out), Some((77, Value::Double(1.5))), "{parts:?}");
            assert_eq!(&out[6..], whole, "{parts:?}");
        }
        let mut out = Vec::new();
        assert_eq!(normalise(&message(&[6]), &mut out), Some((0, Value::Int(9))), "the rest may be absent");
        assert_eq!(out, message(&[6]));
    }

    #[test]
    fn m2_m5_m29_what_is_not_acceptable_leaves_nothing() {
        for parts in [&[2, 4, 5, 7][..], &[3, 40], &[3, 50], &[3, 7, 8, 7]] {
            let mut out = b"before".to_vec();
            assert_eq!(normalise(&message(parts), &mut out), None, "{parts:?}");
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn each_finds_what_has_the_number() {
        let mut point = Vec::new();
        put_fixed64(&mut point, 0x11, 1);
        put_bytes(&mut point, 0x2a, b"a");
        put_bytes(&mut point, 0x3a, b"no");
        put_bytes(&mut point, 0x2a, b"b");
        let mut found = Vec::new();
        each(&point, 5, |exemplar| found.push(exemplar.to_vec()));
        assert_eq!(found, [b"a", b"b"]);
    }
}
