//! The command line's contract, on the real binary: ports file, exit codes, words, environment, signals.

use crate::binary;
use crate::common;

use crate::binary::backend::Backend;
use crate::binary::process::{
    Catchment, Ended, Folder, Grpc, Http, PATIENCE, Ports, command, output, samples, total, until, wall_ns,
};
use crate::common::{double, int, number, request, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

const DOORS: [&str; 4] = ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"];

fn cli(arguments: &[&str]) -> Ended {
    output(command(arguments))
}

/// `run` with all doors at port 0 where `arguments` do not name them; for runs that end by themselves.
fn run(arguments: &[&str]) -> Ended {
    let mut command = command(&["run"]);
    for door in DOORS.iter().filter(|door| !arguments.contains(door)) {
        command.args([door, "127.0.0.1:0"]);
    }
    output({
        command.args(arguments);
        command
    })
}

fn delta(name: &str, value: i64) -> Vec<u8> {
    let now = wall_ns();
    request(vec![sum(name, 1, true, vec![number(&[], now - 1, now, int(value))])]).encode_to_vec()
}

#[test]
fn the_ports_file_tells_every_door() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards]);
        let text = std::fs::read_to_string(catchment.ports_file()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let object = json.as_object().unwrap();
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["admin", "otlp_grpc", "otlp_http", "prometheus"]);
        let ports = catchment.ports;
        let all = [ports.otlp_grpc, ports.otlp_http, ports.prometheus, ports.admin].map(Option::unwrap);
        for (i, address) in all.iter().enumerate() {
            assert!(address.ip().is_loopback() && address.port() != 0, "{text}");
            assert!(!all[..i].contains(address), "{text}");
        }
        // every door listens by the time the file is there
        assert_eq!(catchment.grpc().export(&delta("a", 1)).unwrap().status, 0);
        assert_eq!(catchment.http().export(&delta("a", 1)).unwrap().status, 200);
        assert_eq!(catchment.scraper().get("/metrics").status, 200);
        assert_eq!(catchment.admin().get("/healthz").status, 200);
        // nothing else is left beside it
        let folder = catchment.ports_file().parent().unwrap().read_dir().unwrap().count();
        assert_eq!(folder, 1, "no temporary file");
        assert_eq!(catchment.terminate().code(), 0);
    }
}

#[test]
fn a_door_that_is_off_is_null_in_the_ports_file() {
    for off in DOORS {
        let catchment = Catchment::start(&[off, "off", "--out", "stdout"]);
        let text = std::fs::read_to_string(catchment.ports_file()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for door in DOORS {
            let key = door[2..].replace('-', "_");
            assert_eq!(json[&key].is_null(), door == off, "{text}");
            assert!(json.get(&key).is_some(), "{text}");
        }
        assert!(catchment.banner.contains("off") || off == "--prometheus", "{}", catchment.banner);
        assert_eq!(catchment.terminate().code(), 0);
    }
}

/// A stale ports file must not be taken for the new one: it is gone even when the start fails.
#[test]
fn an_old_ports_file_is_removed_at_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let path = folder.path("ports.json");
    std::fs::write(&path, "{\"otlp_grpc\":\"stale").unwrap();
    let ended = run(&["--admin", &address, "--ports-file", path.to_str().unwrap()]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(!path.exists());
    // and where it cannot be written, the words say so
    let nowhere = folder.path("no/such/folder/ports.json");
    let ended = run(&["--ports-file", nowhere.to_str().unwrap()]);
    assert_eq!(ended.code(), 2, "{ended:?}");
    assert!(ended.stderr.contains("--ports-file") && ended.stderr.contains("no/such/folder"), "{}", ended.stderr);
    // gone too where the configuration is refused
    for refused in [["--shards", "none"], ["--log", "catchment=loud"], ["--memory-limit", "39MiB"]] {
        std::fs::write(&path, "{\"otlp_grpc\":\"stale").unwrap();
        let ended = run(&[refused[0], refused[1], "--ports-file", path.to_str().unwrap()]);
        assert_eq!(ended.code(), 2, "{ended:?}");
        assert!(!path.exists(), "{refused:?}");
    }
}

/// A ports file is removed and replaced only if it is a regular file: a device, a pipe or a link stays what it is, and
/// nothing is bound.
#[test]
fn only_a_regular_file_is_replaced_by_a_ports_file() {
    let folder = Folder::new();
    let at = |name: &str| folder.path(name);
    std::fs::write(at("regular"), "kept").unwrap();
    std::os::unix::fs::symlink(at("regular"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    std::os::unix::fs::symlink("/dev/full", at("device")).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    // taken: who binds before it looks says so
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let paths = ["link", "dangling", "device", "folder", "socket", "pipe"].map(at);
    for path in paths.iter().map(|path| path.to_str().unwrap()) {
        let before = std::fs::symlink_metadata(path).unwrap();
        let flags = |door| [door, address.as_str(), "--ports-file", path];
        for ended in [run(&flags("--admin")), cli(&[&["sink"], &flags("--listen")[..]].concat())] {
            let words = format!("--ports-file {path}: cannot be written (it is a");
            assert!(ended.code() == 2 && ended.stderr.contains(&words), "{path}: {ended:?}");
            let after = std::fs::symlink_metadata(path).unwrap();
            assert_eq!((after.file_type(), after.ino()), (before.file_type(), before.ino()), "{path}");
        }
    }
    assert_eq!(std::fs::read(at("regular")).unwrap(), b"kept");
    assert_eq!(folder.path("").read_dir().unwrap().count(), 7, "no temporary file");
}

/// R17, X18: the doors' defaults are the standards' ports, all on loopback; both encodings of OTLP/HTTP, and gRPC, are
/// answered on one port.
#[test]
fn r17_x18_doors_are_on_loopback_by_default() {
    let help = cli(&["run", "--help"]).stdout;
    for (flag, address) in [
        ("--otlp-grpc", "127.0.0.1:4317"),
        ("--otlp-http", "127.0.0.1:4318"),
        ("--prometheus", "127.0.0.1:9464"),
        ("--admin", "127.0.0.1:9465"),
    ] {
        let at = help.find(&format!("{flag} <")).unwrap_or_else(|| panic!("{flag} in the help"));
        let rest = &help[at..];
        let end = rest.find("\n      --").unwrap_or(rest.len());
        assert!(rest[..end].contains(&format!("[default: {address}]")), "{flag}: {}", &rest[..end]);
        assert!(address.parse::<std::net::SocketAddr>().unwrap().ip().is_loopback());
    }
    let catchment = Catchment::start(&[]);
    let door = catchment.ports.otlp_http.unwrap();
    let mut http = Http::connect(door).unwrap();
    assert_eq!(http.export(&delta("a", 1)).unwrap().status, 200);
    let reply = http.post("/v1/metrics", "application/json", b"{}").unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(Grpc::connect(door).unwrap().export(&delta("a", 1)).unwrap().status, 0);
    assert_eq!(catchment.terminate().code(), 0);
}

/// All doors on IPv6 loopback, fixed ports in use included.
#[test]
fn doors_listen_on_ipv6_addresses() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        eprintln!("this machine has no IPv6 loopback ({error}): nothing to see");
        return;
    }
    for shards in ["1", "3"] {
        let mut arguments = vec!["--shards", shards];
        DOORS.iter().for_each(|door| arguments.extend([*door, "[::1]:0"]));
        let catchment = Catchment::start(&arguments);
        let Ports { otlp_grpc, otlp_http, prometheus, admin } = catchment.ports;
        for address in [otlp_grpc, otlp_http, prometheus, admin] {
            assert!(address.unwrap().is_ipv6() && address.unwrap().port() != 0);
        }
        assert_eq!(catchment.http().export(&delta("a", 1)).unwrap().status, 200);
        assert_eq!(catchment.grpc().export(&delta("a", 1)).unwrap().status, 0);
        assert_eq!(catchment.scraper().get("/metrics").status, 200);
        assert_eq!(catchment.admin().get("/ledger").json()["applied"], 2);
        assert!(catchment.banner.contains(&format!("grpc://{}", otlp_grpc.unwrap())), "{}", catchment.banner);
        // the remedy is an address that can be given
        for (flag, taken) in [("--otlp-grpc", otlp_grpc), ("--admin", admin)] {
            let ended = run(&[flag, &taken.unwrap().to_string()]);
            assert_eq!(ended.code(), 1, "{ended:?}");
            assert!(ended.stderr.contains(&format!("{flag} [::1]:0")), "{}", ended.stderr);
        }
        assert_eq!(catchment.terminate().code(), 0);
    }
}

#[test]
fn a_fixed_port_in_use_ends_with_1_and_names_address_and_flag() {
    for shards in ["1", "2"] {
        for door in DOORS {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = taken.local_addr().unwrap().to_string();
            let ended = run(&["--shards", shards, door, &address]);
            assert_eq!(ended.code(), 1, "{ended:?}");
            let words = ended.stderr.lines().find(|line| line.contains(door)).expect("the flag is named");
            assert!(words.contains(&address) && words.contains("in use"), "{words}");
        }
    }
}

/// SO_REUSEPORT would let a second instance take half of the first one's connections.
#[test]
fn two_instances_never_share_a_port() {
    let first = Catchment::start(&["--shards", "2"]);
    let address = first.ports.otlp_grpc.unwrap().to_string();
    let ended = run(&["--shards", "2", "--otlp-grpc", &address]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("--otlp-grpc") && ended.stderr.contains(&address), "{}", ended.stderr);
    assert_eq!(first.terminate().code(), 0);
}

/// Every problem on a line of its own, with flag, value and remedy.
#[test]
fn bad_flags_end_with_2_and_all_problems_at_once() {
    let check = |arguments: &[&str], wanted: &[[&str; 3]]| {
        let ended = run(arguments);
        assert_eq!(ended.code(), 2, "{arguments:?}: {ended:?}");
        for words in wanted {
            let found = ended.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)));
            assert!(found, "{arguments:?}: no line with {words:?} in:\n{}", ended.stderr);
        }
        assert!(ended.stdout.is_empty(), "{ended:?}");
    };
    check(
        &[
            "--shards",
            "many",
            "--interval",
            "1ms",
            "--otlp-grpc",
            "nonsense",
            "--allowed-host",
            "http://gateway:9465",
            "--admin",
            "1.2.3.4",
            "--out",
            "ftp://backend",
            "--out",
            "otlp-grpc://backend:x",
            "--expire",
            "1us",
            "--memory-limit",
            "3",
            "--max-body",
            "5",
            "--series-limit",
            "0",
            "--group-limit",
            "none",
        ],
        &[
            ["--shards", "many", "auto"],
            ["--interval", "1ms", "100ms"],
            ["--otlp-grpc", "nonsense", "HOST:PORT"],
            ["--allowed-host", "http://gateway:9465", "a name alone"],
            ["--admin", "1.2.3.4", "HOST:PORT"],
            ["--out", "ftp://backend", "otlp-grpc://HOST:PORT"],
            ["--out", "otlp-grpc://backend:x", "port"],
            ["--expire", "1us", "5m"],
            ["--memory-limit", "3", "40MiB"],
            ["--max-body", "5", "1KiB"],
            ["--series-limit", "0", "1 to"],
            ["--group-limit", "none", "or auto"],
        ],
    );
    check(
        &["--interval", "soon", "--shutdown-timeout", "never", "--max-body", "huge", "--shards", "0"],
        &[
            ["--interval", "soon", "10s"],
            ["--shutdown-timeout", "never", "10s"],
            ["--max-body", "huge", "64MiB"],
            ["--shards", "0", "auto"],
        ],
    );
    check(&["--otlp-grpc", "off", "--otlp-http", "off"], &[["--otlp-grpc off", "--otlp-http off", "leave one"]]);
    check(
        &["--otlp-grpc", "127.0.0.1:4317", "--out", "otlp-grpc://localhost"],
        &[["--out otlp-grpc://localhost:4317", "--otlp-grpc 127.0.0.1:4317", "come in again"]],
    );
    check(
        &["--admin", "127.0.0.1:9465", "--out", "otlp-http://127.0.0.1:9465"],
        &[["--out otlp-http://127.0.0.1:9465", "--admin 127.0.0.1:9465", "takes no metrics"]],
    );
    check(&["--prometheus", "off"], &[["--prometheus off", "nothing would leave", "--out stdout"]]);
    check(&["--out", "stdout?temporality=both"], &[["--out", "temporality=both", "delta"]]);
    for log in ["catchment=loud", "bogus", "warn,bogus", "catchment", "=debug", ""] {
        check(&["--log", log], &[["--log", log, "debug"], ["--log", "target=level", "off, error, warn, info"]]);
    }
    for (flag, host) in [("--otlp-grpc", "0.0.0.0:4317"), ("--prometheus", "127.0.0.1:4317")] {
        check(&[flag, ":4317"], &[[flag, "there is no host", host]]);
    }
    check(
        &["--memory-limit", "64MiB", "--max-body", "63MiB"],
        &[["--memory-limit", "given as 64 MiB", "--max-body 4MiB"]],
    );
    check(&["--no-such-flag"], &[["--no-such-flag", "unexpected", ""]]);
    check(&["--pin", "maybe"], &[["--pin", "maybe", ""]]);
    assert_eq!(cli(&[]).code(), 2, "no command");
    assert_eq!(cli(&["walk"]).code(), 2, "an unknown command");
}

/// The words say what to write instead, in the terms of whoever wrote it.
#[test]
fn wrong_inputs_are_answered_with_what_was_meant() {
    for (words, code, wanted) in [
        ("--interval -5s", 2, "--interval '-5s' is no duration; write 250ms"),
        ("--series-limit -1", 2, "--series-limit '-1' is no number of them"),
        ("--peer-share 0%", 2, "--peer-share '0%': write 1% to 100%"),
        ("--peer-share 101%", 2, "--peer-share '101%': write 1% to 100%"),
        ("--peer-share 0.5", 2, "--peer-share '0.5': write 1% to 100%"),
        ("--otlp-grpc http://127.0.0.1:4317", 2, "leave out http://, as in 127.0.0.1:4317"),
        // an address of documentation is nobody's (RFC 5737)
        (
            "--otlp-grpc 192.0.2.1:4317",
            1,
            "no interface of this machine has this address; give one that it has, or 0.0.0.0:4317",
        ),
        ("--admin 192.0.2.1:0", 1, "--admin 192.0.2.1:0: no interface of this machine"),
        ("--config x.yaml", 2, "--config x.yaml cannot be read (No such file or directory"),
        ("-c yaml:{interval:1}", 2, "yaml:1:2: unknown key `interval:1`"),
        ("--out http://backend:4318", 2, "did you mean otlp-http://backend:4318?"),
        ("--tuning Cargo.toml", 2, "--tuning Cargo.toml: this is no tuning result: it is no JSON; make it with"),
    ] {
        let ended = run(&words.split(' ').collect::<Vec<_>>());
        assert!(ended.code() == code && ended.stderr.contains(wanted), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
    // nobody typed a flag: the variable is named
    for (variable, value, wanted) in [
        ("CATCHMENT_INTERVAL", "banana", "catchment: CATCHMENT_INTERVAL (--interval) 'banana' is no duration"),
        ("CATCHMENT_OTLP_GRPC", "x", "catchment: CATCHMENT_OTLP_GRPC (--otlp-grpc) x: "),
        ("CATCHMENT_OUT", "ftp://h", "catchment: CATCHMENT_OUT (--out) ftp://h: "),
        ("CATCHMENT_PIN", "maybe", "for 'CATCHMENT_PIN (--pin) <PIN>'"),
    ] {
        let mut command = command(&["run"]);
        command.env(variable, value);
        let ended = output(command);
        assert!(ended.code() == 2 && ended.stderr.contains(wanted), "{variable}: {ended:?}");
    }
    let mut command = command(&["run", "--interval=melon"]);
    command.env("CATCHMENT_INTERVAL", "banana");
    let ended = output(command);
    assert!(ended.stderr.contains("catchment: --interval 'melon' is no duration"), "{ended:?}");
}

/// What the other commands find wrong before anything starts is bad usage like any other.
#[test]
fn contradictions_of_load_tune_and_man_end_with_2() {
    for (words, wanted) in [
        ("load --rate 0", "--rate must be"),
        ("load --connections 0", "--connections"),
        ("load --encoding json --endpoint grpc://127.0.0.1:1", "--encoding json"),
        ("load --order zipf --kind gauge", "change --kind"),
        ("load --series 0", "--series"),
        ("load --cpu 100000", "--cpu 100000"),
        ("load --verify --series 100 --late 2", "--late 2"),
        ("tune --max 0", "--max 0"),
        ("tune --rounds 0", "--rounds 0"),
        ("tune --series 0", "--series 0"),
        ("tune --duration 1ms", "--duration 1ms"),
        ("tune --chart x.gif", "--chart x.gif"),
        ("sink --fail-status 200", "from 300 to 599"),
        ("sink --fail-rate 0.5", "--fail-status"),
        ("sink --hang --reset", "cannot be used with"),
        ("man nope", "man nope"),
    ] {
        let ended = cli(&words.split(' ').collect::<Vec<_>>());
        assert!(ended.code() == 2 && ended.stderr.contains(wanted), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
    // what only a start can tell is a failure
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = cli(&["load", "--requests", "1", "--endpoint", &format!("grpc://{free}")]);
    assert!(ended.code() == 1 && ended.stderr.contains("is the server running?"), "{ended:?}");
}

/// Before the measurement, not after it; what is there stays, and the try leaves nothing behind.
#[test]
fn tune_finds_a_file_it_cannot_write_before_it_measures() {
    let folder = Folder::new();
    let (there, is_folder) = (folder.path("there.svg"), folder.path("folder.svg"));
    std::fs::write(&there, "kept").unwrap();
    std::fs::create_dir(&is_folder).unwrap();
    let (nowhere, there) = (folder.path("no/such/folder/x.svg"), there.display().to_string());
    let (nowhere, is_folder) = (nowhere.display().to_string(), is_folder.display().to_string());
    let new = folder.path("new.svg").display().to_string();
    // an hour, were it to begin
    let long = ["tune", "--source", "memory", "--rounds", "6", "--duration", "10m", "--max", "1", "--chart"];
    for (chart, save, named) in [
        (&nowhere, &new, ["--chart", "no/such/folder"]),
        (&is_folder, &new, ["--chart", "folder.svg"]),
        (&there, &nowhere, ["--save", "no/such/folder"]),
        (&new, &is_folder, ["--save", "folder.svg"]),
    ] {
        let ended = cli(&[&long[..], &[chart, "--save", save]].concat());
        assert!(ended.code() == 2 && named.iter().all(|word| ended.stderr.contains(word)), "{ended:?}");
        assert_eq!(std::fs::read_to_string(&there).unwrap(), "kept");
        let mut left: Vec<_> = folder
            .path("")
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["folder.svg", "there.svg"]);
    }
}

#[test]
fn the_version_shows_a_commit_and_the_help_every_flag_with_its_variable() {
    let version = cli(&["--version"]);
    assert_eq!(version.code(), 0);
    let text = version.stdout.trim();
    let commit = text.strip_prefix(concat!("catchment ", env!("CARGO_PKG_VERSION"), " (")).expect(text);
    let commit = commit.strip_suffix(')').expect(text);
    let is_commit = commit.len() >= 7 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{text}");

    let help = cli(&["run", "--help"]);
    assert_eq!(help.code(), 0);
    for flag in [
        "shards",
        "connections",
        "pin",
        "otlp-grpc",
        "otlp-http",
        "prometheus",
        "admin",
        "out",
        "out-header",
        "out-ca",
        "out-cert",
        "out-key",
        "interval",
        "temporality",
        "series-limit",
        "group-limit",
        "peer-share",
        "memory-limit",
        "max-body",
        "expire",
        "shutdown-timeout",
        "shutdown-delay",
        "log",
        "log-format",
        "ports-file",
    ] {
        let variable = format!("CATCHMENT_{}", flag.to_uppercase().replace('-', "_"));
        let at = help.stdout.find(&format!("--{flag} <")).unwrap_or_else(|| panic!("--{flag} in the help"));
        let rest = &help.stdout[at..];
        let end = rest.find("\n      --").unwrap_or(rest.len());
        // a value that may hold a secret is not shown (T21), its variable is
        let after = if ["out", "out-header"].contains(&flag) { "]" } else { "=" };
        let shown = format!("[env: {variable}{after}");
        assert!(rest[..end].contains(&shown), "{shown} beside --{flag}: {}", &rest[..end]);
    }
    // the help teaches
    for word in ["Examples:", "curl 127.0.0.1:9464/metrics", "/ledger"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let help = cli(&["--help"]);
    assert_eq!(help.code(), 0);
    assert!(help.stdout.contains("catchment run") && help.stdout.contains("Exit codes"), "{}", help.stdout);
}

#[test]
fn environment_variables_work_and_flags_win() {
    let backend = Backend::start();
    let mut command = command(&["run", "--interval", "200ms"]);
    for door in ["OTLP_GRPC", "OTLP_HTTP", "PROMETHEUS", "ADMIN"] {
        command.env(format!("CATCHMENT_{door}"), "127.0.0.1:0");
    }
    let outs = format!("{}  {} ", backend.url("temporality=delta"), "stdout");
    command.env("CATCHMENT_INTERVAL", "1h").env("CATCHMENT_SHARDS", "3").env("CATCHMENT_OUT", &outs);
    let catchment = Catchment::spawn(command);
    assert!(catchment.banner.contains("shards  3"), "{}", catchment.banner);
    assert!(catchment.banner.contains("every 200ms"), "the flag wins: {}", catchment.banner);
    catchment.http().export(&delta("requests", 7)).unwrap();
    backend.wait("a delivery", |received| received.points > 0);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("\"requests\""), "both destinations of the variable: {ended:?}");

    let mut command = self::command(&["run"]);
    command.env("CATCHMENT_SHARDS", "several");
    let ended = output(command);
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("several"), "{}", ended.stderr);
}

/// A terminal that was closed, a full disk: what is for people is lost, and nothing else.
#[test]
fn standard_error_that_takes_nothing_does_not_end_a_run() {
    let folder = Folder::new();
    let path = folder.0.join("ports");
    let mut command = command(&["run", "--interval", "1h", "--expire", "2h", "--out", "stdout", "--ports-file"]);
    command.arg(&path).stdout(std::process::Stdio::null());
    for door in DOORS {
        command.args([door, "127.0.0.1:0"]);
    }
    command.stderr(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let mut child = command.spawn().unwrap();
    let exited = |child: &mut std::process::Child| child.try_wait().unwrap();
    until("the ports file", || {
        assert_eq!(exited(&mut child), None, "before it listens");
        path.exists().then_some(())
    });
    binary::process::signal(child.id(), "TERM");
    let status = until("the end", || exited(&mut child));
    assert_eq!(status.code(), Some(0));
    // bad usage, too
    let mut bad = self::command(&["run", "--interval", "never"]);
    bad.stderr(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(bad.status().unwrap().code(), Some(2));
}

/// As OpenTelemetry has it for its own variables; an empty flag is not one that was left out.
#[test]
fn an_empty_environment_variable_counts_as_not_set() {
    let help = cli(&["run", "--help"]).stdout;
    let variables: Vec<&str> = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
    assert!(variables.len() > 20 && variables.contains(&"CATCHMENT_OUT"), "{variables:?}");
    let mut command = command(&["run"]);
    command.envs(variables.iter().map(|name| (name, ""))).args(["--interval", "7s"]);
    let mut helping = self::command(&["run", "--help"]);
    helping.envs(variables.iter().map(|name| (name, "")));
    let shown = output(helping).stdout;
    assert!(variables.iter().all(|name| shown.contains(name)), "{shown}");
    for door in DOORS {
        command.args([door, "127.0.0.1:0"]);
    }
    let catchment = Catchment::spawn(command);
    let cores = std::thread::available_parallelism().unwrap();
    let banner = &catchment.banner;
    assert!(banner.contains(&format!("shards  {cores} ")) && banner.contains("every 7s"), "{banner}");
    assert_eq!(catchment.terminate().code(), 0);
    for empty in ["--shards=", "--out=", "--tuning="] {
        let ended = run(&[empty]);
        assert!(ended.code() == 2 && ended.stderr.contains(&empty[..empty.len() - 1]), "{ended:?}");
    }
}

/// Sizes and counts are written alike wherever they stand.
#[test]
fn every_dialect_of_sizes_and_counts_is_taken() {
    for (series, memory) in [("1M", "2G"), ("1e6", "2048mb"), ("1_000_000", "2 GiB")] {
        let out = "stdout?queue=64MB";
        let flags = ["--series-limit", series, "--memory-limit", memory, "--max-body", "4mb", "--out", out];
        let catchment = Catchment::start(&flags);
        let limits = catchment.banner.lines().find(|line| line.starts_with("  limits")).unwrap();
        for words in ["1000000 series", "2 GiB memory", "4 MiB a request"] {
            assert!(limits.contains(words), "{words}: {limits}");
        }
        assert_eq!(catchment.terminate().code(), 0);
    }
    let ended = run(&["--memory-limit", "0%", "--max-body", "50%", "--out", "otlp-grpc://h?queue=50%&timeout=5"]);
    assert_eq!(ended.code(), 2, "{ended:?}");
    for words in [
        "--memory-limit '0%' is no part of the memory",
        "--max-body '50%' is no size; write",
        "queue='50%' is no size; write",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
    let half = Catchment::start(&["--memory-limit", "50%", "--max-body", "1MiB"]);
    assert_eq!(half.terminate().code(), 0);
}

#[test]
fn the_banner_tells_what_runs_where_and_what_to_try() {
    let catchment = Catchment::start(&["--shards", "2", "--out", "stdout?temporality=delta", "--interval", "5s"]);
    let ports = catchment.ports;
    let show = |address: Option<std::net::SocketAddr>| address.unwrap().to_string();
    let banner = &catchment.banner;
    for words in [
        format!("catchment {}", env!("CARGO_PKG_VERSION")),
        format!("OTLP/gRPC {}", show(ports.otlp_grpc)),
        format!("OTLP/HTTP {}", show(ports.otlp_http)),
        format!("http://{}/metrics", show(ports.prometheus)),
        format!("http://{}/ledger", show(ports.admin)),
        "stdout (delta)".into(),
        "every 5s".into(),
        "shards  2".into(),
        "1000000 series".into(),
        "64 MiB a request".into(),
        "pinned".into(),
        format!("curl {}/metrics", show(ports.prometheus)),
        format!("curl {}/ledger", show(ports.admin)),
    ] {
        assert!(banner.contains(&words), "{words} in:\n{banner}");
    }
    assert!(!banner.contains("catchment load"), "no false data for a backend:\n{banner}");
    assert!(banner.lines().count() <= 10, "a few lines:\n{banner}");
    assert_eq!(catchment.terminate().code(), 0);
    let alone = Catchment::start(&["--otlp-grpc", "off"]);
    let load = format!("catchment load --endpoint http://{} ", alone.ports.otlp_http.unwrap());
    assert!(alone.banner.contains(&load), "{load} in:\n{}", alone.banner);
    assert_eq!(alone.terminate().code(), 0);
}

/// A small container: one destination, and what was reserved for it and its neighbours is smaller, and said to be.
#[test]
fn it_works_in_64_mib_with_a_destination() {
    let backend = Backend::start();
    let catchment = Catchment::start(&["--memory-limit", "64MiB", "--interval", "200ms", "--out", &backend.url("")]);
    let banner = &catchment.banner;
    for words in ["64 MiB memory", "to fit --memory-limit: ", "--max-body 4MiB", "?queue=8MiB", " connections"] {
        assert!(banner.contains(words), "{words} in:\n{banner}");
    }
    assert_eq!(catchment.http().export(&delta("requests", 5)).unwrap().status, 200);
    backend.wait("a point", |received| received.points > 0);
    // the head alone: who is refused while still writing may not get to read the answer
    let mut raw = TcpStream::connect(catchment.ports.otlp_http.unwrap()).unwrap();
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    raw.write_all(format!("{head}content-length: {}\r\n\r\n", (4 << 20) + 1).as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(raw).read_line(&mut line).unwrap();
    assert!(line.contains(" 413 "), "{line}");
    assert_eq!(catchment.terminate().code(), 0);
}

#[test]
fn sigterm_and_sigint_end_with_0_and_the_ledger() {
    for (name, shards) in [("TERM", "1"), ("INT", "3")] {
        let backend = Backend::start();
        let out = backend.url("");
        // the interval is never over: only the end delivers
        let catchment = Catchment::start(&["--shards", shards, "--interval", "1h", "--expire", "2h", "--out", &out]);
        catchment.http().export(&delta("requests", 40)).unwrap();
        catchment.grpc().export(&delta("requests", 2)).unwrap();
        catchment.signal(name);
        let ended = catchment.wait();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let ledger = ended.ledger();
        assert!(
            ledger.contains("received 2 = applied 2 + rejected 0 + discarded 0; applied = open 0 + emitted 2"),
            "{ledger}"
        );
        assert!(ledger.contains("encoded 1 = delivered 1 + queued 0 + dropped 0"), "{ledger}");
        assert!(ledger.ends_with("; balanced"), "{ledger}");
        assert_eq!(ended.stderr.lines().next_back(), Some(ledger), "the last line");
        assert_eq!(backend.with(|received| received.points), 1);
        backend.with(|received| {
            let (key, points) = received.series.first_key_value().unwrap();
            assert_eq!(key.0, "requests");
            let common::Any::Number(point) = &points[0] else { panic!("a sum") };
            assert_eq!(point.value, int(42), "everything acknowledged");
        });
    }
}

#[test]
fn a_destination_that_is_dead_at_the_end_is_exit_3_within_the_timeout() {
    for shards in ["1", "3"] {
        let alive = Backend::start();
        // bound and closed again: nobody listens there
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dead = format!("otlp-grpc://{dead}");
        let catchment = Catchment::start(&[
            "--shards",
            shards,
            "--interval",
            "200ms",
            "--shutdown-timeout",
            "1s",
            "--out",
            &alive.url(""),
            "--out",
            &dead,
        ]);
        catchment.http().export(&delta("requests", 5)).unwrap();
        alive.wait("the other destination is not slowed", |received| received.points > 0);
        let begun = Instant::now();
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 3, "{ended:?}");
        assert!(begun.elapsed() < PATIENCE / 8, "{:?}", begun.elapsed());
        let ledger = ended.ledger();
        assert!(ledger.contains(&format!("{dead}: encoded 1 = delivered 0 + queued 1")), "{ledger}");
        let lost = |line: &&str| line.contains("points still queued at the end are lost");
        let lines: Vec<&str> = ended.stderr.lines().filter(lost).collect();
        assert!(lines.len() == 1 && lines[0].contains(&dead) && lines[0].contains("points=1 "), "{ended:?}");
        assert!(ledger.ends_with("; balanced"), "{ledger}");
    }
}

#[test]
fn a_destination_that_refuses_for_good_is_exit_3() {
    for shards in ["1", "3"] {
        // its scrape page takes no POST
        let other = Catchment::start(&[]);
        let out = format!("otlp-http://{}/metrics", other.ports.prometheus.unwrap());
        let catchment = Catchment::start(&["--shards", shards, "--interval", "1h", "--expire", "2h", "--out", &out]);
        catchment.http().export(&delta("requests", 5)).unwrap();
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 3, "{ended:?}");
        let ledger = ended.ledger();
        assert!(ledger.contains("encoded 1 = delivered 0 + queued 0 + dropped 1; balanced"), "{ledger}");
        assert_eq!(other.terminate().code(), 0);
    }
}

/// Half a request is nothing; idle connections and half-sent requests do not keep the process.
#[test]
fn a_client_in_the_middle_of_a_request_does_not_hold_the_end_up() {
    for shards in ["1", "3"] {
        let backend = Backend::start();
        let catchment = Catchment::start(&["--shards", shards, "--shutdown-timeout", "2s", "--out", &backend.url("")]);
        let mut idle = catchment.http();
        assert_eq!(idle.export(&delta("requests", 5)).unwrap().status, 200);
        let mut half = TcpStream::connect(catchment.ports.otlp_http.unwrap()).unwrap();
        let body = delta("requests", 100);
        let head = format!(
            "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        half.write_all(head.as_bytes()).unwrap();
        half.write_all(&body[..body.len() / 2]).unwrap();
        let mut admin = catchment.admin();
        until("the half request is there", || {
            let page = samples(admin.get("/metrics").text());
            (total(&page, "catchment_connections_accepted_total") >= 2.0).then_some(())
        });
        let begun = Instant::now();
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(begun.elapsed() < PATIENCE / 8, "{:?}", begun.elapsed());
        assert!(ended.ledger().contains("received 1 = applied 1"), "{}", ended.ledger());
        assert!(ended.ledger().contains("delivered 1 + queued 0 + dropped 0; balanced"), "{}", ended.ledger());
    }
}

/// What was acknowledged and never became an output point is undelivered too.
#[test]
fn no_time_to_merge_at_the_end_is_exit_3() {
    let backend = Backend::start();
    let catchment = Catchment::start(&[
        "--interval",
        "1h",
        "--expire",
        "2h",
        "--shutdown-timeout",
        "0s",
        "--out",
        &backend.url(""),
    ]);
    catchment.http().export(&delta("requests", 5)).unwrap();
    let ended = catchment.terminate();
    assert!(ended.ledger().contains("open 1 + emitted 0"), "{ended:?}");
    assert!(ended.stderr.contains("points not merged by the end are lost points=1 "), "{ended:?}");
    assert_eq!(ended.code(), 3, "{ended:?}");
}

#[test]
fn rejected_input_alone_ends_with_0() {
    let backend = Backend::start();
    let catchment = Catchment::start(&["--interval", "1h", "--expire", "2h", "--out", &backend.url("")]);
    let now = wall_ns();
    let points = vec![number(&[], now - 1, now, int(-1)), number(&[], now - 1, 0, double(1.0))];
    let bad = request(vec![sum("bad", 1, true, points)]).encode_to_vec();
    let reply = catchment.http().export(&bad).unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let partial = ExportMetricsServiceResponse::decode(&*reply.body).unwrap().partial_success.expect("partial success");
    assert_eq!(partial.rejected_data_points, 2);
    assert!(!partial.error_message.is_empty());
    assert_eq!(catchment.http().export(b"\xff\xff").unwrap().status, 400);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().contains("received 2 = applied 0 + rejected 2"), "{}", ended.ledger());
}

#[test]
fn clients_at_the_wrong_door_are_served_all_the_same() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards]);
        let Ports { otlp_grpc, otlp_http, .. } = catchment.ports;
        let mut http = Http::connect(otlp_grpc.unwrap()).unwrap();
        let grpc = Grpc::connect(otlp_http.unwrap()).unwrap();
        for _ in 0..10 {
            assert_eq!(http.export(&delta("a", 1)).unwrap().status, 200);
            assert_eq!(grpc.export(&delta("a", 1)).unwrap().status, 0);
        }
        let ledger = catchment.admin().get("/ledger").json();
        // counted by protocol, not by port
        for input in ["otlp_grpc", "otlp_http"] {
            assert_eq!(ledger["by"][input]["sum"]["applied"], 10, "{ledger}");
        }
        assert_eq!(catchment.terminate().code(), 0);
    }
}
