//! Start, exchange and end: the threads, what they are told when destinations come, change and go, and how they are stopped.
//!
//! Does not know: protocols, retries; it makes what does and lets it run.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::destination::{DeliveryTarget, Destination};
use super::exchange::{Comparison, ExchangeRefused, Exchanged, NewDestinations, Served, compare};
use super::ledger::DestinationRow;
use super::options::Options;
use super::queue::{Bell, PollBell, Port};
use super::sender::Sender;
use super::state::DeliveryState;
use super::transport::EndpointAddresses;
use super::worker::{self, Order, Worker};
use super::writer::{LineFile, LineWriter, WriterEnding, WriterOrder};
use crate::chance::Chance;
use crate::limits::DESTINATIONS_MAX;

/// The threads; exchanges what they serve, and stops them. Dropped without `shutdown`, they go on until the process ends.
pub struct Handle {
    shared: Arc<DeliveryState>,
    options: Options,
    bell: Arc<PollBell>,
    orders: Arc<ArrayQueue<Order>>,
    worker: Option<JoinHandle<io::Result<worker::Left>>>,
    writers: Vec<WriterThread>,
    /// Threads of writers made so far: each has another seed.
    writers_made: u64,
}

struct WriterThread {
    thread: JoinHandle<()>,
    is_done: mpsc::Receiver<()>,
    port: Arc<Port>,
    orders: Arc<ArrayQueue<WriterOrder>>,
    /// Its queue is somebody else's by now.
    hands_over: bool,
}

impl WriterThread {
    fn tell(&self, path: Option<PathBuf>, ending: Option<WriterEnding>) {
        // an order says all, so that one that was not looked at yet is not missed
        self.orders.force_push(WriterOrder { path, ending });
        self.thread.thread().unpark();
    }

    fn serves(&self, port: &Arc<Port>) -> bool {
        Arc::ptr_eq(&self.port, port) && !self.hands_over && !self.thread.is_finished()
    }
}

/// Orders that may wait for the deliver thread: an exchange has at most two for each destination before and after it.
const ORDERS_MAX: usize = 4 * DESTINATIONS_MAX;

/// Starts delivery: the deliver thread, and one thread per `stdout` or `file:`. Destinations keep their order; names that
/// stand twice are made unique (`name_apart`).
///
/// # Errors
/// What the system says when it gives no thread, poll or waker; `InvalidInput` for more than `DESTINATIONS_MAX`
/// destinations, `in_flight` outside 1 to 64, or a destination with TLS that `Access::apply` has not seen.
pub fn start(destinations: Vec<Destination>, options: Options) -> io::Result<(Sender, Handle)> {
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), worker::BELL)?;
    let bell = Arc::new(PollBell { waker, rung: AtomicBool::new(false) });
    let orders = Arc::new(ArrayQueue::new(ORDERS_MAX));
    let shared = DeliveryState::new(Vec::new());
    let mut handle =
        Handle { shared: shared.clone(), options, bell, orders, worker: None, writers: Vec::new(), writers_made: 0 };
    let wanted = NewDestinations {
        destinations,
        from_cut: 0,
        in_flight: options.in_flight,
        held_bytes_max: None,
        end_within: Duration::ZERO,
    };
    handle.exchange(wanted)?;
    let (bell, orders, state) = (handle.bell.clone(), handle.orders.clone(), shared.clone());
    // there from the start, for a later exchange: at a wall that the system sets there may be no memory for a thread then
    let thread = std::thread::Builder::new().name("deliver".into());
    handle.worker = Some(thread.spawn(move || Worker::new(state, options).run(poll, &bell, &orders))?);
    Ok((Sender::new(shared), handle))
}

fn warn_of_bare_headers(destination: &Destination) {
    if let Some(endpoint) = destination.target.endpoint()
        && !(endpoint.secure || endpoint.is_loopback() || destination.headers.is_empty())
    {
        let remedy = "write otlp-grpcs:// or otlp-https://, or give headers with ?headers=FILE where they belong";
        tracing::warn!(destination = %destination.name, remedy, "headers go there without TLS: others can read them");
    }
}

/// The file that lines go to; nothing for standard output.
fn path_of(destination: &Destination) -> Option<PathBuf> {
    match &destination.target {
        DeliveryTarget::File(path) => Some(path.clone()),
        DeliveryTarget::Stdout | DeliveryTarget::OtlpGrpc(_) | DeliveryTarget::OtlpHttp { .. } => None,
    }
}

impl Handle {
    /// Every shard hands its batches to the destinations that were given last.
    pub fn is_taken_up(&self) -> bool {
        self.orders.is_empty() && self.shared.is_taken_up()
    }

    /// Has other destinations from a cut on; all or nothing. A destination of the same name and settings is not touched. One
    /// with other settings keeps its queue and counts; what is under way ends as it began. One that is not named any more
    /// gets no batch of that cut, delivers what it has as long as it may, and its threads and memory go; its counts stay.
    ///
    /// # Errors
    /// Why all stays as it is.
    pub fn exchange(&mut self, wanted: NewDestinations) -> Result<Exchanged, ExchangeRefused> {
        if self.worker.is_some() && !self.is_taken_up() {
            return Err(ExchangeRefused::Pending);
        }
        self.writers.retain(|writer| !writer.thread.is_finished());
        let Comparison { set, served, closed, exchanged } = compare(&self.shared.set(), &wanted)?;
        let within_ns = u64::try_from(wanted.end_within.as_nanos()).unwrap_or(u64::MAX);
        // what may fail comes first
        let mut addresses = Vec::new();
        for Served { destination, .. } in &served {
            let made = destination.target.endpoint();
            let made = made.map(|endpoint| EndpointAddresses::new(endpoint, destination.tls.clone(), &self.bell));
            addresses.push(made.transpose().map_err(ExchangeRefused::System)?);
        }
        // who comes back does not end any more; whether somebody serves it still
        let are_served: Vec<bool> = served.iter().map(|one| one.port.open() && !one.is_new).collect();
        let before = self.writers.len();
        for (Served { port, destination, .. }, is_served) in served.iter().zip(&are_served) {
            let has_writer = *is_served && self.writers.iter().any(|writer| writer.serves(port));
            if destination.target.is_network() || has_writer {
                continue;
            }
            if let Err(error) = self.spawn_writer(port, destination) {
                for writer in self.writers.drain(before..) {
                    writer.tell(None, Some(WriterEnding { within_ns: 0, hands_over: true }));
                }
                let is_back = |port: &Arc<Port>| !self.shared.set().open.iter().any(|one| Arc::ptr_eq(&one.port, port));
                served.iter().filter(|one| is_back(&one.port)).for_each(|one| one.port.close());
                return Err(ExchangeRefused::System(error));
            }
        }
        // from here on nothing fails
        for ((Served { port, destination, .. }, is_served), addresses) in served.iter().zip(are_served).zip(addresses) {
            warn_of_bare_headers(destination);
            port.store.resize(destination.queue_bytes);
            let old_writer = self.writers[..before].iter_mut().find(|writer| is_served && writer.serves(port));
            match (addresses, old_writer) {
                (Some(addresses), old_writer) => {
                    if let Some(writer) = old_writer {
                        writer.tell(None, Some(WriterEnding { within_ns, hands_over: true }));
                        writer.hands_over = true;
                    }
                    let destination = Box::new(Destination::clone(destination));
                    self.order(Order::Serve { port: port.clone(), destination, addresses });
                    port.put_bell(Bell::Poll(self.bell.clone()));
                }
                (None, Some(writer)) => writer.tell(path_of(destination), None),
                (None, None) => {
                    if is_served {
                        self.order(Order::End { port: port.clone(), within_ns, hands_over: true });
                    }
                    let new_writer = self.writers[before..].iter().find(|writer| writer.serves(port));
                    let thread = new_writer.expect("it was started above").thread.thread().clone();
                    port.put_bell(Bell::Thread(thread));
                }
            }
        }
        for port in &closed {
            port.close();
            match self.writers.iter().find(|writer| writer.serves(port)) {
                Some(writer) => {
                    let set = self.shared.set();
                    let path = set.open.iter().find(|one| Arc::ptr_eq(&one.port, port));
                    let path = path.and_then(|one| path_of(&one.destination));
                    writer.tell(path, Some(WriterEnding { within_ns, hands_over: false }));
                }
                None => self.order(Order::End { port: port.clone(), within_ns, hands_over: false }),
            }
        }
        self.shared.put(set);
        self.bell.ring();
        Ok(exchanged)
    }

    fn order(&self, order: Order) {
        assert!(self.orders.push(order).is_ok(), "there is room for the orders of one exchange");
    }

    fn spawn_writer(&mut self, port: &Arc<Port>, destination: &Destination) -> io::Result<()> {
        let file = match path_of(destination) {
            Some(path) => LineFile::file(&path, self.options.disk),
            None => LineFile::stdout(),
        };
        self.writers_made += 1;
        let chance = Chance::new(self.options.seed ^ self.writers_made);
        let orders = Arc::new(ArrayQueue::new(1));
        let writer = LineWriter::new(port.clone(), self.shared.clone(), orders.clone(), file, self.options, chance);
        let (done, is_done) = mpsc::channel();
        let thread = std::thread::Builder::new().name("write".into()).spawn(move || {
            writer.run();
            // the receiver is gone when shutdown gave up on this thread
            let _ = done.send(());
        })?;
        self.writers.push(WriterThread { thread, is_done, port: port.clone(), orders, hands_over: false });
        Ok(())
    }

    /// Delivers what is queued until the deadline (an OS instant, which is set against `Options::clock`), then stops.
    /// Producers should have stopped: what is offered later stays queued. May be called again with an earlier deadline.
    pub fn stop(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let stop_at = self.options.clock.mono_ns().saturating_add(left.as_nanos() as u64).min(u64::MAX - 1);
        self.shared.stop_at.store(stop_at, Ordering::Release);
        self.shared.ring_all();
        self.bell.ring();
        self.writers.iter().for_each(|writer| writer.thread.thread().unpark());
    }

    /// Whether all threads have ended, after `stop`.
    pub fn is_stopped(&self) -> bool {
        self.writers.iter().all(|writer| writer.thread.is_finished())
            && self.worker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops at the deadline as `stop` does, and waits for it; what is left still counts as queued. A writer blocked in its
    /// pipe past the deadline is left behind; it dies with the process.
    pub fn shutdown(self, deadline: Instant) -> Vec<DestinationRow> {
        self.stop(deadline);
        for WriterThread { thread, is_done, .. } in self.writers {
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
        for (port, points) in counted {
            // an offer after the count can only add
            let row = port.ledger.read();
            assert!(row.queued >= points, "points queued that the ledger does not know");
            if row.queued != points {
                tracing::debug!(destination = %port.name, "offered during shutdown");
            }
        }
        self.shared.set().ports().map(|port| port.ledger.read()).collect()
    }
}
