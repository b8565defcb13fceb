//! The producers' end of all queues, and how destinations stand.
//!
//! Does not know: protocols, retries, sockets, who encodes.
//!
//! Invariant: every batch offered is either in the queue or counted as dropped; the ledger row says so before `offer`
//! returns.
//!
//! Progress: as `queue`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::breaker::BreakerRow;
use super::ledger::DestinationRow;
use super::queue::{Encoded, Offer, Port};
use super::state::{DeliveryState, DestinationSet};
use super::stats::StatsRow;

/// What destinations are called together that were taken out long ago; no name can be chosen so.
const FORGOTTEN: &str = "(gone)";

/// How a destination stands.
#[derive(Clone, Debug)]
pub struct DestinationStanding {
    /// Its unique name.
    pub name: String,
    /// Its row of the ledger; balances.
    pub row: DestinationRow,
    /// Its counters.
    pub stats: StatsRow,
    /// Accounted bytes in its queue, in flight included.
    pub queue_bytes: usize,
    /// How its breaker stands; files and standard output have none.
    pub breaker: Option<BreakerRow>,
}

/// The producers' end, one clone per shard. Destinations are numbered as they were given, those that were taken out behind
/// them: who exchanges them asks for `standings`.
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

    /// Which lane of ledgers is this one's.
    pub(super) fn lane(&self) -> usize {
        self.lane
    }

    /// Somebody hands out batches from now on (`true`), or does not any more.
    pub(super) fn note_hold(&self, is_there: bool) {
        match is_there {
            true => self.shared.holds.fetch_add(1, Ordering::Relaxed),
            false => self.shared.holds.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// The newest set.
    pub(super) fn set(&self) -> Arc<DestinationSet> {
        self.shared.set()
    }

    /// How each destination stands.
    pub fn standings(&self) -> Vec<DestinationStanding> {
        let standing = |port: &Arc<Port>| DestinationStanding {
            name: port.name.clone(),
            row: port.ledger.read(),
            stats: port.stats.read(),
            queue_bytes: port.store.bytes(),
            breaker: port.breaker.read(),
        };
        let set = self.set();
        let forgotten = set.forgotten.map(|(row, stats)| {
            let name = FORGOTTEN.to_owned();
            DestinationStanding { name, row, stats, queue_bytes: 0, breaker: None }
        });
        set.ports().map(standing).chain(forgotten).collect()
    }

    /// Bytes that the queues could take besides what they hold.
    pub fn queue_room(&self) -> usize {
        self.set().ports().map(|port| port.store.bytes_max().saturating_sub(port.store.bytes())).sum()
    }

    /// The unique name of destination `d`.
    pub fn name(&self, d: usize) -> String {
        self.set().port(d).name.clone()
    }

    /// Puts a batch into destination `d`'s queue. Counts its points as `encoded` and `queued`, or, when the queue is full,
    /// as `encoded` and `dropped{queue_full}`. A batch of no bytes is no request (E12): nothing is queued.
    pub fn offer(&self, d: usize, batch: Arc<Encoded>) -> Offer {
        self.set().port(d).offer(self.lane, &batch)
    }

    /// Has every `file:` destination opened again, between two lines: somebody has moved the files.
    pub fn reopen_files(&self) {
        // ORDERING: as `reopened`
        self.shared.reopened.fetch_add(1, Ordering::Relaxed);
        self.shared.ring_all();
    }

    /// Destination `d`'s row of the ledger; balances at any moment.
    pub fn ledger(&self, d: usize) -> DestinationRow {
        self.set().port(d).ledger.read()
    }

    /// Destination `d`'s counters.
    pub fn stats(&self, d: usize) -> StatsRow {
        self.set().port(d).stats.read()
    }

    /// How the breaker of destination `d` stands; files and standard output have none.
    pub fn breaker(&self, d: usize) -> Option<BreakerRow> {
        self.set().port(d).breaker.read()
    }

    /// Accounted bytes in destination `d`'s queue, in flight included.
    pub fn queue_bytes(&self, d: usize) -> usize {
        self.set().port(d).store.bytes()
    }

    /// Takes the newest messages of destination `d`: partial success texts and errors, escaped, at most 16 of 256 bytes.
    pub fn take_messages(&self, d: usize) -> Vec<String> {
        self.set().port(d).stats.take_messages()
    }
}
