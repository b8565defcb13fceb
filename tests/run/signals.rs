//! Signals that do not end the process, and what it says while it ends.

use crate::binary::process::{Catchment, Folder, Http, until, wall_ns};
use crate::common::{int, number, request_of, sum};
use prost::Message;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A closed terminal, a rotation, a signal that means nothing: the process goes on, to files where they now are.
#[test]
fn hangups_reopen_files_and_nothing_but_the_ends_signals_ends_the_process() {
    let folder = Folder::new();
    let (path, old) = (folder.path("out.jsonl"), folder.path("out.jsonl.1"));
    let out = format!("file:{}", path.display());
    let mut catchment = Catchment::start(&["--interval", "100ms", "--shards", "1", "--out", &out]);
    let mut http = catchment.http();
    let mut send = |name: &str| {
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{name}","gauge":{{"dataPoints":[{{"timeUnixNano":"1","asInt":"1"}}]}}}}]}}]}}]}}"#
        );
        assert_eq!(http.post("/v1/metrics", "application/json", body.as_bytes()).unwrap().status, 200);
    };
    send("before");
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    until("a line", || text(&path).contains("before").then_some(()));
    std::fs::rename(&path, &old).unwrap();
    catchment.signal("USR1");
    catchment.hear(&["INFO", "signal=10"]);
    catchment.signal("USR2");
    catchment.hear(&["INFO", "signal=12"]);
    catchment.signal("HUP");
    catchment.hear(&["INFO", "SIGHUP", "file:"]);
    until("the new file", || path.exists().then_some(()));
    let sealed = text(&old);
    send("after");
    until("a line in the new file", || text(&path).contains("after").then_some(()));
    assert_eq!(text(&old), sealed);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
}

/// From the first signal on it is not ready, and takes in and delivers all the same until the delay is over.
#[test]
fn what_ends_is_not_ready_and_keeps_its_doors_open_for_the_delay() {
    let mut catchment = Catchment::start(&["--shutdown-delay", "1h", "--interval", "100ms", "--out", "stdout"]);
    let (mut admin, ports) = (catchment.admin(), catchment.ports);
    until("readiness", || (admin.get("/readyz").status == 200).then_some(()));
    catchment.signal("TERM");
    catchment.hear(&["stopping", "--shutdown-delay"]);
    let page = admin.get("/readyz");
    assert!(page.status == 503 && page.text().contains("stopping"), "{page:?}");
    assert_eq!(admin.get("/healthz").status, 200);
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"late","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}"#;
    let mut late = Http::connect(ports.otlp_http.unwrap()).unwrap();
    assert_eq!(late.post("/v1/metrics", "application/json", body.as_bytes()).unwrap().status, 200);
    until("a cut", || admin.get("/ledger").text().contains(r#""delivered":1"#).then_some(()));
    // the second one cuts it short
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("late"), "{ended:?}");

    let begun = Instant::now();
    let ended = Catchment::start(&["--shutdown-delay", "300ms", "--shutdown-timeout", "5s"]).terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "the delay is over by itself");
}

/// A pipe with a name that nobody reads; whoever opens it to write is kept by the second value from waiting there already.
fn unread(folder: &Folder, name: &str, is_open: bool) -> (PathBuf, Option<File>) {
    let path = folder.path(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let open = is_open.then(|| File::options().read(true).write(true).open(&path).unwrap());
    (path, open)
}

/// Whatever holds a thread, the process ends within `--shutdown-timeout` and two seconds, tells its ledger once, and its
/// exit code says what was lost.
#[test]
fn the_end_waits_for_nobody_longer_than_it_says() {
    let folder = Folder::new();
    for (name, is_open, flag, code, says) in [
        // the thread of a destination waits for a reader before the first byte
        ("closed", false, "--out", 3, "queued"),
        // it waits in the middle of a line
        ("open", true, "--out", 3, "queued"),
        // the recording's thread waits, and the last step of the end for it: the timer ends the process
        ("capture", true, "--capture", 1, "the end takes longer than --shutdown-timeout"),
    ] {
        let (path, _open) = unread(&folder, name, is_open);
        let to = if flag == "--out" { format!("file:{}", path.display()) } else { path.display().to_string() };
        let flags = ["--interval", "100ms", "--shards", "1", "--shutdown-timeout", "1s", flag, &to];
        let catchment = Catchment::start(&flags);
        let mut http = catchment.http();
        // more than a pipe holds
        let now = wall_ns();
        let value = "v".repeat(3_000);
        for from in (0..100).step_by(10) {
            let points = (from..from + 10).map(|i| number(&[("k", &format!("{i}{value}"))], now - 1, now, int(1)));
            let body = request_of("svc", vec![sum("m", 1, true, points.collect())]).encode_to_vec();
            assert_eq!(http.export(&body).unwrap().status, 200, "{name}");
        }
        let mut admin = catchment.admin();
        until("a cut of it", || (admin.get("/ledger").json()["open"] == 0).then_some(()));
        let begun = Instant::now();
        let ended = catchment.terminate();
        let took = begun.elapsed();
        assert_eq!(ended.code(), code, "{name}: {ended:?}");
        // a second for a machine that has other things to do
        assert!(took < Duration::from_secs(1 + 2 + 1), "{name}: {took:?}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
        assert_eq!(ended.stderr.matches("ledger: received 100 ").count(), 1, "{name}: {ended:?}");
        assert!(ended.stderr.contains("balanced"), "{name}: {ended:?}");
    }
}
