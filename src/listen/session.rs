//! One OTLP connection: looks at its first bytes, then is HTTP/1.1 or HTTP/2.
//!
//! Does not know sockets beyond `Wire`.

use crate::limits;
use std::rc::Rc;

use super::floor::{Busy, Serve, Step};
use super::intake::Intake;
use super::serve::Bench;
use super::{http1, http2};
use crate::clock::Now;
use crate::net::network::Socket;
use crate::net::wire::{Sniffed, Wire};

/// The session of one connection.
pub(super) enum Otlp<T: Socket> {
    Sniffing { since_ns: u64, first_byte_ns: Option<u64> },
    Http1(Box<http1::Session<T>>),
    Http2(Box<http2::Session<T>>),
}

impl<T: Socket> Otlp<T> {
    /// A session that has seen nothing yet.
    pub(super) fn begin(_: usize, now: Now) -> Self {
        Otlp::Sniffing { since_ns: now.mono_ns, first_byte_ns: None }
    }
}

impl<I: Intake, T: Socket> Serve<Bench<'_, I>, T> for Otlp<T> {
    fn drive(&mut self, wire: &Rc<Wire<T>>, bench: &mut Bench<'_, I>) -> Step {
        let now_ns = bench.now.mono_ns;
        bench.peer = wire.peer();
        if let Otlp::Sniffing { first_byte_ns, .. } = self {
            match wire.sniff() {
                Sniffed::Nothing => return Step::Wait,
                Sniffed::Unclear => {
                    first_byte_ns.get_or_insert(now_ns);
                    return Step::Wait;
                }
                Sniffed::Closed => return Step::Close,
                Sniffed::Http1 => *self = Otlp::Http1(Box::new(http1::Session::new(Rc::clone(wire), now_ns))),
                Sniffed::Http2 => *self = Otlp::Http2(Box::new(http2::Session::new(Rc::clone(wire), now_ns))),
            }
        }
        match self {
            Otlp::Sniffing { .. } => Step::Wait,
            Otlp::Http1(session) => session.drive(wire, bench),
            Otlp::Http2(session) => session.drive(wire, bench),
        }
    }

    fn on_timer(&mut self, wire: &Rc<Wire<T>>, bench: &mut Bench<'_, I>) -> Step {
        match self {
            Otlp::Sniffing { since_ns, first_byte_ns } => {
                let (since_ns, limit) = match first_byte_ns {
                    Some(at_ns) => (*at_ns, bench.shop.options.header_timeout),
                    None => (*since_ns, limits::FIRST_BYTE_TIMEOUT),
                };
                let late = bench.now.mono_ns.saturating_sub(since_ns) > limit.as_nanos() as u64;
                if late { Step::TimedOut } else { Step::Wait }
            }
            Otlp::Http1(session) => session.on_timer(wire, bench),
            Otlp::Http2(session) => session.on_timer(wire, bench),
        }
    }

    fn stop(&mut self, bench: &mut Bench<'_, I>) -> Step {
        match self {
            Otlp::Sniffing { .. } => Step::Close,
            Otlp::Http1(session) => session.stop(),
            Otlp::Http2(session) => session.stop(bench.now.mono_ns),
        }
    }

    fn is_idle(&self, wire: &Wire<T>) -> bool {
        match self {
            Otlp::Sniffing { first_byte_ns, .. } => first_byte_ns.is_none(),
            Otlp::Http1(session) => session.is_idle(),
            Otlp::Http2(session) => session.is_idle(wire),
        }
    }

    fn paces(&self, wire: &Wire<T>, bench: &Bench<'_, I>, say: &mut dyn FnMut(u64)) {
        if !bench.gives_way(wire.peer()) {
            return;
        }
        match self {
            Otlp::Sniffing { .. } => {}
            Otlp::Http1(session) => session.paces(bench, say),
            Otlp::Http2(session) => session.paces(bench, say),
        }
    }

    fn give_way(&mut self, wire: &Rc<Wire<T>>, bench: &mut Bench<'_, I>) -> Step {
        match self {
            Otlp::Sniffing { .. } => Step::Wait,
            // those ended before may have been enough
            _ if !bench.gives_way(wire.peer()) => Step::Wait,
            Otlp::Http1(session) => session.give_way(wire, bench),
            Otlp::Http2(session) => session.give_way(bench),
        }
    }

    fn abandon(&mut self, bench: &mut Bench<'_, I>) {
        match self {
            Otlp::Sniffing { .. } => {}
            Otlp::Http1(session) => session.abandon(bench),
            Otlp::Http2(session) => session.abandon(bench),
        }
    }
}

impl<T: Socket> Busy for Otlp<T> {
    fn in_flight(&self) -> usize {
        match self {
            Otlp::Sniffing { .. } => 0,
            Otlp::Http1(session) => session.in_flight(),
            Otlp::Http2(session) => session.in_flight(),
        }
    }
}
