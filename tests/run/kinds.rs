//! M7, M28, M29 through the binary: a summary, the end of a series, and exemplars, on the page, at an OTLP destination and
//! in OTLP/JSON.

use crate::binary::backend::Backend;
use crate::binary::process::{Catchment, Folder, samples, total, until, wall_ns};
use crate::common::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use prost::Message as _;
use std::collections::BTreeMap;

const QUANTILES: [(f64, f64); 3] = [(0.0, 0.25), (0.5, 1.5), (0.99, 8.0)];

/// One export of a gauge, a cumulative sum and a summary.
fn export(time: u64, flags: u32, value: i64) -> Vec<u8> {
    let number = |value| NumberDataPoint { flags, ..number(&[("k", "v")], time - 1, time, value) };
    let point = summary_point(&[("k", "v")], time - 1, time, value as u64, 12.5, &QUANTILES);
    let metrics = vec![
        gauge("temperature", vec![number(int(value))]),
        sum("orders", 2, true, vec![number(int(value))]),
        summary("latency", vec![SummaryDataPoint { flags, ..point }]),
    ];
    request_of("shop", metrics).encode_to_vec()
}

/// The page's samples of these three, without the labels that say where they came from.
fn page(catchment: &Catchment) -> (String, BTreeMap<String, f64>) {
    let page = catchment.scraper().get("/metrics").text().to_owned();
    let all = samples(&page).into_iter().filter(|(name, _)| !name.starts_with("target_info"));
    let short = |name: String| match (name.split_once('{'), name.split_once("quantile=")) {
        (Some((base, _)), Some((_, quantile))) => format!("{base} {}", quantile.trim_end_matches('}')),
        (Some((base, _)), None) => base.to_owned(),
        _ => name,
    };
    let found = all.map(|(name, value)| (short(name), value)).collect();
    (page, found)
}

#[test]
fn m7_m28_summaries_and_ends_come_out_of_every_output() {
    for shards in ["1", "3"] {
        let (backend, folder) = (Backend::start(), Folder::new());
        let path = folder.path("out.jsonl");
        let file = format!("file:{}", path.display());
        let catchment = Catchment::start(&[
            "--shards",
            shards,
            "--interval",
            "100ms",
            "--out",
            &backend.url("compression=none"),
            "--out",
            &file,
        ]);
        let start = wall_ns();
        let (mut http, grpc) = (catchment.http(), catchment.grpc());
        assert_eq!(http.export(&export(start, 0, 7)).unwrap().status, 200);
        let (text, found) = until("all kinds on the page", || Some(page(&catchment)).filter(|(_, all)| all.len() == 7));
        assert!(text.contains("# TYPE latency summary\n"), "{text}");
        let quantiles: Vec<(&str, f64)> =
            found.iter().filter(|(name, _)| name.starts_with("latency")).map(|(name, v)| (name.as_str(), *v)).collect();
        let expected = [
            ("latency \"0.0\"", 0.25),
            ("latency \"0.5\"", 1.5),
            ("latency \"0.99\"", 8.0),
            ("latency_count", 7.0),
            ("latency_sum", 12.5),
        ];
        assert_eq!(quantiles, expected, "{text}");
        assert_eq!((found.get("temperature_ratio"), found.get("orders_total")), (Some(&7.0), Some(&7.0)), "{text}");

        // what came with the flag is ignored, and the rows are gone
        assert_eq!(grpc.export(&export(start + 1, 1, 99)).unwrap().status, 0);
        until("all have ended", || page(&catchment).1.is_empty().then_some(()));
        assert_eq!(http.export(&export(start + 2, 0, 8)).unwrap().status, 200);
        let (text, found) = until("all are back", || Some(page(&catchment)).filter(|(_, all)| all.len() == 7));
        assert_eq!((found.get("temperature_ratio"), found.get("orders_total")), (Some(&8.0), Some(&8.0)), "{text}");
        backend.wait("three of each", |received| received.points >= 9);
        drop((http, grpc));
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let line = ended.ledger();
        assert!(line.contains("received 9 = applied 9") && line.contains("balanced"), "{line}");

        let arrived: Vec<Any> = backend.with(|received| received.series.values().flatten().cloned().collect());
        check(&arrived, start, "at the backend");
        let lines = std::fs::read_to_string(path).unwrap();
        let requests = lines.lines().map(|line| {
            let mut bytes = Vec::new();
            catchment::otlp::json_in::read_json(line.as_bytes(), &mut bytes, usize::MAX, |_| true).expect("OTLP/JSON");
            ExportMetricsServiceRequest::decode(&bytes[..]).unwrap()
        });
        let written: Vec<Any> = requests.flat_map(|request| each_point(&request)).map(|(_, _, p)| p).collect();
        check(&written, start, "in the file");
    }
}

/// Of each series a value, its end, and a value.
fn check(points: &[Any], start: u64, context: &str) {
    let mut summaries = Vec::new();
    let mut numbers = Vec::new();
    for point in points {
        match point {
            Any::Summary(p) => summaries.push((p.time_unix_nano - start, p.flags, p.count, p.sum, quantiles(p))),
            Any::Number(p) => numbers.push((p.time_unix_nano - start, p.flags, p.value.is_some())),
            _ => panic!("{context}: {point:?}"),
        }
    }
    let ended = QUANTILES.map(|(quantile, _)| (quantile, 0.0)).to_vec();
    let expected = [(0, 0, 7, 12.5, QUANTILES.to_vec()), (1, 1, 0, 0.0, ended), (2, 0, 8, 12.5, QUANTILES.to_vec())];
    assert_eq!(summaries, expected, "{context}");
    numbers.sort_unstable();
    let twice = |a| [a, a];
    let expected = [twice((0, 0, true)), twice((1, 1, false)), twice((2, 0, true))].concat();
    assert_eq!(numbers, expected, "{context}");
}

/// `last` of summaries: the newest point of the members leaves whole, in both temporalities and on the page, and ends with its
/// quantiles when nobody lives.
#[test]
fn the_newest_summary_of_a_rule_leaves_whole() {
    for shards in ["1", "3"] {
        let backends = [Backend::start(), Backend::start()];
        let rules = "yaml:{rules: [{name: all, match: {metric: latency}, by: [], outputs: {summary: [last]}}]}";
        let [delta, cumulative] = &backends;
        let (delta, cumulative) = (delta.url("temporality=delta"), cumulative.url("temporality=cumulative"));
        let outs = ["--config", rules, "--out", &delta, "--out", &cumulative];
        let catchment = Catchment::start(&[&["--shards", shards, "--interval", "100ms"][..], &outs[..]].concat());
        // nothing is said of the interval in which a rule began
        let mut admin = catchment.admin();
        let mut cuts = || total(&samples(admin.get("/metrics").text()), "catchment_cuts_total");
        until("a whole interval begins", || (cuts() >= 2.0).then_some(()));
        let start = wall_ns();
        let (mut http, grpc) = (catchment.http(), catchment.grpc());
        let send = |pod: &str, time: u64, flags: u32, count: u64| {
            let point = summary_point(&[("pod", pod)], start - 5, start + time, count, 12.5, &QUANTILES);
            let point = SummaryDataPoint { flags, ..point };
            request_of("shop", vec![summary("latency", vec![point])]).encode_to_vec()
        };
        let count = |page: &BTreeMap<String, f64>| page.get("latency_last_count").copied();
        assert_eq!(http.export(&send("a", 2, 0, 7)).unwrap().status, 200);
        assert_eq!(grpc.export(&send("b", 1, 0, 9)).unwrap().status, 0);
        let (text, found) =
            until("it is on the page", || Some(page(&catchment)).filter(|(_, all)| count(all).is_some()));
        let expected = [
            ("latency_last \"0.0\"", 0.25),
            ("latency_last \"0.5\"", 1.5),
            ("latency_last \"0.99\"", 8.0),
            ("latency_last_count", 7.0),
            ("latency_last_sum", 12.5),
        ];
        // what came second may be of the next cut
        let found = if count(&found) == Some(7.0) {
            found
        } else {
            until("the newest", || Some(page(&catchment).1).filter(|all| count(all) == Some(7.0)))
        };
        let found: Vec<(&str, f64)> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(found, expected, "{text}");
        for (pod, time) in [("a", 3), ("b", 4)] {
            assert_eq!(http.export(&send(pod, time, 1, 0)).unwrap().status, 200);
        }
        until("nobody lives", || page(&catchment).1.is_empty().then_some(()));
        for backend in &backends {
            let is_end = |point: &SummaryDataPoint| point.flags == 1;
            let points = |received: &crate::binary::backend::Received| -> Vec<SummaryDataPoint> {
                let all = received.series.values().flatten();
                all.filter_map(|point| if let Any::Summary(point) = point { Some(point.clone()) } else { None })
                    .collect()
            };
            backend.wait("its end", |received| points(received).last().is_some_and(is_end));
            let all = backend.with(|received| points(received));
            let (end, values) = all.split_last().unwrap();
            assert_eq!(quantiles(end), QUANTILES.map(|(quantile, _)| (quantile, 0.0)));
            let newest = values.iter().find(|point| point.count == 7).unwrap();
            assert_eq!((newest.sum, quantiles(newest)), (12.5, QUANTILES.to_vec()));
            assert!(values.iter().chain([end]).all(|point| point.start_time_unix_nano == start - 5), "{all:?}");
            assert!(values.iter().all(|point| point.time_unix_nano < end.time_unix_nano && !is_end(point)), "{all:?}");
        }
        assert!(catchment.terminate().ledger().contains("balanced"));
    }
}

fn quantiles(point: &SummaryDataPoint) -> Vec<(f64, f64)> {
    point.quantile_values.iter().map(|q| (q.quantile, q.value)).collect()
}

/// Exemplars of every kind, sent as protobuf and as JSON, from two cores; and what leaves of each, by its name.
#[test]
fn m29_exemplars_come_out_of_every_output_with_their_ids() {
    let (backend, folder) = (Backend::start(), Folder::new());
    let path = folder.path("out.jsonl");
    let file = format!("file:{}", path.display());
    let url = backend.url("temporality=delta");
    let catchment = Catchment::start(&["--shards", "2", "--interval", "1h", "--out", &url, "--out", &file]);
    let time = wall_ns();
    let of = |i: u64| {
        let exemplars = vec![Exemplar {
            filtered_attributes: attributes(&[("user.id", "u\"1")]),
            time_unix_nano: time + i,
            value: Some(if i.is_multiple_of(2) { Value::AsInt(i as i64) } else { Value::AsDouble(i as f64) }),
            span_id: vec![0xA0 + i as u8; 8],
            trace_id: vec![0xB0 + i as u8; 16],
        }];
        let number = |time| NumberDataPoint { exemplars: exemplars.clone(), ..number(&[], time - 1, time, int(1)) };
        let buckets =
            HistogramDataPoint { exemplars: exemplars.clone(), ..histogram_point(&[], time, &[1, 0], &[1.0], 0.5) };
        let point = exponential_point(&[], time - 1, time, 3, 0, &[1]);
        let metrics = vec![
            gauge("gauge", vec![number(time + i)]),
            sum("sum", 1, true, vec![number(time)]),
            histogram("histogram", 1, vec![buckets]),
            exponential(
                "exponential",
                1,
                vec![ExponentialHistogramDataPoint { exemplars: exemplars.clone(), ..point }],
            ),
        ];
        request_of("shop", metrics).encode_to_vec()
    };
    for i in 0..6 {
        let mut http = catchment.http();
        if i < 3 {
            assert_eq!(http.export(&of(i)).unwrap().status, 200);
        } else {
            let mut text = Vec::new();
            catchment::otlp::json_out::write_json(&of(i), &mut text).expect("a request");
            assert_eq!(http.post("/v1/metrics", "application/json", &text).unwrap().status, 200);
        }
    }
    let metrics = catchment.admin().get("/metrics").text().to_owned();
    let all = samples(&metrics);
    let noted = ["catchment_exemplars_total", "catchment_exemplars_dropped_total"].map(|name| total(&all, name));
    assert_eq!(noted, [24.0, 0.0], "{metrics}");
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().contains("received 24 = applied 24") && ended.ledger().contains("balanced"));

    let read = |bytes: &[u8]| ExportMetricsServiceRequest::decode(bytes).expect("a request");
    let lines = std::fs::read_to_string(path).unwrap();
    // as the mapping has it: hexadecimal ids, values by their kind
    assert!(lines.contains(&"b5".repeat(16)) && lines.contains(&"a5".repeat(8)), "{lines}");
    let from_json = lines.lines().map(|line| {
        let mut bytes = Vec::new();
        catchment::otlp::json_in::read_json(line.as_bytes(), &mut bytes, usize::MAX, |_| true).expect("OTLP/JSON");
        read(&bytes)
    });
    let at_backend = backend.with(|received| received.bodies.clone());
    let all = [from_json.collect::<Vec<_>>(), at_backend.iter().map(|body| read(body)).collect()];
    let sent: Vec<Exemplar> = (2..6).flat_map(|i| exemplars_of(&read(&of(i))).swap_remove(0).1).collect();
    for (where_to, requests) in ["in the file", "at the backend"].into_iter().zip(all) {
        let mut left: Vec<_> = requests.iter().flat_map(exemplars_of).collect();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["exponential", "gauge", "histogram", "sum"], "{where_to}");
        for (name, exemplars) in left {
            assert_eq!(exemplars, sent, "{name} {where_to}");
        }
    }
}

fn exemplars_of(request: &ExportMetricsServiceRequest) -> Vec<(String, Vec<Exemplar>)> {
    let of = |point: Any| match point {
        Any::Number(p) => p.exemplars,
        Any::Histogram(p) => p.exemplars,
        Any::Exponential(p) => p.exemplars,
        Any::Summary(_) => Vec::new(),
    };
    each_point(request).into_iter().map(|(name, _, point)| (name, of(point))).collect()
}

/// M21: a client that deploys other bounds is seen on the page at once, although the old series has more counts and lives on; of
/// deltas, which say no time that counts, the cut decides.
#[test]
fn m21_the_page_shows_the_histogram_whose_bounds_came_last() {
    for shards in ["1", "2"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "100ms"]);
        let mut http = catchment.http();
        let mut send = |counts: &[u64], bounds: &[f64]| {
            let point = histogram_point(&[("k", "v")], wall_ns(), counts, bounds, 1.0);
            let request = request_of("shop", vec![histogram("latency", 1, vec![point])]).encode_to_vec();
            assert_eq!(http.export(&request).unwrap().status, 200);
        };
        let wait = |count: f64| {
            until("the count", || (page(&catchment).1.get("latency_count") == Some(&count)).then_some(()));
        };
        send(&[100, 0, 0], &[1.0, 2.0]);
        wait(100.0);
        for count in [10.0, 20.0, 30.0] {
            send(&[10, 0], &[1.0]);
            wait(count);
        }
        send(&[1, 0, 0], &[1.0, 2.0]);
        wait(101.0);
        drop(http);
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().contains("balanced"), "{ended:?}");
    }
}
