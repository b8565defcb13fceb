//! From the encoder to the queues: each encoded request is shared by all destinations that want its view.

use crate::clock::Clock;
use crate::deliver::{Encoded, Hold, Offer, Sender};
use crate::flush::{Outlet, View};
use crate::model::Temporality;
use std::cell::Cell;
use std::sync::Arc;

/// One shard's way to the queues.
pub(super) struct Queues {
    hold: Hold,
    views: Vec<Temporality>,
    clock: &'static dyn Clock,
    /// When encoding began. `flush` asks `wants` right before it encodes a view, and gives it to `take` right after.
    begun_ns: Cell<u64>,
    encode_ns: u64,
}

impl Queues {
    /// `held_max`: bytes that may wait for each destination whose queue is full.
    pub(super) fn new(sender: Sender, views: Vec<Temporality>, held_max: usize, clock: &'static dyn Clock) -> Queues {
        Queues { hold: Hold::new(sender, held_max), views, clock, begun_ns: Cell::new(0), encode_ns: 0 }
    }

    /// Time spent encoding since the last call, nanoseconds.
    pub(super) fn take_encode_ns(&mut self) -> u64 {
        std::mem::take(&mut self.encode_ns)
    }

    /// Moves what waits into the queues; `true` when something still waits.
    pub(super) fn advance(&mut self) -> bool {
        self.hold.advance_all();
        !self.hold.is_empty()
    }

    /// Gives up what waits.
    pub(super) fn give_up(&mut self) {
        self.hold.give_up();
    }
}

impl Outlet for Queues {
    fn wants(&self, view: View) -> bool {
        self.begun_ns.set(self.clock.mono_ns());
        self.views.contains(&view.0)
    }

    fn take(&mut self, view: View, request: Vec<u8>, points: u64) {
        self.encode_ns += self.clock.mono_ns() - self.begun_ns.get();
        let batch = Arc::new(Encoded { bytes: request.into(), points });
        for (d, temporality) in self.views.iter().enumerate() {
            if *temporality == view.0 {
                // each outcome is counted there, and slows nobody else
                match self.hold.offer(d, batch.clone()) {
                    Offer::Queued | Offer::Held | Offer::Full => {}
                }
            }
        }
    }
}
