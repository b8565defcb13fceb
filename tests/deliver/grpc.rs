//! The OTLP/gRPC exporter against scripted HTTP/2 servers on loopback: E1, E2, E4 to E8, E10, E11, E13, E14, T19.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::support::*;
use bytes::Bytes;
use catchment::deliver::{Compression, Destination, Dropped, Offer, parse_out, start};
use http::{HeaderMap, Response};

/// What the server does with the n-th call.
enum Answer {
    /// Message bytes (framed by the server) and trailers.
    Message(Vec<u8>, Vec<(&'static str, String)>),
    /// Message bytes that are gzip, and status 0.
    Gzipped(Vec<u8>),
    /// Everything in the head.
    TrailersOnly(Vec<(&'static str, String)>),
    /// A plain HTTP status without gRPC.
    Http(u16),
    ResetStream(h2::Reason),
    /// Closes the connection before the answer.
    Hangup,
    Hang,
    /// Says GOAWAY, and answers only when the client has come back on another connection.
    Goaway(Arc<AtomicUsize>),
    Endless,
    BigTrailers,
}

fn ok() -> Answer {
    Answer::Message(vec![], vec![("grpc-status", "0".into())])
}

fn status(code: u32) -> Answer {
    Answer::TrailersOnly(vec![("grpc-status", code.to_string()), ("grpc-message", "slow%20down".into())])
}

struct Call {
    head: http::request::Parts,
    message: Vec<u8>,
    compressed: bool,
}

struct GrpcServer {
    address: SocketAddr,
    calls: mpsc::Receiver<Call>,
    connections: Arc<AtomicUsize>,
}

impl GrpcServer {
    fn new(streams: u32, script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        GrpcServer::counting(streams, Arc::new(AtomicUsize::new(0)), script)
    }

    /// With the counter of connections given, so that the script can look at it.
    fn counting(
        streams: u32,
        connections: Arc<AtomicUsize>,
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, calls) = mpsc::channel();
        let (script, count, counted) = (Arc::new(script), Arc::new(AtomicUsize::new(0)), connections.clone());
        // the threads end with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let (script, count, send) = (script.clone(), count.clone(), send.clone());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                    let tasks = tokio::task::LocalSet::new();
                    tasks.block_on(&runtime, serve(stream, streams, script, count, send));
                });
            }
        });
        GrpcServer { address, calls, connections }
    }

    fn destination(&self) -> Destination {
        parse_out(&format!("otlp-grpc://{}?timeout=20s", self.address)).unwrap()
    }
}

async fn serve(
    stream: std::net::TcpStream,
    streams: u32,
    script: Arc<impl Fn(usize) -> Answer + 'static>,
    count: Arc<AtomicUsize>,
    send: mpsc::Sender<Call>,
) {
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut builder = h2::server::Builder::new();
    let Ok(mut connection) = builder.max_concurrent_streams(streams).handshake::<_, Bytes>(stream).await else {
        return;
    };
    let (hangup, hung_up) = tokio_channel();
    loop {
        let accepted = std::future::poll_fn(|cx| {
            match hung_up.get(cx) {
                0 => {}
                1 => return std::task::Poll::Ready(None),
                _ => connection.graceful_shutdown(),
            }
            connection.poll_accept(cx)
        });
        let Some(Ok((request, respond))) = accepted.await else { return };
        let (script, count, send, hangup) = (script.clone(), count.clone(), send.clone(), hangup.clone());
        tokio::task::spawn_local(async move {
            let (head, mut body) = request.into_parts();
            let mut frame = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                frame.extend_from_slice(&data);
            }
            assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize, frame.len() - 5);
            let answer = script(count.fetch_add(1, Ordering::SeqCst));
            let _ = send.send(Call { head, message: frame[5..].to_vec(), compressed: frame[0] == 1 });
            reply(answer, respond, hangup).await;
        });
    }
}

/// What a task tells the accepting loop: 1 hang up, 2 go away.
#[derive(Clone, Default)]
struct Flag(std::rc::Rc<(std::cell::Cell<u8>, std::cell::RefCell<Option<std::task::Waker>>)>);

fn tokio_channel() -> (Flag, Flag) {
    let flag = Flag::default();
    (flag.clone(), flag)
}

impl Flag {
    fn get(&self, cx: &std::task::Context<'_>) -> u8 {
        *self.0.1.borrow_mut() = Some(cx.waker().clone());
        self.0.0.replace(0)
    }

    fn set(&self, value: u8) {
        self.0.0.set(value);
        if let Some(waker) = self.0.1.borrow_mut().take() {
            waker.wake();
        }
    }
}

async fn reply(answer: Answer, mut respond: h2::server::SendResponse<Bytes>, hangup: Flag) {
    let head = |fields: &[(&'static str, String)]| {
        let mut response = Response::builder().header("content-type", "application/grpc");
        for (key, value) in fields {
            response = response.header(*key, value);
        }
        response.body(()).unwrap()
    };
    match answer {
        Answer::Message(message, fields) => {
            let mut stream = respond.send_response(head(&[]), false).unwrap();
            let frame = [&[0], (message.len() as u32).to_be_bytes().as_slice(), &message].concat();
            stream.send_data(frame.into(), false).unwrap();
            let trailers: HeaderMap = fields
                .iter()
                .map(|(key, value)| (key.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            stream.send_trailers(trailers).unwrap();
        }
        Answer::Gzipped(message) => {
            let mut stream = respond.send_response(head(&[("grpc-encoding", "gzip".into())]), false).unwrap();
            let frame = [&[1], (message.len() as u32).to_be_bytes().as_slice(), &message].concat();
            stream.send_data(frame.into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        Answer::TrailersOnly(fields) => {
            respond.send_response(head(&fields), true).unwrap();
        }
        Answer::Http(status) => {
            respond.send_response(Response::builder().status(status).body(()).unwrap(), true).unwrap();
        }
        Answer::ResetStream(reason) => respond.send_reset(reason),
        Answer::Hangup => hangup.set(1),
        Answer::Goaway(connections) => {
            hangup.set(2);
            let deadline = Instant::now() + PATIENCE;
            while connections.load(Ordering::SeqCst) < 2 && Instant::now() < deadline {
                tokio::task::yield_now().await;
            }
            respond.send_response(head(&[("grpc-status", "0".into())]), true).unwrap();
        }
        Answer::Hang => {
            let _respond = respond;
            std::future::pending::<()>().await;
        }
        Answer::Endless => {
            let mut stream = respond.send_response(head(&[]), false).unwrap();
            loop {
                stream.reserve_capacity(65_536);
                match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(n)) => stream.send_data(vec![0; n].into(), false).unwrap(),
                    _ => return,
                }
            }
        }
        Answer::BigTrailers => {
            let mut stream = respond.send_response(head(&[]), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            for n in 0..100 {
                let name: http::HeaderName = format!("x-{n}").parse().unwrap();
                trailers.insert(name, "y".repeat(1000).parse().unwrap());
            }
            let _ = stream.send_trailers(trailers);
        }
    }
}

/// E13, E14: path, headers, frame; a success with an empty message.
#[test]
fn ok_delivers_the_message() {
    let server = GrpcServer::new(100, |_| ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    assert_eq!(sender.offer(0, batch(7, 1000)), Offer::Queued);
    wait_row(&sender, 0, |row| row.delivered == 7);
    let call = server.calls.recv_timeout(PATIENCE).unwrap();
    assert_eq!(call.head.uri.path(), "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    let header = |name: &str| call.head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("te").as_deref(), Some("trailers"));
    assert_eq!(header("content-type").as_deref(), Some("application/grpc"));
    assert_eq!(header("grpc-timeout").as_deref(), Some("20000m"));
    assert_eq!(header("grpc-encoding"), None);
    assert!(header("user-agent").unwrap().starts_with("catchment/"));
    assert_eq!((call.message.as_slice(), call.compressed), (&batch(7, 1000).bytes[..], false));
    let rows = handle.shutdown(Instant::now() + PATIENCE);
    assert_eq!((rows[0].encoded, rows[0].delivered, rows[0].queued), (7, 7, 0));
    assert!(rows[0].balances());
}

/// E10, E14: many calls share one kept-alive connection, also when the server allows one stream at a time; bodies larger
/// than every window pass.
#[test]
fn calls_share_one_connection() {
    for streams in [1, 100] {
        let server = GrpcServer::new(streams, |_| ok());
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        for _ in 0..20 {
            let _ = sender.offer(0, batch(1, 300_000));
        }
        wait_row(&sender, 0, |row| row.delivered == 20);
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
        assert!(server.calls.try_iter().all(|call| call.message == batch(1, 300_000).bytes));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E14: gzip is named in `grpc-encoding` and flagged in the frame.
#[test]
fn gzip_is_named_and_inflates() {
    let server = GrpcServer::new(100, |_| ok());
    let mut destination = server.destination();
    destination.compression = Compression::Gzip;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(3, 5000));
    wait_row(&sender, 0, |row| row.delivered == 3);
    let call = server.calls.recv_timeout(PATIENCE).unwrap();
    assert_eq!(call.head.headers["grpc-encoding"], "gzip");
    assert!(call.compressed);
    assert_eq!(gunzip(&call.message), batch(3, 5000).bytes);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E14: zstd is named in `grpc-encoding` and flagged in the frame.
#[test]
fn e14_zstd_is_named_and_inflates() {
    let server = GrpcServer::new(100, |_| ok());
    let mut destination = server.destination();
    destination.compression = Compression::Zstd;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(3, 5000));
    wait_row(&sender, 0, |row| row.delivered == 3);
    let call = server.calls.recv_timeout(PATIENCE).unwrap();
    assert_eq!(call.head.headers["grpc-encoding"], "zstd");
    assert!(call.compressed);
    assert_eq!(zstd::stream::decode_all(&*call.message).unwrap(), batch(3, 5000).bytes);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E10: calls are spread over as many connections as `?connections=` says, all of them kept.
#[test]
fn e10_connections_are_as_configured() {
    for (in_flight, connections, used) in [(8, 3, 3), (2, 16, 2), (64, 1, 1)] {
        let server = GrpcServer::new(100, |_| ok());
        let options_text = format!("timeout=20s&in-flight={in_flight}&connections={connections}");
        let out = parse_out(&format!("otlp-grpc://{}?{options_text}", server.address)).unwrap();
        let (sender, handle) = start(vec![out], options()).unwrap();
        let mut sent = 0;
        let deadline = Instant::now() + PATIENCE;
        while server.connections.load(Ordering::SeqCst) < used || sent < 200 {
            assert!(Instant::now() < deadline, "{:?}", sender.stats(0));
            for _ in 0..20 {
                let _ = sender.offer(0, batch(1, 1000));
            }
            sent += 20;
            wait_row(&sender, 0, |row| row.delivered == sent);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), used);
        assert_eq!((sender.stats(0).connects, sender.stats(0).retries), (used as u64, 0));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E5, E8: a message that is gzipped although nobody asked for it is read.
#[test]
fn e5_a_gzipped_message_is_read() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"\x0a\x08\x08\x03\x12\x04late").unwrap();
    let packed = packed.finish().unwrap();
    let server = GrpcServer::new(100, move |_| Answer::Gzipped(packed.clone()));
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(10, 100));
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = sender.ledger(0);
    assert_eq!((row.delivered, row.dropped(Dropped::RejectedByDestination)), (7, 3));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E5: partial success is not retried; a message without a count is a warning only.
#[test]
fn partial_success_is_never_retried() {
    let server = GrpcServer::new(100, |n| {
        let body: &[u8] = if n == 0 { b"\x0a\x08\x08\x03\x12\x04late" } else { b"\x0a\x06\x12\x04hint" };
        Answer::Message(body.to_vec(), vec![("grpc-status", "0".into())])
    });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(10, 100));
    wait_row(&sender, 0, |row| row.queued == 0);
    let _ = sender.offer(0, batch(10, 100));
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = sender.ledger(0);
    assert_eq!((row.delivered, row.dropped(Dropped::RejectedByDestination)), (17, 3));
    assert_eq!((sender.stats(0).retries, sender.stats(0).requests_partial), (0, 2));
    let messages = sender.take_messages(0);
    assert!(messages.iter().any(|text| text.contains("late")) && messages.iter().any(|text| text.contains("hint")));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E2, E6: the listed codes are tried again with the same bytes, the others never; the points are counted. PERMISSION_DENIED
/// and UNAUTHENTICATED wait for other credentials, as 401 and 403 do.
#[test]
fn codes_are_retried_as_listed() {
    for code in 1..=16u32 {
        let server = GrpcServer::new(100, move |n| if n == 0 { status(code) } else { ok() });
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.queued == 0);
        let row = sender.ledger(0);
        let retried = [1, 4, 7, 10, 11, 14, 15, 16].contains(&code);
        let stats = sender.stats(0);
        let has_waited = (stats.tries_unauthorized, stats.breaker_opened) == (1, 1);
        assert_eq!(has_waited, [7, 16].contains(&code), "code {code}: {stats:?}");
        assert_eq!(
            (row.delivered, row.dropped(Dropped::Refused)),
            if retried { (5, 0) } else { (0, 5) },
            "code {code}"
        );
        assert!(sender.take_messages(0)[0].contains("slow down"));
        let calls: Vec<_> = server.calls.try_iter().map(|call| call.message).collect();
        assert_eq!(calls.len(), if retried { 2 } else { 1 });
        assert!(calls.iter().all(|message| *message == batch(5, 100).bytes));
        assert_eq!(sender.stats(0).resent_ambiguous, 0);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E2, E4: RESOURCE_EXHAUSTED with RetryInfo is tried again, not before the delay it names.
#[test]
fn retry_info_is_kept_to() {
    // Status { code: 8, details: [Any { RetryInfo { retry_delay { nanos: 300_000_000 } } }] }
    let any_type = b"type.googleapis.com/google.rpc.RetryInfo";
    let info = b"\x0a\x06\x10\x80\xc6\x86\x8f\x01";
    let any = [&[0x0a, any_type.len() as u8], any_type.as_slice(), &[0x12, info.len() as u8], info].concat();
    let details = [&[0x08, 0x08, 0x1a, any.len() as u8], any.as_slice()].concat();
    let text = base64(&details);
    let server = GrpcServer::new(100, move |n| match n {
        0 => Answer::TrailersOnly(vec![("grpc-status", "8".into()), ("grpc-status-details-bin", text.clone())]),
        _ => ok(),
    });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let begun = Instant::now();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.delivered == 5);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((sender.stats(0).retries, sender.stats(0).throttled), (1, 1));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).for_each(|digit| out.push(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] as char));
    }
    out
}

/// E7: a connection or stream that ends without an answer leads to the same bytes again, counted as ambiguous, except
/// where the server says that it did not look (REFUSED_STREAM).
#[test]
fn disconnects_resend_identical_bytes() {
    let cases: [(fn() -> Answer, u64); 3] = [
        (|| Answer::Hangup, 1),
        (|| Answer::ResetStream(h2::Reason::INTERNAL_ERROR), 1),
        (|| Answer::ResetStream(h2::Reason::REFUSED_STREAM), 0),
    ];
    for (first, ambiguous) in cases {
        let server = GrpcServer::new(100, move |n| if n == 0 { first() } else { ok() });
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.delivered == 5);
        let calls: Vec<_> = server.calls.try_iter().map(|call| call.message).collect();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0], calls[1]);
        assert_eq!(sender.stats(0).resent_ambiguous, ambiguous);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E7: a connection that is told to go away ends its calls; new ones go on another; nothing is sent twice.
#[test]
fn goaway_sends_nothing_twice() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let server = GrpcServer::counting(100, connections, move |n| match n {
        0 => Answer::Goaway(counter.clone()),
        _ => ok(),
    });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let mut offered = 0;
    let deadline = Instant::now() + PATIENCE;
    while server.connections.load(Ordering::SeqCst) < 2 {
        assert!(Instant::now() < deadline, "no second connection: {:?}", sender.stats(0));
        if sender.ledger(0).queued < 3 {
            let _ = sender.offer(0, batch(1, 100));
            offered += 1;
        }
        std::thread::yield_now();
    }
    wait_row(&sender, 0, |row| row.delivered == offered);
    let stats = sender.stats(0);
    let calls = server.calls.try_iter().count() as u64;
    assert_eq!((stats.resent_ambiguous, calls), (0, offered), "{stats:?} {:?}", sender.take_messages(0));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E1: a call without an answer runs into the timeout and is tried again.
#[test]
fn hanging_calls_run_into_the_timeout() {
    let server = GrpcServer::new(100, |n| if n == 0 { Answer::Hang } else { ok() });
    let mut destination = server.destination();
    destination.timeout = Duration::from_millis(150);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.delivered == 5);
    assert!(sender.stats(0).tries_timed_out >= 1);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E8, T19: an endless answer is cut at 4 MiB and counted, on the same connection others go on; trailers over the limit
/// never fill memory and never count as success.
#[test]
fn endless_answers_are_cut() {
    let server = GrpcServer::new(100, |n| if n == 0 { Answer::Endless } else { ok() });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.dropped(Dropped::ResponseTooLarge) == 5);
    let _ = sender.offer(0, batch(6, 100));
    wait_row(&sender, 0, |row| row.delivered == 6);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());

    let server = GrpcServer::new(100, |n| if n == 0 { Answer::BigTrailers } else { ok() });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.queued == 0);
    assert_eq!(server.calls.try_iter().count(), 2);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E2: an HTTP status instead of gRPC's: a proxy's 503 is tried again, a 404 is final.
#[test]
fn plain_http_answers_are_mapped() {
    for (code, delivered) in [(503, 5), (404, 0)] {
        let server = GrpcServer::new(100, move |n| if n == 0 { Answer::Http(code) } else { ok() });
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.queued == 0);
        assert_eq!(sender.ledger(0).delivered, delivered);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E11: a server that is no HTTP/2 server, and a dead one, do not slow a healthy one; shutdown keeps to its deadline.
#[test]
fn dead_destinations_slow_nobody() {
    let healthy = GrpcServer::new(100, |_| ok());
    let wrong = HttpServer::new(|_, _| Reply::ok());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = |address: SocketAddr| parse_out(&format!("otlp-grpc://{address}")).unwrap();
    let all = vec![url(dead), url(wrong.address), url(silent.local_addr().unwrap()), healthy.destination()];
    let (sender, handle) = start(all, options()).unwrap();
    for _ in 0..50 {
        let shared = batch(2, 1000);
        for d in 0..4 {
            assert_eq!(sender.offer(d, shared.clone()), Offer::Queued);
        }
    }
    wait_row(&sender, 3, |row| row.delivered == 100);
    wait_stats(&sender, 0, |stats| stats.tries_unconnected > 0);
    let begun = Instant::now();
    let rows = handle.shutdown(begun + Duration::from_millis(200));
    assert!(begun.elapsed() < PATIENCE);
    for (row, delivered) in rows.iter().zip([0, 0, 0, 100]) {
        assert!(row.balances());
        assert_eq!((row.encoded, row.delivered, row.queued), (100, delivered, 100 - delivered), "{row:?}");
    }
}
