//! OTLP over one HTTP/1.1 connection.
//!
//! Does not know sockets or gRPC. Invariants: 1. one exchange at a time; 2. a request that is refused before its body
//! is whole is answered at once; hyper closes the connection behind the answer; 3. what hyper refuses by itself gets
//! the body that it leaves out (R12).
//! Bounds: see `net::http1`, `serve`.

use crate::limits;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::answer::{Fault, Outcome, over_http, to_bad_head};
use super::floor::Step;
use super::head::{Take, Tongue, judge};
use super::intake::Intake;
use super::patience::Patience;
use super::serve::{Bench, Body};
use crate::net::host;
use crate::net::http1::{Http1, give_body};
use crate::net::inflate::Coding;
use crate::net::network::Socket;
use crate::net::wire::Wire;

/// A whole, short body.
pub(super) struct Short(Bytes);

impl http_body::Body for Short {
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
    tongue: Tongue,
    take: Take,
    body: Incoming,
    state: Body,
    started_ns: u64,
}

/// The session.
pub(super) struct Session<T: Socket> {
    http: Http1<Short, T>,
    exchange: Option<Exchange>,
    patience: Patience,
}

impl<T: Socket> Session<T> {
    pub(super) fn new(wire: Rc<Wire<T>>, now_ns: u64) -> Self {
        Session { http: Http1::new(wire), exchange: None, patience: Patience::new(now_ns) }
    }

    pub(super) fn drive<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> Step {
        let waker = bench.shop.flag.waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::SESSION_ROUNDS_MAX {
            bench.shop.flag.take();
            if let Poll::Ready(end) = self.http.poll(&mut context) {
                if end.is_err_and(|fault| fault.is_parse()) {
                    bench.shop.stats.protocol_errors += 1;
                    give_body(wire, to_bad_head);
                }
                self.abandon(bench);
                return Step::Close;
            }
            let answered = self.begin(wire, bench) || self.advance(wire, bench, &mut context);
            if !answered && !bench.shop.flag.take() {
                if self.exchange.is_none() {
                    self.patience.note(wire, bench.now.mono_ns);
                }
                return Step::Wait;
            }
        }
        wire.set_hungry();
        Step::Wait
    }

    /// Looks at the clock.
    pub(super) fn on_timer<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> Step {
        if let Some(exchange) = &mut self.exchange {
            if let Some(fault) = bench.overdue(exchange.take, exchange.started_ns, &mut exchange.state) {
                self.answer(wire, bench, Err(fault));
                self.http.graceful_shutdown();
                return Step::Again;
            }
            return Step::Wait;
        }
        let options = &bench.shop.options;
        let is_spent = self.patience.is_spent(bench.now.mono_ns, options.header_timeout, options.idle_timeout);
        if is_spent { Step::TimedOut } else { Step::Wait }
    }

    /// Says how fast its body comes, if it is not whole.
    pub(super) fn paces<I: Intake>(&self, bench: &Bench<'_, I>, say: impl FnMut(u64)) {
        self.exchange.iter().filter_map(|exchange| bench.pace(&exchange.state, exchange.started_ns)).for_each(say);
    }

    /// Ends that body, and with it the connection.
    pub(super) fn give_way<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> Step {
        self.answer(wire, bench, Err(Fault::NoBudget));
        self.http.graceful_shutdown();
        Step::Again
    }

    /// Finishes the request in hand and takes no other.
    pub(super) fn stop(&mut self) -> Step {
        if self.is_idle() {
            return Step::Close;
        }
        self.http.graceful_shutdown();
        Step::Again
    }

    /// Whether no request is begun.
    pub(super) fn is_idle(&self) -> bool {
        self.exchange.is_none() && !self.patience.is_head_begun()
    }

    pub(super) fn in_flight(&self) -> usize {
        usize::from(self.exchange.is_some())
    }

    /// Ends what is unfinished, without an answer.
    pub(super) fn abandon<I: Intake>(&mut self, bench: &mut Bench<'_, I>) {
        if let Some(mut exchange) = self.exchange.take() {
            bench.abandon(exchange.tongue, exchange.take, &mut exchange.state);
        }
    }

    /// Takes the next request from the desk; `true` when it was refused by its head alone.
    fn begin<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>) -> bool {
        let Some(request) = self.http.take_request() else { return false };
        // hyper begins a request only when the one before is over
        self.abandon(bench);
        let (head, body) = request.into_parts();
        let (tongue, verdict) =
            judge(&head.method, head.uri.path(), &head.headers, false, &bench.shop.options, bench.now);
        let verdict = host::check(head.version, &head.uri, &head.headers).map_err(Fault::Head).and(verdict);
        self.patience.on_request();
        let (take, refused) = match verdict {
            Ok(take) => (take, None),
            Err(fault) => (Take { coding: Coding::Identity, deadline_ns: u64::MAX }, Some(fault)),
        };
        self.exchange =
            Some(Exchange { tongue, take, body, state: Body::of(bench.peer), started_ns: bench.now.mono_ns });
        match refused {
            Some(fault) => {
                self.answer(wire, bench, Err(fault));
                true
            }
            None => false,
        }
    }

    /// Takes what there is of the body; `true` when an answer went out.
    fn advance<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>, context: &mut Context<'_>) -> bool {
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
                    if let Err(fault) = bench.collect(exchange.tongue, &mut exchange.state, chunk) {
                        self.answer(wire, bench, Err(fault));
                        return true;
                    }
                }
                Poll::Ready(Some(Err(fault))) if is_malformed(&fault) => {
                    bench.shop.stats.protocol_errors += 1;
                    self.answer(wire, bench, Err(Fault::Head("the chunked coding of the body is malformed")));
                    return true;
                }
                Poll::Ready(Some(Err(_))) => {
                    self.abandon(bench);
                    return true;
                }
                Poll::Ready(None) => {
                    let outcome = bench.export(exchange.tongue, exchange.take, &mut exchange.state);
                    let Some(outcome) = outcome else {
                        wire.set_hungry();
                        return false;
                    };
                    self.answer(wire, bench, outcome);
                    return true;
                }
            }
        }
    }

    fn answer<I: Intake>(&mut self, wire: &Wire<T>, bench: &mut Bench<'_, I>, outcome: Outcome) {
        if let Some(mut exchange) = self.exchange.take() {
            bench.finish(exchange.tongue.door(), &mut exchange.state, &outcome);
            let Tongue::Http(dress) = exchange.tongue else {
                unreachable!("HTTP/1.1 has no trailers, so judge never says gRPC")
            };
            self.http.answer(over_http(&outcome, dress).map(Short));
            self.patience.on_answer(wire, bench.now.mono_ns);
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
