//! Memory, seen from outside: resident memory stays within `--memory-limit`, and what was freed goes back to the system.
//!
//! About 15 s. `tools/attack --limits 40,256,1024` tries it with all there is.

use crate::binary::process::{Catchment, Http, samples, total, until, wall_ns};
use crate::common::{attribute, histogram, histogram_point, int, number, request_of, sum};
use catchment::limits::{MEMORY_LIMIT_MIN, MIB};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use prost::Message;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A number of the process's status, bytes.
fn memory(catchment: &Catchment, what: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", catchment.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Metrics `from..to`, one point each, with descriptions of 4,000 bytes.
fn described(from: usize, to: usize) -> Vec<u8> {
    let now = wall_ns();
    let metrics = (from..to).map(|i| {
        let mut metric = sum(&format!("m{i}"), 1, true, vec![number(&[], now - 1, now, int(1))]);
        metric.description = format!("{i:04000}");
        metric
    });
    request_of("svc", metrics.collect()).encode_to_vec()
}

/// Descriptions count: twice the limit of them is sent, at the least limit that there is.
#[test]
fn descriptions_do_not_pass_the_limit() {
    let limit = format!("{}MiB", MEMORY_LIMIT_MIN / MIB);
    let catchment = Catchment::start(&["--shards", "1", "--interval", "200ms", "--memory-limit", &limit]);
    let mut http = catchment.http();
    for from in (0..20_000).step_by(500) {
        let reply = http.export(&described(from, from + 500)).expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let peak = memory(&catchment, "VmHWM");
    assert!(peak <= MEMORY_LIMIT_MIN / 20 * 21, "{} MiB of {limit}", peak / MIB);
    assert_eq!(catchment.admin().get("/ledger").json()["balanced"], true);
    assert_eq!(catchment.terminate().code(), 0);
}

/// A connection from `from` that has begun a body of 8 MB and brought all but the last megabyte.
fn begun(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("a listener");
    let mut stream = TcpStream::from(socket);
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 8000000\r\n\r\n";
    // one that is refused meanwhile takes no more
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![0; 7_000_000]));
    stream
}

/// What a body of 8,000,000 bytes takes of the budget.
const BODY_TAKEN: f64 = 8_388_608.0;

/// Alone an address may have the whole budget for bodies; as soon as another is refused, the slowest bodies of the first are
/// ended, answered, until it has half, and the other one is served.
#[test]
fn who_holds_the_budget_for_bodies_gives_way() {
    for shards in ["1", "2"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "200ms", "--memory-limit", "96MiB"]);
        let address = catchment.ports.otlp_http.expect("a door");
        let mut admin = catchment.admin();
        let mut held = Vec::new();
        let full = |admin: &mut Http| {
            let page = samples(admin.get("/metrics").text());
            let (taken, limit) =
                (total(&page, "catchment_body_budget_bytes"), total(&page, "catchment_body_budget_limit_bytes"));
            (taken, limit)
        };
        let (mut taken, limit) = full(&mut admin);
        for _ in 0..8 {
            if taken + BODY_TAKEN > limit {
                break;
            }
            held.push(begun([127, 0, 0, 1], address));
            let before = taken;
            taken = until("it is held", || {
                let (taken, _) = full(&mut admin);
                (taken >= before + 7_000_000.0).then_some(taken)
            });
        }
        assert!(taken > limit * 0.5 && held.len() >= 2, "alone it has {taken} of {limit}");
        // what another address asks for has no room beside that
        let begun_at = Instant::now();
        let mut tries = 0;
        let mut other = loop {
            tries += 1;
            assert!(tries < 50 && begun_at.elapsed() < Duration::from_secs(8), "refused {tries} times");
            let mut other = begun([127, 0, 0, 2], address);
            if other.write_all(&vec![0; 1_000_000]).is_ok() {
                let mut reply = [0; 12];
                // a body of zeros is no request: it was taken whole and looked at
                if other.read_exact(&mut reply).is_ok() && reply.ends_with(b"400") {
                    break other;
                }
            }
        };
        other.write_all(b"").expect("it is there");
        // the first one was told
        let mut told = 0;
        for stream in &mut held {
            stream.set_nonblocking(true).expect("a socket");
            let mut reply = [0; 12];
            told += usize::from(stream.read(&mut reply).is_ok() && reply.ends_with(b"503"));
        }
        assert!(told >= 1, "{told} of {}", held.len());
        drop(held);
        assert_eq!(catchment.admin().get("/ledger").json()["balanced"], true);
        assert_eq!(catchment.terminate().code(), 0);
    }
}

/// Where the system has no memory for the process, requests are refused, and it goes on, whatever they bring: long attributes,
/// histograms whose blocks are taken at the cut, names.
#[test]
fn no_memory_from_the_system_is_an_answer() {
    let value = "v".repeat(3_900);
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}")).collect();
    let bounds: Vec<f64> = (0..1_000).map(f64::from).collect();
    let attributes = |i: usize, now: u64| {
        let own = format!("{i}{value}");
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), own.as_str())).collect();
        sum("m", 1, true, vec![number(&pairs, now - 1, now, int(1))])
    };
    let buckets = |i: usize, now: u64| {
        histogram("h", 1, vec![histogram_point(&[("k", &i.to_string())], now, &[1; 1_001], &bounds, 5.0)])
    };
    let names = |i: usize, now: u64| sum(&format!("n{i}"), 1, true, vec![number(&[], now - 1, now, int(1))]);
    answers_without_memory("attributes", 20, attributes);
    answers_without_memory("histograms", 50, buckets);
    answers_without_memory("names", 2_000, names);
}

/// Requests of so many metrics, until twenty were refused.
fn answers_without_memory(what: &str, each: usize, metric: impl Fn(usize, u64) -> Metric) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 600000; exec \"$0\" \"$@\""]).arg(env!("CARGO_BIN_EXE_catchment"));
    command.args(["run", "--shards", "1", "--interval", "200ms", "--memory-limit", "4GiB", "--max-body", "8MiB"]);
    for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
        command.args([door, "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let catchment = Catchment::spawn(command);
    let mut http = catchment.http();
    let (mut applied, mut refused) = (0, 0);
    for from in (0..1_000).map(|request| request * each) {
        let now = wall_ns();
        let metrics = (from..from + each).map(|i| metric(i, now));
        let reply = http.export(&request_of("svc", metrics.collect()).encode_to_vec()).expect("an answer");
        match reply.status {
            200 => applied += each,
            // refused before it is whole, which ends the connection
            503 => (refused, http) = (refused + 1, catchment.http()),
            other => panic!("{what}: {other}: {reply:?}"),
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "{what}: of {applied} points applied");
    assert_eq!(catchment.scraper().get("/metrics").status, 200, "{what}");
    let mut admin = catchment.admin();
    assert_eq!(admin.get("/readyz").status, 200);
    let ledger = admin.get("/ledger").json();
    assert_eq!((&ledger["balanced"], &ledger["received"]), (&true.into(), &applied.into()), "{what}: {ledger}");
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && ended.ledger().ends_with("balanced"), "{what}: {ended:?}");
}

/// What a process may keep of what died, bytes: tables and lists that have grown, and what the allocator holds in pieces.
const KEPT_BYTES: usize = 16 * MIB;

/// Sends these bodies to a process in which series live for five seconds, which is longer than sending takes, and waits until what they took is given back although
/// nothing else happens in it.
fn dies_and_goes_back(what: &str, least_grown: usize, bodies: impl Iterator<Item = Vec<u8>>) {
    let catchment = Catchment::start(&[
        "--shards",
        "1",
        "--interval",
        "100ms",
        "--expire",
        "5s",
        "--memory-limit",
        "256MiB",
        "--max-body",
        "16MiB",
    ]);
    let before = memory(&catchment, "VmRSS");
    let mut http = catchment.http();
    for body in bodies {
        assert_eq!(http.export(&body).expect("an answer").status, 200);
    }
    let mut admin = catchment.admin();
    // a part of it is made at the next cut
    until("something to give back", || {
        assert_eq!(admin.get("/readyz").status, 200);
        (memory(&catchment, "VmHWM") - before > least_grown).then_some(())
    });
    until(what, || {
        assert_eq!(admin.get("/readyz").status, 200);
        let kept = memory(&catchment, "VmRSS").saturating_sub(before);
        (kept < KEPT_BYTES).then_some(())
    });
    assert_eq!(catchment.admin().get("/ledger").json()["balanced"], true);
    assert_eq!(catchment.terminate().code(), 0);
}

/// After a mass death of groups the process is small again.
#[test]
fn groups_that_died_go_back_to_the_system() {
    let body = |from: usize| {
        let now = wall_ns();
        let mut all = request_of("svc", Vec::new());
        all.resource_metrics.clear();
        for i in from..from + 1_000 {
            let point = vec![number(&[], now - 1, now, int(1))];
            let mut one = request_of("svc", vec![sum("m", 1, true, point)]).resource_metrics;
            let resource = one[0].resource.as_mut().expect("a resource");
            resource.attributes.push(attribute("id", &format!("{i:03800}")));
            all.resource_metrics.append(&mut one);
        }
        all.encode_to_vec()
    };
    dies_and_goes_back("groups", 40 * MIB, (0..10_000).step_by(1_000).map(body));
}

/// Cells and blocks of histograms, which lie in a slab, and routes.
#[test]
fn cells_that_died_go_back_to_the_system() {
    let bounds: Vec<f64> = (0..100).map(f64::from).collect();
    let body = |from: usize| {
        let now = wall_ns();
        let points =
            (from..from + 1_000).map(|i| histogram_point(&[("k", &i.to_string())], now, &[1; 101], &bounds, 5.0));
        request_of("svc", vec![histogram("h", 1, points.collect())]).encode_to_vec()
    };
    dies_and_goes_back("histograms", 40 * MIB, (0..20_000).step_by(1_000).map(body));
}
