//! The log: in JSON every line is an event, in text words tell its fields apart; and one that nobody reads, with standard
//! error full from the start, for which nothing waits.

use crate::binary::process::{
    Catchment, Ended, Folder, Http, PATIENCE, Ports, command, output, samples, signal, total, until,
};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

/// A socket that takes nothing more, and its other end.
fn full_pipe() -> (OwnedFd, UnixStream) {
    let (mut write, read) = UnixStream::pair().unwrap();
    write.set_nonblocking(true).unwrap();
    let (mut size, mut full) = (1 << 16, 0);
    while size > 0 {
        match write.write(&vec![b'x'; size]) {
            Ok(n) => full += n,
            Err(_) => size /= 2,
        }
    }
    assert!(full > 0);
    write.set_nonblocking(false).unwrap();
    (write.into(), read)
}

/// The banner, a warning about a malformed request, cuts, pages, the end: all of them go on.
#[test]
fn a_log_that_nobody_reads_stops_neither_cuts_nor_pages_nor_the_end() {
    let (stderr, _unread) = full_pipe();
    let folder = Folder::new();
    let ports_file = folder.path("ports.json");
    let off = ["--otlp-grpc", "off", "--otlp-http", "127.0.0.1:0", "--prometheus", "127.0.0.1:0"];
    let mut command = command(&["run", "--admin", "127.0.0.1:0", "--interval", "100ms", "--log", "trace"]);
    let mut child = command.args(off).arg("--ports-file").arg(&ports_file).stderr(stderr).spawn().unwrap();
    let id = child.id();
    let ports = until("a ports file", || ports_file.exists().then(|| Ports::read(&ports_file)));
    let mut http = Http::connect(ports.otlp_http.unwrap()).unwrap();
    assert_eq!(http.export(&[0xff]).unwrap().status, 400);
    let mut admin = Http::connect(ports.admin.unwrap()).unwrap();
    until("readiness", || (admin.get("/readyz").status == 200).then_some(()));
    let mut cuts = || {
        let page = samples(admin.get("/metrics").text());
        assert!(page.iter().any(|(name, _)| name == "catchment_log_lines_dropped_total"));
        total(&page, "catchment_cuts_total")
    };
    let before = cuts();
    until("cuts", || (cuts() >= before + 3.0).then_some(()));
    assert_eq!(Http::connect(ports.prometheus.unwrap()).unwrap().get("/metrics").status, 200);
    signal(id, "TERM");
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait().unwrap()));
    let Ok(status) = end.recv_timeout(PATIENCE / 4) else {
        signal(id, "KILL");
        panic!("it does not end");
    };
    assert_eq!(status.code(), Some(0));
}

/// Every line of standard error as an event.
fn events(ended: &Ended) -> Vec<serde_json::Value> {
    let parse = |line: &str| -> serde_json::Value {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let level = event["level"].as_str().unwrap_or_default();
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line}");
        assert!(
            event["timestamp"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
            "{line}"
        );
        assert!(event["fields"]["message"].is_string() && event["target"].is_string(), "{line}");
        event
    };
    ended.stderr.lines().map(parse).collect()
}

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Whatever `--log` asks for, the banner is the first line and the ledger the last one; what refuses a start is an event
/// too.
#[test]
fn in_json_every_line_is_an_event() {
    for level in ["error", "trace"] {
        let dead = format!("otlp-http://{}", nobody());
        let flags = ["--log-format", "json", "--log", level, "--interval", "100ms", "--shutdown-timeout", "1s"];
        let catchment = Catchment::start(&[&flags[..], &["--out", "stdout", "--out", &dead]].concat());
        let mut http = catchment.http();
        assert_eq!(http.export(&[0xff]).unwrap().status, 400);
        let point = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}"#;
        assert_eq!(http.post("/v1/metrics", "application/json", point).unwrap().status, 200);
        let ports = catchment.ports;
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 3, "{ended:?}");
        let events = events(&ended);
        let banner = events.iter().find(|event| event["fields"]["message"] == "listening").expect("a banner");
        let fields = &banner["fields"];
        assert_eq!(fields["otlp_grpc"], ports.otlp_grpc.unwrap().to_string());
        assert_eq!(fields["admin"], ports.admin.unwrap().to_string());
        assert_eq!((&fields["interval_ms"], &fields["max_body_bytes"]), (&100.into(), &(64 << 20).into()), "{fields}");
        assert_eq!(fields["destinations"][0], serde_json::json!({ "name": "stdout", "temporality": "cumulative" }));
        let last = &events.last().unwrap()["fields"];
        assert!(last["message"].as_str().unwrap().starts_with("ledger: received 1 "), "{last}");
        assert_eq!((&last["ledger"]["received"], &last["ledger"]["balanced"]), (&1.into(), &true.into()), "{last}");
    }
    for refused in [&["--interval", "never"][..], &["--no-such-flag"], &["--log", "loud"], &["--otlp-grpc", "off"]] {
        // the last one fails later on
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, ports) =
            (taken.local_addr().unwrap().to_string(), ["--otlp-http", "127.0.0.1:0", "--log-format"]);
        let mut command = command(&["run", "--admin", &address]);
        command.args(ports).arg("json").args(refused);
        let ended = output(command);
        assert!([1, 2].contains(&ended.code()), "{ended:?}");
        let events = events(&ended);
        assert!(!events.is_empty() && events.iter().all(|event| event["level"] == "ERROR"), "{ended:?}");
    }
}

/// A value with blanks stands in quotes; what is nothing is not told.
#[test]
fn in_text_words_tell_fields_apart() {
    let dead = format!("otlp-grpc://{}", nobody());
    let flags = ["--interval", "100ms", "--shutdown-timeout", "0s", "--out", &dead];
    let mut catchment = Catchment::start(&flags);
    let point = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}"#;
    assert_eq!(catchment.http().post("/v1/metrics", "application/json", point).unwrap().status, 200);
    let line = catchment.hear(&["delivery is in trouble"]);
    assert!(line.contains(r#" error=""#) && line.contains(r#"" remedy=""#), "{line}");
    assert!(!line.contains("unsaid="), "{line}");
    let ended = catchment.terminate();
    let stopping = ended.stderr.lines().find(|line| line.contains("stopping")).expect("a line");
    assert!(!stopping.contains('=') && stopping.contains("another signal"), "{stopping}");
    assert!(!ended.stderr.contains("0ns"), "{}", ended.stderr);
    for line in ended.stderr.lines().filter(|line| line.contains("WARN") || line.contains("INFO")) {
        // behind the first field each word is one, or stands in quotes
        let Some(at) = line.find('=') else { continue };
        let mut quoted = false;
        let outside: String = line[at..]
            .chars()
            .filter(|&c| {
                quoted ^= c == '"';
                !quoted
            })
            .collect();
        assert!(outside.split(' ').skip(1).all(|word| word.contains('=')), "{line}");
    }
}
