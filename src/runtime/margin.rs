//! Memory that must be free before a request is taken on, where the system sets a wall (`ulimit -v`).
//!
//! Does not know: who asks. Bounds: `limits::PROBES_MAX` pieces are asked for, and given back at once.

use super::memory::Memory;
use crate::deliver::Sender;
use crate::limits::{MARGIN_BYTES_MAX, MARGIN_PART, PROBE_BYTES, PROBES_MAX};
use crate::series::registry::Registry;

/// Memory that must be free where the system sets a wall.
pub(super) struct Margin {
    /// Whatever there is already.
    bytes: usize,
    /// What the queues of destinations may come to hold besides.
    sender: Sender,
}

impl Margin {
    pub(super) fn new(memory: &Memory, sender: &Sender) -> Margin {
        let bytes = MARGIN_BYTES_MAX.min(memory.limit / MARGIN_PART);
        Margin { bytes, sender: sender.clone() }
    }

    pub(super) fn bytes(&self, registry: &Registry) -> usize {
        // a cut is no larger than what it is of, and without requests there is nothing for the one behind it
        let queues = self.sender.queue_room().min(registry.bytes());
        self.bytes + queues + registry.bytes() / MARGIN_PART + registry.to_come()
    }
}

/// Whether so much memory could be had now, in pieces: the allocator has what it reserved and did not use, and larger ones do
/// not fit there.
pub(super) fn is_given(bytes: usize) -> bool {
    let piece = PROBE_BYTES.max(bytes / PROBES_MAX);
    let mut pieces: [Vec<u8>; PROBES_MAX + 1] = std::array::from_fn(|_| Vec::new());
    let count = bytes.div_ceil(piece).min(pieces.len());
    let given = pieces[..count].iter_mut().all(|probe| probe.try_reserve_exact(piece).is_ok());
    std::hint::black_box(&mut pieces);
    given
}
