//! P4: what is applied and is not in what leaves is in the ledger, in points, wherever it is shown, and in the log while it
//! happens.

use crate::binary;

use crate::binary::backend::Backend;
use crate::binary::process::{Catchment, samples, until, wall_ns};
use crate::common::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message as _;
use serde_json::{Value, json};

const CUMULATIVE: i32 = 2;

fn export(http: &mut binary::process::Http, service: &str, metric: pb::Metric) {
    let body = request_of(service, vec![metric]).encode_to_vec();
    assert_eq!(http.export(&body).unwrap().status, 200);
}

/// The ledger once nothing is open, and it says what `metrics` says.
fn settled(catchment: &Catchment, points: u64) -> Value {
    let mut admin = catchment.admin();
    let ledger = until("all is settled", || {
        let ledger = admin.get("/ledger?verify=1").json();
        (ledger["emitted"] == points).then_some(ledger)
    });
    assert_eq!((&ledger["open_counted_in_cells"], &ledger["balanced"]), (&json!(0), &json!(true)), "{ledger}");
    let page = samples(admin.get("/metrics").text());
    for (effect, count) in ledger["effects"].as_object().unwrap() {
        let name = format!("catchment_points_emitted_total{{effect=\"{effect}\"}}");
        let shown = page.iter().find(|(sample, _)| *sample == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(Some(shown.1), count.as_f64(), "{name}");
    }
    ledger
}

/// 600 points of two writers of one identity, with the same times: of each pair the second one has no effect.
#[test]
fn a_second_writer_is_in_the_ledger_point_by_point_and_in_the_log_at_once() {
    let backend = Backend::start();
    let mut catchment = Catchment::start(&["--shards", "1", "--interval", "100ms", "--out", &backend.url("")]);
    let (mut a, mut b) = (catchment.http(), catchment.http());
    let start = wall_ns();
    for i in 0..300 {
        let of = |n: i64| sum("orders\n", CUMULATIVE, true, vec![number(&[], start, start + 1 + i, int(n + i as i64))]);
        export(&mut a, "shop", of(0));
        export(&mut b, "shop", of(1_000));
        if i == 0 {
            let line = catchment.hear(&["WARN", "effect=\"superseded\""]);
            for part in
                ["points=1 ", "\\\"orders\\\\n\\\" of service \\\"shop\\\" from 127.0.0.1", "service.instance.id"]
            {
                assert!(line.contains(part), "{part}: {line}");
            }
        }
    }
    let ledger = settled(&catchment, 600);
    let effects = json!({"with_effect": 300, "superseded": 300, "baseline": 0, "overlapping": 0});
    assert_eq!(ledger["effects"], effects, "{ledger}");
    let ended = catchment.terminate();
    let split = "emitted 600; emitted = with effect 300 + superseded 300 + baseline 0 + overlapping 0; ";
    assert!(ended.ledger().contains(split) && ended.ledger().ends_with("; balanced"), "{}", ended.ledger());
    let (points, total) = ended.losses(&["effect=\"superseded\""]);
    assert_eq!((points.iter().sum::<u64>(), total), (300, 300), "each point is spoken of once: {points:?}");
    assert_eq!(ended.code(), 0);
}

/// A sender that is older than we are, as all are after a restart of ours: what it counted before is a baseline. A
/// destination of totals gets it whole, and there is nothing to warn of; one of deltas does not.
#[test]
fn what_was_counted_before_a_restart_is_a_baseline_and_is_told_where_it_is_missing() {
    for (options, is_missing) in [("", false), ("temporality=delta", true)] {
        let backend = Backend::start();
        let start = wall_ns();
        let catchment = Catchment::start(&["--shards", "1", "--interval", "100ms", "--out", &backend.url(options)]);
        let mut http = catchment.http();
        for i in 1..=5 {
            let time = start + i * SECOND / 10;
            export(
                &mut http,
                "shop",
                sum("orders", CUMULATIVE, true, vec![number(&[], start, time, int(20 * i as i64))]),
            );
        }
        let ledger = settled(&catchment, 5);
        let effects = json!({"with_effect": 4, "superseded": 0, "baseline": 1, "overlapping": 0});
        assert_eq!(ledger["effects"], effects, "{ledger}");
        let ended = catchment.terminate();
        let split = "emitted 5; emitted = with effect 4 + superseded 0 + baseline 1 + overlapping 0; ";
        assert!(ended.ledger().contains(split), "{}", ended.ledger());
        let (points, _) =
            ended.losses(&["effect=\"baseline\"", "\\\"orders\\\" of service \\\"shop\\\"", "cumulative"]);
        assert_eq!(points, if is_missing { vec![1] } else { vec![] }, "{}", ended.stderr);
        assert_eq!(ended.code(), 0);
    }
}

/// A client that keeps what it is answered to itself: the log has it.
#[test]
fn a_refused_request_is_told_with_what_was_answered() {
    let mut catchment = Catchment::start(&["--shards", "1", "--interval", "100ms", "--max-body", "64KiB"]);
    let mut http = catchment.http();
    assert_eq!(http.export(&[0xff]).unwrap().status, 400);
    let line = catchment.hear(&["WARN", "requests were refused", "answer=\"malformed\""]);
    assert!(line.contains("requests=1 ") && line.contains("malformed ExportMetricsServiceRequest"), "{line}");
    assert!(line.contains(" from 127.0.0.1"), "{line}");
    let mut http = catchment.http();
    assert_eq!(http.export(&vec![0; 100_000]).unwrap().status, 413);
    let line = catchment.hear(&["WARN", "answer=\"too_large\""]);
    assert!(line.contains("--max-body") && line.contains(" from 127.0.0.1"), "{line}");
    let ended = catchment.terminate();
    assert_eq!((ended.code(), ended.stderr.matches("requests were refused").count()), (0, 2), "{}", ended.stderr);
}

/// Past the series limit deltas keep their totals and lose their attributes: nothing is rejected, and it is told all the same.
#[test]
fn points_in_overflow_series_are_told_with_an_example() {
    let mut catchment = Catchment::start(&["--shards", "1", "--interval", "100ms", "--series-limit", "1"]);
    let (mut http, now) = (catchment.http(), wall_ns());
    let points = ["a", "b", "c"].map(|n| number(&[("n", n)], now, now, int(1)));
    export(&mut http, "shop", sum("orders", 1, true, points.to_vec()));
    let line = catchment.hear(&["WARN", "effect=\"overflowed\""]);
    for part in ["points=2 ", "metric \\\"orders\\\" of service \\\"shop\\\" from 127.0.0.1", "--series-limit"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(settled(&catchment, 3)["rejected"], json!({}));
    assert_eq!(catchment.terminate().code(), 0);
}

/// A gauge keeps its newest point: those before it in time had an effect until then, late ones and repeats none.
#[test]
fn a_gauge_and_a_rejected_point_are_told_with_an_example() {
    let mut catchment = Catchment::start(&["--shards", "1", "--interval", "100ms"]);
    let mut http = catchment.http();
    let now = wall_ns();
    for back in [3, 2, 2, 5, 1] {
        export(&mut http, "shop", gauge("heat", vec![number(&[], 0, now - back, int(back as i64))]));
    }
    let ledger = settled(&catchment, 5);
    let effects = json!({"with_effect": 3, "superseded": 2, "baseline": 0, "overlapping": 0});
    assert_eq!(ledger["effects"], effects, "{ledger}");
    assert!(
        catchment.hear(&["WARN", "superseded"]).contains("metric \\\"heat\\\" of service \\\"shop\\\" from 127.0.0.1")
    );
    // what is rejected is told in the same way
    export(&mut http, "shop", gauge("cold", vec![number(&[], 0, 0, int(1))]));
    let line = catchment.hear(&["WARN", "no_time"]);
    assert!(line.contains("metric \\\"cold\\\" of service \\\"shop\\\" from 127.0.0.1"), "{line}");
    assert_eq!(catchment.terminate().code(), 0);
}
