//! What one shard has encoded for destinations whose queues are full: it waits here until there is room, at most until
//! the shard's next merge.
//!
//! Does not know: cuts, shards, who delivers. A queue that is full for a moment, because a cut is larger than it is,
//! loses nothing; one that stays full loses what is a whole interval late. Nobody else waits meanwhile: requests are
//! shared references, each destination has its own line, and nothing here blocks.
//!
//! Why encoded requests wait and not the points: a delta lives in the merge alone, so a pause of the encoder itself
//! would hold back every destination of the same view, or need a second copy of the interval in each series.
//!
//! Invariants:
//! 1. A batch that waits is counted as `encoded` and `queued`; it leaves the line into the queue, or as
//!    `dropped{queue_full}`.
//! 2. Order is kept: while something waits for a destination, nothing overtakes it.
//! 3. What waits for one destination takes at most `bytes_max`, counted like the queue's bytes, and each time it is
//!    shared. With `bytes_max` 0 a full queue drops at once.
//!
//! Progress: lock-free, as `queue`. Bounds: `bytes_max` a destination; the sum over all shards and destinations is a
//! part of the memory budget.

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::{Encoded, ITEM_OVERHEAD_BYTES, Offer};
use super::sender::Sender;

/// One destination's line.
#[derive(Default)]
struct Line {
    batches: VecDeque<Arc<Encoded>>,
    bytes: usize,
}

/// A shard's end of all queues, with room to wait in.
pub struct Hold {
    sender: Sender,
    lines: Vec<Line>,
    bytes_max: usize,
}

impl Hold {
    /// Nothing waits yet; `bytes_max` for each destination.
    pub fn new(sender: Sender, bytes_max: usize) -> Self {
        let lines = (0..sender.destinations()).map(|_| Line::default()).collect();
        Hold { sender, lines, bytes_max }
    }

    /// Puts a batch into destination `d`'s queue, or in line for it, or counts it as dropped.
    pub fn offer(&mut self, d: usize, batch: Arc<Encoded>) -> Offer {
        self.advance(d);
        let line = &mut self.lines[d];
        if line.batches.is_empty() && self.sender.try_offer(d, &batch) {
            return Offer::Queued;
        }
        let bytes = line.bytes.saturating_add(batch.bytes.len()).saturating_add(ITEM_OVERHEAD_BYTES);
        if bytes > self.bytes_max {
            self.sender.turn_away(d, batch.points);
            return Offer::Full;
        }
        self.sender.enter(d, batch.points);
        line.bytes = bytes;
        line.batches.push_back(batch);
        Offer::Held
    }

    /// Moves what waits into the queues as far as there is room.
    pub fn advance_all(&mut self) {
        (0..self.lines.len()).for_each(|d| self.advance(d));
    }

    /// Gives up what still waits: counted as `dropped{queue_full}`.
    pub fn give_up(&mut self) {
        for (d, line) in self.lines.iter_mut().enumerate() {
            let points = line.batches.drain(..).map(|batch| batch.points).sum::<u64>();
            line.bytes = 0;
            if points > 0 {
                self.sender.take_back(d, points);
            }
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.batches.is_empty())
    }

    fn advance(&mut self, d: usize) {
        let line = &mut self.lines[d];
        while let Some(batch) = line.batches.front() {
            if !self.sender.push_entered(d, batch) {
                return;
            }
            line.bytes -= batch.bytes.len() + ITEM_OVERHEAD_BYTES;
            line.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::ledger::Ledger;
    use crate::deliver::queue::{Bell, MemoryQueue, Port};
    use crate::deliver::state::DeliveryState;
    use crate::deliver::stats::Stats;
    use crate::model::{EpochNumber, Flushed, PlanNumber, Temporality, Tenant, View};
    use std::sync::OnceLock;

    /// A buffer, or whoever comes to a queue's other end, can tell that none is missing.
    #[test]
    fn batches_leave_the_queue_and_the_line_beside_it_in_order_with_their_numbers_and_their_cuts_boundary() {
        let batch = |cut: u32, number: u32| {
            let (plan, epoch, tenant) = (PlanNumber::FIRST, EpochNumber::FIRST, Tenant::DEFAULT);
            let (view, boundary_ns) = (View::of_all(Temporality::Delta), 1_000 * u64::from(cut));
            let flushed = Flushed { plan, epoch, cut, shard: 3, number, tenant, view, boundary_ns };
            Arc::new(Encoded { bytes: vec![0; 100].into(), points: 1, flushed })
        };
        let port = Arc::new(Port {
            name: "queue".into(),
            store: Box::new(MemoryQueue::new(2 * (100 + ITEM_OVERHEAD_BYTES))),
            ledger: Ledger::new(),
            stats: Stats::new(),
            bell: Bell::Thread(OnceLock::new()),
        });
        let mut hold = Hold::new(Sender::new(DeliveryState::new(vec![port.clone()])), 10_000);
        let offered = (1..3).flat_map(|cut| (0..4).map(move |number| (cut, number)));
        let outcomes: Vec<Offer> = offered.clone().map(|(cut, number)| hold.offer(0, batch(cut, number))).collect();
        assert_eq!(outcomes[..3], [Offer::Queued, Offer::Queued, Offer::Held]);
        for (cut, number) in offered {
            hold.advance_all();
            let popped = port.store.pop().expect("none is missing");
            let Flushed { cut: found, number: place, boundary_ns, shard, .. } = popped.flushed;
            assert_eq!((found, place, boundary_ns, shard), (cut, number, 1_000 * u64::from(cut), 3));
            port.settle(&popped, None);
        }
        assert!(hold.is_empty() && port.store.pop().is_none());
    }
}
