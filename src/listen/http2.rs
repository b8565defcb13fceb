//! gRPC and OTLP/HTTP over one HTTP/2 connection.
//!
//! Does not know sockets. `h2` is driven by hand: its connection reads all frames of a turn, and then looks once at each
//! call; what is whole is applied and answered in place.
//!
//! Invariants:
//! 1. Flow-control capacity is released as soon as a chunk is taken.
//! 2. A call is in `calls` only while its body is not whole, or takes several turns to inflate; most small calls never
//!    get there.
//! 3. What is in `calls` holds nothing of its head, and `limits::CALL_BYTES` of the budget for bodies.
//! 4. An answer that cannot be sent (the stream is reset, the connection gone) is dropped: what was applied stays so.
//!
//! Not kept: R12 for what `h2` answers by itself. Its 431 to a header list over the limit has no body, and faults of the
//! protocol end the stream or the connection; `h2` tells nobody of these answers, so no body can be added.
//!
//! Bounds: `limits::STREAMS_PER_CONNECTION_MAX` calls, each a body within `service`'s budget; windows and frames of
//! `limits`; `h2`'s own counters for resets that wait to be accepted, and for CONTINUATION (derived from the header list).

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Request, Response, StatusCode};

use super::answer::{BodyFormat, GRPC, RequestFault, RequestOutcome, over_http, trailers_only};
use super::connections::SessionStep;
use super::head::{BodyTerms, Protocol, read_head};
use super::intake::Intake;
use super::service::{RequestBody, Serving};
use crate::limits;
use crate::net::host;
use crate::net::inflate::Coding;
use crate::net::network::Socket;
use crate::net::wire::{Transport, Wire};

struct Call {
    protocol: Protocol,
    terms: BodyTerms,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// The request's own map, emptied, for an answer in the same turn; a call that waits has none.
    headers: HeaderMap,
    state: RequestBody,
    started_ns: u64,
}

enum State<T: Socket> {
    Shaking(Handshake<Transport<T>, Bytes>),
    Open(Connection<Transport<T>, Bytes>),
}

/// The session.
pub(super) struct Http2Session<T: Socket> {
    state: State<T>,
    calls: Vec<Call>,
    started_ns: u64,
    idle_since_ns: u64,
    goaway_at_ns: Option<u64>,
}

impl<T: Socket> Http2Session<T> {
    pub(super) fn new(wire: Rc<Wire<T>>, now_ns: u64) -> Self {
        let handshake = Builder::new()
            .initial_window_size(limits::HTTP2_WINDOW_BYTES)
            .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
            .max_frame_size(limits::HTTP2_FRAME_BYTES)
            .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
            .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
            .max_concurrent_reset_streams(limits::HTTP2_RESET_STREAMS_MAX)
            .reset_stream_duration(limits::HTTP2_RESET_STREAM_DURATION)
            .max_send_buffer_size(limits::HTTP2_SEND_BUFFER_BYTES)
            .handshake(Transport(wire));
        Http2Session {
            state: State::Shaking(handshake),
            calls: Vec::new(),
            started_ns: now_ns,
            idle_since_ns: now_ns,
            goaway_at_ns: None,
        }
    }

    pub(super) fn drive<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> SessionStep {
        let waker = serving.service.flag.waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::SESSION_ROUNDS_MAX {
            serving.service.flag.take();
            serving.service.is_unfinished = false;
            match self.round(&mut context, serving) {
                SessionStep::Wait => {}
                next => return next,
            }
            if serving.service.is_unfinished {
                wire.set_hungry();
            }
            if let Some(flood) = wire.flood() {
                serving.service.stats.connections.floods[flood as usize] += 1;
                self.calm(&mut context, serving);
                return SessionStep::Close;
            }
            if !serving.service.flag.take() {
                return SessionStep::Wait;
            }
        }
        wire.set_hungry();
        SessionStep::Wait
    }

    /// Looks at the clock.
    pub(super) fn on_timer<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> SessionStep {
        let now_ns = serving.now.mono_ns;
        let past = |since_ns: u64, limit: Duration| now_ns.saturating_sub(since_ns) > limit.as_nanos() as u64;
        let header_timeout = serving.service.options.header_timeout;
        let State::Open(connection) = &mut self.state else {
            return if past(self.started_ns, header_timeout) { SessionStep::TimedOut } else { SessionStep::Wait };
        };
        // the frame of a body is under that body's time, as long as somebody waits for it
        let is_quiet = self.calls.is_empty() && self.goaway_at_ns.is_none();
        let is_half = is_quiet && wire.frame_since_ns().is_some_and(|since_ns| past(since_ns, limits::BODY_GRACE));
        if is_half || wire.headers_since_ns().is_some_and(|since_ns| past(since_ns, header_timeout)) {
            let waker = serving.service.flag.waker();
            self.calm(&mut Context::from_waker(&waker), serving);
            return SessionStep::TimedOut;
        }
        if self.goaway_at_ns.is_some_and(|at_ns| past(at_ns, limits::LINGER)) && self.calls.is_empty() {
            return SessionStep::TimedOut;
        }
        if is_quiet {
            if past(self.idle_since_ns, serving.service.options.idle_timeout) {
                connection.graceful_shutdown();
                self.goaway_at_ns = Some(now_ns);
                return SessionStep::Again;
            }
            return SessionStep::Wait;
        }
        let mut next = SessionStep::Wait;
        let (mut is_slow, mut is_heedless) = (false, false);
        let mut index = 0;
        while index < self.calls.len() {
            let call = &mut self.calls[index];
            match serving.overdue(call.terms, call.started_ns, &mut call.state) {
                Some(fault) => {
                    let call = self.calls.swap_remove(index);
                    let is_late = |at_ns| call.started_ns > at_ns + limits::LINGER.as_nanos() as u64;
                    if matches!(fault, RequestFault::Slow | RequestFault::Long) {
                        is_slow = true;
                        is_heedless |= self.goaway_at_ns.is_some_and(is_late);
                    }
                    finish(call, Err(fault), serving);
                    next = SessionStep::Again;
                }
                None => index += 1,
            }
        }
        if is_heedless {
            // it was told to close, and began further calls that are slow
            return SessionStep::TimedOut;
        }
        if is_slow {
            connection.graceful_shutdown();
            self.goaway_at_ns.get_or_insert(now_ns);
        }
        self.note_idle(now_ns);
        next
    }

    /// Says how fast each of its bodies comes that is not whole.
    pub(super) fn paces<I: Intake>(&self, serving: &Serving<'_, I>, say: impl FnMut(u64)) {
        self.calls.iter().filter_map(|call| serving.pace(&call.state, call.started_ns)).for_each(say);
    }

    /// Ends the slowest of them.
    pub(super) fn give_way<I: Intake>(&mut self, serving: &mut Serving<'_, I>) -> SessionStep {
        if let Some((_, index)) = self.slowest(serving) {
            finish(self.calls.swap_remove(index), Err(RequestFault::NoBudget), serving);
            self.note_idle(serving.now.mono_ns);
        }
        SessionStep::Again
    }

    fn slowest<I: Intake>(&self, serving: &Serving<'_, I>) -> Option<(u64, usize)> {
        let calls = self.calls.iter().enumerate();
        calls.filter_map(|(index, call)| Some((serving.pace(&call.state, call.started_ns)?, index))).min()
    }

    /// GOAWAY; calls in hand are finished.
    pub(super) fn stop(&mut self, now_ns: u64) -> SessionStep {
        match &mut self.state {
            State::Shaking(_) => SessionStep::Close,
            State::Open(connection) => {
                connection.graceful_shutdown();
                self.goaway_at_ns.get_or_insert(now_ns);
                SessionStep::Again
            }
        }
    }

    /// Whether no call is begun.
    pub(super) fn is_idle(&self, wire: &Wire<T>) -> bool {
        matches!(self.state, State::Open(_)) && self.calls.is_empty() && wire.headers_since_ns().is_none()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Ends what is unfinished, without an answer.
    pub(super) fn abandon<I: Intake>(&mut self, serving: &mut Serving<'_, I>) {
        for mut call in self.calls.drain(..) {
            serving.abandon(call.protocol, call.terms, &mut call.state);
        }
    }

    /// Reads all frames there are, takes new calls, and looks at every call once.
    fn round<I: Intake>(&mut self, context: &mut Context<'_>, serving: &mut Serving<'_, I>) -> SessionStep {
        if let State::Shaking(handshake) = &mut self.state {
            match std::pin::Pin::new(handshake).poll(context) {
                Poll::Pending => return SessionStep::Wait,
                Poll::Ready(Ok(connection)) => self.state = State::Open(connection),
                Poll::Ready(Err(_)) => {
                    serving.service.stats.protocol_errors += 1;
                    return SessionStep::Close;
                }
            }
        }
        let State::Open(connection) = &mut self.state else { return SessionStep::Wait };
        let had = self.calls.len();
        loop {
            match connection.poll_accept(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(call) = begin(request, respond, serving)
                        && let Some(call) = advance(call, context, serving)
                        && let Some(call) = keep(call, serving)
                    {
                        self.calls.push(call);
                    }
                    self.idle_since_ns = serving.now.mono_ns;
                }
                Poll::Ready(end) => {
                    if let Some(Err(fault)) = end
                        && !fault.is_io()
                    {
                        serving.service.stats.protocol_errors += 1;
                    }
                    self.abandon(serving);
                    return SessionStep::Close;
                }
            }
        }
        // Calls begun in this round were looked at when they began, and the waker tells of what came since.
        for index in (0..had.min(self.calls.len())).rev() {
            let call = self.calls.swap_remove(index);
            if let Some(call) = advance(call, context, serving) {
                let last = self.calls.len();
                self.calls.push(call);
                self.calls.swap(index, last);
            }
        }
        if had > 0 {
            self.note_idle(serving.now.mono_ns);
        }
        SessionStep::Wait
    }

    fn note_idle(&mut self, now_ns: u64) {
        if self.calls.is_empty() {
            self.idle_since_ns = now_ns;
        }
    }

    /// GOAWAY ENHANCE_YOUR_CALM, and out.
    fn calm<I: Intake>(&mut self, context: &mut Context<'_>, serving: &mut Serving<'_, I>) {
        self.abandon(serving);
        if let State::Open(connection) = &mut self.state {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            // Whether the frame still gets out is up to the socket; the connection is closed in any case.
            let _ = connection.poll_closed(context);
        }
    }
}

/// Reads the head; a refusal is answered here.
fn begin<I: Intake>(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    serving: &mut Serving<'_, I>,
) -> Option<Call> {
    serving.service.stats.streams += 1;
    let (head, body) = request.into_parts();
    let (protocol, verdict) =
        read_head(&head.method, head.uri.path(), &head.headers, true, &serving.service.options, serving.now);
    let verdict = host::check(head.version, &head.uri, &head.headers).map_err(RequestFault::Head).and(verdict);
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let verdict = if target_bytes > limits::TARGET_BYTES_MAX { Err(RequestFault::TargetTooLong) } else { verdict };
    let is_continue_expected = is_continue_expected(&head.headers);
    // as `h2` answers a list of too many bytes
    let (protocol, verdict) = if head.headers.len() > limits::HEADERS_MAX {
        (Protocol::Http(BodyFormat::Protobuf), Err(RequestFault::HeadTooLarge))
    } else {
        (protocol, verdict)
    };
    let mut headers = head.headers;
    headers.clear();
    let mut call = Call {
        protocol,
        terms: BodyTerms { coding: Coding::Identity, deadline_ns: u64::MAX },
        body,
        respond,
        headers,
        state: RequestBody::of(serving.peer),
        started_ns: serving.now.mono_ns,
    };
    match verdict {
        Ok(terms) => {
            call.terms = terms;
            // RFC 9110, 10.1.1: the client may wait for this before it sends the body
            if is_continue_expected && !call.body.is_end_stream() {
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::CONTINUE;
                // Fails only when the stream is gone, which the next poll of the body tells.
                let _ = call.respond.send_informational(response);
            }
            Some(call)
        }
        Err(fault) => {
            finish(call, Err(fault), serving);
            None
        }
    }
}

fn is_continue_expected(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes what there is of a body. Gives the call back while it is not whole, or not inflated.
fn advance<I: Intake>(mut call: Call, context: &mut Context<'_>, serving: &mut Serving<'_, I>) -> Option<Call> {
    loop {
        // a body that is whole is not polled again
        let data = if call.state.is_whole() { Poll::Ready(None) } else { call.body.poll_data(context) };
        match data {
            Poll::Pending => return Some(call),
            Poll::Ready(Some(Ok(chunk))) => {
                // Fails only when the stream is gone, which the next poll tells.
                let _ = call.body.flow_control().release_capacity(chunk.len());
                if let Err(fault) = serving.collect(call.protocol, &mut call.state, chunk) {
                    finish(call, Err(fault), serving);
                    return None;
                }
            }
            Poll::Ready(Some(Err(_))) => {
                serving.abandon(call.protocol, call.terms, &mut call.state);
                return None;
            }
            Poll::Ready(None) => {
                let Some(outcome) = serving.export(call.protocol, call.terms, &mut call.state) else {
                    return Some(call);
                };
                finish(call, outcome, serving);
                return None;
            }
        }
    }
}

/// Makes a call ready to wait: without the room of its head, and with what it takes on the account of bodies.
fn keep<I: Intake>(mut call: Call, serving: &mut Serving<'_, I>) -> Option<Call> {
    call.headers = HeaderMap::new();
    if let Err(fault) = serving.wait_for(&mut call.state) {
        finish(call, Err(fault), serving);
        return None;
    }
    Some(call)
}

/// Answers and ends a call.
fn finish<I: Intake>(mut call: Call, outcome: RequestOutcome, serving: &mut Serving<'_, I>) {
    serving.finish(call.protocol.door(), &mut call.state, &outcome);
    let sent = match (call.protocol, &outcome) {
        (Protocol::Grpc, Ok(receipt)) => {
            let message = serving.service.success.message(receipt);
            let trailers = serving.service.success.trailers();
            succeed(&mut call, message, trailers)
        }
        (Protocol::Grpc, Err(fault)) => {
            let mut response = Response::new(());
            *response.headers_mut() = trailers_only(fault);
            call.respond.send_response(response, true).map(drop)
        }
        (Protocol::Http(format), outcome) => {
            let (mut head, body) = over_http(outcome, format).into_parts();
            head.headers.insert(CONTENT_LENGTH, body.len().into());
            let respond = &mut call.respond;
            respond
                .send_response(Response::from_parts(head, ()), body.is_empty())
                .and_then(|mut stream| if body.is_empty() { Ok(()) } else { stream.send_data(body, true) })
        }
    };
    // Invariant 4: nobody is there to hear it.
    drop(sent);
}

fn succeed(call: &mut Call, message: Bytes, trailers: HeaderMap) -> Result<(), h2::Error> {
    let mut headers = std::mem::take(&mut call.headers);
    headers.insert(CONTENT_TYPE, GRPC);
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    let mut stream = call.respond.send_response(response, false)?;
    stream.send_data(message, false)?;
    stream.send_trailers(trailers)
}
