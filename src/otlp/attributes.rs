//! Attributes as OTLP's messages have them: checked, and brought to the one encoding of `identity::attributes`.
//!
//! Knows `common.proto` KeyValue and AnyValue; does not know where a set belongs. A *run* is the concatenation of the
//! `repeated KeyValue attributes` records of one message, each with its key byte (which differs by message) and length.

use super::cut::is_long as is_long_record;
use super::schema::{Message, validate};
use crate::identity::attributes::{Bad, FEW, Limits, Record, Records, has_duplicate_keys, sort_by_key};
use crate::limits::{ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTES_MAX};
use crate::wire::{Fault, Field, Reader, check_utf8, put_header, put_varint, varint_size};

/// Validates the run (wire faults) and appends its normalised form to `out`.
pub fn normalise(run: &[u8], key_byte: u8, limits: Limits, out: &mut Vec<u8>) -> Result<Result<(), Bad>, Fault> {
    let start = out.len();
    let mut reader = Reader::new(run);
    let (mut count, mut is_long) = (0, false);
    while !reader.is_empty() {
        reader.field()?;
        let record = reader.bytes()?;
        count += 1;
        // what is refused is checked and not written
        if record.len() > limits.short() && is_long_record(record, limits).map_err(|f| f.named("attributes"))? {
            is_long = true;
            continue;
        }
        if record.len() <= limits.short() {
            validate(Message::KeyValue, record, 1).map_err(|f| f.named("attributes"))?;
        }
        if count <= limits.attributes && !is_long {
            put_key_value(record, key_byte, out)?;
        }
    }
    let bad = if count > limits.attributes {
        Bad::TooMany
    } else if is_long {
        Bad::TooLong
    } else if count > 1 && has_duplicate_keys(&out[start..], count) {
        Bad::DuplicateKey
    } else {
        return Ok(Ok(()));
    };
    out.truncate(start);
    Ok(Err(bad))
}

/// Whether `count` records of an exemplar, normalised, are not too many and have no key twice.
pub(super) fn are_acceptable(run: &[u8], count: usize) -> bool {
    let is_long = |record: Record<'_>| record.is_long(Limits::DEFAULT);
    count <= ATTRIBUTES_MAX && !Records::new(run).any(is_long) && !(count > 1 && has_duplicate_keys(run, count))
}

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

/// Whether `normalise` would find nothing to reject and nothing to change, where that is seen at a glance: a few plain
/// records with different keys, as SDKs send them. `false` says nothing.
pub fn is_normal(run: &[u8], key_byte: u8, limits: Limits) -> bool {
    let (mut keys, mut count) = ([&[][..]; FEW], 0);
    let mut left = run;
    while let Some((key, rest)) = split_plain(left, key_byte, limits) {
        if count == FEW.min(limits.attributes) || keys[..count].contains(&key) {
            return false;
        }
        keys[count] = key;
        count += 1;
        left = rest;
    }
    left.is_empty()
}

/// The key of a plain record of valid texts at the head of a run, and the run behind it.
fn split_plain(run: &[u8], key_byte: u8, limits: Limits) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(run.strip_prefix(&[key_byte])?);
    let length = minimal(&mut reader)?;
    let (record, rest) = reader.rest().split_at_checked(usize::try_from(length).ok()?)?;
    let (key, text) = plain(record)?;
    let is_short = key.len() <= ATTRIBUTE_KEY_BYTES_MAX && text.len() <= limits.value_bytes - 4;
    (is_short && check_utf8(key).is_ok() && check_utf8(text).is_ok()).then_some((key, rest))
}

/// A varint that takes no more bytes than it needs.
fn minimal(reader: &mut Reader<'_>) -> Option<u64> {
    let left = reader.left();
    let value = reader.varint().ok()?;
    (left - reader.left() == varint_size(value)).then_some(value)
}

/// The key of a record, and its text if it has one: a key and a text, a bool, a minimal int or a double, in their
/// minimal encoding and nothing else. That texts are UTF-8 is not looked at.
fn plain(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(record.strip_prefix(&[0x0a])?);
    let length = usize::try_from(minimal(&mut reader)?).ok()?;
    let (key, rest) = reader.rest().split_at_checked(length)?;
    let mut reader = Reader::new(rest.strip_prefix(&[0x12])?);
    let any = minimal(&mut reader).filter(|n| *n == reader.left() as u64).map(|_| reader.rest())?;
    let (kind, value) = any.split_first()?;
    let mut reader = Reader::new(value);
    let mut text = &[][..];
    let is_plain = length > 0
        && match *kind {
            0x0a => {
                let length = minimal(&mut reader)?;
                text = reader.rest();
                length == text.len() as u64
            }
            0x10 => matches!(value, [0 | 1]),
            0x18 => minimal(&mut reader).is_some() && reader.is_empty(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: u8 = 0x3a;

    fn record(key: &str, any: &[u8]) -> Vec<u8> {
        let (mut record, mut run) = (Vec::new(), Vec::new());
        crate::wire::put_bytes(&mut record, 0x0a, key.as_bytes());
        crate::wire::put_bytes(&mut record, 0x12, any);
        crate::wire::put_bytes(&mut run, KEY, &record);
        run
    }

    fn text(text: &str) -> Vec<u8> {
        let mut any = Vec::new();
        crate::wire::put_bytes(&mut any, 0x0a, text.as_bytes());
        any
    }

    #[test]
    fn what_sdks_send_is_seen_to_be_normal() {
        let long = "x".repeat(300);
        let mut int = vec![0x18];
        put_varint(&mut int, -5i64 as u64);
        let double = [&[0x21][..], &1.5f64.to_le_bytes()].concat();
        let values = [text("GET"), text(""), text(&long), vec![0x10, 1], int, vec![0x18, 0], double];
        let keyed = |n: usize| -> Vec<u8> { (0..n).flat_map(|i| record(&format!("k{i}"), &values[i % 7])).collect() };
        for n in 0..=FEW {
            assert!(is_normal(&keyed(n), KEY, Limits::DEFAULT), "{n}");
        }
        assert!(!is_normal(&keyed(FEW + 1), KEY, Limits::DEFAULT), "more than are compared each with each");
        let run = keyed(3);
        let twice = [&run[..], &record("k1", &text("x"))].concat();
        let with = |old: u8| record("k", &text("x")).iter().map(|b| if *b == old { 0xff } else { *b }).collect();
        let none = record("k", &[]);
        for other in [twice, with(b'k'), with(b'x'), none, record("", &text("x")), record("k", &[0x10, 2])] {
            assert!(!is_normal(&other, KEY, Limits::DEFAULT), "{other:?}");
        }
        assert!(!is_normal(&run, KEY + 1, Limits::DEFAULT) && !is_normal(&run[..run.len() - 1], KEY, Limits::DEFAULT));
    }

    /// A value nested at random; maps may hold a key twice.
    #[derive(Clone, Debug)]
    enum Nested {
        Int(u8),
        Text(String),
        Array(Vec<Nested>),
        Map(Vec<(String, Nested)>),
    }

    fn any_nested() -> impl Strategy<Value = Nested> {
        let leaf = prop_oneof![any::<u8>().prop_map(Nested::Int), "[ab]{0,2}".prop_map(Nested::Text)];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Nested::Array),
                prop::collection::vec(("[a-c]{0,2}", inner), 0..5).prop_map(Nested::Map),
            ]
        })
    }

    /// The AnyValue, its maps in the order that `shuffle` gives them.
    fn any_value(value: &Nested, shuffle: &mut dyn FnMut(&mut Vec<(String, Nested)>)) -> Vec<u8> {
        let (mut any, mut list) = (Vec::new(), Vec::new());
        match value {
            Nested::Int(n) => any.extend_from_slice(&[0x18, *n & 0x7f]),
            Nested::Text(t) => any = text(t),
            Nested::Array(items) => {
                for item in items {
                    crate::wire::put_bytes(&mut list, 0x0a, &any_value(item, shuffle));
                }
                crate::wire::put_bytes(&mut any, 0x2a, &list);
            }
            Nested::Map(pairs) => {
                let mut pairs = pairs.clone();
                shuffle(&mut pairs);
                for (key, item) in pairs {
                    let mut record = Vec::new();
                    crate::wire::put_bytes(&mut record, 0x0a, key.as_bytes());
                    crate::wire::put_bytes(&mut record, 0x12, &any_value(&item, shuffle));
                    crate::wire::put_bytes(&mut list, 0x0a, &record);
                }
                crate::wire::put_bytes(&mut any, 0x32, &list);
            }
        }
        any
    }

    fn normal(run: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(normalise(run, KEY, Limits::DEFAULT, &mut out), Ok(Ok(())));
        out
    }

    #[test]
    fn maps_stand_by_key_whatever_their_order_or_parts() {
        let pair = |key: &str, n: u8| (key.to_string(), Nested::Int(n));
        let map = |pairs: &[(String, Nested)]| any_value(&Nested::Map(pairs.to_vec()), &mut |_| {});
        let want = normal(&record("k", &map(&[pair("a", 1), pair("b", 2), pair("long", 3)])));
        let other = map(&[pair("long", 3), pair("b", 2), pair("a", 1)]);
        assert_eq!(normal(&record("k", &other)), want);
        let parts = [map(&[pair("long", 3)]), map(&[pair("b", 2), pair("a", 1)])].concat();
        assert_eq!(normal(&record("k", &parts)), want, "a map in two parts");
        assert!(!is_normal(&record("k", &other), KEY, Limits::DEFAULT));
        let array = |values: &[u8]| Nested::Array(values.iter().map(|n| Nested::Int(*n)).collect());
        let of = |value: &Nested| normal(&record("k", &any_value(value, &mut |_| {})));
        assert_ne!(of(&array(&[1, 2])), of(&array(&[2, 1])), "an array's order counts");
        assert_ne!(
            of(&Nested::Map(vec![pair("a", 1), pair("b", 2)])),
            of(&Nested::Map(vec![pair("a", 2), pair("b", 1)]))
        );
    }

    proptest! {
        #[test]
        fn order_inside_maps_says_nothing(value in any_nested(), turns in prop::collection::vec(0usize..5, 1..8)) {
            let mut turn = 0;
            let shuffled = any_value(&value, &mut |pairs| {
                turn += 1;
                let by = turns[turn % turns.len()];
                if !pairs.is_empty() {
                    let by = by % pairs.len();
                    pairs.rotate_left(by);
                }
                if by % 2 == 1 {
                    pairs.reverse();
                }
            });
            let first = normal(&record("k", &any_value(&value, &mut |_| {})));
            prop_assert_eq!(&normal(&record("k", &shuffled)), &first);
            prop_assert_eq!(&normal(&first), &first, "and once is enough");
        }

        /// Whatever the bytes: what is called normal is accepted and stays as it is.
        #[test]
        fn what_is_called_normal_is(
            records in prop::collection::vec((0u8..6, prop_oneof![
                "[a-cé]{0,3}".prop_map(|t| text(&t)),
                Just(vec![0x10, 1]),
                any::<u64>().prop_map(|n| { let mut any = vec![0x18]; put_varint(&mut any, n); any }),
                any::<u64>().prop_map(|n| [&[0x21][..], &n.to_le_bytes()].concat()),
                prop::collection::vec(any::<u8>(), 0..6),
            ]), 0..6),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut run: Vec<u8> = records.iter().flat_map(|(key, any)| record(&"abcdef"[..*key as usize], any)).collect();
            for (at, byte) in edits.iter().filter(|_| !records.is_empty()) {
                let at = at.index(run.len());
                run[at] = *byte;
            }
            if is_normal(&run, KEY, Limits::DEFAULT) {
                let mut normal = Vec::new();
                prop_assert_eq!(normalise(&run, KEY, Limits::DEFAULT, &mut normal), Ok(Ok(())));
                prop_assert_eq!(normal, run);
            }
        }
    }
}
