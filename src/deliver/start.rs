//! Start and end: what is checked before anything runs, the threads, and how they are stopped.
//!
//! Does not know: protocols, retries; it makes what does and lets it run.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::destination::{DeliveryTarget, Destination, name_apart};
use super::exporter::Exporter;
use super::grpc::Grpc;
use super::http::Http;
use super::lane::{Lane, TOKENS_EACH};
use super::ledger::DestinationRow;
use super::options::Options;
use super::queue::{Bell, PollBell, Port};
use super::sender::Sender;
use super::state::{DeliveryState, OpenDestination};
use super::transport::EndpointAddresses;
use super::worker::{self, Worker};
use super::writer::{LineFile, LineWriter};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::limits::DESTINATIONS_MAX;

/// The threads; stops them. Dropped without `shutdown`, they go on until the process ends.
pub struct Handle {
    shared: Arc<DeliveryState>,
    clock: &'static dyn Clock,
    worker: Option<JoinHandle<io::Result<worker::Left>>>,
    writers: Vec<(JoinHandle<()>, mpsc::Receiver<()>)>,
}

/// Starts delivery: the deliver thread if there is a network destination, and one thread per `stdout` or `file:`.
/// Destinations keep their order; names that stand twice are made unique (`name_apart`).
///
/// # Errors
/// What the system says when it gives no thread, poll or waker; `InvalidInput` for more than `DESTINATIONS_MAX`
/// destinations, `in_flight` outside 1 to 64, or a destination with TLS that `Access::apply` has not seen.
pub fn start(mut destinations: Vec<Destination>, options: Options) -> io::Result<(Sender, Handle)> {
    name_apart(&mut destinations);
    if destinations.len() > DESTINATIONS_MAX {
        let what = format!("{} destinations: at most {DESTINATIONS_MAX} can be given with --out", destinations.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if !(1..=TOKENS_EACH).contains(&options.in_flight) {
        let what = format!("{} requests in flight: between 1 and {} can be", options.in_flight, TOKENS_EACH);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if let Some(bare) = destinations.iter().find(|one| one.target.is_secure() && one.tls.is_none()) {
        let what = format!("{}: TLS without authorities: `Access::apply` puts them in", bare.name);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    for destination in &destinations {
        if let Some(endpoint) = destination.target.endpoint()
            && !(endpoint.secure || endpoint.is_loopback() || destination.headers.is_empty())
        {
            let remedy = "write otlp-grpcs:// or otlp-https://, or give headers with ?headers=FILE where they belong";
            tracing::warn!(destination = %destination.name, remedy, "headers go there without TLS: others can read them");
        }
    }
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), worker::BELL)?;
    let bell = Arc::new(PollBell { waker, rung: AtomicBool::new(false) });
    let mut open = Vec::new();
    for destination in &destinations {
        let bell = match destination.target {
            DeliveryTarget::OtlpGrpc(_) | DeliveryTarget::OtlpHttp { .. } => Bell::Poll(bell.clone()),
            DeliveryTarget::Stdout | DeliveryTarget::File(_) => Bell::Thread(OnceLock::new()),
        };
        let port = Arc::new(Port::new(destination.name.clone(), destination.queue_bytes, bell));
        open.push(OpenDestination { destination: Arc::new(destination.clone()), port });
    }
    let shared = DeliveryState::new(open);
    let set = shared.set();
    let mut handle = Handle { shared: shared.clone(), clock: options.clock, worker: None, writers: Vec::new() };
    let mut network = Vec::new();
    for (number, destination) in destinations.into_iter().enumerate() {
        let port = set.open[number].port.clone();
        let file = match &destination.target {
            DeliveryTarget::Stdout => LineFile::stdout(),
            DeliveryTarget::File(path) => LineFile::file(path, options.disk),
            DeliveryTarget::OtlpGrpc(endpoint) | DeliveryTarget::OtlpHttp { endpoint, .. } => {
                let addresses = EndpointAddresses::new(endpoint, destination.tls.clone(), &bell)?;
                network.push((number, destination, addresses));
                continue;
            }
        };
        let chance = Chance::new(options.seed ^ number as u64);
        let writer = LineWriter::new(port.clone(), shared.clone(), file, options, chance);
        handle.writers.push(spawn_writer(writer, &port)?);
    }
    if !network.is_empty() {
        let (shared, set) = (shared.clone(), set.clone());
        let thread = std::thread::Builder::new().name("deliver".into());
        handle.worker = Some(thread.spawn(move || {
            // made here: connections and their futures never leave this thread
            let lanes = network.into_iter().map(|(number, destination, addresses)| {
                let in_flight = destination.in_flight.unwrap_or(options.in_flight);
                let headers = &destination.headers;
                let exporter: Box<dyn Exporter> = match &destination.target {
                    DeliveryTarget::OtlpHttp { endpoint, path } => {
                        Box::new(Http::new(endpoint, path, headers.clone(), addresses, in_flight))
                    }
                    DeliveryTarget::OtlpGrpc(endpoint) => {
                        Box::new(Grpc::new(endpoint, headers, addresses, in_flight, destination.connections))
                    }
                    DeliveryTarget::Stdout | DeliveryTarget::File(_) => unreachable!("writers have their own threads"),
                };
                Lane::new(destination, number, set.open[number].port.clone(), exporter, &options)
            });
            let worker = Worker::new(lanes.collect(), shared.clone(), options);
            worker.run(poll, &bell)
        })?);
    }
    Ok((Sender::new(shared), handle))
}

fn spawn_writer(writer: LineWriter, port: &Port) -> io::Result<(JoinHandle<()>, mpsc::Receiver<()>)> {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::Builder::new().name("write".into()).spawn(move || {
        writer.run();
        // the receiver is gone when shutdown gave up on this thread
        let _ = done.send(());
    })?;
    if let Bell::Thread(bell) = &port.bell {
        let _ = bell.set(thread.thread().clone());
    }
    Ok((thread, is_done))
}

impl Handle {
    /// Delivers what is queued until the deadline (an OS instant, which is set against `Options::clock`), then stops.
    /// Producers should have stopped: what is offered later stays queued. May be called again with an earlier deadline.
    pub fn stop(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let stop_at = self.clock.mono_ns().saturating_add(left.as_nanos() as u64).min(u64::MAX - 1);
        self.shared.stop_at.store(stop_at, Ordering::Release);
        self.shared.ring_all();
    }

    /// Whether all threads have ended, after `stop`.
    pub fn is_stopped(&self) -> bool {
        self.writers.iter().all(|(thread, _)| thread.is_finished())
            && self.worker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops at the deadline as `stop` does, and waits for it; what is left still counts as queued. A writer blocked in its
    /// pipe past the deadline is left behind; it dies with the process.
    pub fn shutdown(self, deadline: Instant) -> Vec<DestinationRow> {
        self.stop(deadline);
        for (thread, is_done) in self.writers {
            let left = deadline.saturating_duration_since(Instant::now());
            // a moment of grace: a writer that is not blocked sees the deadline by itself
            if is_done.recv_timeout(left + Duration::from_millis(100)).is_ok() {
                thread.join().expect("the writer thread has a bug");
            }
        }
        let mut counted = Vec::new();
        if let Some(worker) = self.worker {
            match worker.join().expect("the deliver thread has a bug") {
                Ok(points) => counted = points,
                Err(error) => tracing::error!(%error, "the deliver thread could not poll"),
            }
        }
        let set = self.shared.set();
        let rows: Vec<DestinationRow> = set.ports().map(|port| port.ledger.read()).collect();
        for (number, points) in counted {
            // an offer after the count can only add
            assert!(rows[number].queued >= points, "points queued that the ledger does not know");
            if rows[number].queued != points {
                tracing::debug!(destination = %set.port(number).name, "offered during shutdown");
            }
        }
        rows
    }
}
