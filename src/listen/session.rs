//! One OTLP connection: looks at its first bytes, then is HTTP/1.1 or HTTP/2.
//!
//! Does not know sockets beyond `Wire`.

use crate::limits;
use std::rc::Rc;

use super::connections::{InFlight, Session, SessionStep};
use super::intake::Intake;
use super::service::Serving;
use super::{http1, http2};
use crate::clock::Now;
use crate::net::network::Socket;
use crate::net::wire::{Sniffed, Wire};

/// The session of one connection.
pub(super) enum OtlpSession<T: Socket> {
    Sniffing { since_ns: u64, first_byte_ns: Option<u64> },
    Http1(Box<http1::Http1Session<T>>),
    Http2(Box<http2::Http2Session<T>>),
}

impl<T: Socket> OtlpSession<T> {
    /// A session that has seen nothing yet.
    pub(super) fn begin(_: usize, now: Now) -> Self {
        OtlpSession::Sniffing { since_ns: now.mono_ns, first_byte_ns: None }
    }
}

impl<I: Intake, T: Socket> Session<Serving<'_, I>, T> for OtlpSession<T> {
    fn drive(&mut self, wire: &Rc<Wire<T>>, serving: &mut Serving<'_, I>) -> SessionStep {
        let now_ns = serving.now.mono_ns;
        serving.peer = wire.peer();
        if let OtlpSession::Sniffing { first_byte_ns, .. } = self {
            match wire.sniff() {
                Sniffed::Nothing => return SessionStep::Wait,
                Sniffed::Unclear => {
                    first_byte_ns.get_or_insert(now_ns);
                    return SessionStep::Wait;
                }
                Sniffed::Closed => return SessionStep::Close,
                Sniffed::Http1 => {
                    *self = OtlpSession::Http1(Box::new(http1::Http1Session::new(Rc::clone(wire), now_ns)))
                }
                Sniffed::Http2 => {
                    *self = OtlpSession::Http2(Box::new(http2::Http2Session::new(Rc::clone(wire), now_ns)))
                }
            }
        }
        match self {
            OtlpSession::Sniffing { .. } => SessionStep::Wait,
            OtlpSession::Http1(session) => session.drive(wire, serving),
            OtlpSession::Http2(session) => session.drive(wire, serving),
        }
    }

    fn on_timer(&mut self, wire: &Rc<Wire<T>>, serving: &mut Serving<'_, I>) -> SessionStep {
        match self {
            OtlpSession::Sniffing { since_ns, first_byte_ns } => {
                let (since_ns, limit) = match first_byte_ns {
                    Some(at_ns) => (*at_ns, serving.service.options.header_timeout),
                    None => (*since_ns, limits::FIRST_BYTE_TIMEOUT),
                };
                let late = serving.now.mono_ns.saturating_sub(since_ns) > limit.as_nanos() as u64;
                if late { SessionStep::TimedOut } else { SessionStep::Wait }
            }
            OtlpSession::Http1(session) => session.on_timer(wire, serving),
            OtlpSession::Http2(session) => session.on_timer(wire, serving),
        }
    }

    fn stop(&mut self, serving: &mut Serving<'_, I>) -> SessionStep {
        match self {
            OtlpSession::Sniffing { .. } => SessionStep::Close,
            OtlpSession::Http1(session) => session.stop(),
            OtlpSession::Http2(session) => session.stop(serving.now.mono_ns),
        }
    }

    fn is_idle(&self, wire: &Wire<T>) -> bool {
        match self {
            OtlpSession::Sniffing { first_byte_ns, .. } => first_byte_ns.is_none(),
            OtlpSession::Http1(session) => session.is_idle(),
            OtlpSession::Http2(session) => session.is_idle(wire),
        }
    }

    fn paces(&self, wire: &Wire<T>, serving: &Serving<'_, I>, say: &mut dyn FnMut(u64)) {
        if !serving.gives_way(wire.peer()) {
            return;
        }
        match self {
            OtlpSession::Sniffing { .. } => {}
            OtlpSession::Http1(session) => session.paces(serving, say),
            OtlpSession::Http2(session) => session.paces(serving, say),
        }
    }

    fn give_way(&mut self, wire: &Rc<Wire<T>>, serving: &mut Serving<'_, I>) -> SessionStep {
        match self {
            OtlpSession::Sniffing { .. } => SessionStep::Wait,
            // those ended before may have been enough
            _ if !serving.gives_way(wire.peer()) => SessionStep::Wait,
            OtlpSession::Http1(session) => session.give_way(wire, serving),
            OtlpSession::Http2(session) => session.give_way(serving),
        }
    }

    fn abandon(&mut self, serving: &mut Serving<'_, I>) {
        match self {
            OtlpSession::Sniffing { .. } => {}
            OtlpSession::Http1(session) => session.abandon(serving),
            OtlpSession::Http2(session) => session.abandon(serving),
        }
    }
}

impl<T: Socket> InFlight for OtlpSession<T> {
    fn in_flight(&self) -> usize {
        match self {
            OtlpSession::Sniffing { .. } => 0,
            OtlpSession::Http1(session) => session.in_flight(),
            OtlpSession::Http2(session) => session.in_flight(),
        }
    }
}
