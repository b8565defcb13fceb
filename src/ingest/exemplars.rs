//! Exemplars on their way from points to this core's reservoir (M29).
//!
//! Knows when their interval closes; does not know which points have some, nor which are kept (`series::exemplars`). Their
//! values were counted with the point, so nothing here changes a sum. A point without exemplars never comes here; nothing is
//! allocated for one whose exemplars are as SDKs write them, once the reservoir has the size of the interval before.

use crate::ledger::{Note, Tally};
use crate::limits::EXEMPLAR_BYTES_MAX;
use crate::otlp::exemplars::{each, normalise};
use crate::resolve::Resolver;
use crate::series::exemplars::{KeptExemplar, Reservoir};
use std::sync::Arc;

/// What a core keeps of the open interval.
pub(super) struct OpenExemplars {
    kept: Reservoir,
    /// The interval has been handed over, and nothing came since.
    closed: bool,
    /// What was handed over last is not empty.
    held: bool,
    /// An exemplar in its one encoding.
    scratch: Vec<u8>,
}

impl OpenExemplars {
    /// Of the first interval.
    pub(super) fn first() -> OpenExemplars {
        let mut kept = Reservoir::default();
        kept.set_interval(1);
        OpenExemplars { kept, closed: false, held: false, scratch: Vec::new() }
    }

    /// The interval `number` is open from now on.
    pub(super) fn begin(&mut self, number: u32) {
        self.kept.set_interval(number);
        self.closed = false;
    }

    /// Offers the exemplars in the message (field `number` of it) of a point that was applied to the cell at `line`.
    #[inline]
    pub(super) fn keep(&mut self, line: u32, message: &[u8], number: u32, tally: &mut Tally) {
        let OpenExemplars { kept, scratch, .. } = self;
        each(message, number, |exemplar| {
            scratch.clear();
            // its one encoding is not longer
            let read = if exemplar.len() <= EXEMPLAR_BYTES_MAX { normalise(exemplar, scratch) } else { None };
            let taken = read.is_some_and(|(time, value)| {
                kept.offer(line, KeptExemplar { time, bits: value.bits(), message: scratch })
            });
            tally.note(Note::Exemplars, 1);
            tally.note(Note::ExemplarsDropped, u64::from(!taken));
        });
    }

    /// Hands over what is kept of the open interval.
    pub(super) fn close(&mut self, resolver: &Resolver) {
        if std::mem::replace(&mut self.closed, true) || self.kept.is_empty() && !self.held {
            return;
        }
        self.held = !self.kept.is_empty();
        let next = Reservoir::begin(self.kept.interval(), &self.kept);
        let closed = std::mem::replace(&mut self.kept, next);
        resolver.registry().close_exemplars(resolver.core(), Arc::new(closed));
    }

    /// The interval stays open after all: takes back what `close` handed over. A copy, since others may hold it; rare.
    pub(super) fn reopen(&mut self, resolver: &Resolver) {
        if std::mem::replace(&mut self.closed, false) && self.held {
            self.kept = (*resolver.registry().exemplars(resolver.core())).clone();
        }
    }
}
