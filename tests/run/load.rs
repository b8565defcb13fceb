//! `catchment load --verify` in the built binary: server, sink and balance, and the faults it must find.

use crate::binary::process::{Catchment, Ended, Http, command, output, signal, until};
use catchment::load::{Sink, SinkOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

fn load(words: &str) -> (Ended, serde_json::Value) {
    let words: Vec<&str> = ["load", "--json"].into_iter().chain(words.split_whitespace()).collect();
    let ended = output(command(&words));
    let json = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended, json)
}

/// The balance closes, exactly.
fn closes(words: &str) -> serde_json::Value {
    let (ended, json) = load(words);
    assert_eq!(ended.code(), 0, "{words}: {json}\n{}", ended.stderr);
    assert_eq!((&json["difference"], &json["exact"]), (&0.into(), &true.into()), "{words}: {json}");
    assert_eq!((&json["missing_series"], &json["unexpected_series"]), (&0.into(), &0.into()), "{words}: {json}");
    assert!(json["delivered_points"].as_u64() >= json["series"].as_u64(), "{words}: {json}");
    assert_eq!(json["sent_points"], json["acknowledged_points"], "{words}: {json}");
    json
}

#[test]
fn every_preset_arrives_whole() {
    for preset in ["sdk-fleet", "gateway", "churn", "hot", "histograms"] {
        let json = closes(&format!("--verify --preset {preset} --series 2000 --exports 5"));
        assert!(json["sent_points"] == 10_000, "{preset}: {json}");
    }
}

/// As its help says: a few hundred series, drawn from a thousand, few of which get most points.
#[test]
fn the_hot_preset_feeds_a_few_hundred_series() {
    for seed in 1..4 {
        let json = closes(&format!("--verify --preset hot --requests 3 --seed {seed}"));
        assert_eq!(json["sent_points"], 3_000, "{json}");
        assert!((300..450).contains(&json["series"].as_u64().unwrap()), "{json}");
    }
}

/// Fewer requests than connections: they are shared, and one that waits for a window in one connection is not made ready
/// for another.
#[test]
fn shared_requests_arrive_as_they_were_counted() {
    for words in ["--series 2000 --connections 4 --exports 100", "--connections 11 --exports 3 --warm-up 2 --churn 0.1"]
    {
        closes(&format!("--verify {words}"));
    }
}

#[test]
fn every_kind_arrives_whole_in_every_encoding() {
    let kinds = "--kind delta-sum,cumulative-sum,delta-sum-double,cumulative-sum-double,gauge,gauge-double,\
        delta-histogram,cumulative-histogram,delta-exponential-histogram,cumulative-exponential-histogram,summary";
    for more in [
        "",
        "--compression zstd --order shuffled",
        "--compression gzip --late 0.1 --resets 0.1",
        "--encoding json --churn 0.05",
        "--encoding json --compression zstd --connections 3",
        "--attributes 9 --attribute-bytes 100 --churn-rate 1000",
    ] {
        closes(&format!("--verify --series 1000 --exports 4 {kinds} {more}"));
    }
}

/// What a warm-up sent arrives with the rest, and is not among what was measured.
#[test]
fn a_warm_up_is_verified_with_the_rest() {
    for kinds in ["delta-sum,delta-histogram", "cumulative-sum,gauge,summary,cumulative-histogram"] {
        let json = closes(&format!("--verify --series 1000 --batch 100 --warm-up 2 --exports 3 --kind {kinds}"));
        assert_eq!((&json["warm_up_points"], &json["sent_points"]), (&2_000.into(), &3_000.into()), "{json}");
        assert_eq!((&json["sent_requests"], &json["series"]), (&30.into(), &1_000.into()), "{json}");
    }
}

/// Over several intervals, each point in exactly one of them.
#[test]
fn several_intervals_add_up() {
    let kinds = "--kind delta-sum,cumulative-sum,gauge,delta-histogram,cumulative-exponential-histogram";
    let json =
        closes(&format!("--verify --series 500 --batch 100 {kinds} --rate 20000 --duration 2500ms --resets 0.01"));
    assert!(json["delivered_points"].as_u64().unwrap() >= 1_000, "more than one cut: {json}");
    // deltas alone leave as deltas
    let json = closes("--verify --series 500 --batch 100 --rate 20000 --duration 1500ms --order zipf --metrics 5");
    assert!(json["delivered_points"].as_u64() > json["series"].as_u64(), "{json}");
}

/// Deltas leave as deltas, so that a single forgotten request shows whatever follows; of cumulatives the last one counts.
#[test]
fn a_sink_that_acknowledges_and_forgets_a_request_is_found() {
    for kind in ["delta-sum", "delta-histogram", "gauge"] {
        let words = format!("--verify --series 1000 --kind {kind} --exports 1 --sink-drop 1");
        let (ended, json) = load(&words);
        assert_eq!(ended.code(), 3, "{kind}: {json}");
        assert!(json["difference"].as_f64().unwrap() > 0.0 && json["exact"] == false, "{kind}: {json}");
        assert_eq!(json["sent_points"], json["acknowledged_points"], "the server took it all: {json}");
    }
    let words = ["load", "--verify", "--series", "100", "--exports", "1", "--sink-drop", "1"];
    let ended = output(command(&words));
    assert!(
        ended.code() == 3 && ended.stdout.contains("is off by") && ended.stdout.contains("does NOT close"),
        "{ended:?}"
    );
}

/// A run that is ended early is whole all the same: the server delivers what it took, and is gone.
#[test]
fn a_signal_ends_the_run_and_the_server_and_the_balance_closes() {
    let words =
        ["load", "--verify", "--json", "--series", "500", "--batch", "100", "--rate", "20000", "--duration", "10m"];
    let mut child = command(&words).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // the first of the lines that come about once a second: everything runs
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("points/s"), "{line}");
    let server = server_of(child.id()).expect("a server of its own");
    signal(child.id(), "TERM");
    let stdout = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), &json["difference"], &json["exact"]),
        (Some(0), &0.into(), &true.into()),
        "{json}"
    );
    assert!(json["elapsed_s"].as_f64().unwrap() < 60.0, "{json}");
    assert!(!Path::new(&format!("/proc/{server}")).exists(), "no server of ours outlives this");
}

/// The process id of the one child.
fn server_of(id: u32) -> Option<u32> {
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    let mut all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    all.find(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains(&format!("PPid:\t{id}\n"))
    })
}

/// An address of this test's own, where a port that was free a moment ago still is.
fn address() -> SocketAddr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, 77, high, low.max(1)], 0))).unwrap().local_addr().unwrap()
}

#[test]
fn a_running_server_is_verified_through_its_own_destination() {
    let sink = address();
    let server = Catchment::start(&["--interval", "200ms", "--out", &format!("otlp-grpc://{sink}")]);
    let endpoint = server.ports.otlp_grpc.unwrap();
    closes(&format!(
        "--verify --endpoint grpc://{endpoint} --sink {sink} --series 500 --exports 3 --kind gauge,delta-sum"
    ));
    assert_eq!(server.terminate().code(), 0);
}

/// The sink has what was sent, and then some of it once more.
#[test]
fn what_a_running_server_delivers_twice_is_found_within_the_quiet_time() {
    let words = "--verify --series 200 --exports 2 --kind delta-sum --settle 20s";
    let sink = address();
    closes(&format!("{words} --endpoint http://{} --sink {sink}", passing_on(sink, None)));
    let sink = address();
    let words = words.replace("20s", "4s");
    let (ended, json) = load(&format!("{words} --endpoint http://{} --sink {sink}", passing_on(sink, Some(400))));
    assert_eq!((ended.code(), &json["exact"], &json["missing_series"]), (3, &false.into(), &0.into()), "{json}");
    assert_eq!((&json["delivered_points"], &json["sent_points"]), (&800.into(), &400.into()), "{json}");
}

/// A server that hands every byte on to the sink and its answers back; `again`: and all of a connection once more, when
/// it has ended and the sink holds so many points.
fn passing_on(sink: SocketAddr, again: Option<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pass = move |mut client: TcpStream| -> std::io::Result<()> {
        let server = TcpStream::connect(sink)?;
        let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let (mut all, mut chunk) = (Vec::new(), [0; 65536]);
        // a connection that is reset has ended, too
        while let Ok(length @ 1..) = client.read(&mut chunk) {
            (&server).write_all(&chunk[..length])?;
            all.extend_from_slice(&chunk[..length]);
        }
        if let Some(points) = again {
            let mut totals = Http::connect(sink)?;
            until("the sink to hold all that was sent", || {
                let totals: serde_json::Value = serde_json::from_slice(&totals.get("/totals").body).ok()?;
                (totals["points"] == points).then_some(())
            });
            let mut again = TcpStream::connect(sink)?;
            again.write_all(&all)?;
            again.shutdown(Shutdown::Write)?;
            again.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // what fails is missing at the sink
            std::thread::spawn(move || pass(client));
        }
    });
    address
}

/// One request that is not acknowledged: the run is inexact, whatever arrived.
#[test]
fn an_unacknowledged_request_makes_the_result_inexact() {
    let refusing =
        Sink::start(SinkOptions { fail_status: Some(503), fail_rate: 0.25, ..SinkOptions::default() }).unwrap();
    let words = format!("--endpoint http://{} --series 400 --batch 100 --exports 1", refusing.address());
    let (ended, json) = load(&words);
    assert_eq!((ended.code(), &json["exact"], &json["failed_points"]), (3, &false.into(), &100.into()), "{json}");
    let (ended, json) = load(&format!("{words} --verify --sink {} --settle 1ms", address()));
    assert_eq!((ended.code(), &json["exact"], &json["missing_series"]), (3, &false.into(), &400.into()), "{json}");
}

/// A port that takes connections and speaks no gRPC: nothing is sent, and that is no success.
#[test]
fn a_port_that_does_not_speak_the_protocol_is_told() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = |scheme: &str| format!("{scheme}://{}", mute.local_addr().unwrap());
    let words = ["--duration", "100ms", "--drain", "50ms"];
    for (scheme, wanted) in [("grpc", "nothing was sent: check"), ("http", "nothing was acknowledged: check")] {
        let ended = output(command(&[&["load", "--endpoint", &endpoint(scheme)][..], &words].concat()));
        assert!(ended.code() == 3 && ended.stdout.contains(wanted), "{ended:?}");
        let (ended, json) = load(&format!("--endpoint {} {}", endpoint(scheme), words.join(" ")));
        assert!(ended.code() == 3 && ended.stderr.contains(wanted), "{ended:?}");
        assert_eq!((&json["exact"], &json["acknowledged_points"]), (&false.into(), &0.into()), "{json}");
    }
}

#[test]
fn what_cannot_be_started_is_told() {
    let ended = output(command(&["load", "--verify", "--encoding", "json", "--endpoint", "grpc://127.0.0.1:1"]));
    assert!(ended.code() == 2 && ended.stderr.contains("--encoding json"), "{ended:?}");
    let ended = output(command(&["load", "--verify", "--order", "zipf", "--kind", "gauge"]));
    assert!(ended.code() == 2 && ended.stderr.contains("change --kind"), "{ended:?}");
}

/// A terminal that is closed, or a full disk behind a redirection: what cannot be told does not change how the run ends.
#[test]
fn standard_error_that_takes_nothing_does_not_end_a_run() {
    let sink = Sink::start(SinkOptions::default()).unwrap();
    let endpoint = format!("grpc://{}", sink.address());
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let refusing = Sink::start(SinkOptions { fail_status: Some(14), ..SinkOptions::default() }).unwrap();
    let refused = format!("grpc://{}", refusing.address());
    let address = address().to_string();
    for (words, code) in [
        (&["load", "--exports", "1", "--endpoint", &endpoint][..], 0),
        (&["load", "--exports", "1", "--json", "--endpoint", &refused], 3),
        (&["load", "--verify", "--exports", "1", "--settle", "1ms", "--endpoint", &endpoint], 3),
        (&["load", "--exports", "1", "--endpoint", &format!("grpc://{address}")], 1),
        (&["load", "--exports", "0"], 2),
        (&["load", "--no-such-flag"], 2),
        (&["tune", "--duration", "1"], 2),
    ] {
        let status = command(words).stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{words:?}");
    }
    // nor does standard output, which is a failure of its own
    let status =
        command(&["load", "--exports", "1", "--endpoint", &endpoint]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
