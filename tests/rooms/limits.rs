//! What is rejected, cut or added elsewhere, and with what reason, on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::Note;
use catchment::model::Reject;
use prost::Message;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

#[test]
fn m1_to_m3_m9_m27_m32_single_points_are_rejected_with_a_reason() {
    let check = |metric, reason: Reject| {
        let mut rig = Rig::new(1);
        let good = sum("good", DELTA, true, vec![number(&[], T, T, int(1))]);
        let receipt = rig.send(0, &request(vec![good, metric]));
        assert_eq!((receipt.points, receipt.rejected), (2, 1), "{reason:?}");
        assert!(receipt.message.as_deref().unwrap_or("").contains(reason.help()), "{receipt:?}");
        assert_eq!(rig.tally.rejected(reason), 1, "{reason:?}");
        assert_eq!(values(&rig.cut(T + 1).cumulative), [1.0], "the rest is applied");
    };
    check(sum("m", DELTA, true, vec![number(&[], 0, 0, int(1))]), Reject::NoTime);
    check(sum("m", DELTA, true, vec![number(&[], T, T, None)]), Reject::NoValue);
    check(sum("m", 0, true, vec![number(&[], T, T, int(1))]), Reject::NoTemporality);
    check(sum("m", 7, true, vec![number(&[], T, T, int(1))]), Reject::NoTemporality);
    check(sum("m", DELTA, true, vec![number(&[], T, T, int(-1))]), Reject::NegativeDelta);
    check(sum("m", DELTA, true, vec![number(&[], T, T, double(f64::NAN))]), Reject::NotFinite);
    check(sum("m", DELTA, true, vec![number(&[], T + 1, T, int(1))]), Reject::StartAfterTime);
    check(sum("m", DELTA, true, vec![number(&[("k", "1"), ("k", "2")], T, T, int(1))]), Reject::DuplicateAttribute);
    check(sum("", DELTA, true, vec![number(&[], T, T, int(1))]), Reject::EmptyName);
    check(sum(&"x".repeat(256), DELTA, true, vec![number(&[], T, T, int(1))]), Reject::LongName);
    let many: Vec<String> = (0..129).map(|i| format!("k{i}")).collect();
    let pairs: Vec<(&str, &str)> = many.iter().map(|k| (k.as_str(), "v")).collect();
    check(sum("m", DELTA, true, vec![number(&pairs, T, T, int(1))]), Reject::TooManyAttributes);
    let long = |length: usize| "x".repeat(length);
    check(sum("m", DELTA, true, vec![number(&[(&long(256), "v")], T, T, int(1))]), Reject::LongAttribute);
    check(sum("m", DELTA, true, vec![number(&[("k", &long(4_097))], T, T, int(1))]), Reject::LongAttribute);
    let mut unit = sum("m", DELTA, true, vec![number(&[], T, T, int(1))]);
    unit.unit = long(65);
    check(unit, Reject::LongUnit);
}

/// A point of tomorrow is rejected, and those of today go on; without it they would be superseded until then.
#[test]
fn points_dated_far_ahead_are_rejected() {
    let mut rig = Rig::new(1);
    rig.cores[0].accept_until(T + 5 * SECOND);
    let year = 365 * 86_400 * SECOND;
    let one = |v: i64, time: u64| {
        let mut bucket = histogram_point(&[], time, &[1, 0], &[1.0], 0.5);
        bucket.start_time_unix_nano = START;
        vec![
            gauge("g", vec![number(&[], 0, time, int(v))]),
            sum("c", CUMULATIVE, true, vec![number(&[], START, time, int(v))]),
            sum("d", DELTA, true, vec![number(&[], START, time, int(v))]),
            histogram("h", DELTA, vec![bucket]),
            summary("s", vec![summary_point(&[], START, time, v as u64, 1.0, &[(0.5, 1.0)])]),
        ]
    };
    for (v, time, rejected) in
        [(1, T, 0), (2, T + year, 5), (3, T + 5 * SECOND, 0), (4, T + 5 * SECOND + 1, 5), (5, u64::MAX, 5)]
    {
        assert_eq!(rig.send(0, &request(one(v, time))).rejected, rejected, "{v}");
    }
    assert_eq!(rig.tally.rejected(Reject::FarFuture), 15);
    let out = rig.cut(T + 6 * SECOND);
    let shown = numbers(&out.cumulative);
    assert_eq!(shown.iter().find(|row| row.0 == "g").map(|row| row.4), Some(3.0), "{shown:?}");
    assert_eq!(shown.iter().find(|row| row.0 == "d").map(|row| row.4), Some(4.0), "{shown:?}");
}

/// An answer names the first point of each reason: its metric and service, escaped and of bounded length.
#[test]
fn what_is_rejected_is_named() {
    let mut rig = Rig::with(1, 1, 300 * SECOND);
    let point = |k: &str, time| vec![number(&[("k", k)], 0, time, int(1))];
    let name = format!("m\n{}", "y".repeat(200));
    let receipt =
        rig.send(0, &request_of("shop\u{1b}", vec![gauge(&name, point("a", T)), gauge(&name, point("b", 0))]));
    let words = receipt.message.unwrap();
    assert!(words.contains(r#"(first: metric "m\nyyyy"#) && words.contains(r#"of service "shop\u{1b}""#), "{words}");
    assert!(words.len() < 400, "{words}");
    // and where a limit refuses it, known or new
    let receipt = rig.send(0, &request_of("other", vec![gauge("second", point("b", T + 1))]));
    assert!(receipt.message.unwrap().contains(r#"(first: metric "second" of service "other")"#));
}

/// Long texts of a resource or scope are cut, end in their hash, and cost no point; what differs behind the cut stays apart.
#[test]
fn long_texts_of_a_resource_are_cut_and_stay_distinct() {
    let mut rig = Rig::new(1);
    let long = |end: &str| format!("{}{end}", "x".repeat(7_000));
    let send = |rig: &mut Rig, end: &str, more: usize| {
        let mut one = request_of(&long(end), vec![sum("m", DELTA, true, vec![number(&[], T, T, int(1))])]);
        let resource = one.resource_metrics[0].resource.as_mut().unwrap();
        resource.attributes.extend((0..more).map(|i| attribute(&format!("r{i:03}"), &long(end))));
        one.resource_metrics[0].schema_url = long(end);
        let receipt = rig.send(0, &one);
        assert_eq!(receipt.rejected, 0, "{receipt:?}");
        receipt.message
    };
    for (series, end, more) in [(1, "a", 0), (2, "b", 0), (3, "a", 200), (4, "b", 200)] {
        let words = send(&mut rig, end, more).expect("a word on what was cut");
        assert!(words.contains("were cut") && words.contains("\"m\""), "{words}");
        assert_eq!(send(&mut rig, end, more), None, "it is said once");
        assert_eq!(rig.registry.live(), series);
    }
    assert!(rig.tally.noted(Note::TextsCut) >= 4);
    let out = rig.cut(T + SECOND);
    for request in &out.cumulative {
        for resource in &request.resource_metrics {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            assert!(attributes.len() <= 128 && resource.schema_url.len() <= 255);
            assert!(attributes.iter().all(|a| a.encoded_len() <= 4_096 + 255 + 16));
        }
    }
    assert_eq!(values(&out.cumulative), [2.0; 4]);
}

/// M6: descriptions identify nothing, however many come; the longest stays, up to its limit.
#[test]
fn m6_descriptions_make_no_streams() {
    let mut rig = Rig::new(1);
    let metric = |i: usize| {
        let mut one = sum("m", DELTA, true, vec![number(&[], T, T, int(1))]);
        one.description = format!("{i:0>width$}", width = 1 + i * 3);
        one
    };
    rig.send(0, &request(vec![metric(0)]));
    let before = rig.registry.bytes();
    for _ in 0..2 {
        assert_eq!(rig.send(0, &request((0..3_000).map(metric).collect())).rejected, 0);
    }
    assert_eq!(rig.registry.bytes(), before + 4_095, "the longest counts, and only it");
    let out = rig.cut(T + SECOND);
    assert_eq!(values(&out.delta), [6_001.0]);
    let shown = &out.delta[0].resource_metrics[0].scope_metrics[0].metrics[0].description;
    assert_eq!(shown.len(), 4_096);
}

#[test]
fn m6_m32_a_name_and_as_many_attributes_as_the_limits_have_and_duplicate_blocks_are_taken() {
    let mut rig = Rig::new(1);
    let many: Vec<String> = (0..128).map(|i| format!("k{i}")).collect();
    let pairs: Vec<(&str, &str)> = many.iter().map(|k| (k.as_str(), "v")).collect();
    let mut all = request(vec![sum(&"x".repeat(255), DELTA, true, vec![number(&pairs, T, T, int(1))])]);
    all.resource_metrics.push(all.resource_metrics[0].clone());
    assert_eq!(rig.send(0, &all).rejected, 0);
    assert_eq!(values(&rig.cut(T + 1).cumulative), [2.0]);
    assert_eq!(rig.registry.live(), 1);
}

#[test]
fn m30_over_the_limit_deltas_overflow_and_the_rest_is_rejected() {
    let mut rig = Rig::with(1, 10, 300 * SECOND);
    let names: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let points: Vec<_> = names.iter().map(|n| number(&[("k", n)], T, T, int(2))).collect();
    for _ in 0..2 {
        let receipt = rig.send(0, &request(vec![sum("m", DELTA, true, points.clone())]));
        assert_eq!(receipt.rejected, 0, "every point is in a series");
    }
    let out = rig.cut(T + 1);
    let all = numbers(&out.cumulative);
    assert_eq!(all.len(), 11);
    assert_eq!(all.iter().map(|n| n.4).sum::<f64>(), 200.0);
    let overflow = all.iter().find(|n| n.1.contains("otel.metric.overflow")).expect("overflow series");
    assert_eq!(overflow.4, 160.0);
    assert_eq!(rig.tally.noted(Note::Overflowed), 80);
    let receipt = rig.send(0, &request(vec![gauge("g", vec![number(&[], 0, T, int(1))])]));
    assert_eq!(receipt.rejected, 1);
    assert_eq!(rig.tally.rejected(Reject::SeriesLimit), 1);
}

#[test]
fn a_malformed_request_changes_nothing() {
    use prost::Message;
    let mut rig = Rig::new(1);
    let good = request(vec![sum("m", DELTA, true, vec![number(&[("a", "1")], T, T, int(1))])]);
    rig.send(0, &good);
    rig.cut(T + 1);
    let mut refused = 0;
    for i in 0..1000 {
        let name = format!("new.{i}");
        let bytes = request(vec![sum(&name, DELTA, true, vec![number(&[("a", &name)], T, T, int(1))])]).encode_to_vec();
        let cut = 1 + (i * 7919) % (bytes.len() - 1);
        refused += u64::from(rig.send_bytes(0, &bytes[..cut]).is_err());
    }
    assert_eq!(refused, 1000, "a truncated request is never a request");
    assert_eq!(rig.registry.live(), 1);
    assert_eq!(rig.registry.group_count(), 1);
    assert_eq!(rig.tally.noted(Note::Malformed), 1000);
    assert!(rig.cut(T + 2).cumulative.is_empty());
}

/// Long attributes count towards the memory limit, and no longer once their series expired; so do resources.
#[test]
fn long_attributes_count_towards_the_memory_limit() {
    const LONG: usize = 100_000;
    let mut rig = Rig::within(1, 1_000_000, 8 << 20, 10 * SECOND);
    let before = rig.registry.bytes();
    let send = |rig: &mut Rig, from: usize, long_resource: bool| {
        let mut applied = 0;
        for i in from..from + 200 {
            let long = format!("{i}{}", "x".repeat(LONG));
            // as many attributes as are as long together
            let keys: Vec<String> = (0..LONG / 4_000).map(|k| format!("k{k}")).collect();
            let texts: Vec<(&str, &str)> = keys.iter().map(|k| (k.as_str(), &long[..4_000])).collect();
            let point = number(if long_resource { &[] } else { &texts }, START, START + SECOND, int(1));
            let mut one = request_of("svc", vec![gauge("m", vec![point])]);
            if long_resource {
                one.resource_metrics[0].resource.as_mut().unwrap().attributes.extend(attributes(&texts));
            }
            let receipt = rig.send(0, &one);
            applied += 1 - receipt.rejected;
        }
        applied
    };
    for (from, long_resource) in [(0, false), (1_000, true), (2_000, false)] {
        let applied = send(&mut rig, from, long_resource);
        assert!((20..=80).contains(&applied), "{applied} of 200 within 8 MiB, long_resource: {long_resource}");
        assert!(rig.registry.bytes() < (8 << 20) + 4 * LONG, "{}", rig.registry.bytes());
        for cut in 0..8 {
            rig.cut(START + (from as u64 + 20 * (cut + 1)) * SECOND);
        }
        rig.sweep(2);
        let left = rig.registry.bytes() - before;
        // slabs keep their chunks
        assert!(left < 2 << 20, "{left} bytes of {} series left after all expired", rig.registry.live());
    }
}

/// A batch ends behind a series with long attributes as it does behind many short ones.
#[test]
fn batches_of_long_attributes_stay_within_their_bytes() {
    let mut rig = Rig::new(1);
    let long = "x".repeat(4_000);
    let keys: Vec<String> = (0..25).map(|k| format!("k{k}")).collect();
    let point = |i: usize| {
        let texts: Vec<String> = keys.iter().map(|_| format!("{i}{long}")).collect();
        let pairs: Vec<(&str, &str)> = keys.iter().zip(&texts).map(|(k, text)| (k.as_str(), text.as_str())).collect();
        number(&pairs, START, START + SECOND, int(1))
    };
    rig.send(0, &request(vec![gauge("m", (0..100).map(point).collect())]));
    let out = rig.cut(START + 10 * SECOND);
    let sizes: Vec<usize> = out.cumulative.iter().map(Message::encoded_len).collect();
    assert!(
        sizes.len() >= 4 && sizes.iter().all(|size| *size <= catchment::limits::BATCH_BYTES_MAX + 200_000),
        "{sizes:?}"
    );
}
