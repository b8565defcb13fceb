//! The points in open banks, counted in the cells: what the ledger's `open` must be when nothing moves.
//!
//! Knows the index, cells and the board; does not know who asks. In slices, so that the thread that counts can do something
//! else between two. A shard that switches banks meanwhile makes the count begin again, at most
//! `limits::COUNT_RESTARTS_MAX` times; then there is none.

use super::shared::ProcessState;
use crate::cells::Bank;
use crate::limits::{COUNT_RESTARTS_MAX, COUNT_SERIES_PER_STEP};
use crate::series::index::IndexCursor;
use crate::sync::cut::ShardView;

/// A count under way.
pub(super) struct Count {
    views: Vec<ShardView>,
    owner: usize,
    cursor: IndexCursor,
    open: u64,
    restarts: u32,
}

fn views(shared: &ProcessState) -> Vec<ShardView> {
    (0..shared.board.shards()).map(|shard| shared.board.view(shard)).collect()
}

impl Count {
    pub(super) fn begin(shared: &ProcessState) -> Count {
        Count { views: views(shared), owner: 0, cursor: IndexCursor::default(), open: 0, restarts: 0 }
    }

    /// Counts a slice; `Some` at the end, with nothing in it if banks were switched all the time.
    pub(super) fn step(&mut self, shared: &ProcessState) -> Option<Option<u64>> {
        if self.owner < shared.registry.cores() {
            self.slice(shared);
        }
        let views = views(shared);
        if views != self.views {
            if self.restarts == COUNT_RESTARTS_MAX {
                return Some(None);
            }
            *self = Count { views, restarts: self.restarts + 1, ..Count::begin(shared) };
            return None;
        }
        (self.owner >= shared.registry.cores()).then_some(Some(self.open))
    }

    fn slice(&mut self, shared: &ProcessState) {
        let (registry, views, mut open) = (&shared.registry, &self.views, 0);
        let at_end = registry.trie(self.owner).walk(&mut self.cursor, COUNT_SERIES_PER_STEP, |series| {
            series.each_cell(|cell| {
                let shape = series.shape(cell.cumulative);
                let Some(words) = registry.slab(cell.core as usize).run(cell.line, shape.words()) else { return };
                let view = views[cell.core as usize];
                open += Bank::new(words, shape, view.open_bank).points_of(view.open_interval).unwrap_or(0);
            });
        });
        self.open += open;
        if at_end {
            self.owner += 1;
            self.cursor = IndexCursor::default();
        }
    }
}
