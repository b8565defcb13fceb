//! What the tests of `deliver` share: a scripted HTTP/1.1 server, batches, bounded waiting.
#![allow(dead_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant, SystemTime};

use catchment::clock::{Clock, Now};
use catchment::deliver::{Destination, DestinationRow, Encoded, Options, Sender, StatsRow, parse_out};
use catchment::model::{EpochNumber, Flushed, PlanNumber, Temporality, Tenant, View};

/// The longest any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The OS clocks.
#[derive(Debug)]
pub struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> Now {
        static START: OnceLock<Instant> = OnceLock::new();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Now { mono_ns: START.get_or_init(Instant::now).elapsed().as_nanos() as u64, wall_ns: wall.as_nanos() as u64 }
    }
}

/// Short back-off.
pub fn options() -> Options {
    let mut options = Options::new(&OsClock, 42);
    options.backoff_first = Duration::from_millis(4);
    options.backoff_max = Duration::from_millis(100);
    options
}

/// Which batch it is, where that does not matter.
pub fn flushed() -> Flushed {
    Flushed {
        plan: PlanNumber::FIRST,
        epoch: EpochNumber::FIRST,
        cut: 1,
        shard: 0,
        number: 0,
        tenant: Tenant::DEFAULT,
        view: View::of_all(Temporality::Cumulative),
        boundary_ns: 1_000,
    }
}

/// A batch of so many points, whose bytes are deterministic and are not protobuf.
pub fn batch(points: u64, bytes: usize) -> Arc<Encoded> {
    let bytes: Vec<u8> = (0..bytes).map(|n| (n * 31 + points as usize) as u8).collect();
    Arc::new(Encoded { bytes: bytes.into(), points, flushed: flushed() })
}

pub fn http_destination(address: SocketAddr) -> Destination {
    parse_out(&format!("otlp-http://{address}?timeout=20s")).unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// Waits until the row says so; every row seen on the way must balance.
pub fn wait_row(sender: &Sender, d: usize, until: impl Fn(&DestinationRow) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let row = sender.ledger(d);
        assert!(row.balances(), "{row:?}");
        if until(&row) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain: {row:?} {:?} {:?}",
            sender.stats(d),
            sender.take_messages(d)
        );
        std::thread::yield_now();
    }
}

/// Waits until the counters say so.
pub fn wait_stats(sender: &Sender, d: usize, until: impl Fn(&StatsRow) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until(&sender.stats(d)) {
        assert!(Instant::now() < deadline, "waited in vain: {:?}", sender.stats(d));
        std::thread::yield_now();
    }
}

/// One request as it came.
pub struct Request {
    /// Start line and headers, names in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// What the server does with a request.
pub enum Reply {
    Answer(u16, String, Vec<u8>),
    /// Closes the connection with a reset.
    Reset,
    /// Keeps the connection and says nothing.
    Hang,
    /// A chunked body without an end.
    Endless(u16),
}

impl Reply {
    pub fn ok() -> Self {
        Reply::new(200, "content-type: application/x-protobuf\r\n", vec![])
    }

    pub fn new(status: u16, headers: &str, body: Vec<u8>) -> Self {
        Reply::Answer(status, headers.to_owned(), body)
    }
}

/// A server that answers the n-th request (from 0, over all connections) as its script says.
pub struct HttpServer {
    pub address: SocketAddr,
    pub requests: mpsc::Receiver<Request>,
}

impl HttpServer {
    pub fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, requests) = mpsc::channel();
        let script = Arc::new(script);
        let count = Arc::new(AtomicUsize::new(0));
        // the threads end with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), script, count, send) = (stream, script.clone(), count.clone(), send.clone()) else {
                    return;
                };
                std::thread::spawn(move || serve(stream, &*script, &count, &send));
            }
        });
        HttpServer { address, requests }
    }

    pub fn destination(&self) -> Destination {
        http_destination(self.address)
    }
}

fn serve(
    mut stream: TcpStream,
    script: &dyn Fn(usize, &Request) -> Reply,
    count: &AtomicUsize,
    send: &mpsc::Sender<Request>,
) {
    while let Ok(request) = read_request(&mut stream) {
        let reply = script(count.fetch_add(1, Ordering::SeqCst), &request);
        let _ = send.send(request);
        match reply {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Scripted\r\n{headers}content-length: {length}\r\n\r\n");
                if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                    return;
                }
            }
            Reply::Reset => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            Reply::Hang => {
                // until the client gives up
                let _ = stream.read(&mut [0]);
                return;
            }
            Reply::Endless(status) => {
                let head = format!("HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\n\r\n");
                let mut ok = stream.write_all(head.as_bytes()).is_ok();
                let chunk = [b"4000\r\n".as_slice(), &[0; 0x4000], b"\r\n"].concat();
                while ok {
                    ok = stream.write_all(&chunk).is_ok();
                }
                return;
            }
        }
    }
}

/// Reads one request with a `Content-Length`.
pub fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..n]);
    };
    let mut body = bytes.split_off(end);
    let head: String = String::from_utf8(bytes).unwrap();
    let (start, fields) = head.split_once("\r\n").unwrap();
    let head = format!("{start}\r\n{}", fields.to_ascii_lowercase());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    while body.len() < length {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body.extend_from_slice(&buffer[..n]);
    }
    Ok(Request { head, body })
}
