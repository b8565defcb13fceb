//! What senders and the threads of delivery share: which destinations there are, and when it ends.
//!
//! Does not know: protocols, retries, sockets, what is in a queue.
//!
//! ```text
//!  exchange ─► DestinationSet (whole, new) ─► holds, at the first cut that it is for ─► ports
//!                                          └► ledger, metrics: at once
//! ```
//!
//! Invariants:
//! 1. A set is never changed, but replaced whole. A destination that stays has the same port in the next set.
//! 2. No two ports of a set have one name.
//!
//! Progress: reads are wait-free (`sync::published`), and once a cut or page, never for a point.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::destination::Destination;
use super::queue::Port;
use crate::sync::published::Published;

/// A destination that takes batches.
pub(super) struct OpenDestination {
    pub(super) destination: Arc<Destination>,
    pub(super) port: Arc<Port>,
}

/// All destinations.
pub(super) struct DestinationSet {
    /// Those that take batches, in the order in which they were given.
    pub(super) open: Box<[OpenDestination]>,
}

impl DestinationSet {
    /// The ports of all, those that are open first.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.open.iter().map(|one| &one.port)
    }

    /// The port at place `d` of these.
    pub(super) fn port(&self, d: usize) -> &Arc<Port> {
        self.ports().nth(d).expect("a place of the set")
    }
}

/// What senders and the threads of delivery share.
pub(super) struct DeliveryState {
    set: Published<DestinationSet>,
    /// Monotonic ns at which delivery ends; `u64::MAX` while running.
    pub(super) stop_at: AtomicU64,
    /// Times that files were to be opened again.
    pub(super) reopened: AtomicU64,
    pub(super) senders: AtomicUsize,
}

impl DeliveryState {
    pub(super) fn new(open: Vec<OpenDestination>) -> Arc<Self> {
        Arc::new(DeliveryState {
            set: Published::new(Arc::new(DestinationSet { open: open.into() })),
            stop_at: AtomicU64::new(u64::MAX),
            reopened: AtomicU64::new(0),
            senders: AtomicUsize::new(0),
        })
    }

    /// The newest set.
    pub(super) fn set(&self) -> Arc<DestinationSet> {
        self.set.load()
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
        self.set().ports().for_each(|port| port.bell.ring());
    }
}
