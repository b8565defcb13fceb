//! Signals that do not end the process, and what it says while it ends.

mod binary;
mod common;

use binary::process::{Catchment, Folder, until};

/// A closed terminal, a rotation, a signal that means nothing: the process goes on, to files where they now are.
#[test]
fn hangups_open_files_anew_and_nothing_but_the_ends_signals_ends_the_process() {
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
