//! Heads read in steps mean what they mean read in one go, however they are encoded.

use super::*;
use crate::identity::attributes::{Bad, put_sorted};
use crate::otlp::attributes;
use crate::otlp::schema::{Message, validate};
use crate::wire::{put_uint, put_varint};
use proptest::prelude::*;

const KEY: u8 = 0x0a;
const SHORT: Limits = Limits { attributes: 4, value_bytes: 64, name_bytes: 64 };

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number << 3 | 2, bytes);
    out
}

fn text_value(text: &str) -> Vec<u8> {
    field(1, text.as_bytes())
}

fn record(key: &str, any: &[u8]) -> Vec<u8> {
    field(1, &[field(1, key.as_bytes()), field(2, any)].concat())
}

/// Reads a message in steps of this size.
fn read(root: Root, message: &[u8], limits: Limits, step_ns: u64) -> Result<CutHead, FaultKind> {
    let mut cutter = Cutter::new(root, message.len(), limits);
    for _ in 0..=2 * message.len() + 2 {
        if cutter.advance(message, &mut step_ns.clone()).map_err(|fault| fault.kind)? {
            return cutter.end(message).map_err(|fault| fault.kind);
        }
    }
    panic!("it has no end");
}

fn run_of(message: &[u8], limits: Limits) -> Vec<u8> {
    read(Root::Inner(1), message, limits, 1).unwrap().run().to_vec()
}

/// A value nested at random; maps may hold a key twice.
#[derive(Clone, Debug)]
enum Nested {
    Bool(bool),
    Int(u64),
    Double(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Nested>),
    Map(Vec<(String, Nested)>),
}

fn any_nested() -> impl Strategy<Value = Nested> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Nested::Bool),
        any::<u64>().prop_map(Nested::Int),
        any::<u64>().prop_map(Nested::Double),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(Nested::Bytes),
        "[abé]{0,2}".prop_map(Nested::Text),
        "[abé]{30,90}".prop_map(Nested::Text),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Nested::Array),
            prop::collection::vec(("[a-c]{0,2}", inner), 0..4).prop_map(Nested::Map),
        ]
    })
}

/// One encoding of many: `next` says where to say more than is needed.
fn encode(value: &Nested, next: &mut dyn FnMut() -> u8) -> Vec<u8> {
    let mut any = Vec::new();
    let noise = |any: &mut Vec<u8>, next: &mut dyn FnMut() -> u8| match next() % 8 {
        0 => put_uint(any, 0x78, 7),
        1 => put_uint(any, 0x10, 1),
        2 => put_bytes(any, 0x2a, &field(1, &text_value("gone"))),
        3 => put_bytes(any, 0x7a, b"unknown"),
        _ => {}
    };
    // what comes before the value is overwritten
    noise(&mut any, next);
    match value {
        Nested::Bool(is) => any.extend_from_slice(&[0x10, if *is { 1 + (next() & 3) } else { 0 }]),
        Nested::Int(n) => put_uint(&mut any, 0x18, *n),
        Nested::Double(bits) => crate::wire::put_fixed64(&mut any, 0x21, *bits),
        Nested::Bytes(bytes) => put_bytes(&mut any, 0x3a, bytes),
        Nested::Text(text) => put_bytes(&mut any, 0x0a, text.as_bytes()),
        Nested::Array(items) => {
            any.extend_from_slice(&[0x10, 1]);
            let (a, b) = items.split_at(if next() & 1 == 0 { items.len() } else { items.len() / 2 });
            for part in if b.is_empty() { vec![a] } else { vec![a, b] } {
                let list: Vec<u8> = part.iter().flat_map(|item| field(1, &encode(item, next))).collect();
                put_bytes(&mut any, 0x2a, &list);
            }
        }
        Nested::Map(pairs) => {
            any.extend_from_slice(&[0x10, 1]);
            let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (key, encode(value, next))).collect();
            if !pairs.is_empty() {
                let by = usize::from(next()) % pairs.len();
                pairs.rotate_left(by);
            }
            let mut list = Vec::new();
            for (key, value) in pairs {
                let mut record = Vec::new();
                match next() % 4 {
                    0 => record.extend(field(1, b"other")),
                    1 => put_uint(&mut record, 0x78, 1),
                    _ => {}
                }
                record.extend(if next() & 1 == 0 {
                    [field(1, key.as_bytes()), field(2, &value)].concat()
                } else {
                    [field(2, &value), field(1, key.as_bytes())].concat()
                });
                put_bytes(&mut list, 0x0a, &record);
            }
            put_bytes(&mut any, 0x32, &list);
        }
    }
    any
}

/// The records of a run in the order of their bytes.
fn sorted(run: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_sorted(run, &mut out);
    out
}

proptest! {
    /// Two encodings of one set give the same, in any steps, within the limits, and a second reading changes nothing; what
    /// differs stays apart.
    #[test]
    fn a_set_says_the_same_in_every_encoding(
        values in prop::collection::vec(any_nested(), 0..7),
        other in any_nested(),
        noise in prop::collection::vec(any::<u8>(), 1..40),
        step_ns in 1u64..200,
    ) {
        let mut at = 0;
        let mut next = || { at += 1; noise[at % noise.len()] };
        let mut plain = || 7;
        let make = |values: &[Nested], next: &mut dyn FnMut() -> u8| -> Vec<u8> {
            let key = |i: usize| if i == 5 { "k".repeat(300) } else { format!("k{i}") };
            values.iter().enumerate().flat_map(|(i, value)| record(&key(i), &encode(value, next))).collect()
        };
        let one = run_of(&make(&values, &mut plain), SHORT);
        let other_way = read(Root::Inner(1), &make(&values, &mut next), SHORT, step_ns).unwrap();
        prop_assert_eq!(other_way.run(), &one);
        prop_assert_eq!(sorted(&run_of(&one, SHORT)), sorted(&one));
        let mut normal = Vec::new();
        prop_assert_eq!(attributes::normalise(&one, KEY, SHORT, &mut normal), Ok(Ok(())));
        prop_assert_eq!(&normal, &one);
        // what needs no cut is what it is in one go
        let mut whole = Vec::new();
        let encoded = make(&values, &mut next);
        match attributes::normalise(&encoded, KEY, SHORT, &mut whole).unwrap() {
            Ok(()) => prop_assert_eq!(sorted(&whole), sorted(&one)),
            Err(bad) => prop_assert!(bad == Bad::TooMany || bad == Bad::TooLong),
        }
        if let Some(last) = values.len().checked_sub(1) {
            let mut others = values.clone();
            others[last] = other.clone();
            let mut normals = [Vec::new(), Vec::new()];
            let wide = Limits { attributes: 10, value_bytes: 4_096, name_bytes: 64 };
            for (values, out) in [&values, &others].into_iter().zip(&mut normals) {
                // the long key aside, they are within these
                let run: Vec<u8> = make(values, &mut plain).into_iter().collect();
                let all = run_of(&run, wide);
                out.extend(all);
            }
            let cut = run_of(&make(&others, &mut plain), SHORT);
            prop_assert_eq!(cut == one, normals[0] == normals[1]);
        }
    }

    /// Whatever the bytes: sound or not as the schema says, in any steps.
    #[test]
    fn it_refuses_what_the_schema_refuses(
        values in prop::collection::vec(any_nested(), 0..4),
        noise in prop::collection::vec(any::<u8>(), 1..20),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        step_ns in 1u64..100,
    ) {
        let mut at = 0;
        let mut next = || { at += 1; noise[at % noise.len()] };
        let attributes: Vec<u8> = values.iter().flat_map(|value| record("k", &encode(value, &mut next))).collect();
        let scoped: Vec<u8> = Records::new(&attributes).flat_map(|record| field(3, record.bytes)).collect();
        let resource = [&attributes[..], &[0x10, 3], &field(3, &[field(1, b"url"), field(3, b"id")].concat())].concat();
        let scope = [field(1, b"name"), field(2, b"1"), scoped, vec![0x20, 1]].concat();
        for (mut message, root, kind) in
            [(resource, Root::Inner(1), Message::Resource), (scope, Root::Inner(3), Message::Scope)]
        {
            let bytes = message.len();
            for (at, byte) in edits.iter().filter(|_| bytes > 0) {
                let at = at.index(bytes);
                message[at] = *byte;
            }
            let want = validate(kind, &message, 1).map_err(|fault| fault.kind);
            prop_assert_eq!(read(root, &message, SHORT, step_ns).map(drop), want, "{:?}", message);
            // and inside of the message around it
            let around = field(1, &message);
            let root = if kind == Message::Scope { Root::Scope } else { Root::Resource };
            prop_assert_eq!(read(root, &around, SHORT, step_ns).map(drop), want);
        }
    }
}

#[test]
fn a_head_in_parts_is_one() {
    let texts = |end: &str| "s".repeat(80) + end;
    let whole = [field(1, &record("a", &text_value("1"))), field(1, &record("b", &text_value("2")))].concat();
    let message =
        |end: &str| [&whole[..], &field(3, b"before"), &field(2, b"\xff"), &field(3, texts(end).as_bytes())].concat();
    let head = read(Root::Resource, &message("x"), SHORT, 1).unwrap();
    assert_eq!(head.bytes, [record("a", &text_value("1")), record("b", &text_value("2"))].concat());
    assert!(head.schema_url.len() <= 64 && head.is_cut);
    assert_eq!(head.schema_url, cut_text(&texts("x"), 64).as_bytes());
    assert_ne!(head.schema_url, read(Root::Resource, &message("y"), SHORT, 1).unwrap().schema_url);
    let scope =
        [field(1, texts("x").as_bytes()), field(2, b"1.2"), field(3, &record("a", &text_value("1"))[2..])].concat();
    let head = read(Root::Scope, &field(1, &scope), SHORT, 1).unwrap();
    let want = [
        field(1, cut_text(&texts("x"), 64).as_bytes()),
        field(2, b"1.2"),
        field(3, &record("a", &text_value("1"))[2..]),
    ];
    assert_eq!(head.bytes, want.concat());
}

/// M5: a key that stands twice is still found by who reads it, unless something is cut: then the last one stays.
#[test]
fn m5_a_key_that_stands_twice_is_found() {
    let twice = [record("a", &text_value("1")), record("a", &text_value("2"))].concat();
    let mut out = Vec::new();
    assert_eq!(attributes::normalise(&run_of(&twice, SHORT), KEY, SHORT, &mut out), Ok(Err(Bad::DuplicateKey)));
    let long = record("z", &text_value(&"z".repeat(100)));
    assert_eq!(run_of(&twice.repeat(3), SHORT), record("a", &text_value("2")), "too many of them");
    let cut = run_of(&[&twice[..], &long].concat(), SHORT);
    let texts: Vec<_> = Records::new(&cut).map(|record| record.text().unwrap().to_owned()).collect();
    assert_eq!((texts.len(), &*texts[0]), (2, "2"));
}

/// Of too many attributes the first by key stay, and one tells how many are left out and which: whatever the order.
#[test]
fn of_too_many_attributes_the_first_stay() {
    let set = |keys: &[u32], end: &str| -> Vec<u8> {
        keys.iter().flat_map(|i| record(&format!("k{i:05}"), &text_value(&format!("{i}{end}")))).collect()
    };
    let up: Vec<u32> = (0..3_000).collect();
    let down: Vec<u32> = up.iter().rev().copied().collect();
    let (mut mixed, one) = (up.clone(), run_of(&set(&up, ""), SHORT));
    mixed.rotate_left(1_234);
    assert_eq!((run_of(&set(&down, ""), SHORT), run_of(&set(&mixed, ""), SHORT)), (one.clone(), one.clone()));
    let keys: Vec<_> = Records::new(&one).map(|record| String::from_utf8_lossy(record.key()).into_owned()).collect();
    assert_eq!(keys, ["k00000", "k00001", "k00002", CUT_KEY]);
    let said = Records::new(&one).last().unwrap().text().unwrap().to_owned();
    assert!(said.starts_with("2997~") && said.len() == 21, "{said}");
    assert_ne!(run_of(&set(&up, "x"), SHORT), one);
    // as many as there may be
    assert_eq!(run_of(&set(&up[..4], ""), SHORT), set(&up[..4], ""));
}

/// A text of any letters is checked and hashed in steps as it is in one go.
#[test]
fn long_texts_are_read_in_steps() {
    for piece in ["x", "é", "語", "😀", "aé語😀"] {
        for before in 0..4 {
            let text = "a".repeat(before) + &piece.repeat(200_000 / piece.len());
            let message = record("k", &text_value(&text));
            let one = run_of(&message, SHORT);
            let kept = Records::new(&one).next().unwrap().text().unwrap().to_owned();
            assert_eq!(kept, cut_text(&text, 60), "{piece}");
            for at in [message.len() - 1, message.len() - TEXT_STEP_BYTES, message.len() / 2] {
                let mut bad = message.clone();
                bad[at] = 0xff;
                assert_eq!(read(Root::Inner(1), &bad, SHORT, 1).unwrap_err(), FaultKind::NotUtf8, "{piece} {at}");
            }
        }
    }
    let ends_amid =
        field(1, &[field(1, b"k"), field(2, &field(1, &[&vec![b'x'; 100_000][..], b"\xe8\xaa"].concat()))].concat());
    assert_eq!(read(Root::Inner(1), &ends_amid, SHORT, 1).unwrap_err(), FaultKind::NotUtf8);
}

#[test]
fn a_step_takes_what_it_is_given() {
    let deep = field(5, &field(1, &field(5, b"")));
    let message = record("k", &field(5, &field(1, &deep).repeat(100_000)));
    let mut cutter = Cutter::new(Root::Inner(1), message.len(), SHORT);
    let mut steps = 0;
    while !cutter.advance(&message, &mut 100_000).unwrap() {
        steps += 1;
        assert!(steps < 1_000);
    }
    assert!(steps > 20, "{steps}");
    let said = Records::new(cutter.end(&message).unwrap().run()).next().unwrap().text().unwrap().to_owned();
    assert!(said.starts_with("(800004 bytes)~"), "{said}");
}

#[test]
fn hashes_are_the_same_in_every_process() {
    assert_eq!(cut_text(&"x".repeat(100), 64), format!("{}{}", "x".repeat(47), digits(hash_of(&[b'x'; 100]))));
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..200 {
        assert!(seen.insert(hash_of(&vec![0; n])), "{n} zeros");
        for bit in 0..8 * n.min(64) {
            let mut text = vec![0; n];
            text[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(hash_of(&text)), "{n} {bit}");
        }
    }
    let mut varint = Vec::new();
    put_varint(&mut varint, 300);
    assert_eq!(field_bytes(300), 1 + varint.len() + 300);
}
