//! OTLP over one HTTP/1.1 connection.
//!
//! Does not know sockets or gRPC. Invariants: 1. one exchange at a time; 2. a request that is refused before its body
//! is whole is answered at once; hyper closes the connection behind the answer; 3. what hyper refuses by itself gets
//! the body that it leaves out (R12).
//! Bounds: see `net::http1`, `service`.

use crate::limits;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::answer::{RequestFault, RequestOutcome, over_http, to_bad_head};
use super::connections::SessionStep;
use super::head::{BodyTerms, Protocol, read_head};
use super::intake::Intake;
use super::service::{RequestBody, Serving};
use super::timeouts::Timeouts;
use crate::net::host;
use crate::net::http1::{Http1, give_body};
use crate::net::inflate::Coding;
use crate::net::network::Socket;
use crate::net::wire::Wire;

/// A whole, short body.
pub(super) struct ShortBody(Bytes);

impl http_body::Body for ShortBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

struct Exchange {
    protocol: Protocol,
    terms: BodyTerms,
    body: Incoming,
    state: RequestBody,
    started_ns: u64,
}

/// The session.
pub(super) struct Http1Session<T: Socket> {
    http: Http1<ShortBody, T>,
    exchange: Option<Exchange>,
    timeouts: Timeouts,
}

impl<T: Socket> Http1Session<T> {
    pub(super) fn new(wire: Rc<Wire<T>>, now_ns: u64) -> Self {
        Http1Session { http: Http1::new(wire), exchange: None, timeouts: Timeouts::new(now_ns) }
    }

    pub(super) fn drive<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> SessionStep {
        let waker = serving.service.flag.waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::SESSION_ROUNDS_MAX {
            serving.service.flag.take();
            if let Poll::Ready(end) = self.http.poll(&mut context) {
                if end.is_err_and(|fault| fault.is_parse()) {
                    serving.service.stats.protocol_errors += 1;
                    give_body(wire, to_bad_head);
                }
                self.abandon(serving);
                return SessionStep::Close;
            }
            let answered = self.begin(wire, serving) || self.advance(wire, serving, &mut context);
            if !answered && !serving.service.flag.take() {
                if self.exchange.is_none() {
                    self.timeouts.note(wire, serving.now.mono_ns);
                }
                return SessionStep::Wait;
            }
        }
        wire.set_hungry();
        SessionStep::Wait
    }

    /// Looks at the clock.
    pub(super) fn on_timer<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> SessionStep {
        if let Some(exchange) = &mut self.exchange {
            if let Some(fault) = serving.overdue(exchange.terms, exchange.started_ns, &mut exchange.state) {
                self.answer(wire, serving, Err(fault));
                self.http.graceful_shutdown();
                return SessionStep::Again;
            }
            return SessionStep::Wait;
        }
        let options = &serving.service.options;
        let is_spent = self.timeouts.is_spent(serving.now.mono_ns, options.header_timeout, options.idle_timeout);
        if is_spent { SessionStep::TimedOut } else { SessionStep::Wait }
    }

    /// Says how fast its body comes, if it is not whole.
    pub(super) fn paces<I: Intake>(&self, serving: &Serving<'_, I>, say: impl FnMut(u64)) {
        self.exchange.iter().filter_map(|exchange| serving.pace(&exchange.state, exchange.started_ns)).for_each(say);
    }

    /// Ends that body, and with it the connection.
    pub(super) fn give_way<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> SessionStep {
        self.answer(wire, serving, Err(RequestFault::NoBudget));
        self.http.graceful_shutdown();
        SessionStep::Again
    }

    /// Finishes the request in hand and takes no other.
    pub(super) fn stop(&mut self) -> SessionStep {
        if self.is_idle() {
            return SessionStep::Close;
        }
        self.http.graceful_shutdown();
        SessionStep::Again
    }

    /// Whether no request is begun.
    pub(super) fn is_idle(&self) -> bool {
        self.exchange.is_none() && !self.timeouts.is_head_begun()
    }

    pub(super) fn in_flight(&self) -> usize {
        usize::from(self.exchange.is_some())
    }

    /// Ends what is unfinished, without an answer.
    pub(super) fn abandon<I: Intake>(&mut self, serving: &mut Serving<'_, I>) {
        if let Some(mut exchange) = self.exchange.take() {
            serving.abandon(exchange.protocol, exchange.terms, &mut exchange.state);
        }
    }

    /// Takes the next request from hyper; `true` when it was refused by its head alone.
    fn begin<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>) -> bool {
        let Some(request) = self.http.take_request() else { return false };
        // hyper begins a request only when the one before is over
        self.abandon(serving);
        let (head, body) = request.into_parts();
        let (protocol, verdict) =
            read_head(&head.method, head.uri.path(), &head.headers, false, &serving.service.options, serving.now);
        let verdict = host::check(head.version, &head.uri, &head.headers).map_err(RequestFault::Head).and(verdict);
        self.timeouts.on_request();
        let (terms, refused) = match verdict {
            Ok(terms) => (terms, None),
            Err(fault) => (BodyTerms { coding: Coding::Identity, deadline_ns: u64::MAX }, Some(fault)),
        };
        self.exchange = Some(Exchange {
            protocol,
            terms,
            body,
            state: RequestBody::of(serving.peer),
            started_ns: serving.now.mono_ns,
        });
        match refused {
            Some(fault) => {
                self.answer(wire, serving, Err(fault));
                true
            }
            None => false,
        }
    }

    /// Takes what there is of the body; `true` when an answer went out.
    fn advance<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>, context: &mut Context<'_>) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        loop {
            // a body that is whole is not polled again
            let frame = if exchange.state.is_whole() {
                Poll::Ready(None)
            } else {
                Pin::new(&mut exchange.body).poll_frame(context)
            };
            match frame {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(chunk) = frame.into_data() else { continue };
                    if let Err(fault) = serving.collect(exchange.protocol, &mut exchange.state, chunk) {
                        self.answer(wire, serving, Err(fault));
                        return true;
                    }
                }
                Poll::Ready(Some(Err(fault))) if is_malformed(&fault) => {
                    serving.service.stats.protocol_errors += 1;
                    self.answer(wire, serving, Err(RequestFault::Head("the chunked coding of the body is malformed")));
                    return true;
                }
                Poll::Ready(Some(Err(_))) => {
                    self.abandon(serving);
                    return true;
                }
                Poll::Ready(None) => {
                    let outcome = serving.export(exchange.protocol, exchange.terms, &mut exchange.state);
                    let Some(outcome) = outcome else {
                        wire.set_hungry();
                        return false;
                    };
                    self.answer(wire, serving, outcome);
                    return true;
                }
            }
        }
    }

    fn answer<I: Intake>(&mut self, wire: &Wire<T>, serving: &mut Serving<'_, I>, outcome: RequestOutcome) {
        if let Some(mut exchange) = self.exchange.take() {
            serving.finish(exchange.protocol.door(), &mut exchange.state, &outcome);
            let Protocol::Http(format) = exchange.protocol else {
                unreachable!("HTTP/1.1 has no trailers, so read_head never says gRPC")
            };
            self.http.answer(over_http(&outcome, format).map(ShortBody));
            self.timeouts.on_answer(wire, serving.now.mono_ns);
        }
    }
}

/// Whether a body ended because of what the client sent, and not because it left.
fn is_malformed(fault: &hyper::Error) -> bool {
    let source = std::error::Error::source(fault).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| {
        matches!(source.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
    })
}
