//! How what members gave on one shard comes to the shard that owns their fold: in packets, as many for each pair of shards as
//! they have to say at a cut.
//!
//! Knows lanes and parts; does not know what parts hold, or what becomes of them.
//!
//! ```text
//!   shard a, first half of a cut: parts of its lanes ─► packets ─► [queue of b] ─► shard b, second half: its outputs
//!                          ▲                                                        │
//!                          └─────────── the packets, emptied, for the next cut ─────┘
//! ```
//!
//! A *lane* is one shard's share of one fold: its number is the sender's, and its owner hears what it stands for before any
//! part of it. Packets and not words that both shards see, because parts have any size, and a part is written and read by
//! one thread at a time. Small packets and not one, because both sides take them up in slices, and one that grows is copied
//! whole.
//!
//! Invariants
//! 1. A packet is sent before its sender's `fold_done` and taken after all of them: the cut board orders the two, so at the
//!    second half of a cut all packets of that cut are there, and none of another.
//! 2. Of one sender, what happened to lanes is heard in the order in which it happened, and before their parts.
//!
//! Progress: lock-free. Bounds: a packet has `PACKET_MAX` events and as many parts; at a cut each lane once.

use crate::fold::FoldPart;
use crate::series::exemplars::Reservoir;
use crate::series::folds::FoldKey;
use crossbeam::queue::SegQueue;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events in a packet, and parts.
pub(super) const PACKET_MAX: usize = 1_024;

/// What happened to a lane.
#[derive(Debug)]
pub(super) enum LaneEvent {
    /// From now on it stands for this fold.
    Opened(u32, Arc<FoldKey>),
    /// Series that were there before the exchange of rules have come to it.
    Joined(u32),
    /// It has no members any more.
    Closed {
        /// Which.
        lane: u32,
        /// Other rules took the last of them.
        is_by_exchange: bool,
    },
}

/// What members of a lane gave.
#[derive(Debug)]
pub(super) struct LanePart {
    pub lane: u32,
    /// How often the lane was used for another fold before.
    pub generation: u32,
    pub part: FoldPart,
}

/// Some of what one shard says to another at a cut.
#[derive(Debug, Default)]
pub(super) struct Packet {
    /// Whose lanes these are.
    pub from: usize,
    /// What happened to them since the cut before, in order.
    pub events: VecDeque<LaneEvent>,
    /// What their members gave.
    pub parts: Vec<LanePart>,
    /// How many of the parts whoever has the packet has dealt with.
    pub taken: usize,
    /// Exemplars of this sender's members, by lane, if there are any: the newest few of each.
    pub exemplars: Option<Arc<Reservoir>>,
}

impl Packet {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.parts.is_empty()
    }
}

/// What one shard has to say to the others at the next cut.
#[derive(Debug)]
pub(super) struct Outbox {
    from: usize,
    /// By the shard that it is for, in order; the last is not full.
    to: Box<[VecDeque<Packet>]>,
    /// Emptied ones, whose memory is used again.
    spare: Vec<Packet>,
}

impl Outbox {
    /// Of one of so many shards.
    pub(super) fn new(from: usize, shards: usize) -> Outbox {
        Outbox { from, to: (0..shards).map(|_| VecDeque::new()).collect(), spare: Vec::new() }
    }

    /// The last packet for a shard in which `is_full` leaves room.
    fn open(&mut self, to: usize, is_full: impl FnOnce(&Packet) -> bool) -> &mut Packet {
        let all = &mut self.to[to];
        if all.back().is_none_or(is_full) {
            let new = self.spare.pop().unwrap_or_default();
            all.push_back(Packet { from: self.from, ..new });
        }
        all.back_mut().expect("one was put there")
    }

    /// Its owner hears what happened to a lane.
    pub(super) fn tell(&mut self, to: usize, event: LaneEvent) {
        self.open(to, |packet| packet.events.len() >= PACKET_MAX).events.push_back(event);
    }

    /// Its owner gets what the members of a lane gave: after all events of the cut.
    pub(super) fn put(&mut self, to: usize, part: LanePart) {
        self.open(to, |packet| packet.parts.len() >= PACKET_MAX).parts.push(part);
    }

    /// Sends all of it, in the first half of a cut.
    pub(super) fn send(&mut self, hand_over: &HandOver, exemplars: Option<&Arc<Reservoir>>) {
        for (to, packets) in self.to.iter_mut().enumerate() {
            for mut packet in packets.drain(..).filter(|packet| !packet.is_empty()) {
                packet.exemplars = exemplars.cloned();
                hand_over.to[to].push(packet);
            }
        }
        // no more were needed
        self.spare.clear();
    }

    /// A packet whose parts are out of it: its memory is used again.
    pub(super) fn keep(&mut self, packet: Packet) {
        debug_assert!(packet.is_empty());
        self.spare.push(Packet { taken: 0, exemplars: None, ..packet });
    }
}

/// Packets on their way, over all shards.
#[derive(Debug)]
pub(super) struct HandOver {
    /// By the shard that takes them.
    to: Box<[SegQueue<Packet>]>,
    /// By the shard that filled them, emptied.
    back: Box<[SegQueue<Packet>]>,
}

impl HandOver {
    /// For so many shards.
    pub(super) fn new(shards: usize) -> HandOver {
        HandOver {
            to: (0..shards).map(|_| SegQueue::new()).collect(),
            back: (0..shards).map(|_| SegQueue::new()).collect(),
        }
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.to.len()
    }

    /// The next packet for a shard, in the second half of a cut.
    pub(super) fn take(&self, to: usize) -> Option<Packet> {
        self.to[to].pop()
    }

    /// Gives a packet whose parts are empty back to its sender.
    pub(super) fn give_back(&self, packet: Packet) {
        self.back[packet.from].push(Packet { taken: 0, exemplars: None, ..packet });
    }

    /// A packet that came back with empty parts.
    pub(super) fn empty(&self, from: usize) -> Option<Packet> {
        self.back[from].pop()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// However many lanes there are, no packet is large; what happened is heard in order, and before the parts.
    #[test]
    fn packets_are_small_and_in_order() {
        let (hand_over, mut outbox) = (HandOver::new(3), Outbox::new(1, 3));
        let n = 3 * PACKET_MAX as u32 + 5;
        for round in 0..2 {
            (0..n).for_each(|lane| outbox.tell(2, LaneEvent::Joined(lane)));
            (0..n).for_each(|lane| outbox.put(2, LanePart { lane, generation: 0, part: FoldPart::default() }));
            outbox.send(&hand_over, None);
            let (mut heard, mut got) = (Vec::new(), Vec::new());
            while let Some(mut packet) = hand_over.take(2) {
                assert!(packet.from == 1 && packet.events.len() <= PACKET_MAX && packet.parts.len() <= PACKET_MAX);
                assert!(packet.events.is_empty() || got.is_empty() || heard.len() + packet.events.len() == n as usize);
                for event in packet.events.drain(..) {
                    let LaneEvent::Joined(lane) = event else { panic!("{event:?}") };
                    heard.push(lane);
                }
                got.extend(packet.parts.iter().map(|part| part.lane));
                hand_over.give_back(packet);
            }
            assert!(heard.iter().copied().eq(0..n) && got.iter().copied().eq(0..n), "{round}");
            assert!(hand_over.take(0).is_none() && hand_over.take(1).is_none(), "nothing for the others");
            let mut back = 0;
            while let Some(mut packet) = hand_over.empty(1) {
                packet.parts.clear();
                outbox.keep(packet);
                back += 1;
            }
            assert!(back >= 4, "they come back");
        }
    }
}
