//! Exemplars on their way from points to this core's reservoir (M29).
//!
//! Knows which points have some, and when their interval closes; does not know which are kept (`series::exemplars`).
//! Their values were counted with the point, so nothing here changes a sum. A point without exemplars never comes here;
//! nothing is allocated for one whose exemplars are as SDKs write them, once the reservoir has the size of the interval
//! before.

use super::Ingest;
use super::stage::{EXEMPLARS, Number, Stage};
use crate::ledger::{Note, Tally};
use crate::limits::EXEMPLAR_BYTES_MAX;
use crate::model::Reject;
use crate::otlp::exemplars::{each, normalise};
use crate::otlp::points::NO_RECORDED_VALUE;
use crate::series::exemplars::{KeptExemplar, Reservoir};
use std::sync::Arc;

/// Field number of `exemplars` in a NumberDataPoint.
const IN_NUMBER: u32 = 5;

/// What a core keeps of the open interval.
pub(super) struct Open {
    kept: Reservoir,
    /// The interval has been handed over, and nothing came since.
    closed: bool,
    /// What was handed over last is not empty.
    held: bool,
    /// An exemplar in its one encoding.
    scratch: Vec<u8>,
}

impl Open {
    pub(super) fn new() -> Open {
        let mut kept = Reservoir::default();
        kept.set_interval(1);
        Open { kept, closed: false, held: false, scratch: Vec::new() }
    }

    /// The interval `number` is open from now on.
    pub(super) fn begin(&mut self, number: u32) {
        self.kept.set_interval(number);
        self.closed = false;
    }
}

impl Ingest {
    /// Applies a number that may have exemplars, and stands at place `at` of the staged ones; `next` is where to look for
    /// its message in `stage.exemplars`.
    #[cold]
    pub(super) fn with_exemplars(
        &mut self,
        point: &Number,
        at: usize,
        stage: &Stage<'_>,
        next: &mut usize,
        tally: &mut Tally,
    ) -> Result<(), Reject> {
        let mut plain = Number { flags: point.flags & !EXEMPLARS, ..*point };
        if let Err(reason) = self.number(&plain, tally) {
            plain.route = self.instead(point.route, reason, tally)?;
            self.number(&plain, tally)?;
        }
        if point.flags & EXEMPLARS != 0 {
            // those of points whose series could not be born are passed over
            let rest = &stage.exemplars[*next..];
            *next += rest.iter().take_while(|(place, _)| (*place as usize) < at).count();
            let (place, message) = stage.exemplars[*next];
            debug_assert_eq!(place as usize, at, "each flagged point has a message");
            self.keep_exemplars(plain.route, message, IN_NUMBER, 0, tally);
        }
        Ok(())
    }

    /// Offers the exemplars in an applied point's message (field `number` of it), unless it has no recorded value.
    #[inline]
    pub(super) fn keep_exemplars(&mut self, route: u32, message: &[u8], number: u32, flags: u32, tally: &mut Tally) {
        if message.is_empty() || flags & NO_RECORDED_VALUE != 0 {
            return;
        }
        let line = self.resolver.cell(route);
        let Open { kept, scratch, .. } = &mut self.exemplars;
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

    /// Hands over what is kept of the open interval. Called before the board says that the interval is closed, and then
    /// either `switch` or `reopen_exemplars` follows before the next request.
    pub fn close_exemplars(&mut self) {
        let open = &mut self.exemplars;
        if std::mem::replace(&mut open.closed, true) || open.kept.is_empty() && !open.held {
            return;
        }
        open.held = !open.kept.is_empty();
        let next = Reservoir::begin(open.kept.interval(), &open.kept);
        let closed = std::mem::replace(&mut open.kept, next);
        self.resolver.registry().close_exemplars(self.resolver.core(), Arc::new(closed));
    }

    /// The interval stays open after all, because this core was skipped: takes back what `close_exemplars` handed over. A
    /// copy, since others may hold it; rare.
    pub fn reopen_exemplars(&mut self) {
        let open = &mut self.exemplars;
        if std::mem::replace(&mut open.closed, false) && open.held {
            open.kept = (*self.resolver.registry().exemplars(self.resolver.core())).clone();
        }
    }
}
