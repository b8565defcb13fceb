//! Work and memory for what is received are bounded: encodings of one series, shared resources, messages of a request.

mod common;

use catchment::ledger::Note;
use catchment::limits::{MIB, REQUEST_MESSAGES_MAX, ROUTES_PER_CELL_MAX};
use common::*;
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
