//! The seam between the shards that encode and the threads that deliver: one queue per destination, and its doorbell.
//!
//! Does not know: protocols, retries, sockets.
//!
//! Invariants:
//! 1. Accounted bytes (batch bytes plus `ITEM_OVERHEAD_BYTES`) never exceed the queue's limit; they are given back only
//!    when the batch has its final outcome, so what is in flight or waits for a retry counts too.
//! 2. Many producers, one consumer per queue; two for a moment where a network takes over from a writer, or the other
//!    way round, and each batch is popped by one of them.
//! 3. A port ends only when it is to, nobody can put anything in any more (`is_left`), and it is empty.
//!
//! Progress: an offer is lock-free (a CAS loop on the accounted bytes, the lane of `ledger`, a segmented queue); ringing the bell costs a system call only when the consumer has seen the last ring.
//!
//! Bounds: `queue_bytes` per destination; the overhead bounds the number of batches as well.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::Thread;

use bytes::Bytes;
use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;

use super::breaker::BreakerSign;
use super::ledger::{Dropped, Ledger};
use super::stats::Stats;
use crate::model::Flushed;
use crate::sync::published::Published;

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
/// `pop` and the exporters (`lane`), a dead-letter store where `Port::settle` counts what is refused.
pub trait Store: Send + Sync {
    /// Takes the bytes of one batch out of the room; `false` if they do not fit.
    fn reserve(&self, bytes: usize) -> bool;
    /// Puts in a batch whose bytes are reserved.
    fn push(&self, batch: Arc<Encoded>);
    /// The oldest batch; its bytes stay reserved until `release`. One consumer.
    fn pop(&self) -> Option<Arc<Encoded>>;
    /// There is nothing to pop.
    fn is_empty(&self) -> bool;
    /// A popped batch has its final outcome.
    fn release(&self, bytes: usize);
    /// Accounted bytes now, popped batches included.
    fn bytes(&self) -> usize;
    /// Accounted bytes at most.
    fn bytes_max(&self) -> usize;
    /// Sets that; what is there stays.
    fn resize(&self, bytes_max: usize);
}

/// A queue in memory, bounded by accounted bytes.
pub struct MemoryQueue {
    batches: SegQueue<Arc<Encoded>>,
    bytes: CachePadded<AtomicUsize>,
    bytes_max: AtomicUsize,
}

impl MemoryQueue {
    /// An empty queue that holds at most `bytes_max` accounted bytes.
    pub fn new(bytes_max: usize) -> Self {
        let bytes = CachePadded::new(AtomicUsize::new(0));
        MemoryQueue { batches: SegQueue::new(), bytes, bytes_max: AtomicUsize::new(bytes_max) }
    }
}

impl Store for MemoryQueue {
    fn reserve(&self, bytes: usize) -> bool {
        let bytes_max = self.bytes_max();
        // ORDERING: Relaxed: the counter publishes nothing, the queue does; read-modify-writes never lose room.
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let after = used.checked_add(bytes)?.checked_add(ITEM_OVERHEAD_BYTES)?;
            (after <= bytes_max).then_some(after)
        });
        taken.is_ok()
    }

    fn push(&self, batch: Arc<Encoded>) {
        self.batches.push(batch);
    }

    fn pop(&self) -> Option<Arc<Encoded>> {
        self.batches.pop()
    }

    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    fn release(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes + ITEM_OVERHEAD_BYTES, Ordering::Relaxed);
        assert!(before >= bytes + ITEM_OVERHEAD_BYTES, "more bytes released than were reserved");
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn bytes_max(&self) -> usize {
        // ORDERING: Relaxed: a bound, which publishes nothing.
        self.bytes_max.load(Ordering::Relaxed)
    }

    fn resize(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }
}

/// Wakes the thread that consumes.
pub(super) enum Bell {
    /// The deliver thread's poll. The flag is shared by all its destinations.
    Poll(Arc<PollBell>),
    /// A writer thread, parked between batches.
    Thread(Thread),
    /// Nobody serves it yet.
    Nobody,
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
            Bell::Thread(thread) => thread.unpark(),
            Bell::Nobody => {}
        }
    }
}

/// It takes batches.
const OPEN: u8 = 0;
/// It takes what those have for it that have not heard yet that it should end, and ends once it is empty.
const CLOSING: u8 = 1;
/// Nobody serves it any more.
const ENDED: u8 = 2;

/// Everything one destination shares between its producers, its consumer and telemetry.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) store: Box<dyn Store>,
    pub(super) ledger: Ledger,
    pub(super) stats: Stats,
    /// How its breaker stands.
    pub(super) breaker: BreakerSign,
    bell: Published<Bell>,
    /// Producers that may put something in (`hold`).
    holders: AtomicUsize,
    phase: AtomicU8,
}

impl Port {
    /// With an empty queue of so many bytes.
    pub(super) fn new(name: String, queue_bytes: usize) -> Port {
        let store = Box::new(MemoryQueue::new(queue_bytes));
        let (bell, holders, phase) = (Published::new(Arc::new(Bell::Nobody)), AtomicUsize::new(0), AtomicU8::new(OPEN));
        let (ledger, stats, breaker) = (Ledger::new(), Stats::new(), BreakerSign::default());
        Port { name, store, ledger, stats, breaker, bell, holders, phase }
    }

    /// Wakes whoever serves it.
    pub(super) fn ring(&self) {
        self.bell.load().ring();
    }

    /// Somebody else serves it from now on, and is told to look.
    pub(super) fn put_bell(&self, bell: Bell) {
        self.bell.store(Arc::new(bell));
        self.ring();
    }

    /// One more may put something in, until it leaves.
    pub(super) fn join(&self) {
        // ORDERING: Relaxed: who joins has a set in which this port is open, and no such port ends.
        self.holders.fetch_add(1, Ordering::Relaxed);
    }

    /// A producer puts nothing in any more.
    pub(super) fn leave_holder(&self) {
        // ORDERING: Release pairs with the Acquire in `is_left`: what this producer pushed is seen by whoever sees it gone.
        self.holders.fetch_sub(1, Ordering::Release);
        self.ring();
    }

    /// Nobody can put anything in any more.
    pub(super) fn is_left(&self) -> bool {
        // ORDERING: Acquire, see `leave_holder`.
        self.holders.load(Ordering::Acquire) == 0
    }

    /// It takes batches, again perhaps; `false` if nobody serves it any more.
    pub(super) fn open(&self) -> bool {
        // ORDERING: AcqRel, as in `try_end`: either it has ended here, or who serves it sees that it does not end.
        self.phase.swap(OPEN, Ordering::AcqRel) != ENDED
    }

    /// It is to end.
    pub(super) fn close(&self) {
        let _ = self.phase.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Who serves it has no more to do; `false` if it was opened again meanwhile.
    pub(super) fn try_end(&self) -> bool {
        // ORDERING: AcqRel pairs with `open`; what was counted before is seen by whoever sees it ended.
        self.phase.compare_exchange(CLOSING, ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Nobody serves it any more.
    pub(super) fn is_ended(&self) -> bool {
        // ORDERING: Acquire, see `try_end`.
        self.phase.load(Ordering::Acquire) == ENDED
    }

    /// Gives up what is queued: counted as dropped, because the destination was taken out; the points.
    pub(super) fn give_up(&self) -> u64 {
        let mut points = 0;
        while let Some(batch) = self.store.pop() {
            points += batch.points;
            self.settle(&batch, Some((Dropped::Removed, batch.points)));
        }
        points
    }

    /// Puts a batch into the queue, or counts its points as dropped; `lane` is the producer's in the ledger.
    pub(super) fn offer(&self, lane: usize, batch: &Arc<Encoded>) -> Offer {
        if self.try_offer(lane, batch) {
            return Offer::Queued;
        }
        self.ledger.turn_away(lane, batch.points);
        Offer::Full
    }

    /// As `offer`, but a batch that does not fit is not counted.
    pub(super) fn try_offer(&self, lane: usize, batch: &Arc<Encoded>) -> bool {
        if batch.bytes.is_empty() {
            assert!(batch.points == 0, "a batch of no bytes cannot hold points");
            return true;
        }
        if !self.store.reserve(batch.bytes.len()) {
            return false;
        }
        self.ledger.enter(lane, batch.points);
        self.store.push(batch.clone());
        self.ring();
        true
    }

    /// Puts a batch into the queue whose points are counted already (`Ledger::enter`); `false` if it does not fit.
    pub(super) fn push_entered(&self, batch: &Arc<Encoded>) -> bool {
        if !self.store.reserve(batch.bytes.len()) {
            return false;
        }
        self.store.push(batch.clone());
        self.ring();
        true
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
