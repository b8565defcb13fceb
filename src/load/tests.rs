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

pub(crate) fn options(words: &str) -> Options {
    Line::try_parse_from(std::iter::once("load").chain(words.split_whitespace())).unwrap().options
}

/// A plan that keeps totals of every series.
fn plan(words: &str) -> Plan {
    Plan::new(options(&format!("{words} --verify")).settle().unwrap().settings, 1_000).unwrap()
}

/// The totals by metric are what a sink holds.
fn check_metrics(expected: &Expected, totals: &Totals, words: &str) {
    let held = totals.held();
    for metric in expected.metrics() {
        let Some(got) = held.get(metric.name.as_str()) else {
            assert_eq!((metric.units, metric.count), (0, 0), "{words}: {} did not arrive", metric.name);
            continue;
        };
        assert_eq!((metric.units, metric.count), (got.units, got.count), "{words}: {}", metric.name);
        if got.exponential.is_none() {
            assert_eq!(metric.buckets, got.buckets, "{words}: {}", metric.name);
        }
    }
    assert_eq!(totals.inexact_values, 0, "{words}");
}

/// So are those by series, down to the last bucket; the two were kept apart all along.
fn check_series(series: &SeriesTotals, expected: &Expected, totals: &Totals, words: &str) {
    let difference = series.difference(totals);
    assert!(difference.is_none(), "{words}: {difference:?}");
    assert_eq!(difference.series, totals.series() as u64, "{words}");
    for (metric, by_series) in expected.metrics().iter().zip(series.by_metric()) {
        assert_eq!((metric.units, metric.count), by_series, "{words}: {}", metric.name);
    }
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

/// The same for every shape, order and encoding: bytes over three exports, FNV-1a.
#[test]
fn the_bytes_of_every_shape_are_these() {
    let all = Shape::ALL.map(|shape| format!("--kind {}", shape.word()));
    let more = [
        "--order shuffled",
        "--order zipf",
        "--churn 0.1",
        "--churn-rate 100000",
        "--kind cumulative-sum,cumulative-histogram,cumulative-exponential-histogram --resets 0.1",
        "--kind delta-sum,gauge,cumulative-histogram --late 0.2",
        "--attribute-bytes 200",
    ];
    let mut got = String::new();
    for words in all.iter().map(String::as_str).chain(more) {
        for encoding in ["protobuf", "json"] {
            let url = if encoding == "json" { "--endpoint http://127.0.0.1:1" } else { "" };
            let mut plan = plan(&format!("--series 40 --metrics 3 {words} --encoding {encoding} {url}"));
            let mut fnv = 0xcbf2_9ce4_8422_2325_u64;
            for export in 1..4 {
                for request in 0..plan.requests() {
                    plan.patch(request, export * 1_000_000);
                    for &byte in plan.payload(request) {
                        fnv = (fnv ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                    }
                }
            }
            got += &format!("{fnv:016x} {encoding} {words}\n");
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/load_fingerprints.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&path).unwrap_or_default(), "if meant, UPDATE_GOLDEN=1");
}

/// Decodes what would be sent and adds it up point by point.
#[test]
fn expected_totals_are_what_the_bytes_say() {
    for words in [
        "--series 3000",
        "--series 100 --batch 7 --metrics 3 --resources 2",
        "--series 5000 --order zipf --kind delta-sum,delta-histogram,delta-exponential-histogram,delta-sum-double",
        &format!("--series 2200 --kind {ALL_KINDS}"),
        &format!("--series 2200 --kind {ALL_KINDS} --order shuffled --churn 0.05 --batch 300 --metrics 11"),
        &format!("--series 2200 --kind {ALL_KINDS} --order shuffled --churn-rate 10000000 --batch 300 --metrics 11"),
        &format!("--series 2200 --kind {ALL_KINDS} --resets 0.2 --order shuffled"),
        &format!("--series 2200 --kind {ALL_KINDS} --late 0.3"),
        &format!("--series 2200 --kind {ALL_KINDS} --late 0.2 --resets 0.2 --churn 0.2 --order shuffled"),
        &format!("--series 11 --kind {ALL_KINDS} --attributes 0 --metrics 11 --resources 1"),
        &format!("--series 500 --kind {ALL_KINDS} --attributes 1 --attribute-bytes 8"),
        &format!("--series 500 --kind {ALL_KINDS} --attributes 9 --attribute-bytes 300"),
    ] {
        for json in [false, true] {
            let words = if json { &format!("{words} --encoding json --endpoint http://127.0.0.1:1") } else { words };
            let mut plan = plan(words);
            let mut totals = Totals::default();
            let mut points = 0;
            for export in 0..6 {
                for request in 0..plan.requests() {
                    plan.patch(request, 10_000 * (export + 1));
                    let message = &plan.payload(request)[GRPC_PREFIX_BYTES..];
                    if json {
                        totals.take(&sink::json_in::request(message).unwrap());
                    } else {
                        let length = u32::from_be_bytes(plan.payload(request)[1..5].try_into().unwrap());
                        assert_eq!(length as usize, message.len());
                        totals.take(&ExportMetricsServiceRequest::decode(message).unwrap());
                    }
                    points += u64::from(plan.request_points(request));
                }
            }
            assert_eq!((totals.points, points), (points, plan.points() * 6), "{words}");
            let (expected, series) = plan.into_totals();
            check_metrics(&expected, &totals, words);
            check_series(&series.unwrap(), &expected, &totals, words);
            assert_eq!(expected.metrics().iter().map(|metric| metric.points).sum::<u64>(), points, "{words}");
        }
    }
}

/// What is late or starts over is what it says: times that go back, starts that move on, in about the share asked for.
#[test]
fn late_points_and_resets_are_in_the_bytes() {
    let mut plan = plan("--series 1000 --metrics 1 --kind cumulative-sum --late 0.1 --resets 0.05");
    let (mut late, mut resets, mut before) = (0, 0, std::collections::HashMap::new());
    for export in 0..12_u64 {
        plan.patch(0, 1_000_000 * (export + 1));
        let request = ExportMetricsServiceRequest::decode(&plan.payload(0)[GRPC_PREFIX_BYTES..]).unwrap();
        let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
        let Some(messages::Data::Sum(sum)) = &metric.data else { panic!("a sum") };
        for point in &sum.data_points {
            let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
            assert!(start < time, "{point:?}");
            let key = format!("{:?}", point.attributes);
            if let Some((start_before, time_before, value)) = before.get(&key) {
                late += u32::from(time < *time_before);
                resets += u32::from(start > *start_before);
                assert!(time != *time_before, "no two points of one time");
                assert!(time > *time_before || point.value == *value, "a late point repeats what was true");
            }
            before.insert(key, (start, time, point.value));
        }
    }
    // ten exports can be late; a point that is late twice running is so only once
    assert!((700..=1_000).contains(&late), "{late}");
    assert!((450..=550).contains(&resets), "{resets}");
}

/// What is not a delta cannot be sent twice: its time must move on. What is, can be compressed ahead.
#[test]
fn what_is_prepared_adds_up() {
    let words = "--series 2000 --kind delta-sum,delta-histogram,delta-exponential-histogram --compression zstd";
    let settings = options(&format!("{words} --prepared 3")).settle().unwrap().settings;
    let mut plan = Plan::new(settings, 1_000).unwrap();
    let mut totals = Totals::default();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..7 {
        for request in 0..plan.requests() {
            plan.patch(request, 77);
            let payload = plan.payload(request);
            assert_eq!(
                (payload[0], payload.len() - 5),
                (1, u32::from_be_bytes(payload[1..5].try_into().unwrap()) as usize)
            );
            seen.insert(payload.to_vec());
            let message = zstd::stream::decode_all(&payload[GRPC_PREFIX_BYTES..]).unwrap();
            totals.take(&ExportMetricsServiceRequest::decode(&message[..]).unwrap());
        }
    }
    assert_eq!(seen.len(), 3 * plan.requests());
    check_metrics(plan.expected(), &totals, words);
}

#[test]
fn churn_by_the_second_follows_the_clock_it_is_given() {
    let mut plan = plan("--series 1000 --metrics 1 --churn-rate 50");
    let mut totals = Totals::default();
    // 1000 series, fifty new ones a second: half a second between exports, so twenty-five an export after the first
    for export in 0..5 {
        for request in 0..plan.requests() {
            plan.patch(request, 1_000 + 500_000_000 * (export + 1));
            totals.take(&ExportMetricsServiceRequest::decode(&plan.payload(request)[GRPC_PREFIX_BYTES..]).unwrap());
        }
    }
    assert!((1_097..=1_101).contains(&totals.series()), "{}", totals.series());
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
        "--resets 0.5 --kind delta-sum",
        "--late 1.5",
        "--attribute-bytes 7",
        "--prepared 2",
        "--prepared 2 --compression gzip --kind gauge",
        "--prepared 2 --compression gzip --churn 0.1",
        "--prepared 2 --compression gzip --verify",
        "--batch 2000000 --attributes 100 --series 2000000",
        "--verify --series 3000000",
        "--series 0",
        "--attributes 0 --series 1000 --metrics 1",
        "--order zipf --kind gauge",
        "--churn 2",
        "--churn 0.1 --order zipf",
        "--attributes 101",
    ] {
        let refused = Plan::new(options(words).settle().unwrap().settings, 0)
            .err()
            .unwrap_or_else(|| panic!("{words} was taken"));
        assert!(refused.contains("--"), "{refused}");
    }
}

/// Faults of the sink are told in the client's own encoding.
#[test]
fn json_is_answered_in_json() {
    let words = "--encoding json --series 1000 --batch 100 --exports 1";
    let (outcome, sink) = run(SinkOptions { partial: Some(7), ..SinkOptions::default() }, "http", words);
    assert_eq!((outcome.tally.rejected_points, outcome.tally.acknowledged_points), (70, 930));
    let refuse = SinkOptions { fail_status: Some(503), retry_after: Some(1), fail_rate: 0.5, ..SinkOptions::default() };
    let (outcome, _) = run(refuse, "http", words);
    assert_eq!(outcome.tally.failures["HTTP 503"], 5);
    use std::io::{Read, Write};
    for (kind, body, want) in [
        ("application/json\r\ncontent-encoding: br", "{}", "unknown compression"),
        ("application/json\r\ncontent-encoding: zstd", "{}", "400 Sink"),
        ("application/json\r\ncontent-encoding: gzip", "{}", "400 Sink"),
        ("application/json", "{\"resourceMetrics\":7}", "400 Sink\r\ncontent-type: application/json"),
        ("application/json; charset=utf-8", "{}", "{\"partialSuccess\":{\"rejectedDataPoints\":\"7\""),
        ("application/x-protobuf", "\u{1}\u{1}", "400 Sink\r\ncontent-type: application/x-protobuf"),
    ] {
        let mut stream = std::net::TcpStream::connect(sink.address()).unwrap();
        let length = body.len();
        let head = format!("POST /v1/metrics HTTP/1.1\r\ncontent-type: {kind}\r\nconnection: close\r\n");
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(want), "{kind} {body}: {answer}");
    }
}

/// Of four requests the fourth is refused: the last one of the warm-up, and none of the three that are measured.
#[test]
fn a_warm_up_counts_apart_and_makes_the_run_inexact_where_it_is_not_acknowledged() {
    for scheme in ["grpc", "http"] {
        let refuse = || SinkOptions { fail_status: Some(503), fail_rate: 0.25, ..SinkOptions::default() };
        let (outcome, sink) = run(refuse(), scheme, "--series 400 --batch 100 --warm-up 1 --requests 3");
        let tally = &outcome.tally;
        assert_eq!((tally.warm_up_points, tally.warm_up_lost_points), (400, 100), "{scheme}");
        assert_eq!((tally.sent_requests, tally.sent_points, tally.acknowledged_points), (3, 300, 300), "{scheme}");
        assert_eq!((tally.latencies.count(), tally.failed_points), (3, 0), "{scheme}");
        assert!(tally.failures.keys().all(|why| why.starts_with("warm-up: ")), "{:?}", tally.failures);
        assert!(tally.failures.values().sum::<u64>() == 1 && !outcome.is_exact(), "{scheme}: {:?}", tally.failures);
        assert_eq!(sink.totals().points, 600, "{scheme}");
        let json: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
        assert_eq!((&json["warm_up_points"], &json["sent_points"]), (&400.into(), &300.into()));
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
            &format!("--series 3300 --batch 100 --kind {ALL_KINDS} --exports 5 --connections 4 --verify")[..],
            &format!("--series 3300 --order shuffled --churn 0.02 --kind {ALL_KINDS} --exports 5 --verify"),
            &format!("--series 1100 --late 0.1 --resets 0.1 --kind {ALL_KINDS} --exports 5 --verify"),
            "--series 1000 --requests 50 --connections 5 --in-flight 3 --verify",
            "--series 2000 --exports 3 --compression gzip --verify",
            &format!("--series 2200 --exports 3 --compression zstd --kind {ALL_KINDS} --verify"),
            "--series 2000 --exports 5 --compression gzip --prepared 2",
            "--series 20 --batch 1 --exports 20 --rate 100000 --ramp 1ms --verify",
            &format!("--series 1100 --batch 100 --connections 3 --kind {ALL_KINDS} --warm-up 2 --exports 3 --verify"),
            "--series 100 --connections 4 --warm-up 2 --exports 3 --verify",
        ] {
            arrives_whole(scheme, words);
        }
    }
    for words in ["", "--compression gzip", "--compression zstd", "--order shuffled --churn 0.1"] {
        let words = format!("--encoding json --series 1100 --exports 3 --kind {ALL_KINDS} --verify {words}");
        arrives_whole("http", &words);
    }
}

fn arrives_whole(scheme: &str, words: &str) {
    let (outcome, sink) = run(SinkOptions::default(), scheme, words);
    let totals = sink.totals();
    assert!(outcome.tally.is_exact(), "{scheme} {words}: {:?}", outcome.tally.failures);
    assert_eq!(totals.points, outcome.tally.warm_up_points + outcome.tally.sent_points, "{scheme} {words}");
    check_metrics(&outcome.expected, &totals, words);
    if let Some(series) = &outcome.series {
        check_series(series, &outcome.expected, &totals, words);
    }
    assert_eq!(outcome.series.is_some(), words.contains("--verify"));
    assert_eq!(outcome.tally.latencies.count(), outcome.tally.sent_requests);
}

#[test]
fn a_forgotten_request_shows() {
    for scheme in ["grpc", "http"] {
        let options = SinkOptions { drop: Some(3), ..SinkOptions::default() };
        let (outcome, sink) = run(options, scheme, "--series 500 --batch 100 --exports 2 --verify");
        assert!(outcome.tally.is_exact());
        let difference = outcome.series.unwrap().difference(&sink.totals());
        assert!(!difference.is_none() && difference.units > 0, "{difference:?}");
    }
}

/// One series too high and another one as much too low: the sum of their metric is right, the balance is not.
#[test]
fn errors_of_opposite_sign_do_not_cancel() {
    let options = SinkOptions { misplace: Some(2), ..SinkOptions::default() };
    let (outcome, sink) = run(options, "grpc", "--series 500 --batch 100 --exports 2 --verify");
    let totals = sink.totals();
    check_metrics(&outcome.expected, &totals, "by metric there is nothing to see");
    let difference = outcome.series.unwrap().difference(&totals);
    assert_eq!((difference.units, difference.by_metric.len()), (2 << 10, 1), "{difference:?}");
    assert_eq!((difference.missing, difference.unexpected), (0, 0));
}

/// Whatever a sink holds that nobody sent, and whatever it lacks, counts whole.
#[test]
fn what_nobody_sent_and_what_is_missing_count_whole() {
    let words = "--metrics 1 --requests 1 --verify --series";
    let (outcome, sink) = run(SinkOptions::default(), "grpc", &format!("{words} 10"));
    let series = outcome.series.unwrap();
    let all = outcome.expected.metrics()[0].units.unsigned_abs();
    let nothing = series.difference(&Totals::default());
    assert_eq!((nothing.units, nothing.missing, nothing.unexpected), (all, 10, 0));
    // another seed: the same series with other values, and a resource more, which is that of nobody
    let more = options(&format!("--endpoint grpc://{} {words} 20 --resources 2 --seed 2", sink.address()));
    let more = send(&more, &AtomicBool::new(false), |_, _| {}).unwrap();
    let difference = series.difference(&sink.totals());
    assert_eq!((difference.missing, difference.unexpected), (0, 10), "{difference:?}");
    assert_eq!(difference.units, more.expected.metrics()[0].units.unsigned_abs());
}

/// A sink that never answers: the run ends all the same, and says what was not answered.
#[test]
fn a_sink_that_hangs_is_waited_for_only_so_long() {
    for scheme in ["grpc", "http"] {
        let hang = SinkOptions { hang: true, fail_rate: 0.5, ..SinkOptions::default() };
        let words = "--series 400 --batch 100 --exports 1 --in-flight 4 --drain 50ms --verify";
        let (outcome, sink) = run(hang, scheme, words);
        let tally = &outcome.tally;
        assert!(!tally.is_exact() && !outcome.is_exact(), "{scheme}");
        assert!(tally.failures["not answered in time"] >= 2, "{scheme}: {:?}", tally.failures);
        assert_eq!(tally.acknowledged_points + tally.failed_points, 400, "{scheme}");
        let difference = outcome.series.as_ref().unwrap().difference(&sink.totals());
        assert!(difference.units > 0, "{scheme}: {difference:?}");
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

#[derive(Parser)]
struct SinkLine {
    #[command(flatten)]
    options: SinkOptions,
}

#[test]
fn faults_that_cannot_be_are_refused_with_words() {
    let parse = |words: &str| SinkLine::try_parse_from(std::iter::once("sink").chain(words.split_whitespace()));
    for (words, want) in [
        ("--fail-status 0", "from 1 to 16"),
        ("--fail-status 17", "from 1 to 16"),
        ("--fail-status 200", "from 300 to 599"),
        ("--fail-status 600", "from 300 to 599"),
        ("--fail-status teapot", "from 300 to 599"),
        ("--hang --fail-rate 1.5", "from 0 to 1"),
        ("--hang --fail-rate=-0.1", "from 0 to 1"),
        ("--hang --fail-rate NaN", "from 0 to 1"),
        ("--fail-rate 0.5", "--fail-status <CODE>|--hang|--reset|--partial <N>"),
        ("--hang --reset", "cannot be used with"),
        ("--fail-status 503 --hang", "cannot be used with"),
        ("--fail-status 503 --partial 1", "cannot be used with"),
        ("--retry-after 3", "--fail-status <CODE>"),
        ("--hang --retry-after 3", "cannot be used with"),
        ("--partial 0", "write 1 or more"),
        ("--drop 0", "write 1 or more"),
        ("--misplace 0", "write 1 or more"),
        ("--listen 4320", "'4320' is no address to listen at; write 127.0.0.1:4320"),
        ("--listen localhost:1", "write 127.0.0.1:1"),
        ("--listen http://[::1]:1/", "write [::1]:1"),
        ("--listen here", "write IP:PORT"),
        ("--delay 5", "'5' is no duration; write 250ms"),
    ] {
        let error = parse(words).err().unwrap_or_else(|| panic!("{words} was taken")).to_string();
        assert!(error.contains(want), "{words}: {error}");
    }
    for words in [
        "",
        "--fail-status 14 --retry-after 3 --fail-rate 0",
        "--fail-status 307 --fail-rate 1 --delay 5ms",
        "--partial 3 --fail-rate 0.5 --drop 1 --misplace 2",
        "--reset --drop 1",
    ] {
        assert!(parse(words).is_ok(), "{words}");
    }
}

/// The wrong door is suspected only where no server of OTLP answered.
#[test]
fn what_refused_everything_is_told_in_its_own_words() {
    let words = "--series 1000 --batch 100 --exports 1";
    let refuse = |status| SinkOptions { fail_status: Some(status), ..SinkOptions::default() };
    let partial = || SinkOptions { partial: Some(1_000), ..SinkOptions::default() };
    for (scheme, sink, wanted) in [
        ("grpc", refuse(14), "answered: grpc-status 14: fault ordered"),
        ("grpc", refuse(503), "answered: HTTP 503 without grpc-status"),
        ("grpc", partial(), "answered: partial success: 1000 points rejected to order"),
        ("grpc", refuse(404), "check that --endpoint"),
        ("http", refuse(413), "answered: HTTP 413: fault ordered"),
        ("http", refuse(14), "answered: HTTP 503: fault ordered"),
        ("http", partial(), "answered: partial success: 1000 points rejected to order"),
        ("http", refuse(404), "check that --endpoint"),
    ] {
        let (outcome, _) = run(sink, scheme, words);
        let complaints = outcome.complaints();
        assert!(complaints.len() == 1 && complaints[0].contains(wanted), "{scheme} {wanted}: {complaints:?}");
        assert!(complaints[0].starts_with("nothing was acknowledged"), "{complaints:?}");
        assert_eq!(outcome.limit, Limit::Unmeasured, "{scheme} {wanted}");
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
