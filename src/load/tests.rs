//! Promises of the generator and the sink, over their public faces and real sockets on port 0.

use super::messages::ExportMetricsServiceRequest;
use super::*;
use clap::Parser;
use prost::Message;
use std::hash::{DefaultHasher, Hasher};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

const ALL_KINDS: &str = "delta-sum,cumulative-sum,delta-sum-double,cumulative-sum-double,gauge,gauge-double,\
delta-histogram,cumulative-histogram,delta-exponential-histogram,cumulative-exponential-histogram,summary";

fn options(words: &str) -> Options {
    Line::try_parse_from(std::iter::once("load").chain(words.split_whitespace())).unwrap().options
}

fn plan(words: &str) -> Plan {
    Plan::new(options(words).settings(), 1_000).unwrap()
}

/// Bytes of every request over some exports, with a clock that only counts.
fn fingerprint(words: &str, exports: u64) -> u64 {
    let mut plan = plan(words);
    let mut hasher = DefaultHasher::new();
    for export in 0..exports {
        for request in 0..plan.requests() {
            plan.patch(request, 1_000_000 * (export + 1));
            hasher.write(plan.payload(request));
        }
    }
    hasher.finish()
}

#[test]
fn same_seed_same_bytes() {
    for words in
        ["--series 3000", &format!("--series 2500 --order shuffled --churn 0.02 --resources 7 --kind {ALL_KINDS}")]
    {
        assert_eq!(fingerprint(words, 3), fingerprint(words, 3), "{words}");
        assert_ne!(fingerprint(words, 3), fingerprint(&format!("{words} --seed 2"), 3), "{words}");
    }
}

/// The bytes themselves: a change of this number is a change of what every recorded figure was measured with.
#[test]
fn the_bytes_are_these() {
    let mut plan = plan(&format!("--series 220 --kind {ALL_KINDS} --metrics 11 --churn 0.1 --order shuffled"));
    let mut fnv = 0xcbf2_9ce4_8422_2325_u64;
    for export in 1..4 {
        for request in 0..plan.requests() {
            plan.patch(request, export * 1_000_000);
            for &byte in plan.payload(request) {
                fnv = (fnv ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    assert_eq!(format!("{fnv:016x}"), FINGERPRINT);
}

const FINGERPRINT: &str = "ffc25607fc533d33";

/// Decodes what would be sent and adds it up point by point.
#[test]
fn expected_totals_are_what_the_bytes_say() {
    for words in [
        "--series 3000",
        "--series 100 --batch 7 --metrics 3 --resources 2",
        "--series 5000 --order zipf --kind delta-sum,delta-histogram,delta-exponential-histogram,delta-sum-double",
        &format!("--series 2200 --kind {ALL_KINDS}"),
        &format!("--series 2200 --kind {ALL_KINDS} --order shuffled --churn 0.05 --batch 300 --metrics 11"),
        &format!("--series 11 --kind {ALL_KINDS} --attributes 0 --metrics 11 --resources 1"),
    ] {
        let mut plan = plan(words);
        let mut totals = Totals::default();
        let mut points = 0;
        for export in 0..4 {
            for request in 0..plan.requests() {
                plan.patch(request, 10_000 * (export + 1));
                let message = &plan.payload(request)[GRPC_PREFIX_BYTES..];
                let length = u32::from_be_bytes(plan.payload(request)[1..5].try_into().unwrap());
                assert_eq!(length as usize, message.len());
                totals.take(&ExportMetricsServiceRequest::decode(message).unwrap());
                points += u64::from(plan.request_points(request));
            }
        }
        assert_eq!((totals.difference(plan.expected()), totals.inexact_values), (0, 0), "{words}");
        assert_eq!((totals.points, points), (points, plan.points() * 4), "{words}");
        assert_eq!(plan.expected().metrics().iter().map(|metric| metric.points).sum::<u64>(), points, "{words}");
    }
}

#[test]
fn a_plan_has_the_series_it_was_asked_for_and_churn_makes_new_ones() {
    let mut steady = plan("--series 3456 --metrics 7 --resources 3 --batch 100");
    let mut churning = plan("--series 3456 --metrics 7 --resources 3 --batch 100 --churn 0.1");
    for (plan, series) in [(&mut steady, 3_456..3_457), (&mut churning, 3_456 + 900..3_456 + 1_100)] {
        let mut totals = Totals::default();
        for _ in 0..4 {
            for request in 0..plan.requests() {
                plan.patch(request, 10_000);
                let message = &plan.payload(request)[GRPC_PREFIX_BYTES..];
                totals.take(&ExportMetricsServiceRequest::decode(message).unwrap());
            }
        }
        assert!(series.contains(&totals.series()), "{} not in {series:?}", totals.series());
    }
}

#[test]
fn histograms_are_consistent() {
    let mut plan = plan("--series 44 --kind delta-histogram,cumulative-histogram,delta-exponential-histogram");
    for export in 1..5 {
        plan.patch(0, export * 1_000);
        let request = ExportMetricsServiceRequest::decode(&plan.payload(0)[GRPC_PREFIX_BYTES..]).unwrap();
        for metric in request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics) {
            match metric.data.as_ref().unwrap() {
                messages::Data::Histogram(histogram) => {
                    for point in &histogram.data_points {
                        assert_eq!(point.count, point.bucket_counts.iter().sum::<u64>());
                        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                        assert!(point.start_time_unix_nano < point.time_unix_nano);
                    }
                }
                messages::Data::ExponentialHistogram(histogram) => {
                    for point in &histogram.data_points {
                        let buckets: u64 = point.positive.as_ref().unwrap().bucket_counts.iter().sum();
                        assert_eq!(point.count, point.zero_count + buckets);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn contradictions_are_refused_with_a_remedy() {
    for words in [
        "--series 0",
        "--attributes 0 --series 1000 --metrics 1",
        "--order zipf --kind gauge",
        "--churn 2",
        "--churn 0.1 --order zipf",
        "--attributes 101",
    ] {
        let refused = Plan::new(options(words).settings(), 0).err().unwrap_or_else(|| panic!("{words} was taken"));
        assert!(refused.contains("--"), "{refused}");
    }
}

/// Sends to a sink; gives the outcome and what the sink held.
fn run(sink: SinkOptions, scheme: &str, words: &str) -> (Outcome, Sink) {
    let sink = Sink::start(sink).unwrap();
    let options = options(&format!("--endpoint {scheme}://{} {words}", sink.address()));
    let outcome = send(&options, &AtomicBool::new(false), |_, _| {}).unwrap();
    (outcome, sink)
}

#[test]
fn what_is_sent_arrives_whole() {
    for scheme in ["grpc", "http"] {
        for words in [
            &format!("--series 3300 --batch 100 --kind {ALL_KINDS} --exports 5 --connections 4")[..],
            &format!("--series 3300 --order shuffled --churn 0.02 --kind {ALL_KINDS} --exports 5"),
            "--series 1000 --requests 50 --connections 5 --in-flight 3",
            "--series 2000 --exports 3 --compression gzip",
            "--series 20 --batch 1 --exports 20 --rate 100000",
        ] {
            let (outcome, sink) = run(SinkOptions::default(), scheme, words);
            let totals = sink.totals();
            assert!(outcome.tally.is_exact(), "{scheme} {words}: {:?}", outcome.tally.failures);
            assert_eq!(totals.points, outcome.tally.sent_points, "{scheme} {words}");
            assert_eq!(totals.difference(&outcome.expected), 0, "{scheme} {words}");
            assert_eq!(outcome.tally.latencies.count(), outcome.tally.sent_requests);
        }
    }
}

#[test]
fn a_forgotten_request_shows() {
    for scheme in ["grpc", "http"] {
        let options = SinkOptions { drop: Some(3), ..SinkOptions::default() };
        let (outcome, sink) = run(options, scheme, "--series 500 --batch 100 --exports 2");
        assert!(outcome.tally.is_exact());
        assert_ne!(sink.totals().difference(&outcome.expected), 0);
    }
}

#[test]
fn faults_are_counted_for_what_they_are() {
    let base = SinkOptions::default;
    let half = || SinkOptions { fail_rate: 0.5, ..base() };
    for scheme in ["grpc", "http"] {
        let words = "--series 1000 --batch 100 --exports 1 --in-flight 1";
        let (outcome, sink) = run(SinkOptions { fail_status: Some(503), ..half() }, scheme, words);
        assert_eq!((outcome.tally.failed_points, outcome.tally.acknowledged_points), (500, 500), "{scheme}");
        let totals = sink.totals();
        assert_eq!((totals.requests, totals.faulted_requests), (5, 5));
        drop(totals);
        assert!(outcome.tally.failures.keys().next().unwrap().contains("503"), "{:?}", outcome.tally.failures);

        let (outcome, _) = run(SinkOptions { fail_status: Some(14), retry_after: Some(1), ..half() }, scheme, words);
        let word = if scheme == "grpc" { "grpc-status 14" } else { "HTTP 503" };
        assert_eq!(outcome.tally.failures[word], 5, "{scheme}");

        let (outcome, sink) = run(SinkOptions { partial: Some(7), ..base() }, scheme, words);
        assert_eq!((outcome.tally.rejected_points, outcome.tally.acknowledged_points), (70, 930), "{scheme}");
        assert!(!outcome.tally.is_exact() && sink.totals().points == 1_000);

        let (outcome, sink) = run(SinkOptions { reset: true, fail_rate: 0.1, ..base() }, scheme, words);
        assert_eq!((outcome.tally.failed_points, sink.totals().points), (100, 900), "{scheme}");
        // what is read first when the sink resets a connection: the reset, or the GOAWAY before it
        let word = outcome.tally.failures.keys().next().unwrap();
        assert!(word.starts_with("connection lost") || word == "the server left", "{scheme}: {word}");
    }
}

#[test]
fn latency_counts_from_the_due_time() {
    // One connection, one slot, answers after 20 ms, due every millisecond: the tenth waits for nine others.
    let options = SinkOptions { delay: Some(std::time::Duration::from_millis(20)), ..SinkOptions::default() };
    let (outcome, _) = run(options, "grpc", "--series 10 --batch 10 --requests 10 --in-flight 1 --rate 10000");
    assert!(outcome.tally.latencies.max_ns() >= 180_000_000, "{}", outcome.tally.latencies.max_ns());
    assert_eq!(outcome.limit, Limit::Server);
}

#[test]
fn nobody_there_is_an_error_with_a_remedy() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = options(&format!("--endpoint grpc://{free} --series 10 --requests 1"));
    let refused = send(&options, &AtomicBool::new(false), |_, _| {}).err().unwrap();
    assert!(refused.contains("is the server running?"), "{refused}");
}

#[test]
fn the_sink_shows_its_totals() {
    use std::io::{Read, Write};
    let (outcome, sink) =
        run(SinkOptions::default(), "http", "--series 40 --metrics 2 --kind delta-sum,delta-histogram --exports 2");
    let mut stream = std::net::TcpStream::connect(sink.address()).unwrap();
    stream.write_all(b"GET /totals HTTP/1.1\r\nhost: sink\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let shown: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(shown["totals"], sent["expected"]);
    assert_eq!(shown["points"], 80);
}
