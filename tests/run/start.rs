//! What is found at the start: files that cannot be used, and what was asked for and can hardly be meant.

use crate::binary::process::{Catchment, Ended, Folder, command, output, wall_ns};
use crate::common::{attribute, int, number, request, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

const DOORS: [&str; 4] = ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"];

/// `run` with all doors at port 0; for runs that end by themselves.
fn run(arguments: &[&str]) -> Ended {
    let mut command = command(&["run"]);
    for door in DOORS {
        command.args([door, "127.0.0.1:0"]);
    }
    command.args(arguments);
    output(command)
}

/// One exit code and one wording, whichever flag names the file, in every command.
#[test]
fn a_file_that_cannot_be_used_is_bad_usage_everywhere() {
    let folder = Folder::new();
    let missing = folder.path("missing").display().to_string();
    let nowhere = folder.path("no/such/x").display().to_string();
    let parent = folder.path("no/such").display().to_string();
    let secure = ["--out", "otlp-grpcs://localhost:1"];
    let read = format!("{missing}: cannot be read (No such file");
    for (flag, more) in
        [("--tuning", &[][..]), ("--out-ca", &secure), ("--out-cert", &["--out-key", "x", "--out", "otlp-grpcs://h:1"])]
    {
        let ended = run(&[&[flag, &missing], more].concat());
        let words = format!("catchment: {flag} {read}");
        assert!(ended.code() == 2 && ended.stderr.contains(&words), "{words}: {ended:?}");
    }
    for own in ["ca", "headers"] {
        let ended = run(&["--out", &format!("otlp-grpcs://localhost:1?{own}={missing}")]);
        assert!(ended.code() == 2 && ended.stderr.contains(&read), "{own}: {ended:?}");
    }
    for words in [&["tune", "--capture"][..], &["plan", "--capture"]] {
        let ended = output(command(&[words, &[&missing]].concat()));
        let told = format!("catchment: --capture {read}");
        assert!(ended.code() == 2 && ended.stderr.contains(&told), "{words:?}: {ended:?}");
    }
    // settings, in each command that takes them
    let config = ["--config", &missing];
    let series = "requests{a=b}";
    for words in [
        &["run"][..],
        &["check"],
        &["plan", "--live", "http://127.0.0.1:1"],
        &["explain", series],
        &["explain", "--url", "http://127.0.0.1:1", series],
        &["rules", "test", &missing],
    ] {
        let ended = output(command(&[words, &config].concat()));
        let told = format!("catchment: --config {missing} cannot be read (No such file");
        assert!(ended.code() == 2 && ended.stderr.contains(&told), "{words:?}: {ended:?}");
    }
    let ended = output(command(&["rules", "test", &missing]));
    assert!(ended.code() == 2 && ended.stderr.contains("cannot be read (No such file"), "{ended:?}");

    let wrote = format!("{nowhere}: cannot be written: there is no folder {parent}; make it");
    let out = format!("file:{nowhere}");
    for (flag, value) in [("--ports-file", &nowhere), ("--capture", &nowhere), ("--out", &out)] {
        let ended = run(&[flag, value]);
        assert!(ended.code() == 2 && ended.stderr.contains(&wrote), "{flag}: {ended:?}");
        assert!(ended.stderr.contains(&format!("catchment: {flag} {value}: ")), "{flag}: {ended:?}");
    }
    for words in [&["sink", "--ports-file"][..], &["tune", "--save"], &["tune", "--chart"]] {
        let path = if words[1] == "--chart" { format!("{nowhere}.svg") } else { nowhere.clone() };
        let ended = output(command(&[words, &[&path]].concat()));
        let told = format!("catchment: {} {path}: cannot be written: there is no folder {parent}", words[1]);
        assert!(ended.code() == 2 && ended.stderr.contains(&told), "{ended:?}");
    }
    // a folder is no file
    let ended = run(&["--out", &format!("file:{}", folder.path("").display())]);
    assert!(ended.code() == 2 && ended.stderr.contains("cannot be written (Is a directory"), "{ended:?}");
    assert_eq!(folder.path("").read_dir().unwrap().count(), 0, "nothing is left");
}

/// Said once, before the banner, with what is done; what is as it should be is not said.
#[test]
fn what_can_hardly_be_meant_is_warned_of_at_the_start() {
    let mut command =
        command(&["run", "--memory-limit", "90000GiB", "--shards", "99", "--out", "stdout", "--out", "stdout"]);
    for door in DOORS {
        command.args([door, "127.0.0.1:0"]);
    }
    command
        .env("CATCHMENT_INTERVALL", "5s")
        .env("CATCHMENT_NONSENSE", "secret")
        .env("CATCHMENT_PORT", "tcp://1.2.3.4:4317");
    command.env("CATCHMENT_OUTS", "");
    let catchment = Catchment::spawn(command);
    let banner = catchment.banner.clone();
    for words in [
        "--memory-limit of 92160000 MiB is more than ",
        "--shards 99: this process may use ",
        "--out stdout#2: the same stands before it: every line is written twice",
        "CATCHMENT_INTERVALL: no flag has this variable, so it is ignored; did you mean CATCHMENT_INTERVAL?",
        "CATCHMENT_NONSENSE: no flag has this variable",
    ] {
        let found =
            banner.lines().filter(|line| line.starts_with("catchment: warning: ") && line.contains(words)).count();
        assert_eq!(found, 1, "{words} in:\n{banner}");
    }
    assert_eq!(banner.matches("warning").count(), 5, "{banner}");
    assert!(!banner.contains("secret") && banner.contains("shards  99 "), "{banner}");
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && ended.ledger().ends_with("balanced"), "{ended:?}");

    let cores = std::thread::available_parallelism().unwrap().to_string();
    let good = ["--memory-limit", "1GiB", "--shards", &cores, "--out", "stdout", "--out", "stdout?temporality=delta"];
    let catchment = Catchment::start(&good);
    assert!(!catchment.banner.contains("warning"), "{}", catchment.banner);
    assert_eq!(catchment.terminate().code(), 0);
}

/// Whoever opens a door to others is told what it does not have.
#[test]
fn a_door_on_every_interface_is_warned_of() {
    let catchment = Catchment::start(&["--otlp-grpc", "0.0.0.0:0"]);
    let warning = catchment.banner.lines().find(|line| line.starts_with("catchment: warning: ")).expect("a warning");
    assert!(warning.contains("--otlp-grpc 0.0.0.0:0") && warning.contains("without TLS"), "{warning}");
    assert!(!warning.contains("--otlp-http"), "{warning}");
    assert_eq!(catchment.terminate().code(), 0);
}

/// Sends one point, of a resource with so many attributes; what the answer says, and the points it rejects.
fn send(catchment: &Catchment, resource: usize, attributes: usize, value_bytes: usize) -> (String, i64) {
    let now = wall_ns();
    let mut point = number(&[], now - 1, now, int(1));
    let text = "v".repeat(value_bytes);
    point.attributes = (0..attributes).map(|n| attribute(&format!("k{n}"), &text)).collect();
    let mut body = request(vec![sum("m", 1, true, vec![point])]);
    let attributes = (0..resource).map(|n| attribute(&format!("r{n}"), "x")).collect();
    body.resource_metrics[0].resource = Some(Resource { attributes, ..Resource::default() });
    let reply = catchment.http().export(&body.encode_to_vec()).unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let partial = ExportMetricsServiceResponse::decode(&*reply.body).unwrap().partial_success.unwrap_or_default();
    (partial.error_message, partial.rejected_data_points)
}

/// A metric's name may have what was asked for, up and down; points of a longer one are rejected, and the answer says what is
/// in force and shows one. A scope's name is cut.
#[test]
fn the_limit_of_names_can_be_asked_for() {
    for (flag, bytes) in [("64", 64), ("1KiB", 1_024)] {
        let catchment = Catchment::start(&["--max-name", flag, "--interval", "100ms", "--out", "stdout"]);
        let named = |bytes: usize, scope: usize| {
            let now = wall_ns();
            let points = vec![number(&[("k", "a")], now - 1, now, int(1)), number(&[("k", "b")], now - 1, now, int(1))];
            let mut body = request(vec![sum(&"n".repeat(bytes), 1, true, points)]);
            body.resource_metrics[0].scope_metrics[0].scope.get_or_insert_default().name = "s".repeat(scope);
            let reply = catchment.http().export(&body.encode_to_vec()).unwrap();
            let said = ExportMetricsServiceResponse::decode(&*reply.body).unwrap().partial_success.unwrap_or_default();
            (said.rejected_data_points, said.error_message)
        };
        assert_eq!(named(bytes, bytes), (0, String::new()));
        let (rejected, told) = named(bytes + 1, 1);
        let words = ["--max-name".into(), "first: metric \"nnn".into(), format!("{bytes} bytes are allowed")];
        assert!(rejected == 2 && words.iter().all(|word: &String| told.contains(word)), "{told}");
        let (rejected, told) = named(1, bytes + 1);
        assert!(rejected == 0 && told.contains("were cut"), "{told}");
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().contains("received 6 = applied 4 + rejected 2"), "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
        assert!(ended.stdout.contains(&format!("\"{}\"", "n".repeat(bytes))), "whole");
        assert!(ended.stdout.contains(&format!("\"{}~", "s".repeat(bytes - 17))), "cut, and its hash");
    }
}

/// The limits of attributes are what was asked for, up and down; answers name what is in force.
#[test]
fn limits_of_attributes_can_be_asked_for() {
    for (attributes, value, at, words) in [
        ("3", "64", (3, 60), ["--max-attributes", "3 are allowed", "--max-attribute-value", "64 bytes"]),
        ("1", "100", (1, 96), ["--max-attributes", "1 are allowed", "--max-attribute-value", "100 bytes"]),
        ("128", "4KiB", (128, 4_092), ["--max-attributes", "128 are allowed", "--max-attribute-value", "4096 bytes"]),
        (
            "1024",
            "64KiB",
            // as a whole a point has another limit
            (1_024, 1_000),
            ["--max-attributes", "1024 are allowed", "--max-attribute-value", "65536 bytes"],
        ),
    ] {
        let flags =
            ["--max-attributes", attributes, "--max-attribute-value", value, "--interval", "100ms", "--out", "stdout"];
        let catchment = Catchment::start(&flags);
        let (count, bytes) = at;
        assert_eq!(send(&catchment, 1, count, bytes), (String::new(), 0), "{flags:?}");
        let (told, rejected) = send(&catchment, 1, count + 1, 1);
        assert!(rejected == 1 && told.contains(words[0]) && told.contains(words[1]), "{told}");
        let longer = words[3].split(' ').next().unwrap().parse::<usize>().unwrap();
        let (told, rejected) = send(&catchment, 1, 1, longer);
        assert!(rejected == 1 && told.contains(words[2]) && told.contains(words[3]), "{told}");
        // a resource is cut, never refused
        let (told, rejected) = send(&catchment, count + 5, 1, 1);
        assert!(rejected == 0 && told.contains("were cut"), "{told}");
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().contains("received 4 = applied 2 + rejected 2"), "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
        assert!(ended.stdout.contains(&format!("k{}\"", count - 1)), "all of them leave");
        assert!(ended.stdout.contains(&format!("\"{}\"", "v".repeat(bytes))), "whole");
        assert!(ended.stdout.contains("catchment.attributes.cut"), "the resource says so");
    }
    for (flag, value, remedy) in [
        ("--max-name", "63", "from 64 to 4KiB"),
        ("--max-name", "5KiB", "from 64 to 4KiB"),
        ("--max-attributes", "0", "from 1 to 1024"),
        ("--max-attributes", "1025", "from 1 to 1024"),
        ("--max-attribute-value", "63", "from 64 to 64KiB"),
        ("--max-attribute-value", "65KiB", "from 64 to 64KiB"),
        ("--max-attribute-value", "long", "from 64 to 64KiB"),
    ] {
        let ended = run(&[flag, value]);
        assert!(ended.code() == 2 && ended.stderr.contains(&format!("{flag} {value}: give a")), "{ended:?}");
        assert!(ended.stderr.contains(remedy), "{ended:?}");
    }
}
