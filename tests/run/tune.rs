//! `catchment tune`, `--capture` and `--tuning` in the built binary, on this machine, in small sizes.

use crate::binary;

use crate::binary::process::{Catchment, Folder, command, output, samples, signal, total, until};
use crate::common::*;
use prost::Message;
use std::path::Path;
use std::process::Stdio;

/// Requests that go in by both doors are in the file as they were applied; a malformed one is not, and the limit holds.
#[test]
fn requests_are_recorded_as_applied_and_the_capture_can_be_tuned_on() {
    let folder = Folder::new();
    let path = folder.path("traffic");
    let capture = path.display().to_string();
    let server = Catchment::start(&["--capture", &capture, "--capture-limit", "1MiB", "--shards", "2"]);
    let body = |n: u64| {
        let points =
            vec![number(&[("k", "v")], START, START + n, int(3)), number(&[("k", "w")], START, START + n, int(4))];
        request_of("svc", vec![sum("m", 1, true, points)]).encode_to_vec()
    };
    let (mut http, grpc) = (server.http(), server.grpc());
    for n in 1..=3 {
        assert_eq!(http.export(&body(n)).unwrap().status, 200);
    }
    assert_eq!(http.export(b"\xff\xff").unwrap().status, 400);
    grpc.export(&body(4)).unwrap();
    drop((http, grpc));
    let ended = server.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stderr.contains("4 requests") && ended.stderr.contains("; 0 dropped"), "{ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
    let read = catchment::capture::read(Path::new(&path)).unwrap();
    assert_eq!(read.torn_at, None);
    let mut bodies: Vec<_> = read.requests.iter().map(|recorded| recorded.body.clone()).collect();
    bodies.sort_unstable();
    let mut want: Vec<_> = (1..=4).map(body).collect();
    want.sort_unstable();
    assert_eq!(bodies, want);

    // in process at one and two shards, whatever this machine has
    let result = folder.path("tuning.json").display().to_string();
    let (svg, png) = (folder.path("c.svg").display().to_string(), folder.path("c.png").display().to_string());
    let small = ["tune", "--capture", &capture, "--rounds", "1", "--duration", "60ms", "--json"];
    let more = ["--source", "memory", "--max", "2", "--save", &result, "--chart", &svg, "--chart", &png];
    let ended = output(command(&[&small[..], &more].concat()));
    assert_eq!(ended.code(), 0, "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["source"], "in process");
    let counts: Vec<_> = json["rounds"].as_array().unwrap().iter().map(|r| r["shards"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2]);
    for round in json["rounds"].as_array().unwrap() {
        assert!(round["points_per_s"].as_f64().unwrap() > 0.0 && round["p99_us"].is_null(), "{round}");
    }
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));

    // the result is used here, and ignored with a warning where the processor is another
    let recommended = json["recommended"].as_u64().unwrap();
    let run = |tuning: &str| {
        let server = Catchment::start(&["--tuning", tuning]);
        let banner = server.banner.clone();
        assert_eq!(server.terminate().code(), 0);
        banner
    };
    assert!(run(&result).contains(&format!("shards  {recommended} ")));
    let mut elsewhere: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    elsewhere["processor"] = "Another CPU".into();
    elsewhere["recommended"] = 77.into();
    std::fs::write(&result, elsewhere.to_string()).unwrap();
    let cores = std::thread::available_parallelism().unwrap();
    let banner = run(&result);
    assert!(banner.contains(&format!("shards  {cores} ")), "{banner}");
    assert!(banner.contains("warning: --tuning") && banner.contains("Another CPU"), "{banner}");
    std::fs::write(&result, "{}").unwrap();
    let ended = output(command(&["run", "--tuning", &result]));
    assert!(ended.code() == 2 && ended.stderr.contains("no tuning result"), "{ended:?}");
}

/// A capture that cannot be written is refused at the start; one that fails later is warned of at once, and once, while the
/// server goes on. The metrics page tells how it stands.
#[test]
fn a_capture_that_cannot_be_written_is_told_at_once() {
    let folder = Folder::new();
    let [full, path] = ["full", "traffic"].map(|name| folder.path(name).display().to_string());
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let doors = ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"].map(|door| [door, "127.0.0.1:0"]).concat();
    let ended = output(command(&[&["run", "--capture", &full], &doors[..]].concat()));
    let words = format!("--capture {full}: cannot be written (");
    assert!(ended.code() == 2 && ended.stderr.contains(&words), "{ended:?}");
    assert!(Path::new(&full).is_symlink());

    // no file may grow over a block, which the ports file and a small request stay below
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_catchment")]);
    shell.args(["run", "--capture", &path]).args(doors);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Catchment::spawn(shell);
    let (mut http, mut admin) = (server.http(), server.admin());
    let mut progress = || {
        let samples = samples(admin.get("/metrics").text());
        ["requests_total", "requests_dropped_total", "running"]
            .map(|name| total(&samples, &format!("catchment_capture_{name}")))
    };
    let body = |value: &str| {
        let points = vec![number(&[("k", value)], START, START + 1, int(3))];
        request_of("svc", vec![sum("m", 1, true, points)]).encode_to_vec()
    };
    assert_eq!(progress(), [0.0, 0.0, 1.0]);
    assert_eq!(http.export(&body("small")).unwrap().status, 200);
    until("the small request in the file", || (progress() == [1.0, 0.0, 1.0]).then_some(()));
    assert_eq!(http.export(&body(&"large".repeat(1000))).unwrap().status, 200);
    server.hear(&["WARN", "the capture cannot be written", &path]);
    assert_eq!(progress(), [1.0, 0.0, 0.0]);
    assert_eq!(http.export(&body("small")).unwrap().status, 200);
    drop((http, admin));
    let ended = server.terminate();
    assert!(ended.code() == 1 && ended.ledger().ends_with("balanced"), "{ended:?}");
    assert_eq!(ended.stderr.matches("the capture cannot be written").count(), 1, "{ended:?}");
    assert_eq!(catchment::capture::read(Path::new(&path)).unwrap().requests[0].body, body("small"));
}

/// T30-like: a file that is no capture, or a damaged one, is an error with words.
#[test]
fn a_hostile_capture_is_an_error_with_words() {
    let folder = Folder::new();
    let path = folder.path("bad");
    for (bytes, words) in [
        (&b""[..], "too few"),
        (b"{\"resourceMetrics\":[]}", "no capture"),
        (b"CATCHCAP\x02\0\0\0", "another version"),
        (b"CATCHCAP\x01\0\0\0", "no request in it"),
        (b"CATCHCAP\x01\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0abc", "no request in it"),
        (b"CATCHCAP\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a", "CRC"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let ended = output(command(&["tune", "--source", "memory", "--capture", &path.display().to_string()]));
        assert!(ended.code() == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
}

/// A capture of one small request, for tests that replay whatever there is.
fn small_capture(folder: &Folder) -> String {
    let path = folder.path("traffic");
    let (recorder, tap) = catchment::capture::Recorder::start(&path, 1 << 20).unwrap();
    let points = vec![number(&[("k", "v")], START, START + 1, int(3))];
    let body = request_of("svc", vec![sum("m", 1, true, points)]).encode_to_vec();
    tap.record(catchment::model::Door::OtlpHttp.into(), 1, &body);
    drop(tap);
    assert_eq!(recorder.finish().unwrap().requests, 1);
    path.display().to_string()
}

/// A result that took minutes is shown before any file is written; each file is tried, and those that fail are named and
/// leave nothing behind.
#[test]
fn a_file_that_cannot_be_written_costs_no_result() {
    let folder = Folder::new();
    let capture = small_capture(&folder);
    let files = ["full.svg", "c.svg", "c.png", "tuning.json"].map(|name| folder.path(name).display().to_string());
    let [full, svg, png, save] = files.each_ref().map(String::as_str);
    std::os::unix::fs::symlink("/dev/full", full).unwrap();
    let small =
        ["tune", "--capture", &capture, "--rounds", "1", "--duration", "50ms", "--source", "memory", "--max", "1"];
    let outputs = ["--chart", full, "--chart", svg, "--chart", png, "--save", save];
    let words = [&small[..], &outputs].concat();
    let check = |ended: &binary::process::Ended, failed: &[String]| {
        assert!(ended.code() == 1 && ended.stdout.contains("recommended: --shards 1"), "{ended:?}");
        for path in &files {
            let flag = if path == save { "--save" } else { "--chart" };
            let named = ended.stderr.contains(&format!("catchment: {flag} {path}: "));
            assert_eq!(named, failed.contains(path), "{path}: {ended:?}");
        }
    };
    // no file may grow: whatever is regular fails in the middle
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_catchment")]).args(&words);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    std::fs::write(svg, "an older one").unwrap();
    check(&output(shell), &files);
    assert_eq!(std::fs::read(svg).unwrap(), b"an older one");
    assert_eq!(folder.path("").read_dir().unwrap().count(), 3, "the capture, the link and the older chart");
    // the disk is full for one
    check(&output(command(&words)), &files[..1]);
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
    assert!(std::fs::read_to_string(save).unwrap().contains("recommended"));
    assert!(Path::new(full).is_symlink(), "written through");
    assert_eq!(folder.path("").read_dir().unwrap().count(), 5, "no temporary file");
}

/// What is wrong with the command line is found before anything is started or said.
#[test]
fn bad_usage_is_all_that_is_said() {
    let folder = Folder::new();
    std::os::unix::fs::symlink(folder.path("nowhere"), folder.path("link")).unwrap();
    let [link, missing] = ["link", "missing"].map(|name| folder.path(name).display().to_string());
    for (flags, code, words) in [
        (&["--series", "99999999999"][..], 2, "--series 99999999999"),
        (&["--preset", "gateway", "--series", "99999999999", "--scaling"], 2, "--series 99999999999"),
        (&["--save", &link], 2, "--save"),
        (&["--capture", &missing], 2, "missing: cannot be read ("),
        (&["--capture", &missing, "--source", "memory"], 2, "missing: cannot be read ("),
        (&["--capture", &missing, "--scaling"], 2, "missing: cannot be read ("),
    ] {
        let ended = output(command(&[&["tune"], flags].concat()));
        assert!(ended.code() == code && ended.stderr.contains(words), "{flags:?}: {ended:?}");
        assert!(ended.stdout.is_empty() && ended.stderr.lines().count() == 1, "{flags:?}: {ended:?}");
    }
    assert_eq!(folder.path("").read_dir().unwrap().count(), 1);
}

/// Over sockets, where there are two cores: the real server, the real generator, then the replayer.
#[test]
fn sockets_are_measured_where_there_is_a_core_for_the_generator() {
    let small = ["tune", "--rounds", "1", "--duration", "60ms", "--json", "--max", "1", "--source", "sockets"];
    let ended = output(command(&[&small[..], &["--series", "2000"]].concat()));
    if std::thread::available_parallelism().unwrap().get() < 2 {
        assert!(ended.code() == 1 && ended.stderr.contains("core of its own"), "{ended:?}");
        return;
    }
    let check = |ended: &binary::process::Ended| {
        assert_eq!(ended.code(), 0, "{ended:?}");
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let round = &json["rounds"][0];
        assert_eq!(
            (&json["source"], &json["recommended"], &round["shards"]),
            (&"sockets".into(), &1.into(), &1.into())
        );
        assert!(round["points_per_s"].as_f64().unwrap() > 0.0 && round["p99_us"].as_f64().unwrap() > 0.0, "{round}");
        assert!(round["rss_bytes"].as_u64().unwrap() > 1 << 20, "{round}");
    };
    check(&ended);
    for preset in ["sdk-fleet", "churn"] {
        let ended = output(command(&[&small[..], &["--preset", preset, "--series", "2000"]].concat()));
        check(&ended);
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(json["traffic"], format!("preset {preset}, 2000 series"));
    }
    let folder = Folder::new();
    let capture = folder.path("traffic").display().to_string();
    let server = Catchment::start(&["--capture", &capture]);
    let mut http = server.http();
    let points = (0..50).map(|i| number(&[("k", &format!("v{i}"))], START, START + 1, int(3))).collect();
    assert_eq!(http.export(&request_of("svc", vec![sum("m", 1, true, points)]).encode_to_vec()).unwrap().status, 200);
    drop(http);
    assert_eq!(server.terminate().code(), 0);
    check(&output(command(&[&small[..], &["--capture", &capture]].concat())));
}

/// Every preset in process, where nothing is left out without being said.
#[test]
fn presets_are_measured_in_process() {
    for preset in ["sdk-fleet", "gateway", "churn", "hot", "histograms"] {
        let flags = ["tune", "--rounds", "1", "--duration", "50ms", "--json", "--max", "1", "--source", "memory"];
        let ended = output(command(&[&flags[..], &["--preset", preset, "--series", "1000"]].concat()));
        assert_eq!(ended.code(), 0, "{ended:?}");
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(json["rounds"][0]["points_per_s"].as_f64().unwrap() > 0.0, "{json}");
        let said = json["note"].as_str().is_some_and(|note| note.contains("come and go"));
        assert_eq!(said, preset == "churn", "{json}");
    }
    let ended = output(command(&["tune", "--preset", "hot", "--capture", "x"]));
    assert!(ended.code() == 2 && ended.stderr.contains("cannot be used with"), "{ended:?}");
}

/// What a second core adds: shards with series of their own and with the same ones, processes, arithmetic.
#[test]
fn scaling_is_measured_where_there_are_two_cores() {
    let scaling = |words: &[&str]| output(command(&[&["tune", "--scaling", "--rounds", "1"], words].concat()));
    let ended = scaling(&["--duration", "50ms", "--series", "2000"]);
    if std::thread::available_parallelism().unwrap().get() < 2 {
        assert!(ended.code() == 1 && ended.stderr.contains("two cores"), "{ended:?}");
        return;
    }
    assert_eq!(ended.code(), 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.len() == 5 && lines[0].contains("2000 series"), "{ended:?}");
    for (line, name) in lines[1..].iter().zip(["its own series", "the same 100 series", "a shard each", "arithmetic"]) {
        let ratio = line.split_once("× ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
        assert!(line.contains(name) && ratio.is_some_and(|ratio| ratio > 0.0), "{name}: {ended:?}");
    }
    let ended = scaling(&["--duration", "50ms", "--series", "900"]);
    assert!(ended.code() == 1 && ended.stderr.contains("give more --series"), "{ended:?}");
    let ended = scaling(&["--json"]);
    assert!(ended.code() == 2 && ended.stderr.contains("cannot be used with"), "{ended:?}");
}

/// Ctrl-C ends tune and every child of its.
#[test]
fn a_signal_ends_tune_and_its_children() {
    let flags = ["tune", "--source", "memory", "--max", "1", "--duration", "10m", "--series", "1000"];
    let mut command = command(&flags);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let id = child.id();
    // the replay runs, whoever started it
    let replay = until("a child that replays", || {
        let all = std::fs::read_dir("/proc")
            .ok()?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        all.into_iter().find(|pid| {
            let parent = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            parent.contains(&format!("PPid:\t{id}\n")) && line.contains("--worker")
        })
    });
    signal(id, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    until("the end of the replay", || (!Path::new(&format!("/proc/{replay}")).exists()).then_some(()));
}
