//! From rows to the queues: each view is encoded once, and shared by all destinations that want it.

use crate::clock::Clock;
use crate::deliver::{Destination, Encoded, Hold, Offer, Sender};
use crate::flush::{Outlet, Taken, Written};
use crate::model::{Flushed, Temporality, View};
use crate::otlp::encode::{EncodeStep, Encoder};
use crate::rows::Rows;
use std::sync::Arc;

/// One shard's way to the queues.
pub(super) struct Queues {
    hold: Hold,
    /// By number of the destination.
    views: Vec<View>,
    encoder: Encoder,
    clock: &'static dyn Clock,
    encode_ns: u64,
}

impl Queues {
    /// `held_max`: bytes that may wait for each destination whose queue is full.
    pub(super) fn new(sender: Sender, held_max: usize, clock: &'static dyn Clock) -> Queues {
        let hold = Hold::new(sender, held_max);
        let views = views(&hold);
        Queues { hold, views, encoder: Encoder::default(), clock, encode_ns: 0 }
    }

    /// Before the batches of `cut`: they go to the destinations that there are by then.
    pub(super) fn begin(&mut self, cut: u32) {
        debug_assert!(!self.encoder.is_making(), "a cut is handed out before the next");
        if self.hold.adopt(cut) {
            self.views = views(&self.hold);
        }
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

/// What each destination wants, by its number.
fn views(hold: &Hold) -> Vec<View> {
    let view = |one: &Destination| {
        let temporality = one.temporality.unwrap_or(Temporality::Cumulative);
        View { temporality, selection: one.selection_number }
    };
    hold.destinations().map(view).collect()
}

impl Outlet for Queues {
    fn wants(&self, view: View) -> bool {
        match view.selection.destination() {
            Some(d) => self.views.get(d).is_some_and(|own| own.temporality == view.temporality),
            None => self.views.contains(&view),
        }
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        match self.take_some(flushed, rows, &mut || true) {
            Taken::Whole(written) => written,
            Taken::More => unreachable!("nobody said no"),
        }
    }

    fn take_some(&mut self, flushed: Flushed, rows: &impl Rows, more: &mut impl FnMut() -> bool) -> Taken {
        let begun_ns = self.clock.mono_ns();
        let encoding = self.encoder.encode_some(rows, flushed.view.temporality, more);
        self.encode_ns += self.clock.mono_ns() - begun_ns;
        let request = match encoding {
            EncodeStep::More => return Taken::More,
            EncodeStep::Over(None) => return Taken::Whole(None),
            EncodeStep::Over(Some(request)) => request,
        };
        let written = Written { points: request.points, bytes: request.bytes.len() as u64 };
        let batch = Arc::new(Encoded { bytes: request.bytes.into(), points: request.points, flushed });
        for (d, view) in self.views.iter().enumerate() {
            // what one is told by itself is of its own temporality: `wants`
            if flushed.view.selection.destination().map_or(*view == flushed.view, |one| one == d) {
                // each outcome is counted there, and slows nobody else
                match self.hold.offer(d, batch.clone()) {
                    Offer::Queued | Offer::Held | Offer::Full => {}
                }
            }
        }
        Taken::Whole(Some(written))
    }
}
