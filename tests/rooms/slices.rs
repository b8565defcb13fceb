//! Large requests are read and applied in slices: what comes out is what the same points in small requests give, all of
//! them or none, whatever happens between two slices.

use crate::common::*;
use catchment::ingest::{Slice, Sliced};
use catchment::ledger::Note;
use catchment::model::{Door, Kind, Receipt, Reject};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

/// Each message is a slice of its own.
const SMALLEST: Slice = Slice { cost_ns: 1, chunk_bytes: 1 };

/// Points of every kind, some of them wrong, `count` of each.
fn of_every_kind(count: u64, time: u64) -> Vec<ExportMetricsServiceRequest> {
    let with = |i: u64| vec![("k", format!("{}", i % 7)), ("i", format!("{i}"))];
    let mut all = Vec::new();
    for i in 0..count {
        let pairs = with(i);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let wrong = if i % 5 == 4 { 0 } else { time };
        let mut described = sum("delta", DELTA, true, vec![number(&pairs, START, wrong, int(i as i64))]);
        described.description = "d".repeat(i as usize % 50);
        let unnamed = gauge("", vec![number(&pairs, 0, time, int(1)), number(&pairs, 0, time, int(1))]);
        let metrics = vec![
            described,
            sum("cumulative", CUMULATIVE, true, vec![number(&pairs, START, time, int(2 * i as i64))]),
            gauge("gauge", vec![number(&pairs, 0, time, double(i as f64 / 4.0))]),
            gauge("nothing", Vec::new()),
            unnamed,
            histogram("histogram", DELTA, vec![histogram_point(&pairs, time, &[i, 1, 2], &[1.0, 2.0], 3.0)]),
            histogram("other bounds", CUMULATIVE, vec![histogram_point(&pairs, time, &[i, 1], &[i as f64], 3.0)]),
            exponential("exponential", DELTA, vec![exponential_point(&pairs, START, time, 3, 1, &[i, 4])]),
            summary("summary", vec![summary_point(&pairs, START, time, i, 1.0, &[(0.5, i as f64)])]),
        ];
        let mut one = request_of(&format!("svc {}", i / 10), metrics);
        if i % 11 == 3 {
            // resources and scopes without a metric, and one whose text is cut
            one.resource_metrics.push(Default::default());
            one.resource_metrics[0].scope_metrics.push(Default::default());
            let long = attribute("long", &"x".repeat(5_000));
            one.resource_metrics[0].resource.as_mut().unwrap().attributes.push(long);
        }
        if i % 17 == 5 {
            // heads that are read in steps
            let long = |what: &str| format!("{what}{}", "é".repeat(40_000));
            let resource = &mut one.resource_metrics[0];
            resource.resource.as_mut().unwrap().attributes.push(attribute("long", &long("value")));
            resource.scope_metrics[0].scope.get_or_insert_default().name = long("scope");
            resource.scope_metrics[0].schema_url = long("url");
            resource.scope_metrics[0].metrics[1].description = long("description");
            resource.scope_metrics[0].metrics[2].metadata.push(attribute("long", &long("metadata")));
        }
        all.push(one);
    }
    all
}

/// The points of `all` by metric and scope: requests of few metrics with many points.
fn gathered(all: &[ExportMetricsServiceRequest]) -> ExportMetricsServiceRequest {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let mut out: Option<ExportMetricsServiceRequest> = None;
    for one in all {
        let Some(out) = &mut out else {
            out = Some(one.clone());
            continue;
        };
        let into = &mut out.resource_metrics[0].scope_metrics[0].metrics;
        for (into, metric) in into.iter_mut().zip(&one.resource_metrics[0].scope_metrics[0].metrics) {
            match (into.data.as_mut().unwrap(), metric.data.clone().unwrap()) {
                (Data::Sum(a), Data::Sum(b)) => a.data_points.extend(b.data_points),
                (Data::Gauge(a), Data::Gauge(b)) => a.data_points.extend(b.data_points),
                (Data::Histogram(a), Data::Histogram(b)) => a.data_points.extend(b.data_points),
                (Data::ExponentialHistogram(a), Data::ExponentialHistogram(b)) => a.data_points.extend(b.data_points),
                (Data::Summary(a), Data::Summary(b)) => a.data_points.extend(b.data_points),
                _ => unreachable!("metrics stand in one order"),
            }
        }
    }
    out.unwrap()
}

/// Sends a body slice by slice, with `between` before each but the first; how many there were.
fn send(rig: &mut Rig, body: &[u8], mut between: impl FnMut(&mut Rig)) -> (Result<Receipt, String>, usize) {
    let mut part = None;
    for slices in 1..1_000_000 {
        let (end, _) = rig.cores[0].export_part(Door::OtlpHttp.into(), body, &mut part, &mut rig.tally);
        assert!(rig.tally.balanced(), "after each slice: {:?}", rig.tally);
        if let Some(end) = end {
            assert!(part.is_none() && !rig.cores[0].is_applying());
            return (end.map_err(|fault| fault.to_string()), slices);
        }
        between(rig);
    }
    panic!("it has an end");
}

/// What comes out at a cut, in an order of its own; and what was counted.
fn seen(rig: &mut Rig, boundary: u64) -> (Vec<String>, Vec<u64>) {
    let out = rig.cut(boundary);
    let mut points: Vec<String> =
        out.delta.iter().chain(&out.cumulative).flat_map(each_point).map(|point| format!("{point:?}")).collect();
    points.sort();
    let tally = &rig.tally;
    let of_kind = |kind| Door::ALL.map(|door| (tally.received(door, kind), tally.rejected_by(door, kind)));
    let mut counts: Vec<u64> = Kind::ALL.iter().flat_map(|kind| of_kind(*kind)).flat_map(|(a, b)| [a, b]).collect();
    for note in [Note::SeriesBorn, Note::TextsCut, Note::SumDropped, Note::Reset] {
        counts.push(tally.noted(note));
    }
    (points, counts)
}

/// Whatever the slices are, cells, counts and answer are those of one go, for new series and for known ones.
#[test]
fn slices_give_what_one_go_gives() {
    let count = 60;
    let alone = of_every_kind(count, T);
    let joined =
        |all: &[ExportMetricsServiceRequest]| all.iter().map(|one| one.encode_to_vec()).collect::<Vec<_>>().concat();
    let bodies = [
        joined(&alone),
        // known by now, some with a longer description
        joined(&of_every_kind(count, T + 1)),
        gathered(&of_every_kind(count, T + 2)).encode_to_vec(),
        gathered(&of_every_kind(2 * count, T + 3)).encode_to_vec(),
    ];
    let slices = [
        SMALLEST,
        Slice { cost_ns: 3_000, chunk_bytes: 100 },
        Slice { cost_ns: 30_000, chunk_bytes: 1_000 },
        Slice { cost_ns: 40_000, chunk_bytes: 1 },
    ];
    let mut whole = Rig::new(1);
    let mut rigs = slices.map(|slice| {
        let mut rig = Rig::new(1);
        rig.cores[0].slice_by(slice);
        rig
    });
    for (n, body) in bodies.iter().enumerate() {
        let (receipt, one) = send(&mut whole, body, |_| {});
        let receipt = receipt.unwrap();
        assert_eq!(one, 1);
        assert!(receipt.rejected > 0 && receipt.points > 8 * count, "{receipt:?}");
        let want = seen(&mut whole, T + (n as u64 + 1) * SECOND);
        for (slice, rig) in slices.iter().zip(&mut rigs) {
            let (got, steps) = send(rig, body, |_| {});
            assert_eq!(got.unwrap(), receipt, "{slice:?}");
            assert!(steps > 20, "{steps} slices of {slice:?}");
            assert_eq!(seen(rig, T + (n as u64 + 1) * SECOND), want, "{slice:?}, body {n}");
            assert_eq!(rig.tally.noted(Note::Requests), n as u64 + 1);
            assert_eq!(rig.tally.noted(Note::Bytes), whole.tally.noted(Note::Bytes));
        }
    }
}

/// A large resource, or scope, that nobody knows is paid for once, and not by each slice: it would leave room for one metric
/// in each.
#[test]
fn a_large_head_takes_no_slice_for_each_of_its_metrics() {
    let value = "v".repeat(4_000);
    let keys: Vec<String> = (0..127).map(|i| format!("k{i}")).collect();
    let metrics = (0..2_000).map(|i| sum(&format!("m{i}"), DELTA, true, vec![number(&[], START, T, int(1))]));
    let body = request_of("large", metrics.collect());
    for is_scope in [false, true] {
        let mut rig = Rig::new(1);
        let mut body = body.clone();
        let one = &mut body.resource_metrics[0];
        let attributes = match is_scope {
            true => &mut one.scope_metrics[0].scope.get_or_insert_default().attributes,
            false => &mut one.resource.as_mut().unwrap().attributes,
        };
        attributes.extend(keys.iter().map(|key| attribute(key, &value)));
        let (receipt, slices) = send(&mut rig, &body.encode_to_vec(), |_| {});
        assert_eq!(receipt.unwrap(), Receipt { points: 2_000, ..Receipt::default() });
        assert!((2..40).contains(&slices), "{slices} slices, in the scope {is_scope}");
    }
}

/// A request whose very last message is wrong changes nothing, however many slices were read before.
#[test]
fn a_fault_at_the_end_leaves_nothing_behind() {
    let mut body = gathered(&of_every_kind(50, T)).encode_to_vec();
    body.extend(request(vec![sum("x", DELTA, true, vec![number(&[], START, T, int(1))])]).encode_to_vec());
    let mut wrong = body.clone();
    wrong.pop();
    // the string of the last resource is no text
    let mut text = body.clone();
    text.extend([0x0a, 7, 0x0a, 5, 0x0a, 3, 0x0a, 1, 0xff]);
    for body in [wrong, text] {
        let mut rig = Rig::new(1);
        rig.cores[0].slice_by(SMALLEST);
        let (end, steps) = send(&mut rig, &body, |_| {});
        assert!(end.is_err() && steps > 100, "{end:?} after {steps}");
        assert_eq!((rig.registry.live(), rig.registry.group_count(), rig.cores[0].routes()), (0, 0, 0));
        assert_eq!((rig.tally.received_total(), rig.tally.noted(Note::Requests)), (0, 0));
        assert_eq!(rig.tally.noted(Note::Malformed), 1);
        assert!(rig.cut(T + SECOND).delta.is_empty());
    }
}

/// Cuts between slices take a part of the points each, also where series and their routes expire in between: together they
/// are all.
#[test]
fn cuts_between_slices_lose_nothing() {
    for slice in [SMALLEST, Slice { cost_ns: 20_000, chunk_bytes: 1 }] {
        let mut rig = Rig::with(1, 1_000, 3 * SECOND);
        rig.cores[0].slice_by(slice);
        let points = |n: i64| (0..n).map(|i| number(&[("i", &format!("{}", i % 40))], START, T, int(i + 1))).collect();
        let body =
            request(vec![sum("a", DELTA, true, points(100)), sum("b", DELTA, true, points(150))]).encode_to_vec();
        let (mut total, mut cuts) = (0.0, 0);
        for _ in 0..2 {
            let (receipt, _) = send(&mut rig, &body, |rig| {
                cuts += 1;
                total += values(&rig.cut(T + cuts * SECOND).delta).iter().sum::<f64>();
                rig.sweep(2);
            });
            assert_eq!(receipt.unwrap(), Receipt { points: 250, rejected: 0, message: None });
        }
        cuts += 1;
        total += values(&rig.cut(T + cuts * SECOND).delta).iter().sum::<f64>();
        assert_eq!(total, 2.0 * (100.0 * 101.0 + 150.0 * 151.0) / 2.0);
        assert!(cuts > 20, "{cuts}");
        assert!(rig.tally.noted(Note::SeriesExpired) > 0, "some died on the way");
    }
}

/// Two large requests are read side by side and applied one after the other; a small one passes both.
#[test]
fn one_request_in_slices_is_applied_at_a_time() {
    let mut rig = Rig::new(1);
    rig.cores[0].slice_by(SMALLEST);
    let body = |name: &str| {
        let points = (0..20).map(|i| number(&[("i", &i.to_string())], START, T, int(1))).collect();
        request(vec![sum(name, DELTA, true, points)]).encode_to_vec()
    };
    let bodies = [body("a"), body("b")];
    let mut parts: [Option<Box<Sliced>>; 2] = [None, None];
    let mut ended = [false; 2];
    let small = request(vec![sum("small", DELTA, true, vec![number(&[], START, T, int(1))])]).encode_to_vec();
    let mut passed = 0;
    for _ in 0..1_000 {
        for i in 0..2 {
            if ended[i] {
                continue;
            }
            let (end, _) = rig.cores[0].export_part(Door::OtlpGrpc.into(), &bodies[i], &mut parts[i], &mut rig.tally);
            ended[i] = end.is_some_and(|end| end.unwrap().points == 20);
            let applying = parts.iter().flatten().filter(|part| part.is_applying()).count();
            assert!(applying <= 1);
            assert_eq!(rig.cores[0].is_applying(), applying == 1);
            if applying == 1 && passed == 0 {
                rig.cores[0].slice_by(Slice::default());
                assert_eq!(rig.send_bytes(0, &small).unwrap().points, 1);
                rig.cores[0].slice_by(SMALLEST);
                passed += 1;
            }
        }
    }
    assert_eq!((ended, passed), ([true; 2], 1));
    assert_eq!(values(&rig.cut(T + SECOND).delta).iter().sum::<f64>(), 41.0);
}

/// A request in slices that comes again in the same order is predicted as one in one go is.
#[test]
fn the_order_is_known_across_slices() {
    let points = (0..2_000).map(|i| number(&[("i", &i.to_string())], START, T, int(1))).collect();
    let body = request(vec![sum("a", DELTA, true, points)]).encode_to_vec();
    let mut rig = Rig::new(1);
    rig.cores[0].slice_by(Slice { cost_ns: 20_000, chunk_bytes: 1_000 });
    for round in 0..3 {
        let before = rig.tally.noted(Note::Lookups);
        let (end, slices) = send(&mut rig, &body, |_| {});
        assert!(end.is_ok() && slices > 20, "{slices}");
        let lookups = rig.tally.noted(Note::Lookups) - before;
        assert!(round == 0 || lookups == 0, "round {round}: {lookups} look-ups in {slices} slices");
    }
    assert_eq!(rig.tally.rejected(Reject::NoTime), 0);
}

/// Many histogram points with next to nothing in them need no memory beyond a slice's.
#[test]
fn very_many_small_histogram_points_are_taken() {
    let mut rig = Rig::new(1);
    let mut point = Vec::new();
    point.push(0x19);
    point.extend(T.to_le_bytes());
    let field = |key: u8, bytes: &[u8]| {
        let mut out = vec![key];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    };
    let count = 100_000;
    let data = [field(0x0a, &point).repeat(count), vec![0x10, 1]].concat();
    let metric = [field(0x0a, b"h"), field(0x4a, &data)].concat();
    let body = field(0x0a, &field(0x12, &field(0x12, &metric)));
    let (end, slices) = send(&mut rig, &body, |_| {});
    assert_eq!(end.unwrap(), Receipt { points: count as u64, rejected: 0, message: None });
    assert!(slices > 2, "{slices}");
}

/// A point that takes more memory than a slice may, because its counts have to be gathered, is read all the same; so is what
/// comes behind it.
#[test]
fn a_point_that_is_larger_than_a_slice_ends() {
    let field = |key: u8, bytes: &[u8]| {
        let mut out = vec![key];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    };
    let time = [&[0x19][..], &T.to_le_bytes()].concat();
    // fixed64 counts that are not packed: more than a histogram may have
    let counts = [&[0x31][..], &[0; 8]].concat().repeat(170_000);
    let data = [field(0x0a, &[&time[..], &counts].concat()), field(0x0a, &time), vec![0x10, 1]].concat();
    let metric = [field(0x0a, b"h"), field(0x4a, &data)].concat();
    let one = field(0x0a, &field(0x12, &field(0x12, &metric)));
    let mut rig = Rig::new(1);
    for body in [one.clone(), one.repeat(20)] {
        let mut part = None;
        let end = (0..1_000).find_map(|_| {
            let (end, _) = rig.cores[0].export_part(Door::OtlpHttp.into(), &body, &mut part, &mut rig.tally);
            end
        });
        let receipt = end.expect("it has an end").unwrap();
        assert_eq!(
            (receipt.points, receipt.rejected),
            (2 * (body.len() / one.len()) as u64, (body.len() / one.len()) as u64)
        );
    }
}
