//! Pages at the doors: whole, streamed, broken off, and read slowly.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{PATIENCE, is_closed, read_reply};
use bytes::Bytes;
use catchment::clock::Now;
use catchment::limits;
use catchment::listen;
use catchment::listen::pages::{Abort, Options, PageBody, PageMaker, PageResponse, PageServer, PageStream};

struct Count {
    left: usize,
    abort_at: usize,
    pulled: Arc<AtomicUsize>,
}

impl PageStream for Count {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        if self.left == self.abort_at {
            return Some(Err(Abort));
        }
        self.left = self.left.checked_sub(1)?;
        self.pulled.fetch_add(1, SeqCst);
        Some(Ok(Bytes::from(vec![b'x'; 10_000])))
    }
}

struct Stub(Arc<AtomicUsize>);

impl PageMaker for Stub {
    fn page(&mut self, door: u8, method: &str, path: &str, query: &str, accept: &str) -> PageResponse {
        let stream = |left, abort_at| PageBody::Stream(Box::new(Count { left, abort_at, pulled: Arc::clone(&self.0) }));
        let (status, body) = match path {
            _ if !matches!(method, "GET" | "HEAD") => (405, PageBody::Full(Bytes::from_static(b"only GET"))),
            "/stream" => (200, stream(query.parse().unwrap(), usize::MAX)),
            "/abort" => (200, stream(1_000, 500)),
            "/" => (200, PageBody::Full(format!("{door} {method} {query} {accept}").into())),
            "/busy" => (503, PageBody::Full(Bytes::from_static(b"busy"))),
            _ => (404, PageBody::Full(Bytes::new())),
        };
        PageResponse { status, content_type: "text/plain", body }
    }
}

fn with_server(test: impl FnOnce(&dyn Fn() -> TcpStream, &AtomicUsize)) {
    with_doors(&[], |connect, pulled, _| test(&|| connect(0), pulled));
}

/// Doors 7 and 8; the clock is moved by the last argument.
fn with_doors(
    allowed: &'static [&str],
    test: impl FnOnce(&dyn Fn(usize) -> TcpStream, &AtomicUsize, &dyn Fn(Duration)),
) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let quit = Arc::new(AtomicBool::new(false));
    let mut poll = mio::Poll::new().unwrap();
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
    let listeners: Vec<_> =
        [7, 8].map(|door| (listen::bind("127.0.0.1:0".parse().unwrap(), false).unwrap(), door)).into();
    let addresses: Vec<_> = listeners.iter().map(|(listener, _)| listener.local_addr().unwrap()).collect();
    let time = Arc::new(AtomicU64::new(1));
    let clock = Arc::clone(&time);
    let registry = poll.registry().try_clone().unwrap();
    let (count, end) = (Arc::clone(&pulled), Arc::clone(&quit));
    let thread = std::thread::spawn(move || {
        let allowed_hosts = allowed.iter().map(ToString::to_string).collect();
        let mut server =
            PageServer::new(Options { allowed_hosts, ..Options::default() }, listeners, registry, 1).unwrap();
        let mut events = mio::Events::with_capacity(16);
        let (mut stub, mut more) = (Stub(count), true);
        while !end.load(SeqCst) {
            poll.poll(&mut events, more.then_some(Duration::ZERO)).unwrap();
            events.iter().for_each(|event| server.on_event(event.into()));
            let now = Now::at(clock.load(SeqCst));
            more = server.turn(&mut stub, now);
            if server.next_timeout(now).is_some_and(|left| left.is_zero()) {
                server.on_timers(&mut stub, now);
                more = true;
            }
        }
    });
    let connect = |door: usize| {
        let stream = TcpStream::connect(addresses[door]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let pass = |by: Duration| {
        time.fetch_add(by.as_nanos() as u64, SeqCst);
        waker.wake().unwrap();
    };
    test(&connect, &pulled, &pass);
    quit.store(true, SeqCst);
    waker.wake().unwrap();
    thread.join().unwrap();
}

/// Removes chunked coding; the flag says whether the last chunk was there.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    (body, false)
}

fn get(stream: &mut TcpStream, path: &str) {
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: a/b\r\naccept: c/d\r\n\r\n").as_bytes())
        .unwrap();
}

#[test]
fn pages_are_served_with_their_door_and_query() {
    with_server(|connect, _| {
        let mut stream = connect();
        for _ in 0..3 {
            get(&mut stream, "/?q=1");
            let reply = read_reply(&mut stream);
            assert_eq!((reply.status, reply.body.as_slice()), (200, b"7 GET q=1 a/b,c/d".as_slice()));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(reply.header("content-type"), Some("text/plain"));
        }
        get(&mut stream, "/none");
        assert_eq!(read_reply(&mut stream).status, 404);
        get(&mut stream, "/busy");
        let reply = read_reply(&mut stream);
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    });
}

#[test]
fn streams_are_whole_or_visibly_not() {
    with_server(|connect, _| {
        for (path, pieces, is_whole) in [("/stream?0", 0, true), ("/stream?500", 500, true), ("/abort", 500, false)] {
            let mut stream = connect();
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
                .unwrap();
            assert_eq!(read_reply(&mut stream).status, 200);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            let (body, ended) = unchunk(&rest);
            assert_eq!(ended, is_whole, "{path}");
            // what lay in hyper's buffers when the stream aborted is lost with it
            assert!(body.len() == pieces * 10_000 || !is_whole && body.len() < pieces * 10_000, "{path}");
        }
    });
}

/// A reader that does not read stops the stream, and delays no other.
#[test]
fn streams_wait_for_their_reader() {
    with_server(|connect, pulled| {
        let mut slow = connect();
        get(&mut slow, "/stream?10000");
        assert_eq!(read_reply(&mut slow).status, 200);
        let mut fast = connect();
        let mut seen = 0;
        for _ in 0..10_000 {
            get(&mut fast, "/");
            assert_eq!(read_reply(&mut fast).status, 200);
            let now = pulled.load(SeqCst);
            if now == seen && now > 0 {
                break;
            }
            seen = now;
        }
        assert!((1..5_000).contains(&seen), "{seen} pieces of 10 kB were pulled for a reader that reads nothing");
        drop(slow);
        get(&mut fast, "/none");
        assert_eq!(read_reply(&mut fast).status, 404);
    });
}

/// RFC 9110, 15.5.6: who uses another method is told which ones there are; who may use one is not.
#[test]
fn a_method_that_is_not_allowed_is_told_which_are() {
    with_server(|connect, _| {
        let mut stream = connect();
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            stream
                .write_all(format!("{method} / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .unwrap();
            let reply = read_reply(&mut stream);
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
        }
        get(&mut stream, "/");
        let reply = read_reply(&mut stream);
        assert_eq!((reply.status, reply.header("allow")), (200, None));
    });
}

/// RFC 9112, 3 and 3.2: pages are for requests that say whom they are for, in a target that ends. HTTP/1.0 need not say.
#[test]
fn bad_hosts_and_long_targets_are_refused() {
    with_server(|connect, _| {
        let long = format!("GET /?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(70_000));
        for (head, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: localhost\r\nHost: localhost\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: x y\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nhost: localhost\r\nHost: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost:\r\n\r\n", 200),
            ("GET / HTTP/1.0\r\n\r\n", 200),
            (&long, 414),
        ] {
            let mut stream = connect();
            // the server may close before all of it is written
            let _ = stream.write_all(head.as_bytes());
            let reply = read_reply(&mut stream);
            let shown = &head[..head.len().min(100)];
            assert_eq!(reply.status, status, "{shown:?}");
            assert!(!reply.body.is_empty(), "{shown:?}");
        }
    });
}

/// T13: a door's places are its own, and one that nothing is asked at is closed after ten seconds; a page under way goes on.
#[test]
fn doors_have_places_of_their_own_and_idle_ones_are_closed() {
    with_doors(&[], |connect, _, pass| {
        let mut held: Vec<_> = (0..limits::PAGE_CONNECTIONS_MAX)
            .map(|_| {
                let mut stream = connect(0);
                // those over the limit are closed at once
                let _ = stream.write_all(b"GET /");
                stream
            })
            .collect();
        let mut other = connect(1);
        get(&mut other, "/");
        assert_eq!(read_reply(&mut other).status, 200, "what one door holds is no matter to the other");
        held.drain(..).for_each(drop);
        let mut slow = connect(1);
        get(&mut slow, "/stream?1000");
        assert_eq!(read_reply(&mut slow).status, 200);
        pass(Duration::from_secs(11));
        assert!(is_closed(&mut other));
        let mut last = connect(1);
        get(&mut last, "/");
        assert_eq!(read_reply(&mut last).status, 200);
        let mut seen = Vec::new();
        let mut piece = vec![0; 100_000];
        while !seen.ends_with(b"0\r\n\r\n") {
            let n = slow.read(&mut piece).unwrap();
            assert!(n > 0, "cut off");
            seen.extend_from_slice(&piece[..n]);
        }
        assert_eq!(unchunk(&seen).0.len(), 10_000_000);
    });
}

/// A page in a browser whose name was made to point at loopback gets nothing.
#[test]
fn a_door_on_loopback_goes_by_no_foreign_name() {
    with_doors(&["gateway"], |connect, _, _| {
        for (target, host, status) in [
            ("/", "attacker.example", 403),
            ("http://attacker.example/", "localhost", 403),
            ("/", "127.0.0.1:9465", 200),
            ("/", "[::1]", 200),
            ("/", "Gateway:9465", 200),
        ] {
            let mut stream = connect(0);
            stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
            let reply = read_reply(&mut stream);
            assert_eq!(reply.status, status, "{target} {host}");
            let words = String::from_utf8(reply.body).unwrap();
            assert_eq!(words.contains("--allowed-host"), status == 403, "{words}");
        }
    });
}

#[test]
fn rubbish_is_answered_and_closed() {
    with_server(|connect, _| {
        let mut stream = connect();
        stream.write_all(b"rubbish\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream).status, 400);
        assert!(is_closed(&mut stream));
    });
}
