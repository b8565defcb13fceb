//! The OTLP/gRPC exporter: kept-alive HTTP/2 connections of `h2` (one, if not asked for more), polled by the deliver
//! thread, several calls on each.
//!
//! Does not know: queues, retries, timers; a call is given and an `Outcome` comes back.
//!
//! Invariants:
//! 1. A slot holds at most one call; each call ends in exactly one outcome, or is cancelled by the one who started it.
//! 2. When a connection ends, calls sent on it end as `Disconnected`, calls not yet sent wait for the next one.
//! 3. A connection that said nothing during a whole timed-out call is given up.
//! 4. After GOAWAY a connection takes no more calls, but those it has may end on it: servers that retire connections by
//!    age would otherwise have us send deltas twice.
//! 5. No `grpc-accept-encoding` but `identity` is offered; a message that is gzipped all the same is inflated within the
//!    limits of `outcome` (E8).
//!
//! Bounds: retiring connections, one per call; answers `RESPONSE_BYTES_MAX`, header lists `HEADER_LIST_BYTES_MAX`, windows `HTTP2_WINDOW_BYTES`.
//!
//! Source: OTLP specification 1.x "OTLP/gRPC", gRPC's PROTOCOL-HTTP2.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use super::destination::Endpoint;
use super::exporter::{Cancelled, Done, Exporter, Job, Turn};
use super::headers::Headers;
use super::options::USER_AGENT_VALUE;
use super::outcome::{self, Outcome};
use super::stream::{Ready, Stream};
use super::transport::{Dial, EndpointAddresses};
use super::why::Why;
use crate::limits::{HEADER_LIST_BYTES_MAX, HTTP2_WINDOW_BYTES, RESPONSE_BYTES_MAX};

const PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// Within so many bytes a server has shown whether it speaks HTTP/2.
const GREETING_BYTES: u64 = 1024;
/// Compressed flag and length before each message.
const PREFIX_BYTES: usize = 5;

type Handshake = Pin<Box<dyn Future<Output = Result<(SendRequest<Bytes>, Connection<Stream, Bytes>), h2::Error>>>>;

enum Link {
    Down,
    Greeting(Handshake, Rc<Ready>),
    Up(SendRequest<Bytes>, Wire),
}

/// A connection that carries calls.
struct Wire {
    connection: Box<Connection<Stream, Bytes>>,
    ready: Rc<Ready>,
    /// Tells calls of one connection from those of the next.
    number: u64,
}

impl Wire {
    /// Moves the connection; says why if it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Why> {
        match Pin::new(self.connection.as_mut()).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => Some("the connection was closed".to_owned().into()),
            Poll::Ready(Err(error)) => Some(why(&error, &self.ready)),
        }
    }
}

enum GrpcCall {
    Idle,
    Wanted(Job),
    Sent { answer: Answer, send: SendStream<Bytes>, wire: u64, ready: Rc<Ready>, read_before: u64 },
}

enum Answer {
    Awaited(ResponseFuture),
    Begun(Begun),
}

/// An answer whose head has come.
struct Begun {
    status: StatusCode,
    headers: HeaderMap,
    stream: RecvStream,
    kept: Vec<u8>,
    ended: bool,
}

/// One OTLP/gRPC destination: its calls are spread over its connections, slot by slot.
pub(super) struct Grpc(Vec<Channel>);

impl Grpc {
    pub(super) fn new(
        endpoint: &Endpoint,
        headers: &Headers,
        addresses: EndpointAddresses,
        in_flight: usize,
        connections: usize,
    ) -> Self {
        let addresses = Rc::new(RefCell::new(addresses));
        // more connections than calls would stay unused
        let count = connections.min(in_flight);
        let channel =
            |token| Channel::new(endpoint, headers.clone(), addresses.clone(), in_flight.div_ceil(count), token);
        Grpc((0..count).map(channel).collect())
    }

    fn channel(&mut self, slot: usize) -> (&mut Channel, usize) {
        let count = self.0.len();
        (&mut self.0[slot % count], slot / count)
    }
}

impl Exporter for Grpc {
    fn start(&mut self, slot: usize, job: Job) {
        let (channel, call) = self.channel(slot);
        channel.start(call, job);
    }

    fn put_headers(&mut self, headers: &Headers) {
        self.0.iter_mut().for_each(|channel| channel.headers = headers.clone());
    }

    fn cancel(&mut self, slot: usize) -> Cancelled {
        let (channel, call) = self.channel(slot);
        channel.cancel(call)
    }

    fn on_event(&mut self, connection: usize, event: &mio::event::Event) {
        if let Some(channel) = self.0.get(connection) {
            channel.on_event(event);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        let count = self.0.len();
        for (at, channel) in self.0.iter_mut().enumerate() {
            let before = done.len();
            channel.poll(cx, turn, done);
            done[before..].iter_mut().for_each(|(call, _)| *call = *call * count + at);
        }
    }

    fn new_turn(&mut self) {
        self.0.iter().for_each(|channel| {
            channel.each_ready(|ready| {
                ready.new_turn();
            });
        });
    }

    fn is_starved(&self) -> bool {
        let mut starved = false;
        self.0.iter().for_each(|channel| channel.each_ready(|ready| starved |= ready.is_starved()));
        starved
    }

    fn next_ns(&self) -> Option<u64> {
        self.0.iter().filter_map(|channel| channel.dial.next_ns()).min()
    }
}

/// One connection at a time, and the calls on it.
struct Channel {
    addresses: Rc<RefCell<EndpointAddresses>>,
    uri: String,
    headers: Headers,
    /// Number of its connections' token.
    token: usize,
    dial: Dial,
    link: Link,
    /// Told to go away, with calls still on them.
    retiring: Vec<Wire>,
    connections: u64,
    calls: Vec<GrpcCall>,
}

impl Channel {
    fn new(
        endpoint: &Endpoint,
        headers: Headers,
        addresses: Rc<RefCell<EndpointAddresses>>,
        calls: usize,
        token: usize,
    ) -> Self {
        let scheme = if endpoint.secure { "https" } else { "http" };
        Channel {
            addresses,
            uri: format!("{scheme}://{}{PATH}", endpoint.authority()),
            headers,
            token,
            dial: Dial::default(),
            link: Link::Down,
            retiring: Vec::new(),
            connections: 0,
            calls: (0..calls).map(|_| GrpcCall::Idle).collect(),
        }
    }

    fn wanted(&self) -> bool {
        self.calls.iter().any(|call| matches!(call, GrpcCall::Wanted(_)))
    }

    /// Ends all calls that have not been sent: there is no connection for them.
    fn fail_wanted(&mut self, why: &Why, done: &mut Vec<Done>) {
        for (at, call) in self.calls.iter_mut().enumerate() {
            if matches!(call, GrpcCall::Wanted(_)) {
                *call = GrpcCall::Idle;
                done.push((at, Outcome::Unconnected(why.clone())));
            }
        }
    }

    /// Connects when a call wants it.
    fn poll_connect(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        let mut failed = None;
        if matches!(self.link, Link::Down) && self.wanted() {
            let addresses = &mut self.addresses.borrow_mut();
            match self.dial.poll(addresses, turn.registry, turn.token(self.token), turn.now.mono_ns) {
                Poll::Pending => {}
                Poll::Ready(Err(why)) => failed = Some(why),
                Poll::Ready(Ok((stream, ready))) => {
                    let mut builder = h2::client::Builder::new();
                    builder
                        .enable_push(false)
                        .initial_window_size(HTTP2_WINDOW_BYTES)
                        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
                        .max_header_list_size(HEADER_LIST_BYTES_MAX);
                    self.link = Link::Greeting(Box::pin(async move { builder.handshake(stream).await }), ready);
                    turn.stats.connects.add(1);
                }
            }
        }
        if let Link::Greeting(handshake, ready) = &mut self.link {
            match handshake.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok((send, connection))) => {
                    self.connections += 1;
                    let (ready, number) = (ready.clone(), self.connections);
                    self.link = Link::Up(send, Wire { connection: Box::new(connection), ready, number });
                }
                Poll::Ready(Err(error)) => {
                    failed = Some(why(&error, ready));
                    self.link = Link::Down;
                }
            }
        }
        if let Some(why) = failed {
            self.fail_wanted(&why, done);
        }
    }

    /// Sends the calls that wait, as many as the server's limit of streams lets through.
    fn poll_send(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>) {
        let Link::Up(send, wire) = &mut self.link else { return };
        for call in &mut self.calls {
            let GrpcCall::Wanted(job) = call else { continue };
            match send.poll_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return self.retire(cx),
            }
            let Ok((answer, mut stream)) =
                send.send_request(request(&self.uri, &self.headers, job, turn.hops()), false)
            else {
                return self.retire(cx);
            };
            let mut prefix = [0; PREFIX_BYTES];
            prefix[0] = u8::from(job.encoding.is_some());
            let length = u32::try_from(job.body.len()).expect("requests over 64 MiB are never started");
            prefix[1..].copy_from_slice(&length.to_be_bytes());
            // h2 keeps both chunks and sends them as the windows allow; a stream that is gone says so in its answer
            let _ = stream.send_data(Bytes::copy_from_slice(&prefix), false);
            let _ = stream.send_data(job.body.clone(), true);
            turn.stats.bytes_sent.add((PREFIX_BYTES + job.body.len()) as u64);
            let read_before = wire.ready.read_bytes.get();
            let (answer, ready) = (Answer::Awaited(answer), wire.ready.clone());
            *call = GrpcCall::Sent { answer, send: stream, wire: wire.number, ready, read_before };
        }
    }

    /// The connection takes no more calls (invariant 4); those that wait stay for the next one.
    fn retire(&mut self, cx: &mut Context<'_>) {
        if let Link::Up(_, wire) = std::mem::replace(&mut self.link, Link::Down)
            && self.carries(wire.number)
        {
            self.retiring.push(wire);
        }
        cx.waker().wake_by_ref();
    }

    fn carries(&self, number: u64) -> bool {
        self.calls.iter().any(|call| matches!(call, GrpcCall::Sent { wire, .. } if *wire == number))
    }

    /// Moves the connections; the numbers of those that are over, and why.
    fn poll_wires(&mut self, cx: &mut Context<'_>) -> Vec<(u64, Why)> {
        let current = match &mut self.link {
            Link::Up(_, wire) => Some(wire),
            Link::Down | Link::Greeting(..) => None,
        };
        let all = self.retiring.iter_mut().chain(current);
        all.filter_map(|wire| wire.poll(cx).map(|why| (wire.number, why))).collect()
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>, done: &mut Vec<Done>) {
        for (at, call) in self.calls.iter_mut().enumerate() {
            if let Some(outcome) = call.poll(cx) {
                *call = GrpcCall::Idle;
                done.push((at, outcome));
            }
        }
    }
}

fn request(uri: &str, headers: &Headers, job: &Job, hops: Option<(HeaderName, HeaderValue)>) -> Request<()> {
    let mut request = Request::post(uri)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", USER_AGENT_VALUE)
        .header("grpc-accept-encoding", "identity")
        .header("grpc-timeout", format!("{}m", job.timeout.as_millis().min(99_999_999)));
    if let Some(encoding) = job.encoding {
        request = request.header("grpc-encoding", encoding);
    }
    for (name, value) in headers.iter() {
        request = request.header(name, value);
    }
    if let Some((name, value)) = hops {
        request = request.header(name, value);
    }
    request.version(http::Version::HTTP_2).body(()).expect("parse_out checked the host")
}

impl GrpcCall {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        let GrpcCall::Sent { answer, send, ready, .. } = self else { return None };
        if let Answer::Awaited(awaited) = answer {
            match Pin::new(awaited).poll(cx) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => return Some(ended(&error, ready)),
                Poll::Ready(Ok(response)) => {
                    let (head, stream) = response.into_parts();
                    let (status, headers) = (head.status, head.headers);
                    *answer = Answer::Begun(Begun { status, headers, stream, kept: Vec::new(), ended: false });
                }
            }
        }
        let Answer::Begun(begun) = answer else { return None };
        let outcome = begun.poll(cx, ready)?;
        // an answer that came before the body was sent, or is too long: the rest is not wanted; else this does nothing
        send.send_reset(Reason::CANCEL);
        Some(outcome)
    }
}

impl Begun {
    fn poll(&mut self, cx: &mut Context<'_>, ready: &Ready) -> Option<Outcome> {
        while !self.ended {
            match self.stream.poll_data(cx) {
                Poll::Pending => return None,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => return Some(ended(&error, ready)),
                Poll::Ready(Some(Ok(data))) => {
                    // more window than was received cannot be given back; h2 checks it
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if self.kept.len() + data.len() > PREFIX_BYTES + RESPONSE_BYTES_MAX {
                        return Some(Outcome::ResponseTooLarge);
                    }
                    self.kept.extend_from_slice(&data);
                }
            }
        }
        let trailers = match self.stream.poll_trailers(cx) {
            Poll::Pending => return None,
            Poll::Ready(Err(error)) => return Some(ended(&error, ready)),
            Poll::Ready(Ok(trailers)) => trailers,
        };
        // trailers-only answers carry the status in the head
        let status = trailers.filter(|trailers| trailers.contains_key("grpc-status"));
        let (packed, message) = message(&self.kept);
        // a frame that is packed without saying how is read as if it were not, and then is no message
        let encoding = if packed { self.headers.get("grpc-encoding") } else { None };
        Some(outcome::grpc(self.status, status.as_ref().unwrap_or(&self.headers), message, encoding))
    }
}

/// The message inside its frame, and whether it is compressed; nothing if it is cut: the status decides, the message
/// only adds to it.
fn message(frame: &[u8]) -> (bool, &[u8]) {
    match frame.split_first_chunk::<PREFIX_BYTES>() {
        Some((&[packed, a, b, c, d], rest)) => {
            (packed != 0, rest.get(..u32::from_be_bytes([a, b, c, d]) as usize).unwrap_or(&[]))
        }
        _ => (false, &[]),
    }
}

/// An error with what to do about it. What breaks HTTP/2 in the first bytes is no HTTP/2, but an HTTP/1.1 or TLS server.
fn why(error: &h2::Error, ready: &Ready) -> Why {
    let early = ready.read_bytes.get() < GREETING_BYTES;
    if early && error.is_library() { ready.why_foreign(error.to_string()) } else { ready.why(error.to_string()) }
}

/// A stream ended without an answer. REFUSED_STREAM, and a GOAWAY that names an earlier stream as the last (h2 ends only
/// later streams with it), say that it was not looked at (RFC 9113 sections 6.8 and 8.7): resending it is not ambiguous.
fn ended(error: &h2::Error, ready: &Ready) -> Outcome {
    let why = why(error, ready);
    if error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote()) {
        Outcome::Unconnected(why)
    } else {
        Outcome::Disconnected(why)
    }
}

impl Channel {
    fn start(&mut self, slot: usize, job: Job) {
        assert!(matches!(self.calls[slot], GrpcCall::Idle), "a slot holds one call");
        self.calls[slot] = GrpcCall::Wanted(job);
    }

    fn cancel(&mut self, slot: usize) -> Cancelled {
        let call = std::mem::replace(&mut self.calls[slot], GrpcCall::Idle);
        match call {
            GrpcCall::Idle => Cancelled::Unsent(None),
            GrpcCall::Wanted(_) => {
                let is_down = matches!(self.link, Link::Down);
                let waited_for = if is_down { self.dial.waits_for(&self.addresses.borrow()) } else { None };
                if !self.wanted() {
                    self.dial.abandon(&mut self.addresses.borrow_mut());
                    if matches!(self.link, Link::Greeting(..)) {
                        self.link = Link::Down;
                    }
                }
                Cancelled::Unsent(waited_for)
            }
            GrpcCall::Sent { mut send, wire: number, read_before, .. } => {
                send.send_reset(Reason::CANCEL);
                let silent = |wire: &Wire| wire.number == number && wire.ready.read_bytes.get() == read_before;
                if matches!(&self.link, Link::Up(_, wire) if silent(wire)) {
                    self.link = Link::Down;
                }
                self.retiring.retain(|wire| !silent(wire));
                Cancelled::Sent
            }
        }
    }

    fn on_event(&self, event: &mio::event::Event) {
        self.dial.on_event(event);
        // all connections have one token: an event too many costs a read that would block
        self.each_ready(|ready| ready.on_event(event));
    }

    fn poll(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        self.poll_connect(cx, turn, done);
        self.poll_send(cx, turn);
        let over = self.poll_wires(cx);
        self.poll_calls(cx, done);
        for (number, why) in over {
            if matches!(&self.link, Link::Up(_, wire) if wire.number == number) {
                self.link = Link::Down;
            }
            self.retiring.retain(|wire| wire.number != number);
            // h2 has ended every stream of the connection; what it did not tell above ends here
            for (at, call) in self.calls.iter_mut().enumerate() {
                if matches!(call, GrpcCall::Sent { wire, .. } if *wire == number) {
                    *call = GrpcCall::Idle;
                    done.push((at, Outcome::Disconnected(why.clone())));
                }
            }
            if self.wanted() {
                cx.waker().wake_by_ref();
            }
        }
        let mut retiring = std::mem::take(&mut self.retiring);
        retiring.retain(|wire| self.carries(wire.number));
        self.retiring = retiring;
    }

    fn each_ready(&self, mut visit: impl FnMut(&Ready)) {
        self.retiring.iter().for_each(|wire| visit(&wire.ready));
        if let Link::Greeting(_, ready) | Link::Up(_, Wire { ready, .. }) = &self.link {
            visit(ready);
        }
    }
}
