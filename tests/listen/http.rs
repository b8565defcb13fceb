//! OTLP over HTTP/1.1 at the doors: R1, R3 to R9, R11 to R16, R18, T5, T12, T13, T28, T29.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::*;
use catchment::limits::ZSTD_STATE_BYTES;
use catchment::listen::{Answer, Options};
use catchment::model::{Door, Peer};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const ZSTD: (&str, &str) = ("content-encoding", "zstd");

/// R1, R5, R6: all encodings bring the same bytes to the intake; the answer to success is empty.
#[test]
fn r1_r5_r6_success_is_an_empty_answer() {
    let server = Server::start(Options::default());
    for size in [0, 1, 1_000, 300_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let zipped = gzip(&body);
        let packed = zstd(&body);
        let cases = [(&[PROTOBUF][..], &body), (&[PROTOBUF, GZIP][..], &zipped), (&[PROTOBUF, ZSTD][..], &packed)];
        for (headers, sent) in cases {
            let reply = post(&server, "/v1/metrics", headers, sent);
            assert_eq!(reply.status, 200, "{size}");
            assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
            assert!(reply.body.is_empty());
            let (door, seen) = server.shared.bodies.lock().unwrap().pop().unwrap();
            assert_eq!(door, Door::OtlpHttp);
            assert!(seen == body, "{size} bytes");
        }
    }
    server.wait("fifteen requests", |stats| stats.requests(Door::OtlpHttp, Answer::Ok) == 15);
    assert_eq!(server.held(), 0);
}

/// R6, R12, R13, R17: JSON comes to the intake as protobuf, whatever the encoding, and is answered in JSON.
#[test]
fn r6_r13_json_in_json_out() {
    let server = Server::start(Options::default());
    let json = ("content-type", "application/json; charset=utf-8");
    let text = br#"{"resourceMetrics":[{"schemaUrl":"partial"}]}"#;
    let wire = [&[0x0a, 9, 0x1a, 7][..], b"partial"].concat();
    let cases = [(&[json][..], text.to_vec()), (&[json, GZIP][..], gzip(text)), (&[json, ZSTD][..], zstd(text))];
    for (headers, body) in cases {
        let reply = post(&server, "/v1/metrics", headers, &body);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{headers:?}");
        assert_eq!(reply.body, b"{}");
        assert_eq!(server.shared.bodies.lock().unwrap().pop().unwrap(), (Door::OtlpHttp, wire.clone()));
    }
    let reply = post(&server, "/v1/metrics", &[json], b"{}");
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"{}"[..]), "R5");
    assert_eq!(server.held(), 0);
}

/// R4, R7, R8: rejected points are told by number, a warning by message alone, and messages are short.
#[test]
fn r7_r8_partial_success() {
    let server = Server::start(Options::default());
    let reply = post(&server, "/v1/metrics", &[PROTOBUF], b"partial");
    assert_eq!(reply.status, 200);
    let partial = ExportMetricsServiceResponse::decode(reply.body.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_data_points, partial.error_message.as_str()), (3, "negative delta"));
    let reply = post(&server, "/v1/metrics", &[PROTOBUF], b"warn");
    let partial = ExportMetricsServiceResponse::decode(reply.body.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 0);
    assert_eq!(partial.error_message, "x".repeat(4_096));
}

/// R16: answers are never compressed, asked for or not: all are short, and say no Content-Encoding.
#[test]
fn r16_answers_are_plain_whatever_is_accepted() {
    let server = Server::start(Options::default());
    for accepted in [None, Some("gzip"), Some("gzip;q=1.0, identity;q=0"), Some("br")] {
        let mut headers = vec![PROTOBUF];
        headers.extend(accepted.map(|accepted| ("accept-encoding", accepted)));
        for (body, status) in [(b"x".as_slice(), 200), (b"partial", 200), (b"warn", 200), (b"bad", 400)] {
            let reply = post(&server, "/v1/metrics", &headers, body);
            assert_eq!((reply.status, reply.header("content-encoding")), (status, None), "{accepted:?}");
            match status {
                200 => drop(ExportMetricsServiceResponse::decode(reply.body.as_slice()).unwrap()),
                _ => assert_eq!(Status::decode(reply.body.as_slice()).unwrap().code, 3),
            }
        }
    }
}

/// R9, R11, R12, R13, R14, R15: every refusal has its status, and a body in the encoding of the request.
#[test]
fn r11_to_r15_refusals() {
    let server = Server::start(Options::default());
    let json = ("content-type", "application/json");
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, i32);
    let table: [Row; 13] = [
        ("/v1/metrics", &[PROTOBUF], b"bad", 400, 3),
        ("/v1/metrics", &[PROTOBUF, GZIP], b"no gzip at all", 400, 3),
        ("/v1/metrics", &[PROTOBUF], b"busy", 503, 14),
        ("/v1/metrics", &[("content-type", "APPLICATION/X-Protobuf;q=1")], b"bad", 400, 3),
        ("/v1/metrics", &[("content-type", "text/plain")], b"x", 415, 3),
        ("/v1/metrics", &[], b"x", 415, 3),
        ("/v1/metrics", &[PROTOBUF, ("content-encoding", "br")], b"x", 415, 12),
        ("/v1/metrics", &[PROTOBUF, ("content-encoding", "gzip, gzip")], b"x", 415, 12),
        ("/v1/metrics", &[json], b"{\"resourceMetrics\":{}}", 400, 3),
        ("/v1/metrics", &[json, GZIP], b"{}", 400, 3),
        ("/v1/traces", &[PROTOBUF], b"x", 404, 5),
        ("/v1/logs", &[json], b"{}", 404, 5),
        ("/v1/metrics/", &[PROTOBUF], b"x", 404, 5),
    ];
    for (path, headers, body, status, code) in table {
        let reply = post(&server, path, headers, body);
        assert_eq!(reply.status, status, "{path} {headers:?}");
        if headers.contains(&json) {
            assert_eq!(reply.header("content-type"), Some("application/json"));
            let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(value["code"], code);
        } else {
            assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
            let value = Status::decode(reply.body.as_slice()).unwrap();
            assert_eq!(value.code, code, "{path} {headers:?}");
            assert!(!value.message.is_empty());
            match status {
                400 => assert_eq!(value.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest"),
                503 => {
                    assert_eq!(value.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
                    assert_eq!(reply.header("retry-after"), Some("2"));
                }
                _ => assert!(value.details.is_empty()),
            }
        }
    }
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let reply = read_reply(&mut stream);
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    assert!(server.bodies().is_empty());
    assert_eq!(server.held(), 0);
}

/// R3, T5: the limit holds before and after decompression, with and without a declared length.
#[test]
fn r3_bodies_are_limited() {
    let server = Server::start(Options { max_body: 1_000_000, ..Options::default() });
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF], &vec![1; 1_000_000]).status, 200);
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF], &vec![1; 1_000_001]).status, 413);
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF, GZIP], &gzip(&vec![1; 1_000_000])).status, 200);
    let reply = post(&server, "/v1/metrics", &[PROTOBUF, GZIP], &gzip(&vec![0; 50_000_000]));
    assert_eq!(reply.status, 413);
    assert_eq!(Status::decode(reply.body.as_slice()).unwrap().code, 8);
    let mut stream = server.connect();
    stream.write_all(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n").unwrap();
    stream.write_all(b"transfer-encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..11 {
        stream.write_all(b"186a0\r\n").unwrap();
        stream.write_all(&[7; 100_000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    assert_eq!(read_reply(&mut stream).status, 413);
    assert_eq!(server.held(), 0);
    assert!(server.shared.held_max.load(std::sync::atomic::Ordering::SeqCst) <= 2_200_000);
}

/// R3, T5: the same of zstd, whose decoder's window counts as held while it decodes.
#[test]
fn r3_zstd_bodies_are_limited() {
    let server = Server::start(Options { max_body: 1_000_000, ..Options::default() });
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF, ZSTD], &zstd(&vec![1; 1_000_000])).status, 200);
    let reply = post(&server, "/v1/metrics", &[PROTOBUF, ZSTD], &zstd(&vec![0; 50_000_000]));
    assert_eq!(reply.status, 413);
    let reply = post(&server, "/v1/metrics", &[PROTOBUF, ZSTD], b"no zstd at all");
    assert_eq!((reply.status, Status::decode(reply.body.as_slice()).unwrap().code), (400, 3));
    server.shared.budget.store(1_000_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF, ZSTD], &zstd(b"no room for a window")).status, 503);
    assert_eq!(server.held(), 0);
    assert!(server.shared.held_max.load(std::sync::atomic::Ordering::SeqCst) <= 2_200_000 + ZSTD_STATE_BYTES);
}

/// T5: bodies that inflate a thousandfold are inflated a slice at a time: others are answered meanwhile, and a client that
/// leaves in the middle leaves nothing behind.
#[test]
fn t5_inflating_delays_nobody() {
    inflating_delays_nobody(GZIP, &gzip(&vec![0; 16 << 20]));
    inflating_delays_nobody(ZSTD, &zstd(&vec![0; 16 << 20]));
}

fn inflating_delays_nobody(encoding: (&'static str, &'static str), bomb: &[u8]) {
    const MIB: usize = 1 << 20;
    let server = Server::start(Options::default());
    let mut other = server.connect();
    send_post(&mut other, "/v1/metrics", &[PROTOBUF], b"first");
    assert_eq!(read_reply(&mut other).status, 200);
    let mut bombs: Vec<_> = (0..4).map(|_| server.connect()).collect();
    server.pause_when(|_, held| held > MIB);
    std::thread::scope(|scope| {
        for stream in &mut bombs {
            scope.spawn(|| send_post(stream, "/v1/metrics", &[PROTOBUF, encoding], bomb));
        }
        // one thread serves them all: without slices nothing would be answered before a body is whole
        server.wait_for_pause();
        send_post(&mut other, "/v1/metrics", &[PROTOBUF], b"other");
        server.resume();
    });
    assert_eq!(read_reply(&mut other).status, 200);
    for stream in &mut bombs {
        assert_eq!(read_reply(stream).status, 200);
    }
    let sizes: Vec<_> = server.bodies().iter().map(|(_, body)| body.len()).collect();
    assert_eq!(
        sizes,
        [5, 5, 16 * MIB, 16 * MIB, 16 * MIB, 16 * MIB],
        "the other one was answered before a body was whole"
    );
    assert_eq!(server.held(), 0);
    server.pause_when(|_, held| held > MIB);
    let mut gone = server.connect();
    send_post(&mut gone, "/v1/metrics", &[PROTOBUF, encoding], bomb);
    server.wait_for_pause();
    drop(gone);
    server.resume();
    server.wait("its memory to be given back", |stats| server.held() == 0 && stats.connections.open == 5);
    assert_eq!(server.bodies().len(), 6, "who left was not applied");
}

/// J9, T5: JSON is read a slice at a time, too: once all of a body is there, others are still answered before it is applied.
#[test]
fn t5_reading_json_delays_nobody() {
    let server = Server::start(Options::default());
    let json = ("content-type", "application/json");
    let text = format!("{{\"resourceMetrics\":[{}{{}}]}}", "{},".repeat(4 << 20));
    let mut stream = server.connect();
    let mut other = server.connect();
    let whole = text.len() as u64;
    server.pause_when(move |stats, _| stats.body_bytes == whole);
    send_post(&mut stream, "/v1/metrics", &[json], text.as_bytes());
    server.wait_for_pause();
    assert!(server.bodies().is_empty(), "applied in the turn in which it was whole");
    send_post(&mut other, "/v1/metrics", &[PROTOBUF], b"other");
    server.resume();
    assert_eq!(read_reply(&mut other).status, 200);
    assert_eq!(read_reply(&mut stream).body, b"{}");
    let sizes: Vec<_> = server.bodies().iter().map(|(_, body)| body.len()).collect();
    assert_eq!(sizes, [5, 2 * (4 << 20) + 2], "the other one was answered first");
    assert_eq!(server.held(), 0);
    // a client that leaves in the middle leaves nothing behind
    server.pause_when(move |stats, _| stats.body_bytes == 2 * whole + 5);
    let mut gone = server.connect();
    send_post(&mut gone, "/v1/metrics", &[json], text.as_bytes());
    server.wait_for_pause();
    drop(gone);
    server.resume();
    server.wait("its memory to be given back", |stats| server.held() == 0 && stats.connections.open == 2);
    assert_eq!(server.bodies().len(), 2, "who left was not applied");
}

/// R3, R9: what JSON becomes counts against the limit and the budget.
#[test]
fn r3_r9_json_is_limited() {
    let server = Server::start(Options { max_body: 1_000_000, ..Options::default() });
    let json = ("content-type", "application/json");
    let counts = |n: usize| {
        let (open, close) =
            (r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"#, "}]}}]}]}]}");
        format!(r#"{open}"bucketCounts":[{}0]{close}"#, "0,".repeat(n)).into_bytes()
    };
    // a number takes two bytes of text and eight of protobuf
    for (n, status, code) in [(100_000, 200, None), (130_000, 413, Some(8))] {
        for (headers, body) in [(&[json][..], counts(n)), (&[json, ZSTD][..], zstd(&counts(n)))] {
            let reply = post(&server, "/v1/metrics", headers, &body);
            assert_eq!(reply.status, status, "{n}");
            let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(answer["code"].as_i64(), code);
        }
    }
    assert_eq!(server.held(), 0);
    server.shared.budget.store(500_000, std::sync::atomic::Ordering::SeqCst);
    let reply = post(&server, "/v1/metrics", &[json], &counts(100_000));
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(answer["details"][0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
    assert_eq!(server.held(), 0);
    let reply = post(&server, "/v1/metrics", &[json], b"{\"resourceMetrics\":[{]}");
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &answer["code"]), (400, &3.into()));
    assert_eq!(answer["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(answer["details"][0]["fieldViolations"][0]["description"], answer["message"]);
}

/// R9, R10: a body that the budget has no room for is refused at once, with a time to come back, and holds nothing.
#[test]
fn r9_no_budget_is_retryable() {
    let server = Server::start(Options::default());
    server.shared.budget.store(500_000, std::sync::atomic::Ordering::SeqCst);
    for (headers, body) in [(&[PROTOBUF][..], vec![1; 600_000]), (&[PROTOBUF, GZIP][..], gzip(&vec![1; 600_000]))] {
        let reply = post(&server, "/v1/metrics", headers, &body);
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert_eq!(server.held(), 0);
    }
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF], &vec![1; 100_000]).status, 200);
}

/// A client that leaves before it is clear what it speaks is let go at once, and its place with it: no time passes here.
#[test]
fn who_leaves_before_the_protocol_is_clear_keeps_no_place() {
    let server = Server::start(Options { connections_max: 3, ..Options::default() });
    for (count, bytes) in (1..).zip([&b""[..], b"P", b"PR", b"PRI", b"PRI * HTTP/2.0\r\n", b"G", b"POST /v1/me"]) {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        // half closed is enough: what is missing will not come
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_closed(&mut stream), "{bytes:?}");
        server.wait("its place", |stats| stats.connections.accepted == count && stats.connections.open == 0);
    }
}

/// RFC 9110, 8.4.1.3: x-gzip is gzip.
#[test]
fn x_gzip_is_gzip() {
    let server = Server::start(Options::default());
    for name in ["x-gzip", "X-GZip"] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        assert_eq!(post(&server, "/v1/metrics", &headers, &gzip(b"packed")).status, 200, "{name}");
        assert_eq!(server.bodies().pop().unwrap().1, b"packed");
    }
    let headers = [PROTOBUF, ("content-encoding", "x-zstd")];
    assert_eq!(post(&server, "/v1/metrics", &headers, b"x").status, 415);
}

/// R14: requests follow each other on one connection, also pipelined.
#[test]
fn keep_alive_and_pipelining() {
    let server = Server::start(Options::default());
    let mut stream = server.connect();
    for round in 0..50 {
        for _ in 0..1 + round % 3 {
            send_post(&mut stream, "/v1/metrics", &[PROTOBUF], b"0123456789");
        }
        for _ in 0..1 + round % 3 {
            assert_eq!(read_reply(&mut stream).status, 200);
        }
    }
    assert_eq!(server.bodies().len(), 99);
    assert_eq!(server.stats().connections.accepted, 1);
}

/// R18: a connection in the middle of its body does not delay others.
#[test]
fn r18_a_slow_body_delays_nobody() {
    let server = Server::start(Options::default());
    let mut slow = server.connect();
    slow.write_all(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 10\r\n\r\n01234").unwrap();
    for _ in 0..10 {
        assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF], b"fast").status, 200);
    }
    slow.write_all(b"56789").unwrap();
    assert_eq!(read_reply(&mut slow).status, 200);
}

/// T12: heads that do not end, bodies that trickle, connections that say nothing are closed by the clock, and only
/// they.
#[test]
fn t12_slow_clients_are_closed() {
    let server = Server::start(Options::default());
    let mut silent = server.connect();
    let mut sniffed = server.connect();
    sniffed.write_all(b"P").unwrap();
    let mut head = server.connect();
    head.write_all(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\n").unwrap();
    let mut body = server.connect();
    body.write_all(
        b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 10\r\n\r\n0",
    )
    .unwrap();
    let mut idle = server.connect();
    send_post(&mut idle, "/v1/metrics", &[PROTOBUF], b"x");
    assert_eq!(read_reply(&mut idle).status, 200);
    server.wait("five connections", |stats| stats.connections.open == 5 && stats.connections.wire_bytes_in >= 229);
    server.pass(Duration::from_secs(6));
    assert!(is_closed(&mut head));
    server.pass(Duration::from_secs(6));
    let reply = read_reply(&mut body);
    assert_eq!((reply.status, Status::decode(reply.body.as_slice()).unwrap().code), (408, 4));
    assert!(is_closed(&mut body));
    server.pass(Duration::from_secs(20));
    assert!(is_closed(&mut silent));
    assert!(is_closed(&mut sniffed));
    send_post(&mut idle, "/v1/metrics", &[PROTOBUF], b"x");
    assert_eq!(read_reply(&mut idle).status, 200, "an idle connection outlives all that");
    server.pass(Duration::from_secs(301));
    assert!(is_closed(&mut idle));
    assert_eq!(server.held(), 0);
}

/// T13: over the limit of connections new ones are closed at once, and admitted again when others have left.
#[test]
fn t13_connections_are_limited() {
    let server = Server::start(Options { connections_max: 3, ..Options::default() });
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait("three connections", |stats| stats.connections.open == 3);
    assert!(is_closed(&mut server.connect()));
    assert_eq!(server.wait("a refusal", |stats| stats.connections.refused == 1).connections.open, 3);
    held.pop();
    server.wait("room", |stats| stats.connections.open == 2);
    assert_eq!(post(&server, "/v1/metrics", &[PROTOBUF], b"x").status, 200);
}

/// A request and its answer on this connection; `None` where it was closed instead.
fn try_request(stream: &mut TcpStream) -> Option<u16> {
    let head =
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1\r\n\r\nx";
    // the server may have closed by then
    let _ = stream.write_all(head.as_bytes());
    let mut first = [0; 12];
    stream.read_exact(&mut first).ok()?;
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        rest.push(byte[0]);
    }
    std::str::from_utf8(&first[9..]).ok()?.parse().ok()
}

/// A request that is begun and waits for its body.
fn begin(server: &Server, peer: &str) -> TcpStream {
    let mut stream = server.connect_as(peer);
    let before = server.stats().connections.wire_bytes_in;
    let head =
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    server.wait("the head", |stats| stats.connections.wire_bytes_in == before + head.len() as u64);
    stream
}

/// The rest of such a request.
fn end(mut stream: TcpStream) -> Option<u16> {
    let _ = stream.write_all(b"x");
    let mut first = [0; 12];
    stream.read_exact(&mut first).ok()?;
    std::str::from_utf8(&first[9..]).ok()?.parse().ok()
}

/// T12: what came quickly at first is no credit for later: a body has to go on in each ten seconds.
#[test]
fn t12_a_body_that_stops_is_not_waited_for() {
    let server = Server::start(Options::default());
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2000000\r\n\r\n";
    let mut pair: Vec<_> = (0..2).map(|_| server.connect()).collect();
    let mut sent = 0;
    let mut send = |stream: &mut TcpStream, bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        sent += bytes.len() as u64;
        server.wait("what was sent", |stats| stats.connections.wire_bytes_in == sent);
    };
    for stream in &mut pair {
        send(stream, head.as_bytes());
        send(stream, &[0; 1_000_000]);
    }
    for _ in 0..7 {
        send(&mut pair[1], &[0; 6_000]);
        server.pass(Duration::from_secs(5));
    }
    assert_eq!(read_reply(&mut pair[0]).status, 408);
    pair[1].write_all(&[0; 2_000_000 - 1_000_000 - 42_000]).unwrap();
    assert_eq!(read_reply(&mut pair[1]).status, 200);
    assert_eq!(server.held(), 0);
}

/// T12: nor is one that goes on and on.
#[test]
fn t12_a_body_that_does_not_end_is_not_waited_for() {
    let server = Server::start(Options::default());
    let mut stream = server.connect();
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut sent = head.len() as u64;
    server.wait("the head", |stats| stats.connections.wire_bytes_in == sent);
    for _ in 0..60 {
        server.pass(Duration::from_secs(5));
        stream.write_all(&[0; 12_000]).unwrap();
        sent += 12_000;
        server.wait("what was sent", |stats| stats.connections.wire_bytes_in == sent);
    }
    server.pass(Duration::from_secs(1));
    let reply = read_reply(&mut stream);
    assert_eq!(reply.status, 408);
    assert!(String::from_utf8_lossy(&reply.body).contains("5 minutes"));
    assert!(is_closed(&mut stream));
    assert_eq!(server.held(), 0);
}

/// T13: over the limit the connection that is idle longest makes room; one with a request in hand does not, nor one that
/// was idle for a moment only.
#[test]
fn t13_idle_connections_make_room() {
    let server = Server::start(Options { connections_max: 3, ..Options::default() });
    let mut oldest = server.connect();
    assert_eq!(try_request(&mut oldest), Some(200));
    server.pass(Duration::from_millis(500));
    let mut older = server.connect();
    assert_eq!(try_request(&mut older), Some(200));
    let busy = begin(&server, "127.0.0.1");
    assert!(is_closed(&mut server.connect()), "all were at work within the last second");
    server.pass(Duration::from_millis(600));
    let mut new = server.connect();
    assert_eq!(try_request(&mut new), Some(200));
    assert!(is_closed(&mut oldest));
    assert_eq!(try_request(&mut older), Some(200));
    assert_eq!(end(busy), Some(200));
    let stats = server.wait("the counts", |stats| stats.connections.refused == 2);
    assert_eq!(stats.connections.accepted, 4);
}

/// T13: over HTTP/2 it is told so.
#[test]
fn t13_an_idle_http2_connection_is_told() {
    let server = Server::start(Options { connections_max: 1, ..Options::default() });
    let mut idle = server.connect();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    server.wait("the preface", |stats| stats.connections.wire_bytes_in == 33);
    server.pass(Duration::from_secs(2));
    assert_eq!(try_request(&mut server.connect()), Some(200));
    let mut bytes = Vec::new();
    idle.read_to_end(&mut bytes).unwrap();
    // GOAWAY, with NO_ERROR
    assert!(bytes.windows(17).any(|frame| frame[3] == 7 && frame[13..] == [0; 4]), "{bytes:?}");
}

/// T13: a peer alone may have all; of one that has most, others get their share, from what is idle first, and then from
/// what is without progress for longest.
#[test]
fn t13_who_has_most_makes_room_for_others() {
    let server = Server::start(Options { connections_max: 4, ..Options::default() });
    let mut busy = Vec::new();
    for _ in 0..3 {
        busy.push(begin(&server, "127.0.0.1"));
        server.pass(Duration::from_millis(100));
    }
    let mut idle = server.connect();
    assert_eq!(try_request(&mut idle), Some(200));
    let (mut one, mut two) = (server.connect_as("127.0.0.2"), server.connect_as("127.0.0.2"));
    assert_eq!(try_request(&mut one), Some(200));
    assert!(is_closed(&mut idle));
    assert_eq!(try_request(&mut two), Some(200));
    assert_eq!(end(busy.remove(0)), None, "the longest without progress");
    assert!(is_closed(&mut server.connect_as("127.0.0.2")), "both have the same now");
    for stream in busy {
        assert_eq!(end(stream), Some(200));
    }
    assert_eq!(try_request(&mut one), Some(200));
    assert_eq!(try_request(&mut two), Some(200));
}

#[test]
fn what_is_handed_on_says_whom_it_is_from() {
    let server = Server::start(Options::default());
    let mut both = [server.connect_as("127.0.0.2"), server.connect_as("127.0.0.3")];
    for n in [0, 1, 0] {
        assert_eq!(try_request(&mut both[n]), Some(200));
    }
    let peer = |text: &str| Peer::from(text.parse::<std::net::IpAddr>().unwrap());
    let expected = ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map(peer);
    assert_eq!(*server.shared.peers.lock().unwrap(), expected);
}

/// T13: who has most gets room from his own connections, not from others that are idle for longer.
#[test]
fn t13_a_crowd_displaces_its_own() {
    let server = Server::start(Options { connections_max: 3, ..Options::default() });
    let mut other = server.connect_as("127.0.0.2");
    assert_eq!(try_request(&mut other), Some(200));
    server.pass(Duration::from_secs(2));
    let mut crowd: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut crowd {
        assert_eq!(try_request(stream), Some(200));
    }
    server.pass(Duration::from_secs(2));
    for _ in 0..5 {
        let mut new = server.connect();
        assert_eq!(try_request(&mut new), Some(200));
        crowd.push(new);
        server.pass(Duration::from_secs(2));
    }
    assert_eq!(try_request(&mut other), Some(200));
    assert_eq!(server.stats().connections.accepted, 8);
}

/// R12, T28, T29: heads that are too large, and heads that two servers could read in two ways: refused with a body that
/// says why, nothing applied, closed.
#[test]
fn r12_t28_t29_bad_heads() {
    let server = Server::start(Options::default());
    let post = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let many = format!("{post}{}\r\n", "baggage: a=b\r\n".repeat(10_000));
    let long = format!("{post}a: {}\r\n\r\n", "b".repeat(20_000));
    let both = "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let turned = "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let target = format!("POST /v1/metrics?{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000));
    let mut heads =
        vec![(many, 431), (long, 431), (target, 414), ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400)];
    for rest in [
        both,
        turned,
        "content-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "content-length: 1, 1\r\n\r\nx",
        "content-length: -1\r\n\r\n",
        "content-length: +1\r\n\r\nx",
        "a: b\r\n c\r\ncontent-length: 1\r\n\r\nx",
        "a: b\ncontent-length: 1\r\n\r\nx",
        "content-length: 1\r\n\nx",
        "content-length : 1\r\n\r\nx",
        "transfer-encoding: chunked, gzip\r\n\r\n",
        "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
    ] {
        heads.push((format!("{post}{rest}"), 400));
    }
    for (head, status) in &heads {
        // alone, and behind a request that is well, in one packet
        for before in [false, true] {
            let mut stream = server.connect();
            let good = format!("{post}content-length: 4\r\n\r\ngood");
            let bytes = if before { good + head } else { head.clone() };
            // the server may close before all of it is written
            let _ = stream.write_all(bytes.as_bytes());
            let shown = &head[..head.len().min(200)];
            if before {
                assert_eq!(read_reply(&mut stream).status, 200, "before {shown:?}");
            }
            let reply = read_reply(&mut stream);
            assert_eq!(reply.status, *status, "{shown:?}");
            assert_eq!(reply.header("content-type"), Some("application/x-protobuf"), "{shown:?}");
            let words = Status::decode(reply.body.as_slice()).unwrap();
            assert_eq!(words.code, if *status == 431 { 8 } else { 3 }, "{shown:?}");
            assert!(!words.message.is_empty());
            assert!(is_closed(&mut stream), "{shown:?}");
        }
    }
    assert!(server.bodies().iter().all(|(_, body)| body == b"good"), "nothing else is applied");
    assert_eq!(server.bodies().len(), heads.len());
    assert_eq!(server.held(), 0);
    server.wait("each counted", |stats| stats.protocol_errors == 2 * heads.len() as u64);
}

/// RFC 9112, 3.2: a request of HTTP/1.1 says once, and well, whom it is for; one of HTTP/1.0 need not. A refusal applies
/// nothing and is in the encoding of the request.
#[test]
fn a_request_says_whom_it_is_for() {
    let server = Server::start(Options::default());
    let rest = "content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    for (version, host, status) in [
        ("1.1", "", 400),
        ("1.1", "host: x\r\nhost: x\r\n", 400),
        ("1.1", "host: x\r\nHost: y\r\n", 400),
        ("1.1", "host: x/y\r\n", 400),
        ("1.1", "host: x y\r\n", 400),
        ("1.1", "host: x:y\r\n", 400),
        ("1.0", "host: x\r\nhost: x\r\n", 400),
        ("1.0", "", 200),
        ("1.1", "host:\r\n", 200),
        ("1.1", "Host: [::1]:4318\r\n", 200),
    ] {
        let mut stream = server.connect();
        stream.write_all(format!("POST /v1/metrics HTTP/{version}\r\n{host}{rest}").as_bytes()).unwrap();
        let reply = read_reply(&mut stream);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, Some("application/json")),
            "{version} {host:?}"
        );
        assert_eq!(server.bodies().len(), usize::from(status == 200));
        server.shared.bodies.lock().unwrap().clear();
        if status == 400 {
            let words: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(words["message"].as_str().unwrap().contains("Host header"), "{words}");
        }
    }
    assert_eq!(server.held(), 0);
}

/// T29: what is refused is refused when its fault is there, however the bytes are cut and whatever may follow: no time
/// passes here.
#[test]
fn t29_faults_are_answered_at_once() {
    let server = Server::start(Options::default());
    let post = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n");
    for (head, fault) in [
        ("POST /v1/metrics", " HTTP/1.1\n"),
        (post, "a: b\n"),
        (post, "\n"),
        (post, "a: b\r\n c: d\r\n"),
        (post, "content-length: 1\r\ncontent-length: 1\r\n"),
        (post, "transfer-encoding: gzip\r\n"),
        (&chunked, "1\n"),
        (&chunked, "1;x=y\n"),
        (&chunked, "1 ;x\r\nx\n"),
        (&chunked, "0;x\n"),
        (&chunked, "0\r\n\n"),
        (&chunked, "0\r\na: b\n"),
        (&chunked, "0\r\na: b\r\n c: d\r\n"),
        (&chunked, "0\r\na: b\r\nc: d\n"),
    ] {
        for cut in 0..fault.len() {
            let idle = server.wait("the one before to be over", |stats| stats.connections.open == 0);
            let mut seen = idle.connections.wire_bytes_in;
            let mut stream = server.connect();
            for piece in [head, &fault[..cut]] {
                stream.write_all(piece.as_bytes()).unwrap();
                seen += piece.len() as u64;
                server.wait("the piece", |stats| stats.connections.wire_bytes_in == seen);
            }
            stream.write_all(&fault.as_bytes()[cut..]).unwrap();
            assert_eq!(read_reply(&mut stream).status, 400, "{fault:?} cut at {cut}");
            assert!(is_closed(&mut stream), "{fault:?} cut at {cut}");
        }
    }
    assert!(server.bodies().is_empty());
    assert_eq!(server.held(), 0);
}

/// T29: what is framed beyond doubt is served, however the bytes are cut.
#[test]
fn t29_plain_framing_passes_in_any_pieces() {
    let server = Server::start(Options::default());
    let post = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let sized = format!("{post}Content-Length: 9\r\n\r\na\n\r\n\r\n b:");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\nc\n\r\n01;x=y\r\nd\r\n0\r\n\r\n");
    let all = [sized.as_str(), &chunked, "\r\n", &sized].concat();
    for piece in [1, 2, 3, 7, 50, all.len()] {
        let mut stream = server.connect();
        stream.set_nodelay(true).unwrap();
        for bytes in all.as_bytes().chunks(piece) {
            stream.write_all(bytes).unwrap();
        }
        for _ in 0..3 {
            assert_eq!(read_reply(&mut stream).status, 200, "pieces of {piece}");
        }
        let bodies = std::mem::take(&mut *server.shared.bodies.lock().unwrap());
        let bodies: Vec<&[u8]> = bodies.iter().map(|(_, body)| body.as_slice()).collect();
        assert_eq!(bodies, [b"a\n\r\n\r\n b:".as_slice(), b"c\nd", b"a\n\r\n\r\n b:"], "pieces of {piece}");
    }
}

/// Stopping: no new connections, idle ones are closed, a request in hand is answered.
#[test]
fn stopping_finishes_what_is_begun() {
    let server = Server::start(Options::default());
    let mut idle = server.connect();
    send_post(&mut idle, "/v1/metrics", &[PROTOBUF], b"x");
    assert_eq!(read_reply(&mut idle).status, 200);
    let mut busy = server.connect();
    busy.write_all(
        b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4\r\n\r\n12",
    )
    .unwrap();
    server.wait("a body begun", |stats| stats.body_bytes == 3);
    server.stop();
    assert!(is_closed(&mut idle));
    assert!(!server.shared.idle.load(std::sync::atomic::Ordering::SeqCst));
    assert!(std::net::TcpStream::connect(server.address).is_err());
    busy.write_all(b"34").unwrap();
    let reply = read_reply(&mut busy);
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    drop((busy, idle));
    server.wait("all closed", |stats| stats.connections.open == 0);
    assert!(server.shared.idle.load(std::sync::atomic::Ordering::SeqCst));
}
