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
//! 2. No two ports of a set have one name. One that comes again under its name has its port again, with queue and counts.
//! 3. A set is followed by another only when all holds have taken it up, so that no port is joined that may have ended.
//!
//! Bounds: `DESTINATIONS_MAX` that take batches, as many that are ending, `DESTINATIONS_GONE_MAX` that have ended.
//!
//! Progress: reads are wait-free (`sync::published`), and once a cut or page, never for a point.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::destination::Destination;
use super::ledger::DestinationRow;
use super::queue::Port;
use super::stats::StatsRow;
use crate::sync::published::Published;

/// A destination that takes batches.
pub(super) struct OpenDestination {
    pub(super) destination: Arc<Destination>,
    pub(super) port: Arc<Port>,
}

/// All destinations.
pub(super) struct DestinationSet {
    /// The first cut of which they get batches.
    pub(super) from_cut: u32,
    /// Bytes that may wait beside each full queue; nothing if that stays.
    pub(super) held_bytes_max: Option<usize>,
    /// Those that take batches, in the order in which they were given.
    pub(super) open: Box<[OpenDestination]>,
    /// Those that were taken out, the last one last.
    pub(super) left: Box<[Arc<Port>]>,
    /// Those that are not even known by name any more, together.
    pub(super) forgotten: Option<(DestinationRow, StatsRow)>,
    /// Holds that hand batches to these.
    taken_up: AtomicUsize,
}

impl DestinationSet {
    /// Nobody has taken it up yet.
    pub(super) fn new(open: Vec<OpenDestination>) -> DestinationSet {
        DestinationSet {
            from_cut: 0,
            held_bytes_max: None,
            open: open.into(),
            left: Box::default(),
            forgotten: None,
            taken_up: AtomicUsize::new(0),
        }
    }

    /// One more hands batches to these, or one fewer.
    pub(super) fn note_taken_up(&self, is_taken_up: bool) {
        // ORDERING: Release pairs with the Acquire in `DeliveryState::is_taken_up`: who takes a set up has joined its
        // ports before.
        match is_taken_up {
            true => self.taken_up.fetch_add(1, Ordering::Release),
            false => self.taken_up.fetch_sub(1, Ordering::Release),
        };
    }

    /// The ports of all, those that are open first.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.open.iter().map(|one| &one.port).chain(&self.left)
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
    /// Who hands batches to a set (`hold`).
    pub(super) holds: AtomicUsize,
}

impl DeliveryState {
    pub(super) fn new(open: Vec<OpenDestination>) -> Arc<Self> {
        Arc::new(DeliveryState {
            set: Published::new(Arc::new(DestinationSet::new(open))),
            stop_at: AtomicU64::new(u64::MAX),
            reopened: AtomicU64::new(0),
            senders: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
        })
    }

    /// The newest set.
    pub(super) fn set(&self) -> Arc<DestinationSet> {
        self.set.load()
    }

    /// Replaces the set.
    pub(super) fn put(&self, set: DestinationSet) {
        self.set.store(Arc::new(set));
    }

    /// Everybody who hands out batches hands them to the newest set.
    pub(super) fn is_taken_up(&self) -> bool {
        // ORDERING: Acquire, see `note_taken_up`.
        self.set().taken_up.load(Ordering::Acquire) >= self.holds.load(Ordering::Acquire)
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
        self.set().ports().for_each(|port| port.ring());
    }
}
