//! Exemplars on their way from points to this core's reservoir (M29).
//!
//! Knows how they are read; does not know which points have some, nor which are kept (`series::exemplars`), nor when (`kept`). Their
//! values were counted with the point, so nothing here changes a sum. A point without exemplars never comes here; nothing is
//! allocated for one whose exemplars are as SDKs write them, once the reservoir has the size of the interval before.

use super::kept::KeptOpen;
use crate::ledger::{Note, Tally};
use crate::limits::EXEMPLAR_BYTES_MAX;
use crate::otlp::exemplars::{each, normalise};
use crate::series::exemplars::{KeptExemplar, Reservoir};

/// What a core keeps of the open interval.
pub(super) struct OpenExemplars {
    pub kept: KeptOpen<Reservoir>,
    /// An exemplar in its one encoding.
    scratch: Vec<u8>,
}

impl OpenExemplars {
    /// Of the first interval.
    pub(super) fn first() -> OpenExemplars {
        OpenExemplars { kept: KeptOpen::first(), scratch: Vec::new() }
    }

    /// Offers the exemplars in the message (field `number` of it) of a point that was applied to the cell at `line`.
    #[inline]
    pub(super) fn keep(&mut self, line: u32, message: &[u8], number: u32, tally: &mut Tally) {
        let OpenExemplars { kept, scratch } = self;
        each(message, number, |exemplar| {
            scratch.clear();
            // its one encoding is not longer
            let read = if exemplar.len() <= EXEMPLAR_BYTES_MAX { normalise(exemplar, scratch) } else { None };
            let taken = read.is_some_and(|(time, value)| {
                kept.all.offer(line, KeptExemplar { time, bits: value.bits(), message: scratch })
            });
            tally.note(Note::Exemplars, 1);
            tally.note(Note::ExemplarsDropped, u64::from(!taken));
        });
    }
}
