//! The client half of OTLP/HTTP: POSTs over one HTTP/1.1 keep-alive connection, as bytes in and bytes out.
//!
//! Deliberately does not know sockets or clocks. More than one request in flight is pipelining, in order.
//! Invariants: 1. answers belong to requests first in, first out; 2. a response is read whole before it counts.
//! Bounds: a response head of [`HEAD_BYTES_MAX`], a body of [`BODY_BYTES_MAX`].

use super::flight::{Answer, Flight, Verdict, accepted, accepted_json, is_strange, message};
use super::outbox::Outbox;
use crate::load::payload::GRPC_PREFIX_BYTES;
use std::collections::VecDeque;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// One connection's state.
pub(crate) struct Http1 {
    /// Everything of a request's head up to the value of Content-Length.
    head: String,
    json: bool,
    flights: VecDeque<Flight>,
    inbound: Vec<u8>,
    leaving: bool,
}

impl Http1 {
    /// A connection to `authority`, posting to `path`.
    pub(crate) fn new(authority: &str, path: &str, json: bool, encoding: Option<&str>) -> Self {
        let encoding = encoding.map_or(String::new(), |encoding| format!("content-encoding: {encoding}\r\n"));
        let kind = if json { "application/json" } else { "application/x-protobuf" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: catchment-load\r\n\
             content-type: {kind}\r\n{encoding}content-length: "
        );
        Http1 { head, json, flights: VecDeque::new(), inbound: Vec::new(), leaving: false }
    }

    /// Requests begun and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether a request may begin now.
    pub(crate) fn can_start(&self) -> bool {
        !self.leaving
    }

    /// Whether the server closes and nothing is in flight any more.
    pub(crate) fn is_done(&self) -> bool {
        self.leaving && self.flights.is_empty()
    }

    /// Queues a request with the flight's payload, of so many bytes with the gRPC frame, which stays behind.
    pub(crate) fn start(&mut self, flight: Flight, bytes: usize, outbox: &mut Outbox, queued: &mut [u32]) {
        outbox.small(|out| {
            out.extend_from_slice(self.head.as_bytes());
            out.extend_from_slice((bytes - GRPC_PREFIX_BYTES).to_string().as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        });
        outbox.payload(flight.request, GRPC_PREFIX_BYTES, bytes, queued);
        self.flights.push_back(flight);
    }

    /// Takes what came in and hands over finished requests. An error ends the connection.
    pub(crate) fn receive(&mut self, bytes: &[u8], answers: &mut Vec<Answer>) -> Result<(), String> {
        self.inbound.extend_from_slice(bytes);
        let mut inbound = std::mem::take(&mut self.inbound);
        let mut used = 0;
        while let Some(response) = parse(&inbound[used..])? {
            used += response.bytes;
            if (100..200).contains(&response.status) {
                continue;
            }
            self.leaving |= response.close;
            let mut flight = self.flights.pop_front().ok_or("server answered what was not asked")?;
            let verdict = match response.status {
                200..=299 if self.json => accepted_json(&response.body, &mut flight.said),
                200..=299 => accepted(&response.body, &mut flight.said),
                status if is_strange(status) => Verdict::Strange(format!("HTTP {status}")),
                status => {
                    flight.said = message(&response.body);
                    Verdict::Refused(format!("HTTP {status}"))
                }
            };
            answers.push(Answer { flight, verdict });
        }
        inbound.drain(..used);
        self.inbound = inbound;
        Ok(())
    }

    /// All requests that were not answered, when the connection is lost.
    pub(crate) fn abandon(&mut self) -> Vec<Flight> {
        self.flights.drain(..).collect()
    }
}

struct Response {
    status: u32,
    close: bool,
    body: Vec<u8>,
    bytes: usize,
}

/// The first response in `bytes`, if it is there whole.
fn parse(bytes: &[u8]) -> Result<Option<Response>, String> {
    let Some(head_bytes) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > HEAD_BYTES_MAX { Err("response head is too long".into()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..head_bytes]).map_err(|_| "response head is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or("response has no status line")?;
    let (mut length, mut chunked, mut close) = (0, false, status_line.starts_with("HTTP/1.0"));
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| "content-length is not a number")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            close |= value.eq_ignore_ascii_case("close");
        }
    }
    if length > BODY_BYTES_MAX || bytes.len() - head_bytes > BODY_BYTES_MAX + HEAD_BYTES_MAX {
        return Err("response body is too long".into());
    }
    let rest = &bytes[head_bytes..];
    if chunked {
        let Some((body, used)) = unchunk(rest)? else { return Ok(None) };
        return Ok(Some(Response { status, close, body, bytes: head_bytes + used }));
    }
    let body = rest.get(..length).map(<[u8]>::to_vec);
    Ok(body.map(|body| Response { status, close, body, bytes: head_bytes + length }))
}

/// A chunked body (RFC 9112 section 7.1, trailers skipped), if it is there whole.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        rest.windows(2).position(|two| two == b"\r\n").map(|end| &rest[..end])
    };
    loop {
        let Some(size_line) = line(at) else { return Ok(None) };
        let size = std::str::from_utf8(size_line).ok().and_then(|text| text.split(';').next());
        let size = size.and_then(|text| usize::from_str_radix(text.trim(), 16).ok()).ok_or("chunk has no size")?;
        at += size_line.len() + 2;
        if size > BODY_BYTES_MAX {
            return Err("response body is too long".into());
        }
        if size == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        at += size + 2;
    }
    loop {
        let Some(trailer) = line(at) else { return Ok(None) };
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(pieces: &[&[u8]], requests: usize) -> Result<Vec<Verdict>, String> {
        let mut http = Http1::new("host", "/v1/metrics", false, None);
        (0..requests).for_each(|_| http.flights.push_back(Flight::default()));
        let mut answers = Vec::new();
        for piece in pieces {
            http.receive(piece, &mut answers)?;
        }
        Ok(answers.into_iter().map(|answer| answer.verdict).collect())
    }

    #[test]
    fn responses_are_read_however_they_are_cut() {
        let all = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x0a\x02\x08\x07HTTP/1.1 503 Busy\r\n\
            transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        let truth = vec![
            Verdict::Accepted { rejected: 7 },
            Verdict::Refused("HTTP 503".into()),
            Verdict::Accepted { rejected: 0 },
        ];
        for cut in 0..all.len() {
            assert_eq!(answered(&[&all[..cut], &all[cut..]], 3).unwrap(), truth, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for bad in [&b"FTP/1.1 200 OK\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
            assert!(answered(&[bad], 1).is_err());
        }
        assert!(answered(&[b"HTTP/1.1 200 OK\r\n\r\n"], 0).is_err(), "an answer without a request");
    }
}
