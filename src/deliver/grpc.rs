//! The OTLP/gRPC exporter: one kept-alive HTTP/2 connection of `h2`, polled by the deliver thread, several calls on it.
//!
//! Does not know: queues, retries, timers; a call is given and an `Outcome` comes back.
//!
//! Invariants:
//! 1. A slot holds at most one call; each call ends in exactly one outcome, or is cancelled by the one who started it.
//! 2. When the connection ends, calls sent on it end as `Disconnected`, calls not yet sent wait for the next one.
//! 3. A connection that said nothing during a whole timed-out call is given up.
//! 4. Answers are never inflated: no `grpc-accept-encoding` but `identity` is offered (E8).
//!
//! Bounds: answers `RESPONSE_BYTES_MAX`, header lists `HEADER_LIST_BYTES_MAX`, windows `HTTP2_WINDOW_BYTES`.
//!
//! Source: OTLP specification 1.x "OTLP/gRPC", gRPC's PROTOCOL-HTTP2.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};

use super::USER_AGENT_VALUE;
use super::destination::Endpoint;
use super::exporter::{Done, Exporter, Job, Turn};
use super::outcome::{self, Outcome};
use super::transport::{Dial, Names, Ready, Stream};
use crate::limits::{HEADER_LIST_BYTES_MAX, HTTP2_WINDOW_BYTES, RESPONSE_BYTES_MAX};

const PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// Compressed flag and length before each message.
const PREFIX_BYTES: usize = 5;

type Handshake = Pin<Box<dyn Future<Output = Result<(SendRequest<Bytes>, Connection<Stream, Bytes>), h2::Error>>>>;

enum Link {
    Down,
    Greeting(Handshake, Rc<Ready>),
    Up { send: SendRequest<Bytes>, connection: Box<Connection<Stream, Bytes>>, ready: Rc<Ready> },
}

enum Call {
    Idle,
    Wanted(Job),
    Head { answer: ResponseFuture, send: SendStream<Bytes>, read_before: u64 },
    Body { answer: Answer, send: SendStream<Bytes>, read_before: u64 },
}

/// An answer whose head has come.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    stream: RecvStream,
    kept: Vec<u8>,
    ended: bool,
}

/// One OTLP/gRPC destination.
pub(super) struct Grpc {
    names: Names,
    uri: String,
    dial: Dial,
    link: Link,
    calls: Vec<Call>,
}

impl Grpc {
    pub(super) fn new(endpoint: &Endpoint, names: Names, in_flight: usize) -> Self {
        Grpc {
            names,
            uri: format!("http://{}{PATH}", endpoint.authority()),
            dial: Dial::default(),
            link: Link::Down,
            calls: (0..in_flight).map(|_| Call::Idle).collect(),
        }
    }

    fn wanted(&self) -> bool {
        self.calls.iter().any(|call| matches!(call, Call::Wanted(_)))
    }

    /// Ends all calls that have not been sent: there is no connection for them.
    fn fail_wanted(&mut self, what: &str, done: &mut Vec<Done>) {
        for (at, call) in self.calls.iter_mut().enumerate() {
            if matches!(call, Call::Wanted(_)) {
                *call = Call::Idle;
                done.push((at, Outcome::Unconnected(what.to_owned())));
            }
        }
    }

    /// Connects when a call wants it.
    fn poll_connect(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        if matches!(self.link, Link::Down) && self.wanted() {
            match self.dial.poll(&mut self.names, turn.registry, turn.token(0), turn.now.mono_ns) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => self.fail_wanted(&error, done),
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
                    self.link = Link::Up { send, connection: Box::new(connection), ready: ready.clone() };
                }
                Poll::Ready(Err(error)) => {
                    self.link = Link::Down;
                    self.fail_wanted(&format!("HTTP/2 handshake: {error}"), done);
                }
            }
        }
    }

    /// Sends the calls that wait, as many as the server's limit of streams lets through.
    fn poll_send(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>) {
        let Link::Up { send, ready, .. } = &mut self.link else { return };
        for call in &mut self.calls {
            let Call::Wanted(job) = call else { continue };
            match send.poll_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    // the calls stay for the next connection
                    self.link = Link::Down;
                    cx.waker().wake_by_ref();
                    return;
                }
            }
            let Ok((answer, mut stream)) = send.send_request(request(&self.uri, job), false) else {
                self.link = Link::Down;
                cx.waker().wake_by_ref();
                return;
            };
            let mut prefix = [0; PREFIX_BYTES];
            prefix[0] = u8::from(job.gzip);
            let length = u32::try_from(job.body.len()).expect("requests over 64 MiB are never started");
            prefix[1..].copy_from_slice(&length.to_be_bytes());
            // h2 keeps both chunks and sends them as the windows allow; a stream that is gone says so in its answer
            let _ = stream.send_data(Bytes::copy_from_slice(&prefix), false);
            let _ = stream.send_data(job.body.clone(), true);
            turn.stats.bytes_sent.add((PREFIX_BYTES + job.body.len()) as u64);
            *call = Call::Head { answer, send: stream, read_before: ready.read_bytes.get() };
        }
    }

    /// Moves the connection; says why if it is over.
    fn poll_link(&mut self, cx: &mut Context<'_>) -> Option<String> {
        let Link::Up { connection, .. } = &mut self.link else { return None };
        match Pin::new(connection.as_mut()).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => Some("the connection was closed".to_owned()),
            Poll::Ready(Err(error)) => Some(error.to_string()),
        }
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>, done: &mut Vec<Done>) {
        for (at, call) in self.calls.iter_mut().enumerate() {
            if let Some(outcome) = call.poll(cx) {
                *call = Call::Idle;
                done.push((at, outcome));
            }
        }
    }
}

fn request(uri: &str, job: &Job) -> Request<()> {
    let mut request = Request::post(uri)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", USER_AGENT_VALUE)
        .header("grpc-accept-encoding", "identity")
        .header("grpc-timeout", format!("{}m", job.timeout.as_millis().min(99_999_999)));
    if job.gzip {
        request = request.header("grpc-encoding", "gzip");
    }
    request.version(http::Version::HTTP_2).body(()).expect("parse_out checked the host")
}

impl Call {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        if let Call::Head { answer, .. } = self {
            match Pin::new(answer).poll(cx) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => return Some(ended(&error)),
                Poll::Ready(Ok(response)) => {
                    let (head, stream) = response.into_parts();
                    let Call::Head { send, read_before, .. } = std::mem::replace(self, Call::Idle) else { return None };
                    let answer =
                        Answer { status: head.status, headers: head.headers, stream, kept: Vec::new(), ended: false };
                    *self = Call::Body { answer, send, read_before };
                }
            }
        }
        let Call::Body { answer, send, .. } = self else { return None };
        let outcome = answer.poll(cx)?;
        if outcome == Outcome::ResponseTooLarge {
            send.send_reset(Reason::CANCEL);
        }
        Some(outcome)
    }
}

impl Answer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        while !self.ended {
            match self.stream.poll_data(cx) {
                Poll::Pending => return None,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => return Some(ended(&error)),
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
            Poll::Ready(Err(error)) => return Some(ended(&error)),
            Poll::Ready(Ok(trailers)) => trailers,
        };
        // trailers-only answers carry the status in the head
        let status = trailers.filter(|trailers| trailers.contains_key("grpc-status"));
        Some(outcome::grpc(self.status, status.as_ref().unwrap_or(&self.headers), message(&self.kept)))
    }
}

/// The message inside its frame; nothing if it is compressed or cut: the status decides, the message only adds to it.
fn message(frame: &[u8]) -> &[u8] {
    match frame.split_first_chunk::<PREFIX_BYTES>() {
        Some((&[0, a, b, c, d], rest)) => rest.get(..u32::from_be_bytes([a, b, c, d]) as usize).unwrap_or(&[]),
        _ => &[],
    }
}

/// A stream ended without an answer. REFUSED_STREAM says that it was not looked at.
fn ended(error: &h2::Error) -> Outcome {
    if error.reason() == Some(Reason::REFUSED_STREAM) {
        Outcome::Unconnected(error.to_string())
    } else {
        Outcome::Disconnected(error.to_string())
    }
}

impl Exporter for Grpc {
    fn start(&mut self, slot: usize, job: Job) {
        assert!(matches!(self.calls[slot], Call::Idle), "a slot holds one call");
        self.calls[slot] = Call::Wanted(job);
    }

    fn cancel(&mut self, slot: usize) -> bool {
        let call = std::mem::replace(&mut self.calls[slot], Call::Idle);
        match call {
            Call::Idle => false,
            Call::Wanted(_) => {
                if !self.wanted() {
                    self.dial.abandon(&mut self.names);
                    if matches!(self.link, Link::Greeting(..)) {
                        self.link = Link::Down;
                    }
                }
                false
            }
            Call::Head { mut send, read_before, .. } | Call::Body { mut send, read_before, .. } => {
                send.send_reset(Reason::CANCEL);
                if matches!(&self.link, Link::Up { ready, .. } if ready.read_bytes.get() == read_before) {
                    self.link = Link::Down;
                }
                true
            }
        }
    }

    fn on_event(&mut self, _: usize, event: &mio::event::Event) {
        self.dial.on_event(event);
        if let Link::Greeting(_, ready) | Link::Up { ready, .. } = &self.link {
            ready.on_event(event);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        self.poll_connect(cx, turn, done);
        self.poll_send(cx, turn);
        let closed = self.poll_link(cx);
        self.poll_calls(cx, done);
        if let Some(what) = closed {
            self.link = Link::Down;
            // h2 has ended every stream of the connection; what it did not tell above ends here
            for (at, call) in self.calls.iter_mut().enumerate() {
                if matches!(call, Call::Head { .. } | Call::Body { .. }) {
                    *call = Call::Idle;
                    done.push((at, Outcome::Disconnected(what.clone())));
                }
            }
            if self.wanted() {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn new_turn(&mut self) {
        if let Link::Greeting(_, ready) | Link::Up { ready, .. } = &self.link {
            ready.new_turn();
        }
    }

    fn is_starved(&self) -> bool {
        matches!(&self.link, Link::Greeting(_, ready) | Link::Up { ready, .. } if ready.is_starved())
    }
}
