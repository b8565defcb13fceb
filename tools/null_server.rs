//! The yardstick: a server that reads OTLP requests, throws them away and says OK.
//!
//! `null_server [--port N] [--ports-file PATH] [--cpu N] [--buffer BYTES] [--raw]`
//!
//! Deliberately does not know protobuf, HPACK's meaning or HTTP beyond what a unary call needs: it skips frame
//! payloads by their length and answers from prebuilt bytes. One thread, one mio loop, no HTTP library.
//! Both protocols on one port, told apart by the first byte: HTTP/2 (`PRI`) and HTTP/1.1 POST with Content-Length.
//! `--raw` only receives: what the sockets themselves cost.
//! At SIGTERM or SIGINT it prints one JSON line: its CPU seconds, bytes and requests.
//! Bounds: one receive buffer for all connections; 64 KiB of HTTP/1.1 head; what it sends is at most one answer
//! (about 80 bytes) for each request in a buffer.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LISTENER: Token = Token(usize::MAX);
const PREFACE_BYTES: u64 = 24;
const HEAD_BYTES: usize = 9;
const HTTP1_HEAD_BYTES_MAX: usize = 64 * 1024;
/// The receive buffer: of 16 KiB to 1 MiB the cheapest where measured; larger ones leave the core's cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// Reads of one connection before the others have their turn.
const TURN_READS_MAX: usize = 16;
const WINDOW_MAX: u32 = 0x7fff_ffff;
/// The connection's window is opened again when so much of it was used.
const WINDOW_STEP: u32 = 1 << 30;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// SETTINGS: 2^31 - 1 bytes for each stream, frames of 16 MiB - 1, 2^20 streams; the same window for the connection.
const HTTP2_OPENING: &[u8] = &[
    0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 16, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 5, 0, 0xff, 0xff,
    0xff, // SETTINGS
    0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0, // WINDOW_UPDATE by 2^31 - 1 - 65535
];
const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// HEADERS (:status 200, content-type application/grpc), DATA (an empty message), HEADERS (grpc-status 0, the end).
const HTTP2_ANSWER: &[u8] = b"\x00\x00\x14\x01\x04\x00\x00\x00\x00\x88\x0f\x10\x10application/grpc\
\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
\x00\x00\x0f\x01\x05\x00\x00\x00\x00\x00\x0bgrpc-status\x010";
/// Where the three stream numbers of the answer lie.
const HTTP2_ANSWER_STREAMS: [usize; 3] = [5, 34, 48];
const HTTP1_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

struct Arguments {
    port: u16,
    ports_file: Option<String>,
    cpu: Option<usize>,
    buffer: usize,
    raw: bool,
}

/// What a connection is in the middle of.
enum Protocol {
    /// Nothing was received yet.
    Unknown,
    Raw,
    Http2(Http2),
    Http1(Http1),
}

#[derive(Default)]
struct Http2 {
    /// Bytes of the preface or of a frame's payload that are still to be skipped.
    skip: u64,
    /// A frame's head (and a PING's payload) that was cut off.
    partial: Vec<u8>,
    /// The stream to answer when what is skipped now has passed.
    ends: Option<u32>,
    consumed: u32,
}

#[derive(Default)]
struct Http1 {
    skip: u64,
    head: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    protocol: Protocol,
    out: Vec<u8>,
}

fn main() {
    let arguments = arguments().unwrap_or_else(|why| {
        eprintln!("null_server: {why}");
        std::process::exit(2);
    });
    if let Some(cpu) = arguments.cpu {
        assert!(core_affinity::set_for_current(core_affinity::CoreId { id: cpu }), "cannot pin to core {cpu}");
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).expect("signals can be handled");
    }
    let (bytes, requests) = serve(&arguments, &stop).unwrap_or_else(|error| {
        eprintln!("null_server: {error}");
        std::process::exit(1);
    });
    println!("{{\"cpu_s\":{:.6},\"bytes\":{bytes},\"requests\":{requests}}}", cpu_seconds());
}

fn arguments() -> Result<Arguments, String> {
    let mut out = Arguments { port: 0, ports_file: None, cpu: None, buffer: BUFFER_BYTES, raw: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "--port" => out.port = u16::try_from(number(value()?)?).map_err(|_| "no such port")?,
            "--ports-file" => out.ports_file = Some(value()?),
            "--cpu" => out.cpu = Some(number(value()?)?),
            "--buffer" => out.buffer = number(value()?)?.max(1),
            "--raw" => out.raw = true,
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(out)
}

fn serve(arguments: &Arguments, stop: &AtomicBool) -> std::io::Result<(u64, u64)> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], arguments.port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    eprintln!("null_server: listening on {address}");
    if let Some(path) = &arguments.ports_file {
        let written = format!("{path}.new");
        std::fs::write(&written, format!("{{\"otlp_grpc\":\"{address}\",\"otlp_http\":\"{address}\"}}\n"))?;
        std::fs::rename(&written, path)?;
    }
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; arguments.buffer];
    let (mut bytes, mut requests) = (0, 0);
    let mut again: Vec<usize> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let timeout = if again.is_empty() { None } else { Some(std::time::Duration::ZERO) };
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        let mut ready = std::mem::take(&mut again);
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, arguments.raw)?;
            } else if !ready.contains(&event.token().0) {
                ready.push(event.token().0);
            }
        }
        for index in ready {
            let Some(connection) = &mut connections[index] else { continue };
            match connection.turn(&mut buffer, &mut bytes, &mut requests) {
                Ok(true) => again.push(index),
                Ok(false) => {}
                Err(_) => connections[index] = None,
            }
        }
    }
    Ok((bytes, requests))
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
    raw: bool,
) -> std::io::Result<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nodelay(true)?;
        let index = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let protocol = if raw { Protocol::Raw } else { Protocol::Unknown };
        let connection = Some(Connection { socket, protocol, out: Vec::new() });
        if index == connections.len() {
            connections.push(connection);
        } else {
            connections[index] = connection;
        }
    }
}

impl Connection {
    /// Reads until there is no more (`false`) or the others have their turn (`true`).
    fn turn(&mut self, buffer: &mut [u8], bytes: &mut u64, requests: &mut u64) -> std::io::Result<bool> {
        for _ in 0..TURN_READS_MAX {
            self.send()?;
            let taken = match self.socket.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            *bytes += taken as u64;
            let view = &buffer[..taken];
            if let Protocol::Unknown = self.protocol {
                self.protocol = if view[0] == b'P' && view.get(1) != Some(&b'O') {
                    self.out.extend_from_slice(HTTP2_OPENING);
                    Protocol::Http2(Http2 { skip: PREFACE_BYTES, ..Http2::default() })
                } else {
                    Protocol::Http1(Http1::default())
                };
            }
            *requests += match &mut self.protocol {
                Protocol::Http2(http2) => http2.receive(view, &mut self.out),
                Protocol::Http1(http1) => http1.receive(view, &mut self.out)?,
                Protocol::Raw | Protocol::Unknown => 0,
            };
            self.send()?;
            // A short read empties the socket: the next edge tells of more (epoll(7)).
            if taken < buffer.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send(&mut self) -> std::io::Result<()> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(taken) if taken == self.out.len() => self.out.clear(),
                Ok(taken) => drop(self.out.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Http2 {
    /// Skips through frames; says how many requests ended.
    fn receive(&mut self, mut view: &[u8], out: &mut Vec<u8>) -> u64 {
        let mut requests = 0;
        loop {
            let skipped = self.skip.min(view.len() as u64);
            self.skip -= skipped;
            view = &view[skipped as usize..];
            if self.skip > 0 {
                return requests;
            }
            if let Some(stream) = self.ends.take() {
                answer(stream, out);
                requests += 1;
            }
            let missing = HEAD_BYTES.saturating_sub(self.partial.len()).min(view.len());
            if self.partial.is_empty() && view.len() >= HEAD_BYTES {
                let (head, rest) = view.split_at(HEAD_BYTES);
                view = self.frame(head, rest, out);
                continue;
            }
            if missing == 0 && self.partial.len() < HEAD_BYTES {
                return requests;
            }
            self.partial.extend_from_slice(&view[..missing]);
            view = &view[missing..];
            if self.partial.len() < HEAD_BYTES {
                return requests;
            }
            let head: [u8; HEAD_BYTES] = self.partial[..HEAD_BYTES].try_into().expect("nine bytes");
            let payload = self.partial.split_off(HEAD_BYTES);
            self.partial.clear();
            if head[3] == PING && payload.len() + view.len() < 8 {
                // A PING's payload is needed whole: its head stays until the rest is there.
                self.partial.extend_from_slice(&head);
                self.partial.extend_from_slice(&payload);
                self.partial.extend_from_slice(view);
                return requests;
            }
            if payload.is_empty() {
                view = self.frame(&head, view, out);
            } else {
                let mut whole = payload;
                let kept = 8 - whole.len();
                whole.extend_from_slice(&view[..kept]);
                view = &view[kept..];
                self.frame(&head, &whole, out);
                self.skip = 0;
            }
        }
    }

    /// One frame's head, and what follows it; returns what is left of that.
    fn frame<'a>(&mut self, head: &[u8], rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        self.skip = u64::from(length);
        match kind {
            DATA | HEADERS if flags & 1 != 0 => {
                self.ends = Some(u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]));
            }
            SETTINGS if flags & 1 == 0 => out.extend_from_slice(SETTINGS_ACK),
            PING if flags & 1 == 0 => {
                if rest.len() < 8 {
                    self.partial.extend_from_slice(head);
                    self.partial.extend_from_slice(rest);
                    self.skip = 0;
                    return &[];
                }
                out.extend_from_slice(&[0, 0, 8, PING, 1, 0, 0, 0, 0]);
                out.extend_from_slice(&rest[..8]);
            }
            _ => {}
        }
        if kind == DATA {
            self.consumed += length;
            if self.consumed >= WINDOW_STEP {
                out.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, 0]);
                out.extend_from_slice(&(self.consumed & WINDOW_MAX).to_be_bytes());
                self.consumed = 0;
            }
        }
        rest
    }
}

fn answer(stream: u32, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(HTTP2_ANSWER);
    for offset in HTTP2_ANSWER_STREAMS {
        out[at + offset..at + offset + 4].copy_from_slice(&stream.to_be_bytes());
    }
}

impl Http1 {
    /// Skips through bodies; says how many requests ended.
    fn receive(&mut self, mut view: &[u8], out: &mut Vec<u8>) -> std::io::Result<u64> {
        let mut requests = 0;
        while !view.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(view.len() as u64);
                self.skip -= skipped;
                view = &view[skipped as usize..];
            } else {
                let before = self.head.len();
                // A head is short: looking at no more than this much of the view keeps bodies out of the buffer.
                self.head.extend_from_slice(&view[..view.len().min(1_024)]);
                let from = before.saturating_sub(3);
                let Some(end) = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
                    if self.head.len() > HTTP1_HEAD_BYTES_MAX {
                        return Err(ErrorKind::InvalidData.into());
                    }
                    view = &view[self.head.len() - before..];
                    continue;
                };
                let end = from + end + 4;
                self.skip = content_length(&self.head[..end]).ok_or(ErrorKind::InvalidData)?;
                view = &view[end - before..];
                self.head.clear();
            }
            if self.skip == 0 && self.head.is_empty() {
                out.extend_from_slice(HTTP1_ANSWER);
                requests += 1;
            }
        }
        Ok(requests)
    }
}

fn content_length(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}

/// CPU time of this process (it has one thread), user and kernel: nanoseconds from the scheduler, or else clock
/// ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let first = |path: &str| std::fs::read_to_string(path).ok();
    let nanos = first("/proc/self/schedstat").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    if let Some(nanos) = nanos.filter(|&nanos| nanos > 0.0) {
        return nanos / 1e9;
    }
    let stat = first("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
