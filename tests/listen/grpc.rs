//! gRPC and OTLP/HTTP over HTTP/2 at the doors: R1, R2, R5 to R9, R11, R14, R15, R18, R25, T1 to T3, T12.

use std::io::{Read, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::support::*;
use bytes::Bytes;
use catchment::limits;
use catchment::listen::{Answer, Options};
use catchment::model::{Door, Peer};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

const PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");
const ZSTD: (&str, &str) = ("grpc-encoding", "zstd");

type Headers<'a> = &'a [(&'a str, &'a str)];

struct Reply2 {
    http: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Trailers, or the headers where these ended the stream.
    end: HeaderMap,
}

impl Reply2 {
    fn grpc(&self) -> i32 {
        self.end.get("grpc-status").expect("a grpc-status").to_str().unwrap().parse().unwrap()
    }
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(test)
}

async fn connect(server: &Server) -> SendRequest<Bytes> {
    connect_as(server, "127.0.0.1").await
}

async fn connect_as(server: &Server, peer: &str) -> SendRequest<Bytes> {
    let stream = server.connect_as(peer);
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    // the client's own guard against small DATA frames grows with its window: at the default one, two hundred answers of
    // five bytes that come faster than it reads end the connection on its side
    let client = h2::client::Builder::new().initial_connection_window_size(1 << 20).handshake(stream);
    let (send, connection) = client.await.unwrap();
    tokio::spawn(connection);
    send.ready().await.unwrap()
}

fn request(method: &str, path: &str, headers: Headers<'_>) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn read(response: ResponseFuture) -> Reply2 {
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.unwrap();
        body.extend_from_slice(&chunk);
        stream.flow_control().release_capacity(chunk.len()).unwrap();
    }
    let trailers = stream.trailers().await.unwrap();
    let end = trailers.unwrap_or_else(|| head.headers.clone());
    Reply2 { http: head.status.as_u16(), headers: head.headers, body, end }
}

/// One call whose body is sent in these pieces, each a DATA frame or more.
async fn call(send: &SendRequest<Bytes>, path: &str, headers: Headers<'_>, pieces: &[&[u8]]) -> Reply2 {
    let mut send = send.clone().ready().await.unwrap();
    let (response, mut stream) = send.send_request(request("POST", path, headers), pieces.is_empty()).unwrap();
    for (index, piece) in pieces.iter().enumerate() {
        // an answer may come, and the stream end, before all is sent
        if stream.send_data(Bytes::copy_from_slice(piece), index + 1 == pieces.len()).is_err() {
            break;
        }
    }
    read(response).await
}

async fn export(send: &SendRequest<Bytes>, message: &[u8]) -> Reply2 {
    call(send, PATH, &[GRPC], &[&framed(0, message)]).await
}

/// R1, R5, R6, R25: whatever the size, the encoding and the cuts between frames, the intake sees the same message.
#[test]
fn r1_r25_messages_arrive_whole() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        for size in [0, 1, 2_000, 100_000, 3_000_000] {
            let message: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let (plain, zipped) = (framed(0, &message), framed(1, &gzip(&message)));
            let packed = framed(1, &zstd(&message));
            let cases: [(Headers, Vec<&[u8]>); 7] = [
                (&[GRPC, ZSTD], vec![&plain]),
                (&[GRPC, ZSTD], packed.chunks(packed.len() / 3 + 1).collect()),
                (&[GRPC], vec![&plain]),
                (&[GRPC, GZIP], vec![&plain]),
                (&[GRPC, GZIP], vec![&zipped]),
                (&[GRPC], plain.chunks(plain.len() / 7 + 1).collect()),
                (&[GRPC, ("grpc-encoding", "identity")], vec![&plain[..3], &plain[3..5], &plain[5..], b""]),
            ];
            for (headers, pieces) in cases {
                let reply = call(&send, PATH, headers, &pieces).await;
                assert_eq!((reply.http, reply.grpc()), (200, 0), "{size} {headers:?}");
                assert_eq!(reply.headers["content-type"], "application/grpc");
                assert_eq!(reply.body, [0; 5]);
                let (door, seen) = server.shared.bodies.lock().unwrap().pop().unwrap();
                assert_eq!(door, Door::OtlpGrpc);
                assert!(seen == message, "{size} bytes");
            }
        }
    });
    let stats = server.wait("all answers", |stats| stats.requests(Door::OtlpGrpc, Answer::Ok) == 35);
    assert_eq!((stats.streams, stats.connections.accepted, server.held()), (35, 1, 0));
}

/// R7, R8: partial success is status OK with a message.
#[test]
fn r7_r8_partial_success() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let reply = export(&send, b"partial").await;
        assert_eq!(reply.grpc(), 0);
        assert_eq!(reply.body[0], 0);
        assert_eq!(u32::from_be_bytes(reply.body[1..5].try_into().unwrap()) as usize, reply.body.len() - 5);
        let partial = ExportMetricsServiceResponse::decode(&reply.body[5..]).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_data_points, partial.error_message.as_str()), (3, "negative delta"));
        let reply = export(&send, b"warn").await;
        let partial = ExportMetricsServiceResponse::decode(&reply.body[5..]).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_data_points, partial.error_message.len()), (0, 4_096));
    });
}

/// R9, R11, R14, R15, R25: every refusal has its code, and ends the stream with its headers.
#[test]
fn r9_to_r25_refusals() {
    let server = Server::start(Options::default());
    let good = framed(0, b"x");
    let (bad, busy, flagged, odd) = (framed(0, b"bad"), framed(0, b"busy"), framed(1, b"x"), framed(2, b"x"));
    let two = [good.clone(), good.clone()].concat();
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], i32);
    let table: [Row; 14] = [
        (PATH, &[GRPC], &bad, 3),
        (PATH, &[GRPC], &busy, 14),
        (PATH, &[GRPC], &flagged, 13),
        (PATH, &[GRPC, ("grpc-encoding", "identity")], &flagged, 13),
        (PATH, &[GRPC, GZIP], &flagged, 3),
        (PATH, &[GRPC], &odd, 13),
        (PATH, &[GRPC], &two, 13),
        (PATH, &[GRPC], &good[..5], 13),
        (PATH, &[GRPC], b"", 13),
        (PATH, &[GRPC, ("grpc-encoding", "snappy")], &good, 12),
        (PATH, &[GRPC, ZSTD], &flagged, 3),
        (PATH, &[GRPC, ("grpc-timeout", "soon")], &good, 13),
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", &[GRPC], &good, 12),
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", &[GRPC], &good, 12),
    ];
    run(async {
        let send = connect(&server).await;
        for (path, headers, body, code) in table {
            let reply = call(&send, path, headers, &[body]).await;
            assert_eq!((reply.http, reply.grpc()), (200, code), "{path} {headers:?} {body:?}");
            assert!(reply.body.is_empty());
            assert!(!reply.end["grpc-message"].is_empty());
            assert_eq!(reply.end.contains_key("grpc-status-details-bin"), code == 3 || code == 14);
            if headers.contains(&("grpc-encoding", "snappy")) {
                assert_eq!(reply.end["grpc-accept-encoding"], "identity,gzip,zstd");
            }
        }
        let reply = call(&send, PATH, &[("content-type", "text/plain")], &[&good]).await;
        assert_eq!(reply.http, 415);
        assert_eq!(export(&send, b"still well").await.grpc(), 0);
    });
    assert_eq!(server.bodies().len(), 1);
    assert_eq!(server.held(), 0);
}

/// R14: OTLP/HTTP is served over HTTP/2 as well, on the same port.
#[test]
fn r14_http_over_http2() {
    let server = Server::start(Options::default());
    let protobuf = ("content-type", "application/x-protobuf");
    run(async {
        let send = connect(&server).await;
        let reply = call(&send, "/v1/metrics", &[protobuf], &[b"x"]).await;
        assert_eq!((reply.http, reply.body.len()), (200, 0));
        let reply = call(&send, "/v1/metrics", &[protobuf], &[b"bad"]).await;
        assert_eq!((reply.http, Status::decode(reply.body.as_slice()).unwrap().code), (400, 3));
        assert_eq!(call(&send, "/v1/traces", &[protobuf], &[b"x"]).await.http, 404);
    });
    assert_eq!(server.bodies(), [(Door::OtlpHttp, b"x".to_vec())]);
}

/// R2: over the limit before or after decompression is RESOURCE_EXHAUSTED without RetryInfo.
#[test]
fn r2_messages_are_limited() {
    let server = Server::start(Options { max_body: 100_000, ..Options::default() });
    run(async {
        let send = connect(&server).await;
        assert_eq!(export(&send, &vec![1; 100_000]).await.grpc(), 0);
        let table: [(Headers, Vec<u8>); 4] = [
            (&[GRPC, ZSTD], framed(1, &zstd(&vec![1; 100_001]))),
            (&[GRPC], framed(0, &vec![1; 100_001])),
            (&[GRPC, GZIP], framed(1, &gzip(&vec![1; 100_001]))),
            (&[GRPC], vec![0, 255, 255, 255, 255, 1]),
        ];
        for (headers, body) in table {
            let reply = call(&send, PATH, headers, &[&body]).await;
            assert_eq!(reply.grpc(), 8);
            assert!(!reply.end.contains_key("grpc-status-details-bin"));
        }
        assert_eq!(export(&send, b"x").await.grpc(), 0);
    });
    assert_eq!(server.held(), 0);
}

/// R9, R10: no budget is UNAVAILABLE with RetryInfo.
#[test]
fn r9_no_budget_is_retryable() {
    let server = Server::start(Options::default());
    // a call whose body comes a turn later is on the account too
    server.shared.budget.store(1_000 + limits::CALL_BYTES, SeqCst);
    run(async {
        let send = connect(&server).await;
        let reply = export(&send, &[1; 3_000]).await;
        assert_eq!(reply.grpc(), 14);
        assert!(reply.end.contains_key("grpc-status-details-bin"));
        let reply = call(&send, PATH, &[GRPC, GZIP], &[&framed(1, &gzip(&[1; 100_000]))]).await;
        assert_eq!(reply.grpc(), 14);
        assert_eq!(export(&send, &[1; 500]).await.grpc(), 0);
    });
    assert_eq!(server.held(), 0);
}

/// R18: more than a hundred calls at once on one connection; one that does not end delays no other.
#[test]
fn r18_concurrent_calls() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let mut slow = send.clone().ready().await.unwrap();
        let (slow_reply, mut slow_body) = slow.send_request(request("POST", PATH, &[GRPC]), false).unwrap();
        let message = framed(0, b"slow");
        slow_body.send_data(Bytes::copy_from_slice(&message[..4]), false).unwrap();
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let send = send.clone();
                tokio::spawn(async move { export(&send, &[7; 2_000]).await.grpc() })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 0);
        }
        slow_body.send_data(Bytes::copy_from_slice(&message[4..]), true).unwrap();
        assert_eq!(read(slow_reply).await.grpc(), 0);
    });
    assert_eq!(server.bodies().len(), 201);
}

/// R25: a call whose time ran out before it was whole is not applied; one that is reset leaves nothing behind.
#[test]
fn r25_deadlines_and_resets() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let mut one = send.clone().ready().await.unwrap();
        let head = request("POST", PATH, &[GRPC, ("grpc-timeout", "500m")]);
        let (reply, mut body) = one.send_request(head, false).unwrap();
        body.send_data(Bytes::from_static(&[0, 0, 0]), false).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(export(&send, b"x").await.grpc(), 0);
        server.pass(Duration::from_millis(600));
        assert_eq!(read(reply).await.grpc(), 4);
        let mut two = send.clone().ready().await.unwrap();
        let (reply, mut body) = two.send_request(request("POST", PATH, &[GRPC]), false).unwrap();
        body.send_data(Bytes::from_static(&[0, 0, 0]), false).unwrap();
        assert_eq!(export(&send, b"y").await.grpc(), 0);
        body.send_reset(h2::Reason::CANCEL);
        assert!(reply.await.is_err());
        assert_eq!(export(&send, b"z").await.grpc(), 0);
    });
    server.wait("the reset", |stats| stats.requests(Door::OtlpGrpc, Answer::Broken) == 1);
    assert_eq!(server.bodies().len(), 3);
    assert_eq!(server.held(), 0);
}

/// Stopping: GOAWAY, and the call in hand is finished.
#[test]
fn stopping_finishes_what_is_begun() {
    let server = Server::start(Options::default());
    run(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut one = send.clone().ready().await.unwrap();
        let (reply, mut body) = one.send_request(request("POST", PATH, &[GRPC]), false).unwrap();
        let message = framed(0, b"last");
        body.send_data(Bytes::copy_from_slice(&message[..6]), false).unwrap();
        assert_eq!(export(&send, b"x").await.grpc(), 0);
        server.stop();
        server.wait("stop seen", |_| std::net::TcpStream::connect(server.address).is_err());
        assert!(!server.shared.idle.load(SeqCst));
        body.send_data(Bytes::copy_from_slice(&message[6..]), true).unwrap();
        assert_eq!(read(reply).await.grpc(), 0);
        drop((send, one));
        connection.await.unwrap().unwrap();
    });
    server.wait("closed", |stats| stats.connections.open == 0);
    assert!(server.shared.idle.load(SeqCst));
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The error code of the last GOAWAY before the peer closes.
fn goaway(stream: &mut std::net::TcpStream) -> Option<u32> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n) = stream.read(&mut piece) {
        if n == 0 || bytes.len() > 10_000_000 {
            break;
        }
        bytes.extend_from_slice(&piece[..n]);
    }
    let (mut at, mut code) = (0, None);
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if head[3] == 7 {
            code = bytes.get(at + 13..at + 17).map(|word| u32::from_be_bytes(word.try_into().unwrap()));
        }
        at += 9 + length;
    }
    code
}

/// T1, T2, T3: each flood ends its connection with ENHANCE_YOUR_CALM and nobody else's.
#[test]
fn t3_floods_are_closed() {
    let server = Server::start(Options::default());
    // :method POST, :scheme http, :path /, as indexed fields
    let headers = [0x83, 0x86, 0x84];
    let opened = |count: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|n| [frame(1, 4, 2 * n + 1, &headers), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
            .collect()
    };
    let table: [(&str, Vec<u8>); 7] = [
        ("ping", frame(6, 0, 0, &[0; 8]).repeat(limits::HTTP2_PING_PER_SECOND_MAX as usize + 1)),
        ("settings", frame(4, 0, 0, &[]).repeat(limits::HTTP2_SETTINGS_PER_SECOND_MAX as usize + 1)),
        ("rapid reset", opened(limits::HTTP2_RESET_PER_SECOND_MAX + 1)),
        ("window update", frame(8, 0, 0, &[0, 0, 0, 1]).repeat(2_000)),
        ("empty data", [frame(1, 4, 1, &headers), frame(0, 0, 1, &[]).repeat(500)].concat()),
        ("priority", frame(2, 0, 1, &[0, 0, 0, 3, 1]).repeat(2_000)),
        ("continuation", [frame(1, 0, 1, &headers), frame(9, 0, 1, &[]).repeat(2_000)].concat()),
    ];
    for (name, bytes) in table {
        let mut stream = server.connect();
        stream.write_all(PREFACE).unwrap();
        // the server may close before all of it is written
        let _ = stream.write_all(&bytes);
        assert_eq!(goaway(&mut stream), Some(11), "{name}");
    }
    server.wait("all closed", |stats| stats.connections.open == 0);
    run(async { assert_eq!(export(&connect(&server).await, b"x").await.grpc(), 0) });
    assert_eq!(server.held(), 0);
}

/// T4: a header list over the limit is refused without harm to the connection's other calls.
#[test]
fn t4_header_lists_are_limited() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let long = "b".repeat(20_000);
        let reply = call(&send, PATH, &[GRPC, ("a", &long)], &[&framed(0, b"x")]).await;
        assert_eq!(reply.http, 431);
        assert_eq!(export(&send, b"x").await.grpc(), 0);
    });
    assert_eq!(server.bodies().len(), 1);
}

/// T2, T4: a list of more fields than over HTTP/1.1 is refused, in whatever language, without harm to other calls.
#[test]
fn t4_header_fields_are_limited() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        for kind in [GRPC, ("content-type", "application/x-protobuf")] {
            let (path, body) = if kind == GRPC { (PATH, framed(0, b"x")) } else { ("/v1/metrics", b"x".to_vec()) };
            for (fields, status) in [(limits::HEADERS_MAX, 200), (limits::HEADERS_MAX + 1, 431), (300, 431)] {
                let headers: Vec<_> = [kind].into_iter().chain([("a", "b")].repeat(fields - 1)).collect();
                let reply = call(&send, path, &headers, &[&body]).await;
                assert_eq!(reply.http, status, "{fields} {kind:?}");
            }
        }
        assert_eq!(export(&send, b"x").await.grpc(), 0);
    });
    assert_eq!(server.bodies().len(), 3);
    assert_eq!(server.held(), 0);
}

/// The head of a call, in a header block without a dynamic table.
fn call_head() -> Vec<u8> {
    // :method POST, :scheme http, :path, content-type
    let mut block = vec![0x83, 0x86, 0x04, PATH.len() as u8];
    block.extend_from_slice(PATH.as_bytes());
    block.extend_from_slice(b"\x0f\x10\x10application/grpc");
    block
}

/// Calls that wait for their bodies are on the account of bodies, and past it are told to come again.
#[test]
fn waiting_calls_are_within_the_budget() {
    let server = Server::start(Options::default());
    server.shared.budget.store(10 * limits::CALL_BYTES, SeqCst);
    let mut stream = server.connect();
    stream.write_all(PREFACE).unwrap();
    for call in 0..11 {
        stream.write_all(&frame(1, 4, 2 * call + 1, &call_head())).unwrap();
    }
    server.wait("all calls", |stats| stats.streams == 11);
    assert_eq!(server.stats().requests(Door::OtlpGrpc, Answer::Overloaded), 1);
    assert_eq!(server.held(), 10 * limits::CALL_BYTES);
    drop(stream);
    server.wait("all gone", |stats| stats.connections.open == 0);
    assert_eq!(server.held(), 0);
}

/// So many connections with so many calls each that wait for their bodies.
const CROWD: (usize, u32) = (48, 250);

/// They come while the server looks away, so that all are there at its next turn.
fn crowd(server: &Server) -> Vec<std::net::TcpStream> {
    let before = server.stats();
    let mut crowd: Vec<_> = (0..CROWD.0).map(|_| server.connect()).collect();
    let open = before.connections.open + CROWD.0 as u64;
    server.wait("the crowd", |stats| stats.connections.open == open);
    let calls: Vec<u8> = (0..CROWD.1).flat_map(|call| frame(1, 4, 2 * call + 1, &call_head())).collect();
    let away = server.shared.stats.lock().unwrap();
    for stream in &mut crowd {
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&calls).unwrap();
    }
    drop(away);
    let all = before.streams + CROWD.0 as u64 * u64::from(CROWD.1);
    server.wait("its calls", |stats| stats.streams == all);
    crowd
}

/// T1, T3: however many calls begin, end by time, give way, or go with their connections at once: each turn of the loop takes
/// a part of them, and others are served between.
#[test]
fn t3_a_crowd_of_calls_is_no_long_turn() {
    let server = Server::start(Options::default());
    let all = CROWD.0 as u64 * u64::from(CROWD.1);
    let check = |what: &str, answer: Answer, ended: u64| {
        server.wait(what, |stats| stats.requests(Door::OtlpGrpc, answer) == ended);
        let most = server.shared.turn_calls_max.swap(0, SeqCst);
        assert!((1..all / 4).contains(&most), "{what}: {most} of {all} in one turn");
        assert_eq!(server.held(), 0);
    };
    let begun = |what: &str| {
        let most = server.shared.turn_calls_max.swap(0, SeqCst);
        assert!((1..all / 4).contains(&most), "{what}: {most} of {all} in one turn");
        assert_eq!(server.held(), all as usize * limits::CALL_BYTES);
    };
    let slow = crowd(&server);
    begun("begun");
    server.pass(Duration::from_secs(11));
    check("ended by time", Answer::Timeout, all);
    drop(slow);
    server.wait("their end", |stats| stats.connections.open == 0);

    let greedy = crowd(&server);
    begun("begun by one that is greedy");
    server.give_way(0);
    check("given way", Answer::Overloaded, all);
    server.give_way(usize::MAX);
    drop(greedy);
    server.wait("their end", |stats| stats.connections.open == 0);

    let fickle = crowd(&server);
    begun("begun by ones that leave");
    let away = server.shared.stats.lock().unwrap();
    drop(fickle);
    drop(away);
    check("gone", Answer::Broken, all);
}

/// Of the bodies of one that has to give way, the slowest is ended first, and no more of them than it takes; of a call
/// over HTTP/2 the connection goes on.
#[test]
fn the_slowest_call_gives_way_first() {
    let server = Server::start(Options::default());
    let mut slow = begin_call(&server, 40_000);
    push(&server, &mut slow, &[frame(1, 4, 3, &call_head()), data(3, 10_000)].concat());
    let mut fast = begin_call(&server, 90_000);
    server.pass(Duration::from_secs(5));
    for ended in 1..=2 {
        server.give_way(server.held() - 1);
        server.wait("an answer", |stats| stats.requests(Door::OtlpGrpc, Answer::Overloaded) == ended);
        server.give_way(usize::MAX);
    }
    push(&server, &mut slow, &frame(1, 4, 5, &call_head()));
    end_call(&server, &mut fast, 90_000);
    server.wait("the other's", |stats| stats.requests(Door::OtlpGrpc, Answer::Ok) == 1);
    assert_eq!(server.bodies().len(), 1);
    assert_eq!(server.held(), limits::CALL_BYTES);
    drop((slow, fast));
    server.wait("their end", |stats| stats.connections.open == 0);
    assert_eq!(server.held(), 0);
}

/// RFC 9113, 8.3.1: a Host beside `:authority` names the same, and a target ends; the connection's other calls go on.
#[test]
fn a_call_says_whom_it_is_for() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let proto = ("content-type", "application/x-protobuf");
        for (host, status) in [("x", 200), ("X:80", 200), ("y", 400), ("", 400), ("x:1", 400)] {
            let reply = call(&send, "/v1/metrics", &[proto, ("host", host)], &[b"x"]).await;
            assert_eq!(reply.http, status, "{host:?}");
        }
        let reply = call(&send, PATH, &[GRPC, ("host", "y")], &[&framed(0, b"x")]).await;
        assert_eq!(reply.grpc(), 3);
        let reply = call(&send, &format!("/v1/metrics?{}", "x".repeat(9_000)), &[proto], &[b"x"]).await;
        assert_eq!(reply.http, 414);
        assert_eq!(export(&send, b"x").await.grpc(), 0);
    });
    assert_eq!(server.bodies().len(), 3);
    assert_eq!(server.held(), 0);
}

/// RFC 9110, 10.1.1: who waits for 100 before it sends a body gets it; a refusal comes without one.
#[test]
fn a_body_is_asked_for_where_that_is_expected() {
    let server = Server::start(Options::default());
    run(async {
        let send = connect(&server).await;
        let expect = ("expect", "100-Continue");
        for (path, kind, piece) in
            [("/v1/metrics", ("content-type", "application/x-protobuf"), &b"x"[..]), (PATH, GRPC, &framed(0, b"x"))]
        {
            let mut send = send.clone().ready().await.unwrap();
            let (mut response, mut stream) = send.send_request(request("POST", path, &[kind, expect]), false).unwrap();
            let interim = std::future::poll_fn(|context| response.poll_informational(context)).await;
            assert_eq!(interim.unwrap().unwrap().status(), 100, "{path}");
            stream.send_data(Bytes::copy_from_slice(piece), true).unwrap();
            assert_eq!(read(response).await.http, 200, "{path}");
        }
        let mut send = send.clone().ready().await.unwrap();
        let (response, _stream) = send.send_request(request("POST", "/none", &[expect]), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 404);
    });
    assert_eq!(server.bodies().len(), 2);
}

/// T12: who sends a body too slowly and heeds no GOAWAY is closed, not kept for the idle time.
#[test]
fn t12_a_slow_caller_is_closed() {
    let server = Server::start(Options::default());
    let mut stream = server.connect();
    let sent = [PREFACE, &frame(1, 4, 1, &call_head()), &[0]].concat();
    stream.write_all(&sent).unwrap();
    server.wait("the call", |stats| stats.connections.wire_bytes_in == sent.len() as u64 && stats.streams == 1);
    server.pass(Duration::from_secs(12));
    server.wait("its end", |stats| stats.requests(Door::OtlpGrpc, Answer::Timeout) == 1);
    server.pass(Duration::from_secs(3));
    server.wait("the close", |stats| stats.connections.timed_out == 1);
    assert_eq!(goaway(&mut stream), Some(0));
}

/// A call that is begun, with so many bytes of a message of 2 MB.
fn begin_call(server: &Server, bytes: usize) -> std::net::TcpStream {
    let mut stream = server.connect();
    push(server, &mut stream, PREFACE);
    // the windows that the server offers are there once its SETTINGS are acknowledged
    push(server, &mut stream, &[frame(4, 1, 0, &[]), frame(1, 4, 1, &call_head())].concat());
    // 2,000,000
    push(server, &mut stream, &frame(0, 0, 1, &[0, 0, 0x1e, 0x84, 0x80]));
    push(server, &mut stream, &data(1, bytes));
    stream
}

/// DATA that does not end the stream.
fn data(stream: u32, bytes: usize) -> Vec<u8> {
    let mut left = bytes;
    let mut frames = Vec::new();
    while left > 0 {
        let size = left.min(16_000);
        frames.extend_from_slice(&frame(0, 0, stream, &vec![0; size]));
        left -= size;
    }
    frames
}

/// Sends, and waits until it is read.
fn push(server: &Server, stream: &mut std::net::TcpStream, bytes: &[u8]) {
    let before = server.stats().connections.wire_bytes_in;
    stream.write_all(bytes).unwrap();
    server.wait("what was sent", |stats| stats.connections.wire_bytes_in == before + bytes.len() as u64);
}

/// The rest of that message, in steps of a window.
fn end_call(server: &Server, stream: &mut std::net::TcpStream, sent: usize) {
    let mut left = 2_000_000 - sent;
    while left > 0 {
        let size = left.min(100_000);
        push(server, stream, &data(1, size));
        left -= size;
    }
    push(server, stream, &frame(0, 1, 1, &[]));
}

/// T12: what came quickly at first is no credit for later: a call has to go on in each ten seconds.
#[test]
fn t12_a_call_that_stops_is_not_waited_for() {
    let server = Server::start(Options::default());
    let mut stopped = begin_call(&server, 200_000);
    let mut steady = begin_call(&server, 100_000);
    for _ in 0..7 {
        push(&server, &mut steady, &data(1, 6_000));
        server.pass(Duration::from_secs(5));
    }
    server.wait("its end", |stats| stats.requests(Door::OtlpGrpc, Answer::Timeout) == 1);
    assert_eq!(goaway(&mut stopped), Some(0));
    assert!(server.held() > 100_000, "the other one goes on");
    end_call(&server, &mut steady, 100_000 + 7 * 6_000);
    server.wait("the other's", |stats| stats.requests(Door::OtlpGrpc, Answer::Ok) == 1);
    assert_eq!((server.bodies().len(), server.held()), (1, 0));
}

/// T12: nor is one that goes on and on.
#[test]
fn t12_a_call_that_does_not_end_is_not_waited_for() {
    let server = Server::start(Options::default());
    let mut stream = begin_call(&server, 0);
    for _ in 0..60 {
        server.pass(Duration::from_secs(5));
        push(&server, &mut stream, &data(1, 12_000));
    }
    assert_eq!(server.stats().requests(Door::OtlpGrpc, Answer::Timeout), 0);
    server.pass(Duration::from_secs(1));
    server.wait("its end", |stats| stats.requests(Door::OtlpGrpc, Answer::Timeout) == 1);
    assert_eq!(server.held(), 0);
    server.pass(Duration::from_secs(3));
    assert_eq!(goaway(&mut stream), Some(0));
}

/// T12: a connection with slow calls is told to go; those that were begun before and come on are finished, however many
/// slow ones end meanwhile.
#[test]
fn t12_slow_calls_leave_the_others_alone() {
    let server = Server::start(Options::default());
    let mut stream = begin_call(&server, 100_000);
    push(&server, &mut stream, &[frame(1, 4, 3, &call_head()), data(3, 1)].concat());
    let mut sent = 100_000;
    for round in 0..8 {
        server.pass(Duration::from_secs(5));
        push(&server, &mut stream, &data(1, 12_000));
        sent += 12_000;
        if round == 0 {
            push(&server, &mut stream, &[frame(1, 4, 5, &call_head()), data(5, 1)].concat());
        }
    }
    server.wait("their ends", |stats| stats.requests(Door::OtlpGrpc, Answer::Timeout) == 2);
    end_call(&server, &mut stream, sent);
    server.wait("the answer", |stats| stats.requests(Door::OtlpGrpc, Answer::Ok) == 1);
    server.pass(Duration::from_secs(3));
    assert_eq!(goaway(&mut stream), Some(0));
    assert_eq!(server.held(), 0);
}

/// T12: but who was told to go and begins further slow calls is closed, whatever else it has in hand.
#[test]
fn t12_who_goes_on_with_slow_calls_is_closed() {
    let server = Server::start(Options::default());
    let mut stream = begin_call(&server, 100_000);
    push(&server, &mut stream, &[frame(1, 4, 3, &call_head()), data(3, 1)].concat());
    for round in 1..=6 {
        server.pass(Duration::from_secs(5));
        push(&server, &mut stream, &data(1, 12_000));
        if round == 4 {
            let told = server.stats();
            assert_eq!((told.requests(Door::OtlpGrpc, Answer::Timeout), told.connections.timed_out), (1, 0));
            push(&server, &mut stream, &[frame(1, 4, 5, &call_head()), data(5, 1)].concat());
        }
    }
    server.pass(Duration::from_secs(2));
    server.wait("the close", |stats| stats.connections.timed_out == 1);
    assert_eq!(server.stats().requests(Door::OtlpGrpc, Answer::Broken), 1);
    assert_eq!(server.held(), 0);
}

/// T12: half a frame, of whatever kind, is no idle connection: it is waited for as long as a body may be slow.
#[test]
fn t12_half_a_frame_is_not_waited_for() {
    let server = Server::start(Options::default());
    let ping = [PREFACE, &frame(6, 0, 0, &[0; 8])].concat();
    // its answer is there, and nobody waits for the rest
    let refused = [PREFACE, &frame(1, 4, 1, &[0x83, 0x86, 0x84]), &frame(0, 0, 1, &[0; 1_000])].concat();
    let halves = [&PREFACE[..25], &PREFACE[..30], &ping[..ping.len() - 1], &refused[..refused.len() - 500]];
    let mut closed: Vec<_> = halves.map(|half| (server.connect(), half)).into();
    for (stream, half) in &mut closed {
        push(&server, stream, half);
    }
    let mut idle = server.connect();
    push(&server, &mut idle, PREFACE);
    server.pass(Duration::from_secs(9));
    // a byte more is no progress
    push(&server, &mut closed[0].0, &PREFACE[25..26]);
    server.pass(Duration::from_secs(2));
    server.wait("their ends", |stats| stats.connections.timed_out == 4);
    for (stream, half) in &mut closed {
        assert_eq!(goaway(stream), Some(11), "{half:?}");
    }
    drop(closed);
    assert_eq!(server.wait("one is left", |stats| stats.connections.open == 1).connections.timed_out, 4);
    push(&server, &mut idle, &ping[PREFACE.len()..]);
}

/// T12: an unfinished preface, an unfinished header block, a trickling body and an idle connection, each in its time.
#[test]
fn t12_slow_clients_are_closed() {
    let server = Server::start(Options::default());
    let mut preface = server.connect();
    preface.write_all(&PREFACE[..20]).unwrap();
    let mut block = server.connect();
    block.write_all(PREFACE).unwrap();
    block.write_all(&frame(1, 0, 1, &[0x83])).unwrap();
    let seen = (20 + PREFACE.len() + 10) as u64;
    server.wait("both", |stats| stats.connections.wire_bytes_in == seen);
    run(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut one = send.clone().ready().await.unwrap();
        let (reply, mut body) = one.send_request(request("POST", PATH, &[GRPC]), false).unwrap();
        body.send_data(Bytes::from_static(&[0, 0, 0, 0, 9]), false).unwrap();
        assert_eq!(export(&send, b"x").await.grpc(), 0);
        server.pass(Duration::from_secs(6));
        assert_eq!(goaway(&mut block), Some(11));
        assert!(is_closed(&mut preface));
        server.pass(Duration::from_secs(6));
        assert_eq!(read(reply).await.grpc(), 4);
        // and its connection is told to go
        drop((send, one, body));
        connection.await.unwrap().unwrap();
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        assert_eq!(export(&send, b"x").await.grpc(), 0);
        server.pass(Duration::from_secs(200));
        assert_eq!(export(&send, b"x").await.grpc(), 0);
        server.pass(Duration::from_secs(301));
        connection.await.unwrap().unwrap();
        drop(send);
    });
    server.wait("all closed", |stats| stats.connections.open == 0);
    assert_eq!(server.held(), 0);
}

#[test]
fn what_is_handed_on_says_whom_it_is_from() {
    run(async {
        let server = Server::start(Options::default());
        let (one, two) = (connect_as(&server, "127.0.0.2").await, connect_as(&server, "127.0.0.3").await);
        for send in [&one, &two, &one] {
            assert_eq!(export(send, b"x").await.grpc(), 0);
        }
        let peer = |text: &str| Peer::from(text.parse::<std::net::IpAddr>().unwrap());
        let expected = ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map(peer);
        assert_eq!(*server.shared.peers.lock().unwrap(), expected);
    });
}
