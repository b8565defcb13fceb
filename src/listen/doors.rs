//! The OTLP doors of one shard.
//!
//! Does not know protocols: it lends the shard's intake and service to the sessions while they are driven.
//! How the shard's loop uses it: `on_event` for each event, then `turn` until it says `false`, then wait for events at
//! most `next_timeout`, then `on_timers`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::connections::Connections;
use super::intake::Intake;
use super::options::Options;
use super::service::{Service, Serving};
use super::session::OtlpSession;
use super::stats::{ConnectionStats, Stats};
use crate::clock::Now;
use crate::examples::Examples;
use crate::limits;
use crate::model::Peer;
use crate::net::network::{Network, Readiness};

/// Listeners, connections and calls of one shard.
pub struct Doors<N: Network> {
    connections: Connections<OtlpSession<N::Socket>, N>,
    service: Service,
}

impl<N: Network> Doors<N> {
    /// Opens the doors. Events with tokens from `token_base` on belong to them.
    ///
    /// # Errors
    /// The network's own, from watching a listener, or the OS's, when no descriptor is left to keep in reserve.
    pub fn new(options: Options, listeners: Vec<N::Listener>, network: N, token_base: usize) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(|listener| (listener, 0)).collect();
        let connections =
            Connections::new(listeners, network, token_base, options.connections_max, OtlpSession::begin)?;
        Ok(Doors { connections, service: Service::new(options) })
    }

    /// Keeps examples of refused requests there.
    pub fn show_to(&mut self, examples: Arc<Examples>) {
        self.service.examples = Some(examples);
    }

    /// Notes what an event says. Events of others (tokens below the base) are not looked at.
    pub fn on_event(&mut self, event: Readiness) {
        self.connections.on_event(event);
    }

    /// Accepts, reads, applies and answers, each connection within its share. `true` when there is more to do at once:
    /// the loop should then look for events without waiting.
    pub fn turn(&mut self, intake: &mut impl Intake, now: Now) -> bool {
        self.service.inflate_left = limits::INFLATE_TURN_BYTES;
        let mut serving = Serving { service: &mut self.service, intake, now, peer: Peer::default() };
        serving.end_orphan();
        (serving.service.export_left_ns, serving.service.calls_left_ns) =
            (limits::EXPORT_SLICE_NS, limits::CALLS_SLICE_NS);
        let mut more = self.connections.turn(&mut serving, now, |serving| serving.service.has_time());
        if serving.intake.is_wanted() {
            more |= self.connections.give_way(&mut serving, now, |serving| serving.intake.is_wanted());
        }
        self.count();
        more || self.service.has_orphan()
    }

    /// Time until `on_timers` should be called, `None` when no timer runs.
    pub fn next_timeout(&self, now: Now) -> Option<Duration> {
        self.connections.next_timeout(now)
    }

    /// Ends what takes too long: heads, bodies, calls past their deadline, idle and stalled connections. Where these are many,
    /// `next_timeout` asks for another call at once.
    pub fn on_timers(&mut self, intake: &mut impl Intake, now: Now) {
        self.service.calls_left_ns = limits::TIMERS_SLICE_NS;
        let mut serving = Serving { service: &mut self.service, intake, now, peer: Peer::default() };
        self.connections.on_timers(&mut serving, now, |serving| serving.service.calls_left_ns > 0);
        self.count();
    }

    /// Closes the listeners; says GOAWAY and `Connection: close`; calls in hand are finished in later turns.
    pub fn stop_accepting(&mut self, intake: &mut impl Intake, now: Now) {
        self.connections.stop(&mut Serving { service: &mut self.service, intake, now, peer: Peer::default() }, now);
        self.count();
    }

    /// Whether no request is in flight and no answer unsent.
    pub fn idle(&self) -> bool {
        self.connections.is_idle() && !self.service.has_orphan()
    }

    /// What was seen so far.
    pub fn stats(&self) -> &Stats {
        &self.service.stats
    }

    fn count(&mut self) {
        let floods = self.service.stats.connections.floods;
        self.service.stats.connections = ConnectionStats { floods, ..self.connections.stats };
    }
}
