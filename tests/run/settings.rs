//! Settings from files, as an operator gives them: `--config`, `check` and `config`.

use crate::binary::process::{Catchment, Ended, Folder, command, output, until, wall_ns};
use crate::common::{int, number, request, sum};
use prost::Message as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

fn write(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let path = folder.path(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn check(words: &[&str]) -> Ended {
    output(command(&[&["check"], words].concat()))
}

/// A fleet's file runs: doors, interval and destinations are as it says; a flag wins over it, and a variable too.
#[test]
fn what_a_flag_says_a_file_can_say() {
    let folder = Folder::new();
    let out = folder.path("out.jsonl");
    let text = format!(
        "otlp-grpc: 127.0.0.1:0\notlp-http: 127.0.0.1:0\nprometheus: off\nadmin: 127.0.0.1:0\ninterval: 1h\nshards: 2\npin: off\nout:\n  - url: file:{}\n    name: archive\n",
        out.display()
    );
    let path = write(&folder, "fleet.yaml", &text);
    let mut command = command(&["run", "--config", path.to_str().unwrap(), "--interval", "100ms"]);
    command.env("CATCHMENT_SHARDS", "1");
    let catchment = Catchment::spawn(command);
    assert!(catchment.ports.prometheus.is_none(), "{}", catchment.banner);
    assert!(catchment.banner.contains("shards  1 "), "the variable wins over the file: {}", catchment.banner);
    let body = request(vec![sum("settings.seen", 1, true, vec![number(&[], 1, wall_ns(), int(7))])]).encode_to_vec();
    assert_eq!(catchment.http().export(&body).unwrap().status, 200);
    // the flag's interval, not the file's hour
    until("the point leaves", || std::fs::read_to_string(&out).ok().filter(|text| text.contains("settings.seen")));
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0);
    assert!(ended.ledger().contains("archive: encoded 1 = delivered 1"), "{}", ended.ledger());
}

/// Names that somebody chose stand for themselves; two of one name are refused where they stand.
#[test]
fn destinations_have_names() {
    let folder = Folder::new();
    let path = write(&folder, "f.yaml", "out:\n- {url: stdout, name: a}\n- {url: 'file:/tmp/x', name: a}\n");
    let ended = check(&["--config", path.to_str().unwrap()]);
    assert!(ended.code() == 2 && ended.stderr.contains("f.yaml:3:3 out: two destinations are called a"), "{ended:?}");
    let ended = check(&["--out", "stdout?name=a", "--out", "stdout"]);
    assert!(ended.code() == 0 && ended.stdout.contains("to a, stdout, the scrape page\n"), "{ended:?}");
    let ended = check(&["--out", "stdout?name=a/b"]);
    assert!(ended.code() == 2 && ended.stderr.contains("is no name: write 1 to 64 letters"), "{ended:?}");
}

/// Everything that is wrong in all files is told at once, each with file, line, column, what is allowed, and the nearest key.
#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let folder = Folder::new();
    let one = write(&folder, "a.yaml", "intervall: 10s\nmax-body: huge\nshards: 0\npin: maybe\n");
    let two = write(&folder, "b.yaml", "out: [ftp://h]\nadmin: {port: 1}\nexpire: ${env:NO_SUCH_VARIABLE}\n");
    for first in ["run", "check"] {
        let ended = output(command(&[first, "--config", one.to_str().unwrap(), "--config", two.to_str().unwrap()]));
        assert_eq!((ended.code(), &*ended.stdout), (2, ""), "{ended:?}");
        for words in [
            "a.yaml:1:1: unknown key `intervall`: did you mean `interval`?",
            "a.yaml:4:6 pin 'maybe': give on, off, auto",
            "b.yaml:2:8 admin is a mapping here",
            "b.yaml:3:9 expire: the variable NO_SUCH_VARIABLE is not set",
        ] {
            assert!(ended.stderr.contains(words), "{first}: {words}: {}", ended.stderr);
        }
    }
    // what keys are called, and what their values mean
    let one = write(&folder, "a.yaml", "max-body: huge\nshards: 0\nlog: loud\n");
    let two = write(&folder, "b.yaml", "out: [ftp://h]\n");
    let ended = check(&["--config", one.to_str().unwrap(), "--config", two.to_str().unwrap()]);
    for words in [
        "a.yaml:1:11 max-body 'huge' is no size",
        "a.yaml:2:9 shards 0: give a number from 1",
        "a.yaml:3:6 log loud: give off, error",
        "b.yaml:1:7 out ftp://h: ",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert_eq!(ended.code(), 2);
}

/// What cannot be read at all, or would blow up, is refused in words and at once.
#[test]
fn broken_files_are_refused_in_words() {
    let folder = Folder::new();
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(0..30).map(|n| format!("b{n}: &b{n} [*a,*a,*a,*a,*a,*a,*a,*a]\n")).collect::<String>();
    let deep = "[".repeat(200_000);
    for (name, text, words) in [
        ("bomb.yaml", bomb.as_bytes(), "more than 64 aliases"),
        ("deep.yaml", deep.as_bytes(), "nested deeper than 24 levels"),
        ("half.yaml", b"interval: 10s\nout: [\"stdo", "this is not YAML"),
        ("latin.yaml", b"interval: caf\xe9\n", "is no UTF-8 from line 1 on"),
        ("list.yaml", b"- interval\n", "this is not `key: value`"),
        ("two.yaml", b"interval: 1s\n---\ninterval: 2s\n", "a second document begins"),
    ] {
        let path = folder.path(name);
        std::fs::write(&path, text).unwrap();
        let ended = check(&["--config", path.to_str().unwrap()]);
        assert!(ended.code() == 2 && ended.stderr.contains(words) && ended.stderr.contains(name), "{name}: {ended:?}");
    }
    let huge = folder.path("huge.yaml");
    std::fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let ended = check(&["--config", huge.to_str().unwrap()]);
    assert!(ended.code() == 2 && ended.stderr.contains("is longer than 1048576 bytes"), "{ended:?}");
    let absent = folder.path("absent.yaml");
    let ended = check(&["--config", absent.to_str().unwrap()]);
    assert!(ended.code() == 2 && ended.stderr.contains("absent.yaml cannot be read"), "{ended:?}");
}

/// What a rule says that it was, and cannot have been, is a note.
#[test]
fn a_was_without_effect_is_noted() {
    let rules =
        "[{name: a, by: [x]}, {name: b, was: a, by: [x]}, {name: c, was: z, by: [x]}, {name: d, was: z, by: [x]}]";
    let ended = check(&["--config", &format!("yaml:rules: {rules}")]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    for words in ["a rule is called a still", "a rule before it was z, too"] {
        let line = format!("  note: its `was` has no effect: {words}\n");
        assert_eq!(ended.stdout.matches(&line).count(), 1, "{words}: {}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("`was`").count(), 2, "{}", ended.stdout);
}

/// Where results go, and what `dedup` does and costs, stands among what is settled.
#[test]
fn check_says_where_results_go_and_what_dedup_does() {
    let dedup = "[{name: pair, match: {resource: {c: '*'}}, by: [replica], per: [c], failover: 30s}]";
    let ended = check(&["--config", &format!("yaml:feature-gates: +dedup\ndedup: {dedup}"), "--out", "stdout"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    for words in [
        ", every 10s to stdout, the scrape page\n",
        "dedup    pair: of senders that replica tells apart one counts for each c, and another one once it is silent for 30s; \
         deltas of the time between are lost\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
}

/// The settled settings, printed, are a file that gives them again; nothing secret is printed.
#[test]
fn what_check_prints_parses_back_to_itself() {
    let folder = Folder::new();
    let key = write(&folder, "key", "hunter2\n");
    let text = format!(
        "interval: 7s\nout: ['otlp-grpc://h:4317?queue=8MiB', 'file:/tmp/$$x']\nout-header: ['api-key=@{}']\nseries-limit: 10k\n",
        key.display()
    );
    let path = write(&folder, "f.yaml", &text);
    for format in ["yaml", "json"] {
        let first = check(&["--config", path.to_str().unwrap(), "--format", format]);
        assert_eq!(first.code(), 0, "{first:?}");
        assert!(first.stdout.contains("7s") && first.stdout.contains("queue=8MiB"), "{}", first.stdout);
        let printed = write(&folder, "printed.yaml", &first.stdout);
        let again = check(&["--config", printed.to_str().unwrap(), "--format", format]);
        assert_eq!((again.code(), again.stdout), (0, first.stdout), "{}", again.stderr);
    }
}

/// What may be a secret is printed in no format, nor in a problem's words.
#[test]
fn secrets_are_not_printed() {
    let folder = Folder::new();
    let text =
        "out: ['otlp-https://h/ingest/hunter2/v1', stdout]\nout-header: ['api-key=hunter2', 'token=hunter2=@2']\n";
    let path = write(&folder, "f.yaml", text);
    for format in ["text", "yaml", "json"] {
        let ended = check(&["--config", path.to_str().unwrap(), "--format", format]);
        assert!(ended.code() == 0 && ended.stdout.contains("stdout"), "{ended:?}");
        assert!(!ended.stdout.contains("hunter2") && !ended.stderr.contains("hunter2"), "{ended:?}");
        // what is not shown is not lost in silence: such a file is refused
        if format != "text" {
            let printed = write(&folder, "printed.yaml", &ended.stdout);
            let again = check(&["--config", printed.to_str().unwrap()]);
            assert!(again.code() == 2 && again.stderr.contains("(not shown: may hold a secret)"), "{again:?}");
        }
    }
    let path = write(
        &folder,
        "g.yaml",
        "out-header: [['api-key=hunter2'], 'hunter2', {a: hunter2}]\nout: ['otlp-https://me:hunter2@h']\n",
    );
    let ended = check(&["--config", path.to_str().unwrap()]);
    assert!(ended.code() == 2 && ended.stderr.contains("g.yaml:1:14 out-header"), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    for text in [
        "out-header: [hunter2]\nout: ['otlp-https://h']\n",
        "out: ['otlp-https://me:hunter2@h']\n",
        "out-header: ['api-key=${hunter2}']\n",
        "out-header: ['api-key=${env:1hunter2}']\n",
    ] {
        let path = write(&folder, "g.yaml", text);
        let ended = check(&["--config", path.to_str().unwrap()]);
        assert!(ended.code() == 2 && ended.stderr.contains("g.yaml:1:"), "{ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
}

/// The example is a file that runs, and the schema knows each of its keys.
#[test]
fn the_example_is_accepted_and_the_schema_knows_its_keys() {
    let folder = Folder::new();
    let example = output(command(&["config", "example"]));
    assert_eq!(example.code(), 0, "{example:?}");
    let path = write(&folder, "example.yaml", &example.stdout);
    assert_eq!(check(&["--config", path.to_str().unwrap()]).code(), 0);
    // with every rule in use
    let (settings, rules) = example.stdout.split_once("# --- Rules ---\n").unwrap();
    let rules: String = rules.lines().map(|line| line.trim_start_matches('#').replacen(' ', "", 1) + "\n").collect();
    let path = write(&folder, "rules.yaml", &rules);
    let ended = check(&["--config", path.to_str().unwrap()]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let told: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        "noise 2 globs, 1 exception – dropped at the metric's head –",
        "http-by-route 1 name, 1 attribute, 2 kinds without 6, 3 actions same p50 p99 rate(1m) 30s",
        "quantiles: explicit bounds: ± one bucket of the input; exponential: ≤ 9.1 % over six decades",
        "db-pools 1 glob by 4, 1 action by kind 10s",
        "updowncounter, histogram: same; gauge: sum max",
        "login-errors 1 name, 1 attribute by 1, input kept, goes on rate(5m) unique(5m) ±1.6 % topk(5m)+other 10s",
        "pods-away everything else without 3 same 10s",
        "6 rules, ",
    ] {
        let words: Vec<&str> = row.split_whitespace().collect();
        assert!(told.iter().any(|line| line.starts_with(&words)), "{row}: {}", ended.stdout);
    }
    // with every key in use
    let all: String = settings
        .lines()
        .map(|line| {
            match line.strip_prefix("# ").filter(|line| line.split_once(": ").is_some_and(|(key, _)| is_key(key))) {
                Some(line) => format!("{line}\n"),
                None => format!("{line}\n"),
            }
        })
        .collect();
    let keys = all.lines().filter(|line| line.split_once(": ").is_some_and(|(key, _)| is_key(key))).count();
    let schema: serde_json::Value = serde_json::from_str(&output(command(&["config", "schema"])).stdout).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let in_files_alone = ["dedup", "defaults", "rules"].iter().filter(|key| properties.contains_key(**key)).count();
    assert!(
        keys >= 28 && keys + in_files_alone == properties.len() && in_files_alone == 3,
        "{keys} keys, {} in the schema",
        properties.len()
    );
    for line in all.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| is_key(key)) {
        assert!(properties.contains_key(line.0), "{line:?}");
    }
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `env:`, `yaml:`, a folder, and `http:` with its errors.
#[test]
fn settings_come_from_where_a_uri_says() {
    let folder = Folder::new();
    write(&folder, "1.yaml", "interval: 1s\nexpire: 9m\n");
    write(&folder, "2.yaml", "interval: 2s\n");
    let printed = |words: &[&str], variable: Option<&str>| {
        let mut command = command(&[&["check", "--format", "yaml"], words].concat());
        if let Some(value) = variable {
            command.env("SETTINGS", value);
        }
        output(command)
    };
    let dir = folder.path("");
    let got = printed(&["--config", dir.to_str().unwrap()], None);
    assert!(got.stdout.contains("interval: 2s") && got.stdout.contains("expire: 9m"), "{got:?}");
    let got = printed(&["--config", "env:SETTINGS", "--config", "yaml:{expire: 8m}"], Some("interval: 3s\n"));
    assert!(got.stdout.contains("interval: 3s") && got.stdout.contains("expire: 8m"), "{got:?}");
    // on the command line a text may have several lines, whatever the variable says; there each is one
    for flag in ["--config", "-c"] {
        let mut command = command(&["check", "--format", "yaml", flag, "yaml:interval: 5s\nexpire: 7m\n"]);
        command.env("CATCHMENT_CONFIG", "absent.yaml");
        let got = output(command);
        assert!(got.stdout.contains("interval: 5s") && got.stdout.contains("expire: 7m"), "{got:?}");
    }
    let mut command = command(&["check", "--format", "yaml"]);
    command.env("CATCHMENT_CONFIG", "yaml:interval: 6s\nyaml:expire: 6m");
    let got = output(command);
    assert!(got.stdout.contains("interval: 6s") && got.stdout.contains("expire: 6m"), "{got:?}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet.yaml?token=secret", listener.local_addr().unwrap());
    let serve = std::thread::spawn(move || {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\ninterval: 4s\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ] {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
        }
    });
    let got = printed(&["--config", &url], None);
    assert!(got.stdout.contains("interval: 4s"), "{got:?}");
    let got = printed(&["--config", &url], None);
    serve.join().unwrap();
    assert!(got.code() == 2 && got.stderr.contains("fleet.yaml cannot be fetched (http status: 404)"), "{got:?}");
    assert!(!got.stderr.contains("secret"), "{got:?}");
}

/// What a run would refuse for what the machine has, `check` refuses, too; and it writes nothing.
#[test]
fn check_refuses_what_a_run_would() {
    let folder = Folder::new();
    let dir = folder.path("");
    let dir = dir.to_str().unwrap();
    for (text, words) in [
        (format!("capture: {dir}absent/x\n"), "f.yaml:1:10 capture"),
        (format!("ports-file: {dir}\n"), "f.yaml:1:13 ports-file"),
        (format!("out: ['file:{dir}absent/x']\n"), "f.yaml:1:7 out file:"),
        (format!("out: [{}]\n", ["stdout"; 900].join(",")), "f.yaml:1:119 out: 900 destinations, at most 16"),
        (format!("allowed-host: [{}]\n", ["a"; 1_001].join(",")), "has 1001 values, 1000 are the most"),
        ("connections: 900k\nmemory-limit: 64MiB\n".to_owned(), "f.yaml:"),
    ] {
        let path = write(&folder, "f.yaml", &text);
        let ended = check(&["--config", path.to_str().unwrap()]);
        assert!(ended.code() == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
    }
    let path =
        write(&folder, "f.yaml", &format!("capture: {dir}here\nout: ['file:{dir}out']\nports-file: {dir}ports\n"));
    assert_eq!(check(&["--config", path.to_str().unwrap()]).code(), 0);
    let there = std::fs::read_dir(dir).unwrap().count();
    assert_eq!(there, 1, "only the file of settings");
}

/// Rules are checked with all other settings, at once, and printed as a file that gives them again.
#[test]
fn rules_are_checked_with_all_other_settings() {
    let folder = Folder::new();
    let text = "max-body: huge\nrules:\n- name: a\n  witout: [pod]\n- name: b\n  outputs: {gauge: [same]}\nshards: 0\n";
    let path = write(&folder, "f.yaml", text);
    let ended = check(&["--config", path.to_str().unwrap()]);
    let told: Vec<&str> = ended.stderr.lines().map(|line| line.split("f.yaml:").nth(1).unwrap()).collect();
    let want = [
        "1:11 max-body 'huge' is no size",
        "4:3 rules[0] \"a\": unknown key \"witout\": did you mean \"without\"?",
        "6:21 rules[1] \"b\": outputs.gauge: \"same\": a gauge has no merge of its own",
        "7:9 shards 0: give a number from 1",
    ];
    assert!(told.len() == 4 && told.iter().zip(want).all(|(told, want)| told.starts_with(want)), "{}", ended.stderr);

    let text = "defaults: {stale: 90s}\nrules:\n- name: a\n  match: {metric: '*', attributes: {x: '~a$$'}}\n  without: [pod]\n";
    let path = write(&folder, "f.yaml", text);
    let more = write(&folder, "g.yaml", "rules: [{name: b, attributes: [{map: {key: k, values: {z: 1, a: 2}}}]}]\n");
    for format in ["yaml", "json"] {
        let files = ["--config", path.to_str().unwrap(), "--config", more.to_str().unwrap()];
        let first = check(&[&files[..], &["--format", format]].concat());
        assert!(first.code() == 0 && first.stdout.contains("90s") && first.stdout.contains("~a$$"), "{first:?}");
        let printed = write(&folder, "printed.yaml", &first.stdout);
        let again = check(&["--config", printed.to_str().unwrap(), "--format", format]);
        assert_eq!((again.code(), again.stdout), (0, first.stdout), "{}", again.stderr);
    }
    for (flag, words) in [("--without={", "--without { has a `{`"), ("--gauges=avg", "--gauges avg: this says")] {
        let ended = check(&[flag]);
        assert!(ended.code() == 2 && ended.stderr.contains(words), "{ended:?}");
    }
    let ended = check(&["--without=k8s.pod.*,id", "--gauges=avg,max"]);
    assert!(ended.code() == 0 && ended.stdout.contains("gauge: avg max"), "{ended:?}");
}

/// Gates are settings: given anywhere, refused where they are unknown, and listed.
#[test]
fn features_have_gates() {
    let listed = output(command(&["features", "--format", "json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let text = output(command(&["features"]));
    for feature in listed["features"].as_array().unwrap() {
        let name = feature["name"].as_str().unwrap();
        assert!(text.code() == 0 && text.stdout.contains(name), "{text:?}");
        let is_free = matches!(feature["stage"].as_str().unwrap(), "alpha" | "beta");
        let sign = if feature["on"] == true { "-" } else { "+" };
        let ended = check(&["--feature-gates", &format!("{sign}{name}")]);
        assert_eq!(ended.code() == 0, is_free, "{ended:?}");
    }
    let ended = check(&["--feature-gates=+frobnicate"]);
    let words = "--feature-gates +frobnicate: there is no feature `frobnicate`: `catchment features` has all there are";
    assert!(ended.code() == 2 && ended.stderr.contains(words), "{ended:?}");
    let folder = Folder::new();
    let path = write(&folder, "f.yaml", "feature-gates: [-rules]\nrules: [{name: a, without: [b]}]\n");
    let ended = check(&["--config", path.to_str().unwrap()]);
    let words = "f.yaml:1:17 feature-gates: there are rules, and the feature `rules` is off";
    assert!(ended.code() == 2 && ended.stderr.contains(words), "{ended:?}");
}

/// What the README says of rules can be meant.
#[test]
fn the_rules_of_the_readme_are_accepted() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("### Rules\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let folder = Folder::new();
    let mut read = 0;
    for block in section.split("```yaml\n").skip(1) {
        let path = write(&folder, "readme.yaml", block.split("```").next().unwrap());
        let ended = check(&["--config", path.to_str().unwrap()]);
        assert!(ended.code() == 0, "{block}: {ended:?}");
        read += 1;
    }
    assert_eq!(read, 2);
    // each key and each word of an output has its line
    let schema: serde_json::Value = serde_json::from_str(&output(command(&["config", "schema"])).stdout).unwrap();
    let keys = schema["properties"]["rules"]["items"]["properties"].as_object().unwrap();
    let unsaid: Vec<&String> = keys.keys().filter(|key| *key != "time" && !section.contains(key.as_str())).collect();
    assert!(keys.len() > 12 && unsaid.is_empty(), "{unsaid:?}");
}

/// What becomes of a series is told rule by rule, before anything runs.
#[test]
fn a_series_is_explained() {
    let folder = Folder::new();
    let rules = "rules:
- {name: noise, match: {metric: '*.debug.*'}, action: drop}
- name: http
  match: {metric: http.*, kind: histogram}
  attributes: [{class: code}]
  without: [k8s.pod.*, scope.version]
  outputs: [same, p99]
- {name: rest, match: {metric: '*'}, without: [k8s.pod.*]}
";
    let path = write(&folder, "f.yaml", rules);
    let explain = |words: &[&str]| output(command(&[&["explain", "--config", path.to_str().unwrap()], words].concat()));
    let series = "http.duration{code=503} @ k8s.pod.name=web-7,env=prod,scope.name=lib,scope.version=2";
    let ended = explain(&[series]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    for words in [
        "as a histogram (--kind says another)\n",
        "noise  no: metric is not *.debug.*\n",
        "http   yes, takes it\n",
        "503            → 5xx\n",
        "→ http.duration.p99{code=\"5xx\"} @ scope.name=lib,env=prod  p99: gauge",
        "rules behind http do not see it\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    // a counter is another matter
    let ended = explain(&["--kind", "counter", "--format", "json", series]);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let answers: Vec<_> =
        told["rules"].as_array().unwrap().iter().map(|rule| rule["answer"].as_str().unwrap()).collect();
    assert_eq!((answers, &told["outcome"]), (vec!["no", "no", "takes"], &"hidden".into()), "{}", ended.stdout);
    assert!(explain(&["a.debug.b"]).stdout.ends_with("its points are dropped\n"));
    let ended = explain(&["http{code=1"]);
    assert!(ended.code() == 2 && ended.stderr.contains("is no series"), "{ended:?}");
}

/// What a destination chooses is checked: no series would go elsewhere than the file says.
#[test]
fn what_a_destination_chooses_is_checked() {
    let folder = Folder::new();
    let text = "out:
- {url: stdout, input: true, rules: all}
- {url: 'file:/tmp/x', match: {metric: '~('}, rules: [b]}
rules: [{name: a, without: [b]}]
";
    let path = write(&folder, "f.yaml", text);
    let ended = check(&["--config", path.to_str().unwrap()]);
    for words in [
        "f.yaml:3:40 out: match.metric: \"~(\" is no regular expression",
        "f.yaml:3:55 out: rules[0]: there is no rule \"b\"",
    ] {
        assert!(ended.code() == 2 && ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("f.yaml:2:"), "all is what everybody gets: {}", ended.stderr);
    // a flag is another destination
    assert_eq!(check(&["--config", path.to_str().unwrap(), "--out", "stdout"]).code(), 0);
    let text = "out: [{url: stdout, match: {metric: 'a*'}, except: {unit: s}, rules: [a], input: false}]
rules: [{name: a, without: [b]}]
";
    let path = write(&folder, "f.yaml", text);
    assert_eq!(check(&["--config", path.to_str().unwrap()]).code(), 0);
    // what is printed gives the same again
    for format in ["yaml", "json"] {
        let printed = check(&["--config", path.to_str().unwrap(), "--format", format]);
        let again = write(&folder, &format!("again.{format}"), &printed.stdout);
        let told = check(&["--config", again.to_str().unwrap(), "--format", format]);
        assert_eq!((told.code(), &told.stdout), (0, &printed.stdout), "{}", told.stderr);
        for words in ["a*", "except", "input", "stdout"] {
            assert!(told.stdout.contains(words), "{words}: {}", told.stdout);
        }
    }
}
