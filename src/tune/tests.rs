//! Promises of the report: rounds in, the same words, numbers and picture out.

use super::command::{neighbours, powers};
use super::machine::Machine;
use super::options::{Options, PointSource};
use super::report::{Round, TuneReport, recommend};
use super::{chart, png, times};
use clap::Parser;
use std::path::Path;

fn round(shards: usize, million: f64) -> Round {
    Round {
        shards,
        points_per_s: million * 1e6,
        cpu_s_per_million_points: 0.125 + shards as f64 / 100.0,
        p99_us: Some(850.0 * shards as f64),
        rss_bytes: (30 + 7 * shards as u64) << 20,
        generator_limited: false,
    }
}

/// Three rounds of each count as they were recorded on an eight-core machine: 4 shards reach 97 % of what 8 do.
fn report() -> TuneReport {
    let mut rounds = Vec::new();
    for noise in [0.98, 1.0, 1.03] {
        for (shards, million) in [(1, 5.0), (2, 9.6), (4, 17.2), (8, 17.7)] {
            rounds.push(round(shards, million * noise));
        }
    }
    for noise in [0.99, 1.0, 1.01] {
        rounds.push(round(3, 13.9 * noise));
        rounds.push(Round { generator_limited: true, ..round(6, 17.5 * noise) });
    }
    let (recommended, why) = recommend(&rounds);
    TuneReport {
        machine: Machine { processor: "Example 9000 <8 cores>".into(), cores: 16 },
        source: "sockets".into(),
        traffic: "preset gateway".into(),
        note: None,
        rounds,
        recommended,
        why,
    }
}

/// Compares with tests/golden/NAME; `UPDATE_GOLDEN=1` writes it.
fn golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == want, "{} differs; look at it, then UPDATE_GOLDEN=1. Got:\n{got}", path.display());
}

#[test]
fn the_report_of_recorded_rounds_is_golden() {
    let report = report();
    assert_eq!(report.recommended, 4);
    golden("tune.txt", &report.table());
    golden("tune.json", &(report.json() + "\n"));
    golden("tune.svg", &chart::svg(&chart::draw(&report)));
    let in_process = TuneReport {
        source: PointSource::Memory.label().into(),
        note: Some("too few cores".into()),
        rounds: report.rounds.iter().map(|round| Round { p99_us: None, ..round.clone() }).collect(),
        ..report
    };
    assert!(in_process.table().contains("in process") && in_process.table().ends_with("note: too few cores\n"));
    let json: serde_json::Value = serde_json::from_str(&in_process.json()).unwrap();
    let keys = ["shards", "points_per_s", "cpu_s_per_million_points", "p99_us", "rss_bytes", "efficiency"];
    for round in json["rounds"].as_array().unwrap() {
        assert!(keys.iter().all(|key| round.get(key).is_some()) && round["p99_us"].is_null(), "{round}");
    }
    assert!(json["recommended"] == 4 && json["why"].is_string());
}

/// The fewest shards within 5 % of the best.
#[test]
fn the_rule_of_the_recommendation() {
    let check = |rates: &[(usize, f64)], want: usize, word: &str| {
        let rounds: Vec<Round> = rates.iter().map(|(shards, rate)| round(*shards, *rate)).collect();
        let (got, why) = recommend(&rounds);
        assert_eq!(got, want, "{rates:?}: {why}");
        assert!(why.contains(word), "{why}");
    };
    check(&[(1, 5.0), (2, 9.9), (4, 19.0)], 4, "best throughput");
    check(&[(1, 5.0), (2, 9.6), (4, 10.0)], 2, "96 %");
    check(&[(1, 5.0), (2, 9.4), (4, 10.0)], 4, "none with fewer");
    check(&[(1, 5.0), (2, 4.0)], 1, "best throughput");
    check(&[(1, 5.0)], 1, "only one shard was measured");
    // the median of rounds decides, not the luckiest one
    check(&[(1, 5.0), (1, 5.0), (1, 50.0), (2, 9.0), (2, 9.0), (2, 1.0)], 2, "best throughput");
    let limited = [Round { generator_limited: true, ..round(1, 5.0) }];
    assert!(recommend(&limited).1.contains("generator was the limit"));
    assert_eq!(recommend(&[]).0, 1);
}

#[test]
fn counts_are_powers_of_two_then_those_around_the_knee() {
    assert_eq!((powers(1), powers(2), powers(6)), (vec![1], vec![1, 2], vec![1, 2, 4, 6]));
    assert_eq!(powers(64), [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(neighbours(16, 64, &powers(64)), [12, 15, 17, 24]);
    assert_eq!(neighbours(1, 2, &[1, 2]), [] as [usize; 0]);
    assert_eq!(neighbours(4, 4, &[1, 2, 4]), [3]);
}

/// RFC 2083: signature, chunks whose CRCs fit, as many bytes as the header says, and something drawn in each colour.
#[test]
fn the_png_is_one() {
    let bytes = png::png(&chart::draw(&report()));
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
        let mut crc = flate2::Crc::new();
        crc.update(&rest[4..8 + length]);
        assert_eq!(crc.sum().to_be_bytes(), rest[8 + length..12 + length]);
        chunks.push((&rest[4..8], &rest[8..8 + length]));
        rest = &rest[12 + length..];
    }
    let names: Vec<_> = chunks.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(names, ["IHDR", "IDAT", "IEND"]);
    let mut pixels = Vec::new();
    std::io::copy(&mut flate2::read::ZlibDecoder::new(chunks[1].1), &mut pixels).unwrap();
    let (width, height) = (chart::WIDTH * 2, chart::HEIGHT * 2);
    assert_eq!(pixels.len(), (width * 3 + 1) * height);
    let has = |colour: [u8; 3]| pixels.chunks(width * 3 + 1).any(|line| line[1..].chunks(3).any(|p| p == colour));
    assert!(has([0x1f, 0x6f, 0xb2]) && has([0xc2, 0x41, 0x1c]) && has([0x22, 0x2b, 0x33]) && has([255; 3]));
}

/// Times of every kind of point are found and moved on; nothing else changes.
#[test]
fn a_replay_moves_times_on() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Export;
    use opentelemetry_proto::tonic::metrics::v1::{self as pb, metric::Data};
    use prost::Message;
    let number = |time| pb::NumberDataPoint { start_time_unix_nano: 3, time_unix_nano: time, ..Default::default() };
    let data = |step: u64| {
        [
            Data::Gauge(pb::Gauge { data_points: vec![number(5 + step), number(6 + step)] }),
            Data::Sum(pb::Sum { data_points: vec![number(7 + step)], is_monotonic: true, ..Default::default() }),
            Data::Histogram(pb::Histogram {
                data_points: vec![pb::HistogramDataPoint { time_unix_nano: 8 + step, count: 3, ..Default::default() }],
                aggregation_temporality: 2,
            }),
            Data::ExponentialHistogram(pb::ExponentialHistogram {
                data_points: vec![pb::ExponentialHistogramDataPoint { time_unix_nano: 9 + step, ..Default::default() }],
                aggregation_temporality: 1,
            }),
            Data::Summary(pb::Summary {
                data_points: vec![pb::SummaryDataPoint { time_unix_nano: 10 + step, ..Default::default() }],
            }),
        ]
    };
    let request = |step| {
        let metrics =
            data(step).into_iter().map(|data| pb::Metric { data: Some(data), ..Default::default() }).collect();
        let scope = pb::ScopeMetrics { metrics, schema_url: "s".into(), ..Default::default() };
        Export { resource_metrics: vec![pb::ResourceMetrics { scope_metrics: vec![scope], ..Default::default() }] }
    };
    let mut body = request(0).encode_to_vec();
    let (offsets, points) = times::offsets(&body);
    assert_eq!((offsets.len(), points), (6, 6));
    times::advance(&mut body, &offsets, 1000);
    assert_eq!(Export::decode(&*body).unwrap(), request(1000));
    // whatever is cut off or not protobuf at all is left alone
    for cut in 0..body.len() {
        let (offsets, _) = times::offsets(&body[..cut]);
        times::advance(&mut body[..cut].to_vec(), &offsets, 1);
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

#[test]
fn bad_flags_are_refused_with_words() {
    let settle = |arguments: &[&str]| Line::parse_from([&["tune"], arguments].concat()).options.settle();
    for (arguments, words) in [
        (&["--max", "0"][..], "--max 0"),
        (&["--rounds", "0"], "--rounds 0"),
        (&["--duration", "1"], "--duration"),
        (&["--duration", "1ms"], "50ms to 10m"),
        (&["--chart", "a.gif"], ".svg or .png"),
        (&["--series", "99999999999"], "at most 2147483647"),
        (&["--preset", "sdk-fleet", "--series", "99999999999"], "at most 2147483647"),
        (&["--source", "sockets", "--max", "200"], "core of its own"),
    ] {
        let why = settle(arguments).unwrap_err().join("\n");
        assert!(why.contains(words), "{arguments:?}: {why}");
    }
    let all = settle(&["--max", "0", "--rounds", "0", "--duration", "x", "--chart", "a.gif"]).unwrap_err();
    let flags = ["--max 0", "--rounds 0", "--chart a.gif", "--duration 'x'"];
    assert!(all.len() == 4 && all.iter().zip(flags).all(|(words, flag)| words.starts_with(flag)), "{all:?}");
    let plan = settle(&["--series", "100"]).unwrap();
    assert_eq!(plan.load_flags(0, 1).unwrap(), ["--series", "100"]);
    assert_eq!(settle(&[]).unwrap().load_flags(1, 2).unwrap(), ["--series", "100000"]);
    // kinds that add are fed by all generators, others by one each
    let flags = |words: &[&str], number, of| settle(words).unwrap().load_flags(number, of).unwrap().join(" ");
    assert_eq!(flags(&["--preset", "hot"], 1, 2), "--preset hot");
    assert_eq!(flags(&["--preset", "gateway"], 0, 1), "--preset gateway");
    assert_eq!(flags(&["--preset", "gateway", "--series", "9"], 0, 1), "--preset gateway --series 9");
    let third = "--preset gateway --series 33334 --resources 67 --first-resource 134";
    assert_eq!(flags(&["--preset", "gateway"], 2, 3), third);
}
