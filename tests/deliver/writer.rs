//! `file:` destinations and what `--out` says: E11, E12, E15.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use catchment::clock::{ManualClock, Now};
use catchment::deliver::{Compression, DeliveryTarget, Dropped, Encoded, Offer, Options, parse_out, start};
use catchment::model::Temporality;

/// A path of its own for each test.
fn path(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("catchment-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("out.jsonl")
}

/// A request whose resource has this schema URL.
fn request(url: &str, points: u64) -> Arc<Encoded> {
    let inner = [&[0x1a, url.len() as u8], url.as_bytes()].concat();
    Arc::new(Encoded {
        bytes: [&[0x0a, inner.len() as u8], inner.as_slice()].concat().into(),
        points,
        flushed: flushed(),
    })
}

/// One line per request, appended, mode 0644, and there as soon as the points count as delivered.
#[test]
fn files_get_one_line_per_request() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path("lines");
    std::fs::write(&path, "{}\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    for run in 0..2 {
        let destination = parse_out(&format!("file:{}", path.display())).unwrap();
        let (sender, handle) = start(vec![destination], options()).unwrap();
        for n in 0..3 {
            assert_eq!(sender.offer(0, request(&format!("u{n}"), 2)), Offer::Queued);
        }
        wait_row(&sender, 0, |row| row.delivered == 6);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 * (run + 1));
        assert_eq!(lines[0], r#"{"resourceMetrics":[{"schemaUrl":"u0"}]}"#);
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o644, 0);
}

/// One line per request on standard output. The writer has the process's own: a child runs this very test.
#[test]
fn stdout_gets_one_line_per_request() {
    const CHILD: &str = "CATCHMENT_TEST_STDOUT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let (sender, handle) = start(vec![parse_out("stdout").unwrap()], options()).unwrap();
        for n in 0..3 {
            assert_eq!(sender.offer(0, request(&format!("u{n}"), 2)), Offer::Queued);
        }
        // no waiting: shutdown delivers what is queued
        let row = handle.shutdown(Instant::now() + PATIENCE)[0];
        assert_eq!((row.encoded, row.delivered), (6, 6));
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer::stdout_gets_one_line_per_request"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success());
    let text = String::from_utf8(child.stdout).unwrap();
    for n in 0..3 {
        assert_eq!(
            text.matches(&format!("{{\"resourceMetrics\":[{{\"schemaUrl\":\"u{n}\"}}]}}\n")).count(),
            1,
            "{text}"
        );
    }
}

/// A file that cannot be opened costs its points, counted; a batch that is no request is counted as malformed.
#[test]
fn what_cannot_be_written_is_counted() {
    let path = path("absent").join("no/such/folder");
    let destination = parse_out(&format!("file:{}", path.display())).unwrap();
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, request("u", 4));
    wait_row(&sender, 0, |row| row.dropped(Dropped::IoError) == 4);
    assert_eq!(sender.stats(0).retries, 3);
    let _ = sender.offer(0, Arc::new(Encoded { bytes: b"\x0a\x05x".as_slice().into(), points: 3, flushed: flushed() }));
    wait_row(&sender, 0, |row| row.dropped(Dropped::Malformed) == 3);
    let row = handle.shutdown(Instant::now() + PATIENCE)[0];
    assert!(row.balances() && row.queued == 0);
}

/// A file that was moved or removed is opened again before the next line, and on request at once; a line is in one file.
#[test]
fn a_file_that_was_moved_or_removed_is_opened_again() {
    static TIME: ManualClock = ManualClock::new(Now::at(1), 0);
    let path = path("rotated");
    let destination = parse_out(&format!("file:{}", path.display())).unwrap();
    let (sender, handle) = start(vec![destination], Options { clock: &TIME, ..options() }).unwrap();
    let mut points = 0;
    let mut line = |url: &str| {
        assert_eq!(sender.offer(0, request(url, 1)), Offer::Queued);
        points += 1;
        wait_row(&sender, 0, |row| row.delivered == points);
    };
    let has = |path: &Path, urls: &[&str]| {
        let lines: String =
            urls.iter().map(|url| format!("{{\"resourceMetrics\":[{{\"schemaUrl\":\"{url}\"}}]}}\n")).collect();
        assert_eq!(std::fs::read_to_string(path).unwrap(), lines, "{}", path.display());
    };
    let second = || TIME.advance(1_000_000_001);
    let old = path.with_extension("1");
    line("a");
    second();
    line("b");
    has(&path, &["a", "b"]);
    std::fs::rename(&path, &old).unwrap();
    // looked at a moment ago
    line("c");
    has(&old, &["a", "b", "c"]);
    second();
    line("d");
    has(&path, &["d"]);
    std::fs::remove_file(&path).unwrap();
    second();
    line("e");
    has(&path, &["e"]);
    // asked to: it is there before there is a line for it
    std::fs::rename(&path, &old).unwrap();
    sender.reopen_files();
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "the file is not opened again");
        std::thread::yield_now();
    }
    line("f");
    has(&old, &["e"]);
    has(&path, &["f"]);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E11: a pipe that nobody reads holds neither another destination nor the shutdown; what is left counts as queued.
#[test]
fn a_blocked_pipe_slows_nobody() {
    let fifo = path("pipe");
    let status = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(status.success());
    let server = HttpServer::new(|_, _| Reply::ok());
    let blocked = parse_out(&format!("file:{}", fifo.display())).unwrap();
    let (sender, handle) = start(vec![blocked, server.destination()], options()).unwrap();
    for _ in 0..10 {
        let batch = request("u", 2);
        assert_eq!(sender.offer(0, batch.clone()), Offer::Queued);
        assert_eq!(sender.offer(1, batch), Offer::Queued);
    }
    wait_row(&sender, 1, |row| row.delivered == 20);
    let rows = handle.shutdown(Instant::now() + Duration::from_millis(100));
    assert_eq!((rows[0].encoded, rows[0].queued, rows[1].delivered), (20, 20, 20));
    assert!(rows.iter().all(|row| row.balances()));
}

/// E12: a batch of no bytes is no request.
#[test]
fn empty_batches_are_not_sent() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    assert_eq!(sender.offer(0, batch(0, 0)), Offer::Queued);
    let _ = sender.offer(0, batch(1, 1));
    wait_row(&sender, 0, |row| row.delivered == 1);
    assert_eq!(server.requests.try_iter().count(), 1);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E15: what `--out` means.
#[test]
fn destinations_are_parsed() {
    let http = |url: &str| match parse_out(url).unwrap().target {
        DeliveryTarget::OtlpHttp { endpoint, path } => format!("{} {path}", endpoint.authority()),
        other => panic!("{other:?}"),
    };
    assert_eq!(http("otlp-http://h:4318"), "h:4318 /v1/metrics");
    assert_eq!(http("otlp-http://h"), "h:4318 /v1/metrics");
    assert_eq!(http("otlp-http://h:1/"), "h:1 /v1/metrics");
    assert_eq!(http("otlp-http://h:1/x/y"), "h:1 /x/y");
    assert_eq!(http("otlp-http://[::1]:1"), "[::1]:1 /v1/metrics");
    assert_eq!(http("otlp-https://h"), "h:443 /v1/metrics");
    assert_eq!(http("otlp-https://h:8443/x/y/"), "h:8443 /x/y/");
    let host = |url: &str| parse_out(url).unwrap().target.endpoint().unwrap().host_field();
    for (url, expected) in [
        ("otlp-https://h", "h"),
        ("otlp-https://[::1]/x", "[::1]"),
        ("otlp-https://h:80", "h:80"),
        ("otlp-https://h:1443", "h:1443"),
        ("otlp-http://h:80/x", "h"),
        ("otlp-http://h", "h:4318"),
        ("otlp-http://[::80]:4318", "[::80]:4318"),
    ] {
        assert_eq!(host(url), expected, "{url}: `Host` leaves out the port that HTTP takes for granted");
    }
    let secure = parse_out("otlp-grpcs://h?in-flight=64&connections=16&ca=/a&cert=/b&key=/c&headers=/d").unwrap();
    assert_eq!(secure.name, "otlp-grpcs://h:4317");
    assert!(secure.target.is_secure() && secure.tls.is_none());
    assert_eq!((secure.in_flight, secure.connections), (Some(64), 16));
    assert_eq!(parse_out("otlp-grpc://h?compression=zstd").unwrap().compression, Compression::Zstd);
    let all =
        parse_out("otlp-grpc://example.org?temporality=delta&compression=none&queue=64MiB&timeout=1500ms").unwrap();
    assert_eq!(all.name, "otlp-grpc://example.org:4317");
    assert_eq!((all.temporality, all.compression), (Some(Temporality::Delta), Compression::None));
    assert_eq!((all.queue_bytes, all.timeout), (64 << 20, Duration::from_millis(1500)));
    for (url, compression) in [
        ("otlp-grpc://example.org:4317", Compression::Gzip),
        ("otlp-grpc://localhost:4317", Compression::None),
        ("otlp-http://127.0.0.1:4318", Compression::None),
        ("otlp-http://[::1]:4318?compression=gzip", Compression::Gzip),
    ] {
        assert_eq!(parse_out(url).unwrap().compression, compression, "{url}");
    }
    let queues = ["256MB", "256mib", "256M", "0.25G", "268_435_456"].map(|text| format!("stdout?queue={text}"));
    assert!(queues.iter().all(|url| parse_out(url).unwrap().queue_bytes == 256 << 20));
    assert_eq!(parse_out("otlp-grpc://h?timeout=1m30s").unwrap().timeout, Duration::from_secs(90));
    assert_eq!(parse_out("stdout?temporality=cumulative").unwrap().temporality, Some(Temporality::Cumulative));
    assert_eq!(parse_out("file:/a/b").unwrap().name, "file:/a/b");
}

/// Errors name the option, the given value and the remedy; a password is never repeated.
#[test]
fn bad_destinations_say_what_to_do() {
    for (url, words) in [
        ("", "write otlp-grpc://"),
        ("http://h", "`http://h` is no destination: did you mean otlp-http://h? write otlp-grpc://HOST:PORT"),
        (
            "http://h:4318/x",
            "--out http://h:4318/…: `http://h:4318/…` is no destination: did you mean otlp-http://h:4318/…?",
        ),
        ("http://h:4317", "did you mean otlp-grpc://h:4317?"),
        ("grpc://h:4317", "did you mean otlp-grpc://h:4317?"),
        ("otlp-gprc://h:4317", "did you mean otlp-grpc://h:4317?"),
        ("h:4317", "did you mean otlp-grpc://h:4317?"),
        ("h:4318", "did you mean otlp-http://h:4318?"),
        ("/tmp/x.jsonl", "did you mean file:/tmp/x.jsonl?"),
        ("stduot", "did you mean stdout?"),
        ("ftp://h:4318", "is no destination: write otlp-grpc://"),
        ("otlp-grpc://h?compresion=gzip", "`compresion` is unknown: did you mean `compression`? the options are"),
        ("https://h", "TLS"),
        ("otlp-grpc://", "host ``"),
        ("otlp-grpc://h:0", "port `0`"),
        ("otlp-grpc://h:+1", "port `+1`"),
        ("otlp-grpc://h:65536", "1 to 65535"),
        ("otlp-grpc://h:1/x", "takes no path"),
        ("otlp-grpc://[::1", "closing bracket"),
        ("otlp-http://h/a b", "percent-encode"),
        ("file:", "file:PATH"),
        ("stdout?timeout=1s", "remove it"),
        ("otlp-grpc://h?queue", "queue=VALUE"),
        ("otlp-grpc://h?queue=1XB", "queue='1XB' is no size; write 65536, 64KiB, 64MiB or 2GiB"),
        ("otlp-grpc://h?queue=1KB", "queue=`1KB` is out of range"),
        ("otlp-grpc://h?queue=1KiB", "between 4MiB and 1024GiB"),
        ("otlp-grpc://h?queue=99999999999999999999", "queue='9999"),
        ("otlp-grpc://h?timeout=0s", "between 100ms and 5m"),
        ("otlp-grpc://h?timeout=5", "timeout='5' is no duration; write 250ms, 10s, 5m or 1h"),
        ("otlp-grpc://h?temporality=Delta", "delta or cumulative"),
        ("otlp-grpc://h?compression=brotli", "zstd, gzip or none"),
        ("otlp-grpc://h?colour=red", "`colour`"),
        ("otlp-grpc://h?in-flight=0", "1 to 64"),
        ("otlp-grpc://h?in-flight=65", "1 to 64"),
        ("otlp-grpc://h?connections=17", "1 to 16"),
        ("otlp-http://h?connections=2", "write in-flight"),
        ("otlp-grpc://h?ca=/x", "otlp-grpcs://"),
        ("otlp-grpcs://h?ca=", "ca=FILE"),
        ("otlp-grpcs://h:1/x", "takes no path"),
        ("otlp-grpcs://-h-", "certificate"),
        ("stdout?headers=/x", "remove it"),
        ("https://h/x", "write otlp-https://h/…"),
        ("otlp-grpc://h?queue=8MiB&queue=9MiB", "twice"),
    ] {
        let error = parse_out(url).expect_err(url).to_string();
        assert!(error.contains(words), "{url}: {error}");
    }
    // T21: a path can be a token, so no name and no error repeats one; the default path is none
    for url in [
        "http://h/hunter2",
        "https://h/hunter2",
        "h:4318/hunter2",
        "ftp://h/x/hunter2",
        "otlp-grpc://h/hunter2",
        "otlp-http://h#hunter2",
        "otlp-http://h/hunter2 x",
        "otlp-http://h:0/hunter2",
        "otlp-http://h/hunter2?timeout=never",
        "otlp-http://h/hunter2?queue",
        "otlp-http://h/hunter2?colour=red",
        "otlp-htp://h/hunter2",
    ] {
        let error = parse_out(url).unwrap_err().to_string();
        assert!(error.starts_with("--out ") && !error.contains("hunter2") && error.contains("/…"), "{url}: {error}");
    }
    for (url, name) in [
        ("otlp-http://h/hunter2", "otlp-http://h:4318/…"),
        ("otlp-https://h/v1/metrics/hunter2?timeout=1s", "otlp-https://h:443/…"),
        ("otlp-http://h/v1/metrics", "otlp-http://h:4318/v1/metrics"),
        ("otlp-http://h", "otlp-http://h:4318/v1/metrics"),
        ("otlp-http://[::1]/", "otlp-http://[::1]:4318/v1/metrics"),
        ("file:/a/hunter2", "file:/a/hunter2"),
    ] {
        assert_eq!(parse_out(url).unwrap().name, name, "{url}");
    }
    // T21: credentials are never repeated, whatever else is wrong
    for url in [
        "otlp-http://user:hunter2@h",
        "otlp-grpcs://user:hunter2@h:99999/x?colour=red",
        "https://user:hunter2@h",
        "nonsense://hunter2@h?timeout=never",
    ] {
        let error = parse_out(url).unwrap_err().to_string();
        assert!(error.contains("before the @") && !error.contains("hunter2"), "{error}");
    }
    for url in [
        "otlp-http://h?api-key=hunter2",
        "otlp-http://h/x?timeout=1h&token=hunter2",
        "stdout?token=hunter2",
        "otlp-http://h?hunter2",
        "http://h:4318?token=hunter2",
        "h:4318?token=hunter2",
    ] {
        let error = parse_out(url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// The seam is shared by shards: each clones a sender, all threads may hold one.
#[test]
fn senders_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<catchment::deliver::Sender>();
}

/// Names are unique, whatever is given twice.
#[test]
fn names_are_unique() {
    let destination = parse_out("otlp-grpc://127.0.0.1:1").unwrap();
    let (sender, handle) = start(vec![destination.clone(), destination.clone(), destination], options()).unwrap();
    let names: Vec<String> = (0..3).map(|d| sender.name(d)).collect();
    assert_eq!(names, ["otlp-grpc://127.0.0.1:1", "otlp-grpc://127.0.0.1:1#2", "otlp-grpc://127.0.0.1:1#3"]);
    assert!(handle.shutdown(Instant::now()).iter().all(|row| row.balances()));
}
