//! The seam between the shards that encode and the threads that deliver: one queue per destination, and its doorbell.
//!
//! Does not know: protocols, retries, sockets.
//!
//! Invariants:
//! 1. Accounted bytes (batch bytes plus `ITEM_OVERHEAD_BYTES`) never exceed the queue's limit; they are given back only
//!    when the batch has its final outcome, so what is in flight or waits for a retry counts too.
//! 2. Every batch offered is either in the queue or counted as dropped; the ledger row says so before `offer` returns.
//! 3. Many producers, one consumer per queue.
//!
//! Progress: `offer` is lock-free (a CAS loop on the accounted bytes, the lane of `ledger`, a
//! segmented queue); ringing the bell costs a system call only when the consumer has seen the last ring.
//!
//! Bounds: `queue_bytes` per destination; the overhead bounds the number of batches as well.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use bytes::Bytes;
use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;

use super::ledger::{DestinationRow, Dropped, Ledger};
use super::stats::{Stats, StatsRow};
use crate::model::Flushed;

/// Bytes accounted for a batch on top of its own: queue slot, `Arc`, allocator.
pub const ITEM_OVERHEAD_BYTES: usize = 128;

/// One encoded `ExportMetricsServiceRequest`, uncompressed protobuf; shared by reference between destinations.
pub struct Encoded {
    /// The message.
    pub bytes: Bytes,
    /// Data points in it.
    pub points: u64,
    /// Which batch it is.
    pub flushed: Flushed,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} points, {} bytes)", self.points, self.bytes.len())
    }
}

/// What became of a batch that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// In the queue.
    Queued,
    /// No room: it waits outside (`hold`), counted as queued.
    Held,
    /// No room: its points are counted as `dropped{queue_full}`.
    Full,
}

/// Where the batches of one destination wait. The memory queue is the only one so far; a disk buffer is another one that
/// spills when memory is full (and then reports `on_disk` instead of `queued` in the ledger). A breaker sits between
/// `pop` and the exporters (`worker`), a dead-letter store where `Port::settle` counts what is refused.
pub trait Store: Send + Sync {
    /// Takes the bytes of one batch out of the room; `false` if they do not fit.
    fn reserve(&self, bytes: usize) -> bool;
    /// Puts in a batch whose bytes are reserved.
    fn push(&self, batch: Arc<Encoded>);
    /// The oldest batch; its bytes stay reserved until `release`. One consumer.
    fn pop(&self) -> Option<Arc<Encoded>>;
    /// A popped batch has its final outcome.
    fn release(&self, bytes: usize);
    /// Accounted bytes now, popped batches included.
    fn bytes(&self) -> usize;
}

/// A queue in memory, bounded by accounted bytes.
pub struct MemoryQueue {
    batches: SegQueue<Arc<Encoded>>,
    bytes: CachePadded<AtomicUsize>,
    bytes_max: usize,
}

impl MemoryQueue {
    /// An empty queue that holds at most `bytes_max` accounted bytes.
    pub fn new(bytes_max: usize) -> Self {
        MemoryQueue { batches: SegQueue::new(), bytes: CachePadded::new(AtomicUsize::new(0)), bytes_max }
    }
}

impl Store for MemoryQueue {
    fn reserve(&self, bytes: usize) -> bool {
        // ORDERING: Relaxed: the counter publishes nothing, the queue does; read-modify-writes never lose room.
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let after = used.checked_add(bytes)?.checked_add(ITEM_OVERHEAD_BYTES)?;
            (after <= self.bytes_max).then_some(after)
        });
        taken.is_ok()
    }

    fn push(&self, batch: Arc<Encoded>) {
        self.batches.push(batch);
    }

    fn pop(&self) -> Option<Arc<Encoded>> {
        self.batches.pop()
    }

    fn release(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes + ITEM_OVERHEAD_BYTES, Ordering::Relaxed);
        assert!(before >= bytes + ITEM_OVERHEAD_BYTES, "more bytes released than were reserved");
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Wakes the thread that consumes.
pub(super) enum Bell {
    /// The deliver thread's poll. The flag is shared by all its destinations.
    Poll(Arc<PollBell>),
    /// A writer thread, parked between batches; set once it runs.
    Thread(OnceLock<Thread>),
}

/// A `mio::Waker` that is rung once per look.
pub(super) struct PollBell {
    pub(super) waker: mio::Waker,
    /// Rung since the consumer last looked.
    pub(super) rung: AtomicBool,
}

impl PollBell {
    pub(super) fn ring(&self) {
        // ORDERING: AcqRel: what was pushed before a suppressed ring is seen by the consumer, whose swap to false (AcqRel)
        // comes before it pops.
        if !self.rung.swap(true, Ordering::AcqRel) {
            // an eventfd write fails only when it is already readable
            let _ = self.waker.wake();
        }
    }
}

impl Bell {
    fn ring(&self) {
        match self {
            Bell::Poll(bell) => bell.ring(),
            Bell::Thread(thread) => {
                if let Some(thread) = thread.get() {
                    thread.unpark();
                }
            }
        }
    }
}

/// Everything one destination shares between its producers, its consumer and telemetry.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) store: Box<dyn Store>,
    pub(super) ledger: Ledger,
    pub(super) stats: Stats,
    pub(super) bell: Bell,
}

impl Port {
    /// With an empty queue of so many bytes.
    pub(super) fn new(name: String, queue_bytes: usize, bell: Bell) -> Port {
        let store = Box::new(MemoryQueue::new(queue_bytes));
        Port { name, store, ledger: Ledger::new(), stats: Stats::new(), bell }
    }

    /// The final outcome of a popped batch. Everything that ends a batch's way passes here (seam for dead letters).
    pub(super) fn settle(&self, batch: &Encoded, lost: Option<(Dropped, u64)>) {
        self.leave(batch, lost);
        self.store.release(batch.bytes.len());
    }

    /// The final outcome of a part of a batch; the batch's bytes stay reserved until it is released whole.
    pub(super) fn leave(&self, part: &Encoded, lost: Option<(Dropped, u64)>) {
        self.ledger.leave(part.points, lost);
        if lost.is_none_or(|(_, points)| points < part.points) {
            self.stats.bytes_delivered.add(part.bytes.len() as u64);
        }
    }
}

/// What senders and the threads of delivery share.
pub(super) struct DeliveryState {
    pub(super) ports: Box<[Arc<Port>]>,
    /// Monotonic ns at which delivery ends; `u64::MAX` while running.
    pub(super) stop_at: AtomicU64,
    /// Times that files were to be opened again.
    reopened: AtomicU64,
    senders: AtomicUsize,
}

impl DeliveryState {
    pub(super) fn new(ports: Vec<Arc<Port>>) -> Arc<Self> {
        Arc::new(DeliveryState {
            ports: ports.into(),
            stop_at: AtomicU64::new(u64::MAX),
            reopened: AtomicU64::new(0),
            senders: AtomicUsize::new(0),
        })
    }

    pub(super) fn stop_at(&self) -> Option<u64> {
        let at = self.stop_at.load(Ordering::Acquire);
        (at != u64::MAX).then_some(at)
    }

    pub(super) fn reopened(&self) -> u64 {
        // ORDERING: a number; publishes nothing
        self.reopened.load(Ordering::Relaxed)
    }

    pub(super) fn ring_all(&self) {
        for port in &self.ports {
            port.bell.ring();
        }
    }

    pub(super) fn rows(&self) -> Vec<DestinationRow> {
        self.ports.iter().map(|port| port.ledger.read()).collect()
    }
}

/// The producers' end, one clone per shard. Destinations are numbered as they were given to `start`.
pub struct Sender {
    shared: Arc<DeliveryState>,
    lane: usize,
}

impl Clone for Sender {
    /// A sender with a ledger lane of its own.
    fn clone(&self) -> Self {
        Sender::new(self.shared.clone())
    }
}

impl Sender {
    pub(super) fn new(shared: Arc<DeliveryState>) -> Self {
        let lane = shared.senders.fetch_add(1, Ordering::Relaxed);
        Sender { shared, lane }
    }

    /// Number of destinations.
    pub fn destinations(&self) -> usize {
        self.shared.ports.len()
    }

    /// The unique name of destination `d`.
    pub fn name(&self, d: usize) -> &str {
        &self.shared.ports[d].name
    }

    /// Puts a batch into destination `d`'s queue. Counts its points as `encoded` and `queued`, or, when the queue is full,
    /// as `encoded` and `dropped{queue_full}`. A batch of no bytes is no request (E12): nothing is queued.
    pub fn offer(&self, d: usize, batch: Arc<Encoded>) -> Offer {
        if self.try_offer(d, &batch) {
            return Offer::Queued;
        }
        self.turn_away(d, batch.points);
        Offer::Full
    }

    /// As `offer`, but a batch that does not fit is not counted.
    pub(super) fn try_offer(&self, d: usize, batch: &Arc<Encoded>) -> bool {
        let port = &self.shared.ports[d];
        if batch.bytes.is_empty() {
            assert!(batch.points == 0, "a batch of no bytes cannot hold points");
            return true;
        }
        if !port.store.reserve(batch.bytes.len()) {
            return false;
        }
        port.ledger.enter(self.lane, batch.points);
        port.store.push(batch.clone());
        port.bell.ring();
        true
    }

    /// Counts points as `encoded` and `dropped{queue_full}`.
    pub(super) fn turn_away(&self, d: usize, points: u64) {
        self.shared.ports[d].ledger.turn_away(self.lane, points);
    }

    /// Counts points as `encoded` and `queued` that will be pushed later, or taken back.
    pub(super) fn enter(&self, d: usize, points: u64) {
        self.shared.ports[d].ledger.enter(self.lane, points);
    }

    /// Puts a batch into the queue whose points are counted already; `false` if it does not fit.
    pub(super) fn push_entered(&self, d: usize, batch: &Arc<Encoded>) -> bool {
        let port = &self.shared.ports[d];
        if !port.store.reserve(batch.bytes.len()) {
            return false;
        }
        port.store.push(batch.clone());
        port.bell.ring();
        true
    }

    /// Points that were entered and never pushed: from `queued` to `dropped{queue_full}`.
    pub(super) fn take_back(&self, d: usize, points: u64) {
        self.shared.ports[d].ledger.take_back(self.lane, points);
    }

    /// Has every `file:` destination opened again, between two lines: somebody has moved the files.
    pub fn reopen_files(&self) {
        // ORDERING: as `reopened`
        self.shared.reopened.fetch_add(1, Ordering::Relaxed);
        self.shared.ring_all();
    }

    /// Destination `d`'s row of the ledger; balances at any moment.
    pub fn ledger(&self, d: usize) -> DestinationRow {
        self.shared.ports[d].ledger.read()
    }

    /// Destination `d`'s counters.
    pub fn stats(&self, d: usize) -> StatsRow {
        self.shared.ports[d].stats.read()
    }

    /// Accounted bytes in destination `d`'s queue, in flight included.
    pub fn queue_bytes(&self, d: usize) -> usize {
        self.shared.ports[d].store.bytes()
    }

    /// Takes the newest messages of destination `d`: partial success texts and errors, escaped, at most 16 of 256 bytes.
    pub fn take_messages(&self, d: usize) -> Vec<String> {
        self.shared.ports[d].stats.take_messages()
    }
}
