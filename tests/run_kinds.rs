//! M7, M28 through the binary: a summary and the end of a series, on the page, at an OTLP destination and in OTLP/JSON.

mod binary;
mod common;

use binary::backend::Backend;
use binary::process::{Catchment, Folder, samples, until, wall_ns};
use common::*;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, SummaryDataPoint};
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
            opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest::decode(&bytes[..]).unwrap()
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

fn quantiles(point: &SummaryDataPoint) -> Vec<(f64, f64)> {
    point.quantile_values.iter().map(|q| (q.quantile, q.value)).collect()
}
