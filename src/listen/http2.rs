//! gRPC and OTLP/HTTP over one HTTP/2 connection.
//!
//! Does not know sockets. `h2` is driven by hand: its connection reads all frames of a turn, then every call is looked
//! at once; what is whole is applied and answered in place.
//!
//! Invariants:
//! 1. Flow-control capacity is released as soon as a chunk is taken.
//! 2. A call is in `calls` only while its body is not whole, or takes several turns to inflate; small calls mostly never get there.
//! 3. What is in `calls` holds nothing of its head, and `limits::CALL_BYTES` of the budget for bodies.
//! 4. An answer that cannot be sent (the stream is reset, the connection gone) is dropped: what was applied stays so.
//!
//! Not kept: R12 for what `h2` answers by itself. 431 to a header list over the limit has no body, and faults of the
//! protocol end the stream or the connection; it tells nobody, so there is nothing to add a body to.
//!
//! Bounds: `limits::STREAMS_PER_CONNECTION_MAX` calls, each a body within `serve`'s budget; windows and frames of
//! `limits`; `h2`'s own counters for resets that wait to be accepted, and for CONTINUATION (derived from the header list).

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Request, Response, StatusCode};

use super::answer::{Dress, Fault, GRPC, Outcome, over_http, trailers_only};
use super::floor::Step;
use super::head::{Take, Tongue, judge};
use super::intake::Intake;
use super::serve::{Bench, Body};
use crate::limits;
use crate::net::host;
use crate::net::inflate::Coding;
use crate::net::network::Socket;
use crate::net::wire::{Transport, Wire};

struct Call {
    tongue: Tongue,
    take: Take,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// The request's own map, emptied, for an answer in the same turn; a call that waits has none.
    headers: HeaderMap,
    state: Body,
    started_ns: u64,
}

enum State<T: Socket> {
    Shaking(Handshake<Transport<T>, Bytes>),
    Open(Connection<Transport<T>, Bytes>),
}

/// The session.
pub(super) struct Session<T: Socket> {
    state: State<T>,
    calls: Vec<Call>,
    started_ns: u64,
    idle_since_ns: u64,
    goaway_at_ns: Option<u64>,
}

impl<T: Socket> Session<T> {
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
        Session {
            state: State::Shaking(handshake),
            calls: Vec::new(),
            started_ns: now_ns,
            idle_since_ns: now_ns,
            goaway_at_ns: None,
        }
    }

    pub(super) fn drive<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> Step {
        let waker = bench.shop.flag.waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::SESSION_ROUNDS_MAX {
            bench.shop.flag.take();
            bench.shop.is_unfinished = false;
            match self.round(&mut context, bench) {
                Step::Wait => {}
                step => return step,
            }
            if bench.shop.is_unfinished {
                wire.set_hungry();
            }
            if let Some(flood) = wire.flood() {
                bench.shop.stats.connections.floods[flood as usize] += 1;
                self.calm(&mut context, bench);
                return Step::Close;
            }
            if !bench.shop.flag.take() {
                return Step::Wait;
            }
        }
        wire.set_hungry();
        Step::Wait
    }

    /// Looks at the clock.
    pub(super) fn on_timer<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> Step {
        let now_ns = bench.now.mono_ns;
        let past = |since_ns: u64, limit: Duration| now_ns.saturating_sub(since_ns) > limit.as_nanos() as u64;
        let header_timeout = bench.shop.options.header_timeout;
        let State::Open(connection) = &mut self.state else {
            return if past(self.started_ns, header_timeout) { Step::TimedOut } else { Step::Wait };
        };
        // the frame of a body is under that body's time, as long as somebody waits for it
        let is_quiet = self.calls.is_empty() && self.goaway_at_ns.is_none();
        let is_half = is_quiet && wire.frame_since_ns().is_some_and(|since_ns| past(since_ns, limits::BODY_GRACE));
        if is_half || wire.headers_since_ns().is_some_and(|since_ns| past(since_ns, header_timeout)) {
            let waker = bench.shop.flag.waker();
            self.calm(&mut Context::from_waker(&waker), bench);
            return Step::TimedOut;
        }
        if self.goaway_at_ns.is_some_and(|at_ns| past(at_ns, limits::LINGER)) && self.calls.is_empty() {
            return Step::TimedOut;
        }
        if is_quiet {
            if past(self.idle_since_ns, bench.shop.options.idle_timeout) {
                connection.graceful_shutdown();
                self.goaway_at_ns = Some(now_ns);
                return Step::Again;
            }
            return Step::Wait;
        }
        let mut step = Step::Wait;
        let (mut is_slow, mut is_heedless) = (false, false);
        let mut index = 0;
        while index < self.calls.len() {
            let call = &mut self.calls[index];
            match bench.overdue(call.take, call.started_ns, &mut call.state) {
                Some(fault) => {
                    let call = self.calls.swap_remove(index);
                    let is_late = |at_ns| call.started_ns > at_ns + limits::LINGER.as_nanos() as u64;
                    if matches!(fault, Fault::Slow | Fault::Long) {
                        is_slow = true;
                        is_heedless |= self.goaway_at_ns.is_some_and(is_late);
                    }
                    finish(call, Err(fault), bench);
                    step = Step::Again;
                }
                None => index += 1,
            }
        }
        if is_heedless {
            // it was told to go, and began further calls that are slow
            return Step::TimedOut;
        }
        if is_slow {
            connection.graceful_shutdown();
            self.goaway_at_ns.get_or_insert(now_ns);
        }
        self.note_idle(now_ns);
        step
    }

    /// Says how fast each of its bodies comes that is not whole.
    pub(super) fn paces<I: Intake>(&self, bench: &Bench<'_, I>, say: impl FnMut(u64)) {
        self.calls.iter().filter_map(|call| bench.pace(&call.state, call.started_ns)).for_each(say);
    }

    /// Ends the slowest of them.
    pub(super) fn give_way<I: Intake>(&mut self, bench: &mut Bench<'_, I>) -> Step {
        if let Some((_, index)) = self.slowest(bench) {
            finish(self.calls.swap_remove(index), Err(Fault::NoBudget), bench);
            self.note_idle(bench.now.mono_ns);
        }
        Step::Again
    }

    fn slowest<I: Intake>(&self, bench: &Bench<'_, I>) -> Option<(u64, usize)> {
        let calls = self.calls.iter().enumerate();
        calls.filter_map(|(index, call)| Some((bench.pace(&call.state, call.started_ns)?, index))).min()
    }

    /// GOAWAY; calls in hand are finished.
    pub(super) fn stop(&mut self, now_ns: u64) -> Step {
        match &mut self.state {
            State::Shaking(_) => Step::Close,
            State::Open(connection) => {
                connection.graceful_shutdown();
                self.goaway_at_ns.get_or_insert(now_ns);
                Step::Again
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
    pub(super) fn abandon<I: Intake>(&mut self, bench: &mut Bench<'_, I>) {
        for mut call in self.calls.drain(..) {
            bench.abandon(call.tongue, call.take, &mut call.state);
        }
    }

    /// Reads all frames there are, takes new calls, and looks at every call once.
    fn round<I: Intake>(&mut self, context: &mut Context<'_>, bench: &mut Bench<'_, I>) -> Step {
        if let State::Shaking(handshake) = &mut self.state {
            match std::pin::Pin::new(handshake).poll(context) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(Ok(connection)) => self.state = State::Open(connection),
                Poll::Ready(Err(_)) => {
                    bench.shop.stats.protocol_errors += 1;
                    return Step::Close;
                }
            }
        }
        let State::Open(connection) = &mut self.state else { return Step::Wait };
        let had = self.calls.len();
        loop {
            match connection.poll_accept(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(call) = begin(request, respond, bench)
                        && let Some(call) = advance(call, context, bench)
                        && let Some(call) = keep(call, bench)
                    {
                        self.calls.push(call);
                    }
                    self.idle_since_ns = bench.now.mono_ns;
                }
                Poll::Ready(end) => {
                    if let Some(Err(fault)) = end
                        && !fault.is_io()
                    {
                        bench.shop.stats.protocol_errors += 1;
                    }
                    self.abandon(bench);
                    return Step::Close;
                }
            }
        }
        // Calls begun in this round were looked at when they began, and the waker tells of what came since.
        for index in (0..had.min(self.calls.len())).rev() {
            let call = self.calls.swap_remove(index);
            if let Some(call) = advance(call, context, bench) {
                let last = self.calls.len();
                self.calls.push(call);
                self.calls.swap(index, last);
            }
        }
        if had > 0 {
            self.note_idle(bench.now.mono_ns);
        }
        Step::Wait
    }

    fn note_idle(&mut self, now_ns: u64) {
        if self.calls.is_empty() {
            self.idle_since_ns = now_ns;
        }
    }

    /// GOAWAY ENHANCE_YOUR_CALM, and out.
    fn calm<I: Intake>(&mut self, context: &mut Context<'_>, bench: &mut Bench<'_, I>) {
        self.abandon(bench);
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
    bench: &mut Bench<'_, I>,
) -> Option<Call> {
    bench.shop.stats.streams += 1;
    let (head, body) = request.into_parts();
    let (tongue, verdict) = judge(&head.method, head.uri.path(), &head.headers, true, &bench.shop.options, bench.now);
    let verdict = host::check(head.version, &head.uri, &head.headers).map_err(Fault::Head).and(verdict);
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let verdict = if target_bytes > limits::TARGET_BYTES_MAX { Err(Fault::TargetTooLong) } else { verdict };
    let is_continue_expected = is_continue_expected(&head.headers);
    // as `h2` answers a list of too many bytes
    let (tongue, verdict) = if head.headers.len() > limits::HEADERS_MAX {
        (Tongue::Http(Dress::Protobuf), Err(Fault::HeadTooLarge))
    } else {
        (tongue, verdict)
    };
    let mut headers = head.headers;
    headers.clear();
    let mut call = Call {
        tongue,
        take: Take { coding: Coding::Identity, deadline_ns: u64::MAX },
        body,
        respond,
        headers,
        state: Body::of(bench.peer),
        started_ns: bench.now.mono_ns,
    };
    match verdict {
        Ok(take) => {
            call.take = take;
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
            finish(call, Err(fault), bench);
            None
        }
    }
}

fn is_continue_expected(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes what there is of a body. Gives the call back while it is not whole, or not inflated.
fn advance<I: Intake>(mut call: Call, context: &mut Context<'_>, bench: &mut Bench<'_, I>) -> Option<Call> {
    loop {
        // a body that is whole is not polled again
        let data = if call.state.is_whole() { Poll::Ready(None) } else { call.body.poll_data(context) };
        match data {
            Poll::Pending => return Some(call),
            Poll::Ready(Some(Ok(chunk))) => {
                // Fails only when the stream is gone, which the next poll tells.
                let _ = call.body.flow_control().release_capacity(chunk.len());
                if let Err(fault) = bench.collect(call.tongue, &mut call.state, chunk) {
                    finish(call, Err(fault), bench);
                    return None;
                }
            }
            Poll::Ready(Some(Err(_))) => {
                bench.abandon(call.tongue, call.take, &mut call.state);
                return None;
            }
            Poll::Ready(None) => {
                let Some(outcome) = bench.export(call.tongue, call.take, &mut call.state) else { return Some(call) };
                finish(call, outcome, bench);
                return None;
            }
        }
    }
}

/// Makes a call ready to wait: without the room of its head, and with what it takes on the account of bodies.
fn keep<I: Intake>(mut call: Call, bench: &mut Bench<'_, I>) -> Option<Call> {
    call.headers = HeaderMap::new();
    if let Err(fault) = bench.wait_for(&mut call.state) {
        finish(call, Err(fault), bench);
        return None;
    }
    Some(call)
}

/// Answers and ends a call.
fn finish<I: Intake>(mut call: Call, outcome: Outcome, bench: &mut Bench<'_, I>) {
    bench.finish(call.tongue.door(), &mut call.state, &outcome);
    let sent = match (call.tongue, &outcome) {
        (Tongue::Grpc, Ok(receipt)) => {
            let message = bench.shop.success.message(receipt);
            let trailers = bench.shop.success.trailers();
            succeed(&mut call, message, trailers)
        }
        (Tongue::Grpc, Err(fault)) => {
            let mut response = Response::new(());
            *response.headers_mut() = trailers_only(fault);
            call.respond.send_response(response, true).map(drop)
        }
        (Tongue::Http(dress), outcome) => {
            let (mut head, body) = over_http(outcome, dress).into_parts();
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
