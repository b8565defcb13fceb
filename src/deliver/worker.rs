//! The deliver thread: one `mio` loop over all network destinations.
//!
//! Does not know: protocols (see `exporter`), retries (see `lane`), how many shards produce, files (see `writer`).
//!
//! ```text
//!  run: orders ─► poll until next_ns ─► on_event … ─► turn: each lane as far as it goes ─► rest
//! ```
//!
//! `turn` and `next_ns` read no clock but the one they were given and wait for nothing: whoever calls them may be this
//! thread, or a run that simulates it.
//!
//! Progress: `run` blocks only in `poll`, never longer than the next timer, and in the rests of `pace`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use mio::{Events, Poll, Token};

use super::destination::{DeliveryTarget, Destination};
use super::exporter::Exporter;
use super::grpc::Grpc;
use super::http::Http;
use super::lane::{Lane, Way};
use super::options::Options;
use super::pace::Pace;
use super::queue::{PollBell, Port};
use super::state::DeliveryState;
use super::transport::EndpointAddresses;
use crate::clock::Now;

/// Token of the bell.
pub(super) const BELL: Token = Token(0);
/// Events taken from the system at once.
const EVENTS: usize = 256;

/// The points still held at exit, by destination.
pub(super) type Left = Vec<(Arc<Port>, u64)>;

/// What the thread is told between two turns.
pub(super) enum Order {
    /// A destination is served, by these settings from now on.
    Serve { port: Arc<Port>, destination: Box<Destination>, addresses: EndpointAddresses },
    /// It is served no more (`Lane::end`).
    End { port: Arc<Port>, within_ns: u64, hands_over: bool },
}

/// What makes the exporter of a destination.
fn exporter(destination: &Destination, addresses: EndpointAddresses, options: &Options) -> Box<dyn Exporter> {
    let in_flight = destination.in_flight.unwrap_or(options.in_flight);
    let headers = &destination.headers;
    match &destination.target {
        DeliveryTarget::OtlpHttp { endpoint, path } => {
            Box::new(Http::new(endpoint, path, headers.clone(), addresses, in_flight))
        }
        DeliveryTarget::OtlpGrpc(endpoint) => {
            Box::new(Grpc::new(endpoint, headers, addresses, in_flight, destination.connections))
        }
        DeliveryTarget::Stdout | DeliveryTarget::File(_) => unreachable!("writers have their own threads"),
    }
}

/// All network destinations.
pub(super) struct Worker {
    lanes: Vec<Lane>,
    /// Number of the next way.
    next_way: usize,
    shared: Arc<DeliveryState>,
    pace: Pace,
    options: Options,
}

impl Worker {
    pub(super) fn new(shared: Arc<DeliveryState>, options: Options) -> Worker {
        Worker { lanes: Vec::new(), next_way: 0, shared, pace: Pace::new(options.cores_are_shared), options }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Serve { port, destination, addresses } => {
                let options = self.options;
                // made here: connections and their futures never leave this thread
                self.serve(port, *destination, |destination| exporter(destination, addresses, &options));
            }
            Order::End { port, within_ns, hands_over } => self.end(&port, within_ns, hands_over),
        }
    }

    /// Serves a destination by these settings from now on; `make` makes new connections, where those there are do not do.
    pub(super) fn serve(
        &mut self,
        port: Arc<Port>,
        destination: Destination,
        make: impl FnOnce(&Destination) -> Box<dyn Exporter>,
    ) {
        let place = self.lanes.iter().position(|lane| Arc::ptr_eq(lane.port(), &port));
        if let Some(lane) = place.map(|place| &mut self.lanes[place])
            && lane.has_way_for(&destination)
        {
            return lane.change(destination, None, &self.options);
        }
        let way = Way::new(self.next_way, make(&destination));
        self.next_way += 1;
        match place {
            Some(place) => self.lanes[place].change(destination, Some(way), &self.options),
            None => self.lanes.push(Lane::new(destination, port, way, &self.options)),
        }
    }

    /// Serves it no more.
    pub(super) fn end(&mut self, port: &Arc<Port>, within_ns: u64, hands_over: bool) {
        let lane = self.lanes.iter_mut().find(|lane| Arc::ptr_eq(lane.port(), port));
        lane.into_iter().for_each(|lane| lane.end(within_ns, hands_over));
    }

    /// Whether delivery was stopped and has nothing left, or its deadline is over.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.shared.stop_at().is_some_and(|at| now.mono_ns >= at || self.lanes.iter().all(Lane::is_empty))
    }

    /// When a turn is due without an event or a ring, ns; `None` when nothing is.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.lanes.iter().filter_map(Lane::next_ns).chain(self.shared.stop_at()).min()
    }

    fn on_event(&mut self, event: &mio::event::Event) {
        // false for the bell, which is nobody's
        self.lanes.iter_mut().any(|lane| lane.on_event(event.token().0, event));
    }

    /// Moves every destination as far as it goes now; says how long to rest after it.
    pub(super) fn turn(&mut self, registry: &mio::Registry) -> Option<Duration> {
        let begun = self.options.clock.mono_ns();
        for lane in &mut self.lanes {
            lane.turn(registry, &self.options, &self.pace);
        }
        self.lanes.retain(|lane| !lane.has_ended());
        let spent = self.options.clock.mono_ns() - begun;
        let is_pressed = self.shared.stop_at().is_some() || self.lanes.iter().any(Lane::is_pressed);
        self.pace.rest(spent, is_pressed)
    }

    /// What is left at the end.
    pub(super) fn count_left(self) -> Left {
        self.lanes.into_iter().map(|lane| (lane.port().clone(), lane.count_left())).collect()
    }

    /// The loop; returns when stopped and empty, or at the deadline, with the points left per destination.
    pub(super) fn run(mut self, mut poll: Poll, bell: &PollBell, orders: &ArrayQueue<Order>) -> io::Result<Left> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            while let Some(order) = orders.pop() {
                self.obey(order);
            }
            let now = self.options.clock.now();
            if self.is_over(now) {
                return Ok(self.count_left());
            }
            // rounded up: waking a moment too early would spin until the timer is due
            let timeout = self.next_ns().map(|at| match at.saturating_sub(now.mono_ns) {
                0 => Duration::ZERO,
                ns => Duration::from_nanos(ns.saturating_add(999_999) / 1_000_000 * 1_000_000),
            });
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            // ORDERING: AcqRel pairs with `PollBell::ring`: what was pushed before a ring is popped below.
            bell.rung.swap(false, Ordering::AcqRel);
            events.iter().for_each(|event| self.on_event(event));
            if let Some(rest) = self.turn(poll.registry()) {
                std::thread::sleep(rest);
            }
        }
    }
}
