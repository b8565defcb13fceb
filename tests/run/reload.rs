//! Settings that are read again while it runs: by a signal, a request, or because a file changed. What is right is in force or
//! named as needing a restart; what is wrong changes nothing, and says why.

use crate::binary::process::{Catchment, Folder, Http, Reply, command, full, until};
use crate::common::{attribute, int, number, request_of, sum};
use prost::Message;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn reload(admin: &mut Http) -> Reply {
    admin.post("/-/reload", "text/plain", b"what stands here is ignored").unwrap()
}

fn sample(admin: &mut Http, name: &str) -> f64 {
    let page = admin.get("/metrics");
    let line = page.text().lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']));
    let line = line.unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The status of an answer to who asks for the admin door by this name.
fn asked_by(catchment: &Catchment, host: &str) -> u16 {
    let mut stream = TcpStream::connect(catchment.ports.admin.unwrap()).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Settings and their values of one of the lists of an answer.
fn listed(reply: &Reply, which: &str) -> Vec<(String, String, String)> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let json = reply.json();
    let all = json[which].as_array().unwrap_or_else(|| panic!("{reply:?}"));
    all.iter().map(|one| (word(&one["setting"]), word(&one["before"]), word(&one["now"]))).collect()
}

#[test]
fn what_is_read_again_is_in_force_or_named() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("interval: 100ms\nlog: info\n");
    let mut catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--series-limit", "7"]);
    let mut admin = catchment.admin();
    let first = reload(&mut admin);
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!((listed(&first, "applied").len(), listed(&first, "needs_restart").len()), (0, 0), "{first:?}");
    // the flag wins over the file, as at the start, and what is said in other words is the same
    write("interval: 0.1s\nlog: debug\nexpire: 1h\nseries-limit: 9\nallowed-host: [a.example]\n");
    let reply = reload(&mut admin);
    let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(
        listed(&reply, "applied"),
        [text("allowed-host", "(not set)", "a.example"), text("log", "info", "debug")],
        "{reply:?}"
    );
    assert_eq!(listed(&reply, "needs_restart"), [text("expire", "(not set)", "1h")]);
    assert_ne!(reply.json()["fingerprint"], first.json()["fingerprint"]);
    catchment.hear(&["INFO", "reloaded log: info -> debug"]);
    catchment.hear(&["WARN", "expire: (not set) -> 1h needs a restart"]);
    assert_eq!(asked_by(&catchment, "a.example"), 200);
    // a signal does the same, and opens files again
    write("interval: 100ms\nlog: info\n");
    catchment.signal("HUP");
    catchment.hear(&["INFO", "SIGHUP", "file:", "settings"]);
    catchment.hear(&["INFO", "the settings are in force"]);
    assert_eq!(asked_by(&catchment, "a.example"), 403);
    assert_eq!(sample(&mut admin, "catchment_config_last_reload_successful"), 1.0);
    assert_eq!(sample(&mut admin, "catchment_config_reloads_total{result=\"applied\"}"), 3.0);
    assert!(sample(&mut admin, "catchment_config_last_reload_success_timestamp_seconds") > 1e9);
    // nothing but a request for it, from no page in a browser
    let refused = admin.get("/-/reload");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    let refused = admin.post("/rules", "text/plain", b"").unwrap();
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(admin.post_with("/-/reload", &[("origin", "http://evil.example")], b"").unwrap().status, 403);
    assert_eq!(catchment.scraper().post("/-/reload", "text/plain", b"").unwrap().status, 405);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
}

/// A `was` of a rule that does not run is told once, in the answer and in the log.
#[test]
fn a_rule_that_takes_nothing_over_is_told() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    let write =
        |text: &str| std::fs::write(&file, format!("interval: 100ms\nrules: [{{name: b, {text}by: [x]}}]\n")).unwrap();
    write("");
    let mut catchment = Catchment::start(&["--config", file.to_str().unwrap()]);
    let mut admin = catchment.admin();
    write("was: a, ");
    let words = "rules: `was` of b has no effect: there was no rule a";
    assert_eq!(reload(&mut admin).json()["notes"], serde_json::json!([words]));
    catchment.hear(&["WARN", words]);
    assert_eq!(reload(&mut admin).json()["notes"], serde_json::json!([]));
    assert_eq!(catchment.terminate().code(), 0);
}

/// Every sort of a file that cannot be meant: told with its places, as `check` tells it, and nothing changes.
#[test]
fn what_is_wrong_changes_nothing_and_says_why() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    let good = "interval: 100ms\nlog: info\nrules:\n  - {name: a, match: {metric: a}, without: [pod]}\n";
    std::fs::write(&file, good).unwrap();
    let mut catchment = Catchment::start(&["--config", file.to_str().unwrap()]);
    let mut admin = catchment.admin();
    let fingerprint = reload(&mut admin).json()["fingerprint"].clone();
    let long = format!("# {}\n", "x".repeat(2 << 20));
    // of a door on port 0, the port that it got
    let own = format!("out: ['otlp-grpc://{}']\n", catchment.ports.otlp_grpc.unwrap());
    for (n, (text, says)) in [
        ("log: loud\n", &["c.yaml:1:6 log", "loud"][..]),
        ("lag: info\nintervall: 1s\n", &["c.yaml:1:1: unknown key `lag`", "c.yaml:2:1: unknown key `intervall`"]),
        ("a: [1\n", &["c.yaml:", "not YAML"]),
        ("- a\n", &["c.yaml:1:1: this is not `key: value`"]),
        ("log: [info\n  - x", &["c.yaml:"]),
        ("a: &a [*a, *a]\nb: *a\n", &["c.yaml:"]),
        ("log: ${env:CATCHMENT_TEST_ABSENT}\n", &["the variable CATCHMENT_TEST_ABSENT is not set"]),
        (&long, &["is longer than"]),
        ("rules: [{name: a, match: {metric: '~('}, without: [pod]}]\n", &["c.yaml:1:"]),
        ("rules: [{name: a, match: {metric: a}, without: [pod], outputs: [p200]}]\n", &["c.yaml:1:", "p200"]),
        ("rules: [{name: a}, {name: a}]\n", &["c.yaml:1:"]),
        ("interval: 2s\nrules: [{name: a, match: {metric: a}, without: [pod], interval: 3s}]\n", &["c.yaml:2:"]),
        ("out: [nowhere]\n", &["nowhere"]),
        (&own, &["c.yaml:1:7 out", "this is the own door --otlp-grpc 127.0.0.1:0, what leaves would come in again"]),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&file, text).unwrap();
        let reply = reload(&mut admin);
        assert_eq!(reply.status, 400, "{text}: {reply:?}");
        assert!(says.iter().all(|words| reply.text().contains(words)), "{text}: {reply:?}");
        assert_eq!(sample(&mut admin, "catchment_config_last_reload_successful"), 0.0);
        assert_eq!(sample(&mut admin, "catchment_config_reloads_total{result=\"refused\"}"), n as f64 + 1.0);
        catchment.hear(&["ERROR", "the settings are wrong; what runs stays"]);
    }
    std::fs::remove_file(&file).unwrap();
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("c.yaml"), "{reply:?}");
    std::fs::write(&file, good).unwrap();
    let reply = reload(&mut admin);
    assert_eq!((reply.status, &reply.json()["fingerprint"]), (200, &fingerprint), "{reply:?}");
    assert_eq!(sample(&mut admin, "catchment_config_last_reload_successful"), 1.0);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// A reload that is given up at the cut, here because there is no memory for a queue, changes nothing else either.
#[test]
fn what_is_given_up_at_the_cut_changes_nothing() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    let text = |allowed: &str, out: &str| {
        let out = format!("out: ['file:{}{out}']", folder.path("out.jsonl").display());
        format!("interval: 100ms\nallowed-host: [{allowed}]\n{out}\n")
    };
    std::fs::write(&file, text("a.example", "")).unwrap();
    let catchment = Catchment::start(&["--config", file.to_str().unwrap()]);
    let mut admin = catchment.admin();
    std::fs::write(&file, text("b.example", "?queue=900GiB")).unwrap();
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("?queue="), "{reply:?}");
    assert_eq!((asked_by(&catchment, "a.example"), asked_by(&catchment, "b.example")), (200, 403));
    std::fs::write(&file, text("b.example", "")).unwrap();
    assert_eq!(reload(&mut admin).status, 200);
    assert_eq!((asked_by(&catchment, "a.example"), asked_by(&catchment, "b.example")), (403, 200));
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// A file that is written, one that a link is moved away from, as Kubernetes does it, and one more in a folder.
#[test]
fn files_that_change_are_read_again() {
    let folder = Folder::new();
    let (first, second, data) = (folder.path("..1"), folder.path("..2"), folder.path("..data"));
    for (at, level) in [(&first, "info"), (&second, "debug")] {
        std::fs::create_dir(at).unwrap();
        std::fs::write(at.join("c.yaml"), format!("interval: 100ms\nlog: {level}\n")).unwrap();
    }
    let link = |to: &Path| {
        let new = folder.path("..new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        std::fs::rename(&new, &data).unwrap();
    };
    link(&first);
    let mounted = folder.path("mounted");
    std::fs::create_dir(&mounted).unwrap();
    std::os::unix::fs::symlink(data.join("c.yaml"), mounted.join("c.yaml")).unwrap();
    let mut catchment = Catchment::start(&["--config", mounted.to_str().unwrap(), "--watch=50ms"]);
    link(&second);
    catchment.hear(&["INFO", "settings are read again", "--watch"]);
    catchment.hear(&["INFO", "reloaded log: info -> debug"]);
    std::fs::write(mounted.join("d.yaml"), "log: warn,catchment=info\n").unwrap();
    catchment.hear(&["INFO", "reloaded log: debug -> warn,catchment=info"]);
    std::fs::write(mounted.join("d.yaml"), "log: loud\n").unwrap();
    catchment.hear(&["ERROR", "d.yaml:1:6 log", "loud"]);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// What comes from a pipe is read once, at the start, and is in force then and after each reload; a pipe that nobody writes to,
/// where a file was, is refused and holds nobody up.
#[test]
fn a_pipe_is_read_once() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    std::fs::write(&file, "log: info\n").unwrap();
    let mut command = command(&["run"]);
    for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
        command.args([door, "127.0.0.1:0"]);
    }
    command.args(["--config", "/dev/stdin", "--config", file.to_str().unwrap(), "--watch=50ms"]);
    let (read, mut write) = std::io::pipe().unwrap();
    let rule = "{name: piped, match: {metric: a}, without: [pod]}";
    write!(write, "interval: 100ms\nrules: [{rule}]\n").unwrap();
    drop(write);
    command.stdin(read);
    let mut catchment = Catchment::spawn(command);
    let mut admin = catchment.admin();
    let has_rule = |admin: &mut Http| admin.get("/rules").text().contains("piped");
    assert!(has_rule(&mut admin), "it was read");
    std::fs::write(&file, "log: debug\n").unwrap();
    catchment.hear(&["INFO", "reloaded log: info -> debug"]);
    let reply = reload(&mut admin);
    assert_eq!((reply.status, listed(&reply, "applied").len()), (200, 0), "{reply:?}");
    assert!(has_rule(&mut admin), "it is what it gave");
    std::fs::remove_file(&file).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("only a regular file is read"), "{reply:?}");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "log: info\n").unwrap();
    until("a reload", || (reload(&mut admin).status == 200).then_some(()));
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// A signal that ends the process does so, however many came before it that read settings again.
#[test]
fn the_end_comes_behind_hundreds_of_reloads() {
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    std::fs::write(&file, "interval: 100ms\nlog: info\n").unwrap();
    let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--watch=50ms"]);
    let (id, all) = (catchment.id(), "for n in $(seq 500); do kill -s HUP");
    let sent = std::process::Command::new("sh").args(["-c", &format!("{all} {id}; done; kill -s TERM {id}")]).status();
    assert!(sent.unwrap().success());
    let ended = catchment.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
    assert!(!ended.stderr.contains("the end takes longer"), "{ended:?}");
}

/// Who waits for a reload when the process is told to end is answered, and the end waits for no reading.
#[test]
fn who_waits_for_a_reload_is_answered_at_the_end() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/c.yaml", server.local_addr().unwrap());
    let (asked, is_asked) = std::sync::mpsc::channel();
    // the first one who asks is answered, the second one never
    let answering = std::thread::spawn(move || {
        let mut stream = server.accept().unwrap().0;
        let text = "interval: 100ms\n";
        let length = text.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}").unwrap();
        let second = server.accept().unwrap().0;
        asked.send(()).unwrap();
        (stream, second)
    });
    let catchment = Catchment::start(&["--config", &url]);
    let mut admin = catchment.admin();
    let reply = std::thread::spawn(move || reload(&mut admin));
    is_asked.recv().unwrap();
    let held = answering.join().unwrap();
    let ended = catchment.terminate();
    let reply = reply.join().unwrap();
    assert!(reply.status == 503 && reply.text().contains("the process ends"), "{reply:?}");
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
    drop(held);
}

/// What is refused because of a file that it names is tried again, though no file that is looked at changes.
#[test]
fn what_is_refused_is_tried_again() {
    let folder = Folder::new();
    let (file, headers) = (folder.path("c.yaml"), folder.path("headers"));
    std::fs::write(&file, "interval: 100ms\n").unwrap();
    let mut catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--watch=50ms"]);
    let url = format!("otlp-http://127.0.0.1:9?name=late&headers={}", headers.display());
    std::fs::write(&file, format!("interval: 100ms\nout: ['{url}']\n")).unwrap();
    catchment.hear(&["ERROR", "the settings are wrong"]);
    std::fs::write(&headers, "a=b\n").unwrap();
    catchment.hear(&["INFO", "reloaded out:", "new late"]);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// A file that is empty now takes nothing away, wherever it stands; one that was always empty is no problem, and rules are taken
/// away by saying so.
#[test]
fn a_file_that_says_nothing_any_more_is_refused() {
    let folder = Folder::new();
    let (first, second) = (folder.path("a.yaml"), folder.path("b.yaml"));
    std::fs::write(&first, "# settings are in the other one\n").unwrap();
    let rules = "interval: 100ms\nrules: [{name: kept, match: {metric: a}, without: [pod]}]\n";
    std::fs::write(&second, rules).unwrap();
    // both are called `yaml`
    let inline = ["--config", "yaml:{log: info}", "--config", "yaml:"];
    let catchment = Catchment::start(&[&["--config", folder.0.to_str().unwrap()][..], &inline].concat());
    let mut admin = catchment.admin();
    let reply = reload(&mut admin);
    assert_eq!(reply.status, 200, "{reply:?}");
    for text in ["", "\n\n", "# rules\n", "---\n"] {
        std::fs::write(&second, text).unwrap();
        let reply = reload(&mut admin);
        let said =
            reply.text().contains("b.yaml:1:1: this says nothing any more") && reply.text().contains("`rules: []`");
        assert!(reply.status == 400 && said, "{text:?}: {reply:?}");
        assert!(admin.get("/rules").text().contains("kept"));
    }
    std::fs::write(&second, "rules: []\n").unwrap();
    let reply = reload(&mut admin);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(listed(&reply, "applied")[0].2, "0 (gone kept)", "{reply:?}");
    // it says something still; without it nothing is said, and nobody misses it
    std::fs::remove_file(&second).unwrap();
    assert_eq!(reload(&mut admin).status, 200);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

fn points(resource: &[(&str, &str)], n: usize) -> Vec<u8> {
    let all = (0..n).map(|i| number(&[("k", &i.to_string())], 1, 2, int(1))).collect();
    let mut request = request_of("svc", vec![sum("m", 1, true, all)]);
    let attributes = &mut request.resource_metrics[0].resource.as_mut().unwrap().attributes;
    resource.iter().for_each(|(key, value)| attributes.push(attribute(key, value)));
    request.encode_to_vec()
}

/// Which of several senders counts is exchanged at a cut, between two requests, on connections that stay open; what each plan
/// put aside is in the ledger by name, whatever is gone.
#[test]
fn who_counts_is_exchanged_and_counted() {
    const REQUESTS: u64 = 7;
    let folder = Folder::new();
    let file = folder.path("c.yaml");
    let dedup = |name: &str| format!("dedup: [{{name: {name}, match: {{resource: {{c: '*'}}}}, by: [r], per: [c]}}]\n");
    let plans = [String::new(), dedup("first"), dedup("second"), String::new(), dedup("first")];
    let text = |plan: &str| format!("interval: 100ms\nfeature-gates: [+dedup]\n{plan}");
    for shards in ["1", "2"] {
        std::fs::write(&file, text("")).unwrap();
        let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", shards]);
        let mut admin = catchment.admin();
        let mut senders: Vec<(Vec<u8>, Http)> =
            ["a", "b"].map(|r| (points(&[("c", "x"), ("r", r)], 3), catchment.http())).into();
        let mut discarded = 0;
        for plan in &plans {
            std::fs::write(&file, text(plan)).unwrap();
            assert_eq!(reload(&mut admin).status, 200);
            for _ in 0..REQUESTS {
                for (body, http) in &mut senders {
                    assert_eq!(http.export(body).unwrap().status, 200, "on the connection of the first one");
                }
            }
            discarded += if plan.is_empty() { 0 } else { 3 * REQUESTS };
            let ledger = admin.get("/ledger").json();
            assert!(ledger["balanced"] == true, "{ledger}");
            assert_eq!(ledger["discarded"]["dedup"].as_u64().unwrap_or(0), discarded, "{ledger}");
        }
        until("a cut", || (admin.get("/ledger").json()["open"] == 0).then_some(()));
        let ledger = admin.get("/ledger").json();
        assert_eq!(ledger["discarded_by_dedup"]["first"], 2 * 3 * REQUESTS, "{ledger}");
        assert_eq!(ledger["discarded_by_dedup"]["second"], 3 * REQUESTS, "{ledger}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
    }
}

/// Points of 1 of three metrics, and of each pod its own.
fn of_pod(pod: usize) -> Vec<u8> {
    let pod = format!("pod-{pod}");
    let metric = |name: &str, n: usize| {
        let all = (0..n).map(|i| number(&[("pod", &pod), ("k", &i.to_string())], 1, 2, int(1))).collect();
        sum(name, 1, true, all)
    };
    request_of("svc", vec![metric("stays", 3), metric("changes", 4), metric("dropped", 5)]).encode_to_vec()
}

/// What left of a metric, as deltas.
fn left(path: &Path, metric: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let mut all = 0;
    for line in text.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let lists = |value: &serde_json::Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let scopes = lists(&request, "resourceMetrics").into_iter().flat_map(|one| lists(&one, "scopeMetrics"));
        for one in scopes.flat_map(|scope| lists(&scope, "metrics")).filter(|one| one["name"] == metric) {
            let points = lists(&one["sum"], "dataPoints");
            all += points
                .iter()
                .map(|point| point["asInt"].as_str().map_or(0, |n| n.parse::<u64>().unwrap()))
                .sum::<u64>();
        }
    }
    all
}

/// Rules are added, changed and taken away while four clients send: no connection is closed, each point leaves once, as itself
/// or in an output, or is counted as dropped, and a rule that stays as it is has all of its points.
#[test]
fn reloads_under_load_lose_and_double_nothing() {
    const SENDERS: usize = 4;
    let (runs, reloads) = if full() { (40, 25) } else { (1, 10) };
    let stays = "- {name: stays, match: {metric: stays}, without: [pod]}";
    let others = [
        "",
        "- {name: changes, match: {metric: changes}, without: [pod]}",
        "- {name: changes, match: {metric: changes}, by: []}\n- {name: dropped, match: {metric: dropped}, action: drop}",
        "- {name: dropped, match: {metric: dropped, attributes: {k: '1'}}, action: drop}",
        "- {name: renamed, match: {metric: changes}, without: [pod]}\n- {name: dropped, match: {metric: dropped}, action: drop}",
    ];
    for run in 0..runs {
        let folder = Folder::new();
        let (file, out) = (folder.path("c.yaml"), folder.path("out.jsonl"));
        let text = |n: usize| {
            // above the one that stays, or behind it
            let other = others[n % others.len()];
            let rules = if n.is_multiple_of(2) { format!("{other}\n{stays}") } else { format!("{stays}\n{other}") };
            format!("interval: 100ms\nrules:\n{rules}\n")
        };
        std::fs::write(&file, text(0)).unwrap();
        let to = format!("file:{}?temporality=delta", out.display());
        let shards = ["1", "2"][run % 2];
        let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--out", &to, "--shards", shards]);
        let (mut admin, is_over) = (catchment.admin(), AtomicBool::new(false));
        let sent: u64 = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|pod| {
                    let (mut http, is_over) = (catchment.http(), &is_over);
                    scope.spawn(move || {
                        let (body, mut sent) = (of_pod(pod), 0);
                        while !is_over.load(Relaxed) {
                            assert_eq!(http.export(&body).unwrap().status, 200, "on one connection");
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            for n in 1..=reloads {
                std::fs::write(&file, text(n)).unwrap();
                let reply = reload(&mut admin);
                assert_eq!(reply.status, 200, "{n}: {reply:?}");
                let ledger = admin.get("/ledger").json();
                assert_eq!(ledger["balanced"], true, "{n}: {ledger}");
            }
            is_over.store(true, Relaxed);
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        });
        let mut ledger = admin.get("/ledger").json();
        assert_eq!(ledger["received"], sent * 12, "{ledger}");
        let discarded = ledger["discarded"]["rule"].take().as_u64().unwrap_or(0);
        assert_eq!(ledger["discarded_by_rule"]["dropped"], discarded, "{ledger}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
        assert_eq!(left(&out, "stays"), sent * 3);
        assert_eq!(left(&out, "changes"), sent * 4);
        assert_eq!(left(&out, "dropped") + discarded, sent * 5);
    }
}

/// A file that cannot be written is found before anything changes, as at the start; one that can is there.
#[test]
fn files_of_other_destinations_are_tried_first() {
    let folder = Folder::new();
    let (file, new, none) = (folder.path("c.yaml"), folder.path("new.jsonl"), folder.path("none/x"));
    let write =
        |out: &Path| std::fs::write(&file, format!("interval: 100ms\nout: 'file:{}'\n", out.display())).unwrap();
    std::fs::write(&file, "interval: 100ms\n").unwrap();
    let catchment = Catchment::start(&["--config", file.to_str().unwrap()]);
    let mut admin = catchment.admin();
    write(&none);
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("none/x"), "{reply:?}");
    assert!(admin.get("/ledger").json()["destinations"].as_object().unwrap().is_empty());
    write(&new);
    let reply = reload(&mut admin);
    assert_eq!((reply.status, &*listed(&reply, "applied")[0].0, new.exists()), (200, "out", true), "{reply:?}");
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}
