//! The decoder against the official library (prost): the same requests are refused, the rest means the same.
//!
//! Requests are random, rewritten with every liberty that protobuf gives, and broken byte by byte. What is accepted goes
//! through a whole aggregation, and what leaves is compared with a naive evaluation of what prost read. `CATCHMENT_CASES`
//! sets how many requests each random test plays.

use crate::oracle;

use crate::common::*;
use crate::oracle::check::Pair;
use crate::requests::Chance;
use crate::requests::mess::{Liberties, Message, UNKNOWN, field, put_varint};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any};
use prost::Message as _;

const T: u64 = START + 10 * SECOND;

fn cases(default: u64) -> u64 {
    std::env::var("CATCHMENT_CASES").map_or(default, |n| n.parse().expect("CATCHMENT_CASES is a number"))
}

/// Plays the bodies one after the other on one core, cuts, plays them again, cuts: nothing differs from prost.
fn agree(bodies: &[&[u8]]) -> Result<usize, String> {
    let mut pair = Pair::new(1);
    let mut accepted = 0;
    for round in 1..3 {
        for body in bodies {
            accepted += usize::from(pair.send_bytes(0, body)?);
        }
        pair.cut(T + round * SECOND)?;
    }
    Ok(accepted)
}

/// For each seed: the bodies that `make` makes agree. Returns how many were accepted.
fn check(name: &str, cases: u64, make: impl Fn(&mut Chance) -> Vec<Vec<u8>>) -> usize {
    let mut accepted = 0;
    for seed in 0..cases {
        let bodies = make(&mut Chance(seed));
        let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        accepted += agree(&slices).unwrap_or_else(|why| panic!("{name}, seed {seed}: {why}"));
    }
    println!("{name}: {cases} cases, {accepted} requests accepted");
    accepted
}

/// The same request with and without liberties: both mean the same (two aggregations, byte for byte).
fn means_the_same(name: &str, cases: u64, how: Liberties) {
    let (mut changed, mut points) = (0, 0);
    for seed in 0..cases {
        let mut chance = Chance(seed);
        let plain = chance.request().encode_to_vec();
        let messy = chance.mess(Message::Request, &plain, &how);
        changed += u64::from(plain != messy);
        agree(&[&messy]).unwrap_or_else(|why| panic!("{name}, seed {seed}: {why}"));
        let leaves = |bytes: &[u8]| {
            let mut rig = Rig::new(1);
            let receipt = rig.send_bytes(0, bytes).unwrap_or_else(|why| panic!("{name}, seed {seed}: {why}"));
            let out = rig.cut(T);
            let mut all: Vec<Vec<u8>> = out.cumulative.iter().chain(&out.delta).flat_map(split_points).collect();
            all.sort();
            (receipt.points, receipt.rejected, all)
        };
        let (a, b) = (leaves(&plain), leaves(&messy));
        points += a.0;
        assert_eq!(a, b, "{name}, seed {seed}");
    }
    println!("{name}: {cases} requests of {points} points, {changed} rewritten");
    assert!(changed * 4 > cases, "{name}: only {changed} of {cases} requests were rewritten");
}

/// One encoded request for each point, so that their order does not matter.
fn split_points(request: &ExportMetricsServiceRequest) -> Vec<Vec<u8>> {
    oracle::flat::flatten(request).iter().map(|point| format!("{point:?}").into_bytes()).collect()
}

/// One series in two orders of attributes, one of them known, one new, within one request: the points are applied as
/// they came, so none is late.
#[test]
fn points_are_applied_in_the_order_of_the_request() {
    let mut rig = Rig::new(1);
    let (one, other) = ([("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]);
    let at = |pairs, time: u64, value| number(pairs, START + SECOND, T + time, int(value));
    rig.send(0, &request(vec![sum("m", 2, true, vec![at(&one, 0, 10)])]));
    rig.send(0, &request(vec![sum("m", 2, true, vec![at(&other, 1, 20), at(&one, 2, 25)])]));
    assert_eq!(rig.tally.settled(catchment::ledger::Effect::Superseded), 0);
    assert_eq!(values(&rig.cut(T + SECOND).cumulative), [25.0]);
}

/// A request of one sum `m` with one point of these bytes.
fn request_with_point(point: &[u8]) -> Vec<u8> {
    let metric = [&[0x0a, 1, b'm'][..], &field(7, &[&field(1, point)[..], &[0x10, 1, 0x18, 1]].concat())].concat();
    field(1, &field(2, &field(2, &metric)))
}

/// Start, time and an int, as serialisers put them, and whatever behind or before: a known point is never seen in
/// bytes that only begin like one.
#[test]
fn bytes_around_the_common_layout_are_read_as_they_are() {
    let mut fixed = vec![0x11];
    fixed.extend_from_slice(&START.to_le_bytes());
    fixed.push(0x19);
    fixed.extend_from_slice(&T.to_le_bytes());
    fixed.push(0x31);
    fixed.extend_from_slice(&7u64.to_le_bytes());
    let attribute = field(7, &attribute("k", "v").encode_to_vec());
    let bare = request_with_point(&fixed);
    let known = request_with_point(&[&fixed[..], &attribute].concat());
    let mut tails: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    tails.extend((0..=255).map(|byte| [&attribute[..], &[byte]].concat()));
    tails.push([&attribute[..], &[0x40, 0]].concat());
    tails.push([&attribute[..], &[0x40, 1]].concat());
    tails.push([&[0x40, 0], &attribute[..]].concat());
    tails.push([&attribute[..], &field(7, &attribute[2..])].concat());
    tails.push(attribute[..attribute.len() - 1].to_vec());
    tails.push([&attribute[..], &[0x11, 0, 0, 0, 0, 0, 0, 0, 0]].concat());
    let mut accepted = 0;
    for tail in &tails {
        let behind = request_with_point(&[&fixed[..], tail].concat());
        let before = request_with_point(&[&tail[..], &fixed].concat());
        for body in [&behind, &before] {
            for bodies in [vec![body], vec![&bare, body], vec![&known, body], vec![&bare, &known, body, body]] {
                let bodies: Vec<&[u8]> = bodies.into_iter().map(Vec::as_slice).collect();
                accepted += agree(&bodies).unwrap_or_else(|why| panic!("{tail:02x?}: {why}"));
            }
        }
    }
    assert!(accepted > 6 * tails.len(), "{accepted} requests accepted");
}

#[test]
fn r20_r22_random_requests_mean_what_prost_reads() {
    let accepted = check("random", cases(2500), |c| vec![c.request().encode_to_vec(), c.request().encode_to_vec()]);
    assert!(accepted > 0);
}

#[test]
fn r19_r20_r23_r26_messy_requests_mean_what_prost_reads() {
    check("messy", cases(2500), |c| {
        let plain = c.request().encode_to_vec();
        let messy = c.mess(Message::Request, &plain, &Liberties::ALL);
        vec![messy, plain]
    });
}

#[test]
fn r11_r20_mutated_requests_are_refused_exactly_where_prost_refuses() {
    let n = cases(4000);
    let accepted = check("mutated", n, |c| {
        let plain = c.request().encode_to_vec();
        let mut broken = if c.one_in(2) { plain.clone() } else { c.mess(Message::Request, &plain, &Liberties::ALL) };
        c.mutate(&mut broken);
        // once as a stranger, once where its series are known
        if c.one_in(2) { vec![broken] } else { vec![plain, broken] }
    });
    assert!(accepted as u64 > n / 4, "most mutations must not be refused: {accepted}");
}

#[test]
fn r11_every_truncation_of_a_request() {
    let mut all = 0;
    for seed in 0..cases(200).min(20_000) / 10 {
        let bytes = Chance(seed).request().encode_to_vec();
        let mut pair = Pair::new(1);
        for to in 0..bytes.len() {
            pair.send_bytes(0, &bytes[..to]).unwrap_or_else(|why| panic!("seed {seed} up to byte {to}: {why}"));
            all += 1;
        }
        pair.cut(T).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    println!("truncated: {all} requests");
}

#[test]
fn r19_unknown_fields_of_every_wire_type_change_nothing() {
    means_the_same("unknown fields", cases(400), Liberties { unknown: 3, ..Liberties::default() });
}

#[test]
fn r20_over_long_varints_change_nothing() {
    means_the_same("over-long varints", cases(400), Liberties { long_varints: 3, ..Liberties::default() });
    let check = |padding: usize, good: bool| {
        let mut body = Vec::new();
        put_varint(2 << 3, 0, &mut body);
        body.extend(std::iter::repeat_n(0x80, padding));
        body.push(0);
        assert_eq!(Pair::new(1).send_bytes(0, &body), Ok(good), "{padding} bytes more");
    };
    check(9, true);
    check(10, false);
}

#[test]
fn r20_unpacked_lists_change_nothing() {
    means_the_same("unpacked", cases(400), Liberties { unpacked: 1, ..Liberties::default() });
}

#[test]
fn r20_split_messages_merge() {
    means_the_same("split", cases(400), Liberties { split: 2, ..Liberties::default() });
}

#[test]
fn r20_fields_stand_in_any_order() {
    means_the_same("reordered", cases(400), Liberties { reorder: 1, ..Liberties::default() });
}

#[test]
fn r20_the_last_scalar_and_the_last_member_of_a_oneof_win() {
    let point = |value| number(&[("a", "1")], T, T, value).encode_to_vec();
    let both = [point(int(1)), point(double(2.5))].concat();
    let metric = |name: &str, point: &[u8]| {
        let data = [field(1, point), vec![0x10, 2, 0x10, 1, 0x18, 1]].concat();
        [field(1, b"first"), field(1, name.as_bytes()), field(5, &field(1, point)), field(7, &data)].concat()
    };
    let body = field(1, &field(2, &field(2, &metric("last", &both))));
    assert_eq!(agree(&[&body]), Ok(2));
    let mut rig = Rig::new(1);
    assert_eq!(rig.send_bytes(0, &body).map(|receipt| (receipt.points, receipt.rejected)), Ok((1, 1)), "a key twice");
    let both = [point(int(1)), double_only(2.5)].concat();
    let body = field(1, &field(2, &field(2, &metric("last", &both))));
    rig.send_bytes(0, &body).expect("well-formed");
    let out = numbers(&rig.cut(T).delta);
    assert_eq!((out[0].0.as_str(), out[0].4), ("last", 2.5));
}

fn double_only(v: f64) -> Vec<u8> {
    [&[0x21][..], &v.to_le_bytes()].concat()
}

#[test]
fn r21_indexes_into_tables_of_profiles_are_absent() {
    let with = |key_strindex, value| {
        let mut point = number(&[], T, T, int(1));
        point.attributes = vec![KeyValue { key: "k".into(), value: Some(AnyValue { value }), key_strindex }];
        request(vec![sum("m", 1, true, vec![point])]).encode_to_vec()
    };
    let bodies = [with(0, None), with(7, None), with(0, Some(Any::StringValueStrindex(3)))];
    let mut rig = Rig::new(1);
    for body in &bodies {
        agree(&[body]).unwrap();
        rig.send_bytes(0, body).expect("not fatal");
    }
    assert_eq!(rig.registry.live(), 1, "an index is as good as nothing");
    assert_eq!(values(&rig.cut(T).delta), [3.0]);
}

#[test]
fn r22_attribute_values_of_every_kind_are_identity() {
    let list = |values: Vec<Option<Any>>| {
        Any::ArrayValue(ArrayValue { values: values.into_iter().map(|value| AnyValue { value }).collect() })
    };
    let pairs = |key: &str| Any::KvlistValue(KeyValueList { values: attributes(&[(key, "v")]) });
    let kinds = [
        None,
        Some(Any::StringValue("".into())),
        Some(Any::StringValue("1".into())),
        Some(Any::BytesValue(b"1".to_vec())),
        Some(Any::BytesValue(b"\xff\xfe".to_vec())),
        Some(Any::BoolValue(true)),
        Some(Any::BoolValue(false)),
        Some(Any::IntValue(1)),
        Some(Any::IntValue(i64::MIN)),
        Some(Any::DoubleValue(1.0)),
        Some(Any::DoubleValue(f64::NAN)),
        Some(list(vec![])),
        Some(list(vec![Some(Any::IntValue(1)), Some(Any::StringValue("1".into())), None, Some(pairs("k"))])),
        Some(pairs("k")),
        Some(pairs("l")),
        Some(list(vec![Some(list(vec![Some(list(vec![Some(Any::BoolValue(true))]))]))])),
    ];
    let points = kinds.iter().map(|value| {
        let mut point = number(&[], T, T, int(1));
        point.attributes =
            vec![KeyValue { key: "k".into(), value: Some(AnyValue { value: value.clone() }), key_strindex: 0 }];
        point
    });
    let mut without = number(&[], T, T, int(1));
    without.attributes = vec![KeyValue { key: "k".into(), ..KeyValue::default() }];
    let body = request(vec![sum("m", 1, true, points.chain([without]).collect())]).encode_to_vec();
    assert_eq!(agree(&[&body]), Ok(2));
    let mut rig = Rig::new(1);
    rig.send_bytes(0, &body).expect("accepted");
    assert_eq!(rig.registry.live(), kinds.len() + 1);
}

#[test]
fn r23_empty_containers_make_nothing() {
    for body in [
        vec![],
        field(1, b""),
        field(1, &field(2, b"")),
        field(1, &field(2, &field(2, b""))),
        field(1, &field(2, &field(2, &field(7, b"")))),
        field(1, &field(2, &field(2, &[field(1, b"m"), field(7, &[0x10, 1])].concat()))),
        field(1, &[field(1, &field(1, &field(1, b"k"))), field(2, &field(1, &field(1, b"lib")))].concat()),
    ] {
        assert_eq!(agree(&[&body]), Ok(2), "{body:x?}");
        let mut rig = Rig::new(1);
        assert_eq!(rig.send_bytes(0, &body).map(|receipt| receipt.points), Ok(0), "{body:x?}");
        assert_eq!((rig.registry.live(), rig.registry.group_count()), (0, 0), "{body:x?}");
    }
    means_the_same("empty containers", cases(400), Liberties { empty: 1, ..Liberties::default() });
}

#[test]
fn r24_invalid_utf8_in_any_string_refuses_the_request() {
    let bad = b"\xff";
    let pair = |key: &[u8], value: &[u8]| [field(1, key), field(2, &field(1, value))].concat();
    let point = |attributes: Vec<u8>| [number(&[], T, T, int(1)).encode_to_vec(), attributes].concat();
    let metric = |name: &[u8], text: &[u8], unit: &[u8], point: &[u8]| {
        let data = [field(1, point), vec![0x10, 1]].concat();
        [field(1, name), field(2, text), field(3, unit), field(7, &data)].concat()
    };
    let good = metric(b"m", b"", b"", &point(field(7, &pair(b"k", b"v"))));
    let scoped = |scope: &[u8], metric: &[u8], url: &[u8]| [field(1, scope), field(2, metric), field(3, url)].concat();
    let body = |resource: &[u8], scope: &[u8], url: &[u8]| {
        field(1, &[field(1, resource), field(2, scope), field(3, url)].concat())
    };
    let fine = scoped(b"", &good, b"");
    assert_eq!(agree(&[&body(b"", &fine, b"")]), Ok(2));
    let entity = |number| field(3, &field(number, bad));
    let exemplar = field(5, &field(7, &pair(b"k", bad)));
    let dead_point = [point(field(7, &pair(b"k", bad))), vec![0x19; 1], vec![0; 8]].concat();
    let bodies = [
        ("resource key", body(&field(1, &pair(bad, b"v")), &fine, b"")),
        ("resource value", body(&field(1, &pair(b"k", bad)), &fine, b"")),
        ("entity schema", body(&entity(1), &fine, b"")),
        ("entity type", body(&entity(2), &fine, b"")),
        ("entity key", body(&entity(3), &fine, b"")),
        ("entity description key", body(&entity(4), &fine, b"")),
        ("resource schema", body(b"", &fine, bad)),
        ("scope name", body(b"", &scoped(&field(1, bad), &good, b""), b"")),
        ("scope version", body(b"", &scoped(&field(2, bad), &good, b""), b"")),
        ("scope attribute", body(b"", &scoped(&field(3, &pair(b"k", bad)), &good, b""), b"")),
        ("scope schema", body(b"", &scoped(b"", &good, bad), b"")),
        ("name", body(b"", &scoped(b"", &metric(bad, b"", b"", &point(vec![])), b""), b"")),
        ("description", body(b"", &scoped(b"", &metric(b"m", bad, b"", &point(vec![])), b""), b"")),
        ("unit", body(b"", &scoped(b"", &metric(b"m", b"", bad, &point(vec![])), b""), b"")),
        ("metadata", body(b"", &scoped(b"", &[good.clone(), field(12, &pair(b"k", bad))].concat(), b""), b"")),
        ("key", body(b"", &scoped(b"", &metric(b"m", b"", b"", &point(field(7, &pair(bad, b"v")))), b""), b"")),
        ("value", body(b"", &scoped(b"", &metric(b"m", b"", b"", &point(field(7, &pair(b"k", bad)))), b""), b"")),
        ("exemplar", body(b"", &scoped(b"", &metric(b"m", b"", b"", &point(exemplar)), b""), b"")),
        ("a rejected point", body(b"", &scoped(b"", &metric(b"m", b"", b"", &dead_point), b""), b"")),
        ("a nameless metric", body(b"", &scoped(b"", &metric(b"", bad, b"", &point(vec![])), b""), b"")),
    ];
    for (what, bytes) in &bodies {
        let good = body(b"", &fine, b"");
        assert_eq!(agree(&[&good, bytes]), Ok(2), "{what}: only the good one is accepted");
        // overwritten by a good one: it must be a string all the same
        assert_eq!(agree(&[&[&bytes[..], &good].concat()]), Ok(0), "{what}, then a good block");
    }
    for (number, text) in [(1, "name"), (2, "description"), (3, "unit")] {
        let twice = [field(number, bad), good.clone(), field(number, b"m")].concat();
        assert_eq!(agree(&[&body(b"", &scoped(b"", &twice, b""), b"")]), Ok(0), "{text} overwritten");
    }
    let twice = field(1, &[field(2, &fine), field(3, bad), field(3, b"good")].concat());
    assert_eq!(agree(&[&twice]), Ok(0), "schema overwritten");
}

#[test]
fn r26_removed_and_reserved_fields_are_ignored() {
    means_the_same("removed fields", cases(400), Liberties { removed: 1, ..Liberties::default() });
}

#[test]
fn r22_t8_nesting_deeper_than_64_is_refused_and_no_less() {
    let nested = |depth: usize| {
        let mut value = AnyValue { value: Some(Any::BoolValue(true)) };
        for _ in 0..depth {
            value = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![value] })) };
        }
        let mut point = number(&[], T, T, int(1));
        point.attributes = vec![KeyValue { key: "k".into(), value: Some(value), key_strindex: 0 }];
        request(vec![sum("m", 1, true, vec![point])]).encode_to_vec()
    };
    // one level for KeyValue, two for each array and the AnyValue in it
    assert_eq!(agree(&[&nested(31)]), Ok(2));
    assert_eq!(agree(&[&nested(32)]), Ok(0));
    assert_eq!(agree(&[&nested(200)]), Ok(0));
    let group = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    let at = |bytes: &[u8]| {
        [request(vec![]).encode_to_vec(), field(1, &field(2, &field(2, &field(7, &field(1, bytes)))))].concat()
    };
    let point = number(&[], T, T, int(1)).encode_to_vec();
    assert_eq!(agree(&[&at(&[group(63), point.clone()].concat())]), Ok(2));
    assert_eq!(agree(&[&at(&[group(64), point].concat())]), Ok(0));
    assert_eq!(agree(&[&at(&group(100_000))]), Ok(0));
    for unknown in UNKNOWN {
        assert_eq!(agree(&[unknown]), Ok(2));
    }
}
