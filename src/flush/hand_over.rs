//! How what members gave on one shard comes to the shard that owns their fold: in packets, one for each pair of shards that
//! has anything to say at a cut.
//!
//! Knows lanes and parts; does not know what parts hold, or what becomes of them.
//!
//! ```text
//!   shard a, first half of a cut: parts of its lanes ─► packet ─► [queue of b] ─► shard b, second half: its outputs
//!                          ▲                                                        │
//!                          └──────────── the packet, emptied, for the next cut ─────┘
//! ```
//!
//! A *lane* is one shard's share of one fold: its number is the sender's, and its owner hears what it stands for before any
//! part of it. Packets and not words that both shards see, because parts have any size, and a part is written and read by
//! one thread at a time.
//!
//! Invariants
//! 1. A packet is sent before its sender's `fold_done` and taken after all of them: the cut board orders the two, so at the
//!    second half of a cut all packets of that cut are there, and none of another.
//! 2. Of one sender, what happened to lanes is heard in the order in which it happened.
//!
//! Progress: lock-free. Bounds: as many packets as there are pairs of shards; a packet has each lane once.

use crate::fold::FoldPart;
use crate::series::exemplars::Reservoir;
use crate::series::folds::FoldKey;
use crossbeam::queue::SegQueue;
use std::sync::Arc;

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

/// What one shard says to another at a cut.
#[derive(Debug, Default)]
pub(super) struct Packet {
    /// Whose lanes these are.
    pub from: usize,
    /// What happened to them since the cut before, in order.
    pub events: Vec<LaneEvent>,
    /// What their members gave: lane, how often that was used before, part.
    pub parts: Vec<(u32, u32, FoldPart)>,
    /// Exemplars of this sender's members, by lane, if there are any: the newest few of each.
    pub exemplars: Option<Arc<Reservoir>>,
}

/// Packets on their way, over all shards.
#[derive(Debug)]
pub(super) struct HandOver {
    /// By the shard that takes them.
    to: Box<[SegQueue<Packet>]>,
    /// By the shard that filled them, emptied.
    back: Box<[SegQueue<(usize, Packet)>]>,
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

    /// Sends a packet, in the first half of a cut.
    pub(super) fn send(&self, to: usize, packet: Packet) {
        self.to[to].push(packet);
    }

    /// The next packet for a shard, in the second half of a cut.
    pub(super) fn take(&self, to: usize) -> Option<Packet> {
        self.to[to].pop()
    }

    /// Gives an emptied packet back to its sender.
    pub(super) fn give_back(&self, by: usize, packet: Packet) {
        self.back[packet.from].push((by, packet));
    }

    /// A packet that came back empty, and from whom.
    pub(super) fn empty(&self, from: usize) -> Option<(usize, Packet)> {
        self.back[from].pop()
    }
}
