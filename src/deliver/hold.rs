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
//! 3. Batches of one cut go to one set of destinations (`adopt`), and to no destination that has ended.
//! 4. What waits for one destination takes at most `bytes_max`, counted like the queue's bytes, and each time it is
//!    shared. With `bytes_max` 0 a full queue drops at once.
//!
//! Progress: lock-free, as `queue`. Bounds: `bytes_max` a destination; the sum over all shards and destinations is a
//! part of the memory budget.

use std::collections::VecDeque;
use std::sync::Arc;

use super::destination::Destination;
use super::queue::{Encoded, ITEM_OVERHEAD_BYTES, Offer, Port};
use super::sender::Sender;
use super::state::DestinationSet;

/// One destination's line.
struct Line {
    port: Arc<Port>,
    batches: VecDeque<Arc<Encoded>>,
    bytes: usize,
}

impl Line {
    fn new(port: Arc<Port>) -> Line {
        port.join();
        Line { port, batches: VecDeque::new(), bytes: 0 }
    }

    /// Moves what waits into the queue as far as there is room.
    fn advance(&mut self) {
        while let Some(batch) = self.batches.front() {
            if !self.port.push_entered(batch) {
                return;
            }
            self.bytes -= batch.bytes.len() + ITEM_OVERHEAD_BYTES;
            self.batches.pop_front();
        }
    }

    /// Nothing goes there any more.
    fn leave(mut self, lane: usize) {
        self.give_up(lane);
        self.port.leave_holder();
    }

    fn give_up(&mut self, lane: usize) {
        let points = self.batches.drain(..).map(|batch| batch.points).sum::<u64>();
        self.bytes = 0;
        if points > 0 {
            self.port.ledger.take_back(lane, points);
        }
    }
}

/// A shard's end of all queues, with room to wait in.
pub struct Hold {
    sender: Sender,
    /// The set of destinations that batches are for.
    set: Arc<DestinationSet>,
    /// In the order of the set.
    lines: Vec<Line>,
    bytes_max: usize,
}

impl Hold {
    /// Nothing waits yet; `bytes_max` for each destination.
    pub fn new(sender: Sender, bytes_max: usize) -> Self {
        let set = sender.set();
        sender.note_hold(true);
        let lines = set.open.iter().map(|one| Line::new(one.port.clone())).collect();
        set.note_taken_up(true);
        Hold { sender, set, lines, bytes_max }
    }

    /// Before the batches of `cut`: goes over to the newest set of destinations, if that is for this cut; whether it did.
    /// What waits for those that are not in it any more is given up: counted as `dropped{queue_full}`.
    pub fn adopt(&mut self, cut: u32) -> bool {
        let newest = self.sender.set();
        if Arc::ptr_eq(&newest, &self.set) || newest.from_cut > cut {
            return false;
        }
        let mut before = std::mem::take(&mut self.lines);
        for one in &newest.open {
            let place = before.iter().position(|line| Arc::ptr_eq(&line.port, &one.port));
            let line = place.map_or_else(|| Line::new(one.port.clone()), |place| before.swap_remove(place));
            self.lines.push(line);
        }
        before.into_iter().for_each(|line| line.leave(self.sender.lane()));
        self.bytes_max = newest.held_bytes_max.unwrap_or(self.bytes_max);
        newest.note_taken_up(true);
        self.set.note_taken_up(false);
        self.set = newest;
        true
    }

    /// The destinations that batches are for, in the order of their numbers.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.set.open.iter().map(|one| &*one.destination)
    }

    /// Puts a batch into destination `d`'s queue, or in line for it, or counts it as dropped.
    pub fn offer(&mut self, d: usize, batch: Arc<Encoded>) -> Offer {
        let (line, lane) = (&mut self.lines[d], self.sender.lane());
        line.advance();
        if line.batches.is_empty() && line.port.try_offer(lane, &batch) {
            return Offer::Queued;
        }
        let bytes = line.bytes.saturating_add(batch.bytes.len()).saturating_add(ITEM_OVERHEAD_BYTES);
        if bytes > self.bytes_max {
            line.port.ledger.turn_away(lane, batch.points);
            return Offer::Full;
        }
        line.port.ledger.enter(lane, batch.points);
        line.bytes = bytes;
        line.batches.push_back(batch);
        Offer::Held
    }

    /// Moves what waits into the queues as far as there is room.
    pub fn advance_all(&mut self) {
        self.lines.iter_mut().for_each(Line::advance);
    }

    /// Gives up what still waits: counted as `dropped{queue_full}`.
    pub fn give_up(&mut self) {
        self.lines.iter_mut().for_each(|line| line.give_up(self.sender.lane()));
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.batches.is_empty())
    }
}

impl Drop for Hold {
    /// What waits stays counted as queued, as what is in a queue does.
    fn drop(&mut self) {
        self.lines.iter().for_each(|line| line.port.leave_holder());
        self.set.note_taken_up(false);
        self.sender.note_hold(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::destination::parse_out;
    use crate::deliver::state::{DeliveryState, OpenDestination};
    use crate::model::{EpochNumber, Flushed, PlanNumber, Temporality, Tenant, View};

    /// A buffer, or whoever comes to a queue's other end, can tell that none is missing.
    #[test]
    fn batches_leave_the_queue_and_the_line_beside_it_in_order_with_their_numbers_and_their_cuts_boundary() {
        let batch = |cut: u32, number: u32| {
            let (plan, epoch, tenant) = (PlanNumber::FIRST, EpochNumber::FIRST, Tenant::DEFAULT);
            let (view, boundary_ns) = (View::of_all(Temporality::Delta), 1_000 * u64::from(cut));
            let flushed = Flushed { plan, epoch, cut, shard: 3, number, tenant, view, boundary_ns };
            Arc::new(Encoded { bytes: vec![0; 100].into(), points: 1, flushed })
        };
        let port = Arc::new(Port::new("queue".into(), 2 * (100 + ITEM_OVERHEAD_BYTES)));
        let open = OpenDestination { destination: Arc::new(parse_out("stdout").unwrap()), port: port.clone() };
        let mut hold = Hold::new(Sender::new(DeliveryState::new(vec![open])), 10_000);
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
