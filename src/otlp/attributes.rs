//! Attributes as OTLP's messages have them: checked, and brought to the one encoding of `identity::attributes`.
//!
//! Knows `common.proto` KeyValue and AnyValue; does not know where a set belongs. A *run* is the concatenation of the
//! `repeated KeyValue attributes` records of one message, each with its key byte (which differs by message) and length.

use super::cut::is_long as is_long_record;
use super::minimal::{minimal_varint, plain, put_key_value};
use super::schema::{Message, validate};
use crate::identity::attributes::{Bad, FEW, Limits, Normalised, Record, Records, SetHash, has_duplicate_keys};
use crate::limits::{ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTES_MAX};
use crate::wire::{Fault, Reader, check_utf8};

/// Reads a run once: validates it (wire faults), checks it, hashes the set with `state`, and appends its normalised form to
/// `out`, unless that is the run itself.
pub fn read(
    run: &[u8],
    key_byte: u8,
    limits: Limits,
    state: &ahash::RandomState,
    out: &mut Vec<u8>,
) -> Result<Result<Normalised, Bad>, Fault> {
    let mut hash = SetHash::new(state);
    if each_plain(run, key_byte, limits, |record| hash.add(record)) {
        return Ok(Ok(Normalised { is_written: false, hash: hash.get() }));
    }
    let (start, mut hash) = (out.len(), SetHash::new(state));
    if let Err(bad) = each_normalised(run, key_byte, limits, out, |record| hash.add(record))? {
        return Ok(Err(bad));
    }
    let is_written = out[start..] != *run;
    if !is_written {
        out.truncate(start);
    }
    Ok(Ok(Normalised { is_written, hash: hash.get() }))
}

/// Whether a run is well-formed for certain: keys and values are short, values are texts, whole numbers, truths or doubles, and
/// everything is where serialisers put it. What is not so plain must be validated. Takes a thirtieth of what `normalise`
/// does, and less than a point of a known series.
pub fn is_plain(run: &[u8], key_byte: u8) -> bool {
    // nearly all are, and looking at all of it at once is cheaper than at each text
    let is_ascii = run.is_ascii();
    let mut rest = run;
    loop {
        let [tag, length, after @ ..] = rest else { return rest.is_empty() };
        let Some((record, next)) = after.split_at_checked(usize::from(*length)) else { return false };
        if *tag != key_byte || *length >= 0x80 || !is_plain_record(record, is_ascii) {
            return false;
        }
        rest = next;
    }
}

#[inline]
fn is_plain_record(record: &[u8], is_ascii: bool) -> bool {
    let [0x0a, length, after @ ..] = record else { return false };
    // lengths are below that of the record: one byte each
    let Some((key, [0x12, value_length, value @ ..])) = after.split_at_checked(usize::from(*length)) else {
        return false;
    };
    let is_value = match value {
        [0x0a, length, text @ ..] => usize::from(*length) == text.len() && (is_ascii || check_utf8(text).is_ok()),
        [0x10 | 0x18, number @ .., last] => number.len() < 9 && *last < 0x80 && number.iter().all(|byte| *byte >= 0x80),
        [0x21, double @ ..] => double.len() == 8,
        _ => false,
    };
    usize::from(*value_length) == value.len() && is_value && (is_ascii || check_utf8(key).is_ok())
}

/// Validates the run (wire faults) and appends its normalised form to `out`.
pub fn normalise(run: &[u8], key_byte: u8, limits: Limits, out: &mut Vec<u8>) -> Result<Result<(), Bad>, Fault> {
    each_normalised(run, key_byte, limits, out, |_| {})
}

/// As `normalise`; calls `visit` with each record as it is written.
fn each_normalised(
    run: &[u8],
    key_byte: u8,
    limits: Limits,
    out: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]),
) -> Result<Result<(), Bad>, Fault> {
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
            let at = out.len();
            put_key_value(record, key_byte, out)?;
            Records::new(&out[at..]).for_each(|record| visit(record.bytes));
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

/// Whether `normalise` would find nothing to reject and nothing to change, where that is seen at a glance: a few plain
/// records with different keys, as SDKs send them. `false` says nothing.
pub fn is_normal(run: &[u8], key_byte: u8, limits: Limits) -> bool {
    each_plain(run, key_byte, limits, |_| {})
}

/// As `is_normal`; calls `visit` with the records, until one is not plain.
#[inline]
fn each_plain(run: &[u8], key_byte: u8, limits: Limits, mut visit: impl FnMut(&[u8])) -> bool {
    let (mut keys, mut count) = ([&[][..]; FEW], 0);
    let mut left = run;
    while let Some((key, record, rest)) = split_plain(left, key_byte, limits) {
        if count == FEW.min(limits.attributes) || keys[..count].contains(&key) {
            return false;
        }
        visit(record);
        keys[count] = key;
        count += 1;
        left = rest;
    }
    left.is_empty()
}

/// The plain record of valid texts at the head of a run, its key before it, and the run behind it.
fn split_plain(run: &[u8], key_byte: u8, limits: Limits) -> Option<(&[u8], &[u8], &[u8])> {
    let mut reader = Reader::new(run.strip_prefix(&[key_byte])?);
    let length = minimal_varint(&mut reader)?;
    let (record, rest) = reader.rest().split_at_checked(usize::try_from(length).ok()?)?;
    let (key, text) = plain(record)?;
    let is_short = key.len() <= ATTRIBUTE_KEY_BYTES_MAX && text.len() <= limits.value_bytes - 4;
    (is_short && check_utf8(key).is_ok() && check_utf8(text).is_ok()).then_some((key, record, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::attributes::hash;
    use crate::wire::put_varint;
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

    /// The normalised run. Read at once, it is the same, and its hash is that of the set, which no order changes.
    fn normal(run: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(normalise(run, KEY, Limits::DEFAULT, &mut out), Ok(Ok(())));
        let (state, mut written) = (ahash::RandomState::with_seeds(1, 2, 3, 4), Vec::new());
        let read = read(run, KEY, Limits::DEFAULT, &state, &mut written).unwrap().unwrap();
        assert_eq!((read.is_written, read.hash), (out != run, hash(&out, &state)));
        assert_eq!(written, if read.is_written { &out[..] } else { &[] });
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

    /// Never taken for well-formed what is not; and what SDKs send is.
    #[test]
    fn what_is_plain_is_well_formed() {
        let mut int = vec![0x18];
        put_varint(&mut int, -5i64 as u64);
        let double = [&[0x21][..], &1.5f64.to_le_bytes()].concat();
        let long = text(&"x".repeat(100));
        let values = [text("GET"), text(""), text("ä"), vec![0x10, 1], vec![0x18, 0xf7, 3], double, long];
        let run: Vec<u8> = values.iter().enumerate().flat_map(|(i, any)| record(&format!("k{i}"), any)).collect();
        assert!(is_plain(&run, KEY) && is_plain(&[], KEY) && !is_plain(&run, 0x0a));
        let others = [record("k", &int), record("k", &[]), record("k", &text(&"x".repeat(200)))];
        assert!(
            others.iter().all(|run| !is_plain(run, KEY) && normalise(run, KEY, Limits::DEFAULT, &mut vec![]).is_ok())
        );
        let mut plain = 0;
        for at in 0..run.len() {
            for byte in 0..=255 {
                let mut other = run.clone();
                other[at] = byte;
                if is_plain(&other, KEY) {
                    plain += 1;
                    assert!(normalise(&other, KEY, Limits::DEFAULT, &mut vec![]).is_ok(), "{byte} at {at}");
                }
            }
            assert!(!is_plain(&run[..at], KEY) || normalise(&run[..at], KEY, Limits::DEFAULT, &mut vec![]).is_ok());
        }
        assert!(plain > 15_000, "{plain}");
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
                prop_assert_eq!(&normal, &run);
                let (state, mut written) = (ahash::RandomState::with_seeds(1, 2, 3, 4), Vec::new());
                let as_it_is = Normalised { is_written: false, hash: hash(&run, &state) };
                prop_assert_eq!(read(&run, KEY, Limits::DEFAULT, &state, &mut written), Ok(Ok(as_it_is)));
                prop_assert!(written.is_empty());
            }
        }
    }
}
