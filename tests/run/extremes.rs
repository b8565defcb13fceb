//! Rules ask the real binary for the smallest and the largest value of gauges inside an interval.

use crate::binary::process::{Catchment, Folder, until, wall_ns};
use crate::common::{double, gauge, histogram, histogram_point, int, number, request_of};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message as _;

const RULES: &str = "\
interval: 300ms
expire: 60s
rules:
- {name: swings, match: {metric: 'level'}, without: [pod], outputs: {gauge: [min, max, avg]}}
- {name: ready, match: {metric: 'ready'}, outputs: {gauge: [max]}}
- {name: times, match: {metric: 'latency'}, without: [pod], outputs: {histogram: [min, max]}}
";

/// What was written of a metric that is a gauge, in its order.
fn values(lines: &str, metric: &str) -> Vec<f64> {
    let mut all = Vec::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
        for metrics in line["resourceMetrics"].as_array().into_iter().flatten() {
            let metrics = metrics["scopeMetrics"].as_array().into_iter().flatten();
            for one in metrics.flat_map(|scope| scope["metrics"].as_array().into_iter().flatten()) {
                if one["name"] == metric {
                    let point = &one["gauge"]["dataPoints"][0];
                    let int = point["asInt"].as_str().and_then(|text| text.parse().ok());
                    all.extend(point["asDouble"].as_f64().or(int));
                }
            }
        }
    }
    all
}

/// Values that a gauge had inside an interval count for its smallest and its largest, from its first one on; then what it
/// has. Members of a histogram that know one extreme and not the other.
#[test]
fn extremes_inside_an_interval_leave() {
    for shards in ["1", "2"] {
        let folder = Folder::new();
        let path = folder.path("fleet.yaml");
        std::fs::write(&path, RULES).unwrap();
        let (config, out) = (path.to_str().unwrap(), format!("file:{}", folder.path("out").display()));
        let catchment = Catchment::start(&["--shards", shards, "--config", config, "--out", &out]);
        let written = || std::fs::read_to_string(folder.path("out")).unwrap_or_default();
        let whole = || written().rsplit_once('\n').map(|(lines, _)| lines.to_owned()).unwrap_or_default();
        let send = |metrics| {
            assert_eq!(catchment.http().export(&request_of("cart", metrics).encode_to_vec()).unwrap().status, 200);
        };
        // nothing is said of an interval that began before the process
        until("a whole interval", || {
            send(vec![gauge("ready", vec![number(&[], 0, wall_ns(), int(1))])]);
            (!values(&whole(), "ready.max").is_empty()).then_some(())
        });
        let now = wall_ns();
        let point = |pod: &str, age: u64, value| number(&[("pod", pod)], 0, now - age, value);
        let of_a =
            [point("a", 40, int(5)), point("a", 30, int(-7)), point("a", 20, double(90.5)), point("a", 10, int(6))];
        let points: Vec<pb::NumberDataPoint> = of_a.into_iter().chain([point("b", 10, int(8))]).collect();
        let latency = |pod: &str, min, max| {
            let whole = histogram_point(&[("pod", pod)], now, &[1, 1, 0], &[1.0, 2.0], 2.5);
            pb::HistogramDataPoint { min, max, ..whole }
        };
        let latencies = vec![latency("a", Some(0.5), None), latency("b", Some(0.25), Some(1.5))];
        // in one request, and so in one interval
        send(vec![gauge("level", points), histogram("latency", 1, latencies)]);
        until("an interval without points", || (values(&whole(), "level.max").len() == 2).then_some(()));
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let lines = written();
        assert_eq!(values(&lines, "level.min"), [-7.0, 6.0], "{shards}: {lines}");
        assert_eq!(values(&lines, "level.max"), [90.5, 8.0], "{shards}: {lines}");
        assert_eq!(values(&lines, "level.avg"), [7.0], "the mean is of the newest values: {lines}");
        assert_eq!(values(&lines, "latency.min"), [0.25], "{lines}");
        assert_eq!(values(&lines, "latency.max"), [] as [f64; 0], "one of both did not say: {lines}");
    }
}
