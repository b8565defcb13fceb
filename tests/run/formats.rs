//! The scrape page of the real binary in every format: what is negotiated is what comes, gzip where it is asked for,
//! starts and exemplars as they were sent, names by `--prometheus-translation` (X1, X2, X7, X13, X16, X17, X18).

use crate::binary::process::{Catchment, Http, Reply, command, output, until, wall_ns};
use crate::common::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;
use std::io::Read;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn cumulative_request(start: u64, value: i64, now: u64) -> Vec<u8> {
    let mut point = number(&[("a.b", "v\"w")], start, now, int(value));
    point.exemplars = vec![pb::Exemplar {
        time_unix_nano: now,
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
        value: Some(pb::exemplar::Value::AsInt(3)),
        ..Default::default()
    }];
    request(vec![
        sum("foo.bar", 2, true, vec![point]),
        exponential("exp", 2, vec![exponential_point(&[], start, now, 3, 5, &[1, 2])]),
        gauge("level", vec![number(&[], 0, now, int(4))]),
    ])
    .encode_to_vec()
}

/// A page without the scope's labels.
fn text_of(page: &Reply) -> String {
    page.text().replace(",otel_scope_name=\"lib\",otel_scope_version=\"1\"", "")
}

fn scrape(http: &mut Http, accept: &str, more: &[(&str, &str)]) -> Reply {
    let headers = [&[("accept", accept)], more].concat();
    let reply = http.get_with("/metrics", &headers);
    assert_eq!(reply.status, 200);
    reply
}

/// A catchment that has merged this request; its scraper.
fn started(arguments: &[&str], body: &[u8]) -> (Catchment, Http) {
    let catchment = Catchment::start(&[&["--interval", "200ms"], arguments].concat());
    assert_eq!(catchment.http().export(body).unwrap().status, 200);
    let mut scraper = catchment.scraper();
    until("the page to show it", || scraper.get("/metrics").text().contains("level").then_some(()));
    (catchment, scraper)
}

#[test]
fn x1_x2_what_is_negotiated_is_what_comes() {
    let now = wall_ns();
    let (catchment, mut scraper) = started(&["--shards", "2"], &cumulative_request(now - 1, 7, now));
    let text = scraper.get("/metrics");
    let plain = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    assert_eq!(text.header("content-type"), Some(plain));
    assert_eq!(text.header("content-encoding"), None);
    assert!(!text.text().contains("# EOF") && text.text().contains("# TYPE foo_bar_total counter\n"));
    for (accept, content_type, end) in [
        ("*/*", plain, "\n"),
        ("application/json", plain, "\n"),
        ("text/plain;version=1.0.0;escaping=values", "text/plain; version=1.0.0; charset=utf-8; escaping=values", "\n"),
        (
            "text/plain;q=0.5,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "\n# EOF\n",
        ),
        (
            "application/openmetrics-text",
            "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores",
            "\n# EOF\n",
        ),
    ] {
        let reply = scrape(&mut scraper, accept, &[]);
        assert_eq!(reply.header("content-type"), Some(content_type), "{accept}");
        assert!(reply.text().ends_with(end), "{accept}");
    }
    let reply = scrape(&mut scraper, PROTOBUF, &[]);
    assert_eq!(
        reply.header("content-type"),
        Some(
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
             escaping=underscores"
        )
    );
    // each message is as long as its length says, and begins with a name
    let (mut rest, mut families) = (reply.body.as_slice(), 0);
    while !rest.is_empty() {
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        assert_eq!(rest[0], 0x0a);
        rest = &rest[length..];
        families += 1;
    }
    assert_eq!(families, 3);
    assert_eq!(catchment.terminate().code(), 0);
}

#[test]
fn gzip_comes_where_it_is_asked_for_and_inflates_to_the_same() {
    let now = wall_ns();
    let (catchment, mut scraper) = started(&["--shards", "1"], &cumulative_request(now - 1, 7, now));
    let inflate = |reply: &Reply| {
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut out).unwrap();
        out
    };
    for accept in ["text/plain", PROTOBUF] {
        // nothing comes in any more, so every cut says the same
        let plain = scrape(&mut scraper, accept, &[("accept-encoding", "identity, gzip;q=0")]);
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(inflate(&scrape(&mut scraper, accept, &[("accept-encoding", "gzip")])), plain.body);
    }
    let mut admin = catchment.admin();
    let own = admin.get_with("/metrics", &[("accept-encoding", "gzip")]);
    assert!(String::from_utf8(inflate(&own)).unwrap().contains("catchment_scrape_cases_total"));
    assert_eq!(catchment.terminate().code(), 0);
}

#[test]
fn x7_x13_x16_starts_are_those_sent_and_a_reset_moves_them() {
    let now = wall_ns();
    let start = now / 1_000_000_000 * 1_000_000_000 - 1_000_000_000;
    let (catchment, mut scraper) =
        started(&["--shards", "1", "--prometheus-created", "on"], &cumulative_request(start, 7, now));
    let created = |seconds: &str| format!("foo_bar_created{{job=\"svc\",instance=\"\",a_b=\"v\\\"w\"}} {seconds}\n");
    let (first, second) = ((start / 1_000_000_000).to_string(), format!("{}.5", start / 1_000_000_000));
    let page = text_of(&scrape(&mut scraper, OPEN_METRICS, &[]));
    assert!(page.contains(&created(&first)), "{page}");
    assert!(page.contains("# TYPE foo_bar counter\n"));
    // a counter that starts over, with a newer start
    let again = cumulative_request(start + 500_000_000, 2, now + 1);
    assert_eq!(catchment.http().export(&again).unwrap().status, 200);
    let exemplar = format!(" # {{trace_id=\"{}\",span_id=\"{}\"}} 3 ", "ab".repeat(16), "01".repeat(8));
    let mut marked = page.contains(&exemplar);
    until("the new start", || {
        let page = text_of(&scrape(&mut scraper, OPEN_METRICS, &[]));
        let total = page.lines().find(|line| line.starts_with("foo_bar_total{")).unwrap();
        marked |= total.contains(&exemplar);
        let is_new = total.contains("} 2");
        // value and start change together; only while the next cut is being merged may a start not be known
        let other = created(if is_new { &first } else { &second });
        assert!(!page.contains(&other), "{page}");
        (is_new && page.contains(&created(&second))).then_some(())
    });
    assert!(marked, "an exemplar is shown while its interval is the newest");
    assert_eq!(catchment.terminate().code(), 0);
}

/// A gauge whose metadata says that its type is unknown, first or later, and by JSON too, is of that type from then on.
#[test]
fn p03_a_gauge_of_unknown_type_is_shown_as_one() {
    let now = wall_ns();
    let level = |metadata: &str, time: u64| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"level",{metadata}"gauge":{{"dataPoints":[{{"timeUnixNano":"{time}","asInt":"4"}}]}}}}]}}]}}]}}"#
        )
    };
    let unknown = r#""metadata":[{"key":"prometheus.type","value":{"stringValue":"unknown"}}],"#;
    let mut other = gauge("other.level", vec![number(&[], 0, now, int(4))]);
    other.metadata = vec![attribute("prometheus.type", "unknown")];
    let (catchment, mut scraper) = started(&["--shards", "2"], &request(vec![other]).encode_to_vec());
    let mut is = |line: &str| until(line, || scraper.get("/metrics").text().contains(line).then_some(()));
    is("# TYPE other_level_ratio untyped\n");
    for (time, metadata, line) in [
        (now, "", "# TYPE level gauge\n"),
        (now + 1, unknown, "# TYPE level untyped\n"),
        (now + 2, "", "# TYPE level untyped\n"),
    ] {
        let body = level(metadata, time);
        let reply = catchment.http().post("/v1/metrics", "application/json", body.as_bytes());
        assert_eq!(reply.unwrap().status, 200);
        is(line);
    }
    assert!(scrape(&mut scraper, OPEN_METRICS, &[]).text().contains("# TYPE level unknown\n"));
    assert_eq!(catchment.terminate().code(), 0);
}

/// So are infos and state sets, with the names and labels that they come with.
#[test]
fn p03_infos_and_state_sets_are_shown_as_such() {
    let now = wall_ns();
    let mut build = gauge("build", vec![number(&[("version", "1.2")], 0, now, int(1))]);
    build.metadata = vec![attribute("prometheus.type", "info")];
    let states = [("on", 1), ("off", 0)].map(|(state, value)| number(&[("pump.state", state)], 0, now, int(value)));
    let mut pump = sum("pump.state", 2, false, states.to_vec());
    pump.metadata = vec![attribute("prometheus.type", "stateset")];
    let level = gauge("level", vec![number(&[], 0, now, int(4))]);
    let (catchment, mut scraper) = started(&["--shards", "2"], &request(vec![build, pump, level]).encode_to_vec());
    let page = until("the rows", || {
        let page = text_of(&scrape(&mut scraper, OPEN_METRICS, &[]));
        page.contains("pump_state{").then_some(page)
    });
    for lines in [
        "# TYPE build info\nbuild_info{job=\"svc\",instance=\"\",version=\"1.2\"} 1\n",
        "# TYPE pump_state stateset\n",
        "pump_state{job=\"svc\",instance=\"\",pump_state=\"on\"} 1\n",
    ] {
        assert!(page.contains(lines), "{page}");
    }
    let plain = scraper.get("/metrics");
    let page = plain.text();
    for line in ["# TYPE build_info gauge\n", "# TYPE pump_state gauge\n"] {
        assert!(page.contains(line), "{page}");
    }
    assert_eq!(catchment.terminate().code(), 0);
}

/// Without `_created`, unless the operator says so; what protobuf has inside a message stays.
#[test]
fn x7_created_series_are_off_by_default() {
    let now = wall_ns();
    let arguments = ["--shards", "1"];
    let (catchment, mut scraper) = started(&arguments, &cumulative_request(now - 1, 7, now));
    let page = text_of(&scrape(&mut scraper, OPEN_METRICS, &[]));
    assert!(page.contains("foo_bar_total{") && !page.contains("_created"), "{page}");
    let message = scrape(&mut scraper, PROTOBUF, &[]).body;
    // Counter.created_timestamp, a Timestamp with its seconds
    assert!(message.windows(3).any(|bytes| bytes[0] == 0x1a && bytes[2] == 0x08), "{message:?}");
    assert_eq!(catchment.terminate().code(), 0);
}

#[test]
fn x17_names_are_translated_as_the_flag_says() {
    for (strategy, accept, want) in [
        ("UnderscoreEscapingWithSuffixes", OPEN_METRICS, "foo_bar_total{job=\"svc\",instance=\"\",a_b=\"v\\\"w\"} 7"),
        ("UnderscoreEscapingWithoutSuffixes", "text/plain", "foo_bar{job=\"svc\",instance=\"\",a_b=\"v\\\"w\"} 7"),
        (
            "NoUTF8EscapingWithSuffixes",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            "{\"foo.bar_total\",job=\"svc\",instance=\"\",\"a.b\"=\"v\\\"w\"} 7",
        ),
        (
            "NoTranslation",
            "text/plain;escaping=values",
            "U__foo_2E_bar{job=\"svc\",instance=\"\",U__a_2E_b=\"v\\\"w\"} 7",
        ),
        ("NoTranslation", "text/plain", "foo_bar{job=\"svc\",instance=\"\",a_b=\"v\\\"w\"} 7"),
    ] {
        let now = wall_ns();
        let arguments = ["--shards", "1", "--prometheus-translation", strategy];
        let (catchment, mut scraper) = started(&arguments, &cumulative_request(now - 1, 7, now));
        let page = text_of(&scrape(&mut scraper, accept, &[]));
        assert!(page.lines().any(|line| line.starts_with(want)), "{strategy} {accept}: {page}");
        assert_eq!(catchment.terminate().code(), 0);
    }
    let wrong = output(command(&["run", "--prometheus-translation", "Other"]));
    assert_eq!(wrong.code(), 2);
    // X18: the page is on loopback, port 9464, unless told otherwise
    let help = output(command(&["run", "--help"]));
    assert!(help.stdout.contains("[default: 127.0.0.1:9464]"), "{}", help.stdout);
    assert!(help.stdout.contains("UnderscoreEscapingWithSuffixes"));
}
