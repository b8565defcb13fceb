//! The OTLP/HTTP exporter: hyper's HTTP/1.1 client connections, polled by the deliver thread, one per call in flight.
//!
//! Does not know: queues, retries, timers; a call is given and an `Outcome` comes back.
//!
//! Invariants:
//! 1. A slot holds at most one call; each call ends in exactly one outcome, or is cancelled by the one who started it.
//! 2. A connection is used again only after its answer was read to the end.
//! 3. Redirects are not followed: the operator's headers go to the operator's address alone (T20). No `Accept-Encoding`
//!    is sent; an answer that is gzipped all the same is inflated within the limits of `outcome` (E8).
//! 4. HTTP/1.1 is all that is offered, over TLS too (ALPN `http/1.1`), so that no server has to fall back (E14).
//!
//! Bounds: answers `RESPONSE_BYTES_MAX`, error bodies kept `ERROR_BODY_BYTES_MAX`, heads `HEAD_BYTES_MAX` in at most
//! `HEADERS_MAX` fields.
//!
//! Source: OTLP specification 1.x, "OTLP/HTTP".

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::destination::Endpoint;
use super::exporter::{Cancelled, Done, Exporter, Job, Turn};
use super::headers::Headers;
use super::options::USER_AGENT_VALUE;
use super::outcome::{self, Outcome};
use super::stream::{Ready, Stream};
use super::transport::{Dial, EndpointAddresses};
use super::why::Why;
use crate::limits::{ERROR_BODY_BYTES_MAX, HEADER_LIST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Fields in the head of an answer.
const HEADERS_MAX: usize = 100;
/// Bytes of the head of an answer and of hyper's read buffer.
const HEAD_BYTES_MAX: usize = HEADER_LIST_BYTES_MAX as usize;

/// A request body that is one chunk.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>;

struct Link {
    send: http1::SendRequest<Once>,
    connection: http1::Connection<Stream, Once>,
    ready: Rc<Ready>,
}

enum HttpCall {
    Idle,
    Wanted(Job),
    Head(Answer),
    Body { status: StatusCode, headers: HeaderMap, incoming: Incoming, kept: Vec<u8> },
}

struct Slot {
    dial: Dial,
    link: Option<Link>,
    call: HttpCall,
}

/// One OTLP/HTTP destination.
pub(super) struct Http {
    addresses: EndpointAddresses,
    path: String,
    host: HeaderValue,
    headers: Headers,
    slots: Vec<Slot>,
}

impl Http {
    pub(super) fn new(
        endpoint: &Endpoint,
        path: &str,
        headers: Headers,
        addresses: EndpointAddresses,
        in_flight: usize,
    ) -> Self {
        let host = HeaderValue::from_str(&endpoint.host_field()).expect("parse_out checked the host");
        let slot = || Slot { dial: Dial::default(), link: None, call: HttpCall::Idle };
        Http { addresses, path: path.to_owned(), host, headers, slots: (0..in_flight).map(|_| slot()).collect() }
    }

    fn request(&self, job: &Job, hops: Option<(HeaderName, HeaderValue)>) -> Request<Once> {
        let mut request = Request::post(self.path.as_str())
            .header(HOST, self.host.clone())
            .header(USER_AGENT, USER_AGENT_VALUE)
            .header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(encoding) = job.encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        for (name, value) in self.headers.iter() {
            request = request.header(name, value);
        }
        if let Some((name, value)) = hops {
            request = request.header(name, value);
        }
        request.body(Once(Some(job.body.clone()))).expect("parse_out checked the path")
    }

    fn poll_slot(&mut self, at: usize, cx: &mut Context<'_>, turn: &Turn<'_>) -> Option<Outcome> {
        if matches!(self.slots[at].call, HttpCall::Wanted(_))
            && let Some(outcome) = self.send(at, cx, turn)
        {
            return Some(outcome);
        }
        // the connection moves first and last, so that what it read is seen and what was freed is sent
        let mut closed = self.slots[at].poll_link(cx);
        let outcome = self.slots[at].poll_call(cx, turn.now.wall_ns);
        closed = closed.or_else(|| self.slots[at].poll_link(cx));
        let slot = &mut self.slots[at];
        if let Some(error) = closed {
            slot.link = None;
            if outcome.is_none() && !matches!(slot.call, HttpCall::Idle | HttpCall::Wanted(_)) {
                // what hyper still delivers to the call was polled above
                let last = slot.poll_call(cx, turn.now.wall_ns);
                slot.call = HttpCall::Idle;
                return Some(last.unwrap_or(Outcome::Disconnected(error)));
            }
        }
        outcome
    }

    /// Gets a connection and sends the call that waits for one.
    fn send(&mut self, at: usize, cx: &mut Context<'_>, turn: &Turn<'_>) -> Option<Outcome> {
        if self.slots[at].link.as_ref().is_some_and(|link| link.send.is_closed()) {
            self.slots[at].link = None;
        }
        if self.slots[at].link.is_none() {
            let token = turn.token(at);
            let slot = &mut self.slots[at];
            match slot.dial.poll(&mut self.addresses, turn.registry, token, turn.now.mono_ns) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => {
                    slot.call = HttpCall::Idle;
                    return Some(Outcome::Unconnected(error));
                }
                Poll::Ready(Ok((stream, ready))) => match handshake(stream, cx) {
                    Ok((send, connection)) => {
                        turn.stats.connects.add(1);
                        slot.link = Some(Link { send, connection, ready });
                    }
                    Err(error) => {
                        slot.call = HttpCall::Idle;
                        return Some(Outcome::Unconnected(error.into()));
                    }
                },
            }
        }
        // a connection says that it is ready only once it has been polled
        if let Some(error) = self.slots[at].poll_link(cx) {
            self.slots[at].link = None;
            self.slots[at].call = HttpCall::Idle;
            return Some(Outcome::Unconnected(error));
        }
        let HttpCall::Wanted(job) = &self.slots[at].call else { return None };
        let request = self.request(job, turn.hops());
        let bytes = job.body.len() as u64;
        let slot = &mut self.slots[at];
        let link = slot.link.as_mut()?;
        if link.send.poll_ready(cx).is_pending() {
            return None;
        }
        turn.stats.bytes_sent.add(bytes);
        slot.call = HttpCall::Head(Box::pin(link.send.send_request(request)));
        None
    }
}

fn handshake(
    stream: Stream,
    cx: &mut Context<'_>,
) -> Result<(http1::SendRequest<Once>, http1::Connection<Stream, Once>), String> {
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX);
    let mut handshake = Box::pin(builder.handshake(stream));
    match handshake.as_mut().poll(cx) {
        Poll::Ready(result) => result.map_err(|error| error.to_string()),
        Poll::Pending => unreachable!("an HTTP/1 handshake moves no bytes"),
    }
}

impl Slot {
    /// Moves the connection; says why if it is over.
    fn poll_link(&mut self, cx: &mut Context<'_>) -> Option<Why> {
        let link = self.link.as_mut()?;
        match Pin::new(&mut link.connection).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => Some("the connection was closed".to_owned().into()),
            Poll::Ready(Err(error)) => Some(why(&error, &link.ready)),
        }
    }

    fn poll_call(&mut self, cx: &mut Context<'_>, wall_ns: u64) -> Option<Outcome> {
        if let HttpCall::Head(answer) = &mut self.call {
            match answer.as_mut().poll(cx) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => {
                    self.call = HttpCall::Idle;
                    let ready = self.link.take().map(|link| link.ready).unwrap_or_default();
                    let why = why(&error, &ready);
                    return Some(match error.is_canceled() {
                        true => Outcome::Unconnected(why),
                        false => Outcome::Disconnected(why),
                    });
                }
                Poll::Ready(Ok(response)) => {
                    let (head, incoming) = response.into_parts();
                    self.call =
                        HttpCall::Body { status: head.status, headers: head.headers, incoming, kept: Vec::new() };
                }
            }
        }
        let HttpCall::Body { status, headers, incoming, kept } = &mut self.call else { return None };
        let limit = if status.is_success() { RESPONSE_BYTES_MAX } else { ERROR_BODY_BYTES_MAX };
        let outcome = loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return None,
                Poll::Ready(None) => break outcome::http(*status, headers, kept, wall_ns),
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let room = limit - kept.len();
                    kept.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        // the rest is not read: the connection goes
                        self.link = None;
                        break match status.is_success() {
                            true => Outcome::ResponseTooLarge,
                            false => outcome::http(*status, headers, kept, wall_ns),
                        };
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.link = None;
                    // the status has come and says what became of an error; a success needs its whole body
                    break match status.is_success() {
                        true => Outcome::Disconnected(describe(&error).into()),
                        false => outcome::http(*status, headers, kept, wall_ns),
                    };
                }
            }
        };
        self.call = HttpCall::Idle;
        Some(outcome)
    }
}

/// An error with what to do about it.
fn why(error: &hyper::Error, ready: &Ready) -> Why {
    if error.is_parse() { ready.why_foreign(describe(error)) } else { ready.why(describe(error)) }
}

/// hyper's error with its cause.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Exporter for Http {
    fn start(&mut self, slot: usize, job: Job) {
        assert!(matches!(self.slots[slot].call, HttpCall::Idle), "a slot holds one call");
        self.slots[slot].call = HttpCall::Wanted(job);
    }

    fn put_headers(&mut self, headers: &Headers) {
        self.headers = headers.clone();
    }

    fn cancel(&mut self, slot: usize) -> Cancelled {
        let slot = &mut self.slots[slot];
        match std::mem::replace(&mut slot.call, HttpCall::Idle) {
            HttpCall::Idle => Cancelled::Unsent(None),
            HttpCall::Wanted(_) => {
                let waited_for = if slot.link.is_none() { slot.dial.waits_for(&self.addresses) } else { None };
                slot.dial.abandon(&mut self.addresses);
                slot.link = None;
                Cancelled::Unsent(waited_for)
            }
            HttpCall::Head(_) | HttpCall::Body { .. } => {
                slot.link = None;
                Cancelled::Sent
            }
        }
    }

    fn on_event(&mut self, connection: usize, event: &mio::event::Event) {
        let Some(slot) = self.slots.get(connection) else { return };
        slot.dial.on_event(event);
        if let Some(link) = &slot.link {
            link.ready.on_event(event);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        for at in 0..self.slots.len() {
            if let Some(outcome) = self.poll_slot(at, cx, turn) {
                done.push((at, outcome.without(&self.path)));
            }
        }
    }

    fn new_turn(&mut self) {
        for link in self.slots.iter().filter_map(|slot| slot.link.as_ref()) {
            link.ready.new_turn();
        }
    }

    fn is_starved(&self) -> bool {
        self.slots.iter().filter_map(|slot| slot.link.as_ref()).any(|link| link.ready.is_starved())
    }

    fn next_ns(&self) -> Option<u64> {
        self.slots.iter().filter_map(|slot| slot.dial.next_ns()).min()
    }
}
