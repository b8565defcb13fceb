//! The client half of OTLP/gRPC: unary Export calls over one cleartext HTTP/2 connection, as bytes in and bytes out.
//!
//! Deliberately does not know sockets or clocks, nor any HTTP/2 that a unary call does not need (no push, no
//! priorities, no trailers of ours). Written by hand because a generator must outrun every server it measures.
//! Invariants: 1. no DATA beyond the connection's and the stream's window, no frame above the server's
//! SETTINGS_MAX_FRAME_SIZE; 2. one request is cut into frames at a time, and the next begins when it is queued whole;
//! 3. SETTINGS and PING are answered in the same turn.
//! Bounds: a response message of [`BODY_BYTES_MAX`], a header block of 64 KiB, one partial inbound frame of 16 KiB.

use super::flight::{Answer, Flight, Verdict, accepted, is_strange, percent_decoded};
use super::outbox::Outbox;
use crate::load::frames::frame_head;
use crate::load::hpack::{Decoder, Repeated};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// We never raise our SETTINGS_MAX_FRAME_SIZE above the protocol's default.
const INBOUND_FRAME_BYTES_MAX: usize = 16_384;
const HEADER_BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Bytes kept of a response message.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest DATA frame we make, whatever the server allows.
const OUTBOUND_FRAME_BYTES_MAX: usize = 1 << 20;
/// Inbound DATA after which the connection's window is opened again.
const WINDOW_STEP_BYTES: u32 = 32 * 1024;
const STREAM_LAST: u32 = 0x7fff_ffff - 2;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// A payload that is being cut into frames.
struct Cutting {
    flight: usize,
    bytes: usize,
    sent: usize,
}

/// One connection's state.
pub(crate) struct Http2 {
    /// The HEADERS block of every call.
    block: Repeated,
    next_stream: u32,
    window: i64,
    stream_window: i64,
    frame_bytes_max: usize,
    streams_max: usize,
    settled: bool,
    leaving: bool,
    cutting: Option<Cutting>,
    flights: Vec<Flight>,
    inbound: Vec<u8>,
    consumed: u32,
    decoder: Decoder,
    headers: Option<(u32, u8, Vec<u8>)>,
}

impl Http2 {
    /// A connection to `authority`, with messages compressed so.
    pub(crate) fn new(authority: &str, encoding: Option<&'static str>) -> Self {
        let mut fields = vec![
            (":method", "POST".into()),
            (":scheme", "http".into()),
            (":path", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export".into()),
            (":authority", authority.into()),
            ("content-type", "application/grpc".into()),
            ("te", "trailers".into()),
            ("user-agent", "catchment-load".into()),
        ];
        if let Some(encoding) = encoding {
            fields.push(("grpc-encoding", encoding.into()));
        }
        Http2 {
            block: Repeated::new(fields),
            next_stream: 1,
            window: 65_535,
            stream_window: 65_535,
            frame_bytes_max: 16_384,
            streams_max: 100,
            settled: false,
            leaving: false,
            cutting: None,
            flights: Vec::new(),
            inbound: Vec::new(),
            consumed: 0,
            decoder: Decoder::default(),
            headers: None,
        }
    }

    /// Queues what opens a connection.
    pub(crate) fn open(&mut self, outbox: &mut Outbox) {
        outbox.small(|out| {
            out.extend_from_slice(PREFACE);
            frame_head(out, 6, SETTINGS, 0, 0);
            out.extend_from_slice(&[0, 2, 0, 0, 0, 0]);
        });
    }

    /// Requests begun and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether a request may begin now.
    pub(crate) fn can_start(&self) -> bool {
        self.settled
            && !self.leaving
            && self.cutting.is_none()
            && self.window > 0
            && self.flights.len() < self.streams_max
    }

    /// Whether the server has asked us to leave (or stream numbers have run out) and nothing is in flight any more.
    pub(crate) fn is_done(&self) -> bool {
        self.leaving && self.flights.is_empty()
    }

    /// The request that waits for a window to open: not all of it is queued.
    pub(crate) fn cutting(&self) -> Option<usize> {
        self.cutting.as_ref().map(|cutting| self.flights[cutting.flight].request)
    }

    /// Begins a call with the `bytes` of the flight's payload.
    pub(crate) fn start(&mut self, mut flight: Flight, bytes: usize, outbox: &mut Outbox) {
        debug_assert!(self.can_start());
        flight.stream = self.next_stream;
        flight.window = self.stream_window;
        self.next_stream += 2;
        self.leaving |= self.next_stream >= STREAM_LAST;
        let block = self.block.next();
        outbox.small(|out| {
            frame_head(out, block.len(), HEADERS, END_HEADERS, flight.stream);
            out.extend_from_slice(block);
        });
        self.cutting = Some(Cutting { flight: self.flights.len(), bytes, sent: 0 });
        self.flights.push(flight);
    }

    /// Queues as many DATA frames of the request that was begun as the windows allow. Says whether it queued any.
    pub(crate) fn cut(&mut self, outbox: &mut Outbox, queued: &mut [u32]) -> bool {
        let Some(cutting) = &mut self.cutting else { return false };
        let flight = &mut self.flights[cutting.flight];
        let before = cutting.sent;
        while cutting.sent < cutting.bytes {
            let window = self.window.min(flight.window).max(0) as usize;
            let take = (cutting.bytes - cutting.sent).min(self.frame_bytes_max).min(window);
            if take == 0 {
                return cutting.sent > before;
            }
            let (from, to) = (cutting.sent, cutting.sent + take);
            let flags = if to == cutting.bytes { END_STREAM } else { 0 };
            outbox.small(|out| frame_head(out, take, DATA, flags, flight.stream));
            outbox.payload(flight.request, from, to, queued);
            self.window -= take as i64;
            flight.window -= take as i64;
            cutting.sent = to;
        }
        self.cutting = None;
        true
    }

    /// Takes what came in; queues what must be answered and hands over finished calls. An error ends the connection.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        outbox: &mut Outbox,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let mut inbound = std::mem::take(&mut self.inbound);
        let mut view = if inbound.is_empty() {
            bytes
        } else {
            inbound.extend_from_slice(bytes);
            &inbound[..]
        };
        while view.len() >= FRAME_HEAD_BYTES {
            let length = usize::from(view[0]) << 16 | usize::from(view[1]) << 8 | usize::from(view[2]);
            if length > INBOUND_FRAME_BYTES_MAX {
                return Err("server sent a frame that is too large".into());
            }
            if view.len() < FRAME_HEAD_BYTES + length {
                break;
            }
            let (kind, flags) = (view[3], view[4]);
            let stream = u32::from_be_bytes([view[5] & 127, view[6], view[7], view[8]]);
            let (frame, rest) = view[FRAME_HEAD_BYTES..].split_at(length);
            view = rest;
            self.frame(kind, flags, stream, frame, outbox, answers)?;
        }
        self.inbound = view.to_vec();
        Ok(())
    }

    /// All requests that were not answered, when the connection is lost.
    pub(crate) fn abandon(&mut self) -> Vec<Flight> {
        self.cutting = None;
        std::mem::take(&mut self.flights)
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        frame: &[u8],
        outbox: &mut Outbox,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        match kind {
            DATA => {
                self.consumed += frame.len() as u32;
                if self.consumed >= WINDOW_STEP_BYTES {
                    let consumed = std::mem::take(&mut self.consumed);
                    outbox.small(|out| {
                        frame_head(out, 4, WINDOW_UPDATE, 0, 0);
                        out.extend_from_slice(&consumed.to_be_bytes());
                    });
                }
                if let Some(flight) = self.flights.iter_mut().find(|flight| flight.stream == stream) {
                    let data = unpad(flags, frame)?;
                    if flight.body.len() + data.len() <= BODY_BYTES_MAX {
                        flight.body.extend_from_slice(data);
                    }
                }
                self.end(flags, stream, answers);
            }
            HEADERS => {
                let mut block = unpad(flags, frame)?;
                if flags & PRIORITY != 0 {
                    block = block.get(5..).ok_or("HEADERS frame is cut off")?;
                }
                self.headers = Some((stream, flags, block.to_vec()));
                self.block_end(flags, answers)?;
            }
            CONTINUATION => {
                let (of, _, block) = self.headers.as_mut().ok_or("CONTINUATION without HEADERS")?;
                if *of != stream || block.len() + frame.len() > HEADER_BLOCK_BYTES_MAX {
                    return Err("CONTINUATION does not fit its HEADERS".into());
                }
                block.extend_from_slice(frame);
                self.block_end(flags, answers)?;
            }
            RST_STREAM => {
                let code = frame.try_into().map(u32::from_be_bytes).map_err(|_| "RST_STREAM frame is cut off")?;
                if let Some(flight) = self.take(stream) {
                    answers.push(Answer { flight, verdict: Verdict::Strange(format!("stream reset {code}")) });
                }
            }
            SETTINGS if flags & ACK == 0 => self.settings(frame, outbox)?,
            PING if flags & ACK == 0 => outbox.small(|out| {
                frame_head(out, frame.len(), PING, ACK, 0);
                out.extend_from_slice(frame);
            }),
            GOAWAY => self.leaving = true,
            WINDOW_UPDATE => {
                let step = frame.try_into().map(u32::from_be_bytes).map_err(|_| "WINDOW_UPDATE frame is cut off")?;
                if stream == 0 {
                    self.window += i64::from(step & 0x7fff_ffff);
                } else if let Some(flight) = self.flights.iter_mut().find(|flight| flight.stream == stream) {
                    flight.window += i64::from(step & 0x7fff_ffff);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, frame: &[u8], outbox: &mut Outbox) -> Result<(), String> {
        if !frame.len().is_multiple_of(6) {
            return Err("SETTINGS frame is cut off".into());
        }
        for setting in frame.chunks_exact(6) {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                1 => self.block.table(value as usize),
                3 => self.streams_max = value as usize,
                4 => {
                    let change = i64::from(value) - self.stream_window;
                    self.stream_window += change;
                    self.flights.iter_mut().for_each(|flight| flight.window += change);
                }
                5 => self.frame_bytes_max = (value as usize).min(OUTBOUND_FRAME_BYTES_MAX),
                _ => {}
            }
        }
        if !self.settled {
            // Without the setting a server allows any number of streams.
            self.settled = true;
            if !frame.chunks_exact(6).any(|setting| setting[..2] == [0, 3]) {
                self.streams_max = usize::MAX;
            }
        }
        outbox.small(|out| frame_head(out, 0, SETTINGS, ACK, 0));
        Ok(())
    }

    /// A header block is complete when its last frame says so.
    fn block_end(&mut self, flags: u8, answers: &mut Vec<Answer>) -> Result<(), String> {
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        let (stream, flags, block) = self.headers.take().expect("the block was just put there");
        let flight = self.flights.iter_mut().find(|flight| flight.stream == stream);
        let (mut http, mut grpc, mut said) = (None, None, String::new());
        self.decoder.decode(&block, |name, value| {
            let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            match name {
                b":status" => http = number(),
                b"grpc-status" => grpc = number(),
                b"grpc-message" => said = percent_decoded(value),
                _ => {}
            }
        })?;
        if let Some(flight) = flight {
            flight.http_status = http.unwrap_or(flight.http_status);
            flight.grpc_status = grpc.or(flight.grpc_status);
            flight.said = said;
        }
        self.end(flags, stream, answers);
        Ok(())
    }

    fn end(&mut self, flags: u8, stream: u32, answers: &mut Vec<Answer>) {
        if flags & END_STREAM == 0 {
            return;
        }
        let Some(mut flight) = self.take(stream) else { return };
        let verdict = match (flight.http_status, flight.grpc_status) {
            (_, Some(0)) => match flight.body.get(5..) {
                Some(message) if flight.body[0] == 0 => accepted(message, &mut flight.said),
                _ => Verdict::Strange("no response message".into()),
            },
            (_, Some(status)) => Verdict::Refused(format!("grpc-status {status}")),
            (status, None) if is_strange(status) => Verdict::Strange(format!("HTTP {status} without grpc-status")),
            (status, None) => Verdict::Refused(format!("HTTP {status} without grpc-status")),
        };
        answers.push(Answer { flight, verdict });
    }

    /// Takes a call out, also when it is still being cut (the server may answer early).
    fn take(&mut self, stream: u32) -> Option<Flight> {
        let index = self.flights.iter().position(|flight| flight.stream == stream)?;
        match &mut self.cutting {
            Some(cutting) if cutting.flight == index => self.cutting = None,
            Some(cutting) if cutting.flight > index => cutting.flight -= 1,
            _ => {}
        }
        Some(self.flights.remove(index))
    }
}

/// The frame without its padding.
fn unpad(flags: u8, frame: &[u8]) -> Result<&[u8], String> {
    if flags & PADDED == 0 {
        return Ok(frame);
    }
    let (&padding, rest) = frame.split_first().ok_or("padded frame is empty")?;
    let kept = rest.len().checked_sub(usize::from(padding)).ok_or("padding is longer than its frame")?;
    Ok(&rest[..kept])
}
