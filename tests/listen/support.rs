//! A real `Doors` on a thread, a stub intake behind it, and clients in front: what the listen tests share.
//!
//! The clock stands still until a test moves it. The stub reads commands in bodies: `bad…` is malformed, `busy…`
//! overloaded, `partial…` three points rejected, `warn…` a warning; everything else is applied.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catchment::clock::Now;
use catchment::ingest::Sliced;
use catchment::listen::{self, Doors, Options, Stats};
use catchment::listen::{Exported, Intake};
use catchment::model::{Door, Origin, Peer, Receipt, Refusal, Tenant};

/// Longest wait for anything observable.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Says of the doors' counters, and of the bytes held, whether to pause.
pub type PauseWhen = Box<dyn Fn(&Stats, usize) -> bool + Send>;

#[derive(Default)]
pub struct Shared {
    pub time_ns: AtomicU64,
    pub budget: AtomicUsize,
    pub held: AtomicUsize,
    pub held_max: AtomicUsize,
    pub bodies: Mutex<Vec<(Door, Vec<u8>)>>,
    /// Who sent them.
    pub peers: Mutex<Vec<Peer>>,
    pub stats: Mutex<Stats>,
    /// The peer that has to give way, until no more than so many bytes are held.
    pub greedy: Mutex<Option<(Peer, usize)>>,
    /// Most calls begun and answers counted in one turn of the loop.
    pub turn_calls_max: AtomicU64,
    pub idle: AtomicBool,
    pub stop: AtomicBool,
    pub quit: AtomicBool,
    /// The doors take no turn while this says so.
    pub pause: Mutex<Option<PauseWhen>>,
    pub paused: AtomicBool,
}

impl Shared {
    /// Waits, in the doors' thread and between two turns, while a test wants to look at them.
    fn pause(&self, stats: &Stats) {
        let pausing = || self.pause.lock().unwrap().as_ref().is_some_and(|when| when(stats, self.held.load(SeqCst)));
        let start = Instant::now();
        while pausing() && !self.quit.load(SeqCst) && start.elapsed() < 2 * PATIENCE {
            self.paused.store(true, SeqCst);
            std::thread::yield_now();
        }
        self.paused.store(false, SeqCst);
    }
}

struct Stub(Arc<Shared>);

impl Intake for Stub {
    fn export(&mut self, origin: Origin, body: &[u8], _: &mut Option<Box<Sliced>>, _: Now) -> Exported {
        Exported { end: Some(self.end(origin, body)), cost_ns: 1 }
    }

    fn reserve(&mut self, _: Peer, bytes: usize) -> bool {
        let held = self.0.held.load(SeqCst) + bytes;
        if held > self.0.budget.load(SeqCst) {
            return false;
        }
        self.0.held.store(held, SeqCst);
        self.0.held_max.fetch_max(held, SeqCst);
        true
    }

    fn release(&mut self, _: Peer, bytes: usize) {
        let held = self.0.held.load(SeqCst);
        self.0.held.store(held.checked_sub(bytes).expect("never more released than reserved"), SeqCst);
    }

    fn is_wanted(&self) -> bool {
        self.0.greedy.lock().unwrap().is_some_and(|(_, most)| self.0.held.load(SeqCst) > most)
    }

    fn gives_way(&self, peer: Peer) -> bool {
        self.0.greedy.lock().unwrap().is_some_and(|(greedy, _)| greedy == peer) && self.is_wanted()
    }
}

impl Stub {
    fn end(&self, origin: Origin, body: &[u8]) -> Result<Receipt, Refusal> {
        assert_eq!(origin.tenant, Tenant::DEFAULT, "nobody said whose data it is");
        if body.starts_with(b"bad") {
            return Err(Refusal::Malformed("wire type 7 at byte 0".into()));
        }
        if body.starts_with(b"busy") {
            return Err(Refusal::Overloaded { why: "shard is full".into(), retry_after_ms: 1_500 });
        }
        self.0.bodies.lock().unwrap().push((origin.door, body.to_vec()));
        self.0.peers.lock().unwrap().push(origin.peer);
        if body.starts_with(b"partial") {
            return Ok(Receipt { points: 10, rejected: 3, message: Some("negative delta".into()) });
        }
        if body.starts_with(b"warn") {
            return Ok(Receipt { points: 10, rejected: 0, message: Some("x".repeat(100_000)) });
        }
        Ok(Receipt { points: 1, ..Receipt::default() })
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    waker: Arc<mio::Waker>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(options: Options) -> Server {
        let mut poll = mio::Poll::new().unwrap();
        let listener = listen::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let shared = Arc::new(Shared { time_ns: 1.into(), budget: usize::MAX.into(), ..Shared::default() });
        let listeners = vec![listener];
        let registry = poll.registry().try_clone().unwrap();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut doors = Doors::new(options, listeners, registry, 10).unwrap();
            let mut stub = Stub(Arc::clone(&state));
            let mut events = mio::Events::with_capacity(256);
            let (mut more, mut stopped) = (true, false);
            while !state.quit.load(SeqCst) {
                poll.poll(&mut events, if more { Some(Duration::ZERO) } else { None }).unwrap();
                let now = Now::at(state.time_ns.load(SeqCst));
                // held for the turn: who has an answer finds it counted
                let mut stats = state.stats.lock().unwrap();
                for event in &events {
                    doors.on_event(event.into());
                }
                if state.stop.load(SeqCst) && !stopped {
                    stopped = true;
                    doors.stop_accepting(&mut stub, now);
                }
                more = doors.turn(&mut stub, now);
                if doors.next_timeout(now).is_some_and(|left| left.is_zero()) {
                    doors.on_timers(&mut stub, now);
                    more = true;
                }
                state.idle.store(doors.idle(), SeqCst);
                let calls = |stats: &Stats| stats.streams + stats.requests.as_flattened().iter().sum::<u64>();
                state.turn_calls_max.fetch_max(calls(doors.stats()) - calls(&stats), SeqCst);
                *stats = doors.stats().clone();
                drop(stats);
                state.pause(doors.stats());
            }
        });
        Server { address, shared, waker, thread: Some(thread) }
    }

    pub fn wake(&self) {
        self.waker.wake().unwrap();
    }

    /// Moves the clock on.
    pub fn pass(&self, time: Duration) {
        self.shared.time_ns.fetch_add(time.as_nanos() as u64, SeqCst);
        self.wake();
    }

    /// The doors stop between two turns once `when` says so of their counters and the bytes held, until `resume`.
    pub fn pause_when(&self, when: impl Fn(&Stats, usize) -> bool + Send + 'static) {
        *self.shared.pause.lock().unwrap() = Some(Box::new(when));
    }

    pub fn wait_for_pause(&self) {
        let start = Instant::now();
        while !self.shared.paused.load(SeqCst) {
            assert!(start.elapsed() < PATIENCE, "never paused; {:?}", self.stats());
            std::thread::yield_now();
        }
    }

    pub fn resume(&self) {
        *self.shared.pause.lock().unwrap() = None;
    }

    pub fn stop(&self) {
        self.shared.stop.store(true, SeqCst);
        self.wake();
    }

    pub fn stats(&self) -> Stats {
        self.shared.stats.lock().unwrap().clone()
    }

    /// From now on 127.0.0.1 has to give way, until no more than so many bytes are held.
    pub fn give_way(&self, most: usize) {
        *self.shared.greedy.lock().unwrap() = Some((std::net::IpAddr::from([127, 0, 0, 1]).into(), most));
        self.wake();
    }

    /// Waits until the doors' counters say so.
    pub fn wait(&self, what: &str, done: impl Fn(&Stats) -> bool) -> Stats {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if done(&stats) {
                return stats;
            }
            assert!(start.elapsed() < PATIENCE, "waited too long for: {what}; {stats:?}");
            self.wake();
            std::thread::yield_now();
        }
    }

    pub fn bodies(&self) -> Vec<(Door, Vec<u8>)> {
        self.shared.bodies.lock().unwrap().clone()
    }

    pub fn held(&self) -> usize {
        self.shared.held.load(SeqCst)
    }

    pub fn connect(&self) -> TcpStream {
        self.connect_as("127.0.0.1")
    }

    /// As another peer, one of 127.0.0.0/8.
    pub fn connect_as(&self, peer: &str) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(peer.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        // what was written is there, and does not wait for the doors to have read what was before
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.quit.store(true, SeqCst);
        self.wake();
        let end = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            end.unwrap();
        }
    }
}

/// One answer over HTTP/1.1.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one answer with a Content-Length.
pub fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert!(head.len() < 65_536, "the head of an answer is short");
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed within a head: {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(key, _)| key == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Reply { status, headers, body }
}

/// One POST with extra header lines, on a connection of its own.
pub fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = server.connect();
    send_post(&mut stream, path, headers, body);
    read_reply(&mut stream)
}

pub fn send_post(stream: &mut TcpStream, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

/// Whether the peer closes; what it still sends is thrown away.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    for _ in 0..10_000 {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(fault) => return fault.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A gRPC message behind its prefix.
pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// `google.rpc.Status` as a test sees it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}
