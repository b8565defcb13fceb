//! Work and memory for what is received are bounded: encodings of one series, shared resources, messages of a request.

use crate::common::*;
use catchment::ledger::Note;
use catchment::limits::{
    EXPORT_SLICE_NS, KIB, MESSAGE_BYTES_MAX, MESSAGE_FIELDS_MAX, MIB, REQUEST_MESSAGES_MAX, ROUTES_PER_CELL_MAX,
    TIDY_PER_TURN,
};
use catchment::model::Door;
use prost::Message;

const DELTA: i32 = 1;
const T: u64 = START + 10 * SECOND;
const ENCODINGS: u64 = 5_000;

/// A request of `ENCODINGS` points of one series, each with its attributes in bytes of its own: an unknown field beside key
/// and value, which says nothing.
fn encodings(from: u64) -> Vec<u8> {
    let field = |out: &mut Vec<u8>, key: u8, bytes: &[u8]| {
        out.push(key);
        prost::encoding::encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    };
    let mut data = vec![0x10, 1, 0x18, 1];
    for i in from..from + ENCODINGS {
        let mut record = attribute("k", "v").encode_to_vec();
        // field 15, fixed64
        record.push(0x79);
        record.extend_from_slice(&i.to_le_bytes());
        let mut point = number(&[], START, T, int(1)).encode_to_vec();
        field(&mut point, 0x3a, &record);
        field(&mut data, 0x0a, &point);
    }
    let (mut metric, mut scope, mut resource, mut body) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    field(&mut metric, 0x0a, b"m");
    field(&mut metric, 0x3a, &data);
    field(&mut scope, 0x12, &metric);
    field(&mut resource, 0x12, &scope);
    field(&mut body, 0x0a, &resource);
    body
}

/// However many encodings of one series come, a core remembers a few; all points count; the memory they take is counted and
/// given back; a client that keeps to a new encoding is remembered in the end.
#[test]
fn encodings_of_one_series_are_remembered_to_a_limit() {
    let mut rig = Rig::with(1, 10, 3 * SECOND);
    let mut from = 0;
    for cut in 1..=4 {
        for _ in 0..2 {
            assert_eq!(rig.send_bytes(0, &encodings(from)).unwrap().rejected, 0);
            from += ENCODINGS;
        }
        assert!(rig.cores[0].routes() <= ROUTES_PER_CELL_MAX, "{} routes", rig.cores[0].routes());
        assert_eq!(rig.registry.live(), 1);
        let out = rig.cut(T + cut * SECOND);
        assert_eq!(values(&out.delta), [2.0 * ENCODINGS as f64]);
    }
    let kept = rig.tally.noted(Note::RoutesNotKept);
    assert!(kept > 7 * ENCODINGS, "{kept}");
    // the last one comes alone: it gets a place after a cut
    let last = encodings(from - 1);
    for cut in 5..=6 {
        rig.send_bytes(0, &last).unwrap();
        rig.cut(T + cut * SECOND);
    }
    for cut in 7..20 {
        rig.cut(T + cut * SECOND);
    }
    assert_eq!((rig.registry.live(), rig.cores[0].routes()), (0, 0), "they go with their series");
    assert_eq!(rig.tally.noted(Note::SeriesBorn), 1);
}

/// A resource is held once, however many metrics it has, also where its request comes in pieces.
#[test]
fn a_resource_is_held_once_for_all_its_metrics() {
    let mut rig = Rig::new(1);
    let long = "x".repeat(4_000);
    let before = rig.registry.bytes();
    let metrics = |from: usize| {
        let point = || vec![number(&[], START, T, int(1))];
        let mut one = request_of("svc", (from..from + 500).map(|i| gauge(&format!("m{i}"), point())).collect());
        let texts = (0..127).map(|i| attribute(&format!("r{i}"), &long));
        one.resource_metrics[0].resource.as_mut().unwrap().attributes.extend(texts);
        one
    };
    for from in [0, 500] {
        assert_eq!(rig.send(0, &metrics(from)).rejected, 0);
    }
    let taken = rig.registry.bytes() - before;
    assert!(taken < 4 * MIB, "{taken} bytes for a resource of half a MiB with a thousand metrics");
    assert_eq!(rig.registry.group_count(), 1_000);
}

/// A request of more messages than the limit is refused with words that say what to do, and changes nothing.
#[test]
fn a_request_has_a_limit_of_messages() {
    let mut rig = Rig::new(1);
    for (body, messages) in [
        // empty resources
        ([0x0a, 0].repeat(REQUEST_MESSAGES_MAX as usize), REQUEST_MESSAGES_MAX),
        ([0x0a, 0].repeat(REQUEST_MESSAGES_MAX as usize + 1), REQUEST_MESSAGES_MAX + 1),
    ] {
        match rig.send_bytes(0, &body) {
            Ok(_) => assert!(messages <= REQUEST_MESSAGES_MAX),
            Err(words) => {
                assert!(messages > REQUEST_MESSAGES_MAX);
                assert!(words.contains("1000000") && words.contains("several requests"), "{words}");
            }
        }
    }
    let points = vec![Default::default(); REQUEST_MESSAGES_MAX as usize];
    let words = rig.send_bytes(0, &request(vec![sum("m", DELTA, true, points)]).encode_to_vec()).unwrap_err();
    assert!(words.contains("several requests"), "{words}");
    assert_eq!((rig.registry.live(), rig.registry.group_count()), (0, 0));
}

fn field(key: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![key];
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A request of one point: what stands in the resource, in the scope, in the metric beside it.
fn whole(resource: &[u8], scope: &[u8], more: &[u8]) -> Vec<u8> {
    let point = number(&[("k", "v")], START, T, int(1)).encode_to_vec();
    let data = [&field(0x0a, &point)[..], &[0x10, 1]].concat();
    let metric = [&field(0x0a, b"m"), more, &field(0x3a, &data)].concat();
    field(0x0a, &[resource, &field(0x12, &[scope, &field(0x12, &metric)].concat())].concat())
}

/// What one resource, scope, metric or point may be, not counting what is under it; a request with one that is larger is
/// refused with words, and changes nothing.
#[test]
fn one_message_has_limits() {
    let point = number(&[("k", "v")], START, T, int(1)).encode_to_vec();
    let unknown = |n: usize| [0x78, 1].repeat(n);
    let of_data = |more: Vec<u8>| {
        let metric = [field(0x0a, b"m"), field(0x3a, &[&field(0x0a, &point)[..], &[0x10, 1], &more].concat())].concat();
        field(0x0a, &field(0x12, &field(0x12, &metric)))
    };
    type Make<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    // so many bytes
    let by_bytes: Vec<(&str, Make<'_>)> = vec![
        ("a group", Box::new(|n| whole(&[&[0x7b][..], &[0x08, 1].repeat(n / 2), &[0x7c]].concat(), &[], &[]))),
        ("parts of data", Box::new(|n| whole(&[], &[], &[0x3a, 2, 0x10, 1].repeat(n / 4)))),
        ("data set again", Box::new(|n| whole(&[], &[], &field(0x2a, &[0x0a, 0].repeat(n / 2))))),
        (
            "of a point",
            Box::new(|n| {
                let points = field(0x0a, &[&point[..], &unknown(n / 2)].concat());
                let metric = [field(0x0a, b"m"), field(0x3a, &[&points[..], &[0x10, 1]].concat())].concat();
                field(0x0a, &field(0x12, &field(0x12, &metric)))
            }),
        ),
    ];
    // so many fields
    let by_fields: Vec<(&str, Make<'_>)> = vec![
        ("of the request", Box::new(|n| [unknown(n), whole(&[], &[], &[])].concat())),
        ("of a resource", Box::new(|n| whole(&unknown(n), &[], &[]))),
        ("parts of a resource", Box::new(|n| whole(&[0x0a, 2, 0x10, 0].repeat(n), &[], &[]))),
        ("parts of a scope", Box::new(|n| whole(&[], &[0x0a, 2, 0x20, 0].repeat(n), &[]))),
        ("of a metric", Box::new(|n| whole(&[], &[], &unknown(n)))),
        ("metadata", Box::new(|n| whole(&[], &[], &[0x62, 0].repeat(n)))),
        ("names", Box::new(|n| whole(&[], &[], &[0x0a, 1, b'm'].repeat(n)))),
        ("of data", Box::new(|n| of_data(unknown(n)))),
    ];
    for (shapes, most, said) in [
        (by_bytes, MESSAGE_BYTES_MAX, "more than 1.5 MiB"),
        (by_fields, MESSAGE_FIELDS_MAX, "more than 1000000 fields"),
    ] {
        for (name, body) in &shapes {
            let mut rig = Rig::new(1);
            let fits = rig.send_bytes(0, &body(most - 1_000));
            assert_eq!(fits.as_ref().map(|receipt| receipt.points), Ok(1), "{name}");
            let (series, routes) = (rig.registry.live(), rig.cores[0].routes());
            let words = rig.send_bytes(0, &body(most + 1_000)).expect_err(name);
            assert!(words.contains(said), "{name}: {words}");
            assert_eq!((rig.registry.live(), rig.cores[0].routes()), (series, routes), "{name}");
        }
    }
    // children do not count
    let many =
        request(vec![sum("m", DELTA, true, vec![number(&[("k", "v")], START, T, int(1)); 100_000])]).encode_to_vec();
    assert!(many.len() > 2 * MESSAGE_BYTES_MAX);
    assert_eq!(Rig::new(1).send_bytes(0, &many).unwrap().points, 100_000);
}

/// Texts of a resource, a scope or a metric that identify nothing or are cut cost no point, however long they are, nor
/// however much there is of them; what differs at their end stays apart; and they are read in slices like all else.
#[test]
fn texts_above_points_may_be_of_any_length() {
    const LONG: usize = 2 * MIB;
    let long = |end: &str| "é".repeat(LONG / 2) + end;
    let value = |any: Vec<u8>| [field(0x0a, b"k"), field(0x12, &any)].concat();
    let text = |text: String| value(field(0x0a, text.as_bytes()));
    let deep = |end: &str| {
        let items = field(0x0a, &field(0x2a, &field(0x0a, &[0x2a, 0]))).repeat(LONG / 8);
        value(field(0x2a, &[items, field(0x0a, &field(0x0a, end.as_bytes()))].concat()))
    };
    let many = |key: u8, end: &str| -> Vec<u8> {
        let one = |i: usize| field(key, &[field(0x0a, format!("k{i:06}").as_bytes()), vec![0x12, 0]].concat());
        (0..LONG / 14).rev().flat_map(one).chain(field(key, &[field(0x0a, b"z"), text(end.into())].concat())).collect()
    };
    type Make<'a> = Box<dyn Fn(&str) -> Vec<u8> + 'a>;
    let shapes: Vec<(&str, bool, Make<'_>)> = vec![
        ("a text of a resource", true, Box::new(|e| whole(&field(0x0a, &field(0x0a, &text(long(e)))), &[], &[]))),
        ("a value of a resource", true, Box::new(|e| whole(&field(0x0a, &field(0x0a, &deep(e))), &[], &[]))),
        ("attributes of a resource", true, Box::new(|e| whole(&field(0x0a, &many(0x0a, e)), &[], &[]))),
        ("its schema URL", true, Box::new(|e| whole(&field(0x1a, long(e).as_bytes()), &[], &[]))),
        ("a scope's name", true, Box::new(|e| whole(&[], &field(0x0a, &field(0x0a, long(e).as_bytes())), &[]))),
        ("its version", true, Box::new(|e| whole(&[], &field(0x0a, &field(0x12, long(e).as_bytes())), &[]))),
        ("a value of a scope", true, Box::new(|e| whole(&[], &field(0x0a, &field(0x1a, &deep(e))), &[]))),
        ("attributes of a scope", true, Box::new(|e| whole(&[], &field(0x0a, &many(0x1a, e)), &[]))),
        ("a description", false, Box::new(|e| whole(&[], &[], &field(0x12, long(e).as_bytes())))),
        ("metadata", false, Box::new(|e| whole(&[], &[], &field(0x62, &text(long(e)))))),
        ("metadata, nested", false, Box::new(|e| whole(&[], &[], &field(0x62, &deep(e))))),
    ];
    for (name, identifies, body) in &shapes {
        let mut rig = Rig::new(1);
        for (n, end) in ["a", "b", "a"].into_iter().enumerate() {
            let (body, mut part, mut slices) = (body(end), None, 0);
            assert!(body.len() > LONG / 2, "{name}");
            let receipt = loop {
                let (done, cost_ns) = rig.cores[0].export_part(Door::OtlpHttp.into(), &body, &mut part, &mut rig.tally);
                slices += 1;
                assert!(slices < 1_000 && cost_ns < 2 * EXPORT_SLICE_NS, "{name}: {slices} slices, {cost_ns} ns");
                if let Some(done) = done {
                    break done.unwrap();
                }
            };
            assert_eq!((receipt.points, receipt.rejected), (1, 0), "{name}");
            assert_eq!(receipt.message.is_some(), *identifies && n < 2, "{name}: {receipt:?}");
            let series = if *identifies { 1 + usize::from(n > 0) } else { 1 };
            assert_eq!(rig.registry.live(), series, "{name}");
        }
        assert!(rig.registry.bytes() < 512 * KIB, "{name}: {} bytes are kept", rig.registry.bytes());
    }
}

/// Series that end together are put away a few in each turn of the loop, and all of them in the end.
#[test]
fn a_mass_death_is_put_away_in_parts() {
    const COUNT: usize = 3 * TIDY_PER_TURN + 100;
    let mut rig = Rig::with(1, 1_000_000, 3 * SECOND);
    let points = |n: usize| (0..n).map(|i| number(&[("i", &i.to_string())], START, T, int(1))).collect();
    let metric = |i: usize| sum(&format!("m{i}"), DELTA, true, points(COUNT / 100 + 1));
    assert_eq!(rig.send(0, &request((0..100).map(metric).collect())).rejected, 0);
    let mut cuts = 0;
    let mut cut = |rig: &mut Rig| {
        cuts += 1;
        rig.cut(T + cuts * SECOND)
    };
    for _ in 0..20 {
        if rig.registry.live() == 0 {
            break;
        }
        cut(&mut rig);
    }
    assert_eq!(rig.registry.live(), 0, "all expired");
    let all = rig.cores[0].routes();
    assert!(all > COUNT, "their routes stay until the next switch: {all}");
    let next = rig.cores[0].open().0 + 1;
    rig.cores[0].switch(next);
    let (mut before, mut turns) = (all, 0);
    loop {
        let routes = rig.cores[0].routes();
        assert!(before - routes <= TIDY_PER_TURN, "{before} to {routes}");
        before = routes;
        if !rig.cores[0].tidy() {
            break;
        }
        turns += 1;
        assert!(turns < 100, "it has an end");
        // a point of one of them is right in between
        if turns == 1 {
            assert_eq!(rig.send(0, &request(vec![sum("m99", DELTA, true, points(1))])).rejected, 0);
        }
    }
    assert!(turns >= 2, "{turns}");
    assert_eq!((rig.registry.live(), rig.cores[0].routes()), (1, 1));
    // streams likewise
    let next = rig.cores[0].open().0 + 10;
    rig.cores[0].switch(next);
    rig.sweep(2);
    assert_eq!(rig.registry.group_count(), 1);
}
