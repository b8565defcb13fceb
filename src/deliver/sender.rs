//! The producers' end of all queues.
//!
//! Does not know: protocols, retries, sockets, who encodes.
//!
//! Invariant: every batch offered is either in the queue or counted as dropped; the ledger row says so before `offer`
//! returns.
//!
//! Progress: as `queue`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ledger::DestinationRow;
use super::queue::{Encoded, Offer};
use super::state::DeliveryState;
use super::stats::StatsRow;

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
