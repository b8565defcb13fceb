//! The real binary and one very large request: others are served beside it, and it is there whole or not at all, whether its
//! client stays, leaves, or the process is told to end.

use crate::binary::backend::Backend;
use crate::binary::process::{Catchment, Http, samples, total, until, wall_ns};
use crate::common::{attribute, int, number, request, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A request of so many series, all of them new where `name` is, and some points that are rejected.
fn births(name: &str, count: usize) -> Vec<u8> {
    let now = wall_ns();
    let point = |i: usize| number(&[("i", &i.to_string())], now - 1, if i % 1_000 == 7 { 0 } else { now }, int(1));
    request(vec![sum(name, 1, true, (0..count).map(point).collect())]).encode_to_vec()
}

fn small() -> Vec<u8> {
    let now = wall_ns();
    request(vec![sum("small", 1, true, vec![number(&[], now - 1, now, int(1))])]).encode_to_vec()
}

/// The request as it stands on a connection.
fn over_http1(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn received(admin: &mut Http) -> u64 {
    let ledger = admin.get("/ledger").json();
    assert_eq!(ledger["balanced"], true, "{ledger}");
    ledger["received"].as_u64().unwrap()
}

/// Sends such requests until one is seen when only a part of it is applied: its connection, and how many were sent.
fn apply_a_part(catchment: &Catchment, count: usize) -> (TcpStream, usize) {
    let mut admin = catchment.admin();
    for sent in 1..=20 {
        let mut big = TcpStream::connect(catchment.ports.otlp_http.unwrap()).unwrap();
        big.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        big.write_all(&over_http1(&births(&format!("births.{sent}"), count))).unwrap();
        let before = ((sent - 1) * count) as u64;
        let now = until("a part is applied", || Some(received(&mut admin)).filter(|received| *received > before));
        if now < before + count as u64 {
            return (big, sent);
        }
    }
    panic!("each is applied in one piece, or faster than anyone can look");
}

/// A resource, a scope and a description of many megabytes cost no point, and what is shown is cut.
#[test]
fn heads_of_any_length_are_taken() {
    let catchment = Catchment::start(&["--shards", "1", "--interval", "100ms", "--out", "stdout"]);
    let long = "\u{8a9e}".repeat(1 << 20);
    let mut body = request(vec![sum("m", 1, true, vec![number(&[], wall_ns() - 1, wall_ns(), int(1))])]);
    let resource = &mut body.resource_metrics[0];
    resource.resource = Some(Resource { attributes: vec![attribute("long", &long)], ..Resource::default() });
    resource.scope_metrics[0].scope.get_or_insert_default().name = long.clone();
    resource.scope_metrics[0].metrics[0].description = long;
    let mut http = catchment.http();
    for times in 0..2 {
        let reply = http.export(&body.encode_to_vec()).unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let said = ExportMetricsServiceResponse::decode(&*reply.body).unwrap().partial_success.unwrap_or_default();
        assert_eq!((said.rejected_data_points, said.error_message.contains("were cut")), (0, times == 0), "{said:?}");
    }
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().contains("received 2 = applied 2 + rejected 0") && ended.ledger().ends_with("balanced"));
    assert!(ended.stdout.lines().all(|line| line.len() < 20_000), "cut");
}

/// Small requests are answered while a large one is decoded and applied, and no turn of the loop takes long.
#[test]
fn others_are_served_beside_a_very_large_request() {
    const COUNT: usize = 100_000;
    let catchment = Catchment::start(&["--shards", "1", "--interval", "500ms", "--prometheus", "127.0.0.1:0"]);
    let over = AtomicBool::new(false);
    let body = births("births", COUNT);
    let (took, served) = std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let (mut http, mut served) = (catchment.http(), 0u64);
            while !over.load(SeqCst) {
                assert_eq!(http.export(&small()).unwrap().status, 200);
                served += 1;
            }
            served
        });
        let begun = Instant::now();
        let reply = catchment.http().export(&body).unwrap();
        let took = begun.elapsed();
        over.store(true, SeqCst);
        assert_eq!(reply.status, 200);
        let words = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(words.contains("100 sum point(s)"), "one answer for all slices: {words}");
        (took, good.join().unwrap())
    });
    assert!(served > 20, "{served} requests in {took:?}");
    let mut admin = catchment.admin();
    let page = samples(admin.get("/metrics").text());
    let turns = page.iter().filter(|(series, _)| series.starts_with("catchment_loop_turn_max_seconds"));
    let longest = turns.map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    assert!(longest > 0.0 && longest < took.as_secs_f64() / 4.0, "a turn of {longest} s, {took:?} in all");
    let ledger = admin.get("/ledger?verify=1").json();
    assert_eq!((&ledger["received"], &ledger["balanced"]), (&(COUNT as u64 + served).into(), &true.into()), "{ledger}");
    assert_eq!(catchment.terminate().code(), 0);
}

/// A client that leaves in the midst of it leaves all of its points, and what the request held is given back.
#[test]
fn a_request_whose_client_leaves_is_applied_to_its_end() {
    const COUNT: usize = 60_000;
    let catchment = Catchment::start(&["--shards", "1", "--interval", "500ms", "--prometheus", "127.0.0.1:0"]);
    let (big, sent) = apply_a_part(&catchment, COUNT);
    drop(big);
    let mut admin = catchment.admin();
    until("all is applied", || (received(&mut admin) == (sent * COUNT) as u64).then_some(()));
    // another one gets its turn
    let reply = catchment.http().export(&births("more", COUNT)).unwrap();
    assert_eq!(reply.status, 200);
    let ledger = admin.get("/ledger?verify=1").json();
    assert_eq!(
        (&ledger["received"], &ledger["balanced"]),
        (&((sent as u64 + 1) * COUNT as u64).into(), &true.into()),
        "{ledger}"
    );
    let page = samples(admin.get("/metrics").text());
    assert_eq!(total(&page, "catchment_body_budget_bytes"), 0.0);
    assert_eq!(catchment.terminate().code(), 0);
}

/// The end of the process comes in the midst of it, and a second signal that leaves calls no time: the last cut waits for the
/// rest of it.
#[test]
fn a_request_that_is_applied_at_the_end_is_in_the_last_cut() {
    const COUNT: usize = 15_000;
    let backend = Backend::start();
    let out = backend.url("temporality=delta");
    let catchment = Catchment::start(&["--shards", "1", "--interval", "1h", "--expire", "2h", "--out", &out]);
    let (mut big, sent) = apply_a_part(&catchment, COUNT);
    catchment.signal("TERM");
    catchment.signal("INT");
    let mut answer = Vec::new();
    let _ = big.read_to_end(&mut answer);
    let ended = catchment.wait();
    let line = ended.ledger();
    let (all, rejected) = (sent * COUNT, sent * COUNT / 1_000);
    let input = format!("received {all} = applied {} + rejected {rejected} + discarded 0; ", all - rejected);
    assert!(line.contains(&input), "{input} in {line}");
    assert!(line.contains(&format!("applied = open 0 + emitted {}", all - rejected)), "{line}");
}
