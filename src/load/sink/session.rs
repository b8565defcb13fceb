//! One connection of the sink: HTTP/2 with gRPC calls, or HTTP/1.1, told apart by the first bytes.
//!
//! Deliberately does not know metrics, nor any HTTP that OTLP clients do not speak. Blocking reads and writes.
//! Invariants: 1. DATA that was read is given back to both windows at once, so a client never waits for long;
//! 2. answers leave in the order of the requests' ends, when the client's connection window has room for them.
//! Bounds: frames of [`FRAME_BYTES_MAX`], bodies of the sink's bound, heads of 64 KiB.

use super::counting::{BODY_BYTES_MAX, Reply, Shared};
use crate::load::frames::frame_head;
use crate::load::hpack::{Decoder, literal};
use crate::load::messages::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use crate::load::words::quoted;
use prost::Message;
use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_BYTES_MAX: u32 = 1 << 20;
const WINDOW: u32 = 0x7fff_ffff;
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// Serves one connection until it ends.
pub(crate) fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Ok(());
    }
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    // `POST` and `PRI *` part at the second byte: read the preface's worth and let HTTP/1.1 go on from there.
    let mut opening = [0; 3];
    reader.read_exact(&mut opening)?;
    if opening == PREFACE[..3] {
        reader.read_exact(&mut [0; 21])?;
        Session {
            stream,
            reader,
            shared,
            decoder: Decoder::default(),
            streams: HashMap::new(),
            window: 65_535,
            waiting: VecDeque::new(),
        }
        .run()
    } else {
        http1(stream, io::Cursor::new(opening).chain(reader), shared)
    }
}

fn broken(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// How a body is compressed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Packing {
    #[default]
    Identity,
    Gzip,
    Zstd,
    Unknown,
}

impl Packing {
    fn of(word: Option<&[u8]>) -> Packing {
        match word {
            None | Some(b"identity" | b"") => Packing::Identity,
            Some(b"gzip") => Packing::Gzip,
            Some(b"zstd") => Packing::Zstd,
            Some(_) => Packing::Unknown,
        }
    }
}

/// A body as it came, inflated if it says so.
fn inflate(body: &[u8], packing: Packing) -> io::Result<Vec<u8>> {
    let bound = BODY_BYTES_MAX as u64 + 1;
    let mut out = Vec::new();
    match packing {
        Packing::Identity => out.extend_from_slice(body),
        Packing::Gzip => drop(flate2::read::MultiGzDecoder::new(body).take(bound).read_to_end(&mut out)?),
        Packing::Zstd => drop(zstd::stream::read::Decoder::new(body)?.take(bound).read_to_end(&mut out)?),
        Packing::Unknown => return Err(broken("unknown compression: gzip and zstd are read")),
    }
    if out.len() > BODY_BYTES_MAX {
        return Err(broken("body is too long"));
    }
    Ok(out)
}

/// What is said to a body; one that cannot be read is refused.
fn reply(shared: &Shared, body: &[u8], packing: Packing, json: bool) -> Reply {
    match inflate(body, packing) {
        Ok(body) => shared.request(&body, json),
        Err(error) => {
            shared.totals().faulted_requests += 1;
            Reply::Refuse { status: 400, retry_after_s: None, why: error.to_string() }
        }
    }
}

/// The response message of a success, as JSON.
fn json_response(rejected: u64) -> Vec<u8> {
    if rejected == 0 {
        return b"{}".to_vec();
    }
    let partial =
        format!("\"rejectedDataPoints\":\"{rejected}\",\"errorMessage\":\"{rejected} points rejected to order\"");
    format!("{{\"partialSuccess\":{{{partial}}}}}").into_bytes()
}

/// The response message of a success.
fn response(rejected: u64) -> Vec<u8> {
    let partial = ExportMetricsPartialSuccess {
        rejected_data_points: rejected as i64,
        error_message: format!("{rejected} points rejected to order"),
    };
    let partial_success = (rejected > 0).then_some(partial);
    ExportMetricsServiceResponse { partial_success }.encode_to_vec()
}

/// Ends the session so that closing resets the connection.
fn reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO))?;
    Err(ErrorKind::ConnectionReset.into())
}

// ---------------------------------------------------------------------------------------------------- HTTP/1.1

fn http1(mut stream: &TcpStream, mut reader: impl Read, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(&mut reader);
    loop {
        let Some(head) = head(&mut reader)? else { return Ok(()) };
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let field = |name: &str| {
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        if field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let body = if chunked { chunks(&mut reader)? } else { sized(&mut reader, field("content-length"))? };
        let close = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let answering = shared.answering();
        let answer = match (method, path) {
            ("GET", "/totals") => answer(200, "application/json", "", shared.totals().json().as_bytes()),
            ("POST", "/v1/metrics") => {
                let packing = Packing::of(field("content-encoding").map(str::as_bytes));
                let kind = field("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
                let json = kind.trim().eq_ignore_ascii_case("application/json");
                match reply(shared, &body, packing, json) {
                    Reply::Accept { rejected } if json => answer(200, "application/json", "", &json_response(rejected)),
                    Reply::Accept { rejected } => answer(200, "application/x-protobuf", "", &response(rejected)),
                    Reply::Refuse { status, retry_after_s, why } => {
                        let status = if status < 100 { 503 } else { status };
                        let retry = retry_after_s.map_or(String::new(), |s| format!("retry-after: {s}\r\n"));
                        if json {
                            let body = format!("{{\"code\":2,\"message\":{}}}", quoted(&why));
                            answer(status, "application/json", &retry, body.as_bytes())
                        } else {
                            answer(status, "application/x-protobuf", &retry, &rpc_status(2, &why, None))
                        }
                    }
                    // Answers come in order: once one is missing, none can follow.
                    Reply::Hang => {
                        drop(answering);
                        return io::copy(&mut reader, &mut io::sink()).map(drop);
                    }
                    Reply::Reset => return reset(stream),
                }
            }
            _ => answer(404, "text/plain", "", b"POST /v1/metrics or GET /totals\n"),
        };
        stream.write_all(&answer)?;
        drop(answering);
        if close {
            return Ok(());
        }
    }
}

fn answer(status: u16, kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} Sink\r\ncontent-type: {kind}\r\n{more}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A request's head, or `None` where the connection ends between requests.
fn head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut out = String::new();
    while !out.ends_with("\r\n\r\n") {
        let room = HEAD_BYTES_MAX.saturating_sub(out.len() as u64);
        if reader.by_ref().take(room).read_line(&mut out)? == 0 {
            return if out.is_empty() { Ok(None) } else { Err(broken("request head is cut off or too long")) };
        }
    }
    Ok(Some(out))
}

fn sized(reader: &mut impl Read, length: Option<&str>) -> io::Result<Vec<u8>> {
    let length = length.map_or(Ok(0), str::parse).map_err(|_| broken("content-length is not a number"))?;
    if length > BODY_BYTES_MAX {
        return Err(broken("body is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.by_ref().take(1_024).read_line(&mut line)?;
        let size = line.split(';').next().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.filter(|size| body.len() + size <= BODY_BYTES_MAX).ok_or(broken("chunk has no size"))?;
        let from = body.len();
        body.resize(from + size, 0);
        reader.read_exact(&mut body[from..])?;
        if size == 0 {
            break;
        }
        reader.read_exact(&mut [0; 2])?;
    }
    loop {
        let mut line = String::new();
        if reader.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok(body);
        }
    }
}

// ------------------------------------------------------------------------------------------------------ HTTP/2

#[derive(Default)]
struct Call {
    headers: Vec<u8>,
    ended: bool,
    packing: Packing,
    path: String,
    body: Vec<u8>,
}

struct Session<'a> {
    stream: &'a TcpStream,
    reader: BufReader<&'a TcpStream>,
    shared: &'a Shared,
    decoder: Decoder,
    streams: HashMap<u32, Call>,
    /// What the client's connection window still takes.
    window: i64,
    /// Answers that wait for it: DATA bytes, frames.
    waiting: VecDeque<(i64, Vec<u8>)>,
}

impl Session<'_> {
    fn run(mut self) -> io::Result<()> {
        let mut out = Vec::new();
        frame_head(&mut out, 18, 4, 0, 0);
        for (setting, value) in [(3_u16, 1 << 16), (4, WINDOW), (5, FRAME_BYTES_MAX)] {
            out.extend_from_slice(&setting.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        frame_head(&mut out, 4, 8, 0, 0);
        out.extend_from_slice(&(WINDOW - 65_535).to_be_bytes());
        self.stream.write_all(&out)?;
        let mut frame = Vec::new();
        loop {
            let mut head = [0; 9];
            match self.reader.read_exact(&mut head) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                other => other?,
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            if length > FRAME_BYTES_MAX {
                return Err(broken("frame is too large"));
            }
            frame.resize(length as usize, 0);
            self.reader.read_exact(&mut frame)?;
            let stream = u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]);
            self.frame(head[3], head[4], stream, &frame)?;
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, frame: &[u8]) -> io::Result<()> {
        match kind {
            0 => {
                if !frame.is_empty() {
                    let mut out = Vec::new();
                    for of in [0, stream] {
                        frame_head(&mut out, 4, 8, 0, of);
                        out.extend_from_slice(&(frame.len() as u32).to_be_bytes());
                    }
                    self.stream.write_all(&out)?;
                }
                let data = unpad(flags, frame)?;
                let Some(call) = self.streams.get_mut(&stream) else { return Ok(()) };
                if call.body.len() + data.len() > BODY_BYTES_MAX {
                    return Err(broken("body is too long"));
                }
                call.body.extend_from_slice(data);
                if flags & 1 != 0 {
                    self.end(stream)?;
                }
            }
            1 | 9 => {
                let mut block = if kind == 1 { unpad(flags, frame)? } else { frame };
                if kind == 1 && flags & 32 != 0 {
                    block = block.get(5..).ok_or(broken("HEADERS frame is cut off"))?;
                }
                let call = self.streams.entry(stream).or_default();
                call.ended |= kind == 1 && flags & 1 != 0;
                call.headers.extend_from_slice(block);
                if call.headers.len() as u64 > HEAD_BYTES_MAX {
                    return Err(broken("headers are too long"));
                }
                if flags & 4 != 0 {
                    let block = std::mem::take(&mut call.headers);
                    let read = self.decoder.decode(&block, |name, value| match name {
                        b":path" => call.path = String::from_utf8_lossy(value).into_owned(),
                        b"grpc-encoding" => call.packing = Packing::of(Some(value)),
                        _ => {}
                    });
                    read.map_err(broken)?;
                    if call.ended {
                        self.end(stream)?;
                    }
                }
            }
            3 => drop(self.streams.remove(&stream)),
            4 if flags & 1 == 0 => {
                let mut out = Vec::new();
                frame_head(&mut out, 0, 4, 1, 0);
                self.stream.write_all(&out)?;
            }
            6 if flags & 1 == 0 => {
                let mut out = Vec::new();
                frame_head(&mut out, frame.len(), 6, 1, 0);
                out.extend_from_slice(frame);
                self.stream.write_all(&out)?;
            }
            8 if stream == 0 => {
                let step = frame.try_into().map(u32::from_be_bytes).map_err(|_| broken("WINDOW_UPDATE is cut off"))?;
                self.window += i64::from(step & WINDOW);
                self.send()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A call's last byte is there.
    fn end(&mut self, stream: u32) -> io::Result<()> {
        let call = self.streams.remove(&stream).unwrap_or_default();
        let shared = self.shared;
        let _answering = shared.answering();
        let reply = match call.body.get(5..) {
            _ if !call.path.ends_with("MetricsService/Export") => {
                Reply::Refuse { status: 12, retry_after_s: None, why: format!("no such method: {}", call.path) }
            }
            None => Reply::Refuse { status: 13, retry_after_s: None, why: "no message".into() },
            Some(message) => {
                let compressed = call.body[0] == 1;
                let packing = if compressed { call.packing } else { Packing::Identity };
                reply(self.shared, message, packing, false)
            }
        };
        let mut frames = Vec::new();
        let mut headers = Vec::new();
        let mut data_bytes = 0;
        match reply {
            Reply::Hang => return Ok(()),
            Reply::Reset => return reset(self.stream),
            Reply::Accept { rejected } => {
                literal(&mut headers, ":status", "200");
                literal(&mut headers, "content-type", "application/grpc");
                frame_head(&mut frames, headers.len(), 1, 4, stream);
                frames.append(&mut headers);
                let message = response(rejected);
                data_bytes = message.len() as i64 + 5;
                frame_head(&mut frames, message.len() + 5, 0, 0, stream);
                frames.push(0);
                frames.extend_from_slice(&(message.len() as u32).to_be_bytes());
                frames.extend_from_slice(&message);
                literal(&mut headers, "grpc-status", "0");
            }
            Reply::Refuse { status, retry_after_s, why } => {
                // A refusal for a body that cannot be decoded is INVALID_ARGUMENT here.
                let (http, grpc) = match status {
                    400 => (200, Some(3)),
                    100.. => (status, None),
                    _ => (200, Some(status)),
                };
                literal(&mut headers, ":status", &http.to_string());
                literal(&mut headers, "content-type", "application/grpc");
                if let Some(grpc) = grpc {
                    literal(&mut headers, "grpc-status", &grpc.to_string());
                    literal(
                        &mut headers,
                        "grpc-message",
                        &why.replace(|c: char| !(' '..='~').contains(&c) || c == '%', "?"),
                    );
                    if retry_after_s.is_some() {
                        let details = rpc_status(grpc.into(), &why, retry_after_s);
                        literal(&mut headers, "grpc-status-details-bin", &base64(&details));
                    }
                } else if let Some(seconds) = retry_after_s {
                    literal(&mut headers, "retry-after", &seconds.to_string());
                }
            }
        }
        frame_head(&mut frames, headers.len(), 1, 5, stream);
        frames.append(&mut headers);
        self.waiting.push_back((data_bytes, frames));
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        while let Some((data_bytes, frames)) = self.waiting.front() {
            if *data_bytes > self.window {
                return Ok(());
            }
            self.stream.write_all(frames)?;
            self.window -= data_bytes;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

fn unpad(flags: u8, frame: &[u8]) -> io::Result<&[u8]> {
    if flags & 8 == 0 {
        return Ok(frame);
    }
    let (&padding, rest) = frame.split_first().ok_or(broken("padded frame is empty"))?;
    let kept = rest.len().checked_sub(padding.into()).ok_or(broken("padding is longer than its frame"))?;
    Ok(&rest[..kept])
}

// ----------------------------------------------------------------------------------------------- google.rpc

#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<RpcAny>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RpcAny {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(message, optional, tag = "2")]
    value: Option<RetryInfo>,
}

/// google.rpc.RetryInfo { google.protobuf.Duration retry_delay = 1 { int64 seconds = 1 } }
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Seconds>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Seconds {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

fn rpc_status(code: i32, message: &str, retry_after_s: Option<u32>) -> Vec<u8> {
    let details = retry_after_s.map(|seconds| RpcAny {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
        value: Some(RetryInfo { retry_delay: Some(Seconds { seconds: seconds.into() }) }),
    });
    RpcStatus { code, message: message.into(), details: details.into_iter().collect() }.encode_to_vec()
}

/// Without padding, as gRPC has it for `-bin` headers.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            out.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    out
}
