//! The interval that a cut closed, as every series' arithmetic has to know it.
//!
//! Knows numbers, times and what each core closed; does not know values, or how far the merge is.

use crate::cells::sequences::Sequences;
use crate::series::Series;
use crate::series::registry::Registry;
use crate::sync::cut::ShardView;
use std::sync::Arc;

/// A closed interval. Nothing of it changes while its cut is merged.
pub(super) struct Interval {
    /// Number of the cut.
    pub cut: u32,
    /// Where its window begins.
    pub from_ns: u64,
    /// Where its window ends.
    pub boundary_ns: u64,
    /// Every core as the cut left it: what it closed, what it has open.
    pub cores: Vec<ShardView>,
    /// By core, what it kept of cumulative streams that began again in what it closed; empty if no core has any.
    pub sequences: Vec<Option<Arc<Sequences>>>,
    /// Somebody wants increments.
    pub wants_deltas: bool,
    /// Wall time at which the process started, or the earliest a window began since.
    pub started_ns: u64,
    /// `--expire`, nanoseconds.
    pub expire_ns: u64,
    /// What was not touched after this cut is idle; 0: nothing can be.
    pub idle_since: u32,
}

impl Interval {
    /// What the cores kept of cumulative streams that began again in what they closed, if any did.
    pub(super) fn sequences(cores: &[ShardView], registry: &Registry) -> Vec<Option<Arc<Sequences>>> {
        let of = |(core, view): (usize, &ShardView)| {
            let (closed, sequences) = (view.closed?, registry.sequences(core));
            (sequences.interval() == closed.interval && !sequences.is_empty()).then_some(sequences)
        };
        let all: Vec<_> = cores.iter().enumerate().map(of).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    /// Start of an output that ends at the boundary: never after it, though the wall clock was set back.
    pub(super) fn start_of(&self, series: &Series) -> u64 {
        if series.start() > self.boundary_ns {
            series.put_start(self.from_ns);
        }
        series.start()
    }

    /// M12 (P): a first cumulative point counts whole only if its stream is so young that it cannot have been seen
    /// and forgotten.
    pub(super) fn counts_whole(&self, start: u64, time: u64) -> bool {
        let oldest = self.boundary_ns.saturating_sub(self.expire_ns);
        start != 0 && start != time && start > self.started_ns && start > oldest
    }
}
