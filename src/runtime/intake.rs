//! Where the doors of a shard hand bodies to: the way from a whole body into the cells, and the budget for bodies.
//!
//! Knows what a request may take and when the process takes no more; does not know sockets, cuts or the shard's loop.

use super::bodies::Asked;
use super::shared::ProcessState;
use crate::capture::Tap;
use crate::clock::{Clock, Now};
use crate::ingest::{self, Ingest, Sliced};
use crate::ledger::Book;
use crate::limits::{FREED_BODIES_PART, LARGE_BODY_BYTES, MARGIN_ASKED_BYTES, NO_MEMORY_RETRY_MS};
use crate::listen::{Exported, Intake};
use crate::model::{Origin, Peer, Refusal};
use crate::series::peers::Peers;
use crate::sync::allocator;
use crate::telemetry::shard_stats::ShardStats;
use std::sync::Arc;

/// What the doors hand bodies to.
pub(super) struct ShardIntake {
    pub(super) shared: Arc<ProcessState>,
    pub(super) ingest: Ingest,
    pub(super) book: Book,
    pub(super) stats: ShardStats,
    /// Applied requests are recorded.
    pub(super) capture: Option<Tap>,
    /// How far ahead of our clock points may be dated, nanoseconds.
    pub(super) future_ns: u64,
    /// Who asked for room last, and its slot.
    pub(super) peer: (Peer, u16),
    pub(super) clock: &'static dyn Clock,
    /// When this turn of the loop began.
    pub(super) now_ns: u64,
    /// Of large bodies' buffers that were freed since memory last went back, bytes.
    pub(super) freed: usize,
    /// The last cut is behind it, or waits for the request that is being applied: no other one counts any more.
    pub(super) closed: bool,
}

/// Advice to clients of a process that ends.
const RETRY_AFTER_END_MS: u64 = 1_000;

impl Intake for ShardIntake {
    fn export(&mut self, origin: Origin, body: &[u8], part: &mut Option<Box<Sliced>>, now: Now) -> Exported {
        if self.closed && !part.as_ref().is_some_and(|part| part.is_applying()) {
            let why = "shutting down: send it again, to this address once it is back or to another".into();
            let refusal = Refusal::Overloaded { why, retry_after_ms: RETRY_AFTER_END_MS };
            return Exported { end: Some(Err(refusal)), cost_ns: 0 };
        }
        let is_applying = part.as_ref().is_some_and(|part| part.is_applying());
        let has_room = self.shared.has_room(0);
        if !has_room && !is_applying {
            *part = None;
            let why = "the system has no memory for this process (ulimit -v): raise it, or lower --memory-limit".into();
            let refusal = Refusal::Overloaded { why, retry_after_ms: NO_MEMORY_RETRY_MS };
            return Exported { end: Some(Err(refusal)), cost_ns: 0 };
        }
        // what has begun is brought to its end, but makes nothing new
        self.shared.registry.be_short(!has_room);
        let before = self.clock.mono_ns();
        let spent_ns = part.as_ref().map_or(0, |part| part.spent_ns);
        self.ingest.accept_until(now.wall_ns.saturating_add(self.future_ns));
        let (end, cost_ns) = self.ingest.export_part(origin, body, part, &mut self.book.tally);
        self.book.publish();
        let spent_ns = spent_ns + self.clock.mono_ns() - before;
        if let Some(part) = part {
            part.spent_ns = spent_ns;
        }
        if end.is_some() {
            self.stats.request(spent_ns);
        }
        if let (Some(tap), Some(Ok(_))) = (&self.capture, &end) {
            tap.record(origin, now.mono_ns, body);
        }
        let refused = |fault| Refusal::Malformed(ingest::explain(&fault, body));
        Exported { end: end.map(|end| end.map_err(refused)), cost_ns }
    }

    fn reserve(&mut self, peer: Peer, bytes: usize) -> bool {
        if bytes >= MARGIN_ASKED_BYTES && !self.shared.has_room(bytes) {
            return false;
        }
        self.count_freed(bytes);
        let slot = self.slot(peer);
        let asked = self.shared.bodies.reserve(slot, bytes, self.now_ns);
        if asked == Asked::Wanted {
            self.shared.wake_all();
        }
        asked == Asked::Granted
    }

    fn release(&mut self, peer: Peer, bytes: usize) {
        let slot = self.slot(peer);
        self.shared.bodies.release(slot, bytes);
        self.count_freed(bytes);
    }

    fn is_wanted(&self) -> bool {
        self.shared.bodies.is_wanted(self.now_ns)
    }

    fn gives_way(&self, peer: Peer) -> bool {
        let slot = Peers::slot_of(self.shared.registry.state().hash_one(peer));
        self.shared.bodies.gives_way(slot, self.now_ns)
    }
}

impl ShardIntake {
    /// A large body that ends frees its buffer, and one that grows by so much frees about as much. What was freed stays
    /// with the process for a while, beside the budget, so more than a part of it goes back at once.
    fn count_freed(&mut self, bytes: usize) {
        if bytes < LARGE_BODY_BYTES {
            return;
        }
        self.freed += bytes;
        if self.freed > self.shared.bodies.max() / FREED_BODIES_PART / self.shared.board.shards() {
            self.freed = 0;
            allocator::give_back();
        }
    }

    /// The peer's slot; mostly it is the one of the last time.
    fn slot(&mut self, peer: Peer) -> u16 {
        if self.peer.0 != peer {
            self.peer = (peer, Peers::slot_of(self.shared.registry.state().hash_one(peer)));
        }
        self.peer.1
    }
}
